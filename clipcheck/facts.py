"""The facts of one file: a compact form of its program that pickles small and needs no parser.

Facts are a pure function of a file's bytes. They hold every statement in its control-flow shape, every
name and value, and the suppression comments; what a name *means* is for `project` to say. All of it is
frozen dataclasses of plain values, so that it crosses process boundaries and lives in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from clipcheck.findings import Span
from clipcheck.record import dataclass, field

# -- expressions -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Constant:
    """A plain value; `column` and `end` (as `ast` counts them) say where it stands, -1: on several lines."""

    value: str | int | float | bool | None
    row: int
    column: int = field(default=-1, compare=False)
    end: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Name:
    id: str
    row: int


@dataclass(frozen=True, slots=True)
class Attribute:
    value: Expression
    attr: str
    row: int


@dataclass(frozen=True, slots=True)
class Call:
    function: Expression
    arguments: tuple[Expression, ...]
    keywords: tuple[tuple[str | None, Expression], ...]
    span: Span
    name_span: Span  # the called name alone: `clip_grad_norm` of `nn.utils.clip_grad_norm(...)`

    @property
    def row(self) -> int:
        return self.span.row


@dataclass(frozen=True, slots=True)
class Starred:
    value: Expression
    row: int


@dataclass(frozen=True, slots=True)
class Collection:
    """A tuple, list or set display."""

    items: tuple[Expression, ...]
    row: int


@dataclass(frozen=True, slots=True)
class Mapping:
    """A dict display; the key of a `**` entry is None."""

    items: tuple[tuple[Expression | None, Expression], ...]
    row: int
    span: Span = field(default=Span(0, 0, 0, 0), compare=False)  # what a fix adds an entry to


@dataclass(frozen=True, slots=True)
class Subscript:
    value: Expression
    index: Expression
    row: int


@dataclass(frozen=True, slots=True)
class Operation:
    """A unary, binary, boolean or comparison operator, by its spelling (`a < b < c` has two)."""

    operator: str
    operands: tuple[Expression, ...]
    row: int


@dataclass(frozen=True, slots=True)
class Conditional:
    test: Expression
    body: Expression
    orelse: Expression
    row: int


@dataclass(frozen=True, slots=True)
class Clause:
    """`for target in source if conditions` of a comprehension."""

    target: Expression
    source: Expression
    conditions: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Comprehension:
    element: Expression
    clauses: tuple[Clause, ...]
    lazy: bool  # a generator expression: used up by its first reader
    span: Span

    @property
    def row(self) -> int:
        return self.span.row


@dataclass(frozen=True, slots=True)
class Lambda:
    function: Function
    row: int


@dataclass(frozen=True, slots=True)
class Opaque:
    """Any other expression (f-string, slice, yield, await …) with the expressions inside it."""

    kind: str
    parts: tuple[Expression, ...]
    row: int


Expression = (
    Constant
    | Name
    | Attribute
    | Call
    | Starred
    | Collection
    | Mapping
    | Subscript
    | Operation
    | Conditional
    | Comprehension
    | Lambda
    | Opaque
)

# -- statements --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Evaluate:
    value: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Assign:
    targets: tuple[Expression, ...]
    value: Expression
    span: Span
    annotation: Expression | None = None


@dataclass(frozen=True, slots=True)
class Declare:
    """`name: annotation` without a value."""

    target: Expression
    annotation: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Augment:
    target: Expression
    operator: str
    value: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Branch:
    test: Expression
    body: tuple[Statement, ...]
    orelse: tuple[Statement, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class For:
    target: Expression
    source: Expression
    body: tuple[Statement, ...]
    orelse: tuple[Statement, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class While:
    test: Expression
    body: tuple[Statement, ...]
    orelse: tuple[Statement, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class With:
    items: tuple[tuple[Expression, Expression | None], ...]
    body: tuple[Statement, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Try:
    body: tuple[Statement, ...]
    handlers: tuple[tuple[Statement, ...], ...]
    orelse: tuple[Statement, ...]
    final: tuple[Statement, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Match:
    subject: Expression
    cases: tuple[tuple[Statement, ...], ...]
    exhaustive: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Return:
    value: Expression | None
    span: Span


@dataclass(frozen=True, slots=True)
class Raise:
    value: Expression | None
    span: Span


@dataclass(frozen=True, slots=True)
class Break:
    span: Span


@dataclass(frozen=True, slots=True)
class Continue:
    span: Span


@dataclass(frozen=True, slots=True)
class Scope:
    """`global` or `nonlocal` names."""

    names: tuple[str, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Import:
    """One bound name: `from module import name as alias` (name None: `import module as alias`).

    `level` counts the leading dots. `import a.b` binds `a`, with alias `a` and module `a.b`.
    """

    alias: str
    module: str
    name: str | None
    level: int
    span: Span


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    kind: str  # "plain", "star", "double-star", "keyword"
    default: Expression | None
    annotation: Expression | None


HANDED = "="  # before a name in `calls` that is handed to a call: `Thread(target=train)` may call `train`


class Source(Protocol):
    """What a function that nobody has asked about yet is read from."""

    def fill(self, function: Function) -> None:
        """Set `parameters`, `body` and `calls` of the function."""

    def pack(self, function: Function) -> bytes | None:
        """The inside of a function that was read, for a pickle; None where it has to be read anew."""


_INSIDE = ("parameters", "body", "calls")


class _Unread:
    """Fields that are read on demand: what a class does not find among its slots, it asks the source for."""

    __slots__ = ("packed", "source")
    source: Source
    packed: bytes  # the inside as it came from the cache, for the source to unpack

    def __getattr__(self, name: str) -> object:
        if name not in _INSIDE:
            raise AttributeError(name)
        self.source.fill(self)  # type: ignore[arg-type]
        return getattr(self, name)


@dataclass(frozen=True, slots=True)
class Function(_Unread):
    """A function; one at the top of a module or of a class may be unread: its inside is parsed when somebody asks."""

    name: str
    parameters: tuple[Parameter, ...]
    body: tuple[Statement, ...]
    decorators: tuple[Expression, ...]
    span: Span
    # the last name of everything called in it or (HANDED) handed on, nested functions included
    calls: frozenset[str]

    @property
    def row(self) -> int:
        return self.span.row

    def __reduce__(self) -> tuple[Callable[..., Function], tuple[object, ...]]:
        source = getattr(self, "source", None)
        if source is None:
            return Function, (
                self.name, self.parameters, self.body, self.decorators, self.span, self.calls
            )  # fmt: skip
        inside = source.pack(self) if is_read(self) else getattr(self, "packed", None)
        return restored, (self.name, self.decorators, self.span, source, inside)


def unread(name: str, decorators: tuple[Expression, ...], span: Span, source: Source) -> Function:
    """A function of which no more is known than where it stands."""
    function: Function = object.__new__(Function)
    for field_name, value in (("name", name), ("decorators", decorators), ("span", span), ("source", source)):
        object.__setattr__(function, field_name, value)
    return function


def restored(
    name: str, decorators: tuple[Expression, ...], span: Span, source: Source, inside: bytes | None
) -> Function:
    """A function from a pickle: what was read of it is unpacked when somebody asks."""
    function = unread(name, decorators, span, source)
    if inside is not None:
        object.__setattr__(function, "packed", inside)
    return function


def is_read(function: Function) -> bool:
    """Whether the inside of a function has been asked for."""
    try:
        object.__getattribute__(function, "body")
    except AttributeError:
        return False
    return True


def read_into(
    function: Function,
    parameters: tuple[Parameter, ...],
    body: tuple[Statement, ...],
    calls: frozenset[str],
) -> None:
    """Give a function that was unread its inside."""
    for name, value in (("parameters", parameters), ("body", body), ("calls", calls)):
        object.__setattr__(function, name, value)


@dataclass(frozen=True, slots=True)
class Class:
    name: str
    bases: tuple[Expression, ...]
    keywords: tuple[tuple[str | None, Expression], ...]
    decorators: tuple[Expression, ...]
    body: tuple[Statement, ...]
    span: Span


Statement = (
    Evaluate
    | Assign
    | Declare
    | Augment
    | Branch
    | For
    | While
    | With
    | Try
    | Match
    | Return
    | Raise
    | Break
    | Continue
    | Scope
    | Import
    | Function
    | Class
)


Block = tuple[Statement, ...]


def blocks_of(statement: Statement) -> tuple[Block, ...]:
    """The blocks directly inside a statement, in the order of the source."""
    inside = _BLOCKS.get(type(statement))
    return () if inside is None else inside(statement)


_BLOCKS: dict[type, Callable[[Any], tuple[Block, ...]]] = {
    Branch: lambda one: (one.body, one.orelse),
    For: lambda one: (one.body, one.orelse),
    While: lambda one: (one.body, one.orelse),
    With: lambda one: (one.body,),
    Function: lambda one: (one.body,),
    Class: lambda one: (one.body,),
    Try: lambda one: (one.body, *one.handlers, one.orelse, one.final),
    Match: lambda one: one.cases,
}


@dataclass(frozen=True, slots=True)
class Suppression:
    """One request for silence: where it stands, and the codes it names (none: every rule).

    `span` reaches from the request's `#` to the end of the comment, or to the next `#` in it: what goes when
    the request goes, the reason written behind it included. `text` is the request alone.
    """

    row: int
    span: Span
    codes: tuple[str, ...]
    kind: str  # "line", "file" or "noqa"
    text: str = ""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A cell of a notebook that cannot be parsed, and so is no part of its program; row and column within it."""

    cell: int
    message: str
    row: int
    column: int | None
    line: str


@dataclass(frozen=True, slots=True)
class ModuleFacts:
    """All that is known of one file from its bytes alone."""

    body: tuple[Statement, ...]
    calls: frozenset[str]  # the last name of everything called outside of functions
    left_out: tuple[LeftOut, ...] = ()
    source: Source | None = field(default=None, compare=False, repr=False)  # of its functions
