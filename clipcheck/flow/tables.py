"""Tables and objects of settings: how they are made, merged, changed and asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clipcheck import facts
from clipcheck.findings import Site
from clipcheck.flow import paths, strings
from clipcheck.flow.events import Events
from clipcheck.flow.values import (
    Arguments,
    Bound,
    ClassRef,
    Elements,
    External,
    File,
    Frame,
    FunctionRef,
    Items,
    Literal,
    ModuleRef,
    Object,
    Option,
    Pending,
    Table,
    Unknown,
    Value,
    choices,
    derived,
    literal,
)
from clipcheck.knowledge import CallRule

_TAKE = ("get", "pop", "setdefault")
_FRAMEWORK = frozenset({"module", "optimizer", "scaler"})  # roles of objects that hold no settings
_DEFINED = (ClassRef, External, FunctionRef, ModuleRef, Pending)  # what a name stands for that nobody set


class Tables(Events):
    """Follows tables and objects of settings through the program."""

    def settings_at(self, importer: str, path: str) -> Value | None:
        """The settings in the file that `path` means where `importer` names it."""
        raise NotImplementedError

    # -- tables and objects ----------------------------------------------------------------------------

    def table_of(self, value: Value | None) -> Table | None:
        """The settings that a value holds, by name; None where it holds none that are known."""
        if isinstance(value, Table):
            return value
        if isinstance(value, ClassRef):
            value = self._of_class(
                value,
                f"{value.filename}:{value.definition.name}",
                Site(value.filename, value.definition.span),
            )
        if not isinstance(value, Object) or value.role in _FRAMEWORK:
            return None
        entries: dict[str, Value] = {}
        for ancestor in reversed(self.ancestors(value.cls) if value.cls is not None else []):
            if isinstance(ancestor, ClassRef):
                entries.update(ancestor.frame.locals)
        entries.update(value.attributes)
        held = (
            (name, entry)
            for name, entry in entries.items()
            if name.isidentifier() and not isinstance(entry, FunctionRef)
        )
        return Table(tuple(held))

    def as_settings(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`vars(args)`, `OmegaConf.create({...})`, `asdict(config)`: the same settings as a table."""
        source = given.positional[0] if given.positional else Table(())
        table = self.table_of(source)
        if table is None:
            return self.unknown(frame, call, "settings")
        return merged([table, Table(tuple((name, value) for name, value in given.keywords if name))])

    def own_names(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`locals()`, `vars()`: the parameters of the function and what it has bound so far; `vars(x)` is another's."""
        if given.positional:
            return self.as_settings(frame, rule, owner, given, call)
        found = tuple((name, value) for name, value in frame.locals.items() if name.isidentifier())
        return Table(tuple((name, value) for name, value in found if not isinstance(value, _DEFINED)))

    def merge_settings(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`OmegaConf.merge(a, b)`: the later ones win; one that is not known may change every default."""
        tables = [self.table_of(value) for value in given.positional]
        known = merged([table for table in tables if table is not None])
        return known if None not in tables else loosened(known)

    def no_settings(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        return Table(())

    def update_settings(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`cfg.merge_from_file(path)`, `cfg.update(more)`: an object of settings, changed in place."""
        if isinstance(owner, Object):
            before = Table(tuple((k, v) for k, v in owner.attributes.items() if k.isidentifier()))
            owner.attributes.update(self._updated(frame, before, given).entries)
        return Literal(None)

    def _updated(self, frame: Frame, before: Table, given: Arguments) -> Table:
        """A table after `update(...)`: with what is given, and in doubt where that is not known."""
        out = before
        for value in (*given.positional, *(value for name, value in given.keywords if name is None)):
            if isinstance(value, Option) and not literal(value.default):
                continue  # the name of a file that nobody gives by default
            path = paths.text_of(value)
            found = self.settings_at(frame.filename, path) if path else None
            more = found if found is not None else self.table_of(value)
            if isinstance(more, Table):
                out = merged([out, more])
            elif not self.unusual():
                out = loosened(out)
        return merged([out, Table(tuple((name, value) for name, value in given.keywords if name))])

    def unusual(self) -> bool:
        """Whether the statement runs only where some option differs from its default."""
        return bool(self.worlds) and all(world.unusual for world in self.worlds)

    def made(self, made: Object, call: facts.Call | None = None) -> None:
        super().made(made, call)
        if made.role == "settings":
            for table in _tables((*made.arguments, *(v for name, v in made.keywords if name is None))):
                made.attributes.update(table.entries)
            made.attributes.update({name: value for name, value in made.keywords if name})

    def _fields(self, cls: ClassRef, made: Object, given: Arguments) -> None:
        """`Config(**settings)`: what is not known may be any of the fields."""
        super()._fields(cls, made, given)
        for value in (value for name, value in given.keywords if name is None):
            table = self.table_of(value)
            if table is None:
                table = loosened(self.table_of(made) or Table(()))
            made.attributes.update(table.entries)

    def in_doubt(self, name: str, value: Value) -> Value:
        """The default of a parameter that `**settings` may give as well: of a clip it is not sure."""
        return _in_doubt(name, value) if self.knowledge.hinted("clip-option", name) else value

    def member_at(self, frame: Frame, value: Value, index: Value, expression: facts.Expression) -> Value:
        """`config["clip"]` of a class of the project that says itself what that is."""
        if isinstance(value, Object) and value.cls is not None and value.role not in _FRAMEWORK:
            known = isinstance(index, Literal) and str(index.value) in value.attributes
            method = None if known else self.class_member(value.cls, "__getitem__")
            if isinstance(method, FunctionRef) and paths.text_of(index) is not None:
                return self.value_of(method.bound_to(value), Arguments((index,)), None)
        return super().member_at(frame, value, index, expression)

    # -- attributes and methods --------------------------------------------------------------------------

    def attribute(self, frame: Frame, owner: Value, name: str, expression: facts.Expression) -> Value:
        found = super().attribute(frame, owner, name, expression)
        if isinstance(found, (Unknown, Bound)):
            known = self._held(owner, name)
            if known is not None:
                return known
        return found

    def set_up(self, owner: Object, name: str) -> Value | None:
        raise NotImplementedError

    def _held(self, owner: Value, name: str) -> Value | None:
        """An attribute that no statement assigns: part of a path, or a setting handed to the constructor."""
        if isinstance(owner, (Literal, Option)):
            return paths.attribute_of(owner, name)
        if not isinstance(owner, Object) or owner.role in _FRAMEWORK:
            return None
        if name == "__dict__":
            return self.table_of(owner)
        if owner.cls is None:
            return None
        made = self.set_up(owner, name)
        if made is not None:
            return made
        # `class Config: def __init__(self, **kwargs): for name, value in kwargs.items(): setattr(...)`
        constructor = self.class_member(owner.cls, "__init__")
        if not isinstance(constructor, FunctionRef):
            return None
        named = {parameter.name for parameter in constructor.definition.parameters}
        takes_all = any(p.kind == "double-star" for p in constructor.definition.parameters)
        for keyword, value in owner.keywords if takes_all else ():
            if keyword == name and keyword not in named:
                return value
        if "locals" in constructor.definition.calls and name in named:  # `save_arguments(locals())`
            return self._argument_kept(owner, constructor, name)
        tables = _tables((*owner.arguments, *(v for key, v in owner.keywords if key is None)))
        return next((entry for table in tables if (entry := table.get(name)) is not None), None)

    def _argument_kept(self, owner: Object, constructor: FunctionRef, name: str) -> Value | None:
        """What a constructor was handed for a parameter, or the default of that."""
        parameters = constructor.definition.parameters[1:]
        place = next(number for number, one in enumerate(parameters) if one.name == name)
        given = Arguments(owner.arguments, owner.keywords).get((name, place))
        default = parameters[place].default
        return given if given is not None or default is None else self.evaluate(constructor.frame, default)

    def _call_method(self, frame: Frame, function: Bound, given: Arguments, call: facts.Call) -> Value:
        found = self._settings_method(frame, function.owner, function.name, given, call)
        return found if found is not None else super()._call_method(frame, function, given, call)

    def _settings_method(
        self, frame: Frame, owner: Value, name: str, given: Arguments, call: facts.Call
    ) -> Value | None:
        """A method of a table, an object of settings, a path or a file; None for any other."""
        if isinstance(owner, (File, Literal, Option)):
            found = paths.method_of(owner, name, given.positional)
            return found if found is not None else strings.method_of(owner, name, given)
        if isinstance(owner, Table):
            if name == "update":
                self._update_table(frame, owner, given, call)
                return Literal(None)
            return owner if name == "copy" else None
        if isinstance(owner, Unknown) and name in _TAKE:
            return self._perhaps(frame, given, call)
        if not isinstance(owner, Object) or owner.role in _FRAMEWORK:
            return None
        if name in _TAKE:
            key = given.positional[0] if given.positional else None
            held = owner.attributes.get(str(key.value)) if isinstance(key, Literal) else None
            if held is not None:
                return held
            return given.positional[1] if len(given.positional) > 1 else None
        if name in ("items", "keys", "values") and (table := self.table_of(owner)) is not None:
            return self._of_table(frame, table, name, given, call)
        return None

    def _update_table(self, frame: Frame, owner: Table, given: Arguments, call: facts.Call) -> None:
        """`config.update(more)` changes what the receiver's name stands for."""
        target = call.function.value if isinstance(call.function, facts.Attribute) else None
        after = self._updated(frame, owner, given)
        if isinstance(target, facts.Attribute) and target.attr == "__dict__":
            for holder in choices(self.evaluate(frame, target.value)):
                if isinstance(holder, Object):
                    holder.attributes.update(after.entries)
        elif target is not None:
            self.assign(frame, target, after)

    def _perhaps(self, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
        """`config.get("clip", 1.0)` of settings nobody has seen: where this turns clipping on, it is on.

        The other way round says nothing: the setting may well stand in the file that was not seen.
        """
        if len(given.positional) != 2 or not isinstance(given.positional[0], Literal):
            return None
        default = given.positional[1]
        if not isinstance(default, Literal) or not default.value or isinstance(default.value, str):
            return None
        return Option(str(given.positional[0].value), default, (frame.filename, call.row))

    def library_result(self, frame: Frame, name: str, given: Arguments, call: facts.Call) -> Value:
        found = paths.call_of(name, given.positional)
        return found if found is not None else super().library_result(frame, name, given, call)


def _tables(values: Iterable[Value]) -> Iterator[Table]:
    return (value for value in values if isinstance(value, Table))


def merged(tables: Iterable[Table]) -> Table:
    """Several tables as one: later entries win, tables inside are merged in turn."""
    out: dict[str, Value] = {}
    for table in tables:
        for name, value in table.entries:
            before = out.get(name)
            both = isinstance(before, Table) and isinstance(value, Table)
            out[name] = merged([before, value]) if both else value  # type: ignore[list-item]
    return Table(tuple(out.items()))


def loosened(table: Table) -> Table:
    """The same settings where something unknown may have changed each: no default is sure."""
    return Table(tuple((name, _in_doubt(name, value)) for name, value in table.entries))


def _in_doubt(name: str, value: Value) -> Value:
    if isinstance(value, Table):
        return loosened(value)
    if isinstance(value, Option):
        return derived(value, None)
    if isinstance(value, Literal):
        return Option(name, None, value.place)
    return Unknown(f"{name}?") if isinstance(value, (Items, Elements)) else value
