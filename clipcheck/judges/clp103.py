"""CLP103: a step updates parameters that the clipping before it does not cover."""

from __future__ import annotations

from clipcheck.docket import Docket, in_part, left_out, parting
from clipcheck.findings import Evidence, Verdict
from clipcheck.flow.records import Step
from clipcheck.judges import words
from clipcheck.naming import listed, with_article
from clipcheck.protocol import Phase


def judge(step: Step, docket: Docket) -> Verdict | None:
    contexts = docket.partly(step)
    if not contexts:
        return None
    context, assessed = docket.uncovered(contexts)
    if not docket.matters(assessed.risk):
        return None
    outside = [docket.sightings.objects[key] for key in sorted(left_out(context))]
    clips = sorted({site for path in in_part(context) for site in path.gradients.clips})
    names = list(dict.fromkeys(with_article(one.name or "model") for one in outside))
    whole = [path for path in context.paths if path.gradients.phase is Phase.CLIPPED]
    guards = parting(in_part(context)[0].guards, whole)
    where = f" where {words.condition(guards)}" if guards else ""
    message = (
        f"{words.quoted(step.call)} also updates {listed(names)}, which the clip before it does not "
        f"cover{where}; clip all that the optimizer updates"
    )
    chain = [
        *(words.at(site, "clipped here, but only in part") for site in clips),
        *(Evidence(*one.place(), f"{one.name or 'model'} made here, not covered") for one in outside),
        *words.of_step(context, assessed),
    ]
    return Verdict("CLP103", message, step.site, assessed.risk, words.distinct(chain))
