"""Gradients that are values: made by a call, clipped by a call that gives back others, handed to a step.

`tape.gradient(loss, variables)` makes a `Gradient` (flow/values.py). What has happened to it stands in every world
under its key, as it does for an optimizer, so that guards, loops and calls need no second mechanism. A key begins
with `worlds.VALUE` and names the place where the gradient is made; making it again (the next turn of a loop) is a
backward for that key alone. Whatever changes a gradient gives back another value under a key of its own, `key > place`,
and leaves the first as it was: so a clip whose result nobody takes is a clip of nothing. Where a value may be the
gradient or its clipped version (`if clip: grads = clipped(grads)`), a world takes the latest version that it knows.

Events, in the words of the knowledge files (slots in brackets):

- `gradient` [loss, variables]: a call that makes a gradient. Of which models: what `variables` says, else the loss.
- `gradient-function` [function, model, auxiliary]: a call that makes a function whose call gives a gradient; `kind` is
  "gradient" or "value-and-gradient". It works as a decorator as well. `model`: what the gradient is of, if that is named.
- `clip` [gradients, threshold]: `kind` is "norm", "tensor-norm" or "value"; `result = "pair"` where it gives back the norm
  as well. Without a gradient among its arguments it is a function like any other.
- `bound` : a function that bounds its argument (`jnp.clip`): clipping by hand, which is silent.
- `gradients-kept`: a function that gives back the gradient it is handed: a cast, a sum over workers.
- `tree-map` [function]: applies a function to the leaves of what else it is handed.
- `minimize` [loss, variables]: gradient and step in one.
- `step` [gradients]: judged by the gradients handed in. An optimizer with `[class.clipping]` whose making is in sight
  clips first, as it was told (CLP104 at its making where it was not); else it is CLP101 at the step, with the fix of
  `[values]` in the knowledge. `result = "owner"`: it gives back what it is a method of; "pair": two things.

Methods of a value that nobody knows may be known by what they are handed: `of = "given-gradients"` in the knowledge.
`common = true` is for names that mean something else elsewhere (`update`): they count only in projects that import one of
the `[libraries] packages` of that file. Arithmetic keeps a gradient; a factor that may be a norm makes it unsure, and so
does code that is not known: silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from clipcheck import facts
from clipcheck.flow.events import held_by
from clipcheck.flow.records import Clip, ClipContext, Names, Path, Step, Told
from clipcheck.flow.render import argument_at, last_identifier, names_in
from clipcheck.flow.toldsteps import ToldSteps
from clipcheck.flow.values import (
    HOLDING,
    Arguments,
    Bound,
    Differentiated,
    Elements,
    External,
    Frame,
    FunctionRef,
    Gradient,
    Items,
    Literal,
    Object,
    Option,
    Parameters,
    Super,
    Tensor,
    Unknown,
    Value,
    choices,
    gradients_in,
    is_infinite,
    literal,
    members,
)
from clipcheck.flow.worlds import ANY, VALUE, World, merge
from clipcheck.knowledge import CallRule
from clipcheck.protocol import Event, Gradients, Phase
from clipcheck.record import replace

THEN = " > "  # between the key of a gradient and the place where another was made of it
NOT_FOLLOWED = "where these gradients were made, or changed, was not followed"
_GROWS = ("append", "extend", "insert")
_NOT_AVERAGING = ("norm", "clip")


class Functional(ToldSteps):
    """What happens to gradients that are values."""

    scope: frozenset[str] | None = None  # the only keys that `change` concerns; None: those of optimizers

    def change(
        self, update: Callable[[Gradients], Gradients], concerns: Callable[[str], bool] = lambda _: True
    ) -> None:
        """Apply a change to the gradients of optimizers, or to the gradients in scope."""
        scope = self.scope
        if scope is None:
            super().change(update, lambda key: not key.startswith(VALUE) and concerns(key))
        else:
            super().change(update, lambda key: key in scope)

    # -- which event a call is ---------------------------------------------------------------------------

    def _roles(
        self, frame: Frame, function: Value, owner: Value, name: str, given: Arguments, call: facts.Call
    ) -> list[str]:
        """The roles of a receiver, also by its name and by what it is handed."""
        if isinstance(owner, Gradient):
            return ["gradient"]
        roles = super()._roles(frame, function, owner, name, given, call)
        if isinstance(owner, (Unknown, Bound)) and isinstance(call.function, facts.Attribute):
            if self.knowledge.hinted("tape", last_identifier(call.function.value)):
                roles = [*roles, "tape"]
            if _handed(given) is not None:
                roles = [*roles, "given-gradients"]
        return roles

    def attribute(self, frame: Frame, owner: Value, name: str, expression: facts.Expression) -> Value:
        """`model.trainable_variables`: the parameters of a model; `variable.value`: what one of them holds."""
        if isinstance(owner, Parameters) and name in self.knowledge.parameter_values:
            return owner
        found = super().attribute(frame, owner, name, expression)
        named = name in self.knowledge.parameter_attributes and isinstance(found, (Bound, Unknown))
        if named and isinstance(owner, (Unknown, Bound, Object)):
            held = self.parameters_in(owner)
            return Parameters(held.models) if held is not None else found
        return found

    def _call_method(self, frame: Frame, function: Bound, given: Arguments, call: facts.Call) -> Value:
        owner, name = function.owner, function.name
        if isinstance(owner, (Object, Bound)) and name in self.knowledge.parameter_methods:
            held = self.parameters_in(owner)
            if held is not None:
                return Parameters(held.models)
        if isinstance(owner, Gradient):
            if name in _GROWS and isinstance(call.function, facts.Attribute):
                self.assign(frame, call.function.value, self.with_entry(owner, Items(given.positional)))
                return Literal(None)
            return self._unclear(owner, call, f"{name}()")
        return super()._call_method(frame, function, given, call)

    # -- gradients are made ------------------------------------------------------------------------------

    def gradient(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`tape.gradient(loss, variables)`: one for each variable, nested as those are."""
        sources = given.get(rule.slot("variables"))
        loss = given.get(rule.slot("loss"))
        made = self._gradient_of(frame, sources, loss, rule, call)
        if isinstance(sources, Items) and all(isinstance(one, Parameters) for one in sources.members):
            several = [one for one in sources.members if isinstance(one, Parameters) and not one.single]
            if len(several) == len(sources.members):
                parts = [replace(made, models=one.models, whole=not one.part) for one in several]
                return Items(tuple(parts)) if parts else made
        if rule.result == "pairs":
            return Elements(Items((replace(made, single=True), Parameters(made.models, single=True))))
        return replace(made, single=isinstance(sources, Parameters) and sources.single)

    def _gradient_of(
        self, frame: Frame, sources: Value | None, loss: Value | None, rule: CallRule, call: facts.Call
    ) -> Gradient:
        """A fresh gradient of what it is taken by, as far as that is known; else of what the loss came from."""
        held = self.parameters_in(sources)
        tensor = self.tensor_of([loss]) if loss is not None else None
        alone = held is None and sources is not None and self.tensor_of([sources]) is not None
        models, whole = (held.models, not held.part) if held is not None else (frozenset[str](), False)
        if not models and not alone:
            models = tensor.models if tensor is not None else held_by(loss)
        key = VALUE + self.origin(frame, call)
        if self.following:
            site = self.site()
            state = Gradients(Phase.EMPTY).after(Event.BACKWARD, site)[0]
            self.worlds = merge([tuple(_anew(world, key, state) for world in self.worlds)])
        return Gradient(frozenset({key}), models, whole, tensors=alone, framework=rule.framework)

    def gradient_function(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`value_and_grad(loss_fn)`: a function whose call gives the loss and its gradient."""
        auxiliary = literal(given.get(rule.slot("auxiliary"))) is True
        return Differentiated(
            given.get(rule.slot("function")), rule, given.get(rule.slot("model")), auxiliary
        )

    def decorated(self, function: FunctionRef, decorators: Iterable[Value]) -> Value:
        """A function as its decorators leave it."""
        for decorator in decorators:
            rule = self.knowledge.call(decorator.name) if isinstance(decorator, External) else None
            if rule is not None and rule.event == "gradient-function":
                return Differentiated(function, rule)
        return function

    def apply(
        self, frame: Frame, function: Value, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        if isinstance(function, Differentiated):
            return self._differentiate(frame, function, given, call)
        return super().apply(frame, function, owner, given, call)

    def _differentiate(
        self, frame: Frame, function: Differentiated, given: Arguments, call: facts.Call
    ) -> Value:
        """Run the function for its loss, and make the gradient of what is named, or of its first argument."""
        inner = function.function
        result = self.apply(frame, inner, None, given, call) if inner is not None else None
        first = given.positional[0] if given.positional else None
        sources = function.model if function.model is not None else self.differentiated(first, result)
        made = self._gradient_of(frame, sources, result, function.rule, call)
        loss: Value = result if result is not None else Tensor(made.models, False)
        if function.rule.kind == "value-and-gradient":
            known = not function.auxiliary or isinstance(loss, Items)
            return Items((loss if known else Items((loss, self.unknown(frame, call, "aux"))), made))
        if function.auxiliary:
            auxiliary = loss.members[-1] if isinstance(loss, Items) and loss.members else loss
            return Items((made, auxiliary))
        return made

    def differentiated(self, first: Value | None, loss: Value | None) -> Value | None:
        """What a function is differentiated by: the model it is handed; nothing where the loss names one."""
        tensor = self.tensor_of([loss]) if loss is not None else None
        known = isinstance(first, (Object, Parameters)) or tensor is None or not tensor.models
        return first if known else None

    # -- what becomes of them ----------------------------------------------------------------------------

    def gradients_kept(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """A cast, a sum over workers: the same gradient; anything else as a library function gives it."""
        if isinstance(owner, Gradient):
            return owner
        found = _handed(given)
        return found if found is not None else self._plain(frame, given, call)

    def _plain(self, frame: Frame, given: Arguments, call: facts.Call) -> Value:
        """What a function that knows no gradients gives back."""
        self.handed_functions(given)
        tensor = self.tensor_of(given.all())
        name = last_identifier(call.function)
        if tensor is not None:
            return tensor
        return Unknown(f"{frame.filename}:{call.row}:{name}", self.models_in(given))

    def tree_map(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`jax.tree.map(lambda g: …, grads)`: the function is applied to what the trees consist of."""
        slot = rule.slot("function")
        function = given.get(slot)
        trees = [value for value in given.positional if value is not function]
        if function is None or combined(trees) is None:
            return self._plain(frame, given, call)
        leaves = tuple(self.element(frame, tree, call) for tree in trees)
        result = self.apply(frame, function, None, Arguments(leaves), call)
        found = combined([result])
        return replace(found, single=False) if found is not None else result

    def of_gradients(self, expression: facts.Operation, values: list[Value]) -> Value | None:
        """Arithmetic keeps a gradient, unless a factor may come from its norm."""
        found = combined(values)
        if found is None:
            return None
        others = [
            (value, operand)
            for value, operand in zip(values, expression.operands, strict=True)
            if combined([value]) is None
        ]
        if expression.operator in ("+", "-", "neg", "pos"):
            return found
        known = expression.operator in ("*", "/", "//") and len(others) == len(values) - 1
        if known and all(self._is_average(value, operand) for value, operand in others):
            return found
        return self._unclear(found, expression, "arithmetic")

    def _is_average(self, value: Value, operand: facts.Expression) -> bool:
        """Whether a factor is a number, or counts workers, batches or micro-batches."""
        if all(isinstance(literal(one), (int, float)) for one in choices(value)):
            return True
        if any(isinstance(one, Option) for one in choices(value)):
            return False
        words = [name.lstrip(".") for name in names_in(operand)]
        if any(text in word.lower() for word in words for text in _NOT_AVERAGING):
            return False
        return any(self.knowledge.hinted("averaging", word) for word in words)

    def with_entry(self, owner: Value, value: Value) -> Value:
        """A sequence of gradients, one of which was replaced or added."""
        found = combined([owner, value])
        if found is None:
            return owner
        if combined([value]) is None and self.following:  # nobody knows what took its place
            self._doubt_gradients(found, "one of these gradients was replaced")
        pairs = isinstance(owner, (Items,)) or any(isinstance(one, Items) for one in choices(value))
        if pairs and not isinstance(owner, Gradient):
            return Items((owner, value))
        return replace(found, single=False)

    # -- code that is not known --------------------------------------------------------------------------

    def library_result(self, frame: Frame, name: str, given: Arguments, call: facts.Call) -> Value:
        """A library function that neither clips nor steps may well give back a norm, or what it scales by."""
        found = _handed(given)
        if found is None or not self.knowledge.is_harmless(name):
            return super().library_result(frame, name, given, call)
        self.handed_functions(given)
        return self._unclear(found, call, name)

    def unresolved(self, frame: Frame, owner: Value | None, given: Arguments, call: facts.Call) -> Value:
        """Unknown code that is handed gradients may clip them, where they are."""
        found = combined([*given.all(), *([owner] if owner is not None else [])])
        result = super().unresolved(frame, owner, given, call)
        if found is None:
            return result
        name = last_identifier(call.function)
        if self.following and self.knowledge.hinted("clip-call", name):
            self.worlds = self._within(found, lambda state: state.after(Event.CLIP, self.site())[0])
        elif self.following:
            self._doubt_gradients(found, f"{name}() at {frame.filename}:{call.row} was handed the gradients")
        return replace(found, single=False)

    def _doubt_gradients(self, found: Gradient, reason: str) -> None:
        self.worlds = self._within(found, lambda state: replace(state, unsure=state.unsure or reason))

    def _within(self, found: Gradient, update: Callable[[Gradients], Gradients]) -> tuple[World, ...]:
        """The worlds with these gradients, all their versions included, changed where they are."""
        changed = (
            world.mapped(lambda key, state: update(state) if key in found.keys else state)
            for world in self.worlds
        )
        return merge([tuple(changed)])

    def _unclear(self, found: Gradient, expression: facts.Expression, what: str) -> Gradient:
        """A value computed from gradients in a way that may bound it."""
        reason = f"{what} in row {expression.row} may bound these gradients"
        return self._another_version(
            found, f"{expression.row}?", lambda state: replace(state, unsure=state.unsure or reason)
        )

    def _another_version(
        self, found: Gradient, place: str, update: Callable[[Gradients], Gradients]
    ) -> Gradient:
        """Another value made of a gradient, in a state of its own; the first stays as it is."""
        names = {root: _grown(found.keys, root, place) for root in roots(found.keys)}
        if self.following:
            out = []
            for world in self.worlds:
                grown = world
                for root, name in names.items():
                    grown = grown.having(name, update(state_of(world, found.keys, root)))
                out.append(grown)
            self.worlds = merge([tuple(out)])
        return replace(found, keys=frozenset(names.values()))

    # -- clip --------------------------------------------------------------------------------------------

    def clip(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        slot = rule.slot("gradients")
        if slot is None:
            return super().clip(frame, rule, owner, given, call)
        value = given.get(slot)
        found = combined([value]) if value is not None else None
        threshold = given.get(rule.slot("threshold"))
        if found is None:
            if rule.kind != "norm" or value is None:
                return self._plain(frame, given, call)
            found = self._of_nobody_knows(frame, value, rule, call)
        measured = is_infinite(threshold)
        used = call is not self.discarded
        clipped = found if measured else self._clip_value(found, rule, threshold, call, used=used)
        return Items((clipped, Tensor())) if rule.result == "pair" else clipped

    def _of_nobody_knows(self, frame: Frame, value: Value, rule: CallRule, call: facts.Call) -> Gradient:
        """The gradients that a norm is clipped of, where nobody knows from where they came."""
        held = self.parameters_in(value)
        key = VALUE + self.origin(frame, call)
        if self.following:
            entry = Gradients(unsure="where these gradients come from is not in sight")
            self.worlds = merge([tuple(_anew(world, key, entry) for world in self.worlds)])
        models = held.models if isinstance(value, Parameters) and held is not None else frozenset[str]()
        return Gradient(frozenset({key}), models, framework=rule.framework)

    def _clip_value(
        self, found: Gradient, rule: CallRule, threshold: Value | None, call: facts.Call, *, used: bool
    ) -> Gradient:
        site = self.site()

        def clip(state: Gradients) -> Gradients:
            after = state.after(Event.CLIP, site)[0]
            clips = after.clips | {site}
            return replace(after, phase=Phase.CLIPPED, clips=clips, unused=frozenset(), vain=frozenset())

        paths = [
            Path(state_of(world, found.keys, root), world.guards, "")
            for world in self.worlds
            for root in roots(found.keys)
        ]
        clipped = self._another_version(found, f"{call.span.row}.{call.span.column}", clip)
        if self.following:
            self.worlds = self._within(found, lambda state: replace(state, unused=state.unused | {site}))
            self._record_clip(found, rule, ClipContext(paths, threshold, found, False, used, False), call)
        return clipped

    def _record_clip(self, found: Gradient, rule: CallRule, context: ClipContext, call: facts.Call) -> None:
        site = self.site()
        clip = self.sightings.clips.setdefault(
            site,
            Clip(site, call, rule.kind or "norm", rule.replaced_by, self.function_name(), rule.framework),
        )
        context.label = self.context_label()
        clip.met(context)

    def bound_by_hand(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`jnp.clip(g, -1, 1)`, `g.clip(-1, 1)`: clipping by hand, where it is done to a gradient."""
        found = combined([owner]) if isinstance(owner, Gradient) else _handed(given)
        if found is None:
            return self._plain(frame, given, call)
        site = self.site()
        return self._another_version(
            found,
            f"{call.span.row}.{call.span.column}",
            lambda state: replace(state.after(Event.CLIP, site)[0], phase=Phase.CLIPPED),
        )

    # -- step --------------------------------------------------------------------------------------------

    def step(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        slot = rule.slot("gradients")
        strange = isinstance(owner, (Unknown, Bound)) and rule.slot("optimizer") is None
        handed = _handed(given) if slot is None and strange else None
        if handed is not None:  # `params = optimizer.step(params, grads)`
            if self.following:
                self._doubt_gradients(handed, "the optimizer, which is handed its gradients, is not known")
                self._step_on(frame, rule, owner, handed, call)
            return self.unknown(frame, call, "step")
        if slot is None:
            return super().step(frame, rule, owner, given, call)
        if self.following:
            receiver = owner.receiver if isinstance(owner, Super) else owner
            value = given.get(slot)
            known = value is not None and combined([value]) is not None
            self._step_on(frame, rule, receiver, value if known else _handed(given) or value, call)
        if rule.result == "owner" and owner is not None:
            return owner
        if rule.result == "pair":
            pair = (self.unknown(frame, call, "updates"), self.unknown(frame, call, "state"))
            return Items(pair)
        return self.unknown(frame, call, "step")

    def _step_on(
        self, frame: Frame, rule: CallRule, owner: Value | None, value: Value | None, call: facts.Call
    ) -> None:
        """A step on gradients that are handed to it, after the clip of the optimizer's own."""
        found = combined([value]) if value is not None else None
        if found is None:
            found = self._strange(frame, value, rule, call)
        optimizer, teller = self._optimizer_of(owner)
        told = self.told[teller.key] if teller is not None else None
        if teller is not None and told is not None and isinstance(optimizer, Object):
            self._own_clip(frame, optimizer, teller, told, found)
            self.sightings.delegated.add(self.site())
        elif owner is not None and any(
            isinstance(one, Object) and self._clips_itself(one) for one in choices(owner)
        ):
            self._doubt_gradients(found, "the optimizer may clip by itself")
        elif isinstance(optimizer, (Unknown, Bound)) and self.project.clips_in(
            last_identifier(call.function)
        ):
            self._doubt_gradients(found, "an optimizer of the project clips in its step")
        names = self._names_of(frame, rule, call, found)
        for root in sorted(roots(found.keys)):
            self._record_step(found, root, optimizer, told, names, call)

    def minimize(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`optimizer.minimize(loss, variables)`: gradient and step in one."""
        loss, sources = (
            _called(self, frame, given.get(rule.slot(name)), call) for name in ("loss", "variables")
        )
        made = self._gradient_of(frame, sources, loss, rule, call)
        if self.following:
            self._step_on(frame, rule, owner.receiver if isinstance(owner, Super) else owner, made, call)
        return Literal(None)

    def _strange(self, frame: Frame, value: Value | None, rule: CallRule, call: facts.Call) -> Gradient:
        """Gradients that are no value: those that the parameters keep, or some that nobody knows anything of."""
        key = f"{VALUE}{self.origin(frame, call)}?"
        kept = [one for one in _leaves(value) if isinstance(one, Parameters) and one.gradient]
        entry = Gradients(Phase.FRESH, unsure="where these gradients come from is not known")
        worlds = (_anew(world, key, world.get(ANY) if kept else entry) for world in self.worlds)
        self.worlds = merge([tuple(worlds)])
        models = frozenset[str]().union(*(one.models for one in kept))
        return Gradient(frozenset({key}), models, framework=rule.framework)

    def _optimizer_of(self, owner: Value | None) -> tuple[Value, Object | None]:
        """The optimizer of a step, and what carries its clipping argument if its making is in sight."""
        for choice in choices(owner) if owner is not None else ():
            if isinstance(choice, Object) and choice.rule is not None:
                return choice, self._teller(choice, Arguments(choice.arguments, choice.keywords), None)
        return (owner if owner is not None else Unknown("optimizer")), None

    def _own_clip(self, frame: Frame, optimizer: Object, teller: Object, told: Told, found: Gradient) -> None:
        """The clip that an optimizer makes in its step, as it was told."""
        before = self.scope
        self.scope = found.keys
        try:
            self.clip_as_told(frame, optimizer, teller, told)
            super().change(
                lambda state: replace(state, unsure="") if state.phase is Phase.CLIPPED else state,
                lambda key: key in found.keys,
            )
        finally:
            self.scope = before
        told.used(self.site(), (frame.filename, self.statement[1].row))

    def _names_of(self, frame: Frame, rule: CallRule, call: facts.Call, found: Gradient) -> Names:
        """How the gradients of a step are named in the function that makes it, if they have a plain name."""
        slot = rule.slot("gradients")
        given = argument_at(call, slot)
        if isinstance(given, facts.Call) and last_identifier(given.function) == "zip" and given.arguments:
            given = given.arguments[0]
        name = given.id if isinstance(given, facts.Name) and given.id in frame.locals else None
        held = frame.locals.get(name) if name is not None else None
        whole = held is not None and all(_is_tree(one, found.models) for one in choices(held))
        return Names(None, None, gradients=name if whole else None, maker=found.framework or rule.framework)

    def _record_step(
        self,
        found: Gradient,
        root: str,
        optimizer: Value,
        told: Told | None,
        names: Names,
        call: facts.Call,
    ) -> None:
        site = self.site()
        paths, out = [], []
        for world in self.worlds:
            before = state_of(world, found.keys, root)
            after, code = before.after(Event.STEP, site)
            paths.append(Path(before, world.guards, code))
            out.append(world.having(_latest(world, found.keys, root), after))
        self.worlds = merge([tuple(out)])
        objects = self.sightings.objects
        models: tuple[Value, ...] = tuple(objects.get(key, Unknown(key)) for key in sorted(found.models))
        if found.tensors and not models:
            models = (Tensor(),)
        place = told.site if told is not None else site
        step = self.sightings.steps.setdefault(
            place, Step(place, told.call if told is not None else call, told=told)
        )
        context = self.told_context(
            f"{site.span.row}.{root}", optimizer, models or (Unknown(f"{root}.model"),), paths
        )
        step.met(replace(context, certain=found.whole, names=names))


def _is_tree(value: Value, models: frozenset[str]) -> bool:
    """Whether a value is all gradients of these models, or what they are summed up in, made of their parameters."""
    if isinstance(value, Unknown):
        return bool(value.holds) and value.holds <= models
    return isinstance(value, Gradient) and not value.single


def combined(values: Iterable[Value]) -> Gradient | None:
    """One gradient for all those in some values; of what is one gradient, the version changed most."""
    found: Gradient | None = None
    for value in values:
        if type(value) not in HOLDING:  # most values, and this is asked of every argument of every call
            continue
        own: Gradient | None = None
        for one in gradients_in(value):  # alternatives, or parts of one sequence
            own = one if own is None else _joined(own, one, own.keys | one.keys)
        if own is not None:
            found = own if found is None else _joined(found, own, _most_changed(found.keys, own.keys))
    return found


def _joined(left: Gradient, right: Gradient, keys: frozenset[str]) -> Gradient:
    return Gradient(
        keys,
        left.models | right.models,
        left.whole and right.whole,
        left.single and right.single,
        left.tensors and right.tensors,
        left.framework or right.framework,
    )


def _most_changed(left: frozenset[str], right: frozenset[str]) -> frozenset[str]:
    """The keys of what is computed from two gradients: of those with one root, the longer ones."""
    out = set(left | right)
    for root in roots(left) & roots(right):
        here, there = _of_root(left, root), _of_root(right, root)
        if max(map(len, here)) != max(map(len, there)):
            out -= here if max(map(len, here)) < max(map(len, there)) else there
            out |= there if max(map(len, here)) < max(map(len, there)) else here
    return frozenset(out)


def roots(keys: Iterable[str]) -> frozenset[str]:
    """The keys of the gradients that others were made of."""
    return frozenset(key.partition(THEN)[0] for key in keys)


def _of_root(keys: Iterable[str], root: str) -> set[str]:
    return {key for key in keys if key.partition(THEN)[0] == root}


def _grown(keys: frozenset[str], root: str, place: str) -> str:
    """The key of what is made at `place` of the gradients with these keys."""
    longest = max(sorted(_of_root(keys, root)), key=lambda key: key.count(THEN))
    return longest if longest.endswith(THEN + place) else longest + THEN + place


def _latest(world: World, keys: frozenset[str], root: str) -> str:
    """The key by which a world knows a gradient: of its versions, the one that was changed last."""
    own = sorted(_of_root(keys, root), key=lambda key: (key.count(THEN), key))
    met = [key for key in own if world.find(key) is not None]
    return met[-1] if met else own[-1]


def state_of(world: World, keys: frozenset[str], root: str) -> Gradients:
    """What has happened to a gradient in a world."""
    found = world.find(_latest(world, keys, root))
    return found if found is not None else Gradients(Phase.FRESH, unsure=NOT_FOLLOWED)


def _anew(world: World, key: str, state: Gradients) -> World:
    """A world in which a gradient has just been made: what was made of an earlier one is forgotten."""
    kept = tuple(entry for entry in world.states if not entry[0].startswith(key + THEN))
    return replace(world, states=kept).having(key, state)


def _handed(given: Arguments) -> Gradient | None:
    return combined(given.all())


def _leaves(value: Value | None, depth: int = 4) -> Iterator[Value]:
    """What a value consists of, where it is a sequence; else what it may be."""
    for choice in choices(value) if value is not None else ():
        yield choice
        for member in members(choice) if depth else ():
            yield from _leaves(member, depth - 1)


def _called(run: Functional, frame: Frame, value: Value | None, call: facts.Call) -> Value | None:
    """A value, or what a function gives that stands for it."""
    return run.apply(frame, value, None, Arguments(), call) if isinstance(value, FunctionRef) else value
