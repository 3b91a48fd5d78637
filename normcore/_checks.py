"""What the functions accept, and errors that say what was seen, what was wanted and what to do."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
LAYOUTS = "(N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W)"


def floating(name: str, a: Any) -> None:
    """Raise TypeError unless `a` is a plain NumPy array of float16, float32 or float64."""
    if not isinstance(a, np.ndarray) or isinstance(a, np.ma.MaskedArray):
        raise TypeError(f"{name} is a {type(a).__name__}, wanted a NumPy array: use np.asarray({name}, np.float32)")
    if a.dtype.type not in (np.float16, np.float32, np.float64):
        raise TypeError(
            f"{name} has dtype {a.dtype}, wanted float16, float32 or float64: use {name}.astype(np.float32)"
        )


def batch(name: str, x: Any, least: int = 2) -> None:
    """Raise unless x is a floating array laid out as (N, C, ...) with `least` to 5 dimensions."""
    floating(name, x)
    if not least <= x.ndim <= 5:
        wanted = LAYOUTS if least == 2 else LAYOUTS.replace("(N, C), ", "")
        raise ValueError(
            f"{name} has shape {x.shape}, wanted {wanted}: "
            + ("add the missing axes, as in x[None]" if x.ndim < least else "merge axes with reshape")
        )


def vector(name: str, v: Any, shape: tuple[int, ...]) -> None:
    """Raise unless v is None or a floating array of the shape wanted."""
    if v is None:
        return
    floating(name, v)
    if v.shape != shape:
        raise ValueError(
            f"{name} has shape {v.shape}, wanted {shape}: one value for each of the normalized input's channels"
            if len(shape) == 1
            else f"{name} has shape {v.shape}, wanted {shape}: one value for each entry of a sample"
        )


def positive(name: str, value: Any) -> None:
    """Raise unless value is a finite number above zero."""
    if not isinstance(value, numbers.Real) or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is {value!r}, wanted a number above 0, such as 1e-5")
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} is {value!r}, wanted a finite number above 0, such as 1e-5")


def several(x: Array, count: int, whose: str, advice: str) -> None:
    """Raise if a statistic would be taken over one value: its variance is 0 and every output would be beta."""
    if count == 1 and x.size:
        raise ValueError(
            f"x has shape {x.shape}: the variance of {whose} is undefined over 1 value, wanted at least 2: {advice}"
        )


def gradient(dy: Any, x: Array) -> None:
    """Raise unless dy can be the gradient with respect to an output shaped like x."""
    floating("dy", dy)
    if dy.shape != x.shape:
        raise ValueError(f"dy has shape {dy.shape}, wanted {x.shape}, the shape of the forward pass's x")


def variance(name: str, var: Array) -> None:
    """Raise if a variance is negative (NaN passes: it belongs to the data)."""
    if (var < 0).any():
        i = int(np.argmax(var < 0))
        raise ValueError(f"{name}[{i}] is {var[i]}, wanted a variance, at least 0: was another array passed?")
