"""The pictures of the chapter ``backward``, at the ends of their dials."""

from __future__ import annotations

import numpy as np
import pytest

from normbook.figures.backward import (
    draw_geometry,
    draw_graph,
    draw_paths,
    draw_step_sizes,
    three_paths,
    three_values,
)
from normcore import batch_norm


def test_the_three_paths_add_up_to_the_measured_slope():
    x = np.random.default_rng(0).normal(size=7)
    for i in range(7):
        step = np.zeros(7)
        step[i] = 1e-6
        up, down = (batch_norm((x + sign * step)[:, None])[0][:, 0] for sign in (1, -1))
        np.testing.assert_allclose(three_paths(x, i).sum(0), (up - down) / 2e-6, atol=1e-8)


def test_the_graph_s_derivatives_along_its_paths_add_up_to_the_gradient():
    """The labels, as formulas: one x of a channel, its own x̂."""
    said = draw_graph().alt.split(": ", 1)[1].split(". Three")[0]
    drawn = dict(part.split(", ") for part in said.split("; "))
    assert len(drawn) == 8
    x = np.random.default_rng(0).normal(size=5)
    m, d, r = 5, (x - x.mean())[0], (x.var() + 1e-5) ** -0.5
    values = {"1": 1, "1/m": 1 / m, "−1": -1, "2d/m": 2 * d / m, "−r³/2": -(r**3) / 2, "r": r, "d": d, "γ": 1}
    step = {arrow: values[label] for arrow, label in drawn.items()}
    straight = step["x to d"] * step["d to x̂"]
    mean = step["x to μ"] * step["μ to d"] * step["d to x̂"]
    variance = step["x to d"] * step["d to σ²"] * step["σ² to r"] * step["r to x̂"]
    np.testing.assert_allclose([straight, mean, variance], three_paths(x, 0)[:, 0])


@pytest.mark.parametrize("nudged", ["smallest", "middle", "largest"])
@pytest.mark.parametrize("m", [3, 12])
def test_the_last_row_of_bars_is_the_sum_of_the_others(nudged, m):
    fig = draw_paths(nudged, m)
    rows = np.array([[bar.get_height() for bar in ax.patches] for ax in fig.axes])
    assert rows.shape == (4, m)
    np.testing.assert_allclose(rows[3], rows[:3].sum(0), atol=1e-12)
    assert abs(rows[3].sum()) < 1e-12
    i = {"smallest": 0, "largest": m - 1}.get(nudged, int(np.argmax(rows[0])))
    assert np.flatnonzero(rows[0]).tolist() == [i]
    np.testing.assert_allclose(rows[1], rows[1, 0])
    assert rows[1, 0] < 0
    assert f"its own output moves by {rows[3, i]:.2f}" in fig.numbers
    assert "all together by 0" in fig.numbers


def test_inputs_of_one_s_own():
    fig = draw_paths("largest", 3, [2.0, -1.0, 0.5])
    x = np.sort([2.0, -1.0, 0.5])
    x = (x - x.mean()) / x.std()
    np.testing.assert_allclose([bar.get_height() for bar in fig.axes[3].patches], three_paths(x, 2).sum(0))
    assert list(fig.points) == [2.0, -1.0, 0.5]  # in the order in which they were given
    other = draw_paths("largest", 6, [2.0, -1.0, 0.5])
    assert len(other.points) == 6 and other.numbers == draw_paths("largest", 6).numbers
    with pytest.raises(ValueError, match="all values are equal"):
        draw_paths("largest", 3, [1.0, 1.0, 1.0])


def test_an_extreme_value_moves_the_variance_and_a_middle_one_does_not():
    middle, largest = (
        np.abs([bar.get_height() for bar in draw_paths(nudged, 12).axes[2].patches]).max()
        for nudged in ("middle", "largest")
    )
    assert 20 * middle < largest
    assert largest > 0.3


@pytest.mark.parametrize("turn", [0, 30, 90, 180, 330])
@pytest.mark.parametrize("out", [0.0, 0.9])
def test_dx_is_the_tangent_part_of_dy(turn, out):
    xhat, dy, dx = three_values(turn, out)
    assert abs(dx[2]) < 1e-12  # along (1, 1, 1)
    assert abs(dx @ xhat) < 1e-4  # up to eps
    tangent = np.array([-xhat[1], xhat[0], 0]) / np.linalg.norm(xhat)
    np.testing.assert_allclose(dx, (dy @ tangent) * tangent, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(xhat), np.sqrt(3), rtol=1e-4)
    assert dy[2] == pytest.approx(out)


def test_geometry_says_how_much_of_dy_is_left():
    assert "dx is 0% as long as dy; dx·1 = 0, dx·x̂ = 2×10⁻⁵" in draw_geometry(0, "in the plane").numbers
    assert "dx is 100% as long" in draw_geometry(90, "in the plane").numbers
    assert "dx is 77% as long" in draw_geometry(90, "out of the plane").numbers
    assert "out of the plane" in draw_geometry(330, "out of the plane").alt


def test_step_sizes_name_the_best_step():
    steps = 10.0 ** np.arange(-6, 0)
    fig = draw_step_sizes(steps, {"float64": steps**2, "float32": 1e-3 / steps})
    assert fig.numbers == "float64: best 1×10⁻¹² at h = 1×10⁻⁶; float32: best 0.01 at h = 0.1"
    assert len(fig.axes[0].lines) == 2
