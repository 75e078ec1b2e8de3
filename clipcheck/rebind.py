"""The fixes where gradients are values: a name is bound to the clipped ones."""

from __future__ import annotations

from clipcheck import clipcall, facts, results
from clipcheck.blocks import locate
from clipcheck.docket import Docket, imports, unsure
from clipcheck.facts import Expression
from clipcheck.findings import AddImport, Applicability, InsertBefore, Repair, Replace, Span
from clipcheck.flow.records import Clip, Step
from clipcheck.flow.render import render
from clipcheck.protocol import Phase


def concerns(step: Step) -> bool:
    """Whether a step is handed its gradients."""
    return any(context.names.maker for context in step.contexts)


def clip_first(step: Step, docket: Docket) -> Repair | None:
    """Bind the name of the gradients to the clipped ones, where it is one name in all contexts."""
    names = {(context.names.gradients, context.names.maker) for context in docket.accused(step)}
    gradients, maker = names.pop() if len(names) == 1 else (None, "")
    if gradients is None:
        return None
    threshold = clipcall.threshold_for(step.site, docket)
    written = statement(maker, gradients, threshold, step.site.filename, docket)
    if written is None:
        return None
    added, text = written
    level: Applicability = "unsafe" if doubts(step, docket) else "safe"
    message = f"clip the gradient norm at {threshold} before `{render(step.call.function)}`"
    return Repair(level, message, (*added, InsertBefore(step.site.span, (text,))))


def take_the_result(clip: Clip, docket: Docket) -> Repair | None:
    """Bind the name of the gradients to what a clip gives back and nobody uses."""
    here = locate(docket.context.body(clip.site.filename), clip.site.span)
    source = _gradients_of(here.statement if here is not None else None, clip, docket)
    name = results.name_of(clip, docket)
    if here is None or source is None or name is None:
        return None
    message = f"bind `{source}` to the clipped gradients"
    span, found = clip.site.span, here.statement
    if not name:
        root = _root(clip.call.function)
        if root is None or clip.call.span != span or clip.kind != "norm":
            return None  # one gradient out of a list has a name of its own, which nobody hands on
        rule = clipcall.call_rule(clip.call, docket.context.knowledge, clip.maker)
        target = f"{source}, _" if rule is not None and rule.result == "pair" else source
        first = Span(span.row, span.column, span.row, span.column + len(root.encode()))
        return Repair("unsafe", message, (Replace(first, f"{target} = {root}"),))
    if not isinstance(found, facts.Assign) or _in_brackets(found, span):
        return None
    first = Span(span.row, span.column, span.row, span.column + len(name.encode()))
    return Repair("unsafe", message, (Replace(first, source),))


def _root(function: Expression) -> str | None:
    """The name that a dotted name begins with."""
    while isinstance(function, facts.Attribute):
        function = function.value
    return function.id if isinstance(function, facts.Name) else None


def _in_brackets(found: facts.Assign, span: Span) -> bool:
    """Whether the names that are assigned may not stand at the very beginning of the statement."""
    target = found.targets[0]
    if isinstance(target, facts.Name):
        return False
    items = target.items if isinstance(target, facts.Collection) else ()
    text = f"{', '.join(map(render, items))} = {render(found.value)}"
    return span.row != span.end_row or len(text.encode()) != span.end_column - span.column


def to_the_global_norm(clip: Clip, docket: Docket) -> Repair | None:
    """Clip the norm of all gradients in place of each by itself, where a list of those is made."""
    here = locate(docket.context.body(clip.site.filename), clip.site.span)
    found = here.statement if here is not None else None
    source = _gradients_of(found, clip, docket)
    if not isinstance(found, facts.Assign) or len(found.targets) != 1 or source is None:
        return None
    target, span = found.targets[0], clip.site.span
    if not isinstance(target, facts.Name) or not isinstance(found.value, facts.Comprehension):
        return None
    threshold = _own_threshold(clip, docket) or clipcall.threshold_for(clip.site, docket)
    written = statement(clip.maker, source, threshold, clip.site.filename, docket, target.id)
    if written is None or span.row != span.end_row:
        return None  # on one row there is no comment that could get lost
    message = f"clip the global norm at {threshold} instead (another bound: the run changes)"
    return Repair("unsafe", message, (*written[0], Replace(span, written[1])))


def _own_threshold(clip: Clip, docket: Docket) -> str:
    """The threshold of a clip that bounds norms, as the code says it."""
    rule = clipcall.call_rule(clip.call, docket.context.knowledge, clip.maker)
    written = clipcall.argument(clip.call, rule, "threshold") if rule is not None else None
    plain = isinstance(written, (facts.Constant, facts.Name, facts.Attribute))
    return render(written) if written is not None and plain and clip.kind != "value" else ""


def _gradients_of(found: facts.Statement | None, clip: Clip, docket: Docket) -> str | None:
    """The name of the gradients that a statement clips, all in one call or one by one in a plain list."""
    rule = clipcall.call_rule(clip.call, docket.context.knowledge, clip.maker)
    given = clipcall.argument(clip.call, rule, "gradients") if rule is not None else None
    if not isinstance(found, (facts.Assign, facts.Evaluate)) or not isinstance(given, facts.Name):
        return None
    if found.value == clip.call:
        return given.id
    whole = found.value
    if not isinstance(whole, facts.Comprehension) or len(whole.clauses) != 1:
        return None
    clause = whole.clauses[0]
    plain = isinstance(clause.target, facts.Name) and clause.target.id == given.id
    if not plain or not isinstance(clause.source, facts.Name) or not _clips(whole.element, clip.call, given):
        return None
    return clause.source.id


def _clips(element: Expression, call: facts.Call, gradient: facts.Name) -> bool:
    """Whether an element is the clipped gradient, or what is left of one that is None."""
    if isinstance(element, facts.Conditional):
        sides = (element.body, element.orelse)
        rest = [side for side in sides if side != call]
        nothing = all(
            (isinstance(side, facts.Constant) and side.value is None)
            or (isinstance(side, facts.Name) and side.id == gradient.id)
            for side in rest
        )
        return len(rest) == 1 and nothing
    return element == call


def statement(
    maker: str, gradients: str, threshold: str, filename: str, docket: Docket, clipped: str = ""
) -> tuple[tuple[AddImport, ...], str] | None:
    """The statement that clips gradients in the way of the framework that made them, and the imports it takes."""
    template = docket.context.knowledge.values.get(maker)
    if template is None:
        return None
    name = clipcall.spelling(template["clip"], imports(docket.context, filename))
    own = template.get("import")
    added = (AddImport(own),) if own and name.imports else name.imports
    names = {"gradients": gradients, "clipped": clipped or gradients}
    return added, template["statement"].format(**names, clip=name.text, threshold=threshold)


def doubts(step: Step, docket: Docket) -> str:
    """Why a step on gradients that are handed to it has no fix, or none that is safe; else nothing."""
    contexts = docket.accused(step)
    names = {(context.names.gradients, context.names.maker) for context in contexts}
    if len(names) != 1:
        return "its gradients have no one name at the step that all callers agree on"
    if any(gradients is None for gradients, _ in names):
        return "its gradients have no plain name at the step, or one that may stand for something else"
    if any(maker not in docket.context.knowledge.values for _, maker in names):
        return "no function that clips gradients of this framework is known"
    for context in step.contexts:
        if not context.certain:
            return "it is not certain which parameters these gradients are of"
        for path in context.paths:
            if unsure(path.gradients):
                return "on some way to the step, code that is not known may have touched the gradients"
            if path.gradients.phase is Phase.CLIPPED:
                return "other ways to the step clip already"
    return ""
