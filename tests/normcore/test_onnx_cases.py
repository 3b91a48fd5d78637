"""The node tests that the onnx package generates for its normalization operators.

ONNX's momentum weighs the *old* value and its running variance takes the biased one; both are compared by its own
rule.  Left out: LayerNormalization over axis 0 and over fewer axes than all but the first, which `layer_norm` does
not have (it says so), and the *expanded* variants, which spell the same numbers out in other operators.
"""

import importlib

import numpy as np
import pytest

import normcore as nc

MODULES = ("batch_normalization", "instance_normalization", "groupnormalization", "layernormalization")


def cases():
    package = "onnx.backend.test.case.node"
    before = len(importlib.import_module(package)._NodeTestCases)
    for name in MODULES:
        importlib.import_module(f"{package}.{name}")
    made = importlib.import_module(package)._NodeTestCases[before:]
    return [c for c in made if "expanded" not in c.name]


CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_onnx_node(case):
    (node,) = case.model.graph.node
    options = {a.name: a.i if a.name in ("training_mode", "num_groups", "axis") else a.f for a in node.attribute}
    eps = options.get("epsilon", 1e-5)
    (((x, *params), (expected, *statistics)),) = case.data_sets
    if node.op_type == "InstanceNormalization":
        y = nc.instance_norm(x, *params, eps)[0]
    elif node.op_type == "GroupNormalization":
        y = nc.group_norm(x, options["num_groups"], *params, eps)[0]
    elif node.op_type == "LayerNormalization":
        if params[0].shape != x.shape[1:]:
            with pytest.raises(ValueError, match="gamma has shape"):
                nc.layer_norm(x, *params, eps)
            return
        y, cache = nc.layer_norm(x, *params, eps)
        np.testing.assert_allclose(cache.mean.ravel(), statistics[0].ravel(), atol=1e-6)
        np.testing.assert_allclose(1 / np.sqrt(cache.var.ravel() + eps), statistics[1].ravel(), rtol=1e-5)
    elif options.get("training_mode", 0):
        scale, bias, mean, var = params
        y, cache = nc.batch_norm(x, scale, bias, eps)
        weight = 1 - options.get("momentum", 0.9)
        for old, new, running in zip((mean, var), (cache.mean, cache.var), statistics, strict=True):
            np.testing.assert_allclose(nc.statistics.average_step(old, new, weight), running, rtol=1e-5)
    else:
        scale, bias, mean, var = params
        y = nc.batch_norm_inference(x, mean, var, scale, bias, eps)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=2e-6, strict=True)


def test_the_cases_are_there():
    assert sum(c.name.startswith("test_batchnorm") for c in CASES) == 4
    assert sum(c.name.startswith("test_instancenorm") for c in CASES) == 2
    assert sum(c.name.startswith("test_group_normalization") for c in CASES) == 2
    layer = [c for c in CASES if c.name.startswith("test_layer_normalization")]
    assert sum(c.data_sets[0][0][1].shape == c.data_sets[0][0][0].shape[1:] for c in layer) == 6
