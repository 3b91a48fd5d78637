"""The long run of the chapter `activations`: the file belongs to the code, and a part of it trains anew."""

import numpy as np
import pytest

from normbook.experiments import depth


def test_the_file_was_made_by_this_code():
    assert depth.load().key == depth.key()


def test_the_file_has_every_network():
    results = depth.load()
    shape = (len(depth.DATA), len(depth.ARMS), len(depth.PLAN.depths), len(depth.PLAN.seeds), len(depth.PLAN.rates))
    assert results.accuracy.shape == results.early.shape == shape
    assert ((results.accuracy >= 0) & (results.accuracy <= 1)).all()


@pytest.mark.slow
@pytest.mark.sample(1)
@pytest.mark.parametrize(("data", "arm"), [("fashion", "gain √2"), ("digits", "BN")])
def test_a_part_trains_anew(data, arm):
    """The loss at the fifth step, which no other processor's rounding has had time to change much, and the accuracy."""
    accuracy, early = depth.train(data, arm, 5)
    results = depth.load()
    at = depth.DATA.index(data), depth.ARMS.index(arm), depth.PLAN.depths.index(5)
    steady = np.array(depth.PLAN.rates) < 0.05  # at the largest rate rounding grows fast
    np.testing.assert_allclose(early[:, steady], results.early[at][:, steady], rtol=1e-4)
    kept = results.accuracy[at][:, steady]
    another = np.abs(kept - np.roll(kept, 1, 0)).mean()  # between two seeds; other rounding was seen to give a third
    assert np.abs(accuracy[:, steady] - kept).mean() < max(0.01, another / 2)


def test_the_rate_is_chosen_by_the_other_seeds():
    accuracy = np.zeros((1, 1, 1, 3, 2))
    accuracy[..., 0, :] = [1.0, 0.0]  # alone in liking the first rate
    accuracy[..., 1, :] = accuracy[..., 2, :] = [0.2, 0.8]
    found, rate = depth.Results(accuracy, accuracy, "").best()
    assert found[0, 0, 0, 0] == 0.0  # the others like the second rate
    assert rate[0, 0, 0, 0] == depth.PLAN.rates[1]


def test_networks_side_by_side_do_not_feel_each_other():
    torch = pytest.importorskip("torch")
    x = torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    for arm in depth.ARMS:
        both = depth.network(arm, 3, (0, 1), 4, 1)(x).reshape(4, 2, 10)
        for k in (0, 1):
            alone = depth.network(arm, 3, (k,), 4, 1)(x[:, k : k + 1])
            torch.testing.assert_close(both[:, k], alone, atol=1e-5, rtol=1e-5)
