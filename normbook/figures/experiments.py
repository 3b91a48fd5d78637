"""Pictures of the chapter ``experiments``: the three networks side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from normbook.drawing import LOOKS
from normbook.experiments.sweep import NORMS, Results
from normbook.report import interval
from normbook.style import BLUE, GREEN, INK, ORANGE, Figure, figure, picture, plain_ticks, scientific

Array = npt.NDArray[np.float64]


#: Wu & He (2018), tables 1 to 3: error in percent of ResNet-50 on ImageNet, by images a worker.
IMAGENET_SIZES = (2, 4, 8, 16, 32)
IMAGENET = {"BN": (34.7, 27.3, 24.8, 23.7, 23.6), "GN": (24.1, 24.0, 24.2, 24.2, 24.1)}
IMAGENET_IN = 28.4  # at 32, the only size given; like GN it does not look at the batch


@picture
def draw_curves(results: Results, batch_size: int, rate: float | None = None) -> Figure:
    """Validation accuracy against steps, with bands of 95% over the seeds.

    Parameters
    ----------
    rate
        One rate of the plan for all three; None takes for each the rate that ends highest.
    """
    i = results.plan.batch_sizes.index(batch_size)
    fig, ax = figure(3.0)
    said = []
    for n, norm in enumerate(NORMS):
        j = results.plan.rates.index(rate) if rate is not None else int(results.best()[n, i])
        curves = 100 * results.validation[n, i, :, j]  # (seeds, checks)
        color, _, line = LOOKS[norm]
        _band(ax, results.at[i], curves, color, line, norm)
        end, half = interval(curves[:, -1])
        own = f" (rate {fraction(results.plan.rates[j])})" if rate is None else ""
        said.append(f"{norm} {end:.0f} ± {half:.0f}%{own}")
    ax.set_xscale("log")
    ticks = [s for s in (5, 10, 20, 50, 100, 200, 500, 1000, 2000) if s <= results.at[i, -1]]
    ax.set_xticks(ticks, [str(s) for s in ticks])
    ax.minorticks_off()
    ax.axhline(90, color=INK, linewidth=0.8)
    ax.set(xlabel=f"steps of {batch_size} images", ylabel="accuracy (%), new images", ylim=(0, 101))
    fig.legend(loc="outside upper center", ncols=3)
    with_rate = "each at its best rate" if rate is None else f"learning rate {fraction(rate)}"
    numbers = f"batch size {batch_size}, {with_rate}; after {results.at[i, -1]} steps: " + "; ".join(said)
    return fig.describe(
        f"Accuracy on new images against steps on a logarithmic axis, for no norm, batch norm and instance norm, with "
        f"bands of 95% over {len(results.plan.seeds)} seeds. {numbers}.",
        numbers,
    )


@picture
def draw_rates(results: Results, batch_size: int, usable: float) -> Figure:
    """Final validation accuracy against the learning rate, with bands of 95%; the line is the limit of ``usable``."""
    i = results.plan.batch_sizes.index(batch_size)
    largest = results.largest_rate(usable)
    fig, ax = figure(3.0)
    said = []
    for n, norm in enumerate(NORMS):
        color, marker, line = LOOKS[norm]
        _band(ax, np.array(results.plan.rates), 100 * results.validation[n, i, :, :, -1], color, line, norm, marker)
        said.append(f"{norm} {scientific(float(np.exp(np.log(largest[n, i]).mean())))}")
    ax.set_xscale("log", base=2)
    ticks = results.plan.rates[1::3]
    ax.set_xticks(ticks, [fraction(r) for r in ticks])
    ax.axhline(100 * usable, color=INK, linewidth=0.8)
    ax.set(xlabel="learning rate", ylabel="final accuracy (%)", ylim=(0, 101))
    fig.legend(loc="outside upper center", ncols=3)
    numbers = f"batch size {batch_size}; largest usable rate, geometric mean over seeds: " + "; ".join(said)
    return fig.describe(
        f"Final accuracy on new images against the learning rate: each of the three curves is high for a stretch, "
        f"then falls off a cliff. {numbers}.",
        numbers,
    )


@picture
def draw_by_batch_size(
    sizes: Sequence[int], values: Array, label: str, places: int = 0, logarithmic: bool = False
) -> Figure:
    """One number of each seed, ``values`` (norm, batch size, seed), as mean and 95% interval against the batch size.

    With ``logarithmic`` the mean is geometric.  A batch size where a value is not finite is left out for that norm.
    """
    fig, ax = figure(3.0)
    said = []
    for n, norm in enumerate(NORMS):
        color, marker, line = LOOKS[norm]
        rows = [(s, _range(v, logarithmic)) for s, v in zip(sizes, values[n], strict=True) if np.isfinite(v).all()]
        _points(ax, rows, 0.94 + 0.06 * n, color, marker, line, norm)
        said.append(f"{norm} " + ", ".join(f"{middle:.{places}f}" for _, (middle, _, _) in rows))
    _size_axis(ax, sizes)
    ax.set_xlabel("batch size")
    ax.set_ylabel(label)
    if logarithmic:
        ax.set_yscale("log")
        plain_ticks(ax.yaxis)
    fig.legend(loc="outside upper center", ncols=3)
    key = "; ".join(said)
    return fig.describe(
        f"{_sentence(label)} against the batch size, with 95% intervals over {values.shape[-1]} seeds. {key}.",
        f"{label} by batch size: {key}",
    )


@picture
def draw_errors(sizes: Sequence[int], errors: Array) -> Figure:
    """Test errors in percent (norm, batch size, seed) by batch size; beside them ImageNet's (Wu & He, 2018)."""
    fig, (here, there) = figure(3.2, columns=2)
    for n, norm in enumerate(NORMS):
        color, marker, line = LOOKS[norm]
        rows = [(s, _range(v, False)) for s, v in zip(sizes, errors[n], strict=True)]
        _points(here, rows, 0.92 + 0.08 * n, color, marker, line, norm)
    there.plot(IMAGENET_SIZES, IMAGENET["BN"], color=BLUE, marker="o")
    there.plot(IMAGENET_SIZES, IMAGENET["GN"], color=GREEN, marker="D", linestyle="-.", label="GN")
    there.axhline(IMAGENET_IN, color=ORANGE, linestyle="--")
    there.plot([32], [IMAGENET_IN], color=ORANGE, marker="^")
    _size_axis(here, sizes)
    _size_axis(there, IMAGENET_SIZES)
    here.set(title="digits, here", xlabel="batch size", ylabel="test error (%)")
    here.set_ylim(bottom=0)
    there.set(title="ImageNet, Wu & He", xlabel="images a worker", ylim=(20, 36))
    fig.legend(loc="outside upper center", ncols=4)
    smallest = "; ".join(f"{norm} {_say(errors[n, 0])}%" for n, norm in enumerate(NORMS))
    return fig.describe(
        f"Left, test errors on the digits against the batch size, with 95% intervals: at {sizes[0]} images {smallest}. "
        f"Right, ImageNet: batch norm rises from {IMAGENET['BN'][-1]}% at 32 images a worker to {IMAGENET['BN'][0]}% "
        f"at 2, group norm stays at 24%, instance norm is at {IMAGENET_IN}%.",
        f"digits, batch size {sizes[0]}: {smallest}; ImageNet, 2 images: BN {IMAGENET['BN'][0]}%; "
        f"IN {IMAGENET_IN}% (at 32)",
    )


@picture
def draw_differences(sizes: Sequence[int], rows: dict[str, Array], label: str) -> Figure:
    """Differences seed by seed, for each name an array (batch size, seed), with 95% intervals."""
    fig, ax = figure(2.9)
    said = []
    for n, ((name, values), color, marker) in enumerate(zip(rows.items(), (BLUE, ORANGE, GREEN), "o^D", strict=False)):
        points = [(s, _range(v, False)) for s, v in zip(sizes, values, strict=True)]
        _points(ax, points, 0.94 + 0.08 * n, color, marker, "", name)
        said.append(f"{name}, {sizes[0]} to {sizes[-1]}: " + ", ".join(_signed(v.mean()) for v in values))
    ax.axhline(0, color=INK, linewidth=0.8)
    _size_axis(ax, sizes)
    ax.set_xlabel("batch size")
    ax.set_ylabel(label)
    fig.legend(loc="outside upper center", ncols=3)
    key = "; ".join(said)
    return fig.describe(f"{_sentence(label)} against the batch size, with 95% intervals. {key}.", key)


def fraction(rate: float) -> str:
    """A power of two as people say it.

    >>> fraction(0.015625), fraction(4.0)
    ('1/64', '4')
    """
    return f"1/{round(1 / rate)}" if rate < 1 else f"{rate:g}"


def _band(ax: Axes, x: npt.NDArray[np.generic], y: Array, color: str, line: str, name: str, marker: str = "") -> None:
    """Mean of ``y`` (seeds, x) with its 95% interval as a band."""
    middle, half = np.array([interval(column) for column in y.T]).T
    ax.plot(x, middle, color=color, linestyle=line, marker=marker, markersize=4.5, label=name)
    ax.fill_between(x, middle - half, np.minimum(middle + half, 100), color=color, alpha=0.18, linewidth=0)


def _range(values: Array, logarithmic: bool) -> tuple[float, float, float]:
    """Mean and the two ends of its 95% interval."""
    middle, half = interval(np.log(values) if logarithmic else values)
    ends = (middle, middle - half, middle + half)
    middle, low, high = np.exp(ends) if logarithmic else ends
    return float(middle), float(low), float(high)


def _points(
    ax: Axes,
    rows: list[tuple[int, tuple[float, float, float]]],
    shift: float,
    color: str,
    marker: str,
    line: str,
    name: str,
) -> None:
    """Points with intervals, each series shifted a little so that they do not hide each other."""
    middle = np.array([r[0] for _, r in rows])
    ends = np.array([[r[0] - r[1], r[2] - r[0]] for _, r in rows]).reshape(-1, 2).T
    at = shift * np.array([size for size, _ in rows])
    look: dict[str, Any] = {"color": color, "marker": marker, "linestyle": line}
    ax.errorbar(at, middle, yerr=ends, capsize=3, elinewidth=1.2, label=name, **look)


def _size_axis(ax: Axes, sizes: Sequence[int]) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(sizes, [str(s) for s in sizes])
    ax.minorticks_off()


def _signed(value: float) -> str:
    """One place and a sign, which zero does not have."""
    return "0.0" if abs(value) < 0.05 else f"{value:+.1f}".replace("-", "−")


def _sentence(label: str) -> str:
    """A label at the start of a sentence; ``str.capitalize`` would turn BN into Bn."""
    return label[0].upper() + label[1:]


def _say(values: Array) -> str:
    middle, half = interval(values)
    return f"{middle:.1f} ± {half:.1f}"
