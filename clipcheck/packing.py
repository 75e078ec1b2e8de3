"""Facts and findings as bytes, and back: a pickle in which their classes are the only names there are.

What is read may have been written by somebody else, and must not run code.
"""

from __future__ import annotations

import io
from functools import cache
from typing import Any, TypeVar

from clipcheck import facts, findings
from clipcheck.record import field_names

Made = TypeVar("Made")
_further: dict[tuple[str, str], Any] = {}  # what later modules have that facts are made of


def allow(made: type[Made]) -> type[Made]:
    """Let a class be named in what is unpacked."""
    _further[made.__module__, made.__qualname__] = made
    return made


def pack(value: object) -> bytes:
    """The bytes of facts. Raises PicklingError, and RecursionError for what is nested too deep."""
    import pickle  # a run without a cache does without

    return pickle.dumps(value, protocol=4)


def unpack(data: bytes) -> Any:
    """The facts that `pack` made bytes of. Raises whatever damage makes a pickle raise."""
    return _unpickler()(io.BytesIO(data)).load()


@cache
def _unpickler() -> Any:
    import pickle

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            found = classes().get((module, name)) or _further.get((module, name))
            if found is None:
                raise pickle.UnpicklingError(f"{module}.{name} is no part of facts")
            return found

    return Unpickler


@cache
def classes() -> dict[tuple[str, str], Any]:
    """The classes of facts and findings by module and name."""
    every = (*vars(facts).values(), *vars(findings).values())
    own = [
        item for item in every if isinstance(item, type) and (field_names(item) or hasattr(item, "_fields"))
    ]
    named = {(item.__module__, item.__qualname__): item for item in own}
    return {**named, (facts.__name__, facts.restored.__name__): facts.restored}


@cache
def shape() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The names of the classes and their fields: a cache written by another shape of facts is another cache."""
    return tuple(
        (f"{module}.{name}", field_names(item) or getattr(item, "_fields", ()))
        for (module, name), item in sorted(classes().items(), key=lambda entry: entry[0])
    )
