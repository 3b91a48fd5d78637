"""Into the register: the class list of a learning system with the points filled in, a roster, and the feedback files.

The list is what the system exports, and what comes back holds its ids and rows, its one column of points, and nothing
else of it: so no other grade can be changed by importing it. How the systems read it, as their sources say:

    Canvas   a header "Student, ID, (SIS User ID, SIS Login ID, ...) Section, NAME (NUMBER), ..."; a row "Points
             Possible"; students are found by ID (lib/gradebook_importer.rb)
    Moodle   "Identifier" (Participant NUMBER), "Grade", "Last modified (grade)" must be there, by their names in the
             language of whoever uploads; a grade above the maximum is skipped, and so is one that was changed in Moodle
             since the list was made (mod/assign/feedback/offline)

Feedback goes back in a zip whose names the systems understand: Moodle's NAME_NUMBER_assignsubmission_file/FILE
(mod/assign/feedback/file/importziplib.php), Canvas's NAME_USER_FILE_..., where FILE is the number of a file that the
student handed in (infer_comment_context_from_filename of app/models/assignment.rb).
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path

from grading import exports, tables, times
from grading.course import Course, replace
from grading.hand_in import key_of
from grading.late import read_extensions
from grading.records import Record
from grading.results import sheet
from grading.source import maximum, read

MOMENT = re.compile(r"\s*-\s*|.{4,50}\b\d{4}\b.{3,30}")
MAXIMUM = re.compile(r"\s*([0-9]+(?:[.,][0-9]+)?)")
NOT_FOR_POINTS = {"EX": "excused in the learning system", "N/A": "not assigned to them"}  # in Canvas's column of points


class RegisterError(Exception):
    """A list that cannot be filled in; the message says what was seen and wanted."""


@dataclass
class ClassList:
    """A system's list: its rows, which column holds the points, and for each student the row and the id.

    ``kept`` are the columns that go back.
    """

    rows: list[list[str]]
    people: dict[str, int]  # the student's id: the row
    names: dict[str, str]
    kept: list[int]
    points: int = -1  # the column, or -1 for a list without
    maximum: str = ""
    left: dict[str, str] = field(default_factory=dict)  # who gets no points by this list: why
    mark: str = ""  # the byte order mark, if one came in


@dataclass(frozen=True)
class Filled:
    """What was done: whose points were written, and who is left as they were, by reason."""

    written: tuple[str, ...]
    left: dict[str, tuple[str, ...]]


# -- reading the lists -----------------------------------------------------------------------------------------------


def read_rows(path: Path) -> tuple[list[list[str]], str]:
    """The rows of LIST and its byte order mark; RegisterError where it has no row below the titles."""
    try:
        rows, mark = tables.read_rows(path, f"LIST={path}")
    except tables.TableError as error:
        raise RegisterError(str(error)) from None
    if len(rows) < 2:
        raise RegisterError(f"LIST={path} has titles ({', '.join(rows[0])}) and nobody below them")
    return rows, mark


def _named(header: list[str], name: str) -> list[int]:
    """The columns of that name."""
    return [i for i, title in enumerate(header) if title.strip().casefold() == name.casefold()]


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text).strip().casefold()


def _is_canvas(header: list[str]) -> bool:
    """Is it the first row of a gradebook that Canvas exported, with names in one column or in two?"""
    return header[0] in ("Student", "LastName") and {"ID", "Section"} <= set(header)


def _canvas_people(rows: list[list[str]], path: Path) -> tuple[dict[str, int], dict[str, str]]:
    """The rows and the names of a gradebook's students, by Canvas's number."""
    own = rows[0].index("ID")
    people: dict[str, int] = {}
    for i, row in enumerate(rows[1:], 1):
        number = row[own].strip()
        if re.fullmatch(r"[0-9]+", number):
            people[number] = i
        elif number:
            raise RegisterError(
                f"LIST={path}: {row[0]} has {number!r} where Canvas writes a number. Did a spreadsheet change it? "
                "Export the list again"
            )
    if not people:
        raise RegisterError(f"LIST={path} has no student in it")
    return people, {student: ", ".join(part for part in rows[i][:own] if part) for student, i in people.items()}


def canvas(path: Path, name: str, column: str = "") -> ClassList:
    """A gradebook as Canvas exports it."""
    rows, mark = read_rows(path)
    header = rows[0]
    if not _is_canvas(header):
        raise RegisterError(
            f"LIST={path} is no gradebook of Canvas: it has {', '.join(header)}, and not Student, ID and Section"
        )
    section = header.index("Section")
    people, names = _canvas_people(rows, path)
    titles = {i: re.sub(r" \(\d+\)$", "", title) for i, title in enumerate(header) if i > section}
    wanted = column or name
    found = [i for i in titles if header[i] == column] or [
        i for i, title in titles.items() if _plain(title) == _plain(wanted)
    ]
    if len(found) != 1:
        shown = ", ".join(header[i] if i in found else title for i, title in titles.items())
        raise RegisterError(f"LIST={path}: {len(found)} columns are called {wanted!r}; say COLUMN=, one of {shown}")
    (points,) = found
    possible = next((row[points].strip() for row in rows[1:3] if "Points Possible" in row[0]), "")
    if possible and not MAXIMUM.fullmatch(possible):  # "(read only)", in any language
        raise RegisterError(
            f"LIST={path}: the column {header[points]!r} takes no points: where its maximum would stand, Canvas says "
            f"{possible!r}"
        )
    left = {s: NOT_FOR_POINTS[said] for s, i in people.items() if (said := rows[i][points].strip()) in NOT_FOR_POINTS}
    return ClassList(rows, people, names, [*range(section + 1), points], points, possible, left, mark)


def _participants(rows: list[list[str]], word: str = r"\D*\s") -> dict[str, int]:
    """The rows of a grading worksheet by the participant's number, behind the same word in each, in any language.

    Nothing for a table whose first column holds anything else. With a space behind the word it is no id such as s881.
    """
    found = [re.fullmatch(rf"({word})([0-9]+)", row[0].strip()) for row in rows[1:]]
    alike = len({m and m[1] for m in found}) == 1
    return {m[2]: i for i, m in enumerate(found, 1) if m} if alike and len(rows[0]) >= 3 else {}


def _before_the_maximum(rows: list[list[str]]) -> list[int]:
    """The columns of grades of a worksheet, by their place: behind a grade stands the maximum, the same in each row."""
    body = rows[1:]
    return [
        i
        for i in range(1, len(rows[0]) - 1)
        if len({row[i + 1] for row in body}) == 1
        and MAXIMUM.fullmatch(body[0][i + 1])
        and all(not row[i].strip() or MAXIMUM.fullmatch(row[i]) for row in body)
    ]


def moodle(path: Path, name: str, column: str = "") -> ClassList:
    """A grading worksheet as Moodle exports it, in any language; COLUMN says how the column of grades is called."""
    rows, mark = read_rows(path)
    header, people = rows[0], _participants(rows, r"\D*")
    if not people:
        raise RegisterError(
            f"LIST={path} is no grading worksheet of Moodle: its first column ({header[0]}) holds something else than "
            "one word with a number"
        )
    found = _named(header, column or "Grade")
    if not found and not column:
        found = _before_the_maximum(rows)
    if len(found) != 1:
        raise RegisterError(
            f"LIST={path} has {len(found)} columns {column or 'Grade'!r}; say COLUMN=, one of {', '.join(header)}"
        )
    (points,) = found
    changeable = header.index("Grade can be changed") if "Grade can be changed" in header else -1
    locked = {
        student: "locked in the learning system"
        for student, i in people.items()
        if changeable >= 0 and rows[i][changeable].strip() == "No"
    }
    # the maximum stands behind the grade, whatever the language; what feedback and online text say stays in Moodle
    behind = rows[1][points + 1] if points + 1 < len(header) else ""
    maximum = behind if MAXIMUM.fullmatch(behind) else ""
    moments = _named(header, "Last modified (grade)")
    if not moments:  # in another language: what holds nothing but moments
        moments = [i for i in range(points + 1, len(header)) if all(MOMENT.fullmatch(row[i]) for row in rows[1:])]
    if not moments:
        raise RegisterError(f"LIST={path} has no column 'Last modified (grade)', which Moodle wants back")
    full = [1] if points > 1 else []
    names = {student: rows[i][1] for student, i in people.items()}
    return ClassList(rows, people, names, sorted({0, *full, points, *moments}), points, maximum, locked, mark)


def moments(path: Path, zone: tzinfo | None) -> dict[str, datetime]:
    """When each student last handed in, by Moodle's worksheet: its export of files says nothing of it."""
    try:
        rows, _ = tables.read_rows(path, f"TIMES={path}")
    except tables.TableError as error:
        raise RegisterError(str(error)) from None
    columns = _named(rows[0], "Last modified (submission)")
    if len(columns) != 1:
        raise RegisterError(
            f"TIMES={path} has {len(columns)} columns 'Last modified (submission)'; it has {', '.join(rows[0])}. "
            "The worksheet of a Moodle in English has it"
        )
    found, odd = {}, []
    for row in rows[1:]:
        number = re.fullmatch(r"\D*?([0-9]+)", row[0].strip())
        said = row[columns[0]].strip()
        moment = times.handed_in(said, zone)
        if number and moment:
            found[number[1]] = moment
        elif said not in ("", "-"):
            odd.append(said)
    if odd:
        raise RegisterError(f"TIMES={path}: {len(odd)} moments are not understood, such as {odd[0][:60]!r}")
    return found


IDS = ("id", "student", "student id", "username")


def plain(path: Path, known: set[str]) -> ClassList:
    """Any list with titles: the column in which most of the graded students' ids stand, or else one called id."""
    rows, mark = read_rows(path)
    header, body = rows[0], rows[1:]

    def student(text: str) -> str:
        return text if text in known or key_of(text) not in known else key_of(text)

    if student(header[0].strip()) in known or any(re.fullmatch(r"[0-9]+|\S+@\S+", title.strip()) for title in header):
        raise RegisterError(f"LIST={path} begins with {', '.join(header)}: write a line of titles above the students")
    hits = [sum(student(row[i].strip()) in known for row in body) for i in range(len(header))]
    if max(hits) == 0:
        called = [i for i, title in enumerate(header) if _plain(title) in IDS]
        if len(called) != 1:
            graded = "no column holds the id of anybody who was graded, and " if known else ""
            raise RegisterError(
                f"LIST={path}: {graded}{len(called)} columns are called {', '.join(IDS[:-1])} or {IDS[-1]}; it has "
                f"{', '.join(header)}"
            )
        own = called[0]
    else:
        own = hits.index(max(hits))
    people = {student(row[own].strip()): i for i, row in enumerate(body, 1) if row[own].strip()}
    named = [i for i, title in enumerate(header) if i != own and ("name" in _plain(title) or title == "Student")]
    shown = named[0] if named else own
    return ClassList(rows, people, {s: rows[i][shown] for s, i in people.items()}, [], mark=mark)


def any_list(path: Path, known: set[str]) -> ClassList:
    """A class list of whatever kind: Canvas's gradebook, Moodle's worksheet, or any other with titles.

    Known are the ids of those who were graded. Where they are another system's, they decide which column counts.
    """
    rows, mark = read_rows(path)
    if people := _participants(rows):
        return ClassList(rows, people, {student: rows[i][1] for student, i in people.items()}, [], mark=mark)
    if _is_canvas(rows[0]):
        people, names = _canvas_people(rows, path)
        if not known or known & set(people):
            return ClassList(rows, people, names, [], mark=mark)
    return plain(path, known)


# -- filling them in -------------------------------------------------------------------------------------------------


def number(points: float) -> str:
    """Points with two decimals at most."""
    return f"{points:.2f}".rstrip("0").rstrip(".")


def fill(of: ClassList, records: dict[str, Record], most: float) -> tuple[str, Filled]:
    """The list with the points in it, as CSV; who has answers to be read, or is locked, stays as they were."""
    asked = MAXIMUM.fullmatch(of.maximum)
    if asked and abs(float(asked[1].replace(",", ".")) - most) > 1e-9:
        raise RegisterError(
            f"the assignment has {most:g} points here and {of.maximum.strip()} in the list: "
            f"set its maximum in the learning system to {most:g} and export the list again"
        )
    comma = "," in of.maximum
    written: list[str] = []
    left: dict[str, list[str]] = {}
    rows = [list(row) for row in of.rows]
    for student, i in of.people.items():
        record = records.get(student)
        why = ""
        if record is None or not record.marks:
            why = "handed in nothing" if record is None else "not graded"
        elif record.unread:
            why = "answers to be read"
        else:
            why = of.left.get(student, "")
        if why or record is None:
            left.setdefault(why, []).append(student)
            continue
        said = number(record.total)
        rows[i][of.points] = said.replace(".", ",") if comma else said
        written.append(student)
    if strangers := sorted(set(records) - set(of.people)):
        left["graded, and not in the list"] = strangers
    text = sheet([[row[i] for i in of.kept] for row in rows], of.mark)
    return text, Filled(tuple(written), {why: tuple(who) for why, who in left.items()})


def roster(of: ClassList, records: dict[str, Record], due: Mapping[str, str]) -> str:
    """Everybody in the list, and everybody who handed in: who did what, as CSV."""
    rows = [["id", "name", "handed in", "late", "due", "points", "total", "to be read", "flags"]]
    for student in [*of.people, *sorted(set(records) - set(of.people))]:
        record = records.get(student)
        shown = of.names.get(student, record.name if record else "")
        own = due.get(student) or due.get(record.student if record else "", "")
        if record is None:
            rows.append([student, shown, "no", "", own, "", "", "", ""])
            continue
        flags = [str(flag) for flag in record.all_flags if not flag.minor]
        if student not in of.people:
            flags.insert(0, "not in the list")
        points = [number(record.points), number(record.total)] if record.marks else ["", ""]
        rows.append([student, shown, "yes", record.late, own, *points, str(record.unread or ""), "; ".join(flags)])
    return sheet(rows)


def records_of(course: Course, name: str) -> dict[str, Record]:
    """The records of the last export that was graded, by the learning system's id; RegisterError if there are none."""
    here = course.root / f"{name}.here.json"
    if not here.exists():
        raise RegisterError(f"nothing of {name} was graded yet: make grade A={name} FROM=export.zip")
    found: dict[str, Record] = {}
    for student in json.loads(here.read_text(encoding="utf-8")):
        path = course.root / "records" / name / f"{student}.json"
        record = Record.from_json(json.loads(path.read_text(encoding="utf-8")))
        own = record.id if record.system else record.student
        found[record.student if own in found else own] = record
    return found


LISTS: dict[str, Callable[..., ClassList]] = {"canvas": canvas, "moodle": moodle}


def grades_out(course: Course, name: str, to: str, path: Path, column: str = "") -> list[str]:
    """Write TO.csv and roster.csv into the results; return what to tell."""
    records = records_of(course, name)
    of = LISTS[to](path, name, column) if to in LISTS else any_list(path, set(records))
    folder = course.results / name
    folder.mkdir(parents=True, exist_ok=True)
    told = []
    if to in LISTS:
        text, filled = fill(of, records, maximum(read(course.source(name))))
        replace(folder / f"{to}.csv", text)
        told.append(f"{folder / f'{to}.csv'}: {len(filled.written)} of {len(of.people)} students have points in it")
        told += [
            f"left as they were, {why}: {len(who)} ({', '.join(who[:10])}{', ...' if len(who) > 10 else ''})"
            for why, who in filled.left.items()
        ]
    extensions = read_extensions(course.extensions, name)
    replace(folder / "roster.csv", roster(of, records, {who: times.said(due) for who, due in extensions.items()}))
    nothing = [student for student in of.people if student not in records]
    told.append(f"{folder / 'roster.csv'}: {len(of.people)} in the list, {len(nothing)} handed in nothing")
    return told


# -- feedback --------------------------------------------------------------------------------------------------------


def feedback_name(to: str, name: str, record: Record) -> str:
    """What a student's page is called in the zip that a system takes back; nothing if it would not be understood."""
    shown = " ".join(re.sub(r"[\W_]+", " ", record.name).split())
    if to == "moodle" and record.system == "Moodle" and record.id.isdecimal():
        return f"{shown or 'Participant'}_{record.id}_assignsubmission_file/{name}-feedback.html"
    if to == "canvas" and record.system == "Canvas" and record.id.isdecimal() and record.file_id:
        # Canvas takes the first two parts that are nothing but digits for its numbers
        letters = re.sub(r"[\W\d_]+", "", record.name) or "student"
        return f"{letters}_{record.id}_{record.file_id}_{name}-feedback.html"
    return ""


def feedback_out(course: Course, name: str, to: str) -> list[str]:
    """Write feedback-TO.zip, or on a hub nbgrader's folder of feedback; return what to tell."""
    if to == "hub":
        return _feedback_for_hub(course, name)
    target, without = course.results / name / f"feedback-{to}.zip", []
    part, number_ = target.with_name(f"{target.name}.part"), 0
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for record, page in _pages(course, name):
            if called := feedback_name(to, name, record):
                archive.writestr(zipfile.ZipInfo(called, (2000, 1, 1, 0, 0, 0)), page, zipfile.ZIP_DEFLATED)
                number_ += 1
            else:
                without.append(record.shown)
    part.replace(target)
    told = [f"{target}: feedback for {number_} students"]
    if without:
        told.append(f"no name that {to.capitalize()} would understand: {', '.join(without[:10])}")
    return told


def _pages(course: Course, name: str) -> Iterator[tuple[Record, bytes]]:
    for record in records_of(course, name).values():
        path = course.results / name / "feedback" / f"{record.student}.html"
        if path.exists():
            yield record, path.read_bytes()


def _feedback_for_hub(course: Course, name: str) -> list[str]:
    """Lay the pages where nbgrader's Release Feedback takes them from, each with the secret of its submission.

    The time stamp and the secret lie among what the student handed in: they are read as everything of theirs is, no
    link followed and no further than they may count.
    """
    done, without = [], []
    for record, page in _pages(course, name):
        collected = course.root / "submitted" / record.student / name
        files = {m.path[-1]: m for m in exports.members(collected)} if collected.is_dir() else {}
        try:
            stamp, secret = (files[f].read()[:500].decode() for f in ("timestamp.txt", "submission_secret.txt"))
        except (KeyError, UnicodeDecodeError, exports.FileError):
            without.append(record.shown)
            continue
        folder = course.root / "feedback" / record.student / name
        folder.mkdir(parents=True, exist_ok=True)
        replace(folder / "timestamp.txt", stamp)
        replace(folder / "submission_secret.txt", secret)
        replace(folder / f"{name}.html", page.decode())
        (folder / f"{name}.html").chmod(0o644)  # the exchange takes the mode over, and the student has to read it there
        done.append(record.student)
    told = [f"{course.root / 'feedback'}: feedback for {len(done)} students; now Release Feedback in the Formgrader"]
    if without:
        told.append(f"not collected from the exchange: {', '.join(without[:10])}")
    return told
