"""Whether libcst reads a text as `ast` does: asked of each fixed text before it is written.

A fix is placed by what `ast` says of the statements (`statements.py`). Another parser, made for rewriting code, has to see the same
ones in the fixed text: the same blocks, lines and suites. Imported only where something is about to be written.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import libcst as cst

from clipcheck.statements import PlacementError, Tree, parse_statements

# libcst's parser recurses on the C stack and dies with the process where that ends (an `elif` chain of
# 10,000 is enough on Linux); its time grows with the square of the depth. Real code stays far below.
DEPTH = 300
EFFORT = 10_000_000  # depths of all nodes, added up: what many deep statements cost; about 20 seconds
SIZE = 1_000_000  # characters: about 15 seconds of a table of data


class _Shape(NamedTuple):
    """What both parsers say of a statement."""

    compound: bool
    siblings: int  # on its logical line, itself included
    inline: bool  # whether it stands behind a colon
    is_elif: bool
    depth: int  # of blocks around it


def disagreement(text: str) -> str | None:
    """Why a text of Python is not to be written: what libcst says against it; None where it agrees with `ast`."""
    try:
        tree = parse_statements(text)
        _check_bounds(tree)
        seen = list(_shapes(cst.parse_module(text).body))
    except (PlacementError, ValueError, RecursionError, MemoryError, cst.ParserSyntaxError) as error:
        return f"libcst cannot follow it: {error}"
    return None if seen == list(_shapes_of(tree)) else "libcst and ast see different statements"


def _shapes_of(tree: Tree) -> Iterator[_Shape]:
    """The statements as `ast` has them, in the order of the source."""
    depths: dict[int, int] = {}
    for one in tree.statements:
        owner = one.block.owner
        depth = depths[id(one)] = depths[id(owner)] + 1 if owner is not None else 0
        yield _Shape(one.compound, len(one.siblings), one.block.inline, one.is_elif, depth)


def _shapes(body: Sequence[cst.CSTNode], depth: int = 0) -> Iterator[_Shape]:
    """The statements of a block and of the blocks within as libcst has them, in the order of the source."""
    for item in body:
        if isinstance(item, cst.BaseCompoundStatement):
            yield _Shape(True, 1, False, False, depth)
            yield from _compound(item, depth)
        elif isinstance(item, (cst.SimpleStatementLine, cst.SimpleStatementSuite)):
            inline = isinstance(item, cst.SimpleStatementSuite)
            yield from (_Shape(False, len(item.body), inline, False, depth) for _ in item.body)


def _compound(node: cst.BaseCompoundStatement, depth: int) -> Iterator[_Shape]:
    """What stands in the suites of a statement; an `elif` is a statement of its own, one deeper than its condition."""
    while isinstance(node, cst.If):  # a loop: chains are longer than blocks are deep
        yield from _suite(node.body, depth)
        if not isinstance(node.orelse, cst.If):
            break
        node, depth = node.orelse, depth + 1
        yield _Shape(True, 1, False, True, depth)
    for case in node.cases if isinstance(node, cst.Match) else ():
        yield from _suite(case.body, depth)
    if not isinstance(node, (cst.If, cst.Match)):
        yield from _suite(node.body, depth)
    for part in (
        *getattr(node, "handlers", ()),
        getattr(node, "orelse", None),
        getattr(node, "finalbody", None),
    ):
        if part is not None:
            yield from _suite(part.body, depth)


def _suite(suite: cst.BaseSuite, depth: int) -> Iterator[_Shape]:
    return _shapes([suite] if isinstance(suite, cst.SimpleStatementSuite) else suite.body, depth + 1)


def _check_bounds(tree: Tree) -> None:
    """Raise PlacementError where libcst would take minutes, or end the process."""
    if len(tree.text) > SIZE:
        raise PlacementError(f"larger than {SIZE:,} characters")
    effort = 0
    waiting: list[tuple[ast.AST, int]] = [(tree.module, 1)]
    while waiting:
        node, depth = waiting.pop()
        effort += depth
        depth += _further(node)
        if depth > DEPTH:
            raise PlacementError(f"nested deeper than {DEPTH}")
        if effort > EFFORT:
            raise PlacementError("too much that is nested deep")
        waiting.extend((child, depth + 1) for child in ast.iter_child_nodes(node))


def _further(node: ast.AST) -> int:
    """Return how much deeper libcst nests what is one node to `ast`: `a and b and c`, `import a.b.c`."""
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 2
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").count(".")
    if isinstance(node, ast.Import):
        return max(name.name.count(".") for name in node.names)
    return 0
