"""Pictures of the chapter ``why``: five explanations, measured on digits and on clothes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from normbook.drawing import LOOKS as NORM_LOOKS
from normbook.evidence import interval
from normbook.experiments.why import (
    BRANCHES,
    DATA,
    GHOST_LOOKS,
    GHOST_RATES,
    GHOSTS,
    GOOD,
    LANDSCAPES,
    LONGER,
    SHIFTS,
    STARTS,
    STRETCHES,
    TOLERATED,
    TURNS,
    WIDE,
    at_fit,
    common_fit,
    edge,
    growth,
)
from normbook.figures.experiments import fraction
from normbook.style import BLUE, GREEN, INK, ORANGE, PINK, Figure, figure, picture, plain_ticks

Array = npt.NDArray[np.float64]
Found = Mapping[str, Mapping[str, Array]]  # {data: {name: array}}

TITLES = {"digits": "digits", "fashion": "clothes"}
LOOKS: dict[str, tuple[str, str, Any]] = {
    "none": NORM_LOOKS["none"],
    "BN": NORM_LOOKS["BN"],
    "noisy BN": (ORANGE, "^", "--"),
    "BN, rate of none": (GREEN, "D", "-."),
    "noisy BN, rate of none": (PINK, "v", (0, (1, 1))),
    "BN, pinned": (GREEN, "D", "-."),
    "BN, short": (ORANGE, "^", "--"),
    "BN, short, pinned": (PINK, "v", ":"),
}


@picture
def draw_tolerance(found: Found, learning_rate: float) -> Figure:
    """Loss on the batch against steps at one rate, without a norm and with batch norm: every seed, median thick."""
    fig, axes = figure(3.2, columns=2, sharey=True)
    j, said = WIDE.index(learning_rate), []
    for ax, data in zip(axes, DATA, strict=True):
        for k in (0, 1):
            name = TOLERATED[k][0]
            color, _, line = LOOKS[name]
            course = np.nan_to_num(found[data]["course"][k, :, :, j], nan=1e9, posinf=1e9)  # (looks, seeds)
            steps = 5 * np.arange(len(course))
            for own in course.T:
                ax.plot(steps, np.clip(own, 1e-3, 1e3), color=color, linewidth=0.6, alpha=0.5)
            ax.plot(steps, np.clip(np.median(course, 1), 1e-3, 1e3), color=color, linestyle=line, label=name)
            right = np.median(found[data]["test"][k, :, j])
            said.append(f"{TITLES[data]}, {name} {100 * right:.0f}%")
        ax.set(title=TITLES[data], xlabel="steps", yscale="log", ylim=(2e-3, 200), xlim=(0, 118))
    axes[0].set_ylabel("loss on the batch")
    _legend(fig, axes[0])
    numbers = f"learning rate {fraction(learning_rate)}; median accuracy on new images: " + "; ".join(said)
    return fig.describe(
        "Loss against steps on a logarithmic axis, digits and clothes, without a norm and with batch norm; thin lines "
        f"for the seeds, a thick one for the median. A line that leaves at the top has broken down. {numbers}.",
        numbers,
    )


@picture
def draw_shift(found: Found) -> Figure:
    """Drift of what enters a layer, agreement of its gradient, and the loss at the end, by arm; a point for each seed.

    Filled for digits, open for clothes.
    """
    fig, axes = figure(3.6, columns=3, sharey=True)
    said = []
    panels = (
        ("drift", "drift in a step", "log"),
        ("cosine", "agreement", "linear"),
        ("loss", "loss at the end", "log"),
    )
    names = [name for name, _, _ in SHIFTS]
    for ax, (what, label, scale) in zip(axes, panels, strict=True):
        for k, name in enumerate(names):
            for d, data in enumerate(DATA):
                _dots(ax, found[data][what][k], -k + 0.15 - 0.3 * d, LOOKS[name], bool(d))
        ax.set(xlabel=label, xscale=scale)
        ax.set_yticks([-k for k in range(len(names))], [name.replace(", ", ",\n") for name in names])
    axes[0].set_xlim(1e-3, 1)
    axes[1].set_xlim(0.3, 1.02)
    axes[2].set_xlim(4e-3, 1)
    for k, name in enumerate(names[:3]):
        drift, loss = (found["digits"][what][k].mean() for what in ("drift", "loss"))
        said.append(f"{name}: drift {drift:.3f}, loss {loss:.3f}")
    numbers = "digits (filled; clothes open): " + "; ".join(said)
    return fig.describe(
        "Three panels, a row for each kind of network, a point for each seed and a bar for the mean: the drift of what "
        f"enters a layer, the agreement of its gradient before and after the step of the layers below, the loss. "
        f"{numbers}.",
        numbers,
    )


@picture
def draw_step(found: Found, rates: str, step: int) -> Figure:
    """The loss along the step, less the loss before it, at a step of training.

    ``rates`` is ``"the same"`` (that of the network without a norm) or ``"each its own"``.
    """
    fig, axes = figure(3.2, columns=2, sharey=True)
    other, said = (2 if rates == "the same" else 1), []
    for ax, data in zip(axes, DATA, strict=True):
        for k in (0, other):
            name = LANDSCAPES[k][1]
            color, marker, line = LOOKS[name]
            loss = found[data]["loss"][k, step // 10]  # (distances, seeds)
            x = (0.0, *STRETCHES)
            for own in loss.T:
                ax.plot(x, [0, *own], color=color, linewidth=0.6, alpha=0.5)
            middle = np.median(loss, 1)
            ax.plot(x, [0, *middle], color=color, marker=marker, linestyle=line, label=name)
            said.append(f"{TITLES[data]}, {name} {_signed(middle[-1])}")
        ax.axhline(0, color=INK, linewidth=0.8)
        ax.axvline(1, color=INK, linewidth=0.8)
        ax.set(title=TITLES[data], xlabel="distance, in steps", ylim=(-1.5, 3))
    axes[0].set_ylabel("change of the loss")
    _legend(fig, axes[0])
    numbers = f"before step {step}, change of the loss four steps ahead: " + "; ".join(said)
    return fig.describe(
        "Change of the loss against the distance along the step, up to four times as far as the step, without a norm "
        f"and with batch norm; thin lines for the seeds. {numbers}.",
        numbers,
    )


@picture
def draw_smoothness(found: Found) -> Figure:
    """Effective smoothness β over training, and β of batch norm against the scale of the weights with the law 1/c²."""
    fig, axes = figure(3.2, columns=3, sharey=True)
    said = []
    for ax, data in zip(axes, DATA, strict=False):
        for k, (name, _, _) in enumerate(LANDSCAPES):
            color, _, line = LOOKS[name]
            beta = found[data]["beta"][k]  # (looks, seeds)
            for own in beta.T:
                ax.plot(10 * np.arange(len(beta)), own, color=color, linewidth=0.5, alpha=0.4)
            middle = np.exp(np.log(beta).mean(1))
            ax.plot(10 * np.arange(len(beta)), middle, color=color, linestyle=line, label=name)
            said.append(f"{TITLES[data]}, {name} {np.exp(np.log(middle).mean()):.1f}")
        ax.set(title=TITLES[data], xlabel="steps", yscale="log", ylim=(0.3, 120))
    for data, color, marker in zip(DATA, (BLUE, GREEN), "oD", strict=True):
        scaled = found[data]["scaled"]
        axes[2].plot(LONGER, scaled, color=color, marker=marker, markersize=4, linestyle="")
        axes[2].plot(LONGER, scaled[1].mean() / np.square(LONGER), color=color, linewidth=1)
    axes[2].set(title="law 1/c²", xlabel="weights times c", xscale="log")
    axes[2].set_xticks(LONGER, [f"{c:g}" for c in LONGER])
    axes[2].minorticks_off()
    axes[0].set_ylabel("effective smoothness β")
    _legend(fig, axes[0])
    numbers = "mean β: " + "; ".join(said)
    return fig.describe(
        "Effective smoothness β on a logarithmic axis: over training for digits and clothes, and, right, that of batch "
        f"norm at the start against a factor on all hidden weights, with lines of slope minus two. {numbers}.",
        numbers,
    )


@picture
def draw_largest(found: Found) -> Figure:
    """The largest usable rate of each seed: no norm, and batch norm whose weights may grow or may not."""
    fig, ax = figure(3.6)
    said = []
    order = ("none", "BN, pinned", "BN", "BN, short, pinned", "BN, short")
    for row, name in enumerate(order):
        for d, data in enumerate(DATA):
            values = edge(found[data][f"test {name}"], found[data][f"rates {name}"], GOOD[data][0])
            spots = -row + 0.17 - 0.34 * d + 0.02 * (np.arange(len(values)) - (len(values) - 1) / 2)
            color, marker, _ = LOOKS[name]
            ax.plot(values, spots, color=color, marker=marker, linestyle="", markersize=4,
                    markerfacecolor="none" if d else color)  # fmt: skip
            said.append(f"{TITLES[data]}, {name} {np.exp(np.nanmean(np.log(values))):.2g}")
    ax.set_xscale("log", base=2)
    ax.set_xticks([2.0**k for k in range(-6, 5)], [fraction(2.0**k) for k in range(-6, 5)])
    rows = ("none", "BN, weights\nof fixed length", "BN", "BN, short weights\nof fixed length", "BN, short weights")
    ax.set_yticks([-row for row in range(len(order))], rows)
    ax.set(xlabel="largest usable rate (filled digits, open clothes)", xlim=(2.0**-6, 2.0**4))
    numbers = "geometric means: " + "; ".join(said)
    return fig.describe(
        f"Largest usable learning rate on a logarithmic axis, a point for each seed, in five rows. {numbers}.", numbers
    )


@picture
def draw_lengths(found: Found, weights: float, data: str = "digits") -> Figure:
    """Length and turning angle of a hidden unit's weights under batch norm and weight decay; laws as thin lines.

    ``weights``: their length at the start, in units of the usual one.
    """
    fig, axes = figure(3.2, columns=2)
    said, decay = [], 0.05
    s = STARTS.index(weights)
    for j, (eta, color) in enumerate(zip(TURNS[decay], (BLUE, ORANGE, GREEN), strict=True)):
        length, turn = (found[data][f"{what} {decay:g}"][s, :, :, j] for what in ("length", "turn"))
        steps = 10 * np.arange(len(length))
        axes[0].plot(steps, length.mean(1), color=color, label=f"η = {eta:g}")
        axes[0].plot(steps, length[0].mean() * (1 - eta * decay) ** steps, color=color, linewidth=0.8, linestyle=":")
        axes[1].plot(steps, np.sqrt(np.mean(turn[: len(steps)] ** 2, axis=1)), color=color)
        law = np.sqrt(2 * eta * decay)
        axes[1].axhline(law, color=color, linewidth=0.8, linestyle="--")
        said.append(f"η = {eta:g}: length {length[-1].mean():.2f} at the end, law of the angle {law:.3f}")
    axes[0].set(xlabel="steps", ylabel="length of the weights", yscale="log", ylim=(0.1, 6))
    axes[1].set(xlabel="steps", ylabel="angle in a step (radians)", yscale="log", ylim=(5e-4, 1))
    plain_ticks(axes[0].yaxis)
    _legend(fig, axes[0])
    numbers = f"λ = {decay:g}; " + "; ".join(said)
    return fig.describe(
        "Left the length of the weights over training, with dotted lines for pure decay; right the angle of a turn "
        f"in a step, with dashed lines at the root of 2ηλ. {numbers}.",
        numbers,
    )


@picture
def draw_angles(found: Found) -> Figure:
    """Turning angle against the law √(2ηλ): every rate, decay, start, data set and seed."""
    fig, ax = figure(3.0)
    said = []
    for d, (data, color) in enumerate(zip(DATA, (BLUE, ORANGE), strict=True)):
        for decay, rates in TURNS.items():
            angle = found[data][f"angle {decay:g}"]  # (starts, seeds, rates)
            for s, start in enumerate(STARTS):
                for j, eta in enumerate(rates):
                    law = np.sqrt(2 * eta * decay)
                    x = law * (1 + 0.012 * (2 * d + s - 1.5))
                    label = f"{TITLES[data]}, start {start:g}" if decay == 0.05 and not j else None
                    ax.plot(np.full(angle.shape[1], x), angle[s, :, j], color=color, linestyle="", markersize=4,
                            marker="o^"[s], mfc=color if decay == 0.05 else "none", label=label)  # fmt: skip
                    if decay == 0.05 and not s:
                        said.append(f"{TITLES[data]}, {law:.3f}: {angle[s, :, j].mean():.3f}")
    ax.plot([0.06, 0.22], [0.06, 0.22], color=INK, linewidth=0.8)
    ax.set(xlabel="law √(2ηλ)", ylabel="measured angle in a step", xlim=(0.08, 0.22), ylim=(0.06, 0.22))
    _legend(fig, ax, 2)
    numbers = "law and measurement, λ = 0.05, start 0.3: " + "; ".join(said)
    return fig.describe(
        "Measured turning angle against the law, a point for each seed, with the line on which both agree; points of "
        f"the long start and the slowest setting lie below it. {numbers}.",
        numbers,
    )


@picture
def draw_blocks(found: Found, moment: str) -> Figure:
    """Variance between images by residual block; at the start with the laws.  ``moment``: "at the start", "trained"."""
    fig, axes = figure(3.2, columns=2, sharey=True)
    said = []
    when = ("at the start", "trained").index(moment)
    for ax, data in zip(axes, DATA, strict=True):
        for name, label, look in (
            ("none 1", "none", LOOKS["none"]),
            ("shrunk", "none, sum / √2", (ORANGE, "^", "--")),
            ("BN 1", "BN", LOOKS["BN"]),
        ):
            course = found[data][f"variance {name}"][when]  # (blocks + 1, seeds)
            alive = course[:, np.isfinite(course).all(0)]
            blocks = np.arange(len(course))
            color, marker, _ = look
            ax.fill_between(blocks, alive.min(1), alive.max(1), color=color, alpha=0.25, linewidth=0)
            middle = np.exp(np.log(alive).mean(1))
            ax.plot(blocks, middle, color=color, linestyle="", marker=marker, label=label)
            said.append(f"{TITLES[data]}, {label} {middle[-1]:.3g}")
            if not when:
                law = {"BN 1": middle[0] + (1 - 1 / np.pi) * blocks, "none 1": middle[0] * growth(0.0, len(blocks) - 1)}
                law["shrunk"] = law["none 1"] / 2.0**blocks
                ax.plot(blocks, law[name], color=color, linewidth=1)
        ax.set(title=TITLES[data], xlabel="block", yscale="log", ylim=(0.1, 1000))
    axes[0].set_ylabel("variance between images")
    _legend(fig, axes[0])
    numbers = f"{moment}, behind the last block: " + "; ".join(said)
    return fig.describe(
        "Variance between images by residual block on a logarithmic axis, without a norm, with the sum divided by root "
        f"two, and with batch norm; bands from the lowest seed to the highest, at the start thin lines for the laws. "
        f"{numbers}.",
        numbers,
    )


@picture
def draw_branches(found: Found) -> Figure:
    """Test accuracy of residual networks by what is done to the branches: a point for each seed."""
    fig, axes = figure(3.2, columns=2, sharey=True)
    labels = {"none": "none, ", "BN": "BN, "}
    said = []
    for ax, data in zip(axes, DATA, strict=True):
        for k, (name, norm, _, shrunk) in enumerate(BRANCHES):
            values = 100 * found[data]["test"][k]
            look = (ORANGE, "^", "") if shrunk else LOOKS[norm]
            _dots(ax, values, -k, look, False)
            said.append(f"{TITLES[data]}, {name} {np.median(values):.0f}%")
        ax.set(title=TITLES[data], xlabel="test accuracy (%)", xlim=(0, 100))
        ax.set_yticks(
            [-k for k in range(len(BRANCHES))],
            [f"{labels[norm]}{'sum / √2' if shrunk else f'branch × {scale:g}'}" for _, norm, scale, shrunk in BRANCHES],
        )
    numbers = "medians: " + "; ".join(said)
    return fig.describe(
        "Test accuracy of residual networks, a point for each seed a bar for the mean, by the scale of the branches "
        f"at the start. {numbers}.",
        numbers,
    )


@picture
def draw_noise(found: Found, against: str, data: str = "fashion", rate: str = "the best") -> Figure:
    """Loss on new images by norm batch, against the steps or against the loss on the training images.

    ``rate``: "the best" or "twice it", as in ``GHOST_RATES``.
    """
    fig, ax = figure(3.2)
    said, by_steps = [], against == "steps"
    at_rate = ("the best", "twice it").index(rate)
    course = {what: found[data][what][at_rate] for what in ("loss", "new")}
    level = common_fit(course["loss"])
    for k, (size, color, line) in enumerate(zip(GHOSTS, (ORANGE, GREEN, BLUE), ("--", "-.", "-"), strict=True)):
        loss, new = (course[what][k].mean(1)[1:] for what in ("loss", "new"))
        x = np.array(GHOST_LOOKS)[1:] if by_steps else loss
        ax.plot(x, new, color=color, linestyle=line, marker=".", label=f"norm batch {size}")
        equal = at_fit(course["new"][k], course["loss"][k], level).mean()
        said.append(f"{size}: training {loss[-1]:.2f}, new {new[-1]:.2f}" if by_steps else f"{size}: {equal:.2f}")
    if by_steps:
        ax.set(xlabel="steps", xlim=(-5, 245))
    else:
        ax.set(xlabel="loss on the training images (training goes right)", xlim=(1.15, 0.04), xscale="log")
        plain_ticks(ax.xaxis)
    ax.set(ylabel="loss on new images", ylim=(0, 1.1))
    _legend(fig, ax, 2)
    what = "losses at the end" if by_steps else f"loss on new images where that on training images is {level:.2f},"
    numbers = (
        f"{TITLES[data]}, rate {GHOST_RATES[at_rate] * found[data]['rate'].item():g}, {what} by norm batch: "
        + "; ".join(said)
    )
    return fig.describe(
        f"Loss on new images against {against}, a line for each of three norm batches, means over seeds. {numbers}.",
        numbers,
    )


def _dots(ax: Axes, values: Array, row: float, look: tuple[str, str, Any], hollow: bool) -> None:
    """A point for each seed along a row, and a bar at the mean."""
    color, marker, _ = look
    spots = row + 0.02 * (np.arange(len(values)) - (len(values) - 1) / 2)
    ax.plot(values, spots, color=color, marker=marker, markersize=4, linestyle="", alpha=0.8,
            markerfacecolor="none" if hollow else color)  # fmt: skip
    middle = interval(values)[0]
    ax.plot([middle, middle], [row - 0.13, row + 0.13], color=color, linewidth=2.5)


def _legend(fig: Figure, ax: Axes, columns: int = 3) -> None:
    handles, labels = ax.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=columns)


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


__all__ = [
    "draw_angles", "draw_blocks", "draw_branches", "draw_largest", "draw_lengths", "draw_noise", "draw_shift",
    "draw_smoothness", "draw_step", "draw_tolerance",
]  # fmt: skip
