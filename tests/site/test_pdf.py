"""The book as one page, which `make pdf` prints: two chapters of it here, with PDF=full all of them."""

import importlib.util
import os
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SAMPLE = ("backward", "choosing")  # long tables and boxes
SPEC = importlib.util.spec_from_file_location("pdf", ROOT / "tools" / "pdf.py")
pdf = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(pdf)


@pytest.fixture
def whole(site):
    return pdf.assembled(site, yaml.safe_load((ROOT / "_toc.yml").read_text("utf8")))


def test_every_link_within_the_book_has_its_place(whole):
    """The contents, the references between chapters, the citations: all lead to a place in the same file."""
    places = re.findall(r' id="([^"]*)"', re.sub(r"<svg\b.*?</svg>", "", whole, flags=re.S))
    assert len(places) == len(set(places)), {place for place in places if places.count(place) > 1}
    links = set(re.findall(r'href="#([^"]+)"', re.sub(r"<svg\b.*?</svg>", "", whole, flags=re.S)))
    assert links and links <= set(places), links - set(places)


def test_every_picture_once_and_no_program(whole, site):
    assert "<script" not in whole
    pages = [site / f"{page}.html" for _, page in pdf.pages_in_order(yaml.safe_load((ROOT / "_toc.yml").read_text()))]
    pictures = sum(page.read_text("utf8").count('class="nc-figure"') for page in pages if page.exists())
    assert whole.count('class="nc-figure"') == pictures > 0


def test_links_and_addresses_as_seen_from_the_first_folder():
    pages = {"book/one", "book/two"}
    article = '<h2 id="a">A</h2><a href="two.html#b">b</a><a href="#a">a</a><img src="../_static/p.svg">'
    assert pdf.within(article, "book/one", pages) == (
        '<h2 id="book-one--a">A</h2><a href="#book-two--b">b</a><a href="#book-one--a">a</a><img src="_static/p.svg">'
    )


def test_the_contents_learn_the_pages_from_the_pdf(browser):
    page = browser.new_page()
    page.set_content(
        '<a href="#a">a</a><a href="#b">b</a><h1 id="a" style="break-before: page">A</h1>'
        '<p style="break-before: page">text</p><h2 id="b" style="break-before: page">B</h2>'
    )
    numbers = pdf.page_numbers(page.pdf(format="A4"))
    page.close()
    assert numbers == {"a": 2, "b": 4}


def test_no_page_is_half_empty_and_no_title_stands_alone(browser, site, tmp_path):
    """By the ink of each page but a chapter's last."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf8"))
    if os.environ.get("PDF") != "full":
        toc = {"root": "index", "parts": [{"caption": "", "chapters": [{"file": f"book/{name}"} for name in SAMPLE]}]}
    chapters = [pdf.anchor(page) for _, page in pdf.pages_in_order(toc)]
    found = pdf.sheets(pdf.print_book(browser, site, toc), chapters)
    assert len(found) > 10 * (len(chapters) - 1) / 2
    assert pdf.faults(found) == []


HALF_EMPTY = """<style>@page { size: A4; margin: 18mm 16mm } h2, p { margin: 0; font: 12pt/1.5 sans-serif }
h2, .title { font-family: "Normcore Sans"; font-weight: 600 }</style>"""


@pytest.mark.parametrize(
    ("first", "fault"),
    [
        ("<p>text</p>" * 36, None),
        ("<p>text</p>" * 36 + "<h2>Title</h2>", "title"),
        ("<p>text</p>" * 15, "empty"),
        ("<p>text</p>" * 15 + '<div style="height: 130mm; background: #eee"></div>', "empty"),  # a frame is no text
    ],
)
def test_a_planted_fault_is_found(browser, url, first, fault):
    page = browser.new_page()
    page.goto(f"{url}404.html")
    page.set_content(
        f'<link rel="stylesheet" href="{url}_static/site.css">{HALF_EMPTY}<a href="#a">a</a><a href="#b">b</a>'
        f'<div id="a">{first}</div><div id="over" style="break-before: page"><p>overleaf</p></div>'
        '<div id="b" style="break-before: page"><p>the next chapter</p></div>'
    )
    page.evaluate("() => document.fonts.ready")
    found = pdf.sheets(page.pdf(prefer_css_page_size=True, print_background=True), ["a", "b"])
    page.close()
    assert [sheet.last for sheet in found] == [False, True, True]
    kinds = ["empty" if one.filled < pdf.FILLED else "title" for one in pdf.faults(found)]
    assert kinds == ([fault] if fault else [])
