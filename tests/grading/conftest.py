"""The grading programs are scripts, not a package: tests import them from their folder."""

import fcntl
import json
import os
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parents[2] / "grading"), str(Path(__file__).parent)]


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
