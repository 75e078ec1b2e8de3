"""Compose the fix of each verdict: the shortest right change in the style of the file, and how sure it is."""

from __future__ import annotations

from collections.abc import Callable

from clipcheck import blocks, chained, clipcall, defaults, engines, moves, rebind, renames, tell
from clipcheck.blocks import locate
from clipcheck.clipcall import Spelling
from clipcheck.docket import Docket, bare, imports, in_part, optimizers
from clipcheck.findings import AddImport, Applicability, InsertBefore, Repair, SetArgument, Span
from clipcheck.flow.records import Clip, Conflict, Step, StepContext
from clipcheck.flow.render import render
from clipcheck.flow.values import Arguments, Value, literal, parts_of
from clipcheck.protocol import Phase
from clipcheck.record import dataclass


def of_step(code: str, step: Step, docket: Docket) -> Repair | None:
    """The fix of a verdict on a step."""
    if step.told is not None and step.told.clipping.first:
        compose = _CHAINED.get(code)
        return compose(step, docket) if compose else None
    if step.told is not None:
        return tell.to_clip(code, step.told, step.site, docket)
    compose = _STEPS.get(code)
    return compose(step, docket) if compose else None


def of_clip(code: str, clip: Clip, docket: Docket) -> Repair | None:
    """The fix of a verdict on a clip."""
    table = _LINKS if clip.told is not None else _VALUES if clip.maker else _CLIPS
    compose = table.get(code)
    return compose(clip, docket) if compose else None


def of_conflict(conflict: Conflict) -> Repair | None:
    """The fix of an argument that is refused or ignored: unsafe, since somebody wrote it."""
    if not conflict.argument:
        return None
    action = SetArgument(conflict.call.span, conflict.argument, conflict.value)
    return Repair("unsafe", f"set `{conflict.argument}={conflict.value}`", (action,))


def _once_for_the_sum(clip: Clip, docket: Docket) -> Repair | None:
    """Have a clip of every micro-batch act on their sum alone."""
    if any(context.summed for context in clip.contexts):
        return engines.under_the_condition(clip, docket)
    return moves.into_the_accumulation(clip, docket)


def _on_what_is_unscaled(clip: Clip, docket: Docket) -> Repair | None:
    """Have a clip act on gradients without the loss scale: by the framework's object that put it there, or behind an unscale call."""
    if any(context.framework for context in clip.contexts):
        return engines.without_the_scale(clip, docket)
    return moves.after_unscale(clip, docket)


_CLIPS: dict[str, Callable[[Clip, Docket], Repair | None]] = {
    "CLP201": moves.to_the_step,
    "CLP202": moves.to_the_step,
    "CLP203": _on_what_is_unscaled,
    "CLP204": _once_for_the_sum,
    "CLP205": renames.kept_in_a_list,
    "CLP206": renames.over_all_parameters,
    "CLP208": engines.by_its_method,
    "CLP209": tell.by_its_settings,
    "CLP301": renames.to_the_norm,
    "CLP303": renames.to_the_new_name,
}


# The same, for the links of a chain.
_LINKS: dict[str, Callable[[Clip, Docket], Repair | None]] = {
    "CLP201": chained.to_the_front,
    "CLP301": chained.to_the_norm,
}


# The same, for clips that give back other gradients.
_VALUES: dict[str, Callable[[Clip, Docket], Repair | None]] = {
    "CLP210": rebind.take_the_result,
    "CLP301": rebind.to_the_global_norm,
    "CLP304": rebind.to_the_global_norm,
}


@dataclass(frozen=True, slots=True)
class _Draft:
    """What a new clip has to say, and whether it is certain that this is all of what the optimizer updates."""

    parameters: str
    certain: bool
    held: bool = False  # it asks the optimizer for them


def _has_sparse_gradients(model: Value) -> bool:
    """Whether a layer of a model is told to have sparse gradients, of which torch computes no norm."""
    return any(
        part.rule is not None
        and part.rule.sparse is not None
        and literal(Arguments(part.arguments, part.keywords).get(part.rule.sparse)) is True
        for part in parts_of(model)
    )


def _clip_the_step(step: Step, docket: Docket) -> Repair | None:
    if rebind.concerns(step):
        return rebind.clip_first(step, docket)
    contexts = docket.accused(step)
    if any(_has_sparse_gradients(model) for context in contexts for model in context.models):
        return None
    if repair := moves.out_of_its_condition(step, contexts, docket):
        return repair
    if moves.stays_in_its_condition(step, contexts, docket):
        return None  # a second clip would act on the others twice
    anchor = _anchor(step, contexts)
    draft = _draft(step, contexts, docket)
    prelude = _prelude(step, contexts, docket)
    if anchor is None or draft is None or prelude is None:
        return None
    # Elsewhere the same call is of what the project wraps an optimizer in, which need not have its groups, and may clip.
    wrapped = step.site in docket.sightings.delegated
    if wrapped and draft.held:
        return None
    threshold = clipcall.threshold_for(step.site, docket)
    written = _written(step, contexts, draft, threshold, docket)
    if written is None:
        return None
    added, call = written
    sure = (
        draft.certain
        and not wrapped
        and _complete(step, contexts)
        and not moves.clips_on(docket.sightings.paths(step))
    )
    level: Applicability = "safe" if sure else "unsafe"
    before = "inside the closure" if anchor != step.site.span else f"before `{render(step.call.function)}`"
    message = f"clip the gradient norm at {threshold} {before}"
    return Repair(level, message, (*added, InsertBefore(anchor, (*prelude, call))))


def _written(
    step: Step, contexts: list[StepContext], draft: _Draft, threshold: str, docket: Docket
) -> tuple[tuple[AddImport, ...], str] | None:
    """The clip as a statement, by the plain function or by the framework's own, and the imports it takes."""
    if any(context.names.framework for context in contexts):
        names = engines.engine(contexts)
        own = engines.clip(names, step, draft.parameters, threshold, docket) if names is not None else None
        return ((), own) if own is not None else None
    body = docket.context.body(step.site.filename)
    here = locate(body, step.site.span)
    local = here.function.body if here is not None and here.function is not None else ()
    outer = imports(docket.context, step.site.filename)
    bindings = (*inner, *outer) if (inner := blocks.imports(local)) else outer
    fixes = clipcall.fixes(bindings, docket.context.knowledge)
    name: Spelling = clipcall.spelling(fixes["clip"], bindings)
    call = fixes["clip-call"].format(clip=name.text, parameters=draft.parameters, threshold=threshold)
    root = name.text.partition(".")[0]
    # The function has made the package its own (`torch = require_torch()`), or a star has brought it for others.
    stars = (one.module.partition(".")[0] for one in bindings if one.alias == "*")
    starred = any(package != root for package in stars) and blocks.uses(body)[root]
    return () if root in blocks.bound(local) or starred else name.imports, call


def _cover_the_step(step: Step, docket: Docket) -> Repair | None:
    """Have the one clip before a step cover all that the optimizer updates."""
    contexts = docket.partly(step)
    paths = [path for context in contexts for path in in_part(context)]
    sites = {site for path in paths for site in path.gradients.clips}
    draft = _draft(step, contexts, docket)
    if len(sites) != 1 or draft is None or any(path.gradients.phase is Phase.SCALED for path in paths):
        return None
    clip = docket.sightings.clips[sites.pop()]
    body = docket.context.body(step.site.filename)
    here, there = locate(body, clip.site.span), locate(body, step.site.span)
    if clip.site.filename != step.site.filename or here is None or there is None:
        return None
    if here.function is not there.function:
        return None  # the names of one function need not mean the same in the other
    return renames.over_what_it_updates(clip, draft.parameters, docket)


def _anchor(step: Step, contexts: list[StepContext]) -> Span | None:
    """The statement before which the clip belongs: the step, or one of its closure."""
    if not any(context.has_closure for context in contexts):
        return step.site.span
    found = {context.closure for context in contexts}
    return found.pop() if len(found) == 1 else None


def _draft(step: Step, contexts: list[StepContext], docket: Docket) -> _Draft | None:
    """The parameters by the name that all contexts agree on, else those that the optimizer holds."""
    named = {context.names.parameters for context in contexts}
    if len(named) == 1 and (parameters := named.pop()) is not None:
        return _Draft(parameters, any(context.certain for context in contexts))
    holders = {context.names.optimizer for context in contexts}
    holder = holders.pop() if len(holders) == 1 else None
    if holder is None:
        return None
    bindings = imports(docket.context, step.site.filename)
    text = clipcall.fixes(bindings, docket.context.knowledge)["held-parameters"].format(optimizer=holder)
    if not text:
        return None
    known = all(
        (made := optimizers(context)) and all(one.role == "optimizer" for one in made) for context in contexts
    )
    return _Draft(text, known, held=True)


def _prelude(step: Step, contexts: list[StepContext], docket: Docket) -> tuple[str, ...] | None:
    """The unscale call where the gradients carry the loss scale; None where that cannot be put right."""
    phases = {path.gradients.phase for context in contexts for path in bare(context.paths)}
    if Phase.SCALED not in phases:
        return _unseen_scale(step, docket)
    if all(context.names.framework for context in contexts):
        return ()  # the clip of a framework's object takes the scale off before
    every = {path.gradients.phase for context in step.contexts for path in context.paths}
    call = _unscale_call(contexts, docket)
    # Unscaling twice is an error at run time, so every path that has gradients must need it.
    return (call,) if call and every <= {Phase.SCALED, Phase.EMPTY, Phase.SPENT} else None


def _unseen_scale(step: Step, docket: Docket) -> tuple[str, ...]:
    """The unscale call where a scaler steps whose scaling is not in sight, and nothing has unscaled: the step would.

    A step function of the project stands where a scaler does, so its name has to say that it is one.
    """
    hinted = docket.context.knowledge.hinted
    if not all(hinted("scaler", (c.names.scaler or "").rpartition(".")[2]) for c in step.contexts):
        return ()
    met = [path.gradients for context in step.contexts for path in context.paths]
    call = _unscale_call(step.contexts, docket)
    return (call,) if call and not any(one.phase is Phase.ENTRY or one.unscaled for one in met) else ()


def _unscale_call(contexts: list[StepContext], docket: Docket) -> str:
    """The call that takes the loss scale off, where these contexts write it alike; else nothing."""
    calls = {docket.unscale_call(c.names.scaler, c.names.optimizer) for c in contexts}
    return calls.pop() if len(calls) == 1 else ""


def _complete(step: Step, contexts: list[StepContext]) -> bool:
    """Whether it is certain that the step's gradients are complete where the clip goes in."""
    return not _incomplete(step, contexts)


def _incomplete(step: Step, contexts: list[StepContext]) -> str:
    """Why it is not certain that the step's gradients are complete where the clip goes in, or nothing."""
    if any(one.rule is not None and one.rule.line_search for c in contexts for one in optimizers(c)):
        return "its line search would see a vector that is not the gradient"
    for context in step.contexts:
        for path in context.paths:
            gradients = path.gradients
            if gradients.unsure or gradients.maybe or gradients.covered is not None:
                return "on some way to the step, code that is not known may have touched the gradients"
            if gradients.phase is Phase.ENTRY:
                return "where its gradients come from is not in sight on every way to it"
            if gradients.phase in (Phase.FRESH, Phase.SCALED) and gradients.backward is None:
                return "where its gradients come from is not in sight on every way to it"
    return ""


def doubts(step: Step, docket: Docket) -> str:
    """Why a step that is reported has no fix, or none that is safe, for people who ask; else nothing."""
    if step.told is not None and step.told.clipping.first:
        return chained.doubts(step, docket)
    if step.told is not None:
        return tell.doubts(step.told)
    if rebind.concerns(step):
        return rebind.doubts(step, docket)
    contexts = docket.accused(step)
    if moves.out_of_its_condition(step, contexts, docket):
        return "somebody wrote the condition that the clip stands under"
    if moves.stays_in_its_condition(step, contexts, docket):
        return "the condition that the clip stands under asks for what the clip is told"
    if _anchor(step, contexts) is None:
        return "its closure offers no single place for the clip"
    draft = _draft(step, contexts, docket)
    if draft is None:
        return "neither the model nor the optimizer has one name at the step that all callers agree on"
    if _prelude(step, contexts, docket) is None:
        return "its gradients carry the loss scale on some ways only, and unscaling twice is an error"
    threshold = clipcall.threshold_for(step.site, docket)
    if _written(step, contexts, draft, threshold, docket) is None:
        return "the framework's own object has no one name at the step that all callers agree on"
    if not draft.certain:
        return "it is not certain which parameters the optimizer updates"
    if reason := _incomplete(step, contexts):
        return reason
    if moves.clips_on(docket.sightings.paths(step)):
        return "other ways to the step clip already, and would clip twice"
    return ""


_STEPS: dict[str, Callable[[Step, Docket], Repair | None]] = {
    "CLP101": _clip_the_step,
    "CLP102": defaults.of_step,
    "CLP103": _cover_the_step,
}
_CHAINED: dict[str, Callable[[Step, Docket], Repair | None]] = {
    "CLP102": defaults.of_step,
    "CLP104": chained.to_clip,
}
