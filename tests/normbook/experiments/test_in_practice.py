"""The small networks of the chapter ``in-practice``, against torch and against one that trains alone."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from normbook.experiments import in_practice, trained  # noqa: E402
from normbook.experiments.bank import Bank, Job  # noqa: E402
from normbook.experiments.in_practice import Dropping, Reader, Standardized, by_others, dropped, standardize  # noqa: E402
from normbook.experiments.why import Plan  # noqa: E402


def test_a_rate_is_chosen_by_the_other_seeds():
    validation = np.array([[0.9, 0.5], [0.6, 0.7], [0.6, 0.7]])  # seed 0 alone would take the first
    test = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    assert by_others(validation, test)[0].tolist() == [0.2, 0.3, 0.5]


def test_standardized_filters_have_mean_0_and_deviation_1():
    w = standardize(3 + 2 * torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0)))
    assert w.mean((1, 2, 3)).abs().max() < 1e-6
    assert (w.std((1, 2, 3), correction=0) - 1).abs().max() < 1e-4


def test_a_standardized_bank_does_not_see_an_offset_of_its_weights_and_learns_the_raw_ones():
    job = Job("digits", "GN", (0.1,), (0, 1), 320, known=100, chosen=20, tested=20, strides=(1, 2), width=8)
    x = torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    bank, plain = Standardized(job, 8), Bank(job, 8)
    before, plain_before = bank.scores(x), plain.scores(x)
    with torch.no_grad():
        for each in (bank, plain):
            each.weights[0] += 0.3
    torch.testing.assert_close(bank.scores(x), before, rtol=1e-3, atol=1e-3)
    assert (plain.scores(x) - plain_before).abs().max() > 0.01
    raw = [w.detach().clone() for w in bank.weights]
    bank.step(x, torch.zeros(4, 2, dtype=torch.int64), 1.0)
    assert all((a - b).abs().max() > 0 for a, b in zip(raw, bank.weights, strict=True))
    assert bank.weights[0].detach().mean() > 0.2  # not replaced by what was used


@pytest.mark.parametrize("norm", ["LN", "RMS", "none"])
def test_a_block_is_torch_s(norm):
    """One network of two, by torch's own attention and norms."""
    reader = Reader(Plan("digits", "none", (0.01,), (0, 1), batch=32, norm_batch=32), 64, norm, blocks=1)
    x = torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(0))
    into, out, up, down = (w[1, 0] for w in reader.blocks[0])
    modules = {"LN": torch.nn.LayerNorm(16), "RMS": torch.nn.RMSNorm(16, eps=1e-5), "none": torch.nn.Identity()}
    attention = torch.nn.MultiheadAttention(16, 1, bias=False, batch_first=True)
    with torch.no_grad():
        attention.in_proj_weight.copy_(into.T)
        attention.out_proj.weight.copy_(out.T)
        t = x[1].reshape(3, 8, 8) @ reader.embed[1, 0] + reader.place[1, 0]
        h = modules[norm](t)
        t = t + attention(h, h, h)[0]
        t = t + torch.relu(modules[norm](t) @ up) @ down
        wanted = modules[norm](t).mean(1) @ reader.last[1, 0]
        torch.testing.assert_close(reader.scores(x)[1], wanted, rtol=1e-4, atol=1e-4)


def test_the_steps_are_torch_s_adam():
    reader = Reader(Plan("digits", "none", (0.01,), (0,), batch=32, norm_batch=32), 64, "LN", blocks=1)
    twin = reader.embed.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([twin], 0.01)
    x, labels = torch.randn(1, 5, 64, generator=torch.Generator().manual_seed(0)), torch.arange(5)[None]
    for t in (1, 2, 3):
        loss = torch.nn.functional.cross_entropy(reader.scores(x)[0], labels[0])
        twin.grad = torch.autograd.grad(loss, reader.embed)[0]
        optimizer.step()
        reader.step(x, labels, t)
        torch.testing.assert_close(reader.embed.detach(), twin.detach(), rtol=1e-4, atol=1e-6)


def dropping(order, share=0.5):
    plan = Plan("digits", "BN", (0.1,), (0, 1), batch=32, norm_batch=32, depth=2, width=8)
    return Dropping(plan, 64, order, share)


@pytest.mark.parametrize(("order", "first"), [("before every norm", False), ("behind every norm", True)])
def test_where_dropout_stands(order, first):
    """Behind the norm its zeros leave the layer; before it, they are normalized away."""
    nets = dropping(order)
    seen = []
    nets.last = torch.eye(8).expand(2, 8, 8)[:, :, :8]
    nets.bias = torch.zeros(2, 1, 8)
    seen = nets.scores(torch.randn(2, 200, 64, generator=torch.Generator().manual_seed(0)), training=True)
    dropped_ = (seen == 0).double().mean().item()
    assert dropped_ > 0.6 if first else dropped_ == 0


def test_running_averages_and_statistics_taken_anew_agree_without_dropout():
    x = torch.randn(2, 400, 64, generator=torch.Generator().manual_seed(0))
    nets = dropping("no dropout")
    with torch.no_grad():
        for _ in range(100):
            nets.scores(x, training=True)
        population = []
        nets.scores(x, population=population)
        # in training a norm divides by the biased deviation, 1/800 smaller than what is stored
        torch.testing.assert_close(nets.scores(x), nets.scores(x, population=population), rtol=0, atol=0.02)
        stored = dropping("before every norm")
        for _ in range(100):
            stored.scores(x, training=True)
        fresh = []
        stored.scores(x, population=fresh)
    ratio = (fresh[0][1] / stored.running[0][1]).mean().item()
    assert 0.3 < ratio < 0.7  # the law: below 1


def test_a_network_learns_something(monkeypatch):
    (early,), ((running, noisy, clean),) = (
        dropped("digits", "behind the last norm", steps=steps, seeds=(0, 1)) for steps in ((10,), (40,))
    )
    np.testing.assert_array_equal(  # a look on the way changes nothing
        dropped("digits", "behind the last norm", steps=(10, 40), seeds=(0, 1)), [early, (running, noisy, clean)]
    )
    assert running.shape == (2,) and min(*running, *clean) > 0.5
    assert np.abs(noisy - clean).max() < 0.005  # no norm stores what is dropped behind the last one
    accuracy, share = in_practice.read_rows("digits", "RMS", steps=(10, 30), seeds=(0, 1))
    assert accuracy.shape == (2, 2) and share.shape == (2,) and 0 < share.min() < share.max() < 1
    assert accuracy[:, 1].min() > 0.2 and accuracy[:, 1].mean() > accuracy[:, 0].mean()


@pytest.mark.parametrize("way", in_practice.WAYS)
def test_fine_tuned_networks_are_those_that_torch_trains_alone(way):
    """Three steps of the second network, at the second of two rates."""
    rate = 0.003
    job = dataclasses.replace(
        trained.job("digits", "BN"), rates=(0.001, rate), images=8, gradient_batch=2, norm_batch=2, cosine=False
    )
    nets = [trained.network("digits", "BN", seed) for seed in job.seeds]
    x, labels = (torch.from_numpy(np.array(each[:40])) for each in nets[1].part("chosen"))
    bank = in_practice.Tuned(job, nets)
    module = nets[1].module()
    norms = [layer for layer in module if isinstance(layer, torch.nn.BatchNorm2d)]

    def spread_out(images):  # to every network of the bank
        return images.expand(-1, bank.count, -1, -1)

    torch.testing.assert_close(bank.scores(spread_out(x))[:, 3], module(x), rtol=1e-4, atol=1e-4)
    if way == "frozen, new":
        bank.take_anew(spread_out(x))
        for layer in norms:
            layer.train().momentum = 1.0
        with torch.no_grad():
            module(x)
    if way != "train mode":
        bank.freeze()
    module.train()
    for layer in norms:
        layer.train(not bank.frozen).requires_grad_(not bank.frozen).momentum = 0.1
    optimizer = torch.optim.SGD(module.parameters(), rate, momentum=0.9)
    for k in range(0, 6, 2):
        pair, names = x[k : k + 2], labels[k : k + 2]
        bank.step(spread_out(pair), names[:, None].expand(-1, bank.count), 1.0)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(pair), names).backward()
        optimizer.step()
    module.eval()
    torch.testing.assert_close(bank.scores(spread_out(x))[:, 3], module(x), rtol=1e-3, atol=1e-3)


def test_fine_tuning_measures_each_run_and_old_statistics_cost_in_dim_light():
    def dim(x):
        return 0.4 * x - 0.5

    found = {way: in_practice.fine_tuned("digits", way, dim, draws=1, steps=5) for way in in_practice.WAYS}
    assert all(v.shape == (3,) for v in found.values())
    assert found["train mode"].mean() > found["frozen, old"].mean() + 0.02
    assert found["frozen, new"].mean() > found["frozen, old"].mean() + 0.02
