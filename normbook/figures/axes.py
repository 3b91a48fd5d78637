"""Pictures of the chapter ``axes``: the box of numbers (N, C, H, W), and which of them a layer averages."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from normbook.evidence import grouped
from normbook.style import BLUE, GRAY, INK, ORANGE, Figure, figure, picture, picture_only
from normcore.functional import moments

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

AXES = {"BN": (0, 2, 3), "IN": (2, 3), "LN": (1, 2, 3)}
NAMES = {"BN": "batch norm", "IN": "instance norm", "LN": "layer norm", "GN": "group norm with {} group{}"}


def map_moments(x: Array, layer: str, groups: int = 2) -> tuple[Array, Array]:
    """Mean and biased variance that the layer uses for each map, both (N, C); x is (N, C, H, W).

    Group norm first splits the channel axis into (groups, C / groups) and averages the second part of it.
    """
    n, c, h, w = x.shape
    if layer == "GN":
        stats = moments(x.reshape(n, groups, c // groups, h, w), (2, 3, 4))
        mean, var = (np.repeat(s.reshape(n, groups), c // groups, axis=1) for s in stats)
    else:
        mean, var = (np.broadcast_to(s[..., 0, 0], (n, c)) for s in moments(x, AXES[layer]))
    return mean.astype(np.float64), var.astype(np.float64)


def averaged(layer: str, shape: tuple[int, int, int, int], sample: int, channel: int, groups: int = 2) -> Mask:
    """Which cells of a box (N, C, H, W) the layer averages for the map (sample, channel): asked of `moments`.

    One cell after the other is set to 1 and all others to 0. If the mean is then not 0, the cell is part of it.
    """
    mask = np.zeros(shape, bool)
    for cell in np.ndindex(shape):
        impulse = np.zeros(shape)
        impulse[cell] = 1
        mask[cell] = map_moments(impulse, layer, groups)[0][sample, channel] != 0
    return mask


def normalized(x: Array, layer: str, eps: float = 1e-5, groups: int = 2) -> Array:
    """x̂ = (x − mean) / √(var + eps) with the layer's own moments."""
    mean, var = map_moments(x, layer, groups)
    y: Array = (x - mean[..., None, None]) / np.sqrt(var + eps)[..., None, None]
    return y


# The box in parallel projection: columns go right, rows go back, channels go down, samples stand side by side.
ROW = np.array([0.55, 0.5])
STEP_CHANNEL, STEP_SAMPLE = 2.15, 5.6


def _corner(shape: tuple[int, ...], n: int, c: int, h: float, w: float) -> Array:
    """Where the upper left corner of a cell is drawn; h and w may be the ends of the sheet, H and W."""
    return np.array([n * STEP_SAMPLE + w, -c * STEP_CHANNEL]) + (shape[2] - h) * ROW


def _outline(shape: tuple[int, ...], n: int, c: int, h: int = 0, w: int = 0, height: int = 1, width: int = 1) -> Array:
    ends = ((h, w), (h, w + width), (h + height, w + width), (h + height, w))
    return np.array([_corner(shape, n, c, *end) for end in ends])


def _polygons(ax: Axes, outlines: list[Array], **style: object) -> None:
    """All outlines as one path: one element of the page instead of a hundred."""
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    vertices = np.concatenate([np.concatenate([o, o[:1]]) for o in outlines])
    ax.add_patch(PathPatch(Path(vertices, codes * len(outlines)), **style))


def _and(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:-1])) + " and " * (len(numbers) > 1) + str(numbers[-1])


def _box(ax: Axes, mask: Mask, sample: int, channel: int) -> None:
    """The sheets of every sample, with the cells of the mask filled and one map outlined."""
    n, c, h, w = shape = mask.shape
    for i in range(n):
        for y, z in ((0, 0), (0, w), (h, w), (h, 0)):  # the edges that make the sheets a box
            ends = np.array([_corner(shape, i, 0, y, z), _corner(shape, i, c - 1, y, z)])
            ax.plot(*ends.T, color=GRAY, linewidth=0.6, linestyle=":", zorder=1)
    cells = {value: [_outline(shape, *cell) for cell in np.argwhere(mask == value)] for value in (False, True)}
    if cells[False]:
        _polygons(ax, cells[False], facecolor="none", edgecolor=GRAY, linewidth=0.7, zorder=2)
    _polygons(ax, cells[True], facecolor=BLUE, edgecolor=INK, linewidth=0.9, zorder=3)
    picked = _outline(shape, sample, channel, height=h, width=w)
    _polygons(ax, [picked], facecolor="none", edgecolor=ORANGE, linewidth=3, zorder=4)
    ax.set(aspect="equal")
    ax.autoscale_view()
    picture_only(ax)


def _cells(layer: str, mask: Mask, groups: int) -> str:
    """The filled cells in words."""
    samples, channels = (np.flatnonzero(mask.any(axes)).tolist() for axes in ((1, 2, 3), (0, 2, 3)))
    name = NAMES[layer].format(groups, "s" * (groups > 1))
    return (
        f"{name} averages all positions of channel{'s' * (len(channels) > 1)} {_and(channels)} in "
        f"sample{'s' * (len(samples) > 1)} {_and(samples)}, {mask.sum()} of {mask.size} cells"
    )


@picture
def draw_box(x: Array, layer: str, sample: int, channel: int, groups: int = 2) -> Figure:
    """The box (N, C, H, W); filled are the cells whose average the layer uses for the map (sample, channel)."""
    n, c, h, w = shape = x.shape
    mask = averaged(layer, (n, c, h, w), sample, channel, groups)
    fig, ax = figure(2.55)
    _box(ax, mask, sample, channel)
    for i in range(n):
        ax.text(*(_corner(shape, i, c - 1, h, w / 2) - [0, 0.45]), f"sample {i}", ha="center", va="top")
    for j in range(c):
        ax.text(-0.35, _corner(shape, 0, j, h / 2, 0)[1], f"channel {j}", ha="right", va="center")
    ax.text(*_corner(shape, n - 1, 0, -0.5, w / 2), "W →", ha="center", va="bottom")
    ax.text(*_corner(shape, n - 1, 0, h / 2 + 0.2, w + 0.45), "↙ H", ha="left", va="center")
    mean, var = map_moments(x, layer, groups)
    used = int(mask.sum())
    here = grouped(mean[sample, channel], 2)
    return fig.describe(
        f"{n} samples side by side, each a box of {c} sheets, one for each channel, with {h} by {w} cells. Outlined "
        f"is the map of sample {sample}, channel {channel}. Filled are the cells that are averaged for it: "
        f"{_cells(layer, mask, groups)}.",
        f"{layer}, sample {sample}, channel {channel}: {used} of {mask.size} cells averaged, {mask.size // used} "
        f"means in all; here the mean is {here}, the standard deviation "
        f"{np.sqrt(var[sample, channel]):.2f}",
    )


def altered(x: Array, change: str, sample: int = 1, channel: int = 2) -> Array:
    """x with one map changed: ``"brighter"`` (+1), ``"more contrast"`` (doubled), or ``"one pixel"`` of it (+1)."""
    new = x.copy()
    one = new[sample, channel]
    if change == "brighter":
        one += 1
    elif change == "more contrast":
        one += one - one.mean()
    elif change == "one pixel":
        one[0, 0] += 1
    else:
        raise ValueError(f"no change {change!r}: want 'brighter', 'more contrast' or 'one pixel'")
    return new


def influence(x: Array, layer: str, change: str, eps: float = 1e-15) -> Array:
    """Largest change of the output in each map (N, C) when one map is altered; almost no ε: only averaging shows."""
    difference = normalized(altered(x, change), layer, eps) - normalized(x, layer, eps)
    return np.asarray(np.abs(difference).max((2, 3)))


@picture
def draw_influence(x: Array, change: str) -> Figure:
    """One map of the input is altered: which maps of the output change, and how far, for each of the four layers."""
    n, c = x.shape[:2]
    fig, axes = figure(3.4, 2, 2)
    said = []
    for ax, layer in zip(axes.flat, ("BN", "IN", "LN", "GN"), strict=True):
        moved = influence(x, layer, change)
        hit = moved > 1e-6
        for i, j in itertools.product(range(n), range(c)):
            color = BLUE if hit[i, j] else "none"
            ax.add_patch(Rectangle((j, i), 1, 1, facecolor=color, alpha=0.35 if hit[i, j] else 1, edgecolor=GRAY))
            ax.text(j + 0.5, i + 0.5, f"{moved[i, j]:.2f}" if hit[i, j] else "0", ha="center", va="center")
        ax.add_patch(Rectangle((2, 1), 1, 1, facecolor="none", edgecolor=ORANGE, linewidth=2.5))
        ax.set(title=layer, xlim=(0, c), ylim=(n, 0))
        ax.set_xticks(np.arange(c) + 0.5, [str(j) for j in range(c)])
        ax.set_yticks(np.arange(n) + 0.5, [str(i) for i in range(n)])
        ax.grid(False)
        ax.spines[:].set_visible(False)
        said.append(f"{layer} {hit.sum()}")
    fig.supxlabel("channel")
    fig.supylabel("sample")
    counts = ", ".join(said)
    return fig.describe(
        f"Four tables of {n} samples by {c} channels, one for each layer. In sample 1, channel 2 the input was "
        f"altered ({change}). Shaded are the maps of the output that change. Number of maps that change: {counts}.",
        f"{change}: maps of the output that change, of {n * c}: {counts}",
    )
