"""The layers against torch's: outputs, gradients and the values of running statistics; weights travel both ways."""

import copy
import pickle

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
    known = {k: v for k, v in options.items() if k != "bias"}  # torch 2.4 has no such option
    theirs = TORCH[kind, ndim](3, dtype=torch.float64 if dtype == np.float64 else torch.float32, **known)
    if not options.get("bias", True):
        theirs.register_parameter("bias", None)
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
    saved = {k: v.clone() for k, v in theirs.state_dict().items()}
    mine.load_state_dict(saved)
    x = rng.normal(3, 2, SHAPES[4]).astype(np.float32)
    np.testing.assert_allclose(mine.eval()(x), theirs.eval()(torch.tensor(x)).detach().numpy(), atol=2e-6)
    back = TORCH[kind, 4](3, **options)
    back.load_state_dict({k: torch.as_tensor(v) for k, v in mine.state_dict().items()})
    for key, value in back.state_dict().items():
        assert torch.equal(value, saved[key])  # torch 2.4 rounds its own anew, in eval mode too


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


@pytest.mark.parametrize("dtype", [">f2", "<f4", ">f4", ">f8"])
def test_states_are_in_the_machines_byte_order(dtype):
    """torch takes no other."""
    layer = nc.BatchNorm(3, dtype=dtype)
    layer(np.random.default_rng(0).normal(size=(5, 3)).astype(dtype))
    assert all(v.dtype.isnative for v in layer.state_dict().values())
    assert layer.dtype == layer.gamma.dtype == np.dtype(dtype).type
    torchs = nn.BatchNorm1d(3)
    torchs.load_state_dict({k: torch.as_tensor(v) for k, v in layer.state_dict().items()})
    np.testing.assert_allclose(torchs.running_mean, layer.running_mean, rtol=1e-3)


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
    if "bias" in repr(torchs):  # torch 2.4 does not say it
        assert repr(layer) == repr(torchs).replace("1d", "")
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


def test_tracking_changed_later_as_in_torch():
    """Off: nothing is tracked any more; in eval mode batch norm still takes what it has, instance norm does not."""
    x = (np.random.default_rng(0).normal(size=(9, 3, 4)) + 5).astype(np.float32)
    for make in (nc.BatchNorm, nc.InstanceNorm):
        layer = make(3, track_running_stats=True)
        layer.track_running_stats = False
        twin = getattr(nn, f"{make.__name__}1d")(3, track_running_stats=True)
        twin.track_running_stats = False
        for mode in (True, False):
            layer.train(mode), twin.train(mode)
            np.testing.assert_allclose(layer(x), twin(torch.tensor(x)).detach(), atol=1e-5)
        assert layer.num_batches_tracked == 0
        assert layer.running_mean.tolist() == [0, 0, 0]


@pytest.mark.parametrize("missing", ["running_mean", "running_var", "num_batches_tracked"])
def test_statistics_taken_away_are_not_tracked(missing):
    x = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    layer = nc.BatchNorm(3)
    setattr(layer, missing, None)
    np.testing.assert_array_equal(layer(x), nc.BatchNorm(3)(x))
    for name, value in (("running_mean", [0, 0, 0]), ("running_var", [1, 1, 1]), ("num_batches_tracked", 0)):
        assert name == missing or np.asarray(getattr(layer, name)).tolist() == value


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
    """All but the last x: a copy has to be called before it goes backward; and the original still can."""
    x = np.random.default_rng(0).normal(size=(4, 3, 5))
    layer(x)
    for twin in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        with pytest.raises(ValueError, match="backward before forward"):
            twin.backward(x)
        assert repr(twin) == repr(layer)
        dx = layer.backward(x)
        assert np.array_equal(twin.eval()(x), copy.deepcopy(layer).eval()(x))
        twin.train()(x)
        assert np.array_equal(twin.backward(x), dx)
        twin = copy.deepcopy(twin)  # the shallow copy shares its arrays, as shallow copies do
        before = layer.running_mean.copy()
        twin(x + 1)
        assert np.array_equal(layer.running_mean, before)
        twin.gamma += 1
        assert layer.gamma.tolist() == [1, 1, 1]


PLAIN = {  # layers without running statistics, and what they take
    "layer norm of (N, C)": (lambda m, **o: m.LayerNorm(5, **o), (6, 5)),
    "layer norm of a token": (lambda m, **o: m.LayerNorm((5,), eps=1e-2, **o), (2, 7, 5)),
    "layer norm of a sample": (lambda m, **o: m.LayerNorm((3, 4, 5), **o), (6, 3, 4, 5)),
    "layer norm of one sample": (lambda m, **o: m.LayerNorm([3, 4], **o), (3, 4)),
    "layer norm of rows": (lambda m, **o: m.LayerNorm((4, 5), **o), (2, 3, 2, 2, 4, 5)),
    "group norm of (N, C)": (lambda m, **o: m.GroupNorm(2, 6, **o), (3, 6)),
    "group norm": (lambda m, **o: m.GroupNorm(3, 6, eps=1e-2, **o), (3, 6, 4, 5)),
    "one group": (lambda m, **o: m.GroupNorm(1, 6, **o), (3, 6, 4)),
    "groups of one": (lambda m, **o: m.GroupNorm(6, 6, **o), (2, 6, 2, 3, 2)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", PLAIN)
def test_layer_and_group_norm_are_torchs(kind, order, bias, dtype):
    make, shape = PLAIN[kind]
    rtol = 2e-6 if dtype == np.float32 else 1e-13
    mine = make(nc, bias=bias, dtype=dtype)
    theirs = make(nn, dtype=torch.float64 if dtype == np.float64 else torch.float32)
    if not bias:
        theirs.register_parameter("bias", None)
    rng = np.random.default_rng(3)
    mine.weight = rng.normal(size=mine.gamma.shape).astype(dtype)
    if bias:
        mine.bias[...] = rng.normal(size=mine.beta.shape)
    theirs.load_state_dict({k: torch.as_tensor(v) for k, v in mine.state_dict().items()})
    assert list(mine.state_dict()) == list(theirs.state_dict())
    for layer in (mine, mine.eval(), mine.train()):
        x, dy = (np.asarray(a.astype(dtype), order=order) for a in 2 + 3 * rng.normal(size=(2, *shape)))
        assert_same_step(layer, theirs, x, dy, rtol)
        assert layer(x).flags.c_contiguous
        assert layer.backward(dy).flags.c_contiguous
        assert mine.dgamma.shape == mine.gamma.shape
    other = make(nc, bias=bias, dtype=dtype)
    other.load_state_dict(theirs.state_dict())
    assert np.array_equal(other(x), mine(x))
    if "bias" in repr(theirs):  # torch 2.4 does not say it
        assert repr(mine) == repr(theirs)[:-1] + (")" if dtype == np.float32 else ", dtype=float64)")


@pytest.mark.parametrize("make", [lambda **o: nc.LayerNorm((3, 5), **o), lambda **o: nc.GroupNorm(1, 3, **o)])
def test_layers_without_statistics_in_all_else(make):
    rng = np.random.default_rng(0)
    x = rng.normal(1000, 1, (4, 3, 5)).astype(np.float16)
    layer = make()
    y = layer(x)
    assert y.dtype == np.float16
    assert layer.backward(y).dtype == np.float16
    assert layer.dgamma.dtype == np.float32
    bare = make(**{"elementwise_affine" if isinstance(layer, nc.LayerNorm) else "affine": False})
    assert (bare.gamma, bare.beta, bare.state_dict()) == (None, None, {})
    bare.load_state_dict({})
    bare(x)
    bare.backward(x)
    assert (bare.dgamma, bare.dbeta) == (None, None)
    copied = pickle.loads(pickle.dumps(layer))
    with pytest.raises(ValueError, match="backward before forward"):
        copied.backward(x)
    layer(x)
    with pytest.raises(ValueError, match=r"dy has shape \(12, 5\), wanted \(4, 3, 5\), the shape of"):
        layer.backward(x.reshape(12, 5))
    layer.reset_parameters()
    with pytest.raises(ValueError, match="backward before forward"):
        layer.backward(x)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("layer", [
    nc.BatchNorm(64), nc.InstanceNorm(64, affine=True, track_running_stats=True), nc.LayerNorm((64, 8, 8)),
    nc.GroupNorm(4, 64),
], ids=lambda layer: type(layer).__name__)  # fmt: skip
def test_pickles_hold_no_batch(layer, mode):
    getattr(layer, mode)()
    fresh, x = len(pickle.dumps(layer)), np.random.default_rng(0).normal(size=(32, 64, 8, 8)).astype(np.float32)
    layer.backward(layer(x))
    parameters = sum(g.nbytes for g in (layer.dgamma, layer.dbeta))
    assert len(pickle.dumps(layer)) < fresh + parameters + 500
    assert copy.deepcopy(layer)._cache is None
    assert layer.backward(x) is not None  # the original has it still


EXTREMES = {
    np.float16: [0, 1, 6e-8, 6e4], np.float32: [0, 1, 1e-44, 1e-20, 1e20, 3e38],
    np.float64: [0, 1, 5e-324, 1e-160, 1e150],
}  # fmt: skip


@pytest.mark.parametrize("dtype", EXTREMES)
@pytest.mark.parametrize("make", [
    lambda: nc.BatchNorm(2), lambda: nc.BatchNorm(2, momentum=None, dtype=np.float16),
    lambda: nc.InstanceNorm(2, affine=True, track_running_stats=True), lambda: nc.BatchNorm(2, dtype=np.float64),
])  # fmt: skip
def test_training_where_numpy_is_asked_to_raise(make, dtype):
    """Dead channels, after which a variance decays until it vanishes; the largest and the smallest numbers."""
    rng = np.random.default_rng(0)
    results = []
    for action in ("ignore", "raise"):
        layer = make()
        with np.errstate(all=action):
            for size in (*EXTREMES[dtype], *[0] * 1500):
                with np.errstate(all="ignore"):
                    x = (rng.normal(size=(4, 2, 3)) * 0.2).astype(dtype) * dtype(size)
                layer(x)
                if size in (0, 1):
                    layer.backward(x)
            results.append(layer.running_var)
            layer.eval()(x)
            layer.backward(x)
            layer.load_state_dict(layer.state_dict())
        rng = np.random.default_rng(0)
    np.testing.assert_array_equal(*results)


def test_weight_and_bias_are_other_names():
    layer = nc.BatchNorm(3)
    assert layer.weight is layer.gamma
    assert layer.bias is layer.beta
    layer.weight = layer.bias = np.full(3, 2, np.float32)
    assert (layer.gamma.tolist(), layer.beta.tolist()) == ([2] * 3, [2] * 3)
    assert (nc.BatchNorm(3, bias=False).bias, nc.InstanceNorm(3).weight) == (None, None)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("make", [
    lambda m: (m.BatchNorm(3) if m is nc else m.BatchNorm2d(3)), lambda m: m.LayerNorm((2, 3)),
    lambda m: m.GroupNorm(1, 3),
])  # fmt: skip
def test_states_in_half_precision(make, dtype):
    theirs, mine = make(nn).to(dtype), make(nc)
    nn.init.normal_(theirs.weight)
    mine.load_state_dict(theirs.state_dict())
    assert mine.gamma.dtype == np.float32
    assert np.array_equal(mine.gamma, theirs.weight.detach().float().numpy())


def test_states_that_older_torch_wrote():
    """They hold no count, and then torch's layer keeps its own."""
    mine, theirs = nc.BatchNorm(3), nn.BatchNorm2d(3)
    for _ in range(2):
        mine(np.random.default_rng(0).normal(size=(4, 3)))
    old = theirs.state_dict()
    old.pop("num_batches_tracked")
    old["running_mean"] += 5
    mine.load_state_dict(old)
    assert (mine.running_mean.tolist(), mine.num_batches_tracked) == ([5] * 3, 2)
    with pytest.raises(ValueError, match="the state has the keys"):  # but no other part may be missing
        mine.load_state_dict({k: v for k, v in old.items() if k != "running_mean"})


def test_values_beyond_the_layers_range_are_refused():
    wide, layer = nc.BatchNorm(2, dtype=np.float64), nc.BatchNorm(2)
    before = layer.state_dict()
    for name in ("weight", "bias", "running_mean", "running_var"):
        state = {**before, name: np.array([1, 1e300])}
        with pytest.raises(ValueError, match=rf"{name} holds 1e\+300, wanted values in the range of float32: .*wider"):
            layer.load_state_dict(state)
        wide.load_state_dict(state)
    for key, value in layer.state_dict().items():
        assert np.array_equal(value, before[key])
    layer.load_state_dict({**before, "running_var": np.array([np.inf, np.nan])})  # as a torch layer may hold them
    layer.load_state_dict({**before, "running_var": np.array([1e-300, 1.0])})
    assert layer.running_var.tolist() == [0, 1]
    layer.load_state_dict({**before, "num_batches_tracked": np.uint64(2**63 - 1)})
    assert layer.num_batches_tracked == 2**63 - 1
