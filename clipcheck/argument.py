"""Give a call a keyword argument, or a dict an entry, in the manner in which it is laid out."""

from __future__ import annotations

import ast
import io
import tokenize
from typing import NamedTuple

from clipcheck.statements import PlacementError

_SPACE = (
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.COMMENT,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
)


class Place(NamedTuple):
    """The text from offset `start` up to `end`, and what comes in its place."""

    start: int
    end: int
    content: str


def argument_changes(text: str, start: int, end: int, name: str, value: str) -> list[Place]:
    """The changes that give the call at `start` to `end` of `text` the argument `name`, ascending.

    Raises PlacementError where there is no call.
    """
    source = text[start:end]
    tokens = _tokens(source)
    if len(tokens) < 2 or tokens[-1].string != ")":
        raise PlacementError("no call there")
    present = _value_of(source, name)
    if present is not None:
        return [Place(start + present[0], start + present[1], value)]
    return _added(source, tokens, start, f"{name}={value}")


def entry_changes(text: str, start: int, end: int, key: str, value: str) -> list[Place]:
    """The changes that give the dict display at `start` to `end` of `text` the entry `key`, ascending.

    Raises PlacementError where there is no such display.
    """
    source = text[start:end]
    tokens = _tokens(source)
    if len(tokens) < 2 or tokens[0].string != "{" or tokens[-1].string != "}":
        raise PlacementError("no dict there")
    present = _entry_of(source, key)
    if present is not None:
        return [Place(start + present[0], start + present[1], value)]
    quote = "'" if tokens[1].string.startswith("'") else '"'
    return _added(source, tokens, start, f"{quote}{key}{quote}: {value}")


def _added(source: str, tokens: list[tokenize.TokenInfo], start: int, given: str) -> list[Place]:
    """The changes that put one more item before the closing bracket."""
    last, close = tokens[-2], tokens[-1]
    offset = _Offsets(source)
    after, closing = start + offset.of(last.end), start + offset.of(close.start)
    if last.string == {")": "(", "}": "{"}[close.string]:
        return [Place(closing, closing, given)]
    own_line = _line_of_its_own(offset, tokens)
    if own_line is None:
        return [Place(after, after, f" {given}" if last.string == "," else f", {given}")]
    newline, indent = own_line
    if last.end[0] == close.start[0]:  # `)` stands behind the last argument
        comma = "" if last.string == "," else ","
        return [Place(after, after, f"{comma}{newline}{indent}{given}")]
    line_end = start + offset.line_end(last.end[0])
    added = f"{newline}{indent}{given}{',' if last.string == ',' else ''}"
    if last.string == ",":
        return [Place(line_end, line_end, added)]
    if line_end == after:
        return [Place(after, after, "," + added)]
    return [Place(after, after, ","), Place(line_end, line_end, added)]


class _Offsets:
    """Offsets of token positions, which count rows from 1 and columns in code points."""

    def __init__(self, source: str) -> None:
        self._rows = source.splitlines(keepends=True)
        self._starts = [0]
        for row in self._rows:
            self._starts.append(self._starts[-1] + len(row))

    def of(self, position: tuple[int, int]) -> int:
        return self._starts[position[0] - 1] + position[1]

    def line_end(self, row: int) -> int:
        return self._starts[row - 1] + len(self._rows[row - 1].rstrip("\r\n"))

    def newline(self, row: int) -> str:
        line = self._rows[row - 1]
        return line[len(line.rstrip("\r\n")) :] or "\n"

    def line(self, row: int) -> str:
        return self._rows[row - 1]


def _tokens(source: str) -> list[tokenize.TokenInfo]:
    """The tokens of a call that are no white space. A line of its own may be indented as it likes in there."""
    try:
        found = list(tokenize.generate_tokens(io.StringIO(source, newline="").readline))
    except (tokenize.TokenError, SyntaxError) as error:
        raise PlacementError(str(error)) from error
    return [token for token in found if token.type not in _SPACE]


def _value_of(source: str, name: str) -> tuple[int, int] | None:
    """Where the value of an argument that the call has already stands."""
    call = ast.parse(source, mode="eval").body
    if not isinstance(call, ast.Call):
        raise PlacementError("no call there")
    return next((_extent(source, one.value) for one in call.keywords if one.arg == name), None)


def _entry_of(source: str, key: str) -> tuple[int, int] | None:
    """Where the value of an entry that the dict has already stands."""
    display = ast.parse(source, mode="eval").body
    if not isinstance(display, ast.Dict):
        raise PlacementError("no dict there")
    for name, value in zip(display.keys, display.values, strict=True):
        if isinstance(name, ast.Constant) and name.value == key:
            return _extent(source, value)
    return None


def _extent(source: str, node: ast.expr) -> tuple[int, int]:
    rows = source.encode().splitlines(keepends=True)

    def offset(row: int, column: int) -> int:
        return len((b"".join(rows[: row - 1]) + rows[row - 1][:column]).decode())

    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return offset(node.lineno, node.col_offset), offset(node.end_lineno, node.end_col_offset)


def _line_of_its_own(offset: _Offsets, tokens: list[tokenize.TokenInfo]) -> tuple[str, str] | None:
    """The line end and indentation of arguments that stand on lines of their own; None for others."""
    depth = 0
    rows: list[tokenize.TokenInfo] = []  # the first token of each argument
    fresh = False
    for token in tokens[:-1]:
        if fresh and depth == 1 and token.string not in (")", "]", "}"):
            rows.append(token)
            fresh = False
        if token.string in ("(", "[", "{"):
            depth += 1
            if depth == 1:  # of `make()(x)` the last brackets count
                rows, fresh = [], True
        elif token.string in (")", "]", "}"):
            depth -= 1
        elif token.string == "," and depth == 1:
            fresh = True
    last = rows[-1] if rows else None
    if last is None or offset.line(last.start[0])[: last.start[1]].strip() or last.start[0] == 1:
        return None
    return offset.newline(last.start[0] - 1), offset.line(last.start[0])[: last.start[1]]
