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
