"""Layer, group and RMS norm beyond what all norms share: trailing axes, float16, extremes, caches that do not fit."""

import numpy as np
import pytest
import torch
import torch.nn.functional as TF

import normcore as nc
from normcore import engine

WIDE = np.longdouble
rng = np.random.default_rng(0)


def truth(kind, x, dy, gamma, beta, rows, entries, eps=1e-5):
    """y, dx, dgamma, dbeta in extended precision; x as (samples, rows, entries), gamma and beta as (rows, entries)."""
    shape = x.shape
    x, dy = (a.astype(WIDE).reshape(-1, rows, entries) for a in (x, dy))
    gamma, beta = (np.repeat(a.astype(WIDE), rows * entries // a.size).reshape(rows, entries) for a in (gamma, beta))
    d = x - (0 if kind == "rms" else x.mean(2, keepdims=True))
    r = 1 / np.sqrt((d * d).mean(2, keepdims=True) + WIDE(eps))
    xhat, g = d * r, gamma * dy
    dx = r * (g - (0 if kind == "rms" else g.mean(2, keepdims=True)) - xhat * (g * xhat).mean(2, keepdims=True))
    return (gamma * xhat + beta).reshape(shape), dx.reshape(shape), (dy * xhat).sum(0), dy.sum(0)


def relative(a, b):
    return float(abs(a.astype(WIDE) - b).max() / abs(b).max())


def run(kind, x, dy, gamma, beta, groups=2):
    if kind == "rms":
        y, cache = nc.rms_norm(x, gamma)
        return y, *nc.rms_norm_backward(dy, cache)
    y, cache = nc.layer_norm(x, gamma, beta) if kind == "layer" else nc.group_norm(x, groups, gamma, beta)
    return y, *getattr(nc, f"{kind}_norm_backward")(dy, cache)


def problem(kind, shape, dtype=np.float32, mean=0.0, spread=1.0, grad=1.0):
    x, dy = (mean + spread * rng.normal(size=shape)).astype(dtype), (grad * rng.uniform(-1, 1, shape)).astype(dtype)
    size = shape[1] if kind == "group" else shape[1:]
    gamma, beta = rng.normal(size=size).astype(np.float32), rng.normal(size=size).astype(np.float32)
    if kind == "rms":
        beta = np.zeros(size, np.float32)
    rows = 2 if kind == "group" else 1
    return (x, dy, gamma, beta), (rows, int(np.prod(shape[1:])) // rows)


KINDS = ["layer", "group", "rms"]
SHAPES = [(3, 12), (70, 8), (5, 4, 7), (40, 4, 3, 5), (2, 4, 30, 40), (1, 8, 9)]


@pytest.mark.parametrize("block", [1, 3000, 2 << 20])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("mean", "spread"), [(0, 1), (1e4, 1), (-1e6, 3), (0, 1e-4), (0, 1e15), (0, 1e19),
                                             (1e30, 1e27)])  # fmt: skip
def test_float32_is_right_to_rounding(kind, shape, block, mean, spread, monkeypatch):
    monkeypatch.setattr(engine, "BLOCK", block)
    arrays, sizes = problem(kind, shape, mean=mean, spread=spread)
    result, wanted = run(kind, *arrays), truth(kind, *arrays, *sizes)
    for name, mine, true in zip(("y", "dx", "dgamma", "dbeta"), result, wanted, strict=False):
        if name in ("dgamma", "dbeta"):
            true = true.reshape(mine.shape) if mine.size == true.size else true.reshape(mine.size, -1).sum(1)
        if abs(true).max() > np.finfo(np.float32).tiny:
            scale = 1 if kind != "rms" or name != "dx" or mean == 0 else 10  # there, dx is a difference of larger parts
            assert relative(mine, true) < 6e-7 * scale, name


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_float16_is_rounded_once(kind, shape):
    """Inner products beyond 65504 do not overflow, and the output is the float32 one, rounded."""
    arrays, _ = problem(kind, shape, np.float16, spread=10, grad=6e4)
    wide = run(kind, *(a.astype(np.float32) for a in arrays))
    narrow = run(kind, *arrays)
    assert narrow[0].dtype == narrow[1].dtype == np.float16
    with np.errstate(over="ignore"):
        for mine, true in zip(narrow, wide, strict=True):
            assert (mine == true.astype(mine.dtype)).all() or true is None


def test_a_gradient_that_is_representable_where_its_parts_are_not():
    dy = np.full((2, 8), 4e4, np.float16) * np.sign(rng.normal(size=(2, 8))).astype(np.float16)
    x, gamma = (10 * rng.normal(size=(2, 8))).astype(np.float16), np.full(8, 2, np.float32)
    dx, dgamma, _ = nc.layer_norm_backward(dy, nc.layer_norm(x, gamma)[1])
    true = nc.layer_norm_backward(dy.astype(float), nc.layer_norm(x.astype(float), gamma.astype(float))[1])
    np.testing.assert_allclose(dx.astype(float), true[0], rtol=2e-3, atol=8)
    np.testing.assert_allclose(dgamma, true[1], rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize(("shape", "last"), [((4, 6, 5), 5), ((4, 6, 5), (5,)), ((4, 6, 5), (6, 5)), ((7,), 7),
                                             ((3, 2, 1, 4, 5, 2), [5, 2]), ((4, 6, 5), (4, 6, 5))])  # fmt: skip
@pytest.mark.parametrize("affine", [True, False])
def test_trailing_axes_are_torchs(shape, last, affine):
    x, dy = rng.normal(size=(2, *shape))
    sizes = (last,) if isinstance(last, int) else tuple(last)
    gamma, beta = rng.normal(size=(2, *sizes)) if affine else (None, None)
    leaves = [None if a is None else torch.tensor(a, requires_grad=True) for a in (x, gamma, beta)]
    for norm, back, theirs in (
        (lambda: nc.layer_norm(x, gamma, beta, normalized_shape=last), nc.layer_norm_backward,
         lambda: TF.layer_norm(leaves[0], sizes, leaves[1], leaves[2], 1e-5)),
        (lambda: nc.rms_norm(x, gamma, normalized_shape=last), nc.rms_norm_backward,
         lambda: TF.rms_norm(leaves[0], sizes, leaves[1], 1e-5)),
    ):  # fmt: skip
        y, cache = norm()
        out = theirs()
        assert cache.mean.shape == cache.var.shape == shape[: len(shape) - len(sizes)]
        np.testing.assert_allclose(y, out.detach(), atol=1e-12)
        wanted = [leaf for leaf in leaves if leaf is not None][: 3 if back is nc.layer_norm_backward else 2]
        found = [a for a in back(dy, cache) if a is not None]
        for mine, true in zip(found, torch.autograd.grad(out, wanted, torch.tensor(dy)), strict=True):
            np.testing.assert_allclose(mine, true, atol=1e-11)
            assert mine.shape == true.shape


@pytest.mark.parametrize("last", [(4, 6), 6, (2, 4, 6, 5), ()])
def test_other_last_axes_are_refused(last):
    x = np.zeros((4, 6, 5))
    for norm in (nc.layer_norm, nc.rms_norm):
        with pytest.raises(ValueError, match="wanted"):
            norm(x, normalized_shape=last)
        with pytest.raises(TypeError, match="wanted an integer"):
            norm(x, normalized_shape=2.5)


def test_a_cache_of_another_norm_is_refused():
    x = rng.normal(size=(4, 4, 4))
    caches = {"batch": nc.batch_norm(x)[1], "instance": nc.instance_norm(x)[1], "layer": nc.layer_norm(x)[1],
              "group": nc.group_norm(x, 2)[1], "rms": nc.rms_norm(x)[1]}  # fmt: skip
    for name, cache in caches.items():
        assert cache.norm == name
        for other in caches:
            backward = getattr(nc, f"{other}_norm_backward")
            if name == other or {name, other} == {"batch", "instance"}:
                backward(x, cache)
            else:
                with pytest.raises(ValueError, match=rf"is from {name}_norm, wanted .*use {name}_norm_backward"):
                    backward(x, cache)


def test_rms_norm_by_hand():
    """3, 4, 0, 0 has the mean square 6.25: y = x/2.5 but for eps."""
    y, cache = nc.rms_norm(np.array([[3.0, 4.0, 0.0, 0.0]]), np.array([1.0, 2, 3, 4]), eps=1e-12)
    np.testing.assert_allclose(y, [[1.2, 3.2, 0, 0]], atol=1e-12)
    assert cache.var.tolist() == [6.25]
    assert cache.mean.tolist() == [0]
    dx, dgamma = nc.rms_norm_backward(np.array([[1.0, 0, 0, 1]]), cache)
    np.testing.assert_allclose(dgamma, [1.2, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(dx, [[0.4 * (1 - 0.36), -0.4 * 0.48, 0, 1.6]], atol=1e-12)


def test_rms_norm_does_not_react_to_scale_and_takes_one_value():
    x = rng.normal(size=(3, 5))
    np.testing.assert_allclose(nc.rms_norm(1e3 * x)[0], nc.rms_norm(x, eps=1e-11)[0], atol=1e-9)
    assert nc.rms_norm(np.array([[-2.0]]), eps=1e-30)[0].tolist() == [[-1]]


@pytest.mark.parametrize("kind", KINDS)
def test_an_eps_whose_inverse_is_no_number(kind):
    """Where x is constant, r = 1/sqrt(eps); its square is infinite, but nothing depends on that."""
    x, gamma = np.zeros((2, 4)), np.array([1.0, 2, 3, 4])
    dy = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0]])
    eps = 1e-320
    args = (gamma, eps) if kind == "rms" else (2, gamma, None, eps) if kind == "group" else (gamma, None, eps)
    dx, dgamma, *_ = getattr(nc, f"{kind}_norm_backward")(dy, getattr(nc, f"{kind}_norm")(x, *args)[1])
    right = {"rms": [[1, 0, 0, 0], [0, 0, -3, 0]], "layer": [[0.75, -0.25, -0.25, -0.25], [0.75, 0.75, -2.25, 0.75]],
             "group": [[0.5, -0.5, 0, 0], [0, 0, -1.5, 1.5]]}  # fmt: skip
    np.testing.assert_allclose(dx * 1e-160, right[kind], rtol=1e-4)
    assert dgamma.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("shape", [(0, 4), (0, 4, 3), (2, 4, 0)])
def test_nothing_in_nothing_out(shape):
    x = np.zeros(shape, np.float32)
    for kind in KINDS:
        arrays, _ = problem(kind, shape)
        y, dx, *rest = run(kind, x, x, *arrays[2:])
        assert y.shape == dx.shape == shape
        assert all((a == 0).all() for a in rest)


def test_a_scale_beyond_float32_is_taken_in_float64():
    """gamma/sqrt(eps) is no float32, but what it multiplies is 0, or tiny."""
    x = np.full((8, 2), 0.5, np.float32)
    gamma, beta = np.full(2, 2e36, np.float32), np.array([1, -3], np.float32)
    assert (nc.batch_norm(x, gamma, beta)[0] == beta).all()
    assert (nc.batch_norm_inference(x, np.full(2, 0.5), np.zeros(2), gamma, beta) == beta).all()
    assert (nc.layer_norm(x, gamma, beta)[0] == beta).all()
    x[0] = np.nextafter(np.float32(0.5), np.float32(1))
    assert np.isfinite(nc.batch_norm(x, gamma, beta)[0]).all()


MEMORY = {
    "C": lambda a: a,
    "Fortran": np.asfortranarray,
    "channels last": lambda a: np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1),
    "samples last": lambda a: np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 0, -1)), -1, 0),
    "backward": lambda a: np.flip(np.ascontiguousarray(np.flip(a))),
    "every second": lambda a: np.repeat(a, 2, 1)[:, ::2],
    "spread out": lambda a: np.broadcast_to(a[:1], a.shape),
}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(6, 4), (1, 8), (6, 4, 1, 1), (1, 4, 3, 5), (3, 4, 5), (5, 4, 1, 3)])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("order", MEMORY)
def test_memory_order_does_not_matter(order, groups, shape, dtype):
    """In some orders samples, groups and their entries are a view of x and dy that is in Fortran order."""
    if np.prod(shape[1:]) // groups < 2:
        return
    for kind in KINDS:
        (x, dy, gamma, beta), _ = problem(kind, shape, dtype)
        x, dy = MEMORY[order](x), MEMORY[order](dy)
        result = run(kind, x, dy, gamma, beta, groups)
        plain = run(kind, np.ascontiguousarray(x), np.ascontiguousarray(dy), gamma, beta, groups)
        for mine, true in zip(result, plain, strict=True):
            tolerance = 8 * np.finfo(true.dtype).eps * max(1, float(abs(true).max()))
            np.testing.assert_allclose(mine, true, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("spread", "eps"), [
    (3e-16, 9e-31), (1e-20, 1e-42), (1e-22, 1e-45), (1e-25, 1e-60), (1e-30, 1e-100),
])  # fmt: skip
def test_an_eps_below_all_squares_in_float32(spread, eps):
    """float32 holds x and y, but not the squares between them."""
    x = (spread * rng.normal(size=(2, 64))).astype(np.float32)
    d = x.astype(WIDE) - x.mean(1, keepdims=True, dtype=WIDE)
    true = d / np.sqrt((d * d).mean(1, keepdims=True) + WIDE(eps))
    assert relative(nc.batch_norm(x.T, eps=np.float64(eps))[0].T, true) < 3e-7
    assert relative(nc.layer_norm(x, eps=eps)[0], true) < 3e-7
    assert relative(nc.group_norm(x, 1, eps=eps)[0], true) < 3e-7
    square = (x.astype(WIDE) ** 2).mean(1, keepdims=True)
    assert relative(nc.rms_norm(x, eps=eps)[0], x / np.sqrt(square + WIDE(eps))) < 3e-7
