"""One training of the chapter ``experiments``: many small networks side by side, and what is asked of them.

Networks that differ only in learning rate and seed train as *one* network: ``count`` networks of ``width`` channels
are a network of ``count * width`` channels whose convolutions have ``count`` groups.  Groups never mix, and every norm
here keeps the networks apart, so network k of a bank is the network that would have trained alone (a test compares).

A :class:`Job` says everything that decides the numbers; :func:`train` runs it.  The same job gives the same numbers, to
the last bit, in any process of the same machine: one thread, no time, no place, no state from outside.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from normbook.data import digits, fashion, fashion_originals

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Norm = Literal["none", "BN", "IN", "GN", "LN"]
Data = Literal["digits", "fashion", "fashion-28"]
NORMS: tuple[Norm, ...] = get_args(Norm)
GROUPS = 4  # of channels, in group norm
_ONE = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Job:
    """Everything that decides the numbers of one bank of networks.

    Attributes
    ----------
    data
        ``"digits"`` (8×8), ``"fashion"`` (14×14) or ``"fashion-28"`` (the originals).
    norm, residual
        The norm behind each convolution, and whether a convolution that keeps the shape gets a shortcut around it.
    norm_batch, gradient_batch
        Over how many images batch norm takes its *statistics*, and over how many the *gradient* averages.  A step sees
        ``gradient_batch`` images, as ``gradient_batch / norm_batch`` groups.  The other norms do not look at groups.
    images
        How many images pass through training in all: equal for settings that are to be compared.
    rates, seeds
        Learning rates, ascending, and seeds; one network for each pair.  A seed decides split, order and weights.
    alike
        Share of the images of a group that are of one class, from 0 (any images) to 1 (all of one class).
    contrast
        c: each image x becomes a·x + b with a = exp(c·z), b = c·z', where z, z' are standard normal, one pair an image.
    known, chosen, tested
        Images to train with, to choose the rate with, and for the test.  With no image to test, only the accuracy on
        validation images is measured.
    strides, width
        One convolution of 3×3 with ``width`` channels for each stride.
    momentum, cosine
        Of gradient descent; with ``cosine`` the rate falls to zero along half a cosine.
    checks
        How many times the validation accuracy is measured, at steps that grow by a constant factor; at least the end.
    """

    data: Data
    norm: Norm
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    images: int
    gradient_batch: int = 32
    norm_batch: int = 32
    residual: bool = False
    alike: float = 0.0
    contrast: float = 0.0
    known: int = 6400
    chosen: int = 1000
    tested: int = 2000
    strides: tuple[int, ...] = (1, 2, 1, 1, 1, 1, 2, 1)
    width: int = 16
    momentum: float = 0.9
    cosine: bool = True
    checks: int = 1

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise ValueError(f"norm {self.norm!r}: want one of {', '.join(NORMS)}")
        if self.gradient_batch % self.norm_batch:
            raise ValueError(
                f"norm batch {self.norm_batch} of gradient batch {self.gradient_batch}: want a divisor, so that a step "
                "is a whole number of groups"
            )
        if self.gradient_batch > self.known:
            raise ValueError(f"a batch of {self.gradient_batch} from {self.known} images: want at most that many")
        if not self.rates or list(self.rates) != sorted(set(self.rates)):
            raise ValueError(f"rates {self.rates}: want them ascending, each once")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {self.seeds}: want at least one, each once")
        if not 0 <= self.alike <= 1:
            raise ValueError(f"alike = {self.alike}: want a share between 0 and 1")
        if len(set(self.check_steps)) < self.checks:
            raise ValueError(f"{self.steps} steps have no room for {self.checks} checks: want more steps")

    @property
    def steps(self) -> int:
        return self.images // self.gradient_batch

    @property
    def check_steps(self) -> list[int]:
        """The steps after which accuracy is measured: from the fourth to the last, evenly in the logarithm."""
        if self.checks == 1:
            return [self.steps]
        return [round(float(s)) for s in np.geomspace(4, self.steps, self.checks)]


class Bank:
    """The networks of a job, side by side; ``scores`` maps (N, count, height, width) to (N, count, 10).

    Each network is a stack of 3×3 convolutions, each followed by the norm (without one: by a bias) and a ReLU, then ten
    linear scores from all positions.  With shortcuts, a convolution that keeps the shape computes
    relu(x + norm(conv(x))).

    Weights are drawn after He et al. (2015): normal with variance 2 / (number of inputs), 1 / (number of inputs) for
    the scores; the draws depend on the seed alone.  Where there are shortcuts and no norm, the branches' weights are
    divided by the root of the number of branches, so that the sum of all branches is as large as the stem.
    """

    def __init__(self, job: Job, side: int) -> None:
        import torch

        self.job, self.count = job, len(job.rates) * len(job.seeds)
        width, count = job.width, self.count
        sides = [side]
        for stride in job.strides:
            sides.append(-(-sides[-1] // stride))
        #: whether convolution i has a shortcut around it
        self.shortcut = [job.residual and i > 0 and stride == 1 for i, stride in enumerate(job.strides)]
        branch = 1 / math.sqrt(max(1, sum(self.shortcut))) if job.norm == "none" else 1.0
        draws = [np.random.default_rng(seed) for seed in job.seeds]

        def draw(shape: tuple[int, ...], gain: float) -> torch.Tensor:
            """One tensor for the bank: the same weights for all the rates of a seed."""
            scale = math.sqrt(gain / math.prod(shape[1:]))
            stacked = np.stack([scale * own.standard_normal(shape) for own in draws])
            repeated = stacked.repeat(len(job.rates), axis=0).reshape(-1, *shape[1:])
            return torch.from_numpy(repeated.astype(np.float32)).requires_grad_()

        self.weights = []
        for i, around in enumerate(self.shortcut):
            gain = 2.0 * branch**2 if around else 2.0
            self.weights.append(draw((width, width if i else 1, 3, 3), gain))
        self.gammas = [torch.ones(count * width, requires_grad=True) for _ in job.strides]
        self.betas = [torch.zeros(count * width, requires_grad=True) for _ in job.strides]
        self.last = draw((10, width, sides[-1], sides[-1]), 1.0)
        self.bias = torch.zeros(count * 10, requires_grad=True)
        scaled = self.gammas if job.norm != "none" else []
        self.parameters = [*self.weights, *self.betas, *scaled, self.last, self.bias]
        self.running_means = [torch.zeros(count * width) for _ in job.strides]
        self.running_vars = [torch.ones(count * width) for _ in job.strides]
        each = torch.tensor(job.rates, dtype=torch.float32).repeat(len(job.seeds))
        self.step_sizes = [
            each.repeat_interleave(len(p) // count).reshape(-1, *[1] * (p.dim() - 1)) for p in self.parameters
        ]
        self.velocities = [torch.zeros_like(p) for p in self.parameters]

    def normalize(self, i: int, x: torch.Tensor, group: int | None, average: float | None) -> torch.Tensor:
        """Norm i.  Batch norm in groups of ``group`` images (None: by the running averages).

        ``average`` is the weight of a group's statistics in the running averages (None: leave them).  Image k is in
        group k modulo the number of groups, so that a group is a view: (group, groups · channels, height, width).
        """
        import torch
        from torch.nn import functional

        job, gamma, beta = self.job, self.gammas[i], self.betas[i]
        if job.norm == "none":
            return x + beta[:, None, None]
        if job.norm == "IN":
            return functional.instance_norm(x, weight=gamma, bias=beta)
        if job.norm in ("GN", "LN"):
            return functional.group_norm(x, self.count * (GROUPS if job.norm == "GN" else 1), gamma, beta)
        mean, var = self.running_means[i], self.running_vars[i]
        if group is None:
            return functional.batch_norm(x, mean, var, gamma, beta, training=False)
        groups, channels = len(x) // group, x.shape[1]
        view = x.reshape(group, groups * channels, *x.shape[2:])
        means, variances = (torch.zeros(groups * channels) for _ in range(2)) if average is not None else (None, None)
        y = functional.batch_norm(
            view, means, variances, gamma.repeat(groups), beta.repeat(groups), training=True, momentum=1.0
        )
        if means is not None and variances is not None and average is not None:
            # as if the groups had moved the running averages one after the other
            fade = (1 - average) ** torch.arange(groups - 1, -1, -1.0)
            for running, found in ((mean, means), (var, variances)):
                running.mul_((1 - average) ** groups).add_(average * (fade @ found.view(groups, channels)))
        return y.reshape(x.shape)

    def layers(self, x: torch.Tensor, group: int | None = None, average: float | None = None) -> Iterator[torch.Tensor]:
        """The activations behind each ReLU, then the scores (N, count · 10)."""
        from torch.nn import functional

        for i, stride in enumerate(self.job.strides):
            h = functional.conv2d(x, self.weights[i], None, stride, 1, groups=self.count)
            h = self.normalize(i, h, group, average)
            x = functional.relu(x + h if self.shortcut[i] else h)
            yield x
        yield functional.conv2d(x, self.last, self.bias, groups=self.count).flatten(1)

    def scores(self, x: torch.Tensor, group: int | None = None, average: float | None = None) -> torch.Tensor:
        *_, last = self.layers(x, group, average)
        return last.reshape(len(x), self.count, 10)

    def step(self, x: torch.Tensor, labels: torch.Tensor, factor: float) -> None:
        """One step of gradient descent with momentum, for every network by its own rate times ``factor``.

        v ← momentum · v + gradient;  w ← w − rate · factor · v
        """
        import torch
        from torch.nn import functional

        scores = self.scores(x, self.job.norm_batch, 0.1)
        loss = functional.cross_entropy(scores.reshape(-1, 10), labels.flatten(), reduction="sum") / len(x)
        slopes = torch.autograd.grad(loss, self.parameters)
        with torch.no_grad():
            for p, slope, v, size in zip(self.parameters, slopes, self.velocities, self.step_sizes, strict=True):
                v.mul_(self.job.momentum).add_(slope)
                p.sub_(factor * size * v)

    def accuracy(self, part: tuple[torch.Tensor, torch.Tensor], group: int | None = None) -> Array:
        """Share of right answers (seeds, rates).  A diverged network is right by chance."""
        import torch

        images, labels = part
        size = group or 1
        whole = len(images) // size * size
        together = max(1, 100 // size) * size  # a hundred images fit the processor's cache
        with torch.no_grad():
            parts = torch.split(images[:whole], together)
            found = torch.cat([self.scores(part, group) for part in parts])
        right = (found.argmax(-1) == labels[:whole]).double().mean(0)
        return np.asarray(right.reshape(len(self.job.seeds), len(self.job.rates)))


class Pictures:
    """The images of a job's seeds, in three parts (known, chosen, tested), as a bank wants them."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.images, self.labels, self.parts = split(job)

    def fetch(self, indices: Sequence[Index]) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (N, count, height, width) and labels (N, count): each seed's own, the same for all its rates."""
        import torch

        rates = len(self.job.rates)
        x = np.stack([own[index] for own, index in zip(self.images, indices, strict=True)], axis=1)
        y = np.stack([own[index] for own, index in zip(self.labels, indices, strict=True)], axis=1)
        return torch.from_numpy(x).repeat_interleave(rates, 1), torch.from_numpy(y).repeat_interleave(rates, 1)

    def part(self, k: int, most: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """The first ``most`` images of part ``k``."""
        return self.fetch([parts[k][:most] for parts in self.parts])


def fit(job: Job, pictures: Pictures) -> tuple[Bank, Array]:
    """The trained networks of a job, and their validation accuracies (seeds, rates, checks) on the way."""
    bank = Bank(job, pictures.images[0].shape[-1])
    validation = pictures.part(1)
    orders = [
        batches(job, np.random.default_rng(20_000 + seed), labels, parts[0])
        for seed, labels, parts in zip(job.seeds, pictures.labels, pictures.parts, strict=True)
    ]
    curve, check_steps = [], set(job.check_steps)
    for step in range(1, job.steps + 1):
        factor = 0.5 * (1 + math.cos(math.pi * (step - 1) / job.steps)) if job.cosine else 1.0
        bank.step(*pictures.fetch([next(order) for order in orders]), factor)
        if step in check_steps:
            curve.append(bank.accuracy(validation))
    return bank, np.stack(curve, axis=-1)


def train(job: Job) -> dict[str, Array]:
    """Train the networks of a job; every array begins with the axes (seeds, rates), accuracies are between 0 and 1.

    Returns
    -------
    ``validation`` (seeds, rates, checks); ``train`` (on at most 2,000 of its images) and ``test``; for batch norm
    ``population``, the test accuracy with the statistics of 2,000 training images in place of the running averages, and
    ``company``, the test accuracy where every test image is normalized with its group, as in training.
    """
    import torch

    with alone():
        pictures = Pictures(job)
        bank, curve = fit(job, pictures)
        measured = {"validation": curve}
        if not job.tested:
            return measured
        test, seen = pictures.part(2), pictures.part(0, 2000)
        measured |= {"train": bank.accuracy(seen), "test": bank.accuracy(test)}
        if job.norm == "BN":
            measured["company"] = bank.accuracy(test, job.norm_batch)
            with torch.no_grad():
                bank.scores(seen[0], len(seen[0]), 1.0)
            measured["population"] = bank.accuracy(test)
        return measured


_Part = tuple[npt.NDArray[Any], Index]  # images and labels


@functools.cache
def _source(data: Data) -> tuple[_Part, _Part | None]:
    """All images that seeds may divide, and the test images if they are the same for all seeds."""
    if data == "digits":
        return digits(), None
    if data == "fashion":
        first, second, test = fashion()
        return (np.concatenate([first.images, second.images]), np.concatenate([first.labels, second.labels])), test
    (images, labels), (new_images, new_labels) = fashion_originals()  # bytes, scaled when a seed has taken its part
    return (images, labels.astype(np.int64)), (new_images, new_labels.astype(np.int64))


def split(job: Job) -> tuple[list[npt.NDArray[np.float32]], list[Index], list[tuple[Index, Index, Index]]]:
    """For each seed its standardized images (n, height, width), their labels, and the three parts as indices.

    The digits are divided in three.  Fashion-MNIST has its own test images, the first ``tested`` of them; its training
    images are divided in two.  Mean and deviation are those of the images that train.
    """
    (pictures, names), test = _source(job.data)
    need = job.known + job.chosen + (0 if test else job.tested)
    if need > len(names) or (test and job.tested > len(test[1])):
        raise ValueError(f"{need} images of {job.data!r}: there are {len(names)}")
    all_images, all_labels, parts = [], [], []
    for seed in job.seeds:
        draw = np.random.default_rng(10_000 + seed)
        taken = draw.permutation(len(names))[:need]
        images, labels = pictures[taken, 0], names[taken]
        if test:
            images = np.concatenate([images, test[0][: job.tested, 0]])
            labels = np.concatenate([labels, test[1][: job.tested]])
        scaled = (images - images[: job.known].mean()) / images[: job.known].std()
        if job.contrast:
            lamps = np.random.default_rng(30_000 + seed).standard_normal((2, len(scaled), 1, 1))
            scaled = np.exp(job.contrast * lamps[0]) * scaled + job.contrast * lamps[1]
        all_images.append(scaled.astype(np.float32))
        all_labels.append(labels)
        ends = np.cumsum([0, job.known, job.chosen, job.tested])
        parts.append((np.arange(*ends[:2]), np.arange(*ends[1:3]), np.arange(*ends[2:])))
    return all_images, all_labels, parts


def batches(job: Job, draw: np.random.Generator, labels: Index, known: Index) -> Iterator[Index]:
    """Batches without end, of ``gradient_batch`` images; image k of a batch is in group k modulo the number of groups.

    Each pass shuffles the training images anew and drops what is left over.  Of each group of ``norm_batch`` images,
    the share ``alike`` is of one class; a class has as many groups as its images fill.
    """
    group = job.norm_batch
    same = round(job.alike * group)  # images of a group that are of one class
    while True:
        order = draw.permutation(known)
        if same > 1:
            count = len(order) // group
            sorted_part, rest = order[: count * same], order[count * same :]
            cores, left = [], [rest]
            for label in range(10):
                own = sorted_part[labels[sorted_part] == label]
                whole = len(own) // same * same
                cores.append(own[:whole].reshape(-1, same))
                left.append(own[whole:])
            core = draw.permutation(np.concatenate(cores))
            others = draw.permutation(np.concatenate(left))[: len(core) * (group - same)]
            order = np.concatenate([core, others.reshape(len(core), group - same)], axis=1).ravel()
        order = order[: len(order) // job.gradient_batch * job.gradient_batch]
        groups = order.reshape(-1, job.gradient_batch // group, group)
        yield from groups.transpose(0, 2, 1).reshape(-1, job.gradient_batch)


@contextmanager
def alone() -> Iterator[None]:
    """One thread, so that sums have one order; and no slow arithmetic on numbers near zero, which dying networks have.

    Both are put back.  The number of threads belongs to the whole process, so one job waits for another.
    """
    import torch

    with _ONE:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        try:
            yield
        finally:
            torch.set_flush_denormal(False)
            torch.set_num_threads(threads)


__all__ = ["GROUPS", "NORMS", "Bank", "Job", "Pictures", "alone", "batches", "fit", "split", "train"]
