"""CLP210: a clip that gives back other gradients, which nobody uses."""

from __future__ import annotations

from clipcheck.docket import Docket
from clipcheck.findings import Verdict
from clipcheck.flow.records import Clip
from clipcheck.judges import words


def judge(clip: Clip, docket: Docket) -> Verdict | None:
    fault = docket.faults.get(clip.site)
    if fault is None or fault.code != "CLP210":
        return None
    message = (
        f"{words.quoted(clip.call)} gives back clipped gradients and leaves those it is handed as they are; "
        "nobody uses what it gives back, and the step uses the gradients unclipped"
    )
    steps = [docket.sightings.steps[site] for site in fault.steps]
    used = [site for step in steps for site in (step.told.fitted if step.told is not None else [step.site])]
    chain = [words.at(site, "this step uses the gradients unclipped") for site in used]
    worst = docket.worst(context for step in steps for context in step.contexts)
    risk, evidence = (worst[1].risk, worst[1].evidence) if worst is not None else ("low", ())
    return Verdict("CLP210", message, clip.site, risk, words.distinct((*chain, *evidence)))
