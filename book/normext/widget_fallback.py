"""A widget on a page starts as its default picture, and stays that picture where scripts do not run.

A widget's output carries the live view and, as HTML, the picture at the dials' defaults.  MyST-NB keeps
one of the two.  This extension writes both, the picture first; `normcore.css` and `normcore.js` give way
to the live widget as soon as it stands there.  It also moves the widgets' state behind the text.
"""

import json

from docutils import nodes
from myst_nb.core.render import WIDGET_STATE_MIMETYPE, WIDGET_VIEW_MIMETYPE
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.transforms.post_transforms import SphinxPostTransform

NOTE = "The dials appear here once their script has loaded. The picture shows them at their defaults."


class KeepPicture(SphinxPostTransform):
    """Put the HTML of a widget's output before its live view, so that choosing the view keeps both."""

    default_priority = 3  # before MyST-NB's SelectMimeType, which is 4
    formats = ("html",)

    def run(self, **kwargs):
        state = self.widget_state()
        for bundle in self.document.findall(nodes.container):
            if bundle.get("nb_element") != "mime_bundle":
                continue
            outputs = {output["mime_type"]: output for output in bundle.children}
            view, picture = outputs.get(WIDGET_VIEW_MIMETYPE), outputs.get("text/html")
            if view is None or picture is None or not view.children:
                continue
            start = (
                f'<div class="nc-fallback" style="--nc-dials: {dials(view, state)}">'
                f'<p class="nc-fallback-note">{NOTE}</p>'
            )
            view.children[:0] = [
                nodes.raw("", start, format="html"),
                *picture.children,
                nodes.raw("", "</div>", format="html"),
            ]

    def widget_state(self):
        scripts = NbMetadataCollector.get_js_files(self.env, self.env.docname)
        _, script = scripts.get("ipywidgets_state", (None, {}))
        return json.loads(script.get("body", "{}")).get("state", {})


def dials(view, state):
    """How many dials stand above the picture; the note keeps their place."""
    text = view.children[0].astext()
    model = json.loads(text[text.index("{") : text.rindex("}") + 1])["model_id"]
    return max(1, len(state.get(model, {}).get("state", {}).get("children", [])) - 1)


def state_after_text(app, pagename, templatename, context, doctree):
    """A page with many pictures has some MB of state: the reader's text must not wait for it."""
    for script in list(context["script_files"]):
        attributes = getattr(script, "attributes", {})
        if attributes.get("type") == WIDGET_STATE_MIMETYPE:
            context["script_files"].remove(script)
            context["body"] += f'<script type="{WIDGET_STATE_MIMETYPE}">{attributes["body"]}</script>'


def setup(app):
    app.add_post_transform(KeepPicture)
    app.connect("html-page-context", state_after_text, priority=900)
    app.add_css_file("normcore.css")
    app.add_js_file("normcore.js", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
