"""An autograder for Gradescope out of an assignment: a zip that its container unpacks, and what runs in there.

Gradescope builds a container with setup.sh and runs run_autograder for each submission, as root: /autograder/source
holds the zip, /autograder/submission what was handed in, and /autograder/results/results.json is what it reads
(https://gradescope-autograders.readthedocs.io). The grader is the same as everywhere. If bubblewrap does not start in
the container, the student's process runs as a user of its own, and the sources and results are closed to it.
"""

from __future__ import annotations

import io
import json
import os
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat

from grading import exports, hand_in, run
from grading.clean import text as clean_text
from grading.course import GRADING
from grading.records import Flag, Mark
from grading.sandbox.launch import NoSandboxError, Sandbox, find_sandbox
from grading.sandbox.student import Limits
from grading.source import read, student_version

NEEDS = ("grading/__init__.py", "grading/feedback.html.jinja", "grading/sandbox/*.py")
MODULES = """
clean course examine exports feedback forge gradescope hand_in pick records repair run source times variants
"""
PACKAGES = """
ipython jinja2 jupytext latex2mathml markdown-it-py matplotlib matplotlib-inline mdit-py-plugins nbformat nh3 numpy
psutil pygments pyyaml tqdm
"""
SETUP = """\
#!/usr/bin/env bash
# Gradescope runs this once, when the container is built: a Python of its own, because the image's may be too old
set -euo pipefail
apt-get update && apt-get install -y --no-install-recommends bubblewrap python3-pip
python3 -m pip install --break-system-packages uv || python3 -m pip install uv
export UV_PYTHON_INSTALL_DIR=/opt/python
uv venv --python 3.12 /opt/normcore
uv pip install --python /opt/normcore/bin/python -r /autograder/source/requirements.txt
"""
RUN = """\
#!/usr/bin/env bash
# Gradescope runs this for each submission
base="${1:-/autograder}"
python="${2:-/opt/normcore/bin/python}"
mkdir -p "$base/results"
chmod -R go= "$base/source" "$base/results" "$base/submission" 2>/dev/null
cd "$base/source" && PATH="$(dirname "$python"):$PATH" exec "$python" -m grading.gradescope "$base"
"""
TO_BE_READ = "A human has to look at this."
MOST_TOLD = 2_000  # characters of a message


def pack(source: Path, versions: str, target: Path) -> None:
    """Write the zip: two scripts, the source with its hidden tests, and as much of the grader as it takes."""
    root = GRADING.parent
    files = [root / f"grading/{name}.py" for name in MODULES.split()]
    files += [path for pattern in NEEDS for path in root.glob(pattern)]
    pinned = dict(line.split("==") for line in versions.split() if "==" in line)
    wanted = [*PACKAGES.split(), *(["torch"] if "import torch" in source.read_text(encoding="utf-8") else [])]
    listed = "".join(f"{name}=={pinned[name]}\n" if name in pinned else f"{name}\n" for name in wanted)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:

        def put(name: str, data: bytes, mode: int = 0o644) -> None:
            info = zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0))
            info.external_attr = (0o100000 | mode) << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)

        put("setup.sh", SETUP.encode(), 0o755)
        put("run_autograder", RUN.encode(), 0o755)
        put("requirements.txt", listed.encode())
        put(f"sources/{source.name}", source.read_bytes())
        for path in sorted(set(files)):
            put(str(path.relative_to(root)), path.read_bytes())
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(out.getvalue())


# -- in the container --------------------------------------------------------------------------------------------------


def sandbox_here() -> Sandbox:
    """The sandbox, or for root without one a user of its own for the student's process."""
    try:
        return find_sandbox()
    except NoSandboxError:
        if os.geteuid() != 0:
            raise
        return Sandbox("account")


def submitted(folder: Path, name: str, released: str) -> tuple[bytes | None, list[Flag]]:
    """The notebook that counts of what one student handed in, wherever it lies."""
    entry = hand_in.Submission("student")
    for member in exports.members(folder):
        maybe = exports.looks_like_a_notebook(member.path[-1]) or exports.looks_like_an_archive(member.path[-1])
        (entry.files if maybe else entry.others)["/".join(member.path)] = member.read
    return hand_in.choose(entry, name, lambda files: run.compare(released, files))


def results(marks: tuple[Mark, ...], notebook: str, flags: list[Flag], written: set[str]) -> dict[str, Any]:
    """What Gradescope shows: each test with its points and the message that the feedback page has, too."""
    said = {}
    for cell in json.loads(notebook)["cells"]:
        name = cell["metadata"].get("nbgrader", {}).get("grade_id")
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                said[name] = clean_text("\n".join(output["traceback"]))[:MOST_TOLD]
    tests: list[dict[str, Any]] = [
        {
            "name": mark.question,
            "score": mark.points or 0.0,
            "max_score": mark.maximum,
            "status": "passed" if mark.points == mark.maximum else "failed",
            "output": said.get(mark.question, "") or ("" if mark.points is not None else TO_BE_READ),
            "visibility": "visible",
        }
        for mark in marks
        if mark.question not in written
    ]
    lines = [f"{name}: read by a human, not in these points." for name in sorted(written)]
    score = sum(mark.points or 0.0 for mark in marks if mark.question not in written)
    if flags:
        odd = {"name": "For instructors", "output": "\n".join(map(str, flags)), "visibility": "hidden"}
        tests.append({**odd, "score": 0.0, "max_score": 0.0})
    return {"score": score, "output": "\n".join(lines), "stdout_visibility": "hidden", "tests": tests}


def grade(base: Path) -> dict[str, Any]:
    """Grade what lies in base/submission by base/source; return the results."""
    (source,) = (base / "source" / "sources").glob("*.md")
    notebook = read(source)
    released = student_version(notebook)
    released.metadata["assignment"] = source.stem
    written = {
        cell.metadata["nbgrader"]["grade_id"]
        for cell in notebook.cells
        if cell.metadata.get("normcore", {}).get("role") == "written"
    }
    texts = nbformat.writes(notebook), nbformat.writes(released)
    job = run.Job(source.stem, *texts, None, sandbox_here(), Limits.from_environment())
    data, found = submitted(base / "submission", source.stem, job.released)
    outcome = run.run(replace(job, data=data))
    run.release()
    return results(outcome.marks, outcome.notebook, [*found, *outcome.flags], written)


def main(base: Path) -> None:
    """Grade, and write results.json whatever happens: without it Gradescope says nothing at all."""
    try:
        told = grade(base)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        told = {"score": 0, "output": "The grader could not run. Tell your instructor.", "stdout_visibility": "hidden"}
    (base / "results").mkdir(exist_ok=True)
    part = base / "results" / "results.json.part"
    part.write_text(json.dumps(told, indent=1))
    part.replace(base / "results" / "results.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
