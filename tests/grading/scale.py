"""How the grader behaves with a large class: `make scale WHAT=class NUMBER=200`.

Not a test: run by hand. Classes are made of few distinct submissions, honest, mistaken and broken in turn, without
the endless loops, whose time is the time limit.

    class      every submission is run, by JOBS=2 at a time: time and memory, and whether each grade is right
    again      a second run over a class in which nothing changed; each distinct submission is run once to build it
    cluster    on two local Dask workers, one of which is killed in the middle, and in one process: the same bytes?
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import nbformat
import psutil

from grading import gradebook, run
from grading.course import GRADING, SOURCES, Course
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
AGAIN = """
import sys, time
from pathlib import Path
started = time.monotonic()
from grading.course import SOURCES, Course
from grading.grade import grade
base = Path(sys.argv[1])
records = grade(Course(base / "root", base / "results", SOURCES), "forward-pass", base / "submitted", 2)
peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024
print(f"TOOK {time.monotonic() - started:.1f} s, processor {time.process_time():.1f} s, memory {peak:.0f} MB")
"""


def kind_of(student: str) -> str:
    """What kind of submission somebody handed in."""
    return student.split("-", 2)[2]


def write(base: Path, number: int) -> None:
    """Write a class."""
    made: dict[str, tuple[str, str]] = {}
    for k in range(number):
        kind = KINDS[k % len(KINDS)]
        if kind not in made:
            notebook = class_.solved()
            notebook = class_.SUBMISSIONS[kind][0](notebook) or notebook
            file = notebook.metadata.pop("file", f"{class_.NAME}.ipynb")
            made[kind] = file, nbformat.writes(notebook)
        file, text = made[kind]
        target = base / "submitted" / f"student-{k:05d}-{kind}" / class_.NAME
        target.mkdir(parents=True)
        (target / file).write_text(text, encoding="utf-8")


def wrong(records: list[Any]) -> list[str]:
    """The students whose points are not what their kind of submission gets."""
    return [r.student for r in records if r.points != class_.SUBMISSIONS[kind_of(r.student)][1] or r.error]


def course(base: Path, name: str = "") -> Course:
    """A course with all its folders in base."""
    return Course(base / f"root{name}", base / f"results{name}", SOURCES)


def whole_class(base: Path, number: int) -> None:
    """Grade a class, and once more; print what it took."""
    jobs = int(os.environ.get("JOBS", 2))
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
    records = grade(course(base), class_.NAME, base / "submitted", jobs)
    seconds = time.monotonic() - started
    done.set()
    spent = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(
        f"{number} submissions, {jobs} jobs on {os.cpu_count()} cores: {seconds:.0f} s, {seconds / number:.2f} s each; "
        f"processor time {spent:.0f} s; at most {most / 1e6:.0f} MB in all processes; "
        f"{len(wrong(records))} wrong grades {wrong(records)[:3]}"
    )


def again(base: Path, number: int) -> None:
    """Build the state of a graded class, each distinct submission run once; then grade it again."""
    real, known = run.run, {}

    def once(job: run.Job) -> run.Outcome:
        if job.data not in known:
            known[job.data] = real(job)
        return known[job.data]

    run.run = once  # type: ignore[assignment]
    started = time.monotonic()
    records = grade(course(base), class_.NAME, base / "submitted", 1)
    print(f"built in {time.monotonic() - started:.0f} s; {len(wrong(records))} wrong grades")
    before = contents(base)
    done = subprocess.run(
        [sys.executable, "-c", AGAIN, str(base)], cwd=GRADING.parent, capture_output=True, text=True, check=True
    )
    told = next(line for line in done.stdout.splitlines() if line.startswith("TOOK"))
    changed = [name for name, data in contents(base).items() if before.get(name) != data]
    print(f"second run over {number} unchanged submissions: {told[5:]}; files changed: {changed}")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of the results and the records."""
    files = [p for part in ("results", "root/records") for p in (folder / part).rglob("*") if p.is_file()]
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(files)}


def compare(base: Path, number: int) -> None:
    """Grade on two workers with one killed in the middle, and in one process."""
    from distributed import LocalCluster

    many, one, killed = course(base, "-many"), course(base, "-one"), threading.Event()

    def kill() -> None:
        while len(list((many.root / "records" / class_.NAME).glob("*.json"))) < number // 2:
            time.sleep(0.5)
        os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
        killed.set()

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True) as cluster:
        threading.Thread(target=kill, daemon=True).start()
        started = time.monotonic()
        records = grade(many, class_.NAME, base / "submitted", scheduler=cluster.scheduler_address)
        on_workers = time.monotonic() - started
    started = time.monotonic()
    grade(one, class_.NAME, base / "submitted", 1)
    alone = time.monotonic() - started

    def files(of: Course) -> dict[str, bytes]:
        return {str(p.relative_to(of.results)): p.read_bytes() for p in sorted(of.results.rglob("*")) if p.is_file()}

    marks = gradebook.all_marks(many, class_.NAME) == gradebook.all_marks(one, class_.NAME)
    print(
        f"{number} submissions on two workers, one killed: {killed.is_set()}, {on_workers:.0f} s; in one process "
        f"{alone:.0f} s; {len(files(one))} files, the same bytes: {files(many) == files(one)}; the same gradebook: "
        f"{marks}; {len(wrong(records))} wrong grades"
    )


def main(what: str, number: int) -> None:
    """Write a class in a temporary folder and do what is asked."""
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        write(Path(folder), number)
        {"class": whole_class, "again": again, "cluster": compare}[what](Path(folder), number)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
