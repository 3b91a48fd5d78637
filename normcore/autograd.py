"""The layers as torch modules, running the same hand-derived formulas; and a check of gradients, three ways.

`BatchNorm` and `InstanceNorm` take the place of torch's layers: same options, same state_dict.  Their backward pass is
the one of `normcore.functional`, written in whole-array terms, so that torch.compile can fuse it.  Needs torch.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from . import _checks as check
from . import functional, layers, relatives
from ._checks import Array

__all__ = ["BatchNorm", "Comparison", "GradientCheck", "GradientError", "InstanceNorm", "check_gradients"]

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


# The check.  Its middle column differentiates the textbook formula, in torch's own operations; so the three columns
# have nothing in common.


def _standardize(x: Tensor, axes: Axes, eps: float) -> Tensor:
    d = x - x.mean(axes, keepdim=True)
    return d / torch.sqrt((d * d).mean(axes, keepdim=True) + eps)


def _affine(xhat: Tensor, gamma: Tensor | None, beta: Tensor | None) -> Tensor:
    shape = (1, -1, *[1] * (xhat.dim() - 2)) if all(p is None or p.dim() == 1 for p in (gamma, beta)) else None
    if gamma is not None:
        xhat = xhat * (gamma.view(shape) if shape else gamma)
    if beta is not None:
        xhat = xhat + (beta.view(shape) if shape else beta)
    return xhat


def _torch_batch(x: Tensor, gamma: Any = None, beta: Any = None, eps: float = 1e-5) -> Tensor:
    return _affine(_standardize(x, (0, *range(2, x.dim())), eps), gamma, beta)


def _torch_instance(x: Tensor, gamma: Any = None, beta: Any = None, eps: float = 1e-5) -> Tensor:
    return _affine(_standardize(x, tuple(range(2, x.dim())), eps), gamma, beta)


def _torch_layer(x: Tensor, gamma: Any = None, beta: Any = None, eps: float = 1e-5) -> Tensor:
    return _affine(_standardize(x, tuple(range(1, x.dim())), eps), gamma, beta)


def _torch_group(x: Tensor, num_groups: int, gamma: Any = None, beta: Any = None, eps: float = 1e-5) -> Tensor:
    groups = x.reshape(x.shape[0], num_groups, -1)
    return _affine(_standardize(groups, (2,), eps).view(x.shape), gamma, beta)


_BY_FORMULA: dict[Any, Callable[..., Tensor]] = {
    functional.batch_norm: _torch_batch,
    functional.instance_norm: _torch_instance,
    relatives.layer_norm: _torch_layer,
    relatives.group_norm: _torch_group,
}


class GradientError(AssertionError):
    """A gradient that the other two ways of computing it contradict."""


@dataclass(frozen=True)
class Comparison:
    """One argument of the function: the three values at the entry where they differ most, and how much they differ."""

    argument: str
    shape: tuple[int, ...]
    index: tuple[int, ...]
    by_hand: float
    autograd: float  # NaN where there is none
    differences: float
    from_autograd: float  # largest |by hand - autograd|, relative to the argument's largest gradient
    from_differences: float

    def within(self, rtol: float) -> bool:
        """Do the columns agree?  NaN never does, except for an autograd column that is not there."""
        return self.from_differences <= rtol and (np.isnan(self.autograd) or self.from_autograd <= rtol)


@dataclass(frozen=True)
class GradientCheck:
    """The table that `check_gradients` returns; print it."""

    title: str
    rows: list[Comparison]
    rtol: float

    def __str__(self) -> str:
        head = ("argument", "shape", "at", "by hand", "autograd", "differences", "vs autograd", "vs differences", "")
        table: list[tuple[str, ...]] = [head]
        for r in self.rows:
            values = ["-" if np.isnan(v) else f"{v:+.9g}" for v in (r.by_hand, r.autograd, r.differences)]
            off = ["-" if np.isnan(v) else f"{v:.0e}" for v in (r.from_autograd, r.from_differences)]
            verdict = "ok" if r.within(self.rtol) else "WRONG"
            table.append((r.argument, str(r.shape), str(r.index), *values, *off, verdict))
        widths = [max(len(line[i]) for line in table) for i in range(len(head))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in table]
        return "\n".join([self.title, *lines])

    def __repr__(self) -> str:
        return str(self)


class _Subject(NamedTuple):
    """What is checked, as functions of float64 arrays: keyword arguments gamma and beta only where they exist."""

    name: str
    params: dict[str, Array]
    forward: Callable[..., Array]
    gradients: Callable[..., dict[str, Any]]  # by hand
    formula: Callable[..., Tensor] | None


def check_gradients(
    what: Any, x: Any, gamma: Any = None, beta: Any = None, *, backward: Callable[..., Any] | None = None,
    reference: Any = None, dy: Any = None, rtol: float = 1e-6, entries: int = 100, seed: int = 0,
) -> GradientCheck:
    """Compare hand-derived gradients with torch's autograd and with central differences, all in float64.

    what: a layer of normcore (its mode, parameters and running statistics are used, and left as they are), a module
    of this file, or a function (x, gamma, beta) -> (y, cache), such as `normcore.batch_norm` or
    `functools.partial(normcore.group_norm, num_groups=2)`.
    x, gamma, beta: where to take the gradients; for a layer gamma and beta default to its own.
    backward: (dy, cache) -> (dx, dgamma, dbeta); the function's partner NAME_backward by default.
    reference: for the autograd column of your own function: the normcore function that it should equal, or any function
    of tensors (x, gamma, beta); without it that column stays empty.
    dy: the gradient by y; random by default.  entries: how many of an argument's entries to take differences at.
    rtol: the largest difference allowed, relative to the argument's largest gradient.

    Returns a table, to be printed.  Raises GradientError, an AssertionError, with argument, index and values where a
    gradient is wrong, of the wrong shape, not finite, or missing.

    >>> import normcore
    >>> x = np.random.default_rng(0).normal(size=(4, 3, 5))
    >>> check = check_gradients(normcore.BatchNorm(3), x)
    >>> [row.argument for row in check.rows]
    ['x', 'gamma', 'beta']
    """
    values = {k: _float64(v) for k, v in {"x": x, "gamma": gamma, "beta": beta}.items() if v is not None}
    x = values.pop("x")
    s = _subject(what, backward, reference, values)
    values = {"x": x, **s.params}
    rng = np.random.default_rng([seed, 1502])  # not the stream that x is likely to come from: dy = x has no gradient
    y = s.forward(**values)
    dy = rng.normal(size=y.shape) if dy is None else _float64(dy)
    if dy.shape != y.shape:
        raise ValueError(f"dy has shape {dy.shape}, wanted {y.shape}, the shape of y")
    by_hand = s.gradients(dy, **values)
    by_autograd = _by_autograd(s.formula, dy, values)
    rows = []
    for name, value in values.items():
        g = by_hand.get(name)
        if g is None or np.shape(g) != value.shape:
            seen = "no gradient" if g is None else f"a gradient of shape {np.shape(g)}"
            raise GradientError(f"{s.name} has {seen} by {name}, wanted shape {value.shape}")
        hand, auto = np.asarray(g, np.float64), by_autograd.get(name)
        distance = np.zeros(value.shape) if auto is None else np.nan_to_num(abs(hand - auto), nan=np.inf)
        chosen = {int(np.argmax(distance)), *rng.permutation(value.size)[:entries].tolist()}
        at = [tuple(int(i) for i in np.unravel_index(k, value.shape)) for k in sorted(chosen)]
        numeric, largest = np.array([_difference(s.forward, dy, values, name, i) for i in at]).T
        # where the terms of a gradient's sum cancel, their rounding stays: hence the second bound
        scale = max(abs(numeric).max(), 1e-4 * largest.max(), np.finfo(float).tiny)
        off = np.nan_to_num([abs(hand[i] - n) for i, n in zip(at, numeric, strict=True)], nan=np.inf)
        worst = int(np.argmax(np.maximum(off, [distance[i] for i in at])))
        i = at[worst]
        between = np.nan if auto is None else float(distance.max() / scale)
        there = np.nan if auto is None else float(auto[i])
        rows.append(
            Comparison(name, value.shape, i, float(hand[i]), there, numeric[worst], between, float(off.max() / scale))
        )
    title = f"gradients of {s.name}\nat x {x.shape} in float64; differences at up to {entries} entries of each argument"
    check = GradientCheck(title, rows, rtol)
    for r in rows:
        if not r.within(rtol):
            raise GradientError(
                f"the gradient of {s.name} by {r.argument} is wrong, most of all at {r.index}: "
                f"by hand {r.by_hand:.9g}, autograd {r.autograd:.9g}, central differences {r.differences:.9g}\n{check}"
            )
    return check


def _float64(a: Any) -> Array:
    return np.array(a.detach().cpu().numpy() if isinstance(a, Tensor) else a, np.float64)


def _difference(
    forward: Callable[..., Array], dy: Array, values: dict[str, Array], name: str, index: tuple[int, ...]
) -> tuple[float, float]:
    """The derivative of sum(dy * y) by one entry, by differences of fourth order; and the largest term of that sum."""
    value = values[name]
    # a step of 1/1000 of the spread that the entry is normalized with, or of gamma and beta themselves
    near = [value[:, index[1]], value[index[:2]]] if name == "x" else [np.array([-1.0, 1.0])]
    spread = min((s for s in (float(np.std(v)) for v in near) if s > 0), default=1e-4)
    h = 1e-3 * max(spread, 1e-9 * abs(float(value[index])))
    y = []
    for k in (-2, -1, 1, 2):
        moved = value.copy()
        moved[index] += k * h
        y.append(forward(**{**values, name: moved}))
    terms = dy * (8 * (y[2] - y[1]) - (y[3] - y[0])) / (12 * h)
    return float(terms.sum()), float(abs(terms).max())


def _by_autograd(formula: Callable[..., Tensor] | None, dy: Array, values: dict[str, Array]) -> dict[str, Array]:
    if formula is None:
        return {}
    tensors = {k: torch.tensor(v, requires_grad=True) for k, v in values.items()}
    formula(**tensors).backward(torch.tensor(dy))  # type: ignore[no-untyped-call]
    return {k: np.zeros(t.shape) if t.grad is None else t.grad.numpy() for k, t in tensors.items()}


def _subject(what: Any, backward: Any, reference: Any, params: dict[str, Array]) -> _Subject:
    if isinstance(what, layers._Norm):
        return _layer(what, params)
    if isinstance(what, _Twin):
        return _module(what, params)
    if isinstance(what, nn.Module) or not callable(what):
        raise TypeError(
            f"what is a {type(what).__name__}, wanted a layer of normcore, a module of normcore.autograd, "
            "or a function (x, gamma, beta) -> (y, cache)"
        )
    function = what.func if isinstance(what, functools.partial) else what
    name = getattr(function, "__name__", "the function")
    if backward is None:
        backward = getattr(inspect.getmodule(function), f"{name}_backward", None)
    if backward is None:
        raise TypeError(f"{name} has no partner {name}_backward in its module: pass backward=")
    formula = _BY_FORMULA.get(function if reference is None else reference, reference)
    if formula is not None and isinstance(what, functools.partial):
        formula = functools.partial(formula, *what.args, **what.keywords)

    def forward(**values: Array) -> Array:
        result = what(**values)
        return np.asarray(result[0] if isinstance(result, tuple) else result)

    def gradients(dy: Array, **values: Array) -> dict[str, Any]:
        _, cache = what(**values)
        return dict(zip(("x", "gamma", "beta"), backward(dy, cache), strict=False))

    return _Subject(name, params, forward, gradients, formula)


def _layer(layer: layers._Norm, given: dict[str, Array]) -> _Subject:
    own = {k: v for k, v in (("gamma", layer.gamma), ("beta", layer.beta)) if v is not None}
    params = {k: _float64(v) for k, v in {**own, **given}.items()}

    def at(params: dict[str, Array]) -> layers._Norm:
        fresh = copy.copy(layer)
        fresh.gamma, fresh.beta = params.get("gamma"), params.get("beta")
        return fresh

    def forward(x: Array, **params: Array) -> Array:
        return at(params)(x)

    def gradients(dy: Array, x: Array, **params: Array) -> dict[str, Any]:
        fresh = at(params)
        fresh(x)
        return {"x": fresh.backward(dy), "gamma": fresh.dgamma, "beta": fresh.dbeta}

    def formula(x: Tensor, **params: Tensor) -> Tensor:
        if not layer.training and layer.running_mean is not None and layer.running_var is not None:
            shape = (1, -1, *[1] * (x.dim() - 2))
            mean, var = (torch.tensor(_float64(v)).view(shape) for v in (layer.running_mean, layer.running_var))
            return _affine((x - mean) / torch.sqrt(var + layer.eps), params.get("gamma"), params.get("beta"))
        by_formula = _torch_batch if isinstance(layer, layers.BatchNorm) else _torch_instance
        return by_formula(x, eps=layer.eps, **params)

    return _Subject(repr(layer), params, forward, gradients, formula)


def _module(module: _Twin, given: dict[str, Array]) -> _Subject:
    twin = copy.deepcopy(module).double().cpu()
    kind = layers.BatchNorm if isinstance(module, BatchNorm) else layers.InstanceNorm
    layer = kind(
        module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats,
        bias=module.bias is not None, dtype=np.float64,
    )
    layer.load_state_dict(twin.state_dict())
    layer.train(module.training)

    def run(x: Array, **params: Array) -> tuple[Tensor, dict[str, Tensor]]:
        for parameter, key in ((twin.weight, "gamma"), (twin.bias, "beta")):
            if parameter is not None:
                parameter.data.copy_(torch.tensor(params[key]))
        leaves = {"x": torch.tensor(x, requires_grad=True), "gamma": twin.weight, "beta": twin.bias}
        leaves = {k: v for k, v in leaves.items() if v is not None}
        return twin(leaves["x"]), {k: v for k, v in leaves.items() if v is not None}

    def forward(**values: Array) -> Array:
        return run(**values)[0].detach().numpy()

    def gradients(dy: Array, **values: Array) -> dict[str, Any]:
        y, leaves = run(**values)
        return dict(zip(leaves, (g.numpy() for g in torch.autograd.grad(y, list(leaves.values()), torch.tensor(dy))),
                        strict=True))

    like = _layer(layer, given)
    return _Subject(repr(module), like.params, forward, gradients, like.formula)
