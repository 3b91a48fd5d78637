"""Norm layers: parameters, running statistics, train and eval, weights to and from torch.

Batch and instance norm can track running statistics; layer and group norm have none, and do the same in eval mode.

A layer keeps its last x, for `backward`, until the next call; copies and pickles are made without it.  Results are
C-ordered, whatever the memory order of x.  Train a layer from one thread at a time: updates would be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from . import _checks as check
from . import functional as F
from . import grouped
from ._checks import Array, Param, Shape
from .statistics import average_step, unbiased

_Self = TypeVar("_Self", bound="_Layer")


class _Layer:
    """What all layers share: gamma and beta, their gradients, modes, and states under torch's names."""

    gamma: Param
    beta: Param
    dgamma: Param
    dbeta: Param
    training: bool
    _cache: F.Cache | None
    _needs = "affine, bias and track_running_stats"  # options that decide on what a state holds
    _misfit = "num_features differs"

    def _begin(self, shape: Shape, eps: float, affine: Any, bias: Any, dtype: DTypeLike) -> None:
        check.positive("eps", eps)
        self.eps = eps
        self._shape = shape
        self._affine, self._biased = check.flag("affine", affine), check.flag("bias", bias)
        self.dtype = np.dtype(dtype).newbyteorder("=")
        if self.dtype.type not in (np.float16, np.float32, np.float64):
            raise TypeError(f"dtype is {self.dtype}, wanted float16, float32 or float64")
        self.training = True
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """gamma = 1, beta = 0, and running statistics, where there are any, as at the start."""
        self.gamma = np.ones(self._shape, self.dtype) if self._affine else None
        self.beta = np.zeros(self._shape, self.dtype) if self._affine and self._biased else None
        self.dgamma = self.dbeta = None
        self._cache = None

    @property
    def weight(self) -> Param:
        """gamma, by torch's name."""
        return self.gamma

    @weight.setter
    def weight(self, value: Param) -> None:
        self.gamma = value

    @property
    def bias(self) -> Param:
        """beta, by torch's name."""
        return self.beta

    @bias.setter
    def bias(self, value: Param) -> None:
        self.beta = value

    def train(self: _Self, mode: bool = True) -> _Self:
        """Normalize with the statistics of what comes in, and track them.  Returns the layer."""
        self.training = check.flag("mode", mode)
        return self

    def eval(self: _Self) -> _Self:
        """Normalize with the running statistics, if they are tracked.  Returns the layer."""
        return self.train(False)

    def __call__(self, x: Array) -> Array:
        """The normalized x, of x's shape and dtype.  A call that raises leaves the layer as it was."""
        raise NotImplementedError

    def backward(self, dy: Array) -> Array:
        """dx for the last x, in the mode of that call; sets dgamma and dbeta (None without the parameter)."""
        dx, self.dgamma, self.dbeta = self._gradients(dy, self._last())
        return dx

    def _last(self) -> F.Cache:
        if self._cache is None:
            raise ValueError("backward before forward: there is no x to take a gradient by, call the layer on one")
        return self._cache

    def _gradients(self, dy: Array, cache: F.Cache) -> tuple[Array, Param, Param]:
        return F.batch_norm_backward(dy, cache)  # the cache knows the averaged axes

    def _named(self) -> dict[str, Any]:
        return {"weight": self.gamma, "bias": self.beta}

    def state_dict(self) -> dict[str, Array]:
        """Copies of parameters and running statistics under torch's names.

        For torch: ``module.load_state_dict({k: torch.as_tensor(v) for k, v in layer.state_dict().items()})``.
        """
        return {k: np.array(v) for k, v in self._named().items() if v is not None}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state_dict of this layer, of its twin, or of torch's own layer (tensors are converted).

        Values are cast to the layer's dtype; bfloat16 is taken, too.  A state without num_batches_tracked, as torch
        wrote it once, leaves the count as it is.  ValueError for missing or unknown keys, wrong shapes, a negative
        variance, and values beyond the range of the layer's dtype; TypeError for wrong dtypes; then nothing is loaded.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"the state is a {type(state).__name__}, wanted a dictionary, as state_dict() returns")
        mine = self.state_dict()
        if not {*mine} - {"num_batches_tracked"} <= {*state} <= {*mine}:
            raise ValueError(
                f"the state has the keys {sorted(map(str, state))}, wanted {sorted(mine)}: "
                f"make the layer with the {self._needs} of the one that was saved"
            )
        self._take({k: self._loaded(k, state[k], old) if k in state else old for k, old in mine.items()})

    def _loaded(self, name: str, value: Any, old: Array) -> Array:
        """The value as an array like the old one."""
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            try:
                value = value.numpy()
            except TypeError:  # bfloat16, which NumPy does not know
                value = value.float().numpy()
        array: Array = np.array(value)
        if array.dtype.name == "bfloat16":  # as NumPy knows it from ml_dtypes
            array = array.astype(np.float32)
        if name == "num_batches_tracked":
            if array.dtype.kind not in "iu":
                raise TypeError(f"{name} has dtype {array.dtype}, wanted an integer: the number of batches seen")
            if array.shape != ():
                raise ValueError(f"{name} has shape {array.shape}, wanted one number, of shape ()")
            if not 0 <= array < 2**63:
                raise ValueError(f"{name} is {array}, wanted at least 0, and less than 2**63")
            return array
        check.floating(name, array)
        if array.shape != old.shape:
            raise ValueError(f"{name} has shape {array.shape}, wanted {old.shape}: {self._misfit}")
        with np.errstate(all="ignore"):
            cast = array.astype(old.dtype)
        if (lost := np.isinf(cast) & np.isfinite(array)).any():
            raise ValueError(
                f"{name} holds {array[lost][0]}, wanted values in the range of {old.dtype}: "
                "make the layer with a wider dtype"
            )
        return cast

    def _take(self, new: dict[str, Array]) -> None:
        self.gamma, self.beta = new.get("weight"), new.get("bias")

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles take along: everything but the last x."""
        return {**self.__dict__, "_cache": None}

    def _options(self) -> str:
        raise NotImplementedError

    def __repr__(self) -> str:
        dtype = f", dtype={self.dtype}" if self.dtype != np.float32 and self.state_dict() else ""
        return f"{type(self).__name__}({self._options()}{dtype})"


class _Norm(_Layer):
    """What batch and instance norm share; they differ in the statistics that they take (`_normalize`)."""

    running_mean: Param
    running_var: Param
    num_batches_tracked: int | None
    _least = 2  # dimensions of x
    _per_instance = False
    _normalize: Callable[..., tuple[Array, F.Cache]]

    def __init__(
        self, num_features: int, eps: float, momentum: float | None, affine: bool, track_running_stats: bool,
        bias: bool, dtype: DTypeLike,
    ) -> None:
        self.num_features = check.options(num_features, eps, momentum)
        self.momentum, self.affine = momentum, check.flag("affine", affine)
        self.track_running_stats = check.flag("track_running_stats", track_running_stats)
        self._begin((self.num_features,), eps, affine, bias, dtype)

    def reset_parameters(self) -> None:
        """gamma = 1, beta = 0, and running statistics as at the start."""
        super().reset_parameters()
        self.reset_running_stats()

    def reset_running_stats(self) -> None:
        """running_mean = 0, running_var = 1, num_batches_tracked = 0; all None when they are not tracked."""
        c, track = self.num_features, self.track_running_stats
        self.running_mean = np.zeros(c, self.dtype) if track else None
        self.running_var = np.ones(c, self.dtype) if track else None
        self.num_batches_tracked = 0 if track else None

    def __call__(self, x: Array) -> Array:
        """The normalized x, of x's shape and dtype.  A call that raises leaves the layer as it was."""
        check.floating("x", x)
        check.features(x, self.num_features, self._least)
        gamma, beta = self.gamma, self.beta
        running = self.track_running_stats or not self._per_instance  # as torch, where the option is changed later
        if running and not self.training and self.running_mean is not None and self.running_var is not None:
            mean, var = self.running_mean.copy(), self.running_var.copy()
            y = F.batch_norm_inference(x, mean, var, gamma, beta, self.eps)
            self._cache = F.Cache(x, mean, var, gamma, beta, self.eps, constant=True)
        else:
            y, cache = self._normalize(x, gamma, beta, self.eps)
            if self.training and self.track_running_stats:
                self._track(cache, x)
            self._cache = cache
        return y

    def _track(self, cache: F.Cache, x: Array) -> None:
        """Move the running statistics toward this batch's: the mean, and the unbiased variance."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return  # taken away
        steps = self.num_batches_tracked + 1
        if x.size:  # an empty batch counts, as in torch, but says nothing
            weight = 1 / steps if self.momentum is None else self.momentum
            with np.errstate(all="ignore"):  # what is too small or too large for the layer's dtype becomes 0 or inf
                mean, var = (v if v.ndim == 1 else v.mean(0) for v in (cache.mean, cache.var))
                var = unbiased(var, x.size // cache.mean.size)
                mean = average_step(self.running_mean, mean, weight).astype(self.dtype)
                var = average_step(self.running_var, var, weight).astype(self.dtype)
            self.running_mean, self.running_var = mean, var
        self.num_batches_tracked = steps

    def _named(self) -> dict[str, Any]:
        return {
            **super()._named(), "running_mean": self.running_mean, "running_var": self.running_var,
            "num_batches_tracked": self.num_batches_tracked,
        }

    def _take(self, new: dict[str, Array]) -> None:
        if "running_var" in new:
            check.variance("running_var", new["running_var"])
            self.running_mean, self.running_var = new["running_mean"], new["running_var"]
            self.num_batches_tracked = int(new["num_batches_tracked"])
        super()._take(new)

    def _options(self) -> str:
        options = f"eps={self.eps}, momentum={self.momentum}, affine={self.affine}, bias={self.beta is not None}"
        return f"{self.num_features}, {options}, track_running_stats={self.track_running_stats}"


class BatchNorm(_Norm):
    """Batch normalization of (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W) (Ioffe & Szegedy, ICML 2015).

    In training, every channel is normalized with its mean and biased variance over the batch and space, and the
    running statistics move toward the mean and the *unbiased* variance by `momentum`, the weight of the new value;
    None averages over all batches since the start.  In eval mode the running statistics are used; without them,
    the batch's own.

    num_features: C.  eps: above 0.  affine: have gamma (1) and beta (0; not with bias=False), both (C,); `weight` and
    `bias` are other names of theirs.  dtype: of the parameters and statistics.  The result has x's dtype.

    >>> layer = BatchNorm(2)
    >>> layer(np.array([[1.0, 0.0], [3.0, 4.0]])).round(3)
    array([[-1., -1.],
           [ 1.,  1.]])
    >>> layer.running_mean, layer.running_var
    (array([0.2, 0.2], dtype=float32), array([1.1, 1.7], dtype=float32))
    """

    _normalize = staticmethod(F.batch_norm)

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, *, bias: bool = True, dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias, dtype)


class InstanceNorm(_Norm):
    """Instance normalization of (N, C, L), (N, C, H, W) or (N, C, D, H, W) (Ulyanov et al., arXiv:1607.08022, 2016).

    Every channel of every sample is normalized with its own mean and biased variance over space, in training and,
    unless statistics are tracked, in eval mode alike.  With track_running_stats=True the average of the samples'
    statistics is tracked as in `BatchNorm`, and eval mode uses it.  Batches are counted and momentum=None is the
    cumulative average, as there; torch's own instance norm does not count, and with None never moves.  One sample
    (C, L) or (C, H, W), which torch takes, is refused where it can be told from a batch: pass x[None].

    num_features: C.  eps: above 0.  affine: have gamma (1) and beta (0; not with bias=False), both (C,); `weight` and
    `bias` are other names of theirs.  dtype: of the parameters and statistics.  The result has x's dtype.

    >>> InstanceNorm(1)(np.array([[[1.0, 3.0]], [[10.0, 30.0]]])).round(3)
    array([[[-1.,  1.]],
    <BLANKLINE>
           [[-1.,  1.]]])
    """

    _least = 3
    _per_instance = True
    _normalize = staticmethod(F.instance_norm)

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = False,
        track_running_stats: bool = False, *, bias: bool = True, dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias, dtype)


class LayerNorm(_Layer):
    """Layer normalization over the last axes of x, whatever stands before them (Ba et al., arXiv:1607.06450, 2016).

    x: (..., normalized_shape).  Every position of the axes before has one mean and biased variance: a token of
    (N, T, C) with normalized_shape=C, a sample of (N, C, H, W) with (C, H, W).  Train and eval mode do the same.

    normalized_shape: an integer or several.  eps: above 0.  elementwise_affine: have gamma (1) and beta (0; not with
    bias=False) of normalized_shape; `weight` and `bias` are other names of theirs.  dtype: of the parameters.  The
    result has x's dtype.  ValueError for other last axes, and for a normalized_shape of one entry in all.

    >>> LayerNorm(2)(np.array([[[1.0, 3.0], [10.0, 30.0]]])).round(3)
    array([[[-1.,  1.],
            [-1.,  1.]]])
    """

    _needs = "elementwise_affine and bias"
    _misfit = "normalized_shape differs"

    def __init__(
        self, normalized_shape: int | tuple[int, ...], eps: float = 1e-5, elementwise_affine: bool = True,
        bias: bool = True, *, dtype: DTypeLike = np.float32,
    ) -> None:
        self.normalized_shape = check.trailing(normalized_shape)
        self.elementwise_affine = check.flag("elementwise_affine", elementwise_affine)
        self._begin(self.normalized_shape, eps, elementwise_affine, bias, dtype)

    def __call__(self, x: Array) -> Array:
        """The normalized x, of x's shape and dtype.  A call that raises leaves the layer as it was."""
        check.floating("x", x)
        check.ends(x, self.normalized_shape)
        for name, v in (("gamma", self.gamma), ("beta", self.beta)):
            check.vector(name, v, self.normalized_shape)
        rows = x.reshape(prod(x.shape[: x.ndim - len(self.normalized_shape)]), prod(self.normalized_shape))
        gamma, beta = (None if v is None else v.reshape(-1) for v in (self.gamma, self.beta))
        y, cache = grouped.layer_norm(rows, gamma, beta, self.eps)
        self._cache, self._given = cache, x.shape
        return y.reshape(x.shape)

    def _gradients(self, dy: Array, cache: F.Cache) -> tuple[Array, Param, Param]:
        check.gradient(dy, self._given)
        dx, *rest = grouped.layer_norm_backward(dy.reshape(cache.x.shape), cache)
        dgamma, dbeta = (None if v is None else v.reshape(self.normalized_shape) for v in rest)
        return dx.reshape(dy.shape), dgamma, dbeta

    def _options(self) -> str:
        affine = f"elementwise_affine={self.elementwise_affine}, bias={self.beta is not None}"
        return f"{self.normalized_shape}, eps={self.eps}, {affine}"


class GroupNorm(_Layer):
    """Group normalization of (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W) (Wu & He, ECCV 2018).

    Every sample has one mean and biased variance for each group of C/num_groups channels.  One group is layer norm
    with gamma and beta shared over space, C groups are instance norm.  Train and eval mode do the same.

    num_groups: divides num_channels, C.  eps: above 0.  affine: have gamma (1) and beta (0; not with bias=False), both
    (C,); `weight` and `bias` are other names of theirs.  dtype: of the parameters.  The result has x's dtype.

    >>> GroupNorm(2, 4)(np.array([[1.0, 3.0, 10.0, 30.0]])).round(3)
    array([[-1.,  1., -1.,  1.]])
    """

    _needs = "affine and bias"
    _misfit = "num_channels differs"

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, *, bias: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.num_channels = check.size("num_channels", num_channels, "the size of x's axis 1")
        check.divisor("num_groups", num_groups, self.num_channels)
        self.num_groups, self.affine = int(num_groups), check.flag("affine", affine)
        self._begin((self.num_channels,), eps, affine, bias, dtype)

    def __call__(self, x: Array) -> Array:
        """The normalized x, of x's shape and dtype.  A call that raises leaves the layer as it was."""
        check.floating("x", x)
        check.features(x, self.num_channels, 2, "num_channels")
        y, self._cache = grouped.group_norm(x, self.num_groups, self.gamma, self.beta, self.eps)
        return y

    def _gradients(self, dy: Array, cache: F.Cache) -> tuple[Array, Param, Param]:
        return grouped.group_norm_backward(dy, cache)

    def _options(self) -> str:
        bias = self.beta is not None
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, bias={bias}"
