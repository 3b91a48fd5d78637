"""Feedback that opens offline, shows no hidden test, runs no script and loads nothing."""

from __future__ import annotations

import html
import re
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import jinja2
import latex2mathml.converter
import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup
from mdit_py_plugins.dollarmath import dollarmath_plugin
from nbformat import NotebookNode
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import Python3Lexer

from grading.records import Mark
from grading.repair import PICTURES
from grading.source import REGION

LONGEST_FORMULA = 2_000
LONGEST_CELL = 200_000  # characters of a cell on the page
LONGEST_PROSE = 20_000  # characters; what is longer is shown as it was written
MATHML = """
math mrow mi mn mo mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover mtable mtr mtd mpadded
mphantom menclose mstyle semantics
"""
WORDS = "p br hr em strong s code pre ul ol li blockquote h1 h2 h3 h4 h5 h6 table thead tbody tr th td img span div"
TAGS = {*MATHML.split(), *WORDS.split(" ")}
ATTRIBUTES = {
    "img": {"src", "alt"}, "math": {"display"}, "mo": {"stretchy", "fence", "separator"}, "mspace": {"width"},
    "mtable": {"columnalign"}, "mover": {"accent"}, "ol": {"start"}, "mi": {"mathvariant"}, "mstyle": {"displaystyle"},
}  # fmt: skip


@lru_cache(maxsize=512)
def formula(tex: str, display: bool) -> str:
    """The formula as MathML; what cannot be set, or is longer than any formula, stays as TeX."""
    tex = " ".join(tex.split())
    try:
        if len(tex) > LONGEST_FORMULA:
            raise ValueError
        return latex2mathml.converter.convert(tex, display="block" if display else "inline")
    except Exception:  # the converter raises whatever it meets, RecursionError included
        return f"<code>{html.escape(tex)}</code>"


@lru_cache(maxsize=1)
def reader() -> MarkdownIt:
    """Markdown with tables and formulas and without HTML."""
    draw = lambda tex, options: formula(tex, options["display_mode"])  # noqa: E731
    return MarkdownIt("commonmark", {"html": False}).enable("table").use(dollarmath_plugin, renderer=draw)


def prose(source: str, attachments: dict[str, Any]) -> Markup:
    """A Markdown cell: rendered, then cleaned of everything that is not on a short list."""

    def pasted(src: re.Match[str]) -> str:
        kinds = attachments.get(unquote(html.unescape(src[1])), {})
        for kind, data in kinds.items() if isinstance(kinds, dict) else ():
            if kind in PICTURES and isinstance(data, str):
                return f'src="data:{kind};base64,{html.escape(data)}"'
        return src[0]

    drawn = re.sub(r'src="attachment:([^"]*)"', pasted, reader().render(source))
    return Markup(nh3.clean(drawn, tags=TAGS, attributes=ATTRIBUTES, url_schemes={"data"}, link_rel=None))


def shown(output: NotebookNode) -> Markup:
    """One output: text or a picture."""
    if output.output_type == "stream":
        return Markup("<pre>{}</pre>").format(output.text)
    if output.output_type == "error":
        text = "\n".join(output.traceback) or f"{output.ename}: {output.evalue}"
        return Markup('<pre class="error">{}</pre>').format(text)
    for kind in ("image/png", "image/jpeg"):
        if kind in output.data:
            src, alt = (
                f"data:{kind};base64,{''.join(output.data[kind].split())}",
                output.data.get("text/plain", "output"),
            )
            return Markup('<img src="{}" alt="{}">').format(src, alt)
    return Markup("<pre>{}</pre>").format(output.data.get("text/plain", ""))


def page(notebook: NotebookNode, name: str, marks: list[Mark], plain: bool = False, note: str = "") -> str:
    """The page; with plain=True all text as it was written, which takes no time whatever it is."""
    by_name, colors = {mark.question: mark for mark in marks}, HtmlFormatter(style="friendly", nowrap=False)
    cells = []
    for cell in notebook.cells:
        meta, role = cell.metadata.get("nbgrader", {}), cell.metadata.get("normcore", {}).get("role", "")
        source = REGION.sub("", cell.source).rstrip() if meta.get("grade") else cell.source
        if len(source) > LONGEST_CELL:
            source = source[:LONGEST_CELL] + "\n[cut]"
        if plain or (cell.cell_type != "code" and len(source) > LONGEST_PROSE):
            body = Markup("<pre>{}</pre>").format(source)
        elif cell.cell_type == "code":
            body = Markup(highlight(source, Python3Lexer(), colors))
        else:
            body = prose(source, cell.get("attachments", {}))
        outputs = [shown(output) for output in cell.get("outputs", [])]
        own = role in ("answer", "written", "scratch", "keep") or cell.get("id", "").startswith("extra-")
        mark = by_name.get(meta.get("grade_id")) if meta.get("grade") else None
        cells.append({"body": body, "outputs": outputs, "own": own, "mark": mark})
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("grading", ""), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("feedback.html.jinja").render(
        name=name,
        colors=Markup(colors.get_style_defs(".highlight")),
        marks=marks,
        note=note,
        total=sum(mark.points or 0 for mark in marks),
        most=sum(mark.maximum for mark in marks),
        unread=sum(mark.points is None for mark in marks),
        cells=cells,
    )
