"""Batch, instance, layer and group norm as functions: values, gradients, precision, layouts, extremes, memory."""

import ast
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as TF

import normcore as nc
from normcore import engine, formulas, functional

LAYOUTS = [(7, 3), (5, 3, 4), (5, 3, 4, 6), (2, 3, 4, 5, 6)]
KINDS = ["batch", "instance", "layer", "group"]


def relative_error(a, b):
    """Largest difference, relative to the largest true value (b)."""
    a, b = np.asarray(a, np.longdouble), np.asarray(b, np.longdouble)
    return float(abs(a - b).max() / max(abs(b).max(), 1e-30))


def forward(kind, x, gamma=None, beta=None, eps=1e-5):
    if kind == "group":
        return nc.group_norm(x, 2, gamma, beta, eps)
    return getattr(nc, f"{kind}_norm")(x, gamma, beta, eps)


def backward(kind, dy, cache):
    return getattr(nc, f"{kind}_norm_backward")(dy, cache)


def oracle(kind, x, gamma, beta, dy, eps=1e-5):
    """Output and gradients of torch, in float64."""
    x, gamma, beta = (
        None if a is None else torch.tensor(np.asarray(a, np.float64), requires_grad=True) for a in (x, gamma, beta)
    )
    if kind == "batch":
        y = TF.batch_norm(x, None, None, gamma, beta, training=True, eps=eps)
    elif kind == "instance":
        y = TF.instance_norm(x, weight=gamma, bias=beta, eps=eps)
    elif kind == "layer":
        y = TF.layer_norm(x, x.shape[1:], gamma, beta, eps)
    else:
        gamma = torch.ones(x.shape[1], dtype=x.dtype) if gamma is None else gamma  # torch fails with beta alone
        y = TF.group_norm(x, 2, gamma, beta, eps)
    y.backward(torch.tensor(np.asarray(dy, np.float64)))
    gradients = [p if p is None else p.grad for p in (gamma, beta)]
    return [None if a is None else a.numpy() for a in (y.detach(), x.grad, *gradients)]


def problem(kind, shape, dtype=np.float64, offset=0.0, affine="both", seed=0):
    rng = np.random.default_rng(seed)
    if kind == "group":
        shape = (shape[0], 8, *shape[2:])
    size = shape[1:] if kind == "layer" else shape[1]
    x = (rng.normal(size=shape) * rng.uniform(0.5, 2, (1, shape[1], *[1] * (len(shape) - 2))) + offset).astype(dtype)
    gamma = rng.normal(size=size).astype(dtype) if affine in ("both", "gamma") else None
    beta = rng.normal(size=size).astype(dtype) if affine in ("both", "beta") else None
    return x, gamma, beta, rng.normal(size=shape).astype(dtype)


def cases():
    return [(k, s) for k in KINDS for s in LAYOUTS if k != "instance" or len(s) > 2]


@pytest.mark.parametrize("affine", ["both", "gamma", "beta", "none"])
@pytest.mark.parametrize(("kind", "shape"), cases())
def test_value_and_gradients_are_torchs(kind, shape, affine):
    x, gamma, beta, dy = problem(kind, shape, affine=affine)
    y, cache = forward(kind, x, gamma, beta, eps=1e-3)
    for mine, torchs in zip((y, *backward(kind, dy, cache)), oracle(kind, x, gamma, beta, dy, 1e-3), strict=True):
        if torchs is None:
            assert mine is None
        else:
            assert mine.shape == torchs.shape
            assert relative_error(mine, torchs) < 1e-13


@pytest.mark.parametrize("offset", [0, 1e4])
@pytest.mark.parametrize(("kind", "shape"), cases())
def test_float32_is_right_to_rounding(kind, shape, offset):
    x, gamma, beta, dy = problem(kind, shape, np.float32, offset)
    y, cache = forward(kind, x, gamma, beta)
    result = (y, *backward(kind, dy, cache))
    assert {a.dtype for a in result} == {np.dtype(np.float32)}
    for mine, true in zip(result, oracle(kind, x, gamma, beta, dy), strict=True):
        assert relative_error(mine, true) < 5e-7


@pytest.mark.parametrize(("kind", "shape"), cases())
def test_float16_is_computed_in_float32(kind, shape):
    x, gamma, beta, dy = problem(kind, shape, np.float16)
    y, cache = forward(kind, x, gamma, beta)
    result = (y, *backward(kind, dy, cache))
    wide = oracle(kind, x, gamma, beta, dy)
    assert {a.dtype for a in result} == {np.dtype(np.float16)}
    for mine, true in zip(result, wide, strict=True):  # one rounding to float16 at the end; two in a dy * gamma
        assert relative_error(mine, true) < 1.1e-3
    if kind in ("batch", "instance"):
        exact = [a.astype(np.float32).astype(np.float16) for a in wide]
        for mine, true in zip(result, exact, strict=True):
            off = np.spacing(np.maximum(abs(true), np.float16(1e-2)))
            assert (abs(mine.astype(np.float64) - true) <= off).all()


def test_by_hand():
    """Four numbers per channel, worked out on paper: mean 3, variance 5; constant channel: variance 0."""
    x = np.array([[[0.0, 2.0], [7.0, 7.0]], [[4.0, 6.0], [7.0, 7.0]]])
    y, cache = nc.batch_norm(x, np.array([2.0, 3.0]), np.array([1.0, -1.0]), eps=4.0)
    assert cache.mean.tolist() == [3.0, 7.0]
    assert cache.var.tolist() == [5.0, 0.0]
    np.testing.assert_allclose(y[:, 0], [[-1, 1 / 3], [5 / 3, 3]], rtol=1e-15)
    assert (y[:, 1] == -1).all()
    dx, dgamma, dbeta = nc.batch_norm_backward(np.array([[[3.0, 0.0], [1.0, 0]], [[0, 0], [0, 0]]]), cache)
    assert dbeta.tolist() == [3.0, 1.0]
    np.testing.assert_allclose(dgamma, [-3.0, 0.0], atol=1e-15)  # 3 * (0 - 3)/3
    # gamma/std (dy - 3/4 - xhat (-3)/4) with xhat = -1, -1/3, 1/3, 1
    np.testing.assert_allclose(dx[:, 0], [[1, -2 / 3], [-1 / 3, 0]], atol=1e-15)
    np.testing.assert_allclose(dx[:, 1], [[1.125, -0.375], [-0.375, -0.375]], atol=1e-15)


@pytest.mark.parametrize("shape", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inference_and_its_backward(shape, dtype):
    x, gamma, beta, dy = problem("batch", shape, dtype, offset=3e3)
    rng = np.random.default_rng(1)
    mean, var = (3e3 + rng.normal(size=3)).astype(dtype), rng.uniform(0.5, 2, 3).astype(dtype)
    y = nc.batch_norm_inference(x, mean, var, gamma, beta, 1e-3)
    gradients = nc.batch_norm_backward(dy, nc.Cache(x, mean, var, gamma, beta, 1e-3, constant=True))
    xt, gt, bt = (torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (x, gamma, beta))
    mt, vt = (torch.tensor(a, dtype=torch.float64) for a in (mean, var))
    yt = TF.batch_norm(xt, mt, vt, gt, bt, training=False, eps=1e-3)
    yt.backward(torch.tensor(dy, dtype=torch.float64))
    for mine, true in zip((y, *gradients), (yt.detach(), xt.grad, gt.grad, bt.grad), strict=True):
        assert mine.dtype == dtype
        assert relative_error(mine, true.numpy()) < (5e-7 if dtype == np.float32 else 1e-13)
    plain = nc.batch_norm_inference(x, mean, var)
    assert relative_error(plain, TF.batch_norm(xt, mt, vt, training=False).detach().numpy()) < 5e-7


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "view",
    [
        lambda a: np.asfortranarray(a),
        lambda a: np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),  # channels last in memory
        lambda a: np.repeat(np.repeat(a, 2, 1), 3, 3)[:, ::2, :, ::3],
        lambda a: a[::-1, ::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1, ::-1],
        lambda a: a.astype(a.dtype.newbyteorder()),
    ],
    ids=["fortran", "channels-last", "strided", "reversed", "other byte order"],
)
def test_memory_layout_does_not_matter(kind, view):
    x, gamma, beta, dy = problem(kind, (5, 3, 4, 6), np.float32, offset=10)
    y, cache = forward(kind, x, gamma, beta)
    y2, cache2 = forward(kind, view(x), gamma, beta)
    assert y2.flags.c_contiguous
    assert y2.dtype == y.dtype
    np.testing.assert_allclose(y2, y, atol=2e-6)
    for a, b in zip(backward(kind, view(dy), cache2), backward(kind, dy, cache), strict=True):
        np.testing.assert_allclose(a, b, atol=5e-6)


def test_a_transposed_two_dimensional_input():
    x, gamma, beta, dy = problem("batch", (7, 3))
    y, cache = nc.batch_norm(np.asfortranarray(x), gamma, beta)
    for mine, true in zip((y, *nc.batch_norm_backward(dy, cache)), oracle("batch", x, gamma, beta, dy), strict=True):
        assert relative_error(mine, true) < 1e-13


@pytest.mark.parametrize(
    "shape", [(6, 5, 3), (6, 5, 200), (40, 5), (3, 5, 600), (2000, 5), (1, 5, 33000), (2, 5, 40, 1), (3, 5, 2, 128)]
)
@pytest.mark.parametrize("block", [1, 4000, 2 << 20])
def test_blocks_and_stretches_do_not_show(shape, block, monkeypatch):
    """One channel at a time, a few, or all; rows short and long, in one stretch and in several."""
    monkeypatch.setattr(engine, "BLOCK", block)
    x, gamma, beta, dy = problem("batch", shape, np.float32)
    y, cache = nc.batch_norm(x, gamma, beta)
    for mine, true in zip((y, *nc.batch_norm_backward(dy, cache)), oracle("batch", x, gamma, beta, dy), strict=True):
        assert relative_error(mine, true) < 5e-7


@pytest.mark.parametrize(("shape", "block", "cuts"), [
    ((2, 10, 3), 4 * 2 * 3 * 8, [(0, 4), (4, 8), (8, 10)]), ((2, 3, 3), 1, [(0, 1), (1, 2), (2, 3)]),
    ((2, 3, 1), 1, [(0, 3)]), ((1, 2500, 3), 3 * 8 * 2000, [(0, 2000), (2000, 2500)]),
    ((2, 0, 3), 100, []), ((0, 3, 4), 100, []),
])  # fmt: skip
def test_blocks_of_channels(shape, block, cuts, monkeypatch):
    monkeypatch.setattr(engine, "BLOCK", block)
    seen, out = [], np.zeros(shape)

    @engine.blockwise
    def formula(y, x, numbers):
        seen.append((int(numbers[0]), int(numbers[-1]) + 1))
        assert x.values.shape == y.values.shape == (shape[0], len(numbers), shape[2])
        assert np.shares_memory(y.values, out)
        return numbers, 2 * numbers

    numbers = np.arange(float(shape[1]))
    found = formula(out, np.ones(shape), numbers)
    assert seen == cuts
    assert [a.tolist() for a in found] == ([numbers.tolist(), (2 * numbers).tolist()] if cuts else [])


def test_neighboring_channels_are_cut_into_pieces_of_1024(monkeypatch):
    monkeypatch.setattr(engine, "BLOCK", 1)
    found = engine.blockwise(lambda y, v: (v[:1],))(np.zeros((3, 2500)).T[None], np.arange(2500))
    assert found[0].tolist() == [0, 1024, 2048]


def test_parameters_are_cut_or_shared(monkeypatch):
    """(c, k) belongs to its channels, as does what is found for it; (1, k) is for all, and what is found is added."""
    monkeypatch.setattr(engine, "BLOCK", 1)
    formula = engine.blockwise(lambda y, v: (v.copy(), y.values.sum((0, 2))))
    out = np.arange(6.0).reshape(1, 3, 2)
    own, sums = formula(out, np.arange(6.0).reshape(3, 2))
    assert own.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert sums.tolist() == [1, 5, 9]
    out = np.arange(18.0).reshape(1, 9, 2)
    own, sums = formula(out, np.array([[1.0, 2.0]]))
    assert own.tolist() == [[3, 6]]  # one from each block: four channels, four, and the last
    assert sums.tolist() == [4 * i + 1 for i in range(9)]
    assert formula(out[:, :1], np.array([[1.0, 2.0]]))[0].tolist() == [[1, 2]]


def test_vectors_are_spelt_out_over_short_rows_only():
    v = np.arange(3.0)
    for shape, width in (((1, 3, 5), 1), ((2, 3, 5), 5), ((2, 3, 511), 511), ((2, 3, 512), 1), ((3, 3, 5), 5)):
        column = engine.Block(np.zeros(shape, np.float32)).column(v)
        assert column.dtype == np.float32
        assert column.shape == (3, width)
        assert (column == v[:, None]).all()


def test_one_position_is_seen_as_columns():
    x = np.zeros((7, 3, 1, 1))
    assert functional.as_rows(x, (3,)).shape == (1, 3, 7)
    assert functional.as_rows(x[..., 0, 0], (3,)).shape == (1, 3, 7)
    assert functional.as_rows(x, (7, 3)).shape == (1, 21, 1)


@pytest.mark.parametrize("kind", ["batch", "instance", "layer"])
def test_one_channel(kind):
    x, gamma, beta, dy = (a[:, :1] if a.ndim > 1 else a[:1] for a in problem("batch", (1, 3, 4, 5)))
    if kind == "layer":
        gamma, beta = dy[0], 2 * dy[0]
    y, cache = forward(kind, x, gamma, beta)
    for mine, true in zip((y, *backward(kind, dy, cache)), oracle(kind, x, gamma, beta, dy), strict=True):
        assert relative_error(mine, true) < 1e-13


@pytest.mark.parametrize(("name", "dtypes"), [
    ("ordinary", {"float32"}), ("mean 1e4", {"float32"}), ("spread 1e19", {"float32", "float64"}),
])  # fmt: skip
def test_float64_is_for_the_blocks_that_need_it(name, dtypes, monkeypatch):
    seen, true_sum = set(), engine.total
    monkeypatch.setattr(engine, "total", lambda *a: seen.update(str(b.dtype) for b in a) or true_sum(*a))
    rng = np.random.default_rng(0)
    x = hard(name, (16, 2, 9, 9), rng)
    _, cache = nc.batch_norm(x)
    assert seen == dtypes
    seen.clear()
    nc.batch_norm_backward(x * np.float32(1e3) if len(dtypes) > 1 else x, cache)
    assert seen == dtypes


def test_many_columns_are_cut_into_blocks(monkeypatch):
    monkeypatch.setattr(engine, "BLOCK", 1)
    x, gamma, beta, dy = problem("batch", (3, 2500))
    y, cache = nc.batch_norm(x, gamma, beta)
    for mine, true in zip((y, *nc.batch_norm_backward(dy, cache)), oracle("batch", x, gamma, beta, dy), strict=True):
        assert relative_error(mine, true) < 1e-13


def test_one_position_is_as_no_position():
    x, gamma, beta, dy = problem("batch", (7, 3))
    y, cache = nc.batch_norm(x[..., None, None], gamma, beta)
    flat, flat_cache = nc.batch_norm(x, gamma, beta)
    assert np.array_equal(y[..., 0, 0], flat)
    dx = nc.batch_norm_backward(dy[..., None, None], cache)[0]
    assert np.array_equal(dx[..., 0, 0], nc.batch_norm_backward(dy, flat_cache)[0])


class TestTheory:
    """Equalities that the formulas promise."""

    x, gamma, beta, dy = problem("batch", (4, 6, 5, 3))

    def test_one_sample(self):
        """Batch norm of one image is its instance norm; a batch of images is not."""
        one = self.x[:1], self.gamma, self.beta
        assert np.array_equal(nc.batch_norm(*one)[0], nc.instance_norm(*one)[0])
        assert abs(nc.batch_norm(self.x)[0] - nc.instance_norm(self.x)[0]).max() > 0.1

    def test_groups(self):
        np.testing.assert_allclose(nc.group_norm(self.x, 6)[0], nc.instance_norm(self.x)[0], atol=1e-12)
        np.testing.assert_allclose(nc.group_norm(self.x, 1)[0], nc.layer_norm(self.x)[0], atol=1e-12)

    def test_identity(self):
        _, cache = nc.batch_norm(self.x)
        back, _ = nc.batch_norm(self.x, np.sqrt(cache.var + 1e-5), cache.mean)
        np.testing.assert_allclose(back, self.x, atol=1e-12)

    def test_moments_are_the_only_difference(self):
        for kind, axes in (("batch", (0, 2, 3)), ("instance", (2, 3)), ("layer", (1, 2, 3))):
            mean, var = nc.moments(self.x, axes)
            np.testing.assert_allclose(forward(kind, self.x)[0], (self.x - mean) / np.sqrt(var + 1e-5), atol=1e-12)


class TestMoments:
    x = problem("batch", (4, 3, 5, 6), offset=7)[0]

    @pytest.mark.parametrize("axes", [0, 1, -1, (0, 2, 3), (2, 3), (1, 2, 3), (3, 0), (0, 1, 2, 3), ()])
    def test_are_numpys(self, axes):
        mean, var = nc.moments(self.x, axes)
        np.testing.assert_allclose(mean, self.x.mean(axes, keepdims=True), atol=1e-13, strict=True)
        np.testing.assert_allclose(var, self.x.var(axes, keepdims=True), atol=1e-13, strict=True)

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_dtype(self, dtype):
        mean, var = nc.moments(self.x.astype(dtype), (0, 2, 3))
        assert mean.dtype == var.dtype == dtype
        assert relative_error(mean, self.x.mean((0, 2, 3), keepdims=True)) < np.finfo(dtype).eps

    def test_far_from_zero(self):
        """E[x²] - E[x]² gives anything from -16 to 32 here."""
        x = (1e4 + np.random.default_rng(0).normal(0, 0.1, (1, 1, 100000))).astype(np.float32)
        _, var = nc.moments(x, 2)
        assert relative_error(var, x.astype(np.float64).var(2, keepdims=True)) < 3e-7

    def test_the_input_stays(self):
        before = self.x.copy()
        nc.moments(self.x, 2)
        assert np.array_equal(self.x, before)

    def test_empty(self):
        mean, var = nc.moments(np.zeros((0, 3)), 0)
        assert np.isnan(mean).all()
        assert np.isnan(var).all()
        assert nc.moments(np.zeros((0, 3)), 1)[0].shape == (0, 1)

    def test_overflow_is_infinite(self):
        mean, var = nc.moments(np.array([-6e4, 6e4], np.float16), 0)
        assert mean == 0
        assert np.isinf(var)


EXACT = np.longdouble


def exact(kind, x, gamma, beta, dy, eps=1e-5):
    """The formulas in extended precision."""
    x, dy = x.astype(EXACT), dy.astype(EXACT)
    shape = (1, -1, *[1] * (x.ndim - 2))
    g, b = gamma.astype(EXACT).reshape(shape), beta.astype(EXACT).reshape(shape)
    axes = tuple(range(2, x.ndim)) if kind == "instance" else (0, *range(2, x.ndim))
    d = x - x.mean(axes, keepdims=True)
    inv = 1 / np.sqrt((d * d).mean(axes, keepdims=True) + EXACT(eps))
    xhat = d * inv
    dx = g * inv * (dy - dy.mean(axes, keepdims=True) - xhat * (dy * xhat).mean(axes, keepdims=True))
    shared = (0, *range(2, x.ndim))
    return g * xhat + b, dx, (dy * xhat).sum(shared), dy.sum(shared)


def hard(name, shape, rng):
    x = rng.normal(size=shape)
    match name.split():
        case ["ordinary"]:
            pass
        case ["mean", m]:
            x += float(m)
        case ["spread", s]:
            x *= float(s)
        case ["outlier"]:
            x.reshape(-1)[0] = 1e4
        case ["shifted", "tiny"]:
            x = 1 + 1e-4 * x
        case ["huge", "mean"]:
            x = 1e30 * (1 + 1e-3 * x)
    return x.astype(np.float32)


HARD = ["ordinary", "mean 1e2", "mean 1e4", "mean 1e6", "mean -7e5", "spread 1e-4", "spread 1e15", "spread 1e18",
        "spread 1e35", "outlier", "shifted tiny", "huge mean"]


@pytest.mark.parametrize("shape", [(64, 4), (8, 4, 10, 12), (16, 2, 40, 40), (4, 2, 9000)])
@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("kind", ["batch", "instance"])
def test_hard_inputs_in_float32(kind, name, shape):
    if kind == "instance" and len(shape) == 2:
        shape = (*shape, 50)
    rng = np.random.default_rng(0)
    x, dy = hard(name, shape, rng), rng.normal(size=shape).astype(np.float32)
    gamma, beta = rng.normal(size=(2, shape[1])).astype(np.float32)
    y, cache = forward(kind, x, gamma, beta)
    result = (y, *backward(kind, dy, cache))
    for part, mine, true in zip(("y", "dx", "dgamma", "dbeta"), result, exact(kind, x, gamma, beta, dy), strict=True):
        if abs(true).max() > np.finfo(np.float32).tiny:  # else dx is not representable
            assert relative_error(mine, true) < 5e-7, part


def test_a_gradient_of_the_largest_size_does_not_overflow():
    x, gamma, beta, dy = problem("batch", (64, 2, 5, 5), np.float32)
    dy *= np.float32(6e37)
    _, cache = nc.batch_norm(x, gamma, beta)
    with np.errstate(over="raise"):
        dx, dgamma, _ = nc.batch_norm_backward(dy, cache)
    true = exact("batch", x, gamma, beta, dy)
    assert relative_error(dx, true[1]) < 5e-7
    assert relative_error(dgamma, true[2]) < 5e-7


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6, -3e38, 65504.0])
@pytest.mark.parametrize("shape", [(64, 4), (16, 4, 7, 9), (4, 4, 40000)])
def test_constant_channels_give_beta(value, shape):
    """Exactly: no rounding of the mean is blown up by 1/sqrt(eps)."""
    x, beta = np.full(shape, value, np.float32), np.array([0.5, -1, 0, 2], np.float32)
    y, cache = nc.batch_norm(x, np.ones(4, np.float32), beta)
    assert (np.moveaxis(y, 1, -1) == beta).all()
    assert (cache.mean == np.float32(value)).all()
    dx, dgamma, _ = nc.batch_norm_backward(np.ones_like(x), cache)
    assert abs(dx).max() < 1e-4
    assert (dgamma == 0).all()


def test_a_nearly_constant_channel():
    """Two neighboring float32 numbers far from zero: 1e6 and the next one."""
    x = np.full((1000, 1), 1e6, np.float32)
    x[::10] = np.nextafter(np.float32(1e6), np.float32(2e6))
    true = exact("batch", x, np.ones(1), np.zeros(1), x)[0]
    assert relative_error(nc.batch_norm(x)[0], true) < 5e-7


def test_a_batch_of_65536():
    rng = np.random.default_rng(0)
    x, dy = rng.normal(3, 1, (2, 65536, 2)).astype(np.float32)
    one, zero = np.ones(2, np.float32), np.zeros(2, np.float32)
    y, cache = nc.batch_norm(x, one, zero)
    result = (y, *nc.batch_norm_backward(dy, cache))
    for mine, true, most in zip(result, exact("batch", x, one, zero, dy), (5e-7, 5e-7, 3e-6, 3e-6), strict=True):
        assert relative_error(mine, true) < most


def test_inference_keeps_its_digits_far_from_zero():
    rng = np.random.default_rng(0)
    x = rng.normal(1e6, 1, (8, 2, 20)).astype(np.float32)
    mean, var = np.array([1e6, 1e6 + 0.3]), np.array([1.0, 2.0])
    true = (x.astype(EXACT) - mean[:, None]) / np.sqrt(var + EXACT(1e-5))[:, None]
    assert relative_error(nc.batch_norm_inference(x, mean, var), true) < 5e-7


def test_inference_far_from_the_mean():
    """x - mean is no float32, y is one; as in torch."""
    x, mean, var = (np.array(a, np.float32) for a in ([[3e38], [-3e38]], [-3e38], [1e38]))
    with np.errstate(all="raise"):
        y = nc.batch_norm_inference(x, mean, var)
    np.testing.assert_allclose(y, [[6e38 / 1e19], [0]], rtol=1e-6)
    huge = nc.batch_norm_inference(np.ones((1, 1), np.float32), np.array([1e40]), np.array([1e80]))
    assert huge.tolist() == [[-1]]
    for bad in (np.nan, np.inf, -np.inf):
        y = nc.batch_norm_inference(x, np.array([bad], np.float32), var)
        np.testing.assert_array_equal(y, [[-bad], [-bad]])


def test_float16_at_its_edges():
    """65504 is the largest value and 6e-8 the smallest: neither sums nor squares leave float32."""
    big = np.array([[-65504.0], [65504.0], [65504.0], [-65504.0]], np.float16)
    assert nc.batch_norm(big)[0].ravel().tolist() == [-1, 1, 1, -1]
    small = np.array([[6e-8], [0], [6e-8], [0]], np.float16)
    y, cache = nc.batch_norm(small, eps=1e-30)
    assert y.ravel().tolist() == [1, -1, 1, -1]
    dx = nc.batch_norm_backward(np.array([[1.0], [0], [0], [0]], np.float16), cache)[0]
    assert np.isinf(dx).any()  # 3e7 is not representable
    assert not np.isnan(dx).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_nonfinite_values_stay_in_their_channel(kind, bad):
    """As in torch; and without a warning, or these tests would fail."""
    x, gamma, beta, dy = problem(kind, (4, 3, 5, 6))
    x[1, 2, 0, 0] = bad
    y, cache = forward(kind, x, gamma, beta)
    result, torchs = (y, *backward(kind, dy, cache)), oracle(kind, x, gamma, beta, dy)
    for mine, true in zip(result, torchs, strict=True):
        assert np.array_equal(np.isnan(mine), np.isnan(true))
        np.testing.assert_allclose(mine, true, atol=1e-11)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("batch", (0, 3)), *((k, s) for k in ("batch", "instance") for s in [(0, 3, 4), (2, 3, 0, 5), (0, 3, 1)])],
)
def test_empty_batches(kind, shape):
    x, one = np.zeros(shape, np.float32), np.ones(3, np.float32)
    y, cache = forward(kind, x, one, one)
    dx, dgamma, dbeta = backward(kind, y, cache)
    assert y.shape == dx.shape == shape
    assert dgamma.tolist() == dbeta.tolist() == [0, 0, 0]
    assert nc.batch_norm_inference(x, one, one, one, one).shape == shape


def test_gamma_keeps_its_own_dtype():
    x, _, _, dy = problem("batch", (4, 3, 5), np.float16)
    y, cache = nc.batch_norm(x, np.ones(3, np.float32), np.ones(3, np.float64))
    _, dgamma, dbeta = nc.batch_norm_backward(dy, cache)
    assert (y.dtype, dgamma.dtype, dbeta.dtype) == (np.float16, np.float32, np.float64)


def test_inputs_are_only_read():
    x, gamma, beta, dy = problem("batch", (4, 3, 5, 6), np.float32)
    for a in (x, gamma, beta, dy):
        a.flags.writeable = False
    for kind in ("batch", "instance"):
        _, cache = forward(kind, x, gamma, beta)
        assert cache.x is x
        backward(kind, dy, cache)
    nc.batch_norm_inference(x, gamma, abs(beta), gamma, beta)


def test_padded_sequences_are_normalized_by_what_counts():
    """As the docstring says: each channel by hand, over the first lengths[i] entries of each sequence."""
    x, lengths = np.random.default_rng(0).normal(size=(3, 2, 5)), [5, 2, 3]
    mask = np.arange(5) < np.array(lengths)[:, None]
    y = nc.batch_norm(x.transpose(0, 2, 1)[mask])[0]
    for c in range(2):
        counted = np.concatenate([x[i, c, :n] for i, n in enumerate(lengths)])
        np.testing.assert_allclose(y[:, c], (counted - counted.mean()) / np.sqrt(counted.var() + 1e-5), rtol=1e-12)


def test_moments_where_numpy_is_asked_to_raise():
    """A variance of 1e-60 is no float32, and one of 1e60 neither: 0 and infinity, without a word."""
    x = np.array([[1.0, 2.0], [3.0, 2.0]], np.float32)
    with np.errstate(all="raise"):
        for size, var in ((1e-30, 0), (1, 1), (1e30, np.inf)):
            mean, found = nc.moments(np.float32(size) * x, 0)
            np.testing.assert_allclose(mean, size * np.array([[2, 2]]), rtol=1e-6)
            assert found.tolist() == [[var, 0]]


def test_numpys_settings_are_left_alone():
    before = np.getbufsize(), np.geterr()
    x, gamma, beta, dy = problem("batch", (4, 3, 5, 6))
    with np.errstate(all="raise"):
        _, cache = nc.batch_norm(np.where(x > 1, np.inf, x), gamma, beta)
        nc.batch_norm_backward(dy, cache)
    assert (np.getbufsize(), np.geterr()) == before


@pytest.mark.parametrize("shape", [(16, 32, 64, 64), (4, 3, 512, 512), (1024, 2048), (64, 512, 8, 8)])
def test_no_memory_beyond_the_result(shape):
    """Forward and backward allocate the result and vectors per channel; short rows need one vector per block."""
    x = np.zeros(shape, np.float32)
    x[0] = 1
    gamma = np.ones(shape[1], np.float32)

    def peak(call):
        tracemalloc.start()
        call()
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size / x.nbytes

    _, cache = nc.batch_norm(x, gamma, gamma)
    small = 1.05
    assert peak(lambda: nc.batch_norm(x, gamma, gamma)) < small
    assert peak(lambda: nc.batch_norm_backward(x, cache)) < small
    assert peak(lambda: nc.batch_norm_inference(x, gamma, gamma, gamma, gamma)) < small
    if len(shape) == 4:
        _, cache = nc.instance_norm(x, gamma, gamma)
        assert peak(lambda: nc.instance_norm(x, gamma, gamma)) < small + 32 * shape[0] * shape[1] / x.size
        assert peak(lambda: nc.instance_norm_backward(x, cache)) < small + 32 * shape[0] * shape[1] / x.size


def test_the_core_is_short_and_a_formula_fits_on_a_postcard():
    """Formulas and engine are fewer than 300 lines; no formula has more than eight, after its docstring."""
    assert sum(len(Path(module.__file__).read_text("utf8").splitlines()) for module in (formulas, engine)) < 300
    tree = ast.parse(Path(formulas.__file__).read_text("utf8"))
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert len(found) == 9
    for formula in found:
        assert ast.get_docstring(formula)
        assert formula.end_lineno - formula.body[0].end_lineno <= 8


def test_importing_normcore_imports_numpy_alone():
    code = """
import sys, numpy
before = set(sys.modules)
import normcore
new = {m.split('.')[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names)
assert new <= {"normcore", "numpy"}, new
assert not {'torch', 'matplotlib', 'ipywidgets'} & set(sys.modules)
sys.modules['torch'] = None  # as if it were not installed
normcore.BatchNorm(2)(numpy.eye(2))
try:
    import normcore.autograd
except ImportError:
    print('fine')
try:
    normcore.nothing
except AttributeError as e:
    print(e)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout == "fine\nmodule 'normcore' has no attribute 'nothing'\n"
