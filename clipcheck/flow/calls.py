"""Calls: functions of the project are followed, classes instantiated, libraries known or unknown."""

from __future__ import annotations

from clipcheck import facts
from clipcheck.findings import Site
from clipcheck.flow.builtin import BUILTINS
from clipcheck.flow.core import MAX_DEPTH, MODEL_FUEL, SHORT_FUEL, VALUE_DEPTH
from clipcheck.flow.expressions import Expressions
from clipcheck.flow.inplace import VIEWS
from clipcheck.flow.render import last_identifier, render
from clipcheck.flow.values import (
    Arguments,
    Bound,
    ClassRef,
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
    Super,
    Table,
    Tensor,
    Unknown,
    Value,
    choices,
    entries_of,
    kept_pair,
    keys_of,
    reread,
    several,
)
from clipcheck.flow.worlds import Worlds, merge
from clipcheck.knowledge import ClassRule

_GROWING = ("append", "extend", "add", "insert")


class Calls(Expressions):
    """What a call does and gives back."""

    def apply(
        self, frame: Frame, function: Value, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """The result of a call; its events take effect on the worlds."""
        if isinstance(function, Several):
            return self._apply_any(frame, function, owner, given, call)
        if self.sightings.frozen:
            self.notice_adapting(owner, given, call)
        if isinstance(function, Bound) and isinstance(owner, Several):
            owner = function.owner  # the one of them that has such a method
        elif isinstance(function, Unknown) and isinstance(owner, Several):
            having = [one for one in owner.choices if not isinstance(one, Literal)]
            owner = having[0] if len(having) == 1 else owner  # `loss = 0`, and something added to it
        event = self.event_of(frame, function, owner, given, call)
        if event is not None:
            return event
        if isinstance(function, FunctionRef):
            made = function.receiver
            if isinstance(made, ClassRef) and function.definition.name in self.knowledge.constructors:
                return self.instantiate(frame, made, Arguments(), call)
            before = self.worlds if self._may_clip_unseen(function) else ()
            result = self.follow(function, given, call)
            if before and {one.states for one in before} == {one.states for one in self.worlds}:
                self.clip_by_library(frame, made, given, call)
            return self.handed_back(frame, result, call.span)
        if isinstance(function, ClassRef):
            return self.instantiate(frame, function, given, call)
        if isinstance(function, Partial):
            inner = function.arguments
            joined = Arguments(inner.positional + given.positional, inner.keywords + given.keywords)
            return self.apply(frame, function.function, None, joined, call)
        if isinstance(function, Object):
            return self._call_object(frame, function, given, call)
        if isinstance(function, External):
            return self._call_library(frame, function, given, call)
        if (
            isinstance(function, Unknown)
            and isinstance(owner, Unknown)
            and isinstance(call.function, facts.Attribute)
        ):
            function = Bound(owner, call.function.attr)
        if isinstance(function, Bound):
            return self._call_method(frame, function, given, call)
        return self.unresolved(frame, owner, given, call)

    def _may_clip_unseen(self, function: FunctionRef) -> bool:
        """Whether a function is called a clip, and leaves it to code that may not be in sight."""
        definition = function.definition
        named = self.following and self.knowledge.hinted("clip-call", definition.name)
        return bool(named and definition.calls and not self.project.clips(definition))

    def _apply_any(
        self, frame: Frame, function: Several, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """A call of one of several things: each is followed from the same worlds."""
        if (other := self._not_known(function, call)) is not None:
            return self.apply(frame, Unknown(f"{other.key}.step"), other, given, call)
        before, results, after = self.worlds, [], []
        known = [choice for choice in function.choices if not isinstance(choice, (Unknown, Literal))]
        known = [choice for choice in known if not _of_nothing(choice)] or known
        if any(isinstance(choice, FunctionRef) for choice in known):
            # The call is taken to succeed, so it is not of one that has no such method.
            known = [choice for choice in known if not self._lacked(choice)]
        optimizers = [
            c
            for c in known
            if isinstance(c, Bound) and isinstance(c.owner, Object) and c.owner.role == "optimizer"
        ]
        theirs = bool(optimizers) and self.knowledge.method("optimizer", optimizers[0].name) is not None
        if optimizers and all(one in optimizers or (theirs and _of_sequence(one)) for one in known):
            # One variable holds one optimizer at a time; one that clips by itself says nothing of the others.
            first = min(optimizers, key=lambda one: _clips(one.owner))
            result = self.apply(frame, first, first.owner, given, call)
            if theirs:
                ordered = (first, *(one for one in optimizers if one is not first))
                self.alike([one.owner.key for one in ordered if isinstance(one.owner, Object)])
            return result
        if known and all(_grows(choice) for choice in known):
            return self._grow_any(frame, known, given, call)
        owners = choices(owner) if owner is not None else ()
        if not known and owners:  # of things equally unknown, one is followed, so that it stays one thing
            return self.apply(frame, function.choices[0], owners[0], given, call)
        self.alternatives += 1
        for number, choice in enumerate(known or function.choices):
            self.worlds = before
            own = owners[number] if len(owners) == len(function.choices) else owner
            if isinstance(choice, Bound):
                own = choice.owner
            elif isinstance(choice, FunctionRef) and choice.receiver is not None:
                own = choice.receiver
            results.append(self.apply(frame, choice, own, given, call))
            after.append(self.worlds)
        self.alternatives -= 1
        self.worlds = merge(after)
        return several(results)

    def _not_known(self, function: Several, call: facts.Call) -> Unknown | None:
        """The optimizer that is stepped where nothing of what it may be has a step, as far as that is known.

        `build(settings)` gives lists of what it builds, too. One of the project whose `step` does nothing has taken its
        step elsewhere: then nothing is sure.
        """
        if not isinstance(call.function, facts.Attribute) or call.function.attr != "step":
            return None
        own = [one for one in function.choices if isinstance(one, FunctionRef)]
        others = [one for one in function.choices if not isinstance(one, FunctionRef)]
        strange = any(map(_of_sequence, others))
        lost = others and all(isinstance(one, Unknown) or _of_sequence(one) for one in others)
        if not lost or not (own or strange) or any(self.project.matters(one.definition) for one in own):
            return None
        if any(isinstance(one.receiver, Object) and one.receiver.role == "optimizer" for one in own):
            return None  # an optimizer of the project's own, and what wraps it: `amp.initialize(model, optimizer)`
        if own:
            self.doubt_all("one of the optimizers steps elsewhere")
        return Unknown(f"{self.site().filename}:{call.row}:{render(call.function.value)}")

    def _lacked(self, choice: Value) -> bool:
        """Whether this is a method that a library's optimizer does not have."""
        owner = choice.owner if isinstance(choice, Bound) else None
        made = isinstance(owner, Object) and owner.cls is None and owner.role == "optimizer"
        return made and isinstance(choice, Bound) and self.knowledge.method("optimizer", choice.name) is None

    def _grow_any(self, frame: Frame, methods: list[Value], given: Arguments, call: facts.Call) -> Value:
        """`members.append(x)` where `members` is one of several lists: each of them grows."""
        assert isinstance(call.function, facts.Attribute)
        grown: list[Value] = []
        for method in methods:
            assert isinstance(method, Bound)
            self.sequence_method(frame, method.owner, method.name, given, call)
            grown.append(self.evaluate(frame, call.function.value))
        self.assign(frame, call.function.value, several(grown))
        return Literal(None)

    # -- functions of the project --------------------------------------------------------------------

    def follow(self, function: FunctionRef, given: Arguments, call: facts.Call | None) -> Value:
        """Run a function of the project for its events, or only for its value where it has none."""
        definition = function.definition
        if any(active.definition is definition for active in self.stack):
            return Unknown(f"{function.filename}:{definition.name}()", self.models_in(given))
        matters = self.project.matters(definition) or self._hands_on(given)
        if self.following and len(self.stack) < MAX_DEPTH and matters:
            self.visited.add(id(definition))
            known = (id(definition), function.frame, function.receiver, given, self.worlds, self.waiting)
            found = self.known_effects.get(known)
            if found is None:
                result = self.run_function(function, given, call)
                found = self.known_effects[known] = result, self.worlds
            result, self.worlds = found
            return result
        depth = sum(1 for active in self.stack) if not self.following else 0
        left = self.value_fuel + (MODEL_FUEL if self.constructing else 0)
        left += SHORT_FUEL if len(definition.body) == 1 else 0
        if depth > VALUE_DEPTH or left <= 0 or (self.loading and self.loading_fuel <= 0):
            return Unknown(f"{function.filename}:{definition.name}()", self.models_in(given))
        key = (id(definition), function.receiver, given)
        value = self.known_values.get(key)
        if value is None:
            self.known_values[key] = Unknown(
                f"{function.filename}:{definition.name}()", self.models_in(given)
            )
            before = len(self.births)
            value = self.known_values[key] = self.value_of(function, given, call)
            self.known_births[key] = tuple(self.births[before:])
        else:
            self.born(self.known_births.get(key, ()))
        return value

    def _hands_on(self, given: Arguments) -> bool:
        """Whether a function is handed another that may bring in an event, by whatever name it calls it."""
        handed = [one.function if isinstance(one, Partial) else one for one in given.all()]
        return any(isinstance(one, FunctionRef) and self.project.matters(one.definition) for one in handed)

    def value_of(self, function: FunctionRef, given: Arguments, call: facts.Call | None) -> Value:
        """What a function returns, its events left aside."""
        worlds, following, statement = self.worlds, self.following, self.statement
        self.following = False
        spent: dict[object, frozenset[str]] = {}
        try:
            value = self.run_function(function, given, call)
            spent = {world.states: world.spent for world in self.worlds}
            return value
        finally:
            self.worlds, self.following, self.statement = worlds, following, statement
            self.take_over(spent)

    def run_function(self, function: FunctionRef, given: Arguments, call: facts.Call | None) -> Value:
        """Bind the arguments, run the body, and join what its returns give."""
        definition = function.definition
        frame = Frame(function.filename, definition.name, function.frame, function.frame.globals)
        frame.owner = function.owner
        frame.receiver = function.receiver if function.receiver is not None else function.frame.receiver
        left = self.bind(frame, function, given)
        if left and call is not None:
            frame.defaulted = frozenset(name for name in left if (id(definition), name) in self.overridden)
        statement, returns, raised, loops = self.statement, self.returns, self.raised, self.loops
        self.returns, self.raised, self.loops = [], [], []
        self.stack.append(function)
        self.frames.append(frame)
        self.chain.append(f"{statement[1].row}.{statement[1].column}")
        depth, self.loop_depth = self.loop_depth, 0
        try:
            self.run_block(frame, definition.body)
            self.finish(frame)
            ends: list[Worlds] = [self.worlds, *(worlds for _, worlds in self.returns)]
            values = [value for value, _ in self.returns]
        finally:
            self.stack.pop()
            self.frames.pop()
            self.chain.pop()
            self.returns, self.raised, self.loops = returns, raised, loops
            self.statement, self.loop_depth = statement, depth
        self.worlds = merge(ends)
        return several(values) if values else Literal(None)

    def bind(self, frame: Frame, function: FunctionRef, given: Arguments) -> list[str]:
        """Give the parameters their values: arguments, keywords, defaults, or unknown; those left at their default."""
        left: list[str] = []
        positional = list(given.positional)
        if function.receiver is not None:
            positional.insert(0, function.receiver)
        keywords = {name: value for name, value in given.keywords if name}
        for name, value in given.keywords:
            if name is None and isinstance(value, Table):
                keywords.update(value.entries)
        unseen = any(not isinstance(v, Table) or v.partial for name, v in given.keywords if name is None)
        for parameter in function.definition.parameters:
            name = parameter.name
            if parameter.kind == "star":
                frame.locals[name] = Items(tuple(positional))
                positional = []
            elif parameter.kind == "double-star":
                frame.locals[name] = Table(tuple(keywords.items()))
            elif parameter.kind == "plain" and positional:
                frame.locals[name] = positional.pop(0)
            elif name in keywords:
                frame.locals[name] = keywords.pop(name)
            else:
                missing = self._missing(frame, function, parameter)
                frame.locals[name] = self.in_doubt(name, missing) if unseen else missing
                if not unseen:
                    left.append(name)
                continue
            if parameter.default is not None:
                self.overridden.add((id(function.definition), name))
        return left

    def _missing(self, frame: Frame, function: FunctionRef, parameter: facts.Parameter) -> Value:
        """A parameter that the call does not give: its default, or what its annotation says it is."""
        key = f"{function.filename}:{function.definition.name}.{parameter.name}"
        if parameter.default is not None:
            default = self.evaluate(function.frame, parameter.default)
            if not function.definition.name.startswith("__") or not isinstance(default, Literal):
                return default
            return default
        if parameter.annotation is not None:
            for choice in choices(self.evaluate(function.frame, parameter.annotation)):
                made = self._of_class(choice, key, Site(function.filename, function.definition.span))
                if made is not None:
                    return made
        return Unknown(key)

    def _of_class(self, cls: Value, key: str, site: Site) -> Value | None:
        """An instance of an annotated class, where that class says something about training."""
        if isinstance(cls, ClassRef):
            made = self.make(cls, key, site, Arguments())
        elif isinstance(cls, External):
            rule = self.knowledge.class_rule(cls.name)
            if rule is None or (rule.role == "module" and not rule.family):
                return None
            made = self.sightings.objects.setdefault(key, Object(key, site, None, cls.name, rule))
        else:
            return None
        made.annotated = True
        return made

    # -- classes and instances -----------------------------------------------------------------------

    def instantiate(self, frame: Frame, cls: ClassRef, given: Arguments, call: facts.Call) -> Value:
        """An instance of a class of the project; its constructor runs."""
        key = self.origin(frame, call)
        known = self.sightings.objects.get(key)
        if known is not None and (known.cls is None or known.cls.definition is not cls.definition):
            key = self._key_of_another(key, f"{cls.filename}:{cls.definition.name}", known)
        return self.make(cls, key, Site(frame.filename, call.span), given, call)

    def _key_of_another(self, key: str, name: str, known: Object) -> str:
        """The key of another class's instance made at the same place: `MODELS[args.model](8)` may make either.

        One optimizer of several goes by one key: it holds the same parameters whichever it is.
        """
        return key if known.role == "optimizer" else f"{key}~{name}"

    def make(
        self, cls: ClassRef, key: str, site: Site, given: Arguments, call: facts.Call | None = None
    ) -> Object:
        known = self.sightings.objects.get(key)
        if known is None or known.cls is None or known.cls.definition is not cls.definition:
            base = self.framework_base(cls)
            known = Object(key, site, cls, base, self.knowledge.class_rule(base) if base else None)
            known.count = self.multiplicity
            self.sightings.objects[key] = known
            fresh = True
        else:
            fresh = False
        known.arguments, known.keywords = given.positional, given.keywords
        constructor = self.class_member(cls, "__init__")
        if isinstance(constructor, FunctionRef):
            method = constructor.bound_to(known)
            if fresh or (self.following and self.project.matters(constructor.definition)):
                times, self.multiplicity = self.multiplicity, 1
                self.constructing += known.role == "module"
                self.follow(method, given, call)
                self.constructing -= known.role == "module"
                self.multiplicity = times
        elif fresh:
            self._fields(cls, known, given)
        self.made(known, call)
        return known

    def _fields(self, cls: ClassRef, made: Object, given: Arguments) -> None:
        """A dataclass or named tuple: arguments become the fields, in the order they are declared."""
        names = [
            statement.target.id if isinstance(statement, facts.Declare) else statement.targets[0].id  # type: ignore[union-attr]
            for statement in cls.definition.body
            if (isinstance(statement, facts.Declare) and isinstance(statement.target, facts.Name))
            or (
                isinstance(statement, facts.Assign)
                and statement.annotation
                and isinstance(statement.targets[0], facts.Name)
            )
        ]
        made.attributes.update(zip(names, given.positional, strict=False))
        made.attributes.update({name: value for name, value in given.keywords if name})

    def _call_object(self, frame: Frame, function: Object, given: Arguments, call: facts.Call) -> Value:
        """Calling an instance: a module computes a tensor, anything else runs its `__call__`."""
        if function.cls is not None:
            method = self.class_member(function.cls, "__call__")
            computes = function.rule.computes if function.rule is not None else ""
            if isinstance(method, FunctionRef) and method.definition.name != computes:
                return reread(self.follow(method.bound_to(function), given, call))
            self._go_back_within(function, computes or "forward", given, call)
        if (function.role in ("module", "") and function.cls is not None) or function.role == "module":
            self.changed_by_function(Arguments(given.positional, function.keywords), call)
            return self._computed(function, given)
        return self.unresolved(frame, function, given, call)

    def _computed(self, module: Object, given: Arguments) -> Tensor:
        """What a module computes: a tensor of its own parameters and of those behind what it was handed."""
        inner = self.tensor_of(given.all())
        models = frozenset({module.key}) if self.has_parameters(module) else frozenset[str]()
        if inner is not None:
            return Tensor(models | inner.models, inner.complete, inner.scaled)
        return Tensor(models, module.cls is not None or not self._of_unknown_layer(given))

    def _of_unknown_layer(self, given: Arguments) -> bool:
        """Whether a layer is called on what an unknown one made of a symbol: of a part without parameters."""
        held = {key for value in given.all() if isinstance(value, Unknown) for key in value.holds}
        made = [self.sightings.objects.get(key) for key in held]
        return bool(made) and all(one is not None and not self.has_parameters(one) for one in made)

    def _go_back_within(self, module: Object, name: str, given: Arguments, call: facts.Call) -> None:
        """A module that runs the backward of what it computes; what any other one computes is not followed."""
        assert module.cls is not None
        computed = self.class_member(module.cls, name)
        goes_back = self.knowledge.backward_methods
        if isinstance(computed, FunctionRef) and not goes_back.isdisjoint(computed.definition.calls):
            self.follow(computed.bound_to(module), given, call)

    def has_parameters(self, module: Object) -> bool:
        """Whether a module trains anything: a loss or an activation does not."""
        return module.cls is not None or bool(module.rule and module.rule.family not in ("", "other"))

    # -- libraries -----------------------------------------------------------------------------------

    def _call_library(self, frame: Frame, function: External, given: Arguments, call: facts.Call) -> Value:
        """A call outside the project: a wrapper, a class that is known, a builtin, or just a function."""
        name = function.name
        builtin = BUILTINS.get(name)
        if builtin is not None:
            result = builtin(self, frame, given, call)
            if result is not None:
                return result
        wrapped = self.knowledge.wrapped_argument(name)
        if wrapped is not None:
            if name in self.knowledge.sharding:
                self.sharded |= self.reached(given, None)
                self.made_into_shards(frame, name, given, call)
            if wrapped < 0:
                return given.positional[0] if len(given.positional) == 1 else Items(given.positional)
            if wrapped < len(given.positional):
                if name in self.knowledge.normalising:
                    self._normalise(given.positional[wrapped], name, Site(frame.filename, call.span))
                return given.positional[wrapped]
            return next((value for _, value in given.keywords), self.unknown(frame, call))
        head, _, last = name.rpartition(".")
        if last in self.knowledge.constructors:
            name = head  # `AutoModel.from_pretrained(...)` makes an AutoModel
        rule = self.knowledge.class_rule(name)
        if rule is not None:
            key = self.origin(frame, call)
            made = self.sightings.objects.get(key)
            if made is not None and (made.cls is not None or made.external != name):
                key = self._key_of_another(key, name, made)
                made = self.sightings.objects.get(key)
            if made is None or made.external != name:
                made = Object(key, Site(frame.filename, call.span), None, name, rule)
                made.count = self.multiplicity
                self.sightings.objects[key] = made
            made.arguments, made.keywords = given.positional, given.keywords
            for number, value in enumerate(given.positional):
                made.attributes[f"#{number}"] = value
            self.made(made, call)
            return made
        result = self.library_result(frame, name, given, call)
        if given.keywords and isinstance(result, Unknown):
            self.told_to_clip(result, given)
        return result

    def _normalise(self, value: Value, name: str, site: Site) -> None:
        """Note that a layer's weights are normalised, as by `weight_norm`."""
        for choice in choices(value):
            if isinstance(choice, Object):
                rule = ClassRule("module", "normalisation")
                choice.attributes["(normalised)"] = Object(f"{choice.key}:normalised", site, None, name, rule)

    def library_result(self, frame: Frame, name: str, given: Arguments, call: facts.Call) -> Value:
        self.handed_functions(given)
        self.changed_by_function(given, call)
        if not self.knowledge.is_harmless(name):
            return self.unresolved(frame, None, given, call)
        if name in self.knowledge.not_finite:
            self.noticed_check(frame, call.arguments, call.row)
        tensor = self.tensor_of(given.all())
        if tensor is not None:
            return tensor
        return Unknown(f"{frame.filename}:{call.row}:{name}", self.models_in(given))

    def _call_method(self, frame: Frame, function: Bound, given: Arguments, call: facts.Call) -> Value:
        """A method of something that is not of the project."""
        owner, name = function.owner, function.name
        if name in self.knowledge.not_finite_methods and isinstance(call.function, facts.Attribute):
            self.noticed_check(frame, (call.function.value,), call.row)
        if isinstance(owner, ClassRef) and name in self.knowledge.constructors:
            return self.instantiate(frame, owner, Arguments(), call)
        if name in self.knowledge.passthrough_methods and isinstance(
            owner, (Object, Tensor, Unknown, Parameters)
        ):
            if name == "requires_grad_":
                self.set_trainable(frame, owner, given.get((name, 0)), call)
            return owner
        if isinstance(owner, (Object, Unknown)) and name in ("parameters", "named_parameters"):
            inside = owner.holds if isinstance(owner, Unknown) else frozenset()
            held = Parameters(inside | {owner.key}, named=name == "named_parameters")
            whole = isinstance(owner, Object) and owner.role == "module"
            return self.lazily(frame, held, call.span) if whole else held
        if isinstance(owner, Bound) and name == "requires_grad_":
            self.set_trainable(frame, owner, given.get((name, 0)), call)
            return owner
        if isinstance(owner, Bound) and name in ("parameters", "named_parameters"):
            inner = self.parameters_in(owner)
            if inner is not None:
                return Parameters(inner.models, True, named=name == "named_parameters")
        if isinstance(owner, Unknown) and name in ("items", "values", "keys", "get", "pop"):
            return Unknown(f"{owner.key}.{name}()", owner.holds)
        if isinstance(owner, Tensor):
            if name in ("detach", "item", "numpy", "tolist", "data"):
                return Tensor(frozenset(), True)
            return self.tensor_of((owner, *given.all())) or owner
        if isinstance(owner, Table) and name in (
            "get",
            "items",
            "values",
            "keys",
            "pop",
            "setdefault",
            "update",
        ):
            return self._of_table(frame, owner, name, given, call)
        if isinstance(owner, (Items, Elements, Parameters)):
            return self.sequence_method(frame, owner, name, given, call)
        if (
            isinstance(owner, Object)
            and owner.role == "module"
            and name in ("append", "add", "add_module", "extend", "update")
            and (name != "update" or (owner.rule is not None and owner.rule.family == "container"))
        ):
            for value in given.positional:
                owner.attributes[f"#{len(owner.attributes)}"] = value
            return owner
        if isinstance(owner, Object) and owner.role == "module" and name == "__call__":
            return self._computed(owner, given)  # `super().__call__(x)` in one of its own
        told = isinstance(owner, Object) and owner.rule is not None and _is_handed(owner.rule)
        if isinstance(owner, Object) and (owner.role == "optimizer" or told) and name == "__init__":
            owner.arguments, owner.keywords = given.positional, given.keywords
            return Literal(None)
        if isinstance(owner, Object) and (owner.rule is not None or owner.cls is None):
            self.handed_functions(given)
            if self.knowledge.hinted("clip-call", name):
                return self.unresolved(frame, owner, given, call)
            if owner.cls is not None and self.has_unknown_base(owner.cls):
                return self.unresolved(frame, owner, given, call)
            return Unknown(f"{owner.key}.{name}()", self.models_in(given))
        if isinstance(owner, (Literal, FunctionRef, ClassRef)):
            return self.unknown(frame, call)
        return self.unresolved(frame, owner, given, call)

    def _of_table(self, frame: Frame, owner: Table, name: str, given: Arguments, call: facts.Call) -> Value:
        values = tuple(value for _, value in owner.entries)
        if name == "update":
            more = BUILTINS["builtins.dict"](self, frame, given, call)
            if isinstance(more, Table) and isinstance(call.function, facts.Attribute):
                kept = tuple(entry for entry in owner.entries if more.get(entry[0]) is None)
                grown = Table(kept + more.entries, owner.partial or more.partial)
                self.assign(frame, call.function.value, grown)
            return Literal(None)
        if name == "values":
            return Items(values)
        if name == "items":
            return Items(tuple(Items((Literal(key), value)) for key, value in owner.entries))
        if name == "keys":
            return Items(tuple(Literal(key) for key, _ in owner.entries))
        key = given.positional[0] if given.positional else None
        found = owner.get(str(key.value)) if isinstance(key, Literal) else several(values) if values else None
        if found is not None:
            return found
        return given.positional[1] if len(given.positional) > 1 else self.unknown(frame, call)

    def sequence_method(
        self, frame: Frame, owner: Value, name: str, given: Arguments, call: facts.Call
    ) -> Value:
        """`append`, `extend` and the like change the list that the receiver's name stands for."""
        if isinstance(owner, Parameters) and self.changed_by_method(owner, name, call):
            return owner
        if isinstance(owner, Parameters) and owner.gradient and name in VIEWS:
            return owner
        if isinstance(owner, Parameters) and name in ("items", "values", "get", "pop"):
            return Parameters(
                owner.models,
                owner.part,
                owner.holder,
                name in ("get", "pop"),
                name == "items",
                owner.gradient,
            )
        if name == "update" and (pair := kept_pair(owner)) is not None:
            return self._grow_pairs(frame, pair, given, call)
        if name in _GROWING and given.positional:
            added = given.positional[-1]
            grown: Value
            if isinstance(owner, Items) and len(owner.members) < 64 and not self.loop_depth:
                more = added.members if name == "extend" and isinstance(added, Items) else (added,)
                grown = Items(owner.members + more)
            elif isinstance(owner, Items):
                more = added.members if name == "extend" and isinstance(added, Items) else (added,)
                fresh = tuple(value for value in more if value not in owner.members)
                grown = Items(owner.members + fresh) if len(owner.members) < 64 else owner
            else:
                grown = Items((owner, added)) if isinstance(owner, Parameters) else owner
            if isinstance(call.function, facts.Attribute):
                self.assign(frame, call.function.value, grown)
            return Literal(None)
        return self.tensor_of((owner,)) or self.unknown(frame, call, last_identifier(call.function))

    def _grow_pairs(
        self, frame: Frame, pair: tuple[Value, Value], given: Arguments, call: facts.Call
    ) -> Value:
        """`table.update(more)` of a table whose keys are not known: it may hold that as well."""
        strange = (self.unknown(frame, call),)
        more = [entry for value in given.positional for entry in entries_of(value) or strange]
        kept = several((pair[1], *more, *(value for _, value in given.keywords)))
        if isinstance(call.function, facts.Attribute):
            self.assign(frame, call.function.value, Elements(Items((pair[0], kept))))
        return Literal(None)

    def models_in(self, given: Arguments) -> frozenset[str]:
        """The keys of the models that a call hands over."""
        found: set[str] = set()
        for value in given.all():
            for choice in choices(value):
                if isinstance(choice, Object) and choice.role == "module":
                    found.add(choice.key)
                elif isinstance(choice, Parameters):
                    found |= choice.models
                elif isinstance(choice, Object) and choice.role == "optimizer":
                    held = self.updated(choice)
                    found |= held.models if held is not None else frozenset()
                elif isinstance(choice, Unknown):
                    found |= choice.holds
                elif isinstance(choice, Bound) and (whole := model_of(choice)) is not None:
                    found.add(whole.key)  # `unet.attn_processors`: parts of the model
        return frozenset(found)

    def property_value(self, method: FunctionRef) -> Value:
        return reread(self.follow(method, Arguments(), None))

    def reached(self, given: Arguments, owner: Value | None) -> frozenset[str]:
        """The keys of everything that a call gives access to."""
        keys = frozenset().union(*(keys_of(value) for value in given.all())) if given.all() else frozenset()
        return keys | (keys_of(owner) if owner is not None else frozenset())

    # -- what the layers above provide ---------------------------------------------------------------

    def made_into_shards(self, frame: Frame, name: str, given: Arguments, call: facts.Call) -> None:
        raise NotImplementedError

    def changed_by_function(self, given: Arguments, call: facts.Call) -> None:
        raise NotImplementedError

    def changed_by_method(self, owner: Parameters, name: str, call: facts.Call) -> bool:
        raise NotImplementedError

    def set_trainable(self, frame: Frame, owner: Value, given: Value | None, call: facts.Call) -> None:
        raise NotImplementedError

    def notice_adapting(self, owner: Value | None, given: Arguments, call: facts.Call) -> None:
        raise NotImplementedError

    def frozen_now(self) -> frozenset[str]:
        raise NotImplementedError

    def parameters_in(self, value: Value | None) -> Parameters | None:
        raise NotImplementedError

    def updated(self, optimizer: Value) -> Parameters | None:
        raise NotImplementedError

    def event_of(
        self, frame: Frame, function: Value, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value | None:
        raise NotImplementedError

    def unresolved(self, frame: Frame, owner: Value | None, given: Arguments, call: facts.Call) -> Value:
        raise NotImplementedError

    def told_to_clip(self, made: Unknown, given: Arguments) -> None:
        raise NotImplementedError

    def handed_functions(self, given: Arguments) -> None:
        raise NotImplementedError

    def in_doubt(self, name: str, value: Value) -> Value:
        raise NotImplementedError

    def made(self, made: Object, call: facts.Call | None = None) -> None:
        raise NotImplementedError

    def finish(self, frame: Frame) -> None:
        raise NotImplementedError

    def doubt_all(self, reason: str) -> None:
        raise NotImplementedError

    def clip_by_library(self, frame: Frame, owner: Value | None, given: Arguments, call: facts.Call) -> None:
        raise NotImplementedError


def model_of(part: Bound) -> Object | None:
    """The model that something is an attribute of, at any depth."""
    owner: Value = part
    while isinstance(owner, Bound):
        owner = owner.owner
    return owner if isinstance(owner, Object) and owner.role == "module" else None


def _clips(optimizer: Value) -> bool:
    return isinstance(optimizer, Object) and optimizer.rule is not None and optimizer.rule.clips


def _of_nothing(function: Value) -> bool:
    """A method of None: where it is called, the object is its other alternative."""
    return (
        isinstance(function, Bound) and isinstance(function.owner, Literal) and function.owner.value is None
    )


def _of_sequence(function: Value) -> bool:
    """A method of a list or a table, where an object was looked for."""
    return isinstance(function, Bound) and isinstance(function.owner, (Items, Elements, Table))


def _grows(function: Value) -> bool:
    """Whether a call makes a list, whose members are known, longer."""
    return isinstance(function, Bound) and isinstance(function.owner, Items) and function.name in _GROWING


def _is_handed(rule: ClassRule) -> bool:
    """Whether it matters what a class's own constructor is handed by that of a class of the project."""
    return rule.clipping is not None or rule.transformation is not None


def super_of(frame: Frame) -> Value | None:
    """`super()` in a method of a class of the project."""
    receiver, owner = frame.receiver, frame.owner
    outer = frame.parent
    while owner is None and outer is not None:
        owner, outer = outer.owner, outer.parent
    return Super(receiver, owner) if receiver is not None and owner is not None else None
