"""Strings as the code puts names together: `kind.upper()`, `"clip_grad_%s_" % mode`, `"{}_norm".format(name)`.

A class or a function that is looked up by such a name is then as good as one that is written out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clipcheck.flow.paths import text_of
from clipcheck.flow.values import Arguments, Items, Literal, Option, Value, derived, literal
from clipcheck.regular import regular

_PLACE = regular(r"%[sd]|%%|%")  # no widths: what they make may be of any size
_FIELD = regular(r"\{(\w*)\}|[{}]")


def filled(text: str, operand: Value) -> str | None:
    """What `text % operand` gives; None where that is not known."""
    given = list(operand.members) if isinstance(operand, Items) else [operand]
    values = [literal(value) for value in given]
    places = [place for place in _PLACE.findall(text) if place != "%%"]
    if len(places) != len(values) or "%" in places or not all(map(_plain, values)):
        return None
    rest = iter(values)
    return _PLACE.sub(lambda found: "%" if found.group() == "%%" else str(next(rest)), text)


def method_of(owner: Value, name: str, given: Arguments) -> Value | None:
    """What a method of a string gives; None for one that is not known. That of an option is one as well."""
    text = text_of(owner)
    if text is None:
        return None
    result = _formatted(text, given) if name == "format" else _changed(text, name, given.positional)
    if result is None:
        return None
    return derived(owner, Literal(result)) if isinstance(owner, Option) else Literal(result)


def _changed(text: str, name: str, given: Sequence[Value]) -> str | None:
    parts = [text_of(value) for value in given]
    known = [part for part in parts if part is not None]
    change = _CHANGES.get((name, len(known)))
    return change(text, *known) if change is not None and len(known) == len(parts) else None


def _formatted(text: str, given: Arguments) -> str | None:
    values: dict[str, object] = {str(n): literal(value) for n, value in enumerate(given.positional)}
    values |= {key: literal(value) for key, value in given.keywords if key is not None}
    fields = list(_FIELD.finditer(text))
    if any(field.group(1) is None for field in fields):  # `{{`, or a field with a format
        return None
    names = [field.group(1) or str(number) for number, field in enumerate(fields)]
    found = [values.get(name) for name in names]
    if not all(map(_plain, found)):
        return None
    rest = iter(found)
    return _FIELD.sub(lambda _: str(next(rest)), text)


def _plain(value: object) -> bool:
    return isinstance(value, (str, int))


_CHANGES: dict[tuple[str, int], Callable[..., str]] = {
    ("upper", 0): str.upper, ("lower", 0): str.lower, ("title", 0): str.title,
    ("capitalize", 0): str.capitalize, ("strip", 0): str.strip, ("strip", 1): str.strip,
    ("lstrip", 1): str.lstrip, ("rstrip", 1): str.rstrip,
    ("removeprefix", 1): str.removeprefix, ("removesuffix", 1): str.removesuffix,
    ("replace", 2): lambda text, old, new: text.replace(old, new)[:1000],
}  # fmt: skip
