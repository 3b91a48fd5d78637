"""The results of a class: grades.csv, summary.html, distribution.svg."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from itertools import islice
from pathlib import Path

import jinja2

from grading.course import replace
from grading.records import Flag, Mark, Record

MOST_NAMED = 3  # of those who share a cell


def shared_cells(records: Iterable[Record]) -> dict[str, list[str]]:
    """Return, for each student, the first others who handed in a cell with the same random id.

    A cell that the whole class has costs no more than one that two have: no list is read further than it is named.
    """
    records = sorted(records, key=lambda record: record.student)
    owners: dict[str, list[str]] = {}
    for record in records:
        for own in set(record.ids) - {""}:
            owners.setdefault(own, []).append(record.student)
    together = {record.student: record.together for record in records}

    def others(record: Record, own: str) -> Iterator[str]:
        for student in owners.get(own, ()):
            if student != record.student and not (record.together and together[student] == record.together):
                yield student

    return {
        r.student: sorted({other for own in set(r.ids) for other in islice(others(r, own), MOST_NAMED)})[:MOST_NAMED]
        for r in records
    }


def flags_of(record: Record, shared: dict[str, list[str]]) -> tuple[Flag, ...]:
    """Every flag of a submission."""
    others = shared[record.student]
    unknown = (Flag("late by an unknown time", "nothing is taken off"),) if record.off is None else ()
    return record.all_flags + unknown + ((Flag("cells in common", ", ".join(others)),) if others else ())


OF_A_VERSION = (
    "points edited",
    "metadata edited",
    "test edited",
    "test missing",
    "given cell edited",
    "given cell missing",
)


def of_another_version(records: Iterable[Record]) -> set[Flag]:
    """What more than half of a class seems to have changed: the instructor changed it after giving the notebook out."""
    records = list(records)
    count = Counter(flag for record in records for flag in set(record.flags) if flag.kind in OF_A_VERSION)
    return {flag for flag, number in count.items() if number > max(2, len(records) / 2)}


def without(records: list[Record], flags: set[Flag]) -> list[Record]:
    """The records without these flags."""
    return [replace_fields(r, flags=tuple(flag for flag in r.flags if flag not in flags)) for r in records]


def write_results(results: Path, name: str, records: list[Record], absent: Sequence[Record] = ()) -> None:
    """Write grades.csv, distribution.svg and summary.html; absent are those who are known but not in this export."""
    results.mkdir(parents=True, exist_ok=True)
    changed = of_another_version(records)
    records = without(records, changed)
    shared = shared_cells(records)
    replace(results / "grades.csv", table(name, records, shared))
    graded = [r for r in records if r.marks]
    totals = [r.points for r in graded]
    most = sum(mark.maximum for mark in graded[0].marks) if graded else 0
    unread = sum(mark.points is None for r in graded for mark in r.marks)
    replace(results / "distribution.svg", distribution(totals, most, unread))
    replace(results / "summary.html", summary(name, records, shared, absent, changed))


# what makes a formula of a cell: at its start, or behind what another program may take for the end of a cell
FORMULA = re.compile(r"""(^|[;,|\t])([\s"']*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])""")
NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d+)?%?)?")  # also a dash alone


def cell(text: str) -> str:
    """A text on one line that no spreadsheet takes for a formula, whatever it splits cells at: see the apostrophes."""
    text = re.sub(r"[\r\n]+", " ", text)
    return text if NUMBER.fullmatch(text) else FORMULA.sub(r"\1\2'", text)


def sheet(rows: Iterable[Sequence[object]], mark: str = "\N{BYTE ORDER MARK}") -> str:
    """Rows as CSV, with every cell made safe; the byte order mark tells Excel that it is UTF-8."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([[cell(str(value)) for value in row] for row in rows])
    return mark + out.getvalue()


def table(name: str, records: list[Record], shared: dict[str, list[str]]) -> str:
    """grades.csv: one line for each question of each student."""
    rows: list[list[str]] = [
        ["id", "name", "student", "assignment", "question", "points", "maximum", "total", "flag", "late", "off"]
    ]
    for record in records:
        flags = [str(flag) for flag in flags_of(record, shared)]
        who = [record.id, record.name, record.student, name]
        for mark in record.marks or (Mark("", None, 0),):
            by_hand = ["to be read"] if mark.points is None and mark.question else []
            points = "" if mark.points is None else f"{mark.points:g}"
            most = f"{mark.maximum:g}" if mark.maximum else ""
            total = f"{record.total:g}" if record.marks else ""
            lost = record.points - record.total
            off = f"{lost:g}" if lost else ""
            rows.append([*who, mark.question, points, most, total, "; ".join(flags + by_hand), record.late, off])
    return sheet(rows)


def distribution(totals: list[float], most: float, unread: int) -> str:
    """The histogram of the totals, as SVG; the same numbers give the same bytes."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with matplotlib.rc_context({"svg.hashsalt": "normcore", "svg.fonttype": "none"}):
        figure = Figure(figsize=(7, 3), layout="constrained")
        axes = figure.subplots()
        bins = round(most) + 1
        axes.hist(totals, bins=bins, range=(-0.5, bins - 0.5), color="#1f5f8b", rwidth=0.85)
        if totals:
            axes.axvline(sum(totals) / len(totals), color="#b5451b", linestyle="--", label="mean")
            axes.legend()
        axes.set(
            xlabel=f"points of {most:g}" + (" (written answers still to be read)" if unread else ""), ylabel="students"
        )
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


@dataclass(frozen=True)
class Question:
    """How a class did on one question."""

    name: str
    maximum: float
    points: tuple[float | None, ...]

    @property
    def read(self) -> list[float]:
        """The points that were given."""
        return [p for p in self.points if p is not None]

    @property
    def mean(self) -> float | None:
        """The mean of the points that were given."""
        return sum(self.read) / len(self.read) if self.read else None

    @property
    def zeros(self) -> int:
        """How many got nothing."""
        return sum(p == 0 for p in self.read)

    @property
    def unread(self) -> int:
        """How many answers nobody has read yet."""
        return len(self.points) - len(self.read)


def questions(records: list[Record]) -> list[Question]:
    """The questions in the order of the assignment."""
    marks: dict[str, list[Mark]] = {}
    for record in records:
        for mark in record.marks:
            marks.setdefault(mark.question, []).append(mark)
    return [Question(name, own[-1].maximum, tuple(mark.points for mark in own)) for name, own in marks.items()]


def summary(
    name: str,
    records: list[Record],
    shared: dict[str, list[str]],
    absent: Sequence[Record] = (),
    changed: Iterable[Flag] = (),
) -> str:
    """The page for the instructor: distribution, questions, and whom to look at."""
    graded = [record for record in records if record.marks]
    ordered = sorted(record.points for record in graded)
    most = sum(mark.maximum for mark in graded[0].marks) if graded else 0
    facts = "no submission was graded"
    if ordered:
        middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
        facts = (
            f"{len(ordered)} graded; mean {sum(ordered) / len(ordered):.1f}, median {middle:g}, "
            f"from {ordered[0]:g} to {ordered[-1]:g} of {most:g} points"
        )
    pairs = [(r.shown, flag) for r in records for flag in flags_of(r, shared)]
    pairs += [(r.shown, Flag("late")) for r in records if r.late == "yes"]
    asked = questions(records)
    page = jinja2.Environment(
        loader=jinja2.PackageLoader("grading", ""), autoescape=True, undefined=jinja2.StrictUndefined
    ).get_template("summary.html.jinja")
    return page.render(
        name=name,
        facts=facts,
        changed=sorted(map(str, changed)),
        absent=[record.shown for record in absent],
        unread=sum(question.unread for question in asked),
        questions=asked,
        serious=[pair for pair in pairs if not pair[1].minor],
        minor=[pair for pair in pairs if pair[1].minor],
    )
