"""Iterators over parameters: whoever reads one first uses it up, and later readers find nothing."""

from __future__ import annotations

from collections.abc import Mapping

from clipcheck.findings import Site, Span
from clipcheck.flow.core import Core
from clipcheck.flow.values import Arguments, Frame, Items, Object, Parameters, Table, Value, reread
from clipcheck.flow.worlds import merge
from clipcheck.project import Project
from clipcheck.record import replace


class Iterators(Core):
    """Follows `model.parameters()`, `filter(...)`, generator expressions and their like to their readers.

    Only what is surely used up on a path counts; an iterator that is lost sight of (in a list, behind a
    join of two paths, back from a function) is taken for one that can be read again.
    """

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.sources: dict[str, frozenset[str]] = {}  # the iterators that an iterator reads from
        self.named: set[str] = set()  # the iterators that some name stands for: only they can be read twice
        self.births: list[str] = []  # iterators made since the entry, in order
        self.known_births: dict[
            object, tuple[str, ...]
        ] = {}  # those that a function makes, as `known_values`
        self.spent_in_making: dict[str, frozenset[str]] = {}  # by the key of an instance, in its constructor

    def lazily(self, frame: Frame, value: Value, span: Span, *sources: Value) -> Value:
        """A value as what a new iterator, made at `span` from these sources, gives to its first reader."""
        if not isinstance(value, Parameters):
            return value
        key = f"{frame.filename}:{span.row}.{span.column}:{' '.join(sorted(value.models))}"
        self.sources[key] = frozenset(
            one.iterator for one in sources if isinstance(one, Parameters) and one.iterator
        )
        self.sightings.iterators[key] = Site(frame.filename, span)
        self.born((key,))
        return replace(value, single=False, iterator=key)

    def handed_back(self, frame: Frame, value: Value, span: Span) -> Value:
        """What a function returned: each call gives an iterator of its own, as far as anybody knows."""
        if not isinstance(value, Parameters) or not value.iterator:
            return value
        key = f"{value.iterator} from {frame.filename}:{span.row}.{span.column}"
        self.sources[key] = self.sources.get(value.iterator, frozenset())
        self.sightings.iterators[key] = self.sightings.iterators[value.iterator]
        self.born((key,))
        return replace(value, iterator=key)

    def born(self, keys: tuple[str, ...]) -> None:
        """Iterators that have just been made: nobody has read them yet."""
        self.births.extend(keys)
        fresh = frozenset(keys)
        if any(world.spent & fresh for world in self.worlds):
            self.worlds = merge([tuple(replace(world, spent=world.spent - fresh) for world in self.worlds)])

    def by_name(self, value: Value) -> Value:
        """A value that was found under a name or an attribute."""
        if isinstance(value, Parameters) and value.iterator:
            self.named.add(value.iterator)
        return value

    def use_up(self, value: Value | None) -> None:
        """Somebody reads a value to its end."""
        keys = self._with_sources(value.iterator) if isinstance(value, Parameters) else frozenset()
        keys &= self.named
        if not keys or all(keys <= world.spent for world in self.worlds):
            return
        for key in keys:
            self.sightings.readers.setdefault(key, self.site())
        self.worlds = merge([tuple(replace(world, spent=world.spent | keys) for world in self.worlds)])

    def take_over(self, spent: Mapping[object, frozenset[str]]) -> None:
        """Take over what a function that was followed for its value alone has used up, by gradients."""
        if any(spent.get(world.states, world.spent) != world.spent for world in self.worlds):
            self.worlds = tuple(
                replace(world, spent=spent.get(world.states, world.spent)) for world in self.worlds
            )

    def _with_sources(self, key: str) -> frozenset[str]:
        found: set[str] = set()
        waiting = [key] if key else []
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += self.sources.get(one, ())
        return frozenset(found)

    def read(self, value: Value) -> Value:
        """A value after somebody has read it into a list."""
        self.use_up(value)
        return reread(value)

    def used_up_by(self, optimizer: Object) -> None:
        """A framework's optimizer has been made: it has read all the parameters that it was given."""
        if optimizer.cls is not None or optimizer.rule is None:
            return
        given = Arguments(optimizer.arguments, optimizer.keywords).get(
            optimizer.rule.parameters or ("params", 0)
        )
        self.use_up(given)
        for group in given.members if isinstance(given, Items) else ():
            self.use_up(group.get("params") if isinstance(group, Table) else None)
