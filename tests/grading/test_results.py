"""The table of a class: no cell acts in a spreadsheet; who shares a cell is found in time that grows with the class."""

import csv
import io

import pytest

from grading import results
from grading.records import Flag, Mark, Record

ACTS = "=+-@\uff1d\uff0b\uff0d\uff20"  # what a spreadsheet takes for the start of a formula, full width included


def cells_as(text, separator):
    """Every cell that a program sees which splits lines at this separator, also inside quotes of another kind."""
    quoted = [cell for row in csv.reader(io.StringIO(text), delimiter=separator) for cell in row]
    plain = [cell for line in text.splitlines() for cell in line.split(separator)]
    return quoted + plain


BEFORE = ["", "Ada;", "Ada,", "Ada\t", "Ada|", "Ada\n", "Ada\r", "Ada; ", 'Ada;"', "Ada;;", " "]


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("start", ACTS)
def test_no_name_becomes_a_formula(separator, before, start):
    name = f"{before}{start}cmd|' /C calc'!A0"
    text = results.sheet([["id", "name", "points"], ["7", name, "3"]], mark="")
    acting = [cell for cell in cells_as(text, separator) if cell.strip(" \"\t'\ufeff")[:1] in ACTS and cell.strip()]
    assert [cell for cell in acting if cell.strip(' "\t')[:1] != "'"] == []


@pytest.mark.parametrize(
    "text", ["Anne-Marie", "Li Wei", "O'Neil", "a + b", "-1.5", "+3", "12,5%", "van der Berg; Ada", ""]
)
def test_what_is_no_formula_stays_as_it_is(text):
    assert results.cell(text) == text


def test_every_cell_of_the_table_is_made_safe():
    record = Record(";=id", ";=1", "@name;=2", marks=(Mark("q", 1, 2),), flags=(Flag("renamed", "a;=3"),), late="no")
    text = results.table("forward-pass", [record], {";=id": [";=other"]})
    row = next(csv.reader([text.splitlines()[1]]))
    assert row[:3] == [";'=1", "'@name;'=2", ";'=id"]
    assert row[8] == "renamed: a;'=3; cells in common: ;'=other"


class Counted(str):
    """A text that counts how often it is compared."""

    looked = 0

    def __eq__(self, other):
        Counted.looked += 1
        return str.__eq__(self, other)

    def __ne__(self, other):
        Counted.looked += 1
        return str.__ne__(self, other)

    __hash__ = str.__hash__


def class_of(number, together=()):
    """A class in which everybody has a cell of their own, a cell of the whole class, and one with a neighbor."""
    return [
        Record(Counted(f"s{k:05d}"), ids=(f"own-{k}", "given-out-later", f"pair-{k // 2}", ""), together=together)
        for k in range(number)
    ]


def looks(number):
    Counted.looked = 0
    results.shared_cells(class_of(number))
    return Counted.looked


def test_shared_cells_of_a_large_class_take_no_square_of_it():
    few, many = looks(250), looks(2_000)
    assert 0 < many < 12 * few  # eight times as many people
    assert results.shared_cells(class_of(2_000))["s01999"] == ["s00000", "s00001", "s00002"]


def test_who_handed_in_together_is_not_named():
    both = ("Ada", "Emmy")
    found = results.shared_cells(
        [Record("a", ids=("x",), together=both), Record("b", ids=("x",), together=both), Record("c", ids=("x", "x"))]
    )
    assert found == {"a": ["c"], "b": ["c"], "c": ["a", "b"]}
