"""The ledgers of claims and of explanations: a table each, filled by what the chapters measured in this very build.

A chapter answers a claim with ``normbook.evidence.verdict``, which glues the answer under the key ``claim-01`` (or
``claim-03a``, where two chapters answer).  ``{ledger}`` draws all of them, in the order of ``claims.yml``:

    - claim: 3
      says: Instance normalization is another word for contrast normalization.
      answers: {instance-norm: a, style: b}

A list whose entries begin with ``explanation:`` is a ledger of its own: its answers are glued under ``explanation-01``
(``verdict(…, of="explanation")``).  ``answers`` names the chapters that must answer, relative to the file, each with
the label of its answer ("" for none), or a list of labels for several.  A chapter that stops answering, an answer that
nobody asked for, an answer without its number, and an undecided one without the smallest effect that could be seen are
warnings, so with ``-W`` they fail the build.

``{tally} claims.yml`` says on another page how many answers there are of each kind; ``:ledger:`` is the label of the
ledger that it leads to.  The box "Verdict on claim 3" of a chapter gets the color and the words of that chapter's own
answers to claim 3.
"""

import ast
import html
import json
import re
from pathlib import Path
from typing import ClassVar

import yaml
from docutils import nodes
from docutils.parsers.rst import directives
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

log = logging.getLogger(__name__)

WORDS = {"holds": "✓", "holds when": "◐", "does not hold": "✗", "undecided": "?"}
MANY = {"holds": "hold", "holds when": "hold when …", "does not hold": "do not hold", "undecided": "undecided"}
KINDS = ("claim", "explanation")
BOX = re.compile(rf"Verdict on ({'|'.join(KINDS)}) (\d+)")
PASSED = "passed"  # in the doctrees' folder: the pages of the last build that passed
KEY = re.compile(rf"({'|'.join(KINDS)})-\d{{2}}\S*")


class Faulty(Exception):
    """Something that a reader of the ledger would miss; becomes a warning."""


class LedgerNode(nodes.General, nodes.Element):
    """Stands for the table until all chapters have been read."""


class Ledger(SphinxDirective):
    """``{ledger}``, or ``{ledger} other-claims.yml``: where the claims are listed, relative to the page."""

    optional_arguments = 1

    def run(self):
        relative, path = self.env.relfn2path(self.arguments[0] if self.arguments else "claims.yml")
        self.env.note_dependency(path)
        try:
            kind, claims = read_claims(Path(path), relative.rpartition("/")[0])
        except (OSError, yaml.YAMLError, Faulty) as error:
            raise self.error(f"ledger: {relative}: {error}") from error
        pages(self.env).add(self.env.docname)
        return [LedgerNode(kind=kind, claims=claims, tally=self.options.get("ledger", ""))]


class Tally(Ledger):
    """``{tally} claims.yml`` with ``:ledger: label``: how many answers there are of each kind."""

    required_arguments, optional_arguments = 1, 0
    option_spec: ClassVar = {"ledger": directives.unchanged_required}


def read_claims(path, folder=""):
    """``"claim"`` or ``"explanation"``, and the entries [(number, text, [(page, label), …]), …]; ``Faulty`` if none."""
    listed = yaml.safe_load(path.read_text("utf8"))
    if not isinstance(listed, list) or not listed:
        raise Faulty("want a list of claims")
    claims = []
    kind = "explanation" if isinstance(listed[0], dict) and "explanation" in listed[0] else "claim"
    for entry in listed:
        if not isinstance(entry, dict) or set(entry) != {kind, "says", "answers"} or not entry["answers"]:
            raise Faulty(f"want {kind}, says and answers, found {entry}")
        answers = [
            (f"{folder}/{page}".lstrip("/"), label)
            for page, labels in entry["answers"].items()
            for label in (labels if isinstance(labels, list) else [labels])
        ]
        claims.append((int(entry[kind]), str(entry["says"]), answers))
    numbers = [number for number, _, _ in claims]
    if numbers != sorted(set(numbers)):
        raise Faulty(f"the numbers of the {kind}s have to rise, found {numbers}")
    return kind, claims


def glued(env, page):
    """{key: answer} of the claims that a page answered when it was read last."""
    known = NbMetadataCollector.get_doc_data(env).get(page, {}).get("glue", [])  # a stale file may lie there
    keys = [key for key in known if KEY.fullmatch(key)]
    if not keys:
        return {}
    path = Path(env.mystnb_config.output_folder) / f"{page}.glue.json"
    found = json.loads(path.read_text("utf8"))
    return {key: json.loads(ast.literal_eval(found[key]["data"]["text/plain"])) for key in keys}


class FillLedger(SphinxPostTransform):
    """Puts the table where the directive stood."""

    default_priority = 5

    def run(self, **options):
        for node in list(self.document.findall(LedgerNode)):
            rows = []
            kind = node["kind"]
            answered = {}
            for page in self.env.found_docs:
                own = glued(self.env, page).items()
                answered |= {(page, key): answer for key, answer in own if key.startswith(kind)}
            for number, says, answers in node["claims"]:
                for page, label in answers:
                    key = f"{kind}-{number:02d}{label}"
                    try:
                        answer = answered.pop((page, key), None)
                        rows.append((number, says, page, check(answer, number, page, key, kind)))
                    except Faulty as fault:
                        log.warning("ledger: %s", fault, location=node, type="ledger")
            for page, key in sorted(answered):
                text = "ledger: %s answers %s, which no %s asks of it"
                log.warning(text, page, key, kind, location=node, type="ledger")
            made = self.tally(rows, node) if node["tally"] else self.table(rows, kind)
            node.replace_self(nodes.raw("", made, format="html"))
        for box in self.document.findall(nodes.admonition):
            self.color(box)

    def color(self, box):
        """A verdict's box says in its title, and by its color, what the chapter answered."""
        title = box.next_node(nodes.title)
        found = title is not None and BOX.match(title.astext())
        if not found:
            return
        key = f"{found[1]}-{int(found[2]):02d}"
        own = glued(self.env, self.env.docname).items()
        words = list(dict.fromkeys(answer["word"] for one, answer in own if re.fullmatch(rf"{key}\D*", one)))
        if words:
            box["classes"].append(f"nc-{(words[0] if len(words) == 1 else 'holds when').replace(' ', '-')}")
            said = " and ".join(f"{WORDS[word]} {word}" for word in words)
            title += nodes.inline("", f": {said}", classes=["nc-verdict"])

    def tally(self, rows, node):
        """HTML: a number for each kind of answer, all of them links to the ledger."""
        labels = self.env.get_domain("std").labels
        if node["tally"] not in labels:
            log.warning("tally: no section has the label %s", node["tally"], location=node, type="ledger")
            return ""
        page, anchor, _ = labels[node["tally"]]
        link = f"{self.app.builder.get_relative_uri(self.env.docname, page)}#{anchor}"
        items = []
        for word, mark in WORDS.items():
            found = sum(row[3]["word"] == word for row in rows)
            if found:
                items.append(
                    f'<li class="nc-{word.replace(" ", "-")}"><a href="{html.escape(link)}"><b>{found}</b> '
                    f'<span><span aria-hidden="true">{mark}</span> {word if found == 1 else MANY[word]}</span></a></li>'
                )
        return f'<ul class="nc-tally">{"".join(items)}</ul>'

    def table(self, rows, kind):
        """HTML.  The roles look superfluous: on a phone rows become cards, and `display` takes a table's roles away."""
        counts = [f"{sum(row[3]['word'] == word for row in rows)} “{word}”" for word in WORDS]
        caption = f"{count(len({row[0] for row in rows}), kind)}, {count(len(rows), 'answer')}: {', '.join(counts)}."
        names = (kind.capitalize(), "Verdict", "Measured in this build")
        head = "".join(f'<th scope="col" role="columnheader">{name}</th>' for name in names)
        body = []
        for before, (number, says, page, answer) in zip([None, *rows], rows, strict=False):
            mark = WORDS[answer["word"]]
            again = before is not None and before[0] == number
            claim = f"<b>{number}</b> {'again' if again else html.escape(says)}"
            link = self.app.builder.get_relative_uri(self.env.docname, page)
            measured = html.escape(answer["number"].rstrip("."))
            if answer.get("smallest"):
                measured += f". Smallest effect that could be seen: {html.escape(answer['smallest'].rstrip('.'))}"
            title = html.escape(self.env.titles[page].astext())
            address = "" if again else f' id="{kind}-{number}"'
            row = f'<tr role="row" class="nc-{answer["word"].replace(" ", "-")}"{address}>'
            body.append(
                f'{row}<th scope="row" role="rowheader">{claim}</th>'
                f'<td role="cell"><b class="nc-verdict"><span aria-hidden="true">{mark}</span> {answer["word"]}</b> '
                f"{html.escape(answer['condition'])}</td>"
                f'<td role="cell">{measured}. <a href="{html.escape(link)}">{title}</a></td></tr>'
            )
        return (
            f'<div class="nc-table nc-ledger"><table class="table" role="table"><caption>{caption}</caption>'
            f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>'
            f'<tbody role="rowgroup">{"".join(body)}</tbody></table></div>'
        )


def count(n, noun):
    """1 claim, 2 claims."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def check(answer, number, page, key, kind="claim"):
    """The answer, if it can be printed."""
    if answer is None:
        raise Faulty(f"{kind} {number}: {page} must answer it, and glued no {key}")
    if answer.get(kind) != number or answer.get("word") not in WORDS or not str(answer.get("number", "")).strip():
        raise Faulty(f"{kind} {number}: {page} glued {answer} as {key}")
    if answer["word"] == "undecided" and not str(answer.get("smallest", "")).strip():
        raise Faulty(f"{kind} {number}: {page} is undecided and does not say the smallest effect that could be seen")
    return answer


def pages(env):
    """The pages that have a ledger."""
    if not hasattr(env, "ledger_pages"):
        env.ledger_pages = set()
    return env.ledger_pages


def rewrite(app, env):
    """Whatever chapter changed since the last build that passed, the pages with a ledger are written again."""
    passed = Path(app.doctreedir, PASSED)
    if passed.exists() and passed.read_text("utf8").split() == sorted(env.found_docs):
        last = passed.stat().st_mtime_ns
        if all(Path(app.doctreedir, f"{doc}.doctree").stat().st_mtime_ns < last for doc in env.found_docs):
            return []
    return sorted(pages(env))


def remember(app, error):
    """A build that stopped or warned has not passed: the next one writes the ledgers, and warns, once more."""
    passed = Path(app.doctreedir, PASSED)
    passed.unlink(missing_ok=True)
    if not (error or app._warncount):  # Sphinx sets its status only afterwards
        passed.write_text("\n".join(sorted(app.env.found_docs)), "utf8")


def forget(app, env, docname):
    pages(env).discard(docname)


def merge(app, env, docnames, other):
    pages(env).update(pages(other) & set(docnames))


def add_directive(app):
    app.add_node(LedgerNode)
    app.add_directive("ledger", Ledger)
    app.add_directive("tally", Tally)
    app.add_post_transform(FillLedger)


def setup(app):
    """For a small book that has a ledger and nothing else of this package."""
    add_directive(app)
    app.connect("env-updated", rewrite)
    app.connect("build-finished", remember)
    app.connect("env-purge-doc", forget)
    app.connect("env-merge-info", merge)
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
