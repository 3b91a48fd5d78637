"""On a phone a section is laid out when it is near or when there is time; the place that is kept for it until then is
large enough and not much more, and afterwards nothing is left of it."""

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


# Two kinds of phones: one is never free, so that what is not near goes on waiting; the other has time.
BUSY = """window.requestIdleCallback = () => 0;
  const usual = window.addEventListener;  // nor does it feel the key that opens a page here
  window.addEventListener = (type, then, how) =>
    how?.once && then.name === 'whole' ? 0 : usual.call(window, type, then, how)"""
GIVEN_PLACES = "document.querySelectorAll('.bd-article > section > section[style]').length"


@pytest.fixture
def free(visit):
    """A phone."""
    tour = visit()
    tour.page.set_viewport_size(PHONE)
    return tour


@pytest.fixture
def tour(free):
    """A phone that has no time."""
    free.page.add_init_script(BUSY)
    return free


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


@pytest.mark.parametrize("name", sampled(CHAPTERS, "rest"))
def test_who_waits_a_moment_has_the_whole_page_and_nothing_has_moved(free, name):
    """What skipped sections cost who reads by ear, searches the page, or turns the tablet, is gone."""
    page = free.page
    page.goto(free.url + name)
    seat = "document.elementFromPoint(195, 600).closest('section > *').getBoundingClientRect().top"
    before = page.evaluate(seat)
    page.wait_for_function(f"() => !({LAZY}) && {GIVEN_PLACES} === 0")
    assert page.evaluate(seat) == before
    assert free.console == []


@pytest.mark.parametrize("act", ["scrollBy(0, 200)", "document.querySelector('.bd-article p a[href]').focus()", "key"])
def test_who_does_something_has_the_whole_page(free, act):
    page = free.page
    page.add_init_script("window.requestIdleCallback = () => 0")
    page.goto(f"{free.url}book/backward.html")
    assert page.evaluate(LAZY)
    page.keyboard.press("Tab") if act == "key" else page.evaluate(act)
    page.wait_for_function(LAID_OUT)


def test_places_are_whole_while_sections_wait(tour):
    """An address of a dial that is set by hand, and the link to a dial's position."""
    page = tour.open("book/why.html")
    top = "document.getElementById('explore-5').getBoundingClientRect().top"
    page.evaluate("location.hash = '#explore-5=1'")
    page.wait_for_function(LAID_OUT)
    page.wait_for_function(f"Math.abs({top} - 64) < 40")
    page.goto(f"{tour.url}book/instance-norm.html")
    last = "[...document.querySelectorAll('.nc-here')].at(-1)"
    page.evaluate(f"{last}.scrollIntoView({{behavior: 'instant'}})")
    page.wait_for_timeout(200)
    link = f"{last}.getBoundingClientRect().top"
    before = page.evaluate(link)
    page.evaluate(f"{last}.click()")
    page.wait_for_timeout(200)
    assert page.evaluate(link) == before


@pytest.mark.parametrize("go", ["scrollIntoView()", "find"])
def test_a_script_or_the_browser_s_search_finds_its_place_while_sections_wait(free, go):
    page = free.page
    page.add_init_script("window.requestIdleCallback = () => 0")
    page.goto(f"{free.url}book/backward.html")
    assert page.evaluate(LAZY)
    last = "[...document.querySelectorAll('.bd-article h2')].at(-1)"
    page.evaluate(f"window.find({last}.firstChild.textContent)" if go == "find" else f"{last}.{go}")
    page.wait_for_function(LAID_OUT)
    page.wait_for_timeout(1000)
    if go == "find":
        assert 0 <= page.evaluate("getSelection().getRangeAt(0).getBoundingClientRect().top") < 844
    else:
        assert 0 <= page.evaluate(f"{last}.getBoundingClientRect().top") < 844


def test_a_link_to_a_passage_has_the_whole_page(tour):
    page = tour.open("book/why.html")
    page.goto(f"{tour.url}book/backward.html#:~:text=Exercises")
    assert not page.evaluate(LAZY)
    assert tour.console == []


def test_a_link_to_a_passage_lands_there(window, url):
    """Firefox tells no page that it was opened at a passage: there all of the page is laid out at once."""
    passage = "What training makes of it"  # the last but four sections of a long chapter
    window.size(390)
    window.goto(f"{url}index.html")
    window.goto(f"{url}book/activations.html#:~:text={passage.replace(' ', '%20')}")
    heading = f"[...document.querySelectorAll('h2')].find(h => h.textContent.includes('{passage}'))"
    seat = f"{heading}.getBoundingClientRect().top"
    window.evaluate(f"""() => new Promise(then => {{
      const end = performance.now() + 15_000;
      const look = () => ({seat} < 900 || performance.now() > end ? setTimeout(then, 500) : setTimeout(look, 100));
      look();
    }})""")
    assert not window.evaluate(f"() => {LAZY}")
    assert 0 <= window.evaluate(f"() => {seat}") < 900


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
    tour.page.set_viewport_size(PHONE)  # turned, or made narrow, later: no section is taken away
    assert {s["waits"] for s in page.evaluate(SECTIONS)} == {"visible"}
    page.reload()
    page.goto(f"{tour.url}book/backward.html")
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
