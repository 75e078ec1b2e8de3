"""CLP201: clipping that comes after the step it should guard."""

from __future__ import annotations

from clipcheck.docket import Docket
from clipcheck.findings import Verdict
from clipcheck.flow.records import Clip
from clipcheck.judges import words


def judge(clip: Clip, docket: Docket) -> Verdict | None:
    if docket.vain.get(clip.site) != "CLP201":
        return None
    steps = docket.steps_missed_by(clip)
    name = words.quoted(steps[0].call) if len(steps) == 1 else "the step"
    message = f"{words.quoted(clip.call)} clips gradients that {name} has used already; clip before it"
    if clip.told is not None:
        message = (
            f"{words.quoted(clip.call)} comes after what makes the update in its chain, and clips that, not the "
            "gradient; put it first"
        )
    risk, evidence = docket.risk_at(clip)
    late = [words.at(step.site, "this step uses the gradients unclipped") for step in steps]
    return Verdict("CLP201", message, clip.site, risk, words.distinct((*late, *evidence)))
