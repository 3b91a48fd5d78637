"""Two editions of one book: with the exercises' solutions, and with EDITION=student without.

Solutions stand in ``{solution}`` directives or between ``{solution-start}`` and ``{solution-end}``.  The students'
edition takes them out of the source before anything reads it, so no page, index, notebook or cached run ever has them.
sphinx-exercise's own ``hide_solutions`` leaves them in ``_sources``, and fails on gated ones.

A slip in a gate would publish a solution without a sound, so in both editions one that is misspelt, in capitals or
never closed stops the build.  Both editions also carry the assignments' student notebooks, for download and for
the live notebooks; they are made here, from grading/sources.
"""

import difflib
import os
import re
import shutil
import unicodedata
from pathlib import Path

from sphinx.errors import ExtensionError

from normext.fences import VERBATIM, all_fences

NAMES = ("solution", "solution-start", "solution-end", "exercise", "exercise-start", "exercise-end")
# What could only be meant as a gate: marks of a fence, or a brace, or two dots, before something like "solution".
GATE = re.compile(r"(?P<before>[`~:]{3,}|[`~:]*\{|\.\. +) *(?P<name>[\w -]*?)(?=\}|::|$|[^\w -])", re.IGNORECASE)


class GateError(ExtensionError):
    """A solution that would end up where it should not."""


def split(text, where="text"):
    """(lines outside of solutions, lines of solutions); GateError for a gate that is not as it should be."""
    lines = text.splitlines()
    secret, shown = set(), set()  # numbers of lines: those of solutions, and those that show code as it is written
    start = None
    for fence in all_fences(text):
        line = f"{where}, line {fence.start + 1}"
        if fence.name == "include":
            raise GateError(f"{line}: {{include}} could bring in a solution that nobody takes out")
        if fence.name in NAMES and not fence.closed:
            raise GateError(f"{line}: {lines[fence.start].strip()!r} is never closed")
        if fence.name not in NAMES and meant_as_gate(fence.name):
            raise GateError(f"{line}: {{{fence.name}}} is misspelt; there are {', '.join(NAMES)}")
        if fence.name not in NAMES and re.match(r"\W*solution", fence.argument, re.IGNORECASE):
            raise GateError(f"{line}: {lines[fence.start].strip()!r} would publish a solution: use {{solution}}")
        if fence.name == "mistakes" and start is None and fence.start not in secret:
            raise GateError(f"{line}: {{mistakes}} outside of a solution would publish it")
        if start is not None:
            if fence.name == "solution-end":
                secret |= set(range(start.start, fence.end))
                start = None
            elif fence.name in NAMES:
                at = start.start + 1
                raise GateError(f"{line}: {{{fence.name}}} before the {{solution-end}} of line {at}")
        elif fence.name == "solution-end":
            raise GateError(f"{line}: {{solution-end}} without a {{solution-start}}")
        elif fence.name == "solution":
            secret |= set(range(fence.start, fence.end))
        elif fence.name == "solution-start":
            start = fence
        elif not fence.name or (fence.name in VERBATIM and fence.name != "eval-rst"):
            shown |= set(range(fence.start, fence.end))
    if start is not None:
        raise GateError(f"{where}, line {start.start + 1}: {{solution-start}} without a {{solution-end}}")
    for number, line in enumerate(lines):
        if number not in secret and number not in shown and (gate := stray_gate(line)):
            raise GateError(f"{where}, line {number + 1}: {gate!r} is no directive here, though it looks like one")
    public = [line for number, line in enumerate(lines) if number not in secret]
    return public, [lines[number] for number in sorted(secret)]


def stray_gate(line):
    """What in a line of public text looks like a solution's gate, be it in a quote, a table or a comment; or ""."""
    plain = unicodedata.normalize("NFKC", line)
    plain = re.sub(r"[\u200b-\u200f\u2060\ufeff\u00ad]", "", plain)  # characters that nobody sees
    for found in GATE.finditer(plain):
        name = found["name"].strip().lower().replace("_", "-")
        if name.startswith("solution") or (meant_as_gate(name) and not name.startswith("exercise")):
            return found[0].strip()
    return ""


def meant_as_gate(name):
    """True for a name that is not a directive of sphinx-exercise but nearly so, or is spelled in another way."""
    plain = name.lower().replace("_", "-").replace(" ", "")
    return bool(plain) and name not in NAMES and bool(difflib.get_close_matches(plain, NAMES, 1, 0.8))


def without_solutions(text, where="text"):
    """The text as the students' edition has it."""
    return "\n".join(split(text, where)[0]) + "\n"


# ---- the part that knows Sphinx ----


def is_student():
    """True in the students' edition; an EDITION that is neither stops the build."""
    edition = os.environ.get("EDITION", "")
    if edition not in ("", "student"):
        raise ExtensionError(f"EDITION is 'student' or not set, not {edition!r}")
    return edition == "student"


def edit(app, docname, source):
    """Check the gates; in the students' edition take the solutions out."""
    public, secret = split(source[0], docname)
    if secret and is_student():
        source[0] = "\n".join(public) + "\n"


def keep_apart(app, config):
    """The students' edition has a cache of its own: the other's holds solutions."""
    if is_student():
        config.nb_execution_cache_path = str(Path(app.outdir).parent / ".jupyter_cache")


def assignments(app):
    """The student notebooks of the assignments, made anew where their source changed."""
    if not (Path(app.srcdir) / "grading" / "build.py").exists():
        return []
    from grading.build import publish
    from grading.source import SourceError

    try:
        return publish(Path(app.srcdir) / "book" / "assignments")
    except SourceError as error:
        raise ExtensionError(f"assignments: {error}") from error


def publish(app):
    """Make the notebooks before the page that links to them is read."""
    app.env.normcore_assignments = [str(path) for path in assignments(app)]


def finish(app, error):
    """Copied sources as this edition has them; the assignments beside the live notebooks."""
    if error or app.builder.name != "html":
        return
    if is_student():
        for doc in app.env.found_docs:
            path = Path(app.env.doc2path(doc))
            for copy in (Path(app.outdir) / "_sources").glob(f"{doc}{path.suffix}*"):
                copy.write_text(without_solutions(path.read_text("utf8"), doc), "utf8")
    live = Path(app.outdir).parent / "notebooks" / "lite"
    for path in live_notebooks(app):
        live.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, live)


def live_notebooks(app):
    """The assignments that run in a browser: those without torch."""
    paths = map(Path, app.env.normcore_assignments)
    return [path for path in paths if "import torch" not in path.read_text("utf8")]


def link_live(app, pagename, templatename, context, doctree):
    """In a site with live notebooks, each assignment's download is followed by a link that opens it there."""
    if not pagename.endswith("assignments") or not getattr(app.config, "normcore_live", False):
        return

    def add(match):
        if f"{match[2]}.ipynb" not in {path.name for path in live_notebooks(app)}:
            return match[0]
        url = context["pathto"]("lite/notebooks/index.html", 1) + f"?path={match[2]}.ipynb"
        return f'{match[1]} <a href="{url}">Run in your browser</a>'

    pattern = r'(<a class="reference download internal"[^>]*href="[^"]*/([\w-]+)\.ipynb".*?</a>)'
    context["body"] = re.sub(pattern, add, context["body"], flags=re.DOTALL)


def setup(app):
    app.connect("config-inited", keep_apart, priority=900)
    app.connect("builder-inited", publish)
    app.connect("source-read", edit, priority=100)
    app.connect("html-page-context", link_live)
    app.connect("build-finished", finish, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
