"""Clips and steps: the two events that are judged, recorded with everything a judge needs."""

from __future__ import annotations

from itertools import chain

from clipcheck import facts
from clipcheck.findings import Span
from clipcheck.flow.covers import Covers
from clipcheck.flow.records import Clip, ClipContext, Names, Owned, Path, Step, StepContext, Summed
from clipcheck.flow.render import is_reference, last_identifier, render
from clipcheck.flow.values import (
    Arguments,
    ClassRef,
    External,
    Frame,
    FunctionRef,
    Items,
    Literal,
    ModuleRef,
    Object,
    Parameters,
    Pending,
    Several,
    Table,
    Tensor,
    Unknown,
    Value,
    choices,
    is_infinite,
    literal,
    members,
)
from clipcheck.flow.worlds import ANY, World, merge
from clipcheck.knowledge import CallRule
from clipcheck.protocol import Event, Gradients
from clipcheck.record import replace

SHARDED = "sharded"  # the "framework" of a wrapper that clips its shards by a method of its own


# A module with thousands of functions is looked through for each of its steps, which must cost next to nothing.
_NO_OBJECTS = frozenset({ClassRef, External, FunctionRef, Literal, ModuleRef, Pending})


class Steps(Covers):
    """What happens at a clip and at a step."""

    # -- clip ----------------------------------------------------------------------------------------

    def clip(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        threshold = given.get(rule.slot("threshold"))
        slot = rule.slot("parameters")
        parameters = given.get(slot) if slot else owner
        used = call is not self.discarded
        if is_infinite(threshold) and used:
            self.use_up(parameters)
            return Tensor(frozenset(), True)  # a norm measured, nothing clipped
        if self.following:
            cover = self.parameters_in(parameters)
            if rule.unscales:
                self.take_scale_off(cover)
            context = ClipContext(
                [],
                threshold,
                parameters,
                self._mentions_scale(frame, call),
                used,
                rule.kind == "norm" and _single(parameters),
                self._optimizer_name(cover, frame),
                self._scaler_name(frame),
                iterator=parameters.iterator if isinstance(parameters, Parameters) else "",
                owned=self.owned(frame, rule, cover, threshold, call),
                summed=self.completed(frame),
            )
            if self.engine is not None and self.engine[1]:
                context.engine, context.framework = self.name_for(frame, self.engine[0]), self.engine[1]
            self._clip(_kind(rule, given), cover, context, call, rule.replaced_by)
        self.use_up(parameters)
        return Tensor(frozenset(), True)

    def clip_by_library(self, frame: Frame, owner: Value | None, given: Arguments, call: facts.Call) -> None:
        """Code that is not known, but says in its name that it clips."""
        self._clip("library", None, ClipContext([], None, None, False, True, False), call)

    def clip_by_hand(self, cover: Parameters | None, call: facts.Call) -> None:
        """Gradients changed in place: the norm computed and the gradients scaled, or clamped."""
        only_by_option = all(world.unusual for world in self.worlds)
        if not only_by_option:  # those stay paths of their own
            self.mark_by_hand(cover)
        self._clip("hand-written", cover, ClipContext([], None, None, False, True, False), call)

    def _clip(
        self, kind: str, cover: Parameters | None, context: ClipContext, call: facts.Call, replaced: str = ""
    ) -> None:
        site = self.site()
        out: list[World] = []
        partial = False
        relations = {key: self.relation(key, cover) for world in self.worlds for key, _ in world.states}
        exact = kind in ("norm", "value")
        nothing = (key for key, one in relations.items() if exact and one == "none")
        strange = self.strange(nothing, cover)
        for world in self.worlds:
            states = []
            related = {key: relations[key] for key, _ in world.states}
            met = [relation for key, relation in related.items() if key != ANY]
            certain = any(relation in ("all", "part") for relation in met)
            nearest = bool(met) and any(relation == "maybe" for relation in met)
            for key, state in world.states:
                relation = related[key]
                if relation == "part" and exact:
                    states.append((key, self.partly(key, state, cover)))
                    continue
                if relation == "none":
                    foreign = state.foreign | ({site} if key in strange else frozenset())
                    states.append((key, replace(state, foreign=foreign)))
                    continue
                after, code = state.after(Event.CLIP, site)
                partial = partial or code == "CLP204" or (code == "CLP203" and state.early)
                code = code or ("CLP205" if context.iterator in world.spent else "")
                if relation == "all" or (not certain and not (key == ANY and nearest)):
                    context.paths.append(Path(state, world.guards, code))
                states.append((key, after))
            out.append(replace(world, states=tuple(states)))
        self.worlds = merge([tuple(out)])
        if self.waiting:  # it is judged by the last batch, where it meets what it has done here
            return
        context.summed = context.summed if partial else None
        clip = self.sightings.clips.setdefault(site, Clip(site, call, kind, replaced, self.function_name()))
        context.label = self.context_label()
        clip.met(context)

    def completed(self, frame: Frame) -> Summed | None:
        """Where the sum that is being accumulated is complete, in the names in reach; None where none is."""
        if self.summed is None:
            return None
        name = self.name_for(frame, self.summed.owner)
        guard = self.knowledge.engines.get(self.summed.framework, {}).get("guard", "")
        return Summed(guard.format(engine=name) if name else "", self.summed.place)

    def context_label(self) -> str:
        """The calling context: where the run started, and the calls from there."""
        return f"{self.entry_label}<{'<'.join(self.chain)}"

    def row_reached(self) -> int:
        """The row that a script has come to at its own level; 0 in a run that began with a function."""
        if self.entry_label != self.entry_file:
            return 0
        return int(self.chain[0].partition(".")[0]) if self.chain else self.statement[1].row

    def owned(
        self,
        frame: Frame,
        rule: CallRule,
        cover: Parameters | None,
        threshold: Value | None,
        call: facts.Call,
    ) -> Owned | None:
        """Why a clip is not the program's to make, if a framework owns the gradients."""
        raise NotImplementedError

    def engine_clips(self, framework: str) -> bool | None:
        """Whether the method of a framework's object clips what the step uses; None where that is not known."""
        raise NotImplementedError

    def function_name(self) -> str:
        """The function that is being run, "" at the level of a module."""
        return self.stack[-1].definition.name if self.stack else ""

    def _mentions_scale(self, frame: Frame, call: facts.Call) -> bool:
        """Whether the threshold is computed from the loss scale."""
        values = [*call.arguments[1:], *(value for _, value in call.keywords)]
        return any(
            "get_scale" in render(value) or "scale" in last_identifier(value) for value in values
        ) or any(isinstance(value, facts.Operation) and "scale" in render(value) for value in values)

    def _optimizer_name(self, cover: Parameters | None, frame: Frame) -> str | None:
        """A name for the optimizer whose gradients a clip is for."""
        for key, _ in self.worlds[0].states if self.worlds else ():
            if key != ANY and self.relation(key, cover) == "all":
                name = self.name_for(frame, key)
                if name is not None:
                    return name
        return None

    def _scaler_name(self, frame: Frame) -> str | None:
        """A name for the gradient scaler in reach."""
        scope: Frame | None = frame
        while scope is not None:
            for name, value in scope.locals.items():
                if value.__class__ in _NO_OBJECTS:
                    continue
                if any(isinstance(one, Object) and one.role == "scaler" for one in choices(value)):
                    return name
                if isinstance(value, Unknown) and self.knowledge.hinted("scaler", name):
                    return name
            scope = scope.parent
        receiver = frame.receiver
        if isinstance(receiver, Object):
            for name, value in receiver.attributes.items():
                if any(isinstance(one, Object) and one.role == "scaler" for one in choices(value)):
                    return f"{self.receiver_name(frame)}.{name}"
        return None

    # -- step ----------------------------------------------------------------------------------------

    def step(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        slot = rule.slot("optimizer")
        optimizer = given.get(slot) if slot else owner
        if not self.following:
            return Literal(None)
        if optimizer is None:
            optimizer = self.unknown(frame, call, render(call.function))
        if self.waits(optimizer):
            return Literal(None)
        return self.step_of(frame, rule, optimizer, given, call)

    def step_of(
        self, frame: Frame, rule: CallRule, optimizer: Value, given: Arguments, call: facts.Call
    ) -> Value:
        """The step of an optimizer, or of one of several."""
        slot = rule.slot("optimizer")
        receiver = call.function.value if isinstance(call.function, facts.Attribute) else call.function
        expression = call.arguments[0] if slot and call.arguments else receiver
        found = optimizers_in(optimizer)
        closure = None if any(map(_is_remote, found)) else given.get(rule.slot("closure"))
        span, with_closure = self._closure(closure, alone=len(given.all()) == (2 if slot else 1))
        scaler = render(receiver) if slot and is_reference(receiver) else None
        self._step(frame, found[0] if found else optimizer, expression, call, scaler, span, with_closure)
        self.alike([one.key for one in found])
        return Tensor(frozenset(), True)

    def _closure(self, closure: Value | None, *, alone: bool) -> tuple[Span | None, bool]:
        """Run the closure of a step; where in it a clip belongs, and whether there is one."""
        if closure is None or (isinstance(closure, Literal) and closure.value is None):
            return None, False
        if not isinstance(closure, FunctionRef):
            what = (
                "the closure handed to step()" if alone else "what the optimizer does with all it is handed"
            )
            reason = f"{what} is not known"
            self.change(lambda state: replace(state, unsure=reason))
            return None, True
        self.follow(closure, Arguments(), None)
        body = closure.definition.body
        last = body[-1] if body else None
        inside = isinstance(last, facts.Return) and closure.definition.name != "<lambda>"
        return (last.span if isinstance(last, facts.Return) and inside else None), True

    def _step(
        self,
        frame: Frame,
        optimizer: Value,
        expression: facts.Expression,
        call: facts.Call,
        scaler: str | None,
        closure: Span | None,
        with_closure: bool,
    ) -> None:
        site = self.site()
        key = (
            optimizer.key
            if isinstance(optimizer, (Object, Unknown))
            else f"{site.filename}:{render(expression)}"
        )
        reason = "the code changes these gradients by itself" if key in self.by_hand else ""
        reason = reason or (self.clipping_engine if self.engine is not None else "")
        if reason:
            self.worlds = tuple(world.having(key, world.get(key)) for world in self.worlds)
            self.change(lambda state: replace(state, unsure=state.unsure or reason), lambda name: name == key)
        paths, self.worlds = self.paths_of(self.worlds, key, Event.STEP, site)
        self.change(_unburdened, lambda name: name == ANY)
        held = self.updated(optimizer)
        objects = self.sightings.objects
        keys = held.models if held is not None else frozenset()
        traced = any(key in objects or key.rpartition(".")[0] in objects for key in keys)
        tensors = held is None and self.updates_tensors(optimizer)
        if not traced and not tensors:  # the model that the loss came from will be it
            keys = self.blamed or keys
        models: tuple[Value, ...] = tuple(objects.get(model, Unknown(model)) for model in sorted(keys))
        if tensors:
            models = (Tensor(),)
        text = render(expression) if is_reference(expression) else None
        works: bool | None = True
        names = Names(text, self.parameters_text(frame, held), scaler)
        if _is_remote(optimizer) or self.engine == ("", ""):
            names = Names(None, None)  # an engine that nothing is known of clips in a way of its own
        elif self.engine is not None:
            names = replace(names, engine=self.name_for(frame, self.engine[0]), framework=self.engine[1])
            works = self.engine_clips(self.engine[1])
            names = Names(None, None) if works is False else names
        elif held is not None and held.models & self.sharded:
            names = replace(names, engine=self.name_for(frame, *held.models), framework=SHARDED)
        certain = isinstance(optimizer, Object) and held is not None and not held.part and keys == held.models
        certain = certain and works is not None
        context = StepContext(
            f"{self.context_label()}>{key}",
            optimizer,
            models,
            certain,
            paths,
            names,
            closure,
            with_closure,
            self.entry_file,
            tuple(self.notes),
            self.row_reached(),
            self.frozen_now(),
        )
        self.sightings.steps.setdefault(site, Step(site, call)).met(context)

    def parameters_text(self, frame: Frame, held: Parameters | None) -> str | None:
        """An expression, in the names in reach, for all that an optimizer updates and nothing else."""
        if held is None or held.part:
            return None
        name = self.name_for(frame, *held.models) or self._less_direct_name(frame, *held.models)
        if name is not None:
            return f"{name}.parameters()"
        scope: Frame | None = frame
        while scope is not None:
            for listed, value in scope.locals.items():
                if (
                    value.__class__ is Items
                    and _lists_parameters(value)
                    and self.parameters_in(value) == held
                ):
                    return listed
            scope = scope.parent
        return None

    def _less_direct_name(self, frame: Frame, *keys: str) -> str | None:
        """A part of a model in reach that surely is the one with this key (`model.encoder`), or a name that may be nothing else known."""
        scope: Frame | None = frame
        likely: str | None = None
        while scope is not None:
            own = self.receiver_name(scope) if isinstance(scope.receiver, Object) else ""
            inner = scope.receiver.attributes.items() if own and isinstance(scope.receiver, Object) else ()
            for name, value in chain(scope.locals.items(), ((f"{own}.{name}", one) for name, one in inner)):
                if value.__class__ is Several and likely is None and _likely(value, keys):
                    likely = name
                if value.__class__ is not Object or value.role != "module":
                    continue
                for attribute, part in value.attributes.items():
                    if attribute.isidentifier() and part.__class__ is Object and _surely(part, keys):
                        return f"{name}.{attribute}"
            scope = scope.parent
        return likely if likely is not None and likely.replace(".", "").isidentifier() else None

    def name_for(self, frame: Frame, *keys: str) -> str | None:
        """A name in reach that surely means the object with this key (or one of these, and no other)."""
        scope: Frame | None = frame
        while scope is not None:
            for name, value in scope.locals.items():
                if value.__class__ not in _NO_OBJECTS and name.isidentifier() and _surely(value, keys):
                    return name
            receiver = scope.receiver
            if isinstance(receiver, Object) and self.receiver_name(scope):
                for name, value in receiver.attributes.items():
                    if name.isidentifier() and _surely(value, keys):
                        return f"{self.receiver_name(scope)}.{name}"
                if keys == (receiver.key,):
                    return self.receiver_name(scope)
            scope = scope.parent
        return None

    def receiver_name(self, frame: Frame) -> str:
        """What a method calls its own instance (`self`), "" where it does not."""
        scope: Frame | None = frame
        while scope is not None:
            for name, value in scope.locals.items():
                if value is frame.receiver:
                    return name
            scope = scope.parent
        return ""


def _kind(rule: CallRule, given: Arguments) -> str:
    """The kind of a clip: that of its function, or what the argument for it says."""
    mode = given.get(rule.slot("mode"))
    if mode is None:
        return rule.kind or "norm"
    return dict(rule.kinds).get(str(literal(mode)), "library")


def _unburdened(state: Gradients) -> Gradients:
    """What is kept of the gradients of optimizers not met yet when another one has stepped."""
    return replace(state, early=False, clips=frozenset(), vain=frozenset(), partial=frozenset())


def _is_remote(optimizer: Value) -> bool:
    """Whether the parameters of an optimizer live in other processes."""
    return isinstance(optimizer, Object) and optimizer.rule is not None and optimizer.rule.remote


def _surely(value: Value, keys: tuple[str, ...]) -> bool:
    found = {choice.key if isinstance(choice, (Object, Unknown)) else "" for choice in choices(value)}
    return found == set(keys)


def _likely(value: Value, keys: tuple[str, ...]) -> bool:
    """Whether what is known of a value is these models, beside what is not known: `model = torch.load(…)`, or one that is made."""
    known = {choice.key for choice in choices(value) if isinstance(choice, Object)}
    return known == set(keys) and all(isinstance(choice, (Object, Unknown)) for choice in choices(value))


def optimizers_in(value: Value) -> list[Object]:
    """The optimizers that a value may be, as far as they are known."""
    return [one for one in choices(value) if isinstance(one, Object) and one.role == "optimizer"]


def _lists_parameters(value: Value) -> bool:
    """Whether a list may be handed to a clip: one of optimizers, of models or of groups has the same parameters, and may not."""
    return not any(
        isinstance(choice, Table) or (isinstance(choice, Object) and choice.role != "tensor")
        for member in members(value)
        for choice in choices(member)
    )


def _single(value: Value | None) -> bool:
    """Whether what is handed to a clip is one parameter out of many (`p`, `[p]`)."""
    if isinstance(value, Items) and len(value.members) == 1:
        value = value.members[0]
    return isinstance(value, Parameters) and value.single
