"""Every attack in one class with honest students: as root, where tests run as root, and as an ordinary user."""

import csv
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import nbformat
import psutil
import pytest

from grading.course import GRADING, SOURCES
from grading.source import hidden_lines, read
from tests.grading import submissions as class_
from tests.grading.attacks import ATTACKS

pytestmark = pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is not installed: no sandbox to test")

# The ordinary user's class meets a third of the attacks, mixed, in `make test`; all of them in `make whole-test`.
LOOKED_AT = (
    "keeps-the-hidden-inputs-and-prints-them", "searches-its-memory", "looks-into-other-processes",
    "looks-for-other-ways-out", "asks-the-kernel-for-more", "writes-html-in-an-answer", "shows-html",
    "hides-addresses-in-links",
)  # fmt: skip
MIXED = sorted(ATTACKS, key=lambda name: (name not in LOOKED_AT, zlib.crc32(name.encode())))
A_THIRD = len(MIXED) // 3
HONEST = ("honest", "unbiased", "untouched", "raises-after-the-answer", "metadata-stripped", "answer-missing")
MEMORY = 1_000_000_000 + os.getpid()  # its digits tell the processes of this test from any others
ORDINARY = ("--tmpfs", "/sys/fs/cgroup", "--unshare-user", "--uid", "1000", "--gid", "1000")
GRADE = """
import sys
from pathlib import Path
from grading.course import SOURCES, Course
from grading.grade import grade
base = Path(sys.argv[1])
grade(Course(base / "root", base / "results", SOURCES), "forward-pass", base / "submitted", 2)
# not from getrusage: that figure survives exec, so it would be the size of the tests themselves
print("PEAK", int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) // 1024)
"""


def write_class(folder, canary, attacks):
    """Honest students, and those who attack."""
    hostile = {k: ATTACKS[k] for k in attacks}
    for student, (change, _, *_) in ({k: class_.SUBMISSIONS[k] for k in HONEST} | hostile).items():
        notebook = class_.solved()
        notebook = change(notebook) or notebook
        for cell in notebook.cells:
            if "CANARY" in cell.source:
                cell.source = f"CANARY = {str(canary)!r}\n{cell.source}"
        target = folder / student / class_.NAME
        target.mkdir(parents=True)
        (target / f"{class_.NAME}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")


# each class is graded in one process of pytest, which all that look at it then share
@pytest.fixture(scope="module", params=["own", "ordinary"])
def graded(request):
    """The graded class: its folder, {student: rows of the table}, what the grader said."""
    if request.param == "ordinary" and os.geteuid() != 0:
        pytest.skip("the tests already run as an ordinary user")
    with tempfile.TemporaryDirectory(prefix="nca-") as name:
        base = Path(name)
        base.chmod(0o755)
        (base / "tmp").mkdir()
        canary = base / "canary"
        canary.write_text("alive")
        whole = request.param == "own" or os.environ.get("WHOLE")
        write_class(base / "submitted", canary, MIXED if whole else MIXED[:A_THIRD])
        limits = {"CELL_SECONDS": "6", "LIMIT_MEMORY": str(MEMORY)}
        own = {"SECRET_TOKEN": "CANARY", "TMPDIR": str(base / "tmp"), "PYTHONPATH": str(GRADING.parent), "HOME": name}
        environment = {k: v for k, v in os.environ.items() if k != "UNSANDBOXED"} | own | limits
        command = [sys.executable, "-c", GRADE, name]
        if request.param == "ordinary":  # no rights but those over its own files, and no control groups
            command = ["bwrap", "--dev-bind", "/", "/", *ORDINARY, *command]
        run = subprocess.run(command, cwd=base, env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
        rows = {}
        with open(base / "results" / class_.NAME / "grades.csv", newline="") as file:
            for row in csv.DictReader(file):
                rows.setdefault(row["student"], []).append(row)
        yield base, rows, run.stdout


def total(rows):
    return sum(float(row["points"] or 0) for row in rows)


def test_honest_grades_do_not_move(graded):
    _, rows, _ = graded
    assert {s: total(rows[s]) for s in HONEST} == {s: class_.SUBMISSIONS[s][1] for s in HONEST}


@pytest.mark.sample(len(MIXED) + A_THIRD)  # the user's own class comes first
@pytest.mark.parametrize("student", MIXED)
def test_an_attack_gains_nothing(graded, student):
    _, rows, _ = graded
    assert len(rows[student]) == 7
    assert total(rows[student]) <= ATTACKS[student][1]


def test_the_run_says_what_is_not_limited(graded, request):
    _, _, said = graded
    user = request.node.callspec.params["graded"]
    assert ("Not limited here: no control group can be had" in said) or user == "own"
    assert f"sandbox: {'nobody' if os.geteuid() == 0 and user == 'own' else 'bwrap'}" in said


def test_the_machine_is_as_it_was(graded):
    base, _, _ = graded
    assert (base / "canary").read_text() == "alive"
    assert sorted(p.name for p in base.iterdir() if p.name[0] != ".") == [
        "canary",
        "results",
        "root",
        "submitted",
        "tmp",
    ]
    assert list((base / "tmp").iterdir()) == []
    assert [p for p in base.rglob("*") if p.is_symlink() or not (p.is_file() or p.is_dir())] == []
    words = ("grading.forge", "bwrap", "serve(")
    mine = [p for p in psutil.process_iter(["environ", "cmdline"]) if str(base) in str(p.info["environ"])]
    assert [p for p in mine if any(word in str(p.info["cmdline"]) for word in words)] == []
    assert [p for p in psutil.process_iter(["cmdline"]) if f"'memory': {MEMORY}" in str(p.info["cmdline"])] == []


def test_no_hidden_text_reaches_a_student(graded):
    base, _, _ = graded
    secret = hidden_lines(read(class_.SOURCE))
    for page in (base / "results" / class_.NAME / "feedback").glob("*.html"):
        plain = html.unescape(re.sub(r"<[^>]*>", "", page.read_text()))
        solved = "".join(c.source for c in class_.solved().cells)
        assert [line for line in secret if line in plain and line not in solved] == [], page.stem


def shown(base, student):
    """What the student's own cells printed."""
    notebook = nbformat.read(base / "root" / "autograded" / student / class_.NAME / f"{class_.NAME}.ipynb", 4)
    return "".join(str(o.get("text", "")) for c in notebook.cells for o in c.get("outputs", []))


def test_secrets_stay_outside(graded):
    base, _, _ = graded
    assert "SEEN [] 1" in shown(base, "keeps-the-hidden-inputs-and-prints-them")
    assert "HITS 0" in shown(base, "searches-its-memory")
    assert "PROC False False" in shown(base, "looks-into-other-processes")
    assert "WAYS []" in shown(base, "looks-for-other-ways-out")
    refused = "REFUSED ['clone', 'memfd', 'mount', 'ptrace', 'root', 'shm', 'user']"
    assert refused in shown(base, "asks-the-kernel-for-more")


DANGER = (
    r"<(script|iframe|form|base|object|embed|link|svg)\b|<meta http-equiv=.?refresh|\son\w+\s*=|javascript:"
    r"|src=.?https?:|style=.?position"
)


def test_what_is_opened_is_harmless(graded):
    """Feedback, summary, and what the Formgrader makes of an autograded notebook."""
    base, _, said = graded
    from nbconvert import HTMLExporter

    for page in (base / "results" / class_.NAME).rglob("*.html"):
        tags = " ".join(re.findall(r"<[a-zA-Z/!][^>]*>", page.read_text()))
        allowed = tags.replace("http-equiv", "").replace('xmlns="http://www.w3.org/1998/Math/MathML"', "")
        assert re.search(DANGER, allowed, re.IGNORECASE) is None, page.stem
    for student in ("writes-html-in-an-answer", "shows-html", "hides-addresses-in-links"):
        notebook = nbformat.read(base / "root" / "autograded" / student / class_.NAME / f"{class_.NAME}.ipynb", 4)
        hostile = [c for c in notebook.cells if re.search("onerror|alert", c.source) or c.get("outputs")]
        assert hostile
        notebook.cells = hostile
        body, _ = HTMLExporter(template_name="basic", exclude_input=True).from_notebook_node(notebook)
        tags = " ".join(re.findall(r"<[a-zA-Z/!][^>]*>", body))
        assert re.search(DANGER, tags, re.IGNORECASE) is None
        links = [re.sub(r"[\x00-\x20]", "", html.unescape(link)) for link in re.findall(r'href="([^"]*)"', tags)]
        assert [link for link in links if re.match("(?:javascript|vbscript|data|file):", link, re.IGNORECASE)] == []
        assert not re.search(r"\\(csname|bbox|href|style)\b", body)
    assert "\x1b" not in said and "\x07" not in said


def test_memory_of_the_grader_is_bounded(graded):
    _, _, said = graded
    assert int(re.search(r"PEAK (\d+)", said)[1]) < 500


def test_sources_are_still_there(graded):
    assert (SOURCES / f"{class_.NAME}.md").exists()
