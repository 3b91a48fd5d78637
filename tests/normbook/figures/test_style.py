"""The pictures of the chapter ``style``, at the ends of their dials."""

import numpy as np
import pytest

from normbook.data import photo
from normbook.figures.style import (
    draw_distances,
    draw_exchange,
    draw_mix,
    draw_recognized,
    draw_styled,
    exchanged,
    levels,
)

PHOTOS = {"palace": photo("china", height=24), "flower": photo("flower", height=24)}
POSITIONS = [(content, mix) for content in PHOTOS for mix in (0.0, 0.5, 1.0)]


def transfer(content, style, mix):
    mean, std = content.mean((1, 2), keepdims=True), content.std((1, 2), keepdims=True)
    moved = (content - mean) / std * style.std((1, 2), keepdims=True) + style.mean((1, 2), keepdims=True)
    return mix * moved + (1 - mix) * content


def test_levels_is_the_mean_way_of_a_sorted_pixel():
    assert levels(np.array([0.0, 1.0]), np.array([1.0, 0.0])) == 0
    assert levels(np.array([[0.0, 0.2]]), np.array([[0.4, 0.0]])) == pytest.approx(255 * 0.1)
    with pytest.raises(ValueError, match="2 and 3 pixels"):
        levels(np.zeros(2), np.zeros(3))


def test_two_photos_exchange_mean_and_deviation_of_each_channel():
    assert all(np.allclose(made, own) for made, own in zip(exchanged(PHOTOS, 0).values(), PHOTOS.values(), strict=True))
    swapped, half = exchanged(PHOTOS, 1), exchanged(PHOTOS, 0.5)
    for name, other in (("palace", "flower"), ("flower", "palace")):
        for number in (np.mean, np.std):
            own, theirs = (number(PHOTOS[one], axis=(1, 2)) for one in (name, other))
            np.testing.assert_allclose(number(swapped[name], axis=(1, 2)), theirs)
            np.testing.assert_allclose(number(half[name], axis=(1, 2)), (own + theirs) / 2)
    red = PHOTOS["palace"][0]
    assert f"palace: red {red.mean():.2f} ({red.std():.2f})" in draw_exchange(PHOTOS, 0).numbers
    assert f"flower: red {red.mean():.2f} ({red.std():.2f})" in draw_exchange(PHOTOS, 1).numbers


@pytest.mark.parametrize(("content", "mix"), POSITIONS)
def test_mix_shows_the_picture_and_three_histograms(content, mix):
    fig = draw_mix(PHOTOS, transfer, content=content, mix=mix)
    *histograms, image = fig.axes
    assert len(histograms) == 3 and len(image.images) == 1
    style = "flower" if content == "palace" else "palace"
    goal = PHOTOS[content if mix == 0 else style]
    if mix in (0.0, 1.0):
        assert f"mean red {goal[0].mean():.2f}, green {goal[1].mean():.2f}, blue {goal[2].mean():.2f}" in fig.numbers
    assert f"levels from the {style}'s" in fig.numbers
    shares = [100 * np.histogram(c, 30, (-0.5, 1.5))[0] / c.size for c in transfer(PHOTOS[content], PHOTOS[style], mix)]
    for ax, share in zip(histograms, shares, strict=True):
        np.testing.assert_allclose(ax.patches[1].get_data().values, share)


def test_every_dial_moves_picture_and_numbers():
    drawn = [draw_mix(PHOTOS, transfer, *position) for position in POSITIONS]
    assert len({fig.numbers for fig in drawn}) == len({fig.to_svg() for fig in drawn}) == len(POSITIONS)
    assert max(len(fig.to_svg()) for fig in drawn) < 60_000


def test_distances_state_both_averages():
    fig = draw_distances(np.full((4, 3), 60.0), np.full((4, 3), 20.0))
    assert fig.numbers == "before 60 levels on average; after mean and deviation were transferred 20 levels on average"


def test_styled_pictures_stand_in_rows_under_common_titles():
    pictures = [np.full((3, 4, 6), v) for v in (0.0, 0.25, 0.5, 1.0)]
    fig = draw_styled([pictures, pictures[::-1]], ["a", "b", "c", "d"], {"pixels": np.array([0.7, 0.9])})
    assert [ax.get_title() for ax in fig.axes] == ["a", "b", "c", "d", "", "", "", ""]
    assert fig.axes[4].images[0].get_array().max() == 1
    assert fig.numbers == "left of the distance to the style's feature statistics: pixels 80%"


def test_recognized_draws_every_row_and_chance():
    fig = draw_recognized(["pixels", "pixels,\nequal contrast"], np.array([0.8, 0.5]), np.array([0.02, 0.0]))
    assert fig.numbers == "pixels: 0.80 ± 0.02; pixels, equal contrast: 0.50 ± 0.00"
    assert fig.axes[0].get_lines()[0].get_xdata()[0] == 0.5
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == ["pixels", "pixels,\nequal contrast"]
