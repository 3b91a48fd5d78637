import os
import resource
import subprocess
import sys
import types
from pathlib import Path

import pytest

from normbook.experiments import memory

torch = pytest.importorskip("torch")
MAP = 16 * 8 * 8 * 4  # bytes of one image's 16 channels of 8×8


@pytest.mark.parametrize("images", [1, 5])
def test_saved_bytes_are_those_of_the_formula(images):
    """Every block saves the ReLU's output, and with a norm also the norm's input; the first convolution saves x."""
    x = torch.zeros(images, 3, 8, 8)
    none = memory.saved_bytes(memory.photo_network("none", depth=3), x)
    assert none.activations == images * (3 * MAP + 3 * 8 * 8 * 4)
    assert none.weights == 4 * (16 * 3 * 9 + 2 * 16 * 16 * 9)
    batch = memory.saved_bytes(memory.photo_network("BN", depth=3), x)
    statistics = 3 * 2 * 16 * 4
    assert batch.activations == images * (6 * MAP + 3 * 8 * 8 * 4) + statistics


@pytest.mark.parametrize("norm", ["none", "BN"])
def test_the_course_climbs_to_what_is_saved_and_ends_at_nothing(norm):
    net, x = memory.photo_network(norm, depth=3), torch.zeros(2, 3, 8, 8)
    where, sizes, layers = memory.saved_course(net, x)
    assert layers == len(net) and where == sorted(where) and where[0] == 0 and where[-1] <= 2 * layers - 1
    assert sizes[0] == sizes[-1] == 0 and max(sizes) == memory.saved_bytes(net, x).activations
    top = sizes.index(max(sizes))
    assert sizes[: top + 1] == sorted(sizes[: top + 1]) and sizes[top:] == sorted(sizes[top:], reverse=True)


def test_a_view_and_a_second_save_count_once():
    class Twice(torch.nn.Module):
        def forward(self, x):
            y = x.exp()  # saves y
            return y * y.reshape(2, -1).reshape(y.shape)  # saves y again, and a view of it

    x = torch.zeros(4, 10, requires_grad=True)
    assert memory.saved_bytes(Twice(), x) == (160, 0)


def test_nothing_is_saved_without_gradients():
    with torch.no_grad():
        assert memory.saved_bytes(memory.photo_network("BN"), torch.zeros(2, 3, 8, 8)) == (0, 0)


@pytest.mark.slow
def test_a_process_grows_with_the_batch():
    small, large = memory.peak_bytes("BN", [4, 128])
    maps = 128 * 2 * 4 * 16 * 32 * 32 * 4  # two maps a block, four blocks
    assert 100e6 < small < 1e9
    assert 0.5 * maps < large - small < 4 * maps


def test_batch_sizes_must_ascend():
    with pytest.raises(ValueError, match="ascending"):
        memory.peak_bytes("BN", [8, 4])


def test_a_failed_process_says_why(monkeypatch):
    monkeypatch.setattr(memory, "child_environment", lambda: {"PYTHONPATH": "", "PATH": ""})
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 3, "", "no room"))
    with pytest.raises(RuntimeError, match="exit code 3: no room"):
        memory.peak_bytes("BN", [1])


def test_the_largest_size_on_windows(monkeypatch):
    """Windows has no `resource`: there psutil knows the peak."""
    process = types.SimpleNamespace(memory_info=lambda: types.SimpleNamespace(rss=5, peak_wset=7))
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "psutil", types.SimpleNamespace(Process=lambda: process))
    monkeypatch.setitem(sys.modules, "resource", None)
    assert memory._largest_size() == 7


def test_the_largest_size_on_macos(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    own = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # Linux counts in kilobytes
    assert memory._largest_size() == own // 1024 > 0


def test_a_child_process_finds_this_very_package(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    first, second = memory.child_environment()["PYTHONPATH"].split(os.pathsep)
    assert Path(first, "normbook", "experiments", "memory.py").samefile(memory.__file__) and second == "/elsewhere"
