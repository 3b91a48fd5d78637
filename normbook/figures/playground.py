"""The still picture of the playground: a run as its page draws it."""

from __future__ import annotations

from typing import Any

import numpy as np

from normbook.experiments.playground import History
from normbook.style import BLUE, GRAY, INK, ORANGE, Figure, figure, picture, plain_ticks

NAMES = {"none": "no norm", "batch": "batch norm", "instance": "instance norm", "group": "group norm"}


@picture
def draw_playground(run: History, channel: int = 0, small: bool = False) -> Figure:
    """Loss and accuracy on new images, the means of one channel, and the length of the weights; small: two of them."""
    steps = np.arange(1, len(run.losses) + 1)
    last = run.looks[-1]
    fig, axes = figure(2.3 if small else 4.4, 1 if small else 2, 2)
    accuracy, means, *more = [axes[0], axes[1]] if small else [axes[0, 1], axes[1, 0], axes[0, 0], axes[1, 1]]
    _accuracy(accuracy, run)
    _means(means, run, channel, steps)
    if more:
        loss, length = more
        loss.plot(steps, run.losses, color=GRAY, linewidth=0.8)
        _both(loss, run, "loss")
        loss.set_yscale("log")
        plain_ticks(loss.yaxis, [1])
        loss.set_title("loss")
        length.plot([0, *steps], run.weight_norms, color=INK)
        length.set_title("length of the weights")
    for ax in np.ravel(axes):
        ax.set_xlabel("step")
    right = f"{100 * last.eval_accuracy:.0f}%"
    if run.settings.norm == "batch":
        right = f"{100 * last.train_accuracy:.0f}% in train mode, {right} in eval mode"
    said = [
        "A network learns to read digits.",
        f"At step {last.step} it is right on {right} of the new images.",
        f"In channel {channel + 1} of its last layer each norm batch has another mean, a dot"
        + ("; the running mean is a line through them." if run.settings.norm == "batch" else "."),
    ]
    if not small:
        said.append(f"The loss on new images is {last.eval_loss:.2f}.")
        said.append(f"The weights' length goes from {run.weight_norms[0]:.1f} to {run.weight_norms[-1]:.1f}.")
    who = f"{NAMES[run.settings.norm]}, batches of {run.settings.batch}"
    return fig.describe(" ".join(said), f"{who}, step {last.step}: right on new images {right}")


def _both(ax: Any, run: History, what: str, factor: float = 1) -> None:
    """What the looks at new images found, in both modes."""
    at = [look.step for look in run.looks]
    for mode, color, line in (("train", BLUE, "-"), ("eval", ORANGE, "--")):
        ax.plot(at, [factor * getattr(look, f"{mode}_{what}") for look in run.looks], line, color=color, label=mode)


def _accuracy(ax: Any, run: History) -> None:
    _both(ax, run, "accuracy", 100)
    ax.set(ylim=(0, 102), title="right on new images (%)")
    ax.legend(loc="lower right")


def _means(ax: Any, run: History, channel: int, steps: Any) -> None:
    each = np.array(run.means)[:, :, channel]
    ax.plot(np.repeat(steps, each.shape[1]), each.ravel(), ".", color=GRAY, markersize=2.5)
    if run.settings.norm == "batch":
        ax.plot(steps, np.array(run.running)[:, channel], color=ORANGE)
    ax.set_title(f"batch means, channel {channel + 1}")
