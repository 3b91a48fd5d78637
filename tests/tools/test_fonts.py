"""The typeface: its files are those that tools/fonts.py makes, and they have every character of the book's pictures."""

import ast
import hashlib
import io
import sys

import pytest
from fontTools.ttLib import TTFont
from matplotlib import font_manager
from normext.vendor import Unavailable

from normbook import style

sys.path.insert(0, "tools")
import fonts

BUDGET = 120_000  # bytes of all that a page may load
SOURCES = [*(fonts.ROOT / "normbook" / "figures").glob("*.py"), fonts.ROOT / "normbook" / "style.py"]


@pytest.mark.parametrize("name", fonts.SHA256)
def test_the_files_are_those_that_were_made(name):
    assert hashlib.sha256((fonts.ROOT / name).read_bytes()).hexdigest() == fonts.SHA256[name]


def test_the_pages_load_no_more_than_the_budget():
    files = [fonts.ROOT / fonts.PAGES.format(face) for face in fonts.FACES]
    assert sum(file.stat().st_size for file in files) <= BUDGET
    assert sorted(files) == sorted((fonts.ROOT / "book" / "_static" / "fonts").glob("*.woff2"))


@pytest.mark.slow
def test_the_file_of_the_figures_is_made_anew():
    try:
        made = fonts.made("sans")
    except Unavailable as reason:
        pytest.skip(str(reason))
    assert made == (fonts.ROOT / fonts.FIGURES).read_bytes()


def missing(source):
    """Characters in a program's texts that the typeface has not."""
    known = TTFont(style.FONT).getBestCmap()
    tree = ast.parse(source)
    docs = {id(n.body[0].value) for n in ast.walk(tree) if hasattr(n, "body") and isinstance(n.body, list)
            and n.body and isinstance(n.body[0], ast.Expr)}  # fmt: skip
    texts = (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in docs)
    return {letter for text in texts if isinstance(text, str) for letter in text if ord(letter) not in known} - {"\n"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_typeface_has_what_the_figures_write(path):
    assert not missing(path.read_text("utf8"))


def test_a_character_that_is_not_there_is_found():
    assert missing('ax.set_title("loss ☂ steps")') == {"☂"}


def test_matplotlib_measures_with_this_file():
    assert font_manager.findfont(style.FAMILY, fallback_to_default=False) == str(style.FONT)
    name = TTFont(io.BytesIO(style.FONT.read_bytes()))["name"]
    assert name.getBestFamilyName() == style.FAMILY and "Source" not in name.getBestFullName()
    assert "SIL Open Font License" in name.getDebugName(13)
