"""The facts of one file: a compact form of its program that pickles small and needs no parser.

Facts are a pure function of a file's bytes. They hold every statement in its control-flow shape, every
name and value, and the suppression comments; what a name *means* is for `project` to say. All of it is
frozen dataclasses of plain values, so that it crosses process boundaries and lives in the cache.
"""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    parameters: tuple[Parameter, ...]
    body: tuple[Statement, ...]
    decorators: tuple[Expression, ...]
    span: Span
    calls: frozenset[
        str
    ]  # the last name of everything called in it or (HANDED) handed on, nested functions included

    @property
    def row(self) -> int:
        return self.span.row


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
    calls: frozenset[str]  # the last name of everything called anywhere in the file
    suppressions: tuple[Suppression, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
