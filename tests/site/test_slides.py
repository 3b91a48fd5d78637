"""The decks: every dial of every slide moves, and nothing is cut off at 1280 × 720.  LIVE_TEST=1 opens all of them."""

import os

import pytest

SAMPLE = ["axes", "lecture-2"]
# What of the slide in view lies outside of the window, or is wider or higher than its box.
CUT_OFF = """() => {
  const slide = Reveal.getCurrentSlide();
  const cut = [];
  for (const one of slide.querySelectorAll("*")) {
    if (one.closest("aside, mjx-assistive-mml, .MathJax_SVG") || one.parentElement.closest("svg")) continue;
    const { left, top, right, bottom, width, height } = one.getBoundingClientRect();
    const outside = left < -1 || top < -1 || right > innerWidth + 1 || bottom > innerHeight + 1;
    if (width && height && outside) cut.push([one.tagName, one.className, left, top, right, bottom].join(" "));
  }
  return cut;
}"""

FIGURE = ".nc-figure:not(.nc-leaving)"
TURNS = "one => one.type === 'range' ? (one.value === one.max ? 'ArrowLeft' : 'ArrowRight') : 'Space'"


def decks(site):
    found = sorted(path.stem for path in (site / "slides").glob("*.html"))
    if not found:
        pytest.skip("the site was built without npm: there are no decks")
    return found if os.environ.get("LIVE_TEST") else SAMPLE


def open_deck(tour, name):
    tour.page.set_viewport_size({"width": 1280, "height": 720})
    tour.page.goto(f"{tour.url}slides/{name}.html")
    tour.page.wait_for_function("() => window.Reveal?.isReady() && document.fonts.status === 'loaded'")
    return tour.page


def test_every_dial_moves_and_nothing_is_cut_off(strict, site):
    for name in decks(site):
        tour = strict()
        page = open_deck(tour, name)
        for number in range(page.evaluate("() => Reveal.getTotalSlides()")):
            page.evaluate("number => Reveal.slide(number)", number)
            for explorer in page.locator("section.present .nc-explore").all():
                page.wait_for_function("e => 'alive' in e.dataset", arg=explorer.element_handle())
                drawn = explorer.locator(FIGURE).inner_html()
                for dial in explorer.locator(".nc-dial").all():
                    before = explorer.inner_html()
                    control = dial.locator("input[type=range], button[aria-pressed=false]").first
                    control.focus()
                    page.keyboard.press(control.evaluate(TURNS))
                    page.wait_for_function("([e, old]) => e.innerHTML !== old", arg=[explorer.element_handle(), before])
                page.wait_for_function(
                    "([e, now, old]) => e.querySelector(now).innerHTML !== old && !e.querySelector('.nc-leaving')",
                    arg=[explorer.element_handle(), FIGURE, drawn],
                )
            assert page.evaluate("() => Reveal.getState().indexh") == number, f"{name}: a dial's key turned the slide"
            for answer in page.locator("section.present .fragment").all():
                answer.evaluate("one => one.classList.add('visible')")
            assert page.evaluate(CUT_OFF) == [], f"{name}, slide {number + 1}"
        assert not tour.console and not tour.missing and not tour.elsewhere


def test_the_search_for_what_is_cut_off_finds_it(strict, site):
    name = decks(site)[0]
    page = open_deck(strict(), name)
    assert page.evaluate(CUT_OFF) == []
    page.evaluate("() => Reveal.getCurrentSlide().querySelector('p').style.marginTop = '700px'")
    assert page.evaluate(CUT_OFF) != []


def test_arrow_keys_turn_slides_and_escape_leaves_a_dial(strict, site):
    decks(site)
    page = open_deck(strict(), "axes")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("() => Reveal.getState().indexh") == 1
    page.wait_for_selector("section.present .nc-explore[data-alive]")
    page.locator("section.present input[type=range]").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("() => Reveal.getState().indexh") == 1
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("() => Reveal.getState().indexh") == 2


def test_notes_stand_beside_the_slides(strict, site):
    decks(site)
    tour = strict()
    tour.page.goto(f"{tour.url}slides/axes.html?notes")
    tour.page.wait_for_selector(".speaker-notes:visible")
    assert "25 minutes." in tour.page.locator(".speaker-notes").inner_text()


def test_a_printed_slide_keeps_its_margins(strict, site):
    for name in decks(site):
        tour = strict()
        tour.page.goto(f"{tour.url}slides/{name}.html?print-pdf")
        slides = (site / "slides" / f"{name}.html").read_text("utf8").count("<section ")
        printed = "slides => document.querySelectorAll('.pdf-page section').length === slides"
        tour.page.wait_for_function(printed, arg=slides)
        edges = tour.page.evaluate(
            """() => [...document.querySelectorAll('.pdf-page')].map(page => {
              const box = page.getBoundingClientRect();
              const parts = [...page.querySelectorAll('section > *, .nc-slide > *')].filter(e => e.offsetHeight);
              const of = side => parts.map(e => e.getBoundingClientRect()[side]);
              return [Math.min(...of('left')) - box.left, Math.min(...of('top')) - box.top,
                      box.right - Math.max(...of('right')), box.bottom - Math.max(...of('bottom'))];
            })"""
        )
        assert len(edges) == slides
        assert [edge for edge in edges if min(edge) < 30] == [], name
