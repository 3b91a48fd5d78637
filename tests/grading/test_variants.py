"""Numbers of a student's own: drawn from a key, drawn again by the grader, worth the same, and telling nothing."""

import os
import re
import stat
import zipfile

import nbformat
import pytest

from grading import build, hand_out, variants
from grading.course import SOURCES, Course
from grading.grade import Jobs, job_of
from grading.hand_out import HandOutError
from grading.sandbox.launch import Sandbox
from grading.sandbox.student import Limits
from grading.source import SourceError, has_variants, read, student_version
from tests.grading.test_assignments import MISTAKES, altered, points

NAME = "train-and-eval"
SOURCE = SOURCES / f"{NAME}.md"
KEY = bytes(range(32))


def seed(student):
    return variants.seed_of(KEY, NAME, student)


def own_cell(notebook):
    return next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == "own-numbers")


def test_a_draw_is_the_same_for_ever():
    draw = variants.Draw(b"seed")
    assert [draw.integer(0, 99) for _ in range(6)] == [46, 0, 61, 19, 24, 27]
    draw = variants.Draw(b"other")
    seen = {draw.integer(-1, 1) for _ in range(200)}
    assert seen == {-1, 0, 1} and draw.choice(["a"]) == "a"
    with pytest.raises(ValueError, match="no integer from 2 to 1"):
        draw.integer(2, 1)


def test_two_students_differ_and_one_student_does_not():
    cells = {who: own_cell(read(SOURCE, seed(who))).source for who in ("ada", "emmy", "201", "202")}
    assert len(set(cells.values())) == 4
    assert cells["ada"] == own_cell(read(SOURCE, seed("ada"))).source
    assert cells["ada"] != own_cell(read(SOURCE, variants.seed_of(KEY[::-1], NAME, "ada"))).source
    assert own_cell(read(SOURCE)).source == own_cell(read(SOURCE, b"")).source  # without a key: everybody's
    assert (
        variants.seed_of(KEY, "a", "b") != variants.seed_of(KEY, "a\0b", "") != variants.seed_of(b"", "a", "b") == b""
    )


def test_the_students_cell_holds_numbers_and_comments_alone():
    source = own_cell(student_version(read(SOURCE, seed("ada")))).source
    first, *lines = source.splitlines()
    assert first.startswith("# yours alone") and len(lines) == 2
    assert re.fullmatch(r"my_momentum = 0\.\d+", lines[0]) and re.fullmatch(r"my_batch = [\[\], \d-]+", lines[1])
    text = nbformat.writes(student_version(read(SOURCE, seed("ada"))))
    assert KEY.hex() not in text and "draw" not in text.replace("drawn", "") and seed("ada").hex() not in text


def test_grades_do_not_depend_on_whose_numbers_they_are():
    """The reference gets everything and each named mistake loses the same, whoever the student is."""
    mistakes = [m for m in MISTAKES.values() if m[0] == NAME]
    assert len(mistakes) > 5
    outcomes = {}
    for student in ("", "ada", "emmy", "201", "202"):
        notebook = read(SOURCE, seed(student) if student else b"")
        outcomes[student] = [points(notebook, altered(notebook, m[1], *m[2])) for m in mistakes] + [
            points(notebook, {})
        ]
    assert all(found == outcomes[""] for found in outcomes.values())
    assert set(outcomes[""][-1].values()) == {float(p) for p in outcomes[""][-1].values() if p}


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("x = draw.integer(2, 1)", "ValueError: no integer from 2 to 1"),
        ("import numpy", "ValueError: a variant draws nothing"),
        ("x = [object()]", r"ValueError: x is \[<object"),
        ("x = nothing", "NameError"),
    ],
)
def test_a_variant_that_cannot_be_drawn_stops_the_build(tmp_path, code, says):
    path = tmp_path / "one.md"
    path.write_text(
        f"{SOURCE.read_text().split('```{code-cell}')[0]}```{{code-cell}} ipython3\n:variant: own\n{code}\n```\n"
    )
    with pytest.raises(SourceError, match=says):
        read(path)


def test_an_assignment_whose_points_depend_on_the_draw_stops_the_build(tmp_path):
    path = tmp_path / f"{NAME}.md"
    text = SOURCE.read_text()
    path.write_text(
        text.replace("### BEGIN HIDDEN TESTS\nmean_in", "### BEGIN HIDDEN TESTS\nassert my_momentum < 0.3\nmean_in")
    )
    with pytest.raises(SourceError, match="the reference solution fails"):
        build.check(path)
    assert has_variants(path) and not has_variants(SOURCES / "forward-pass.md")


def test_each_student_of_a_list_gets_a_notebook(tmp_path):
    course = Course(tmp_path / "root", tmp_path / "results", SOURCES)
    (tmp_path / "list.csv").write_text("id,name\n201,Li Wei\n202,Li Wei\nada lovelace,Ada\n")
    told = hand_out.hand_out(course, NAME, tmp_path / "list.csv")
    assert "3 notebooks, 3 different ones" in told[0] and "give it to nobody" in told[1]
    assert stat.S_IMODE(os.stat(course.key).st_mode) == 0o600
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub").chmod(0o2770)  # a folder of all who grade
    variants.key_of_course(tmp_path / "hub" / "variants.key", make=True)
    assert stat.S_IMODE(os.stat(tmp_path / "hub" / "variants.key").st_mode) == 0o640
    key = variants.key_of_course(course.key)
    with zipfile.ZipFile(tmp_path / "results" / NAME / "notebooks.zip") as archive:
        names = archive.namelist()
        assert names[:2] == [f"201/{NAME}.ipynb", f"202/{NAME}.ipynb"] and names[2].startswith("ada-lovelace-")
        assert all(key.hex().encode() not in archive.read(name) for name in names)
        assert archive.read(names[0]).decode() == nbformat.writes(hand_out.notebook_for(course, NAME, "201", key))
    hand_out.hand_out(course, NAME, tmp_path / "list.csv")
    assert variants.key_of_course(course.key) == key  # a second run draws the same
    with pytest.raises(HandOutError, match="forward-pass draws no numbers"):
        hand_out.hand_out(course, "forward-pass", tmp_path / "list.csv")


def test_the_grader_draws_the_same_numbers_again(tmp_path):
    """What it makes of them in a class is in test_whole_course.py."""
    course = Course(tmp_path / "root", tmp_path / "results", SOURCES)
    key = variants.key_of_course(course.key, make=True)
    jobs = Jobs(course, job_of(course, NAME, Sandbox("none"), Limits()))
    before = jobs.seed("201")
    assert before == variants.seed_of(key, NAME, "201")
    assert own_cell(nbformat.reads(jobs.of("201", b"x").released, 4)).source == own_cell(read(SOURCE, before)).source
    course.key.write_text("ff" * 32)
    assert jobs.seed("201") != before  # so everybody is graded anew
    course.key.unlink()
    assert jobs.seed("201") == b"" and jobs.of("201", b"x").source == jobs.empty.source
