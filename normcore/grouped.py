"""Layer norm and group norm: the same core; only the averaged axes differ.

Both normalize a reshaped view without gamma and beta, where every group is a "channel" of one batch, and then
apply gamma and beta, which differ within the group.  Their `Cache` holds mean and var of shape (N, groups).
"""

from __future__ import annotations

from math import prod

import numpy as np

from . import _checks as check
from ._checks import Array, Param
from .functional import Cache, _forward, batch_norm_backward, batch_norm_inference


def layer_norm(
    x: Array, gamma: Param = None, beta: Param = None, eps: float = 1e-5
) -> tuple[Array, Cache]:
    """y = gamma (x - mean) / sqrt(var + eps) + beta, every sample with one mean and variance over all its entries.

    x is (N, C, ...) as for `batch_norm`; gamma and beta have the shape of a sample, x.shape[1:].  Errors as
    there; ValueError for samples of one entry.  Source: Ba, Kiros & Hinton, arXiv:1607.06450 (2016).

    >>> layer_norm(np.array([[1.0, 3.0], [10.0, 30.0]]))[0].round(3)
    array([[-1.,  1.],
           [-1.,  1.]])
    """
    check.batch("x", x)
    check.vector("gamma", gamma, x.shape[1:])
    check.vector("beta", beta, x.shape[1:])
    return _grouped(x, 1, gamma, beta, eps, x.shape[1:])


def layer_norm_backward(dy: Array, cache: Cache) -> tuple[Array, Param, Param]:
    """dx per sample as in `batch_norm_backward`; dgamma = sum dy xhat and dbeta = sum dy over the samples.

    >>> y, cache = layer_norm(np.array([[1.0, 2.0, 3.0]]))
    >>> layer_norm_backward(y**2, cache)[0].round(2).tolist()
    [[0.61, -1.22, 0.61]]
    """
    return _grouped_backward(dy, cache, cache.x.shape[1:])


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
    c = x.shape[1]
    check.divisor("num_groups", num_groups, c)
    check.vector("gamma", gamma, (c,))
    check.vector("beta", beta, (c,))
    return _grouped(x, num_groups, gamma, beta, eps, (c, *[1] * (x.ndim - 2)))


def group_norm_backward(dy: Array, cache: Cache) -> tuple[Array, Param, Param]:
    """dx per group as in `batch_norm_backward`; dgamma = sum dy xhat and dbeta = sum dy over samples and space.

    >>> y, cache = group_norm(np.array([[1.0, 2.0, 3.0]]), num_groups=1, beta=np.zeros(3))
    >>> dx, dgamma, dbeta = group_norm_backward(y**2, cache)
    >>> dx.round(2).tolist(), dbeta.round(1).tolist()
    ([[0.61, -1.22, 0.61]], [1.5, 0.0, 1.5])
    """
    return _grouped_backward(dy, cache, (cache.x.shape[1], *[1] * (cache.x.ndim - 2)))


def _grouped(
    x: Array, groups: int, gamma: Param, beta: Param, eps: float, affine: tuple[int, ...]
) -> tuple[Array, Cache]:
    check.positive("eps", eps)
    rows = x.reshape(1, x.shape[0] * groups, prod(x.shape[1:]) // groups)
    averaged = "a sample" if groups == 1 else "a group"
    check.several(rows, [2], averaged, "use larger inputs, or batch norm")
    y, cache = _forward(rows, None, None, eps, rows.shape[1:2])
    y, shape = y.reshape(x.shape), (x.shape[0], groups)
    with np.errstate(all="ignore"):
        if gamma is not None:
            y *= gamma.reshape(affine).astype(y.dtype)
        if beta is not None:
            y += beta.reshape(affine).astype(y.dtype)
    mean, var = cache.mean.reshape(shape), cache.var.reshape(shape)
    return y, Cache(x, mean, var, gamma, beta, eps)


@np.errstate(all="ignore")
def _grouped_backward(dy: Array, cache: Cache, affine: tuple[int, ...]) -> tuple[Array, Param, Param]:
    x, mean, var, gamma, beta, eps, _ = cache
    check.gradient(dy, x)
    shared = tuple(i for i in range(x.ndim) if i == 0 or affine[i - 1] != x.shape[i])
    rows, mean, var = x.reshape(1, mean.size, prod(x.shape[1:]) // mean.shape[1]), mean.ravel(), var.ravel()
    dxhat = dy if gamma is None else dy * gamma.reshape(affine).astype(dy.dtype)
    dx = batch_norm_backward(dxhat.reshape(rows.shape), Cache(rows, mean, var, None, None, eps))[0]
    dgamma = dbeta = None
    if gamma is not None:
        xhat = batch_norm_inference(rows, mean, var, eps=eps).reshape(x.shape)
        dgamma = (dy * xhat).sum(shared, np.float64).reshape(gamma.shape).astype(gamma.dtype)
    if beta is not None:
        dbeta = dy.sum(shared, np.float64).reshape(beta.shape).astype(beta.dtype)
    return dx.reshape(x.shape), dgamma, dbeta
