"""Averages that run along with training, statistics of a whole data set, and how far a batch's statistics stray.

Everything is per channel of (N, C, ...) where an array of samples is asked for, and elementwise otherwise; results are
float64, without a warning where they are infinite or NaN.  `momentum` weighs the *new* value, as in torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks as check
from ._checks import Array

Floats = NDArray[np.float64]
_quiet = np.errstate(all="ignore")  # also where a caller asked NumPy to raise: a tiny share may well vanish


@_quiet
def average_step(average: ArrayLike, value: ArrayLike, weight: float) -> Floats:
    """(1 - weight) average + weight value: one step of every running average.

    weight is the momentum of an exponential average, or 1/t at step t of a cumulative one; it lies in [0, 1].

    >>> float(average_step(0.0, 5.0, 0.1))
    0.5
    """
    weight = check.fraction("weight", weight)
    return (1 - weight) * np.asarray(average, np.float64) + weight * np.asarray(value, np.float64)


def exponential_average(values: ArrayLike, momentum: float = 0.1, start: ArrayLike = 0.0) -> Floats:
    """The average after each of the steps: values (T, ...) give averages (T, ...).

    a_t = (1 - momentum) a_{t-1} + momentum v_t with a_0 = start.  The start keeps the weight (1 - momentum)**t.

    >>> exponential_average([1.0, 1.0, 1.0], momentum=0.5)
    array([0.5  , 0.75 , 0.875])
    """
    return _run(values, start, lambda step: momentum)


def cumulative_average(values: ArrayLike) -> Floats:
    """The plain mean of the first t values, after each step t: what torch computes with momentum=None.

    >>> cumulative_average([2.0, 4.0, 9.0])
    array([2., 3., 5.])
    """
    return _run(values, 0.0, lambda step: 1 / step)


def _run(values: ArrayLike, start: ArrayLike, weight: Any) -> Floats:
    array = np.asarray(values, np.float64)
    if array.ndim == 0:
        raise ValueError("values has shape (), wanted (steps, ...): one value for each step")
    averages = np.empty_like(array)
    average: ArrayLike = start
    for i, value in enumerate(array):
        averages[i] = average = average_step(average, value, weight(i + 1))
    return averages


@_quiet
def exponential_weights(momentum: float, steps: int) -> Floats:
    """The weight of each of the last `steps` values in an exponential average, newest first: m (1 - m)**k.

    What is missing from 1, (1 - m)**steps, is still the start's.

    >>> exponential_weights(0.5, 3)
    array([0.5  , 0.25 , 0.125])
    """
    momentum = check.fraction("momentum", momentum)
    return np.asarray(momentum * (1 - momentum) ** np.arange(steps))


@_quiet
def unbiased(var: ArrayLike, count: int) -> Floats:
    """count / (count - 1) var: from the variance that normalizes a batch to the one that estimates the population's.

    >>> float(unbiased(3.0, 4))
    4.0
    """
    if count < 2:
        raise ValueError(f"count is {count}, wanted at least 2: one value says nothing about the spread")
    return np.asarray(var, np.float64) * (count / (count - 1))


class _Around(NamedTuple):
    """x = 2**unit (first + 2**size d), exactly: d is 0 wherever x equals `first`, and at most 1 in size.

    Powers of d neither overflow nor vanish, whatever the size of x, and equal values leave no rounding behind.
    """

    d: Floats
    first: Floats
    size: Any
    unit: Any

    def mean(self, d: Floats) -> Floats:
        """d, a mean of deviations, as a mean of x."""
        return np.asarray(np.ldexp(self.first + np.ldexp(d, self.size), self.unit))


def _around(x: Array, axes: tuple[int, ...], at: tuple[int, ...]) -> _Around:
    """x by its distance from its first values along the axes `at`, in units that are shared over `axes`."""
    first: Floats = x[tuple(slice(0, 1) if i in at else slice(None) for i in range(x.ndim))].astype(np.float64)
    first = np.where(np.isfinite(first), first, 0)

    def exponent(v: Array) -> Any:
        top = np.abs(v).max(axes, keepdims=True, initial=0)
        return np.where(np.isfinite(top), np.frexp(top)[1], 0)

    unit = exponent(x)  # then x is at most 1 in size, and no difference overflows
    first = np.ldexp(first, -unit)
    d = np.ldexp(x.astype(np.float64), -unit) - first
    size = exponent(d)
    return _Around(np.ldexp(d, -size), first, size, unit)


class Population(NamedTuple):
    """Statistics of a whole data set, per channel: mean and biased variance over `size` values."""

    mean: Floats
    var: Floats
    size: int


@_quiet
def population_statistics(batches: Iterable[Array]) -> Population:
    """Mean and biased variance of every channel over all batches (N, C, ...), as if they were one.

    Exact, whatever the sizes of the batches: the variance within batches plus the variance between their means (Chan,
    Golub & LeVeque, 1979).  The average of the batches' own variances lacks the second part.  TypeError for an array
    in place of the batches, ValueError for batches without a value or with different channels.

    >>> population_statistics([np.zeros((2, 1)), np.full((2, 1), 4.0)])
    Population(mean=array([2.]), var=array([4.]), size=4)
    """
    if isinstance(batches, np.ndarray):
        raise TypeError(
            f"batches is an array of shape {batches.shape}, wanted an iterable of batches (N, C, ...): "
            "pass [x] if it is one batch, list(x) if its first axis counts batches"
        )
    mean: Floats = np.zeros(1)
    var: Floats = np.zeros(1)
    count = 0
    for x in batches:
        check.batch("batch", x)
        if count and x.shape[1] != len(mean):
            raise ValueError(f"batch has shape {x.shape}, wanted {len(mean)} channels, as in the batches before")
        axes = (0, *range(2, x.ndim))
        m = x.size // x.shape[1]
        if m == 0:
            continue
        around = _around(x, axes, axes)
        middle = around.d.mean(axes, keepdims=True)
        here = around.mean(middle).ravel()
        spread = np.ldexp(np.square(around.d - middle).mean(axes), 2 * (around.size + around.unit).ravel())
        share, step = m / (count + m), here - mean
        var = (1 - share) * var + share * spread + (np.sqrt(share * (1 - share)) * step) ** 2
        mean, count = np.where(step == 0, here, (1 - share) * mean + share * here), count + m
    if count == 0:
        raise ValueError("there are no values in batches, wanted at least one batch with one sample")
    return Population(mean, var, count)


@_quiet
def standard_error_of_mean(std: ArrayLike, count: ArrayLike) -> Floats:
    """std / sqrt(count): how far the mean of `count` independent values strays from the true one (its own std).

    For correlated values, pass their `effective_sample_size` as count.  ValueError for a count that is not above 0.

    >>> float(standard_error_of_mean(3.0, 9))
    1.0
    """
    n = np.asarray(count, np.float64)
    if (n <= 0).any():
        raise ValueError(f"count is {n}, wanted a number above 0: without values there is no mean")
    return np.asarray(std, np.float64) / np.sqrt(n)


@_quiet
def standard_error_of_variance(var: ArrayLike, count: ArrayLike, excess_kurtosis: ArrayLike = 0.0) -> Floats:
    """How far the biased variance of `count` independent values strays from its own mean, as a standard deviation.

    var (count - 1)/count sqrt(2/(count - 1) + excess_kurtosis/count); the excess kurtosis is 0 for the normal
    distribution, and one rare bright pixel makes it large.  The law is exact for any distribution with four moments.
    ValueError for a count below 2.

    >>> round(float(standard_error_of_variance(1.0, 2)), 4)
    0.7071
    """
    n = np.asarray(count, np.float64)
    if (n < 2).any():
        raise ValueError(f"count is {n}, wanted at least 2: one value has no variance")
    inside = 2 / (n - 1) + np.asarray(excess_kurtosis, np.float64) / n
    return np.asarray(np.asarray(var, np.float64) * (n - 1) / n * np.sqrt(inside))


@_quiet
def excess_kurtosis(x: Array) -> Floats:
    """E[(x - mean)**4] / var**2 - 3 per channel of (N, C, ...): 0 for normal values, NaN for constant ones.

    >>> excess_kurtosis(np.array([[-1.0], [1.0]]))
    array([-2.])
    """
    check.batch("x", x)
    axes = (0, *range(2, x.ndim))
    d = _around(x, axes, axes).d
    square = np.square(d - d.mean(axes, keepdims=True))
    return np.asarray(np.square(square).mean(axes) / np.square(square.mean(axes)) - 3)



@_quiet
def effective_sample_size(x: Array) -> Floats:
    """How many independent values the N*L values of every channel of (N, C, ...) are worth, for the mean.

    N s² / var(sample means), with s² the variance from sample to sample at one position, averaged over the positions:
    samples are taken to be independent, positions within one sample are not.  What is the same in all samples, a mean
    that every position has of its own, plays no part.  Equals N*L for independent positions, N for positions that all
    agree.  With the mean correlation r of two positions of a sample, at equal variances, it is N*L / (1 + (L - 1) r)
    (Kish, Survey Sampling, 1965).  An estimate: with few samples it is rough, infinite where all sample means agree,
    and NaN for constant values.

    Images of 25 independent rows, each of 8 equal pixels, are worth 25 values each, not 200:

    >>> images = np.random.default_rng(0).normal(size=(4000, 1, 25, 1)) * np.ones(8)
    >>> (effective_sample_size(images) / 4000).round()
    array([25.])
    """
    check.batch("x", x)
    n, c = x.shape[:2]
    if n < 2 or not x.size:
        raise ValueError(f"x has shape {x.shape}, wanted at least 2 samples: the spread between samples is measured")
    x = x.reshape(n, c, -1)
    d = _around(x, (0, 2), (0,)).d  # at each position from its first sample: what all samples share is gone
    d = d - d.mean(0)
    means = d.mean(2)
    between = means.var(0, ddof=1)
    # means that differ by less than the rounding of their sums agree
    between = np.where(np.abs(means).max(0) <= 8 * np.finfo(np.float64).eps * np.abs(d).max((0, 2)), 0, between)
    return np.asarray(n * d.var(0, ddof=1).mean(1) / between)
