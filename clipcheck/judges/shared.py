"""The verdicts that two rules give in the same way, each with a code and words of its own."""

from __future__ import annotations

from clipcheck.docket import Docket, owned
from clipcheck.findings import Verdict
from clipcheck.flow.records import Clip, Step
from clipcheck.judges import words


def on_an_owned_clip(code: str, clip: Clip, docket: Docket) -> Verdict | None:
    """A clip that is not the program's to make, for the reason that has this code."""
    found = owned(clip)
    if found is None or found.code != code or clip.site in docket.faults:
        return None
    message = f"{words.quoted(clip.call)} {found.harm}"
    risk, evidence = docket.risk_at(clip)
    return Verdict(code, message, clip.site, risk, words.distinct((*found.evidence, *evidence)))


def on_a_kind_told(code: str, kind: str, harm: str, step: Step, docket: Docket) -> Verdict | None:
    """A framework that is told to clip in another way than by the norm of all; `{}` in `harm` is the argument."""
    told = step.told
    worst = docket.worst(step.contexts)
    if told is None or worst is None or words.kind_told(told) != kind:
        return None
    context, assessed = worst
    message = f"{words.quoted(told.call)} {harm.format(f'`{told.argument}`')}; use `{told.clipping.name}`"
    return Verdict(code, message, step.site, assessed.risk, words.of_trainer(told, context, assessed))
