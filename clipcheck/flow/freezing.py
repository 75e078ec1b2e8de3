"""Parts of a model that are frozen for good: what is trained is the rest."""

from __future__ import annotations

from collections.abc import Iterator

from clipcheck import blocks, facts
from clipcheck.facts import Expression, Statement
from clipcheck.findings import Evidence
from clipcheck.flow.assigned import Assigned
from clipcheck.flow.render import last_identifier, names_in
from clipcheck.flow.values import (
    Arguments,
    Bound,
    Frame,
    Items,
    Literal,
    Object,
    Parameters,
    Value,
    choices,
    parts_of,
)
from clipcheck.record import dataclass, replace

_TRAINED = "requires_grad"
_ENDS = frozenset({"module", "model", "weight", "bias", "%s", ""})  # of names of parameters: they say nothing


@dataclass(frozen=True, slots=True)
class Setting:
    """One `p.requires_grad = …` in a loop over parameters: when the name passes a test, or fails it, or always."""

    trained: bool | None  # None: what it is set to is not known
    test: Expression | None = None
    passes: bool = True
    given: Expression | None = None  # what has to be evaluated to know


class Freezing(Assigned):
    """Notices what is frozen, surely and on every way to a step; one that is ever thawed is not.

    A loop that goes by the names of parameters counts where all but a head is frozen.
    """

    def notice_freezing(self, frame: Frame, loop: facts.For, source: Value) -> None:
        """`for p in model.parameters(): p.requires_grad = False`, with or without a look at the names."""
        found = [self._evaluated(frame, one) for one in _settings(loop)]
        if not found:
            return
        if not isinstance(source, Parameters):
            if any(one.trained is not False for one in found):
                self._thaw_part(frame, loop.source)
            return
        always = {one.trained for one in found if one.test is None}
        tests = [one for one in found if one.test is not None]
        words = [word for one in tests for word in self._kept_words(frame, loop, one)]
        heads = bool(words) and all(self.knowledge.hinted("head-name", word) for word in words)
        if source.part and always == {True} and not tests and self._is_head(loop.source):
            self.keep_head(source.models)
            return
        freezes = always == {False} or (not always and any(one.trained is False for one in tests))
        known = heads or not tests
        root = self._root(frame, loop, source)
        if freezes and known and root is not None:
            self.freeze(root)
        elif not heads and always | {one.trained for one in tests} != {False}:
            self._thaw_part(frame, loop.source, source.models)
        if heads and always <= {False}:
            self.keep_head(source.models)

    def set_trainable(self, frame: Frame, owner: Value, given: Value | None, call: facts.Call) -> None:
        """`self.body.requires_grad_(False)`."""
        trained = True if given is None else given.value if isinstance(given, Literal) else None
        if isinstance(owner, Bound):
            inner = self.parameters_in(owner)
            if inner is None or trained is False:
                return
            if self.knowledge.hinted("head-name", owner.name):
                self.keep_head(inner.models)
            else:
                self.thaw(inner.models)
        elif not isinstance(owner, Object):
            if trained is not False:
                self._thaw_part(frame, call.function)
        elif owner.role in ("module", ""):
            if trained is not False:
                self.thaw(frozenset({owner.key}))
            elif self._is_one(frame, owner, call):
                self.freeze(owner)

    def freeze(self, model: Object) -> None:
        """Remember that a model and all of its parts are frozen, and what that hangs on."""
        if self.alternatives or not self.worlds:
            return
        guards = frozenset.intersection(*(world.guards for world in self.worlds))
        filename, span = self.statement
        note = Evidence(filename, span.row, f"{model.name} frozen here")
        for key in self._all_of(model):
            self.sightings.frozen.setdefault(key, (guards, note))

    def notice_adapting(self, owner: Value | None, given: Arguments, call: facts.Call) -> None:
        """`model.add_adapter(config)`, `get_peft_model(model, config)`: some of what is frozen is trained again, or more."""
        if self.knowledge.hinted("adapter-name", last_identifier(call.function)):
            self.thaw(self.reached(given, owner))

    def thaw(self, models: frozenset[str]) -> None:
        """Remember that some models are trained after all, or may be."""
        objects = self.sightings.objects
        for key in models if self.sightings.frozen else ():
            self.sightings.thawed |= self._all_of(objects[key]) if key in objects else set()

    def _thaw_part(self, frame: Frame, expression: Expression, models: frozenset[str] = frozenset()) -> None:
        """Thaw what an expression gives parameters of: where that is not known, all of what it begins with."""
        objects = self.sightings.objects
        if not models or not all(key in objects for key in models):
            names = (node for node in blocks.walk(expression) if isinstance(node, facts.Name))
            values = [one for name in names for one in choices(self.evaluate(frame, name))]
            begun = frozenset(one.key for one in values if isinstance(one, Object) and one.role != "")
            models = begun or frozenset(self.sightings.frozen)
        self.thaw(models)

    def keep_head(self, models: frozenset[str]) -> None:
        """Remember that the head of some models is trained, which is not in sight itself."""
        self.sightings.headed |= models

    def frozen_now(self) -> frozenset[str]:
        """The keys of what is frozen on every path that leads here."""
        known = self.sightings.frozen
        if not known or not self.worlds:
            return frozenset()
        shared = frozenset.intersection(*(world.guards for world in self.worlds))
        return frozenset(key for key, (guards, _) in known.items() if guards <= shared)

    def _evaluated(self, frame: Frame, setting: Setting) -> Setting:
        value = self.evaluate(frame, setting.given) if setting.given is not None else None
        return replace(setting, trained=bool(value.value)) if isinstance(value, Literal) else setting

    def _root(self, frame: Frame, loop: facts.For, source: Parameters) -> Object | None:
        """The one model whose parameters a loop goes through, all of them."""
        made = [self.sightings.objects.get(key) for key in source.models]
        if len(made) != 1 or made[0] is None or source.part or source.gradient:
            return None
        return made[0] if self._is_one(frame, made[0], loop.source) else None

    def _is_one(self, frame: Frame, model: Object, expression: Expression) -> bool:
        """Whether an object stands for one model, and not for those of a list of which only some are meant."""
        listed = any(isinstance(node, facts.Subscript) for node in blocks.walk(expression))
        if model.count != 1 or listed or names_in(expression) & (self.turning - self.unrolled):
            return False
        return not any(self._is_shared(frame, node) for node in blocks.walk(expression))

    def _is_shared(self, frame: Frame, node: object) -> bool:
        """Whether a name stands for a model that another one beside it stands for, too.

        What a function makes twice is one object here: a network and its frozen target, or its momentum encoder.
        """
        if isinstance(node, facts.Name):
            scope, name = frame.find(node.id), node.id
            names = scope.locals if scope is not None else {}
        elif isinstance(node, facts.Attribute):
            owner, name = self.evaluate(frame, node.value), node.attr
            names = owner.attributes if isinstance(owner, Object) else {}
        else:
            return False
        held = names.get(name)
        if not isinstance(held, Object) or held.role != "module":
            return False
        alike = {one for one, value in names.items() if value is held and one[:1] != "#"}
        others = 1 if name in self.unrolled else 0  # `for net in (body, neck):` gives it a second one
        return len(alike - {name}) > others

    def _is_head(self, source: Expression) -> bool:
        """Whether `model.heads.parameters()` are those of a head."""
        called = source.function if isinstance(source, facts.Call) else None
        owner = called.value if isinstance(called, facts.Attribute) else None
        return owner is not None and self.knowledge.hinted("head-name", last_identifier(owner))

    def _all_of(self, model: Object) -> set[str]:
        """The keys of a model and of everything in it."""
        return {part.key for part in parts_of(model)}

    def _kept_words(self, frame: Frame, loop: facts.For, setting: Setting) -> Iterator[str]:
        """What the names have in common that a setting leaves trained, or sets so; "" where that is not known."""
        assert setting.test is not None
        sense = _sense(setting.test)
        trained = setting.trained if setting.passes is sense else not setting.trained
        if sense is None or setting.trained is None or not trained:
            yield ""
            return
        own = names_in(loop.target)
        for node in blocks.walk(setting.test):
            if isinstance(node, facts.Constant) and isinstance(node.value, str):
                yield from self._words(node.value)
            elif isinstance(node, facts.Name) and node.id not in own | {"any", "all"}:
                value = self.evaluate(frame, node)
                listed = value.members if isinstance(value, Items) else (value,)
                if all(isinstance(one, Literal) and isinstance(one.value, str) for one in listed):
                    for one in listed:
                        yield from self._words(str(one.value)) if isinstance(one, Literal) else ()
                elif not any(isinstance(one, facts.Comprehension) for one in blocks.walk(setting.test)):
                    yield node.id

    def _words(self, text: str) -> Iterator[str]:
        """The part of a parameter's name that says whose it is: `heads.head.weight` is of a head."""
        parts = [part for part in text.split(".") if part not in _ENDS]
        yield from parts[:1]


def _settings(loop: facts.For) -> Iterator[Setting]:
    """What a loop over parameters sets, in its body and in the branches there."""
    target = loop.target.items[-1] if isinstance(loop.target, facts.Collection) else loop.target
    if not isinstance(target, facts.Name):
        return
    for statement in loop.body:
        if isinstance(statement, facts.Branch):
            for passes, block in ((True, statement.body), (False, statement.orelse)):
                for inner in block:
                    for one in _set_by(inner, target.id):
                        nested = one.test is not None
                        trained, given = (None, None) if nested else (one.trained, one.given)
                        yield Setting(trained, statement.test, passes, given)
        else:
            yield from _set_by(statement, target.id)


def _set_by(statement: Statement, name: str) -> Iterator[Setting]:
    """What one statement sets for the parameter of that name."""
    if isinstance(statement, facts.Assign) and any(_is_asked(one, name) for one in statement.targets):
        if isinstance(statement.value, facts.Constant):
            yield Setting(bool(statement.value.value))
        else:
            known = _sense(statement.value) is not None
            yield Setting(True, statement.value) if known else Setting(None, given=statement.value)
            if known:
                yield Setting(False, statement.value, passes=False)
    elif isinstance(statement, facts.Evaluate) and isinstance(statement.value, facts.Call):
        call = statement.value
        method = call.function if isinstance(call.function, facts.Attribute) else None
        if method is not None and method.attr == f"{_TRAINED}_" and _is_name(method.value, name):
            first = call.arguments[0] if call.arguments else facts.Constant(True, call.row)
            yield (
                Setting(bool(first.value))
                if isinstance(first, facts.Constant)
                else Setting(None, given=first)
            )
    elif any(_is_asked(node, name) for node in blocks.walk(_blocks_in(statement))):
        yield Setting(None)


def _blocks_in(statement: Statement) -> object:
    compound = (facts.Branch, facts.For, facts.While, facts.Try, facts.With)
    return tuple(facts.blocks_of(statement)) if isinstance(statement, compound) else ()


def _is_asked(node: object, name: str) -> bool:
    return isinstance(node, facts.Attribute) and node.attr == _TRAINED and _is_name(node.value, name)


def _is_name(node: Expression, name: str) -> bool:
    return isinstance(node, facts.Name) and node.id == name


def _sense(test: Expression) -> bool | None:
    """Whether a test of a name passes those that match what it lists (True), or those that do not (False)."""
    if isinstance(test, facts.Operation):
        if test.operator == "not":
            inner = _sense(test.operands[0])
            return None if inner is None else not inner
        if test.operator in ("in", "=="):
            return True
        if test.operator in ("not in", "!="):
            return False
        senses = {_sense(one) for one in test.operands}
        kind = {"or": True, "and": False}.get(test.operator)
        return kind if kind is not None and senses == {kind} else None
    if isinstance(test, facts.Call):
        called = last_identifier(test.function)
        if called in ("startswith", "endswith"):
            return True
        inside = test.arguments[0] if called in ("any", "all") and test.arguments else None
        if isinstance(inside, facts.Comprehension):
            inner = _sense(inside.element)
            return inner if inner is (called == "any") else None
    return None
