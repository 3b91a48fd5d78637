"""Pictures of the chapter ``running-averages``: from the statistics of a batch to those of a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from normbook.evidence import interval
from normbook.style import BLUE, GRAY, GREEN, INK, ORANGE, PINK, Figure, figure, picture, picture_only
from normcore import BatchNorm, InstanceNorm
from normcore.statistics import exponential_average, exponential_weights

Array = npt.NDArray[np.float64]


@picture
def draw_company(images: Array, layer: BatchNorm | InstanceNorm, others: Sequence[int], mode: str) -> Figure:
    """The first of the images, normalized by a layer together with some others.

    Parameters
    ----------
    images
        Shape (n, 3, height, width), in [0, 1].
    layer
        Has tracked the statistics of these images.  It is used in the mode given, and left as it was.
    others
        Which images arrive together with the first one.
    mode
        ``"train"`` or ``"eval"``.
    """
    batch = images[[0, *others]]
    state, training = layer.state_dict(), layer.training
    try:
        y = layer.train(mode == "train")(batch)[0]
    finally:
        layer.load_state_dict(state)
        layer.train(training)
    fig = figure(2.3)[0]
    fig.clear()
    halves: Any = fig.subfigures(1, 2, width_ratios=(1.5, 1))
    panels = halves[0].subplots(2, 4).ravel()
    for ax in panels:
        picture_only(ax)
    for ax, image in zip(panels, batch, strict=False):
        ax.imshow(image.transpose(1, 2, 0))
        ax.set_axis_on()  # a frame: a bright tile is as white as the page
        ax.set(xticks=[], yticks=[])
        for spine in ax.spines.values():
            spine.set(visible=True, color=GRAY, linewidth=0.8)
    panels[0].set_title("image", loc="left")
    if len(others):
        panels[1].set_title("company", loc="left")
    ax = halves[1].subplots()
    ax.imshow(np.clip(y.transpose(1, 2, 0) / 5 + 0.5, 0, 1))  # gray is 0, black -2.5, white 2.5
    ax.set_title("the image, normalized")
    picture_only(ax)
    company = f"in the company of {len(others)} (brightness {batch[1:].mean():.2f})" if len(others) else "alone"
    said = f"{mode} mode, {company}: its output has mean {_signed(y.mean(), '')} and spread {y.std():.2f}"
    return fig.describe(
        f"On the left the image and the {len(others)} images that arrive with it, on the right the image after batch "
        f"norm in {said}. Gray is zero.",
        said,
    )


def running_average_errors(momentum: float, steps: int, noise: Array, start: float = 0.0) -> tuple[Array, Array]:
    """The parts of a running average's error, and its course.

    The true mean is 2 + 0.002 t at step t = 1, 2, …; a batch shows it plus noise (at least ``steps`` values).

    Returns
    -------
    parts
        What is left of the start, the lag behind the moving truth, the noise of the batches: their sum is the error at
        the last step.
    course
        The average after each step, (steps,).
    """
    truth = 2 + 0.002 * np.arange(1, steps + 1)
    noise = noise[:steps]
    weights = exponential_weights(momentum, steps)[::-1]  # oldest first
    left = 1 - weights.sum()  # the start's own weight
    parts = np.array([left * (start - truth[-1]), weights @ (truth - truth[-1]), weights @ noise])
    return parts, exponential_average(truth + noise, momentum, start)


@picture
def draw_average(noise: Array, momentum: float, steps: int, step: int | None = None) -> Figure:
    """A running average on its way through some steps, or until one of them, and what its error is made of there.

    The whisker is the standard deviation that the batches' own, s, gives it in the long run: s √(α/(2 − α)).
    """
    now = min(step or steps, steps)
    parts, course = running_average_errors(momentum, now, noise)
    t = np.arange(1, steps + 1)
    truth = 2 + 0.002 * t
    whisker = noise.std() * np.sqrt(momentum / (2 - momentum))
    fig, (top, bottom) = figure(4.0, rows=2, height_ratios=(2.2, 1))
    shown = np.unique(np.linspace(0, steps - 1, 34).astype(int))
    shown = np.unique([*shown[shown < now], now - 1])
    top.plot(t[shown], truth[shown] + noise[shown], ".", color=GRAY, markersize=4, label="means of batches")
    top.plot([0, steps], [2, truth[-1]], "--", color=INK, linewidth=1.4, label="true mean")
    line = np.unique(np.linspace(0, now - 1, 80).astype(int))
    top.plot([0, *t[line]], [0, *course[line]], color=ORANGE, label="running mean")
    top.errorbar([now], course[-1:], yerr=whisker, color=ORANGE, capsize=4, linewidth=1.2)
    top.set(xlabel="step", ylim=(-0.2, 5.2), yticks=[0, 2, 4], xlim=(0, steps * 1.02))
    fig.legend(loc="outside upper center", ncols=3, columnspacing=1.2, handlelength=1.6)
    names = ("start", "lag", "noise")
    bottom.barh(names, parts, color=(BLUE, GREEN, PINK))
    bottom.axvline(0, color=INK, linewidth=0.8)
    bottom.plot([parts.sum()], [-0.85], "D", color=ORANGE, markersize=5)
    side = -1 if -1 < parts.sum() < 0 else 1  # away from the line at zero
    bottom.text(parts.sum() + 0.06 * side, -0.85, "all", va="center", ha="left" if side > 0 else "right")
    bottom.set(xlim=(-2.2, 0.7), ylim=(2.6, -1.3), xlabel=f"error of the running mean at step {now}")
    bottom.grid(axis="y", visible=False)
    said = ", ".join(f"{name} {_signed(part)}" for name, part in zip(names, parts, strict=True))
    return fig.describe(
        f"A running mean with momentum {momentum:g} at step {now} of {steps}, starting from 0, among the noisy means "
        f"of the batches and a true mean that rises from 2 to {truth[-1]:.2f}. Below, the three parts of its error: "
        f"{said}.",
        f"momentum {momentum:g}, step {now}: off by {_signed(parts.sum())} = {said} "
        f"(noise in the long run: ±{whisker:.2f})",
    )


def _signed(value: float, sign: str = "+") -> str:
    """Two places, a true minus, and nothing in front of 0.00."""
    value = round(float(value), 2)
    return f"{value:{sign}.2f}".replace("-", "−") if value else "0.00"


@picture
def draw_tradeoff(momenta: Array, measured: Array, lag: Array, noise: Array) -> Figure:
    """Error of a running mean long after the start: measured (momenta, repeats), and by theory as lag and noise."""
    fig, ax = figure(3.0)
    seen = lag > 0
    ax.loglog(momenta[seen], lag[seen], "--", color=GREEN, linewidth=1.4, label="lag")
    ax.loglog(momenta, noise, ":", color=PINK, linewidth=1.8, label="noise")
    ax.loglog(momenta, np.hypot(lag, noise), "-", color=INK, linewidth=1.2, label="both, by theory")
    root = np.sqrt((measured**2).mean(1))
    ax.loglog(momenta, root, "o", color=ORANGE, label="measured")
    ax.set(xlabel="momentum", ylabel="error (root of the mean square)", ylim=(noise.min() / 2, None))
    fig.legend(loc="outside upper center", ncols=4, columnspacing=1, handlelength=1.6)
    best = int(np.argmin(root))
    off = 100 * np.abs(root / np.hypot(lag, noise) - 1).max()
    return fig.describe(
        "The error of a running mean against its momentum, both axes logarithmic. Lag falls and noise rises with the "
        f"momentum; the measured errors lie on their sum and are smallest at {momenta[best]:g}.",
        f"smallest error {root[best]:.2f} at momentum {momenta[best]:g}; theory and measurement differ by at most "
        f"{off:.0f}%",
    )


@picture
def draw_bessel(sizes: Array, biased: Array, unbiased: Array) -> Figure:
    """Average variance of batches over the true one; measured arrays (sizes, repeats)."""
    fig, ax = figure(2.8)
    ax.plot(sizes, (sizes - 1) / sizes, "-", color=INK, linewidth=1.2, label="(m − 1)/m")
    for values, color, marker, name in ((biased, ORANGE, "o", "biased"), (unbiased, BLUE, "s", "unbiased")):
        mean, half = np.array([interval(v) for v in values]).T
        ax.errorbar(sizes, mean, half, fmt=marker, color=color, capsize=3, label=name)
    ax.set_xscale("log", base=2)
    ax.set_xticks(sizes, [f"{s:g}" for s in sizes])
    ax.minorticks_off()
    ax.set(xlabel="values in a batch, m", ylabel="running / true variance", ylim=(0, 1.35))
    ax.legend(loc="lower right", ncols=1)
    return fig.describe(
        "The running variance over the true one against the size of the batch. The biased one follows the curve "
        "(m − 1)/m, the unbiased one stays at 1.",
        "; ".join(f"m = {m:g}: biased {b.mean():.2f}, unbiased {u.mean():.2f}"
                  for m, b, u in zip(sizes, biased, unbiased, strict=True) if m in (sizes[0], sizes[-1])),
    )


@picture
def draw_accuracies(names: Sequence[str], values: Array) -> Figure:
    """Test accuracies (names, repeats) with 95% intervals."""
    fig, ax = figure(0.9 + 0.36 * len(names))
    place = np.arange(len(names))[::-1]
    mean, half = np.array([interval(v) for v in values]).T
    ax.errorbar(mean, place, xerr=half, fmt="o", color=BLUE, capsize=3)
    ax.set_yticks(place, names)
    ax.set(xlabel="test accuracy", xlim=(0, 1.02), ylim=(-0.6, len(names) - 0.4))
    said = "; ".join(f"{n}: {m:.2f}" for n, m in zip(names, mean, strict=True))
    return fig.describe(f"Test accuracies with 95% intervals. {said}.", said)


@picture
def draw_drift(sizes: Sequence[int], same: Array, fresh: Array) -> Figure:
    """Size of the eval output over the train output after each layer of a stack.

    ``same`` and ``fresh`` are (sizes, layers): for the batch whose statistics were stored, and for new values when the
    statistics come from many batches.
    """
    fig, ax = figure(3.3)
    depth = np.arange(1, same.shape[1] + 1)
    for m, on_same, on_fresh, color, marker in zip(
        sizes, same, fresh, (PINK, ORANGE, GREEN, BLUE), "osD^", strict=True
    ):
        ax.semilogy(depth, ((m - 1) / m) ** (depth / 2), "-", color=color, linewidth=1.2)
        ax.semilogy(depth, ((m - 1) / m) ** ((depth - 1) / 2), ":", color=color, linewidth=1.2)
        ax.semilogy(depth[1::3], on_same[1::3], marker, color=color, label=f"m = {m}")
        ax.semilogy(depth[::3], on_fresh[::3], marker, color=color, markerfacecolor="none")
    ax.set(xlabel="layers passed, L", ylabel="size in eval / size in train", xlim=(0.5, depth[-1] + 0.5))
    ax.set_xticks([1, *range(5, depth[-1] + 1, 5)])
    fig.legend(loc="outside upper center", ncols=4, columnspacing=1.2)
    said = ", ".join(f"m = {m}: {v:.3f}" for m, v in zip(sizes, same[:, -1], strict=True))
    return fig.describe(
        "The size of the output in eval over that in train, by the number of layers, on a logarithmic axis, for "
        f"batches of {', '.join(map(str, sizes))} values. Straight lines fall with depth, the steeper the smaller the "
        f"batch; measured points lie on them. After {depth[-1]} layers, {said}.",
        f"after {depth[-1]} layers on the same batch, {said}",
    )
