"""The playground in two browsers: it trains, stops, listens to keys and links, and never holds up a frame.

Everything here is served under the strict policy: a request to another host would be a message in the console.
"""

import contextlib
import time

PAGE = "book/playground.html"
FRAME = 1000 / 60
ROOT = "document.querySelector('.nc-playground')"


class Hands:
    """What a reader does on the page, in any browser."""

    def __init__(self, browser_window):
        self.window = browser_window

    def until(self, test):
        """Asked again and again from here: what a page promises is never kept once the reader left it."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(Exception):  # whichever the browser has for a page that goes away under a question
                if found := self.window.evaluate(f"() => {test}"):
                    return found
            time.sleep(0.02)
        raise AssertionError(f"never: {test}")

    def open(self, address):
        self.window.goto(address)
        self.until(f"{ROOT}.dataset.state === 'paused' && {ROOT}.querySelector('.nc-said').textContent")
        return self

    def step(self):
        return int(self.window.evaluate(f"() => {ROOT}.dataset.step"))

    def said(self):
        return self.window.evaluate(f"() => {ROOT}.querySelector('.nc-said').textContent")

    def press(self, what, key="Enter"):
        """A key on the control with this selector; Firefox without a window takes no keys, so there it is a click."""
        if hasattr(self.window, "page"):
            self.window.evaluate("what => document.querySelector(what).focus()", what)
            self.window.page.keyboard.press(key)
        elif key == "ArrowRight":
            self.window.evaluate(
                "what => { const dial = document.querySelector(what); dial.stepUp();"
                " dial.dispatchEvent(new Event('input', {bubbles: true})); }", what
            )  # fmt: skip
        else:
            self.window.evaluate("what => document.querySelector(what).click()", what)

    def do(self, name):
        self.press(f".nc-playground [data-do={name}]")

    def dial(self, name):
        return self.window.evaluate(
            "name => { const dial = document.querySelector(`.nc-playground [data-name=${name}]`);"
            " return (dial.querySelector('output') ?? dial.querySelector('[aria-pressed=true]')).textContent; }", name
        )  # fmt: skip

    def hash(self):
        return self.window.evaluate("() => location.hash")


def test_play_step_pause_reset_dials_and_link(window, strict_url):
    window.console.clear()
    hands = Hands(window).open(strict_url + PAGE)
    assert hands.step() == 0 and "Step 0" in hands.said() and "earlier run" in hands.said()
    hands.do("step")
    assert hands.step() == 1
    hands.do("play")
    hands.until(f"{ROOT}.dataset.state === 'playing' && {ROOT}.dataset.step > 20")
    hands.do("play")
    at = hands.step()
    assert f"Step {at}" in hands.said() and "in eval mode" in hands.said()
    assert hands.window.evaluate("() => new Promise(d => setTimeout(d, 200))") is None and hands.step() == at
    news = hands.until(f"{ROOT}.querySelector('[aria-live]').textContent")
    assert news.startswith(f"Paused. Batch norm, batches of 16. Step {at}")
    curves = "() => [...document.querySelectorAll('.nc-panel path[class]')].map(p => p.getAttribute('d'))"
    lines = window.evaluate(curves)
    assert sum(bool(line) for line in lines) >= 7 and not [line for line in lines if "NaN" in line]
    # a dial of the training goes on, a dial of the network begins anew; both are in the link
    hands.press("#playground-large-rate", "ArrowRight")
    assert hands.dial("rate") == "0.1" and hands.hash() == "#rate=0.1" and hands.step() == at
    hands.press("#playground-large-depth", "ArrowRight")
    assert hands.hash() == "#rate=0.1&depth=4" and hands.step() == 0
    hands.press(".nc-playground [data-name=norm] button:last-child", "Space")
    assert hands.hash() == "#norm=group&rate=0.1&depth=4" and "Group norm" in hands.said()
    # the link survives reload, and leaving and coming back
    window.evaluate("() => { window.old = true; location.reload(); }")
    hands.until(f"!window.old && {ROOT}?.dataset.state === 'paused'")
    assert (hands.dial("norm"), hands.dial("rate"), hands.dial("depth")) == ("group", "0.1", "4")
    window.goto(strict_url + "search.html")
    window.evaluate("() => history.back()")
    hands.until(f"{ROOT}?.dataset.state === 'paused' && {ROOT}.querySelector('.nc-said').textContent")
    assert (hands.dial("norm"), hands.dial("rate"), hands.dial("depth")) == ("group", "0.1", "4")
    hands.do("reset")
    assert hands.step() == 0
    assert not [line for line in window.console if not line.startswith(("debug", "info"))]


def test_a_card_asks_turns_the_dials_and_answers(window, strict_url):
    hands = Hands(window).open(strict_url + PAGE + "#depth=2")
    assert window.evaluate("() => document.querySelectorAll('.nc-card details:not([hidden])').length") == 0
    card = ".nc-card:first-of-type"
    link = window.evaluate("c => document.querySelector(c).dataset.link", card)
    hands.press(f"{card} [data-choice]")
    assert hands.hash() == link
    hands.until(f"!{ROOT}.querySelector('.nc-answer').textContent.startsWith('Wait')")
    answer = window.evaluate(f"() => {ROOT}.querySelector('.nc-task').textContent")
    assert window.evaluate("c => document.querySelector(`${c} details p`).textContent", card) in answer
    steps = window.evaluate("c => document.querySelector(c).dataset.steps", card)
    assert "s you said." in answer and hands.step() == int(steps)
    window.evaluate("() => history.back()")
    hands.until("location.hash === '#depth=2'")
    hands.until(f"{ROOT}.querySelector('.nc-task').hidden")
    assert hands.dial("depth") == "2" and hands.step() == 0


def test_links_that_somebody_made_up(chromium, strict_url):
    """What is no place of a dial leaves it where it began."""
    hands = Hands(chromium())
    made_up = ["norm=%E0%A4%A", "rate=1e99&depth=-1&gain=NaN", "norm", "=&&", "__proto__=1&norm=", f"norm={'x' * 9999}"]
    for link in made_up:
        hands.window.goto("about:blank")
        hands.open(f"{strict_url}{PAGE}#{link}")
        assert [hands.dial(name) for name in ("norm", "rate", "depth", "gain")] == ["batch", "0.03", "3", "1.41"], link
        hands.do("step")
        assert hands.step() == 1
    hands.window.goto("about:blank")
    hands.open(f"{strict_url}{PAGE}#norm%3Dgroup%26depth%3D2")  # as some programs write it
    assert (hands.dial("norm"), hands.dial("depth")) == ("group", "2")
    assert not [line for line in hands.window.console if not line.startswith(("debug", "info"))]


def test_a_thumb_that_never_rests(window, strict_url):
    """Browsers refuse an address that changes all the time; the dial works all the same, and the last place is kept."""
    hands = Hands(window).open(strict_url + PAGE)
    window.evaluate(
        """() => {
          const turn = (name, place) => {
            const dial = document.querySelector(`#playground-large-${name}`);
            dial.value = place;
            dial.dispatchEvent(new Event('input', {bubbles: true}));
          };
          for (let n = 0; n < 300; n++) turn('rate', n % 2);
          turn('depth', 0);
        }"""
    )
    assert hands.dial("depth") == "1" and "Step 0" in hands.said()
    hands.until("location.hash.includes('depth=1')")
    window.console.clear()


def test_frames_while_it_trains(chromium, strict_url):
    """As fast as it can, the largest network and batch: processor time of the page a frame, and few frames are long."""
    hands = Hands(chromium()).open(strict_url + PAGE + "#depth=6&batch=32")
    page = hands.window.page
    page.get_by_role("button", name="fast", exact=True).click()
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def busy():
        metrics = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
        return metrics["TaskDuration"] * 1000

    hands.do("play")
    frames = "n => new Promise(done => { const f = () => n-- ? requestAnimationFrame(f) : done(); f(); })"
    page.evaluate(frames, 20)
    before, at = busy(), hands.step()
    page.evaluate(frames, 100)
    used, steps = (busy() - before) / 100, hands.step() - at
    assert steps >= 20, f"{steps} steps in 100 frames"
    assert used < FRAME, f"{used:.1f} ms of processor time a frame"


def test_out_of_sight_it_rests(chromium, strict_url):
    hands = Hands(chromium()).open(strict_url + PAGE)
    hands.do("play")
    hands.until(f"{ROOT}.dataset.step > 3")
    hands.window.evaluate("() => scrollTo({top: document.body.scrollHeight, behavior: 'instant'})")
    hands.until(f"{ROOT}.dataset.seen === 'false'")
    at = hands.step()
    hands.window.page.wait_for_timeout(300)
    assert hands.step() == at
    hands.window.evaluate("() => scrollTo({top: 0, behavior: 'instant'})")
    hands.until(f"{ROOT}.dataset.step > {at}")


def test_less_motion(chromium, strict_url):
    """Nothing starts by itself; while it plays, one new picture a second."""
    hands = Hands(chromium(reduced_motion="reduce")).open(strict_url + PAGE)
    hands.until(f"{ROOT}.querySelector('.nc-said').textContent.includes('right on new images')")
    hands.window.page.wait_for_timeout(200)
    assert hands.step() == 0
    hands.window.evaluate(
        f"""() => {{
          window.pictures = [];
          const root = {ROOT}, what = {{attributeFilter: ['data-step']}};
          new MutationObserver(() => pictures.push(root.dataset.step)).observe(root, what);
        }}"""
    )
    hands.do("play")
    hands.until(f"{ROOT}.dataset.step >= 60")
    assert hands.window.evaluate("() => pictures") == ["60"]


def test_on_a_phone(chromium, strict_url):
    phone = chromium(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    hands = Hands(phone).open(strict_url + PAGE)
    page = hands.window.page
    for button in page.locator(":is(.nc-playground .nc-dial, .nc-acts, .nc-choices) button").all():
        assert button.bounding_box()["height"] >= 40
    page.get_by_role("button", name="Step", exact=True).tap()
    assert hands.step() == 1
    page.locator("#playground-large-batch").tap(position={"x": 5, "y": 15})
    assert hands.dial("batch") == "1" and hands.dial("normBatch") == "1, the whole batch"


def test_without_scripts_and_on_paper_it_is_a_picture(chromium, strict_url):
    page = chromium(java_script_enabled=False).page
    for name in (PAGE, "index.html"):
        page.goto(strict_url + name)
        still = page.locator(".nc-playground .nc-figure svg")
        assert still.is_visible() and still.bounding_box()["width"] > 300
        assert page.locator(".nc-playground .nc-note").inner_text().startswith("The playground needs scripts")
        assert page.locator(".nc-playground :is(button, input):visible, .nc-card button:visible").count() == 0
    page.goto(strict_url + PAGE)
    assert page.locator(".nc-card summary").first.is_visible()
    hands = Hands(chromium()).open(strict_url + PAGE)
    page = hands.window.page
    hands.do("step")
    page.emulate_media(media="print")
    assert page.locator(".nc-panel svg").first.is_visible() and page.locator(".nc-panel").count() == 4
    assert page.locator(".nc-playground :is(button, input):visible").count() == 0


def test_opened_as_a_file(chromium, site):
    hands = Hands(chromium()).open(f"{(site / PAGE).as_uri()}#norm=instance")
    hands.do("step")
    assert hands.step() == 1 and hands.dial("norm") == "instance"
    hands.press("#playground-large-depth", "ArrowRight")
    assert hands.hash() == "#norm=instance&depth=4"
    assert not [line for line in hands.window.console if line.startswith("uncaught")]


def test_the_first_page_has_a_small_one(window, strict_url):
    """Its files come when it is near; its dials leave the link alone."""
    window.goto(strict_url + "index.html")
    window.evaluate(f"() => {ROOT}.scrollIntoView()")
    hands = Hands(window)
    hands.until(f"{ROOT}.dataset.state === 'paused'")
    still, panels = (f"() => {ROOT}.querySelectorAll('{what}').length" for what in (".nc-figure", ".nc-panel"))
    assert (window.evaluate(still), window.evaluate(panels)) == (1, 0)  # the still picture, until somebody comes
    hands.press("#playground-small-batch", "ArrowRight")
    assert (window.evaluate(still), window.evaluate(panels)) == (0, 2)
    hands.do("play")
    hands.until(f"{ROOT}.dataset.step > 10")
    hands.do("play")
    assert "batches of 32" in hands.said() and hands.hash() == ""


def test_what_does_not_arrive_is_said(chromium, strict_url):
    page = chromium().page
    page.route("**/playground-digits.js*", lambda route: route.abort())
    page.goto(strict_url + PAGE)
    page.wait_for_function(f"() => {ROOT}.querySelector('.nc-said').textContent.includes('did not arrive')")
    assert page.locator(".nc-playground .nc-figure svg").is_visible()
