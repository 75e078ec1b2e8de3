"""What becomes of the result of a clip that gives back other gradients and leaves those it is handed as they are."""

from __future__ import annotations

from clipcheck import blocks, facts
from clipcheck.blocks import locate
from clipcheck.docket import Docket, bare
from clipcheck.facts import Expression
from clipcheck.findings import Site
from clipcheck.flow.records import Clip

_MEASURED = "_"  # the name of what nobody wants: the call is for the norm


def reaches(clip: Clip, docket: Docket) -> bool:
    """Whether some step uses what a clip gives back."""
    steps = docket.encounters.of_clip(clip.site)
    return any(clip.site in p.gradients.clips for one in steps for c in one.contexts for p in c.paths)


def ignored_by(clip: Clip, docket: Docket) -> tuple[Site, ...]:
    """The steps that use the gradients as they were before a clip whose result nobody reads, or nothing."""
    if not clip.maker or reaches(clip, docket) or name_of(clip, docket) is None:
        return ()
    return tuple(
        step.site
        for step in docket.encounters.of_clip(clip.site)
        if any(clip.site in p.gradients.unused for c in step.contexts for p in bare(c.paths))
    )


def name_of(clip: Clip, docket: Docket) -> str | None:
    """The name that the result of a clip is bound to and never read by, "" for none; None where it is used."""
    body = docket.context.body(clip.site.filename)
    here = locate(body, clip.site.span)
    statement = here.statement if here is not None else None
    if here is None or not isinstance(statement, (facts.Assign, facts.Evaluate)):
        return None
    if not _is_the_clip(statement.value, clip.call):
        return None
    if isinstance(statement, facts.Evaluate):
        return ""
    target = statement.targets[0] if len(statement.targets) == 1 else None
    if isinstance(target, facts.Collection) and target.items:
        target = target.items[0]
    if not isinstance(target, facts.Name) or target.id == _MEASURED:
        return None
    scope = here.function.body if here.function is not None else body
    return target.id if blocks.uses(scope)[target.id] == 1 else None


def _is_the_clip(value: Expression, call: facts.Call) -> bool:
    """Whether an expression is a clip, or a list of what it gives for each gradient."""
    while isinstance(value, (facts.Subscript, facts.Comprehension)):
        value = value.value if isinstance(value, facts.Subscript) else value.element
    return value == call
