"""Python beside a page: what a kernel does for a notebook, for cells that are run where they stand.

The page's worker imports this file.  A cell runs as a whole; the value of its last line is shown.  When it fails, a
plain sentence comes first, then the lines that lead to the mistake.
"""

import ast
import builtins
import contextlib
import io
import itertools
import linecache
import os
import re
import sys
import time
import traceback
import types

OWN = ("cell ", "hidden cell ")  # names of the cells as files, in tracebacks
MOST_TEXT = 20_000  # characters that a cell may print
SVG = {"format": "svg", "transparent": True, "metadata": {"Date": None}}

space = {"__name__": "__main__", "__builtins__": builtins}  # the variables of all cells
alive = {}  # the dials in the page, by name


class Printed(io.TextIOBase):
    """Hands printed text to the page ten times a second, and not without end."""

    def __init__(self, send):
        self.send, self.left, self.kept, self.last = send, MOST_TEXT, "", 0.0

    def write(self, text):
        if self.left >= 0:
            cut = len(text) > self.left
            self.kept += text[: self.left] + "\n… the rest is not shown\n" * cut
            self.left = -1 if cut else self.left - len(text)
        if time.monotonic() - self.last > 0.1:
            self.flush()
        return len(text)

    def flush(self):
        if self.kept:
            self.send("text", self.kept)
        self.kept, self.last = "", time.monotonic()


def run(source, name, send):
    """Run a cell; ``send(kind, text)`` gets what it shows.  Returns None, or what went wrong."""
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    printed = Printed(send)

    def show(value):
        printed.flush()
        send(*shown(value))

    space["display"] = lambda *values: [show(value) for value in values] and None
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            tree = ast.parse(source, name)
            ends = tree.body and isinstance(tree.body[-1], ast.Expr) and not source.rstrip().endswith(";")
            last = tree.body.pop() if ends else None
            exec(compile(tree, name, "exec"), space)
            if last is not None:
                value = eval(compile(ast.Expression(last.value), name, "eval"), space)
                if value is not None:
                    space["_"] = value
                    show(value)
            for figure in open_figures():
                show(figure)
        except BaseException as error:  # SystemExit, too: a cell does not end the Python of its page
            printed.flush()
            return trouble(error)
        finally:
            printed.flush()
    return None


def shown(value):
    """("html" or "text", what stands for a value in the page)."""
    if hasattr(value, "_repr_html_") and not isinstance(value, type):
        return "html", value._repr_html_()
    figure = sys.modules.get("matplotlib.figure")
    if figure and isinstance(value, figure.Figure):
        return "html", svg(value)
    return "text", repr(value)


def svg(figure):
    """A figure of Matplotlib as the book's own look."""
    import matplotlib

    from normbook import style

    file = io.StringIO()
    with matplotlib.rc_context(style.STYLE):
        figure.savefig(file, **SVG)
    words = "; ".join(axes.get_title() for axes in figure.axes if axes.get_title())
    picture = style._inline(file.getvalue(), words or "A figure without a description.", figure.get_figwidth())
    return f'<figure class="nc-figure">{picture}</figure>'


def open_figures():
    """Figures of pyplot that the cell left open."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    figures = [pyplot.figure(number) for number in pyplot.get_fignums()] if pyplot else []
    if pyplot:
        pyplot.close("all")
    return figures


# ---- what went wrong


def trouble(error):
    """{"says": a plain sentence, "trace": the lines that lead there}."""
    frames = traceback.extract_tb(error.__traceback__)
    first = next((at for at, frame in enumerate(frames) if frame.filename.startswith(OWN)), len(frames))
    lines = [
        f"{place(frame.filename)}, line {frame.lineno}" + f"\n    {frame.line}" * bool(frame.line)
        for frame in frames[first:]
    ]
    if isinstance(error, SyntaxError) and (error.filename or "").startswith(OWN):
        lines = [f"{error.filename}, line {error.lineno}\n    {(error.text or '').strip()}"]
    lines += [line.rstrip() for line in last_lines(error) if not line.startswith("  ")]
    return {"says": words(error), "trace": "\n".join(lines)}


def raised_by(error):
    """The package of this book whose own check raised the error, or ""; its messages are plain."""
    frames = traceback.extract_tb(error.__traceback__)
    found = re.match("norm(core|book)/", place(frames[-1].filename)) if frames else None
    return found[0].rstrip("/") if found else ""


def last_lines(error):
    return [*traceback.TracebackException.from_exception(error).format_exception_only()]


def place(file):
    return re.sub(r"^.*?/(site-packages|python314\.zip|pyodide)/", "", file)


def words(error):
    """What a mistake means, in one sentence or two."""
    message = str(error)
    name = getattr(error, "name", None)
    if isinstance(error, ModuleNotFoundError):
        top = (name or "").partition(".")[0]
        if top in ("torch", "torchvision"):
            return "This needs PyTorch, which does not run in a page. It runs on your computer, on Binder and on Colab."
        return f"There is no module {top} here. Python in this page has NumPy, Matplotlib and this book's own packages."
    if isinstance(error, NameError):
        return (
            f"Python does not know the name {name}.{meant(error)} Is it spelled as where it was made, and made above?"
        )
    if isinstance(error, IndentationError):
        return (
            f"The indentation of line {error.lineno} does not fit: lines that belong together begin at the same column."
        )
    if isinstance(error, SyntaxError):
        return f"Python cannot read line {error.lineno}: {error.msg}."
    if isinstance(error, AttributeError) and name:
        kind = "module" if isinstance(error.obj, types.ModuleType) else type(error.obj).__name__
        return f"There is no .{name} in this {kind}.{meant(error)}"
    if isinstance(error, MemoryError) or "Maximum allowed dimension" in message or "array is too big" in message:
        return "There is not enough memory in this page for that. Make the arrays smaller."
    if isinstance(error, RecursionError):
        return "A function calls itself without end."
    if isinstance(error, ZeroDivisionError):
        return "Something is divided by zero."
    if isinstance(error, IndexError):
        return "An index goes beyond the end: counting begins at 0, so the last one is the length minus 1."
    if isinstance(error, KeyError):
        return f"There is no entry {message}."
    if isinstance(error, AssertionError):
        return "What this assert says is not true here." + f" {message}" * bool(message)
    if isinstance(error, Asked):
        return message
    if isinstance(error, SystemExit):
        return "The cell asked Python to end. It goes on all the same."
    if isinstance(error, ValueError | TypeError) and (own := raised_by(error)):
        return f"{own} says what is wrong: {message}."
    if isinstance(error, ValueError | TypeError) and re.search(
        r"shape|dimension|broadcast|inhomogeneous|axis", message
    ):
        shapes = " and ".join(re.findall(r"\([\d,\s]*\)", message)[:3])
        which = f": {shapes}" if shapes else ""
        return f"The shapes of the arrays do not fit{which}. Print .shape of each, and compare them from the last axis."
    return "Something went wrong. The last line says what, the lines above it say where."


def meant(error):
    """A name that is much like the one that is not there."""
    hint = re.search(r"Did you mean: '([^']+)'", "".join(last_lines(error)))
    return f" Did you mean {hint[1]}?" if hint else ""


class Asked(Exception):
    """A cell waits for somebody to type."""


def no_input(prompt=""):
    raise Asked("A cell in a page cannot ask you to type something: write the value into the cell instead of input().")


# ---- dials


def dials_of_a_page():
    """Take the place of `normbook.explore.explore`: each picture is drawn when its dials ask for it."""
    sys.modules.setdefault("ipywidgets", types.SimpleNamespace(VBox=object))  # a page has its own controls
    from normbook import explore as book

    class Dials(book.Published):
        def __init__(self, draw, *, start=None, **choices):
            start = dict(start or {})
            options = {name: [book._labelled(value) for value in values] for name, values in choices.items()}
            book._check(options, start)
            self.draw = draw
            self.dials = [book.Dial.of(name, options[name], start.get(name, options[name][0][1])) for name in options]
            self.pictures = {}
            self.picture(*(dial.start for dial in self.dials))  # an error in it is an error of the cell

        def picture(self, *at):
            if at not in self.pictures:
                chosen = {dial.argument: dial.values[i] for dial, i in zip(self.dials, at, strict=True)}
                self.pictures[at] = book._show(self.draw, chosen)
            return self.pictures[at]

        def _repr_html_(self):
            key = f"live-{next(numbers)}"
            alive[key] = self
            controls = "".join(
                (book._buttons if dial.buttons else book._slider)(dial, f"{key}-{at}")
                for at, dial in enumerate(self.dials)
            )
            picture = self.picture(*(dial.start for dial in self.dials))
            return (
                f'<div class="nc-explore" data-live="{key}">{controls}<div class="nc-picture">{picture}</div>'
                '<div class="visually-hidden" aria-live="polite"></div></div>'
            )

    book.explore = Dials


numbers = itertools.count(1)


def draw(key, at):
    """The picture of dials that have been turned."""
    try:
        return {"html": alive[key].picture(*at)}
    except Exception as error:
        return trouble(error)


builtins.input = no_input
os.environ["NORMCORE_BOOK"] = "1"  # no bars of progress
