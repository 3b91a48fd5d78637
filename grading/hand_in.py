"""What was handed in: a folder a student, or the zip that a learning management system exports."""

from __future__ import annotations

import functools
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath

from grading.records import Flag

MOST_BYTES = 20_000_001  # one byte more than is accepted is enough to refuse it


@dataclass
class Submission:
    """What one student handed in: how to read each file, which nobody does before it is needed, and when it came."""

    student: str
    files: dict[str, Callable[[], bytes]] = field(default_factory=dict)
    when: datetime | None = None
    late: bool = False


def _student(name: str) -> str:
    """A name that is safe as a folder and in nbgrader."""
    return re.sub(r"[^\w.@-]+", "-", name).strip(".-") or "unnamed"


def read_file(path: Path) -> bytes:
    """The beginning of a file, as far as it matters."""
    with path.open("rb") as stream:
        return stream.read(MOST_BYTES)


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The beginning of a member of an archive, as far as it matters."""
    with archive.open(info) as stream:
        return stream.read(MOST_BYTES)


def from_folder(folder: Path, name: str) -> dict[str, Submission]:
    """Read submitted/STUDENT/NAME/*.ipynb, nbgrader's layout."""
    found = {}
    for path in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        inside = path / name
        if not inside.is_dir():
            continue
        entry = found[_student(path.name)] = Submission(_student(path.name))
        for file in sorted(inside.iterdir()):
            if file.is_file() and not file.is_symlink() and file.suffix == ".ipynb":
                entry.files[file.name] = functools.partial(read_file, file)
            elif file.name == "timestamp.txt":
                entry.when = time_in(file.read_text())
    return found


def from_zip(path: Path, name: str) -> dict[str, Submission]:
    """Read the export of a learning management system, open as long as it is read; nothing is unpacked to disk."""
    found: dict[str, Submission] = {}
    archive = zipfile.ZipFile(path)
    for info in archive.infolist():
        parts = [p for p in PurePosixPath(info.filename.replace("\\", "/")).parts if p not in ("/", "..", ".")]
        if info.is_dir() or not parts or parts[0] == "__MACOSX" or parts[-1].startswith("."):
            continue
        if ".ipynb_checkpoints" in parts:
            continue
        late = False
        if len(parts) > 1:  # a folder a student; Moodle adds an id and a kind to the name
            who = re.sub(r"_\d+_assignsubmission_(file|onlinetext)_?$", "", parts[-2])
            if parts[-2] == name and len(parts) > 2:
                who = parts[-3]
            file = parts[-1]
        elif canvas := re.fullmatch(r"(.+?)(_LATE)?_\d+_\d+_(.+)", parts[0], re.IGNORECASE):
            who, late, file = canvas[1], bool(canvas[2]), canvas[3]
        else:
            who, file = PurePosixPath(parts[0]).stem, parts[0]
        entry = found.setdefault(_student(who), Submission(_student(who)))
        entry.late |= late
        if file == "timestamp.txt":
            entry.when = time_in(archive.read(info).decode(errors="replace"))
        elif file.endswith(".ipynb"):
            entry.files[file] = functools.partial(read_member, archive, info)
            entry.when = entry.when or datetime(*info.date_time)
    return found


def time_in(text: str) -> datetime | None:
    """The date and time that stand in a text, if any do."""
    found = re.search(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)", text)
    return datetime.fromisoformat(f"{found[1]} {found[2]}") if found else None


def choose(entry: Submission, name: str) -> tuple[bytes | None, list[Flag]]:
    """Return the notebook that counts, or None, and flags; what one student handed in is read here and not kept."""
    flags = [Flag("several notebooks")] if len(entry.files) > 1 else []
    if f"{name}.ipynb" in entry.files:
        return entry.files[f"{name}.ipynb"](), flags
    if not entry.files:
        return None, [Flag("no notebook")]
    ours = [f for f, read in entry.files.items() if name.encode() in f.encode() or f'"{name}-'.encode() in read()]
    best = (ours or list(entry.files))[-1]
    return entry.files[best](), [*flags, Flag("renamed", best[:60])]


def collect(submitted: Path, name: str) -> dict[str, Submission]:
    """Everybody's submission, by student, from a folder or a zip."""
    return from_zip(submitted, name) if submitted.is_file() else from_folder(submitted, name)
