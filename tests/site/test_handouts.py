"""The handouts that `make handouts` prints from the built pages."""

import importlib.util
from pathlib import Path

import pypdf
import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("handouts", ROOT / "tools" / "handouts.py")
handouts = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(handouts)


def test_every_chapter_has_one_of_one_page(browser, site, tmp_path):
    handouts.write(browser, site, tmp_path)
    chapters = handouts.teaching.chapters(ROOT)
    assert {path.stem for path in tmp_path.glob("*.pdf")} == set(chapters) and len(chapters) == 14
    for name, text in chapters.items():
        notes = handouts.teaching.read(ROOT, name, text)
        printed = " ".join(pypdf.PdfReader(tmp_path / f"{name}.pdf").pages[0].extract_text().split())
        assert handouts.teaching.title(text) in printed and "CC BY 4.0" in printed
        assert notes["handout"]["warning"].split()[0] in printed


def test_a_picture_that_is_not_there_stops_it():
    title = '<span class="section-number">3. </span>A title<a class="headerlink">#</a>'
    page = f"<section><h1>{title}</h1><p>x</p></section>"
    with pytest.raises(SystemExit, match="no picture below the heading 'A title'"):
        handouts.picture(page, "A title")
    assert handouts.picture(page.replace("<p>x</p>", '<i class="nc-figure">!</i>'), "A title").endswith("!</i>")


def test_a_question_names_chapters_by_their_titles():
    titles = {"axes": "Which numbers are averaged"}
    said = handouts.question_text("See {doc}`axes`,\n{term}`the gap`\nand {doc}`this <axes>`.", titles)
    assert said == "See Which numbers are averaged, the gap and this."
