"""What an editor has open: its text under the name that it is scanned by, and the way to the editor's positions."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from lsprotocol import types
from pygls.uris import from_fs_path, to_fs_path, urlparse
from pygls.workspace import PositionCodec, ServerTextPosition, TextDocument, Workspace

from clipcheck.findings import Position
from clipcheck.notebook import SUFFIX as NOTEBOOK
from clipcheck.notebook import is_notebook
from clipcheck.record import dataclass, field

PYTHON = "python"
_SUFFIXES = (".py", ".pyw")


@dataclass(frozen=True, slots=True)
class Part:
    """What the editor holds as one text: a file, or one cell of a notebook."""

    uri: str
    version: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """A file or a notebook that is open, as it is scanned: its parts by cell (a file has one, under None)."""

    uri: str
    filename: str  # absolute
    text: str = field(repr=False)  # of a notebook: JSON with the cells as they are now
    parts: Mapping[int | None, Part] = field(repr=False)
    python: bool = True  # else it is read where a scan asks for it, and not scanned


class OpenTexts(Workspace):
    """pygls's workspace, with rows that end where the protocol ends them: not at a form feed or U+2028."""

    def _create_text_document(
        self,
        doc_uri: str,
        source: str | None = None,
        version: int | None = None,
        language_id: str | None = None,
    ) -> TextDocument:
        return _Text(
            doc_uri,
            source=source,
            version=version,
            language_id=language_id,
            sync_kind=self._sync_kind,
            position_codec=self._position_codec,
        )


class _Text(TextDocument):
    @property
    def lines(self) -> tuple[str, ...]:
        return rows_of(self.source)


def rows_of(text: str) -> tuple[str, ...]:
    r"""The rows of a text with their line ends, which are `\n`, `\r\n` and `\r`."""
    return tuple(io.StringIO(text, newline=""))


def open_documents(workspace: Workspace) -> dict[str, Document]:
    """Everything that is open, by the editor's name for it."""
    cells = {cell.document for notebook in workspace.notebook_documents.values() for cell in notebook.cells}
    found = [_file(text, workspace) for text in workspace.text_documents.values() if text.uri not in cells]
    found += [_notebook(item, workspace) for item in workspace.notebook_documents.values()]
    return {document.uri: document for document in found if document is not None}


def overlay(documents: Iterable[Document]) -> dict[str, str]:
    """The open texts by the names of their files."""
    return {document.filename: document.text for document in documents}


def _file(text: TextDocument, workspace: Workspace) -> Document | None:
    filename = _filename(text.uri, workspace, _SUFFIXES[0])
    if filename is None or is_notebook(filename):
        return None  # the JSON of a notebook as plain text: its places would mean nothing to anybody
    python = text.language_id == PYTHON or filename.endswith(_SUFFIXES)
    part = Part(text.uri, text.version, text.source)
    return Document(text.uri, filename, part.text, {None: part}, python)


def _notebook(notebook: types.NotebookDocument, workspace: Workspace) -> Document | None:
    filename = _filename(notebook.uri, workspace, NOTEBOOK)
    if filename is None or not is_notebook(filename):
        return None
    parts: dict[int | None, Part] = {}
    cells: list[dict[str, object]] = []
    for index, cell in enumerate(notebook.cells):
        text = workspace.text_documents.get(cell.document)
        code = cell.kind == types.NotebookCellKind.Code and text is not None and text.language_id == PYTHON
        if text is not None:
            parts[index] = Part(text.uri, text.version, text.source)
        cells.append({"cell_type": "code" if code else "raw", "source": text.source if text else ""})
    return Document(notebook.uri, filename, json.dumps({"cells": cells, "metadata": {}}), parts)


def _filename(uri: str, workspace: Workspace, suffix: str) -> str | None:
    """The absolute name to scan a text under; None for what is neither a file nor going to be one."""
    scheme, _, path, *_ = urlparse(uri)
    if scheme == "file":
        name = to_fs_path(uri)
        return os.path.abspath(name) if name else None
    if scheme != "untitled":  # `git:` and its like show another version of a file
        return None
    name = os.path.basename(path) or "untitled"
    return os.path.join(_folder(workspace), name if name.endswith(suffix) else name + suffix)


def _folder(workspace: Workspace) -> str:
    folders = [to_fs_path(folder.uri) for folder in workspace.folders.values()]
    return next((folder for folder in (*folders, workspace.root_path) if folder), str(Path.cwd()))


class Places:
    """Turns rows and columns (from 1, in code points) into the positions that the editor counts in, and back."""

    def __init__(self, codec: PositionCodec, documents: Iterable[Document]) -> None:
        self._codec = codec
        self._open = {document.filename: document for document in documents}

    def range(self, part: Part, start: Position, end: Position) -> types.Range:
        rows = rows_of(part.text)
        return types.Range(self._position(rows, start), self._position(rows, end))

    def _position(self, rows: tuple[str, ...], position: Position) -> types.Position:
        place = ServerTextPosition(position.row - 1, position.column - 1)
        return self._codec.position_to_client_units(rows, place)

    def row(self, filename: str, cell: int | None, row: int) -> types.Location:
        """Where a row is: in an open text its stretch of code, elsewhere its start."""
        document = self._open.get(filename)
        part = document.parts.get(cell) if document is not None else None
        if part is None:
            # What is not open is not read for this; a cell's row means nothing in the file of a notebook.
            start = types.Position(0 if cell is not None else row - 1, 0)
            return types.Location(from_fs_path(filename) or "", types.Range(start, start))
        rows = rows_of(part.text)
        text = rows[row - 1] if row <= len(rows) else ""
        first = len(text) - len(text.lstrip()) + 1
        last = max(first, len(text.rstrip()) + 1)
        return types.Location(part.uri, self.range(part, Position(row, first), Position(row, last)))


def overlaps(one: types.Range, other: types.Range) -> bool:
    """Whether two ranges share a place; those that touch do."""
    return _order(one.start) <= _order(other.end) and _order(other.start) <= _order(one.end)


def _order(position: types.Position) -> tuple[int, int]:
    return position.line, position.character


def differences(old: str, new: str) -> Iterator[tuple[Position, Position, str]]:
    """The edits, by whole rows, that make `new` of `old`."""
    import difflib

    before, after = rows_of(old), rows_of(new)
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for tag, first, last, start, end in matcher.get_opcodes():
        if tag != "equal":
            yield _row_end(before, first), _row_end(before, last), "".join(after[start:end])


def _row_end(rows: tuple[str, ...], count: int) -> Position:
    """The position behind so many rows."""
    if count and count == len(rows) and not rows[-1].endswith(("\n", "\r")):
        return Position(count, len(rows[-1]) + 1)
    return Position(count + 1, 1)
