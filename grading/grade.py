"""Grade a class: what is new or was interrupted is graded, the rest is left alone, and the results are written."""

from __future__ import annotations

import hashlib
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path

from grading import build, course, hand_in, results
from grading.course import GRADING, Course
from grading.records import Flag, Record
from grading.run import grade_one, marks_of, sandbox_mode, start_worker, write_feedback
from grading.source import fingerprint


class GradeError(Exception):
    """Something that the instructor has to change before anything can be graded."""


@dataclass(frozen=True)
class Task:
    """A submission that is still to be graded."""

    student: str
    data: bytes | None
    key: str
    late: str
    found: tuple[Flag, ...]


class Records:
    """The records of a class on disk, one file a student; a file is written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        loaded = (Record.from_json(json.loads(path.read_text())) for path in sorted(folder.glob("*.json")))
        self.known = {record.student: record for record in loaded}

    def put(self, record: Record) -> None:
        """Keep a record, and write it if it changed."""
        self.known[record.student] = record
        path = self.folder / f"{record.student}.json"
        text = json.dumps(record.as_json(), indent=1, sort_keys=True)
        if not path.exists() or path.read_text() != text:
            course.replace(path, text)

    def everyone(self) -> list[Record]:
        """All of them, by student."""
        return [self.known[student] for student in sorted(self.known)]


def deadline(due: str) -> datetime | None:
    """The moment after which a submission is late; a date alone means the end of that day."""
    limit = hand_in.time_in(due if ":" in due else f"{due} 23:59") if due else None
    if due and limit is None:
        raise GradeError(f"DUE is a date such as 2026-12-01 or '2026-12-01 18:00', not {due!r}")
    return limit


def check(course: Course, name: str, submitted: Path) -> None:
    """Stop with a sentence if there is nothing to grade."""
    if not course.source(name).exists():
        raise GradeError(f"no assignment {name!r}; there are {', '.join(s.stem for s in course.all_sources())}")
    if not submitted.exists():
        raise GradeError(f"no submissions at {submitted}")
    if submitted.resolve() == course.root / "submitted":
        raise GradeError(f"{submitted} is where mended copies go; set NORMCORE_GRADING to another folder")


def tasks(course: Course, name: str, submitted: Path, due: str) -> list[Task]:
    """What was handed in, each with a digest of everything that its grade depends on."""
    limit = deadline(due)
    program = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(GRADING.rglob("*.py")))).hexdigest()
    stamp = (course.root / f"{name}.built").read_bytes()
    made = []
    for student, entry in sorted(hand_in.collect(submitted, name).items()):
        data, flags = hand_in.choose(entry, name)
        said = json.dumps([str(flag) for flag in flags]).encode()
        key = hashlib.sha256(b"\0".join([data or b"", program.encode(), stamp, said])).hexdigest()
        late = entry.late or bool(limit and entry.when and entry.when > limit)
        known = limit is not None and entry.when is not None
        made.append(Task(student, data, key, "yes" if late else ("no" if known or not due else ""), tuple(flags)))
    return made


def grade(course: Course, name: str, submitted: Path, jobs: int = 2, due: str = "") -> list[Record]:
    """Grade what lies in submitted (a folder or a zip); return the record of every student."""
    check(course, name, submitted)
    mode = sandbox_mode()
    stamp = course.root / f"{name}.built"
    if not stamp.exists() or stamp.read_text() != fingerprint(course.source(name)):
        build.register(course, name)
    handed_in = tasks(course, name, submitted, due)
    records = Records(course.root / "records" / name)
    todo = []
    for task in handed_in:
        old = records.known.get(task.student)
        if old and old.key == task.key and not old.error:
            records.put(replace(old, late=task.late, found=task.found))
        else:
            todo.append(task)
    ready = len(handed_in) - len(todo)
    print(f"{name}: {len(handed_in)} submissions, {ready} already graded, sandbox: {mode}", flush=True)
    run_all(course, name, todo, records, jobs, mode)
    take_over_hand_grades(course, name, records)
    everyone = records.everyone()
    results.write_results(course.results / name, name, everyone)
    return everyone


def run_all(course: Course, name: str, todo: list[Task], records: Records, jobs: int, mode: str) -> None:
    """Grade every task, several at a time, and keep each record as soon as it is made."""
    with (
        tempfile.TemporaryDirectory(prefix="nc-") as scratch,
        ProcessPoolExecutor(max(1, jobs), get_context("spawn"), start_worker) as pool,
    ):
        waiting = {pool.submit(grade_one, course, name, t.student, t.data, mode, scratch): t for t in todo}
        try:
            for done, future in enumerate(as_completed(waiting), 1):
                task = waiting[future]
                try:
                    record = future.result()
                except BrokenProcessPool:
                    raise GradeError(
                        "a process was killed from outside; the same command goes on where it stopped"
                    ) from None
                except Exception as error:
                    record = Record(task.student, flags=(Flag("not graded"),), error=repr(error))
                record = replace(record, key=task.key, late=task.late, found=task.found)
                records.put(record)
                line = f"{record.student}: {record.points:g} points, {record.seconds:.1f} s"
                print(f"[{done}/{len(todo)}] {'; '.join([line, *map(str, record.all_flags)])}", flush=True)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list((pool._processes or {}).values()):
                process.kill()
            raise


def take_over_hand_grades(course: Course, name: str, records: Records) -> None:
    """Points and comments that were given by hand since the last run go into records and feedback."""
    for record in records.everyone():
        if not record.error and (now := marks_of(course, name, record.student)) != record.marks:
            write_feedback(course, name, record.student)
            records.put(replace(record, marks=now))
