"""Pictures of the chapter ``experiments``: the norms side by side, in the book's own run and in the long run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from normbook import drawing
from normbook.evidence import interval
from normbook.experiments.bank import NORMS
from normbook.experiments.sweep import Results
from normbook.style import BLUE, GREEN, INK, ORANGE, PINK, Figure, figure, picture

Array = npt.NDArray[np.float64]

LOOKS: dict[str, tuple[str, str, Any]] = {
    **drawing.LOOKS,
    "GN": (GREEN, "D", "-."),
    "LN": (PINK, "v", (0, (1, 1))),
}

#: Wu & He (2018), tables 1 to 3: error in percent of ResNet-50 on ImageNet, by images for each worker.
IMAGENET_SIZES = (2, 4, 8, 16, 32)
IMAGENET = {"BN": (34.7, 27.3, 24.8, 23.7, 23.6), "GN": (24.1, 24.2, 24.0, 24.2, 24.1)}
IMAGENET_IN = 28.4  # at 32, the only size given; like GN it does not look at the batch
#: The two runs: their titles, the beginning of their names in the results, and batch norm's batches.
RUNS = (("14×14, this build", "", (1, 2, 4, 8, 32)), ("28×28, long run", "28 ", (1, 2, 4, 8, 32, 128)))
ALIKE = (0.0, 0.5, 0.75, 1.0)


@picture
def draw_curves(results: Results, rate: float, data: str = "digits") -> Figure:
    """Validation accuracy against steps at one rate for all norms: the median network of each, the others thin."""
    fig, ax = figure(3.2)
    said = []
    for norm in NORMS:
        row = results[f"{data} rates {norm}"]
        j = row.job.rates.index(rate)
        curves = 100 * row.measured["validation"][:, j]  # (seeds, checks)
        color, _, line = LOOKS[norm]
        for curve in curves:
            ax.plot(row.job.check_steps, curve, color=color, linewidth=0.6, alpha=0.5)
        middle = np.median(curves, axis=0)
        ax.plot(row.job.check_steps, middle, color=color, linestyle=line, label=norm)
        said.append(f"{norm} {middle[-1]:.0f}%")
    steps = row.job.check_steps
    ax.set_xscale("log")
    ticks = [s for s in (5, 10, 20, 50, 100, 200, 500) if steps[0] <= s <= steps[-1]]
    ax.set_xticks(ticks, [str(s) for s in ticks])
    ax.minorticks_off()
    ax.axhline(90, color=INK, linewidth=0.8)
    ax.set(xlabel=f"steps of {row.job.gradient_batch} images", ylabel="accuracy (%), new images", ylim=(0, 101))
    fig.legend(loc="outside upper center", ncols=5)
    numbers = f"learning rate {fraction(rate)}; median network after {steps[-1]} steps: " + "; ".join(said)
    return fig.describe(
        "Accuracy on new images against steps on a logarithmic axis; for each norm a thick line, the median network, "
        f"and a thin line for each of {len(row.job.seeds)} seeds. {numbers}.",
        numbers,
    )


@picture
def draw_standings(results: Results, rate: float, steps: int, data: str = "clothes") -> Figure:
    """Validation accuracy after so many steps at one rate: a point for each network, a bar at each norm's median."""
    fig, ax = figure(2.5)
    said = []
    for k, norm in enumerate(NORMS):
        row = results[f"{data} rates {norm}"]
        values = 100 * row.measured["validation"][:, row.job.rates.index(rate), row.job.check_steps.index(steps)]
        color, marker, _ = LOOKS[norm]
        middle = float(np.median(values))
        ax.barh(-k, middle, color=color, alpha=0.25, height=0.7)
        ax.plot(values, np.full(len(values), -k), marker, color=color, linestyle="", markersize=5)
        said.append(f"{norm} {middle:.0f}%")
    ax.axvline(10, color=INK, linewidth=1, linestyle=":")
    ax.set_yticks([-k for k in range(len(NORMS))], NORMS)
    ax.grid(axis="y", visible=False)
    ax.set(xlabel="accuracy (%), new images; dotted: chance", xlim=(0, 100), ylim=(0.5 - len(NORMS), 0.5))
    numbers = f"learning rate {fraction(rate)}, {steps} steps; medians: " + ", ".join(said)
    return fig.describe(
        f"Accuracy on new images, a row for each norm: a point for each of {len(values)} networks, a bar to their "
        f"median. {numbers}. Chance is 10%.",
        numbers,
    )


@picture
def draw_rates(results: Results, long: Results) -> Figure:
    """Accuracy at the end against the learning rate: a point for each network, a line through the medians."""
    fig, axes = figure(3.4, columns=2, sharey=True)
    said = []
    for ax, title, data, source in zip(
        axes, ("digits, this build", "clothes, long run"), ("digits", "clothes"), (results, long), strict=True
    ):
        for norm in NORMS:
            row = source[f"{data} rates {norm}"]
            ends = 100 * row.measured["validation"][..., -1]  # (seeds, rates)
            color, _, line = LOOKS[norm]
            middle = np.median(ends, axis=0)
            ax.plot(row.job.rates, middle, color=color, linestyle=line, label=norm)
            for values in ends:
                ax.plot(row.job.rates, values, color=color, linestyle="", marker=".", markersize=3, alpha=0.7)
            if data == "digits":
                said.append(f"{norm} {middle.max():.0f}% at {fraction(row.job.rates[int(middle.argmax())])}")
        ax.set_xscale("log", base=2)
        ticks = row.job.rates[1::3]
        ax.set_xticks(ticks, [fraction(r) for r in ticks])
        ax.set(title=title, xlabel="learning rate", ylim=(0, 101))
    axes[0].set_ylabel("accuracy at the end (%)")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=5)
    numbers = "digits, best median: " + "; ".join(said)
    return fig.describe(
        "Final accuracy on new images against the learning rate, a point for each network. Each curve is high for a "
        f"stretch of rates, then falls off a cliff; without a norm the cliff comes first. {numbers}.",
        numbers,
    )


@picture
def draw_norm_batches(results: Results, long: Results, network: str = "plain") -> Figure:
    """Test accuracy by the images behind one statistic; what does not look at the batch is a level line.

    ``network`` is ``"plain"`` or ``"shortcuts"``.
    """
    fig, axes = figure(3.4, columns=2, sharey=True)
    said = []
    for ax, (title, prefix, sizes), source in zip(axes, RUNS, (results, long), strict=True):
        for norm in ("none", "LN", "GN", "IN"):
            if f"{prefix}{network} {norm}" not in source:  # the book's own run leaves some out
                continue
            middle, half = interval(100 * source[f"{prefix}{network} {norm}"].measured["test"])
            color, _, line = LOOKS[norm]
            ax.axhline(middle, color=color, linestyle=line, label=norm)
            ax.axhspan(middle - half, middle + half, color=color, alpha=0.12, linewidth=0)
        rows = [(s, 100 * source[f"{prefix}{network} BN {s}"].measured["test"]) for s in sizes if
                f"{prefix}{network} BN {s}" in source]  # fmt: skip
        _points(ax, rows, 1.0, "BN")
        said.append(f"{title}: BN " + ", ".join(f"{v.mean():.1f}% ({s})" for s, v in rows))
        said[-1] += f"; IN {100 * source[f'{prefix}{network} IN'].measured['test'].mean():.1f}%"
        _size_axis(ax, sizes)
        ax.set(title=title, xlabel="norm batch", ylim=(58, 88))
    axes[0].set_ylabel("test accuracy (%)")
    handles, labels = axes[1].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=5)
    numbers = "; ".join(said)
    return fig.describe(
        f"Test accuracy of the {network} network against the number of images behind one statistic of batch norm, with "
        f"95% intervals; level lines for the norms that do not look at the batch. {numbers}.",
        numbers,
    )


@picture
def draw_leads(results: Results, long: Results, network: str = "plain") -> Figure:
    """IN minus BN, seed by seed, by norm batch, with 95% intervals: points of test accuracy."""
    fig, axes = figure(3.0, columns=2, sharey=True)
    said = []
    for ax, (title, prefix, sizes), source in zip(axes, RUNS, (results, long), strict=True):
        rows = [(s, lead(source, f"{prefix}{network} IN", f"{prefix}{network} BN {s}")) for s in sizes if
                f"{prefix}{network} BN {s}" in source]  # fmt: skip
        _points(ax, rows, 1.0, "IN")
        said.append(f"{title}: " + ", ".join(f"{_signed(v.mean())} ({s})" for s, v in rows))
        ax.axhline(0, color=INK, linewidth=0.8)
        _size_axis(ax, sizes)
        ax.set(title=title, xlabel="norm batch of BN", ylim=(-4, 24))
    axes[0].set_ylabel("IN minus BN (points)")
    numbers = "; ".join(said)
    return fig.describe(
        f"Test accuracy of instance norm minus batch norm in the {network} network, in points, by norm batch, with 95% "
        f"intervals. {numbers}.",
        numbers,
    )


@picture
def draw_statistics(results: Results, long: Results) -> Figure:
    """Batch norm with three kinds of statistics in the test: running, population, those of a group as in training."""
    kinds = (("running", "test", BLUE, "o", "-"), ("population", "population", GREEN, "D", "-."),
             ("own group", "company", ORANGE, "^", "--"))  # fmt: skip
    fig, axes = figure(3.2, columns=2, sharey=True)
    said = []
    for ax, (title, prefix, sizes), source in zip(axes, RUNS, (results, long), strict=True):
        for k, (label, name, color, marker, line) in enumerate(kinds):
            rows = [(s, 100 * source[f"{prefix}plain BN {s}"].measured[name]) for s in sizes]
            _points(ax, rows, 0.94 + 0.06 * k, label, color, marker, line)
            said.append(f"{title}, {label}: {rows[0][1].mean():.1f}% (1), {rows[1][1].mean():.1f}% (2)")
        _size_axis(ax, sizes)
        ax.set(title=title, xlabel="norm batch", ylim=(58, 88))
    axes[0].set_ylabel("test accuracy of BN (%)")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=3)
    numbers = "; ".join(said)
    return fig.describe(
        "Test accuracy of batch norm in the plain network by norm batch, with 95% intervals, for three kinds of "
        f"statistics at test time. {numbers}.",
        numbers,
    )


@picture
def draw_alike(results: Results, long: Results) -> Figure:
    """Test accuracy by how alike the eight images of a group are: the share that is of one class."""
    fig, axes = figure(3.2, columns=2, sharey=True)
    said = []
    for ax, (title, prefix, _), source in zip(axes, RUNS, (results, long), strict=True):
        for n, norm in enumerate(("GN", "IN", "BN")):
            rows = [(a, 100 * source[alike_name(prefix, norm, a)].measured["test"]) for a in ALIKE if
                    alike_name(prefix, norm, a) in source]  # fmt: skip
            color, marker, line = LOOKS[norm]
            at = np.array([a for a, _ in rows]) + 0.02 * (n - 1)
            middle, half = np.array([interval(v) for _, v in rows]).T
            ax.errorbar(at, middle, yerr=half, color=color, marker=marker, linestyle=line, capsize=3, label=norm)
            said.append(f"{title}, {norm}: " + ", ".join(f"{v.mean():.0f}% ({a:g})" for a, v in rows))
        ax.set_xticks(ALIKE, [f"{a:g}" for a in ALIKE])
        ax.set(title=title, xlabel="share of one class", ylim=(0, 100))
    axes[0].set_ylabel("test accuracy (%)")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=3)
    numbers = "; ".join(said)
    return fig.describe(
        "Test accuracy against the share of the eight images of a group that are of one class, with 95% intervals. "
        f"{numbers}.",
        numbers,
    )


@picture
def draw_to_the_end(results: Results, long: Results) -> Figure:
    """Test accuracy minus that of no norm, seed by seed, where every network was trained until it fits its images."""
    fig, axes = figure(3.0, columns=2, sharey=True)
    said = []
    for ax, title, data, source in zip(
        axes, ("digits, this build", "clothes, long run"), ("digits", "clothes"), (results, long), strict=True
    ):
        kinds = [kind for kind in ("BN 16", "BN 4", "IN", "GN", "LN") if f"{data} to the end {kind}" in source]
        for k, kind in enumerate(kinds):
            values = lead(source, f"{data} to the end {kind}", f"{data} to the end none")
            color, marker, _ = LOOKS[kind[:2]]
            middle, half = interval(values)
            ax.plot(np.full(len(values), k - 0.2), values, color=color, linestyle="", marker=".", alpha=0.6)
            ax.errorbar(k, middle, yerr=half, color=color, marker=marker, capsize=3)
            said.append(f"{data}, {kind}: {_signed(middle)} ± {half:.1f}")
        ax.axhline(0, color=INK, linewidth=0.8)
        ax.set_xticks(range(len(kinds)), [kind.replace(" ", "\n") for kind in kinds])
        ax.set(title=title, ylim=(-4, 6))
    axes[0].set_ylabel("minus no norm (points)")
    numbers = "; ".join(said)
    return fig.describe(
        "Test accuracy of each norm minus that of the network without a norm, in points, with every seed and 95% "
        f"intervals, after training that fits all images. {numbers}.",
        numbers,
    )


@picture
def draw_imagenet() -> Figure:
    """Errors on ImageNet by images for each worker (Wu & He, 2018)."""
    fig, ax = figure(2.8)
    for norm, (color, marker, line) in (("BN", LOOKS["BN"]), ("GN", LOOKS["GN"])):
        ax.plot(IMAGENET_SIZES, IMAGENET[norm], color=color, marker=marker, linestyle=line, label=norm)
    ax.axhline(IMAGENET_IN, color=ORANGE, linestyle="--", linewidth=1)
    ax.plot([32], [IMAGENET_IN], color=ORANGE, marker="^", linestyle="--", label="IN (given at 32 only)")
    _size_axis(ax, IMAGENET_SIZES)
    ax.set(xlabel="images for each worker", ylabel="error on ImageNet (%)", ylim=(20, 36))
    fig.legend(loc="outside upper center", ncols=3)
    numbers = f"2 images: BN {IMAGENET['BN'][0]}%, GN {IMAGENET['GN'][0]}%; 32 images: BN {IMAGENET['BN'][-1]}%, " \
              f"GN {IMAGENET['GN'][-1]}%, IN {IMAGENET_IN}%"  # fmt: skip
    return fig.describe(
        "Error of a ResNet-50 on ImageNet against the images for each worker: batch norm rises from 32 images to 2, "
        f"group norm stays level, instance norm is known at 32. {numbers}.",
        numbers,
    )


def lead(results: Results, one: str, other: str, what: str = "test") -> Array:
    """``one`` minus ``other`` in percentage points, seed by seed, for the seeds that both have."""
    seeds = min(len(results[name].job.seeds) for name in (one, other))  # they all count from zero
    difference: Array = 100 * (results[one].measured[what][:seeds] - results[other].measured[what][:seeds])
    return difference


def alike_name(prefix: str, norm: str, share: float) -> str:
    """The entry with groups of eight of which ``share`` are of one class."""
    if share == 0:
        return f"{prefix}plain BN 8" if norm == "BN" else f"{prefix}plain {norm}"
    return f"{prefix}alike {share:g} {norm}"


def fraction(rate: float) -> str:
    """A power of two as people say it.

    >>> fraction(0.015625), fraction(4.0)
    ('1/64', '4')
    """
    return f"1/{round(1 / rate)}" if rate < 1 else f"{rate:g}"


def _points(
    ax: Axes,
    rows: list[tuple[int, Array]],
    shift: float,
    name: str,
    color: str = "",
    marker: str = "",
    line: Any = None,
) -> None:
    """Means with 95% intervals at each size; series shifted a little so that they do not hide each other."""
    look = (color, marker, line) if color else LOOKS[name]
    middle, half = np.array([interval(values) for _, values in rows]).T
    at = shift * np.array([size for size, _ in rows])
    style: dict[str, Any] = dict(zip(("color", "marker", "linestyle"), look, strict=True))
    ax.errorbar(at, middle, yerr=half, capsize=3, elinewidth=1.2, label=name, **style)


def _size_axis(ax: Axes, sizes: Sequence[int]) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(sizes, [str(s) for s in sizes])
    ax.set_xlim(min(sizes) / 1.4, max(sizes) * 1.4)  # whichever of them were run
    ax.minorticks_off()


def _signed(value: float) -> str:
    """One place and a sign, which zero does not have."""
    return "0.0" if abs(value) < 0.05 else f"{value:+.1f}".replace("-", "−")
