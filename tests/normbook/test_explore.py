import functools
import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import ipywidgets
import pytest

from normbook.explore import MOST_PICTURES, explore
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
    assert '<input type="range"' in shown and 'max="1" value="1" aria-valuetext="2"' in shown
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
