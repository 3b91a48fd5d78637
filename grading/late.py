"""Who is late, by how much, and what that costs: a deadline, minutes of grace, extensions, a share for each day."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

from grading import tables, times
from grading.hand_in import Submission

COLUMNS = ("student", "due", "assignment")


class LateError(Exception):
    """A rule or a list of extensions that cannot be read."""


@dataclass(frozen=True)
class Judged:
    """What a rule says of one submission: "yes", "no" or "" (nobody knows), and percent of the points to take off.

    ``off`` is None where something is to be taken off and nobody knows how much.
    """

    late: str
    off: float | None = 0.0


@dataclass(frozen=True)
class Rule:
    """When an assignment is due, for whom it is due later, and what a late submission costs.

    Within the minutes of grace nothing is late. After them the days count from the deadline itself, each day that has
    begun; for each, that many percent of the student's points are taken off.
    """

    due: datetime | None = None
    grace: timedelta = timedelta()
    percent: float = 0.0
    extensions: Mapping[str, datetime] = field(default_factory=dict)  # by the key or the id of a student

    def extension(self, entry: Submission) -> datetime | None:
        """The student's own deadline, if there is one."""
        return self.extensions.get(entry.student) or self.extensions.get(entry.id)

    def judge(self, entry: Submission) -> Judged:
        """Is a submission late, and what does it cost?"""
        own = self.extension(entry)
        due = own or self.due
        if due and entry.when:
            if entry.when <= due + self.grace:
                return Judged("no")
            days = math.ceil((entry.when - due) / timedelta(days=1))
            return Judged("yes", min(100.0, days * self.percent))
        if entry.late and own:
            return Judged("", None if self.percent else 0.0)  # late by the system's date, which is not the student's
        if entry.late:
            return Judged("yes", None if self.percent else 0.0)
        return Judged("no" if due is None or entry.judged else "")

    def unused(self, entries: Mapping[str, Submission]) -> list[str]:
        """The students of extensions that are nobody's here."""
        known = {name for entry in entries.values() for name in (entry.student, entry.id)}
        return sorted(set(self.extensions) - known)

    def said(self) -> list[str]:
        """The rule in words, a line each."""
        lines = []
        if self.due:
            grace = f", {self.grace / timedelta(minutes=1):g} minutes of grace" if self.grace else ""
            lines.append(f"Due: {times.said(self.due)}{grace}")
        if self.percent:
            lines.append(f"Late: {self.percent:g}% of the points are taken off for each day begun")
        lines += [f"Extension: {who} until {times.said(due)}" for who, due in sorted(self.extensions.items())]
        return lines


def number(text: str, what: str) -> float:
    """A number that is not negative, or 0 for nothing."""
    try:
        value = float(text or 0)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise LateError(f"{what} is a number such as 10, not {text!r}")
    return value


def _lines(path: Path) -> list[dict[str, str]]:
    """The lines of a file of extensions; none if there is no file."""
    if not path.exists():
        return []
    try:
        (titles, *rows), _ = tables.read_rows(path, str(path))
    except tables.TableError as error:
        raise LateError(str(error)) from None
    header = [title.strip().casefold() for title in titles]
    if not {"student", "due"} <= set(header):
        raise LateError(f"{path} needs the columns {', '.join(COLUMNS)}; it has {', '.join(titles)}")
    return [dict(zip(header, map(str.strip, row), strict=True)) for row in rows]


def read_extensions(path: Path, name: str, zone: tzinfo | None = None) -> dict[str, datetime]:
    """The extensions of an assignment from a file of the instructor's: student,due and, if you like, assignment.

    A moment without a zone is in the given one, or this machine's. LateError names the line that cannot be read.
    """
    found: dict[str, datetime] = {}
    for line in _lines(path):
        who, until = line["student"], line["due"]
        if line.get("assignment", "") not in ("", name):
            continue
        if not who or who in found:
            raise LateError(f"{path}: {'two lines for ' + who if who else f'no student beside {until!r}'}")
        try:
            found[who] = times.deadline(until, zone)
        except (ValueError, OverflowError):
            raise LateError(f"{path}: {until!r}, beside {who}, is no date such as 2026-12-01 18:00") from None
    return found


def of_no_assignment(path: Path, known: Collection[str]) -> list[str]:
    """What stands in the file for an assignment and is none of these: a slip of the pen."""
    return sorted({line.get("assignment", "") for line in _lines(path)} - {"", *known})
