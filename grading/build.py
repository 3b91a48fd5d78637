"""Publish the assignments, check them, and hand them to nbgrader."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from grading import gradebook, rubric, variants
from grading.course import PUBLISHED, SOURCES, Course, replace
from grading.source import SourceError, fingerprint, has_variants, hidden_lines, maximum, read, student_version


def publish(folder: Path = PUBLISHED, sources: Path = SOURCES) -> list[Path]:
    """Write the student version of every source to folder, only where it changed; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for source in sorted(sources.glob("*.md")):
        path = folder / f"{source.stem}.ipynb"
        stamp = fingerprint(source)
        if not (path.exists() and nbformat.read(path, 4).metadata.get("normcore", {}).get("source") == stamp):
            released = student_version(read(source))
            released.metadata["normcore"] = {"assignment": source.stem, "source": stamp}
            nbformat.write(released, path)
        paths.append(path)
    for stale in set(folder.glob("*.ipynb")) - set(paths):
        stale.unlink()
    return paths


# -- checking a source against solutions -----------------------------------------------------------------------


def score(notebook: NotebookNode, answers: dict[str, str] | None = None) -> dict[str, tuple[float, str]]:
    """Run the notebook in this process, with other answers by name; return points and message for each test.

    For the author's own answers only: nothing is isolated here.
    """
    answers = dict(answers or {})
    namespace: dict[str, Any] = {"__name__": "__main__"}
    points = {}
    for cell in notebook.cells:
        meta = cell.metadata.get("nbgrader", {})
        if cell.cell_type != "code" or cell.metadata.get("normcore", {}).get("role") == "keep":
            continue
        code = answers.pop(meta.get("grade_id", ""), cell.source)
        try:
            exec(compile(code, f"<{cell['id']}>", "exec"), namespace)
            message = ""
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
        if meta.get("grade"):
            points[meta["grade_id"]] = (0.0 if message else float(meta["points"]), message)
        elif message and not meta.get("solution"):
            raise SourceError(f"cell {cell['id']} fails: {message}")
    if answers:
        raise SourceError(f"no such answer: {', '.join(answers)}")
    return points


DRAWS = 6  # students' own numbers that an assignment is checked with


def check(source: Path) -> str:
    """Check that the reference solution gets full marks and the untouched notebook none; return one line.

    Where students have numbers of their own, this is checked for several draws of them.
    """
    for draw in range(DRAWS if has_variants(source) else 0):
        _check(source, read(source, variants.seed_of(b"check", source.stem, str(draw))))
    notebook = read(source)
    _check(source, notebook)
    tags = [cell.metadata["nbgrader"] for cell in notebook.cells if "nbgrader" in cell.metadata]
    worth = {tag["grade_id"]: tag.get("points") for tag in tags}
    for name, items in rubric.rubrics(notebook).items():
        if (most := sum(item.points for item in items)) != worth[name]:
            raise SourceError(
                f"{source.name}: the items of {name}'s rubric have {most:g} points, it has {worth[name]:g}"
            )
    return (
        f"{source.stem}: {maximum(notebook):g} points, {maximum(notebook, automatic=True):g} of them by tests; "
        f"none of {len(hidden_lines(notebook))} secret lines in the student version; the reference gets full marks"
    )


def _check(source: Path, notebook: NotebookNode) -> None:
    failed = {name: message for name, (got, message) in score(notebook).items() if not got}
    if failed:
        raise SourceError(f"{source.name}: the reference solution fails {failed}")
    stubs = {
        c.metadata["nbgrader"]["grade_id"]: c.source
        for c in student_version(notebook).cells
        if c.metadata.get("normcore", {}).get("role") == "answer"
    }
    free = [name for name, (got, _) in score(notebook, stubs).items() if got]
    if free:
        raise SourceError(f"{source.name}: {free} give points for an untouched notebook")


def points_before(course: Course, name: str) -> dict[str, list[float]]:
    """The points that each question ever had, also in notebooks that were given out earlier."""
    path = course.root / f"{name}.points.json"
    found: dict[str, list[float]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def _remember_points(course: Course, name: str, metas: list[Any]) -> None:
    kept = points_before(course, name)
    for meta in metas:
        if meta["grade"] and meta["points"] not in kept.setdefault(meta["grade_id"], []):
            kept[meta["grade_id"]].append(meta["points"])
    course.root.mkdir(parents=True, exist_ok=True)
    replace(course.root / f"{name}.points.json", json.dumps(kept))


def register(course: Course, name: str) -> None:
    """Hand a source to nbgrader: its source/ and release/ folders and its gradebook."""
    source = course.source(name)
    notebook = read(source)
    metas = [cell.metadata["nbgrader"] for cell in notebook.cells if "nbgrader" in cell.metadata]
    now = {(m["grade_id"], kind) for m in metas for kind in ("grade", "solution") if m[kind]}
    before, submissions = gradebook.cells_of(course, name)
    if submissions and before != now:
        odd = ", ".join(sorted({cell for cell, _ in before ^ now}))
        raise SourceError(
            f"{name}: tests or answers were added, removed or renamed ({odd}) after {submissions} submissions were "
            f"graded; make regrade A={name} FROM=... grades anew by the new ones and keeps the points given by hand"
        )
    _remember_points(course, name, metas)
    folder = course.root / "source" / name
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / f"{name}.ipynb")
    result = course.nbgrader().generate_assignment(name, force=True, create=True)
    if not result["success"]:
        raise SourceError(f"nbgrader refuses {source.name}:\n{result.get('log', '')}{result.get('error', '')}")
    with course.gradebook() as book:
        book.find_assignment(name)
    (course.root / f"{name}.built").write_text(fingerprint(source))


def build(course: Course, publish_only: bool = False) -> None:
    """Publish, and unless told otherwise also check and register every assignment."""
    paths = publish(course.published, course.sources)
    if not publish_only:
        for source in course.all_sources():
            print(check(source), flush=True)
            register(course, source.stem)
    print(f"student notebooks: {', '.join(os.path.relpath(p) for p in paths)}")
