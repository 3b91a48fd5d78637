"""Grade one submission: mend it, run it in the sandbox, save its marks, write its feedback."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import nbformat

from grading.course import GRADING, Course, replace
from grading.feedback import offline
from grading.records import Flag, Mark, Record
from grading.repair import UnreadableError, parse, repair
from grading.sandbox.launch import NOBODY, bubblewrap
from grading.source import read, student_version


class NoSandboxError(Exception):
    """Student code cannot be run here without risk."""


def sandbox_mode() -> str:
    """Return "nobody", "bwrap" or, when told UNSANDBOXED=1, "none"; NoSandboxError when there is none that works."""
    if os.environ.get("UNSANDBOXED") == "1":
        print("UNSANDBOXED=1: student code runs with your rights, sees your files and the gradebook.", flush=True)
        return "none"
    reason = "bubblewrap (bwrap) is not installed"
    if shutil.which("bwrap"):
        for mode in ["nobody", "bwrap"] if os.geteuid() == 0 else ["bwrap"]:
            with tempfile.TemporaryDirectory(prefix="nc-") as run:
                become = f"import os; os.setresuid({NOBODY}, {NOBODY}, {NOBODY}); " if mode == "nobody" else ""
                command = [sys.executable, "-I", "-c", become + "import ipykernel, numpy"]
                trial = subprocess.run(bubblewrap(run, command, mode), capture_output=True, text=True, check=False)
            if trial.returncode == 0:
                return mode
            reason = f"bubblewrap does not work here: {trial.stderr.strip()[-300:]}"
    raise NoSandboxError(
        f"{reason}\nStudent code is only run in a sandbox. Install bubblewrap (apt install bubblewrap), "
        "or accept the risk with UNSANDBOXED=1."
    )


@contextlib.contextmanager
def run_folder(scratch: str) -> Iterator[Path]:
    """A short-lived folder for one kernel: its specification, connection file and sockets."""
    run = Path(tempfile.mkdtemp(prefix="nc-", dir=scratch))
    kernels = run / "kernels" / "python3"
    kernels.mkdir(parents=True)
    (kernels / "kernel.json").write_text(
        json.dumps(
            {
                "argv": [sys.executable, str(GRADING / "sandbox" / "launch.py"), "{connection_file}", str(run)],
                "display_name": "Python 3",
                "language": "python",
                "interrupt_mode": "message",
            }
        )
    )
    try:
        yield run
    finally:
        shutil.rmtree(run, ignore_errors=True)


def start_worker() -> None:
    """Make this process one that grades: it ends with its parent, ignores Ctrl-C and uses one thread."""
    with contextlib.suppress(Exception):  # Linux: end with the parent, however that ends
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR"):
        os.environ[f"{name}_NUM_THREADS"] = "1"


def grade_one(course: Course, name: str, student: str, data: bytes | None, mode: str, scratch: str) -> Record:
    """Mend, autograde and comment one submission."""
    warnings.simplefilter("ignore")
    started = time.monotonic()
    released = student_version(read(course.source(name)))
    released.metadata["assignment"] = name
    flags: list[Flag] = []
    ids: list[str] = []
    notebook = released
    if data is not None:
        try:
            notebook, flags, ids = repair(released, parse(data))
        except UnreadableError as error:
            flags = [Flag("unreadable", str(error))]
    folder = course.root / "submitted" / student / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / f"{name}.ipynb")
    with run_folder(scratch) as run:
        os.environ |= {
            "RUN_FOLDER": str(run),
            "RUN_FLAGS": str(run / "flags.json"),
            "SANDBOX": mode,
            "JUPYTER_RUNTIME_DIR": str(run),
        }
        done = course.nbgrader().autograde(name, student, force=True, create=True)
        with contextlib.suppress(OSError):
            flags += [Flag(**flag) for flag in json.loads((run / "flags.json").read_text())]
    seconds = time.monotonic() - started
    if not done["success"]:
        why = str(done.get("error") or done.get("log"))[-2000:]
        flags.append(Flag("not graded"))
        return Record(student, flags=tuple(flags), ids=tuple(ids), seconds=seconds, error=why)
    write_feedback(course, name, student)
    marks = marks_of(course, name, student)
    return Record(student, marks=marks, flags=tuple(flags), ids=tuple(ids), seconds=time.monotonic() - started)


def write_feedback(course: Course, name: str, student: str) -> None:
    """Write the student's feedback page, readable without a network."""
    made = course.nbgrader().generate_feedback(name, student, force=True)
    page = course.root / "feedback" / student / name / f"{name}.html"
    if not made["success"]:
        raise RuntimeError(f"no feedback for {student}: {made.get('error') or made.get('log')}")
    folder = course.results / name / "feedback"
    folder.mkdir(parents=True, exist_ok=True)
    replace(folder / f"{student}.html", offline(page.read_text(encoding="utf-8")))


def marks_of(course: Course, name: str, student: str) -> tuple[Mark, ...]:
    """The mark of each graded question, in the gradebook's order."""
    with course.gradebook() as book:
        notebook = book.find_submission(name, student).notebooks[0]
        comments = {c.name: c.comment or "" for c in notebook.comments}
        marks = []
        for grade in notebook.grades:
            read = grade.manual_score is not None or (grade.auto_score is not None and not grade.needs_manual_grade)
            points = float(grade.score) if read else None
            marks.append(Mark(grade.name, points, float(grade.max_score), comments.get(grade.name, "")))
        return tuple(marks)
