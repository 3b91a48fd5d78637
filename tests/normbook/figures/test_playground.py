"""The still picture of the playground shows what the run has found."""

import numpy as np
import pytest

from normbook.experiments.playground import Settings, history
from normbook.figures.playground import draw_playground


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_the_picture_is_the_run(norm):
    run = history(Settings(norm=norm, depth=1, batch=8, norm_batch=4), 20)
    assert [look.step for look in run.looks] == [0, 10, 20] and len(run.weight_norms) == 21
    large = draw_playground(run, channel=2)
    loss, accuracy, means, length = large.axes
    assert np.array_equal(loss.lines[0].get_ydata(), run.losses)
    for line, mode in zip(accuracy.lines, ("train", "eval"), strict=True):
        assert np.allclose(line.get_ydata(), [100 * getattr(look, f"{mode}_accuracy") for look in run.looks])
    assert np.array_equal(means.lines[0].get_ydata(), np.ravel([m[:, 2] for m in run.means]))
    assert len(means.lines) == (2 if norm == "batch" else 1)
    assert np.array_equal(length.lines[0].get_ydata(), run.weight_norms)
    right = f"{100 * run.looks[-1].eval_accuracy:.0f}%"
    small = draw_playground(run, small=True)
    assert len(small.axes) == 2
    for fig in (large, small):
        assert right in fig.alt and right in fig.numbers
        assert ("running mean" in fig.alt) == (norm == "batch")
