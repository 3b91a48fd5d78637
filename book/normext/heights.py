"""About how high each section of a chapter is on a phone.

A chapter has up to ten thousand elements, most of them in formulas, and a phone takes a second to lay them all out. So
a section is laid out when it is near, or when there is time (``later.css``), and until then the page keeps a place for
it.  A place that is too small would let things that are asked for their position lie above each other, so it is a fifth
too large.
"""

import re

#: What a thing adds, in pixels of a window that is 390 wide; fitted to the chapters.
CHARACTER, BLOCK, PICTURE = 0.7, 16, 325  # a picture as high as wide
PROGRAM, LINE = 75, 18
FORMULA, FOLD = 88, 155  # a formula that stands alone; a thing that is folded
ENDS = 60  # the margins of its first and last block
SPARE = 1.2


def height(section):
    """Pixels for the HTML of a section."""
    rest = re.sub(r"<summary\b.*?</summary>|<mjx-assistive-mml.*?</mjx-assistive-mml>", "", section, flags=re.S)
    rest, folds = without(rest, "details")
    shapes = (box.split() for box in re.findall(r'<svg\b[^>]*\bviewBox="([^"]*)"', rest))
    pictures = sum(float(high) / float(wide) for *_, wide, high in shapes if float(wide) > 150)  # others are icons
    rest, _ = without(rest, "svg")
    formulas = len(re.findall(r"<mjx-container\b[^>]*\bdisplay=", rest))
    rest = re.sub(r'<div class="math.*?</div>', "", rest, flags=re.S)
    programs = re.findall(r"<pre\b.*?</pre>", rest, flags=re.S)
    rest = re.sub(r"<pre\b.*?</pre>", "", rest, flags=re.S)
    blocks = len(re.findall(r"</(?:p|li|h\d|tr|dt)>", rest))
    letters = rest.count("<mjx-c ") + len(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", rest)))
    high = CHARACTER * letters + BLOCK * blocks + PICTURE * pictures + FORMULA * formulas + FOLD * folds
    return SPARE * (ENDS + high + PROGRAM * len(programs) + LINE * sum(text.count("\n") for text in programs))


def without(html, name):
    """The text without these elements, and how many there were; the inner ones go first."""
    inner = re.compile(rf"<{name}\b(?:(?!<{name}\b).)*?</{name}>", re.S)
    count = 0
    while True:
        html, gone = inner.subn("", html)
        if not gone:
            return html, count
        count += gone


def say(body):
    """The text of a page, with a place for each section below its title."""
    out, depth, end = [], 0, 0
    for tag in re.finditer(r"<section\b[^>]*>|</section>", body):
        depth += -1 if tag[0] == "</section>" else 1
        if depth == 2 and tag[0] != "</section>":
            opened = tag
        elif depth == 1 and tag[0] == "</section>":
            inside = body[opened.end() : tag.start()]
            begin = f'{opened[0][:-1]} style="--nc-height: {height(inside):.0f}px">'
            out += [body[end : opened.start()], begin, inside]
            end = tag.start()
    return "".join([*out, body[end:]])


def dress(app, pagename, templatename, context, doctree):
    if pagename != app.config.root_doc and 'class="nc-dial' in context.get("body", ""):  # a chapter
        context["body"] = say(context["body"])

