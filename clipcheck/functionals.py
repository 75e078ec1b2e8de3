"""Models put together by calling layers on symbols: what is not known of them, and who calls their layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from clipcheck import facts
from clipcheck.flow.values import Elements, Items, Object, Tensor, Unknown, Value, choices

_ENDS = 2  # arguments: where the model begins, and where it ends


def ends(made: Object) -> tuple[Value, ...]:
    """The inputs and outputs that a model is made of; none of one that is not put together so."""
    given = (*made.arguments, *(value for _, value in made.keywords))[:_ENDS]
    flat = tuple(part for value in given for part in _flat(value))
    return flat if any(isinstance(part, Tensor) for part in flat) else ()


def is_partial(parts: tuple[Value, ...]) -> bool:
    """Whether something between the inputs and outputs of a model was called that nothing is known of."""
    return any(
        isinstance(part, Unknown) or (isinstance(part, Tensor) and not part.complete) for part in parts
    )


def callers(
    made: Object, parts: tuple[Value, ...], objects: Mapping[str, Object]
) -> Iterator[tuple[Object, bool]]:
    """The objects of plain classes that call the layers of such a model (`self.attention(x)` without a base) or
    hold the whole of it, and whether they call its layers.
    """
    layers = {key for part in parts if isinstance(part, Tensor) for key in part.models}
    for one in objects.values():
        if one.cls is None or one.role:
            continue
        held = {
            part.key for value in one.attributes.values() for part in _flat(value) if isinstance(part, Object)
        }
        if held & layers and _is_called(one.cls.definition):
            yield one, True
        elif made.key in held:
            yield one, False


def _is_called(definition: facts.Class) -> bool:
    return any(isinstance(one, facts.Function) and one.name == "__call__" for one in definition.body)


def _flat(value: Value, depth: int = 3) -> Iterator[Value]:
    """What a value may be, or lists."""
    for choice in choices(value):
        if isinstance(choice, Items) and depth:
            for member in choice.members:
                yield from _flat(member, depth - 1)
        elif isinstance(choice, Elements) and depth:
            yield from _flat(choice.member, depth - 1)
        else:
            yield choice
