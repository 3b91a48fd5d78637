"""torch's own ready-made inputs: the OpInfo samples of its functions, the ModuleInfo inputs and errors of its modules.

The NumPy functions and layers, and the torch twins.  Left out, with the reason:
- two OpInfo samples of shape (0,), one axis and no batch: not a layout of normcore (N, C, ...);
- the samples of layer and group norm whose eps is negative, and those of one value in a group: normcore refuses both,
  and that it does is what is tested; so for the twin of group norm (torch's numbers there are NaN, and beta);
- running statistics for a momentum outside [0, 1], in four OpInfo samples: normcore refuses such a momentum;
  outputs and gradients of these samples are compared.
Inputs without a batch axis, which torch's instance norm takes, are compared as a batch of one.
"""

import numpy as np
import pytest
import torch

pytest.importorskip("expecttest", reason="torch.testing._internal needs the package expecttest")
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.common_modules import module_db

import normcore as nc
from normcore import autograd

DTYPES = [torch.float32, torch.float64]
OLD = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13)
MODULES = [m for m in module_db if m.module_cls.__name__[:-2] in ("BatchNorm", "InstanceNorm")]
OTHERS = [m for m in module_db if m.module_cls.__name__ in ("LayerNorm", "GroupNorm", "RMSNorm")]


def name(value):
    module = getattr(value, "module_cls", None)
    return module.__name__ if module else getattr(value, "name", str(value))


def close(mine, theirs):
    tolerance = 1e-12 if theirs.dtype == torch.float64 else 5e-6
    np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=tolerance, atol=tolerance, strict=True)


def array(t):
    return None if t is None else t.detach().numpy()


def samples(kind):
    op = next(o for o in op_db if o.name == f"nn.functional.{kind}_norm")
    return [(op, dtype, i) for dtype in DTYPES for i, _ in enumerate(op.sample_inputs("cpu", dtype))]


def arguments(sample):
    """input, running_mean, running_var, weight, bias and the rest, for both functions."""
    names = ("running_mean", "running_var", "weight", "bias")
    given = {**dict(zip(names, sample.args, strict=False)), **sample.kwargs}
    return sample.input, *(given.pop(n, None) for n in names), given


@pytest.mark.parametrize(("op", "dtype", "i"), samples("batch") + samples("instance"), ids=name)
def test_opinfo_samples(op, dtype, i):
    torch.manual_seed(0)
    sample = list(op.sample_inputs("cpu", dtype, requires_grad=True))[i]
    x, mean, var, weight, bias, options = arguments(sample)
    if x.shape == (0,):
        with pytest.raises(ValueError, match=r"x has shape \(0,\), wanted \(N, C\)"):
            nc.batch_norm(array(x))
        return
    before = None if mean is None else (array(mean).copy(), array(var).copy())
    kind = op.name.split(".")[-1]
    y = getattr(torch.nn.functional, kind)(x, mean, var, weight=weight, bias=bias, **options)
    leaves = [t for t in (x, weight, bias) if t is not None]
    dy = torch.ones_like(y) if y.numel() == 0 else torch.linspace(-1, 2, y.numel(), dtype=dtype).reshape(y.shape)
    torchs = dict(zip(map(id, leaves), torch.autograd.grad(y, leaves, dy), strict=True))
    eps, params = options.get("eps", 1e-5), (array(weight), array(bias))
    if kind == "instance_norm":
        mine, cache = nc.instance_norm(array(x), *params, eps)
    elif options.get("training", False):
        mine, cache = nc.batch_norm(array(x), *params, eps)
    else:
        mine = nc.batch_norm_inference(array(x), *before, *params, eps)
        cache = nc.Cache(array(x), *before, *params, eps, constant=True)
    close(mine, y)
    for gradient, leaf in zip(nc.batch_norm_backward(array(dy), cache), (x, weight, bias), strict=True):
        if leaf is None:
            assert gradient is None
        else:
            close(gradient, torchs[id(leaf)])
    momentum = options.get("momentum", 0.1)
    if before is not None and not cache.constant and 0 <= momentum <= 1:
        values = cache.mean, nc.statistics.unbiased(cache.var, mine.size // cache.mean.size)
        for old, new, theirs in zip(before, values, (mean, var), strict=True):
            new = new.reshape(-1, len(old)).mean(0)
            close(nc.statistics.average_step(old, new, momentum).astype(old.dtype), theirs)


WITHIN = ("layer", "group", "rms")  # gamma differs between values that share their statistics


@pytest.mark.skipif(OLD, reason="torch 2.4 is off by more than the tolerance in some of its own samples")
@pytest.mark.parametrize(("op", "dtype", "i"), [c for k in WITHIN[:2] for c in samples(k)], ids=name)
def test_opinfo_samples_of_layer_and_group_norm(op, dtype, i):
    torch.manual_seed(0)
    sample = list(op.sample_inputs("cpu", dtype, requires_grad=True))[i]
    kind, x, eps = op.name.split(".")[-1], sample.input, sample.kwargs.get("eps", 1e-5)
    given = [*sample.args[1:], *(sample.kwargs[k] for k in ("weight", "bias") if k in sample.kwargs)]
    weight, bias = (*given, None, None)[:2]
    first, params = sample.args[0], {"dtype": np.dtype(str(dtype)[6:])}
    one_value = x.numel() and np.prod(first if kind == "layer_norm" else x[0].shape) // (kind[0] == "l" or first) == 1

    def make():
        layer = nc.LayerNorm(first, eps, **params) if kind == "layer_norm" else (
            nc.GroupNorm(first, x.shape[1], eps, **params))
        layer.gamma, layer.beta = array(weight), array(bias)
        return layer

    if eps < 0 or one_value:
        with pytest.raises(ValueError, match=r"eps is -0.5, wanted|leaves 1 value for a"):
            make()(array(x))
        return
    layer = make()
    y = getattr(torch.nn.functional, kind)(x, *sample.args, **sample.kwargs)
    leaves = [t for t in (x, weight, bias) if t is not None]
    dy = torch.linspace(-1, 2, y.numel(), dtype=dtype).reshape(y.shape)
    close(layer(array(x)), y)
    mine = [layer.backward(array(dy)), *(g for g in (layer.dgamma, layer.dbeta) if g is not None)]
    for gradient, theirs in zip(mine, torch.autograd.grad(y, leaves, dy), strict=True):
        close(gradient, theirs)


def module_cases(modules=MODULES):
    for m in modules:
        for dtype in DTYPES:
            for training in (True, False):
                count = len(m.module_inputs_func(m, "cpu", dtype, True, training))
                yield from ((m, dtype, training, i) for i in range(count))


@pytest.mark.parametrize(("m", "dtype", "training", "i"), [*module_cases()], ids=name)
def test_module_inputs(m, dtype, training, i):
    torch.manual_seed(0)
    case = m.module_inputs_func(m, "cpu", dtype, True, training)[i]
    args, kwargs = case.constructor_input.args, case.constructor_input.kwargs
    theirs = m.module_cls(*args, **kwargs, dtype=dtype)
    mine = getattr(nc, m.module_cls.__name__[:-2])(*args, **kwargs, dtype=np.dtype(str(dtype)[6:]))
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter)
    mine.load_state_dict(theirs.state_dict())
    (x,) = case.forward_input.args
    single = x.dim() == int(m.module_cls.__name__[-2]) + 1 and mine._least == 3
    theirs.train(training)
    mine.train(training)
    y = theirs(x)
    dy = torch.linspace(-1, 2, y.numel(), dtype=dtype).reshape(y.shape)
    torchs = torch.autograd.grad(y, [x, *theirs.parameters()], dy)
    close(mine(array(x)[None] if single else array(x))[0 if single else ...], y)
    close(mine.backward(array(dy)[None] if single else array(dy))[0 if single else ...], torchs[0])
    for gradient, expected in zip([g for g in (mine.dgamma, mine.dbeta) if g is not None], torchs[1:], strict=True):
        close(gradient, expected)
    for key, value in theirs.state_dict().items():
        if key != "num_batches_tracked" or mine._least == 2:
            close(mine.state_dict()[key], value)


def gradients(module, x, dy):
    return torch.autograd.grad(module(x), [x, *module.parameters()], dy)


@pytest.mark.parametrize(("m", "dtype", "training", "i"), [*module_cases(OTHERS)], ids=name)
def test_module_inputs_of_layer_and_group_norm(m, dtype, training, i):
    torch.manual_seed(0)
    case = m.module_inputs_func(m, "cpu", dtype, True, training)[i]
    args, kwargs, (x,) = case.constructor_input.args, case.constructor_input.kwargs, case.forward_input.args
    theirs = m.module_cls(*args, **kwargs, dtype=dtype).train(training)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter)
    y = theirs(x)
    dy = torch.linspace(-1, 2, y.numel(), dtype=dtype).reshape(y.shape)
    torchs = gradients(theirs, x, dy)
    twin = getattr(autograd, m.module_cls.__name__)(*args, **kwargs, dtype=dtype).train(training)
    twin.load_state_dict(theirs.state_dict())
    close(twin(x).detach().numpy(), y)
    for mine, expected in zip(gradients(twin, x, dy), torchs, strict=True):
        close(mine.numpy(), expected)
    if m.module_cls is torch.nn.RMSNorm:
        return  # the NumPy side has a function for it, no layer
    layer = getattr(nc, m.module_cls.__name__)(*args, **kwargs, dtype=np.dtype(str(dtype)[6:])).train(training)
    layer.load_state_dict(theirs.state_dict())
    close(layer(array(x)), y)
    close(layer.backward(array(dy)), torchs[0])
    for gradient, expected in zip([g for g in (layer.dgamma, layer.dbeta) if g is not None], torchs[1:], strict=True):
        close(gradient, expected)


@pytest.mark.parametrize(("m", "dtype", "training", "i"), [*module_cases()], ids=name)
def test_module_inputs_of_the_twins(m, dtype, training, i):
    torch.manual_seed(0)
    case = m.module_inputs_func(m, "cpu", dtype, True, training)[i]
    args, kwargs, (x,) = case.constructor_input.args, case.constructor_input.kwargs, case.forward_input.args
    theirs = m.module_cls(*args, **kwargs, dtype=dtype).train(training)
    twin = getattr(autograd, m.module_cls.__name__[:-2])(*args, **kwargs, dtype=dtype).train(training)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter)
    twin.load_state_dict(theirs.state_dict())
    single = x.dim() == int(m.module_cls.__name__[-2]) + 1 and isinstance(twin, autograd.InstanceNorm)
    mine = (lambda x: twin(x[None])[0]) if single else twin
    y, z = theirs(x), mine(x)
    close(z.detach().numpy(), y)
    dy = torch.linspace(-1, 2, y.numel(), dtype=dtype).reshape(y.shape)
    pairs = zip(*(torch.autograd.grad(a, [x, *b.parameters()], dy) for a, b in ((z, twin), (y, theirs))), strict=True)
    for gradient, expected in pairs:
        close(gradient.numpy(), expected)
    for key, value in theirs.state_dict().items():
        if key != "num_batches_tracked" or isinstance(twin, autograd.BatchNorm):
            close(twin.state_dict()[key].numpy(), value)


def error_cases():
    for m in MODULES:
        if m.module_error_inputs_func is not None:
            for e in m.module_error_inputs_func(m, "cpu", torch.float64, False, True):
                yield m.module_cls.__name__, e


@pytest.mark.parametrize(("layer", "error"), [*error_cases()])
def test_module_error_inputs(layer, error):
    """All of them are about eps; torch says so in the forward pass, normcore when the layer is made."""
    case = error.module_error_input.constructor_input
    with pytest.raises(error.error_type, match=r"eps is (-1|0).0, wanted a finite number above 0"):
        getattr(nc, layer[:-2])(*case.args, **case.kwargs)


@pytest.mark.skipif(OLD, reason="the numbers of samples are those of torch 2.13")
def test_nothing_was_left_out_unseen():
    """The number of cases that this torch has; change these together with the pinned version."""
    assert [len(samples("batch")), len(samples("instance"))] == [24, 18]
    assert len(list(module_cases())) == 160
    assert [len(samples(kind)) for kind in WITHIN] == [12, 42, 12]
    assert len(list(module_cases(OTHERS))) == 92
    assert len(list(error_cases())) == 6
