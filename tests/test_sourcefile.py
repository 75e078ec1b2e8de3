"""Source is read as Python reads it, and comes back byte for byte."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcheck.findings import Position, Span
from clipcheck.sourcefile import Lines, decode, encode, parse, read

KEPT = {
    "empty": b"",
    "no final newline": b"x = 1",
    "crlf": b"x = 1\r\ny = 2\r\n",
    "mixed line ends": b"x = 1\r\ny = 2\nz = 3\rq = 4",
    "form feed": b"x = 1\n\x0c\ny = 2\n",
    "utf-8": "# né\n".encode(),
    "byte order mark": b"\xef\xbb\xbfx = 1\n",
    "latin-1 by name": "# -*- coding: latin-1 -*-\ns = 'é'\n".encode("latin-1"),
    "coding on the second row": "#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\ns = '€'\n".encode(
        "cp1252"
    ),
    "coding after a lone carriage return": "#!x\r# coding: latin-1\rs = 'é'\r".encode("latin-1"),
    "mark and its coding line": b"\xef\xbb\xbf# coding: utf-8\nx = 1\n",
}


@pytest.mark.parametrize("data", KEPT.values(), ids=KEPT.keys())
def test_bytes_come_back(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(data)
    source = read(path)
    assert source.encode(source.text) == data
    assert source.bom == data.startswith(b"\xef\xbb\xbf")
    assert not source.text.startswith("\ufeff")
    assert ast.dump(parse(source.text)) == ast.dump(ast.parse(data))


@pytest.mark.parametrize("name", ["future_fstrings", "future-fstrings"])
def test_a_codec_that_python_knows_by_a_package_alone(name: str) -> None:
    data = f"#!x\n# -*- coding: {name} -*-\ns = 'é'\n".encode()
    text, encoding = decode(data)
    assert (text.encode(encoding), encoding) == (data, "utf-8")
    with pytest.raises(SyntaxError):
        decode(f"# coding: {name}2\ns = 1\n".encode())


@pytest.mark.parametrize(
    ("data", "error"),
    [
        pytest.param(b"x = '\xe9'\n", (UnicodeDecodeError, SyntaxError), id="latin-1 without a coding line"),
        pytest.param(b"x = 1\n" * 3 + b"'\xe9'\n", UnicodeDecodeError, id="bad byte further down"),
        pytest.param(b"# coding: klingon\n", SyntaxError, id="unknown coding"),
        pytest.param(b"# coding: rot13\n", LookupError, id="no text encoding"),
        pytest.param(b"# coding: utf-16\n", (LookupError, UnicodeError), id="not a superset of ASCII"),
        pytest.param(b"\xef\xbb\xbf# coding: latin-1\n", SyntaxError, id="mark against coding line"),
    ],
)
def test_refused(data: bytes, error: type[Exception] | tuple[type[Exception], ...]) -> None:
    with pytest.raises(error):
        decode(data)


def test_text_that_does_not_fit_the_encoding() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode("# coding: latin-1\n'€'\n", "iso-8859-1")


def test_rows_are_those_of_python() -> None:
    text = "a = 1\x0c\x0b\u2028\r\nb = 2\rc = 3\nd = 4"
    lines = Lines("# " + text)
    assert [lines.line_end(row) for row in range(1, 5)] == ["\r\n", "\r", "\n", ""]
    assert lines.newline(4) == "\r\n"
    assert Lines("x").newline(1) == "\n"


def test_ast_columns_count_bytes_and_ours_do_not() -> None:
    text = "é = '😀'; x = 1\n"
    node = ast.parse(text).body[1]
    lines = Lines(text)
    assert lines.position(lines.offset(node.lineno, node.col_offset)) == Position(1, 10)
    start, end = lines.range(
        Span(node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0)
    )
    assert text[start:end] == "x = 1"


@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 0), (1, 7), (1, -1)])
def test_places_outside(row: int, column: int) -> None:
    with pytest.raises(IndexError):
        Lines("x = 1\n").offset(row, column)
    with pytest.raises(IndexError):
        Lines("x = 1\n").offset_of(Position(row, column + 1))


@given(st.text(alphabet="a é😀\n\r\t\x0c\u2028"), st.data())
def test_offsets_come_back(text: str, data: st.DataObject) -> None:
    lines = Lines(text)
    offset = data.draw(st.integers(0, len(text)))
    position = lines.position(offset)
    assert lines.offset_of(position) == offset
    before = text[lines.start(position.row) : offset]
    assert lines.offset(position.row, len(before.encode())) == offset


def test_no_libcst_here() -> None:
    import subprocess

    code = "import sys, clipcheck.sourcefile, clipcheck.fixing; sys.exit('libcst' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
