"""What a clip covers of what an optimizer updates: all of it, a part with a known rest, or something else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from clipcheck.flow.targets import Targets
from clipcheck.flow.values import Elements, Items, Object, Parameters, Several, Table, Unknown, Value, choices
from clipcheck.flow.worlds import ANY
from clipcheck.protocol import PARTLY, Gradients, Phase
from clipcheck.record import replace

DEPTH = 5  # modules inside modules


class Covers(Targets):
    """Relates the parameters of clips and optimizers, model by model and part by part."""

    def partly(self, key: str, state: Gradients, cover: Parameters | None) -> Gradients:
        """The gradients after a clip of some of the parameters: clipped once all are covered."""
        optimizer = self.sightings.objects.get(key)
        held = self.updated(optimizer) if optimizer is not None else None
        unclipped = state.phase in (Phase.FRESH, Phase.SCALED, Phase.ENTRY)
        if optimizer is None or held is None or cover is None or not unclipped:
            return state
        covered = (state.covered or frozenset()) | cover.models
        known = not cover.single and self.definite(optimizer)
        left = self._left_out(held, covered) if known else None
        clips = state.clips | {self.site()}
        if left is None:
            return replace(state, covered=covered, clips=clips, unsure=state.unsure or PARTLY)
        if not left:
            return replace(state, phase=Phase.CLIPPED, covered=None, uncovered=frozenset(), clips=clips)
        return replace(state, covered=covered, uncovered=left, clips=clips)

    def _left_out(self, held: Parameters, covered: frozenset[str]) -> frozenset[str] | None:
        """The models, or parts of them, that a cover surely leaves out; None where that is not known."""
        if not all(key in self.sightings.objects for key in covered):
            return None
        found = [self._outside(key, covered, DEPTH) for key in held.models]
        left = frozenset().union(*(one for one in found if one is not None))
        return None if not left and None in found else left

    def _outside(self, key: str, covered: frozenset[str], depth: int) -> frozenset[str] | None:
        if any(self.contains(cover, key) for cover in covered):
            return frozenset()
        model = self.sightings.objects.get(key)
        if model is None or not depth:
            return None
        if not any(self.contains(key, cover) for cover in covered):
            trains = self.trains(model)
            return None if trains is None else frozenset({key} if trains else ())
        if model.cls is None and not any(name.startswith("#") for name in model.attributes):
            return None  # a library's model: its parts are not in sight
        parts: list[frozenset[str] | None] = []
        for value in model.attributes.values():
            parts += self._parts_outside(value, covered, depth - 1)
        left = frozenset().union(*(part for part in parts if part is not None))
        open_ = None in parts or (model.cls is not None and self.has_unknown_base(model.cls))
        return None if not left and open_ else left

    def _parts_outside(
        self, value: Value, covered: frozenset[str], depth: int
    ) -> list[frozenset[str] | None]:
        """What one attribute of a module adds: a plain list of modules is not a part of the module."""
        if isinstance(value, Object):
            return (
                [self._outside(value.key, covered, depth)] if value.role in ("module", "tensor", "") else []
            )
        if isinstance(value, (Several, Unknown)):
            return [None]
        return []

    def trains(self, model: Object, depth: int = DEPTH) -> bool | None:
        """Whether an object surely has parameters that a backward reaches; None where that is not known."""
        if model.role == "tensor":
            fixed = any(name == "requires_grad" for name, _ in model.keywords)
            return None if fixed else True
        if model.role != "module" or not depth:
            return None
        family = model.rule.family if model.rule is not None else ""
        if model.cls is None and family != "container":
            return True if family not in ("", "other", "normalisation") else None
        inside = [value for value in model.attributes.values() if isinstance(value, Object)]
        return True if any(self.trains(value, depth - 1) for value in inside) else None

    def definite(self, optimizer: Object) -> bool:
        """Whether what an optimizer updates is one known thing, and not one of several."""
        values: list[Value] = [*optimizer.arguments, *(value for _, value in optimizer.keywords)]
        values += [value for name, value in optimizer.attributes.items() if name == "#added"]
        while values:
            value = values.pop()
            if isinstance(value, Several):
                return False
            if isinstance(value, Items):
                values += value.members
            elif isinstance(value, Table):
                values += [entry for name, entry in value.entries if name == "params"]
        return True

    def strange(self, keys: Iterable[str], cover: Parameters | None) -> set[str]:
        """The optimizers among some that a clip surely has nothing to do with."""
        trained = cache(self._trained)
        return {key for key in keys if self._is_strange(key, cover, trained)}

    def _is_strange(self, key: str, cover: Parameters | None, trained: Callable[[], frozenset[str]]) -> bool:
        optimizer = self.sightings.objects.get(key)
        held = self.updated(optimizer) if optimizer is not None else None
        if key == ANY or optimizer is None or held is None or cover is None or cover.holder:
            return False
        if held.part or not self.definite(optimizer):
            return False
        pairs = [(ours, theirs) for ours in held.models for theirs in cover.models]
        return bool(pairs) and not any(self._related(*pair, trained) for pair in pairs)

    def _related(self, one: str, other: str, trained: Callable[[], frozenset[str]]) -> bool:
        """Whether one model may be the other, a part of it, or its copy."""
        left, right = self.sightings.objects.get(one), self.sightings.objects.get(other)
        if left is None or right is None or left.role != "module" or right.role != "module":
            return True
        if self.contains(one, other) or self.contains(other, one):
            return True
        if self._made_from(left, other) or self._made_from(right, one):
            return True
        alike = left.name == right.name
        return alike and other not in trained()  # an average of the weights, or an old copy

    def _made_from(self, model: Object, other: str) -> bool:
        """Whether a model was handed the other when it was made: it may hold it in a way nobody sees."""
        values: list[Value] = [*model.arguments, *(value for _, value in model.keywords)]
        while values:
            for choice in choices(values.pop()):
                if isinstance(choice, (Object, Unknown)) and self.contains(other, choice.key):
                    return True
                if isinstance(choice, Items):
                    values += choice.members
                elif isinstance(choice, Elements):
                    values.append(choice.member)
                elif isinstance(choice, Table):
                    values += [entry for _, entry in choice.entries]
        return False

    def _trained(self) -> frozenset[str]:
        """The models that have an optimizer."""
        made = [one for one in self.sightings.objects.values() if one.role == "optimizer"]
        held = [found.models for one in made if (found := self.updated(one)) is not None]
        return frozenset().union(*held)
