"""What the search knows: one record for each section of the book, in a script that the page of the search loads.

`search.js` ranks them with MiniSearch (an npm package, see `vendor`).  Pagefind, which would cut the index into parts,
fetches them: it finds nothing in a copy that is opened from a folder, and it knows no other spelling of a word.
Without npm the page keeps Sphinx's own search.

The records come from the pages as they are written, so an edition without solutions has none here either.
"""

import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
BLOCKS = {"p", "li", "dt", "dd", "tr", "td", "th", "figcaption", "caption", "summary", "div", "pre", *HEADINGS}
SKIPPED_TAGS = {"script", "style", "svg", "button", "mjx-container", "noscript"}
SKIPPED_CLASSES = {"headerlink", "nc-dial", "nc-live", "nc-note", "output", "highlight-none", "section-number"}
LISTS = ("API reference", "Bibliography", "Assignments", "Notes for teaching")  # what they say is explained elsewhere
TASKS = ("Exercises", "Check yourself")
ROWS = ("claim-", "explanation-")  # of the ledgers
GREEK = re.compile(r"\\(?:var)?(alpha|beta|gamma|epsilon|eta|lambda|mu|sigma)(?![a-zA-Z])")
NAME = re.compile(r"[A-Za-z_]\w{2,}")


class Sections(HTMLParser):
    """The sections of a page: what stands under a heading, a term, a function or a row that has an address."""

    def __init__(self, html):
        super().__init__()
        self.found, self.open, self.stack = [], [], []  # all; those that are not closed; [(tag, what ends with it)]
        self.skipped = self.code = self.article = 0
        self.title = None  # the depth of the heading that is being read
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        if tag in VOID:
            return
        a = dict(attributes)
        if self.open and a.get("data-tex"):
            self.open[-1]["code"].update(GREEK.findall(a["data-tex"]))
        classes = set((a.get("class") or "").split())
        ends = []
        if tag == "article" and "bd-article" in classes:
            ends.append("article")
        if tag in SKIPPED_TAGS or (SKIPPED_CLASSES & classes):
            ends.append("skipped")
        if tag == "pre":
            ends.append("code")
        for name in ends:
            setattr(self, name, getattr(self, name) + 1)
        name = a.get("id")
        if self.article and name and (tag == "section" or (tag == "tr" and name.startswith(ROWS))):
            self.begin(name)
            ends.append("section")
        elif self.article and tag == "dl":
            ends.append("terms")
        elif self.article and tag == "dt" and (name or "sig" in classes):
            self.end_term()
            if name:
                self.begin(name, term=True)
                if "sig" in classes:  # the whole of it would outweigh any heading
                    self.open[-1].update(title=name, reference=True)
        heading = tag in HEADINGS or tag == "dt" or (tag == "th" and self.open and self.open[-1]["row"])
        if heading and self.open and self.title is None and not self.open[-1]["title"]:
            self.title = len(self.stack)
        if tag in BLOCKS:
            self.write("\n")
        self.stack.append((tag, ends))

    def begin(self, name, term=False):
        row = name.startswith(ROWS)
        self.open.append({"id": name, "term": term, "row": row, "title": "", "text": "", "code": set()})
        self.found.append(self.open[-1])

    def end_term(self):
        if self.open and self.open[-1]["term"]:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag in VOID or tag not in [open_tag for open_tag, _ in self.stack]:
            return
        while True:
            closed, ends = self.stack.pop()
            for name in ends:
                if name == "section":
                    self.end_term()
                    self.open.pop()
                elif name == "terms":
                    self.end_term()
                else:
                    setattr(self, name, getattr(self, name) - 1)
            if self.title is not None and len(self.stack) <= self.title:
                self.title = None
            if closed in BLOCKS:
                self.write("\n")
            if closed == tag:
                return

    def handle_data(self, data):
        self.write(data.replace("\n", " "))

    def write(self, text):
        if not self.open or self.skipped or not self.article:
            return
        section = self.open[-1]
        if self.code:
            section["code"].update(NAME.findall(text))
        elif self.title is not None:
            section["title"] += text
        else:
            section["text"] += text


def plain(text):
    """Lines without double spaces, and none that is empty."""
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def named(section):
    """The title of a section; a row of a ledger begins with its number, and is called a claim."""
    title = " ".join(section["title"].split())
    return f"{section['id'].replace('-', ' ').capitalize()}: {title.partition(' ')[2]}" if section["row"] else title


def weight(page, section):
    """The chapters explain; the reference lists; exercises and questions speak of everything at once."""
    if section["title"].strip().startswith(TASKS):
        return 0.2
    return 0.35 if section.get("reference") or page in LISTS else 1


def records(html, address):
    """[{title, page, url, text, code}] of one page."""
    sections = [section for section in Sections(html).found if section["title"].strip()]
    page = " ".join(sections[0]["title"].split()) if sections else ""
    return [
        {
            "title": named(section),
            "page": page,
            "url": address if section is sections[0] else f"{address}#{section['id']}",
            "text": plain(section["text"]),
            "code": " ".join(sorted(section["code"])),
            "weight": weight(page, section),
        }
        for section in sections
    ]


def offer(app, pagename, templatename, context, doctree):
    """Once all chapters are written comes the page of the search, and with it the records."""
    folders = [Path(app.confdir) / folder for folder in app.config.html_static_path]
    if pagename != "search" or not any((folder / "vendor" / "minisearch.js").exists() for folder in folders):
        return
    found = []
    for page in sorted(app.env.found_docs):
        address = app.builder.get_target_uri(page)
        found += records((Path(app.outdir) / address).read_text("utf8"), address)
    text = f"window.normcoreSections = {json.dumps(found, ensure_ascii=False, separators=(',', ':'))};\n"
    name = f"sections-{hashlib.sha256(text.encode()).hexdigest()[:8]}.js"
    (Path(app.outdir) / "_static" / name).write_text(text, "utf8")
    context["search_sections"] = name
