"""Numbers with their spread, on their way from the code that measured them into the book's sentences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

Word = Literal["holds", "holds when", "does not hold", "undecided"]
WORDS: tuple[Word, ...] = get_args(Word)
CLAIMS = range(1, 17)
EXPLANATIONS = range(1, 6)

# Two-sided 95% quantiles of Student's t for 1, 2, … 30 degrees of freedom (so that NumPy is enough).
_T95 = np.array([
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
])  # fmt: skip
# One-sided 80% quantiles of the same.
_T80 = np.array([
    1.376, 1.061, 0.978, 0.941, 0.920, 0.906, 0.896, 0.889, 0.883, 0.879, 0.876, 0.873, 0.870, 0.868, 0.866,
    0.865, 0.863, 0.862, 0.861, 0.860, 0.859, 0.858, 0.858, 0.857, 0.856, 0.856, 0.855, 0.855, 0.854, 0.854,
])  # fmt: skip


def interval(values: npt.ArrayLike) -> tuple[float, float]:
    """Mean of repeated measurements and the half-width of its 95% interval (Student's t).

    >>> interval([1.0, 2.0, 3.0])
    (2.0, 2.484...)
    """
    v = np.asarray(values, dtype=float)
    if v.ndim != 1 or v.size < 2:
        raise ValueError(f"an interval wants at least two values in one dimension, got shape {v.shape}")
    t = _T95[v.size - 2] if v.size <= 31 else 1.96 + 2.4 / (v.size - 1)
    return float(v.mean()), float(t * v.std(ddof=1) / np.sqrt(v.size))


def detectable(values: npt.ArrayLike) -> float:
    """The smallest true mean that a repetition of these measurements would tell from zero, four times out of five.

    (t₉₅ + t₈₀) · s/√n: the 95% interval then excludes zero with probability 0.8, closely for five values or more.

    >>> round(detectable([1.0, 2.0, 3.0]), 2)
    3.1
    """
    v = np.asarray(values, dtype=float)
    _, half = interval(v)
    if v.size <= 31:
        return half * float(1 + _T80[v.size - 2] / _T95[v.size - 2])
    return half * (1 + 0.85 / 1.98)


def at_most(values: npt.ArrayLike) -> float:
    """The largest size that the true mean can have, by its 95% interval: what is left where nothing was decided.

    >>> round(at_most([-1.0, 0.5, 1.0]), 2)
    2.75
    """
    mean, half = interval(values)
    return abs(mean) + half


def grouped(value: float, digits: int = 0) -> str:
    """A number as it is printed: a minus sign, and thousands set apart by a thin space that no line breaks at.

    >>> grouped(-31000)
    '−31\\u202f000'
    """
    return f"{value:,.{digits}f}".replace(",", "\u202f").replace("-", "\N{MINUS SIGN}")


def spread(values: npt.ArrayLike, digits: int = 2, unit: str = "") -> str:
    """``mean ± half-width of the 95% interval``, as the book prints it: no line breaks within.

    >>> spread([0.91, 0.93, 0.95], unit=" s")
    '0.93\\xa0±\\xa00.05\\xa0s'
    """
    mean, half = interval(values)
    return f"{grouped(mean, digits)} ± {grouped(half, digits)}{unit}".replace(" ", "\N{NO-BREAK SPACE}")


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
