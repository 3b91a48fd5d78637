"""One style for every picture of the book, and one way to put a picture on a page.

A picture is drawn by a pure function ``draw_*(...) -> Figure``, decorated with :func:`picture`.  It shows itself as
inline SVG: lines and letters take the color of the page's text (so it is legible in light mode, in dark mode and on
paper), letters stay letters, and no picture leaves without saying in words what it shows.

Matplotlib lays out with the typeface of the pages, a subset of Source Sans 3 that stands beside this file
(``tools/fonts.py`` made it): a label is as wide on the page as it was measured.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec

import cycler
import matplotlib
import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.font_manager import fontManager
from matplotlib.ticker import FuncFormatter, LogFormatter, LogFormatterSciNotation, LogLocator, NullLocator
from PIL import Image

from normbook.evidence import grouped, rounded_up

WIDTH = 4.8  # inches, about as wide as a phone: there the smallest letters, of SMALL points, are 11 pixels high
SMALL = 11
FONT = Path(__file__).with_name("normcore-sans.ttf")
FAMILY = "Normcore Sans"
fontManager.addfont(FONT)

# Safe for color-blind readers, and each at least 3:1 against white and against the dark page (see the tests).
BLUE, ORANGE, GREEN, PINK, GRAY = "#2a7fc4", "#cf5f0c", "#148a68", "#c0559a", "#7d7d7d"
COLORS = (BLUE, ORANGE, GREEN, PINK, GRAY)
INK = "#010203"  # stands for the color of the page's text; becomes `currentColor` in the SVG

STYLE: Any = {
    "font.family": FAMILY,
    "font.size": 11.5,
    "axes.titlesize": 12,
    "axes.labelsize": 11.5,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "figure.labelsize": 11.5,
    "legend.fontsize": SMALL,
    "legend.title_fontsize": SMALL,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 2,
    "lines.markersize": 6,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "grid.linewidth": 0.6,
    "axes.prop_cycle": cycler.cycler(color=COLORS),
    "image.cmap": "cividis",
    "mathtext.default": "regular",
    "svg.fonttype": "none",
    "svg.hashsalt": "normcore",
}

P = ParamSpec("P")


class Figure(matplotlib.figure.Figure):
    """A Matplotlib figure that says what it shows.

    ``alt`` describes the picture to somebody who cannot see it; ``numbers`` is the one line below it.
    """

    alt = ""
    numbers = ""
    points: Sequence[float] = ()  # values in it that a reader may move (normbook.explore)

    def describe(self, alt: str, numbers: str = "") -> Figure:
        """Set the alternative text and the line of key numbers; returns the figure."""
        self.alt, self.numbers = alt, numbers
        for axis in (axis for axes in self.axes for axis in (axes.xaxis, axes.yaxis)):
            if isinstance(axis.get_major_formatter(), LogFormatter):
                axis.set_major_formatter(Powers())
            if isinstance(axis.get_minor_formatter(), LogFormatter):
                axis.set_minor_formatter(Powers(labelOnlyBase=False))
        return self

    def to_svg(self) -> str:
        """The picture as an ``<svg>`` element that can stand in a page, beside others."""
        file = io.StringIO()
        with matplotlib.rc_context(STYLE):
            self.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        return _inline(file.getvalue(), self.alt, self.get_figwidth())

    def _repr_html_(self) -> str:
        """What a notebook shows: the picture, and its key numbers as the caption."""
        caption = f"<figcaption>{html.escape(self.numbers)}</figcaption>" if self.numbers else ""
        return f'<figure class="nc-figure">{self.to_svg()}{caption}</figure>'


def figure(height: float = 3.2, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """A new figure of the book's width and its axes, as ``matplotlib.pyplot.subplots`` returns them, without pyplot."""
    new = Figure(figsize=(WIDTH, height), layout="constrained")
    return new, new.subplots(rows, columns, **options)


def picture(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Decorate a ``draw_*`` function: it draws in the book's style and must describe its figure."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(STYLE):
            drawn = draw(*args, **kwargs)
        if not drawn.alt.strip():
            raise ValueError(
                f"{draw.__name__} drew a figure without an alternative text: end with figure.describe(alt=...)"
            )
        return drawn

    return styled


def plain_ticks(axis: Axis, steps: Sequence[int] = (1, 2, 5), factor: float = 1) -> None:
    """Ordinary numbers along a logarithmic axis: 20, 50, 100 and not 2×10¹; a factor of 100 makes them percent."""
    axis.set_major_locator(LogLocator(subs=[float(s) for s in steps]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{factor * value:g}"))
    axis.set_minor_locator(NullLocator())


def scientific(value: float, digits: int = 2, up: bool = False) -> str:
    """A number as people write it: 1 500, 0.25, 4.8×10⁻¹⁰.  A bound is rounded ``up``, so that it still bounds.

    >>> scientific(6.24e8), scientific(1500), scientific(0.25)
    ('6.2×10⁸', '1\\u202f500', '0.25')
    >>> scientific(6.24e8, up=True)
    '6.3×10⁸'
    """
    if up and value:
        value = rounded_up(value, digits - 1 - int(np.floor(np.log10(abs(value)))))
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        places = max(0, digits - 1 - int(np.floor(np.log10(abs(value))))) if value else 0
        return grouped(value, places)
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}×10{str(int(exponent)).translate(_SUPERSCRIPT)}"


_SUPERSCRIPT = str.maketrans("-−0123456789", "⁻⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Powers(LogFormatterSciNotation):
    """10⁻³ along a logarithmic axis, in the letters of the typeface: Matplotlib's own exponents are too small to read.

    >>> Powers()(1e-3), Powers(labelOnlyBase=False)(2e5)
    ('10⁻³', '2×10⁵')
    """

    def __call__(self, value: float, pos: int | None = None) -> str:
        formula = super().__call__(value, pos)
        plain = re.sub(r"\^\{(.*?)\}", lambda found: found[1].translate(_SUPERSCRIPT), formula)
        return re.sub(r"\$|\\mathdefault|[{} ]", "", plain.replace(r"\times", "×"))


def picture_only(axes: Axes) -> None:
    """Leave nothing of the axes but what is drawn inside: for images and drawings."""
    axes.set_axis_off()


def _unwrapped(svg: str) -> str:
    """The same picture without the groups that say nothing: most of Matplotlib's, once their names are gone.

    >>> _unwrapped('<g><g style="a"><g><path/></g></g><g> </g></g>')
    '<g style="a"><path/></g> '
    """
    speaking: list[bool] = []  # of the groups that are open here

    def tag(found: re.Match[str]) -> str:
        if found[0] != "</g>":
            speaking.append(found[0] != "<g>")
            return found[0] if speaking[-1] else ""
        return found[0] if speaking.pop() else ""

    return re.sub(r"<g\b[^>]*(?<!/)>|</g>", tag, svg)


def _packed(found: re.Match[str]) -> str:
    """The same pixels as WebP without loss: three quarters of a PNG of a photo, half of one of few colors."""
    file = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(found[1]))) as image:
        image.save(file, format="webp", lossless=True, exact=True)
    return f'"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"'


def _inline(svg: str, alt: str, width: float) -> str:
    """Make a stand-alone SVG of Matplotlib an element of a page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'"data:image/png;base64,([^"]*)"', _packed, svg)
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.S)
    svg = re.sub(r' d="[^"]*"', lambda m: re.sub(r"(\.\d)\d+", r"\1", m[0]), svg)  # a tenth of a point is enough
    svg = re.sub(r"(\.\d{3})\d+", r"\1", svg)
    svg = svg.replace(INK, "currentColor")
    svg = svg.replace(f"; font-family: '{FAMILY}'", "")  # said once, below
    svg = re.sub(
        r' transform="rotate\(-0 [^"]*"|<style.*?</style>|<path d="[^"]*" style="fill: none"/>', "", svg, flags=re.S
    )
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: m[0] if m[1] in used else "", svg)
    own = hashlib.sha256(svg.encode()).hexdigest()[
        :8
    ]  # the same name in two pictures would be one element for the page
    svg = re.sub(r'(url\(#|href="#| id=")(?=[^)"]+)', rf"\g<1>{own}-", svg)
    svg = re.sub(r"\s+", " ", _unwrapped(re.sub(r"<g/>|<defs>\s*</defs>", "", svg)))
    view = re.search(r'viewBox="[^"]*"', svg)
    assert view is not None
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {view[0]} role="img" '
        f'aria-label="{html.escape(alt)}" '
        f'style="width:100%;max-width:{width * 96 * 1.15:.0f}px;height:auto;stroke-linejoin:round;'
        f"font-family:'{FAMILY}','{FAMILY} Fallback',sans-serif;font-kerning:none\">"
    )
    return head + svg[svg.index(">") + 1 :].strip()
