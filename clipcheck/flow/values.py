"""What an expression may be worth: the abstract values that the flow analysis computes with.

Identity is by key: two expressions that yield the same key name the same model or optimizer. An
`Unknown` has a key as well (where it came from), so that equal unknowns are recognised as equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clipcheck import facts
from clipcheck.findings import Evidence, Site
from clipcheck.knowledge import CallRule, ClassRule
from clipcheck.record import HashedOnce, dataclass, field, replace

MAX_ALTERNATIVES = 6  # of a value; of more, only those that are known are kept
MAX_KNOWN = 24  # of them: a program's table of models is as long as that
MAX_PARTS = 2000  # of a model


class Value:
    """Anything an expression can be worth."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Unknown(Value):
    """A value nothing is known of but where it came from, and which models it was handed."""

    key: str
    holds: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Literal(Value):
    value: str | int | float | bool | None
    place: tuple[str, int] = field(default=("", 0), compare=False)
    source: facts.Constant | None = field(default=None, compare=False)  # where that constant is written


@dataclass(frozen=True, slots=True)
class Option(Value):
    """A setting the user of the program chooses, by the command line, a file or the environment.

    A value computed from an option is an option as well: `default` is what the computation gives by default,
    `written` stays the default as it is written down.
    """

    name: str
    default: Value | None  # None: it has none, it must be given
    place: tuple[str, int]
    written: Written | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Written:
    """The default of a setting as a file says it, and where: what a fix can replace.

    `column` is -1 where a fix cannot (another kind of file, several lines); with `keyword`, the default is one that
    goes without saying, and `keyword=` can be inserted at `column`.
    """

    name: str
    value: str | int | float | bool | None
    place: tuple[str, int]
    column: int = -1
    end: int = -1
    keyword: str = ""


@dataclass(frozen=True, slots=True)
class External(Value):
    """A name outside the project, fully qualified."""

    name: str


@dataclass(frozen=True, slots=True)
class Pending(Value):
    """A name imported from a module of the project that nobody has asked for yet."""

    filename: str  # of the module it comes from
    name: str
    submodule: str | None  # the file of the submodule of that name, where there is one


@dataclass(frozen=True, slots=True)
class ModuleRef(Value):
    """A module of the project, by its file name."""

    filename: str


@dataclass(frozen=True, eq=False, slots=True)
class ClassRef(Value):
    """A class of the project and the frame that it was defined in."""

    filename: str
    definition: facts.Class
    frame: Frame


@dataclass(frozen=True, eq=False, slots=True)
class FunctionRef(Value):
    """A function of the project; `receiver` is what a method is bound to, `owner` the class it stands in."""

    filename: str
    definition: facts.Function
    frame: Frame
    owner: ClassRef | None = None
    receiver: Value | None = None

    def bound_to(self, receiver: Value) -> FunctionRef:
        """The same method, of one instance or class."""
        return FunctionRef(self.filename, self.definition, self.frame, self.owner, receiver)


@dataclass(frozen=True, slots=True)
class Arguments(HashedOnce):
    """What a call hands over: positional arguments, and keywords (None: a `**` mapping)."""

    positional: tuple[Value, ...] = ()
    keywords: tuple[tuple[str | None, Value], ...] = ()

    def get(self, slot: tuple[str, int] | None) -> Value | None:
        """The argument at a slot of the knowledge: by its keyword, else by its position."""
        if slot is None:
            return None
        for name, value in self.keywords:
            if name == slot[0]:
                return value
        for name, value in self.keywords:
            if name is None and isinstance(value, Table) and (entry := value.get(slot[0])) is not None:
                return entry
        return self.positional[slot[1]] if 0 <= slot[1] < len(self.positional) else None

    def all(self) -> tuple[Value, ...]:
        return self.positional + tuple(value for _, value in self.keywords)


@dataclass(frozen=True, eq=False, slots=True)
class Partial(Value):
    """`functools.partial`: a callable with some arguments given."""

    function: Value
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class Super(Value):
    """`super()` in a method: the receiver, seen from behind the class that the method stands in."""

    receiver: Value
    cls: ClassRef


@dataclass(frozen=True, slots=True)
class Bound(Value):
    """A method or attribute of something that does not say what it is."""

    owner: Value
    name: str


@dataclass(frozen=True, slots=True)
class Items(Value, HashedOnce):
    """A list, tuple or set whose members are known one by one."""

    members: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Elements(Value):
    """A sequence of unknown length (or `count`) whose members all look like `member`."""

    member: Value
    count: Value | None = None


@dataclass(frozen=True, slots=True)
class Table(Value, HashedOnce):
    """A dict with literal keys; `partial`: it may hold others as well."""

    entries: tuple[tuple[str, Value], ...]
    partial: bool = False
    written: Site | None = field(default=None, compare=False)  # the display of it that a program holds

    def get(self, key: str) -> Value | None:
        return next((value for name, value in self.entries if name == key), None)

    def having(self, key: str, value: Value) -> Table:
        """The same with one entry added, or in place of the one that has its key."""
        kept = (entry for entry in self.entries if entry[0] != key)
        return Table((*kept, (key, value)), self.partial, self.written)


@dataclass(frozen=True, slots=True)
class File(Value):
    """An open file, or its contents, by the path as the code says it."""

    path: str


@dataclass(frozen=True, slots=True)
class Several(Value):
    """One of these, depending on the path taken."""

    choices: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Tensor(Value):
    """A result of models: the keys of those it depends on, and whether they are all of them."""

    models: frozenset[str] = frozenset()
    complete: bool = True
    scaled: bool = False


@dataclass(frozen=True, slots=True)
class Parameters(Value):
    """Parameters of the models with these keys; `holder` is the optimizer whose own they are."""

    models: frozenset[str]
    part: bool = False  # a subset, by a condition or an index
    holder: str = ""
    single: bool = False  # one parameter out of the set
    named: bool = False  # (name, parameter) pairs
    gradient: bool = False  # their gradients rather than they themselves
    iterator: str = ""  # which iterator they come from, that its first reader uses up; "": a list or its like

    @property
    def all(self) -> Parameters:
        """All parameters of the same models: what a change of one after the other, or of their gradients, covers."""
        return Parameters(self.models, False, self.holder)


@dataclass(frozen=True, slots=True)
class Gradient(Value):
    """A gradient that is a value: what has happened to it stands in the worlds, under its keys.

    One that was clipped or changed is another value with a key of its own, which begins with that of the first.
    """

    keys: frozenset[str]
    models: frozenset[str] = frozenset()
    whole: bool = False  # whether `models` is all that it is of
    single: bool = False  # of one parameter out of the set
    tensors: bool = False  # of tensors that belong to no model
    framework: str = ""  # which made it


@dataclass(frozen=True, slots=True)
class Accumulation(Value):
    """What sums up the gradients of several batches for one step: the `with` of a framework, or its trainer.

    Where the sum is complete: under a condition of the object `owner`, or in the method `place` of a model.
    """

    owner: str = ""
    framework: str = ""
    place: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Differentiated(Value):
    """A function whose call computes another function, and the gradient of what that gives."""

    function: Value | None
    rule: CallRule
    model: Value | None = None  # what the gradient is of, where it is named
    auxiliary: bool = False  # that function returns more beside the loss


class Object(Value):
    """An instance made somewhere: of a class of the project, or of a framework's (`external`)."""

    __slots__ = (
        "annotated",
        "arguments",
        "attributes",
        "cls",
        "count",
        "external",
        "key",
        "keywords",
        "named",
        "rule",
        "site",
        "under",
    )

    def __init__(
        self, key: str, site: Site, cls: ClassRef | None, external: str, rule: ClassRule | None
    ) -> None:
        self.key = key
        self.site = site
        self.cls = cls
        self.external = external
        self.rule = rule
        self.attributes: dict[str, Value] = {}
        self.arguments: tuple[Value, ...] = ()
        self.keywords: tuple[tuple[str | None, Value], ...] = ()
        self.count: int = 1
        self.annotated = False  # known from an annotation, nobody in sight made it
        self.named = False  # known by a name alone, that a framework makes it from
        # Of an optimizer: the tests that it is made behind, and how they went.
        self.under = frozenset[tuple[str, bool]]()

    @property
    def role(self) -> str:
        return self.rule.role if self.rule else ""

    @property
    def name(self) -> str:
        """What it is an instance of, for people."""
        return self.cls.definition.name if self.cls else self.external.rpartition(".")[2]

    @property
    def origin(self) -> str:
        """How it is known to be at its place: "made" there, "named", or "expected" by an annotation."""
        return "expected" if self.annotated else "named" if self.named else "made"

    def place(self) -> tuple[str, int]:
        return self.site.filename, self.site.span.row

    def __repr__(self) -> str:
        return f"Object({self.key})"


class Starred:
    """The libraries that a module imports with a star, as long as its names and the number of such imports stay."""

    __slots__ = ("libraries", "locals", "names", "stars")

    def __init__(self, frame: Frame, stars: int) -> None:
        self.locals, self.stars = frame.locals, stars
        self.libraries = [key[2:] for key in frame.locals if key.startswith("* ")]
        self.names: dict[str, Value] = {}  # those looked for there

    def holds(self, frame: Frame, stars: int) -> bool:
        return self.locals is frame.locals and self.stars == stars


class Frame:
    """The names of one call (or module or class body) while it runs."""

    __slots__ = (
        "defaulted",
        "filename",
        "globals",
        "label",
        "locals",
        "nested",
        "owner",
        "parent",
        "receiver",
        "shadowed",
        "shared",
        "starred",
    )

    def __init__(
        self, filename: str, label: str, parent: Frame | None, globals_: Frame | None = None
    ) -> None:
        self.filename = filename
        self.label = label
        self.parent = parent
        self.globals: Frame = globals_ or self
        self.locals: dict[str, Value] = {}
        self.shared: set[str] = set()  # names declared global or nonlocal
        self.starred: Starred | None = None  # what is known of its star imports
        self.nested: list[FunctionRef] = []
        self.receiver: Value | None = None
        self.owner: ClassRef | None = None
        # The parameters that this call leaves at their default, and another one gave.
        self.defaulted = frozenset[str]()
        self.shadowed: Value | None = None  # of a class body: what had the name of the class before it

    def find(self, name: str) -> Frame | None:
        """The frame in which a name is bound, from here outwards."""
        frame: Frame | None = self
        while frame is not None:
            if name in frame.locals:
                return frame
            frame = frame.parent
        return None


def several(values: Iterable[Value]) -> Value:
    """The alternatives as one value: duplicates dropped, a lone one as itself, too many as unknown."""
    out: list[Value] = []
    for value in values:
        for choice in value.choices if isinstance(value, Several) else (value,):
            if choice in out:
                continue
            same = [one for one in out if isinstance(choice, Parameters) and reread(one) == reread(choice)]
            if same:  # one iterator or another: which of them is used up is not known
                out[out.index(same[0])] = reread(choice)
            else:
                out.append(choice)
    if len(out) == 1:
        return out[0]
    if len(out) > MAX_ALTERNATIVES:
        known = [value for value in out if _is_known(value)]
        out = known[:MAX_KNOWN] or out[:MAX_ALTERNATIVES]
    return Several(tuple(out))


def _is_known(value: Value) -> bool:
    """Whether it is known what a value is, or what it is of."""
    if isinstance(value, Bound):
        return isinstance(value.owner, Object)
    return isinstance(value, (Object, Literal, FunctionRef, ClassRef, Parameters))


def reread(value: Value) -> Value:
    """The same parameters as a value that can be read again and again."""
    return replace(value, iterator="") if isinstance(value, Parameters) and value.iterator else value


def choices(value: Value) -> tuple[Value, ...]:
    """The alternatives of a value; a plain value has one: itself."""
    return value.choices if isinstance(value, Several) else (value,)


def members(value: Value) -> Iterator[Value]:
    """The members of every sequence among the alternatives of a value."""
    for choice in choices(value):
        if isinstance(choice, Items):
            yield from choice.members
        elif isinstance(choice, Elements):
            yield choice.member
        elif isinstance(choice, Table):
            yield from (entry for _, entry in choice.entries)


def one_table(value: Value) -> Value:
    """Several dicts as one: what only some of them have is not known, whether it is there or not."""
    tables = [choice for choice in choices(value) if isinstance(choice, Table)]
    if len(tables) < 2 or len(tables) < len(list(choices(value))):
        return value
    entries: dict[str, Value] = {}
    for key in dict.fromkeys(key for table in tables for key, _ in table.entries):
        found = [one for table in tables if (one := table.get(key)) is not None]
        entries[key] = several(found) if len(found) == len(tables) else Unknown(f"{key} of some")
    written = {table.written for table in tables}
    place = written.pop() if len(written) == 1 else None
    return Table(tuple(entries.items()), any(table.partial for table in tables), place)


def parts_of(model: Value) -> Iterator[Object]:
    """A model, and the models, tensors and plain objects in it, each once."""
    waiting, seen = [model], set[str]()
    while waiting and len(seen) < MAX_PARTS:
        value = waiting.pop()
        if isinstance(value, Several):
            waiting += value.choices
        elif not isinstance(value, Object):
            waiting += members(value)
        elif value.key not in seen and value.role in ("module", "tensor", ""):
            seen.add(value.key)
            yield value
            waiting += value.attributes.values()


def kept_pair(value: Value) -> tuple[Value, Value] | None:
    """What a dict comprehension, which is read as pairs, keeps: any of its keys, and what they stand for."""
    member = value.member if isinstance(value, Elements) else None
    if isinstance(member, Items) and len(member.members) == 2:
        return member.members[0], member.members[1]
    return None


def entries_of(value: Value) -> tuple[Value, ...]:
    """All that a table holds, whether its keys are known or not; nothing where that is not in sight."""
    if isinstance(value, Table):
        return () if value.partial else tuple(entry for _, entry in value.entries)
    pair = kept_pair(value)
    return pair[1:] if pair is not None else ()


HOLDING = frozenset({Several, Items, Elements, Table, Gradient})  # what a gradient may be found in


def gradients_in(value: Value | None, depth: int = 6) -> Iterator[Gradient]:
    """Every gradient that is a value, in a value and in the sequences that it consists of."""
    for choice in choices(value) if value is not None else ():
        if isinstance(choice, Gradient):
            yield choice
        elif depth:
            for member in members(choice):
                yield from gradients_in(member, depth - 1)


def keys_of(value: Value, depth: int = 3) -> frozenset[str]:
    """The keys of every model, optimizer, parameter set or unknown that a value gives access to."""
    found: set[str] = set()
    for choice in choices(value):
        if isinstance(choice, Object):
            found.add(choice.key)
            if choice.role != "module" and depth:  # a trainer or a config gives access to what it holds
                for attribute in choice.attributes.values():
                    found |= keys_of(attribute, depth - 1)
        elif isinstance(choice, Unknown):
            found |= {choice.key} | choice.holds
        elif isinstance(choice, Parameters):
            found |= choice.models | ({choice.holder} if choice.holder else set())
        elif isinstance(choice, Gradient):
            found |= choice.keys
        elif isinstance(choice, (Items, Elements, Table)) and depth:
            for member in members(choice):
                found |= keys_of(member, depth - 1)
        elif isinstance(choice, Bound):
            found |= keys_of(choice.owner, depth - 1) if depth else set()
        elif isinstance(choice, FunctionRef) and choice.receiver is not None and depth:
            found |= keys_of(choice.receiver, depth - 1)
    return frozenset(found)


def literal(value: Value | None) -> str | int | float | bool | Value | None:
    """The constant behind a value (an option's default counts); the value itself where there is none."""
    if isinstance(value, Literal):
        return value.value
    if isinstance(value, Option) and value.default is not None:
        return literal(value.default)
    return value


def is_infinite(value: Value | None) -> bool:
    """Whether a threshold bounds nothing: `float("inf")`, `math.inf`, `np.inf`."""
    if isinstance(value, External):
        return value.name.rpartition(".")[2].lower() == "inf"
    return literal(value) == float("inf")


def derived(option: Option, default: Value | None) -> Option:
    """What a computation makes of an option: the same setting, with another value by default."""
    return Option(option.name, default, option.place, option.written)


def evidence(place: tuple[str, int], message: str) -> Evidence:
    return Evidence(place[0], place[1], message)
