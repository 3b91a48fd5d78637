import numpy as np
import pytest

from normbook.data import used_cars
from normbook.figures.scaling import (
    draw_cars,
    draw_descent,
    draw_errors,
    draw_limits,
    draw_neighbors,
    draw_penalties,
)

CARS = used_cars()


def points(fig, label):
    return next(line for line in fig.axes[0].lines if line.get_label() == label).get_xydata()


def test_cars_show_every_car_in_both_panels():
    fig = draw_cars(CARS)
    distance, age = (ax.lines[0].get_xydata() for ax in fig.axes)
    assert np.array_equal(distance, np.column_stack([CARS.distance, CARS.price]) / 1000)
    assert np.array_equal(age[:, 0], CARS.age)


@pytest.mark.parametrize("unit", [1, 4000, 1e5, None])
def test_descent_aims_at_the_least_squares_weights_and_no_unit_moves_them(unit):
    x = np.column_stack([CARS.distance, CARS.age])
    best = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), CARS.price)[0][:2] * x.std(0)
    assert np.allclose(points(draw_descent(CARS, unit, 0.5), "lowest error"), best, rtol=1e-6)


@pytest.mark.parametrize("unit", [1, 4000, 1e5, None])
@pytest.mark.parametrize("rate", [0.1, 0.9, 1.02])
def test_contours_and_limits_stand_still(unit, rate):
    def still(fig):
        lines = [np.round(path.vertices, 3) for path in fig.axes[0].collections[0].get_paths()]
        return [(ax.get_xlim(), ax.get_ylim()) for ax in fig.axes], lines

    limits, lines = still(draw_descent(CARS, unit, rate))
    limits_std, lines_std = still(draw_descent(CARS, None, 0.5))
    assert limits == limits_std
    assert all(np.allclose(a, b, atol=0.01) for a, b in zip(lines, lines_std, strict=True))


def test_descent_arrives_when_both_scales_agree_and_stands_still_when_not():
    agree, differ = draw_descent(CARS, None, 0.5), draw_descent(CARS, 1, 0.5)
    best = points(agree, "lowest error")[0]
    assert np.allclose(points(agree, "descent")[-1], best, rtol=1e-6)
    assert abs(points(differ, "descent")[-1][1]) < 1e-3  # euros, of about −3000
    assert agree.numbers.startswith("condition number 8.5; after 100 steps")
    assert differ.numbers.startswith("condition number 6.2×10⁸; after 100 steps")


def test_the_error_left_over_is_that_of_the_predictions():
    fig = draw_descent(CARS, 4000, 0.5, steps=7)
    x = np.column_stack([CARS.distance / 4000, CARS.age])
    x = x - x.mean(0)
    price = CARS.price - CARS.price.mean()
    best, w = np.linalg.lstsq(x, price)[0], np.zeros(2)
    rate = 1 / np.linalg.eigvalsh(x.T @ x / len(x))[-1]
    for _ in range(7):
        w = w - rate * x.T @ (x @ w - price) / len(x)
    assert fig.axes[1].lines[0].get_ydata()[-1] == pytest.approx(np.sqrt(np.mean((x @ (w - best)) ** 2)))


def test_descent_above_the_limit_is_said_to_diverge():
    assert "it diverges" in draw_descent(CARS, None, 1.02).numbers
    assert "it diverges" not in draw_descent(CARS, None, 0.99).numbers


def test_neighbors_are_the_nearest_in_each_measure():
    fig = draw_neighbors(CARS, k=3, chosen=7)
    x = np.column_stack([CARS.distance, CARS.age])
    for ax, by in zip(fig.axes, (1, x.std(0)), strict=True):
        near = np.argsort(np.square((x - x[7]) / by).sum(1))[1:4]
        drawn = next(line for line in ax.lines if line.get_label() == "3 nearest").get_xydata()
        assert np.array_equal(drawn, x[near] / [1000, 1])


def test_penalties_say_the_lowest_error_of_each():
    raw, scaled = np.array([[1.0, 3.0], [10, 10]]), np.array([[5.0, 5.0], [4, 2]])
    assert draw_penalties(np.array([1.0, 10]), raw, scaled, 2.0).numbers == (
        "lowest mean error 2 raw, 3 standardized; least squares 2"
    )


def test_limits_and_errors_say_their_numbers():
    units = np.array([1.0, 10.0])
    assert "at most 10.0%" in draw_limits(units, np.array([1.0, 2.0]), np.array([1.0, 1.8])).numbers
    fig = draw_errors(["one", "two"], np.array([[1.0, 3.0], [10, 10]]), np.array([[1.0, 1.0], [4, 6]]))
    assert fig.numbers == "one: 2 raw, 1 standardized; two: 10 raw, 5 standardized"
