"""The autograder for Gradescope and the repository for GitHub Classroom, run as far as one machine goes."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml

from grading import classroom, gradescope
from grading.course import GRADING, SOURCES
from grading.records import Flag, Mark
from grading.source import hidden_lines, read, student_version
from tests.grading import submissions as class_

NAME = class_.NAME
VERSIONS = "numpy==2.0.0\nipython==9.1.0\n"


# -- Gradescope --------------------------------------------------------------------------------------------------------


def unpack(base):
    """What Gradescope does with the zip, in a folder that anybody may enter."""
    gradescope.pack(class_.SOURCE, VERSIONS, base / "autograder.zip")
    with zipfile.ZipFile(base / "autograder.zip") as archive:
        archive.extractall(base / "source")
        modes = {info.filename: info.external_attr >> 16 & 0o777 for info in archive.infolist()}
    (base / "submission").mkdir()
    return modes


@pytest.fixture
def autograder():
    with tempfile.TemporaryDirectory(prefix="nca-") as folder:
        base = Path(folder)
        base.chmod(0o755)
        yield base, unpack(base)


def run(base, notebook, file=f"{NAME}.ipynb", path=None, python=sys.executable):
    """Hand in, run run_autograder, return results.json."""
    data = notebook if isinstance(notebook, bytes) else nbformat.writes(notebook).encode()
    (base / "submission" / file).write_bytes(data)
    environment = {"PATH": path or os.environ["PATH"], "CELL_SECONDS": "10", "HOME": str(base)}
    command = ["bash", str(base / "source" / "run_autograder"), str(base), python]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads((base / "results" / "results.json").read_text())


def test_the_zip_has_what_gradescope_asks_for(autograder):
    base, modes = autograder
    assert modes["setup.sh"] == modes["run_autograder"] == 0o755
    assert (base / "source" / "requirements.txt").read_text().splitlines()[0] == "ipython==9.1.0"
    assert "torch" not in (base / "source" / "requirements.txt").read_text()
    for script in ("setup.sh", "run_autograder"):
        subprocess.run(["bash", "-n", str(base / "source" / script)], check=True)
    # it brings its own part of the grader, and no more of it than it imports
    code = "import sys, grading.gradescope; print(*sorted(m for m in sys.modules if m.startswith('grading')))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=base / "source", capture_output=True, text=True, check=True, env={"PATH": ""}
    )
    brought = {p.stem for p in (base / "source" / "grading").glob("*.py")} - {"__init__", "forge"}
    assert brought == {m.split(".")[1] for m in done.stdout.split() if "." in m} - {"sandbox", "forge"}


@pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is not installed")
def test_gradescope_gets_the_points_of_the_grader(autograder):
    base, _ = autograder
    notebook = class_.solved()
    class_.SUBMISSIONS["unbiased"][0](notebook)
    results = run(base, notebook)
    tests = {test["name"]: test for test in results["tests"]}
    assert results["score"] == class_.SUBMISSIONS["unbiased"][1] and results["stdout_visibility"] == "hidden"
    assert sum(test["max_score"] for test in results["tests"]) == class_.FULL
    assert results["output"] == "one-image: read by a human, not in these points."
    assert (tests["moments-check"]["status"], tests["moments-check"]["max_score"]) == ("failed", 2)
    assert "the variances are 8.75 and 5" in tests["moments-hidden"]["output"]
    assert "For instructors" not in tests
    hidden = hidden_lines(read(class_.SOURCE))
    assert not [line for line in hidden if line in json.dumps(results)]


@pytest.mark.parametrize(("data", "file"), [(b"x", "essay.txt"), (b"", f"{NAME}.ipynb"), (b"{}", f"a/{NAME}.IPYNB")])
def test_a_file_that_is_no_notebook_is_told_to_the_instructor_alone(tmp_path, data, file):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_bytes(data)
    released = student_version(read(class_.SOURCE))
    chosen, flags = gradescope.submitted(tmp_path, NAME, nbformat.writes(released))
    marks = (Mark("moments-check", 0, 2), Mark("one-image", 0, 3))
    results = gradescope.results(marks, nbformat.writes(released), [*flags, Flag("unreadable", "x")], {"one-image"})
    assert chosen in (None, data) and results["score"] == 0
    assert [(test["name"], test["visibility"]) for test in results["tests"]] == [
        ("moments-check", "visible"),
        ("For instructors", "hidden"),
    ]
    assert ("no notebook: essay.txt" in results["tests"][-1]["output"]) == (file == "essay.txt")


LOOKS = """
import glob, os
for path in ({source!r}, {results!r}):
    try: print("READ", open(path).read()[:20])
    except OSError as error: print("CLOSED", type(error).__name__)
try: open({results!r}, "w").write("{{}}")
except OSError: print("NOT WRITTEN")
print("USER", os.getuid() != 0)
"""


def anybodys_python(base):
    """A Python that any user of the machine can start, with the packages of this one; nothing if there is none."""
    homes = [Path(sys.base_prefix), *Path(sys.base_prefix).parents]
    if all(home.stat().st_mode & 0o5 == 0o5 for home in homes):
        return sys.executable
    other = f"/usr/bin/python3.{sys.version_info[1]}"
    if not os.path.exists(other):
        return ""
    subprocess.run([other, "-m", "venv", "--without-pip", str(base / "python")], check=True)
    packages = next((base / "python" / "lib").glob("*/site-packages"))
    (packages / "project.pth").write_text(sysconfig.get_path("purelib"))
    return str(base / "python" / "bin" / "python")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give the student's process a user of its own")
def test_without_bubblewrap_sources_and_results_are_closed_to_the_student(autograder):
    base, _ = autograder
    if not (python := anybodys_python(base)):
        pytest.skip("this Python lies where only root can read it")
    tools = base / "tools"
    tools.mkdir()
    for tool in ("bash", "mkdir", "chmod", "dirname", "sh"):
        (tools / tool).symlink_to(shutil.which(tool))
    notebook = class_.solved()
    looks = LOOKS.format(
        source=str(base / "source" / "sources" / f"{NAME}.md"), results=str(base / "results" / "results.json")
    )
    # what it sees decides about an answer, as nothing that it prints comes back
    code = f"import contextlib, io\nseen = io.StringIO()\nwith contextlib.redirect_stdout(seen):\n    exec({looks!r})\n"
    closed = "CLOSED PermissionError CLOSED PermissionError NOT WRITTEN USER True"
    code += f"assert seen.getvalue().split() == {closed.split()}\n"
    class_.find(notebook, "moments").source = code + class_.find(notebook, "moments").source
    (base / "results").mkdir()
    (base / "results" / "results.json").write_text("{}")  # so that there are results to read
    results = run(base, notebook, path=str(tools), python=python)
    assert results["score"] == class_.FULL, results
    assert results["tests"][-1]["name"] == "one-image" or "For instructors" not in str(results)


# -- GitHub Classroom --------------------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path):
    for path, text in classroom.files(class_.SOURCE, VERSIONS).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def commands(repository):
    """{check: (its command, its points)} of the workflow, and its last step."""
    tree = yaml.safe_load((repository / ".github" / "workflows" / "classroom.yml").read_text())
    steps = tree["jobs"]["run-autograding-tests"]["steps"]
    graded = {s["id"]: (s["with"]["command"], s["with"]["max-score"]) for s in steps if "command" in s.get("with", {})}
    return graded, steps[-1]


def outcomes(repository, *names):
    """Which checks succeed, each run by the workflow's own command."""
    found = {}
    for name, (command, _) in commands(repository)[0].items():
        if names and name not in names:
            continue
        line = command.replace("python ", f"{sys.executable} ", 1)
        environment = {"PATH": os.environ["PATH"], "HOME": str(repository), "IPYTHONDIR": str(repository)}
        done = subprocess.run(line, shell=True, cwd=repository, env=environment, capture_output=True, check=False)
        found[name] = done.returncode == 0
    return found


def test_the_workflow_runs_each_visible_check(repository):
    graded, last = commands(repository)
    assert {name: points for name, (_, points) in graded.items()} == {
        "moments-check": 2, "batch-norm-check": 2, "instance-norm-check": 2
    }  # fmt: skip
    assert last["with"]["runners"].split(",") == list(graded)
    assert last["env"]["BATCH-NORM-CHECK_RESULTS"] == "${{steps.batch-norm-check.outputs.result}}"
    notebook = class_.solved()
    class_.find(notebook, "batch-norm").source = "def batch_norm(x, gamma, beta, eps=1e-5):\n    return x"
    nbformat.write(notebook, repository / f"{NAME}.ipynb")
    assert outcomes(repository) == {"moments-check": True, "batch-norm-check": False, "instance-norm-check": True}
    del notebook.cells[class_.index(notebook, "moments-check")]
    nbformat.write(notebook, repository / f"{NAME}.ipynb")
    assert outcomes(repository, "moments-check") == {"moments-check": False}


@pytest.mark.parametrize("source", sorted(SOURCES.glob("*.md")), ids=lambda path: path.stem)
def test_no_secret_is_in_the_repository(source, tmp_path):
    hidden = hidden_lines(read(source))
    files = classroom.files(source, VERSIONS)
    assert hidden and not [(path, line) for path, text in files.items() for line in hidden if line in text]
    assert ("torch" in files["requirements.txt"]) == (source.stem == "small-batches")
    assert yaml.safe_load(files[".github/workflows/classroom.yml"])["jobs"]
    classroom.pack(source, VERSIONS, tmp_path / "repository.zip")
    with zipfile.ZipFile(tmp_path / "repository.zip") as archive:
        assert set(archive.namelist()) == set(files)


def test_the_modules_that_are_brought_are_there():
    assert all((GRADING / f"{name}.py").exists() for name in gradescope.MODULES.split())
