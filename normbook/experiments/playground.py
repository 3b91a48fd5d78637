"""The playground's network in NumPy, with the layers of normcore: what the page's own program is compared with.

``book/_static/playground-core.js`` trains the same network in a page.  Both begin with the same weights and see the
same batches, because both have the same small generator of random numbers; tests/book/test_playground.py demands that
they agree step by step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, MutableSequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import normcore as nc
from normbook.data import Labeled, digits
from normcore.statistics import average_step, unbiased

Array = npt.NDArray[np.floating[Any]]

CHANNELS, PLACES, GROUPS, CLASSES = 8, 16, 2, 10
EPS = 1e-5
FRESH = 32  # new images of each digit
TRAIN = 100  # images of each digit to train with
EVERY = 10  # steps between two looks at the new images
PIECE = 32  # new images at a time


class Settings(NamedTuple):
    """Where the dials of the playground stand."""

    norm: str = "batch"  # or none, instance, group
    batch: int = 16  # images of a step
    norm_batch: int = 32  # images whose statistics are taken together; at most the batch
    sorted: bool = False  # does each norm batch hold one digit?
    rate: float = 0.03
    inertia: float = 0.9  # the momentum of the steps
    momentum: float = 0.1  # that of the running statistics
    gain: float = 1.41
    depth: int = 3
    seed: int = 1

    def for_page(self) -> dict[str, Any]:
        """The same under the names that the page's program has for them."""
        names = {"norm_batch": "normBatch"}
        return {names.get(name, name): value for name, value in self._asdict().items()}


class Data(NamedTuple):
    """Images to train with, and new ones; sorted by their digit."""

    train: Labeled
    fresh: Labeled


def split() -> Data:
    """Of each digit every fifth image, 32 of them, as new ones, and the first 100 of the others to train with.

    >>> split().train.images.shape, split().fresh.labels[[0, 31, 32]].tolist()
    ((1000, 1, 8, 8), [0, 0, 1])
    """
    images, labels = digits()
    each = [np.flatnonzero(labels == digit) for digit in range(CLASSES)]
    fresh = [where[::5][:FRESH] for where in each]
    train = [np.setdiff1d(where, new)[:TRAIN] for where, new in zip(each, fresh, strict=True)]
    return Data(*(Labeled(images[at], labels[at]) for at in map(np.concatenate, (train, fresh))))


def generator(seed: int) -> Callable[[], float]:
    """Uniform numbers in [0, 1): the generator mulberry32, which is a few lines in any language."""
    state, word = seed, 0xFFFFFFFF

    def random() -> float:
        nonlocal state
        state = (state + 0x6D2B79F5) & word
        t = ((state ^ state >> 15) * (state | 1)) & word
        t = ((t + (t ^ t >> 7) * (t | 61)) & word) ^ t
        return (t ^ t >> 14) / 2**32

    return random


def normals(random: Callable[[], float], shape: tuple[int, ...], spread: float) -> Array:
    """Normal numbers by Box and Muller."""

    def normal() -> float:
        return math.sqrt(-2 * math.log(1 - random())) * math.cos(2 * math.pi * random())

    return spread * np.array([normal() for _ in range(math.prod(shape))]).reshape(shape)


def shuffle(items: MutableSequence[int], random: Callable[[], float]) -> MutableSequence[int]:
    for i in range(len(items) - 1, 0, -1):
        j = math.floor(random() * (i + 1))
        items[i], items[j] = items[j], items[i]
    return items


def dealer(items: list[int], random: Callable[[], float]) -> Callable[[int], list[int]]:
    """deal(count): the next so many of the items, which are shuffled anew when there are not enough left."""
    at = len(items)

    def deal(count: int) -> list[int]:
        nonlocal at
        if at + count > len(items):
            shuffle(items, random)
            at = 0
        at += count
        return items[at - count : at]

    return deal


# ---- layers


def taps(x: Array, stride: int) -> Array:
    """(n, c, height, width) as (n, 9 c, 16): what each place of 4×4 sees through a window of 3×3."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    seen = [padded[:, :, r : r + 4 * stride : stride, c : c + 4 * stride : stride] for r in range(3) for c in range(3)]
    return np.stack(seen, 2).reshape(len(x), -1, PLACES)


def taps_backward(d: Array, shape: tuple[int, ...], stride: int) -> Array:
    """The gradient for x, of this shape."""
    n, channels, height, width = shape
    padded = np.zeros((n, channels, height + 2, width + 2))
    for t, part in enumerate(np.moveaxis(d.reshape(n, channels, 9, 4, 4), 2, 0)):
        r, c = divmod(t, 3)
        padded[:, :, r : r + 4 * stride : stride, c : c + 4 * stride : stride] += part
    return padded[:, :, 1:-1, 1:-1]


@dataclass
class Layer:
    """A convolution and what follows it: a norm with its running statistics, or a bias."""

    w: Array
    norm: str
    stride: int
    gamma: Array = field(default_factory=lambda: np.ones(CHANNELS))
    beta: Array = field(default_factory=lambda: np.zeros(CHANNELS))
    mean: Array = field(default_factory=lambda: np.zeros(CHANNELS))
    var: Array = field(default_factory=lambda: np.ones(CHANNELS))

    @property
    def parameters(self) -> list[Array]:
        return [self.w, self.beta] if self.norm == "none" else [self.w, self.gamma, self.beta]

    def forward(self, x: Array, norm_batch: int, training: bool) -> Array:
        """(n, c, height, width) to (n, 8, 4, 4)."""
        self.shape, self.taps = x.shape, taps(x, self.stride)
        self.z = self.w.reshape(CHANNELS, -1) @ self.taps
        scale = self.gamma, self.beta, EPS
        y: Any
        if self.norm == "none":
            y = self.z + self.beta[:, None]
        elif self.norm == "batch" and not training:
            y = nc.batch_norm_inference(self.z, self.mean, self.var, *scale)
        elif self.norm == "batch":
            parts = [nc.batch_norm(part, *scale) for part in np.split(self.z, len(x) // norm_batch)]
            y, self.caches = np.concatenate([y for y, _ in parts]), [cache for _, cache in parts]
        elif self.norm == "instance":
            y, self.cache = nc.instance_norm(self.z, *scale)
        else:
            y, self.cache = nc.group_norm(self.z, GROUPS, *scale)
        self.y: Array = np.maximum(y, 0)
        maps: Array = self.y.reshape(-1, CHANNELS, 4, 4)
        return maps

    def backward(self, dy: Array) -> tuple[Array, list[Array]]:
        """The gradients for x and for the parameters, after a forward pass in train mode."""
        dy = np.where(self.y > 0, dy.reshape(self.y.shape), 0)
        if self.norm == "none":
            dz, own = dy, [dy.sum((0, 2))]
        elif self.norm == "batch":
            pieces = np.split(dy, len(self.caches))
            both = zip(pieces, self.caches, strict=True)
            parts: list[Any] = [nc.batch_norm_backward(piece, cache) for piece, cache in both]
            dz = np.concatenate([dx for dx, _, _ in parts])
            own = [np.sum(each, 0) for each in ([part[k] for part in parts] for k in (1, 2))]
        else:
            formula = nc.instance_norm_backward if self.norm == "instance" else nc.group_norm_backward
            dz, *own = formula(dy, self.cache)
        dw = np.tensordot(dz, self.taps, ([0, 2], [0, 2])).reshape(self.w.shape)
        dx = taps_backward(self.w.reshape(CHANNELS, -1).T @ dz, self.shape, self.stride)
        return dx, [dw, *own]

    def track(self, momentum: float) -> None:
        """Each norm batch in turn moves the running statistics."""
        for cache in self.caches:
            count = len(cache.x) * PLACES
            self.mean = average_step(self.mean, cache.mean, momentum)
            self.var = average_step(self.var, unbiased(cache.var, count), momentum)


class Look(NamedTuple):
    """Mean loss and share of right answers on the new images after some step."""

    step: int
    train_loss: float
    train_accuracy: float
    eval_loss: float
    eval_accuracy: float


class Playground:
    """A run: ``advance()`` is a step, ``look()`` tries the new images."""

    def __init__(self, settings: Settings, data: Data) -> None:
        self.settings, self.data = settings, data
        random = generator(settings.seed)
        self.layers: list[Layer] = []
        for k in range(settings.depth):
            channels = CHANNELS if k else 1
            w = normals(random, (CHANNELS, channels * 9), settings.gain / math.sqrt(9 * channels))
            self.layers.append(Layer(w, settings.norm, 1 if k else 2))
        features = CHANNELS * PLACES
        self.head = [normals(random, (CLASSES, features), 1 / math.sqrt(features)), np.zeros(CLASSES)]
        self.velocities = [np.zeros_like(p) for p in self.parameters]
        self.step, self.loss = 0, math.nan
        self.random = generator(settings.seed + 1)
        labels = data.train.labels
        self.mixed = dealer([*range(len(labels))], self.random)
        self.of_digit = [dealer(np.flatnonzero(labels == d).tolist(), self.random) for d in range(CLASSES)]
        self.fresh_order = shuffle([*range(len(data.fresh.labels))], generator(0))

    @property
    def parameters(self) -> list[Array]:
        """What is trained, in a fixed order."""
        return [p for layer in self.layers for p in layer.parameters] + self.head

    @property
    def norm_batch(self) -> int:
        return min(self.settings.batch, self.settings.norm_batch)

    @property
    def weight_norm(self) -> float:
        """Length of all convolutions' weights, as one vector."""
        return math.sqrt(sum(float((layer.w**2).sum()) for layer in self.layers))

    def forward(self, images: Array, training: bool = True) -> Array:
        """Scores (n, 10)."""
        for layer in self.layers:
            images = layer.forward(images, self.norm_batch, training)
        self.features = images.reshape(len(images), -1)
        scores: Array = self.features @ self.head[0].T + self.head[1]
        return scores

    def deal(self) -> list[int]:
        """Which images are next; with ``sorted`` each norm batch holds one digit."""
        if not self.settings.sorted:
            return self.mixed(self.settings.batch)
        parts = range(self.settings.batch // self.norm_batch)
        return [i for _ in parts for i in self.of_digit[math.floor(self.random() * CLASSES)](self.norm_batch)]

    def advance(self) -> None:
        """One step of stochastic gradient descent."""
        chosen = self.deal()
        labels = self.data.train.labels[chosen]
        scores = self.forward(self.data.train.images[chosen])
        self.loss, _, d = judge(scores, labels)
        gradients = [d.T @ self.features, d.sum(0)]
        dy = d @ self.head[0]
        for layer in reversed(self.layers):
            dy, own = layer.backward(dy)
            gradients = own + gradients
            if layer.norm == "batch":
                layer.track(self.settings.momentum)
        for parameter, velocity, gradient in zip(self.parameters, self.velocities, gradients, strict=True):
            velocity *= self.settings.inertia
            velocity += gradient
            parameter -= self.settings.rate * velocity
        z = self.layers[-1].z
        self.means: Array = z.reshape(-1, self.norm_batch, CHANNELS, PLACES).mean((1, 3))  # (norm batches, channels)
        self.step += 1

    def look(self) -> Look:
        """Loss and share of right answers on new images, in train mode and in eval mode, 32 images at a time."""
        images, labels = self.data.fresh
        order = np.arange(len(labels)) if self.settings.sorted else np.array(self.fresh_order)
        found = []
        for training in (True, False):
            parts = np.split(order, len(order) // PIECE)
            judged = [judge(self.forward(images[part], training), labels[part])[:2] for part in parts]
            found += [sum(loss for loss, _ in judged) / len(parts), sum(right for _, right in judged) / len(order)]
        return Look(self.step, *found)


def judge(scores: Array, labels: npt.NDArray[np.int64]) -> tuple[float, int, Array]:
    """Mean cross-entropy of the softmax, how many are right, and the gradient for the scores."""
    n = np.arange(len(labels))
    powers = np.exp(scores - scores.max(1, keepdims=True))
    shares = powers / powers.sum(1, keepdims=True)
    right = int((scores[n, labels] == scores.max(1)).sum())
    loss = float(-(scores - scores.max(1, keepdims=True) - np.log(powers.sum(1, keepdims=True)))[n, labels].mean())
    shares[n, labels] -= 1
    return loss, right, shares / len(labels)


class History(NamedTuple):
    """A run from its start, as the playground draws it."""

    settings: Settings
    losses: list[float]  # of each step
    looks: list[Look]
    means: list[Array]  # of each step: (norm batches, channels), in the last layer
    running: list[Array]  # (channels,), likewise
    weight_norms: list[float]


def history(settings: Settings, steps: int, data: Data | None = None) -> History:
    """Train for so many steps, with a look at the new images every ten."""
    run = Playground(settings, data or split())
    record = History(settings, [], [run.look()], [], [], [run.weight_norm])
    for _ in range(steps):
        run.advance()
        record.losses.append(run.loss)
        record.means.append(run.means)
        record.running.append(run.layers[-1].mean)
        record.weight_norms.append(run.weight_norm)
        if run.step % EVERY == 0:
            record.looks.append(run.look())
    return record
