"""The networks of the chapter ``running-averages``, against torch's autograd and against each other."""

import numpy as np
import pytest

from normbook.experiments.running_averages import Stack, beside_shortcuts, stored_variances


def test_a_step_is_torch_s():
    """The second of two networks, groups of four: image k is in group k // 4."""
    torch = pytest.importorskip("torch")
    nets = Stack(5, 4, (0, 1), depth=2, width=6)
    random = np.random.default_rng(0)
    x, labels = random.normal(size=(2, 8, 5)).astype(np.float32), random.integers(10, size=(2, 8))
    for p in (*nets.gammas, *nets.betas):
        p += 0.3 * random.normal(size=p.shape)
    own = [*nets.weights, *nets.gammas, *nets.betas, nets.last]
    weights, gammas, betas = ([torch.from_numpy(p[1]).clone().requires_grad_() for p in ps]
                              for ps in (nets.weights, nets.gammas, nets.betas))
    last = torch.from_numpy(nets.last[1]).clone().requires_grad_()
    h = torch.from_numpy(x[1])
    for w, gamma, beta in zip(weights, gammas, betas, strict=True):
        parts = [torch.nn.functional.batch_norm(part, None, None, gamma[0], beta[0], training=True)
                 for part in (h @ w).split(4)]
        h = torch.relu(torch.cat(parts))
    twins = [*weights, *gammas, *betas, last]
    loss = torch.nn.functional.cross_entropy(h @ last, torch.from_numpy(labels[1]))
    slopes = torch.autograd.grad(loss, twins)
    output, found = nets.in_train(x)
    np.testing.assert_allclose(output[1], h.detach().numpy(), rtol=1e-4, atol=1e-5)
    means = (x[1] @ nets.weights[0][1]).reshape(2, 4, 6)
    np.testing.assert_allclose(found[0][0][1, 0], means.mean(axis=(0, 1)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[0][1][1, 0], means.var(axis=1).mean(axis=0), rtol=1e-4, atol=1e-5)
    nets.learn(x, labels, 0.5)
    for p, twin, slope in zip(own, twins, slopes, strict=True):
        np.testing.assert_allclose(p[1], (twin - 0.5 * slope).detach().numpy(), rtol=1e-3, atol=1e-5)


def test_a_single_group_answers_in_eval_as_in_train():
    nets = Stack(5, 8, (0, 1, 2), depth=3, width=6)
    x = np.random.default_rng(1).normal(size=(3, 8, 5)).astype(np.float32)
    output, stored = nets.in_train(x)
    np.testing.assert_allclose(nets.in_eval(x, stored, 1.0), output, rtol=1e-3, atol=1e-4)
    first = [(stored[0][0], stored[0][1]), *stored[1:]]
    assert (nets.in_eval(x, first, 8 / 7) ** 2).mean() < 0.95 * (output**2).mean()


def test_larger_groups_have_less_to_correct_and_networks_learn():
    few = stored_variances("digits", group=4, seeds=(0, 1), steps=60, depth=4)
    many = stored_variances("digits", group=16, seeds=(0, 1), steps=60, depth=4)
    assert few[0].shape == few[1].shape == (2, 2)
    (unbiased, biased), _ = few
    assert (unbiased < 1).all() and (biased > unbiased).all()
    assert (np.abs(many[0] - 1) < np.abs(few[0] - 1)).all()
    assert many[1].min() > 0.7


def test_networks_with_shortcuts_side_by_side_do_not_feel_each_other_and_store_about_the_variance():
    pytest.importorskip("torch")
    both = beside_shortcuts("digits", (0, 1), steps=3)
    assert both.shape == (2, 4) and (np.abs(both - 1) < 0.1).all()
    alone = beside_shortcuts("digits", (1,), steps=3)
    np.testing.assert_allclose(both[1], alone[0], atol=1e-3)
    assert np.abs(both[0] - both[1]).max() > 1e-4
