"""Batch norm over a batch that is spread over several processes: each has a part, all use the same statistics.

The formula is NumPy and does not know about processes: it is handed a function ``total`` that adds an array up over all
of them.  :func:`in_processes` runs it in real processes that talk through torch.distributed (backend gloo).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from normbook.experiments.memory import child_environment

Array = npt.NDArray[np.float64]


class Step(NamedTuple):
    """Output and gradients of one part of the batch; ``dgamma`` and ``dbeta`` are those of the whole batch."""

    y: Array
    dx: Array
    dgamma: Array
    dbeta: Array


def synchronized_batch_norm(
    x: Array,
    dy: Array,
    gamma: Array,
    beta: Array,
    total: Callable[[Array], Array],
    eps: float = 1e-5,
) -> Step:
    """Forward and backward of batch norm for one process's part of a batch.

    ``x`` and ``dy`` are (N, C, H, W), N of them here.  y = γ x̂ + β with
    x̂ = (x − μ) / √(σ² + ε), and μ and σ² of the whole batch.  Two sums a
    channel travel forward and two backward; no activation does.

    Parameters
    ----------
    total
        Adds an array up, element by element, over all processes; every
        process gets the sum.
    """
    axes = (0, 2, 3)
    shape = (1, -1, 1, 1)
    m = total(np.array([x.size / x.shape[1]]))  # values a channel, everywhere
    mean = total(x.sum(axes)) / m
    centered = x - mean.reshape(shape)  # by the common mean, so a second message
    var = total((centered**2).sum(axes)) / m
    inverse = (1 / np.sqrt(var + eps)).reshape(shape)
    normalized = centered * inverse
    y = gamma.reshape(shape) * normalized + beta.reshape(shape)

    dbeta = total(dy.sum(axes))
    dgamma = total((dy * normalized).sum(axes))
    pull = (dbeta.reshape(shape) + normalized * dgamma.reshape(shape)) / m
    dx = gamma.reshape(shape) * inverse * (dy - pull)
    return Step(y, dx, dgamma, dbeta)


def in_processes(x: Array, dy: Array, gamma: Array, beta: Array, processes: int = 2, timeout: float = 60) -> Step:
    """Split the batch evenly over ``processes`` real processes, run :func:`synchronized_batch_norm`, join the parts.

    The processes meet through a file in a temporary folder, so no port is needed.

    Raises
    ------
    ValueError
        If the batch cannot be split evenly.
    RuntimeError
        If a process fails or they do not finish in ``timeout`` seconds.  No process is left behind.
    """
    if processes < 1 or len(x) % processes:
        raise ValueError(f"{len(x)} samples over {processes} processes: want a number of processes that divides them")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for rank, (own_x, own_dy) in enumerate(zip(np.split(x, processes), np.split(dy, processes), strict=True)):
            np.savez(folder / f"in{rank}.npz", x=own_x, dy=own_dy, gamma=gamma, beta=beta)
        environment = child_environment()
        if sys.platform.startswith("linux"):
            environment.setdefault("GLOO_SOCKET_IFNAME", "lo")  # this machine talks to itself, whatever its name
        command = [sys.executable, "-m", "normbook.experiments.synchronized", name, str(processes), str(timeout)]
        running = [
            subprocess.Popen([*command, str(rank)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            for rank in range(processes)
        ]
        try:
            said = [process.communicate(timeout=timeout)[0] for process in running]
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{processes} processes did not finish in {timeout} s") from None
        finally:
            for process in running:
                if process.poll() is None:
                    process.kill()
                    process.communicate()
        for rank, process in enumerate(running):
            if process.returncode:
                raise RuntimeError(f"process {rank} failed: {said[rank].decode(errors='replace')[-2000:]}")
        parts = []
        for rank in range(processes):
            with np.load(folder / f"out{rank}.npz") as out:
                parts.append(Step(*(out[field] for field in Step._fields)))
    y, dx = (np.concatenate([getattr(part, field) for part in parts]) for field in ("y", "dx"))
    return Step(y, dx, parts[0].dgamma, parts[0].dbeta)


def _work(folder: Path, processes: int, timeout: float, rank: int) -> None:
    """One process: meet the others, do one's part, leave the result in the folder."""
    from datetime import timedelta

    import torch
    from torch import distributed

    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=(folder / "meeting").as_uri(),
        world_size=processes,
        rank=rank,
        timeout=timedelta(seconds=timeout),
    )

    def total(values: Array) -> Array:
        tensor = torch.from_numpy(np.array(values))
        distributed.all_reduce(tensor)  # adds up, by default
        return np.asarray(tensor)

    with np.load(folder / f"in{rank}.npz") as mine:
        step = synchronized_batch_norm(mine["x"], mine["dy"], mine["gamma"], mine["beta"], total)
    np.savez(folder / f"out{rank}.npz", **step._asdict())
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    _work(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
    sys.stdout.flush()
    os._exit(0)  # the result is written; gloo's threads need not be waited for
