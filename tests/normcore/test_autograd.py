"""The torch twins, and the check of gradients: that it passes what is right and fails what is wrong."""

import copy
import functools
import io

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

import normcore as nc
from normcore import autograd
from normcore.autograd import GradientError, check_gradients

torch.manual_seed(0)
TORCH = {
    ("BatchNorm", 2): nn.BatchNorm1d, ("BatchNorm", 3): nn.BatchNorm1d, ("BatchNorm", 4): nn.BatchNorm2d,
    ("BatchNorm", 5): nn.BatchNorm3d, ("InstanceNorm", 3): nn.InstanceNorm1d, ("InstanceNorm", 4): nn.InstanceNorm2d,
    ("InstanceNorm", 5): nn.InstanceNorm3d,
}
SHAPES = {2: (6, 3), 3: (6, 3, 5), 4: (6, 3, 4, 5), 5: (2, 3, 4, 3, 5)}
OPTIONS = [
    {"affine": True, "track_running_stats": True},
    {"affine": False, "track_running_stats": True, "momentum": 0.9, "eps": 1e-2},
    {"affine": True, "bias": False, "track_running_stats": False},
    {"affine": True, "track_running_stats": True, "momentum": None},
]


class TestTwins:
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    @pytest.mark.parametrize(("name", "ndim"), TORCH)
    def test_take_the_place_of_torchs(self, name, ndim, options):
        torchs_rule = name == "BatchNorm" or options.get("momentum", 0.1) is not None
        twin = getattr(autograd, name)(3, dtype=torch.float64, **options)
        theirs = TORCH[name, ndim](3, dtype=torch.float64, **options)
        for parameter in theirs.parameters():
            nn.init.normal_(parameter)
        twin.load_state_dict(theirs.state_dict())
        for training in (True, True, False, True):
            twin.train(training)
            theirs.train(training)
            if not (torchs_rule or training):
                continue  # torch's instance norm never moves with momentum=None
            x = torch.randn(SHAPES[ndim], dtype=torch.float64) * 2 + 1
            a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
            y, yt = twin(a), theirs(b)
            dy = torch.randn_like(y)
            gradients = zip(
                torch.autograd.grad(y, [a, *twin.parameters()], dy),
                torch.autograd.grad(yt, [b, *theirs.parameters()], dy), strict=True,
            )
            torch.testing.assert_close(y, yt)
            for mine, torchs in gradients:
                torch.testing.assert_close(mine, torchs)
            for key, value in twin.state_dict().items():
                if torchs_rule and (key != "num_batches_tracked" or name == "BatchNorm"):
                    torch.testing.assert_close(value, theirs.state_dict()[key])

    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    @pytest.mark.parametrize("name", ["BatchNorm", "InstanceNorm"])
    def test_run_the_numpy_layers_formulas(self, name, options):
        """Outputs, gradients and statistics, in float32 far from zero too."""
        layer = getattr(nc, name)(3, **options)
        twin = getattr(autograd, name)(3, **options)
        twin.load_state_dict({k: torch.as_tensor(v) for k, v in layer.state_dict().items()})
        rng = np.random.default_rng(0)
        for _ in range(3):
            x, dy = (rng.normal(size=(2, 8, 3, 7)) + np.array([3e4, 0])[:, None, None, None]).astype(np.float32)
            tensor = torch.tensor(x, requires_grad=True)
            y = twin(tensor)
            y.backward(torch.tensor(dy))
            np.testing.assert_allclose(y.detach(), layer(x), atol=2e-6)
            np.testing.assert_allclose(tensor.grad, layer.backward(dy), atol=5e-6)
            for key, value in layer.state_dict().items():
                np.testing.assert_allclose(twin.state_dict()[key], value, rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.parametrize("options", OPTIONS[:3], ids=str)
    @pytest.mark.parametrize("name", ["BatchNorm", "InstanceNorm"])
    def test_gradcheck_and_gradgradcheck(self, name, options, training):
        twin = getattr(autograd, name)(2, dtype=torch.float64, **options).train(training)
        names = [n for n, _ in twin.named_parameters()]
        x = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)
        values = [torch.randn(2, dtype=torch.float64, requires_grad=True) for _ in names]

        def run(x, *values):
            buffers = {n: b.clone() for n, b in twin.named_buffers()}
            return torch.func.functional_call(twin, {**dict(zip(names, values, strict=True)), **buffers}, (x,))

        assert gradcheck(run, (x, *values))
        assert gradgradcheck(run, (x, *values))

    def test_second_derivatives_are_torchs(self):
        """A gradient penalty, as in training a critic."""
        penalties = []
        for make in (autograd.BatchNorm, nn.BatchNorm2d):
            torch.manual_seed(1)
            net = nn.Sequential(nn.Conv2d(2, 3, 3), make(3), nn.ReLU(), nn.Conv2d(3, 1, 3)).double()
            x = torch.randn(4, 2, 6, 6, dtype=torch.float64, requires_grad=True)
            (g,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
            g.square().sum().backward()
            penalties.append([p.grad for p in net.parameters()])
        for mine, torchs in zip(*penalties, strict=True):
            torch.testing.assert_close(mine, torchs)

    @pytest.mark.parametrize("name", ["BatchNorm", "InstanceNorm"])
    def test_train_save_and_load_in_a_sequential(self, name):
        def network():
            norm = getattr(autograd, name)(4, affine=True, track_running_stats=True)
            return nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))

        torch.manual_seed(0)
        net = network()
        x = torch.randn(64, 1, 8, 8)
        labels = (x.mean((1, 2, 3)) > 0).long()
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        losses = []
        for _ in range(60):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.5 * losses[0]
        assert net[1].num_batches_tracked == 60
        buffer = io.BytesIO()
        torch.save(net.state_dict(), buffer)
        buffer.seek(0)
        loaded = network()
        loaded.load_state_dict(torch.load(buffer))
        assert torch.equal(loaded.eval()(x), net.eval()(x))

    def test_move_with_to(self):
        twin = autograd.BatchNorm(3).to(torch.float64)
        assert {t.dtype for t in (*twin.parameters(), twin.running_mean, twin.running_var)} == {torch.float64}
        assert twin.num_batches_tracked.dtype == torch.int64
        meta = autograd.BatchNorm(3, device="meta")
        assert {t.device.type for t in meta.state_dict().values()} == {"meta"}
        assert meta.to_empty(device="cpu").weight.device.type == "cpu"

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_is_computed_in_float32(self, dtype):
        x = (torch.randn(16, 3, 9) + 100).to(dtype).requires_grad_()
        twin = autograd.BatchNorm(3)
        y = twin(x)
        y.sum().backward()
        assert y.dtype == x.grad.dtype == dtype
        expected = nn.functional.batch_norm(x.detach().float(), None, None, training=True).to(dtype)
        torch.testing.assert_close(y, expected)
        assert twin.running_mean.dtype == torch.float32

    def test_empty_batches_count_and_say_nothing(self):
        twin = autograd.BatchNorm(3)
        y = twin(torch.zeros(0, 3, 4, requires_grad=True))
        y.sum().backward()
        assert y.shape == (0, 3, 4)
        assert twin.num_batches_tracked == 1
        assert twin.running_var.tolist() == [1, 1, 1]
        assert twin.weight.grad.tolist() == [0, 0, 0]

    @pytest.mark.parametrize("name", ["BatchNorm", "InstanceNorm"])
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_state_is_the_numpy_layers(self, name, options):
        layer, twin = getattr(nc, name)(3, **options), getattr(autograd, name)(3, **options)
        assert list(layer.state_dict()) == list(twin.state_dict())
        layer.load_state_dict(twin.state_dict())
        twin.load_state_dict({k: torch.as_tensor(v) for k, v in layer.state_dict().items()})
        assert repr(layer) == repr(twin)

    @pytest.mark.parametrize(("call", "error", "message"), [
        (lambda: autograd.BatchNorm(0), ValueError, "num_features is 0, wanted at least 1"),
        (lambda: autograd.BatchNorm(2.0), TypeError, "num_features is 2.0, wanted an integer"),
        (lambda: autograd.BatchNorm(2, eps=0), ValueError, "eps is 0, wanted"),
        (lambda: autograd.InstanceNorm(2, momentum=2), ValueError, "momentum is 2, wanted"),
        (lambda: autograd.BatchNorm(2)(torch.zeros(3)), ValueError, r"shape \(3,\), wanted \(N, C\)"),
        (lambda: autograd.BatchNorm(2)(torch.zeros(3, 4)), ValueError, r"\(3, 4\) and 4 channels, wanted 2"),
        (lambda: autograd.BatchNorm(2)(torch.zeros(1, 2)), ValueError, "1 value for a channel in this batch"),
        (lambda: autograd.InstanceNorm(2)(torch.zeros(3, 2)), ValueError, r"\(3, 2\), wanted \(N, C, L\)"),
        (lambda: autograd.InstanceNorm(2)(torch.zeros(3, 2, 1)), ValueError, "1 value for an instance"),
        (lambda: autograd.BatchNorm(2)(torch.zeros(3, 2, dtype=torch.int64)), TypeError, "x has dtype torch.int64"),
    ])  # fmt: skip
    def test_errors(self, call, error, message):
        with pytest.raises(error, match=message):
            call()

    def test_a_failed_call_changes_nothing(self):
        twin = autograd.BatchNorm(2)
        before = copy.deepcopy(twin.state_dict())
        for shape in ((1, 2), (3, 4), (3,)):
            with pytest.raises(ValueError, match="wanted"):
                twin(torch.zeros(shape))
        for key, value in twin.state_dict().items():
            assert torch.equal(value, before[key])


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
