"""Settings that programs read from files of the project, alone or composed of several."""

from __future__ import annotations

import os
from collections.abc import Iterator

from clipcheck import facts
from clipcheck.findings import Site
from clipcheck.flow import paths
from clipcheck.flow.tables import Tables, merged
from clipcheck.flow.values import (
    Arguments,
    ClassRef,
    File,
    Frame,
    FunctionRef,
    Items,
    Literal,
    Object,
    Option,
    Table,
    Unknown,
    Value,
    Written,
)
from clipcheck.knowledge import CallRule, ClassRule
from clipcheck.settingsfiles import Setting

MAX_COMPOSED = 6  # files that a configuration is composed of, one inside the other
_REQUIRED = "???"  # OmegaConf's word for a value that must be given


class Settings(Tables):
    """Reads settings files, and the configurations composed of them."""

    # -- files ---------------------------------------------------------------------------------------

    def load_settings(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`yaml.safe_load(f)`, `OmegaConf.load(path)`: what the file says, each value an option."""
        values = given.all()
        source = values[0] if values else None
        path = source.path if isinstance(source, File) else paths.text_of(source)
        found = self.settings_at(frame.filename, path) if path else None
        return found if found is not None else self.unknown(frame, call, "settings")

    def settings_at(self, importer: str, path: str) -> Value | None:
        found = self._file(importer, path)
        return self._of_file(*found) if found is not None else None

    def _file(self, importer: str, path: str) -> tuple[str, Setting] | None:
        files = self.project.settings_files
        return files.of(importer, path) or (files.of(self.entry_file, path) if self.entry_file else None)

    def _of_file(self, filename: str, root: Setting) -> Value:
        return settled(self._entry_of_file(filename, "", root))

    def _entry_of_file(self, filename: str, name: str, setting: Setting) -> Value:
        place = (filename, setting.row)
        if setting.entries is not None:
            entries = [(key, self._entry_of_file(filename, key, value)) for key, value in setting.entries]
            return Table(tuple(entries))
        if setting.items is not None:
            members = [self._entry_of_file(filename, name, value) for value in setting.items[:64]]
            return Items(tuple(members))
        value = setting.value
        if isinstance(value, str) and "${" in value:
            return Unknown(value)
        if not setting.known:
            return Unknown(f"{filename}:{setting.row}")
        if value == _REQUIRED:
            return self.declared(Option(name, None, place))
        return self.declared(Option(name, Literal(value, place), place, Written(name, value, place)))

    def declared(self, option: Option) -> Option:
        """Remember an option that reads like one for clipping: a step may find that nobody uses it."""
        if self.knowledge.hinted("clip-option", option.name):
            self.sightings.options[option.place] = option
        return option

    # -- a configuration that a decorator hands over ---------------------------------------------------

    def _missing(self, frame: Frame, function: FunctionRef, parameter: facts.Parameter) -> Value:
        first = function.definition.parameters[0]
        if parameter is first and parameter.default is None and function.definition.decorators:
            for rule, given in self.decorations(function):
                if rule.event == "settings-file" and (found := self._composed(function, given)) is not None:
                    return found
        return super()._missing(frame, function, parameter)

    def decorations(self, function: FunctionRef) -> Iterator[tuple[CallRule, Arguments]]:
        """The decorators of a function that are calls known to the knowledge, with their arguments."""
        for decorator in function.definition.decorators:
            if not isinstance(decorator, facts.Call):
                continue
            called = self.evaluate(function.frame, decorator.function)
            rule = self._rule(function.frame, called, None, Arguments(), decorator)
            if rule is not None:
                keywords = [
                    (name, self.evaluate(function.frame, value)) for name, value in decorator.keywords
                ]
                positional = [self.evaluate(function.frame, value) for value in decorator.arguments]
                yield rule, Arguments(tuple(positional), tuple(keywords))

    def settings_file(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """The decorator itself: what it hands over is looked up where the function is entered."""
        return self.unknown(frame, call)

    def _composed(self, function: FunctionRef, given: Arguments) -> Value | None:
        """`@hydra.main(config_path=..., config_name=...)`: the configuration of that name."""
        folder, name = given.get(("config_path", 0)), given.get(("config_name", 1))
        text = paths.text_of(name)
        if text is None:
            return None
        stem = text.removesuffix(".yaml")
        here = paths.text_of(folder) or ""
        found = self._file(function.filename, os.path.join(here, f"{stem}.yaml"))
        if found is not None:
            return settled(self._with_defaults(*found, 0))
        return self._stored("", stem)

    def _with_defaults(self, filename: str, root: Setting, depth: int) -> Value:
        """A file of a composed configuration, with what its list of defaults brings in."""
        own = self._of_file(filename, root)
        listed = root.get("defaults")
        if not isinstance(own, Table) or listed is None or listed.items is None or depth > MAX_COMPOSED:
            return own
        own = Table(tuple(entry for entry in own.entries if entry[0] != "defaults"))
        parts: list[Table] = []
        for item in listed.items:
            if item.value == "_self_":
                parts.append(own)
            else:
                parts += self._default_part(filename, item, depth)
        if own not in parts:
            parts.append(own)
        return merged(parts)

    def _default_part(self, filename: str, item: Setting, depth: int) -> Iterator[Table]:
        """One entry of a list of defaults: `- base`, `- optimizer: adam`."""
        entries = item.entries if item.entries is not None else (("", item),)
        for group, chosen in entries:
            if not isinstance(chosen.value, str) or group.startswith("override "):
                continue
            where, _, package = group.removeprefix("optional ").strip("/").partition("@")
            name = chosen.value.removesuffix(".yaml")
            place = os.path.join(os.path.dirname(filename), where, f"{name}.yaml")
            found = self.project.settings_files.of(filename, place)
            value = self._with_defaults(*found, depth + 1) if found else self._stored(where, name)
            table = self.table_of(value)
            if table is not None:
                yield _below(table, (package or where).replace(".", "/"))

    def store_settings(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`ConfigStore.instance().store(name=..., node=...)`: a configuration by its group and name."""
        name, node, group = (given.get(slot) for slot in (("name", 0), ("node", 1), ("group", 2)))
        if isinstance(name, Literal) and node is not None:
            self.stored[paths.text_of(group) or "", str(name.value)] = node
        return Literal(None)

    def settings_store(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        return Object("settings store", self.site(), None, "", ClassRule("settings-store"))

    def _stored(self, group: str, name: str) -> Value | None:
        node = self.stored.get((group, name))
        if isinstance(node, ClassRef):
            return self._of_class(
                node,
                f"{node.filename}:{node.definition.name}",
                Site(node.filename, node.definition.span),
            )
        return node


def _below(table: Table, path: str) -> Table:
    """A table as the entry at a path (`a/b`) of another."""
    for name in reversed([part for part in path.split("/") if part and part != "_global_"]):
        table = Table(((name, table),))
    return table


def settled(value: Value) -> Value:
    """A table with what its entries refer to (`${a.b}`) in place of the references, where that is known."""
    return _settled(value, value, 0) if isinstance(value, Table) else value


def _settled(value: Value, root: Table, depth: int) -> Value:
    if isinstance(value, Table):
        return Table(tuple((name, _settled(entry, root, depth)) for name, entry in value.entries))
    if isinstance(value, Unknown) and value.key.startswith("${") and depth < MAX_COMPOSED:
        found: Value | None = root
        for key in value.key[2:-1].split("."):
            found = found.get(key) if isinstance(found, Table) else None
        return value if found is None else _settled(found, root, depth + 1)
    return value
