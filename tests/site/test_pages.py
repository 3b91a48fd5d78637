"""Every page in a browser: nothing is loaded from elsewhere, nothing complains, every dial does its work."""

import pytest

PHONE = 390

# What a reader sees of one explorer: the shown pictures, the numbers below them.
SHOWN = """explorer => {
  const figures = [...explorer.querySelectorAll('.nc-figure:not(.nc-leaving)')].filter(f => f.getClientRects().length);
  return {count: figures.length,
          picture: figures.map(f => f.querySelector('svg').outerHTML).join(),
          label: figures.map(f => f.querySelector('svg').getAttribute('aria-label')).join(),
          numbers: figures.map(f => f.querySelector('figcaption')?.textContent ?? '').join()};
}"""

# Elements that stick out of the window, unless a scroller of their own holds them.
TOO_WIDE = """() => {
  const wide = document.documentElement.clientWidth;
  const held = e => {
    for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
      if (/auto|scroll|hidden|clip/.test(getComputedStyle(p).overflowX)) return true;
    return false;
  };
  const found = [...document.querySelectorAll('article *')].filter(e => {
    const box = e.getBoundingClientRect();
    return box.width && (box.right > wide + 1 || box.left < -1) && !held(e);
  }).map(e => `<${e.tagName} class="${e.getAttribute('class') ?? ''}"> ${e.textContent.slice(0, 40)}`);
  const all = document.documentElement.scrollWidth;
  if (all > wide) found.unshift(`page of ${all} px`);
  return found.slice(0, 10);
}"""


def sweep(page, explorer, move, steps, dial):
    """Move a dial through all its places; at each the picture and its numbers must differ from the place before."""
    before = explorer.evaluate(SHOWN)
    for step in range(steps):
        move(step)
        page.wait_for_function(
            f"([explorer, old]) => ({SHOWN})(explorer).picture !== old",
            arg=[explorer.element_handle(), before["picture"]],
            timeout=2_000,
        )
        now = explorer.evaluate(SHOWN)
        assert now["count"] == 1, f"{dial}: {now['count']} pictures at once"
        assert now["label"].strip(), f"{dial}, step {step}: the picture has no alternative text"
        assert now["numbers"].strip() and now["numbers"] != before["numbers"], (
            f"{dial}, step {step}: the numbers did not change: {now['numbers']!r}"
        )
        before = now


def check_slider(page, explorer, slider):
    handle = slider.locator("input[type=range]")
    name = slider.locator(".nc-label").inner_text().strip()
    assert name and handle.evaluate("h => h.labels[0].textContent.trim()") == name
    box = handle.bounding_box()
    assert min(box["width"], box["height"]) >= 24, f"{name}: a handle of {box['width']}×{box['height']} px"
    start, last = (int(handle.evaluate(f"h => h.{a}")) for a in ("value", "max"))
    handle.focus()
    if start:
        page.keyboard.press("Home")
        page.wait_for_function("h => h.value === '0'", arg=handle.element_handle())
    assert last >= 1
    sweep(page, explorer, lambda step: page.keyboard.press("ArrowRight"), last, name)
    assert handle.input_value() == str(last)
    assert handle.get_attribute("aria-valuetext") == slider.locator(".nc-readout").inner_text().strip()
    for _ in range(last - start):
        page.keyboard.press("ArrowLeft")


def check_toggle(page, explorer, toggle):
    name = toggle.get_attribute("aria-label")
    assert name == toggle.locator(".nc-label").inner_text().strip()
    buttons = toggle.locator("button")
    pressed = [buttons.nth(i).get_attribute("aria-pressed") for i in range(buttons.count())]
    start = pressed.index("true")
    assert pressed.count("true") == 1 and len(pressed) >= 2
    others = [i for i in range(len(pressed)) if i != start]

    def press(button):
        buttons.nth(button).focus()
        page.keyboard.press("Space")

    sweep(page, explorer, lambda step: press(([*others, start])[step]), len(pressed), name)


def test_page(visit, page_name):
    """One visit on a laptop: requests, console, alternative texts, and every dial over its whole range."""
    tour = visit()
    page = tour.open(page_name)
    silent = page.evaluate(
        "() => [...document.images].filter(i => !i.alt.trim()).map(i => i.outerHTML.slice(0, 80))"
        ".concat([...document.querySelectorAll('svg[role=img]')].filter(s => !s.getAttribute('aria-label')?.trim())"
        ".map(s => s.outerHTML.slice(0, 80)))"
    )
    assert not silent
    assert page.evaluate("() => document.querySelectorAll('mjx-merror').length") == 0, "a formula does not parse"
    explorers = page.locator(".nc-explore")
    dials = page.locator(".nc-explore :is(.nc-slider, .nc-buttons)")
    assert page.locator('script[type^="application/vnd.jupyter.widget"]').count() == 0, (
        "a widget outside of explore(): no page has the scripts that would bring it to life"
    )
    assert page.locator(".nc-explore .nc-dial").count() == dials.count()
    for i in range(explorers.count()):
        explorer = explorers.nth(i)
        sliders, toggles = explorer.locator(".nc-slider"), explorer.locator(".nc-buttons")
        assert sliders.count() + toggles.count() >= 1
        opening = explorer.evaluate(SHOWN)
        for n in range(sliders.count()):
            check_slider(page, explorer, sliders.nth(n))
        for n in range(toggles.count()):
            check_toggle(page, explorer, toggles.nth(n))
        assert explorer.evaluate(SHOWN) == opening, "the dials are back where they were, the picture is not"
    if explorers.count():
        check_news(page, explorers.first)
    assert not tour.elsewhere
    assert not tour.missing
    assert not tour.console


def check_news(page, explorer):
    """A screen reader hears the new numbers once the dial rests."""
    explorer.locator("input[type=range], button[aria-pressed=false]").first.focus()
    slider = page.evaluate("() => document.activeElement.matches('input')")
    if slider:
        at_end = page.evaluate("() => document.activeElement.value === document.activeElement.max")
    page.keyboard.press(("ArrowLeft" if at_end else "ArrowRight") if slider else "Space")
    news = explorer.locator("[aria-live=polite]")
    numbers = explorer.evaluate(SHOWN)["numbers"].strip()
    page.wait_for_function(
        "([news, numbers]) => news.textContent === numbers", arg=[news.element_handle(), numbers], timeout=3_000
    )


def test_phone(visit, page_name):
    """390 px wide: nothing scrolls sideways, labels are whole, tracks are wide enough for a thumb."""
    page = visit(PHONE, has_touch=True, is_mobile=True).open(page_name)
    assert not page.evaluate(TOO_WIDE)
    for slider in page.locator(".nc-explore .nc-slider").all():
        track = slider.locator("input").bounding_box()
        assert track["width"] >= 200
        assert track["x"] >= 0 and track["x"] + track["width"] <= PHONE
        for text in slider.locator(".nc-label, .nc-readout").all():
            clipped = text.evaluate("e => [e.scrollWidth - e.clientWidth, e.scrollHeight - e.clientHeight]")
            assert max(clipped) <= 1, f"{text.inner_text()!r} is cut off"


@pytest.mark.parametrize("without", ["javascript", "the other pictures"])
def test_default_picture_stays(visit, widget_page, without):
    """Where the dials cannot live, their default picture does."""
    tour = visit(java_script_enabled=without != "javascript")
    tour.page.route("**/_static/pictures/*", lambda route: route.abort())
    tour.page.goto(tour.url + widget_page)
    tour.page.keyboard.press("Shift")
    explorers = tour.page.locator(".nc-explore")
    assert explorers.count() > 0
    for explorer in explorers.all():
        picture = explorer.locator(".nc-figure svg")
        assert picture.is_visible() and picture.bounding_box()["width"] > 200
        explorer.locator(".nc-note").wait_for(state="visible")  # once the script has asked for a picture in vain
        for control in explorer.locator(".nc-dial :is(input, button)").all():
            assert control.is_disabled() and (control.is_visible() == (without != "javascript"))


def test_pictures_come_with_the_reader(visit):
    """Not before somebody moves; then before their explorer is in the window; by keyboard, all of them."""
    tour = visit(PHONE)
    page = tour.page
    page.goto(tour.url + "book/batch-norm.html", wait_until="load")
    last = page.locator(".nc-explore").last
    alive = "e => 'alive' in e.dataset"
    page.wait_for_timeout(300)
    assert not last.evaluate(alive)
    last.evaluate("e => scrollTo({top: e.getBoundingClientRect().top - innerHeight - 300, behavior: 'instant'})")
    page.wait_for_function(alive, arg=last.element_handle(), timeout=5_000)
    assert last.evaluate("e => e.getBoundingClientRect().top - innerHeight") > 0
    page.reload(wait_until="load")
    page.evaluate("scrollTo(0, 0)")
    page.keyboard.press("Shift")
    page.wait_for_function("() => [...document.querySelectorAll('.nc-explore')].every(e => 'alive' in e.dataset)")


def test_opened_as_a_file(visit, site, widget_page):
    """By double click, from an unpacked copy: the dials move, and nothing is asked of any server."""
    tour = visit()
    tour.url = site.as_uri() + "/"
    page = tour.open(widget_page)
    explorer = page.locator(".nc-explore").first
    before = explorer.evaluate(SHOWN)["picture"]
    explorer.locator("input[type=range], button[aria-pressed=false]").first.focus()
    for key in ("ArrowRight", "ArrowLeft", "ArrowLeft", "Space"):
        page.keyboard.press(key)
        page.wait_for_timeout(100)
        if explorer.evaluate(SHOWN)["picture"] != before:
            break
    else:
        pytest.fail("no key moved the picture")
    assert not tour.elsewhere
    assert not [line for line in tour.console if line.startswith("uncaught")]
    live = page.locator("details.nc-live")
    if live.count():
        live.locator("summary").click()
        page.wait_for_function("() => document.querySelector('.nc-live').textContent.includes('python -m http.server')")
        assert live.locator("iframe").count() == 0


def test_names_in_tables_break_where_there_is_no_other_way(visit):
    """No file's name is cut in two in a column that could be wider."""
    page = visit(width=1280).open("book/instructors.html")
    broken = """() => [...document.querySelectorAll('article td code')]
        .filter(e => !/[\\s\\/-]/.test(e.textContent) && e.getClientRects().length > 1).map(e => e.textContent)"""
    assert page.evaluate(broken) == []
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_tables_on_a_phone(visit):
    """The verdict's bar stands beside its words, a card has no line within, a caption is no wider than the window."""
    page = visit(width=390).open("book/choosing.html")
    left = "all => all.map(e => parseFloat(getComputedStyle(e).paddingLeft))"
    assert min(page.locator(".nc-ledger tbody tr[class] > td:first-of-type").evaluate_all(left)) >= 8  # the bar: 3
    line = "all => all.map(e => parseFloat(getComputedStyle(e).borderLeftWidth))"
    assert set(page.locator("table.nc-cards td, .nc-ledger :is(th, td)").evaluate_all(line)) == {0}
    captions = page.locator(".nc-table:not(.nc-ledger) caption")
    assert captions.count() > 1
    assert max(captions.evaluate_all("all => all.map(e => e.offsetWidth - e.closest('.nc-table').clientWidth)")) <= 0


SHIFTS = """
window.moved = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.moved += entry.value;
}).observe({type: 'layout-shift', buffered: true});
"""


@pytest.mark.parametrize("name", ["run", "noisy-statistics", "playground"])
@pytest.mark.parametrize("width", [1350, 412])
def test_nothing_moves_while_a_page_arrives(visit, name, width):
    """On a slow line the text stands before the page's contents, and a phone's table before all scripts."""
    tour = visit(width)
    line = {"offline": False, "latency": 40, "downloadThroughput": 1.2e6, "uploadThroughput": 1e6}
    tour.page.context.new_cdp_session(tour.page).send("Network.emulateNetworkConditions", line)
    tour.page.add_init_script(SHIFTS)
    page = tour.open(f"book/{name}.html")
    page.wait_for_timeout(300)
    assert page.evaluate("() => window.moved") < 0.05
