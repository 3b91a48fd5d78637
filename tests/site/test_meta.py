"""What the site tells search engines and social networks: much once it has an address, nothing wrong before."""

import re
import struct
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import pytest
from normext import page_meta

ROOT = Path(__file__).parents[2]
ADDRESS = "https://norms.example.org/book/"


def app(out, address):
    return SimpleNamespace(
        outdir=out,
        config=SimpleNamespace(html_baseurl=address),
        env=SimpleNamespace(found_docs={"index", "book/axes"}),
        builder=SimpleNamespace(format="html", get_target_uri=lambda page: f"{page}.html"),
    )


def tags(page, address, title="Axes <em>and</em> norms"):
    context = {"title": title, "pathto": lambda page, resource=False: page if resource else f"{page}.html"}
    page_meta.tags(app(None, address), page, "page.html", context, None)
    return context["metatags"]


def test_with_an_address_there_are_a_map_a_word_for_robots_and_a_card(tmp_path):
    (tmp_path / "_static").mkdir()
    page_meta.for_robots(app(tmp_path, ADDRESS), None)
    found = [one.text for one in ET.parse(tmp_path / "sitemap.xml").getroot().iter() if one.tag.endswith("}loc")]
    assert found == [f"{ADDRESS}book/axes.html", f"{ADDRESS}index.html"]
    assert f"Sitemap: {ADDRESS}sitemap.xml\n" in (tmp_path / "robots.txt").read_text("utf8")
    card = (tmp_path / page_meta.CARD).read_bytes()
    assert struct.unpack(">II", card[16:24]) == (1200, 630) and len(card) < 100_000


def test_without_an_address_there_are_none(tmp_path):
    page_meta.for_robots(app(tmp_path, ""), None)
    assert not list(tmp_path.iterdir())
    said = tags("book/axes", "")
    assert 'property="og:title" content="Axes and norms"' in said
    assert not re.search("og:url|og:image|twitter|<base", said)


def test_a_page_tells_its_address_and_its_picture():
    said = tags("book/axes", ADDRESS)
    assert f'property="og:url" content="{ADDRESS}book/axes.html"' in said
    assert f'property="og:image" content="{ADDRESS}_static/card.png"' in said
    assert "noindex" not in said


def test_a_lost_reader_gets_the_styles_at_any_depth():
    said = tags("404", ADDRESS)
    assert '<base href="/book/">' in said and 'name="robots" content="noindex"' in said


@pytest.mark.parametrize("page", ["search", "genindex"])
def test_pages_made_by_sphinx_have_words_of_their_own(page):
    said = tags(page, "", title=None)
    assert f'property="og:title" content="{page_meta.MADE[page][0]}"' in said
    assert "a page of the Normcore book" not in said


def test_every_page_of_the_site_has_a_description_of_its_own(site):
    pages = [path for path in site.rglob("*.html") if not {"_static", "_sources", "lite", "slides"} & set(path.parts)]
    said = {path: re.findall(r'<meta name="description" content="([^"]+)"', path.read_text("utf8")) for path in pages}
    assert all(len(one) == 1 for one in said.values()), said
    texts = [one[0] for one in said.values()]
    assert len(texts) == len(set(texts))


def test_the_page_for_those_who_got_lost_needs_no_other_file(site):
    """A host shows it at any depth, where no relative address is right."""
    text = (site / "404.html").read_text("utf8")
    if "<base " not in text:
        assert not re.search(r"preload|stylesheet|\bsrc=", text)
