"""How sharp and how fair is the check of gradients?  `make gradient-power` prints the table.

Planted mistakes and right implementations of batch norm's backward pass, each at many kinds of input.  A mistake counts
where it matters: where it moves a gradient by more than 1e-9 (with a reference) or 1e-5 (without one) of the largest
gradient of its channel, and by a hundred times what the rounding of x moves it.  The truth is the textbook formula in
np.longdouble.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import normcore as nc
from normcore.autograd import GradientError, check_gradients

Array = np.ndarray[Any, np.dtype[Any]]
Backward = Callable[["Case", Array], tuple[Array, Array, Array]]
EPS = 1e-5


class Case(NamedTuple):
    """x (N, C, L), gamma and beta (C, 1)."""

    x: Array
    gamma: Array
    beta: Array
    eps: float = EPS


def mean(a: Array) -> Array:
    return np.asarray(a.mean((0, 2), keepdims=True)[0])


def total(a: Array) -> Array:
    return np.asarray(a.sum((0, 2))[:, None])


def parts(c: Case, eps: float | None = None, ddof: int = 0) -> tuple[Array, Array]:
    """xhat and 1/std: corrected two-pass."""
    d = c.x - mean(c.x)
    d = d - mean(d)
    inv = 1 / np.sqrt(mean(d * d) * (d[:, 0].size / (d[:, 0].size - ddof)) + (c.eps if eps is None else eps))
    return d * inv, inv


def right(c: Case, dy: Array, eps: float | None = None, ddof: int = 0) -> tuple[Array, Array, Array]:
    xhat, inv = parts(c, eps, ddof)
    dx = c.gamma * inv * (dy - mean(dy) - xhat * mean(dy * xhat))
    return dx, total(dy * xhat), total(dy)


def dx_only(change: Callable[[Case, Array, Array, Array], Array]) -> Backward:
    """A mistake in dx alone: change(case, dy, xhat, inv)."""
    return lambda c, dy: (change(c, dy, *parts(c)), *right(c, dy)[1:])


def after(change: Callable[[Array, Array, Array], tuple[Array, Array, Array]]) -> Backward:
    return lambda c, dy: change(*right(c, dy))


def put(a: Array, index: Any, change: Callable[[Any], Any]) -> Array:
    a = a.copy()
    a[index] = change(a[index])
    return a


MISTAKES: dict[str, Backward] = {
    "statistics as constants": dx_only(lambda c, dy, h, r: c.gamma * r * dy),
    "mean forgotten": dx_only(lambda c, dy, h, r: c.gamma * r * (dy - h * mean(dy * h))),
    "variance forgotten": dx_only(lambda c, dy, h, r: c.gamma * r * (dy - mean(dy))),
    "gamma forgotten": dx_only(lambda c, dy, h, r: r * (dy - mean(dy) - h * mean(dy * h))),
    "gamma twice": dx_only(lambda c, dy, h, r: c.gamma**2 * r * (dy - mean(dy) - h * mean(dy * h))),
    "gamma's sign lost": dx_only(lambda c, dy, h, r: abs(c.gamma) * r * (dy - mean(dy) - h * mean(dy * h))),
    "1/std forgotten": dx_only(lambda c, dy, h, r: c.gamma * (dy - mean(dy) - h * mean(dy * h))),
    "1/std twice": dx_only(lambda c, dy, h, r: c.gamma * r * r * (dy - mean(dy) - h * mean(dy * h))),
    "sign of the mean": dx_only(lambda c, dy, h, r: c.gamma * r * (dy + mean(dy) - h * mean(dy * h))),
    "sign of the variance": dx_only(lambda c, dy, h, r: c.gamma * r * (dy - mean(dy) + h * mean(dy * h))),
    "half the variance": dx_only(lambda c, dy, h, r: c.gamma * r * (dy - mean(dy) - h * mean(dy * h) / 2)),
    "sums for means": dx_only(lambda c, dy, h, r: c.gamma * r * (dy - total(dy) - h * total(dy * h))),
    "m - 1 in the means": dx_only(
        lambda c, dy, h, r: c.gamma * r * (dy - (mean(dy) + h * mean(dy * h)) * dy[:, 0].size / (dy[:, 0].size - 1))
    ),
    "y in the place of xhat": dx_only(
        lambda c, dy, h, r: c.gamma * r * (dy - mean(dy) - (h * c.gamma + c.beta) * mean(dy * h))
    ),
    "statistics of each sample": dx_only(
        lambda c, dy, h, r: c.gamma * r * (dy - dy.mean(2, keepdims=True) - h * (dy * h).mean(2, keepdims=True))
    ),
    "eps forgotten": lambda c, dy: right(c, dy, eps=0.0),
    "eps ten times": lambda c, dy: right(c, dy, eps=10 * EPS),
    "unbiased variance": lambda c, dy: right(c, dy, ddof=1),
    "dx rounded to float32": after(lambda dx, dg, db: (dx.astype(np.float32).astype(dx.dtype), dg, db)),
    "one channel's dx zero": after(lambda dx, dg, db: (put(dx, np.s_[:, 0], lambda v: 0 * v), dg, db)),
    "first sample's dx zero": after(lambda dx, dg, db: (put(dx, 0, lambda v: 0 * v), dg, db)),
    "one entry doubled": after(lambda dx, dg, db: (put(dx, (1, 1, 2), lambda v: 2 * v), dg, db)),
    "one entry NaN": after(lambda dx, dg, db: (put(dx, (1, 1, 2), lambda v: np.nan), dg, db)),
    "dx negative": after(lambda dx, dg, db: (-dx, dg, db)),
    "channels swapped": after(lambda dx, dg, db: (dx[:, ::-1].copy(), dg, db)),
    "dgamma averaged": after(lambda dx, dg, db: (dx, dg / dx[:, 0].size, db)),
    "dgamma from y": lambda c, dy: (right(c, dy)[0], total(dy * (parts(c)[0] * c.gamma + c.beta)), total(dy)),
    "dgamma times gamma": lambda c, dy: (right(c, dy)[0], right(c, dy)[1] * c.gamma, total(dy)),
    "dbeta averaged": after(lambda dx, dg, db: (dx, dg, db / dx[:, 0].size)),
    "dbeta of one sample": lambda c, dy: (*right(c, dy)[:2], dy[0].sum(1, keepdims=True)),
    "dgamma and dbeta swapped": after(lambda dx, dg, db: (dx, db, dg)),
    "dbeta times gamma": lambda c, dy: (*right(c, dy)[:2], total(dy) * c.gamma),
}


def three_paths(c: Case, dy: Array) -> tuple[Array, Array, Array]:
    h, r = parts(c)
    g = dy * c.gamma
    dvar = -(r**2) / 2 * total(g * h)
    return r * g + 2 * dvar * (h / r) / dy[:, 0].size - r * mean(g), total(dy * h), total(dy)


def in_place(c: Case, dy: Array) -> tuple[Array, Array, Array]:
    h, r = parts(c)
    dgamma, dbeta = total(dy * h), total(dy)
    dy -= mean(dy) + h * mean(dy * h)
    dy *= c.gamma * r
    return dy, dgamma, dbeta


def rows(c: Case, dy: Array) -> tuple[Array, Array, Array]:
    """Channel by channel, as rows."""
    out = [right(Case(c.x[:, i : i + 1], c.gamma[i : i + 1], c.beta[i : i + 1], c.eps), dy[:, i : i + 1])
           for i in range(c.x.shape[1])]  # fmt: skip
    dx, dgamma, dbeta = zip(*out, strict=True)
    return np.concatenate(dx, 1), np.concatenate(dgamma), np.concatenate(dbeta)


def projected(c: Case, dy: Array) -> tuple[Array, Array, Array]:
    h, r = parts(c)
    g = dy - mean(dy)
    return c.gamma * r * (g - h * mean(g * h)), total(dy * h), total(dy)


def packaged(c: Case, dy: Array) -> tuple[Array, Array, Array]:
    cache = nc.batch_norm(c.x, c.gamma[:, 0], c.beta[:, 0], c.eps)[1]
    dx, dgamma, dbeta = nc.batch_norm_backward(dy, cache)
    assert dgamma is not None and dbeta is not None
    return dx, dgamma[:, None], dbeta[:, None]


def scaled_first(c: Case, dy: Array) -> tuple[Array, Array, Array]:
    h, r = parts(c)
    g = c.gamma * dy
    return r * (g - mean(g) - h * mean(g * h)), total(dy * h), total(dy)


def summed(c: Case, dy: Array) -> tuple[Array, Array, Array]:
    h, r = parts(c)
    m = dy[:, 0].size
    return c.gamma * r / m * (m * dy - total(dy) - h * total(dy * h)), total(dy * h), total(dy)


def wide(c: Case, dy: Array) -> tuple[Array, Array, Array]:
    x, gamma, beta = (a.astype(np.longdouble) for a in (c.x, c.gamma, c.beta))
    out = right(Case(x, gamma, beta, c.eps), dy.astype(np.longdouble))
    return out[0].astype(float), out[1].astype(float), out[2].astype(float)


def einsum(c: Case, dy: Array) -> tuple[Array, Array, Array]:
    h, r = parts(c)
    dgamma, dbeta = np.einsum("ncl,ncl->c", dy, h)[:, None], np.einsum("ncl->c", dy)[:, None]
    return c.gamma * r * (dy - dbeta / dy[:, 0].size - h * dgamma / dy[:, 0].size), dgamma, dbeta


RIGHT: dict[str, Backward] = {
    f.__name__: f for f in (
        right, three_paths, in_place, rows, projected, packaged, scaled_first, summed, wide, einsum,
    )
}  # fmt: skip


def kinds(seed: int) -> dict[str, Case]:
    """Inputs of twenty kinds."""
    rng = np.random.default_rng(seed)

    def case(x: Array, gamma: Any = None, beta: Any = None) -> Case:
        c = x.shape[1]
        g = rng.uniform(0.5, 2, (c, 1)) * rng.choice([-1, 1], (c, 1)) if gamma is None else np.full((c, 1), gamma) * 1.0
        return Case(x, g, rng.normal(size=(c, 1)) if beta is None else np.full((c, 1), beta) * 1.0)

    x = rng.normal(size=(6, 3, 5))
    steps = np.arange(6.0)[:, None, None]
    outlier, constant, near, dead = x.copy(), x.copy(), x.copy(), x.copy()
    outlier[0, 0, 0] = 1e3
    constant[:, 2] = 7
    near[:, 2] = 7 + 1e-9 * near[:, 2]
    dead[:, 0] *= 1e6
    return {
        "normal": case(x), "spread 3": case(3 * x), "spread 30": case(30 * x), "spread 1e-2": case(1e-2 * x),
        "spread 1e-4": case(1e-4 * x), "spread 1e-8": case(1e-8 * x), "mean 1e4": case(x + 1e4),
        "mean 1e8": case(x + 1e8),
        "rows 100 spreads apart": case(x + 100 * steps), "a channel 1e6 times larger": case(dead),
        "a constant channel": case(constant), "a nearly constant channel": case(near), "an outlier": case(outlier),
        "fresh layer": case(x, 1.0, 0.0), "gamma 1e7": case(x, 1e7), "gamma 1e-7": case(x, 1e-7),
        "beta 1e7": case(x, None, 1e7),
        "one column": case(rng.normal(size=(8, 3, 3))), "uniform": case(rng.uniform(size=(4, 4, 8))),
        "many values": case(rng.normal(size=(16, 4, 32))), "two values a sample": case(rng.normal(size=(4, 3, 4)) ** 3),
    }  # fmt: skip


def matters(c: Case, dy: Array, backward: Backward, least: float) -> bool:
    """Does the mistake move a gradient by more than `least`, and well beyond the rounding of x?"""
    wrong = backward(c, dy.copy())
    truth = wide(c, dy)
    rng = np.random.default_rng(1)
    moved = wide(Case(c.x * (1 + 2.0**-52 * rng.choice([-1, 1], c.x.shape)), c.gamma, c.beta, c.eps), dy)
    for i, (a, b, m) in enumerate(zip(wrong, truth, moved, strict=True)):
        over = (0, 2) if i == 0 else None
        size, off, noise = (np.max(abs(v), axis=over) for v in (b, a - b, m - b))
        if not np.all(off <= least * size + 100 * noise + least * 1e-3):
            return True
    return False


def caught(c: Case, dy: Array, backward: Backward, reference: bool) -> bool:
    def mine(x: Array, gamma: Array, beta: Array) -> tuple[Array, Case]:
        return nc.batch_norm(x, gamma, beta, c.eps)[0], Case(x, gamma[:, None], beta[:, None], c.eps)

    def back(dy: Array, cache: Case) -> tuple[Array, Array, Array]:
        dx, dgamma, dbeta = backward(cache, dy)
        return dx, dgamma[:, 0], dbeta[:, 0]

    try:
        check_gradients(mine, c.x, c.gamma[:, 0], c.beta[:, 0], backward=back, dy=dy, entries=30,
                        reference=nc.batch_norm if reference else None)  # fmt: skip
    except GradientError:
        return True
    return False


def score(seeds: int = 1, every: int = 1) -> dict[str, tuple[int, int, int, int, int, int]]:
    """For each kind: found and planted with a reference, the same without, false alarms and right ones tried.

    every: take only each so-manieth mistake and implementation, another part at each kind.
    """
    table = {}
    for k, kind in enumerate(kinds(0)):
        counts = np.zeros(6, int)
        for seed in range(seeds):
            c = kinds(seed)[kind]
            dy: Array = np.asarray(np.random.default_rng([seed, 9]).normal(size=c.x.shape))
            for backward in list(MISTAKES.values())[(seed + k) % every :: every]:
                with np.errstate(all="ignore"):
                    for i, least in enumerate((1e-9, 1e-5)):
                        # a fresh layer is looked at with random gamma and beta, too
                        there = c._replace(**kinds(seed)["normal"]._asdict()) if kind == "fresh layer" else c
                        if matters(there, dy, backward, least):
                            counts[2 * i : 2 * i + 2] += np.array([caught(c, dy, backward, i == 0), 1])
            for backward in list(RIGHT.values())[(seed + k) % every :: every]:
                for reference in (True, False):
                    counts[4:] += np.array([caught(c, dy, backward, reference), 1])
        table[kind] = tuple(int(v) for v in counts)
    return table  # type: ignore[return-value]
