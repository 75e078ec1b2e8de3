"""CLP202: clipping where there are no gradients to clip."""

from __future__ import annotations

from clipcheck.docket import Docket
from clipcheck.findings import Verdict
from clipcheck.flow.records import Clip, Step
from clipcheck.judges import words


def judge(clip: Clip, docket: Docket) -> Verdict | None:
    if docket.vain.get(clip.site) != "CLP202":
        return None
    steps = docket.steps_missed_by(clip)
    where = (
        f"it comes before the backward; {_instead(steps[0])}"
        if steps
        else "zero_grad has emptied them; clip between the backward and the step"
    )
    message = f"{words.quoted(clip.call)} has no gradients to clip: {where}"
    risk, evidence = docket.risk_at(clip)
    missed = [words.at(step.site, "this step uses the gradients unclipped") for step in steps]
    return Verdict("CLP202", message, clip.site, risk, words.distinct((*missed, *evidence)))


def _instead(step: Step) -> str:
    """Where the clip belongs; what makes the step by itself is told to clip by its own call."""
    if step.told is None:
        return f"clip between the backward and {words.quoted(step.call)}"
    name = step.told.clipping.name
    return f"have {words.teller(step)} clip by `{name}`" if name else "clip between the backward and the step"
