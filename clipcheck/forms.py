"""Check the form of a knowledge file before it is read: a mistake is named by its entry and its key.

A file of a project is held to the words of those that are shipped as well. An event, a family of layers or a place in a
template that nothing acts on would be silence where its author expects findings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from string import Formatter
from typing import Any

from clipcheck.naming import nearest
from clipcheck.record import dataclass, field

Form = tuple[Callable[[Any], bool], str]  # what a value must be, and how that is called


class FormError(ValueError):
    """A value that is not as it must be; the message names entry and key, and not the file."""


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _slot(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int)
        and not isinstance(value[1], bool)
    )


TEXT: Form = (lambda value: isinstance(value, str), "a text")
TEXTS: Form = (_texts, "a list of texts")
FLAG: Form = (lambda value: isinstance(value, bool), "true or false")
NUMBER: Form = (lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number")
SLOT: Form = (_slot, 'a keyword and a position, such as ["max_norm", 1]')
TABLE: Form = (lambda value: isinstance(value, dict), "a table")
TEXT_TABLE: Form = (
    lambda value: isinstance(value, dict) and all(isinstance(item, str) for item in value.values()),
    "a table of texts",
)

UNSHARDED: Form = (
    lambda value: isinstance(value, list) and _slot(value[:2]) and _texts(value[2:]) and len(value) == 3,
    'a keyword, a position and a regular expression, such as ["strategy", 1, "NO_SHARD"]',
)

CHOSEN: Form = (
    lambda value: isinstance(value, list) and _slot(value[:2]) and _texts(value[2:]) and len(value) > 2,
    'a keyword, a position and values, such as ["precision", 4, "16-mixed"]',
)

SLOTS = dict.fromkeys(
    (
        "parameters", "threshold", "norm-type", "loss", "optimizer", "closure", "scaler", "model", "function",
        "arguments", "keywords", "default", "factory", "gradients", "variables", "auxiliary", "trained", "trainer",
        "callbacks", "mode", "update", "settings", "target", "partial",
    ),
    SLOT,
)  # fmt: skip
_CALL = {
    "names": TEXTS, "former": TEXTS, "event": TEXT, "kind": TEXT, "kinds": TEXT_TABLE, "replaced-by": TEXT,
    "unscales": FLAG, "result": TEXT, "common": FLAG, "negative": TEXT, **SLOTS,
}  # fmt: skip
# By section: all keys that there are.
FORMS: dict[str, dict[str, Form]] = {
    "class": {
        "names": TEXTS, "former": TEXTS, "role": TEXT, "also": TEXT, "family": TEXT, "parameters": SLOT,
        "line-search": FLAG, "clips": FLAG, "normalised": FLAG, "remote": FLAG, "clipping": TABLE, "hooks": TABLE,
        "model": SLOT, "settings": SLOT, "callbacks": SLOT, "optimizers": SLOT, "holds": FLAG,
        "model-arguments": TEXT, "transforms": TABLE, "transformation": SLOT, "trained": SLOT, "computes": TEXT,
        "builds": TEXTS, "accumulation": SLOT, "scales": CHOSEN, "sparse": SLOT,
    },
    "call": _CALL,
    "method": {"of": TEXT, "called": TEXTS, "clipping": TABLE, **_CALL},
    "wrapper": {"names": TEXTS, "former": TEXTS, "argument": NUMBER, "sharded": FLAG, "unsharded": UNSHARDED, "normalises": FLAG},
    "dict": {
        "names": TEXTS, "clipping": TABLE, "model": TEXT, "kind": TEXT, "beside": TEXT, "bases": TEXT, "anew": TEXT,
    },
    "passthrough": {"methods": TEXTS, "attributes": TEXTS, "constructors": TEXTS, "true-at-a-step": TEXTS},
    "libraries": {"harmless": TEXTS, "words": TEXTS, "named": TEXTS, "packages": TEXTS},
    "checks": {"not-finite": TEXTS},
    "options": {"flags": TEXTS},
    "parameters": {"attributes": TEXTS, "methods": TEXTS, "values": TEXTS},
    "values": {"clip": TEXT, "import": TEXT, "statement": TEXT},
}  # fmt: skip
# Of the tables inside an entry, by the key that they stand under.
TABLES: dict[str, dict[str, Form]] = {
    "clipping": {
        "arguments": TEXTS, "former": TEXTS, "default": (lambda value: value in ("on", "off"), "'on' or 'off'"),
        "value": TEXT, "looked-at": TEXTS, "elsewhere": TEXT, "refused": TEXT, "none": TEXT, "position": NUMBER,
        "zero": (lambda value: value in ("off", "acts"), "'off' or 'acts'"), "beside": TEXT_TABLE, "member": TABLE,
        "hook": TEXT, "around": TEXT, "first": TEXT, "default-since": TABLE,
        "within": (
            lambda value: isinstance(value, list) and all(map(_slot, value)), "a list of keywords with positions",
        ),
        "named-by": (
            lambda value: isinstance(value, list) and _slot(value[:2]) and _texts(value[2:]),
            "a keyword, a position and an attribute",
        ),
        "idle": TEXTS, "kinds": TEXT_TABLE, "spelled": TEXT, "limits": TEXT_TABLE,
        "came-with": TEXT_TABLE, "outdated": TEXTS,
    },
    "hooks": {
        "before": TEXTS, "former": TEXTS, "optimizers": TEXT, "step": TEXTS, "after-backward": TEXTS,
        "clipping": TEXT, "automatic": TEXT, "whole": TEXT, "each-backward": TEXTS,
    },
    "member": {"name": TEXT, "value": TEXT, "alone": FLAG, "starred": TEXTS},
    "transforms": {"does": TEXT, "kind": TEXT, "threshold": SLOT, "members": SLOT},
    "default-since": {"package": TEXT, "before": TEXT, "version": TEXT, "default": TEXT},
}  # fmt: skip
_NEEDED = {
    "class": ("names", "role"),
    "call": ("names", "event"),
    "method": ("names", "of", "event"),
    "wrapper": ("names", "argument"),
    "dict": ("names", "clipping"),
    "clipping": ("default",),
    "member": ("name", "value"),
    "transforms": ("does",),
    "default-since": ("package", "before", "version", "default"),
}
_ENTRIES = ("class", "call", "method", "wrapper", "dict")
_PLAIN = tuple(section for section in FORMS if section not in _ENTRIES)
_REGULAR = frozenset({"elsewhere", "refused"})
_NAMING = frozenset({"make-engine", "make-by-name"})  # whose kind is a qualified name
_ACTED_ON = frozenset({"clipping", "hooks", "transforms", "holds"})  # in whatever role


@dataclass(slots=True)
class Words:
    """The words that knowledge files use, which is what the engine acts on."""

    roles: set[str] = field(default_factory=set)
    families: set[str] = field(default_factory=set)
    kinds: dict[str, set[str]] = field(default_factory=dict)  # by event
    owners: set[str] = field(default_factory=set)  # roles that methods are of
    keys: dict[str, set[str]] = field(default_factory=dict)  # of the sections that are one table each
    places: dict[str, set[str]] = field(
        default_factory=lambda: {"value": {"threshold"}}
    )  # in templates, by where they stand

    def learn(self, data: Mapping[str, Any]) -> None:
        """Take over the words of a file."""
        for entry in data.get("class", ()):
            self.roles.add(entry["role"])
            self.families.add(entry.get("family", ""))
        for entry in (*data.get("call", ()), *data.get("method", ())):
            self.kinds.setdefault(entry["event"], {""}).add(entry.get("kind", ""))
        self.owners.update(entry["of"] for entry in data.get("method", ()))
        for section in _PLAIN:
            self.keys.setdefault(section, set(FORMS[section])).update(data.get(section, ()))
        for _, key, text in _templates(data):
            self.places.setdefault(key, set()).update(_places(text))

    def check(self, data: Mapping[str, Any]) -> None:
        """Raise FormError for the first word of a project's own file that nothing would act on."""
        own = Words()
        own.learn(data)
        for number, entry in enumerate(data.get("class", ()), 1):
            title = f"[[class]] {_title(entry, number)}: "
            if not _ACTED_ON.intersection(entry):
                _check_word(title, "role =", entry["role"], self.roles | self.owners | own.owners)
            _check_word(title, "family =", entry.get("family", ""), self.families)
        for section in ("call", "method"):
            for number, entry in enumerate(data.get(section, ()), 1):
                title = f"[[{section}]] {_title(entry, number)}: "
                _check_word(title, "event =", entry["event"], self.kinds)
                if entry["event"] not in _NAMING:
                    _check_word(title, "kind =", entry.get("kind", ""), self.kinds[entry["event"]])
                if section == "method":
                    _check_word(title, "of =", entry["of"], self.roles | self.owners | own.roles)
        for section in _PLAIN:
            for key in data.get(section, ()):
                _check_word(f"[{section}] ", "the key", key, self.keys[section])
        for owner in data.get("engine", ()):
            _check_word("[engine]: ", "the framework", owner, {data["framework"]["name"]})
        for where, key, text in _templates(data):
            for place in _places(text):
                _check_word(f"{where}: ", "what stands in braces,", place, self.places.get(key, set()))


def check_form(data: Mapping[str, Any]) -> None:
    """Raise FormError for the first value that is not of the form that its key has."""
    for section in _ENTRIES:
        entries = data.get(section, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise FormError(f"[[{section}]] has to be a list of entries, each under [[{section}]]")
        for number, entry in enumerate(entries, 1):
            if unknown := set(entry) - set(FORMS[section]):
                raise FormError(f"[[{section}]] has unknown keys {sorted(unknown)}")
            _check_keys(section, FORMS[section], f"[[{section}]] {_title(entry, number)}: ", "", entry)
    for section in _PLAIN:
        _check_keys(section, FORMS[section], f"[{section}] ", "", _table(data, section))
    for section in ("aliases", "fix", "hints", "named", "dialect"):
        for key, value in _table(data, section).items():
            _check_value(f"[{section}] ", key, value, TEXT, regular=section == "hints")
    for owner in _table(data, "engine"):
        for key, value in _table(data["engine"], owner, "engine.").items():
            _check_value(f"[engine.{owner}] ", key, value, TEXT)
    for where, _, text in _templates(data):
        try:
            _places(text)
        except ValueError as error:
            raise FormError(f"{where} = {text!r} is no template: {error}") from None


def _check_keys(
    name: str, forms: Mapping[str, Form], title: str, prefix: str, entry: Mapping[str, Any]
) -> None:
    """Look at the keys of an entry, a section or a table, and at those of the tables inside."""
    for key in _NEEDED.get(name, ()):
        if key not in entry:
            raise FormError(f"{title}there is no key '{prefix}{key}'")
    for key, value in entry.items():
        if key in forms:
            _check_value(title, prefix + key, value, forms[key], regular=key in _REGULAR)
            if forms[key] is TABLE:
                if unknown := set(value) - set(TABLES[key]):
                    raise FormError(f"{title}{prefix}{key} has unknown keys {sorted(unknown)}")
                _check_keys(key, TABLES[key], title, f"{prefix}{key}.", value)
    named = [name for key, value in entry.items() if key != "former" for name in _named(value)]
    for former in entry.get("former", ()):
        if former not in named:
            raise FormError(f"{title}{prefix}former names {former!r}, which no other key of the entry does")


def _check_value(title: str, key: str, value: Any, form: Form, *, regular: bool = False) -> None:
    if not form[0](value):
        raise FormError(f"{title}{key} = {value!r} is not {form[1]}")
    if regular:
        try:
            re.compile(value)
        except re.error as error:
            raise FormError(f"{title}{key} = {value!r} is no regular expression: {error}") from None


def _check_word(title: str, key: str, word: str, known: Iterable[str]) -> None:
    if word in known:
        return
    near = nearest(word, known)
    hint = f"did you mean {near!r}?" if near else f"there are: {', '.join(sorted(filter(None, known)))}"
    raise FormError(f"{title}{key} {word!r} means nothing; {hint}")


def _named(value: Any) -> list[str]:
    """The names that the value of a key gives: one, or a list of them."""
    return [value] if isinstance(value, str) else value if _texts(value) else []


def _table(data: Mapping[str, Any], section: str, prefix: str = "") -> Mapping[str, Any]:
    table = data.get(section, {})
    if not isinstance(table, dict):
        raise FormError(f"[{prefix}{section}] has to be a table")
    return table


def _title(entry: Mapping[str, Any], number: int) -> str:
    """What an entry is called in a message: its first name, or its number in the file."""
    names = entry.get("names")
    return str(names[0]) if isinstance(names, list) and names else f"number {number}"


def _templates(data: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Where a template stands, what kind it is of, and its text."""
    for owner, templates in data.get("engine", {}).items():
        for key, text in templates.items():
            yield f"[engine.{owner}] {key}", "engine", text
    if "statement" in data.get("values", {}):
        yield "[values] statement", "statement", data["values"]["statement"]
    for section in ("class", "method", "dict"):
        for number, entry in enumerate(data.get(section, ()), 1):
            title, clipping = f"[[{section}]] {_title(entry, number)}: clipping.", entry.get("clipping", {})
            for key in ("value", "hook"):
                if key in clipping:
                    yield title + key, key, clipping[key]
            if "member" in clipping:
                yield title + "member.value", "member", clipping["member"]["value"]
            for key, text in clipping.get("beside", {}).items():
                yield f"{title}beside.{key}", "beside", text


def _places(template: str) -> set[str]:
    """The words in braces. Raises ValueError for braces that do not match."""
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}
