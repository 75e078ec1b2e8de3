"""Chains: transformations that turn gradients into updates, each of its own or made of others, and clip or not.

What a chain does is read as a sequence of links in the order in which gradients pass them; a step is recorded at
the call that makes the outermost transformation, since that is what clips when it is told to.
"""

from __future__ import annotations

from collections.abc import Iterator

from clipcheck import facts
from clipcheck.findings import Site
from clipcheck.flow.functional import Functional
from clipcheck.flow.records import Clip, ClipContext, Path, Step, Told
from clipcheck.flow.values import (
    Arguments,
    Items,
    Literal,
    Object,
    Value,
    choices,
    entries_of,
)
from clipcheck.flow.worlds import Guard
from clipcheck.project import Project
from clipcheck.protocol import Event, Gradients
from clipcheck.record import dataclass, replace

ROLE = "transformation"
MAX_READINGS = 16  # of one chain, by the options that it is made with
EXACT = ("norm", "value")  # clips whose effect is known
MAX_NESTED = 8  # transformations inside transformations


@dataclass(frozen=True, slots=True)
class Link:
    """One thing that happens to gradients on their way through a chain; `made` is what does it."""

    does: str  # "clip", "step", "accumulation", or "unknown"
    made: Object | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a transformation does in one case: its links, and the guards under which it is made like that."""

    links: tuple[Link, ...] = ()
    guards: frozenset[Guard] = frozenset()

    def then(self, other: Reading) -> Reading:
        return Reading(self.links + other.links, self.guards | other.guards)


class Chains(Functional):
    """Reads transformations, and records their steps and clips."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.born_under: dict[str, frozenset[Guard]] = {}  # by the key of a transformation
        self.calls_of: dict[
            str, tuple[facts.Call, str]
        ] = {}  # by the same key: its call, and the function around

    def made(self, made: Object, call: facts.Call | None = None) -> None:
        """Remember under which options a transformation is made; its own call is where a finding stands."""
        super().made(made, call)
        if made.role != ROLE or call is None:
            return
        shared = [world.guards for world in self.worlds]
        self.born_under[made.key] = frozenset.intersection(*shared) if shared else frozenset()
        self.born_under[made.key] |= frozenset(self.conditions)
        self.calls_of[made.key] = call, self.function_name()
        if made.key in self.told:
            told = self.told[made.key]
            self.told[made.key] = replace(told, site=Site(told.site.filename, call.span))

    # -- reading -----------------------------------------------------------------------------------------

    def readings(self, value: Value, depth: int = MAX_NESTED) -> list[Reading]:
        """All that a value may do to gradients, by the options that it was made with."""
        if not depth:
            return [Reading((Link("unknown"),))]
        found = [one for choice in choices(value) for one in self._readings_of(choice, depth - 1)]
        return _opposed(list(dict.fromkeys(found))[:MAX_READINGS])

    def _readings_of(self, value: Value, depth: int) -> list[Reading]:
        if isinstance(value, Items):
            return self._joined(value.members, depth)
        if isinstance(value, Literal):  # the name in a pair of name and transformation; None is no member
            return [Reading()] if isinstance(value.value, str) else []
        if not isinstance(value, Object) or value.rule is None or value.rule.transforms is None:
            return [Reading((Link("unknown"),))]
        own = Reading(guards=self.born_under.get(value.key, frozenset()))
        return [own.then(one) for one in self._links_inside(value, depth)]

    def _links_inside(self, made: Object, depth: int) -> list[Reading]:
        """What one transformation does, its members included."""
        assert made.rule is not None
        assert made.rule.transforms is not None
        does = made.rule.transforms.does
        if does in ("clip", "step"):
            return [Reading((Link(does, made),))]
        if does == "nothing":
            return [Reading()]
        parts = members_of(made)
        if does == "sequence":
            return self._joined(parts, depth)
        if not parts:
            return [Reading((Link("unknown"),))]
        if does == "apart":
            return self._apart(parts, depth)
        inner = self.readings(parts[0], depth)
        front = Reading((Link(does, made),)) if does == "accumulation" else Reading()
        return [front.then(one) for one in inner]

    def _joined(self, parts: tuple[Value, ...], depth: int) -> list[Reading]:
        """One member after the other, in every combination."""
        found = [Reading()]
        for part in parts:
            after = self.readings(part, depth)
            found = [one.then(other) for one in found for other in after][:MAX_READINGS]
        return found

    def _apart(self, parts: tuple[Value, ...], depth: int) -> list[Reading]:
        """Members that each have parameters of their own: where one of them clips, nothing is sure of the whole."""
        inside = [one for part in parts for one in self.readings(part, depth)]
        links = [link for one in inside for link in one.links]
        if any(link.does in ("unknown", "clip") for link in links) or not links:
            return [Reading((Link("unknown"),))]
        return [Reading(inside[0].links or (links[0],))]

    def only_clips(self, transformation: Value) -> bool:
        """Whether a transformation gives back gradients, clipped or as they were, and no updates."""
        links = [link for one in self.readings(transformation) for link in one.links]
        return all(link.does == "clip" for link in links)

    # -- the outermost transformation --------------------------------------------------------------------

    def steppers(self, transformation: Value) -> Iterator[tuple[Told, list[Reading]]]:
        """The calls that make what is stepped, each with what it may do; of what is not known, nothing."""
        made = [one for one in choices(transformation) if isinstance(one, Object) and one.role == ROLE]
        groups: dict[str, list[Object]] = {}
        for one in made:
            inside = [other for other in made if other is not one and other in _all_inside(one)]
            groups.setdefault((inside or [one])[0].key, []).append(one)
        every = {one.key: self._readings_of(one, MAX_NESTED) for one in made}
        opposed = iter(_opposed([reading for found in every.values() for reading in found]))
        named = {key: [next(opposed) for _ in found] for key, found in every.items()}
        for key, group in groups.items():
            if key in self.told:
                self.told[key].inner, self.told[key].obstacle = self._inner_told(self.sightings.objects[key])
                yield self.told[key], [reading for one in group for reading in named[one.key]]

    def _inner_told(self, made: Object, depth: int = MAX_NESTED) -> tuple[Told | None, str]:
        """What has to be told in place of something that wraps it, or why that cannot be."""
        transforms = made.rule.transforms if made.rule is not None else None
        if transforms is None or transforms.does not in ("inner", "accumulation") or not depth:
            return None, ""
        parts = [choice for part in members_of(made) for choice in choices(part)]
        inside = parts[0] if len(parts) == 1 else None
        if isinstance(inside, Object) and inside.key in self.told:
            deeper, obstacle = self._inner_told(inside, depth - 1)
            return deeper or self.told[inside.key], obstacle
        accumulates = transforms.does == "accumulation"
        return None, "what it accumulates for is not in sight" if accumulates else ""

    def step_through(
        self,
        transformation: Value,
        before: list[tuple[Gradients, frozenset[Guard]]],
        models: tuple[Value, ...],
    ) -> None:
        """Record the step of a transformation on gradients in one of these states."""
        for told, found in self.steppers(transformation):
            paths = [
                path
                for reading in found
                for state, guards in before
                for path in self._pass(reading, told, state, guards | reading.guards)
            ]
            if paths:
                self._record(transformation, told, paths, models)

    def _pass(
        self, reading: Reading, told: Told, state: Gradients, guards: frozenset[Guard]
    ) -> Iterator[Path]:
        """Send gradients through the links of a chain; the step that they come to, on its path."""
        stepped = False
        if any(link.does == "unknown" for link in reading.links):
            state = replace(state, unsure=state.unsure or "a part of the chain is not known")
        for link in reading.links:
            if link.does == "clip" and link.made is not None:
                state = self._clip_link(link.made, told, state, guards, stepped=stepped)
            elif link.does == "accumulation":  # a clip that came before has cut each micro-batch
                state = replace(state, partial=state.partial | state.clips)
            elif link.does == "step" and not stepped:
                after, code = state.after(Event.STEP, told.site)
                yield Path(state, guards, code)
                state, stepped = after, True
        if not stepped:
            state = replace(state, unsure=state.unsure or "no part of the chain is known to step")
            yield Path(state, guards, state.after(Event.STEP, told.site)[1])

    def _clip_link(
        self, made: Object, told: Told, state: Gradients, guards: frozenset[Guard], *, stepped: bool
    ) -> Gradients:
        """A clip in a chain: what it does to the gradients, and a record of it for the judges."""
        assert made.rule is not None
        assert made.rule.transforms is not None
        call, function = self.calls_of[made.key]
        site = Site(made.site.filename, call.span)
        after, code = state.after(Event.CLIP, site)
        kind = made.rule.transforms.kind
        if stepped:
            after, code = replace(state, vain=state.vain | {site}), "CLP201" if kind in EXACT else ""
        clip = self.sightings.clips.setdefault(site, Clip(site, call, kind, "", function, told=told))
        threshold = Arguments(made.arguments, made.keywords).get(made.rule.transforms.threshold)
        paths = [Path(state, guards, code)]
        clip.met(ClipContext(paths, threshold, None, False, True, False, label=self.context_label()))
        return after

    def _record(
        self, transformation: Value, told: Told, paths: list[Path], models: tuple[Value, ...]
    ) -> None:
        step = self.sightings.steps.setdefault(told.site, Step(told.site, told.call, told=told))
        used = self.site()
        if step.told is not None:
            step.told.used(used)
        made = [one for one in choices(transformation) if isinstance(one, Object)]
        own = [one for one in made if self.told.get(one.key) is told]
        optimizer = next(iter(own or made), transformation)
        step.met(self.told_context(f"{used.filename}:{used.span.row}", optimizer, models, paths))


def members_of(made: Object) -> tuple[Value, ...]:
    """The transformations that one is made of."""
    transforms = made.rule.transforms if made.rule is not None else None
    if transforms is None:
        return ()
    if transforms.members is None:
        return made.arguments
    given = Arguments(made.arguments, made.keywords).get(transforms.members)
    if given is None:
        return ()
    if transforms.does == "apart":
        tables = [entries_of(one) for one in choices(given)]
        return tuple(value for table in tables for value in table) if all(tables) else ()
    return (given,)


def _all_inside(made: Object, depth: int = MAX_NESTED) -> Iterator[Object]:
    """Every transformation inside of one, at any depth."""
    parts = list(members_of(made)) if depth else []
    while parts:
        for choice in choices(parts.pop()):
            if isinstance(choice, Items):
                parts += choice.members
            elif isinstance(choice, Object):
                yield choice
                yield from _all_inside(choice, depth - 1)


def _opposed(readings: list[Reading]) -> list[Reading]:
    """Alternatives with what tells them apart: where one hangs on a guard, the others are without it."""
    common = frozenset.intersection(*(one.guards for one in readings)) if readings else frozenset()
    found = {guard for one in readings for guard in one.guards - common}
    out = []
    senses = [guard.key for guard in found]
    for one in readings:
        known = {guard.key for guard in one.guards}
        missing = {
            replace(guard, taken=not guard.taken)
            for guard in found
            if guard.key not in known and senses.count(guard.key) == 1
        }
        out.append(replace(one, guards=one.guards | missing))
    return out
