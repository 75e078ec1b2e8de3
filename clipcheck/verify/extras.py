"""What stands beside the verdicts: two runs compared, a stress, and advice on the threshold."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .advice import Advice, advice_json, advice_rows, advise
from .compare import Comparison, comparison_json, comparison_lines
from .showing.render import short
from .stress import Stress, stress_json, stress_lines
from .twice import Fixed, Runs, compared, stressed

if TYPE_CHECKING:
    from .session import Place
    from .verdicts import Verification


@dataclass(frozen=True, slots=True)
class Extras:
    """All of it; None and empty where it was not asked for, or nothing was seen."""

    fixed: Fixed = field(default_factory=Fixed)
    comparison: Comparison | None = None
    stress: Stress | None = None
    advice: tuple[tuple[Place, Advice], ...] = ()
    before: Verification | None = None  # of the run that was not clipped


def run_twice(
    runs: Runs, fixed: Fixed, stress: float | None, *, compare: bool
) -> tuple[Verification, Extras]:
    """Compare, stress, or both; the verification is that of the clipped run (without stress, if there is one)."""
    extras = Extras(fixed)
    verification: Verification | None = None
    if compare:
        comparison, before, verification = compared(runs, fixed)
        extras = replace(extras, comparison=comparison, before=before)
        if verification.not_run:
            return verification, Extras(fixed)
    if stress is not None:
        outcome, clipped = stressed(runs, fixed, stress)
        extras = Extras(fixed) if clipped.not_run else replace(extras, stress=outcome)
        verification = verification or clipped
    assert verification is not None, "nothing was asked for"
    return verification, extras


def advised(extras: Extras, verification: Verification, families: Mapping[tuple[str, int], str]) -> Extras:
    """Add advice on the threshold of every line that stepped, from a run without stress."""
    if extras.stress is not None and extras.comparison is None:
        return extras
    advice = []
    for site in verification.sites:
        records = [
            record
            for process in verification.sessions
            for record in process.records
            if record.place == site.place
        ]
        if records:
            family = families.get((site.place.filename, site.place.row), "")
            advice.append((site.place, advise(records, family=family, max_norm=verification.max_norm)))
    return replace(extras, advice=tuple(advice))


def extras_lines(extras: Extras, *, cwd: str | None = None) -> list[str]:
    """Give all of it as lines of text."""
    cwd = os.getcwd() if cwd is None else cwd
    lines: list[str] = []
    if extras.comparison is not None:
        lines += ["", *comparison_lines(extras.comparison, extras.fixed.names)]
    if extras.stress is not None:
        lines += ["", *stress_lines(extras.stress, extras.fixed.names)]
    for place, advice in extras.advice:
        first, *rest = (f"{what}: {words}" for what, words in advice_rows(advice))
        lines += ["", f"{short(place.filename, cwd)}:{place.row}: {first}", *(f"  {line}" for line in rest)]
    return [line.replace(os.path.join(os.path.realpath(cwd), ""), "") for line in lines]


def extras_json(extras: Extras) -> dict[str, Any]:
    """Give all of it as plain values, to stand beside those of the verification."""
    return {
        "comparison": None if extras.comparison is None else comparison_json(extras.comparison),
        "stress": None if extras.stress is None else stress_json(extras.stress),
        "advice": [
            {"filename": place.filename, "row": place.row, **advice_json(advice)}
            for place, advice in extras.advice
        ],
    }
