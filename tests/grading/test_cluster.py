"""The same results from one process and from the workers of a Dask cluster, one of which is killed on the way."""

import os
import shutil
import signal
import threading
import time

import nbformat
import psutil
import pytest

from grading import gradebook
from grading.course import SOURCES, Course
from grading.grade import grade
from tests.grading import submissions as class_

pytestmark = pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is not installed: no sandbox to test")
KINDS = ("honest", "unbiased", "untouched", "all-wrong", "raises-after-the-answer", "exits")
NUMBER = int(os.environ.get("CLUSTER_NUMBER", 8))


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def submitted(tmp_path):
    for k in range(NUMBER):
        kind = KINDS[k % len(KINDS)]
        notebook = class_.solved()
        notebook = class_.SUBMISSIONS[kind][0](notebook) or notebook
        for number, cell in enumerate(notebook.cells):  # the ids of added cells are random
            cell["id"] = cell["id"] if "-" in cell["id"] else f"own-{k}-{number}"
        target = tmp_path / "submitted" / f"student-{k:04d}" / class_.NAME
        target.mkdir(parents=True)
        nbformat.write(notebook, target / f"{class_.NAME}.ipynb")
    return tmp_path / "submitted"


@pytest.mark.filterwarnings("ignore")  # dask's own
def test_a_cluster_gives_the_bytes_of_one_process(tmp_path, submitted):
    distributed = pytest.importorskip("distributed")
    one = Course(tmp_path / "one", tmp_path / "results-one", SOURCES)
    grade(one, class_.NAME, submitted, 2)
    many = Course(tmp_path / "many", tmp_path / "results-many", SOURCES)
    killed = threading.Event()
    local = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "processes": True}
    with distributed.LocalCluster(**local) as cluster:
        first = next(iter(cluster.workers.values())).pid

        def kill():
            while not list((many.root / "records" / class_.NAME).glob("*.json")):
                time.sleep(0.05)
            os.kill(first, signal.SIGKILL)
            killed.set()

        threading.Thread(target=kill, daemon=True).start()
        records = grade(many, class_.NAME, submitted, scheduler=cluster.scheduler_address)
        assert killed.wait(0) and not psutil.pid_exists(first)
    assert [r.error for r in records] == [""] * NUMBER
    assert contents(many.results) == contents(one.results)
    assert gradebook.all_marks(many, class_.NAME) == gradebook.all_marks(one, class_.NAME)
