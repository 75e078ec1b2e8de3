"""CLP102: the only clipping before a step hangs on an option whose default turns it off."""

from __future__ import annotations

import os

from clipcheck import defaults, naming
from clipcheck.defaults import clip_options
from clipcheck.docket import Assessed, Docket, acted_on
from clipcheck.findings import Evidence, Verdict
from clipcheck.flow.records import Clip, Step, StepContext, Told
from clipcheck.flow.values import Option, choices
from clipcheck.judges import words
from clipcheck.record import replace


def judge(step: Step, docket: Docket) -> Verdict | None:
    contexts = docket.accused(step)
    worst = docket.worst(contexts)
    if worst is None or not all(clip_options(context) for context in contexts):
        return None  # bare in some context whatever the options: CLP101
    context, assessed = worst
    if not docket.matters(assessed.risk):
        return None
    if step.told is not None:
        return _of_trainer(step, step.told, context, assessed)
    # The clip needs every one of these away from its default, so by default each goes the other way.
    default = [replace(guard, taken=not guard.taken) for guard in clip_options(context)]
    message = (
        f"{words.quoted(step.call)} uses gradients that nothing has clipped where {words.condition(default)}, "
        f"which is the default; {words.model(assessed)}{defaults.advice(step, docket)}"
    )
    chain = words.distinct((*words.of_step(context, assessed), *_switch(context, docket)))
    return Verdict("CLP102", message, step.site, assessed.risk, chain)


def _of_trainer(step: Step, told: Told, context: StepContext, assessed: Assessed) -> Verdict:
    """A framework that is told to clip by an option, which is off by default."""
    found = [one for one in choices(told.value) if isinstance(one, Option)] if told.value else []
    names = naming.listed(sorted({f"`{one.name}` in {os.path.basename(one.place[0])}" for one in found}))
    option = (
        f"{names}, which is" if len(found) == 1 else f"{names}, which are" if found else "an option that is"
    )
    message = (
        f"the only clipping of {words.teller(step)} hangs on {option} off by default; {words.model(assessed)}"
    )
    defaults = [Evidence(*one.place, f"the default of `{one.name}`") for one in found]
    chain = words.distinct((*words.of_trainer(told, context, assessed), *defaults))
    return Verdict("CLP102", message, step.site, assessed.risk, chain)


def _switch(context: StepContext, docket: Docket) -> list[Evidence]:
    """The clips behind the option, and where the option has its default."""
    sites = sorted({s for p in context.paths if acted_on(p.gradients) for s in p.gradients.clips})
    chain = [words.at(site, "the only clipping, off by default") for site in sites]
    for site in sites:
        clip = docket.sightings.clips.get(site)
        chain += _defaults(clip) if clip else []
    switches = {one for guard in clip_options(context) for one in guard.settings}
    chain += [
        Evidence(*one.place, f"the default of `{one.name}`")
        for one in sorted(switches, key=lambda s: s.place)
    ]
    return chain


def _defaults(clip: Clip) -> list[Evidence]:
    thresholds = [context.threshold for context in clip.contexts if context.threshold is not None]
    found = [choice for value in thresholds for choice in choices(value) if isinstance(choice, Option)]
    return [Evidence(*option.place, f"the default of `{option.name}`") for option in found]
