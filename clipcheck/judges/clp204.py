"""CLP204: clipping partial sums under gradient accumulation."""

from __future__ import annotations

from clipcheck.docket import Docket
from clipcheck.findings import Verdict
from clipcheck.flow.records import Clip
from clipcheck.judges import words


def judge(clip: Clip, docket: Docket) -> Verdict | None:
    fault = docket.faults.get(clip.site)
    if fault is None or fault.code != "CLP204":
        return None
    steps = [docket.sightings.steps[site] for site in fault.steps]
    name = words.quoted(steps[0].call) if len(steps) == 1 else "the step"
    where = _completed(clip) or (
        f"right before {name}" if clip.told is None else "inside of what sums them up"
    )
    message = (
        f"{words.quoted(clip.call)} clips the partial sum of every micro-batch, which changes the direction of "
        f"the gradient; clip the complete sum, {where}"
    )
    risk, evidence = docket.risk_at(clip)
    late = [words.at(step.site, "this step uses the sum of several micro-batches") for step in steps]
    return Verdict("CLP204", message, clip.site, risk, words.distinct((*late, *evidence)))


def _completed(clip: Clip) -> str:
    """Where the sum is complete that a framework accumulates, "" where the program does so by itself."""
    found = next((context.summed for context in clip.contexts if context.summed is not None), None)
    if found is None:
        return ""
    if found.condition:
        return f"where `{found.condition}` is true"
    return f"in `{found.method}`" if found.method else "once, for the last micro-batch"
