"""Which of a student's files has their work in it. The first function runs in the grader, the other in a child."""

from __future__ import annotations

import base64
import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import nbformat
from nbformat import NotebookNode

from grading.exports import (
    MOST_BYTES,
    NOISE,
    FileError,
    is_an_export,
    looks_like_a_notebook,
    looks_like_an_archive,
    read_zipped,
    zip_name,
)
from grading.hand_in import Compare
from grading.records import Flag
from grading.repair import UnreadableError, parse, repair

MOST_INSIDE = 30  # notebooks in an archive
MOST_ALL = 60_000_000  # bytes of them


def work_in(released: NotebookNode, data: bytes) -> int:
    """How many answers differ from what was given out; -1 if the file is not a notebook."""
    try:
        mended, _, _ = repair(released, parse(data))
    except UnreadableError:
        return -1
    given = {cell.id: cell.source.strip() for cell in released.cells}
    return sum(
        cell.metadata.get("normcore", {}).get("role") in ("answer", "written", "scratch", "keep")
        and cell.source.strip() != given.get(cell.id)
        for cell in mended.cells
    )


def inside(label: str, data: bytes, flags: list[Flag], deep: int = 0) -> Iterator[tuple[str, bytes]]:
    """The notebooks in a file: itself, or those in an archive, or in an archive in it."""
    if not looks_like_an_archive(label):
        yield label, data
        return
    other = []
    try:
        for path, read in _members(data):
            if NOISE & set(PurePosixPath(path).parts) or PurePosixPath(path).name.startswith("."):
                continue
            if not (looks_like_a_notebook(path) or (looks_like_an_archive(path) and deep < 1)):
                other.append(path)
                continue
            try:
                yield from inside(f"{label}/{path}", read(), flags, deep + 1)
            except FileError as error:
                flags.append(Flag("unreadable", f"{label}/{path} {error}"))
    except FileError as error:
        flags.append(Flag("unreadable", f"{label} {error}"))
    if other and not deep:
        flags.append(Flag("also in the archive", ", ".join(other[:5])))


def _members(data: bytes) -> Iterator[tuple[str, Any]]:
    if len(data) > MOST_BYTES:
        raise FileError(f"has more than {MOST_BYTES // 10**6} MB")
    try:
        if zipfile.is_zipfile(io.BytesIO(data)):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                _check(list(map(zip_name, archive.infolist())))
                for info in archive.infolist():
                    if not info.filename.endswith("/"):
                        yield zip_name(info), lambda info=info: read_zipped(archive, info)
            return
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            _check(tar.getnames())
            for member in tar.getmembers():
                if member.isreg():
                    stream = tar.extractfile(member)
                    yield member.name, lambda stream=stream: stream.read(MOST_BYTES + 1)
    except (zipfile.BadZipFile, tarfile.TarError, OSError, EOFError, ValueError, NotImplementedError) as error:
        raise FileError(f"is a broken archive ({type(error).__name__})") from None


def _check(paths: list[str]) -> None:
    if is_an_export(paths):
        raise FileError("holds the work of several students: it is an export, so give it alone")


def best(released: str, files: list[tuple[str, str]]) -> dict[str, Any]:
    """The file with the most work in it, and what else there was; contents are in base64."""
    ours = nbformat.reads(released, as_version=4)
    exact = f"{ours.metadata.get('assignment', '?')}.ipynb"
    flags: list[Flag] = []
    found: list[tuple[int, bool, int, str, bytes]] = []
    total = 0
    all_of_them = (pair for label, text in files for pair in inside(label, base64.b64decode(text), flags))
    for place, data in all_of_them:
        total += len(data)
        if len(found) == MOST_INSIDE or total > MOST_ALL:
            flags.append(Flag("several notebooks", "too many or too large to open all"))
            break
        found.append((work_in(ours, data), place.rpartition("/")[2] == exact, len(found), place, data))
    if not found:
        return {"label": "", "data": None, "flags": [[f.kind, f.detail] for f in [*flags, Flag("no notebook")]]}
    first, *others = sorted(found, key=lambda one: one[:3], reverse=True)
    if others:
        flags.append(Flag("several notebooks", f"took {first[3]}, not {', '.join(one[3] for one in others)}"))
    if "/" in first[3] and any(first[3].startswith(f"{label}/") for label, _ in files):
        flags.append(Flag("in an archive", first[3]))
    chosen = base64.b64encode(first[4]).decode()
    return {"label": first[3], "data": chosen, "flags": [[f.kind, f.detail] for f in flags]}


def unpacked(reply: dict[str, Any]) -> tuple[str, bytes | None, list[Flag]]:
    """The reply of best."""
    data = None if reply["data"] is None else base64.b64decode(reply["data"])
    return reply["label"], data, [Flag(*flag) for flag in reply["flags"]]


def packed(files: list[tuple[str, bytes]]) -> list[tuple[str, str]]:
    """The files as best takes them."""
    return [(label, base64.b64encode(data).decode()) for label, data in files]


def local(name: str) -> Compare:
    """Comparing in this process, without limits: for one's own files."""
    from grading.course import Course
    from grading.source import read, student_version

    released = student_version(read(Course.from_environment().source(name)))
    released.metadata["assignment"] = name
    return lambda files: unpacked(best(nbformat.writes(released), packed(files)))
