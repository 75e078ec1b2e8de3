"""Clips of the wrong gradients: partial sums (CLP204), nothing at all (CLP205), another model's (CLP207), one that nobody uses (CLP210)."""

from __future__ import annotations

from collections.abc import Iterable

from clipcheck import blocks, clipcall, facts
from clipcheck.blocks import Located, locate
from clipcheck.docket import Docket, Fault, JudgeContext, optimizers, still_scaled, unsure, usual
from clipcheck.facts import Expression
from clipcheck.flow.records import Clip, Path, Sightings, Step, StepContext
from clipcheck.flow.render import render
from clipcheck.flow.values import Object
from clipcheck.protocol import Phase
from clipcheck.regular import regular
from clipcheck.results import ignored_by

_WORD = regular(r"[^\W\d]\w*")
EXACT = ("norm", "value")  # clips whose effect and parameters are known


def docket_of(sightings: Sightings, context: JudgeContext) -> Docket:
    """The docket of a run, with the clips found beforehand that speak for their steps."""
    docket = Docket.of(sightings, context)
    found = {site: fault for site, clip in sightings.clips.items() if (fault := _fault(clip, docket))}
    strangers = {site for site, fault in found.items() if fault.code == "CLP207"}
    vain = {site: code for site, code in docket.vain.items() if site not in strangers}
    return docket.with_faults(vain, found)


def _fault(clip: Clip, docket: Docket) -> Fault | None:
    if ignoring := ignored_by(clip, docket):
        return Fault("CLP210", ignoring)
    if clip.kind not in EXACT or clip.maker:
        return None
    reason = hollow(clip, docket)
    if reason or exhausted(clip):
        return Fault("CLP205", tuple(step.site for step in _guarded(clip, docket)), reason)
    if steps := missed(clip, docket):
        return Fault("CLP207", tuple(step.site for step in steps))
    if not still_scaled(clip) and (steps := cut_up(clip, docket)):
        return Fault("CLP204", tuple(step.site for step in steps))
    return None


def _guarded(clip: Clip, docket: Docket) -> list[Step]:
    """The steps whose gradients a clip acts on, in any context."""
    steps = docket.encounters.of_clip(clip.site)
    return [step for step in steps if any(clip.site in path.gradients.clips for path in _paths(step))]


def _paths(step: Step) -> Iterable[Path]:
    return (path for context in step.contexts for path in context.paths)


# -- partial sums ------------------------------------------------------------------------------------


def cut_up(clip: Clip, docket: Docket) -> list[Step]:
    """The steps whose accumulation a clip cuts up: it acts on every micro-batch, they on their sum."""
    return [step for step in docket.encounters.of_clip(clip.site) if _cuts_up(clip, step, docket)]


def _cuts_up(clip: Clip, step: Step, docket: Docket) -> bool:
    paths = [
        path
        for path in _paths(step)
        if path.gradients.phase is Phase.CLIPPED
        and clip.site in path.gradients.clips & path.gradients.partial
        and not unsure(path.gradients)
    ]
    if not paths:
        return False
    # The framework's own accumulation: behind the clip in its chain, or around it.
    if clip.told is not None or any(context.summed for context in clip.contexts):
        return True
    guarded = any(_accumulates(guard.key, docket) for path in paths for guard in path.guards)
    return guarded or _in_a_loop_of_its_own(clip, step, docket)


def _accumulates(text: str, docket: Docket) -> bool:
    """Whether a test reads like one for the last micro-batch: `(i + 1) % steps == 0`."""
    test = text.rpartition(":")[2]
    words = _WORD.findall(test)
    return " % " in test or any(docket.context.knowledge.hinted("accumulation", word) for word in words)


def _in_a_loop_of_its_own(clip: Clip, step: Step, docket: Docket) -> bool:
    """Whether the clip stands in a loop over micro-batches, by its head, and the step behind that loop."""
    body = docket.context.body(clip.site.filename)
    here, there = locate(body, clip.site.span), locate(body, step.site.span)
    if here is None or there is None or here.function is not there.function:
        return False
    around = [block[index] for block, index in there.chain]
    for block, index in reversed(here.chain):
        loop = block[index]
        if isinstance(loop, facts.For):
            head = f"{render(loop.target)} {render(loop.source)}"
            return loop not in around and _accumulates(head, docket)
    return False


# -- nothing -----------------------------------------------------------------------------------------


def exhausted(clip: Clip) -> str:
    """The iterator that has nothing left for a clip on some way that the program usually takes, or nothing."""
    for context in clip.contexts:
        if any(path.code == "CLP205" for path in usual(context.paths)):
            return context.iterator
    return ""


def hollow(clip: Clip, docket: Docket) -> str:
    """Why what a call hands over can never hold gradients, by how it is written; "" where it may."""
    rule = clipcall.call_rule(clip.call, docket.context.knowledge)
    given = clipcall.argument(clip.call, rule, "parameters") if rule is not None else None
    if rule is None and isinstance(clip.call.function, facts.Name) and clip.call.arguments:
        given = clip.call.arguments[0]  # the function under another name
    if given is None:
        return ""
    here = locate(docket.context.body(clip.site.filename), clip.site.span)
    if isinstance(given, facts.Name):
        made = _made_once(given.id, clip, here, docket)
        return _hollow(made) if made is not None else ""
    return _hollow(given)


def _made_once(name: str, clip: Clip, here: Located | None, docket: Docket) -> Expression | None:
    """What a name stands for, where it is bound once in its function and used for nothing but the clip."""
    if here is None:
        return None
    scope = here.function.body if here.function is not None else docket.context.body(clip.site.filename)
    made: Expression | None = facts.Name(name, clip.call.row)
    met: set[str] = set()
    while isinstance(made, facts.Name):  # a name may be given to what has one
        if made.id in met or blocks.uses(scope)[made.id] != 2:
            return None  # its binding, and the clip's argument
        met.add(made.id)
        made = blocks.assigned(scope).get(made.id)
    return made


def _hollow(given: Expression) -> str:
    while isinstance(given, facts.Call) and len(given.arguments) == 1 and _is_list(given.function):
        given = given.arguments[0]
    if isinstance(given, facts.Collection) and not given.items:
        return "an empty list"
    if isinstance(given, facts.Call) and isinstance(given.function, facts.Attribute):
        source = given.function.value
        plain = isinstance(source, facts.Call) and not source.arguments and not source.keywords
        if plain and given.function.attr == "values" and _method(source) == "state_dict":
            return "the values of a state_dict, which are copies without gradients"
    if isinstance(given, facts.Comprehension):
        return _copies(given)
    return ""


def _is_list(function: Expression) -> bool:
    return isinstance(function, facts.Name) and function.id in ("list", "tuple", "iter")


def _method(call: Expression) -> str:
    function = call.function if isinstance(call, facts.Call) else None
    return function.attr if isinstance(function, facts.Attribute) else ""


def _copies(given: facts.Comprehension) -> str:
    """What `[p.grad for p in …]` and its like are lists of."""
    element, kinds = given.element, set()
    while isinstance(element, (facts.Attribute, facts.Call)):
        if isinstance(element, facts.Call):
            if element.arguments or element.keywords or not isinstance(element.function, facts.Attribute):
                return ""
            element = element.function
        kinds.add(element.attr)
        element = element.value
    bound = [node for clause in given.clauses for node in blocks.walk(clause.target)]
    targets = [node.id for node in bound if isinstance(node, facts.Name)]
    if not isinstance(element, facts.Name) or element.id not in targets:
        return ""
    if not kinds or kinds - {"grad", "data", "clone", "detach"}:
        return ""
    if "grad" in kinds:
        return "a list of gradients, which have none of their own: the clip wants the parameters"
    return "a list of copies without gradients"


# -- another model -----------------------------------------------------------------------------------


def missed(clip: Clip, docket: Docket) -> list[Step]:
    """The unclipped steps right behind a clip of another model, where it guards no step at all."""
    if _guarded(clip, docket):
        return []
    steps = docket.encounters.of_clip(clip.site)
    found = [step for step in steps if any(_passed_by(clip, context, docket) for context in step.contexts)]
    if not found or not _all_known(clip.site.filename, docket):
        return []  # one of them may be the step that the clip is for
    return found


def _all_known(filename: str, docket: Docket) -> bool:
    """Whether it is known of all steps of a file what they update."""
    steps = [step for step in docket.sightings.steps.values() if step.site.filename == filename]
    return all(_is_known(context) for step in steps for context in step.contexts)


def _is_known(context: StepContext) -> bool:
    known = bool(context.models) and all(isinstance(model, Object) for model in context.models)
    return known and context.certain and len(optimizers(context)) == 1


def _passed_by(clip: Clip, context: StepContext, docket: Docket) -> bool:
    accusing = docket.accusing(context)
    return bool(accusing) and all(clip.site in path.gradients.foreign for path in accusing)
