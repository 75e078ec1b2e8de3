"""Training under gradients that grow from step to step: when a run breaks, and whether another one holds.

The observer scales what backward starts from, which is the loss as far as the gradients can tell; the loss
that the code sees, and that is recorded, stays the true one. Pure functions over records, but for `start_of`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .session import Place, Process, StepRecord
    from .verdicts import Verification

HIGHEST = 1e12  # a clip's own fp32 norm overflows at 1.8e19, whatever its threshold
EXPLODED = 100.0  # times the first loss


def scale_at(factor: float, steps_before: int) -> float:
    """Give the scale of the gradients for the step that comes after so many."""
    return min(HIGHEST, math.exp(min(steps_before * math.log(factor), math.log(HIGHEST))))


def start_of(args: tuple[Any, ...], kwargs: dict[str, Any], scale: float) -> tuple[Any, ...]:
    """Give the arguments of `torch.autograd.backward` with its start (tensors, grad_tensors) scaled."""
    import torch

    tensors = args[0] if args else kwargs.pop("tensors")
    given = args[1] if len(args) > 1 else kwargs.pop("grad_tensors", None)
    roots = [tensors] if isinstance(tensors, torch.Tensor) else list(tensors)
    starts = [given] * len(roots) if given is None or isinstance(given, torch.Tensor) else list(given)
    scaled = [
        torch.full_like(root, scale) if start is None and root.numel() == 1 else _times(start, scale)
        for root, start in zip(roots, starts, strict=False)
    ]
    return (roots, scaled, *args[2:])


def _times(start: Any, scale: float) -> Any:
    return None if start is None else start * scale


class Breaking:
    """Says of one record after the other whether the run is broken by it."""

    def __init__(self) -> None:
        self._first: dict[Place, float] = {}

    def why(self, record: StepRecord) -> str:
        """Say what broke; empty while the run holds. A step that the loss scaler skipped breaks nothing."""
        if record.skipped:
            return ""
        if record.loss_not_finite:
            return f"the loss is {record.loss}"
        if not math.isfinite(record.raw) or not math.isfinite(record.used):
            return f"the gradient norm is {record.raw if not math.isfinite(record.raw) else record.used}"
        if record.loss is None:
            return ""
        first = self._first.setdefault(record.place, abs(record.loss) or 1.0)
        if abs(record.loss) <= EXPLODED * first:
            return ""
        return f"the loss is {record.loss:.4g}, {abs(record.loss) / first:.3g} times the first"


@dataclass(frozen=True, slots=True)
class Endurance:
    """How far one run went under stress."""

    steps: int
    scale: float  # of the gradients, at its last step
    broke: str = ""  # why; empty: it held
    at: StepRecord | None = None  # the record that shows it; None for a crash
    largest_used: float | None = None  # finite
    last_loss: float | None = None
    records: tuple[StepRecord, ...] = ()  # of the process that broke, else of the first


@dataclass(frozen=True, slots=True)
class Stress:
    """The same stress on a run without clipping and on one with it."""

    factor: float
    unclipped: Endurance
    clipped: Endurance

    @property
    def word(self) -> str:
        """Say in a word how it went."""
        if self.clipped.broke:
            return "both broke" if self.unclipped.broke else "the clipped run broke"
        return "held" if self.unclipped.broke else "neither broke"


def endurance(verification: Verification) -> Endurance:
    """Say how a stressed run fared, over all its processes."""
    records = [record for process in verification.sessions for record in process.records]
    breaking = [(found, record, process) for found, record, process in _broken(verification) if found]
    finite = [record.used for record in records if math.isfinite(record.used)]
    losses = [record.loss for record in records if record.loss is not None]
    broke, at, shown = breaking[0] if breaking else ("", None, None)
    shown = shown or next((process for process in verification.sessions if process.records), None)
    if not broke and verification.ended and not verification.stopped:
        broke = f"it ended: {verification.crash or verification.ended}"
    return Endurance(
        steps=max((len(process.records) for process in verification.sessions), default=0),
        scale=max((record.stress for record in records), default=1.0),
        broke=broke,
        at=at,
        largest_used=max(finite, default=None),
        last_loss=losses[-1] if losses else None,
        records=shown.records if shown is not None else (),
    )


def _broken(verification: Verification) -> Iterable[tuple[str, StepRecord, Process]]:
    for process in verification.sessions:
        breaking = Breaking()
        yield from ((breaking.why(record), record, process) for record in process.records)


def stress_lines(stress: Stress, names: tuple[str, str]) -> list[str]:
    """Give the outcome as lines of text; `names` are what the two runs are called."""
    lines = [f"under gradients {stress.factor:g} times larger at every step:"]
    for name, run in zip(names, (stress.unclipped, stress.clipped), strict=True):
        used = "" if run.largest_used is None else f"; largest norm used {run.largest_used:.4g}"
        used += "" if run.last_loss is None else f", last loss {run.last_loss:.4g}"
        if run.broke:
            where = f"at {run.at.when}, gradients times {run.at.stress:.4g}" if run.at else "early"
            lines.append(f"  {name}: broke {where}: {run.broke}{used}")
        else:
            lines.append(f"  {name}: held for {run.steps} steps, gradients times {run.scale:.4g}{used}")
    if stress.word == "neither broke":
        lines.append(
            "  nothing broke: what normalises gradients (Adam) or saturates (the gates of an LSTM) stays bounded "
            "however large they are"
        )
    return lines


def stress_json(stress: Stress) -> dict[str, Any]:
    """Give the outcome as plain values."""
    return {
        "factor": stress.factor,
        "outcome": stress.word,
        "unclipped": _plain(stress.unclipped),
        "clipped": _plain(stress.clipped),
    }


def _plain(run: Endurance) -> Mapping[str, Any]:
    loss = run.last_loss
    return {
        "steps": run.steps,
        "scale": run.scale,
        "broke": run.broke or None,
        "step": None if run.at is None else run.at.step,
        "largest_used": run.largest_used,
        "last_loss": loss if loss is None or math.isfinite(loss) else str(loss),
    }


def both(factor: float, runs: Sequence[Verification]) -> Stress:
    """Give the outcome of two stressed runs: the unclipped one, then the clipped one."""
    unclipped, clipped = runs
    return Stress(factor, endurance(unclipped), endurance(clipped))
