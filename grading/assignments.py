"""Assignments: one MyST source each, turned into a student notebook and a notebook for nbgrader.

    python grading/assignments.py            build all, check that nothing leaks and that the reference passes
    python grading/assignments.py --publish  only write the student notebooks to book/assignments (seconds)

Every code cell of a source says what it is, in its first lines; a cell that does not stops the build:

    :given: NAME                locked: imports and helpers
    :answer: NAME               the student writes it; holds a region ### BEGIN SOLUTION ... ### END SOLUTION
    :test: NAME, :points: N     locked and graded; hidden parts between ### BEGIN HIDDEN TESTS ... ### END HIDDEN TESTS
    :scratch: NAME              the student's own, run when graded
    :keep: NAME                 the student's own, not run when graded: its output is kept as handed in

A written answer is a Markdown cell: +++ {"written": "NAME", "points": N}.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

GRADING = Path(__file__).resolve().parent
SOURCES = Path(os.environ.get("SOURCES") or GRADING / "sources").resolve()  # a private set lies elsewhere
PUBLISHED = GRADING.parent / "book" / "assignments"

ROLES = ("given", "answer", "test", "scratch", "keep", "written")
MARKERS = ("### BEGIN SOLUTION", "### END SOLUTION", "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS")
STUB = '# YOUR CODE HERE\nraise NotImplementedError("Replace this line with your code.")'
REGION = re.compile(
    r"^[ \t]*### BEGIN (?:SOLUTION|HIDDEN TESTS)\n(.*?)^[ \t]*### END (?:SOLUTION|HIDDEN TESTS)$",
    re.DOTALL | re.MULTILINE,
)


class SourceError(Exception):
    """A source that could leak or that cannot be graded as it is written."""


# -- reading a source ------------------------------------------------------------------------------------------


def _looks_like_a_marker(line: str) -> bool:
    """True for a line that was probably meant as a marker: any case, any number of #, a slip or two."""
    words = re.sub(r"[^a-z ]", "", line.lower().replace("_", " ").replace("-", " ")).split()
    text = " ".join(words)
    meant = (m.lower().lstrip("# ") for m in MARKERS)
    return len(words) <= 4 and any(difflib.SequenceMatcher(None, text, m).ratio() > 0.75 for m in meant)


def _check_markers(text: str, allowed: str | None, where: str) -> int:
    """Check the markers in a cell that may hold regions of one kind ("SOLUTION", "HIDDEN TESTS"); count them."""
    inside, regions = None, 0
    for line in text.splitlines():
        mark = line.strip()
        if mark not in MARKERS:
            if _looks_like_a_marker(mark):
                raise SourceError(f"{where}: {mark!r} looks like a marker; the markers are {', '.join(MARKERS)}")
            continue
        edge, kind = mark.split()[1], mark.split(maxsplit=2)[2]
        if kind != allowed:
            raise SourceError(f"{where}: {mark!r} has no place in this cell")
        if (edge == "BEGIN") == (inside is not None):
            raise SourceError(f"{where}: {mark!r} does not pair with a marker before it")
        inside = kind if edge == "BEGIN" else None
        regions += edge == "BEGIN"
    if inside:
        raise SourceError(f"{where}: ### END {inside} is missing")
    return regions


def _bound_names(code: str) -> set[str]:
    """Names that a cell defines at its top level."""
    names: set[str] = set()
    for node in ast.parse(code).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(a.asname or a.name).split(".")[0] for a in node.names}
        else:
            names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return names


def read(source: Path) -> NotebookNode:
    """Read a source, check it, and return the notebook with solutions, hidden tests and nbgrader's metadata."""
    notebook = jupytext.reads(source.read_text(encoding="utf-8"), fmt="md:myst")
    seen: set[str] = set()
    given_names: set[str] = set()
    for number, cell in enumerate(notebook.cells):
        roles = [r for r in ROLES if r in cell.metadata]
        where = f"{source.name}, cell {number} ({cell.source.strip().splitlines()[0] if cell.source.strip() else ''})"
        unknown = set(cell.metadata) - {*ROLES, "points"}
        if unknown:
            raise SourceError(f"{where}: unknown option {', '.join(sorted(unknown))}")
        if not roles and cell.cell_type == "code":
            raise SourceError(f"{where}: say what the cell is: {', '.join(ROLES)}")
        if not roles:
            _check_markers(cell.source, None, where)
            cell.metadata, cell["id"] = NotebookNode(), f"{source.stem}-text-{number}"
            continue
        if len(roles) > 1 or (roles == ["written"]) != (cell.cell_type == "markdown"):
            raise SourceError(f"{where}: {', '.join(roles)} does not fit this cell")
        role, name = roles[0], str(cell.metadata[roles[0]])
        if not re.fullmatch(r"[a-z0-9-]+", name) or name in seen:
            raise SourceError(f"{where}: the name {name!r} must be new and hold only a-z, 0-9 and -")
        seen.add(name)
        allowed = {"answer": "SOLUTION", "written": "SOLUTION", "test": "HIDDEN TESTS"}.get(role)
        regions = _check_markers(cell.source, allowed, where)
        if role in ("answer", "written") and not regions:
            raise SourceError(f"{where}: an answer needs ### BEGIN SOLUTION ... ### END SOLUTION")
        graded = role in ("test", "written")
        points = cell.metadata.get("points")
        if graded != isinstance(points, int | float) or (graded and points <= 0):
            raise SourceError(f"{where}: tests and written answers, and only they, have points")
        if role == "given":
            given_names |= _bound_names(cell.source)
        elif role == "answer" and (clash := given_names & _bound_names(cell.source)):
            raise SourceError(f"{where}: {', '.join(clash)} is defined in a given cell; locked cells keep that one")
        cell.metadata = NotebookNode(normcore={"role": role})
        if role not in ("scratch", "keep"):
            cell.metadata["nbgrader"] = NotebookNode(
                grade_id=name,
                grade=graded,
                solution=role in ("answer", "written"),
                task=False,
                locked=role in ("given", "test"),
                schema_version=3,
                **({"points": points} if graded else {}),
            )
        cell["id"] = f"{source.stem}-{name}"
    if not secrets(notebook):
        raise SourceError(f"{source.name}: no solution and no hidden test in it")
    notebook.metadata = NotebookNode(
        kernelspec={"name": "python3", "display_name": "Python 3", "language": "python"},
        language_info={"name": "python"},
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def regions(notebook: NotebookNode) -> Iterator[str]:
    """The text of every solution and hidden test, region by region."""
    for cell in notebook.cells:
        yield from REGION.findall(cell.source)


def secrets(notebook: NotebookNode) -> set[str]:
    """Lines that no student may see: those of solutions and hidden tests that stand nowhere else."""
    public = {line.strip() for cell in notebook.cells for line in REGION.sub("", cell.source).splitlines()}
    lines = {line.strip() for region in regions(notebook) for line in region.splitlines()}
    return {line for line in lines - public if len(re.sub(r"\W", "", line)) > 12}


# -- the student version ---------------------------------------------------------------------------------------


def student_version(notebook: NotebookNode) -> NotebookNode:
    """Return the student's notebook, made by nbgrader's own preprocessors; a leak raises SourceError."""
    import contextlib
    import warnings

    with warnings.catch_warnings(), contextlib.redirect_stderr(None):
        warnings.simplefilter("ignore")  # nbgrader imports what newer libraries deprecate
        from nbgrader.preprocessors import (
            ClearHiddenTests,
            ClearOutput,
            ClearSolutions,
            ComputeChecksums,
            LockCells,
        )
    released: NotebookNode = nbformat.from_dict(notebook.copy())
    released = nbformat.reads(nbformat.writes(released), as_version=4)
    resources: dict[str, Any] = {}
    clear = ClearSolutions(code_stub={"python": STUB})
    for step in (LockCells(), clear, ClearOutput(), ClearHiddenTests(), ComputeChecksums()):
        released, resources = step.preprocess(released, resources)
    for cell in released.cells:  # a hidden region leaves blank lines at the end of its cell
        cell.source = cell.source.rstrip()
    text = "\n".join(cell.source for cell in released.cells)
    leaked = [line for line in secrets(notebook) if line in text]
    leaked += [line for line in text.splitlines() if _looks_like_a_marker(line)]
    if leaked:
        raise SourceError(f"the student version would show {leaked}")
    return released


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


def fingerprint(source: Path) -> str:
    """A short digest of a source and of the program that reads it."""
    return hashlib.sha256(source.read_bytes() + Path(__file__).read_bytes()).hexdigest()[:16]


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


def maximum(notebook: NotebookNode, automatic: bool = False) -> float:
    """Points of the assignment; with automatic=True only those that tests give."""
    metas = (cell.metadata.get("nbgrader", {}) for cell in notebook.cells)
    return sum(m["points"] for m in metas if m.get("grade") and not (automatic and m["solution"]))


def check(source: Path) -> str:
    """Check that the reference solution gets full marks and the untouched notebook none; return one line."""
    notebook = read(source)
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
    return (
        f"{source.stem}: {maximum(notebook):g} points, {maximum(notebook, automatic=True):g} of them by tests; "
        f"none of {len(secrets(notebook))} secret lines in the student version; the reference gets full marks"
    )


def register(source: Path, root: Path) -> None:
    """Hand the source to nbgrader: its source/ and release/ folders and its gradebook under root."""
    from grade import gradebook, nbgrader_api

    notebook = read(source)
    folder = root / "source" / source.stem
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / f"{source.stem}.ipynb")
    api = nbgrader_api(root)
    result = api.generate_assignment(source.stem, force=True, create=True)
    if not result["success"]:
        raise SourceError(f"nbgrader refuses {source.name}:\n{result.get('log', '')}{result.get('error', '')}")
    with gradebook(root) as book:
        book.find_assignment(source.stem)
    (root / f"{source.stem}.built").write_text(fingerprint(source))


def main(arguments: list[str]) -> None:
    """Publish, and unless told --publish also check and register every assignment."""
    private = SOURCES != GRADING / "sources"  # a private set stays out of the book
    try:
        paths = publish(SOURCES / "student" if private else PUBLISHED)
        if arguments != ["--publish"]:
            from grade import default_root

            root = default_root()
            for source in sorted(SOURCES.glob("*.md")):
                print(check(source), flush=True)
                register(source, root)
    except SourceError as error:
        sys.exit(f"assignments: {error}")
    print(f"student notebooks: {', '.join(os.path.relpath(p) for p in paths)}")


if __name__ == "__main__":
    sys.path.insert(0, str(GRADING))
    main(sys.argv[1:])
