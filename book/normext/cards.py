"""A table of words in three columns or more: on a phone its rows become cards (narrow.css), each cell under the name of
its column.  `display` takes a table's roles away, so they are said.  Done here and not in the page, where it would come
after the first picture of the page and move what stands below.
"""

import re

from bs4 import BeautifulSoup

WIDE = re.compile(r'(?<=<div class="pst-scrollable-table-container">)<table\b.*?</table>', re.DOTALL)


def card(found):
    soup = BeautifulSoup(found[0], "html.parser")
    table = soup.table
    names = [name.get_text().strip() for name in table.select("thead th, thead td")]
    if len(names) < 3:
        return found[0]
    table["class"] = [*table.get("class", []), "nc-cards"]
    table["role"] = "table"
    for row in table.find_all("tr"):
        row["role"] = "row"
        head = row.find_parent("thead")
        for name, cell in zip(names, row.find_all(["th", "td"], recursive=False), strict=False):
            cell["role"] = "columnheader" if head else "cell"
            if not head:
                cell["data-nc-name"] = name
    return str(soup)


def lay_out(app, pagename, templatename, context, doctree):
    if "body" in context:
        context["body"] = WIDE.sub(card, context["body"])
