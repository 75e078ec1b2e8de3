"""Runs as they are recorded, made up: no torch, no processes."""

from __future__ import annotations

import math

from clipcheck.verify.session import Place, Process, StepRecord
from clipcheck.verify.verdicts import Verification, judge


def record(step: int, raw: float, *, used: float | None = None, row: int = 7, **more: object) -> StepRecord:
    """Give the record of a step that was clipped at 1.0."""
    values = {
        "place": Place("/tmp/train.py", row), "optimizer": "SGD", "step": step, "raw": raw,
        "used": min(raw, 1.0) if used is None else used, "updated": 4, "covered": 4, "uncovered": 0,
        "threshold": 1.0, "kind": "norm", "clipped_norm": raw, "clips_per_step": 1, "parts": 1,
    }  # fmt: skip
    return StepRecord(**{**values, **more})  # type: ignore[arg-type]


def verification(*processes: Process, **more: object) -> Verification:
    """Give the verification of a run that recorded these processes."""
    values = {
        "command": ("python", "train.py"),
        "sites": judge(processes),
        "sessions": processes,
        "steps": sum(len(process.records) for process in processes),
        "processes": len(processes),
    }
    return Verification(**{**values, **more})  # type: ignore[arg-type]


def usual(steps: int = 40) -> Verification:
    """Give a run with a clipped line, a bare line, and a line that never ran."""
    clipped = [record(2 * step - 1, 0.2 * step) for step in range(1, steps + 1)]
    bare = [
        record(
            2 * step, 3.0**step if step < 30 else math.nan, used=3.0**step, row=9, covered=0, threshold=None,
            kind=None, clipped_norm=None, clips_per_step=0, parts=0,
        )
        for step in range(1, steps + 1)
    ]  # fmt: skip
    process = Process(1, torch="2.13.0", records=tuple(sorted(clipped + bare, key=lambda r: r.step)))
    return verification(process, sites=judge([process], known_sites=[("/tmp/train.py", 12)]))
