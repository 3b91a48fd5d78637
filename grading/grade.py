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
from datetime import datetime, timedelta, tzinfo
from functools import partial
from pathlib import Path
from typing import Any

import nbformat

from grading import build, exports, gradebook, hand_in, late, register, results, run, times, variants
from grading.clean import line, person
from grading.course import GRADING, Course
from grading.course import replace as write
from grading.records import Flag, Mark, Record
from grading.sandbox.launch import Sandbox, find_sandbox
from grading.sandbox.student import Limits
from grading.source import fingerprint, has_variants, read, student_version


class GradeError(Exception):
    """Something that the instructor has to change before anything can be graded."""


@dataclass(frozen=True)
class Task:
    """A submission that may be still to be graded; its bytes are read anew when it is its turn."""

    student: str
    entry: hand_in.Submission
    key: str
    judged: late.Judged
    found: tuple[Flag, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """What the export and the rule say of the submission, whatever is in it."""
        one = self.entry
        who = {"id": one.id, "name": one.name, "system": one.system, "together": one.together}
        number = str(one.file_id or "")
        return who | {"found": self.found, "late": self.judged.late, "off": self.judged.off, "file_id": number}


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
        path = self.folder / f"{record.student}.json"
        if self.known.get(record.student) == record and path.exists():
            return
        self.known[record.student] = record
        text = json.dumps(record.as_json(), indent=1, sort_keys=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write(path, text)

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


def rule_of(course: Course, name: str, due: str, grace: str, percent: str) -> late.Rule:
    """The rule for late submissions, with the course's extensions."""
    limit = deadline(due)
    try:
        minutes, off = late.number(grace, "GRACE (minutes)"), late.number(percent, "LATE (percent a day)")
        extensions = late.read_extensions(course.extensions, name, times.zone_in(due) if limit else None)
    except late.LateError as error:
        raise GradeError(str(error)) from None
    return late.Rule(limit, timedelta(minutes=minutes), off, extensions)


def check(course: Course, name: str, submitted: Path) -> None:
    """Stop with a sentence if there is nothing to grade."""
    if not course.source(name).exists():
        raise GradeError(f"no assignment {name!r}; there are {', '.join(s.stem for s in course.all_sources())}")
    if not submitted.exists():
        raise GradeError(f"no submissions at {submitted}")


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


def add_times(found: hand_in.Collected, worksheet: Path, zone: tzinfo | None) -> None:
    """Give what came without a time the one of Moodle's worksheet."""
    try:
        moments = register.moments(worksheet, zone)
    except register.RegisterError as error:
        raise GradeError(str(error)) from None
    for entry in found.values():
        entry.when = entry.when or moments.get(entry.id)


def tasks(course: Course, found: hand_in.Collected, rule: late.Rule, jobs: Jobs) -> list[Task]:
    """What was handed in, each with a digest of everything that its grade depends on."""
    program = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(GRADING.rglob("*.py")))).hexdigest()
    stamp = (course.root / f"{jobs.empty.name}.built").read_bytes()
    made = []
    for student, entry in sorted(found.items()):
        data, flags = read_one(entry, jobs.empty)
        said = json.dumps([str(flag) for flag in flags]).encode()
        parts = [data or b"", program.encode(), stamp, said, jobs.seed(student)]
        made.append(Task(student, entry, hashlib.sha256(b"\0".join(parts)).hexdigest(), rule.judge(entry), flags))
    return made


def grade(
    course: Course,
    name: str,
    submitted: Path,
    jobs: int = 2,
    due: str = "",
    scheduler: str = "",
    anew: bool = False,
    grace: str = "",
    percent: str = "",
    worksheet: Path | None = None,
) -> list[Record]:
    """Grade what lies in submitted (a folder, a zip or a tar); return the record of every student in it.

    The worksheet is Moodle's, for the times of what has none.

    With anew, the assignment is registered again first, although its tests changed after submissions were graded.
    """
    check(course, name, submitted)
    rule, sandbox = rule_of(course, name, due, grace, percent), find_sandbox()
    found = collect(course, name, submitted, due)
    if worksheet:
        add_times(found, worksheet, times.zone_in(due) if rule.due else None)
    stamp = course.root / f"{name}.built"
    if anew:
        gradebook.set_aside(course, name)
        stamp.unlink(missing_ok=True)
    built = stamp.exists() and stamp.read_text() == fingerprint(course.source(name))
    if not built or not gradebook.cells_of(course, name)[0]:
        build.register(course, name)
    made = Jobs(course, job_of(course, name, sandbox, Limits.from_environment()))
    handed_in = tasks(course, found, rule, made)
    records = Records(course.root / "records" / name)
    kept = gradebook.students(course, name)  # a regrade takes them out
    todo = []
    for task in handed_in:
        old = records.known.get(task.student)
        if old and old.key == task.key and not old.error and task.student in kept:
            records.put(replace(old, **task.facts))
        else:
            todo.append(task)
    ready = len(handed_in) - len(todo)
    print(f"{name}: {len(handed_in)} submissions, {ready} already graded, sandbox: {sandbox.mode}", flush=True)
    if warning := sandbox.unlimited():
        print(f"Not limited here: {warning}.", flush=True)
    for line_ in rule.said():
        print(line_, flush=True)
    if unused := rule.unused(found):
        print(f"Extensions of nobody who handed in: {', '.join(map(person, unused))}", flush=True)
    if nothing := late.of_no_assignment(course.extensions, [source.stem for source in course.all_sources()]):
        print(f"Extensions for no assignment: {', '.join(map(person, nothing))}", flush=True)
    run_all(course, name, todo, records, jobs, made, scheduler)
    take_over_hand_grades(course, name, records)
    everyone = records.everyone()
    here = [record for record in everyone if record.student in found]
    absent = [record for record in everyone if record.student not in found]
    if absent:
        who = ", ".join(record.shown for record in absent[:10]) + (", ..." if len(absent) > 10 else "")
        print(f"{len(absent)} graded before and not in this export: {who}", flush=True)
    results.write_results(course.results / name, name, here, absent)
    write(course.root / f"{name}.here.json", json.dumps([record.student for record in here]))
    return here


def job_of(course: Course, name: str, sandbox: Sandbox, limits: Limits, seed: bytes = b"") -> run.Job:
    """The job of an untouched submission, with the numbers that a seed draws."""
    source = read(course.source(name), seed)
    released = student_version(source)
    released.metadata["assignment"] = name
    released.metadata["points_before"] = build.points_before(course, name)
    return run.Job(name, nbformat.writes(source), nbformat.writes(released), None, sandbox, limits)


@dataclass(frozen=True)
class Jobs:
    """The job of each submission: everybody's is the same, but for the bytes and the numbers of the student's own."""

    course: Course
    empty: run.Job

    def seed(self, student: str) -> bytes:
        """What a student's own numbers are drawn from; empty where all have the same."""
        source = self.course.source(self.empty.name)
        key = variants.key_of_course(self.course.key) if has_variants(source) else b""
        return variants.seed_of(key, self.empty.name, student)

    def of(self, student: str, data: bytes | None) -> run.Job:
        """The job of a submission."""
        one = replace(self.empty, data=data)
        if not (seed := self.seed(student)):
            return one
        own = job_of(self.course, one.name, one.sandbox, one.limits, seed)
        return replace(one, source=own.source, released=own.released)


def run_all(
    course: Course, name: str, todo: list[Task], records: Records, jobs: int, made: Jobs, scheduler: str
) -> None:
    """Run every task somewhere; keep each outcome here, in this one process, as soon as it is there."""
    if not todo:
        return
    waiting = {task.student: task for task in todo}
    work = ((task.student, made.of(task.student, read_one(task.entry, made.empty)[0])) for task in todo)
    pages = course.results / name / "feedback"
    pages.mkdir(parents=True, exist_ok=True)
    with cluster(scheduler) if scheduler else threads(jobs) as each, gradebook.writer(course, name) as book:
        for done, (student, outcome) in enumerate(each(work), 1):
            task = waiting.pop(student)
            record = Record(student, key=task.key, **task.facts)
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
    flags = [*outcome.flags, *flags]
    record = replace(record, marks=marks, flags=tuple(flags), ids=outcome.ids, seconds=round(outcome.seconds, 2))
    same = marks == outcome.marks and not record.note
    page = outcome.page if same else run.draw(outcome.notebook, name, marks, record.note)[0]
    write_page(course, name, record.student, page)
    return replace(record, told=record.note)


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
    write(course.results / name / "feedback" / f"{student}.html", page)


def take_over_hand_grades(course: Course, name: str, records: Records) -> None:
    """Points and comments that were given by hand since the last run go into records and feedback."""
    if not course.has_gradebook():
        return
    gradebook.settle(course, name)
    now = gradebook.all_marks(course, name)
    for record in records.everyone():
        own = now.get(record.student, {})
        marks: tuple[Mark, ...] = tuple(own.get(mark.question, mark) for mark in record.marks)
        read = {f"{mark.question} (" for mark in marks if mark.points is not None}
        flags = tuple(
            flag for flag in record.flags if flag.kind != gradebook.CHANGED or not flag.detail.startswith(tuple(read))
        )
        new = replace(record, marks=record.marks if record.error else marks, flags=flags)
        if not record.error and (new.marks != record.marks or new.note != record.told):
            path = course.root / "autograded" / record.student / name / f"{name}.ipynb"
            page = run.draw(path.read_text(encoding="utf-8"), name, new.marks, new.note)[0]
            write_page(course, name, record.student, page)
            new = replace(new, told=new.note)
        records.put(new)
    run.release()
