"""The picture of the page ``fast-code``."""

import numpy as np

from normbook.figures.fast_code import draw_steps


def test_steps_tell_their_times_and_errors():
    times = np.array([[10.0, 12, 14], [5, 6, 7]])
    fig = draw_steps(["textbook", "package"], times, {"plain": [1e-6, 1e-7], "huge": [np.nan, 2e-7]})
    assert fig.numbers == ("textbook: 12 ms; package: 6 ms. Error: plain: 1×10⁻⁶ at first, 1×10⁻⁷ in the end; "
                           "huge: not finite at first, 2×10⁻⁷ in the end")  # fmt: skip
    left, right = fig.axes
    assert [t.get_text() for t in left.get_yticklabels()] == ["textbook", "package"]
    assert left.get_xlim()[0] == 0
    assert right.lines[1].get_xdata()[0] == 10  # what is not finite stands at the right edge
