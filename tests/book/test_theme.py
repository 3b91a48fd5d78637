"""The style sheet that all pages share."""

from types import SimpleNamespace

from normext import theme


def test_a_build_that_writes_no_page_leaves_the_sheet_alone(tmp_path):
    """Pages say which sheets they need; where none was written, nobody did."""
    sheet = tmp_path / "_static" / theme.STYLE
    sheet.parent.mkdir()
    sheet.write_text("what the last build wrote")
    app = SimpleNamespace(outdir=tmp_path)
    theme.choose(app, SimpleNamespace(html_theme_options={}, templates_path=[]))
    theme.write_styles(app, None)
    assert sheet.read_text() == "what the last build wrote"
