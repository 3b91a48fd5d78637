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

OWN = ("cell ", "hidden cell ", "your answer", "the check")  # names of what runs here as files, in tracebacks
MOST_TEXT = 20_000  # characters that a cell may print
MOST_HTML = 20_000_000  # characters of all its pictures
MOST_WORDS, MOST_LINES = 400, 12  # characters of a sentence, lines that lead to a mistake
COLORS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # for terminals
SVG = {"format": "svg", "transparent": True, "metadata": {"Date": None}}

space = {"__name__": "__main__", "__builtins__": builtins}  # the variables of all cells
alive = {}  # the dials in the page, by name


class Printed(io.TextIOBase):
    """Hands what a cell shows to the page, text ten times a second, and nothing without end."""

    def __init__(self, send):
        self.send, self.left, self.kept, self.last = send, MOST_TEXT, "", 0.0
        self.room, self.within = MOST_HTML, False  # within a line

    def write(self, text):
        if self.left >= 0:
            cut = len(text) > self.left
            self.kept += COLORS.sub("", text[: self.left]) + "\n… the rest is not shown\n" * cut
            self.left = -1 if cut else self.left - len(text)
        if text:
            self.within = text[-1] != "\n"
        if time.monotonic() - self.last > 0.1:
            self.flush()
        return len(text)

    def show(self, value):
        """A value, below what has been printed."""
        kind, text = shown(value)
        if kind == "text":
            self.write("\n" * self.within + text + "\n")
            return
        self.flush()
        self.room -= len(text)
        if self.room >= 0:
            self.send(kind, text)
        else:
            self.write(f"… a picture of {len(text) / 1e6:.1f} MB is not shown: it is too large for a page\n")

    def flush(self):
        if self.kept:
            self.send("text", self.kept)
        self.kept, self.last = "", time.monotonic()


def run(source, name, send):
    """Run a cell; ``send(kind, text)`` gets what it shows.  Returns what went wrong, or what others should know."""
    keep()
    return execute(source, name, send, space) or news()


def execute(source, name, send, space):
    """Run a program with these variables.  Returns None, or what went wrong."""
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    printed = Printed(send)
    show = printed.show
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
        html = value._repr_html_()
        if isinstance(html, str):
            return "html", html
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


# ---- packages as they were before a cell could change them


GUARDED = ("builtins", "math", "numpy", "normcore", "normbook", "kernel", "checking")
kept = {}  # module or class: its names
said = set()  # the changes that a reader knows of


def keep():
    """Remember those that have been imported since the last time."""
    import normcore  # noqa: F401 - NumPy comes with it

    for name, module in list(sys.modules.items()):
        package = name.partition(".")[0]
        if package in GUARDED and module not in kept:
            kept[module] = dict(vars(module))
            own = [one for one in kept[module].values() if isinstance(one, type) and package.startswith("norm")]
            kept.update({one: dict(vars(one)) for one in own if one.__module__.partition(".")[0] == package})


def now():
    """The same as they are now."""
    return {holder: dict(vars(holder)) for holder in kept}


def restore(state):
    for holder, names in state.items():
        for name, value in names.items():
            if vars(holder).get(name) is not value:
                setattr(holder, name, value)
        for name in vars(holder).keys() - names.keys() if isinstance(holder, type) else ():
            delattr(holder, name)  # it would hide what is inherited; a module may have loaded a part of itself


def news():
    """{"note": a sentence} if a cell has given another meaning to functions that other cells use, or None."""
    found = set()
    for holder, names in kept.items():
        new = vars(holder)
        for name in {*names, *new} if isinstance(holder, type) else names:
            if new.get(name) is not names.get(name) and callable(names.get(name, new.get(name))):
                found.add(f"{holder.__name__}.{name}")
    new = sorted(found - said)
    said.clear()
    said.update(found)
    if not new:
        return None
    return {"note": f"{', '.join(new[:3])} {'is' if len(new) == 1 else 'are'} changed, for every cell of this page."}


# ---- what went wrong


def trouble(error):
    """{"says": a plain sentence, "trace": the lines that lead there}."""
    try:
        says, lines = told(error)
    except BaseException:  # an error may be anything: one that has no text, for instance
        says, lines = UNKNOWN, [type(error).__name__]
    if len(lines) > MOST_LINES:  # of a function that calls itself, above all
        half = MOST_LINES // 2
        lines = [*lines[:half], f"… {len(lines) - 2 * half} more like these", *lines[-half:]]
    return {"says": short(says), "trace": "\n".join(map(short, lines))}


def short(text):
    return text if len(text) <= MOST_WORDS else f"{text[:MOST_WORDS]} …"


def told(error):
    """(a plain sentence, the lines that lead there)."""
    frames = traceback.extract_tb(error.__traceback__)
    first = next((at for at, frame in enumerate(frames) if frame.filename.startswith(OWN)), len(frames))
    lines = [
        f"{place(frame.filename)}, line {frame.lineno}" + f"\n    {frame.line}" * bool(frame.line)
        for frame in frames[first:]
    ]
    if isinstance(error, SyntaxError) and (error.filename or "").startswith(OWN):
        lines = [f"{error.filename}, line {error.lineno}\n    {(error.text or '').strip()}"]
    lines += [line.rstrip() for line in last_lines(error) if not line.startswith("  ")]
    return words(error), lines


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
        where = f"line {error.lineno}" if error.lineno else "this"
        return f"Python cannot read {where}: {error.msg}."
    if isinstance(error, AttributeError) and name:
        kind = "module" if isinstance(error.obj, types.ModuleType) else type(error.obj).__name__
        return f"There is no .{name} in this {kind}.{meant(error)}"
    if isinstance(error, MemoryError) or "Maximum allowed dimension" in message or "array is too big" in message:
        return "There is not enough memory in this page for that. Make the arrays smaller; a reload empties the page."
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
    if isinstance(error, TypeError) and (kind := re.fullmatch(r"'([\w.]+)' object is not callable", message)):
        return f"This calls a value ({kind[1]}) as if it were a function. Has a name like sum been given a value above?"
    if isinstance(error, ValueError | TypeError) and (own := raised_by(error)):
        return f"{own} says what is wrong: {message}."
    if isinstance(error, ValueError | TypeError) and re.search(
        r"shape|dimension|broadcast|inhomogeneous|axis", message
    ):
        shapes = " and ".join(re.findall(r"\([\d,\s]*\)", message)[:3])
        which = f": {shapes}" if shapes else ""
        return f"The shapes of the arrays do not fit{which}. Print .shape of each, and compare them from the last axis."
    return UNKNOWN


UNKNOWN = "Something went wrong. The last line says what, the lines above it say where."


def meant(error):
    """A name that is much like the one that is not there."""
    hint = re.search(r"Did you mean: '([^']+)'", "".join(last_lines(error)))
    return f" Did you mean {hint[1]}?" if hint else ""


class Asked(Exception):
    """A cell waits for somebody to type."""


def no_input(prompt=""):
    raise Asked("A cell in a page cannot ask you to type something: write the value into the cell instead of input().")


class NoInput(io.TextIOBase):
    """Standard input: lines, `for line in sys.stdin` and all ask somebody to type."""

    encoding = "utf-8"

    def readable(self):
        return True

    def read(self, size=-1):
        return no_input()

    def readline(self, size=-1):
        return no_input()


# ---- dials


def dials_of_a_page():
    """Dials draw a picture when they ask for it, not all of them at once: `normbook.explore.present` for a page."""
    sys.modules.setdefault("ipywidgets", types.SimpleNamespace(VBox=object))  # a page has its own controls
    from normbook import explore as book

    class Live:
        def __init__(self, plan):
            self.plan = plan
            self.first = plan.picture([dial.start for dial in plan.dials])  # an error in it is an error of the cell

        def _repr_html_(self):
            key = f"live-{next(numbers)}"
            alive[key] = self
            return (
                f'<div class="nc-explore" data-live="{key}">{book.controls(self.plan.dials, key)}'
                f'<div class="nc-picture">{self.first.html}</div></div>'
            )

    book.present = Live


numbers = itertools.count(1)


def dials(key):
    """What the dials of a page can do here beside their drawn places."""
    live = alive[key]
    again, points, image = live.plan.again, live.plan.points, live.plan.image
    return {
        "labels": [dial.finer for dial in live.plan.dials],
        "again": again and again[0],
        "points": points and {"ends": list(points[1]), "values": live.first.points},
        "image": image and {"size": list(image[1].shape[-2:]), "gray": image[1].ndim == 2 or len(image[1]) == 1},
    }


def draw(key, at, extra):
    """The picture of dials that have been turned."""
    plan = alive[key].plan
    image = extra.get("image")
    try:
        own = image and own_picture(image, plan.image[1])
        drawn = plan.picture(at, extra.get("clicks", 0), extra.get("points"), own)
        return {"html": drawn.html, "points": drawn.points}
    except Exception as error:
        return trouble(error)


def own_picture(pixels, like):
    """Red, green, blue and opacity of a reader's picture in the shape of the one whose place it takes, from 0 to 1."""
    import numpy as np

    colors = np.asarray(pixels, np.uint8).reshape(*like.shape[-2:], 4)[..., :3].transpose(2, 0, 1) / 255
    if like.ndim == 3 and len(like) == 3:
        return colors
    return colors.mean(axis=0).reshape(like.shape)


builtins.input = no_input
sys.stdin = NoInput()
os.environ["NORMCORE_BOOK"] = "1"  # no bars of progress
