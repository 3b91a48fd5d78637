"""Tables that people bring: lists of a class, of extensions, saved by a learning system or by a spreadsheet."""

from __future__ import annotations

import contextlib
import csv
import io
import re
from pathlib import Path

MOST_BYTES = 50_000_000


class TableError(Exception):
    """A file that is no table; the message says what it is called and what is wrong with it."""


def read_rows(path: Path, called: str) -> tuple[list[list[str]], str]:
    """The rows of a CSV that commas, semicolons or tabs separate, each as long as the first; its byte order mark.

    Empty rows are left out. A first line such as "sep=;", which spreadsheets understand, says the separator.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TableError(f"{called} cannot be read: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise TableError(f"{called} has more than {MOST_BYTES // 10**6} MB: is it a list of a class?")
    if data.startswith(b"PK"):
        raise TableError(f"{called} is a spreadsheet or a zip: save it as CSV")
    for code in ("utf-8", "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "cp1252", "latin-1"):
        with contextlib.suppress(UnicodeDecodeError):
            text = data.decode(code)
            break
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix(mark).lstrip("\r\n")
    told = re.match(r'"?sep=(.)"?[^\S\r\n]*[\r\n]+', text)
    separators = told[1] if told else [one for one in ",;\t" if one in text] or ","
    body = text[told.end() :] if told else text
    read, wrong = [], ""
    for separator in separators:
        try:
            table = csv.reader(io.StringIO(body, newline=""), delimiter=separator, strict=True)
            read.append([row for row in table if any(cell.strip() for cell in row)])
        except csv.Error as error:
            wrong = wrong or str(error)
    if not read:
        raise TableError(f"{called} is no CSV: {wrong}")
    rows = max(read, key=_regular)
    if not rows:
        raise TableError(f"{called} is empty")
    width = len(rows[0])
    return [[*row, *[""] * (width - len(row))][:width] for row in rows], mark


def _regular(rows: list[list[str]]) -> tuple[bool, float, int]:
    """How much rows look like a table: has it columns, how many rows are as long as the first, and how long."""
    width = len(rows[0]) if rows else 0
    return width > 1, sum(len(row) == width for row in rows) / max(1, len(rows)), width
