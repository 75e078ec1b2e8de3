"""What code does to gradients by hand: it changes them in place, takes a loss scale off them, or steps another optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from clipcheck import blocks, facts
from clipcheck.facts import Expression
from clipcheck.flow.render import last_identifier, names_in

GRADIENTS = frozenset({"grad", "_grad"})  # where a tensor keeps its gradient
# What shares its memory with the tensor that it was asked of: `p.grad.detach().mul_(x)` changes `p.grad`.
VIEWS = frozenset({"detach", "flatten", "ravel", "squeeze", "unsqueeze", "view", "view_as"})
NO_BOUND = frozenset({"zero_", "detach_", "requires_grad_", "add_", "sub_"})  # nothing that bounds a gradient
Hinted = Callable[[str, str], bool]
_FACTORS = frozenset({"mul", "multiply", "div", "divide", "true_divide"})
_SHORT = 20  # names that are followed to where they are computed


def changes_gradients(function: facts.Function) -> bool:
    """Whether a function changes gradients in place in a way that may bound them: `p.grad.mul_(x)`, `p.grad *= x`.

    Taking a loss scale off counts here: a clip before such a function would meet the scaled gradients.
    """
    return any(changes(node) for node in blocks.walk(function.body))


def steps_another(function: facts.Function) -> bool:
    """Whether a function calls the `step` of something else: `self.optimizer.step()`, not `super().step()`."""
    for node in blocks.walk(function.body):
        if isinstance(node, facts.Call) and isinstance(node.function, facts.Attribute):
            held = node.function.value
            if node.function.attr == "step" and isinstance(held, facts.Attribute):
                return True
    return False


def unscales(factors: tuple[Expression, ...], body: facts.Block, hinted: Hinted) -> bool:
    """Whether gradients times, or over, these lose a loss scale and no more: nothing in them comes from a norm or a bound."""
    names = origins(factors, body) if factors else frozenset()
    return any(hinted("loss-scale", name) for name in names) and not any(
        hinted("bounding", name) for name in names
    )


def masks(factor: Expression, body: facts.Block, hinted: Hinted) -> bool:
    """Whether a factor only keeps some entries of a gradient: what it is called, and nothing in it comes from a bound."""
    names = origins((factor,), body)
    return any(hinted("masking", name) for name in names) and not any(
        hinted("bounding", name) for name in names
    )


def peeled(value: Expression, body: facts.Block, hinted: Hinted) -> tuple[Expression, tuple[Expression, ...]]:
    """What a gradient is made from, as far as that is the same one in another form, and what it is multiplied by.

    `p.grad.coalesce()`, `p.grad.float() / loss_scale`, `gradient * mask`.
    """
    factors: list[Expression] = []
    for _ in range(_SHORT):
        if isinstance(value, facts.Name):
            made = made_in(body).get(value.id, [])
            if len(made) != 1:
                break
            value = made[0]
        elif isinstance(value, facts.Attribute) and value.attr == "data":
            value = value.value
        elif isinstance(value, facts.Operation) and value.operator in ("*", "/"):
            first, *rest = value.operands
            if value.operator == "*" and len(rest) == 1 and masks(first, body, hinted):
                first, rest = rest[0], [first]
            value = first
            factors += rest
        elif isinstance(value, facts.Call) and isinstance(value.function, facts.Attribute):
            called, given = value.function.attr, value.arguments
            if called in _FACTORS and given:
                factors += given
            elif not hinted("tensor-form", called):
                break
            value = value.function.value
        else:
            break
    return value, tuple(factors)


def _bounds(method: str) -> bool:
    return method.endswith("_") and method not in NO_BOUND


def _overwritten(call: facts.Call) -> Expression | None:
    """What a function changes in place: `clamp_(x, 0, 1)`, `hardtanh(x, inplace=True)`, `clamp(y, 0, 1, out=x)`."""
    keywords = dict(call.keywords)
    if "out" in keywords:
        return keywords["out"]
    asked = keywords.get("inplace")
    in_place = isinstance(asked, facts.Constant) and asked.value is True
    return call.arguments[0] if call.arguments and (in_place or _bounds(last_identifier(call))) else None


def operands_of(change: object) -> tuple[Expression, ...]:
    """What such a change takes: the factor, or the bounds."""
    if isinstance(change, facts.Call):
        return (*change.arguments, *(value for _, value in change.keywords))
    return (change.value,) if isinstance(change, (facts.Augment, facts.Assign)) else ()


def written_to(target: Expression) -> Expression | None:
    """The gradient that an assignment writes to: `p.grad` of `p.grad = …`, `p.grad.data = …` and `p.grad[:] = …`."""
    while isinstance(target, facts.Subscript) or (
        isinstance(target, facts.Attribute) and target.attr == "data"
    ):
        target = target.value
    return target if isinstance(target, facts.Attribute) and target.attr in GRADIENTS else None


def may_bound(target: Expression, value: Expression, body: facts.Block, hinted: Hinted) -> bool:
    """Whether what is written over a gradient may be bounded; sums and products are not where nothing in them reads so."""
    if isinstance(value, facts.Constant):  # `p.grad[p.grad > 1] = 1`, but not `p.grad[:] = 0`
        return bool(value.value) and isinstance(target, facts.Subscript)
    called = (last_identifier(node) for node in blocks.walk(value) if isinstance(node, facts.Call))
    if any(not hinted("tensor-form", name) for name in called):
        return True
    return any(hinted("bounding", name) for name in origins((value,), body))


def changes(node: object) -> bool:
    """Whether this is a change of gradients in place that may bound them."""
    if isinstance(node, facts.Call):
        method = node.function if isinstance(node.function, facts.Attribute) else None
        if method is not None and _bounds(method.attr) and _is_gradient(method.value):
            return True
        changed = _overwritten(node)
        return changed is not None and _is_gradient(changed)
    if isinstance(node, facts.Assign):
        targets = [one for one in node.targets if not isinstance(one, facts.Attribute) or one.attr != "grad"]
        return not isinstance(node.value, facts.Constant) and any(map(written_to, targets))
    return isinstance(node, facts.Augment) and node.operator in ("*", "/") and _is_gradient(node.target)


def factors_of(call: facts.Call) -> tuple[Expression, ...]:
    """What `p.grad.mul_(x)` and `p.grad.div_(x)` multiply and divide by; nothing for other calls."""
    called = call.function.attr if isinstance(call.function, facts.Attribute) else ""
    return call.arguments if called.removesuffix("_") in _FACTORS else ()


def origins(expressions: tuple[Expression, ...], body: facts.Block) -> frozenset[str]:
    """The names that expressions read, and those that go into them where they are computed; attributes by their last."""
    found: set[str] = set()
    waiting = [name for one in expressions for name in names_in(one)]
    made = made_in(body)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            if name.lstrip(".") not in GRADIENTS:  # what they are set to is what is asked about
                waiting += [read for value in made.get(name, ()) for read in names_in(value)]
    return frozenset(name.lstrip(".") for name in found)


@blocks.kept
def made_in(body: facts.Block) -> dict[str, list[Expression]]:
    """What goes into each name that a function or a module sets, wherever in it that is."""
    found: dict[str, list[Expression]] = {}
    for node in blocks.walk(body):
        if isinstance(node, (facts.Assign, facts.Augment)):
            for name in _bound(node):
                found.setdefault(name, []).append(node.value)
    return found


def _bound(statement: facts.Assign | facts.Augment) -> Iterator[str]:
    """The names that a statement gives a value, written as `names_in` writes them."""
    targets = statement.targets if isinstance(statement, facts.Assign) else (statement.target,)
    for target in targets:
        for part in target.items if isinstance(target, facts.Collection) else (target,):
            if isinstance(part, facts.Name):
                yield part.id
            elif isinstance(part, facts.Attribute):
                yield f".{part.attr}"


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
