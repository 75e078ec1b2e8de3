"""Options: what the user of a program chooses on the command line, with the default of each."""

from __future__ import annotations

from clipcheck import facts
from clipcheck.flow.render import children, is_reference, last_identifier
from clipcheck.flow.settings import Settings
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
    Unknown,
    Value,
    Written,
    choices,
    derived,
)
from clipcheck.knowledge import CallRule

_IMPLIED: dict[object, bool] = {"store_true": False, "store_false": True}


class Options(Settings):
    """Reads the parsers of command lines, and the defaults of fields, flags and parameters."""

    # -- parsers ---------------------------------------------------------------------------------------

    def declare_option(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`parser.add_argument("--clip", default=1.0)`: an option with its default."""
        option = self._option(frame, given, call.row)
        if option is not None and isinstance(owner, Object):
            owner.attributes[f"--{option.name}"] = self.declared(option)
        return Literal(None)

    def _option(self, frame: Frame, given: Arguments, row: int) -> Option | None:
        """The option that a declaration's arguments describe, by the rules that parsers share."""
        flags = [value for value in given.positional if isinstance(value, Literal)]
        name = _destination(given, [str(flag.value) for flag in flags])
        if not name:
            return None
        default = given.get(("default", 99))
        if default is not None:
            return Option(name, default, (frame.filename, row), written_as(name, default))
        required = given.get(("required", 99))
        if (
            not flags
            or not str(flags[0].value).startswith("-")
            or (isinstance(required, Literal) and required.value)
        ):
            return Option(name, None, (frame.filename, row))
        action, flag = given.get(("action", 99)), given.get(("is_flag", 99))
        implied = _IMPLIED.get(action.value) if isinstance(action, Literal) else None
        if isinstance(flag, Literal) and flag.value:
            implied = False
        place = (frame.filename, row)
        last = flags[-1].source
        written = Written(name, implied, place)
        if last is not None and last.end >= 0:
            written = Written(name, implied, (frame.filename, last.row), last.end, last.end, "default")
        return Option(name, Literal(implied, place), place, written)

    def parse_options(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        if not isinstance(owner, Object):
            return self.unknown(frame, call)
        parsed = Object(f"{owner.key}:options", owner.site, None, "options", None)
        known = self.sightings.objects.setdefault(parsed.key, parsed)
        for holder in (*self._parents(owner), owner):
            for name, value in holder.attributes.items():
                if name.startswith("--"):
                    known.attributes[name[2:]] = value
        if isinstance(call.function, facts.Attribute) and "known" in call.function.attr:
            return Items((known, Elements(Unknown("rest"))))
        return known

    def _parents(self, parser: Object) -> list[Object]:
        """`ArgumentParser(parents=[...])`: the parsers whose options this one has as well."""
        given = Arguments((), parser.keywords).get(("parents", 99))
        members = given.members if isinstance(given, Items) else ()
        return [member for member in members if isinstance(member, Object)]

    def set_defaults(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`parser.set_defaults(clip=1.0)`: other defaults; unknown ones leave every default in doubt."""
        if not isinstance(owner, Object):
            return Literal(None)
        for name, value in given.keywords:
            if name is not None:
                self._set_default(frame, owner, name, value, call)
            elif (table := self.table_of(value)) is not None:
                for key, entry in table.entries:
                    self._set_default(frame, owner, key, entry, call)
            elif not self.unusual():
                for key, option in owner.attributes.items():
                    if isinstance(option, Option):
                        owner.attributes[key] = derived(option, None)
        return Literal(None)

    def _set_default(self, frame: Frame, parser: Object, name: str, value: Value, call: facts.Call) -> None:
        place = value.place if isinstance(value, Option) else (frame.filename, call.row)
        parser.attributes[f"--{name}"] = Option(name, value, place, written_as(name, value))

    def declare_options(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`parser.add_arguments(Config, dest="config")`: a class whose fields are the options."""
        cls, name = given.get(("dataclass", 0)), given.get(("dest", 1))
        if isinstance(owner, Object) and isinstance(cls, ClassRef) and isinstance(name, Literal):
            owner.attributes[f"--{name.value}"] = self.instantiate(frame, cls, Arguments(), call)
        return Literal(None)

    def parse_dataclasses(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`HfArgumentParser((A, B)).parse_args_into_dataclasses()`: an instance of each class."""
        if not isinstance(owner, Object):
            return self.unknown(frame, call)
        classes = Arguments(owner.arguments, owner.keywords).get(("dataclass_types", 0))
        listed = classes.members if isinstance(classes, Items) else (classes,) if classes is not None else ()
        made = [self._filled(frame, cls, call) for cls in listed]
        return Items(tuple(made))

    def make_settings(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`tyro.cli(Config)`, `CLI(main)`: a class filled, or a function called, from the command line."""
        source = given.all()[0] if given.all() else None
        if isinstance(source, FunctionRef):
            return self.follow(source, Arguments(), call)
        return self._filled(frame, source, call) if source is not None else self.unknown(frame, call)

    def _filled(self, frame: Frame, cls: Value, call: facts.Call) -> Value:
        """An instance with every field at its default; a class of a library is made as by a call."""
        if isinstance(cls, ClassRef):
            key = f"{frame.filename}:{call.span.row}.{call.span.column}:{cls.definition.name}"
            return self.make(cls, key, self.site(), Arguments(), call)
        if isinstance(cls, External) and (library := self.knowledge.class_rule(cls.name)) is not None:
            key = f"{frame.filename}:{call.span.row}.{call.span.column}:{cls.name}"
            made = self.sightings.objects.setdefault(key, Object(key, self.site(), None, cls.name, library))
            self.made(made, call)
            return made
        return cls if isinstance(cls, Object) else self.unknown(frame, call, "settings")

    # -- parameters, flags, fields -----------------------------------------------------------------------

    def _missing(self, frame: Frame, function: FunctionRef, parameter: facts.Parameter) -> Value:
        if parameter.default is None and function.definition.decorators:
            for rule, given in self.decorations(function):
                if rule.event == "declare-parameter":
                    option = self._option(function.frame, given, function.definition.row)
                    if option is not None and option.name.lower() == parameter.name:
                        return self.declared(option)
        found = super()._missing(frame, function, parameter)
        if isinstance(found, Option) and not found.name:  # `clip: float = typer.Option(1.0)`
            named = written_as(parameter.name, found.default)
            return self.declared(Option(parameter.name, found.default, found.place, named))
        return found

    def declare_parameter(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """The decorator itself: what it declares is looked up where the function is entered."""
        return self.unknown(frame, call)

    def declare_flag(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`flags.DEFINE_float("clip", 1.0, "...")`: a flag, and the object that holds its value."""
        name, default = given.get(("name", 0)), given.get(("default", 1))
        if not isinstance(name, Literal):
            return self.unknown(frame, call)
        text = str(name.value)
        option = Option(text, default, (frame.filename, call.row), written_as(text, default))
        self.flags[text] = self.declared(option)
        holder = Object(f"{frame.filename}:flag {text}", self.site(), None, "flag", None)
        holder.attributes.update({"value": option, "default": option})
        return holder

    def attribute(self, frame: Frame, owner: Value, name: str, expression: facts.Expression) -> Value:
        found = super().attribute(frame, owner, name, expression)
        flag = self.flags.get(name) if self.flags else None
        if flag is not None and getattr(owner, "name", "") in self.knowledge.flags:
            return flag
        return found

    def field_default(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`field(default=1.0)`, `Field(1.0)`, `attr.ib(default=1.0)`: the default is what the field is worth."""
        default, factory = given.get(rule.slot("default")), given.get(rule.slot("factory"))
        if default is None and isinstance(factory, ClassRef):
            return self.instantiate(frame, factory, Arguments(), call)
        if default is None and isinstance(factory, FunctionRef):
            return self.follow(factory, Arguments(), call)
        if isinstance(default, (Literal, Option)):
            return Option("", default, (frame.filename, call.row), written_as("", default))
        return default if default is not None else self.unknown(frame, call, "field")

    def read_environment(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`os.environ.get("CLIP", "1.0")`: an option of the program's surroundings."""
        name = given.get(("key", 0))
        default = given.get(("default", 1)) or Literal(None, (frame.filename, call.row))
        if not isinstance(name, Literal):
            return self.unknown(frame, call)
        text = str(name.value)
        return Option(text, default, (frame.filename, call.row), written_as(text, default))

    # -- the settings behind a test ------------------------------------------------------------------------

    def settings_in(self, frame: Frame, expression: facts.Expression, value: Value) -> tuple[Written, ...]:
        """The defaults that a test hangs on: of the options and the named constants that it reads."""
        found: list[Written] = []
        if isinstance(value, Option) and value.written is not None:
            found.append(value.written)
        waiting = [expression]
        while waiting:
            node = waiting.pop()
            looked_up = _looked_up(node)
            if looked_up or is_reference(node):
                name = looked_up or last_identifier(node)
                for choice in choices(self.evaluate(frame, node)):
                    written = written_as(name, choice)
                    if written is not None:
                        found.append(written)
            else:
                waiting += children(node)
        places = {(one.place, one.column): one for one in reversed(found)}
        return tuple(reversed(places.values()))


def written_as(name: str, value: Value | None) -> Written | None:
    """Where the value of a setting is written down; None where that is not known."""
    if isinstance(value, Option):
        return value.written or written_as(value.name or name, value.default)
    if not isinstance(value, Literal) or not value.place[0]:
        return None
    source = value.source
    if source is None or source.column < 0:
        return Written(name, value.value, value.place)
    return Written(name, value.value, value.place, source.column, source.end)


def _looked_up(node: facts.Expression) -> str:
    """The name of the setting that `config["clip"]`, `config.get("clip", 1.0)` or `getattr(args, "clip", 1.0)` asks for."""
    if isinstance(node, facts.Subscript) and isinstance(node.index, facts.Constant):
        return node.index.value if isinstance(node.index.value, str) else ""
    if not isinstance(node, facts.Call) or last_identifier(node.function) not in ("get", "getattr"):
        return ""
    names = [part.value for part in node.arguments[:2] if isinstance(part, facts.Constant)]
    return names[0] if names and isinstance(names[0], str) else ""


def _destination(given: Arguments, flags: list[str]) -> str:
    """The name that an option is read by: `dest`, a flag without dashes, or the first long one."""
    named = given.get(("dest", 99))
    if isinstance(named, Literal):
        return str(named.value)
    plain = [flag for flag in flags if not flag.startswith("-")]
    long = [flag for flag in flags if flag.startswith("--")]
    chosen = (plain or long or flags or [""])[0].partition("/")[0]  # `--clip/--no-clip`
    return chosen.lstrip("-").replace("-", "_")
