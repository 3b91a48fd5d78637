import numpy as np
import pytest

from normbook.experiments.bank import NORMS
from normbook.experiments.sweep import LONG, Row, _small
from normbook.figures import experiments
from normbook.figures.experiments import (
    IMAGENET,
    IMAGENET_IN,
    IMAGENET_SIZES,
    draw_alike,
    draw_curves,
    draw_imagenet,
    draw_leads,
    draw_norm_batches,
    draw_rates,
    draw_standings,
    draw_statistics,
    draw_to_the_end,
    lead,
)

ACCURACY = {"none": 0.70, "LN": 0.72, "GN": 0.74, "IN": 0.80, "BN": 0.78}


def made_up(plan):
    """Norms at the accuracies above, BN less by 0.08 / norm batch; running statistics worse, groups better; seed s adds
    s/1000.  With rates: each ends at its accuracy for rates below one, at a tenth above."""
    results = {}
    for entry in plan:
        job = entry.job
        noise = np.arange(len(job.seeds)) / 1000
        end = (
            ACCURACY[job.norm]
            - (0.08 / job.norm_batch if job.norm == "BN" else 0)
            - 0.3 * job.alike * (job.norm == "BN")
        )
        if "rates" in entry.name:
            rates = np.where(np.array(job.rates) < 1, end, 0.1)
            ends = rates + noise[:, None]
            curve = ends[..., None] * np.linspace(0.2, 1, job.checks)
            measured = {"validation": curve, "train": ends, "test": ends}
            results[entry.name] = Row(job, measured, None, {})
            continue
        test = end + noise
        measured = {"test": test, "train": test + 0.05}
        if job.norm == "BN":
            measured |= {"population": test + 0.01, "company": test + 0.02}
        results[entry.name] = Row(job, measured, 0.1, {})
    return results


@pytest.fixture(scope="module")
def small():
    return made_up(_small())


@pytest.fixture(scope="module")
def long():
    return made_up(LONG)


def lines(ax):
    """The lines with markers or labels of an axes, by label: (x, y)."""
    found = {line.get_label(): np.array(line.get_data()) for line in ax.get_lines() if line.get_label()[0] != "_"}
    for bars in ax.containers:
        found[bars.get_label()] = np.array(bars.lines[0].get_data())
    return found


@pytest.mark.parametrize(("rate", "share"), [(0.125, 1.0), (2.0, None)])
def test_curves_are_those_of_one_rate_for_all(small, rate, share):
    fig = draw_curves(small, rate)
    drawn = lines(fig.axes[0])
    assert set(drawn) == set(NORMS)
    assert drawn["IN"][1][-1] == pytest.approx(80.25 if share else 10.25)  # the median of six seeds
    assert drawn["IN"][0].tolist() == small["digits rates IN"].job.check_steps
    assert len(fig.axes[0].get_lines()) == 5 * 7 + 1  # six thin, one thick, and the line at 90%
    assert fig.numbers.startswith(f"learning rate {'1/8' if share else '2'}; median network after 150 steps: none ")


def test_standings_have_a_point_for_each_network_and_a_bar_to_the_median(small):
    steps = small["digits rates BN"].job.check_steps[-1]
    fig = draw_standings(small, 0.125, steps, data="digits")
    bars, points = fig.axes[0].patches, fig.axes[0].get_lines()
    assert len(bars) == 5 and [len(line.get_xdata()) for line in points[:5]] == [6] * 5
    assert bars[NORMS.index("IN")].get_width() == pytest.approx(80.25)  # the median of six seeds
    assert fig.numbers.startswith(f"learning rate 1/8, {steps} steps; medians: none ")


def test_rates_show_a_point_for_each_network_and_the_cliff(small, long):
    fig = draw_rates(small, long)
    assert [ax.get_title() for ax in fig.axes] == ["digits, this build", "clothes, long run"]
    for ax, source, data in zip(fig.axes, (small, long), ("digits", "clothes"), strict=True):
        drawn = lines(ax)
        seeds = len(source[f"{data} rates BN"].job.seeds)
        assert len(ax.get_lines()) == 5 * (1 + seeds)
        assert drawn["BN"][1][-1] == pytest.approx(10 + (seeds - 1) / 20)
        assert drawn["BN"][1][0] == pytest.approx(78 - 0.25 + (seeds - 1) / 20)
    assert "IN 80% at 1/128" in fig.numbers


@pytest.mark.parametrize("network", ["plain", "shortcuts"])
def test_norm_batches_beside_level_lines_on_the_same_axes(small, long, network):
    fig = draw_norm_batches(small, long, network)
    for ax, source, prefix, sizes in zip(
        fig.axes, (small, long), ("", "28 "), ((1, 2, 4, 8, 32), (1, 2, 4, 8, 32, 128)), strict=True
    ):
        drawn = lines(ax)
        there = [s for s in sizes if f"{prefix}{network} BN {s}" in source]
        assert drawn["BN"][0].tolist() == there
        mean = 100 * source[f"{prefix}{network} BN 2"].measured["test"].mean()
        assert drawn["BN"][1][there.index(2)] == pytest.approx(mean)
        assert ("GN" in drawn) == (f"{prefix}{network} GN" in source)
        level = 100 * source[f"{prefix}{network} IN"].measured["test"].mean()
        assert drawn["IN"][1] == pytest.approx([level, level])
        assert ax.get_ylim() == (58, 88)
    assert fig.numbers.count("BN ") == 2


def test_leads_are_paired_and_their_axes_stand_still(small, long):
    fig = draw_leads(small, long)
    drawn = lines(fig.axes[0])["IN"]
    # the seeds' noise is common to both, so it cancels: 2 + 8 / norm batch
    np.testing.assert_allclose(drawn[1], [2 + 8 / s for s in (1, 2, 4, 8, 32)])
    bars = fig.axes[0].containers[0].lines[2][0].get_segments()
    assert all(np.ptp(bar[:, 1]) < 1e-9 for bar in bars)
    assert "14×14, this build: +10.0 (1), +6.0 (2)" in fig.numbers
    assert draw_leads(small, long, "shortcuts").axes[1].get_ylim() == fig.axes[1].get_ylim() == (-4, 24)


def test_statistics_of_three_kinds(small, long):
    fig = draw_statistics(small, long)
    drawn = lines(fig.axes[1])
    assert set(drawn) == {"running", "population", "own group"}
    np.testing.assert_allclose(drawn["population"][1] - drawn["running"][1], 1)
    np.testing.assert_allclose(drawn["own group"][1] - drawn["running"][1], 2)


def test_alike_begins_with_the_plain_groups_of_eight(small, long):
    fig = draw_alike(small, long)
    for ax, source, prefix in zip(fig.axes, (small, long), ("", "28 "), strict=True):
        at, y = lines(ax)["BN"]
        shares = [0, 0.5, 0.75, 1] if prefix else [0, 0.5, 1]
        np.testing.assert_allclose(at, np.array(shares) + 0.02)
        plain = 100 * source[f"{prefix}plain BN 8"].measured["test"].mean()
        np.testing.assert_allclose(y, plain - 30 * np.array(shares))
        assert lines(ax)["IN"][0].tolist() == [0, 1] and ax.get_ylim() == (0, 100)


def test_to_the_end_shows_every_seed(small, long):
    fig = draw_to_the_end(small, long)
    seeds = [8, 6]
    for ax, count in zip(fig.axes, seeds, strict=True):
        points = [line for line in ax.get_lines() if line.get_marker() == "." and len(line.get_xdata()) == count]
        assert len(points) == (3 if count == 8 else 5)
        np.testing.assert_allclose(points[2].get_ydata(), 10)  # IN minus none
    assert "digits, BN 16: +7.5 ± 0.0" in fig.numbers and "clothes, LN: +2.0 ± 0.0" in fig.numbers


def test_a_lead_is_taken_seed_by_seed(small):
    np.testing.assert_allclose(lead(small, "plain IN", "plain none"), [10] * 6)  # of twenty-four and of six seeds
    np.testing.assert_allclose(lead(small, "plain BN 2", "plain BN 2", "population"), [0] * 24)


def test_the_numbers_of_wu_and_he_are_those_of_their_own_table():
    """Their table 2 gives the difference of the two rows as well, from 32 images for each worker to 2."""
    bn, gn = (np.array(IMAGENET[norm]) for norm in ("BN", "GN"))
    assert IMAGENET_SIZES == (2, 4, 8, 16, 32)
    np.testing.assert_allclose((gn - bn)[::-1], [0.5, 0.5, -0.8, -3.1, -10.6], atol=1e-9)
    # their table 1, at 32: LN 25.3 and IN 28.4 are 1.7 and 4.8 worse than BN
    assert pytest.approx(4.8) == IMAGENET_IN - bn[-1]
    drawn = lines(draw_imagenet().axes[0])
    assert drawn["BN"][1].tolist() == [34.7, 27.3, 24.8, 23.7, 23.6]
    assert drawn["GN"][1].tolist() == [24.1, 24.2, 24.0, 24.2, 24.1]


def test_two_swapped_numbers_would_be_noticed(monkeypatch):
    monkeypatch.setitem(experiments.IMAGENET, "GN", (24.1, 24.0, 24.2, 24.2, 24.1))
    with pytest.raises(AssertionError):
        test_the_numbers_of_wu_and_he_are_those_of_their_own_table()


def test_every_picture_says_what_it_shows(small, long):
    for fig in (
        draw_curves(small, 0.5), draw_rates(small, long), draw_norm_batches(small, long), draw_leads(small, long),
        draw_statistics(small, long), draw_alike(small, long), draw_to_the_end(small, long), draw_imagenet(),
    ):  # fmt: skip
        assert len(fig.alt) > 80 and fig.numbers and fig.numbers in fig.alt
        fig.to_svg()
