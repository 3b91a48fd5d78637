import numpy as np
import pytest

from normbook.figures.noisy_statistics import (
    MOST_DOTS,
    batch_statistics,
    draw_by_layer,
    draw_company,
    draw_effective,
    draw_filters,
    draw_law,
    draw_noise,
    draw_statistics,
    draw_training_mode,
    image_statistics,
    median_member,
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


def test_a_batch_s_variance_is_around_its_own_mean():
    chosen = RANDOM.integers(500, size=(20, 3))
    batches = ALIKE[chosen]  # (20, 3, 1, 6)
    assert np.allclose(batch_statistics(ALIKE, chosen, "mean"), batches.mean((1, 2, 3)))
    assert np.allclose(batch_statistics(ALIKE, chosen, "variance"), batches.var((1, 2, 3)))


@pytest.mark.parametrize(("size", "lost"), [(2, -0.5), (256, -1 / 256)])
def test_the_variance_of_a_batch_is_too_small_by_what_its_images_are_worth(size, lost):
    """Where an image is worth one value, (N - 1)/N of the variance is left."""
    said = draw_statistics(CHANNELS, size, "alike", "variance").numbers.split("on average ")[1]
    assert float(said.split("%")[0].replace("−", "-")) == pytest.approx(100 * lost, abs=1.5)
    assert "on average" not in draw_statistics(CHANNELS, size, "alike", "mean").numbers


def test_batches_one_by_one_are_dots_and_begin_with_the_same():
    def dots(draws):
        newest = draw_statistics(CHANNELS, 8, "free", "mean", draws).axes[0].lines
        return [line.get_xdata() for line in newest if line.get_marker() == "o"]

    (first, newest), (more, _) = dots(5), dots(6)
    assert len(first) == 5 and newest == first[-1:] and np.array_equal(first, more[:5])
    chosen = np.random.default_rng(0).integers(500, size=(5, 8))
    np.testing.assert_allclose(first, FREE[chosen].mean((1, 2, 3)))
    assert not dots(MOST_DOTS + 1) and not dots(4000)


def test_columns_of_dots_grow_with_the_batches():
    def heights(draws):
        fig = draw_statistics(CHANNELS, 8, "free", "mean", draws)
        return fig.axes[0].patches[0].get_data().values.sum(), fig.axes[0].get_ylim()[1]

    (few, top), (many, same) = heights(3), heights(30)
    assert many == pytest.approx(10 * few) and same == pytest.approx(top)
    one = draw_statistics(CHANNELS, 8, "free", "mean", 1)
    assert one.numbers.startswith("one batch of 8 free: its mean is")
    most, all_of_them = (draw_statistics(CHANNELS, 8, "free", "mean", n) for n in (10**9, 4000))
    assert most.numbers == all_of_them.numbers


def test_an_image_of_one_s_own_in_random_company():
    own = np.linspace(0, 1, 6).reshape(2, 3)
    fig = draw_company(FREE, 4, copies=2, draws=3, seed=1, image=own)
    random = np.random.default_rng(1)
    batch = np.concatenate([own[None], FREE[random.integers(500, size=3)]])
    shown = fig.axes[0].images[0].get_array()
    np.testing.assert_allclose(shown, (own - batch.mean()) / np.sqrt(batch.var() + 1e-5))
    assert draw_company(FREE, 4, who=3).numbers == draw_company(FREE, 4, image=FREE[3]).numbers


def test_filters_stand_in_frames():
    fig = draw_filters({"a": np.eye(4), "b": np.eye(4), "c": np.eye(4)}, {"flat": np.ones((3, 3))})
    assert [ax.get_title() for ax in fig.axes] == ["a", "b", "c", "flat", "", ""]
    assert [ax.axison for ax in fig.axes] == [True, True, True, True, False, False]
    assert all(spine.get_visible() for spine in fig.axes[3].spines.values())


def test_an_image_s_contributions_average_to_the_whole():
    for statistic, whole in (("mean", FREE.mean()), ("variance", FREE.var())):
        each, truth = image_statistics(FREE, statistic)
        assert each.shape == (500,) and each.mean() == pytest.approx(whole) and truth == pytest.approx(whole)
    with pytest.raises(ValueError, match="'median'"):
        image_statistics(FREE, "median")


def test_company_changes_an_image_less_in_a_large_batch():
    def noise(size):
        return float(draw_company(ALIKE, size, who=3).numbers.split("output: ")[1].split(" ")[0])

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
    each = np.array([0.2, 0.1, 0.05])[:, None] * [0.999, 1.001]  # of two images
    noise = draw_noise(sizes, {"a": {"output": each, "gradient": 2 * each}, "b": {"output": 3 * each}})
    four = draw_noise(sizes, {"a": {kind: each for kind in "pqrs"}})
    assert four.numbers.count("20% at 2 images") == 4
    assert len({line.get_color() for line in four.axes[0].lines if line.get_marker() in "o^vs"}) == 4
    assert noise.numbers == (
        "a, output 20% at 2 images, 5.0% at 8; a, gradient 40% at 2 images, 10.0% at 8; "
        "b, output 60% at 2 images, 15.0% at 8"
    )
    assert [ax.get_title() for ax in noise.axes] == ["a", "b"]
    assert np.allclose(noise.axes[1].lines[0].get_ydata(), [0.6, 0.3, 0.15])
    assert np.allclose(noise.axes[0].lines[0].get_ydata(), [0.2, 0.1, 0.05])
    ax = noise.axes[0]
    low, high = ax.get_ylim()
    ticks = zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)
    assert [label.get_text() for at, label in ticks if low <= at <= high] == ["5", "10", "20", "50"]
    parts = {"a": np.array([[3.0, 36], [5, 36]]), "b": np.array([[1.0, 2], [1, 2]])}
    worth = draw_effective(["f", "g"], parts, {"a": 36, "b": 36})
    assert "a of 36 pixels: f 4, g 36" in worth.numbers
    assert np.allclose(worth.axes[0].lines[1].get_xdata(), [4 / 36, 1])


def test_by_layer_draws_every_channel_and_says_the_medians():
    worth = np.arange(1.0, 13).reshape(2, 2, 3)  # seeds, layers, channels
    fig = draw_by_layer({"a": worth, "b": 1 / worth})
    assert fig.numbers == "medians by layer: a 5.00, 8.00; b 0.24, 0.13"
    points = [line for line in fig.axes[0].lines if line.get_alpha() == 0.45]
    assert sorted(points[1].get_ydata()) == [4, 5, 6, 10, 11, 12]


def test_training_mode_draws_a_line_a_seed():
    fig = draw_training_mode([1, 2], {"a": np.array([[0.8, 0.9, 0.95], [0.7, 0.9, 0.93]])})
    assert fig.numbers == "mean over the seeds: a 75.0% alone, 94.0% with running averages"
    assert [line.get_ydata().tolist() for line in fig.axes[0].lines[::2]] == [[80, 90], [70, 90]]


def test_the_median_member_is_neither_the_calmest_nor_the_most_disturbed():
    x = np.random.default_rng(0).normal(size=(40, 4, 4)) * np.linspace(0.2, 5, 40)[:, None, None]

    def noise(who):
        return float(draw_company(x, 2, who=who).numbers.split("output: ")[1].split(" ")[0])

    chosen = noise(median_member(x, candidates=21))
    others = [noise(who) for who in range(21)]
    assert sorted(others)[3] <= chosen <= sorted(others)[17]
