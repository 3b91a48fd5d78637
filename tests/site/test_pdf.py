"""The book as one page, which `make pdf` prints."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
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
