"""The notebooks made from the chapters, and the folder that `make lab` keeps."""

import importlib.util
import json
import os
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from normext import notebooks

ROOT = Path(__file__).parents[2]
SITE = Path(os.environ.get("SITE", ROOT / "_build" / "html")).resolve()
MADE = sorted((SITE / "_sources").rglob("*.ipynb")) + sorted((SITE.parent / "notebooks").rglob("*.ipynb"))


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lab = load(ROOT / "tools" / "lab.py")

BOOK = notebooks.Book(
    doc="book/here",
    titles={"book/here": "Here", "book/there": "There", "index": "Start"},
    chapters=frozenset({"book/here", "book/there"}),
    labels={"far": ("book/there", "far", "Far away")},
    equations={"eq-mean": 3},
    exercises={"ex-one": "2"},
    glued={"ratio": "0.123", "name": "a\u202fword"},
    papers={"wu2018": ("Wu and He", "2018", "https://example.org/wu"), "old": ("Old", "1900", "")},
)


def translate(text, book=BOOK):
    return notebooks.Translator(book).cell(text)


@pytest.mark.parametrize(
    "source, wanted",
    [
        ("see {doc}`there`", "see [There](there.ipynb)"),
        ("see {doc}`this <there>`", "see [this](there.ipynb)"),
        ("see [that](there.md#far)", "see [that](there.ipynb)"),
        ("{ref}`far` and {ref}`there <far>`", "[Far away](there.ipynb) and [there](there.ipynb)"),
        ("{ref}`ex-one`, {eq}`eq-mean`", "Exercise 2, (3)"),
        ("{glue:text}`ratio:.1f` {glue:text}`ratio` {glue:text}`name`", "0.1 0.123 a\u202fword"),
        ("{cite:t}`wu2018` say", "[Wu and He (2018)](https://example.org/wu) say"),
        ("so {cite:p}`wu2018,old`", "so ([Wu and He, 2018](https://example.org/wu); Old, 1900)"),
        ("{func}`normcore.batch_norm`, {class}`~normcore.BatchNorm`", "`normcore.batch_norm()`, `BatchNorm`"),
        ("- ```python\n  x = 1\n  ```", "- ```python\n  x = 1\n  ```"),
        ("> :::{tip}\n> Go {doc}`there`.\n> :::", "> > **Tip**\n> >\n> > Go [There](there.ipynb)."),
        ("`{doc}` and ``{ref}`x` `` are code", "`{doc}` and ``{ref}`x` `` are code"),
        ("$\\frac{a}{b}`$", "$\\frac{a}{b}`$"),
        ("$$x = 1$$ (eq-mean)", "$$\nx = 1 \\tag{3}\n$$"),
        ("```python\n{doc}`x`\n```", "```python\n{doc}`x`\n```"),
        (":::{tip}\nGo {doc}`there`.\n:::", "> **Tip**\n>\n> Go [There](there.ipynb)."),
        (":::{admonition} Look *here*\n:class: tip\nText\n:::", "> **Look *here***\n>\n> Text"),
        ("(far)=\n## Far away", '<a id="far"></a>\n\n## Far away'),
        ("% a comment\ntext", "text"),
        (
            "````{exercise} Add\n:label: ex-one\nHow much?\n````\n```{solution} ex-one\n:class: dropdown\nTwo.\n```",
            "### Exercise 2: Add\n\nHow much?\n\n"
            "<details><summary><b>Solution of Exercise 2</b></summary>\n\nTwo.\n\n</details>",
        ),
    ],
)
def test_translation(source, wanted):
    assert translate(source) == wanted


@pytest.mark.parametrize(
    "source, complaint",
    [
        ("```{mermaid}\n```", "the directive {mermaid}"),
        ("{index}`x`", "the role {index}"),
        ("{math}`x`", "the role {math}"),
        ("```{figure} x.png\n```", "the directive {figure}"),
        ("{doc}`nowhere`", "no page nowhere"),
        ("{ref}`nowhere`", "no place is called nowhere"),
        ("{eq}`none`", "no equation none"),
        ("{glue:text}`none`", "no measured value none"),
        ("{cite:p}`none`", "no paper none"),
        (":::{note}\nopen", "never closed"),
        ("![x](none.png)", "no picture none.png"),
    ],
)
def test_what_it_does_not_know_is_named(source, complaint):
    with pytest.raises(notebooks.Unknown, match=re.escape(complaint)):
        translate(source)


def test_code_of_the_package_is_cut_out(tmp_path):
    code = "import x\n\n\n@x\ndef f():\n    return 1\n\n\nclass C:\n    def g(self):\n        pass\n"
    (tmp_path / "code.py").write_text(code)
    book = BOOK._replace(folder=tmp_path)
    whole = translate("```{literalinclude} code.py\n:pyobject: f\n:language: python\n```", book)
    assert whole == "```python\n@x\ndef f():\n    return 1\n```"
    method = translate("```{literalinclude} code.py\n:pyobject: C.g\n```", book)
    assert method == "```python\ndef g(self):\n    pass\n```"
    for options in (":pyobject: gone", ":lines: 1-2"):
        with pytest.raises(notebooks.Unknown):
            translate(f"```{{literalinclude}} code.py\n{options}\n```", book)


def test_links_of_a_notebook_that_travels_alone():
    alone = BOOK._replace(siblings=False)
    assert translate("{doc}`there`", alone) == "There"
    published = alone._replace(site="https://example.org/book/")
    assert translate("{ref}`far`", published) == "[Far away](https://example.org/book/book/there.html#far)"


CHAPTER = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {name: python3, display_name: Python 3, language: python}
---
# Title

```{code-cell} ipython3
:tags: [needs-torch]
import torch
```

`````{solution-start} ex-one
:class: dropdown
`````

So it is:

```{code-cell} ipython3
1 + 1
```

`````{solution-end}
`````

After.
"""


def cells_of(text):
    return [(cell["cell_type"], "".join(cell["source"]), cell["metadata"]) for cell in json.loads(text)["cells"]]


def test_cells():
    title, torch, solution, code, after = cells_of(notebooks.notebook(CHAPTER, BOOK))
    assert title[1] == "# Title" and after[1] == "After."
    assert torch[1] == "import torch"
    assert solution[1] == "<details><summary><b>Solution of Exercise 2</b></summary>\n\nSo it is:\n\n</details>"
    assert code[1] == "# @title Solution of Exercise 2\n1 + 1"
    assert code[2] == {"cellView": "form", "jupyter": {"source_hidden": True}}
    assert notebooks.notebook(CHAPTER, BOOK) == notebooks.notebook(CHAPTER, BOOK)


def test_cells_that_need_torch_say_so_in_a_browser():
    source = cells_of(notebooks.notebook(CHAPTER, BOOK, browser=True))[1][1]
    assert source.startswith("print(") and "PyTorch" in source and source.endswith("# import torch")
    with pytest.raises(notebooks.Unknown, match="without the tag needs-torch"):
        notebooks.notebook(CHAPTER.replace(":tags: [needs-torch]\n", ""), BOOK)


@pytest.mark.skipif(not MADE, reason="no notebooks: `make book` makes them")
@pytest.mark.parametrize("path", MADE, ids=lambda p: "/".join(p.parts[-2:]))
def test_no_raw_myst_is_left(path):
    for kind, source, _ in cells_of(path.read_text("utf8")):
        if kind == "markdown":
            text = re.sub(r"```.*?```|`[^`]*`|\$[^$]*\$", "", source, flags=re.S)
            assert not re.search(r"^ *(:::|```+\{|~~~+\{|\([\w-]+\)=)|\{[a-z:]+\}`", text, re.M), source
            assert not re.search(r"\]\([^)]*\.md[)#]", text), source
    first = cells_of(path.read_text("utf8"))[0]
    assert ("find_spec" in first[1]) == ("_sources" in path.parts)


# ---- make lab ----


@pytest.fixture
def folders(tmp_path):
    made, own = tmp_path / "made", tmp_path / "own"
    made.mkdir()
    return made, own


def put(folder, source, name="a.ipynb", count=None):
    cells = [{"cell_type": "code", "source": source, "execution_count": count, "outputs": [], "metadata": {}}]
    (folder / name).write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


def get(folder, name="a.ipynb"):
    return json.loads((folder / name).read_text())["cells"][0]["source"]


def test_lab_renews_what_the_reader_has_not_touched(folders):
    made, own = folders
    put(made, "1")
    lab.main(own, made)
    put(own, "1", count=7)  # run, not changed
    put(made, "2")
    lab.main(own, made)
    assert get(own) == "2"


@pytest.mark.parametrize("what", ["nothing", "the chapter", "its questions", "quoted code", "a number", "a title"])
def test_notebooks_are_made_anew_when_what_they_are_made_from_changed(tmp_path, what, monkeypatch):
    page, bank, code = (tmp_path / at for at in ("book/here.md", "book/questions/here.yml", "normcore/functional.py"))
    for file in (page, bank, code):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("before")
    app = SimpleNamespace(srcdir=tmp_path, env=SimpleNamespace(doc2path=lambda doc: page), config=None)
    monkeypatch.setattr(notebooks, "setup_cell", lambda config: "")
    known = BOOK._replace(folder=page.parent)
    before = notebooks.inputs_of(app, known)
    changed = {"the chapter": page, "its questions": bank, "quoted code": code}
    if what in changed:
        changed[what].write_text("after")
    elif what == "a number":
        known = known._replace(glued={**known.glued, "ratio": "0.124"})
    elif what == "a title":
        known = known._replace(titles={**known.titles, "book/there": "Elsewhere"})
    assert (notebooks.inputs_of(app, known) == before) == (what == "nothing")


def test_lab_never_writes_to_what_the_reader_has_changed(folders, capsys):
    made, own = folders
    put(made, "1")
    lab.main(own, made)
    put(own, "mine")
    lab.main(own, made)
    assert get(own) == "mine" and sorted(p.name for p in own.glob("*.ipynb")) == ["a.ipynb"]
    put(made, "2")
    lab.main(own, made)
    assert get(own) == "mine" and get(own, "a.new.ipynb") == "2"
    assert "a.new.ipynb" in capsys.readouterr().out
    lab.main(own, made)
    put(made, "3")
    lab.main(own, made)
    assert get(own) == "mine" and get(own, "a.new.ipynb") == "3"


def test_lab_without_a_book_says_what_to_do(folders):
    made, own = folders
    with pytest.raises(SystemExit, match="make book"):
        lab.main(own, made)


def test_lab_is_not_under_version_control():
    asked = subprocess.run(["git", "check-ignore", "lab/scaling.ipynb"], cwd=ROOT, capture_output=True)
    if asked.returncode == 128:
        pytest.skip("not a git repository")
    assert asked.returncode == 0, "git would see the reader's notebooks"
