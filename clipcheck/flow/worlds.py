"""The paths through a program: sets of worlds, each with its guards and its gradients.

Equal guards correlate until a name in them is assigned, so that `if sync: clip` … `if sync: step` is one
path and not four. Worlds with equal gradients are merged and keep the guards they share, which bounds
their number by the number of distinct states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from clipcheck.flow.values import Written
from clipcheck.protocol import Gradients
from clipcheck.record import HashedOnce, dataclass, field, replace

MAX_WORLDS = 48
MAX_SIDES = 8  # paths with open guards that are told apart once they have met
ANY = "*"  # the optimizers that have not been met yet
VALUE = "gradient "  # how the key of a gradient that is a value begins


@dataclass(frozen=True, slots=True)
class Guard(HashedOnce):
    """One branch taken: the test as text, and which way it went."""

    key: str
    names: frozenset[str]
    taken: bool
    usual: bool | None = None  # the way it goes with every option at its default
    settings: tuple[Written, ...] = field(default=(), compare=False)  # the defaults that it hangs on
    either: tuple[str, ...] = ()  # the tests of which one holds, where several paths have met in this guard
    open: bool = False  # it asks for an option of clipping, or a warm-up, and nobody knows how that stands
    sides: frozenset[frozenset[Guard]] = frozenset()  # what open guards led to, where such paths have met

    @property
    def unusual(self) -> bool:
        """Whether some option must differ from its default for this branch to be taken."""
        return self.usual is not None and self.usual is not self.taken


@dataclass(frozen=True, slots=True)
class World(HashedOnce):
    """One path: the gradients of each optimizer (by key), the guards that led here, the iterators used up."""

    states: tuple[tuple[str, Gradients], ...] = ((ANY, Gradients()),)
    guards: frozenset[Guard] = frozenset()
    spent: frozenset[str] = frozenset()  # iterators over parameters that have nothing left to give

    def get(self, key: str) -> Gradients:
        found = self.find(key)
        return found if found is not None else dict(self.states)[ANY]

    def find(self, key: str) -> Gradients | None:
        for name, state in self.states:
            if name == key:
                return state
        return None

    def having(self, key: str, state: Gradients) -> World:
        states = dict(self.states)
        states[key] = state
        return World(tuple(sorted(states.items(), key=_first)), self.guards, self.spent)

    def mapped(self, change: Callable[[str, Gradients], Gradients]) -> World:
        states = tuple((key, change(key, state)) for key, state in self.states)
        return World(states, self.guards, self.spent)

    def decided(self, key: str) -> bool | None:
        for guard in self.guards:
            if guard.key == key:
                return guard.taken
        return None

    @property
    def unusual(self) -> bool:
        """Whether some option must differ from its default for this path to be taken."""
        return any(guard.usual is not None and guard.usual is not guard.taken for guard in self.guards)


Worlds = tuple[World, ...]


def _where(written: Written) -> tuple[tuple[str, int], int]:
    return written.place, written.column


def _first(item: tuple[str, Gradients]) -> str:
    return item[0]


def merge(groups: Iterable[Worlds]) -> Worlds:
    """All worlds of several paths that meet; those with equal gradients become one."""
    kept = [worlds for worlds in groups if worlds]
    if len(kept) == 1 and len(kept[0]) == 1:
        return kept[0]
    found: dict[tuple[tuple[str, Gradients], ...], World] = {}
    same: dict[
        int, tuple[tuple[str, Gradients], ...]
    ] = {}  # by identity, since hashing states takes its time
    for worlds in kept:
        for world in worlds:
            states = same.get(id(world.states))
            if states is None:
                twin = found.get(world.states)
                states = same[id(world.states)] = world.states if twin is None else twin.states
            else:
                twin = found[states]
            found[states] = (
                world
                if twin is None
                else World(states, _shared(twin.guards, world.guards), twin.spent & world.spent)
            )
    out = tuple(found.values())
    return out if len(out) <= MAX_WORLDS else (_blurred(out),)


def _shared(left: frozenset[Guard], right: frozenset[Guard]) -> frozenset[Guard]:
    """The guards of two paths that became one; what only unusual or open guards lead to stays known as that."""
    shared = left & right
    if len(shared) == len(left) == len(right):
        return shared
    # The property written out: this is asked a million times.
    telling = [
        guard
        for guard in left | right
        if guard.open or (guard.usual is not None and guard.usual is not guard.taken)
    ]
    if not telling:
        return shared
    opened = [guard for guard in telling if guard.open and guard not in shared]
    return _with_either(left, right, shared, [one for one in telling if not one.open]) | (
        _with_sides(left - shared, right - shared) if opened else frozenset()
    )


def _with_either(
    left: frozenset[Guard], right: frozenset[Guard], shared: frozenset[Guard], unusual: list[Guard]
) -> frozenset[Guard]:
    both = all(any(guard in side for guard in unusual) for side in (left, right))
    if not both or any(guard in shared for guard in unusual):
        return shared
    names = frozenset().union(*(guard.names for guard in unusual))
    tests = {test for guard in unusual for test in guard.either or (guard.key.partition(":")[2],)}
    either = tuple(sorted(tests))  # each once: paths meet anew in every turn of a loop
    return shared | {Guard(f"either:{' or '.join(either)}", names, True, False, either=either)}


def _with_sides(left: frozenset[Guard], right: frozenset[Guard]) -> frozenset[Guard]:
    """One guard for the open ones that two paths do not share, if both have any."""
    if not all(any(one.open for one in side) for side in (left, right)):
        return frozenset()
    sides = _sides(left) | _sides(right)
    if len(sides) > MAX_SIDES:
        return frozenset()
    names = frozenset[str]().union(*(one.names for side in sides for one in side))
    texts = sorted(" and ".join(sorted(f"{one.key} {one.taken}" for one in side)) for side in sides)
    return frozenset((Guard(f"open:{' or '.join(texts)}", names, True, open=True, sides=sides),))


def _sides(guards: frozenset[Guard]) -> frozenset[frozenset[Guard]]:
    """The paths behind one, each with the guards of its own that may keep it from a clip."""
    own = frozenset(
        one
        for one in guards
        if not one.sides and (one.open or (one.usual is not None and one.usual is one.taken))
    )
    before = [one for one in guards if one.sides]
    if not before:
        return frozenset((own,))
    one = min(before, key=lambda guard: (len(guard.sides), guard.key))  # any of them may be given up
    return frozenset(side | own for side in one.sides)


def _blurred(worlds: Worlds) -> World:
    """One world in place of too many: nothing in it is sure any more."""
    states = dict(worlds[0].states)
    for world in worlds[1:]:
        states.update(world.states)
    reason = "more paths lead here than are followed"
    return World(tuple(sorted(((k, replace(s, unsure=reason)) for k, s in states.items()), key=_first)))


def forget(worlds: Worlds, name: str) -> Worlds:
    """The worlds after `name` was assigned: guards that mention it say nothing any more."""
    guards = frozenset[Guard]().union(*[world.guards for world in worlds])
    if not any([name in guard.names for guard in guards]):  # noqa: C419 - a list is faster than a generator
        return worlds
    return tuple(
        World(
            world.states, frozenset(guard for guard in world.guards if name not in guard.names), world.spent
        )
        for world in worlds
    )


def guarded(worlds: Worlds, guard: Guard) -> Worlds:
    """The worlds with one more guard."""
    one = frozenset((guard,))
    return tuple(World(world.states, world.guards | one, world.spent) for world in worlds)


def usual_outcome(before: Worlds, true: Worlds, false: Worlds) -> tuple[bool | None, tuple[Written, ...]]:
    """Which way a compound test goes by default, as far as its parts say, and the settings they hang on."""
    old = frozenset[Guard]().union(*(world.guards for world in before))
    added = [[world.guards - old for world in side] for side in (true, false)]
    open_ = [any(not any(guard.unusual for guard in guards) for guards in side) for side in added]
    settings = dict.fromkeys(
        one for side in added for guards in side for guard in guards for one in guard.settings
    )
    return (None if open_[0] is open_[1] else open_[0]), tuple(sorted(settings, key=_where))


def split(
    worlds: Worlds,
    key: str,
    names: frozenset[str],
    usual: bool | None,
    settings: tuple[Written, ...] = (),
    *,
    asks: bool = False,
) -> tuple[Worlds, Worlds]:
    """The worlds in which a test holds, and those in which it does not; `asks` for a clip option or a warm-up."""
    opened = asks and usual is None
    held = frozenset((Guard(key, names, True, usual, settings, open=opened),))
    failed = frozenset((Guard(key, names, False, usual, settings, open=opened),))
    true: list[World] = []
    false: list[World] = []
    for world in worlds:
        known = world.decided(key)
        if known is not False:
            true.append(World(world.states, world.guards | held, world.spent))
        if known is not True:
            false.append(World(world.states, world.guards | failed, world.spent))
    return tuple(true), tuple(false)
