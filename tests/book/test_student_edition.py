"""Two editions of the book, and a search for secrets in every published byte."""

import gzip
import io
import json
import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from normext import student_edition
from sphinx.errors import ExtensionError

from grading import leaks
from grading.course import SOURCES

ROOT = Path(__file__).parents[2]

CHAPTER = """---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# Chapter

Public words.

```{code-cell} ipython3
public_value = 3
print(f"public output {public_value}")
```

:::{tip} A container
```{exercise} By hand
:label: ex-plain

What is the mean?
```

```{solution} ex-plain
:class: dropdown

The plainsecret answer is **three**, by symmetry alone.
```
:::

`````{exercise-start} By program
:label: ex-gated
`````

Compute it.

`````{exercise-end}
`````

`````{solution-start} ex-gated
:class: dropdown
`````

Here the gatedsecret words explain the program.

```{code-cell} ipython3
codesecret_result = [value * 2 for value in range(4)]
print("outputsecret", sum(codesecret_result))
```

:::{note}
A notesecret inside of the solution.
:::

`````{solution-end}
`````

More public words after the solution.

```
```{solution-start} shown-as-text
```
""".replace("```\n```{solution-start} shown-as-text\n```\n", "````\n```{solution-start} shown-as-text\n```\n````\n")
WORDS = ("plainsecret", "gatedsecret", "codesecret", "outputsecret", "notesecret")


def build(folder, edition, chapter=CHAPTER):
    """Build a small book with the project's own extensions; return the run and the output folder."""
    (folder / "book").mkdir(parents=True)
    (folder / "index.md").write_text("# Small book\n\nA page with {doc}`book/chapter` and {doc}`book/assignments`.\n")
    (folder / "book" / "chapter.md").write_text(chapter)
    (folder / "book" / "assignments.md").write_text(
        "# Assignments\n\n"
        + "\n".join(
            f"- {{download}}`{s.stem} <assignments/{s.stem}.ipynb>`" for s in sorted(SOURCES.glob("*.md"))
        )
        + "\n"
    )
    (folder / "grading").symlink_to(ROOT / "grading")
    (folder / "references.bib").write_text("")
    (folder / "_toc.yml").write_text(
        "format: jb-book\nroot: index\nchapters:\n- file: book/chapter\n- file: book/assignments\n"
    )
    (folder / "_config.yml").write_text(
        json.dumps(
            {
                "title": "Small",
                "author": "x",
                "bibtex_bibfiles": ["references.bib"],
                "only_build_toc_files": True,
                "exclude_patterns": ["grading", "book/assignments/*", "_*"],
                "execute": {"execute_notebooks": "cache", "timeout": 60},
                "parse": {"myst_enable_extensions": ["colon_fence"]},
                "sphinx": {
                    "extra_extensions": ["sphinx_exercise"],
                    "local_extensions": {
                        f"normext.{name}": str(ROOT / "book") for name in ("notebooks", "student_edition")
                    },
                    "config": {"exercise_style": "solution_follow_exercise"},
                },
            }
        )
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("EDITION", "NORMCORE_LIVE")}
    run = subprocess.run(
        [
            Path(sys.executable).parent / "jupyter-book",
            "build",
            ".",
            "-W",
            "-n",
            "--keep-going",
            "--path-output",
            "out",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=environment | ({"EDITION": edition} if edition else {}),
    )
    return run, folder / "out"


def build_both(folder):
    """Build the small book in both editions."""
    for edition in ("", "student"):
        run, _ = build(folder / (edition or "public"), edition)
        assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]


@pytest.fixture(scope="module")
def books(once):
    folder, _ = once("small-book", build_both)
    return {"": folder / "public" / "out", "student": folder / "student" / "out"}


def words_in(folder):
    """{word: files} for the secret words, in all that a build wrote."""
    secrets = {word: word for word in WORDS}
    found = leaks.leaks(folder, secrets)
    return {word: sorted(Path(line.split(": ")[0]).name for line in found if line.endswith(word)) for word in WORDS}


@pytest.mark.slow
def test_the_public_edition_has_executed_solutions(books):
    found = words_in(books[""])
    page = (books[""] / "_build" / "html" / "book" / "chapter.html").read_text()
    assert "outputsecret 12" in page and "dropdown" in page
    for word in WORDS:
        assert {"chapter.html", "chapter.md", "chapter.ipynb", "searchindex.js"} <= set(found[word]), word


@pytest.mark.slow
def test_the_students_edition_has_none_in_any_byte(books):
    assert words_in(books["student"]) == {word: [] for word in WORDS}
    secrets = {
        leaks.squeeze(line): line
        for line in leaks.read_simply(CHAPTER)[1]
        if len(leaks.squeeze(line)) > 11 and not line.startswith((":", "`"))
    }
    assert len(secrets) == 5
    assert leaks.leaks(books["student"], secrets) == []
    page = (books["student"] / "_build" / "html" / "book" / "chapter.html").read_text()
    assert "By program" in page and "More public words" in page and "public output 3" in page


@pytest.mark.slow
def test_the_students_edition_still_offers_sources_notebooks_and_a_search(books):
    html = books["student"] / "_build" / "html"
    assert "More public words" in (html / "_sources" / "book" / "chapter.md").read_text()
    notebook = json.loads((html / "_sources" / "book" / "chapter.ipynb").read_text())
    assert any("public_value = 3" in "".join(c["source"]) for c in notebook["cells"])
    assert "chapter" in (html / "searchindex.js").read_text()
    assert list((books["student"] / "_build").glob(".jupyter_cache/**/base.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("edition", ["", "student"])
def test_both_editions_carry_student_notebooks_and_no_graded_secret(books, edition):
    html = books[edition] / "_build" / "html"
    names = {p.name for p in html.glob("_downloads/*/*.ipynb")}
    assert names == {f"{s.stem}.ipynb" for s in SOURCES.glob("*.md")}
    live = {p.name for p in (books[edition] / "_build" / "notebooks" / "lite").glob("*.ipynb")}
    assert live == (names - {"small-batches.ipynb"}) | {"chapter.ipynb"}
    secrets = leaks.hidden_lines(student=False)
    assert len(secrets) > 100
    assert leaks.leaks(books[edition], secrets) == []


@pytest.mark.slow
def test_the_published_site_shows_no_graded_secret():
    """The book that `make book` built, and the students' where it was built."""
    site = ROOT / "_build" / "html"
    assert site.is_dir(), f"{site} is missing: run `make book` first"
    assert leaks.leaks(site, leaks.hidden_lines(student=False)) == []
    if (students := ROOT / "_build/student" / "_build").is_dir():
        assert leaks.leaks(students, leaks.hidden_lines(student=True)) == []


SECRET = 'check_close(y, expected_by_hand, "line \\"one\\" of <two>", tol=1e-3)'


@pytest.mark.parametrize("hide", ["text", "html", "json", "json in json", "zip in zip", "gzip", "utf-16"])
def test_the_search_finds_a_secret_wherever_it_hides(tmp_path, hide):
    notebook = json.dumps({"cells": [{"source": ["x = 1\n", f"    {SECRET}\n"]}]})

    def packed(name, data):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, data)
        return out.getvalue()

    data = {
        "text": f"a\n   {SECRET}\n".encode(),
        "html": (
            b'<pre><span class="n">check_close</span><span class="p">(</span>y<span>,</span> expected_by_hand, '
            b"<span>&quot;line </span>\\&quot;one\\&quot; of &lt;two&gt;&quot;, tol=<b>1e-3</b>)</pre>"
        ),
        "json": notebook.encode(),
        "json in json": json.dumps({"file": notebook}).encode(),
        "zip in zip": packed("a.zip", packed("b.ipynb", notebook)),
        "gzip": gzip.compress(notebook.encode()),
        "utf-16": SECRET.encode("utf-16"),
    }[hide]
    secrets = {leaks.squeeze(SECRET): "the secret"}
    (tmp_path / "harmless.txt").write_text("check_close(y, something_else)")
    assert leaks.leaks(tmp_path, secrets) == []
    (tmp_path / "file.bin").write_bytes(data)
    assert leaks.leaks(tmp_path, secrets) == [
        f"{tmp_path / 'file.bin'}{'!a.zip!b.ipynb' if 'zip in' in hide else ''}"
        f"{'!' if hide == 'gzip' else ''}: the secret"
    ]


SLIPS = {
    "misspelt start": ("{solution-start} ex", "{soluton-start} ex"),
    "misspelt end": ("{solution-end}", "{solution-ende}"),
    "misspelt plain": ("```{solution} ex-plain", "```{soluton} ex-plain"),
    "capitals": ("{solution-start} ex", "{Solution-Start} ex"),
    "all capitals": ("```{solution} ex-plain", "```{SOLUTION} ex-plain"),
    "underscore": ("{solution-start} ex", "{solution_start} ex"),
    "space": ("{solution-start} ex", "{ solution start} ex"),
    "missing end": ("`````{solution-end}\n`````\n", ""),
    "missing start": ("`````{solution-start} ex-gated\n:class: dropdown\n`````\n", ""),
    "fence too short": ("```{solution} ex-plain", "``{solution} ex-plain"),
    "no closing brace": ("```{solution} ex-plain", "```{solution ex-plain"),
    "no opening brace": ("```{solution} ex-plain", "```solution} ex-plain"),
    "no braces": ("`````{solution-end}", "`````solution-end"),
    "an exercise before the end": ("Here the gatedsecret", "```{exercise} New\n```\n\nHere the gatedsecret"),
}


# Solutions in places where a reader of lines would miss them: taken out, or the build stops.
PLACES = {
    "a quote": "> ```{solution} ex-plain\n> The plainsecret answer\n> ```\n",
    "a quote in a quote": "> > ~~~{solution} ex-plain\n> > The plainsecret answer\n> > ~~~\n",
    "a list": "- one\n\n  ```{solution} ex-plain\n  The plainsecret answer\n  ```\n",
    "a numbered list": "1. one\n\n   ````{solution} ex-plain\n   The plainsecret answer\n   ````\n",
    "on the list's own line": "- ```{solution} ex-plain\n  The plainsecret answer\n  ```\n",
    "a table": "| a | b |\n|---|---|\n| ```{solution} ex-plain | The plainsecret answer |\n",
    "reStructuredText": "```{eval-rst}\n.. solution:: ex-plain\n\n   The plainsecret answer\n```\n",
    "reStructuredText in a note": (
        "```{eval-rst}\n.. note::\n\n   .. Solution:: ex\n\n      The plainsecret answer\n```\n"
    ),
    "a comment of HTML": "<!-- ```{solution} ex-plain\nThe plainsecret answer\n``` -->\n",
    "a comment": "% ```{solution} ex-plain\n% The plainsecret answer\n% ```\n",
    "indented like code": "text\n\n    ```{solution} ex-plain\n    The plainsecret answer\n    ```\n",
    "a footnote": "[^1]: ```{solution} ex-plain\n    The plainsecret answer\n    ```\n",
    "a definition": "Term\n: ```{solution} ex-plain\n  The plainsecret answer\n  ```\n",
    "directives in directives": (
        "`````{note}\n````{tip}\n```{solution} ex-plain\nThe plainsecret answer\n```\n````\n`````\n"
    ),
    "colons in a quote": "> :::{solution} ex-plain\n> The plainsecret answer\n> :::\n",
    "a longer closing fence": "```{solution} ex-plain\nThe plainsecret answer\n``````\n",
    "never closed in a quote": "> ```{solution} ex-plain\n> The plainsecret answer\n",
    "gates in a quote": "> ```{solution-start} ex\n> ```\n>\n> The plainsecret answer\n>\n> ```{solution-end}\n> ```\n",
    "a tab": "\t```{solution} ex-plain\n\tThe plainsecret answer\n\t```\n",
    "an invisible character": "```{sol\u200bution} ex-plain\nThe plainsecret answer\n```\n",
    "wide letters": "```{\uff53olution} ex-plain\nThe plainsecret answer\n```\n",
    "an admonition": ":::{admonition} Solution\n:class: dropdown\nThe plainsecret answer\n:::\n",
    "another file": "```{include} solutions.txt\n```\nplainsecret",
    "a substitution": (
        "---\nmyst:\n  substitutions:\n    s: |\n      ```{solution} x\n      plainsecret\n      ```\n---\n"
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_solution_in_any_place_is_taken_out_or_stops_the_build(place):
    try:
        whole = PLACES[place] if place == "a substitution" else f"# Chapter\n\n{PLACES[place]}\nPublic.\n"
        published = student_edition.without_solutions(whole)
    except student_edition.GateError:
        return
    assert "plainsecret" not in published and "Public." in published


@pytest.mark.parametrize("place", [p for p in PLACES if p not in ("another file", "an admonition", "a table")])
def test_the_search_for_leaks_knows_the_solution_without_the_edition_s_parser(place, tmp_path):
    """Were such a text published as it is, the search would find its words or its gate."""
    text = f"# Chapter\n\n{PLACES[place]}\n"
    (tmp_path / "chapter.md").write_text(text)
    _, inside = leaks.read_simply(text)
    words = {leaks.squeeze(line): line for line in inside if len(leaks.squeeze(line)) >= 15}
    assert leaks.published_gates(tmp_path) or leaks.leaks(tmp_path, words) or place in UNSEEN_BY_BOTH


UNSEEN_BY_BOTH = ("an invisible character", "wide letters")  # the edition stops at these

containers = st.recursive(
    st.just("```{solution} ex-deep\nThe deepsecret answer\n```"),
    lambda inner: st.one_of(
        inner.map(lambda text: textwrap.indent(text, "> ", lambda line: True)),
        inner.map(lambda text: "- item\n\n" + textwrap.indent(text, "  ")),
        inner.map(lambda text: "1. item\n\n" + textwrap.indent(text, "   ")),
        inner.map(lambda text: "``````````{note}\n" + text.replace("``````````", "`````````") + "\n``````````"),
        inner.map(lambda text: "::::::{tip} Title\n:class: x\n\n" + text.replace("::::::", ":::::") + "\n::::::"),
    ),
    max_leaves=1,
)


@given(containers, st.booleans())
def test_containers_of_any_depth_hide_no_solution(text, closed):
    if not closed:
        text = text.rsplit("```", 1)[0]
    try:
        published = student_edition.without_solutions(f"Before.\n\n{text}\n\nAfter.\n")
    except student_edition.GateError:
        return
    assert "deepsecret" not in published and "Before." in published and "After." in published


@pytest.mark.slow
@pytest.mark.parametrize("place", ["a quote", "a list", "reStructuredText", "a table"])
def test_a_planted_leak_does_not_survive_the_students_build(tmp_path, place):
    """End to end: the build fails, or nothing that it wrote holds a word of the solution."""
    run, out = build(tmp_path, "student", CHAPTER + "\n" + PLACES[place].replace("ex-plain", "ex-plain2"))
    if run.returncode == 0:
        assert words_in(out) == {word: [] for word in WORDS}
    else:
        assert "no directive here" in run.stdout + run.stderr


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_in_a_gate_is_an_error(slip):
    old, new = SLIPS[slip]
    assert CHAPTER.count(old) == 1
    with pytest.raises(student_edition.GateError):
        student_edition.without_solutions(CHAPTER.replace(old, new))


@pytest.mark.slow
def test_a_slip_stops_the_build_in_both_editions(tmp_path):
    old, new = SLIPS["misspelt start"]
    for edition in ("", "student"):
        run, _ = build(tmp_path / (edition or "public"), edition, CHAPTER.replace(old, new))
        assert run.returncode != 0
        assert "soluton-start" in run.stdout + run.stderr


def test_only_solutions_are_taken_out():
    public, secret = student_edition.split(CHAPTER)
    assert sorted(public + secret) == sorted(CHAPTER.splitlines())
    assert not [word for word in WORDS if word in "\n".join(public)]
    assert "```{solution-start} shown-as-text" in public
    plain = "# No exercises\n\n```python\nx = 1\n```\n"
    assert student_edition.without_solutions(plain) == plain


def test_an_unknown_edition_is_an_error(monkeypatch):
    monkeypatch.setenv("EDITION", "studnet")
    with pytest.raises(ExtensionError):
        student_edition.is_student()


@pytest.mark.parametrize("chapter", sorted(p.name for p in (ROOT / "book").glob("*.md")))
def test_every_chapter_can_be_split(chapter):
    student_edition.split((ROOT / "book" / chapter).read_text(), chapter)
