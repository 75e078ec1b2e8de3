"""Apply the edits of fixes to a text, and prove that nothing else changed."""

from __future__ import annotations

import ast
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from clipcheck.findings import Finding, Position
from clipcheck.notebook import NotebookError, Program, open_program, rewrite
from clipcheck.sourcefile import Lines, parse


class _Cut(NamedTuple):
    """One edit in offsets."""

    start: int
    end: int
    content: str


def fixable(finding: Finding, unsafe: bool) -> bool:
    """Whether `finding` has a fix that may be applied (unsafe ones only where asked for)."""
    return finding.fix is not None and (unsafe or finding.fix.applicability == "safe")


def render(source: str, findings: Iterable[Finding], unsafe: bool) -> tuple[str, list[Finding]]:
    """Return `source` with fixes applied, and the findings whose fixes those are.

    Edits that several fixes share are applied once. A fix that conflicts with an earlier one waits
    for the next pass; one that would break the file, or change what it should not, is left out.
    `source` is a notebook where the findings stand in cells: the edits are made in its program.
    """
    wanted = sorted((one for one in findings if fixable(one, unsafe)), key=_place)
    notebook = next((one.filename for one in wanted if one.cell is not None), None)
    program = Program(source) if notebook is None else open_program(source, notebook)
    lines = Lines(program.text)
    chosen: list[tuple[Finding, list[_Cut]]] = []
    taken = _Taken()
    for finding in wanted:
        cuts = _cuts(finding, program, lines)
        if cuts is not None and notebook is not None and not _fits(source, notebook, cuts):
            continue
        if cuts is not None and not any(map(taken.clashes, cuts)):
            chosen.append((finding, cuts))
            taken.add(cuts)
    made: Iterable[_Cut] = taken.cuts
    new, ranges = _splice(program.text, made)
    if new != program.text and not _sound(program.text, made, new, ranges):
        chosen, made = _sound_ones(program.text, chosen)
        new, _ = _splice(program.text, made)
    if new == program.text:
        return source, []
    written = new if notebook is None else rewrite(source, notebook, sorted(made))
    return written, [finding for finding, _ in chosen]


def _fits(source: str, notebook: str, cuts: Sequence[_Cut]) -> bool:
    """Whether the edits of a fix can be made in the cells of a notebook."""
    try:
        rewrite(source, notebook, cuts)
    except NotebookError:
        return False
    return True


def _place(finding: Finding) -> tuple[int, int, int]:
    return finding.cell or 0, finding.start.row, finding.start.column


def _sound_ones(
    source: str, chosen: Sequence[tuple[Finding, list[_Cut]]]
) -> tuple[list[tuple[Finding, list[_Cut]]], set[_Cut]]:
    """Return the fixes that leave the file sound, one after the other, and their edits."""
    taken: set[_Cut] = set()
    kept: list[tuple[Finding, list[_Cut]]] = []
    for finding, cuts in chosen:
        attempt = taken.union(cuts)
        new, ranges = _splice(source, attempt)
        if _sound(source, attempt, new, ranges):
            taken = attempt
            kept.append((finding, cuts))
    return kept, taken


def _cuts(finding: Finding, program: Program, lines: Lines) -> list[_Cut] | None:
    """Return the edits of the fix of `finding` in offsets; None where the text has no such place."""
    assert finding.fix is not None
    try:
        return [
            _Cut(
                _offset(edit.start, edit.cell, program, lines),
                _offset(edit.end, edit.cell, program, lines),
                edit.content,
            )
            for edit in finding.fix.edits
        ]
    except IndexError:
        return None


def _offset(position: Position, cell: int | None, program: Program, lines: Lines) -> int:
    return lines.offset_of(Position(program.row(cell, position.row), position.column))


class _Taken:
    """The edits that are made, in their order; no two of them overlap."""

    def __init__(self) -> None:
        self.cuts: list[_Cut] = []

    def add(self, cuts: Iterable[_Cut]) -> None:
        for cut in cuts:
            place = bisect_left(self.cuts, cut)
            if self.cuts[place : place + 1] != [cut]:
                self.cuts.insert(place, cut)

    def clashes(self, cut: _Cut) -> bool:
        """Whether another edit overlaps, or starts together with, this one: the outcome would hang on their order."""
        place = bisect_left(self.cuts, (cut.start,))
        before, after = self.cuts[max(place - 1, 0) : place], self.cuts[place : place + 1]
        if after == [cut]:
            return False
        late = any(other.start == cut.start or cut.end > other.start for other in after)
        return late or any(other.end > cut.start for other in before)


def _splice(source: str, cuts: Iterable[_Cut]) -> tuple[str, list[tuple[int, int]]]:
    """Return `source` with `cuts` made, and where the new text stands in it."""
    parts: list[str] = []
    ranges: list[tuple[int, int]] = []
    at = length = 0
    for cut in sorted(cuts):
        parts += [source[at : cut.start], cut.content]
        length += cut.start - at
        ranges.append((length, length + len(cut.content)))
        length += len(cut.content)
        at = cut.end
    return "".join([*parts, source[at:]]), ranges


def _sound(source: str, cuts: Iterable[_Cut], new: str, ranges: Sequence[tuple[int, int]]) -> bool:
    """Whether `new` parses, and the statements that no edit touches are the same in both."""
    removed = [(cut.start, cut.end) for cut in cuts]
    try:
        before = list(_untouched(parse(source), Lines(source), removed))
        return before == list(_untouched(parse(new), Lines(new), ranges))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _untouched(
    module: ast.Module, lines: Lines, touched: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, str, str]]:
    """Yield depth, field and content of each statement (of a compound one: its head) outside `touched`."""
    begins, ends = sorted(begin for begin, _ in touched), sorted(end for _, end in touched)
    waiting: list[tuple[int, str, ast.AST]] = [(0, "", module)]
    while waiting:
        depth, name, node = waiting.pop()
        heads, inner = _apart(node)
        start, end = _reach(node, heads, lines)
        first = bisect_right(ends, start)  # the first that does not end above: they do not overlap
        if first == len(ends) or begins[first] >= end:
            yield depth, name, _dump(node, heads)
        waiting.extend((depth + 1, field, child) for field, child in reversed(inner))


def _apart(node: ast.AST) -> tuple[list[tuple[str, object]], list[tuple[str, ast.AST]]]:
    """Return the fields of `node` that are its own, and the statements (handlers, cases) within."""
    heads: list[tuple[str, object]] = []
    inner: list[tuple[str, ast.AST]] = []
    for name, value in ast.iter_fields(node):
        if name in ("body", "orelse", "finalbody", "handlers", "cases") and isinstance(value, list):
            inner.extend((name, child) for child in value)
        else:
            heads.append((name, value))
    return heads, inner


def _reach(node: ast.AST, heads: Sequence[tuple[str, object]], lines: Lines) -> tuple[int, int]:
    """Return the offsets that the head of `node` covers (nothing for what has no place of its own)."""
    if not isinstance(node, (ast.stmt, ast.excepthandler, ast.match_case)):
        return 0, 0
    holder = node.pattern if isinstance(node, ast.match_case) else node
    start = lines.offset(holder.lineno, holder.col_offset)
    if not (hasattr(node, "body") or isinstance(node, ast.Match)):
        return start, lines.offset(holder.end_lineno or 0, holder.end_col_offset or 0)
    end = start + 1
    for _, value in heads:
        for part in value if isinstance(value, list) else [value]:
            for child in ast.walk(part) if isinstance(part, ast.AST) else ():
                if isinstance(child, (ast.expr, ast.pattern, ast.arg)):
                    start = min(start, lines.offset(child.lineno, child.col_offset))
                    end = max(end, lines.offset(child.end_lineno or 0, child.end_col_offset or 0))
    return start, end


def _dump(node: ast.AST, heads: Sequence[tuple[str, object]]) -> str:
    parts = [type(node).__name__]
    for name, value in heads:
        values = value if isinstance(value, list) else [value]
        parts += [name, *(ast.dump(part) if isinstance(part, ast.AST) else repr(part) for part in values)]
    return " ".join(parts)
