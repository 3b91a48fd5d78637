"""How a formula per channel becomes fast and exact.  Nothing here knows about norms.

A formula sees one `Block` of channels at a time, small enough to stay in the processor's cache while several NumPy
calls pass over it, and every intermediate lives in the memory of the result.  Numbers per channel are float64; the
values keep x's dtype (float16 is computed in float32).  A block for which that is too narrow is done in float64.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ._checks import Array

BLOCK = 2 << 20  # bytes of the result in a block
LEAST = np.finfo(np.float32).tiny
FAR = 1e30  # float32 may lack room for differences of numbers beyond it, and digits for squares below 1/FAR
Numbers = tuple[Array, ...]


class TooNarrow(ArithmeticError):
    """A sum, a variance or a factor of this block is not finite, or not exact, in the block's dtype."""


class Block:
    """Some channels of an array, seen as (n, c, l).  *=, += and -= change its values in place.

    They take numbers per channel, (c,), or parameters that differ within a channel: (c, k) or, shared by all channels,
    (1, k); each entry meets l/k neighbors.  A block stands for its values minus `rest`, numbers per channel that are
    too small for the values' dtype; the next addition takes them in.
    """

    def __init__(self, values: Array) -> None:
        self.values, self.dtype = values, values.dtype
        self.count = values.shape[0] * values.shape[2]
        self.rest: Array | None = None
        self.known_sum: Array | None = None

    def sum(self, times: Block | None = None) -> Array:
        """Sum of each channel, or of its product with another block."""
        if times is None:
            self.known_sum = total(self.values) if self.known_sum is None else self.known_sum
            return self.known_sum
        sums = total(self.values, times.values)
        if times.rest is not None:
            sums -= times.rest * self.sum()
        self.demand(np.isfinite(sums))
        return sums

    def mean(self, times: Block | None = None) -> Array:
        return np.asarray(self.sum(times) / self.count)

    def sum_like(self, parameter: Array, times: Block | None = None) -> Array:
        """Sum over the values that meet each entry of a parameter, or of their product with another block."""
        mine = self.by_entry(parameter)
        if times is None:
            return mine.sum().reshape(parameter.shape)
        if times.rest is not None and len(parameter) == 1:
            times += np.zeros_like(times.rest)
        sums = mine.sum(times.by_entry(parameter)).reshape(parameter.shape)
        if times.rest is not None:
            sums -= times.rest[:, None] * mine.sum().reshape(sums.shape)
        return sums

    def by_entry(self, parameter: Array) -> Block:
        """The same memory, if that is in C order, seen with one channel for each entry of a parameter."""
        if len(parameter) == self.values.shape[1]:
            return Block(self.values.reshape(1, parameter.size, -1))
        return Block(self.values[0].T[None])

    def minus(self, v: Array, out: Block) -> Block:
        """self - v, written into `out`; what v loses in the values' dtype is the rest."""
        self.demand(np.asarray(abs(v) < FAR))
        np.subtract(self.values, self.column(v), out=out.values)
        out.rest = None if v.dtype == self.dtype else v - v.astype(self.dtype)
        return out

    def minus_mean(self, out: Block) -> tuple[Block, Array, Array]:
        """self - mean, written into `out`; the mean; the variance, never E[x²] - E[x]², which cancels far from zero."""
        rough = (np.einsum("ncl->c", self.values) / self.count).astype(self.dtype)
        d = self.minus(rough, out)  # exact for values near the mean
        d.rest = total(d.values) / self.count  # what the rough mean lacks
        var = np.maximum(total(d.values, d.values) / self.count - d.rest**2, 0)
        self.demand((d.rest**2 <= var) & (var < np.inf))
        return d, np.where(np.isinf(rough), rough, rough + d.rest), var

    def times(self, v: Array, out: Block | None = None) -> Block:
        """self * v, written into `out`, or else into new memory."""
        out = Block(np.empty(self.values.shape, self.dtype)) if out is None else out  # in C order: see `by_entry`
        if v.ndim == 2:
            self.by_entry(v).times(v.ravel(), out.by_entry(v))
        else:
            factors = v.astype(self.dtype, copy=False)
            if factors is not v:  # neither too large nor too small for the block's dtype
                self.demand((np.isfinite(factors) == np.isfinite(v)) & (~(abs(factors) < LEAST) | (v == 0)))
            np.multiply(self.values, self.column(factors), out=out.values)
        return out

    def __imul__(self, v: Array) -> Block:
        if v.ndim == 2 and self.rest is not None:
            self += np.zeros_like(self.rest)
        self.times(v, out=self)
        self.rest, self.known_sum = None if self.rest is None else self.rest * v, None
        return self

    def __iadd__(self, v: Array | Block) -> Block:
        self.known_sum = None
        if isinstance(v, Block):
            self.values += v.values
        elif v.ndim == 2:
            self.by_entry(v).__iadd__(v.ravel())
        else:
            self.values += self.column(v if self.rest is None else v - self.rest)
            self.rest = None
        return self

    def __isub__(self, v: Array) -> Block:
        return self.__iadd__(-v)

    def column(self, v: Array) -> Array:
        """v as a column; spelt out over short rows: then NumPy's loops run over whole samples."""
        n, _, length = self.values.shape
        column = v.astype(self.dtype, copy=False)[:, None]
        return column if n == 1 or length >= 512 else np.repeat(column, length, 1)

    def demand(self, good: Array) -> None:
        """Stop here, unless everything is good or the dtype is the widest."""
        if self.dtype != np.float64 and not good.all():
            raise TooNarrow


def blockwise(formula: Callable[..., Numbers]) -> Callable[..., list[Array]]:
    """Let a formula for one block run over all of them: formula(out, *arrays, *parameters, *options).

    Arrays, (n, c, l) like the result, become blocks; numbers per channel and parameters (c, k) are cut alike.  What the
    formula returns is put side by side, or added up for a parameter that all channels share (four or more at a time).
    """

    @functools.wraps(formula)
    def run(out: Array, *inputs: Any) -> list[Array]:
        channels, found = out.shape[1], dict[int, list[Array]]()
        tiny = any(np.ndim(a) == 0 and a < 1 / FAR for a in inputs)  # an eps lost among squares in float32
        dtype = np.promote_types(out.dtype, np.float64 if tiny else np.float32)
        shared = any(getattr(a, "ndim", 0) == 2 and len(a) != channels for a in inputs)
        step = max(1024 if out.strides[1] == out.itemsize else 4 if shared else 1, BLOCK // max(1, out[:, :1].nbytes))
        with np.errstate(all="ignore"):  # restores the buffer size, too
            np.setbufsize(1024)  # with NumPy's 8192, vectors are copied to meet shorter rows: half the speed
            for start in range(0, channels if out.size else 0, step):
                s = slice(start, start + step)
                for i, new in enumerate(run_in(dtype, formula, out[:, s], [cut(a, s, channels) for a in inputs])):
                    if start > 0 and shared and new.ndim == 2:
                        found[i][0] += new
                    else:
                        found.setdefault(i, []).append(new)
        return [np.concatenate(parts) for parts in found.values()]

    return run


def cut(a: Any, s: slice, channels: int) -> Any:
    """An argument's part for some channels: of an array or its numbers, but not of a shared parameter or an option."""
    return a[:, s] if np.ndim(a) == 3 else a[s] if np.ndim(a) and len(a) == channels else a


def run_in(dtype: DTypeLike, formula: Callable[..., Numbers], out: Array, inputs: list[Any]) -> Numbers:
    """The formula for one block of arrays, cast to the dtype; where that is too narrow, again in float64."""
    result = Block(out if out.dtype == dtype else np.empty_like(out, dtype))
    cast = [Block(a.astype(dtype, copy=False)) if getattr(a, "ndim", 0) == 3 else a for a in inputs]
    try:
        numbers = formula(result, *cast)
    except TooNarrow:
        return run_in(np.float64, formula, out, inputs)
    if out.dtype != dtype:
        out[...] = result.values
    return numbers


def total(*factors: Array) -> Array:
    """Sum per channel of an array or a product; float64 beyond short stretches, so rounding does not grow with size."""
    n, channels, length = factors[0].shape
    rows = all(a.strides[2] == a.itemsize for a in factors)
    stretch = min(length, 256 if rows else 32)  # a contiguous row is summed in several lanes at once
    if left_over := length % stretch:
        return total(*(a[..., :-left_over] for a in factors)) + total(*(a[..., -left_over:] for a in factors))
    parts = [a.reshape(n, channels, -1, stretch) for a in factors]
    blas = rows and len(parts) == 2 and stretch >= 128  # worth its call for long rows only
    sums = np.vecdot(*parts) if blas else np.einsum(",".join(["ncki"] * len(parts)) + "->nck", *parts)
    return sums.reshape(channels).astype(np.float64) if sums.size == channels else sums.sum((0, 2), dtype=np.float64)
