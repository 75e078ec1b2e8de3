"""The fix where gradients are values: their name is bound to the clipped ones, right before the step."""

from __future__ import annotations

from clipcheck import clipcall
from clipcheck.docket import Docket, imports, unsure
from clipcheck.findings import AddImport, Applicability, InsertBefore, Repair
from clipcheck.flow.records import Step
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
    if len(names) != 1 or any(gradients is None for gradients, _ in names):
        return "its gradients have no one name at the step that all callers agree on"
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
