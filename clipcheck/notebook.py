"""A notebook as one program: the code of its cells in their order, and the way between its rows and theirs.

What is analysed of any file is a `Program`. That of a Python file is its text; that of a notebook is made here. Rows
of the program are what every stage counts in; cells are known where files are read, reported and written.
"""

from __future__ import annotations

import ast
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from clipcheck.facts import LeftOut
from clipcheck.findings import (
    Edit,
    Evidence,
    Finding,
    Fix,
    InsertBefore,
    MoveAfter,
    MoveBefore,
    Position,
    RemoveComment,
    Repair,
    Replace,
)
from clipcheck.magics import blank, plain
from clipcheck.record import dataclass, field, replace
from clipcheck.regular import regular
from clipcheck.sourcefile import Lines, parse, too_large, unparsable

if TYPE_CHECKING:
    from clipcheck.cells import Cell, Notebook

SUFFIX = ".ipynb"
_LINE_END = regular("\r\n|\n|\r")
_INDENTED = regular(r"(?:[^\S\r\n]*[\r\n])*[ \t]+(?=[^\s#])")
_BLOCK = "if True:"  # stands above a cell that is indented as a whole, which IPython allows


def is_notebook(filename: str) -> bool:
    """Whether a file is read as a notebook, by its name."""
    return filename.endswith(SUFFIX)


class NotebookError(Exception):
    """A file that is no notebook, or an edit that does not fit into its cells."""

    def __init__(self, message: str, row: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.row, self.column = row, column


@dataclass(frozen=True, slots=True)
class CellRows:
    """Where one code cell stands in the program: its first row, and how many there are (the gap below included)."""

    cell: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Program:
    """What is analysed of a file: Python text and, of a notebook, the cells that its rows belong to."""

    text: str
    cells: tuple[CellRows, ...] = ()
    left_out: tuple[LeftOut, ...] = ()  # cells that cannot be parsed; their rows are blank
    replaced: frozenset[int] = frozenset()  # rows that are not as they are written: magics
    tree: ast.Module | None = field(default=None, compare=False, repr=False)  # where it is parsed already

    def locate(self, row: int) -> tuple[int | None, int]:
        """Return the cell (None in a Python file) and the row in it that a row of the program is."""
        if not self.cells:
            return None, row
        index = bisect_right(self.cells, row, key=lambda rows: rows.first) - 1
        rows = self.cells[max(index, 0)]
        return rows.cell, max(1, row - rows.first + 1)

    def row(self, cell: int | None, row: int) -> int:
        """Return the row of the program that a row of a cell is. Raises IndexError where there is none."""
        if cell is None:
            return row
        for rows in self.cells:
            if rows.cell == cell and 1 <= row <= rows.count:
                return rows.first + row - 1
        raise IndexError(f"no row {row} of code in cell {cell}")


# -- reading -----------------------------------------------------------------------------------------


def open_program(text: str, filename: str) -> Program:
    """Return the program of a file; cells of a notebook that cannot be parsed are left out. Raises NotebookError."""
    if not is_notebook(filename):
        return Program(text)
    cells = _code(text)
    whole = _joined(cells)
    if reason := too_large(whole.text):
        raise NotebookError(reason)
    try:
        tree = parse(whole.text)
        if _cells_apart(tree, whole):
            return replace(whole, tree=tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    left_out = tuple(found for cell in cells if (found := _damage(cell)) is not None)
    return replace(_joined(cells, {found.cell for found in left_out}), left_out=left_out)


def code_of(text: str, filename: str) -> str:
    """Return the Python text of a file, cells that cannot be parsed included. Raises NotebookError."""
    return _joined(_code(text)).text if is_notebook(filename) else text


def sources(text: str) -> dict[int, str]:
    """Return the source of every cell of a notebook by its index, as it is written. Raises NotebookError."""
    return {cell.index: cell.source for cell in _read(text).cells}


def file_rows(text: str) -> dict[int, list[int]]:
    """Return, by cell, the row of the notebook file that each row of its source stands in. Raises NotebookError."""
    # With the reader of JSON, here and below: most runs meet no notebook.
    from clipcheck.cells import row_offsets

    lines = Lines(text)
    return {cell.index: [lines.row(at) for at in row_offsets(text, cell)] for cell in _read(text).cells}


def _code(text: str) -> list[Cell]:
    """Return the code cells of a notebook whose language is Python."""
    notebook = _read(text)
    return [cell for cell in notebook.cells if cell.code] if notebook.python else []


def _read(text: str) -> Notebook:
    from json import JSONDecodeError

    from clipcheck.cells import read_cells

    try:
        return read_cells(text)
    except JSONDecodeError as error:
        raise NotebookError(f"cannot be read as a notebook: {error.msg}", error.lineno, error.colno) from None
    except RecursionError:
        raise NotebookError("cannot be read as a notebook: nested too deep") from None


def _joined(cells: Iterable[Cell], without: set[int] | frozenset[int] = frozenset()) -> Program:
    parts: list[str] = []
    places: list[CellRows] = []
    replaced: set[int] = set()
    row = 1
    for cell in cells:
        above, code, below = _around(cell, plain(cell.source))
        if cell.index in without:
            above, code = "", blank(code)
        count = len(_LINE_END.findall(code + below))
        row += len(_LINE_END.findall(above))
        parts += [above, code, below]
        places.append(CellRows(cell.index, row, count))
        replaced.update(row + number for number in _differing(cell.source, code))
        row += count
    return Program("".join(parts), tuple(places), replaced=frozenset(replaced))


def _differing(source: str, code: str) -> list[int]:
    """Return which rows (from 0) of two texts with equal rows are not the same."""
    if source == code:
        return []
    pairs = zip(_LINE_END.split(source), _LINE_END.split(code), strict=True)
    return [number for number, (written, read) in enumerate(pairs) if written != read]


def _around(cell: Cell, code: str) -> tuple[str, str, str]:
    """Return what stands above a cell in the program, its text, and what stands below.

    A row between cells keeps what is put below the last statement of one from being above the first of the next.
    """
    end = _LINE_END.search(cell.source)
    newline = end.group() if end else "\n"
    above = _BLOCK + newline if _INDENTED.match(code) else ""
    return above, code, newline * 2


def _cells_apart(tree: ast.Module, program: Program) -> bool:
    """Whether no statement reaches from one cell into another: an open string swallows what follows."""
    return all(
        program.locate(_body_row(node))[0] == program.locate(node.end_lineno or node.lineno)[0]
        for node in tree.body
    )


def _body_row(node: ast.stmt) -> int:
    """Return the row that says which cell a statement is of: `if True:` stands above the cell that it is for."""
    return node.body[0].lineno if isinstance(node, ast.If) else node.lineno


def _damage(cell: Cell) -> LeftOut | None:
    """Return why a cell cannot be parsed, or None."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    above, code, below = _around(cell, plain(cell.source))
    try:
        parse(above + code + below)
    except SyntaxError as error:
        message = f"cannot be parsed by Python {version}: {error.msg}"
        row, last = max(1, (error.lineno or 1) - bool(above)), len(Lines(cell.source).starts)
        if row > last:  # something is missing at the end
            return LeftOut(cell.index, message, last, None, "")
        return LeftOut(cell.index, message, row, error.offset, (error.text or "").rstrip("\r\n"))
    except (ValueError, RecursionError, MemoryError) as error:
        return LeftOut(cell.index, f"cannot be parsed by Python {version}: {unparsable(error)}", 1, None, "")
    return None


# -- findings ----------------------------------------------------------------------------------------


def within_cells(repair: Repair | None, program: Program) -> Repair | None:
    """Return a repair that can be made in the cells as they are written.

    None where it moves a statement from one cell to another, or touches what is a magic in truth.
    """
    if repair is None or not program.cells:
        return repair
    for action in repair.actions:
        rows: set[int] = set()
        if isinstance(action, (MoveBefore, MoveAfter)):
            rows = {*range(action.source.row, action.source.end_row + 1), action.anchor.row}
            if program.locate(action.source.row)[0] != program.locate(action.anchor.row)[0]:
                return None
        elif isinstance(action, (Replace, RemoveComment)):
            rows = set(range(action.span.row, action.span.end_row + 1))
        elif isinstance(action, InsertBefore):
            rows = {action.anchor.row}
        if not rows.isdisjoint(program.replaced):
            return None
    return repair


def in_cells(finding: Finding, program_of: Callable[[str], Program]) -> Finding:
    """Return a finding of a program with its places counted in cells, where they are in notebooks."""
    program = program_of(finding.filename)
    evidence = tuple(_evidence(item, program_of(item.filename)) for item in finding.evidence)
    if not program.cells:
        return replace(finding, evidence=evidence)
    cell, start = _place(program, finding.start)
    _, end = _place(program, finding.end)
    fix = _fix(finding.fix, program) if finding.fix is not None else None
    return replace(finding, cell=cell, start=start, end=end, evidence=evidence, fix=fix)


def _evidence(item: Evidence, program: Program) -> Evidence:
    cell, row = program.locate(item.row)
    return replace(item, cell=cell, row=row)


def _place(program: Program, position: Position) -> tuple[int | None, Position]:
    cell, row = program.locate(position.row)
    return cell, Position(row, position.column)


def _fix(fix: Fix, program: Program) -> Fix | None:
    edits = []
    for edit in fix.edits:
        (cell, start), (last, end) = _place(program, edit.start), _place(program, edit.end)
        if cell != last:
            return None
        edits.append(Edit(edit.content, start, end, cell))
    return replace(fix, edits=tuple(edits))


# -- writing -----------------------------------------------------------------------------------------


def rewrite(text: str, filename: str, cuts: Sequence[tuple[int, int, str]]) -> str:
    """Return the notebook file `text` with edits of its program (offsets and new text) made in its cells.

    Raises NotebookError for an edit that reaches over the end of a cell or changes a magic.
    """
    program = open_program(text, filename)
    lines = Lines(program.text)
    changed: dict[int, list[tuple[int, int, str]]] = {}
    cells = {cell.index: cell for cell in _code(text)}
    for start, end, content in cuts:
        (cell, first), (last, _) = program.locate(lines.row(start)), program.locate(lines.row(end))
        if cell is None or cell != last:
            raise NotebookError("an edit over the end of a cell")
        base = lines.start(lines.row(start) - first + 1)
        changed.setdefault(cell, []).append((start - base, end - base, content))
    new = {index: _edited(cells[index], edits) for index, edits in changed.items()}
    from clipcheck.cells import write_cells

    return write_cells(text, _read(text), new)


def _edited(cell: Cell, edits: Sequence[tuple[int, int, str]]) -> str:
    """Return the source of a cell with `edits`, whose offsets are those of the cell as plain Python."""
    _, code, below = _around(cell, plain(cell.source))
    ours, theirs = Lines(code + below), Lines(cell.source + below)
    new = theirs.text
    for start, end, content in sorted(edits, reverse=True):
        new = new[: _offset(start, ours, theirs)] + content + new[_offset(end, ours, theirs) :]
    if not new.endswith(below):
        raise NotebookError("an edit over the end of a cell")
    return new.removesuffix(below)


def _offset(offset: int, ours: Lines, theirs: Lines) -> int:
    """Return where an offset into plain Python is in the cell as it is written."""
    row = ours.row(offset)
    column = offset - ours.start(row)
    if ours.text[ours.start(row) : offset] != theirs.text[theirs.start(row) : theirs.start(row) + column]:
        raise NotebookError("an edit of a magic")
    return theirs.start(row) + column
