"""Pieces that pictures of several chapters are made of: an image, its histogram, the look of a layer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from normbook.style import BLUE, GRAY, GREEN, ORANGE, picture_only

Array = npt.NDArray[np.float64]

CHANNELS = (("red", ORANGE, "-"), ("green", GREEN, "--"), ("blue", BLUE, ":"))
LOOKS = {"none": (GRAY, "s", ":"), "BN": (BLUE, "o", "-"), "IN": (ORANGE, "^", "--")}  # color, marker, line


def show(ax: Axes, image: Array, title: str = "") -> None:
    """An image (3, H, W) or (1, H, W) with values in [0, 1]; what lies outside is clipped, as on every screen.

    64 levels are enough for the eye and make the page a third lighter.
    """
    pixels = np.round(np.clip(image, 0, 1).transpose(1, 2, 0) * 63) / 63
    # a gray image has one channel; "none" embeds it pixel by pixel, whatever size the page gives it
    ax.imshow(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), interpolation="none")
    ax.set_title(title)
    picture_only(ax)


def visible(x_hat: Array) -> Array:
    """Normalized values for the eye: middle gray is 0, black is −2.5 and white is 2.5."""
    return 0.5 + x_hat / 5


def draw_histogram(ax: Axes, x: Array, low: float, high: float) -> None:
    """The values of each channel of an image, in percent of its pixels."""
    for channel, (name, color, line) in zip(x, CHANNELS, strict=True):
        share, edges = np.histogram(channel, bins=48, range=(low, high))
        ax.stairs(100 * share / channel.size, edges, color=color, linestyle=line, label=name, linewidth=1.3)
    ax.set(xlim=(low, high), ylabel="% of pixels")
