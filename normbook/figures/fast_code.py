"""The picture of the page ``fast-code``: what each idea does to the time and to the error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from normbook.evidence import interval
from normbook.style import BLUE, GRAY, GREEN, INK, ORANGE, Figure, figure, picture, scientific
from normcore import batch_norm

Array = npt.NDArray[np.float64]


@picture
def draw_digits(values: Array, mean: float) -> Figure:
    """Error of batch norm in float32 for each channel of values (N, C, L) moved to a mean: textbook and package.

    The means of the channels differ by up to a tenth.  An error is the largest of the channel's outputs, against the
    formula in float64 for the same rounded values, relative to the largest output.
    """
    channels = np.arange(values.shape[1])
    x = (values + mean * (1 + 0.1 * channels[:, None] / len(channels))).astype(np.float32)

    def textbook(x: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        d = x - x.mean((0, 2), keepdims=True)
        return np.asarray(d / np.sqrt((d**2).mean((0, 2), keepdims=True) + x.dtype.type(1e-5)))

    truth = textbook(x.astype(np.float64))
    fig, ax = figure(2.7)
    said = []
    for y, label, color, marker in (
        (textbook(x), "textbook", ORANGE, "s"),
        (batch_norm(x)[0], "package", BLUE, "o"),
    ):
        errors = np.abs(y - truth).max((0, 2)) / np.abs(truth).max((0, 2))
        ax.semilogy(channels + 1, np.maximum(errors, 1e-9), marker, color=color, label=label, markersize=5)
        said.append(f"{label} {scientific(np.median(errors), 1)}")
    ax.axhline(np.finfo(np.float32).eps / 2, color=INK, linewidth=1, linestyle=":", label="rounding of one number")
    ax.set(xlabel="channel", ylabel="relative error", ylim=(1e-9, 1))
    fig.legend(loc="outside upper center", ncols=3, columnspacing=1)
    numbers = f"channels with a mean of about {scientific(mean, 1)} and a spread of 1, median error: {', '.join(said)}"
    return fig.describe(
        f"Relative error of batch norm in float32 on a logarithmic axis, for each of {len(channels)} channels: squares "
        f"for the textbook's formula, points for the package. {numbers}.",
        numbers,
    )


@picture
def draw_steps(
    names: Sequence[str], times: npt.ArrayLike, errors: Mapping[str, Sequence[float]]
) -> Figure:
    """Time (ms) of each step over the rounds, (steps, rounds), and its error on each kind of input."""
    fig, (left, right) = figure(3.0, 1, 2, sharey=True)
    rows = np.arange(len(names))
    found = [interval(t) for t in np.asarray(times)]
    left.errorbar([mean for mean, _ in found], rows, xerr=[half for _, half in found], fmt="o", color=BLUE)
    left.set_xlim(0)
    left.set_yticks(rows, names)
    left.invert_yaxis()
    left.set_xlabel("time (ms)")
    marks = zip(errors.items(), (GRAY, ORANGE, GREEN), "osD", strict=False)
    for (kind, values), color, marker in marks:
        shown = [min(max(v, 1e-9), 10) if np.isfinite(v) else 10 for v in values]
        right.semilogx(shown, rows, marker, color=color, label=kind)
    right.set_xlabel("relative error")
    right.set_xlim(1e-9, 30)
    fig.legend(loc="outside upper right", ncols=len(errors))
    told = "; ".join(f"{name}: {mean:.0f} ms" for name, (mean, _) in zip(names, found, strict=True))
    worst = "; ".join(
        f"{kind}: {scientific(values[0], 1) if np.isfinite(values[0]) else 'not finite'} at first, "
        f"{scientific(values[-1], 1)} in the end"
        for kind, values in errors.items()
    )
    return fig.describe(
        f"Two panels with a row for each step, from the textbook at the top to the package. Left, the time: {told}. "
        f"Right, the error on a logarithmic axis for three kinds of input. {worst}.",
        f"{told}. Error: {worst}",
    )


@picture
def draw_blocks(sizes: Array, times: Array, textbook: float) -> Figure:
    """Time (ms) of forward and backward against the size of a block (bytes), and the textbook version's time."""
    fig, ax = figure(2.8)
    ax.axhline(textbook, color=ORANGE, linestyle="--", linewidth=1.5)
    ax.text(sizes[-1], textbook * 1.02, "textbook, whole arrays", color=ORANGE, ha="right", va="bottom")
    ax.semilogx(sizes, times, "o-", color=BLUE, base=2)
    ax.set(xlabel="size of a block (MiB)", ylabel="time (ms)", ylim=(0, 1.2 * max(textbook, times.max())))
    ax.set_xticks(sizes, [f"{s / 2**20:g}" for s in sizes], rotation=0)
    ax.minorticks_off()
    best = int(np.argmin(times))
    return fig.describe(
        f"Time of one forward and backward pass against the block size. Blocks of {sizes[best] / 2**20:g} MiB are "
        f"fastest with {times[best]:.0f} ms; a dashed line shows the textbook version at {textbook:.0f} ms.",
        f"fastest {times[best]:.0f} ms with {sizes[best] / 2**20:g} MiB; smallest blocks {times[0]:.0f} ms; "
        f"one block for everything {times[-1]:.0f} ms; textbook {textbook:.0f} ms",
    )
