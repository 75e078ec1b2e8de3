"""A notebook cell as plain Python of the same rows: what IPython alone understands is replaced.

Rows stay, and so do the columns of every row that is Python already. A magic becomes `pass`, so that a block
of nothing else keeps a body, or an unknown value where one is assigned from it.
"""

from __future__ import annotations

from collections.abc import Iterator

from clipcheck.regular import regular
from clipcheck.sourcefile import Lines, parse

# Cell magics that run the cell as the Python it is; every other one hands it to somebody else.
_RUNS_PYTHON = frozenset({"capture", "memit", "prun", "time", "timeit"})
_CELL_MAGIC = regular(r"%%(\w*)")
# Without a sign of these a cell is plain Python: most are.
_SIGN = regular(r"(?m)^[^\S\r\n]*[%!?,;/]|\?[^\S\r\n]*(?=[\r\n]|\Z)|=[^\S\r\n]*[%!]\S")
# At the start of a statement: an escape (`%magic`, `!command`, `?help`, `/call`), or help asked for at its end.
_ESCAPE = regular(r"(?P<indent>[^\S\r\n]*)(?:[%!?,;/]|[\w.%*\[\]]+\?\??[^\S\r\n]*[\r\n]*\Z)")
_ASSIGNED = regular(
    r"(?P<target>[^\S\r\n]*[^\W\d][\w.]*(?:\[[^\]\r\n]*\])?(?:\s*,\s*[\w.]+)*[^\S\r\n]*=[^\S\r\n]*)(?:!\S|%[^\W\d])"
)
# Magics that IPython runs without their `%` where a cell is that one row, and no Python ("automagic").
_AUTOMAGIC = regular(
    r"\s*(?:alias|autoreload|bookmark|cat|cd|clear|colors|conda|config|cp|dhist|dirs|env|history|ldir|less|load|load_ext|ls"
    r"|lsmagic|mamba|man|matplotlib|micromamba|mkdir|more|mv|pip|popd|pushd|pwd|pylab|reload_ext|rm|rmdir|run|set_env"
    r"|tensorboard|uv|who|whos)[^\S\r\n]+\S[^\r\n]*\s*\Z"
)
_TIMED = regular(r"%time[^\S\r\n]+")  # `%time statement` runs the statement here
_PART = regular(r"""#|\"""|'''|"|'|[(\[{]|[)\]}]""")
_CLOSING = {quote: regular(rf"(?s)(?:\\.|[^\\])*?{quote}") for quote in ("'", '"', "'''", '"""')}


def plain(source: str) -> str:
    """Return the cell as Python with the same rows; blank where it is none."""
    magical = _SIGN.search(source) is not None or _AUTOMAGIC.match(source) is not None
    if not magical or _parses(source):
        return source
    rows = _rows(source)
    if _AUTOMAGIC.match(source) is not None:
        return "".join(_replaced(row, whole=True) if row.strip() else row for row in rows)
    first = next((number for number, row in enumerate(rows) if row.strip()), 0)
    while (magic := _CELL_MAGIC.match(rows[first])) is not None:
        if magic[1] not in _RUNS_PYTHON:
            return blank(source)
        rows[first] = _blank(rows[first])
        first = next((number for number, row in enumerate(rows) if row.strip()), first)
    for start, end in list(_magics(rows)):
        rows[start] = _replaced(rows[start], whole=end == start + 1)
        rows[start + 1 : end] = map(_blank, rows[start + 1 : end])
    return "".join(rows)


def blank(source: str) -> str:
    """Return a text of the same rows with nothing in them."""
    return "".join(map(_blank, _rows(source)))


def _rows(source: str) -> list[str]:
    lines = Lines(source)
    return [source[lines.start(row) : lines.end(row)] for row in range(1, len(lines.starts) + 1)]


def _parses(source: str) -> bool:
    try:
        parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _blank(row: str) -> str:
    """Return an empty row: a space where there was something, lest two line ends become one."""
    return _end(row) if row[:1] in "\r\n" else f" {_end(row)}"


def _end(row: str) -> str:
    """Return the line end of a row."""
    return row[len(row.rstrip("\r\n")) :]


def _magics(rows: list[str]) -> Iterator[tuple[int, int]]:
    """Yield the rows (from, up to) of each magic; one inside a string or a continued expression is none."""
    depth, quote, continued, at = 0, "", False, 0
    while at < len(rows):
        inside = bool(depth or quote or continued)
        if not inside and (_ESCAPE.match(rows[at]) or _ASSIGNED.match(rows[at])):
            end = at + 1
            while end < len(rows) and rows[end - 1].rstrip("\r\n").endswith("\\"):
                end += 1
            yield at, end
            at = end
        else:
            depth, quote, continued = _after(rows[at], depth, quote)
            at += 1


def _after(row: str, depth: int, quote: str) -> tuple[int, str, bool]:
    """Return open brackets, open quote and whether a backslash continues the row, after `row`."""
    continued = row.rstrip("\r\n").endswith("\\")
    at = 0
    while at < len(row):
        if quote:
            closed = _CLOSING[quote].match(row, at)
            if closed is None:
                return depth, quote if len(quote) == 3 or continued else "", False
            at, quote = closed.end(), ""
            continue
        part = _PART.search(row, at)
        if part is None:
            break
        if part[0] == "#":
            return depth, "", False
        if part[0] in _CLOSING:
            quote = part[0]
        else:
            depth = max(0, depth + (1 if part[0] in "([{" else -1))
        at = part.end()
    return depth, quote if len(quote) == 3 else "", continued


def _replaced(row: str, *, whole: bool) -> str:
    """Return Python for the first row of a magic; `whole`: it has no other."""
    assigned = _ASSIGNED.match(row)
    lead = assigned["target"] if assigned else row[: len(row) - len(row.lstrip(" \t\f"))]
    timed = _TIMED.match(row, len(lead))
    if timed is not None and whole and _parses(lead.lstrip() + row[timed.end() :]):
        stand_in = " " if assigned else "pass;"
        return lead + stand_in.ljust(timed.end() - len(lead)) + row[timed.end() :]
    return f"{lead}{'...' if assigned else 'pass'}{_end(row)}"
