"""Synthetic submissions to the assignment `forward-pass`: honest, mistaken, broken and hostile ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat

from grading.course import SOURCES
from grading.source import read, student_version

NAME = "forward-pass"
SOURCE = SOURCES / f"{NAME}.md"
FULL = 17  # points that tests give; the written answer has 3 more

Cells = list[Any]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def solved() -> Any:
    """The student notebook with the reference answers and no hidden tests: what a good student hands in."""
    source = read(SOURCE)
    notebook = student_version(source)
    for cell, reference in zip(notebook.cells, source.cells, strict=True):
        if reference.metadata.get("normcore", {}).get("role") == "answer":
            cell.source = reference.source.replace("    ### BEGIN SOLUTION\n", "").replace("    ### END SOLUTION", "")
        elif reference.metadata.get("normcore", {}).get("role") == "written":
            cell.source = cell.source.replace("YOUR ANSWER HERE", "They agree, because N is 1.")
    return notebook


def index(notebook: Any, name: str) -> int:
    """The position of the cell with that grade_id."""
    return next(i for i, c in enumerate(notebook.cells) if c.metadata.get("nbgrader", {}).get("grade_id") == name)


def find(notebook: Any, name: str) -> Any:
    """The cell with that grade_id."""
    return notebook.cells[index(notebook, name)]


def insert(notebook: Any, after: str, code: str, cell_id: str = "") -> None:
    """Add a code cell of the student's after the named one."""
    cell = nbformat.v4.new_code_cell(code, **({"id": cell_id} if cell_id else {}))
    notebook.cells.insert(index(notebook, after) + 1, cell)


def wrong(notebook: Any) -> None:
    """Make every answer wrong: each function returns its input or zeros."""
    find(notebook, "moments").source = "def moments(x, axes):\n    return 0 * x, 0 * x"
    find(notebook, "batch-norm").source = "def batch_norm(x, gamma, beta, eps=1e-5):\n    return x"
    find(notebook, "instance-norm").source = "def instance_norm(x, gamma, beta, eps=1e-5):\n    return x"


SUBMISSIONS: dict[str, tuple[Callable[[Any], Any], float, str]] = {}


def submission(points: float, flag: str = "") -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Register a function that changes a solved notebook; its grade; a pattern for its flags ("" for none)."""

    def register(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
        SUBMISSIONS[change.__name__.replace("_", "-")] = (change, points, flag)
        return change

    return register


@submission(FULL)
def honest(notebook: Any) -> None:
    """The one whose grade must not move."""
    insert(notebook, "moments", "%matplotlib inline\nimport warnings\nwarnings.warn('only a warning')\nsum = abs = 3")


@submission(0)
def all_wrong(notebook: Any) -> None:
    wrong(notebook)


@submission(2)
def unbiased(notebook: Any) -> None:
    cell = find(notebook, "moments")
    cell.source = cell.source.replace(
        "((x - mean) ** 2).mean(axis=axes, keepdims=True)", "x.var(axis=axes, keepdims=True, ddof=1)"
    )


@submission(0)
def untouched(notebook: Any) -> Any:
    return student_version(read(SOURCE))


@submission(FULL)
def raises_after_the_answer(notebook: Any) -> None:
    insert(notebook, "batch-norm", "raise RuntimeError('left over')")


@submission(FULL, "time limit")
def endless_cell(notebook: Any) -> None:
    insert(notebook, "batch-norm", "while True:\n    pass")


@submission(FULL - 6, "time limit: instance-norm-check; time limit: instance-norm-hidden")
def endless_function(notebook: Any) -> None:
    find(notebook, "instance-norm").source = "def instance_norm(x, gamma, beta, eps=1e-5):\n    while True: pass"


@submission(FULL, "time limit: an added cell")
def endless_and_stubborn(notebook: Any) -> None:
    insert(notebook, "moments-hidden", "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass")


@submission(FULL - 6, "answer missing: instance-norm")
def answer_missing(notebook: Any) -> None:
    del notebook.cells[index(notebook, "instance-norm")]


@submission(FULL, "test missing: batch-norm-hidden")
def test_deleted(notebook: Any) -> None:
    del notebook.cells[index(notebook, "batch-norm-hidden")]


@submission(0, "test edited: batch-norm-check")
def test_edited(notebook: Any) -> None:
    wrong(notebook)
    for name in ("moments-check", "batch-norm-check", "batch-norm-hidden", "instance-norm-check"):
        find(notebook, name).source = "assert True"


@submission(0, "metadata edited: batch-norm-check")
def test_tagged(notebook: Any) -> None:
    """nbclient skips cells with this tag, and nbgrader takes a cell without output for a passed test."""
    wrong(notebook)
    find(notebook, "batch-norm-check").metadata["tags"] = ["skip-execution"]


@submission(0, "given cell edited: tools")
def helper_edited(notebook: Any) -> None:
    wrong(notebook)
    find(notebook, "tools").source += "\n\ndef check_close(*args, **kwargs):\n    pass"


@submission(FULL, "points edited: moments-check")
def points_edited(notebook: Any) -> None:
    for name in ("moments-check", "one-image"):
        find(notebook, name).metadata["nbgrader"]["points"] = 1000


@submission(FULL)
def other_line_endings(notebook: Any) -> None:
    for cell in notebook.cells:
        cell.source = cell.source.replace("\n", "\r\n")


@submission(FULL)
def harmless_magics_and_wrappers(notebook: Any) -> None:
    code = "%load_ext autoreload\n%autoreload 2\n%config InlineBackend.figure_format = 'retina'\n%matplotlib inline\n"
    code += "from functools import wraps\nmean = np.mean\n@wraps(mean)\ndef loud(*a, **k):\n    return mean(*a, **k)\n"
    insert(notebook, "tools", code + "np.mean = loud")


@submission(FULL)
def picture_pasted(notebook: Any) -> None:
    cell = find(notebook, "one-image")
    cell.source += "\n\n![my scan.png](attachment:my%20scan.png)"
    cell["attachments"] = {"my scan.png": {"image/png": PIXEL}, "evil.svg": {"image/svg+xml": "<svg onload=alert(1)>"}}


@submission(FULL - 6, "answer raised: instance-norm: ModuleNotFoundError: No module named 'seaborn'")
def imports_what_is_not_there(notebook: Any) -> None:
    cell = find(notebook, "instance-norm")
    cell.source = "import seaborn\n" + cell.source


@submission(FULL - 6, "answer raised: instance-norm: FileNotFoundError")
def opens_its_own_file(notebook: Any) -> None:
    cell = find(notebook, "instance-norm")
    cell.source = "open('forward-pass.ipynb')\n" + cell.source


@submission(FULL, "^answer in another cell: one-image$")
def written_below_the_stub(notebook: Any) -> None:
    cell = find(notebook, "one-image")
    text, cell.source = cell.source, student_version(read(SOURCE)).cells[index(notebook, "one-image")].source
    notebook.cells.insert(index(notebook, "one-image") + 1, nbformat.v4.new_markdown_cell(text.splitlines()[-1]))


@submission(FULL, "^answer in another cell: one-image$")
def written_as_a_comment(notebook: Any) -> None:
    cell = find(notebook, "one-image")
    cell.source = student_version(read(SOURCE)).cells[index(notebook, "one-image")].source
    insert(notebook, "one-image", "# They agree, because N is 1:\n# there is one image.")


@submission(FULL)
def function_below_the_stub(notebook: Any) -> None:
    cell = find(notebook, "instance-norm")
    text, cell.source = cell.source, student_version(read(SOURCE)).cells[index(notebook, "instance-norm")].source
    insert(notebook, "instance-norm", text)


@submission(FULL - 2, "answer in another cell: moments")
def function_below_the_check(notebook: Any) -> None:
    cell = find(notebook, "moments")
    text, cell.source = cell.source, student_version(read(SOURCE)).cells[index(notebook, "moments")].source
    insert(notebook, "moments-check", text)


@submission(FULL, "metadata stripped")
def metadata_stripped(notebook: Any) -> None:
    for number, cell in enumerate(notebook.cells):
        cell.metadata, cell.id = nbformat.from_dict({}), f"new-{number}"


@submission(FULL, "cells in common: borrower")
def owner(notebook: Any) -> None:
    insert(notebook, "moments", "note = 'my own'", cell_id="0wn3r-ce11")


@submission(0, "cells in common: owner")
def borrower(notebook: Any) -> None:
    """Another student's cell ids, and those of the assignment's own cells shuffled."""
    wrong(notebook)
    insert(notebook, "moments", "note = 'my own'", cell_id="0wn3r-ce11")
    a, b = find(notebook, "batch-norm"), find(notebook, "batch-norm-hidden")
    a["id"], b["id"] = b["id"], a["id"]


@submission(FULL, "output cut")
def output_200_megabytes(notebook: Any) -> None:
    insert(notebook, "moments", "for _ in range(200):\n    print('x' * 1_000_000)")


@submission(FULL, "output cut")
def output_past_the_streams(notebook: Any) -> None:
    insert(
        notebook,
        "moments",
        "from IPython.display import display\nfor _ in range(40):\n"
        "    display({'text/plain': 'x' * 1_000_000}, raw=True)",
    )


@submission(FULL, "kernel ended")
def fork_bomb(notebook: Any) -> None:
    insert(notebook, "moments-hidden", "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass")


@submission(FULL, "memory limit")
def allocates_20_gigabytes(notebook: Any) -> None:
    insert(notebook, "moments-hidden", "big = np.ones(20_000_000_000 // 8)")


@submission(FULL, "kernel ended: it ended itself")
def exits(notebook: Any) -> None:
    insert(notebook, "moments-hidden", "import os\nos._exit(0)")


@submission(FULL - 6, "kernel ended: it was killed")
def kills_the_kernel(notebook: Any) -> None:
    find(
        notebook, "batch-norm"
    ).source = "import os, signal\ndef batch_norm(x, gamma, beta, eps=1e-5):\n    os.kill(os.getpid(), signal.SIGKILL)"


@submission(0, "unreadable: the file is not a notebook")
def broken_json(notebook: Any) -> bytes:
    return nbformat.writes(notebook).encode()[:-200]


@submission(0, "unreadable: the file is empty")
def empty_file(notebook: Any) -> bytes:
    return b""


@submission(0, "unreadable: the file is not a notebook")
def wrong_json(notebook: Any) -> bytes:
    return json.dumps({"cells": [{"cell_type": "code", "source": 3}, None], "nbformat": 4}).encode()


@submission(FULL, "renamed: forward-pass .1. final.ipynb")
def renamed(notebook: Any) -> None:
    notebook.metadata["file"] = "forward-pass (1) final.ipynb"


@submission(FULL, "kernel named: my-conda-env")
def wrong_kernel(notebook: Any) -> None:
    notebook.metadata["kernelspec"] = {"name": "my-conda-env", "display_name": "mine", "language": "python"}


@submission(FULL)
def searches_the_disk(notebook: Any) -> None:
    """Looks for hidden tests, other submissions and the database, everywhere, and in the environment."""
    insert(
        notebook,
        "moments-hidden",
        """
import os
found = []
for folder, below, files in os.walk("/"):
    below[:] = [d for d in below if os.path.join(folder, d) not in ("/proc", "/usr", "/sys")
                and d not in ("site-packages", ".pyenv") and not os.path.join(folder, d).endswith("share/jupyter")]
    found += [os.path.join(folder, f) for f in files if f.endswith((".db", ".ipynb", ".md"))]
seen = [k for k in os.environ if "SECRET" in k or "NORMCORE" in k]
print("FOUND", found, seen, os.path.exists(DATABASE), os.path.exists(GRADING), os.path.exists(SOURCE))
""",
    )


@submission(FULL)
def writes_the_database(notebook: Any) -> None:
    insert(
        notebook,
        "moments-hidden",
        """
import sqlite3
try:
    connection = sqlite3.connect(DATABASE)
    connection.execute("UPDATE grade SET auto_score = 99, manual_score = 99")
    connection.commit()
    print("WROTE")
except Exception as error:
    print("NO", error)
""",
    )


@submission(FULL)
def opens_the_network(notebook: Any) -> None:
    insert(
        notebook,
        "moments-hidden",
        """
import socket
for address in (("127.0.0.1", PORT), ("1.1.1.1", 53)):
    try:
        socket.create_connection(address, timeout=2).sendall(b"here I am")
        print("CONNECTED", address)
    except OSError as error:
        print("NO", error)
""",
    )


@submission(0)
def patches_numpy(notebook: Any) -> None:
    wrong(notebook)
    insert(
        notebook,
        "tools",
        """
import numpy
numpy.allclose = lambda *a, **k: True
numpy.abs = numpy.absolute = lambda *a, **k: numpy.zeros(1)
""",
    )


@submission(0)
def patches_code_objects(notebook: Any) -> None:
    wrong(notebook)
    insert(
        notebook,
        "tools",
        """
def yes(a, b, rtol=1, atol=1, equal_nan=False):
    return True
np.allclose.__wrapped__.__code__ = yes.__code__
""",
    )


@submission(0)
def patches_builtins(notebook: Any) -> None:
    wrong(notebook)
    insert(notebook, "tools", "import builtins\nbuiltins.abs = lambda x: 0\nbuiltins.AssertionError = KeyError")


@submission(0)
def patches_transformers(notebook: Any) -> None:
    wrong(notebook)
    insert(
        notebook,
        "tools",
        """
import ast
class NoChecks(ast.NodeTransformer):
    def visit_Expr(self, node):
        return None
    visit_Assert = visit_Expr
get_ipython().ast_transformers.append(NoChecks())
get_ipython().input_transformers_cleanup.append(lambda lines: ["pass\\n"])
""",
    )


@submission(0)
def patches_the_shell(notebook: Any) -> None:
    wrong(notebook)
    insert(
        notebook,
        "tools",
        """
shell = get_ipython()
class Result:
    success, error_before_exec, error_in_exec, result = True, None, None, None
    def raise_error(self): pass
async def fine(*args, **kwargs):
    return Result()
shell.run_cell_async = fine
shell.run_cell = lambda *a, **k: Result()
shell.should_run_async = lambda *a, **k: True
""",
    )


@submission(0)
def patches_from_a_thread(notebook: Any) -> None:
    """Patches again and again, also while a test runs."""
    wrong(notebook)
    insert(
        notebook,
        "tools",
        """
import threading, numpy
def patch():
    while True:
        numpy.abs = lambda *a, **k: numpy.zeros(1)
threading.Thread(target=patch, daemon=True).start()
""",
    )


@submission(0)
def replaces_the_guard(notebook: Any) -> None:
    """Answers in the kernel's place, from below everything that the guard could put back."""
    wrong(notebook)
    insert(
        notebook,
        "tools",
        """
async def fine(self, code, silent, *args, **kwargs):
    return {"status": "ok", "execution_count": 1, "user_expressions": {}, "payload": [], "changed": []}
type(get_ipython().kernel).do_execute = fine
""",
    )


@submission(0)
def shadows_names(notebook: Any) -> None:
    """Their np, abs and check_close are in the student's namespace, where locked cells do not look."""
    wrong(notebook)
    insert(
        notebook,
        "batch-norm",
        """
class Agreeable:
    def __getattr__(self, name):
        return lambda *a, **k: type("Zero", (), {"max": lambda self: 0, "shape": ()})()
np = Agreeable()
abs = float = lambda *a, **k: 0
def check_close(*args, **kwargs):
    pass
__builtins__ = {"AssertionError": KeyError}
""",
    )


@submission(0)
def returns_a_liar(notebook: Any) -> None:
    """Returns arrays that agree with everything they are compared with."""
    wrong(notebook)
    find(notebook, "batch-norm").source = """
class Liar(np.ndarray):
    def __array_function__(self, *args):
        return True
    def __array_ufunc__(self, *args, **kwargs):
        return np.zeros(1)
    def __eq__(self, other):
        return True
    def mean(self, *args, **kwargs):
        return self
    std = mean
def batch_norm(x, gamma, beta, eps=1e-5):
    return x.view(Liar)
"""


@submission(FULL)
def prints_the_hidden_test(notebook: Any) -> None:
    """A function can look at its caller: this cannot be stopped, but it is seen when it is printed."""
    cell = find(notebook, "batch-norm")
    cell.source = cell.source.replace(
        "    mean, var = moments(x, (0, 2, 3))",
        "    import inspect, sys, linecache\n"
        '    print("".join(linecache.getlines(sys._getframe(1).f_code.co_filename)))\n'
        "    mean, var = moments(x, (0, 2, 3))",
    )


def write(folder: Path, **names: Any) -> None:
    """Write every submission to folder/STUDENT/forward-pass/forward-pass.ipynb, with names as constants at its top."""
    for student, (change, _, _) in SUBMISSIONS.items():
        notebook = solved()
        result = change(notebook)
        target = folder / student / NAME
        target.mkdir(parents=True)
        if isinstance(result, bytes):
            (target / f"{NAME}.ipynb").write_bytes(result)
            continue
        notebook = notebook if result is None else result
        for cell in notebook.cells:
            if any(name in cell.source for name in names):
                cell.source = "".join(f"{k} = {v!r}\n" for k, v in names.items()) + cell.source
        file = notebook.metadata.pop("file", f"{NAME}.ipynb")
        nbformat.write(notebook, target / file)
