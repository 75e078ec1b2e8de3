"""Judge what a run saw: one small pure function per rule, each with at most one verdict per step or clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from clipcheck.docket import Docket, JudgeContext
from clipcheck.faults import docket_of
from clipcheck.findings import Sight, Verdict
from clipcheck.flow.records import Clip, Conflict, Sightings, Step
from clipcheck.judges import (
    clp101,
    clp102,
    clp103,
    clp104,
    clp105,
    clp201,
    clp202,
    clp203,
    clp204,
    clp205,
    clp206,
    clp207,
    clp208,
    clp209,
    clp210,
    clp301,
    clp302,
    clp303,
    clp304,
)
from clipcheck.record import replace

__all__ = ["CODES", "Docket", "JudgeContext", "judge", "sight"]

STEPS: Mapping[str, Callable[[Step, Docket], Verdict | None]] = {
    "CLP101": clp101.judge,
    "CLP102": clp102.judge,
    "CLP103": clp103.judge,
    "CLP104": clp104.judge,
    "CLP105": clp105.judge,
    "CLP302": clp302.of_trainer,
    "CLP301": clp301.of_step,
    "CLP304": clp304.of_step,
}
CLIPS: Mapping[str, Callable[[Clip, Docket], Verdict | None]] = {
    "CLP201": clp201.judge,
    "CLP202": clp202.judge,
    "CLP203": clp203.judge,
    "CLP204": clp204.judge,
    "CLP205": clp205.judge,
    "CLP206": clp206.judge,
    "CLP207": clp207.judge,
    "CLP208": clp208.judge,
    "CLP209": clp209.judge,
    "CLP210": clp210.judge,
    "CLP301": clp301.judge,
    "CLP302": clp302.judge,
    "CLP303": clp303.judge,
    "CLP304": clp304.judge,
}
CODES: Mapping[str, Callable[..., Verdict | None]] = {**STEPS, **CLIPS}


def judge(sightings: Sightings, context: JudgeContext) -> list[Verdict]:
    """Every verdict on the steps and clips of a run, with its repair, in the order of the files."""
    docket = docket_of(sightings, context)
    found: list[tuple[Verdict, Step | Clip | Conflict]] = []
    for step in sightings.steps.values():
        verdicts = filter(None, (by_step(step, docket) for by_step in STEPS.values()))
        found += [(one, step) for one in verdicts]
    for clip in sightings.clips.values():
        verdicts = filter(None, (by_clip(clip, docket) for by_clip in CLIPS.values()))
        found += [(one, clip) for one in verdicts]
    for conflict in sightings.conflicts.values():
        if verdict := clp209.of_conflict(conflict, docket):
            found.append((verdict, conflict))
    return sorted((_with_repair(one, of, docket) for one, of in found), key=_order)


def _with_repair(verdict: Verdict, of: Step | Clip | Conflict, docket: Docket) -> Verdict:
    from clipcheck import repair  # with all that knows how: most runs have nothing to repair

    if isinstance(of, Step):
        return replace(verdict, repair=repair.of_step(verdict.code, of, docket))
    if isinstance(of, Clip):
        return replace(verdict, repair=repair.of_clip(verdict.code, of, docket))
    return replace(verdict, repair=repair.of_conflict(of))


def _order(verdict: Verdict) -> tuple[str, int, int, str]:
    site = verdict.site
    return site.filename, site.span.row, site.span.column, verdict.code


def sight(sightings: Sightings, context: JudgeContext) -> Sight:
    """What became of every step that was seen."""
    docket = docket_of(sightings, context)
    counts = {"clipped": 0, "low_risk": 0, "reported": 0, "unknown": 0}
    for step in sightings.steps.values():
        counts[docket.outcome(step)] += 1
    return Sight(steps=len(sightings.steps), **counts)
