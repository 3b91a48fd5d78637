"""One widget for the whole book: dials beside a picture, alive with a kernel and without one."""

from __future__ import annotations

import functools
import hashlib
import html
import itertools
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import ipywidgets as widgets
from tqdm.auto import tqdm

if sys.platform == "emscripten":
    tqdm.monitor_interval = 0  # the monitor is a thread, and a browser's Python has none

MOST_PICTURES = 120  # every picture travels with the page
NO_SCRIPT = "The dials need scripts, which are switched off here: this is the picture at their defaults."


def explore(
    draw: Callable[..., Any], *, start: dict[str, Any] | None = None, **choices: Sequence[Any]
) -> Explorer | Published:
    """Show ``draw(...)`` with a dial for each keyword argument.

    Parameters
    ----------
    draw
        A function that returns a figure which can show itself as HTML and has an alternative text ``alt``: any
        ``draw_*`` function of ``normbook.figures``.  It is called once for every combination of the choices.
    start
        Where the dials stand at first, ``{argument: value}``.  A dial not named here starts at its first value.
    **choices
        For each argument of ``draw`` the values of its dial, at least two.  Numbers make a slider; words and truth
        values make buttons.  A value may be a pair ``(label, value)``.

    Returns
    -------
    Explorer or Published
        With a kernel a widget; while the book is built (``NORMCORE_BOOK`` is set then) the HTML of a page, with the
        browser's own controls.  All pictures are drawn now, and dial and picture are linked in the front end: the dials
        need no kernel, and an error in ``draw`` is an error of the cell.

    Raises
    ------
    ValueError
        For no choices, fewer than two values, a start that is no choice, too many combinations, or a picture without
        an alternative text.

    Examples
    --------
    >>> from normbook.style import figure, picture
    >>> @picture
    ... def draw_line(slope):
    ...     fig, axes = figure()
    ...     axes.plot([0, 1], [0, slope])
    ...     return fig.describe(alt=f"A line of slope {slope}.", numbers=f"slope {slope}")
    >>> explorer = explore(draw_line, start={"slope": 2}, slope=[1, 2, 3])
    >>> explorer.dials["slope"].value
    2
    """
    start = dict(start or {})
    options = {name: [_labelled(value) for value in values] for name, values in choices.items()}
    _check(options, start)

    dials = [Dial.of(name, options[name], start.get(name, options[name][0][1])) for name in options]
    combinations = list(itertools.product(*(dial.values for dial in dials)))
    pictures = [
        _show(draw, dict(zip(options, chosen, strict=True)))
        for chosen in tqdm(combinations, desc="drawing", delay=2, leave=False, disable="NORMCORE_BOOK" in os.environ)
    ]
    return Published(dials, pictures) if os.environ.get("NORMCORE_BOOK") else Explorer(dials, pictures)


class Dial(NamedTuple):
    """One dial: its choices, and where it stands at first."""

    argument: str
    labels: list[str]
    values: list[Any]
    start: int  # number of the choice

    @classmethod
    def of(cls, argument: str, options: list[tuple[str, Any]], value: Any) -> Dial:
        """The dial of an argument with its options [(label, value), …], standing at a value."""
        labels, values = (list(column) for column in zip(*options, strict=True))
        return cls(argument, labels, values, values.index(value))

    @property
    def name(self) -> str:
        """What is written on it."""
        return self.argument.replace("_", " ")

    @property
    def buttons(self) -> bool:
        """Buttons suit words and truth values, a slider numbers."""
        return all(isinstance(value, str | bool) for value in self.values)


def _default(dials: Sequence[Dial], pictures: Sequence[str]) -> str:
    """The picture for where the dials stand; pictures are in the order of their choices, the last dial's fastest."""
    index = 0
    for dial in dials:
        index = index * len(dial.values) + dial.start
    return pictures[index]


class Published:
    """Dials in a page, which has no kernel: native controls, the default picture, and all of them as JSON beside it.

    ``dials.js`` links them.  The id is a digest of the pictures; the page's extension moves the JSON to a file.
    """

    def __init__(self, dials: Sequence[Dial], pictures: Sequence[str]) -> None:
        self.dials, self.pictures = dials, pictures

    def _repr_html_(self) -> str:
        # "</" would end the script element; JSON reads the escaped slash as a slash
        pictures = json.dumps(self.pictures, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
        name = f"explore-{hashlib.sha256(pictures.encode()).hexdigest()[:8]}"
        controls = "".join(
            (_buttons if dial.buttons else _slider)(dial, f"{name}-{number}") for number, dial in enumerate(self.dials)
        )
        return (
            f'<div class="nc-explore" id="{name}">{controls}<noscript><p class="nc-note">{NO_SCRIPT}</p></noscript>'
            f'<div class="nc-picture">{_default(self.dials, self.pictures)}</div>'
            f'<script type="application/json">{pictures}</script></div>'
        )


def _slider(dial: Dial, name: str) -> str:
    shown = html.escape(dial.labels[dial.start])
    return (
        f'<div class="nc-dial nc-slider"><label class="nc-label" for="{name}">'
        f'{html.escape(dial.name)}</label><output class="nc-readout" for="{name}">{shown}</output>'
        f'<input type="range" id="{name}" min="0" max="{len(dial.labels) - 1}" '
        f'value="{dial.start}" aria-valuetext="{shown}" autocomplete="off" disabled '
        f'data-labels="{html.escape(json.dumps(dial.labels, ensure_ascii=False))}"></div>'
    )


def _buttons(dial: Dial, name: str) -> str:
    words = html.escape(dial.name)
    choices = "".join(
        f'<button type="button" aria-pressed="{str(index == dial.start).lower()}" disabled>'
        f"{html.escape(label)}</button>"
        for index, label in enumerate(dial.labels)
    )
    return (
        f'<div class="nc-dial nc-buttons" id="{name}" role="group" aria-label="{words}">'
        f'<span class="nc-label">{words}</span><div>{choices}</div></div>'
    )


class Explorer(widgets.VBox):  # type: ignore[misc]
    """Dials above a stack of pictures.  A front end without widgets shows the default picture instead."""

    def __init__(self, dials: Sequence[Dial], pictures: Sequence[str]) -> None:
        self.dials = {dial.argument: _widget(dial) for dial in dials}
        self.default = _default(dials, pictures)
        left = iter(pictures)

        def view(deeper: list[widgets.Widget]) -> widgets.Widget:
            """A picture below the last dial, else a stack with one view for each value of the next dial."""
            if not deeper:
                return widgets.HTML(next(left), layout=widgets.Layout(width="100%", margin="0"))
            views = [view(deeper[1:]) for _ in deeper[0].options]
            stack = widgets.Stack(views, selected_index=deeper[0].index, layout=widgets.Layout(width="100%"))
            widgets.jslink((deeper[0], "index"), (stack, "selected_index"))
            return stack

        own = list(self.dials.values())
        super().__init__([*own, view(own)], layout=widgets.Layout(width="100%"))
        self.add_class("nc-explore")

    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle = super()._repr_mimebundle_(**options)
        if bundle is not None:
            data = bundle[0] if isinstance(bundle, tuple) else bundle
            data["text/html"] = self.default
            data["text/plain"] = (
                "explore(" + ", ".join(f"{name}={dial.value!r}" for name, dial in self.dials.items()) + ")"
            )
        return bundle


def _labelled(value: Any) -> tuple[str, Any]:
    """(label, value) of one choice."""
    if isinstance(value, tuple):
        return str(value[0]), value[1]
    if isinstance(value, bool):
        return ("on" if value else "off"), value
    return (f"{value:g}" if isinstance(value, float) else str(value)), value


def _check(options: dict[str, list[tuple[str, Any]]], start: dict[str, Any]) -> None:
    if not options:
        raise ValueError("explore needs at least one dial: explore(draw, batch_size=[2, 4, 8])")
    for name, values in options.items():
        if len(values) < 2:
            raise ValueError(f"the dial {name!r} has {len(values)} value(s); give at least two")
        if len({label for label, _ in values}) < len(values):
            raise ValueError(f"the dial {name!r} shows the same label twice: {[label for label, _ in values]}")
    for name, value in start.items():
        if name not in options or value not in [v for _, v in options[name]]:
            raise ValueError(f"start={{{name!r}: {value!r}}} is not one of the choices")
    count = math.prod(len(values) for values in options.values())
    if count > MOST_PICTURES:
        raise ValueError(f"{count} pictures are too many for one page (at most {MOST_PICTURES}): give fewer values")


def _widget(dial: Dial) -> widgets.Widget:
    kind = (
        widgets.ToggleButtons if dial.buttons else functools.partial(widgets.SelectionSlider, continuous_update=True)
    )
    return kind(
        options=list(zip(dial.labels, dial.values, strict=True)),
        index=dial.start,
        description=dial.name,
        style={"description_width": "initial"},
        layout=widgets.Layout(width="100%", max_width="36rem"),
    )


def _show(draw: Callable[..., Any], chosen: dict[str, Any]) -> str:
    drawn = draw(**chosen)
    name = getattr(draw, "__name__", repr(draw))
    alt = getattr(drawn, "alt", "")
    if not alt.strip() or not hasattr(drawn, "_repr_html_"):
        raise ValueError(
            f"{name}({', '.join(f'{k}={v!r}' for k, v in chosen.items())}) returned {type(drawn).__name__} without an "
            "alternative text: use normbook.style.figure() and end with figure.describe(alt=..., numbers=...)"
        )
    shown: str = drawn._repr_html_()
    if html.escape(alt) not in shown:
        raise ValueError(f"the picture of {name} does not carry its alternative text")
    return shown
