"""The pictures of the chapter ``running-averages``, at the ends of their dials."""

from __future__ import annotations

import numpy as np
import pytest

from normbook.figures.running_averages import (
    draw_accuracies,
    draw_average,
    draw_bessel,
    draw_company,
    draw_drift,
    draw_tradeoff,
    running_average_errors,
)
from normcore import BatchNorm
from normcore.statistics import exponential_average

NOISE = 0.5 * np.random.default_rng(1).normal(size=1000)


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(size=(8, 3, 4, 4)) * np.linspace(0.2, 1, 8)[:, None, None, None]


@pytest.fixture
def layer(images):
    layer = BatchNorm(3, momentum=None, affine=False, dtype=np.float64)
    layer(images)
    return layer


def normalized(fig):
    return np.asarray(fig.axes[-1].images[0].get_array())


def test_company_moves_the_image_in_train_mode_only(images, layer):
    before = layer.state_dict()
    alone, bright, seven = (draw_company(images, layer, o, "train") for o in ([], [7], range(1, 8)))
    assert np.abs(normalized(alone) - normalized(bright)).max() > 0.1
    assert np.abs(normalized(bright) - normalized(seven)).max() > 0.05
    assert "train mode, alone: its output has mean 0.00 and spread 1.00" in alone.numbers
    assert "in the company of 7" in seven.alt
    pictures = [normalized(draw_company(images, layer, o, "eval")) for o in ([], [7], range(1, 8))]
    assert all(np.array_equal(pictures[0], p) for p in pictures[1:])
    after = layer.state_dict()
    assert all(np.array_equal(before[k], after[k]) for k in before)
    assert layer.training


def test_company_shows_who_is_there(images, layer):
    shown = [ax for ax in draw_company(images, layer, [3, 5], "eval").axes[:-1] if ax.images]
    assert len(shown) == 3
    assert all(spine.get_visible() for ax in shown for spine in ax.spines.values())
    np.testing.assert_allclose(shown[2].images[0].get_array(), images[5].transpose(1, 2, 0))


@pytest.mark.parametrize("momentum", [0.003, 0.1, 1.0])
@pytest.mark.parametrize("steps", [10, 1000])
def test_the_three_parts_are_the_error(momentum, steps):
    parts, course = running_average_errors(momentum, steps, NOISE)
    assert course.shape == (steps,)
    np.testing.assert_allclose(parts.sum(), course[-1] - (2 + 0.002 * steps), atol=1e-12)
    np.testing.assert_allclose(parts[0], -((1 - momentum) ** steps) * (2 + 0.002 * steps), atol=1e-12)


def test_lag_and_noise_of_the_last_batch_alone():
    parts, _ = running_average_errors(1.0, 50, NOISE)
    np.testing.assert_allclose(parts, [0, 0, NOISE[49]], atol=1e-15)
    parts, _ = running_average_errors(0.1, 1000, NOISE)
    np.testing.assert_allclose(parts[1], -9 * 0.002, rtol=1e-6)


def test_average_draws_the_parts_and_says_them():
    fig = draw_average(NOISE, 0.003, 10)
    parts, course = running_average_errors(0.003, 10, NOISE)
    np.testing.assert_allclose([bar.get_width() for bar in fig.axes[1].patches], parts)
    np.testing.assert_allclose(fig.axes[0].lines[2].get_ydata(), [0, *course])
    long_run = "(noise in the long run: ±0.02)"
    assert fig.numbers == f"momentum 0.003, step 10: off by −1.96 = start −1.96, lag 0.00, noise 0.00 {long_run}"
    assert draw_average(NOISE, 1.0, 1000).numbers.startswith("momentum 1, step 1000: off by")
    assert len(draw_average(NOISE, 0.1, 1000).to_svg()) < 15_000


def test_step_by_step_the_frame_stands_still():
    early, late, whole = (draw_average(NOISE, 0.1, 30, step) for step in (7, 99, None))
    assert early.axes[0].get_xlim() == whole.axes[0].get_xlim() and late.numbers == whole.numbers
    _, course = running_average_errors(0.1, 7, NOISE)
    np.testing.assert_allclose(early.axes[0].lines[2].get_ydata(), [0, *course])
    assert len(early.axes[0].lines[0].get_xdata()) == 7 and "step 7:" in early.numbers
    assert early.axes[1].get_xlabel().endswith("at step 7")


def test_the_whisker_is_the_noise_of_the_long_run():
    fig = draw_average(NOISE, 0.1, 1000)
    (ends,) = fig.axes[0].collections[0].get_segments()
    assert np.ptp(ends[:, 1]) / 2 == pytest.approx(NOISE.std() * np.sqrt(0.1 / 1.9))
    long = np.random.default_rng(0).normal(size=200_000)
    measured = exponential_average(long, 0.1, 0.0)[1000:].std()
    assert measured == pytest.approx(np.sqrt(0.1 / 1.9), rel=0.02)


def test_tradeoff_puts_measurement_on_theory():
    momenta, noise, lag = np.array([0.01, 0.1, 1.0]), np.array([0.1, 0.2, 0.5]), np.array([0.4, 0.1, 0.0])
    fig = draw_tradeoff(momenta, np.hypot(lag, noise)[:, None] * [1.0, -1.0], lag, noise)
    assert fig.numbers == "smallest error 0.22 at momentum 0.1; theory and measurement differ by at most 0%"


def test_bessel_shows_both_ends():
    sizes = np.array([2, 64])
    fig = draw_bessel(sizes, np.array([[0.5, 0.52], [0.98, 0.98]]), np.array([[1.0, 1.02], [1.0, 1.0]]))
    assert fig.numbers == "m = 2: biased 0.51, unbiased 1.01; m = 64: biased 0.98, unbiased 1.00"
    np.testing.assert_allclose(fig.axes[0].lines[0].get_ydata(), [0.5, 63 / 64])


def test_accuracies_say_the_means():
    assert draw_accuracies(["eval", "train"], np.array([[0.9, 1.0], [0.2, 0.4]])).numbers == "eval: 0.95; train: 0.30"


def test_drift_lays_theory_under_the_measurement():
    depth, sizes = np.arange(1, 21), (2, 4, 8, 64)
    same = np.array([((m - 1) / m) ** (depth / 2) for m in sizes])
    fresh = np.array([((m - 1) / m) ** ((depth - 1) / 2) for m in sizes])
    fig = draw_drift(sizes, same, fresh)
    assert fig.numbers == "after 20 layers on the same batch, m = 2: 0.001, m = 4: 0.056, m = 8: 0.263, m = 64: 0.854"
    solid, dotted = fig.axes[0].lines[:2]
    np.testing.assert_allclose(solid.get_ydata(), same[0])
    np.testing.assert_allclose(dotted.get_ydata(), fresh[0])
