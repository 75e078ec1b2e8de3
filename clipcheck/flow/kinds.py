"""`isinstance`, as far as it is certain: of what a class is said for sure, and of what no subclass can come in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clipcheck import facts
from clipcheck.flow.values import (
    Arguments,
    ClassRef,
    External,
    Frame,
    Items,
    Literal,
    Object,
    Table,
    Value,
    choices,
)

if TYPE_CHECKING:
    from clipcheck.flow.calls import Calls

_PLAIN = {
    f"builtins.{one.__name__}": one for one in (bool, bytes, complex, dict, float, int, list, set, str, tuple)
}
_LISTS = frozenset({"builtins.list", "builtins.tuple"})  # which of them a sequence is, is not kept


def is_instance(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    """`isinstance(value, cls)` or `isinstance(value, (cls, ...))`; None where that is not certain."""
    if len(given.positional) != 2:
        return None
    value, asked = given.positional
    classes = asked.members if isinstance(asked, Items) else (asked,)
    if any(len(choices(cls)) != 1 for cls in classes):
        return None
    verdicts = {_is_one(run, choice, classes) for choice in choices(value)}
    return Literal(verdicts.pop()) if len(verdicts) == 1 and None not in verdicts else None


def _is_one(run: Calls, value: Value, classes: tuple[Value, ...]) -> bool | None:
    """Whether a value is of one of some classes. What an annotation made may be of a subclass: that says no "no"."""
    names = {cls.name for cls in classes if isinstance(cls, External)}
    plain = len(names & _PLAIN.keys()) == len(classes)
    if isinstance(value, Table):
        return True if "builtins.dict" in names else None
    if isinstance(value, Items):
        return True if names >= _LISTS else None
    if isinstance(value, Literal) and value.value is not None:  # None, as a default, says nothing
        return isinstance(value.value, tuple(_PLAIN[name] for name in names)) if plain else None
    if not isinstance(value, Object):
        return None
    if value.cls is None:
        return True if value.external in names else False if plain and value.role == "module" else None
    ancestors = run.ancestors(value.cls)
    own = {id(one.definition) for one in ancestors if isinstance(one, ClassRef)}
    if any(isinstance(cls, ClassRef) and id(cls.definition) in own for cls in classes):
        return True
    if names & {one.name for one in ancestors if isinstance(one, External)}:
        return True
    return False if plain and value.role == "module" else None
