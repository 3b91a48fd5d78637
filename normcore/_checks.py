"""What the functions accept, and errors that say what was seen, what was wanted and what to do."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Param = Array | None  # gamma or beta, and their gradients
Shape = tuple[int, ...]
LAYOUTS = "(N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W)"


def floating(name: str, a: Any) -> None:
    """Raise TypeError unless `a` is a plain NumPy array of float16, float32 or float64."""
    if not isinstance(a, np.ndarray) or isinstance(a, (np.ma.MaskedArray, np.matrix)):
        raise TypeError(
            f"{name} is a {type(a).__name__}, wanted a NumPy array: use np.asarray({name}, np.float32)"
        )
    if a.dtype.type not in (np.float16, np.float32, np.float64):
        raise TypeError(
            f"{name} has dtype {a.dtype}, wanted float16, float32 or float64: use {name}.astype(np.float32)"
        )


def batch(name: str, x: Any, least: int = 2) -> None:
    """Raise unless x is a floating array laid out as (N, C, ...) with `least` to 5 dimensions."""
    floating(name, x)
    layout(name, x, least)


def layout(name: str, x: Any, least: int = 2) -> None:
    """Raise unless x, an array or a tensor, is laid out as (N, C, ...) with `least` to 5 dimensions."""
    shape = tuple(x.shape)
    if not least <= len(shape) <= 5:
        wanted = LAYOUTS if least == 2 else LAYOUTS.replace("(N, C), ", "")
        advice = "add the missing axes, as in x[None]" if len(shape) < least else "merge axes with reshape"
        raise ValueError(f"{name} has shape {shape}, wanted {wanted}: {advice}")
    if shape[1] == 0:
        raise ValueError(f"{name} has shape {shape}, wanted at least 1 channel on axis 1")


def features(x: Any, number: int, least: int, name: str = "num_features") -> None:
    """Raise unless x is laid out as (N, number, ...)."""
    layout("x", x, least)
    if x.shape[1] != number:
        advice = f"move the channels there, or make the layer with another {name}"
        if x.shape[0] == number and len(x.shape) < 5:
            advice = f"if this is one sample without a batch axis, pass x[None]; if not, {advice}"
        raise ValueError(
            f"x has shape {tuple(x.shape)} and {x.shape[1]} channels, wanted {number} on axis 1: {advice}"
        )


def inputs(x: Any, gamma: Any, beta: Any, eps: Any, least: int = 2) -> None:
    """Raise unless x, gamma, beta and eps can go into a normalization with one gamma and beta per channel."""
    batch("x", x, least)
    vector("gamma", gamma, x.shape[1:2])
    vector("beta", beta, x.shape[1:2])
    positive("eps", eps)


def vector(name: str, v: Any, shape: tuple[int, ...]) -> None:
    """Raise unless v is None or a floating array of the shape wanted."""
    if v is None:
        return
    floating(name, v)
    if v.shape != shape:
        raise ValueError(
            f"{name} has shape {v.shape}, wanted {shape}: one value for each "
            + ("channel, axis 1 of x" if len(shape) == 1 else "entry of a sample")
        )


def statistics(x: Array, mean: Any, var: Any) -> None:
    """Raise unless mean and var are one number per channel, and no variance is negative (NaN may be)."""
    for name, v in (("mean", mean), ("var", var)):
        floating(name, v)
        vector(name, v, x.shape[1:2])
    variance("var", var)


def positive(name: str, value: Any) -> None:
    """Raise unless value is a finite number above zero."""
    if not isinstance(value, (float, int, np.floating, np.integer)) or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is {value!r}, wanted a number above 0, such as 1e-5")
    try:
        good = 0 < float(value) < math.inf
    except OverflowError:  # an integer beyond all floats
        good = False
    if not good:
        raise ValueError(f"{name} is {value!r}, wanted a finite number above 0, such as 1e-5")


def more_than_one_value(x: Any, axes: Iterable[int], whose: str, advice: str, groups: int = 1) -> None:
    """Raise if a statistic would be taken over one value: its variance is 0, and every output would be beta."""
    if math.prod(x.shape) and math.prod([x.shape[i] for i in axes]) == groups:
        raise ValueError(
            f"x has shape {tuple(x.shape)}, which leaves 1 value for {whose}, wanted at least 2: "
            f"the variance of 1 value is undefined; {advice}"
        )


def gradient(dy: Any, shape: Shape) -> None:
    """Raise unless dy can be the gradient with respect to an output of this shape, that of x."""
    floating("dy", dy)
    if dy.shape != shape:
        raise ValueError(f"dy has shape {dy.shape}, wanted {shape}, the shape of the forward pass's x")


def backward(dy: Any, cache: Any, *wanted: str) -> None:
    """Raise unless the cache is from the forward pass of one of these norms, and dy can be the gradient there."""
    if not hasattr(cache, "norm"):
        raise TypeError(f"the cache is a {type(cache).__name__}, wanted what {wanted[0]}_norm returns beside y")
    gradient(dy, cache.x.shape)
    if cache.norm not in wanted:
        raise ValueError(
            f"the cache is from {cache.norm}_norm, wanted one from {'_norm or '.join(wanted)}_norm: "
            f"use {cache.norm}_norm_backward"
        )


def variance(name: str, var: Array) -> None:
    """Raise if a variance is negative."""
    if (var < 0).any():
        i = int(np.argmax(var < 0))
        raise ValueError(f"{name}[{i}] is {var[i]}, wanted a variance, at least 0: was another array passed?")


def fraction(name: str, value: Any) -> float:
    """Return value as a float, or raise unless it lies in [0, 1]."""
    if not isinstance(value, (float, int, np.floating, np.integer)) or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is {value!r}, wanted a number from 0 to 1")
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value!r}, wanted a number from 0 to 1: the weight of the new value")
    return float(value)


def divisor(name: str, value: Any, channels: int) -> None:
    """Raise unless value is an integer above zero that divides the number of channels."""
    if not isinstance(value, numbers.Integral) or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is {value!r}, wanted an integer that divides the {channels} channels of x")
    if value < 1 or channels % int(value):
        raise ValueError(f"{name} is {value}, wanted a divisor of x's {channels} channels: groups are equal")


def flag(name: str, value: Any) -> bool:
    """Return value as a bool, or raise TypeError unless it is one: the text "False" is true."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is {value!r}, wanted True or False")
    return bool(value)


def size(name: str, value: Any, what: str) -> int:
    """Return value as an int, or raise unless it is an integer above zero."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}, wanted an integer: {what}") from None
    if isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, wanted an integer: {what}")
    if number < 1:
        raise ValueError(f"{name} is {number}, wanted at least 1: {what}")
    return number


def trailing(normalized_shape: Any) -> Shape:
    """Return normalized_shape, an integer or several, as a tuple; or raise unless it can be sizes of x's last axes."""
    what = "the sizes of x's last axes"
    if isinstance(normalized_shape, (str, bytes)) or not isinstance(normalized_shape, Iterable):
        normalized_shape = (normalized_shape,)
    shape = tuple([size("normalized_shape", n, what) for n in normalized_shape])
    if not shape:
        raise ValueError(f"normalized_shape is (), wanted at least one axis: {what}")
    return shape


def ends(x: Any, normalized_shape: Shape) -> None:
    """Raise unless the last axes of x, an array or a tensor, have these sizes."""
    if tuple(x.shape)[-len(normalized_shape):] != normalized_shape:
        raise ValueError(
            f"x has shape {tuple(x.shape)}, wanted (..., {', '.join(map(str, normalized_shape))}): "
            "give the sizes of x's last axes"
        )


def options(num_features: Any, eps: Any, momentum: Any, **flags: Any) -> int:
    """Return num_features as an int, or raise unless a layer can be made with these."""
    number = size("num_features", num_features, "the size of x's axis 1")
    positive("eps", eps)
    if momentum is not None:
        fraction("momentum", momentum)
    for name, value in flags.items():
        flag(name, value)
    return number
