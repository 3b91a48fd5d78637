"""Grade an assignment: python grading/grade.py NAME [--jobs 2] [--from FOLDER_OR_ZIP] [--due "2026-12-01 23:59"].

Submissions lie in grading/submitted/STUDENT/NAME/*.ipynb, or in the zip that a learning management system exports
(Moodle, Canvas, or one folder a student). Results go to grading/results/NAME: feedback/STUDENT.html, grades.csv,
summary.html, distribution.svg. A second run grades what is new or was interrupted and leaves the rest alone.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import html
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

GRADING = Path(__file__).resolve().parent
sys.path.insert(0, str(GRADING))


def _goodbye(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say what an interruption means, instead of where it struck."""
    if issubclass(kind, KeyboardInterrupt):
        print("\ngrade: interrupted; the same command goes on where it stopped", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


if __name__ == "__main__":  # before the slow imports
    sys.excepthook = _goodbye

import assignments  # noqa: E402

MINOR = ("renamed", "kernel named", "several notebooks", "cells in another order", "late")


def default_root() -> Path:
    """The folder with everything that nbgrader makes: gradebook, source, release, submissions, feedback."""
    root = Path(os.environ.get("NORMCORE_GRADING", GRADING / "_build")).resolve()
    root.mkdir(parents=True, exist_ok=True)
    return root


def nbgrader_api(root: Path) -> Any:
    """nbgrader's interface, with the settings of nbgrader_config.py."""
    os.environ["NORMCORE_GRADING"] = str(root)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nbgrader imports what newer libraries deprecate
        from nbgrader.apps.api import NbGraderAPI
        from traitlets.config.loader import PyFileConfigLoader

        return NbGraderAPI(config=PyFileConfigLoader("nbgrader_config.py", path=str(GRADING)).load_config())


def gradebook(root: Path) -> Any:
    """nbgrader's gradebook, a context manager."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nbgrader.api import Gradebook
    return Gradebook(f"sqlite:///{root}/gradebook.db?timeout=120", "normcore")


# -- what was handed in ----------------------------------------------------------------------------------------


@dataclass
class Submission:
    """What one student handed in: the files, and when."""

    student: str
    files: dict[str, bytes] = field(default_factory=dict)
    when: datetime | None = None
    late: bool = False


def _student(name: str) -> str:
    """A name that is safe as a folder and in nbgrader."""
    return re.sub(r"[^\w.@-]+", "-", name).strip(".-") or "unnamed"


def from_folder(folder: Path, name: str) -> dict[str, Submission]:
    """Read submitted/STUDENT/NAME/*.ipynb, nbgrader's layout."""
    found = {}
    for path in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        inside = path / name
        if not inside.is_dir():
            continue
        entry = found[_student(path.name)] = Submission(_student(path.name))
        for file in sorted(inside.iterdir()):
            if file.is_file() and not file.is_symlink() and file.suffix == ".ipynb":
                entry.files[file.name] = file.read_bytes()
            elif file.name == "timestamp.txt":
                entry.when = _time(file.read_text())
    return found


def from_zip(path: Path, name: str) -> dict[str, Submission]:
    """Read the export of a learning management system; nothing is unpacked to disk."""
    found: dict[str, Submission] = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            parts = [p for p in PurePosixPath(info.filename.replace("\\", "/")).parts if p not in ("/", "..", ".")]
            if info.is_dir() or not parts or parts[0] == "__MACOSX" or parts[-1].startswith("."):
                continue
            if ".ipynb_checkpoints" in parts:
                continue
            late = False
            if len(parts) > 1:  # a folder a student; Moodle adds an id and a kind to the name
                who = re.sub(r"_\d+_assignsubmission_(file|onlinetext)_?$", "", parts[-2])
                if parts[-2] == name and len(parts) > 2:
                    who = parts[-3]
                file = parts[-1]
            elif canvas := re.fullmatch(r"(.+?)(_LATE)?_\d+_\d+_(.+)", parts[0], re.IGNORECASE):
                who, late, file = canvas[1], bool(canvas[2]), canvas[3]
            else:
                who, file = PurePosixPath(parts[0]).stem, parts[0]
            entry = found.setdefault(_student(who), Submission(_student(who)))
            entry.late |= late
            if file == "timestamp.txt":
                entry.when = _time(archive.read(info).decode(errors="replace"))
            elif file.endswith(".ipynb"):
                # one byte more than is accepted is enough to refuse it
                with archive.open(info) as stream:
                    entry.files[file] = stream.read(20_000_001)
                entry.when = entry.when or datetime(*info.date_time)
    return found


def _time(text: str) -> datetime | None:
    found = re.search(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)", text)
    return datetime.fromisoformat(f"{found[1]} {found[2]}") if found else None


def choose(entry: Submission, name: str) -> tuple[bytes | None, list[str]]:
    """Return the notebook that counts, or None, and flags."""
    flags = ["several notebooks"] if len(entry.files) > 1 else []
    if f"{name}.ipynb" in entry.files:
        return entry.files[f"{name}.ipynb"], flags
    if not entry.files:
        return None, ["no notebook"]
    ours = [f for f, data in entry.files.items() if f'"{name}-'.encode() in data or name.encode() in f.encode()]
    best = (ours or list(entry.files))[-1]
    return entry.files[best], [*flags, f"renamed: {best[:60]}"]


# -- the sandbox -----------------------------------------------------------------------------------------------


def sandbox_mode() -> str:
    """Return "nobody", "bwrap" or, when told UNSANDBOXED=1, "none"; exit when there is no working sandbox."""
    if os.environ.get("UNSANDBOXED") == "1":
        print("UNSANDBOXED=1: student code runs with your rights, sees your files and the gradebook.", flush=True)
        return "none"
    from sandbox.launch import NOBODY, bubblewrap

    reason = "bubblewrap (bwrap) is not installed"
    if shutil.which("bwrap"):
        for mode in ["nobody", "bwrap"] if os.geteuid() == 0 else ["bwrap"]:
            with tempfile.TemporaryDirectory(prefix="nc-") as run:
                become = f"import os; os.setresuid({NOBODY}, {NOBODY}, {NOBODY}); " if mode == "nobody" else ""
                command = [sys.executable, "-I", "-c", become + "import ipykernel, numpy"]
                trial = subprocess.run(bubblewrap(run, command, mode), capture_output=True, text=True, check=False)
            if trial.returncode == 0:
                return mode
            reason = f"bubblewrap does not work here: {trial.stderr.strip()[-300:]}"
    sys.exit(
        f"grade: {reason}\nStudent code is only run in a sandbox. Install bubblewrap (apt install bubblewrap), "
        "or accept the risk with UNSANDBOXED=1."
    )


@contextlib.contextmanager
def run_folder(scratch: str) -> Iterator[Path]:
    """A short-lived folder for one kernel: its specification, connection file and sockets."""
    run = Path(tempfile.mkdtemp(prefix="nc-", dir=scratch))
    kernels = run / "kernels" / "python3"
    kernels.mkdir(parents=True)
    (kernels / "kernel.json").write_text(
        json.dumps(
            {
                "argv": [sys.executable, str(GRADING / "sandbox" / "launch.py"), "{connection_file}", str(run)],
                "display_name": "Python 3",
                "language": "python",
                "interrupt_mode": "message",
            }
        )
    )
    try:
        yield run
    finally:
        shutil.rmtree(run, ignore_errors=True)


# -- grading one submission, in a worker process -----------------------------------------------------------------


def _start_worker() -> None:
    with contextlib.suppress(Exception):  # Linux: end with the parent, however that ends
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR"):
        os.environ[f"{name}_NUM_THREADS"] = "1"


def grade_one(
    root: Path, results: Path, source: Path, student: str, data: bytes | None, mode: str, scratch: str
) -> dict[str, Any]:
    """Mend, autograde and comment one submission; return its flags and the ids of its own cells."""
    warnings.simplefilter("ignore")
    import nbformat
    from repair import UnreadableError, parse, repair

    name, started = source.stem, time.monotonic()
    released = assignments.student_version(assignments.read(source))
    released.metadata["assignment"] = name
    flags: list[str] = []
    ids: list[str] = []
    if data is None:
        notebook = released
    else:
        try:
            notebook, flags, ids = repair(released, parse(data))
        except UnreadableError as error:
            notebook, flags = released, [f"unreadable: {error}"]
    folder = root / "submitted" / student / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / f"{name}.ipynb")
    with run_folder(scratch) as run:
        os.environ |= {
            "RUN_FOLDER": str(run),
            "RUN_FLAGS": str(run / "flags.json"),
            "SANDBOX": mode,
            "JUPYTER_RUNTIME_DIR": str(run),
        }
        api = nbgrader_api(root)
        done = api.autograde(name, student, force=True, create=True)
        with contextlib.suppress(OSError):
            flags += json.loads((run / "flags.json").read_text())
    if not done["success"]:
        return {
            "student": student,
            "flags": [*flags, "not graded"],
            "ids": ids,
            "error": str(done.get("error") or done.get("log"))[-2000:],
            "seconds": time.monotonic() - started,
        }
    write_feedback(root, results, name, student)
    return {
        "student": student,
        "flags": flags,
        "ids": ids,
        "seconds": time.monotonic() - started,
        "grades": grades_of(root, name, student),
    }


def write_feedback(root: Path, results: Path, name: str, student: str) -> None:
    """Write the student's feedback page, readable without a network."""
    from feedback import offline

    made = nbgrader_api(root).generate_feedback(name, student, force=True)
    page = root / "feedback" / student / name / f"{name}.html"
    if not made["success"]:
        raise RuntimeError(f"no feedback for {student}: {made.get('error') or made.get('log')}")
    folder = results / "feedback"
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / f"{student}.html", offline(page.read_text(encoding="utf-8")))


def grades_of(root: Path, name: str, student: str) -> list[list[Any]]:
    """Return [question, points or None, maximum, comment] for each graded question, in the gradebook's order."""
    with gradebook(root) as book:
        notebook = book.find_submission(name, student).notebooks[0]
        comments = {c.name: c.comment for c in notebook.comments}
        rows = []
        for grade in notebook.grades:
            read = grade.manual_score is not None or (grade.auto_score is not None and not grade.needs_manual_grade)
            rows.append(
                [
                    grade.name,
                    float(grade.score) if read else None,
                    float(grade.max_score),
                    comments.get(grade.name) or "",
                ]
            )
    return rows


# -- the whole class ---------------------------------------------------------------------------------------------


def grade(
    name: str,
    submitted: Path,
    jobs: int = 2,
    due: str = "",
    root: Path | None = None,
    results: Path | None = None,
    sources: Path | None = None,
) -> list[dict[str, Any]]:
    """Grade what lies in submitted (a folder or a zip); return the record of every student."""
    root = root or default_root()
    results = (results or GRADING / "results") / name
    source = (sources or assignments.SOURCES) / f"{name}.md"
    if not source.exists():
        sys.exit(f"grade: no assignment {name!r}; there are {', '.join(s.stem for s in source.parent.glob('*.md'))}")
    if not submitted.exists():
        sys.exit(f"grade: no submissions at {submitted}")
    if submitted.resolve() == root / "submitted":
        sys.exit(f"grade: {submitted} is where mended copies go; set NORMCORE_GRADING to another folder")
    mode = sandbox_mode()
    stamp = root / f"{name}.built"
    if not stamp.exists() or stamp.read_text() != assignments.fingerprint(source):
        assignments.register(source, root)
    handed_in = from_zip(submitted, name) if submitted.is_file() else from_folder(submitted, name)
    limit = _time(due if ":" in due else f"{due} 23:59") if due else None
    if due and limit is None:
        sys.exit(f"grade: DUE is a date such as 2026-12-01 or '2026-12-01 18:00', not {due!r}")

    records_folder = root / "records" / name
    records_folder.mkdir(parents=True, exist_ok=True)
    program = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(GRADING.rglob("*.py")))).hexdigest()
    todo, records = [], {r["student"]: r for r in map(_load, sorted(records_folder.glob("*.json")))}
    for student, entry in sorted(handed_in.items()):
        data, flags = choose(entry, name)
        key = hashlib.sha256(
            b"\0".join([data or b"", program.encode(), stamp.read_bytes(), json.dumps(flags).encode()])
        ).hexdigest()
        late = entry.late or bool(limit and entry.when and entry.when > limit)
        known = limit is not None and entry.when is not None
        extra = {"key": key, "late": "yes" if late else ("no" if known or not due else ""), "found": flags}
        old = records.get(student)
        if old and old["key"] == key and "error" not in old:
            old |= extra
            _store(records_folder, old)
        else:
            todo.append((student, data, extra))
    ready = len(handed_in) - len(todo)
    print(f"{name}: {len(handed_in)} submissions, {ready} already graded, sandbox: {mode}", flush=True)

    def finished(record: dict[str, Any], extra: dict[str, Any], done: int) -> None:
        record |= extra
        record["flags"] = [*extra["found"], *record["flags"]]
        records[record["student"]] = record
        _store(records_folder, record)
        got = sum(points or 0 for _, points, _, _ in record.get("grades", []))
        line = f"{record['student']}: {got:g} points, {record['seconds']:.1f} s"
        print(f"[{done}/{len(todo)}] {'; '.join([line, *record['flags']])}", flush=True)

    with (
        tempfile.TemporaryDirectory(prefix="nc-") as scratch,
        ProcessPoolExecutor(max(1, jobs), get_context("spawn"), _start_worker) as pool,
    ):
        waiting = {
            pool.submit(grade_one, root, results, source, student, data, mode, scratch): (student, extra)
            for student, data, extra in todo
        }
        try:
            for done, future in enumerate(as_completed(waiting), 1):
                student, extra = waiting[future]
                try:
                    record = future.result()
                except BrokenProcessPool:
                    sys.exit("grade: a process was killed from outside; the same command goes on where it stopped")
                except Exception as error:
                    record = {"student": student, "flags": ["not graded"], "ids": [], "seconds": 0.0}
                    record["error"] = repr(error)
                finished(record, extra, done)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list((pool._processes or {}).values()):
                process.kill()
            raise

    # grades given by hand since the last run
    for student, record in sorted(records.items()):
        if "error" not in record and (now := grades_of(root, name, student)) != record["grades"]:
            record["grades"] = now
            write_feedback(root, results, name, student)
            _store(records_folder, record)
    everyone = [records[s] for s in sorted(records)]
    write_results(results, name, everyone)
    return everyone


def _load(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def _store(folder: Path, record: dict[str, Any]) -> None:
    text, path = json.dumps(record, indent=1, sort_keys=True), folder / f"{record['student']}.json"
    if not path.exists() or path.read_text() != text:
        _replace(path, text)


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def shared_cells(records: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return, for each student, the others who handed in a cell with the same random id."""
    owners: dict[str, set[str]] = {}
    for record in records:
        for own in record["ids"]:
            if own:
                owners.setdefault(own, set()).add(record["student"])
    return {
        r["student"]: sorted(set().union(*(owners.get(i, set()) for i in r["ids"])) - {r["student"]}) for r in records
    }


def flags_of(record: dict[str, Any], shared: dict[str, list[str]]) -> list[str]:
    """Every flag of a submission."""
    others = shared[record["student"]]
    return record["flags"] + ([f"cells in common with {', '.join(others[:3])}"] if others else [])


def write_results(results: Path, name: str, records: list[dict[str, Any]]) -> None:
    """Write grades.csv, distribution.svg and summary.html."""
    results.mkdir(parents=True, exist_ok=True)
    shared = shared_cells(records)
    table = io.StringIO()
    write = csv.writer(table, lineterminator="\n")
    write.writerow(["student", "assignment", "question", "points", "maximum", "flag", "late"])
    for record in records:
        flags = flags_of(record, shared)
        for question, points, most, _ in record.get("grades", []) or [["", None, "", ""]]:
            by_hand = ["to be read"] if points is None and question else []
            write.writerow(
                [
                    record["student"],
                    name,
                    question,
                    "" if points is None else f"{points:g}",
                    f"{most:g}" if most else "",
                    "; ".join(flags + by_hand),
                    record["late"],
                ]
            )
    _replace(results / "grades.csv", table.getvalue())
    graded = [r for r in records if r.get("grades")]
    totals = [sum(p or 0 for _, p, _, _ in r["grades"]) for r in graded]
    most = sum(m for _, _, m, _ in graded[0]["grades"]) if graded else 0
    unread = sum(p is None for r in graded for _, p, _, _ in r["grades"])
    _replace(results / "distribution.svg", distribution(totals, most, unread))
    _replace(results / "summary.html", summary(name, records, shared, totals, most, unread))


def distribution(totals: list[float], most: float, unread: int) -> str:
    """The histogram of the totals, as SVG; the same numbers give the same bytes."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "normcore", "svg.fonttype": "none"}):
        figure = Figure(figsize=(7, 3), layout="constrained")
        axes = figure.subplots()
        bins = round(most) + 1
        axes.hist(totals, bins=bins, range=(-0.5, bins - 0.5), color="#1f5f8b", rwidth=0.85)
        if totals:
            axes.axvline(sum(totals) / len(totals), color="#b5451b", linestyle="--", label="mean")
            axes.legend()
        axes.set(
            xlabel=f"points of {most:g}" + (" (written answers still to be read)" if unread else ""), ylabel="students"
        )
        axes.yaxis.get_major_locator().set_params(integer=True)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def summary(
    name: str,
    records: list[dict[str, Any]],
    shared: dict[str, list[str]],
    totals: list[float],
    most: float,
    unread: int,
) -> str:
    """The page for the instructor: distribution, questions, and whom to look at."""
    questions: dict[str, list[float | None]] = {}
    maxima = {}
    for record in records:
        for question, points, top, _ in record.get("grades", []):
            questions.setdefault(question, []).append(points)
            maxima[question] = top
    ordered = sorted(totals)
    facts = "no submission was graded"
    if ordered:
        middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
        facts = (
            f"{len(ordered)} graded; mean {sum(ordered) / len(ordered):.1f}, median {middle:g}, "
            f"from {ordered[0]:g} to {ordered[-1]:g} of {most:g} points"
        )

    def row(cells: list[str], tag: str = "td") -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"

    question_rows = []
    for question, points in questions.items():
        read = [p for p in points if p is not None]
        question_rows.append(
            row(
                [
                    question,
                    f"{maxima[question]:g}",
                    f"{sum(read) / len(read):.2f}" if read else "–",
                    str(sum(p == 0 for p in read)),
                    str(len(points) - len(read)),
                ]
            )
        )
    serious, minor = [], []
    for record in records:
        for flag in flags_of(record, shared):
            (minor if flag.startswith(MINOR) else serious).append(row([record["student"], flag]))
        if record["late"] == "yes":
            minor.append(row([record["student"], "late"]))
    flag_head, nothing = row(["student", "flag"], "th"), row(["nobody", ""])
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(name)}: summary</title>
<style>body {{ font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse }} td, th {{ border-bottom: 1px solid #ccc; padding: .2rem .8rem; text-align: left }}
img {{ max-width: 100% }}</style></head><body>
<h1>{html.escape(name)}</h1>
<p>{html.escape(facts)}. Written answers still to be read: {unread}.</p>
<img src="distribution.svg" alt="Histogram of the points: {html.escape(facts)}">
<h2>Questions</h2>
<table>{row(["question", "maximum", "mean", "zeros", "to be read"], "th")}{"".join(question_rows)}</table>
<h2>Look at these</h2>
<p>A flag is a reason to open the notebook, not a verdict.</p>
<table>{flag_head}{"".join(serious) or nothing}</table>
<h2>For information</h2>
<table>{flag_head}{"".join(minor) or nothing}</table>
</body></html>
"""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--from", dest="submitted", type=Path, default=GRADING / "submitted")
    parser.add_argument("--due", default="")
    given = parser.parse_args()
    records = grade(given.name, given.submitted, given.jobs, given.due)
    flagged = sum(bool(r["flags"]) for r in records)
    page = os.path.relpath(GRADING / "results" / given.name / "summary.html")
    print(f"{len(records)} students, {flagged} with flags: {page}")
    failed = [r["student"] for r in records if "error" in r]
    if failed:
        sys.exit(f"grade: not graded: {', '.join(failed)}\n{next(r['error'] for r in records if 'error' in r)}")


if __name__ == "__main__":
    main()
