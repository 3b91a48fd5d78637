"""What the pages know of their cells before anybody runs one."""

import pytest
from normext.runner import stands_alone

IMPORTED = "import numpy as np"


@pytest.mark.parametrize(
    "own, below",
    [
        ("from normbook import explore\nexplore(1)", "from normbook import explore\nexplore(2)"),
        ("b = 1", "b = 2\nprint(b)"),
        ("b = np.ones(3).sum()", "print(np.zeros(3))"),
        ("print(rng.normal())", "print(1)"),
    ],
)
def test_a_hidden_cell_that_nothing_below_needs(own, below):
    assert stands_alone(own, [IMPORTED, "rng = np.random.default_rng(0)"], [below])


@pytest.mark.parametrize(
    "own, below",
    [
        ("b = 1", "print(b)"),
        ("b = 1", "b = b + 1"),
        ("b = 1", "b += 1"),
        ("b = 1", "if a:\n    b = 2\nprint(b)"),
        ("b = 1", "def f():\n    return b"),
        ("import a.c", "a.c"),
        ("def b(): pass", "b()"),
        ("for b in a:\n    pass", "print(b)"),
        ("print(rng.normal())", "print(rng.normal())"),  # it moves the generator on
        ("x[0] = 7", "print(x)"),
    ],
)
def test_one_that_something_below_needs(own, below):
    above = [IMPORTED, "rng = np.random.default_rng(0)\nx = np.ones(3)\na = 1"]
    assert not stands_alone(own, above, [below])
