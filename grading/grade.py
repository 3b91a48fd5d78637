"""Grade a class: what is new or was interrupted is graded, the rest is left alone, and the results are written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import nbformat

from grading import build, course, exports, gradebook, hand_in, results, run, times
from grading.clean import line, person
from grading.course import GRADING, Course
from grading.records import Flag, Mark, Record
from grading.sandbox.launch import Sandbox, find_sandbox
from grading.sandbox.student import Limits
from grading.source import fingerprint, read, student_version


class GradeError(Exception):
    """Something that the instructor has to change before anything can be graded."""


@dataclass(frozen=True)
class Task:
    """A submission that may be still to be graded; its bytes are read anew when it is its turn."""

    student: str
    entry: hand_in.Submission
    key: str
    late: str
    found: tuple[Flag, ...]

    @property
    def who(self) -> dict[str, Any]:
        """What the learning system calls the student."""
        one = self.entry
        return {"id": one.id, "name": one.name, "system": one.system, "together": one.together}


def read_one(entry: hand_in.Submission, empty: run.Job) -> tuple[bytes | None, tuple[Flag, ...]]:
    """The notebook that counts, and the flags; what cannot be read costs its own student alone."""
    try:
        data, flags = hand_in.choose(entry, empty.name, partial(run.compare, empty.released))
        return data, tuple(flags)
    except Exception as error:  # a reader of an archive raises whatever it met
        return None, (Flag("unreadable", f"{type(error).__name__}: {str(error)[:100]}"),)


class Records:
    """The records of a class on disk, one file a student; a file is written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.known: dict[str, Record] = {}
        for path in sorted(folder.glob("*.json")):
            with contextlib.suppress(ValueError, TypeError, KeyError):  # of another version, or damaged: graded anew
                record = Record.from_json(json.loads(path.read_text(encoding="utf-8")))
                if path.name == f"{record.student}.json":
                    self.known[record.student] = record

    def put(self, record: Record) -> None:
        """Keep a record, and write it if it changed."""
        self.known[record.student] = record
        path = self.folder / f"{record.student}.json"
        text = json.dumps(record.as_json(), indent=1, sort_keys=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            course.replace(path, text)

    def everyone(self) -> list[Record]:
        """All of them, by student."""
        return [self.known[student] for student in sorted(self.known)]


def deadline(due: str) -> datetime | None:
    """The moment after which a submission is late; a date alone means the end of that day."""
    try:
        return times.deadline(due) if due.strip() else None
    except (ValueError, OverflowError):
        raise GradeError(
            f"DUE is a date such as 2026-12-01 or '2026-12-01 18:00', with a zone if you like "
            f"('2026-12-01 18:00 Europe/Berlin', '2026-12-01 18:00+01:00'), not {due!r}"
        ) from None


def check(course: Course, name: str, submitted: Path) -> None:
    """Stop with a sentence if there is nothing to grade."""
    if not course.source(name).exists():
        raise GradeError(f"no assignment {name!r}; there are {', '.join(s.stem for s in course.all_sources())}")
    if not submitted.exists():
        raise GradeError(f"no submissions at {submitted}")
    if submitted.resolve() == course.root / "submitted":
        raise GradeError(f"{submitted} is where mended copies go; set NORMCORE_GRADING to another folder")


def collect(course: Course, name: str, submitted: Path, due: str) -> hand_in.Collected:
    """What was handed in; GradeError where there is nothing, and a line for all that was not understood."""
    others = frozenset(source.stem for source in course.all_sources()) - {name}
    try:
        found = hand_in.collect(submitted, name, times.zone_in(due) if due else None, others)
    except exports.ExportError as error:
        raise GradeError(str(error)) from None
    shown = [person(path) for path in found.unknown]
    what = f"{len(shown)} not understood: {', '.join(shown[:10])}{', ...' if len(shown) > 10 else ''}"
    if not found:
        other = f"; {found.other} files of other assignments" if found.other else ""
        raise GradeError(f"no submission in {submitted}{other}{'; ' * bool(shown)}{what if shown else ''}")
    if shown:
        print(f"{submitted.name}: files {what}", flush=True)
    return found


def tasks(course: Course, found: hand_in.Collected, limit: datetime | None, empty: run.Job) -> list[Task]:
    """What was handed in, each with a digest of everything that its grade depends on."""
    program = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(GRADING.rglob("*.py")))).hexdigest()
    stamp = (course.root / f"{empty.name}.built").read_bytes()
    made = []
    for student, entry in sorted(found.items()):
        data, flags = read_one(entry, empty)
        said = json.dumps([str(flag) for flag in flags]).encode()
        key = hashlib.sha256(b"\0".join([data or b"", program.encode(), stamp, said])).hexdigest()
        made.append(Task(student, entry, key, entry.lateness(limit), flags))
    return made


def grade(
    course: Course, name: str, submitted: Path, jobs: int = 2, due: str = "", scheduler: str = "", anew: bool = False
) -> list[Record]:
    """Grade what lies in submitted (a folder, a zip or a tar); return the record of every student in it.

    With anew, the assignment is registered again first, although its tests changed after submissions were graded.
    """
    check(course, name, submitted)
    limit, sandbox = deadline(due), find_sandbox()
    found = collect(course, name, submitted, due)
    stamp = course.root / f"{name}.built"
    if anew:
        gradebook.set_aside(course, name)
        stamp.unlink(missing_ok=True)
    if not stamp.exists() or stamp.read_text() != fingerprint(course.source(name)):
        build.register(course, name)
    empty = job_of(course, name, sandbox, Limits.from_environment())
    handed_in = tasks(course, found, limit, empty)
    records = Records(course.root / "records" / name)
    todo = []
    for task in handed_in:
        old = records.known.get(task.student)
        if old and old.key == task.key and not old.error:
            records.put(replace(old, late=task.late, found=task.found, **task.who))
        else:
            todo.append(task)
    ready = len(handed_in) - len(todo)
    print(f"{name}: {len(handed_in)} submissions, {ready} already graded, sandbox: {sandbox.mode}", flush=True)
    if warning := sandbox.unlimited():
        print(f"Not limited here: {warning}.", flush=True)
    if limit:
        print(f"Due: {times.said(limit)}", flush=True)
    run_all(course, name, todo, records, jobs, empty, scheduler)
    take_over_hand_grades(course, name, records)
    everyone = records.everyone()
    here = [record for record in everyone if record.student in found]
    absent = [record for record in everyone if record.student not in found]
    if absent:
        who = ", ".join(record.shown for record in absent[:10]) + (", ..." if len(absent) > 10 else "")
        print(f"{len(absent)} graded before and not in this export: {who}", flush=True)
    results.write_results(course.results / name, name, here, absent)
    return here


def job_of(course: Course, name: str, sandbox: Sandbox, limits: Limits) -> run.Job:
    """The job of an untouched submission; those of the class differ in their bytes alone."""
    source = read(course.source(name))
    released = student_version(source)
    released.metadata["assignment"] = name
    released.metadata["points_before"] = build.points_before(course, name)
    return run.Job(name, nbformat.writes(source), nbformat.writes(released), None, sandbox, limits)


def run_all(
    course: Course, name: str, todo: list[Task], records: Records, jobs: int, empty: run.Job, scheduler: str
) -> None:
    """Run every task somewhere; keep each outcome here, in this one process, as soon as it is there."""
    if not todo:
        return
    waiting = {task.student: task for task in todo}
    work = ((task.student, replace(empty, data=read_one(task.entry, empty)[0])) for task in todo)
    pages = course.results / name / "feedback"
    pages.mkdir(parents=True, exist_ok=True)
    with cluster(scheduler) if scheduler else threads(jobs) as each, gradebook.writer(course, name) as book:
        for done, (student, outcome) in enumerate(each(work), 1):
            task = waiting.pop(student)
            record = Record(student, key=task.key, found=task.found, late=task.late, **task.who)
            try:
                record = keep(course, name, book, record, outcome)
            except Exception as error:  # whatever it is, it is this student's alone
                book.forget()
                record = replace(record, flags=(Flag("not graded"),), error=line(str(error)) or repr(error))
            records.put(record)
            said = f"{record.shown}: {record.points:g} points, {record.seconds:.1f} s"
            print(f"[{done}/{len(todo)}] {'; '.join([said, *map(str, record.all_flags)])}", flush=True)


def keep(course: Course, name: str, book: gradebook.Writer, record: Record, outcome: run.Outcome | Exception) -> Record:
    """Write an outcome into the gradebook and the feedback; return its record."""
    if isinstance(outcome, Exception):
        raise outcome
    marks, flags = book.put(record.student, outcome.notebook, outcome.marks, record.name)
    page = outcome.page if marks == outcome.marks else run.draw(outcome.notebook, name, marks)[0]
    write_page(course, name, record.student, page)
    flags = [*outcome.flags, *flags]
    return replace(record, marks=marks, flags=tuple(flags), ids=outcome.ids, seconds=round(outcome.seconds, 2))


Work = Iterable[tuple[str, run.Job]]
Done = Iterator[tuple[str, run.Outcome | Exception]]


@contextmanager
def threads(jobs: int) -> Iterator[Callable[[Work], Done]]:
    """Several at a time on this machine; each thread has processes of its own and only waits for them.

    No more submissions are in memory than are being graded, however many there are.
    """
    asked: queue.Queue[Any] = queue.Queue(maxsize=max(1, jobs))
    made: queue.Queue[Any] = queue.Queue()

    def serve() -> None:
        try:
            while (item := asked.get()) is not None:
                student, job = item
                try:
                    made.put((student, run.run(job)))
                except Exception as error:
                    made.put((student, error))
        finally:
            run.release()

    def each(work: Work) -> Done:
        out = 0
        for item in work:
            if out >= max(1, jobs):
                yield made.get()
                out -= 1
            asked.put(item)
            out += 1
        while out:
            yield made.get()
            out -= 1

    pool = [threading.Thread(target=serve, daemon=True) for _ in range(max(1, jobs))]
    for thread in pool:
        thread.start()
    try:
        yield each
        for _ in pool:
            asked.put(None)
        for thread in pool:
            thread.join()
    finally:
        run.release()


@contextmanager
def cluster(address: str) -> Iterator[Callable[[Work], Done]]:
    """On the workers of a Dask cluster; what a worker that dies had in hand is given to another."""
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise GradeError("SCHEDULER needs Dask: pip install 'normcore[cluster]'") from None

    def each(work: Work) -> Done:
        work = iter(work)
        names: dict[str, str] = {}
        flying = as_completed([])

        def submit() -> None:
            for student, job in work:
                future = client.submit(run.run, job, pure=False, retries=3)
                names[future.key] = student
                flying.add(future)
                return

        for _ in range(4 * max(1, sum(client.nthreads().values()))):
            submit()
        for future in flying:
            error = future.exception()
            yield names.pop(future.key), error if error is not None else future.result()
            future.release()
            submit()

    with Client(address) as client:
        yield each


def write_page(course: Course, name: str, student: str, page: str) -> None:
    """Write a student's feedback."""
    from grading.course import replace as write

    write(course.results / name / "feedback" / f"{student}.html", page)


def take_over_hand_grades(course: Course, name: str, records: Records) -> None:
    """Points and comments that were given by hand since the last run go into records and feedback."""
    if not (course.root / "gradebook.db").exists():
        return
    now = gradebook.all_marks(course, name)
    for record in records.everyone():
        own = now.get(record.student, {})
        marks: tuple[Mark, ...] = tuple(own.get(mark.question, mark) for mark in record.marks)
        read = {f"{mark.question} (" for mark in marks if mark.points is not None}
        flags = tuple(
            flag for flag in record.flags if flag.kind != gradebook.CHANGED or not flag.detail.startswith(tuple(read))
        )
        if not record.error and marks != record.marks:
            path = course.root / "autograded" / record.student / name / f"{name}.ipynb"
            write_page(course, name, record.student, run.draw(path.read_text(encoding="utf-8"), name, marks)[0])
        records.put(replace(record, marks=record.marks if record.error else marks, flags=flags))
    run.release()
