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
from numpy.typing import NDArray
from torch import Tensor, nn

from . import _checks as check
from . import functional, grouped, layers, twins
from ._checks import Array
from .twins import Axes

__all__ = ["Comparison", "GradientCheck", "GradientError", "check_gradients"]


SHARPER = 1e-5  # autograd is compared this much more sharply than differences can be


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


def _torch_layer(
    x: Tensor, gamma: Any = None, beta: Any = None, eps: float = 1e-5, normalized_shape: Any = None
) -> Tensor:
    y = _standardize(x, _last(x, normalized_shape), eps)
    y = y if gamma is None else y * gamma
    return y if beta is None else y + beta


def _torch_group(x: Tensor, num_groups: int, gamma: Any = None, beta: Any = None, eps: float = 1e-5) -> Tensor:
    groups = x.reshape(x.shape[0], num_groups, -1)
    return _affine(_standardize(groups, (2,), eps).view(x.shape), gamma, beta)


def _torch_rms(x: Tensor, gamma: Any = None, eps: float | None = 1e-5, normalized_shape: Any = None) -> Tensor:
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    y = x / torch.sqrt((x * x).mean(_last(x, normalized_shape), keepdim=True) + eps)
    return y if gamma is None else y * gamma


def _last(x: Tensor, normalized_shape: Any) -> Axes:
    """The axes of x that layer and RMS norm average: those of a sample, unless they are given."""
    first = 1 if normalized_shape is None else x.dim() - np.size(normalized_shape)
    return tuple(range(first, x.dim()))


_BY_FORMULA: dict[Any, Callable[..., Tensor]] = {
    functional.batch_norm: _torch_batch,
    functional.instance_norm: _torch_instance,
    grouped.layer_norm: _torch_layer,
    grouped.group_norm: _torch_group,
    grouped.rms_norm: _torch_rms,
}
_TWINS = (twins.BatchNorm, twins.InstanceNorm, twins.LayerNorm, twins.GroupNorm, twins.RMSNorm)


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
    from_autograd: float  # largest |by hand - autograd|, relative to the gradients that share its statistics
    from_differences: float

    def within(self, rtol: float) -> bool:
        """Do the columns agree?  NaN never does, except for an autograd column that is not there."""
        return self.from_differences <= rtol and (np.isnan(self.from_autograd) or self.from_autograd <= SHARPER * rtol)


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


@np.errstate(all="ignore")  # also where a caller asked NumPy to raise: noise may well vanish
def check_gradients(
    what: Any, x: Any, gamma: Any = None, beta: Any = None, *, backward: Callable[..., Any] | None = None,
    reference: Any = None, dy: Any = None, rtol: float = 1e-6, entries: int = 100, seed: int = 0,
) -> GradientCheck:
    """Compare hand-derived gradients with torch's autograd and with central differences, all in float64.

    what: a layer of normcore (its mode, parameters and running statistics are used, and left as they are), a module
    of normcore.autograd, or a function (x, gamma, beta) -> (y, cache), such as `normcore.batch_norm` or
    `functools.partial(normcore.group_norm, num_groups=2)`.
    x, gamma, beta: where to take the gradients; for a layer gamma and beta default to its own.
    backward: (dy, cache) -> (dx, dgamma, dbeta); the function's partner NAME_backward by default.
    reference: for the autograd column of your own function: the normcore function that it should equal, or any function
    of tensors (x, gamma, beta); without it that column stays empty.
    dy: the gradient by y; random by default.  entries: how many of an argument's entries to take differences at.
    rtol: the largest deviation from the differences, relative to the largest gradient of what shares its statistics;
    autograd may be missed by 1e-5 of that.  What the rounding of the inputs changes is allowed on top.  Where all of
    gamma or of beta is one value, as in a fresh layer, the check is repeated at random ones.

    What it cannot see: a mistake below these tolerances, such as eps forgotten beside a variance above 1e6; without a
    reference, one below rtol, or a wrong entry of a large group that is small beside the others together; a gamma that
    is not passed; and whatever the rounding of x hides, as in a channel whose spread is its rounding.

    Returns a table, to be printed.  Raises GradientError, an AssertionError, with argument, index and values where a
    gradient is wrong, of the wrong shape, not finite, or missing.

    >>> import normcore
    >>> x = np.random.default_rng(0).normal(size=(4, 3, 5))
    >>> check = check_gradients(normcore.BatchNorm(3), x)
    >>> [row.argument for row in check.rows]
    ['x', 'gamma', 'beta']
    """
    check.positive("rtol", rtol)
    values = {k: _float64(k, v) for k, v in {"x": x, "gamma": gamma, "beta": beta}.items() if v is not None}
    x = values.pop("x")
    if x.size == 0:
        raise ValueError(f"x has shape {x.shape}, wanted at least one value: there is nothing to take a gradient by")
    s = _subject(what, backward, reference, values)
    values = {"x": x, **s.params}
    rng = np.random.default_rng([seed, 1502])  # not the stream that x is likely to come from: dy = x has no gradient
    y = s.forward(**values)
    dy = rng.normal(size=y.shape) if dy is None else _float64("dy", dy)
    if dy.shape != y.shape:
        raise ValueError(f"dy has shape {dy.shape}, wanted {y.shape}, the shape of y")
    table = _compare(s, dy, values, rtol, entries, rng)
    fresh = {k: v for k, v in s.params.items() if np.ptp(v) == 0}  # all ones hide a forgotten gamma
    if fresh:
        draw = {k: rng.uniform(0.5, 2, v.shape) * rng.choice([-1, 1], v.shape) for k, v in fresh.items()}
        _compare(s, dy, {**values, **draw}, rtol, entries, rng)
    return table


def _compare(
    s: _Subject, dy: Array, values: dict[str, Array], rtol: float, entries: int, rng: np.random.Generator
) -> GradientCheck:
    """The table at one point; raises GradientError."""
    by_hand = s.gradients(dy.copy(), **values)  # a copy: a backward pass may work in place
    by_autograd = _by_autograd(s.formula, dy, values)
    y = s.forward(**values)
    label, spread = _groups(s.forward, values)
    # how much y and the gradients move when every input moves by its own rounding: nobody can know them better
    moves: list[dict[str, Array]] = [
        {k: v * (1 + 2.0**-52 * rng.choice([-1, 1], v.shape)) for k, v in values.items()} for _ in range(3)
    ]
    unsure_y = _spread_out(np.max([abs(s.forward(**m) - y) for m in moves], 0), label) + 2.0**-52 * abs(y)
    grads = [_by_autograd(s.formula, dy, m) for m in moves]
    # the terms of dx, where dy lets them cancel, as a constant does: at a dy of the same size
    terms = _by_autograd(s.formula, dy * rng.uniform(-2, 2, dy.shape), values)
    rows = []
    for name, value in values.items():
        g = by_hand.get(name)
        if g is None or np.shape(g) != value.shape:
            seen = "no gradient" if g is None else f"a gradient of shape {np.shape(g)}"
            raise GradientError(f"{s.name} has {seen} by {name}, wanted shape {value.shape}")
        hand, auto = np.asarray(g, np.float64), by_autograd.get(name)
        # sizes: for x the largest gradient of the values that share its statistics, else the entry's own terms
        best = hand if auto is None else auto
        size = _spread_out(abs(best), label) if name == "x" else np.full(value.shape, abs(best).max(initial=0.0))
        size = np.where(np.isfinite(size), size, 0)
        distance = np.zeros(value.shape)
        if auto is not None:
            noise = np.max([abs(m[name] - auto) for m in grads], 0)
            noise = _spread_out(noise, label) if name == "x" else np.full(value.shape, noise.max(initial=0.0))
            rounding = 2.0**-49 * (_spread_out(abs(terms[name]), label) if name == "x" else np.sqrt((dy**2).sum()))
            allowed = size + (30 * noise + rounding) / (SHARPER * rtol)
            distance = np.nan_to_num(abs(hand - auto) / np.maximum(allowed, 1e-300), nan=np.inf, posinf=np.inf)
        distance[~np.isfinite(hand)] = np.inf
        wrong = int(np.argmax(distance))
        chosen = {wrong, *rng.permutation(value.size)[:entries].tolist()}
        at = [tuple(int(i) for i in np.unravel_index(k, value.shape)) for k in sorted(chosen)]
        numeric, off = np.empty(len(at)), np.empty(len(at))
        for j, i in enumerate(at):
            h = 1e-3 * (spread[i] if name == "x" else max(1.0, abs(float(value[i]))))
            way = np.zeros(value.shape)
            way[i] = 1
            numeric[j], noise_i = _difference(s.forward, dy, values, name, way, h, unsure_y)
            off[j] = abs(hand[i] - numeric[j]) / max(float(size[i]) + noise_i / rtol, 1e-300)
        if name == "x":  # every entry of every group, along random signs
            for k in rng.permutation(int(label.max()) + 1)[:entries]:
                inside = label == k
                for _ in range(2):
                    way = np.where(inside, rng.choice([-1.0, 1.0], value.shape), 0)
                    h = 1e-3 * float(spread[inside][0]) / np.sqrt(inside.sum())
                    slope, noise_k = _difference(s.forward, dy, values, name, way, h, unsure_y)
                    gap = abs(float(np.where(np.isfinite(hand), hand, 0)[inside] @ way[inside]) - slope)
                    allowed_k = float(size[inside].max()) * np.sqrt(inside.sum()) + noise_k / rtol
                    if not gap <= rtol * allowed_k:
                        first = next((j for j, i in enumerate(at) if inside[i]), 0)
                        off[first] = max(off[first], gap / max(allowed_k, 1e-300))
        off = np.nan_to_num(off, nan=np.inf, posinf=np.inf)
        worst = int(np.argmax(np.maximum(off / rtol, [distance[i] / (SHARPER * rtol) for i in at])))
        i = at[worst]
        between = np.nan if auto is None else float(distance.max())
        there = np.nan if auto is None else float(auto[i])
        beyond = float(off.max()) if np.isfinite(hand).all() else np.inf
        rows.append(Comparison(name, value.shape, i, float(hand[i]), there, numeric[worst], between, beyond))
    title = (
        f"gradients of {s.name}\nat x {values['x'].shape} in float64; "
        f"differences at up to {entries} entries of each argument"
    )
    table = GradientCheck(title, rows, rtol)
    for r in rows:
        if not r.within(rtol):
            raise GradientError(
                f"the gradient of {s.name} by {r.argument} is wrong, most of all at {r.index}: "
                f"by hand {r.by_hand:.9g}, autograd {r.autograd:.9g}, central differences {r.differences:.9g}\n{table}"
            )
    return table


def _float64(name: str, a: Any) -> Array:
    """A copy in float64; or raise unless these are finite real numbers."""
    if isinstance(a, Tensor):
        a = (a if a.is_complex() else a.double()).detach().cpu().numpy()
    array = np.array(a)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} has dtype {array.dtype}, wanted real numbers: gradients are taken in float64")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite, wanted numbers to take differences at")
    return array.astype(np.float64)


def _groups(forward: Callable[..., Array], values: dict[str, Array]) -> tuple[NDArray[np.int_], Array]:
    """Which values of x share their statistics: a number for each entry, found by moving one; and their spread."""
    x = values["x"]
    probe = np.random.default_rng(5).normal(size=x.shape)  # an ordinary x: all that matters here is who meets whom
    y = forward(**{**values, "x": probe})
    moved = probe.copy()
    moved[(0,) * x.ndim] += 1
    seen = np.argwhere(forward(**{**values, "x": moved}) != y)
    reach = seen.max(0) + 1 if len(seen) else np.ones(x.ndim, int)
    index = np.indices(x.shape).reshape(x.ndim, *x.shape)
    blocks = [i // r for i, r in zip(index, reach, strict=True)]
    sizes = [-(-n // int(r)) for n, r in zip(x.shape, reach, strict=True)]
    label = np.ravel_multi_index(blocks, sizes) if x.size else np.zeros(x.shape, int)
    flat, count = label.ravel(), max(1, int(label.max(initial=0)) + 1)
    n = np.maximum(np.bincount(flat, minlength=count), 1)
    mean = np.bincount(flat, x.ravel(), count) / n
    var = np.bincount(flat, (x - mean[label]).ravel() ** 2, count) / n
    largest = _spread_out(abs(x), label)
    # a constant group is moved on the scale of sqrt(eps); no step is smaller than what x's rounding can hold
    spread = np.maximum(np.sqrt(var[label] + 1e-10), 0)
    return label, np.maximum(spread, 1e-9 * largest)


def _spread_out(a: Array, label: NDArray[np.int_]) -> Array:
    """The largest value of each group, at each of its entries."""
    top = np.zeros(int(label.max(initial=0)) + 1)
    np.maximum.at(top, label.ravel(), np.nan_to_num(a.ravel(), nan=0.0, posinf=0.0))
    return top[label]


def _difference(
    forward: Callable[..., Array], dy: Array, values: dict[str, Array], name: str, way: Array, h: float, unsure_y: Array
) -> tuple[float, float]:
    """The derivative of sum(dy * y) along a way, by differences of fourth order; and how unsure rounding makes it."""
    h = float(2.0 ** np.round(np.log2(h)))
    y = [forward(**{**values, name: values[name] + k * h * way}) for k in (-2, -1, 1, 2)]
    terms = dy * (8 * (y[2] - y[1]) - (y[3] - y[0])) / (12 * h)
    moved = (y[1] != y[2]) | (y[0] != y[3])
    touched = np.where(moved | (not moved.any()), dy * unsure_y, 0)  # nothing moves: rounding hides what should
    steps = values[name] + h * way - values[name]
    bent = float(abs(steps - h * way).max(initial=0.0)) / h  # what rounding makes of the step
    noise = 8 * float(np.sqrt((touched**2).sum())) / h + 2.0**-48 * float(abs(terms).sum())
    return float(terms.sum()), noise + bent * float(abs(terms).sum())


def _by_autograd(formula: Callable[..., Tensor] | None, dy: Array, values: dict[str, Array]) -> dict[str, Array]:
    if formula is None:
        return {}
    tensors = {k: torch.tensor(v, requires_grad=True) for k, v in values.items()}
    formula(**tensors).backward(torch.tensor(dy))  # type: ignore[no-untyped-call]
    return {k: np.zeros(t.shape) if t.grad is None else t.grad.numpy() for k, t in tensors.items()}


def _subject(what: Any, backward: Any, reference: Any, params: dict[str, Array]) -> _Subject:
    if isinstance(what, layers._Layer):
        return _layer(what, params)
    if isinstance(what, _TWINS):
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


def _layer(layer: layers._Layer, given: dict[str, Array]) -> _Subject:
    own = {k: v for k, v in (("gamma", layer.gamma), ("beta", layer.beta)) if v is not None}
    params = {k: _float64(k, v) for k, v in {**own, **given}.items()}

    def at(params: dict[str, Array]) -> layers._Layer:
        fresh = copy.copy(layer)
        fresh.gamma, fresh.beta = params.get("gamma"), params.get("beta")
        return fresh

    def forward(x: Array, **params: Array) -> Array:
        return at(params)(x)

    def gradients(dy: Array, x: Array, **params: Array) -> dict[str, Any]:
        fresh = at(params)
        fresh(x)
        return {"x": fresh.backward(dy), "gamma": fresh.dgamma, "beta": fresh.dbeta}

    return _Subject(repr(layer), params, forward, gradients, _formula_of(layer))


def _module(module: Any, given: dict[str, Array]) -> _Subject:
    twin = copy.deepcopy(module).double().cpu()
    pairs = (("gamma", twin.weight), ("beta", getattr(twin, "bias", None)))
    own: dict[str, Tensor] = {k: p for k, p in pairs if p is not None}

    def run(x: Array, **params: Array) -> tuple[Tensor, dict[str, Tensor]]:
        for key, parameter in own.items():
            parameter.data.copy_(torch.tensor(params[key]))
        leaves = {"x": torch.tensor(x, requires_grad=True), **own}
        return twin(leaves["x"]), leaves

    def forward(**values: Array) -> Array:
        return run(**values)[0].detach().numpy()

    def gradients(dy: Array, **values: Array) -> dict[str, Any]:
        y, leaves = run(**values)
        return dict(zip(leaves, (g.numpy() for g in torch.autograd.grad(y, list(leaves.values()), torch.tensor(dy))),
                        strict=True))

    params = {k: given.get(k, _float64(k, p)) for k, p in own.items()}
    return _Subject(repr(module), params, forward, gradients, _formula_of(module))


def _formula_of(layer: Any) -> Callable[..., Tensor]:
    """The textbook formula of a layer or twin, in its mode, in torch's own operations."""
    if isinstance(layer, (layers.GroupNorm, twins.GroupNorm)):
        return functools.partial(_torch_group, num_groups=layer.num_groups, eps=layer.eps)
    if isinstance(layer, (layers.LayerNorm, twins.LayerNorm)):
        return functools.partial(_torch_layer, normalized_shape=layer.normalized_shape, eps=layer.eps)
    if isinstance(layer, twins.RMSNorm):
        return functools.partial(_torch_rms, normalized_shape=layer.normalized_shape, eps=layer.eps)
    mean, var = layer.running_mean, layer.running_var
    instance = isinstance(layer, (layers.InstanceNorm, twins.InstanceNorm))
    tracked = layer.track_running_stats or not instance  # as in the layers
    if not layer.training and tracked and mean is not None and var is not None:
        return functools.partial(_torch_given, _float64("mean", mean), _float64("var", var), layer.eps)
    return functools.partial(_torch_instance if instance else _torch_batch, eps=layer.eps)


def _torch_given(mean: Array, var: Array, eps: float, x: Tensor, gamma: Any = None, beta: Any = None) -> Tensor:
    shape = (1, -1, *[1] * (x.dim() - 2))
    mu, sigma2 = (torch.tensor(v).view(shape) for v in (mean, var))
    return _affine((x - mu) / torch.sqrt(sigma2 + eps), gamma, beta)
