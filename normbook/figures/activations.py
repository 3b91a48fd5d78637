"""Pictures of the chapter ``activations``: sizes by depth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from normbook.style import (
    BLUE,
    GRAY,
    GREEN,
    INK,
    ORANGE,
    PINK,
    Figure,
    figure,
    picture,
    scientific,
)

Array = npt.NDArray[np.float64]
LINES = ((BLUE, "o"), (GREEN, "s"), (GRAY, "^"), (ORANGE, "D"), (PINK, "v"))


def name(gain: float) -> str:
    """A gain as the book prints it: two decimals, none for whole numbers."""
    return f"{gain:.2f}".rstrip("0").rstrip(".")


@picture
def draw_spread(sizes: Mapping[float, Array], theory: bool = False) -> Figure:
    """Root mean square of a layer's values against its depth, a line for each gain.

    Parameters
    ----------
    sizes
        For each gain the sizes, shape (repeats, depth).
    theory
        Lay the line (gain/√2)^(layer − 1) over the measurement.
    """
    fig, ax = figure(3.4)
    said = []
    for (gain, values), (color, marker) in zip(sizes.items(), LINES, strict=False):
        layers = np.arange(1, values.shape[1] + 1)
        typical = np.exp(np.log(values).mean(0))
        every = max(1, len(layers) // 8)
        if theory:
            ax.semilogy(layers, typical[0] * (gain / np.sqrt(2)) ** (layers - 1), "--", color=INK, linewidth=1)
        ax.semilogy(layers, typical, marker=marker, markevery=every, color=color, label=name(gain))
        said.append(f"gain {name(gain)}: {scientific(typical[-1])}")
    ax.set(xlabel="layer", ylabel="size of its values (rms)")
    ax.minorticks_off()
    fig.legend(title="initial gain", loc="outside upper center", ncols=len(sizes))
    depth = len(layers)
    return fig.describe(
        "The size of the values of each layer against its depth, on a logarithmic axis: a straight line for "
        f"every initial gain. At layer {depth}, {'; '.join(said)}.",
        f"size at layer {depth}: {'; '.join(said)}",
    )


@picture
def draw_growth(gains: Array, measured: Array, half: Array) -> Figure:
    """Growth of the mean square per layer against the gain, over the law gain²/2.

    ``measured`` and ``half`` are the means over repeats and the half-widths of their 95% intervals, one for each gain.
    """
    fig, ax = figure(2.8)
    line = np.linspace(min(0.4, gains.min()), gains.max() * 1.05, 100)
    ax.axhline(1, color=GRAY, linewidth=1)
    ax.plot(line, line**2 / 2, "-", color=INK, linewidth=1.2, label="theory: gain²/2")
    ax.errorbar(gains, measured, yerr=half, fmt="o", color=ORANGE, capsize=3, label="measured, 95% interval")
    ax.set(xlabel="initial gain", ylabel="growth per layer\n(mean square)")
    ax.legend(loc="upper left")
    said = "; ".join(f"{name(g)}: {m:.3f} ± {h:.3f}" for g, m, h in zip(gains, measured, half, strict=True))
    off = np.abs(measured / (gains**2 / 2) - 1).max()
    return fig.describe(
        "The factor by which the mean square grows from layer to layer, against the initial gain. Measured points "
        f"lie on the parabola gain²/2, which crosses 1 at gain 1.41. {said}.",
        f"theory and measurement differ by at most {100 * off:.1f}%",
    )


@picture
def draw_depth(
    runs: Mapping[tuple[int, float, str], tuple[Array, Array]], depth: int, gain: float, norm: str
) -> Figure:
    """Sizes of activations and of gradients by layer, for one depth, gain and norm.

    ``runs[depth, gain, norm]`` holds two arrays (repeats, depth): what enters the ReLU of each layer, and ∂L/∂z
    of each layer's convolution, when a random gradient of size 1 is sent in at the top.
    """
    forward, backward = (np.exp(np.log(values).mean(0)) for values in runs[depth, gain, norm])
    layers = np.arange(1, depth + 1)
    fig, axes = figure(3.1, columns=2)
    every = max(1, depth // 8)
    kinds = (("values entering the ReLU", forward, BLUE, "o"), ("gradient ∂L/∂z", backward, ORANGE, "s"))
    for ax, (title, values, color, marker) in zip(axes, kinds, strict=True):
        ax.axhline(1, color=GRAY, linewidth=1)
        ax.semilogy(layers, values, marker=marker, markevery=every, color=color)
        ax.set(title=title, xlabel="layer", xlim=(0, depth + 1))
        low, high = np.log10(min(values.min(), 0.1)), np.log10(max(values.max(), 10))
        ax.minorticks_off()
        ax.set_ylim(10 ** np.floor(low - 0.1), 10 ** np.ceil(high + 0.1))
    axes[0].set_ylabel("size (rms)")
    said = (
        f"values {scientific(forward[0])} at layer 1, {scientific(forward[-1])} at layer {depth}; "
        f"gradient {scientific(backward[-1])} at layer {depth}, {scientific(backward[0])} at layer 1"
    )
    return fig.describe(
        f"Two panels over the layers of a network of depth {depth}, initial gain {name(gain)}, norm: {norm}. "
        f"Left the size of the values, right the size of the gradient, both on logarithmic axes. {said}.",
        said,
    )


@picture
def draw_difference(shares: Mapping[str, Array]) -> Figure:
    """Share of the mean square that differs from image to image; ``shares``: arrays (repeats, depth), one a norm."""
    fig, ax = figure(2.9)
    said = []
    for i, ((label, values), (color, marker)) in enumerate(zip(shares.items(), LINES, strict=False)):
        layers = np.arange(1, values.shape[1] + 1)
        mean = values.mean(0)
        every = max(1, len(layers) // 6)
        ax.fill_between(layers, values.min(0), values.max(0), color=color, alpha=0.2, linewidth=0)
        # lines may coincide: markers take turns, and the last line is dashed
        look = {"marker": marker, "markevery": (i * every // 3, every), "linestyle": ("-", "-", "--")[i % 3]}
        ax.plot(layers, mean, color=color, label=label, **look)
        said.append(f"{label} {mean[0]:.2f} at layer 1, {mean[-1]:.2f} at layer {len(layers)}")
    ax.set(xlabel="layer", ylabel="share that differs\nbetween images", ylim=(0, 1.05))
    fig.legend(loc="outside upper center", ncols=len(shares))
    return fig.describe(
        "The share of the mean square that differs from image to image, against depth; bands reach from the lowest "
        f"to the highest repeat. {'; '.join(said)}.",
        "; ".join(said),
    )
