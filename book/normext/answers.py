"""Answer boxes: exercises that are answered, checked and hinted at in the page.

In a chapter's source an exercise with a box has four parts:

``{answer} label``         in the exercise: the beginning of an answer, with dots where the reader's part is
a code cell                in the solution: the answer itself
a cell tagged ``check``    below it: asserts that this answer passes, executed like any cell
``{mistakes}``             below that: wrong answers, each under a comment that is its hint

A mistake is run on top of an answer, so it names only what is wrong: ``lag = 100``, or ``means = {**means, "BN": 8}``.
The check is public in every edition, as it is what says "right".  Mistakes belong to the solution: the students'
edition has none, unless ``answer_hints`` in _config.yml lets its boxes give hints (`read`, `boxes`).

Without Python in the pages an exercise has no box and reads as before.
"""

import ast
import itertools
import json
import re
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from normext.fences import all_fences
from normext.student_edition import is_student

CELL = "```{{code-cell}} ipython3\n:tags: [{tag}]\n\n{source}\n```"
CHECK = """\
# Your answer stands above; this cell checks it.
import sys
import traceback

try:
{asserts}
except Exception:
    print("Not yet:")
    traceback.print_exc(limit=1, file=sys.stdout)
else:
    print("Right.")"""


class Answer(NamedTuple):
    """One exercise with a box, as its chapter's source has it."""

    label: str
    title: str
    starter: str
    solution: str
    check: str
    mistakes: tuple  # of (hint, code)
    above: tuple  # numbers of the code cells above it, those of solutions left out

    @property
    def asked(self):
        """The names that the reader gives a value: those with dots in the starter."""
        names = []
        for statement in ast.parse(self.starter).body:
            if any(isinstance(node, ast.Constant) and node.value is ... for node in ast.walk(statement)):
                targets = statement.targets if isinstance(statement, ast.Assign) else [statement]
                parts = itertools.chain.from_iterable(getattr(t, "elts", [t]) for t in targets)
                names += [getattr(part, "id", None) or part.name for part in parts]
        return names


class Wrong(ExtensionError):
    """A box in a chapter's source that is not complete."""


def cells_of(text):
    """(source, is part of a solution) of each code cell of a chapter's source."""
    return [(fence.text.strip(), solution) for fence, _, solution in parts(text) if fence.name == "code-cell"]


def parts(text):
    """(fence, label of the exercise or the solution that it stands in, is it a solution's)."""
    label, solution = "", False
    for fence in all_fences(text):
        if fence.name in ("exercise", "exercise-start"):
            label = fence.options.get("label", "")
        elif fence.name == "solution-start":
            label, solution = fence.argument, True
        elif fence.name in ("exercise-end", "solution-end"):
            solution = False
        yield fence, label, solution


def read(text, where="text"):
    """The answer boxes of a chapter's source, in order."""
    titles, starters, above, number = {}, {}, {}, 0
    code, check, wrong = {}, {}, {}
    plain = []
    for fence, label, solution in parts(text):
        if fence.name in ("exercise", "exercise-start"):
            titles[label] = fence.argument
        elif fence.name == "answer":
            if fence.argument != label or solution:
                raise Wrong(f"{where}, line {fence.start + 1}: {{answer}} {fence.argument} stands outside its exercise")
            starters[label], above[label] = fence.body.strip(), tuple(plain)
        elif fence.name == "code-cell":
            if not solution:
                plain.append(number)
            elif "check" in re.findall(r"\w+", fence.options.get("tags", "")):
                check.setdefault(label, []).append(fence.text.strip())
            elif label not in check:
                code.setdefault(label, []).append(fence.text.strip())
            number += 1
        elif fence.name == "mistakes":
            wrong[label] = read_mistakes(fence.body, f"{where}, line {fence.start + 1}")
    for label in starters.keys() | check.keys() | wrong.keys():
        missing = [
            name
            for name, found in (("{answer}", starters), ("solution", code), ("check", check), ("{mistakes}", wrong))
            if label not in found
        ]
        if missing:
            raise Wrong(f"{where}: exercise {label} has an answer box without {', '.join(missing)}")
    return [
        Answer(label, titles[label], starter, "\n\n".join(code[label]), "\n\n".join(check[label]), wrong[label],
               above[label])
        for label, starter in starters.items()
    ]  # fmt: skip


def read_mistakes(text, where="text"):
    """((hint, code), ...): each mistake begins with its hint, a comment after an empty line."""
    found = []
    for block in re.split(r"\n\s*\n(?=# )", text.strip()):
        lines = block.splitlines()
        hint = [line[2:].strip() for line in itertools.takewhile(lambda line: line.startswith("# "), lines)]
        wrong = "\n".join(lines[len(hint) :]).strip()
        if not hint or not wrong:
            raise Wrong(f"{where}: a mistake is a comment, its hint, and the wrong answer below: {block[:60]!r}")
        found.append((" ".join(hint), wrong))
    return tuple(found)


def as_cells(text, answers):
    """The source with each box as two cells, for notebooks: the beginning of an answer, and its check."""
    known = {answer.label: answer for answer in answers}
    lines, done, made = text.splitlines(), 0, []
    for fence in all_fences(text):
        if fence.name in ("answer", "mistakes"):
            made += lines[done : fence.start]
            done = fence.end
        if fence.name == "answer":
            answer = known[fence.argument]
            asserts = "\n".join(f"    {line}".rstrip() for line in answer.check.splitlines())
            made.append(CELL.format(tag="answer", source=answer.starter) + "\n")
            made.append(CELL.format(tag="answer", source=CHECK.format(asserts=asserts)))
    return "\n".join([*made, *lines[done:]]) + "\n"


# ---- the part that knows Sphinx ----


class Place(SphinxDirective):
    """``{answer}``: where the box will stand.  It is empty until a script fills it."""

    required_arguments = 1
    has_content = True

    def run(self):
        return [nodes.raw("", f'<div class="nc-answer" data-answer="{self.arguments[0]}"></div>', format="html")]


class Mistakes(SphinxDirective):
    """``{mistakes}``: nothing to be seen."""

    has_content = True

    def run(self):
        return []


def answers_of(app, docname):
    """The boxes of a chapter, from its source as it stands, since an edition may have no solutions."""
    return read(Path(app.env.doc2path(docname)).read_text("utf8"), docname)


def with_hints(app):
    """True if the boxes of this edition give hints."""
    editions = set(app.config.answer_hints)
    if editions - {"public", "student"}:
        raise Wrong(f"answer_hints in _config.yml lists the editions that give hints: public, student, not {editions}")
    return ("student" if is_student() else "public") in editions


def boxes(app, docname, cells):
    """What the script of a page wants to know of its answer boxes."""
    source = cells_of(Path(app.env.doc2path(docname)).read_text("utf8"))
    kept = [number for number, (_, solution) in enumerate(source) if not (solution and is_student())]
    if [source[number][0] for number in kept] != [cell["source"].strip() for cell in cells]:
        raise Wrong(f"{docname}: the cells that its answer boxes stand on are not the page's")
    place = {number: at for at, number in enumerate(kept)}
    return [
        {
            "label": one.label, "title": one.title, "starter": one.starter, "asked": one.asked, "check": one.check,
            "mistakes": one.mistakes if with_hints(app) else (),
            "above": [place[number] for number in one.above if not cells[place[number]]["skip"]],
        }
        for one in answers_of(app, docname)
    ]  # fmt: skip


def count(app, error):
    """The boxes of each chapter, for the progress in the contents; fetched by readers who have answers."""
    if error or app.builder.name != "html" or not app.normcore_runner:
        return
    found = {}
    for doc in sorted(app.env.found_docs):
        if labels := re.findall(r"^`{3,}\{answer\} (\S+)", Path(app.env.doc2path(doc)).read_text("utf8"), re.M):
            found[doc] = labels
    (Path(app.outdir) / "_static" / "answers.json").write_text(json.dumps(found), "utf8")


def add_script(app, pagename, templatename, context, doctree):
    """The boxes' script, on every page: the contents beside each shows the progress."""
    if app.normcore_runner and doctree is not None:
        counts = context["pathto"]("_static/answers.json", 1)
        app.add_js_file(
            "answers.js", loading_method="defer", priority=600, **{"data-counts": counts, "data-page": pagename}
        )


def add_directives(app):
    app.add_directive("answer", Place)
    app.add_directive("mistakes", Mistakes)
    app.add_config_value("answer_hints", ["public"], "html", [list])
