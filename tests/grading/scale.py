"""Grade many synthetic submissions and report time and memory: python -m tests.grading.scale [NUMBER] [JOBS].

Not a test: run by hand. The class is honest, mistaken and broken students in turn, without the endless loops, whose
time is the time limit.
"""

import os
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import psutil

from grading.course import SOURCES, Course
from grading.grade import grade
from tests.grading import submissions as class_

KINDS = (
    "honest",
    "unbiased",
    "raises-after-the-answer",
    "answer-missing",
    "test-deleted",
    "untouched",
    "all-wrong",
    "metadata-stripped",
    "exits",
    "renamed",
)


def main(number: int, jobs: int) -> None:
    """Write the class, grade it, and print what it took."""
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        base = Path(folder)
        for k in range(number):
            kind = KINDS[k % len(KINDS)]
            notebook = class_.solved()
            notebook = class_.SUBMISSIONS[kind][0](notebook) or notebook
            target = base / "submitted" / f"student-{k:03d}-{kind}" / class_.NAME
            target.mkdir(parents=True)
            nbformat.write(notebook, target / notebook.metadata.pop("file", f"{class_.NAME}.ipynb"))
        most, done = 0, threading.Event()

        def watch() -> None:
            nonlocal most
            while not done.wait(0.5):
                used = 0
                for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
                    try:
                        used += process.memory_info().rss
                    except psutil.Error:
                        continue
                most = max(most, used)

        threading.Thread(target=watch, daemon=True).start()
        started = time.monotonic()
        course = Course(base / "root", base / "results", SOURCES)
        records = grade(course, class_.NAME, base / "submitted", jobs)
        seconds = time.monotonic() - started
        again = time.monotonic()
        grade(course, class_.NAME, base / "submitted", jobs)
        again = time.monotonic() - again
        done.set()
        wrong = [r.student for r in records if r.points != class_.SUBMISSIONS[r.student.split("-", 2)[2]][1]]
        spent = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        print(
            f"{number} submissions, {jobs} jobs on {os.cpu_count()} cores: {seconds:.0f} s, "
            f"{seconds / number:.2f} s each; "
            f"processor time {spent:.0f} s; at most {most / 1e6:.0f} MB in all processes; "
            f"a second run took {again:.1f} s; "
            f"{len(wrong)} wrong grades {wrong[:3]}"
        )


if __name__ == "__main__":
    main(*map(int, (sys.argv[1:] + ["200", "2"][len(sys.argv) - 1 :])))
