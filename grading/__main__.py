"""The commands of the instructors' side: python -m grading COMMAND ASSIGNMENT; make calls them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType


def _goodbye(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say what an interruption means, instead of where it struck."""
    if issubclass(kind, KeyboardInterrupt):
        print("\ngrade: interrupted; the same command goes on where it stopped", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m grading", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="student notebooks of all assignments, checked and registered")
    build.add_argument("--publish", action="store_true", help="only write the student notebooks (seconds)")
    for word, what in (("grade", "grade a class"), ("regrade", "the same, after the tests of an assignment changed")):
        grade = commands.add_parser(word, help=what)
        grade.add_argument("name")
        grade.add_argument("--jobs", type=int, default=2)
        grade.add_argument("--from", dest="submitted", type=Path, help="a folder, zip or tar, as an LMS exports it")
        grade.add_argument("--scheduler", default="", help="the address of a Dask scheduler, to grade on its workers")
        grade.add_argument("--due", default="", help="2026-12-01, or '2026-12-01 18:00', or with a zone")
        grade.add_argument("--grace", default="", help="minutes after the deadline that are not late")
        grade.add_argument("--late", default="", help="percent of the points that each day costs")
        grade.add_argument("--times", type=Path, help="Moodle's grading worksheet, for when each student handed in")
    out = commands.add_parser("grades-out", help="the points in the list of a learning system, and a roster")
    out.add_argument("name")
    out.add_argument("--to", choices=("canvas", "moodle", "roster"), required=True)
    out.add_argument("--list", type=Path, required=True, help="the class list as the system exports it")
    out.add_argument("--column", default="", help="the column of the points, if it is not called as the assignment")
    back = commands.add_parser("feedback-out", help="the feedback in the names that a system takes back")
    back.add_argument("name")
    back.add_argument("--to", choices=("canvas", "moodle", "hub"), required=True)
    commands.add_parser("similar", help="which submissions resemble each other").add_argument("name")
    variants = commands.add_parser("variants", help="a notebook with numbers of their own for each student")
    variants.add_argument("name")
    variants.add_argument("--list", type=Path, required=True)
    solution = commands.add_parser("solution", help="the solutions, once everybody has handed in")
    solution.add_argument("name")
    solution.add_argument("--after", required=True)
    for word in ("gradescope", "classroom"):
        pack = commands.add_parser(word, help="a zip for Gradescope, or for GitHub Classroom")
        pack.add_argument("name")
        pack.add_argument("--versions", type=Path, required=True, help="a file of lines NAME==VERSION")
    leaks = commands.add_parser("leaks", help="look for secrets in what is published")
    leaks.add_argument("--student", action="store_true", help="the chapters' solutions are secrets, too")
    leaks.add_argument("folders", nargs="+")
    return top


def _other(given: argparse.Namespace) -> Callable[[], list[str]]:
    """What the commands around grading do; each returns what to tell."""
    from grading import classroom, gradescope, hand_out, register, similar
    from grading.course import Course

    course, name = Course.from_environment(), given.name
    if not course.source(name).exists():
        there = ", ".join(source.stem for source in course.all_sources())
        raise register.RegisterError(f"no assignment {name!r}; there are {there}")
    folder = course.results / name

    def resemble() -> list[str]:
        people = {record.student: record.shown for record in register.records_of(course, name).values()}
        return [f"{similar.report(course, name, people)}: a list of what to read side by side, no verdict"]

    def zipped() -> list[str]:
        pack = gradescope.pack if given.command == "gradescope" else classroom.pack
        pack(course.source(name), given.versions.read_text(), target := folder / f"{name}-{given.command}.zip")
        return [str(target)]

    return {
        "grades-out": lambda: register.grades_out(course, name, given.to, given.list.expanduser(), given.column),
        "feedback-out": lambda: register.feedback_out(course, name, given.to),
        "similar": resemble,
        "variants": lambda: hand_out.hand_out(course, name, given.list.expanduser()),
        "solution": lambda: [str(hand_out.solution(course, name, given.after))],
        "gradescope": zipped,
        "classroom": zipped,
    }[given.command]


def main(arguments: list[str]) -> None:
    """Run one command; the slow imports come after the words for Ctrl-C are in place."""
    given = parser().parse_args(arguments)
    if given.command == "leaks":
        from grading import leaks

        return leaks.main([*given.folders, *["--student"] * given.student])
    if given.command in ("grade", "regrade"):
        sys.excepthook = _goodbye
    from grading.build import build
    from grading.course import GRADING, Course
    from grading.grade import GradeError, grade
    from grading.gradebook import CopyError
    from grading.hand_out import HandOutError
    from grading.late import LateError
    from grading.register import RegisterError
    from grading.sandbox.launch import NoSandboxError
    from grading.source import SourceError

    course = Course.from_environment()
    try:
        if given.command == "build":
            return build(course, given.publish)
        if given.command not in ("grade", "regrade"):
            return print("\n".join(_other(given)()))
        submitted = given.submitted.expanduser() if given.submitted else GRADING / "submitted"
        anew = given.command == "regrade"
        records = grade(
            course,
            given.name,
            submitted,
            given.jobs,
            given.due,
            given.scheduler,
            anew,
            given.grace,
            given.late,
            given.times,
        )
    except (GradeError, CopyError, HandOutError, LateError, RegisterError, NoSandboxError, SourceError) as error:
        sys.exit(f"{given.command}: {error}")
    flagged = sum(bool(record.all_flags) for record in records)
    page = os.path.relpath(course.results / given.name / "summary.html")
    print(f"{len(records)} students, {flagged} with flags: {page}")
    if failed := [record for record in records if record.error]:
        sys.exit(f"grade: not graded: {', '.join(record.shown for record in failed)}\n{failed[0].error}")


if __name__ == "__main__":
    main(sys.argv[1:])
