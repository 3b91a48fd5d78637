"""The layers as torch modules, running the same hand-derived formulas.

`BatchNorm` and `InstanceNorm` take the place of torch's layers: same options, same state_dict.  Their backward pass is
the one of `normcore.functional`, written in whole-array terms, so that torch.compile can fuse it.  Needs torch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from . import _checks as check

__all__ = ["BatchNorm", "InstanceNorm"]

Axes = tuple[int, ...]


def _statistics(x: Tensor, axes: Axes) -> tuple[Tensor, Tensor, Tensor]:
    """The mean as near + rest, and the biased variance: corrected two-pass, as in `normcore.functional`."""
    near = x.mean(axes, keepdim=True)
    d = x - near
    rest = d.mean(axes, keepdim=True)
    return near, rest, ((d * d).mean(axes, keepdim=True) - rest * rest).clamp(min=0)


class _Normalize(torch.autograd.Function):
    """y, mean and variance of x; gamma and beta have x's number of dimensions, or are None."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gamma: Tensor | None, beta: Tensor | None, axes: Axes, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        near, rest, var = _statistics(x, axes)
        inv = torch.rsqrt(var + eps)
        ctx.save_for_backward(x, gamma, near, rest, inv)
        ctx.axes, ctx.eps, ctx.has_beta = axes, eps, beta is not None
        y = (x - near - rest) * (inv if gamma is None else inv * gamma)
        mean = near + rest
        ctx.mark_non_differentiable(mean, var)
        return y if beta is None else y + beta, mean, var

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        dy, (x, gamma, near, rest, inv) = grads[0], ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative: then the statistics have to depend on x
            near, rest, var = _statistics(x, ctx.axes)
            inv = torch.rsqrt(var + ctx.eps)
        xhat = (x - near - rest) * inv
        # two sums in one pass over the data; the means that dx needs and the parameters' gradients follow from them
        sums, products = dy.sum(ctx.axes, keepdim=True), (dy * xhat).sum(ctx.axes, keepdim=True)
        count = x.numel() // max(1, sums.numel())
        dx = (dy - sums / count - xhat * (products / count)) * (inv if gamma is None else inv * gamma)
        dgamma = None if gamma is None else products.sum(0, keepdim=True)  # over the instances, if there are several
        dbeta = sums.sum(0, keepdim=True) if ctx.has_beta else None
        return dx, dgamma, dbeta, None, None


class _Twin(nn.Module):
    """What the two modules share; they differ in the averaged axes."""

    weight: nn.Parameter | None
    bias: nn.Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    _least = 2  # dimensions of x
    _first = 0  # averaged axes: this one and those from 2

    def __init__(
        self, num_features: int, eps: float, momentum: float | None, affine: bool, track_running_stats: bool,
        bias: bool, device: Any, dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.num_features = c = check.options(num_features, eps, momentum)
        self.eps, self.momentum = eps, momentum
        self.affine, self.track_running_stats = bool(affine), bool(track_running_stats)
        kind: dict[str, Any] = {"device": device, "dtype": dtype}
        self.weight = nn.Parameter(torch.ones(c, **kind)) if affine else None
        self.bias = nn.Parameter(torch.zeros(c, **kind)) if affine and bias else None
        track = self.track_running_stats
        self.register_buffer("running_mean", torch.zeros(c, **kind) if track else None)
        self.register_buffer("running_var", torch.ones(c, **kind) if track else None)
        self.register_buffer("num_batches_tracked", torch.tensor(0, device=device) if track else None)

    def forward(self, x: Tensor) -> Tensor:
        """The normalized x, of x's shape and dtype; half precision is computed in float32."""
        if not x.is_floating_point():
            raise TypeError(f"x has dtype {x.dtype}, wanted a floating one: use x.float()")
        check.features(x, self.num_features, self._least)
        one = (1, -1, *[1] * (x.dim() - 2))
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        gamma, beta = (None if p is None else p.to(wide.dtype).view(one) for p in (self.weight, self.bias))
        if not self.training and self.running_mean is not None and self.running_var is not None:
            y = wide - self.running_mean.view(one)
            inv = torch.rsqrt(self.running_var.view(one) + self.eps)
            y = y * (inv if gamma is None else inv * gamma)
            return (y if beta is None else y + beta).to(x.dtype)
        axes = tuple(i for i in range(x.dim()) if i != 1 and i >= self._first)
        whose = "an instance" if self._first else "a channel in this batch"
        check.several(x, axes, whose, "use larger inputs, or eval mode with running statistics")
        y, mean, var = _Normalize.apply(wide, gamma, beta, axes, self.eps)  # type: ignore[no-untyped-call]
        if self.training and self.num_batches_tracked is not None:
            self._track(mean, var, x.numel())
        return y.to(x.dtype)  # type: ignore[no-any-return]

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor, size: int) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        if size == 0:  # an empty batch counts, as in torch, but says nothing
            return
        count = size // mean.numel()
        weight = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        for running, new in ((self.running_mean, mean), (self.running_var, var * (count / (count - 1)))):
            value = new.view(-1, self.num_features).mean(0)  # of the instances, if there are several
            running.copy_((1 - weight) * running + weight * value)

    def extra_repr(self) -> str:
        options = f"eps={self.eps}, momentum={self.momentum}, affine={self.affine}"
        return f"{self.num_features}, {options}, track_running_stats={self.track_running_stats}"


class BatchNorm(_Twin):
    """Batch normalization of (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W) as a torch module.

    Options, numbers and state_dict are those of `torch.nn.BatchNorm1d` to 3d; formulas and errors those of
    `normcore.BatchNorm`.  First and second derivatives are right.

    >>> BatchNorm(1)(torch.tensor([[1.0], [3.0]])).round().tolist()
    [[-1.0], [1.0]]
    """

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, *, bias: bool = True, device: Any = None, dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias, device, dtype)


class InstanceNorm(_Twin):
    """Instance normalization of (N, C, L), (N, C, H, W) or (N, C, D, H, W) as a torch module.

    Options, numbers and state_dict are those of `torch.nn.InstanceNorm1d` to 3d, except that batches are counted and
    momentum=None is the cumulative average; formulas and errors are those of `normcore.InstanceNorm`.

    >>> InstanceNorm(1)(torch.tensor([[[1.0, 3.0]]])).round().tolist()
    [[[-1.0, 1.0]]]
    """

    _least = 3
    _first = 2

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = False,
        track_running_stats: bool = False, *, bias: bool = True, device: Any = None, dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias, device, dtype)
