"""Give a call a keyword argument, in the manner in which the call is laid out."""

from __future__ import annotations

import ast
import io
import tokenize
from typing import NamedTuple

from clipcheck.findings import RenameArgument
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
    last, close = tokens[-2], tokens[-1]
    offset = _Offsets(source)
    after, closing = start + offset.of(last.end), start + offset.of(close.start)
    given = f"{name}={value}"
    if last.string == "(":
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


def renamed_changes(text: str, start: int, end: int, wanted: RenameArgument) -> list[Place]:
    """The changes that rename a keyword argument of the call at `start` to `end`, and give it a value if one is wanted.

    Raises PlacementError where there is no such argument.
    """
    source = text[start:end]
    value = _value_of(source, wanted.name)
    if value is None:
        raise PlacementError("no such argument there")
    offset = _Offsets(source)
    before = [token for token in _tokens(source) if offset.of(token.start) < value[0]]
    first = start + max(offset.of(token.start) for token in before if token.string == wanted.name)
    places = [Place(first, first + len(wanted.name), wanted.new)]
    return places + ([Place(start + value[0], start + value[1], wanted.value)] if wanted.value else [])


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
    rows = source.encode().splitlines(keepends=True)

    def offset(row: int, column: int) -> int:
        return len((b"".join(rows[: row - 1]) + rows[row - 1][:column]).decode())

    for keyword in call.keywords:
        if keyword.arg == name and keyword.value.end_lineno and keyword.value.end_col_offset is not None:
            value = keyword.value
            first = offset(value.lineno, value.col_offset)
            return first, offset(keyword.value.end_lineno, keyword.value.end_col_offset)
    return None


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
