"""Dials: their place in the address, what stays still between places, thumbs, and dials that compute."""

import os
import re

import conftest as pages
import pytest

# Axes whose limits may differ from place to place of a dial, for each picture with dials of a page, and why.
MOVING = {
    ("book/backward.html", 1): ("x1 x2 x3 x4", "one bar for each of m inputs"),
    ("book/noisy-statistics.html", 2): ("x1 y1", "other data, another quantity; a density: the narrower, the higher"),
    ("book/running-averages.html", 2): ("x1", "the dial is the number of steps along that axis"),
    ("book/why.html", 5): ("x1", "the dial chooses what that axis is"),
}


def test_axes_stand_still_between_the_places_of_a_dial(site):
    found = {}
    for page in sorted(site.rglob("*.html")):
        shown = re.findall(r'<div class="nc-explore"[^>]*? id="explore-(\d+)"([^>]*)>', page.read_text("utf8"))
        for number, data in shown:
            if moving := re.search(r'data-moving="([^"]*)"', data):
                found[page.relative_to(site).as_posix(), int(number)] = moving[1]
    assert found == {place: axes for place, (axes, _) in MOVING.items() if (site / place[0]).exists()}


# What a reader sees of all dials of a page, and hands that turn them.
HANDS = "() => {" + pages.UNTIL + """
  const all = () => [...document.querySelectorAll('.nc-explore[id]')];
  const dials = e => [...e.querySelectorAll('.nc-slider, .nc-buttons')];
  const thumb = d => d.querySelector('input')?.value
    ?? String([...d.querySelectorAll('button')].findIndex(b => b.getAttribute('aria-pressed') === 'true'));
  const range = (n, d) => dials(all()[n])[d].querySelector('input');
  window.hands = {
    all, until, range,
    alive: n => until(() => {
      dispatchEvent(new KeyboardEvent('keydown', {key: 'Shift'})); // the sign of a reader
      return 'alive' in all()[n].dataset;
    }, 'pictures of ' + n),
    caption: n => all()[n].querySelector('.nc-figure:not(.nc-leaving) figcaption').textContent,
    // [where the thumbs are, what the dials say]
    state: n => [dials(all()[n]).map(thumb).join(), dials(all()[n]).map(d => d.querySelector('output')?.value
      ?? d.querySelector('[aria-pressed=true]').textContent).join(' | ')],
    turn: (n, d, place) => {
      const one = dials(all()[n])[d];
      const input = one.querySelector('input');
      if (!input) return one.querySelectorAll('button')[place].click();
      input.value = place;
      input.dispatchEvent(new Event('input', {bubbles: true}));
    },
    rest: ms => new Promise(done => setTimeout(done, ms)),
    press: (n, text) => [...all()[n].querySelectorAll('button')].find(b => b.textContent === text && !b.hidden).click(),
  };
}"""


def arrive(window, address):
    window.goto("about:blank")
    window.goto(address)
    window.evaluate(HANDS)


# In `scaling` the second picture has two dials.


def state(window, n=1):
    """Where the thumbs are, what the dials say, and the numbers of the picture, once it is there."""
    window.evaluate("n => hands.alive(n)", n)
    return [*window.evaluate("n => hands.state(n)", n), window.evaluate("n => hands.caption(n)", n)]


def turned(window, *places):
    """Turn the dials of the picture that has two and wait until the address is written."""
    window.evaluate("n => hands.alive(n)", 1)
    for dial, place in enumerate(places):
        window.evaluate("([d, p]) => hands.turn(1, d, p)", [dial, place])
    window.evaluate("() => hands.rest(450)")
    return state(window)


def test_an_address_sets_the_dials(window, url):
    arrive(window, f"{url}book/scaling.html")
    default = state(window)
    assert default[:2] == ["2,1", "4 000 km | 0.5"]
    arrive(window, f"{url}book/scaling.html#explore-2=4,0")
    there = state(window)
    assert there[:2] == ["4,0", "100 000 km | 0.1"] and there[2] != default[2]
    inside = "() => { const b = hands.all()[1].getBoundingClientRect(); return b.top > -5 && b.top < innerHeight }"
    assert window.evaluate(inside)
    arrive(window, f"{url}book/scaling.html#explore-2%3D99%2C-3")  # as some programs write it; made to fit
    assert state(window)[0] == "5,0"
    for none in ("explore-2=a,b", "explore-2=1", "explore-9=1,1", "explore-2", "%E0%A4=1", "explore-2=,"):
        arrive(window, f"{url}book/scaling.html#{none}")
        assert state(window) == default, none


def test_a_reload_and_the_way_back_keep_the_dials(window, url):
    arrive(window, f"{url}book/scaling.html")
    there = turned(window, 4, 0)
    assert window.evaluate("() => location.hash") == "#explore-2=4,0"
    window.reload()
    window.evaluate(HANDS)
    assert state(window) == there
    # a link within the page takes the dials along, and does not lose its anchor
    window.evaluate("() => document.querySelector('article h2 a.headerlink').click()")
    window.evaluate("() => hands.rest(100)")
    anchor = window.evaluate("() => location.hash")
    assert "explore" not in anchor and state(window) == there
    turned(window, 1)
    window.evaluate("() => history.back()")
    window.evaluate("() => hands.rest(300)")
    assert state(window) == there
    # to another page and back
    window.goto(f"{url}book/axes.html")
    window.back()
    window.evaluate(HANDS)
    assert state(window) == there
    assert there[:2] == ["4,0", "100 000 km | 0.1"]


def test_dials_where_they_began_leave_no_trace(window, url):
    arrive(window, f"{url}book/scaling.html")
    turned(window, 4, 0)
    turned(window, 2, 1)
    assert window.evaluate("() => location.href") == f"{url}book/scaling.html"


def test_a_link_to_copy(strict):
    tour = strict(permissions=["clipboard-read", "clipboard-write"])
    page = tour.open("book/scaling.html")
    dial = page.locator("#explore-2 input").first
    dial.focus()
    page.keyboard.press("End")
    link = page.locator("#explore-2 a.nc-here")
    assert link.get_attribute("href") == "#explore-2=5,1"
    link.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('#explore-2 a.nc-here').textContent === 'Link copied'")
    assert page.evaluate("() => navigator.clipboard.readText()") == f"{tour.url}book/scaling.html#explore-2=5,1"
    page.evaluate("() => Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    link.click()
    page.wait_for_function("() => /address bar/.test(document.querySelector('#explore-2 a.nc-here').textContent)")
    assert page.evaluate("() => location.hash") == "#explore-2=5,1"
    assert not tour.console


def stroke(page, start, *points):
    """A finger goes down, along these points and up (Chromium)."""
    client = page.context.new_cdp_session(page)
    for kind, where in [("touchStart", [start]), *(("touchMove", [point]) for point in points), ("touchEnd", [])]:
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in where]})


AT_REST = """() => new Promise((resolve) => {
  let [at, since] = [scrollY, performance.now()];
  const look = (now) => {
    if (scrollY !== at) [at, since] = [scrollY, now];
    now > since + 300 ? resolve() : requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})"""


def test_a_swipe_over_a_track_scrolls_and_a_tap_turns(visit):
    tour = visit(390, has_touch=True, is_mobile=True)
    page = tour.open("book/scaling.html")
    track = page.locator("#explore-2 input").first
    track.scroll_into_view_if_needed()
    box, before, top = track.bounding_box(), track.input_value(), page.evaluate("scrollY")
    x, y = box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2
    stroke(page, (x, y), *((x, y - 15 * step) for step in range(1, 11)))
    page.evaluate(AT_REST)  # a tap on a page that coasts only stops it
    assert page.evaluate("scrollY") > top + 50 and track.input_value() == before
    assert page.locator("#explore-2 .nc-readout").first.inner_text() == "4 000 km"
    # it may have coasted out of sight
    track.evaluate("(range) => range.scrollIntoView({block: 'center', behavior: 'instant'})")
    box = track.bounding_box()
    page.touchscreen.tap(box["x"] + 0.95 * box["width"], box["y"] + box["height"] / 2)
    page.wait_for_function("() => document.querySelector('#explore-2 input').value === '5'")


def test_a_change_is_seen_as_a_change(visit):
    """The old picture fades over the new one; not for those who want no motion."""
    for motion, fades in (("no-preference", 1), ("reduce", 0)):
        page = visit(reduced_motion=motion).open("book/scaling.html")
        page.evaluate(HANDS)
        count = page.evaluate("() => (hands.turn(0, 0, 5), document.querySelectorAll('.nc-leaving').length)")
        assert count == fades
        page.wait_for_timeout(300)
        assert page.locator(".nc-leaving").count() == 0
        assert page.locator(".nc-explore .nc-figure").count() == page.locator(".nc-explore").count()


def test_dials_on_their_way_do_not_look_ready(visit):
    tour = visit()
    tour.page.route("**/_static/pictures/*", lambda route: None)  # never answered
    tour.page.goto(f"{tour.url}book/scaling.html", wait_until="load")
    tour.page.keyboard.press("Shift")
    dial = tour.page.locator(".nc-explore input").first
    assert dial.is_disabled()
    assert dial.evaluate("d => getComputedStyle(d).cursor") == "progress"


def test_marks_stand_under_the_thumb(visit):
    """The mark of each place is where the thumb's middle is at that place."""
    page = visit().open("book/noisy-statistics.html")
    scale = page.locator(".nc-slider").first
    marks = scale.evaluate("s => [...s.querySelectorAll('.nc-scale span')].map(m => m.getBoundingClientRect().x)")
    box = scale.locator("input").bounding_box()
    wanted = [box["x"] + 14 + i * (box["width"] - 28) / (len(marks) - 1) for i in range(len(marks))]
    assert marks == pytest.approx(wanted, abs=1)
    assert scale.locator(".nc-scale span").first.inner_text() == "4"


# ---- dials that compute, under the strict policy


RUNS = (pages.SITE / "_static" / "cells").is_dir()
LIVE = bool(os.environ.get("LIVE_TEST"))
computing = pytest.mark.skipif(not RUNS and not os.environ.get("CI"), reason="these pages were built without npm")


def compute(window, address, chapter, n=0):
    """Open a chapter and have Python draw for its n-th picture."""
    window.console.clear()
    arrive(window, f"{address}book/{chapter}.html")
    window.evaluate("n => hands.alive(n)", n)
    said = window.evaluate(
        """async n => {
          const row = hands.all()[n].querySelector('.nc-compute');
          const on = row.querySelector('button');
          on.click();
          await hands.until(() => on.getAttribute('aria-disabled') === 'false', 'Python');
          return row.querySelector('.nc-status').textContent;
        }""",
        n,
    )
    assert said == "Python draws now.", said


def another(window, n, deed, *arguments):
    """The numbers of the picture after a deed that changes it, once a screen reader has heard them."""
    return window.evaluate(
        """async ([n, deed, more]) => {
          const old = hands.caption(n);
          await hands[deed](n, ...more);
          await hands.until(() => hands.caption(n) !== old, 'another picture');
          const news = hands.all()[n].querySelector('[aria-live]');
          await hands.until(() => news.textContent === hands.caption(n), 'news');
          return hands.caption(n);
        }""",
        [n, deed, [*arguments]],
    )


def over(window, n, began):
    assert another(window, n, "press", "Start over") == began


@computing
def test_values_between_and_a_picture_of_one_s_own(window, strict_url):
    compute(window, strict_url, "instance-norm")
    began = state(window, 0)[2]
    there = another(window, 0, "turn", 0, 2.5)
    assert window.evaluate("() => hands.state(0)")[1].startswith("0.707 |")
    assert there != began
    window.evaluate("() => hands.rest(400)")
    assert window.evaluate("() => location.hash") == "#explore-1=2.5,2"
    assert another(window, 0, "turn", 0, 3) == began  # a drawn one
    window.evaluate(OWN_PICTURE)
    mine = another(window, 0, "own")
    assert re.match(r"input: mean 0.50, standard deviation 0.(500|49\d)", mine), mine
    over(window, 0, began)
    assert not [line for line in window.console if not line.startswith(("debug", "info"))]
    # the end of Python leaves the drawn pictures, and the button
    another(window, 0, "turn", 0, 2.5)
    window.evaluate("() => void normcorePython.ask({ask: 'run', name: 'cell 1', source: 'import os; os.abort()'})")
    button = "[...hands.all()[0].querySelectorAll('.nc-compute button')].find(b => /^Compute/.test(b.textContent))"
    window.evaluate(f"() => hands.until(() => !{button}.hidden, 'the end')")
    assert state(window, 0)[0] in ("2,2", "3,2")
    window.evaluate("() => hands.press(0, 'Compute with Python')")


OWN_PICTURE = """() => {
  // half black, half white, and not of the shape that is wanted
  hands.own = async n => {
    const canvas = Object.assign(document.createElement('canvas'), {width: 400, height: 200});
    const context = canvas.getContext('2d');
    context.fillStyle = 'black'; context.fillRect(0, 0, 400, 200);
    context.fillStyle = 'white'; context.fillRect(200, 0, 200, 200);
    const blob = await new Promise(done => canvas.toBlob(done, 'image/png'));
    const files = new DataTransfer();
    files.items.add(new File([blob], 'mine.png', {type: 'image/png'}));
    const input = hands.all()[n].querySelector('input[type=file]');
    input.files = files.files;
    input.dispatchEvent(new Event('change'));
  };
}"""


@computing
@pytest.mark.skipif(not LIVE, reason="the cells above take a while: make live-test")
def test_points_are_dragged_and_moved_by_keys(window, strict_url):
    compute(window, strict_url, "backward")
    began = state(window, 0)[2]
    window.evaluate("""() => {
      hands.point = (n, at, value) => {
        const point = hands.all()[n].querySelectorAll('.nc-points input')[at];
        point.value = value;
        point.dispatchEvent(new Event('input', {bubbles: true}));
      };
    }""")
    assert window.evaluate("() => document.querySelectorAll('.nc-points input').length") == 6
    assert another(window, 0, "point", 5, 2.9) != began
    window.evaluate("() => document.querySelectorAll('.nc-points input')[0].focus()")
    lines = "hands.all()[0].querySelector('.nc-figure:not(.nc-leaving) svg').innerHTML"
    old = window.evaluate(f"() => {lines}")
    window.press("ArrowLeft")
    window.evaluate(f"old => hands.until(() => {lines} !== old, 'a picture by key')", old)
    over(window, 0, began)
    another(window, 0, "turn", 1, 2)
    window.evaluate("() => hands.until(() => document.querySelectorAll('.nc-points input').length === 12, '12 points')")


@computing
@pytest.mark.skipif(not LIVE, reason="the cells above take a while: make live-test")
def test_a_batch_a_click(window, strict_url):
    compute(window, strict_url, "noisy-statistics", 1)
    began = state(window, 1)[2]
    assert another(window, 1, "press", "Draw a batch").startswith("one batch of 2 digits: its mean is")
    assert another(window, 1, "press", "Draw a batch").startswith("2 batches of 2 digits: measured spread")
    played = """async () => {
      hands.press(1, 'Play');
      await hands.until(() => parseInt(hands.caption(1)) >= 5, 'five batches');
      hands.press(1, 'Pause');
      await hands.rest(1500);
      const rested = hands.caption(1);
      await hands.rest(800);
      return rested === hands.caption(1);
    }"""
    assert window.evaluate(played)
    over(window, 1, began)
    # in random company, and with a picture of one's own
    compute(window, strict_url, "noisy-statistics", 2)
    began = state(window, 2)[2]
    assert another(window, 2, "press", "Draw other companies") != began
    window.evaluate(OWN_PICTURE)
    another(window, 2, "own")
    over(window, 2, began)


@computing
@pytest.mark.skipif(not LIVE, reason="the cells above take a while: make live-test")
def test_step_by_step(window, strict_url):
    compute(window, strict_url, "running-averages", 1)
    began = state(window, 1)[2]
    assert another(window, 1, "press", "One step").startswith("momentum 0.1, step 1:")
    assert another(window, 1, "press", "One step").startswith("momentum 0.1, step 2:")
    to_the_end = """async () => {
      hands.press(1, 'Play');
      const play = [...hands.all()[1].querySelectorAll('button')].find(b => b.textContent === 'Pause');
      await hands.until(() => play.textContent === 'Play', 'the end');
      return hands.caption(1);
    }"""
    assert window.evaluate(to_the_end) == began
    over = "() => [...hands.all()[1].querySelectorAll('button')].find(b => b.textContent === 'Start over').click()"
    window.evaluate(over)
    assert another(window, 1, "turn", 0, 3.5).startswith("momentum 0.173, step 30:")


@computing
@pytest.mark.skipif(not LIVE, reason="make live-test")
def test_the_partner_s_brightness(window, strict_url):
    compute(window, strict_url, "batch-norm")
    assert "the flower, made 0.15 brighter" in another(window, 0, "turn", 1, 1.5)


# In Python's place: it wants a gray picture of 28 by 28 pixels, and keeps what it is sent.
PLAYED = """() => {
  normcorePython.run = async (index, teller, show) => (show('html', '<div data-live="one"></div>'), {});
  normcorePython.ask = async ({ask, extra}) => {
    if (ask === 'dials') return {labels: [], image: {size: [28, 28], gray: true}};
    window.sent = [...extra.image].filter((_, at) => at % 4 === 0);
    return {html: '<figure class="nc-figure"><figcaption>yours</figcaption></figure>'};
  };
}"""


@computing
def test_a_digit_drawn_with_the_finger(chromium, strict_url):
    """The line is where the finger went, the page stays where it is, and Python gets the digit in its own size."""
    window = chromium(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page = window.page
    page.goto(f"{strict_url}book/noisy-statistics.html")
    page.evaluate(PLAYED)
    page.evaluate(HANDS)
    page.evaluate("() => hands.alive(2)")
    page.locator("#explore-3 .nc-compute button", has_text="Compute with Python").tap()
    page.locator("#explore-3 .nc-compute button", has_text="Draw one").tap()
    pad = page.locator("#explore-3 .nc-pad")
    pad.scroll_into_view_if_needed()
    box, top = pad.bounding_box(), page.evaluate("scrollY")
    x, down = box["x"] + box["width"] / 2, [box["y"] + box["height"] * (0.2 + 0.06 * step) for step in range(11)]
    stroke(page, (x, down[0]), *((x, y) for y in down[1:]))
    page.wait_for_function("() => window.sent")
    digit = [page.evaluate("at => sent[at]", 28 * row + column) for row in (7, 14, 21) for column in (3, 14, 24)]
    assert [value > 250 for value in digit] == [False, True, False] * 3 and max(digit[::3] + digit[2::3]) == 0
    assert page.evaluate("() => Math.max(...sent.slice(0, 28), ...sent.slice(-28))") == 0
    assert page.evaluate("scrollY") == top
    page.wait_for_function("() => hands.caption(2) === 'yours'")
    # a tap is a dot; after Start over nothing is left of the line
    page.locator("#explore-3 .nc-compute button", has_text="Start over").press("Enter")
    page.locator("#explore-3 .nc-compute button[aria-disabled=true]", has_text="Start over").wait_for()
    page.evaluate("() => (window.sent = undefined)")
    box = pad.bounding_box()
    stroke(page, (box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"]))
    page.wait_for_function("() => window.sent")
    assert page.evaluate("() => [sent[28 * 14 + 5] > 250, sent[28 * 14 + 14], sent[28 * 7 + 5]]") == [True, 0, 0]


@computing
@pytest.mark.skipif(not LIVE, reason="make live-test")
def test_computing_on_a_phone(chromium, strict_url):
    """Nothing sticks out, and what is to be touched is large enough."""
    import test_pages

    window = chromium(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    compute(window, strict_url, "backward")
    assert not window.evaluate(test_pages.TOO_WIDE)
    for button in window.page.locator(".nc-compute button:visible").all():
        assert button.bounding_box()["height"] >= 40
