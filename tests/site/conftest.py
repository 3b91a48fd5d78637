"""A Chromium and a small server for the built pages.

SITE      folder of the built site; default ``_build/html``
CHROMIUM  a Chromium or Chrome; default: the first one found on the PATH
CI or REQUIRE_BROWSER   no browser is a failure here, not a reason to skip
WHOLE     1: every page in every browser test, not one of three (`make whole-test`)
WEBKIT    1: what runs in a window of each browser runs in WebKit, too (`make webkit-test`)
"""

import functools
import http.server
import os
import shutil
import sys
import threading
import zlib
from pathlib import Path
from typing import ClassVar

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import firefox
import webkit as webkitgtk

ROOT = Path(__file__).parents[2]
SITE = Path(os.environ.get("SITE", ROOT / "_build" / "html")).resolve()
BASE = "/normcore/"  # below a folder, as on most hosts: a link that begins with "/" would not work there
NO_SITE = f"{SITE} has no pages: run `make book` first"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]

# Seconds: the live tests run long cells, two browsers at a time, on a machine that may have other work.
PATIENCE = 900 if os.environ.get("LIVE_TEST") else 170

# For hands in a page: until(test, what) asks again and again until the test is true, and returns what that was.
UNTIL = """
  const until = (test, what) => new Promise((done, fail) => {
    const end = performance.now() + 1000 * PATIENCE;
    const look = () => {
      const found = test();
      if (found) done(found);
      else if (performance.now() > end) fail(new Error('never: ' + what));
      else setTimeout(look, 20);
    };
    look();
  });""".replace("PATIENCE", str(PATIENCE))


def built_pages():
    """Every page of the book that was built, as a path below the site."""
    found = SITE.rglob("*.html")
    pages = (path.relative_to(SITE) for path in found)
    return sorted(p.as_posix() for p in pages if p.parts[0] not in ("_static", "_sources", "lite", "slides"))


def sampled(pages, test):
    """One page of three, other ones for another test; with WHOLE=1 (`make whole-test`) every page."""
    return pages if os.environ.get("WHOLE") else pages[zlib.crc32(test.encode()) % 3 :: 3]


def pytest_generate_tests(metafunc):
    """A test with the argument ``page_name`` runs for every page; with ``widget_page``, for those with widgets.

    With ``audited_page`` and ``view``: in two views by turns, or with AUDIT=full for every page in four.  A test that
    opens the pages in a browser does so with a sample of them.
    """
    opens = {"visit", "strict", "browser"} & set(metafunc.fixturenames)
    pages = sampled(built_pages(), metafunc.function.__name__) if opens else built_pages()
    if "page_name" in metafunc.fixturenames:
        metafunc.parametrize("page_name", pages or [None])
    if "widget_page" in metafunc.fixturenames:
        with_widgets = [name for name in built_pages() if 'class="nc-explore"' in (SITE / name).read_text("utf8")]
        metafunc.parametrize("widget_page", sampled(with_widgets, metafunc.function.__name__))
    if "audited_page" in metafunc.fixturenames:
        full = os.environ.get("AUDIT") == "full"
        turns = [(page, view) for i, page in enumerate(built_pages()) for view in (range(4) if full else [i % 2])]
        metafunc.parametrize("audited_page, view", turns if full else sampled(turns, metafunc.function.__name__))


@pytest.fixture(autouse=True)
def site():
    if not (SITE / "index.html").exists():
        pytest.fail(NO_SITE, pytrace=False)
    return SITE


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    extensions_map: ClassVar = {  # the same on every machine
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".woff2": "font/woff2",
    }

    def translate_path(self, path):
        return super().translate_path("/" + path.removeprefix(BASE)) if path.startswith(BASE) else os.devnull + "/no"

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):
        pass  # a browser that goes away in the middle of a file is no error


class StrictHandler(Handler):
    """As the strictest host would serve the site: what Python in a page needs is 'wasm-unsafe-eval' and its worker."""

    policy = (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "font-src 'self' data:; connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'self'; "
        "frame-ancestors 'none'; object-src 'none'"
    )

    def end_headers(self):
        self.send_header("Content-Security-Policy", self.policy)
        super().end_headers()


def served(handler):
    """Address of the site's first folder, as long as the fixture lives."""
    server = Server(("127.0.0.1", 0), functools.partial(handler, directory=str(SITE)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}{BASE}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def url():
    yield from served(Handler)


@pytest.fixture(scope="session")
def strict_url():
    yield from served(StrictHandler)


def find_chromium():
    named = os.environ.get("CHROMIUM")
    candidates = [named] if named else [*map(shutil.which, BROWSERS), MAC]
    return next((path for path in candidates if path and Path(path).exists()), None)


@pytest.fixture(scope="session")
def browser():
    path = find_chromium()
    if path is None:
        no_browser("no Chromium or Chrome found (CHROMIUM=/path/to/one names it)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


class Visit:
    """A page opened in the browser, and everything that went wrong there."""

    def __init__(self, page, url):
        self.page, self.url = page, url
        self.elsewhere, self.missing, self.console = [], [], []
        page.on("request", self._request)
        page.on("response", lambda r: self.missing.append(f"{r.status} {r.url}") if r.status >= 400 else None)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.console.append(f"uncaught: {error}"))

    def _request(self, request):
        if not request.url.startswith((self.url, "data:", "blob:", "about:")):
            self.elsewhere.append(request.url)

    def _console(self, message):
        self.console.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")

    def open(self, name):
        self.page.goto(self.url + name, wait_until="load")
        self.page.keyboard.press("Shift")  # the sign of a reader: dials fetch their pictures, wherever they stand
        self.page.wait_for_function(DIALS_READY, timeout=20_000)
        self.page.evaluate("async () => { await window.MathJax?.startup?.promise; await document.fonts.ready }")
        return self.page


DIALS_READY = "() => [...document.querySelectorAll('.nc-explore')].every(e => 'alive' in e.dataset)"


@pytest.fixture
def visit(browser, url):
    """visit(width=..., **options of the browser's context) -> Visit."""
    yield from visits(browser, url)


@pytest.fixture
def strict(browser, strict_url):
    """The same, under the strict policy."""
    yield from visits(browser, strict_url)


def visits(browser, url):
    contexts = []

    def new(width=1280, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        return Visit(contexts[-1].new_page(), url)

    yield new
    for context in contexts:
        context.close()


# ---- the same hands in two browsers: goto, evaluate, press, and what the console said


class Chromium:
    """A page of Playwright with the two methods of `firefox.Firefox`."""

    def __init__(self, page):
        self.page, self.console = page, []
        page.on("console", lambda m: self.console.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda e: self.console.append(f"uncaught: {e}"))
        self.evaluate, self.press = page.evaluate, page.keyboard.press

    def size(self, width):
        self.page.set_viewport_size({"width": width, "height": 900})

    def goto(self, address):
        self.page.goto(address, wait_until="load")

    def reload(self):
        self.page.reload(wait_until="load")

    def back(self):
        self.page.go_back(wait_until="load")


@pytest.fixture
def chromium(browser):
    """chromium(**options of the context) -> Chromium"""
    contexts = []

    def new(**options):
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}))
        return Chromium(contexts[-1].new_page())

    yield new
    for context in contexts:
        context.close()


def no_browser(why):
    """No browser: a reason to skip, or a failure where all of them are to be there."""
    if os.environ.get("CI") or os.environ.get("REQUIRE_BROWSER"):
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


@pytest.fixture(scope="session")
def fox():
    path = firefox.find_firefox()
    if path is None:
        no_browser("no Firefox found (FIREFOX=/path/to/one names it)")
    window = firefox.Firefox(path)
    yield window
    window.close()


@pytest.fixture(scope="session")
def webkit():
    if not os.environ.get("WEBKIT"):
        pytest.skip("in WebKit with `make webkit-test`")
    found = webkitgtk.find_webkit()
    if found is None:
        no_browser("no WebKit found: apt-get install webkit2gtk-driver xvfb")
    window = webkitgtk.WebKit(*found)
    yield window
    window.close()


@pytest.fixture(params=["Chromium", "Firefox", "WebKit"])
def window(request):
    """A window of one browser and of the others, for what must work in all of them."""
    if request.param == "Chromium":
        return request.getfixturevalue("chromium")()
    window = request.getfixturevalue({"Firefox": "fox", "WebKit": "webkit"}[request.param])
    window.console.clear()
    return window
