"""The dials of a page: their pictures in files of their own, which `dials.js` fetches when somebody comes near.

`normbook.explore` writes dials, default picture and all pictures into the cell's output.  Here the explorers of a page
get their numbers, and the pictures leave the page.
"""

import hashlib
import re
from pathlib import Path

EXPLORER = re.compile(
    r'<div class="nc-explore" id="(?P<id>explore-[0-9a-f]{8})"(?P<rest>.*?)'
    r'<script type="application/json">(?P<pictures>.*?)</script>',
    re.DOTALL,
)


def move_pictures(app, pagename, templatename, context, doctree):
    """As scripts, not as JSON: a page that is opened from a folder may not load JSON."""
    page = pagename.rpartition("/")[2]
    folder = Path(app.outdir) / "_static" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{page}-explore-*.js"):
        old.unlink()
    count = 0

    def moved(found):
        nonlocal count
        count += 1
        name = f"explore-{count}"
        text = f'normcoreDials("{name}",{found["pictures"]});\n'
        file = folder / f"{page}-{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.js"
        file.write_text(text, "utf8")
        address = context["pathto"](f"_static/pictures/{file.name}", 1)
        rest = found["rest"].replace(found["id"], name)  # the controls' own ids
        return f'<div class="nc-explore" id="{name}" data-pictures="{address}"{rest}'

    context["body"] = EXPLORER.sub(moved, context.get("body", ""))
