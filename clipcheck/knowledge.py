"""What makes a call an event: the knowledge files of `rules/`, read into tables.

A knowledge file says, for one framework, which qualified names are optimizers, layers of which family,
clips, steps and wrappers, and how their fix is written. Adding a framework adds a file, no code.
"""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from clipcheck import catalog
from clipcheck.config import UserError
from clipcheck.forms import FORMS, SLOTS, FormError, Words, check_form
from clipcheck.record import dataclass, field, field_names
from clipcheck.regular import regular

Slot = tuple[str, int]  # an argument by its keyword and its position
_WORD = regular(r"[^\W\d]\w*")
_REMEMBERED = 100_000  # words that read like no clip


class KnowledgeError(UserError):
    """A knowledge file that cannot be used; the message names the file and the key."""


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A qualified name with `*` (any run within one segment) and `[A-Z]` sets."""

    whole: re.Pattern[str]
    head: str  # what stands before the first of them, which refuses most names without an expression

    def matches(self, qualified: str) -> bool:
        return qualified.startswith(self.head) and self.whole.fullmatch(qualified) is not None


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
    kinds: tuple[tuple[str, str], ...] = ()  # the kind by the value of the argument in slot "mode"
    clipping: Clipping | None = None  # how the call itself is told to clip
    common: bool = False  # a name that means many other things: no reason to follow all that calls it
    result: str = ""  # of what works on values: "pair" (the value and more) or "owner"; "": the value
    negative: str = ""  # what a threshold below zero does, where it does not reverse the gradient

    def slot(self, name: str) -> Slot | None:
        """The keyword and position of the argument called `name` in the knowledge."""
        return next((slot for key, slot in self.slots if key == name), None)


@dataclass(frozen=True, slots=True)
class Member:
    """An object that clips, where it is among those that an argument takes."""

    name: str  # of its class
    value: str  # how a fix makes it: "{member}(max_norm={threshold})"
    alone: bool = False  # the argument takes one object as well as a list
    starred: tuple[str, ...] = ()  # modules whose star import brings the class


@dataclass(frozen=True, slots=True)
class Since:
    """A default that changed: up to version `before` of a package it was the one, from `version` on it is the other."""

    package: str
    before: str
    version: str
    on_by_default: bool  # from `version` on; up to `before` it was the other way


@dataclass(frozen=True, slots=True)
class Clipping:
    """How a class of a framework is told to clip: by an argument, which is on or off where it is not given.

    Without arguments the framework has no clipping of its own: a fix then writes `hook` before the call.
    """

    arguments: tuple[str, ...]  # the first is the one that a fix writes
    on_by_default: bool = False
    value: str = "{threshold}"  # what a fix gives it
    looked_at: tuple[str, ...] = ()  # further arguments, which say that the clipping ...
    elsewhere: re.Pattern[str] | None = None  # ... is another's affair, where they match this,
    refused: re.Pattern[str] | None = None  # ... or is refused with an error, where they match this
    none: str = ""  # what None does, where that is not the same as zero
    position: int = -1  # of the first argument, where it is given without its name
    zero_acts: bool = (
        False  # a threshold of zero or less is used as it is, and does not switch the clipping off
    )
    beside: tuple[tuple[str, str], ...] = ()  # further arguments that the clipping needs
    member: Member | None = None  # what the argument has to hold to clip
    hook: str = ""
    around: str = (
        ""  # where no argument does it: the call that a fix puts around this one ("": it takes it itself)
    )
    first: str = ""  # ... with a call of this, of the threshold, as its first argument
    kinds: tuple[tuple[str, str], ...] = ()  # how each argument clips, where that is not by the norm of all
    within: tuple[
        Slot, ...
    ] = ()  # the arguments are entries of a table (or of the file it is read from) given here,
    named_by: tuple[Slot, str] | None = None  # ... or of the file that this attribute of an argument names
    since: Since | None = None  # the default hangs on the version
    idle: tuple[str, str] | None = None  # a clip by hand does nothing where this entry matches that
    spelled: str = ""  # what the value calls, by its qualified name: a fix says it as the file does
    came_with: tuple[tuple[str, str], ...] = ()  # from which versions they have the first argument
    outdated: tuple[str, ...] = ()  # arguments of versions that may be older than that
    limits: Mapping[str, str] = field(default_factory=dict)  # what a framework refuses, and what it does then

    @property
    def name(self) -> str:
        """The argument that a fix writes, "" where none does it."""
        return self.arguments[0] if self.arguments else ""

    def kind(self, argument: str) -> str:
        """How what is told by this argument clips: by the "norm", the "tensor-norm" or the "value"."""
        return dict(self.kinds).get(argument, "norm")


@dataclass(frozen=True, slots=True)
class Scales:
    """The argument by which an object of a framework scales the loss, and the values of it that say so."""

    argument: Slot
    when: frozenset[str]


@dataclass(frozen=True, slots=True)
class Hooks:
    """The methods of a model that a trainer calls, in its order, and the attribute that takes it the step."""

    before: tuple[str, ...] = ()
    optimizers: str = ""  # returns what the trainer steps
    step: tuple[str, ...] = ()  # computes the loss
    after_backward: tuple[str, ...] = ()
    each_backward: tuple[str, ...] = ()  # those of them that are called for every batch of an accumulation
    clipping: str = ""  # takes the place of the trainer's own clipping
    automatic: str = ""  # false: the model runs backward and step by itself
    whole: str = ""  # backward, clip and step are in this one, where the model has it


@dataclass(frozen=True, slots=True)
class Transforms:
    """What a transformation of gradients does: "step", "nothing", "clip", or how the members it is made of act.

    These are "sequence" (one after the other), "apart" (each on gradients of its own), "inner" (the one that it
    wraps) and "accumulation" (the one that it wraps, on the sum of several gradients).
    """

    does: str
    kind: str = ""  # of a clip
    threshold: Slot | None = None
    members: Slot | None = None  # where they stand; None: each positional argument is one


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
    optimizers: Slot | None = None  # what a trainer steps, where it is handed over
    holds: bool = False  # it sets going the trainer among its arguments
    model_arguments: str = ""  # the prefix of the arguments that go on to the class of the model
    transforms: Transforms | None = None
    transformation: Slot | None = None  # what turns the gradients of a training state into its updates
    trained: Slot | None = None  # the parameters that it is made with
    computes: str = ""  # the method behind a call of a model
    builds: tuple[str, ...] = ()  # the methods in which a model makes its layers, beside its constructor
    also: str = ""  # a further role, whose methods it has as well
    accumulation: Slot | None = None  # how many batches it sums the gradients of for a step
    scales: Scales | None = None  # when its backward multiplies the loss by a scale
    sparse: Slot | None = None  # what makes the gradients of a layer sparse, which no norm is computed of


@dataclass(frozen=True, slots=True)
class DictRule:
    """A dict in place of a call, by its name in a configuration file, which holds values and makes nothing."""

    names: tuple[str, ...]
    clipping: Clipping
    model: str  # the name beside it of the dict that describes the model
    kind: str  # the entry of such a dict that says what is made of it
    beside: str = ""  # a name that has to be a dict as well
    bases: str = ""  # names the files that this one builds upon
    anew: str = ""  # the entry that says that a dict of theirs is not built upon


@dataclass(slots=True)
class Knowledge:
    """All knowledge files in one set of tables."""

    calls: dict[str, CallRule] = field(default_factory=dict)
    methods: dict[tuple[str, str], CallRule] = field(default_factory=dict)
    classes: dict[str, ClassRule] = field(default_factory=dict)
    class_patterns: list[tuple[NamePattern, ClassRule]] = field(default_factory=list)
    wrappers: dict[str, int] = field(default_factory=dict)  # argument returned; -1: all of them
    normalising: set[str] = field(default_factory=set)  # wrappers that normalise the weights of a layer
    sharding: set[str] = field(default_factory=set)  # wrappers whose parameters the plain clip gets wrong
    unsharded: dict[str, tuple[Slot, str]] = field(
        default_factory=dict
    )  # ... unless an argument matches this
    wrapper_patterns: list[tuple[NamePattern, int]] = field(default_factory=list)
    passthrough_methods: set[str] = field(default_factory=set)
    passthrough_attributes: set[str] = field(default_factory=set)
    constructors: set[str] = field(default_factory=set)  # class methods that make an instance
    assumed: set[str] = field(default_factory=set)  # attributes that are true wherever a step acts
    harmless: set[str] = field(default_factory=set)
    aliases: dict[str, str] = field(default_factory=dict)  # packages that are another by another name
    alias_patterns: list[tuple[NamePattern, str]] = field(
        default_factory=list
    )  # modules whose names another has
    words: set[str] = field(default_factory=set)  # names of frameworks whose events have common names
    not_finite: set[str] = field(default_factory=set)
    hints: dict[str, re.Pattern[str]] = field(default_factory=dict)
    fixes: dict[str, str] = field(default_factory=dict)
    engines: dict[str, dict[str, str]] = field(default_factory=dict)  # by framework: how its object clips
    frameworks: dict[str, Framework] = field(default_factory=dict)
    dialects: dict[str, dict[str, str]] = field(
        default_factory=dict
    )  # by package: fixes that it has its own way
    own: dict[str, CallRule] = field(default_factory=dict)  # the project's own helpers, from its settings
    dicts: list[DictRule] = field(default_factory=list)
    called: set[str] = field(default_factory=set)  # names by which people call objects whose call is an event
    by_package: set[str] = field(
        default_factory=set
    )  # packages whose files are found by the name of the package
    values: dict[str, dict[str, str]] = field(default_factory=dict)  # by framework: how a gradient is clipped
    parameter_attributes: set[str] = field(default_factory=set)  # of a model: its parameters
    parameter_values: set[str] = field(default_factory=set)  # of a parameter: what it holds
    parameter_methods: set[str] = field(default_factory=set)
    named: dict[str, str] = field(default_factory=dict)  # classes by the strings that stand for them
    common: dict[str, set[str]] = field(default_factory=dict)  # by package: events with everyday names
    packages: set[str] = field(default_factory=set)  # top-level names the knowledge speaks of
    flags: set[str] = field(default_factory=set)  # what the flags of a command line are read from
    digest: str = ""
    _hinted: dict[tuple[str, str], bool] = field(default_factory=dict)
    _by_name: dict[str, tuple[tuple[str, CallRule], ...]] = field(default_factory=dict)
    # What has been looked up: the same few names are asked for at every expression of a program.
    _own_names: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    _class_rules: dict[str, ClassRule | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _sets: dict[str, frozenset[str]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _among: dict[str, tuple[set[str], set[str]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )  # by hint: the words that read like it, and those that do not
    _patterns: dict[str, list[tuple[NamePattern, ClassRule]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )  # those that may match a qualified name, by the first of its names

    def call(self, qualified: str) -> CallRule | None:
        """The event that a call of this qualified name is, if any."""
        return self.calls.get(self.own_name(qualified))

    def own_name(self, qualified: str) -> str:
        """A qualified name by the package's own name, where it has another one."""
        found = self._own_names.get(qualified)
        if found is None:
            found = self._own_names[qualified] = self._unaliased(qualified)
        return found

    def _unaliased(self, qualified: str) -> str:
        for alias, name in self.aliases.items():
            if qualified.startswith(alias + "."):
                return self._unaliased(name + qualified[len(alias) :])
        for pattern, name in self.alias_patterns:
            module, _, rest = qualified.rpartition(".")
            if pattern.matches(module):
                return f"{name}.{rest}"
        return qualified

    def method(self, role: str, name: str) -> CallRule | None:
        """The event that this method of an object of this role is, if any."""
        return self.methods.get((role, name))

    def methods_of(self, event: str) -> frozenset[str]:
        """The names of the methods that are an event, of whatever role their objects are."""
        return self._once(
            f"methods: {event}",
            lambda: frozenset(name for (_, name), rule in self.methods.items() if rule.event == event),
        )

    def methods_named(self, name: str) -> tuple[tuple[str, CallRule], ...]:
        """The methods of a name, each with the role that its object has."""
        if not self._by_name:
            for (role, own), rule in self.methods.items():
                self._by_name[own] = (*self._by_name.get(own, ()), (role, rule))
        return self._by_name.get(name, ())

    def other_names(self, qualified: str) -> Iterator[tuple[str, str]]:
        """A qualified name as each of the packages says it that have it, with that package."""
        for alias, name in ((qualified.partition(".")[0],) * 2, *self.aliases.items()):
            if qualified.startswith(name + "."):
                yield alias + qualified[len(name) :], alias

    def class_rule(self, qualified: str) -> ClassRule | None:
        """What is known of a class by its qualified name, exact names before patterns."""
        try:
            return self._class_rules[qualified]
        except KeyError:
            found = self._class_rules[qualified] = self._class_rule(self.own_name(qualified))
            return found

    def _class_rule(self, name: str) -> ClassRule | None:
        if name in self.classes:
            return self.classes[name]
        first = name.partition(".")[0]
        if first not in self._patterns:
            self._patterns[first] = [
                (pattern, rule)
                for pattern, rule in self.class_patterns
                if pattern.head.startswith(first + ".") or "." not in pattern.head
            ]
        return next((rule for pattern, rule in self._patterns[first] if pattern.matches(name)), None)

    def wrapped_argument(self, qualified: str) -> int | None:
        """Which argument a call of this name gives back (-1: all of them), or None."""
        if qualified in self.wrappers:
            return self.wrappers[qualified]
        for pattern, argument in self.wrapper_patterns:
            if pattern.matches(qualified):
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
        known = self._hinted.get((hint, identifier))
        if known is None:
            pattern = self.hints.get(hint)
            known = pattern is not None and _reads_like(pattern, identifier)
            self._hinted[hint, identifier] = known
        return known

    def among(self, hint: str, words: frozenset[str]) -> set[str]:
        """Those of some identifiers that read like what `hint` names; of most files all were asked about before."""
        alike, others = self._among.setdefault(hint, (set(), set()))
        pattern = self.hints.get(hint)
        if pattern is None:
            return set()
        for word in words - others - alike:
            (alike if _reads_like(pattern, word) else others).add(word)
        found = alike & words
        if len(others) > _REMEMBERED:  # a table of numbers in hexadecimal has as many
            others.clear()
        return found

    def waits(self, test: str) -> bool:
        """Whether a test reads like an option of clipping, or like the end of a warm-up."""
        words = _WORD.findall(test)
        return any(self.hinted(hint, word) for word in words for hint in ("clip-option", "warm-up"))

    def _once(self, name: str, found: Callable[[], frozenset[str]]) -> frozenset[str]:
        """A set of names, gathered once: each program of a scan asks for it."""
        if name not in self._sets:
            self._sets[name] = found()
        return self._sets[name]

    @property
    def decisive(self) -> frozenset[str]:
        """The last names of the events that are reported on: steps, clips, and optimizers handed to a model."""
        return self._once("decisive", self._decisive)

    def _decisive(self) -> frozenset[str]:
        # `model.compile(optimizer="adam")` names no class: the call itself has to be looked for.
        starters = {
            name for name, rule in self._last_names() if rule.event == "fit" and rule.slot("optimizer")
        }
        return self.decisive_methods | self.decisive_functions | starters

    @property
    def decisive_methods(self) -> frozenset[str]:
        """The names of the methods that are such events."""
        return frozenset(
            name
            for (_, name), rule in self.methods.items()
            if rule.event in _DECISIVE and not rule.common and name != "__call__"
        )

    @property
    def backward_methods(self) -> frozenset[str]:
        """The names of the methods that go back through a graph."""
        return self.methods_of("backward")

    @property
    def not_finite_methods(self) -> frozenset[str]:
        """The names of the functions that ask for NaN, which tensors have as methods."""
        return self._once(
            "not finite", lambda: frozenset(name.rpartition(".")[2] for name in self.not_finite)
        )

    @property
    def decisive_functions(self) -> frozenset[str]:
        """The last names of the functions that are such events, and of objects whose call is one."""
        known = (*self.calls.items(), *self.own.items())
        found = (
            name.rpartition(".")[2] for name, rule in known if rule.event in _DECISIVE and not rule.common
        )
        return frozenset(found) | self.called

    def _last_names(self) -> Iterator[tuple[str, CallRule]]:
        """Every function and method that is an event, by the last of its names."""
        for name, rule in (*self.calls.items(), *self.own.items()):
            yield name.rpartition(".")[2], rule
        for (_, name), rule in self.methods.items():
            yield name, rule

    @property
    def fits(self) -> frozenset[str]:
        """The last names of the methods that set a trainer going."""
        return self.methods_of("fit")

    @property
    def telling_fits(self) -> frozenset[str]:
        """Those of them that are handed an optimizer: `compile`."""
        rules = (rule for rule in self.methods.items() if _is_telling(rule[1]))
        return frozenset(name for (_, name), rule in rules if rule.slot("optimizer") is not None)

    @property
    def by_import(self) -> frozenset[str]:
        """Packages of which a file that imports one can hold an event: their events have everyday names."""
        return frozenset(self.words | self.by_package)

    @property
    def told_here(self) -> frozenset[str]:
        """The last names of the classes that have to be told how to clip, of the other packages."""
        return self._told(self.words | self.by_package)

    @property
    def told_packages(self) -> frozenset[str]:
        """The packages that have such classes."""
        without = self.words | self.by_package
        told = {name.partition(".")[0] for name, rule in self.classes.items() if rule.clipping}
        return frozenset(told - without)

    @property
    def told(self) -> frozenset[str]:
        """The last names of the classes that clip only where an argument says so, or do so unless it does."""
        return self._once("told", lambda: self._told(self.words))

    def _told(self, without: set[str]) -> frozenset[str]:
        """The last names of such classes of all packages but some."""
        return frozenset(
            name.rpartition(".")[2]
            for name, rule in self.classes.items()
            if rule.clipping and name.partition(".")[0] not in without
        )

    def event_names(self) -> frozenset[str]:
        """The last names of all event calls: what a function must call to matter."""
        return self._once("events", self._event_names)

    def _event_names(self) -> frozenset[str]:
        names = {name for name, rule in self._last_names() if rule.event in _GRADIENT and not rule.common}
        names.discard("__call__")
        # What clips by itself is no reason to follow all that is called `train`.
        quiet = {
            role
            for rule in self.classes.values()
            if rule.clipping and not rule.clipping.on_by_default
            for role in (rule.role, rule.also)
        }
        fits = ((role, name) for (role, name), rule in self.methods.items() if _is_telling(rule))
        names |= {name for role, name in fits if role in quiet}
        return frozenset(names | {".grad"} | self.told | self.called)


def _is_telling(rule: CallRule) -> bool:
    """Whether a method sets a trainer going by a name that says so."""
    return rule.event == "fit" and not rule.common


_DECISIVE = frozenset({"step", "told-step", "clip", "transform", "minimize"})
_GRADIENT = _DECISIVE | {
    "backward",
    "unscale",
    "zero-grad",
    "gradient",
    "gradient-function",
    "bound",
    "train",
}
_FRAMEWORK = {"name": str, "checked": str, "recognised": str, "fixed": str, "tried": str}
_ABOUT = {"shadowed": bool, "listed": bool}
_KINDS = {str: "a text", bool: "true or false"}
_TRIED = ("run", "read")
# A package and its version; where it was tried in another way than the framework, how: "mmcv 1.7 (read)".
_PACKAGE = regular(r"([A-Za-z][\w.-]*(?:\[[\w,-]+\])?) (\d[\w.+!-]*)(?: \((run|read)\))?")
_SECTIONS = {"framework", "engine", "named", "dialect", "aliases", "fix", "hints", *FORMS}


def load(
    folders: Collection[Path] = (), clip_functions: Iterable[str] = (), step_functions: Iterable[str] = ()
) -> Knowledge:
    """The knowledge shipped with clipcheck, that of further folders, and a project's own helpers."""
    knowledge = Knowledge()
    digest, shipped = _shipped()
    for data in shipped:
        _read(knowledge, data)
    if folders:
        words = Words()
        for data in shipped:
            words.learn(data)
        for name, text in _texts(folders):
            digest = _sum(digest.encode(), text.encode())
            _add(knowledge, name, _parsed(name, text), words)
    knowledge.digest = digest
    knowledge.own = {name: CallRule("clip", "library") for name in clip_functions}
    step = CallRule("step", slots=(("optimizer", ("optimizer", 0)),))
    knowledge.own |= dict.fromkeys(step_functions, step)
    return knowledge


def digest_of(folders: Collection[Path] = ()) -> str:
    """What `load` gives as the digest, without the knowledge."""
    digest = _shipped()[0]
    for _, text in _texts(folders):
        digest = _sum(digest.encode(), text.encode())
    return digest


def _shipped() -> tuple[str, list[Mapping[str, Any]]]:
    """What the shipped files say, and their digest.

    A build parses them once, into a module (setup.py); it counts while it is of the files that are there.
    """
    files = sorted(catalog.folder().glob("*.toml"))
    texts = [path.read_bytes() for path in files]
    digest = _sum(*texts)
    try:
        built = import_module("clipcheck.rules.parsed")
    except ModuleNotFoundError:
        built = None
    if built is not None and digest == built.DIGEST:
        return digest, built.FILES
    return digest, [_parsed(path.name, text.decode()) for path, text in zip(files, texts, strict=True)]


def _sum(*texts: bytes) -> str:
    """A check sum of texts (setup.py has the same): nobody is kept out by it, and `hashlib` takes 3 ms to import."""
    data = b"\0".join(texts)
    return f"{zlib.crc32(data):08x}{zlib.adler32(data):08x}{len(data):08x}"


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


def _parsed(name: str, text: str) -> Mapping[str, Any]:
    """What a knowledge file says. Raises KnowledgeError where it has not the form of one."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        data: dict[str, Any] = tomllib.loads(text)
        check_form(data)
        for section in data:
            if section not in _SECTIONS:
                raise KnowledgeError(f"unknown section {section!r}")
        _check_framework(data.get("framework"))
    except (KnowledgeError, FormError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise KnowledgeError(f"{name}: {error}") from error
    return data


def _add(knowledge: Knowledge, name: str, data: Mapping[str, Any], words: Words) -> None:
    """Add a file of a project's own. Raises KnowledgeError, which names the file."""
    try:
        _read(knowledge, data)
        words.check(data)
    except (KnowledgeError, FormError, KeyError, TypeError) as error:
        raise KnowledgeError(f"{name}: {error}") from error


def _read(knowledge: Knowledge, data: Mapping[str, Any]) -> None:
    """Add one knowledge file to the tables."""
    framework = Framework(**data["framework"])
    if framework.name in knowledge.frameworks:
        raise KnowledgeError(f"[framework] name = {framework.name!r} is the name of another file already")
    knowledge.frameworks[framework.name] = framework
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
    for alias, name in data.get("aliases", {}).items():
        if "*" in alias:
            knowledge.alias_patterns.append((_pattern(alias), name))
        else:
            knowledge.aliases[alias] = name
    knowledge.packages.update(name.partition(".")[0] for name in data.get("aliases", {}))
    knowledge.words.update(data.get("libraries", {}).get("words", ()))
    knowledge.by_package.update(data.get("libraries", {}).get("named", ()))
    knowledge.not_finite.update(data.get("checks", {}).get("not-finite", ()))
    knowledge.hints.update({key: regular(text) for key, text in data.get("hints", {}).items()})
    for key, text in data.get("fix", {}).items():
        knowledge.fixes.setdefault(key, text)
    if dialect := dict(data.get("dialect", {})):
        knowledge.dialects[dialect.pop("package")] = dialect
    for owner, templates in data.get("engine", {}).items():
        knowledge.engines[owner] = dict(templates)
    knowledge.named.update(data.get("named", {}))
    if "values" in data:
        knowledge.values[framework.name] = dict(data["values"])
    knowledge.parameter_attributes.update(data.get("parameters", {}).get("attributes", ()))
    knowledge.parameter_values.update(data.get("parameters", {}).get("values", ()))
    knowledge.parameter_methods.update(data.get("parameters", {}).get("methods", ()))


def _check_framework(data: Any) -> None:
    """Look at what a file says of itself. Raises KnowledgeError, which names the key that is not as it must be."""
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


def _read_classes(knowledge: Knowledge, data: Mapping[str, Any]) -> None:
    own = field_names(ClassRule)
    for entry in data.get("class", ()):
        said = ((key.replace("-", "_"), _READ_OF_CLASS.get(key), value) for key, value in entry.items())
        rule = ClassRule(
            **{name: read(value) if read else value for name, read, value in said if name in own}
        )
        for name in entry["names"]:
            if _is_pattern(name):
                knowledge.class_patterns.append((_pattern(name), rule))
            else:
                knowledge.classes[name] = rule
    for entry in data.get("dict", ()):
        told = _clipping(entry["clipping"])
        assert told is not None
        further = (entry.get(key, "") for key in ("model", "kind", "beside", "bases", "anew"))
        knowledge.dicts.append(DictRule(tuple(entry["names"]), told, *further))
    for entry in data.get("wrapper", ()):
        if entry.get("sharded"):
            knowledge.sharding.update(entry["names"])
        if whole := entry.get("unsharded"):
            knowledge.unsharded.update(dict.fromkeys(entry["names"], ((whole[0], whole[1]), whole[2])))
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
            slots = tuple((key, slot) for key in SLOTS if key in entry and (slot := _slot(entry[key])))
            rule = CallRule(
                event=entry["event"],
                kind=entry.get("kind", ""),
                slots=slots,
                replaced_by=entry.get("replaced-by", ""),
                unscales=entry.get("unscales", False),
                framework=framework,
                kinds=tuple(entry.get("kinds", {}).items()),
                clipping=_clipping(entry.get("clipping")),
                common=entry.get("common", False),
                result=entry.get("result", ""),
                negative=entry.get("negative", ""),
            )
            knowledge.called.update(entry.get("called", ()))
            if rule.common and (rule.event in _GRADIENT):
                last = {name.rpartition(".")[2] for name in entry["names"]}
                for package in data["libraries"]["packages"]:
                    knowledge.common.setdefault(package, set()).update(last)
            for name in entry["names"]:
                if section == "call":
                    knowledge.calls[name] = rule
                else:
                    knowledge.methods[entry["of"], name] = rule


def _reads_like(pattern: re.Pattern[str], identifier: str) -> bool:
    return pattern.search(identifier.lower().lstrip("_")) is not None


def _clipping(data: Mapping[str, Any] | None) -> Clipping | None:
    if data is None:
        return None
    named, since, idle = data.get("named-by"), data.get("default-since"), data.get("idle")
    return Clipping(
        arguments=tuple(data.get("arguments", ())),
        on_by_default={"on": True, "off": False}[data["default"]],
        value=data.get("value", "{threshold}"),
        looked_at=tuple(data.get("looked-at", ())),
        elsewhere=regular(data["elsewhere"]) if "elsewhere" in data else None,
        refused=regular(data["refused"]) if "refused" in data else None,
        none=data.get("none", ""),
        position=data.get("position", -1),
        zero_acts={"off": False, "acts": True}[data.get("zero", "off")],
        beside=tuple(data.get("beside", {}).items()),
        member=_member(data.get("member")),
        hook=data.get("hook", ""),
        around=data.get("around", ""),
        first=data.get("first", ""),
        kinds=tuple(data.get("kinds", {}).items()),
        within=tuple((slot[0], slot[1]) for slot in data.get("within", ())),
        named_by=((named[0], named[1]), named[2]) if named else None,
        since=Since(since["package"], since["before"], since["version"], since["default"] == "on")
        if since
        else None,
        idle=(idle[0], idle[1]) if idle else None,
        spelled=data.get("spelled", ""),
        came_with=tuple(data.get("came-with", {}).items()),
        outdated=tuple(data.get("outdated", ())),
        limits=dict(data.get("limits", {})),
    )


def _transforms(data: Mapping[str, Any] | None) -> Transforms | None:
    if data is None:
        return None
    return Transforms(
        data["does"], data.get("kind", ""), _slot(data.get("threshold")), _slot(data.get("members"))
    )


def _scales(value: Any) -> Scales | None:
    return None if value is None else Scales((value[0], value[1]), frozenset(value[2:]))


def _member(data: Mapping[str, Any] | None) -> Member | None:
    if data is None:
        return None
    return Member(data["name"], data["value"], data.get("alone", False), tuple(data.get("starred", ())))


def _hooks(data: Mapping[str, Any] | None) -> Hooks | None:
    if data is None:
        return None
    return Hooks(
        before=tuple(data.get("before", ())),
        optimizers=data.get("optimizers", ""),
        step=tuple(data.get("step", ())),
        after_backward=tuple(data.get("after-backward", ())),
        each_backward=tuple(data.get("each-backward", ())),
        clipping=data.get("clipping", ""),
        automatic=data.get("automatic", ""),
        whole=data.get("whole", ""),
    )


def _slot(value: Any) -> Slot | None:
    return None if value is None else (value[0], value[1])


_READ_OF_CLASS: dict[str, Callable[[Any], Any]] = {
    "parameters": _slot, "clipping": _clipping, "hooks": _hooks, "model": _slot, "settings": _slot,
    "callbacks": _slot, "optimizers": _slot, "transforms": _transforms, "transformation": _slot,
    "trained": _slot, "builds": tuple, "accumulation": _slot, "scales": _scales, "sparse": _slot,
}  # fmt: skip


def _exact(names: Iterable[str]) -> Iterator[str]:
    return (name for name in names if not _is_pattern(name))


def _is_pattern(name: str) -> bool:
    return "*" in name or "[" in name


def _pattern(name: str) -> NamePattern:
    whole = name.replace(".", r"\.").replace("*", r"[^.]*")
    return NamePattern(regular(whole), name.partition("*")[0].partition("[")[0])
