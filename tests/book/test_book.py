"""The form that every chapter keeps, and what the built pages weigh."""

import itertools
import re
import subprocess
import symtable
from pathlib import Path

import jupytext
import nbformat
import pytest
import yaml
from pybtex.database import parse_file
from sphinx.util.matching import Matcher

ROOT = Path(__file__).parents[2]
SITE = ROOT / "_build" / "html"
PARTS = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
CHAPTERS = [c["file"] for part in PARTS if part["caption"] not in ("Play", "Reference") for c in part["chapters"]]
HIDDEN = {"remove-input", "remove-cell", "hide-input", "hide-cell"}


@pytest.fixture(params=CHAPTERS)
def chapter(request):
    return request.param, (ROOT / f"{request.param}.md").read_text()


def test_a_chapter_asks_first_and_says_what_you_need_and_what_you_can_do_now(chapter):
    name, text = chapter
    body = text.split("---", 2)[2].strip()
    title, question = body.split("\n\n")[:2]
    assert title.startswith("# ") and question.startswith("**The question.**"), f"{name}: {title!r}, {question[:40]!r}"
    assert "} Before you start" in text and "} What you can now do" in text


def test_prose_stands_before_every_cell(chapter):
    name, _ = chapter
    cells = jupytext.read(ROOT / f"{name}.md").cells
    for before, cell in itertools.pairwise(cells):
        visible = cell.cell_type == "code" and not set(cell.metadata.get("tags", [])) & {"remove-cell", "remove-input"}
        if visible and before.cell_type == "code":
            # two cells in a row: the one before is hidden, one is a solution's check, or the sentence is missing
            tags = set(before.metadata.get("tags", []))
            fine = tags & {*HIDDEN, "check"} or "check" in cell.metadata.get("tags", [])
            assert fine, f"{name}: no prose before\n{cell.source[:200]}"


def test_code_fits_the_column(chapter):
    name, _ = chapter
    cells = jupytext.read(ROOT / f"{name}.md").cells
    hidden = {"remove-cell", "remove-input"}
    shown = [c for c in cells if c.cell_type == "code" and not set(c.metadata.get("tags", [])) & hidden]
    assert [line for c in shown for line in c.source.splitlines() if len(line) > 80] == []


def test_no_line_ends_within_a_number(chapter):
    """Thousands are set apart by a thin space that no line breaks at, as in the numbers that are measured."""
    name, _ = chapter
    cells = jupytext.read(ROOT / f"{name}.md").cells
    questions = ROOT / "book" / "questions" / f"{Path(name).name}.yml"
    prose = [c.source for c in cells if c.cell_type == "markdown"] + [questions.read_text("utf8")] * questions.exists()
    assert [one for text in prose for one in re.findall(r"(?<![\d.,])\d{1,3} \d{3}(?!\d).*", text)] == []


def global_names(code):
    """(names that a cell gives a value, names that it reads), at the top of the program."""
    given, read, tables = (
        set(),
        set(),
        [symtable.symtable(re.sub(r"^\s*[%!].*$", "", code, flags=re.M), "cell", "exec")],
    )
    top = tables[0]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            if table is top and (symbol.is_assigned() or symbol.is_imported()):
                given.add(symbol.get_name())
            if symbol.is_referenced() and (table is top or symbol.is_global()):
                read.add(symbol.get_name())
    return given, read


def without_torch(cells):
    """Names that a cell reads although only cells that need torch, and are skipped in a browser, gave them a value."""
    skipped, given, missing = set(), set(), []
    for cell in cells:
        if cell.cell_type == "code":
            own, read = global_names(cell.source)
            if "needs-torch" in cell.metadata.get("tags", []):
                skipped |= own
            else:
                missing += sorted((read & skipped) - given - own)
                given |= own
    return missing


def test_no_cell_of_a_live_notebook_waits_for_one_that_is_skipped(chapter):
    assert without_torch(jupytext.read(ROOT / f"{chapter[0]}.md").cells) == []


def test_a_name_from_a_skipped_cell_is_seen_in_functions_too():
    cell = nbformat.v4.new_code_cell
    skipped = cell("import torch\nnoise = found = 1", metadata={"tags": ["needs-torch"]})
    later = cell("def show(found):\n    return found, [noise for noise in range(2)]\n\ndef use():\n    return noise")
    assert without_torch([skipped, later]) == ["noise"]
    assert without_torch([skipped, cell("noise = 2"), later]) == []
    assert without_torch([cell("noise = 2"), skipped, later]) == []


def test_three_to_six_exercises_each_with_a_checked_solution(chapter):
    _, text = chapter
    gated = re.findall(r"\{exercise-start\}.*\n:label: (\S+)", text)
    labels = re.findall(r"\{exercise\}.*\n:label: (\S+)", text) + gated
    assert 3 <= len(labels) <= 6, labels
    assert sorted(re.findall(r"\{solution(?:-start)?\} (\S+)", text)) == sorted(labels)
    for label in gated:
        solution = text.split("{solution-start} " + label, 1)[1].split("{solution-end}", 1)[0]
        assert "assert" in solution or "check" in solution, f"{label}: the executed solution ends without a check"


def test_a_chapter_opens_with_dials(chapter):
    """The first cell stands above the first section and draws dials, which a question in bold asks about."""
    _, text = chapter
    opening = text.split("\n## ", 1)[0]
    before, _, cell = opening.partition("```{code-cell} ipython3\n")
    assert re.search(r"^explore\(", cell.split("\n```\n")[0], re.M)
    assert re.search(r"\*\*[^*]+\?\*\*|\*\*Predict first\*\*: [^.]+\?", before.split("**The question.**")[1])


def test_every_dial_asks_first(chapter):
    """The text before a cell with dials asks what they will show."""
    _, text = chapter
    for cell in re.finditer(r"^```\{code-cell\}.*?^```$", text, re.M | re.S):
        if re.search(r"^explore\(", cell[0], re.M):
            before = text[: cell.start()].rpartition("\n```\n")[2]
            assert "?" in before, f"no question before {cell[0][:200]}"


def test_instructors_and_chapters_agree_on_the_reading_time():
    rows = (ROOT / "book" / "instructors.md").read_text("utf8")
    told = {name: int(n) for name, n in re.findall(r"^\| \{doc\}`([\w-]+)`.*\| (\d+) min \| \d+ min \|$", rows, re.M)}
    texts = {name: (ROOT / f"{name}.md").read_text("utf8") for name in CHAPTERS}
    said = {Path(name).name: int(re.search(r"(\d+)\s+minutes", text)[1]) for name, text in texts.items()}
    assert told == said


@pytest.mark.parametrize("file", ["*.ipynb", "_build/*", "dist/*"])
def test_nothing_derived_is_committed(file):
    assert subprocess.run(["git", "ls-files", file], cwd=ROOT, capture_output=True, text=True, check=True).stdout == ""


def test_nothing_that_a_build_writes_is_a_source():
    """Else the next build finds other settings, and reads every page anew."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf8"))
    pages = ["index", *(chapter["file"] for part in PARTS for chapter in part["chapters"])]
    excluded = Matcher(config["exclude_patterns"])
    files = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.suffix in (".md", ".ipynb", ".rst")]
    assert [
        path.as_posix()
        for path in [*files, Path("book/assignments/forward-pass.ipynb")]
        if path.with_suffix("").as_posix() not in pages
        and not any(excluded(part.as_posix()) for part in [path, *path.parents])
    ] == []


def test_a_page_is_light():
    assert SITE.is_dir(), f"{SITE} is missing: run `make book` first"
    pictures = re.compile(r'src="((?:\.\./)*_images/[^"]+)"')
    weights = {}
    for page in SITE.rglob("*.html"):
        if {"lite", "slides", "_static"} & set(page.relative_to(SITE).parts):
            continue
        html = page.read_text()
        own = sum((page.parent / picture).stat().st_size for picture in set(pictures.findall(html)))
        weights[page.name] = (len(html.encode()) + own) / 1e6
    assert {p: f"{w:.2f} MB" for p, w in weights.items() if w > 1.5} == {}


def test_every_reference_can_be_looked_up():
    papers = parse_file(str(ROOT / "book" / "references.bib")).entries
    assert len(papers) > 20
    without = [key for key, one in papers.items() if not {"doi", "eprint", "isbn"} & {f.lower() for f in one.fields}]
    assert without == ["glorot2010understanding"]  # proceedings without either; it has an address
    assert papers["glorot2010understanding"].fields["url"].startswith("https://proceedings.mlr.press/")
    numbers = [one.fields["eprint"] for one in papers.values() if "eprint" in one.fields]
    assert all(re.fullmatch(r"\d{4}\.\d{4,5}", number) for number in numbers)
    assert len(set(numbers)) == len(numbers)
