"""Recurrences unrolled by hand: a model whose state a loop feeds back into it."""

from __future__ import annotations

from clipcheck import facts
from clipcheck.facts import Expression
from clipcheck.findings import Evidence
from clipcheck.flow.compiled import Compiled
from clipcheck.flow.models import keys_behind
from clipcheck.flow.render import last_identifier, names_in
from clipcheck.flow.values import Frame, Object, Tensor, Unknown, Value, choices

_PLACES = (facts.Name, facts.Attribute, facts.Subscript)  # can be looked at again: they call nothing


class Unrolled(Compiled):
    """Notices the models that a loop unrolls."""

    def notice_recurrence(self, frame: Frame, target: Expression, source: Expression, value: Value) -> None:
        """`output, hidden = model(x[t], hidden)` in a loop, before its names are bound: a recurrence, unrolled by hand.

        Where the loop is over what is called, it is a stack of layers: `for layer in layers: h, e = layer(h, e)`.
        """
        if not isinstance(source, facts.Call) or not isinstance(target, facts.Collection):
            return
        if names_in(source.function) & self.turning:
            return
        carried = {last_identifier(item) for item in target.items} & {
            last_identifier(argument) for argument in source.arguments
        }
        states = [name for name in carried if name and self.knowledge.hinted("hidden-state", name)]
        if not states:
            return
        note = Evidence(frame.filename, source.row, f"`{states[0]}` is fed back into the model here")
        noted = self.sightings.recurrences
        models = self._fed_back(frame, source, value)
        if not models and not any(note in notes for notes in noted.values()):
            models = _behind(value)
        for model in models:
            known = noted.setdefault(model, [])
            if note not in known:
                known.append(note)

    def _fed_back(self, frame: Frame, call: facts.Call, result: Value) -> frozenset[str]:
        """The models that a call unrolls: not what has made the state that they begin with.

        They are what is called, or handed to a function; else what the result depends on and no argument does, which the
        first turn of the loop tells.
        """
        models = _behind(result)
        function = [self.evaluate(frame, call.function)] if isinstance(call.function, _PLACES) else []
        handed = [self.evaluate(frame, one) for one in call.arguments if isinstance(one, _PLACES)]
        given = [value for value in handed if any(isinstance(one, Object) for one in choices(value))]
        for values in (function, given):
            called = models & frozenset(key for value in values for key in keys_behind(value))
            if called:
                return called
        return models - frozenset().union(*map(_behind, handed))


def _behind(value: Value) -> frozenset[str]:
    """The models that a computed value depends on."""
    found = frozenset[str]()
    for choice in choices(value):
        if isinstance(choice, Tensor):
            found |= choice.models
        elif isinstance(choice, Unknown):
            found |= choice.holds
    return found
