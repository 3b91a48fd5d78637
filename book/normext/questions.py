"""Check yourself: a chapter's questions in its page.

``{questions}`` asks what ``book/questions/CHAPTER.yml`` holds (`question_bank`): a list of questions with folded
answers, which is all that a page without scripts needs.  ``questions.js`` makes choices of it.  A bank with a false key
or a true distractor stops the build.  With ``SELF_CHECK=no`` the pages have none of it.
"""

import json
import os
import re
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from normext import question_bank
from normext.question_bank import Choice, Option

HEADING = "## Check yourself\n\n```{questions}\n```\n"
LETTERS = "abcdefgh"


class Tag(nodes.General, nodes.Element):
    """An HTML element that docutils has no node for; written by `tag`."""


def tag(name, *children, **attributes):
    """An element; an attribute's underscores become hyphens, ``classes`` its class."""
    node = Tag("", *children, name=name)
    node["attributes"] = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
    return node


def visit(translator, node):
    attributes = "".join(f' {key}="{translator.attval(str(value))}"' for key, value in node["attributes"].items())
    translator.body.append(f"<{node['name']}{attributes}>")


def depart(translator, node):
    translator.body.append(f"</{node['name']}>")


def bank_of(folder, page):
    """(path of a page's bank, its questions); folder is where the page's source lies."""
    path = Path(folder) / "questions" / f"{page.rpartition('/')[2]}.yml"
    try:
        return path, question_bank.read(path)
    except (OSError, question_bank.BankError) as error:
        raise ExtensionError(f"questions: {error}") from error


class Questions(SphinxDirective):
    """``{questions}``: those of the page that it stands in."""

    def run(self):
        path, found = bank_of(Path(self.env.doc2path(self.env.docname)).parent, self.env.docname)
        self.env.note_dependency(str(path))
        items = [self.choice(one) if isinstance(one, Choice) else self.number(one) for one in found]
        intro = "Answer, then look. Every wrong answer is a mistake that people make, and says which."
        return [
            tag(
                "div",
                tag("p", nodes.Text(intro), class_="nc-note"),
                tag("ol", *items, class_="nc-question-list"),
                class_="nc-questions",
                data_page=path.stem,
            )
        ]

    def parsed(self, markdown):
        box = nodes.container()
        self.state.nested_parse(StringList(markdown.splitlines(), self.env.doc2path(self.env.docname)), 0, box)
        return box.children

    def line(self, markdown):
        """What a single paragraph holds."""
        found = self.parsed(markdown)
        if len(found) != 1 or not isinstance(found[0], nodes.paragraph):
            raise self.error(f"questions: {markdown!r} has to be one paragraph")
        return tag("span", *found[0].children)

    def choice(self, one):
        options = [tag("li", self.line(option.says)) for option in one.options]
        whys = [self.judged("li", option) for option in one.options]
        return tag(
            "li",
            tag("div", *self.parsed(one.ask), class_="nc-ask", id=f"question-{one.id}"),
            tag("div", tag("ol", *options, type="a"), class_="nc-options"),
            folded(f"Answer: {LETTERS[one.key]}", tag("ol", *whys, type="a", class_="nc-whys")),
            class_="nc-question nc-choice",
            data_id=one.id,
            data_key=one.key,
        )

    def number(self, one):
        variants = []
        for at, v in enumerate(one.variants):
            right = self.judged("p", Option("", v.why, True, "", True))
            mistakes = [self.judged("li", Option("", m.why, False, m.mistake, True)) for m in v.mistakes]
            attributes = {
                "data_answer": repr(v.answer),
                "data_tolerance": repr(v.tolerance),
                "data_mistakes": json.dumps([m.value for m in v.mistakes]),
            }
            asked = tag("div", *self.parsed(v.ask), class_="nc-ask", id=f"question-{one.id}-{at + 1}")
            answer = folded(f"Answer: {v.shown}", right, tag("ul", *mistakes, class_="nc-whys"))
            variants.append(
                tag("div", asked, answer, class_="nc-variant", **attributes, **({"hidden": ""} if at else {}))
            )
        return tag("li", *variants, class_="nc-question nc-number", data_id=one.id)

    def judged(self, name, option):
        """What is right or wrong about an answer."""
        if option.right:
            word, kind = tag("strong", nodes.Text("Right. ")), "nc-right"
        else:
            word, kind = tag("em", nodes.Text(f"{option.mistake[0].upper()}{option.mistake[1:]}? ")), "nc-wrong"
        return tag(name, word, self.line(option.why), class_=kind)


def folded(summary, *children):
    return tag("details", tag("summary", nodes.Text(summary)), *children, class_="nc-folded")


def as_markdown(folder, page):
    """The same for a notebook, which has no scripts."""
    asked = []
    for number, one in enumerate(bank_of(folder, page)[1], 1):
        if isinstance(one, Choice):
            ask = one.ask
            options = [f"- **{letter}.** {o.says}" for letter, o in zip(LETTERS, one.options, strict=False)]
            said = [("Right." if o.right else f"{o.mistake}?", o.why) for o in one.options]
            told = [f"- **{letter}. {word}** {why}" for letter, (word, why) in zip(LETTERS, said, strict=False)]
        else:
            variant = one.variants[0]
            ask, options = variant.ask, []
            told = [f"- **{variant.shown}.** {variant.why}"]
            told += [f"- **{m.value:.4g}: {m.mistake}?** {m.why}" for m in variant.mistakes]
        answer = ["<details><summary><b>Answer</b></summary>", "\n".join(told), "</details>"]
        asked += [f"**{number}.** {ask}", *(["\n".join(options)] if options else []), *answer]
    return "\n\n".join(asked)


def leave_out(app, docname, source):
    """An instructor may leave the questions out of the pages and ask them in class."""
    wanted = os.environ.get("SELF_CHECK", "")
    if wanted not in ("", "no"):
        raise ExtensionError(f"SELF_CHECK is 'no' or not set, not {wanted!r}")
    if wanted == "no":
        source[0] = source[0].replace(HEADING, "")
        if re.search(r"^`{3,}\{questions\}", source[0], re.M):
            raise ExtensionError(f"{docname}: SELF_CHECK=no wants the questions to stand as\n{HEADING}")


def add_script(app, pagename, templatename, context, doctree):
    if 'class="nc-questions"' in context.get("body", ""):
        app.add_js_file("questions.js", loading_method="defer")


def add_directive(app):
    app.add_node(Tag, html=(visit, depart))
    app.add_directive("questions", Questions)
