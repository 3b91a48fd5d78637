"""Whatever has the class `dropdown` is a native fold: `<details>`, which works without a script, is printed open, and
opens when somebody searches in the page for a word of it.

Jupyter Book loads sphinx_togglebutton for that, which hides the text from a search in the page, and its button from
those who have no script.

The imports at the top of a cell are folded, too, into one line that names the packages.  Where a chapter opens with a
picture to play with, all code of that picture is, and stands below it.  The notebooks keep it whole.
"""

import ast

from docutils import nodes

WORTH = 4  # lines: fewer are as short as the fold
TOGGLES = "sphinx_togglebutton"


class Fold(nodes.Admonition, nodes.Element):
    """A folded box."""


class Title(nodes.TextElement):
    """Its title, which opens it."""


class Code(nodes.General, nodes.Element):
    """Lines of a cell, in one line."""


def fold(app, doctree, docname):
    if app.builder.format != "html":
        return
    for box in list(doctree.findall(nodes.Admonition)):
        if "dropdown" not in box["classes"] or not isinstance(box[0], nodes.title):
            continue
        title = Title("", "", *box[0].children)
        box.replace_self(Fold("", title, *box.children[1:], ids=box["ids"], classes=box["classes"]))
    widen_opening(doctree)
    for source in sources(doctree):
        fold_imports(source)


def begin(translator, node):
    kind = "admonition" if isinstance(node, Fold) else "nc-code"
    translator.body.append(translator.starttag(node, "details", CLASS=kind))


def begin_title(translator, node):
    kind = "admonition-title" if isinstance(node.parent, Fold) else ""
    translator.body.append(translator.starttag(node, "summary", "", CLASS=kind))


def add(app):
    """Our folds, and none of sphinx_togglebutton: Jupyter Book always loads it, and it has no switch."""
    for listeners in app.events.listeners.values():
        listeners[:] = [one for one in listeners if one.handler.__module__ != TOGGLES]
    app.registry.css_files[:] = [one for one in app.registry.css_files if one[0] != "togglebutton.css"]
    end = {"details": lambda translator, node: translator.body.append("</details>\n")}
    end["summary"] = lambda translator, node: translator.body.append("</summary>\n")
    app.add_node(Fold, html=(begin, end["details"]))
    app.add_node(Code, html=(begin, end["details"]))
    app.add_node(Title, html=(begin_title, end["summary"]))


# ---- code


def sources(node):
    """The programs of a page's cells."""
    blocks = list(node.findall(nodes.literal_block))
    return [block for block in blocks if block.parent.get("nb_element") == "cell_code_source"]


def widen_opening(doctree):
    first = next((one for one in doctree.findall(nodes.container) if one.get("nb_element") == "cell_code"), None)
    if first is None or not any("nc-explore" in output.astext() for output in first.findall(nodes.raw)):
        return
    first["classes"] += ["nc-opening", "full-width"]  # the parent theme folds the contents beside what is wide
    for source in sources(first):
        source.replace_self(Code("", Title("", "", nodes.Text("The code of this picture")), source.deepcopy()))
    first.attributes.pop("hide_mode", None)  # one fold is enough
    first.children.sort(key=lambda part: "cell_input" in part["classes"])


def fold_imports(source):
    text = source.astext()
    end, modules = leading_imports(text)
    if end < WORTH:
        return
    lines = text.splitlines(keepends=True)
    first, rest = ("".join(part).strip("\n") for part in (lines[:end], lines[end:]))
    title = Title("", "", nodes.Text(f"Imports from {', '.join(modules)}"))
    source.replace_self([Code("", title, part_of(source, first)), *([part_of(source, rest)] if rest else [])])


def part_of(source, text):
    part = source.copy()
    part.rawsource = text
    part += nodes.Text(text)
    return part


def leading_imports(text):
    """How many lines at the top import, and the packages that they import from."""
    try:
        statements = ast.parse(text).body
    except SyntaxError:  # a line that is IPython's
        return 0, []
    end, modules = 0, []
    for statement in statements:
        if not isinstance(statement, ast.Import | ast.ImportFrom):
            break
        names = [statement.module] if isinstance(statement, ast.ImportFrom) else [one.name for one in statement.names]
        modules += [name.partition(".")[0] for name in names]
        end = statement.end_lineno
    return end, list(dict.fromkeys(modules))
