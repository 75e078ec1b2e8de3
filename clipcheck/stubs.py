"""A text with the insides of its functions left out, for files of which only a few functions will be asked for.

Parsing such a text takes a sixth of the time (15 MB of transformers: 0.53 s in place of 3.3). Where a function ends is told by
indentation alone, so a text in which that may deceive has no stubs: tabs, other line ends, a row that goes on behind a
backslash, and a function with half of a string in triple quotes, the other half of which stands further left.
"""

from __future__ import annotations

from typing import NamedTuple

from clipcheck.regular import regular

_HEAD = regular(r"(?:async +)?def +\w+ *(?=[(\[])")
_STARTS = ("def ", "async ")
_CLOSING = frozenset(")]}#")  # what may stand left of a function's inside and belong to it
_DECEIVING = ("\t", "\r", "\f")


class Stubs(NamedTuple):
    """A text of as many rows, and by the row of each function left out, the row and the column that it ends at."""

    text: str
    ends: dict[int, tuple[int, int]]


def stubs(text: str) -> Stubs | None:
    """The text with `def f():0` for each function that stands in no other; None where it cannot be told."""
    if any(character in text for character in _DECEIVING):
        return None
    rows = text.split("\n")
    out: list[str] = []
    ends: dict[int, tuple[int, int]] = {}
    inside = -1  # the indentation of the function that is being left out
    first = last = 0  # its rows
    for number, row in enumerate(rows):
        code = row.lstrip(" ")
        indent = len(row) - len(code)
        if inside >= 0:
            if not code or indent > inside or code[0] in _CLOSING:
                if code and code[0] != "#":
                    last = number
                out.append("")
                continue
            if not _is_whole(rows, first, last):
                return None
            ends[first + 1] = _end(rows, last)
            inside = -1
        head = _HEAD.match(code) if code.startswith(_STARTS) else None
        if head is None:
            out.append(row)
            continue
        inside, first, last = indent, number, number
        out.append(" " * indent + head.group() + "():0")
    if inside >= 0:
        if not _is_whole(rows, first, last):
            return None
        ends[first + 1] = _end(rows, last)
    return Stubs("\n".join(out), ends)


def _is_whole(rows: list[str], first: int, last: int) -> bool:
    """Whether no string and no statement of a function goes on behind its last row."""
    inside = "\n".join(rows[first : last + 1])
    odd = inside.count('"""') % 2 or inside.count("'''") % 2
    return not odd and not inside.endswith("\\")


def _end(rows: list[str], last: int) -> tuple[int, int]:
    return last + 1, len(rows[last].encode("utf-8", "surrogatepass"))
