"""What there is to draw: the norms that were recorded at one line, in the order of the updates.

Plain numbers from records, for whichever library draws them. Nothing here draws.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..session import Place, Process, StepRecord
from ..verdicts import acted, effective_threshold

Item = TypeVar("Item")
DRAWN = 1000  # updates of one line that a plot has room for
WINDOW = 20  # updates that a share is taken over


@dataclass(frozen=True, slots=True)
class Update:
    """One update, or one evaluation of its closure."""

    at: float  # the step; evaluations of its closure share its width
    raw: float
    used: float
    threshold: float | None
    clipped: bool
    loss: float | None
    share: float = 0.0  # of the last finite updates up to this one, those with a raw norm above the threshold


@dataclass(frozen=True, slots=True)
class Series:
    """The updates of one line in one process."""

    name: str  # of the process: "rank 0", "process 4711"
    updates: tuple[Update, ...]
    seen: int  # updates there were, before they were thinned out

    @property
    def has_threshold(self) -> bool:
        """Whether anything clips here."""
        return any(update.threshold is not None for update in self.updates)

    @property
    def has_loss(self) -> bool:
        """Whether there is a loss to draw."""
        return any(update.loss is not None for update in self.updates)


def series_of(processes: Sequence[Process], place: Place, max_norm: float | None = None) -> list[Series]:
    """Give the series of every process that stepped at `place`; skipped steps are left out.

    Of more than `DRAWN` updates, each stretch is represented by the one with its largest raw norm.
    """
    found = []
    for process in processes:
        records = [r for r in process.records if r.place == place and not r.skipped and r.updated]
        if records:
            name = f"process {process.pid}" if process.rank is None else f"rank {process.rank}"
            updates = _updates(records, max_norm)
            found.append(Series(name, tuple(thinned(updates, lambda update: update.raw)), len(updates)))
    return found


def _updates(records: Sequence[StepRecord], max_norm: float | None) -> list[Update]:
    evaluations = Counter(record.step for record in records)
    recent: deque[bool] = deque(maxlen=WINDOW)
    updates = []
    for record in records:
        clipped = acted(record, max_norm)
        if math.isfinite(record.raw):
            recent.append(clipped)
        part = (record.evaluation - 1) / evaluations[record.step] if record.evaluation else 0.0
        updates.append(
            Update(
                at=record.step + part,
                raw=record.raw,
                used=record.used,
                threshold=effective_threshold(record, max_norm),
                clipped=clipped,
                loss=record.loss,
                share=sum(recent) / max(len(recent), 1),
            )
        )
    return updates


def thinned(values: list[Item], size: Callable[[Item], float]) -> list[Item]:
    """Give as many as a plot has room for: of each stretch the one that is not finite, or the largest."""
    stretch = math.ceil(len(values) / DRAWN)
    if stretch <= 1:
        return values
    stretches = (values[start : start + stretch] for start in range(0, len(values), stretch))
    # what is not finite is what a reader looks for first, then peaks
    return [max(some, key=lambda one: (not math.isfinite(size(one)), size(one))) for some in stretches]
