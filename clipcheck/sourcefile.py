r"""Read Python source as text that can be written back byte for byte, and find places in it.

Nothing here translates line ends: a file's `\r\n`, `\r`, form feeds and missing last newline are
its own. Rows end where Python's tokenizer ends them (`\n`, `\r\n`, `\r`), not where `str.splitlines` does.
"""

from __future__ import annotations

import ast
import codecs
import warnings
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from itertools import accumulate, count
from operator import add
from pathlib import Path
from tokenize import detect_encoding

from clipcheck.findings import Position, Span
from clipcheck.record import dataclass, field
from clipcheck.regular import regular

_LINE_END = regular("\r\n|\n|\r")
_BYTE_LINE = regular(rb"[^\r\n]*(?:\r\n|\n|\r)?")
_BOM = "utf-8-sig"
# The codec of a package that brought f-strings to older versions of Python: what it reads is UTF-8.
_FSTRINGS = regular(rb"(?m)^[ \t\f]*#.*?coding[:=][ \t]*future[-_]fstrings\b")
_WIDE = (b"\xff\xfe", b"\xfe\xff")  # the marks of UTF-16 and UTF-32
LARGEST = 2_000_000  # characters of Python: past that a file holds data, and reading it takes minutes


def decode(data: bytes) -> tuple[str, str]:
    """Return the text of Python source `data` and the encoding that `encode` needs to give it back.

    A byte order mark is left out of the text and shows as the encoding "utf-8-sig". Raises
    SyntaxError (bad or contradicting coding line), LookupError (a codec that is no text encoding
    for source) or UnicodeDecodeError (bytes that are not in the encoding).
    """
    second = data.find(b"\n", data.find(b"\n") + 1)
    if b"coding" not in data[: second if second >= 0 else None] and not data.startswith(codecs.BOM_UTF8):
        with suppress(UnicodeDecodeError):  # said in other words where it is in the first two lines
            return data.decode(), "utf-8"
    if _FSTRINGS.search(data[: second if second >= 0 else None]):
        return data.decode(), "utf-8"
    # detect_encoding reads two lines, and knows only "\n" as their end: give it Python's lines.
    lines: Iterator[bytes] = (match.group() for match in _BYTE_LINE.finditer(data))
    encoding, _ = detect_encoding(lambda: next(lines))
    if encoding not in ("utf-8", _BOM) and b"#\n".decode(encoding) != "#\n":
        # As in CPython: UTF-16 and its like would turn the source into other, perhaps valid, text.
        raise LookupError(f"{encoding!r} cannot be the encoding of Python source")
    return data.decode(encoding), encoding


def searchable(data: bytes) -> bytes:
    """Return bytes in which words of ASCII can be searched, in what is no Python for its encoding as well."""
    return data.replace(b"\0", b"") if data.startswith(_WIDE) else data


def undecodable(error: Exception, data: bytes) -> tuple[str, int | None, int | None, str]:
    """Return why `decode` raised `error` on `data`: a message, and row, column and line where there is such a place."""
    if data.startswith(_WIDE):
        return "cannot be decoded: UTF-16 and UTF-32 are no encodings of Python source", None, None, ""
    if not isinstance(error, UnicodeDecodeError):
        return f"cannot be decoded: {error}", None, None, ""
    at = error.start + len(data) - len(error.object)  # a byte order mark has been taken off
    lines = enumerate(_BYTE_LINE.finditer(data), 1)
    row, found = next((row, found) for row, found in lines if at < found.end())
    line, at = found.group(), at - found.start()
    wrong = line[at]
    before, shown = (
        part.decode(error.encoding, "backslashreplace") for part in (line[:at], line.rstrip(b"\r\n"))
    )
    message = f"cannot be decoded: byte 0x{wrong:02x} is not {error.encoding}: {error.reason}"
    return message, row, len(before) + 1, shown


def unparsable(error: Exception) -> str:
    """Return why a text cannot be parsed, in words."""
    if isinstance(error, (RecursionError, MemoryError)):  # CPython's parser gives either
        return "nested too deep"
    return str(error) or type(error).__name__


def too_large(text: str) -> str:
    """Return why a text is not read for its size, or nothing."""
    if len(text) <= LARGEST:
        return ""
    return f"too large to read: {len(text):,} characters of Python, {LARGEST:,} at most; exclude it if it is generated"


def encode(text: str, encoding: str) -> bytes:
    """Return `text` as the bytes of a file in `encoding` (as `decode` named it).

    Raises UnicodeEncodeError where a character has no bytes in it.
    """
    return text.encode(encoding)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A source file as it was read: its bytes, their text, and the encoding between the two."""

    path: Path
    data: bytes
    text: str
    encoding: str

    @property
    def bom(self) -> bool:
        """Whether the file starts with a UTF-8 byte order mark (which `text` leaves out)."""
        return self.encoding == _BOM

    def encode(self, text: str) -> bytes:
        """Return the bytes of this file with `text` in place of its own."""
        return encode(text, self.encoding)


def read(path: Path) -> SourceFile:
    """Read `path`; raises OSError, and what `decode` raises."""
    data = path.read_bytes()
    text, encoding = decode(data)
    return SourceFile(path, data, text, encoding)


@dataclass(frozen=True, slots=True)
class Lines:
    """Rows and columns of a text as offsets in code points, and back."""

    text: str
    starts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        if "\r" in self.text:
            starts = [0, *(match.end() for match in _LINE_END.finditer(self.text))]
        else:
            lengths = map(len, self.text.split("\n"))
            starts = list(map(add, accumulate(lengths, initial=0), count()))[:-1]  # a line end after each
        object.__setattr__(self, "starts", starts)

    def row(self, offset: int) -> int:
        """Return the row (from 1) that the character at `offset` stands in."""
        return bisect_right(self.starts, offset)

    def start(self, row: int) -> int:
        """Return the offset at which `row` starts."""
        return self.starts[row - 1]

    def end(self, row: int) -> int:
        """Return the offset after `row`, its line end included."""
        return self.starts[row] if row < len(self.starts) else len(self.text)

    def content_end(self, row: int) -> int:
        """Return the offset after `row`, its line end left out."""
        return self.end(row) - len(self.line_end(row))

    def line_end(self, row: int) -> str:
        """Return the characters that end `row`: empty for a last line without newline."""
        stretch = self.text[self.start(row) : self.end(row)]
        return "\r\n" if stretch.endswith("\r\n") else stretch[-1:] if stretch[-1:] in ("\n", "\r") else ""

    def newline(self, row: int) -> str:
        """Return the line end for a new line next to `row`: that row's own, else the file's first."""
        first = _LINE_END.search(self.text)
        return self.line_end(row) or (first.group() if first else "\n")

    def offset(self, row: int, column: int) -> int:
        """Return the offset of an `ast` position: row from 1, column in UTF-8 bytes from 0.

        Raises IndexError for a row or a column that the text does not have.
        """
        if not 1 <= row <= len(self.starts):
            raise IndexError(f"no row {row}")
        line = self.text[self.start(row) : self.end(row)]
        if line.isascii():
            inside = column
        else:
            # A column within a character cannot come from `ast`; "ignore" keeps it from raising here.
            inside = len(line.encode("utf-8", "surrogatepass")[:column].decode("utf-8", "ignore"))
        if not 0 <= inside <= len(line):
            raise IndexError(f"no column {column} in row {row}")
        return self.start(row) + inside

    def range(self, span: Span) -> tuple[int, int]:
        """Return the offsets at which `span` starts and ends."""
        return self.offset(span.row, span.column), self.offset(span.end_row, span.end_column)

    def position(self, offset: int) -> Position:
        """Return row and column (both from 1, in code points) of `offset`."""
        row = self.row(offset)
        return Position(row, offset - self.start(row) + 1)

    def offset_of(self, position: Position) -> int:
        """Return the offset of `position`, as `position` gave it; raises IndexError outside the text."""
        if not (1 <= position.row <= len(self.starts) and position.column >= 1):
            raise IndexError(f"no position {position}")
        offset = self.start(position.row) + position.column - 1
        if offset > self.end(position.row):
            raise IndexError(f"no position {position}")
        return offset


def parse(text: str) -> ast.Module:
    """Return the `ast` of `text` without the warnings it may give (they are its author's, not our reader's)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)
