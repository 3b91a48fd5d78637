"""One class with an honest student and every broken or hostile submission, graded once in the sandbox."""

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import nbformat
import psutil
import pytest

from grading import gradebook
from grading.course import GRADING, PUBLISHED, SOURCES, Course
from grading.grade import GradeError, grade
from grading.records import Flag
from grading.source import SourceError, hidden_lines, read
from tests.grading import submissions as class_

pytestmark = pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is not installed: no sandbox to test")


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Short limits, so that endless loops end soon; a temporary folder that nobody else uses."""
    tmp_path_factory.getbasetemp()  # pytest's own is made before, elsewhere
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="ncg-") as private:  # short: the kernels' sockets lie in it
        os.environ |= {"CELL_SECONDS": "8", "LIMIT_MEMORY": "2000000000", "TMPDIR": private}
        os.environ.pop("UNSANDBOXED", None)
        tempfile.tempdir = None  # read the environment again
        yield Path(private)
        os.environ.clear()
        os.environ.update(before)
        tempfile.tempdir = None


def grade_class(base):
    """Write the class and grade it; return whether a submission got through to the network."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        class_.write(
            base / "submitted",
            DATABASE=str(base / "root" / "gradebook.db"),
            GRADING=str(GRADING / "grade.py"),
            SOURCE=str(class_.SOURCE),
            PORT=server.getsockname()[1],
        )
        again(base)
        try:
            server.accept()
        except BlockingIOError:
            return False
    return True


NAME = class_.NAME


def course(base, results="results"):
    """A course with all its folders in base."""
    return Course(base / "root", base / results, SOURCES)


def again(base, jobs=2):
    """Grade the class once more."""
    return grade(course(base), class_.NAME, base / "submitted", jobs)


def table_of(base):
    """The rows of grades.csv."""
    with open(base / "results" / class_.NAME / "grades.csv", newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def graded(once, settings):
    """The graded class: its folder, the records by student, the table and whether it reached the network."""
    base, called = once("graded-class", grade_class)
    records = [json.loads(p.read_text()) for p in (base / "root" / "records" / class_.NAME).glob("*.json")]
    return base, {r["student"]: r for r in records}, table_of(base), called


@pytest.fixture
def copy(graded, tmp_path):
    """A copy of the graded class that a test may change."""
    return shutil.copytree(graded[0], tmp_path / "class")


@pytest.mark.parametrize("student", class_.SUBMISSIONS)
def test_each_submission_gets_its_grade_and_flag(graded, student):
    _, records, table, _ = graded
    _, points, flag = class_.SUBMISSIONS[student]
    rows = [row for row in table if row["student"] == student]
    assert len(rows) == 7
    assert sum(float(row["points"] or 0) for row in rows) == points, records[student]
    assert sum(float(row["maximum"]) for row in rows) == class_.FULL + 3
    flags = rows[0]["flag"]
    assert re.search(flag, flags) if flag else flags == ""


def test_a_written_answer_waits_for_a_reader(graded):
    _, _, table, _ = graded
    rows = {row["student"]: row for row in table if row["question"] == "one-image"}
    assert (rows["honest"]["points"], rows["honest"]["flag"]) == ("", "to be read")
    assert rows["untouched"]["points"] == "0"


READ = {  # what waits for a reader although a test graded it or the cell was left as it was
    "imports-what-is-not-there": {"instance-norm-check", "instance-norm-hidden", "one-image"},
    "opens-its-own-file": {"instance-norm-check", "instance-norm-hidden", "one-image"},
    "written-below-the-stub": {"one-image"},
    "written-as-a-comment": {"one-image"},
    "function-below-the-check": {"moments-check", "one-image"},
    "picture-pasted": {"one-image"},
    "honest": {"one-image"},
    "untouched": set(),
}


@pytest.mark.parametrize("student", READ)
def test_what_a_human_must_look_at_waits_for_one(graded, student):
    _, _, table, _ = graded
    rows = [row for row in table if row["student"] == student]
    assert {row["question"] for row in rows if row["points"] == ""} == READ[student]
    assert all(("to be read" in row["flag"]) == (row["points"] == "") for row in rows)


def test_a_pasted_picture_is_in_the_feedback_and_in_the_formgraders_copy(graded):
    page = (graded[0] / "results" / class_.NAME / "feedback" / "picture-pasted.html").read_text()
    assert f'src="data:image/png;base64,{class_.PIXEL}"' in page and "svg+xml" not in page
    copy = graded[0] / "root" / "autograded" / "picture-pasted" / class_.NAME / f"{class_.NAME}.ipynb"
    cell = next(c for c in nbformat.read(copy, 4).cells if c.get("attachments"))
    assert cell.attachments == {"my scan.png": {"image/png": class_.PIXEL}}


def outputs(base, student):
    """Everything that the student's own cells printed while they were graded."""
    notebook = nbformat.read(base / "root" / "autograded" / student / class_.NAME / f"{class_.NAME}.ipynb", 4)
    return "".join(str(o.get("text", "")) for c in notebook.cells for o in c.get("outputs", []))


def test_the_sandbox_shows_no_file_worth_reading(graded):
    assert "FOUND [] [] False False False" in outputs(graded[0], "searches-the-disk")


def test_the_sandbox_has_no_network(graded):
    base, _, _, called = graded
    printed = outputs(base, "opens-the-network")
    assert not called
    assert "CONNECTED" not in printed and printed.count("NO ") == 2


def test_the_database_holds_only_what_the_grader_wrote(graded):
    base = graded[0]
    assert "WROTE" not in outputs(base, "writes-the-database")
    with sqlite3.connect(base / "root" / "gradebook.db") as database:
        assert database.execute("SELECT max(auto_score), max(manual_score) FROM grade").fetchone() == (4, None)
    database.close()


def test_nothing_keeps_running_and_nothing_is_left_in_the_temporary_folder(graded, settings):
    mine = [
        p
        for p in psutil.Process().children(recursive=True)
        if any(word in " ".join(p.cmdline()) for word in ("bwrap", "grading.forge"))
    ]
    assert mine == []
    assert list(settings.iterdir()) == []


def test_feedback_opens_offline_and_hides_hidden_tests(graded):
    base = graded[0]
    secret = hidden_lines(read(class_.SOURCE))
    pages = list((base / "results" / class_.NAME / "feedback").glob("*.html"))
    assert {p.stem for p in pages} == set(class_.SUBMISSIONS)
    for page in pages:
        text = page.read_text()
        assert "default-src 'none'" in text.split("</head>")[0]
        assert "<script" not in text.lower() and "<link" not in text.lower()
        assert not re.findall(r"""(?:src|srcset|@import|url\()\s*=?\s*["']?(?:https?:)?//""", text)
        plain = re.sub(r"<[^>]*>", "", text)
        own = class_.solved()
        hidden = secret - {line.strip() for c in own.cells for line in c.source.splitlines()}
        messages = " ".join(re.findall(r"AssertionError: [^\n]*", plain))
        assert [line for line in hidden if line in plain and line not in messages] == [], page.stem
    wrong = (base / "results" / class_.NAME / "feedback" / "unbiased.html").read_text()
    assert "over the axes (0, 2, 3) the variances are 8.75 and 5" in wrong
    assert '<math display="block">' in wrong and "<mi>γ</mi>" in wrong


def test_summary_names_those_to_look_at_and_shows_the_distribution(graded):
    folder = graded[0] / "results" / class_.NAME
    page = (folder / "summary.html").read_text()
    look = page.split("Look at these")[1].split("For information")[0]
    assert "<td>exits</td>" in look and "<td>honest</td>" not in look
    assert "<td>renamed</td>" in page.split("For information")[1]
    assert f"{len(class_.SUBMISSIONS)} graded; mean" in page
    assert (folder / "distribution.svg").read_text().count("<path") > 20


def contents(folder):
    """{file: its bytes} of a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_second_run_changes_nothing_and_a_lost_record_is_made_again(copy, capsys):
    before = contents(copy / "results")
    written = {p: p.stat().st_mtime_ns for p in (copy / "results").rglob("feedback/*.html")}
    again(copy)
    number = len(class_.SUBMISSIONS)
    assert f"{number} submissions, {number} already graded" in capsys.readouterr().out
    assert contents(copy / "results") == before
    assert {p: p.stat().st_mtime_ns for p in written} == written
    # what an interruption leaves: a submission without its record
    (copy / "root" / "records" / class_.NAME / "unbiased.json").unlink()
    again(copy, 1)
    assert f"{number} submissions, {number - 1} already graded" in capsys.readouterr().out
    name = f"{class_.NAME}/grades.csv"
    assert contents(copy / "results")[name] == before[name]


CALM = (  # without the time limits
    "honest",
    "unbiased",
    "untouched",
    "all-wrong",
    "raises-after-the-answer",
    "answer-missing",
    "test-deleted",
    "metadata-stripped",
)


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_ctrl_c_loses_no_grade_and_the_same_command_goes_on(graded, tmp_path):
    """As in a terminal: the signal goes to make, the grader, its workers and their kernels at once."""
    base, _, table, _ = graded
    clone = tmp_path / "course"  # a clone with results of its own
    shutil.copytree(
        GRADING, clone / "grading", ignore=shutil.ignore_patterns("_build", "__pycache__", "results", "submitted")
    )
    shutil.copy(GRADING.parent / "Makefile", clone)
    submitted, root = clone / "grading" / "submitted", clone / "grading" / "_build"
    for student in CALM:
        shutil.copytree(base / "submitted" / student, submitted / student)
    scratch = tempfile.mkdtemp(prefix="ncc-")  # short: the kernels' sockets lie in it, and their paths must not be long
    environment = {k: v for k, v in os.environ.items() if k not in ("NORMCORE_GRADING", "SOURCES", "MAKEFLAGS")}
    command = [
        "make", "-o", f"{sys.prefix}/installed-dev", f"VENV={sys.prefix}", "grade", f"A={class_.NAME}", "JOBS=2",
    ]  # fmt: skip

    def start():
        return subprocess.Popen(
            command,
            cwd=clone,
            env=environment | {"TMPDIR": scratch, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # what runs in the background ignores it
        )

    def alive():
        """What runs for this course: its own programs, and kernels, whose command line has the scratch folder."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if scratch in " ".join([*process.cmdline(), process.environ().get("TMPDIR", "")]):
                    found.append(process)
        return found

    with start() as run:
        said = []
        for line in run.stdout:
            said.append(line)
            if line.startswith(f"[3/{len(CALM)}]"):
                os.killpg(run.pid, signal.SIGINT)
        assert run.wait(timeout=60) != 0
    assert "the same command goes on where it stopped" in "".join(said)
    assert "Traceback" not in "".join(said)
    psutil.wait_procs(alive(), timeout=10)
    assert alive() == []
    assert os.listdir(scratch) == []
    assert not list(clone.rglob("*.part")) + list(clone.rglob("*-journal"))
    records = {p.stem: p.stat().st_mtime_ns for p in (root / "records" / class_.NAME).glob("*.json")}
    assert 3 <= len(records) < len(CALM)
    made = [clone / "grading" / "results" / class_.NAME / "feedback" / f"{student}.html" for student in records]
    made += [root / "autograded" / student / class_.NAME / f"{class_.NAME}.ipynb" for student in records]
    before = {p: p.stat().st_mtime_ns for p in made}

    with start() as run:
        text, _ = run.communicate(timeout=600)
    assert run.returncode == 0, text
    assert f"{len(CALM)} submissions, {len(records)} already graded" in text
    assert {p: p.stat().st_mtime_ns for p in before} == before
    with open(clone / "grading" / "results" / class_.NAME / "grades.csv", newline="", encoding="utf-8-sig") as file:
        assert list(csv.DictReader(file)) == [row for row in table if row["student"] in CALM]
    assert alive() == []
    os.rmdir(scratch)


def test_a_grade_given_by_hand_survives_and_reaches_table_and_feedback(copy):
    question = ("one-image", class_.NAME, class_.NAME, "owner")
    with course(copy).gradebook() as book:
        mark = book.find_grade(*question)
        mark.manual_score, mark.needs_manual_grade = 2.5, False
        book.find_comment(*question).manual_comment = "Say why."
        book.db.commit()
    (copy / "root" / "records" / class_.NAME / "owner.json").unlink()  # and it is graded again
    again(copy, 1)
    with course(copy).gradebook() as book:  # graded again, nbgrader asks for a second look
        mark = book.find_grade(*question)
        assert mark.manual_score == 2.5
        mark.needs_manual_grade = False
        book.db.commit()
    again(copy, 1)
    rows = [r for r in table_of(copy) if (r["student"], r["question"]) == ("owner", "one-image")]
    assert [r["points"] for r in rows] == ["2.5"]
    assert "Say why." in (copy / "results" / class_.NAME / "feedback" / "owner.html").read_text()


def test_points_by_hand_wait_when_the_answer_changes(copy):
    """They stay in the gradebook, and count again when somebody has saved them, or others, in the Formgrader."""
    question = ("one-image", NAME, NAME, "owner")
    test = ("moments-check", NAME, NAME, "owner")

    def by_hand(which, points):
        with course(copy).gradebook() as book:
            mark = book.find_grade(*which)
            mark.manual_score, mark.needs_manual_grade = points, False  # as the Formgrader does
            book.db.commit()

    def resubmit(change):
        path = copy / "submitted" / "owner" / NAME / f"{NAME}.ipynb"
        notebook = nbformat.read(path, 4)
        change(notebook)
        nbformat.write(notebook, path)
        again(copy, 1)
        rows = {r["question"]: r for r in table_of(copy) if r["student"] == "owner"}
        return rows["one-image"]["points"], rows["moments-check"]["points"], rows["one-image"]["flag"]

    by_hand(question, 3)
    by_hand(test, 1.5)
    note = nbformat.v4.new_markdown_cell("A note.")
    assert resubmit(lambda n: n.cells.insert(1, note))[:2] == ("3", "1.5")  # no answer changed

    def gives_up(notebook):
        class_.find(notebook, "one-image").source = "I do not know."

    written, by_test, flag = resubmit(gives_up)
    assert (written, by_test) == ("", "1.5")
    assert "changed since it was read: one-image (3 points then)" in flag and flag.endswith("to be read")
    again(copy, 1)  # nothing changes by itself
    assert resubmit(lambda n: None)[0] == ""
    with course(copy).gradebook() as book:
        assert book.find_grade(*question).manual_score == 3
    by_hand(question, 0.5)
    written, _, flag = resubmit(lambda n: None)
    assert written == "0.5" and "changed" not in flag
    assert resubmit(class_.wrong)[:2] == ("0.5", "")  # the code that the other points were given for

    def below(notebook):
        notebook.cells.insert(class_.index(notebook, "one-image") + 1, nbformat.v4.new_markdown_cell("Or rather so."))

    assert resubmit(below)[0] == ""


def test_an_export_is_graded_by_id(tmp_path, settings, capsys):
    """Moodle's, Canvas's, nbgrader's and plain names in one zip; lateness by what the system says, not by the zip."""
    good = nbformat.writes(class_.solved()).encode()
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:

        def put(name, data, when=(2026, 11, 20, 12, 0, 0)):
            archive.writestr(zipfile.ZipInfo(name, when), data)

        put("Li Wei_201_assignsubmission_file_/forward-pass.ipynb", good, (2026, 12, 24, 1, 0, 0))
        put("Li Wei_202_assignsubmission_file_/forward-pass.ipynb", nbformat.writes(class_.untouched(None)).encode())
        put("=cmd()_203_assignsubmission_file_/forward-pass.ipynb", good)
        put("boolegeorge_LATE_881_99021_forward-pass-2.ipynb", good)
        put("noetheremmy_882_99022_forward-pass.ipynb", good, (2026, 12, 24, 1, 0, 0))
        put("emmy/forward-pass/forward-pass.ipynb", good, (2026, 12, 2, 0, 1, 0))
        put("emmy/forward-pass/timestamp.txt", "2026-11-30 22:00:00 UTC")
        put("../../../evil/forward-pass.ipynb", b"", (2026, 12, 2, 0, 1, 0))
        put("gauss/essay.pdf", b"%PDF")
        put("syllabus.pdf", b"%PDF")
        put("__MACOSX/emmy/._forward.ipynb", b"x")
    records = grade(course(tmp_path), NAME, path, 2, due="2026-12-01")
    rows = {r.student: (r.points, r.late) for r in records}
    assert rows == {
        "201": (17, ""),
        "202": (0, ""),
        "203": (17, ""),
        "881": (17, "yes"),
        "882": (17, "no"),
        "emmy": (17, "no"),
        "evil": (0, ""),
    }
    assert not list(tmp_path.parent.glob("evil*"))
    said = capsys.readouterr().out
    assert "export.zip: files 2 not understood: syllabus.pdf, gauss/essay.pdf" in said
    assert "Due: 2026-12-01 23:59:59" in said
    table = (tmp_path / "results" / NAME / "grades.csv").read_bytes()
    assert table.startswith("\N{BYTE ORDER MARK}id,name,student,".encode())
    lines = {row["student"]: row for row in table_of(tmp_path)[::-1]}
    assert [lines[k]["name"] for k in ("201", "202", "203")] == ["Li Wei", "Li Wei", "'=cmd()"]
    assert (lines["201"]["total"], lines["202"]["total"], lines["emmy"]["id"]) == ("17", "0", "emmy")
    assert "same name: as 202" in lines["201"]["flag"]
    assert lines["evil"]["flag"] == "not named as the others: evil; unreadable: the file is empty"
    # the next export has other people in it: nobody of the first one is in its table
    with zipfile.ZipFile(tmp_path / "next.zip", "w") as archive:
        archive.writestr("Li Wei_201_assignsubmission_file_/forward-pass.ipynb", good)
    assert [r.student for r in grade(course(tmp_path), NAME, tmp_path / "next.zip", 2)] == ["201"]
    assert {row["student"] for row in table_of(tmp_path)} == {"201"}
    assert "6 graded before and not in this export: 202 (Li Wei)" in capsys.readouterr().out
    page = (tmp_path / "results" / NAME / "summary.html").read_text()
    assert "evil" in page.split("Not in this export")[1] and "1 graded; mean 17.0" in page


@pytest.mark.parametrize("files", [[], ["syllabus.pdf", "a.csv"], ["ada/backward-pass/backward-pass.ipynb"]])
def test_an_export_without_submissions_changes_no_result(tmp_path, files, settings):
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in files:
            archive.writestr(name, b"{}")
    with pytest.raises(GradeError, match=r"no submission in .*(a\.csv|1 files of other assignments|export\.zip$)"):
        grade(course(tmp_path), NAME, path)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("due", ["2026-13-01", "2026-12-01 25:00", "tomorrow", "2026-12-01 18:00 Nowhere/Land"])
def test_a_wrong_deadline_gives_a_sentence(tmp_path, due, settings):
    (tmp_path / "submitted" / "ada").mkdir(parents=True)
    with pytest.raises(GradeError, match="DUE is a date such as 2026-12-01"):
        grade(course(tmp_path), NAME, tmp_path / "submitted", due=due)


def test_changed_tests_give_a_sentence_and_regrade_goes_on(tmp_path, settings, capsys):
    """Points given by hand survive; a question that is worth something else, or whose answer changed, is read again."""
    sources = tmp_path / "sources"
    sources.mkdir()
    source = sources / f"{NAME}.md"
    source.write_text(class_.SOURCE.read_text())
    for student in ("ada", "emmy", "eve"):
        target = tmp_path / "submitted" / student / NAME
        target.mkdir(parents=True)
        nbformat.write(class_.solved(), target / f"{NAME}.ipynb")
    here = Course(tmp_path / "root", tmp_path / "results", sources)

    def run(**more):
        return {r.student: r for r in grade(here, NAME, tmp_path / "submitted", 2, **more)}

    run()
    with here.gradebook() as book:
        for student, points in (("ada", 2.5), ("emmy", 1)):
            mark = book.find_grade("one-image", NAME, NAME, student)
            mark.manual_score, mark.needs_manual_grade = points, False
        book.find_comment("one-image", NAME, NAME, "ada").manual_comment = "Say why."
        book.db.commit()
    assert (run()["ada"].points, run()["eve"].points) == (19.5, 17)
    # nothing changed: the gradebook has all of it again
    marks = gradebook.all_marks(here, NAME)
    assert run(anew=True)["ada"].points == 19.5
    assert gradebook.all_marks(here, NAME) == marks and gradebook.cells_of(here, NAME)[1] == 3
    # a lost gradebook is made anew, its answers are to be read; with the copy back, they count
    copy = tmp_path / "root" / "gradebook.before-regrade-1.db"
    (tmp_path / "root" / "gradebook.db").unlink()
    (tmp_path / "root" / f"{NAME}.by-hand.json").unlink()
    assert [record.unread for record in run().values()] == [1, 1, 1]
    copy.replace(tmp_path / "root" / "gradebook.db")
    assert run()["ada"].points == 19.5 and gradebook.all_marks(here, NAME) == marks
    # the points of a test: nobody is accused
    check = ":test: moments-check\n:points: "
    source.write_text(source.read_text().replace(f"{check}2", f"{check}4"))
    records = run()
    assert (records["ada"].points, records["eve"].points) == (21.5, 19)
    assert all("edited" not in str(flag) for record in records.values() for flag in record.all_flags)
    # a test is renamed, and one is added
    text = source.read_text().replace(":test: moments-check", ":test: moments-first")
    added = ":test: one-more\n:points: 1\nassert moments(np.ones((2, 2)), 0)[0].shape == (1, 2)"
    source.write_text(f"{text.rstrip()}\n\n```{{code-cell}} ipython3\n{added}\n```\n")
    odd = r"renamed \(moments-check, moments-first, one-more\) after 3 submissions .*make regrade"
    with pytest.raises(SourceError, match=odd):
        run()
    assert table_of(tmp_path)[0]["total"] == "21.5"
    before = (tmp_path / "root" / "gradebook.db").read_bytes()
    records = run(anew=True)
    assert (records["ada"].points, records["emmy"].points, records["eve"].points) == (22.5, 21, 20)
    assert len(records["ada"].marks) == 8
    assert "Say why." in (tmp_path / "results" / NAME / "feedback" / "ada.html").read_text()
    assert len((tmp_path / "root" / "gradebook.before-regrade-1.db").read_bytes()) == len(before)
    assert {row["flag"] for row in table_of(tmp_path)} == {"", "to be read"}
    page = (tmp_path / "results" / NAME / "summary.html").read_text()
    assert "so nobody is flagged for it: points edited: moments-first; test missing: one-more." in page
    assert run() == records
    # the written answer is worth more now: what was given for it waits
    source.write_text(source.read_text().replace('"one-image", "points": 3', '"one-image", "points": 5'))
    records = run(anew=True)
    assert (records["ada"].points, records["eve"].points) == (20, 20)
    assert Flag("changed since it was read", "one-image (2.5 points then)") in records["ada"].flags


def test_without_bubblewrap_nothing_is_graded(tmp_path):
    (tmp_path / "submitted").mkdir()
    command = [
        sys.executable,
        "-m",
        "grading",
        "grade",
        "forward-pass",
        "--from",
        str(tmp_path / "submitted"),
    ]
    environment = {"PATH": str(tmp_path), "NORMCORE_GRADING": str(tmp_path / "root")}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "bubblewrap (bwrap) is not installed" in run.stderr and "UNSANDBOXED=1" in run.stderr


def test_unsandboxed_grades_only_when_told(tmp_path, settings, monkeypatch, capsys):
    """The same grades, guard and limits, without bubblewrap; the command says what that means."""
    monkeypatch.setenv("UNSANDBOXED", "1")
    folder = tmp_path / "submitted" / "one" / class_.NAME
    folder.mkdir(parents=True)
    nbformat.write(class_.solved(), folder / f"{class_.NAME}.ipynb")
    (record,) = grade(course(tmp_path), class_.NAME, tmp_path / "submitted", 1)
    assert record.points == class_.FULL and record.all_flags == ()
    assert "student code runs with your rights" in capsys.readouterr().out


def test_a_private_set_stays_out_of_the_book(tmp_path):
    private = tmp_path / "private"
    private.mkdir()
    text = class_.SOURCE.read_text().replace("# Forward pass of batch", "# Private forward pass of batch")
    (private / "secret-forward.md").write_text(text)
    environment = os.environ | {"SOURCES": str(private), "NORMCORE_GRADING": str(tmp_path / "root")}
    command = [sys.executable, "-m", "grading", "build"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "secret-forward: 20 points" in run.stdout
    assert [p.name for p in (private / "student").iterdir()] == ["secret-forward.ipynb"]
    assert (tmp_path / "root" / "release" / "secret-forward" / "secret-forward.ipynb").exists()
    assert not (PUBLISHED / "secret-forward.ipynb").exists()
