"""What an optimizer of the project does inside: it changes gradients in place, or steps another optimizer."""

from __future__ import annotations

from clipcheck import blocks, facts
from clipcheck.facts import Expression

# What shares its memory with the tensor that it was asked of: `p.grad.detach().mul_(x)` changes `p.grad`.
VIEWS = frozenset({"detach", "flatten", "ravel", "squeeze", "unsqueeze", "view", "view_as"})
NO_BOUND = frozenset({"zero_", "detach_", "requires_grad_", "add_", "sub_"})  # nothing that bounds a gradient


def changes_gradients(function: facts.Function) -> bool:
    """Whether a function changes gradients in place in a way that may bound them: `p.grad.mul_(x)`, `p.grad *= x`."""
    return any(_changes(node) for node in blocks.walk(function.body))


def steps_another(function: facts.Function) -> bool:
    """Whether a function calls the `step` of something else: `self.optimizer.step()`, not `super().step()`."""
    for node in blocks.walk(function.body):
        if isinstance(node, facts.Call) and isinstance(node.function, facts.Attribute):
            held = node.function.value
            if node.function.attr == "step" and isinstance(held, facts.Attribute):
                return True
    return False


def _changes(node: object) -> bool:
    if isinstance(node, facts.Call) and isinstance(node.function, facts.Attribute):
        in_place = node.function.attr.endswith("_") and node.function.attr not in NO_BOUND
        return in_place and _is_gradient(node.function.value)
    return isinstance(node, facts.Augment) and node.operator in ("*", "/") and _is_gradient(node.target)


def _is_gradient(expression: Expression) -> bool:
    """`p.grad`, `p.grad.data`, `p.grad.detach()`."""
    while isinstance(expression, (facts.Attribute, facts.Call)):
        if isinstance(expression, facts.Call):
            function = expression.function
            if not isinstance(function, facts.Attribute) or function.attr not in VIEWS:
                return False
            expression = function.value
        elif expression.attr == "grad":
            return True
        else:
            expression = expression.value
    return False
