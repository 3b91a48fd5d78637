import numpy as np
import pytest

from normbook.experiments.why import (
    BRANCHES,
    DATA,
    GHOST_LOOKS,
    GHOST_RATES,
    GHOSTS,
    KINDS,
    LANDSCAPES,
    LONGER,
    SHIFTS,
    STARTS,
    STRETCHES,
    TOLERATED,
    TURNS,
    WIDE,
)
from normbook.figures import why

SEEDS = np.arange(3.0)


def filled(*shape):
    return np.full((*shape, 3), 0.5) + SEEDS / 100


@pytest.fixture(scope="module")
def found():
    looks, one = 12, {}
    one["course"] = filled(2, 24, len(WIDE)).swapaxes(2, 3)
    one["course"][0, 5:, :, 4:] = np.nan  # without a norm it breaks down from rate 2 on
    for k, (name, *_) in enumerate(KINDS):  # its edge lies at 2^(k - 2.5)
        rates = 2.0 ** np.arange(-6, 5)
        one |= {f"rates {name}": rates, f"test {name}": np.where(rates < 2.0 ** (k - 2.5), 0.95, 0.1) * np.ones((3, 1))}
    one |= {name: filled(len(SHIFTS)) for name in ("drift", "cosine")}
    one["beta"] = filled(len(LANDSCAPES), looks)
    one["scaled"] = 8 / np.square(LONGER)[:, None] * np.ones(3)
    for decay, rates in TURNS.items():
        law = np.sqrt(2 * decay * np.array(rates))
        one[f"angle {decay:g}"] = np.ones((len(STARTS), 3, 1)) * law
        one[f"length {decay:g}"] = np.ones((len(STARTS), 20, 3, len(rates)))
        one[f"turn {decay:g}"] = np.ones((len(STARTS), 21, 3, 1)) * law
    ups = np.arange(11.0)[None, :, None]
    one["variance BN 1"] = np.repeat(1 + (1 - 1 / np.pi) * ups, 2, 0) * np.ones(3)
    one["variance none 1"] = np.repeat(2.0**ups, 2, 0) * np.ones(3)
    one["variance none 1"][1, :, 0] = np.nan  # one seed broke down in training
    one["variance shrunk"] = np.ones((2, 11, 3))
    one["new"] = filled(len(GHOST_RATES), len(GHOSTS), len(GHOST_LOOKS))
    one["rate"] = np.array([0.5])
    falling = filled(len(GHOST_RATES), len(GHOSTS), len(GHOST_LOOKS))
    falling[:, :, :2] = 2.0
    shift = one | {"loss": filled(len(SHIFTS))}
    step = one | {"loss": filled(len(LANDSCAPES), looks, len(STRETCHES))}
    return {
        "tolerance": dict.fromkeys(DATA, one | {"test": filled(len(TOLERATED), len(WIDE)).swapaxes(1, 2)}),
        "shift": dict.fromkeys(DATA, shift),
        "landscape": dict.fromkeys(DATA, step),
        "edges": dict.fromkeys(DATA, one),
        "turning": dict.fromkeys(DATA, one),
        "residual": dict.fromkeys(DATA, one | {"test": filled(len(BRANCHES))}),
        "ghosts": dict.fromkeys(DATA, one | {"loss": falling}),
    }


def test_a_broken_network_leaves_at_the_top_and_the_axes_stand_still(found):
    slow, fast = (why.draw_tolerance(found["tolerance"], rate) for rate in (0.25, 2.0))
    assert slow.axes[0].get_ylim() == fast.axes[0].get_ylim() == (2e-3, 200)
    line = next(x for x in fast.axes[0].get_lines() if x.get_label() == "none")
    assert line.get_ydata()[-1] > 200 and line.get_ydata()[0] == pytest.approx(0.51)
    assert fast.numbers.startswith("learning rate 2; ") and "clothes, BN 51%" in fast.numbers


def test_beta_falls_with_the_square_of_the_scale(found):
    right = why.draw_smoothness(found["landscape"]).axes[2]
    law = next(x for x in right.get_lines() if x.get_linestyle() == "-")
    np.testing.assert_allclose(law.get_ydata(), 8 / np.square(LONGER))


def test_laws_lie_over_what_obeys_them_and_a_broken_seed_is_left_out(found):
    fig = why.draw_blocks(found["residual"], "at the start")
    law = [x for x in fig.axes[0].get_lines() if x.get_linestyle() == "-"][2]
    np.testing.assert_allclose(law.get_ydata(), found["residual"]["digits"]["variance BN 1"][0, :, 0])
    trained = why.draw_blocks(found["residual"], "trained")
    assert "digits, none 1.02e+03" in trained.numbers and "nan" not in trained.numbers
    angles = why.draw_angles(found["turning"])
    assert "0.141: 0.141" in angles.numbers


def test_edges_stand_where_rates_begin_to_fail(found):
    fig = why.draw_largest(found["edges"])
    spots = {round(float(np.log2(line.get_xdata()[0])), 3) for line in fig.axes[0].get_lines()}
    assert spots == {-2.5, -1.5, -0.5, 0.5, 1.5}
    assert "digits, none 0.18; clothes, none 0.18" in fig.numbers


def test_noise_changes_its_axis(found):
    by_steps, by_fit = (why.draw_noise(found["ghosts"], a) for a in ("steps", "training loss"))
    assert by_steps.axes[0].get_xlabel() == "steps" and by_fit.axes[0].get_xlabel().startswith("loss on the training")
    assert by_steps.axes[0].get_ylim() == by_fit.axes[0].get_ylim()
    assert "losses at the end" in by_steps.numbers and "where that on training images is" in by_fit.numbers


def test_every_picture_says_what_it_shows(found):
    for fig in (
        why.draw_shift(found["shift"]), why.draw_step(found["landscape"], "the same", 50),
        why.draw_step(found["landscape"], "each its own", 110), why.draw_largest(found["edges"]),
        why.draw_lengths(found["turning"], 3.0, "fashion"), why.draw_branches(found["residual"]),
    ):  # fmt: skip
        assert len(fig.alt) > 80 and fig.numbers and fig.numbers in fig.alt
        fig.to_svg()
