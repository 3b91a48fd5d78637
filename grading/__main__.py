"""The commands of the instructors' side: python -m grading build|grade|leaks."""

from __future__ import annotations

import argparse
import os
import sys
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
    leaks = commands.add_parser("leaks", help="look for secrets in what is published")
    leaks.add_argument("arguments", nargs=argparse.REMAINDER)
    return top


def main(arguments: list[str]) -> None:
    """Run one command; the slow imports come after the words for Ctrl-C are in place."""
    given = parser().parse_args(arguments)
    if given.command == "leaks":
        from grading import leaks

        return leaks.main(given.arguments)
    if given.command in ("grade", "regrade"):
        sys.excepthook = _goodbye
    from grading.build import build
    from grading.course import GRADING, Course
    from grading.grade import GradeError, grade
    from grading.sandbox.launch import NoSandboxError
    from grading.source import SourceError

    course = Course.from_environment()
    try:
        if given.command == "build":
            return build(course, given.publish)
        submitted = given.submitted.expanduser() if given.submitted else GRADING / "submitted"
        anew = given.command == "regrade"
        records = grade(course, given.name, submitted, given.jobs, given.due, given.scheduler, anew)
    except (GradeError, NoSandboxError, SourceError) as error:
        sys.exit(f"{given.command}: {error}")
    flagged = sum(bool(record.all_flags) for record in records)
    page = os.path.relpath(course.results / given.name / "summary.html")
    print(f"{len(records)} students, {flagged} with flags: {page}")
    if failed := [record for record in records if record.error]:
        sys.exit(f"grade: not graded: {', '.join(record.shown for record in failed)}\n{failed[0].error}")


if __name__ == "__main__":
    main(sys.argv[1:])
