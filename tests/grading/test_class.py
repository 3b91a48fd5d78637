"""One bad submission never stops, hides or delays the others: files of every shape in one class with honest ones."""

import contextlib
import copy
import csv
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import nbformat
import pytest

from grading import grade as grading
from grading import gradebook, hand_in, run
from grading.course import SOURCES, Course
from tests.grading import submissions as class_

pytestmark = pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is not installed: no sandbox to test")
SOLVED = json.loads(nbformat.writes(class_.solved()))
FULL = class_.FULL
HALF = "\ud800"


def changed(change):
    """The bytes of a solved notebook with something done to its tree."""
    tree = copy.deepcopy(SOLVED)
    return json.dumps(change(tree) or tree).encode()


def top(**values):
    return changed(lambda tree: tree.update(values))


def cells(**values):
    return changed(lambda tree: [cell.update(values) for cell in tree["cells"]] and None)


def metadata(**values):
    return changed(lambda tree: [cell["metadata"].update(values) for cell in tree["cells"]] and None)


def written(text):
    def change(tree):
        (cell,) = (c for c in tree["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") == "one-image")
        cell["source"] += text

    return changed(change)


def many(number, kind, source):
    cell = {"cell_type": kind, "metadata": {}, "source": source}
    return changed(lambda tree: tree["cells"].extend({**cell, "id": f"own-{k}"} for k in range(number)))


def third_format(tree):
    for cell in tree["cells"]:
        if cell["cell_type"] == "code":
            cell["input"] = cell.pop("source")
    return {"nbformat": 3, "metadata": {"name": ""}, "worksheets": [{"cells": tree["cells"]}]}


def end(text):
    """A solved notebook with one more entry, given as the text of JSON."""
    return json.dumps(SOLVED)[:-1].encode() + b', "x": ' + text + b"}"


# name: (bytes, points, the flags among which one must be, () for none)
SHAPES = {
    "kernelspec-a-string": (top(metadata={"kernelspec": "python3"}), FULL, "structure repaired: the kernel's name"),
    "kernelspec-a-list": (top(metadata={"kernelspec": []}), FULL, "structure repaired: the kernel's name"),
    "kernel-half-a-character": (top(metadata={"kernelspec": {"name": HALF}}), FULL, "kernel named: ?"),
    "no-metadata": (changed(lambda tree: tree.pop("metadata") and None), FULL, "structure repaired: the notebook's"),
    "metadata-a-list": (top(metadata=[]), FULL, "structure repaired: the notebook's metadata"),
    "metadata-null": (top(metadata=None), FULL, "structure repaired: the notebook's metadata"),
    "metadata-deep": (top(metadata=json.loads('{"a":' * 800 + "1" + "}" * 800)), FULL, ""),
    "cells-metadata-a-list": (cells(metadata=[]), FULL, "structure repaired: a cell's metadata"),
    "tags-a-number": (metadata(tags=5), FULL, "structure repaired: a cell's tags"),
    "tags-a-dictionary": (metadata(tags=[{}]), FULL, "structure repaired: a cell's tags"),
    "nbgrader-a-list": (metadata(nbgrader=[1]), FULL, "metadata stripped"),
    "grade-id-a-dictionary": (metadata(nbgrader={"grade_id": {}}), FULL, "metadata edited"),
    "metadata-half-a-character": (metadata(x=HALF), FULL, ""),
    "ids-numbers": (cells(id=5), FULL, ""),
    "ids-half-characters": (cells(id=HALF), FULL, ""),
    "outputs-a-number": (cells(outputs=5), FULL, ""),
    "outputs-of-no-shape": (cells(outputs=[5, {"data": 5}, {"data": {"text/plain": {}}}, {"text": {}}]), FULL, ""),
    "attachments-a-number": (cells(attachments=5), FULL, ""),
    "attachments-of-no-shape": (cells(attachments={"a": 5, "b": {"image/png": {}}}), FULL, ""),
    "cell-types-numbers": (cells(cell_type=5), FULL, ""),
    "things-among-cells": (top(cells=[1, None, "x", [], *SOLVED["cells"]]), FULL, "structure repaired: cells"),
    "cells-a-dictionary": (top(cells={}), 0, "unreadable"),
    "cells-null": (top(cells=None), 0, "unreadable"),
    "sources-lists-of-anything": (cells(source=[1, None]), 0, "structure repaired: a cell's source"),
    "format-ninety-nine": (top(nbformat=99), FULL, ""),
    "format-a-word": (top(nbformat="4"), FULL, "structure repaired: the notebook's metadata"),
    "sources-numbers": (cells(source=5), 0, "unreadable"),
    "third-format": (changed(third_format), FULL, ""),
    "half-characters": (written(HALF), FULL, ""),
    "not-utf-8": (json.dumps(SOLVED, ensure_ascii=False).encode("cp1252", "replace"), FULL, "characters that are no"),
    "a-list": (b"[]", 0, "unreadable"),
    "a-number": (b"5", 0, "unreadable"),
    "brackets": (b"[" * 100_000, 0, "unreadable"),
    "deep-entry": (end(b"[" * 50_000 + b"]" * 50_000), 0, "unreadable"),
    "long-number": (end(b"9" * 100_000), FULL, ""),
    "formula-without-end": (written("\n\n$$" + "\\frac{x}{" * 20_000 + "$$"), FULL, ""),
    "formula-nested": (written("\n\n$" + "{" * 400 + "x" + "}" * 400 + "$"), FULL, ""),
    "many-formulas": (written("\n\n" + "$x_{1}^{2}$ " * 1_600), FULL, ""),
    "many-cells": (many(3_000, "code", "x = 1"), FULL, ""),
    "many-prose": (many(3_000, "markdown", "x"), FULL, ""),
    "one-letter-cells": (many(3_000, "code", "("), FULL, ""),
}
HONEST = ("honest-1", "honest-2", "honest-3")


def course(base):
    return Course(base / "root", base / "results", SOURCES)


@pytest.fixture(scope="module")
def graded():
    """The class graded once: {student: the record}, and the rows of the table."""
    with tempfile.TemporaryDirectory(prefix="ncc-") as name:
        base = Path(name)
        for student, data in [(k, v[0]) for k, v in SHAPES.items()] + [(k, end(b"1")) for k in HONEST]:
            folder = base / "submitted" / student / class_.NAME
            folder.mkdir(parents=True)
            (folder / f"{class_.NAME}.ipynb").write_bytes(data)
        os.mkfifo(base / "submitted" / "kernelspec-a-list" / class_.NAME / "timestamp.txt")
        for student in ("fifo", "deep-folders", "links", "a-folder"):
            (base / "submitted" / student / class_.NAME).mkdir(parents=True)
        inside = base / "submitted" / "fifo" / class_.NAME
        os.mkfifo(inside / f"{class_.NAME}.ipynb")
        (base / "submitted" / "links" / class_.NAME / f"{class_.NAME}.ipynb").symlink_to("/dev/zero")
        (base / "submitted" / "links" / class_.NAME / "other.ipynb").symlink_to("/dev/zero")
        (base / "submitted" / "a-folder" / class_.NAME / f"{class_.NAME}.ipynb").mkdir()
        here = os.getcwd()
        os.chdir(base / "submitted" / "deep-folders" / class_.NAME)
        for _ in range(1_500):
            os.mkdir("d")
            os.chdir("d")
        os.chdir(here)
        os.mkfifo(base / "submitted" / "a-loose-fifo")
        before = dict(os.environ)
        os.environ |= {"CELL_SECONDS": "8", "LIMIT_MEMORY": "2000000000"}
        started = time.monotonic()
        try:
            records = {r.student: r for r in grading.grade(course(base), class_.NAME, base / "submitted", 2)}
        finally:
            os.environ.clear()
            os.environ.update(before)
        with open(base / "results" / class_.NAME / "grades.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        yield records, rows, time.monotonic() - started
        os.system(f"rm -rf {base}/submitted")  # Python's own gives up 1,000 folders down


def test_everybody_is_in_the_table(graded):
    records, rows, _ = graded
    assert {row["student"] for row in rows} == set(records)
    assert {*SHAPES, *HONEST, "fifo", "deep-folders", "links", "a-folder"} <= set(records)
    assert [record.error for record in records.values() if record.error] == []


def test_honest_students_get_their_points(graded):
    records, _, _ = graded
    assert {student: (records[student].points, records[student].all_flags) for student in HONEST} == dict.fromkeys(
        HONEST, (FULL, ())
    )


@pytest.mark.parametrize("student", SHAPES)
def test_what_can_be_graded_is_and_the_reason_stands_there(graded, student):
    records, _, _ = graded
    _, points, flag = SHAPES[student]
    said = [str(f) for f in records[student].all_flags]
    assert (records[student].points, any(flag in f for f in said) if flag else said) == (points, True if flag else [])


def test_nothing_that_is_no_file_is_opened(graded):
    records, _, _ = graded
    for student in ("fifo", "deep-folders", "links", "a-folder"):
        assert records[student].points == 0
        kinds = [flag.kind for flag in records[student].all_flags]
        assert kinds and set(kinds) <= {"no notebook", "unreadable", "several notebooks"}


# -- whatever goes wrong with one student ----------------------------------------------------------------------------


class Refusing:
    """A gradebook that refuses one student."""

    def put(self, student, notebook, marks, name=""):
        if student == "bad":
            raise KeyError("a test that is not there any more")
        return marks, []

    def forget(self):
        self.forgotten = True


@pytest.mark.parametrize("step", ["read", "run", "gradebook", "page"])
def test_an_error_costs_one_student(tmp_path, monkeypatch, step):
    """An error in any step: flagged, told, and everybody else has their grade."""
    job = grading.job_of(course(tmp_path), class_.NAME, grading.Sandbox("none"), grading.Limits())
    marks = run.marks_of(job.released, job.released, {})
    book = Refusing()

    def outcome(job):
        if job.data == b"bad" and step == "run":
            raise RuntimeError("\x1b[31mthe step\ud800")
        return run.Outcome(job.released, marks, (), (), "<p>", 0.1)

    def collect(*_):
        def broken():
            raise RuntimeError("encrypted")

        readers = {"good": lambda: b"good", "other": lambda: b"other", "bad": lambda: b"bad"}
        readers |= {"bad": broken} if step == "read" else {}
        return hand_in.Collected([hand_in.Submission(k, {"x.ipynb": read}) for k, read in readers.items()], [], 0)

    monkeypatch.setattr(grading.hand_in, "collect", collect)
    monkeypatch.setattr(run, "run", outcome)
    monkeypatch.setattr(grading, "find_sandbox", lambda: grading.Sandbox("none"))
    monkeypatch.setattr(grading.build, "register", lambda *a: (tmp_path / "root").mkdir(exist_ok=True))
    stamp = course(tmp_path).root / f"{class_.NAME}.built"
    stamp.parent.mkdir()
    stamp.write_text(grading.fingerprint(course(tmp_path).source(class_.NAME)))
    if step != "gradebook":
        book.put = lambda student, notebook, marks, name="": (marks, [])
    monkeypatch.setattr(gradebook, "writer", lambda *a: contextlib.nullcontext(book))
    if step == "page":
        write = grading.write_page
        monkeypatch.setattr(
            grading, "write_page", lambda c, n, student, page: write(c, n, student, page if student != "bad" else None)
        )
    records = {r.student: r for r in grading.grade(course(tmp_path), class_.NAME, tmp_path, 2)}
    assert len(records) == 3 and not records["good"].error and not records["other"].error
    own = records["bad"]
    kinds = [flag.kind for flag in own.all_flags]
    if step == "read":
        assert kinds == ["unreadable"] and "encrypted" in str(own.all_flags[0])
    else:
        assert kinds == ["renamed", "not graded"] and own.error.isprintable()
    assert (course(tmp_path).results / class_.NAME / "grades.csv").read_text().count("bad") >= 1
    assert getattr(book, "forgotten", False) == (step != "read")


def test_a_key_is_the_name_of_a_file_whatever_the_student_is_called():
    odd = ["", ".", "..", "a/b", "a\\b", "a\0b", "a\nb", "a\ud800", ".hidden", " a", "a ", "x" * 300, "李" * 100, "-x"]
    keys = hand_in.keys([("", "", name) for name in odd])
    assert len({*keys}) == len(odd)
    assert all(0 < len(key.encode()) <= 120 and key.isprintable() and key.isascii() for key in keys)
    assert all("/" not in key and key[0] not in ".-" for key in keys)


def test_a_damaged_record_is_graded_anew(tmp_path):
    records = grading.Records(tmp_path)
    records.put(grading.Record("ada", "key"))
    for damage in ("", "{", "[]", '{"student": "ada"}', "5", '{"student": "eve", "marks": [], "flags": [], "ids": []}'):
        (tmp_path / "ada.json").write_text(damage)
        assert grading.Records(tmp_path).known == {}
