"""What was handed in, by student: keyed by the learning system's id, read when it is needed, and never guessed at."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path

from grading import times
from grading.clean import person
from grading.exports import (
    NOTE_OF_ATTEMPT,
    ExportError,
    FileError,
    Member,
    Owner,
    looks_like_a_notebook,
    looks_like_an_archive,
    members,
    owners,
)
from grading.records import Flag

SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_@.-]{0,79}")
MOST_FILES, MOST_ALL = 12, 60_000_000  # of a student's: files that are opened, and their bytes together
Reader = Callable[[], bytes]


@dataclass
class Submission:
    """What one student handed in: how to read each file, which nobody does before it is needed, and when it came.

    ``files`` may be notebooks or hold one, ``others`` are anything else. ``judged`` means that the system itself says
    who was late.
    """

    student: str
    files: dict[str, Reader] = field(default_factory=dict)
    when: datetime | None = None
    late: bool = False
    id: str = ""
    name: str = ""
    system: str = ""
    others: dict[str, Reader] = field(default_factory=dict)
    judged: bool = False
    together: tuple[str, ...] = ()
    file_id: int = 0  # the learning system's number of a file of this submission
    flags: list[Flag] = field(default_factory=list)


class Collected(dict[str, Submission]):
    """Everybody's submission by key; the paths that were not understood; how many files are of other assignments."""

    def __init__(self, found: Iterable[Submission], unknown: list[str], other: int) -> None:
        super().__init__((entry.student, entry) for entry in found)
        self.unknown, self.other = unknown, other

    @property
    def systems(self) -> list[str]:
        """The systems whose names were recognized."""
        return sorted({entry.system for entry in self.values()})


# -- keys ------------------------------------------------------------------------------------------------------------


def digest(text: str) -> str:
    """Ten characters that stand for a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]


def key_of(own: str) -> str:
    """The key for an id, or for a name where there is none: itself if it can be a file name, or else with a digest.

    It depends on nothing else, so it is the same in every export. Composed and decomposed accents are the same.
    One that ends like a file gets a digest, too: a folder of that name would lose its ending (`stem`).
    """
    own = unicodedata.normalize("NFC", own)
    if SAFE.fullmatch(own) and not own.endswith(".") and stem(own) == own:
        return own
    plain = unicodedata.normalize("NFKD", own).encode("ascii", "ignore").decode()
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', plain)[:40].strip('-') or 'student'}-{digest(own)}"


def stem(file: str) -> str:
    """The name of a file without its ending."""
    return re.split(r"\.(?:ipynb|zip|tar|tgz)\b", file, maxsplit=1, flags=re.IGNORECASE)[0] or file


def keys(people: Sequence[tuple[str, str, str]]) -> list[str]:
    """A key for each (system, id, name), all different; where two would have the same one, both carry a digest."""
    first = [key_of((own if system else stem(own)) or name) for system, own, name in people]
    count: dict[str, int] = {}
    for key in first:
        count[key.casefold()] = count.get(key.casefold(), 0) + 1
    made: list[str] = []
    taken = {folded for folded, number in count.items() if number == 1}  # nobody else may get such a one
    for key, who in zip(first, people, strict=True):
        if count[key.casefold()] > 1:
            key = f"{key}-{digest(repr(who))}"
            while key.casefold() in taken:  # somebody is called like that
                key = f"{key}-{digest(key)}"
            taken.add(key.casefold())
        made.append(key)
    return made


# -- collecting --------------------------------------------------------------------------------------------------------


def collect(submitted: Path, name: str, zone: tzinfo | None = None, others: frozenset[str] = frozenset()) -> Collected:
    """Everybody's submission to an assignment, from a zip, a tar, a folder or a file; ExportError if it is none.

    Moments without a zone are in the given one; others are the names of the course's other assignments.
    """
    files = members(submitted)
    found = owners(files, name, others)
    if len(files) == 1 and len(files[0].path) == 1 and looks_like_an_archive(files[0].path[0]):
        raise ExportError(f"{submitted} holds nothing but {person(files[0].path[0])}: take that out of it, and give it")
    people: dict[tuple[str, str, str], list[tuple[Owner, Member]]] = {}
    for owner, member in found.files:
        people.setdefault((owner.system, owner.id, owner.name), []).append((owner, member))
    made = []
    for (who, own), key in zip(people.items(), keys(list(people)), strict=True):
        entry = _submission(key, own, zone)
        if stamp := found.times.get(who[1]) if not who[0] else None:
            entry.when = _stamp(stamp, entry.flags)
        made.append(entry)
    _collisions(made)
    named = sum(bool(entry.system) for entry in made)
    for entry in made if 2 * named > len(made) else ():
        if not entry.system:  # a folder of the instructor's, perhaps
            entry.flags.append(Flag("not named as the others", entry.id))
    return Collected(made, ["/".join(path) for path in found.unknown], found.other)


def _submission(key: str, own: list[tuple[Owner, Member]], zone: tzinfo | None) -> Submission:
    first = own[0][0]
    entry = Submission(key, id=person(first.id), name=person(first.name), system=first.system)
    entry.judged, entry.late = first.system == "Canvas", any(owner.late for owner, _ in own)
    entry.together, entry.file_id = first.together, max(owner.order for owner, _ in own)
    if first.together:
        entry.flags.append(Flag("handed in together", ", ".join(map(person, first.together))))
    attempts = {owner.time: times.handed_in(owner.time, zone) for owner, _ in own if owner.time}
    if attempts:
        own = _last_attempt(own, attempts, entry)
    for owner, member in sorted(own, key=lambda pair: (pair[0].order, pair[0].file)):
        maybe = looks_like_a_notebook(owner.file) or looks_like_an_archive(owner.file)
        kept = entry.files if maybe else entry.others
        label, number = person(owner.file), 2
        while label in kept:
            label, number = f"{person(owner.file)} [{number}]", number + 1
        if owner.file != NOTE_OF_ATTEMPT:
            kept[label] = member.read
    return entry


def _last_attempt(
    own: list[tuple[Owner, Member]], attempts: dict[str, datetime | None], entry: Submission
) -> list[tuple[Owner, Member]]:
    """The files of the last attempt that has a notebook, or else of the last one; the flags say which."""

    def moment(text: str) -> tuple[bool, float, str]:
        when = attempts[text]
        return (when is not None, when.timestamp() if when else 0.0, text)

    ordered = sorted(attempts, key=moment)
    useful = [
        time
        for time in ordered
        if any(o.time == time and (looks_like_a_notebook(o.file) or looks_like_an_archive(o.file)) for o, _ in own)
    ]
    chosen = (useful or ordered)[-1]
    entry.when = attempts[chosen]
    if entry.when is None:
        entry.flags.append(Flag("time not understood", chosen))
    if len(ordered) > 1:
        rest = ", ".join(time for time in ordered if time != chosen)
        entry.flags.append(Flag("several attempts", f"took that of {chosen}, not {rest}"))
    return [(owner, member) for owner, member in own if owner.time == chosen]


def _stamp(stamp: Member, flags: list[Flag]) -> datetime | None:
    try:
        text = stamp.read()[:200].decode(errors="replace")
    except FileError as error:
        text = f"a file that {error}"
    when = times.stamped(text)
    if when is None:
        flags.append(Flag("time not understood", text.strip()[:60]))
    return when


def _collisions(made: list[Submission]) -> None:
    """Flag those who share an id or a name: they stay apart, and a human may know whether they are one."""
    by_id: dict[tuple[str, str], list[Submission]] = {}
    by_name: dict[str, list[Submission]] = {}
    for entry in made:
        if entry.id and entry.system:
            by_id.setdefault((entry.system, entry.id), []).append(entry)
        if entry.name and entry.name.casefold() != "participant":  # Moodle's for everybody, with blind marking
            by_name.setdefault(unicodedata.normalize("NFC", entry.name).casefold(), []).append(entry)
        if not entry.name and not entry.system:
            entry.flags.append(Flag("no student named", entry.id))
    blind = {name for name, those in by_name.items() if len(those) == len(made) > 2}  # that word in another language
    for kind, groups in (("same id", by_id.values()), ("same name", [g for n, g in by_name.items() if n not in blind])):
        for group in groups:
            for entry in group if len(group) > 1 else ():
                rest = [other.student for other in group if other is not entry]
                entry.flags.append(Flag(kind, f"as {', '.join(rest[:3])}"))


# -- choosing ----------------------------------------------------------------------------------------------------------

Compare = Callable[[list[tuple[str, bytes]]], tuple[str, bytes | None, list[Flag]]]


def choose(entry: Submission, name: str, compare: Compare | None = None) -> tuple[bytes | None, list[Flag]]:
    """Return the notebook that counts, or None, and flags; what one student handed in is read here and not kept.

    compare says which of several files has the student's work in it, and looks into archives: see pick.best.
    """
    flags = list(entry.flags)
    files = _opened(entry, flags)
    if not files:
        if not entry.files:
            flags.append(Flag("no notebook", ", ".join(entry.others)))
        return None, flags
    label, data = files[0]
    if len(files) > 1 or looks_like_an_archive(label):
        if compare is None:
            from grading import pick

            compare = pick.local(name)
        found_in, chosen, more = compare(files)
        flags += more
        if chosen is None:
            return None, flags
        label, data = found_in, chosen
    if label.rpartition("/")[2] != f"{name}.ipynb":
        flags.append(Flag("renamed", label.rpartition("/")[2][:60]))
    return data, flags


def _opened(entry: Submission, flags: list[Flag]) -> list[tuple[str, bytes]]:
    """The files that may be notebooks, read; what cannot be read is flagged."""
    files: list[tuple[str, bytes]] = []
    for label, read in list(entry.files.items())[:MOST_FILES]:
        try:
            data = read()
        except FileError as error:
            flags.append(Flag("unreadable", f"{label} {error}"))
            continue
        if files and sum(len(other) for _, other in files) + len(data) > MOST_ALL:
            flags.append(Flag("unreadable", f"{label}: there is too much beside it"))
        else:
            files.append((label, data))
    if len(entry.files) > MOST_FILES:
        flags.append(Flag("several notebooks", f"{len(entry.files)}, of which {MOST_FILES} were opened"))
    if not entry.files:  # a notebook whose name says nothing, as browsers sometimes save it
        for label, read in list(entry.others.items())[:MOST_FILES]:
            if re.search(r"(?:^|/)[^./]+$|\.(?:txt|json)$", label, re.IGNORECASE):
                try:
                    data = read()
                except FileError:
                    continue
                if data.lstrip()[:1] == b"{" and b'"cells"' in data:
                    files.append((label, data))
    return files
