"""Sources of assignments: one MyST file each, read and turned into the notebook that students get.

Every code cell of a source says what it is, in its first lines; a cell that does not stops the build:

    :given: NAME                locked: imports and helpers
    :variant: NAME              locked: numbers of the student's own, from draw.integer(low, high), draw.choice(options)
    :asked: NAME                locked: functions that run beside the answers and hand numbers and arrays to the tests
    :answer: NAME               the student writes it; holds a region ### BEGIN SOLUTION ... ### END SOLUTION
    :test: NAME, :points: N     locked and graded; hidden parts between ### BEGIN HIDDEN TESTS ... ### END HIDDEN TESTS
    :scratch: NAME              the student's own, run when graded
    :keep: NAME                 the student's own, not run when graded: its output is kept as handed in

A written answer is a Markdown cell: +++ {"written": "NAME", "points": N}.
"""

from __future__ import annotations

import ast
import difflib
import functools
import hashlib
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from grading import variants

ROLES = ("given", "variant", "asked", "answer", "test", "scratch", "keep", "written")
MARKERS = ("### BEGIN SOLUTION", "### END SOLUTION", "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS")
STUB = '# YOUR CODE HERE\nraise NotImplementedError("Replace this line with your code.")'
REGION = re.compile(
    r"^[ \t]*### BEGIN (?:SOLUTION|HIDDEN TESTS)\n(.*?)^[ \t]*### END (?:SOLUTION|HIDDEN TESTS)$",
    re.DOTALL | re.MULTILINE,
)
WHOLE_REGION = re.compile(REGION.pattern + r"\n?", REGION.flags)


class SourceError(Exception):
    """A source that could leak or that cannot be graded as it is written."""


# -- reading a source ------------------------------------------------------------------------------------------


def looks_like_a_marker(line: str) -> bool:
    """True for a line that was probably meant as a marker: any case, any number of #, a slip or two."""
    words = re.sub(r"[^a-z ]", "", line.lower().replace("_", " ").replace("-", " ")).split()
    text = " ".join(words)
    meant = (m.lower().lstrip("# ") for m in MARKERS)
    return len(words) <= 4 and any(difflib.SequenceMatcher(None, text, m).ratio() > 0.75 for m in meant)


def _check_markers(text: str, allowed: str | None, where: str) -> int:
    """Check the markers in a cell that may hold regions of one kind ("SOLUTION", "HIDDEN TESTS"); count them."""
    inside, count = None, 0
    for line in text.splitlines():
        mark = line.strip()
        if mark not in MARKERS:
            if looks_like_a_marker(mark):
                raise SourceError(f"{where}: {mark!r} looks like a marker; the markers are {', '.join(MARKERS)}")
            continue
        edge, kind = mark.split()[1], mark.split(maxsplit=2)[2]
        if kind != allowed:
            raise SourceError(f"{where}: {mark!r} has no place in this cell")
        if (edge == "BEGIN") == (inside is not None):
            raise SourceError(f"{where}: {mark!r} does not pair with a marker before it")
        inside = kind if edge == "BEGIN" else None
        count += edge == "BEGIN"
    if inside:
        raise SourceError(f"{where}: ### END {inside} is missing")
    return count


def bound_names(code: str) -> set[str]:
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


def has_variants(source: Path) -> bool:
    """True if students get numbers of their own."""
    return bool(re.search(r"^:variant:", source.read_text(encoding="utf-8"), re.MULTILINE))


def read(source: Path, seed: bytes = b"") -> NotebookNode:
    """Read a source, check it, and return the notebook with solutions, hidden tests and nbgrader's metadata.

    The seed is that of the student's own numbers, see variants.py; without one they are those that everybody gets.
    """
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
        marked = _check_markers(cell.source, allowed, where)
        if role in ("answer", "written") and not marked:
            raise SourceError(f"{where}: an answer needs ### BEGIN SOLUTION ... ### END SOLUTION")
        graded = role in ("test", "written")
        points = cell.metadata.get("points")
        if graded != isinstance(points, int | float) or (graded and points <= 0):
            raise SourceError(f"{where}: tests and written answers, and only they, have points")
        if role == "variant":
            try:
                cell.source, role = variants.drawn(cell.source, seed), "given"
            except Exception as error:
                raise SourceError(f"{where}: {type(error).__name__}: {error}") from None
        if role in ("given", "asked"):
            given_names |= bound_names(cell.source)
        elif role == "answer" and (clash := given_names & bound_names(cell.source)):
            raise SourceError(f"{where}: {', '.join(clash)} is defined in a given cell; locked cells keep that one")
        cell.metadata = NotebookNode(normcore={"role": role})
        if role not in ("scratch", "keep"):
            cell.metadata["nbgrader"] = NotebookNode(
                grade_id=name,
                grade=graded,
                solution=role in ("answer", "written"),
                task=False,
                locked=role in ("given", "asked", "test"),
                schema_version=3,
                **({"points": points} if graded else {}),
            )
        cell["id"] = f"{source.stem}-{name}"
    if not hidden_lines(notebook):
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


def hidden_lines(notebook: NotebookNode) -> set[str]:
    """Lines that no student may see: those of solutions and hidden tests that stand nowhere else."""
    public = {line.strip() for cell in notebook.cells for line in REGION.sub("", cell.source).splitlines()}
    lines = {line.strip() for region in regions(notebook) for line in region.splitlines()}
    return {line for line in lines - public if len(re.sub(r"\W", "", line)) > 12}


# -- the student version ---------------------------------------------------------------------------------------


def student_version(notebook: NotebookNode) -> NotebookNode:
    """Return the student's notebook; a leak raises SourceError.

    It is what nbgrader's own preprocessors make of it (a test compares), without the checksums, which nbgrader takes
    from its gradebook.  So the book can be built where nbgrader is not installed.
    """
    released: NotebookNode = nbformat.reads(nbformat.writes(notebook), as_version=4)
    for cell in released.cells:
        stub = STUB if cell.cell_type == "code" else "YOUR ANSWER HERE"
        cell.source = WHOLE_REGION.sub(functools.partial(_public, stub=stub), cell.source).rstrip()
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        meta = cell.metadata.get("nbgrader", {})
        if meta:
            cell.metadata["deletable"] = False
        if meta and not meta["solution"]:
            cell.metadata["editable"] = False
    text = "\n".join(cell.source for cell in released.cells)
    leaked = [line for line in hidden_lines(notebook) if line in text]
    leaked += [line for line in text.splitlines() if looks_like_a_marker(line)]
    if leaked:
        raise SourceError(f"the student version would show {leaked}")
    return released


def _public(region: re.Match[str], stub: str) -> str:
    """What stands in place of a region: nothing for hidden tests, the stub for a solution."""
    text = region[0]
    if "HIDDEN" in text.splitlines()[0]:
        return ""
    indent = text[: len(text) - len(text.lstrip(" \t"))]
    return textwrap.indent(stub, indent) + ("\n" if text.endswith("\n") else "")


def fingerprint(source: Path) -> str:
    """A short digest of a source and of the program that reads it."""
    parts = (source.read_bytes(), *(Path(module).read_bytes() for module in (__file__, variants.__file__)))
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def maximum(notebook: NotebookNode, automatic: bool = False) -> float:
    """Points of the assignment; with automatic=True only those that tests give."""
    metas = (cell.metadata.get("nbgrader", {}) for cell in notebook.cells)
    return float(sum(m["points"] for m in metas if m.get("grade") and not (automatic and m["solution"])))
