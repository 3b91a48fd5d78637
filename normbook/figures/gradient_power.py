"""Picture of the chapter ``backward``: how sharp and how fair the check of gradients is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from normbook.style import BLUE, ORANGE, Figure, figure, picture


@picture
def draw_gradient_power(table: Mapping[str, tuple[int, int, int, int, int, int]]) -> Figure:
    """Share of planted mistakes found at each kind of input, with and without a reference.

    table: for each kind what `normbook.experiments.gradient_power.score` counts.
    """
    counts = np.array(list(table.values()))
    at = np.arange(len(table))
    fig, ax = figure(0.24 * len(table) + 1.2)
    for column, color, name, shift in ((0, BLUE, "with a reference", -0.17), (2, ORANGE, "without", 0.17)):
        share = 100 * counts[:, column] / np.maximum(counts[:, column + 1], 1)
        ax.plot(share, at + shift, "o", color=color, label=name, markersize=5)
    ax.set_yticks(at, list(table))
    ax.set(xlabel="mistakes found (%)", xlim=(-3, 103))
    ax.invert_yaxis()
    ax.legend(loc="lower left")
    found, planted, found2, planted2, alarms, fair = counts.sum(0)
    words = (
        f"with a reference {found} of {planted} mistakes found, without {found2} of {planted2}; "
        f"{alarms} of {fair} right gradients rejected"
    )
    alt = f"Two points for each of {len(table)} kinds of input, the mistakes found in percent: {words}."
    return fig.describe(alt, words)
