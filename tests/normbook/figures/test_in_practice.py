import numpy as np
import pytest

from normbook.experiments import trained
from normbook.figures.in_practice import draw_adapted, draw_camera, draw_dropout, draw_race, draw_seeds

COUNTS = [0, 2, 200]


@pytest.fixture(scope="module")
def found():
    values = np.array([[0.5, 0.6, 0.9, 0.4], [0.7, 0.8, 0.9, 0.6]])
    arrays = {}
    for data, less in (("digits", 0.0), ("fashion", 0.1)):
        arrays[data, "dim", "BN"] = values - less
        arrays[data, "noisy", "BN"] = values - less - 0.05
        arrays |= {(data, shift, "IN"): np.array([0.8, 0.9]) - less for shift in ("dim", "noisy")}
        arrays[data, "none", "BN"] = np.array([0.97, 0.99]) - less
    return arrays


def test_adapted_draws_every_seed_and_sets_one_class_apart(found):
    fig = draw_adapted(found, COUNTS, "dim")
    left = fig.axes[0].get_lines()
    assert left[0].get_ydata()[0] == pytest.approx(98) and left[1].get_ydata()[0] == pytest.approx(85)
    np.testing.assert_allclose(left[2].get_ydata(), [50, 60, 90])
    np.testing.assert_allclose(left[3].get_xydata(), [[3, 40]])
    assert left[3].get_markerfacecolor() == "none"
    assert [t.get_text() for t in fig.axes[0].get_xticklabels()] == ["stored", "2", "200", "one\nclass"]
    assert fig.numbers == (
        "dim: digits 60% stored, 90% from 200 images, 50% from one class; "
        "clothes 50% stored, 80% from 200 images, 40% from one class"
    )


def test_every_position_of_the_dial_is_another_picture(found):
    one, other = (draw_adapted(found, COUNTS, shift) for shift in ("dim", "noisy"))
    assert one.numbers != other.numbers and one.to_svg() != other.to_svg()
    assert max(len(fig.to_svg()) for fig in (one, other)) < 60_000


def test_seeds_are_points_with_their_mean():
    rows = {data: {"own batches": np.array([90.0, 96]), "eval": np.array([50.0, 52])} for data in ("digits", "fashion")}
    fig = draw_seeds(rows, "right answers (%)", (40, 100), chance=50)
    chance, points, bar, *_ = fig.axes[0].get_lines()
    assert chance.get_xdata()[0] == 50 and points.get_xdata().tolist() == [90, 96] and bar.get_xdata()[0] == 93
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == ["own batches", "eval"]
    assert fig.numbers.startswith("means: digits, own batches 93%; digits, eval 51%; clothes, own batches 93%")
    assert "chance, 50%" in fig.alt
    assert "chance" not in draw_seeds(rows, "right", (0, 100)).alt


def test_the_race_has_a_line_through_the_medians():
    values = np.array([[0.5, 0.9], [0.6, 0.7], [0.7, 0.8]])
    fig = draw_race({"digits": {"GN": values, "GN + WS": values[:, ::-1]}}, (0.01, 0.1))
    lines = {line.get_label(): line for line in fig.axes[0].get_lines() if line.get_label()[0] != "_"}
    np.testing.assert_allclose(lines["GN"].get_ydata(), [60, 80])
    assert len(fig.axes[0].get_lines()) == 2 * (3 + 1)
    assert fig.numbers == "best medians: digits, GN 80% at 0.1; digits, GN + WS 80% at 0.01"


def test_dropout_draws_points_over_the_law():
    law = {"digits": np.array([[1.0, 0.4], [1.0, 0.3]]), "fashion": np.array([[1.0, 0.5], [1.0, 0.5]])}
    fig = draw_dropout([0.0, 0.5], {data: v + 0.01 for data, v in law.items()}, law)
    line, other, points, *_ = fig.axes[0].get_lines()
    np.testing.assert_allclose(points.get_ydata() - line.get_ydata(), 0.01)
    assert other.get_ydata()[-1] == 0.3 and len(fig.axes[0].get_lines()) == 8
    assert fig.numbers == "dropping 50%: digits 0.36, clothes 0.51 of the stored variance is left in evaluation"


def test_a_camera_in_less_light_asks_the_network():
    net = trained.network("digits", "BN", 0)
    images, labels = (each[:60] for each in net.part("tested"))
    right = 100 * np.mean(net.scores(images).argmax(axis=1) == labels)
    assert draw_camera(net, images, labels, 1, "stored").numbers == (
        f"light 100%, statistics stored: {right:.0f}% of 60 digits right"
    )
    dim = draw_camera(net, images, labels, 0.4, "stored")
    anew = draw_camera(net, images, labels, 0.4, "of these images")
    share = [int(fig.numbers.split(": ")[1].split("%")[0]) for fig in (dim, anew)]
    assert share[0] < share[1] <= right
    answer = dim.axes[0].get_ylabel()
    assert answer[0].isdigit() and (answer[-1] == "✓") == (int(answer[0]) == labels[0])
    np.testing.assert_allclose(dim.axes[0].images[0].get_array().min(), 0, atol=1e-3)  # black stays black
