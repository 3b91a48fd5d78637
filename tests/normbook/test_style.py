import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from normbook import style
from normbook.style import COLORS, INK, figure, picture, scientific


@picture
def draw_line(slope=1.0):
    fig, ax = figure(2.0)
    ax.plot([0, 1], [0, slope])
    ax.set(xlabel="time (s)", title="σ/√m")
    return fig.describe(f'A line "of" slope {slope} < 9.', f"slope {slope} & no more")


def luminance(color):
    channels = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("background", ["#ffffff", "#121212"])
def test_each_color_stands_out_in_light_and_in_dark(background):
    assert [round(contrast(c, background), 1) for c in COLORS if contrast(c, background) < 3] == []


def test_the_picture_says_what_it_shows():
    shown = draw_line(2.0)._repr_html_()
    assert 'role="img" aria-label="A line &quot;of&quot; slope 2.0 &lt; 9."' in shown
    assert "<figcaption>slope 2.0 &amp; no more</figcaption>" in shown
    assert "σ/√m</text>" in shown and "time (s)</text>" in shown  # letters stay letters


def test_the_picture_takes_the_color_and_typeface_of_the_page():
    svg = draw_line().to_svg()
    assert "currentColor" in svg and INK not in svg and "DejaVu" not in svg and "<style" not in svg
    assert svg.count(f"'{style.FAMILY}'") == 1 and svg.index(style.FAMILY) < svg.index(">")


def test_two_pictures_on_a_page_share_no_id():
    ids = [set(re.findall(r' id="([^"]+)"', draw_line(s).to_svg())) for s in (1.0, 2.0)]
    assert ids[0] and not ids[0] & ids[1]
    for one, svg in zip(ids, (draw_line(1.0).to_svg(), draw_line(2.0).to_svg()), strict=True):
        assert set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg)) == one  # every reference has its target


def test_the_same_picture_is_the_same_bytes():
    assert draw_line().to_svg() == draw_line().to_svg()


def test_no_picture_without_an_alternative_text():
    @picture
    def draw_nothing():
        return figure()[0]

    with pytest.raises(ValueError, match=r"draw_nothing drew a figure without an alternative text"):
        draw_nothing()


def test_drawing_leaves_the_settings_of_matplotlib_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    draw_line().to_svg()
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    "value, text",
    [
        (0, "0"),
        (0.25, "0.25"),
        (1, "1.0"),
        (12.3, "12"),
        (99999, "99\u202f999"),
        (6.24e8, "6.2×10⁸"),
        (4.8e-10, "4.8×10⁻¹⁰"),
    ],
)
def test_numbers_as_people_write_them(value, text):
    assert scientific(value) == text


@pytest.mark.parametrize(
    "value, text", [(6.24e8, "7×10⁸"), (9.1e-10, "1×10⁻⁹"), (0.25, "0.3"), (0.2, "0.2"), (3e-13, "3×10⁻¹³"), (0, "0")]
)
def test_a_bound_is_rounded_up(value, text):
    assert scientific(value, 1, up=True) == text


def test_letters_are_readable_on_a_phone():
    width_on_phone = 350  # pixels that a page of 390 leaves for a picture
    sizes = [style.STYLE[name] for name in style.STYLE if re.search(r"(font\.?|label|title)size$", name)]
    assert len(sizes) >= 8 and min(sizes) == style.SMALL
    assert style.SMALL * width_on_phone / (style.WIDTH * 72) >= 11


def test_powers_of_ten_are_ordinary_letters():
    @picture
    def draw_powers():
        fig, ax = figure(2.0)
        ax.semilogy([0, 1], [1e-6, 1e6])
        return fig.describe("A line.")

    svg = draw_powers().to_svg()
    assert "10⁻⁶</text>" in svg and "tspan" not in svg


def test_photos_are_packed_without_loss():
    random = np.random.default_rng(0)

    def packed(pixels):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format="png")
        before = f'"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"'
        after = re.sub(r'"data:image/png;base64,([^"]*)"', style._packed, before)
        picture = Image.open(io.BytesIO(base64.b64decode(after.split(",")[1])))
        np.testing.assert_array_equal(np.asarray(picture.convert("RGBA")), pixels)
        return len(after) / len(before)

    opaque = np.full((40, 40, 1), 255, np.uint8)
    few = random.integers(256, size=(200, 3), dtype=np.uint8)[random.integers(200, size=(40, 40))]
    smooth = np.add.outer(np.arange(40), np.arange(40))[..., None] + random.integers(20, size=(40, 40, 3))
    assert packed(np.concatenate([few, opaque], axis=2)) < 0.6
    assert packed(np.concatenate([smooth.astype(np.uint8), opaque], axis=2)) < 0.9
    assert packed(np.concatenate([few, opaque // 2 * (few[..., :1] > 99)], axis=2)) < 1  # what shines through as well
