"""Pictures of the chapter ``memory``: what a large batch costs, and what does not replace it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from normbook.drawing import LOOKS, show, visible
from normbook.style import BLUE, GRAY, GREEN, INK, ORANGE, PINK, Figure, figure, picture, plain_ticks, scientific
from normcore import batch_norm

Array = npt.NDArray[np.float64]

MIB = 2**20


@picture
def draw_pieces(images: Array, pieces: int) -> Figure:
    """Images (N, C, H, W) and what batch norm makes of them in pieces, each with statistics of its own."""
    count = len(images)
    each = count // pieces
    whole = batch_norm(images)[0]
    y = np.concatenate([batch_norm(part)[0] for part in np.split(images, pieces)])
    off = float(np.sqrt(np.mean((y - whole) ** 2)))
    fig = figure(3.0)[0]
    fig.clear()
    parts: Any = fig.subfigures(3, 1, height_ratios=(1, 1, 1.25))
    *rows, below = parts
    titles = ("what goes in: a color for each piece", "what batch norm makes of it")
    for part, row, title in zip(rows, (images, visible(y)), titles, strict=True):
        part.suptitle(title, fontsize=12)
        for k, (ax, image) in enumerate(zip(part.subplots(1, count), row, strict=True)):
            show(ax, image)
            ax.set_axis_on()
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            for spine in ax.spines.values():
                spine.set(visible=True, linewidth=2.5, color=(BLUE, ORANGE)[k // each % 2])
    bars = ((each, "images at once", GRAY, count), (off, "change of the output (rms)", PINK, 1))
    for ax, (value, label, color, end) in zip(below.subplots(1, 2), bars, strict=True):
        ax.barh(0, value, color=color)
        ax.set(xlim=(0, end), ylim=(-0.8, 0.8), yticks=[], title=label)
        ax.grid(axis="y", visible=False)
    said = (
        f"{pieces} piece{'s' * (pieces > 1)} of {each} image{'s' * (each > 1)}; the outputs differ from those of the "
        f"whole batch by {off:.2f}"
    )
    return fig.describe(
        f"A row of {count} images, and below each of them what batch norm makes of it when the batch goes through in "
        f"pieces; neighbors in frames of one color share their statistics. Two bars: images at once, {each}, and the "
        f"change of the output. {said}.",
        said,
    )


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
    right.set(xlabel="batch size", ylabel="MiB", title="whole process, BN", ylim=(0, None), xticks=batch[1:])
    fig.legend(loc="outside upper center", ncols=3)
    each = ", ".join(f"{norm} {values[-1] / sizes[-1] / MIB:.2f}" for norm, values in saved.items())
    return fig.describe(
        f"Left, saved activations against the batch size, logarithmic: parallel straight lines, {each} MiB per image; "
        f"batch and instance norm coincide. Right, the largest size of a process: a straight line of "
        f"{slope:.1f} MiB per image.",
        f"saved, MiB per image: {each}; the process grows by {slope:.1f} MiB per image",
    )


@picture
def draw_course(courses: Mapping[str, tuple[Sequence[float], Sequence[int], int]], images: int) -> Figure:
    """Saved activations on the way forward and back, MiB for each image; blocks of layers along the axis.

    ``courses`` maps a norm to (where, bytes, layers), as ``normbook.experiments.memory.saved_course`` gives them.
    """
    fig, ax = figure(3.0)
    said, blocks = [], 4
    for norm, (where, sizes, layers) in courses.items():
        color, _, line = LOOKS[norm]
        place = np.array([*where, 2 * layers]) * blocks / layers
        height = np.array([*sizes, sizes[-1]]) / images / MIB
        ax.step(place, height, where="post", color=color, linestyle=line, label=norm)
        said.append(f"{norm} {height.max():.2f}")
    ax.axvline(blocks, color=INK, linewidth=0.8)
    passed = [*range(blocks + 1), *range(blocks - 1, -1, -1)]
    ax.set_xticks(range(len(passed)), [str(b) for b in passed])
    ax.set(xlabel="blocks passed: forward, then back", ylabel="saved activations (MiB per image)", ylim=(0, None))
    fig.legend(loc="outside upper center", ncols=len(courses))
    numbers = f"at the turn, MiB per image: {', '.join(said)}"
    return fig.describe(
        "Saved activations while a network of four blocks runs forward and back: a staircase that climbs from block to "
        f"block, and goes down again on the way back. With a norm every block adds two maps, without one. {numbers}.",
        numbers,
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
