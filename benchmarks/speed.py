"""How long normcore takes beside torch and beside copying the same bytes: `make speed`.

Every figure is the median over rounds; in each round all candidates run once, one after the other, so that whatever
else the machine does meets all of them.  Ratios are medians of the rounds' ratios to torch.nn.functional.  The copy
moves x once (forward, inference) or x and dy (forward and backward) into fresh memory.  float32, default allocator.
Naive is the textbook in whole arrays of NumPy.  The fused loop is fused.c, compiled if `cc` is there: the limit.
With one thread the clock is the processor's, which other programs disturb less.

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
SMALL = [(32, 16), (256, 1024), (64, 128, 8, 8)]
TASKS = ("forward", "forward+backward", "inference")


def race(seconds: float, *candidates: Callable[[], object]) -> list[list[float]]:
    """Times of each candidate, in rounds."""
    clock = time.process_time if os.environ.get("OMP_NUM_THREADS") == "1" else time.perf_counter
    for run in candidates:
        run()
    rounds: list[list[float]] = [[] for _ in candidates]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(rounds[0]) < 5:
        for times, run in zip(rounds, candidates, strict=True):
            start = clock()
            run()
            times.append(clock() - start)
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


def naive(x, dy, axes, gamma, beta, shape):  # type: ignore[no-untyped-def]
    """The textbook: y and dx, one whole array after the other."""
    gamma, beta = gamma.reshape(shape), beta.reshape(shape)
    d = x - x.mean(axes, keepdims=True)
    r = 1 / ((d**2).mean(axes, keepdims=True) + 1e-5) ** 0.5
    xhat = d * r
    y = gamma * xhat + beta
    if dy is None:
        return y
    g = gamma * dy
    dx = r * (g - g.mean(axes, keepdims=True) - xhat * (g * xhat).mean(axes, keepdims=True))
    return y, dx, dy * xhat


def fused(folder: str):  # type: ignore[no-untyped-def]
    """The compiled loops of fused.c, forward and backward; None without a compiler."""
    import ctypes

    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fused.c")
    library = os.path.join(folder, "fused.so")
    command = ["cc", "-O3", "-march=native", "-ffast-math", "-shared", "-fPIC", source, "-o", library]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return ctypes.CDLL(library)


def family(seconds: float) -> None:
    """Layer and group norm beside torch; batch norm in other memory orders and dtypes; moments; the compiled loop."""
    import ctypes
    import tempfile

    import numpy as np
    import torch
    import torch.nn.functional as TF

    import normcore as nc

    rng = np.random.default_rng(0)

    def line(name: str, candidates: tuple[Callable[[], object], ...], others: tuple[str, ...]) -> list[float]:
        times = race(seconds, *candidates)
        ratios = [ratio(times[0], other) for other in times[1:]]
        told = "".join(f"{r:8.2f} of {other}" for r, other in zip(ratios, others, strict=True))
        print(f"  {name:44}{1e3 * median(times[0]):8.2f}ms{told}", flush=True)
        return ratios

    def random(*shape: int):  # type: ignore[no-untyped-def]
        return rng.normal(size=shape).astype(np.float32)

    for kind in ("layer", "group"):
        print(f"{kind} norm")
        found = []
        for shape in ([(4096, 768)] if kind == "layer" else []) + FOUR:
            x, dy = random(2, *shape)
            groups, size = (8 if shape[1] % 8 == 0 else 1), shape[1:] if kind == "layer" else shape[1:2]
            gamma, beta = random(2, *size)
            leaves = tuple(torch.tensor(a, requires_grad=True) for a in (x, gamma, beta))
            ours = (lambda x, g, b: nc.layer_norm(x, g, b)) if kind == "layer" else (
                lambda x, g, b, groups=groups: nc.group_norm(x, groups, g, b))  # fmt: skip
            theirs = (lambda x, g, b, size=size: TF.layer_norm(x, size, g, b)) if kind == "layer" else (
                lambda x, g, b, groups=groups: TF.group_norm(x, groups, g, b))  # fmt: skip
            back = nc.layer_norm_backward if kind == "layer" else nc.group_norm_backward
            frozen = tuple(t.detach() for t in leaves)
            rows = (len(x), -1, 1) if kind == "layer" else (len(x) * groups, shape[1] // groups, -1)
            wide = (1, -1, 1) if kind == "layer" else (1, groups, shape[1] // groups, 1)
            seen, seen_dy = (a.reshape(rows if kind == "layer" else (len(x), *wide[1:3], -1)) for a in (x, dy))
            axes = (1, 2) if kind == "layer" else (2, 3)
            forward = (
                lambda a=(x, gamma, beta), f=ours: f(*a), lambda a=frozen, f=theirs: f(*a),
                lambda a=(seen, None, axes, gamma, beta, wide): naive(*a),
            )  # fmt: skip
            line(f"forward {shape}", forward, ("torch", "naive"))
            _, cache = ours(x, gamma, beta)
            out, tdy = theirs(*leaves), torch.tensor(dy)
            backward = (
                lambda a=(dy, cache), f=back: f(*a),
                lambda a=(out, leaves, tdy): torch.autograd.grad(*a, retain_graph=True),
                lambda a=(seen, seen_dy, axes, gamma, beta, wide): naive(*a),
            )  # fmt: skip
            found.append(line(f"backward {shape}", backward, ("torch", "naive's both ways"))[0])
        print(f"  geometric mean of the backward ratios to torch{mean(found):12.2f}")

    print("batch norm, forward")
    shape = FOUR[0]
    x, gamma, beta = random(*shape), *random(2, shape[1])
    half, last = x.astype(np.float16), np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    tx = torch.tensor(x)
    plain = lambda: nc.batch_norm(x, gamma, beta)  # noqa: E731
    line(f"float16 {shape}", (lambda: nc.batch_norm(half, gamma, beta), plain), ("float32",))
    line("  of that, to float32 and back", (lambda: half.astype(np.float32).astype(np.float16), plain), ("float32",))
    line(f"channels last {shape}", (lambda: nc.batch_norm(last, gamma, beta), plain), ("channels first",))
    line(f"moments {shape}", (
        lambda: nc.moments(x, (0, 2, 3)), lambda: torch.var_mean(tx, (0, 2, 3), correction=0),
        lambda: (x.mean((0, 2, 3)), x.var((0, 2, 3))), plain), ("torch", "naive", "batch_norm"))  # fmt: skip
    for shape in (*FOUR, *SMALL):
        x, gamma, beta = random(*shape), *random(2, shape[1])
        wide = (1, -1, *[1] * (len(shape) - 2))
        axes = (0, *range(2, len(shape)))
        line(f"{shape}", (lambda a=(x, gamma, beta): nc.batch_norm(*a),
                          lambda a=(x, None, axes, gamma, beta, wide): naive(*a)), ("naive",))  # fmt: skip

    with tempfile.TemporaryDirectory() as folder:
        loop = fused(folder)
        if loop is None:
            print("no compiler: nothing is said of the fused loop")
            return
        print("batch norm beside the fused loop")
        both: list[list[float]] = [[], []]
        for shape in (*FOUR, SMALL[-1]):
            x, dy = random(2, *shape)
            gamma, beta, mu, r, dgamma, dbeta = random(6, shape[1])
            sizes = [ctypes.c_long(v) for v in (shape[0], shape[1], x[0, 0].size)]

            def pointers(*arrays):  # type: ignore[no-untyped-def]
                return [a.ctypes.data_as(ctypes.c_void_p) for a in arrays]

            def loops(x=x, gamma=gamma, beta=beta, mu=mu, r=r, sizes=sizes):  # type: ignore[no-untyped-def]
                y = np.empty_like(x)
                loop.forward(*pointers(x, gamma, beta, y, mu, r), *sizes)
                return y

            def loops_back(x=x, dy=dy, gamma=gamma, mu=mu, r=r, dgamma=dgamma, dbeta=dbeta, sizes=sizes):  # type: ignore[no-untyped-def]
                dx = np.empty_like(x)
                loop.backward(*pointers(x, dy, gamma, mu, r, dx, dgamma, dbeta), *sizes)
                return dx

            y, cache = nc.batch_norm(x, gamma, beta)
            assert abs(loops() - y).max() < 1e-4
            assert abs(loops_back() - nc.batch_norm_backward(dy, cache)[0]).max() < 1e-3
            tasks = {
                "forward": (lambda a=(x, gamma, beta): nc.batch_norm(*a), loops),
                "backward": (lambda a=(dy, cache): nc.batch_norm_backward(*a), loops_back),
            }
            for i, (task, candidates) in enumerate(tasks.items()):
                both[i] += line(f"{task} {shape}", candidates, ("the fused loop",))
        print(f"  geometric means of the first four: forward {mean(both[0][:4]):.2f}, backward {mean(both[1][:4]):.2f}")


def compiled(seconds: float) -> None:
    import torch
    from torch import nn

    from normcore import autograd

    print(f"\ntorch twins under torch.compile, forward+backward\n{'':38}{'twin':>10}{'torch':>10}   ratio")
    layers = {"BatchNorm": nn.BatchNorm2d, "InstanceNorm": nn.InstanceNorm2d}
    for name, theirs in layers.items():
        ratios = []
        for shape in (*FOUR, SMALL[-1]):
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
    if options.threads == 1:
        family(options.seconds)
    if options.compile:
        compiled(options.seconds)


if __name__ == "__main__":
    main()
