"""The comparison of the chapter ``experiments``: no norm, batch norm, instance norm, over batch sizes and rates.

Many small networks train side by side as *one* network: ``count`` networks of ``width`` channels are a network of
``count * width`` channels whose convolutions have ``count`` groups.  Groups never mix, and both norms keep the channels
apart anyway, so network k of such a bank is the network that would have trained alone (a test compares the two).

Needs torch to train, only NumPy to read results.  ``python -m normbook.experiments.sweep`` runs the full sweep and
prints its tables.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from normbook.data import digits

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[np.float64]
Norm = Literal["none", "BN", "IN"]
NORMS: tuple[Norm, ...] = ("none", "BN", "IN")
ROWS = 2560  # images times networks in one step: more no longer fit the processor's cache
_BOOK = Path(__file__).resolve().parents[2]  # where the package is not installed but lies in the book's repository
CACHE = _BOOK / ".cache" / "sweep" if (_BOOK / "_toc.yml").exists() else Path.home() / ".cache" / "normcore" / "sweep"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is tried.  Every norm gets every batch size with every rate and every seed.

    Attributes
    ----------
    batch_sizes, steps
        For each batch size the number of steps of gradient descent.
    rates
        Learning rates, ascending, the same for all.
    seeds
        A seed decides the split of the data, the order of the batches and the initial weights: they are the same for
        the three norms, so that differences between norms can be taken seed by seed.
    known, chosen
        How many images train, and how many choose the learning rate.  The rest is the test set.
    checks
        How many times the accuracy is measured on the way, at steps that grow by a constant factor.
    width, depth
        Channels of a convolution, and how many convolutions there are.
    """

    batch_sizes: tuple[int, ...]
    steps: tuple[int, ...]
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    known: int = 1000
    chosen: int = 297
    checks: int = 14
    width: int = 8
    depth: int = 5

    def __post_init__(self) -> None:
        if len(self.batch_sizes) != len(self.steps):
            raise ValueError(f"{len(self.batch_sizes)} batch sizes but steps for {len(self.steps)}: want one for each")
        if max(self.batch_sizes) > self.known:
            raise ValueError(f"a batch of {max(self.batch_sizes)} from {self.known} images: want at most that many")
        if list(self.rates) != sorted(set(self.rates)):
            raise ValueError(f"rates {self.rates}: want them ascending, each once")
        if len(self.seeds) < 2:
            raise ValueError(f"{len(self.seeds)} seed(s): want at least two, or there is no interval")
        for steps in self.steps:
            if len(set(self.check_steps(steps))) < self.checks:
                raise ValueError(f"{steps} steps have no room for {self.checks} checks: want more steps")

    def check_steps(self, steps: int) -> list[int]:
        """The steps after which accuracy is measured: from the fourth to the last, evenly in the logarithm."""
        return [round(float(s)) for s in np.geomspace(4, steps, self.checks)]


def _doubling(first: int, last: int) -> tuple[float, ...]:
    return tuple(2.0**k for k in range(first, last + 1))


#: What the book runs: small enough for a build.
BOOK = Plan((2, 4, 8, 16, 64, 256), (1000, 600, 400, 200, 100, 60), _doubling(-7, 2), tuple(range(6)))
#: What ``make sweep`` runs: every batch size, more seeds, more rates, two or three times the steps.
FULL = Plan(
    (2, 4, 8, 16, 32, 64, 128, 256), (2000, 1200, 800, 600, 400, 300, 200, 120), _doubling(-8, 3), tuple(range(10))
)


@dataclasses.dataclass(frozen=True)
class Results:
    """Accuracies between 0 and 1; the axes are (norm, batch size, seed, rate), in the plan's order.

    ``validation`` has one more axis, the checks; ``at`` (batch size, check) are their steps.  ``test_population`` is
    the test accuracy of batch norm with the statistics of all the training images in place of the running averages (for
    the others it equals ``test``).
    """

    plan: Plan
    at: npt.NDArray[np.int64]
    validation: Array
    train: Array
    test: Array
    test_population: Array
    seconds: float

    def best(self) -> npt.NDArray[np.int64]:
        """Index of the best rate (norm, batch size): the highest mean final accuracy on the validation images."""
        return np.asarray(self.validation[..., -1].mean(axis=2).argmax(axis=-1))

    def at_best(self, values: Array) -> Array:
        """``values`` (norm, batch size, seed, rate) at the best rate: (norm, batch size, seed)."""
        return np.take_along_axis(values, self.best()[:, :, None, None], axis=3)[..., 0]

    def steps_to(self, accuracy: float) -> Array:
        """Steps until the validation accuracy reaches ``accuracy``: (norm, batch size, seed, rate), inf for never.

        Between two checks the accuracy is taken as linear in the logarithm of the step.
        """
        reached = self.validation >= accuracy
        first = reached.argmax(axis=-1)
        steps = np.full(first.shape, np.inf)
        for index in np.argwhere(reached.any(axis=-1)):
            curve, now = self.validation[tuple(index)], first[tuple(index)]
            at = np.log(self.at[index[1]])
            if now == 0:
                steps[tuple(index)] = self.at[index[1], 0]
            else:
                part = (accuracy - curve[now - 1]) / (curve[now] - curve[now - 1])
                steps[tuple(index)] = math.exp(at[now - 1] + part * (at[now] - at[now - 1]))
        return steps

    def fewest_steps(self, accuracy: float) -> Array:
        """:meth:`steps_to` at the rate with the smallest mean over the seeds: (norm, batch size, seed).

        A rate counts only if every seed arrives; if there is no such rate the row is inf.
        """
        steps = self.steps_to(accuracy)
        fastest = steps.mean(axis=2).argmin(axis=-1)
        taken = np.take_along_axis(steps, fastest[:, :, None, None], axis=3)[..., 0]
        return np.where(np.isfinite(taken).all(axis=-1, keepdims=True), taken, np.inf)

    def largest_rate(self, accuracy: float) -> Array:
        """The largest rate that still ends at ``accuracy`` or more: (norm, batch size, seed), nan if none does."""
        usable = self.validation[..., -1] >= accuracy
        rates = np.where(usable, self.plan.rates, -np.inf).max(axis=-1)
        return np.where(np.isfinite(rates), rates, np.nan)


def network(
    norm: Norm, count: int = 1, width: int = 8, depth: int = 5
) -> torch.nn.Sequential:
    """``count`` small networks for 8×8 images, side by side.

    (N, count, 8, 8) → scores (N, count · 10).  Each has ``depth`` convolutions
    of 3×3, the second with stride 2, each followed by the norm and a ReLU;
    then ten linear scores from all the 4×4 positions.  Without a norm a
    convolution has a bias; a norm has γ and β instead.
    """
    from torch import nn

    layers: list[nn.Module] = []
    for i in range(depth):
        inputs, outputs = count * (width if i else 1), count * width
        stride = 2 if i == 1 else 1
        bias = norm == "none"
        layers.append(
            nn.Conv2d(inputs, outputs, 3, stride, 1, groups=count, bias=bias)
        )
        if norm == "BN":
            layers.append(nn.BatchNorm2d(outputs))
        elif norm == "IN":
            layers.append(nn.InstanceNorm2d(outputs, affine=True))
        layers.append(nn.ReLU())
    layers.append(nn.Conv2d(count * width, count * 10, 4, groups=count))
    return nn.Sequential(*layers, nn.Flatten())


def initialize(net: torch.nn.Sequential, seeds: Sequence[int]) -> None:
    """Weights after He et al. (2015), one seed for each network of the bank; biases zero.

    A weight is normal with variance 2 / (number of inputs), which keeps the size of the activations from layer to layer
    through a ReLU; 1 / (number of inputs) for the scores, which have none.  The draws do not depend on the norm.
    """
    import torch

    convolutions = [layer for layer in net if isinstance(layer, torch.nn.Conv2d)]
    draws = {seed: np.random.default_rng(seed) for seed in seeds}
    for layer in convolutions:
        own = layer.out_channels // len(seeds)
        shape = (own, *layer.weight.shape[1:])
        gain = 1.0 if layer is convolutions[-1] else 2.0
        scale = math.sqrt(gain / math.prod(shape[1:]))
        weights = {seed: scale * draw.standard_normal(shape) for seed, draw in draws.items()}
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(np.concatenate([weights[seed] for seed in seeds])))
            if layer.bias is not None:
                layer.bias.zero_()


def train(plan: Plan, norm: Norm, batch_size: int, steps: int, seeds: tuple[int, ...] = ()) -> dict[str, Array]:
    """Train a bank of one norm at one batch size, all rates for some seeds (else all), by plain gradient descent.

    Returns
    -------
    ``at`` (checks,), ``validation`` (seeds, rates, checks), ``train``, ``test`` and ``test_population`` (seeds, rates).
    """
    import torch
    from torch.nn import functional

    images, labels = digits()
    seeds, rates = seeds or plan.seeds, len(plan.rates)
    net = network(norm, len(seeds) * rates, plan.width, plan.depth)
    initialize(net, np.repeat(seeds, rates).tolist())
    parameters = list(net.parameters())
    each = torch.tensor(plan.rates, dtype=torch.float32).repeat(len(seeds))
    step_sizes = [each.repeat_interleave(len(p) // len(each)).reshape(-1, *[1] * (p.dim() - 1)) for p in parameters]

    draws = [np.random.default_rng(10_000 + seed) for seed in seeds]
    parts = [np.split(draw.permutation(len(images)), [plan.known, plan.known + plan.chosen]) for draw in draws]
    scaled = [(images[:, 0] - images[known].mean()) / images[known].std() for known, _, _ in parts]

    def fetch(chosen: Sequence[npt.NDArray[np.int64]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (N, networks, 8, 8) and labels (N, networks): for each seed its own choice, the same for all rates."""
        x = np.stack([own[index] for own, index in zip(scaled, chosen, strict=True)], axis=1).astype(np.float32)
        y = np.stack([labels[index] for index in chosen], axis=1)
        return torch.from_numpy(x).repeat_interleave(rates, 1), torch.from_numpy(y).repeat_interleave(rates, 1)

    def accuracy(part: tuple[torch.Tensor, torch.Tensor]) -> Array:
        """Share of right answers (seeds, rates) in evaluation mode.  A diverged network is right by chance."""
        net.eval()
        with torch.no_grad():
            # a hundred images at a time still fit the processor's cache
            scores = torch.cat([net(part[0][i : i + 100]) for i in range(0, len(part[0]), 100)])
        net.train()
        right = scores.reshape(*part[1].shape, 10).argmax(-1) == part[1]
        return np.asarray(right.double().mean(0).reshape(len(seeds), rates))

    validation, test = fetch([part[1] for part in parts]), fetch([part[2] for part in parts])
    check_steps, curves = plan.check_steps(steps), []
    batches = [_batches(draw, part[0], batch_size) for draw, part in zip(draws, parts, strict=True)]
    for step in range(1, steps + 1):
        x, y = fetch([next(own) for own in batches])
        loss = functional.cross_entropy(net(x).reshape(-1, 10), y.flatten(), reduction="sum") / batch_size
        with torch.no_grad():
            for p, slope, size in zip(parameters, torch.autograd.grad(loss, parameters), step_sizes, strict=True):
                p.sub_(size * slope)
        if step in check_steps:
            curves.append(accuracy(validation))

    measured = {
        "at": np.array(check_steps, dtype=float),
        "validation": np.stack(curves, axis=-1),
        "train": accuracy(fetch([part[0] for part in parts])),
        "test": accuracy(test),
    }
    measured["test_population"] = measured["test"]
    if norm == "BN":
        for layer in net:
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = 1.0  # the next batch alone
        with torch.no_grad():
            net(fetch([part[0] for part in parts])[0])
        measured["test_population"] = accuracy(test)
    return measured


def _batches(draw: np.random.Generator, known: npt.NDArray[np.int64], size: int) -> Iterator[npt.NDArray[np.int64]]:
    """Batches without end: the training images shuffled anew for each pass, what is left over of a pass dropped."""
    while True:
        order = draw.permutation(known)
        yield from order[: len(order) // size * size].reshape(-1, size)


def run(plan: Plan = BOOK, cache: Path | None = CACHE, workers: int | None = None) -> Results:
    """The whole plan, from the cache if the same code has already run it on the same data.

    Parameters
    ----------
    cache
        Folder of the results, None for no cache.  The file's name is :func:`key`: it changes with this module,
        the plan, the images and the versions of NumPy and torch.
    workers
        Processes, one thread each; by default one for each processor.
    """
    file = cache / f"{key(plan)}.npz" if cache else None
    if file and file.exists():
        with np.load(file) as saved:
            arrays = {name: saved[name] for name in saved.files if name != "seconds"}
            return Results(plan, **arrays, seconds=float(saved["seconds"]))
    start = time.perf_counter()
    jobs = []
    for i, (batch_size, steps) in enumerate(zip(plan.batch_sizes, plan.steps, strict=True)):
        together = max(1, ROWS // (batch_size * len(plan.rates)))  # seeds in one bank
        for first in range(0, len(plan.seeds), together):
            some = slice(first, first + together)
            jobs += [(batch_size * steps * len(plan.seeds[some]), n, i, some) for n in range(len(NORMS))]
    jobs.sort(key=lambda job: -job[0])  # the long ones first, so that no process ends late
    grid = (len(NORMS), len(plan.batch_sizes), len(plan.seeds), len(plan.rates))
    filled = {name: np.empty(grid) for name in ("train", "test", "test_population")}
    filled["validation"] = np.empty((*grid, plan.checks))
    at = np.empty((len(plan.batch_sizes), plan.checks), dtype=np.int64)
    count = min(workers or os.cpu_count() or 1, len(jobs))
    with ProcessPoolExecutor(count, get_context("spawn"), initializer=_quiet_worker) as pool:
        running = {
            pool.submit(train, plan, NORMS[n], plan.batch_sizes[i], plan.steps[i], plan.seeds[some]): (n, i, some)
            for _, n, i, some in jobs
        }
        done = as_completed(running)
        for _ in tqdm(range(len(jobs)), desc="training", delay=2, leave=False):
            future = next(done)
            measured = future.result()
            n, i, some = running[future]
            at[i] = measured.pop("at")
            for name, values in measured.items():
                filled[name][n, i, some] = values
    results = Results(plan, at=at, **filled, seconds=time.perf_counter() - start)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(f".{os.getpid()}.tmp")
        with unfinished.open("wb") as out:
            np.savez_compressed(out, at=at, **filled, seconds=results.seconds)  # type: ignore[arg-type]
        unfinished.replace(file)  # nobody ever reads half a file
    return results


def key(plan: Plan) -> str:
    """A name that is the same only for the same code, plan, data and versions."""
    images, labels = digits()
    digest = hashlib.sha256(Path(__file__).read_bytes())
    digest.update(json.dumps([dataclasses.asdict(plan), version("numpy"), version("torch")]).encode())
    digest.update(images.tobytes() + labels.tobytes())
    return digest.hexdigest()[:20]


def _quiet_worker() -> None:
    """One thread for each process, and no slow arithmetic on numbers near zero (dying networks are full of them)."""
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a plan without the cache, keep the results there, and print the tables."""
    from normbook.report import spread

    parser = argparse.ArgumentParser(prog="python -m normbook.experiments.sweep", description=main.__doc__)
    parser.add_argument("--plan", choices=["full", "book"], default="full")
    plan = {"full": FULL, "book": BOOK}[parser.parse_args(arguments).plan]
    (CACHE / f"{key(plan)}.npz").unlink(missing_ok=True)
    results = run(plan)
    tables: list[tuple[str, Array, int]] = [
        ("steps to 90%", results.fewest_steps(0.9), 0),
        ("largest usable rate (base-2 logarithm)", np.log2(results.largest_rate(0.8)), 1),
        ("test accuracy in percent", 100 * results.at_best(results.test), 1),
        ("the same, batch norm with population statistics", 100 * results.at_best(results.test_population), 1),
        ("train minus test in percentage points", 100 * results.at_best(results.train - results.test), 1),
    ]
    print(f"{results.test.size} networks, {results.seconds:.0f} s")
    for title, values, places in tables:
        print(f"\n{title}\n{'batch size':<12}" + "".join(f"{norm:>16}" for norm in NORMS))
        for i, batch_size in enumerate(results.plan.batch_sizes):
            cells = [spread(v[i], places) if np.isfinite(v[i]).all() else "not all" for v in values]
            print(f"{batch_size:<12}" + "".join(f"{cell:>16}" for cell in cells))


__all__ = ["BOOK", "FULL", "NORMS", "Plan", "Results", "initialize", "key", "network", "run", "train"]


if __name__ == "__main__":
    main()
