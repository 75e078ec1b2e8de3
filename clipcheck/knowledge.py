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

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Slot = tuple[str, int]  # an argument by its keyword and its position


class KnowledgeError(ValueError):
    """A knowledge file that cannot be used; the message names the file and the entry."""


@dataclass(frozen=True, slots=True)
class CallRule:
    """A function or method whose call is an event, and where its arguments stand."""

    event: str
    kind: str = ""
    slots: tuple[tuple[str, Slot], ...] = ()
    replaced_by: str = ""
    unscales: bool = False
    framework: str = ""
    result: str = ""  # of what works on values: "pair" (the value and more) or "owner"; "": the value
    common: bool = False  # its name is one that means something else in programs of other frameworks
    negative: str = ""  # what a threshold below zero does, where it does not reverse the gradient

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
    kinds: tuple[tuple[str, str], ...] = ()  # how each argument clips, where that is not by the norm of all

    def kind(self, argument: str) -> str:
        """How what is told by this argument clips: by the "norm", the "tensor-norm" or the "value"."""
        return dict(self.kinds).get(argument, "norm")


@dataclass(frozen=True, slots=True)
class Hooks:
    """The methods of a model that a trainer calls, in its order, and the attribute that takes it the step."""

    before: tuple[str, ...] = ()
    optimizers: str = ""  # returns what the trainer steps
    step: tuple[str, ...] = ()  # computes the loss
    after_backward: tuple[str, ...] = ()
    clipping: str = ""  # takes the place of the trainer's own clipping
    automatic: str = ""  # false: the model runs backward and step by itself
    whole: str = ""  # backward, clip and step are in this one, where the model has it


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
    frameworks: dict[str, str] = field(default_factory=dict)
    own: dict[str, CallRule] = field(default_factory=dict)  # the project's own helpers, from its settings
    values: dict[str, dict[str, str]] = field(default_factory=dict)  # by framework: how a gradient is clipped
    parameter_attributes: set[str] = field(default_factory=set)  # of a model: its parameters
    parameter_values: set[str] = field(default_factory=set)  # of a parameter: what it holds
    parameter_methods: set[str] = field(default_factory=set)
    named: dict[str, str] = field(default_factory=dict)  # classes by the strings that stand for them
    common: dict[str, set[str]] = field(default_factory=dict)  # by package: events with everyday names
    packages: set[str] = field(default_factory=set)  # top-level names the knowledge speaks of
    flags: set[str] = field(default_factory=set)  # what the flags of a command line are read from
    digest: str = ""

    def call(self, qualified: str) -> CallRule | None:
        """The event that a call of this qualified name is, if any."""
        return self.calls.get(self.own_name(qualified))

    def own_name(self, qualified: str) -> str:
        """A qualified name by the package's own name, where it has another one."""
        for alias, name in self.aliases.items():
            if qualified.startswith(alias + "."):
                return self.own_name(name + qualified[len(alias) :])
        return qualified

    def method(self, role: str, name: str) -> CallRule | None:
        """The event that this method of an object of this role is, if any."""
        return self.methods.get((role, name))

    def other_names(self, qualified: str) -> Iterator[tuple[str, str]]:
        """A qualified name as each of the packages says it that have it, with that package."""
        for alias, name in ((qualified.partition(".")[0],) * 2, *self.aliases.items()):
            if qualified.startswith(name + "."):
                yield alias + qualified[len(name) :], alias

    def class_rule(self, qualified: str) -> ClassRule | None:
        """What is known of a class by its qualified name, exact names before patterns."""
        qualified = self.own_name(qualified)
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
        found = frozenset(
            name for name, rule in rules if rule.event in ("step", "clip", "minimize") and not rule.common
        )
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
        known = (*known, *((name, rule) for (_, name), rule in self.methods.items()))
        names = {
            name.rpartition(".")[2] for name, rule in known if rule.event in _GRADIENT and not rule.common
        }
        # What clips by itself is no reason to follow all that is called `train`.
        quiet = {
            rule.role for rule in self.classes.values() if rule.clipping and not rule.clipping.on_by_default
        }
        names |= {
            name for (role, name), rule in self.methods.items() if rule.event == "fit" and role in quiet
        }
        return frozenset(names | {".grad"} | self.told)


_GRADIENT = frozenset(
    {
        "clip",
        "step",
        "backward",
        "unscale",
        "zero-grad",
        "gradient",
        "gradient-function",
        "bound",
        "minimize",
        "train",
    }
)
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
    "gradients",
    "variables",
    "auxiliary",
)
_KEYS = {
    "class": {
        "role",
        "family",
        "names",
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
    "call": {"names", "event", "kind", "replaced-by", "unscales", "result", "common", "negative", *_SLOTS},
    "method": {
        "of",
        "names",
        "event",
        "kind",
        "replaced-by",
        "unscales",
        "result",
        "common",
        "negative",
        *_SLOTS,
    },
    "wrapper": {"names", "argument", "sharded", "normalises"},
}
_SECTIONS = {
    "framework",
    "engine",
    "values",
    "parameters",
    "named",
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
    texts = [
        (item.name, item.read_text(encoding="utf-8"))
        for item in sorted(resources.files("clipcheck.rules").iterdir(), key=lambda item: item.name)
        if item.name.endswith(".toml")
    ]
    for folder in folders:
        texts += [(str(path), path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.toml"))]
    knowledge = Knowledge()
    digest = hashlib.sha256()
    for name, text in texts:
        digest.update(text.encode())
        try:
            _read(knowledge, name, tomllib.loads(text))
        except (tomllib.TOMLDecodeError, KeyError, TypeError, re.error) as error:
            raise KnowledgeError(f"{name}: {error}") from error
    knowledge.digest = digest.hexdigest()
    knowledge.own = {name: CallRule("clip", "library") for name in clip_functions}
    step = CallRule("step", slots=(("optimizer", ("optimizer", 0)),))
    knowledge.own |= dict.fromkeys(step_functions, step)
    return knowledge


def _read(knowledge: Knowledge, name: str, data: Mapping[str, Any]) -> None:
    """Add one knowledge file to the tables."""
    for section in data:
        if section not in _SECTIONS:
            raise KnowledgeError(f"{name}: unknown section {section!r}")
    framework = data["framework"]
    knowledge.frameworks[framework["name"]] = framework["checked"]
    for section, keys in _KEYS.items():
        for entry in data.get(section, ()):
            unknown = set(entry) - keys
            if unknown:
                raise KnowledgeError(f"{name}: [[{section}]] has unknown keys {sorted(unknown)}")
    _read_classes(knowledge, data)
    _read_calls(knowledge, data, framework["name"])
    if not framework.get("shadowed"):
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
    knowledge.named.update(data.get("named", {}))
    if "values" in data:
        knowledge.values[framework["name"]] = dict(data["values"])
    knowledge.parameter_attributes.update(data.get("parameters", {}).get("attributes", ()))
    knowledge.parameter_values.update(data.get("parameters", {}).get("values", ()))
    knowledge.parameter_methods.update(data.get("parameters", {}).get("methods", ()))


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
                entry.get("result", ""),
                entry.get("common", False),
                entry.get("negative", ""),
            )
            if rule.common and (rule.event in _GRADIENT):
                last = {name.rpartition(".")[2] for name in entry["names"]}
                for package in data["libraries"]["packages"]:
                    knowledge.common.setdefault(package, set()).update(last)
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
        "default",
        "value",
        "looked-at",
        "elsewhere",
        "refused",
        "none",
        "kinds",
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
        tuple(data.get("kinds", {}).items()),
    )


def _hooks(data: Mapping[str, Any] | None) -> Hooks | None:
    if data is None:
        return None
    unknown = set(data) - {"before", "optimizers", "step", "after-backward", "clipping", "automatic", "whole"}
    if unknown:
        raise KnowledgeError(f"hooks have unknown keys {sorted(unknown)}")
    return Hooks(
        tuple(data.get("before", ())),
        data.get("optimizers", ""),
        tuple(data.get("step", ())),
        tuple(data.get("after-backward", ())),
        data.get("clipping", ""),
        data.get("automatic", ""),
        data.get("whole", ""),
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
