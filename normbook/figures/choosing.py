"""Pictures of the chapter ``choosing``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from normbook.style import BLUE, GRAY, ORANGE, Figure, figure, picture
from normcore.grouped import group_norm

Array = npt.NDArray[np.float64]


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
