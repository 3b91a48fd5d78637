"""Into the register and back: Canvas, Moodle and plain lists, as each system would read what comes back."""

import csv
import io
import json
import re

import pytest

from grading import register
from grading.course import SOURCES, Course, replace
from grading.hand_in import key_of
from grading.records import Flag, Mark, Record
from grading.register import RegisterError
from tests.grading import systems

NAME = "forward-pass"
PEOPLE = {
    "881": "Boole, George",
    "882": "Noether, Emmy",
    "883": "=cmd|' /C calc'!A0",
    "884": "Late; +Larry",
    "885": "Nobody, N.",
}


def record(student, points, unread=False, off=0.0, system="Canvas", **more):
    marks = (Mark("moments-check", points, 17), Mark("one-image", None if unread else 0, 3))
    return Record(student, id=student, name=PEOPLE.get(student, ""), system=system, marks=marks, off=off, **more)


@pytest.fixture
def course(tmp_path):
    """A course with records, as grading leaves them."""
    made = Course(tmp_path / "root", tmp_path / "results", SOURCES)

    def put(*records):
        for one in records:
            path = made.root / "records" / NAME / f"{one.student}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            replace(path, json.dumps(one.as_json()))
            page = made.results / NAME / "feedback" / f"{one.student}.html"
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(f"<p>{one.student}")
        (made.root / f"{NAME}.here.json").write_text(json.dumps([one.student for one in records]))
        return made

    return put


def given(course, tmp_path, text, to, **more):
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    told = register.grades_out(course, NAME, to, path, **more)
    written = course.results / NAME / f"{to}.csv"
    return told, written.read_text(encoding="utf-8") if written.exists() else ""


CLASS = (
    record("881", 17, file_id="99021"),
    record("882", 9.25, off=10, late="yes", file_id="99022"),
    record("883", 4, unread=True, file_id="99023"),
    record("884", 0, file_id="99024"),
    record("777", 5, file_id="99025"),
)


@pytest.mark.parametrize("column", ["Forward pass (5151)", "forward-pass"])
@pytest.mark.parametrize("separator", [",", ";"])
def test_canvas_reads_back_what_was_graded_and_nothing_else(course, tmp_path, column, separator):
    before = {"883": "11.00", "885": "3.00"}
    text = systems.canvas_gradebook(PEOPLE, column, grades=before, separator=separator)
    told, written = given(course(*CLASS), tmp_path, text, "canvas")
    assert systems.canvas_import(written) == {
        column: {881: "17", 882: "8.33", 883: "11.00", 884: "0", 885: "3.00", 999999: ""}
    }
    assert "3 of 6 students have points in it" in told[0]
    said = "\n".join(told)
    assert "answers to be read: 1 (883)" in said and "handed in nothing: 2 (885, 999999)" in said
    assert "graded, and not in the list: 1 (777)" in said
    cells = [cell for row in csv.reader(io.StringIO(written)) for cell in row]
    assert "'=cmd|' /C calc'!A0" in cells and "Late; '+Larry" in cells and "Quiz 1 (4400)" not in cells


def test_canvas_needs_one_column_that_can_be_written_and_the_same_maximum(course, tmp_path):
    made = course(*CLASS)
    with pytest.raises(RegisterError, match=r"0 columns are called 'forward-pass'; say COLUMN=, one of Quiz 1, Week 2"):
        given(made, tmp_path, systems.canvas_gradebook(PEOPLE, "Week 2 (7)"), "canvas")
    _, written = given(made, tmp_path, systems.canvas_gradebook(PEOPLE, "Week 2 (7)"), "canvas", column="Week 2")
    assert list(systems.canvas_import(written)) == ["Week 2 (7)"]
    with pytest.raises(RegisterError, match=r"has 20 points here and 100.00 in the list: set its maximum"):
        given(made, tmp_path, systems.canvas_gradebook(PEOPLE, NAME, possible="100.00"), "canvas")
    with pytest.raises(RegisterError, match=r"takes no points: .* Canvas says '\(read only\)'"):
        given(made, tmp_path, systems.canvas_gradebook(PEOPLE, NAME, possible="(read only)"), "canvas")
    with pytest.raises(RegisterError, match="is no gradebook of Canvas: it has Identifier"):
        given(made, tmp_path, systems.moodle_worksheet(PEOPLE), "canvas")


def test_moodle_reads_back_what_was_graded_and_no_comment_is_touched(course, tmp_path):
    text = systems.moodle_worksheet(PEOPLE, grades={"885": "3.00"}, locked=("884",), comments={"881": "-well done"})
    told, written = given(course(*CLASS), tmp_path, text, "moodle")
    assert systems.moodle_import(written) == ({881: 17, 882: 8.33, 885: 3}, False)
    assert "locked in the learning system: 1 (884)" in "\n".join(told)
    assert written.splitlines()[0] == "Identifier,Full name,Grade,Last modified (grade)"
    assert 'Participant 881,"Boole, George",17,-' in written


def test_moodle_in_another_language_with_a_decimal_comma(course, tmp_path):
    header = ["ID", "Vollständiger Name", "E-Mail-Adresse", "Status", "Bewertung", "Bestwertung", "Bewertung änderbar",
              "Zuletzt geändert (Abgabe)", "Zuletzt geändert (Bewertung)", "Feedback als Kommentar"]  # fmt: skip
    text = systems.moodle_worksheet(PEOPLE, maximum="20,00", header=header, comments={"881": "-gut"})
    text = text.replace("Participant", "Teilnehmer/in").replace(
        "Tuesday, 1 December 2026, 5:46 PM", "Dienstag, 1. Dezember 2026, 17:46"
    )
    _, written = given(course(*CLASS), tmp_path, text, "moodle")  # by its place before the maximum
    assert given(course(*CLASS), tmp_path, text, "moodle", column="Bewertung")[1] == written
    close = text.replace("Teilnehmer/in ", "参加者")  # without a space
    assert given(course(*CLASS), tmp_path, close, "moodle")[1] == written.replace("Teilnehmer/in ", "参加者")
    with pytest.raises(RegisterError, match="has 0 columns 'Note'; say COLUMN=, one of ID, Vollständiger Name"):
        given(course(*CLASS), tmp_path, text, "moodle", column="Note")
    with pytest.raises(RegisterError, match=r"TIMES=.* has 0 columns 'Last modified \(submission\)'; it has ID, Voll"):
        register.moments(tmp_path / "list.csv", None)
    rows = {row["ID"]: row for row in csv.DictReader(io.StringIO(written))}
    assert rows["Teilnehmer/in 882"]["Bewertung"] == "8,33"
    assert "Zuletzt geändert (Bewertung)" in rows["Teilnehmer/in 881"] and "Feedback als Kommentar" not in written
    with pytest.raises(RegisterError, match=r"has 20 points here and 30,00 in the list"):
        given(course(*CLASS), tmp_path, text.replace("20,00", "30,00"), "moodle", column="Bewertung")


def test_the_roster_says_who_handed_in_nothing_and_until_when(course, tmp_path):
    made = course(*CLASS, record("886", 1, flags=(Flag("test edited", "x"), Flag("renamed", "y"))))
    made.root.joinpath("extensions.csv").write_text("student,due\n885,2026-12-04 18:00 UTC\n")
    people = "student number;full name\n881;Boole, George\n885;Nobody, N.\n0886;Other\n886;=Eve\n"
    told, written = given(made, tmp_path, people, "roster")
    assert written.startswith("\N{BYTE ORDER MARK}id,name,handed in,late,due,points,total,to be read,flags\n")
    rows = {row["id"]: row for row in csv.DictReader(io.StringIO(written.removeprefix("\ufeff")))}
    assert {own: row["handed in"] for own, row in rows.items()} == {
        "881": "yes", "885": "no", "0886": "no", "886": "yes", "777": "yes", "882": "yes", "883": "yes", "884": "yes"
    }  # fmt: skip
    assert rows["885"]["due"] == "2026-12-04 18:00:00 (UTC+00:00)" and rows["885"]["name"] == "Nobody, N."
    assert (rows["882"]["late"], rows["882"]["points"], rows["882"]["total"]) == ("yes", "9.25", "8.33")
    assert (rows["883"]["to be read"], rows["777"]["flags"]) == ("1", "not in the list")
    assert (rows["886"]["flags"], rows["886"]["name"]) == ("test edited: x", "'=Eve")
    assert told[-1].endswith("4 in the list, 2 handed in nothing")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"\n\n,,\n", "is empty"),
        (b"PK\x03\x04 and so on", "is a spreadsheet or a zip: save it as CSV"),
        (b'id,name\n"1,2\n', "is no CSV"),
        (b"group,place\nA,B\n", "no column holds the id of anybody who was graded, and 0 columns are called id"),
        (b"id,name\n", "has titles (id, name) and nobody below them"),
        (b"1,Boole\n2,Noether\n", "begins with 1, Boole: write a line of titles"),
        (b"ada@x.org,Boole\nemmy@x.org,Noether\n", "write a line of titles"),
    ],
)
def test_what_is_no_class_list_is_refused_with_a_sentence(course, tmp_path, data, says):
    with pytest.raises(RegisterError, match=re.escape(says)):
        given(course(record("1", 5)), tmp_path, data, "roster")


def test_a_folder_whose_name_is_no_key_is_found_by_that_name(course, tmp_path):
    own = key_of("ada lovelace")
    made = course(Record(own, id="ada lovelace", name="ada lovelace", marks=(Mark("q", 1, 20),)))
    _, written = given(made, tmp_path, "username\nada lovelace\nbo\n", "roster")
    assert [line.split(",")[2] for line in written.splitlines()[1:]] == ["yes", "no"]


def rows_changed(text, change):
    """A gradebook whose rows went through a function."""
    out = io.StringIO()
    csv.writer(out).writerows(change(i, row) for i, row in enumerate(csv.reader(io.StringIO(text))))
    return out.getvalue()


def two_columns_of_names(i, row):
    return [*(["LastName", "FirstName"] if i == 0 else [*row[0].split(", "), ""][:2]), *row[1:]]


ODD = {
    "a separator in a line of its own": lambda text: "sep=,\n" + text,
    "as a spreadsheet saves it": lambda text: "\ufeff" + text.replace(",", ";").replace('"', "").replace("; ", ", "),
    "semicolons, and commas in a title": lambda text: text.replace(",", ";").replace(
        "Quiz 1", "1,2,3,4,5,6,7,8,9,10,11,12"
    ),
    "tabs and CRLF": lambda text: text.replace(",", "\t").replace("\n", "\r\n"),
    "CR alone": lambda text: text.replace("\n", "\r"),
    "a line break in a name": lambda text: text.replace("Noether, Emmy", "Noether,\nEmmy"),
    "names from right to left, pictures": lambda text: text.replace("Boole", "\u202eעמר 😀"),
    "a column of notes": lambda text: rows_changed(
        text, lambda i, row: [*row[:5], "Notes" if i == 0 else "-7" if i > 2 else "", *row[5:]]
    ),
    "columns behind the last": lambda text: text.replace("\n", ",x,y\n"),
    "first and last names": lambda text: rows_changed(text, two_columns_of_names),
}


@pytest.mark.parametrize("odd", ODD)
def test_a_gradebook_of_an_odd_form_is_filled_in(course, tmp_path, odd):
    people = {"881": "Boole, George", "882": "Noether, Emmy"}
    text = ODD[odd](systems.canvas_gradebook(people, "Forward pass (5151)"))
    made = course(record("881", 17), record("882", 9.25))
    _, written = given(made, tmp_path, text, "canvas")
    rows = list(csv.reader(io.StringIO(written.removeprefix("\ufeff"))))
    own = rows[0].index("ID")
    assert rows[0][-1] == "Forward pass (5151)" and "Quiz 1 (4400)" not in rows[0]
    assert {row[own]: row[-1] for row in rows if row[own] in people} == {"881": "17", "882": "9.25"}
    register.grades_out(made, NAME, "roster", tmp_path / "list.csv")
    with open(made.results / NAME / "roster.csv", encoding="utf-8-sig") as file:
        names = {row["id"]: row["name"] for row in csv.DictReader(file)}
    assert "George" in names["881"] and "Emmy" in names["882"]


@pytest.mark.parametrize("number", ["881.0", "8.81E+02", "s881"])
def test_a_number_that_a_spreadsheet_changed_is_named(course, tmp_path, number):
    text = systems.canvas_gradebook({"881": "Boole, George"}, NAME).replace(",881,", f",{number},")
    with pytest.raises(RegisterError, match=f"Boole, George has '{re.escape(number)}' where Canvas writes a number"):
        given(course(record("881", 5)), tmp_path, text, "canvas")


def test_who_is_excused_stays_excused(course, tmp_path):
    text = systems.canvas_gradebook(PEOPLE, NAME, grades={"881": "EX", "882": "N/A"})
    told, written = given(course(*CLASS), tmp_path, text, "canvas")
    assert systems.canvas_import(written)[NAME][881] == "EX"
    assert "excused in the learning system: 1 (881)" in "\n".join(told)
    assert "not assigned to them: 1 (882)" in "\n".join(told)


def test_two_columns_of_one_name_are_told_apart_by_their_numbers(course, tmp_path):
    text = systems.canvas_gradebook(PEOPLE, "forward-pass (7)").replace("Quiz 1 (4400)", "Forward pass (9)")
    with pytest.raises(RegisterError, match=r"2 columns are called .*one of Forward pass \(9\), forward-pass \(7\)"):
        given(course(*CLASS), tmp_path, text, "canvas")
    _, written = given(course(*CLASS), tmp_path, text, "canvas", column="forward-pass (7)")
    assert list(systems.canvas_import(written)) == ["forward-pass (7)"]


FRENCH = ["Identifiant", "Nom complet", "Adresse de courriel", "Statut", "Note", "Note maximale",
          "La note peut être modifiée", "Dernière modification (travail remis)", "Dernière modification (note)",
          "Feedback par commentaires"]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        (systems.moodle_worksheet({"0881": "A", "882": "B"}, header=FRENCH), ["0881", "882"]),
        (systems.canvas_gradebook({"881": "A, B"}, NAME), ["881", "999999"]),
        ("Name,ID,Section\nA,s881,1\nB,s882,2\n", ["s881", "s882"]),
    ],
)
def test_a_list_to_hand_out_by_has_the_ids_that_come_back(tmp_path, text, ids):
    path = tmp_path / "list.csv"
    path.write_text(text)
    assert list(register.any_list(path, set()).people) == ids


@pytest.mark.parametrize("code", ["utf-8-sig", "utf-16", "cp1252"])
def test_a_list_in_another_encoding_is_read(course, tmp_path, code):
    _, written = given(course(record("1", 5)), tmp_path, "id,name\n1,José Ñandú\n".encode(code), "roster")
    assert "1,José Ñandú,yes" in written


def test_without_grades_or_a_list_there_is_a_sentence(course, tmp_path):
    made = Course(tmp_path / "empty", tmp_path / "results", SOURCES)
    with pytest.raises(RegisterError, match="nothing of forward-pass was graded yet: make grade"):
        register.grades_out(made, NAME, "roster", tmp_path / "list.csv")
    with pytest.raises(RegisterError, match=r"LIST=.*none\.csv cannot be read: No such file"):
        register.grades_out(course(record("1", 5)), NAME, "roster", tmp_path / "none.csv")


def test_feedback_goes_back_to_whom_it_belongs(course, tmp_path):
    evil = Record("889", id="889", name="x_881_assignsubmission_file/../../882_7_", system="Canvas", file_id="99029")
    numbers = Record("890", id="890", name="20261234", system="Canvas", file_id="99030")
    anonymous = Record("anon_aB3", id="anon_aB3", system="Canvas", file_id="99031")
    no_file = Record("891", id="891", name="texter", system="Canvas")
    made = course(*CLASS, evil, numbers, anonymous, no_file)
    told = register.feedback_out(made, NAME, "canvas")
    files = {int(r.file_id): int(r.id) for r in (*CLASS, evil, numbers)}
    found = systems.canvas_feedback(made.results / NAME / "feedback-canvas.zip", files)
    assert found == {own: f"<p>{own}" for own in (881, 882, 883, 884, 777, 889, 890)}
    assert "feedback for 7 students" in told[0] and "anon_aB3, 891 (texter)" in told[1]


def test_feedback_for_moodle_names_nobody_else(course, tmp_path):
    people = [
        Record("401", id="401", name="Ada Lovelace", system="Moodle"),
        Record("402", id="402", name="Eve_401_assignsubmission_file/x", system="Moodle"),
        Record("403", id="403", name="../..", system="Moodle"),
        Record("404", id="404", name="กิต", system="Moodle"),
        Record("group-x", id="Group", name="Group", system="Moodle"),
    ]
    made = course(*people)
    told = register.feedback_out(made, NAME, "moodle")
    found = systems.moodle_feedback(made.results / NAME / "feedback-moodle.zip", {401, 402, 403, 404})
    assert found == {own: ("forward-pass-feedback.html", f"<p>{own}") for own in (401, 402, 403, 404)}
    assert told[1] == "no name that Moodle would understand: group-x (Group)"
