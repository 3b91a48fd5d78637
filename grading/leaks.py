"""Look for secrets in everything that is published: python -m grading leaks FOLDER [--student].

Secrets are the solutions and hidden tests of the assignments and, in the students' edition, the solutions of the
chapters and the mistakes that their answer boxes know; the boxes' checks are public. Every file in the folder is read,
and what is inside of zip, gzip and tar files, notebooks, JSON and SQLite files. HTML tags, entities, escapes, colors
and spacing do not hide a line.
"""

from __future__ import annotations

import gzip
import html
import io
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml
from numpy.lib.stride_tricks import sliding_window_view

from grading import source as assignments
from grading.course import GRADING, SOURCES

SHORTEST = 16  # letters and digits; shorter lines stand in any program


def squeeze(text: str) -> str:
    """Only letters and digits, so that markup and spacing make no difference."""
    return re.sub(r"[\W_]+", "", text)


def hidden_lines(student: bool, root: Path = GRADING.parent, sources: Path | None = None) -> dict[str, str]:
    """Return {what to look for: the line and where it stands}."""
    found: dict[str, str] = {}
    public = ""
    for source in sorted((sources or SOURCES).glob("*.md")):
        notebook = assignments.read(source)
        public += squeeze("\n".join(assignments.REGION.sub("", cell.source) for cell in notebook.cells))
        for line in assignments.hidden_lines(notebook):
            _add(found, line, source.name)
    hints = "student" in answer_hints(root)
    chapters = [root / "index.md", *sorted((root / "book").glob("*.md"))]
    for chapter in (c for c in chapters if c.exists()):
        text = chapter.read_text(encoding="utf-8")
        if student:
            outside, inside = read_simply(text)
            public += squeeze("\n".join([*outside, *CHECKS.findall(text), *(MISTAKES.findall(text) if hints else ())]))
            for line in inside:
                _add(found, line, chapter.name)
        else:
            public += squeeze(text)  # what a chapter says in public is no secret of an assignment
    modules = (path for name in ("normcore", "normbook") for path in sorted((root / name).rglob("*.py")))
    package = "".join(path.read_text(encoding="utf-8") for path in modules)
    public += squeeze(package)
    return {key: where for key, where in found.items() if key not in public}


# Of an answer box, what the students' edition publishes with a purpose; the second only where it is to give hints.
CHECKS = re.compile(r"^```\{code-cell\}[^\n]*\n:tags: \[check\]\n(.*?)^```", re.M | re.S)
MISTAKES = re.compile(r"^```\{mistakes\}\n(.*?)^```", re.M | re.S)


def answer_hints(root: Path) -> list[str]:
    """Return the editions whose answer boxes give hints, as _config.yml has them."""
    config = root / "_config.yml"
    settings = yaml.safe_load(config.read_text("utf8")) if config.exists() else {}
    return list(settings.get("sphinx", {}).get("config", {}).get("answer_hints", ["public"]))


OPENS = re.compile(
    r"(?P<marks>[`~:]{3,})\s*\{\s*solution(?P<gate>[-_ ]start)?\s*\}|\.\.\s+solution\s*::", re.IGNORECASE
)
# The same as anybody may see it in what is published.
GATES = re.compile(rb"\{\s*solution(?:[-_ ](?:start|end))?\s*\}|\.\.\s+solution\s*::", re.IGNORECASE)


def read_simply(text: str) -> tuple[list[str], list[str]]:
    """Return (lines outside, lines inside of solutions), read line by line, without the parser that makes the edition.

    A solution begins at the first line that names one, in a quote, a list or anywhere, and ends at the line that names
    its end, that is nothing but its marks, or, in reStructuredText, that is indented no further.
    """
    outside: list[str] = []
    inside: list[str] = []
    ends: re.Pattern[str] | None = None
    for line in text.splitlines():
        if ends is None:
            outside.append(line)
            if found := OPENS.search(line):
                if found["gate"]:
                    ends = re.compile(r".*solution[-_ ]end", re.IGNORECASE)
                elif found["marks"]:
                    ends = re.compile(rf"[\s>*+-]*{re.escape(found['marks'])}+\s*$")
                else:
                    ends = re.compile(rf"\s{{0,{len(line) - len(line.lstrip())}}}\S")
        elif ends.match(line):
            ends = None
            outside.append(line)
        else:
            inside.append(line.strip(" >"))
    known = {line.strip() for line in outside}
    return outside, [line for line in inside if line.strip() not in known]


def published_gates(folder: Path) -> list[str]:
    """Sources and notebooks in a students' edition that still name a solution."""
    return [
        f"{path}: a solution's gate"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in (".md", ".ipynb", ".txt", ".rst") and GATES.search(path.read_bytes())
    ]


def _add(found: dict[str, str], line: str, where: str) -> None:
    """Remember a line, and of a line with markup its longer pieces, which is what a page shows."""
    for piece in [line, *re.split(r"\{[\w:]+\}`[^`]*`|\$[^$]*\$|[`*\[\]]", line)]:
        if len(squeeze(piece)) >= SHORTEST and not piece.startswith((":", "```")):
            found.setdefault(squeeze(piece), f"{where}: {line}")


def texts(path: Path) -> Iterator[tuple[str, bytes]]:
    """Return (name, bytes) of a file and of everything packed into it."""
    yield from _unpack(str(path), path.read_bytes(), 4)


def _unpack(name: str, data: bytes, depth: int) -> Iterator[tuple[str, bytes]]:
    yield name, data
    if depth == 0:
        return
    if data[:4] == b"PK\x03\x04":
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for inside in archive.namelist():
                    yield from _unpack(f"{name}!{inside}", archive.read(inside), depth - 1)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError):
            return
    elif data[:2] == b"\x1f\x8b":
        try:
            inner = gzip.decompress(data)
        except (OSError, EOFError):
            return
        yield from _unpack(f"{name}!", inner, depth - 1)
    elif data[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(data)) as packed:
            for member in packed.getmembers():
                if file := packed.extractfile(member):
                    yield from _unpack(f"{name}!{member.name}", file.read(), depth - 1)


def views(data: bytes) -> Iterator[str]:
    """Every way in which a reader may see the bytes as text, squeezed."""
    for encoding in ("utf-8", "utf-16") if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8",):
        text = data.decode(encoding, errors="ignore")
        yield squeeze(text)
        if "\\" in text:  # JSON and scripts: "\n", "\"", "é" and the like
            unescaped = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), text)
            unescaped = re.sub(r"\\[nrt]", " ", unescaped).replace("\\", "")
            yield squeeze(unescaped)
            text = unescaped
        if "<" in text or "&" in text:
            for _ in range(2):  # a page, and a page quoted in a page
                text = html.unescape(re.sub(r"<[^>]*>", "", text))
                yield squeeze(text)


def _words(text: str) -> np.ndarray:
    """The eight bytes at every place of the text, as one number each."""
    data = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
    return sliding_window_view(data, 8).copy().view(np.uint64).ravel() if len(data) >= 8 else np.empty(0, np.uint64)


def _hits(view: str, starts: dict[int, list[str]], wanted: np.ndarray) -> Iterator[str]:
    """Every secret in the text: only where its first eight bytes stand is it worth a search."""
    words = _words(view)
    if not len(wanted) or not len(words):
        return
    place = np.minimum(np.searchsorted(wanted, words), len(wanted) - 1)
    for start in np.unique(words[wanted[place] == words]):
        yield from (secret for secret in starts[int(start)] if secret in view)


def leaks(folder: Path, secrets: dict[str, str]) -> list[str]:
    """Return "file: secret" for every secret found in the folder."""
    starts: dict[int, list[str]] = {}
    for secret in secrets:
        starts.setdefault(int(_words(secret)[0]), []).append(secret)
    wanted = np.array(sorted(starts), dtype=np.uint64)
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        for name, data in texts(path):
            if data[:4] in (b"\x89PNG", b"\xff\xd8\xff\xe0", b"wOF2", b"\0asm"):
                continue
            hits = {secret for view in views(data) for secret in _hits(view, starts, wanted)}
            found += [f"{name}: {secrets[hit]}" for hit in sorted(hits)]
    return found


def main(arguments: list[str]) -> None:
    """The command."""
    folders = [Path(a) for a in arguments if a != "--student"]
    secrets = hidden_lines("--student" in arguments)
    found = [line for folder in folders for line in leaks(folder, secrets)]
    if "--student" in arguments:
        found += [line for folder in folders for line in published_gates(folder)]
    if found or not all(f.is_dir() for f in folders):
        sys.exit("leaks: published secrets\n" + "\n".join(found or [f"no folder {f}" for f in folders]))
    print(f"{len(secrets)} secret lines, none of them in {', '.join(map(str, folders))}")


if __name__ == "__main__":
    main(sys.argv[1:])
