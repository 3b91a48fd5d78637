import functools
import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import ipywidgets
import numpy as np
import pytest

from normbook.explore import FINE, MOST_PICTURES, Plan, explore
from normbook.style import figure, picture


@picture
def draw(size=1, word="a"):
    fig, ax = figure(2.0)
    ax.plot([0, size])
    return fig.describe(f"size {size}, word {word}", f"numbers {size} {word}")


def shown(explorer):
    """The HTML that the front end shows where the dials stand now: the links are followed as the page follows them."""
    view = explorer.children[-1]
    for dial in explorer.dials.values():
        view = view.children[dial.index]
    return view.value


def test_one_dial_shows_the_picture_of_each_value():
    explorer = explore(draw, size=[1, 2, 3])
    for value in (1, 2, 3):
        explorer.dials["size"].value = value
        assert f"numbers {value} a" in shown(explorer)


def test_two_dials_show_every_combination():
    explorer = explore(draw, size=[1, 2], word=["a", "b", "c"])
    for size in (1, 2):
        for word in "abc":
            explorer.dials["size"].value, explorer.dials["word"].value = size, word
            assert f"numbers {size} {word}" in shown(explorer)


def test_dial_and_stack_are_linked_in_the_front_end(monkeypatch):
    links = []
    monkeypatch.setattr(ipywidgets, "jslink", lambda *ends: links.append(ends))
    explorer = explore(draw, size=[1, 2], word=["a", "b"])
    outer = explorer.children[-1]
    size, word = explorer.dials.values()
    assert [(s, t) for (s, _), (t, _) in links] == [(word, inner) for inner in outer.children] + [(size, outer)]
    assert {names for (_, a), (_, b) in links for names in [(a, b)]} == {("index", "selected_index")}


def test_it_starts_where_told():
    explorer = explore(draw, start={"size": 2}, size=[1, 2, 3], word=["a", "b"])
    assert (explorer.dials["size"].value, explorer.dials["word"].value) == (2, "a")
    assert explorer.children[-1].selected_index == 1
    assert "numbers 2 a" in shown(explorer)


def test_numbers_make_a_slider_and_words_make_buttons():
    dials = explore(draw, size=[1, 2], word=["a", "b"]).dials
    assert isinstance(dials["size"], ipywidgets.SelectionSlider) and dials["size"].description == "size"
    assert isinstance(dials["word"], ipywidgets.ToggleButtons)
    assert isinstance(explore(draw, size=[True, False]).dials["size"], ipywidgets.ToggleButtons)


def test_a_value_may_carry_a_label():
    dial = explore(draw, size=[("one", 1), ("two", 2)], start={"size": 2}).dials["size"]
    assert (dial.label, dial.value) == ("two", 2)


def test_a_front_end_without_widgets_gets_the_default_picture():
    bundle = explore(draw, start={"size": 2}, size=[1, 2])._repr_mimebundle_()
    assert "numbers 2 a" in bundle["text/html"] and 'role="img"' in bundle["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == "explore(size=2)"


def test_a_partial_function_may_draw():
    assert "numbers 1 z" in shown(explore(functools.partial(draw, word="z"), size=[1, 2]))


def test_an_error_in_draw_surfaces_at_once():
    def broken(size):
        if size == 3:
            raise ZeroDivisionError("size three")
        return draw(size)

    with pytest.raises(ZeroDivisionError, match="size three"):
        explore(broken, size=[1, 2, 3])


def test_each_picture_is_drawn_once():
    drawn = []

    def counted(size):
        drawn.append(size)
        return draw(size)

    explore(counted, size=[1, 2, 3])
    assert drawn == [1, 2, 3]


@pytest.mark.parametrize(
    "choices, start, message",
    [
        ({}, {}, "at least one dial"),
        ({"size": [1]}, {}, r"'size' has 1 value"),
        ({"size": [1, 1]}, {}, r"same label twice: \['1', '1'\]"),
        ({"size": [1, 2]}, {"size": 3}, r"start=\{'size': 3\} is not one of the choices"),
        ({"size": [1, 2]}, {"tone": 1}, r"start=\{'tone': 1\} is not one of the choices"),
        ({"size": range(MOST_PICTURES + 1)}, {}, "too many for one page"),
    ],
)
def test_wrong_choices_are_named(choices, start, message):
    with pytest.raises(ValueError, match=message):
        explore(draw, start=start, **choices)


def test_a_picture_without_an_alternative_text_is_refused():
    import matplotlib.figure

    def bare(size):
        return matplotlib.figure.Figure()

    with pytest.raises(ValueError, match=r"bare\(size=1\) returned Figure without an alternative text"):
        explore(bare, size=[1, 2])


SLOW = """
import itertools, types
import tqdm.std
tqdm.std.time = itertools.count(step=10).__next__  # every look at the clock is ten seconds later
from normbook.explore import explore
drawn = types.SimpleNamespace(alt="a", _repr_html_=lambda: "<img alt='a'>")
explore(lambda size: drawn, size=[1, 2, 3])
"""


@pytest.mark.parametrize("book", [False, True], ids=["somebody waits", "the book is built"])
def test_a_progress_bar_for_somebody_who_waits_alone(book):
    environment = {name: value for name, value in os.environ.items() if name != "NORMCORE_BOOK"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    environment |= {"NORMCORE_BOOK": "1"} if book else {}
    done = subprocess.run([sys.executable, "-c", SLOW], env=environment, capture_output=True, text=True, check=True)
    assert ("drawing" in done.stderr) is not book, done.stderr
    assert not done.stdout


# ---- in a page, which has no kernel ----


@pytest.fixture
def published(monkeypatch):
    monkeypatch.setenv("NORMCORE_BOOK", "1")
    return explore


def stored(shown):
    """The pictures that a page gets."""
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', shown, re.DOTALL)[1])


def test_a_page_gets_native_dials_the_default_picture_and_all_pictures_in_order(published):
    shown = published(draw, start={"size": 2, "word": "b"}, size=[1, 2], word=["a", "b", "c"])._repr_html_()
    said = [re.search(r"numbers (\d \w)", one)[1] for one in stored(shown)]
    assert said == ["1 a", "1 b", "1 c", "2 a", "2 b", "2 c"]
    default = shown[shown.index('class="nc-picture"') : shown.index("<script")]
    assert "numbers 2 b" in default and "numbers 1 a" not in default
    assert '<input type="range"' in shown and 'max="1" step="1" value="1" aria-valuetext="2"' in shown
    assert re.findall(r'aria-pressed="(\w+)" disabled>(\w)<', shown) == [("false", "a"), ("true", "b"), ("false", "c")]


def test_pictures_cannot_end_the_script_that_holds_them(published):
    @picture
    def hostile(size):
        fig, _ = figure(2.0)
        return fig.describe("</script><b>", "</script>")

    shown = published(hostile, size=[1, 2])._repr_html_()
    assert shown.count("</script>") == 1 and len(stored(shown)) == 2


def test_labels_are_written_as_text(published):
    shown = published(draw, size=[("<i>1", 1), ('"2', 2)])._repr_html_()
    assert "<i>" not in shown.split('class="nc-picture"')[0]
    labels = html.unescape(re.search(r'data-labels="(.*?)"', shown)[1])
    assert json.loads(labels) == ["<i>1", '"2']


def test_an_error_in_draw_surfaces_in_a_page_too(published):
    with pytest.raises(ZeroDivisionError):
        published(lambda size: 1 / 0, size=[1, 2])


def marks(shown):
    return re.findall(r"<span>(.*?)</span>", re.search(r'<div class="nc-scale.*?</div>', shown)[0])


def test_the_scale_is_written_on_a_dial(published):
    """A mark for each place, with its label where all of them fit on a phone, or else every second, …, or the ends."""
    shown = published(draw, size=[1, 2, 4])._repr_html_()
    assert marks(shown) == ["1", "2", "4"] and "nc-ends" not in shown
    long = [(f"{10**n} kilometers", 10**n) for n in range(4)]
    shown = published(draw, size=long)._repr_html_()
    assert marks(shown) == ["1 kilometers", "", "", "1000 kilometers"] and "nc-ends" in shown
    shown = published(draw, size=[("the best", 1), ("twice it", 2)])._repr_html_()
    assert marks(shown) == ["the best", "twice it"] and "nc-ends" in shown  # half of a label leaves the track at most
    rates = [1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4]
    shown = published(draw, size=[(f"1/{1 / rate:.0f}" if rate < 1 else f"{rate:g}", rate) for rate in rates])
    assert marks(shown._repr_html_()) == ["1/128", "", "", "1/16", "", "", "1/2", "", "", "4"]


def test_a_minus_is_a_minus(published):
    shown = published(draw, size=[-0.5, 0, 1], start={"size": -0.5})._repr_html_()
    assert marks(shown) == ["−0.5", "0", "1"] and ">−0.5</output>" in shown


def test_a_page_says_which_axes_move(published):
    @picture
    def moving(x_end, y_end):
        fig, (left, right) = figure(2.0, columns=2)
        left.set(xlim=(0, 1), ylim=(0, 5))
        right.set(xlim=(0, x_end), ylim=(0, y_end))
        return fig.describe("a", f"{x_end} {y_end}")

    assert 'data-moving="x2"' in published(lambda x_end: moving(x_end, 2), x_end=[1, 2])._repr_html_()
    assert 'data-moving="x2 y2"' in published(moving, x_end=[1, 2], y_end=[1, 2])._repr_html_()

    @picture
    def images(size):
        fig, ax = figure(2.0)
        ax.set(xlim=(0, 3))
        ax.set_axis_off()
        return fig.describe("a", f"{size}")

    assert "data-moving" not in published(images, size=[1, 2])._repr_html_()


def test_the_same_place_has_a_link(published):
    shown = published(draw, size=[1, 2])._repr_html_()
    name = re.search(r'id="(explore-\w+)"', shown)[1]
    assert f'<a class="nc-here" href="#{name}">' in shown


# ---- what computing can vary


def test_a_dial_stops_between_its_values_by_difference_or_by_ratio():
    plan = Plan(draw, {"size": [0.1, 0.2, 0.4], "word": [0.01, 0.1, 1.0]}, {}, between=["size", "word"])
    size, word = plan.dials
    assert [size.value(place) for place in (0, 0.5, 1, 1.5, 2)] == [0.1, 0.15, 0.2, 0.3, 0.4]
    assert [word.value(place) for place in (0, 0.5, 2)] == [0.01, 0.0316, 1.0]
    assert size.finer[:3] == ["0.1", "0.11", "0.12"] and len(size.finer) == 2 * FINE + 1 and size.finer[FINE] == "0.2"
    assert Plan(draw, {"size": [1, 10]}, {}, between=["size"]).dials[0].value(0.3) == 2  # whole numbers stay whole
    assert Plan(draw, {"size": [1, 10]}, {}).dials[0].finer is None


def test_what_computing_varies_reaches_the_picture():
    @picture
    def own(size, seed=0, values=(1.0, 2.0), image=None):
        fig, _ = figure(2.0)
        fig.points = values
        return fig.describe("a", f"{size} {seed} {list(values)} {np.sum(image):g}")

    plan = Plan(own, {"size": [1, 2]}, {}, (), ("Another", "seed"), {"values": (-1, 3)}, {"image": np.ones((1, 2, 2))})
    assert plan.more == ["another", "points to drag", "a picture of your own"]
    plain = plan.picture([0])
    assert "1 0 [1.0, 2.0] 4<" in plain.html and plain.points == [1.0, 2.0]
    varied = plan.picture([1], clicks=3, points=[0.5], image=np.zeros((1, 2, 2)))
    assert "2 3 [0.5] 0<" in varied.html and varied.points == [0.5]


def test_between_is_for_dials_of_numbers():
    for name in ("word", "tone"):
        with pytest.raises(ValueError, match=f"between='{name}' is no dial of numbers"):
            explore(draw, size=[1, 2], word=["a", "b"], between=[name])


def test_a_page_says_what_computing_adds(published):
    shown = published(draw, size=[1, 2], between=["size"], again="word")._repr_html_()
    assert 'data-more="draw again, values between the marks"' in shown
    assert "data-more" not in published(draw, size=[1, 2])._repr_html_()
