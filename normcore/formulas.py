"""The formulas of all norms, each backward under its forward, for a block of channels with one mean and std each.

x, y, dx and dy are blocks, (n, c, l).  So is d: changed in place, it becomes the result.  mean, var, r = 1/std and all
sums are numbers per channel, (c,).  So are gamma and beta, but those of layer and group norm differ within what is
averaged.  `engine` makes *=, +=, `sum` and `mean` fast and exact, and calls each formula for one block at a time.
"""

from __future__ import annotations

import numpy as np

from ._checks import Array
from .engine import Block, Numbers, blockwise


@blockwise
def normalize(y: Block, x: Block, gamma: Array, beta: Array, eps: float) -> Numbers:
    """y = gamma (x - mean) / sqrt(var + eps) + beta, with the mean and the variance of x."""
    d, mean, var = x.minus_mean(out=y)
    d *= gamma / np.sqrt(var + eps)
    d += beta
    return mean, var


@blockwise
def normalize_with(y: Block, x: Block, mean: Array, var: Array, gamma: Array, beta: Array, eps: float) -> Numbers:
    """y = gamma (x - mean) / sqrt(var + eps) + beta, with statistics that are given."""
    d = x.minus(mean, out=y)
    d *= gamma / np.sqrt(var + eps)
    d += beta
    return ()


@blockwise
def gradients(dx: Block, x: Block, dy: Block, mean: Array, r: Array, gamma: Array) -> Numbers:
    """dx = gamma r (dy - <dy> - xhat <dy xhat>), dgamma = sum dy xhat, dbeta = sum dy.  xhat = r (x - mean)."""
    d = x.minus(mean, out=dx)
    dgamma, dbeta = r * dy.sum(times=d), dy.sum()
    d *= -r * dgamma / d.count
    d += dy
    d -= dbeta / d.count
    d *= gamma * r
    return dgamma, dbeta


@blockwise
def gradients_with(dx: Block, x: Block, dy: Block, mean: Array, r: Array, gamma: Array) -> Numbers:
    """dx = gamma r dy, dgamma = sum dy xhat, dbeta = sum dy: statistics that are given do not depend on x."""
    d = x.minus(mean, out=dx)
    dgamma, dbeta = r * dy.sum(times=d), dy.sum()
    dy.times(gamma * r, out=dx)
    return dgamma, dbeta


@blockwise
def normalize_groups(y: Block, x: Block, gamma: Array, beta: Array, eps: float) -> Numbers:
    """As `normalize`, where gamma and beta, (c, k) or (1, k), differ within what is averaged."""
    d, mean, var = x.minus_mean(out=y)
    d *= 1 / np.sqrt(var + eps)
    d *= gamma
    d += beta
    return mean, var


@blockwise
def gradients_of_groups(dx: Block, x: Block, dy: Block, mean: Array, r: Array, gamma: Array) -> Numbers:
    """dx = r (gamma dy - <gamma dy> - xhat <gamma dy xhat>) where each group has a gamma for its k channels, (c, k)."""
    d = x.minus(mean, out=dx)
    dgamma, dbeta = r[:, None] * dy.sum_like(gamma, times=d), dy.sum_like(gamma)
    d *= -r * (r * (gamma * dgamma).sum(1) / d.count)
    d += dy.times(gamma * r[:, None])
    d -= r * (gamma * dbeta).sum(1) / d.count
    return dgamma, dbeta


@blockwise
def gradients_of_samples(dx: Block, x: Block, dy: Block, mean: Array, r: Array, gamma: Array) -> Numbers:
    """The same where all samples share one gamma for each of their k values, (1, k)."""
    d = x.minus(mean, out=dx)
    g = dy.times(r)
    dgamma, dbeta = g.sum_like(gamma, times=d), dy.sum_like(gamma)
    g *= gamma  # gamma r dy
    d *= -r * (r * g.mean(times=d))
    d += g
    d -= g.mean()
    return dgamma, dbeta


@blockwise
def normalize_rms(y: Block, x: Block, gamma: Array, eps: float) -> Numbers:
    """y = gamma x / sqrt(<x x> + eps): no mean is subtracted."""
    square = x.mean(times=x)
    y = x.times(1 / np.sqrt(square + eps), out=y)
    y *= gamma
    return (square,)


@blockwise
def gradients_of_rms(dx: Block, x: Block, dy: Block, r: Array, gamma: Array) -> Numbers:
    """dx = r (gamma dy - xhat <gamma dy xhat>), dgamma = sum dy xhat.  xhat = r x."""
    g = dy.times(r)
    dgamma = g.sum_like(gamma, times=x)
    g *= gamma  # gamma r dy
    dx = x.times(-r * (r * g.mean(times=x)), out=dx)
    dx += g
    return (dgamma,)
