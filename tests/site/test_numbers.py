"""Chapters, exercises, figures and formulas are counted by chapter, in the pages and in their notebooks."""

import re
import types
from pathlib import Path

import pytest
import yaml
from normext import figures

ROOT = Path(__file__).parents[2]
PARTS = yaml.safe_load((ROOT / "_toc.yml").read_text("utf8"))["parts"]
NUMBERED = [chapter["file"] for part in PARTS if part.get("numbered") for chapter in part["chapters"]]
REST = ["index", *(chapter["file"] for part in PARTS if not part.get("numbered") for chapter in part["chapters"])]


def test_what_is_numbered():
    assert [part["caption"] for part in PARTS if not part.get("numbered")] == ["Play", "Reference"]


@pytest.mark.parametrize("chapter", NUMBERED)
def test_a_chapter_and_what_is_in_it(site, chapter):
    number = NUMBERED.index(chapter) + 1
    text = (site / f"{chapter}.html").read_text("utf8")
    article = text[text.index('<article class="bd-article">') : text.index("</article>")]
    assert re.search(rf'<h1><span class="section-number">{number}\. </span>', article)
    assert not re.search(r'<h2><span class="section-number">', article)
    exercises = [one.strip() for one in re.findall(r'<span class="caption-number">Exercise ([^<]*)</span>', article)]
    assert exercises == [f"{number}.{i + 1}" for i in range(len(exercises))] != []
    notebook = (site / "_sources" / f"{chapter}.ipynb").read_text("utf8")
    assert re.findall(r"### Exercise ([\d.]+):", notebook) == exercises
    for name, tag in (("figure", '<figure class="nc-figure"'), ("equation", '<div class="math ')):
        numbers = re.findall(rf"--nc-{name}: '([\d.]+)'", article)
        assert numbers == [f"{number}.{i + 1}" for i in range(len(numbers))], name
        assert len(numbers) == article.count(tag), name


@pytest.mark.parametrize("page", REST)
def test_other_pages_have_no_numbers(site, page):
    text = (site / f"{page}.html").read_text("utf8")
    article = text[text.index('<article class="bd-article">') : text.index("</article>")]
    assert "section-number" not in article and "--nc-figure" not in article and "--nc-equation" not in article


def test_the_number_of_a_dial_s_figure_is_the_dial_s():
    """The figure is exchanged, and its caption with it; the dial stays."""
    app = types.SimpleNamespace(env=types.SimpleNamespace(toc_secnumbers={"book/axes": {"": (3,)}}))
    body = (
        '<figure class="nc-figure"><figcaption>a</figcaption></figure><div class="math notranslate">x</div>'
        '<div class="nc-explore" id="explore-1"><figure class="nc-figure"></figure></div>'
    )
    context = {"body": body}
    figures.number(app, "book/axes", "page.html", context, None)
    assert context["body"] == (
        """<figure class="nc-figure" style="--nc-figure: '3.1'"><figcaption>a</figcaption></figure>"""
        """<div class="math notranslate" style="--nc-equation: '3.1'">x</div>"""
        """<div class="nc-explore" style="--nc-figure: '3.2'" id="explore-1">"""
        """<figure class="nc-figure"></figure></div>"""
    )


def test_they_are_shown(visit):
    """In the place for a formula's number, and before a caption; a dial that moves keeps its figure's."""
    page = visit().open("book/instance-norm.html")
    shown = """([selector, pseudo]) => {
      const style = getComputedStyle(document.querySelector(selector), pseudo);
      return style.content.replaceAll('" "', '').replaceAll('"', '');
    }"""
    assert page.evaluate(shown, ["article div.math", "::after"]) == "(4.1)"
    assert page.evaluate(shown, [".nc-explore figcaption", "::before"]) == "Figure 4.1: "
    page.locator(".nc-explore input[type=range]").first.press("ArrowRight")
    page.wait_for_function("() => !document.querySelector('.nc-leaving')")
    assert page.evaluate(shown, [".nc-explore figcaption", "::before"]) == "Figure 4.1: "
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
