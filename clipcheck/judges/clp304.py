"""CLP304: a norm for each tensor where that of all gradients is meant."""

from __future__ import annotations

from clipcheck import results
from clipcheck.docket import Docket
from clipcheck.findings import Verdict
from clipcheck.flow.records import Clip, Step
from clipcheck.judges import shared, words


def judge(clip: Clip, docket: Docket) -> Verdict | None:
    unused = bool(clip.maker) and not results.reaches(clip, docket)
    if clip.kind != "tensor-norm" or "clip" in clip.function.lower() or unused:
        return None  # as with CLP301, a helper for clipping offers it as one way among others
    message = (
        f"{words.quoted(clip.call)} bounds the norm of one tensor at a time, which changes the direction of the "
        "whole gradient and leaves its norm to grow with their number; clip the global norm"
    )
    return Verdict("CLP304", message, clip.site, *docket.risk_at(clip))


def of_step(step: Step, docket: Docket) -> Verdict | None:
    """The same of a framework that is told to."""
    harm = "bounds the norm of one tensor at a time ({}), which changes the direction of the whole gradient"
    return shared.on_a_kind_told("CLP304", "tensor-norm", harm, step, docket)
