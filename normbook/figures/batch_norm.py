"""Pictures of the chapter ``batch-norm``: one mean and one variance for a channel of the whole batch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from normbook.drawing import show, visible
from normbook.evidence import grouped, interval
from normbook.style import BLUE, GRAY, GREEN, INK, ORANGE, Figure, figure, picture, picture_only, scientific
from normcore.functional import batch_norm, instance_norm

Array = npt.NDArray[np.float64]


@picture
def draw_company(photo: Array, others: Mapping[str, Array], company: str, brightness: float = 0) -> Figure:
    """A photo (3, H, W) alone or with one other in the batch; below, what batch norm makes of both.

    Parameters
    ----------
    others
        The photos (3, H, W) that may keep it company, by name; a company that is not in here means that it is alone.
    brightness
        Is added to all values of the company.
    """
    batch = np.stack([photo, others[company] + brightness] if company in others else [photo])
    y = batch_norm(batch)[0]
    alone = instance_norm(photo[None])[0][0]
    away = float(np.sqrt(np.mean((y[0] - alone) ** 2)))
    mean = round(float(y[0].mean()), 2) + 0.0  # never "−0.00"
    said = grouped(mean, 2)
    fig, axes = figure(3.1, 2, 3, width_ratios=(1, 1, 0.9))
    for ax in axes[:, :2].flat:
        picture_only(ax)
    for i, (before, after, title) in enumerate(zip(batch, y, ("the photo", company), strict=False)):
        show(axes[0, i], before, title)
        show(axes[1, i], visible(after))
    for ax, values, low, high in zip(axes[:, 2], (batch, y), (-0.5, -3.5), (1.5, 3.5), strict=True):
        for image, color, line in zip(values, (BLUE, ORANGE), ("-", "--"), strict=False):
            share, edges = np.histogram(image, bins=40, range=(low, high))
            ax.stairs(100 * share / image.size, edges, color=color, linestyle=line, linewidth=1.3)
        ax.axvline(values.mean(), color=INK, linewidth=0.8, linestyle=":")
        ax.set(xlim=(low, high), ylim=(0, 35), yticks=[])
    axes[0, 2].set_title("their values")
    for ax, color in zip(axes[0], (BLUE, ORANGE), strict=False):
        ax.title.set_color(color)
    if len(batch) == 1:
        axes[0, 1].text(0.5, 0.5, "(nobody)", ha="center", va="center", transform=axes[0, 1].transAxes)
    shade = f", made {abs(brightness):g} {'brighter' if brightness > 0 else 'darker'}" if brightness else ""
    company = f"in company with {company}{shade}" if company in others else "alone in its batch"
    return fig.describe(
        f"A photo {company}, and below what batch norm makes of it: it comes out with mean {said} and "
        f"standard deviation {y[0].std():.2f}. At the right a histogram of the values of each, before and after; a "
        "dotted line marks the mean of the batch.",
        f"the photo {company} comes out with mean {said} and standard deviation {y[0].std():.2f}; "
        f"away from instance norm by {scientific(away)}",
    )


@picture
def draw_distance(sizes: list[int], distances: Array) -> Figure:
    """How far batch norm is from instance norm, with 95% intervals; distances are (sizes, repeats)."""
    fig, ax = figure(2.6)
    mean, half = np.array([interval(d) for d in distances]).T
    ax.errorbar(sizes, mean, yerr=half, fmt="o-", color=ORANGE, capsize=3)
    ax.set_xscale("log", base=2)
    ax.set_xticks(sizes, [str(n) for n in sizes])
    ax.set(xlabel="batch size N", ylabel="distance of BN from IN", ylim=(-0.03, None))
    return fig.describe(
        "Root of the mean squared difference between batch norm and instance norm of the same images, against the "
        f"batch size. It is {scientific(mean[0])} at batch size {sizes[0]} and rises to {mean[-1]:.2f} at "
        f"{sizes[-1]}.",
        f"batch size {sizes[0]}: {scientific(mean[0])}; {sizes[1]}: {mean[1]:.2f}; {sizes[-1]}: {mean[-1]:.2f} "
        "(a normalized image has size 1)",
    )


def identity_pair(
    features: Array, batch_size: int, others: int, seed: int = 0, eps: float = 1e-5
) -> tuple[Array, Array]:
    """γ and β that make batch norm the identity on one batch, tried on other batches.

    Returns input and output, both (others, batch_size, C, H, W). All batches are drawn from features (n, C, H, W).
    """
    random = np.random.default_rng(seed)
    first, *rest = (features[random.choice(len(features), batch_size, replace=False)] for _ in range(others + 1))
    cache = batch_norm(first, eps=eps)[1]
    gamma, beta = np.sqrt(cache.var + eps), cache.mean
    return np.stack(rest), np.stack([batch_norm(x, gamma, beta, eps)[0] for x in rest])


@picture
def draw_identity(features: Array, batch_size: int, others: int = 8, channel: int = 0, repeats: int = 10) -> Figure:
    """Output against input on other batches, with the γ and β that are the identity on one batch.

    Drawn is one batch with its others; the number comes from several such draws.
    """
    draws = [identity_pair(features, batch_size, others, seed) for seed in range(repeats)]
    x, y = draws[0]
    off = np.mean([np.sqrt(((y - x) ** 2).mean(axis=(1, 2, 3, 4))) for x, y in draws]) / features.std()
    fig, ax = figure(3.3)
    low, high = np.quantile(features[:, channel], [0.001, 0.999])
    ax.plot([low, high], [low, high], color=GRAY, linewidth=1, linestyle="--", label="identity", zorder=5)
    for before, after in zip(x[:, :, channel].reshape(others, -1), y[:, :, channel].reshape(others, -1), strict=True):
        slope, offset = np.polyfit(before, after, 1)  # one batch lies on one line
        ax.plot([low, high], [slope * low + offset, slope * high + offset], color=ORANGE, linewidth=1.2)
    ax.lines[-1].set_label("another batch")
    margin = 0.25 * (high - low)
    ax.set(xlabel="input x", ylabel="output γx̂ + β", aspect="equal")
    ax.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin))
    ax.legend(loc="upper left")
    return fig.describe(
        f"Output against input for {others} batches of {batch_size}, with the γ and β that make batch norm the "
        "identity on yet another batch. Each batch is a straight line; the lines scatter around the identity. Over "
        f"{repeats * others} batches the output is off by {100 * off:.0f}% of the standard deviation of the input, on "
        "average.",
        f"batches of {batch_size}: the output differs from the input by {100 * off:.0f}% of its standard deviation "
        f"({repeats * others} draws)",
    )


@picture
def draw_values(batch: Array, names: tuple[str, ...] = ("before", "instance norm", "batch norm")) -> Figure:
    """Mean and standard deviation of each image of one channel (N, 1, H, W), before, after IN, and after BN."""
    versions = (batch, instance_norm(batch)[0], batch_norm(batch)[0])
    fig, axes = figure(2.5, columns=3, sharey=True)
    place = np.arange(len(batch))
    for ax, x, name, color, marker in zip(axes, versions, names, (GRAY, GREEN, ORANGE), "sDo", strict=True):
        ax.errorbar(x.mean((1, 2, 3)), place, xerr=x.std((1, 2, 3)), fmt=marker, color=color, capsize=2, markersize=4.5)
        ax.axvline(x.mean(), color=INK, linewidth=0.8, linestyle=":")
        ax.set_title(name)
        ax.set_yticks(place, [str(i) for i in place])
    axes[0].set_ylabel("image")
    axes[1].set_xlabel("mean of its values, bars of one standard deviation")
    after = versions[2]
    low, high = (grouped(m, 1) for m in (after.mean((1, 2, 3)).min(), after.mean((1, 2, 3)).max()))
    return fig.describe(
        f"Mean and standard deviation of {len(batch)} images. Before: all different. After instance norm: every "
        "image has mean 0 and standard deviation 1. After batch norm: the images together have mean 0 and standard "
        f"deviation {after.std():.2f}, but their own means still go from {low} to {high}.",
        f"means of the images after batch norm: {low} to {high}, deviations {after.std((1, 2, 3)).min():.2f} to "
        f"{after.std((1, 2, 3)).max():.2f}; of all values together {abs(after.mean()):.0f} and {after.std():.2f}",
    )
