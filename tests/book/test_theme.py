"""The style sheet that all pages share."""

from types import SimpleNamespace

import pytest
from normext import theme
from sphinx.errors import ExtensionError


def test_a_build_that_writes_no_page_leaves_the_sheet_alone(tmp_path):
    """Pages say which sheets they need; where none was written, nobody did."""
    sheet = tmp_path / "_static" / theme.STYLE
    sheet.parent.mkdir()
    sheet.write_text("what the last build wrote")
    app = SimpleNamespace(outdir=tmp_path)
    theme.choose(app, SimpleNamespace(html_theme_options={}, templates_path=[]))
    theme.write_styles(app, None)
    assert sheet.read_text() == "what the last build wrote"


def test_the_parents_script_leaves_what_is_folded_alone(tmp_path):
    script = tmp_path / "parent.js"
    script.write_text(f"const e=()=>{{document.querySelectorAll({theme.PARENTS_SCROLLERS}).forEach(look)}}")
    for _ in range(2):  # the second build finds what the first one wrote
        theme.leave_folded(script)
        assert script.read_text() == 'const e=()=>{document.querySelectorAll("[data-nobody]").forEach(look)}'


def test_a_parents_script_that_names_other_things_stops_the_build(tmp_path):
    script = tmp_path / "parent.js"
    script.write_text('const e=()=>{document.querySelectorAll("pre, .new").forEach(look)}')
    with pytest.raises(ExtensionError, match=r"parent\.js names what may scroll 0 times"):
        theme.leave_folded(script)
