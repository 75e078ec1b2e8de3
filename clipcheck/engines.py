"""The clip that a framework's own object makes, where it ran the backward or holds the parameters in shards."""

from __future__ import annotations

from clipcheck import blocks, clipcall, facts
from clipcheck.docket import Docket, owned
from clipcheck.findings import PutUnder, Repair, Replace, Site
from clipcheck.flow.records import Clip, Names, Step, StepContext
from clipcheck.flow.render import render
from clipcheck.knowledge import Knowledge

_ALL_OF_ONE = ".parameters()"  # how the parameters of one model are named


def engine(contexts: list[StepContext]) -> Names | None:
    """What all contexts agree on as the object whose own method has to clip; None where they do not agree."""
    named = {(one.names.engine, one.names.framework) for one in contexts}
    return contexts[0].names if len(named) == 1 and contexts[0].names.framework else None


def clip(names: Names, step: Step, parameters: str, threshold: str, docket: Docket) -> str | None:
    """The statement that clips in the framework's way, or None where it cannot be written."""
    knowledge = docket.context.knowledge
    templates = knowledge.engines.get(names.framework, {})
    template = templates.get("clip")
    model = parameters.removesuffix(_ALL_OF_ONE) if parameters.endswith(_ALL_OF_ONE) else None
    if template is None or not names.engine:
        return None
    if ("{model}" in template and model is None) or ("{optimizer}" in template and names.optimizer is None):
        return None
    call = template.format(
        engine=names.engine,
        parameters=parameters,
        model=model,
        optimizer=names.optimizer,
        threshold=threshold,
    )
    unit = _accumulating(step.site, docket)
    if unit and "guard" in templates:
        guard = templates["guard"].format(engine=names.engine)
        return f"if {guard}:\n{unit}{call}"
    return call


def by_its_method(clip: Clip, docket: Docket) -> Repair | None:
    """Have the wrapper that holds the parameters in shards clip them, at the same threshold."""
    found = owned(clip)
    rule = clipcall.call_rule(clip.call, docket.context.knowledge)
    names = {context.owned.own if context.owned is not None else None for context in clip.contexts}
    if found is None or found.own is None or len(names) != 1 or rule is None:
        return None
    template = docket.context.knowledge.engines.get(found.kind, {}).get("clip")
    threshold = clipcall.argument(clip.call, rule, "threshold")
    plain = isinstance(threshold, (facts.Constant, facts.Name, facts.Attribute, facts.Subscript))
    others = [slot for key, slot in rule.slots if key not in ("parameters", "threshold")]
    given = len(clip.call.arguments) > 2 or any(
        key in {slot[0] for slot in others} for key, _ in clip.call.keywords
    )
    surplus = {key for key, _ in clip.call.keywords} - {slot[0] for _, slot in rule.slots}
    if template is None or threshold is None or not plain or given or surplus:
        return None
    text = template.format(engine=found.own, threshold=render(threshold))
    return Repair("safe", f"clip by `{text}`", (Replace(clip.call.span, text),))


def under_the_condition(clip: Clip, docket: Docket) -> Repair | None:
    """Have a clip wait for the last micro-batch that a framework's object sums up."""
    conditions = {context.summed.condition if context.summed else "" for context in clip.contexts}
    condition = conditions.pop() if len(conditions) == 1 else ""
    here = blocks.locate(docket.context.body(clip.site.filename), clip.site.span)
    statement = here.statement if here is not None else None
    unit = _accumulating(clip.site, docket)
    plain = isinstance(statement, facts.Evaluate) and statement.value == clip.call
    if not condition or not unit or not plain:
        return None
    message = f"clip only where `{condition}` is true (the direction changes: so does the run)"
    return Repair("unsafe", message, (PutUnder(clip.site.span, f"if {condition}:", unit),))


def _accumulating(site: Site, docket: Docket) -> str:
    """The indentation inside the `with engine.accumulate(...)` around a place, "" where there is none."""
    here = blocks.locate(docket.context.body(site.filename), site.span)
    if here is None:
        return ""
    around = [block[index] for block, index in here.chain]
    for outer in around[:-1]:
        if isinstance(outer, facts.With) and _accumulates(outer, docket.context.knowledge):
            width = outer.body[0].span.column - outer.span.column
            return "\t" if width == 1 else " " * max(width, 1)
    return ""


def _accumulates(statement: facts.With, knowledge: Knowledge) -> bool:
    names = knowledge.methods_of("accumulate")
    return any(
        isinstance(node, facts.Call)
        and isinstance(node.function, facts.Attribute)
        and node.function.attr in names
        for item, _ in statement.items
        for node in blocks.walk(item)
    )
