"""Batch and instance normalization: one formula, different averaged axes.  Each backward is under its forward.

Both see x as (N, C, L) and take one mean and variance for each "channel", over N and L.  Blocks of channels stay in the
processor's cache while several NumPy calls pass over them; the result's own memory holds every intermediate.  Numbers
per channel are float64, large arrays keep x's dtype (float16 is computed in float32).  NaN and inf spread as in torch.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import NamedTuple

import numpy as np

from . import _checks as check
from ._checks import Array, Param, Shape

BLOCK = 2 << 20  # bytes of x in a block


class Cache(NamedTuple):
    """What the forward pass keeps: x itself (not a copy: leave it unchanged), its statistics, the parameters."""

    x: Array
    mean: Array  # float64, as var; (C,) for batch norm, (N, C) for instance norm
    var: Array  # biased
    gamma: Param
    beta: Param
    eps: float
    constant: bool = False  # were the statistics given, as in inference?


def _sum(*factors: Array) -> Array:
    """Sum per channel of an array or a product; float64 beyond short stretches, so rounding does not grow with size."""
    n, channels, length = factors[0].shape
    rows = all(a.strides[2] == a.itemsize for a in factors)
    stretch = min(length, 256 if rows else 32)  # a contiguous row is summed in several lanes at once
    if rest := length % stretch:
        return _sum(*(a[..., :-rest] for a in factors)) + _sum(*(a[..., -rest:] for a in factors))
    parts = [a.reshape(n, channels, -1, stretch) for a in factors]
    blas = rows and len(parts) == 2 and stretch >= 128  # worth its call for long rows only
    sums = np.vecdot(*parts) if blas else np.einsum(",".join(["ncki"] * len(parts)) + "->nck", *parts)
    return np.asarray(sums.sum((0, 2), dtype=np.float64))


def _col(v: Array, a: Array) -> Array:
    """v per channel, ready to meet a; spelt out over short rows: then NumPy's loops run over whole samples."""
    v = v.astype(a.dtype)[:, None]
    return v if a.shape[0] == 1 or a.shape[2] >= 512 else np.repeat(v, a.shape[2], 1)


def _blocks(kernel: Callable[..., np.bool], out: Array, *inputs: Array) -> None:
    """Call kernel(channels, out, *inputs) for one block of channels after the other."""
    step = max(1024 if out.strides[1] == out.itemsize else 1, BLOCK // max(1, out[:, :1].nbytes))
    with np.errstate(all="ignore"):  # restores the buffer size, too
        np.setbufsize(1024)  # with NumPy's 8192, vectors are copied to meet shorter rows: half the speed
        for s in (slice(i, i + step) for i in range(0, out.shape[1] if out.size else 0, step)):
            for dtype in (np.promote_types(out.dtype, np.float32), np.float64):  # again if float32 was too narrow
                result, *rest = (a[:, s].astype(dtype, copy=False) for a in (out, *inputs))
                good = kernel(s, result, *rest)
                if dtype != out.dtype:
                    out[:, s] = result
                if good or dtype == np.float64:
                    break


def _view(x: Array, stats: Shape) -> Array:
    """(N, C, ...) as (N, C, L), or as (1, N*C, L) for the statistics (N, C) of instances."""
    if len(stats) == 2:
        return x.reshape(1, prod(stats), prod(x.shape[2:]))
    length = prod(x.shape[2:])  # if 1, the samples play the part of space: a transposed view
    return x.reshape(x.shape[:2]).T[None] if length == 1 else x.reshape(*x.shape[:2], length)


def _full(v: Param, default: float, size: int) -> Array:
    """A parameter in float64, repeated for each instance; a missing one as the constant it stands for."""
    return np.resize(default if v is None else v, size).astype(np.float64)


def _like(v: Param, dv: Array) -> Param:
    with np.errstate(all="ignore"):
        return None if v is None else dv.reshape(-1, v.size).sum(0).astype(v.dtype)


def _forward(x: Array, gamma: Param, beta: Param, eps: float, stats: Shape, *given: Array) -> tuple[Array, Cache]:
    y, size, count = np.empty(x.shape, x.dtype.type), prod(stats), x.size // max(1, prod(stats))
    mean, var = given or np.full((2, size), np.nan)
    weight, bias = _full(gamma, 1, size), _full(beta, 0, size)

    def kernel(s: slice, y: Array, x: Array) -> np.bool:
        near = (mean[s] if given else np.einsum("ncl->c", x) / count).astype(x.dtype)
        d = np.subtract(x, _col(near, x), out=y)  # exact for x near the mean, now rounded to x's dtype
        rest = mean[s] - near if given else _sum(d) / count  # what rounding left in the mean
        if not given:  # corrected two-pass variance: never E[x²] - E[x]², which cancels far from zero
            mean[s] = np.where(np.isinf(near), near, near + rest)
            var[s] = np.maximum(_sum(d, d) / count - rest**2, 0)
        scale = weight[s] / np.sqrt(var[s] + eps)
        d *= _col(scale, x)
        d += _col(bias[s] - scale * rest, x)
        return np.all((rest**2 <= var[s]) & (var[s] < np.inf) | bool(given))

    _blocks(kernel, _view(y, stats), _view(x, stats))
    return y, Cache(x, mean.reshape(stats), var.reshape(stats), gamma, beta, eps, bool(given))


def batch_norm(x: Array, gamma: Param = None, beta: Param = None, eps: float = 1e-5) -> tuple[Array, Cache]:
    """y = gamma (x - mean) / sqrt(var + eps) + beta, every channel with its statistics over batch and space.

    x: (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W); float16, float32 or float64; y likewise.  gamma, beta:
    (C,), or None for 1 and 0.  var is biased.  TypeError for other types; ValueError for other shapes, eps <= 0,
    and channels of one value.  An empty x gives an empty y.  Source: Ioffe & Szegedy, ICML 2015.

    >>> batch_norm(np.array([[1.0, 5.0], [3.0, 5.0]]))[0].round(3).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    check.inputs(x, gamma, beta, eps)
    check.several(x, (0, *range(2, x.ndim)), "a channel in this batch", "use more samples, or inference")
    return _forward(x, gamma, beta, eps, x.shape[1:2])


def batch_norm_backward(dy: Array, cache: Cache) -> tuple[Array, Param, Param]:
    """dx = gamma/std (dy - <dy> - xhat <dy xhat>), dgamma = sum dy xhat, dbeta = sum dy; <> averages a channel.

    dy: like y.  dgamma, dbeta: like gamma, beta.  With constant statistics dx = gamma/std dy.

    >>> y, cache = batch_norm(np.array([[1.0], [2.0], [3.0]]))
    >>> batch_norm_backward(dy=y**2, cache=cache)[0].round(2).tolist()
    [[0.61], [-1.22], [0.61]]
    """
    x, mean, var, gamma, beta, eps, constant = cache
    check.gradient(dy, x)
    dx, count = np.empty(x.shape, x.dtype.type), x.size // max(1, mean.size)
    m, weight, inv = mean.ravel(), _full(gamma, 1, mean.size), 1 / np.sqrt(_full(var, 1, mean.size) + eps)
    dgamma, dbeta = np.zeros((2, mean.size))

    def kernel(s: slice, dx: Array, x: Array, dy: Array) -> np.bool:
        near = m[s].astype(x.dtype)
        d = np.subtract(x, _col(near, x), out=dx)
        dbeta[s] = _sum(dy)
        dgamma[s] = inv[s] * (_sum(dy, d) - (m[s] - near) * dbeta[s])
        if constant:
            d[...] = dy
        else:
            slope = inv[s] * dgamma[s] / count
            d *= _col(-slope, x)
            d += dy
            d += _col(slope * (m[s] - near) - dbeta[s] / count, x)
        d *= _col(weight[s] * inv[s], x)
        return np.all(np.isfinite(dgamma[s]))

    _blocks(kernel, *(_view(a, mean.shape) for a in (dx, x, dy)))
    return dx, _like(gamma, dgamma), _like(beta, dbeta)


def batch_norm_inference(
    x: Array, mean: Array, var: Array, gamma: Param = None, beta: Param = None, eps: float = 1e-5
) -> Array:
    """y = gamma (x - mean) / sqrt(var + eps) + beta with given statistics (C,), such as running averages.

    >>> batch_norm_inference(np.array([[3.0]]), mean=np.array([1.0]), var=np.array([4.0])).round(3)
    array([[1.]])
    """
    check.inputs(x, gamma, beta, eps)
    check.statistics(x, mean, var)
    return _forward(x, gamma, beta, eps, mean.shape, mean.astype(np.float64), var.astype(np.float64))[0]


def instance_norm(x: Array, gamma: Param = None, beta: Param = None, eps: float = 1e-5) -> tuple[Array, Cache]:
    """As `batch_norm`, every channel of every sample with its statistics over space: one batch of N*C channels.

    x: at least 3 dimensions, more than one position.  Source: Ulyanov, Vedaldi & Lempitsky, arXiv:1607.08022.

    >>> instance_norm(np.array([[[1.0, 3.0], [5.0, 5.0]]]))[0].round(3).tolist()
    [[[-1.0, 1.0], [0.0, 0.0]]]
    """
    check.inputs(x, gamma, beta, eps, least=3)
    check.several(x, range(2, x.ndim), "an instance", "normalize larger maps, or use batch norm")
    return _forward(x, gamma, beta, eps, x.shape[:2])


def instance_norm_backward(dy: Array, cache: Cache) -> tuple[Array, Param, Param]:
    """As `batch_norm_backward`, averages over an instance; dgamma and dbeta are summed over the samples."""
    return batch_norm_backward(dy, cache)


def moments(x: Array, axes: int | tuple[int, ...]) -> tuple[Array, Array]:
    """Mean and biased variance of x over the axes, which are kept with length 1; in x's dtype.

    >>> moments(np.array([[1.0, 2.0], [3.0, 6.0]]), axes=0)
    (array([[2., 4.]]), array([[1., 4.]]))
    """
    check.floating("x", x)
    over = np.lib.array_utils.normalize_axis_tuple(axes, x.ndim)
    shape = [1 if i in over else n for i, n in enumerate(x.shape)]
    rows = np.moveaxis(x, over, range(-len(over), 0)).reshape(1, prod(shape), x.size // max(1, prod(shape)))
    cache = _forward(rows, None, None, 1, rows.shape[1:2])[1]
    with np.errstate(over="ignore"):
        return cache.mean.reshape(shape).astype(x.dtype), cache.var.reshape(shape).astype(x.dtype)
