"""What a page says about itself: to search engines, to social networks, to those who cite it, to those who got lost.

* a description (the chapter's own question) and the tags of a social card;
* in the footer the version, the day of the build and how to cite the book; a page `cite` made from CITATION.cff;
* a 404 page; and, as soon as the book's address is known (`html_baseurl`), sitemap.xml, robots.txt and the card.
"""

import datetime
import html
import os
import re
import time
from pathlib import Path
from urllib.parse import urljoin, urlparse

import matplotlib
import matplotlib.figure
import yaml
from docutils import nodes

import normcore
from normbook.style import FAMILY

CARD = "_static/card.png"
PRELOAD = '<link rel="preload" as="font" type="font/woff2" crossorigin href="{}">'  # see fonts.css
LONGEST = 160  # characters of a description that search engines show
MADE = {  # pages that Sphinx makes and gives no title in time
    "search": ("Search", "Search the Normcore book: words, symbols such as γ, functions of the package."),
    "genindex": ("Index", "Every term and function of the Normcore book, from A to Z."),
}
NOT_FOUND = """<h1>No such page</h1>
<p>This book has no page at this address. It may have moved, or the address has a slip in it.</p>
<p><a href="{home}">The first page</a> lists all chapters. The search field finds words, symbols and functions.</p>
"""
CITE = """<h1>Cite this book</h1>
<p>{title}, version {version} ({year}). {authors}.{where}</p>
<div class="highlight"><pre>@software{{normcore,
  title   = {{{title}}},
  author  = {{{{{authors}}}}},
  version = {{{version}}},
  year    = {{{year}}},{url}
}}</pre></div>
<p>The numbers in a chapter belong to the version it was built with, so please give the version, too. Licenses:
text and figures CC BY 4.0, code BSD-3-Clause.</p>
"""


def today():
    """The day of the build; SOURCE_DATE_EPOCH makes it repeatable."""
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).date()


def look(app, config):
    day = today()
    options = config.html_theme_options
    options["logo"] = {"image_light": "_static/logo.svg", "image_dark": "_static/logo-dark.svg", "alt_text": "Normcore"}
    config.html_favicon = str(Path(app.srcdir) / "book" / "_static" / "favicon.svg")
    line = (
        f'<p class="nc-version">Normcore {normcore.__version__}, built on '
        f'<time datetime="{day}">{day.day} {day:%B %Y}</time>.</p>'
    )
    options["extra_footer"] = f"{options.get('extra_footer', '')}{line}"


def description(doctree):
    """The first sentences of a page, up to what a search engine shows."""
    for paragraph in doctree.findall(nodes.paragraph):
        text = " ".join(paragraph.astext().split()).removeprefix("The question. ")
        if len(text) > 30:
            break
    else:
        return ""
    if len(text) <= LONGEST:
        return text
    sentences = text[:LONGEST].rpartition(". ")[0]
    return f"{sentences}." if len(sentences) > 60 else text[: LONGEST - 1].rpartition(" ")[0] + "…"


def tags(app, pagename, templatename, context, doctree):
    # the version is a link to how to cite it, wherever the page lies
    context["theme_extra_footer"] = context.get("theme_extra_footer", "").replace(
        "Normcore ", f'<a href="{context["pathto"]("cite")}">Cite this book</a>: Normcore ', 1
    )
    title = html.unescape(re.sub("<[^>]*>", "", context.get("title", "") or "Normcore"))
    said = (description(doctree) if doctree else "") or f"{title}: a page of the Normcore book."
    title, said = MADE.get(pagename, (title, said))
    meta = [f'<meta name="description" content="{html.escape(said)}">']
    faces = ["sans", "sans-semibold", *(["sans-italic"] if "<em>" in context.get("body", "") else [])]
    meta += [PRELOAD.format(context["pathto"](f"_static/fonts/{face}.woff2", 1)) for face in faces]
    shared = {"type": "article", "site_name": "Normcore", "title": title, "description": said}
    base = app.config.html_baseurl
    if base:
        shared["url"] = urljoin(base, app.builder.get_target_uri(pagename))
        shared["image"] = urljoin(base, CARD)
        shared["image:alt"] = "Two grids of feature maps: what batch norm and what instance norm averages."
        meta.append('<meta name="twitter:card" content="summary_large_image">')
    meta += [f'<meta property="og:{key}" content="{html.escape(value)}">' for key, value in shared.items() if value]
    if pagename == "404":
        meta.append('<meta name="robots" content="noindex">')
        if base:  # a host shows this page at any depth
            meta.append(f'<base href="{html.escape(urlparse(base).path)}">')
    context["metatags"] = context.get("metatags", "") + "\n".join(meta)


def more_pages(app):
    about = yaml.safe_load((Path(__file__).parents[2] / "CITATION.cff").read_text("utf8"))
    base = app.config.html_baseurl
    cite = CITE.format(
        title=html.escape(about["title"]),
        authors=html.escape(", ".join(author["name"] for author in about["authors"])),
        version=normcore.__version__,
        year=about["date-released"].year,
        where=f' <a href="{base}">{base}</a>' if base else "",
        url=f"\n  url     = {{{base}}}," if base else "",
    )
    lost = NOT_FOUND.format(home=app.builder.get_target_uri(app.config.root_doc))
    yield "cite", {"title": "Cite this book", "body": cite}, "page.html"
    yield "404", {"title": "No such page", "body": lost}, "page.html" if base else "lost.html"


def for_robots(app, error):
    base = app.config.html_baseurl
    if error or not base or app.builder.format != "html":
        return
    out = Path(app.outdir)
    card(out / CARD)
    pages = sorted(app.env.found_docs)
    urls = "".join(f"<url><loc>{urljoin(base, app.builder.get_target_uri(page))}</loc></url>\n" for page in pages)
    (out / "sitemap.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{urls}</urlset>\n',
        "utf8",
    )
    (out / "robots.txt").write_text(f"User-agent: *\nAllow: /\nSitemap: {urljoin(base, 'sitemap.xml')}\n", "utf8")


def card(path):
    """The picture beside a shared link, 1200 by 630: the two layers in one drawing."""
    with matplotlib.rc_context({"font.family": FAMILY}):
        figure = matplotlib.figure.Figure(figsize=(12, 6.3), dpi=100, facecolor="white")
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 12), ylim=(0, 6.3))
        axes.set_axis_off()
        axes.text(0.8, 5.1, "Instance and batch normalization,\nby experiment", size=38, weight="bold", va="center")
        axes.text(0.8, 0.6, "Normcore: a book that measures its claims", size=22, color="#444444")
        for left, name, color, cells in (
            (0.8, "batch norm", "#2a7fc4", range(5)),
            (6.6, "instance norm", "#cf5f0c", [2]),
        ):
            for image in range(5):
                for channel in range(3):
                    face = color if channel == 1 and image in cells else "#d5dbe1"
                    square = matplotlib.patches.Rectangle((left + image * 0.62, 1.75 + channel * 0.62), 0.54, 0.54)
                    square.set_facecolor(face)
                    axes.add_patch(square)
            axes.text(left + 3.25, 2.6, name, size=20, color=color, weight="bold", va="center")
        figure.savefig(path)
