import numpy as np
import pytest

from normbook.figures.batch_norm import (
    draw_company,
    draw_distance,
    draw_identity,
    draw_values,
    identity_pair,
)
from normcore import batch_norm, instance_norm


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_the_first_photo_depends_on_its_company(random):
    photo = random.uniform(0, 1, (3, 8, 12))
    others = {"a dark copy": photo / 4, "a true copy": photo}
    figures = {name: draw_company(photo, others, name) for name in ("nobody", *others)}
    shown = {name: fig.axes[3].images[0].get_array() for name, fig in figures.items()}
    assert np.array_equal(shown["nobody"], shown["a true copy"])
    assert shown["a dark copy"].mean() > shown["nobody"].mean() + 0.1
    y = batch_norm(np.stack([photo, photo / 4]))[0][0]
    assert f"mean {y.mean():.2f} and standard deviation {y.std():.2f}" in figures["a dark copy"].numbers
    assert "mean 0.00 and standard deviation 1.00" in figures["nobody"].numbers
    assert not figures["nobody"].axes[1].images and figures["a dark copy"].axes[1].images
    assert len({fig.numbers for fig in figures.values()}) == 3


def test_a_brighter_company_makes_the_photo_darker(random):
    photo = random.uniform(0, 1, (3, 8, 12))
    darker, same, brighter = (draw_company(photo, {"a copy": photo}, "a copy", by) for by in (-0.3, 0, 0.3))
    means = [fig.axes[3].images[0].get_array().mean() for fig in (darker, same, brighter)]
    assert means[0] > means[1] + 0.05 > means[2] + 0.1
    assert "a copy, made 0.3 brighter comes out" in brighter.numbers and "made" not in same.numbers
    before, after = brighter.axes[2], brighter.axes[5]
    assert before.lines[0].get_xdata()[0] == pytest.approx(photo.mean() + 0.15)
    assert after.lines[0].get_xdata()[0] == pytest.approx(0, abs=1e-9)
    shares = [patch.get_data().values.sum() for ax in (before, after) for patch in ax.patches]
    assert shares == pytest.approx([100] * 4)


def test_distance_shows_means_and_intervals():
    distances = np.array([[0.0, 0.0, 0.0], [0.4, 0.5, 0.6], [0.9, 1.0, 1.1]])
    fig = draw_distance([1, 2, 4], distances)
    line = fig.axes[0].lines[0]
    assert np.allclose(line.get_ydata(), [0, 0.5, 1])
    bars = fig.axes[0].collections[0].get_segments()
    assert np.allclose(np.ptp(bars[1][:, 1]), 2 * 4.3026527 * 0.1 / np.sqrt(3))  # Student's t, two degrees of freedom
    assert "1: 0; 2: 0.50; 4: 1.00" in fig.numbers


def test_identity_pair_is_the_identity_up_to_the_batches_statistics(random):
    features = random.normal(2, 3, (50, 2, 4, 4))
    x, y = identity_pair(features, batch_size=50, others=3)  # all of them: every batch has the same statistics
    assert x.shape == y.shape == (3, 50, 2, 4, 4) and np.allclose(x, y)
    x, y = identity_pair(features, batch_size=2, others=3)
    assert np.abs(x - y).max() > 0.1


@pytest.mark.parametrize("batch_size", [2, 40])
def test_identity_draws_one_line_for_each_batch(random, batch_size):
    features = random.normal(2, 3, (80, 2, 4, 4))
    fig = draw_identity(features, batch_size, others=5)
    lines = fig.axes[0].lines
    assert len(lines) == 1 + 5
    x, y = identity_pair(features, batch_size, 5)
    for line, before, after in zip(lines[1:], x[:, :, 0], y[:, :, 0], strict=True):
        slope = np.ptp(after) / np.ptp(before)
        assert np.isclose(np.diff(line.get_ydata()) / np.diff(line.get_xdata()), slope)
    pairs = [identity_pair(features, batch_size, 5, seed) for seed in range(10)]
    off = 100 * np.mean([np.sqrt(np.mean((b - a) ** 2)) for x, y in pairs for a, b in zip(x, y, strict=True)])
    off /= features.std()
    assert f"{off:.0f}%" in fig.numbers and f"batches of {batch_size}" in fig.numbers and "(50 draws)" in fig.numbers


def test_larger_batches_come_closer_to_the_identity(random):
    features = random.normal(2, 3, (400, 2, 4, 4))
    off = [float(draw_identity(features, n).numbers.split(" by ")[1].split("%")[0]) for n in (2, 200)]
    assert off[1] < off[0] / 4


def test_values_before_and_after(random):
    batch = random.normal(size=(4, 1, 6, 6)) * np.arange(1, 5)[:, None, None, None] + np.arange(4)[:, None, None, None]
    fig = draw_values(batch)
    expected = (batch, instance_norm(batch)[0], batch_norm(batch)[0])
    for ax, x in zip(fig.axes, expected, strict=True):
        assert np.allclose(ax.lines[0].get_xdata(), x.mean((1, 2, 3)))
    assert "of all values together 0 and 1.00" in fig.numbers
