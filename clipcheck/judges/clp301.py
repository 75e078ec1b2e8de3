"""CLP301: value clipping changes the direction of the gradient."""

from __future__ import annotations

from clipcheck import results
from clipcheck.docket import Docket
from clipcheck.findings import Verdict
from clipcheck.flow.records import Clip, Step
from clipcheck.judges import shared, words


def judge(clip: Clip, docket: Docket) -> Verdict | None:
    if clip.kind != "value" or "clip" in clip.function.lower():
        return None  # a helper for clipping offers it as one way among others: whoever asks for it chose it
    if clip.maker and not results.reaches(clip, docket):
        return None  # what is clipped there is no gradient that anything steps on
    message = (
        f"{words.quoted(clip.call)} cuts every element by itself and so changes the direction of the "
        "gradient; clip its norm"
    )
    return Verdict("CLP301", message, clip.site, *docket.risk_at(clip))


def of_step(step: Step, docket: Docket) -> Verdict | None:
    """The same of a framework that is told to."""
    harm = "cuts every element by itself ({}) and so changes the direction of the gradient"
    return shared.on_a_kind_told("CLP301", "value", harm, step, docket)
