"""On a phone a section is laid out when it is near; the place that is kept for it is large enough and not much more."""

import pytest
from conftest import SITE, built_pages, sampled

CHAPTERS = [name for name in built_pages() if "--nc-height" in (SITE / name).read_text("utf8")]
PHONE = {"width": 390, "height": 844}

# Of each section with a place: the place, the height it has now, whether it waits to be laid out.
SECTIONS = """() => [...document.querySelectorAll('.bd-article > section > section[style]')].map(section => ({
  name: section.id, place: parseFloat(section.style.getPropertyValue('--nc-height')),
  high: section.getBoundingClientRect().height, waits: getComputedStyle(section).contentVisibility}))"""
LAZY = "document.documentElement.classList.contains('nc-later')"
LAID_OUT = "() => !document.documentElement.classList.contains('nc-later')"


@pytest.fixture
def tour(visit):
    """A phone."""
    tour = visit()
    tour.page.set_viewport_size(PHONE)
    return tour


def test_every_chapter_says_how_high_its_sections_are():
    assert len(CHAPTERS) >= 14 and "index.html" not in CHAPTERS


@pytest.mark.parametrize("name", sampled(CHAPTERS, "later"))
def test_a_place_is_large_enough_for_its_section_and_not_much_larger(tour, name):
    page = tour.open(name)
    assert page.evaluate(LAZY)
    waiting = page.evaluate(SECTIONS)
    assert waiting and all(section["waits"] == "auto" for section in waiting)
    page.evaluate("document.documentElement.classList.remove('nc-later')")
    laid_out = page.evaluate(SECTIONS)
    assert all(section["waits"] == "visible" for section in laid_out)
    wrong = [s for s in laid_out if not 0.97 * s["high"] < s["place"] < 1.7 * s["high"]]
    assert wrong == []
    assert tour.console == []


@pytest.mark.parametrize("name", sampled(CHAPTERS, "jump"))
def test_who_goes_to_a_place_or_comes_back_has_the_whole_page(tour, name):
    page = tour.open(name)
    assert page.evaluate(LAZY)
    last = page.evaluate("[...document.querySelectorAll('.bd-article > section > section[id]')].at(-1).id")
    page.evaluate("id => document.querySelector(`.bd-article a[href='#${id}']`).click()", last)
    page.wait_for_function(LAID_OUT)
    seat = f"document.getElementById('{last}').getBoundingClientRect().top"
    page.wait_for_function(f"Math.abs({seat}) < innerHeight")
    page.goto(f"{tour.url}index.html")
    page.goto(f"{tour.url}{name}#{last}")
    assert not page.evaluate(LAZY)
    page.goto(f"{tour.url}{name}")
    assert page.evaluate(LAZY)
    page.reload()
    assert not page.evaluate(LAZY)


def test_what_has_the_focus_in_a_section_is_not_cut(tour):
    """A section that is laid out later cuts what reaches over its edge: its edge lies outside the text."""
    page = tour.open("book/backward.html")
    room = page.evaluate("""() => [...document.querySelectorAll('.bd-article > section > section[style]')].map(s => {
      const edge = s.getBoundingClientRect(), inside = s.querySelector(':scope > :is(p, h2)').getBoundingClientRect();
      return [inside.left - edge.left, edge.right - inside.right, edge.left, innerWidth - edge.right];
    })""")
    assert all(min(sides[:2]) >= 8 and min(sides[2:]) >= 0 for sides in room)


def test_a_wide_window_and_paper_have_all_of_it_at_once(tour):
    tour.page.set_viewport_size({"width": 1280, "height": 800})
    page = tour.open("book/backward.html")
    assert {s["waits"] for s in page.evaluate(SECTIONS)} == {"visible"}
    tour.page.set_viewport_size(PHONE)
    page.emulate_media(media="print")
    assert {s["waits"] for s in page.evaluate(SECTIONS)} == {"visible"}


def test_the_parents_script_follows_the_reader_only_where_that_is_seen(tour):
    page = tour.open("book/backward.html")
    follows = "Boolean(bootstrap.ScrollSpy.getInstance(document.body))"
    assert not page.evaluate(follows)
    page.click(".secondary-toggle")
    page.wait_for_function(follows)
    assert tour.console == []
    tour.page.set_viewport_size({"width": 1280, "height": 800})
    page = tour.open("book/axes.html")
    page.wait_for_function(follows)
