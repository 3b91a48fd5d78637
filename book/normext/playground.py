"""The page's program for the playground, on pages that have one, and the digits that it trains on."""

import hashlib
import json
from pathlib import Path

from normbook.playground import packed

MARK = '<div class="nc-playground'
STATIC = Path(__file__).resolve().parents[1] / "_static"
DIGITS = "playground-digits.js"


def add_script(app, pagename, templatename, context, doctree):
    """As scripts, all of them: a page that is opened from a folder may load neither modules nor JSON."""
    if MARK not in context.get("body", ""):
        return
    digits = f"normcorePlayground.digits = {json.dumps(packed(), separators=(',', ':'))};\n"
    target = Path(app.outdir) / "_static" / DIGITS
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(digits, "utf8")
    core = "playground-core.js"
    texts = {"core": (core, (STATIC / core).read_text("utf8")), "digits": (DIGITS, digits)}
    addresses = {
        f"data-{name}": f"{context['pathto'](f'_static/{file}', 1)}?v={hashlib.sha256(text.encode()).hexdigest()[:8]}"
        for name, (file, text) in texts.items()
    }
    app.add_js_file("playground.js", loading_method="defer", **addresses)
