"""Walks over facts: the statements inside statements, and the expressions inside both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clipcheck import facts
from clipcheck.facts import Expression, Statement, blocks_of
from clipcheck.flow.render import children


def statements(body: Iterable[Statement], nested: bool = True) -> Iterator[Statement]:
    """Every statement of a block and of the blocks in it; without `nested`, not those of functions and classes."""
    for statement in body:
        yield statement
        if nested or not isinstance(statement, (facts.Function, facts.Class)):
            for block in blocks_of(statement):
                yield from statements(block, nested)


def expressions(statement: Statement) -> tuple[Expression, ...]:
    """The expressions that stand in a statement itself, not in its blocks."""
    if isinstance(statement, facts.Assign):
        return (*statement.targets, statement.value)
    if isinstance(statement, facts.Augment):
        return (statement.target, statement.value)
    if isinstance(statement, (facts.Evaluate, facts.Return, facts.Raise)):
        return () if statement.value is None else (statement.value,)
    if isinstance(statement, (facts.Branch, facts.While)):
        return (statement.test,)
    if isinstance(statement, facts.For):
        return (statement.target, statement.source)
    if isinstance(statement, facts.With):
        return tuple(item for item, _ in statement.items)
    if isinstance(statement, facts.Match):
        return (statement.subject,)
    if isinstance(statement, facts.Function):
        return tuple(parameter.default for parameter in statement.parameters if parameter.default is not None)
    return ()


def inside(expression: Expression) -> Iterator[Expression]:
    """The expression and everything in it."""
    stack = [expression]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(children(node))


def names(expression: Expression) -> frozenset[str]:
    """The plain names that an expression reads (not attributes)."""
    return frozenset(node.id for node in inside(expression) if isinstance(node, facts.Name))


def targets(statement: Statement) -> tuple[str, ...]:
    """The plain names that a statement binds itself."""
    if isinstance(statement, facts.Assign):
        found = [name for target in statement.targets for name in bound(target)]
    elif isinstance(statement, (facts.Augment, facts.For)):
        found = list(bound(statement.target))
    else:
        found = []
    return tuple(found)


def bound(target: Expression) -> Iterator[str]:
    """The plain names in an assignment's target."""
    if isinstance(target, facts.Name):
        yield target.id
    elif isinstance(target, facts.Starred):
        yield from bound(target.value)
    elif isinstance(target, facts.Collection):
        for item in target.items:
            yield from bound(item)
