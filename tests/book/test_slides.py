"""Marks in a chapter's prose become the slides of its deck."""

import re
from pathlib import Path

import pytest
from normext import slides, teaching
from sphinx.errors import ExtensionError

ROOT = Path(__file__).parents[2]
TEXTS = teaching.chapters(ROOT)
PAGE = """<h1>T</h1><p><strong>The question.</strong> Which?</p>
<h2>The cars<a class="headerlink">#</a></h2>
<!-- slide: Cars & trucks
- one
- two
--><p>Words.</p><div class="math">1</div>
<div class="math">2</div><p>More.</p><div class="math">3</div>
<!-- slide: Only words
- here
--><p>Nothing to show.</p>
<h2>What does not change</h2><div class="nc-table"><table></table></div>
<!-- slide: A dial --><div class="nc-explore" id="explore-1" data-pictures="a.js">
<label for="explore-1-0"></label><figure class="nc-figure"></figure></div>
<!-- a comment of another kind -->
<div class="admonition tip"><p class="admonition-title">What you can now do</p><ul><li>All.</li></ul></div>"""


def test_a_mark_shows_what_follows_up_to_the_next_mark_or_heading():
    made = slides.deck(PAGE, "scaling", TEXTS["scaling"], ROOT)
    assert len(made) == 5
    first, cars, words, dial, last = made
    assert "Two features, two scales" in first and "Which?" in first and "45 minutes" in first
    assert "Cars &amp; trucks" in cars and cars.count("<li>") == 2 and "The cars: 5 minutes." in cars
    assert re.findall(r'class="math">(\d)', cars) == ["1", "2"]  # the formulas that belong together
    assert "nc-shown" not in words and "table" not in words
    assert 'id="scaling-explore-1"' in dial and 'for="scaling-explore-1-0"' in dial and "nc-dials" in dial
    assert "<li>All.</li>" in last


def test_an_empty_slide_is_refused():
    page = PAGE.replace("- here\n", "")
    with pytest.raises(ExtensionError, match=r"scaling: the slide 'Only words' has neither"):
        slides.deck(page, "scaling", TEXTS["scaling"], ROOT)


def test_every_chapter_has_marks_and_its_dial_to_show_is_among_the_slides():
    for name, text in TEXTS.items():
        assert text.count("\n% slide: ") >= 3, name
        notes = teaching.read(ROOT, name, text)
        part = teaching.part(text, notes["dial"]["section"])
        before = part[: part.index("explore(")]
        assert "% slide: " in before, f"{name}: the dial of {notes['dial']['section']!r} is on no slide"


def test_the_plans_of_the_page_for_instructors():
    plans = slides.plans(ROOT)
    assert list(plans) == ["lecture-1", "lecture-2", "week-1", "week-2", "week-3", "week-4"]
    assert plans["lecture-1"][1] == ["axes", "instance-norm", "batch-norm"] and plans["week-3"][1] == ["backward"]
