"""Rubrics with points: what a written answer gets points for, item by item, and which items a reader ticked.

In the source, below the model answer of a written question, each item is a line of a list:

    - 1 point for saying that the outputs are equal
    - 2 points for the reason, the set of averaged values

In the Formgrader the reader writes the numbers of the items into the comment, `#1 #2`, or `#0` for none of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from nbformat import NotebookNode

ITEM = re.compile(r"^- (\d+(?:\.\d+)?) points? for (.+(?:\n  \S.*)*)", re.MULTILINE)
TICK = re.compile(r"(?<!\S)#(\d{1,2})(?=[\s,;.]|$)[,;.]?")


@dataclass(frozen=True)
class Item:
    """What gets points, and how many."""

    points: float
    text: str


Rubric = tuple[Item, ...]


def items(text: str) -> Rubric:
    """The items of a rubric in the text of a cell."""
    return tuple(Item(float(points), " ".join(said.split())) for points, said in ITEM.findall(text))


def rubrics(notebook: NotebookNode) -> dict[str, Rubric]:
    """The rubric of each written question of a source, if it has one."""
    found = {}
    for cell in notebook.cells:
        if cell.metadata.get("normcore", {}).get("role") == "written" and (listed := items(cell.source)):
            found[cell.metadata["nbgrader"]["grade_id"]] = listed
    return found


def ticked(rubric: Rubric, comment: str | None) -> set[int] | None:
    """The numbers of the items that a comment ticks; None if it ticks none, an empty set for #0."""
    numbers = {int(number) for number in TICK.findall(comment or "")}
    known = {number for number in numbers if number <= len(rubric)}
    return known - {0} if known and rubric else None


def points(rubric: Rubric, comment: str | None) -> float | None:
    """The points of the items that a comment ticks; None if it ticks none."""
    chosen = ticked(rubric, comment)
    return None if chosen is None else sum(rubric[number - 1].points for number in chosen)


def shown(rubric: Rubric, comment: str | None) -> str:
    """The comment for the student: every item with the points it got, and then what else the reader wrote."""
    chosen = ticked(rubric, comment)
    if chosen is None:
        return comment or ""
    lines = [
        f"{item.points if number in chosen else 0:g} of {item.points:g}: {item.text}"
        for number, item in enumerate(rubric, 1)
    ]
    rest = " ".join(TICK.sub(lambda m: m[0] if int(m[1]) > len(rubric) else "", comment or "").split())
    return "\n".join([*lines, rest]).rstrip()
