"""Change the arguments of a call, the members of a list or the entries of a dict, in the manner in which they are laid out."""

from __future__ import annotations

import ast
import io
import tokenize
from typing import NamedTuple

from clipcheck.findings import AddMember, RenameArgument
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
    return _appended(source, start, tokens, f"{name}={value}")


def member_changes(text: str, start: int, end: int, wanted: AddMember) -> list[Place]:
    """The changes that add a member to a list which the call at `start` to `end` is handed.

    Where it is handed none, it gets a list of this one. Raises PlacementError where there is no call, and where what
    it is handed is no list that can be seen.
    """
    source, value = text[start:end], wanted.value
    present = _value_of(source, wanted.name)
    given = source[slice(*present)] if present is not None else "None"
    if present is None or given == "None":
        return argument_changes(text, start, end, wanted.name, value if wanted.alone else f"[{value}]")
    kind = ast.parse(given, mode="eval").body
    if isinstance(kind, ast.List):
        return _appended(given, start + present[0], _tokens(given), value)
    first, last = start + present[0], start + present[1]
    listed = wanted.listed and isinstance(kind, (ast.Name, ast.Attribute))
    if listed or (wanted.alone and isinstance(kind, ast.Call)):
        return [Place(first, first, "[*" if listed else "["), Place(last, last, f", {value}]")]
    raise PlacementError("no list there")


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
    return _appended(source, start, tokens, f"{quote}{key}{quote}: {value}")


def _appended(source: str, start: int, tokens: list[tokenize.TokenInfo], given: str) -> list[Place]:
    """The changes that put `given` behind the last of what stands in brackets, which begins at `start`."""
    last, close = tokens[-2], tokens[-1]
    offset = _Offsets(source)
    after, closing = start + offset.of(last.end), start + offset.of(close.start)
    if last.string == {")": "(", "]": "[", "}": "{"}[close.string]:
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


def first_changes(text: str, start: int, end: int, written: str) -> list[Place]:
    """The change that puts `written` before the arguments of the call at `start` to `end` of `text`.

    Raises PlacementError where there is no call.
    """
    source = text[start:end]
    tokens = _tokens(source)
    spans = _positional(source)
    if len(tokens) < 2 or tokens[-1].string != ")" or not spans:
        raise PlacementError("no call with arguments there")
    own_line = _line_of_its_own(_Offsets(source), tokens)
    first = start + spans[0][0]
    before = text[:first].rpartition("\n")[2]
    behind = f",{own_line[0]}{own_line[1]}" if own_line is not None and not before.strip() else ", "
    return [Place(first, first, written + behind)]


def moved_changes(text: str, start: int, end: int, index: int) -> list[Place]:
    """The changes that move one positional argument of a call to the front; the others keep their places' layout.

    Raises PlacementError where there is no such argument.
    """
    source = text[start:end]
    spans = _positional(source)
    if not 0 < index < len(spans):
        raise PlacementError("no such argument there")
    texts = [source[first:last] for first, last in spans]
    order = [texts[index], *texts[:index], *texts[index + 1 :]]
    pairs = zip(spans, order, strict=True)
    return [Place(start + first, start + last, new) for (first, last), new in pairs]


def _positional(source: str) -> list[tuple[int, int]]:
    """Where the positional arguments of a call stand."""
    call = ast.parse(source, mode="eval").body
    if not isinstance(call, ast.Call):
        raise PlacementError("no call there")
    return [_extent(source, argument) for argument in call.args]


def _extent(source: str, node: ast.expr) -> tuple[int, int]:
    """Where an expression stands, in code points."""
    rows = source.encode().splitlines(keepends=True)

    def offset(row: int, column: int) -> int:
        return len((b"".join(rows[: row - 1]) + rows[row - 1][:column]).decode())

    return offset(node.lineno, node.col_offset), offset(node.end_lineno or 1, node.end_col_offset or 0)


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
