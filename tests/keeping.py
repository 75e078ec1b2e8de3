"""What a fix must keep, checked without any of clipcheck's code; and clips taken out of real code, so that there is something to fix."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeVar

import libcst as cst
import libcst.matchers as m

# Statements that a fix may add, drop, move or change: all others stay as they are, in their order.
_CONCERNED = re.compile(r"clip|unscale|norm|grad|parameters\(|optim", re.IGNORECASE)
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
_CLIPS = ("clip_grad_norm_", "clip_grad_value_", "clip_grad_norm")
Unit = tuple[int, str]
Suite = TypeVar("Suite", cst.IndentedBlock, cst.Module)


def lost(old: bytes, new: bytes) -> str:
    """What a fix has changed that is none of its business, or nothing. Raises SyntaxError where it does not parse."""
    return _lost_cells(old, new) if old.lstrip().startswith(b"{") else _lost_code(old, new)


def _lost_code(old: bytes, new: bytes) -> str:
    before, after = list(_units(ast.parse(old))), list(_units(ast.parse(new)))
    added = {unit for unit in after if _is_import(unit[1])}.difference(before)
    kept = [unit for unit in after if unit not in added]
    for one, other in zip([*_others(before), None], [*_others(kept), None], strict=False):
        if one != other:
            return f"{one} became {other}"
    gone = Counter(_comments(old)) - Counter(_comments(new))
    return f"comments are gone: {sorted(gone)}" if gone else ""


def _lost_cells(old: bytes, new: bytes) -> str:
    before, after = json.loads(old), json.loads(new)
    for one, other in zip(before["cells"], after["cells"], strict=True):
        first, second = _lines(one.pop("source")), _lines(other.pop("source"))
        if (one["cell_type"] != "code" and first != second) or [
            line for line in first if not _CONCERNED.search(line)
        ] != [line for line in second if not _CONCERNED.search(line) and not _is_import(line)]:
            return f"{first} became {second}"
    return "" if before == after else "something else than the source of cells has changed"


def _lines(source: str | list[str]) -> list[str]:
    return "".join(source).splitlines()


def _units(node: ast.AST, depth: int = 0) -> Iterator[Unit]:
    """Each statement as a text, a compound one without its blocks, with its depth."""
    for name, value in ast.iter_fields(node):
        for child in value if name in _BLOCKS and isinstance(value, list) else ():
            heads = [(field, part) for field, part in ast.iter_fields(child) if field not in _BLOCKS]
            simple = isinstance(child, ast.stmt) and not hasattr(child, "body")
            text = ast.unparse(child) if simple else " ".join(map(_text, heads))
            yield depth, f"{name} {type(child).__name__} {text}"
            yield from _units(child, depth + 1)


def _text(field: tuple[str, object]) -> str:
    name, value = field
    parts = value if isinstance(value, list) else [value]
    return f"{name} " + " ".join(
        ast.dump(part) if isinstance(part, ast.AST) else repr(part) for part in parts
    )


def _others(units: Sequence[Unit]) -> list[Unit]:
    return [(depth, text) for depth, text in units if not _CONCERNED.search(text)]


def _is_import(text: str) -> bool:
    return re.match(r"(body Import(From)? )?\s*(import|from)\b", text) is not None


def _comments(data: bytes) -> list[str]:
    tokens = tokenize.tokenize(io.BytesIO(data).readline)
    return [one.string for one in tokens if one.type == tokenize.COMMENT and "clipcheck:" not in one.string]


class _Strip(cst.CSTTransformer):
    """Leaves out the statements that clip, wherever their block keeps another one."""

    def leave_IndentedBlock(  # noqa: N802 - the library's name
        self, original_node: cst.IndentedBlock, updated_node: cst.IndentedBlock
    ) -> cst.IndentedBlock:
        return _stripped(updated_node)

    def leave_Module(self, original_node: cst.Module, updated_node: cst.Module) -> cst.Module:  # noqa: N802
        return _stripped(updated_node)


def _stripped(block: Suite) -> Suite:
    left = [one for one in block.body if not _clips(one)]
    return block.with_changes(body=left) if left and len(left) < len(block.body) else block


def _clips(statement: cst.CSTNode) -> bool:
    """Whether a statement is a clip, or a condition with nothing else under it."""
    if isinstance(statement, cst.If):
        return (
            statement.orelse is None
            and isinstance(statement.body, cst.IndentedBlock)
            and all(map(_clips, statement.body.body))
        )
    call = m.Call(
        func=m.OneOf(*(form for name in _CLIPS for form in (m.Name(name), m.Attribute(attr=m.Name(name)))))
    )
    return m.matches(
        statement, m.SimpleStatementLine(body=[m.OneOf(m.Expr(value=call), m.Assign(value=call))])
    )


def stripped(data: bytes) -> bytes:
    """A file of Python without its clips; itself where it has none, or cannot be read."""
    if b"clip_grad" not in data:
        return data
    try:
        new = cst.parse_module(data).visit(_Strip()).bytes
        ast.parse(new)
    except (cst.ParserSyntaxError, SyntaxError, ValueError, RecursionError):
        return data
    return new
