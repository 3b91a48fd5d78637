import numpy as np
import pytest

from normbook.experiments.sweep import Plan, Results
from normbook.figures.experiments import (
    IMAGENET,
    draw_by_batch_size,
    draw_curves,
    draw_differences,
    draw_errors,
    draw_rates,
)

RATES = (0.125, 0.25, 0.5, 1.0)
SIZES = (2, 16)


@pytest.fixture
def results():
    """Made-up results: norm n ends at 70, 90, 80% (batch size 2) and 10 points more (16); the largest rate fails."""
    plan = Plan(SIZES, (100, 50), RATES, (0, 1), checks=3)
    end = np.array([0.7, 0.9, 0.8])[:, None] + np.array([0.0, 0.1])  # (norm, size)
    end = end[:, :, None] + np.array([-0.01, 0.0])  # (norm, size, seed)
    final = end[..., None] * np.array([0.9, 0.95, 1.0, 0.1])  # (norm, size, seed, rate): 0.5 is best
    curves = final[..., None] * np.array([0.2, 0.6, 1.0])
    at = np.array([[4, 20, 100], [4, 14, 50]])
    return Results(plan, at, curves, train=final, test=final, test_population=final, seconds=1.0)


def lines(ax):
    """The labelled lines of an axes, by label."""
    return {line.get_label(): line for line in ax.get_lines() if not line.get_label().startswith("_")}


@pytest.mark.parametrize(("size", "ends"), [(2, (69.5, 89.5, 79.5)), (16, (79.5, 99.5, 89.5))])
def test_curves_end_where_the_results_end(results, size, ends):
    fig = draw_curves(results, size)
    drawn = lines(fig.axes[0])
    assert [line.get_ydata()[-1] for line in drawn.values()] == pytest.approx(list(ends))
    assert list(drawn) == ["none", "BN", "IN"]
    assert drawn["BN"].get_xdata().tolist() == results.at[SIZES.index(size)].tolist()
    assert fig.numbers.startswith(f"batch size {size}, each at its best rate")
    assert "(rate 1/2)" in fig.numbers
    assert f"{ends[0]:.0f} ± 6%" in fig.numbers  # 12.706 · 0.01 · √2 / 2 / √2 = 6.4 points


@pytest.mark.parametrize(("rate", "share", "said"), [(0.125, 0.9, "1/8"), (1.0, 0.1, "1")])
def test_curves_at_one_rate(results, rate, share, said):
    fig = draw_curves(results, 2, rate)
    assert lines(fig.axes[0])["BN"].get_ydata()[-1] == pytest.approx(89.5 * share)
    assert f"learning rate {said};" in fig.numbers and "(rate" not in fig.numbers


@pytest.mark.parametrize(("size", "best"), [(2, 89.5), (16, 99.5)])
def test_rates_show_the_cliff(results, size, best):
    fig = draw_rates(results, size, usable=0.5)
    line = lines(fig.axes[0])["BN"]
    np.testing.assert_allclose(line.get_xdata(), RATES)
    np.testing.assert_allclose(line.get_ydata(), best * np.array([0.9, 0.95, 1.0, 0.1]))
    assert fig.numbers == (
        f"batch size {size}; largest usable rate, geometric mean over seeds: none 0.50; BN 0.50; IN 0.50"
    )


def test_a_geometric_mean_stands_on_a_logarithmic_axis():
    values = np.full((3, 2, 2), 8.0)
    values[1, 0] = [4, 16]
    values[2, 1] = np.inf  # instance norm never arrived at batch size 16
    fig = draw_by_batch_size(SIZES, values, "steps", logarithmic=True)
    assert fig.axes[0].get_yscale() == "log"
    assert fig.numbers == "steps by batch size: none 8, 8; BN 8, 8; IN 8"
    plain = draw_by_batch_size(SIZES, values, "steps", places=1)
    assert "BN 10.0, 8.0" in plain.numbers


def test_errors_stand_beside_those_of_imagenet():
    errors = np.stack([np.full((2, 2), e) + np.array([-1.0, 1.0]) for e in (8.0, 6.0, 5.0)])
    fig = draw_errors(SIZES, errors)
    here, there, *_ = fig.axes
    assert [c[0].get_ydata().tolist() for c in here.containers] == [[8, 8], [6, 6], [5, 5]]
    assert there.get_lines()[0].get_ydata().tolist() == list(IMAGENET["BN"])
    assert there.get_lines()[0].get_xdata().tolist() == [2, 4, 8, 16, 32]
    assert "none 8.0 ± 12.7%; BN 6.0 ± 12.7%; IN 5.0 ± 12.7%" in fig.numbers


def test_differences_say_every_mean():
    fig = draw_differences(SIZES, {"a": np.array([[1.0, 2.0], [-1.0, 0.0]]), "b": np.zeros((2, 2))}, "points")
    assert fig.numbers == "a, 2 to 16: +1.5, −0.5; b, 2 to 16: 0.0, 0.0"
    assert [c[0].get_ydata().tolist() for c in fig.axes[0].containers] == [[1.5, -0.5], [0, 0]]
    assert draw_differences(SIZES, {"a": np.ones((2, 2))}, "BN minus IN").alt.startswith("BN minus IN against")
