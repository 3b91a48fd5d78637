"""The experiments of the chapter ``why``: five explanations of batch norm, one small network each.

The networks are fully connected: hidden layers of one width, each a matrix, a norm (or a bias) and a ReLU, then ten
scores.  All seeds and rates of an experiment train side by side: a layer's weights are (networks, inputs, outputs),
activations (networks, images, units), so that one batched product serves all of them and no network meets another.

Evaluation uses *population statistics*: mean and unbiased variance of all the training images, layer after layer, at
the final weights.  So no running average can be to blame for anything here.

:func:`measure` runs one experiment or takes it from the cache.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from normbook.data import digits, fashion
from normbook.experiments.bank import alone

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[np.float64]
Norm = Literal["none", "BN", "noisy BN"]
Data = Literal["digits", "fashion"]
DATA: tuple[Data, ...] = get_args(Data)
_BOOK = Path(__file__).resolve().parents[2]  # where the package is not installed but lies in the book's repository
CACHE = _BOOK / ".cache" / "why" if (_BOOK / "_toc.yml").exists() else Path.home() / ".cache" / "normcore" / "why"

KNOWN, CHOSEN = 1000, 297  # images to train with, and to choose the rate with; 500 more for the test
TESTED = 500
SEEDS = tuple(range(6))
STEPS = 120
RATES = tuple(2.0**k for k in range(-4, 4))


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything that decides the numbers of one set of networks; one network for each pair of seed and rate.

    Attributes
    ----------
    batch, norm_batch
        Over how many images the gradient averages, and over how many of them batch norm takes its statistics.
    residual
        x + scale · W relu(norm(x)) for all hidden layers but the first, in place of relu(norm(W x)).
    scale
        Of a residual branch at the start.
    start
        All hidden weights are multiplied by this at the start (under batch norm: the same function).
    decay
        λ of weight decay on the hidden matrices: w ← w − η (gradient + λ w).
    pinned
        After each step each unit's weights get the length back that they had at the start.
    """

    data: Data
    norm: Norm
    rates: tuple[float, ...] = RATES
    seeds: tuple[int, ...] = SEEDS
    steps: int = STEPS
    batch: int = 64
    norm_batch: int = 64
    depth: int = 4
    width: int = 48
    residual: bool = False
    scale: float = 1.0
    start: float = 1.0
    decay: float = 0.0
    pinned: bool = False

    def __post_init__(self) -> None:
        if self.batch % self.norm_batch:
            raise ValueError(f"norm batch {self.norm_batch} of batch {self.batch}: want a divisor")
        if not self.rates or list(self.rates) != sorted(set(self.rates)):
            raise ValueError(f"rates {self.rates}: want them ascending, each once")


class Nets:
    """The networks of a plan."""

    def __init__(self, plan: Plan, inputs: int) -> None:
        import torch

        self.plan, self.count = plan, len(plan.seeds) * len(plan.rates)
        sizes = [inputs, *[plan.width] * plan.depth]
        draws = [np.random.default_rng(seed) for seed in plan.seeds]

        def draw(rows: int, columns: int, gain: float) -> torch.Tensor:
            stacked = np.stack([math.sqrt(gain / rows) * own.standard_normal((rows, columns)) for own in draws])
            return torch.from_numpy(stacked.repeat(len(plan.rates), axis=0).astype(np.float32)).requires_grad_()

        self.weights = []
        for i, (rows, columns) in enumerate(itertools.pairwise(sizes)):
            branch = plan.residual and i > 0
            gain = (2 * plan.scale**2 if branch else 1.0 if plan.residual else 2.0) * plan.start**2
            self.weights.append(draw(rows, columns, gain))
        self.last = draw(plan.width, 10, 1.0)
        self.gammas = [torch.ones(self.count, 1, plan.width, requires_grad=True) for _ in self.weights[plan.residual :]]
        self.betas = [torch.zeros_like(g).requires_grad_() for g in self.gammas]
        self.bias = torch.zeros(self.count, 1, 10, requires_grad=True)
        self.parameters = [*self.weights, *self.betas, *(self.gammas if plan.norm != "none" else []),
                           self.last, self.bias]  # fmt: skip
        self.rates = torch.tensor(plan.rates, dtype=torch.float32).repeat(len(plan.seeds))[:, None, None]
        self.lengths = [w.detach().norm(dim=1, keepdim=True) for w in self.weights]
        self.noise = torch.Generator().manual_seed(0)

    def normalize(self, i: int, x: torch.Tensor, group: int | None, population: list[Any] | None) -> torch.Tensor:
        """Norm i of x (networks, images, units), in groups of images, or by statistics of all these images."""
        if self.plan.norm == "none":
            return x + self.betas[i]
        if population is not None:  # [] is filled, a full list is used
            if len(population) <= i:
                population.append((x.mean(1, keepdim=True), x.var(1, keepdim=True)))
            mean, var = population[i]
            x = (x - mean) / (var + 1e-5).sqrt()
        else:
            parts = x.reshape(self.count, -1, group or x.shape[1], x.shape[2])
            mean, var = parts.mean(2, keepdim=True), parts.var(2, keepdim=True, correction=0)
            x = ((parts - mean) / (var + 1e-5).sqrt()).reshape(x.shape)
        x = x * self.gammas[i] + self.betas[i]
        if self.plan.norm == "noisy BN" and population is None:
            x = self._disturbed(x)
        return x

    def _disturbed(self, x: torch.Tensor) -> torch.Tensor:
        """Every unit gets a shift and a factor, drawn anew at each call, and every image its own beside it."""
        import torch

        def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
            return low + (high - low) * torch.rand(shape, generator=self.noise)

        units = (self.count, 1, x.shape[2])
        shift = uniform(-0.5, 0.5, *units) + uniform(-0.1, 0.1, *x.shape)
        factor = uniform(1.0, 1.25, *units) + 0.1 * torch.randn(x.shape, generator=self.noise)
        return x * factor + shift

    def layers(
        self,
        x: torch.Tensor,
        group: int | None = None,
        population: list[Any] | None = None,
        weights: Sequence[torch.Tensor] | None = None,
    ) -> Iterator[torch.Tensor]:
        """What each hidden layer hands on, then the scores (networks, images, 10)."""
        from torch.nn import functional

        matrices = self.weights if weights is None else weights
        for i, w in enumerate(matrices):
            if self.plan.residual:
                x = x @ w if i == 0 else x + functional.relu(self.normalize(i - 1, x, group, population)) @ w
            else:
                x = functional.relu(self.normalize(i, x @ w, group, population))
            yield x
        yield x @ self.last + self.bias

    def loss(
        self, x: torch.Tensor, labels: torch.Tensor, weights: Sequence[torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Mean cross-entropy of each network (networks,), with the statistics of the batch."""
        from torch.nn import functional

        *_, scores = self.layers(x, self.plan.norm_batch, weights=weights)
        flat = functional.cross_entropy(scores.reshape(-1, 10), labels.flatten(), reduction="none")
        return flat.reshape(labels.shape).mean(1)

    def slopes(self, x: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        import torch

        return torch.autograd.grad(self.loss(x, labels).sum(), self.parameters)

    def step(self, slopes: Sequence[torch.Tensor]) -> None:
        """w ← w − η (gradient + λ w), λ for the hidden matrices alone."""
        import torch

        with torch.no_grad():
            for i, (p, slope) in enumerate(zip(self.parameters, slopes, strict=True)):
                decay = self.plan.decay if i < len(self.weights) else 0.0
                p.sub_(self.rates * (slope + decay * p))
            if self.plan.pinned:
                for w, length in zip(self.weights, self.lengths, strict=True):
                    w.mul_(length / w.norm(dim=1, keepdim=True))

    def grid(self, values: torch.Tensor) -> Array:
        """(networks,) → (seeds, rates)."""
        return values.detach().double().numpy().reshape(len(self.plan.seeds), len(self.plan.rates))


class Images:
    """Each seed's own images, standardized by those that train: (networks, images, pixels) and labels."""

    def __init__(self, plan: Plan) -> None:
        if plan.data == "digits":
            pictures, names = digits()
        else:
            parts = fashion()
            pictures, names = (np.concatenate([getattr(p, k) for p in parts]) for k in ("images", "labels"))
        self.plan = plan
        flat = pictures.reshape(len(pictures), -1)
        self.images, self.labels = [], []
        for seed in plan.seeds:
            taken = np.random.default_rng(10_000 + seed).permutation(len(flat))[: KNOWN + CHOSEN + TESTED]
            own = flat[taken]
            own = (own - own[:KNOWN].mean()) / own[:KNOWN].std()
            self.images.append(own.astype(np.float32))
            self.labels.append(names[taken])
        self.pixels = flat.shape[1]

    def fetch(self, index: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        x = np.stack([own[i] for own, i in zip(self.images, index, strict=True)])
        y = np.stack([own[i] for own, i in zip(self.labels, index, strict=True)])
        times = len(self.plan.rates)
        return torch.from_numpy(x).repeat_interleave(times, 0), torch.from_numpy(y).repeat_interleave(times, 0)

    def part(self, start: int, end: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.fetch([slice(start, end)] * len(self.images))

    def batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches without end, each pass in a new order; the order of a seed depends on the seed alone."""
        draws = [np.random.default_rng(20_000 + seed) for seed in self.plan.seeds]
        while True:
            orders = [own.permutation(KNOWN) for own in draws]
            for k in range(0, KNOWN - self.plan.batch + 1, self.plan.batch):
                yield self.fetch([order[k : k + self.plan.batch] for order in orders])


Watch = Callable[[int, Nets, Any, Any], None]


def fit(plan: Plan, watch: Watch | None = None) -> tuple[Nets, dict[str, Array]]:
    """Train; ``watch(step, nets, batch, slopes)`` looks in before each step.

    Returns the networks and, each (seeds, rates): ``validation``, ``test`` and ``train`` accuracy, and ``loss`` on the
    training images, all with population statistics.
    """
    import torch

    images = Images(plan)
    nets = Nets(plan, images.pixels)
    for step, batch in zip(range(plan.steps), images.batches(), strict=False):
        slopes = nets.slopes(*batch)
        if watch:
            watch(step, nets, batch, slopes)
        nets.step(slopes)
    found: dict[str, Array] = {}
    with torch.no_grad():
        population: list[Any] = []
        for name, (start, end) in {
            "train": (0, KNOWN),
            "validation": (KNOWN, KNOWN + CHOSEN),
            "test": (KNOWN + CHOSEN, KNOWN + CHOSEN + TESTED),
        }.items():
            x, y = images.part(start, end)
            *_, scores = nets.layers(x, population=population)
            found[name] = nets.grid((scores.argmax(-1) == y).double().mean(1))
            if name == "train":
                flat = torch.nn.functional.cross_entropy(scores.reshape(-1, 10), y.flatten(), reduction="none")
                found["loss"] = nets.grid(flat.reshape(y.shape).mean(1).nan_to_num(nan=99.0, posinf=99.0))
    return nets, found


def best_rate(validation: Array) -> int:
    """The rate with the highest mean accuracy on validation images; (seeds, rates)."""
    return int(validation.mean(0).argmax())


def tuned(plan: Plan) -> tuple[Plan, dict[str, Array]]:
    """The plan with its best rate alone, and the accuracies at all its rates."""
    _, found = fit(plan)
    return dataclasses.replace(plan, rates=(plan.rates[best_rate(found["validation"])],)), found


def _flat(slopes: Sequence[torch.Tensor]) -> torch.Tensor:
    """(networks, numbers): the matrices' gradients as one vector."""
    import torch

    return torch.cat([s.flatten(1) for s in slopes], 1)


def shift(
    data: Data, seeds: tuple[int, ...] = SEEDS, depth: int = 4, width: int = 48, rate: float = 0
) -> dict[str, Array]:
    """Internal covariate shift, for no norm, batch norm and batch norm with noise; rates chosen, or one for all.

    For each layer but the first: the gradient of its matrix at the weights of step t, and again when the layers
    *before it* have made their step.  ``cosine`` between the two and ``difference``, ‖g − g'‖ / ‖g‖, are means over
    layers and steps, (norms, seeds).  ``drift``: how far the mean of what enters a layer moves in a step, in standard
    deviations.  ``test`` and ``loss``: accuracy on test images and loss on the training images at the end.
    """
    import torch

    out: dict[str, list[Any]] = {k: [] for k in ("cosine", "difference", "drift", "test", "loss", "rate", "course")}
    for norm in ("none", "BN", "noisy BN"):
        plan = Plan(data, norm, (rate,) if rate else RATES, seeds, depth=depth, width=width)
        if not rate:
            plan, _ = tuned(plan)
        seen: dict[str, list[Any]] = {"cosine": [], "difference": [], "drift": []}

        def watch(step: int, nets: Nets, batch: Any, slopes: Any, seen: dict[str, list[Any]] = seen) -> None:
            if step % 10:
                return
            state = nets.noise.get_state()
            now = nets.weights
            after = [(w - nets.rates * g).detach() for w, g in zip(now, slopes[: len(now)], strict=True)]
            cosines, differences = [], []
            for i in range(1, len(now)):
                g = slopes[i].flatten(1)
                nets.noise.set_state(state)  # the same noise in both, for what the noise alone does is not the question
                again = torch.autograd.grad(nets.loss(*batch).sum(), now[i])[0].flatten(1)
                nets.noise.set_state(state)
                mixed = [*after[:i], *now[i:]]
                moved = torch.autograd.grad(nets.loss(batch[0], batch[1], mixed).sum(), now[i])[0].flatten(1)
                g = again
                cosines.append(torch.nn.functional.cosine_similarity(g, moved, dim=1))
                differences.append((g - moved).norm(dim=1) / g.norm(dim=1))
            with torch.no_grad():  # what enters the layers before and after the step; noise drawn anew
                before = list(nets.layers(batch[0], nets.plan.norm_batch))[:-2]
                later = list(nets.layers(batch[0], nets.plan.norm_batch, weights=after))[:-2]
                moves = [((b.mean(1) - a.mean(1)) ** 2 / (a.var(1) + 1e-3)).mean(1).sqrt()
                         for a, b in zip(before, later, strict=True)]  # fmt: skip
            seen["cosine"].append(nets.grid(torch.stack(cosines).mean(0))[:, 0])
            seen["difference"].append(nets.grid(torch.stack(differences).mean(0))[:, 0])
            seen["drift"].append(nets.grid(torch.stack(moves).mean(0))[:, 0])

        _, end = fit(plan, watch)
        for name, values in seen.items():
            out[name].append(np.mean(values, axis=0))
        out["course"].append(np.array(seen["cosine"]))
        out["test"].append(end["test"][:, 0])
        out["loss"].append(end["loss"][:, 0])
        out["rate"].append(plan.rates[0])
    return {name: np.array(values) for name, values in out.items()}


STRETCHES = (0.25, 0.5, 1.0, 2.0, 4.0)


def landscape(
    data: Data, seeds: tuple[int, ...] = SEEDS, depth: int = 4, width: int = 48, start: float = 1.0, rate: float = 0
) -> dict[str, Array]:
    """Loss and gradient along the step, for no norm and batch norm, at the rate that each chose for itself (or one).

    At every tenth step the networks go 1/4 to 4 times as far as their step of length η‖g‖.  ``loss`` at those
    distances less the loss at the start, ``agreement``: cosine of the gradient there with the one at the start;
    (norms, steps, distances, seeds).  ``beta`` (norms, steps, seeds): the largest ‖g' − g‖ / distance, the effective
    smoothness.  ``eta_beta`` = η·β, which has no unit.
    """
    import torch

    out: dict[str, list[Any]] = {k: [] for k in ("loss", "agreement", "beta", "eta_beta", "rate", "start", "test")}
    for norm in ("none", "BN"):
        plan = Plan(data, norm, (rate,) if rate else RATES, seeds, depth=depth, width=width)
        if not rate:
            plan, _ = tuned(plan)
        plan = dataclasses.replace(plan, start=start)
        seen: dict[str, list[Any]] = {k: [] for k in ("loss", "agreement", "beta", "eta_beta", "start")}

        def watch(step: int, nets: Nets, batch: Any, slopes: Any, seen: dict[str, list[Any]] = seen) -> None:
            if step % 10:
                return
            here, saved = _flat(slopes), [p.detach().clone() for p in nets.parameters]
            zero = nets.loss(*batch).detach()
            losses, cosines, rough = [], [], []
            for stretch in STRETCHES:
                with torch.no_grad():
                    for p, old, g in zip(nets.parameters, saved, slopes, strict=True):
                        p.copy_(old - stretch * nets.rates * g)
                there = nets.loss(*batch)
                new = _flat(torch.autograd.grad(there.sum(), nets.parameters))
                losses.append(nets.grid(there - zero)[:, 0])
                cosines.append(nets.grid(torch.nn.functional.cosine_similarity(here, new, dim=1))[:, 0])
                distance = stretch * nets.rates.flatten() * here.norm(dim=1)
                rough.append(nets.grid((new - here).norm(dim=1) / distance)[:, 0])
            with torch.no_grad():
                for p, old in zip(nets.parameters, saved, strict=True):
                    p.copy_(old)
            seen["loss"].append(losses)
            seen["agreement"].append(cosines)
            seen["beta"].append(np.max(rough, axis=0))
            seen["eta_beta"].append(np.max(rough, axis=0) * nets.plan.rates[0])
            seen["start"].append(nets.grid(zero)[:, 0])

        _, end = fit(plan, watch)
        for name, values in seen.items():
            out[name].append(np.array(values))
        out["rate"].append(plan.rates[0])
        out["test"].append(end["test"][:, 0])
    return {name: np.array(values) for name, values in out.items()}


WIDE = tuple(4.0**k for k in range(-3, 5))


def tolerance(data: Data, seeds: tuple[int, ...] = SEEDS, depth: int = 4, width: int = 48) -> dict[str, Array]:
    """Which learning rates train: no norm, batch norm, and batch norm whose weights may not grow.

    ``validation`` and ``test`` (3, seeds, rates); ``length`` (3, seeds, rates): mean length of a hidden unit's weights
    at the end over the one at the start.
    """
    kinds: tuple[tuple[Norm, bool], ...] = (("none", False), ("BN", False), ("BN", True))
    out: dict[str, list[Array]] = {"validation": [], "test": [], "length": []}
    for norm, pinned in kinds:
        nets, found = fit(Plan(data, norm, WIDE, seeds, depth=depth, width=width, pinned=pinned))
        grown = sum((w.detach().norm(dim=1, keepdim=True) / length).mean((1, 2))
                    for w, length in zip(nets.weights, nets.lengths, strict=True)) / depth  # fmt: skip
        out["validation"].append(found["validation"])
        out["test"].append(found["test"])
        out["length"].append(nets.grid(grown))
    return {name: np.array(values) for name, values in out.items()}


TURNS = ((0.2, 0.025), (0.2, 0.05), (0.4, 0.05))  # η, λ
STARTS = (0.3, 3.0)


def turning(data: Data, seeds: tuple[int, ...] = (0, 1, 2, 3), steps: int = 700) -> dict[str, Array]:
    """Weight decay against growth: the angle that a hidden unit's weights turn in a step, and their length.

    ``angle`` (settings, starts, seeds): root mean square over the units of the hidden layers and the last third of the
    steps.  ``length`` (settings, starts, checks, seeds): on the way.
    """
    import torch

    angles, lengths = [], []
    for eta, decay in TURNS:
        for start in STARTS:
            plan = Plan(data, "BN", (eta,), seeds, steps=steps, depth=2, width=32, decay=decay, start=start, batch=32,
                        norm_batch=32)  # fmt: skip
            squares: list[Array] = []
            course: list[Array] = []

            def watch(step: int, nets: Nets, batch: Any, slopes: Any, squares: list[Array] = squares,
                      course: list[Array] = course) -> None:  # fmt: skip
                if step % 40 == 0:
                    course.append(nets.grid(nets.weights[1].detach().norm(dim=1).mean(1))[:, 0])
                if step < 2 * nets.plan.steps // 3:
                    return
                with torch.no_grad():
                    w, g = nets.weights[1], slopes[1]
                    new = w - nets.rates * (g + nets.plan.decay * w)
                    cosine = (w * new).sum(1) / w.norm(dim=1) / new.norm(dim=1)
                    squares.append(nets.grid((cosine.clamp(-1, 1).double().arccos() ** 2).mean(1))[:, 0])

            fit(plan, watch)
            angles.append(np.sqrt(np.mean(squares, axis=0)))
            lengths.append(np.array(course))
    shape = (len(TURNS), len(STARTS))
    return {
        "angle": np.array(angles).reshape(*shape, len(seeds)),
        "length": np.array(lengths).reshape(*shape, -1, len(seeds)),
    }


BLOCKS = 10
SCALES = (0.0, 0.25, 1.0, 2.0)
BRANCH_RATES = tuple(4.0**k for k in range(-6, 2))


def residual(data: Data, seeds: tuple[int, ...] = SEEDS, blocks: int = BLOCKS, width: int = 48) -> dict[str, Array]:
    """Residual networks: variance by block at the start and after training, accuracy by the scale of the branches.

    ``variance`` (norms, 2, blocks + 1, seeds): between images, mean over units, at the start and after training at the
    best rate with scale 1, each over that of the stem.  ``stem`` (norms, seeds).  ``test``, ``rate`` and
    ``validation`` (norms, scales, …): each scale with its own best rate.
    """
    import torch

    variances, tests, chosen, at_edge = [], [], [], []
    for norm in ("none", "BN"):
        for scale in SCALES:
            plan = Plan(
                data, norm, BRANCH_RATES, seeds, depth=blocks + 1, width=width, residual=True, scale=scale, steps=100
            )
            nets, found = fit(plan)
            best = best_rate(found["validation"])
            tests.append(found["test"][:, best])
            chosen.append(plan.rates[best])
            at_edge.append(found["validation"].mean(0))
            if scale == 1.0:
                images = Images(plan)
                x, _ = images.part(0, KNOWN)
                for own in (Nets(plan, images.pixels), nets):
                    with torch.no_grad():
                        *hidden, _ = own.layers(x)
                    variances.append([own.grid(h.var(1).mean(1))[:, best] for h in hidden])
    count = len(SCALES)
    return {
        "variance": np.array(variances).reshape(2, 2, blocks + 1, len(seeds)),
        "test": np.array(tests).reshape(2, count, len(seeds)),
        "rate": np.array(chosen).reshape(2, count),
        "validation": np.array(at_edge).reshape(2, count, -1),
    }


GHOSTS = (4, 8, 16, 32, 128)


def ghosts(data: Data, seeds: tuple[int, ...] = tuple(range(8)), depth: int = 2, width: int = 48) -> dict[str, Array]:
    """Noise as a regularizer: the norm batch varies, the gradient batch stays at 128; each with its own best rate.

    ``train``, ``test`` and ``loss``: (norm batches, seeds); ``rate`` (norm batches,).
    """
    out: dict[str, list[Any]] = {"train": [], "test": [], "loss": [], "rate": []}
    for size in GHOSTS:
        plan = Plan(data, "BN", RATES[2:7], seeds, batch=128, norm_batch=size, depth=depth, width=width, steps=120)
        _, found = fit(plan)
        best = best_rate(found["validation"])
        for name in ("train", "test", "loss"):
            out[name].append(found[name][:, best])
        out["rate"].append(plan.rates[best])
    return {name: np.array(values) for name, values in out.items()}


EXPERIMENTS: dict[str, Callable[..., dict[str, Array]]] = {
    "shift": shift, "landscape": landscape, "tolerance": tolerance, "turning": turning, "residual": residual,
    "ghosts": ghosts,
}  # fmt: skip


def key(name: str, data: Data, options: dict[str, Any]) -> str:
    """A name that is the same only for the same code, question, data and versions."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    digest.update(json.dumps([name, data, options, version("numpy"), version("torch")]).encode())
    pictures = digits() if data == "digits" else fashion().train
    digest.update(pictures.images.tobytes() + pictures.labels.tobytes())
    return digest.hexdigest()[:20]


def measure(name: str, data: Data, cache: Path | None = CACHE, **options: Any) -> dict[str, Array]:
    """One experiment on one data set, from the cache if the same code has already run it."""
    file = cache / f"{key(name, data, options)}.npz" if cache else None
    if file and file.exists():
        with np.load(file) as saved:
            return {k: saved[k] for k in saved.files}
    with alone():
        found = EXPERIMENTS[name](data, **options)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(f".{os.getpid()}.tmp")
        with unfinished.open("wb") as out:
            np.savez_compressed(out, **found)  # type: ignore[arg-type]
        unfinished.replace(file)  # nobody ever reads half a file
    return found


def measure_all(cache: Path | None = CACHE) -> dict[str, dict[str, dict[str, Array]]]:
    """Every experiment on both data sets, in two processes: ``{experiment: {data: {name: array}}}``."""
    jobs = [
        (name, data) for name in ("residual", "ghosts", "turning", "tolerance", "shift", "landscape") for data in DATA
    ]
    missing = [job for job in jobs if cache is None or not (cache / f"{key(*job, {})}.npz").exists()]
    if missing:
        with ProcessPoolExecutor(min(len(missing), os.cpu_count() or 1), get_context("spawn")) as pool:
            done = {job: pool.submit(measure, *job, cache) for job in missing}
            fresh = {job: future.result() for job, future in done.items()}
    else:
        fresh = {}
    found: dict[str, dict[str, dict[str, Array]]] = {}
    for name, data in jobs:
        found.setdefault(name, {})[data] = fresh[name, data] if (name, data) in fresh else measure(name, data, cache)
    return found


__all__ = [
    "BLOCKS", "DATA", "GHOSTS", "RATES", "SCALES", "STARTS", "STRETCHES", "TURNS", "WIDE",
    "Images", "Nets", "Plan", "best_rate", "fit", "ghosts", "landscape", "measure", "measure_all", "residual", "shift",
    "tolerance", "turning",
]  # fmt: skip
