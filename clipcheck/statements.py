"""The statements of a file on its `ast`: which line and block each stands in, and what it shares them with.

`ast` knows blocks and offsets, and the text between two statements tells what it leaves out: whether they share a line,
whether a suite stands behind its colon, whether a condition is an `elif`.
"""

from __future__ import annotations

import ast
import io
import tokenize
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache

from clipcheck.record import dataclass, field
from clipcheck.regular import regular
from clipcheck.sourcefile import Lines, parse

_ONE_LINE = regular(r"([ \t\f;]|\\(\r\n|\n|\r))*")  # what stands between statements that share a line


class PlacementError(Exception):
    """A repair, or a whole file, that cannot be turned into edits."""


@dataclass(eq=False, slots=True)
class Block:
    """The statements that share an indentation, or the one line after a colon."""

    owner: Statement | None  # None at the top of the module
    inline: bool = False
    statements: list[Statement] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Statement:
    """One statement; offsets count code points, and decorators belong to what they decorate."""

    node: ast.stmt
    block: Block
    start: int
    head: int  # where `ast` has it: after the decorators
    end: int
    siblings: list[Statement] = field(default_factory=list)  # those on its logical line, itself included
    is_elif: bool = False

    @property
    def compound(self) -> bool:
        """Whether it holds a block of its own."""
        return isinstance(self.node, ast.Match) or hasattr(self.node, "body")

    @property
    def own_line(self) -> bool:
        """Whether nothing else stands on its logical line."""
        return len(self.siblings) == 1 and not self.block.inline and not self.is_elif


@dataclass(slots=True)
class Tree:
    """A file with its statements in the order of the source."""

    lines: Lines
    module: ast.Module
    statements: list[Statement]
    _string_rows: frozenset[int] | None = None

    @property
    def text(self) -> str:
        """The source."""
        return self.lines.text

    def innermost(self, offset: int) -> Statement | None:
        """Return the innermost statement that covers `offset`."""
        index = bisect_right(self.statements, offset, key=lambda statement: statement.start) - 1
        found = self.statements[index] if index >= 0 else None
        while found is not None and found.end <= offset:
            found = found.block.owner
        return found

    def indent(self, statement: Statement) -> str:
        """Return the white space that indents the line of `statement` (a form feed before it left out)."""
        row = self.lines.row(statement.start)
        line = self.text[self.lines.start(row) : self.lines.content_end(row)]
        return line[: len(line) - len(line.lstrip(" \t\f"))].rpartition("\f")[2]

    def string_rows(self) -> frozenset[int]:
        """Return the rows that start inside a string: their white space is no indentation."""
        if self._string_rows is None:
            self._string_rows = frozenset(_string_rows(self.lines))
        return self._string_rows


@lru_cache(maxsize=1)  # a file's findings are placed, and then known by their statements
def parse_statements(text: str) -> Tree:
    """Return the statements of `text`; raises PlacementError where it does not parse."""
    try:
        module = parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise PlacementError(str(error)) from error
    walk = _Walk(Lines(text))
    walk.block(module.body, None)
    return Tree(walk.lines, module, walk.found)


class _Walk:
    """Gathers the statements of a module in the order of the source."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.found: list[Statement] = []

    def block(self, body: list[ast.stmt], owner: Statement | None) -> None:
        """Add the statements of one block, and of the blocks within."""
        block, above = Block(owner), None
        for node in body:
            statement = self._statement(node, block)
            if above is None:
                block.inline = owner is not None and self._is_behind_colon(statement.start)
            elif not above.compound and self._is_one_line(above.end, statement.start):
                statement.siblings = above.siblings
            statement.siblings.append(statement)
            self._suites(statement)
            above = statement

    def _statement(self, node: ast.stmt, block: Block) -> Statement:
        offset = self.lines.offset
        head = start = offset(node.lineno, node.col_offset)
        end = offset(node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)
        decorators: list[ast.expr] = getattr(node, "decorator_list", [])
        if decorators:
            first = offset(decorators[0].lineno, decorators[0].col_offset)
            start = self.lines.text.rindex("@", 0, first)
        found = Statement(node, block, start, head, end)
        block.statements.append(found)
        self.found.append(found)
        return found

    def _suites(self, statement: Statement) -> None:
        """Add what stands in the suites of a statement; an `elif` is a statement of its own in them."""
        node = statement.node
        while isinstance(node, ast.If):  # a loop: chains are longer than blocks are deep
            self.block(node.body, statement)
            if not self._is_elif(node.orelse):
                self._suite(node.orelse, statement)
                return
            node = node.orelse[0]
            statement = self._statement(node, Block(statement))
            statement.is_elif = True
            statement.siblings.append(statement)
        for case in node.cases if isinstance(node, ast.Match) else ():
            self.block(case.body, statement)
        self._suite(getattr(node, "body", []), statement)
        for handler in getattr(node, "handlers", ()):
            self.block(handler.body, statement)
        self._suite(getattr(node, "orelse", []), statement)
        self._suite(getattr(node, "finalbody", []), statement)

    def _suite(self, body: list[ast.stmt], owner: Statement) -> None:
        if body:
            self.block(body, owner)

    def _is_elif(self, orelse: list[ast.stmt]) -> bool:
        """Whether the rest of a condition is another one, and not a block behind `else`."""
        if len(orelse) != 1 or not isinstance(orelse[0], ast.If):
            return False
        return self.lines.text.startswith("elif", self.lines.offset(orelse[0].lineno, orelse[0].col_offset))

    def _is_behind_colon(self, start: int) -> bool:
        """Whether a suite begins on the line of its head, which may go on behind backslashes."""
        row = self.lines.row(start)
        before = self.lines.text[self.lines.start(row) : start].strip(" \t\f")
        while not before and row > 1:
            row -= 1
            above = self.lines.text[self.lines.start(row) : self.lines.content_end(row)].strip(" \t\f")
            if not above.endswith("\\") or _ends_in_comment(above):
                return False
            before = above[:-1].rstrip(" \t\f")
        return before.endswith(":")

    def _is_one_line(self, end: int, start: int) -> bool:
        """Whether no line ends between two statements."""
        return _ONE_LINE.fullmatch(self.lines.text, end, start) is not None


def _ends_in_comment(row: str) -> bool:
    """Whether a row has a comment, behind which a backslash joins nothing."""
    try:
        return "#" in row and any(
            token.type == tokenize.COMMENT for token in tokenize.generate_tokens(io.StringIO(row).readline)
        )
    except (tokenize.TokenError, SyntaxError):  # a bracket left open, before which no comment was met
        return False


def _string_rows(lines: Lines) -> Iterator[int]:
    """Yield the rows that start inside a string."""
    # The tokenizer splits its input at "\n" only, so it gets Python's own rows.
    rows = (
        lines.text[lines.start(row) : lines.content_end(row)] + "\n"
        for row in range(1, len(lines.starts) + 1)
    )
    opened: list[int] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO("".join(rows)).readline):
            name = tokenize.tok_name[token.type]
            if name in ("FSTRING_START", "TSTRING_START"):  # Python 3.12 and 3.14 take these apart
                opened.append(token.start[0])
            elif name in ("FSTRING_END", "TSTRING_END"):
                yield from range(opened.pop() + 1, token.end[0] + 1)
            elif token.type == tokenize.STRING:
                yield from range(token.start[0] + 1, token.end[0] + 1)
    except (tokenize.TokenError, SyntaxError) as error:
        raise PlacementError(str(error)) from error
