"""What the templates in `book/_theme` cannot do for a page: its files in bundles, and what the writers get wrong.

* one style sheet with the rules that the book's pages use, instead of a dozen files (0.09 MB become 0.02);
* one script of the theme's own in `SCRIPTS`; settings that extensions write into the page go into a file, for a strict
  Content-Security-Policy forbids them there; no script holds the text back but the one that chooses light or dark;
* the text of a page comes from writers that no template overrides (docutils, MyST-NB, Pygments): `MENDS` mends it.
"""

import hashlib
import re
from pathlib import Path

import tinycss2
from sphinx.builders.html._assets import _JavaScript
from sphinx.errors import ExtensionError

NAME = "normcore"
FOLDER = Path(__file__).parents[1] / "_theme"
PARENTS = [f"styles/{name}.css" for name in ("theme", "bootstrap", "pydata-sphinx-theme")]  # linked by their templates
PARENTS_SCRIPTS = ("scripts/bootstrap.js", "scripts/pydata-sphinx-theme.js")
PARENTS_SCROLLERS = '"pre, .nboutput > .output_area, .cell_output > .output, .jp-RenderedHTMLCommon"'
STYLE, SCRIPT = "site.css", "site.js"  # the bundles
FIRST = ("mode.js", "later.js")  # before the text
PAGE = ("buttons.js", "contents.js", "drawers.js", "folds.js", "scroll.js", "copy.js")
SCRIPTS = (*PAGE, "live.js", "dials.js", "figures.js")  # one file in the page
STYLES = {
    **dict.fromkeys(("fonts.css", "dials.css", "playground.css", "questions.css", "runner.css", "answers.css"), 500),
    **dict.fromkeys(("colors.css", "icons.css", "folds.css", "text.css", "numbers.css", "narrow.css"), 900),
    **dict.fromkeys(("search.css", "verdicts.css", "opening.css", "margin.css", "live.css", "access.css"), 900),
    "later.css": 900,
    "print.css": 900,
}
OURS = re.compile("nc-")  # classes that scripts may add
PLAIN = ("n", "nn", "p", "w")  # parts of a program that Pygments marks and the styles leave as they are
DARK_PROGRAMS = "a11y-dark"  # the parent's own choice has comments louder than the program


def spelled(signature):
    """A signature of one parameter a line, without the list that Sphinx makes of them."""
    signature = re.sub(r"<dl>\s*|\s*</dl>", "", signature[0])
    return re.sub(r"\s*<dd>(.*?)</dd>", r'<span class="nc-parameter">\1</span>', signature, flags=re.S)


MENDS = [  # (what a writer makes of the text, what we want)
    (r'<summary aria-label="Toggle hidden content"', "<summary"),  # a button is called what it says
    # the corner of a table is no heading of anything
    (r"<th\b[^>]*>\s*(?:<p>\s*</p>)?\s*</th>", "<td></td>"),
    # the parameters of a function are no list of definitions
    (r'<dt class="sig.*?</dt>', spelled),
    # names and brackets of a program have the color of its text, and are a third of a page's elements
    (rf'<span class="(?:{"|".join(PLAIN)})">([^<]*)</span>', r"\1"),
    # the same id in every exercise of a page
    (r' id="(exercise|solution)-content"', ""),
    # a role that ARIA has taken back
    (r' role="doc-biblioentry"', ""),
    # a list with links between its items
    (r' role="list" class="citation-list"', ' class="citation-list"'),
]  # fmt: skip


def add(app):
    app.add_html_theme(NAME, FOLDER)
    for script in PARENTS_SCRIPTS:
        app.add_js_file(script, priority=950)
    for script in SCRIPTS:
        app.add_js_file(script)
    for style, priority in STYLES.items():
        app.add_css_file(style, priority=priority)


def choose(app, config):
    config.html_theme = NAME
    config.html_theme_options["pygments_dark_style"] = DARK_PROGRAMS
    config.templates_path.insert(0, str(FOLDER / "components"))  # before the parents' own
    app.normcore_sheets = list(PARENTS)


def dress(app, pagename, templatename, context, doctree):
    """The page's files, and its text as it should be; after all others have added theirs."""
    sheets = [sheet.filename.removeprefix("_static/") for sheet in sorted(context["css_files"], key=by_priority)]
    app.normcore_sheets.extend(sheet for sheet in sheets if sheet not in app.normcore_sheets)
    scripts(app, context)
    for theirs, ours in MENDS:
        context["body"] = re.sub(theirs, ours, context.get("body", ""), flags=re.S)


def by_priority(file):
    return file.priority


def scripts(app, context):
    """Settings into the script that runs first, our own scripts into one; all but the first wait for the text."""
    own = {f"_static/{name}" for name in SCRIPTS}
    first, later = [(FOLDER / "static" / name).read_text("utf8") for name in FIRST], []
    for script in context["script_files"]:
        body = script.attributes.get("body", "")
        if script.filename in own:
            continue
        if script.filename or script.attributes.get("type", "text/javascript") != "text/javascript":
            waits = {"defer": "defer"} if script.filename and not {"defer", "async"} & set(script.attributes) else {}
            later.append(_JavaScript(script.filename, priority=script.priority, **script.attributes | waits))
        elif "DOCUMENTATION_OPTIONS.pagename" not in body:  # only a list of versions would read that
            first.append(body.strip())
    static = Path(app.outdir) / "_static"
    (static / SCRIPT).write_text("\n".join((static / name).read_text("utf8") for name in SCRIPTS), "utf8")
    later.append(_JavaScript(f"_static/{SCRIPT}", priority=500, defer="defer"))
    context["script_files"] = later
    text = "\n".join(dict.fromkeys(first)) + "\n"
    context["first_script"] = name = f"first-{hashlib.sha256(text.encode()).hexdigest()[:8]}.js"
    (static / name).write_text(text, "utf8")


# ---- the style sheet


def write_styles(app, error):
    if error or app.normcore_sheets == list(PARENTS):  # no page was written, so none said its sheets
        return
    out = Path(app.outdir)
    others = ("_static", "lite", "slides")
    pages = [path for path in out.rglob("*.html") if path.relative_to(out).parts[0] not in others]
    texts = {path: path.read_text("utf8") for path in pages}
    used = names_used(texts.values(), [out / "_static"])
    static = out / "_static"
    check_plain((static / "pygments.css").read_text("utf8"))
    for script in [*static.glob("*.js"), *static.glob("scripts/*.js")]:  # whose maps nobody ships
        text = script.read_text("utf8")
        if "//# sourceMappingURL" in text:
            script.write_text(re.sub(r"//# sourceMappingURL=.*", "", text), "utf8")
    leave_folded(static / PARENTS_SCRIPTS[1])
    css = "".join(purged(imported(static / sheet), used, static) for sheet in app.normcore_sheets)
    (static / STYLE).write_text(css, "utf8")
    versions = {name: hashlib.sha256((static / name).read_bytes()).hexdigest()[:8] for name in (STYLE, SCRIPT)}
    for path, text in texts.items():  # those that were not written anew, too: no browser keeps an old bundle
        fresh = text
        for name, version in versions.items():
            fresh = re.sub(rf'({name})(\?v=\w+)?"', rf'\1?v={version}"', fresh, count=1)
        if fresh != text:
            path.write_text(fresh, "utf8")
    for old in [*static.glob("first-*.js"), *static.glob("sections-*.js")]:
        if not any(old.name in text for text in texts.values()):
            old.unlink()


def leave_folded(script):
    """The parent's script asks each program for its width, at the start and after each move of a dial.

    So it lays out what is folded, one program after the other: a tenth of a second on a phone.  `scroll.js` asks what
    is seen, all at once.
    """
    text = script.read_text("utf8")
    found = text.count(PARENTS_SCROLLERS) + text.count('"[data-nobody]"')
    if found != 1:
        raise ExtensionError(f"{script.name} names what may scroll {found} times, wanted once: {PARENTS_SCROLLERS}")
    script.write_text(text.replace(PARENTS_SCROLLERS, '"[data-nobody]"'), "utf8")


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


def silence(app, error):
    """Leave the console to errors and warnings: the theme's scripts report every step there."""
    for script in (Path(app.outdir) / "_static").rglob("*.js"):
        if "vendor" not in script.parts:
            text = script.read_text("utf8")
            quiet = re.sub(r"\bconsole\.(log|debug|info)\(", "void(", text)
            if quiet != text:
                script.write_text(quiet, "utf8")


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
