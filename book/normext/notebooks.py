"""From each chapter, notebooks that read well anywhere Jupyter runs.

A chapter is MyST Markdown: admonitions, exercises, references and measured numbers are directives and roles, which a
plain notebook would show as raw text.  After every build this extension translates them and writes two notebooks a
chapter, without outputs:

``<site>/_sources/<chapter>.ipynb``   the download: its first cell installs normcore where that is missing
``<build>/lite/<chapter>.ipynb``      for the notebooks inside the site and for `make lab`, where nothing is missing;
                                      cells tagged ``needs-torch`` become one sentence in the former

A directive or role that the translation does not know is a warning, so with ``-W`` it fails the build: no raw fence
can slip through.  Extend `Translator.directive` or `Translator.role` for a new one.
"""

import ast
import base64
import hashlib
import json
import mimetypes
import re
import textwrap
import unicodedata
from pathlib import Path
from typing import NamedTuple

import jupytext
import nbformat
from pybtex.database import parse_file
from sphinx.util import logging

from normext import questions
from normext.answers import answers_of, as_cells
from normext.fences import fences
from normext.student_edition import is_student

log = logging.getLogger(__name__)

NEEDS_TORCH = "needs-torch"
NO_TORCH = (
    "This cell needs PyTorch, which does not run in a browser: skipped. "
    "It runs on your computer, on Binder and on Colab."
)
ADMONITIONS = {"note", "tip", "hint", "important", "warning", "caution", "attention", "danger", "seealso"}

INLINE = re.compile(  # a role; or code or a formula, which stay as they are
    r"\{(?P<role>[a-z][\w:+-]*)\}(?P<open>`+)(?P<text>.+?)(?P=open)(?!`)"
    r"|(?P<code>(?<![`\\}])(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`))"
    r"|\$\$(?P<display>.+?)\$\$(?: *\((?P<label>[\w:.-]+)\))?"
    r"|(?P<math>(?<![\\$])\$(?!\s)[^$]+?(?<![\s\\])\$)",
    re.S,
)
LABEL = re.compile(r"^\(([\w:.-]+)\)=$")


class Unknown(Exception):
    """Something in a chapter that the translation has no words for."""


class Book(NamedTuple):
    """What a chapter's text refers to, outside of itself."""

    doc: str = "chapter"  # the chapter's own name
    folder: Path = Path()  # where its source lies
    titles: dict = {}  # noqa: RUF012 - name of a page: its title
    chapters: frozenset = frozenset()  # the pages that are notebooks, too
    labels: dict = {}  # noqa: RUF012 - label: (page, id, text)
    equations: dict = {}  # noqa: RUF012 - label: number
    exercises: dict = {}  # noqa: RUF012 - label: number
    glued: dict = {}  # noqa: RUF012 - name: text, as measured in this build
    papers: dict = {}  # noqa: RUF012 - key: (authors, year, address)
    site: str = ""  # address of the published book, if there is one
    siblings: bool = True  # other chapters lie beside this one

    def link(self, page, text, anchor=""):
        """``text`` as a link to a page of the book, if there is an address that works from where the notebook is."""
        if page == self.doc:
            return text
        if self.siblings and page in self.chapters:
            return f"[{text}]({page.rpartition('/')[2]}.ipynb)"
        return f"[{text}]({self.site}{page}.html{anchor and '#' + anchor})" if self.site else text


class Translator:
    """MyST Markdown to the Markdown of a plain notebook, one cell after the other."""

    def __init__(self, book):
        self.book = book
        self.solution = ""  # the title, while we are between solution-start and solution-end

    def cell(self, text):
        """One Markdown cell; text inside a solution is folded."""
        parts = [(self.solution, [])]
        for block in self.blocks(text):
            if parts[-1][0] != self.solution:
                parts.append((self.solution, []))
            parts[-1][1].append(block)
        texts = []
        for solution, blocks in parts:
            body = re.sub(r"\n{3,}", "\n\n", "\n".join(blocks)).strip()
            if body:
                texts.append(fold(solution, body) if solution else body)
        return "\n\n".join(texts)

    def blocks(self, text):
        """Translated pieces of a text, fences taken whole."""
        lines, done = text.splitlines(), 0
        for fence in fences(text):
            yield from self.paragraphs(lines[done : fence.start])
            if not fence.closed:
                raise Unknown(f"{lines[fence.start].strip()} is never closed")
            before = lines[fence.start].partition(fence.marks)[0]  # of a list or a quote
            if fence.name:
                made = self.directive(fence).splitlines()
            elif fence.marks[0] == ":":
                raise Unknown(f"{lines[fence.start].strip()} without a name")
            else:
                made = [fence.marks + fence.argument, *fence.body.splitlines(), fence.marks]
            after = re.sub(r"[^\s>]", " ", before)
            yield "\n".join((after if at else before) + line for at, line in enumerate(made)) + "\n"
            done = fence.end
        yield from self.paragraphs(lines[done:])

    def paragraphs(self, lines):
        """Prose; comments go, and a label becomes a place to jump to."""
        prose = []
        for line in lines:
            label = LABEL.match(line)
            if not label and not line.startswith("% "):
                prose.append(line)
                continue
            if prose:
                yield self.prose("\n".join(prose))
                prose = []
            if label:
                yield f'<a id="{label[1]}"></a>\n'
        if prose:
            yield self.prose("\n".join(prose))

    def directive(self, fence):
        """Every directive that a page with code uses; for a new one say here what a notebook shows."""
        name, argument, options = fence.name, fence.argument, fence.options
        inside = "\n".join(self.blocks(fence.text)).strip()
        if name in ADMONITIONS:
            return quote(name.replace("seealso", "see also").capitalize(), f"{argument}\n\n{inside}".strip())
        if name == "admonition":
            title = self.prose(argument)
            return fold(title, inside) if "dropdown" in options.get("class", "") else quote(title, inside)
        if name in ("exercise", "exercise-start"):
            return f"### {self.exercise(options.get('label', ''))}: {self.prose(argument)}\n\n{inside}"
        if name == "solution":
            return fold(f"Solution of {self.exercise(argument)}", inside)
        if name == "solution-start":
            self.solution = f"Solution of {self.exercise(argument)}"
            return ""
        if name in ("solution-end", "exercise-end"):
            self.solution = ""
            return ""
        if name == "literalinclude":
            return self.code(argument, options)
        if name in ("grid", "grid-item-card", "margin"):
            return quote(self.prose(argument), inside) if argument and name != "grid" else inside
        if name == "button-ref":
            return inside
        if name == "tally":
            return "*How many claims hold is counted while the book is built. You find it on the first page.*"
        if name == "ledger":
            return "*The table is filled while the book is built. You find it on the page of this chapter.*"
        if name == "questions":
            return questions.as_markdown(self.book.folder, self.book.doc)
        raise Unknown(f"the directive {{{name}}}")

    def prose(self, text):
        """Roles and formulas' labels inside of running text; code and formulas stay as they are."""
        out, done = [], 0
        for found in INLINE.finditer(text):
            out.append(self.plain(text[done : found.start()]))
            done = found.end()
            if found["role"]:
                out.append(self.role(found["role"], " ".join(found["text"].split())))
            elif found["display"]:
                out.append(self.display(found["display"], found["label"]))
            else:
                out.append(found[0])
        return "".join(out) + self.plain(text[done:])

    def plain(self, text):
        """Links between the sources become links between what is made from them."""

        def link(match):
            picture, words, address = match.groups()
            if picture:
                return f"![{words}]({self.embed(address)})"
            if re.match(r"[a-z]+:|//", address):
                return match[0]
            page, _, anchor = address.partition("#")
            name = self.page(page.removesuffix(".md")) if page else self.book.doc
            return self.book.link(name, words or self.book.titles.get(name, name), anchor)

        return re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", link, text)

    def role(self, name, text):
        words, _, target = text.rpartition("<")
        words, target = (words.strip(), target.rstrip(">")) if words and text.endswith(">") else ("", text)
        if name == "doc":
            page = self.page(target)
            return self.book.link(page, words or self.book.titles[page])
        if name == "ref":
            return self.reference(target, words)
        if name == "eq":
            if target not in self.book.equations:
                raise Unknown(f"no equation {target}")
            return f"({self.book.equations[target]})"
        if name == "glue:text":
            key, _, form = target.rpartition("::")[2].partition(":")
            if key not in self.book.glued:
                raise Unknown(f"no measured value {key}")
            value = self.book.glued[key]
            return format(float(value), form) if form else value
        if name in ("cite:t", "cite:p"):
            whole, paper = ("{0}", "{0} ({1})") if name == "cite:t" else ("({0})", "{0}, {1}")
            keys = re.split(r"\s*,\s*", target)
            return whole.format("; ".join(self.cite(key, paper) for key in keys))
        if name in ("func", "meth", "class", "mod"):
            shown = words or (target[1:].rpartition(".")[2] if target.startswith("~") else target)
            call = name in ("func", "meth") and not words
            return f"`{shown}{'()' if call else ''}`"
        if name == "term":
            return words or target.partition(" (")[0]
        raise Unknown(f"the role {{{name}}}")

    def reference(self, label, words):
        if label in self.book.exercises:
            return words or self.exercise(label)
        if label not in self.book.labels:
            raise Unknown(f"no place is called {label}")
        page, anchor, text = self.book.labels[label]
        return self.book.link(page, words or text, anchor)

    def page(self, target):
        """Full name of a page that a chapter may call by its last part."""
        near = (Path(self.book.doc).parent / target).as_posix()
        for name in (target.lstrip("/"), near, re.sub(r"(^|/)[^/]+/\.\./", r"\1", near)):
            if name in self.book.titles:
                return name
        raise Unknown(f"no page {target}")

    def exercise(self, label):
        return f"Exercise {self.book.exercises[label]}" if label in self.book.exercises else "Exercise"

    def display(self, formula, label):
        number = self.book.equations.get(label)
        tag = f" \\tag{{{number}}}" if number else ""
        return f"\n$$\n{formula.strip()}{tag}\n$$\n"

    def cite(self, key, form):
        if key not in self.book.papers:
            raise Unknown(f"no paper {key} in the bibliography")
        authors, year, address = self.book.papers[key]
        text = form.format(authors, year)
        return f"[{text}]({address})" if address else text

    def code(self, source, options):
        """A piece of the package's own code."""
        unknown = options.keys() - {"language", "pyobject", "caption", "class"}
        if unknown:
            raise Unknown(f"literalinclude with {', '.join(sorted(unknown))}")
        text = (self.book.folder / source).read_text("utf8")
        if "pyobject" in options:
            text = definition(text, options["pyobject"])
        return f"```{options.get('language', 'python')}\n{text.rstrip()}\n```"

    def embed(self, source):
        """A picture of the book as an address that needs no file beside the notebook."""
        if re.match(r"[a-z]+:", source):
            return source
        path = self.book.folder / source
        if not path.exists():
            raise Unknown(f"no picture {source}")
        kind = mimetypes.guess_type(path.name)[0]
        return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def definition(text, name):
    """Source of the function or class ``name``, as ``literalinclude`` cuts it out."""
    body = ast.parse(text).body
    for part in name.split("."):
        found = next((one for one in body if getattr(one, "name", None) == part), None)
        if found is None:
            raise Unknown(f"no definition of {name}")
        body = found.body
    first = min([found.lineno, *(one.lineno for one in found.decorator_list)])
    return textwrap.dedent("\n".join(text.splitlines()[first - 1 : found.end_lineno]))


def quote(title, text):
    """An admonition as every Markdown shows it."""
    return "\n".join(f"> {line}".rstrip() for line in f"**{title}**\n\n{text}".splitlines())


def fold(title, text):
    return f"<details><summary><b>{title}</b></summary>\n\n{text}\n\n</details>"


def notebook(source, book, *, browser=False, setup=""):
    """The chapter as a notebook without outputs.

    ``browser``: cells that need PyTorch say so instead of failing, and those that the page does not show are left
    out.  ``setup``: code of a first cell.
    """
    chapter = jupytext.reads(source, fmt="md:myst")
    translator = Translator(book)
    cells = []
    if setup:
        cells.append(nbformat.v4.new_code_cell(setup, metadata={"tags": ["setup"]}))
    for cell in chapter.cells:
        if cell.cell_type == "markdown":
            text = translator.cell(cell.source)
            if text:
                cells.append(nbformat.v4.new_markdown_cell(text))
        elif cell.cell_type == "code" and not (browser and {NEEDS_TORCH, "remove-cell"} <= tags_of(cell)):
            cells.append(code_cell(cell, translator.solution, browser))
    for number, cell in enumerate(cells):  # the same source gives the same file
        cell["id"] = f"{'code' if cell.cell_type == 'code' else 'text'}-{number:03d}"
    made = nbformat.v4.new_notebook(cells=cells)
    made.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    made.metadata["language_info"] = {"name": "python"}
    nbformat.validate(made)
    return nbformat.writes(made) + "\n"


def tags_of(cell):
    return set(cell.metadata.get("tags", []))


def code_cell(cell, solution, browser):
    tags = tags_of(cell)
    source = cell.source
    needs_torch = re.search(r"^\s*(?:import|from) (?:torch|normcore\.autograd)\b", source, re.M)
    if needs_torch and NEEDS_TORCH not in tags:
        raise Unknown(f"a cell imports torch without the tag {NEEDS_TORCH}")
    if browser and NEEDS_TORCH in tags:
        source = f"print({NO_TORCH!r})\n\n" + "\n".join(f"# {line}".rstrip() for line in source.splitlines())
    metadata = {"tags": sorted(tags)} if tags else {}
    if solution:  # folded in Jupyter, and in Colab
        source = f"# @title {solution}\n{source}"
        metadata["cellView"] = "form"
    if solution or tags & {"hide-input", "hide-cell", "remove-input", "remove-cell"}:
        metadata["jupyter"] = {"source_hidden": True}
    return nbformat.v4.new_code_cell(source, metadata=metadata)


# ---- the part that knows Sphinx ----

SETUP = '''\
# Where normcore is missing (Colab, Kaggle), this cell installs it.
import glob
import importlib.util

if importlib.util.find_spec("normcore") is None:
    wheels = sorted(glob.glob("normcore-*.whl"))
    source = wheels[-1] if wheels else {source!r}
    if not source:
        raise SystemExit("normcore is not installed. Put its wheel (normcore-...whl) beside this notebook, run again.")
    %pip install --quiet {{source}}\
'''


def repository(config):
    """Address of the repository, "" until `repository: url` in _config.yml has one: the one place to set it."""
    return (config.html_theme_options.get("repository_url") or "").rstrip("/")


def setup_cell(config):
    """Code of the download's first cell; it knows the repository as soon as _config.yml does."""
    url = repository(config)
    return SETUP.format(source=f"git+{url}" if url else "")


def read_papers(files):
    papers = {}
    for file in files:
        for key, one in parse_file(str(file)).entries.items():
            names = [" ".join([*p.prelast_names, *p.last_names]) for p in one.persons.get("author", [])]
            names = [re.sub(r"[{}]", "", name) for name in names]
            authors = names[0] + " et al." if len(names) > 2 else " and ".join(names)
            fields = {name.lower(): value for name, value in one.fields.items()}
            address = fields.get("url", "")
            if "doi" in fields:
                address = f"https://doi.org/{fields['doi']}"
            elif "eprint" in fields:
                address = f"https://arxiv.org/abs/{fields['eprint']}"
            papers[key] = (unicodedata.normalize("NFC", authors), fields["year"], address)
    return papers


def read_glued(folder):
    """{name: text} of everything that chapters measured in this build."""
    glued = {}
    for file in sorted(folder.rglob("*.glue.json")):
        for name, output in json.loads(file.read_text("utf8")).items():
            text = output["data"].get("text/plain", "")
            glued[name] = ast.literal_eval(text) if text[:1] in "'\"" and text else text
    return glued


def book_of(app, doc, **where):
    env = app.env
    standard = env.get_domain("std")
    labels = {name: (page, anchor, name) for name, (page, anchor) in standard.anonlabels.items()}
    labels |= {name: found for name, found in standard.labels.items() if found[2]}
    numbers = env.toc_fignumbers.get(doc, {}).get("exercise", {})
    return Book(
        doc=doc,
        folder=Path(env.doc2path(doc)).parent,
        titles={name: title.astext() for name, title in env.titles.items()},
        chapters=frozenset(chapters(app)),
        labels={name: tuple(found) for name, found in labels.items()},
        equations={name: found[1] for name, found in env.get_domain("math").equations.items()},
        exercises={name: ".".join(map(str, number)) for name, number in numbers.items()},
        **where,
    )


def chapters(app):
    """Names of the pages that run code."""
    return [doc for doc in sorted(app.env.found_docs) if "kernelspec" in app.env.metadata.get(doc, {})]


def source_of(app, doc):
    """A chapter's source as this edition of the book has it, after every extension that edits sources."""
    text = [Path(app.env.doc2path(doc)).read_text("utf8")]
    app.env.temp_data["docname"] = doc
    app.emit("source-read", doc, text)
    return text[0]


def inputs_of(app, book):
    """Digest of all that a chapter's notebooks are made from."""
    files = [Path(app.env.doc2path(book.doc)), *book.folder.glob(f"questions/{Path(book.doc).name}.yml")]
    files += sorted([*Path(app.srcdir).glob("normcore/*.py"), *Path(__file__).parent.glob("*.py")])  # quoted; the maker
    facts = [*book._replace(chapters=sorted(book.chapters)), setup_cell(app.config), is_student()]
    parts = (repr(facts).encode(), *(file.read_bytes() for file in files))
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def write(app, error):
    if error or app.builder.name != "html":
        return
    out = Path(app.outdir)
    kept = out.parent / "notebooks" / ".inputs.json"
    before, now = json.loads(kept.read_text("utf8")) if kept.exists() else {}, {}
    papers = read_papers(Path(app.srcdir) / file for file in app.config.bibtex_bibfiles)
    glued = read_glued(out.parent / "jupyter_execute")
    site = app.config.html_baseurl.rstrip("/") + "/" if app.config.html_baseurl else ""
    for doc in chapters(app):
        known = book_of(app, doc, papers=papers, glued=glued, site=site)
        now[doc] = inputs_of(app, known)
        name = doc.rpartition("/")[2] + ".ipynb"
        kinds = {
            out / "_sources" / f"{doc}.ipynb": (known._replace(siblings=False), {"setup": setup_cell(app.config)}),
            out.parent / "notebooks" / "lab" / name: (known, {}),
            out.parent / "notebooks" / "lite" / name: (known, {"browser": True}),
        }
        if now[doc] == before.get(doc) and all(path.exists() for path in kinds):
            continue
        source = as_cells(source_of(app, doc), answers_of(app, doc))
        for path, (book, kind) in kinds.items():
            try:
                made = notebook(source, book, **kind)
            except Unknown as unknown:
                log.warning("notebook of this chapter: %s (see book/normext/notebooks.py)", unknown, location=doc)
                del now[doc]  # it is said again at the next build
                break
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made, "utf8")
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(now), "utf8")
    for folder in ("lab", "lite"):  # of chapters that are no more
        for path in (out.parent / "notebooks" / folder).glob("*.ipynb"):
            if path.stem not in {doc.rpartition("/")[2] for doc in chapters(app)}:
                path.unlink()


def offer_download(app, pagename, templatename, context, doctree):
    """The theme's download button offers the notebook, too."""
    if pagename in chapters(app):
        context["ipynb_source"] = f"{pagename}.ipynb"


def setup(app):
    app.connect("html-page-context", offer_download, priority=400)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
