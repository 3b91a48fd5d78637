import numpy as np
import pytest

from normbook.figures.axes import (
    altered,
    averaged,
    draw_box,
    draw_influence,
    influence,
    map_moments,
    normalized,
)
from normcore import batch_norm, group_norm, instance_norm, layer_norm

SHAPE = (3, 4, 3, 3)
CELLS = {  # written down once more by hand: what the picture has to find out by itself
    "BN": (slice(None), 2),
    "IN": (1, 2),
    "LN": (1,),
    "GN": (1, slice(2, 4)),
}


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(1, 2, SHAPE)


@pytest.mark.parametrize("layer", CELLS)
def test_the_averaged_cells(layer):
    expected = np.zeros(SHAPE, bool)
    expected[CELLS[layer]] = True
    assert np.array_equal(averaged(layer, SHAPE, sample=1, channel=2), expected)


@pytest.mark.parametrize("layer", CELLS)
def test_the_moments_are_those_of_the_averaged_cells(x, layer):
    mean, var = map_moments(x, layer)
    for n, c in np.ndindex(3, 4):
        cells = x[averaged(layer, SHAPE, n, c)]
        assert np.allclose([mean[n, c], var[n, c]], [cells.mean(), cells.var()])


def test_normalized_agrees_with_the_package(x):
    assert np.allclose(normalized(x, "BN"), batch_norm(x)[0])
    assert np.allclose(normalized(x, "IN"), instance_norm(x)[0])
    assert np.allclose(normalized(x, "LN"), layer_norm(x, normalized_shape=x.shape[1:])[0])
    assert np.allclose(normalized(x, "GN"), group_norm(x, 2)[0])
    assert np.allclose(normalized(x, "GN", groups=1), normalized(x, "LN"))
    assert np.allclose(normalized(x, "GN", groups=4), normalized(x, "IN"))


@pytest.mark.parametrize("channel", [0, 3])
@pytest.mark.parametrize("sample", [0, 2])
@pytest.mark.parametrize(("layer", "count"), [("BN", 27), ("IN", 9), ("LN", 36), ("GN", 18)])
def test_the_box_fills_what_is_averaged(x, layer, count, sample, channel):
    fig = draw_box(x, layer, sample, channel)
    empty, filled, picked = (patch.get_path() for patch in fig.axes[0].patches)
    assert len(filled.vertices) == 5 * count and len(empty.vertices) == 5 * (108 - count)
    assert len(picked.vertices) == 5
    inside = filled.vertices.min(0) - 1e-9 <= picked.vertices
    assert inside.all() and (picked.vertices <= filled.vertices.max(0) + 1e-9).all()
    assert f"{count} of 108 cells averaged, {108 // count} means" in fig.numbers
    assert f"{x[averaged(layer, SHAPE, sample, channel)].mean():.2f}".lstrip("-") in fig.numbers
    assert f"sample {sample}, channel {channel}" in fig.alt and f"{count} of 108 cells" in fig.alt


def test_the_alternative_text_names_samples_and_channels(x):
    assert "all positions of channel 1 in samples 0, 1 and 2, 27 of" in draw_box(x, "BN", 0, 1).alt
    assert "all positions of channels 0 and 1 in sample 2, 18 of" in draw_box(x, "GN", 2, 1).alt


@pytest.mark.parametrize(("groups", "count"), [(1, 36), (2, 18), (4, 9)])
def test_the_number_of_groups_goes_from_layer_norm_to_instance_norm(x, groups, count):
    fig = draw_box(x, "GN", 1, 2, groups=groups)
    assert f"{count} of 108 cells averaged" in fig.numbers
    assert f"group norm with {groups} group{'s' * (groups > 1)} averages" in fig.alt
    like = {1: "LN", 4: "IN"}.get(groups, "GN")
    assert np.array_equal(averaged("GN", SHAPE, 1, 2, groups), averaged(like, SHAPE, 1, 2))


@pytest.mark.parametrize(("change", "instance"), [("brighter", 0), ("more contrast", 0), ("one pixel", 1)])
def test_influence(x, change, instance):
    counts = {layer: int((influence(x, layer, change) > 1e-6).sum()) for layer in CELLS}
    assert counts == {"BN": 3, "IN": instance, "LN": 4, "GN": 2}
    fig = draw_influence(x, change)
    assert f"BN 3, IN {instance}, LN 4, GN 2" in fig.numbers
    assert [ax.get_title() for ax in fig.axes] == ["BN", "IN", "LN", "GN"]
    shaded = [sum(p.get_facecolor()[3] > 0.1 for p in ax.patches) for ax in fig.axes]
    assert shaded == list(counts.values())


def test_an_unknown_change_is_refused(x):
    with pytest.raises(ValueError, match="'darker': want"):
        altered(x, "darker")
