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
import functools
import hashlib
import itertools
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from normbook.data import digits, fashion
from normbook.experiments import source
from normbook.experiments.bank import alone
from normbook.experiments.processes import processes

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[np.float64]
Norm = Literal["none", "BN", "noisy BN"]
Data = Literal["digits", "fashion"]
DATA: tuple[Data, ...] = get_args(Data)
#: The results of all experiments, made by ``python -m normbook.experiments.why`` (two minutes).
FILE = Path(__file__).with_name("why.npz")
_BOOK = Path(__file__).resolve().parents[2]  # where the package is not installed but lies in the book's repository
CACHE = _BOOK / ".cache" / "why" if (_BOOK / "_toc.yml").exists() else Path.home() / ".cache" / "normcore" / "why"

KNOWN, CHOSEN = 1000, 297  # images to train with, and to choose the rate with; 500 more for the test
TESTED = 500
SEEDS = tuple(range(6))
MORE_SEEDS = tuple(range(12))  # where six leave a sentence open that other seeds can turn
CHOOSERS = tuple(range(100, 106))  # seeds that choose the rates and are not reported
STEPS = 120
RATES = tuple(2.0**k for k in range(-4, 2))  # where a search begins


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything that decides the numbers of one set of networks; one network for each pair of seed and rate.

    Attributes
    ----------
    batch, norm_batch
        Over how many images the gradient averages, and over how many of them batch norm takes its statistics.
    residual
        x + scale · W relu(norm(x)) for all hidden layers but the first, in place of relu(norm(W x)).
    shrunk
        The sum of shortcut and branch is divided by √2: it keeps its size, and the branch is as large as the shortcut.
    scale
        Of a residual branch at the start.
    start
        All hidden weights are multiplied by this at the start (under batch norm: the same function).
    decay
        λ of weight decay on the hidden matrices: w ← w − η (gradient + λ w).
    pinned
        After each step each unit's weights get the length back that they had at the start.
    varied, fixed
        Which parameters learn at ``rates``: all, the ``"hidden"`` matrices, or the ``"last"`` ones (γ and β of the
        last norm, and the scores).  The rest learn at the rate ``fixed``.
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
    shrunk: bool = False
    scale: float = 1.0
    start: float = 1.0
    decay: float = 0.0
    pinned: bool = False
    varied: Literal["all", "hidden", "last"] = "all"
    fixed: float = 0.0

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
                mean = x.mean(1, keepdim=True)
                population.append((mean, (x - mean).square().sum(1, keepdim=True) / (x.shape[1] - 1)))
            mean, var = population[i]
            x = (x - mean) / (var + 1e-5).sqrt()
        else:
            parts = x.reshape(self.count, -1, group or x.shape[1], x.shape[2])
            centered = parts - parts.mean(2, keepdim=True)
            var = centered.square().mean(2, keepdim=True)  # half the time of torch's var and its gradient
            x = (centered / (var + 1e-5).sqrt()).reshape(x.shape)
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
                if self.plan.shrunk and i > 0:
                    x = x * math.sqrt(0.5)
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
                rates = self.rates if self.plan.varied in ("all", self.part(i)) else self.plan.fixed
                p.sub_(rates * (slope + decay * p))
            if self.plan.pinned:
                for w, length in zip(self.weights, self.lengths, strict=True):
                    w.mul_(length / w.norm(dim=1, keepdim=True))

    def part(self, i: int) -> str:
        """Of parameter i: a hidden matrix, γ or β with a norm behind them, or one of the last, with none."""
        norms = len(self.gammas)
        at = i - len(self.weights)
        return "hidden" if at < 0 else "inner" if at < 2 * norms and (at + 1) % norms else "last"

    def grown(self) -> torch.Tensor:
        """How long the weights of a hidden unit are over their first length, mean of all units: (networks,)."""
        import torch

        pairs = zip(self.weights, self.lengths, strict=True)
        ratios = [(w.detach().norm(dim=1, keepdim=True) / first).mean((1, 2)) for w, first in pairs]
        return torch.stack(ratios).mean(0)

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


def search(plan: Plan) -> Array:
    """The rates that were tried, ascending, and the mean validation accuracy of each: (rates, 2).

    It begins with the plan's rates, which are a constant factor apart.  As long as the best of them is the largest or
    the smallest, it goes on beyond.  The networks are those of ``CHOOSERS``.
    """

    return _search(dataclasses.replace(plan, seeds=CHOOSERS)).copy()


def rate_accuracy(plan: Plan) -> Array:
    """Mean validation accuracy at each rate of a plan: (rates,)."""
    mean: Array = fit(plan)[1]["validation"].mean(0)
    return mean


@functools.cache
def _search(plan: Plan) -> Array:
    def ask(rates: tuple[float, ...]) -> Array:
        return rate_accuracy(dataclasses.replace(plan, rates=rates))

    factor = plan.rates[1] / plan.rates[0]
    tried = dict(zip(plan.rates, ask(plan.rates), strict=True))
    while len(tried) < 40:
        rates = sorted(tried)
        best = max(rates, key=lambda rate: tried[rate])
        if best == rates[0]:
            more = (best / factor**2, best / factor)
        elif best == rates[-1]:
            more = (best * factor, best * factor**2)
        else:
            return np.array([[rate, tried[rate]] for rate in rates])
        tried |= dict(zip(more, ask(more), strict=True))
    raise ValueError(f"no best rate between {min(tried):g} and {max(tried):g}")


def best_rate(tried: Array) -> float:
    """The rate with the highest accuracy of those that ``search`` tried: never the first, never the last."""
    best = int(tried[:, 1].argmax())
    if not 0 < best < len(tried) - 1:
        raise ValueError(f"the best rate, {tried[best, 0]:g}, lies at the edge of those that were tried")
    return float(tried[best, 0])


def tuned(plan: Plan) -> tuple[Plan, Array]:
    """The plan with its best rate alone, and what the search tried."""
    tried = search(plan)
    return dataclasses.replace(plan, rates=(best_rate(tried),)), tried


def _flat(slopes: Sequence[torch.Tensor]) -> torch.Tensor:
    """(networks, numbers): the matrices' gradients as one vector."""
    import torch

    return torch.cat([s.flatten(1) for s in slopes], 1)


SHIFTS: tuple[tuple[str, Norm, bool], ...] = (  # name, norm, whether at the rate that is best without a norm
    ("none", "none", True),
    ("BN", "BN", False),
    ("noisy BN", "noisy BN", False),
    ("BN, rate of none", "BN", True),
    ("noisy BN, rate of none", "noisy BN", True),
)


def shift(data: Data, seeds: tuple[int, ...] = MORE_SEEDS, depth: int = 4, width: int = 48) -> dict[str, Array]:
    """Internal covariate shift without a norm, with batch norm, and with batch norm that is disturbed.

    For each layer but the first: the gradient of its matrix at the weights of step t, and again when the layers
    *before it* have made their step.  Each (arms of ``SHIFTS``, seeds), means over layers and steps:

    - ``cosine`` between the two gradients, ``difference``: ‖g − g'‖ / ‖g‖;
    - ``drift``: how far the mean of what enters a unit moves in a step, in standard deviations.

    ``test`` and ``loss``: accuracy on test images and loss on the training images at the end.  ``rate`` (arms,).
    ``course``: the cosine on the way, (arms, looks, seeds).  ``tried NORM``: the search.
    """
    import torch

    names = ("cosine", "difference", "drift", "course", "test", "loss", "rate")
    out: dict[str, list[Any]] = {name: [] for name in names}
    searches: dict[Norm, Array] = {}
    for _, norm, borrowed in SHIFTS:
        plan = Plan(data, norm, RATES, seeds, depth=depth, width=width)
        if norm not in searches:
            searches[norm] = search(plan)
        plan = dataclasses.replace(plan, rates=(best_rate(searches["none" if borrowed else norm]),))
        seen: dict[str, list[Any]] = {"cosine": [], "difference": [], "drift": []}

        def watch(step: int, nets: Nets, batch: Any, slopes: Any, seen: dict[str, list[Any]] = seen) -> None:
            if step % 10:
                return
            state = nets.noise.get_state()
            now = nets.weights
            after = [(w - nets.rates * g).detach() for w, g in zip(now, slopes[: len(now)], strict=True)]
            cosines, differences = [], []
            for i in range(1, len(now)):
                nets.noise.set_state(state)  # the same noise in both, for what the noise alone does is not the question
                g = torch.autograd.grad(nets.loss(*batch).sum(), now[i])[0].flatten(1)
                nets.noise.set_state(state)
                mixed = [*after[:i], *now[i:]]
                moved = torch.autograd.grad(nets.loss(batch[0], batch[1], mixed).sum(), now[i])[0].flatten(1)
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
    return _arrays(out) | {f"tried {norm}": tried for norm, tried in searches.items()}


def _arrays(lists: dict[str, list[Any]]) -> dict[str, Array]:
    return {name: np.array(values) for name, values in lists.items()}


STRETCHES = (0.25, 0.5, 1.0, 2.0, 4.0)
LANDSCAPES: tuple[tuple[str, Norm, bool], ...] = (
    ("none", "none", True),
    ("BN", "BN", False),
    ("BN, rate of none", "BN", True),
)
LONGER = (0.5, 1.0, 2.0, 4.0)
DEPTHS = (8, 12)


def landscape(data: Data, seeds: tuple[int, ...] = SEEDS, depth: int = 4, width: int = 48) -> dict[str, Array]:
    """Loss and gradient along the step, without a norm and with batch norm.

    At every tenth step the networks go 1/4 to 4 times as far as their step of length η‖g‖.  ``loss`` at those
    distances less the loss at the start, ``agreement``: cosine of the gradient there with the one at the start;
    (arms of ``LANDSCAPES``, looks, distances, seeds).  ``beta`` (arms, looks, seeds): the largest ‖g' − g‖ / distance,
    the effective smoothness.  ``scaled`` (``LONGER``, seeds): β of batch norm before the first step, when all hidden
    weights are multiplied by a number, which leaves the function as it is.  ``rate`` (arms,), ``tried NORM``.
    """
    out: dict[str, list[Any]] = {name: [] for name in ("loss", "agreement", "beta", "rate", "test")}
    searches: dict[Norm, Array] = {}
    for _, norm, borrowed in LANDSCAPES:
        plan = Plan(data, norm, RATES, seeds, depth=depth, width=width)
        if norm not in searches:
            searches[norm] = search(plan)
        plan = dataclasses.replace(plan, rates=(best_rate(searches["none" if borrowed else norm]),))
        seen, end = _looked(plan)
        for name, values in seen.items():
            out[name].append(values)
        out["rate"].append(plan.rates[0])
        out["test"].append(end["test"][:, 0])
    images, scaled = Images(dataclasses.replace(plan, rates=(1.0,))), []
    for factor in LONGER:  # a step as long, measured in the weights' own length
        nets = Nets(dataclasses.replace(plan, start=factor, rates=(plan.rates[0] * factor**2,)), images.pixels)
        batch = next(images.batches())
        scaled.append(_along(nets, batch, nets.slopes(*batch), hidden=True)["beta"])
    found = _arrays(out) | {"scaled": np.array(scaled)}
    return found | {f"tried {norm}": tried for norm, tried in searches.items()}


def deeper(
    data: Data, seeds: tuple[int, ...] = SEEDS, depths: tuple[int, ...] = DEPTHS, width: int = 48
) -> dict[str, Array]:
    """β of deeper networks without a norm and with batch norm, both at the rate that is best without a norm.

    ``beta`` (depths, 2, seeds): mean over the looks of `landscape`; ``test`` and ``length``, that of the hidden weights
    over their first, at the end, likewise; ``rate`` (depths,); ``tried DEPTH``: the search.
    """
    out: dict[str, list[Any]] = {"beta": [], "test": [], "length": [], "rate": []}
    searches = {}
    for depth in depths:
        plan, searches[f"tried {depth}"] = tuned(Plan(data, "none", RATES, seeds, depth=depth, width=width))
        found = [_looked(dataclasses.replace(plan, norm=norm)) for norm in ("none", "BN")]
        out["beta"].append([seen["beta"].mean(0) for seen, _ in found])
        for name in ("test", "length"):
            out[name].append([end[name][:, 0] for _, end in found])
        out["rate"].append(plan.rates[0])
    return _arrays(out) | searches


def _looked(plan: Plan) -> tuple[dict[str, Array], dict[str, Array]]:
    """What `_along` sees before every tenth step, with the looks first; and how the training ends."""
    seen: list[dict[str, Array]] = []

    def watch(step: int, nets: Nets, batch: Any, slopes: Any) -> None:
        if step % 10 == 0:
            seen.append(_along(nets, batch, slopes))

    nets, end = fit(plan, watch)
    end["length"] = nets.grid(nets.grown())
    return {name: np.array([look[name] for look in seen]) for name in seen[0]}, end


def _along(nets: Nets, batch: Any, slopes: Any, hidden: bool = False) -> dict[str, Array]:
    """Loss less the present one and agreement of the gradient, (distances, seeds), and β (seeds,) along a step.

    ``hidden``: along and for the hidden matrices alone.
    """
    import torch

    count = len(nets.weights) if hidden else len(nets.parameters)
    moved, slopes = nets.parameters[:count], slopes[:count]
    here, saved = _flat(slopes), [p.detach().clone() for p in moved]
    zero = nets.loss(*batch).detach()
    losses, cosines, rough = [], [], []
    for stretch in STRETCHES:
        with torch.no_grad():
            for p, old, g in zip(moved, saved, slopes, strict=True):
                p.copy_(old - stretch * nets.rates * g)
        there = nets.loss(*batch)
        new = _flat(torch.autograd.grad(there.sum(), moved))
        losses.append(nets.grid(there - zero)[:, 0])
        cosines.append(nets.grid(torch.nn.functional.cosine_similarity(here, new, dim=1))[:, 0])
        distance = stretch * nets.rates.flatten() * here.norm(dim=1)
        rough.append(nets.grid((new - here).norm(dim=1) / distance)[:, 0])
    with torch.no_grad():
        for p, old in zip(moved, saved, strict=True):
            p.copy_(old)
    return {"loss": np.array(losses), "agreement": np.array(cosines), "beta": np.max(rough, axis=0)}


TOLERATED: tuple[tuple[str, Norm], ...] = (("none", "none"), ("BN", "BN"))
WIDE = tuple(2.0**k for k in range(-3, 5))


def tolerance(data: Data, seeds: tuple[int, ...] = SEEDS, depth: int = 4, width: int = 48) -> dict[str, Array]:
    """How networks without a norm and with batch norm train at rates a factor of two apart.

    ``test`` (``TOLERATED``, seeds, rates of ``WIDE``); ``length``: mean length of a hidden unit's weights over the one
    at the start, (kinds, looks, seeds, rates), and ``course``: the loss on the batch, at every fifth step.
    """
    out: dict[str, list[Array]] = {"test": [], "course": [], "length": []}
    for _, norm in TOLERATED:
        seen: dict[str, list[Array]] = {"course": [], "length": []}

        def watch(step: int, nets: Nets, batch: Any, slopes: Any, seen: dict[str, list[Any]] = seen) -> None:
            if step % 5 == 0:
                seen["course"].append(nets.grid(nets.loss(*batch)))
                seen["length"].append(nets.grid(nets.grown()))

        _, found = fit(Plan(data, norm, WIDE, seeds, depth=depth, width=width), watch)
        out["test"].append(found["test"])
        for name, values in seen.items():
            out[name].append(np.array(values))
    return _arrays(out)


KINDS: tuple[tuple[str, Norm, bool, float, tuple[float, ...]], ...] = (  # name, norm, pinned, start, rates
    ("none", "none", False, 1.0, tuple(2 ** (k / 2) for k in range(-6, 2))),
    ("BN", "BN", False, 1.0, tuple(2 ** (k / 4) for k in range(5, 12))),
    ("BN, pinned", "BN", True, 1.0, tuple(2 ** (k / 4) for k in range(2, 11))),
    ("BN, short", "BN", False, 0.25, tuple(2.0**k for k in range(4))),
    ("BN, short, pinned", "BN", True, 0.25, tuple(2.0**k for k in range(-3, 2))),
)
# The accuracy from which on a rate is called usable: the one of the verdict, and two to compare with.
GOOD: dict[Data, tuple[float, ...]] = {"digits": (0.8, 0.6, 0.9), "fashion": (0.6, 0.4, 0.5)}


def edges(data: Data, seeds: tuple[int, ...] = MORE_SEEDS, depth: int = 4, width: int = 48) -> dict[str, Array]:
    """Up to which learning rate networks train: no norm, batch norm, and batch norm whose weights may not grow.

    "Short": the hidden weights begin with a quarter of He's length.  For each of ``KINDS``: ``rates NAME`` and
    ``test NAME`` (seeds, rates), the accuracy on test images.
    """
    out: dict[str, Array] = {}
    for name, norm, pinned, start, rates in KINDS:
        _, found = fit(Plan(data, norm, rates, seeds, depth=depth, width=width, pinned=pinned, start=start))
        out |= {f"rates {name}": np.array(rates), f"test {name}": found["test"]}
    return out


def edge(test: Array, rates: Array, good: float) -> Array:
    """(seeds, rates) → (seeds,): the rate, in the middle of its gap, at which a rising rate first is not usable.

    Before it at least one rate has to be usable; nan where none is, or where all are.
    """
    usable = test >= good
    first = usable.argmax(-1)
    fails = ~usable & (np.arange(len(rates)) > first[:, None])
    inside = usable.any(-1) & fails.any(-1)
    found: Array = np.where(inside, np.sqrt(rates[fails.argmax(-1)] * rates[fails.argmax(-1) - 1]), np.nan)
    return found


APART: tuple[tuple[str, Literal["hidden", "last"], bool, tuple[float, ...]], ...] = (  # name, varied, pinned, rates
    ("last", "last", False, (2.0, 4.0, 8.0, 16.0)),
    ("hidden, pinned", "hidden", True, (4.0, 8.0, 16.0, 32.0, 64.0)),
    ("hidden", "hidden", False, (0.0, 2.0**8)),  # 0: they never learn
)


def apart(data: Data, seeds: tuple[int, ...] = MORE_SEEDS, depth: int = 4, width: int = 48) -> dict[str, Array]:
    """Up to which rate batch norm's networks train when only a part of their parameters learns at it.

    The hidden matrices have a norm behind them, so a large step makes them longer; γ and β of the last norm and the
    scores have none.  The rest learns at the rate that is best for all (``rate``).  For each of ``APART``:
    ``rates NAME`` and ``test NAME`` (seeds, rates), the accuracy on test images.
    """
    plan = Plan(data, "BN", seeds=seeds, depth=depth, width=width)
    best = best_rate(search(plan))
    out: dict[str, Array] = {"rate": np.array([best])}
    for name, varied, pinned, rates in APART:
        _, found = fit(dataclasses.replace(plan, rates=rates, varied=varied, fixed=best, pinned=pinned))
        out |= {f"rates {name}": np.array(rates), f"test {name}": found["test"]}
    return out


TURNS: dict[float, tuple[float, ...]] = {0.05: (0.1, 0.2, 0.4), 0.0125: (0.4, 0.8)}  # λ: η
STARTS = (0.3, 3.0)


def turning(data: Data, seeds: tuple[int, ...] = (0, 1, 2, 3), steps: int = 700) -> dict[str, Array]:
    """Weight decay against growth: the angle that a hidden unit's weights turn in a step, and their length.

    For each λ: ``angle λ`` (starts, seeds, rates): root mean square over the units of the second hidden layer and the
    last third of the steps.  ``turn λ`` and ``length λ`` (starts, looks, seeds, rates): angle and length on the way,
    a look every ten steps.
    """
    import torch

    out: dict[str, Array] = {}
    for decay, rates in TURNS.items():
        squares: dict[float, list[Array]] = {start: [] for start in STARTS}
        lengths: dict[float, list[Array]] = {start: [] for start in STARTS}
        for start in STARTS:
            plan = Plan(data, "BN", rates, seeds, steps=steps, depth=2, width=32, decay=decay, start=start, batch=32,
                        norm_batch=32)  # fmt: skip

            def watch(step: int, nets: Nets, batch: Any, slopes: Any, start: float = start,
                      squares: dict[float, list[Array]] = squares,
                      lengths: dict[float, list[Array]] = lengths) -> None:  # fmt: skip
                late = step >= 2 * nets.plan.steps // 3
                if not late and step % 10:
                    return
                with torch.no_grad():
                    w, g = nets.weights[1], slopes[1]
                    new = w - nets.rates * (g + nets.plan.decay * w)
                    cosine = (w * new).sum(1) / w.norm(dim=1) / new.norm(dim=1)
                    squares[start].append(nets.grid((cosine.clamp(-1, 1).double().arccos() ** 2).mean(1)))
                    if step % 10 == 0:
                        lengths[start].append(nets.grid(w.norm(dim=1).mean(1)))

            fit(plan, watch)
        before = len(range(0, 2 * steps // 3, 10))  # looks before the last third; then every step is one
        out[f"angle {decay:g}"] = np.array([np.sqrt(np.mean(squares[s][before:], axis=0)) for s in STARTS])
        out[f"turn {decay:g}"] = np.sqrt([[*squares[s][:before], *squares[s][before::10]] for s in STARTS])
        out[f"length {decay:g}"] = np.array([lengths[s] for s in STARTS])
    return out


BLOCKS = 10
BRANCHES: tuple[tuple[str, Norm, float, bool], ...] = (  # name, norm, scale at the start, divided by √2
    ("none 0", "none", 0.0, False),
    ("none 0.25", "none", 0.25, False),
    ("none 0.5", "none", 0.5, False),
    ("none 1", "none", 1.0, False),
    ("shrunk", "none", 1.0, True),
    ("BN 1", "BN", 1.0, False),
    ("BN shrunk", "BN", 1.0, True),
)
BRANCH_RATES = tuple(2.0**k for k in range(-5, 0))


def residual(
    data: Data, seeds: tuple[int, ...] = tuple(range(24)), blocks: int = BLOCKS, width: int = 48
) -> dict[str, Array]:
    """Residual networks: variance by block at the start and after training, accuracy by the scale of the branches.

    ``test`` (arms of ``BRANCHES``, seeds) and ``rate`` (arms,): each arm at its own best rate.  ``variance NAME``
    (2, blocks + 1, seeds): between images, mean over units, at the start and after training, for the arms of scale 1.
    ``size`` (arms, seeds): root mean square behind the last block over that before the first, at the start.
    ``tried NAME``: the search.
    """
    import torch

    out: dict[str, list[Any]] = {"test": [], "train": [], "rate": [], "size": []}
    more: dict[str, Array] = {}
    for name, norm, scale, shrunk in BRANCHES:
        plan = Plan(data, norm, BRANCH_RATES, seeds, depth=blocks + 1, width=width, residual=True, shrunk=shrunk,
                    scale=scale, steps=100)  # fmt: skip
        plan, more[f"tried {name}"] = tuned(plan)
        nets, found = fit(plan)
        for what in ("test", "train"):
            out[what].append(found[what][:, 0])
        out["rate"].append(plan.rates[0])
        images = Images(plan)
        x, _ = images.part(0, KNOWN)
        with torch.no_grad():
            at_start, at_end = (list(own.layers(x))[:-1] for own in (Nets(plan, images.pixels), nets))
        first, last = (nets.grid(h.square().mean((1, 2)))[:, 0] for h in (at_start[0], at_start[-1]))
        out["size"].append(np.sqrt(last / first))
        if scale == 1.0:
            courses = [[nets.grid(h.var(1).mean(1))[:, 0] for h in hidden] for hidden in (at_start, at_end)]
            more[f"variance {name}"] = np.array(courses)
    return _arrays(out) | more


def growth(correlation: float, blocks: int) -> Array:
    """Variance between images after each block without a norm, over the one before the first: (blocks + 1,).

    For wide residual networks of He's start (Cho & Saul, 2009).  With second moment q and mean product c of two images
    in a unit, correlation ρ = c/q, a branch adds q to q and q·κ(ρ) to c, with
    κ(ρ) = (√(1 − ρ²) + ρ (π − arccos ρ)) / π.  The variance between images is q − c.
    """
    q, c, out = 1.0, correlation, [1 - correlation]
    for _ in range(blocks):
        rho = c / q
        kappa = (math.sqrt(1 - rho**2) + rho * (math.pi - math.acos(rho))) / math.pi
        q, c = 2 * q, c + q * kappa
        out.append(q - c)
    return np.array(out) / out[0]


GHOSTS = (4, 16, 128)
GHOST_RATES = (1, 2)  # of the best one
GHOST_LOOKS = (*range(0, 60, 5), *range(60, 241, 15))  # before these steps


def ghosts(data: Data, seeds: tuple[int, ...] = tuple(range(20)), depth: int = 2, width: int = 48) -> dict[str, Array]:
    """Noise as a regularizer: the norm batch varies; rate, images and gradient batch of 128 stay.

    ``train``, ``test``, ``loss`` and ``new``, the loss on test images: (``GHOST_RATES``, norm batches, ``GHOST_LOOKS``,
    seeds).  ``rate`` (1,), the best of norm batch 32; ``tried``.
    """
    import torch

    base = Plan(data, "BN", RATES[1:], seeds, batch=128, norm_batch=32, depth=depth, width=width, steps=60)
    tried = search(base)
    rates = tuple(times * best_rate(tried) for times in GHOST_RATES)
    out: dict[str, list[Any]] = {name: [] for name in ("train", "test", "loss", "new")}
    for size in GHOSTS:
        plan = dataclasses.replace(base, rates=rates, norm_batch=size, steps=GHOST_LOOKS[-1] + 1)
        images = Images(plan)
        parts = (images.part(0, KNOWN), images.part(KNOWN + CHOSEN, KNOWN + CHOSEN + TESTED))
        seen: dict[str, list[Any]] = {name: [] for name in out}

        def watch(step: int, nets: Nets, batch: Any, slopes: Any, parts: Any = parts,
                  seen: dict[str, list[Any]] = seen) -> None:  # fmt: skip
            if step not in GHOST_LOOKS:
                return
            population: list[Any] = []
            with torch.no_grad():
                for (x, y), right, loss in zip(parts, ("train", "test"), ("loss", "new"), strict=True):
                    *_, scores = nets.layers(x, population=population)
                    seen[right].append(nets.grid((scores.argmax(-1) == y).double().mean(1)))
                    flat = torch.nn.functional.cross_entropy(scores.reshape(-1, 10), y.flatten(), reduction="none")
                    seen[loss].append(nets.grid(flat.reshape(y.shape).mean(1)))

        fit(plan, watch)
        for name, values in seen.items():
            out[name].append(values)
    by_rate = {name: np.moveaxis(np.array(values), -1, 0) for name, values in out.items()}
    return by_rate | {"rate": np.array([best_rate(tried)]), "tried": tried}


def common_fit(loss: Array) -> float:
    """The lowest loss that every network reaches; (norm batches, looks, seeds)."""
    return float(loss.min(axis=1).max())


def at_fit(course: Array, loss: Array, level: float) -> Array:
    """What a course (looks, seeds) is where the loss first falls to a level, between two looks: (seeds,).

    The first look is at the untrained network, and the way from there to the second is no straight line: a level that
    is reached on it is refused.
    """
    out = []
    for own, falling in zip(course.T, loss.T, strict=True):
        k = int((falling <= level).argmax())
        if falling[k] > level:
            raise ValueError(f"the loss never falls to {level}: it ends at {falling[-1]:.3f}")
        if k < 2:
            raise ValueError(f"the loss falls to {level} before the second look")
        share = (falling[k - 1] - level) / (falling[k - 1] - falling[k])
        out.append(own[k - 1] + share * (own[k] - own[k - 1]))
    return np.array(out)


EXPERIMENTS: dict[str, Callable[..., dict[str, Array]]] = {
    "shift": shift, "landscape": landscape, "deeper": deeper, "tolerance": tolerance, "edges": edges,
    "apart": apart, "turning": turning, "residual": residual, "ghosts": ghosts,
}  # fmt: skip


def key(name: str, data: Data, options: dict[str, Any]) -> str:
    """A name that is the same only for the same code, question, data and versions."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    digest.update(json.dumps([name, data, options, version("numpy"), version("torch")]).encode())
    pictures = digits() if data == "digits" else fashion().train
    digest.update(pictures.images.tobytes() + pictures.labels.tobytes())
    return digest.hexdigest()[:20]


ANEW = ("tolerance", "turning")  # what the book measures anew while it is built; of the others a test measures one


@functools.cache
def shipped() -> dict[tuple[str, Data], dict[str, Array]]:
    """The results that come with the package, {(experiment, data): {name: array}}; none, if of other code or data."""
    with np.load(FILE) as saved:
        if (saved["code"], saved["data"]) != (source.code(__file__), source.data()):
            return {}
        found: dict[tuple[str, Data], dict[str, Array]] = {(name, data): {} for name in EXPERIMENTS for data in DATA}
        for (name, data), arrays in found.items():
            for entry in saved.files:
                if entry.startswith(f"{name}/{data}/"):
                    arrays[entry.split("/", 2)[2]] = saved[entry].astype(float)
        return found


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


Found = dict[str, dict[Data, dict[str, Array]]]


def _measure_data(data: Data, cache: Path | None, names: tuple[str, ...]) -> dict[str, dict[str, Array]]:
    return {name: measure(name, data, cache) for name in names}


def measure_all(cache: Path | None = CACHE, names: tuple[str, ...] = tuple(EXPERIMENTS)) -> Found:
    """These experiments on both data sets, one process for each: ``{experiment: {data: {name: array}}}``."""
    known = cache is not None and all(
        (cache / f"{key(name, data, {})}.npz").exists() for name in names for data in DATA
    )
    if known:
        found = {data: _measure_data(data, cache, names) for data in DATA}
    else:
        with processes(min(len(DATA), os.cpu_count() or 1)) as pool:
            each = pool.map(_measure_data, DATA, [cache] * len(DATA), [names] * len(DATA))
            found = dict(zip(DATA, each, strict=True))
    return {name: {data: found[data][name] for data in DATA} for name in names}


def reported(own: Found) -> Found:
    """``own`` and the results that come with the package, which are those of this code; else all is measured."""
    missing = tuple(name for name in EXPERIMENTS if name not in own)
    if kept := shipped():
        others = {name: {data: kept[name, data] for data in DATA} for name in missing}
    else:
        others = measure_all(names=missing)
    return {name: (own | others)[name] for name in EXPERIMENTS}


def agree(own: Found) -> tuple[int, int]:
    """How many arrays of ``own`` are those of the package's file, to the last digit that it keeps, and of how many."""
    kept = shipped()
    same = [
        (name, data) in kept and np.array_equal(_single(array), kept[name, data][key], equal_nan=True)
        for name, both in own.items() for data, arrays in both.items() for key, array in arrays.items()
    ]  # fmt: skip
    return sum(same), len(same)


def _single(array: Array) -> Array:
    """As the file keeps it: long ones in single precision, half as long."""
    return array.astype(np.float32).astype(float) if array.size > 100 else array


def main() -> None:
    """Measure everything anew and write the file that comes with the package."""
    arrays = {
        f"{name}/{data}/{key}": array.astype(np.float32) if array.size > 100 else array
        for name, both in measure_all(None).items() for data, found in both.items() for key, array in found.items()
    }  # fmt: skip
    head = {"code": np.array(source.code(__file__)), "data": np.array(source.data())}
    np.savez_compressed(FILE, **head, **arrays)  # type: ignore[arg-type]


__all__ = [
    "ANEW", "APART", "BLOCKS", "BRANCHES", "CHOOSERS", "DATA", "DEPTHS", "GHOSTS", "GHOST_LOOKS", "GHOST_RATES",
    "GOOD", "KINDS", "LANDSCAPES", "LONGER", "MORE_SEEDS", "RATES", "SEEDS", "SHIFTS", "STARTS", "STRETCHES",
    "TOLERATED", "TURNS", "WIDE", "Images", "Nets", "Plan", "agree", "apart", "at_fit", "best_rate", "common_fit",
    "deeper", "edge", "edges", "fit", "ghosts", "growth", "landscape", "measure", "measure_all", "rate_accuracy",
    "reported", "residual", "search", "shift", "shipped", "tolerance", "tuned", "turning",
]  # fmt: skip


if __name__ == "__main__":
    main()
