"""Pictures of the chapter ``style``: what the mean and the standard deviation of each channel carry.

Not named ``style`` like its chapter: :mod:`normbook.style` is how every picture of the book looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from normbook.drawing import CHANNELS, show
from normbook.style import BLUE, GRAY, INK, Figure, figure, picture
from normcore import instance_norm

Array = npt.NDArray[np.float64]


def levels(a: Array, b: Array) -> float:
    """Distance of the histograms of two channels with equally many pixels, in gray levels of 1/255.

    How far a pixel of one has to move on average until both have the same histogram (the Wasserstein-1 distance).
    """
    if a.size != b.size:
        raise ValueError(f"channels of {a.size} and {b.size} pixels: want equally many")
    return float(255 * np.abs(np.sort(a, axis=None) - np.sort(b, axis=None)).mean())


def exchanged(photos: Mapping[str, Array], share: float) -> dict[str, Array]:
    """Two photos (3, H, W), each on its way to the channel statistics of the other: 0 is its own, 1 the other's."""
    made = {}
    for (name, own), other in zip(photos.items(), reversed(list(photos.values())), strict=True):
        mean, deviation = (
            (1 - share) * a + share * b
            for a, b in ((own.mean((1, 2)), other.mean((1, 2))), (own.std((1, 2)), other.std((1, 2))))
        )
        made[name] = instance_norm(own[None], gamma=deviation, beta=mean, eps=1e-12)[0][0]
    return made


@picture
def draw_exchange(photos: Mapping[str, Array], exchange: float) -> Figure:
    """Two photos that exchange the mean and the deviation of each channel, and these numbers as points."""
    made = exchanged(photos, exchange)
    fig, axes = figure(3.1, 2, 2, height_ratios=(1.5, 1))
    grid = axes[0, 0].get_gridspec()
    for ax in axes[1]:
        ax.remove()
    below = fig.add_subplot(grid[1, :])
    said = []
    for ax, marker, (name, image) in zip(axes[0], "os", made.items(), strict=True):
        show(ax, image, name)
        below.plot([], [], marker, color=GRAY, label=name)
        for (_, color, _), x in zip(CHANNELS, image, strict=True):
            below.plot(x.mean(), x.std(), marker, color=color)
        parts = (f"{c} {x.mean():.2f} ({x.std():.2f})" for (c, _, _), x in zip(CHANNELS, image, strict=True))
        said.append(f"{name}: {', '.join(parts)}")
    below.set(xlabel="mean of a channel", ylabel="deviation", xlim=(0, 1), ylim=(0, 0.45), yticks=(0.2, 0.4))
    below.legend(loc="center right", handletextpad=0.1)
    return fig.describe(
        "Two photos, a palace under a wide sky and a flower before leaves, and beside them a point for each channel at "
        f"its mean and standard deviation. {100 * exchange:.0f}% of these statistics are exchanged. "
        f"Mean and standard deviation of the channels, {'; '.join(said)}.",
        "mean (standard deviation) of the channels, " + "; ".join(said),
    )


@picture
def draw_mix(
    photos: Mapping[str, Array], transfer: Callable[[Array, Array, float], Array], content: str, mix: float
) -> Figure:
    """One photo with the channel statistics of the other, and the histograms of its channels over the other's.

    ``transfer(content, style, mix)`` returns the result; ``content`` names one of the two photos.
    """
    (style,) = (name for name in photos if name != content)
    result = transfer(photos[content], photos[style], mix)
    fig, axes = figure(3.9, 2, 3, height_ratios=(1.6, 1), sharey="row")
    grid = axes[0, 0].get_gridspec()
    for ax in axes[0]:
        ax.remove()
    show(fig.add_subplot(grid[0, :]), result)
    for ax, new, goal, (name, color, _) in zip(axes[1], result, photos[style], CHANNELS, strict=True):
        for values, shade, line in ((goal, INK, ":"), (new, color, "-")):
            share, edges = np.histogram(values, bins=30, range=(-0.5, 1.5))
            label = f"the {style}" if line == ":" else "this picture"
            ax.stairs(100 * share / values.size, edges, color=shade, linestyle=line, linewidth=1.3, label=label)
        ax.set(xlabel=name, xlim=(-0.5, 1.5), xticks=(0, 1), ylim=(0, 65))
    axes[1, 0].set_ylabel("% of pixels")
    axes[1, 2].legend(loc="upper right", handlelength=1.2)
    means = ", ".join(f"{c} {x.mean():.2f}" for (c, _, _), x in zip(CHANNELS, result, strict=True))
    away = np.mean([levels(x, y) for x, y in zip(result, photos[style], strict=True)])
    off = 100 * np.mean((result < 0) | (result > 1))
    said = f"mean {means}; histograms {away:.0f} levels from the {style}'s; {off:.0f}% of the values outside 0…1"
    return fig.describe(
        f"The {content} with {100 * mix:.0f}% of the channel statistics of the {style}. Below, the histogram of each "
        f"of its channels over that of the {style}. {said}.",
        said,
    )


@picture
def draw_distances(before: Array, after: Array) -> Figure:
    """Histogram distances to the style, before and after the transfer; arrays (pairs of crops, 3)."""
    fig, ax = figure(2.7)
    place = np.arange(3)
    said = []
    for values, shift, marker, color, label in (
        (before, -0.1, "o", GRAY, "before"),
        (after, 0.1, "s", BLUE, "after mean and deviation were transferred"),
    ):
        for i in range(len(values)):
            ax.plot(place + shift, values[i], marker, color=color, markersize=3, alpha=0.35)
        ax.plot(place + shift, values.mean(0), marker, color=color, markersize=9, label=label)
        said.append(f"{label} {values.mean():.0f} levels on average")
    ax.set_xticks(place, [name for name, _, _ in CHANNELS])
    ax.set(ylabel="distance of histograms\n(gray levels)", xlim=(-0.5, 2.5), ylim=(0, None))
    fig.legend(loc="outside upper center", ncols=2)
    return fig.describe(
        f"Distance between the histograms of two crops, for each color channel; small marks are the {len(before)} "
        f"pairs, large ones their means. The transfer makes it smaller, not zero: {'; '.join(said)}.",
        "; ".join(said),
    )


@picture
def draw_styled(rows: Sequence[Sequence[Array]], titles: Sequence[str], away: Mapping[str, Array]) -> Figure:
    """Rows of pictures (3, H, W) under common titles; ``away``: how far feature statistics are from the style's.

    The arrays of ``away`` are shares of the distance at the start, (repeats,).
    """
    fig, axes = figure(0.78 * len(rows) + 0.45, rows=len(rows), columns=len(titles))
    for k, (line, pictures) in enumerate(zip(np.atleast_2d(axes), rows, strict=True)):
        for ax, image, title in zip(line, pictures, titles, strict=True):
            show(ax, image, "" if k else title)
    said = "; ".join(f"{name} {100 * values.mean():.0f}%" for name, values in away.items())
    columns = ", ".join(titles).replace("\n", " ")
    return fig.describe(
        f"Photos in {len(rows)} rows: {columns}. With the statistics of its pixels alone a photo takes on "
        "the other's colors and keeps its own surfaces; with the statistics of features the surfaces change too, and "
        f"edges stay where they are. Of the distance to the style's feature statistics is left: {said}.",
        f"left of the distance to the style's feature statistics: {said}",
    )


@picture
def draw_recognized(labels: Sequence[str], accuracy: Array, half: Array) -> Figure:
    """How often the photo of a crop is recognized from channel statistics, with 95% intervals; arrays (labels,)."""
    fig, ax = figure(2.6)
    place = np.arange(len(labels))[::-1]
    ax.axvline(0.5, color=INK, linewidth=1, linestyle=":")
    ax.errorbar(accuracy, place, xerr=half, fmt="o", color=BLUE, capsize=3, markersize=8)
    ax.set_yticks(place, labels)
    ax.set(xlabel="crops assigned to the right photo", xlim=(0.4, 1), ylim=(-0.6, len(labels) - 0.4))
    said = "; ".join(
        f"{label.replace(chr(10), ' ')}: {a:.2f} ± {h:.2f}" for label, a, h in zip(labels, accuracy, half, strict=True)
    )
    return fig.describe(f"How often the photo that a crop comes from is recognized; chance is 0.5. {said}.", said)
