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
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import ipywidgets as widgets
import numpy as np
from tqdm.auto import tqdm

if sys.platform == "emscripten":
    tqdm.monitor_interval = 0  # the monitor is a thread, and a browser's Python has none

MOST_PICTURES = 120  # every picture travels with the page
NO_SCRIPT = "The dials need scripts, which are switched off here: this is the picture at their defaults."
FINE = 10  # places of a dial from one drawn picture to the next, where Python draws those between
MOST_LETTERS = 36  # that the scale of a dial can hold on a phone


def explore(
    draw: Callable[..., Any],
    *,
    start: dict[str, Any] | None = None,
    between: Sequence[str] = (),
    again: str | tuple[str, str] | None = None,
    points: dict[str, tuple[float, float]] | None = None,
    image: dict[str, Any] | None = None,
    **choices: Sequence[Any],
) -> Explorer | Published:
    """Show ``draw(...)`` with a dial for each keyword argument.

    Parameters
    ----------
    draw
        A function that returns a figure which can show itself as HTML and has an alternative text ``alt``: any
        ``draw_*`` function of ``normbook.figures``.  It is called once for every combination of the choices.
    start
        Where the dials stand at first, ``{argument: value}``.  A dial not named here starts at its first value.
    between, again, points, image
        What computing can vary, once a reader of the page has Python draw (with a kernel, change the cell).
        ``between``: the dials that may stop between their values.
        ``again``: an argument of ``draw`` that gets the number of clicks on a button, 1, 2, …, and is left out before;
        a pair ``(label, argument)`` says what is written on it.
        ``points``: an argument that gets the values of points on a line, ``{argument: (low, high)}``; at first they
        are the figure's ``points``.
        ``image``: an argument that gets a picture of the reader's own, ``{argument: array}``.  The array, of shape
        (channels, height, width) or (height, width), is the picture before.
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
    shown: Explorer | Published = present(Plan(draw, choices, start or {}, between, again, points, image))
    return shown


def present(plan: Plan) -> Explorer | Published:
    """Draw all pictures of a plan and show them.  (The Python of a page puts a way of its own in this place.)"""
    places = list(itertools.product(*(range(len(dial.values)) for dial in plan.dials)))
    waiting = tqdm(places, desc="drawing", delay=2, leave=False, disable="NORMCORE_BOOK" in os.environ)
    drawn = [plan.picture(place) for place in waiting]
    if os.environ.get("NORMCORE_BOOK"):
        return Published(plan, drawn)
    return Explorer(plan.dials, [one.html for one in drawn])


class Dial(NamedTuple):
    """One dial: its choices, and where it stands at first."""

    argument: str
    labels: list[str]
    values: list[Any]
    start: int  # number of the choice
    between: bool = False  # may it stop between its choices?

    @classmethod
    def of(cls, argument: str, options: list[tuple[str, Any]], value: Any, between: bool = False) -> Dial:
        """The dial of an argument with its options [(label, value), …], standing at a value."""
        labels, values = (list(column) for column in zip(*options, strict=True))
        return cls(argument, labels, values, values.index(value), between)

    @property
    def name(self) -> str:
        """What is written on it."""
        return self.argument.replace("_", " ")

    @property
    def buttons(self) -> bool:
        """Buttons suit words and truth values, a slider numbers."""
        return all(isinstance(value, str | bool) for value in self.values)

    def value(self, place: float) -> Any:
        """The value at a place: 2 is the third choice, 2.5 halfway to the next, by ratio if the dial spans much."""
        low = min(int(place), len(self.values) - 1)
        part = place - low
        if not part:
            return self.values[low]
        a, b = self.values[low : low + 2]
        ratio = min(self.values) > 0 and max(self.values) >= 10 * min(self.values)
        value = a * (b / a) ** part if ratio else a + part * (b - a)
        whole = all(isinstance(one, int) for one in self.values)
        return round(value) if whole else float(f"{value:.3g}")  # as it is written

    @property
    def finer(self) -> list[str] | None:
        """Labels of all places where it may stop, ``FINE`` of them from one choice to the next."""
        if not self.between:
            return None
        places = np.arange((len(self.values) - 1) * FINE + 1) / FINE
        return [self.labels[int(p)] if p == int(p) else _labelled(self.value(p))[0] for p in places.tolist()]


class Drawn(NamedTuple):
    """A picture as HTML, the points that are in it, and the limits of its axes."""

    html: str
    points: list[float]
    limits: list[tuple[float, ...] | None]


class Plan:
    """What an explorer shows where its dials stand, and what else computing can vary."""

    def __init__(
        self,
        draw: Callable[..., Any],
        choices: Mapping[str, Sequence[Any]],
        start: Mapping[str, Any],
        between: Sequence[str] = (),
        again: str | tuple[str, str] | None = None,
        points: dict[str, tuple[float, float]] | None = None,
        image: dict[str, Any] | None = None,
    ) -> None:
        options = {name: [_labelled(value) for value in values] for name, values in choices.items()}
        _check(options, start)
        for name in between:
            if name not in options or not all(type(value) in (int, float) for _, value in options[name]):
                raise ValueError(f"between={name!r} is no dial of numbers, so there is nothing between its values")
        self.draw = draw
        self.dials = [
            Dial.of(name, options[name], start.get(name, options[name][0][1]), name in between) for name in options
        ]
        self.again = ("Draw again", again) if isinstance(again, str) else again
        self.points = next(iter(points.items())) if points else None
        self.image = next(iter(image.items())) if image else None

    @property
    def more(self) -> list[str]:
        """What Python in the page adds, in the words of the page."""
        label = [self.again[0][0].lower() + self.again[0][1:]] if self.again else []
        words = {
            "points to drag": self.points,
            "values between the marks": any(dial.between for dial in self.dials),
            "a picture of your own": self.image,
        }
        return label + [name for name, there in words.items() if there]

    def picture(self, places: Iterable[float], clicks: int = 0, points: Any = None, image: Any = None) -> Drawn:
        """The picture where the dials stand; what is left out is as in the pictures of the page."""
        chosen = {dial.argument: dial.value(place) for dial, place in zip(self.dials, places, strict=True)}
        if self.image:
            chosen[self.image[0]] = self.image[1] if image is None else image
        if self.again and clicks:
            chosen[self.again[1]] = clicks
        if self.points and points is not None:
            chosen[self.points[0]] = points
        return _show(self.draw, chosen)


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

    def __init__(self, plan: Plan, drawn: Sequence[Drawn]) -> None:
        self.plan, self.drawn = plan, drawn

    def _repr_html_(self) -> str:
        # "</" would end the script element; JSON reads the escaped slash as a slash
        shown = [one.html for one in self.drawn]
        pictures = json.dumps(shown, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
        name = f"explore-{hashlib.sha256(pictures.encode()).hexdigest()[:8]}"
        told = {"more": ", ".join(self.plan.more), "moving": " ".join(moving_axes([one.limits for one in self.drawn]))}
        data = "".join(f' data-{key}="{html.escape(text)}"' for key, text in told.items() if text)
        return (
            f'<div class="nc-explore" id="{name}"{data}>{controls(self.plan.dials, name)}'
            f'<noscript><p class="nc-note">{NO_SCRIPT}</p></noscript>'
            f'<div class="nc-picture">{_default(self.plan.dials, shown)}</div>'
            f'<p class="nc-more"><a class="nc-here" href="#{name}">Link to this position</a></p>'
            f'<script type="application/json">{pictures}</script></div>'
        )


def moving_axes(limits: Sequence[list[tuple[float, ...] | None]]) -> list[str]:
    """Axes whose limits are not the same in all pictures: ``x1`` is the first x axis."""
    found = []
    for number, each in enumerate(itertools.zip_longest(*limits), 1):
        there = [one for one in each if one is not None]
        for name, ends in (("x", slice(0, 2)), ("y", slice(2, 4))):
            same = len(there) == len(each) and np.allclose([one[ends] for one in there], there[0][ends], 1e-9, 0)
            if there and not same:
                found.append(f"{name}{number}")
    return found


def controls(dials: Sequence[Dial], name: str) -> str:
    """The dials as the browser's own controls."""
    return "".join(
        (_buttons if dial.buttons else _slider)(dial, f"{name}-{number}") for number, dial in enumerate(dials)
    )


def _slider(dial: Dial, name: str) -> str:
    shown, last = html.escape(dial.labels[dial.start]), len(dial.labels) - 1
    return (
        f'<div class="nc-dial nc-slider"><label class="nc-label" for="{name}">'
        f'{html.escape(dial.name)}</label><output class="nc-readout" for="{name}">{shown}</output>'
        f'<input type="range" id="{name}" min="0" max="{last}" step="1" '
        f'value="{dial.start}" aria-valuetext="{shown}" disabled '
        f'data-labels="{html.escape(json.dumps(dial.labels, ensure_ascii=False))}">'
        f"{scale(dial.labels)}</div>"
    )


def scale(labels: Sequence[str]) -> str:
    """A mark below each place of a slider, and what is written there: at every place, every second, …, as space allows.

    >>> scale(["1 km", "100 km", "10 000 km", "100 000 km", "standardized"]).count("<span></span>")
    2
    """
    last = len(labels) - 1
    steps = (step for step in range(1, last) if last % step == 0)
    fit = (step for step in steps if sum(len(label) + 2 for label in labels[::step]) <= MOST_LETTERS)
    step = next(fit, last)
    marks = "".join(
        f"<span>{html.escape(label) if number % step == 0 else ''}</span>" for number, label in enumerate(labels)
    )
    inside = step > 1 or max(len(labels[0]), len(labels[-1])) > 4  # longer ones would be cut at a phone's edge
    return f'<div class="nc-scale{" nc-ends" if inside else ""}" aria-hidden="true">{marks}</div>'


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
    label = f"{value:g}" if isinstance(value, float) else str(value)
    return (label.replace("-", "\N{MINUS SIGN}") if isinstance(value, int | float) else label), value


def _check(options: Mapping[str, list[tuple[str, Any]]], start: Mapping[str, Any]) -> None:
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
    kind = widgets.ToggleButtons if dial.buttons else functools.partial(widgets.SelectionSlider, continuous_update=True)
    return kind(
        options=list(zip(dial.labels, dial.values, strict=True)),
        index=dial.start,
        description=dial.name,
        style={"description_width": "initial"},
        layout=widgets.Layout(width="100%", max_width="36rem"),
    )


def _show(draw: Callable[..., Any], chosen: dict[str, Any]) -> Drawn:
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
    limits = [(*ax.get_xlim(), *ax.get_ylim()) if _has_scale(ax) else None for ax in getattr(drawn, "axes", ())]
    return Drawn(shown, [*map(float, getattr(drawn, "points", ()))], limits)


def _has_scale(ax: Any) -> bool:
    """Is something read off these axes?  Not off a photo's, nor off its frame's."""
    return bool(ax.axison and len(ax.get_xticks()) + len(ax.get_yticks()))
