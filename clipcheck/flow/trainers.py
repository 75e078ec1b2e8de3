"""Trainers: backward and step happen inside a framework, which clips when it is told, or unless it is told not to.

The step of a trainer is recorded like any other, at the call that tells it how to clip. The methods of the model
that the framework calls are followed in the order that the knowledge gives, so that a clip in one of them counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from clipcheck import facts
from clipcheck.flow.members import complete
from clipcheck.flow.options import written_as
from clipcheck.flow.records import Names, Path, Running, Step, StepContext, Told
from clipcheck.flow.render import argument_at, last_identifier, names_in, render
from clipcheck.flow.turns import Turns
from clipcheck.flow.values import (
    Accumulation,
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
    is_infinite,
    literal,
    members,
    several,
)
from clipcheck.flow.worlds import ANY, World, merge, split
from clipcheck.knowledge import CallRule, Clipping, Hooks
from clipcheck.protocol import Event, Gradients, Phase
from clipcheck.record import replace
from clipcheck.settingsfiles import SUFFIXES

EVERY_BATCH = "every-batch"  # the kind of a call that is handed a function to call for every batch


class Trainers(Turns):
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
        name = made.cls.definition.name if made.cls is not None else made.name.rpartition(".")[2]
        unsaid = "" if indirect or last_identifier(call.function) == name else name
        told = Told(self.site(), call, made.rule.clipping, indirect, obstacle, name=unsaid)
        told.optimizer = argument_at(call, made.rule.optimizers)
        self.told[made.key] = told

    def _rule(
        self, frame: Frame, function: Value, owner: Value | None, given: Arguments, call: facts.Call
    ) -> CallRule | None:
        """`super().fit(model)` in a trainer of the project sets it going as well."""
        found = super()._rule(frame, function, owner, given, call)
        if found is None and isinstance(owner, Super) and isinstance(owner.receiver, Object):
            found = self.knowledge.method(owner.receiver.role, last_identifier(call.function))
            return found if found is not None and (found.event == "fit" or found.slot("gradients")) else None
        return found

    # -- the trainer's run -----------------------------------------------------------------------------

    def fit(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value | None:
        handed = given.get(rule.slot("trainer")) if rule.kind == EVERY_BATCH else None
        for one in choices(handed) if handed is not None else ():
            if isinstance(one, FunctionRef):
                self.run_in_turns(one)
        trainer = self._set_going(rule, owner, given)
        if trainer is None or trainer.rule is None or trainer.rule.clipping is None:
            return None
        if not self.following:
            return Literal(None)
        made = Arguments(trainer.arguments, trainer.keywords)
        model = given.get(rule.slot("model")) or made.get(trainer.rule.model)
        held: Value | None = None
        if trainer.rule.clipping.member is not None:
            held = self.callbacks_of(trainer, given.get(rule.slot("callbacks")))
        teller = self._teller(trainer, made, held)
        if teller is None:
            return None
        self._run_trainer(frame, trainer, teller, model, call, held)
        return Literal(None)

    def _run_trainer(
        self,
        frame: Frame,
        trainer: Object,
        teller: Object,
        model: Value | None,
        call: facts.Call,
        held: Value | None = None,
    ) -> None:
        """Train each of the models that a trainer may be set going on."""
        worlds = self.worlds
        for one in choices(model) if model is not None else (Unknown(f"{trainer.key}.model"),):
            self.worlds = (World(((ANY, Gradients(Phase.EMPTY)),)),)
            self._train(frame, trainer, teller, self.model_handed(trainer, one), held)
            self.trainer = None
            self.told[teller.key].used(None, (frame.filename, call.name_span.row))
        self.worlds = worlds

    def _set_going(self, rule: CallRule, owner: Value | None, given: Arguments) -> Object | None:
        """The trainer that a call sets going: the one whose method it is, or one that it is handed."""
        if rule.slot("trainer") is not None:
            owner = given.get(rule.slot("trainer"))
        trainer = owner.receiver if isinstance(owner, Super) else owner
        found = [one for one in choices(trainer) if isinstance(one, Object)] if trainer is not None else []
        if len(found) == 1 and found[0].rule is not None and found[0].rule.holds:
            found = list(self._held_by(found[0]))
        return found[0] if len(found) == 1 else None

    def _held_by(self, holder: Object, depth: int = 3) -> Iterator[Object]:
        """The trainers that an object was made with, where it has no other settings for them: pipelines, searches."""
        values = [*holder.arguments, *(value for _, value in holder.keywords)]
        while values:
            value = values.pop()
            if isinstance(value, Table) and any("callbacks" in key for key, _ in value.entries):
                yield from (holder, holder)  # it may try some that clip
            for choice in choices(value):
                rule = choice.rule if isinstance(choice, Object) else None
                if isinstance(choice, Object) and choice.key in self.told:
                    yield choice
                elif isinstance(choice, Object) and rule is not None and rule.holds and depth:
                    yield from self._held_by(choice, depth - 1)
                elif isinstance(choice, Items):
                    values += choice.members

    def _teller(self, trainer: Object, made: Arguments, held: Value | None) -> Object | None:
        """The object whose call carries the clipping argument: the trainer, or what it is given for that."""
        assert trainer.rule is not None
        settings = made.get(trainer.rule.settings)
        clips, _ = self.clip_members(held)
        for choice in (*clips, *(choices(settings) if settings is not None else ())):
            if isinstance(choice, Object) and choice.key in self.told:
                return choice
        return trainer if trainer.key in self.told else None

    def _train(self, frame: Frame, trainer: Object, teller: Object, model: Value, held: Value | None) -> None:
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
            self.value_told(teller, told)
            self.trainer = Running(trainer, told, told.value, manual)
            steps = [one for name in hooks.step if (one := self._method(model, name)) is not None]
            if manual:  # its own steps are met on the way
                self.in_turns(lambda: self._run_steps(steps), steps)
                self.refused_by_manual(trainer, told, model)
                return
            self._run_steps(steps)
            replaced = isinstance(self._method(model, hooks.clipping), FunctionRef)
        self.worlds = self.worlds or (World(((ANY, Gradients(Phase.EMPTY)),)),)
        self.refresh(None)
        if isinstance(model, Object) and hooks is not None:
            if self.sums_up(trainer):
                later = [name for name in hooks.after_backward if name not in hooks.each_backward]
                self.summed = Accumulation(place=next(iter(later), ""))
                each = hooks.each_backward
                self.run_waiting(partial(self._run_hooks, trainer, model, hooks, optimizers, each))
                self.refresh(None)
            self._after_backward(trainer, model, hooks, optimizers)
            self.summed = None
            if manual is None:
                self.doubt_all("whether the model runs the step by itself is not known")
        if trainer.cls is not None and (name := next(self.clipping_methods(trainer.cls), "")):
            self.doubt_all(f"`{name}` of {trainer.name} may clip")
        if not replaced:
            self.clip_as_told(frame, trainer, teller, told, held)
        if trainer.rule is not None and trainer.rule.family and not _is_found(model):
            model = trainer  # by what it trains, whatever the name of the model
        for optimizer in optimizers or self._handed_optimizers(trainer):
            self.trainer_step(optimizer, model, told)

    def _run_steps(self, methods: list[FunctionRef]) -> None:
        """One batch: the methods that compute the loss, in their order."""
        for method in methods:
            self.follow(method, Arguments(), None)

    def _handed_optimizers(self, trainer: Object) -> list[Value]:
        """The optimizers that a trainer was made with, or one that nothing is known of."""
        slot = trainer.rule.optimizers if trainer.rule is not None else None
        value = Arguments(trainer.arguments, trainer.keywords).get(slot)
        found = list(_optimizers(value)) if value is not None else []
        return found or [Unknown(f"{trainer.key}.optimizers()")]

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
        return found.bound_to(owner) if isinstance(found, FunctionRef) else None

    def _after_backward(self, trainer: Object, model: Object, hooks: Hooks, optimizers: list[Value]) -> None:
        """The hooks that see the gradients before the step, and what else may clip them there."""
        self._run_hooks(trainer, model, hooks, optimizers, (*hooks.after_backward, hooks.clipping))
        if (own := self._method(model, hooks.clipping)) is not None:
            self.ignored_by_the_model(model, own)
            self.doubt_all(f"{model.name} has a `{hooks.clipping}` of its own")
        followed = {*hooks.before, *hooks.step, *hooks.after_backward, hooks.clipping}
        for name in self.clipping_methods(model.cls) if model.cls is not None else ():
            if name not in followed:
                self.doubt_all(f"`{name}` of {model.name} may clip")

    def _run_hooks(
        self, trainer: Object, model: Object, hooks: Hooks, optimizers: list[Value], names: tuple[str, ...]
    ) -> None:
        """Run hooks of the trainer's callbacks and of the model, by name."""
        optimizer = optimizers[0] if optimizers else Unknown(f"{model.key}.optimizers()")
        callbacks = Arguments(trainer.arguments, trainer.keywords).get(
            trainer.rule.callbacks if trainer.rule else None
        )
        beside = (
            [one for one in (callbacks, *members(callbacks)) if isinstance(one, Object)] if callbacks else []
        )
        for name in names:
            first = () if name in hooks.after_backward[:1] else (optimizer,)
            for callback in beside:
                self._hook(callback, name, Arguments((trainer, model, *first)))
            self._hook(model, name, Arguments(first))

    def doubt_all(self, reason: str) -> None:
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
            ways = list(_by_place(self.given_back.get(owner.key)))
            if found and ways:
                return several(way[0] if len(way) == 1 else Items(way) for way in ways)
            if found:
                return found[0] if len(found) == 1 else Items(tuple(found))
        key = owner.key if isinstance(owner, (Object, Unknown)) else f"{frame.filename}:{call.row}"
        return Unknown(f"{key}.optimizers()", frozenset({key}))

    def _optimizers_of(self, model: Object, hooks: Hooks) -> list[Value]:
        """The optimizers that a model's method returns, in their order; the same ones each time it is asked."""
        if model.key not in self.own:
            self.own[model.key] = []  # the method may ask for them itself
            returned = self.given_back[model.key] = self._hook(model, hooks.optimizers)
            self.own[model.key] = list(dict.fromkeys(_optimizers(returned))) if returned is not None else []
        for one in self.own[model.key]:
            if isinstance(one, Object):
                super().made(one)
        return list(self.own[model.key])

    # -- the clip ----------------------------------------------------------------------------------------

    def clip_as_told(
        self, frame: Frame, trainer: Object, teller: Object, told: Told, held: Value | None = None
    ) -> None:
        """The framework's own clip, as far as the arguments say whether it takes place."""
        arguments = Arguments(teller.arguments, teller.keywords)
        clipping = told.clipping
        self._look_around(Arguments(trainer.arguments, trainer.keywords), arguments, told)
        self._look_at_versions(told)
        value = self.value_told(teller, told)
        told.settings_row = _handed(arguments) if value is None else None
        if told.settings_row is not None:
            told.obstacle = (
                told.obstacle or "it belongs in the settings file: another one may have it as well"
            )
        site = self.site()

        def clip(state: Gradients) -> Gradients:
            return state.after(Event.CLIP, site)[0]

        acts = self._acts(value, arguments, told)
        clips, doubt = self.clip_members(held)
        if doubt:
            self.doubt_all(doubt)
        if clipping.member is not None:
            acts = bool(clips)
        if acts is True:
            self.change(clip)
        elif acts is None:
            self.doubt_all(f"`{clipping.name}` has a value that is not known")
        elif isinstance(value, Option) or any(
            isinstance(one, Option) for one in choices(value or Literal(None))
        ):
            expression = _expression(told.call, clipping)
            key = f"{frame.label}:{render(expression) if expression else clipping.name}"
            names = frozenset(names_in(expression)) if expression else frozenset()
            before = self.worlds
            self.worlds, off = split(before, key, names, False)
            self.change(clip)
            self.worlds = merge([self.worlds, off])

    def value_told(self, teller: Object, told: Told) -> Value | None:
        """The value of the clipping argument that is given; of several, the first that does not switch it off."""
        arguments, clipping = Arguments(teller.arguments, teller.keywords), told.clipping
        found = [
            (name, self._argument_of(teller, arguments, name, clipping.position if not number else -1))
            for number, name in enumerate(clipping.arguments)
        ]
        given = [(name, value) for name, value in found if value is not None]
        acting = [
            one
            for one in given
            if any(_positive(choice, clipping) is not False for choice in choices(one[1]))
        ]
        told.argument, told.value = next(iter(acting or given), ("", None))
        return told.value

    def _argument_of(self, teller: Object, arguments: Arguments, name: str, position: int) -> Value | None:
        """A clipping argument: as it was assigned later on, as handed over, or the class's own default."""
        found = teller.attributes.get(name) or arguments.get((name, position))
        if found is None and teller.cls is not None:
            found = self.class_member(teller.cls, name)
            if isinstance(found, Option) and not found.name:  # `max_grad_norm: float = field(default=0.0)`
                return Option(name, found.default, found.place, written_as(name, found.default))
        return found

    def _acts(self, value: Value | None, arguments: Arguments, told: Told) -> bool | None:
        """Whether the framework clips with this value, options at their defaults; None where that is not known."""
        if value is None:
            unseen = any(name is None and not complete(one) for name, one in arguments.keywords)
            if told.indirect or unseen:
                return True if told.default else None
            return told.default
        found = {_positive(choice, told.clipping) for choice in choices(value)}
        return found.pop() if len(found) == 1 else None

    def _look_around(self, trainer: Arguments, arguments: Arguments, told: Told) -> None:
        """What other arguments say of the clipping: that it is another's affair, or refused."""
        for name in told.clipping.looked_at:
            value = arguments.get((name, -1)) or trainer.get((name, -1))
            for one in choices(value) if value is not None else ():
                text = text_of(one)
                if told.clipping.elsewhere is not None and told.clipping.elsewhere.search(text):
                    self.doubt_all(f"`{name}` has a configuration of its own, which may clip")
                elif told.clipping.refused is not None and told.clipping.refused.search(text):
                    told.obstacle = f"it is refused with this `{name}`"
                elif isinstance(one, Unknown) and not self.knowledge.is_harmless(text):
                    told.doubt = f"`{name}` is not known, and may not allow it"

    def _look_at_versions(self, told: Told) -> None:
        """What the versions that the project asks for, or is written for, say of the argument: whether they have it."""
        clipping = told.clipping
        for package, version in clipping.came_with if not told.obstacle else ():
            pin = self.project.pins.version_of(package, told.site.filename)
            if pin is not None and pin.is_before(version):
                told.obstacle = (
                    f"`{clipping.name}` came with {package} {version}, and {pin.text} is asked for"
                )
                return
        old = next((name for name, _ in told.call.keywords if name in clipping.outdated), "")
        if old:
            told.doubt = told.doubt or f"versions that take `{old}` may not have `{clipping.name}` yet"

    # -- the step ----------------------------------------------------------------------------------------

    def trainer_step(self, optimizer: Value, model: Value, told: Told) -> None:
        """The step of a framework, which stands at the call that tells it how to clip."""
        key = optimizer.key if isinstance(optimizer, (Object, Unknown)) else ""
        fitted = self.site()
        if key in self.by_hand:
            self.doubt_all("the code changes these gradients by itself")
        paths, self.worlds = self.paths_of(self.worlds, key, Event.STEP, told.site)
        held = self.updated(optimizer)
        known = [self.sightings.objects.get(one) for one in sorted(held.models)] if held is not None else []
        found = tuple(one for one in known if one is not None)
        models = found if found and len(found) == len(known) else (model,)
        step = self.sightings.steps.setdefault(told.site, Step(told.site, told.call, told=told))
        if step.told is None and step.call == told.call:  # elsewhere it was handed what nobody knows
            step.told = told
        if step.told is None:
            return
        step.told.used(fitted)
        step.met(self.told_context(key, optimizer, models, paths))

    def told_context(
        self, key: str, optimizer: Value, models: tuple[Value, ...], paths: list[Path]
    ) -> StepContext:
        """The calling context of a step that a framework makes."""
        names, notes = Names(None, None), tuple(self.notes)
        label = f"{self.context_label()}>{key}"
        entry, reached = self.entry_file, self.row_reached()
        frozen = self.frozen_now()
        return StepContext(
            label, optimizer, models, True, paths, names, None, False, entry, notes, reached, frozen
        )


def _optimizers(value: Value, depth: int = 4) -> Iterator[Value]:
    """The optimizers in what a model's method returns: one, a list, pairs with schedulers, dictionaries."""
    for choice in choices(value):
        if isinstance(choice, Object) and choice.role == "optimizer":
            yield choice
        elif isinstance(choice, (Items, Table, Elements)) and depth:
            for member in members(choice):
                yield from _optimizers(member, depth - 1)


def _by_place(value: Value | None) -> Iterator[tuple[Value, ...]]:
    """On each way through the method that returns them, the optimizers by their places: `opt_g, opt_d = …` unpacks those."""
    for choice in choices(value) if value is not None else ():
        listed = choice.members if isinstance(choice, Items) else (choice,)
        first = choices(listed[0]) if listed else ()
        if first and all(isinstance(one, Items) for one in first):  # a list of them, beside one of schedulers
            yield from (
                one.members for one in first if isinstance(one, Items) and _all_optimizers(one.members)
            )
        elif listed and _all_optimizers(listed):
            yield listed


def _all_optimizers(places: tuple[Value, ...]) -> bool:
    return all(
        any(isinstance(one, Object) and one.role == "optimizer" for one in choices(place)) for place in places
    )


def _handed(arguments: Arguments) -> tuple[str, int] | None:
    """The settings file, and a row in it, whose entries `**` hands over."""
    for name, value in arguments.keywords:
        for _, entry in value.entries if name is None and isinstance(value, Table) else ():
            if isinstance(entry, Option) and entry.place[0].endswith(SUFFIXES):
                return entry.place
    return None


def _is_found(model: Value) -> bool:
    """Whether a model is more than a name or an unknown value."""
    return isinstance(model, Object) and (model.cls is not None or bool(model.rule and model.rule.family))


def _positive(value: Value, clipping: Clipping) -> bool | None:
    """Whether a threshold switches clipping on: None, False and infinity do not, nor does zero as a rule.

    None where nobody knows.
    """
    if isinstance(value, Object) and value.role == "gradient-clip":
        return True
    constant = literal(value)
    if constant is None or constant is False or is_infinite(value):
        return False
    if isinstance(value, Table) and value.entries:  # `dict(max_norm=35, norm_type=2)`
        return True
    if not isinstance(constant, (int, float)):
        return None
    return not math.isinf(constant) and (constant > 0 or clipping.zero_acts)


def text_of(value: Value) -> str:
    """What names a strategy or a plugin: a string, the class that makes it, or how the code puts it."""
    if isinstance(value, (Object, External)):
        return value.name
    if isinstance(value, Table):  # a dict in place of a call says in one entry what it makes
        return next((text_of(entry) for key, entry in value.entries if key == "type"), "a dict")
    if isinstance(value, Unknown):  # its key ends in the name of the class, or in the expression
        return value.key.rpartition(":")[2]
    constant = literal(value)
    return "" if isinstance(constant, Value) else str(constant)


def _expression(call: facts.Call, clipping: Clipping) -> facts.Expression | None:
    return next((value for name, value in call.keywords if name in clipping.arguments), None)
