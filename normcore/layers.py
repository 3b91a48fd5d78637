"""Batch and instance norm as layers: parameters, running statistics, train and eval, weights to and from torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from . import _checks as check
from . import functional as F
from ._checks import Array, Param
from .statistics import average_step, unbiased


class _Norm:
    """What the two layers share; they differ in the statistics that they take (`_normalize`)."""

    gamma: Param
    beta: Param
    running_mean: Param
    running_var: Param
    num_batches_tracked: int | None
    _least = 2  # dimensions of x
    _normalize: Callable[..., tuple[Array, F.Cache]]

    def __init__(
        self, num_features: int, eps: float, momentum: float | None, affine: bool, track_running_stats: bool,
        bias: bool, dtype: DTypeLike,
    ) -> None:
        self.num_features = check.options(num_features, eps, momentum)
        self.eps, self.momentum = eps, momentum
        self.affine, self.track_running_stats, self.bias = bool(affine), bool(track_running_stats), bool(bias)
        self.dtype = np.dtype(dtype)
        check.floating("dtype", np.empty(0, self.dtype))
        self.training = True
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """gamma = 1, beta = 0, and running statistics as at the start."""
        c = self.num_features
        self.gamma = np.ones(c, self.dtype) if self.affine else None
        self.beta = np.zeros(c, self.dtype) if self.affine and self.bias else None
        self.dgamma: Param = None
        self.dbeta: Param = None
        self._cache: F.Cache | None = None
        self.reset_running_stats()

    def reset_running_stats(self) -> None:
        """running_mean = 0, running_var = 1, num_batches_tracked = 0; all None when they are not tracked."""
        c, track = self.num_features, self.track_running_stats
        self.running_mean = np.zeros(c, self.dtype) if track else None
        self.running_var = np.ones(c, self.dtype) if track else None
        self.num_batches_tracked = 0 if track else None

    def train(self, mode: bool = True) -> _Norm:
        """Normalize with the statistics of what comes in, and track them.  Returns the layer."""
        self.training = bool(mode)
        return self

    def eval(self) -> _Norm:
        """Normalize with the running statistics, if they are tracked.  Returns the layer."""
        return self.train(False)

    def __call__(self, x: Array) -> Array:
        """The normalized x, of x's shape and dtype.  A call that raises leaves the layer as it was."""
        check.floating("x", x)
        check.features(x, self.num_features, self._least)
        gamma, beta = self.gamma, self.beta
        if not self.training and self.running_mean is not None and self.running_var is not None:
            mean, var = self.running_mean.copy(), self.running_var.copy()
            y = F.batch_norm_inference(x, mean, var, gamma, beta, self.eps)
            self._cache = F.Cache(x, mean, var, gamma, beta, self.eps, constant=True)
        else:
            y, cache = self._normalize(x, gamma, beta, self.eps)
            if self.training and self.num_batches_tracked is not None:
                self._track(cache, x)
            self._cache = cache
        return y

    def _track(self, cache: F.Cache, x: Array) -> None:
        """Move the running statistics toward this batch's: the mean, and the unbiased variance."""
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        steps = self.num_batches_tracked + 1
        if x.size:  # an empty batch counts, as in torch, but says nothing
            weight = 1 / steps if self.momentum is None else self.momentum
            mean, var = (v if v.ndim == 1 else v.mean(0) for v in (cache.mean, cache.var))
            var = unbiased(var, x.size // cache.mean.size)
            with np.errstate(over="ignore", invalid="ignore"):
                mean = average_step(self.running_mean, mean, weight).astype(self.dtype)
                var = average_step(self.running_var, var, weight).astype(self.dtype)
            self.running_mean, self.running_var = mean, var
        self.num_batches_tracked = steps

    def backward(self, dy: Array) -> Array:
        """dx for the last x, in the mode of that call; sets dgamma and dbeta (None without the parameter)."""
        if self._cache is None:
            raise ValueError("backward before forward: there is no x to take a gradient by, call the layer on one")
        dx, self.dgamma, self.dbeta = F.batch_norm_backward(dy, self._cache)  # the cache knows the averaged axes
        return dx

    def state_dict(self) -> dict[str, Array]:
        """Copies of parameters and running statistics under torch's names.

        For torch: ``module.load_state_dict({k: torch.as_tensor(v) for k, v in layer.state_dict().items()})``.
        """
        named = {
            "weight": self.gamma, "bias": self.beta, "running_mean": self.running_mean,
            "running_var": self.running_var, "num_batches_tracked": self.num_batches_tracked,
        }
        return {k: np.array(v) for k, v in named.items() if v is not None}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state_dict of this layer, of its twin, or of torch's own layer (tensors are converted).

        Values are cast to the layer's dtype.  ValueError for missing or unknown keys, wrong shapes and a negative
        variance, TypeError for wrong dtypes; then nothing is loaded.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"the state is a {type(state).__name__}, wanted a dictionary, as state_dict() returns")
        mine = self.state_dict()
        if set(state) != set(mine):
            raise ValueError(
                f"the state has the keys {sorted(state)}, wanted {sorted(mine)}: "
                "make the layer with the affine, bias and track_running_stats of the one that was saved"
            )
        new = {}
        for name, old in mine.items():
            value = state[name]
            value = np.array(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
            if name == "num_batches_tracked":
                if value.dtype.kind not in "iu":
                    raise TypeError(f"{name} has dtype {value.dtype}, wanted an integer: the number of batches seen")
            else:
                check.floating(name, value)
            if value.shape != old.shape:
                raise ValueError(f"{name} has shape {value.shape}, wanted {old.shape}: num_features differs")
            new[name] = value.astype(old.dtype)
        if "running_var" in new:
            check.variance("running_var", new["running_var"])
            if new["num_batches_tracked"] < 0:
                raise ValueError(f"num_batches_tracked is {new['num_batches_tracked']}, wanted at least 0")
            self.running_mean, self.running_var = new["running_mean"], new["running_var"]
            self.num_batches_tracked = int(new["num_batches_tracked"])
        self.gamma, self.beta = new.get("weight"), new.get("bias")

    def __repr__(self) -> str:
        options = f"eps={self.eps}, momentum={self.momentum}, affine={self.affine}"
        return f"{type(self).__name__}({self.num_features}, {options}, track_running_stats={self.track_running_stats})"


class BatchNorm(_Norm):
    """Batch normalization of (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W) (Ioffe & Szegedy, ICML 2015).

    In training, every channel is normalized with its mean and biased variance over the batch and space, and the
    running statistics move toward the mean and the *unbiased* variance by `momentum`, the weight of the new value;
    None averages over all batches since the start.  In eval mode the running statistics are used; without them,
    the batch's own.

    num_features: C.  eps: above 0.  affine: have gamma (1) and beta (0; not with bias=False), both (C,).
    dtype: of the parameters and statistics.  The result has x's dtype.

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
    cumulative average, as there; torch's own instance norm does not count, and with None never moves.

    num_features: C.  eps: above 0.  affine: have gamma (1) and beta (0; not with bias=False), both (C,).
    dtype: of the parameters and statistics.  The result has x's dtype.

    >>> InstanceNorm(1)(np.array([[[1.0, 3.0]], [[10.0, 30.0]]])).round(3)
    array([[[-1.,  1.]],
    <BLANKLINE>
           [[-1.,  1.]]])
    """

    _least = 3
    _normalize = staticmethod(F.instance_norm)

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = False,
        track_running_stats: bool = False, *, bias: bool = True, dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias, dtype)
