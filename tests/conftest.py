"""Shared by all tests: one thread for torch and BLAS, and a quick, repeatable profile for hypothesis.

WHOLE=1 (`make whole-test`) runs what `make test` runs a sample of: every case of the tests that are marked so, and
every page in the browser tests (tests/site/conftest.py).
"""

import collections
import fcntl
import json
import os
import re

import pytest

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # small tensors: waiting for a second thread costs more than it brings

from hypothesis import settings  # noqa: E402

settings.register_profile("normcore", max_examples=40, derandomize=True, deadline=None, database=None)
settings.load_profile("normcore")


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """once(name, fill): the folder that fill(folder) filled, and what it returned; the workers of a run share it."""

    def shared(name, fill):
        base = tmp_path_factory.getbasetemp()
        base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
        with open(base / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            result = base / f"{name}.json"
            if not result.exists():
                (base / name).mkdir()
                result.write_text(json.dumps(fill(base / name)))
        return base / name, json.loads(result.read_text())

    return shared


# Tests that share one long preparation run in one worker, by the part of their names that matches.  (pytest-xdist's own
# mark for groups does nothing here: xdist 3.8 writes the group where pytest 9.2 no longer reads it.)
TOGETHER = re.compile(
    r".*/test_attacks\.py::\w+\[(?:own|ordinary)|.*/test_class\.py::|.*/test_grading\.py::test_each_submission_gets"
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadGroupScheduling

    class Scheduling(LoadGroupScheduling):
        def _split_scope(self, nodeid):
            found = TOGETHER.match(nodeid)
            return re.sub(r"::\w+\[", "::", found[0]) if found else nodeid

    return Scheduling(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_collection_modifyitems(config, items):
    """Of a test that is marked ``sample(n)`` its first n cases run."""
    if os.environ.get("WHOLE"):
        return
    seen = collections.Counter()
    left = []
    for item in items:
        if sample := item.get_closest_marker("sample"):
            test = item.nodeid.partition("[")[0]
            seen[test] += 1
            if seen[test] > sample.args[0]:
                left.append(item)
    items[:] = [item for item in items if item not in left]
    config.hook.pytest_deselected(items=left)
