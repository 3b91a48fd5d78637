"""The picture of the page ``fast-code``: what each idea does to the time and to the error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from normbook.report import interval
from normbook.style import BLUE, GRAY, GREEN, ORANGE, Figure, figure, picture, scientific


@picture
def draw_steps(
    names: Sequence[str], times: npt.ArrayLike, errors: Mapping[str, Sequence[float]]
) -> Figure:
    """Time (ms) of each step over the rounds, (steps, rounds), and its error on each kind of input."""
    fig, (left, right) = figure(3.0, 1, 2, sharey=True)
    rows = np.arange(len(names))
    found = [interval(t) for t in np.asarray(times)]
    left.errorbar([mean for mean, _ in found], rows, xerr=[half for _, half in found], fmt="o", color=BLUE)
    left.set_xlim(0)
    left.set_yticks(rows, names)
    left.invert_yaxis()
    left.set_xlabel("time (ms)")
    marks = zip(errors.items(), (GRAY, ORANGE, GREEN), "osD", strict=False)
    for (kind, values), color, marker in marks:
        shown = [min(max(v, 1e-9), 10) if np.isfinite(v) else 10 for v in values]
        right.semilogx(shown, rows, marker, color=color, label=kind)
    right.set_xlabel("relative error")
    right.set_xlim(1e-9, 30)
    fig.legend(loc="outside upper right", ncols=len(errors))
    told = "; ".join(f"{name}: {mean:.0f} ms" for name, (mean, _) in zip(names, found, strict=True))
    worst = "; ".join(
        f"{kind}: {scientific(values[0], 1) if np.isfinite(values[0]) else 'not finite'} at first, "
        f"{scientific(values[-1], 1)} in the end"
        for kind, values in errors.items()
    )
    return fig.describe(
        f"Two panels with a row for each step, from the textbook at the top to the package. Left, the time: {told}. "
        f"Right, the error on a logarithmic axis for three kinds of input. {worst}.",
        f"{told}. Error: {worst}",
    )
