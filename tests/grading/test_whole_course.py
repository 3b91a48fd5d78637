"""A course from the instructors' page: numbers of one's own, a class that hands in, extensions, late days, written
answers read by rubric, a regrade, and the register: grades in two formats, read back as the two systems would.

The commands are the page's own: each is taken from it, with this course's files in place of the page's.
`make course-test` does it with a class of 30; a few are enough to see that nothing is broken.
"""

import csv
import os
import re
import shlex
import shutil
import subprocess
import zipfile
from pathlib import Path

import nbformat
import pytest

from grading.course import SOURCES, Course
from grading.register import records_of
from grading.source import read
from tests.grading import systems

pytestmark = pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is not installed: no sandbox to test")
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "book" / "instructors.md").read_text("utf8")
NAME = "train-and-eval"
NUMBER = int(os.environ.get("COURSE_NUMBER", 4))
IDS = [str(4000 + k) for k in range(NUMBER + 2)]  # the last two hand in nothing
LATE = {
    1: "Thursday, 3 December 2026, 9:00 AM",
    2: "Thursday, 3 December 2026, 9:00 AM",
    3: "Wednesday, 2 December 2026, 9:00 AM",
}
EXTENSIONS = "student,due,assignment\n4002,2026-12-03 18:00,train-and-eval\n4003,2026-12-02 18:00,\n"
KINDS = {  # answers in place of the reference's, and the points that tests give
    "honest": ({}, 21),
    "biased": ({"update": ("ddof=1", "ddof=0")}, 17),
    "steps": ({"steps": ("while left > fraction", "while left >= fraction")}, 19),
}


def command(target, **values):
    """The page's command for a target of make, with other values of its variables; TIMES is the one it may lack."""
    shown = re.search(rf"(?:^|`)(make {target} [^`\n]*)", PAGE, re.M)
    assert shown, f"the page for instructors has no command `make {target}`"
    given = dict(word.split("=", 1) for word in shlex.split(shown[1])[2:])
    assert set(values) - {"TIMES"} <= set(given), shown[1]
    return ["make", "-s", target, *(f"{name}={value}" for name, value in {**given, "A": NAME, **values}.items())]


def kind(k):
    return list(KINDS)[k % len(KINDS)]


def work(course, student, changes):
    """A student's notebook with their own numbers, answered."""
    notebook = register_notebook(course, student)
    for cell, ours in zip(notebook.cells, read(course.source(NAME)).cells, strict=True):
        role, name = (ours.metadata.get(k, {}).get(v) for k, v in (("normcore", "role"), ("nbgrader", "grade_id")))
        if role == "answer":
            cell.source = ours.source.replace("    ### BEGIN SOLUTION\n", "").replace("    ### END SOLUTION", "")
            if name in changes:
                assert changes[name][0] in cell.source
                cell.source = cell.source.replace(*changes[name])
        if role == "written":
            cell.source = cell.source.replace("YOUR ANSWER HERE", f"The running averages lag, says {student}.")
    return nbformat.writes(notebook)


def register_notebook(course, student):
    with zipfile.ZipFile(course.results / NAME / "notebooks.zip") as archive:
        return nbformat.reads(archive.read(f"{student}/{NAME}.ipynb"), as_version=4)


def own_numbers(course, student):
    cells = register_notebook(course, student).cells
    return [c.source for c in cells if c.metadata.get("nbgrader", {}).get("grade_id") == "own-numbers"]


def tick(course, comments):
    """Read written answers as the Formgrader does: a comment with the numbers of the rubric's items."""
    with course.gradebook() as book:
        for student, comment in comments.items():
            book.find_comment("explain-gap", NAME, NAME, student).manual_comment = comment
        book.db.commit()


@pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")  # nbgrader's own, on Python 3.12 and newer
def test_a_course(tmp_path):
    sources = tmp_path / "sources"
    sources.mkdir()
    shutil.copy(SOURCES / f"{NAME}.md", sources)
    course = Course(tmp_path / "root", tmp_path / "root" / "results", sources)
    made = [f"{folder}/installed{kind}" for folder in (".venv",) for kind in ("", "-dev")]  # the environment is there
    where = {"NORMCORE_GRADING": str(course.root), "SOURCES": str(sources), "PYTHONPATH": str(ROOT)}

    def make(target, fails=False, **values):
        """Run the page's command; what it printed."""
        words = command(target, **values)
        done = subprocess.run(
            [*words, *(word for one in made for word in ("-o", one))],
            cwd=ROOT, env=os.environ | where, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    people = {own: f"Student {own}" for own in IDS}
    worksheet = tmp_path / "worksheet.csv"
    text = systems.moodle_worksheet(people)
    for k, moment in LATE.items():
        old, new = (f"Participant {IDS[k]}", "Tuesday, 1 December 2026, 5:46 PM"), moment
        lines = [line.replace(old[1], new) if line.startswith(old[0]) else line for line in text.splitlines()]
        text = "\n".join(lines) + "\n"
    for own in IDS[NUMBER:]:
        text = "\n".join(
            line.replace("Tuesday, 1 December 2026, 5:46 PM", "-") if f" {own}," in line else line
            for line in text.splitlines()
        )
    worksheet.write_text(text + "\n")

    # everybody gets a notebook with numbers of their own, and hands it in
    make("variants", LIST=worksheet)
    handed_in = {own: work(course, own, KINDS[kind(k)][0]) for k, own in enumerate(IDS[:NUMBER])}
    handed_in["4003"] = work(course, "4000", {})  # on the notebook of somebody else
    assert len({nbformat.writes(register_notebook(course, own)) for own in IDS}) == len(IDS)
    export = tmp_path / "export.zip"
    with zipfile.ZipFile(export, "w") as archive:
        for own, notebook in handed_in.items():
            archive.writestr(f"{people[own]}_{own}_assignsubmission_file/{NAME}.ipynb", notebook)
    course.extensions.write_text(EXTENSIONS)
    said = []

    def run(target="grade"):
        """Grade, or grade anew, by the page's rule: 15 minutes of grace, then 10% a day."""
        said.append(make(target, FROM=export, TIMES=worksheet))
        return records_of(course, NAME)

    records = run()
    for told in ("15 minutes of grace", "Late: 10% of the points", "Extension: 4002 until 2026-12-03"):
        assert told in said[-1]
    assert {own: record.points for own, record in records.items()} == {
        own: KINDS[kind(k)][1] for k, own in enumerate(IDS[:NUMBER])
    }
    swapped = [
        ("4003", "given cell edited: own-numbers")
    ]  # the tests have the numbers of 4003, as the copy for readers
    assert [(own, str(flag)) for own, record in records.items() for flag in record.all_flags] == swapped
    copy = nbformat.read(course.root / "autograded" / "4003" / NAME / f"{NAME}.ipynb", 4)
    assert [cell.source for cell in copy.cells if cell.source in own_numbers(course, "4003")]
    assert {own: record.off for own, record in records.items() if record.late == "yes"} == {"4001": 20}
    assert [records[own].late for own in ("4000", "4002", "4003")] == ["no"] * 3

    formgrader = course.nbgrader()
    assert formgrader.get_assignment(NAME)["num_submissions"] == NUMBER
    assert formgrader.get_autograded_students(NAME) == set(records)

    # written answers are read by rubric; one is left for later
    tick(course, {own: "#1 #2 Good." if k % 2 else "#0" for k, own in enumerate(IDS[:NUMBER]) if k != 4})
    records = run()
    assert (records["4000"].points, records["4001"].points, records["4001"].total) == (21, 19, 15.2)
    page = (course.results / NAME / "feedback" / "4001.html").read_text()
    assert "1 of 1: a cause in the running averages" in page and "0 of 1: two workable remedies\nGood." in page
    assert "Taken off for being late: 3.8 of 19 points (20%)." in page
    assert NUMBER < 5 or records[IDS[4]].unread == 1

    # a test gets more points after grading: a regrade, for the whole class
    source = course.source(NAME)
    changed = source.read_text().replace(":test: steps-check\n:points: 2", ":test: steps-check\n:points: 3")
    source.write_text(
        changed.replace("How long does the start linger? (4 points)", "How long does the start linger? (5 points)")
    )
    records = run("regrade")
    assert (records["4000"].points, records["4001"].total) == (22, 16)
    assert [(own, str(flag)) for own, record in records.items() for flag in record.all_flags] == swapped
    if NUMBER > 4:
        tick(course, {IDS[4]: "#1 #2 #3"})
    records = run()
    assert not any(record.unread for record in records.values())
    before = {p.name: p.read_bytes() for p in course.results.joinpath(NAME, "feedback").iterdir()}
    assert run() == records
    assert {p.name: p.read_bytes() for p in course.results.joinpath(NAME, "feedback").iterdir()} == before

    # the register: two formats, read back equal; the same people, with the ids that came in
    totals = {int(own): record.total for own, record in records.items()}
    worksheet.write_text(worksheet.read_text().replace("20.00", "25.00"))
    make("grades-out", TO="moodle", LIST=worksheet)
    assert systems.moodle_import((course.results / NAME / "moodle.csv").read_text(), 25.0) == (totals, False)
    gradebook = tmp_path / "gradebook.csv"
    gradebook.write_text(systems.canvas_gradebook(people, "Train and eval (77)", possible="25.00"))
    told = make("grades-out", TO="canvas", LIST=gradebook)
    (column,) = systems.canvas_import((course.results / NAME / "canvas.csv").read_text()).values()
    assert {own: float(points) for own, points in column.items() if points} == totals
    assert "in the list, 3 handed in nothing" in told  # with Canvas's test student
    with open(course.results / NAME / "roster.csv", encoding="utf-8-sig") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert [own for own in IDS if rows[own]["handed in"] == "no"] == IDS[NUMBER:]
    assert rows["4002"]["due"].startswith("2026-12-03 18:00:00")
    make("feedback-out", TO="moodle")
    found = systems.moodle_feedback(course.results / NAME / "feedback-moodle.zip", set(map(int, IDS)))
    assert {own: content for own, (_, content) in found.items()} == {
        int(name.removesuffix(".html")): page.decode() for name, page in before.items()
    }
    assert "no verdict" in make("similar")

    # the solution waits for the last extension
    course.extensions.write_text(EXTENSIONS.replace("2026-12-03", "2099-12-03").replace("2026-12-02", "2099-12-02"))
    told = make("solution", fails=True, AFTER="2020-12-01")
    assert "2 may still hand in train-and-eval, 4002 until 2099" in told
    course.extensions.unlink()
    make("solution", AFTER="2020-12-01")
    solved = (course.results / NAME / f"{NAME}-solution.ipynb").read_text()
    assert "return running + (new - running) / t" in solved and "old = " not in solved and "HIDDEN" not in solved
