"""The cells of a notebook file (nbformat 3 and 4), and new sources for some of them, put back into its JSON.

What is written replaces the JSON value of a changed cell's source and nothing else; within it, lines that stay
keep their bytes. A notebook that is loaded and dumped again would lose its indentation, its escapes
and the order of its keys.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from clipcheck.record import dataclass
from clipcheck.regular import regular

_SPACE = regular(r"[ \t\n\r]*")
# One line of a JSON string: up to its escaped line feed, or to the end of the string.
_RAW_LINE = regular(r"(?s)(?:[^\\]|\\[^n])*(?:\\n|\Z)")
# What stands for one code point in a JSON string.
_RAW_LETTER = regular(r"(?is)\\u(?:d[89ab][0-9a-f]{2}\\u(?=d[c-f])[0-9a-f]{4}|[0-9a-f]{4})|\\[^u]|[^\\]")
_ROW_END = regular("\r\n|\n|\r")
_LINE = regular(r"[^\n]*\n|[^\n]+")
_ESCAPED = regular(r"\\u(?!00[0-7])")  # a letter beyond ASCII, written as an escape


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its place among all, its source, and where the JSON value of that stands in the file's text."""

    index: int
    code: bool  # in the language of the notebook
    source: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Notebook:
    """A notebook's cells in their order, and the language of its kernel ("" where it is not said)."""

    cells: tuple[Cell, ...]
    language: str

    @property
    def python(self) -> bool:
        """Whether the code is Python, as far as is known."""
        return not self.language or _is_python(self.language)


def read_cells(text: str) -> Notebook:
    """Return the cells of a notebook; raises json.JSONDecodeError (or RecursionError) for what is none."""
    return _Reader(text).notebook()


class _Reader:
    """Walks the JSON of a notebook as far as the sources of its cells; all else is decoded by `json` alone."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.cells: list[Cell] = []
        self.found = False
        self.metadata: Any = None
        self._decode = json.JSONDecoder(strict=False).raw_decode

    def notebook(self) -> Notebook:
        end = self._object(self._skip(0), self._top)
        if end != len(self.text):
            raise json.JSONDecodeError("Extra data", self.text, end)
        if not self.found:
            raise json.JSONDecodeError("No cells", self.text, 0)
        return Notebook(tuple(self.cells), _language(self.metadata))

    def _top(self, key: str, at: int) -> int:
        if key == "cells":
            self.found = True
            return self._array(at, self._cell)
        if key == "worksheets":  # nbformat 3
            self.found = True
            return self._array(at, lambda start: self._object(start, self._worksheet))
        value, end = self._decode(self.text, at)
        if key == "metadata":
            self.metadata = value
        return end

    def _worksheet(self, key: str, at: int) -> int:
        if key == "cells":
            return self._array(at, self._cell)
        return self._decode(self.text, at)[1]

    def _cell(self, at: int) -> int:
        known: dict[str, Any] = {}
        places: dict[str, tuple[int, int]] = {}

        def member(key: str, start: int) -> int:
            known[key], end = self._decode(self.text, start)
            places[key] = start, end
            return end

        end = self._object(at, member)
        name = "source" if "source" in known else "input"
        source = known.get(name)
        lines: list[Any] = source if isinstance(source, list) else [source]
        if all(isinstance(line, str) for line in lines):
            code = known.get("cell_type") == "code" and not _foreign(known)
            self.cells.append(Cell(len(self.cells), code, "".join(lines), *places[name]))
        else:
            self.cells.append(Cell(len(self.cells), False, "", at, at))
        return end

    def elements(self, at: int) -> list[tuple[int, int, Any]]:
        """Return start, end and value of each element of the array at `at`."""
        found: list[tuple[int, int, Any]] = []

        def element(start: int) -> int:
            value, end = self._decode(self.text, start)
            found.append((start, end, value))
            return end

        self._array(at, element)
        return found

    def _object(self, at: int, member: Callable[[str, int], int]) -> int:
        """Call `member` with the key and the start of each value, which returns its end; return the object's."""

        def pair(start: int) -> int:
            key, end = self._decode(self.text, start)
            if not isinstance(key, str):
                raise json.JSONDecodeError("Expecting a key", self.text, start)
            return member(key, self._expect(":", self._skip(end)))

        return self._sequence(at, "{", "}", pair)

    def _array(self, at: int, element: Callable[[int], int]) -> int:
        return self._sequence(at, "[", "]", element)

    def _sequence(self, at: int, opening: str, closing: str, item: Callable[[int], int]) -> int:
        at = self._expect(opening, at)
        if self.text.startswith(closing, at):
            return self._skip(at + 1)
        while True:
            at = self._skip(item(at))
            if self.text.startswith(closing, at):
                return self._skip(at + 1)
            at = self._expect(",", at)

    def _expect(self, letter: str, at: int) -> int:
        if not self.text.startswith(letter, at):
            raise json.JSONDecodeError(f"Expecting {letter!r}", self.text, at)
        return self._skip(at + 1)

    def _skip(self, at: int) -> int:
        found = _SPACE.match(self.text, at)
        return found.end() if found else at


def _language(metadata: Any) -> str:
    """Return the language of the kernel: what it said of itself, else what it was asked to be."""
    for section, key in (("language_info", "name"), ("kernelspec", "language")):
        part = metadata.get(section) if isinstance(metadata, dict) else None
        name = part.get(key) if isinstance(part, dict) else None
        if isinstance(name, str) and name:
            return name
    return ""


def _foreign(cell: dict[str, Any]) -> bool:
    """Whether a cell is marked as being of another language than Python: by nbformat 3, or by an editor."""
    metadata = cell.get("metadata")
    part = metadata.get("vscode") if isinstance(metadata, dict) else None
    names = [cell.get("language"), part.get("languageId") if isinstance(part, dict) else None]
    return any(isinstance(name, str) and not _is_python(name) for name in names)


def _is_python(language: str) -> bool:
    return language.lower().startswith(("python", "ipython"))


def write_cells(text: str, notebook: Notebook, sources: Mapping[int, str]) -> str:
    """Return the notebook file `text` with `sources` (by the index of the cell) in place of what was there."""
    parts: list[str] = []
    at = 0
    for cell in sorted(notebook.cells, key=lambda cell: cell.start):
        source = sources.get(cell.index, cell.source)
        if source != cell.source:
            written = _as_list if text.startswith("[", cell.start) else _as_string
            parts += [text[at : cell.start], written(text, cell, source)]
            at = cell.end
    return "".join([*parts, text[at:]])


def row_offsets(text: str, cell: Cell) -> list[int]:
    """Return where each row of a cell's source stands in the notebook file: the start of the string that holds it."""
    strings = [(cell.start, cell.source)]
    if text.startswith("[", cell.start):
        strings = [(start, value) for start, _, value in _Reader(text).elements(cell.start)] or strings
    ends = list(accumulate(len(value) for _, value in strings))
    starts = [0, *(match.end() for match in _ROW_END.finditer(cell.source))]
    return [strings[min(bisect_right(ends, start), len(ends) - 1)][0] for start in starts]


def _as_string(text: str, cell: Cell, source: str) -> str:
    raw = [match.group() for match in _RAW_LINE.finditer(text, cell.start + 1, cell.end - 1) if match.group()]
    values = [json.loads(f'"{line}"', strict=False) for line in raw]
    head, tail = _kept(values, source)
    middle = _encoded(
        text, source[_length(values[:head]) : len(source) - _length(values[tail:])], raw[head:tail]
    )
    return f'"{"".join([*raw[:head], *middle, *raw[tail:]])}"'


def _as_list(text: str, cell: Cell, source: str) -> str:
    elements = _Reader(text).elements(cell.start)
    values = [value for _, _, value in elements]
    head, tail = _kept(values, source)
    old = [text[start + 1 : end - 1] for start, end, _ in elements[head:tail]]
    middle = _encoded(text, source[_length(values[:head]) : len(source) - _length(values[tail:])], old)
    parts = [f'"{line}"' for line in middle]
    if head:
        parts.insert(0, text[elements[0][0] : elements[head - 1][1]])
    if tail < len(elements):
        parts.append(text[elements[tail][0] : elements[-1][1]])
    if not elements:
        return f"[{', '.join(parts)}]"
    opening, closing = text[cell.start : elements[0][0]], text[elements[-1][1] : cell.end]
    if len(elements) > 1:
        between = text[elements[0][1] : elements[1][0]]
    else:
        between = f",{opening[1:]}" if opening != "[" else ", " if '", "' in text else ","
    return f"{opening}{between.join(parts)}{closing}"


def _length(values: Sequence[str]) -> int:
    return sum(map(len, values))


def _kept(values: Sequence[str], source: str) -> tuple[int, int]:
    """Return how many of the old lines `source` starts with, and from which on it ends with the rest of them."""
    head = at = 0
    while head < len(values) and source.startswith(values[head], at):
        if not values[head].endswith("\n") and at + len(values[head]) < len(source):
            break
        at += len(values[head])
        head += 1
    tail, end = len(values), len(source)
    while tail > head and source.endswith(values[tail - 1], at, end):
        start = end - len(values[tail - 1])
        if start > at and source[start - 1] != "\n":
            break
        tail, end = tail - 1, start
    return head, tail


def _encoded(text: str, source: str, old: Sequence[str]) -> list[str]:
    """Return the lines of `source` as the insides of JSON strings; `old` are those that stood in their place."""
    ascii_only = text.isascii() and _ESCAPED.search(text) is not None
    lines = _LINE.findall(source)
    return [
        _line(line, old[number] if number < len(old) else "", ascii_only) for number, line in enumerate(lines)
    ]


def _line(line: str, old: str, ascii_only: bool) -> str:
    """Return `line` as the inside of a JSON string, with the escapes of `old` where the two agree."""
    raw = _RAW_LETTER.findall(old)
    letters = [json.loads(f'"{letter}"', strict=False) for letter in raw]
    most = min(len(letters), len(line))
    left = next((at for at in range(most) if letters[at] != line[at]), most)
    most -= left
    right = next((at for at in range(most) if letters[-1 - at] != line[-1 - at]), most)
    middle = json.dumps(line[left : len(line) - right], ensure_ascii=ascii_only)[1:-1]
    return "".join([*raw[:left], middle, *raw[len(raw) - right :]])
