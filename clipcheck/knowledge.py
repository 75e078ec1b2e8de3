"""What makes a call an event: the knowledge files of `rules/`, read into tables.

A knowledge file says, for one framework, which qualified names are optimizers, layers of which family,
clips, steps and wrappers, and how their fix is written. Adding a framework adds a file, no code.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from clipcheck.config import UserError
from clipcheck.forms import FormError, Words, check_form

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Slot = tuple[str, int]  # an argument by its keyword and its position


class KnowledgeError(UserError):
    """A knowledge file that cannot be used; the message names the file and the key."""


@dataclass(frozen=True, slots=True)
class Framework:
    """What a knowledge file is about, and how far it can be trusted."""

    name: str
    checked: str  # "package version, package version", in which the names of the file were looked up
    recognised: str = ""
    fixed: str = ""
    tried: str = ""  # "run": the fixed code is run by the tests; "read": the framework does not install there
    shadowed: bool = False  # projects have modules of these names, which are meant before the libraries
    listed: bool = True  # false: nothing that people train with

    @property
    def versions(self) -> tuple[tuple[str, str, str], ...]:
        """The packages of `checked`, each with its version and how it was tried, if not as the framework was."""
        return tuple(
            (name, version, how or self.tried) for name, version, how in _PACKAGE.findall(self.checked)
        )


@dataclass(frozen=True, slots=True)
class CallRule:
    """A function or method whose call is an event, and where its arguments stand."""

    event: str
    kind: str = ""
    slots: tuple[tuple[str, Slot], ...] = ()
    replaced_by: str = ""
    unscales: bool = False
    framework: str = ""

    def slot(self, name: str) -> Slot | None:
        """The keyword and position of the argument called `name` in the knowledge."""
        return next((slot for key, slot in self.slots if key == name), None)


@dataclass(frozen=True, slots=True)
class Clipping:
    """How a class of a framework is told to clip: by an argument, which is on or off where it is not given."""

    arguments: tuple[str, ...]  # the first is the one that a fix writes
    on_by_default: bool = False
    value: str = "{threshold}"  # what a fix gives it
    looked_at: tuple[str, ...] = ()  # further arguments, which say that the clipping ...
    elsewhere: re.Pattern[str] | None = None  # ... is another's affair, where they match this,
    refused: re.Pattern[str] | None = None  # ... or is refused with an error, where they match this
    none: str = ""  # what None does, where that is not the same as zero


@dataclass(frozen=True, slots=True)
class Hooks:
    """The methods of a model that a trainer calls, in its order, and the attribute that takes it the step."""

    before: tuple[str, ...] = ()
    optimizers: str = ""  # returns what the trainer steps
    step: tuple[str, ...] = ()  # computes the loss
    after_backward: tuple[str, ...] = ()
    clipping: str = ""  # takes the place of the trainer's own clipping
    automatic: str = ""  # false: the model runs backward and step by itself


@dataclass(frozen=True, slots=True)
class ClassRule:
    """A class of a framework: its role, for layers their family, for trainers how they clip."""

    role: str
    family: str = ""
    parameters: Slot | None = None
    line_search: bool = False
    clips: bool = False  # an optimizer that clips in its step, by a setting of its own
    normalised: bool = False  # a network with normalisation layers inside
    remote: bool = False  # an optimizer of parameters in other processes: no closures, no groups at hand
    clipping: Clipping | None = None
    hooks: Hooks | None = None
    model: Slot | None = None  # what a trainer is made for
    settings: Slot | None = None  # the object that tells a trainer how to clip
    callbacks: Slot | None = None  # objects whose hooks run beside the model's


@dataclass(slots=True)
class Knowledge:
    """All knowledge files in one set of tables."""

    calls: dict[str, CallRule] = field(default_factory=dict)
    methods: dict[tuple[str, str], CallRule] = field(default_factory=dict)
    classes: dict[str, ClassRule] = field(default_factory=dict)
    class_patterns: list[tuple[re.Pattern[str], ClassRule]] = field(default_factory=list)
    wrappers: dict[str, int] = field(default_factory=dict)  # argument returned; -1: all of them
    normalising: set[str] = field(default_factory=set)  # wrappers that normalise the weights of a layer
    sharding: set[str] = field(default_factory=set)  # wrappers whose parameters the plain clip gets wrong
    wrapper_patterns: list[tuple[re.Pattern[str], int]] = field(default_factory=list)
    passthrough_methods: set[str] = field(default_factory=set)
    passthrough_attributes: set[str] = field(default_factory=set)
    constructors: set[str] = field(default_factory=set)  # class methods that make an instance
    assumed: set[str] = field(default_factory=set)  # attributes that are true wherever a step acts
    harmless: set[str] = field(default_factory=set)
    aliases: dict[str, str] = field(default_factory=dict)  # packages that are another by another name
    words: set[str] = field(default_factory=set)  # names of frameworks whose events have common names
    not_finite: set[str] = field(default_factory=set)
    hints: dict[str, re.Pattern[str]] = field(default_factory=dict)
    fixes: dict[str, str] = field(default_factory=dict)
    engines: dict[str, dict[str, str]] = field(default_factory=dict)  # by framework: how its object clips
    frameworks: dict[str, Framework] = field(default_factory=dict)
    own: dict[str, CallRule] = field(default_factory=dict)  # the project's own helpers, from its settings
    packages: set[str] = field(default_factory=set)  # top-level names the knowledge speaks of
    flags: set[str] = field(default_factory=set)  # what the flags of a command line are read from
    digest: str = ""

    def call(self, qualified: str) -> CallRule | None:
        """The event that a call of this qualified name is, if any."""
        return self.calls.get(qualified)

    def method(self, role: str, name: str) -> CallRule | None:
        """The event that this method of an object of this role is, if any."""
        return self.methods.get((role, name))

    def class_rule(self, qualified: str) -> ClassRule | None:
        """What is known of a class by its qualified name, exact names before patterns."""
        for alias, name in self.aliases.items():
            if qualified.startswith(alias + "."):
                qualified = name + qualified[len(alias) :]
        if qualified in self.classes:
            return self.classes[qualified]
        for pattern, rule in self.class_patterns:
            if pattern.fullmatch(qualified):
                return rule
        return None

    def wrapped_argument(self, qualified: str) -> int | None:
        """Which argument a call of this name gives back (-1: all of them), or None."""
        if qualified in self.wrappers:
            return self.wrappers[qualified]
        for pattern, argument in self.wrapper_patterns:
            if pattern.fullmatch(qualified):
                return argument
        return None

    def own_rule(self, dotted: str) -> CallRule | None:
        """What the settings say of a function, by its dotted name or the end of it."""
        for name, rule in self.own.items():
            if dotted == name or dotted.endswith("." + name):
                return rule
        return None

    def is_harmless(self, qualified: str) -> bool:
        """Whether a call into this library neither clips nor steps."""
        return qualified.partition(".")[0] in self.harmless

    def hinted(self, hint: str, identifier: str) -> bool:
        """Whether an identifier reads like what `hint` names; underscores in front only say that it is private."""
        pattern = self.hints.get(hint)
        return pattern is not None and pattern.search(identifier.lower().lstrip("_")) is not None

    @property
    def decisive(self) -> frozenset[str]:
        """The last names of the events that are reported on: steps, clips, and optimizers handed to a model."""
        rules = [(name.rpartition(".")[2], rule) for name, rule in (*self.calls.items(), *self.own.items())]
        rules += [(name, rule) for (_, name), rule in self.methods.items()]
        found = frozenset(name for name, rule in rules if rule.event in ("step", "clip"))
        # `model.compile(optimizer="adam")` names no class: the call itself has to be looked for.
        return found | {name for name, rule in rules if rule.event == "fit" and rule.slot("optimizer")}

    @property
    def fits(self) -> frozenset[str]:
        """The last names of the methods that set a trainer going."""
        return frozenset(name for (_, name), rule in self.methods.items() if rule.event == "fit")

    @property
    def probes(self) -> frozenset[str]:
        """The words of which a file has one if it can hold such an event."""
        return self.decisive - self.fits | self.told | self.words

    @property
    def told(self) -> frozenset[str]:
        """The last names of the classes that clip only where an argument says so, or do so unless it does."""
        return frozenset(
            name.rpartition(".")[2]
            for name, rule in self.classes.items()
            if rule.clipping and name.partition(".")[0] not in self.words
        )

    def event_names(self) -> frozenset[str]:
        """The last names of all event calls: what a function must call to matter."""
        known = (*self.calls.items(), *self.own.items())
        names = {name.rpartition(".")[2] for name, rule in known if rule.event in _GRADIENT}
        names |= {name for (_, name), rule in self.methods.items() if rule.event in _GRADIENT}
        # What clips by itself is no reason to follow all that is called `train`.
        quiet = {
            rule.role for rule in self.classes.values() if rule.clipping and not rule.clipping.on_by_default
        }
        names |= {
            name for (role, name), rule in self.methods.items() if rule.event == "fit" and role in quiet
        }
        return frozenset(names | {".grad"} | self.told)


_GRADIENT = frozenset({"clip", "step", "backward", "unscale", "zero-grad"})
_SLOTS = (
    "parameters",
    "threshold",
    "norm-type",
    "loss",
    "optimizer",
    "closure",
    "scaler",
    "model",
    "function",
    "arguments",
    "keywords",
    "default",
    "factory",
)
_FRAMEWORK = {"name": str, "checked": str, "recognised": str, "fixed": str, "tried": str}
_ABOUT = {"shadowed": bool, "listed": bool}
_KINDS = {str: "a text", bool: "true or false"}
_TRIED = ("run", "read")
# A package and its version; where it was tried in another way than the framework, how: "mmcv 1.7 (read)".
_PACKAGE = re.compile(r"([A-Za-z][\w.-]*(?:\[[\w,-]+\])?) (\d[\w.+!-]*)(?: \((run|read)\))?")
_KEYS = {
    "class": {
        "role",
        "family",
        "names",
        "former",
        "parameters",
        "line-search",
        "clips",
        "normalised",
        "remote",
        "clipping",
        "hooks",
        "model",
        "settings",
        "callbacks",
    },
    "call": {"names", "former", "event", "kind", "replaced-by", "unscales", *_SLOTS},
    "method": {"of", "names", "former", "event", "kind", "replaced-by", "unscales", *_SLOTS},
    "wrapper": {"names", "former", "argument", "sharded", "normalises"},
}
_SECTIONS = {
    "framework",
    "engine",
    "aliases",
    "fix",
    "passthrough",
    "libraries",
    "checks",
    "hints",
    "options",
    *_KEYS,
}


def load(
    folders: Iterable[Path] = (), clip_functions: Iterable[str] = (), step_functions: Iterable[str] = ()
) -> Knowledge:
    """The knowledge shipped with clipcheck, that of further folders, and a project's own helpers."""
    words = Words()
    shipped = [
        (item.name, item.read_text(encoding="utf-8"), words.learn)
        for item in sorted(resources.files("clipcheck.rules").iterdir(), key=lambda item: item.name)
        if item.name.endswith(".toml")
    ]
    further = ((name, text, words.check) for name, text in _texts(folders))
    knowledge = Knowledge()
    digest = hashlib.sha256()
    for name, text, look in (*shipped, *further):
        digest.update(text.encode())
        try:
            data = tomllib.loads(text)
            check_form(data)
            _read(knowledge, data)
            look(data)
        except (KnowledgeError, FormError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
            raise KnowledgeError(f"{name}: {error}") from error
    knowledge.digest = digest.hexdigest()
    knowledge.own = {name: CallRule("clip", "library") for name in clip_functions}
    step = CallRule("step", slots=(("optimizer", ("optimizer", 0)),))
    knowledge.own |= dict.fromkeys(step_functions, step)
    return knowledge


def _texts(folders: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """The knowledge files of a project's folders, by their paths."""
    for folder in folders:
        if not folder.is_dir():
            raise KnowledgeError(f"{folder}: there is no such folder, though `rules` names it")
        for path in sorted(folder.glob("*.toml")):
            try:
                yield str(path), path.read_text(encoding="utf-8")
            except (OSError, UnicodeError) as error:
                raise KnowledgeError(f"{path}: cannot be read: {error}") from error


def _read(knowledge: Knowledge, data: Mapping[str, Any]) -> None:
    """Add one knowledge file to the tables."""
    for section in data:
        if section not in _SECTIONS:
            raise KnowledgeError(f"unknown section {section!r}")
    framework = _framework(data.get("framework"))
    if framework.name in knowledge.frameworks:
        raise KnowledgeError(f"[framework] name = {framework.name!r} is the name of another file already")
    knowledge.frameworks[framework.name] = framework
    for section, keys in _KEYS.items():
        for entry in data.get(section, ()):
            unknown = set(entry) - keys
            if unknown:
                raise KnowledgeError(f"[[{section}]] has unknown keys {sorted(unknown)}")
    _read_classes(knowledge, data)
    _read_calls(knowledge, data, framework.name)
    if not framework.shadowed:
        named = (entry for section in ("call", "class", "wrapper") for entry in data.get(section, ()))
        knowledge.packages.update(
            name.partition(".")[0] for entry in named for name in _exact(entry["names"])
        )
    knowledge.flags.update(data.get("options", {}).get("flags", ()))
    passthrough = data.get("passthrough", {})
    knowledge.passthrough_methods.update(passthrough.get("methods", ()))
    knowledge.passthrough_attributes.update(passthrough.get("attributes", ()))
    knowledge.constructors.update(passthrough.get("constructors", ()))
    knowledge.assumed.update(passthrough.get("true-at-a-step", ()))
    knowledge.harmless.update(data.get("libraries", {}).get("harmless", ()))
    knowledge.aliases.update(data.get("aliases", {}))
    knowledge.packages.update(name.partition(".")[0] for name in data.get("aliases", {}))
    knowledge.words.update(data.get("libraries", {}).get("words", ()))
    knowledge.not_finite.update(data.get("checks", {}).get("not-finite", ()))
    knowledge.hints.update({key: re.compile(text) for key, text in data.get("hints", {}).items()})
    for key, text in data.get("fix", {}).items():
        knowledge.fixes.setdefault(key, text)
    for owner, templates in data.get("engine", {}).items():
        knowledge.engines[owner] = dict(templates)


def _framework(data: Any) -> Framework:
    """What a file says of itself. Raises KnowledgeError, which names the key that is not as it must be."""
    if not isinstance(data, Mapping):
        raise KnowledgeError("a [framework] section has to say what the file is about")
    listed = data.get("listed", True)
    needed = _FRAMEWORK if listed else {"name": str, "checked": str}
    for key, value in data.items():
        kind = (_FRAMEWORK | _ABOUT).get(key)
        if kind is None:
            raise KnowledgeError(f"[framework] has an unknown key {key!r}")
        if not isinstance(value, kind) or value == "":
            raise KnowledgeError(f"[framework] {key} = {value!r} is not {_KINDS[kind]}")
    for key in needed:
        if key not in data:
            raise KnowledgeError(f"[framework] has no key {key!r}")
    if "tried" in data and data["tried"] not in _TRIED:
        raise KnowledgeError(f"[framework] tried = {data['tried']!r} is neither 'run' nor 'read'")
    if not re.fullmatch(rf"{_PACKAGE.pattern}(, {_PACKAGE.pattern})*", data["checked"]):
        raise KnowledgeError(
            f'[framework] checked = {data["checked"]!r} is not of the form "package version, package version"'
        )
    return Framework(**data)


def _read_classes(knowledge: Knowledge, data: Mapping[str, Any]) -> None:
    for entry in data.get("class", ()):
        slot = _slot(entry.get("parameters"))
        rule = ClassRule(
            entry["role"],
            entry.get("family", ""),
            slot,
            entry.get("line-search", False),
            entry.get("clips", False),
            entry.get("normalised", False),
            entry.get("remote", False),
            _clipping(entry.get("clipping")),
            _hooks(entry.get("hooks")),
            _slot(entry.get("model")),
            _slot(entry.get("settings")),
            _slot(entry.get("callbacks")),
        )
        for name in entry["names"]:
            if _is_pattern(name):
                knowledge.class_patterns.append((_pattern(name), rule))
            else:
                knowledge.classes[name] = rule
    for entry in data.get("wrapper", ()):
        if entry.get("sharded"):
            knowledge.sharding.update(entry["names"])
        if entry.get("normalises"):
            knowledge.normalising.update(entry["names"])
        for name in entry["names"]:
            if _is_pattern(name):
                knowledge.wrapper_patterns.append((_pattern(name), entry["argument"]))
            else:
                knowledge.wrappers[name] = entry["argument"]


def _read_calls(knowledge: Knowledge, data: Mapping[str, Any], framework: str) -> None:
    for section in ("call", "method"):
        for entry in data.get(section, ()):
            slots = tuple((key, slot) for key in _SLOTS if (slot := _slot(entry.get(key))))
            rule = CallRule(
                entry["event"],
                entry.get("kind", ""),
                slots,
                entry.get("replaced-by", ""),
                entry.get("unscales", False),
                framework,
            )
            for name in entry["names"]:
                if section == "call":
                    knowledge.calls[name] = rule
                else:
                    knowledge.methods[entry["of"], name] = rule


def _clipping(data: Mapping[str, Any] | None) -> Clipping | None:
    if data is None:
        return None
    unknown = set(data) - {
        "arguments",
        "former",
        "default",
        "value",
        "looked-at",
        "elsewhere",
        "refused",
        "none",
    }
    if unknown:
        raise KnowledgeError(f"clipping has unknown keys {sorted(unknown)}")
    return Clipping(
        tuple(data["arguments"]),
        {"on": True, "off": False}[data["default"]],
        data.get("value", "{threshold}"),
        tuple(data.get("looked-at", ())),
        re.compile(data["elsewhere"]) if "elsewhere" in data else None,
        re.compile(data["refused"]) if "refused" in data else None,
        data.get("none", ""),
    )


def _hooks(data: Mapping[str, Any] | None) -> Hooks | None:
    if data is None:
        return None
    unknown = set(data) - {
        "before",
        "former",
        "optimizers",
        "step",
        "after-backward",
        "clipping",
        "automatic",
    }
    if unknown:
        raise KnowledgeError(f"hooks have unknown keys {sorted(unknown)}")
    return Hooks(
        tuple(data.get("before", ())),
        data.get("optimizers", ""),
        tuple(data.get("step", ())),
        tuple(data.get("after-backward", ())),
        data.get("clipping", ""),
        data.get("automatic", ""),
    )


def _slot(value: Any) -> Slot | None:
    return None if value is None else (value[0], value[1])


def _exact(names: Iterable[str]) -> Iterator[str]:
    return (name for name in names if not _is_pattern(name))


def _is_pattern(name: str) -> bool:
    return "*" in name or "[" in name


def _pattern(name: str) -> re.Pattern[str]:
    """A name with `*` (any run within one segment) and `[A-Z]` sets as a regular expression."""
    return re.compile(re.sub(r"\*", r"[^.]*", name.replace(".", r"\.")))
