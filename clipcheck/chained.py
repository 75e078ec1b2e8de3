"""The fix for what clips only where a clip is chained in front of it: a link of its own, at the start of the chain."""

from __future__ import annotations

from clipcheck import blocks, clipcall, facts
from clipcheck.docket import Docket, imports
from clipcheck.findings import AddFirst, Applicability, MoveFirst, Repair, Replace, Wrap
from clipcheck.flow.records import Clip, Step
from clipcheck.flow.render import last_identifier

_WRITTEN = "{clip}({threshold})"


def to_clip(step: Step, docket: Docket) -> Repair | None:
    """Put a clip of the norm in front of what is told; None where it cannot be written there."""
    told = step.told
    assert told is not None
    target = told.inner or told
    if told.obstacle or target.obstacle or target.site.filename != told.site.filename:
        return None
    bindings = imports(docket.context, told.site.filename)
    clip = clipcall.spelling(target.clipping.first, bindings)
    threshold = clipcall.threshold_for(told.site, docket)
    link = _WRITTEN.format(clip=clip.text, threshold=threshold)
    level: Applicability = "unsafe" if doubts(step, docket) else "safe"
    message = f"clip the gradient norm at {threshold}, first in the chain"
    if not target.clipping.around:
        return Repair(level, message, (*clip.imports, AddFirst(target.call.span, link)))
    around = clipcall.spelling(target.clipping.around, bindings)
    added = tuple(dict.fromkeys((*clip.imports, *around.imports)))
    return Repair(level, message, (*added, Wrap(target.call.span, f"{around.text}({link}, ", ")")))


def doubts(step: Step, docket: Docket) -> str:
    """Why one more link may not be safe: the state of the chain changes its shape, and somebody reads it."""
    assert step.told is not None
    files = {step.site.filename, *(site.filename for site in step.told.fitted)}
    files |= {context.entry for context in step.contexts}
    hinted = docket.context.knowledge.hinted
    for node in (node for file in sorted(files) for node in blocks.walk(docket.context.body(file))):
        if isinstance(node, facts.Call) and hinted("checkpoint-read", last_identifier(node.function)):
            return "the state of the optimizer changes its shape, and old checkpoints of it do not fit"
        part = isinstance(node, facts.Subscript) or (
            isinstance(node, facts.Attribute) and hinted("optimizer-state-attribute", node.attr)
        )
        if part and hinted("optimizer-state", last_identifier(node.value)):  # type: ignore[attr-defined]
            return "the state of the optimizer changes its shape, and the code looks into it"
    return ""


def to_the_front(clip: Clip, _: Docket) -> Repair | None:
    """Move a clip that comes after the step to the front of its chain."""
    chain = clip.told
    if chain is None or clip.call not in chain.call.arguments or chain.site.filename != clip.site.filename:
        return None
    index = chain.call.arguments.index(clip.call)
    message = "move the clip to the front of the chain (it clips the gradient then: the run changes)"
    return Repair("unsafe", message, (MoveFirst(chain.call.span, index),))


def to_the_norm(clip: Clip, docket: Docket) -> Repair | None:
    """Clip the norm in place of the values, as a link of the same chain."""
    if clip.told is None or not clip.told.clipping.first:
        return None
    name = clipcall.spelling(clip.told.clipping.first, imports(docket.context, clip.site.filename))
    threshold = clipcall.threshold_for(clip.site, docket)
    message = f"clip the norm at {threshold} instead (another bound: the run changes)"
    written = _WRITTEN.format(clip=name.text, threshold=threshold)
    return Repair("unsafe", message, (*name.imports, Replace(clip.call.span, written)))
