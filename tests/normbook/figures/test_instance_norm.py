import numpy as np
import pytest

from normbook.data import photo
from normbook.figures.instance_norm import (
    TWO_PHOTOS,
    change,
    disagreeing,
    draw_contrasts,
    draw_epsilon,
    draw_identity,
    draw_patches,
    draw_photo,
    draw_two_photos,
)
from normcore import instance_norm


@pytest.fixture(scope="module")
def china():
    return photo("china", 32)


def pixels(ax):
    return ax.images[0].get_array()


def heights(ax):
    return np.array([patch.get_data().values for patch in ax.patches])


@pytest.mark.parametrize("brightness", [-0.3, 0.3])
@pytest.mark.parametrize("contrast", [0.25, 2])
def test_the_input_changes_and_the_normalized_photo_stands_still(china, contrast, brightness):
    start, moved = draw_photo(china, 1, 0), draw_photo(china, contrast, brightness)
    image, image_hat, histogram, histogram_hat = zip(start.axes, moved.axes, strict=True)
    assert np.abs(pixels(image[0]) - pixels(image[1])).max() > 0.2
    assert np.abs(heights(histogram[0]) - heights(histogram[1])).max() > 5
    assert np.abs(pixels(image_hat[0]) - pixels(image_hat[1])).max() < 1.5 / 63  # at most one of 64 levels
    assert np.abs(heights(histogram_hat[0]) - heights(histogram_hat[1])).max() < 1
    assert np.allclose(heights(histogram[1]).sum(1), 100)  # nothing lies outside the histogram
    assert heights(histogram_hat[1]).max() < histogram_hat[1].get_ylim()[1]
    still = instance_norm(china[None])[0]
    residual = np.abs(instance_norm(change(china, contrast, brightness)[None])[0] - still).max()
    assert 1e-5 < residual < 1e-2
    assert f"{residual:.1e}".split("e")[0] in moved.numbers or f"{residual:.4f}" in moved.numbers
    assert moved.numbers.startswith(f"input: mean {contrast * (china.mean() - 0.5) + 0.5 + brightness:.2f}")


def test_brightness_alone_moves_the_normalized_photo_by_rounding_only(china):
    x = instance_norm(china[None], eps=1e-5)[0]
    assert np.abs(instance_norm(change(china, 1, 0.3)[None], eps=1e-5)[0] - x).max() < 1e-12
    assert "10⁻¹" in draw_photo(china, 1, 0.3).numbers.split("at most")[1]


def test_a_low_contrast_shows_epsilon(china):
    low = draw_photo(china, 0.01, 0, eps=1e-5)
    high = draw_photo(china, 1, 0, eps=1e-5)
    assert pixels(low.axes[1]).std() < 0.8 * pixels(high.axes[1]).std()


def test_patches_are_sorted_and_lose_their_means():
    random = np.random.default_rng(0)
    patches = random.uniform(0, 0.1, (4, 3, 8, 8)) + np.array([0.5, 0.1, 0.8, 0.3])[:, None, None, None]
    fig = draw_patches(patches)
    titles = [float(ax.get_title()) for ax in fig.axes]
    assert titles[:4] == sorted(titles[:4]) and titles[0] < 0.2 and titles[3] > 0.8
    assert titles[4:] == [0, 0, 0, 0]


def test_contrasts_compare_the_halves():
    image = np.random.default_rng(0).normal(size=(1, 8, 8))
    fig = draw_contrasts((image / 2, 0.5), (image, 1 / 3), (image, 0.57))
    assert fig.numbers.endswith("left: input 50%, instance norm 33%, local contrast normalization 57%")
    np.testing.assert_allclose(fig.axes[1].images[0].get_array()[..., 0], np.clip(0.5 + image[0] / 5, 0, 1), atol=0.01)


@pytest.mark.parametrize(("eps", "expected"), [(1e-9, 1.0), (1e-1, 1e-3 / np.sqrt(0.1))])
def test_epsilon_theory_lies_over_measurement(china, eps, expected):
    fig = draw_epsilon(china, eps)
    line, points = fig.axes[0].lines[1:3]
    before, after = points.get_data()
    assert np.allclose(after, np.interp(before, *line.get_data()), rtol=0.02)
    assert np.allclose(after, before / np.sqrt(before**2 + eps), rtol=1e-6)
    assert np.isclose(after[np.isclose(before, 1e-3)].item(), expected, rtol=2e-3)


def test_instances_that_agree_lie_on_the_identity():
    fig = draw_identity(0)
    for line in fig.axes[0].lines[1:]:
        x, y = line.get_data()
        assert np.allclose(x, y, atol=1e-4)
    assert "γ = 1.00, β = 0.00" in fig.numbers


def test_instances_that_disagree_leave_the_spread_of_mean_and_deviation_behind():
    x = disagreeing(1.0)
    mean, std = x.mean((1, 2, 3)), x.std((1, 2, 3))
    share = 100 * (mean.var() + std.var()) / x.var()
    fig = draw_identity(1.0)
    assert f"not explained: {share:.0f}%" in fig.numbers
    assert f"γ = {std.mean():.2f}, β = {mean.mean():.2f}" in fig.numbers
    for line in fig.axes[0].lines[1:]:
        assert all(np.abs(line.get_data()).max(1) < 5)  # inside the picture


def test_the_two_photos_get_the_same_picture_and_the_caption_says_how_far_it_is_off(china):
    x = [change(china, contrast, brightness) for _, contrast, brightness in TWO_PHOTOS]
    gamma, beta = 0.2, 0.4
    off = [np.sqrt(np.mean((gamma * instance_norm(one[None])[0][0] + beta - one) ** 2)) for one in x]
    fig = draw_two_photos(china, gamma, beta)
    assert f"off by {off[0]:.2f} from the bright photo, {off[1]:.2f} from the dull one" in fig.numbers
    first, second = (pixels(fig.axes[i]) for i in (1, 3))
    assert np.abs(first - second).max() < 0.05
    assert np.abs(pixels(fig.axes[0]) - pixels(fig.axes[2])).max() > 0.3
