"""Fixes that put a clip in its right place: before the step, after the unscaling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from clipcheck import blocks, facts
from clipcheck.blocks import Located, locate
from clipcheck.docket import Docket, acted_on, bare, usual
from clipcheck.faults import EXACT, cut_up
from clipcheck.findings import Applicability, InsertBefore, MoveAfter, MoveBefore, Repair, Site, Span
from clipcheck.flow.bounds import mentioned, references
from clipcheck.flow.records import Clip, ClipContext, Path, Step, StepContext
from clipcheck.flow.render import names_in, render
from clipcheck.knowledge import Knowledge
from clipcheck.protocol import Phase
from clipcheck.record import dataclass


def to_the_step(clip: Clip, docket: Docket) -> Repair | None:
    """Move a clip that came too early or too late to right before the step it should guard."""
    steps = docket.steps_missed_by(clip)
    body = docket.context.body(clip.site.filename)
    here = locate(body, clip.site.span)
    if not steps or here is None or any(step.site.filename != clip.site.filename for step in steps):
        return None
    step = next((one for one in steps if _beside(here, locate(body, one.site.span))), steps[0])
    there = locate(body, step.site.span)
    if there is None or there.function is not here.function or step.contexts[0].has_closure:
        return None
    source = _movable(here, there, clip)
    prelude = _prelude(clip, step, docket)
    if source is None or prelude is None:
        return None
    plain = isinstance(here.statement, facts.Evaluate)
    sure = plain and len(steps) == 1 and _beside(here, there) and _independent(here, there, clip)
    level: Applicability = "safe" if sure else "unsafe"
    message = f"move the clip to before `{render(step.call.function)}`"
    return Repair(level, message, (MoveBefore(source, step.site.span, prelude),))


def out_of_its_condition(step: Step, contexts: Sequence[StepContext], docket: Docket) -> Repair | None:
    """Move the one clip that only some ways to a step pass to right before the step, where all of them do."""
    parted = _parted(step, contexts, docket)
    if parted is None or parted.asks_for_its_own or any(_prelude_needed(context) for context in contexts):
        return None
    clip, block, conditions = parted.clip, parted.block, parted.conditions
    if blocks.bound(block[parted.index + 1 : parted.step]) & names_in(clip.call):
        return None
    emptied = conditions[0].span if _hold_nothing_else(conditions) else None
    way = f"move the clip to before `{render(step.call.function)}`, where every way passes"
    target = step.site.span
    if others := _guarded_too(clip, step, docket):  # they need it as well, so it stays before all of them
        target = block[parted.step].span
        way = "move the clip out of its condition, so that every way passes it"
        body = docket.context.body(clip.site.filename)
        if not all(_at_or_after(block, parted.step, locate(body, site.span)) for site in others):
            return None
    return Repair("unsafe", way, (MoveBefore(clip.site.span, target, (), emptied),))


def stays_in_its_condition(step: Step, contexts: Sequence[StepContext], docket: Docket) -> bool:
    """Whether the one clip of a step stands under a condition that asks for what it is told: `if limit is not None`."""
    parted = _parted(step, contexts, docket)
    return parted is not None and parted.asks_for_its_own


@dataclass(frozen=True, slots=True)
class _Parted:
    """The one clip that only some ways to a step pass, and the block in which they part from the others."""

    clip: Clip
    block: facts.Block
    index: int  # of the outermost condition around the clip
    step: int  # of the step, or of what stands around it
    conditions: tuple[facts.Branch, ...]

    @property
    def asks_for_its_own(self) -> bool:
        """Whether a condition asks for what the clip is told: without it, the call may be an error."""
        asked = (render(node) for one in self.conditions for node in references(one.test))
        return not mentioned(self.clip.call).isdisjoint(asked)


def _parted(step: Step, contexts: Sequence[StepContext], docket: Docket) -> _Parted | None:
    clips = clips_on(path for context in contexts for path in usual(context.paths))
    # one that another caller, or an option, brings in would then clip as well
    lone = len(clips) == 1 and clips == clips_on(docket.sightings.paths(step))
    clip = docket.sightings.clips.get(min(clips)) if lone else None
    if clip is None or clip.kind not in EXACT or clip.site.filename != step.site.filename:
        return None
    body = docket.context.body(clip.site.filename)
    here, there = locate(body, clip.site.span), locate(body, step.site.span)
    if here is None or there is None or here.function is not there.function or step.contexts[0].has_closure:
        return None
    if not isinstance(here.statement, facts.Evaluate) or here.statement.value != clip.call:
        return None
    # where both ways part: a condition around the clip, and the step or something around it, in one block
    around = {id(block): index for block, index in there.chain}
    depth = max((d for d, (block, _) in enumerate(here.chain) if id(block) in around), default=-1)
    block, index = here.chain[depth]
    found = [block[index] for block, index in here.chain[depth:-1]]
    conditions = tuple(one for one in found if isinstance(one, facts.Branch))
    if depth < 0 or not conditions or len(conditions) != len(found):
        return None
    return _Parted(clip, block, index, around[id(block)], conditions)


def _guarded_too(clip: Clip, step: Step, docket: Docket) -> list[Site]:
    """The other steps that the clip guards, on some way."""
    steps = docket.sightings.steps
    return [s for s in steps if s != step.site and clip.site in clips_on(docket.sightings.paths(steps[s]))]


def _at_or_after(block: facts.Block, index: int, there: Located | None) -> bool:
    """Whether something stands in a statement of a block from an index on."""
    chain = there.chain if there is not None else ()
    return any(around is block and number >= index for around, number in chain)


def clips_on(paths: Iterable[Path]) -> frozenset[Site]:
    """The clips that act on the gradients of a step, on some of the ways to it."""
    return frozenset(site for path in paths if acted_on(path.gradients) for site in path.gradients.clips)


def _hold_nothing_else(conditions: Sequence[facts.Statement]) -> bool:
    """Whether these are conditions, one in the other, around a single statement."""
    return all(isinstance(one, facts.Branch) and len(one.body) == 1 and not one.orelse for one in conditions)


def _prelude_needed(context: StepContext) -> bool:
    return any(path.gradients.phase is Phase.SCALED for path in bare(context.paths))


def _beside(here: Located, there: Located | None) -> bool:
    return there is not None and here.block is there.block


def _movable(here: Located, there: Located, clip: Clip) -> Span | None:
    """The span of what moves: the clip's own statement, or the condition that holds nothing else."""
    statement = here.statement
    if not isinstance(statement, (facts.Evaluate, facts.Assign)) or statement.value != clip.call:
        return None  # the clip is part of an expression that does more
    depth = next((d for d, (block, _) in enumerate(here.chain) if block is there.block), None)
    if depth is None:  # the step stands deeper than the clip
        outer = [block for block, _ in there.chain]
        return clip.site.span if here.block in outer else None
    moving = [block[index] for block, index in here.chain[depth:]]
    return moving[0].span if _hold_nothing_else(moving[:-1]) else None


def _independent(here: Located, there: Located, clip: Clip) -> bool:
    """Whether nothing between clip and step binds a name that the clip reads."""
    low, high = sorted((here.index, there.index))
    between = here.block[low + 1 : high]
    return not blocks.bound(between) & names_in(clip.call)


def into_the_accumulation(clip: Clip, docket: Docket) -> Repair | None:
    """Move a clip of every micro-batch to right before the step that uses their sum."""
    steps = cut_up(clip, docket)
    body = docket.context.body(clip.site.filename)
    here = locate(body, clip.site.span)
    if len(steps) != 1 or here is None or steps[0].site.filename != clip.site.filename:
        return None
    step = steps[0]
    there = locate(body, step.site.span)
    if there is None or there.function is not here.function or step.contexts[0].has_closure:
        return None
    source = _whole(here, there, clip)
    prelude = _unscaled_before(clip, there, docket)
    if source is None or prelude is None or not _unread(here, there):
        return None
    message = (
        f"move the clip to before `{render(step.call.function)}` (the direction changes: so does the run)"
    )
    return Repair("unsafe", message, (MoveBefore(source, step.site.span, prelude),))


def _whole(here: Located, there: Located, clip: Clip) -> Span | None:
    """The span of what moves, as `_movable`, where both stand in blocks around the step or beside them."""
    statement = here.statement
    if not isinstance(statement, (facts.Evaluate, facts.Assign)) or statement.value != clip.call:
        return None
    around = [block for block, _ in there.chain]
    depth = max(
        (d for d, (block, _) in enumerate(here.chain) if any(block is b for b in around)), default=None
    )
    if depth is None:
        return None
    moving = [block[index] for block, index in here.chain[depth:]]
    lone = _hold_nothing_else(moving[:-1])
    if not lone and not all(isinstance(g, facts.For) for g in moving[:-1]):
        return None
    return moving[0].span if lone else clip.site.span


def _unread(here: Located, there: Located) -> bool:
    """Whether nobody but the step's own block reads the norm that a clip gives back."""
    names = blocks.bound((here.statement,))
    if not names:
        return True
    if here.function is None:
        return False
    reads = [n for n in blocks.walk(here.function.body) if isinstance(n, facts.Name) and n.id in names]
    near = [n for n in blocks.walk(there.block[there.index :]) if isinstance(n, facts.Name) and n.id in names]
    return len(reads) == len(near) + len(names)


def _unscaled_before(clip: Clip, there: Located, docket: Docket) -> tuple[str, ...] | None:
    """The unscale call that must come before the moved clip; None where it cannot be written."""
    paths = [path for context in clip.contexts for path in context.paths]
    if any(path.gradients.unscaled is not None for path in paths):
        return None  # it unscales every micro-batch, which is an error of its own
    if not any(path.code == "CLP203" for path in paths):
        return ()
    names = _unscale_names(docket.context.knowledge)
    scope = there.function.body if there.function is not None else there.chain[0][0]
    if _calls_of(names, there.block[: there.index]):
        return ()
    call = _unscale_for(clip, docket)
    return (call,) if call and not _calls_of(names, scope) else None


def _unscale_names(knowledge: Knowledge) -> frozenset[str]:
    return knowledge.methods_of("unscale")


def _calls_of(names: frozenset[str], block: object) -> list[facts.Call]:
    return [n for n in blocks.walk(block) if isinstance(n, facts.Call) and _method(n) in names]


def _prelude(clip: Clip, step: Step, docket: Docket) -> tuple[str, ...] | None:
    """The unscale call that must come before the moved clip; None where it cannot be written (yet)."""
    paths = [path for context in step.contexts for path in bare(context.paths)]
    if not any(path.gradients.phase is Phase.SCALED for path in paths):
        return ()
    names = {(context.names.scaler, context.names.optimizer) for context in step.contexts}
    calls = {docket.unscale_call(*pair) for pair in names}
    same = all(path.gradients.phase is Phase.SCALED for path in paths)
    # The first clip that moves brings the call along; the next pass sees it and moves the others.
    first = min(
        (s for s in docket.vain if step in docket.steps_missed_by(docket.sightings.clips[s])), default=None
    )
    return tuple(calls) if same and len(calls) == 1 and "" not in calls and first == clip.site else None


def after_unscale(clip: Clip, docket: Docket) -> Repair | None:
    """Unscale before the clip; where the code unscales after it, the clip moves behind that."""
    if cut_up(clip, docket):  # unscaling every micro-batch is an error at run time
        return into_the_accumulation(clip, docket)
    here = locate(docket.context.body(clip.site.filename), clip.site.span)
    call = _unscale_for(clip, docket)
    if here is None or not call:
        return None
    following = _unscales_after(here, docket.context.knowledge)
    if following is None:
        return None  # it unscales deeper down: doing it twice is an error at run time
    level: Applicability = "safe" if all(_always_scaled(context) for context in clip.contexts) else "unsafe"
    if not following:
        first = _first_of(here, clip, call, docket)
        return Repair(level, f"call `{call}` before the clip", (InsertBefore(first, (call,)),))
    anchor = next((one for one in following if render(one.value) == call), None)
    if anchor is None:
        return Repair(level, f"call `{call}` before the clip", (InsertBefore(clip.site.span, (call,)),))
    plain = isinstance(here.statement, facts.Evaluate) and here.statement.value == clip.call
    if not plain:
        return None
    return Repair(level, f"move the clip to after `{call}`", (MoveAfter(clip.site.span, anchor.span),))


def _unscale_for(clip: Clip, docket: Docket) -> str:
    """The one unscale call that a clip of scaled gradients wants, "" where it is not clear."""
    scaled = [one for one in clip.contexts if any(path.code == "CLP203" for path in one.paths)]
    calls = {docket.unscale_call(one.scaler, one.optimizer) for one in scaled} - {""}
    return calls.pop() if len(calls) == 1 else ""


def _always_scaled(context: ClipContext) -> bool:
    """Whether the gradients carry the scale on every path, so that unscaling is never wrong."""
    return all(path.gradients.phase in (Phase.SCALED, Phase.EMPTY) for path in context.paths)


def _unscales_after(here: Located, knowledge: Knowledge) -> list[facts.Evaluate] | None:
    """The unscale calls right in the block of the clip, after it; None where others follow elsewhere."""
    names = _unscale_names(knowledge)
    beside: list[facts.Evaluate] = []
    for depth, (block, index) in enumerate(reversed(here.chain)):
        for statement in block[index + 1 :]:
            called = [n for n in blocks.walk(statement) if isinstance(n, facts.Call) and _method(n) in names]
            if called and depth == 0 and isinstance(statement, facts.Evaluate) and statement.value in called:
                beside.append(statement)
            elif called:
                return None
    return beside


def _method(call: facts.Call) -> str:
    return call.function.attr if isinstance(call.function, facts.Attribute) else ""


def _first_of(here: Located, clip: Clip, call: str, docket: Docket) -> Span:
    """The first clip of the block that wants the same unscale call: written twice, it is an error."""
    spans = [statement.span for statement in here.block[: here.index + 1]]
    wanting = [
        other.site.span
        for other in docket.sightings.clips.values()
        if other.site.filename == clip.site.filename
        and other.site.span in spans
        and _unscale_for(other, docket) == call
    ]
    return min(wanting, default=clip.site.span)
