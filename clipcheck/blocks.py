"""Where a statement stands among the facts of its file: its block, the blocks around it, its function."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Concatenate, ParamSpec, TypeVar

from clipcheck import facts
from clipcheck.facts import Block, Expression, Statement, blocks_of
from clipcheck.findings import Span
from clipcheck.record import dataclass, field_names


@dataclass(frozen=True, slots=True)
class Located:
    """A statement, found: the blocks from its function's (or the module's) down to its own, with the index in each."""

    chain: tuple[tuple[Block, int], ...]
    function: facts.Function | None

    @property
    def statement(self) -> Statement:
        block, index = self.chain[-1]
        return block[index]

    @property
    def block(self) -> Block:
        return self.chain[-1][0]

    @property
    def index(self) -> int:
        return self.chain[-1][1]


def locate(body: Block, span: Span) -> Located | None:
    """The statement that has exactly this span."""
    return _find(body, span, (), None, exact=True)


def enclosing(body: Block, span: Span) -> Located | None:
    """The innermost statement that this span lies in."""
    return _find(body, span, (), None, exact=False)


def _find(
    block: Block,
    span: Span,
    chain: tuple[tuple[Block, int], ...],
    function: facts.Function | None,
    *,
    exact: bool,
) -> Located | None:
    # Statements stand in the order of their rows: what ends above the span is passed over.
    first = bisect_left(block, span[:2], key=lambda statement: statement.span[2:])
    for index, statement in enumerate(block[first:], first):
        if statement.span[:2] > span[2:]:
            break
        here = (*chain, (block, index))
        if exact and statement.span == span:
            return Located(here, function)
        if not _within(statement.span, span):
            continue
        for inner in blocks_of(statement):
            found = (
                _find(inner, span, (), statement, exact=exact)
                if isinstance(statement, facts.Function)
                else _find(inner, span, here, function, exact=exact)
            )
            if found is not None:
                return found
        if not exact:
            return Located(here, function)
    return None


def _within(outer: Span, inner: Span) -> bool:
    return outer[:2] <= inner[:2] and inner[2:] <= outer[2:]


def walk(node: object) -> Iterator[object]:
    """Every statement and expression in `node`, itself included."""
    stack = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, tuple):
            stack.extend(part)
        elif own := field_names(part):
            yield part
            stack.extend([getattr(part, name) for name in own])


Given = TypeVar("Given")
Further = ParamSpec("Further")
Answer = TypeVar("Answer")


def kept(ask: Callable[Concatenate[Given, Further], Answer]) -> Callable[Concatenate[Given, Further], Answer]:
    """The same question, its last answers kept: the blocks of one file are asked about for each of its findings.

    Answers are kept for what is asked about, whatever else is given.
    """
    known: dict[int, tuple[Given, Answer]] = {}  # a block that is kept has its number to itself

    def asked(block: Given, /, *further: Further.args, **named: Further.kwargs) -> Answer:
        found = known.get(id(block))
        if found is None:
            if len(known) == _KEPT:
                del known[next(iter(known))]
            found = known[id(block)] = block, ask(block, *further, **named)
        return found[1]

    return asked


_KEPT = 4  # blocks: those of a file, of a function in it, and of one that it stands in


@kept
def bound(block: Block) -> frozenset[str]:
    """The names that a block binds (nested functions keep theirs to themselves)."""
    return frozenset(_bound(block))


def _bound(block: Block) -> Iterator[str]:
    for statement in block:
        if isinstance(statement, (facts.Function, facts.Class)):
            yield statement.name
            continue
        if isinstance(statement, facts.Import):
            yield statement.alias
        yield from _targets(statement)
        for inner in blocks_of(statement):
            yield from _bound(inner)


@kept
def uses(block: Block) -> Counter[str]:
    """How often each name stands in a block, what it binds and what is nested in it included."""
    return Counter(node.id for node in walk(block) if isinstance(node, facts.Name))


@kept
def assigned(block: Block) -> dict[str, Expression]:
    """What is assigned to each name alone somewhere in a block, whichever `walk` meets first."""
    found: dict[str, Expression] = {}
    for node in walk(block):
        if isinstance(node, facts.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            if isinstance(target, facts.Name):
                found.setdefault(target.id, node.value)
    return found


def _targets(statement: Statement) -> Iterator[str]:
    targets: list[object] = []
    if isinstance(statement, facts.Assign):
        targets += statement.targets
    elif isinstance(statement, (facts.Augment, facts.For, facts.Declare)):
        targets.append(statement.target)
    elif isinstance(statement, facts.With):
        targets += [target for _, target in statement.items]
    yield from (node.id for target in targets for node in walk(target) if isinstance(node, facts.Name))


@kept
def imports(body: Block) -> tuple[facts.Import, ...]:
    """The imports at the top level of a module, those inside `try` and `if` included: code that trains runs where they did."""
    return tuple(_imports(body))


def _imports(body: Block) -> Iterator[facts.Import]:
    for statement in body:
        if isinstance(statement, facts.Import):
            yield statement
        elif isinstance(statement, facts.Try):
            yield from _imports(statement.body)
        elif isinstance(statement, facts.Branch):
            if not _for_type_checkers(statement.test):
                yield from _imports(statement.body)
            yield from _imports(statement.orelse)


def _for_type_checkers(test: Expression) -> bool:
    """Whether a condition is false whenever the program runs."""
    name = test.attr if isinstance(test, facts.Attribute) else test.id if isinstance(test, facts.Name) else ""
    return name == "TYPE_CHECKING"
