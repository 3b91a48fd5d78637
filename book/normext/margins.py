"""Notes in the margin: a `{margin}` stands below the paragraph that it belongs to, as it is read on a phone, on paper
and aloud; where there is room ``margin.css`` moves it beside that paragraph, and the captions beside their figures.
``contents.js`` folds the page's contents, which stand in the margin, too, while something else is in their place.
"""

from docutils import nodes


class Noted(nodes.General, nodes.Element):
    """A paragraph and its note."""


class Note(nodes.General, nodes.Element):
    """What stands in the margin."""


def place(app, doctree, docname):
    if app.builder.format != "html":
        return
    for sidebar in list(doctree.findall(nodes.sidebar)):
        if "margin" not in sidebar["classes"]:
            continue
        note = Note("", *(part for part in sidebar.children if part.astext()))
        parent, at = sidebar.parent, sidebar.parent.index(sidebar)
        beside = parent[at - 1] if at else None
        if not isinstance(beside, nodes.paragraph):
            raise ValueError(f"{docname}: the note {note.astext()[:40]!r} follows no paragraph")
        parent[at - 1 : at + 1] = [Noted("", beside, note)]
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") == "cell_code" and isinstance(cell.parent, nodes.section) and draws(cell):
            cell["classes"].append("nc-beside")


def draws(cell):
    """A figure whose caption can stand in the margin: an opening takes the margin itself."""
    outputs = "".join(output.astext() for output in cell.findall(nodes.raw))
    return 'class="nc-figure"' in outputs and "nc-playground" not in outputs and "nc-opening" not in cell["classes"]


def add(app):
    def begin(translator, node):
        words = {"CLASS": "nc-margin", "role": "note"} if isinstance(node, Note) else {"CLASS": "nc-noted"}
        translator.body.append(translator.starttag(node, "div", **words))

    def end(translator, node):
        translator.body.append("</div>\n")

    for node in (Noted, Note):
        app.add_node(node, html=(begin, end))
