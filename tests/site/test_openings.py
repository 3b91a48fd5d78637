"""The first screen of a chapter, and what stands in its margin: notes, captions, the contents of the page."""

import pytest
from conftest import SITE, built_pages, sampled

OPENINGS = [name for name in built_pages() if "nc-opening" in (SITE / name).read_text("utf8")]
BESIDE = [name for name in built_pages() if "nc-beside" in (SITE / name).read_text("utf8")]
NOTES = [name for name in built_pages() if "nc-margin" in (SITE / name).read_text("utf8")]

# Where the first picture with dials stands, how much of it and of its dials is seen, what is written on its scales.
LOOK = """() => {
  const opening = document.querySelector('.nc-opening'), picture = opening.querySelector('.nc-picture svg');
  const box = e => e.getBoundingClientRect();
  const before = [...document.querySelectorAll('article :is(h2, .cell)')]
    .filter(e => e !== opening && e.compareDocumentPosition(opening) & Node.DOCUMENT_POSITION_FOLLOWING);
  return {
    before: before.length, width: box(opening).width,
    seen: (Math.min(innerHeight, box(picture).bottom) - box(picture).top) / box(picture).height,
    dial: box(opening.querySelector('.nc-dial')).bottom,
    scales: [...opening.querySelectorAll('.nc-slider')].map(s => {
      const marks = [...s.querySelectorAll('.nc-scale span')].map(m => m.textContent);
      return Boolean(marks[0] && marks.at(-1) && marks.length === +s.querySelector('input').max + 1);
    }),
    order: opening.querySelector('.nc-explore').compareDocumentPosition(
      opening.querySelector('.cell_input') ?? document.querySelector('.prev-next-footer')),
  };
}"""


def test_every_chapter_has_an_opening():
    asks = [name for name in built_pages() if "<strong>The question.</strong>" in (SITE / name).read_text("utf8")]
    asks.remove("book/playground.html")  # all of it is one
    assert len(asks) == 14 and not set(asks) - set(OPENINGS)


@pytest.mark.parametrize("name", sampled(OPENINGS, "OPENINGS"))
def test_an_opening_is_in_the_first_screen(visit, name):
    tour = visit()
    tour.page.set_viewport_size({"width": 1280, "height": 800})
    seen = tour.open(name).evaluate(LOOK)
    if name != "index.html":
        assert seen["before"] == 0 and 940 < seen["width"] < 980
    assert seen["seen"] > 0.7 and seen["dial"] < 800 and all(seen["scales"])
    assert seen["order"] == 4, "its code stands above it"
    tour.page.set_viewport_size({"width": 390, "height": 844})
    assert tour.page.evaluate(LOOK)["dial"] < 844
    assert not tour.console


# Left edge of each note against that of its paragraph, and whether it begins beside it or below it.
PLACES = """() => [...document.querySelectorAll('.nc-margin')].map(note => {
  const [n, p] = [note, note.previousElementSibling].map(e => e.getBoundingClientRect());
  return {beside: n.left >= p.right && Math.abs(n.top - p.top) < 8, inside: n.right <= innerWidth,
          below: n.top >= p.bottom - 1 && Math.abs(n.left - p.left) < 2};
})"""


def beside_or_below(page, places):
    """Beside where there is room; below on paper and in narrow windows; never over the window's edge."""
    found = page.evaluate(places)
    assert found and all(one["beside"] and one["inside"] for one in found)
    page.emulate_media(media="print")
    assert all(one["below"] for one in page.evaluate(places))
    page.emulate_media(media="screen")
    for width in (1100, 390):
        page.set_viewport_size({"width": width, "height": 800})
        assert all(one["below"] and one["inside"] for one in page.evaluate(places)), width


@pytest.mark.parametrize("name", sampled(NOTES, "NOTES"))
def test_a_note_stands_beside_its_paragraph_or_below_it(visit, name):
    page = visit(width=1280).open(name)
    beside_or_below(page, PLACES)
    for width in (390, 1100):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), width


# The caption beside its picture, at the foot of it; below it, in the middle, where there is no room.
CAPTIONS = """() => [...document.querySelectorAll('.nc-beside figcaption')].map(caption => {
  const [c, p] = [caption, caption.previousElementSibling].map(e => e.getBoundingClientRect());
  return {beside: c.left >= p.right && c.bottom <= p.bottom + 8, inside: c.right <= innerWidth && c.left >= 0,
          below: c.top >= p.bottom - 1};
})"""


def test_most_figures_have_their_caption_in_the_margin():
    assert len(BESIDE) >= 14


@pytest.mark.parametrize("name", sampled(BESIDE, "BESIDE"))
def test_a_caption_stands_beside_its_picture_or_below_it(visit, name):
    beside_or_below(visit(width=1280).open(name), CAPTIONS)


def test_the_contents_fold_only_while_something_is_in_their_place(visit):
    page = visit().open("book/batch-norm.html")
    folded = "() => getComputedStyle(document.querySelector('nav.page-toc')).opacity === '0'"
    to = """([height]) => {
      const { top } = document.querySelector('.nc-beside figcaption').getBoundingClientRect();
      scrollBy({ top: top - height, behavior: 'instant' });
    }"""
    page.evaluate(to, [100])
    page.wait_for_function(folded)
    page.locator(".page-toc a").first.focus()
    page.wait_for_function("() => getComputedStyle(document.querySelector('nav.page-toc')).opacity === '1'")
    page.evaluate("() => document.activeElement.blur()")
    page.wait_for_function(folded)
    page.evaluate(to, [700])
    page.wait_for_function("() => getComputedStyle(document.querySelector('nav.page-toc')).opacity === '1'")


@pytest.mark.parametrize("name", ["book/choosing.html", "book/why.html"])
def test_a_ledger_takes_the_margin_and_gives_it_to_what_was_measured(visit, name):
    page = visit(width=1280).open(name)
    ledger = page.locator(".nc-ledger").first
    widths = ledger.locator("tbody tr").first.locator("th, td").evaluate_all("all => all.map(e => e.offsetWidth)")
    assert ledger.bounding_box()["width"] > 940 and widths[-1] == max(widths) > 0.42 * sum(widths)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
