"""Which submissions resemble each other: the same text, and answers that differ little. A list to read, no verdict.

Only what a student wrote is compared, without spaces and comments, and without the lines that were given, that stand in
the reference solution, or that many in the class have: what is left is what two people would hardly write alike.
The comparison is rapidfuzz's.
"""

from __future__ import annotations

import io
import json
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
from nbformat import NotebookNode

from grading.clean import person
from grading.course import Course, replace
from grading.results import sheet
from grading.source import read

SHARE = 0.1  # a line that this part of a class has is nobody's own
LEAST_COMMON = 4  # but one that fewer people have is
SHORTEST = 40  # characters; what is shorter is alike by chance
ALIKE = 80.0  # percent
MOST_PAIRS = 200
MOST_TEXT = 20_000  # characters of a submission that are compared
BLOCK = 256


@dataclass(frozen=True)
class Pair:
    """Two students, how much of their own lines agrees in percent, and how many of these lines are the same."""

    one: str
    other: str
    percent: float
    lines: int


def lines_of(source: str, code: bool = True) -> list[str]:
    """The lines of a cell as they are compared: code without comments and spaces, prose in small letters."""
    if not code:
        return [" ".join(line.casefold().split()) for line in source.splitlines() if line.strip()]
    kept: dict[int, list[str]] = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.string.strip() and token.type != tokenize.COMMENT:
                kept.setdefault(token.start[0], []).append(" ".join(token.string.split()))
    except (tokenize.TokenError, SyntaxError):
        return [" ".join(line.split("#")[0].split()) for line in source.splitlines() if line.split("#")[0].strip()]
    return [" ".join(words) for _, words in sorted(kept.items())]


def own_lines(cells: Iterable[dict[str, object]]) -> list[str]:
    """Every line that a student wrote into a notebook, as the grader keeps it."""
    found: list[str] = []
    for cell in cells:
        role = cell["metadata"].get("normcore", {}).get("role", "")  # type: ignore[attr-defined]
        if role in ("answer", "written", "scratch", "keep") or str(cell.get("id", "")).startswith("extra-"):
            found += lines_of("".join(cell["source"]), cell["cell_type"] == "code")  # type: ignore[arg-type]
    return found


def given_lines(source: NotebookNode) -> set[str]:
    """The lines of the assignment itself, its solution included."""
    return {line for cell in source.cells for line in lines_of(cell.source, cell.cell_type == "code")}


def texts(written: dict[str, list[str]], given: set[str]) -> dict[str, list[str]]:
    """What is left of everybody's lines: those that are theirs."""
    count = Counter(line for lines in written.values() for line in set(lines))
    most = max(LEAST_COMMON, SHARE * len(written))
    common = given | {line for line, number in count.items() if number > most}
    return {who: [line for line in lines if line not in common] for who, lines in written.items()}


def alike(left: dict[str, list[str]]) -> Iterator[Pair]:
    """The pairs whose own lines agree; block by block, so that no table of the whole class is in memory."""
    from rapidfuzz import fuzz, process

    people = [who for who, lines in sorted(left.items()) if len("\n".join(lines)) >= SHORTEST]
    all_ = ["\n".join(left[who])[:MOST_TEXT] for who in people]
    for i in range(0, len(people), BLOCK):
        for j in range(i, len(people), BLOCK):
            table = process.cdist(
                all_[i : i + BLOCK], all_[j : j + BLOCK], scorer=fuzz.ratio, score_cutoff=ALIKE, dtype=np.float32
            )
            for a, b in zip(*np.nonzero(table), strict=True):
                if i + a < j + b:
                    one, other = people[i + a], people[j + b]
                    yield Pair(one, other, float(table[a, b]), len(set(left[one]) & set(left[other])))


def identical(files: dict[str, str]) -> list[list[str]]:
    """Groups of students whose notebooks are the same in every letter that they wrote."""
    groups: dict[str, list[str]] = {}
    for who, text in sorted(files.items()):
        groups.setdefault(text, []).append(who)
    return [group for group in groups.values() if len(group) > 1]


def compare(course: Course, name: str, students: list[str]) -> tuple[list[list[str]], list[Pair]]:
    """Groups with the same text, and the pairs that are alike beside them, the most alike first."""
    written: dict[str, list[str]] = {}
    source = read(course.source(name))
    for student in students:
        path = course.root / "autograded" / student / name / f"{name}.ipynb"
        if path.exists():
            written[student] = own_lines(json.loads(path.read_text(encoding="utf-8"))["cells"])
    given = given_lines(source)
    theirs = {who: "\n".join(line for line in lines if line not in given) for who, lines in written.items()}
    same = identical({who: "\n".join(written[who]) for who, text in theirs.items() if len(text) >= SHORTEST})
    first = {who: group[0] for group in same for who in group}
    left = {who: lines for who, lines in texts(written, given).items() if first.get(who, who) == who}
    pairs = sorted(alike(left), key=lambda pair: (-pair.percent, -pair.lines, pair.one, pair.other))
    return same, pairs[:MOST_PAIRS]


def report(course: Course, name: str, people: dict[str, str]) -> Path:
    """Write similar.html and similar.csv into the results; people are the students by key, with what to call them."""
    same, pairs = compare(course, name, list(people))
    folder = course.results / name
    folder.mkdir(parents=True, exist_ok=True)
    shown = {who: person(called) for who, called in people.items()}
    rows = [["first", "second", "percent", "lines in common"]]
    rows += [[shown[one], shown[who], "100", "all"] for one, *others in same for who in others]
    rows += [[shown[pair.one], shown[pair.other], f"{pair.percent:.0f}", str(pair.lines)] for pair in pairs]
    replace(folder / "similar.csv", sheet(rows))
    page = jinja2.Environment(
        loader=jinja2.PackageLoader("grading", ""), autoescape=True, undefined=jinja2.StrictUndefined
    ).get_template("similar.html.jinja")
    groups = [[shown[who] for who in group] for group in same]
    named = [(shown[p.one], shown[p.other], f"{p.percent:.0f}%", p.lines) for p in pairs]
    text = page.render(name=name, number=len(people), groups=groups, pairs=named, least=ALIKE)
    replace(folder / "similar.html", text)
    return folder / "similar.html"
