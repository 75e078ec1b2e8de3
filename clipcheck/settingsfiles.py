"""The settings in a project's YAML, JSON and TOML files, each with the row it stands in.

A file that cannot be read, or says what no settings file says, is None: the analysis goes on without it.
Nothing is constructed but plain values; YAML's tags for objects of Python are ignored.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from clipcheck.record import dataclass
from clipcheck.regular import regular

if TYPE_CHECKING:
    import yaml

SUFFIXES = (".yaml", ".yml", ".json", ".toml")
MAX_BYTES = 1_000_000  # a larger file holds data
MAX_ENTRIES = 5_000  # what a few anchors can grow to is bounded as well
MAX_DEPTH = 20
_NUMBER = regular(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")  # `1e-3`: a string to YAML 1.1, a number to everybody

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Setting:
    """One entry of a settings file: a plain value, a mapping, a list, or (`known` is False) something else."""

    row: int
    value: Scalar = None
    entries: tuple[tuple[str, Setting], ...] | None = None
    items: tuple[Setting, ...] | None = None
    known: bool = True

    def get(self, key: str) -> Setting | None:
        """The entry of a mapping with this key."""
        return next((setting for name, setting in self.entries or () if name == key), None)


class SettingsFiles:
    """Finds and reads the settings files of a project; each is read once, and none outside `root`."""

    def __init__(self, root: str = "", read: Callable[[str], str | None] | None = None) -> None:
        self._root = root
        self._read = read or (lambda _: None)
        self._known: dict[str, Setting | None] = {}

    def of(self, importer: str, path: str) -> tuple[str, Setting] | None:
        """The file that `path` means where `importer` names it, with what it says.

        A relative path is looked for beside `importer` and in each folder above, up to the project's root: where the
        program is started is not known.
        """
        for name in self._candidates(importer, path):
            found = self._settings(name)
            if found is not None:
                return name, found
        return None

    def _candidates(self, importer: str, path: str) -> Iterator[str]:
        if not self._root or not path.endswith(SUFFIXES) or "\0" in path:
            return
        folder = os.path.dirname(importer)
        while self._inside(folder):
            name = os.path.normpath(os.path.join(folder, path))
            if self._inside(name):
                yield name
            if os.path.isabs(path) or folder == os.path.dirname(folder):
                return
            folder = os.path.dirname(folder)

    def _inside(self, name: str) -> bool:
        return name == self._root or name.startswith(self._root.rstrip(os.sep) + os.sep)

    def _settings(self, name: str) -> Setting | None:
        if name not in self._known:
            text = self._read(name)
            self._known[name] = None if text is None else parse(text, os.path.splitext(name)[1])
        return self._known[name]


def parse(text: str, suffix: str) -> Setting | None:
    """The settings in a text, by the suffix of its file; None where it cannot be read."""
    if len(text) > MAX_BYTES:
        return None
    try:
        if suffix == ".toml":
            return _of_toml(text)
        # JSON is YAML, but for tabs (JSON has none inside its strings) and for how its numbers are written.
        return _of_yaml(text.replace("\t", " ") if suffix == ".json" else text, as_json=suffix == ".json")
    except (ValueError, TypeError, AttributeError, RecursionError, TooLargeError):
        return None


class TooLargeError(Exception):
    """More entries than settings have."""


def _of_yaml(text: str, *, as_json: bool) -> Setting | None:
    import yaml

    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        return None if root is None else _Reader(loader, as_json=as_json).setting(root)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    finally:
        if loader is not None:
            loader.dispose()


class _Reader:
    """Turns YAML's nodes into settings: no constructor runs but those of plain scalars."""

    def __init__(self, loader: yaml.SafeLoader, *, as_json: bool) -> None:
        self._loader = loader
        self._as_json = as_json
        self._left = MAX_ENTRIES

    def setting(self, node: yaml.Node, depth: int = 0) -> Setting:
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            raise TooLargeError
        row = node.start_mark.line + 1
        if node.id == "mapping":
            self._loader.flatten_mapping(node)  # `<<: *defaults`
            entries: dict[str, Setting] = {}
            for key, value in node.value:
                if key.id == "scalar":
                    entries[str(key.value)] = self.setting(value, depth + 1)
            return Setting(row, entries=tuple(entries.items()))
        if node.id == "sequence":
            return Setting(row, items=tuple(self.setting(item, depth + 1) for item in node.value))
        return self._scalar(node, row)

    def _scalar(self, node: yaml.Node, row: int) -> Setting:
        text = str(node.value)
        if self._as_json and node.style is None:
            import json

            return Setting(row, json.loads(text))
        if node.style is None and _NUMBER.fullmatch(text):
            return Setting(row, float(text))
        if not node.tag.startswith("tag:yaml.org,2002:"):
            return Setting(row, known=False)
        value = self._loader.construct_object(node) if node.tag in _SCALARS else None
        plain = value is None or isinstance(value, (str, int, float, bool))
        return Setting(row, value, known=plain and node.tag in _SCALARS)


_SCALARS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "null", "str"))


def _of_toml(text: str) -> Setting:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return _plain(tomllib.loads(text), _rows(text), ())


def _plain(value: Any, rows: Mapping[tuple[str, ...], int], path: tuple[str, ...]) -> Setting:
    row = rows.get(path, 1)
    if isinstance(value, dict):
        entries = tuple((str(key), _plain(part, rows, (*path, str(key)))) for key, part in value.items())
        return Setting(row, entries=entries)
    if isinstance(value, list):
        return Setting(row, items=tuple(_plain(part, rows, path) for part in value))
    if value is None or isinstance(value, (str, int, float, bool)):
        return Setting(row, value)
    return Setting(row, known=False)


def _rows(text: str) -> dict[tuple[str, ...], int]:
    """In which row each key of a TOML file stands: the parser does not say."""
    rows: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for row, line in enumerate(text.splitlines(), 1):
        if head := re.match(r"\s*\[\[?([^\[\]]+)\]", line):
            table = _keys(head[1])
            rows.setdefault(table, row)
        elif entry := re.match(r"\s*([\w\-.\"' ]+?)\s*=", line):
            rows.setdefault((*table, *_keys(entry[1])), row)
    return rows


def _keys(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
