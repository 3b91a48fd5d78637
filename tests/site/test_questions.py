"""The questions at the end of a chapter: chosen by keyboard, kept by the browser, readable without scripts."""

import json
import re
from pathlib import Path

from normext import question_bank
from normext.question_bank import Choice

BANKS = Path(__file__).parents[2] / "book" / "questions"


def test_every_page_has_its_bank(site):
    for path in BANKS.glob("*.yml"):
        page = (site / "book" / f"{path.stem}.html").read_text("utf8")
        keys = re.findall(r'class="nc-question nc-choice" data-id="([\w-]+)" data-key="(\d)"', page)
        bank = question_bank.read(path)
        assert keys == [(one.id, str(one.key)) for one in bank if isinstance(one, Choice)], path.stem
        assert page.count('class="nc-question nc-number"') == sum(not isinstance(one, Choice) for one in bank)


def test_a_choice_by_keyboard_is_explained_and_kept(strict):
    tour = strict()
    page = tour.open("book/axes.html")
    question = page.locator(".nc-choice").first
    key, options = int(question.get_attribute("data-key")), question.locator("input")
    said, check = question.locator(".nc-said"), question.get_by_role("button", name="Check")
    check.press("Enter")
    assert said.inner_text() == "Choose one of the answers first."
    wrong = (key + 1) % options.count()
    options.nth(wrong).focus()
    page.keyboard.press("Space")
    assert said.inner_text() == "Choose one of the answers first."  # a choice is no answer yet
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    told = question.locator(".nc-whys li").nth(wrong)
    assert said.get_attribute("data-right") == "false" and said.text_content() == told.text_content()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowDown" if (wrong + 1) % options.count() == key else "ArrowUp")
    check.press("Enter")
    assert said.get_attribute("data-right") == "true" and said.inner_text().startswith("Right.")
    assert page.locator(".nc-questions > .nc-tools .nc-status").inner_text().startswith("1 of ")
    page.reload()
    page.wait_for_selector(".nc-said[data-right=true]")
    assert options.nth(key).is_checked()
    page.get_by_role("button", name="Clear my answers here").click()
    assert not options.nth(key).is_checked() and not said.is_visible()
    assert page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('normcore question'))") == []
    assert not tour.console and not tour.elsewhere


def test_a_number_is_judged_by_its_mistakes(strict):
    page = strict().open("book/scaling.html")
    question = page.locator(".nc-number")
    field, said = question.locator("input"), question.locator(".nc-said")
    answers = []
    for _ in range(2):
        variant = question.locator(".nc-variant:visible")
        answer, mistakes = (json.loads(variant.get_attribute(f"data-{name}")) for name in ("answer", "mistakes"))
        answers.append(answer)
        told = question.locator(".nc-folded:not([hidden]) .nc-wrong").nth(1)
        field.fill(str(mistakes[1]).replace(".", ","))
        field.press("Enter")
        assert said.text_content() == told.text_content()
        for typed, right in ((f"{answer * 1.1:g}", "false"), ("about one", "false"), (f"{answer:g}", "true")):
            field.fill(typed)
            field.press("Enter")
            assert said.get_attribute("data-right") == right, typed
        question.get_by_role("button", name="Other numbers").click()
    assert answers[0] != answers[1]


STORED = ["{", "null", "7", '"text"', '{"variant": -1, "typed": "3"}', '{"variant": 1.5, "typed": 7, "chosen": 99}',
          '{"variant": "length", "chosen": "0"}', '{"variant": 1e99, "chosen": -1}']  # fmt: skip


def test_whatever_stands_in_the_store(strict):
    """Written by another program of the same host, or by an older edition: every question can be answered."""
    tour = strict()
    page = tour.open("book/scaling.html")
    asked = page.locator(".nc-question").count()
    ids = "() => [...document.querySelectorAll('.nc-question')].map(q => q.dataset.id)"
    keys = [f"{page.locator('.nc-questions').get_attribute('data-page')}#{one}" for one in page.evaluate(ids)]
    for text in STORED:
        store = "([keys, text]) => keys.forEach(key => localStorage.setItem(`normcore question ${key}`, text))"
        page.evaluate(store, [keys, text])
        tour.open("book/scaling.html")
        assert page.locator(".nc-question .nc-tools button:text-is('Check')").count() == asked, text
        assert page.locator(".nc-variant:visible").count() == page.locator(".nc-number").count(), text
        assert page.locator(".nc-questions > .nc-tools .nc-status").inner_text().startswith("0 of "), text
    assert not tour.console


def test_without_scripts_there_is_a_list_with_folded_answers(visit):
    tour = visit(java_script_enabled=False)
    tour.page.goto(tour.url + "book/axes.html")
    question = tour.page.locator(".nc-choice").first
    assert question.locator(".nc-options li").count() == 4 and tour.page.locator(".nc-questions input").count() == 0
    answer = question.locator(".nc-right")
    assert not answer.is_visible()
    question.locator("summary").click()
    assert answer.is_visible()


def test_no_other_style_reaches_the_questions(visit):
    """The pages share one style sheet: a class of the same name elsewhere once made every question bold."""
    page = visit().open("book/axes.html")
    weight = "e => getComputedStyle(e).fontWeight"
    assert page.locator(".nc-question .nc-ask").first.evaluate(weight) == "400"
    assert page.locator(".nc-question label").first.evaluate(weight) == "400"
