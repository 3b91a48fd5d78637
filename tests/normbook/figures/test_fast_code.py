"""The picture of the page ``fast-code``."""

import numpy as np

from normbook.figures.fast_code import draw_blocks, draw_digits, draw_steps


def test_steps_tell_their_times_and_errors():
    times = np.array([[10.0, 12, 14], [5, 6, 7]])
    fig = draw_steps(["textbook", "package"], times, {"plain": [1e-6, 1e-7], "huge": [np.nan, 2e-7]})
    assert fig.numbers == ("textbook: 12 ms; package: 6 ms. Error: plain: 1×10⁻⁶ at first, 1×10⁻⁷ in the end; "
                           "huge: not finite at first, 2×10⁻⁷ in the end")  # fmt: skip
    left, right = fig.axes
    assert [t.get_text() for t in left.get_yticklabels()] == ["textbook", "package"]
    assert left.get_xlim()[0] == 0
    assert right.lines[1].get_xdata()[0] == 10  # what is not finite stands at the right edge


def test_digits_shows_the_error_of_each_channel():
    values = np.random.default_rng(0).standard_normal((4, 8, 100))
    near, far = draw_digits(values, 1), draw_digits(values, 1e5)
    textbook, package = (line.get_ydata() for line in far.axes[0].lines[:2])
    assert textbook.shape == (8,) and np.median(textbook) > 100 * np.median(package) and package.max() < 1e-6
    assert near.axes[0].lines[0].get_ydata().max() < 1e-5
    assert far.numbers.startswith("channels with a mean of about 1×10⁵ and a spread of 1, median error: textbook ")


def test_blocks_name_the_fastest():
    fig = draw_blocks(2.0 ** np.arange(18, 23), np.array([9.0, 7, 5, 6, 8]), 12.0)
    assert fig.numbers == "fastest 5 ms with 1 MiB; smallest blocks 9 ms; one block for everything 8 ms; textbook 12 ms"
    assert fig.axes[0].get_ylim()[1] > 12
