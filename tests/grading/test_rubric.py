"""Rubrics: items with points in the source, ticked in a comment, shown to the student."""

import pytest

from grading import build, rubric
from grading.course import SOURCES
from grading.rubric import Item
from grading.source import SourceError, maximum, read

TWO = (Item(1, "they are equal"), Item(2, "the reason"))


def test_every_written_question_of_the_course_has_a_rubric_that_adds_up():
    found = {}
    for source in sorted(SOURCES.glob("*.md")):
        notebook = read(source)
        listed = rubric.rubrics(notebook)
        found[source.stem] = [len(items) for items in listed.values()]
        written = sum(sum(item.points for item in items) for items in listed.values())
        assert written == maximum(notebook) - maximum(notebook, automatic=True)
    assert found == {"backward-pass": [4], "forward-pass": [3], "small-batches": [3, 5], "train-and-eval": [3]}


def test_items_may_have_half_points_and_more_than_one_line():
    text = "Rubric:\n\n- 1 point for one\n- 0.5 points for a longer\n  item\n- 12 is no item\n"
    assert rubric.items(text) == (Item(1, "one"), Item(0.5, "a longer item"))


@pytest.mark.parametrize(
    ("comment", "points"),
    [
        ("#1", 1), ("#1 #2", 3), ("#2, #2.", 2), ("Fine #1\nand #2", 3), ("#0", 0), ("#0 Read it again.", 0),
        (None, None), ("", None), ("Say why.", None), ("issue#1", None), ("#9", None), ("#1x", None),
        ("see #9 and #2", 2),
    ],
)  # fmt: skip
def test_a_comment_ticks_items(comment, points):
    assert rubric.points(TWO, comment) == points
    assert rubric.points((), comment) is None


def test_the_student_sees_every_item_and_the_rest_of_the_comment():
    assert rubric.shown(TWO, "#2 Say why, see #7.") == "0 of 1: they are equal\n2 of 2: the reason\nSay why, see #7."
    assert rubric.shown(TWO, "#0") == "0 of 1: they are equal\n0 of 2: the reason"
    assert rubric.shown(TWO, "Say why.") == "Say why." and rubric.shown(TWO, None) == ""


def test_a_rubric_that_does_not_add_up_stops_the_build(tmp_path):
    path = tmp_path / "forward-pass.md"
    text = (SOURCES / "forward-pass.md").read_text()
    path.write_text(text.replace("- 1 point for saying", "- 2 points for saying"))
    with pytest.raises(SourceError, match="the items of one-image's rubric have 5 points, it has 3"):
        build.check(path)
