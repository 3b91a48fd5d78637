"""The ledger of claims: complete, or the build fails."""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from normext import ledger

from normbook.evidence import CLAIMS, EXPLANATIONS

ROOT = Path(__file__).parents[2]

CLAIM_LIST = """
- claim: 1
  says: Scaling <repairs> it.
  answers: {one: ""}
- claim: 3
  says: Another word for contrast.
  answers: {one: a, two: b}
"""
ANSWER = {"word": "holds when", "condition": "it rains & pours", "number": "0.93 ± 0.02"}


def chapter(path, **answers):
    """A notebook that was executed before, with these answers glued: {"claim_03a": {...}}."""
    outputs = [
        nbformat.v4.new_output(
            "display_data",
            {"application/papermill.record/text/plain": repr(json.dumps(answer))},
            metadata={"scrapbook": {"name": key.replace("_", "-"), "mime_prefix": "application/papermill.record/"}},
        )
        for key, answer in answers.items()
    ]
    text = f"# Chapter {path.stem}\n\n```{{admonition}} Verdict on claim 3, in part\nSo.\n```"
    cells = [nbformat.v4.new_markdown_cell(text), nbformat.v4.new_code_cell("1", outputs=outputs)]
    metadata = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)


def build(book):
    return subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-n", str(book), str(book / "_build" / "html")],
        capture_output=True,
        text=True,
    )


@pytest.fixture
def book(tmp_path):
    """A book with a ledger and two chapters that answer everything."""
    (tmp_path / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT / 'book')!r})\nextensions = ['myst_nb', 'normext.ledger']\n"
        f"nb_execution_mode = 'off'\nhtml_theme = 'basic'\nhtml_static_path = [{str(ROOT / 'book/_static')!r}]\n"
        "exclude_patterns = ['_build']\n"
    )
    (tmp_path / "index.md").write_text(
        "# Book\n\n```{tally} claims.yml\n:ledger: all\n```\n\n```{toctree}\none\ntwo\nverdicts\n```\n"
    )
    (tmp_path / "verdicts.md").write_text("(all)=\n# Verdicts\n\n```{ledger}\n```\n")
    (tmp_path / "claims.yml").write_text(CLAIM_LIST)
    chapter(tmp_path / "one.ipynb", claim_01={"claim": 1, **ANSWER}, claim_03a={"claim": 3, **ANSWER}, other=1)
    chapter(tmp_path / "two.ipynb", claim_03b={"claim": 3, **ANSWER, "word": "does not hold"})
    return tmp_path


def page(book):
    return (book / "_build/html/verdicts.html").read_text("utf8")


@pytest.mark.slow
def test_with_every_answer_the_build_passes_and_the_table_is_complete(book):
    done = build(book)
    assert (done.returncode, done.stderr) == (0, "")
    text = page(book)
    assert "2 claims, 3 answers: 0 “holds”, 2 “holds when”, 1 “does not hold”, 0 “undecided”." in text
    rows = re.findall(r'<tr role="row" class=[^>]*><th scope="row".*?</tr>', text)
    looks = ['class="nc-holds-when" id="claim-1"', 'class="nc-holds-when" id="claim-3"', 'class="nc-does-not-hold"']
    assert [row.startswith(f'<tr role="row" {look}>') for row, look in zip(rows, looks, strict=True)] == [True] * 3
    first = (book / "_build/html/index.html").read_text("utf8")
    counted = re.findall(r'<li class="nc-([\w-]+)"><a href="verdicts.html#all"><b>(\d)</b>', first)
    assert counted == [("holds-when", "2"), ("does-not-hold", "1")]
    for name, word, said in (("one", "holds-when", "◐ holds when"), ("two", "does-not-hold", "✗ does not hold")):
        box = (book / f"_build/html/{name}.html").read_text("utf8")
        assert re.search(rf'<div class="[^"]*\bnc-{word}\b[^"]*">\s*<p class="admonition-title">[^\n]*: {said}<', box)
    assert [re.search(r"<b>(\d+)</b>", row)[1] for row in rows] == ["1", "3", "3"]
    assert "Scaling &lt;repairs&gt; it." in rows[0] and "it rains &amp; pours" in rows[0]
    assert '0.93 ± 0.02. <a href="one.html">Chapter one</a>' in rows[0]
    assert "does not hold</b>" in rows[2] and 'href="two.html">Chapter two</a>' in rows[2]
    assert '<th scope="col" role="columnheader">Verdict</th>' in text and 'class="nc-table nc-ledger"' in text


@pytest.mark.slow
def test_an_undecided_claim_is_printed_with_the_smallest_effect_that_could_be_seen(book):
    undecided = {"claim": 3, **ANSWER, "word": "undecided", "smallest": "2.4 points"}
    chapter(book / "two.ipynb", claim_03b=undecided)
    assert build(book).returncode == 0
    text = page(book)
    assert "2 “holds when”, 0 “does not hold”, 1 “undecided”." in text
    assert '<span aria-hidden="true">?</span> undecided</b>' in text
    assert "0.93 ± 0.02. Smallest effect that could be seen: 2.4 points. <a href=" in text


@pytest.mark.slow
def test_missing_and_unasked_answers_fail_the_build(book):
    chapter(book / "two.ipynb", claim_09={"claim": 9, **ANSWER})
    done = build(book)
    assert done.returncode == 1
    assert "verdicts.md:4: WARNING: ledger: claim 3: two must answer it, and glued no claim-03b" in done.stderr
    assert "two answers claim-09, which no claim asks of it" in done.stderr


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (None, "two must answer it, and glued no claim-03b"),
        ({"claim": 3, **ANSWER, "number": " "}, "two glued"),
        ({"claim": 3, **ANSWER, "word": "maybe"}, "two glued"),
        ({"claim": 4, **ANSWER}, "two glued"),
        ({"claim": 3, **ANSWER, "word": "undecided", "smallest": ""}, "two is undecided and does not say"),
    ],
    ids=["missing", "no number", "unknown word", "other claim", "undecided without a size"],
)
def test_a_faulty_answer_is_refused(answer, complaint):
    with pytest.raises(ledger.Faulty, match=complaint):
        ledger.check(answer, 3, "two", "claim-03b")


@pytest.mark.slow
def test_the_table_follows_a_chapter_that_answers_anew_or_stops_although_its_own_page_is_unchanged(book):
    assert build(book).returncode == 0
    chapter(book / "two.ipynb", claim_03b={"claim": 3, **ANSWER, "number": "0.51 ± 0.01"})
    assert build(book).returncode == 0
    assert "0.51 ± 0.01" in page(book)
    chapter(book / "two.ipynb")
    assert (book / "_build/jupyter_execute/two.glue.json").exists()  # from before: nobody should believe it
    done = build(book)
    assert done.returncode == 1
    assert "two must answer it, and glued no claim-03b" in done.stderr


@pytest.mark.slow
def test_a_build_that_failed_fails_again_and_one_that_passed_writes_nothing_anew(book):
    chapter(book / "two.ipynb")
    assert [build(book).returncode for _ in range(2)] == [1, 1]
    chapter(book / "two.ipynb", claim_03b={"claim": 3, **ANSWER})
    assert build(book).returncode == 0
    written = (book / "_build/html/verdicts.html").stat().st_mtime_ns
    assert build(book).returncode == 0
    assert (book / "_build/html/verdicts.html").stat().st_mtime_ns == written
    (book / "two.ipynb").unlink()
    (book / "index.md").write_text((book / "index.md").read_text().replace("two\n", ""))
    assert "two must answer it" in build(book).stderr


@pytest.mark.slow
def test_a_chapter_that_is_not_there_fails_the_build(book):
    (book / "claims.yml").write_text(CLAIM_LIST.replace("two: b", "three: b"))
    done = build(book)
    assert done.returncode == 1
    assert "three must answer it" in done.stderr and "two answers claim-03b, which no claim asks of it" in done.stderr


@pytest.mark.parametrize(
    ("claims", "complaint"),
    [
        ("", "want a list"),
        ("- claim: 1", "want claim, says and answers"),
        (CLAIM_LIST + CLAIM_LIST.strip(), "have to rise"),
    ],
)
def test_a_faulty_list_of_claims_is_refused(tmp_path, claims, complaint):
    (tmp_path / "claims.yml").write_text(claims)
    with pytest.raises(ledger.Faulty, match=complaint):
        ledger.read_claims(tmp_path / "claims.yml")


@pytest.mark.slow
def test_it_reads_what_a_chapter_that_runs_in_the_build_glues(book):
    conf = book / "conf.py"
    conf.write_text(conf.read_text().replace("'off'", "'force'"))
    (book / "one.ipynb").unlink()
    (book / "one.md").write_text(
        "---\njupytext:\n  text_representation:\n    extension: .md\n    format_name: myst\n"
        "kernelspec:\n  name: python3\n  display_name: Python 3\n---\n\n# Chapter one\n\n"
        "```{code-cell} ipython3\nfrom normbook.evidence import verdict\n"
        'verdict(1, "holds", "", "it\'s 12 ± 3")\nverdict(3, "holds", "", "12", label="a")\n```\n'
    )
    (book / "claims.yml").write_text(CLAIM_LIST.replace(", two: b", ""))
    (book / "two.ipynb").unlink()
    (book / "index.md").write_text("# Book\n\n```{toctree}\none\nverdicts\n```\n")
    done = build(book)
    assert done.returncode == 0, done.stderr
    assert "it&#x27;s 12 ± 3. <a" in page(book)


def test_the_book_lists_every_claim_once_and_asks_chapters_for_differing_answers():
    claims = yaml.safe_load((ROOT / "book/claims.yml").read_text("utf8"))
    assert [entry["claim"] for entry in claims] == list(CLAIMS)
    for entry in claims:
        assert entry["says"].endswith((".", ".”"))
        labels = [label for own in entry["answers"].values() for label in (own if isinstance(own, list) else [own])]
        assert len(set(labels)) == len(labels)


@pytest.mark.slow
def test_explanations_are_a_ledger_of_their_own(book):
    answer = {"explanation": 1, **ANSWER, "number": "4.2 ± 0.1"}
    chapter(
        book / "one.ipynb", claim_01={"claim": 1, **ANSWER}, claim_03a={"claim": 3, **ANSWER}, explanation_01=answer
    )
    (book / "second.yml").write_text('- explanation: 1\n  says: It brakes.\n  answers: {one: ""}\n')
    (book / "verdicts.md").write_text("(all)=\n# Verdicts\n\n```{ledger}\n```\n\n```{ledger} second.yml\n```\n")
    done = build(book)
    assert (done.returncode, done.stderr) == (0, "")
    text = page(book)
    assert "2 claims, 3 answers" in text and "1 explanation, 1 answer:" in text and text.count("4.2 ± 0.1") == 1
    chapter(book / "one.ipynb", claim_01={"claim": 1, **ANSWER}, claim_03a={"claim": 3, **ANSWER})
    done = build(book)
    assert done.returncode == 1 and "explanation 1: one must answer it, and glued no explanation-01" in done.stderr
    with pytest.raises(ledger.Faulty, match="want explanation, says and answers"):
        (book / "mixed.yml").write_text((book / "second.yml").read_text() + CLAIM_LIST.strip())
        ledger.read_claims(book / "mixed.yml")


def test_the_book_lists_every_explanation_once():
    listed = yaml.safe_load((ROOT / "book/explanations.yml").read_text("utf8"))
    assert [entry["explanation"] for entry in listed] == list(EXPLANATIONS)
