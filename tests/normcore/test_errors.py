"""Every misuse has an error that says what was seen, what was wanted and what to do; and the layer stays as it was."""
# ruff: noqa: E501  (a table: one misuse a line)

import numpy as np
import pytest

import normcore as nc

X = np.arange(24.0).reshape(2, 3, 4)
G, W = np.ones(3), np.ones(5)
CACHE = nc.batch_norm(X, G, G)[1]


def layer(**options):
    return nc.BatchNorm(3, **options)


def changed(norm, **parameters):
    for name, value in parameters.items():
        setattr(norm, name, value)
    return norm


def state(**changes):
    return {**layer().state_dict(), **changes}


CASES = [
    # the number of dimensions
    (lambda: nc.batch_norm(np.float64(3)), TypeError, r"x is a float64, wanted a NumPy array: use np.asarray\(x"),
    (lambda: nc.batch_norm(np.zeros(())), ValueError, r"x has shape \(\), wanted \(N, C\), .*: add the missing axes"),
    (lambda: nc.batch_norm(np.zeros(3)), ValueError, r"x has shape \(3,\), wanted \(N, C\), .*as in x\[None\]"),
    (lambda: nc.batch_norm(np.zeros([2] * 6)), ValueError, r"\(2, 2, 2, 2, 2, 2\), wanted .*: merge axes with reshape"),
    (lambda: nc.instance_norm(np.zeros((2, 3))), ValueError, r"x has shape \(2, 3\), wanted \(N, C, L\), \(N, C, H, W\)"),
    (lambda: nc.InstanceNorm(3)(np.zeros((2, 3))), ValueError, r"x has shape \(2, 3\), wanted \(N, C, L\)"),
    (lambda: nc.batch_norm(np.zeros((2, 0))), ValueError, r"x has shape \(2, 0\), wanted at least 1 channel on axis 1"),
    (lambda: layer()([[1.0]]), TypeError, r"^x is a list, wanted a NumPy array"),
    # the number of channels
    (lambda: layer()(np.zeros((2, 4))), ValueError, r"x has shape \(2, 4\) and 4 channels, wanted 3 on axis 1: move"),
    (lambda: layer().eval()(X.transpose(0, 2, 1)), ValueError, r"\(2, 4, 3\) and 4 channels, wanted 3 on axis 1"),
    # parameters and statistics of the wrong shape
    (lambda: nc.batch_norm(X, np.ones(4)), ValueError, r"gamma has shape \(4,\), wanted \(3,\): one value for each channel"),
    (lambda: nc.batch_norm(X, G, np.ones((1, 3, 1))), ValueError, r"beta has shape \(1, 3, 1\), wanted \(3,\)"),
    (lambda: nc.instance_norm(X, np.ones((2, 3))), ValueError, r"gamma has shape \(2, 3\), wanted \(3,\)"),
    (lambda: nc.instance_norm(X, G, np.ones(2)), ValueError, r"beta has shape \(2,\), wanted \(3,\)"),
    (lambda: nc.batch_norm_inference(X, np.ones(2), G), ValueError, r"mean has shape \(2,\), wanted \(3,\)"),
    (lambda: nc.batch_norm_inference(X, G, np.ones(())), ValueError, r"var has shape \(\), wanted \(3,\)"),
    (lambda: nc.batch_norm_inference(X, G, G, beta=np.ones(2)), ValueError, r"beta has shape \(2,\), wanted \(3,\)"),
    (lambda: nc.batch_norm_inference(X, G, G, np.ones(2)), ValueError, r"gamma has shape \(2,\), wanted \(3,\)"),
    (lambda: nc.batch_norm_inference(X, None, G), TypeError, r"mean is a NoneType, wanted a NumPy array"),
    (lambda: nc.layer_norm(X, G), ValueError, r"gamma has shape \(3,\), wanted \(3, 4\): one value for each entry"),
    (lambda: nc.group_norm(X, 3, G, np.ones((3, 4))), ValueError, r"beta has shape \(3, 4\), wanted \(3,\)"),
    # types
    (lambda: nc.batch_norm(X.astype(int)), TypeError, r"x has dtype int64, wanted float16, float32 or float64: use x.astype"),
    (lambda: nc.batch_norm(X + 0j), TypeError, r"x has dtype complex128, wanted float16"),
    (lambda: nc.batch_norm(X.astype(object)), TypeError, r"x has dtype object, wanted"),
    (lambda: nc.batch_norm(X.astype(np.longdouble)), TypeError, r"x has dtype (float128|longdouble), wanted"),
    (lambda: nc.batch_norm(X > 3), TypeError, r"x has dtype bool, wanted"),
    (lambda: nc.batch_norm(X.tolist()), TypeError, r"x is a list, wanted a NumPy array: use np.asarray\(x, np.float32\)"),
    (lambda: nc.batch_norm(np.ma.masked_array(X)), TypeError, r"x is a MaskedArray, wanted a NumPy array"),
    (lambda: nc.batch_norm(X, [1, 1, 1]), TypeError, r"gamma is a list, wanted a NumPy array: use np.asarray\(gamma"),
    (lambda: nc.batch_norm(X, G, np.ones(3, int)), TypeError, r"beta has dtype int64, wanted"),
    (lambda: nc.batch_norm(X, 1.0), TypeError, r"gamma is a float, wanted a NumPy array"),
    (lambda: nc.moments(X.astype(int), 0), TypeError, r"x has dtype int64, wanted"),
    (lambda: nc.moments(X, 3), np.exceptions.AxisError, r"axis 3 is out of bounds for array of dimension 3"),
    (lambda: nc.moments(X, (0, 0)), ValueError, r"repeated axis"),
    (lambda: nc.BatchNorm(3, dtype=int), TypeError, r"dtype is int64, wanted float16, float32 or float64$"),
    # eps, momentum, num_features, num_groups
    (lambda: nc.batch_norm(X, eps=0), ValueError, r"eps is 0, wanted a finite number above 0, such as 1e-5"),
    (lambda: nc.instance_norm(X, eps=-1e-5), ValueError, r"eps is -1e-05, wanted a finite number above 0"),
    (lambda: nc.batch_norm_inference(X, G, G, eps=float("nan")), ValueError, r"eps is nan, wanted a finite"),
    (lambda: nc.layer_norm(X, eps=float("inf")), ValueError, r"eps is inf, wanted a finite"),
    (lambda: nc.group_norm(X, 1, eps=None), TypeError, r"eps is None, wanted a number above 0"),
    (lambda: nc.batch_norm(X, eps="1e-5"), TypeError, r"eps is '1e-5', wanted a number above 0"),
    (lambda: nc.batch_norm(X, eps=True), TypeError, r"eps is True, wanted a number above 0"),
    (lambda: nc.batch_norm(X, eps=np.ones(3)), TypeError, r"eps is array\(.*, wanted a number above 0"),
    (lambda: layer(eps=-1), ValueError, r"eps is -1, wanted a finite number above 0"),
    (lambda: layer(momentum=1.5), ValueError, r"momentum is 1.5, wanted a number from 0 to 1: the weight of the new value"),
    (lambda: layer(momentum=-0.1), ValueError, r"momentum is -0.1, wanted a number from 0 to 1"),
    (lambda: layer(momentum="0.1"), TypeError, r"momentum is '0.1', wanted a number from 0 to 1"),
    (lambda: nc.BatchNorm(0), ValueError, r"num_features is 0, wanted at least 1: the size of x's axis 1"),
    (lambda: nc.InstanceNorm(-2), ValueError, r"num_features is -2, wanted at least 1"),
    (lambda: nc.BatchNorm(3.0), TypeError, r"num_features is 3.0, wanted an integer"),
    (lambda: nc.BatchNorm((3,)), TypeError, r"num_features is \(3,\), wanted an integer"),
    (lambda: nc.group_norm(X, 2), ValueError, r"num_groups is 2, wanted a divisor of x's 3 channels: groups are equal"),
    (lambda: nc.group_norm(X, 0), ValueError, r"num_groups is 0, wanted a divisor of x's 3 channels"),
    (lambda: nc.group_norm(X, 3.0), TypeError, r"num_groups is 3.0, wanted an integer that divides the 3 channels"),
    (lambda: nc.group_norm(X, True), TypeError, r"num_groups is True, wanted an integer"),
    (lambda: nc.BatchNorm(True), TypeError, r"num_features is True, wanted an integer"),
    (lambda: nc.batch_norm(X, eps=10**400), ValueError, r"eps is 10+, wanted a finite number above 0"),
    (lambda: layer(eps=10**400), ValueError, r"eps is 10+, wanted a finite number above 0"),
    (lambda: layer(momentum=10**400), ValueError, r"momentum is 10+, wanted a number from 0 to 1"),
    # switches
    (lambda: layer(affine="False"), TypeError, r"affine is 'False', wanted True or False"),
    (lambda: layer(affine=1), TypeError, r"affine is 1, wanted True or False"),
    (lambda: layer(track_running_stats=None), TypeError, r"track_running_stats is None, wanted True or False"),
    (lambda: layer(bias="no"), TypeError, r"bias is 'no', wanted True or False"),
    (lambda: layer().train("no"), TypeError, r"mode is 'no', wanted True or False"),
    (lambda: nc.InstanceNorm(3).train(0), TypeError, r"mode is 0, wanted True or False"),
    (lambda: nc.LayerNorm(3, elementwise_affine=0), TypeError, r"elementwise_affine is 0, wanted True or False"),
    (lambda: nc.GroupNorm(1, 3, affine=[]), TypeError, r"affine is \[\], wanted True or False"),
    # layer and group norm as layers
    (lambda: nc.LayerNorm(()), ValueError, r"normalized_shape is \(\), wanted at least one axis"),
    (lambda: nc.LayerNorm((3, 0)), ValueError, r"normalized_shape is 0, wanted at least 1: the sizes of x's last axes"),
    (lambda: nc.LayerNorm(3.0), TypeError, r"normalized_shape is 3.0, wanted an integer"),
    (lambda: nc.LayerNorm("34"), TypeError, r"normalized_shape is '34', wanted an integer"),
    (lambda: nc.LayerNorm((True, 3)), TypeError, r"normalized_shape is True, wanted an integer"),
    (lambda: nc.LayerNorm(3, eps=0), ValueError, r"eps is 0, wanted a finite number above 0"),
    (lambda: nc.LayerNorm(3)(X), ValueError, r"x has shape \(2, 3, 4\), wanted \(..., 3\): give the sizes of x.s last axes"),
    (lambda: nc.LayerNorm((2, 3, 4))(X[0]), ValueError, r"x has shape \(3, 4\), wanted \(..., 2, 3, 4\)"),
    (lambda: nc.LayerNorm(1)(X[..., :1]), ValueError, r"leaves 1 value for a sample"),
    (lambda: nc.LayerNorm(4)(X.astype(int)), TypeError, r"x has dtype int64, wanted float16"),
    (lambda: nc.LayerNorm(4).load_state_dict({}), ValueError, r"wanted \['bias', 'weight'\]: make .* elementwise_affine and"),
    (lambda: nc.LayerNorm(4).load_state_dict(nc.LayerNorm(3).state_dict()), ValueError, r"\(3,\), wanted \(4,\): normalized_sh"),
    (lambda: nc.GroupNorm(2, 3), ValueError, r"num_groups is 2, wanted a divisor of x's 3 channels"),
    (lambda: nc.GroupNorm(1, 0), ValueError, r"num_channels is 0, wanted at least 1: the size of x's axis 1$"),
    (lambda: nc.GroupNorm(1, 2.0), TypeError, r"num_channels is 2.0, wanted an integer"),
    (lambda: nc.GroupNorm(1, 4)(X), ValueError, r"3 channels, wanted 4 on axis 1: move .* another num_channels"),
    (lambda: nc.GroupNorm(3, 3)(X[..., 0]), ValueError, r"leaves 1 value for a group"),
    (lambda: nc.GroupNorm(1, 3).load_state_dict(nc.GroupNorm(1, 4).state_dict()), ValueError, r"wanted \(3,\): num_channels dif"),
    # one sample without a batch axis
    (lambda: nc.InstanceNorm(3)(np.zeros((3, 4))), ValueError, r"\(3, 4\), wanted \(N, C, L\), .*as in x\[None\]"),
    (lambda: nc.InstanceNorm(3)(np.zeros((3, 4, 5))), ValueError, r"4 channels, wanted 3 .* without a batch axis, pass x\[None\]; if"),
    (lambda: layer()(np.zeros((3, 4))), ValueError, r"4 channels, wanted 3 .* without a batch axis, pass x\[None\]; if not, move"),
    # arrays that are not plain
    (lambda: nc.batch_norm(X[0].view(np.matrix)), TypeError, r"x is a matrix, wanted a NumPy array: use np.asarray\(x"),
    (lambda: nc.layer_norm(X[0].view(np.matrix)), TypeError, r"x is a matrix, wanted a NumPy array"),
    # a statistic over one value
    (lambda: nc.batch_norm(X[:1, :, 0]), ValueError, r"\(1, 3\), which leaves 1 value for a channel in this batch, wanted .*"
     r"2: the variance of 1 value is undefined; use more samples, or inference"),
    (lambda: nc.batch_norm(X[:1, :, :1, None]), ValueError, r"x has shape \(1, 3, 1, 1\), which leaves 1 value"),
    (lambda: layer()(X[:1, :, 0]), ValueError, r"1 value for a channel in this batch"),
    (lambda: layer(track_running_stats=False).eval()(X[:1, :, 0]), ValueError, r"1 value for a channel in this batch"),
    (lambda: nc.instance_norm(X[:, :, :1]), ValueError, r"\(2, 3, 1\), which leaves 1 value for an instance, wanted"),
    (lambda: nc.InstanceNorm(3)(X[:, :, :1, None]), ValueError, r"1 value for an instance.*; normalize larger maps"),
    (lambda: nc.layer_norm(X[:, :1, 0]), ValueError, r"^x has shape \(2, 1\), which leaves 1 value for a sample, wanted at "
     r"least 2: the variance of 1 value is undefined; use larger inputs, or batch norm$"),
    (lambda: nc.group_norm(X[:, :, 0], 3), ValueError, r"^x has shape \(2, 3\), which leaves 1 value for a group, wanted at "
     r"least 2: the variance of 1 value is undefined; use larger inputs, or batch norm$"),
    # layer, group and RMS norm: who is meant
    (lambda: nc.layer_norm(X, W), ValueError, r"^gamma has shape \(5,\), wanted \(3, 4\): one value for each entry"),
    (lambda: nc.layer_norm(X, beta=W), ValueError, r"^beta has shape \(5,\), wanted \(3, 4\): one value for each entry"),
    (lambda: nc.group_norm(X, 3, W), ValueError, r"^gamma has shape \(5,\), wanted \(3,\): one value for each channel"),
    (lambda: nc.group_norm(X, 3, beta=W), ValueError, r"^beta has shape \(5,\), wanted \(3,\): one value for each channel"),
    (lambda: nc.rms_norm(X, W), ValueError, r"^gamma has shape \(5,\), wanted \(3, 4\): one value for each entry"),
    (lambda: nc.rms_norm(X, eps=-1), ValueError, r"^eps is -1, wanted a finite number above 0"),
    (lambda: nc.layer_norm(X.astype(int), normalized_shape=4), TypeError, r"^x has dtype int64, wanted float16"),
    (lambda: nc.group_norm(X.astype(int), 3), TypeError, r"^x has dtype int64, wanted float16"),
    (lambda: nc.GroupNorm(3, 3)(X.astype(int)), TypeError, r"^x has dtype int64, wanted float16"),
    (lambda: changed(nc.LayerNorm(4), gamma=W)(X), ValueError, r"^gamma has shape \(5,\), wanted \(4,\)"),
    (lambda: changed(nc.LayerNorm((3, 4)), gamma=W)(X), ValueError, r"^gamma has shape \(5,\), wanted \(3, 4\)"),
    (lambda: changed(nc.LayerNorm(4), beta=W)(X), ValueError, r"^beta has shape \(5,\), wanted \(4,\)"),
    # the backward pass
    (lambda: layer().backward(X), ValueError, r"^backward before forward: there is no x .*, call the layer on one$"),
    (lambda: nc.batch_norm_backward(X[:1], CACHE), ValueError, r"dy has shape \(1, 3, 4\), wanted \(2, 3, 4\), the shape of"),
    (lambda: nc.instance_norm_backward(X.T, CACHE), ValueError, r"dy has shape \(4, 3, 2\), wanted \(2, 3, 4\)"),
    (lambda: nc.batch_norm_backward(1.0, CACHE), TypeError, r"dy is a float, wanted a NumPy array"),
    (lambda: nc.batch_norm_backward(X, X), TypeError, r"the cache is a ndarray, wanted what batch_norm returns beside y"),
    (lambda: nc.instance_norm_backward(X, None), TypeError, r"the cache is a NoneType, wanted what batch_norm returns"),
    (lambda: nc.layer_norm_backward(X, X), TypeError, r"the cache is a ndarray, wanted what layer_norm returns"),
    (lambda: nc.group_norm_backward(X, X), TypeError, r"the cache is a ndarray, wanted what group_norm returns"),
    (lambda: nc.rms_norm_backward(X, (X,)), TypeError, r"the cache is a tuple, wanted what rms_norm returns"),
    (lambda: nc.batch_norm_backward(X.astype(int), CACHE), TypeError, r"dy has dtype int64, wanted"),
    (lambda: nc.layer_norm_backward(X[:1], nc.layer_norm(X)[1]), ValueError, r"dy has shape \(1, 3, 4\), wanted"),
    (lambda: nc.group_norm_backward(X[:1], nc.group_norm(X, 3)[1]), ValueError, r"dy has shape \(1, 3, 4\), wanted"),
    # negative variances
    (lambda: nc.batch_norm_inference(X, G, np.array([1, -0.5, 1])), ValueError, r"var\[1\] is -0.5, wanted a variance, at"),
    # states
    (lambda: layer().load_state_dict(state(other=G)), ValueError, r"the state has the keys \[.*'other'.*\], wanted \["),
    (lambda: layer().load_state_dict({}), ValueError, r"the state has the keys \[\], wanted \['bias', 'num_batches_tracked'"),
    (lambda: layer(affine=False).load_state_dict(state()), ValueError, r": make the layer with the .* that was saved$"),
    (lambda: layer().load_state_dict(nc.BatchNorm(4).state_dict()), ValueError, r"weight has shape \(4,\), wanted \(3,\): num_"),
    (lambda: layer().load_state_dict(state(running_var=-G)), ValueError, r"running_var\[0\] is -1.0, wanted a variance"),
    (lambda: layer().load_state_dict(state(weight=np.ones(3, int))), TypeError, r"weight has dtype int64, wanted float16"),
    (lambda: layer().load_state_dict(state(bias=G + 0j)), TypeError, r"bias has dtype complex128, wanted"),
    (lambda: layer().load_state_dict(state(num_batches_tracked=1.5)), TypeError, r"num_batches_tracked has dtype float64"),
    (lambda: layer().load_state_dict(state(num_batches_tracked=-1)), ValueError, r"num_batches_tracked is -1, wanted"),
    (lambda: layer().load_state_dict(state(num_batches_tracked=[1])), ValueError, r"num_batches_tracked has shape \(1,\), want"),
    (lambda: layer().load_state_dict(state(num_batches_tracked=np.zeros(1, int))), ValueError, r"\(1,\), wanted one number"),
    (lambda: layer().load_state_dict(state(num_batches_tracked=np.uint64(2**64 - 1))), ValueError, r"is 1844\d+, wanted at"),
    (lambda: layer().load_state_dict(state(num_batches_tracked=True)), TypeError, r"num_batches_tracked has dtype bool"),
    (lambda: layer().load_state_dict({1: G, "weight": G}), ValueError, r"the state has the keys \['1', 'weight'\]"),
    (lambda: layer().load_state_dict([1, 2]), TypeError, r"the state is a list, wanted a dictionary, as state_dict\(\) returns"),
    (lambda: layer().load_state_dict(None), TypeError, r"the state is a NoneType, wanted a dictionary"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), CASES)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def damaged(**changes):
    def call():
        damaged = layer().eval()
        for name, value in changes.items():
            setattr(damaged, name, value)
        damaged(X)

    return call


@pytest.mark.parametrize(("call", "message"), [
    (damaged(running_var=-G), r"var\[0\] is -1.0, wanted a variance"),
    (damaged(running_mean=np.ones(4)), r"mean has shape \(4,\), wanted \(3,\)"),
    (damaged(gamma=np.ones(4), training=True), r"gamma has shape \(4,\), wanted \(3,\)"),
    (damaged(eps=0), r"eps is 0, wanted"),
    (damaged(momentum=3, training=True), r"weight is 3, wanted a number from 0 to 1"),
])  # fmt: skip
def test_layers_damaged_by_hand(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_failed_update_keeps_both_statistics():
    broken = layer(dtype=np.float64)
    broken.momentum = 3
    with pytest.raises(ValueError, match="weight is 3"):
        broken(X)
    assert (broken.running_mean.tolist(), broken.running_var.tolist()) == ([0] * 3, [1] * 3)
    assert broken.num_batches_tracked == 0
    with pytest.raises(ValueError, match="backward before forward"):
        broken.backward(X)


def test_what_is_no_error():
    """Near misses that are fine."""
    assert nc.batch_norm(X[:1]).__class__ is tuple  # one sample with positions
    assert nc.batch_norm(X[..., 0])[0].shape == (2, 3)
    assert nc.batch_norm_inference(X[:1, :, 0], G, 0 * G).shape == (1, 3)  # one value, given statistics; variance 0
    assert layer().eval()(X[:1, :, 0]).shape == (1, 3)
    assert nc.InstanceNorm(3, track_running_stats=True).eval()(X[:, :, :1]).shape == (2, 3, 1)
    assert np.isnan(nc.batch_norm_inference(X, G, np.nan * G)).all()
    assert nc.batch_norm(X, eps=np.float32(1e-3))[0].shape == X.shape
    assert nc.BatchNorm(np.int64(3), momentum=0)(X).shape == X.shape
    assert [m.tolist() for m in nc.moments(X, None)] == [[[[X.mean()]]], [[[X.var()]]]]
    assert nc.group_norm(X, np.int64(3))[0].shape == X.shape
    assert nc.group_norm(X[..., 0], 1)[0].shape == (2, 3)
