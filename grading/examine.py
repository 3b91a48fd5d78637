"""Run a submission and its tests: a pure function of the assignment and the mended notebook.

The student's cells run in a process of their own, in the sandbox. The tests run here, in a clean process: their names
for the student's functions are stubs that ask, and get plain numbers and arrays back. No test, no expected value, no
comparison and no hidden text is ever in the student's process.

Cells run in the order of the notebook, each visible test where it stands. Where a hidden test stands, the student's
process is copied. The copies are asked only after the last cell has run and its output is sealed, so no input of a
hidden test can be shown by a later cell.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import time
from dataclasses import dataclass
from typing import Any

import nbformat
import numpy as np
from nbformat import NotebookNode, v4

from grading.records import Flag
from grading.sandbox.launch import Sandbox
from grading.sandbox.student import Limits, Lost, Student
from grading.source import REGION, bound_names

MOST_STARTS = 4  # of the student's process, which is started again without the cell that ended it


@dataclass(frozen=True)
class Examined:
    """An executed notebook, the points of each test (None where a human must look), and what was odd."""

    notebook: NotebookNode
    points: dict[str, float | None]
    flags: tuple[Flag, ...]


@dataclass(frozen=True)
class Test:
    """A test cell of the assignment."""

    name: str
    points: float
    code: str
    hidden: bool

    def sentence(self, message: str) -> str:
        """What a hidden test may say: its author's own words, nothing that depends on the student's values."""
        said = [n.value for n in ast.walk(ast.parse(self.code)) if isinstance(n, ast.Constant)]
        fitting = [text for text in said if isinstance(text, str) and len(text) > 12 and text in message]
        return max(fitting, key=len, default="a hidden check failed")


def role_of(cell: NotebookNode) -> str:
    """What a cell is: given, asked, answer, test, scratch, keep or written; extra for one that the student added."""
    return str(cell.metadata.get("normcore", {}).get("role", "extra"))


def test_of(cell: NotebookNode) -> Test:
    """The test in a cell of the assignment."""
    meta = cell.metadata["nbgrader"]
    return Test(meta["grade_id"], float(meta["points"]), cell.source, bool(REGION.search(cell.source)))


class Examination:
    """One run. The cells are those of the mended notebook; the tests come from the assignment."""

    def __init__(self, source: NotebookNode, notebook: NotebookNode, sandbox: Sandbox, limits: Limits) -> None:
        self.notebook = nbformat.reads(nbformat.writes(notebook), as_version=4)
        self.cells = [c for c in self.notebook.cells if c.cell_type == "code" and role_of(c) != "keep"]
        self.tests = {t.name: t for t in map(test_of, (c for c in source.cells if role_of(c) == "test"))}
        self.given = {c.metadata["nbgrader"]["grade_id"]: c.source for c in source.cells if role_of(c) == "given"}
        self.limits = limits
        self.hidden = [self._name(c) for c in self.cells if role_of(c) == "test" and self.tests[self._name(c)].hidden]
        self.student = Student(sandbox, limits, len(self.hidden))
        self.functions: set[str] = set()
        self.values: set[str] = set()
        for cell in source.cells:
            if role_of(cell) in ("answer", "asked"):
                own = {n.name for n in ast.parse(cell.source).body if isinstance(n, ast.FunctionDef)}
                self.functions |= own
                self.values |= bound_names(cell.source) - own
        self.space: dict[str, Any] = {"__name__": "__main__"}
        self.arrays: dict[str, np.ndarray] = {}
        self.bad: set[int] = set()
        self.starts = 0
        self.flags: list[Flag] = []
        self.points: dict[str, float | None] = {}
        self.bound = {n: bound_names(c.source) for c in source.cells if (n := self._name(c)) and role_of(c) == "answer"}
        self.doubtful = self._elsewhere()
        self.channel, self.deadline = 0, 0.0

    @staticmethod
    def _name(cell: NotebookNode) -> str:
        return str(cell.metadata.get("nbgrader", {}).get("grade_id", "an added cell"))

    def _flag(self, kind: str, detail: str = "") -> None:
        if (flag := Flag(kind, detail)) not in self.flags:
            self.flags.append(flag)

    def run(self) -> Examined:
        """Run every cell, then the hidden tests."""
        waiting = []
        try:
            for i, cell in enumerate(self.cells):
                role = role_of(cell)
                cell.outputs, cell.execution_count = [], None
                if role == "given":
                    self._give(cell)
                if role == "test":
                    test = self.tests[self._name(cell)]
                    if test.hidden:
                        waiting.append((cell, test, dict(self.space)))
                    elif self._alive(i):
                        self._settle(cell, test, self.space, 0)
                    else:
                        self._fail(cell, test, "KernelEnded", "the process has ended")
                if self._alive(i):
                    self._feed(i, show=True)
            for number, (cell, test, space) in enumerate(waiting, 1):
                if self._alive(len(self.cells)):
                    self._settle(cell, test, space, number)
                else:
                    self._fail(cell, test, "KernelEnded", "the process has ended")
        finally:
            self.student.stop()
        self._leave_to_a_reader()
        return Examined(self.notebook, self.points, tuple(self.flags))

    def _elsewhere(self) -> dict[str, str]:
        """The answers that were left as they were, although a later cell of the student's defines what they ask for."""
        found = {}
        for i, cell in enumerate(self.cells):
            if role_of(cell) == "answer" and "raise NotImplementedError" in cell.source:
                later = "\n".join(c.source for c in self.cells[i + 1 :] if role_of(c) in ("extra", "scratch"))
                names = "|".join(map(re.escape, self.bound.get(self._name(cell), ())))
                if names and re.search(rf"^\s*(?:def ({names})\b|({names})\s*=[^=])", later, re.MULTILINE):
                    found[self._name(cell)] = "answer in another cell"
        return found

    def _leave_to_a_reader(self) -> None:
        """A test that failed because an answer could not run, or stands elsewhere, says little: a human decides."""
        for answer, why in self.doubtful.items():
            names = self.bound.get(answer, set())
            failed = [
                test.name
                for test in self.tests.values()
                if self.points.get(test.name) == 0 and names & set(re.findall(r"\w+", test.code))
            ]
            self.points |= dict.fromkeys(failed)
            if failed and why:
                self._flag(why, answer)

    def _give(self, cell: NotebookNode) -> None:
        """Run a given cell here, and put stubs and values in place of what the student is to write."""
        exec(compile(self.given[self._name(cell)], f"<{self._name(cell)}>", "exec"), self.space)
        self.arrays |= {k: v.copy() for k, v in self.space.items() if isinstance(v, np.ndarray)}
        self.space |= {name: self._stub(name) for name in self.functions}

    def _stub(self, name: str) -> Any:
        def ask(*args: Any, **kwargs: Any) -> Any:
            return self.student.ask("call", name, args, kwargs, self.channel, self.deadline - time.monotonic())

        ask.__name__ = name
        return ask

    # -- the student's side ------------------------------------------------------------------------------------

    def _alive(self, position: int) -> bool:
        """True when the process has run all cells before a position; it may have to be started again for that."""
        while not self.student.running:
            if self.starts == MOST_STARTS or time.monotonic() > self.student.end:
                return False
            self.student.stop()
            self.student.start()
            self.starts += 1
            for i in range(position):
                if not self._feed(i, show=False):
                    break
        return True

    def _feed(self, i: int, show: bool) -> bool:
        """Run a cell in the student's process, or copy it where a hidden test stands; False when it is lost."""
        cell = self.cells[i]
        name, role = self._name(cell), role_of(cell)
        hidden = name in self.hidden
        if i in self.bad or (role == "test" and not hidden and not self._needed(i)):
            return True
        reply: dict[str, Any] = {}
        try:
            if hidden:
                self.student.snapshot(self.hidden.index(name))
            else:
                reply = self.student.run(cell.source)
        except Lost as lost:
            self.bad.add(i)
            self._flag("kernel ended", str(lost))
            if self.student.timed_out:
                self._flag("time limit", name)
            cell.outputs = [] if role == "test" else [_error("KernelEnded", f"The process ended in this cell: {lost}.")]
            return False
        if show and role != "test" and not hidden:
            self._show(cell, name, role, reply)
        return True

    def _show(self, cell: NotebookNode, name: str, role: str, reply: dict[str, Any]) -> None:
        """Keep what a cell of the student's showed, and say what was odd about it."""
        cell.outputs = reply["outputs"]
        kind, text = (*(reply["error"] or ["", ""]), "")[:2]
        if reply["cut"]:
            self._flag("output cut")
        if kind == "TimeIsUp":
            self._flag("time limit", name)
        elif "MemoryError" in kind:
            self._flag("memory limit", name)
        elif kind and kind != "NotImplementedError" and role == "answer":
            self._flag("answer raised", f"{name}: {kind}: {text[:100]}")
            self.doubtful.setdefault(name, "")

    def _needed(self, i: int) -> bool:
        """True if a later cell of the student's may use what a visible test leaves behind, as it does in a notebook."""
        with contextlib.suppress(SyntaxError):
            names = bound_names(self.tests[self._name(self.cells[i])].code)
            later = "\n".join(c.source for c in self.cells[i + 1 :] if role_of(c) in ("answer", "scratch", "extra"))
            return bool(names & set(re.findall(r"\w+", later)))
        return False

    # -- the examiner's side -----------------------------------------------------------------------------------

    def _settle(self, cell: NotebookNode, test: Test, space: dict[str, Any], channel: int) -> None:
        """Run a test here, against a channel of the student's; give the points or say why not."""
        self.channel, self.deadline = channel, time.monotonic() + self.limits.cell
        self.student.timed_out = self.student.out_of_memory = False
        space |= {name: array.copy() for name, array in self.arrays.items()}
        kind = text = ""
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                for name in sorted(n for n in self.values if re.search(rf"\b{n}\b", test.code)):
                    space[name] = self.student.ask("get", name, (), {}, channel, self.limits.cell)
                exec(compile(test.code, f"<{test.name}>", "exec"), space)
        except Lost as lost:
            kind, text = "KernelEnded", f"the process ended: {lost}"
            self._flag("kernel ended", str(lost))
        except Exception as error:
            kind, text = type(error).__name__, str(error)
            if test.hidden:
                mine = isinstance(error, AssertionError) and not hasattr(error, "student")
                text = test.sentence(text) if mine else "in a check that runs when your work is graded"
        if self.student.timed_out:
            self._flag("time limit", test.name)
            kind = kind or "TimeLimit"  # also when the test caught it
        if self.student.out_of_memory:
            self._flag("memory limit", test.name)
        self.points[test.name] = 0.0 if kind else test.points
        cell.outputs = [_error(kind, text)] if kind else []

    def _fail(self, cell: NotebookNode, test: Test, kind: str, text: str) -> None:
        self.points[test.name] = 0.0
        cell.outputs = [_error(kind, text)]


def _error(name: str, text: str) -> NotebookNode:
    return v4.new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"])


def examine(source: NotebookNode, notebook: NotebookNode, sandbox: Sandbox, limits: Limits) -> Examined:
    """Return the executed notebook, the points of each test and the flags; source is what source.read returned."""
    return Examination(source, notebook, sandbox, limits).run()
