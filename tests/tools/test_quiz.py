"""What `make quiz` writes: QTI by its schema's content models, Moodle XML by its importer, paper, slides."""

import importlib.util
import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from normext import question_bank
from normext.question_bank import Choice, Number

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("quiz", ROOT / "tools" / "quiz.py")
quiz = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(quiz)
NAMES = ["scaling", "axes"]


@pytest.fixture(scope="module")
def bank():
    return question_bank.read_all(ROOT / "book" / "questions", NAMES)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quiz")
    quiz.main([str(folder), *NAMES])
    return folder


# Children of an element and their order, as in the document type definition of QTI 1.2 (IMS, 2002) for what is used
# here: "?" may be missing, "*" any number, "+" at least one. Attributes: those that must be there.
QTI = {
    "questestinterop": ("assessment", ()),
    "assessment": ("qtimetadata* section+", ("ident",)),
    "section": ("selection_ordering? (item|section)*", ("ident",)),
    "selection_ordering": ("selection*", ()),
    "selection": ("selection_number? selection_extension?", ()),
    "selection_extension": ("points_per_item", ()),  # whatever a system wants: here Canvas
    "item": ("itemmetadata? presentation? resprocessing* itemfeedback*", ("ident",)),
    "itemmetadata": ("qtimetadata*", ()),
    "qtimetadata": ("qtimetadatafield+", ()),
    "qtimetadatafield": ("fieldlabel fieldentry", ()),
    "presentation": ("(material|response_lid|response_str)+", ()),
    "material": ("mattext+", ()),
    "response_lid": ("render_choice", ("ident",)),
    "response_str": ("render_fib", ("ident",)),
    "render_choice": ("response_label*", ()),
    "render_fib": ("response_label*", ()),
    "response_label": ("material*", ("ident",)),
    "resprocessing": ("outcomes respcondition+", ()),
    "outcomes": ("decvar+", ()),
    "respcondition": ("conditionvar setvar* displayfeedback*", ()),
    "conditionvar": ("(other|varequal|vargte|varlte|or|and)+", ()),
    "or": ("(varequal|vargte|varlte|and)+", ()),
    "and": ("(varequal|vargte|varlte)+", ()),
    "varequal": ("", ("respident",)),
    "vargte": ("", ("respident",)),
    "varlte": ("", ("respident",)),
    "displayfeedback": ("", ("linkrefid",)),
    "itemfeedback": ("(flow_mat|material)+", ("ident",)),
    "flow_mat": ("material+", ()),
    **dict.fromkeys(("fieldlabel", "fieldentry", "mattext", "selection_number", "points_per_item", "decvar", "setvar",
                     "other"), ("", ())),
}  # fmt: skip
# Read off Moodle's importer, question/format/xml/format.php.
MOODLE = {
    "quiz": ("question+", ()),
    "question category": ("category", ("type",)),
    "question multichoice": ("name questiontext generalfeedback defaultgrade penalty hidden idnumber single "
                             "shuffleanswers answernumbering correctfeedback partiallycorrectfeedback "
                             "incorrectfeedback answer+", ("type",)),
    "question numerical": ("name questiontext generalfeedback defaultgrade penalty hidden idnumber answer+ "
                           "unitgradingtype showunits", ("type",)),
    "answer": ("text feedback tolerance?", ("fraction", "format")),
    **dict.fromkeys(("category", "name"), ("text", ())),
    **dict.fromkeys(("questiontext", "generalfeedback", "correctfeedback", "partiallycorrectfeedback",
                     "incorrectfeedback", "feedback"), ("text", ("format",))),
    **dict.fromkeys(("defaultgrade", "penalty", "hidden", "idnumber", "single", "shuffleanswers", "answernumbering",
                     "text", "tolerance", "unitgradingtype", "showunits"), ("", ())),
}  # fmt: skip


def faults(element, models):
    """What an element and all in it have that its model does not allow."""
    name = element.tag.rpartition("}")[2]
    kind = f"{name} {element.get('type')}" if f"{name} {element.get('type')}" in models else name
    if kind not in models:
        return [f"<{kind}> is unknown"]
    model, wanted = models[kind]
    pattern = re.sub(r"[\w-]+", lambda word: f"(?:{word[0]};)", model).replace(" ", "")
    children = "".join(f"{child.tag.rpartition('}')[2]};" for child in element)
    found = []
    if not re.fullmatch(pattern, children):
        found.append(f"<{kind}> holds {children or 'nothing'}, wanted {model or 'text'}")
    found += [f"<{kind}> without {key}" for key in wanted if key not in element.attrib]
    for child in element:
        found += faults(child, models)
    return found


def quizzes(made):
    with zipfile.ZipFile(made / "canvas.zip") as archive:
        return {name: ET.fromstring(archive.read(f"normcore_{name}/normcore_{name}.xml")) for name in NAMES}


def test_canvas_keeps_the_schema(made):
    for root in quizzes(made).values():
        assert faults(root, QTI) == []
        idents = [one.get("ident") for one in root.iter() if one.tag.endswith(("}item", "}section", "}assessment"))]
        assert len(set(idents)) == len(idents)
        for item in root.iter(f"{{{quiz.QTI}}}item"):
            links = {one.get("linkrefid") for one in item.iter(f"{{{quiz.QTI}}}displayfeedback")}
            assert links == {one.get("ident") for one in item.iter(f"{{{quiz.QTI}}}itemfeedback")}


@pytest.mark.parametrize("fault", ["order", "unknown", "attribute", "empty"])
def test_the_schema_finds_a_fault(made, fault):
    item = next(quizzes(made)["axes"].iter(f"{{{quiz.QTI}}}item"))
    presentation = item.find(f"{{{quiz.QTI}}}presentation")
    if fault == "order":
        item.remove(presentation)
        item.append(presentation)
    elif fault == "unknown":
        presentation.tag += "s"
    elif fault == "attribute":
        del item.attrib["ident"]
    else:
        presentation.clear()
    assert faults(item, QTI)


def test_canvas_has_the_keys_of_the_bank(made, bank):
    for name, root in quizzes(made).items():
        scored = {}
        for item in root.iter(f"{{{quiz.QTI}}}item"):
            for condition in item.iter(f"{{{quiz.QTI}}}respcondition"):
                if condition.find(f"{{{quiz.QTI}}}setvar") is not None:
                    scored[item.get("ident")] = next(condition.iter(f"{{{quiz.QTI}}}varequal")).text
        for one in bank[name]:
            if isinstance(one, Choice):
                assert scored[f"{name}_{one.id}"] == f"{name}_{one.id}_{quiz.LETTERS[one.key]}"
            else:
                values = [float(scored[f"{name}_{one.id}_{at}"]) for at in (1, 2, 3)]
                assert values == pytest.approx([variant.answer for variant in one.variants])


def test_the_manifest_names_every_file(made):
    with zipfile.ZipFile(made / "canvas.zip") as archive:
        root = ET.fromstring(archive.read("imsmanifest.xml"))
        named = {one.get("href") for one in root.iter(f"{{{quiz.PACKAGE}}}file")}
        assert named | {"imsmanifest.xml"} == set(archive.namelist())
        idents = {one.get("identifier") for one in root.iter(f"{{{quiz.PACKAGE}}}resource")}
        assert {one.get("identifierref") for one in root.iter(f"{{{quiz.PACKAGE}}}dependency")} <= idents


def test_moodle_keeps_the_form_of_its_importer(made, bank):
    root = ET.parse(made / "moodle.xml").getroot()
    assert faults(root, MOODLE) == []
    category, seen = "", set()
    for question in root:
        if question.get("type") == "category":
            category = question.findtext("category/text")
            continue
        fractions = [answer.get("fraction") for answer in question.iter("answer")]
        assert sorted(set(fractions)) == ["0", "100"] and fractions.count("100") == 1
        assert category.startswith("$course$/top/Normcore/")
        assert (category, question.findtext("idnumber")) not in seen  # unique within a category
        seen.add((category, question.findtext("idnumber")))
    wanted = sum(len(one.variants) if isinstance(one, Number) else 1 for found in bank.values() for one in found)
    assert len(seen) == wanted
    wrong = root.find("question[@type='multichoice']")
    wrong.remove(wrong.find("single"))
    assert faults(root, MOODLE)


def test_formulas_are_tex_for_those_who_typeset_and_mathml_on_paper():
    assert re.sub("</?span[^>]*>", "", quiz.inline(r"So $\eta < 2$.")) == r"So \(\eta &lt; 2\)."
    assert "<math" in quiz.inline(r"$\eta$", True)
    assert quiz.inline("`y.sum()` and *this*") == "<code>y.sum()</code> and <em>this</em>"


def test_the_key_has_what_the_sheet_asks_and_the_sheet_no_answers(made, bank):
    sheet, key, hall = ((made / f"{name}.html").read_text("utf8") for name in ("sheet", "key", "clicker"))
    assert "{=" not in sheet + key + hall and "$" not in sheet + key + hall
    for one in bank["axes"]:
        if isinstance(one, Choice):
            right = quiz.inline(one.options[one.key].says, True)
            assert right in sheet and f'<span class="right">{right}</span>' in key
            assert quiz.inline(one.options[one.key].why, True) not in sheet
    choices = [one for found in bank.values() for one in found if isinstance(one, Choice)]
    assert hall.count("<section>") == 2 * len(choices)


def test_a_seed_is_a_version(made, bank, tmp_path):
    quiz.main([str(tmp_path), *NAMES, "--seed", "1"])
    quiz.main([str(tmp_path / "again"), *NAMES, "--seed", "1"])
    assert (tmp_path / "sheet.html").read_bytes() == (tmp_path / "again" / "sheet.html").read_bytes()
    assert (tmp_path / "sheet.html").read_bytes() != (made / "sheet.html").read_bytes()
    for one in bank["axes"]:
        if isinstance(one, Choice):
            assert sorted(quiz.shuffled(one, 1)) == sorted(one.options)


def test_a_chapter_without_questions_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        quiz.main([str(tmp_path), "scalign"])
    assert "no questions for scalign; there are scaling" in capsys.readouterr().err
