"""Who is late and what it costs: deadline, grace, extensions, a share for each day; and a file that cannot be read."""

import re
from datetime import datetime, timedelta, timezone

import pytest

from grading.hand_in import Submission
from grading.late import Judged, LateError, Rule, number, of_no_assignment, read_extensions
from grading.records import Mark, Record

UTC = timezone.utc
DUE = datetime(2026, 12, 1, 18, 0, tzinfo=UTC)


def after(**by):
    return Submission("ada", id="ada", when=DUE + timedelta(**by))


@pytest.mark.parametrize(
    ("by", "late", "off"),
    [
        ({"seconds": 0}, "no", 0),
        ({"minutes": 15}, "no", 0),
        ({"minutes": 15, "seconds": 1}, "yes", 10),  # the first day counts from the deadline, not from the grace
        ({"days": 1}, "yes", 10),
        ({"days": 1, "seconds": 1}, "yes", 20),
        ({"days": 40}, "yes", 100),
    ],
)
def test_each_day_begun_costs_a_share_and_grace_costs_nothing(by, late, off):
    assert Rule(DUE, timedelta(minutes=15), 10).judge(after(**by)) == Judged(late, off)


def test_an_extension_moves_the_deadline_of_one_student_alone():
    rule = Rule(DUE, timedelta(), 25, {"ada": DUE + timedelta(days=3)})
    assert rule.judge(after(days=2)) == Judged("no")
    assert rule.judge(after(days=4)) == Judged("yes", 25)
    assert rule.judge(Submission("emmy", id="emmy", when=DUE + timedelta(days=2))) == Judged("yes", 50)
    assert Rule(DUE, timedelta(), 25, {"7": DUE + timedelta(days=3)}).judge(
        Submission("key-of-7", id="7", when=DUE + timedelta(days=2))
    ) == Judged("no")


def test_where_nobody_knows_by_how_much_nothing_is_taken_off_and_it_is_said():
    canvas = Submission("881", id="881", late=True, judged=True)
    assert Rule(DUE, percent=10).judge(canvas) == Judged("yes", None)
    assert Rule(DUE).judge(canvas) == Judged("yes", 0.0)
    # Canvas's date is not the student's own
    assert Rule(DUE, percent=10, extensions={"881": DUE + timedelta(days=9)}).judge(canvas) == Judged("", None)
    record = Record("881", marks=(Mark("q", 8, 10),), off=None)
    assert (record.total, record.note) == (8, "")


def test_points_are_taken_off_the_students_own():
    record = Record("ada", marks=(Mark("q", 7.5, 10), Mark("w", None, 3)), off=20)
    assert (record.points, record.total, record.unread) == (7.5, 6, 1)
    assert record.note == "Taken off for being late: 1.5 of 7.5 points (20%)."
    assert Record("ada", marks=(Mark("q", 0, 10),), off=20).note == ""


def test_extensions_are_read_in_the_zone_of_the_deadline(tmp_path):
    path = tmp_path / "extensions.csv"
    path.write_text(
        "\ufeffstudent,due,assignment\nada,2026-12-03 18:00,\nemmy,2026-12-04,forward-pass\nbo,2026-12-05,other\n,,\n"
    )
    berlin = timezone(timedelta(hours=1))
    found = read_extensions(path, "forward-pass", berlin)
    assert found == {
        "ada": datetime(2026, 12, 3, 17, 0, tzinfo=UTC),
        "emmy": datetime(2026, 12, 4, 22, 59, 59, 999_999, tzinfo=UTC),
    }
    assert read_extensions(tmp_path / "none.csv", "forward-pass") == {}
    assert Rule(DUE, extensions=found).unused({"k": Submission("k", id="ada")}) == ["emmy"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("who,until\nada,2026-12-01\n", "needs the columns student, due, assignment; it has who, until"),
        ("student,due\nada,tomorrow\n", "extensions.csv: 'tomorrow', beside ada, is no date"),
        ("student,due\nada,2026-13-01\n", "'2026-13-01', beside ada, is no date"),
        ("student,due\n,2026-12-01\n", "no student beside '2026-12-01'"),
        ("student,due\nada,2026-12-01\nada,2026-12-02\n", "two lines for ada"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused_with_the_line(tmp_path, text, says):
    path = tmp_path / "extensions.csv"
    path.write_text(text)
    with pytest.raises(LateError, match=re.escape(says)):
        read_extensions(path, "forward-pass")


@pytest.mark.parametrize(
    "data",
    [
        b"student;due;assignment\r\n0711;2026-12-03 18:00 UTC;\r\n",  # as spreadsheets of other languages save it
        "sep=;\nStudent;Due;Why\n0711;2026-12-03 18:00 UTC;für ihn\n".encode("cp1252"),
        "student\tdue\n0711\t2026-12-03 18:00 UTC\n".encode("utf-16"),
        b"student, due, why\n0711, 2026-12-03 18:00 UTC, a; b; c\n",
    ],
)
def test_extensions_are_read_as_a_spreadsheet_saves_them(tmp_path, data):
    path = tmp_path / "extensions.csv"
    path.write_bytes(data)
    assert read_extensions(path, "forward-pass") == {"0711": datetime(2026, 12, 3, 18, tzinfo=UTC)}


def test_an_extension_for_no_assignment_is_named(tmp_path):
    path = tmp_path / "extensions.csv"
    path.write_text("student,due,assignment\nada,2026-12-03,forwardpass\nbo,2026-12-03,forward-pass\nbo,2026-12-04,\n")
    assert of_no_assignment(path, ["forward-pass"]) == ["forwardpass"]
    assert of_no_assignment(tmp_path / "none.csv", []) == []


@pytest.mark.parametrize("text", ["-1", "ten", "nan", "inf"])
def test_a_wrong_number_is_refused(text):
    with pytest.raises(LateError, match=r"LATE is a number such as 10, not"):
        number(text, "LATE")
    assert number("", "LATE") == 0 and number("2.5", "LATE") == 2.5
