"""Notes for teaching fit their chapters, and the plans of `instructors` fit their hours."""

import re
from pathlib import Path

import pytest
import yaml
from normext import teaching
from normext.teaching import NotesError

ROOT = Path(__file__).parents[2]
TEXTS = teaching.chapters(ROOT)
NOTES = {name: teaching.read(ROOT, name, text) for name, text in TEXTS.items()}
PARTS = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]


def minutes(*names):
    return sum(sum(NOTES[name]["minutes"].values()) for name in names)


def test_every_chapter_has_notes():
    taught = [part for part in PARTS if part["caption"] not in ("Play", "Reference")]
    chapters = [Path(c["file"]).name for part in taught for c in part["chapters"]]
    assert list(NOTES) == chapters


def test_the_two_lectures_and_the_four_weeks_fit_their_hours():
    page = (ROOT / "book" / "instructors.md").read_text("utf8")
    lectures = re.findall(r"^\d\. (\{doc\}.*)$", page, re.M)
    assert len(lectures) == 2 and "**Two lectures** of 90 minutes" in page
    first, second = (re.findall(r"\{doc\}`[^`]*<([\w-]+)>`", lecture) for lecture in lectures)
    assert minutes(*first) <= 90
    assert second[-1] == "choosing"  # of which only the ledger is shown
    assert minutes(*second[:-1]) + NOTES["choosing"]["minutes"]["The ledger of claims"] <= 90
    weeks = re.findall(r"^\| \d \| (.*?) \|", page, re.M)
    assert len(weeks) == 4 and "two hours of class" in page
    for week in weeks:
        assert minutes(*re.findall(r"\{doc\}`[^`]*<([\w-]+)>`", week)) <= 120, week


def test_the_dial_to_show_is_a_dial():
    for name, notes in NOTES.items():
        place = notes["dial"]["section"]
        assert "explore(" in teaching.part(TEXTS[name], place), f"{name}: no dial in {place!r}"
        assert notes["dial"]["ask"].endswith("?")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda notes: notes["minutes"].pop("The cars"), "the chapter has"),
        (lambda notes: notes["minutes"].update({"The buses": 5}), "the chapter has"),
        (lambda notes: notes["dial"].update(section="The buses"), "is no section"),
        (lambda notes: notes["handout"]["facts"].pop(), "three facts"),
        (lambda notes: notes.update(bord=notes.pop("board")), "bord"),
    ],
)
def test_notes_that_do_not_fit_are_refused(tmp_path, change, said):
    folder = tmp_path / "book" / "teaching"
    folder.mkdir(parents=True)
    notes = yaml.safe_load((ROOT / "book" / "teaching" / "scaling.yml").read_text("utf8"))
    change(notes)
    (folder / "scaling.yml").write_text(yaml.safe_dump(notes, sort_keys=False, allow_unicode=True), "utf8")
    with pytest.raises(NotesError, match=said):
        teaching.read(tmp_path, "scaling", TEXTS["scaling"])


def test_what_students_get_wrong_is_what_the_questions_name():
    said = teaching.as_markdown(ROOT, "axes", NOTES["axes"])
    assert "batch norm averages over the batch axis alone" in said and "25 minutes in class" in said
