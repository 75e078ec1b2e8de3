"""Facts back to source text, for guards, messages and fixes, and the parts of an expression by their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clipcheck import facts
from clipcheck.facts import Expression


def render(expression: Expression) -> str:
    """The expression as source text, near enough to the original to compare and to show."""
    if isinstance(expression, facts.Constant):
        return number(expression.value) if isinstance(expression.value, float) else repr(expression.value)
    if isinstance(expression, facts.Name):
        return expression.id
    if isinstance(expression, facts.Attribute):
        return f"{_receiver(expression.value)}.{expression.attr}"
    if isinstance(expression, facts.Subscript):
        return f"{_receiver(expression.value)}[{render(expression.index)}]"
    if isinstance(expression, facts.Call):
        arguments = [render(argument) for argument in expression.arguments]
        arguments += [f"{name}={render(v)}" if name else f"**{render(v)}" for name, v in expression.keywords]
        return f"{_receiver(expression.function)}({', '.join(arguments)})"
    if isinstance(expression, facts.Operation):
        return _operation(expression)
    if isinstance(expression, facts.Starred):
        return f"*{render(expression.value)}"
    if isinstance(expression, facts.Collection):
        return f"({', '.join(render(item) for item in expression.items)})"
    if isinstance(expression, facts.Opaque) and expression.kind == "JoinedStr":
        return f"f{''.join(map(_within, expression.parts))!r}"
    if isinstance(expression, facts.Opaque):
        return f"<{expression.kind} {' '.join(render(part) for part in expression.parts)}>"
    return f"<{type(expression).__name__} {expression.row}>"


def number(value: float) -> str:
    """A number as people write it: `1e9` rather than `1000000000.0`."""
    text = repr(value)
    short = f"{value:g}".replace("e+0", "e").replace("e+", "e")
    return short if len(text) > _LONG and float(short) == value else text


_LONG = 8  # characters of a number that is written out


def _within(part: Expression) -> str:
    """A part of an f-string, as it stands there; how it is formatted is left out."""
    if isinstance(part, facts.Opaque) and part.parts:
        return f"{{{render(part.parts[0])}}}"
    return str(part.value) if isinstance(part, facts.Constant) else "{…}"


# How tightly operators bind, loosest first; unary ones are always written in parentheses.
_TIGHTNESS = {
    symbol: tightness
    for tightness, symbols in enumerate(
        (
            ("or",), ("and",), ("<", "<=", ">", ">=", "==", "!=", "is", "is not", "in", "not in"),
            ("|",), ("^",), ("&",), ("<<", ">>"), ("+", "-"), ("*", "/", "//", "%", "@"), ("**",),
        )
    )
    for symbol in symbols
}  # fmt: skip
_ATOM = len(_TIGHTNESS)
_COMPARISON = _TIGHTNESS["<"]


def _receiver(expression: Expression) -> str:
    """What stands before a dot, a bracket or a call."""
    text = render(expression)
    return f"({text})" if _tightness(expression) < _ATOM else text


def _operation(expression: facts.Operation) -> str:
    """An operator and its operands, with the parentheses that keep its meaning and no others."""
    symbol, operands = expression.operator, expression.operands
    if len(operands) == 1:
        return f"({symbol} {render(operands[0])})"
    own = _TIGHTNESS.get(symbol, _ATOM)
    parts = []
    for number, operand in enumerate(operands):
        # `a - (b - c)` is not `a - b - c`; `**` groups to the right, and comparisons would chain.
        grouped = own != _COMPARISON and (number > 0 if symbol == "**" else number == 0)
        tightness = _tightness(operand)
        loose = tightness < own or (tightness == own and not grouped)
        parts.append(f"({render(operand)})" if loose else render(operand))
    return f" {symbol} ".join(parts)


def _tightness(expression: Expression) -> int:
    if isinstance(expression, facts.Operation) and len(expression.operands) > 1:
        return _TIGHTNESS.get(expression.operator, _ATOM)
    return -1 if isinstance(expression, (facts.Conditional, facts.Lambda)) else _ATOM


def is_reference(expression: Expression) -> bool:
    """Whether it is a name, or attributes and constant indices of one: free of side effects to repeat."""
    while isinstance(expression, (facts.Attribute, facts.Subscript)):
        if isinstance(expression, facts.Subscript) and not isinstance(
            expression.index, (facts.Constant, facts.Name)
        ):
            return False
        expression = expression.value
    return isinstance(expression, facts.Name)


def last_identifier(expression: Expression) -> str:
    """The identifier that tells what an expression is called: `self.optimizers[0]` -> `optimizers`."""
    while isinstance(expression, (facts.Subscript, facts.Call)):
        expression = expression.value if isinstance(expression, facts.Subscript) else expression.function
    if isinstance(expression, facts.Attribute):
        return expression.attr
    return expression.id if isinstance(expression, facts.Name) else ""


def names_in(expression: Expression) -> frozenset[str]:
    """Every name and attribute that an expression reads."""
    found: set[str] = set()
    stack: list[Expression] = [expression]
    while stack:
        node = stack.pop()
        if isinstance(node, facts.Name):
            found.add(node.id)
        elif isinstance(node, facts.Attribute):
            found.add("." + node.attr)
        stack.extend(children(node))
    return frozenset(found)


def children(node: Expression) -> tuple[Expression, ...]:
    """The expressions directly inside one."""
    inside = _INSIDE.get(type(node))
    return () if inside is None else inside(node)


def _in_comprehension(node: facts.Comprehension) -> tuple[Expression, ...]:
    inner = [part for clause in node.clauses for part in (clause.source, *clause.conditions)]
    return (node.element, *inner)


_INSIDE: dict[type, Callable[[Any], tuple[Expression, ...]]] = {
    facts.Attribute: lambda node: (node.value,),
    facts.Starred: lambda node: (node.value,),
    facts.Call: lambda node: (node.function, *node.arguments, *[value for _, value in node.keywords]),
    facts.Collection: lambda node: node.items,
    facts.Mapping: lambda node: tuple(part for item in node.items for part in item if part is not None),
    facts.Subscript: lambda node: (node.value, node.index),
    facts.Operation: lambda node: node.operands,
    facts.Conditional: lambda node: (node.test, node.body, node.orelse),
    facts.Comprehension: _in_comprehension,
    facts.Opaque: lambda node: node.parts,
}


def guard_of(expression: Expression) -> tuple[str, bool]:
    """A test as a key and its sense, so that `x is None` and `x is not None` are one guard."""
    if isinstance(expression, facts.Operation) and len(expression.operands) == 2:
        opposite = {"!=": "==", "is not": "is", "not in": "in", ">=": "<", "<=": ">"}
        positive = opposite.get(expression.operator)
        if positive is not None:
            return render(facts.Operation(positive, expression.operands, expression.row)), False
    return render(expression), True


def argument_at(call: facts.Call, slot: tuple[str, int] | None) -> Expression | None:
    """The argument of a call at a slot (keyword and position), as it is written; None where it has none."""
    if slot is None:
        return None
    named = next((value for name, value in call.keywords if name == slot[0]), None)
    return named or (call.arguments[slot[1]] if 0 <= slot[1] < len(call.arguments) else None)
