"""Layer norm, group norm and RMS norm: the same core; the averaged axes differ, and gamma and beta differ within them.

Each sees x as (1, rows, length) with one mean for a row: a sample, a group of channels of a sample, or, with
normalized_shape, whatever stands before x's last axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from . import _checks as check
from . import formulas
from ._checks import Array, Param, Shape
from .functional import Cache, summed

Size = int | Sequence[int] | None


def layer_norm(
    x: Array, gamma: Param = None, beta: Param = None, eps: float = 1e-5, normalized_shape: Size = None
) -> tuple[Array, Cache]:
    """y = gamma (x - mean) / sqrt(var + eps) + beta, every sample with one mean and variance over all its entries.

    x is (N, C, ...) as for `batch_norm`; gamma and beta have the shape of a sample, x.shape[1:].  With
    normalized_shape, as in torch, x ends with these axes, the averages run over these last axes, and gamma and
    beta have their shape.  Errors as in `batch_norm`; ValueError if one entry is averaged, and for other last axes.
    Source: Ba, Kiros & Hinton, arXiv:1607.06450 (2016).

    >>> layer_norm(np.array([[1.0, 3.0], [10.0, 30.0]]))[0].round(3)
    array([[-1.,  1.],
           [-1.,  1.]])
    """
    shape = last_axes(x, normalized_shape)
    check.vector("gamma", gamma, shape)
    check.vector("beta", beta, shape)
    check.positive("eps", eps)
    check.more_than_one_value(x, range(x.ndim - len(shape), x.ndim), "a sample", "use larger inputs, or batch norm")
    return normalize_rows(x, gamma, beta, eps, x.shape[: x.ndim - len(shape)], "layer")


def layer_norm_backward(dy: Array, cache: Cache) -> tuple[Array, Param, Param]:
    """dx per sample as in `batch_norm_backward`; dgamma = sum dy xhat and dbeta = sum dy over the samples.

    >>> y, cache = layer_norm(np.array([[1.0, 2.0, 3.0]]))
    >>> layer_norm_backward(y**2, cache)[0].round(2).tolist()
    [[0.61, -1.22, 0.61]]
    """
    check.backward(dy, cache, "layer")
    return gradients_of_rows(dy, cache)


def group_norm(
    x: Array, num_groups: int, gamma: Param = None, beta: Param = None, eps: float = 1e-5
) -> tuple[Array, Cache]:
    """y = gamma (x - mean) / sqrt(var + eps) + beta, every C/num_groups channels of a sample on their own.

    x is (N, C, ...) as for `batch_norm`; gamma and beta are (C,).  One group is layer norm with gamma and beta
    shared over space, C groups are instance norm.  ValueError if num_groups does not divide C, or a group has one
    entry.  Source: Wu & He, ECCV 2018.

    >>> group_norm(np.array([[1.0, 3.0, 10.0, 30.0]]), 2)[0].round(3)
    array([[-1.,  1., -1.,  1.]])
    """
    check.batch("x", x)
    n, c = x.shape[:2]
    check.divisor("num_groups", num_groups, c)
    check.vector("gamma", gamma, (c,))
    check.vector("beta", beta, (c,))
    check.positive("eps", eps)
    check.more_than_one_value(x, range(1, x.ndim), "a group", "use larger inputs, or batch norm", num_groups)
    return normalize_rows(x, gamma, beta, eps, (n, int(num_groups)), "group")


def group_norm_backward(dy: Array, cache: Cache) -> tuple[Array, Param, Param]:
    """dx per group as in `batch_norm_backward`; dgamma = sum dy xhat and dbeta = sum dy over samples and space.

    >>> y, cache = group_norm(np.array([[1.0, 2.0, 3.0]]), num_groups=1, beta=np.zeros(3))
    >>> dx, dgamma, dbeta = group_norm_backward(y**2, cache)
    >>> dx.round(2).tolist(), dbeta.round(1).tolist()
    ([[0.61, -1.22, 0.61]], [1.5, 0.0, 1.5])
    """
    check.backward(dy, cache, "group")
    return gradients_of_rows(dy, cache)


def rms_norm(
    x: Array, gamma: Param = None, eps: float = 1e-5, normalized_shape: Size = None
) -> tuple[Array, Cache]:
    """y = gamma x / sqrt(<x x> + eps), every sample with one mean square <x x>; no mean is subtracted.

    x, gamma and normalized_shape as in `layer_norm`, errors too; one entry may be averaged.  The cache holds the mean
    square as var, and 0 as mean.  Source: Zhang & Sennrich, NeurIPS 2019, whose eps is 0; torch's is the step of the
    dtype that computes.

    >>> rms_norm(np.array([[3.0, 4.0, 0.0, 0.0]]))[0].round(3)
    array([[1.2, 1.6, 0. , 0. ]])
    """
    shape = last_axes(x, normalized_shape)
    check.vector("gamma", gamma, shape)
    check.positive("eps", eps)
    before = x.shape[: x.ndim - len(shape)]
    y, size = np.empty(x.shape, x.dtype.type), prod(before)
    weight = per_row(gamma, 1, x, before, "rms")
    found = formulas.normalize_rms(as_rows(y, size), as_rows(x, size), weight, eps)
    square = found[0] if found else np.full(size, np.nan)
    return y, Cache(x, np.zeros(before), square.reshape(before), gamma, None, eps, norm="rms")


def rms_norm_backward(dy: Array, cache: Cache) -> tuple[Array, Param]:
    """dx = r (gamma dy - xhat <gamma dy xhat>) with xhat = r x and r = 1/sqrt(<x x> + eps); dgamma = sum dy xhat.

    <> averages a sample; dgamma is summed over the samples, and like gamma (None without it).

    >>> y, cache = rms_norm(np.array([[3.0, 4.0, 0.0, 0.0]]))
    >>> rms_norm_backward(np.ones((1, 4)), cache)[0].round(3)
    array([[ 0.064, -0.048,  0.4  ,  0.4  ]])
    """
    check.backward(dy, cache, "rms")
    x, size = cache.x, cache.var.size
    dx, r = np.empty(x.shape, x.dtype.type), 1 / np.sqrt(cache.var.ravel() + cache.eps)
    gamma = per_row(cache.gamma, 1, x, cache.var.shape, "rms")
    found = formulas.gradients_of_rms(*(as_rows(a, size) for a in (dx, x, dy)), r, gamma)
    return dx, summed(found[0] if found else np.zeros(gamma.shape), cache.gamma)


def normalize_rows(x: Array, gamma: Param, beta: Param, eps: float, rows: Shape, norm: str) -> tuple[Array, Cache]:
    """Output and cache of layer norm and group norm, with one mean for each of the rows."""
    y, size = np.empty(x.shape, x.dtype.type), prod(rows)
    if gamma is None and beta is None:
        found = formulas.normalize(as_rows(y, size), as_rows(x, size), np.ones(size), np.zeros(size), eps)
    else:
        weight, bias = (per_row(v, default, x, rows, norm) for v, default in ((gamma, 1), (beta, 0)))
        found = formulas.normalize_groups(as_rows(y, size), as_rows(x, size), weight, bias, eps)
    mean, var = found or np.full((2, size), np.nan)
    return y, Cache(x, mean.reshape(rows), var.reshape(rows), gamma, beta, eps, norm=norm)


def gradients_of_rows(dy: Array, cache: Cache) -> tuple[Array, Param, Param]:
    """Gradients of layer norm and group norm: each gamma's own is summed over the rows that share it."""
    x, rows = cache.x, cache.mean.shape
    dx, size = np.empty(x.shape, x.dtype.type), prod(rows)
    views = [as_rows(a, size) for a in (dx, x, dy)]
    mean, r = cache.mean.ravel(), 1 / np.sqrt(cache.var.ravel() + cache.eps)
    gamma = per_row(cache.gamma, 1, x, rows, cache.norm)
    if cache.gamma is None and cache.beta is None:
        formulas.gradients(*views, mean, r, np.ones(size))
        return dx, None, None
    formula = formulas.gradients_of_groups if cache.norm == "group" else formulas.gradients_of_samples
    dgamma, dbeta = formula(*views, mean, r, gamma) or np.zeros((2, *gamma.shape))
    return dx, summed(dgamma, cache.gamma), summed(dbeta, cache.beta)


def as_rows(x: Array, size: int) -> Array:
    """x as (1, size, length)."""
    return x.reshape(1, size, x.size // max(1, size))


def per_row(v: Param, default: float, x: Array, rows: Shape, norm: str) -> Array:
    """gamma or beta as the rows meet it: (1, length) for all samples alike, or each group's own part, (N*G, C/G)."""
    if norm != "group":
        size = prod(x.shape[len(rows) :])
        return np.full((1, size), default, np.float32) if v is None else v.reshape(1, size)
    n, groups = rows
    v = np.full(x.shape[1], default, np.float64) if v is None else v
    return np.tile(v.reshape(groups, -1).astype(np.float64), (n, 1))


def last_axes(x: Array, normalized_shape: Size) -> Shape:
    """The sizes of the last axes that are averaged: those of a sample (N, C, ...), unless they are given."""
    if normalized_shape is None:
        check.batch("x", x)
        return x.shape[1:]
    check.floating("x", x)
    shape = check.trailing(normalized_shape)
    check.ends(x, shape)
    return shape
