"""The book's Sphinx extension: one package, each module one subject, and every hook in one list.

It relies on a few things that Sphinx, MyST and the theme keep to themselves; the pins hold them still:
app.events.listeners, app.registry.css_files and app.builder.templates.render (theme), env.temp_data (notebooks),
html_visit_displaymath of myst_parser (formulas), NbMetadataCollector of myst_nb (ledger), its reader of
notebooks (runner), the metadata that
jupyter-cache hashes (code_key).
"""

import os

from normext import (
    ahead,
    code_key,
    dials,
    editions,
    formulas,
    ledger,
    live,
    notebooks,
    page_meta,
    runner,
    theme,
    vendor,
)

# (event, what is done, priority among all who listen to the event; Sphinx's own default is 500)
HOOKS = (
    # settings
    ("config-inited", code_key.set_paths, 500),
    ("config-inited", lambda app, config: config.nb_ipywidgets_js.clear(), 500),  # dials need no widget manager
    ("config-inited", vendor.serve, 500),
    ("config-inited", runner.serve, 500),
    ("config-inited", live.find_site, 500),
    ("config-inited", theme.choose, 500),
    ("config-inited", page_meta.look, 500),
    ("config-inited", formulas.start, 700),
    ("config-inited", editions.keep_apart, 900),
    ("builder-inited", theme.watch, 500),
    ("builder-inited", editions.publish, 500),
    # reading
    ("env-get-outdated", code_key.changed, 500),
    ("env-before-read-docs", ahead.execute, 500),
    ("source-read", editions.edit, 100),  # first of all: nothing may see a solution that is not to be published
    ("source-read", code_key.mark, 500),
    ("env-purge-doc", ledger.forget, 500),
    ("env-merge-info", ledger.merge, 500),
    ("env-updated", ledger.rewrite, 500),
    # writing
    ("doctree-resolved", runner.mark, 500),
    ("html-page-context", notebooks.offer_download, 400),
    ("html-page-context", page_meta.tags, 500),
    ("html-page-context", editions.link_live, 500),
    ("html-page-context", live.add_buttons, 600),
    ("html-page-context", runner.add_script, 600),
    ("html-page-context", dials.move_pictures, 950),
    ("html-collect-pages", page_meta.more_pages, 500),
    # afterwards
    ("build-finished", theme.drop_icon_script, 500),
    ("build-finished", notebooks.write, 500),
    ("build-finished", formulas.stop, 500),
    ("build-finished", theme.silence, 500),
    ("build-finished", page_meta.for_robots, 500),
    ("build-finished", theme.write_styles, 900),
    ("build-finished", editions.finish, 900),
)
SCRIPTS = ("normcore.js", "dials.js", "theme.js")
STYLES = {"normcore.css": 500, "dials.css": 500, "runner.css": 500, "ledger.css": 500, "theme.css": 900}


def setup(app):
    theme.without_thebe(app)
    app.add_config_value("pages_key", "", "html", str)
    app.add_config_value("normcore_live", bool(os.environ.get("NORMCORE_LIVE")), "html", bool)
    formulas.add_renderer(app)
    ledger.add_directive(app)
    app.add_js_file(None, body=theme.THEME_MODE, priority=0)
    for script in SCRIPTS:
        app.add_js_file(script, loading_method="defer")
    for style, priority in STYLES.items():
        app.add_css_file(style, priority=priority)
    for event, hook, priority in HOOKS:
        app.connect(event, hook, priority=priority)
    return {"version": "1", "env_version": 2, "parallel_read_safe": True, "parallel_write_safe": False}
