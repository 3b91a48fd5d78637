"""Pictures of the chapter ``memory``: what a large batch costs, and what does not replace it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from normbook.drawing import LOOKS
from normbook.style import BLUE, GRAY, GREEN, INK, ORANGE, Figure, figure, picture, plain_ticks, scientific

Array = npt.NDArray[np.float64]

MIB = 2**20


@picture
def draw_memory(sizes: Sequence[int], saved: Mapping[str, Sequence[int]], peak: Mapping[int, int]) -> Figure:
    """Bytes that autograd saves, by norm and batch size, and the growth of a whole process, by batch size.

    Parameters
    ----------
    saved
        For each norm the bytes at each of ``sizes``.
    peak
        For some batch sizes the largest resident size of a process, drawn above that of the smallest.
    """
    fig, (left, right) = figure(3.1, columns=2)
    for norm, values in saved.items():
        color, marker, line = LOOKS[norm]
        left.loglog(sizes, np.array(values) / MIB, color=color, marker=marker, linestyle=line, label=norm)
    shown = list(sizes)[::2]
    left.set_xscale("log", base=2)
    left.set_xticks(shown, [str(s) for s in shown])
    left.minorticks_off()
    plain_ticks(left.yaxis, [1])
    left.set(xlabel="batch size", ylabel="MiB", title="saved activations")
    batch, seen = np.array(list(peak)), np.array(list(peak.values())) / MIB
    slope, start = np.polyfit(batch, seen, 1)
    right.plot(batch, slope * batch + start, color=INK, linewidth=1.2)
    right.plot(batch, seen, "o", color=BLUE)
    right.set(xlabel="batch size", title="whole process, BN", ylim=(0, None), xticks=batch[1:])
    fig.legend(loc="outside upper center", ncols=3)
    each = ", ".join(f"{norm} {values[-1] / sizes[-1] / MIB:.2f}" for norm, values in saved.items())
    return fig.describe(
        f"Left, saved activations against the batch size, logarithmic: parallel straight lines, {each} MiB an image; "
        f"batch and instance norm coincide. Right, the largest size of a process: a straight line of "
        f"{slope:.1f} MiB an image.",
        f"saved, MiB an image: {each}; the process grows by {slope:.1f} MiB an image",
    )


@picture
def draw_time(sizes: Sequence[int], seconds: Array) -> Figure:
    """Time of one training step against the batch size, for a step and for an image; ``seconds`` (repeats, sizes)."""
    fig, (left, right) = figure(2.8, columns=2)
    best, middle = seconds.min(axis=0), np.median(seconds, axis=0)
    for ax, scale, title in ((left, 1e3, "one step (ms)"), (right, 1e3 / np.array(sizes), "one image (ms)")):
        ax.fill_between(sizes, best * scale, middle * scale, color=BLUE, alpha=0.2, linewidth=0)
        ax.loglog(sizes, best * scale, "o-", color=BLUE)
        ax.set_xscale("log", base=2)
        ax.set_xticks(list(sizes)[::2], [str(s) for s in list(sizes)[::2]])
        ax.minorticks_off()
        plain_ticks(ax.yaxis)
        ax.set(xlabel="batch size", title=title)
    single, many = (best / sizes)[[0, -1]] * 1e3
    return fig.describe(
        f"Two curves of time against the batch size, logarithmic, the fastest of {len(seconds)} repeats with "
        f"a band up to their median. A step takes longer as batches grow; an image takes {scientific(single)} ms alone "
        f"and {scientific(many)} ms in a batch of {sizes[-1]}.",
        f"an image takes {scientific(single)} ms alone, {scientific(many)} ms in a batch of {sizes[-1]} "
        f"(fastest of {len(seconds)} repeats)",
    )


@picture
def draw_accumulation(
    full: Mapping[str, Array], accumulated: Mapping[int, Mapping[str, Array]], micro_batches: int
) -> Figure:
    """Every entry of the accumulated gradient against that of the full batch, for BN and IN.

    Parameters
    ----------
    full
        For each norm the gradient of the whole batch.
    accumulated
        For each number of micro-batches, and each norm, the sum of their gradients.
    """
    fig, axes = figure(2.9, columns=2, sharex=True, sharey=True)
    reach = 1.15 * max(np.abs(g).max() for by_norm in (full, *accumulated.values()) for g in by_norm.values())
    said = []
    for ax, norm in zip(axes, ("BN", "IN"), strict=True):
        color, marker, _ = LOOKS[norm]
        a, b = full[norm].ravel(), accumulated[micro_batches][norm].ravel()
        ax.plot([-reach, reach], [-reach, reach], color=INK, linewidth=0.8)
        ax.plot(a, b, marker, color=color, markersize=3.5, alpha=0.8)
        ax.set(title=norm, xlabel="full batch", aspect="equal", xlim=(-reach, reach), ylim=(-reach, reach))
        said.append(f"{norm} {_percent(float(np.linalg.norm(b - a) / np.linalg.norm(a)))}")
    axes[0].set_ylabel("accumulated")
    count = f"{micro_batches} micro-batch{'es' * (micro_batches > 1)}"
    return fig.describe(
        f"Entries of the weight gradient, accumulated over {count}, against the full batch's. Instance norm's "
        f"points lie on the diagonal; relative difference {said[0]}, {said[1]}.",
        f"{count}; relative difference to the full batch: {said[0]}, {said[1]}",
    )


@picture
def draw_agreement(names: Sequence[str], differences: Mapping[str, Sequence[float]]) -> Figure:
    """Largest differences to the full batch on a logarithmic axis: one row for each way, one mark for each quantity."""
    fig, ax = figure(2.4)
    place = np.arange(len(differences))[::-1]
    for k, (name, color, marker) in enumerate(zip(names, (BLUE, ORANGE, GREEN, GRAY), "o^Ds", strict=False)):
        values = [max(row[k], 1e-18) for row in differences.values()]
        ax.plot(values, place + 0.12 * (k - 1.5), marker, color=color, label=name)
    ax.set_yticks(place, list(differences))
    ax.set_xscale("log")
    ax.set(xlabel="largest difference, relative to the full batch", xlim=(1e-18, 10))
    ax.set_ylim(-0.6, len(differences) - 0.4)
    ticks = [1e-16, 1e-12, 1e-8, 1e-4, 1]
    ax.set_xticks(ticks, ["10⁻¹⁶", "10⁻¹²", "10⁻⁸", "10⁻⁴", "1"])
    ax.minorticks_off()
    fig.legend(loc="outside upper center", ncols=len(names))
    said = "; ".join(f"{way}: at most {scientific(max(row))}" for way, row in differences.items())
    return fig.describe(f"Differences to the full batch, for {', '.join(names)}. {said}.", said)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%" if share > 0.005 else ("0" if share == 0 else scientific(share, 1))
