"""What is installed: every version pinned with its hashes, a reader's environment small, an unfit Python refused."""

import ast
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ["requirements.txt", "requirements-dev.txt", "lite/requirements.txt", "grading/jupyterhub/requirements.txt"]
HASHES = r"((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)"
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)(?: ; ([^\\]*\S))? \\\n" + HASHES, re.M)


def pins(file):
    """{(name, marker): version}"""
    return {(name, marker): version for name, version, marker, _ in PIN.findall((ROOT / file).read_text("utf8"))}


@pytest.mark.parametrize("file", FILES)
def test_every_line_is_a_pin_with_hashes(file):
    text = (ROOT / file).read_text("utf8")
    rest = [line for line in PIN.sub("", text).splitlines() if line and not line.startswith("#")]
    assert pins(file) and not rest
    assert not {name for name, _ in pins(file)} & {"torch", "triton", "normcore"}  # these have no one hash


def test_the_files_agree():
    reader, dev, lite, hub = map(pins, FILES)
    assert reader.items() <= dev.items()
    shared = {name for name, _ in reader} & {name for name, _ in lite}
    version = {name: found for (name, _), found in reader.items()}
    assert {name: found for (name, _), found in lite.items() if name in shared}.items() <= version.items()
    beside = {name for name, _ in dev} & {name for name, _ in hub}  # `make hub` installs into the same environment
    version = {name: found for (name, _), found in dev.items()}
    assert {name: found for (name, _), found in hub.items() if name in beside}.items() <= version.items()


def test_a_reader_gets_no_tools_of_the_maintainers():
    extra = {name for name, _ in pins("requirements-dev.txt")} - {name for name, _ in pins("requirements.txt")}
    assert {"playwright", "mypy", "nbgrader", "onnx", "pytest", "ruff", "hypothesis", "uv", "pypdf"} <= extra


def imported(folder):
    """{top module: one file that imports it}, without what Python or this repository has."""
    found = {}
    own = {"normcore", "normbook", "normext", "grading", "tests"}
    for one in (folder, "tools", "book/_static"):  # what the tests load by its path
        own |= {f.stem for f in (ROOT / one).rglob("*.py")}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            found |= {name.split(".")[0]: path for name in names}
    return {name: path for name, path in found.items() if name not in sys.stdlib_module_names | own}


@pytest.mark.parametrize(
    ("folder", "file"),
    [
        *[(folder, "requirements.txt") for folder in ("normcore", "normbook", "book/normext")],
        *[(folder, "requirements-dev.txt") for folder in ("grading", "tools", "tests", "benchmarks")],
    ],
)
def test_whatever_is_imported_has_a_pin(folder, file):
    elsewhere = {"torch", "pyodide_lock", "jupyterlite_pyodide_kernel"}  # requirements-torch.txt, lite/requirements.txt
    elsewhere |= {"dask", "distributed"} if folder == "normbook" else set()  # the extra normcore[cluster]
    known, pinned = packages_distributions(), {name for name, _ in pins(file)}
    without = {
        name: str(path.relative_to(ROOT))
        for name, path in imported(folder).items()
        if not {one.lower().replace("_", "-").replace(".", "-") for one in known.get(name, [name])} & pinned
    }
    assert without.keys() <= elsewhere, without


def test_windows_and_macos_are_locked_too():
    found = {name: marker for name, marker in pins("requirements.txt")}
    assert "win32" in found["colorama"] or "Windows" in found["colorama"]
    assert "darwin" in found["appnope"]


@pytest.mark.skipif(os.name == "nt", reason="make is not on Windows")
@pytest.mark.parametrize("version", [(3, 10, 13), (3, 11, 4), (3, 11, 5), (3, 13, 9), (3, 14, 0)])
def test_make_says_which_python_it_needs(tmp_path, version):
    """With a Python that says it is another one, and that goes no further than the check."""
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] || {{ echo went on; exit 7; }}\n'
        f'exec {sys.executable} -c "import sys; sys.version_info = {(*version, "final", 0)}; exec(sys.argv[1])" "$2"\n'
    )
    python.chmod(0o755)
    make = ["make", "env", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}"]
    done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True)
    said = f"The book needs Python 3.11.5 to 3.13, and this is {'.'.join(map(str, version))}."
    fits = (3, 11, 5) <= version < (3, 14)
    assert done.returncode and ("went on" in done.stdout) is fits and (said in done.stderr) is not fits, done
    assert not (tmp_path / "venv").exists()
