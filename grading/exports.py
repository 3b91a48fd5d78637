"""Exports of learning management systems: the files in them, and whose each one is.

An export is a zip, a tar or a folder. Nothing of it is unpacked by name: a file is read when it is asked for, and no
further than it may count. Whose a file is stands in the part of its path that the system wrote, which is the first one:
what comes after it was chosen by a student. The forms, as the systems write them:

    Moodle        NAME_ID_assignsubmission_file/PATH, NAME_ID_assignsubmission_file_FILE, ..._onlinetext...
                  (mod/assign/classes/downloader.php: "_" in a name becomes a space; with blind marking the name is
                  "Participant", or that in another language; with groups it is the group's, which may have no id)
    Canvas        NAME_ID_FILEID_FILE, NAME_LATE_ID_FILEID_FILE, anon_ID_FILEID_FILE, NAME_ID_text.html
                  (lib/content_zipper.rb: the sortable name in lower case, word characters only; may be empty)
    Blackboard    ASSIGNMENT_USER_attempt_DATE_FILE, and ASSIGNMENT_USER_attempt_DATE.txt with "Name: NAME (USER)"
                  (as the README of kwurst/bb-file-cleanup describes it)
    Brightspace   ID-ID - NAME - DATE/FILE, and an index.html beside them
                  (as public scripts that sort such downloads expect it; no source of the system is public)
    Gradescope    submission_N/PATH, and submission_metadata.yml with :submitters of each
                  (as public scripts that read it expect it)
    nbgrader      STUDENT/ASSIGNMENT/FILE, and ASSIGNMENT/timestamp.txt
    plain         STUDENT/PATH, or one file a student; Google Classroom's "NAME - FILE" among them
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import stat
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MOST_BYTES = 20_000_000  # of a file; no notebook has more
DEEPEST = 60  # folders in folders
NOISE = {"__MACOSX", ".ipynb_checkpoints", "Thumbs.db", "desktop.ini"}
KINDS = (  # what a file begins with, and what to do
    (b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive: unpack it, and give the folder"),
    (b"Rar!", "is a RAR archive: unpack it, and give the folder"),
)


class ExportError(Exception):
    """What was given as an export is none."""


class FileError(Exception):
    """A file of an export cannot be read; the message says why."""


@dataclass(frozen=True)
class Member:
    """A file of an export: its path, and how to read at most one byte more of it than is accepted."""

    path: tuple[str, ...]
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Owner:
    """Whose a file is: the system that says so, its id for the student and their name, and the student's own path."""

    system: str
    id: str
    name: str
    file: str
    order: int = 0  # of several files: which was uploaded first
    late: bool = False
    time: str = ""  # when it was handed in, as the system says it, if it does; of several attempts the last counts
    together: tuple[str, ...] = ()  # the names of all who handed it in


# -- the files -----------------------------------------------------------------------------------------------------


def members(source: Path) -> list[Member]:
    """All files of an export that could matter; ExportError if it is none."""
    found = list(_in_folder(source)) if source.is_dir() else list(_in_file(source))
    return [m for m in found if m.path and not (NOISE & set(m.path) or m.path[-1].startswith("."))]


def _in_file(source: Path) -> Iterator[Member]:
    try:
        with source.open("rb") as stream:
            head = stream.read(16)
    except OSError as error:
        raise ExportError(f"{source} cannot be read: {error.strerror}") from None
    if not head:
        raise ExportError(f"{source} is empty")
    for magic, what in KINDS:
        if head.startswith(magic):
            raise ExportError(f"{source} {what}")
    try:
        if zipfile.is_zipfile(source) and not head.lstrip().startswith(b"{"):
            yield from _in_zip(source)
        elif _is_tar(source):
            yield from _in_tar(source)
        elif ".ipynb" in source.name.lower():
            yield Member((source.name,), functools.partial(_read_file, str(source)))
        else:
            raise ExportError(f"{source} is neither a zip, nor a tar, nor a folder, nor a notebook")
    except (zipfile.BadZipFile, tarfile.TarError, OSError, ValueError, NotImplementedError) as error:
        raise ExportError(f"{source} is broken: {error}") from None


def _parts(path: str) -> tuple[str, ...]:
    """The names in a path, without those that lead elsewhere."""
    return tuple(p for p in path.split("/") if p not in ("", ".", "..") and not re.fullmatch(r"[A-Za-z]:", p))


def _in_folder(top: Path) -> Iterator[Member]:
    """All files; what is no file can be named, but not read, and neither deep nor unreadable folders stop it."""
    waiting: list[tuple[str, tuple[str, ...]]] = [(str(top), ())]
    while waiting:
        folder, path = waiting.pop()
        try:
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            yield Member((*path, "(a folder)"), functools.partial(_refuse, f"cannot be opened: {error.strerror}"))
            continue
        if not entries and path:
            yield Member((*path, "(an empty folder)"), functools.partial(_refuse, "is no file"))
        for entry in entries:
            inside = (*path, entry.name)
            if entry.is_dir(follow_symlinks=False):
                if len(inside) < DEEPEST:
                    waiting.append((entry.path, inside))
                else:
                    yield Member((*inside, "(folders)"), functools.partial(_refuse, "go too deep"))
            elif entry.is_file(follow_symlinks=False):
                yield Member(inside, functools.partial(_read_file, entry.path))
            else:
                yield Member(inside, functools.partial(_refuse, "is a link, a pipe or a device"))


def _read_file(path: str) -> bytes:
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(number, "rb") as stream:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise FileError("is no file")
            return stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror}") from None


def _refuse(why: str) -> bytes:
    raise FileError(why)


def _in_zip(source: Path) -> Iterator[Member]:
    archive = zipfile.ZipFile(source)
    for info in archive.infolist():
        if not info.filename.endswith("/"):
            yield Member(_parts(zip_name(info)) or ("(no name)",), functools.partial(read_zipped, archive, info))


def zip_name(info: zipfile.ZipInfo) -> str:
    """The path of a member; many programs write UTF-8 without saying so, which reads as code page 437."""
    name = info.orig_filename.split("\0")[0] if info.filename != info.orig_filename else info.filename
    if not info.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def read_zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The content of a member of a zip, or FileError."""
    if info.flag_bits & 0x1:
        raise FileError("is encrypted")
    try:
        with archive.open(info) as stream:
            return stream.read(MOST_BYTES + 1)
    except NotImplementedError:
        raise FileError("is compressed by a method that is not read here") from None
    except Exception as error:  # zipfile raises whatever it met: BadZipFile, zlib.error, EOFError, RuntimeError, ...
        raise FileError(f"is broken in the zip ({type(error).__name__})") from None


def _is_tar(source: Path) -> bool:
    try:
        with tarfile.open(source) as archive:
            return archive.next() is not None
    except (tarfile.TarError, OSError, EOFError, ValueError):
        return False


class _Spool:
    """The contents of a tar in one file that has no name, since a compressed tar can only be read from end to end."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115

    def __del__(self) -> None:
        self.file.close()

    def put(self, stream: Any) -> Callable[[], bytes]:
        """Keep what a stream holds; return how to get it back."""
        data = stream.read(MOST_BYTES + 1)
        start = self.file.seek(0, os.SEEK_END)
        self.file.write(data)
        return functools.partial(self.get, start, len(data))

    def get(self, start: int, size: int) -> bytes:
        """A piece of the file."""
        self.file.seek(start)
        return self.file.read(size)


def _in_tar(source: Path) -> Iterator[Member]:
    spool, kept = _Spool(), {}
    with tarfile.open(source, "r|*") as archive:
        while True:
            try:
                info = archive.next()
            except (tarfile.TarError, OSError, EOFError, ValueError) as error:
                yield Member(("(the rest of the tar)",), functools.partial(_refuse, f"is broken: {error}"))
                return
            if info is None:
                return
            if info.isreg():
                try:
                    stream = archive.extractfile(info)
                    kept[info.name] = spool.put(stream)
                except (tarfile.TarError, OSError, EOFError, ValueError) as error:
                    kept[info.name] = functools.partial(_refuse, f"is broken in the tar ({type(error).__name__})")
            elif info.islnk() and info.linkname in kept:
                kept[info.name] = kept[info.linkname]
            elif not info.isdir():
                kept[info.name] = functools.partial(_refuse, "is a link, or no file")
            if info.name in kept:
                yield Member(_parts(info.name), kept[info.name])


# -- whose they are ------------------------------------------------------------------------------------------------

MOODLE = re.compile(r"(?P<name>.*?)(?:_(?P<id>\d+))?_assignsubmission_(?P<kind>[a-z]+)(?:_(?P<file>.*))?", re.DOTALL)
CANVAS = (
    re.compile(r"(?P<late>LATE_)?(?P<id>anon_[^\W_]+)_(?P<rest>.+)", re.DOTALL),
    re.compile(r"(?P<name>.*?)_(?P<late>LATE_)?(?P<id>\d+)_(?P<rest>\d+_.+|(?:text|link)\.html)", re.DOTALL),
)
BLACKBOARD = re.compile(
    r"(?P<who>.+?)_attempt_(?P<time>\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d)(?:_(?P<file>.+)|(?P<note>\.txt))", re.DOTALL
)
DATE = r"(?=[^-]*\b\d{4}\b)[^-]{6,30}\d{3,4}(?: ?[AP]M)?"  # Oct 10, 2025 1022 AM
BRIGHTSPACE = re.compile(rf"(?P<id>\d+)-\d+ - (?P<name>.+?) - (?P<time>{DATE})(?: - (?P<file>.+))?", re.DOTALL)
BRIGHTSPACE_PLAIN = re.compile(r"(?P<id>\d+)-\d+ - (?P<name>.+)", re.DOTALL)
METADATA = ("submission_metadata.yml",)
SUBMISSION = re.compile(r"submission_\d+")
NOTE_OF_ATTEMPT = "the note of the attempt"
NOTE = re.compile(r"^Name: (?P<name>.*) \((?P<id>[^()]+)\)\s*$", re.MULTILINE)
SYSTEM_FOLDERS = (MOODLE, BRIGHTSPACE, BRIGHTSPACE_PLAIN, SUBMISSION)
SYSTEM_FILES = (MOODLE, *CANVAS, BLACKBOARD, BRIGHTSPACE, re.compile(r"submission_metadata\.yml"))


def looks_like_a_notebook(name: str) -> bool:
    """True for .ipynb and for what becomes of it on the way: .IPYNB, .ipynb.txt, .ipynb.json, .ipynb (1)."""
    return ".ipynb" in name.lower()


def looks_like_an_archive(name: str) -> bool:
    """True for what may hold a notebook."""
    return name.lower().endswith((".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"))


@dataclass
class Found:
    """What an export holds: the files by owner, and the paths that say nothing about whose they are."""

    files: list[tuple[Owner, Member]] = field(default_factory=list)
    unknown: list[tuple[str, ...]] = field(default_factory=list)
    times: dict[str, Member] = field(default_factory=dict)  # nbgrader's timestamp.txt, by student
    other: int = 0  # files of other assignments


def without_wrappers(found: list[Member], name: str) -> list[Member]:
    """The members without the folders around the whole export."""
    while True:
        inside = [m for m in found if len(m.path) > 1]
        around = {m.path[0] for m in inside}
        loose = [m.path[0] for m in found if len(m.path) == 1]
        if len(around) > 1 and all(
            _is_systems(SYSTEM_FOLDERS if m.path[2:] else SYSTEM_FILES, m.path[1]) for m in inside
        ):
            around = {""}  # several exports in one folder, and nothing else
        elif len(around) != 1:
            return found
        if any(looks_like_a_notebook(f) or _is_systems(SYSTEM_FILES, f) for f in loose):
            return found
        folder = around.pop()
        if folder and not _is_wrapper(folder, [m.path[1:] for m in inside], name):
            return found
        found = [Member(m.path[1:], m.read) if len(m.path) > 1 else m for m in found]


def _is_wrapper(folder: str, inside: list[tuple[str, ...]], name: str) -> bool:
    """Is the only folder around everything, and not a student's own?"""
    files = [path[0] for path in inside if len(path) == 1]
    folders = {path[0] for path in inside if len(path) > 1}
    notebooks = [f for f in files if looks_like_a_notebook(f)]
    if _is_systems(SYSTEM_FOLDERS, folder):
        return False
    if any(_is_systems(SYSTEM_FOLDERS, f) for f in folders) or any(_is_systems(SYSTEM_FILES, f) for f in files):
        return True
    if folder == name:
        return True
    if notebooks:  # of one student, or a file a student?
        return len(notebooks) > 1 and f"{name}.ipynb" not in notebooks
    if any(len(path) == 2 and path[0] == name for path in inside):  # nbgrader's: STUDENT/ASSIGNMENT/FILE
        return False
    if folders == {name}:  # ASSIGNMENT/STUDENT/FILE, or a folder of a student's own
        return len({path[1] for path in inside if path[0] == name and len(path) > 2}) > 1
    return len(folders) > 1 or any(len(path) == 3 and path[1] == name for path in inside)


def _is_systems(forms: tuple[re.Pattern[str], ...], text: str) -> bool:
    return any(form.fullmatch(text) for form in forms)


def owners(found: list[Member], name: str, others: frozenset[str] = frozenset()) -> Found:
    """Say whose each file is; name is the assignment, others are the course's other ones."""
    found = without_wrappers(found, name)
    submitters = _gradescope(found)
    if submitters:
        found = [member for member in found if member.path != METADATA]
    notes = _blackboard_notes(found)
    numbered = Counter(_number(member.path[0]) for member in found if len(member.path) == 1)
    result = Found()
    plain: list[Member] = []
    for member in found:
        owned = _owner(member, submitters, notes)
        if owned and owned[0].system == "Canvas" and owned[0].order and numbered[owned[0].order] > 1:
            owned = []  # Canvas gives every file a number of its own: this is lab_3_2026_ADA.ipynb of somebody's making
        result.files += [(owner, member) for owner in owned]
        if not owned:
            plain.append(member)
    systematic = len({member.path[0] for _, member in result.files})
    _plain(plain, name, others, systematic, result)
    return result


def _owner(
    member: Member, submitters: dict[str, tuple[list[dict[str, str]], str]], notes: dict[str, tuple[str, str]]
) -> list[Owner]:
    """The owners that a learning management system wrote into a path; none if it did not."""
    first, rest = member.path[0], "/".join(member.path[1:])
    if rest and (first in submitters or SUBMISSION.fullmatch(first)):
        return _submitters(first, rest, *submitters.get(first, ([], "")))
    if (m := MOODLE.fullmatch(first)) and (rest or m["file"]):
        return [Owner("Moodle", m["id"] or "", m["name"], rest or m["file"])]
    m = BRIGHTSPACE.fullmatch(first)
    if m and bool(rest) != bool(m["file"]):
        return [Owner("Brightspace", m["id"], m["name"], rest or m["file"], time=m["time"])]
    if rest:
        m = BRIGHTSPACE_PLAIN.fullmatch(first)
        return [Owner("Brightspace", m["id"], m["name"], rest)] if m else []
    if m := BLACKBOARD.fullmatch(first):
        who, shown = notes.get(f"{m['who']}_attempt_{m['time']}", (m["who"].rpartition("_")[2], ""))
        return [Owner("Blackboard", who, shown, m["file"] or NOTE_OF_ATTEMPT, time=m["time"])]
    if m := CANVAS[0].fullmatch(first) or CANVAS[1].fullmatch(first):
        order, shown = _number(first), m.groupdict().get("name") or ""
        file = m["rest"].partition("_")[2] if order else m["rest"]
        return [Owner("Canvas", m["id"], shown, file, order=order, late=bool(m["late"]))]
    return []


def _number(file: str) -> int:
    """The number that Canvas would have given a file of this name, or 0."""
    m = CANVAS[0].fullmatch(file) or CANVAS[1].fullmatch(file)
    digits = m["rest"].partition("_")[0] if m else ""
    return int(digits[:18]) if digits.isdecimal() else 0


def is_an_export(paths: list[str]) -> bool:
    """True if the paths in an archive name more than one owner, as a system writes them: no student's archive does."""
    named = set()
    for parts in map(_parts, filter(looks_like_a_notebook, paths)):
        for end in (parts[-2:], parts[-1:]):  # a file in a folder of the student's, or alone
            if end:
                owned = _owner(Member(end, functools.partial(_refuse, "is not read")), {}, {})
                named |= {(owner.system, owner.id, owner.name) for owner in owned}
    return len(named) > 1


def _submitters(folder: str, file: str, people: list[dict[str, str]], time: str) -> list[Owner]:
    """One owner for each of those who handed in a submission together."""
    names = tuple(person["name"] or person["sid"] or person["email"] for person in people)
    together = names if len(names) > 1 else ()
    made = []
    for person in people:
        own = person["sid"] or person["email"] or (f"{folder} {person['name']}" if together else folder)
        made.append(Owner("Gradescope", own, person["name"], file, time=time, together=together))
    return made or [Owner("Gradescope", folder, "", file, time=time)]


def _gradescope(found: list[Member]) -> dict[str, tuple[list[dict[str, str]], str]]:
    """For each folder the people who handed it in, and when, from submission_metadata.yml."""
    import yaml

    for member in found:
        if member.path == METADATA:
            try:
                # every value stays a text: ids may begin with zeros
                tree = yaml.load(member.read().decode(errors="replace"), Loader=yaml.CBaseLoader)
                return {str(folder): _people(entry) for folder, entry in tree.items()}
            except Exception:  # a broken file is no reason to grade nobody
                return {}
    return {}


def _people(entry: Any) -> tuple[list[dict[str, str]], str]:
    given = entry.get(":submitters") if isinstance(entry, dict) else None
    people = [
        {key: str(person.get(f":{key}") or "").strip() for key in ("name", "sid", "email")}
        for person in (given if isinstance(given, list) else [])
        if isinstance(person, dict)
    ]
    return people, str(entry.get(":created_at") or "") if isinstance(entry, dict) else ""


def _blackboard_notes(found: list[Member]) -> dict[str, tuple[str, str]]:
    """For each attempt the user and their name, from the text file that Blackboard puts beside it."""
    notes = {}
    for member in found:
        m = BLACKBOARD.fullmatch(member.path[0]) if len(member.path) == 1 else None
        if m and m["note"]:
            try:
                said = NOTE.search(member.read()[:20_000].decode(errors="replace").replace("\r", ""))
            except FileError:
                continue
            if said and m["who"].endswith(f"_{said['id']}"):
                notes[f"{m['who']}_attempt_{m['time']}"] = (said["id"], said["name"])
    return notes


# -- plain folders and files -------------------------------------------------------------------------------------------


def _plain(found: list[Member], name: str, others: frozenset[str], systematic: int, result: Found) -> None:
    """A folder a student, as nbgrader has them or without a folder for the assignment; or a file a student."""
    folders: dict[str, list[Member]] = {}
    for member in found:
        if len(member.path) > 1:
            folders.setdefault(member.path[0], []).append(member)
        elif looks_like_a_notebook(member.path[0]) or looks_like_an_archive(member.path[0]):
            result.files.append((Owner("", member.path[0], _named(member.path[0], name), member.path[0]), member))
        else:
            result.unknown.append(member.path)
    placed = {s: [m for m in own if len(m.path) > 2 and m.path[1] == name] for s, own in folders.items()}
    loose = 0
    for student, own in folders.items():
        inside = placed[student]
        left = [m for m in own if len(m.path) < 3 or m.path[1] not in others]
        if inside:
            files = [m for m in inside if m.path[2:] != ("timestamp.txt",)]
            for stamp in (m for m in inside if m.path[2:] == ("timestamp.txt",)):
                result.times[student] = stamp
            result.files += [(Owner("", student, student, "/".join(m.path[2:])), m) for m in files]
            if not files:  # nbgrader made the folder; nothing is in it
                result.files += [(Owner("", student, student, "timestamp.txt"), inside[0])]
        elif left and (systematic <= len(folders) or any(map(_may_be_work, left))):
            loose += any(looks_like_a_notebook(m.path[-1]) for m in left)
            result.files += [(Owner("", student, student, "/".join(m.path[1:])), m) for m in left]
        elif left:
            result.unknown += [m.path for m in left]
        result.other += len(own) - len(left)
    if loose > len([s for s in placed if placed[s]]):  # not nbgrader's folders: a student may have put the file there
        result.times = {}


def _may_be_work(member: Member) -> bool:
    return looks_like_a_notebook(member.path[-1]) or looks_like_an_archive(member.path[-1])


def _named(file: str, name: str) -> str:
    """The name of a student in the name of a file: what is left without the assignment's, or nothing."""
    stem = re.split(r"\.(?:ipynb|zip|tar|tgz)", file, maxsplit=1, flags=re.IGNORECASE)[0]
    if " - " in stem and not re.fullmatch(rf"[\W_]*{re.escape(name)}.*", stem, re.IGNORECASE):
        return stem.split(" - ")[0].strip()
    left = re.sub(rf"{re.escape(name)}|copy of|copy|\(\d+\)", " ", stem, flags=re.IGNORECASE)
    return stem if re.search(r"\w", re.sub(r"[\d_]", "", left)) else ""
