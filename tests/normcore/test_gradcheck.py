"""The check of gradients: that it passes what is right and fails what is wrong."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

import normcore as nc
from normcore import autograd
from normcore.autograd import GradientError, check_gradients

OPTIONS = [
    {"affine": True, "track_running_stats": True},
    {"affine": False, "track_running_stats": True, "momentum": 0.9, "eps": 1e-2},
    {"affine": True, "bias": False, "track_running_stats": False},
    {"affine": True, "track_running_stats": True, "momentum": None},
]
rng = np.random.default_rng(0)
X, GAMMA, BETA = rng.normal(1, 2, (4, 3, 5)), rng.normal(size=3), rng.normal(size=3)


def museum():
    """Backward passes that people write, each wrong in its own way."""

    def constant_statistics(dy, cache):
        return nc.batch_norm_backward(dy, cache._replace(constant=True))

    def forgotten_mean(dy, cache):
        dx, dgamma, dbeta = nc.batch_norm_backward(dy, cache)
        shape = (1, -1, 1)
        scale = (cache.gamma / np.sqrt(cache.var + cache.eps)).reshape(shape)
        return dx + scale * dbeta.reshape(shape) / dy[:, 0].size, dgamma, dbeta

    def unbiased_variance(dy, cache):
        n = dy[:, 0].size
        return nc.batch_norm_backward(dy, cache._replace(var=cache.var * n / (n - 1)))

    def missing_eps(dy, cache):
        return nc.batch_norm_backward(dy, cache._replace(eps=0))

    def averaged_gamma(dy, cache):
        dx, dgamma, dbeta = nc.batch_norm_backward(dy, cache)
        return dx, dgamma / dy[:, 0].size, dbeta

    def swapped(dy, cache):
        dx, dgamma, dbeta = nc.batch_norm_backward(dy, cache)
        return dx, dbeta, dgamma

    def one_entry(dy, cache):
        dx, dgamma, dbeta = nc.batch_norm_backward(dy, cache)
        dx[3, 2, 4] *= 1 + 1e-5
        return dx, dgamma, dbeta

    def not_finite(dy, cache):
        dx, dgamma, dbeta = nc.batch_norm_backward(dy, cache)
        dx[1, 2, 3] = np.nan
        return dx, dgamma, dbeta

    return {f.__name__: f for f in (constant_statistics, forgotten_mean, unbiased_variance, missing_eps, averaged_gamma,
                                    swapped, one_entry, not_finite)}  # fmt: skip


class TestCheck:
    @pytest.mark.parametrize("subject", [
        nc.batch_norm, nc.instance_norm, functools.partial(nc.batch_norm, eps=0.1),
        functools.partial(nc.group_norm, num_groups=3), functools.partial(nc.group_norm, num_groups=1, eps=0.1),
    ])  # fmt: skip
    @pytest.mark.parametrize("affine", [(), (GAMMA,), (GAMMA, BETA)], ids=len)
    def test_passes_what_is_right(self, subject, affine):
        check = check_gradients(subject, X, *affine)
        assert [r.argument for r in check.rows] == ["x", "gamma", "beta"][: 1 + len(affine)]
        for r in check.rows:
            assert r.from_autograd < 1e-11
            assert r.from_differences < 1e-8

    def test_layer_norm(self):
        shape = X.shape[1:]
        check = check_gradients(nc.layer_norm, X, rng.normal(size=shape), rng.normal(size=shape))
        assert max(r.from_autograd for r in check.rows) < 1e-11
        flat = check_gradients(nc.layer_norm, X[..., 0], rng.normal(size=3), rng.normal(size=3))
        assert max(r.from_autograd for r in flat.rows) < 1e-11

    @pytest.mark.parametrize("make", [nc.BatchNorm, nc.InstanceNorm, autograd.BatchNorm, autograd.InstanceNorm])
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    @pytest.mark.parametrize("training", [True, False])
    def test_layers_and_twins(self, make, options, training):
        layer = make(3, **options)
        layer(X if make.__module__ == "normcore.layers" else torch.tensor(X))
        layer.train(training)
        before = {k: np.asarray(v).copy() for k, v in layer.state_dict().items()}
        check = check_gradients(layer, X, GAMMA if options["affine"] else None)
        parameters = [mine for mine, torchs in (("gamma", "weight"), ("beta", "bias")) if torchs in before]
        assert [r.argument for r in check.rows] == ["x", *parameters]
        assert max(r.from_autograd for r in check.rows) < 1e-9
        assert max(r.from_differences for r in check.rows) < 1e-7
        for k, v in layer.state_dict().items():
            assert np.array_equal(np.asarray(v), before[k])
        assert layer.training == training

    @pytest.mark.parametrize("affine", [True, False])
    @pytest.mark.parametrize("what", [
        lambda a: nc.LayerNorm(5, eps=0.1, elementwise_affine=a), lambda a: nc.LayerNorm((3, 5), elementwise_affine=a),
        lambda a: nc.GroupNorm(3, 3, eps=0.1, affine=a), lambda a: nc.GroupNorm(1, 3, affine=a),
        lambda a: autograd.LayerNorm(5, eps=0.1, elementwise_affine=a), lambda a: autograd.GroupNorm(1, 3, affine=a),
        lambda a: autograd.RMSNorm(5, elementwise_affine=a), lambda a: autograd.RMSNorm((3, 5), 0.1, a),
    ])  # fmt: skip
    def test_layers_and_twins_of_samples(self, what, affine):
        layer = what(affine)
        check = check_gradients(layer, X)
        assert len(check.rows) == 1 + len(layer.state_dict())
        assert max(r.from_autograd for r in check.rows) < 1e-11
        assert max(r.from_differences for r in check.rows) < 1e-8

    @pytest.mark.parametrize("norm", [nc.layer_norm, nc.rms_norm])
    @pytest.mark.parametrize("last", [5, (5,), (3, 5)])
    def test_trailing_axes_are_checked_against_autograd(self, norm, last):
        gamma = rng.normal(size=last)
        check = check_gradients(functools.partial(norm, normalized_shape=last), X, gamma)
        assert [r.argument for r in check.rows] == ["x", "gamma"]
        assert max(r.from_autograd for r in check.rows) < 1e-11

    def test_a_wrong_layer_of_samples_fails(self):
        class Wrong(nc.GroupNorm):
            def backward(self, dy):
                return super().backward(dy) * (1 + 1e-8)

        with pytest.raises(GradientError, match="by x is wrong"):
            check_gradients(Wrong(1, 3), X)

    @pytest.mark.parametrize(("call", "error", "message"), [
        (lambda: check_gradients(nc.batch_norm, X[:0]), ValueError, r"x has shape \(0, 3, 5\), wanted at least one"),
        (lambda: check_gradients(nc.batch_norm, X + 1j), TypeError, "x has dtype complex128, wanted real numbers"),
        (lambda: check_gradients(nc.batch_norm, torch.tensor(X + 1j)), TypeError, "x has dtype complex128, want"),
        (lambda: check_gradients(nc.batch_norm, X > 0), TypeError, "x has dtype bool, wanted real numbers"),
        (lambda: check_gradients(nc.batch_norm, X, np.array([1, np.nan, 1])), ValueError, "gamma holds values that"),
        (lambda: check_gradients(nc.batch_norm, np.where(X > 1, np.inf, X)), ValueError, "x holds values that are not"),
        (lambda: check_gradients(nc.batch_norm, X, rtol=0), ValueError, "rtol is 0, wanted a finite number above 0"),
    ])  # fmt: skip
    def test_what_cannot_be_checked_is_said(self, call, error, message):
        with pytest.raises(error, match=message):
            call()

    def test_where_numpy_is_asked_to_raise(self):
        with np.errstate(all="raise"):
            for size in (1e-160, 1e-20, 1, 1e100):  # small ones leave y as it is, beside beta
                check_gradients(nc.batch_norm, size * X, GAMMA, BETA)
            check_gradients(nc.batch_norm, (9 * X).astype(int), dy=np.broadcast_to(np.float16(1), X.shape))
            check_gradients(nc.rms_norm, torch.tensor(X, dtype=torch.bfloat16))

    @pytest.mark.parametrize("x", [X, (9 * X).astype(int), 1 + 1e-6 * X])
    @pytest.mark.parametrize("norm", [nc.batch_norm, nc.instance_norm, nc.layer_norm])
    def test_right_where_all_of_dx_cancels(self, norm, x):
        """A constant dy has no gradient: by hand, by autograd and by differences, but for the rounding of each."""
        check_gradients(norm, x, dy=np.full(X.shape, -3.0))

    @pytest.mark.parametrize("name", museum())
    def test_fails_what_is_wrong(self, name):
        with pytest.raises(GradientError, match=r"by (x|gamma) is wrong, most of all at \(") as failure:
            check_gradients(nc.batch_norm, X, GAMMA, BETA, backward=museum()[name], rtol=1e-7)
        assert isinstance(failure.value, AssertionError)
        assert "WRONG" in str(failure.value)
        assert "autograd" in str(failure.value)

    def test_names_argument_index_and_values(self):
        with pytest.raises(GradientError) as failure:
            check_gradients(nc.batch_norm, X, GAMMA, BETA, backward=museum()["one_entry"], rtol=1e-7, entries=1)
        assert "the gradient of batch_norm by x is wrong, most of all at (3, 2, 4): by hand" in str(failure.value)

    def test_a_wrong_forward_is_caught_by_all_columns_disagreeing(self):
        """The variance taken over one value less: its hand-derived gradient is right for another function."""

        def wrong_norm(x, gamma=None, beta=None):
            y, cache = nc.batch_norm(x, gamma, beta)
            n = x[:, 0].size
            return y * np.sqrt((n - 1) / n), cache

        with pytest.raises(GradientError):
            check_gradients(wrong_norm, X, backward=nc.batch_norm_backward, reference=nc.batch_norm)

    def test_your_own_function(self):
        def mine(x, gamma, beta):
            return nc.batch_norm(x, gamma, beta)

        without = check_gradients(mine, X, GAMMA, BETA, backward=nc.batch_norm_backward)
        assert all(np.isnan(r.autograd) for r in without.rows)
        assert " - " in str(without)

        def formula(x, gamma, beta):
            return nn.functional.batch_norm(x, None, None, gamma, beta, training=True)

        for reference in (nc.batch_norm, formula):
            check = check_gradients(mine, X, GAMMA, BETA, backward=nc.batch_norm_backward, reference=reference)
            assert max(r.from_autograd for r in check.rows) < 1e-11
        with pytest.raises(GradientError):
            check_gradients(mine, X, GAMMA, BETA, backward=nc.batch_norm_backward, reference=nc.instance_norm)

    def test_missing_and_misshapen_gradients(self):
        with pytest.raises(GradientError, match="has no gradient by gamma, wanted shape"):
            check_gradients(nc.batch_norm, X, GAMMA, backward=lambda dy, cache: (dy, None, None), rtol=9)
        with pytest.raises(GradientError, match=r"has a gradient of shape \(1, 3\) by gamma, wanted shape \(3,\)"):
            check_gradients(nc.batch_norm, X, GAMMA, backward=lambda dy, cache: (dy, np.ones((1, 3)), None), rtol=9)

    def test_table(self):
        text = str(check_gradients(nc.batch_norm, X, GAMMA, BETA, entries=7)).splitlines()
        assert text[0] == "gradients of batch_norm"
        assert text[1] == "at x (4, 3, 5) in float64; differences at up to 7 entries of each argument"
        assert " ".join(text[2].split()) == "argument shape at by hand autograd differences vs autograd vs differences"
        assert [line.split()[0] for line in text[3:]] == ["x", "gamma", "beta"]
        assert all(line.endswith("ok") for line in text[3:])
        assert repr(check_gradients(nc.batch_norm, X, entries=1)).startswith("gradients of batch_norm\n")

    def test_tensors_and_float32_are_taken(self):
        check = check_gradients(nc.batch_norm, torch.tensor(X, dtype=torch.float32), GAMMA.astype(np.float32))
        assert check.rows[0].from_differences < 1e-8

    def test_given_dy_and_far_from_zero(self):
        check = check_gradients(nc.batch_norm, 1e6 + X, GAMMA, BETA, dy=np.cos(X))
        assert all(r.within(1e-6) for r in check.rows)
        with pytest.raises(ValueError, match=r"dy has shape \(3,\), wanted \(4, 3, 5\)"):
            check_gradients(nc.batch_norm, X, dy=GAMMA)

    def test_constant_channels(self):
        x = X.copy()
        x[:, 1] = 7
        check_gradients(nc.batch_norm, x, GAMMA, BETA)

    @pytest.mark.parametrize("what", [nn.BatchNorm2d(3), 3, None])
    def test_unknown_subjects(self, what):
        with pytest.raises(TypeError, match="wanted a layer of normcore"):
            check_gradients(what, X)

    def test_no_partner(self):
        with pytest.raises(TypeError, match="test_no_partner has no partner test_no_partner_backward in its module"):
            check_gradients(TestCheck.test_no_partner, X)


def plant(backward):
    """A function of normcore's numbers with this backward pass, and no reference unless one is given."""

    def mine(x, gamma=None, beta=None):
        return nc.batch_norm(x, gamma, beta)

    return functools.partial(check_gradients, mine, backward=backward)


class TestSharpAndFair:
    @pytest.mark.parametrize("spread", [3, 10, 100])
    def test_forgotten_eps_beside_a_large_spread(self, spread):
        with pytest.raises(GradientError):
            check_gradients(nc.batch_norm, spread * X, GAMMA, BETA, backward=museum()["missing_eps"])

    @pytest.mark.parametrize("reference", [None, nc.batch_norm])
    def test_a_dead_channel_beside_a_large_one(self, reference):
        def dead(dy, cache):
            dx, dgamma, dbeta = nc.batch_norm_backward(dy, cache)
            dx[:, 0] = 0
            return dx, dgamma, dbeta

        x = X * np.array([1e7, 1, 1])[:, None]
        with pytest.raises(GradientError):
            plant(dead)(x, GAMMA, BETA, reference=reference)

    @pytest.mark.parametrize("wrong", [np.nan, np.inf])
    @pytest.mark.parametrize("entry", range(0, 512, 73))
    def test_one_entry_not_finite_without_a_reference(self, entry, wrong):
        def back(dy, cache):
            dx = nc.batch_norm_backward(dy, cache)[0]
            dx.flat[entry] = wrong
            return dx, None, None

        with pytest.raises(GradientError):
            plant(back)(rng.normal(size=(8, 4, 16)), entries=10)

    def test_forgotten_gamma_on_a_fresh_layer(self):
        def back(dy, cache):
            return nc.batch_norm_backward(dy, cache._replace(gamma=np.ones(3)))

        with pytest.raises(GradientError):
            plant(back)(X, np.ones(3), np.zeros(3))

    @pytest.mark.parametrize("x", [
        X[..., 0] + 1000 * np.arange(4)[:, None], X[..., 0] + 100 * np.arange(4)[:, None], X[..., 0],
    ])  # fmt: skip
    def test_right_with_rows_far_apart(self, x):
        check_gradients(nc.layer_norm, x)
        check_gradients(nc.batch_norm, x)

    def test_right_at_nearly_constant_values_and_extremes(self):
        near = X.copy()
        near[0, 1] = [0.3, 0.1 + 0.2, 0.3, 0.3, 0.3]
        for x in (near, 7 + 1e-9 * X, np.full_like(X, 1e6), X + 1e8, 1e-12 * X):
            check_gradients(nc.batch_norm, x, GAMMA, BETA)
        for gamma, beta in ((1e7, 0), (1e9, 1), (1, 1e7), (1e-9, 1)):
            check_gradients(nc.batch_norm, X, gamma * GAMMA, beta + BETA)

    def test_right_in_place(self):
        def back(dy, cache):
            dx, dgamma, dbeta = nc.batch_norm_backward(dy, cache)
            dy[...] = dx
            return dy, dgamma, dbeta

        check_gradients(nc.batch_norm, X, GAMMA, BETA, backward=back)
