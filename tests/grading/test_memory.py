"""The process that grades holds a few submissions, not the class: its memory does not grow with the class."""

import re
import subprocess
import sys
import zipfile

import pytest

from grading.course import GRADING
from tests.grading import submissions as class_

EACH, FEW, MANY = 3_000_000, 10, 60  # bytes of a submission; submissions
GRADE = """
import sys
from pathlib import Path
from grading import grade, hand_in, run
from grading.course import SOURCES, Course
from grading.sandbox.launch import Sandbox
base, submitted, planted = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
grade.find_sandbox = lambda: Sandbox("none")
grade.build.register = lambda course, name: None
job = grade.job_of(Course(base, base, SOURCES), "forward-pass", Sandbox("none"), grade.Limits())
marks = run.marks_of(job.released, job.released, {})
sizes = []
def graded(job):  # the process of a submission is another one: nothing of it is measured here
    sizes.append(len(job.data))
    return run.Outcome(job.released, marks, (), (), "<p>", 0.1)
run.run = graded
class Book:
    def put(self, student, notebook, marks, name): return marks, []
grade.gradebook.writer = lambda course, name: __import__("contextlib").nullcontext(Book())
if planted == "reads all":
    collect = hand_in.collect
    def all_at_once(*given):
        found = collect(*given)
        for entry in found.values():
            entry.files = {file: (lambda data: lambda: data)(read()) for file, read in entry.files.items()}
        return found
    hand_in.collect = all_at_once
if planted == "keeps work":
    threads = grade.threads
    @__import__("contextlib").contextmanager
    def listed(jobs):
        with threads(jobs) as each:
            yield lambda work: each(list(work))
    grade.threads = listed
course = Course(base, base / "results", SOURCES)
course.root.mkdir(exist_ok=True)
stamp = course.root / "forward-pass.built"
stamp.write_text(grade.fingerprint(course.source("forward-pass")))
grade.grade(course, "forward-pass", submitted, 2)
print("READ", len(sizes), min(sizes))
print(open("/proc/self/status").read())
"""


def hand_in(path, number):
    """A class of that many, in a folder or a zip."""
    data = b" " * EACH
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for k in range(number):
                archive.writestr(f"s{k}_{k}_assignsubmission_file_/{class_.NAME}.ipynb", data)
        return path
    for k in range(number):
        folder = path / f"s{k}" / class_.NAME
        folder.mkdir(parents=True)
        (folder / f"{class_.NAME}.ipynb").write_bytes(data)
    return path


def peak(base, submitted, number, planted=""):
    """Megabytes that the grading process had at most.

    Not from getrusage: that figure survives exec, so it would be the test's own size.
    """
    command = [sys.executable, "-c", GRADE, str(base), str(submitted), planted]
    done = subprocess.run(command, cwd=GRADING.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"READ {number} {EACH}" in done.stdout
    return int(re.search(r"VmHWM:\s+(\d+)", done.stdout)[1]) / 1024


@pytest.fixture(scope="module", params=["folder", "class.zip"])
def sizes(request, tmp_path_factory):
    """A small class, its memory, and a large class."""
    base = tmp_path_factory.mktemp("classes")
    few = hand_in(base / "few" / request.param if request.param == "folder" else base / "few.zip", FEW)
    many = hand_in(base / "many" / request.param if request.param == "folder" else base / "many.zip", MANY)
    return base, peak(base / "course-few", few, FEW), many


def test_memory_does_not_grow_with_the_class(sizes):
    base, few, many = sizes
    assert peak(base / "course", many, MANY) - few < (MANY - FEW) * EACH / 1e6 / 5


@pytest.mark.parametrize("sizes", ["class.zip"], indirect=True)
@pytest.mark.parametrize("planted", ["reads all", "keeps work"])
def test_a_grader_that_holds_the_class_is_noticed(sizes, planted):
    base, few, many = sizes
    assert peak(base / f"planted {planted}", many, MANY, planted) - few > (MANY - FEW) * EACH / 1e6 / 2
