"""The dials of a published page: a hundred lines instead of the widget manager.

`normbook.explore` makes ipywidgets, which need a kernel or 0.9 MB (compressed) of widget manager to stand in a page.
All that its dials do is choose a picture, so a page gets native controls (a slider is an `<input type="range">`), the
default picture in the text, and the others in a file that loads when somebody comes near.  `dials.js` links them.
The notebooks keep the ipywidgets; a page with any other widget keeps the manager.
"""

import hashlib
import json
import re
from html import escape
from pathlib import Path

from myst_nb.core.render import WIDGET_STATE_MIMETYPE, WIDGET_VIEW_MIMETYPE

VIEW = re.compile(
    r'<div class="nc-fallback".*?(?P<picture><figure class="nc-figure">.*?</figure>).*?'
    rf'<script type="{re.escape(WIDGET_VIEW_MIMETYPE)}">(?P<view>.*?)</script>',
    re.S,
)
STATE = re.compile(rf'<script type="{re.escape(WIDGET_STATE_MIMETYPE)}">(.*?)</script>', re.S)
MANAGER = ("embed-amd.js", "require.js")
NO_SCRIPT = "The dials need scripts, which are switched off here: this is the picture at their defaults."


class Explorer:
    """One widget of a page: its dials and, in the order of their choices, its pictures."""

    def __init__(self, models, root, name):
        self.models, self.name = models, name
        *dials, view = [models[child] for child in children(models[root])]
        self.dials = [dial["state"] for dial in dials]
        self.pictures = list(self.leaves(view))

    def leaves(self, view):
        if view["model_name"] == "HTMLModel":
            yield view["state"]["value"]
        else:
            for child in children(view):
                yield from self.leaves(self.models[child])

    def html(self, picture):
        controls = "".join(
            (buttons if dial["_model_name"] == "ToggleButtonsModel" else slider)(dial, f"{self.name}-{number}")
            for number, dial in enumerate(self.dials)
        )
        return (
            f'<div class="nc-explore" id="{self.name}">{controls}'
            f'<noscript><p class="nc-note">{NO_SCRIPT}</p></noscript><div class="nc-picture">{picture}</div></div>'
        )


def children(model):
    return [child.removeprefix("IPY_MODEL_") for child in model["state"]["children"]]


def slider(dial, name):
    labels, index = dial["_options_labels"], dial["index"]
    return (
        f'<div class="widget-slider widget-hslider nc-dial"><label class="widget-label" for="{name}">'
        f'{escape(dial["description"])}</label><output class="widget-readout" for="{name}">{escape(labels[index])}'
        f'</output><div class="slider-container"><input type="range" id="{name}" min="0" max="{len(labels) - 1}" '
        f'value="{index}" aria-valuetext="{escape(labels[index])}" autocomplete="off" disabled '
        f'data-labels="{escape(json.dumps(labels, ensure_ascii=False))}"></div></div>'
    )


def buttons(dial, name):
    chosen = dial["index"]
    choices = "".join(
        f'<button type="button" class="widget-toggle-button{" mod-active" * (index == chosen)}" '
        f'aria-pressed="{str(index == chosen).lower()}" disabled>{escape(label)}</button>'
        for index, label in enumerate(dial["_options_labels"])
    )
    words = escape(dial["description"])
    return (
        f'<div class="widget-toggle-buttons nc-dial" role="group" aria-label="{words}">'
        f'<span class="widget-label">{words}</span><div>{choices}</div></div>'
    )


def replace(app, pagename, templatename, context, doctree):
    """Native dials for every explorer of the page, and the manager's scripts away if nobody needs them any more."""
    body = context.get("body", "")
    state = STATE.search(body)
    if not state:
        return
    models = json.loads(state[1])["state"]
    explorers = []

    def native(found):
        root = json.loads(found["view"])["model_id"]
        if "nc-explore" not in models[root]["state"].get("_dom_classes", []):
            return found[0]
        explorers.append(Explorer(models, root, f"explore-{len(explorers) + 1}"))
        return explorers[-1].html(found["picture"])

    body = VIEW.sub(native, body)
    if WIDGET_VIEW_MIMETYPE not in body:
        body = STATE.sub("", body)
        scripts = context["script_files"]
        scripts[:] = [one for one in scripts if not str(getattr(one, "filename", one)).endswith(MANAGER)]
    addresses = {}
    for explorer, name in zip(explorers, stored(app, pagename, explorers), strict=True):
        addresses[f'id="{explorer.name}"'] = context["pathto"](f"_static/pictures/{name}", 1)
    for place, address in addresses.items():  # dials.js fetches it when somebody comes near
        body = body.replace(place, f'{place} data-pictures="{address}"', 1)
    context["body"] = body


def stored(app, pagename, explorers):
    """Write the pictures, give their files' names.  Scripts, for a page opened from a folder may not load JSON."""
    folder = Path(app.outdir) / "_static" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    page = pagename.rpartition("/")[2]
    for old in folder.glob(f"{page}-explore-*.js"):
        old.unlink()
    for explorer in explorers:
        pictures = json.dumps(explorer.pictures, ensure_ascii=False, separators=(",", ":"))
        text = f'normcoreDials("{explorer.name}",{pictures});\n'
        file = folder / f"{page}-{explorer.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.js"
        file.write_text(text, "utf8")
        yield file.name


def setup(app):
    app.connect("html-page-context", replace, priority=950)  # widget_fallback has done its part
    app.add_js_file("dials.js", loading_method="defer")
    app.add_css_file("dials.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
