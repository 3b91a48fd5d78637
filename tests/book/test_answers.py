"""Answer boxes: every solution passes its own check, every named mistake fails it and gets its own hint, no other."""

import builtins
import contextlib
import os
import re
import sys
from pathlib import Path

import jupytext
import numpy as np
import pytest
from normext import answers, student_edition
from normext.runner import NEEDS_TORCH_TOO

from grading import __main__ as commands
from grading import leaks

ROOT = Path(__file__).parents[2]
SOURCES = {path.stem: path.read_text("utf8") for path in sorted((ROOT / "book").glob("*.md"))}
BOXES = {one.label: (one, name) for name, text in SOURCES.items() for one in answers.read(text, name)}


@pytest.fixture(scope="module")
def checking():
    """The module that checks answers in a page; the kernel it comes with forbids input(), for a page's sake."""
    before, builder = builtins.input, os.environ.get("NORMCORE_BOOK")
    sys.path.insert(0, str(ROOT / "book" / "_static"))
    import checking

    sys.path.remove(str(ROOT / "book" / "_static"))
    builtins.input = before
    if builder is None:
        del os.environ["NORMCORE_BOOK"]
    return checking


def box_of(label):
    """What the page hands over, but for the answer."""
    one, chapter = BOXES[label]
    cells = [source for source, _ in answers.cells_of(SOURCES[chapter])]
    above = [cells[number] for number in one.above if not NEEDS_TORCH_TOO.search(cells[number])]
    return one, {"asked": one.asked, "check": one.check, "mistakes": one.mistakes, "above": above}


def tried(checking, box, source):
    return checking.check({**box, "source": source}, lambda kind, text: None)


@pytest.mark.parametrize("label", BOXES)
def test_the_solution_is_right_and_each_mistake_gets_its_own_hint(checking, label):
    one, box = box_of(label)
    assert tried(checking, box, one.solution) == {"right": True}
    assert "still missing" in tried(checking, box, one.starter)["hint"]
    base = checking.variables(
        checking.program(box["above"], "\n".join([one.solution, one.check, *(m[1] for m in one.mistakes)]))
    )
    for hint, wrong in one.mistakes:
        names, seen = checking.fresh(base), checking.Record()
        with contextlib.redirect_stdout(None):
            exec(f"{one.solution}\n\n{wrong}", names)
        assert checking.behavior(names, box, seen) is not None, f"this passes the check:\n{wrong}"
        assert list(checking.made(names, box, seen)) == [hint], wrong


def test_there_are_enough():
    assert len(BOXES) >= 40 and sum(len(one.mistakes) for one, _ in BOXES.values()) >= 80
    assert len({chapter for _, chapter in BOXES.values()}) >= 13


# ---- how a box is read


CHAPTER = """\
```{code-cell} ipython3
given = [1, 2]
```

`````{exercise-start} Twice
:label: ex-twice
`````

Double it.

```{answer} ex-twice
doubled = ...
def twice(x):
    return ...
```

`````{exercise-end}
`````

`````{solution-start} ex-twice
:class: dropdown
`````

```{code-cell} ipython3
doubled = [2, 4]
def twice(x):
    return 2 * x
```

```{code-cell} ipython3
:tags: [check]

assert doubled == [2 * x for x in given]
assert twice(3) == 6
assert twice(0) == 0, "Nothing stays nothing."
```

```{mistakes}
# That is the list
# twice, one after the other.
doubled = given + given

# Adding is not doubling.
def twice(x):
    return x + 2
```

`````{solution-end}
`````

```{code-cell} ipython3
later = 3
```
"""


@pytest.fixture
def twice():
    (one,) = answers.read(CHAPTER)
    return {"asked": one.asked, "check": one.check, "mistakes": one.mistakes, "above": ["given = [1, 2]"]}


def test_a_box_is_read():
    (one,) = answers.read(CHAPTER)
    assert (one.label, one.title, one.above, one.asked) == ("ex-twice", "Twice", (0,), ["doubled", "twice"])
    assert one.solution.startswith("doubled = [2, 4]") and one.check.startswith("assert doubled")
    assert [hint for hint, _ in one.mistakes] == [
        "That is the list twice, one after the other.",
        "Adding is not doubling.",
    ]
    assert one.mistakes[0][1] == "doubled = given + given"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (":tags: [check]\n\n", "", "without check"),
        ("{mistakes}", "{code-cell}", "without {mistakes}"),
        ("{answer} ex-twice\n", "{answer} ex-other\n", "outside its exercise"),
        ("# Adding is not doubling.\n", "# Adding.\n```\n\n```{mistakes}\n", "a mistake is a comment"),
        ("doubled = given + given\n", "", "a mistake is a comment"),
    ],
)
def test_a_box_that_is_not_complete_stops_the_build(old, new, says):
    assert old in CHAPTER
    with pytest.raises(answers.Wrong, match=says):
        answers.read(CHAPTER.replace(old, new, 1), "chapter")


TWICE = "def twice(x):\n    return 2 * x"
FAILS = "This does not hold for your answer: "
INSIDE = "twice stands inside something else, since its line 4 is indented. Begin that line at the left edge."
GAP = "Something is still missing: put your answer in the place of the dots in line 3."


@pytest.mark.parametrize(
    ("doubled", "twice_too", "says"),
    [
        ("[2, 4]", TWICE, {"right": True}),
        ("given * 2", TWICE, {"hint": "That is the list twice, one after the other."}),
        ("[2, 4]", "def twice(x):\n    return 2 + x", {"hint": "Adding is not doubling."}),
        ("[2, 5]", TWICE, {"hint": f"{FAILS}doubled == [2 * x for x in given]"}),
        ("[2, 4]", TWICE + " or 1", {"hint": "Nothing stays nothing."}),
        ("[2, 4]", "def twice(x):\n    2 * x", {"hint": "twice returns nothing yet. Does it end with return?"}),
        ("[2, 4]", "", {"hint": "There is no twice in your answer. Start over brings the first lines back."}),
        ("[2, 4]", "def two(x):\n    return 2\n    " + TWICE.replace("\n", "\n    "), {"hint": INSIDE}),
        ("[2, 4]", "def twice(x):\n    ...", {"hint": GAP}),
        ("[2, 4]", TWICE + "\ngiven[0] = 3", {"hint": f"{FAILS}doubled == [2 * x for x in given]"}),
        ("[2, 4]", "def twice(x):\n    return 2 * y", "Python does not know the name y"),
        ("[2, 4", "", "Python cannot read line 1"),
        ("[2, 4]", "def twice(x):\n    raise SystemExit", "asked Python to end"),
    ],
)
def test_what_is_said(checking, twice, doubled, twice_too, says):
    found = tried(checking, twice, f"doubled = {doubled}\n{twice_too}")
    if isinstance(says, dict):
        assert found == says
    else:
        assert says in found["says"]
    assert tried(checking, twice, f"doubled = [2, 4]\n{TWICE}") == {"right": True}  # no trace of the one before


def test_an_answer_stands_on_what_it_needs(checking):
    cells = [
        "import numpy as np\nheavy = 1 / 0",
        "x = np.ones(3)\nassert False",
        "x[0] = 5\ny = 7",
        "print(y)\nx.sort()",
    ]
    assert checking.program(cells, "x.sum()") == "import numpy as np\nx = np.ones(3)\nx[0] = 5\nx.sort()"
    assert checking.program(cells, "def f(x):\n    return x") == ""


def test_dots_in_an_index_are_no_gap(checking):
    assert checking.first_gap("y = x[..., 0]") is None
    assert checking.first_gap("y = x[..., 0]\nz = f(...)") == 2


# ---- the editions and the notebooks


def test_mistakes_outside_of_a_solution_stop_the_build():
    moved = CHAPTER.replace("`````{solution-start}", "```{mistakes}\n# A hint.\nx = 1\n```\n\n`````{solution-start}")
    with pytest.raises(student_edition.GateError, match="outside of a solution"):
        student_edition.split(moved)


def test_the_students_edition_keeps_the_starter_alone():
    public = student_edition.without_solutions(CHAPTER)
    assert "doubled = ..." in public and "later = 3" in public
    assert "[2, 4]" not in public and "assert" not in public and "given + given" not in public


@pytest.mark.parametrize("hints", [False, True])
def test_the_search_for_leaks_knows_the_mistakes(tmp_path, hints):
    """A planted one is found, unless the students' boxes are to give hints; a check is public in any case."""
    book, out = tmp_path / "repository" / "book", tmp_path / "out"
    book.mkdir(parents=True)
    out.mkdir()
    (book / "chapter.md").write_text(CHAPTER)
    editions_with_hints = "[public, student]" if hints else "[public]"
    (book.parent / "_config.yml").write_text(f"sphinx:\n  config:\n    answer_hints: {editions_with_hints}\n")
    secrets = leaks.hidden_lines(student=True, root=book.parent)
    (out / "page.json").write_text('{"check": "assert doubled == [2 * x for x in given]\\nassert twice(3) == 6"}')
    assert leaks.leaks(out, secrets) == []
    (out / "slip.html").write_text("<p>That is the list <b>twice</b>, one after the other.</p>")
    (out / "cells.json").write_text('{"mistakes": [["", "doubled = given + given\\n"]]}')
    found = leaks.leaks(out, secrets)
    assert [line.rpartition("/")[2].split(":")[0] for line in found] == ([] if hints else ["cells.json", "slip.html"])


def test_the_search_for_leaks_is_a_command(tmp_path):
    """As `make student-book` calls it; a mistake of the book that is planted stops it."""
    command = ["leaks", "--student", str(tmp_path)]
    commands.main(command)
    hint, _ = BOXES["ex-axes-implement"][0].mistakes[0]
    (tmp_path / "page.html").write_text(f"<p>{hint}</p>")
    with pytest.raises(SystemExit, match="published secrets"):
        commands.main(command)


def test_mistakes_of_the_book_are_secrets_of_the_students_edition():
    secrets = leaks.hidden_lines(student=True)
    for one, _ in BOXES.values():
        for hint, _ in one.mistakes:
            pieces = [leaks.squeeze(piece) for piece in (hint, *re.split(r"[`*\\[\\]]", hint))]
            assert set(pieces) & secrets.keys(), hint
        check = [line.strip() for line in one.check.splitlines() if len(leaks.squeeze(line)) >= leaks.SHORTEST]
        assert not {leaks.squeeze(line) for line in check} & secrets.keys()


def test_a_notebook_has_the_box_as_two_cells(capsys):
    """They run to their end in any case: the check says what it thinks, and raises nothing."""
    made = jupytext.reads(answers.as_cells(CHAPTER, answers.read(CHAPTER)), fmt="md:myst").cells
    assert "{mistakes}" not in "".join(cell.source for cell in made)
    starter, check = [cell.source for cell in made if "answer" in cell.metadata.get("tags", [])]
    assert starter.startswith("doubled = ...")
    names = {"given": [1, 2]}
    exec(starter, names)
    exec(check, names)
    assert "Not yet" in capsys.readouterr().out
    exec(answers.read(CHAPTER)[0].solution, names)
    exec(check, names)
    assert capsys.readouterr().out == "Right.\n"


# ---- answers that nobody expects


ARRAY = {
    "asked": ["centered"],
    "check": "x = np.arange(6.0).reshape(2, 3)\nassert np.allclose(centered(x).mean(axis=0), 0)\n"
    "assert np.allclose(centered(x).std(axis=0), x.std(axis=0)), 'The spread stays.'",
    "mistakes": [],
    "above": ["import numpy as np", "pair = (np.ones(2), [1])"],
}
CENTERED = "def centered(x):\n    return x - x.mean(axis=0)"


def test_what_an_answer_changes_in_numpy_is_put_back(checking):
    fooled = "np.allclose = lambda *a, **k: True\nnp.ndarray = list\nimport builtins\nbuiltins.abs = None\n"
    assert "hint" in tried(checking, ARRAY, fooled + "def centered(x):\n    return x + 1")
    assert abs(-1) == 1 and tried(checking, ARRAY, CENTERED) == {"right": True}


def test_what_cells_change_in_numpy_and_normcore_does_not_count(checking):
    """A right answer stays right, a wrong one wrong; the cells find their own change again."""
    kernel, quiet = checking.kernel, lambda kind, text: None
    box = {
        "asked": ["layer"],
        "check": "assert np.allclose(layer(np.eye(4)).mean(axis=0), 0) and layer.eps == 1e-5",
        "mistakes": [],
        "above": ["import numpy as np", "from normcore import BatchNorm"],
    }
    patch = (
        "import numpy as np, normcore\nreal = np.allclose\nnp.allclose = lambda *a, **k: True\nnp.seterr(all='raise')\n"
        "normcore.BatchNorm.__call__ = lambda layer, x: x"
    )
    try:
        assert kernel.run(patch, "cell 1", quiet) == {
            "note": "BatchNorm.__call__, numpy.allclose are changed, for every cell of this page."
        }
        assert tried(checking, box, "layer = BatchNorm(4)") == {"right": True}
        assert "hint" in tried(checking, box, "layer = BatchNorm(4, eps=1)")
        assert kernel.run("assert np.allclose(1, 2) and np.geterr()['over'] == 'raise'", "cell 1", quiet) is None
        back = "np.allclose = real\ndel normcore.BatchNorm.__call__\nnp.seterr(all='warn', under='ignore')"
        assert kernel.run(back, "cell 1", quiet) is None
    finally:
        kernel.restore(kernel.kept)
        np.seterr(all="warn", under="ignore")


def test_what_an_answer_changes_of_the_page_is_gone_with_it(checking):
    assert tried(checking, ARRAY, f"pair[0][:] = 7\npair[1].append(2)\n{CENTERED}") == {"right": True}
    assert tried(checking, ARRAY, f"assert pair[0].sum() == 2 and pair[1] == [1]\n{CENTERED}") == {"right": True}


ODD = ["raise KeyboardInterrupt", "raise SystemExit", "yield x", "return centered(x)", "return"]


@pytest.mark.parametrize("body", ODD)
def test_no_answer_ends_python(checking, body):
    found = tried(checking, ARRAY, f"def centered(x):\n    {body}")
    assert found.get("says") or found.get("hint")


ANYTHING = """
class Anything:
    __array_priority__ = 1e9
    def __getattr__(self, name): return Anything()
    def __call__(self, *given, **named): return Anything()
    def __eq__(self, other): return True
    __add__ = __sub__ = __mul__ = __rsub__ = __radd__ = __rmul__ = __call__
centered = Anything()
"""


def test_an_object_that_agrees_with_everything_is_not_right(checking):
    found = tried(checking, ARRAY, ANYTHING)
    assert not found.get("right") and (found.get("says") or found.get("hint"))


@pytest.mark.parametrize("what", ["(x - x.mean(axis=0)).tolist()", "tuple(x - x.mean(axis=0))"])
def test_a_list_in_an_array_s_place(checking, what):
    found = tried(checking, ARRAY, f"def centered(x):\n    return {what}")
    assert re.match(r"The check finds a (list|tuple) where it needs an array", found["says"])


@pytest.mark.parametrize("change", ["astype('float32')", "astype(object).astype(float)", "copy(order='F')"])
def test_an_array_of_another_kind_is_right(checking, change):
    assert tried(checking, ARRAY, f"{CENTERED.replace('x - ', '(x - ')}).{change}") == {"right": True}


@pytest.mark.parametrize("source", [CENTERED + "\n\0", "if", "\tx = 1", "x = '"])
def test_what_python_cannot_read(checking, source):
    said = tried(checking, ARRAY, source)["says"]
    assert re.match(r"Python cannot read (line \d|this)|The indentation of line 1", said)


# ---- what a cell shows, and what it says of a mistake, as the page gets it


def ran(checking, source):
    """([(kind, text) that a cell shows], what went wrong)."""
    seen = []
    wrong = checking.kernel.run(source, "cell 1", lambda kind, text: seen.append((kind, text)))
    return seen, wrong


def printed(checking, source):
    seen, wrong = ran(checking, source)
    assert wrong is None and {kind for kind, _ in seen} <= {"text"}
    return "".join(text for _, text in seen)


PAGE = "class Page:\n    def __init__(self, html): self.html = html\n    def _repr_html_(self): return self.html\n"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("display(1); display(2); print('x', end=''); 3", "1\n2\nx\n3\n"),
        ("print('\\x1b[1;31mred\\x1b[0m <b>')", "red <b>\n"),
        (f"{PAGE}display(Page(None)) or None", "<__main__.Page object at"),
    ],
)
def test_what_is_shown_as_text(checking, source, text):
    assert printed(checking, source).startswith(text)


@pytest.mark.parametrize("source", ["'x' * 10**7", "print('x' * 10**7)", "for i in range(10**5): print(i)"])
def test_text_without_end_is_cut(checking, source):
    text = printed(checking, source)
    assert len(text) < 21_000 and text.endswith("the rest is not shown\n")


def test_pictures_without_end_are_cut(checking):
    seen, wrong = ran(checking, f"{PAGE}page = Page('x' * 9_000_000)\ndisplay(page, page, page)")
    assert wrong is None and [kind for kind, _ in seen] == ["html", "html", "text"]
    assert "a picture of 9.0 MB is not shown" in seen[-1][1]


@pytest.mark.parametrize(
    ("source", "says", "most"),
    [
        ("raise ValueError('x' * 10**7)", "Something went wrong", 1000),
        ("{}['x' * 10**7]", "There is no entry 'xxx", 1000),
        ("def f(): return f()\nf()", "A function calls itself without end", 1500),
        ("sum = 3\nsum([1])", "This calls a value (int) as if it were a function", 200),
        ("class E(Exception):\n    def __str__(self): return 1 / 0\nraise E", "Something went wrong", 200),
        ("class E(BaseException):\n    name = property(lambda self: 1 / 0)\nraise E", "Something went wrong", 200),
    ],
)
def test_what_a_mistake_says_is_short(checking, source, says, most):
    try:
        wrong = ran(checking, source)[1]
    finally:
        checking.kernel.space.pop("sum", None)
    assert wrong["says"].startswith(says) and len(wrong["says"]) < 420 and len(wrong["trace"]) < most
