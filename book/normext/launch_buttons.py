"""Buttons that run a chapter: in this page, and on the services that know the repository.

* The live notebooks (`make site`, which sets NORMCORE_LIVE): every chapter gets a header button that opens it as a
  notebook, and below its title a control that puts that notebook into the page.  Nothing is downloaded before a click.
* Binder, Colab and Codespaces: as soon as `repository: url` in _config.yml is set, and not before.

`make book` alone sets neither, and its pages show neither.
"""

import re
from urllib.parse import quote

from normext.notebooks import chapters, repository

SIZE = "29 MB"  # what a browser downloads for a chapter, the first time; tests/site/test_live.py compares
LABEL = "Run in your browser"

CONTROL = """
<details class="nc-live">
<summary>Run this chapter in the page <small>({size}, once)</small></summary>
<p class="nc-live-note">Python starts here, in your browser, with this chapter as a notebook.
<a href="{url}" target="_blank" rel="noopener">Open it in a tab of its own</a> for more room.</p>
<iframe data-src="{url}" title="This chapter as a live notebook"></iframe>
</details>
"""


def find_site(app, config):
    """With a repository on GitHub and no other address set, the book lives on its Pages."""
    match = re.fullmatch(r"https://github\.com/([^/]+)/([^/]+)", repository(config))
    if match and not config.html_baseurl:
        config.html_baseurl = f"https://{match[1].lower()}.github.io/{match[2]}/"


def add_buttons(app, pagename, templatename, context, doctree):
    if doctree is None or pagename not in chapters(app):
        return
    name = pagename.rpartition("/")[2] + ".ipynb"
    buttons = context["header_buttons"]
    services = services_for(repository(app.config), name, context["pathto"])
    if services:
        group = {"type": "group", "icon": "fas fa-rocket", "label": "launch-buttons", "buttons": services}
        buttons.insert(0, {**group, "tooltip": "Run this chapter elsewhere"})
    if app.config.normcore_live:
        url = context["pathto"]("lite/notebooks/index.html", 1) + f"?path={quote(name)}"
        buttons.insert(0, link(LABEL, url, "fas fa-play", f"{LABEL} ({SIZE}, once)", "live-button"))
        if pagename != app.config.root_doc:
            control = CONTROL.format(url=url, size=SIZE)
            context["body"] = context["body"].replace("</h1>", "</h1>" + control, 1)


def services_for(repo, name, pathto):
    """The buttons of the services that start from a repository on GitHub."""
    match = re.fullmatch(r"https://github\.com/([^/]+/[^/]+)", repo)
    if not match:
        return []
    full = match[1]
    binder = f"https://mybinder.org/v2/gh/{full}/HEAD?urlpath={quote(f'lab/tree/lab/{name}')}"
    colab = f"https://colab.research.google.com/github/{full}/blob/notebooks/{quote(name)}"
    return [
        link("Binder", binder, "_static/images/logo_binder.svg", "Start it on Binder"),
        link("Colab", colab, "_static/images/logo_colab.png", "Open it in Colab"),
        link("Codespaces", f"https://codespaces.new/{full}", "fas fa-code", "Open the repository in Codespaces"),
    ]


def link(text, url, icon, tooltip, label=""):
    return {"type": "link", "text": text, "url": url, "icon": icon, "tooltip": tooltip, "label": label}
