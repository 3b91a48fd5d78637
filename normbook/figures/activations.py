"""Pictures of the chapter ``activations``: sizes by depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from normbook.style import (
    BLUE,
    GRAY,
    GREEN,
    INK,
    ORANGE,
    PINK,
    SMALL,
    Figure,
    figure,
    picture,
    scientific,
)
from normcore import batch_norm

Array = npt.NDArray[np.float64]
LINES = ((BLUE, "o"), (GREEN, "s"), (GRAY, "^"), (ORANGE, "D"), (PINK, "v"))


def name(gain: float) -> str:
    """A gain as the book prints it: two decimals, none for whole numbers."""
    return f"{gain:.2f}".rstrip("0").rstrip(".")


def entering(x: Array, gain: float, norm: bool, depth: int, width: int = 24, seed: int = 0) -> Iterator[Array]:
    """What enters the ReLU of each layer of a random stack of 3×3 convolutions, for images x (N, 1, H, W).

    The weights are drawn with the standard deviation gain / √fan-in; the border continues on the opposite side.
    """
    random = np.random.default_rng(seed)
    for _ in range(depth):
        near = [np.roll(x, (i, j), axis=(2, 3)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        fan = 9 * x.shape[1]
        w = gain / np.sqrt(fan) * random.standard_normal((width, fan))
        z = np.einsum("kf,nfhw->nkhw", w, np.concatenate(near, axis=1))
        if norm:
            z = batch_norm(z)[0]
        yield z
        x = np.maximum(z, 0)


@picture
def draw_signal(images: Array, gain: float, layers: Sequence[int] = (1, 5, 10, 20, 30)) -> Figure:
    """The first image on its way up: one map of each of the layers without a norm, and with batch norm in each.

    Black is −2.5, gray 0, white 2.5.  ``images`` (N, 1, H, W) are the batch.
    """
    fig, axes = figure(2.45, rows=2, columns=len(layers))
    said = []
    for line, (norm, label) in zip(axes, ((False, "no norm"), (True, "batch norm")), strict=True):
        found = list(entering(images, gain, norm, max(layers)))
        for ax, layer in zip(line, layers, strict=True):
            z = found[layer - 1]
            ax.imshow(z[0, 0], cmap="gray", vmin=-2.5, vmax=2.5)
            ax.set(xticks=[], yticks=[], xlabel=scientific(np.sqrt(np.mean(z**2)), 1))
            ax.grid(False)
            for spine in ax.spines.values():
                spine.set(visible=True, color=GRAY, linewidth=0.8)
            if not norm:
                ax.set_title(f"layer {layer}")
        line[0].set_ylabel(label)
        said.append(f"{scientific(np.sqrt(np.mean(z**2)))} with {label}")
    numbers = f"gain {name(gain)}, size (rms) of the values at layer {layers[-1]}: {', '.join(said)}"
    return fig.describe(
        f"One map of a digit at layers {', '.join(map(str, layers))}, above without a norm, below with batch norm in "
        f"every layer; black is −2.5, gray 0, white 2.5, and the size of a layer's values stands under its map. "
        f"{numbers}.",
        numbers,
    )


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
    """Sizes of activations and of gradients by layer, for one depth, gain and norm; the axes are those of all runs.

    ``runs[depth, gain, norm]`` holds two arrays (repeats, depth): what enters the ReLU of each layer, and ∂L/∂z
    of each layer's convolution, when a random gradient of size 1 is sent in at the top.
    """
    forward, backward = (np.exp(np.log(values).mean(0)) for values in runs[depth, gain, norm])
    layers = np.arange(1, depth + 1)
    everything = np.log10([np.exp(np.log(v).mean(0))[[0, -1]] for run in runs.values() for v in run])
    low, high = np.floor(everything.min()), np.ceil(everything.max())
    fig, axes = figure(3.1, columns=2, sharey=True)
    every = max(1, depth // 8)
    kinds = (("values entering the ReLU", forward, BLUE, "o"), ("gradient ∂L/∂z", backward, ORANGE, "s"))
    for ax, (title, values, color, marker) in zip(axes, kinds, strict=True):
        ax.axhline(1, color=GRAY, linewidth=1)
        ax.semilogy(layers, values, marker=marker, markevery=every, color=color)
        ax.set(title=title, xlabel="layer", xlim=(0, max(d for d, _, _ in runs) + 1), ylim=(10**low, 10**high))
        ax.minorticks_off()
    axes[0].set_ylabel("size (rms)")
    said = (
        f"values {scientific(forward[0])} at layer 1, {scientific(forward[-1])} at layer {depth}; "
        f"gradient {scientific(backward[-1])} at layer {depth}, {scientific(backward[0])} at layer 1"
    )
    return fig.describe(
        f"Two panels over the layers of a network of depth {depth}, initial gain {name(gain)}, norm: {norm}. "
        f"Left the size of the values, right the size of the gradient, both on one logarithmic axis. {said}.",
        said,
    )


@picture
def draw_information(correct: Mapping[str, Mapping[str, Array]], chance: float = 0.1) -> Figure:
    """How often the nearest known image has the right class, by layer: a panel a data set, a line a stack.

    ``correct[data][stack]`` are arrays (repeats, depth); thin lines are repeats, thick ones their mean.  A stack with
    shortcuts has the color of the one without them, and a dashed line.
    """
    fig, axes = figure(3.5, columns=len(correct), sharey=True)
    said = []
    for ax, (data, stacks) in zip(np.atleast_1d(axes), correct.items(), strict=True):
        plain = [label for label in stacks if "shortcuts" not in label]
        for i, (label, values) in enumerate(stacks.items()):
            norm = label.removesuffix("shortcuts").removesuffix(" + ") or "none"
            color, marker = LINES[plain.index(norm)]
            layers = np.arange(1, values.shape[1] + 1)
            ax.plot(layers, values.T, color=color, linewidth=0.5, alpha=0.5)
            ax.plot(layers, values.mean(0), "-" if label in plain else "--", color=color, label=label, marker=marker,
                    markevery=(i, 6), markersize=5)
        ax.axhline(chance, color=INK, linestyle=":", linewidth=1.2)
        ax.annotate("chance", (1, chance), (0, 3), textcoords="offset points", fontsize=SMALL)
        ax.set(title=data, xlabel="layer", ylim=(0, 1.02))
        said.append(f"{data}: " + ", ".join(f"{label} {values[:, -1].mean():.2f}" for label, values in stacks.items()))
    np.atleast_1d(axes)[0].set_ylabel("nearest image has\nthe right class")
    fig.legend(*np.atleast_1d(axes)[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return fig.describe(
        "Share of images whose nearest neighbor in a layer's values has the same class, against the layer, for stacks "
        f"of random layers; dashed lines have shortcuts. At the last layer, {'; '.join(said)}. Chance is {chance:g}.",
        f"at layer {len(layers)}: {'; '.join(said)}; chance {chance:g}",
    )


@picture
def draw_copies(cosines: Mapping[str, Array]) -> Figure:
    """Cosine of an image with its own noisy copy and with another image, by layer, for each stack.

    ``cosines[stack]``: arrays (repeats, 2, depth), first the copy, then the other image.
    """
    fig, ax = figure(2.9)
    said = []
    for (label, values), (color, marker) in zip(cosines.items(), LINES, strict=False):
        copy, other = values.mean(0)
        layers = np.arange(1, len(copy) + 1)
        ax.plot(layers, copy, "-", color=color, marker=marker, markevery=5, label=f"{label}: noisy copy")
        ax.plot(layers, other, "--", color=color, marker=marker, markevery=5, label=f"{label}: other image")
        said.append(f"{label} {copy[-1]:.2f} with the copy, {other[-1]:.2f} with another image")
    ax.set(xlabel="layer", ylabel="cosine", ylim=(-0.1, 1.02))
    fig.legend(loc="outside upper center", ncols=2)
    return fig.describe(
        "Cosine between the values of an image and those of its own noisy copy (solid) and of another image (dashed), "
        f"by layer. At the last layer: {'; '.join(said)}.",
        f"at layer {len(layers)}: {'; '.join(said)}",
    )


@picture
def draw_trained(
    accuracy: Array, arms: Sequence[str], depths: Sequence[int], data: Sequence[str], chance: float = 0.1
) -> Figure:
    """Test accuracy of trained networks against their depth, a point for each seed, a line through the medians.

    ``accuracy`` is an array (data, arm, depth, seed).
    """
    fig, axes = figure(3.4, columns=len(data), sharey=True)
    place = np.arange(len(depths))
    said = []
    for ax, name_of, values in zip(np.atleast_1d(axes), data, accuracy, strict=True):
        for i, (arm, own) in enumerate(zip(arms, values, strict=True)):
            color, marker = LINES[i]
            shift = 0.09 * (i - (len(arms) - 1) / 2)
            middle = np.median(own, axis=1)
            ax.plot(place + shift, middle, color=color, linewidth=1.3)
            for k in range(own.shape[1]):
                ax.plot(place + shift, own[:, k], marker, color=color, markersize=4, label=arm if k == 0 else None)
        ax.axhline(chance, color=INK, linestyle=":", linewidth=1.2)
        ax.set(title=name_of, xlabel="convolutions", ylim=(0, 1.02))
        ax.set_xticks(place, [str(d) for d in depths])
        said.append(
            f"{name_of}: " + ", ".join(f"{arm} {np.median(own[-1]):.2f}" for arm, own in zip(arms, values, strict=True))
        )
    np.atleast_1d(axes)[0].set_ylabel("test accuracy")
    fig.legend(*np.atleast_1d(axes)[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return fig.describe(
        "Test accuracy of trained networks against their number of convolutions, one point for each seed and a line "
        f"through the medians. Medians at {depths[-1]} convolutions, {'; '.join(said)}. Chance is {chance:g}.",
        f"median at {depths[-1]} convolutions: {'; '.join(said)}",
    )
