"""What a trainer is handed: objects that clip, among its callbacks, and the model in the forms that it may have."""

from __future__ import annotations

from collections.abc import Iterator

from clipcheck import facts
from clipcheck.findings import Site
from clipcheck.flow.inplace import changes_gradients
from clipcheck.flow.steps import Steps
from clipcheck.flow.values import (
    Arguments,
    ClassRef,
    Elements,
    External,
    Frame,
    FunctionRef,
    Items,
    Literal,
    Object,
    Option,
    Partial,
    Table,
    Unknown,
    Value,
    choices,
    literal,
    members,
)
from clipcheck.knowledge import CallRule, ClassRule
from clipcheck.naming import words

MEMBER = "clip-member"  # the role of an object that clips where a trainer holds it
ADDED = "(callbacks)"  # where a trainer keeps those that it was given later on
DEPTH = 4


class Members(Steps):
    """Looks through the callbacks of a trainer, and makes a model of what it was handed as one."""

    # -- callbacks -----------------------------------------------------------------------------------

    def add_callbacks(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`learner.add_cb(GradientClip())`: what a trainer holds from then on, too."""
        added = given.get(rule.slot("callbacks")) or self.unknown(frame, call)
        for choice in choices(owner) if owner is not None else ():
            if isinstance(choice, Object):
                known = choice.attributes.get(ADDED)
                held = known.members if isinstance(known, Items) else ()
                choice.attributes[ADDED] = Items((*held, added))
        return owner if owner is not None else Literal(None)

    def callbacks_of(self, trainer: Object, beside: Value | None = None) -> Value | None:
        """All that a trainer was handed as its callbacks, now, later, or with the call that sets it going."""
        made = Arguments(trainer.arguments, trainer.keywords)
        slot = trainer.rule.callbacks if trainer.rule is not None else None
        unseen = [value for name, value in made.keywords if name is None and not complete(value)]
        found = [made.get(slot) or trainer.attributes.get(slot[0] if slot else ""), beside]
        known = [one for one in (*found, *unseen, trainer.attributes.get(ADDED)) if one is not None]
        return Items(tuple(known)) if known else None

    def clip_members(self, value: Value | None, depth: int = DEPTH) -> tuple[list[Value], str]:
        """The objects that clip in what a trainer holds, and why others in there may clip as well ("": none may)."""
        if value is None:
            return [], ""
        found: list[Value] = []
        doubts: list[str] = []
        alternatives = choices(value)
        for choice in alternatives:
            inside, doubt = self._clip_members(choice, depth)
            found += inside
            doubts.append(doubt or ("" if inside else "-"))
        reason = next((doubt for doubt in doubts if doubt not in ("", "-")), "")
        if not reason and found and "-" in doubts:
            reason = "whether something that clips is among the callbacks is not known"
        return found, reason

    def _clip_members(self, choice: Value, depth: int) -> tuple[list[Value], str]:
        rule = self._rule_of(choice)
        if rule is not None and rule.role == MEMBER:
            return [choice], ""
        if isinstance(choice, (Items, Elements, Table)):
            parts = [self.clip_members(part, depth - 1) for part in members(choice)] if depth else []
            reason = next((doubt for _, doubt in parts if doubt), "")
            if isinstance(choice, Table) and choice.partial:
                reason = reason or "not all that it is handed is known"
            return [one for inside, _ in parts for one in inside], reason
        named = isinstance(choice, Literal) and (depth < DEPTH - 1 or not isinstance(choice.value, str))
        if named:  # nothing, or what a callback is called
            return [], ""
        return [], self._may_clip(choice)

    def _rule_of(self, value: Value) -> ClassRule | None:
        if isinstance(value, Partial):
            value = value.function
        if isinstance(value, Object):
            return value.rule
        if isinstance(value, External):  # the class, in place of an instance
            return self.knowledge.class_rule(value.name)
        return None

    def _may_clip(self, value: Value) -> str:
        """Why one callback may clip, "" where it surely does not: a library's that is known, or the project's own."""
        if isinstance(value, Partial):
            return self._may_clip(value.function)
        cls = value.cls if isinstance(value, Object) else value if isinstance(value, ClassRef) else None
        if cls is not None:
            name = cls.definition.name
            if any(self.clipping_methods(cls)):
                return f"{name} clips by its name"
            return f"{name} comes from elsewhere" if self.has_unknown_base(cls) else ""
        if isinstance(value, FunctionRef):
            clips = changes_gradients(value.definition) or self.project.clips(value.definition)
            return f"{value.definition.name} clips by its name" if clips else ""
        text = value.external if isinstance(value, Object) else _name_of(value)
        if self.knowledge.is_harmless(text) and not self.knowledge.hinted(
            "clip-call", text.rpartition(".")[2]
        ):
            return ""
        return "what is among the callbacks is not known"

    def clipping_methods(self, cls: ClassRef) -> Iterator[str]:
        """The methods of a class, and of its bases, that clip: by what they call, or by hand."""
        for ancestor in self.ancestors(cls):
            for name, value in getattr(ancestor, "frame", Frame("", "", None)).locals.items():
                if isinstance(value, FunctionRef) and (
                    self.project.clips(value.definition) or changes_gradients(value.definition)
                ):
                    yield name

    # -- models --------------------------------------------------------------------------------------

    def model_handed(self, trainer: Object, value: Value) -> Value:
        """The model that a trainer makes of what it is handed: a class, a function that builds it, or a name."""
        if isinstance(value, Partial):
            return self.model_handed(trainer, value.function)
        key = f"{trainer.key}.model"
        if isinstance(value, ClassRef):
            following, self.following = self.following, False
            try:
                return self.make(value, key, trainer.site, self._passed_on(trainer))
            finally:
                self.following = following
        if isinstance(value, FunctionRef):
            return self.value_of(value, Arguments(), None)
        if isinstance(value, External):
            return self.known_by_name(value.name, value.name.rpartition(".")[2], key, trainer.site)
        if isinstance(value, (Literal, Option)) and isinstance(name := literal(value), str):
            return self.known_by_name(name, name, key, trainer.site)
        return value

    def _passed_on(self, trainer: Object) -> Arguments:
        """The arguments of a trainer that go on to the class of its model: `module__hidden=10`."""
        prefix = trainer.rule.model_arguments if trainer.rule is not None else ""
        given = tuple(
            (name.removeprefix(prefix), value)
            for name, value in trainer.keywords
            if prefix and name is not None and name.startswith(prefix)
        )
        return Arguments((), given)

    def known_by_name(self, name: str, last: str, key: str, site: Site) -> Object:
        """A model that is known by a name alone: what it is, as far as its class is known or its words tell."""
        rule = self.knowledge.class_rule(name)
        if rule is None or rule.role != "module":
            hinted = self.knowledge.hinted
            families = {"recurrent-class": "recurrent", "attention-class": "transformer"}
            family = next((one for hint, one in families.items() if hinted(hint, words(last))), "")
            rule = ClassRule("module", family)
        key = f"{key}.{last}"
        made = self.sightings.objects.setdefault(key, Object(key, site, None, name, rule))
        made.named = True
        return made


def complete(value: Value) -> bool:
    """Whether all entries of what `**` spreads are known."""
    return isinstance(value, Table) and not value.partial and all(key for key, _ in value.entries)


def _name_of(value: Value) -> str:
    """The qualified name of a library's thing, or the expression that gave an unknown one."""
    if isinstance(value, External):
        return value.name
    return value.key.rpartition(":")[2] if isinstance(value, Unknown) else ""
