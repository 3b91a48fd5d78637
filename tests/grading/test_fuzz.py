"""Notebooks of any shape: whatever comes is mended or flagged, and never stops the grader.

About 20 seconds here; `make fuzz` takes ten minutes.
"""

import copy
import json
import os
import time

import nbformat
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from grading import run
from grading.grade import job_of
from grading.sandbox.launch import Sandbox
from grading.sandbox.student import Limits
from tests.grading import submissions as class_

SECONDS = float(os.environ.get("FUZZ_SECONDS", 20))
TEXT = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["\ud800", "\x1b[31m", "<img onerror=1>", "$" * 50, "[" * 500]
)
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
    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    def survives(data):
        mended, flags, _ = run.mend(job.released, data)
        cells = json.loads(mended)["cells"]
        assert [c["metadata"]["nbgrader"]["grade_id"] for c in cells if "nbgrader" in c["metadata"]] == wanted
        marks = run.marks_of(job.released, mended, {})
        assert sum(mark.maximum for mark in marks) == class_.FULL + 3
        page, _ = run.draw(mended, class_.NAME, marks)
        assert page.startswith("<!DOCTYPE html>") and "<script" not in page
        "; ".join(map(str, flags)).encode()

    end, number = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        seed(number)(survives)()
        number += 1
