"""A check of gradients, three ways: by hand, by torch's autograd, by central differences.  Needs torch.

The autograd column differentiates the textbook formula, in torch's own operations; so the three columns have nothing
in common.
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

from . import functional, grouped, layers
from ._checks import Array
from .twins import Axes, BatchNorm, _Twin

__all__ = ["Comparison", "GradientCheck", "GradientError", "check_gradients"]


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
    grouped.layer_norm: _torch_layer,
    grouped.group_norm: _torch_group,
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
