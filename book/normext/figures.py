"""Figures to take along: an id for each cell, and below each figure the buttons that `figures.js` serves.

Figures and formulas have numbers, by chapter.
"""

import itertools
import re

from docutils import nodes

END = re.compile(r'</figure>(?P<dials></div><p class="nc-more">)?')  # dials have a line below their picture already
COUNTED = (
    (re.compile(r'(<figure class="nc-figure"|<div class="nc-explore")(.*?</figure>)', re.S), "nc-figure"),
    (re.compile(r'(<div class="math [^"]*")([^>]*>)'), "nc-equation"),
)
TAKE = (
    '<span class="nc-take" role="group" aria-label="Download the figure">'
    '<button type="button" value="svg">SVG</button><button type="button" value="png">PNG</button></span>'
)


def number_cells(app, doctree, docname):
    """Each cell of code gets the id cell-1, cell-2, …: a downloaded figure links to the cell that drew it."""
    cells = (node for node in doctree.findall(nodes.container) if node.get("nb_element") == "cell_code")
    for number, cell in enumerate(cells, 1):
        cell["ids"].append(f"cell-{number}")


def add_buttons(app, pagename, templatename, context, doctree):
    """In a line below each figure, and in that of dials: what stands in a picture of theirs would go with it."""

    def added(found):
        return f"{found[0]}{TAKE}" if found["dials"] else f'{found[0]}<p class="nc-more">{TAKE}</p>'

    context["body"] = END.sub(added, context.get("body", ""))


def number(app, pagename, templatename, context, doctree):
    """Figure 3.1 and formula (3.1): the number goes to what stays in the page, for a dial exchanges its figure.

    `numbers.css` writes them. Exercises are counted by Sphinx.
    """
    chapter = app.env.toc_secnumbers.get(pagename, {}).get("")
    if not chapter:
        return
    for counted, name in COUNTED:
        numbers = itertools.count(1)
        context["body"] = counted.sub(
            lambda found: f"""{found[1]} style="--{name}: '{chapter[0]}.{next(numbers)}'"{found[2]}""",  # noqa: B023
            context.get("body", ""),
        )
