"""Every deck of the site as a PDF, a page a slide, printed by Chromium.

    python tools/slides.py [SITE] [FOLDER]
"""

import functools
import http.server
import io
import sys
import threading
from pathlib import Path

import pypdf
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from pdf import Handler, chromium  # noqa: E402

READY = "() => window.Reveal?.isReady() && document.fonts.status === 'loaded'"


def printed(browser, url, slides):
    """The deck at an address as a PDF; as many pages as slides, or it stops."""
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.goto(f"{url}?print-pdf", wait_until="load")
    page.wait_for_function(READY)
    page.wait_for_function("slides => document.querySelectorAll('.pdf-page section').length === slides", arg=slides)
    pdf = page.pdf(prefer_css_page_size=True, print_background=True)
    page.close()
    if (pages := len(pypdf.PdfReader(io.BytesIO(pdf)).pages)) != slides:
        sys.exit(f"{url} has {slides} slides and {pages} printed pages")
    return pdf


def main():
    site = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "_build" / "html").resolve()
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else ROOT / "dist" / "slides")
    decks = sorted((site / "slides").glob("*.html"))
    if not decks:
        sys.exit(f"{site}/slides has no decks: they need npm while the book is built")
    folder.mkdir(parents=True, exist_ok=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        for deck in decks:
            url = f"http://127.0.0.1:{server.server_port}/slides/{deck.name}"
            slides = deck.read_text("utf8").count("<section ")
            (folder / f"{deck.stem}.pdf").write_bytes(printed(browser, url, slides))
        browser.close()
    server.shutdown()
    print(f"{folder}: {len(decks)} decks; to show them open {site}/slides, ?notes says what to say")


if __name__ == "__main__":
    main()
