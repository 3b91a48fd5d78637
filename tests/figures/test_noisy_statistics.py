import numpy as np
import pytest

from normcore.figures.noisy_statistics import (
    draw_company,
    draw_effective,
    draw_law,
    draw_noise,
    draw_statistics,
    image_statistics,
)

RANDOM = np.random.default_rng(0)
ALIKE = np.repeat(RANDOM.normal(size=(500, 1, 1)), 6, axis=2)  # all six pixels of an image agree
FREE = RANDOM.normal(size=(500, 2, 3))
CHANNELS = {"alike": ALIKE, "free": FREE}


def spreads(fig):
    """measured, by pixels, by images, from the line of numbers"""
    words = fig.numbers.replace(";", "").replace(",", "").split()
    return [float(words[i + 1]) for i, word in enumerate(words) if word in ("spread", "pixels", "images")]


@pytest.mark.parametrize("size", [2, 256])
def test_where_all_pixels_agree_only_images_count(size):
    measured, by_pixels, by_images = spreads(draw_statistics(CHANNELS, size, "alike", "mean"))
    assert measured == pytest.approx(by_images, rel=0.05)
    assert by_images / by_pixels == pytest.approx(np.sqrt(6), rel=0.01)


@pytest.mark.parametrize("size", [2, 256])
def test_where_pixels_are_independent_both_laws_agree(size):
    measured, by_pixels, by_images = spreads(draw_statistics(CHANNELS, size, "free", "mean"))
    assert measured == pytest.approx(by_pixels, rel=0.1) and by_pixels == pytest.approx(by_images, rel=0.1)


def test_the_spread_of_the_variance_of_normal_values():
    measured, by_pixels, _ = spreads(draw_statistics(CHANNELS, 256, "free", "variance"))
    assert by_pixels == pytest.approx(FREE.var() * np.sqrt(2 / (256 * 6)), rel=0.1)
    assert measured == pytest.approx(by_pixels, rel=0.15)


def test_an_image_s_contributions_average_to_the_whole():
    for statistic, whole in (("mean", FREE.mean()), ("variance", FREE.var())):
        each, truth = image_statistics(FREE, statistic)
        assert each.shape == (500,) and each.mean() == pytest.approx(whole) and truth == pytest.approx(whole)
    with pytest.raises(ValueError, match="'median'"):
        image_statistics(FREE, "median")


def test_company_changes_an_image_less_in_a_large_batch():
    def noise(size):
        return float(draw_company(ALIKE, size, who=3).numbers.split("±")[1].split(" ")[0])

    assert noise(2) > 0.3 and noise(256) < 0.1
    # the mean of 256 images moves by 1/√256 of their spread, the standard deviation adds a little
    assert noise(256) == pytest.approx(1 / 16, rel=0.5)


def test_company_shows_the_normalized_image():
    fig = draw_company(FREE, 2, who=1, copies=3, draws=5)
    shown = [np.asarray(ax.images[0].get_array()) for ax in fig.axes]
    assert len(shown) == 3
    for y in shown:  # an affine image of the original
        assert np.corrcoef(y.ravel(), FREE[1].ravel())[0, 1] == pytest.approx(1)


def test_lines_and_numbers_of_the_static_pictures():
    sizes = np.array([2.0, 4, 8])
    law = draw_law(
        sizes, {"a": 3 / sizes, "b": 2 / sizes}, {"a": 1 / sizes, "b": 1 / sizes}, {"a": 3 / sizes, "b": 2 / sizes}
    )
    assert law.numbers == "a: 3.00 times the law by pixels; b: 2.00 times the law by pixels"
    noise = draw_noise(sizes, {"output": np.array([0.2, 0.1, 0.05]), "gradient": np.array([0.4, 0.2, 0.1])})
    assert noise.numbers == "output: 20% at 2 images, 5.0% at 8; gradient: 40% at 2 images, 10.0% at 8"
    worth = draw_effective(["f", "g"], {"a": np.array([4.0, 36]), "b": np.array([1.0, 2])}, {"a": 36, "b": 36})
    assert "a of 36 pixels: f 4, g 36" in worth.numbers
    assert np.allclose(worth.axes[0].lines[1].get_xdata(), [4 / 36, 1])
