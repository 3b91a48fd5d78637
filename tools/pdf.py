"""The whole book as one PDF: the built pages, one after the other, printed by Chromium.

    python tools/pdf.py [SITE] [BOOK.pdf]

The pages of `_build/html` are put into one page, in the order of the table of contents; their ids get the page's name
in front, so that links between chapters become links within the PDF, and chapters are numbered for the contents.
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

import pypdf
import yaml

ROOT = Path(__file__).parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
ARTICLE = re.compile(r'<article class="bd-article">(.*?)</article>', re.S)
FOOTER = '<div style="font:8pt sans-serif;width:100%;text-align:center"><span class="pageNumber"></span></div>'
STYLE = """
body { display: block; margin: 0 auto; max-width: 46rem; }
.nc-cover { break-after: page; padding-top: 25vh; }
.nc-cover img { width: 14rem; }
.nc-contents { break-after: page; }
.nc-contents > ol { columns: 2; column-gap: 2rem; font-size: 9pt; line-height: 1.35; padding: 0; }
.nc-contents ol { list-style: none; margin: 0; padding-left: 1.2rem; }
.nc-contents li { margin: 0; }
.nc-contents > ol > li { margin-top: 0.5rem; }
.nc-contents li:has(> b) { break-after: avoid; }
.nc-contents a { color: inherit; display: flex; gap: 1em; justify-content: space-between; text-decoration: none; }
.nc-contents a::after { content: attr(data-page); }
.nc-page { break-before: page; counter-reset: figure equation; }
.nc-chapter { counter-increment: chapter; }
.nc-chapter figcaption { counter-increment: figure; }
.nc-chapter figcaption::before { content: "Figure " counter(chapter) "." counter(figure) ". "; font-weight: 600; }
.nc-chapter div.math { counter-increment: equation; position: relative; }
.nc-chapter div.math::after { content: "(" counter(chapter) "." counter(equation) ")"; position: absolute; right: 0;
  top: 50%; transform: translateY(-50%); }
.nc-long, .nc-long * { break-inside: auto !important; display: block; }
.nc-long :is(span, a) { display: inline; }
.nc-long pre { orphans: 5; widows: 5; }
"""
# A long program may go on overleaf, for otherwise half a page stays empty; long lines shrink before they wrap.
FIT = """() => {
  for (const pre of document.querySelectorAll("article pre")) {
    const lines = pre.textContent.trimEnd().split("\\n");
    const longest = Math.max(...lines.map(line => line.length));
    if (lines.length > 16) pre.closest(".cell_input, [class*=highlight-]")?.classList.add("nc-long");
    const size = parseFloat(getComputedStyle(pre).fontSize);
    if (longest > 88) pre.style.fontSize = `${size * Math.max(0.68, 88 / longest)}px`;
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
    article = re.sub(r"<details\b", "<details open", article)
    return re.sub(r"<svg-(\d+)>", lambda m: svgs[int(m[1])], article)


def assembled(site, toc):
    """The one page, and its chapters' titles."""
    order = [(part, page) for part, page in pages_in_order(toc) if (site / f"{page}.html").exists()]
    pages = {page for _, page in order}
    contents, bodies, last, number = [], [], None, 0
    for part, page in order:
        text = (site / f"{page}.html").read_text("utf8")
        article = ARTICLE.search(text)[1]
        title = re.search(r"<h1[^>]*>(.*?)<a class=\"headerlink\"", article, re.S)[1]
        if part != last:
            contents.append(f"<li><b>{part}</b></li>")
            last = part
        if part:
            number += 1
            label = f"{number}. {title}"
            article = article.replace(title, label, 1)
        else:
            label = title
        sections = re.findall(r'<section id="([^"]+)">\s*<h2>(.*?)<a class="headerlink"', article, re.S)
        inner = "".join(f'<li><a href="#{anchor(page)}--{id_}">{name}</a></li>' for id_, name in sections)
        contents.append(f'<li><a href="#{anchor(page)}">{label}</a><ol>{inner if part else ""}</ol></li>')
        kind = "nc-page nc-chapter" if part else "nc-page"
        bodies.append(f'<div class="{kind}" id="{anchor(page)}">{within(article, page, pages)}</div>')
    version = re.search(r'<p class="nc-version">(.*?)</p>', text, re.S)
    title = re.sub("<[^>]*>", "", re.search(r"<h1>(.*?)<a", bodies[0], re.S)[1])
    head = (
        f'<meta charset="utf-8"><title>{title}</title><link rel="stylesheet" href="_static/site.css">'
        f"<style>{STYLE}</style>"
    )
    cover = (
        f'<div class="nc-cover"><img src="_static/logo.svg" alt="Normcore"><h1>{title}</h1>'
        f"<p>{re.sub('<[^>]*>', '', version[1]).removeprefix('Cite this book: ') if version else ''}</p></div>"
    )
    listing = f'<nav class="nc-contents"><h1>Contents</h1><ol>{"".join(contents)}</ol></nav>'
    return (
        f'<!DOCTYPE html><html lang="en" data-theme="light" data-mode="light"><head>{head}</head>'
        f'<body><main class="bd-content"><article class="bd-article">{cover}{listing}{"".join(bodies)}</article></main>'
        "</body></html>"
    )


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def printed(site, name, pdf):
    from playwright.sync_api import sync_playwright

    candidates = [os.environ.get("CHROMIUM"), *map(shutil.which, BROWSERS), MAC]
    path = next((path for path in candidates if path and Path(path).exists()), None)
    if path is None:
        sys.exit("no Chromium or Chrome found (CHROMIUM=/path/to/one names it)")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        missing = []
        page.on("response", lambda r: missing.append(r.url) if r.status >= 400 else None)
        page.goto(f"http://127.0.0.1:{server.server_port}/{name}", wait_until="load")
        page.evaluate("() => document.fonts.ready")
        dead = page.evaluate(
            "() => [...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.getAttribute('href'))"
            ".filter(href => href.length > 1 && !document.getElementById(decodeURIComponent(href.slice(1))))"
        )
        page.emulate_media(media="print")
        page.evaluate(FIT)
        options = dict(
            format="A4", print_background=True, prefer_css_page_size=True, outline=True, tagged=True,
            display_header_footer=True, header_template="<span></span>", footer_template=FOOTER,
            margin={"top": "18mm", "bottom": "18mm", "left": "16mm", "right": "16mm"},
        )  # fmt: skip
        page.evaluate(NUMBER, {})  # the contents take their place, then they learn the pages
        page.evaluate(NUMBER, page_numbers(page.pdf(**options)))
        page.pdf(path=str(pdf), **options)
        browser.close()
    server.shutdown()
    if missing or dead:
        sys.exit(f"missing files: {missing}\nlinks to nowhere: {sorted(set(dead))}")


def main():
    site = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "_build" / "html").resolve()
    pdf = Path(sys.argv[2] if len(sys.argv) > 2 else ROOT / "dist" / "normcore-book.pdf")
    toc = yaml.safe_load((Path(os.environ.get("TOC", ROOT / "_toc.yml"))).read_text("utf8"))
    pdf.parent.mkdir(parents=True, exist_ok=True)
    whole = site / "_whole.html"
    whole.write_text(assembled(site, toc), "utf8")
    try:
        printed(site, whole.name, pdf)
    finally:
        whole.unlink()
    print(f"{pdf} ({pdf.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
