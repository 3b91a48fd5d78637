"""Numbers with their spread, on their way from the code that measured them into the book's sentences."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

Word = Literal["holds", "holds when", "does not hold", "undecided"]
WORDS: tuple[Word, ...] = get_args(Word)
CLAIMS = range(1, 17)
EXPLANATIONS = range(1, 6)


@functools.cache
def _student(share: float, freedom: int) -> float:
    """What Student's t stays within, on both sides, in this share of all cases: the angle's density is cosⁿ⁻¹."""
    angle = np.linspace(0, np.pi / 2, 20_001)
    density = np.cos(angle) ** (freedom - 1)
    below = np.concatenate([[0], np.cumsum(density[1:] + density[:-1])])
    return float(np.sqrt(freedom) * np.tan(np.interp(share, below / below[-1], angle)))


def interval(values: npt.ArrayLike, looks: int = 1) -> tuple[float, float]:
    """Mean of repeated measurements and the half-width of its 95% interval (Student's t).

    Of several ``looks``, any of which would be news, each gets an interval that fails in 5% / looks of all cases
    (Bonferroni): then all of them hold together in 95%.

    >>> interval([1.0, 2.0, 3.0])
    (2.0, 2.484...)
    >>> interval([1.0, 2.0, 3.0], looks=2)
    (2.0, 3.582...)
    """
    v = np.asarray(values, dtype=float)
    if v.ndim != 1 or v.size < 2:
        raise ValueError(f"an interval wants at least two values in one dimension, got shape {v.shape}")
    return float(v.mean()), float(_student(1 - 0.05 / looks, v.size - 1) * v.std(ddof=1) / np.sqrt(v.size))


def pooled(*samples: npt.ArrayLike, looks: int = 1) -> tuple[float, float]:
    """Mean of the means of independent sets of measurements, each counts as much, and its half-width.

    Where a question is asked of two data sets, their answers together are steadier than each alone.

    >>> pooled([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    (3.5, 1.756...)
    """
    means, halves = zip(*(interval(sample, looks) for sample in samples), strict=True)
    return float(np.mean(means)), math.hypot(*halves) / len(samples)


def middle(values: npt.ArrayLike) -> tuple[float, float, float]:
    """Median, and the ends of its 95% interval: found by counting, so a few wild values cannot move them far.

    A value is as likely above the true median as below it, so the number below is that of heads among tosses.

    >>> middle([3.0, 1.0, 2.0, 90.0, 5.0, 4.0])
    (3.5, 1.0, 90.0)
    """
    v = np.sort(np.asarray(values, dtype=float))
    fewer = np.cumsum([math.comb(v.size, k) for k in range(v.size + 1)]) / 2.0**v.size
    outside = int((fewer <= 0.025).sum())  # so many at each end may be left out
    if not outside:
        raise ValueError(f"{v.size} values are too few for a 95% interval of their median: want at least 6")
    return float(np.median(v)), float(v[outside - 1]), float(v[-outside])


def detectable(values: npt.ArrayLike, looks: int = 1) -> float:
    """The smallest true mean that a repetition of these measurements would tell from zero, four times out of five.

    (t₉₅ + t₈₀) · s/√n: the interval then excludes zero with probability 0.8, closely for five values or more.

    >>> round(detectable([1.0, 2.0, 3.0]), 2)
    3.1
    """
    _, half = interval(values, looks)
    freedom = np.size(values) - 1
    return half * (1 + _student(0.6, freedom) / _student(1 - 0.05 / looks, freedom))


class Factor(NamedTuple):
    """A geometric mean, the ends of its 95% interval, and the smallest one that could have been seen (`factor`)."""

    mean: float
    low: float
    high: float
    seen: float


def factor(ratios: npt.ArrayLike, steps: Sequence[float] = ()) -> Factor:
    """Geometric mean of ratios: the intervals of `interval` and `detectable`, in logarithms.

    ``steps``: the parts of the ratios were rounded to grids in which each value is so many times the one before.  A
    logarithm rounded to steps of log s is off by log s/√12 (standard deviation); twice that is added in squares, as if
    it were alike for all repeats.

    >>> [round(v, 2) for v in factor([1.8, 2.0, 2.2])]
    [1.99, 1.55, 2.56, 1.36]
    >>> [round(v, 2) for v in factor([1.8, 2.0, 2.2], steps=[2, 2])]
    [1.99, 1.07, 3.7, 1.97]
    """
    logs = np.log(ratios)
    mean, spread_of_it = interval(logs)
    half = math.hypot(spread_of_it, 2 * float(np.linalg.norm(np.log(steps))) / math.sqrt(12))
    seen = half + detectable(logs) - spread_of_it
    return Factor(*(math.exp(v) for v in (mean, mean - half, mean + half, seen)))


def at_most(values: npt.ArrayLike, looks: int = 1) -> float:
    """The largest size that the mean of as many *new* repeats has, 19 times of 20: a bound that a repetition respects.

    The new mean is as uncertain as this one, so it is wider than the 95% interval, by √2.  With ``looks`` the bound
    holds for all of several such means together, as in `interval`.

    >>> round(at_most([-1.0, 0.5, 1.0]), 2)
    3.82
    """
    mean, half = interval(values, looks)
    return abs(mean) + math.sqrt(2) * half


def all_at_most(looks: Iterable[npt.ArrayLike]) -> float:
    """A bound that several means respect together, 19 times of 20: the largest of theirs, corrected for their number.

    >>> round(all_at_most([[-1.0, 0.5, 1.0], [-0.5, 0.0, 0.5]]), 2)
    5.44
    """
    means = list(looks)
    return max(at_most(values, len(means)) for values in means)


def rounded_up(value: float, digits: int = 0) -> float:
    """The smallest number of so many decimals that is not below the value; negative ``digits`` leave tens, hundreds, …

    >>> rounded_up(2.34, 1), rounded_up(2.3, 1), rounded_up(-2.34, 1), rounded_up(1201, -2)
    (2.4, 2.3, -2.3, 1300.0)
    """
    if not math.isfinite(value):
        return value
    step = Decimal(1).scaleb(-digits)
    text = Decimal(repr(float(value)))  # 2.3 and not the binary number beside it
    return float((text / step).to_integral_value(ROUND_CEILING) * step)


def bound(value: float, digits: int = 0) -> str:
    """A bound as it is printed behind "at most" or "less than": rounded up, so that what is printed still bounds.

    >>> bound(2.34, 1), bound(6.02)
    ('2.4', '7')
    """
    return grouped(rounded_up(value, digits), digits)


def grouped(value: float, digits: int = 0) -> str:
    """A number as it is printed: a minus sign, and thousands set apart by a thin space that no line breaks at.

    >>> grouped(-31000), grouped(-0.04, 1)
    ('−31\\u202f000', '0.0')
    """
    return f"{round(value, digits) + 0.0:,.{digits}f}".replace(",", "\u202f").replace("-", "\N{MINUS SIGN}")  # no −0


def plus_minus(mean: float, half: float, digits: int = 2, unit: str = "") -> str:
    """``mean ± half-width``, as the book prints it: no line breaks within."""
    return f"{grouped(mean, digits)} ± {grouped(half, digits)}{unit}".replace(" ", "\N{NO-BREAK SPACE}")


def spread(values: npt.ArrayLike, digits: int = 2, unit: str = "") -> str:
    """``mean ± half-width of the 95% interval``, as the book prints it.

    >>> spread([0.91, 0.93, 0.95], unit=" s")
    '0.93\\xa0±\\xa00.05\\xa0s'
    """
    return plus_minus(*interval(values), digits, unit)


def glue(name: str, value: Any) -> None:
    """Hand a value to the book's prose: ``{glue:text}`` shows it there.  Without Jupyter Book it does nothing."""
    try:
        from myst_nb import glue as paste
    except ImportError:
        return
    paste(name, value, display=False)


def verdict(
    claim: int,
    word: Word,
    condition: str,
    number: str,
    label: str = "",
    smallest: str = "",
    of: Literal["claim", "explanation"] = "claim",
) -> None:
    """Record this chapter's answer to a claim of the tutorial; the chapter ``choosing`` collects all sixteen.

    Parameters
    ----------
    claim
        Its number, 1 to 16.
    word
        ``"holds"``, ``"holds when"``, ``"does not hold"`` or ``"undecided"``.  An interval that contains zero is
        undecided; "does not hold" wants one that excludes the claim.
    condition
        When it holds, or what is true instead: one short clause.
    number
        The measurement that says so, with its spread or its setting.
    label
        Set when two chapters answer the same claim, to tell their rows apart.
    smallest
        The smallest effect that the experiment could have seen (``detectable``), where chance is involved.  An
        undecided claim must have it.
    of
        ``"claim"``: one of the tutorial's sixteen.  ``"explanation"``: one of the five of the chapter ``why``.
    """
    numbers = CLAIMS if of == "claim" else EXPLANATIONS
    if claim not in numbers:
        raise ValueError(f"{of} {claim}: want {numbers[0]} to {numbers[-1]}")
    if word not in WORDS:
        raise ValueError(f"verdict {word!r}: want one of {', '.join(map(repr, WORDS))}")
    if not number.strip():
        raise ValueError(f"{of} {claim} needs the number that was measured")
    if word == "undecided" and not smallest.strip():
        raise ValueError(f"{of} {claim} is undecided: say the smallest effect that could have been seen")
    answer = {of: claim, "word": word, "condition": condition, "number": number}
    glue(f"{of}-{claim:02d}{label}", json.dumps(answer | ({"smallest": smallest} if smallest.strip() else {})))


def table(rows: Sequence[Sequence[str]], header: Sequence[str], caption: str) -> Table:
    """A table of results that reads well in a page, in a live notebook and to a screen reader."""
    if any(len(row) != len(header) for row in rows):
        raise ValueError(f"rows of {sorted({len(r) for r in rows})} cells under a header of {len(header)}")
    return Table(tuple(map(tuple, rows)), tuple(header), caption)


class Table:
    """Rows of text under a header; shows itself as an HTML table."""

    def __init__(self, rows: tuple[tuple[str, ...], ...], header: tuple[str, ...], caption: str) -> None:
        self.rows, self.header, self.caption = rows, header, caption

    def _repr_html_(self) -> str:
        from html import escape

        head = "".join(f'<th scope="col">{escape(h)}</th>' for h in self.header)
        body = "".join(
            f'<tr><th scope="row">{escape(first)}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in rest) + "</tr>"
            for first, *rest in self.rows
        )
        return (
            f'<div class="nc-table"><table class="table"><caption>{escape(self.caption)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.header, *self.rows, strict=True)]
        lines = [
            "  ".join(f"{c:<{w}}" for c, w in zip(r, widths, strict=True)).rstrip() for r in (self.header, *self.rows)
        ]
        return "\n".join([self.caption, *lines])
