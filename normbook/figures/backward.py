"""Pictures of the chapter ``backward``: gradients by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from normbook.style import BLUE, GRAY, GREEN, INK, ORANGE, Figure, figure, picture, picture_only, scientific
from normcore import batch_norm, batch_norm_backward

Array = npt.NDArray[np.float64]


def three_paths(x: Array, i: int, eps: float = 1e-5) -> Array:
    """How x̂ₖ answers to xᵢ, split by path: (3, m) for xᵢ itself, through the mean, through the variance.

    The rows add up to column i of the Jacobian of x̂ = (x − μ)/√(σ² + ε), for the values x (m,) of one channel.
    """
    m = len(x)
    inv = 1 / np.sqrt(x.var() + eps)
    xhat = (x - x.mean()) * inv
    direct = np.where(np.arange(m) == i, inv, 0.0)
    return np.stack([direct, np.full(m, -inv / m), -inv * xhat[i] * xhat / m])


@picture
def draw_paths(nudged: str, m: int, values: Sequence[float] | None = None) -> Figure:
    """How all outputs of a channel answer when one input is nudged, path by path.

    Parameters
    ----------
    nudged
        Which of the m inputs, sorted by size, is nudged: ``"smallest"``, ``"middle"`` or ``"largest"``.
    m
        How many values the channel has.
    values
        The inputs; those of another number than m are left, for inputs at random.  Their deviation is the unit.
    """
    if values is None or len(values) != m:
        values = np.sort(np.random.default_rng(3).normal(size=m)).tolist()
    x = np.sort(values)
    if np.ptp(x) == 0:
        raise ValueError("all values are equal, so their deviation is 0: move one of them")
    x = (x - x.mean()) / x.std()
    i = {"smallest": 0, "middle": int(np.argmin(np.abs(x))), "largest": m - 1}[nudged]
    parts = three_paths(x, i)
    rows = [*parts, parts.sum(0)]
    names = ["itself", "through the mean", "through the variance", "sum"]
    fig, axes = figure(3.5, rows=4, sharex=True, sharey=True)
    for ax, row, name, color in zip(axes, rows, names, (GREEN, BLUE, ORANGE, GRAY), strict=True):
        ax.bar(np.arange(1, m + 1), row, width=0.62, color=color)
        ax.axhline(0, color=INK, linewidth=0.8)
        ax.set_title(name, loc="left", pad=2)
        ax.set(ylim=(-0.85, 1.15), yticks=[0, 1])
        ax.grid(axis="x", visible=False)
    axes[-1].set(xlabel="output, in the order of its input's size", xlim=(0.4, m + 0.6))
    axes[-1].set_xticks(range(1, m + 1))
    fig.supylabel("change of the outputs")
    own, others = rows[3][i], np.delete(rows[3], i)
    fig.points = values
    return fig.describe(
        f"Four rows of {m} bars, one bar an output, when the {nudged} of {m} inputs is nudged: the change of the "
        "output by the input itself (one bar), through the mean (the same for all, negative), through the variance "
        f"(in proportion to the outputs) and their sum. The nudged input's own output changes by {own:.2f} per unit.",
        f"m = {m}, {nudged} nudged: its own output moves by {own:.2f}; the other {m - 1} by "
        f"{np.abs(others).mean():.2f} on average; all together by {_tiny(parts.sum())}",
    )


_NODES = {"x": (0, 1), "μ": (1.1, 2), "d": (2.2, 1), "σ²": (3.1, 0), "r": (4.3, 0), "x̂": (5.2, 1), "y": (6.4, 1)}
_ARROWS = (  # from, to, derivative, color, where its label stands relative to the middle
    ("x", "d", "1", GREEN, (0, -0.27)),
    ("d", "x̂", "r", GREEN, (0, 0.25)),
    ("x", "μ", "1/m", BLUE, (-0.3, 0.2)),
    ("μ", "d", "−1", BLUE, (0.3, 0.2)),
    ("d", "σ²", "2d/m", ORANGE, (-0.5, -0.1)),
    ("σ²", "r", "−r³/2", ORANGE, (0, -0.3)),
    ("r", "x̂", "d", ORANGE, (0.25, -0.15)),
    ("x̂", "y", "γ", GRAY, (0, 0.25)),
)


@picture
def draw_graph() -> Figure:
    """What is computed from what, and the derivative along each arrow; the three paths from x to x̂ in three colors."""
    fig, ax = figure(2.3)
    picture_only(ax)
    for tail, head, label, color, (right, up) in _ARROWS:
        start, end = np.array(_NODES[tail]), np.array(_NODES[head])
        ax.annotate("", end, start, arrowprops={
            "arrowstyle": "-|>", "color": color, "linewidth": 2, "shrinkA": 13, "shrinkB": 13})  # fmt: skip
        ax.text(*((start + end) / 2 + [right, up]), label, color=color, ha="center", va="center")
    for name, (x, y) in _NODES.items():
        ax.plot(x, y, "o", markersize=24, markerfacecolor="none", color=INK, markeredgewidth=1)
        ax.text(x, y, name, ha="center", va="center_baseline")
    for name, color in (("itself", GREEN), ("through the mean", BLUE), ("through the variance", ORANGE)):
        ax.plot([], [], color=color, label=name)
    fig.legend(loc="outside lower center", ncols=3, columnspacing=1)
    ax.set(xlim=(-0.4, 6.8), ylim=(-0.55, 2.45))
    said = "; ".join(f"{tail} to {head}, {label}" for tail, head, label, _, _ in _ARROWS)
    return fig.describe(
        f"Seven circles joined by arrows, each with its derivative: {said}. Three paths lead from x to x̂: straight "
        "over d, over the mean to d, and over the variance and r.",
        "forward along the arrows; backward against them, with the derivative at each as a factor",
    )


# An orthonormal basis of three dimensions: the direction in which all values are equal, and the plane without a mean.
_BASIS = np.array([[1, -1, 0], [1, 1, -2], [1, 1, 1]]) / np.sqrt([[2], [6], [3]])


def three_values(turn: float, out: float) -> tuple[Array, Array, Array]:
    """x̂, dy and dx of three values in the drawing's coordinates: two in the plane of mean zero, one along (1, 1, 1).

    ``turn`` (degrees) is the angle from x̂ to dy within the plane, ``out`` how far dy sticks out of it.
    """
    at = np.deg2rad(35)
    x = (np.sqrt(3) * np.array([np.cos(at), np.sin(at), 0])) @ _BASIS
    a = at + np.deg2rad(turn)
    dy = np.array([1.1 * np.cos(a), 1.1 * np.sin(a), out]) @ _BASIS
    xhat, cache = batch_norm(x[:, None])
    dx = batch_norm_backward(dy[:, None], cache)[0]
    return _BASIS @ xhat[:, 0], _BASIS @ dy, _BASIS @ dx[:, 0]


@picture
def draw_geometry(turn: float, dy: str) -> Figure:
    """Where the gradient of three values can point: dy, its shadow in the plane of mean zero, dx along the circle.

    ``turn`` is the angle from x̂ to dy in degrees; dy lies ``"in the plane"`` or sticks ``"out of the plane"``.
    """
    xhat, given, dx = three_values(turn, {"in the plane": 0.0, "out of the plane": 0.9}[dy])
    fig, panels = figure(2.9, columns=2)
    angles = np.deg2rad(np.linspace(0, 360, 61))
    ring = np.sqrt(3) * np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    along = np.array([-xhat[1], xhat[0], 0]) / np.linalg.norm(xhat)  # the tangent of the circle where x̂ ends
    corner = xhat + 0.22 * np.array([along, along - xhat / np.sqrt(3), -xhat / np.sqrt(3)])
    shadow = given * [1, 1, 0]
    for ax, tilted in zip(panels, (True, False), strict=True):
        view = np.array([[1, 0], [0, 0.42], [0, 0.9]]) if tilted else np.eye(3, 2)
        ax.plot(*(ring @ view).T, color=GRAY, linewidth=1.2)
        ax.plot(*(corner @ view).T, color=INK, linewidth=0.8)
        if tilted:
            ax.annotate("(1, 1, 1)", (0, 0), (0, 2.1), ha="center", va="bottom",
                        arrowprops={"arrowstyle": "<|-", "color": GRAY, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0})
        stops = np.array([given, shadow, dx] if tilted else [shadow, dx])
        ax.plot(*((xhat + stops) @ view).T, ":", color=INK, linewidth=1.3)
        for tail, arrow, color, width in (
            (0 * xhat, xhat, BLUE, 2.0), (xhat, given if tilted else shadow, ORANGE, 3.6), (xhat, dx, GREEN, 1.8)
        ):
            start, end = tail @ view, (tail + arrow) @ view
            if np.linalg.norm(arrow) < 0.05:
                ax.plot(*end, "o", color=color, markersize=6)
            else:
                ax.annotate("", end, start, arrowprops={
                    "arrowstyle": "-|>", "color": color, "linewidth": width, "shrinkA": 0, "shrinkB": 0})
        ax.set(xlim=(-1.9, 2.9), ylim=(-1.3, 3.0) if tilted else (-1.9, 2.6), aspect="equal")
        ax.set_title("seen at an angle" if tilted else "seen from above")
        picture_only(ax)
    for color, name in ((BLUE, "x̂"), (ORANGE, "dy"), (GREEN, "dx")):
        panels[1].plot([], [], color=color, label=name)
    fig.legend(loc="outside lower center", ncols=3)
    kept = np.linalg.norm(dx) / np.linalg.norm(given)
    ones, radial = float(np.sqrt(3) * dx[2]), float(dx @ xhat)
    return fig.describe(
        "Three values as arrows, seen at an angle and from above. x̂ ends on a circle in the plane of mean zero. The "
        f"arrow dy begins there, turned {turn:.0f} degrees from x̂ and {dy}. Dotted "
        f"lines drop it onto the plane, then onto the circle's tangent; what is left is dx, {100 * kept:.0f}% as long.",
        f"dy turned by {turn:.0f}°, {dy}: dx is {100 * kept:.0f}% as long as dy; "
        f"dx·1 = {_tiny(ones)}, dx·x̂ = {_tiny(radial)}",
    )


def _tiny(value: float) -> str:
    return scientific(value, 1).replace("-", "−") if abs(value) > 1e-12 else "0"


@picture
def draw_step_sizes(steps: Array, errors: dict[str, Array]) -> Figure:
    """Relative error of a central difference against its step h, for each precision."""
    fig, ax = figure(2.9)
    for (name, error), color, marker in zip(errors.items(), (BLUE, ORANGE), "os", strict=True):
        ax.loglog(steps, error, marker + "-", color=color, label=name, markersize=4, linewidth=1.2)
    ax.set(xlabel="step h", ylabel="relative error")
    ax.legend(loc="lower left")
    best = {name: (steps[np.argmin(e)], e.min()) for name, e in errors.items()}
    said = "; ".join(f"{name}: best {scientific(e, 1)} at h = {scientific(h, 1)}" for name, (h, e) in best.items())
    return fig.describe(
        "The error of a gradient by central differences against the step, both axes logarithmic: each precision has "
        f"a valley, with rounding to its left and curvature to its right. {said}.",
        said,
    )
