"""Lay two runs of one command side by side: equal until the first step that only one of them clips.

Pure functions over records.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .session import Place, Process, StepRecord

SAME = 1e-6  # relative
SHOWN = 12  # rows of a table for people
COMPARED = ("loss", "raw", "used")  # of a record


@dataclass(frozen=True, slots=True)
class Pair:
    """One update in both runs; None where a run has no such update any more."""

    process: int  # from 0, by rank
    before: StepRecord | None
    after: StepRecord | None

    @property
    def step(self) -> int:
        """The number of the update in its process."""
        record = self.before or self.after
        return 0 if record is None else record.step

    @property
    def same_gradient(self) -> bool:
        """Whether both runs came to this update with the same loss and raw norm."""
        left, right = self.before, self.after
        return (
            left is not None
            and right is not None
            and _same(left.raw, right.raw)
            and (left.loss is None or right.loss is None or _same(left.loss, right.loss))
        )

    @property
    def same_update(self) -> bool:
        """Whether both used gradients of the same norm."""
        return self.before is not None and self.after is not None and _same(self.before.used, self.after.used)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs, update by update."""

    pairs: tuple[Pair, ...]
    parted: Pair | None = None  # the first update that one run clipped, and the other not (or otherwise)
    astray: Pair | None = None  # the first to differ before any was clipped otherwise: chance, not clipping
    written: tuple[tuple[Place, bool | None], ...] = ()  # lines that the fixes wrote, and whether they ran

    @property
    def own(self) -> list[Pair]:
        """The updates of the process that differs first, or of the first process."""
        first = self.astray or self.parted
        return [pair for pair in self.pairs if pair.process == (first.process if first else 0)]

    @property
    def equal(self) -> int:
        """How many updates of the process that differs first (of all, if none does) were equal before."""
        first = self.astray or self.parted
        own = [pair for pair in self.pairs if first is None or pair.process == first.process]
        return len(own) if first is None else own.index(first)


def compare(
    before: Sequence[Process], after: Sequence[Process], written: Sequence[tuple[Place, bool | None]] = ()
) -> Comparison:
    """Pair the updates of two runs, process by process and in their order."""
    parted: list[Pair] = []
    astray: list[Pair] = []
    every: list[Pair] = []
    none: tuple[StepRecord, ...] = ()
    left, right = ([p.records for p in run if p.records] for run in (before, after))
    for number, (old, new) in enumerate(zip_longest(left, right, fillvalue=none)):
        pairs = [Pair(number, *both) for both in zip_longest(old, new)]
        every += pairs
        first = next((pair for pair in pairs if not (pair.same_gradient and pair.same_update)), None)
        if first is not None:
            (parted if first.same_gradient else astray).append(first)
    return Comparison(
        tuple(every),
        min(parted, key=lambda pair: pair.step, default=None),
        min(astray, key=lambda pair: pair.step, default=None),
        tuple(written),
    )


def comparison_lines(comparison: Comparison, names: tuple[str, str]) -> list[str]:
    """Give the comparison as lines of text; `names` are what the two runs are called."""
    lines = [f"{names[0]} | {names[1]}, with the same seeds: {told(comparison)}"]
    lines += [f"  {note}" for note in notes_of(comparison)]
    rows = [row_of(pair) for pair in chosen(comparison)]
    if not rows:
        return lines
    widths = [max(len(row[at]) for row in rows) for at in range(1 + 2 * len(COMPARED))]
    pairs = [range(at, at + 2) for at in range(1, len(widths), 2)]
    headed = [
        name.center(sum(widths[at] for at in pair) + 3) for name, pair in zip(COMPARED, pairs, strict=True)
    ]
    lines.append(f"  {'step':>{max(4, widths[0])}}  {'  '.join(headed)}".rstrip())
    for row in rows:
        cells = [" | ".join(row[at].rjust(widths[at]) for at in pair) for pair in pairs]
        lines.append(f"  {row[0]:>{max(4, widths[0])}}  {'  '.join(cells)}")
    return lines


def notes_of(comparison: Comparison, name: Callable[[Place], str] = str) -> list[str]:
    """Say what became of the lines that the fixes wrote, and of the files on disk; nothing where none was fixed."""
    if not comparison.written:
        return []
    return [
        "the fixed files ran from memory; those on disk are as they were",
        *(
            f"{name(place)}: written by the fix, {'ran' if ran else 'never ran'}"
            for place, ran in comparison.written
            if ran is not None
        ),
    ]


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Give the comparison as plain values."""
    return {
        "equal": comparison.equal,
        "parted_at": None if comparison.parted is None else comparison.parted.step,
        "astray_at": None if comparison.astray is None else comparison.astray.step,
        "written": [[place.filename, place.row, ran] for place, ran in comparison.written],
        "steps": [
            {
                "process": pair.process,
                "step": pair.step,
                **{
                    name: [_plain(getattr(record, name, None)) for record in (pair.before, pair.after)]
                    for name in COMPARED
                },
            }
            for pair in comparison.pairs
        ],
    }


def told(comparison: Comparison) -> str:
    """Say how far both runs are equal, and what parts them."""
    if not comparison.pairs:
        return "neither run came to a step"
    if comparison.astray is not None:
        return (
            f"they differ at step {comparison.astray.step} before anything was clipped, by chance that no seed "
            "governs; what follows does not show what clipping does"
        )
    if comparison.parted is None:
        return f"all {comparison.equal} updates are equal: nothing was clipped that was not before"
    equal = comparison.equal
    many = {0: "no update", 1: "one update"}.get(equal, f"{equal} updates")
    return f"{many} equal before step {comparison.parted.step}, the first that the clip changes"


def chosen(comparison: Comparison) -> Iterator[Pair]:
    """Choose the updates that a table shows: of one process, those around the first that differs, then at even distances."""
    first = comparison.astray or comparison.parted
    own = comparison.own
    if len(own) <= SHOWN:
        yield from own
        return
    start = max(0, own.index(first) - 1) if first is not None else 0
    rest = len(own) - 1 - start
    yield from (
        (own[start + round(rest * at / (SHOWN - 1))] for at in range(SHOWN))
        if rest >= SHOWN
        else own[-SHOWN:]
    )


def row_of(pair: Pair) -> tuple[str, ...]:
    """Give the step, then each of COMPARED in both runs."""
    cells = [str(pair.step)]
    for name in COMPARED:
        for record in (pair.before, pair.after):
            value = None if record is None else getattr(record, name)
            cells.append("-" if value is None else f"{value:.5g}")
    return tuple(cells)


def _same(left: float, right: float) -> bool:
    return (
        left == right or (math.isnan(left) and math.isnan(right)) or math.isclose(left, right, rel_tol=SAME)
    )


def _plain(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)
