"""One widget for the whole book: dials beside a picture, alive with a kernel and without one."""

from __future__ import annotations

import functools
import html
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets
from tqdm.auto import tqdm

if sys.platform == "emscripten":
    tqdm.monitor_interval = 0  # the monitor is a thread, and a browser's Python has none

MOST_PICTURES = 120  # every picture travels with the page


def explore(draw: Callable[..., Any], *, start: dict[str, Any] | None = None, **choices: Sequence[Any]) -> Explorer:
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
    Explorer
        A widget.  All pictures are drawn now, and dial and picture are linked in the front end: the dials work in a
        published page that has no kernel, and an error in ``draw`` is an error of the cell.

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

    dials = {name: _dial(name, options[name], start.get(name, options[name][0][1])) for name in options}
    count = math.prod(len(values) for values in options.values())
    pictures = iter(tqdm(range(count), desc="drawing", delay=2, leave=False))

    def view(chosen: dict[str, Any]) -> widgets.Widget:
        """A picture when every dial has a value, else a stack with one view for each value of the next dial."""
        if len(chosen) == len(options):
            next(pictures)
            return widgets.HTML(_show(draw, chosen), layout=widgets.Layout(width="100%", margin="0"))
        name = list(options)[len(chosen)]
        views = [view({**chosen, name: value}) for _, value in options[name]]
        stack = widgets.Stack(views, selected_index=dials[name].index, layout=widgets.Layout(width="100%"))
        widgets.jslink((dials[name], "index"), (stack, "selected_index"))
        return stack

    root = view({})
    next(pictures, None)  # lets the progress bar close
    return Explorer(dials, root)


class Explorer(widgets.VBox):  # type: ignore[misc]
    """Dials above a stack of pictures.  A front end without widgets shows the default picture instead."""

    def __init__(self, dials: dict[str, widgets.Widget], view: widgets.Widget) -> None:
        super().__init__([*dials.values(), view], layout=widgets.Layout(width="100%"))
        self.add_class("nc-explore")
        self.dials = dials
        for dial in dials.values():
            view = view.children[dial.index]
        self.default: str = view.value

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


def _dial(name: str, options: list[tuple[str, Any]], value: Any) -> widgets.Widget:
    words = all(isinstance(v, str | bool) for _, v in options)
    kind = widgets.ToggleButtons if words else functools.partial(widgets.SelectionSlider, continuous_update=True)
    return kind(
        options=options,
        value=value,
        description=name.replace("_", " "),
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
