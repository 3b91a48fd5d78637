"""Notebooks, zips and tars of any shape: whatever comes is mended or flagged, and never stops the grader.

About 20 seconds here; `make fuzz` takes ten minutes.
"""

import copy
import csv
import io
import json
import os
import tarfile
import time
import warnings
import zipfile
from functools import partial

import nbformat
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from grading import exports, hand_in, results, run
from grading.grade import job_of
from grading.late import Rule
from grading.records import Record
from grading.sandbox.launch import Sandbox
from grading.sandbox.student import Limits
from tests.grading import submissions as class_

SECONDS = float(os.environ.get("FUZZ_SECONDS", 20))
ODD = [
    "\ud800",
    "\x1b[31m",
    "<img onerror=1>",
    "$" * 50,
    "[" * 500,
    "=1+1",
    "@x",
    "\t=1",
    "\u202egpj",
    "../..",
    "\0",
    "a" * 300,
]
# no shrinking: it would take longer than the search
QUICK = settings(deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate], database=None)
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")  # of what a failure looks like
TEXT = st.text(st.characters(), max_size=20) | st.sampled_from(ODD)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)


def places(tree, path=()):
    """The path of every value in a JSON tree."""
    yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


SOLVED = json.loads(nbformat.writes(class_.solved()))
PLACES = list(places(SOLVED))[1:]


@st.composite
def submissions(draw):
    """A solved notebook with values replaced, removed or doubled; or bytes that are no notebook."""
    tree = copy.deepcopy(SOLVED)
    for path in draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=6)):
        holder = tree
        try:
            for key in path[:-1]:
                holder = holder[key]
            what = draw(st.sampled_from(["replace", "remove", "double", "add"]))
            if what == "remove":
                del holder[path[-1]]
            elif what == "double" and isinstance(holder, list):
                holder.append(copy.deepcopy(holder[path[-1]]))
            elif what == "add" and isinstance(holder, dict):
                holder[draw(TEXT)] = draw(JUNK)
            else:
                holder[path[-1]] = draw(JUNK)
        except (KeyError, IndexError, TypeError):
            continue
    data = json.dumps(tree).encode()
    return draw(st.just(data) | st.builds(lambda at: data[:at], st.integers(0, len(data))) | st.binary(max_size=200))


@pytest.fixture(scope="module")
def job():
    from grading.course import Course

    yield job_of(Course.from_environment(), class_.NAME, Sandbox("none"), Limits())
    run.release()


def test_anything_is_mended_or_flagged(job):
    released = json.loads(job.released)
    wanted = [c["metadata"]["nbgrader"]["grade_id"] for c in released["cells"] if "nbgrader" in c["metadata"]]

    @given(submissions())
    @settings(QUICK, max_examples=100)
    def survives(data):
        mended, flags, _ = run.mend(job.released, data)
        cells = json.loads(mended)["cells"]
        assert [c["metadata"]["nbgrader"]["grade_id"] for c in cells if "nbgrader" in c["metadata"]] == wanted
        marks = run.marks_of(job.released, mended, {})
        assert sum(mark.maximum for mark in marks) == class_.FULL + 3
        page, _ = run.draw(mended, class_.NAME, marks)
        assert page.startswith("<!DOCTYPE html>") and "<script" not in page
        "; ".join(map(str, flags)).encode()

    repeat(survives)


def repeat(test):
    """Run a test with new examples for half of the time."""
    end, number = time.monotonic() + SECONDS / 2, 0
    while time.monotonic() < end:
        seed(number)(test)()
        number += 1


# -- exports ---------------------------------------------------------------------------------------------------------

FORMS = """
{0}_{1}_assignsubmission_file_/{2}.ipynb
{0}_{1}_assignsubmission_file_forward-pass.ipynb
{0}_{1}_assignsubmission_file_/{2}.tar.gz
{0}_{1}_assignsubmission_onlinetext_/onlinetext.html
{0}_{1}_{1}_{2}.ipynb
{0}_LATE_{1}_{1}_forward-pass.ipynb
anon_{1}_{1}_{2}.ipynb
forward-pass_{0}_attempt_2026-11-20-10-00-00_{2}.ipynb
forward-pass_{0}_attempt_2026-11-20-10-00-00.txt
{1}-{1} - {0} - Nov 20, 2026 1000 AM/{2}.ipynb
submission_{1}/{2}.ipynb
submission_metadata.yml
{0}/forward-pass/{2}.ipynb
{0}/forward-pass/timestamp.txt
{0}/{2}.ipynb
{2}.ipynb
{2}
../{0}/{2}.ipynb
{0}/{2}.zip
{0}\\{2}.ipynb
{0} - {2}.ipynb
""".strip().splitlines()
STAMPS = ["2026-11-20 10:00:00 UTC", "2026-99-99 10:00:00", "9999-12-31 23:59:59 +99:99", "0001-01-01"]
BEGINNINGS = [b"", b"{}", b"PK\x03\x04", b"Name: A (b)\n", b":submitters: [", b"a: &a [*a]"]
SMALL = st.sampled_from([*BEGINNINGS, *map(str.encode, STAMPS), json.dumps(SOLVED).encode()])
CONTENTS = SMALL | st.binary(max_size=100) | submissions()


def zipped(files, methods):
    """A zip of (name, data)."""
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")  # of doubled names
        for k, (name, data) in enumerate(files):
            info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode() or "x")
            info.compress_type = methods[k % len(methods)]
            archive.writestr(info, data)
    return out.getvalue()


def tarred(files, methods):
    """A tar of (name, data), and of links and pipes with the same names."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz" if methods[0] else "w") as archive:
        for k, (name, data) in enumerate(files):
            info = tarfile.TarInfo(name.encode("utf-8", "replace").decode().replace("\0", "") or "x")
            info.size = len(data)
            info.type = (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE)[
                methods[k % len(methods)] % 4
            ]
            info.linkname = files[0][0].encode("utf-8", "replace").decode().replace("\0", "")[:90]
            archive.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return out.getvalue()


@st.composite
def archives(draw):
    """The bytes of an export, with names and files of any kind, sometimes one in another; sometimes damaged."""
    names = st.builds(lambda form, *parts: form.format(*parts), st.sampled_from(FORMS), TEXT, st.integers(0, 9), TEXT)
    methods = draw(st.lists(st.sampled_from([0, 8]), min_size=1, max_size=3))
    pack = draw(st.sampled_from([zipped, zipped, tarred]))
    inner = st.lists(st.tuples(names, CONTENTS), max_size=2).map(lambda files: zipped(files, methods))
    files = draw(st.lists(st.tuples(names, CONTENTS | inner), min_size=1, max_size=6))
    data = bytearray(pack(files, methods))
    for at, value in draw(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4)):
        data[-1 - at % min(len(data), 400)] = value  # most of them where a zip says what is in it
    return bytes(data[: draw(st.just(len(data)) | st.integers(0, len(data)))])


def test_any_export_is_understood_or_refused_with_a_sentence(job, tmp_path):
    path = tmp_path / "export.zip"

    @given(archives())
    @settings(QUICK, max_examples=50)
    def survives(data):
        path.write_bytes(data)
        try:
            found = hand_in.collect(path, class_.NAME)
        except exports.ExportError as error:
            assert str(error)
            return
        marks = run.marks_of(job.released, job.released, {})
        records = []
        for student, entry in found.items():
            chosen, flags = hand_in.choose(entry, class_.NAME, partial(run.compare, job.released))
            assert chosen is None or isinstance(chosen, bytes)
            assert chosen is not None or flags
            who = {"id": entry.id, "name": entry.name, "system": entry.system, "together": entry.together}
            records.append(Record(student, marks=marks, found=tuple(flags), late=Rule().judge(entry).late, **who))
            json.dumps(records[-1].as_json()).encode()
            assert student.isascii() and student.isprintable() and len(student) <= 120 and "/" not in student
        table = results.table(class_.NAME, records, results.shared_cells(records))
        rows = list(csv.DictReader(io.StringIO(table.removeprefix("\ufeff"))))
        assert sorted({row["student"].removeprefix("'") for row in rows}) == sorted(found)
        assert not any(value[:1] in tuple("=+-@\t\r") for row in rows for value in row.values())
        page = results.summary(class_.NAME, records, results.shared_cells(records), [])
        assert "<img" not in page.replace('<img src="distribution.svg"', "")
        (table + page).encode()
        assert all(c.isprintable() or c == "\n" for c in table.removeprefix("\ufeff"))

    repeat(survives)
