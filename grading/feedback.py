"""Feedback that opens offline, shows no hidden test and runs no script."""

from __future__ import annotations

import html
import re
from functools import lru_cache
from typing import Any

from nbformat import NotebookNode
from nbgrader.preprocessors import ClearHiddenTests, NbGraderPreprocessor

from grading.source import REGION

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:"


class HideHiddenTests(NbGraderPreprocessor):
    """Replaces the text of hidden tests by nothing, and tracebacks of tests by their last line."""

    def preprocess_cell(self, cell: NotebookNode, resources: dict[str, Any], index: int) -> Any:
        if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("grade"):
            if REGION.search(cell.source):
                cell, resources = ClearHiddenTests().preprocess_cell(cell, resources, index)
                cell.source = cell.source.rstrip()
            for output in cell.outputs:
                if output.output_type == "error":
                    output.traceback = [f"{output.ename}: {output.evalue}"]
        return cell, resources


def offline(page: str) -> str:
    """Return the HTML page without scripts and outside addresses, its formulas drawn."""
    page = re.sub(r"<script\b.*?</script\s*>", "", page, flags=re.DOTALL | re.IGNORECASE)
    page = re.sub(r"<link\b[^>]*>", "", page, flags=re.IGNORECASE)
    page = page.replace("<head>", f'<head>\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">', 1)
    return re.sub(
        r'(<div class="text_cell_render.*?">)(.*?)(</div>)',
        lambda m: m[1] + _draw_formulas(m[2]) + m[3],
        page,
        flags=re.DOTALL,
    )


def _draw_formulas(text: str) -> str:
    pieces = re.split(r"(<pre.*?</pre>|<code.*?</code>)", text, flags=re.DOTALL)
    for i in range(0, len(pieces), 2):
        pieces[i] = re.sub(
            r"\$\$(.+?)\$\$|\$([^$]+?)\$",
            lambda m: _formula(html.unescape(m[1] or m[2]), display=bool(m[1])),
            pieces[i],
            flags=re.DOTALL,
        )
    return "".join(pieces)


@lru_cache(maxsize=512)
def _formula(tex: str, display: bool = False) -> str:
    """Return the formula as inline SVG; what matplotlib cannot set stays as TeX."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path as Outline
    from matplotlib.textpath import TextPath, TextToPath

    tex = " ".join(tex.split())
    size = 15.0
    try:
        font = FontProperties(math_fontfamily="cm")
        outline = TextPath((0, 0), f"${tex}$", size=size, prop=font)
        width, height, depth = TextToPath().get_text_width_height_descent(
            f"${tex}$", FontProperties(size=size, math_fontfamily="cm"), ismath=True
        )
    except ValueError:
        return f"<code>{html.escape(tex)}</code>"
    letters = {Outline.MOVETO: "M", Outline.LINETO: "L", Outline.CURVE3: "Q", Outline.CURVE4: "C"}
    drawn = []
    for points, code in outline.iter_segments(simplify=False):
        drawn.append(
            "Z"
            if code == Outline.CLOSEPOLY
            else letters[code] + " ".join(f"{v if k % 2 == 0 else -v:.2f}" for k, v in enumerate(points))
        )
    svg = (
        f'<svg role="img" aria-label="{html.escape(tex, quote=True)}" width="{width + 2:.1f}" '
        f'height="{height + 2:.1f}" viewBox="-1 {depth - height - 1:.1f} {width + 2:.1f} {height + 2:.1f}" '
        f'style="vertical-align: {-depth - 1:.1f}px"><path d="{"".join(drawn)}"/></svg>'
    )
    return f'<p style="text-align: center">{svg}</p>' if display else svg
