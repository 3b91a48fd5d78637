"""Slides from marks in the chapters' prose: a deck a chapter, and one for each lecture and week of ``instructors``.

A mark is a comment, which a page does not show and a notebook leaves out:

    % slide: Which cells are averaged?
    % - Pick another sample: for which layer do they stay?

Its slide has the title, the points, and what comes next in the page: the first formula, picture, dial or table before
the next mark.  Dials are those of the page, alive.  Speaker's notes are from ``book/teaching``.  A deck begins with the
chapter's question and ends with three questions of its bank and what one can do now.  ``slides.js`` and reveal.js
(``vendor``) turn the sections of a deck; without npm there are no decks.
"""

import html
import json
import re
from pathlib import Path

from bs4 import BeautifulSoup, Comment
from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.util import logging

from normext import question_bank, teaching
from normext.question_bank import Choice

log = logging.getLogger(__name__)

SHOWN = ".nc-explore, figure.nc-figure, div.math, .nc-table, table"
MARK = re.compile(r"\s*slide: (?P<title>.+?)\s*\n?(?P<points>(?:\s*- .*\n?)*)\s*\Z")
DECK = re.compile(r'<code class="docutils literal notranslate"><span class="pre">slides/([\w-]+)\.html</span></code>')
ASKED = 3  # questions of the bank at the end of a deck
LETTERS = "ABCDEFGH"


def plain(words):
    """As a heading reads in the source."""
    return words.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").removesuffix("#").strip()


def section(title, *parts, notes="", kind=""):
    body = "".join(parts)
    said = f'<aside class="notes">{html.escape(notes)}</aside>' if notes else ""
    return f'<section class="{kind}"><h2>{title}</h2><div class="nc-slide">{body}</div>{said}</section>'


def points(lines):
    return f"<ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul>" if lines else ""


def marks(soup):
    """(title, points, heading of the section, what is shown) of each mark of a page, in order."""
    showable = {id(one) for one in soup.select(SHOWN)}  # two equal pictures are two
    found = [one for one in soup.find_all(string=lambda text: isinstance(text, Comment)) if MARK.match(one)]
    for at, mark in enumerate(found):
        told = MARK.match(mark)
        heading = mark.find_previous(["h1", "h2"])
        shown, until = [], found[at + 1] if at + 1 < len(found) else None
        for one in mark.next_elements:
            if one is until or getattr(one, "name", None) == "h2":
                break
            if id(one) in showable:
                shown = together(one)
                break
        lines = [line.strip().removeprefix("- ") for line in told["points"].splitlines() if line.strip()]
        yield told["title"], lines, plain(heading.get_text()) if heading else "", shown


def together(shown):
    """A formula and those that directly follow it; of anything else, itself."""
    found = [shown]
    while "math" in found[-1].get("class", []) and "math" in (found[-1].find_next_sibling() or {}).get("class", []):
        found.append(found[-1].find_next_sibling())
    return found


def deck(body, name, text, root):
    """The slides of a chapter; body is its page's."""
    soup = BeautifulSoup(body, "html.parser")
    notes = teaching.read(root, name, text)
    title, question = html.escape(teaching.title(text)), soup.find("strong", string="The question.").parent
    total = sum(notes["minutes"].values())
    board = " ".join(f"{number}. {line}" for number, line in enumerate(notes["board"], 1))
    first = f"{total} minutes. On the board: {board} Shorter: {notes['shorten']}"
    slides = [section(title, f"<p>{question.decode_contents()}</p>", notes=first, kind="nc-first")]
    asked = False
    for heading, lines, place, shown in marks(soup):
        said = f"{place}: {notes['minutes'].get(place, 0)} minutes." if place in notes["minutes"] else ""
        dial = bool(shown) and "nc-explore" in shown[0].get("class", [])
        if dial and place == notes["dial"]["section"] and not asked:
            asked, said = True, f"{said} Ask first: {notes['dial']['ask']} {notes['dial']['then']}".lstrip()
        if not shown and not lines:
            raise ExtensionError(f"slides: {name}: the slide {heading!r} has neither a point nor anything to show")
        kind = " ".join(filter(None, ["nc-beside" if lines and shown else "", "nc-dials" if dial else ""]))
        markup = "".join(renamed(one, name) for one in shown)
        content = f'<div class="nc-shown">{markup}</div>' if shown else ""
        slides.append(section(html.escape(heading), points(lines), content, notes=said, kind=kind))
    return [*slides, *questions(soup, name, root), *ending(soup)]


def renamed(shown, name):
    """What is shown, with ids of its own: several chapters may meet in a deck."""
    return re.sub(r'"(explore-\d+(?:-\d+)?)"', rf'"{name}-\1"', str(shown))


def questions(soup, name, root):
    """The first questions of choice, each with its answer to fold out."""
    bank = question_bank.read(root / "book" / "questions" / f"{name}.yml")
    wanted = [one for one in bank if isinstance(one, Choice)][:ASKED]
    for one in wanted:
        item = soup.select_one(f'.nc-question[data-id="{one.id}"]')
        if item is None:  # an edition without them
            return
        ask = item.select_one(".nc-ask").decode_contents()
        rows, key = item.select(".nc-options li"), int(item["data-key"])
        options = "".join(f"<li>{row.decode_contents()}</li>" for row in rows)
        why = item.select(".nc-whys > li")[key].decode_contents()
        answer = f'<p class="fragment">{LETTERS[key]}. {why}</p>'
        yield section("Ask the room", ask, f'<ol type="A">{options}</ol>', answer, kind="nc-asked")


def ending(soup):
    for box in soup.select(".admonition"):
        title = box.select_one(".admonition-title")
        if title and title.get_text() == "What you can now do":
            yield section("What you can now do", str(box.find("ul")))


# ---- the part that knows Sphinx


def mark(app, doctree, docname):
    """Sphinx writes no comments; a mark goes along into the page, where `keep` takes it out again."""
    for comment in list(doctree.findall(nodes.comment)):
        if comment.astext().strip().startswith("slide: "):
            comment.replace_self(nodes.raw("", f"<!-- {comment.astext().strip()} -->\n", format="html"))


def keep(app, pagename, templatename, context, doctree):
    """Keep the slides of a page that is written, and take the marks out of it."""
    body = context.get("body", "")
    if pagename.endswith(("instructors", "teaching")) and any(Path(p, "vendor/reveal").is_dir() for p in static(app)):
        context["body"] = DECK.sub(rf'<a href="{context["pathto"]("slides/", 1)}\1.html">\1</a>', body)
    if "<!-- slide: " not in body:
        return
    name, root = Path(pagename).name, Path(app.srcdir)
    path = folder(app) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(deck(body, name, Path(app.env.doc2path(pagename)).read_text("utf8"), root)), "utf8")
    context["body"] = re.sub(r"<!-- slide: .*?-->\n?", "", body, flags=re.S)


def static(app):
    return [Path(app.confdir, path) for path in app.config.html_static_path]


def folder(app):
    return Path(app.outdir).parent / "slides"


def plans(root):
    """{file name: (title, chapters)} of the two lectures and the four weeks, from the page for instructors."""
    page = (root / "book" / "instructors.md").read_text("utf8")

    def named(text):
        return re.findall(r"\{doc\}`[^`]*<([\w-]+)>`", text)

    lectures = [named(line) for line in re.findall(r"^\d\. (\{doc\}.*)$", page, re.M)]
    weeks = [named(cell) for cell in re.findall(r"^\| \d \| (.*?) \|", page, re.M)]
    found = {f"lecture-{at}": (f"Lecture {at}", chapters) for at, chapters in enumerate(lectures, 1)}
    return found | {f"week-{at}": (f"Week {at}", chapters) for at, chapters in enumerate(weeks, 1)}


def write(app, error):
    """The decks, from the slides of all chapters, those of earlier builds included."""
    if error or app.builder.name != "html":
        return
    out, root = Path(app.outdir), Path(app.srcdir)
    if not (out / "_static" / "vendor" / "reveal" / "reveal.js").exists():
        log.info("slides: reveal.js is not there, so there are no decks")
        return
    kept = {path.stem: json.loads(path.read_text("utf8")) for path in folder(app).glob("*.json")}
    texts = teaching.chapters(root)
    decks = {name: (teaching.title(texts[name]), slides) for name, slides in kept.items() if name in texts}
    for name, (title, chapters) in plans(root).items() if len(decks) > 1 else ():
        if set(chapters) <= set(decks):
            whole = [section(title, "<ul>" + "".join(f"<li>{decks[c][0]}</li>" for c in chapters) + "</ul>")]
            decks[name] = (title, [*whole, *(slide for c in chapters for slide in decks[c][1])])
    (out / "slides").mkdir(exist_ok=True)
    formulas = '<link rel="stylesheet" href="../_static/formulas.css">' * (out / "_static" / "formulas.css").exists()
    for name, (title, slides) in decks.items():
        (out / "slides" / f"{name}.html").write_text(PAGE.format(
            title=html.escape(title), formulas=formulas, slides="\n".join(slides)), "utf8")  # fmt: skip


SHEETS = ("fonts.css", "vendor/reveal/reset.css", "vendor/reveal/reveal.css", "figures.css", "dials.css", "slides.css")
PAGE = (
    '<!DOCTYPE html>\n<html lang="en" data-theme="light" data-mode="light"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width"><title>{title}: slides</title>'
    '<link rel="icon" href="../_static/favicon.svg">'
    + "".join(f'<link rel="stylesheet" href="../_static/{sheet}">' for sheet in SHEETS)
    + "{formulas}"
    + "".join(
        f'<script src="../_static/{script}" defer></script>'
        for script in ("dials.js", "vendor/reveal/reveal.js", "slides.js")
    )
    + '</head><body><main class="reveal"><div class="slides">\n{slides}\n</div></main></body></html>\n'
)
