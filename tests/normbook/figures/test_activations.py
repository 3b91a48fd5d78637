"""The pictures of the chapter ``activations``, at the ends of their dials."""

import numpy as np
import pytest

from normbook.figures.activations import (
    draw_copies,
    draw_depth,
    draw_growth,
    draw_information,
    draw_signal,
    draw_spread,
    draw_trained,
    entering,
    name,
)

GAINS = (1 / np.sqrt(3), np.sqrt(2), 2.0)


def geometric(first, factor, depth, repeats=2):
    return np.tile(first * factor ** np.arange(depth), (repeats, 1))


@pytest.mark.parametrize(("gain", "said"), [(1 / np.sqrt(3), "0.58"), (np.sqrt(2), "1.41"), (1.0, "1"), (2.0, "2")])
def test_a_gain_is_named_with_at_most_two_decimals(gain, said):
    assert name(gain) == said


def test_spread_draws_one_line_a_gain_and_says_where_it_ends():
    sizes = {gain: geometric(1.0, gain / np.sqrt(2), 21) for gain in GAINS}
    fig = draw_spread(sizes)
    lines = fig.axes[0].get_lines()
    assert len(lines) == 3
    np.testing.assert_allclose(lines[2].get_ydata()[-1], 2**10)
    assert fig.axes[0].get_yscale() == "log"
    assert fig.numbers.endswith("gain 1.41: 1.0; gain 2: 1\u202f024")
    assert "gain 0.58: 1.7×10⁻⁸" in fig.numbers


def test_theory_lies_on_a_measurement_that_obeys_it():
    lines = draw_spread({2.0: geometric(3.0, np.sqrt(2), 10)}, theory=True).axes[0].get_lines()
    np.testing.assert_allclose(lines[0].get_ydata(), lines[1].get_ydata())


def test_growth_states_the_largest_difference_to_the_law():
    gains = np.array(GAINS)
    fig = draw_growth(gains, gains**2 / 2 * [1, 1, 1.03], np.full(3, 0.05))
    assert fig.numbers == "theory and measurement differ by at most 3.0%"
    assert "1.41: 1.000 ± 0.050" in fig.alt


RUNS = {
    (depth, gain, norm): (
        geometric(1.0, gain / np.sqrt(2) if norm == "none" else 1, depth),
        geometric(1.0, gain / np.sqrt(2) if norm == "none" else 1.2, depth)[:, ::-1] / gain,
    )
    for depth in (5, 40)
    for gain in (GAINS[0], GAINS[2])
    for norm in ("none", "batch")
}


@pytest.mark.parametrize(("depth", "gain", "norm"), RUNS)
def test_depth_shows_both_panels_for_every_position(depth, gain, norm):
    fig = draw_depth(RUNS, depth=depth, gain=gain, norm=norm)
    forward, backward = (ax.get_lines()[-1].get_ydata() for ax in fig.axes)
    assert len(forward) == len(backward) == depth
    np.testing.assert_allclose(forward[-1], (gain / np.sqrt(2)) ** (depth - 1) if norm == "none" else 1)
    for ax, values in zip(fig.axes, (forward, backward), strict=True):
        low, high = ax.get_ylim()
        assert low <= values.min() and values.max() <= high
    assert f"at layer {depth}" in fig.numbers and f"norm: {norm}" in fig.alt


def test_every_dial_moves_picture_and_numbers():
    drawn = [draw_depth(RUNS, *position) for position in RUNS]
    assert len({fig.numbers for fig in drawn}) == len({fig.to_svg() for fig in drawn}) == len(RUNS)


def test_depth_has_the_same_axes_at_every_position():
    limits = {tuple((ax.get_xlim(), ax.get_ylim()) for ax in draw_depth(RUNS, *position).axes) for position in RUNS}
    assert len(limits) == 1


def test_information_names_the_last_layer_of_every_stack():
    correct = {"a": {"none": np.array([[0.9, 0.5], [0.7, 0.3]]), "BN": np.array([[0.9, 0.1], [0.7, 0.1]])}}
    fig = draw_information(correct)
    assert fig.numbers == "at layer 2: a: none 0.40, BN 0.10; chance 0.1"
    ax = fig.axes[0]
    assert len(ax.lines) == 2 * 3 + 1 and ax.get_ylim() == (0, 1.02)
    np.testing.assert_allclose(ax.lines[2].get_ydata(), [0.8, 0.4])


def test_a_stack_with_shortcuts_has_the_color_of_the_one_without_and_is_dashed():
    flat = np.full((1, 2), 0.5)
    fig = draw_information({"a": {label: flat for label in ("none", "BN", "shortcuts", "BN + shortcuts")}})
    lines = {line.get_label(): (line.get_color(), line.get_linestyle()) for line in fig.axes[0].lines}
    assert lines["shortcuts"] == (lines["none"][0], "--") and lines["BN + shortcuts"] == (lines["BN"][0], "--")
    assert lines["none"][1] == lines["BN"][1] == "-" and lines["none"][0] != lines["BN"][0]


def test_copies_draws_the_copy_and_the_other_image():
    fig = draw_copies({"BN": np.array([[[0.9, 0.1], [0.2, 0.0]], [[0.7, 0.3], [0.2, 0.0]]])})
    assert fig.numbers == "at layer 2: BN 0.20 with the copy, 0.00 with another image"
    np.testing.assert_allclose(fig.axes[0].lines[0].get_ydata(), [0.8, 0.2])


def test_trained_shows_every_seed_and_says_the_medians():
    accuracy = np.array([[[[0.9, 0.1, 0.8]], [[0.5, 0.6, 0.7]]]])  # data, arm, depth, seed
    fig = draw_trained(accuracy, ["one", "two"], [5], ["a"])
    assert fig.numbers == "median at 5 convolutions: a: one 0.80, two 0.60"
    points = sorted(float(y) for line in fig.axes[0].lines if line.get_marker() in "os" for y in line.get_ydata())
    assert points == [0.1, 0.5, 0.6, 0.7, 0.8, 0.9]


def test_a_norm_keeps_the_size_that_the_gain_takes_away():
    images = np.random.default_rng(0).normal(size=(4, 1, 8, 8))
    for gain in (0.5, 2.0):
        plain, normed = (list(entering(images, gain, norm, 12)) for norm in (False, True))
        assert plain[-1].shape == normed[-1].shape == (4, 24, 8, 8)
        assert np.mean(normed[-1] ** 2) == pytest.approx(1, abs=1e-3)
        growth = np.log(np.mean(plain[-1] ** 2) / np.mean(plain[0] ** 2)) / 11
        assert growth == pytest.approx(np.log(gain**2 / 2), abs=0.3)
    one, two = (list(entering(images, gain, False, 3)) for gain in (0.5, 1.0))
    np.testing.assert_allclose(8 * one[2], two[2])  # the same random numbers at every gain


def test_the_signal_is_shown_layer_by_layer():
    images = np.random.default_rng(0).normal(size=(4, 1, 8, 8))
    fig = draw_signal(images, 2.0, layers=(1, 4))
    assert [ax.get_title() for ax in fig.axes] == ["layer 1", "layer 4", "", ""]
    *_, top = entering(images, 2.0, False, 4)
    np.testing.assert_allclose(fig.axes[1].images[0].get_array(), top[0, 0])
    assert fig.numbers.startswith("gain 2, size (rms) of the values at layer 4: ")
    assert fig.numbers.endswith(" with no norm, 1.00 with batch norm")
