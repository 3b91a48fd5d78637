"""The list of what resembles each other: copies are on it, honest answers are not, and it accuses nobody."""

import json
import time

import nbformat
import pytest

from grading import similar
from grading.course import SOURCES, Course
from tests.grading import submissions as class_

NAME = class_.NAME
MOMENTS = """def moments(x, axes):
    count = 1
    for axis in axes:
        count = count * x.shape[axis]
    total = np.add.reduce(x, axis=axes, keepdims=True)
    centre = total / count
    residual = x - centre
    return centre, np.add.reduce(residual * residual, axis=axes, keepdims=True) / count
"""


def notebook(**answers):
    made = class_.solved()
    for name, source in answers.items():
        class_.find(made, name.replace("_", "-")).source = source
    return made


def honest(words):
    """A solution that is the reference's, with a written answer in words of one's own."""
    return notebook(one_image=f"My answer. {words}")


@pytest.fixture
def course(tmp_path):
    made = Course(tmp_path / "root", tmp_path / "results", SOURCES)

    def put(**people):
        for student, one in people.items():
            folder = made.root / "autograded" / student / NAME
            folder.mkdir(parents=True)
            nbformat.write(one, folder / f"{NAME}.ipynb")
        return made

    return put


CLASS = {
    "ada": notebook(moments=MOMENTS, one_image="With one image both average the same values, says Ada."),
    "bo": notebook(
        moments=MOMENTS.replace("residual", "rest").replace("\n    total", "  # mine\n\n    total"),
        one_image="Because N is one there is no second image whose statistics could matter, in my opinion.",
    ),
    "cy": notebook(moments=MOMENTS, one_image="With one image both average the same values, says Ada."),
    "dee": honest("Both layers take the mean over rows and columns of one picture, therefore nothing differs at all."),
    "eve": honest("Equal. Another image would shift what batch norm subtracts, and instance norm does not look at it."),
    "fay": class_.solved(),
    "gil": class_.solved(),
    "untouched": class_.untouched(None),
}


def test_copies_are_listed_and_honest_answers_are_not(course):
    same, pairs = similar.compare(course(**CLASS), NAME, list(CLASS))
    assert same == [["ada", "cy"]]
    assert [(pair.one, pair.other) for pair in pairs] == [("ada", "bo")]  # "cy" is in the group
    assert similar.compare(course(), NAME, ["nobody"]) == ([], [])


def test_changed_names_and_comments_do_not_hide_a_copy(course):
    copied = notebook(moments=CLASS["bo"].cells[class_.index(CLASS["bo"], "moments")].source, one_image="?")
    alone = notebook(moments=MOMENTS, one_image="!")
    same, (pair,) = similar.compare(course(ada=alone, bo=copied, dee=CLASS["dee"]), NAME, ["ada", "bo", "dee"])
    assert (same, pair.one, pair.other) == ([], "ada", "bo") and 80 < pair.percent < 100 and pair.lines >= 3


def test_what_many_in_the_class_wrote_is_nobodys_own(course):
    class_of = {f"s{k}": notebook(moments=MOMENTS, one_image=f"Reason number {k}") for k in range(8)}
    same, pairs = similar.compare(course(**class_of), NAME, list(class_of))
    assert (same, pairs) == ([], [])


def test_the_report_accuses_nobody_and_is_safe_to_open(course):
    made = course(**{"ada": CLASS["ada"], "cy": CLASS["cy"]})
    path = similar.report(made, NAME, {"ada": "ada (<script>alert(1)</script>)", "cy": "=cmd()"})
    page = path.read_text()
    assert "It does not say that anybody copied, nor who wrote first" in page
    assert "<script" not in page and "&lt;script&gt;" in page and "default-src 'none'" in page
    assert "plagiar" not in page.lower() and "cheat" not in page.lower()
    assert (
        path.with_suffix(".csv").read_text(encoding="utf-8-sig").splitlines()[1]
        == "ada (<script>alert(1)</script>),'=cmd(),100,all"
    )


def test_lines_are_compared_without_spaces_comments_and_broken_code():
    assert similar.lines_of("x  =  1 # one\n\n# two\ny=(2,\n   3)") == ["x = 1", "y = ( 2 ,", "3 )"]
    assert similar.lines_of("def broken(:\n    'x  # y") == ["def broken(:", "'x"]
    assert similar.lines_of("Two  Words\n\n", code=False) == ["two words"]


def test_a_large_class_is_compared_in_blocks():
    """2,000 people, of whom two pairs are alike across the borders of blocks."""
    lines = {
        f"s{k:04d}": [f"value_{k * 7919 % 104729} = {k * k} + {k * 31 % 977} * {k * 17 % 499}", f"note {k * 13}"]
        for k in range(2_000)
    }
    lines["s1999"] = [line + " " for line in lines["s0150"]]
    lines["s1000"] = lines["s0300"]
    started = time.process_time()
    found = {(pair.one, pair.other) for pair in similar.alike(lines) if pair.percent > 95}
    assert found == {("s0150", "s1999"), ("s0300", "s1000")}
    assert time.process_time() - started < 20  # some 2 s of a processor


def test_json_of_the_graders_copies_is_what_is_read(course):
    made = course(ada=CLASS["ada"])
    cells = json.loads((made.root / "autograded" / "ada" / NAME / f"{NAME}.ipynb").read_text())["cells"]
    assert "total = np . add . reduce ( x , axis = axes , keepdims = True )" in similar.own_lines(cells)
