"""Pictures of the chapter ``noisy-statistics``: what a batch knows about its channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from normbook.evidence import interval
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
    picture_only,
    plain_ticks,
)  # fmt: skip

Array = npt.NDArray[np.float64]
MOST_DOTS = 300  # batches that are drawn one by one


@picture
def draw_filters(inputs: Mapping[str, Array], filters: Mapping[str, Array]) -> Figure:
    """The inputs (one image each) above the filters that look at them."""
    rows = (inputs, filters)
    columns = max(map(len, rows))
    fig, axes = figure(2.7, rows=2, columns=columns)
    for line, row in zip(axes, rows, strict=True):
        for ax in line:
            picture_only(ax)
        for ax, (name, values) in zip(line, row.items(), strict=False):
            ax.set_axis_on()  # a frame: the sum filter is all white, as the page may be
            ax.set(xticks=[], yticks=[])
            for spine in ax.spines.values():
                spine.set(visible=True, color=GRAY, linewidth=0.8)
            top = np.abs(values).max()
            ax.imshow(values, cmap="gray", vmin=-top if row is filters else 0, vmax=top)
            ax.set_title(name)
    return fig.describe(
        f"Above: {len(inputs)} example inputs ({', '.join(inputs)}). Below: the {len(filters)} filters of 3×3 weights "
        f"({', '.join(filters)})."
    )


@picture
def draw_statistics(
    channels: Mapping[str, Array], batch_size: int, data: str, statistic: str, draws: int = 4000, seed: int = 0
) -> Figure:
    """How the mean or the variance of one channel scatters over batches drawn with replacement.

    Parameters
    ----------
    channels
        For each kind of data one channel's activations, (images, height, width).
    statistic
        ``"mean"`` or ``"variance"``.
    draws
        How many batches, at most 4000.  Of a few hundred each is a dot; a larger number begins with the same ones.
    """
    x = channels[data]
    draws = min(draws, 4000)
    each, truth = image_statistics(x, statistic)
    chosen = np.random.default_rng(seed).integers(len(x), size=(draws, batch_size))
    measured = batch_statistics(x, chosen, statistic)
    naive = value_spread(x, statistic) / np.sqrt(batch_size * x[0].size)
    right = each.std() / np.sqrt(batch_size)

    fig, ax = figure(2.9)
    reach = 3.2 * each.std() / np.sqrt(2)  # the same window for every batch size: the histogram narrows, not the axis
    counts, edges = np.histogram(measured, bins=41, range=(truth - reach, truth + reach))
    step = 1 / (draws * (edges[1] - edges[0]))  # what one batch adds to the density
    if draws <= MOST_DOTS:
        step = min(step, 1 / (20 * right))  # as long as they are few the columns grow, to the height of the bell curve
        column = np.digitize(measured, edges)
        below = np.array([(column[:i] == column[i]).sum() for i in range(draws)])
        ax.plot(measured, (below + 0.5) * step, "o", color=BLUE, markersize=3)
        ax.plot(measured[-1:], (below[-1:] + 0.5) * step, "o", color=PINK, markersize=6, label="the newest batch")
    ax.stairs(counts * step, edges, fill=True, color=BLUE, alpha=0.45, label="measured")
    grid = np.linspace(truth - reach, truth + reach, 241)
    for spread, color, style, name in (
        (naive, ORANGE, "--", "law, every pixel counts"),
        (right, GREEN, "-", "law, every image counts"),
    ):
        height = np.exp(-0.5 * ((grid - truth) / spread) ** 2) / (spread * np.sqrt(2 * np.pi))
        ax.plot(grid, height, style, color=color, label=name)
    ax.set(xlabel=f"{statistic} of the batch", ylabel="density", yticks=[])
    fig.legend(loc="outside upper center", ncols=2, columnspacing=1, handlelength=1.2)
    bias = f"{round(100 * (measured.mean() / truth - 1), 1) + 0.0:.1f}".replace("-", "−")
    short = f"; on average {bias}% from the truth" if statistic == "variance" else ""
    laws = f"law by pixels {naive:.3g}, by images {right:.3g}"
    if draws == 1:
        return fig.describe(
            f"The {statistic} of one batch of {batch_size} {data}, a dot at {measured[0]:.3g} below two bell curves.",
            f"one batch of {batch_size} {data}: its {statistic} is {measured[0]:.3g}, the truth {truth:.3g}; {laws}",
        )
    spread = measured.std(ddof=1)
    few = f"; the newest {measured[-1]:.3g}" if draws <= MOST_DOTS else ""
    said = f"{draws} batches of {batch_size} {data}" if draws < 4000 else f"{batch_size} {data}"
    return fig.describe(
        f"Histogram of the {statistic} of {draws} batches of {batch_size} {data}. Its spread is "
        f"{spread:.3g}. A bell curve that counts every pixel has the spread {naive:.3g}, "
        f"one that counts every image {right:.3g}{short}{few}.",
        f"{said}: measured spread {spread:.3g}; {laws}{short}{few}",
    )


def batch_statistics(x: Array, chosen: npt.NDArray[np.int64], statistic: str) -> Array:
    """Mean or biased variance of each batch: images x (images, height, width), the chosen ones (batches, size)."""
    each, _ = image_statistics(x, statistic)
    values: Array = each[chosen].mean(axis=1)
    if statistic == "mean":
        return values
    off = x.mean(axis=(1, 2))[chosen].mean(axis=1) - x.mean()
    return np.asarray(values - off**2)  # around the batch's own mean, not around that of all images


def image_statistics(x: Array, statistic: str) -> tuple[Array, float]:
    """What each image (rows of x) contributes to a batch's mean or variance, and the value for all images together.

    The variance is taken around the mean of all images, so a batch's variance is the average of its images'
    contributions less the square of the error in its mean, which is small in a large batch.
    """
    if statistic not in ("mean", "variance"):
        raise ValueError(f"statistic {statistic!r}: want 'mean' or 'variance'")
    values = x if statistic == "mean" else (x - x.mean()) ** 2
    each = values.mean(axis=(1, 2))
    return each, float(each.mean())


def value_spread(x: Array, statistic: str) -> float:
    """Standard deviation of the single values that are averaged for the mean (x) or the variance ((x - mean)²)."""
    return float((x if statistic == "mean" else (x - x.mean()) ** 2).std())


@picture
def draw_law(
    sizes: Array, measured: Mapping[str, Array], by_pixels: Mapping[str, Array], by_images: Mapping[str, Array]
) -> Figure:
    """Spread of the batch mean against the batch size, one panel a kind of data."""
    fig, axes = figure(3.0, columns=len(measured), sharey=False)
    for ax, name in zip(np.atleast_1d(axes), measured, strict=True):
        ax.loglog(sizes, by_pixels[name], "--", color=ORANGE, label="law, every pixel counts")
        ax.loglog(sizes, by_images[name], "-", color=GREEN, label="law, every image counts")
        ax.loglog(sizes, measured[name], "o", color=BLUE, label="measured")
        ax.set(title=name, xlabel="images in the batch")
        ax.set_xticks(sizes[::2], [f"{s:.0f}" for s in sizes[::2]])
        ax.minorticks_off()
        plain_ticks(ax.yaxis)
    panels = np.atleast_1d(axes)
    decades = max(np.log10(high / low) for low, high in (ax.get_ylim() for ax in panels))
    for ax in panels:  # as many decades in each, so that equal slopes look equal
        middle = np.sqrt(np.prod(ax.get_ylim()))
        ax.set_ylim(middle * 10 ** (-decades / 2), middle * 10 ** (decades / 2))
    panels[0].set_ylabel("spread of the batch mean")
    handles, labels = panels[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=2, columnspacing=1, handlelength=1.2)
    ratios = "; ".join(
        f"{name}: {np.mean(measured[name] / by_pixels[name]):.2f} times the law by pixels" for name in measured
    )
    return fig.describe(
        "Spread of the batch mean against the batch size on logarithmic axes. All lines fall like one over the square "
        f"root. The measured points lie on the law that counts images. {ratios}.",
        ratios,
    )


@picture
def draw_effective(names: list[str], effective: Mapping[str, Array], pixels: Mapping[str, int]) -> Figure:
    """How many independent values one image is worth, as a multiple of its pixels, for each filter and kind of data.

    The arrays are (parts of the data, filters): shown are means and 95% intervals over the parts.
    """
    fig, ax = figure(2.6)
    place = np.arange(len(names))[::-1]
    ax.axvline(1, color=INK, linewidth=1)
    for (data, counts), shift, marker, color in zip(
        effective.items(), (0.12, -0.12), "os", (BLUE, ORANGE), strict=True
    ):
        mean, half = np.array([interval(c) for c in counts.T]).T / pixels[data]
        ax.errorbar(mean, place + shift, xerr=half, fmt=marker, color=color, capsize=3, label=data)
    ax.set_xscale("log")
    ax.set_yticks(place, names)
    ax.set(xlabel="independent values per pixel", ylim=(-0.5, len(names) - 0.5))
    fig.legend(loc="outside upper center", ncols=2)
    said = "; ".join(
        f"{data} of {pixels[data]} pixels: "
        + ", ".join(f"{n} {c:.0f}" for n, c in zip(names, counts.mean(0), strict=True))
        for data, counts in effective.items()
    )
    return fig.describe(
        f"The number of independent values that one image is worth, for each filter. {said}.",
        f"values an image is worth – {said}",
    )


@picture
def draw_by_layer(worth: Mapping[str, Array]) -> Figure:
    """Independent values per position, k / (H·W), of every channel of trained networks, by layer.

    The arrays, one for each data set, are (seeds, layers, channels).
    """
    fig, ax = figure(3.0)
    ax.axhline(1, color=INK, linewidth=1)
    said = []
    for (data, values), shift, marker, color in zip(worth.items(), (-0.15, 0.15), "os", (BLUE, ORANGE), strict=False):
        layers = np.arange(1, values.shape[1] + 1)
        for k in layers:
            own = values[:, k - 1].ravel()
            jitter = np.linspace(-0.1, 0.1, own.size)
            ax.plot(k + shift + jitter, np.sort(own), marker, color=color, markersize=2, alpha=0.45)
        middle = np.median(values, axis=(0, 2))
        ax.plot(layers + shift, middle, marker + "-", color=color, linewidth=1.2, label=data)
        said.append(f"{data} " + ", ".join(f"{m:.2f}" for m in middle))
    ax.set(yscale="log", xlabel="layer", ylabel="independent values per position", ylim=(0.01, 100))
    fig.legend(loc="outside upper center", ncols=2)
    return fig.describe(
        "Independent values per position of each channel of trained networks, by layer, on a logarithmic axis; at 1 "
        f"the positions count as independent. Medians from the first layer to the last: {'; '.join(said)}.",
        f"medians by layer: {'; '.join(said)}",
    )


@picture
def draw_training_mode(sizes: Sequence[int], accuracy: Mapping[str, Array]) -> Figure:
    """Accuracy with the statistics of the batch that is asked, against its size; at the right with running averages.

    The arrays, one for each data set, are (seeds, sizes and one more: running averages).
    """
    fig, ax = figure(2.9)
    place = np.arange(len(sizes) + 1)
    said = []
    for (data, values), marker, color in zip(accuracy.items(), "os", (BLUE, ORANGE), strict=False):
        for k, own in enumerate(100 * values):
            ax.plot(place[:-1], own[:-1], marker + "-", color=color, linewidth=0.8, label=data if k == 0 else None)
            ax.plot(place[-1], own[-1], marker, color=color)
        low, high = 100 * values[:, 0], 100 * values[:, -1]
        said.append(f"{data} {low.mean():.1f}% alone, {high.mean():.1f}% with running averages")
    ax.set_xticks(place, [*(str(s) for s in sizes), "running\naverages"])
    ax.set(xlabel="images in the batch that is asked", ylabel="right answers (%)", ylim=(75, 100))
    ax.legend(loc="lower right")
    return fig.describe(
        "Right answers of trained networks in training mode against the size of the batch, a line for each seed, and "
        f"at the right those with running averages. Means over the seeds: {'; '.join(said)}.",
        f"mean over the seeds: {'; '.join(said)}",
    )


def median_member(x: Array, candidates: int = 60, draws: int = 100, seed: int = 0) -> int:
    """The image, among the first of x (images, height, width), that a single companion disturbs by the median."""
    random = np.random.default_rng(seed)
    noise = []
    for who in range(candidates):
        pairs = np.stack([np.broadcast_to(x[who], (draws, *x.shape[1:])), x[random.integers(len(x), size=draws)]], 1)
        mean, std = pairs.mean((1, 2, 3)), pairs.std((1, 2, 3))
        y = (x[who] - mean[:, None, None]) / std[:, None, None]
        noise.append(y.var(axis=0).mean())
    return int(np.argsort(noise)[candidates // 2])


@picture
def draw_company(
    x: Array,
    batch_size: int,
    who: int = 0,
    copies: int = 5,
    draws: int = 200,
    seed: int = 0,
    image: Array | None = None,
) -> Figure:
    """One image of a channel x (images, height, width), normalized in several random batches, colors from −2 to 2.5.

    It is image ``who`` of x, or else the ``image`` (height, width) that is given.  The first ``copies`` of ``draws``
    batches are shown; all of them are counted.
    """
    own = x[who] if image is None else image
    # a batch's statistics from those of its images: the variance within them and that between their means
    means, variances = (np.append(s(x, (1, 2)), s(own)) for s in (np.mean, np.var))
    chosen = np.random.default_rng(seed).integers(len(x), size=(draws, batch_size - 1))
    chosen = np.append(np.full((draws, 1), len(x)), chosen, axis=1)
    mean, var = means[chosen].mean(1), variances[chosen].mean(1) + means[chosen].var(1)
    y = (own - mean[:, None, None]) / np.sqrt(var + 1e-5)[:, None, None]
    fig, axes = figure(1.35, columns=copies)
    for i, ax in enumerate(axes):
        picture_only(ax)
        ax.imshow(y[i], vmin=-2, vmax=2.5)
        ax.set_title(f"batch {i + 1}")
    noise = float(np.sqrt(y.var(axis=0).mean()))
    return fig.describe(
        f"The same image, normalized in {copies} different batches of {batch_size} images: "
        + ("it looks different every time." if noise > 0.1 else "the pictures can hardly be told apart."),
        f"batches of {batch_size}, standard deviation of the output: {noise:.3f} from batch to batch, "
        f"{y.std(axis=(1, 2)).mean():.2f} from pixel to pixel of the image",
    )


@picture
def draw_noise(sizes: Array, noise: Mapping[str, Mapping[str, Array]]) -> Figure:
    """Relative noise that the company puts on an image's output and gradient, with 95% intervals; a panel a data set.

    The arrays, one for each data set and kind, are (sizes, images).
    """
    fig, axes = figure(3.1, columns=len(noise), sharey=True)
    said = []
    for ax, (data, kinds) in zip(np.atleast_1d(axes), noise.items(), strict=True):
        for (name, values), color, marker in zip(kinds.items(), (BLUE, GREEN, ORANGE, PINK), "o^vs", strict=False):
            mean, half = np.array([interval(v) for v in values]).T
            ax.errorbar(sizes, mean, half, fmt=marker + "-", color=color, linewidth=1.2, capsize=3, label=name)
            ends = f"{100 * mean[0]:.0f}% at {sizes[0]:.0f} images, {100 * mean[-1]:.1f}% at {sizes[-1]:.0f}"
            said.append(f"{data}, {name} {ends}")
        guide = next(iter(kinds.values()))[-1].mean() * np.sqrt(sizes[-1] / sizes)
        ax.loglog(sizes, guide, ":", color=INK, linewidth=1.2, label="1/√N")
        ax.set(title=data, xlabel="images in the batch")
        ax.set_xticks(sizes[::2], [f"{s:.0f}" for s in sizes[::2]])
        ax.minorticks_off()
        plain_ticks(ax.yaxis, factor=100)
    first = np.atleast_1d(axes)[0]
    first.set_ylabel("noise (% of the size)")
    names = first.get_legend_handles_labels()
    fig.legend(*names, loc="outside upper center", ncols=3, columnspacing=1.2, handlelength=1.6)
    return fig.describe(
        f"Relative noise against the batch size, on logarithmic axes, falling with it. {'; '.join(said)}.",
        "; ".join(said),
    )
