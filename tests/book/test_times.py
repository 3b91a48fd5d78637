"""No cell asserts a wall-clock time: on a busy machine that would stop the whole build."""

import ast
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    p for p in (ROOT / "index.md", *sorted((ROOT / "book").glob("*.md"))) if "\nkernelspec:" in p.read_text("utf8")
]
CLOCKS = {"perf_counter", "process_time", "thread_time", "monotonic", "timeit", "default_timer", "repeat", "Timer"}
CLOCKS |= {f"{name}_ns" for name in CLOCKS} | {"time", "time_ns", "now", "utcnow", "getrusage", "cpu_times"}
GROWS = ("append", "extend", "add", "update", "insert")
MODULES = {"time", "timeit", "datetime", "resource", "psutil"}


def names(tree):
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


class Times:
    """Follows what was measured with a clock through the cells of a page, from name to name."""

    def __init__(self, taken=()):
        self.taken = set(taken)  # names of times and of functions that measure them
        self.asserted = []

    def is_time(self, tree):
        """True for an expression that depends on a clock."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in self.taken:
                return True
            if isinstance(node, ast.Attribute) and (node.attr == "seconds" or node.attr.endswith("_seconds")):
                return True
            if isinstance(node, ast.Attribute) and node.attr in CLOCKS and names(node.value) & MODULES:
                return True
        return False

    def read(self, code):
        self.block(ast.parse(code).body)
        return self

    def block(self, statements, under_a_time=False):
        for node in statements:
            self.statement(node, under_a_time)

    def statement(self, node, under_a_time):
        checks = isinstance(node, ast.Assert) or (isinstance(node, ast.Raise) and under_a_time)
        for call in (found for found in ast.walk(node) if isinstance(found, ast.Call)):
            called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            checks |= called.startswith(("assert", "check")) and isinstance(node, ast.Expr)
            if called in GROWS and any(map(self.is_time, call.args)):  # times.append(...)
                self.taken |= names(call.func)
        if checks and (under_a_time or self.is_time(node)):
            self.asserted.append(ast.unparse(node))
        if isinstance(node, ast.ImportFrom) and node.module in MODULES:
            self.taken |= {alias.asname or alias.name for alias in node.names if alias.name in CLOCKS}
        elif isinstance(node, ast.FunctionDef):
            inner = Times(self.taken - {a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg)})
            inner.block(node.body)
            self.asserted += inner.asserted
            returned = [n for n in ast.walk(node) if isinstance(n, ast.Return | ast.Yield) and n.value is not None]
            self.bind(ast.Name(node.name, ast.Store()), any(inner.is_time(one.value) for one in returned))
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                self.assign(target, node.value)
        elif isinstance(node, ast.AugAssign):
            self.bind(node.target, self.is_time(node.value) or self.is_time(node.target))
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            self.bind(node.target, self.is_time(node.value))
        elif isinstance(node, ast.For):
            for _ in range(2):  # what the end of a round measures, the start of the next may assert
                self.bind(node.target, self.is_time(node.iter))
                self.block([*node.body, *node.orelse], under_a_time)
        elif isinstance(node, ast.If | ast.While):
            self.block([*node.body, *node.orelse], under_a_time or self.is_time(node.test))
        elif isinstance(node, ast.With):
            for item in node.items:
                if item.optional_vars is not None:
                    self.bind(item.optional_vars, self.is_time(item.context_expr))
            self.block(node.body, under_a_time)
        elif isinstance(node, ast.Try):
            handlers = [one for handler in node.handlers for one in handler.body]
            self.block([*node.body, *handlers, *node.orelse, *node.finalbody], under_a_time)

    def assign(self, target, value):
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for one, its in zip(target.elts, value.elts, strict=True):
                self.bind(one, self.is_time(its))
        else:
            self.bind(target, self.is_time(value))

    def bind(self, target, is_time):
        """A name that gets another value is no time any more; a container with one time in it stays one."""
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and is_time:
                self.taken.add(node.id)
        if isinstance(target, ast.Name | ast.Tuple | ast.List) and not is_time:
            self.taken -= names(target)


def asserted_times(cells):
    times = Times()
    for cell in cells:
        times.read(cell)
    return sorted(set(times.asserted))


def code_of(page):
    """The page's cells; lines that only IPython reads are left out."""
    cells = [cell.source for cell in jupytext.read(page).cells if cell.cell_type == "code"]
    return ["\n".join(line for line in cell.splitlines() if line[:1] not in "%!") for cell in cells]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_cell_asserts_a_time(page):
    assert asserted_times(code_of(page)) == []


STEP = "def step(n):\n    start = time.perf_counter()\n    work(n)\n    return time.perf_counter() - start\n"


@pytest.mark.parametrize(
    "cells",
    [
        [STEP, "a = np.array([step(1) for _ in range(3)])", "best = a.min()\nassert best < 2"],
        ["start = time.time()\nassert time.time() - start < 5"],
        ["from time import perf_counter as clock", "assert clock() < 3"],
        ["import timeit", "t = timeit.timeit(f, number=3)", "if t > 2:\n    raise ValueError('slow')"],
        [STEP, "times = []\nfor n in sizes:\n    times.append(step(n))", "np.testing.assert_array_less(times, 1)"],
        [STEP, "def twice(n):\n    return 2 * step(n)", "rows = {n: twice(n) for n in sizes}\nassert max(rows) < 1"],
        ["results = sweep.run()", "assert results.seconds < 100"],
        [STEP, "fast, slow = step(1), step(2)\nfor one in [1]:\n    assert fast < slow"],
        [STEP, "def f():\n    assert step(3) < 1\nf()"],
        ["last = 0\nfor n in sizes:\n    assert last < 1\n    last = time.monotonic()"],
        [STEP, "check_close(step(1), step(2))"],
        [STEP, "a = 3\na += step(1)\nassert a < 4"],
        [STEP, "ms[0] = step(1)\nassert ms[1] < 4"],
    ],
)
def test_a_planted_one_is_caught(cells):
    assert len(asserted_times(cells)) == 1


@pytest.mark.parametrize(
    "cells",
    [
        [STEP, "a = step(1)\nglue('time', a)\nassert result == 3"],
        [STEP, "a = step(1)\na = 7\nassert a == 7"],
        ["n, seconds = 3, time.time()\nassert n == 3"],
        ["times = 3\nassert times == 3"],
    ],
)
def test_a_time_may_be_reported(cells):
    assert asserted_times(cells) == []


def test_the_chapters_do_measure_times():
    """The search above has something to look at."""
    found = {}
    for page in PAGES:
        times = Times()
        for cell in code_of(page):
            times.read(cell)
        found[page.stem] = times.taken
    assert {"seconds", "few", "share", "rounds", "step_seconds"} <= found["memory"]
    assert {"milliseconds", "rounds", "with_blocks_of", "block_times", "whole_time"} <= found["fast-code"]
