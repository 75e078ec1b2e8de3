"""Fixes that rewrite the clip call, or what it is handed: another function, the new name, all parameters."""

from __future__ import annotations

from clipcheck import blocks, clipcall, facts
from clipcheck.blocks import locate
from clipcheck.docket import Docket, imports
from clipcheck.faults import exhausted
from clipcheck.findings import Applicability, Repair, Replace, Span, Wrap
from clipcheck.flow.records import Clip
from clipcheck.flow.render import render
from clipcheck.record import replace


def to_the_new_name(clip: Clip, docket: Docket) -> Repair | None:
    """Give a renamed function its new name, in the call and where it is imported."""
    message = f"rename to `{clip.replaced_by}`"
    function = clip.call.function
    here = Replace(clip.call.name_span, clip.replaced_by)
    if isinstance(function, facts.Attribute):
        return Repair("safe", message, (here,))
    if not isinstance(function, facts.Name):
        return None
    filename = clip.site.filename
    bindings = imports(docket.context, filename)
    if any(one.alias == clip.replaced_by for one in bindings):
        return Repair("safe", message, (here,))
    binding = next((one for one in bindings if one.alias == function.id and one.name), None)
    if binding is None:
        return None
    renamed = _import_renamed(binding, bindings, clip.replaced_by)
    if renamed is None:
        return None
    if binding.alias != binding.name:
        return Repair("safe", message, (renamed,))
    calls = _calls_by_name(function.id, clip, docket)
    if calls is None:
        return None
    return Repair("safe", message, (renamed, *(Replace(call.name_span, clip.replaced_by) for call in calls)))


def _import_renamed(binding: facts.Import, bindings: tuple[facts.Import, ...], name: str) -> Replace | None:
    """The import statement with one name changed; None where it is not written the plain way."""
    together = [one for one in bindings if one.span == binding.span]
    if not _is_exact(_import_text(together), binding.span):
        return None
    changed = [
        replace(one, name=name, alias=name if one.alias == one.name else one.alias) if one is binding else one
        for one in together
    ]
    return Replace(binding.span, _import_text(changed))


def _import_text(bindings: list[facts.Import]) -> str:
    names = [f"{one.name}" if one.alias == one.name else f"{one.name} as {one.alias}" for one in bindings]
    return f"from {'.' * bindings[0].level}{bindings[0].module} import {', '.join(names)}"


def _calls_by_name(name: str, clip: Clip, docket: Docket) -> list[facts.Call] | None:
    """Every call of an imported name in its file; None where the name is used in another way."""
    nodes = list(blocks.walk(docket.context.body(clip.site.filename)))
    calls = [n for n in nodes if isinstance(n, facts.Call) and n.function == facts.Name(name, n.function.row)]
    uses = [node for node in nodes if isinstance(node, facts.Name) and node.id == name]
    return calls if len(uses) == len(calls) and clip.call in calls else None


def to_the_norm(clip: Clip, docket: Docket) -> Repair | None:
    """Clip the norm in place of the values, over the same parameters."""
    call, knowledge = clip.call, docket.context.knowledge
    if not _is_quotable(call):
        return None
    bindings = imports(docket.context, clip.site.filename)
    rule, wanted = clipcall.call_rule(call, knowledge), clipcall.fixes(bindings, knowledge)["clip"]
    norm = knowledge.call(wanted)
    old = rule.slot("threshold") if rule else None
    new = norm.slot("threshold") if norm else None
    if old is None or new is None:
        return None
    threshold = clipcall.threshold_for(clip.site, docket)
    value: facts.Expression = facts.Name(threshold, call.row)
    arguments = tuple(value if i == old[1] else argument for i, argument in enumerate(call.arguments))
    keywords = tuple((new[0], value) if key == old[0] else (key, kept) for key, kept in call.keywords)
    name = clipcall.spelling(wanted, bindings)
    text, extra = name.text, name.imports
    if isinstance(call.function, facts.Attribute):  # where the old function was, the other one is as well
        text, extra = f"{render(call.function.value)}.{wanted.rpartition('.')[2]}", ()
    written = replace(call, function=facts.Name(text, call.row), arguments=arguments, keywords=keywords)
    message = f"clip the norm at {threshold} instead (another bound: the run changes)"
    return Repair("unsafe", message, (*extra, Replace(call.span, render(written))))


def over_all_parameters(clip: Clip, docket: Docket) -> Repair | None:
    """Replace a loop that clips one parameter at a time by one call over all of them."""
    here = locate(docket.context.body(clip.site.filename), clip.site.span)
    if here is None or len(here.chain) < 2:
        return None
    block, index = here.chain[-2]
    loop, call = block[index], clip.call
    if not isinstance(loop, facts.For) or len(loop.body) != 1 or loop.orelse:
        return None
    # On two adjacent plain rows there is no comment that could get lost between them.
    if loop.span.row + 1 != call.row or here.statement.span != call.span or not call.arguments:
        return None
    if not isinstance(loop.target, facts.Name) or call.arguments[0] != facts.Name(loop.target.id, call.row):
        return None
    named = any(isinstance(n, facts.Name) and n.id == loop.target.id for n in blocks.walk(call.arguments[1:]))
    if named or not isinstance(loop.source, facts.Call) or not _is_quotable(call):
        return None
    written = replace(call, arguments=(loop.source, *call.arguments[1:]))
    message = "clip all parameters in one call (a tighter bound: the run changes)"
    return Repair("unsafe", message, (Replace(loop.span, render(written)),))


def over_what_it_updates(clip: Clip, parameters: str, docket: Docket) -> Repair | None:
    """Hand a clip of a part the parameters of all that the optimizer updates, by this expression."""
    call = clip.call
    rule = clipcall.call_rule(call, docket.context.knowledge)
    slot = rule.slot("parameters") if rule is not None else None
    if slot is None or not _is_quotable(call):
        return None
    value = facts.Name(parameters, call.row)
    arguments = tuple(value if i == slot[1] else argument for i, argument in enumerate(call.arguments))
    keywords = tuple((key, value if key == slot[0] else kept) for key, kept in call.keywords)
    written = replace(call, arguments=arguments, keywords=keywords)
    message = f"clip `{parameters}`, all that the optimizer updates (a tighter bound: the run changes)"
    return Repair("unsafe", message, (Replace(call.span, render(written)),))


def kept_in_a_list(clip: Clip, docket: Docket) -> Repair | None:
    """Keep the parameters that an iterator gives in a list, where it is made."""
    fault = docket.faults.get(clip.site)
    made = docket.sightings.iterators.get(exhausted(clip))
    if fault is None or fault.reason or made is None or made.filename != clip.site.filename:
        return None
    nodes = list(blocks.walk(docket.context.body(made.filename)))
    stepped = any(isinstance(n, facts.Call) and render(n.function) == "next" for n in nodes)
    level: Applicability = "unsafe" if stepped else "safe"  # a list has no next()
    span, action = made.span, (Wrap(made.span, "list(", ")"),)
    lazy = [n for n in nodes if isinstance(n, facts.Comprehension) and n.span == span]
    if not lazy:
        return Repair(level, "keep the parameters in a list", action)
    if not any(isinstance(n, facts.Assign) and n.value is lazy[0] for n in nodes):
        return None  # its parentheses may be those of a call
    first = Span(span.row, span.column, span.row, span.column + 1)
    last = Span(span.end_row, span.end_column - 1, span.end_row, span.end_column)
    return Repair(level, "make it a list", (Replace(first, "["), Replace(last, "]")))


def _is_quotable(call: facts.Call) -> bool:
    """Whether a call can be written anew as it stands: facts do not keep the quotes of a string."""
    strings = any(isinstance(n, facts.Constant) and isinstance(n.value, str) for n in blocks.walk(call))
    return not strings and _is_exact(render(call), call.span)


def _is_exact(text: str, span: Span) -> bool:
    """Whether a rendered text is what stands in the source, as far as its length tells."""
    return span.row == span.end_row and len(text.encode()) == span.end_column - span.column
