"""The playground: a network that trains in the page, its dials, and what to try with them.

While the book is built, `playground()` writes the controls with a still picture, which NumPy and normcore compute;
``book/_static/playground.js`` brings them to life.  With a kernel it trains in Python and shows that picture.
"""

from __future__ import annotations

import html
import os
from typing import Any, NamedTuple

from normbook.experiments.playground import CLASSES, Data, Settings, history, split
from normbook.explore import scale
from normbook.figures.playground import draw_playground

STEPS = 300  # of the still picture


class Dial(NamedTuple):
    """A dial of the page: its name among the settings, what is written on it, its values with their labels."""

    name: str
    title: str
    values: tuple[tuple[str, Any], ...]
    start: Any
    buttons: bool = False


def _numbers(*values: float) -> tuple[tuple[str, Any], ...]:
    return tuple((f"{value:g}", value) for value in values)


_START = Settings()
DIALS = (
    Dial(
        "norm", "norm", (("none", "none"), ("batch", "batch"), ("instance", "instance"), ("group", "group")),
        _START.norm, buttons=True,
    ),
    Dial("batch", "batch size", _numbers(1, 2, 4, 8, 16, 32), _START.batch),
    Dial("normBatch", "norm batch", _numbers(1, 2, 4, 8, 16, 32), _START.norm_batch),
    Dial("rate", "learning rate", _numbers(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3), _START.rate),
    Dial("inertia", "momentum of the steps", _numbers(0, 0.5, 0.9, 0.99), _START.inertia),
    Dial("momentum", "momentum of the running averages", _numbers(0.01, 0.03, 0.1, 0.3, 1), _START.momentum),
    Dial("gain", "gain of the first weights", _numbers(0.25, 0.58, 1, 1.41, 2, 4), _START.gain),
    Dial("depth", "depth (convolutions)", _numbers(1, 2, 3, 4, 5, 6), _START.depth),
    Dial("seed", "seed", _numbers(*range(1, 10)), _START.seed),
    Dial("channel", "channel in the picture of means", _numbers(*range(1, 9)), 1),
    Dial("sorted", "class-sorted batches", (("off", False), ("on", True)), _START.sorted, buttons=True),
    Dial("speed", "speed", (("slow", 6), ("normal", 60), ("fast", None)), 60, buttons=True),
)  # fmt: skip
SMALL = ("norm", "batch")  # the dials of the small playground
NO_SCRIPT = "The playground needs scripts, which are switched off here: this is a picture of one run."


class Card(NamedTuple):
    """Something to try: settings, a question with its choices, the right one, and why."""

    name: str
    title: str
    question: str
    choices: tuple[str, ...]
    right: int
    answer: str
    settings: Settings
    steps: int


# tests/book/test_playground.py runs the settings of each card, and checks what its answer says, for several seeds
CARDS = (
    Card(
        "default", "PyTorch's own first weights",
        "Six convolutions, no norm, and the gain that PyTorch gives them. How many new images are right after 100 "
        "steps?",
        ("about one in ten", "about half", "nine in ten"), 0,
        "About one in ten, which is chance: the signal shrinks in every layer, and so does the gradient. Set norm to"
        " batch, and press Play again: from the same weights more than three in four are right after as many steps.",
        Settings(norm="none", gain=0.58, depth=6), 100,
    ),
    Card(
        "rate", "Ten times the learning rate",
        "Batch norm, and a learning rate of 0.3. Does the network still learn?",
        ("no, it stays at chance", "yes, more than half are right after 100 steps"), 1,
        "Yes, though not as well as at 0.03. Look at ‖w‖: the steps made the weights more than three times as long, "
        "and the longer they are, the less a step turns them. Without a norm the same rate stays at chance.",
        Settings(rate=0.3), 100,
    ),
    Card(
        "length", "Weights that are too long",
        "Batch norm, and a gain of 4. The norm divides the length out, so the first outputs are those of a gain of "
        "1.41. Will the network learn as fast?",
        ("as fast", "slower", "faster"), 1,
        "Slower, although it starts at the same loss in train mode. The output does not feel the length, but the "
        "gradient does: it shrinks as the weights grow. (The momentum of the steps is 0 here. Compare with a gain of"
        " 1.41.)",
        Settings(gain=4, inertia=0), 50,
    ),
    Card(
        "momentum", "A running average that is slow",
        "The running averages take one part in a hundred of each new batch. After 30 steps, how do the modes "
        "compare?",
        ("both the same", "eval mode is behind", "train mode is behind"), 1,
        "Eval mode is behind, by ten points or more: the running averages still remember their start, 0 and 1. Play "
        "on: after 200 steps the two modes are within five points.",
        Settings(momentum=0.01), 30,
    ),
    Card(
        "one", "A norm batch of one image",
        "Batch norm, but each image is a norm batch of its own. Which norm has the same curves in train mode?",
        ("no norm", "instance norm", "group norm"), 1,
        "Instance norm, number by number: the averages run over the same places. Set norm to instance and compare. "
        "Only eval mode differs, because batch norm goes over to its running averages there.",
        Settings(norm_batch=1), 100,
    ),
    Card(
        "sorted", "One digit in each norm batch",
        "Four images to a norm batch, all of the same digit; eight norm batches to a step. The running averages mix "
        "all digits. Does eval mode fail?",
        ("yes, fewer than half are right", "no, it is a few points behind at most"), 1,
        "No: it is within five points of train mode. Its loss is a little higher, though: in train mode the company of "
        "its own kind helps.",
        Settings(batch=32, norm_batch=4, sorted=True), 100,
    ),
    Card(
        "gradient", "One digit in each whole batch",
        "Now a whole batch holds one digit, and the norm is instance norm, which knows no batch. Does training go as"
        " well as with mixed batches?",
        ("as well: each image is by itself", "much worse"), 1,
        "Much worse, at least 15 points after 100 steps, and so it is with batch norm and with no norm. It is the "
        "gradient that suffers: every step pulls toward one digit, and a norm does not mend that.",
        Settings(norm="instance", sorted=True), 100,
    ),
)  # fmt: skip


def playground(settings: Settings = _START, small: bool = False) -> Any:
    """A playground with its dials at the settings; with a kernel the picture of a run in Python.

    >>> playground(Settings(norm="instance"))  # doctest: +SKIP
    """
    drawn = draw_playground(history(settings, STEPS), small=small)
    if not os.environ.get("NORMCORE_BOOK"):
        return drawn
    return Page(_playground(drawn._repr_html_(), "small" if small else "large"))


def cards() -> Any:
    """What to try, as cards that set the dials and ask first."""
    return Page("".join(map(_card, CARDS)))


class Page:
    """A part of a page."""

    def __init__(self, text: str) -> None:
        self.text = text

    def _repr_html_(self) -> str:
        return self.text


def _playground(still: str, size: str) -> str:
    dials = [dial for dial in DIALS if size == "large" or dial.name in SMALL]
    first, *others = ((_buttons if dial.buttons else _slider)(dial, size) for dial in dials)
    acts = "".join(
        f'<button type="button" data-do="{act}" disabled>{name}</button>'
        for act, name in (("play", "Play"), ("step", "Step"), ("reset", "Reset"))
    )
    more = '<p><a href="book/playground.html">All dials, and what to try</a></p>' if size == "small" else ""
    return (
        f'<div class="nc-playground nc-{size}" role="group" aria-label="Playground" data-state="waiting">{first}'
        f'<div class="nc-acts">{acts}</div><noscript><p class="nc-note">{NO_SCRIPT}</p></noscript>'
        f'<p class="nc-said"></p><div class="nc-news visually-hidden" aria-live="polite"></div>'
        f'<div class="nc-task" hidden></div><div class="nc-picture">{still}</div>'
        f'<div class="nc-dials">{"".join(others)}</div>{more}</div>'
    )


def _data(dial: Dial) -> str:
    """What the page's program reads: the dial's name, and its values as they stand in a link."""
    return f'data-name="{dial.name}" data-start="{_label(dial, dial.start)}"'


def _label(dial: Dial, value: Any) -> str:
    return next(label for label, one in dial.values if one == value)


def _slider(dial: Dial, size: str) -> str:
    name = f"playground-{size}-{dial.name}"
    labels = [label for label, _ in dial.values]
    shown = _label(dial, dial.start)
    return (
        f'<div class="nc-dial nc-slider" {_data(dial)}><label class="nc-label" for="{name}">{dial.title}</label>'
        f'<output class="nc-readout" for="{name}">{shown}</output>'
        f'<input type="range" id="{name}" min="0" max="{len(labels) - 1}" value="{labels.index(shown)}" '
        f'aria-valuetext="{shown}" autocomplete="off" disabled data-labels="{" ".join(labels)}">{scale(labels)}</div>'
    )


def _buttons(dial: Dial, size: str) -> str:
    choices = "".join(
        f'<button type="button" aria-pressed="{str(value == dial.start).lower()}" disabled>{label}</button>'
        for label, value in dial.values
    )
    return (
        f'<div class="nc-dial nc-buttons" role="group" aria-label="{dial.title}" {_data(dial)}>'
        f'<span class="nc-label">{dial.title}</span><div>{choices}</div></div>'
    )


def link(settings: Settings, start: Settings = _START) -> str:
    """The settings as they stand in a link: #norm=none&gain=4."""
    told = {dial.name: dial for dial in DIALS}
    first = start.for_page()
    changed = [
        f"{name}={_label(told[name], value)}" for name, value in settings.for_page().items() if value != first[name]
    ]
    return "#" + "&".join(changed)


def _card(card: Card) -> str:
    choices = "".join(
        f'<button type="button" data-choice="{number}" disabled>{html.escape(choice)}</button>'
        for number, choice in enumerate(card.choices)
    )
    return (
        f'<div class="nc-card" id="try-{card.name}" data-link="{html.escape(link(card.settings))}" '
        f'data-steps="{card.steps}" data-right="{card.right}"><h3>{html.escape(card.title)}</h3>'
        f"<p>{html.escape(card.question)}</p><div class=\"nc-choices\">{choices}</div>"
        f"<details><summary>What happens</summary><p>{html.escape(card.answer)}</p></details></div>"
    )


def packed(data: Data | None = None) -> dict[str, list[str]]:
    """The digits for the page's program: a text for each digit, a letter for each pixel (a is 0, q is 16).

    >>> {name: (len(texts), len(texts[0]) // 64) for name, texts in packed().items()}
    {'train': (10, 100), 'fresh': (10, 32)}
    """
    data = data or split()

    def texts(images: Any) -> list[str]:
        levels = (images.reshape(CLASSES, -1) * 16).round().astype(int) + ord("a")
        return ["".join(map(chr, row)) for row in levels]

    return {"train": texts(data.train.images), "fresh": texts(data.fresh.images)}
