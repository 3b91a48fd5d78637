"""Notes for teaching a chapter: ``book/teaching/CHAPTER.yml``, one source for the page of notes, handouts and slides.

``minutes`` has the chapter's sections with their minutes in class, ``dial`` what to ask before turning which dial,
``board`` what to write, ``public`` questions that people asked in public, ``shorten`` what to leave out, ``handout`` a
formula, the section whose first picture is shown, three facts and a warning.  What students get wrong comes from the
bank of questions.  A place named by the chapter's title is its opening.  ``{teaching-notes}`` makes a section for each
chapter.
"""

import re
from pathlib import Path

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from normext import question_bank
from normext.question_bank import Choice

NEEDED = {"minutes", "board", "dial", "shorten", "handout"}
AFTERWARD = {"Check yourself", "Exercises"}  # sections that no lecture shows


class NotesError(ExtensionError):
    """Notes that do not fit their chapter."""


def title(text):
    """A chapter's title, from its source."""
    return re.search(r"^# (.+)$", text, re.M)[1]


def sections(text):
    """The headings of a chapter's sections, in order."""
    prose = re.sub(r"^(`{3,}|~{3,}).*?^\1`*$", "", text, flags=re.M | re.S)
    return [heading for heading in re.findall(r"^## (.+)$", prose, re.M) if heading not in AFTERWARD]


def part(text, place):
    """The source of a section, or of the opening, whose place has the chapter's title."""
    sign = "#" if place == title(text) else "##"
    return text.split(f"\n{sign} {place}\n", 1)[1].split("\n## ", 1)[0]


def chapters(root):
    """{name: source} of the chapters that have notes, in the order of the book."""
    toc = yaml.safe_load((root / "_toc.yml").read_text("utf8"))
    names = [Path(chapter["file"]).name for part in toc["parts"] for chapter in part["chapters"]]
    return {
        name: (root / "book" / f"{name}.md").read_text("utf8")
        for name in names
        if (root / "book" / "teaching" / f"{name}.yml").exists()
    }


def read(root, name, text):
    """A chapter's notes; NotesError where they do not fit its source."""
    path = root / "book" / "teaching" / f"{name}.yml"
    notes = yaml.safe_load(path.read_text("utf8"))
    if NEEDED - set(notes) or set(notes) - NEEDED - {"public"}:
        raise NotesError(f"{path.name}: want {', '.join(sorted(NEEDED))} and perhaps public, found {sorted(notes)}")
    if list(notes["minutes"]) != sections(text):
        raise NotesError(f"{path.name}: minutes for {list(notes['minutes'])}, the chapter has {sections(text)}")
    for key, place in (("dial", notes["dial"]["section"]), ("handout", notes["handout"]["picture"])):
        if place not in (*notes["minutes"], title(text)):
            raise NotesError(f"{path.name}: {key} is in {place!r}, which is no section of the chapter")
    if len(notes["handout"]["facts"]) != 3:
        raise NotesError(f"{path.name}: a handout has three facts, found {len(notes['handout']['facts'])}")
    return notes


def mistakes(root, name):
    """The names of what students get wrong, from the chapter's questions, each once."""
    names = []
    for one in question_bank.read(root / "book" / "questions" / f"{name}.yml"):
        found = one.options if isinstance(one, Choice) else one.variants[0].mistakes
        names += [option.mistake for option in found if option.mistake]
    return list(dict.fromkeys(names))


def as_markdown(root, name, notes):
    """What the page of notes says about a chapter."""
    total = sum(notes["minutes"].values())
    skipped = [section for section, minutes in notes["minutes"].items() if not minutes]
    rows = "\n".join(f"| {section} | {minutes} |" for section, minutes in notes["minutes"].items() if minutes)
    lines = [
        f"{{doc}}`{name}`, {total} minutes in class." + (f" Left to reading: {'; '.join(skipped)}." if skipped else "")
        + f" Slides: `slides/{name}.html`.",
        f"| Section | Minutes |\n|---|---|\n{rows}",
        f"**The dial.** In *{notes['dial']['section']}*. Ask first: “{notes['dial']['ask']}” {notes['dial']['then']}",
        "**On the board.**",
        "\n".join(f"{number}. {line}" for number, line in enumerate(notes["board"], 1)),
        f"**What students get wrong.** {'; '.join(mistakes(root, name))}.",
    ]
    if notes.get("public"):
        asked = "; ".join(f"[{one['ask']}]({one['at']})" for one in notes["public"])
        lines.append(f"**Asked in public.** {asked}")
    return "\n\n".join([*lines, f"**Shorter.** {notes['shorten']}"])


class TeachingNotes(SphinxDirective):
    """``{teaching-notes}``: a section for each chapter."""

    def run(self):
        root, made = Path(self.env.srcdir), []
        for name, text in chapters(root).items():
            for folder in ("teaching", "questions"):
                self.env.note_dependency(str(root / "book" / folder / f"{name}.yml"))
            self.env.note_dependency(str(root / "book" / f"{name}.md"))
            section = nodes.section(ids=[f"teaching-{name}"], names=[f"teaching-{name}"])
            section += nodes.title("", title(text))
            markdown = as_markdown(root, name, read(root, name, text))
            self.state.nested_parse(StringList(markdown.splitlines(), self.env.docname), 0, section)
            made.append(section)
        return made


def add_directive(app):
    app.add_directive("teaching-notes", TeachingNotes)
