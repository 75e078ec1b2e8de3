"""CLP207: clipping a model that this optimizer does not update."""

from __future__ import annotations

from clipcheck.docket import Docket
from clipcheck.findings import Evidence, Verdict
from clipcheck.flow.records import Clip, Step
from clipcheck.flow.values import Object, Parameters
from clipcheck.judges import words
from clipcheck.naming import listed, with_article


def judge(clip: Clip, docket: Docket) -> Verdict | None:
    fault = docket.faults.get(clip.site)
    if fault is None or fault.code != "CLP207":
        return None
    steps = [docket.sightings.steps[site] for site in fault.steps]
    clipped = _clipped(clip, docket)
    names = list(dict.fromkeys(with_article(one.name) for one in clipped if one.name)) or ["another model"]
    own = {context.names.parameters for step in steps for context in step.contexts}
    name = words.quoted(steps[0].call) if len(steps) == 1 else "the step"
    wanted = f"; clip `{own.pop()}`" if len(own) == 1 and None not in own else "; clip what it updates"
    message = f"{words.quoted(clip.call)} clips {listed(names)}, which {name} does not update{wanted}"
    chain = [*_steps(steps), *(Evidence(*one.place(), f"{one.name} made here, clipped") for one in clipped)]
    assessed = docket.worst(context for step in steps for context in step.contexts)
    risk, evidence = (assessed[1].risk, assessed[1].evidence) if assessed else ("low", ())
    return Verdict("CLP207", message, clip.site, risk, words.distinct((*chain, *evidence)))


def _steps(steps: list[Step]) -> list[Evidence]:
    return [words.at(step.site, "this step uses the gradients unclipped") for step in steps]


def _clipped(clip: Clip, docket: Docket) -> list[Object]:
    """The models that the clip covers."""
    found = [one.parameters for one in clip.contexts if isinstance(one.parameters, Parameters)]
    keys = sorted(frozenset().union(*(one.models for one in found)))
    return [docket.sightings.objects[key] for key in keys if key in docket.sightings.objects]
