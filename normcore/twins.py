"""Norm layers as torch modules that take the place of torch's, running the hand-derived formulas of this package.

Each is a subclass of torch's own layer: options, parameters, buffers and checkpoints are torch's, and so is whatever
asks `isinstance` (SyncBatchNorm, update_bn, freezing, fusing with a convolution).  Only the forward pass is replaced,
with a backward pass and a forward-mode derivative by hand, in whole-array terms, so that torch.compile can fuse them.
Needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from . import _checks as check

__all__ = ["BatchNorm", "GroupNorm", "InstanceNorm", "LayerNorm", "RMSNorm"]

Axes = tuple[int, ...]
Track = Callable[[Tensor, Tensor], None]  # takes mean and var


class _Over(NamedTuple):
    """What a norm averages over, and how."""

    axes: Axes
    eps: float
    centered: bool = True  # False for RMS norm, which takes the mean to be 0
    within: bool = False  # do gamma and beta differ between values that share their statistics, as in layer norm?


def _wide(x: Tensor) -> Tensor:
    """x in the precision of the computation: half precision in float32."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _check_floating(x: Tensor) -> None:
    if not x.is_floating_point():
        raise TypeError(f"x has dtype {x.dtype}, wanted a floating one: use x.float()")


def _free(a: Tensor, again: bool = False) -> bool:
    """May a temporary be overwritten?  Not where its values are recorded, mapped over or compiled."""
    recorded = again or torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
    recorded = recorded or type(a) not in (Tensor, nn.Parameter) or torch._C._len_torch_dispatch_stack() > 0  # or faked
    transforms = torch._C._functorch  # gradients are mapped over without a transform, by is_grads_batched
    return not (recorded or transforms.peek_interpreter_stack() is not None or transforms.is_legacy_batchedtensor(a))


def _times(a: Tensor, b: Tensor, free: bool) -> Tensor:
    """a * b, in the memory of a if that is free: fresh memory costs more than the product."""
    return a.mul_(b) if free else a * b


def _plus(a: Tensor, b: Tensor, free: bool) -> Tensor:
    """a + b, in the memory of a if that is free."""
    return a.add_(b) if free else a + b


def _statistics(x: Tensor, over: _Over, free: bool) -> tuple[Tensor, ...]:
    """d = x - near; the mean as near + rest, 1/sqrt(var + eps) and the biased variance: corrected two-pass."""
    axes, eps = over.axes, over.eps
    near = x.mean(axes, keepdim=True) if over.centered else torch.zeros_like(x[..., :1].mean(axes, keepdim=True))
    d = x - near
    rest = d.mean(axes, keepdim=True) if over.centered else torch.zeros_like(near)
    # squares of large numbers would overflow: such groups are shrunk, all others multiplied by 1
    limit = 2.0 ** (math.frexp(torch.finfo(x.dtype).max)[1] // 2 - 8)
    size = d.abs()
    if free and x.device.type == "cpu" and float(size.max()) <= limit:  # known at once on a CPU
        var = (_times(size, size, True).mean(axes, keepdim=True) - rest * rest).clamp(min=0)
        return d, near, rest, torch.rsqrt(var + eps), var
    shrink = (limit / size.amax(axes, keepdim=True).clamp(max=torch.finfo(x.dtype).max)).clamp(max=1)
    small, small_rest = _times(size, shrink, free), rest * shrink
    var = (_times(small, small, free).mean(axes, keepdim=True) - small_rest * small_rest).clamp(min=0)
    inv = shrink * torch.rsqrt(var + eps * shrink * shrink)
    return d, near, rest, inv, var / shrink / shrink


def _forward(x: Tensor, gamma: Tensor | None, beta: Tensor | None, over: _Over) -> tuple[Tensor, ...]:
    """y and what the backward pass needs: near, rest, inv; and the variance, for the running statistics."""
    free = _free(x)
    d, near, rest, inv, var = _statistics(_wide(x), over, free)
    if gamma is None or over.within:
        y = _plus(_times(d, inv, free), -rest * inv, free)
        y = y if gamma is None else _times(y, gamma.to(y.dtype), free)
        y = y if beta is None else _plus(y, beta.to(y.dtype), free)
    else:
        scale = inv * gamma.to(d.dtype)
        shift = -rest * scale if beta is None else beta.to(d.dtype) - rest * scale
        y = _plus(_times(d, scale, free), shift, free)
    return y.to(x.dtype), near, rest, inv, var


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, gamma, beta, ctx.over = inputs[:4]
    ctx.beta = None if beta is None else (beta.shape, beta.dtype)
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(x, gamma, *output[1:4])  # x as it came: half precision stays half


def _sum_like(a: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    over = [i for i, n in enumerate(shape) if n == 1 and a.shape[i] != 1]
    return (a.sum(over, keepdim=True) if over else a).to(dtype)


def _backward(ctx: Any, saved: tuple[Any, ...], dy: Tensor, again: bool) -> tuple[Tensor | None, ...]:
    """dx = inv (g - <g> - xhat <g xhat>) with g = gamma dy, where <> is the mean over what shares its statistics.

    RMS norm lacks <g>.
    """
    x, gamma, near, rest, inv = saved
    over, dtype, free = ctx.over, x.dtype, _free(dy, again)
    axes, within = over.axes, over.within
    x, dy = _wide(x), _wide(dy)
    if again:  # a derivative of this derivative: then the statistics have to depend on x
        d, near, rest, inv, _ = _statistics(x, over, free)
    else:
        d = x - near
    wide = None if gamma is None else gamma.to(x.dtype)
    g = dy if wide is None or not within else dy * wide  # a gamma that is constant over the axes comes in at the end
    sums = g.sum(axes, keepdim=True)
    products = ((g * d).sum(axes, keepdim=True) - rest * sums) * inv
    count = math.prod([x.shape[i] for i in axes])
    slope = products * (inv / count)
    scale = inv if within or wide is None else inv * wide
    shift = slope * rest - sums / count if over.centered else slope * rest
    dgamma = dbeta = None
    if gamma is not None:
        dgamma = _sum_like(dy * (d * inv - rest * inv) if within else products, gamma.shape, gamma.dtype)
    if ctx.beta is not None:
        dbeta = _sum_like(dy if within else sums, *ctx.beta)
    dx = _plus(_times(d, -slope, free), g, free)
    dx = _times(_plus(dx, shift, free), scale, free)
    return dx.to(dtype), dgamma, dbeta, None, None


class _Normalize(torch.autograd.Function):
    """The formulas under the transforms of torch.func and in forward mode; tracking happens below all transforms."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, gamma: Tensor | None, beta: Tensor | None, over: _Over, track: Track | None
    ) -> tuple[Tensor, ...]:
        out = _forward(x, gamma, beta, over)
        if track is not None:
            track(out[1] + out[2], out[4])
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _save(ctx, inputs, output)
        ctx.save_for_forward(*inputs[:2], *output[1:4])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # once: checkpointing recomputes them
        dual = forward_ad.unpack_dual(saved[0]).tangent is not None  # type: ignore[no-untyped-call]
        return _backward(ctx, saved, grads[0], torch.is_grad_enabled() or dual)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[Tensor | None, ...]:
        """dy = gamma inv (dx - <dx> - xhat <dx xhat>) + dgamma xhat + dbeta."""
        x, gamma, near, rest, inv = ctx.saved_tensors
        dx, dgamma, dbeta = tangents[:3]
        xhat = (_wide(x) - near - rest) * inv
        dy = torch.zeros_like(xhat)
        if dx is not None:
            dx = _wide(dx)
            dy = dx - xhat * (dx * xhat).mean(ctx.over.axes, keepdim=True)
            dy = dy - dx.mean(ctx.over.axes, keepdim=True) if ctx.over.centered else dy
            dy = dy * inv if gamma is None else dy * inv * gamma
        dy = dy if dgamma is None else dy + dgamma * xhat
        dy = dy if dbeta is None else dy + dbeta
        return dy.to(x.dtype), None, None, None, None


class _Plain(torch.autograd.Function):
    """The same formulas where nothing but reverse mode is asked for: a third of the time a call, and torch.compile.

    torch.compile takes no function with a forward mode of its own.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor | None, beta: Tensor | None, over: Any) -> tuple[Tensor, ...]:
        over = _Over(*over)
        out = _forward(x, gamma, beta, over)
        _save(ctx, (x, gamma, beta, over), out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        again = torch.is_grad_enabled() and not torch.compiler.is_compiling()
        return _backward(ctx, ctx.saved_tensors, grads[0], again)[:4]


def _normalize(
    x: Tensor, gamma: Tensor | None, beta: Tensor | None, over: _Over, track: Track | None = None
) -> Tensor:
    """y for x; gamma and beta have x's number of dimensions, or are None."""
    _check_floating(x)
    if x.numel() == 0:  # says nothing
        y = x if gamma is None else x * gamma.to(x.dtype)
        return y if beta is None else y + beta.to(x.dtype)
    compiled, traced = torch.compiler.is_compiling(), torch._C._get_tracing_state() is not None
    if not (compiled or traced) and (torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0):
        return _Normalize.apply(x, gamma, beta, over, track)[0]  # type: ignore[no-untyped-call, no-any-return]
    # a recorded trace, as of the older ONNX exporter, takes plain operations: it would not see into a function
    out = (_forward if traced else _plain)(x, gamma, beta, over)
    if track is not None:
        track((out[1] + out[2]).detach(), out[4].detach())
    return out[0]


def _plain(x: Tensor, gamma: Tensor | None, beta: Tensor | None, over: _Over) -> tuple[Tensor, ...]:
    return _Plain.apply(x, gamma, beta, tuple(over))  # type: ignore[no-untyped-call, no-any-return]


def _leaf(module: nn.Module, x: Any) -> Any:
    """In a symbolic trace: the call of this module as one node, as torch's own layers are."""
    return x.tracer.create_proxy("call_module", x.tracer.path_of_module(module), (x,), {})


def _dtype(module: nn.Module) -> str:
    """What is printed of the dtype of parameters and statistics, if it is not float32."""
    dtypes = [t.dtype for t in module.state_dict().values() if t.is_floating_point()]
    return f", dtype={str(dtypes[0])[6:]}" if dtypes and dtypes[0] != torch.float32 else ""


class _Twin(nn.modules.batchnorm._NormBase):
    """What batch and instance norm share; they differ in the averaged axes."""

    _least = 2  # dimensions of x
    _first = 0  # averaged axes: this one and those from 2

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, device: Any = None, dtype: torch.dtype | None = None, *, bias: bool = True,
    ) -> None:
        number = check.options(
            num_features, eps, momentum, affine=affine, track_running_stats=track_running_stats, bias=bias
        )
        momentum_: Any = momentum
        super().__init__(number, eps, momentum_, affine, track_running_stats, device, dtype)
        if affine and not bias:
            self.register_parameter("bias", None)

    def reset_parameters(self) -> None:
        """gamma = 1, beta = 0, and running statistics as at the start."""
        self.reset_running_stats()
        for parameter, value in ((self.weight, 1.0), (self.bias, 0.0)):
            if parameter is not None:
                nn.init.constant_(parameter, value)

    def extra_repr(self) -> str:
        """The options, as the layers without torch print them."""
        options = f"eps={self.eps}, momentum={self.momentum}, affine={self.affine}, bias={self.bias is not None}"
        return f"{self.num_features}, {options}, track_running_stats={self.track_running_stats}{_dtype(self)}"

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input, of its shape and dtype; half precision is computed in float32."""
        x = input
        if isinstance(x, torch.fx.Proxy):
            return _leaf(self, x)
        check.features(x, self.num_features, self._least)
        one = (1, -1, *[1] * (x.dim() - 2))
        gamma, beta = (None if p is None else p.view(one) for p in (self.weight, self.bias))
        mean, var = self.running_mean, self.running_var
        if not self.training and mean is not None and var is not None and (self.track_running_stats or not self._first):
            _check_floating(x)
            wide = _wide(x)
            inv = torch.rsqrt(var.to(wide.dtype).view(one) + self.eps)
            y = wide - mean.to(wide.dtype).view(one)
            y = y * (inv if gamma is None else inv * gamma.to(wide.dtype))
            return (y if beta is None else y + beta.to(wide.dtype)).to(x.dtype)
        axes = tuple([i for i in range(x.dim()) if i != 1 and i >= self._first])
        whose = "an instance" if self._first else "a channel in this batch"
        check.more_than_one_value(x, axes, whose, "use larger inputs, or eval mode with running statistics")
        tracked = self.training and self.track_running_stats
        counted = self.num_batches_tracked if tracked else None
        if counted is not None and x.numel() == 0:
            counted.add_(1)  # an empty batch counts, as in torch, but says nothing
        if not tracked or mean is None or var is None:
            return _normalize(x, gamma, beta, _Over(axes, self.eps))
        count = math.prod([x.shape[i] for i in axes])

        def track(new_mean: Tensor, new_var: Tensor) -> None:
            with torch.no_grad():
                if counted is not None:
                    counted.add_(1)
                for running, new, factor in ((mean, new_mean, 1.0), (var, new_var, count / (count - 1))):
                    value = new.flatten() if new.numel() == self.num_features else new.flatten(0, 1).view(
                        -1, self.num_features).mean(0)
                    weight: Any = self.momentum
                    if weight is None:
                        assert counted is not None, "momentum=None needs num_batches_tracked"
                        weight = 1 / counted.to(new.dtype)
                        running.mul_(1 - weight).add_(weight * factor * value)
                    else:
                        running.mul_(1 - weight).add_(value, alpha=weight * factor)

        return _normalize(x, gamma, beta, _Over(axes, self.eps), track)


class BatchNorm(_Twin, nn.modules.batchnorm._BatchNorm):
    """Batch normalization of (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W) as a torch module.

    Options, numbers and state_dict are those of `torch.nn.BatchNorm1d` to 3d; formulas and errors those of
    `normcore.BatchNorm`.  First and second derivatives are right, in reverse, forward and mixed mode, and under
    torch.func, torch.compile, torch.export, both ONNX exporters and symbolic traces (where it is one node, as torch's).

    What cannot be had:

    - torch.jit.script, which does not know functions with a backward pass of their own; torch.jit.trace works;
    - fusing by a table of types, as `torch.fx.experimental.optimization.fuse`: it asks for torch's exact types, and
      leaves this layer as it is; `torch.nn.utils.fusion.fuse_conv_bn_eval` fuses it;
    - vmap over batches while running statistics are tracked: one buffer cannot follow several batches.  As with torch,
      call `torch.func.replace_all_batch_norm_modules_` first;
    - under checkpointing the second forward pass counts, as with torch;
    - batches that hold values whose sum overflows.

    >>> BatchNorm(1)(torch.tensor([[1.0], [3.0]])).round().tolist()
    [[-1.0], [1.0]]
    """


class InstanceNorm(_Twin, nn.modules.instancenorm._InstanceNorm):
    """Instance normalization of (N, C, L), (N, C, H, W) or (N, C, D, H, W) as a torch module.

    Options, numbers and state_dict are those of `torch.nn.InstanceNorm1d` to 3d, except that batches are counted,
    momentum=None is the cumulative average, and an input without a batch axis is refused (it looks like
    a batch).  Formulas and errors are those of `normcore.InstanceNorm`.  What cannot be had: as for `BatchNorm`.

    >>> InstanceNorm(1)(torch.tensor([[[1.0, 3.0]]])).round().tolist()
    [[[-1.0, 1.0]]]
    """

    _least = 3
    _first = 2

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = False,
        track_running_stats: bool = False, device: Any = None, dtype: torch.dtype | None = None, *, bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)


def _trailing(
    x: Tensor, shape: Axes, gamma: Tensor | None, beta: Tensor | None, eps: float, centered: bool = True
) -> Tensor:
    """x normalized over its last axes, which have to be of this shape."""
    check.ends(x, shape)
    before = x.dim() - len(shape)
    one = (*[1] * before, *shape)
    gamma, beta = (None if p is None else p.view(one) for p in (gamma, beta))
    return _normalize(x, gamma, beta, _Over(tuple(range(before, x.dim())), eps, centered, within=True))


class LayerNorm(nn.LayerNorm):
    """Layer normalization over the trailing axes `normalized_shape`, with torch's options and numbers.

    What cannot be had: as for `BatchNorm`.

    >>> LayerNorm(2)(torch.tensor([[1.0, 3.0]])).round().tolist()
    [[-1.0, 1.0]]
    """

    def extra_repr(self) -> str:
        """The options, as the layers without torch print them."""
        affine = f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        return f"{tuple(self.normalized_shape)}, eps={self.eps}, {affine}{_dtype(self)}"

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input, of its shape and dtype."""
        if isinstance(input, torch.fx.Proxy):
            return _leaf(self, input)
        return _trailing(input, tuple(self.normalized_shape), self.weight, self.bias, self.eps)


class RMSNorm(nn.RMSNorm):
    """RMS normalization over the trailing axes `normalized_shape`, with torch's options and numbers.

    Every position of the axes before is divided by sqrt(mean(x**2) + eps); eps=None is the smallest step of the
    dtype that computes, float32 for half precision, as in torch 2.13 (2.4 takes half precision's own).  Source:
    Zhang & Sennrich, arXiv:1910.07467 (2019).
    What cannot be had: as for `BatchNorm`.

    >>> RMSNorm(2)(torch.tensor([[3.0, 3.0]])).round().tolist()
    [[1.0, 1.0]]
    """

    def extra_repr(self) -> str:
        """The options, as torch prints them, and another dtype than float32."""
        affine = f"elementwise_affine={self.elementwise_affine}"
        return f"{tuple(self.normalized_shape)}, eps={self.eps}, {affine}{_dtype(self)}"

    def forward(self, x: Tensor) -> Tensor:
        """The normalized x, of its shape and dtype."""
        if isinstance(x, torch.fx.Proxy):
            return _leaf(self, x)
        known = self.eps is not None or not x.is_floating_point()
        eps = self.eps if known else torch.finfo(torch.promote_types(x.dtype, torch.float32)).eps
        return _trailing(x, tuple(self.normalized_shape), self.weight, None, eps or 0.0, centered=False)


class GroupNorm(nn.GroupNorm):
    """Group normalization of (N, C, ...) over `num_groups` groups of channels, with torch's options and numbers.

    What cannot be had: as for `BatchNorm`.

    >>> GroupNorm(1, 2)(torch.tensor([[1.0, 3.0]])).round().tolist()
    [[-1.0, 1.0]]
    """

    def extra_repr(self) -> str:
        """The options, as the layers without torch print them."""
        affine = f"affine={self.affine}, bias={self.bias is not None}"
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, {affine}{_dtype(self)}"

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input, of its shape and dtype."""
        if isinstance(input, torch.fx.Proxy):
            return _leaf(self, input)
        if input.dim() < 2 or input.shape[1] != self.num_channels:
            raise ValueError(
                f"x has shape {tuple(input.shape)}, wanted (N, {self.num_channels}, ...): "
                "move the channels to axis 1, or make the layer with another num_channels"
            )
        n, c = input.shape[:2]
        grouped = input.reshape(n, self.num_groups, c // self.num_groups, math.prod(input.shape[2:]))
        one = (1, self.num_groups, c // self.num_groups, 1)
        gamma, beta = (None if p is None else p.view(one) for p in (self.weight, self.bias))
        return _normalize(grouped, gamma, beta, _Over((2, 3), self.eps, within=True)).reshape(input.shape)
