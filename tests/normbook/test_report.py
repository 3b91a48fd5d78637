import json

import numpy as np
import pytest

from normbook import report
from normbook.report import at_most, detectable, interval, spread, table, verdict


@pytest.mark.parametrize("count, t", [(2, 12.7062), (5, 2.7764), (31, 2.0423), (41, 2.0211), (201, 1.9719)])
def test_half_width_is_student_s(count, t):
    values = np.random.default_rng(0).normal(size=count)
    mean, half = interval(values)
    assert mean == pytest.approx(values.mean())
    assert half == pytest.approx(t * values.std(ddof=1) / np.sqrt(count), rel=2e-3)


def test_an_interval_covers_the_truth_in_95_of_100_cases():
    random = np.random.default_rng(1)
    hits = [abs(m - 3.0) <= h for m, h in (interval(random.normal(3, 2, 5)) for _ in range(4000))]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize("count", [5, 8, 40])
def test_an_effect_of_the_detectable_size_is_seen_four_times_of_five(count):
    """By simulation: the size from the true deviation, then how many intervals of new data exclude zero."""
    random = np.random.default_rng(2)
    shape = np.resize([1.0, -1.0], count)
    unit = (shape - shape.mean()) / shape.std(ddof=1)
    size = detectable(unit)  # for a deviation of one
    seen = [m - h > 0 for m, h in (interval(random.normal(size, 1, count)) for _ in range(4000))]
    assert np.mean(seen) == pytest.approx(0.8, abs=0.03)
    smaller = [m - h > 0 for m, h in (interval(random.normal(size / 2, 1, count)) for _ in range(2000))]
    assert np.mean(smaller) < 0.5


def test_at_most_is_the_far_end_of_the_interval():
    values = [0.5, -0.2, 0.9, 0.1]
    mean, half = interval(values)
    assert at_most(values) == pytest.approx(mean + half) == pytest.approx(at_most([-v for v in values]))


@pytest.mark.parametrize("values", [[1.0], [[1.0, 2.0]], []])
def test_an_interval_wants_repeats(values):
    with pytest.raises(ValueError, match="at least two values"):
        interval(values)


def test_spread_is_printed_with_its_unit_and_thin_spaces():
    assert spread([1999.0, 2001.0], digits=0, unit=" km") == "2\u202f000\xa0±\xa013\xa0km"
    assert spread([-2.0, -2.0]) == "−2.00\xa0±\xa00.00"


@pytest.fixture
def glued(monkeypatch):
    kept = {}
    monkeypatch.setattr(report, "glue", kept.__setitem__)
    return kept


def test_a_verdict_is_recorded_under_its_claim(glued):
    verdict(3, "holds when", "it rains", "0.9 ± 0.1", label="b")
    assert list(glued) == ["claim-03b"]
    assert json.loads(glued["claim-03b"]) == {
        "claim": 3,
        "word": "holds when",
        "condition": "it rains",
        "number": "0.9 ± 0.1",
    }


def test_an_undecided_claim_says_what_could_have_been_seen(glued):
    with pytest.raises(ValueError, match="claim 10 is undecided: say the smallest effect"):
        verdict(10, "undecided", "smaller than 2 points", "0.3 ± 1.7 points", smallest=" ")
    assert glued == {}
    verdict(10, "undecided", "smaller than 2 points", "0.3 ± 1.7 points", smallest="2.4 points")
    assert json.loads(glued["claim-10"])["smallest"] == "2.4 points"


@pytest.mark.parametrize(
    "claim, word, number, message",
    [
        (0, "holds", "1", "claim 0"),
        (17, "holds", "1", "claim 17"),
        (1, "maybe", "1", "'maybe'"),
        (1, "holds", " ", "needs the number"),
    ],
)
def test_wrong_verdicts_are_refused(glued, claim, word, number, message):
    with pytest.raises(ValueError, match=message):
        verdict(claim, word, "", number)
    assert glued == {}


def test_a_table_shows_itself_as_html_and_as_text():
    t = table([["a<b", "1"], ["c", "22"]], ["name", "value"], "Two rows")
    html = t._repr_html_()
    assert "<caption>Two rows</caption>" in html
    assert '<th scope="col">value</th>' in html and '<th scope="row">a&lt;b</th><td>1</td>' in html
    assert repr(t) == "Two rows\nname  value\na<b   1\nc     22"


def test_a_table_wants_full_rows():
    with pytest.raises(ValueError, match=r"rows of \[1\] cells under a header of 2"):
        table([["a"]], ["name", "value"], "")


def test_an_explanation_has_keys_of_its_own(glued):
    verdict(5, "holds", "", "0.9 ± 0.1", of="explanation")
    assert json.loads(glued["explanation-05"])["explanation"] == 5
    with pytest.raises(ValueError, match="explanation 6: want 1 to 5"):
        verdict(6, "holds", "", "1", of="explanation")
