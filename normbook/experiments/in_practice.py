"""The small networks of the chapter ``in-practice``: fine-tuning, standardized weights, a transformer's block, dropout.

All seeds and rates of an arm train side by side, as in ``bank`` and ``why``.  Each function returns arrays that begin
with an axis of seeds.  Where a rate is chosen, that of a seed is the best one for the *other* seeds, on validation
images.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from normbook.experiments import trained
from normbook.experiments.bank import Bank, Job, Pictures, alone, batches
from normbook.experiments.why import CHOSEN, KNOWN, TESTED, Data, Images, Nets, Plan

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[np.float64]
SEEDS = tuple(range(6))
Order = Literal["no dropout", "behind the last norm", "behind every norm", "before every norm"]
ORDERS: tuple[Order, ...] = get_args(Order)
TokenNorm = Literal["LN", "RMS", "none"]
Way = Literal["train mode", "frozen, old", "frozen, new"]
WAYS: tuple[Way, ...] = get_args(Way)


def by_others(validation: Array, *measured: Array) -> tuple[Array, ...]:
    """Each measured array (seeds, rates) at the rate that has the best mean validation accuracy of the other seeds.

    >>> by_others(np.array([[0.8, 0.5], [0.2, 0.6], [0.1, 0.8]]), np.arange(6).reshape(3, 2))
    (array([1, 3, 5]),)
    """
    others = [np.delete(validation, seed, axis=0).mean(axis=0).argmax() for seed in range(len(validation))]
    return tuple(values[np.arange(len(values)), others] for values in measured)


# Fine-tuning ---------------------------------------------------------------------------------------------------------

TUNING_RATES = (0.0001, 0.0003, 0.001, 0.003)


class Tuned(Bank):
    """The trained networks with batch norm, each once for every rate of a job."""

    frozen = False

    def __init__(self, job: Job, nets: list[trained.Trained]) -> None:
        import torch

        super().__init__(job, nets[0].part("known").images.shape[-1])

        def put(bank: list[torch.Tensor], name: str) -> None:
            for i, tensor in enumerate(bank):
                stacked = np.stack([getattr(net, name)[i] for net in nets]).repeat(len(job.rates), axis=0)
                tensor.copy_(torch.from_numpy(stacked).reshape(tensor.shape))

        with torch.no_grad():
            put(self.weights, "weights")
            put(self.gammas, "gamma")
            put(self.betas, "beta")
            put(self.running_means, "running_mean")
            put(self.running_vars, "running_var")
            for tensor, name in ((self.last, "last"), (self.bias, "bias")):
                stacked = np.stack([getattr(net, name) for net in nets]).repeat(len(job.rates), axis=0)
                tensor.copy_(torch.from_numpy(stacked).reshape(tensor.shape))

    def freeze(self) -> None:
        """What freezing a batch norm is: eval mode, and γ and β stay as they are."""
        self.frozen = True
        fixed = {id(p) for p in (*self.gammas, *self.betas)}
        sizes = zip(self.parameters, self.step_sizes, strict=True)
        self.step_sizes = [0 * size if id(p) in fixed else size for p, size in sizes]

    def take_anew(self, x: torch.Tensor) -> None:
        """The statistics of these images."""
        import torch

        with torch.no_grad():
            self.scores(x, len(x), 1.0)

    def layers(self, x: torch.Tensor, group: int | None = None, average: float | None = None) -> Iterator[torch.Tensor]:
        yield from super().layers(x, None if self.frozen else group, average)


def fine_tuned(
    data: trained.Data,
    way: Way,
    change: Callable[[Any], Any],
    draws: int = 3,
    images: int = 40,
    steps: int = 25,
    rates: tuple[float, ...] = TUNING_RATES,
) -> Array:
    """Test accuracy (draws · networks,) of the trained networks after ``steps`` steps with two images each.

    Each draw takes ``images`` others, with labels, of those that no network was trained with; the rate of a run is the
    best one for the other runs, on the rest of these.  All images are changed by ``change``.
    """
    job = dataclasses.replace(
        trained.job(data, "BN"), rates=rates, images=2 * steps, gradient_batch=2, norm_batch=2, cosine=False
    )
    nets = [trained.network(data, "BN", seed) for seed in job.seeds]
    found = []
    with alone():
        pictures = Pictures(job)
        pictures.images = [change(own).astype(np.float32) for own in pictures.images]
        test = pictures.fetch([parts[2][:300] for parts in pictures.parts])
        for draw in range(draws):
            randoms = [np.random.default_rng([draw, seed]) for seed in job.seeds]
            mixed = [own.permutation(parts[1]) for own, parts in zip(randoms, pictures.parts, strict=True)]
            bank = Tuned(job, nets)
            if way == "frozen, new":
                bank.take_anew(pictures.fetch([own[:images] for own in mixed])[0])
            if way != "train mode":
                bank.freeze()
            for _ in range(steps):
                pairs = [r.choice(own[:images], 2, replace=False) for r, own in zip(randoms, mixed, strict=True)]
                bank.step(*pictures.fetch(pairs), 1.0)
            rest = pictures.fetch([own[images : images + 200] for own in mixed])
            found.append((bank.accuracy(rest), bank.accuracy(test)))
    validation, tested = (np.concatenate(part) for part in zip(*found, strict=True))
    (accuracy,) = by_others(validation, tested)
    return accuracy


# Standardized weights ------------------------------------------------------------------------------------------------


def standardize(w: torch.Tensor, eps: float = 1e-5) -> torch.Tensor:
    """Each filter w (filters, inputs, height, width) with mean 0 and standard deviation 1 (Qiao et al., 2019)."""
    mean = w.mean((1, 2, 3), keepdim=True)
    return (w - mean) / (w.std((1, 2, 3), keepdim=True, correction=0) + eps)


class Standardized(Bank):
    """A bank whose convolutions use standardized weights; what learns are the weights as they were before."""

    def layers(self, x: torch.Tensor, group: int | None = None, average: float | None = None) -> Iterator[torch.Tensor]:
        raw = self.weights
        self.weights = [standardize(w) for w in raw]
        try:
            yield from super().layers(x, group, average)
        finally:
            self.weights = raw


ARMS: dict[str, dict[str, Any]] = {
    "GN": {"norm": "GN"},
    "GN + WS": {"norm": "GN"},
    "BN, 2 images": {"norm": "BN", "norm_batch": 2},
}
RATES = (0.1, 0.3, 1.0)


def race(data: Data, arm: str, images: int = 1920, seeds: tuple[int, ...] = tuple(range(24))) -> Array:
    """Test accuracy (seeds, rates) of an arm of ``ARMS`` after as many images, 32 in each step."""
    parts: dict[str, Any] = {"known": 3200, "tested": 1000}
    if data == "digits":
        parts = {"known": 1000, "chosen": 297, "tested": 500}
    strides = (1, 2, 1) if data == "digits" else (2, 1, 1, 2)
    job = Job(data, rates=RATES, seeds=seeds, images=images, strides=strides, width=8, **parts, **ARMS[arm])
    with alone():
        pictures = Pictures(job)
        bank = (Standardized if arm.endswith("WS") else Bank)(job, pictures.images[0].shape[-1])
        orders = [
            batches(job, np.random.default_rng(20_000 + seed), labels, part[0])
            for seed, labels, part in zip(seeds, pictures.labels, pictures.parts, strict=True)
        ]
        for step in range(job.steps):
            factor = 0.5 * (1 + math.cos(math.pi * step / job.steps))
            bank.step(*pictures.fetch([next(order) for order in orders]), factor)
        return bank.accuracy(pictures.part(2))


# A transformer's block -----------------------------------------------------------------------------------------------


class Reader:
    """Tiny transformers that read an image row by row, side by side: (networks, images, pixels) → (…, 10).

    A token is a row of pixels (two rows of Fashion-MNIST).  Each block adds attention and then two linear maps with a
    ReLU to its tokens, with the norm first in each branch; a last norm, the mean over the tokens, ten scores.
    """

    def __init__(self, plan: Plan, pixels: int, norm: TokenNorm, blocks: int = 1, width: int = 16) -> None:
        import torch

        side = math.isqrt(pixels)
        self.shape = (side, side) if side < 14 else (side // 2, 2 * side)
        self.norm, self.width, self.count = norm, width, len(plan.seeds) * len(plan.rates)
        draws = [np.random.default_rng(seed) for seed in plan.seeds]

        def draw(*size: int, scale: float) -> torch.Tensor:
            stacked = np.stack([scale * own.standard_normal(size) for own in draws]).repeat(len(plan.rates), axis=0)
            return torch.from_numpy(stacked.astype(np.float32))[:, None].requires_grad_()  # (networks, 1, …)

        tokens, features = self.shape
        self.embed, self.place = draw(features, width, scale=features**-0.5), draw(tokens, width, scale=0.1)
        self.blocks = [
            [draw(width, n, scale=width**-0.5) for n in (3 * width, width, 2 * width)]
            + [draw(2 * width, width, scale=(2 * width) ** -0.5)]
            for _ in range(blocks)
        ]
        self.gammas = [torch.ones(self.count, 1, 1, width, requires_grad=True) for _ in range(2 * blocks + 1)]
        self.last, self.bias = draw(width, 10, scale=width**-0.5), torch.zeros(self.count, 1, 10, requires_grad=True)
        flat = [w for block in self.blocks for w in block]
        self.parameters = [self.embed, self.place, *flat, *self.gammas, self.last, self.bias]
        self.rates = torch.tensor(plan.rates, dtype=torch.float32).repeat(len(plan.seeds))
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.parameters]
        self.entered: list[torch.Tensor] = []  # what entered the norms, when somebody looks

    def normalize(self, i: int, x: torch.Tensor) -> torch.Tensor:
        self.entered.append(x.detach())
        if self.norm == "none":
            return x * self.gammas[i]
        if self.norm == "LN":
            x = x - x.mean(-1, keepdim=True)
        return x * (x.square().mean(-1, keepdim=True) + 1e-5).rsqrt() * self.gammas[i]

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        from torch.nn import functional

        self.entered = []
        x = x.reshape(*x.shape[:2], *self.shape) @ self.embed + self.place  # (networks, images, tokens, width)
        for b, (into, out, up, down) in enumerate(self.blocks):
            query, key, value = (self.normalize(2 * b, x) @ into).chunk(3, -1)
            x = x + functional.softmax(query @ key.transpose(-1, -2) / math.sqrt(self.width), -1) @ value @ out
            x = x + functional.relu(self.normalize(2 * b + 1, x) @ up) @ down
        pooled = self.normalize(2 * len(self.blocks), x).mean(2)
        return pooled @ self.last[:, 0] + self.bias

    def step(self, x: torch.Tensor, labels: torch.Tensor, t: int) -> None:
        """A step of Adam, each network by its own rate."""
        import torch
        from torch.nn import functional

        scores = self.scores(x)
        loss = functional.cross_entropy(scores.reshape(-1, 10), labels.flatten(), reduction="sum") / labels.shape[1]
        slopes = torch.autograd.grad(loss, self.parameters)
        with torch.no_grad():
            for p, slope, (first, second) in zip(self.parameters, slopes, self.moments, strict=True):
                first.mul_(0.9).add_(0.1 * slope)
                second.mul_(0.999).add_(0.001 * slope.square())
                rate = self.rates.reshape(-1, *[1] * (p.dim() - 1))
                p.sub_(rate * first / (1 - 0.9**t) / ((second / (1 - 0.999**t)).sqrt() + 1e-8))


READER_RATES = (0.003, 0.01, 0.03, 0.1)


def read_rows(
    data: Data, norm: TokenNorm, steps: tuple[int, ...] = (75, 150), seeds: tuple[int, ...] = SEEDS
) -> tuple[Array, Array]:
    """Test accuracy after so many steps (seeds, steps); at the end the share of a token's mean square that its mean is.

    The share (seeds,) is a mean over all norms.  The rate is searched for each number of steps.
    """
    import torch

    plan = Plan(data, "none", READER_RATES, seeds, batch=32, norm_batch=32)
    ends = (KNOWN, KNOWN + CHOSEN, KNOWN + CHOSEN + TESTED)
    found = []
    with alone():
        images = Images(plan)
        reader = Reader(plan, images.pixels, norm)
        for t, batch in zip(range(1, steps[-1] + 1), images.batches(), strict=False):
            reader.step(*batch, t)
            if t not in steps:
                continue
            with torch.no_grad():
                validation, test = (
                    _right(reader.scores(images.part(a, b)[0]), images, plan, a) for a, b in itertools.pairwise(ends)
                )
                shares = [(x.mean(-1) ** 2).mean((1, 2)) / x.square().mean((1, 2, 3)) for x in reader.entered]
                share = torch.stack(shares).mean(0).double().numpy().reshape(len(seeds), -1)
            found.append(by_others(validation, test, share))
    return np.stack([accuracy for accuracy, _ in found], axis=1), found[-1][1]


def _right(scores: torch.Tensor, images: Images, plan: Plan, start: int) -> Array:
    """Share of right answers (seeds, rates) on the images from ``start`` on."""
    labels = images.part(start, start + scores.shape[1])[1]
    right: Array = (scores.argmax(-1) == labels).double().mean(1).numpy()
    return right.reshape(len(plan.seeds), len(plan.rates))


# Dropout beside batch norm -------------------------------------------------------------------------------------------


class Dropping(Nets):
    """Networks with batch norm, its running averages, and dropout somewhere."""

    def __init__(self, plan: Plan, inputs: int, order: Order, share: float) -> None:
        import torch

        super().__init__(plan, inputs)
        self.order, self.share = order, share
        self.running = [(torch.zeros_like(b), torch.ones_like(b)) for b in self.betas]
        self.chance = torch.Generator().manual_seed(1)

    def drop(self, x: torch.Tensor, training: bool) -> torch.Tensor:
        import torch

        if not training:
            return x
        return x * (torch.rand(x.shape, generator=self.chance) >= self.share) / (1 - self.share)

    def norm(self, i: int, x: torch.Tensor, training: bool, population: list[Any] | None) -> torch.Tensor:
        if population is not None:  # with dropout, where training is true
            return self.normalize(i, x, None, population)
        mean, var = self.running[i]
        if training:
            with_grad = self.normalize(i, x, None, None)
            x = x.detach()
            batch_mean = x.mean(1, keepdim=True)
            mean.mul_(0.9).add_(0.1 * batch_mean)
            var.mul_(0.9).add_(0.1 * (x - batch_mean).square().sum(1, keepdim=True) / (x.shape[1] - 1))
            return with_grad
        return (x - mean) / (var + 1e-5).sqrt() * self.gammas[i] + self.betas[i]

    def scores(self, x: torch.Tensor, training: bool = False, population: list[Any] | None = None) -> torch.Tensor:
        from torch.nn import functional

        for i, w in enumerate(self.weights):
            if self.order == "before every norm":
                x = self.norm(i, self.drop(functional.relu(x @ w), training), training, population)
                continue
            x = functional.relu(self.norm(i, x @ w, training, population))
            last = i == len(self.weights) - 1
            if self.order == "behind every norm" or (self.order == "behind the last norm" and last):
                x = self.drop(x, training)
        return x @ self.last + self.bias


def dropped(
    data: Data,
    order: Order,
    share: float = 0.5,
    steps: tuple[int, ...] = (120,),
    seeds: tuple[int, ...] = tuple(range(8)),
) -> Array:
    """Test accuracy (steps, 3, seeds) after so many steps.

    Three times: with the running averages, with statistics taken anew *with* dropout, and anew without.  The
    same weights each time.  From the first to the second, only the statistics' noise and lag go; from the second to the
    third, only the shift of the variance.  The rate is chosen for each number of steps, by the first.
    """
    import torch
    from torch.nn import functional

    plan = Plan(data, "BN", (0.1, 0.3, 1.0), seeds, batch=32, norm_batch=32, depth=3, width=32)
    start = KNOWN + CHOSEN
    measured = []
    with alone():
        images = Images(plan)
        nets = Dropping(plan, images.pixels, order, share)
        for t, (x, labels) in zip(range(1, steps[-1] + 1), images.batches(), strict=False):
            flat = nets.scores(x, training=True).reshape(-1, 10)
            loss = functional.cross_entropy(flat, labels.flatten(), reduction="sum") / labels.shape[1]
            nets.step(torch.autograd.grad(loss, nets.parameters))
            if t not in steps:
                continue
            with torch.no_grad():
                validation = _right(nets.scores(images.part(KNOWN, start)[0]), images, plan, KNOWN)
                test, known = images.part(start, start + TESTED)[0], images.part(0, KNOWN)[0]
                noisy: list[Any] = []
                before = nets.chance.get_state()  # training goes on as if nobody had looked
                nets.scores(torch.cat([known] * 4, 1), training=True, population=noisy)
                nets.chance.set_state(before)
                clean: list[Any] = []
                nets.scores(known, population=clean)
                found = [_right(nets.scores(test, population=p), images, plan, start) for p in (None, noisy, clean)]
            measured.append(by_others(validation, *found))
    return np.array(measured)
