"""Mistakes planted in gradients: how many the check finds, and how many right gradients it rejects.

    python benchmarks/gradient_power.py            `make gradient-power`
    python benchmarks/gradient_power.py --seeds 3  each kind of input three times
"""

from __future__ import annotations

import argparse

from normbook.experiments.gradient_power import MISTAKES, RIGHT, score


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=1)
    table = score(parser.parse_args().seeds)
    print(f"{len(MISTAKES)} mistakes, {len(RIGHT)} right implementations, {len(table)} kinds of input")
    print(f"{'':30}{'with reference':>16}{'without':>14}{'false alarms':>16}")
    for kind, (a, b, c, d, e, f) in table.items():
        print(f"{kind:30}{f'{a} of {b}':>16}{f'{c} of {d}':>14}{f'{e} of {f}':>16}")


if __name__ == "__main__":
    main()
