"""The bank of questions for a course: Canvas, Moodle, a printed sheet with its key, and slides for the lecture hall.

    python tools/quiz.py [--seed 0] [FOLDER] [CHAPTER ...]

`canvas.zip` (QTI 1.2: one quiz a chapter), `moodle.xml` (one category a chapter), `sheet.html` and `key.html` (the seed
shuffles answers and picks the numbers), `clicker.html` (a page for each question, and one for its answer).
Formulas are TeX between \\( and \\) for Canvas and Moodle, which typeset them themselves, and MathML elsewhere.
"""

import argparse
import functools
import html
import sys
import zipfile
import zlib
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import yaml
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "book")]

from normext import question_bank  # noqa: E402
from normext.question_bank import Choice, Number  # noqa: E402

LETTERS = "abcdefgh"
QTI = "http://www.imsglobal.org/xsd/ims_qtiasiv1p2"
PACKAGE = "http://www.imsglobal.org/xsd/imsccv1p1/imscp_v1p1"
META = "http://canvas.instructure.com/xsd/cccv1p0"


def chapters():
    """{name: title}, of the chapters that have questions."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf8"))
    names = [chapter["file"].rpartition("/")[2] for part in toc["parts"] for chapter in part["chapters"]]
    sources = {name: (ROOT / "book" / f"{name}.md").read_text("utf8") for name in names}
    with_questions = [name for name in names if (ROOT / "book" / "questions" / f"{name}.yml").exists()]
    return {name: sources[name].split("\n# ", 1)[1].partition("\n")[0] for name in with_questions}


# ---- Markdown


@functools.cache
def _parser(mathml):
    def formula(tex, options):
        if not mathml:
            return html.escape(f"\\[{tex}\\]" if options["display_mode"] else f"\\({tex}\\)")
        from latex2mathml.converter import convert

        return convert(tex, display="block" if options["display_mode"] else "inline")

    return MarkdownIt("commonmark").use(dollarmath_plugin, renderer=formula)


def as_html(markdown, mathml=False):
    return _parser(mathml).render(markdown).strip()


def inline(markdown, mathml=False):
    return _parser(mathml).renderInline(markdown).strip()


def told(mistake, why):
    """What is said about a wrong answer."""
    return f"*{mistake[0].upper()}{mistake[1:]}?* {why}"


# ---- Canvas


def element(parent, name, text=None, **attributes):
    child = ET.SubElement(parent, name, attributes)
    child.text = text
    return child


def material(parent, text):
    element(element(parent, "material"), "mattext", text, texttype="text/html")


def fields(parent, **values):
    metadata = element(parent, "qtimetadata")
    for label, value in values.items():
        field = element(metadata, "qtimetadatafield")
        element(field, "fieldlabel", label)
        element(field, "fieldentry", value)


def item(section, ident, title, kind, answers):
    found = element(section, "item", ident=ident, title=title)
    fields(
        element(found, "itemmetadata"),
        question_type=kind,
        points_possible="1",
        original_answer_ids=",".join(answers),
        assessment_question_identifierref=f"{ident}_question",
    )
    return found


def processing(parent):
    found = element(parent, "resprocessing")
    element(element(found, "outcomes"), "decvar", maxvalue="100", minvalue="0", varname="SCORE", vartype="Decimal")
    return found


def feedback(parent, ident, text):
    material(element(element(parent, "itemfeedback", ident=ident), "flow_mat"), text)


def canvas_choice(section, one, title):
    ident = f"{one.chapter}_{one.id}"
    answers = [f"{ident}_{letter}" for letter in LETTERS[: len(one.options)]]
    found = item(section, ident, title, "multiple_choice_question", answers)
    presentation = element(found, "presentation")
    material(presentation, as_html(one.ask))
    response = element(presentation, "response_lid", ident="response1", rcardinality="Single")
    choices = element(response, "render_choice")
    for answer, option in zip(answers, one.options, strict=True):
        material(element(choices, "response_label", ident=answer), as_html(option.says))
    process = processing(found)
    for answer in answers:
        condition = element(process, "respcondition", **{"continue": "Yes"})
        element(element(condition, "conditionvar"), "varequal", answer, respident="response1")
        element(condition, "displayfeedback", feedbacktype="Response", linkrefid=f"{answer}_fb")
    condition = element(process, "respcondition", **{"continue": "No"})
    element(element(condition, "conditionvar"), "varequal", answers[one.key], respident="response1")
    element(condition, "setvar", "100", action="Set", varname="SCORE")
    for answer, option in zip(answers, one.options, strict=True):
        feedback(found, f"{answer}_fb", as_html(option.why if option.right else told(option.mistake, option.why)))


def canvas_number(section, one, title):
    """A group: every student gets one of the variants."""
    group = element(section, "section", ident=f"{one.chapter}_{one.id}", title=title)
    selection = element(element(group, "selection_ordering"), "selection")
    element(selection, "selection_number", "1")
    element(element(selection, "selection_extension"), "points_per_item", "1")
    for at, variant in enumerate(one.variants, 1):
        ident = f"{one.chapter}_{one.id}_{at}"
        found = item(group, ident, f"{title} ({at})", "numerical_question", [f"{ident}_answer"])
        presentation = element(found, "presentation")
        material(presentation, as_html(variant.ask))
        response = element(presentation, "response_str", ident="response1", rcardinality="Single")
        element(element(response, "render_fib", fibtype="Decimal"), "response_label", ident="answer1")
        process = processing(found)
        condition = element(process, "respcondition", **{"continue": "Yes"})
        element(element(condition, "conditionvar"), "other")
        element(condition, "displayfeedback", feedbacktype="Response", linkrefid="general_fb")
        condition = element(process, "respcondition", **{"continue": "No"})
        either = element(element(condition, "conditionvar"), "or")
        element(either, "varequal", number(variant.answer), respident="response1")
        both = element(either, "and")
        element(both, "vargte", number(variant.answer - variant.tolerance), respident="response1")
        element(both, "varlte", number(variant.answer + variant.tolerance), respident="response1")
        element(condition, "setvar", "100", action="Set", varname="SCORE")
        feedback(found, "general_fb", as_html(variant.why))


def number(value):
    return f"{value:.10g}" if abs(value) >= 1e-4 or not value else f"{value:.10f}"


def written(root):
    ET.indent(root)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True)


def canvas_quiz(name, title, questions):
    root = ET.Element("questestinterop", xmlns=QTI)
    assessment = element(root, "assessment", ident=f"normcore_{name.replace('-', '_')}", title=f"Normcore: {title}")
    fields(assessment, cc_maxattempts="1")
    section = element(assessment, "section", ident="root_section")
    for at, one in enumerate(questions, 1):
        (canvas_choice if isinstance(one, Choice) else canvas_number)(section, one, f"{title}, question {at}")
    return root


def canvas_meta(ident, title, points):
    root = ET.Element("quiz", identifier=ident, xmlns=META)
    for key, value in {
        "title": title, "description": "", "shuffle_answers": "true", "scoring_policy": "keep_highest",
        "hide_results": "", "quiz_type": "practice_quiz", "points_possible": f"{points}.0",
        "show_correct_answers": "true", "allowed_attempts": "-1", "available": "false",
    }.items():  # fmt: skip
        element(root, key, value)
    return root


def canvas(bank, titles, path):
    """One zip: a manifest, and for each chapter a quiz and what Canvas wants to know of it."""
    manifest = ET.Element("manifest", identifier="normcore_questions", xmlns=PACKAGE)
    metadata = element(manifest, "metadata")
    element(metadata, "schema", "IMS Content")
    element(metadata, "schemaversion", "1.1.3")
    element(manifest, "organizations")
    resources = element(manifest, "resources")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        def put(name, root):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), written(root), zipfile.ZIP_DEFLATED)

        for name, questions in bank.items():
            ident = f"normcore_{name.replace('-', '_')}"
            quiz, meta = f"{ident}/{ident}.xml", f"{ident}/assessment_meta.xml"
            resource = element(resources, "resource", identifier=ident, type="imsqti_xmlv1p2")
            element(resource, "file", href=quiz)
            element(resource, "dependency", identifierref=f"{ident}_meta")
            kind = "associatedcontent/imscc_xmlv1p1/learning-application-resource"
            other = element(resources, "resource", identifier=f"{ident}_meta", type=kind, href=meta)
            element(other, "file", href=meta)
            put(quiz, canvas_quiz(name, titles[name], questions))
            put(meta, canvas_meta(ident, f"Normcore: {titles[name]}", len(questions)))
        put("imsmanifest.xml", manifest)


# ---- Moodle


def moodle_text(parent, name, text, **attributes):
    found = element(parent, name, **attributes)
    element(found, "text", text)
    return found


def moodle_question(quiz, kind, ident, title, ask, general):
    found = element(quiz, "question", type=kind)
    moodle_text(found, "name", title)
    moodle_text(found, "questiontext", as_html(ask), format="html")
    moodle_text(found, "generalfeedback", general, format="html")
    for key, value in {"defaultgrade": "1", "penalty": "0.3333333", "hidden": "0", "idnumber": ident}.items():
        element(found, key, value)
    return found


def moodle_answer(parent, fraction, text, why, **more):
    found = moodle_text(parent, "answer", text, fraction=fraction, **more)
    moodle_text(found, "feedback", as_html(why), format="html")
    return found


def category(quiz, *names):
    """The questions that follow belong to a category; it is made if it is not there."""
    found = element(quiz, "question", type="category")
    path = "/".join(name.replace("/", "//") for name in names)
    moodle_text(found, "category", f"$course$/top/Normcore/{path}")
    return found


def moodle(bank, titles, path):
    quiz = ET.Element("quiz")
    for name, questions in bank.items():
        category(quiz, titles[name])
        numbers = []
        for at, one in enumerate(questions, 1):
            title = f"{titles[name]}, question {at}"
            if isinstance(one, Number):
                numbers.append((title, one))
                continue
            found = moodle_question(quiz, "multichoice", f"{name}-{one.id}", title, one.ask, "")
            for key, value in {"single": "true", "shuffleanswers": "true", "answernumbering": "abc"}.items():
                element(found, key, value)
            for key in ("correctfeedback", "partiallycorrectfeedback", "incorrectfeedback"):
                moodle_text(found, key, "", format="html")
            for option in one.options:
                why = option.why if option.right else told(option.mistake, option.why)
                moodle_answer(found, "100" if option.right else "0", as_html(option.says), why, format="html")
        for title, one in numbers:  # a category each, so that a quiz may draw one of them at random
            category(quiz, titles[name], f"{title}, a number")
            for at, variant in enumerate(one.variants, 1):
                ident = f"{name}-{one.id}-{at}"
                found = moodle_question(quiz, "numerical", ident, f"{title} ({at})", variant.ask, as_html(variant.why))
                rows = [("100", variant.answer, variant.tolerance, variant.why)]
                rows += [("0", m.value, variant.tolerance, told(m.mistake, m.why)) for m in variant.mistakes]
                for fraction, value, tolerance, why in rows:
                    answer = moodle_answer(found, fraction, number(value), why, format="moodle_auto_format")
                    element(answer, "tolerance", number(tolerance))
                element(found, "unitgradingtype", "0")  # a number without a unit
                element(found, "showunits", "3")
    Path(path).write_bytes(written(quiz))


# ---- paper, and the lecture hall

STYLE = """
body { font: 11pt/1.4 Georgia, serif; margin: 0 auto; max-width: 46rem; padding: 1rem; }
h1 { font-size: 1.5em; } h2 { break-after: avoid; font-size: 1.15em; margin-top: 1.6em; }
ol.asked { padding-left: 1.6em; } ol.asked > li { break-inside: avoid; margin: 1em 0; }
ol.options { list-style: lower-alpha; } ol.options li { margin: 0.2em 0; }
.line { border-bottom: 1px solid; display: inline-block; width: 12em; }
.right { font-weight: bold; } .why { font-size: 0.9em; margin: 0.1em 0 0.4em; }
@page { margin: 18mm 16mm; }
"""
HALL = """
html { scroll-snap-type: y mandatory; }
body { font: 3vh/1.35 system-ui, sans-serif; margin: 0; }
section { box-sizing: border-box; break-after: page; display: flex; flex-direction: column; height: 100vh;
  justify-content: center; overflow: auto; padding: 4vh 7vw; scroll-snap-align: start; }
h1 { font-size: 1.25em; font-weight: 600; margin: 0 0 0.7em; } h1 p { margin: 0; }
ol { list-style: upper-alpha; margin: 0; padding-left: 1.5em; } li { margin: 0.45em 0; }
.right { font-weight: 700; } .wrong { opacity: 0.75; } small { display: block; font-size: 0.72em; }
footer { color: #555; font-size: 0.6em; margin-top: 1.5em; }
@page { margin: 0; size: 16in 9in; }
@media print { body { font-size: 0.27in; } section { height: 9in; } }
"""


def page(title, body, style):
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{style}</style></head><body>{body}</body></html>\n'
    )


def shuffled(one, seed):
    """The options, in the order of this seed; 0 is that of the book."""
    if not seed:
        return list(one.options)
    order = np.random.default_rng([seed, zlib.crc32(f"{one.chapter}/{one.id}".encode())]).permutation(len(one.options))
    return [one.options[i] for i in order]


def variant_of(one, seed):
    return one.variants[seed % len(one.variants)]


def sheet(bank, titles, seed, key):
    version = f", version {seed}" if seed else ""
    parts = [f"<h1>Normcore: questions{version}{', key' if key else ''}</h1>"]
    if not key:
        parts.append('<p>Name <span class="line"></span> Date <span class="line"></span></p>')
    count = 1
    for name, questions in bank.items():
        parts.append(f'<h2>{html.escape(titles[name])}</h2><ol class="asked" start="{count}">')
        for one in questions:
            count += 1
            parts.append("<li>" + (paper_choice if isinstance(one, Choice) else paper_number)(one, seed, key) + "</li>")
        parts.append("</ol>")
    return page(f"Normcore: questions{', key' if key else ''}", "\n".join(parts), STYLE)


def paper_choice(one, seed, key):
    rows = []
    for option in shuffled(one, seed):
        says = inline(option.says, True)
        why = inline(option.why if option.right else told(option.mistake, option.why), True)
        kind = ' class="right"' if option.right else ""
        rows.append(f"<li><span{kind}>{says}</span><div class=\"why\">{why}</div></li>" if key else f"<li>{says}</li>")
    return f'{as_html(one.ask, True)}<ol class="options">{"".join(rows)}</ol>'


def paper_number(one, seed, key):
    v = variant_of(one, seed)
    if not key:
        return f'{as_html(v.ask, True)}<p><span class="line"></span></p>'
    mistakes = "".join(f"<li>{m.value:.4g}: {inline(told(m.mistake, m.why), True)}</li>" for m in v.mistakes)
    why = f'<span class="right">{v.shown}</span> {inline(v.why, True)}'
    return f'{as_html(v.ask, True)}<div class="why">{why}<ul>{mistakes}</ul></div>'


def clicker(bank, titles, seed):
    parts = []
    for name, questions in bank.items():
        for one in questions:
            if isinstance(one, Number):
                continue
            options = shuffled(one, seed)
            ask, foot = f"<h1>{as_html(one.ask, True)}</h1>", f"<footer>{html.escape(titles[name])}</footer>"
            asked = "".join(f"<li>{inline(o.says, True)}</li>" for o in options)
            answered = "".join(
                f'<li class="{"right" if o.right else "wrong"}">{inline(o.says, True)}'
                f"<small>{inline(o.why if o.right else told(o.mistake, o.why), True)}</small></li>"
                for o in options
            )
            parts += [f"<section>{ask}<ol>{rows}</ol>{foot}</section>" for rows in (asked, answered)]
    return page("Normcore: questions for the lecture", "\n".join(parts), HALL)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "dist" / "quiz")
    parser.add_argument("chapters", nargs="*")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    titles = chapters()
    if unknown := set(given.chapters) - set(titles):
        parser.error(f"no questions for {', '.join(sorted(unknown))}; there are {', '.join(titles)}")
    bank = question_bank.read_all(ROOT / "book" / "questions", given.chapters or titles)
    given.folder.mkdir(parents=True, exist_ok=True)
    canvas(bank, titles, given.folder / "canvas.zip")
    moodle(bank, titles, given.folder / "moodle.xml")
    for name, text in {
        "sheet": sheet(bank, titles, given.seed, key=False),
        "key": sheet(bank, titles, given.seed, key=True),
        "clicker": clicker(bank, titles, given.seed),
    }.items():
        (given.folder / f"{name}.html").write_text(text, "utf8")
    questions = [one for found in bank.values() for one in found]
    options = [option for one in questions if isinstance(one, Choice) for option in one.options]
    print(
        f"{given.folder}: {len(questions)} questions in {len(bank)} chapters; "
        f"{sum(o.computed for o in options)} of {len(options)} options were executed"
    )


if __name__ == "__main__":
    main()
