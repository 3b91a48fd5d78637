import json

import numpy as np
import pytest

from normbook import evidence
from normbook.evidence import (
    all_at_most,
    at_most,
    bound,
    detectable,
    factor,
    interval,
    middle,
    pooled,
    rounded_up,
    spread,
    table,
    verdict,
)


@pytest.mark.parametrize("count, t", [(2, 12.7062), (5, 2.7764), (31, 2.0423), (41, 2.0211), (201, 1.9719)])
def test_half_width_is_student_s(count, t):
    values = np.random.default_rng(0).normal(size=count)
    mean, half = interval(values)
    assert mean == pytest.approx(values.mean())
    assert half == pytest.approx(t * values.std(ddof=1) / np.sqrt(count), rel=5e-5)


def test_an_interval_covers_the_truth_in_95_of_100_cases():
    random = np.random.default_rng(1)
    hits = [abs(m - 3.0) <= h for m, h in (interval(random.normal(3, 2, 5)) for _ in range(4000))]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.012)


def test_of_several_looks_all_hold_in_95_of_100_cases():
    random = np.random.default_rng(4)
    looks = random.normal(size=(3000, 4, 6))
    false = [[abs(m) > h for m, h in (interval(v, looks=4) for v in four)] for four in looks]
    assert np.any(false, axis=1).mean() == pytest.approx(0.05, abs=0.012)
    alone = [[abs(m) > h for m, h in map(interval, four)] for four in looks[:1000]]
    assert np.any(alone, axis=1).mean() > 0.15  # uncorrected, one in five is false news
    values = looks[0, 0]
    assert interval(values, looks=4)[1] / interval(values)[1] == pytest.approx(3.8100 / 2.5706, rel=1e-3)
    assert detectable(values, looks=4) > 1.3 * detectable(values)


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


def test_new_repeats_stay_below_their_bound_19_times_of_20():
    """Their mean can leave it on one side only, the far one: 39 times of 40."""
    random = np.random.default_rng(5)
    inside = [abs(random.normal(5, 2, 10).mean()) <= at_most(random.normal(5, 2, 10)) for _ in range(4000)]
    assert np.mean(inside) == pytest.approx(0.975, abs=0.01)
    assert at_most([0.1, 0.2, 0.4]) == pytest.approx(at_most([-0.1, -0.2, -0.4]))
    mean, half = interval([0.1, 0.2, 0.4], looks=3)
    assert at_most([0.1, 0.2, 0.4], looks=3) == pytest.approx(mean + np.sqrt(2) * half)


def test_two_sets_together_cover_the_mean_of_their_truths():
    """Of other spread and other size."""
    random = np.random.default_rng(6)
    found = [pooled(random.normal(1, 1, 8), random.normal(3, 4, 6)) for _ in range(4000)]
    assert 0.94 < np.mean([abs(mean - 2) < half for mean, half in found]) < 0.98


def test_the_median_s_interval_covers_it_although_some_values_are_wild():
    """Coverage is 1 - 2·(1 + 12 + 66)/2¹²: the three lowest and the three highest of twelve."""
    random = np.random.default_rng(7)
    drawn = np.exp(3 * random.normal(size=(4000, 12)))
    found = [middle(values) for values in drawn]
    assert np.mean([low <= 1 <= high for _, low, high in found]) == pytest.approx(1 - 158 / 4096, abs=0.01)
    assert found[0] == (np.median(drawn[0]), *np.sort(drawn[0])[[2, 9]])
    with pytest.raises(ValueError, match="at least 6"):
        middle([1.0] * 5)


@pytest.mark.parametrize("digits", [-1, 0, 1, 3])
def test_a_printed_bound_bounds(digits):
    """Never below the value, and less than one step above it; what has so few decimals stays."""
    step = 10.0**-digits
    for value in np.random.default_rng(3).normal(0, 30, 500):
        assert value <= rounded_up(value, digits) < value + 1.000001 * step
        kept = round(float(value), digits)
        assert rounded_up(kept, digits) == kept
    assert (bound(6.02), bound(9.4), bound(0.8, 1), bound(0.81, 1), bound(1200.2)) == (
        "7",
        "10",
        "0.8",
        "0.9",
        "1\u202f201",
    )
    assert bound(float("inf"), 1) == "inf"


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
    monkeypatch.setattr(evidence, "glue", kept.__setitem__)
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


def test_several_means_respect_their_common_bound_together():
    random = np.random.default_rng(4)
    kept = []
    for _ in range(2000):
        most = all_at_most([random.normal(5, 2, 8) for _ in range(4)])
        kept.append(max(abs(random.normal(5, 2, 8).mean()) for _ in range(4)) <= most)
    assert np.mean(kept) > 0.95
    assert all_at_most([[0.1, 0.2, 0.4], [1, 2, 4]]) == pytest.approx(at_most([1, 2, 4], looks=2))


def test_a_factor_is_told_from_one_four_times_of_five_where_it_is_as_large_as_could_be_seen():
    random = np.random.default_rng(5)
    seen = np.median([factor(np.exp(random.normal(0, 0.3, 12))).seen for _ in range(400)])
    told = np.mean([factor(np.exp(random.normal(np.log(seen), 0.3, 12))).low > 1 for _ in range(2000)])
    assert abs(told - 0.8) < 0.04
    ratios = [2.0, 4.0, 8.0]
    plain, rounded = factor(ratios), factor(ratios, steps=[2, 2])
    assert plain.mean == rounded.mean == pytest.approx(4)
    assert rounded.low < plain.low < plain.high < rounded.high and rounded.seen > plain.seen
    logs = np.log(ratios)
    assert plain.seen == pytest.approx(np.exp(detectable(logs)))
    assert np.log(rounded.high / 4) == pytest.approx(np.hypot(interval(logs)[1], 2 * np.log(2) / np.sqrt(6)))
