"""The theme's pages, mended: what Jupyter Book's theme does that this book does not want.

Every page passes through `mend` as it is written, so that

* no page carries an inline script or an inline handler (a strict Content-Security-Policy holds), and no script holds
  the text back: all are deferred, but a few lines that choose light or dark before the first paint;
* the icon font (0.29 MB on each page, for a dozen icons) and its style sheet are gone; `theme.css` draws the icons;
* the style sheets are one file with the rules that the book's pages use (0.09 MB become 0.02);
* everything lies within a landmark, and a button is called what it says.

Each mend names the theme's text that it replaces; a theme that no longer has it fails the build.
"""

import hashlib
import re
from pathlib import Path

import tinycss2
from sphinx.errors import ExtensionError

STYLE_LINK = re.compile(r'\s*<link\b(?=[^>]*rel="stylesheet")[^>]*?href="([^"]*?_static/)([^"?]+\.css)[^>]*>')
SCRIPT = re.compile(r"<script(?P<attributes>[^>]*)>(?P<body>.*?)</script>\s*", re.S)
BUNDLE = "site.css"
# Otherwise the theme writes "Got invalid theme mode" to the console, and paints without colors for a moment.
THEME_MODE = """{
  const root = document.documentElement.dataset;
  root.mode ||= "auto";
  root.theme ||= matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}"""
OURS = re.compile("nc-")  # classes that scripts may add


PLAIN = ("n", "nn", "p", "w")  # parts of a program that Pygments marks and the styles leave as they are
DARK_PROGRAMS = "a11y-dark"  # the theme's own choice has comments louder than the program


def spelled(signature):
    """A signature of one parameter a line, without the list that Sphinx makes of them."""
    signature = re.sub(r"<dl>\s*|\s*</dl>", "", signature[0])
    return re.sub(r"\s*<dd>(.*?)</dd>", r'<span class="nc-parameter">\1</span>', signature, flags=re.S)


MENDS = [  # (the theme's text, ours, is it on every page?)
    # the icon font
    (r'\s*<link\b[^>]*fontawesome[^>]*>', "", True),
    (r'\s*<script src="[^"]*fontawesome[^>]*></script>', "", True),
    # scripts are deferred, and few: no need to fetch them first
    (r'\s*<link rel="preload" as="script"[^>]*>', "", True),
    # written by script, they would need an inline script each
    (r"<script>\s*document\.write\(`(.*?)`\);\s*</script>", r"\1", True),
    # said two or three times
    (r'\s*<meta name="viewport" content="width=device-width, initial-scale=1" ?/>', "", True),
    # a handler in an attribute would need 'unsafe-inline'; theme.js listens
    (r' onclick="window\.print\(\)"', ' data-nc-do="print"', False),
    (r' onclick="toggleFullScreen\(\)"', ' data-nc-do="fullscreen"', True),
    # names: a button is called what it says; an icon says nothing
    (r'(<button class="btn search-button-field[^>]*?) title="Search" aria-label="Search"', r"\1", True),
    (r'title="light/dark" aria-label="light/dark"', 'title="Light or dark" aria-label="Light or dark"', True),
    (r'title="Toggle primary sidebar"', 'title="Contents of the book" aria-label="Contents of the book"', True),
    (r'title="Toggle secondary sidebar"', 'title="Contents of this page" aria-label="Contents of this page"', False),
    (r'title="Fullscreen mode"', 'title="Full screen" aria-label="Full screen"', True),
    (r'<a class="navbar-brand logo"', '<a aria-label="Normcore: first page" class="navbar-brand logo"', True),
    (r'<i class="', '<i aria-hidden="true" class="', True),
    (r'<summary aria-label="Toggle hidden content"', "<summary", False),
    # the corner of a table is no heading of anything
    (r"<th\b[^>]*>\s*(?:<p>\s*</p>)?\s*</th>", "<td></td>", False),
    # the parameters of a function are no list of definitions
    (r'<dt class="sig.*?</dt>', spelled, False),
    # names and brackets of a program have the color of its text, and are a third of a page's elements
    (rf'<span class="(?:{"|".join(PLAIN)})">([^<]*)</span>', r"\1", False),
    # the same id in every exercise of a page
    (r' id="(exercise|solution)-content"', "", False),
    # a role that ARIA has taken back
    (r' role="doc-biblioentry"', "", False),
    # a list with links between its items
    (r' role="list" class="citation-list"', ' class="citation-list"', False),
    # everything within a landmark
    (r'<form class="bd-search', '<form role="search" class="bd-search', True),
    (r'<div class="bd-sidebar-primary bd-sidebar', '<div role="region" aria-label="Book" class="bd-sidebar-primary bd-sidebar', True),  # noqa: E501
    (r'<nav class="bd-toc-nav', '<nav aria-label="On this page" class="bd-toc-nav', False),
    # empty, but the theme's script measures it
    (r'<header class="(bd-header[^"]*)">\s*</header>', r'<div class="\1"></div>', True),
    (r'<footer class="bd-footer">\s*</footer>', "", True),
]  # fmt: skip


def mend(page, app):
    for theirs, ours, everywhere in MENDS:
        page, count = re.subn(theirs, ours, page, flags=re.S)
        if everywhere and not count:
            raise ExtensionError(f"the theme has no {theirs} now: is that mend still needed?")
    return scripts(one_style_sheet(page, app), app)


def one_style_sheet(page, app):
    """One link instead of a dozen; `write_styles` makes what it points to."""
    sheets = app.normcore_sheets
    links = list(STYLE_LINK.finditer(page))
    sheets.extend(link[2] for link in links if link[2] not in sheets)
    page = STYLE_LINK.sub("", page)
    return page.replace("</title>", f'</title>\n<link rel="stylesheet" href="{links[0][1]}{BUNDLE}">', 1)


def scripts(page, app):
    """Inline scripts into files: those of the head run before the first paint, all others after the text."""
    head, end, body = page.partition("</head>")
    head, first = without_inline(head)
    body, last = without_inline(body)
    static = re.search(r'href="([^"]*_static/)' + BUNDLE, head)[1]
    head = head.replace("</title>", f'</title>\n<script src="{static}{stored(first, app)}"></script>', 1)
    if last:
        head += f'<script src="{static}{stored(last, app)}" defer></script>\n'
    return head + end + body


def without_inline(part):
    """(the part of a page without inline scripts, the programs that they were)."""
    inline = []

    def move(script):
        attributes, body = script["attributes"], script["body"]
        if "src=" in attributes:
            later = "" if re.search(r"\b(defer|async)\b", attributes) else " defer"
            return f"<script{attributes}{later}></script>\n"
        if re.search(r'type="(?!text/javascript)', attributes):
            return script[0]  # data, not a program
        if "DOCUMENTATION_OPTIONS.pagename" not in body:  # only a list of versions would read that
            inline.append(body.strip())
        return ""

    return SCRIPT.sub(move, part), list(dict.fromkeys(inline))


def stored(programs, app):
    text = "\n".join(programs) + "\n"
    name = f"inline-{hashlib.sha256(text.encode()).hexdigest()[:8]}.js"
    (Path(app.outdir) / "_static" / name).write_text(text, "utf8")
    return name


# ---- the style sheet


def write_styles(app, error):
    if error or not app.normcore_sheets:
        return
    out = Path(app.outdir)
    pages = [path for path in out.rglob("*.html") if path.relative_to(out).parts[0] not in ("_static", "lite")]
    texts = {path: path.read_text("utf8") for path in pages}
    used = names_used(texts.values(), [out / "_static"])
    static = out / "_static"
    check_plain((static / "pygments.css").read_text("utf8"))
    for script in [*static.glob("*.js"), *static.glob("scripts/*.js")]:  # whose maps nobody ships
        text = script.read_text("utf8")
        if "//# sourceMappingURL" in text:
            script.write_text(re.sub(r"//# sourceMappingURL=.*", "", text), "utf8")
    css = "".join(purged(imported(static / sheet), used, static) for sheet in app.normcore_sheets)
    (static / BUNDLE).write_text(css, "utf8")
    version = hashlib.sha256(css.encode()).hexdigest()[:8]
    for path, text in texts.items():
        fresh = re.sub(rf'({BUNDLE})(\?v=\w+)?"', rf'\1?v={version}"', text, count=1)
        if fresh != text:
            path.write_text(fresh, "utf8")


def check_plain(css):
    """A style that colors what `MENDS` leaves unmarked would lose that color."""

    def color(theme, part=""):
        found = re.search(rf'data-theme="{theme}"\] \.highlight {part}\s*{{[^}}]*?(?<!-)color: (#\w+)', css)
        return found and found[1].lower()

    for theme in ("light", "dark"):
        odd = [part for part in PLAIN if color(theme, rf"\.{part}") not in (None, color(theme))]
        if odd or not color(theme):
            raise ExtensionError(f"the {theme} style of programs has a color for {odd}, whose marks theme.py removes")


def names_used(pages, folders):
    """Classes of the pages, and every word of the scripts, which may set a class."""
    used = set()
    for page in pages:
        for classes in re.findall(r'\bclass="([^"]*)"', page):
            used.update(classes.split())
    for folder in folders:
        for script in [*folder.glob("*.js"), *folder.glob("scripts/*.js")]:
            used.update(re.findall(r"[A-Za-z][\w-]*", script.read_text("utf8")))
    return used


def imported(sheet):
    """[(folder, text)] of a style sheet and what it imports."""
    text = sheet.read_text("utf8")
    parts = []
    for name in re.findall(r'@import "([^"]+)";', text):
        parts += imported((sheet.parent / name).resolve())
    return [*parts, (sheet.parent, re.sub(r'@import "[^"]+";', "", text))]


def purged(parts, used, static):
    css = "".join(relocated(text, folder, static) for folder, text in parts)
    return rules(tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True), used)


def relocated(text, folder, static):
    """Addresses in a style sheet, as seen from _static."""
    prefix = folder.resolve().relative_to(static.resolve()).as_posix()
    if prefix == ".":
        return text
    return re.sub(r"url\((['\"]?)(?!data:|[\w+]+:|/|#|['\"])", rf"url(\1{prefix}/", text)


def rules(nodes, used):
    """CSS of the rules that some page of this site can use."""
    out = []
    for node in nodes:
        if node.type == "qualified-rule":
            selectors = [s.strip() for s in split(tinycss2.serialize(node.prelude))]
            selectors = [s for s in selectors if wanted(s, used)]
            if selectors:
                out.append(",".join(selectors) + "{" + tight(node.content) + "}\n")
        elif node.type == "at-rule" and node.content is not None and node.lower_at_keyword in ("media", "supports"):
            inner = rules(tinycss2.parse_rule_list(node.content, skip_comments=True, skip_whitespace=True), used)
            if inner:
                out.append(f"@{node.at_keyword}{tinycss2.serialize(node.prelude)}{{{inner}}}\n")
        elif node.type == "at-rule":
            out.append(node.serialize())
    return "".join(out)


def split(selectors):
    """A list of selectors at its commas, but not those within brackets."""
    return re.split(r",(?![^()]*\))(?![^\[\]]*\])", selectors)


def wanted(selector, used):
    """Whether every class that the selector demands is used somewhere."""
    demanded = re.sub(r":(not|is|where|has)\((?:[^()]|\([^()]*\))*\)|\[[^\]]*\]", "", selector)
    classes = [re.sub(r"\\(.)", r"\1", name) for name in re.findall(r"\.((?:[\w-]|\\.)+)", demanded)]
    return all(name in used or OURS.match(name) for name in classes)


def tight(content):
    """Declarations without comments and needless spaces."""
    return re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", tinycss2.serialize(content), flags=re.S)).strip()


def watch(app):
    """Let every page pass through `mend`."""
    if app.builder.name not in ("html", "dirhtml"):
        return
    app.normcore_sheets = []
    render = app.builder.templates.render

    def rendered(template, context):
        page = render(template, context)
        return mend(page, app) if "</html>" in page else page  # the theme renders parts of a page, too

    app.builder.templates.render = rendered


def silence(app, error):
    """Leave the console to errors and warnings: the theme's scripts report every step there."""
    for script in (Path(app.outdir) / "_static").rglob("*.js"):
        if "vendor" not in script.parts:
            text = script.read_text("utf8")
            quiet = re.sub(r"\bconsole\.(log|debug|info)\(", "void(", text)
            if quiet != text:
                script.write_text(quiet, "utf8")


def choose(app, config):
    config.html_theme_options["pygments_dark_style"] = DARK_PROGRAMS


def without_thebe(app):
    """Take back what sphinx_thebe registered: Jupyter Book always loads it, and it has no switch.

    It puts the address of a script on unpkg on every page and declares it twice (an error in the console).
    This book runs its chapters without it.
    """
    for listeners in app.events.listeners.values():
        listeners[:] = [one for one in listeners if one.handler.__module__ != "sphinx_thebe"]
    app.registry.css_files[:] = [one for one in app.registry.css_files if one[0] != "sphinx-thebe.css"]


def drop_icon_script(app, error):
    """The theme has every icon as a font, too, and as 1.5 MB of script, which no page of this book asks for."""
    for script in Path(app.outdir).glob("_static/vendor/fontawesome/*/js/all.min.js*"):
        script.unlink()
