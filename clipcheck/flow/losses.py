"""Whether what is asked about is the loss that a loop trains with, in whatever form: `loss.item()`, `float(total)`."""

from __future__ import annotations

from clipcheck import blocks, facts
from clipcheck.facts import Expression
from clipcheck.flow.inplace import made_in
from clipcheck.flow.render import last_identifier


def is_loss(expression: Expression, body: facts.Block, backward: frozenset[str]) -> bool:
    """Whether an expression is a loss, by its name or by the `backward` that is called of it, or was made of one alone."""
    made, gone_back = made_in(body), _receivers(body)
    waiting, seen = [_source(expression)], {""}
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if "loss" in name.lower() or any(name in gone_back.get(method, ()) for method in backward):
            return True
        waiting += [_source(value) for value in made.get(name, ())]
    return False


def _source(expression: Expression) -> str:
    """The name, as `names_in` writes it, that an expression turns into another form; "" where it does more."""
    while isinstance(expression, facts.Call):
        function = expression.function
        if "loss" in last_identifier(function).lower():  # `loss_function(x, y)`
            return last_identifier(function)
        if len(expression.arguments) == 1:  # `float(x)`, `torch.isnan(x)`
            expression = expression.arguments[0]
        elif not expression.arguments and isinstance(function, facts.Attribute):  # `x.item()`
            expression = function.value
        else:
            return ""
    if isinstance(expression, facts.Attribute):
        return f".{expression.attr}" if expression.attr != "data" else _source(expression.value)
    return last_identifier(expression)


@blocks.kept
def _receivers(body: facts.Block) -> dict[str, set[str]]:
    """By the methods that are called: what of, and what they are handed first (`accelerator.backward(total)`)."""
    found: dict[str, set[str]] = {}
    for node in blocks.walk(body):
        if isinstance(node, facts.Call) and isinstance(node.function, facts.Attribute):
            one = found.setdefault(node.function.attr, set())
            one.update(_source(part) for part in (node.function.value, *node.arguments[:1]))
    return found
