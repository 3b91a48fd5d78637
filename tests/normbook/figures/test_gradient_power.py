"""The picture of the power of the check of gradients, and the scores behind it."""

from __future__ import annotations

import numpy as np
import pytest

from normbook.figures.gradient_power import draw_gradient_power


def test_points_are_the_shares_and_the_words_the_sums():
    fig = draw_gradient_power({"one": (3, 4, 1, 2, 0, 5), "two": (4, 4, 2, 2, 1, 5)})
    lines = [line.get_xdata().tolist() for line in fig.axes[0].lines]
    assert lines == [[75, 100], [50, 100]]
    assert "with a reference 7 of 8 mistakes found, without 3 of 4; 1 of 10 right gradients rejected" in fig.alt


@pytest.mark.slow
def test_a_sample_of_the_scores():
    pytest.importorskip("torch")
    from normbook.experiments.gradient_power import MISTAKES, RIGHT, kinds, score

    assert (len(MISTAKES), len(RIGHT), len(kinds(0))) == (32, 10, 21)
    counts = np.array(list(score(every=8).values()))
    assert counts[:, 1].min() >= 2
    assert counts[:, 0].sum() >= 0.995 * counts[:, 1].sum()
    assert counts[:, 2].sum() >= 0.95 * counts[:, 3].sum()
    assert counts[:, 4].sum() == 0
