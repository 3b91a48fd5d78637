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
from pathlib import Path

from sphinx.errors import ExtensionError

OPENING = re.compile(r"\s*(`{3,}|~{3,}|:{3,}) *(?:\{([^}]*)\})?(.*)")
BROKEN = re.compile(r"\s*(?:[`:~]{1,2}\{|[`:~]{3,} *\{?) *solution", re.IGNORECASE)
NAMES = ("solution", "solution-start", "solution-end", "exercise", "exercise-start", "exercise-end")
VERBATIM = ("code-cell", "code-block", "code", "sourcecode", "literalinclude", "math", "raw", "parsed-literal")


class GateError(ExtensionError):
    """A solution that would end up where it should not."""


def split(text, where="text"):
    """(lines outside of solutions, lines of solutions); GateError for a gate that is not as it should be."""
    lines = text.splitlines()
    public, secret = [], []
    containers = []  # fences of directives that hold markup, and may hold solutions
    at = 0
    while at < len(lines):
        if containers and _closes(lines[at], containers[-1]):
            containers.pop()
            public.append(lines[at])
            at += 1
            continue
        opening = OPENING.fullmatch(lines[at])
        name = (opening[2] or "").strip() if opening else ""
        if BROKEN.match(lines[at]) and name not in NAMES and not _meant(name):
            raise GateError(f"{where}, line {at + 1}: {lines[at].strip()!r} is no directive, though it looks like one")
        if name not in NAMES and _meant(name):
            raise GateError(f"{where}, line {at + 1}: {{{name}}} is misspelt; there are {', '.join(NAMES)}")
        if name == "solution-end":
            raise GateError(f"{where}, line {at + 1}: {{solution-end}} without a {{solution-start}}")
        if name == "solution":
            end = _close(lines, at, opening[1], where)
        elif name == "solution-start":
            end = _gate(lines, at, opening[1], where)
        elif opening and (not name or name in VERBATIM):  # its text is no markup
            end = _close(lines, at, opening[1], where)
            public += lines[at : end + 1]
            at = end + 1
            continue
        else:
            if opening:
                containers.append(opening[1])
            public.append(lines[at])
            at += 1
            continue
        secret += lines[at : end + 1]
        at = end + 1
    return public, secret


def _meant(name):
    """True for a name that is not a directive of sphinx-exercise but nearly so."""
    plain = name.lower().replace("_", "-").replace(" ", "")
    return bool(plain) and bool(difflib.get_close_matches(plain, NAMES, 1, 0.8))


def _closes(line, marks):
    """True for a line that closes a fence opened with these marks."""
    closing = line.strip()
    return len(closing) >= len(marks) and set(closing) == {marks[0]}


def _close(lines, at, marks, where):
    """The line that closes the fence opened at a line."""
    for end in range(at + 1, len(lines)):
        if _closes(lines[end], marks):
            return end
    raise GateError(f"{where}, line {at + 1}: {lines[at].strip()!r} is never closed")


def _gate(lines, start, marks, where):
    """The last line of the {solution-end} that belongs to the {solution-start} at a line."""
    at = _close(lines, start, marks, where) + 1
    containers = []
    while at < len(lines):
        if containers and _closes(lines[at], containers[-1]):
            containers.pop()
            at += 1
            continue
        opening = OPENING.fullmatch(lines[at])
        name = (opening[2] or "").strip() if opening else ""
        if name == "solution-end":
            return _close(lines, at, opening[1], where)
        if name in NAMES or _meant(name):
            raise GateError(f"{where}, line {at + 1}: {{{name}}} before the {{solution-end}} of line {start + 1}")
        if opening and (not name or name in VERBATIM):
            at = _close(lines, at, opening[1], where)
        elif opening:
            containers.append(opening[1])
        at += 1
    raise GateError(f"{where}, line {start + 1}: {{solution-start}} without a {{solution-end}}")


def without_solutions(text, where="text"):
    """The text as the students' edition has it."""
    return "\n".join(split(text, where)[0]) + "\n"


def solutions(text, where="text"):
    """Lines of the solutions that stand nowhere else in the text."""
    public, secret = split(text, where)
    known = {line.strip() for line in public}
    return [line.strip() for line in secret if line.strip() not in known]


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
    """The assignments are no pages. The students' edition has a cache of its own: the other's holds solutions."""
    config.exclude_patterns.append("book/assignments/*")
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
