"""The whole book as one PDF: the built pages, one after the other, printed by Chromium.

    python tools/pdf.py [SITE] [BOOK.pdf]

The pages of `_build/html` are put into one page, in the order of the table of contents; their ids get the page's name
in front, so that links between chapters become links within the PDF.
Scripts stay away: what is printed is the text, with the formulas and the default picture of every dial.
"""

import functools
import http.server
import io
import os
import re
import shutil
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import pypdf
import yaml
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
ARTICLE = re.compile(r'<article class="bd-article">(.*?)</article>', re.S)
MARGIN = 18  # mm above and below, as in print.css
POINT = 72 / 25.4  # a millimeter in a PDF
PAGE = (297 - 2 * MARGIN) * 96 / 25.4  # pixels between the margins
WHOLE = "whole-book.html"  # in no folder: the server is asked for its style and pictures only
FILLED = 0.6  # of every page but a chapter's last
UNCUT = 0.38  # of a page: so much at most is left empty before what may not be cut
FOOTER = '<div style="font:8pt sans-serif;width:100%;text-align:center"><span class="pageNumber"></span></div>'
STYLE = """
body { display: block; margin: 0 auto; max-width: 46rem; }
.nc-cover { break-after: page; display: flex; flex-direction: column; height: 255mm; }
.nc-cover svg { width: 100%; }
.nc-cover h1 { font-size: 34pt; line-height: 1.1; margin: 16mm 0 4mm !important; text-wrap: balance; }
.nc-cover p { margin: 0; }
.nc-cover :last-child { border-top: 2pt solid #2a7fc4; margin-top: auto; padding-top: 3mm; }
.nc-contents { break-after: page; }
.nc-contents > ol { columns: 2; column-gap: 2rem; font-size: 9pt; line-height: 1.35; padding: 0; }
.nc-contents ol { list-style: none; margin: 0; padding-left: 1.2rem; }
.nc-contents li { margin: 0; }
.nc-contents > ol > li { margin-top: 0.5rem; }
.nc-contents li:has(> b) { break-after: avoid; }
.nc-contents a { color: inherit; display: flex; gap: 1em; justify-content: space-between; text-decoration: none; }
.nc-contents a::after { content: attr(data-page); }
.nc-page { break-before: page; }
.bd-article .admonition.nc-whole { break-inside: avoid; }
.bd-article :is(tr, table).nc-cut { break-inside: auto; }
"""
# What may not be cut is at most so much of a page, or the page before it stays empty: a picture shrinks, and a long
# box, table or row is cut. Long lines of a program shrink before they wrap.
FIT = """limit => {
  for (const pre of document.querySelectorAll("article pre")) {
    const longest = Math.max(...pre.textContent.split("\\n").map(line => line.length));
    const size = parseFloat(getComputedStyle(pre).fontSize);
    if (longest > 88) pre.style.fontSize = `${size * Math.max(0.68, 88 / longest)}px`;
  }
  for (const box of document.querySelectorAll(".admonition")) {
    const heading = box.previousElementSibling;
    const above = heading?.matches("h1, h2, h3, h4") ? box.offsetTop - heading.offsetTop : 0;
    box.classList.toggle("nc-whole", box.offsetHeight + above <= limit);
  }
  for (const rows of document.querySelectorAll("table, tr")) rows.classList.toggle("nc-cut", rows.offsetHeight > limit);
  for (const box of document.querySelectorAll(".nc-explore, figure")) {
    const over = box.offsetHeight - limit;
    if (over > 0) for (const picture of box.querySelectorAll("figure > :is(svg, img)"))
      picture.style.maxHeight = `${picture.getBoundingClientRect().height - over}px`;
  }
}"""

# Chromium knows no target-counter().
NUMBER = """pages => {
  for (const link of document.querySelectorAll(".nc-contents a"))
    link.dataset.page = pages[link.getAttribute("href").slice(1)] ?? "–";
}"""


def page_numbers(pdf):
    """{id: number of its page} from the bytes of a PDF."""
    reader = pypdf.PdfReader(io.BytesIO(pdf))
    found = reader.named_destinations.items()
    return {name.removeprefix("/"): reader.get_destination_page_number(place) + 1 for name, place in found}


class Sheet(NamedTuple):
    """A page of the PDF as the eye measures it."""

    number: int
    filled: float  # from the upper margin to the lowest ink, as a part of the page between its margins
    ends_with_title: bool  # its last line is all bold: the heading or the title of what comes overleaf
    last: bool  # of a chapter, or of the cover and the contents


def sheets(pdf, chapters):
    """Every page of a PDF; ``chapters`` are the ids that begin one."""
    reader = pypdf.PdfReader(io.BytesIO(pdf))
    numbers = page_numbers(pdf)
    first = {numbers[name] for name in chapters}
    top, bottom = (297 - MARGIN) * POINT, MARGIN * POINT
    found = []
    for number, page in enumerate(reader.pages, 1):
        ink = []

        def see(text, cm, tm, font, size, ink=ink):
            height = pypdf.mult(tm, cm)[5]
            if text.strip() and height > bottom:  # the number of the page stands below
                ink.append((height, "Semibold" in str((font or {}).get("/BaseFont", ""))))

        page.extract_text(visitor_text=see)
        lowest = min((height for height, _ in ink), default=top)
        title = bool(ink) and all(bold for height, bold in ink if height < lowest + 2)
        last = number + 1 in first or number == len(reader.pages) or number < min(first)
        found.append(Sheet(number, (top - lowest) / (top - bottom), title, last))
    return found


def faults(found):
    """What a reader would call a hole in the book."""
    return [sheet for sheet in found if not sheet.last and (sheet.filled < FILLED or sheet.ends_with_title)]


def pages_in_order(toc):
    """[(part or None, page)] as the table of contents has them."""
    found = [(None, toc["root"])]
    for part in toc.get("parts", [{"caption": None, "chapters": toc.get("chapters", [])}]):
        found += [(part["caption"], chapter["file"]) for chapter in part["chapters"]]
    return found


def anchor(page):
    return page.replace("/", "-")


def within(article, page, pages):
    """A page's article with ids and links that hold in one file, and addresses as seen from the site's first folder."""
    folder = Path(page).parent

    def target(match):
        attribute, address = match.groups()
        if re.match(r"[a-z]+:|//", address):
            return match[0]
        path, _, fragment = address.partition("#")
        file = os.path.normpath(folder / path) if path else f"{page}.html"
        name = file.removesuffix(".html")
        if attribute == "href" and name in pages:
            return f'href="#{anchor(name)}{"--" + fragment if fragment else ""}"'
        if attribute == "href" and file.endswith(".html"):
            return 'href="#"'
        return f'{attribute}="{file}{"#" + fragment if fragment else ""}"'

    def renamed(match):
        return f' {match[1]}="' + " ".join(f"{anchor(page)}--{one}" for one in match[2].split()) + '"'

    svgs = []  # pictures refer to themselves; their names are unique already

    def keep(match):
        svgs.append(match[0])
        return f"<svg-{len(svgs) - 1}>"

    article = re.sub(r"<svg\b.*?</svg>", keep, article, flags=re.S)
    article = re.sub(r'\b(href|src)="([^"]*)"', target, article)
    article = re.sub(r' (id|for|aria-labelledby|aria-describedby)="([^"]*)"', renamed, article)
    article = re.sub(r"<noscript>.*?</noscript>|<details class=\"nc-live\">.*?</details>", "", article, flags=re.S)
    article = re.sub(r'<details\b(?! class="nc-code)', "<details open", article)  # imports stay folded
    return re.sub(r"<svg-(\d+)>", lambda m: svgs[int(m[1])], article)


def assembled(site, toc):
    """The one page, and its chapters' titles."""
    order = [(part, page) for part, page in pages_in_order(toc) if (site / f"{page}.html").exists()]
    pages = {page for _, page in order}
    contents, bodies, last = [], [], None
    for part, page in order:
        text = (site / f"{page}.html").read_text("utf8")
        article = ARTICLE.search(text)[1]
        title = re.search(r"<h1[^>]*>(.*?)<a class=\"headerlink\"", article, re.S)[1]
        if part != last:
            contents.append(f"<li><b>{part}</b></li>")
            last = part
        sections = re.findall(r'<section id="([^"]+)">\s*<h2>(.*?)<a class="headerlink"', article, re.S)
        inner = "".join(f'<li><a href="#{anchor(page)}--{id_}">{name}</a></li>' for id_, name in sections)
        contents.append(f'<li><a href="#{anchor(page)}">{title}</a><ol>{inner if part else ""}</ol></li>')
        bodies.append(f'<div class="nc-page" id="{anchor(page)}">{within(article, page, pages)}</div>')
    version = re.search(r'<p class="nc-version">(.*?)</p>', text, re.S)
    title = re.sub("<[^>]*>", "", re.search(r"<h1>(.*?)<a", bodies[0], re.S)[1])
    head = (
        f'<meta charset="utf-8"><title>{title}</title><link rel="stylesheet" href="_static/site.css">'
        f"<style>{STYLE}</style>"
    )
    cover = (
        f'<div class="nc-cover">{motif()}<h1>{title}</h1>'
        "<p>An executable book: every claim is measured while it is built.</p>"
        f"<p>{re.sub('<[^>]*>', '', version[1]).removeprefix('Cite this book: ') if version else ''}</p></div>"
    )
    listing = f'<nav class="nc-contents"><h1>Contents</h1><ol>{"".join(contents)}</ol></nav>'
    return (
        f'<!DOCTYPE html><html lang="en" data-theme="light" data-mode="light"><head>{head}</head>'
        f'<body><main class="bd-content"><article class="bd-article">{cover}{listing}{"".join(bodies)}</article></main>'
        "</body></html>"
    )


def motif(rows=7, columns=10, batch=2, instance=6):
    """The mark of the book, channels by images, on the cover: batch norm averages a row, instance norm a cell."""
    colors = {(batch, column): "#2a7fc4" for column in range(columns)} | {(batch, instance): "#cf5f0c"}
    cells = (
        f'<rect x="{24 * x}" y="{24 * y}" width="18" height="18" fill="{colors.get((y, x), "#d5dbe1")}"/>'
        for y in range(rows)
        for x in range(columns)
    )
    size = f"0 0 {24 * columns - 6} {24 * rows - 6}"
    return f'<svg viewBox="{size}" role="img" aria-label="A table of channels by images">{"".join(cells)}</svg>'


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def chromium():
    """Path of a Chromium or Chrome."""
    candidates = [os.environ.get("CHROMIUM"), *map(shutil.which, BROWSERS), MAC]
    path = next((path for path in candidates if path and Path(path).exists()), None)
    if path is None:
        sys.exit("no Chromium or Chrome found (CHROMIUM=/path/to/one names it)")
    return path


def print_book(browser, site, toc):
    """The bytes of the PDF."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/{WHOLE}"
    page = browser.new_page()
    missing = []
    page.on("response", lambda r: missing.append(r.url) if r.status >= 400 else None)
    page.route(address, lambda route: route.fulfill(content_type="text/html", body=assembled(site, toc)))
    page.goto(address, wait_until="load")
    page.evaluate("() => document.fonts.ready")
    dead = page.evaluate(
        "() => [...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.getAttribute('href'))"
        ".filter(href => href.length > 1 && !document.getElementById(decodeURIComponent(href.slice(1))))"
    )
    page.emulate_media(media="print")
    page.evaluate("() => document.fonts.ready")  # paper has faces of its own: fonts.css
    page.evaluate(FIT, PAGE * UNCUT)
    options = dict(
        format="A4", print_background=True, prefer_css_page_size=True, outline=True, tagged=True,
        display_header_footer=True, header_template="<span></span>", footer_template=FOOTER,
        margin={"top": f"{MARGIN}mm", "bottom": f"{MARGIN}mm", "left": "16mm", "right": "16mm"},
    )  # fmt: skip
    page.evaluate(NUMBER, {})  # the contents take their place, then they learn the pages
    page.evaluate(NUMBER, page_numbers(page.pdf(**options)))
    book = page.pdf(**options)
    page.close()
    server.shutdown()
    server.server_close()
    if missing or dead:
        sys.exit(f"missing files: {missing}\nlinks to nowhere: {sorted(set(dead))}")
    return book


def main():
    site = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "_build" / "html").resolve()
    pdf = Path(sys.argv[2] if len(sys.argv) > 2 else ROOT / "dist" / "normcore-book.pdf")
    toc = yaml.safe_load((Path(os.environ.get("TOC", ROOT / "_toc.yml"))).read_text("utf8"))
    pdf.parent.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        pdf.write_bytes(print_book(browser, site, toc))
        browser.close()
    chapters = [anchor(page) for _, page in pages_in_order(toc) if (site / f"{page}.html").exists()]
    found = sheets(pdf.read_bytes(), chapters)
    inner = [sheet for sheet in found if not sheet.last]
    print(
        f"{pdf} ({pdf.stat().st_size / 1e6:.1f} MB): {len(found)} pages. Without each chapter's last, the emptiest "
        f"is {min(sheet.filled for sheet in inner):.0%} full, {sum(sheet.filled < FILLED for sheet in inner)} are less "
        f"than {FILLED:.0%} full, {sum(sheet.ends_with_title for sheet in inner)} end with a title"
    )
    for sheet in faults(found):
        print(sheet)


if __name__ == "__main__":
    main()
