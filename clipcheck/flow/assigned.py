"""Gradients that a program sets by hand: its own ones changed, those of another model handed over, or new ones."""

from __future__ import annotations

from clipcheck import facts
from clipcheck.facts import Expression
from clipcheck.flow.inplace import GRADIENTS, masks, may_bound, peeled, unscales, written_to
from clipcheck.flow.render import names_in, render
from clipcheck.flow.unrolled import Unrolled
from clipcheck.flow.values import Bound, Frame, Literal, Object, Parameters, Table, Value, choices
from clipcheck.flow.worlds import ANY, World, merge
from clipcheck.protocol import Gradients, Phase
from clipcheck.record import replace

_NONE_YET = (Phase.EMPTY, Phase.SPENT)


class Assigned(Unrolled):
    """What `p.grad = …` and `p.grad *= …` do to the gradients of those parameters."""

    def assigns_gradient(self, frame: Frame, target: Expression, value: Expression) -> bool:
        """Follow an assignment to the gradient of parameters; whether it was one."""
        gradient = written_to(target) if self.following else None
        if not isinstance(gradient, facts.Attribute):
            return False
        if gradient is not target:
            return self._leaves(frame, gradient, target, value)
        assert isinstance(target, facts.Attribute)
        owner = self.evaluate(frame, target.value)
        if any(isinstance(one, (Object, Table)) for one in choices(owner)):
            return False  # an attribute of that name
        cover = self.parameters_in(owner)
        if cover is None or (isinstance(value, facts.Constant) and value.value is None):
            return True
        cover = cover.all
        root, factors = peeled(value, self.here(), self.knowledge.hinted)
        masked = [one for one in factors if masks(one, self.here(), self.knowledge.hinted)]
        rest = tuple(one for one in factors if one not in masked)
        unscaled = bool(rest) and unscales(rest, self.here(), self.knowledge.hinted)
        source = self._behind(self.evaluate(frame, root))
        own = render(root) == render(target)
        if not own and source is not None and self._of_another(source, cover):
            self._hand_over(source, cover, changed=bool(rest) and not unscaled)
        elif own and (not rest or unscaled):
            if unscaled or not masked:
                self.take_scale_off(cover)
        elif rest or not masked or source is None:
            self.replaced_by_hand(cover)
        return True

    def _leaves(self, frame: Frame, gradient: facts.Attribute, target: Expression, value: Expression) -> bool:
        """Whether what is written over gradients (`p.grad.data = …`, `p.grad[:] = …`) surely bounds nothing."""
        hinted = self.knowledge.hinted
        root, factors = peeled(value, self.here(), hinted)
        if render(root) != render(gradient) or (factors and not unscales(factors, self.here(), hinted)):
            return not may_bound(target, value, self.here(), hinted)
        cover = self.parameters_in(self.evaluate(frame, gradient.value))
        if cover is not None:
            self.take_scale_off(cover.all)
        return True

    def overwrite(self, gradient: Parameters, value: Value) -> None:
        """`p.grad.data = …`, `p.grad[:] = …`: clipping by hand, unless a zero is written there."""
        zero = isinstance(value, Literal) and not value.value
        if self.following and gradient.gradient and not zero:
            self._clip_in_this_row(gradient.all)

    def changed_gradient(self, gradient: Parameters, operator: str, operand: Expression) -> None:
        """`p.grad *= x`: scaled by hand, unless it is masked, or only averaged over workers or micro-batches."""
        hinted = self.knowledge.hinted
        averaging = operator in ("/", "*") and any(
            hinted("averaging", name.lstrip(".")) for name in names_in(operand)
        )
        scaled = operator in ("*", "/") and not averaging  # what is added is no clipping
        if not self.following or not scaled or isinstance(operand, facts.Constant):
            return
        cover = gradient.all
        if unscales((operand,), self.here(), hinted):
            self.take_scale_off(cover)
        elif not masks(operand, self.here(), hinted):
            span = self.statement[1]
            self.clip_by_hand(cover, facts.Call(operand, (), (), span, span))

    def replaced_by_hand(self, cover: Parameters | None) -> None:
        """`p.grad = …`, of which nothing more is known: the first gradients that there are, or others in their place.

        Where there were some, that is clipping by hand, as far as anybody knows.
        """
        if cover is None:
            return
        cover = cover.all
        meant = self._meant(cover)
        if all(world.get(key).phase in _NONE_YET for world in self.worlds for key in meant):
            state = Gradients(Phase.FRESH, unsure=self._not_seen())
            self.worlds = merge([tuple(_having(world, dict.fromkeys(meant, state)) for world in self.worlds)])
            return
        self._clip_in_this_row(cover)

    def _clip_in_this_row(self, cover: Parameters) -> None:
        span = self.statement[1]
        self.clip_by_hand(cover, facts.Call(facts.Name("grad", span.row), (), (), span, span))

    def _not_seen(self) -> str:
        filename, span = self.statement
        return f"what computed the gradients assigned at {filename}:{span.row} was not in sight"

    def _meant(self, cover: Parameters) -> list[str]:
        """The optimizers that some parameters are of: those that surely are, else those that may be."""
        keys = dict.fromkeys(key for world in self.worlds for key, _ in world.states if key != ANY)
        related = {key: self.relation(key, cover) for key in keys}
        sure = [key for key, relation in related.items() if relation in ("all", "part")]
        return sure or [key for key, relation in related.items() if relation == "maybe"] or [ANY]

    def _behind(self, value: Value) -> Parameters | None:
        """The parameters whose gradient a value is, None where it is none or may be something else."""
        found: list[Parameters] = []
        for choice in choices(value):
            if isinstance(choice, Bound) and choice.name in GRADIENTS:
                inner = self.parameters_in(choice.owner)
            else:
                inner = choice if isinstance(choice, Parameters) and choice.gradient else None
            if inner is None:
                return None
            found.append(inner)
        return Parameters(frozenset[str]().union(*(one.models for one in found)))

    # -- from one model to another -------------------------------------------------------------------

    def _of_another(self, source: Parameters, cover: Parameters) -> bool:
        """Whether some gradients are of a model that is known, and surely not of these parameters."""
        known = bool(source.models) and all(key in self.sightings.objects for key in source.models)
        return known and not any(
            self.contains(ours, theirs) or self.contains(theirs, ours)
            for ours in source.models
            for theirs in cover.models
        )

    def _hand_over(self, source: Parameters, cover: Parameters, *, changed: bool) -> None:
        """`shared.grad = own.grad`: what has happened to the gradients of one model has happened to those of the other."""
        meant = self._meant(cover)
        if meant == [ANY]:
            self.replaced_by_hand(cover)
            return
        seen = all(any(self.contains(blamed, key) for blamed in self.blamed) for key in source.models)
        reason = self._not_seen() if changed or not seen else ""
        sure = {key: self.relation(key, cover) == "all" for key in meant}
        own = [key for key in self._meant(source) if self.relation(key, source) == "all"]

        def handed(world: World) -> World:
            state = world.get(own[0] if own else ANY)
            if state.phase in (Phase.FRESH, Phase.SCALED, Phase.CLIPPED):
                known = state.phase is Phase.CLIPPED or (state.backward is not None and not reason)
                state = state if known else replace(state, unsure=state.unsure or self._not_seen())
            else:
                state = Gradients(Phase.FRESH, unsure=self._not_seen())
            states = {
                key: state if sure[key] else replace(state, unsure=state.unsure or self._not_seen())
                for key in meant
            }
            return _having(world, states)

        self.worlds = merge([tuple(map(handed, self.worlds))])


def _having(world: World, states: dict[str, Gradients]) -> World:
    for key, state in states.items():
        world = world.having(key, state)
    return world
