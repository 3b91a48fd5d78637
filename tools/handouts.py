"""A page for each chapter: formula, picture, three facts, one warning; printed to PDF by Chromium.

    python tools/handouts.py [SITE] [FOLDER]

Words and formula are those of `book/teaching/CHAPTER.yml`, the picture is the first of a section of the built page.
"""

import base64
import html
import io
import re
import sys
from pathlib import Path

import pypdf
from bs4 import BeautifulSoup
from latex2mathml.converter import convert
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "book"), str(ROOT / "tools")]

from normext import teaching  # noqa: E402
from pdf import chromium  # noqa: E402
from quiz import inline  # noqa: E402

FONTS = ROOT / "book" / "_static" / "fonts"
STYLE = "".join(
    f'@font-face {{ font-family: "Normcore Sans"; font-weight: {weight}; '
    f'src: url("data:font/woff2;base64,{base64.b64encode((FONTS / name).read_bytes()).decode()}"); }}'
    for name, weight in (("sans.woff2", "400"), ("sans-semibold.woff2", "600 900"))
) + """
body { font: 12pt/1.45 "Normcore Sans", sans-serif; margin: 0; }
h1 { font-size: 22pt; margin: 0 0 2mm; } p { margin: 0 0 3mm; }
.formula { border-block: 0.5pt solid #999; font-size: 15pt; margin: 5mm 0; padding: 4mm 0; text-align: center; }
figure { margin: 0 auto 4mm; } svg { display: block; margin: 0 auto; max-height: 105mm; max-width: 100% !important; }
figcaption { font-size: 9pt; margin: 1mm auto 0; max-width: 150mm; text-align: center; }
li { margin: 0 0 1.5mm; } .warning { border: 1pt solid #b35900; border-left-width: 4pt; padding: 2mm 4mm; }
footer { bottom: 0; color: #555; font-size: 8.5pt; position: fixed; }
@page { margin: 16mm; size: A4; }
"""


def picture(page, section):
    """The first picture below a heading of a built page."""
    for heading in BeautifulSoup(page, "html.parser").select("section > :is(h1, h2)"):
        for beside in heading.select(".section-number, .headerlink"):
            beside.decompose()
        if heading.get_text().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").strip() == section:
            found = heading.parent.select_one(".nc-figure")
            if found:
                return str(found)
    raise SystemExit(f"no picture below the heading {section!r}: is the built page that of the source?")


def handout(name, text, notes, page, titles):
    """The page: ``titles`` are those of all chapters, by name."""
    told = notes["handout"]
    question = text.split("**The question.** ", 1)[1].split("\n\n", 1)[0]
    facts = "".join(f"<li>{inline(fact, True)}</li>" for fact in told["facts"])
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(teaching.title(text))}</title>'
        f"<style>{STYLE}</style></head><body><h1>{html.escape(teaching.title(text))}</h1>"
        f"<p>{inline(question_text(question, titles), True)}</p>"
        f'<div class="formula">{convert(told["formula"], display="block")}</div>'
        f"{picture(page, told['picture'])}<ol>{facts}</ol>"
        f'<p class="warning">{inline(told["warning"], True)}</p>'
        "<footer>Normcore: instance and batch normalization, by experiment. Text and figures: CC BY 4.0.</footer>"
        "</body></html>"
    )


def question_text(markdown, titles):
    """The chapter's question without its roles: {doc}`axes` becomes the title of that chapter."""
    plain = re.sub(r"\{\w+\}`([^`<]*?)(?: *<[^`]*)?`", lambda role: titles.get(role[1], role[1]), markdown)
    return " ".join(plain.split())


def write(browser, site, folder):
    """The handout of every chapter as a PDF of one page, or it stops."""
    folder.mkdir(parents=True, exist_ok=True)
    chapters = teaching.chapters(ROOT)
    titles = {name: teaching.title(text) for name, text in chapters.items()}
    for name, text in chapters.items():
        page = (site / "book" / f"{name}.html").read_text("utf8")
        tab = browser.new_page()
        tab.set_content(handout(name, text, teaching.read(ROOT, name, text), page, titles))
        printed = tab.pdf(prefer_css_page_size=True, print_background=True)
        tab.close()
        if (pages := len(pypdf.PdfReader(io.BytesIO(printed)).pages)) != 1:
            sys.exit(f"the handout of {name} has {pages} pages: shorten book/teaching/{name}.yml")
        (folder / f"{name}.pdf").write_bytes(printed)


def main():
    site = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "_build" / "html")
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else ROOT / "dist" / "handouts")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        write(browser, site, folder)
        browser.close()
    print(f"{folder}: {len(list(folder.glob('*.pdf')))} handouts of one page")


if __name__ == "__main__":
    main()
