"""How much longer a training step takes under the observer: `python tests/benchmarks/overhead.py`.

Two LSTM layers (hidden 512, sequence 128, batch 32, CPU, one thread), Adam, a step that clips by itself. A pair is
some steps without the observer and as many with it, in turns; the median of five pairs counts, and the bar is 1.05.
What counts is the processor's time for this process: on a machine that others use as well, the clock on the wall
says more about them; its ratios are printed too. Every observed stretch starts anew, so that all of its
steps are among those whose directions are compared: later in a run it is one of thirteen.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

import clipcheck


def trainer(*, hidden: int = 512, length: int = 128, batch: int = 32) -> Callable[[], None]:
    """Give a function that takes one clipped step."""
    torch.manual_seed(0)
    net = nn.LSTM(64, hidden, num_layers=2, batch_first=True)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    inputs = torch.randn(batch, length, 64)

    def step() -> None:
        optimizer.zero_grad()
        outputs, _ = net(inputs)
        outputs.pow(2).sum().backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()

    return step


def seconds(step: Callable[[], None], steps: int) -> tuple[float, float]:
    """Give the processor's and the wall clock's time of some steps."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(steps):
        step()
    return time.process_time() - cpu, time.perf_counter() - wall


def ratios(pairs: int = 5, steps: int = 4) -> list[tuple[float, float]]:
    """Give, for each pair, the time of observed steps over that of bare ones: processor's, and wall clock's."""
    torch.set_num_threads(1)
    step = trainer()
    seconds(step, 2)
    found = []
    for pair in range(pairs):
        times: dict[bool, tuple[float, float]] = {}
        for observed in (False, True) if pair % 2 else (True, False):
            if observed:
                with clipcheck.watch() as run:
                    times[observed] = seconds(step, steps)
                assert run.verdict == "confirmed", run
            else:
                times[observed] = seconds(step, steps)
        found.append((times[True][0] / times[False][0], times[True][1] / times[False][1]))
    return found


def main() -> None:
    """Print the ratios and their median."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4)
    arguments = parser.parse_args()
    found = ratios(arguments.pairs, arguments.steps)
    for name, some in zip(("processor", "wall"), zip(*found, strict=True), strict=True):
        print(f"{name:9}  median {statistics.median(some):.3f}  of", " ".join(f"{one:.3f}" for one in some))


if __name__ == "__main__":
    main()
