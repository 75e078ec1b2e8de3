"""CLP101: an optimizer steps on gradients that nothing has clipped."""

from __future__ import annotations

from clipcheck.defaults import bare_at_all, unread
from clipcheck.docket import Docket, acted_on, parting
from clipcheck.findings import Evidence, Verdict
from clipcheck.flow.records import Step, StepContext
from clipcheck.judges import words


def judge(step: Step, docket: Docket) -> Verdict | None:
    if step.told is not None and not step.told.clipping.hook:
        return None  # the framework's own step, which it clips when told: CLP104, or CLP105
    worst = bare_at_all(step, docket)
    if worst is None:
        return None
    context, assessed = worst
    where, evidence = _where(context, docket)
    message = (
        f"{words.quoted(step.call)} uses gradients that nothing has clipped{where}; {words.model(assessed)}"
    )
    known = words.of_trainer(step.told, context, assessed) if step.told else words.of_step(context, assessed)
    chain = words.distinct((*known, *evidence, *unread(step, context, docket)))
    return Verdict("CLP101", message, step.site, assessed.risk, chain)


def _where(context: StepContext, docket: Docket) -> tuple[str, tuple[Evidence, ...]]:
    """On which path the clip is missing, where others pass one, and the clips of those."""
    clipped = [path for path in context.paths if acted_on(path.gradients)]
    if not clipped:
        return "", ()
    clips = sorted({site for path in clipped for site in path.gradients.clips})
    evidence = tuple(words.at(site, "clipped here, but not on every way to the step") for site in clips)
    guards = parting(docket.accusing(context)[0].guards, clipped)
    return f" where {words.condition(guards)}" if guards else " on one of the ways to it", evidence
