"""Models that are handed their optimizer, and train by a method of their own: `compile`, then `fit`."""

from __future__ import annotations

from clipcheck import facts
from clipcheck.flow.engines import is_none
from clipcheck.flow.records import Step, Told
from clipcheck.flow.render import argument_at
from clipcheck.flow.states import States
from clipcheck.flow.values import (
    Arguments,
    Frame,
    FunctionRef,
    Literal,
    Object,
    Super,
    Value,
    choices,
    literal,
    several,
)
from clipcheck.flow.worlds import ANY, World
from clipcheck.knowledge import CallRule, Hooks, Slot
from clipcheck.protocol import Event, Gradients, Phase

_DEFAULT = "(optimizer by default)"  # where a model keeps what stands for the optimizer that nobody named


class Compiled(States):
    """What happens where a model is handed its optimizer, and where it is trained.

    A model whose class has a training step of its own (`hooks.whole`) is judged by that, where it is trained; any
    other where it is handed its optimizer.
    """

    def fit(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value | None:
        slot = rule.slot("optimizer")
        if slot is None:
            return super().fit(frame, rule, owner, given, call)
        model = _receiver(owner)
        if model is None or model.rule is None or model.rule.clipping is None:
            return None
        if not self.following:
            return Literal(None)
        handed = given.get(slot)
        open_ = handed is None and any(name is None for name, _ in given.keywords)
        if handed is None and not open_ and rule.kind:
            named = self._by_name(rule.kind, slot, call)
            if named is not None:
                model.attributes[slot[0]] = model.attributes[_DEFAULT] = named
            return Literal(None)
        if is_none(handed):
            return Literal(None)  # a model that is only asked
        tellers = self._tellers(handed, slot, call)
        optimizer = several(tellers) if tellers else handed or self.unknown(frame, call, slot[0])
        model.attributes[slot[0]] = optimizer
        if self._own_training(model) is not None:
            return Literal(None)
        for teller in tellers:
            self._run_trainer(frame, model, teller, model, call)
        if not tellers:
            self._by_nobody_knows(model, optimizer, call)
        return Literal(None)

    def _by_nobody_knows(self, model: Object, optimizer: Value, call: facts.Call) -> None:
        """Record the step of an optimizer that may clip, or not, where the model is handed it."""
        site = self.site()
        state = Gradients(Phase.FRESH, unsure="the optimizer that it is handed is not known")
        paths, _ = self.paths_of((World(((ANY, state),)),), ANY, Event.STEP, site)
        step = self.sightings.steps.setdefault(site, Step(site, call))
        step.met(self.told_context(f"{site.span.row}.{ANY}", optimizer, (model,), paths))

    def named_optimizer(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`get("adam")`: the optimizer of that name; an object as it is."""
        slot = rule.slot("optimizer")
        handed = given.get(slot)
        if slot is None or any(isinstance(choice, Object) for choice in choices(handed or Literal(None))):
            return handed or self.unknown(frame, call)
        tellers = self._tellers(handed, slot, call)
        return several(tellers) if tellers else self.unknown(frame, call)

    def train(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value | None:
        """`model.fit(…)`: the training step of its own, or the optimizer that goes without saying."""
        model = _receiver(owner)
        hooks = _hooks(model)
        if model is None or hooks is None or not hooks.whole:
            return None
        if self.following:
            self.sightings.set_going.setdefault(self.site(), set()).add(model.key)
            default = model.attributes.get(_DEFAULT)
            if self._own_training(model) is not None:
                worlds, self.worlds = self.worlds, (World(((ANY, Gradients(Phase.EMPTY)),)),)
                self._hook(model, hooks.whole)
                self.worlds = worlds
            elif isinstance(default, Object):
                self._run_trainer(frame, model, default, model, call)
        return self.unknown(frame, call, "history")

    def ask(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value | None:
        """`model.predict(…)`: a model that was loaded, perhaps, and handed an optimizer that nobody uses."""
        model = _receiver(owner)
        hooks = _hooks(model)
        if model is None or hooks is None or not hooks.whole:
            return None
        self.sightings.asked.add(model.key)
        return self.unknown(frame, call)

    def drop_asked(self) -> None:
        """Forget the steps of models that are asked, and that nobody in sight trains."""
        trained = set[str]().union(*self.sightings.set_going.values())
        resting = self.sightings.asked - trained
        for site, step in list(self.sightings.steps.items()) if resting else ():
            if step.told is None:
                continue
            step.contexts = [context for context in step.contexts if not _is_of(context.models, resting)]
            if not step.contexts:
                del self.sightings.steps[site]

    def _own_training(self, model: Object) -> FunctionRef | None:
        """The training step of the model's own class, unless it leaves all to the framework's."""
        hooks = _hooks(model)
        own = self._method(model, hooks.whole) if hooks is not None and hooks.whole else None
        return own if own is not None and own.definition.name not in own.definition.calls else None

    def _tellers(self, optimizer: Value | None, slot: Slot, call: facts.Call) -> list[Object]:
        """What carries the clipping argument of each optimizer that this may be, an object or a name."""
        tellers: dict[str, Object] = {}
        for choice in choices(optimizer) if optimizer is not None else ():
            teller = None
            name = literal(choice)  # whatever else the user says is the name of one as well
            if isinstance(choice, Object) and choice.rule is not None:
                teller = self._teller(choice, Arguments(choice.arguments, choice.keywords), None)
            elif isinstance(name, str):
                written = argument_at(call, slot)
                text = written if isinstance(written, facts.Constant) else None
                teller = self._by_name(name, slot, call, text, "" if text else "its name is elsewhere")
            if teller is not None:
                tellers.setdefault(teller.key, teller)
        return list(tellers.values())

    def _by_name(
        self,
        name: str,
        slot: Slot,
        call: facts.Call,
        text: facts.Constant | None = None,
        obstacle: str = "",
    ) -> Object | None:
        """The optimizer that a string in a call stands for, or that goes without saying."""
        qualified = self.knowledge.named.get(name.lower(), "")
        rule = self.knowledge.class_rule(qualified) if qualified else None
        if rule is None or rule.clipping is None:
            return None
        site = self.site()
        key = f"{site.filename}:{call.span.row}.{call.span.column}"
        made = Object(key, site, None, qualified, rule)
        told = Told(site, call, rule.clipping, obstacle=obstacle)
        told.named, told.handed, told.text = qualified, slot[0], text
        self.told.setdefault(key, told)
        return made


def _is_of(models: tuple[Value, ...], keys: set[str]) -> bool:
    return bool(models) and all(isinstance(one, Object) and one.key in keys for one in models)


def _receiver(owner: Value | None) -> Object | None:
    found = owner.receiver if isinstance(owner, Super) else owner
    return found if isinstance(found, Object) else None


def _hooks(model: Object | None) -> Hooks | None:
    return model.rule.hooks if model is not None and model.rule is not None else None
