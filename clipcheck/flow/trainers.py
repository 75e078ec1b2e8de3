"""Trainers: backward and step happen inside a framework, which clips when it is told, or unless it is told not to.

The step of a trainer is recorded like any other, at the call that tells it how to clip. The methods of the model
that the framework calls are followed in the order that the knowledge gives, so that a clip in one of them counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from clipcheck import facts
from clipcheck.flow.records import MAX_PATHS, Names, Running, Step, StepContext, Told
from clipcheck.flow.render import last_identifier, names_in, render
from clipcheck.flow.steps import Steps
from clipcheck.flow.values import (
    Arguments,
    Elements,
    External,
    Frame,
    FunctionRef,
    Items,
    Literal,
    Object,
    Option,
    Super,
    Table,
    Unknown,
    Value,
    choices,
    literal,
    members,
)
from clipcheck.flow.worlds import ANY, World, merge, split
from clipcheck.knowledge import CallRule, Clipping, Hooks
from clipcheck.protocol import Event, Gradients, Phase


class Trainers(Steps):
    """What happens where a trainer is made, and where it is set going."""

    # -- the call that tells how to clip ---------------------------------------------------------------

    def made(self, made: Object, call: facts.Call | None = None) -> None:
        """Remember the statement that makes what may be told to clip: a finding stands there."""
        super().made(made, call)
        if call is None or made.rule is None or made.rule.clipping is None:
            return
        indirect = last_identifier(call.function) in self.knowledge.constructors
        own = made.cls is not None and isinstance(self.class_member(made.cls, "__init__"), FunctionRef)
        obstacle = "its arguments go through a constructor of the project" if own else ""
        self.told[made.key] = Told(self.site(), call, made.rule.clipping, indirect, obstacle)

    def _rule(
        self, frame: Frame, function: Value, owner: Value | None, given: Arguments, call: facts.Call
    ) -> CallRule | None:
        """`super().fit(model)` in a trainer of the project sets it going as well."""
        found = super()._rule(frame, function, owner, given, call)
        if found is None and isinstance(owner, Super) and isinstance(owner.receiver, Object):
            found = self.knowledge.method(owner.receiver.role, last_identifier(call.function))
            return found if found is not None and found.event == "fit" else None
        return found

    # -- the trainer's run -----------------------------------------------------------------------------

    def fit(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value | None:
        trainer = owner.receiver if isinstance(owner, Super) else owner
        if not isinstance(trainer, Object) or trainer.rule is None or trainer.rule.clipping is None:
            return None
        if not self.following:
            return Literal(None)
        made = Arguments(trainer.arguments, trainer.keywords)
        model: Value | None
        if rule.slot("optimizer") is not None:
            model = trainer
            teller = self._compiled(trainer, given.get(rule.slot("optimizer")), call)
        else:
            model = given.get(rule.slot("model")) or made.get(trainer.rule.model)
            teller = self._teller(trainer, made)
        if teller is None:
            return None
        worlds = self.worlds
        for one in choices(model) if model is not None else (Unknown(f"{trainer.key}.model"),):
            self.worlds = (World(((ANY, Gradients(Phase.EMPTY)),)),)
            self._train(frame, trainer, teller, one)
            self.trainer = None
            row = (frame.filename, call.name_span.row)
            told = self.told[teller.key]
            told.rows += [row] if row not in told.rows else []
        self.worlds = worlds
        return Literal(None)

    def _teller(self, trainer: Object, made: Arguments) -> Object | None:
        """The object whose call carries the clipping argument: the trainer, or the settings that it is given."""
        assert trainer.rule is not None
        settings = made.get(trainer.rule.settings)
        for choice in choices(settings) if settings is not None else ():
            if isinstance(choice, Object) and choice.key in self.told:
                return choice
        return trainer if trainer.key in self.told else None

    def _compiled(self, model: Object, optimizer: Value | None, call: facts.Call) -> Object | None:
        """What carries the clipping argument of a model that is handed its optimizer, an object or a name."""
        assert model.rule is not None
        assert model.rule.clipping is not None
        for choice in choices(optimizer) if optimizer is not None else ():
            if isinstance(choice, Object) and choice.key in self.told:
                return choice
            if isinstance(choice, Literal) and isinstance(choice.value, str):
                site = self.site()
                named = Object(
                    f"{site.filename}:{call.span.row}.{call.span.column}", site, None, choice.value, None
                )
                obstacle = "an optimizer that is named by a string takes no argument"
                self.told.setdefault(named.key, Told(site, call, model.rule.clipping, obstacle=obstacle))
                return named
        return None

    def _train(self, frame: Frame, trainer: Object, teller: Object, model: Value) -> None:
        """One turn of training: the model's methods around backward, the trainer's clip, and the step."""
        hooks = model.rule.hooks if isinstance(model, Object) and model.rule is not None else None
        optimizers: list[Value] = []
        replaced = False
        told = self.told[teller.key]
        if isinstance(model, Object) and hooks is not None:
            for name in hooks.before:
                self._hook(model, name)
            optimizers = self._optimizers_of(model, hooks)
            manual = self._manual(frame, model, hooks)
            told.value = value_of(teller, told)
            self.trainer = Running(trainer, told, told.value, manual)
            for name in hooks.step:
                self._hook(model, name)
            if manual:
                self.refused_by_manual(trainer, told, model)
                return  # its own steps were met on the way
            replaced = isinstance(self._method(model, hooks.clipping), FunctionRef)
        self.worlds = self.worlds or (World(((ANY, Gradients(Phase.EMPTY)),)),)
        self._refresh(None)
        if isinstance(model, Object) and hooks is not None:
            self._after_backward(trainer, model, hooks, optimizers)
            if manual is None:
                self._doubt_all("whether the model runs the step by itself is not known")
        if not replaced:
            self._clip_as_told(frame, trainer, teller, told)
        if not isinstance(model, Object) and trainer.rule is not None and trainer.rule.family:
            model = trainer  # by what it trains, whatever the name of the model
        for optimizer in optimizers or [Unknown(f"{trainer.key}.optimizers()")]:
            self._trainer_step(optimizer, model, told)

    def refused_by_manual(self, trainer: Object, told: Told, model: Object) -> None:
        """A trainer that is told to clip, for a model that runs the step by itself."""
        raise NotImplementedError

    def ignored_by_the_model(self, model: Object, method: FunctionRef) -> None:
        """A model that takes the clipping over from its trainer."""
        raise NotImplementedError

    def _hook(self, owner: Object, name: str, given: Arguments = Arguments()) -> Value | None:  # noqa: B008
        """Run a method that the framework calls, if the project has it."""
        method = self._method(owner, name)
        return self.follow(method, given, None) if method is not None else None

    def _method(self, owner: Object, name: str) -> FunctionRef | None:
        found = self.class_member(owner.cls, name) if owner.cls is not None and name else None
        if not isinstance(found, FunctionRef):
            return None
        return FunctionRef(found.filename, found.definition, found.frame, found.owner, owner)

    def _after_backward(self, trainer: Object, model: Object, hooks: Hooks, optimizers: list[Value]) -> None:
        """The hooks of the model and of its trainer's callbacks that see the gradients before the step."""
        optimizer = optimizers[0] if optimizers else Unknown(f"{model.key}.optimizers()")
        callbacks = Arguments(trainer.arguments, trainer.keywords).get(
            trainer.rule.callbacks if trainer.rule else None
        )
        beside = (
            [one for one in (callbacks, *members(callbacks)) if isinstance(one, Object)] if callbacks else []
        )
        followed = {*hooks.before, *hooks.step, *hooks.after_backward, hooks.clipping}
        for name in (*hooks.after_backward, hooks.clipping):
            first = () if name in hooks.after_backward[:1] else (optimizer,)
            for callback in beside:
                self._hook(callback, name, Arguments((trainer, model, *first)))
            self._hook(model, name, Arguments(first))
        if (own := self._method(model, hooks.clipping)) is not None:
            self.ignored_by_the_model(model, own)
            self._doubt_all(f"{model.name} has a `{hooks.clipping}` of its own")
        for name in self._clipping_methods(model):
            if name not in followed:
                self._doubt_all(f"`{name}` of {model.name} may clip")

    def _clipping_methods(self, model: Object) -> Iterator[str]:
        """The methods of a model's class, and of its bases, that call something that clips by its name."""
        for ancestor in self.ancestors(model.cls) if model.cls is not None else ():
            for name, value in getattr(ancestor, "frame", Frame("", "", None)).locals.items():
                if isinstance(value, FunctionRef) and self.project.clips(value.definition):
                    yield name

    def _doubt_all(self, reason: str) -> None:
        def doubted(state: Gradients) -> Gradients:
            return state if state.phase is Phase.CLIPPED else replace(state, unsure=state.unsure or reason)

        self.change(doubted)

    # -- manual optimization -----------------------------------------------------------------------------

    def _manual(self, frame: Frame, model: Object, hooks: Hooks) -> bool | None:
        """Whether the model runs backward and step by itself; None where that is not known."""
        if not hooks.automatic:
            return False
        given = hooks.automatic in model.attributes or (
            model.cls is not None and self.class_member(model.cls, hooks.automatic) is not None
        )
        if not given:
            return False
        place = facts.Name(hooks.automatic, model.site.span.row)
        truth = self.truth(self.attribute(frame, model, hooks.automatic, place))
        return None if truth is None else not truth

    def own_optimizers(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`self.optimizers()`: what the model's own method makes, one or all of them."""
        if isinstance(owner, Object) and owner.rule is not None and owner.rule.hooks is not None:
            found = self._optimizers_of(owner, owner.rule.hooks)
            if found:
                return found[0] if len(found) == 1 else Items(tuple(found))
        key = owner.key if isinstance(owner, (Object, Unknown)) else f"{frame.filename}:{call.row}"
        return Unknown(f"{key}.optimizers()", frozenset({key}))

    def _optimizers_of(self, model: Object, hooks: Hooks) -> list[Value]:
        """The optimizers that a model's method returns, in their order; the same ones each time it is asked."""
        if model.key not in self.own:
            self.own[model.key] = []  # the method may ask for them itself
            returned = self._hook(model, hooks.optimizers)
            self.own[model.key] = list(dict.fromkeys(_optimizers(returned))) if returned is not None else []
        for one in self.own[model.key]:
            if isinstance(one, Object):
                super().made(one)
        return list(self.own[model.key])

    # -- the clip ----------------------------------------------------------------------------------------

    def _clip_as_told(self, frame: Frame, trainer: Object, teller: Object, told: Told) -> None:
        """The framework's own clip, as far as the arguments say whether it takes place."""
        arguments = Arguments(teller.arguments, teller.keywords)
        clipping = told.clipping
        self._look_around(Arguments(trainer.arguments, trainer.keywords), arguments, told)
        value = told.value = value_of(teller, told)
        site = self.site()

        def clip(state: Gradients) -> Gradients:
            return state.after(Event.CLIP, site)[0]

        acts = self._acts(value, arguments, told)
        if acts is True:
            self.change(clip)
        elif acts is None:
            self._doubt_all(f"`{clipping.arguments[0]}` has a value that is not known")
        elif isinstance(value, Option) or any(
            isinstance(one, Option) for one in choices(value or Literal(None))
        ):
            expression = _expression(told.call, clipping)
            key = f"{frame.label}:{render(expression) if expression else clipping.arguments[0]}"
            names = frozenset(names_in(expression)) if expression else frozenset()
            before = self.worlds
            self.worlds, off = split(before, key, names, False)
            self.change(clip)
            self.worlds = merge([self.worlds, off])

    def _acts(self, value: Value | None, arguments: Arguments, told: Told) -> bool | None:
        """Whether the framework clips with this value, options at their defaults; None where that is not known."""
        if value is None:
            unseen = any(name is None and not complete(one) for name, one in arguments.keywords)
            if told.indirect or unseen:
                return True if told.default else None
            return told.default
        found = {_positive(choice) for choice in choices(value)}
        return found.pop() if len(found) == 1 else None

    def _look_around(self, trainer: Arguments, arguments: Arguments, told: Told) -> None:
        """What other arguments say of the clipping: that it is another's affair, or refused."""
        for name in told.clipping.looked_at:
            value = arguments.get((name, -1)) or trainer.get((name, -1))
            for one in choices(value) if value is not None else ():
                text = text_of(one)
                if told.clipping.elsewhere is not None and told.clipping.elsewhere.search(text):
                    self._doubt_all(f"`{name}` has a configuration of its own, which may clip")
                elif told.clipping.refused is not None and told.clipping.refused.search(text):
                    told.obstacle = f"it is refused with this `{name}`"
                elif isinstance(one, Unknown) and not self.knowledge.is_harmless(text):
                    told.doubt = f"`{name}` is not known, and may not allow it"

    # -- the step ----------------------------------------------------------------------------------------

    def _trainer_step(self, optimizer: Value, model: Value, told: Told) -> None:
        key = optimizer.key if isinstance(optimizer, (Object, Unknown)) else ""
        fitted = self.site()
        paths, self.worlds = self.paths_of(self.worlds, key, Event.STEP, told.site)
        held = self.updated(optimizer)
        known = [self.sightings.objects.get(one) for one in sorted(held.models)] if held is not None else []
        found = tuple(one for one in known if one is not None)
        models = found if found and len(found) == len(known) else (model,)
        step = self.sightings.steps.setdefault(told.site, Step(told.site, told.call, told=told))
        if step.told is None:
            return
        if fitted not in step.told.fitted:
            step.told.fitted.append(fitted)
        label = f"{self.entry_label}<{'<'.join(self.chain)}>{key}"
        context = next((one for one in step.contexts if one.label == label), None)
        if context is None:
            context = StepContext(
                label, optimizer, models, True, [], Names(None, None), None, False, self.entry_file
            )
            if len(step.contexts) < MAX_PATHS:
                step.contexts.append(context)
        context.paths = list(dict.fromkeys([*context.paths, *paths]))[:MAX_PATHS]
        context.loops = tuple(dict.fromkeys([*context.loops, *self.notes]))


def _optimizers(value: Value, depth: int = 4) -> Iterator[Value]:
    """The optimizers in what a model's method returns: one, a list, pairs with schedulers, dictionaries."""
    for choice in choices(value):
        if isinstance(choice, Object) and choice.role == "optimizer":
            yield choice
        elif isinstance(choice, (Items, Table, Elements)) and depth:
            for member in members(choice):
                yield from _optimizers(member, depth - 1)


def value_of(teller: Object, told: Told) -> Value | None:
    """The value of the first clipping argument that is given."""
    arguments = Arguments(teller.arguments, teller.keywords)
    values = (_told(teller, arguments, name) for name in told.clipping.arguments)
    return next((value for value in values if value), None)


def _told(teller: Object, arguments: Arguments, name: str) -> Value | None:
    """The value of a clipping argument: as it was assigned later on, else as it was handed over."""
    return teller.attributes.get(name) or arguments.get((name, -1))


def complete(value: Value) -> bool:
    """Whether all entries of what `**` spreads are known."""
    return isinstance(value, Table) and not value.partial and all(key for key, _ in value.entries)


def _positive(value: Value) -> bool | None:
    """Whether a threshold switches clipping on: None, False, zero and less do not; None where nobody knows."""
    if isinstance(value, Object) and value.role == "gradient-clip":
        return True
    constant = literal(value)
    if constant is None:
        return False
    return bool(constant > 0) if isinstance(constant, (int, float)) else None


def text_of(value: Value) -> str:
    """What names a strategy or a plugin: a string, the class that makes it, or how the code puts it."""
    if isinstance(value, (Object, External)):
        return value.name
    if isinstance(value, Unknown):  # its key ends in the name of the class, or in the expression
        return value.key.rpartition(":")[2]
    constant = literal(value)
    return "" if isinstance(constant, Value) else str(constant)


def _expression(call: facts.Call, clipping: Clipping) -> facts.Expression | None:
    return next((value for name, value in call.keywords if name in clipping.arguments), None)
