import dataclasses
import importlib.util
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from normbook.experiments import sweep
from normbook.experiments.sweep import BOOK, FULL, NORMS, Plan, Results

torch = pytest.importorskip("torch")

SMALL = Plan((4, 16), (30, 20), (0.03, 0.25), (0, 1), known=120, chosen=100, checks=4, width=4, depth=2)


def numbers(net):
    return [p.detach().numpy().copy() for p in net.parameters()]


@pytest.mark.parametrize("norm", NORMS)
def test_a_bank_is_its_networks_side_by_side(norm):
    """Outputs and gradients of three networks in one equal those of the three alone."""
    torch.manual_seed(0)
    x = torch.randn(5, 3, 8, 8)
    bank = sweep.network(norm, 3, width=4, depth=3)
    sweep.initialize(bank, [7, 8, 9])
    scores = bank(x)
    scores.square().sum().backward()
    slopes = [p.grad.numpy() for p in bank.parameters()]
    for k, seed in enumerate((7, 8, 9)):
        alone = sweep.network(norm, 1, width=4, depth=3)
        sweep.initialize(alone, [seed])
        for together, own in zip(numbers(bank), numbers(alone), strict=True):
            np.testing.assert_array_equal(np.split(together, 3)[k], own)
        own_scores = alone(x[:, k : k + 1])
        own_scores.square().sum().backward()
        np.testing.assert_allclose(scores[:, 10 * k : 10 * k + 10].detach(), own_scores.detach(), rtol=1e-4, atol=1e-5)
        for together, p in zip(slopes, alone.parameters(), strict=True):
            np.testing.assert_allclose(np.split(together, 3)[k], p.grad, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("norm", ["BN", "IN"])
def test_its_norm_layers_are_those_of_the_book(norm):
    """The same scores and gradients with normcore's twins in the places of torch's layers."""
    from normcore import autograd

    twin = {"BN": autograd.BatchNorm, "IN": lambda n: autograd.InstanceNorm(n, affine=True)}[norm]
    ours, torchs = (sweep.network(norm, 2, width=4, depth=3) for _ in range(2))
    for net in (ours, torchs):
        sweep.initialize(net, [0, 1])
    for i, layer in enumerate(ours):
        if "Norm" in type(layer).__name__:
            ours[i] = twin(layer.num_features)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(6, 2, 8, 8)).astype(np.float32))
    a, b = ours(x), torchs(x)
    np.testing.assert_allclose(a.detach(), b.detach(), rtol=1e-4, atol=1e-5)
    slopes = [torch.autograd.grad(y.square().sum(), n[0].weight)[0] for y, n in ((a, ours), (b, torchs))]
    np.testing.assert_allclose(*slopes, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(ours.eval()(x).detach(), torchs.eval()(x).detach(), rtol=1e-4, atol=1e-5)


def test_initial_weights_are_he_s():
    net = sweep.network("none", 50)
    sweep.initialize(net, range(50))
    layers = [layer for layer in net if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.weight.shape[1] * layer.weight[0, 0].numel() for layer in layers] == [9, 72, 72, 72, 72, 128]
    for layer, variance in zip(layers, [2 / 9, 2 / 72, 2 / 72, 2 / 72, 2 / 72, 1 / 128], strict=True):
        four_sigma = 4 * (2 / layer.weight.numel()) ** 0.5
        assert layer.weight.var().item() == pytest.approx(variance, rel=four_sigma)
        assert not layer.bias.any() if layer.bias is not None else False


def test_the_norm_does_not_change_the_draws():
    nets = [sweep.network(norm, 2) for norm in NORMS]
    for net in nets:
        sweep.initialize(net, [3, 4])
    for net in nets[1:]:
        for i in (0, -2):
            assert torch.equal(net[i].weight, nets[0][i].weight)


@pytest.mark.parametrize("norm", NORMS)
def test_training_equals_plain_sgd_of_one_network(norm):
    """One rate and seed out of a bank, against a network trained alone by torch.optim.SGD on the same batches."""
    measured = sweep.train(SMALL, norm, 16, 20)
    images, labels = sweep.digits()
    draw = np.random.default_rng(10_001)
    known, chosen, test = np.split(draw.permutation(len(images)), [120, 220])
    x = torch.from_numpy(((images - images[known].mean()) / images[known].std()).astype(np.float32))
    y = torch.from_numpy(labels)
    net = sweep.network(norm, 1, width=4, depth=2)
    sweep.initialize(net, [1])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.25)
    at, curve = SMALL.check_steps(20), []
    for step in range(20):
        if step % 7 == 0:
            order = draw.permutation(known)
        batch = order[16 * (step % 7) :][:16]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
        optimizer.step()
        if step + 1 in at:
            net.eval()
            curve.append((net(x[chosen]).argmax(1) == y[chosen]).double().mean().item())
            net.train()
    np.testing.assert_allclose(measured["validation"][1, 1], curve, atol=0.0101)  # one image of a hundred
    net.eval()
    exact = (net(x[test]).argmax(1) == y[test]).double().mean().item()
    assert measured["test"][1, 1] == pytest.approx(exact, abs=0.003)
    assert measured["at"].tolist() == [4, 7, 12, 20]
    if norm != "BN":
        np.testing.assert_array_equal(measured["test"], measured["test_population"])


def test_a_pass_sees_every_image_once():
    stream = sweep._batches(np.random.default_rng(0), np.arange(50, 73), 5)
    first, second = (np.concatenate([next(stream) for _ in range(4)]) for _ in range(2))
    for seen in (first, second):
        assert len(set(seen.tolist())) == 20 and set(seen.tolist()) <= set(range(50, 73))
    assert first.tolist() != second.tolist()


def results(validation, rates=(0.1, 1.0), **others):
    """Results of one batch size and two seeds, from validation (norm, seed, rate, check)."""
    v = np.asarray(validation, dtype=float)[:, None]
    plan = Plan((4,), (100,), rates, (0, 1), checks=v.shape[-1])
    at = np.geomspace(1, 100, v.shape[-1]).astype(int)[None]
    test = others.get("test", v[..., -1])
    return Results(plan, at=at, validation=v, train=v[..., -1], test=test, test_population=test, seconds=1.0)


CURVES = [
    [[[0.1, 0.5, 1.0], [0.1, 0.1, 0.1]], [[0.1, 0.5, 0.9], [0.1, 0.1, 0.1]]],  # rate 1.0 never learns
    [[[0.1, 0.5, 0.8], [0.1, 0.9, 0.9]], [[0.1, 0.5, 0.8], [0.95, 0.95, 0.95]]],
    [[[0.1, 0.2, 0.3], [0.1, 0.1, 0.95]], [[0.1, 0.2, 0.3], [0.1, 0.1, 0.7]]],  # one seed does not arrive
]


def test_steps_are_read_between_checks_in_the_logarithm():
    steps = results(CURVES).steps_to(0.75)  # checks after 1, 10 and 100 steps
    assert steps[0, 0, 0, 0] == pytest.approx(10**1.5)
    assert steps[0, 0, 0, 1] == np.inf
    assert steps[1, 0, 0, 1] == pytest.approx(10 ** (0.65 / 0.8))
    assert steps[1, 0, 1, 1] == 1


def test_fewest_steps_want_every_seed():
    fewest = results(CURVES).fewest_steps(0.75)
    assert fewest.shape == (3, 1, 2)
    np.testing.assert_allclose(fewest[1, 0], [10 ** (0.65 / 0.8), 1])
    assert np.all(fewest[2] == np.inf)


def test_largest_and_best_rate():
    r = results(CURVES)
    np.testing.assert_array_equal(r.largest_rate(0.8)[:, 0], [[0.1, 0.1], [1.0, 1.0], [1.0, np.nan]])
    assert r.best().tolist() == [[0], [1], [1]]
    np.testing.assert_allclose(r.at_best(r.test)[:, 0], [[1.0, 0.9], [0.9, 0.95], [0.95, 0.7]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": (30,)}, "2 batch sizes but steps for 1"),
        ({"batch_sizes": (4, 121)}, "a batch of 121 from 120"),
        ({"rates": (0.2, 0.1)}, "ascending"),
        ({"seeds": (0,)}, "at least two"),
        ({"checks": 30}, "no room for 30 checks"),
    ],
)
def test_a_plan_that_cannot_be_run_says_so(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **change)


def test_the_plans_of_the_book():
    for plan in (BOOK, FULL):
        assert (plan.batch_sizes[0], plan.batch_sizes[-1]) == (2, 256)
        assert len(plan.seeds) >= 5
    assert set(BOOK.batch_sizes) <= set(FULL.batch_sizes) and set(BOOK.rates) <= set(FULL.rates)


def test_results_are_cached_under_the_key_of_code_plan_and_data(tmp_path, monkeypatch):
    plan = dataclasses.replace(SMALL, steps=(12, 12))
    first = sweep.run(plan, cache=tmp_path, workers=2)
    assert first.validation.shape == (3, 2, 2, 2, 4)
    assert [file.name for file in tmp_path.iterdir()] == [f"{sweep.key(plan)}.npz"]
    alone = sweep.train(plan, "IN", 4, 12, seeds=(1,))  # what one process did, done again in this one
    np.testing.assert_allclose(first.validation[2, 0, 1], alone["validation"][0], atol=0.0101)
    monkeypatch.setattr(sweep, "ProcessPoolExecutor", None)  # nothing can be trained now
    again = sweep.run(plan, cache=tmp_path)
    for name in ("at", "validation", "train", "test", "test_population", "seconds"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    others = [dataclasses.replace(plan, rates=(0.03, 0.5)), dataclasses.replace(plan, seeds=(0, 2))]
    assert len({sweep.key(p) for p in (plan, *others)}) == 3
    images, labels = sweep.digits()
    monkeypatch.setattr(sweep, "digits", lambda: (images + 1e-9, labels))
    assert sweep.key(plan) != first and not (tmp_path / f"{sweep.key(plan)}.npz").exists()


def test_an_installed_package_does_not_write_beside_itself(tmp_path):
    package = tmp_path / "site-packages" / "normbook" / "experiments"
    package.mkdir(parents=True)
    shutil.copy(sweep.__file__, package)
    spec = importlib.util.spec_from_file_location("installed_sweep", package / "sweep.py")
    installed = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = installed  # dataclasses look there
    try:
        spec.loader.exec_module(installed)
    finally:
        del sys.modules[spec.name]
    assert not installed.CACHE.is_relative_to(tmp_path) and installed.CACHE.is_relative_to(Path.home())
    assert Path(__file__).parents[3] / ".cache" / "sweep" == sweep.CACHE


def test_the_command_prints_every_table(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sweep, "CACHE", tmp_path)
    monkeypatch.setattr(sweep, "run", lambda plan: results(CURVES))
    sweep.main(["--plan", "book"])
    printed = capsys.readouterr().out
    assert "12 networks, 1 s" in printed
    assert "not all" in printed and "95.0 ± 0.0" not in printed
    assert printed.count("batch size") == 5
