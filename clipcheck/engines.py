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
    call = _filled(template, names, parameters, threshold) if template is not None else None
    if call is None:
        return None
    unit = _accumulating(step.site, docket)
    if unit and "guard" in templates:
        guard = templates["guard"].format(engine=names.engine)
        return f"if {guard}:\n{unit}{call}"
    return call


def _filled(template: str, names: Names, parameters: str, threshold: str) -> str | None:
    """A framework's clip of some parameters, or None where the code around names not all that it takes."""
    model = parameters.removesuffix(_ALL_OF_ONE) if parameters.endswith(_ALL_OF_ONE) else None
    wanted = {"{model}": model, "{optimizer}": names.optimizer, "{engine}": names.engine}
    if any(key in template and not value for key, value in wanted.items()):
        return None
    return template.format(
        engine=names.engine,
        parameters=parameters,
        model=model,
        optimizer=names.optimizer,
        threshold=threshold,
    )


def by_its_method(clip: Clip, docket: Docket) -> Repair | None:
    """Have the wrapper that holds the parameters in shards clip them, at the same threshold."""
    found = owned(clip)
    names = {context.owned.own if context.owned is not None else None for context in clip.contexts}
    if found is None or found.own is None or len(names) != 1:
        return None
    return _by_the_method_of(Names(None, None, engine=found.own, framework=found.kind), clip, docket)


def without_the_scale(clip: Clip, docket: Docket) -> Repair | None:
    """Have the framework's object clip that scaled the loss: its clip takes the scale off before."""
    made = {(context.engine, context.framework, context.optimizer) for context in clip.contexts}
    engine, framework, optimizer = made.pop() if len(made) == 1 else (None, "", None)
    summed = any(context.summed is not None for context in clip.contexts)
    if engine is None or summed or clip.kind != "norm":
        return None
    return _by_the_method_of(Names(optimizer, None, engine=engine, framework=framework), clip, docket)


def _by_the_method_of(names: Names, clip: Clip, docket: Docket) -> Repair | None:
    """Write a clip, with its parameters and its threshold, as the method of an object of a framework."""
    rule = clipcall.call_rule(clip.call, docket.context.knowledge)
    template = docket.context.knowledge.engines.get(names.framework, {}).get("clip")
    if rule is None:
        return None
    threshold = clipcall.argument(clip.call, rule, "threshold")
    plain = isinstance(threshold, (facts.Constant, facts.Name, facts.Attribute, facts.Subscript))
    others = [slot for key, slot in rule.slots if key not in ("parameters", "threshold")]
    given = len(clip.call.arguments) > 2 or any(
        key in {slot[0] for slot in others} for key, _ in clip.call.keywords
    )
    surplus = {key for key, _ in clip.call.keywords} - {slot[0] for _, slot in rule.slots}
    if template is None or threshold is None or not plain or given or surplus:
        return None
    parameters = clipcall.argument(clip.call, rule, "parameters")
    text = _filled(template, names, render(parameters) if parameters is not None else "", render(threshold))
    if text is None:
        return None
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
