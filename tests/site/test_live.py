"""The live notebooks in a browser: every chapter runs to its end there, and what can go wrong is said.

`make live-test` builds the site and runs these for every chapter; CHAPTERS="scaling axes" picks some.
"""

import gzip
import json
import os
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import conftest as pages

from grading.source import read

ROOT = Path(__file__).parents[2]
SITE = Path(os.environ.get("SITE", ROOT / "_build" / "html")).resolve()
LITE = SITE / "lite"
LIVE = sorted(path.stem for path in (LITE / "files").glob("*.ipynb") if path.stem != "index")
SOURCES = ROOT / "grading" / "sources"
ASSIGNMENTS = [name for name in LIVE if (SOURCES / f"{name}.md").exists()]
CHAPTERS = os.environ.get("CHAPTERS", "").split() or [name for name in LIVE if name not in ASSIGNMENTS]
FIRST = CHAPTERS[0] if CHAPTERS else ""
SAID_IN = ["book/normext/launch_buttons.py", "lite/status.js", "book/run.md"]

pytestmark = pytest.mark.skipif(not os.environ.get("LIVE_TEST"), reason="takes minutes: `make live-test` runs these")

KERNEL_IDLE = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
CODE_CELLS = """[...jupyterapp.shell.currentWidget.content.widgets].filter(c => c.model.type === 'code')"""
ALL_RUN = f"() => {CODE_CELLS}.every(c => c.model.executionCount || !c.model.sharedModel.source.trim())"
FAILED = f"() => {CODE_CELLS}.some(c => c.model.outputs.toJSON().some(one => one.output_type === 'error'))"
OUTPUTS = f"""() => {CODE_CELLS}.map(c => ({{
  source: c.model.sharedModel.source,
  outputs: [...Array(c.model.outputs.length).keys()].map(i => c.model.outputs.get(i).toJSON())}}))"""


@pytest.fixture(autouse=True)
def built():
    if not LITE.exists():
        pytest.fail(f"no live notebooks in {SITE}: run `make site` first", pytrace=False)


@pytest.fixture
def lite(visit):
    """lite(chapter, prepare=..., **options of the context) -> Visit of that live notebook."""

    def open_chapter(chapter, prepare=lambda page: None, **options):
        tour = visit(**options)
        tour.sizes = {}
        tour.page.context.on("request", tour._request)  # those of Python's own worker, too
        tour.page.context.on("response", lambda r: tour.sizes.update({r.url: r.headers.get("content-type", "")}))
        prepare(tour.page)
        tour.page.goto(f"{tour.url}lite/notebooks/index.html?path={chapter}.ipynb")
        return tour

    return open_chapter


def run_all(page):
    page.wait_for_function(KERNEL_IDLE, timeout=120_000)
    page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")
    # an error ends the run: what stands below it never gets a number
    page.wait_for_function(f"() => ({ALL_RUN})() || ({FAILED})()", timeout=600_000)
    page.wait_for_function(KERNEL_IDLE, timeout=600_000)
    return page.evaluate(OUTPUTS)


def elsewhere(tour):
    """Requests that left this host; JupyterLite's own worker answers the one to /api/ before it goes anywhere."""
    answered = r"http://127\.0\.0\.1:\d+/api/service-worker-heartbeat"
    return [url for url in tour.elsewhere if not re.fullmatch(answered, url)]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_chapter_runs_to_its_end(lite, chapter):
    tour = lite(chapter)
    cells = run_all(tour.page)
    for cell in cells:
        for output in cell["outputs"]:
            assert output["output_type"] != "error", "\n".join([cell["source"], *output["traceback"]])
            assert output.get("name") != "stderr", f"{cell['source']}\n{output['text']}"
    sentence = "which does not run in a browser: skipped"
    assert all(sentence in json.dumps(c["outputs"]) for c in cells if sentence in c["source"])
    dials = tour.page.locator(".nc-explore :is(.noUi-handle, .widget-toggle-button:not(.mod-active))")
    if any(re.search(r"^[^#\n]*\bexplore\(", cell["source"], re.M) for cell in cells):
        move_a_dial(tour.page, dials.first)
    assert not elsewhere(tour)
    assert not tour.missing


def move_a_dial(page, dial):
    explorer = page.locator(".nc-explore").first
    explorer.scroll_into_view_if_needed()
    shown = "e => [...e.querySelectorAll('.nc-figure')].filter(f => f.getClientRects().length).map(f => f.outerHTML)[0]"
    before = explorer.evaluate(shown)
    assert before
    dial.focus()
    slider = dial.get_attribute("role") == "slider"
    at_end = slider and dial.get_attribute("aria-valuenow") == dial.get_attribute("aria-valuemax")
    page.keyboard.press(("ArrowLeft" if at_end else "ArrowRight") if slider else "Space")
    moved = f"([e, old]) => ({shown})(e) !== old"
    page.wait_for_function(moved, arg=[explorer.element_handle(), before], timeout=5_000)


RUN_CELL = """async at => {
  const notebook = jupyterapp.shell.currentWidget.content;
  notebook.activeCellIndex = at;
  await jupyterapp.commands.execute('notebook:run-cell');
}"""
SET_SOURCE = """([at, text]) =>
  jupyterapp.shell.currentWidget.content.model.cells.get(at).sharedModel.setSource(text)"""
ERRORS = """() => Object.fromEntries(jupyterapp.shell.currentWidget.content.widgets.flatMap(cell =>
  (cell.model.outputs?.toJSON() ?? []).filter(one => one.output_type === 'error').map(one =>
    [cell.model.getMetadata('nbgrader')?.grade_id, one.evalue])))"""


def errors_of_all_cells(page):
    """{name of a cell: what it raised}; an error does not end the run."""
    page.wait_for_function(KERNEL_IDLE, timeout=120_000)
    for at in range(page.evaluate("() => jupyterapp.shell.currentWidget.content.widgets.length")):
        page.evaluate(RUN_CELL, at)
        page.wait_for_function(KERNEL_IDLE, timeout=60_000)
    page.wait_for_function(ALL_RUN, timeout=60_000)
    return page.evaluate(ERRORS)


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_assignment_runs_here(lite, assignment):
    """Untouched, its checks ask for the student's code; with the reference answers, they all pass."""
    tour = lite(assignment)
    page = tour.page
    raised = errors_of_all_cells(page)
    reference = read(SOURCES / f"{assignment}.md").cells
    roles = [cell.metadata.get("normcore", {}).get("role") for cell in reference]
    checks = {c.metadata.nbgrader.grade_id for c, role in zip(reference, roles, strict=True) if role == "test"}
    assert raised and raised.keys() <= checks
    assert set(raised.values()) == {"Replace this line with your code."}
    for at, role in enumerate(roles):
        if role == "answer":
            page.evaluate(SET_SOURCE, [at, reference[at].source])
    page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    assert errors_of_all_cells(page) == {}
    assert not elsewhere(tour)
    assert not tour.missing


def test_nothing_is_loaded_before_the_click_and_the_size_is_true(visit):
    """The control in the page; its size counts text compressed, as web servers send it."""
    chapter = FIRST
    page_name = next(p.relative_to(SITE) for p in SITE.rglob(f"{chapter}.html") if "lite" not in p.parts).as_posix()
    tour = visit()
    loaded = []
    tour.page.context.on("response", lambda r: loaded.append(r.url) if "/lite/" in r.url else None)
    page = tour.open(page_name)
    page.wait_for_timeout(500)
    assert not loaded
    button = page.locator("a.btn-live-button")
    assert f"lite/notebooks/index.html?path={chapter}.ipynb" in button.get_attribute("href")
    control = page.locator("details.nc-live")
    control.locator("summary").click()
    frame = page.frame_locator("details.nc-live iframe")
    frame.locator("#nc-status progress").wait_for(timeout=60_000)
    inner = next(f for f in page.frames if "/lite/notebooks/" in f.url)
    inner.wait_for_function(KERNEL_IDLE, timeout=120_000)
    frame.locator("#nc-status .nc-ready").wait_for(timeout=5_000)
    inner.evaluate(f"() => {{ const c = {CODE_CELLS}; jupyterapp.commands.execute('notebook:run-all-cells'); }}")
    inner.wait_for_function(ALL_RUN, timeout=600_000)
    files = {LITE / url.partition("/lite/")[2].partition("?")[0] for url in loaded}
    total = sum(on_the_wire(path) for path in files if path.is_file()) / 1e6
    for name in SAID_IN:
        said = [int(one) for one in re.findall(r"(\d+) MB", (ROOT / name).read_text("utf8"))]
        assert said and all(abs(one - total) <= 0.1 * total for one in said), f"{name}: {said}, it was {total:.1f} MB"
    assert not elsewhere(tour)


def on_the_wire(path):
    data = path.read_bytes()
    compresses = path.suffix in (".js", ".mjs", ".wasm", ".json", ".css", ".html", ".svg", ".ipynb")
    return len(gzip.compress(data)) if compresses else len(data)


# ---- what can go wrong, each with a sentence ----


def says(tour, kind, *words):
    note = tour.page.locator(f"#nc-status .nc-{kind}")
    note.wait_for(timeout=60_000)
    for word in words:
        assert word in note.inner_text()


def test_without_webassembly(lite):
    tour = lite(FIRST, lambda page: page.add_init_script("delete window.WebAssembly"))
    says(tour, "wasm", "WebAssembly", "download the notebook")


def test_without_service_workers(lite):
    """As in a private window: a warning, and the chapter runs all the same."""
    hide = "Object.defineProperty(Navigator.prototype, 'serviceWorker', {get: () => undefined})"
    tour = lite(FIRST, lambda page: page.add_init_script(hide))
    says(tour, "worker", "service workers", "your changes are gone")
    run_all(tour.page)


def test_with_a_blocked_download(lite):
    tour = lite(FIRST, lambda page: page.context.route("**/pyodide.asm.wasm", lambda route: route.abort()))
    says(tour, "blocked", "could not be downloaded", "Reload")


def test_with_little_storage_left(lite):
    full = "navigator.storage.estimate = async () => ({quota: 1e8, usage: 1e8})"
    tour = lite(FIRST, lambda page: page.add_init_script(full))
    says(tour, "full", "no storage left", "download the notebook")


def leave(room, url):
    """Let the browser keep no more than so many bytes of this host."""

    def prepare(page):
        quota = {"origin": url.removesuffix("/normcore/"), "quotaSize": room}
        page.context.new_cdp_session(page).send("Storage.overrideQuotaForOrigin", quota)

    return prepare


def test_with_no_storage_left(lite, url):
    """Not a byte is kept, and the chapter runs all the same."""
    tour = lite(FIRST, leave(1000, url))
    says(tour, "full", "no storage left", "download the notebook")
    cells = run_all(tour.page)
    assert not [one for cell in cells for one in cell["outputs"] if one["output_type"] == "error"]
    says(tour, "full", "no storage left")


def test_with_no_storage_left_for_a_change(lite, url):
    tour = lite(FIRST, leave(3_000_000, url))
    tour.page.wait_for_function(KERNEL_IDLE, timeout=120_000)
    assert not tour.page.locator("#nc-status .nc-full").count()
    saved = """async () => {
      const {context, content} = jupyterapp.shell.currentWidget;
      content.model.cells.get(0).sharedModel.setSource('x'.repeat(3e6));
      return context.save().then(() => true, () => false);
    }"""
    assert tour.page.evaluate(saved) is False
    says(tour, "full", "no storage left", "download the notebook")


# ---- what a reader does there, in both browsers ----

HANDS = "async what => {" + pages.UNTIL + """
  const notebook = () => window.jupyterapp?.shell.currentWidget;
  const status = () => notebook()?.sessionContext?.session?.kernel?.status;
  const said = kind => document.querySelector(`#nc-status .nc-${kind}`)?.textContent ?? '';
  const first = () => [...notebook().content.widgets].findIndex(cell => cell.model.type === 'code');
  const write = (at, text) => notebook().content.model.cells.get(at).sharedModel.setSource(text);
  const run = () => {
    notebook().content.activeCellIndex = first();
    jupyterapp.commands.execute('notebook:run-cell');
  };
  return ({
    start: async () => {
      const percent = await until(() => said('progress').match(/(\\d+)% of 29 MB/), 'per cent');
      await until(() => status() === 'idle' && said('ready'), 'ready');
      run();
      const first = await until(() => said('first'), 'a word about the first cell');
      await until(() => status() === 'idle' && !said('first'), 'the end of the first cell');
      return [Number(percent[1]), first];
    },
    change: async () => {
      write(0, 'Mine');
      const {context} = notebook();
      await until(() => !context.model.dirty, 'saved');
    },
    changed: async () => {
      await until(() => status() === 'idle', 'ready again');
      return notebook().content.model.cells.get(0).sharedModel.source;
    },
    stop: async () => {
      write(first(), 'while True:\\n    pass');
      run();
      await until(() => status() === 'busy', 'busy');
      jupyterapp.commands.execute('notebook:interrupt-kernel');
      const word = await until(() => said('stop'), 'a word about Stop');
      [...document.querySelectorAll('.nc-stop button')].find(b => b.textContent === 'Restart Python').click();
      await until(() => status() === 'idle', 'Python anew');
      return word;
    },
    dark: () => document.body.dataset.jpThemeLight === 'false',
    back: async () => {
      const link = document.querySelector('.nc-back a').href;
      return [link, (await fetch(link)).status];
    },
  })[what]();
}"""


def test_progress_a_change_kept_stop_and_the_way_back(window, url):
    """The download has a percentage, the first cell a word, a reload keeps what was written, Stop has an answer."""
    window.goto(f"{url}404.html")
    window.evaluate("() => localStorage.setItem('mode', 'dark')")  # as the button of the book's pages does
    window.goto(f"{url}lite/notebooks/index.html?path={FIRST}.ipynb")
    percent, first = window.evaluate(HANDS, "start")
    assert 0 <= percent <= 99
    assert "NumPy and Matplotlib" in first
    assert window.evaluate(HANDS, "dark") is True
    assert window.evaluate(HANDS, "back") == [f"{url}book/{FIRST}.html", 200]
    window.evaluate(HANDS, "change")
    window.reload()
    assert window.evaluate(HANDS, "changed") == "Mine"
    assert "cannot be stopped" in window.evaluate(HANDS, "stop")
    window.evaluate("() => localStorage.removeItem('mode')")


def test_each_file_of_python_comes_once(url, browser, tmp_path):
    """Those that are asked for to be counted come from the browser's cache when Python wants them."""
    wire = []
    context = browser.browser_type.launch_persistent_context(
        tmp_path, executable_path=pages.find_chromium(), args=pages.FLAGS
    )  # an ordinary profile: a private one keeps no large file
    page = context.new_page()

    def done(request):
        if "/static/pyodide/" in request.url and request.sizes()["responseBodySize"] > 1000:
            wire.append(request.url)

    context.on("requestfinished", done)
    page.goto(f"{url}lite/notebooks/index.html?path={FIRST}.ipynb")
    page.wait_for_function(KERNEL_IDLE, timeout=120_000)
    page.wait_for_timeout(1000)
    context.close()
    assert len(wire) > 20
    assert len(wire) == len(set(wire)), [one for one in wire if wire.count(one) > 1]


def test_an_old_copy_is_neither_shown_nor_lost(visit):
    """A reader changed an older edition: the new one opens, and the old changes can be saved."""
    tour = visit()
    chapter = FIRST
    tour.page.goto(tour.url + "lite/status.js")  # any address of this host
    tour.page.evaluate(
        """name => new Promise((done, fail) => {
          const opening = indexedDB.open('normcore-0123456789', 1);
          opening.onupgradeneeded = () => opening.result.createObjectStore('files');
          opening.onerror = fail;
          opening.onsuccess = () => {
            const write = opening.result.transaction('files', 'readwrite');
            const file = {name, path: name, type: 'notebook', content: {cells: [], metadata: {mine: true}}};
            write.objectStore('files').put(file, name);
            write.oncomplete = () => (opening.result.close(), done());
          };
        })""",
        f"{chapter}.ipynb",
    )
    tour.page.goto(f"{tour.url}lite/notebooks/index.html?path={chapter}.ipynb")
    says(tour, "old", "new edition", f"{chapter}.ipynb")
    tour.page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=60_000)
    with tour.page.expect_download() as download:
        tour.page.locator("#nc-status .nc-old a").click()
    assert json.loads(download.value.path().read_text())["metadata"] == {"mine": True}


def test_the_name_of_the_storage_follows_the_content():
    settings = json.loads((LITE / "jupyter-lite.json").read_text())["jupyter-config-data"]
    assert re.fullmatch(r"normcore-[0-9a-f]{10}", settings["contentsStorageName"])
    assert settings["litePluginSettings"]["@jupyterlite/pyodide-kernel-extension:kernel"]["disablePyPIFallback"] is True
