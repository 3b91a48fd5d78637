"""Small trained networks that several chapters look into; their weights come with the package.

Six convolutions of 3×3 with 16 channels, each followed by a norm and a ReLU, then ten scores: trained on the digits
and on Fashion-MNIST (14×14), without a norm, with batch norm and with instance norm, three seeds each.  The weights are
kept as float16, and the network *is* the one with these rounded weights.  ``python -m normbook.experiments.trained``
trains all of them anew and writes the file.

Looking into a network needs only NumPy and ``normcore``; torch is needed to train and for :meth:`Trained.module`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from normbook.data import Labeled
from normbook.experiments.bank import Bank, Job, Pictures, alone, fit, split
from normcore import batch_norm, batch_norm_inference, instance_norm

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[np.float32]
Data = Literal["digits", "fashion"]
Norm = Literal["none", "BN", "IN"]
NORMS: tuple[Norm, ...] = ("none", "BN", "IN")
SEEDS = (0, 1, 2)
#: The weights, and the SHA-256 of their file.
FILE = Path(__file__).with_name("trained.npz")
SHA256 = "8ad0296680347f9be38c98297a7b2e0265f7f291a6620684c8ab2ec7ed386a08"


def job(data: Data, norm: Norm) -> Job:
    """How the three networks of one kind are trained: 32 images a step, momentum 0.9, the rate falls along a cosine."""
    rate = 0.01 if norm == "none" else 0.03
    if data == "digits":  # 40 passes over 1,000 images
        return Job(
            "digits", norm, (rate,), SEEDS, 40_000, known=1000, chosen=297, tested=500, strides=(1, 1, 2, 1, 1, 1)
        )
    return Job("fashion", norm, (rate,), SEEDS, 64_000, strides=(1, 2, 1, 1, 2, 1))  # 10 passes over 6,400


class Layer(NamedTuple):
    """What one layer makes of a batch, each (N, channels, height, width): behind convolution, norm and ReLU."""

    convolved: Array
    normalized: Array
    output: Array


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained network.

    ``weights``, ``gamma``, ``beta``, ``running_mean`` and ``running_var`` have one entry for each convolution: weights
    (16, inputs, 3, 3), the others (16,).  Without a norm, ``beta`` is the bias and ``gamma`` is one.  ``last``
    (10, 16, height, width) and ``bias`` (10,) make the scores.  ``running_var`` is unbiased, as torch stores it.
    """

    data: Data
    norm: Norm
    seed: int
    weights: tuple[Array, ...]
    gamma: tuple[Array, ...]
    beta: tuple[Array, ...]
    running_mean: tuple[Array, ...]
    running_var: tuple[Array, ...]
    last: Array
    bias: Array

    @property
    def strides(self) -> tuple[int, ...]:
        return job(self.data, self.norm).strides

    def part(self, name: Literal["known", "chosen", "tested"]) -> Labeled:
        """Images and labels that it was trained with (``"known"``), that it never saw (``"tested"``), or neither.

        The images are standardized as in training: (n, 1, height, width), float32.
        """
        own = dataclasses.replace(job(self.data, self.norm), seeds=(self.seed,))
        (images,), (labels,), (parts,) = split(own)
        index = parts[("known", "chosen", "tested").index(name)]
        return Labeled(images[index][:, None], labels[index])  # type: ignore[arg-type]

    def layers(self, x: npt.ArrayLike, training: bool = False, group: int = 0) -> list[Layer]:
        """The six layers, one after the other.

        ``training`` takes batch norm's statistics from this very batch, or, with ``group``, from groups of so many of
        its images: image k is in group k modulo the number of groups.
        """
        out = np.asarray(x, dtype=np.float32)
        if group and len(out) % group:
            raise ValueError(f"{len(out)} images do not divide into groups of {group}")
        made = []
        for i, (w, stride) in enumerate(zip(self.weights, self.strides, strict=True)):
            convolved = convolve(out, w, stride)
            gamma, beta = self.gamma[i], self.beta[i]
            if self.norm == "none":
                normalized = convolved + beta[:, None, None]
            elif self.norm == "IN":
                normalized = instance_norm(convolved, gamma, beta)[0]
            elif training:
                groups = len(out) // (group or len(out))
                view = convolved.reshape(-1, groups * len(w), *convolved.shape[2:])  # a group's channels: its own
                normalized = batch_norm(view, np.tile(gamma, groups), np.tile(beta, groups))[0].reshape(convolved.shape)
            else:
                normalized = batch_norm_inference(convolved, self.running_mean[i], self.running_var[i], gamma, beta)
            out = np.maximum(normalized, 0)
            made.append(Layer(convolved, normalized, out))
        return made

    def scores(self, x: npt.ArrayLike, training: bool = False, group: int = 0) -> Array:
        """(N, 1, height, width) → (N, 10)."""
        top = self.layers(x, training, group)[-1].output
        scores: Array = np.tensordot(top, self.last, axes=([1, 2, 3], [1, 2, 3])) + self.bias
        return scores

    def module(self) -> torch.nn.Sequential:
        """The same network in torch's layers, in evaluation mode."""
        from torch import nn

        stack: list[nn.Module] = []
        for i, (w, stride) in enumerate(zip(self.weights, self.strides, strict=True)):
            convolution = nn.Conv2d(w.shape[1], len(w), 3, stride, 1, bias=self.norm == "none")
            state = {"weight": w}
            if self.norm == "none":
                state["bias"] = self.beta[i]
            _load(convolution, state)
            stack.append(convolution)
            state = {"weight": self.gamma[i], "bias": self.beta[i]}
            if self.norm == "BN":
                norm: nn.Module = nn.BatchNorm2d(len(w))
                _load(norm, state | {"running_mean": self.running_mean[i], "running_var": self.running_var[i]})
                stack.append(norm)
            elif self.norm == "IN":
                norm = nn.InstanceNorm2d(len(w), affine=True)
                _load(norm, state)
                stack.append(norm)
            stack.append(nn.ReLU())
        scores = nn.Conv2d(self.last.shape[1], 10, self.last.shape[2])
        _load(scores, {"weight": self.last, "bias": self.bias})
        return nn.Sequential(*stack, scores, nn.Flatten()).eval()


def _load(layer: torch.nn.Module, arrays: dict[str, Array]) -> None:
    import torch

    layer.load_state_dict({name: torch.from_numpy(a.copy()) for name, a in arrays.items()}, strict=False)


def convolve(x: Array, w: Array, stride: int = 1) -> Array:
    """A convolution with padding 1, as torch's: (N, C, H, W) by (D, C, 3, 3) → (N, D, H', W')."""
    n, channels, height, width = x.shape
    rows, columns = -(-height // stride), -(-width // stride)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    near = np.empty((n, channels, 3, 3, rows, columns), x.dtype)
    for i in range(3):
        for j in range(3):
            near[:, :, i, j] = padded[:, :, i : i + height : stride, j : j + width : stride]
    # small products, image by image: a single large one keeps all cores of a machine busy with waiting
    y: Array = w.reshape(len(w), -1) @ near.reshape(n, -1, rows * columns)
    return y.reshape(n, len(w), rows, columns)


def network(data: Data, norm: Norm, seed: int = 0) -> Trained:
    """The trained network of a data set, a norm (``"none"``, ``"BN"``, ``"IN"``) and a seed (0, 1, 2).

    >>> net = network("fashion", "BN")
    >>> images, labels = net.part("tested")
    >>> float(np.mean(net.scores(images[:500]).argmax(axis=1) == labels[:500])) > 0.8
    True
    """
    if data not in ("digits", "fashion") or norm not in NORMS or seed not in SEEDS:
        raise ValueError(
            f"no network {data!r}, {norm!r}, seed {seed}: want 'digits' or 'fashion', one of {', '.join(NORMS)}, "
            f"and a seed from 0 to {SEEDS[-1]}"
        )
    arrays, prefix = _file(), f"{data} {norm} "
    own = {
        name.removeprefix(prefix): values[seed].astype(np.float32)
        for name, values in arrays.items()
        if name.startswith(prefix)
    }

    def stack(name: str) -> tuple[Array, ...]:
        return tuple(own[f"{name} {i}"] for i in range(len(job(data, norm).strides)))

    weights, gamma, beta = stack("weights"), stack("gamma"), stack("beta")
    running_mean, running_var = stack("running_mean"), stack("running_var")
    return Trained(data, norm, seed, weights, gamma, beta, running_mean, running_var, own["last"], own["bias"])


@functools.cache
def _file() -> dict[str, npt.NDArray[np.float16]]:
    packed = FILE.read_bytes()
    if hashlib.sha256(packed).hexdigest() != SHA256:
        raise ValueError(f"{FILE.name} is damaged: its SHA-256 is not {SHA256}")
    with np.load(io.BytesIO(packed)) as saved:
        return {name: saved[name] for name in saved.files}


def make(data: Data, norm: Norm) -> dict[str, npt.NDArray[np.float16]]:
    """Train the three networks of one kind: their arrays in the file, each with a first axis of seeds."""
    own = job(data, norm)
    with alone():
        bank, _ = fit(own, Pictures(own))
    return {f"{data} {norm} {name}": values for name, values in _arrays(bank).items()}


def _arrays(bank: Bank) -> dict[str, npt.NDArray[np.float16]]:
    found = {"last": bank.last, "bias": bank.bias}
    for i in range(len(bank.weights)):
        found |= {
            f"weights {i}": bank.weights[i],
            f"gamma {i}": bank.gammas[i],
            f"beta {i}": bank.betas[i],
            f"running_mean {i}": bank.running_means[i],
            f"running_var {i}": bank.running_vars[i],
        }
    return {
        name: values.detach().numpy().astype(np.float16).reshape(bank.count, -1, *values.shape[1:])
        for name, values in found.items()
    }


def main() -> None:
    """Train everything, write the file, print its SHA-256 and the test accuracies."""
    import torch

    global SHA256
    kinds: list[tuple[Data, Norm]] = [(data, norm) for data in get_args(Data) for norm in NORMS]
    arrays: dict[str, Any] = {}
    for data, norm in kinds:
        arrays |= make(data, norm)
    np.savez_compressed(FILE, **arrays)
    SHA256 = hashlib.sha256(FILE.read_bytes()).hexdigest()
    print(FILE.name, SHA256)
    for data, norm in kinds:
        right = []
        for seed in SEEDS:
            net = network(data, norm, seed)
            images, labels = net.part("tested")
            with torch.no_grad():
                guess = net.module()(torch.from_numpy(images)).argmax(1).numpy()
            right.append(f"{100 * np.mean(guess == labels):.1f}%")
        print(data, norm, *right)


if __name__ == "__main__":
    main()
