"""The search, in two browsers and from a folder: what readers type, and what must be among the first three results."""

import json
import re

import pytest
from normext.search import records

# the words: a section (page#anchor, or page for the top of it), or several of which one will do
WANTED = {
    "why is my batchnorm different in eval": "running-averages#forgetting-eval",
    "model.eval()": "running-averages#forgetting-eval",
    "eval": "running-averages#forgetting-eval",
    "running mean": "running-averages",
    "running average": "running-averages",
    "moving averages": "running-averages",
    "momentum": "notation#term-momentum",
    "InstanceNorm2d track_running_stats": "running-averages#instance-norm-needs-none-of-it",
    "track_running_stats": "running-averages#instance-norm-needs-none-of-it",
    "unbiased variance": "running-averages#biased-or-unbiased",
    "biased variance": "notation#term-biased-variance",
    "batch size 1": "batch-norm#is-instance-norm-batch-norm-with-batch-size-1",
    "batch normalisation": "batch-norm",
    "batchnorm": "batch-norm",
    "BatchNorm2d": "batch-norm",
    "BN": "batch-norm",
    "bias before batch norm": "batch-norm#a-bias-before-the-norm-does-nothing",
    "γ": "batch-norm#can-and-undo-it instance-norm#can-and-undo-it",
    "gamma": "batch-norm#can-and-undo-it instance-norm#can-and-undo-it",
    "ε": "instance-norm#what-is-for",
    "epsilon": "instance-norm#what-is-for",
    "σ": "notation#the-norm noisy-statistics#one-value-per-image-the-law-holds",
    "affine": "notation#term-affine",
    "internal covariate shift": "why#less-internal-covariate-shift",
    "smooth loss landscape": "why#a-smoother-landscape",
    "weight decay": "why#with-weight-decay-an-equilibrium",
    "learning rate": "experiments#larger-learning-rates",
    "small batches": "experiments#small-batches-does-instance-norm-win",
    "SyncBatchNorm": "notation#term-synchronized-batch-norm memory#what-does-help-share-the-statistics",
    "synchronised statistics": "memory#what-does-help-share-the-statistics",
    "gradient accumulation": "memory#in-pieces-gradient-accumulation",
    "checkpointing": "memory#what-does-help-share-the-statistics",
    "LayerNorm": "notation#term-layer-norm api#normcore.LayerNorm",
    "layer norm": "notation#term-layer-norm",
    "group norm": "notation#term-group-norm",
    "which norm should I use": "choosing",
    "claim 7": "choosing#claim-7",
    "vanishing gradients": "activations#gradients-travel-the-same-road-back",
    "feature scaling": "scaling",
    "nearest neighbours": "scaling#what-does-not-change",
    "condition number": "scaling#one-number-for-the-shape-of-the-valley",
    "effective sample size": "noisy-statistics#all-values-the-law-fails-in-both-directions",
    "gradient check": "backward#a-check-that-does-not-trust-you",
    "derive the gradient of batch norm": "backward",
    "contrast normalization": "style#not-contrast-alone instance-norm#whose-name-is-it",
    "style transfer": "style#give-a-picture-another-ones-statistics",
    "how to run on my computer": "run#on-your-computer",
    "Colab": "run#binder-colab-codespaces",
    "grading": "instructors#assign-collect-grade",
}
FIND = """async queries => {
  for (let wait = 0; wait < 100 && !window.normcoreFind; wait++) await new Promise(done => setTimeout(done, 100));
  return queries.map(query => normcoreFind(query).slice(0, 3).map(section => section.url));
}"""


def missed(found):
    """{query: the first three} of the queries that do not lead where they should."""
    short = [[re.sub(r"^book/|\.html", "", url) for url in urls] for urls in found]
    pairs = zip(WANTED.items(), short, strict=True)
    return {query: urls for (query, wanted), urls in pairs if not set(wanted.split()) & set(urls)}


@pytest.fixture(autouse=True)
def ours(site):
    if "search.js" not in (site / "search.html").read_text("utf8"):
        pytest.skip("built without npm: the search is Sphinx's own")


def test_what_readers_type_leads_where_it_should(window, strict_url):
    window.goto(f"{strict_url}search.html")
    assert missed(window.evaluate(FIND, list(WANTED))) == {}
    assert not window.console


def test_from_a_folder(window, site):
    window.goto((site / "search.html").as_uri() + "?q=batch%20size%201")
    assert missed(window.evaluate(FIND, list(WANTED))) == {}
    shown = window.evaluate("() => document.querySelector('#search-results li').innerText")
    assert shown.startswith("Is instance norm batch norm with batch size 1?") and "in Batch normalization" in shown


def test_a_result_names_its_section_and_opens_it(strict):
    """From the dialog: the section, its chapter, a sentence with the words marked; and the section is what is seen."""
    tour = strict(reduced_motion="reduce")
    page = tour.open("book/axes.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("gradient accumulation")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li")
    assert "sections" in page.locator("#search-status").inner_text()
    result = page.locator("#search-results li", has_text="In pieces: gradient accumulation").first
    assert "in The price of a large batch" in result.inner_text()
    assert "accumul" in result.locator("p mark").first.inner_text()
    result.locator("a").click()
    page.wait_for_url("**/memory.html#in-pieces-gradient-accumulation")
    assert -5 < page.locator("#in-pieces-gradient-accumulation h2").bounding_box()["y"] < 300
    assert not tour.console


def test_what_is_not_in_the_book_is_not_found_and_what_is_misspelt_is(strict):
    page = strict().open("search.html")
    field = page.locator("#search-input")
    field.fill("xylophone")
    assert page.locator("#search-status").inner_text() == "No section has “xylophone”."
    field.fill("sychronized batches")
    assert page.locator("#search-results li", has_text="synchronized batch norm").count()
    field.fill("the")
    assert page.locator("#search-results li").count() == 0
    field.fill("constructor")  # a word that every object of JavaScript knows
    assert page.locator("#search-status").inner_text()


def test_sections_terms_functions_and_rows_are_told_apart():
    page = """<nav><section id="menu"><h2>Menu</h2></section></nav><article class="bd-article">
      <section id="top"><h1>Norms<a class="headerlink">#</a></h1><p>One <code>norm_layer</code>
      for all.</p><pre>layer.eval()</pre><div class="output"><pre>0.5</pre></div>
      <mjx-container data-tex="\\sigma_i">s</mjx-container>
      <section id="more"><h2>More</h2><dl><dt id="term-mean">mean</dt><dd>A sum, divided.</dd></dl>After the terms.
      <table><tr id="claim-2"><th>2 It helps.</th><td>holds</td></tr></table></section></section></article>"""
    found = {record["url"].removeprefix("norms.html"): record for record in records(page, "norms.html")}
    assert list(found) == ["", "#more", "#term-mean", "#claim-2"]
    top, more, mean, row = found.values()
    assert [record["weight"] for record in records(page.replace("More", "Check yourself"), "n.html")] == [1, 0.2, 1, 1]
    assert (top["title"], top["text"], top["code"]) == ("Norms", "One norm_layer for all.", "eval layer sigma")
    assert (more["text"], more["page"]) == ("After the terms.", "Norms")
    assert (mean["title"], mean["text"]) == ("mean", "A sum, divided.")
    assert (row["title"], row["text"]) == ("Claim 2: It helps.", "holds")


def test_every_record_leads_somewhere(site):
    script = next((site / "_static").glob("sections-*.js")).read_text("utf8")
    sections = json.loads(script.removeprefix("window.normcoreSections = ").rstrip(";\n"))
    assert len(sections) > 200
    for section in sections:
        page, _, anchor = section["url"].partition("#")
        assert not anchor or f'id="{anchor}"' in (site / page).read_text("utf8"), section["url"]


def test_a_part_of_a_number_is_not_marked(visit):
    page = visit().open("search.html?q=batch+size+1")
    page.wait_for_selector("#search-results mark")
    after = """all => all.map(e => [e.textContent, e.nextSibling?.textContent ?? ""])"""
    found = page.locator("#search-results mark").evaluate_all(after)
    assert any(word == "1" for word, _ in found)
    assert not [one for one in found if one[0] == "1" and one[1][:1] == "." and one[1][1:2].isdigit()]
