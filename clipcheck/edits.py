"""Turn what a repair asks for into text changes that do not overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from clipcheck.argument import (
    argument_changes,
    entry_changes,
    first_changes,
    member_changes,
    moved_changes,
    renamed_changes,
)
from clipcheck.findings import (
    Action,
    AddFirst,
    AddImport,
    AddMember,
    InsertBefore,
    MoveAfter,
    MoveBefore,
    MoveFirst,
    PutUnder,
    RemoveComment,
    RenameArgument,
    Replace,
    SetArgument,
    SetEntry,
    Span,
    Wrap,
)
from clipcheck.imports import has_import, import_place
from clipcheck.regular import regular
from clipcheck.sourcefile import parse
from clipcheck.statements import PlacementError, Statement, Tree

_LINE_END = regular("\r\n|\n|\r")


class Change(NamedTuple):
    """Replace the text from offset `start` up to `end` by `content`."""

    start: int
    end: int
    content: str


def first_use(tree: Tree, actions: Sequence[Action]) -> int:
    """Return the offset of the first place that `actions` touch below the imports (else the end)."""
    spans = [
        action.span if isinstance(action, (Replace, Wrap, PutUnder)) else action.anchor
        for action in actions
        if isinstance(action, (InsertBefore, MoveBefore, MoveAfter, Replace, Wrap, PutUnder))
    ]
    spans += [action.call for action in actions if isinstance(action, AddMember)]
    return min((tree.lines.range(span)[0] for span in spans), default=len(tree.text))


def changes(tree: Tree, actions: Sequence[Action], limit: int) -> list[Change]:
    """Return the changes that carry out `actions`, ascending and without overlap.

    `limit` is where new imports must be done. Raises PlacementError where an action has no place.
    """
    leaving = [
        _target(tree, _taken(action)) for action in actions if isinstance(action, (MoveBefore, MoveAfter))
    ]
    found: list[Change] = []
    # Imports first: where the code to guard follows them at once, both go to the same place.
    for action in sorted(actions, key=lambda action: not isinstance(action, AddImport)):
        if isinstance(action, InsertBefore):
            found.append(_insert(tree, _target(tree, action.anchor), action.statements))
        elif isinstance(action, (MoveBefore, MoveAfter)):
            found.extend(_move(tree, action, leaving))
        elif isinstance(action, Replace):
            start, end = tree.lines.range(action.span)
            newline = tree.lines.newline(action.span.row)
            found.append(Change(start, end, _LINE_END.sub(newline, action.text)))
        elif isinstance(action, SetArgument):
            places = argument_changes(tree.text, *tree.lines.range(action.call), action.name, action.value)
            found.extend(Change(*place) for place in places)
        elif isinstance(action, AddMember):
            span = tree.lines.range(action.call)
            found.extend(Change(*place) for place in member_changes(tree.text, *span, action))
        elif isinstance(action, AddFirst):
            places = first_changes(tree.text, *tree.lines.range(action.call), action.text)
            found.extend(Change(*place) for place in places)
        elif isinstance(action, MoveFirst):
            places = moved_changes(tree.text, *tree.lines.range(action.call), action.index)
            found.extend(Change(*place) for place in places)
        elif isinstance(action, RenameArgument):
            places = renamed_changes(tree.text, *tree.lines.range(action.call), action)
            found.extend(Change(*place) for place in places)
        elif isinstance(action, SetEntry):
            places = entry_changes(tree.text, *tree.lines.range(action.display), action.key, action.value)
            found.extend(Change(*place) for place in places)
        elif isinstance(action, PutUnder):
            found.append(_put_under(tree, action))
        elif isinstance(action, Wrap):
            start, end = tree.lines.range(action.span)
            found += [Change(start, start, action.before), Change(end, end, action.after)]
        elif isinstance(action, AddImport):
            found.extend(_add_import(tree, action.text, limit))
        else:
            found.append(_remove_comment(tree, action))
    return _merge(found)


def _merge(found: list[Change]) -> list[Change]:
    """Return `found` in order, each once; what goes to the same place joins in the order asked for."""
    merged: list[Change] = []
    for change in sorted(dict.fromkeys(found), key=lambda change: change[:2]):
        if merged and change.start == merged[-1].start == merged[-1].end:
            merged[-1] = Change(change.start, change.end, merged[-1].content + change.content)
        elif merged and change.start < merged[-1].end:
            raise PlacementError("the parts of the fix overlap")
        else:
            merged.append(change)
    return merged


def _target(tree: Tree, span: Span) -> Statement:
    """Return the statement that a repair names by `span`."""
    start = tree.lines.range(span)[0]
    statement = tree.innermost(start)
    if statement is None or statement.is_elif:
        raise PlacementError("no statement there")
    if statement.compound and start not in (statement.start, statement.head):
        # In the head of a loop or a condition, "before the statement" is not "before it happens".
        raise PlacementError("not at the start of a statement")
    return statement


def _on_line(tree: Tree, statement: Statement) -> bool:
    """Whether a line can be put right above `statement`."""
    row = tree.lines.row(statement.start)
    if row > 1:
        above = tree.text[tree.lines.start(row - 1) : tree.lines.content_end(row - 1)]
        if above.strip() == "\\":
            return False
    return statement.own_line


def _insert(tree: Tree, anchor: Statement, statements: Sequence[str]) -> Change:
    """Return the change that puts `statements` before `anchor`."""
    simple = all(_is_simple(text) for text in statements)
    first = not anchor.block.inline and anchor is anchor.siblings[0]
    if _on_line(tree, anchor) or (first and not simple and not anchor.is_elif):
        return _lines_above(tree, anchor, _written(tree, anchor, statements))
    if anchor.compound or not simple:
        raise PlacementError("no room on this line")
    return Change(anchor.start, anchor.start, "".join(f"{text}; " for text in statements))


def _lines_above(tree: Tree, anchor: Statement, content: str) -> Change:
    row = tree.lines.row(anchor.start)
    # A form feed starts a page: what is put above the statement still comes after it.
    start = tree.lines.start(row)
    prefix = tree.text[start : anchor.start]
    if prefix.strip(" \t\f"):
        raise PlacementError("no line of its own")
    start += prefix.rfind("\f") + 1
    return Change(start, start, content)


def _written(tree: Tree, anchor: Statement, statements: Sequence[str]) -> str:
    """Return `statements` as lines at the indentation of `anchor`, each with its line end."""
    indent, newline = tree.indent(anchor), tree.lines.newline(tree.lines.row(anchor.start))
    rows = [row for text in statements for row in _LINE_END.split(text)]
    return "".join(f"{indent}{row}{newline}" if row else newline for row in rows)


def _is_simple(text: str) -> bool:
    """Whether `text` can share a line with other statements."""
    if "#" in text or _LINE_END.search(text):
        return False
    try:
        return not any(hasattr(node, "body") or hasattr(node, "cases") for node in parse(text).body)
    except SyntaxError as error:
        raise PlacementError(str(error)) from error


def _move(tree: Tree, action: MoveBefore | MoveAfter, leaving: list[Statement]) -> Iterator[Change]:
    """Yield the changes that take a statement away and put it down elsewhere."""
    source, anchor = _target(tree, action.source), _target(tree, action.anchor)
    if source.start <= anchor.start < source.end:
        raise PlacementError("a statement cannot move into itself")
    after = isinstance(action, MoveAfter)
    on_line = anchor.own_line if after else _on_line(tree, anchor)
    if not on_line and (source.compound or anchor.compound):
        raise PlacementError("no room on this line")
    with_comment = on_line and source.own_line
    text = _lifted(tree, source, tree.indent(anchor), with_comment)
    if isinstance(action, MoveBefore):
        yield _put_before(tree, anchor, text, action.prelude, on_line)
    else:
        yield _put_after(tree, anchor, text, on_line)
    yield _take_away(tree, _target(tree, _taken(action)), leaving, with_comment)


def _taken(action: MoveBefore | MoveAfter) -> Span:
    """Return where the statement stands that a move takes away."""
    return (isinstance(action, MoveBefore) and action.emptied) or action.source


def _put_before(tree: Tree, anchor: Statement, text: str, prelude: Sequence[str], on_line: bool) -> Change:
    if on_line:
        newline = tree.lines.newline(tree.lines.row(anchor.start))
        content = f"{_written(tree, anchor, prelude)}{tree.indent(anchor)}{text}{newline}"
        return _lines_above(tree, anchor, content)
    if not all(_is_simple(part) for part in prelude):
        raise PlacementError("no room on this line")
    return Change(anchor.start, anchor.start, "".join(f"{part}; " for part in (*prelude, text)))


def _put_after(tree: Tree, anchor: Statement, text: str, on_line: bool) -> Change:
    if not on_line:
        return Change(anchor.end, anchor.end, f"; {text}")
    row = tree.lines.row(anchor.end)
    newline, indent = tree.lines.newline(row), tree.indent(anchor)
    if tree.lines.line_end(row):
        return Change(tree.lines.end(row), tree.lines.end(row), f"{indent}{text}{newline}")
    return Change(len(tree.text), len(tree.text), f"{newline}{indent}{text}")


def _lifted(tree: Tree, source: Statement, indent: str, with_comment: bool) -> str:
    """Return the text of `source` with its further lines moved to `indent`."""
    lines, old = tree.lines, tree.indent(source)
    first, last = lines.row(source.start), lines.row(source.end)
    end = lines.content_end(last) if with_comment else source.end
    parts = [tree.text[source.start : min(end, lines.end(first))]]
    frozen = tree.string_rows() if first != last and old != indent else frozenset[int]()
    for row in range(first + 1, last + 1):
        part = tree.text[lines.start(row) : min(end, lines.end(row))]
        hangs = row not in frozen and part.strip() and part.startswith(old)
        parts.append(indent + part[len(old) :] if hangs else part)
    return "".join(parts)


def _put_under(tree: Tree, action: PutUnder) -> Change:
    """Return the change that gives a statement a head, and moves all of its lines to the right."""
    statement = _target(tree, action.span)
    if not statement.own_line:
        raise PlacementError("other statements share the line")
    indent = tree.indent(statement) + action.unit
    newline = tree.lines.newline(tree.lines.row(statement.start))
    text = _lifted(tree, statement, indent, with_comment=False)
    return Change(statement.start, statement.end, f"{action.head}{newline}{indent}{text}")


def _take_away(tree: Tree, source: Statement, leaving: list[Statement], with_comment: bool) -> Change:
    """Return the change that removes `source`, of a block that `leaving` empties all but a `pass`."""
    lines, block = tree.lines, source.block
    first, last = lines.row(source.start), lines.row(source.end)
    emptied = block.owner is not None and all(other in leaving for other in block.statements)
    if emptied and source is block.statements[-1]:
        return Change(source.start, lines.content_end(last) if with_comment else source.end, "pass")
    if not source.own_line:
        index = source.siblings.index(source)
        if index + 1 < len(source.siblings):
            return Change(source.start, source.siblings[index + 1].start, "")
        if index == 0:
            raise PlacementError("nothing would be left there")
        return Change(source.siblings[index - 1].end, source.end, "")
    if not _on_line(tree, source):
        raise PlacementError("its line begins above")
    rest = tree.text[source.end : lines.content_end(last)].lstrip(" \t\f;")
    if rest and not with_comment:  # the comment stays, on a line of its own
        return Change(source.start, lines.content_end(last) - len(rest), "")
    return _rows(tree, first, last)


def _rows(tree: Tree, first: int, last: int) -> Change:
    """Return the change that removes whole rows; a missing newline at the end of the file stays missing."""
    lines = tree.lines
    if not lines.line_end(last) and first > 1:
        return Change(lines.content_end(first - 1), lines.end(last), "")
    return Change(lines.start(first), lines.end(last), "")


def _add_import(tree: Tree, text: str, limit: int) -> Iterator[Change]:
    if not has_import(tree.module, text):
        offset, before, after = import_place(tree, limit, text)
        yield Change(offset, offset, f"{before}{text}{after}")


def _remove_comment(tree: Tree, action: RemoveComment) -> Change:
    """Return the change that removes a comment, with the white space before it."""
    start, end = tree.lines.range(action.span)
    if tree.text[start : start + 1] != "#" or action.span.row != action.span.end_row:
        raise PlacementError("no comment there")
    row = action.span.row
    before = tree.text[tree.lines.start(row) : start]
    rest = tree.text[end : tree.lines.content_end(row)]
    if not rest.strip():
        if not before.strip(" \t\f"):
            return _rows(tree, row, row)
        end += len(rest)
    elif not before.strip(" \t\f"):  # keep the indentation for the comment that follows
        return Change(start, end + len(rest) - len(rest.lstrip()), "")
    return Change(start - (len(before) - len(before.rstrip(" \t\f"))), end, "")
