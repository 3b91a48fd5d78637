"""How far outputs and gradients are from the truth, normcore beside torch on the same input: `make accuracy`.

The truth is the formula in numpy.longdouble (64 bits of mantissa on x86, checked at the start).  An error is the
largest difference, relative to the largest true value; where the truth is zero throughout, it is the difference itself.

The table marks with `!` what exceeds the bound: 5e-7 in float32 (3e-6 for the gradients of the batch of 65536), 1e-3 in
float16; and with `t` what is more than twice as far off as torch, beyond one rounding (1.2e-7; 1e-3 in float16).  The
command fails if there is a mark.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
import torch.nn.functional as TF

import normcore as nc

WIDE = np.longdouble
PARTS = ("y", "dx", "dgamma", "dbeta")


def truth(kind, x, dy, gamma, beta, eps, given=None):
    """Output and gradients by the textbook formula, in extended precision."""
    x, dy, gamma, beta = (a.astype(WIDE) for a in (x, dy, gamma, beta))
    channels = (1, -1, *[1] * (x.ndim - 2))
    shared = (0, *range(2, x.ndim))
    axes = tuple(range(2, x.ndim)) if kind == "instance" else shared
    mean = x.mean(axes, keepdims=True) if given is None else given[0].astype(WIDE).reshape(channels)
    d = x - mean
    var = (d * d).mean(axes, keepdims=True) if given is None else given[1].astype(WIDE).reshape(channels)
    inv = 1 / np.sqrt(var + WIDE(eps))
    xhat, scale = d * inv, gamma.reshape(channels) * inv
    dx = scale * dy
    if given is None:
        dx = dx - scale * (dy.mean(axes, keepdims=True) + xhat * (dy * xhat).mean(axes, keepdims=True))
    return gamma.reshape(channels) * xhat + beta.reshape(channels), dx, (dy * xhat).sum(shared), dy.sum(shared)


def ours(kind, x, dy, gamma, beta, eps, given=None):
    if given is not None:
        y = nc.batch_norm_inference(x, *given, gamma, beta, eps)
        return y, *nc.batch_norm_backward(dy, nc.Cache(x, *given, gamma, beta, eps, constant=True))
    y, cache = (nc.instance_norm if kind == "instance" else nc.batch_norm)(x, gamma, beta, eps)
    return y, *nc.batch_norm_backward(dy, cache)


def torchs(kind, x, dy, gamma, beta, eps, given=None):
    x, gamma, beta = (torch.tensor(a, requires_grad=True) for a in (x, gamma, beta))
    if given is not None:
        y = TF.batch_norm(x, *(torch.tensor(v) for v in given), gamma, beta, training=False, eps=eps)
    elif kind == "instance":
        y = TF.instance_norm(x, weight=gamma, bias=beta, eps=eps)
    else:
        y = TF.batch_norm(x, None, None, gamma, beta, training=True, eps=eps)
    y.backward(torch.tensor(dy))
    return [t.detach().numpy() for t in (y, x.grad, gamma.grad, beta.grad)]


def error(value, true):
    """Infinite if the value is not finite and the truth is representable."""
    with np.errstate(over="ignore"):
        representable = np.isfinite(true.astype(value.dtype))
    if not np.isfinite(value[representable]).all():
        return np.inf
    largest = abs(true[representable]).max(initial=0)
    off = abs(value[representable].astype(WIDE) - true[representable]).max(initial=0)
    if largest < np.finfo(value.dtype).tiny:
        return float(off) if largest == 0 else np.nan  # NaN: too small for this dtype
    return float(off / largest)


def rows():
    """Name, kind, x, eps and given statistics of every row."""
    rng = np.random.default_rng(0)

    def normal(shape, mean=0.0, spread=1.0):
        return (mean + spread * rng.normal(size=shape)).astype(np.float32)

    shapes = {"batch": (32, 16, 28, 28), "instance": (16, 16, 56, 56)}
    for kind, shape in shapes.items():
        yield "ordinary", kind, normal(shape), 1e-5, None
        for mean in (1e2, 1e4, 1e6, -7e5):
            yield f"mean {mean:.0e}", kind, normal(shape, mean), 1e-5, None
        yield "spread 1e-4", kind, normal(shape, 0, 1e-4), 1e-5, None
        yield "mean 1, spread 1e-4", kind, normal(shape, 1, 1e-4), 1e-5, None
        yield "mean 1, spread 1e-4, eps 1e-12", kind, normal(shape, 1, 1e-4), 1e-12, None
        for spread in (1e15, 1e18, 1e35):
            yield f"spread {spread:.0e}", kind, normal(shape, 0, spread), 1e-5, None
        outlier = normal(shape)
        outlier[0, :, 0, 0] = 1e4
        yield "one outlier of 1e4", kind, outlier, 1e-5, None
        yield "constant 0.1", kind, np.full(shape, 0.1, np.float32), 1e-5, None
        yield "constant 1e6", kind, np.full(shape, 1e6, np.float32), 1e-5, None
    yield "small, (64, 128, 8, 8)", "batch", normal((64, 128, 8, 8)), 1e-5, None
    yield "two axes, (256, 1024)", "batch", normal((256, 1024), 3), 1e-5, None
    yield "batch of 65536", "batch", normal((65536, 16), 3), 1e-5, None
    yield "large maps, (2, 8, 512, 512)", "batch", normal((2, 8, 512, 512), 3), 1e-5, None
    for mean in (0.0, 1e4, 1e6):
        given = normal(16, mean), (0.5 + rng.random(16)).astype(np.float32)
        yield f"inference, mean {mean:.0e}", "batch", normal(shapes["batch"], mean), 1e-5, given
    half = normal((32, 16, 8, 8)).astype(np.float16)
    yield "float16 ordinary", "batch", half, 1e-5, None
    yield "float16 at 65504", "batch", np.where(half > 0, 65504, -65504).astype(np.float16), 1e-5, None
    yield "float16 mean 2e4", "batch", (half * 64 + np.float16(2e4)), 1e-5, None
    yield "float16 at 6e-8", "batch", np.where(half > 0, 6e-8, 0).astype(np.float16), 1e-5, None


def main() -> int:
    assert np.finfo(WIDE).eps < 2e-19, "numpy.longdouble is no wider than float64 here: the truth would be too coarse"
    width = 32
    print(f"{'':{width}}" + "".join(f"{p:^22}" for p in PARTS))
    print(f"{'':{width}}" + f"{'normcore':>10} {'torch':>10} " * len(PARTS))
    last, worst, marks = None, 0.0, 0
    for name, kind, x, eps, given in rows():
        if kind != last:
            print(f"{kind} norm")
            last = kind
        rng = np.random.default_rng(1)
        dy = rng.normal(size=x.shape).astype(x.dtype)
        gamma, beta = rng.normal(size=(2, x.shape[1])).astype(x.dtype)
        problem = kind, x, dy, gamma, beta, eps, given
        true = truth(*problem)
        line, is_half = f"  {name:{width - 2}}", x.dtype == np.float16
        for part, mine, other, exact in zip(PARTS, ours(*problem), torchs(*problem), true, strict=True):
            a, b = error(mine, exact), error(other, exact)
            bound = 1e-3 if is_half else 3e-6 if "65536" in name and part != "y" else 5e-7
            mark = "!" if a > bound else "t" if a > 2 * b + (1e-3 if is_half else 1.2e-7) else " "
            marks += mark != " "
            if not is_half and np.isfinite(a):
                worst = max(worst, a if part in ("y", "dx") else 0)
            line += f"{a:10.1e}{mark}{b:10.1e} "
        print(line)
    print(f"\nworst float32 y or dx of normcore: {worst:.1e}; marks: {marks}")
    print("inf: not finite where the truth is representable.  nan: the truth is too small for the dtype.")
    return int(marks > 0)


if __name__ == "__main__":
    sys.exit(main())
