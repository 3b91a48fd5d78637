"""What training keeps in memory: counted tensor by tensor, and seen from outside as the size of a process.

Needs torch.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

    from normbook.experiments.trained import Norm


class Saved(NamedTuple):
    """Bytes that autograd keeps between forward and backward: of activations and of the network's own tensors."""

    activations: int
    weights: int


def saved_bytes(net: torch.nn.Module, x: torch.Tensor) -> Saved:
    """Run ``net(x)``, count the tensors that autograd saves for the way back.

    A tensor saved twice, or saved as a view, is counted once: what matters is
    the storage that cannot be freed.  The input counts as an activation if a
    layer saves it.

    >>> import torch
    >>> layer = torch.nn.Linear(10, 20)     # saves its input, 4 · 10 · 4 bytes,
    >>> saved_bytes(layer, torch.zeros(4, 10))  # no weight: nobody needs dx
    Saved(activations=160, weights=0)
    """
    import torch

    storages: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks
    with hooks(keep, lambda tensor: tensor):
        y = net(x)  # while y lives no storage is freed, no address used twice
    tensors = [*net.parameters(), *net.buffers()]
    own = {t.untyped_storage().data_ptr() for t in tensors}
    del y
    weights = sum(size for at, size in storages.items() if at in own)
    return Saved(sum(storages.values()) - weights, weights)


class Course(NamedTuple):
    """Bytes of saved activations on the way through a network and back, as points of a line with steps.

    ``where`` counts layers: from 0 up to ``layers`` on the way forward, then on to twice that on the way back.
    """

    where: list[float]
    bytes: list[int]
    layers: int


def saved_course(net: torch.nn.Sequential, x: torch.Tensor) -> Course:
    """Run ``net(x)`` and the way back; note whenever saved activations grow or are freed.

    What autograd saves is wrapped, so that its end can be seen: when the last tensor that shares a storage is freed,
    the bytes go.  The network's own tensors do not count.

    >>> import torch
    >>> two = torch.nn.Sequential(torch.nn.Linear(10, 20), torch.nn.ReLU())
    >>> saved_course(two, torch.zeros(4, 10))  # 160 bytes of input, 320 of output
    Course(where=[0, 0, 1, 2, 3], bytes=[0, 160, 480, 160, 0], layers=2)
    """
    import torch

    own = {t.untyped_storage().data_ptr() for t in (*net.parameters(), *net.buffers())}
    waiting: dict[int, int] = {}  # saved tensors of a storage that are still wanted
    course, alive, layer = Course([0], [0], len(net)), 0, 0

    class Kept:
        def __init__(self, tensor: torch.Tensor) -> None:
            nonlocal alive
            self.tensor, self.layer = tensor, layer
            storage = tensor.untyped_storage()
            self.at, self.size = storage.data_ptr(), storage.nbytes()
            if self.at not in own:
                waiting[self.at] = waiting.get(self.at, 0) + 1
                if waiting[self.at] == 1:
                    alive += self.size
                    note(layer)

        def __del__(self) -> None:
            nonlocal alive
            if self.at not in own:
                waiting[self.at] -= 1
                if waiting[self.at] == 0:
                    alive -= self.size
                    note(2 * len(net) - 1 - self.layer)

    def note(where: float) -> None:
        course.where.append(where)
        course.bytes.append(alive)

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        for module in net:
            x = module(x)
            layer += 1
    loss = x.sum()
    del x
    loss.backward()  # type: ignore[no-untyped-call]
    del loss
    return course


def photo_network(norm: Norm, channels: int = 16, depth: int = 4) -> torch.nn.Sequential:
    """``depth`` convolutions of 3×3 that keep height and width, each with the norm and a ReLU: (N, 3, H, W) images."""
    from torch import nn

    layers: list[nn.Module] = []
    for i in range(depth):
        layers.append(nn.Conv2d(channels if i else 3, channels, 3, padding=1, bias=norm == "none"))
        if norm == "BN":
            layers.append(nn.BatchNorm2d(channels))
        elif norm == "IN":
            layers.append(nn.InstanceNorm2d(channels, affine=True))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def peak_bytes(norm: Norm, batch_sizes: Sequence[int], side: int = 32, timeout: float = 60) -> list[int]:
    """The largest resident size of a process that trains one step of each batch size, in ascending order.

    A process of its own does it, because the largest size that a process ever had never shrinks again.

    Raises
    ------
    ValueError
        If the batch sizes do not ascend.
    RuntimeError
        If the process fails; the message ends with what it printed.
    """
    if list(batch_sizes) != sorted(set(batch_sizes)):
        raise ValueError(f"batch sizes {list(batch_sizes)}: want them ascending, because a peak never shrinks")
    command = [sys.executable, "-m", "normbook.experiments.memory", norm, str(side), *map(str, batch_sizes)]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise RuntimeError(f"measuring memory failed with exit code {done.returncode}: {done.stderr[-2000:]}")
    peaks: list[int] = json.loads(done.stdout)
    return peaks


def child_environment() -> dict[str, str]:
    """The environment of a process that can import this very package."""
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _train_and_measure(norm: Norm, side: int, batch_sizes: Sequence[int]) -> list[int]:
    import torch

    torch.set_num_threads(1)
    net = photo_network(norm)
    peaks = []
    for size in batch_sizes:
        net(torch.zeros(size, 3, side, side)).sum().backward()
        peaks.append(_largest_size())
    return peaks


def _largest_size() -> int:
    """The largest resident size that this process ever had, in bytes."""
    if sys.platform == "linux":  # getrusage begins with the size of the process that started this one
        status = Path("/proc/self/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


if __name__ == "__main__":
    print(json.dumps(_train_and_measure(sys.argv[1], int(sys.argv[2]), [int(n) for n in sys.argv[3:]])))  # type: ignore[arg-type]
