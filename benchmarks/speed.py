"""How long normcore takes beside torch and beside copying the same bytes: `make speed`.

Every figure is the median over rounds; in each round all candidates run once, one after the other, so that whatever
else the machine does meets all of them.  Ratios are medians of the rounds' ratios to torch.nn.functional.  The copy
moves x once (forward, inference) or x and dy (forward and backward) into fresh memory.  float32, default allocator.

    python benchmarks/speed.py                   one thread, then two
    python benchmarks/speed.py --compile         also the torch twins under torch.compile, beside torch's own layers
    python benchmarks/speed.py --seconds 2       per figure; more is steadier
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

FOUR = [(32, 64, 56, 56), (128, 64, 28, 28), (8, 3, 512, 512), (32, 64, 112, 112)]
SMALL = [(256, 1024), (64, 128, 8, 8)]
TASKS = ("forward", "forward+backward", "inference")


def race(seconds: float, *candidates: Callable[[], object]) -> list[list[float]]:
    """Times of each candidate, in rounds."""
    for run in candidates:
        run()
    rounds: list[list[float]] = [[] for _ in candidates]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(rounds[0]) < 5:
        for times, run in zip(rounds, candidates, strict=True):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
    return rounds


def ratio(mine: list[float], theirs: list[float]) -> float:
    return median(a / b for a, b in zip(mine, theirs, strict=True))


def mean(ratios: list[float]) -> float:
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def functions(seconds: float) -> None:
    import numpy as np
    import torch
    import torch.nn.functional as TF

    import normcore as nc

    rng = np.random.default_rng(0)
    print(f"{'':34}{'normcore':>10}{'torch':>10}{'copy':>10}   ratio to torch")
    for kind in ("batch", "instance"):
        print(f"{kind} norm")
        ratios: dict[str, list[float]] = {f"{task}, {size}": [] for size in ("four", "small") for task in TASKS}
        for shape in FOUR + SMALL:
            if kind == "instance" and len(shape) == 2:
                continue
            x, dy = rng.normal(size=(2, *shape)).astype(np.float32)
            gamma, beta, mu = rng.normal(size=(3, shape[1])).astype(np.float32)
            var = mu**2 + np.float32(0.5)
            tx, tgamma, tbeta = (torch.tensor(a, requires_grad=True) for a in (x, gamma, beta))
            tdy, tmu, tvar = (torch.tensor(a) for a in (dy, mu, var))
            ours = nc.batch_norm if kind == "batch" else nc.instance_norm

            def theirs(tx=tx, tgamma=tgamma, tbeta=tbeta, kind=kind):  # type: ignore[no-untyped-def]
                if kind == "batch":
                    return TF.batch_norm(tx, None, None, tgamma, tbeta, training=True)
                return TF.instance_norm(tx, weight=tgamma, bias=tbeta)

            def forward(theirs=theirs):  # type: ignore[no-untyped-def]
                with torch.no_grad():
                    return theirs()

            def both(theirs=theirs, leaves=(tx, tgamma, tbeta), tdy=tdy):  # type: ignore[no-untyped-def]
                return torch.autograd.grad(theirs(), leaves, tdy)

            def inference(tx=tx, tmu=tmu, tvar=tvar, tgamma=tgamma, tbeta=tbeta):  # type: ignore[no-untyped-def]
                with torch.no_grad():
                    return TF.batch_norm(tx, tmu, tvar, tgamma, tbeta, training=False)

            def ours_both(ours=ours, x=x, dy=dy, gamma=gamma, beta=beta):  # type: ignore[no-untyped-def]
                y, cache = ours(x, gamma, beta)
                return y, nc.batch_norm_backward(dy, cache)

            tasks: dict[str, tuple[Callable[[], object], ...]] = {
                "forward": (lambda f=ours, a=(x, gamma, beta): f(*a), forward, x.copy),
                "forward+backward": (ours_both, both, lambda x=x, dy=dy: (x.copy(), dy.copy())),
            }
            if kind == "batch":
                given = (x, mu, var, gamma, beta)
                tasks["inference"] = (lambda a=given: nc.batch_norm_inference(*a), inference, x.copy)
            for task, candidates in tasks.items():
                times = race(seconds, *candidates)
                r = ratio(times[0], times[1])
                ratios[f"{task}, {'four' if shape in FOUR else 'small'}"].append(r)
                figures = "".join(f"{1e3 * median(t):8.2f}ms" for t in times)
                print(f"  {shape!s:20}{task:18}{figures}{r:9.2f}", flush=True)
        for task, values in ratios.items():
            if values:
                print(f"  geometric mean of the ratios, {task:37}{mean(values):6.2f}")


def compiled(seconds: float) -> None:
    import torch
    from torch import nn

    from normcore import autograd

    print(f"\ntorch twins under torch.compile, forward+backward\n{'':38}{'twin':>10}{'torch':>10}   ratio")
    layers = {"BatchNorm": nn.BatchNorm2d, "InstanceNorm": nn.InstanceNorm2d}
    for name, theirs in layers.items():
        ratios = []
        for shape in (*FOUR, SMALL[1]):
            modules = [getattr(autograd, name)(shape[1], affine=True), theirs(shape[1], affine=True)]
            run = [torch.compile(modules[0]), modules[1]]
            x, dy = torch.randn(shape, requires_grad=True), torch.randn(shape)
            steps = [lambda f=f, m=m, x=x, dy=dy: torch.autograd.grad(f(x), [x, *m.parameters()], dy)
                     for f, m in zip(run, modules, strict=True)]  # fmt: skip
            times = race(seconds, *steps)
            r = ratio(*times)
            if shape in FOUR:
                ratios.append(r)
            figures = "".join(f"{1e3 * median(t):8.2f}ms" for t in times)
            print(f"  {name:16}{shape!s:20}{figures}{r:8.2f}", flush=True)
        print(f"  {'geometric mean of the first four':58}{mean(ratios):6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--threads", type=int, help="only this number of threads, in this process")
    options = parser.parse_args()
    if options.threads is None:
        for threads in (1, 2):
            limits = {f"{lib}_NUM_THREADS": str(threads) for lib in ("OMP", "OPENBLAS", "MKL")}
            command = [sys.executable, __file__, "--threads", str(threads), "--seconds", str(options.seconds)]
            subprocess.run(command + ["--compile"] * options.compile, env={**os.environ, **limits}, check=True)
        return
    import torch

    torch.set_num_threads(options.threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-options.threads :])
    print(f"\n== {options.threads} thread{'s' * (options.threads > 1)} ==")
    functions(options.seconds)
    if options.compile:
        compiled(options.seconds)


if __name__ == "__main__":
    main()
