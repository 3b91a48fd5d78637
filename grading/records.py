"""What the grader knows of a submission: its marks and its flags."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from grading.clean import line

MINOR = frozenset(
    {"renamed", "kernel named", "structure repaired", "several notebooks", "several attempts", "in an archive",
     "also in the archive", "cells in another order", "late", "handed in together", "same name"}
)  # fmt: skip


@dataclass(frozen=True, order=True)
class Flag:
    """Something odd about a submission: what kind of thing, and where or which."""

    kind: str
    detail: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", line(self.detail))  # much of it is what a student chose

    @property
    def minor(self) -> bool:
        """True for what is good to know, but no reason to open the notebook."""
        return self.kind in MINOR

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


@dataclass(frozen=True)
class Mark:
    """The points of one question; None as long as nobody has read a written answer."""

    question: str
    points: float | None
    maximum: float
    comment: str = ""


@dataclass(frozen=True)
class Record:
    """One student's submission, graded.

    ``student`` is the key of the student everywhere, ``id`` and ``name`` are what the learning system calls them, and
    ``together`` are the names of those who handed in the same submission. ``key`` is a digest of all that the grade
    depends on, ``found`` are the flags of handing in (which file, what else was there), ``flags`` those of reading and
    running it, ``ids`` the random ids of the student's own cells.
    """

    student: str
    id: str = ""
    name: str = ""
    system: str = ""
    together: tuple[str, ...] = ()
    key: str = ""
    marks: tuple[Mark, ...] = ()
    found: tuple[Flag, ...] = ()
    flags: tuple[Flag, ...] = ()
    ids: tuple[str, ...] = ()
    late: str = ""  # "yes", "no" or, where no time is known, ""
    off: float | None = 0.0  # percent of the points that being late costs; None where nobody knows how much
    told: str = ""  # what the feedback page says about being late
    file_id: str = ""  # the learning system's number of the file, which some want back with feedback
    seconds: float = 0.0
    error: str = ""  # why it could not be graded

    @property
    def shown(self) -> str:
        """The key, and the name where it says more."""
        return self.student if self.name in ("", self.student) else f"{self.student} ({self.name})"

    @property
    def points(self) -> float:
        """All points so far."""
        return sum(mark.points or 0 for mark in self.marks)

    @property
    def total(self) -> float:
        """The points without what being late costs."""
        return round(self.points * (1 - (self.off or 0) / 100), 2)

    @property
    def unread(self) -> int:
        """How many answers nobody has read yet."""
        return sum(mark.points is None for mark in self.marks)

    @property
    def note(self) -> str:
        """What the student is told about being late, if it cost something."""
        lost = self.points - self.total
        return f"Taken off for being late: {lost:g} of {self.points:g} points ({self.off:g}%)." if lost else ""

    @property
    def all_flags(self) -> tuple[Flag, ...]:
        """Those of handing in first."""
        return self.found + self.flags

    def as_json(self) -> dict[str, Any]:
        """A tree that json can write."""
        return asdict(self)

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Record:
        """The record that as_json wrote."""
        parts = {"marks": Mark, "found": Flag, "flags": Flag}
        made = {name: tuple(kind(**part) for part in tree[name]) for name, kind in parts.items()}
        texts = {name: tuple(tree.get(name, ())) for name in ("ids", "together")}
        return cls(**{**tree, **made, **texts})
