"""The book's Sphinx extension: one package, each module one subject, and every hook in one list.

It relies on a few things that Sphinx, MyST and the theme keep to themselves; the pins hold them still:
app.events.listeners, app.registry.css_files and the class of a page's scripts (theme), env.temp_data (notebooks),
html_visit_displaymath of myst_parser (formulas), NbMetadataCollector of myst_nb (ledger), its reader of
notebooks (runner), the metadata that
jupyter-cache hashes (execution_key).
"""

import os

from normext import (
    ahead,
    answers,
    cards,
    dials,
    execution_key,
    figures,
    folds,
    formulas,
    heights,
    launch_buttons,
    ledger,
    margins,
    notebooks,
    page_meta,
    playground,
    questions,
    runner,
    search,
    slides,
    student_edition,
    teaching,
    theme,
    vendor,
)

# (event, what is done, priority among all who listen to the event; Sphinx's own default is 500)
HOOKS = (
    # settings
    ("config-inited", execution_key.set_paths, 500),
    ("config-inited", lambda app, config: config.nb_ipywidgets_js.clear(), 500),  # dials need no widget manager
    ("config-inited", vendor.serve, 500),
    ("config-inited", runner.serve, 500),
    ("config-inited", launch_buttons.find_site, 500),
    ("config-inited", theme.choose, 500),
    ("config-inited", page_meta.look, 500),
    ("config-inited", formulas.start, 700),
    ("config-inited", student_edition.keep_apart, 900),
    ("builder-inited", student_edition.publish, 500),
    # reading
    ("env-get-outdated", execution_key.changed, 500),
    ("env-before-read-docs", ahead.execute, 500),
    ("source-read", student_edition.edit, 100),  # first of all: nothing may see a solution that is not to be published
    ("source-read", questions.leave_out, 200),
    ("source-read", execution_key.mark, 500),
    ("env-purge-doc", ledger.forget, 500),
    ("env-merge-info", ledger.merge, 500),
    ("env-updated", ledger.rewrite, 500),
    # writing
    ("doctree-resolved", figures.number_cells, 500),
    ("doctree-resolved", runner.mark, 500),
    ("doctree-resolved", slides.mark, 500),
    ("doctree-resolved", folds.fold, 900),
    ("doctree-resolved", margins.place, 910),
    ("html-page-context", notebooks.offer_download, 400),
    ("html-page-context", page_meta.tags, 500),
    ("html-page-context", student_edition.link_live, 500),
    ("html-page-context", launch_buttons.add_buttons, 600),
    ("html-page-context", runner.add_script, 600),
    ("html-page-context", playground.add_script, 600),
    ("html-page-context", questions.add_script, 600),
    ("html-page-context", answers.add_script, 600),
    ("html-page-context", figures.add_buttons, 940),
    ("html-page-context", dials.move_pictures, 950),
    ("html-page-context", figures.number, 955),
    ("html-page-context", cards.lay_out, 957),
    ("html-page-context", slides.keep, 960),
    ("html-page-context", search.offer, 970),
    ("html-page-context", theme.dress, 990),
    ("html-page-context", heights.dress, 995),
    ("html-collect-pages", page_meta.more_pages, 500),
    # afterwards
    ("build-finished", theme.drop_icon_script, 500),
    ("build-finished", notebooks.write, 500),
    ("build-finished", answers.count, 500),
    ("build-finished", formulas.stop, 500),
    ("build-finished", theme.silence, 500),
    ("build-finished", page_meta.for_robots, 500),
    ("build-finished", slides.write, 500),
    ("build-finished", theme.write_styles, 900),
    ("build-finished", student_edition.finish, 900),
    ("build-finished", ledger.remember, 999),
)


def setup(app):
    theme.without_thebe(app)
    folds.add(app)
    margins.add(app)
    app.add_config_value("pages_key", "", "html", str)
    app.add_config_value("normcore_live", bool(os.environ.get("NORMCORE_LIVE")), "html", bool)
    formulas.add_renderer(app)
    ledger.add_directive(app)
    questions.add_directive(app)
    teaching.add_directive(app)
    answers.add_directives(app)
    theme.add(app)
    for event, hook, priority in HOOKS:
        app.connect(event, hook, priority=priority)
    return {"version": "1", "env_version": 2, "parallel_read_safe": True, "parallel_write_safe": False}
