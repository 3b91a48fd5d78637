"""Grade one submission: a pure function of the assignment and the submitted bytes, which knows no gradebook.

Each step runs in a child of the forge, under limits of its own. A step that fails costs its own result alone:
a file that cannot be read is graded as untouched, a page that cannot be drawn is written plainly.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import nbformat
from nbformat import NotebookNode

from grading import clean, feedback, pick
from grading.examine import examine, role_of
from grading.forge import Forge, WorkError
from grading.records import Flag, Mark
from grading.repair import UnreadableError, parse, repair
from grading.sandbox.launch import Sandbox
from grading.sandbox.student import Limits

READING, DRAWING, MEMORY = 60.0, 30.0, 2_000_000_000  # seconds to read a file, to draw a page; bytes for either
CODE = re.compile(
    r"[=(\[{@]|^\s*(?:import|from|def|class|for|while|if|with|return|raise|del)\b|^[%!?]|\?$", re.MULTILINE
)


class RunError(Exception):
    """Nothing about the submission: the grader could not run it."""


@dataclass(frozen=True)
class Job:
    """One submission and all that its grade depends on: the assignment with and without its secrets, how to run it."""

    name: str
    source: str
    released: str
    data: bytes | None
    sandbox: Sandbox
    limits: Limits


@dataclass(frozen=True)
class Outcome:
    """The executed notebook, the marks, what was odd, the random ids of the student's own cells, and the feedback."""

    notebook: str
    marks: tuple[Mark, ...]
    flags: tuple[Flag, ...]
    ids: tuple[str, ...]
    page: str
    seconds: float


_own = threading.local()


def _forge(function: Any, *args: Any, seconds: float, memory: int = MEMORY) -> Any:
    """Call a function in this thread's forge; a forge that was killed is made again once."""
    for last in (False, True):
        if not hasattr(_own, "forge"):
            _own.forge = Forge()
        try:
            return _own.forge(function, *args, seconds=seconds, memory=memory)
        except (BrokenPipeError, EOFError, ValueError):
            _own.forge.close()
            del _own.forge
            if last:
                raise RunError("the process that runs submissions was killed") from None


def release() -> None:
    """End this thread's forge."""
    if hasattr(_own, "forge"):
        _own.forge.close()
        del _own.forge


def run(job: Job) -> Outcome:
    """Mend, run and comment one submission."""
    started = time.monotonic()
    mended, flags, ids = mend(job.released, job.data)
    points: dict[str, float | None] = {}
    try:
        seconds = job.limits.total + 60
        done = _forge(examine_step, job, mended, seconds=seconds, memory=max(MEMORY, job.limits.memory))
        mended, points = done["notebook"], done["points"]
        flags += [Flag(*flag) for flag in done["flags"]]
    except WorkError as error:
        if str(error).startswith("RuntimeError: the sandbox"):
            raise RunError(str(error)) from None
        flags.append(Flag("not run", str(error)))
    marks = marks_of(job.released, mended, points)
    flags += [Flag("answer in another cell", name) for name in answers_beside(job.released, mended)]
    page, plain = draw(mended, job.name, marks)
    if plain:
        flags.append(Flag("feedback without formulas", plain))
    return Outcome(mended, marks, tuple(flags), tuple(ids), page, time.monotonic() - started)


def mend(released: str, data: bytes | None) -> tuple[str, list[Flag], list[str]]:
    """The submission in the shape of the assignment, what was out of shape, and the ids of the student's own cells."""
    if data is None:
        return released, [], []
    try:
        got = _forge(read_step, released, base64.b64encode(data).decode(), seconds=READING)
    except WorkError as error:
        return released, [Flag("unreadable", str(error))], []
    return got["notebook"], [Flag(*flag) for flag in got["flags"]], got["ids"]


def compare(released: str, files: list[tuple[str, bytes]]) -> tuple[str, bytes | None, list[Flag]]:
    """Of several files the one that has the student's work in it, and what else there was."""
    try:
        return pick.unpacked(_forge(pick.best, released, pick.packed(files), seconds=READING))
    except WorkError as error:
        return "", None, [Flag("unreadable", f"{', '.join(label for label, _ in files)}: {error}")]


def marks_of(released: str, notebook: str, points: Mapping[str, float | None]) -> tuple[Mark, ...]:
    """The marks before anybody read the written answers: those that were left as they were get nothing."""
    before = {cell["id"]: cell["source"] for cell in json.loads(released)["cells"]}
    beside = answers_beside(released, notebook)
    marks = []
    for cell in json.loads(notebook)["cells"]:
        meta = cell["metadata"].get("nbgrader", {})
        if meta.get("grade"):
            name, most = meta["grade_id"], float(meta["points"])
            own = meta["solution"] and "".join(cell["source"]).strip() != "".join(before[cell["id"]]).strip()
            own = own or name in beside or bool(meta["solution"] and cell.get("attachments"))
            comment = "No response." if meta["solution"] and not own else ""
            given = points.get(name, 0.0)
            marks.append(Mark(name, None if own or given is None else float(given), most, comment))
    return tuple(marks)


def answers_beside(released: str, notebook: str) -> list[str]:
    """The written answers whose cell was left as it was, with prose of the student's in a cell next to it."""
    before = {cell["id"]: "".join(cell["source"]).strip() for cell in json.loads(released)["cells"]}
    cells = json.loads(notebook)["cells"]
    found = []
    for i, cell in enumerate(cells):
        meta = cell["metadata"].get("nbgrader", {})
        written = meta.get("grade") and meta["solution"] and cell["cell_type"] == "markdown"
        if written and "".join(cell["source"]).strip() == before.get(cell["id"]):
            near = [*takewhile(_added, cells[i + 1 :]), *takewhile(_added, reversed(cells[:i]))]
            if any(map(_is_prose, near)):
                found.append(meta["grade_id"])
    return found


def _added(cell: dict[str, Any]) -> bool:
    return str(cell.get("id", "")).startswith("extra-")


def _is_prose(cell: dict[str, Any]) -> bool:
    """True for text and pictures, and for text in a code cell: comments, a string, or what looks like no Python."""
    source = "".join(cell["source"]).strip()
    if cell["cell_type"] != "code" or not source:
        return bool(source or cell.get("attachments"))
    comments = all(line.lstrip().startswith("#") for line in source.splitlines() if line.strip())
    return comments or source[0] in "\"'" or not CODE.search(source)


def draw(notebook: str, name: str, marks: tuple[Mark, ...], note: str = "") -> tuple[str, str]:
    """The feedback page, and why it is a plain one, if it is: text as it was written, or the marks alone."""
    given = [[m.question, m.points, m.maximum, m.comment] for m in marks]
    why = ""
    for plain in (False, True):
        try:
            return _forge(feedback_step, notebook, name, given, plain, note, seconds=DRAWING), why
        except WorkError as error:
            why = why or str(error)
    return feedback.page(nbformat.v4.new_notebook(), name, list(marks), note=note), why


# -- the steps, in a child of the forge --------------------------------------------------------------------------


def read_step(released: str, data: str) -> dict[str, Any]:
    """Bring the submitted bytes into the shape of the assignment."""
    ours = nbformat.reads(released, as_version=4)
    flags: list[Flag] = []
    ids: list[str] = []
    notebook = ours
    try:
        notebook, flags, ids = repair(ours, parse(base64.b64decode(data)))
    except UnreadableError as error:
        flags = [Flag("unreadable", str(error))]
    for cell in notebook.cells:
        cell.source = clean.text(cell.source)
    return {"notebook": nbformat.writes(notebook), "flags": _flags(flags), "ids": [clean.text(i) for i in ids]}


def examine_step(job: Job, mended: str) -> dict[str, Any]:
    """Run the notebook and its tests; the notebook that comes back may be opened by the instructor."""
    source, notebook = (nbformat.reads(text, as_version=4) for text in (job.source, mended))
    done = examine(source, notebook, job.sandbox, job.limits)
    tests = {c.metadata["nbgrader"]["grade_id"]: c.source for c in source.cells if role_of(c) == "test"}
    for cell in done.notebook.cells:
        meta = cell.metadata.get("nbgrader", {})
        if meta.get("grade_id") in tests:
            cell.source = tests[meta["grade_id"]]  # the instructor sees the hidden part
        elif cell.cell_type == "markdown" and role_of(cell) in ("written", "extra"):
            cell.source = clean.markdown(cell.source)
    return {"notebook": nbformat.writes(done.notebook), "points": done.points, "flags": _flags(done.flags)}


def feedback_step(notebook: str, name: str, marks: list[list[Any]], plain: bool, note: str = "") -> str:
    """Draw the feedback page."""
    read: NotebookNode = nbformat.reads(notebook, as_version=4)
    return feedback.page(read, name, [Mark(*mark) for mark in marks], plain, note)


def _flags(flags: Any) -> list[list[str]]:
    return [[flag.kind, flag.detail] for flag in flags]
