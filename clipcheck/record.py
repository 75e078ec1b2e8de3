"""Dataclasses that cost little to declare: the `dataclass` that every module of the package uses.

The standard decorator writes, compiles and runs six methods a class and inspects its signature, which is most of a
millisecond. With the classes of a scan that was more than half of the time of a pre-commit hook that is handed one
file. Here a class is given its slots and methods that stand in; what belongs to its fields is compiled at the first
call of each, a constructor at a later one: most classes are never made in a run, or a few times.

Type checkers see the standard decorator, and so does other code at run time: `dataclasses.fields`, `replace` and
`asdict` take these classes for dataclasses. Two things differ. `frozen` is for type checkers: an instance whose fields
are plain slots is made four times as fast as one that refuses to be written to, and scans make a million. And a pickle
holds the arguments of the constructor, which is smaller and read twice as fast as a list of states.

Only what the package asks for is here: no field of a base class, no keyword-only fields, no `ClassVar`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass, field, replace

__all__ = ["HashedOnce", "dataclass", "field", "field_names", "replace"]

_MISSING: Any = object()
_FEW = 8  # instances, for which it does not pay to compile a constructor


class HashedOnce:
    """A base of records that are looked up often and hold others: the hash is kept once it is known."""

    __slots__ = ("_hash",)


class _Field:
    """What is said of one field, by the names that the standard `field` has for it."""

    __slots__ = ("compare", "default", "default_factory", "init", "repr")

    def __init__(
        self,
        *,
        default: Any = _MISSING,
        default_factory: Any = _MISSING,
        init: bool = True,
        repr: bool = True,  # noqa: A002 - the standard name
        compare: bool = True,
    ) -> None:
        self.default = default
        self.default_factory = default_factory
        self.init = init
        self.repr = repr
        self.compare = compare


def field_names(record: Any) -> tuple[str, ...]:
    """The names of the fields of a class or of an instance, in order; of anything else: none."""
    return tuple(getattr(record, "__record__", ()))


def _dataclass(
    cls: type | None = None,
    /,
    *,
    frozen: bool = False,
    eq: bool = True,
    order: bool = False,
    slots: bool = False,
) -> Any:
    """What `dataclasses.dataclass` does; see the top of the module for the differences."""
    if cls is None:
        return lambda cls: _dataclass(cls, frozen=frozen, eq=eq, order=order, slots=slots)
    body = dict(cls.__dict__)
    body.pop("__dict__", None)
    body.pop("__weakref__", None)
    own = {name: _described(name, body.pop(name, _MISSING)) for name in cls.__annotations__}
    if slots:
        body["__slots__"] = tuple(own)
    body["__record__"] = own
    body["__dataclass_fields__"] = _Standard()
    body["__match_args__"] = tuple(name for name, one in own.items() if one.init)
    given: dict[str, Any] = {"__init__": _init, "__reduce__": _reduce, "__replace__": _changed}
    if eq:
        given |= {"__eq__": _eq, "__hash__": _hash if frozen else None}
    for name, write in given.items():
        body.setdefault(name, write and _STAND_INS[name])
    body.setdefault("__repr__", _repr)
    if order:
        body |= _ORDER
    made = type(cls)(cls.__name__, cls.__bases__, body)
    made.__qualname__ = cls.__qualname__
    return made


def _replace(record: Any, /, **changes: Any) -> Any:
    """The same record with some fields changed, as `dataclasses.replace` makes it."""
    return record.__replace__(**changes)


if not TYPE_CHECKING:
    dataclass, field, replace = _dataclass, _Field, _replace


def _described(name: str, given: Any) -> _Field:
    if isinstance(given, _Field):
        return given
    if type(given).__hash__ is None:
        raise ValueError(f"the default of {name} would be shared by all instances: use default_factory")
    return _Field(default=given)


class _Standard:
    """The fields of a class as the standard library describes them, made when other code asks for them."""

    def __get__(self, instance: object, owner: type) -> dict[str, Any]:
        import dataclasses

        def standard(one: _Field) -> Any:
            said = {key: getattr(one, key) for key in _Field.__slots__}
            return dataclasses.field(**{key: value for key, value in said.items() if value is not _MISSING})

        cls = _declared(owner)
        own = [(name, cls.__annotations__[name], standard(one)) for name, one in _own(cls).items()]
        twin: Any = dataclasses.make_dataclass(cls.__name__, own)
        cls.__dataclass_fields__ = twin.__dataclass_fields__  # type: ignore[attr-defined]
        found: dict[str, Any] = twin.__dataclass_fields__
        return found


def _declared(cls: type) -> type:
    """The class that was declared a record: this one, or the one it extends."""
    return next(base for base in cls.__mro__ if "__record__" in vars(base))


def _own(cls: type) -> dict[str, _Field]:
    own: dict[str, _Field] = vars(cls)["__record__"]
    return own


# -- the methods, as text ------------------------------------------------------------------------------


def _init(cls: type) -> str:
    parameters, body = [], []
    for name, one in _own(cls).items():
        value = name
        if one.default_factory is not _MISSING:
            value = f"_factory_{name}()"
            if one.init:
                value += f" if {name} is _missing else {name}"
                parameters.append(f"{name}=_missing")
        elif one.init:
            parameters.append(name if one.default is _MISSING else f"{name}=_default_{name}")
        elif one.default is not _MISSING:
            value = f"_default_{name}"
        else:
            continue  # __post_init__ has to set it
        body.append(f"self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    return _method("__init__", parameters, body or ["pass"])


def _reduce(cls: type) -> str:
    return _method("__reduce__", (), [f"return self.__class__, {_tuple('self', _arguments(cls))}"])


def _changed(cls: type) -> str:
    kept = _arguments(cls)
    values = (f"self.{name} if {name} is _missing else {name}" for name in kept)
    star = ["*"] if kept else []
    parameters = star + [f"{name}=_missing" for name in kept]
    return _method("__replace__", parameters, [f"return self.__class__({', '.join(values)})"])


def _eq(cls: type) -> str:
    compared = _compared(cls)
    body = [
        "if self is other:",
        "    return True",
        "if self.__class__ is other.__class__:",
        f"    return {_tuple('self', compared)} == {_tuple('other', compared)}",
        "return NotImplemented",
    ]
    return _method("__eq__", ["other"], body)


def _hash(cls: type) -> str:
    value = f"hash({_tuple('self', _compared(cls))})"
    if not issubclass(cls, HashedOnce):
        return _method("__hash__", (), [f"return {value}"])
    body = [
        "try:",
        "    return self._hash",
        "except AttributeError:",
        f"    self._hash = {value}",
        "    return self._hash",
    ]
    return _method("__hash__", (), body)


def _arguments(cls: type) -> list[str]:
    return [name for name, one in _own(cls).items() if one.init]


def _compared(cls: type) -> list[str]:
    return [name for name, one in _own(cls).items() if one.compare]


def _tuple(owner: str, fields: list[str]) -> str:
    return "(" + "".join(f"{owner}.{name}, " for name in fields) + ")"


def _method(name: str, parameters: Sequence[str], body: list[str]) -> str:
    rows = "".join(f"    {row}\n" for row in body)
    return f"def {name}({', '.join(('self', *parameters))}):\n{rows}"


def _stand_in(name: str, write: Callable[[type], str]) -> Callable[..., Any]:
    """A method that puts the compiled one of the class in its own place, and does what that does."""
    made_of: dict[type, int] = {}

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        cls = _declared(self.__class__)
        if name == "__init__":
            made_of[cls] = made_of.get(cls, 0) + 1
            if made_of[cls] <= _FEW and _is_filled(self, cls, args, kwargs):
                return None
        scope: dict[str, Any] = {"_missing": _MISSING}
        for key, one in _own(cls).items():
            scope[f"_default_{key}"] = one.default
            scope[f"_factory_{key}"] = one.default_factory
        exec(write(cls), scope)  # noqa: S102 - the text is made here, of names of fields
        made = scope[name]
        made.__qualname__ = f"{cls.__qualname__}.{name}"
        setattr(cls, name, made)
        return made(self, *args, **kwargs)

    return method


def _is_filled(record: Any, cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Do as a constructor does; False where the arguments do not fit, for the compiled one to say so."""
    own, names = _own(cls), _arguments(cls)
    given = dict(zip(names, args, strict=False))
    if len(args) > len(names) or not given.keys().isdisjoint(kwargs) or not kwargs.keys() <= set(names):
        return False
    given |= kwargs
    for name, one in own.items():
        if one.default_factory is not _MISSING:
            given.setdefault(name, _MISSING)
            if given[name] is _MISSING:
                given[name] = one.default_factory()
        elif one.default is not _MISSING:
            given.setdefault(name, one.default)
    if any(name not in given for name in names):
        return False
    for name, value in given.items():
        setattr(record, name, value)
    if hasattr(cls, "__post_init__"):
        record.__post_init__()
    return True


_STAND_INS = {
    "__init__": _stand_in("__init__", _init),
    "__reduce__": _stand_in("__reduce__", _reduce),
    "__replace__": _stand_in("__replace__", _changed),
    "__eq__": _stand_in("__eq__", _eq),
    "__hash__": _stand_in("__hash__", _hash),
}


# -- the methods that are called too seldom to be compiled ---------------------------------------------


def _repr(self: Any) -> str:
    shown = (name for name, one in _own(_declared(self.__class__)).items() if one.repr)
    return f"{self.__class__.__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


def _ordering(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        if self.__class__ is not other.__class__:
            return NotImplemented
        compared = _compared(_declared(self.__class__))
        return compare(*([getattr(one, name) for name in compared] for one in (self, other)))

    return method


_ORDER = {f"__{word}__": _ordering(getattr(operator, word)) for word in ("lt", "le", "gt", "ge")}
