"""What stands around the text, and what folds, scrolls or is copied in it."""

import pytest

FOLDS = "details.solution"
SPREAD = ("instance-norm", "batch-norm", "assignments", "bibliography", "choosing")  # the widest pages
SPACED = """* { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important }
p { margin-bottom: 2em !important }"""  # WCAG 1.4.12


OPENED = """async name => {
  const fold = document.getElementById(name);
  const seen = () => fold.open && fold.getBoundingClientRect().y >= 0 && fold.getBoundingClientRect().y < innerHeight;
  for (let wait = 0; wait < 50 && !seen(); wait++) await new Promise(done => setTimeout(done, 100)); // it scrolls
  return seen() && document.querySelectorAll('details.solution[open]').length;
}"""


@pytest.mark.parametrize("name", ["primary", "secondary"])
def test_a_drawer_closes_after_a_choice_and_takes_no_focus_while_closed(visit, name):
    page = visit(390, reduced_motion="reduce").open("book/axes.html")
    drawer, toggle = page.locator(f".bd-sidebar-{name}"), page.locator(f"button.{name}-toggle")
    text = page.locator(".bd-article-container")
    assert drawer.evaluate("e => e.inert") and not text.evaluate("e => e.inert")
    focused = f"() => document.activeElement.matches('.bd-sidebar-{name} *')"
    toggle.click()
    page.wait_for_function(focused)
    assert text.evaluate("e => e.inert") and toggle.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Escape")
    assert drawer.evaluate("e => e.inert") and toggle.evaluate("e => e === document.activeElement")
    toggle.click()
    page.wait_for_function(focused)
    drawer.locator("nav a.reference").nth(2).click()
    page.wait_for_load_state()
    assert page.locator(f".bd-sidebar-{name}").evaluate("e => e.inert")
    assert not page.locator(f"#pst-{name}-sidebar-checkbox").is_checked()
    assert (name == "primary") != page.url.endswith("axes.html#" + page.url.rpartition("#")[2])


def test_on_a_wide_window_both_columns_take_the_focus(visit):
    page = visit(1280).open("book/axes.html")
    columns = page.locator(".bd-sidebar-primary, .bd-sidebar-secondary")
    assert columns.evaluate_all("all => all.map(e => e.inert)") == [False, False]


def test_a_link_to_a_solution_opens_it(window, url):
    """The native fold: a search in the page opens it, too, which no program can try."""
    window.goto(f"{url}book/axes.html")
    name = window.evaluate(f"() => document.querySelector('{FOLDS}').id")
    assert window.evaluate(f"() => [...document.querySelectorAll('{FOLDS}')].every(one => !one.open)")
    window.evaluate("name => void (location.hash = name)", name)
    assert window.evaluate(OPENED, name) == 1


def test_a_solution_is_there_without_scripts(visit):
    tour = visit(java_script_enabled=False)
    tour.page.goto(f"{tour.url}book/axes.html")
    solution = tour.page.locator(FOLDS).first
    assert not solution.locator("p").last.is_visible()
    solution.locator("summary").click()
    assert solution.locator("p").last.is_visible()


COPIED = """selector => {
  const range = document.createRange();
  range.selectNodeContents(document.querySelector(selector));
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  const data = new DataTransfer();
  const event = new ClipboardEvent('copy', {clipboardData: data, bubbles: true, cancelable: true});
  document.body.dispatchEvent(event);
  return data.getData('text/plain');
}"""


def test_copied_formulas_are_tex(visit):
    page = visit().open("book/instance-norm.html")
    text = page.evaluate(COPIED, "#the-formula")
    assert "\\frac{1}{HW}" in text and "$$" in text and "x_{nchw}" in text
    assert page.evaluate(COPIED, "h1").strip() == ""  # left to the browser


def test_a_copied_example_has_neither_prompts_nor_results(strict):
    page = strict(permissions=["clipboard-read", "clipboard-write"]).open("book/api.html")
    example = page.locator(".highlight-default, .highlight-pycon, .doctest").filter(has_text=">>>").first
    example.hover()
    example.locator("button.copybtn").click()
    page.wait_for_function("async () => (await navigator.clipboard.readText()).length > 0")
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert ">>>" in example.inner_text() and ">>>" not in copied
    assert len(copied.splitlines()) < len(example.inner_text().strip().splitlines())


def test_an_edge_that_cuts_something_off_fades(visit):
    page = visit(390, has_touch=True, is_mobile=True).open("book/choosing.html")
    code = page.locator("pre[data-nc-more=right]").first.element_handle()
    assert "linear-gradient" in code.evaluate("e => getComputedStyle(e).maskImage")
    code.evaluate("e => { e.scrollLeft = e.scrollWidth }")
    page.wait_for_function("e => e.dataset.ncMore === 'left'", arg=code)


LANDED = """async name => {
  await document.fonts.ready;
  await new Promise(done => setTimeout(done, 1000)); // the page has arrived
  location.hash = name;
  const heading = document.getElementById(name), seen = [];
  for (let wait = 0; wait < 60 && !(wait > 9 && new Set(seen.slice(-6)).size === 1); wait++) { // a link glides
    await new Promise(done => setTimeout(done, 100));
    seen.push(Math.round(heading.getBoundingClientRect().top));
  }
  return [seen.at(-1), document.querySelector(".bd-header-article").getBoundingClientRect().bottom];
}"""


@pytest.mark.parametrize("name", ["the-compact-form", "the-whole-collection", "exercises"])
def test_a_link_on_a_phone_finds_its_heading_below_the_bar(window, url, name):
    window.size(390)
    window.goto(f"{url}book/backward.html")
    top, bar = window.evaluate(LANDED, name)
    window.size(1280)
    assert bar - 2 <= top < bar + 16


def test_the_decision_table_stacks_on_a_phone(visit):
    page = visit(390, has_touch=True, is_mobile=True).open("book/choosing.html")
    table = page.locator("#the-decision table")
    cells = [cell.bounding_box() for cell in table.locator("tbody tr").first.locator("td").all()]
    assert len({round(cell["x"]) for cell in cells}) == 1 and len({round(cell["y"]) for cell in cells}) == len(cells)
    assert table.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
    name = table.locator("tbody td").nth(1).evaluate("e => getComputedStyle(e, '::before').content")
    assert table.locator("thead th").nth(1).inner_text() in name
    assert table.get_attribute("role") == "table" and table.locator("tbody td").first.get_attribute("role") == "cell"


def test_icons_and_tracks_in_forced_colors(visit):
    page = visit(forced_colors="active").open("book/axes.html")
    seen = """e => { const style = getComputedStyle(e); return [style.backgroundColor, style.forcedColorAdjust]; }"""
    for icon in page.locator(".article-header-buttons i:visible, .article-header-buttons .fa-list:visible").all():
        color, adjust = icon.evaluate(seen)
        assert adjust == "none" and color not in ("rgba(0, 0, 0, 0)", page.locator("body").evaluate(seen)[0])


@pytest.mark.parametrize("name", ["index", *(f"book/{name}" for name in SPREAD)])
def test_text_spacing_in_a_window_of_320_pixels(visit, name):
    page = visit(320).open(f"{name}.html")
    page.add_style_tag(content=SPACED)
    assert page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_a_lost_reader_below_the_root_finds_the_first_page(visit, site):
    tour = visit()
    tour.page.route("**/no-such-page.html", lambda route: route.fulfill(status=404, path=site / "404.html"))
    for address in ("no-such-page.html", "book/no-such-page.html"):
        tour.page.goto(tour.url + address)
        links = tour.page.locator("main a").evaluate_all("all => all.map(a => a.href)")
        assert tour.url in links


def test_verdicts_are_told_apart_with_and_without_color(visit):
    page = visit().open("book/choosing.html")
    rows = page.locator(".nc-ledger tbody tr")
    looks = {}
    for row in rows.all():
        word = row.locator(".nc-verdict").inner_text()
        looks.setdefault(word, set()).add(row.locator(".nc-verdict").evaluate("e => getComputedStyle(e).color"))
    assert len(looks) >= 3 and all(len(colors) == 1 for colors in looks.values())
    assert len({color for colors in looks.values() for color in colors}) == len(looks)
    box = visit().open("book/experiments.html").locator(".admonition.nc-holds .admonition-title").first
    assert "✓ holds" in box.inner_text()


def test_the_first_page_tells_what_was_found_and_where(visit):
    tour = visit(reduced_motion="reduce")
    page = tour.open("index.html")
    ledger = visit().open("book/choosing.html")
    rows = ledger.locator(".nc-ledger tbody tr").count()
    numbers = [int(number) for number in page.locator(".nc-tally b").all_inner_texts()]
    assert sum(numbers) == rows and len(numbers) >= 3
    begin = page.locator(".sd-btn", has_text="Begin")
    assert begin.bounding_box()["y"] < 900 and page.locator(".nc-explore").first.bounding_box()["y"] < 700
    page.locator(".nc-tally a").first.click()
    page.wait_for_url("**/choosing.html#*")
    assert -5 < page.locator("section", has=page.locator(".nc-ledger")).last.bounding_box()["y"] < 300
