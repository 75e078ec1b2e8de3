"""Models as functions: parameters of their own, layers that are made when a model is called, loops that are calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clipcheck import facts
from clipcheck.findings import Site
from clipcheck.flow.calls import model_of
from clipcheck.flow.chains import Chains
from clipcheck.flow.values import (
    Arguments,
    Bound,
    ClassRef,
    Elements,
    External,
    Frame,
    FunctionRef,
    Items,
    Object,
    Parameters,
    Partial,
    Table,
    Tensor,
    Unknown,
    Value,
    choices,
    members,
)
from clipcheck.flow.worlds import World
from clipcheck.knowledge import CallRule, ClassRule
from clipcheck.project import Project

MAX_PARTS = 200


class Models(Chains):
    """What models are made of, and what their functions give back."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.building: list[Object] = []  # the models whose layers are being made, innermost last
        self.built: set[str] = set()

    def made(self, made: Object, call: facts.Call | None = None) -> None:
        """A layer is a part of the model that is being built; a model that makes its layers when called is built."""
        super().made(made, call)
        if self.building and made.role == "module" and made is not self.building[-1]:
            inside = self.building[-1].attributes
            if made not in inside.values() and len(inside) < MAX_PARTS:
                inside[f"(part {len(inside)})"] = made
        builds = made.rule.builds if made.rule is not None else ()
        if made.cls is not None and builds and made.key not in self.built:
            self.built.add(made.key)
            self._build(made, builds)

    def _build(self, made: Object, methods: tuple[str, ...]) -> None:
        """Run the methods in which a model makes its layers."""
        for name in methods:
            method = self._method(made, name)
            if method is not None:
                self._run_for_parts(made, method)

    def _run_for_parts(self, made: Object, function: Value) -> None:
        """Run a function for what it makes alone: the layers in it are parts of a model."""
        saved = self.stack, self.frames, self.chain, self.following, self.worlds, self.statement
        loops, times = self.loop_depth, self.multiplicity
        self.stack, self.frames, self.chain, self.following = [], [], [made.key], False
        self.loop_depth, self.multiplicity = 0, 1
        self.worlds = (World(),)
        self.building.append(made)
        try:
            for one in choices(function):
                inner = one.function if isinstance(one, Partial) else one
                if isinstance(inner, FunctionRef):
                    given = one.arguments if isinstance(one, Partial) else Arguments()
                    self.follow(inner, given, None)
        finally:
            self.building.pop()
            self.stack, self.frames, self.chain, self.following, self.worlds, self.statement = saved
            self.loop_depth, self.multiplicity = loops, times

    def functional_model(
        self, frame: Frame, rule: CallRule, owner: Value, given: Arguments, call: facts.Call
    ) -> Value | None:
        """`hk.transform(f)`: a model whose layers are those that a function makes."""
        function = given.get(rule.slot("function"))
        if function is None or not isinstance(owner, External):
            return None
        key = self.origin(frame, call)
        made = self.sightings.objects.get(key)
        if made is None:
            layers = ClassRule("module", "container")
            made = Object(key, Site(frame.filename, call.span), None, owner.name, layers)
            self.sightings.objects[key] = made
            self._run_for_parts(made, function)
        return made

    def decorated(self, function: FunctionRef, decorators: Iterable[Value]) -> Value:
        """A function as its decorators leave it: a model, where one of them makes it one."""
        listed = list(decorators)
        for decorator in listed:
            rule = self.knowledge.call(decorator.name) if isinstance(decorator, External) else None
            if rule is not None and rule.event == "functional-model":
                span = function.definition.span
                call = facts.Call(facts.Name(function.definition.name, span.row), (), (), span, span)
                made = self.functional_model(function.frame, rule, decorator, Arguments((function,)), call)
                return made if made is not None else function
        return super().decorated(function, listed)

    def initial(
        self, frame: Frame, rule: CallRule, owner: Value, given: Arguments, call: facts.Call
    ) -> Value | None:
        """`model.init(key, x)`: the parameters of a model, as a value of their own."""
        if not isinstance(owner, Object):
            return None
        return Unknown(f"{owner.key}.{rule.event}", frozenset({owner.key}))

    def applied(
        self, frame: Frame, rule: CallRule, owner: Value, given: Arguments, call: facts.Call
    ) -> Value | None:
        """`model.apply(variables, x)`: what a model computes; another library's `apply` takes a function."""
        callables = (FunctionRef, External, ClassRef, Partial)
        if not isinstance(owner, Object) or (given.positional and isinstance(given.positional[0], callables)):
            return None
        inner = self.tensor_of(given.all())
        models = inner.models if inner is not None else frozenset[str]()
        return Tensor(models | {owner.key}, inner is None or inner.complete)

    # -- loops that are calls ----------------------------------------------------------------------------

    def fold(
        self, frame: Frame, rule: CallRule, owner: Value, given: Arguments, call: facts.Call
    ) -> Value | None:
        """`scan(body, carry, xs)`, `fori_loop(low, high, body, carry)`: one turn of the loop."""
        body, carry = given.get(rule.slot("function")), given.get(rule.slot("default"))
        if body is None or carry is None:
            return None
        inputs = given.get(rule.slot("arguments"))
        turn = self.unknown(frame, call, "turn") if inputs is None else self.element(frame, inputs, call)
        counted = rule.kind == "counted"
        self.loop_depth += 1
        result = self.apply(frame, body, None, Arguments((turn, carry) if counted else (carry, turn)), call)
        self.loop_depth -= 1
        if counted:
            return result
        after = [
            one.members[0] for one in choices(result) if isinstance(one, Items) and len(one.members) == 2
        ]
        return Items((after[0] if len(after) == 1 else carry, self.unknown(frame, call, "outputs")))

    def applied_updates(
        self, frame: Frame, rule: CallRule, owner: Value, given: Arguments, call: facts.Call
    ) -> Value | None:
        """`optax.apply_updates(params, updates)`: the parameters, changed."""
        return given.positional[0] if given.positional else None


def keys_behind(value: Value, depth: int = 4) -> Iterator[str]:
    """The keys of the models that a value is, came from, or is a method of."""
    for choice in choices(value):
        if isinstance(choice, Object) and choice.role == "module":
            yield choice.key
        elif isinstance(choice, Bound):
            whole = model_of(choice)
            if whole is not None:
                yield whole.key
        elif isinstance(choice, (Unknown, Tensor, Parameters)):
            yield from choice.holds if isinstance(choice, Unknown) else choice.models
        elif isinstance(choice, FunctionRef) and choice.receiver is not None and depth:
            yield from keys_behind(choice.receiver, depth - 1)
        elif isinstance(choice, Partial) and depth:
            yield from keys_behind(choice.function, depth - 1)
        elif isinstance(choice, (Items, Table, Elements)) and depth:
            for member in members(choice):
                yield from keys_behind(member, depth - 1)
