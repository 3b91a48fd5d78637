"""Batch and instance normalization: one formula, different averaged axes.

Both see x as (N, C, L) and take one mean and variance for each "channel", over N and L; what is computed then stands in
`formulas`.  Statistics are float64; y and dx have x's dtype (float16 is computed in float32).  NaN and inf spread as in
torch.  The variance of float64 values more than 1e154 apart is no float64: it is inf, and y is beta, as in torch.

There is no mask, for none is needed: the entries of padded sequences (N, C, L) that count, with `mask` (N, L), are the
samples (M, C) of ``x.transpose(0, 2, 1)[mask]``.  Batch norm of these is exact, forward and backward.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from . import _checks as check
from ._checks import Array, Param, Shape
from .formulas import gradients, gradients_with, normalize, normalize_with


class Cache(NamedTuple):
    """What the forward pass keeps: x itself (not a copy: leave it unchanged), its statistics, the parameters."""

    x: Array
    mean: Array  # float64, as var; (C,) for batch norm, (N, C) for instance norm
    var: Array  # biased
    gamma: Param
    beta: Param
    eps: float
    constant: bool = False  # were the statistics given, as in inference?
    norm: str = "batch"  # or instance, layer, group, rms: whose backward is to take it


def batch_norm(x: Array, gamma: Param = None, beta: Param = None, eps: float = 1e-5) -> tuple[Array, Cache]:
    """y = gamma (x - mean) / sqrt(var + eps) + beta, every channel with its statistics over batch and space.

    x: (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W); float16, float32 or float64; y likewise.  gamma, beta:
    (C,), or None for 1 and 0.  var is biased.  TypeError for other types; ValueError for other shapes, eps <= 0,
    and channels of one value.  An empty x gives an empty y.  Source: Ioffe & Szegedy, ICML 2015.

    >>> batch_norm(np.array([[1.0, 5.0], [3.0, 5.0]]))[0].round(3).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    check.inputs(x, gamma, beta, eps)
    check.more_than_one_value(x, (0, *range(2, x.ndim)), "a channel in this batch", "use more samples, or inference")
    return with_statistics(x, gamma, beta, eps, x.shape[1:2])


def batch_norm_backward(dy: Array, cache: Cache) -> tuple[Array, Param, Param]:
    """dx = gamma/std (dy - <dy> - xhat <dy xhat>), dgamma = sum dy xhat, dbeta = sum dy; <> averages a channel.

    dy: like y.  dgamma, dbeta: like gamma, beta.  With constant statistics dx = gamma/std dy.

    >>> y, cache = batch_norm(np.array([[1.0], [2.0], [3.0]]))
    >>> batch_norm_backward(dy=y**2, cache=cache)[0].round(2).tolist()
    [[0.61], [-1.22], [0.61]]
    """
    check.backward(dy, cache, "batch", "instance")
    size, dx = cache.mean.size, np.empty(cache.x.shape, cache.x.dtype.type)
    mean, var, gamma = cache.mean.ravel(), repeated(cache.var.ravel(), 1, size), repeated(cache.gamma, 1, size)
    formula = gradients_with if cache.constant else gradients
    views = [as_rows(a, cache.mean.shape) for a in (dx, cache.x, dy)]
    dgamma, dbeta = formula(*views, mean, 1 / np.sqrt(var + cache.eps), gamma) or np.zeros((2, size))
    return dx, summed(dgamma, cache.gamma), summed(dbeta, cache.beta)


def batch_norm_inference(
    x: Array, mean: Array, var: Array, gamma: Param = None, beta: Param = None, eps: float = 1e-5
) -> Array:
    """y = gamma (x - mean) / sqrt(var + eps) + beta with given statistics (C,), such as running averages.

    >>> batch_norm_inference(np.array([[3.0]]), mean=np.array([1.0]), var=np.array([4.0])).round(3)
    array([[1.]])
    """
    check.inputs(x, gamma, beta, eps)
    check.statistics(x, mean, var)
    y, size = np.empty(x.shape, x.dtype.type), len(mean)
    numbers = [repeated(v, default, size) for v, default in ((mean, 0), (var, 1), (gamma, 1), (beta, 0))]
    normalize_with(as_rows(y, mean.shape), as_rows(x, mean.shape), *numbers, eps)
    return y


def instance_norm(x: Array, gamma: Param = None, beta: Param = None, eps: float = 1e-5) -> tuple[Array, Cache]:
    """As `batch_norm`, every channel of every sample with its statistics over space: one batch of N*C channels.

    x: at least 3 dimensions, more than one position.  Source: Ulyanov, Vedaldi & Lempitsky, arXiv:1607.08022.

    >>> instance_norm(np.array([[[1.0, 3.0], [5.0, 5.0]]]))[0].round(3).tolist()
    [[[-1.0, 1.0], [0.0, 0.0]]]
    """
    check.inputs(x, gamma, beta, eps, least=3)
    check.more_than_one_value(x, range(2, x.ndim), "an instance", "normalize larger maps, or use batch norm")
    return with_statistics(x, gamma, beta, eps, x.shape[:2])


def instance_norm_backward(dy: Array, cache: Cache) -> tuple[Array, Param, Param]:
    """As `batch_norm_backward`, averages over an instance; dgamma and dbeta are summed over the samples."""
    return batch_norm_backward(dy, cache)


def moments(x: Array, axes: int | tuple[int, ...] | None) -> tuple[Array, Array]:
    """Mean and biased variance of x over the axes (None: all), which are kept with length 1; in x's dtype.

    >>> moments(np.array([[1.0, 2.0], [3.0, 6.0]]), axes=0)
    (array([[2., 4.]]), array([[1., 4.]]))
    """
    check.floating("x", x)
    over = np.lib.array_utils.normalize_axis_tuple(range(x.ndim) if axes is None else axes, x.ndim)
    shape = [1 if i in over else n for i, n in enumerate(x.shape)]
    rows = np.moveaxis(x, over, range(-len(over), 0)).reshape(1, prod(shape), x.size // max(1, prod(shape)))
    cache = with_statistics(rows, None, None, 1, rows.shape[1:2])[1]
    with np.errstate(all="ignore"):
        return cache.mean.reshape(shape).astype(x.dtype), cache.var.reshape(shape).astype(x.dtype)


def with_statistics(x: Array, gamma: Param, beta: Param, eps: float, shape: Shape) -> tuple[Array, Cache]:
    """Output and cache for statistics of this shape: (C,) for batch norm, (N, C) for instance norm."""
    y, size = np.empty(x.shape, x.dtype.type), prod(shape)
    found = normalize(as_rows(y, shape), as_rows(x, shape), repeated(gamma, 1, size), repeated(beta, 0, size), eps)
    mean, var = found or np.full((2, size), np.nan)
    norm = "batch" if len(shape) == 1 else "instance"
    return y, Cache(x, mean.reshape(shape), var.reshape(shape), gamma, beta, eps, norm=norm)


def as_rows(x: Array, shape: Shape) -> Array:
    """(N, C, ...) as (N, C, L), or as (1, N*C, L) for statistics of shape (N, C)."""
    if len(shape) == 2:
        return x.reshape(1, prod(shape), prod(x.shape[2:]))
    length = prod(x.shape[2:])  # if 1, the samples play the part of space: a transposed view
    return x.reshape(x.shape[:2]).T[None] if length == 1 else x.reshape(*x.shape[:2], length)


def repeated(v: Param, default: float, size: int) -> Array:
    """A parameter in float64, repeated for each instance; a missing one as the constant it stands for."""
    if v is None:
        return np.full(size, default, np.float64)
    return np.asarray(v if v.size == size else np.resize(v, size), np.float64)


def summed(dv: Array, like: Param) -> Param:
    """A parameter's gradient, summed over the instances that share it, with the parameter's shape and dtype."""
    if like is None:
        return None
    with np.errstate(all="ignore"):
        return np.asarray(dv.reshape(dv.size // max(1, like.size), *like.shape).sum(0), like.dtype)
