"""Tests that belong to a clip: those that compare a norm with its bound, and those that ask whether there is a bound."""

from __future__ import annotations

from collections.abc import Iterator

from clipcheck import blocks, facts
from clipcheck.facts import Expression
from clipcheck.flow.inplace import Hinted, changes, operands_of, origins
from clipcheck.flow.render import children, last_identifier, names_in, render

_ORDERINGS = frozenset({"<", "<=", ">", ">="})
_COMPARISONS = _ORDERINGS | {"==", "!=", "is", "is not"}
_JUMPS = (facts.Return, facts.Raise, facts.Break, facts.Continue)
_REFERENCES = (facts.Name, facts.Attribute, facts.Subscript)


def is_bound(test: Expression, guarded: facts.Block, body: facts.Block, hinted: Hinted) -> bool:
    """Whether a test is a part of the clip that it guards: it compares a norm of gradients with its bound, or their quotient.

    `if total > limit: p.grad.mul_(limit / total)`, `if scale < 1: p.grad.mul_(scale)`. A comparison with 0 asks whether there
    is a bound.
    """
    if not isinstance(test, facts.Operation) or test.operator not in _ORDERINGS or len(test.operands) != 2:
        return False
    if any(isinstance(one, facts.Constant) and not one.value for one in test.operands):
        return False
    nodes = tuple(blocks.walk(guarded))
    if any(isinstance(node, _JUMPS) for node in nodes):
        return False
    compared = frozenset(name.lstrip(".") for name in names_in(test))
    scaling = tuple(one for node in nodes if changes(node) for one in operands_of(node))
    told = {render(one) for node in nodes for one in _told(node, hinted)}
    alike = bool(scaling) and not compared.isdisjoint(origins(scaling, body))
    alike = alike or not told.isdisjoint(map(render, test.operands))
    return alike and any(hinted("gradient-norm", name) for name in origins((test,), body))


def asks_for_a_bound(test: Expression, body: facts.Block, hinted: Hinted) -> bool:
    """Whether a test asks for the very thing that a clip in the same body is told: `if args.limit is not None`."""
    asked = frozenset(map(render, references(test)))
    return bool(asked) and not asked.isdisjoint(_bounds_in(body, hinted))


def references(test: Expression) -> Iterator[Expression]:
    """The names, attributes and entries that a test compares, or asks to be true."""
    if isinstance(test, facts.Operation) and test.operator in _COMPARISONS | {"and", "or", "not"}:
        for operand in test.operands:
            yield from references(operand)
    elif isinstance(test, _REFERENCES):
        yield test


def mentioned(expression: Expression) -> frozenset[str]:
    """The names, attributes and entries in an expression, and what they are of, as they are written."""
    return frozenset(render(node) for node in blocks.walk(expression) if isinstance(node, _REFERENCES))


@blocks.kept
def _bounds_in(body: facts.Block, hinted: Hinted) -> frozenset[str]:
    """What the clips in a body are told, and what changes gradients there in place."""
    found: set[str] = set()
    for node in blocks.walk(body):
        for told in (*_told(node, hinted), *(operands_of(node) if changes(node) else ())):
            found |= set(map(render, _read(told)))
    return frozenset(found)


def _read(expression: Expression) -> Iterator[Expression]:
    """The names, attributes and entries that an expression reads, each as a whole."""
    if isinstance(expression, _REFERENCES):
        yield expression
    else:
        for part in children(expression):
            yield from _read(part)


def _told(node: object, hinted: Hinted) -> tuple[Expression, ...]:
    """What a call of a clip is given beside the parameters, which come first."""
    if not isinstance(node, facts.Call) or not hinted("clip-call", last_identifier(node)):
        return ()
    given = (*node.arguments, *(value for _, value in node.keywords))
    return given[1:] or given
