"""Bring a handed-in notebook back into the shape of the assignment, and say what was out of shape.

nbgrader trusts the metadata of a submission: a renamed file, a deleted test or a tag that skips a cell changes the
grade, silently. So every submission is rebuilt on the assignment's own cells. Of the student's notebook count the
sources of the answers and the cells that they added; tests, points and metadata are the instructor's.
"""

from __future__ import annotations

import difflib
import json
import re
from typing import Any

import nbformat
from nbformat import NotebookNode

from grading.records import Flag

MOST_BYTES = 20_000_000
MOST_PICTURES = 10_000_000  # characters of a cell's pictures, in base64
PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
KERNELS = {"python3", "python", ""}  # "python" is JupyterLite's


class UnreadableError(Exception):
    """The file is not a notebook."""


def parse(data: bytes) -> NotebookNode:
    """Return the notebook in data, or raise UnreadableError with the reason.

    Only the shape that is needed here is asked for: a list of cells with sources. What else is out of shape is left
    out, and named in ``notebook.odd``.
    """
    if not data.strip():
        raise UnreadableError("the file is empty")
    if len(data) > MOST_BYTES:
        raise UnreadableError(f"the file has more than {MOST_BYTES // 10**6} MB")
    odd: list[str] = []
    try:
        text = data.decode(json.detect_encoding(data))
    except UnicodeDecodeError:
        text = data.decode(errors="replace")
        odd.append("characters that are no UTF-8")
    try:
        raw = json.loads(text.removeprefix("\ufeff"), parse_int=lambda digits: int(digits) if len(digits) < 20 else 0)
        listed = raw["worksheets"][0]["cells"] if "worksheets" in raw and "cells" not in raw else raw["cells"]
        if not isinstance(listed, list):
            raise TypeError
    except Exception as error:
        raise UnreadableError(f"the file is not a notebook ({type(error).__name__})") from None
    if not isinstance(raw.get("nbformat"), int) or not isinstance(raw.get("metadata"), dict):
        odd.append("the notebook's metadata")
    cells = [
        _plain(cell, odd)
        for cell in listed
        if isinstance(cell, dict) and isinstance(cell.get("source", cell.get("input", "")), str | list)
    ]
    if len(cells) < len(listed):
        odd.append("cells")
        if not cells:
            raise UnreadableError("the file is not a notebook (no cell can be read)")
    metadata = raw.get("metadata") if isinstance(raw.get("metadata"), dict) else {}
    if not isinstance(metadata.get("kernelspec", {}), dict):
        odd.append("the kernel's name")
        metadata = {**metadata, "kernelspec": {}}
    return NotebookNode(cells=cells, metadata=metadata, odd=sorted(set(odd)))


def _plain(cell: dict[str, Any], odd: list[str]) -> NotebookNode:
    source = cell.get("source", cell.get("input", ""))  # "input" in the third format
    if isinstance(source, list):
        if not all(isinstance(part, str) for part in source):
            odd.append("a cell's source")
        source = "".join(map(str, source))
    kind = cell.get("cell_type")
    metadata = cell.get("metadata")
    if not isinstance(metadata, dict):
        odd.append("a cell's metadata")
        metadata = {}
    tags = metadata.get("tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        odd.append("a cell's tags")
        metadata = {**metadata, "tags": []}
    return NotebookNode(
        cell_type=kind if kind in ("code", "markdown") else "markdown",
        source="\n".join(re.split(r"\r\n|\r|\n", source)),  # as on any system
        id=str(cell.get("id", "")),
        metadata=metadata,
        outputs=cell.get("outputs") or [],
        attachments=_pictures(cell.get("attachments")),
    )


def _pictures(attachments: Any) -> dict[str, dict[str, str]]:
    """The pictures that were pasted into a cell, by name; nothing else, and not more than a cell may have."""
    found: dict[str, dict[str, str]] = {}
    size = 0
    for name, kinds in attachments.items() if isinstance(attachments, dict) else ():
        for kind, data in kinds.items() if isinstance(kinds, dict) else ():
            text = "".join("".join(map(str, data)).split()) if isinstance(data, str | list) else ""
            size += len(text)
            if kind in PICTURES and re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", text) and size < MOST_PICTURES:
                found.setdefault(str(name), {})[kind] = text
    return found


def _same(one: str, other: str) -> bool:
    """True for texts that differ in white space at the ends of lines alone."""
    return [line.rstrip() for line in one.strip().splitlines()] == [
        line.rstrip() for line in other.strip().splitlines()
    ]


def _tags(cell: NotebookNode) -> dict[str, Any]:
    found = cell.metadata.get("nbgrader")
    return found if isinstance(found, dict) else {}


def _defined(source: str) -> set[str]:
    return set(re.findall(r"^(?:def|class)\s+(\w+)", source, re.MULTILINE))


def _match(released: NotebookNode, handed_in: NotebookNode) -> dict[int, int]:
    """Return, for cells of the assignment by position, the position of the student's version."""
    pairs: dict[int, int] = {}

    def take(key: Any, same_kind: bool = True) -> None:
        for j, cell in enumerate(handed_in.cells):
            if j in pairs.values() or not key(cell):
                continue
            for i, ours in enumerate(released.cells):  # the first of equal ones that is still free
                if i not in pairs and key(ours) == key(cell) and (not same_kind or ours.cell_type == cell.cell_type):
                    pairs[i] = j
                    break

    take(lambda c: _tags(c).get("grade_id"), same_kind=False)
    take(lambda c: c.id if not _tags(c) else "")
    take(lambda c: c.id if c.id.startswith(released.metadata.get("assignment", "?") + "-text-") else "")
    take(lambda c: c.source.strip())
    # what is left: an answer cell without its metadata defines the same function; a written answer keeps its question
    for i, ours in enumerate(released.cells):
        if i in pairs or not _tags(ours).get("solution"):
            continue
        free = [
            j
            for j in range(len(handed_in.cells))
            if j not in pairs.values() and handed_in.cells[j].cell_type == ours.cell_type
        ]
        if ours.cell_type == "code":
            fits = [j for j in free if _defined(ours.source) & _defined(handed_in.cells[j].source)]
        else:
            question = ours.source.split("YOUR ANSWER HERE")[0].strip()
            fits = [
                j
                for j in free
                if difflib.SequenceMatcher(None, question, handed_in.cells[j].source[: len(question)]).ratio() > 0.7
            ]
        if fits:
            pairs[i] = fits[-1]
    return pairs


def repair(released: NotebookNode, handed_in: NotebookNode) -> tuple[NotebookNode, list[Flag], list[str]]:
    """Return the mended submission, the flags, and the ids of the cells that the student added."""
    flags: list[Flag] = []

    def flag(kind: str, detail: str = "") -> None:
        if (found := Flag(kind, detail)) not in flags:
            flags.append(found)

    for what in handed_in.get("odd", ()):
        flag("structure repaired", what)
    pairs = _match(released, handed_in)
    kernel = str((handed_in.metadata.get("kernelspec") or {}).get("name", ""))
    if kernel not in KERNELS:
        flag("kernel named", kernel[:40])
    if not any(_tags(c) for c in handed_in.cells):
        flag("metadata stripped")
    before: dict[int, list[NotebookNode]] = {}
    position = {j: i for i, j in pairs.items()}
    last = -1
    for j, cell in enumerate(handed_in.cells):
        if j in position:
            last = position[j]
        else:
            before.setdefault(last, []).append(cell)
    order = [position[j] for j in sorted(position)]
    if order != sorted(order):
        flag("cells in another order")

    cells: list[NotebookNode] = []
    own_ids: list[str] = []

    def add_extras(after: int) -> None:
        for extra in before.get(after, []):
            if extra.source.strip():
                own_ids.append(extra.id)
            make = nbformat.v4.new_code_cell if extra.cell_type == "code" else nbformat.v4.new_markdown_cell
            cells.append(make(extra.source, id=f"extra-{len(cells)}"))
            if extra.attachments and extra.cell_type == "markdown":
                cells[-1]["attachments"] = extra.attachments

    add_extras(-1)
    for i, ours in enumerate(released.cells):
        cell = nbformat.from_dict(json.loads(json.dumps(ours)))
        tags, name = _tags(ours), _tags(ours).get("grade_id", "")
        role = ours.metadata.get("normcore", {}).get("role", "text")
        if i in pairs:
            theirs = handed_in.cells[pairs[i]]
            if role in ("answer", "written", "scratch", "keep"):
                cell.source = theirs.source
                if theirs.attachments and role == "written":
                    cell["attachments"] = theirs.attachments
                if theirs.id != ours.id and theirs.id:
                    own_ids.append(theirs.id)
            elif role in ("given", "asked", "test") and not _same(theirs.source, ours.source):
                flag(f"{'test' if role == 'test' else 'given cell'} edited", name)
            if role == "keep":
                cell.outputs = _kept_outputs(theirs.outputs)
            if tags and _tags(theirs):
                once = released.metadata.get("points_before", {}).get(name, [])
                if _tags(theirs).get("points") not in (tags.get("points"), *once):
                    flag("points edited", name)
                if any(_tags(theirs).get(k) != tags.get(k) for k in ("grade", "solution", "locked", "task")):
                    flag("metadata edited", name)
            tagged = theirs.metadata.get("tags")
            if any(
                tag in ("skip-execution", "raises-exception") for tag in (tagged if isinstance(tagged, list) else ())
            ):
                flag("metadata edited", name or "a cell")
        elif role in ("answer", "written"):
            flag("answer missing", name)
        elif role in ("given", "asked", "test"):
            flag(f"{'test' if role == 'test' else 'given cell'} missing", name)
        cells.append(cell)
        add_extras(i)
    mended = nbformat.v4.new_notebook(cells=cells, metadata=json.loads(json.dumps(released.metadata)))
    mended.metadata.pop("points_before", None)
    return mended, flags, own_ids


def _kept_outputs(outputs: Any) -> list[NotebookNode]:
    """The printed output of a cell that is not run again, in plain text and of a bearable length."""
    text = ""
    for output in outputs if isinstance(outputs, list) else []:
        if isinstance(output, dict):
            part = output.get("text") or (output.get("data") or {}).get("text/plain") or ""
            text += "".join(map(str, part)) if isinstance(part, list) else str(part)
    return [nbformat.v4.new_output("stream", text=text[:20_000])] if text else []
