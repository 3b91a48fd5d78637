"""The layers against torch's: outputs, gradients and the values of running statistics; weights travel both ways."""

import copy
import pickle
import re

import numpy as np
import pytest
import torch
from torch import nn

import normcore as nc

TORCH = {
    ("batch", 2): nn.BatchNorm1d, ("batch", 3): nn.BatchNorm1d,
    ("batch", 4): nn.BatchNorm2d, ("batch", 5): nn.BatchNorm3d,
    ("instance", 3): nn.InstanceNorm1d, ("instance", 4): nn.InstanceNorm2d, ("instance", 5): nn.InstanceNorm3d,
}
SHAPES = {2: (6, 3), 3: (6, 3, 5), 4: (6, 3, 4, 5), 5: (2, 3, 4, 3, 5)}
OPTIONS = [
    {},
    {"affine": True},
    {"affine": False},
    {"affine": True, "bias": False},
    {"track_running_stats": True},
    {"track_running_stats": False},
    {"momentum": 0.0, "track_running_stats": True},
    {"momentum": 0.9, "eps": 1e-2, "affine": True, "track_running_stats": True},
    {"momentum": 1, "track_running_stats": True, "affine": True},
    {"momentum": None, "track_running_stats": True},
]


def pair(kind, ndim, dtype, **options):
    """The same layer twice, with random parameters."""
    mine = (nc.BatchNorm if kind == "batch" else nc.InstanceNorm)(3, dtype=dtype, **options)
    theirs = TORCH[kind, ndim](3, dtype=torch.float64 if dtype == np.float64 else torch.float32, **options)
    rng = np.random.default_rng(3)
    if mine.gamma is not None:
        mine.gamma[:] = rng.normal(size=3)
    if mine.beta is not None:
        mine.beta[:] = rng.normal(size=3)
    theirs.load_state_dict({k: torch.as_tensor(v) for k, v in mine.state_dict().items()})
    return mine, theirs


def assert_same_state(mine, theirs, rtol, count=True):
    state = theirs.state_dict()
    assert list(mine.state_dict()) == list(state)
    for key, value in mine.state_dict().items():
        if key != "num_batches_tracked":
            assert value.dtype == mine.dtype
            np.testing.assert_allclose(value, state[key].numpy(), rtol=rtol, atol=rtol, strict=True)
        elif count:
            assert value == state[key]


def assert_same_step(mine, theirs, x, dy, rtol):
    xt = torch.tensor(x, requires_grad=True)
    theirs.zero_grad()
    y, yt = mine(x), theirs(xt)
    yt.backward(torch.tensor(dy))
    dx = mine.backward(dy)
    pairs = [(y, yt.detach()), (dx, xt.grad)]
    for gradient, parameter in ((mine.dgamma, theirs.weight), (mine.dbeta, theirs.bias)):
        assert (gradient is None) == (parameter is None)
        if gradient is not None:
            pairs.append((gradient, parameter.grad))
    for a, b in pairs:
        np.testing.assert_allclose(a, b.numpy(), rtol=rtol, atol=rtol * max(1, abs(b).max().item()), strict=True)


def cases():
    """All but momentum=None for torch's instance norm, which never moves: see test_cumulative_instance_statistics."""
    return [(*k, o) for k in TORCH for o in OPTIONS if k[0] == "batch" or o.get("momentum", 0) is not None]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("kind", "ndim", "options"), cases(), ids=str)
def test_ten_steps_and_then_eval(kind, ndim, dtype, options):
    """Values of the running statistics after 1, 2 and 10 steps, not only that they moved."""
    rtol = 2e-6 if dtype == np.float32 else 1e-13
    mine, theirs = pair(kind, ndim, dtype, **options)
    rng = np.random.default_rng(0)
    for step in range(1, 11):
        x = (2 + 3 * rng.normal(size=SHAPES[ndim])).astype(dtype)
        assert_same_step(mine, theirs, x, rng.normal(size=x.shape).astype(dtype), rtol)
        if step in (1, 2, 10):
            assert_same_state(mine, theirs, rtol, count=kind == "batch")
            assert mine.num_batches_tracked == (step if mine.track_running_stats else None)
    assert mine.eval() is mine
    theirs.eval()
    before = pickle.dumps(mine.state_dict())
    x = rng.normal(size=SHAPES[ndim]).astype(dtype)
    assert_same_step(mine, theirs, x, rng.normal(size=x.shape).astype(dtype), rtol)
    assert pickle.dumps(mine.state_dict()) == before
    assert mine.train() is mine
    theirs.train()
    assert_same_step(mine, theirs, x, x, rtol)
    assert_same_state(mine, theirs, rtol, count=False)


def test_statistics_by_hand():
    layer = nc.BatchNorm(1, momentum=0.25, dtype=np.float64)
    layer(np.array([[1.0], [3.0]]))
    assert layer.running_mean.tolist() == [0.5]  # 0.75 * 0 + 0.25 * 2
    assert layer.running_var.tolist() == [1.25]  # 0.75 * 1 + 0.25 * 2, the unbiased variance
    layer(np.array([[5.0], [5.0]]))
    assert layer.running_mean.tolist() == [1.625]
    assert layer.running_var.tolist() == [0.9375]
    assert layer.num_batches_tracked == 2


def test_cumulative_average():
    layer = nc.BatchNorm(1, momentum=None, dtype=np.float64)
    for values, mean, var in (([1.0, 3], 2, 2), ([5.0, 5], 3.5, 1), ([0.0, 4], 3, 10 / 3)):
        layer(np.array(values)[:, None])
        np.testing.assert_allclose([layer.running_mean[0], layer.running_var[0]], [mean, var], rtol=1e-15)


def test_cumulative_instance_statistics():
    layer = nc.InstanceNorm(1, momentum=None, track_running_stats=True, dtype=np.float64)
    layer(np.array([[[1.0, 3]], [[5, 5]]]))
    assert (layer.running_mean.tolist(), layer.running_var.tolist()) == ([3.5], [1.0])
    layer(np.array([[[0.0, 1]]]))
    assert (layer.running_mean.tolist(), layer.running_var.tolist()) == ([2.0], [0.75])
    frozen = nn.InstanceNorm1d(1, momentum=None, track_running_stats=True)
    frozen(torch.tensor([[[1.0, 3]]]))
    assert frozen.running_mean.item() == 0  # torch: documented here because it differs


def test_float16_input_keeps_float32_statistics():
    mine, theirs = pair("batch", 4, np.float32)
    x = np.random.default_rng(0).normal(1000, 1, SHAPES[4]).astype(np.float16)
    assert mine(x).dtype == np.float16
    theirs(torch.tensor(x.astype(np.float32)))
    assert_same_state(mine, theirs, 1e-6)
    assert mine.backward(x).dtype == np.float16
    assert mine.dgamma.dtype == np.float32


@pytest.mark.parametrize("kind", ["batch", "instance"])
def test_weights_travel_both_ways(kind):
    options = {"affine": True, "track_running_stats": True}
    mine, theirs = pair(kind, 4, np.float32, **options)
    rng = np.random.default_rng(1)
    for _ in range(3):
        theirs(torch.tensor(rng.normal(3, 2, SHAPES[4]).astype(np.float32)))
    mine.load_state_dict(theirs.state_dict())
    x = rng.normal(3, 2, SHAPES[4]).astype(np.float32)
    np.testing.assert_allclose(mine.eval()(x), theirs.eval()(torch.tensor(x)).detach().numpy(), atol=2e-6)
    back = TORCH[kind, 4](3, **options)
    back.load_state_dict({k: torch.as_tensor(v) for k, v in mine.state_dict().items()})
    for key, value in back.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[key])


def test_loading_casts_to_the_layers_dtype_and_copies():
    layer = nc.BatchNorm(3, dtype=np.float64)
    state = nc.BatchNorm(3).state_dict()
    state["weight"][:] = 2
    layer.load_state_dict(state)
    assert {layer.gamma.dtype, layer.running_var.dtype} == {np.dtype(np.float64)}
    state["weight"][:] = 3
    assert layer.gamma.tolist() == [2, 2, 2]
    assert layer.num_batches_tracked == 0
    assert type(layer.num_batches_tracked) is int
    layer.load_state_dict({**state, "num_batches_tracked": np.uint8(7)})
    assert layer.num_batches_tracked == 7


def test_state_dict_is_a_copy():
    layer = nc.BatchNorm(2)
    for value in layer.state_dict().values():
        value += 5
    assert layer.gamma.tolist() == [1, 1]
    assert layer.running_mean.tolist() == [0, 0]


@pytest.mark.parametrize("make", [nc.BatchNorm, nc.InstanceNorm])
def test_defaults_and_repr(make):
    layer = make(4)
    torchs = {nc.BatchNorm: nn.BatchNorm1d, nc.InstanceNorm: nn.InstanceNorm1d}[make](4)
    assert repr(layer) == re.sub(r"1d|bias=\w+, ", "", repr(torchs))
    for name in ("num_features", "eps", "momentum", "affine", "track_running_stats", "training"):
        assert getattr(layer, name) == getattr(torchs, name)
    assert (layer.gamma is None) == (torchs.weight is None)
    assert (layer.running_mean is None) == (torchs.running_mean is None)
    assert (layer.dgamma, layer.dbeta) == (None, None)


def test_reset():
    x = np.random.default_rng(0).normal(size=(4, 2, 3))
    layer = nc.BatchNorm(2)
    layer.gamma[:] = 3
    layer.beta[:] = 1
    layer(x)
    layer.backward(x)
    layer.reset_running_stats()
    assert (layer.running_mean.tolist(), layer.running_var.tolist(), layer.num_batches_tracked) == ([0, 0], [1, 1], 0)
    assert layer.gamma.tolist() == [3, 3]
    layer(x)
    layer.reset_parameters()
    assert (layer.gamma.tolist(), layer.beta.tolist(), layer.num_batches_tracked) == ([1, 1], [0, 0], 0)
    assert layer.dgamma is None
    with pytest.raises(ValueError, match="backward before forward"):
        layer.backward(x)


def test_backward_belongs_to_the_last_forward():
    """In the mode, and with the running statistics, of that call."""
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, 4, 2, 3))
    layer = nc.BatchNorm(2, dtype=np.float64).eval()
    layer(x)
    layer.train()
    np.testing.assert_allclose(layer.backward(dy), dy / np.sqrt(1 + 1e-5), rtol=1e-15)
    layer.eval()(x)
    layer.running_var[:] = 100
    np.testing.assert_allclose(layer.backward(dy), dy / np.sqrt(1 + 1e-5), rtol=1e-15)
    layer.train()(x)
    layer.eval()
    train = layer.backward(dy)
    assert abs(train.sum((0, 2))).max() < 1e-12
    assert np.array_equal(layer.backward(dy), train)  # again, the same


def test_empty_batches_as_in_torch():
    """They are counted and say nothing.  (torch's instance norm raises IndexError for N = 0.)"""
    mine, theirs = pair("batch", 4, np.float32)
    for shape in ((0, 3, 4, 4), (2, 3, 0, 4)):
        x = np.zeros(shape, np.float32)
        assert mine(x).shape == theirs(torch.tensor(x)).shape == shape
        assert_same_state(mine, theirs, 0)
        assert mine.backward(x).shape == shape
        assert mine.dgamma.tolist() == [0, 0, 0]
    assert mine.num_batches_tracked == 2
    tracking = nc.InstanceNorm(3, track_running_stats=True)
    assert tracking(np.zeros((0, 3, 4))).shape == (0, 3, 4)
    assert tracking.running_var.tolist() == [1, 1, 1]


def test_nonfinite_values_reach_the_running_statistics_as_in_torch():
    mine, theirs = pair("batch", 2, np.float32)
    x = np.array([[1, np.nan, 0], [np.inf, 1, 0], [1, 2, 3]], np.float32)
    mine(x)
    theirs(torch.tensor(x))
    assert_same_state(mine, theirs, 1e-6)
    assert np.isinf(mine.running_mean[0])
    assert np.isnan(mine.running_var[:2]).all()


def test_a_variance_too_large_for_float32_is_infinite():
    layer = nc.BatchNorm(1)
    y = layer(np.array([[-1e30], [1e30]], np.float32))
    assert y.ravel().tolist() == [-1, 1]
    assert np.isinf(layer.running_var).all()
    layer.momentum = 1
    layer(np.array([[-1.0], [1.0]], np.float32))
    assert np.isnan(layer.running_var).all()  # 0 * inf, as in torch; without a warning


@pytest.mark.parametrize("layer", [nc.BatchNorm(3), nc.InstanceNorm(3, affine=True, track_running_stats=True)])
def test_layers_can_be_copied_and_pickled(layer):
    x = np.random.default_rng(0).normal(size=(4, 3, 5))
    layer(x)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert np.array_equal(twin.backward(x), layer.backward(x))
        before = layer.running_mean.copy()
        twin(x + 1)
        assert np.array_equal(layer.running_mean, before)
        twin.gamma += 1
        assert layer.gamma.tolist() == [1, 1, 1]
