"""How deep a plain network still trains: with PyTorch's initialization, with He's, with a norm, with shortcuts.

Networks that differ in the learning rate and the seed alone train side by side as one network in groups of channels.
Batch norm sees a channel at a time, so they do not feel each other.

``python -m normbook.experiments.depth`` trains all of them (twenty minutes of one core) and writes ``depth.npz`` beside
this file, which the chapter `activations` draws.  Needs torch to train, only NumPy to read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from normbook.data import digits, fashion

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[np.float64]
FILE = Path(__file__).with_name("depth.npz")
DATA = ("digits", "fashion")
ARMS = ("default", "gain √2", "BN", "IN", "BN + shortcuts")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is tried: every arm and depth with every rate and seed, on both data sets.

    A seed decides the split of the data, the order of the batches and the weights' random numbers: the same for all
    arms and rates.  SGD with momentum 0.9 at a constant rate.
    """

    depths: tuple[int, ...] = (5, 10, 20, 30)
    rates: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03, 0.1)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    steps: int = 400
    batch: int = 32
    width: int = 8
    known: int = 1400
    asked: int = 397


PLAN = Plan()


def key(plan: Plan = PLAN) -> str:
    """Digest of the plan and of this program."""
    text = json.dumps(dataclasses.asdict(plan)) + Path(__file__).read_text("utf8")
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def split(data: str, seed: int, plan: Plan = PLAN) -> tuple[tuple[Array, Any], tuple[Array, Any]]:
    """(images, labels) to train with and to be asked, drawn from all images of a data set, standardized."""
    images, labels = digits() if data == "digits" else fashion().train
    order = np.random.default_rng([seed, 1]).permutation(len(images))[: plan.known + plan.asked]
    x, y = images[order].astype(np.float64), labels[order]
    x = (x - x[: plan.known].mean()) / x[: plan.known].std()
    return (x[: plan.known], y[: plan.known]), (x[plan.known :], y[plan.known :])


def network(arm: str, depth: int, seeds: tuple[int, ...], width: int, stride: int) -> torch.nn.Module:
    """One network for each seed, side by side: (N, seeds, H, W) → scores (N, 10 · seeds)."""
    import torch
    from torch import nn

    count = len(seeds)

    def drawn(layer: nn.Conv2d, number: int, gain: float) -> nn.Conv2d:
        """The layer with weights of this gain, from random numbers that depend on seed and number alone."""
        own, outputs = layer.weight.shape[1:], layer.out_channels // count
        root = math.sqrt(math.prod(own))
        draws = [np.random.default_rng([seed, 2, number]) for seed in seeds]
        if arm == "default":  # PyTorch's own: uniform within 1/√fan, weights and biases
            weights = [draw.uniform(-1, 1, (outputs, *own)) / root for draw in draws]
            biases = [draw.uniform(-1, 1, outputs) / root for draw in draws]
        else:
            weights = [gain / root * draw.standard_normal((outputs, *own)) for draw in draws]
            biases = [np.zeros(outputs) for _ in draws]
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(np.concatenate(weights)))
            if layer.bias is not None:
                layer.bias.copy_(torch.from_numpy(np.concatenate(biases)))
        return layer

    def convolution(i: int) -> nn.Conv2d:
        inputs, bias = count * (width if i else 1), arm in ARMS[:2]
        layer = nn.Conv2d(inputs, count * width, 3, 1 if i else stride, 1, groups=count, bias=bias)
        return drawn(layer, i, math.sqrt(2))

    class Block(nn.Module):
        """x + convolution(ReLU(norm(x)))."""

        def __init__(self, i: int) -> None:
            super().__init__()
            self.branch = nn.Sequential(nn.BatchNorm2d(count * width), nn.ReLU(), convolution(i))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.branch(x)  # type: ignore[no-any-return]

    layers: list[nn.Module] = []
    for i in range(depth):
        if arm == "BN + shortcuts":
            layers.append(Block(i) if i else convolution(i))
            continue
        layers.append(convolution(i))
        if arm == "BN":
            layers.append(nn.BatchNorm2d(count * width))
        elif arm == "IN":
            layers.append(nn.InstanceNorm2d(count * width, affine=True))
        layers.append(nn.ReLU())
    if arm == "BN + shortcuts":
        layers += [nn.BatchNorm2d(count * width), nn.ReLU()]
    scores = drawn(nn.Conv2d(count * width, count * 10, 8 if stride == 1 else 7, groups=count), depth, 1.0)
    return nn.Sequential(*layers, scores, nn.Flatten())


def train(data: str, arm: str, depth: int, plan: Plan = PLAN) -> tuple[Array, Array]:
    """Accuracy on the images that are asked, and the loss at the fifth step: both (seeds, rates).

    A network whose loss is no longer finite guesses.  Batch norm answers with the statistics of the training images.
    """
    import torch
    from torch.nn import functional

    seeds, rates = plan.seeds, plan.rates
    parts = [split(data, seed, plan) for seed in seeds]
    net = network(arm, depth, tuple(np.repeat(seeds, len(rates)).tolist()), plan.width, 1 if data == "digits" else 2)
    count = len(seeds) * len(rates)
    each = torch.tensor(rates, dtype=torch.float32).repeat(len(seeds))
    parameters = list(net.parameters())
    sizes = [each.repeat_interleave(len(p) // count).reshape(-1, *[1] * (p.dim() - 1)) for p in parameters]
    speeds = [torch.zeros_like(p) for p in parameters]

    def fetch(which: int, chosen: list[Any]) -> tuple[torch.Tensor, torch.Tensor]:
        x = np.stack([part[which][0][index, 0] for part, index in zip(parts, chosen, strict=True)], axis=1)
        y = np.stack([part[which][1][index] for part, index in zip(parts, chosen, strict=True)], axis=1)
        wide = torch.from_numpy(x.astype(np.float32)).repeat_interleave(len(rates), 1)
        return wide, torch.from_numpy(y.astype(np.int64)).repeat_interleave(len(rates), 1)

    draws = [np.random.default_rng([seed, 3]) for seed in seeds]
    early = np.full((len(seeds), len(rates)), np.nan)
    for step in range(plan.steps):
        x, y = fetch(0, [draw.integers(plan.known, size=plan.batch) for draw in draws])
        losses = functional.cross_entropy(net(x).reshape(-1, 10), y.flatten(), reduction="none")
        losses = losses.reshape(plan.batch, count).mean(0)
        if step == 4:
            early = losses.detach().double().numpy().reshape(len(seeds), len(rates)).copy()
        slopes = torch.autograd.grad(losses.sum(), parameters)
        with torch.no_grad():
            for p, slope, speed, size in zip(parameters, slopes, speeds, sizes, strict=True):
                speed.mul_(0.9).add_(slope)
                p.sub_(size * speed)
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    everything = np.arange(plan.known)
    with torch.no_grad():
        for some in np.split(everything, 7) if norms else ():
            net(fetch(0, [some] * len(seeds))[0])
        net.eval()
        x, y = fetch(1, [np.arange(plan.asked)] * len(seeds))
        scores = net(x).reshape(plan.asked, count, 10)
    right = (scores.argmax(-1) == y).double().mean(0)
    right[~torch.isfinite(scores).all(-1).all(0)] = 0.1
    return np.asarray(right.reshape(len(seeds), len(rates))), early


@dataclasses.dataclass(frozen=True)
class Results:
    """``accuracy`` and ``early``: arrays (data, arm, depth, seed, rate) in the plan's order."""

    accuracy: Array
    early: Array
    key: str

    def best(self) -> tuple[Array, Array]:
        """Accuracy (data, arm, depth, seed) at the rate with the best mean over the *other* seeds; and that rate."""
        seeds = self.accuracy.shape[3]
        found, chosen = np.empty(self.accuracy.shape[:4]), np.empty(self.accuracy.shape[:4])
        for s in range(seeds):
            others = np.delete(self.accuracy, s, axis=3).mean(axis=3)  # (data, arm, depth, rate)
            rate = others.argmax(axis=-1)
            found[..., s] = np.take_along_axis(self.accuracy[..., s, :], rate[..., None], axis=-1)[..., 0]
            chosen[..., s] = np.take(PLAN.rates, rate)
        return found, chosen


def load(file: Path = FILE) -> Results:
    """The results that come with the package."""
    with np.load(file) as stored:
        return Results(stored["accuracy"].astype(float), stored["early"].astype(float), str(stored["key"]))


def main() -> None:
    """Train everything, and write the file."""
    import torch

    torch.set_num_threads(1)
    shape = (len(DATA), len(ARMS), len(PLAN.depths), len(PLAN.seeds), len(PLAN.rates))
    accuracy, early = np.empty(shape), np.empty(shape)
    for i, j, k in np.ndindex(shape[:3]):
        accuracy[i, j, k], early[i, j, k] = train(DATA[i], ARMS[j], PLAN.depths[k])
        print(DATA[i], ARMS[j], PLAN.depths[k], accuracy[i, j, k].mean(0).round(3), file=sys.stderr, flush=True)
    np.savez_compressed(FILE, accuracy=accuracy.astype(np.float32), early=early, key=np.array(key()))


if __name__ == "__main__":
    main()
