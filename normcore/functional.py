"""Batch, instance, layer and group normalization: one formula, different averaged axes; each backward under its forward.

All of them look at x as (N, C, L) and take the statistics of every "channel" over N and L.  Channels are handled in
blocks that stay in the processor's cache while several NumPy calls pass over them; the result's own memory holds every
intermediate.  Per-channel numbers are float64, the large arrays keep x's precision (float16 is computed in float32).
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from . import _checks as check
from ._checks import Array

BLOCK = 2 << 20  # bytes of x in a block: it and its result fit in a second-level cache


class Cache(NamedTuple):
    """What the forward pass keeps for the backward pass: x itself (no copy: leave it unchanged) and its statistics."""

    x: Array
    mean: Array  # float64, as var: (C,) for batch norm, (N, C) for instance norm, (N, groups) for group norm
    var: Array  # biased
    gamma: Array | None
    beta: Array | None
    eps: float


def _view(x: Array) -> Array:
    """(N, C, ...) as (N, C, L).  For (N, C) the samples play the part of space: a transposed view, no copy."""
    return x.T[None] if x.ndim == 2 else x.reshape(*x.shape[:2], prod(x.shape[2:]))


def _columns(a: Array) -> bool:
    """Are the channels of one position neighbours in memory, as in (N, C)?"""
    return a.strides[1] == a.itemsize < a.strides[2]


def _blocks(kernel: Callable[..., bool], out: Array, *inputs: Array) -> None:
    """Call kernel(channels, out, *inputs) for one block of channels after the other."""
    n, channels, length = out.shape
    step = max(1024 if _columns(out) else 1, BLOCK // max(1, n * length * out.itemsize))
    with np.errstate(all="ignore"):  # NaN and infinity travel as in torch; also restores the buffer size on exit
        np.setbufsize(1024)  # with NumPy's 8192 a broadcast over rows shorter than that is copied first: half speed
        for first in range(0, channels, step):
            s = slice(first, first + step)
            for dtype in (np.promote_types(out.dtype, np.float32), np.dtype(np.float64)):
                y, *rest = (a[:, s].astype(dtype, copy=False) for a in (out, *inputs))
                good = kernel(s, y, *rest)
                if y.dtype != out.dtype:
                    out[:, s] = y
                if good or y.dtype == np.float64:  # else float32 was too narrow for this block: once more in float64
                    break


def _sum(a: Array, b: Array | None = None) -> Array:
    """Sum of a, or of a * b, per channel: short stretches in a's precision, their sums in float64.

    So rounding does not grow with the size, and no product is held in memory.
    """
    rows = a.strides[2] == a.itemsize and (b is None or b.strides[2] == a.itemsize)
    step = 32768 if rows else 1024  # contiguous rows are summed in many lanes at once
    total = np.zeros(a.shape[1])
    for first in range(0, a.shape[2], step):
        u = a[..., first : first + step]
        if b is not None:
            v = b[..., first : first + step]
            part = np.vecdot(u, v) if rows and u.shape[2] >= 128 else np.einsum("ncl,ncl->nc", u, v)
        else:  # BLAS adds up columns fastest when asked for a product with ones
            part = u @ np.ones(u.shape[2], u.dtype) if _columns(u) else np.einsum("ncl->nc", u)
        total += part.sum(0, dtype=np.float64)
    return total


def _col(v: Array, a: Array) -> Array:
    """v per channel, ready to meet a.  Short rows: spelt out over space, so that NumPy's loops run over whole samples."""
    v = v.astype(a.dtype)[:, None]
    return v if a.shape[0] == 1 or a.shape[2] >= 512 else np.repeat(v, a.shape[2], 1)


def _center(mean: Array, x: Array, out: Array) -> tuple[Array, Array]:
    """out = x - mean rounded to x's precision (exact near the mean), and the rest of the mean, for the caller to add."""
    near = mean.astype(np.float32 if x.dtype != np.float64 else x.dtype)
    return np.subtract(x, _col(near, x), out=out), mean - near


def _forward(x: Array, y: Array, gamma: Array, beta: Array, eps: float) -> tuple[Array, Array]:
    """y = gamma (x - mean) / sqrt(var + eps) + beta.  Returns mean and biased variance, all per channel of (N, C, L)."""
    count = x.shape[0] * x.shape[2]
    mean, var = np.empty((2, x.shape[1]))
    narrow = np.float64 if y.dtype == np.float64 else np.float32

    def kernel(s: slice, y: Array, x: Array) -> bool:
        near = (_sum(x) / count).astype(narrow)
        d = np.subtract(x, _col(near, x), out=y)
        rest = _sum(d) / count  # corrected two-pass variance: what rounding left in the mean
        mean[s] = near + rest
        var[s] = np.maximum(_sum(d, d) / count - rest**2, 0)
        scale = gamma[s] / np.sqrt(var[s] + eps)
        d *= _col(scale, x)
        d += _col(beta[s] - scale * rest, x)
        return bool(np.all((rest**2 <= var[s]) & (var[s] < np.inf)))

    _blocks(kernel, y, x)
    return mean, var


def _backward(x: Array, dx: Array, dy: Array, mean: Array, var: Array, gamma: Array, eps: float) -> tuple[Array, Array]:
    """dx = gamma/std (dy - <dy> - xhat <dy xhat>).  Returns dgamma = sum dy xhat, dbeta = sum dy."""
    count = x.shape[0] * x.shape[2]
    inv = 1 / np.sqrt(var + eps)
    dgamma, dbeta = np.empty((2, x.shape[1]))

    def kernel(s: slice, dx: Array, x: Array, dy: Array) -> bool:
        d, rest = _center(mean[s], x, dx)
        dbeta[s] = _sum(dy)
        dgamma[s] = inv[s] * (_sum(dy, d) - rest * dbeta[s])
        k = inv[s] * dgamma[s] / count
        d *= _col(-k, x)
        d += dy
        d += _col(k * rest - dbeta[s] / count, x)
        d *= _col(gamma[s] * inv[s], x)
        return bool(np.isfinite(dgamma[s]).all())

    _blocks(kernel, dx, x, dy)
    return dgamma, dbeta


def moments(x: Array, axes: int | tuple[int, ...]) -> tuple[Array, Array]:
    """Mean and biased variance of x over the axes, which are kept with length 1; in x's dtype.

    mean = sum(x) / m, var = sum((x - mean)**2) / m, never E[x**2] - E[x]**2.  Errors: TypeError for a dtype other than
    float16/32/64, numpy.exceptions.AxisError for an axis that x does not have.

    >>> moments(np.array([[1.0, 2.0], [3.0, 6.0]]), axes=0)
    (array([[2., 4.]]), array([[1., 4.]]))
    """
    check.floating("x", x)
    over = normalize_axis_tuple(axes, x.ndim)
    kept = [i for i in range(x.ndim) if i not in over]
    rows = x.transpose(*kept, *over).reshape(1, prod(x.shape[i] for i in kept), prod(x.shape[i] for i in over))
    ones = np.ones(rows.shape[1])
    mean, var = _forward(rows, np.empty(rows.shape, x.dtype), ones, ones, 1.0)
    shape = tuple(1 if i in over else n for i, n in enumerate(x.shape))
    return mean.reshape(shape).astype(x.dtype), var.reshape(shape).astype(x.dtype)


def _or(v: Array | None, default: float, size: int) -> Array:
    """A parameter as float64, or the constant that stands for a missing one."""
    return np.full(size, default) if v is None else v.astype(np.float64)


def batch_norm(
    x: Array, gamma: Array | None = None, beta: Array | None = None, eps: float = 1e-5
) -> tuple[Array, Cache]:
    """y = gamma (x - mean) / sqrt(var + eps) + beta, with the statistics of this batch (training).

    x is (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W) of float16/32/64, y too; gamma and beta are (C,) or None.
    Every channel has one mean and one biased variance, over N and space.  Ioffe & Szegedy, ICML 2015.
    """
    check.batch("x", x)
    c = x.shape[1]
    check.vector("gamma", gamma, (c,))
    check.vector("beta", beta, (c,))
    check.positive("eps", eps)
    check.several(x, x.size // max(c, 1), "a channel in its batch", "use a larger batch, or running statistics")
    y = np.empty(x.shape, x.dtype.type)
    mean, var = _forward(_view(x), _view(y), _or(gamma, 1, c), _or(beta, 0, c), eps)
    return y, Cache(x, mean, var, gamma, beta, eps)


def batch_norm_backward(dy: Array, cache: Cache) -> tuple[Array, Array | None, Array | None]:
    """dx = gamma/std (dy - <dy> - xhat <dy xhat>), dgamma = sum dy xhat, dbeta = sum dy; <> averages over a channel."""
    x, mean, var, gamma, beta, eps = cache
    check.gradient(dy, x)
    dx = np.empty(x.shape, x.dtype.type)
    dgamma, dbeta = _backward(_view(x), _view(dx), _view(dy), mean, var, _or(gamma, 1, x.shape[1]), eps)
    return dx, _like(gamma, dgamma), _like(beta, dbeta)


def _like(v: Array | None, dv: Array) -> Array | None:
    """A parameter's gradient in its dtype; a parameter that is not there has none."""
    return None if v is None else dv.astype(v.dtype)


def batch_norm_inference(
    x: Array, mean: Array, var: Array, gamma: Array | None = None, beta: Array | None = None, eps: float = 1e-5
) -> Array:
    """y = gamma (x - mean) / sqrt(var + eps) + beta, with given statistics, such as running averages; all (C,)."""
    check.batch("x", x)
    c = x.shape[1]
    for name, v in {"mean": mean, "var": var, "gamma": gamma, "beta": beta}.items():
        check.vector(name, v, (c,))
    check.variance("var", var)
    check.positive("eps", eps)
    y = np.empty(x.shape, x.dtype.type)
    mean, scale, shift = _or(mean, 0, c), _or(gamma, 1, c) / np.sqrt(_or(var, 1, c) + eps), _or(beta, 0, c)

    def kernel(s: slice, y: Array, x: Array) -> bool:
        d, rest = _center(mean[s], x, y)  # one pass more than scale * x + shift, which loses every digit at an offset
        d *= _col(scale[s], x)
        d += _col(shift[s] - scale[s] * rest, x)
        return True

    _blocks(kernel, _view(y), _view(x))
    return y


def batch_norm_inference_backward(
    dy: Array, x: Array, mean: Array, var: Array, gamma: Array | None = None, beta: Array | None = None,
    eps: float = 1e-5,
) -> tuple[Array, Array | None, Array | None]:
    """dx = gamma/std dy: here the statistics are constants; dgamma = sum dy xhat, dbeta = sum dy."""
    check.gradient(dy, x)
    dx = np.empty(x.shape, x.dtype.type)
    c = x.shape[1]
    inv = 1 / np.sqrt(_or(var, 1, c) + eps)
    scale = _or(gamma, 1, c) * inv
    dgamma, dbeta = np.empty((2, c))

    def kernel(s: slice, dx: Array, x: Array, dy: Array) -> bool:
        d, rest = _center(_or(mean, 0, c)[s], x, dx)
        dbeta[s] = _sum(dy)
        dgamma[s] = inv[s] * (_sum(dy, d) - rest * dbeta[s])
        np.multiply(dy, _col(scale[s], dy), out=dx)
        return bool(np.isfinite(dgamma[s]).all())

    _blocks(kernel, _view(dx), _view(x), _view(dy))
    return dx, _like(gamma, dgamma), _like(beta, dbeta)


def instance_norm(
    x: Array, gamma: Array | None = None, beta: Array | None = None, eps: float = 1e-5
) -> tuple[Array, Cache]:
    """y = gamma (x - mean) / sqrt(var + eps) + beta, every sample and channel with its own statistics over space.

    As batch norm of one batch with N*C channels.  Ulyanov, Vedaldi & Lempitsky, arXiv:1607.08022 (2016).
    """
    check.batch("x", x, least=3)
    n, c = x.shape[:2]
    check.vector("gamma", gamma, (c,))
    check.vector("beta", beta, (c,))
    check.positive("eps", eps)
    check.several(x, prod(x.shape[2:]), "an instance", "instance norm needs more than one position")
    y = np.empty(x.shape, x.dtype.type)
    mean, var = _forward(_rows(x), _rows(y), np.tile(_or(gamma, 1, c), n), np.tile(_or(beta, 0, c), n), eps)
    return y, Cache(x, mean.reshape(n, c), var.reshape(n, c), gamma, beta, eps)


def instance_norm_backward(dy: Array, cache: Cache) -> tuple[Array, Array | None, Array | None]:
    """dx as for batch norm, per instance; gamma and beta are shared by the samples, so their gradients are summed."""
    x, mean, var, gamma, beta, eps = cache
    check.gradient(dy, x)
    n, c = x.shape[:2]
    dx = np.empty(x.shape, x.dtype.type)
    scale = np.tile(_or(gamma, 1, c), n)
    dgamma, dbeta = _backward(_rows(x), _rows(dx), _rows(dy), mean.ravel(), var.ravel(), scale, eps)
    return dx, _like(gamma, dgamma.reshape(n, c).sum(0)), _like(beta, dbeta.reshape(n, c).sum(0))


def _rows(x: Array) -> Array:
    """(N, C, ...) as (1, N*C, L): every instance is a channel of its own."""
    return x.reshape(1, x.shape[0] * x.shape[1], prod(x.shape[2:]))
