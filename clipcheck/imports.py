"""Where a new import belongs in a file, and whether the file has it already."""

from __future__ import annotations

import ast

from clipcheck.regular import regular
from clipcheck.sourcefile import Lines, parse
from clipcheck.statements import PlacementError, Tree

_CODING = regular(r"#.*?coding[:=]")


def has_import(module: ast.Module, text: str) -> bool:
    """Whether the top of `module` binds all that the import `text` would bind, to the same things."""
    wanted = _bindings(_import(text))
    present: set[tuple[str, str]] = set()
    for statement in module.body:
        # `try: import x` binds for the code below, one way or the other; under `if` it may not.
        inner = statement.body if isinstance(statement, ast.Try) else [statement]
        for node in inner:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                present |= _bindings(node)
    return wanted <= present


def _import(text: str) -> ast.Import | ast.ImportFrom:
    """Return the import that `text` is."""
    try:
        body = parse(text).body
    except SyntaxError as error:
        raise PlacementError(str(error)) from error
    if len(body) != 1 or not isinstance(body[0], (ast.Import, ast.ImportFrom)):
        raise PlacementError(f"not an import: {text}")
    return body[0]


def _bindings(node: ast.Import | ast.ImportFrom) -> set[tuple[str, str]]:
    """Return what an import makes usable: pairs of the name in the code and the thing it means."""
    found: set[tuple[str, str]] = set()
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            found.add((alias.asname or alias.name, f"{source}:{alias.name}"))
        elif alias.asname:
            found.add((alias.asname, alias.name))
        else:  # `import a.b` makes `a` usable as well
            parts = alias.name.split(".")
            found.update((".".join(parts[:count]),) * 2 for count in range(1, len(parts) + 1))
    return found


def import_place(tree: Tree, limit: int, text: str) -> tuple[int, str, str]:
    """Return the offset for a new import line, of this text, and what goes before and after it.

    It comes before the first import of the same package where that stands among those at the top, or after the last
    one if it is of a module inside. Else it comes after the last top-level import before `limit` (an offset: the first use) that no definition, loop
    or other block precedes, else after the last one that some do (in a notebook, what comes first may install the
    library); else below the docstring or the opening comments.
    """
    body = tree.module.body
    added = _import(text)
    deep = isinstance(added, ast.ImportFrom) and "." in (added.module or "")
    last: ast.stmt | None = None
    beside: ast.stmt | None = None
    if body and isinstance(body[0], ast.Expr) and _is_text(body[0].value):
        last = body[0]
    for node in body:
        if tree.lines.offset(node.lineno, node.col_offset) >= limit or not _may_precede(node):
            break
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            if _package(node) == _package(added):
                if not deep:
                    return _above(tree, node)
                beside = node
            last = node
    last = beside or last
    if last is None:
        imports = [node for node in body if isinstance(node, (ast.Import, ast.ImportFrom))]
        above = [node for node in imports if tree.lines.offset(node.end_lineno or 0, 0) < limit]
        last = above[-1] if above else None
    if last is None:
        return _below_comments(tree.lines)
    return _below(tree, last)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _may_precede(node: ast.stmt) -> bool:
    """Whether imports may go on after `node`: settings between imports, guarded imports."""
    if isinstance(node, ast.Try):
        return all(isinstance(inner, (ast.Import, ast.ImportFrom)) for inner in node.body)
    if isinstance(node, ast.If):
        return all(isinstance(inner, (ast.Import, ast.ImportFrom)) for inner in node.body)
    return not hasattr(node, "body") and not isinstance(node, ast.Match)


def _package(node: ast.Import | ast.ImportFrom) -> str:
    """The package that an import is of; "" for one of the project itself, by its dots."""
    if isinstance(node, ast.Import):
        return node.names[0].name.partition(".")[0]
    return "" if node.level else (node.module or "").partition(".")[0]


def _above(tree: Tree, node: ast.stmt) -> tuple[int, str, str]:
    """Return the place above the line that `node` stands on."""
    statement = tree.innermost(tree.lines.offset(node.lineno, node.col_offset))
    if statement is None:
        raise PlacementError("an import without a statement")
    row = tree.lines.row(statement.siblings[0].start)
    return tree.lines.start(row), "", tree.lines.newline(row)


def _below(tree: Tree, node: ast.stmt) -> tuple[int, str, str]:
    """Return the place below the line that `node` stands on."""
    statement = tree.innermost(tree.lines.offset(node.lineno, node.col_offset))
    if statement is None:
        raise PlacementError("an import without a statement")
    row = tree.lines.row(statement.siblings[-1].end)
    newline = tree.lines.newline(row)
    # A docstring and `from __future__` keep a blank line between them and ordinary imports.
    apart = isinstance(node, ast.Expr) or (isinstance(node, ast.ImportFrom) and node.module == "__future__")
    gap = newline if apart else ""
    if tree.lines.line_end(row):
        below = _blank_rows(tree.lines, row + 1, newline) if apart else ""
        return tree.lines.end(row), gap, newline + below
    return len(tree.text), newline + gap, ""


def _below_comments(lines: Lines) -> tuple[int, str, str]:
    """Return the place at the top of a file that has neither docstring nor imports."""
    rows = [lines.text[lines.start(row) : lines.content_end(row)] for row in range(1, len(lines.starts) + 1)]
    opening = 0
    while opening < len(rows) and rows[opening].startswith("#"):
        opening += 1
    if opening and (opening == len(rows) or not rows[opening].strip()):  # a header of its own
        gap = lines.newline(opening)
    else:  # comments that belong to the code below them: only what must stay first comes before
        opening, gap = 0, ""
        while opening < min(2, len(rows)) and _is_fixed(rows[opening], opening):
            opening += 1
    newline = lines.newline(max(1, opening))
    if opening and not lines.line_end(opening):
        return len(lines.text), newline + gap, ""
    start = lines.end(opening) if opening else 0
    return start, gap, newline + _blank_rows(lines, opening + 1, newline)


def _blank_rows(lines: Lines, row: int, newline: str) -> str:
    """What sets a first import apart from the code right below it: two rows before a definition, one before the rest."""
    text = lines.text[lines.start(row) : lines.content_end(row)] if row <= len(lines.starts) else ""
    if not text.strip() or text.startswith(("import ", "from ")):
        return ""
    return newline * (2 if text.startswith(("def ", "class ", "async ", "@")) else 1)


def _is_fixed(row: str, index: int) -> bool:
    """Whether a row must stay at the top: a shebang or a coding line."""
    return (index == 0 and row.startswith("#!")) or _CODING.match(row) is not None
