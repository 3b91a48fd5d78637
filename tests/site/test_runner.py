"""Cells that are edited and run where they stand: to the end of a chapter in two browsers, and what can go wrong.

Everything here is served under the strict policy.  CHAPTERS="scaling axes" picks the chapters that run to their end;
`make live-test` runs them all.
"""

import json
import os
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import conftest as pages

SITE = pages.SITE
CELLS = SITE / "_static" / "cells"


def visible(chapter):
    """The cells that get buttons; on the first page and the playground there are none, their dials alone compute."""
    known = json.loads((CELLS / f"{chapter}.json").read_text("utf8"))["cells"]
    return [cell for cell in known if not cell["skip"] and not cell["name"].startswith("hidden")]


RUNNABLE = sorted(path.stem for path in CELLS.glob("*.json") if visible(path.stem))
CHAPTERS = (os.environ.get("CHAPTERS", "").split() or RUNNABLE) if os.environ.get("LIVE_TEST") else ["scaling"]
LATE = re.compile(r"/_static/(cells|python|vendor/editor|kernel|runner-worker)")  # nothing of these before a click

# What a reader does, for the n-th cell with buttons: open it, write into it, run it to its end.
HANDS = "() => {" + pages.UNTIL + """
  const cells = () => [...document.querySelectorAll('div.cell')].filter(c => c.querySelector(':scope > .nc-tools'));
  const own = n => cells()[n].querySelector(':scope > .nc-tools');  // not those of a picture in its output
  const button = (n, text) => [...own(n).querySelectorAll('button')].find(b => b.textContent === text);
  const editor = n => cells()[n].querySelector('.nc-editor').firstChild?.shadowRoot?.querySelector('.cm-content');
  const status = n => own(n).querySelector('.nc-status').textContent;
  const over = n => until(() => button(n, 'Stop').getAttribute('aria-disabled') === 'true', 'the end of cell ' + n);
  const hands = {
    count: () => cells().length,
    status,
    press: (n, text) => button(n, text).click(),
    open: async n => {
      if (!editor(n)) button(n, 'Edit and run').click();
      await until(() => editor(n) || /did not arrive/.test(status(n)), 'an editor');
    },
    write: async (n, text) => {
      await hands.open(n);
      const { editor } = cells()[n].querySelector('.nc-editor').firstChild;
      editor.dispatch({changes: {from: 0, to: editor.state.doc.length, insert: text}});
    },
    unfold: cell => {  // a solution, as its reader has done; what is folded has no innerText
      for (let at = cell; at; at = at.parentElement) {
        if (at.hidden) at.hidden = false;
        if (at.matches('details')) at.open = true;
      }
    },
    run: async n => {
      hands.unfold(cells()[n]);
      await hands.open(n);
      button(n, 'Run').click();
      await over(n);
      const output = cells()[n].querySelector('.nc-output');
      return {status: status(n), text: output.innerText, pictures: output.querySelectorAll('svg').length,
              shown: [...cells()[n].querySelectorAll(':scope > .cell_output')].filter(o => o.offsetHeight).length};
    },
    try: async (n, text) => (await hands.write(n, text), hands.run(n)),
    until, over, cells, editor,
  };
  window.hands = hands;
}"""


@pytest.fixture(autouse=True)
def built():
    if RUNNABLE:
        return
    why = "these pages were built without npm: no cell of theirs runs"
    if os.environ.get("CI"):
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


@pytest.fixture(scope="module")
def server():
    """(address, paths that were asked for) under the strict policy."""
    asked = []

    class Counting(pages.StrictHandler):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

    for address in pages.served(Counting):
        yield address, asked


def visit(window, server, chapter="scaling"):
    """The chapter in this window, with the hands of a reader."""
    window.goto(f"{server[0]}book/{chapter}.html")
    window.evaluate(HANDS)
    window.evaluate("() => hands.until(hands.count, 'a cell with buttons')")
    return window


def run(window, n):
    return window.evaluate("n => hands.run(n)", n)


def attempt(window, text, n=0):
    return window.evaluate("([n, text]) => hands.try(n, text)", [n, text])


# ---- to the end


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_cell_runs_to_the_end(window, server, chapter):
    """In order, as a reader would: no error, something new in the place of what was drawn, figures as figures."""
    window.console.clear()
    visit(window, server, chapter)
    cells = visible(chapter)
    assert window.evaluate("() => hands.count()") == len(cells)
    pictures = 0
    for n, cell in enumerate(cells):
        done = run(window, n)
        assert done["status"].startswith("Done in"), f"{cell['source']}\n{done['status']}\n{done['text']}"
        last = cell["source"].rstrip().splitlines()[-1]
        if re.match(r"(draw_\w+|explore|print)\(", last):
            assert done["text"].strip() and done["shown"] == 1, cell["source"]
        pictures += done["pictures"]
    assert pictures or not any(re.search(r"^(draw_|explore\()", c["source"], re.M) for c in cells)
    assert not [line for line in window.console if not line.startswith(("debug", "info"))]


def test_without_any_policy(window, url):
    """As most hosts serve a site."""
    visit(window, (url, []))
    assert run(window, 0)["status"].startswith("Done")


def test_the_last_cell_runs_what_it_stands_on(window, server):
    """From the middle of a page: all cells above run first, hidden ones too; run again, none of them."""
    visit(window, server)
    last = window.evaluate("() => hands.count()") - 1
    first, again = run(window, last), run(window, last)
    assert re.match(r"Done in .* s, after \d+ above", first["status"]), first
    assert re.fullmatch(r"Done in [\d.]+ s", again["status"]), again


def test_a_change_above_counts_below(window, server):
    visit(window, server)
    assert run(window, 1)["text"].startswith("slope for distance")
    needed = ["import numpy as np", "from normbook.evidence import glue, grouped"]
    attempt(window, "\n".join([*needed, "from normbook.data import used_cars", "cars = used_cars(3)"]), 0)
    attempt(window, "print(len(cars.age), 'cars')", 1)
    assert run(window, 1)["text"] == "3 cars\n"
    window.evaluate("() => hands.press(0, 'Reset')")
    done = run(window, 1)
    assert done["text"] == "200 cars\n" and done["status"].endswith("above")  # what was reset runs again first


# ---- before the click, and how much


def test_nothing_is_fetched_before_the_click(chromium, server):
    window = chromium()
    server[1].clear()
    visit(window, server)
    window.page.wait_for_timeout(500)
    assert not [path for path in server[1] if LATE.search(path)]
    run(window, 0)
    fetched = {path.partition("?")[0].removeprefix("/normcore/") for path in server[1] if LATE.search(path)}
    assert "_static/vendor/editor.js" in fetched and "_static/python/pyodide.asm.wasm" in fetched
    page = json.loads((CELLS / "scaling.json").read_text("utf8"))
    counted = [SITE / path for path in fetched if path.startswith("_static/python/")]
    assert abs(sum(path.stat().st_size for path in counted) - page["raw"]) < 0.01 * page["raw"], (
        "the progress is not true"
    )


def test_what_is_sent_is_bounded():
    """For a cell with a figure, and for one with NumPy alone: as a server sends it, the editor included."""
    import gzip

    from normext import runner

    page = json.loads((CELLS / "scaling.json").read_text("utf8"))
    editor = len(gzip.compress((SITE / "_static" / "vendor" / "editor.js").read_bytes()))
    known = runner.sizes(SITE / "_static")
    plain = runner.page(known, [{"source": "import numpy as np"}])
    assert plain["packages"] == ["numpy"] and "matplotlib" in page["packages"]
    assert editor < 0.2e6
    assert plain["wire"] + editor < 10e6
    assert page["wire"] + editor < 18e6


# ---- what can go wrong, each with a sentence


@pytest.mark.parametrize("trial", ["Chromium", "Firefox"])
def test_mistakes_in_plain_words(request, server, trial):
    """The sentence, and below it the line; one Python for all of them, which no mistake ends."""
    window = request.getfixturevalue("fox") if trial == "Firefox" else request.getfixturevalue("chromium")()
    visit(window, server)
    for text, sentence, where in [
        ("value = 1\nprint(valeu)", "Python does not know the name valeu. Did you mean value?", "cell 1, line 2"),
        ("for i in range(3):\nprint(i)", "The indentation of line 2 does not fit", "IndentationError"),
        ("print('a'", "Python cannot read line 1: '(' was never closed.", "cell 1, line 1"),
        (
            "import numpy as np\nnp.ones((2, 3)) + np.ones(4)",
            "do not fit: (2,3) and (4,)",
            "line 2\n    np.ones((2, 3))",
        ),
        ("np.ones((2, 3)) @ np.ones((2, 3))", "The shapes of the arrays do not fit", "ValueError: matmul"),
        (
            "from normcore import batch_norm\nbatch_norm(np.ones((1, 3)))",
            "normcore says what is wrong: x has shape (1, 3)",
            "normcore/functional.py",
        ),
        ("np.ones(3)[3]", "An index goes beyond the end", "IndexError"),
        ("np.zeroes(3)", "There is no .zeroes in this module. Did you mean zeros?", "AttributeError"),
        ("import torch", "needs PyTorch, which does not run in a page", "ModuleNotFoundError"),
        ("import pandas", "There is no module pandas here", "ModuleNotFoundError"),
        ("name = input('Your name: ')", "cannot ask you to type something", "cell 1, line 1"),
        ("import sys\nsys.stdin.readline()", "cannot ask you to type something", "cell 1, line 2"),
        ("import sys\nfor line in sys.stdin: print(line)", "cannot ask you to type something", "cell 1, line 2"),
        ("[np.empty(10**8) for i in range(9)]", "not enough memory in this page", "MemoryError"),
        ("np.ones(10**12)", "not enough memory in this page", "ValueError"),
        ("def f(): return f()\nf()", "A function calls itself without end", "RecursionError"),
        ("assert 1 + 1 == 3", "What this assert says is not true here", "AssertionError"),
        ("raise SystemExit", "It goes on all the same", "SystemExit"),
    ]:
        done = attempt(window, text)
        assert sentence in done["status"] and sentence in done["text"], (text, done)
        assert where in done["text"], (text, done["text"])
    done = attempt(window, "print(value)")
    assert done["text"].strip() == "1" and "Done" in done["status"]


def test_an_error_above_is_named(chromium, server):
    window = visit(chromium(), server)
    attempt(window, "cars = unknown", 0)
    done = run(window, 1)
    assert "Above, in cell 1: Python does not know the name unknown" in done["status"], done


def test_an_endless_loop_is_stopped_and_python_comes_back(window, server):
    visit(window, server)
    window.evaluate("() => hands.write(0, 'kept = 1\\nwhile True: pass')")
    window.evaluate(
        "async () => (hands.press(0, 'Run'), await hands.until(() => hands.status(0) === 'Running', 'running'))"
    )
    stop = "async () => { const t = performance.now(); hands.press(0, 'Stop'); await hands.over(0); return %s; }"
    took = window.evaluate(stop % "performance.now() - t")
    said = window.evaluate("() => hands.status(0)")
    assert said.startswith("Stopped. All variables of this page are gone") and took < 2000
    done = attempt(window, "print('kept' in globals())")
    assert done["text"].strip() == "False" and "Done" in done["status"]


def test_stop_takes_back_a_cell_that_waits(window, server):
    """And what runs goes on; where nothing runs it does nothing."""
    visit(window, server)
    attempt(window, "kept = 1")
    window.evaluate("() => hands.press(0, 'Stop')")
    assert "Done" in window.evaluate("() => hands.status(0)")
    window.evaluate("async () => (await hands.write(0, 'while True: pass'), await hands.write(1, 'print(kept)'))")
    window.evaluate("() => (hands.press(0, 'Run'), hands.press(1, 'Run'))")
    window.evaluate("() => hands.until(() => hands.status(0) === 'Running', 'running')")
    assert window.evaluate("() => hands.status(1)") == "Waiting for another cell"
    window.evaluate("async () => (hands.press(1, 'Stop'), await hands.over(1))")
    said = window.evaluate("() => [0, 1].map(hands.status)")
    assert said == ["Running", "Taken back before it began; what runs goes on."]
    window.evaluate("async () => { hands.press(1, 'Run'); hands.press(1, 'Stop'); hands.press(1, 'Run'); }")
    window.evaluate("async () => (hands.press(0, 'Stop'), await hands.over(0), await hands.over(1))")
    assert window.evaluate("() => hands.status(0)").startswith("Stopped")
    assert "Above, in cell 1" not in window.evaluate("() => hands.status(1)")


def test_a_cell_that_changes_numpy_says_so(chromium, server):
    window = visit(chromium(), server)
    done = attempt(window, "import numpy as np\nnp.mean = lambda *anything: 7")
    assert "numpy.mean is changed, for every cell of this page" in done["status"], done
    assert "changed" not in attempt(window, "np.mean([1])")["status"]


def test_output_without_end_is_cut(chromium, server):
    window = visit(chromium(), server)
    done = attempt(window, "for i in range(100_000): print(i)")
    assert "the rest is not shown" in done["text"] and len(done["text"]) < 25_000


def test_reset_brings_back_what_was_drawn(chromium, server):
    window = visit(chromium(), server)
    shown = "() => [...hands.cells()[0].querySelectorAll('.cell_output, .cell_input')].map(e => e.offsetHeight > 0)"
    before = window.evaluate(shown)
    attempt(window, "print('mine')")
    window.evaluate("() => hands.press(0, 'Reset')")
    assert window.evaluate(shown)[: len(before)] == before
    assert window.evaluate("() => document.activeElement.textContent") == "Edit and run"
    assert window.evaluate("() => hands.status(0)") == ""
    assert "1000 euros" in run(window, 0)["text"]  # the page's own code again


def test_undo_brings_back_what_reset_took(chromium, server):
    window = visit(chromium(), server)
    attempt(window, "print('mine')")
    window.evaluate("() => hands.press(0, 'Reset')")
    window.evaluate("() => hands.open(0)")
    assert "Undo (Ctrl+Z) brings back yours" in window.evaluate("() => hands.status(0)")
    source = "() => hands.cells()[0].querySelector('.nc-editor').firstChild.editor.state.doc.toString()"
    assert "used_cars" in window.evaluate(source)
    window.press("Control+z")
    assert window.evaluate(source) == "print('mine')"
    window.evaluate("() => hands.press(0, 'Reset')")
    window.evaluate("() => hands.open(0)")
    window.press("Control+z")
    for _ in range(2):  # what stands there is kept from one Reset to the next, and by one of the untouched cell
        window.evaluate("() => hands.press(0, 'Reset')")
        window.evaluate("() => hands.open(0)")
    window.press("Control+z")
    assert window.evaluate(source) == "print('mine')"


def test_dials_of_a_cell_that_ran_draw_when_they_are_turned(window, server):
    visit(window, server)
    assert run(window, 2)["status"].startswith("Done")
    changed = """async () => {
      const one = hands.cells()[2].querySelector('[data-live]');
      const old = one.querySelector('.nc-picture').innerHTML;
      const dial = one.querySelector('input');
      dial.value = dial.max;
      dial.dispatchEvent(new Event('input', {bubbles: true}));
      await hands.until(() => one.querySelector('.nc-picture').innerHTML !== old, 'another picture');
      const news = one.querySelector('[aria-live]');
      await hands.until(() => news.textContent, 'news');
      return [one.querySelector('output').value, news.textContent === one.querySelector('figcaption').textContent];
    }"""
    assert window.evaluate(changed) == ["std.", True]


def test_without_webassembly(chromium, server):
    window = chromium()
    window.page.add_init_script("delete window.WebAssembly")
    visit(window, server)
    assert run(window, 0)["status"].startswith("Python cannot start: WebAssembly is switched off")


def test_a_policy_without_webassembly(chromium):
    class Forbidding(pages.StrictHandler):
        policy = pages.StrictHandler.policy.replace(" 'wasm-unsafe-eval'", "")

    assert Forbidding.policy != pages.StrictHandler.policy and "unsafe-eval" not in Forbidding.policy
    for address in pages.served(Forbidding):
        window = visit(chromium(), (address, []))
        assert "forbids WebAssembly" in run(window, 0)["status"]


FILES = [
    "pyodide.asm.wasm", "editor.js", "python_stdlib.zip", "book.zip", "pyodide.mjs", "runner-worker.js", "checking.py",
]  # fmt: skip


@pytest.mark.parametrize("file", FILES if os.environ.get("LIVE_TEST") else FILES[:2])
def test_a_download_that_breaks_off(chromium, file):
    """In the middle of a file: a sentence, and the next click goes on."""
    broken = [True]

    class Breaking(pages.StrictHandler):
        def do_GET(self):
            if not (broken[0] and self.path.partition("?")[0].endswith(f"/{file}")):
                return super().do_GET()
            data = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", self.guess_type(self.path))
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True

    for address in pages.served(Breaking):
        window = visit(chromium(), (address, []))
        if file == "editor.js":
            window.evaluate("n => hands.open(n)", 0)
            assert "The editor did not arrive" in window.evaluate("n => hands.status(n)", 0)
        else:
            said = run(window, 0)["status"]
            assert "The download broke off" in said, said
        broken[0] = False
        assert run(window, 0)["status"].startswith("Done")


# ---- for everybody


def test_by_keyboard(chromium, server):
    """Tab to the button, write, Shift+Enter, and Escape, Tab out of the editor; focus is never lost."""
    window = visit(chromium(), server)
    page = window.page
    window.evaluate("() => [...hands.cells()[0].querySelectorAll('.nc-tools button')][0].focus()")
    page.keyboard.press("Enter")
    page.wait_for_function("() => hands.editor(0)")
    page.wait_for_function("() => document.activeElement.shadowRoot?.activeElement?.matches('.cm-content')")
    page.keyboard.press("Control+a")
    page.keyboard.type("print(6 * 7)  # / opens no search")
    page.keyboard.press("Shift+Enter")
    page.wait_for_function("() => /^Done/.test(hands.status(0))", timeout=60_000)
    assert window.evaluate("() => hands.cells()[0].querySelector('.nc-output').innerText.trim()") == "42"
    assert window.evaluate("() => document.activeElement.shadowRoot !== null")
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    assert window.evaluate("() => document.activeElement.textContent") == "Run"
    page.keyboard.press("Enter")
    window.evaluate("() => hands.over(0)")
    assert window.evaluate("() => document.activeElement.textContent") == "Run"
    status = page.locator(".nc-status").first
    assert status.get_attribute("role") == "status" and status.inner_text().startswith("Done")


def test_typing_replaces_what_is_selected(window, server):
    """Firefox itself leaves it where it goes from a word's first letter to the end of its line."""
    visit(window, server)
    window.evaluate("() => hands.write(0, 'def f(x):\\n    return x + 1')")
    typed = """() => {
      const { editor } = hands.cells()[0].querySelector('.nc-editor').firstChild;
      const end = editor.state.doc.length;
      editor.focus();
      editor.dispatch({selection: {anchor: end, head: end - 12}});
      const type = data => editor.contentDOM.dispatchEvent(
        new InputEvent('beforeinput', {inputType: 'insertText', data, bubbles: true, cancelable: true}));
      return [type('p'), editor.state.doc.toString(), type('q'), editor.state.selection.main.head];
    }"""
    assert window.evaluate(typed) == [False, "def f(x):\n    p", True, 15]  # the second one is the browser's


def test_on_a_phone(chromium, server):
    """Nothing sticks out, buttons fit a thumb, letters are too large to be zoomed."""
    import test_pages

    window = chromium(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    visit(window, server)
    assert run(window, 0)["status"].startswith("Done")
    attempt(window, "x = undefined_name_of_a_very_long_kind", 1)
    assert not window.evaluate(test_pages.TOO_WIDE)
    for button in window.page.locator(".nc-tools button:visible").all()[:6]:
        assert button.bounding_box()["height"] >= 40
    size = "() => parseFloat(getComputedStyle(hands.editor(0)).fontSize)"
    assert window.evaluate(size) >= 16
    window.evaluate("() => hands.write(0, 'x = 1  # ' + 'so much '.repeat(20))")
    wide = "() => { const e = hands.editor(0).closest('.cm-scroller'); return e.scrollWidth - e.clientWidth; }"
    assert window.evaluate(wide) <= 1  # all of a long line is to be seen


def test_cells_for_pytorch_say_so(chromium, server):
    window = visit(chromium(), server, "backward")
    known = json.loads((CELLS / "backward.json").read_text("utf8"))["cells"]
    skipped = [cell for cell in known if cell["skip"] and not cell["name"].startswith("hidden")]
    notes = window.page.locator(".nc-no-run")
    assert notes.count() == len(skipped) > 0
    assert "needs PyTorch, which does not run in a page" in notes.first.text_content()
