"""Training as functions: states that hold parameters and a transformation, and what makes a new one of an old one."""

from __future__ import annotations

from clipcheck import facts
from clipcheck.findings import Site
from clipcheck.flow.chains import ROLE
from clipcheck.flow.functional import combined, roots, state_of
from clipcheck.flow.models import Models, keys_behind
from clipcheck.flow.records import Names, Path, Step, StepContext
from clipcheck.flow.render import last_identifier, render
from clipcheck.flow.values import (
    Arguments,
    Bound,
    ClassRef,
    External,
    Frame,
    Gradient,
    Items,
    Object,
    Parameters,
    Several,
    Unknown,
    Value,
    choices,
    several,
)
from clipcheck.flow.worlds import Guard
from clipcheck.knowledge import CallRule, Slot
from clipcheck.project import Project
from clipcheck.protocol import Event, Gradients, Phase
from clipcheck.record import replace

Before = tuple[Gradients, frozenset[Guard]]  # gradients as a step meets them, and the guards on the way
TRAINED = "(trained)"  # what a transformation was made ready for, or its updates were handed


class States(Models):
    """Models that are called by their parameters, training states, and the steps on both."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.holders: dict[str, Object] = {}  # training states whose transformation is known, by key
        self.stepped: set[str] = set()  # those of them that a step was seen of
        self._imports: dict[str, frozenset[str]] = {}  # by file: those that it imports
        self.loose: dict[Site, list[Before]] = {}  # steps of training states that nobody in sight made
        self._loose_calls: dict[Site, facts.Call] = {}
        self._stepped_at: set[Site] = set()  # steps of states that somebody did

    # -- events ------------------------------------------------------------------------------------------

    def event_of(
        self, frame: Frame, function: Value, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value | None:
        """As before; and methods under a name of their own (`state.apply_fn`, `opt_update`), or of a class."""
        if isinstance(function, External) and (rule := self.knowledge.call(function.name)) is not None:
            handler = _CALLS.get(rule.event)
            return (
                handler(self, frame, rule, function, given, call)
                if handler
                else self._usual(frame, function, owner, given, call)
            )
        if isinstance(function, Bound) and isinstance(function.owner, (Object, ClassRef)):
            role = self._role(function.owner)
            method = self.knowledge.method(role, function.name) if role else None
            handler = _METHODS.get(method.event) if method is not None else None
            if method is not None and handler is not None:
                return handler(self, frame, method, function.owner, given, call)
        if isinstance(owner, (Unknown, Bound)) and self._steps_unseen(call, given):
            self._step_loosely(given, call)
            return owner if self._unmistakable(call) else self.unknown(frame, call)
        return self._usual(frame, function, owner, given, call)

    def _steps_unseen(self, call: facts.Call, given: Arguments) -> bool:
        """Whether a method of an unknown receiver is a step of what holds a transformation, which may clip."""
        if not isinstance(call.function, facts.Attribute):
            return False
        found = combined(given.all())
        if found is None or found.framework in self.knowledge.values:
            return self._unmistakable(call)
        return call.function.attr in self.knowledge.methods_of("transform")

    def _unmistakable(self, call: facts.Call) -> bool:
        """Whether a method of an unknown receiver is the step of a training state by its name and its keyword."""
        name = last_identifier(call.function) if isinstance(call.function, facts.Attribute) else ""
        given = {keyword for keyword, _ in call.keywords}
        slots = [
            rule.slot("gradients")
            for _, rule in self.knowledge.methods_named(name)
            if rule.event == "transform" and not rule.common
        ]
        return any(slot is not None and slot[0] in given for slot in slots)

    def _apply_any(
        self, frame: Frame, function: Several, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """As before; one of several transformations is stepped as one thing, made in one way or another."""
        methods = [one for one in function.choices if isinstance(one, Bound)]
        owners = [one.owner for one in methods if isinstance(one.owner, Object) and one.owner.role == ROLE]
        names = {one.name for one in methods}
        if len(owners) == len(function.choices) and len(names) == 1:
            rule = self.knowledge.method(ROLE, names.pop())
            if rule is not None and rule.event == "transform":
                found = self.transformed(frame, rule, several(owners), given, call)
                return found if found is not None else self.unknown(frame, call)
        return super()._apply_any(frame, function, owner, given, call)

    def _usual(
        self, frame: Frame, function: Value, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value | None:
        return super().event_of(frame, function, owner, given, call)

    def _role(self, owner: Object | ClassRef) -> str:
        if isinstance(owner, Object):
            return owner.role
        rule = self.knowledge.class_rule(self.framework_base(owner))
        return rule.role if rule is not None else ""

    def method_at(self, made: Object, number: int) -> Value | None:
        """`init, update = optax.adam(1e-3)`, `init, apply = hk.transform(f)`: a pair of the methods of what is made."""
        rule = self.knowledge.call(made.external) if made.cls is None else None
        functional = rule is not None and rule.event == "functional-model"
        if made.role != ROLE and not functional:
            return None
        order = ("initial", "applied") if functional else ("transform-state", "transform")
        named: dict[str, str] = {}
        for (role, name), method in self.knowledge.methods.items():
            if role == made.role:
                named.setdefault(method.event, name)
        return Bound(made, named[order[number]]) if number < len(order) and order[number] in named else None

    # -- training states ---------------------------------------------------------------------------------

    def make_state(
        self, frame: Frame, rule: CallRule, owner: Value, given: Arguments, call: facts.Call
    ) -> Value | None:
        """`TrainState.create(apply_fn=…, params=…, tx=…)`: an instance, with its keywords as attributes."""
        if isinstance(owner, ClassRef):
            made = self.make(owner, self.origin(frame, call), Site(frame.filename, call.span), given, call)
        elif isinstance(owner, External):
            name = owner.name.rpartition(".")[0]
            key = self.origin(frame, call)
            known = self.knowledge.class_rule(name)
            fresh = Object(key, Site(frame.filename, call.span), None, name, known)
            made = self.sightings.objects.setdefault(key, fresh)
            self.made(made, call)
        else:
            return None
        made.arguments, made.keywords = given.positional, given.keywords
        made.attributes.update({name: value for name, value in given.keywords if name})
        self._hold(made)
        return made

    def made(self, made: Object, call: facts.Call | None = None) -> None:
        """A training state that is made with its transformation."""
        super().made(made, call)
        self._hold(made)

    def _hold(self, made: Object) -> None:
        if made.rule is not None and made.rule.transformation is not None and self.transformation_of(made):
            self.holders[made.key] = made

    def ready(
        self, frame: Frame, rule: CallRule, owner: Value, given: Arguments, call: facts.Call
    ) -> Value | None:
        """`tx.init(params)`: the state of a transformation; whose parameters it is for is remembered."""
        if isinstance(owner, Object):
            self._trains(owner, given.get(rule.slot("trained")))
            return Unknown(f"{owner.key}.{rule.event}")
        return None

    def _trains(self, transformation: Object, parameters: Value | None) -> None:
        known = transformation.attributes.get(TRAINED)
        found = frozenset(keys_behind(parameters)) if parameters is not None else frozenset[str]()
        before = known.models if isinstance(known, Parameters) else frozenset[str]()
        transformation.attributes[TRAINED] = Parameters(before | found)

    def transformed(
        self, frame: Frame, rule: CallRule, owner: Value, given: Arguments, call: facts.Call
    ) -> Value | None:
        """`tx.update(grads, state, params)`, `state.apply_gradients(grads=grads)`: a step, by a transformation."""
        if isinstance(owner, Object) and owner.role != ROLE:
            transformation = self.transformation_of(owner)
            if transformation is None:
                self._step_loosely(given, call)
            elif self.following:
                self.stepped.add(owner.key)
                self._stepped_at.add(self.site())
                self.step_through(transformation, self._before(given), self._models(owner, given))
            return owner
        made = [one for one in choices(owner) if isinstance(one, Object)]
        for one in made:
            self._trains(one, given.get(rule.slot("trained")))
        gradients = combined(given.all())
        if gradients is not None and self.only_clips(owner):
            return Items((self._clipped_by(owner, gradients, call), self.unknown(frame, call, "state")))
        if self.following:
            held = [one.attributes.get(TRAINED) for one in made]
            models = self._found([value for value in held if value is not None], given)
            self.step_through(owner, self._before(given), models)
        key = made[0].key if made else render(call.function)
        return Items((Unknown(f"{key}.updates"), Unknown(f"{key}.state")))

    def _before(self, given: Arguments) -> list[Before]:
        """The gradients that a step is handed, in every world; of what is no gradient, nothing is sure."""
        found = combined(given.all())
        if found is None:
            strange = Gradients(Phase.FRESH, unsure="where these gradients come from is not known")
            return [(strange, world.guards) for world in self.worlds]
        made = sorted(roots(found.keys))
        return [(state_of(world, found.keys, root), world.guards) for world in self.worlds for root in made]

    def transformation_of(self, holder: Object) -> Value | None:
        """What turns the gradients of a training state into its updates."""
        return self._handed(holder, holder.rule.transformation) if holder.rule is not None else None

    def _clipped_by(self, transformation: Value, gradients: Gradient, call: facts.Call) -> Gradient:
        """`clip.update(grads, state)`: what a transformation that only clips gives back."""
        readings = self.readings(transformation)
        clips = [any(link.does == "clip" for link in reading.links) for reading in readings]
        site = self.site()

        def clip(state: Gradients) -> Gradients:
            if not all(clips):
                return replace(state, unsure=state.unsure or "a transformation may clip it")
            return replace(state.after(Event.CLIP, site)[0], phase=Phase.CLIPPED)

        if not any(clips):
            return gradients
        return self._another_version(gradients, f"{call.span.row}.{call.span.column}", clip)

    # -- steps of states that nobody in sight made --------------------------------------------------------

    def _step_loosely(self, given: Arguments, call: facts.Call) -> None:
        if self.following:
            if self._unmistakable(call):  # `update` is called on much that is no step
                self._loose_calls[self.site()] = call
            known = self.loose.setdefault(self.site(), [])
            known += [one for one in self._before(given) if one not in known]

    def settle(self) -> None:
        """Steps of states that nobody made, and states that nobody stepped: in one program, they mean each other."""
        for key, holder in self.holders.items():
            transformation = self.transformation_of(holder)
            near = [site for site in self.loose if self._together(site.filename, holder.site.filename)]
            states = [state for site in near for state, _ in self.loose[site]]
            bare = states and all(one.phase is Phase.FRESH and not one.unsure for one in states)
            if key in self.stepped or transformation is None or not bare:
                continue
            self.chain, self.entry_label, self.entry_file = [], near[0].filename, near[0].filename
            self._stepped_at.update(near)
            for site in near:
                self.statement = (site.filename, site.span)
                self.step_through(transformation, self.loose[site], self._models(holder, Arguments()))
        unseen = self._loose_calls.keys() - self._stepped_at - self.sightings.steps.keys()
        for site in sorted(unseen):
            self._see(site, self._loose_calls[site])

    def _see(self, site: Site, call: facts.Call) -> None:
        """A step of a state that nobody knows: it counts as unknown."""
        reason = "what makes the updates here is not known"
        paths = [
            Path(replace(state, unsure=state.unsure or reason), guards, "")
            for state, guards in self.loose[site]
        ]
        context = StepContext(
            site.filename,
            self.unknown(Frame(site.filename, "", None), call),
            (),
            False,
            paths,
            Names(None, None),
        )
        self.sightings.steps.setdefault(site, Step(site, call)).met(context)

    def _together(self, one: str, other: str) -> bool:
        """Whether two files are of one program: the same, or one imports the other, or a third one both."""
        if one == other:
            return True
        pairs = [(file, self._imported_by(file)) for file, _ in self.project.loaded()]
        return any({one, other} <= {file, *imported} for file, imported in pairs)

    def _imported_by(self, filename: str) -> frozenset[str]:
        """The files of the project that a file imports at its top level."""
        if filename not in self._imports:
            module = self.project.facts(filename)
            named = (
                [one for one in module.body if isinstance(one, facts.Import)] if module is not None else []
            )
            found = [self.project.module(filename, one.module, one.level) for one in named]
            found += [
                self.project.module(filename, f"{one.module}.{one.name}".lstrip("."), one.level)
                for one in named
                if one.name
            ]
            self._imports[filename] = frozenset(one for one in found if one is not None)
        return self._imports[filename]

    def _handed(self, owner: Object, slot: Slot | None) -> Value | None:
        """What an instance holds, by the place where it was handed over."""
        if slot is None:
            return None
        return owner.attributes.get(slot[0]) or Arguments(owner.arguments, owner.keywords).get(slot)

    def _models(self, owner: Object, given: Arguments) -> tuple[Value, ...]:
        """The models that a step of a training state trains, as far as the state was handed them."""
        rule = owner.rule
        held = [self._handed(owner, slot) for slot in (rule.model, rule.trained)] if rule is not None else []
        return self._found([value for value in held if value is not None], given)

    def _found(self, held: list[Value], given: Arguments) -> tuple[Value, ...]:
        """The models that these values lead to, else those that the gradients are of."""
        keys = {key for value in held for key in keys_behind(value)}
        if not keys and (gradients := combined(given.all())) is not None:
            keys = set(gradients.models)
        found = [self.sightings.objects[key] for key in sorted(keys) if key in self.sightings.objects]
        return tuple(found)


_CALLS = {
    "make": States.make_state,
    "fold": States.fold,
    "functional-model": States.functional_model,
    "updates": States.applied_updates,
}
_METHODS = {
    "initial": States.initial, "applied": States.applied, "make": States.make_state,
    "transform-state": States.ready, "transform": States.transformed,
}  # fmt: skip
