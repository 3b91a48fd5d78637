"""Pictures of the chapter ``choosing``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from normbook.drawing import show, visible
from normbook.style import BLUE, GRAY, ORANGE, Figure, figure, picture
from normcore import batch_norm, group_norm, instance_norm, layer_norm

Array = npt.NDArray[np.float64]


def changed(batch: Array, change: str) -> Array:
    """A batch (N, 3, H, W) of which one thing is changed for its first image."""
    x = batch.copy()
    if change == "company":
        x[1:] = 0.25 * x[1:]
    elif change == "bias":
        x += np.array([0.25, 0.0, -0.25])[:, None, None]
    elif change == "contrast":
        x[0] = 0.5 * x[0] + 0.1
    else:
        x[0] = np.array([1.0, 0.7, 0.4])[:, None, None] * x[0]
    return x


@picture
def draw_seen(batch: Array, layer: str, change: str) -> Figure:
    """The first of two photos (2, 3, H, W) before and after a layer, as it is and with one thing changed.

    ``layer`` is ``"none"``, ``"BN"``, ``"IN"`` or ``"LN"``; ``change`` is ``"company"``, ``"bias"``, ``"contrast"`` or
    ``"color"``.
    """
    norms = {"BN": batch_norm, "IN": instance_norm, "LN": layer_norm}
    outputs = []
    fig, axes = figure(3.0, rows=2, columns=2)
    for k, (x, title) in enumerate(((batch, "as it is"), (changed(batch, change), f"other {change}"))):
        y = norms[layer](x)[0] if layer in norms else x
        outputs.append(y[0])
        show(axes[0, k], x[0], title)
        show(axes[0, k].inset_axes((0.7, 0, 0.3, 0.3)), x[1])
        show(axes[1, k], visible(y[0]) if layer in norms else y[0])
    for ax, label in zip(axes[:, 0], ("in", "out"), strict=True):
        ax.text(-0.06, 0.5, label, transform=ax.transAxes, ha="right", va="center")
    moved = float(np.sqrt(np.mean((outputs[1] - outputs[0]) ** 2)) / outputs[0].std())
    sees = f"its output changes by {moved:.2f} of its deviation" if moved > 0.001 else "its output stays as it was"
    name = layer if layer in norms else "no norm"
    return fig.describe(
        f"A photo, a small one that shares its batch, and, below, what comes out of a layer ({name}) for the first; at "
        f"the right the same when the {change} is another. "
        f"With another {change}, {sees}.",
        f"{name}, another {change}: {sees}",
    )


@picture
def draw_groups(x: Array, groups: int) -> Figure:
    """Means of the channels of one sample (1, C, H, W) before and after group norm; groups alternate in color."""
    y = group_norm(x, groups)[0]
    before, after = x.mean((0, 2, 3)), y.mean((0, 2, 3))
    channels = np.arange(1, len(before) + 1)
    size = len(channels) // groups
    fig, axes = figure(3.3, 2, sharex=True)
    for ax, values, title in ((axes[0], before, "before"), (axes[1], after, "after")):
        ax.axhline(0, color=GRAY, linewidth=1)
        for first in range(0, len(channels), size):
            odd = first // size % 2
            shown = slice(first, first + size)
            color, marker = ((BLUE, "o"), (ORANGE, "s"))[odd]
            ax.plot(channels[shown], values[shown], marker=marker, color=color, linestyle="none")
            ax.vlines(channels[shown], 0, values[shown], color=color, linewidth=1.5)
        ax.set(ylabel="mean", title=title)
    axes[0].set_ylim(0, 1.1 * before.max())
    axes[1].set_ylim(-2, 2)
    axes[1].set(xlabel="channel", xticks=channels[1::2])
    deviation = np.sqrt(np.mean(y**2))
    kept = after.std() / deviation
    each = f"{size} channels" if size > 1 else "one channel"
    said = f"{groups} group{'s' * (groups > 1)} of {each}: after it the channels' means spread by {kept:.2f}"
    return fig.describe(
        f"The mean of each of {len(channels)} channels of an image, before and after group norm with {groups} "
        f"group{'s' * (groups > 1)}. In every group the means lie around zero afterwards. {said}.",
        said,
    )
