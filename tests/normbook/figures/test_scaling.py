import numpy as np
import pytest

from normbook.data import used_cars
from normbook.figures.scaling import draw_cars, draw_descent, draw_errors, draw_limits

CARS = used_cars()


def points(fig, label):
    return next(line for line in fig.axes[0].lines if line.get_label() == label).get_xydata()


def test_cars_show_every_car_in_both_panels():
    fig = draw_cars(CARS)
    distance, age = (ax.lines[0].get_xydata() for ax in fig.axes)
    assert np.array_equal(distance, np.column_stack([CARS.distance, CARS.price]) / 1000)
    assert np.array_equal(age[:, 0], CARS.age)


@pytest.mark.parametrize("unit", [1, 1e5, None])
def test_descent_aims_at_the_least_squares_weights(unit):
    scale = [unit or CARS.distance.std(), 1 if unit else CARS.age.std()]
    x = np.column_stack([CARS.distance, CARS.age]) / scale
    best = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), CARS.price)[0][:2]
    assert np.allclose(points(draw_descent(CARS, unit, 0.5), "lowest error"), best, rtol=1e-6)


def test_descent_arrives_when_both_scales_agree_and_stands_still_when_not():
    agree, differ = draw_descent(CARS, None, 0.5), draw_descent(CARS, 1, 0.5)
    best = points(agree, "lowest error")[0]
    assert np.allclose(points(agree, "gradient descent")[-1], best, rtol=1e-6)
    assert abs(points(differ, "gradient descent")[-1][1]) < 1e-3  # of about −700 euros a year
    assert agree.numbers.startswith("condition number 8.5;") and agree.numbers.endswith("at 100% of its best value")
    assert differ.numbers.startswith("condition number 6.2×10⁸;") and differ.numbers.endswith("at 0% of its best value")


def test_descent_above_the_limit_is_said_to_diverge():
    assert "it diverges" in draw_descent(CARS, None, 1.02).numbers
    assert "it diverges" not in draw_descent(CARS, None, 0.99).numbers


def test_limits_and_errors_say_their_numbers():
    units = np.array([1.0, 10.0])
    assert "at most 10.0%" in draw_limits(units, np.array([1.0, 2.0]), np.array([1.0, 1.8])).numbers
    fig = draw_errors(["one", "two"], np.array([[1.0, 3.0], [10, 10]]), np.array([[1.0, 1.0], [4, 6]]))
    assert fig.numbers == "one: 2 raw, 1 standardized; two: 10 raw, 5 standardized"
