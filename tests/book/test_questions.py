"""The bank of questions: what it holds, and that a false key, a true distractor and a slip in the form stop it."""

import time
from pathlib import Path

import pytest
import yaml
from normext import question_bank, questions, teaching
from normext.question_bank import BankError, Choice, Number
from sphinx.errors import ExtensionError

from grading import leaks

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "book" / "questions"
PARTS = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
TAUGHT = [part for part in PARTS if part["caption"] not in ("Play", "Reference")]
CHAPTERS = [Path(c["file"]).name for part in TAUGHT for c in part["chapters"]]


@pytest.fixture(scope="module")
def bank():
    start = time.process_time()
    found = question_bank.read_all(FOLDER, CHAPTERS)
    assert time.process_time() - start < 10  # seconds of one core for all of them; about one on an idle machine
    return found


def test_eight_questions_of_choice_a_chapter_and_nearly_every_option_is_executed(bank):
    choices = {name: [one for one in found if isinstance(one, Choice)] for name, found in bank.items()}
    assert {name: len(found) for name, found in choices.items() if len(found) < 8} == {}
    assert sum(map(len, choices.values())) >= 100
    assert all(any(isinstance(one, Number) for one in found) for found in bank.values())
    options = [option for found in choices.values() for one in found for option in one.options]
    assert sum(option.computed for option in options) > 0.95 * len(options)
    assert all(option.mistake for option in options if not option.right)
    assert all(sum(option.right for option in one.options) == 1 for found in choices.values() for one in found)


def test_the_right_answer_is_not_told_by_its_place_or_length(bank):
    choices = [one for found in bank.values() for one in found if isinstance(one, Choice)]
    first = sum(one.key == 0 for one in choices) / len(choices)
    longest = sum(max(one.options, key=lambda o: len(o.says)).right for one in choices) / len(choices)
    assert 0.15 < first < 0.4 and longest < 0.6


def test_every_page_asks_its_questions_between_what_you_can_do_and_the_exercises():
    for name in CHAPTERS:
        text = (ROOT / "book" / f"{name}.md").read_text("utf8")
        assert text.index("What you can now do") < text.index(questions.HEADING) < text.index("## Exercises"), name


def test_variants_differ_and_come_again(bank, tmp_path):
    for one in bank["scaling"]:
        if isinstance(one, Number):
            assert len({variant.ask for variant in one.variants}) == question_bank.VARIANTS
            assert all(v.answer not in [m.value for m in v.mistakes] for v in one.variants)
    copy = tmp_path / "scaling.yml"
    copy.write_text((FOLDER / "scaling.yml").read_text("utf8"), "utf8")
    assert question_bank.read(copy) == bank["scaling"]


GOOD = {
    "questions": [
        {
            "id": "sum", "ask": "What is 1 + 1?", "given": "total = 1 + 1",
            "right": {"says": "It is {=total}.", "why": "Count.", "holds": "total == 2"},
            "wrong": [
                {"mistake": "one is enough", "says": "It is 1.", "why": "One is missing.", "holds": "total == 1"},
                {"mistake": "writing is adding", "says": "It is 11.", "why": "Ten more.", "holds": "total == 11"},
            ],
        },
        {
            "id": "double", "ask": "What is twice {=n}?", "draw": "n = int(rng.integers(2, 90))", "answer": "2 * n",
            "check": "assert answer == n + n", "why": "{=n} and {=n}.",
            "mistakes": [{"mistake": "the square", "is": "n**2 + 1", "why": "That is more."}],
        },
    ]
}  # fmt: skip


def changed(*path, value):
    """GOOD with another value at a place."""
    new = yaml.safe_load(yaml.safe_dump(GOOD))
    at = new["questions"]
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return new


def read(tmp_path, bank):
    path = tmp_path / "small.yml"
    path.write_text(yaml.safe_dump(bank), "utf8")
    return question_bank.read(path)


def test_a_small_bank(tmp_path):
    choice, number = read(tmp_path, GOOD)
    assert choice.options[choice.key].says == "It is 2."
    assert len(number.variants) == 3 and all(v.tolerance == 0 for v in number.variants)


FAULTS = {
    "the key is false": (changed(0, "right", "holds", value="total == 3"), "is the key and does not hold"),
    "a distractor is true": (changed(0, "wrong", 0, "holds", value="total == 2"), "is a wrong option and holds"),
    "neither true nor false": (changed(0, "right", "holds", value="[total]"), "wanted True or False"),
    "a program that fails": (changed(0, "given", value="total = 1 / 0"), "ZeroDivisionError"),
    "an expression that fails": (changed(0, "right", "holds", value="totl == 2"), "NameError"),
    "a misspelt field": (changed(0, "wrong", 0, "hold", value="total == 1"), "found"),
    "no name for a mistake": (changed(0, "wrong", 0, value={"says": "1", "why": "No."}), "mistake"),
    "a number for a text": (changed(0, "right", "says", value=2), "write it in quotes"),
    "one wrong option": (changed(0, "wrong", value=[GOOD["questions"][0]["wrong"][0]]), "at least two"),
    "a list": (changed(0, "right", "says", value="2."), "as a list"),
    "two options alike": (changed(0, "wrong", 0, "says", value="It is 11."), "say the same"),
    "the same id": (changed(1, "id", value="sum"), "the same id"),
    "a check that fails": (changed(1, "check", value="assert answer == n"), "AssertionError"),
    "a mistake that is right": (changed(1, "mistakes", 0, "is", value="n + n"), "cannot tell"),
    "an answer without end": (changed(1, "answer", value="float('inf')"), "wanted a number"),
    "always the same numbers": (changed(1, "draw", value="n = 4"), "30 draws"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(tmp_path, fault):
    bank, said = FAULTS[fault]
    with pytest.raises(BankError, match=r"small\.yml") as error:
        read(tmp_path, bank)
    assert said in str(error.value)


def test_a_notebook_gets_the_questions_with_folded_answers(bank):
    text = questions.as_markdown(ROOT / "book", "book/axes")
    assert text.count("<summary><b>Answer</b></summary>") == len(bank["axes"])
    assert "{=" not in text and text.count("Right.") >= 8


def told(texts, secrets):
    """The secret lines that stand in texts, however they are marked up."""
    published = "\n".join(view for text in texts for view in leaks.views(text.encode()))
    return [where for secret, where in secrets.items() if secret in published]


def test_no_question_and_no_note_tells_a_solution(bank):
    """What the search through the built students' edition would find, before there is one."""
    secrets = leaks.hidden_lines(student=True) | leaks.hidden_lines(student=False)
    texts = [questions.as_markdown(ROOT / "book", f"book/{name}") for name in bank]
    texts += [
        teaching.as_markdown(ROOT, n, teaching.read(ROOT, n, text)) for n, text in teaching.chapters(ROOT).items()
    ]
    assert told(texts, secrets) == []
    for where in (next(iter(secrets.values())), list(secrets.values())[-1]):
        assert where in told([f"- ask: So **{where.split(': ', 1)[1]}**?"], secrets)


def test_an_instructor_leaves_them_out(monkeypatch):
    page = ["Before.\n\n" + questions.HEADING + "\n## Exercises\n"]
    questions.leave_out(None, "page", page)
    assert questions.HEADING in page[0]
    monkeypatch.setenv("SELF_CHECK", "no")
    questions.leave_out(None, "page", page)
    assert page == ["Before.\n\n\n## Exercises\n"]
    with pytest.raises(ExtensionError, match="wants the questions to stand as"):
        questions.leave_out(None, "page", ["```{questions}\n```\n"])
    monkeypatch.setenv("SELF_CHECK", "off")
    with pytest.raises(ExtensionError, match="'off'"):
        questions.leave_out(None, "page", page)
