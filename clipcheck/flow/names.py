"""Names and attributes: what a name in some frame, or an attribute of some value, is worth."""

from __future__ import annotations

import builtins
from itertools import chain

from clipcheck.facts import Expression
from clipcheck.flow.iterators import Iterators
from clipcheck.flow.render import render
from clipcheck.flow.values import (
    Bound,
    ClassRef,
    Elements,
    External,
    Frame,
    FunctionRef,
    Gradient,
    Items,
    Literal,
    ModuleRef,
    Object,
    Option,
    Parameters,
    Pending,
    Several,
    Starred,
    Super,
    Table,
    Tensor,
    Unknown,
    Value,
    choices,
    literal,
    reread,
    several,
)
from clipcheck.modules import segments

_BUILTINS = frozenset(dir(builtins))


class Names(Iterators):
    """Name and attribute lookup over frames, modules, classes and instances."""

    def lookup(self, frame: Frame, name: str, expression: Expression) -> Value:
        """The value of a name in a frame: locals, enclosing functions, module globals, builtins."""
        found = frame.find(name) or (frame.globals if name in frame.globals.locals else None)
        if found is not None:
            return self.settled(found, name)
        if name in _BUILTINS:
            return External(f"builtins.{name}")
        if name == "__file__":
            return Literal(frame.filename)
        starred = self._starred(frame.globals, name)
        return starred if starred is not None else Unknown(f"{frame.filename}:{name}")

    def settled(self, frame: Frame, name: str) -> Value:
        """The value of a name that is bound in a frame; an import is followed when first asked for."""
        value = frame.locals[name]
        if not isinstance(value, (Pending, Several)):
            return value
        if any(isinstance(choice, Pending) for choice in choices(value)):
            frame.locals[name] = Unknown(f"{frame.filename}:{name}")  # imports may go in circles
            value = several([self._imported(choice) for choice in choices(value)])
            frame.locals[name] = value
        return value

    def _imported(self, value: Value) -> Value:
        """What an import brings; any other value as it is."""
        if not isinstance(value, Pending):
            return value
        found = self.module_member(value.filename, value.name)
        if found is None and value.submodule is not None:
            return ModuleRef(value.submodule)
        if found is None:
            other = self.project.elsewhere(value.filename, segments(value.filename)[-1], value.name)
            found = self.module_member(other, value.name) if other is not None else None
        return found if found is not None else Unknown(f"{value.filename}:{value.name}")

    def _starred(self, module: Frame, name: str) -> Value | None:
        """A name that a star import of an unread library may have brought: unknown, but one thing.

        Of several such imports it is from the one in which it is known, if any.
        """
        starred = module.starred
        if starred is None or not starred.holds(module, self.star_imports):
            starred = module.starred = Starred(module, self.star_imports)
        if not starred.libraries:
            return None
        if name not in starred.names:
            found = [f"{library}.{name}" for library in starred.libraries]
            known = self.knowledge
            exact = (one for one in found if known.own_name(one) in known.classes or known.call(one))
            alike = (one for one in found if known.class_rule(one))  # by a pattern: `keras.layers.[A-Z]*`
            starred.names[name] = External(next(chain(exact, alike), found[0]))
        return starred.names[name]

    def module_member(self, filename: str, name: str) -> Value | None:
        """What a module of the project calls `name`, or its submodule of that name."""
        frame = self.module_frame(filename)
        if frame is not None and name in frame.locals:
            return self.settled(frame, name)
        if filename.endswith("__init__.py"):
            submodule = self.project.module(filename, name, 1)
            if submodule is not None:
                return ModuleRef(submodule)
        return self._starred(frame, name) if frame is not None else None

    def attribute(self, frame: Frame, owner: Value, name: str, expression: Expression) -> Value:
        """The value of `owner.name`."""
        if isinstance(owner, Several):
            having = [one for one in owner.choices if not _lacks(one, name)] or owner.choices
            return several(self.attribute(frame, one, name, expression) for one in having)
        if isinstance(owner, External):
            return External(f"{owner.name}.{name}")
        if isinstance(owner, ModuleRef) and name == "__dict__":
            return self._namespace(owner)
        if isinstance(owner, ModuleRef):
            found = self.module_member(owner.filename, name)
            return found if found is not None else self.unknown(frame, expression, render(expression))
        if isinstance(owner, Object):
            return self._object_attribute(owner, name)
        if isinstance(owner, Super):
            return self._super_attribute(owner, name)
        if isinstance(owner, ClassRef):
            found = self.class_member(owner, name)
            if isinstance(found, FunctionRef) and _is_class_method(found):
                return found.bound_to(owner)
            return found if found is not None else Bound(owner, name)
        if isinstance(owner, Table):
            entry = owner.get(name)
            return entry if entry is not None else Bound(owner, name)
        if isinstance(owner, Parameters) and name in ("grad", "data", "main_grad"):
            grad = owner.gradient or name != "data"
            return Parameters(owner.models, owner.part, owner.holder, owner.single, owner.named, grad)
        if isinstance(owner, Unknown):
            if name in self.knowledge.passthrough_attributes:
                return owner
            if name == "grad":
                return Parameters(frozenset({owner.key}), single=True, gradient=True)
            number = owner.holds and self.knowledge.hinted("tensor-size", name)
            return Unknown(f"{owner.key}.{name}", frozenset() if number else owner.holds)
        return Bound(owner, name)

    def _namespace(self, module: ModuleRef) -> Table:
        """`module.__dict__`: its functions and classes by name, as in `models.__dict__[args.arch]()`."""
        frame = self.module_frame(module.filename)
        names = [name for name in frame.locals if not name.startswith("_")] if frame is not None else []
        values = {name: self.settled(frame, name) for name in names} if frame is not None else {}
        callables = (ClassRef, FunctionRef)
        return Table(tuple((name, value) for name, value in values.items() if isinstance(value, callables)))

    def _object_attribute(self, owner: Object, name: str) -> Value:
        if name in owner.attributes:
            return owner.attributes[name]
        if name in self.knowledge.passthrough_attributes:
            return owner
        if owner.cls is not None:
            member = self.class_member(owner.cls, name)
            if isinstance(member, FunctionRef):
                return self._bound(member, owner)
            if member is not None:
                return member
        held = owner.attributes.get("#0")
        if owner.cls is None and isinstance(held, Table) and held.get(name) is not None:
            return held.get(name) or Bound(owner, name)  # `nn.ModuleDict({"h": ...}).h`
        if name == "param_groups" and owner.role == "optimizer":
            group = Table((("params", self.parameters_of_optimizer(owner)),))
            return Elements(group)
        if (
            owner.cls is not None
            and owner.role in ("", "module")
            and not self._is_framework_method(owner, name)
        ):
            value = Unknown(f"{owner.key}.{name}")
            if self.has_unknown_base(owner.cls):
                return Bound(owner, name)
            return value
        return Bound(owner, name)

    def _super_attribute(self, owner: Super, name: str) -> Value:
        receiver = owner.receiver
        if isinstance(receiver, Object) and receiver.cls is not None:
            member = self.class_member(receiver.cls, name, after=owner.cls)
            if isinstance(member, FunctionRef):
                return self._bound(member, receiver)
            if member is not None:
                return member
        return Bound(receiver, name)

    def _is_framework_method(self, owner: Object, name: str) -> bool:
        return (
            self.knowledge.method(owner.role, name) is not None
            or name in self.knowledge.passthrough_methods
            or name
            in ("parameters", "named_parameters", "modules", "children", "state_dict", "register_buffer")
        )

    def _bound(self, function: FunctionRef, receiver: Object) -> Value:
        decorators = {render(decorator).rpartition(".")[2] for decorator in function.definition.decorators}
        if "staticmethod" in decorators:
            return function
        bound: Value = receiver if "classmethod" not in decorators else receiver.cls or receiver
        method = function.bound_to(bound)
        if decorators & {"property", "cached_property"}:
            return self.property_value(method)
        return method

    def property_value(self, method: FunctionRef) -> Value:
        raise NotImplementedError

    def parameters_of_optimizer(self, optimizer: Object) -> Value:
        raise NotImplementedError

    # -- classes -------------------------------------------------------------------------------------

    def bases(self, cls: ClassRef) -> list[Value]:
        """The base classes, as values; one of the class's own name is what had that name before."""
        found = [
            choice
            for base in cls.definition.bases
            for choice in choices(self.evaluate(cls.frame.parent or cls.frame, base))
        ]
        before = cls.frame.shadowed
        own = [isinstance(one, ClassRef) and one.definition is cls.definition for one in found]
        if before is None or not any(own):
            return found
        kept = [one for one, itself in zip(found, own, strict=True) if not itself]
        return [*kept, *(self._imported(one) for one in choices(before))]

    def ancestors(self, cls: ClassRef) -> list[Value]:
        """The class and all its bases, nearest first; a class that inherits from itself ends the chain."""
        known = self.lineage.get(id(cls.definition))
        if known is not None:
            return known
        out: list[Value] = []
        seen: set[int] = set()
        queue: list[Value] = [cls]
        while queue and len(out) < 40:
            current = queue.pop(0)
            out.append(current)
            if isinstance(current, ClassRef):
                if id(current.definition) in seen:
                    out.pop()
                    continue
                seen.add(id(current.definition))
                queue = self.bases(current) + queue
        if not self.loading:  # names of a module that is still being read may change
            self.lineage[id(cls.definition)] = out
        return out

    def class_member(self, cls: ClassRef, name: str, after: ClassRef | None = None) -> Value | None:
        """A name of a class body or of its bases' (`after`: only those behind that class, for super())."""
        reached = after is None
        for ancestor in self.ancestors(cls):
            if not isinstance(ancestor, ClassRef):
                continue
            if reached and name in ancestor.frame.locals:
                return ancestor.frame.locals[name]
            if after is not None and ancestor.definition is after.definition:
                reached = True
        return None

    def framework_base(self, cls: ClassRef) -> str:
        """The qualified name of the first base class outside the project that is known, or ""."""
        externals = [base.name for base in self.ancestors(cls) if isinstance(base, External)]
        known = [name for name in externals if self.knowledge.class_rule(name) is not None]
        return (known or externals or [""])[0]

    def has_unknown_base(self, cls: ClassRef) -> bool:
        """Whether a base class lies outside what is known, so that methods may come from there."""
        for base in self.ancestors(cls):
            if isinstance(base, ClassRef):
                continue
            if not isinstance(base, External):
                return True
            known = base.name.startswith("builtins.") or self.knowledge.is_harmless(base.name)
            if not known and self.knowledge.class_rule(base.name) is None:
                return True
        return False

    # -- sequences -----------------------------------------------------------------------------------

    def member_at(self, frame: Frame, value: Value, index: Value, expression: Expression) -> Value:
        """The value of `value[index]`."""
        out: list[Value] = []
        for choice in choices(value):
            if isinstance(choice, Items) and isinstance(index, Literal) and isinstance(index.value, int):
                inside = -len(choice.members) <= index.value < len(choice.members)
                out.append(choice.members[index.value] if inside else self.unknown(frame, expression))
            elif isinstance(choice, Items) and choice.members:
                out.extend(choice.members)
            elif isinstance(choice, Elements):
                out.append(_kept_under(choice.member, index))
            elif isinstance(choice, Table):
                out.append(self._entry(choice, index) or self.unknown(frame, expression, render(expression)))
            elif isinstance(choice, Object):
                entry = self._entry_of_object(choice, index)
                out.append(entry if entry is not None else Unknown(f"{choice.key}[{index}]"))
            elif isinstance(choice, Parameters):
                if isinstance(index, Literal) and index.value == "params":
                    out.append(choice)
                else:
                    out.append(
                        Parameters(choice.models, True, choice.holder, True, choice.named, choice.gradient)
                    )
            elif isinstance(choice, (Gradient, Tensor)):
                out.append(choice)
            elif isinstance(choice, Unknown):
                label = index.value if isinstance(index, Literal) else "?"
                out.append(Unknown(f"{choice.key}[{label}]", choice.holds))
            elif isinstance(choice, External) and choice.name.endswith(".__dict__"):
                chosen = literal(index)
                name = chosen if isinstance(chosen, str) else "model"  # any of them: as evidence names it
                out.append(External(f"{choice.name.rpartition('.')[0]}.{name}"))
            elif isinstance(choice, (Option, Literal)):
                out.append(self.unknown(frame, expression))
        found = several(map(reread, out))  # which member it is, and who has read it, is not kept
        return found if out else self.unknown(frame, expression, render(expression))

    def _entry(self, table: Table, index: Value) -> Value | None:
        chosen = literal(index)
        if isinstance(index, Literal):
            return table.get(str(index.value))
        if isinstance(chosen, str) and (usual := table.get(chosen)) is not None:
            return usual  # an option: the entry that it names by default
        return several(value for _, value in table.entries) if table.entries else None

    def _entry_of_object(self, owner: Object, index: Value) -> Value | None:
        """An entry of a container module, or an attribute by its name."""
        if isinstance(index, Literal) and str(index.value) in owner.attributes:
            return owner.attributes[str(index.value)]
        if isinstance(index, Literal) and isinstance(index.value, int):
            inside, listed = owner.attributes.get(f"#{index.value}"), owner.attributes.get("#0")
            if isinstance(inside, Object):  # `nn.Sequential(a, b)[0]`
                return inside
            if isinstance(listed, Items) and 0 <= index.value < len(listed.members):
                return listed.members[index.value]
            if index.value == 0 and owner.cls is None and is_one_model(owner):
                return owner  # `clip.load("ViT-B/32")[0]`
        held = [value for name, value in owner.attributes.items() if name.startswith("#")]
        found = [one for value in held if (one := self._held_under(value, index)) is not None]
        return several(found) if found else None

    def _held_under(self, held: Value, index: Value) -> Value | None:
        """What a container module has under a key, of one thing that it was handed: `nn.ModuleDict({"a": x})["a"]`."""
        if isinstance(held, Table):
            return self._entry(held, index)
        return _kept_under(held.member, index) if isinstance(held, Elements) else held


def _is_class_method(function: FunctionRef) -> bool:
    return any(render(decorator) == "classmethod" for decorator in function.definition.decorators)


def _lacks(value: Value, name: str) -> bool:
    """Whether a constant has no such attribute: where the code asks for it, the value is another one."""
    constant = literal(value)
    return not isinstance(constant, Value) and not hasattr(constant, name)


def _kept_under(member: Value, index: Value) -> Value:
    """What a sequence gives for an index; of a dict comprehension, which is read as pairs, what the key stands for."""
    if not isinstance(member, Items) or len(member.members) != 2:
        return member
    key, kept = member.members
    asked = literal(index)
    named = isinstance(asked, str) or all(isinstance(literal(one), str) for one in choices(key))
    return kept if named and not isinstance(asked, int) else member


def is_one_model(value: Value) -> bool:
    """Whether a value is a model that cannot be unpacked: `model, report = Net.from_pretrained(path)` is handed more."""
    rule = value.rule if isinstance(value, Object) and value.role == "module" else None
    return rule is not None and rule.family != "container"
