"""A template repository for GitHub Classroom out of an assignment: the notebook, and a workflow that runs its checks.

Everything in it belongs to the student, who may read and change it: no hidden test is in it, and its points are for
learning. The grade comes from `make grade` over the cloned repositories.
"""

from __future__ import annotations

import ast
import io
import zipfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from grading.source import maximum, read, student_version

CHECK = '''\
"""Run the notebook as far as one of its checks: python check.py NOTEBOOK CHECK. The other checks are left out."""

import json
import sys

from IPython.core.interactiveshell import InteractiveShell

path, name = sys.argv[1:]
shell = InteractiveShell.instance()
with open(path, encoding="utf-8") as file:
    cells = json.load(file)["cells"]
for cell in cells:
    tags, role = cell["metadata"].get("nbgrader", {}), cell["metadata"].get("normcore", {}).get("role")
    if cell["cell_type"] != "code" or role == "keep" or (tags.get("grade") and tags["grade_id"] != name):
        continue
    done = shell.run_cell("".join(cell["source"]))
    if tags.get("grade_id") == name:
        sys.exit(0 if done.success else 1)
sys.exit(f"{path} has no check {name!r}: was the cell deleted?")
'''
HEAD = """\
name: Autograding Tests
on: [push, workflow_dispatch]
permissions:
  checks: write
  actions: read
  contents: read
jobs:
  run-autograding-tests:
    runs-on: ubuntu-latest
    if: github.actor != 'github-classroom[bot]'
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: pip install -r requirements.txt
"""
STEP = """\
      - name: {name}
        id: {name}
        uses: classroom-resources/autograding-command-grader@v1
        with:
          test-name: {name}
          command: python check.py {notebook} {name}
          timeout: 10
          max-score: {points:g}
"""
TAIL = """\
      - name: Autograding Reporter
        uses: classroom-resources/autograding-grading-reporter@v1
        env:
{results}
        with:
          runners: {names}
"""
README = """\
# {name}

Open `{name}.ipynb`, replace every `YOUR CODE HERE` and `YOUR ANSWER HERE`, and push. The checks in the notebook run
for each push, {here:g} of the {most:g} points. The others are given when your work is graded. Leave the checks and the
name of the file as they are.
"""


def checks(released: NotebookNode) -> dict[str, float]:
    """The checks that a student sees, with their points."""
    return {
        cell.metadata["nbgrader"]["grade_id"]: float(cell.metadata["nbgrader"]["points"])
        for cell in released.cells
        if cell.metadata.get("normcore", {}).get("role") == "test" and ast.parse(cell.source).body
    }


def files(source: Path, versions: str) -> dict[str, str]:
    """The files of the repository, by path."""
    notebook = read(source)
    released, name = student_version(notebook), source.stem
    points = checks(released)
    pinned = dict(line.split("==") for line in versions.split() if "==" in line)
    needs = ["ipython", "matplotlib", "numpy", *(["torch"] if "import torch" in source.read_text("utf-8") else [])]
    steps = "".join(STEP.format(name=check, notebook=f"{name}.ipynb", points=worth) for check, worth in points.items())
    results = "\n".join(f'          {n.upper()}_RESULTS: "${{{{steps.{n}.outputs.result}}}}"' for n in points)
    return {
        f"{name}.ipynb": nbformat.writes(released),
        "check.py": CHECK,
        "requirements.txt": "".join(f"{n}=={pinned[n]}\n" if n in pinned else f"{n}\n" for n in needs),
        "README.md": README.format(name=name, here=sum(points.values()), most=maximum(notebook)),
        ".github/workflows/classroom.yml": HEAD + steps + TAIL.format(results=results, names=",".join(points)),
    }


def pack(source: Path, versions: str, target: Path) -> None:
    """Write the repository as a zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in sorted(files(source, versions).items()):
            archive.writestr(zipfile.ZipInfo(path, (2000, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(out.getvalue())
