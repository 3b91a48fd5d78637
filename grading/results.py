"""The results of a class: grades.csv, summary.html, distribution.svg."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from pathlib import Path

import jinja2

from grading.course import replace
from grading.records import Flag, Mark, Record


def shared_cells(records: Iterable[Record]) -> dict[str, list[str]]:
    """Return, for each student, the others who handed in a cell with the same random id."""
    records = list(records)
    owners: dict[str, set[str]] = {}
    for record in records:
        for own in record.ids:
            if own:
                owners.setdefault(own, set()).add(record.student)
    together = {r.student: {s.student for s in records if r.together and s.together == r.together} for r in records}
    return {
        r.student: sorted(set().union(*(owners.get(i, set()) for i in r.ids)) - {r.student} - together[r.student])
        for r in records
    }


def flags_of(record: Record, shared: dict[str, list[str]]) -> tuple[Flag, ...]:
    """Every flag of a submission."""
    others = shared[record.student]
    return record.all_flags + ((Flag("cells in common", ", ".join(others[:3])),) if others else ())


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


def cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def table(name: str, records: list[Record], shared: dict[str, list[str]]) -> str:
    """grades.csv: one line for each question of each student; the byte order mark tells Excel that it is UTF-8."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n")
    head = ["id", "name", "student", "assignment", "question", "points", "maximum", "total", "flag", "late"]
    write.writerow(head)
    for record in records:
        flags = [str(flag) for flag in flags_of(record, shared)]
        who = [cell(record.id), cell(record.name), cell(record.student), name]
        for mark in record.marks or (Mark("", None, 0),):
            by_hand = ["to be read"] if mark.points is None and mark.question else []
            points = "" if mark.points is None else f"{mark.points:g}"
            most = f"{mark.maximum:g}" if mark.maximum else ""
            total = f"{record.points:g}" if record.marks else ""
            write.writerow([*who, mark.question, points, most, total, "; ".join(flags + by_hand), record.late])
    return "\N{BYTE ORDER MARK}" + out.getvalue()


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
