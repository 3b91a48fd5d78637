"""Shared by all tests: one thread for torch and BLAS, and a quick, repeatable profile for hypothesis."""

import fcntl
import json
import os

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
