"""Answers that a reader writes into a page: are they right, and if not, which mistake is it?

An answer stands on what the page's own cells make, as far as it needs that; what the reader changed in them, and the
solutions, do not count.  It is right when the check, a list of asserts, goes through.  A wrong one is compared with
the exercise's named mistakes: it has made the one that is and returns the same all through the check.

A check stands on NumPy and the book's packages as they came: what cells or an answer change in them can neither fool
nor spoil it, and cells find their own changes again.  An answer may be or return anything at all, and Python goes on.
"""

import ast
import builtins
import contextlib
import copy
import functools
import io
import linecache
import re
import symtable
import traceback

import kernel
import numpy as np

ANSWER, CHECK = "your answer", "the check"  # as files, in tracebacks


def check(box, send):
    """Try an answer.  Returns {"right": True}, {"hint": a sentence}, or what is wrong as `kernel.run` says it.

    ``box``: the ``source`` of the answer, the names ``asked`` for, the ``check``, the ``mistakes`` as pairs (hint,
    code), and the sources of the cells ``above``.
    """
    kernel.keep()
    cells = kernel.now()
    try:
        kernel.restore(kernel.kept)
        with np.errstate(all="warn", under="ignore"):
            return judged(box, send)
    except Exception as error:  # of a value that cannot even be looked at
        return kernel.trouble(error)
    finally:
        kernel.restore(cells)


def judged(box, send):
    source = box["source"]
    try:
        if gap := first_gap(source):
            return {"hint": f"Something is still missing: put your answer in the place of the dots in line {gap}."}
        base = variables(program(box["above"], source, [box["check"], *(wrong for _, wrong in box["mistakes"])]))
    except SyntaxError:
        base = {}  # the answer's own: running it will tell
    except Exception as error:
        trouble = kernel.trouble(error)
        return {**trouble, "says": f"In the page's own code: {trouble['says']}"}
    answer = fresh(base)
    trouble = kernel.execute(source, ANSWER, send, answer)
    kernel.restore(kernel.kept)
    if trouble:
        return trouble
    for name in box["asked"]:
        if name not in answer:
            return {"hint": absent(name, source)}
    seen = Record()
    failure = behavior(answer, box, seen)
    if failure is None:
        return {"right": True}
    if seen.nothing:
        return {"hint": f"{seen.nothing} returns nothing yet. Does it end with return?"}
    return next(({"hint": hint} for hint in made(answer, box, seen)), failure)


def absent(name, source):
    """A function that was asked for and is not there, or stands too far to the right."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name == name and node.col_offset:
            return (
                f"{name} stands inside something else, since its line {node.lineno} is indented. Begin that line at "
                "the left edge."
            )
    return f"There is no {name} in your answer. Start over brings the first lines back."


def made(answer, box, seen):
    """The hints of those mistakes that do in the check what the answer was seen to do."""
    uncalled = {name for name in box["asked"] if callable(answer[name])} - seen.called
    for hint, wrong in box["mistakes"]:
        with contextlib.suppress(Exception, Other):
            names, record = fresh(answer), Record(like=seen)
            exec(compile(wrong, "a mistake", "exec"), names)
            behavior(names, box, record)
            tells = set().union(*(names_of(one)[0] for one in ast.parse(wrong).body)) - uncalled
            if tells and len(record) == len(seen):
                yield hint


# ---- what an answer stands on


def program(cells, source, users=()):
    """Those statements of the cells that an answer, and what uses it, stand on: they make a name that is read below."""
    wanted = set()
    for user in ("", *users):
        missing = set()
        for statement in reversed(ast.parse(f"{source}\n{user}").body):
            made, read = names_of(statement)
            missing = (missing - made) | read
        wanted |= missing
    found = []
    for statement in reversed([one for cell in cells for one in ast.parse(cell).body]):
        made, read = names_of(statement)
        if made & wanted:
            wanted = (wanted - made) | read
            found.append(ast.unparse(statement))
    return "\n".join(reversed(found))


def names_of(statement):
    """(names that a statement makes or changes, names that it reads), at the top of a program."""
    made, read = set(), set()
    tables = [top := symtable.symtable(ast.unparse(statement), "code", "exec")]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            if table is top and (symbol.is_assigned() or symbol.is_imported()):
                made.add(symbol.get_name())
            if symbol.is_referenced() and (table is top or symbol.is_global()):
                read.add(symbol.get_name())
    nodes = [statement]
    for node in nodes:  # what is changed in place: a.b = 1, a[0] += 1, a.append(1), a(1)
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            nodes += ast.iter_child_nodes(node)
            targets = getattr(node, "targets", [getattr(node, "target", None)])
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                targets = [node.value.func]
            made |= {name for target in targets if (name := root(target)) and not hasattr(builtins, name)}
    return made, read


def root(node):
    """The name at the left of a.b[0].c, or None."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


@functools.lru_cache(maxsize=8)
def variables(text):
    """The variables that a program leaves behind."""
    names = {"__name__": "__main__", "__builtins__": builtins}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(text, "the page's code", "exec"), names)
    return names


def fresh(names):
    """A copy in which arrays, lists and layers can be changed in place without harm."""
    return {name: value if name[:2] == "__" else twin(value) for name, value in names.items()}


def twin(value):
    kinds = (np.ndarray, np.random.Generator, list, tuple, set, dict)
    package = getattr(type(value), "__module__", "").partition(".")[0]
    if isinstance(value, kinds) or package in ("normcore", "normbook"):
        with contextlib.suppress(Exception):  # not everything can be copied
            return copy.deepcopy(value)
    return value


def first_gap(source):
    """The number of the first line that has dots where code should be; x[...] does not count."""
    tree = ast.parse(source, ANSWER)
    indices = [part for node in ast.walk(tree) if isinstance(node, ast.Subscript) for part in ast.walk(node.slice)]
    gaps = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value is ...]
    return min((node.lineno for node in gaps if node not in indices), default=None)


# ---- what an answer does


class Other(BaseException):
    """This behaves in another way than that which it is compared with."""


class Record(list):
    """What an answer is and returns in the course of a check."""

    def __init__(self, like=None):
        super().__init__()
        self.like, self.called, self.nothing = like, set(), ""

    def note(self, value):
        if self.like is not None and not (len(self) < len(self.like) and alike(value, self.like[len(self)])):
            raise Other
        self.append(twin(value))
        return value


def behavior(names, box, record):
    """Run the check, to its end; returns the first failure, or None."""
    names, failure = fresh(names), None
    linecache.cache[CHECK] = (0, None, box["check"].splitlines(True), CHECK)
    for name in box["asked"]:
        value = names[name]
        names[name] = watched(value, name, record) if callable(value) else record.note(value)
    with contextlib.redirect_stdout(io.StringIO()):
        for statement in ast.parse(box["check"]).body:
            try:
                exec(compile(ast.Module([statement], []), CHECK, "exec"), names)
            except Other:
                raise
            except BaseException as error:  # SystemExit and KeyboardInterrupt, too
                record.note(type(error).__name__)
                failure = failure or said(error, box["check"])
    return failure


def watched(function, name, record):
    def call(*arguments, **named):
        record.called.add(name)
        value = function(*arguments, **named)
        record.nothing = record.nothing or (name if value is None else "")
        return record.note(value)

    with contextlib.suppress(Exception):  # whatever it is that can be called
        functools.update_wrapper(call, function)
    return call


def said(error, asserts):
    """What the first failure of a check says: an assert's own message, or the assert; an error as any cell's."""
    frames = traceback.extract_tb(error.__traceback__)
    if not isinstance(error, AssertionError) or frames[-1].filename != CHECK:
        trouble = kernel.trouble(error)
        if frames[-1].filename == CHECK and (kind := wants_array(error)):
            trouble["says"] = f"The check finds a {kind} where it needs an array: np.array(...) makes one of it."
        return trouble
    if str(error):
        return {"hint": str(error)}
    lines = [node for node in ast.walk(ast.parse(asserts)) if isinstance(node, ast.Assert)]
    failed = next(node for node in lines if node.lineno <= frames[-1].lineno <= node.end_lineno)
    return {"hint": f"This does not hold for your answer: {' '.join(ast.unparse(failed.test).split())}"}


def wants_array(error):
    """The kind that stands in an array's place, if that is what an error of the check comes from."""
    if isinstance(error, AttributeError):
        kind = type(error.obj).__name__
        return kind if kind in ("list", "tuple") and hasattr(np.ndarray, error.name) else None
    found = re.search(r"'(list|tuple)'|(list|tuple) indices must be", str(error)) if type(error) is TypeError else None
    return found and (found[1] or found[2])


NEAR = {"rtol": 1e-3, "atol": 1e-6, "equal_nan": True}  # a number by hand has few digits


def alike(a, b):
    """True for values that are the same up to rounding."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, np.ndarray | np.number | int | float) and isinstance(b, np.ndarray | np.number | int | float):
        return np.shape(a) == np.shape(b) and np.allclose(a, b, **NEAR)
    return type(a) is type(b) and bool(a == b)
