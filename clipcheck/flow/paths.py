"""Paths of files as the code puts them together: `os.path.join`, `Path(__file__).parent / "x.yaml"`.

A path, a `Path` and the text of one are the same to the analysis: a string, as far as it is known.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from clipcheck.flow.values import File, Literal, Option, Value, literal

_SAME = ("resolve", "absolute", "expanduser", "as_posix")
_CONTENTS = ("open", "read", "read_text", "read_bytes", "readlines")


def text_of(value: Value | None) -> str | None:
    """The string that a value is, an option's default included; None where it is none."""
    found = literal(value)
    return found if isinstance(found, str) else None


def joined_text(symbol: str, parts: Sequence[object]) -> str | None:
    """`folder / "x.yaml"`, `folder + "/x.yaml"`: the text that two strings make."""
    left, right = parts if len(parts) == 2 else (None, None)
    if not isinstance(left, str) or not isinstance(right, str):
        return None
    if symbol == "/":
        return os.path.join(left, right)
    return left + right if symbol == "+" else None


def attribute_of(owner: Literal | Option, name: str) -> Literal | None:
    """`path.parent`: the folder of a path; None for any other attribute."""
    text = text_of(owner)
    return Literal(os.path.dirname(text)) if text is not None and name == "parent" else None


def method_of(owner: Value, name: str, given: Sequence[Value]) -> Value | None:
    """What a method of a path or of an open file gives; None for one that is not known."""
    if isinstance(owner, File):
        return owner if name in _CONTENTS else None
    text = text_of(owner)
    if text is None:
        return None
    if name in _CONTENTS:
        return File(text)
    if name in _SAME:
        return owner
    if name in _METHODS:
        parts = [text_of(value) for value in given]
        known = [part for part in parts if part is not None]
        if len(known) == len(parts):
            return Literal(_METHODS[name](text, known))
    return None


def call_of(name: str, given: Sequence[Value]) -> Value | None:
    """What a function of Python's own library makes of paths; None where it is no such function."""
    if name in _OPEN:
        text = text_of(given[0]) if given else None
        return File(text) if text is not None else None
    compose = _FUNCTIONS.get(name)
    parts = [text_of(value) for value in given]
    known = [part for part in parts if part is not None]
    if compose is None or not known or len(known) < len(parts):
        return None
    if len(given) == 1 and compose is _same:
        return given[0]
    return Literal(compose(known))


def _same(parts: Sequence[str]) -> str:
    return os.path.join(*parts)


def _parent(parts: Sequence[str]) -> str:
    return os.path.dirname(parts[0])


_METHODS: dict[str, Callable[[str, Sequence[str]], str]] = {
    "joinpath": lambda path, parts: os.path.join(path, *parts),
    "with_name": lambda path, parts: os.path.join(os.path.dirname(path), *parts),
    "with_suffix": lambda path, parts: os.path.splitext(path)[0] + "".join(parts),
}
_FUNCTIONS: dict[str, Callable[[Sequence[str]], str]] = {
    "os.path.join": _same,
    "os.path.abspath": _same,
    "os.path.realpath": _same,
    "os.path.normpath": _same,
    "os.path.expanduser": _same,
    "os.fspath": _same,
    "os.path.dirname": _parent,
    "pathlib.Path": _same,
    "pathlib.PurePath": _same,
    "pathlib.PosixPath": _same,
}
_OPEN = ("builtins.open", "io.open", "codecs.open")
