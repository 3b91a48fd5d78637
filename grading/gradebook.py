"""nbgrader's gradebook, which one process alone writes: what the grader found, and what instructors gave by hand."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import subprocess
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from grading import exports, rubric
from grading.course import Course, replace
from grading.records import Flag, Mark
from grading.rubric import Rubric
from grading.source import read

CHANGED = "changed since it was read"


class CopyError(Exception):
    """The gradebook could not be copied before a change."""


GRADES = """
FROM grade
JOIN base_cell ON base_cell.id = grade.cell_id
JOIN grade_cells ON grade_cells.id = grade.cell_id
JOIN submitted_notebook ON submitted_notebook.id = grade.notebook_id
JOIN submitted_assignment ON submitted_assignment.id = submitted_notebook.assignment_id
JOIN assignment ON assignment.id = submitted_assignment.assignment_id
LEFT JOIN base_cell AS answer ON answer.name = base_cell.name AND answer.notebook_id = base_cell.notebook_id
     AND answer.type = 'SolutionCell'
LEFT JOIN comment ON comment.notebook_id = grade.notebook_id AND comment.cell_id = answer.id
WHERE assignment.name = :name
"""
MARKS = f"""
SELECT submitted_assignment.student_id, base_cell.name, grade.auto_score, grade.manual_score,
       coalesce(grade.extra_credit, 0), grade.needs_manual_grade, grade_cells.max_score,
       coalesce(comment.manual_comment, comment.auto_comment, '')
{GRADES}
"""
COMMENTED = f"""
SELECT grade.id, base_cell.name, grade.auto_score, comment.manual_comment, comment.auto_comment
{GRADES} AND comment.id IS NOT NULL AND grade.manual_score IS NULL
"""
STUDENTS = """
SELECT submitted_assignment.student_id
FROM submitted_assignment
JOIN assignment ON assignment.id = submitted_assignment.assignment_id
WHERE assignment.name = :name
"""


class Writer:
    """The gradebook of a course, open for one run."""

    def __init__(self, course: Course, name: str, book: Any) -> None:
        self.course, self.name, self.book = course, name, book
        self.rubrics = rubrics_of(course, name)
        path = aside(course, name)
        self.aside = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def forget(self) -> None:
        """Take back what was begun for a student when it cannot be finished."""
        self.book.db.rollback()

    def put(
        self, student: str, notebook: str, marks: tuple[Mark, ...], name: str = ""
    ) -> tuple[tuple[Mark, ...], list[Flag]]:
        """Keep an executed notebook and its marks; return the marks with what was given by hand before, and flags.

        Points that were given by hand stay, and count as long as the answer is the one that was read. If it changed,
        they wait in the gradebook until somebody saves them, or others, in the Formgrader.
        """
        changed = self._changed(student, notebook)
        self.book.update_or_create_student(student, **({"last_name": name[:128]} if name else {}))
        waiting = self.aside.get(student) if not self._known(student) else None
        submission = self.book.update_or_create_submission(self.name, student)
        submission.timestamp = self._collected(student)
        if waiting:
            self._give_back(submission, waiting)
        said = {comment.name: comment.manual_comment for comment in submission.notebooks[0].comments}
        found, order = {mark.question: mark for mark in marks}, {mark.question: i for i, mark in enumerate(marks)}
        kept, flags = [], []
        for grade in submission.notebooks[0].grades:
            mark = found[grade.name]
            grade.auto_score = mark.points
            by_items = rubric.points(self.rubrics.get(grade.name, ()), said.get(grade.name))
            if by_items is not None and grade.manual_score is None:
                if grade.name in changed:  # ticked for another text: as points that were given for it
                    grade.manual_score, grade.needs_manual_grade = by_items, True
                else:
                    grade.auto_score, grade.needs_manual_grade = by_items, False
            elif grade.manual_score is None:
                grade.needs_manual_grade = mark.points is None
            elif grade.name in changed:
                grade.needs_manual_grade = True
            if grade.manual_score is not None and grade.needs_manual_grade:
                flags.append(Flag(CHANGED, f"{grade.name} ({grade.manual_score:g} points then)"))
        for comment in submission.notebooks[0].comments:
            comment.auto_comment = found[comment.name].comment or None if comment.name in found else None
        self.book.db.commit()
        # the Formgrader counts folders; what nbgrader collected into this one stays as the student handed it in
        (self.course.root / "submitted" / student / self.name).mkdir(parents=True, exist_ok=True)
        folder = self.course.root / "autograded" / student / self.name
        folder.mkdir(parents=True, exist_ok=True)  # after the commit: an interrupted run sees the change again
        replace(folder / f"{self.name}.ipynb", notebook)
        comments = {
            c.name: rubric.shown(self.rubrics.get(c.name, ()), c.comment) for c in submission.notebooks[0].comments
        }
        for grade in submission.notebooks[0].grades:
            points = points_of(grade.auto_score, grade.manual_score, grade.extra_credit or 0, grade.needs_manual_grade)
            kept.append(Mark(grade.name, points, float(grade.max_score), comments.get(grade.name, "")))
        return tuple(sorted(kept, key=lambda mark: order[mark.question])), flags

    def _collected(self, student: str) -> datetime | None:
        """The moment of the copy that nbgrader collected from its exchange, as it reads it, or nothing.

        The Formgrader takes what has another one in the gradebook for not yet graded.
        """
        folder = self.course.root / "submitted" / student / self.name
        with contextlib.suppress(StopIteration, exports.FileError, ValueError):
            found = exports.members(folder) if folder.is_dir() else []
            stamp = next(member for member in found if member.path == ("timestamp.txt",))
            text = stamp.read()[:100].decode().strip()
            if m := re.fullmatch(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?) UTC", text):
                return datetime.fromisoformat(m[1])
        return None

    def _known(self, student: str) -> bool:
        from nbgrader.api import MissingEntry

        try:
            return bool(self.book.find_submission(self.name, student))
        except MissingEntry:
            return False

    def _give_back(self, submission: Any, given: dict[str, dict[str, Any]]) -> None:
        """Put what was given by hand into a submission that is new in the gradebook; see set_aside."""
        for grade in submission.notebooks[0].grades:
            if old := given.get(grade.name):
                grade.manual_score, grade.extra_credit = old["points"], old["extra"]
                grade.needs_manual_grade = old["unread"] or old["maximum"] != grade.max_score
        for comment in submission.notebooks[0].comments:
            if (old := given.get(comment.name)) and old["comment"]:
                comment.manual_comment = old["comment"]

    def _changed(self, student: str, notebook: str) -> set[str]:
        """The questions whose answer is not the one of the copy that was graded before; none if there is no copy."""
        path = self.course.root / "autograded" / student / self.name / f"{self.name}.ipynb"
        if not path.exists():
            return set()
        before, now = answers(path.read_text(encoding="utf-8")), answers(notebook)
        code = before["code"] != now["code"]
        changed = {
            name.split(" ", 1)[1] for name in now if name.startswith("written ") and before.get(name) != now[name]
        }
        tests = {name.split(" ", 1)[1] for name in now if name.startswith("test ")}
        return changed | (tests if code else set())


def answers(notebook: str) -> dict[str, str]:
    """Each written answer with what was added below it, all code of the student, and the names of the tests."""
    found: dict[str, str] = {"code": ""}
    last = ""
    for cell in json.loads(notebook)["cells"]:
        meta = cell["metadata"].get("nbgrader", {})
        role = cell["metadata"].get("normcore", {}).get("role", "")
        added = not role and str(cell.get("id", "")).startswith("extra-")
        text = "".join(cell["source"]).strip() + json.dumps(cell.get("attachments", ""), sort_keys=True)
        if role == "test":
            found[f"test {meta['grade_id']}"] = ""
        if not added:
            last = f"written {meta.get('grade_id')}" if role == "written" else ""
        if (added and last) or role == "written":
            found[last] = f"{found.get(last, '')}\n{text}"
        if cell["cell_type"] == "code" and (added or role in ("answer", "scratch", "keep")):
            found["code"] += f"\n{text}"
    return found


def points_of(auto: float | None, manual: float | None, extra: float, unread: bool) -> float | None:
    """The points that count; None for an answer that nobody has read, or not in the form that it has now."""
    given = auto if manual is None else manual
    return None if unread or given is None else float(given + extra)


def aside(course: Course, name: str) -> Path:
    """Where points given by hand are kept while an assignment is registered anew."""
    return course.root / f"{name}.by-hand.json"


def copy_whole(course: Course) -> None:
    """Keep a copy of the whole gradebook beside it: a file of SQLite, or what pg_dump writes."""
    ending = "db" if course.database.startswith("sqlite") else "sql"
    number = 1
    while (copy := course.root / f"gradebook.before-regrade-{number}.{ending}").exists():
        number += 1
    if ending == "db":
        database = course.root / "gradebook.db"
        with contextlib.closing(sqlite3.connect(database)) as now, contextlib.closing(sqlite3.connect(copy)) as then:
            now.backup(then)
        return
    address = course.database.replace("+psycopg", "", 1)
    try:
        command = ["pg_dump", "--file", str(copy), "--dbname", address]
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", "") or str(error)
        raise CopyError(f"no copy of the gradebook, so nothing is changed: pg_dump: {why.strip()}") from None


def set_aside(course: Course, name: str) -> None:
    """Take an assignment out of the gradebook; points and comments that were given by hand wait in a file for put.

    A copy of the whole gradebook stays beside it. What the file held before stays in it, if it is not given anew.
    """
    path = aside(course, name)
    if not course.has_gradebook():
        return
    copy_whole(course)
    kept: dict[str, dict[str, dict[str, Any]]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    with writer(course, name) as book:
        if not any(assignment.name == name for assignment in book.book.assignments):
            return
        for submission in book.book.assignment_submissions(name):
            given = kept.setdefault(submission.student.id, {})
            for notebook in submission.notebooks:
                comments = {c.name: c.manual_comment or "" for c in notebook.comments}
                for grade in notebook.grades:
                    if grade.manual_score is not None or grade.extra_credit or comments.get(grade.name):
                        given[grade.name] = {
                            "points": grade.manual_score,
                            "extra": grade.extra_credit,
                            "unread": bool(grade.needs_manual_grade),
                            "maximum": grade.max_score,
                            "comment": comments.get(grade.name, ""),
                        }
        replace(path, json.dumps({student: given for student, given in kept.items() if given}, indent=1))
        book.book.remove_assignment(name)


def cells_of(course: Course, name: str) -> tuple[set[tuple[str, str]], int]:
    """The cells of an assignment as the gradebook has them, by name and kind, and how many submissions it has."""
    if not course.has_gradebook():
        return set(), 0
    with writer(course, name) as book:
        found = [assignment for assignment in book.book.assignments if assignment.name == name]
        cells = {
            (cell.name, kind)
            for assignment in found
            for notebook in assignment.notebooks
            for kind, those in (("grade", notebook.grade_cells), ("solution", notebook.solution_cells))
            for cell in those
        }
        return cells, sum(assignment.num_submissions for assignment in found)


@contextlib.contextmanager
def writer(course: Course, name: str) -> Iterator[Writer]:
    """Open the gradebook for a run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with course.gradebook() as book:
            yield Writer(course, name, book)


def rubrics_of(course: Course, name: str) -> dict[str, Rubric]:
    """The rubrics of an assignment, by question."""
    return rubric.rubrics(read(course.source(name)))


def settle(course: Course, name: str) -> None:
    """Give the points of the rubric's items that readers ticked in comments, where they typed no points themselves."""
    from nbgrader.api import Grade
    from sqlalchemy import text

    rubrics = rubrics_of(course, name)
    with writer(course, name) as book:
        db = book.book.db
        for cell, question, given, comment, automatic in db.execute(text(COMMENTED), {"name": name}).all():
            if question not in rubrics:
                continue
            points = rubric.points(rubrics[question], comment)
            if points is None and (given is None or automatic):  # no item is ticked, and none was
                continue
            grade = db.get(Grade, cell)
            grade.auto_score, grade.needs_manual_grade = points, points is None  # no longer ticked: to be read
        db.commit()


def students(course: Course, name: str) -> set[str]:
    """Who has a submission to an assignment in the gradebook: their names alone, which is quick for thousands."""
    from sqlalchemy import text

    if not course.has_gradebook():
        return set()
    with writer(course, name) as book:
        return {student for (student,) in book.book.db.execute(text(STUDENTS), {"name": name})}


def all_marks(course: Course, name: str) -> dict[str, dict[str, Mark]]:
    """Everybody's marks as they are now, by student and question; one question to the database, whatever the class."""
    from sqlalchemy import text

    rubrics = rubrics_of(course, name)
    found: dict[str, dict[str, Mark]] = {}
    with writer(course, name) as book:
        for student, question, auto, manual, extra, unread, most, comment in book.book.db.execute(
            text(MARKS), {"name": name}
        ):
            points = points_of(auto, manual, extra, bool(unread))
            said = rubric.shown(rubrics.get(question, ()), comment)
            found.setdefault(student, {})[question] = Mark(question, points, float(most), said)
    return found
