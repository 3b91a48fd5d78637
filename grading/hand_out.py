"""What is given to students: notebooks with numbers of their own, and the solutions once everybody has handed in."""

from __future__ import annotations

import io
import zipfile
from datetime import datetime, timezone
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from grading import register, times, variants
from grading.course import Course, replace
from grading.hand_in import key_of
from grading.late import read_extensions
from grading.source import MARKERS, REGION, fingerprint, has_variants, hidden_lines, read, student_version


class HandOutError(Exception):
    """Something that must not be given out, or not yet."""


def notebook_for(course: Course, name: str, student: str, key: bytes) -> NotebookNode:
    """The notebook of one student, with their numbers; nothing of the key is in it."""
    source = course.source(name)
    released = student_version(read(source, variants.seed_of(key, name, student)))
    released.metadata["normcore"] = {"assignment": name, "source": fingerprint(source)}
    return released


def hand_out(course: Course, name: str, path: Path) -> list[str]:
    """Write a zip with a folder and a notebook for each student of a class list; return what to tell."""
    if not has_variants(course.source(name)):
        raise HandOutError(f"{name} draws no numbers: everybody gets {course.published / f'{name}.ipynb'}")
    of = register.any_list(path, set())
    key = variants.key_of_course(course.key, make=True)
    target = course.results / name / "notebooks.zip"
    target.parent.mkdir(parents=True, exist_ok=True)
    out, different = io.BytesIO(), set()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for student in of.people:
            text = nbformat.writes(notebook_for(course, name, key_of(student), key))
            different.add(text)
            info = zipfile.ZipInfo(f"{key_of(student)}/{name}.ipynb", (2000, 1, 1, 0, 0, 0))
            archive.writestr(info, text, zipfile.ZIP_DEFLATED)
    target.write_bytes(out.getvalue())
    return [
        f"{target}: {len(of.people)} notebooks, {len(different)} different ones",
        f"{course.key}: the key that the grader draws the same numbers from; keep a backup, and give it to nobody",
    ]


def solution(course: Course, name: str, after: str, now: datetime | None = None) -> Path:
    """Write the notebook with the solutions, and without hidden tests; HandOutError before its time.

    Its time is the given one, or the last extension if that is later.
    """
    now = now or datetime.now(timezone.utc)
    try:
        moment = times.deadline(after)
    except (ValueError, OverflowError):
        raise HandOutError(f"AFTER is a date such as 2026-12-08 or '2026-12-08 18:00', not {after!r}") from None
    extensions = read_extensions(course.extensions, name, times.zone_in(after))
    waiting = {who: due for who, due in extensions.items() if due >= now}
    if now <= moment:
        raise HandOutError(f"the solution of {name} is not given out before {times.said(moment)}")
    if waiting:
        who, due = max(waiting.items(), key=lambda pair: pair[1])
        raise HandOutError(f"{len(waiting)} may still hand in {name}, {who} until {times.said(due)}")
    notebook = with_solutions(read(course.source(name)))
    target = course.results / name / f"{name}-solution.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    replace(target, nbformat.writes(notebook))
    return target


def with_solutions(source: NotebookNode) -> NotebookNode:
    """The student's notebook with the reference answers in place of the stubs; no hidden test is in it."""
    notebook = student_version(source)
    for cell, reference in zip(notebook.cells, source.cells, strict=True):
        if reference.metadata.get("normcore", {}).get("role") in ("answer", "written"):
            cell.source = "\n".join(line for line in reference.source.splitlines() if line.strip() not in MARKERS)
        cell.metadata = NotebookNode()
    text = "\n".join(cell.source for cell in notebook.cells)
    tests = [cell for cell in source.cells if cell.metadata.get("normcore", {}).get("role") == "test"]
    hidden = {line.strip() for cell in tests for part in REGION.findall(cell.source) for line in part.splitlines()}
    leaked = [line for line in hidden & hidden_lines(source) if line in text]
    if leaked:
        raise HandOutError(f"the solution would show hidden tests: {leaked}")
    return notebook
