"""The networks of the chapter ``running-averages``: which stored variance serves a network in evaluation?

Dense ones, in NumPy; and convolutions with shortcuts, which need torch.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from normbook.data import digits, fashion
from normcore import batch_norm, batch_norm_backward

Array = npt.NDArray[np.float32]
EPS = 1e-5


class Stack:
    """Dense networks side by side, one for each seed: ``depth`` times linear map, batch norm and ReLU, then ten scores.

    Batches are (seeds, images, inputs).  In training the norm's statistics are those of groups of ``group`` images, as
    if each group were on a device of its own; the gradient is that of the whole batch.
    """

    def __init__(self, inputs: int, group: int, seeds: tuple[int, ...], depth: int, width: int) -> None:
        random = [np.random.default_rng(seed) for seed in seeds]

        def draw(rows: int, columns: int, gain: float) -> Array:
            stacked = np.stack([own.normal(size=(rows, columns)) for own in random]) * np.sqrt(gain / rows)
            single: Array = stacked.astype(np.float32)
            return single

        self.group, self.width = group, width
        self.weights = [draw(width if i else inputs, width, 2) for i in range(depth)]
        self.gammas = [np.ones((len(seeds), 1, width), np.float32) for _ in range(depth)]
        self.betas = [np.zeros((len(seeds), 1, width), np.float32) for _ in range(depth)]
        self.last = draw(width, 10, 1)

    def _together(self, z: Array) -> Array:
        """(seeds, images, width) as batch norm wants it, a channel for each seed, group and unit: (group, channels)."""
        return np.moveaxis(z.reshape(len(z), -1, self.group, self.width), 2, 0).reshape(self.group, -1)

    def _apart(self, z: Array) -> Array:
        seeds = len(self.last)
        return np.moveaxis(z.reshape(self.group, seeds, -1, self.width), 0, 2).reshape(seeds, -1, self.width)

    def learn(self, x: Array, labels: npt.NDArray[np.int64], rate: float) -> None:
        """One step of gradient descent on the cross-entropy, for each network its own images and labels."""
        kept = []
        for w, gamma, beta in zip(self.weights, self.gammas, self.betas, strict=True):
            normalized, cache = batch_norm(self._together(x @ w), eps=EPS)
            x_hat = self._apart(normalized)
            kept.append((x, x_hat, cache))
            x = np.maximum(gamma * x_hat + beta, 0)
        scores = x @ self.last
        d = np.exp(scores - scores.max(axis=2, keepdims=True))
        d /= d.sum(axis=2, keepdims=True)
        d -= np.eye(10, dtype=np.float32)[labels]
        d /= x.shape[1]
        dx = d @ self.last.swapaxes(1, 2)
        self.last -= rate * x.swapaxes(1, 2) @ d
        for i in range(len(kept) - 1, -1, -1):
            x, x_hat, cache = kept[i]
            dy = dx * (self.gammas[i] * x_hat + self.betas[i] > 0)
            dz = self._apart(batch_norm_backward(self._together(self.gammas[i] * dy), cache)[0])
            dx = dz @ self.weights[i].swapaxes(1, 2)
            self.weights[i] -= rate * x.swapaxes(1, 2) @ dz
            self.gammas[i] -= rate * (dy * x_hat).sum(axis=1, keepdims=True)
            self.betas[i] -= rate * dy.sum(axis=1, keepdims=True)

    def in_train(self, x: Array) -> tuple[Array, list[tuple[Array, Array]]]:
        """What the last ReLU gives in train mode, and every norm's averages over the groups: mean, biased variance."""
        found = []
        for w, gamma, beta in zip(self.weights, self.gammas, self.betas, strict=True):
            z = x @ w
            groups = z.reshape(len(z), -1, self.group, self.width)
            found.append(tuple(v.mean(axis=1, keepdims=True) for v in (groups.mean(axis=2), groups.var(axis=2))))
            x = np.maximum(gamma * self._apart(batch_norm(self._together(z), eps=EPS)[0]) + beta, 0)
        return x, found

    def in_eval(self, x: Array, stored: list[tuple[Array, Array]], factor: float) -> Array:
        """The same in eval mode, with ``factor`` times the biased variances."""
        for w, gamma, beta, (mean, var) in zip(self.weights, self.gammas, self.betas, stored, strict=True):
            x = np.maximum(gamma * (x @ w - mean) / np.sqrt(factor * var + EPS) + beta, 0)
        return x


def stored_variances(
    data: Literal["digits", "fashion"],
    group: int = 4,
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4),
    depth: int = 8,
    width: int = 64,
    steps: int = 250,
    rate: float = 0.1,
) -> tuple[Array, Array]:
    """Size and test accuracy (2, seeds) of trained networks in eval mode: unbiased variance stored, then biased.

    The size is that of the last layer's output over what it is in train mode, root mean square.  Each network is
    trained with batches of 32 in groups of ``group``, at a rate that falls to zero.  Then its weights are frozen, and
    the statistics are averages over the groups of 2,000 of its training images, as with ``momentum=None``.
    """
    images, labels = digits() if data == "digits" else fashion().train
    x = images[:4000].reshape(len(images[:4000]), -1)
    x = ((x - x.mean()) / x.std()).astype(np.float32)
    random = [np.random.default_rng([1, seed]) for seed in seeds]
    new, known = zip(*(np.split(own.permutation(len(x)), [len(x) // 4]) for own in random), strict=True)
    nets = Stack(x.shape[1], group, seeds, depth, width)
    for step in range(steps):
        chosen = np.stack([own.choice(each, 32, replace=False) for own, each in zip(random, known, strict=True)])
        nets.learn(x[chosen], labels[chosen], rate * (1 - step / steps))
    chosen = np.stack([own.choice(each, 2000 // group * group) for own, each in zip(random, known, strict=True)])
    in_train, stored = nets.in_train(x[chosen])
    sizes, accuracies = [], []
    for factor in (group / (group - 1), 1.0):
        out = nets.in_eval(x[np.stack(new)], stored, factor)
        sizes.append(np.sqrt((out**2).mean(axis=(1, 2)) / (in_train**2).mean(axis=(1, 2))))
        accuracies.append(((out @ nets.last).argmax(axis=2) == labels[np.stack(new)]).mean(axis=1))
    return np.array(sizes), np.array(accuracies)


def beside_shortcuts(
    data: Literal["digits", "fashion"],
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4),
    steps: int = 400,
    rate: float = 0.1,
) -> npt.NDArray[np.float64]:
    """What pairs of images store in a trained network with shortcuts, over the variance of all their values together.

    With the factor m/(m − 1), mean over the channels: (seeds, norms), of all norms but the first.  The networks are
    those of :mod:`normbook.experiments.depth`, five convolutions with batch norm in the branches.
    """
    import torch

    from normbook.experiments import depth

    plan = depth.PLAN
    nets = depth.network("BN + shortcuts", 5, seeds, plan.width, 1 if data == "digits" else 2)
    parts = [depth.split(data, seed)[0] for seed in seeds]

    def fetch(index: list[npt.NDArray[np.int64]]) -> tuple[torch.Tensor, torch.Tensor]:
        x = np.stack([images[i, 0] for (images, _), i in zip(parts, index, strict=True)], axis=1)
        y = np.stack([labels[i] for (_, labels), i in zip(parts, index, strict=True)], axis=1)
        return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y.astype(np.int64))

    draws = [np.random.default_rng([seed, 3]) for seed in seeds]
    optimizer = torch.optim.SGD(nets.parameters(), rate, momentum=0.9)
    for _ in range(steps):
        x, y = fetch([draw.integers(plan.known, size=plan.batch) for draw in draws])
        loss = torch.nn.functional.cross_entropy(nets(x).reshape(-1, 10), y.flatten()) * len(seeds)  # a mean for each
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    entered: dict[int, list[torch.Tensor]] = {}
    norms = [module for module in nets.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for k, norm in enumerate(norms):
        norm.register_forward_pre_hook(lambda _, inputs, k=k: entered.setdefault(k, []).append(inputs[0].double()))
    orders = [draw.permutation(plan.known) for draw in draws]
    with torch.no_grad():
        for i in range(0, plan.known, 2):
            nets(fetch([order[i : i + 2] for order in orders])[0])
    found = []
    for k in range(1, len(norms)):
        u = torch.stack(entered[k])  # (pairs, 2, channels of all networks, H, W)
        stored = u.var((1, 3, 4)).mean(0) / u.var((0, 1, 3, 4), correction=0)
        found.append(stored.reshape(len(seeds), -1).mean(1).numpy())
    return np.transpose(found)
