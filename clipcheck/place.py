"""Give verdicts their exact positions, and their fixes as edits of the text.

Imported only when there is something to report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clipcheck.edits import changes, first_use
from clipcheck.findings import Edit, Finding, Fix, Position, Repair, Span, Verdict
from clipcheck.sourcefile import Lines
from clipcheck.statements import PlacementError, Tree, parse_statements


def place(source: str, verdicts: Sequence[Verdict], names: Mapping[str, str]) -> list[Finding]:
    """Return a finding for each verdict on `source`, in their order.

    `names` gives the name of each rule by its code. A file that does not parse, or a repair
    without a place, gives a finding at its verdict's position without a fix.
    """
    if not verdicts:
        return []
    try:
        tree = parse_statements(source)
        limit = min(_limit(tree, verdict.repair) for verdict in verdicts)
    except PlacementError:
        tree, limit = None, 0
    lines = tree.lines if tree else Lines(source)
    return [_finding(verdict, names, lines, tree, limit) for verdict in verdicts]


def _limit(tree: Tree, repair: Repair | None) -> int:
    """Return where imports that `repair` asks for must be done."""
    try:
        return first_use(tree, repair.actions if repair else ())
    except IndexError:
        return len(tree.text)


def _finding(
    verdict: Verdict, names: Mapping[str, str], lines: Lines, tree: Tree | None, limit: int
) -> Finding:
    start, end = _extent(verdict.site.span, lines, tree)
    return Finding(
        code=verdict.code,
        name=names.get(verdict.code, verdict.code),
        message=verdict.message,
        filename=verdict.site.filename,
        start=start,
        end=end,
        risk=verdict.risk,
        evidence=verdict.evidence,
        fix=_fix(verdict.repair, tree, limit) if verdict.repair and tree else None,
    )


def _extent(span: Span, lines: Lines, tree: Tree | None) -> tuple[Position, Position]:
    """Return where a finding starts and ends: its simple statement, else the span as given."""
    try:
        start, end = lines.range(span)
    except IndexError:  # never from `ast` on this text; still no reason to lose the finding
        return Position(span.row, span.column + 1), Position(span.end_row, span.end_column + 1)
    statement = tree.innermost(start) if tree else None
    if statement is not None and not statement.compound and lines.text[start : start + 1] != "#":
        start, end = statement.start, statement.end
    return lines.position(start), lines.position(end)


def _fix(repair: Repair, tree: Tree, limit: int) -> Fix | None:
    """Return the edits of `repair`, or None where they have no place."""
    try:
        found = changes(tree, repair.actions, limit)
    except (PlacementError, IndexError):
        return None
    edits = [
        Edit(change.content, tree.lines.position(change.start), tree.lines.position(change.end))
        for change in found
        if tree.text[change.start : change.end] != change.content
    ]
    return Fix(repair.applicability, repair.message, tuple(edits)) if edits else None
