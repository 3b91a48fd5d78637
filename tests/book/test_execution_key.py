"""A chapter is executed anew when the code that it imports changes, and not otherwise."""

import re
from pathlib import Path
from types import SimpleNamespace

import jupytext
import pytest
from normext import execution_key

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted(path for path in (ROOT / "book").glob("*.md") if execution_key.FRONT.match(path.read_text("utf8")))

CHAPTER = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# Chapter

```{code-cell} ipython3
%matplotlib inline
```

```{code-cell} ipython3
def later():
    from normbook.figures.one import draw
```
"""


@pytest.fixture
def small(tmp_path):
    """A tree with two figures modules; the first reads a data file and imports normcore relatively."""
    for folder in ("normcore", "normbook", "normbook/figures"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("")
    (tmp_path / "normcore/functional.py").write_text("from ._blocks import Block\n")
    (tmp_path / "normcore/_blocks.py").write_text("")
    (tmp_path / "normbook/style.py").write_text("import normcore.functional\n")
    (tmp_path / "normbook/figures/one.py").write_text("from ..style import BLUE\nFILE = 'numbers.npz'\n")
    (tmp_path / "normbook/figures/two.py").write_text("")
    (tmp_path / "normbook/figures/numbers.npz").write_bytes(b"1")
    (tmp_path / "normbook/figures/others.npz").write_bytes(b"1")
    return tmp_path


def test_a_release_executes_nothing(small):
    module = small / "normcore" / "__init__.py"
    keys = []
    for text in ('__version__ = "1.0.0"\n', '__version__ = "2.0.0"\n', '__version__ = "2.0.0"\nx = 1\n'):
        module.write_text(text)
        keys.append(execution_key.key(CHAPTER, small))
    assert keys[0] == keys[1] != keys[2]


def test_the_closure_follows_imports_and_data(small):
    found = {str(file.relative_to(small)) for file in execution_key.closure(CHAPTER, small)}
    assert found == {
        "normcore/__init__.py", "normcore/functional.py", "normcore/_blocks.py", "normbook/__init__.py",
        "normbook/style.py", "normbook/figures/__init__.py", "normbook/figures/one.py", "normbook/figures/numbers.npz",
    }  # fmt: skip


@pytest.mark.parametrize(
    "cell",
    [
        "%matplotlib inline\nfrom normbook.figures.two import draw",
        "%%time\nimport numpy as np\nfrom normbook.figures import two",
        "%%capture\n%%time\nfrom normbook.figures import (\n    one as first,  # a comment\n    two,\n)",
        "files = !ls\nimport numpy, normbook.figures.two as pictures",
        "if True:\n    %timeit -n 1 import normbook.figures.two; pass",
        "!ls\nfrom normbook.figures import \\\n    two",
    ],
)
def test_a_cell_with_a_magic_imports_too(small, cell):
    two = small / "normbook/figures/two.py"
    names = set(execution_key.imported(cell))
    assert two in execution_key.modules(names, small)
    before = execution_key.key(chapter := CHAPTER.replace("%matplotlib inline", cell), small)
    two.write_text("# a comment\n")
    assert execution_key.key(chapter, small) != before


@pytest.mark.parametrize("cell", ["%%bash\nls -la | wc", "%matplotlib inline", "def f(:", "import", "from x import"])
def test_what_imports_nothing_of_ours(small, cell):
    assert execution_key.modules(execution_key.imported(cell), small) == set()


@pytest.mark.parametrize(
    ("file", "matters"),
    [
        ("normcore/_blocks.py", True),
        ("normbook/style.py", True),
        ("normbook/figures/one.py", True),
        ("normbook/figures/numbers.npz", True),
        ("normbook/figures/two.py", False),
        ("normbook/figures/others.npz", False),
    ],
)
def test_a_comment_changes_the_key_of_the_chapters_that_import_it(small, file, matters):
    before = execution_key.key(CHAPTER, small)
    (small / file).write_bytes((small / file).read_bytes() + b"# a comment\n")
    assert (execution_key.key(CHAPTER, small) != before) == matters


def test_the_pins_count_and_a_page_without_code_has_no_key(small):
    before = execution_key.key(CHAPTER, small)
    (small / "requirements.txt").write_text("numpy==2\n")
    assert execution_key.key(CHAPTER, small) != before
    assert execution_key.key("# A page\n", small) == ""


def test_the_key_goes_into_the_kernelspec_and_nowhere_else(small):
    class App:
        srcdir = small

        class env:
            pass

    source = [CHAPTER]
    execution_key.mark(App, "chapter", source)
    assert re.sub(r"  code: [0-9a-f]{12}\n", "", source[0]) == CHAPTER
    kernelspec = jupytext.reads(source[0], fmt="md:myst").metadata["kernelspec"]
    assert kernelspec["code"] == App.env.normcore_keys["chapter"] and kernelspec["name"] == "python3"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_one_figures_module_matters_to_few_chapters(chapter):
    names = {str(file.relative_to(ROOT)) for file in execution_key.closure(chapter.read_text("utf8"), ROOT)}
    assert "normcore/functional.py" in names
    assert not any(name.startswith("tests") for name in names)
    own = f"normbook/figures/{chapter.stem.replace('-', '_')}.py"
    assert own in names or not (ROOT / own).exists()


LOOKS = ("normext/theme.py", "_static/dials.js", "_theme/layout.html", "_theme/static/narrow.css")


@pytest.mark.parametrize("name", LOOKS)
def test_every_page_is_written_anew_when_its_looks_change(tmp_path, monkeypatch, name):
    """A style sheet goes into the bundle only with the pages that use it."""
    monkeypatch.setenv("NORMCORE_BOOK", "1")
    app, config, file = SimpleNamespace(srcdir=tmp_path), SimpleNamespace(), tmp_path / "book" / name
    file.parent.mkdir(parents=True)
    keys = set()
    for text in ("one", "another"):
        file.write_text(text)
        execution_key.set_paths(app, config)
        keys.add(config.pages_key)
    assert len(keys) == 2
