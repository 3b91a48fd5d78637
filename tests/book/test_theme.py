"""The style sheet that all pages share."""

import re
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


def test_a_program_says_how_many_lines_it_has():
    """narrow.css keeps their place; the last line break of a program begins no line."""
    pattern = next(theirs for theirs, ours in theme.MENDS if ours is theme.counted)
    page = '<div class="highlight"><pre>a = 1\n\n<b>c</b>\n</pre></div><div class="highlight"><pre>d</pre>'
    mended = re.sub(pattern, theme.counted, page, flags=re.S)
    assert re.findall(r"--nc-lines: (\d+)", mended) == ["3", "1"]
    assert re.sub(r' style="--nc-lines: \d+"', "", mended) == page
