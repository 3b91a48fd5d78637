"""The torch twins under the tools that need more than torch: a C++ compiler, ONNX, several processes."""

import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from normcore import autograd

PAIRS = {  # a twin of 4 channels and what it stands for, for x (5, 4, 3, 6)
    "BatchNorm": lambda m: m.BatchNorm(4) if m is autograd else m.BatchNorm2d(4),
    "BatchNorm, cumulative": lambda m: (m.BatchNorm if m is autograd else m.BatchNorm2d)(4, momentum=None),
    "InstanceNorm": lambda m: (m.InstanceNorm if m is autograd else m.InstanceNorm2d)(4, affine=True),
    "InstanceNorm, tracking": lambda m: (
        (m.InstanceNorm if m is autograd else m.InstanceNorm2d)(4, track_running_stats=True)),
    "LayerNorm": lambda m: m.LayerNorm((3, 6)),
    "GroupNorm": lambda m: m.GroupNorm(2, 4),
    "RMSNorm": lambda m: m.RMSNorm(6),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="inductor compiles C++")
@pytest.mark.filterwarnings("ignore")  # what inductor says about itself
@pytest.mark.sample(1)
@pytest.mark.parametrize("name", PAIRS)
def test_compile_with_inductor(name):
    """In training and in eval mode, in one graph; values, gradients and statistics are those of torch's layer."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    mine, theirs = PAIRS[name](autograd), PAIRS[name](nn)
    for p in theirs.parameters():
        nn.init.normal_(p)
    mine.load_state_dict(theirs.state_dict())
    compiled = torch.compile(mine, fullgraph=True)
    for training in (True, False):
        mine.train(training)
        theirs.train(training)
        x, dy = torch.randn(5, 4, 3, 6, requires_grad=True), torch.randn(5, 4, 3, 6)
        y, expected = compiled(x), theirs(x)
        torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)
        grads = [torch.autograd.grad(a, [x, *m.parameters()], dy) for a, m in ((y, mine), (expected, theirs))]
        torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-4)
        for key, value in theirs.state_dict().items():
            if key != "num_batches_tracked" or name.startswith("BatchNorm"):
                torch.testing.assert_close(mine.state_dict()[key], value)


@pytest.mark.slow
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", [name for name in PAIRS if "cumulative" not in name])
def test_onnx_by_the_newer_exporter(name, training):
    """The graph computes y, and nothing else takes its place."""
    pytest.importorskip("onnxscript", reason="the newer exporter needs the package onnxscript")
    from onnx.reference import ReferenceEvaluator

    torch.manual_seed(0)
    module, x = PAIRS[name](autograd).train(training), torch.randn(5, 4, 3, 6) * 3 + 1
    if training and getattr(module, "track_running_stats", False):
        module.track_running_stats = False  # a graph that writes its own statistics is not exported, torch's neither
        module.running_mean = module.running_var = module.num_batches_tracked = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(module, (x,), dynamo=True, verbose=False)
    run = ReferenceEvaluator(program.model_proto)
    (y,) = run.run(None, {run.input_names[0]: x.numpy()})
    np.testing.assert_allclose(y, module(x).detach(), atol=3e-6)


DISTRIBUTED = """
import os, sys, tempfile
import torch
from torch import distributed, multiprocessing, nn
from normcore import autograd

def work(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    runs = []
    for norm in (autograd.BatchNorm, nn.BatchNorm2d):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(1, 4, 3), norm(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
        parallel = nn.parallel.DistributedDataParallel(net)
        optimizer, own = torch.optim.SGD(parallel.parameters(), 0.1), torch.Generator().manual_seed(rank)
        losses = []
        for _ in range(4):
            optimizer.zero_grad()
            x = torch.randn(6, 1, 6, 6, generator=own)
            loss = parallel(x).square().mean() + parallel(x + 1).mean()  # forward twice, then backward
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        runs.append((torch.tensor(losses), net.state_dict()))
    torch.testing.assert_close(*runs, rtol=1e-4, atol=1e-5)
    gathered = [torch.zeros(4) for _ in range(2)]
    distributed.all_gather(gathered, runs[0][1]["1.weight"])
    assert torch.equal(*gathered)  # one net, whatever each process saw
    distributed.destroy_process_group()
    os._exit(0)  # torch's threads abort an interpreter that ends by itself, about once in a hundred times

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(work, (folder,), nprocs=2)
    print("same")
"""


@pytest.mark.slow
@pytest.mark.skipif(torch.__version__.startswith("2.4."), reason="torch 2.4's own layer, not the twin, fails here")
def test_two_processes_train_one_net(tmp_path):
    (tmp_path / "two.py").write_text(DISTRIBUTED)
    done = subprocess.run([sys.executable, tmp_path / "two.py"], capture_output=True, text=True, timeout=300)
    assert done.stdout == "same\n", done.stderr
