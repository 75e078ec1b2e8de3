"""CLP202: clipping where there are no gradients to clip."""

from __future__ import annotations

from clipcheck.docket import Docket
from clipcheck.findings import Verdict
from clipcheck.flow.records import Clip
from clipcheck.judges import words


def judge(clip: Clip, docket: Docket) -> Verdict | None:
    if docket.vain.get(clip.site) != "CLP202":
        return None
    steps = docket.steps_missed_by(clip)
    where = (
        f"it comes before the backward; clip between the backward and {words.quoted(steps[0].call)}"
        if steps
        else "zero_grad has emptied them; clip between the backward and the step"
    )
    message = f"{words.quoted(clip.call)} has no gradients to clip: {where}"
    risk, evidence = docket.risk_at(clip)
    missed = [words.at(step.site, "this step uses the gradients unclipped") for step in steps]
    return Verdict("CLP202", message, clip.site, risk, words.distinct((*missed, *evidence)))
