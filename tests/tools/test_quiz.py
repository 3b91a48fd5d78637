"""What `make quiz` writes: QTI by its published document type, Moodle XML by its importer, paper, slides."""

import hashlib
import importlib.util
import io
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from lxml import etree
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


# The document type definition of QTI 1.2.1 as IMS published it stands among the tests of the package pyslet.
DTD = ("pyslet", "0.7.20170805", "d4cbb85e16d58a8f990e15e711266ec2fe30a4dc4626c4d839bb7b7824afdf6c",
       "unittests/data_imsqtiv1p2p1/ims_qtiasiv1p2p1.dtd")  # fmt: skip
CANVAS = "<!ELEMENT points_per_item (#PCDATA)>"  # selection_extension may hold anything: this, for Canvas


@pytest.fixture(scope="module")
def document_type(tmp_path_factory):
    """The published document type definition of QTI; pip fetches its package once, and checks its bytes."""
    name, version, sha256, member = DTD
    path = ROOT / ".cache" / "pip" / f"{name}-{version}.tar.gz"
    if not path.exists():
        wanted = tmp_path_factory.mktemp("wanted") / "requirements.txt"
        wanted.write_text(f"{name}=={version} --hash=sha256:{sha256}\n")
        fetch = ["download", "--quiet", "--no-deps", "--no-build-isolation", "--no-binary", name, "--dest", path.parent]
        done = subprocess.run([sys.executable, "-m", "pip", *fetch, "-r", wanted], capture_output=True, text=True)
        if done.returncode:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"pip could not fetch {name}: {done.stderr[-300:]}")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    with tarfile.open(path) as archive:
        text = archive.extractfile(f"{name}-{version}/{member}").read().decode()
    return etree.DTD(io.StringIO(text.partition("?>")[2] + CANVAS))


def invalid(element, document_type):
    """What the document type has against a quiz; it is older than the namespace that Canvas asks for."""
    root = etree.fromstring(ET.tostring(element))
    for one in root.iter():
        one.tag = etree.QName(one).localname
    for key in [key for key in root.attrib if key.startswith("{")]:
        del root.attrib[key]
    etree.cleanup_namespaces(root)
    return [] if document_type.validate(root) else [fault.message for fault in document_type.error_log]


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


def test_canvas_keeps_the_published_document_type(made, document_type):
    for root in quizzes(made).values():
        assert invalid(root, document_type) == []
        idents = [one.get("ident") for one in root.iter() if one.tag.endswith(("}item", "}section", "}assessment"))]
        assert len(set(idents)) == len(idents)
        for item in root.iter(f"{{{quiz.QTI}}}item"):
            links = {one.get("linkrefid") for one in item.iter(f"{{{quiz.QTI}}}displayfeedback")}
            assert links == {one.get("ident") for one in item.iter(f"{{{quiz.QTI}}}itemfeedback")}


@pytest.mark.parametrize("fault", ["order", "unknown", "attribute", "empty"])
def test_the_document_type_finds_a_fault(made, fault, document_type):
    root = quizzes(made)["axes"]
    item = next(root.iter(f"{{{quiz.QTI}}}item"))
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
    assert invalid(root, document_type)


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
