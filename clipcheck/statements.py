"""The statements of a file on its libcst tree: which line and block each stands in, and what it shares them with.

Structure comes from libcst (what shares a line, what is a one-line suite, what is an `elif`), offsets
from `ast`: libcst drops a form feed or a lone backslash line before a statement, so that its own
columns and rows drift after one.
"""

from __future__ import annotations

import ast
import io
import tokenize
from bisect import bisect_right
from collections.abc import Iterator, Sequence

import libcst as cst

from clipcheck.record import dataclass, field
from clipcheck.sourcefile import Lines, parse

# libcst's parser recurses on the C stack and dies with the process where that ends (an `elif` chain of
# 10,000 is enough on Linux); its time grows with the square of the depth. Real code stays far below.
DEPTH = 300
EFFORT = 10_000_000  # depths of all nodes, added up: what many deep statements cost; about 20 seconds
SIZE = 1_000_000  # characters: about 15 seconds of a table of data


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

    node: cst.BaseSmallStatement | cst.BaseCompoundStatement
    block: Block
    siblings: list[Statement]  # the statements on its logical line, itself included
    is_elif: bool = False
    start: int = -1
    head: int = -1  # where `ast` has it: after the decorators
    end: int = -1

    @property
    def compound(self) -> bool:
        """Whether it holds a block of its own."""
        return isinstance(self.node, cst.BaseCompoundStatement)

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


def parse_statements(text: str) -> Tree:
    """Return the statements of `text`; raises PlacementError where libcst or this module cannot follow it."""
    if len(text) > SIZE:
        raise PlacementError(f"larger than {SIZE:,} characters")
    try:
        module = parse(text)
        nodes = _ast_statements(module)
        statements = _walk(cst.parse_module(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError, cst.ParserSyntaxError) as error:
        raise PlacementError(str(error)) from error
    lines = Lines(text)
    if len(statements) != len(nodes):
        raise PlacementError("libcst and ast see different statements")
    for statement, node in zip(statements, nodes, strict=True):
        _locate(statement, node, lines)
    return Tree(lines, module, statements)


def _ast_statements(module: ast.Module) -> list[ast.stmt]:
    """Return all statements of `module` in the order of the source; raises PlacementError where libcst nests too deep."""
    found: list[ast.stmt] = []
    effort = 0
    waiting: list[tuple[ast.AST, int]] = [(module, 1)]
    while waiting:
        node, depth = waiting.pop()
        effort += depth
        depth += _further(node)
        if depth > DEPTH:
            raise PlacementError(f"nested deeper than {DEPTH}")
        if effort > EFFORT:
            raise PlacementError("too much that is nested deep")
        below = list(ast.iter_child_nodes(node))
        found.extend(child for child in below if isinstance(child, ast.stmt))
        waiting.extend((child, depth + 1) for child in below)
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


def _further(node: ast.AST) -> int:
    """Return how much deeper libcst nests what is one node to `ast`: `a and b and c`, `import a.b.c`."""
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 2
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").count(".")
    if isinstance(node, ast.Import):
        return max(name.name.count(".") for name in node.names)
    return 0


def _locate(statement: Statement, node: ast.stmt, lines: Lines) -> None:
    """Give `statement` the offsets of its twin in the `ast`."""
    # Compound statements have one name in both, but for "Async"; small ones go by their place alone.
    if statement.compound != hasattr(node, "body") and not isinstance(node, ast.Match):
        raise PlacementError("libcst and ast see different statements")
    statement.head = statement.start = lines.offset(node.lineno, node.col_offset)
    statement.end = lines.offset(node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    if decorators:
        first = lines.offset(decorators[0].lineno, decorators[0].col_offset)
        statement.start = lines.text.rindex("@", 0, first)


def _walk(module: cst.Module) -> list[Statement]:
    """Return the statements of `module` in the order of the source, without offsets."""
    found: list[Statement] = []
    _walk_block(module.body, Block(None), found)
    return found


def _walk_block(body: Sequence[cst.CSTNode], block: Block, found: list[Statement]) -> None:
    """Add the statements of one block, and of the blocks within, to `found`."""
    for item in body:
        if isinstance(item, cst.BaseCompoundStatement):
            statement = Statement(item, block, [])
            statement.siblings.append(statement)
            block.statements.append(statement)
            found.append(statement)
            for suite, owner in _suites(item, statement, found):
                inner = Block(owner, inline=isinstance(suite, cst.SimpleStatementSuite))
                _walk_block(suite.body if not inner.inline else [suite], inner, found)
        elif isinstance(item, (cst.SimpleStatementLine, cst.SimpleStatementSuite)):
            siblings: list[Statement] = []
            siblings.extend(Statement(small, block, siblings) for small in item.body)
            block.statements.extend(siblings)
            found.extend(siblings)


def _suites(
    node: cst.BaseCompoundStatement, statement: Statement, found: list[Statement]
) -> Iterator[tuple[cst.BaseSuite, Statement]]:
    """Yield the suites of a compound statement in order; an `elif` becomes a statement of its own here."""
    if isinstance(node, cst.Match):
        yield from ((case.body, statement) for case in node.cases)
        return
    yield node.body, statement
    if isinstance(node, cst.If):
        branch = node.orelse
        while isinstance(branch, cst.If):  # a loop: chains are longer than blocks are deep
            inner = Block(statement)
            statement = Statement(branch, inner, [], is_elif=True)
            statement.siblings.append(statement)
            inner.statements.append(statement)
            found.append(statement)
            yield branch.body, statement
            branch = branch.orelse
        if branch is not None:
            yield branch.body, statement
    if isinstance(node, (cst.Try, cst.TryStar)):
        yield from ((handler.body, statement) for handler in node.handlers)
    if isinstance(node, (cst.Try, cst.TryStar, cst.For, cst.While)) and node.orelse is not None:
        yield node.orelse.body, statement
    if isinstance(node, (cst.Try, cst.TryStar)) and node.finalbody is not None:
        yield node.finalbody.body, statement


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
