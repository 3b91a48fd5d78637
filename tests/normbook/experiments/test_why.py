"""The small networks of the chapter ``why``: what they compute, against torch and against laws."""

import dataclasses
import os

import numpy as np
import pytest
import torch

from normbook.experiments import why

PLAN = why.Plan("digits", "BN", (0.25, 1.0), (0, 1), steps=3, batch=16, norm_batch=16, depth=2, width=8)


def lone(nets, k):
    """Network k of the bank as torch builds it."""
    layers = []
    for i, w in enumerate(nets.weights):
        linear = torch.nn.Linear(*w.shape[1:], bias=nets.plan.norm == "none")
        linear.weight.data = w[k].detach().T.clone()
        if nets.plan.norm == "none":
            linear.bias.data = nets.betas[i][k, 0].detach().clone()
        layers += [linear, *([] if nets.plan.norm == "none" else [torch.nn.BatchNorm1d(w.shape[2])]), torch.nn.ReLU()]
    last = torch.nn.Linear(*nets.last.shape[1:])
    last.weight.data, last.bias.data = nets.last[k].detach().T.clone(), nets.bias[k, 0].detach().clone()
    return torch.nn.Sequential(*layers, last)


@pytest.mark.parametrize("norm", ["none", "BN"])
def test_a_network_of_the_bank_trains_as_it_would_alone(norm):
    plan = dataclasses.replace(PLAN, norm=norm)
    images = why.Images(plan)
    nets = why.Nets(plan, images.pixels)
    k = 3  # seed 1, rate 1.0
    alone = lone(nets, k)
    for _, (x, y) in zip(range(3), images.batches(), strict=False):
        loss = torch.nn.functional.cross_entropy(alone(x[k]), y[k])
        torch.testing.assert_close(nets.loss(x, y)[k], loss, rtol=1e-4, atol=1e-5)
        slopes = torch.autograd.grad(loss, list(alone.parameters()))
        with torch.no_grad():
            for p, slope in zip(alone.parameters(), slopes, strict=True):
                p.sub_(1.0 * slope)
        nets.step(nets.slopes(x, y))
    torch.testing.assert_close(nets.last[k].T, alone[-1].weight, rtol=1e-3, atol=1e-4)


def test_a_ghost_batch_knows_nothing_of_the_others():
    plan = dataclasses.replace(PLAN, norm_batch=4)
    images = why.Images(plan)
    nets = why.Nets(plan, images.pixels)
    x, _ = next(images.batches())
    *_, whole = nets.layers(x, 4)
    *_, first = nets.layers(x[:, :4], 4)
    torch.testing.assert_close(whole[:, :4], first)
    *_, other = nets.layers(x, 16)
    assert (other[:, :4] - first).abs().max() > 0.1


def test_under_batch_norm_the_gradient_is_at_right_angles_to_the_weights_and_without_it_is_not():
    for norm, right in (("BN", True), ("none", False)):
        plan = dataclasses.replace(PLAN, norm=norm)
        images = why.Images(plan)
        nets = why.Nets(plan, images.pixels)
        slopes = nets.slopes(*next(images.batches()))
        cosine = torch.nn.functional.cosine_similarity(nets.weights[1], slopes[1], dim=1)
        assert (cosine.abs().max() < 1e-3) == right


def test_gamma_and_beta_with_a_norm_behind_them_are_at_right_angles_to_their_gradient_and_the_last_are_not():
    plan = dataclasses.replace(PLAN, depth=3)
    images = why.Images(plan)
    nets = why.Nets(plan, images.pixels)
    parts = [nets.part(i) for i in range(len(nets.parameters))]
    assert parts == 3 * ["hidden"] + 2 * ["inner", "inner", "last"] + 2 * ["last"]  # betas, gammas; scores
    for beta in nets.betas:
        beta.data.uniform_(0.2, 0.4)
    slopes = nets.slopes(*next(images.batches()))
    for layer in range(3):
        own, slope = (torch.cat([these[3 + layer], these[6 + layer]], 2)[:, 0] for these in (nets.parameters, slopes))
        cosine = torch.nn.functional.cosine_similarity(own, slope, dim=1).abs()
        assert cosine.max() < 0.01 if layer < 2 else cosine.min() > 0.01


@pytest.mark.parametrize("varied", ["hidden", "last"])
def test_only_a_part_learns_at_the_rates_and_the_rest_at_the_fixed_one(varied):
    plan = dataclasses.replace(PLAN, varied=varied, rates=(0.5,), fixed=0.0)
    images = why.Images(plan)
    nets = why.Nets(plan, images.pixels)
    before = [p.detach().clone() for p in nets.parameters]
    nets.step(nets.slopes(*next(images.batches())))
    moved = {nets.part(i) for i, p in enumerate(nets.parameters) if not torch.equal(p, before[i])}
    assert moved == {varied}


def test_pinned_weights_keep_their_length_and_free_ones_grow():
    for pinned in (True, False):
        nets, _ = why.fit(dataclasses.replace(PLAN, pinned=pinned))
        grown = nets.weights[1].detach().norm(dim=1, keepdim=True) / nets.lengths[1]
        assert (abs(grown - 1).max() < 1e-5) if pinned else (grown.min() > 1)


def test_watching_does_not_change_what_is_trained():
    def watch(step, nets, batch, slopes):
        nets.loss(*batch)

    plain, watched = why.fit(PLAN)[1], why.fit(PLAN, watch)[1]
    assert all(np.array_equal(plain[name], watched[name]) for name in plain)


def test_a_result_is_kept_and_found_again(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setitem(why.EXPERIMENTS, "turning", lambda data: calls.append(data) or {"angle": np.arange(3.0)})
    for _ in range(2):
        np.testing.assert_array_equal(why.measure("turning", "digits", tmp_path)["angle"], np.arange(3.0))
    assert calls == ["digits"]
    assert why.key("turning", "digits", {}) != why.key("turning", "fashion", {})


@pytest.mark.parametrize(
    ("change", "message"), [({"norm_batch": 5}, "want a divisor"), ({"rates": (1.0, 0.5)}, "ascending")]
)
def test_impossible_plans_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PLAN, **change)


@pytest.mark.parametrize("norm", ["none", "BN"])
def test_a_residual_network_trains_and_a_branch_of_scale_zero_is_silent_at_the_start(norm):
    plan = dataclasses.replace(PLAN, norm=norm, residual=True, depth=4, scale=0.0)
    images = why.Images(plan)
    x, _ = images.part(0, 50)
    first, *rest, _ = why.Nets(plan, images.pixels).layers(x)
    assert all(torch.equal(h, first) for h in rest)
    nets, found = why.fit(dataclasses.replace(plan, scale=0.5))
    assert len(nets.gammas) == 3 and all(np.isfinite(v).all() for v in found.values())


def test_the_law_of_residual_variance_and_what_breaks_it():
    """With batch norm first in the branch each block adds 1 - 1/pi; the law is for images of normal pixels."""
    plan = dataclasses.replace(PLAN, residual=True, depth=12, width=128, rates=(1.0,), seeds=tuple(range(6)))
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 256, 64)).astype(np.float32))
    for norm, law in (("BN", True), ("none", False)):
        *hidden, _ = why.Nets(dataclasses.replace(plan, norm=norm), 64).layers(x)
        variance = torch.stack([h.detach().var(1).mean() for h in hidden])
        added = variance.diff().mean().item()
        assert (abs(added - (1 - 1 / np.pi)) < 0.05) == law, (norm, added)


def test_a_search_goes_on_until_its_best_rate_lies_inside(monkeypatch):
    monkeypatch.setattr(why, "rate_accuracy", lambda plan: -np.abs(np.log2(plan.rates) - 5.2))
    why._search.cache_clear()
    tried = why.search(dataclasses.replace(PLAN, rates=(0.25, 0.5, 1.0)))
    assert why.best_rate(tried) == 32.0 and tried[-1, 0] > 32
    with pytest.raises(ValueError, match="at the edge"):
        why.best_rate(tried[:6])
    monkeypatch.setattr(why, "rate_accuracy", lambda plan: np.log2(plan.rates))
    why._search.cache_clear()
    with pytest.raises(ValueError, match="no best rate"):
        why.search(PLAN)
    why._search.cache_clear()


# What comes with the book


def test_the_file_is_of_this_code_and_these_data_and_has_every_experiment():
    kept = why.shipped()
    assert kept, "not of this code: python -m normbook.experiments.why"
    assert set(kept) == {(name, data) for name in why.EXPERIMENTS for data in why.DATA}
    assert all(arrays and all(array.dtype == float for array in arrays.values()) for arrays in kept.values())
    assert why.FILE.stat().st_size < 250_000


def test_results_of_other_code_are_not_taken(monkeypatch, tmp_path):
    with np.load(why.FILE) as saved:
        arrays = dict(saved)
    for name in ("code", "data"):
        np.savez(tmp_path / f"{name}.npz", **arrays | {name: np.array("other")})
        with monkeypatch.context() as patch:
            patch.setattr(why, "FILE", tmp_path / f"{name}.npz")
            assert why.shipped.__wrapped__() == {}
    assert why.shipped.__wrapped__().keys() == why.shipped().keys()


def test_what_is_reported_are_the_own_results_and_those_of_the_file(monkeypatch):
    own = {"turning": {data: {"angle": np.arange(3.0)} for data in why.DATA}}
    found = why.reported(own)
    assert list(found) == list(why.EXPERIMENTS) and found["turning"] is own["turning"]
    assert found["edges"]["digits"] is why.shipped()["edges", "digits"]
    monkeypatch.setattr(why, "shipped", dict)
    monkeypatch.setattr(why, "measure_all", lambda names: {name: name for name in names})
    assert why.reported(own) == own | {name: name for name in why.EXPERIMENTS if name != "turning"}


def test_how_many_own_arrays_agree_with_the_file():
    own = {"tolerance": {data: dict(why.shipped()["tolerance", data]) for data in why.DATA}}
    count = sum(len(arrays) for arrays in own["tolerance"].values())
    assert why.agree(own) == (count, count)
    own["tolerance"]["digits"]["test"] = own["tolerance"]["digits"]["test"] + 1e-3
    assert why.agree(own) == (count - 1, count)


@pytest.mark.slow
def test_an_experiment_drawn_at_random_gives_the_same_accuracies():
    """On another kind of processor the rounding differs, and a network at the edge of what it bears is another one."""
    kept = why.shipped()
    names = [pair for pair in kept if pair[0] not in why.ANEW and any("test" in array for array in kept[pair])]
    name, data = names[np.random.default_rng(int.from_bytes(os.urandom(4), "big")).integers(len(names))]
    again = why.measure(name, data, None)
    assert again.keys() == kept[name, data].keys()
    for what, array in kept[name, data].items():
        if what.startswith("test"):
            np.testing.assert_allclose(again[what].mean(), array.mean(), atol=0.02, err_msg=f"{name}, {data}: {what}")


@pytest.mark.slow
def test_no_chosen_rate_of_the_chapter_lies_at_the_edge_of_its_grid():
    searched = 0
    for experiment in why.reported({}).values():
        for data, found in experiment.items():
            for name, tried in found.items():
                if name.startswith("tried"):
                    why.best_rate(tried)
                    searched += 1
            for name, *_ in why.KINDS if "rates BN" in found else ():  # and every edge lies inside its grid
                compared = why.GOOD[data] if name in ("BN", "BN, pinned") else why.GOOD[data][:1]
                for good in compared:
                    assert np.isfinite(why.edge(found[f"test {name}"], found[f"rates {name}"], good)).all()
    assert searched == 2 * (3 + 2 + len(why.DEPTHS) + len(why.BRANCHES) + 1)


def test_an_edge_lies_between_the_first_rate_that_fails_and_the_one_before():
    rates = np.array([0.25, 0.5, 1.0, 2.0, 4.0])
    test = np.array([
        [0.9, 0.9, 0.9, 0.1, 0.1],  # plain
        [0.3, 0.9, 0.1, 0.9, 0.1],  # too slow at first; a rate beyond the first that fails is luck
        [0.9, 0.9, 0.9, 0.9, 0.9],  # never fails
        [0.1, 0.1, 0.1, 0.1, 0.1],  # never works
    ])  # fmt: skip
    np.testing.assert_allclose(why.edge(test, rates, 0.8), [np.sqrt(2), np.sqrt(0.5), np.nan, np.nan])


def test_the_grid_of_edges_is_as_fine_as_it_says_and_its_kinds_share_their_seeds():
    found = why.edges("digits", seeds=(0, 1), depth=2, width=8)
    for name, *_ in why.KINDS:
        rates = found[f"rates {name}"]
        np.testing.assert_allclose(rates[1:] / rates[:-1], rates[1] / rates[0])
        assert found[f"test {name}"].shape == (2, len(rates))
    assert found["rates BN"][1] / found["rates BN"][0] < 1.2


def test_equal_fit_is_found_between_two_looks():
    loss = np.array([[1.0, 1.0], [0.5, 0.4], [0.1, 0.2]])
    assert why.common_fit(loss[None]) == 0.2
    np.testing.assert_allclose(why.at_fit(np.array([[0, 0], [1, 1], [2, 2]]), loss, 0.2), [1.75, 2])
    with pytest.raises(ValueError, match="before the second look"):
        why.at_fit(loss, loss, 0.45)
    with pytest.raises(ValueError, match="never falls"):
        why.at_fit(loss, loss, 0.15)


def test_growth_without_a_norm_begins_at_two_less_one_over_pi_and_rises_toward_two():
    law = why.growth(0.0, 60)
    factors = law[1:] / law[:-1]
    assert factors[0] == pytest.approx(2 - 1 / np.pi) and (np.diff(factors) > 0).all() and 1.9 < factors[-1] < 2
    # a wide network on independent normal inputs
    random = np.random.default_rng(0)
    x = random.standard_normal((200, 1000))
    first = x.var(axis=0).mean()
    for _ in range(4):
        x = x + np.maximum(x, 0) @ (random.standard_normal((1000, 1000)) * np.sqrt(2 / 1000))
    assert x.var(axis=0).mean() / first == pytest.approx(law[4], rel=0.05)


@pytest.mark.slow
def test_deeper_networks_are_looked_at_as_the_landscape_is():
    seeds = (0, 1)
    here = why.landscape("digits", seeds)
    same = why.deeper("digits", seeds, depths=(4,))
    arms = [name for name, *_ in why.LANDSCAPES]
    for k, name in enumerate(("none", "BN, rate of none")):
        np.testing.assert_array_equal(same["beta"][0, k], here["beta"][arms.index(name)].mean(0))
    assert same["rate"][0] == here["rate"][arms.index("none")]


@pytest.mark.slow
def test_ghosts_train_at_the_best_rate_and_at_twice_it():
    found = why.ghosts("digits", seeds=(0, 1))
    rate, shape = found["rate"].item(), (len(why.GHOST_RATES), len(why.GHOSTS), len(why.GHOST_LOOKS), 2)
    assert found["loss"].shape == found["new"].shape == shape
    np.testing.assert_array_equal(found["loss"][0, :, 0], found["loss"][1, :, 0])  # untrained, a rate does nothing
    steps = why.GHOST_LOOKS[-1]
    base = why.Plan("digits", "BN", (rate,), (0, 1), batch=128, norm_batch=4, steps=steps, depth=2, width=48)
    for times, own in zip(why.GHOST_RATES, found["test"], strict=True):
        plan = dataclasses.replace(base, rates=(times * rate,))
        np.testing.assert_allclose(why.fit(plan)[1]["test"][:, 0], own[0, -1], atol=1e-3)


@pytest.mark.slow
def test_small_branches_and_divided_sums_have_about_the_same_size_and_others_have_not():
    sizes = why.measure("residual", "digits")["size"].mean(1)
    by_arm = {name: size for (name, *_), size in zip(why.BRANCHES, sizes, strict=True)}
    assert by_arm["none 0"] == 1
    for name, law in (("shrunk", 1), ("none 0.25", (1 + 1 / 16) ** 5), ("none 1", 2**5)):
        assert by_arm[name] == pytest.approx(law, rel=0.15), name
