"""A training step of a ResNet-18 with the torch twins, beside the same net with torch's own norms: `make speed`.

Eager and compiled, one thread, processor time.  In each round both nets take one step, one after the other; the figure
is the median of the rounds' ratios.  Small nets show what each call costs, large ones what each number costs.

    python benchmarks/resnet.py                  eager, then compiled (which needs a C++ compiler, and a minute)
    python benchmarks/resnet.py --rounds 30      more is steadier
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn

from normcore import autograd

CASES = [(64, 64, 16), (32, 64, 8), (16, 32, 32)]  # channels of the first stage, size and number of images
LIMITS = {"eager": 1.5, "compiled": 1.0}
Norm = Callable[[int], nn.Module]


class Block(nn.Module):
    """Two convolutions with their norms beside a shortcut (He et al., CVPR 2016)."""

    def __init__(self, channels: int, out: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, out, 3, stride, 1, bias=False), norm(out), nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False), norm(out),
        )
        change = [nn.Conv2d(channels, out, 1, stride, bias=False), norm(out)] if channels != out else []
        self.shortcut = nn.Sequential(*change)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet18(width: int, norm: Norm) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, width, 7, 2, 3, bias=False), norm(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = width
    for stage in range(4):
        out = width << stage
        layers += [Block(channels, out, 1 if stage == 0 else 2, norm), Block(out, out, 1, norm)]
        channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def step(net: Callable[[Tensor], Tensor], parameters: list[nn.Parameter], x: Tensor, labels: Tensor) -> float:
    """The processor time of one forward and backward pass."""
    for p in parameters:
        p.grad = None
    start = time.process_time()
    nn.functional.cross_entropy(net(x), labels).backward()  # type: ignore[no-untyped-call]
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=12)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(f"ResNet-18, forward+backward\n{'':38}{'twins':>10}{'torch':>10}   ratio")
    for way in LIMITS if shutil.which("g++") else ["eager"]:
        for width, size, images in CASES[: 3 if way == "eager" else 1]:
            nets = [resnet18(width, norm) for norm in (autograd.BatchNorm, nn.BatchNorm2d)]
            run = [torch.compile(net) if way == "compiled" else net for net in nets]
            x, labels = torch.randn(images, 3, size, size), torch.arange(images) % 10
            parameters = [list(net.parameters()) for net in nets]
            for net, p in zip(run, parameters, strict=True):  # allocates, and compiles
                step(net, p, x, labels)
            times = [[step(net, p, x, labels) for net, p in zip(run, parameters, strict=True)] for _ in range(rounds)]
            ratio = median(mine / theirs for mine, theirs in times)
            shown = "".join(f"{1e3 * median(t):8.1f}ms" for t in zip(*times, strict=True))
            print(f"  {way:10}{f'{width} channels, {images} x {size}²':26}{shown}{ratio:8.2f}", flush=True)
        print(f"  {way}: wanted at most {LIMITS[way]} of the net with torch's own layers, run the same way")


if __name__ == "__main__":
    main()
