"""Pieces of pictures: what an image looks like on a page."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from normbook.data import photo
from normbook.drawing import show
from normbook.style import figure


def embedded(image):
    """The picture that stands in the page, (H, W, 3) from 0 to 255, and how many bytes it has."""
    fig, ax = figure(1.0)
    show(ax, image)
    (png,) = re.findall(r'data:image/png;base64,\s*([^"]*)"', fig.describe(alt="an image").to_svg())
    file = base64.b64decode(png)
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB")).astype(int), len(file)


@pytest.mark.parametrize("name", ["china", "flower"])
def test_a_photo_looks_as_it_is_and_weighs_half(name):
    image = photo(name, height=80)
    wanted = np.round(255 * image).transpose(1, 2, 0)
    found, weight = embedded(image)
    assert found.shape == wanted.shape
    assert np.sqrt(np.mean((found - wanted) ** 2)) < 4 and np.abs(found.mean((0, 1)) - wanted.mean((0, 1))).max() < 0.5
    whole = io.BytesIO()
    Image.fromarray(wanted.astype(np.uint8)).save(whole, format="png")
    assert weight < 0.55 * len(whole.getvalue())


def test_gray_is_exact_and_what_lies_outside_is_clipped():
    ramp = np.linspace(-0.2, 1.2, 300).reshape(1, 1, 300).repeat(4, axis=1)
    found, _ = embedded(ramp)
    np.testing.assert_array_equal(found[0], np.round(255 * np.clip(ramp[0, 0], 0, 1))[:, None].repeat(3, axis=1))
