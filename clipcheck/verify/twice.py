"""Run a command twice, without clipping and with it: as its files are, and as `--fix` would make them.

Where there is nothing to fix, the first run is the one whose clip functions only measure.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .compare import Comparison, compare
from .orders import Orders
from .rows import RowMap
from .runner import verify
from .session import Place
from .stress import Stress, both

if TYPE_CHECKING:
    from .verdicts import Verification


@dataclass(frozen=True, slots=True)
class Fixed:
    """What `--fix` would write: by real path, the text as it is, as it would be, and the latter's bytes."""

    texts: Mapping[str, tuple[str, str, bytes]] = field(default_factory=dict)

    @property
    def overlay(self) -> dict[str, bytes]:
        return {name: data for name, (_, _, data) in self.texts.items()}

    @property
    def names(self) -> tuple[str, str]:
        """What the two runs are called."""
        return ("as it is", "fixed") if self.texts else ("without its clips", "as it is")

    def moved(self, sites: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        """Give lines of the files as they are as lines of the fixed ones."""
        maps = {name: RowMap(old, new) for name, (old, new, _) in self.texts.items()}
        real = [(os.path.realpath(name), row) for name, row in sites]
        return [(name, (maps[name].fixed(row) or row) if name in maps else row) for name, row in real]

    def written(self, verification: Verification) -> list[tuple[Place, bool | None]]:
        """Give the lines that the fixes wrote, and whether they ran (None: nobody counted)."""
        counted = [process.lines for process in verification.sessions if process.lines is not None]
        places = [
            Place(name, row)
            for name, (old, new, _) in self.texts.items()
            for _, rows in RowMap(old, new).changed
            for row in rows
        ]
        return [(place, any(place in ran for ran in counted) if counted else None) for place in places]


@dataclass(frozen=True, slots=True)
class Runs:
    """How to run: what all runs of one command have in common."""

    command: Sequence[str]
    max_steps: int | None
    max_norm: float | None
    seed: int | None
    known_sites: Sequence[tuple[str, int]] = ()
    by_hand: Sequence[tuple[str, int]] = ()
    heartbeat: bool = False

    def once(self, orders: Orders | None = None, fixed: Fixed | None = None) -> Verification:
        """Run once, as asked, or just so; of `fixed` files, the known lines are elsewhere."""
        moved = fixed.moved if fixed is not None else list
        return verify(
            self.command,
            max_steps=self.max_steps,
            max_norm=self.max_norm,
            known_sites=moved(self.known_sites),
            by_hand=moved(self.by_hand),
            asked=orders or Orders(seed=self.seed),
            heartbeat=self.heartbeat,
        )


def compared(runs: Runs, fixed: Fixed) -> tuple[Comparison, Verification, Verification]:
    """Run unclipped and clipped, and lay both side by side; then the verifications of the two runs."""
    before, after = _both(runs, fixed, None)
    if after.not_run:
        return Comparison(()), before, after
    return compare(before.sessions, after.sessions, fixed.written(after)), before, after


def stressed(runs: Runs, fixed: Fixed, factor: float) -> tuple[Stress, Verification]:
    """Run unclipped and clipped under growing gradients; then the verification of the clipped run."""
    pair = _both(runs, fixed, factor)
    return both(factor, pair), pair[1]


def _both(runs: Runs, fixed: Fixed, stress: float | None) -> tuple[Verification, Verification]:
    plain = Orders(seed=runs.seed, stress=stress, unclipped=not fixed.texts)
    before = runs.once(plain)
    if before.not_run:
        return before, before
    orders = Orders(seed=runs.seed, stress=stress, overlay=fixed.overlay, lines=bool(fixed.texts))
    return before, runs.once(orders, fixed)
