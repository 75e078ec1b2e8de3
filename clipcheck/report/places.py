"""Where a finding is, in the words of systems that know of files and rows and not of cells or odd file names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from clipcheck.findings import Evidence, Failure, Finding, Risk
from clipcheck.notebook import NotebookError, file_rows, is_notebook
from clipcheck.report import Layout
from clipcheck.report.text import clean, place_of

_ROOTS = (".git", ".hg", ".svn")


class Places:
    """Paths from the top of the repository, and rows of files, those of notebooks included."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._rows: dict[str, dict[int, list[int]]] = {}
        here = Path(os.path.abspath(layout.folder))
        tops = (
            folder for folder in (here, *here.parents) if any((folder / name).exists() for name in _ROOTS)
        )
        self.root = next(tops, here)

    def relative(self, filename: str) -> str | None:
        """Return a file's path from the root with "/"; None where it is not below."""
        path = Path(filename)
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else None

    def path(self, filename: str) -> str:
        """Return a file's path from the root, or the whole where it is not below."""
        return self.relative(filename) or Path(filename).as_posix()

    def row(self, filename: str, row: int, cell: int | None) -> int:
        """Return the row of the file that a row (of a cell) is; the first where a notebook cannot be read any more."""
        if cell is None:
            return row
        rows: Sequence[int] = self._notebook(filename).get(cell, ())
        return rows[min(row, len(rows)) - 1] if rows else 1

    def text(self, filename: str) -> str | None:
        """Return a file's text; None where it cannot be read any more."""
        return self._layout.text(filename)

    def _notebook(self, filename: str) -> dict[int, list[int]]:
        if filename not in self._rows:
            text = self.text(filename) if is_notebook(filename) else None
            try:
                self._rows[filename] = file_rows(text) if text is not None else {}
            except NotebookError:
                self._rows[filename] = {}
        return self._rows[filename]


def visible(text: str) -> str:
    """Return text that every format can hold: controls as escapes, and what is no character too."""
    return clean(text).encode("utf-8", "backslashreplace").decode("utf-8")


def place(path: str, row: int | None, cell: int | None) -> str:
    """Return a place for people: `train.py:40`, `train.ipynb:cell 3:12`."""
    if row is not None:
        return f"{path}:{place_of(cell, row)}"
    return path if cell is None else f"{path}:cell {cell}"


def level(risk: Risk) -> str:
    """Return how loud a risk is in the words of GitHub: error, warning or notice."""
    return {"high": "error", "medium": "warning"}.get(risk, "notice")


def details(finding: Finding, places: Places) -> list[str]:
    """Return what a finding rests on, and its fix, in lines for people."""
    lines = [f"= {_told(item, places)}" for item in finding.evidence]
    if finding.fix is not None:
        option = "--fix" if finding.fix.applicability == "safe" else "--fix --unsafe-fixes"
        lines.append(f"fix ({finding.fix.applicability}, {option} writes it): {finding.fix.message}")
    return [visible(line) for line in lines]


def _told(item: Evidence, places: Places) -> str:
    return f"{place(places.path(item.filename), item.row, item.cell)}: {item.message}"


def where(item: Finding | Failure, places: Places) -> str:
    """Return where a finding or a failure is, for people."""
    row = item.start.row if isinstance(item, Finding) else item.row
    return visible(place(places.path(item.filename), row, item.cell))
