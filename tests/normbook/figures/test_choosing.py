"""The pictures of the chapter ``choosing``, at the ends of their dials."""

import numpy as np
import pytest

from normbook.data import photo
from normbook.figures.choosing import draw_groups, draw_seen

X = np.abs(np.random.default_rng(0).standard_normal((1, 16, 6, 6))) * np.linspace(0.5, 3, 16).reshape(1, 16, 1, 1)


def means(ax):
    """The drawn means by channel."""
    points = [line.get_xydata() for line in ax.get_lines()[1:]]
    return np.concatenate(points)[:, 1]


@pytest.mark.parametrize("groups", [1, 2, 4, 8, 16])
def test_groups_have_mean_zero_and_keep_what_differs_inside(groups):
    fig = draw_groups(X, groups=groups)
    before, after = (means(ax) for ax in fig.axes)
    np.testing.assert_allclose(before, X.mean((0, 2, 3)))
    np.testing.assert_allclose(after.reshape(groups, -1).mean(1), 0, atol=1e-12)
    assert len(fig.axes[1].get_lines()) == 1 + groups
    if groups < 16:
        assert after.std() > 0.05


def test_with_one_channel_a_group_nothing_differs():
    assert draw_groups(X, groups=16).numbers == "16 groups of one channel: after it the channels' means spread by 0.00"
    assert draw_groups(X, groups=1).numbers.startswith(
        "1 group of 16 channels: after it the channels' means spread by 0."
    )


def test_the_dial_moves_picture_and_numbers():
    drawn = [draw_groups(X, groups=g) for g in (1, 2, 4, 8, 16)]
    assert len({fig.numbers for fig in drawn}) == len({fig.to_svg() for fig in drawn}) == 5


@pytest.mark.parametrize(
    ("layer", "seen"),
    [
        ("none", {"bias", "contrast", "color"}),
        ("BN", {"company", "contrast", "color"}),
        ("IN", set()),
        ("LN", {"bias", "color"}),
    ],
)
def test_each_layer_sees_what_the_table_says(layer, seen):
    batch = np.array([photo(name, height=24) for name in ("china", "flower")])
    for change in ("company", "bias", "contrast", "color"):
        fig = draw_seen(batch, layer, change)
        assert fig.numbers.endswith("stays as it was") == (change not in seen), (layer, change)
        assert change in fig.alt
