"""What theory promises, for inputs that hypothesis looks for."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as some
from hypothesis.extra.numpy import array_shapes, arrays

import normcore as nc

EPS = 1e-5


@some.composite
def batches(draw):
    """x (N, C, ...) in float64 with at least two positions, over 12 orders of magnitude, with an offset or not."""
    space = draw(array_shapes(min_dims=1, max_dims=3, max_side=5))
    assume(np.prod(space) >= 2)
    shape = (draw(some.integers(1, 4)), draw(some.integers(1, 4)), *space)
    unit = draw(arrays(np.float64, shape, elements=some.floats(-1, 1, width=32)))
    scale = 10.0 ** draw(some.integers(-6, 6))
    return unit * scale + draw(some.floats(-1, 1)) * scale * draw(some.sampled_from([0, 1, 1000]))


@some.composite
def problems(draw):
    """x, dy, gamma and beta."""
    x = draw(batches())
    c = x.shape[1]
    dy = draw(arrays(np.float64, x.shape, elements=some.floats(-1, 1, width=32)))
    gamma, beta = draw(arrays(np.float64, (2, c), elements=some.floats(-3, 3, width=32)))
    return x, dy, gamma, beta


@given(batches())
def test_batch_norm_of_one_image_is_instance_norm(x):
    assert np.array_equal(nc.batch_norm(x[:1])[0], nc.instance_norm(x[:1])[0])


@given(problems(), some.randoms(use_true_random=False))
def test_permuting_samples_or_positions_permutes_the_output(problem, random):
    x, dy, gamma, beta = problem
    samples, positions = random.sample(range(len(x)), len(x)), random.sample(range(x.shape[2]), x.shape[2])
    for forward in (nc.batch_norm, nc.instance_norm):
        y, cache = forward(x, gamma, beta)
        moved, moved_cache = forward(x[samples][:, :, positions], gamma, beta)
        tolerance = 1e-9 * (1 + abs(x).max() / np.sqrt(EPS))
        np.testing.assert_allclose(moved, y[samples][:, :, positions], atol=tolerance)
        dx = nc.batch_norm_backward(dy, cache)[0]
        moved_dx = nc.batch_norm_backward(dy[samples][:, :, positions], moved_cache)[0]
        np.testing.assert_allclose(moved_dx, dx[samples][:, :, positions], atol=tolerance / np.sqrt(EPS))


@given(batches(), some.floats(0.1, 10), some.floats(-10, 10))
def test_instance_norm_ignores_contrast_and_brightness_up_to_eps(x, contrast, brightness):
    """With eps scaled along, exactly; without, the output is scaled by sqrt(var/(var + eps)) alone."""
    x = x / max(abs(x).max(), 1e-300)
    y, cache = nc.instance_norm(x, eps=EPS)
    changed = contrast * x + brightness
    np.testing.assert_allclose(nc.instance_norm(changed, eps=EPS * contrast**2)[0], y, atol=1e-9)
    var = cache.var.reshape(*x.shape[:2], *[1] * (x.ndim - 2))
    factor = np.sqrt((var + EPS) / (var + EPS / contrast**2))
    np.testing.assert_allclose(nc.instance_norm(changed, eps=EPS)[0], y * factor, atol=1e-9)


@given(problems(), some.booleans())
def test_dx_sums_to_zero_and_is_orthogonal_to_xhat_up_to_eps(problem, per_instance):
    x, dy, gamma, beta = problem
    forward = nc.instance_norm if per_instance else nc.batch_norm
    axes = tuple(i for i in range(x.ndim) if i > 1 or (i == 0 and not per_instance))
    _, cache = forward(x, gamma, beta)
    dx = nc.batch_norm_backward(dy, cache)[0]
    shape = (1, -1, *[1] * (x.ndim - 2))
    var = cache.var.reshape(*x.shape[:2], *[1] * (x.ndim - 2)) if per_instance else cache.var.reshape(shape)
    scale = abs(gamma).reshape(shape) / np.sqrt(var + EPS)
    tolerance = 1e-9 * (1 + abs(x).max() / np.sqrt(EPS))
    assert (abs(dx.sum(axes, keepdims=True)) <= tolerance * scale).all()
    xhat = forward(x)[0]
    # <xhat, xhat> = m var/(var + eps): what eps takes from the unit variance is what is left of the product
    left = scale * (dy * xhat).sum(axes, keepdims=True) * EPS / (var + EPS) * np.sign(gamma).reshape(shape)
    assert (abs((dx * xhat).sum(axes, keepdims=True) - left) <= tolerance * scale).all()


@given(problems(), some.floats(-100, 100))
def test_a_bias_before_the_norm_is_cancelled(problem, bias):
    x, _, gamma, beta = problem
    x = x / max(abs(x).max(), 1e-300)
    for forward in (nc.batch_norm, nc.instance_norm):
        np.testing.assert_allclose(forward(x + bias, gamma, beta)[0], forward(x, gamma, beta)[0], atol=1e-8)


@given(problems())
def test_mean_beta_and_variance_gamma_squared_up_to_eps(problem):
    x, _, gamma, beta = problem
    y, cache = nc.batch_norm(x, gamma, beta)
    axes = (0, *range(2, x.ndim))
    tolerance = 1e-9 * (1 + abs(x).max() / np.sqrt(EPS))
    np.testing.assert_allclose(y.mean(axes), beta, atol=tolerance)
    np.testing.assert_allclose(y.var(axes), gamma**2 * cache.var / (cache.var + EPS), atol=tolerance)


@given(problems())
def test_gradients_are_linear_in_dy(problem):
    x, dy, gamma, beta = problem
    _, cache = nc.batch_norm(x, gamma, beta)
    twice = nc.batch_norm_backward(2 * dy, cache)
    for a, b in zip(twice, nc.batch_norm_backward(dy, cache), strict=True):
        np.testing.assert_array_equal(a, 2 * b)


LAYERS = some.sampled_from([
    lambda c: nc.BatchNorm(c), lambda c: nc.BatchNorm(c, affine=False, momentum=None),
    lambda c: nc.BatchNorm(c, track_running_stats=False, dtype=np.float64),
    lambda c: nc.InstanceNorm(c), lambda c: nc.InstanceNorm(c, affine=True, track_running_stats=True),
    lambda c: nc.InstanceNorm(c, affine=True, bias=False, momentum=None, track_running_stats=True),
])  # fmt: skip


def state(value):
    """Everything a layer holds, bit for bit."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, tuple):
        return tuple(map(state, value))
    return {k: state(v) for k, v in vars(value).items()} if hasattr(value, "__dict__") else repr(value)


@given(LAYERS, batches())
def test_loading_its_own_state_is_the_identity(make, x):
    layer = make(x.shape[1])
    layer(x)
    before = state(layer)
    layer.load_state_dict(layer.state_dict())
    assert state(layer) == before
    fresh = make(x.shape[1])
    fresh.load_state_dict(layer.state_dict())
    assert np.array_equal(fresh.eval()(x), layer.eval()(x))


@given(LAYERS, batches(), some.data())
def test_a_failed_call_leaves_the_layer_bit_identical(make, x, data):
    layer = make(x.shape[1])
    layer(x)
    layer.backward(x)
    layer.train(data.draw(some.booleans()))
    before = state(layer)
    good = layer.state_dict()
    wrong = data.draw(some.sampled_from([
        lambda: layer(x.astype(int)), lambda: layer(x.tolist()), lambda: layer(x[0, 0, 0]), lambda: layer(x[:, :0]),
        lambda: layer(np.concatenate([x, x], 1)), lambda: layer(x[..., None, None, None, None]),
        lambda: layer.backward(x[:, :, :-1]), lambda: layer.backward(x + 0j), lambda: layer.backward(None),
        lambda: layer.load_state_dict({**good, "other": 1}),
        lambda: layer.load_state_dict({**good, "weight": np.ones(7), "running_var": -np.ones(7)}),
        lambda: layer.load_state_dict({k: v.astype(complex) for k, v in good.items()} or {"weight": 1}),
        lambda: layer.load_state_dict({k: v for k, v in good.items() if k != "weight"} | {"bias": np.ones(9)}),
    ]))  # fmt: skip
    with pytest.raises((ValueError, TypeError), match=r"wanted"):
        wrong()
    assert state(layer) == before
