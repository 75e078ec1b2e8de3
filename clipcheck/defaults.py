"""The fix of CLP102: the default that turns the clipping off is set to a threshold, or the switch to on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from clipcheck import blocks, clipcall, facts, naming
from clipcheck.docket import Assessed, Docket, acted_on, bare, options, usual
from clipcheck.findings import Evidence, Repair, Replace, Site, Span
from clipcheck.flow.options import written_as
from clipcheck.flow.records import Step, StepContext
from clipcheck.flow.render import last_identifier
from clipcheck.flow.values import Written, choices
from clipcheck.flow.worlds import Guard
from clipcheck.record import dataclass
from clipcheck.regular import regular

_NONE: tuple[frozenset[Guard], frozenset[Site]] = (frozenset(), frozenset())
_COMPARED = regular(r" == '([\w\-.]*)'$")  # `args.clip == 'norm'`: the word that turns it on


@dataclass(frozen=True, slots=True)
class Change:
    """A default as it is written, and what should stand there."""

    written: Written
    text: str

    @property
    def words(self) -> str:
        return f"{f'`{self.written.name}`' if self.written.name else 'the threshold'} to {self.text}"


def clip_options(context: StepContext) -> frozenset[Guard]:
    """The options that stand between the usual paths, all unclipped, and the clip of another path."""
    return _way(context)[0]


def _way(context: StepContext) -> tuple[frozenset[Guard], frozenset[Site]]:
    """The options that the nearest clipped path needs, and the clips that they turn on; of everything, before of a part."""
    common = usual(context.paths)
    if any(acted_on(path.gradients) for path in common):
        return _NONE
    always: frozenset[Guard] = frozenset.intersection(*(options(path) for path in bare(common) or common))
    ways = [
        (path.gradients, guards)
        for path in context.paths
        if acted_on(path.gradients) and (guards := _simple(options(path) - always))
    ]
    if not ways:
        return _NONE
    _, first = min(ways, key=lambda w: (w[0].covered is not None, len(w[1]), sorted(g.key for g in w[1])))
    return first, frozenset().union(*(gradients.clips for gradients, guards in ways if guards == first))


def bare_at_all(step: Step, docket: Docket) -> tuple[StepContext, Assessed] | None:
    """The riskiest context in which a step is accused, if that is reported and is no matter of an option (CLP102)."""
    contexts = docket.accused(step)
    worst = docket.worst(contexts)
    if worst is None or all(clip_options(context) for context in contexts):
        return None
    return worst if docket.matters(worst[1].risk) else None


def _simple(guards: frozenset[Guard]) -> frozenset[Guard]:
    """The guards without the compound ones (`clip and clip > 0`) that a part of theirs speaks for."""
    parts = [guard for guard in guards if " and " not in guard.key and " or " not in guard.key]
    return frozenset(
        guard for guard in guards if guard in parts or not any(one.names <= guard.names for one in parts)
    )


def of_step(step: Step, docket: Docket) -> Repair | None:
    """Set the defaults, where they are written in the file of the step."""
    found = needed(docket.accused(step), docket)
    here = [change.written.place[0] == step.site.filename and change.written.column >= 0 for change in found]
    if not found or not all(here):
        return None
    actions = tuple(_action(change) for change in found)
    message = f"set the default of {' and of '.join(change.words for change in found)}"
    return Repair("unsafe", message, actions)


def _action(change: Change) -> Replace:
    written = change.written
    row = written.place[1]
    text = f", {written.keyword}={change.text}" if written.keyword else change.text
    return Replace(Span(row, written.column, row, written.end), text)


def advice(step: Step, docket: Docket) -> str:
    """What to set where, if some of that is in a file that the fix does not write; else nothing."""
    found = needed(docket.accused(step), docket)
    elsewhere = any(change.written.place[0] != step.site.filename for change in found)
    return f"; set {naming.listed([_where(change) for change in found])}" if elsewhere else ""


def _where(change: Change) -> str:
    filename, row = change.written.place
    name = os.path.basename(filename)
    return f"{change.words} in {name}" if change.written.name else f"{change.words} in {name}:{row}"


def needed(contexts: Iterable[StepContext], docket: Docket) -> list[Change]:
    """The defaults to change so that the clip is on in every one of these contexts; none if that is not known."""
    found: dict[tuple[tuple[str, int], int], Change] = {}
    for context in contexts:
        guards, clips = _way(context)
        changes = [_of_guard(guard, docket) for guard in sorted(guards, key=lambda g: g.key)]
        for change in (*changes, *_thresholds(clips, docket)):
            if change is None:
                return []
            place = (change.written.place, change.written.column)
            if found.setdefault(place, change).text != change.text:
                return []
    return list(found.values())


def unread(step: Step, context: StepContext, docket: Docket) -> tuple[Evidence, ...]:
    """The options for clipping that the program of a step declares and does not use."""
    files = (step.site.filename, context.entry)
    found = [option for place, option in docket.sightings.options.items() if place[0] in files]
    used = _read_in(files, docket) if found else frozenset()
    idle = sorted((option for option in found if option.name not in used), key=lambda one: one.place)
    text = "an option for it, `{}`, is declared here and not used"
    return tuple(Evidence(*option.place, text.format(option.name)) for option in idle)


def _read_in(files: Iterable[str], docket: Docket) -> frozenset[str]:
    """Every name, attribute and literal key that some files read."""
    used: set[str] = set()
    for node in (node for file in set(files) for node in blocks.walk(docket.context.body(file))):
        keys: tuple[object, ...] = ()
        if isinstance(node, facts.Name):
            used.add(node.id)
        elif isinstance(node, facts.Attribute):
            used.add(node.attr)
        elif isinstance(node, facts.Subscript):
            keys = (node.index,)
        elif isinstance(node, facts.Call) and last_identifier(node.function) in ("get", "getattr", "pop"):
            keys = node.arguments[:2]
        used.update(str(key.value) for key in keys if isinstance(key, facts.Constant))
    return frozenset(used)


def _of_guard(guard: Guard, docket: Docket) -> Change | None:
    """The default that a guard hangs on, and the value that turns it round."""
    hinted = docket.context.knowledge.hinted
    named = [one for one in guard.settings if hinted("clip-option", one.name)] or list(guard.settings)
    if len(named) != 1 or _is_state(named[0], docket):
        return None
    (written,) = named
    number = repr(float(docket.context.settings.max_norm))
    compared = _COMPARED.search(guard.key)
    if isinstance(written.value, bool):
        return Change(written, repr(not written.value))
    if compared is not None:
        return Change(written, f'"{compared[1]}"') if guard.taken else None
    if isinstance(written.value, str):
        return Change(written, f'"{number}"') if _is_number(written.value) else None
    return Change(written, number)


def _is_state(written: Written, docket: Docket) -> bool:
    """Whether a value is that of an attribute which its class sets again while it runs: that is no option.

    One that a method sets to a parameter of its own (`self.clip = clip`) stays an option: a caller chooses it.
    """
    row = written.place[1]
    body = docket.context.body(written.place[0])
    around = [one for one in blocks.walk(body) if isinstance(one, facts.Class) and _covers(one, row)]
    methods = [one for cls in around for one in cls.body if isinstance(one, facts.Function)]
    kept = [(method, *pair) for method in methods for pair in _kept(method)]
    for home, name, first in kept:
        if _covers(first, row):
            return any(
                again == name
                and statement is not first
                and (method is home or not _handed_in(statement, method))
                for method, again, statement in kept
            )
    return False


def _covers(statement: facts.Statement, row: int) -> bool:
    return statement.span.row <= row <= statement.span.end_row


def _kept(method: facts.Function) -> Iterator[tuple[str, facts.Assign | facts.Augment]]:
    """The attributes that a method sets on what it is called on, and the statement of each."""
    receiver = method.parameters[0].name if method.parameters else ""
    for node in blocks.walk(method.body):
        if not isinstance(node, (facts.Assign, facts.Augment)):
            continue
        for target in node.targets if isinstance(node, facts.Assign) else (node.target,):
            if not isinstance(target, facts.Attribute) or not isinstance(target.value, facts.Name):
                continue
            if target.value.id == receiver:
                yield target.attr, node


def _handed_in(statement: facts.Assign | facts.Augment, method: facts.Function) -> bool:
    """Whether what a method sets is one of its parameters, as it is."""
    given = {one.name for one in method.parameters}
    return (
        isinstance(statement, facts.Assign)
        and isinstance(statement.value, facts.Name)
        and statement.value.id in given
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _thresholds(sites: Iterable[Site], docket: Docket) -> Iterator[Change]:
    """The thresholds that are none of the clips behind the guards: they need a number as well."""
    for clip in (docket.sightings.clips[site] for site in sorted(sites) if site in docket.sightings.clips):
        for value in (one.threshold for one in clip.contexts if one.threshold is not None):
            for choice in choices(value):
                written = written_as("", choice)
                if written is None or isinstance(written.value, (bool, str)):
                    continue
                if written.value is None or not clipcall.LEAST <= written.value < clipcall.MOST:
                    yield Change(written, repr(float(docket.context.settings.max_norm)))
