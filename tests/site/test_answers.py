"""Answer boxes in two browsers: right, wrong, blank, an error, an endless loop; what is kept, and what is not sent."""

# ruff: noqa: F811 - fixtures are arguments
import json
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import conftest as pages
from test_runner import SITE, built, server  # noqa: F401

HANDS = "() => {" + pages.UNTIL + """
  const box = label => document.querySelector(`[data-answer="${label}"]`);
  const editor = label => box(label).querySelector('.nc-editor').firstChild?.editor;
  const buttons = label => [...box(label).querySelectorAll('.nc-tools button')];
  const press = (label, text) => buttons(label).find(b => !b.hidden && b.textContent.startsWith(text)).click();
  const status = label => box(label).querySelector('.nc-status').textContent;
  const source = label => editor(label).state.doc.toString();
  const open = async label => {
    if (!editor(label)) buttons(label)[0].click();
    await until(() => editor(label), 'an editor');
  };
  const write = (label, text) => editor(label).dispatch({changes: {from: 0, to: source(label).length, insert: text}});
  const over = label => until(() => buttons(label)[2].getAttribute('aria-disabled') === 'true', 'the end');
  const attempt = async (label, text) => {
    await open(label);
    if (text !== null) write(label, text);
    press(label, 'Check');
    await over(label);
    return status(label);
  };
  const marks = () => [...document.querySelectorAll('.nc-progress')].filter(m => !m.hidden).map(m => m.textContent);
  window.hands = {box, editor, buttons, press, status, source, open, write, over, attempt, marks, until};
}"""

LABEL = "ex-axes-implement"
START = "def position_norm(x, eps=1e-5):\n    "
RIGHT = START + "return normalize(x, axes=(1,), eps=eps)"


def visit(window, address, chapter="axes"):
    window.goto(f"{address}book/{chapter}.html")
    window.evaluate(HANDS)
    return window


def attempt(window, text, label=LABEL):
    return window.evaluate("([label, text]) => hands.attempt(label, text)", [label, text])


def test_from_the_first_click_to_the_mark_in_the_contents(window, server):
    server[1].clear()
    visit(window, server[0])
    window.evaluate("() => localStorage.clear()")
    visit(window, server[0])
    assert not [path for path in server[1] if "answers.json" in path or "checking" in path]

    said = attempt(window, None)
    assert said == "Not yet. Something is still missing: put your answer in the place of the dots in line 3."
    assert attempt(window, START + "return normalize(x, axes=(2, 3), eps=eps)").startswith(
        "Not yet. That is instance norm"
    )
    said = attempt(window, START + "return normalise(x, axes=(1,), eps=eps)")
    assert said.startswith("Not yet. Python does not know the name normalise. Did you mean normalize?")
    assert "your answer, line 2" in window.evaluate("l => hands.box(l).querySelector('.nc-error').innerText", LABEL)
    assert attempt(window, START + "return x").startswith("Not yet. This does not hold for your answer: ")

    window.evaluate("l => { hands.write(l, 'while True: pass'); hands.press(l, 'Check'); }", LABEL)
    window.evaluate("l => hands.until(() => hands.status(l) === 'Checking', 'checking')", LABEL)
    window.evaluate("async l => (hands.press(l, 'Stop'), await hands.over(l))", LABEL)
    assert window.evaluate("l => hands.status(l)", LABEL).startswith("Stopped.")

    assert attempt(window, RIGHT) == "Right."
    assert window.evaluate("async () => (await hands.until(() => hands.marks().length, 'a mark'), hands.marks())") == [
        "1/3"
    ]

    visit(window, server[0])  # again: the answer and the mark are still there
    window.evaluate("l => hands.open(l)", LABEL)
    assert window.evaluate("l => hands.source(l)", LABEL) == RIGHT
    assert window.evaluate("l => hands.status(l)", LABEL) == "You have solved this one."
    assert window.evaluate("async () => (await hands.until(() => hands.marks().length, 'a mark'), hands.marks())") == [
        "1/3"
    ]

    window.evaluate("l => hands.press(l, 'Start over')", LABEL)
    assert window.evaluate("l => hands.source(l)", LABEL).endswith("return ...")
    assert window.evaluate("() => [hands.marks(), Object.keys(localStorage).filter(k => k.includes('answer'))]") == [
        [],
        [],
    ]
    loud = [line for line in window.console if not line.startswith(("debug", "info"))]
    assert not [line for line in loud if "download failed" not in line]  # of fonts, when a page is left at once


def test_hints_one_at_a_time_and_the_solution_last(chromium, server):
    """With Python not even there; and all answers are cleared at once."""
    window = visit(chromium(), server[0])
    window.evaluate("l => hands.open(l)", LABEL)
    (box,) = [
        b for b in json.loads((SITE / "_static/cells/axes.json").read_text("utf8"))["answers"] if b["label"] == LABEL
    ]
    folded = "l => !hands.box(l).closest('.exercise').nextElementSibling.open"
    for hint, _ in box["mistakes"]:
        window.evaluate("l => hands.press(l, 'Hint')", LABEL)
        assert window.evaluate("l => hands.status(l)", LABEL) == f"One of the mistakes that are made here: {hint}"
        assert window.evaluate(folded, LABEL)
    window.evaluate("l => hands.press(l, 'Solution')", LABEL)
    assert not window.evaluate(folded, LABEL)

    window.page.on("dialog", lambda dialog: dialog.accept())
    assert "Clear my answer" in window.page.locator(".nc-forget").text_content()
    window.evaluate("() => document.querySelector('.nc-forget').click()")
    assert window.evaluate("() => Object.keys(localStorage).filter(k => k.includes('answer'))") == []
    assert window.page.locator(".nc-forget").is_hidden()


def test_by_keyboard_on_a_phone(chromium, server):
    """Keys alone; nothing sticks out at 390 pixels, buttons fit a thumb, focus is never lost, and nothing is sent."""
    import test_pages

    window = chromium(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page, sent = window.page, []
    page.on("request", lambda r: sent.append((r.method, r.url)))
    visit(window, server[0])
    window.evaluate("l => hands.buttons(l)[0].focus()", LABEL)
    page.keyboard.press("Enter")
    page.wait_for_function("l => hands.editor(l)?.hasFocus", arg=LABEL)
    page.keyboard.press("Control+End")
    for _ in "...":
        page.keyboard.press("Backspace")
    page.keyboard.type("normalize(x, axes=(1, 2, 3), eps=eps)")
    page.keyboard.press("Shift+Enter")
    page.wait_for_function("l => /^Not yet. That is layer norm/.test(hands.status(l))", arg=LABEL, timeout=60_000)
    assert not window.evaluate(test_pages.TOO_WIDE)
    for button in page.locator(".nc-answer .nc-tools button:visible").all()[:6]:
        assert button.bounding_box()["height"] >= 40
    for name in ("Check", "Stop", "Start over", "Hint"):
        page.keyboard.press("Escape")
        page.keyboard.press("Tab")
        assert window.evaluate("() => document.activeElement.textContent") == name
    page.keyboard.press("Enter")
    assert window.evaluate("l => hands.status(l)", LABEL).startswith("One of the mistakes")
    assert window.evaluate("() => document.activeElement.textContent") == "Hint"
    size = "l => parseFloat(getComputedStyle(hands.editor(l).contentDOM).fontSize)"
    assert window.evaluate(size, LABEL) >= 16
    assert {method for method, _ in sent} == {"GET"}
    assert all(url.startswith((server[0], "blob:", "data:")) and "normalize" not in url for _, url in sent)


def test_start_over_is_brought_back_by_the_same_button(chromium, server):
    """On a phone, where no Ctrl+Z is."""
    window = visit(chromium(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True), server[0])
    assert attempt(window, RIGHT) == "Right."
    back = window.page.locator(f'[data-answer="{LABEL}"] .nc-tools button').nth(3)
    back.tap()
    assert window.evaluate("l => hands.source(l)", LABEL).endswith("return ...")
    assert back.text_content() == "Bring back" and not window.page.locator(".nc-solved").count()
    back.tap()
    assert window.evaluate("l => hands.source(l)", LABEL) == RIGHT
    assert back.text_content() == "Start over" and window.page.locator(".nc-solved").count() == 1
    back.tap()
    assert attempt(window, None).startswith("Not yet. Something is still missing")
    assert back.text_content() == "Start over"  # what comes back is not older than a check


KEY = f"normcore answer book/axes#{LABEL}"
STORED = ["{", "null", "5", '"text"', "[1]", '{"source": 5, "told": 7, "right": "yes"}', '{"source": {}, "told": "a"}',
          '{"__proto__": {"right": true, "source": "x"}}']  # fmt: skip


def test_whatever_stands_in_the_store(chromium, server):
    """Written by another program of the same host, or by an older edition: the box opens, and nothing is solved."""
    window = chromium()
    for text in STORED:
        window.goto(f"{server[0]}404.html")
        window.evaluate("([key, text]) => localStorage.setItem(key, text)", [KEY, text])
        visit(window, server[0])
        window.evaluate("l => hands.open(l)", LABEL)
        assert window.evaluate("l => hands.source(l)", LABEL).endswith("return ..."), text
        window.evaluate("l => hands.press(l, 'Hint')", LABEL)
        assert window.evaluate("l => hands.status(l)", LABEL).startswith("One of the mistakes"), text
        assert window.evaluate("() => hands.marks()") == [] and window.page.locator(".nc-solved").count() == 0
    assert not [line for line in window.console if not line.startswith(("debug", "info"))]


def test_only_exercises_that_there_are_count(chromium, server):
    window = chromium()
    window.goto(f"{server[0]}404.html")
    for label in (LABEL, "gone-1", "gone-2", "gone-3"):
        key = f"normcore answer book/axes#{label}"
        window.evaluate("key => localStorage.setItem(key, JSON.stringify({source: '', right: true}))", key)
    visit(window, server[0])
    window.evaluate("() => hands.until(() => hands.marks().length, 'a mark')")
    assert window.evaluate("() => hands.marks()") == ["1/3"]


FILL = """() => {
  let text = 'x'.repeat(1 << 20);
  for (let n = 0; text; n++) {
    try { localStorage.setItem(`fill ${n}`, text) } catch { text = text.slice(text.length / 2 + 1) }
  }
}"""
NONE = """Object.defineProperty(window, 'localStorage', {configurable: true, get() {
  throw new DOMException('no', 'SecurityError')
}})"""


@pytest.mark.parametrize("store", ["full", "none"])
def test_where_nothing_can_be_kept(chromium, server, store):
    """It is said with every verdict, and as long as the page is open nothing is forgotten."""
    window = chromium()
    if store == "none":
        window.page.add_init_script(NONE)
    visit(window, server[0])
    if store == "full":
        attempt(window, START + "return x")  # a small one is there
        window.evaluate(FILL)
    lost = " This browser keeps nothing: the answer is gone when you leave the page."
    comment = f"# {'a' * 3000}\n"
    wrong = attempt(window, comment + START + "return normalize(x, axes=(2, 3), eps=eps)")
    assert wrong.startswith("Not yet. That is instance norm") and wrong.endswith(lost)
    assert attempt(window, comment + RIGHT) == f"Right.{lost}"
    window.evaluate("() => hands.until(() => hands.marks().length, 'a mark')")
    assert window.evaluate("() => hands.marks()") == ["1/3"]
    window.evaluate("l => hands.press(l, 'Start over')", LABEL)
    window.evaluate("l => hands.press(l, 'Bring back')", LABEL)
    assert window.evaluate("l => hands.source(l)", LABEL) == comment + RIGHT
    modes = [window.evaluate("() => document.documentElement.dataset.mode")]
    for _ in "123":
        window.page.locator("button.theme-switch-button").first.click()
        modes.append(window.evaluate("() => document.documentElement.dataset.mode"))
    assert len(set(modes)) == 3 and modes[0] == modes[-1]  # the theme goes through all of its modes
    assert not [line for line in window.console if line.startswith("uncaught")]


def test_two_tabs_with_the_same_exercise(chromium, server):
    """A tab that has nothing new follows the other, and takes nothing away when it is closed."""
    one = visit(chromium(), server[0])
    one.evaluate("l => hands.open(l)", LABEL)
    two = visit(pages.Chromium(one.page.context.new_page()), server[0])
    assert attempt(two, RIGHT) == "Right."
    one.page.wait_for_function("([l, text]) => hands.source(l) === text", arg=[LABEL, RIGHT])
    assert one.evaluate("l => hands.status(l)", LABEL) == "Here is what you wrote in another tab."
    one.page.wait_for_function("() => hands.marks().join() === '1/3'")
    assert one.page.locator(".nc-solved").count() == 1
    one.evaluate("([l, text]) => hands.write(l, text)", [LABEL, "# mine"])
    assert attempt(two, START + "return x").startswith("Not yet")
    one.page.wait_for_function("l => hands.status(l).startsWith('Another tab keeps an answer')", arg=LABEL)
    assert one.evaluate("l => hands.source(l)", LABEL) == "# mine"
    kept = "key => JSON.parse(localStorage.getItem(key))"
    assert two.evaluate(kept, KEY)["source"] == START + "return x"
    one.goto(f"{server[0]}404.html")  # what was written last stays, and what was right is right
    assert two.evaluate(kept, KEY) == {"source": "# mine", "right": True}
    two.goto(f"{server[0]}404.html")  # nothing new there
    assert two.evaluate(kept, KEY)["source"] == "# mine"


def test_without_a_script_an_exercise_is_as_before(browser, server):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{server[0]}book/axes.html")
    place = page.locator(f'[data-answer="{LABEL}"]')
    assert place.count() == 1 and place.inner_html() == "" and place.bounding_box()["height"] == 0
    context.close()


def test_the_page_knows_its_boxes_and_no_solution():
    for path in sorted((SITE / "_static" / "cells").glob("*.json")):
        known = json.loads(path.read_text("utf8"))
        for box in known.get("answers", ()):
            assert set(box) == {"label", "title", "starter", "asked", "check", "mistakes", "above"}
            assert all(not known["cells"][index]["skip"] for index in box["above"])
    counts = json.loads((SITE / "_static" / "answers.json").read_text("utf8"))
    box = r'class="nc-answer" data-answer="([^"]+)"'
    assert counts == {name: re.findall(box, (SITE / f"{name}.html").read_text("utf8")) for name in counts}
    assert sum(map(len, counts.values())) >= 40


@pytest.fixture(autouse=True)
def needs_python(built):
    """Boxes are where Python is."""
