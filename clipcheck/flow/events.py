"""Events: the calls that change gradients, and what each does to every world."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from clipcheck import facts
from clipcheck.findings import Evidence, Site
from clipcheck.flow.builtin import BUILTINS
from clipcheck.flow.calls import Calls, model_of
from clipcheck.flow.inplace import NO_BOUND, changes_gradients, factors_of, masks, steps_another, unscales
from clipcheck.flow.losses import is_loss
from clipcheck.flow.records import Path
from clipcheck.flow.render import last_identifier, names_in, render
from clipcheck.flow.values import (
    Arguments,
    Bound,
    Elements,
    External,
    Frame,
    FunctionRef,
    Items,
    Literal,
    Object,
    Parameters,
    Partial,
    Several,
    Table,
    Tensor,
    Unknown,
    Value,
    choices,
    keys_of,
    literal,
    members,
    reread,
    several,
)
from clipcheck.flow.worlds import ANY, World, Worlds, merge
from clipcheck.knowledge import CallRule
from clipcheck.modules import segments
from clipcheck.protocol import Event, Gradients, Phase
from clipcheck.record import replace

_EACH = "_foreach_"  # before the name of what is done to each tensor of a list
_HANDING = frozenset({FunctionRef, Several, Items, Table})  # what a function may be handed over in
ADDED = "#added"  # where an optimizer keeps the parameters that it was given later on
Handler = Callable[[Frame, CallRule, "Value | None", Arguments, facts.Call], Value]


class Events(Calls):
    """Recognises events by the knowledge, and by names where nothing else is known."""

    def event_of(
        self, frame: Frame, function: Value, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value | None:
        """The result of a call that is an event, or None where it is none."""
        rule = self._rule(frame, function, owner, given, call)
        if rule is None or rule.event not in _EVENTS:
            return None
        handler: Handler = getattr(self, _EVENTS[rule.event])
        return handler(frame, rule, owner, given, call)

    def _rule(
        self, frame: Frame, function: Value, owner: Value | None, given: Arguments, call: facts.Call
    ) -> CallRule | None:
        if self.knowledge.own and (own := self._own_rule(function, call)) is not None:
            return own
        if isinstance(function, External):
            return self.knowledge.call(function.name)
        if isinstance(function, Object):
            return self.knowledge.method(function.role, "__call__") if function.cls is None else None
        if not isinstance(call.function, facts.Attribute) or owner is None:
            return None
        name = call.function.attr
        if isinstance(function, FunctionRef):
            return self._overridden_step(function, owner, name)
        for role in self._roles(frame, function, owner, name, given, call):
            rule = self.knowledge.method(role, name)
            if rule is not None:
                return rule
        return None

    def _own_rule(self, function: Value, call: facts.Call) -> CallRule | None:
        """What the project's settings say of a helper of its own."""
        if isinstance(function, External):
            return self.knowledge.own_rule(function.name)
        if isinstance(function, FunctionRef):
            owner = f"{function.owner.definition.name}." if function.owner is not None else ""
            module = ".".join(segments(function.filename))
            return self.knowledge.own_rule(f"{module}.{owner}{function.definition.name}")
        return self.knowledge.own_rule(render(call.function))

    def _overridden_step(self, function: FunctionRef, owner: Value, name: str) -> CallRule | None:
        """A project's own optimizer class: its `step` is a step, unless it clips or steps another inside."""
        if name != "step":
            return None
        if not isinstance(owner, Object) or owner.role != "optimizer":
            if self.following and self.project.matters(function.definition):
                self.sightings.delegated.add(self.site())
            return None
        if self.project.clips(function.definition) or steps_another(function.definition):
            return None
        return self.knowledge.method("optimizer", "step")

    def _roles(
        self, frame: Frame, function: Value, owner: Value, name: str, given: Arguments, call: facts.Call
    ) -> list[str]:
        """The roles that the receiver of a method call may have."""
        if isinstance(owner, Object):
            also = owner.rule.also if owner.rule is not None else ""
            return [role for role in (also, owner.role) if role]
        if isinstance(owner, Tensor):
            return ["tensor"]
        if not isinstance(owner, (Unknown, Bound)):
            return []
        assert isinstance(call.function, facts.Attribute)
        identifier = last_identifier(call.function.value)
        hinted = self.knowledge.hinted
        first = given.positional[0] if given.positional else None
        if name in ("step", "unscale_", "scale", "get_scale"):
            argument = call.arguments[0] if call.arguments else None
            if first is not None and argument is not None and self.is_optimizer(first, argument):
                return ["scaler"]
            if hinted("scaler", identifier):
                return ["scaler"]
        if hinted("optimizer", identifier) and not hinted("not-optimizer", identifier):
            return ["optimizer"]
        if name == "backward":
            return ["tensor"]
        if name == "zero_grad":
            if isinstance(owner, Unknown):
                self.zeroed.add(owner.key)
            return ["module"]
        if name == "step" and isinstance(owner, Unknown) and owner.key in self.zeroed:
            return ["optimizer"]  # what empties gradients and makes a step, whatever it is called
        return []

    def is_optimizer(self, value: Value, expression: facts.Expression) -> bool:
        """Whether a value is an optimizer: known to be one, or unknown and called like one."""
        if any(isinstance(choice, Object) and choice.role == "optimizer" for choice in choices(value)):
            return True
        identifier = last_identifier(expression)
        unknown = all(isinstance(choice, (Unknown, Bound)) for choice in choices(value))
        hinted = self.knowledge.hinted
        return unknown and hinted("optimizer", identifier) and not hinted("not-optimizer", identifier)

    # -- parameters ----------------------------------------------------------------------------------

    def parameters_in(self, value: Value | None) -> Parameters | None:
        """The parameters a value stands for: of one model or several, whole or in part; None if unknown."""
        if value is None:
            return None
        if isinstance(value, Parameters):
            return reread(value)  # type: ignore[return-value]
        if isinstance(value, Object):
            if value.role == "optimizer":  # a wrapper around another optimizer
                return self.updated(value)
            return Parameters(frozenset({value.key})) if value.role in ("module", "") else None
        if isinstance(value, Bound):
            whole = model_of(value)
            if whole is not None and self._is_embedding(value):  # not the model that it stands in front of
                return Parameters(frozenset({f"{whole.key}.{value.name}"}), True)
            inner = self.parameters_in(value.owner)
            return Parameters(inner.models, True, inner.holder) if inner is not None else None
        if isinstance(value, Unknown):
            return Parameters(value.holds or frozenset({value.key}), part=bool(value.holds))
        if isinstance(value, Table):
            return self.parameters_in(value.get("params"))
        if isinstance(value, Items) or not isinstance(value, Elements):
            parts = list(members(value)) if isinstance(value, Items) else list(choices(value))
            if len(parts) == 1 and parts[0] is value:
                return None
        else:
            parts = [value.member]
        found = [self.parameters_in(part) for part in parts]
        known = [part for part in found if part is not None]
        if not known:
            return None
        models = frozenset().union(*(part.models for part in known))
        partial = len(known) < len(found) or all(part.part for part in known)
        return Parameters(models, partial, known[0].holder)

    def _is_embedding(self, value: Bound) -> bool:
        owner: Value = value
        while isinstance(owner, Bound):
            if self.knowledge.hinted("embedding-attribute", owner.name):
                return True
            owner = owner.owner
        return False

    def parameters_of_optimizer(self, optimizer: Object) -> Value:
        """Everything an optimizer updates, marked as its own."""
        held = self.updated(optimizer)
        models = held.models if held is not None else frozenset({optimizer.key})
        return Parameters(models, holder=optimizer.key)

    def updated(self, optimizer: Value) -> Parameters | None:
        """What an optimizer updates, or None where that is not known."""
        if isinstance(optimizer, Unknown):
            return Parameters(optimizer.holds, part=True) if optimizer.holds else None
        if not isinstance(optimizer, Object):
            return None
        given = _parameters_given(optimizer)
        held = self.parameters_in(given)
        added = optimizer.attributes.get(ADDED)
        if added is not None and held is not None:
            held = self.parameters_in(Items((held, added)))
        nearby = optimizer.attributes.get(_NEARBY)
        if isinstance(nearby, Parameters) and (held is None or not held.models) and not _has_tensor(given):
            return nearby
        return held

    def updates_tensors(self, optimizer: Value) -> bool:
        """Whether what an optimizer updates are tensors, as where an image or an embedding is optimised."""
        return isinstance(optimizer, Object) and _has_tensor(_parameters_given(optimizer))

    def _nearby(self) -> Parameters | None:
        """The models that the function at work was handed, or whose method it is: what an optimizer is made for."""
        if not self.stack:
            return None
        frame, definition = self.frames[-1], self.stack[-1].definition
        own = frame.receiver
        given = [frame.locals.get(parameter.name) for parameter in definition.parameters]
        for values in ([value for value in given if value is not own], [own], self._parts(own)):
            found = {made.key for value in values if value is not None for made in _modules(value)}
            if found:
                return Parameters(frozenset(found), part=True)
        return None

    def _parts(self, receiver: Value | None) -> list[Value]:
        return list(receiver.attributes.values()) if isinstance(receiver, Object) else []

    def add_parameters(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`optimizer.add_param_group({"params": …})`: what it updates from then on, too."""
        for optimizer in choices(owner) if owner is not None else ():
            if isinstance(optimizer, Object):
                known = optimizer.attributes.get(ADDED)
                more = (known,) if known is not None else ()
                added = several([*more, *given.all()]) if given.all() else self.unknown(frame, call)
                optimizer.attributes[ADDED] = added
        return Literal(None)

    def relation(self, key: str, cover: Parameters | None) -> str:
        """How a cover relates to what the optimizer `key` updates: "all", "part", "none" or "maybe"."""
        if cover is None or key == ANY:
            return "maybe"
        if cover.holder:
            return "all" if cover.holder == key else self._relation_of(key, cover)
        return self._relation_of(key, cover)

    def _relation_of(self, key: str, cover: Parameters) -> str:
        optimizer = self.sightings.objects.get(key)
        held = self.updated(optimizer) if optimizer is not None else None
        if held is None:
            return "maybe"
        covered = {model for model in held.models if any(self.contains(c, model) for c in cover.models)}
        if covered == held.models:
            return "maybe" if cover.part else "all"
        inside = any(self.contains(model, c) for model in held.models for c in cover.models)
        if covered or inside:
            return "maybe" if cover.part or held.part else "part"
        known = all(model in self.sightings.objects for model in held.models | cover.models)
        return "none" if known else "maybe"

    def contains(self, outer: str, inner: str, depth: int = 4) -> bool:
        """Whether the model with key `inner` is, or lies inside, the one with key `outer`."""
        if outer == inner or inner.startswith((outer + ".", outer + "[")):
            return True
        known = self.inside.get((outer, inner))
        if known is None:
            known = self.inside[outer, inner] = self._lies_in(outer, inner, depth)
        return known

    def _lies_in(self, outer: str, inner: str, depth: int) -> bool:
        held = self.sightings.objects.get(outer)
        if held is None or depth <= 0:
            return False
        if any(self._reaches(value, inner, depth) for value in held.attributes.values()):
            return True
        parts = list(self._listed_in(inner))
        return bool(parts) and all(self.contains(outer, part, depth - 1) for part in parts)

    def _listed_in(self, key: str) -> Iterator[str]:
        """The models in a list of models that a library keeps: `nn.ModuleList` of some that another one has as well."""
        made = self.sightings.objects.get(key)
        if made is None or made.cls is not None or made.rule is None or made.rule.family != "container":
            return
        for value in made.attributes.values():
            for part in (value, *members(value)):
                yield from (one.key for one in choices(part) if isinstance(one, (Object, Unknown)))

    def _reaches(self, value: Value, inner: str, depth: int) -> bool:
        for choice in choices(value):
            if isinstance(choice, Object) and self.contains(choice.key, inner, depth - 1):
                return True
            if isinstance(choice, Unknown) and choice.key == inner:
                return True
            if isinstance(choice, (Items, Elements, Table)) and any(
                self._reaches(member, inner, depth - 1) for member in members(choice) if depth
            ):
                return True
        return False

    # -- the events ----------------------------------------------------------------------------------

    def change(
        self, update: Callable[[Gradients], Gradients], concerns: Callable[[str], bool] = lambda _: True
    ) -> None:
        """Apply a change to the gradients of every optimizer that it concerns, in every world."""
        keys = {key for world in self.worlds for key, _ in world.states}
        meant = {key for key in keys if concerns(key)}
        if meant:
            changed = (
                w.mapped(lambda key, state: update(state) if key in meant else state) for w in self.worlds
            )
            self.worlds = merge([tuple(changed)])

    def backward(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        source = given.get(rule.slot("loss")) if rule.slot("loss") else owner
        if isinstance(owner, (Unknown, Bound)) and given.positional and rule.slot("loss") is None:
            source = Items((owner, *given.positional))  # `engine.backward(loss)`
        tensor = self.tensor_of([source]) if source is not None else None
        if self.following:
            self.blamed = tensor.models if tensor is not None else held_by(source)
            if given.positional and isinstance(owner, (Object, Unknown, Bound)):
                known = isinstance(owner, Object) and rule.framework in self.knowledge.engines
                self.engine = (owner.key, rule.framework) if known and isinstance(owner, Object) else ("", "")
            if isinstance(owner, Object) and _scales(owner) and not self.clipping_engine:
                tensor = replace(tensor, scaled=True) if tensor else Tensor(frozenset(), False, True)
            self.refresh(tensor)
        return Literal(None)

    def refresh(self, tensor: Tensor | None) -> None:
        site = self.site()
        event = Event.SCALED_BACKWARD if tensor is not None and tensor.scaled else Event.BACKWARD
        cover = Parameters(tensor.models) if tensor is not None and tensor.models else None

        sure = tensor is not None and tensor.complete

        def reached(key: str) -> bool:
            return not (sure and self.relation(key, cover) == "none")

        self.change(lambda state: state.after(event, site)[0], reached)

    def zero_grad(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        if not self.following or owner is None:
            return Literal(None)
        if self.waits(owner):
            return Literal(None)
        site = self.site()
        key = self._key(owner)
        if rule is self.knowledge.method("optimizer", "zero_grad") and key:
            self.worlds = merge(
                [tuple(w.having(key, w.get(key).after(Event.ZERO_GRAD, site)[0]) for w in self.worlds)]
            )
            held = self.updated(owner)
            if held is not None and not held.part:  # other optimizers over the same parameters lose them too
                self.change(
                    lambda state: state.after(Event.ZERO_GRAD, site)[0],
                    lambda name: name != key and self.relation(name, held) == "all",
                )
            return Literal(None)
        cover = self.parameters_in(owner)

        self.change(
            lambda state: state.after(Event.ZERO_GRAD, site)[0],
            lambda name: self.relation(name, cover) in ("all", "maybe"),
        )
        return Literal(None)

    def _key(self, value: Value) -> str:
        for choice in choices(value):
            if isinstance(choice, (Object, Unknown)):
                return choice.key
        return ""

    def scale_loss(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        tensor = self.tensor_of([value]) if (value := given.get(rule.slot("loss"))) is not None else None
        tensor = tensor or Tensor(frozenset(), False)
        scaled = not (isinstance(owner, Object) and self._disabled(owner))
        return Tensor(tensor.models, tensor.complete and bool(tensor.models), scaled)

    def _disabled(self, scaler: Object) -> bool:
        enabled = Arguments((), scaler.keywords).get(("enabled", 9))
        return isinstance(enabled, Literal) and not enabled.value

    def unscale(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        optimizer = given.get(rule.slot("optimizer"))
        if not self.following:
            return Literal(None)
        if optimizer is None:  # `accelerator.unscale_gradients()`
            self.take_scale_off(None)
            return Literal(None)
        site = self.site()
        # whichever of several it is; one that is not known at all is among those that have not been met
        for key in dict.fromkeys(key for one in choices(optimizer) if (key := self._key(one))):
            self.worlds = merge(
                [tuple(w.having(key, w.get(key).after(Event.UNSCALE, site)[0]) for w in self.worlds)]
            )
        self.change(lambda state: state.after(Event.UNSCALE, site)[0], lambda name: name == ANY)
        return Literal(None)

    def loss_scale(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        return Unknown("loss scale")

    def same_object(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        return owner if owner is not None else Literal(None)

    def prepare(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`accelerator.prepare(model, optimizer)`: what is handed in comes back, wrapped."""
        if not given.positional:
            return self.unknown(frame, call)
        self.prepared.update(*map(keys_of, given.positional))
        return given.positional[0] if len(given.positional) == 1 else Items(given.positional)

    def waits(self, optimizer: Value) -> bool:
        """Whether a framework keeps an optimizer from its step, since further batches are to come."""
        found = choices(optimizer) if self.waiting else ()
        return bool(found) and all(isinstance(one, Object) and one.key in self.prepared for one in found)

    def counted(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """A library's own `range`."""
        return BUILTINS["builtins.range"](self, frame, given, call) or self.unknown(frame, call)

    def launch(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`spawn(train, args=(...))`, `Thread(target=train, args=...)`, `fabric.launch(main)`: a call, made elsewhere.

        The kind says what the library puts in front: the "rank" of the process, or its "owner".
        """
        function = given.get(rule.slot("function"))
        listed = given.get(rule.slot("arguments"))
        arguments = listed.members if isinstance(listed, Items) else ()
        first: dict[str, Value | None] = {"rank": self.unknown(frame, call, "rank"), "owner": owner}
        front = first.get(rule.kind)
        known = given.get(rule.slot("keywords"))
        keywords = known.entries if isinstance(known, Table) else ()
        handed = Arguments(((front,) if front is not None else ()) + arguments, keywords)
        before = self.worlds
        for choice in choices(function) if function is not None else ():
            if isinstance(choice, (FunctionRef, Partial)):
                self.apply(frame, choice, None, handed, call)
        self.worlds = self.worlds or before  # it may run for ever, but who launched it goes on
        return self.unknown(frame, call)

    def tensor(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """A tensor that depends on no model, or on those of what it is made from."""
        return self.tensor_of(given.all()) or Tensor()

    def step_hook(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`optimizer.register_step_pre_hook(clip)`: what runs before each step, and clips or may do so."""
        hook = given.get(rule.slot("function"))
        hooks = choices(hook) if hook is not None else ()
        harmless = all(isinstance(one, FunctionRef) and not self._clips_in(one) for one in hooks)
        if not harmless and owner is not None:
            self.by_hand |= {one.key for one in choices(owner) if isinstance(one, Object)}
        return self.unknown(frame, call)

    def _clips_in(self, function: FunctionRef) -> bool:
        return changes_gradients(function.definition) or self.project.clips(function.definition)

    def register(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`self.register_modules(unet=unet)`: arguments that become attributes."""
        named = [*given.keywords]
        if len(given.positional) == 2 and isinstance(given.positional[0], Literal):
            named.append((str(given.positional[0].value), given.positional[1]))
        for choice in choices(owner) if owner is not None else ():
            if isinstance(choice, Object):
                choice.attributes.update({name: value for name, value in named if name})
        return Literal(None)

    # -- code that is not known ----------------------------------------------------------------------

    def unresolved(self, frame: Frame, owner: Value | None, given: Arguments, call: facts.Call) -> Value:
        """A call of something unknown: it may clip what it is handed, so nothing is sure any more."""
        self.handed_functions(given)
        name = last_identifier(call.function)
        holds = self.models_in(given)
        if isinstance(owner, Bound) and (whole := model_of(owner)) is not None:
            holds |= {whole.key}  # `unet.attn_processors.values()`: parts of the model
        if isinstance(call.function, (facts.Name, facts.Attribute)) and self.knowledge.hinted("model", name):
            callee = self.evaluate_quietly(frame, call.function)
            holds |= {callee.key} if isinstance(callee, Unknown) else frozenset()
        if self.following and self.knowledge.hinted("clip-call", name):
            self.clip_by_library(frame, owner, given, call)
        elif self.following:
            self._doubt(frame, name, self.reached(given, owner), call)
        tensor = self.tensor_of(given.all())
        if tensor is not None:
            return Tensor(tensor.models | holds, False, tensor.scaled)
        return Unknown(f"{frame.filename}:{call.row}:{name}()", holds)

    def evaluate_quietly(self, frame: Frame, expression: facts.Expression) -> Value:
        """A name's value; names and attributes have no effect."""
        return self.evaluate(frame, expression)

    def _doubt(self, frame: Frame, name: str, reached: frozenset[str], call: facts.Call) -> None:
        """Mark the gradients of every optimizer that the unknown code could get at."""
        if self.waiting:  # the last batch comes by there as well, and behind its step it does no harm
            return
        hinted = self.knowledge.hinted
        by_name = any(
            hinted("model", word) or hinted("optimizer", word) or word == "self"
            for word in map(last_identifier, call.arguments)
        )
        reason = f"{name}() at {frame.filename}:{call.row} was handed the model or the optimizer"

        self.change(
            lambda state: _doubted(state, reason),
            lambda key: by_name if key == ANY else self._within_reach(key, reached, by_name),
        )

    def _within_reach(self, key: str, reached: frozenset[str], by_name: bool) -> bool:
        if key in reached:
            return True
        optimizer = self.sightings.objects.get(key)
        held = self.updated(optimizer) if optimizer is not None else None
        if held is None:
            return by_name
        return any(self.contains(r, m) or self.contains(m, r) for r in reached for m in held.models)

    def clip_by_library(self, frame: Frame, owner: Value | None, given: Arguments, call: facts.Call) -> None:
        raise NotImplementedError

    def changed_by_method(self, owner: Parameters, name: str, call: facts.Call) -> bool:
        """`p.grad.mul_(x)`, `p.grad.clamp_(…)`, `p.register_hook(…)`: gradients changed by hand."""
        hook = name == "register_hook"
        in_place = owner.gradient and name.endswith("_") and name not in NO_BOUND
        averaging = name in ("div_", "mul_") and any(
            self.knowledge.hinted("averaging", word.lstrip("."))
            for argument in call.arguments
            for word in names_in(argument)
        )
        if not self.following or averaging or not (hook or in_place):
            return hook or in_place
        cover = owner.all
        if hook:
            self.mark_by_hand(cover)
        elif unscales(factors := factors_of(call), self.here(), self.knowledge.hinted):
            self.take_scale_off(cover)
        elif not any(masks(one, self.here(), self.knowledge.hinted) for one in factors):
            self.clip_by_hand(cover, call)
        return True

    def changed_by_function(self, given: Arguments, call: facts.Call) -> None:
        """`clamp_(p.grad, …)`, `hardtanh(p.grad, …, inplace=True)`, `clamp(p.grad, …, out=p.grad)`: as the methods do."""
        keywords = dict(given.keywords)
        name = last_identifier(call.function)
        changed = keywords.get("out")
        in_place = name.endswith("_") or literal(keywords.get("inplace")) is True
        if changed is None and in_place and given.positional:
            changed = given.positional[0]
        for choice in choices(changed) if changed is not None else ():
            if isinstance(choice, Parameters) and choice.gradient and call.arguments:
                method = f"{name.removeprefix(_EACH).rstrip('_')}_"
                function = facts.Attribute(call.arguments[0], method, call.row)
                self.changed_by_method(
                    choice, method, replace(call, function=function, arguments=call.arguments[1:])
                )

    def take_scale_off(self, cover: Parameters | None) -> None:
        """Gradients without the loss scale, by a division or by a framework: what clips them from now on meets them as they are."""
        site = self.site()
        self.change(
            lambda state: state.after(Event.UNSCALE, site)[0], lambda key: self.relation(key, cover) != "none"
        )

    def mark_by_hand(self, cover: Parameters | None) -> None:
        """Remember whose gradients the code changes by itself: no step on them is accused."""
        keys = {key for world in self.worlds for key, _ in world.states}
        self.by_hand |= {key for key in keys if self.relation(key, cover) != "none"}
        made = (one.key for one in self.sightings.objects.values() if one.role == "optimizer")
        self.by_hand |= {key for key in made if self.relation(key, cover) == "all"}  # not met yet

    def clip_by_hand(self, cover: Parameters | None, call: facts.Call) -> None:
        raise NotImplementedError

    # -- functions that others call ------------------------------------------------------------------

    def handed_functions(self, given: Arguments) -> None:
        """Functions handed to code that is not known: that code calls them, in an order not known."""
        for value in given.all():
            if type(value) not in _HANDING:
                continue
            for choice in choices(value):
                if isinstance(choice, FunctionRef):
                    self.run_apart(choice)
                elif isinstance(choice, (Items, Table)):
                    for member in members(choice):
                        if isinstance(member, FunctionRef):
                            self.run_apart(member)

    def run_apart(self, function: FunctionRef, turn: Callable[[], object] | None = None) -> None:
        """Follow a function as an entry of its own (by `turn`, where it is called more than once), unless it was before."""
        definition = function.definition
        if not self.following or id(definition) in self.visited or not self.project.matters(definition):
            return
        worlds, self.worlds = self.worlds, (World(),)
        try:
            if turn is None:
                self.follow(function, Arguments(), None)
            else:
                turn()
        finally:
            self.worlds = worlds

    def finish(self, frame: Frame) -> None:
        """Nested functions that nobody in sight called: a framework will."""
        for function in frame.nested:
            self.run_apart(function)

    def _clips_itself(self, optimizer: Object) -> bool:
        """Whether an optimizer clips in its own step.

        It is known to, or it is one of the project whose step changes gradients, or speaks of clipping, or that is made
        with a threshold.
        """
        if optimizer.cls is None:
            return optimizer.rule is not None and optimizer.rule.clips
        step = self.class_member(optimizer.cls, "step")
        called = step.definition.calls if isinstance(step, FunctionRef) else ()
        if isinstance(step, FunctionRef) and changes_gradients(step.definition):
            return True
        constructor = self.class_member(optimizer.cls, "__init__")
        parameters = constructor.definition.parameters if isinstance(constructor, FunctionRef) else ()
        names = (*called, *(one.name for one in parameters))
        return any(self.knowledge.hinted("own-clip", name) for name in names)

    def told_to_clip(self, made: Unknown, given: Arguments) -> None:
        """`ScaledAdam(parameters, clipping_scale=2.0)`: what nobody sees here, and was told how to clip, may do it in its step."""
        if any(
            name and self.knowledge.hinted("own-clip", name) and literal(value) is not None
            for name, value in given.keywords
        ):
            self.by_hand.add(made.key)

    def made(self, made: Object, call: facts.Call | None = None) -> None:
        """A new optimizer: nothing has reached the gradients of what it updates yet."""
        if made.role == "clipping-engine":
            self.clipping_engine = f"{made.name} may clip by its own settings"
        if made.role == "optimizer":
            self.used_up_by(made)
            if self._clips_itself(made):
                self.by_hand.add(made.key)
        if made.role != "optimizer" or not self.following:
            return
        tests = [frozenset((guard.key, guard.taken) for guard in world.guards) for world in self.worlds]
        made.under = frozenset.intersection(*tests) if tests else made.under
        nearby = self._nearby()
        if nearby is not None:
            made.attributes[_NEARBY] = nearby
        out: list[World] = []
        for world in self.worlds:
            entry = world.get(ANY).phase is Phase.ENTRY
            known = world.find(made.key)
            fresh = Gradients(Phase.ENTRY if entry else Phase.EMPTY)
            out.append(world if known is not None else world.having(made.key, fresh))
        self.worlds = tuple(out)

    def noticed_check(self, frame: Frame, asked: Sequence[facts.Expression], row: int) -> None:
        """Note that somebody asks whether the loss is still a number."""
        if not self.following or len(self.notes) >= 8:
            return
        body, backward = self.here(), self.knowledge.backward_methods
        note = Evidence(frame.filename, row, "the loop checks for NaN or infinity here")
        if note not in self.notes and any(is_loss(one, body, backward) for one in asked):
            self.notes.append(note)

    def paths_of(self, worlds: Worlds, key: str, event: Event, site: Site) -> tuple[list[Path], Worlds]:
        """Apply an event to one optimizer, and the paths on which it happened."""
        paths, out = [], []
        for world in worlds:
            before = world.get(key)
            after, code = before.after(event, site)
            paths.append(Path(before, world.guards, code))
            out.append(world.having(key, after))
        return paths, merge([tuple(out)])


_NEARBY = "(nearby)"  # the models that were in reach where an optimizer was made


def _parameters_given(optimizer: Object) -> Value | None:
    """What an optimizer was handed to update when it was made."""
    slot = optimizer.rule.parameters if optimizer.rule else None
    return Arguments(optimizer.arguments, optimizer.keywords).get(slot or ("params", 0))


def _scales(owner: Object) -> bool:
    """Whether an object of a framework was made to multiply each loss by a scale."""
    rule = owner.rule.scales if owner.rule is not None else None
    given = Arguments(owner.arguments, owner.keywords).get(rule.argument) if rule is not None else None
    return rule is not None and given is not None and str(literal(given)) in rule.when


def held_by(value: Value | None) -> frozenset[str]:
    """The models that a value of unknown make came from."""
    found = (choice.holds for choice in choices(value) if isinstance(choice, Unknown)) if value else ()
    return frozenset().union(*found)


def _modules(value: Value, depth: int = 1) -> Iterator[Object]:
    """The models that a value is, or that an object which is none keeps."""
    for choice in choices(value):
        if isinstance(choice, Object) and choice.role == "module":
            yield choice
        elif isinstance(choice, Object) and choice.role == "" and depth:
            for part in choice.attributes.values():
                yield from _modules(part, depth - 1)


def _has_tensor(value: Value | None, depth: int = 3) -> bool:
    """Whether a value lists tensors: an optimizer of an image or an embedding trains no model."""
    if value is None or not depth:
        return False
    return any(
        isinstance(choice, Tensor)
        or (isinstance(choice, Object) and choice.role == "tensor")
        or any(_has_tensor(member, depth - 1) for member in members(choice))
        for choice in choices(value)
    )


def _doubted(state: Gradients, reason: str) -> Gradients:
    if state.phase in (Phase.FRESH, Phase.SCALED, Phase.ENTRY):
        return replace(state, unsure=state.unsure or reason)
    return replace(state, maybe=True)


_EVENTS = {
    "backward": "backward",
    "zero-grad": "zero_grad",
    "scale-loss": "scale_loss",
    "unscale": "unscale",
    "loss-scale": "loss_scale",
    "same-object": "same_object",
    "declare-option": "declare_option",
    "parse-options": "parse_options",
    "set-defaults": "set_defaults",
    "declare-options": "declare_options",
    "parse-dataclasses": "parse_dataclasses",
    "make-settings": "make_settings",
    "declare-parameter": "declare_parameter",
    "declare-flag": "declare_flag",
    "field-default": "field_default",
    "read-environment": "read_environment",
    "load-settings": "load_settings",
    "as-settings": "as_settings",
    "own-names": "own_names",
    "merge-settings": "merge_settings",
    "update-settings": "update_settings",
    "no-settings": "no_settings",
    "settings-file": "settings_file",
    "instantiate": "from_settings",
    "make-by-name": "make_by_name",
    "settings-store": "settings_store",
    "store-settings": "store_settings",
    "clip": "clip",
    "step": "step",
    "prepare": "prepare",
    "accumulate": "accumulate",
    "range": "counted",
    "launch": "launch",
    "register": "register",
    "tensor": "tensor",
    "step-hook": "step_hook",
    "fit": "fit",
    "told-step": "told_step",
    "add-callbacks": "add_callbacks",
    "hand-optimizer": "fit",  # by a name that means other things as well: no reason to read a file
    "own-optimizers": "own_optimizers",
    "named-optimizer": "named_optimizer",
    "make-engine": "make_engine",
    "engine-step": "engine_step",
    "add-parameters": "add_parameters",
    "gradient": "gradient",
    "gradient-function": "gradient_function",
    "gradients-kept": "gradients_kept",
    "bound": "bound_by_hand",
    "tree-map": "tree_map",
    "minimize": "minimize",
    "train": "train",
    "ask": "ask",
}
