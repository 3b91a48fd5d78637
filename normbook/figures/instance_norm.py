"""Pictures of the chapter ``instance-norm``: one photo, one mean and one variance for each of its channels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from normbook.drawing import draw_histogram, show, visible
from normbook.style import BLUE, GRAY, INK, ORANGE, Figure, figure, picture, scientific
from normcore.functional import instance_norm

Array = npt.NDArray[np.float64]
Shadow = tuple[Array, float]  # an image, and the share of contrast that a shadow left of its half


def change(photo: Array, contrast: float, brightness: float) -> Array:
    """The photo with its contrast multiplied, around middle gray, and its brightness raised; nothing is clipped."""
    return contrast * (photo - 0.5) + 0.5 + brightness


@picture
def draw_photo(photo: Array, contrast: float, brightness: float, eps: float = 1e-5) -> Figure:
    """A photo (3, H, W) with other contrast and brightness, its normalized picture, and the histograms of both.

    On the left the input, on the right what instance norm makes of it; below each its values, channel by channel.
    """
    x = change(photo, contrast, brightness)
    x_hat = instance_norm(x[None], eps=eps)[0][0]
    still = instance_norm(photo[None], eps=eps)[0][0]
    moved = float(np.abs(x_hat - still).max())
    fig, axes = figure(3.5, 2, 2, height_ratios=(1.7, 1))
    show(axes[0, 0], x, "input")
    show(axes[0, 1], visible(x_hat), "normalized")
    draw_histogram(axes[1, 0], x, -0.9, 1.9)
    axes[1, 0].set(xlabel="value", ylim=(0, 70))  # the lowest contrast has all its pixels in a few bins
    draw_histogram(axes[1, 1], x_hat, -3.2, 3.2)
    axes[1, 1].set(xlabel="value", ylim=(0, 26), ylabel="")
    fig.legend(*axes[1, 1].get_legend_handles_labels(), loc="outside lower center", ncols=3, handlelength=1.6)
    residual = f"the normalized photo moves by at most {scientific(moved)}"
    return fig.describe(
        f"A photo with contrast {contrast:g} and brightness {brightness:+g}: its values have mean {x.mean():.2f} "
        f"and standard deviation {x.std():.2f}. Beside it, the photo after instance norm and the histogram of its "
        f"values, mean {abs(x_hat.mean()):.2f} and standard deviation {x_hat.std():.3f}; {residual}.",
        f"input: mean {x.mean():.2f}, standard deviation {x.std():.3f}; {residual}",
    )


@picture
def draw_patches(patches: Array, eps: float = 1e-5) -> Figure:
    """Patches (N, 3, H, W), sorted by brightness, above what instance norm makes of each."""
    patches = patches[np.argsort(patches.mean((1, 2, 3)))]
    out = instance_norm(patches, eps=eps)[0]
    fig, axes = figure(2.0, 2, len(patches))
    for column, patch, y in zip(axes.T, patches, out, strict=True):
        show(column[0], patch, f"{patch.mean():.2f}")
        show(column[1], visible(y), f"{abs(y.mean()):.2f}")
    means = patches.mean((1, 2, 3))
    return fig.describe(
        f"{len(patches)} patches of photos in a row, from dark to bright, with mean values from {means.min():.2f} "
        f"to {means.max():.2f}. Below each, the same patch after instance norm: all have mean 0.00 and the same "
        "contrast; neither says any more which one was dark and which was bright, and flat patches show their "
        "noise.",
        f"mean value above each patch: {means.min():.2f} to {means.max():.2f} before, "
        f"{np.abs(out.mean((1, 2, 3))).max():.2f} after; standard deviation {patches.std((1, 2, 3)).min():.3f} to "
        f"{patches.std((1, 2, 3)).max():.3f} before",
    )


@picture
def draw_contrasts(shaded: Shadow, instance: Shadow, local: Shadow) -> Figure:
    """A gray photo (1, H, W) under a shadow; instance norm of it; local contrast normalization of it.

    Beside each picture stands the share of the shaded half's contrast that is left, compared with no shadow.
    """
    fig, axes = figure(1.45, columns=3)
    show(axes[0], shaded[0], "with a shadow")
    show(axes[1], visible(instance[0]), "instance norm")
    show(axes[2], visible(local[0]), "local contrast")
    left = [f"{100 * share:.0f}%" for _, share in (shaded, instance, local)]
    return fig.describe(
        f"A photo whose left half lies in a shadow, three times. Of the contrast of the left half {left[0]} is left in "
        f"the input, {left[1]} after instance norm, where the left half looks as dull as before, and {left[2]} after "
        "local contrast normalization, where only an edge is left of the shadow.",
        f"of the contrast of the shaded half is left: input {left[0]}, instance norm {left[1]}, local contrast "
        f"normalization {left[2]}",
    )


@picture
def draw_epsilon(photo: Array, eps: float) -> Figure:
    """Standard deviation after instance norm against the one before, for one photo at many contrasts."""
    channel = photo[:1] - photo[:1].mean()
    channel = channel / channel.std()
    before = np.logspace(-5, 0, 11)
    after = np.array([instance_norm(s * channel[None], eps=eps)[0].std() for s in before])
    line = np.logspace(-5, 0, 61)
    fig, ax = figure(2.7)
    ax.axhline(1, color=GRAY, linewidth=1, linestyle="--")
    ax.text(1.1e-5, 1.12, "exactly 1", color=GRAY, va="bottom")
    ax.loglog(line, line / np.sqrt(line**2 + eps), color=INK, linewidth=1.2, label="theory: σ/√(σ² + ε)")
    ax.loglog(before, after, "o", color=ORANGE, label="measured")
    ax.axvline(np.sqrt(eps), color=BLUE, linewidth=1, linestyle=":")
    ax.text(np.sqrt(eps) * 1.15, 1.15e-4 if eps < 1e-6 else 0.4, "√ε", color=BLUE)
    ax.set(xlabel="standard deviation of the input", ylabel="of the output", ylim=(6e-5, 3), xlim=(1e-5, 1.2))
    ax.legend(loc="lower right")
    ax.minorticks_off()
    at = before[4]  # 0.001
    return fig.describe(
        "Standard deviation of the output against that of the input on logarithmic axes, with epsilon "
        f"{scientific(eps, 1)}. Far above √ε = {scientific(np.sqrt(eps))} the output has standard deviation 1; "
        "below, it falls in proportion to the input. Measured points lie on the line σ/√(σ² + ε).",
        f"ε = {scientific(eps, 1)}: a channel with σ = {scientific(at, 1)} comes out with σ = "
        f"{scientific(after[4])}; nothing is multiplied by more than 1/√ε = {scientific(1 / np.sqrt(eps))}",
    )


def disagreeing(disagreement: float, n: int = 6, seed: int = 3) -> Array:
    """n instances of one channel (n, 1, 8, 8) whose means and deviations differ by the given amount, from 0 up."""
    random = np.random.default_rng(seed)
    x_hat = instance_norm(random.normal(size=(n, 1, 8, 8)), eps=1e-12)[0]
    mean = disagreement * random.normal(0, 0.8, n)
    std = np.exp(disagreement * random.normal(0, 0.4, n))
    return mean[:, None, None, None] + std[:, None, None, None] * x_hat


#: A bright photo with all its contrast, and a dull dark one: (label, contrast, brightness).
TWO_PHOTOS = (("bright", 1.0, 0.15), ("dull", 0.3, -0.25))


@picture
def draw_two_photos(photo: Array, gamma: float, beta: float) -> Figure:
    """A bright and a dull version of a photo (3, H, W) and γx̂ + β of each, one γ and one β for all."""
    fig, axes = figure(3.3, 2, 2)
    missed = []
    for (label, contrast, brightness), row in zip(TWO_PHOTOS, axes, strict=True):
        x = change(photo, contrast, brightness)
        y = gamma * instance_norm(x[None])[0][0] + beta
        missed.append(float(np.sqrt(np.mean((y - x) ** 2))))
        show(row[0], x, f"{label} photo")
        show(row[1], y, f"γx̂ + β, off by {missed[-1]:.2f}")
    return fig.describe(
        f"Left a bright and a dull version of one photo, right what instance norm with γ = {gamma:g} and "
        f"β = {beta:g} makes of each: the same picture twice. It is off by {missed[0]:.2f} from the bright photo "
        f"and by {missed[1]:.2f} from the dull one, root of the mean square.",
        f"γ = {gamma:g}, β = {beta:g}: off by {missed[0]:.2f} from the bright photo, {missed[1]:.2f} from the dull one",
    )


@picture
def draw_identity(disagreement: float, eps: float = 1e-5) -> Figure:
    """The best γ and β for giving the input back, when the instances of a channel disagree about mean and deviation."""
    x = disagreeing(disagreement)
    x_hat = instance_norm(x, eps=eps)[0]
    gamma, beta = np.polyfit(x_hat.ravel(), x.ravel(), 1)
    y = gamma * x_hat + beta
    lost = float(((y - x) ** 2).sum() / ((x - x.mean()) ** 2).sum())
    fig, ax = figure(3.3)
    ax.plot([-5, 5], [-5, 5], color=GRAY, linewidth=1, linestyle="--", label="identity")
    for instance, out in zip(x.reshape(len(x), -1), y.reshape(len(x), -1), strict=True):
        ends = [instance.argmin(), instance.argmax()]
        ax.plot(instance[ends], out[ends], "o-", color=ORANGE, markersize=4, linewidth=1.3)
    ax.lines[-1].set_label("an instance")
    ax.set(xlabel="input x", ylabel="output γx̂ + β", xlim=(-5, 5), ylim=(-5, 5), aspect="equal")
    ax.legend(loc="upper left")
    return fig.describe(
        f"Output against input for {len(x)} instances of one channel, with the γ and β that fit all of them best. "
        f"Every instance is a straight line. At disagreement {disagreement:g} the lines leave {100 * lost:.1f}% of "
        "the variance of the input unexplained"
        + ("; they lie on the identity." if lost < 1e-6 else "; no γ and β can bring them all to the identity."),
        f"best γ = {gamma:.2f}, β = {beta:.2f}; not explained: {scientific(100 * lost)}% of the variance",
    )
