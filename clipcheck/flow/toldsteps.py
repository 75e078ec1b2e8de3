"""Calls that run backward, clip when told, and step: all in one, of an object that a framework made for that."""

from __future__ import annotations

from clipcheck import facts
from clipcheck.flow.owners import Owners
from clipcheck.flow.records import Told
from clipcheck.flow.render import argument_at, is_reference, render
from clipcheck.flow.values import Arguments, Frame, Literal, Object, Tensor, Unknown, Value, choices
from clipcheck.knowledge import CallRule, Clipping


class ToldSteps(Owners):
    """What happens at such a call."""

    def told_step(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value | None:
        """`loss_scaler(loss, optimizer, clip_grad=1.0, ...)`, `wrapper.update_params(loss)`."""
        if not self.following:
            return Tensor(frozenset(), True)
        optimizer = given.get(rule.slot("optimizer")) if rule.slot("optimizer") else self._inner(owner)
        if rule.slot("loss") is not None:
            self._backward(given.get(rule.slot("loss")))
        waits = given.get(rule.slot("update"))
        if isinstance(waits, Literal) and not waits.value:
            return Tensor(frozenset(), True)
        teller = self._teller_of(frame, rule, owner, given, call)
        if teller is None or optimizer is None:
            return None
        told = self.told[teller.key]
        found = [one for one in choices(optimizer) if isinstance(one, Object) and one.role == "optimizer"]
        stepped: list[Value] = [*found] or [optimizer]
        if rule.clipping is not None:
            self._name(frame, told, found, argument_at(call, rule.slot("optimizer")))
        self.clip_as_told(frame, teller, teller, told)
        blamed = [self.sightings.objects.get(key, Unknown(key)) for key in sorted(self.blamed)]
        for one in stepped:
            for model in blamed or [Unknown(f"{teller.key}.model")]:
                self.trainer_step(one, model, told)
        return Tensor(frozenset(), True)

    def _inner(self, owner: Value | None) -> Value | None:
        """The optimizer that an object around it was made with."""
        if not isinstance(owner, Object) or owner.rule is None:
            return None
        found = Arguments(owner.arguments, owner.keywords).get(owner.rule.optimizers)
        return found or Unknown(f"{owner.key}.optimizer")

    def _backward(self, loss: Value | None) -> None:
        tensor = self.tensor_of([loss]) if loss is not None else None
        self.blamed = tensor.models if tensor is not None else frozenset()
        self.refresh(Tensor(tensor.models, tensor.complete) if tensor is not None else None)

    def _teller_of(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Object | None:
        """What carries the clipping argument: this call, or the one that made the object."""
        if rule.clipping is None:
            return owner if isinstance(owner, Object) and owner.key in self.told else None
        key = self.origin(frame, call)
        teller = Object(key, self.site(), None, render(call.function), None)
        teller.arguments, teller.keywords = given.positional, given.keywords
        self.told[key] = Told(self.site(), call, rule.clipping)
        return teller

    def _name(
        self, frame: Frame, told: Told, optimizers: list[Object], expression: facts.Expression | None
    ) -> None:
        """How the call can name the parameters that it has to be told."""
        held = self.updated(optimizers[0]) if len(optimizers) == 1 else None
        text = self.parameters_text(frame, held)
        if text is None and expression is not None and is_reference(expression):
            text = self.knowledge.fixes["held-parameters"].format(optimizer=render(expression))
        if text is None and _needs(told.clipping):
            told.obstacle = "neither the model nor the optimizer has a name there"
        told.parameters = text or ""


def _needs(clipping: Clipping) -> bool:
    return any("{parameters}" in text for _, text in clipping.beside)
