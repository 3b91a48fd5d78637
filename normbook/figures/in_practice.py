"""Pictures of the chapter ``in-practice``: what becomes of a norm when something around it changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from normbook.data import digits
from normbook.experiments.trained import Trained
from normbook.style import BLUE, GRAY, GREEN, INK, ORANGE, PINK, Figure, figure, picture

Array = npt.NDArray[np.float64]
TITLES = {"digits": "digits", "fashion": "clothes"}
ARMS = ((GRAY, "s", ":"), (BLUE, "o", "-"), (GREEN, "D", "-."), (ORANGE, "^", "--"), (PINK, "v", "-"))


@picture
def draw_camera(net: Trained, images: Array, labels: Array, light: float, statistics: str, shown: int = 10) -> Figure:
    """What a trained network answers to digits in less light.

    Parameters
    ----------
    net
        A network with batch norm.
    images, labels
        Digits (n, 1, 8, 8) as the network got them in training, standardized, and their labels (n,).
    light
        By which the gray levels are multiplied; 1 is the camera of the training.
    statistics
        ``"stored"``, those of the training, or ``"of these images"``.
    """
    known = digits().images
    dark = -known.mean() / known.std()  # a black pixel, standardized
    dim = light * (images - dark) + dark
    answers = net.scores(dim, training=statistics != "stored").argmax(axis=1)
    share = 100 * np.mean(answers == labels)
    fig, axes = figure(1.9, rows=2, columns=shown // 2)
    for ax, image, answer, label in zip(axes.flat, light * (images - dark), answers, labels, strict=False):
        ax.imshow(image[0], cmap="gray", vmin=0, vmax=(known.max() - known.mean()) / known.std() - dark)
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        right = answer == label
        ax.set_ylabel(f"{answer} {'✓' if right else '✗'}", rotation=0, labelpad=14, va="center")
        ax.yaxis.label.set_color(GREEN if right else ORANGE)
        for spine in ax.spines.values():
            spine.set(visible=True, color=GRAY, linewidth=0.8)
    numbers = f"light {100 * light:.0f}%, statistics {statistics}: {share:.0f}% of {len(labels)} digits right"
    return fig.describe(
        f"Ten digits in {100 * light:.0f}% of the light, and beside each the answer of a trained network, which is "
        f"right for {np.sum(answers[:shown] == labels[:shown])} of them. {numbers}.",
        numbers,
    )


@picture
def draw_adapted(found: Mapping[tuple[str, str, str], Array], counts: Sequence[int], shift: str) -> Figure:
    """Accuracy on shifted images against how many of them the statistics were taken anew from.

    Parameters
    ----------
    found
        For (data, shift, ``"BN"``) accuracies (seeds, counts and one more: images of a single class); for
        (data, shift, ``"IN"``) and (data, ``"none"``, ``"BN"``), the images as they are, (seeds,).
    counts
        Numbers of images; 0 means the stored statistics.
    """
    fig, axes = figure(3.1, columns=2, sharey=True)
    place = np.arange(len(counts) + 1)
    said = []
    for ax, (data, title) in zip(axes, TITLES.items(), strict=True):
        values = 100 * found[data, shift, "BN"]
        level = 100 * found[data, "none", "BN"].mean()
        ax.axhline(level, color=INK, linewidth=0.8, label="not shifted, BN")
        other = 100 * found[data, shift, "IN"].mean()
        ax.axhline(other, color=ORANGE, linestyle="--", linewidth=1.2, label="shifted, IN")
        for k, own in enumerate(values):
            name = None if k else "shifted, BN"
            ax.plot(place[:-1], own[:-1], "o-", color=BLUE, linewidth=1, markersize=4, label=name)
            ax.plot(place[-1], own[-1], "o", color=BLUE, markersize=4, markerfacecolor="none")
        labels = ["stored", *(str(n) for n in counts[1:]), "one\nclass"]
        ax.set_xticks(place, labels)
        ax.set(title=title, xlabel="new images", ylim=(0, 101), xlim=(-0.9, len(counts) + 0.4))
        first, last, one = values[:, [0, -2, -1]].mean(axis=0)
        said.append(f"{title} {first:.0f}% stored, {last:.0f}% from {counts[-1]} images, {one:.0f}% from one class")
    axes[0].set_ylabel("right answers (%)")
    handles, names = axes[0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside upper center", ncols=3, columnspacing=1)
    numbers = f"{shift}: {'; '.join(said)}"
    return fig.describe(
        f"Right answers on {shift} images against the number of new images that batch norm's statistics are from, "
        f"a line for each of {len(values)} seeds; level lines for images as they are and for instance norm. {numbers}.",
        numbers,
    )


@picture
def draw_seeds(
    rows: Mapping[str, Mapping[str, Array]], label: str, limits: tuple[float, float], chance: float | None = None
) -> Figure:
    """A row of points for each setting, a point for each repeat, one panel a data set; values in percent.

    ``rows`` maps a data set to {setting: values}; the settings are the same for all.
    """
    names = list(next(iter(rows.values())))
    fig, axes = figure(1.1 + 0.33 * len(names), columns=len(rows), sharey=True)
    said = []
    for ax, (data, settings) in zip(np.atleast_1d(axes), rows.items(), strict=True):
        if chance is not None:
            ax.axvline(chance, color=INK, linewidth=1, linestyle=":")
        for k, (name, values) in enumerate(settings.items()):
            spots = -k + 0.25 * np.linspace(-1, 1, len(values))
            ax.plot(values, spots, "o", color=BLUE, markersize=4, alpha=0.8)
            ax.plot([np.mean(values)] * 2, [-k - 0.35, -k + 0.35], color=BLUE, linewidth=2)
            said.append(f"{TITLES[data]}, {name} {np.mean(values):.0f}%")
        ax.set(title=TITLES[data], xlim=(limits[0] - 2, limits[1] + 2), ylim=(0.6 - len(names), 0.5), xlabel=label)
    np.atleast_1d(axes)[0].set_yticks([-k for k in range(len(names))], names)
    numbers = "means: " + "; ".join(said)
    gap = "" if chance is None else f" A dotted line marks chance, {chance:.0f}%."
    return fig.describe(f"{label.capitalize()}, a point for each repeat, a bar for the mean.{gap} {numbers}.", numbers)


@picture
def draw_race(found: Mapping[str, Mapping[str, Array]], rates: Sequence[float]) -> Figure:
    """Test accuracy against the learning rate: a point for each seed, a line through the medians; (seeds, rates)."""
    fig, axes = figure(3.1, columns=len(found), sharey=True)
    said = []
    for ax, (data, arms) in zip(np.atleast_1d(axes), found.items(), strict=True):
        for (name, values), (color, marker, line) in zip(arms.items(), ARMS, strict=False):
            middle = 100 * np.median(values, axis=0)
            for own in values:
                ax.plot(rates, 100 * own, marker, color=color, markersize=3, alpha=0.5)
            ax.plot(rates, middle, color=color, linestyle=line, label=name)
            best = int(np.argmax(middle))
            said.append(f"{TITLES[data]}, {name} {middle[best]:.0f}% at {rates[best]:g}")
        ax.set_xscale("log")
        ax.set_xticks(list(rates), [f"{rate:g}" for rate in rates])
        ax.minorticks_off()
        ax.set(title=TITLES[data], xlabel="learning rate", ylim=(0, 101))
    np.atleast_1d(axes)[0].set_ylabel("right answers (%)")
    handles, names = np.atleast_1d(axes)[0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside upper center", ncols=2, columnspacing=1)
    numbers = "best medians: " + "; ".join(said)
    return fig.describe(
        "Test accuracy against the learning rate, for each kind of layer points for the seeds and a line through "
        f"their medians. {numbers}.",
        numbers,
    )


@picture
def draw_dropout(shares: Sequence[float], measured: Mapping[str, Array], law: Mapping[str, Array]) -> Figure:
    """Variance without dropout over the variance that a norm behind dropout stores: points measured, lines the law.

    The arrays, one for each data set, are (seeds, shares).
    """
    fig, ax = figure(2.8)
    said = []
    for (data, values), color, marker in zip(measured.items(), (BLUE, ORANGE), "os", strict=False):
        ax.plot(shares, law[data].T, "-", color=color, linewidth=1.2)
        points = ax.plot(shares, values.T, marker, color=color, markersize=4)
        points[0].set_label(TITLES[data])
        said.append(f"{TITLES[data]} {values[:, -1].mean():.2f}")
    ax.set(xlabel="share that is dropped", ylabel="variance in eval / stored", ylim=(0, 1.05))
    ax.legend(loc="lower left")
    numbers = f"dropping {100 * shares[-1]:.0f}%: {', '.join(said)} of the stored variance is left in evaluation"
    return fig.describe(
        f"The variance in evaluation over the stored one falls as more is dropped; points lie on the law. {numbers}.",
        numbers,
    )
