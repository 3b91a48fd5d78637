"""axe-core on every page, in light and dark, on a laptop and on a phone; the keyboard; large letters; less motion.

AUDIT=full tries every page in all four views (`make audit`).  Otherwise by turns light on the laptop or dark on the
phone.
"""

import itertools
import os
import tarfile
from pathlib import Path

import pytest
from normext import vendor

ROOT = Path(__file__).parents[2]
AXE = ("axe-core", "4.14.1", "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN = """async rules => (await axe.run({runOnly: rules, resultTypes: ['violations']})).violations.flatMap(
  found => found.nodes.map(node => `${found.id}: ${node.target.join(' ')} ${node.failureSummary}`))"""
UNFOLD = """() => {
  for (const fold of document.querySelectorAll('article details:not(.nc-live)')) fold.open = true;
  document.documentElement.classList.remove('nc-later'); // a section that waits keeps the place of its folded text
  return new Promise(done => setTimeout(done, 200));
}"""
LAPTOP, PHONE = 1280, 390
VIEWS = [(LAPTOP, "light"), (PHONE, "dark"), (LAPTOP, "dark"), (PHONE, "light")]


@pytest.fixture(scope="module")
def axe():
    """The program axe-core, from its npm package."""
    try:
        path = vendor.archive(*AXE, ROOT / ".cache" / "npm")
    except vendor.Unavailable as reason:
        if os.environ.get("CI"):
            pytest.fail(str(reason), pytrace=False)
        pytest.skip(str(reason))
    with tarfile.open(path) as tar:
        return tar.extractfile("package/axe.min.js").read().decode()


def test_no_violations(visit, axe, audited_page, view):
    """WCAG 2.2 A and AA and the best practices, with everything unfolded."""
    width, theme = VIEWS[view]
    page = visit(width, color_scheme=theme, reduced_motion="reduce").open(audited_page)
    page.evaluate(axe)
    page.evaluate(UNFOLD)
    assert page.evaluate(RUN, RULES) == []


def test_dialogs_and_menus(visit, axe):
    """What opens on a click has no violations either: the search, the drawer of chapters, the menu of downloads."""
    for width in (LAPTOP, PHONE):
        page = visit(width, reduced_motion="reduce").open("index.html")
        page.evaluate(axe)
        page.keyboard.press("Control+k")
        page.wait_for_function("() => document.activeElement.matches('input[type=search]')")
        assert page.evaluate(RUN, RULES) == []
        page.keyboard.press("Escape")
        page.locator(".dropdown-download-buttons > button").click()
        assert page.evaluate(RUN, RULES) == []
        page.keyboard.press("Escape")
        if width == PHONE:
            page.locator("button.primary-toggle").click()
            page.wait_for_function(
                "() => { const drawer = document.querySelector('.bd-sidebar-primary');"
                " return drawer.getBoundingClientRect().x === 0 && drawer.querySelector('a').checkVisibility("
                "{visibilityProperty: true}); }"
            )
            assert page.evaluate(RUN, RULES) == []


def test_the_whole_page_by_keyboard(visit, widget_page):
    """Tab reaches every dial, and what has the focus shows it."""
    page = visit(reduced_motion="reduce").open(widget_page)
    dials = page.locator(".nc-dial :is(input, button)").count()
    reached = set()
    for _ in range(900):
        page.keyboard.press("Tab")
        now = page.evaluate(
            """() => {
              const e = document.activeElement, style = getComputedStyle(e);
              const at = [...document.querySelectorAll('.nc-dial :is(input, button)')].indexOf(e);
              return {at, body: e === document.body, name: e.outerHTML.slice(0, 120),
                      seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2};
            }"""
        )
        if now["body"]:
            break
        assert now["seen"], f"no visible focus: {now['name']}"
        reached.add(now["at"])
        if len(reached - {-1}) == dials:
            break
    assert len(reached - {-1}) == dials


def test_headings_in_order(visit, page_name):
    page = visit().open(page_name)
    levels = page.evaluate(
        "() => [...document.querySelectorAll('main :is(h1,h2,h3,h4,h5,h6)')].filter(h => h.getClientRects().length)"
        ".map(h => Number(h.tagName[1]))"
    )
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), levels


def test_letters_twice_as_large(visit, page_name):
    """Text at 200%: nothing sticks out of the window, nothing is cut off."""
    page = visit(1280).open(page_name)
    page.add_style_tag(content="html { font-size: 200% !important }")
    page.wait_for_timeout(100)
    too_wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert too_wide <= 1
    cut = page.evaluate(
        """() => [...document.querySelectorAll('article :is(p, li, h1, h2, h3, label, output, figcaption, td, th)')]
          .filter(e => e.getClientRects().length && e.scrollWidth > e.clientWidth + 2 && e.clientWidth &&
                       getComputedStyle(e).overflowX !== 'visible')
          .map(e => e.textContent.slice(0, 60))"""
    )
    assert cut == []


def test_a_window_of_320_pixels(visit, page_name):
    """As at 400% on a laptop: one column, no scrolling sideways."""
    page = visit(320).open(page_name)
    assert page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_on_paper_every_page_has_its_title_and_its_solutions(visit, page_name):
    page = visit(700).open(page_name)
    page.emulate_media(media="print")
    assert page.locator("main h1:visible").count() == 1
    for solution in page.locator("article .solution").all():
        assert solution.locator("p:not(.admonition-title), pre").first.is_visible()
    assert page.locator("header:visible, .bd-sidebar-primary:visible, .prev-next-footer:visible").count() == 0


def test_motion_respects_the_reader(visit):
    page = visit(reduced_motion="reduce").open("index.html")
    moving = page.evaluate(
        """() => [...document.querySelectorAll('*')].filter(e => {
          const s = getComputedStyle(e);
          return [s.transitionDuration, s.animationDuration].some(d => d.split(',').some(t => parseFloat(t) > 0.001))
                 || s.scrollBehavior === 'smooth';
        }).map(e => e.outerHTML.slice(0, 80))"""
    )
    assert moving == []


def test_formulas_speak(visit, page_name):
    """Each formula carries MathML for those who do not see it."""
    page = visit().open(page_name)
    assert page.locator("mjx-container:not(:has(mjx-assistive-mml math))").count() == 0


def test_a_picture_of_a_dial_has_few_elements(visit, widget_page):
    """What a browser has to lay out at each position of a dial; how long that takes, `make dial-speed` measures."""
    page = visit().open(widget_page)
    elements = page.evaluate(
        """() => [...document.querySelectorAll('.nc-explore')].map(explorer => {
          const range = explorer.querySelector('input[type=range]');
          const buttons = explorer.querySelectorAll('.nc-dial button');
          const steps = range ? [...Array(Number(range.max) + 1).keys()] : [...buttons];
          return Math.max(...steps.map(step => {
            if (range) { range.value = step; range.dispatchEvent(new Event('input', {bubbles: true})); }
            else step.click();
            return explorer.querySelectorAll('.nc-picture *').length;
          }));
        })"""
    )
    assert elements and max(elements) < 1000, elements
