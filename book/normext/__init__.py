"""The book's Sphinx extension: one package, its parts in the order in which they act."""

from normext import (
    code_key,
    dials,
    editions,
    formulas,
    ledger,
    live,
    notebooks,
    page_meta,
    theme,
    vendor,
    widget_fallback,
)

PARTS = (code_key, vendor, widget_fallback, notebooks, live, dials, formulas, theme, page_meta, ledger, editions)


def setup(app):
    for part in PARTS:
        part.setup(app)
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": False}
