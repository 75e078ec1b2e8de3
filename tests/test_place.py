"""Verdicts become findings with exact positions, and repairs become edits."""

from __future__ import annotations

import subprocess
import sys

import pytest
from placing import CLIP, placed, repaired, span, verdict

from clipcheck.findings import (
    AddImport,
    InsertBefore,
    MoveAfter,
    MoveBefore,
    Position,
    PutUnder,
    RemoveComment,
    Replace,
    Span,
    Wrap,
)
from clipcheck.place import place
from clipcheck.statements import parse_statements

STEP = "opt.step()"


def insert(source: str, anchor: str = STEP, statements: tuple[str, ...] = (CLIP,)) -> str | None:
    return repaired(source, InsertBefore(span(source, anchor), statements))


# --- nothing to do, or no way to do it -------------------------------------------------------------

NO_PLACE = {
    "an elif has nothing before it": ("if a:\n    b\nelif opt.step():\n    c\n", "elif opt.step()", (CLIP,)),
    "the condition of an elif": ("if a:\n    b\nelif opt.step():\n    c\n", STEP, (CLIP,)),
    "the condition of a loop": ("while opt.step():\n    pass\n", STEP, (CLIP,)),
    "a block into a one-line suite": ("if x: opt.step()\n", STEP, ("if y:\n    clip()",)),
    "a block between statements": ("a(); opt.step()\n", STEP, ("if y:\n    clip()",)),
    "a comment into a shared line": ("a(); opt.step()\n", STEP, ("clip()  # why",)),
    "text that is no statement": ("a(); opt.step()\n", STEP, ("clip(",)),
    "a block below a lone backslash": ("\\\nfor x in y:\n    pass\n", "for", (CLIP,)),
    "a row that is not there": ("opt.step()\n", STEP, ()),
}


@pytest.mark.parametrize(("source", "anchor", "statements"), NO_PLACE.values(), ids=NO_PLACE.keys())
def test_no_place_no_fix(source: str, anchor: str, statements: tuple[str, ...]) -> None:
    assert insert(source, anchor, statements) is None


def test_outside_the_text_no_fix() -> None:
    source = "opt.step()\n"
    finding = placed(source, span(source, STEP), InsertBefore(Span(7, 0, 7, 3), (CLIP,)))
    assert finding.fix is None


NO_MOVE = {
    "before itself": ("a()\nb()\n", "b()", "b()"),
    "into its own block": ("if x:\n    a()\n    b()\n", "if x", "b()"),
    "a block onto a shared line": ("a(); b()\nif x:\n    c()\n", "if x", "b()"),
    "an elif": ("a()\nif x:\n    b()\nelif y:\n    c()\n", "elif", "a()"),
}


@pytest.mark.parametrize(("source", "moved", "anchor"), NO_MOVE.values(), ids=NO_MOVE.keys())
def test_no_move(source: str, moved: str, anchor: str) -> None:
    assert repaired(source, MoveBefore(span(source, moved), span(source, anchor))) is None


UNPARSABLE = {
    "not Python": "opt.step()\nx = (\n",
    "too deep for Python as well": "opt.step()\nx = " + "(" * 10_000 + ")" * 10_000,
    "signs without end": "opt.step()\nx = " + "-" * 20_000 + "1\n",
    "a null character": "opt.step()\nx = '\0'\n",
}


@pytest.mark.parametrize("source", UNPARSABLE.values(), ids=UNPARSABLE.keys())
def test_what_does_not_parse_is_found_without_a_fix(source: str) -> None:
    finding = placed(source, span(source, STEP), InsertBefore(span(source, STEP), (CLIP,)))
    assert (finding.start, finding.end, finding.fix) == (Position(1, 1), Position(1, 11), None)


def test_no_verdicts_no_work() -> None:
    assert place("not python (", [], {}) == []


def test_no_repair_no_fix() -> None:
    source = "opt.step()\n"
    assert placed(source, span(source, STEP)).fix is None


@pytest.mark.parametrize("name", ["libcst", "torch"])
def test_imports_little(name: str) -> None:
    code = f"import sys, clipcheck.place; sys.exit({name!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- positions --------------------------------------------------------------------------------------

POSITIONS = {
    "plain": ("x = 1\nopt.step()\n", STEP, Position(2, 1), Position(2, 11)),
    "after letters that are not ASCII": ("é = '😀'; opt.step()\n", STEP, Position(1, 10), Position(1, 20)),
    "a call within its statement": ("r = opt.step()\n", STEP, Position(1, 1), Position(1, 15)),
    "several rows": ("opt.step(\n  x,\n)\n", "opt.step(", Position(1, 1), Position(3, 2)),
    "a compound statement: as given": ("if opt.step():\n    pass\n", STEP, Position(1, 4), Position(1, 14)),
    "after a form feed": ("if x:\n\f    opt.step()\n", STEP, Position(2, 6), Position(2, 16)),
    "a comment inside a statement": (
        "f(  # clipcheck: ignore\n)\n",
        "# clipcheck: ignore",
        Position(1, 5),
        Position(1, 24),
    ),
    "after a lone carriage return": ("x = 1\ropt.step()\r", STEP, Position(2, 1), Position(2, 11)),
}


@pytest.mark.parametrize(("source", "needle", "start", "end"), POSITIONS.values(), ids=POSITIONS.keys())
def test_positions(source: str, needle: str, start: Position, end: Position) -> None:
    finding = placed(source, span(source, needle))
    assert (finding.start, finding.end) == (start, end)


def test_a_finding_carries_what_its_verdict_says() -> None:
    source = "opt.step()\n"
    found = verdict(source, span(source, STEP), InsertBefore(span(source, STEP), (CLIP,)))
    (finding,) = place(source, [found], {"CLP101": "unclipped-step"})
    assert (finding.code, finding.name, finding.message) == ("CLP101", "unclipped-step", "unclipped")
    assert (finding.filename, finding.risk, finding.cell) == ("/p/a.py", "high", None)
    assert finding.fix is not None
    assert (finding.fix.applicability, finding.fix.message) == ("safe", "Clip the gradients")
    (edit,) = finding.fix.edits
    assert (edit.content, edit.start, edit.end) == ("clip(model)\n", Position(1, 1), Position(1, 1))


# --- inserting --------------------------------------------------------------------------------------

INSERTED = {
    "top level": ("a()\nopt.step()\n", "a()\nclip(model)\nopt.step()\n"),
    "in a block": ("if x:\n    a()\n    opt.step()\n", "if x:\n    a()\n    clip(model)\n    opt.step()\n"),
    "tabs": ("if x:\n\topt.step()\n", "if x:\n\tclip(model)\n\topt.step()\n"),
    "tab after space": ("if x:\n \topt.step()\n", "if x:\n \tclip(model)\n \topt.step()\n"),
    "crlf": ("if x:\r\n  opt.step()\r\n", "if x:\r\n  clip(model)\r\n  opt.step()\r\n"),
    "mixed line ends: the row's own": ("a()\nopt.step()\r\nb()\n", "a()\nclip(model)\r\nopt.step()\r\nb()\n"),
    "lone carriage returns": ("a()\ropt.step()\r", "a()\rclip(model)\ropt.step()\r"),
    "no final newline": ("a()\r\nopt.step()", "a()\r\nclip(model)\r\nopt.step()"),
    "one line, no newline": ("opt.step()", "clip(model)\nopt.step()"),
    "comment above stays above": ("# go\nopt.step()  # now\n", "# go\nclip(model)\nopt.step()  # now\n"),
    "blank line above": ("a()\n\nopt.step()\n", "a()\n\nclip(model)\nopt.step()\n"),
    "last on a shared line": ("loss.backward(); opt.step()\n", "loss.backward(); clip(model); opt.step()\n"),
    "first on a shared line": ("opt.step(); a()\n", "clip(model); opt.step(); a()\n"),
    "a semicolon at the end shares nothing": ("opt.step();\n", "clip(model)\nopt.step();\n"),
    "one-line suite": ("if x: opt.step()\n", "if x: clip(model); opt.step()\n"),
    "one-line else": ("if x: a()\nelse: opt.step()\n", "if x: a()\nelse: clip(model); opt.step()\n"),
    "one-line case": (
        "match x:\n    case 1: opt.step()\n",
        "match x:\n    case 1: clip(model); opt.step()\n",
    ),
    "one-line suite below a backslash": (
        "if x: \\\n    opt.step()\n",
        "if x: \\\n    clip(model); opt.step()\n",
    ),
    "backslash within the line": ("a(); \\\nopt.step()\n", "a(); \\\nclip(model); opt.step()\n"),
    "below a lone backslash": ("\\\nopt.step()\n", "\\\nclip(model); opt.step()\n"),
    "multi-line anchor": (
        "if x:\n    opt.step()(\n  a,\n    )\n",
        "if x:\n    clip(model)\n    opt.step()(\n  a,\n    )\n",
    ),
    "continued anchor": ("y = 1 + \\\n  opt.step()\n", "clip(model)\ny = 1 + \\\n  opt.step()\n"),
    "in a with": (
        "with a:\n  with b:\n    opt.step()\n",
        "with a:\n  with b:\n    clip(model)\n    opt.step()\n",
    ),
    "in an else below elif": (
        "if a:\n    b\nelif c:\n    d\nelse:\n    opt.step()\n",
        "if a:\n    b\nelif c:\n    d\nelse:\n    clip(model)\n    opt.step()\n",
    ),
    "in the parts of try": (
        "try:\n    a\nexcept E:\n    b\nelse:\n    c\nfinally:\n    opt.step()\n",
        "try:\n    a\nexcept E:\n    b\nelse:\n    c\nfinally:\n    clip(model)\n    opt.step()\n",
    ),
    "in the else of a loop": (
        "for x in y:\n    a\nelse:\n    opt.step()\n",
        "for x in y:\n    a\nelse:\n    clip(model)\n    opt.step()\n",
    ),
    "async": (
        "async def f():\n    async with a:\n        opt.step()\n",
        "async def f():\n    async with a:\n        clip(model)\n        opt.step()\n",
    ),
    "letters before it": ("é = '😀'; opt.step()\n", "é = '😀'; clip(model); opt.step()\n"),
    "form feed on its own row": (
        "if x:\n    a\n\f\n    opt.step()\n",
        "if x:\n    a\n\f\n    clip(model)\n    opt.step()\n",
    ),
    "form feed before the indentation": (
        "if x:\n\f    opt.step()\n",
        "if x:\n\f    clip(model)\n    opt.step()\n",
    ),
    "a string that looks like code": (
        's = """\nopt.step\n"""\nopt.step()\n',
        's = """\nopt.step\n"""\nclip(model)\nopt.step()\n',
    ),
}


@pytest.mark.parametrize(("source", "after"), INSERTED.values(), ids=INSERTED.keys())
def test_insert(source: str, after: str) -> None:
    assert insert(source) == after


INSERTED_AT = {
    "a compound anchor": (
        "if x:\n    for a in b:\n        c\n",
        "for",
        (CLIP,),
        "if x:\n    clip(model)\n    for a in b:\n        c\n",
    ),
    "decorators go with the function": (
        "# d\n@d(\n  1)\n# e\ndef f():\n    pass\n",
        "def f",
        (CLIP,),
        "# d\nclip(model)\n@d(\n  1)\n# e\ndef f():\n    pass\n",
    ),
    "decorators of an async function": (
        "@ d\nasync def f():\n    pass\n",
        "async def f",
        (CLIP,),
        "clip(model)\n@ d\nasync def f():\n    pass\n",
    ),
    "two statements": (
        "if x:\n    opt.step()\n",
        STEP,
        ("s.unscale_(o)", CLIP),
        "if x:\n    s.unscale_(o)\n    clip(model)\n    opt.step()\n",
    ),
    "two statements in a line": (
        "if x: opt.step()\n",
        STEP,
        ("s.unscale_(o)", CLIP),
        "if x: s.unscale_(o); clip(model); opt.step()\n",
    ),
    "a block": (
        "if x:\r\n\topt.step()\r\n",
        STEP,
        ("if s:\n    clip()",),
        "if x:\r\n\tif s:\r\n\t    clip()\r\n\topt.step()\r\n",
    ),
    "a block before a shared line": (
        "opt.step(); a()\n",
        STEP,
        ("if s:\n    clip()",),
        "if s:\n    clip()\nopt.step(); a()\n",
    ),
}


@pytest.mark.parametrize(
    ("source", "anchor", "statements", "after"), INSERTED_AT.values(), ids=INSERTED_AT.keys()
)
def test_insert_at(source: str, anchor: str, statements: tuple[str, ...], after: str) -> None:
    assert insert(source, anchor, statements) == after


# --- moving -----------------------------------------------------------------------------------------

MOVED_BEFORE = {
    "up one line": ("b()\nc()\n", "c()\nb()\n"),
    "with its comment": ("b()  # b\n# above\nc()  # c\nd()\n", "c()  # c\nb()  # b\n# above\nd()\n"),
    "with its semicolon": ("b()\nc();\n", "c();\nb()\n"),
    "no final newline stays": ("b()\nc()", "c()\nb()"),
    "crlf": ("b()\r\nc()\r\n", "c()\r\nb()\r\n"),
    "on one line": ("b(); c()\n", "c(); b()\n"),
    "on one line, in the middle": ("b(); a(); c(); d()\n", "c(); b(); a(); d()\n"),
    "from a shared line": ("b()\na(); c()  # a\n", "c()\nb()\na()  # a\n"),
    "from the start of a shared line": ("b()\nc(); a()\n", "c()\nb()\na()\n"),
    "from a line that a backslash continues": ("b()\nc(); \\\n  a()\n", "c()\nb()\na()\n"),
    "to a shared line; its comment stays": ("a(); b()\nc()  # c\n", "a(); c(); b()\n# c\n"),
    "to a one-line suite": ("if x: b()\nc()\n", "if x: c(); b()\n"),
    "out of a block": ("b()\nif x:\n    a()\n    c()\n", "c()\nb()\nif x:\n    a()\n"),
    "out of a block, the only one": ("b()\nif x:\n    c()  # c\n", "c()  # c\nb()\nif x:\n    pass\n"),
    "out of a one-line suite": ("b()\nif x: c()  # x\n", "c()\nb()\nif x: pass  # x\n"),
    "out of a suite of two": ("b()\nif x: a(); c()\n", "c()\nb()\nif x: a()\n"),
    "into a block": ("if x:\n\ta()\n\tb()\nc()\n", "if x:\n\ta()\n\tc()\n\tb()\n"),
    "from the only row of a module": ("if x:\n    b()\nc()", "if x:\n    c()\n    b()"),
    "only in an else": (
        "b()\nif x:\n    a()\nelse:\n    # why\n    c()\n",
        "c()\nb()\nif x:\n    a()\nelse:\n    # why\n    pass\n",
    ),
}


@pytest.mark.parametrize(("source", "after"), MOVED_BEFORE.values(), ids=MOVED_BEFORE.keys())
def test_move_before(source: str, after: str) -> None:
    assert repaired(source, MoveBefore(span(source, "c()"), span(source, "b()"))) == after


MOVED_AFTER = {
    "down one line": ("c()\nb()\n", "b()\nc()\n"),
    "comments keep to their rows": ("c()  # c\nb()  # b\n# below\n", "b()  # b\nc()  # c\n# below\n"),
    "to a last line without newline": ("c()\nb()", "b()\nc()"),
    "on one line": ("c(); b()\n", "b(); c()\n"),
    "to a shared line": ("c()\na(); b()  # ab\n", "a(); b(); c()  # ab\n"),
    "to a shared line with a semicolon": ("c()\na(); b();\n", "a(); b(); c();\n"),
    "to a one-line suite": ("c()\nif x: b()\n", "if x: b(); c()\n"),
    "below an anchor of several rows": ("c()\nb()(\n  1,\n)\nd()\n", "b()(\n  1,\n)\nc()\nd()\n"),
    "into a block": (
        "if x:\n    c()\nfor a in d:\n        b()\n",
        "if x:\n    pass\nfor a in d:\n        b()\n        c()\n",
    ),
}


@pytest.mark.parametrize(("source", "after"), MOVED_AFTER.values(), ids=MOVED_AFTER.keys())
def test_move_after(source: str, after: str) -> None:
    assert repaired(source, MoveAfter(span(source, "c()"), span(source, "b()"))) == after


def test_move_after_a_block_from_its_end() -> None:
    source = "for x in y:\n    a()\n    c()\nd()\n"
    after = "for x in y:\n    a()\nc()\nd()\n"
    assert repaired(source, MoveAfter(span(source, "c()"), span(source, "for"))) == after


def test_move_after_a_block_that_ends_the_file() -> None:
    source = "for x in y:\n    a()\n    c()"
    assert (
        repaired(source, MoveAfter(span(source, "c()"), span(source, "for"))) == "for x in y:\n    a()\nc()"
    )


RE_INDENTED = {
    "arguments follow": (
        "b()\nif x:\n    c(\n        1,\n    )\n    a()\n",
        "c(\n    1,\n)\nb()\nif x:\n    a()\n",
    ),
    "strings do not": (
        'b()\nif x:\n    c("""\n    s\n    """)\n    a()\n',
        'c("""\n    s\n    """)\nb()\nif x:\n    a()\n',
    ),
    "nor strings with fields": (
        'b()\nif x:\n    c(f"""\n    {s}\n    """)\n    a()\n',
        'c(f"""\n    {s}\n    """)\nb()\nif x:\n    a()\n',
    ),
    "what hangs to the left stays": (
        "b()\nif x:\n    c(\n  1)\n    a()\n",
        "c(\n  1)\nb()\nif x:\n    a()\n",
    ),
    "backslashes": ("b()\nif x:\n    c( \\\n        1)\n    a()\n", "c( \\\n    1)\nb()\nif x:\n    a()\n"),
}


@pytest.mark.parametrize(("source", "after"), RE_INDENTED.values(), ids=RE_INDENTED.keys())
def test_moving_several_rows(source: str, after: str) -> None:
    assert repaired(source, MoveBefore(span(source, "c("), span(source, "b()"))) == after


def test_move_a_block() -> None:
    source = (
        "if x:\n    b()\n    # why\n    if y:  # y\n        # in\n        c()\n    else: d()  # d\n    e()\n"
    )
    after = "if y:  # y\n    # in\n    c()\nelse: d()  # d\nif x:\n    b()\n    # why\n    e()\n"
    assert repaired(source, MoveBefore(span(source, "if y"), span(source, "if x"))) == after


def test_prelude_comes_first() -> None:
    source = "if x:\n    s.step(o)\n    clip(m)\n"
    after = "if x:\n    s.unscale_(o)\n    clip(m)\n    s.step(o)\n"
    move = MoveBefore(span(source, "clip(m)"), span(source, "s.step(o)"), ("s.unscale_(o)",))
    assert repaired(source, move) == after


def test_prelude_on_one_line() -> None:
    source = "s.step(o); clip(m)\n"
    move = MoveBefore(span(source, "clip(m)"), span(source, "s.step(o)"), ("s.unscale_(o)",))
    assert repaired(source, move) == "s.unscale_(o); clip(m); s.step(o)\n"


def test_emptying_a_block_by_two_moves_leaves_one_pass() -> None:
    source = "b()\nif x:\n    c()\n    d()\n"
    moves = [MoveBefore(span(source, name), span(source, "b()")) for name in ("c()", "d()")]
    assert repaired(source, *moves) == "c()\nd()\nb()\nif x:\n    pass\n"


# --- replacing, imports, comments -------------------------------------------------------------------


def test_replace() -> None:
    source = "é = clip_grad_norm(m)  # é\n"
    after = "é = clip_grad_norm_(m)  # é\n"
    assert repaired(source, Replace(span(source, "clip_grad_norm"), "clip_grad_norm_")) == after


def test_replace_by_what_stands_there_is_no_fix() -> None:
    assert repaired("a()\n", Replace(span("a()\n", "a"), "a")) is None


def test_replacements_that_overlap_are_no_fix() -> None:
    source = "f(a)\n"
    assert repaired(source, Replace(span(source, "f(a)"), "x"), Replace(span(source, "a"), "y")) is None


PRESENT = {
    "the same": "import torch\n",
    "among others": "import os, torch\n",
    "a module of it": "import torch.nn\n",
    "guarded": "try:\n    import torch\nexcept ImportError:\n    torch = None\n",
    "further down": "x = 1\nif x:\n    pass\nimport torch\n",
}


@pytest.mark.parametrize("source", PRESENT.values(), ids=PRESENT.keys())
def test_import_that_is_there(source: str) -> None:
    assert repaired(source, AddImport("import torch")) is None


IMPORTED = {
    "after the others": (
        "import os\nimport sys\n\nx = 1\n",
        "import os\nimport sys\nimport torch\n\nx = 1\n",
    ),
    "comment on the last": ("import os  # why\nx = 1\n", "import os  # why\nimport torch\nx = 1\n"),
    "several rows": (
        "from a import (\n    b,\n)\nx = 1\n",
        "from a import (\n    b,\n)\nimport torch\nx = 1\n",
    ),
    "a shared line": ("import os; import sys\nx = 1\n", "import os; import sys\nimport torch\nx = 1\n"),
    "crlf": ("import os\r\nx = 1\r\n", "import os\r\nimport torch\r\nx = 1\r\n"),
    "no final newline": ("import os", "import os\nimport torch"),
    "another name for it": ("import torch as t\n", "import torch\nimport torch as t\n"),
    "beside its package": (
        "import os\nfrom torch import nn\nimport own\nx = 1\n",
        "import os\nimport torch\nfrom torch import nn\nimport own\nx = 1\n",
    ),
    "on a shared line of its package": (
        "import os; from torch import nn\nx = 1\n",
        "import torch\nimport os; from torch import nn\nx = 1\n",
    ),
    "only for the type checker": (
        "if TYPE_CHECKING:\n    import torch\nx = 1\n",
        "import torch\n\nif TYPE_CHECKING:\n    import torch\nx = 1\n",
    ),
    "not inside try": (
        "import os\ntry:\n    import a\nexcept ImportError:\n    a = None\nx = 1\n",
        "import os\nimport torch\ntry:\n    import a\nexcept ImportError:\n    a = None\nx = 1\n",
    ),
    "past try when imports go on": (
        "import os\ntry:\n    import a\nexcept ImportError:\n    a = None\nimport b\nx = 1\n",
        "import os\ntry:\n    import a\nexcept ImportError:\n    a = None\nimport b\nimport torch\nx = 1\n",
    ),
    "past settings between imports": (
        "import os\nos.environ['A'] = '1'\nimport b\n",
        "import os\nos.environ['A'] = '1'\nimport b\nimport torch\n",
    ),
    "not past a definition": (
        "import os\ndef f():\n    pass\nimport b\n",
        "import os\nimport torch\ndef f():\n    pass\nimport b\n",
    ),
    "after the future": (
        "from __future__ import annotations\n\nx = 1\n",
        "from __future__ import annotations\n\nimport torch\n\nx = 1\n",
    ),
    "after the docstring": (
        '"""Doc.\n\nMore."""\n\nx = 1\n',
        '"""Doc.\n\nMore."""\n\nimport torch\n\nx = 1\n',
    ),
    "after shebang and coding": (
        "#!/usr/bin/env python\n# coding: utf-8\n# about f\ndef f(): pass\n",
        "#!/usr/bin/env python\n# coding: utf-8\nimport torch\n\n# about f\ndef f(): pass\n",
    ),
    "after a licence": ("# Licence\n# of x\n\nx = 1\n", "# Licence\n# of x\n\nimport torch\n\nx = 1\n"),
    "nothing above": ("x = 1\n", "import torch\n\nx = 1\n"),
    "right above a function": ("def f(): pass\n", "import torch\n\n\ndef f(): pass\n"),
    "right above a decorator": (
        '"""Text."""\n@g\ndef f(): pass\n',
        '"""Text."""\n\nimport torch\n\n\n@g\ndef f(): pass\n',
    ),
    "right above another import": ("# Text.\nimport os\n", "# Text.\nimport os\nimport torch\n"),
    "an empty file": ("", "import torch\n"),
    "only a comment": ("# a", "# a\n\nimport torch"),
}


@pytest.mark.parametrize(("source", "after"), IMPORTED.values(), ids=IMPORTED.keys())
def test_add_import(source: str, after: str) -> None:
    assert repaired(source, AddImport("import torch")) == after


def test_an_import_comes_before_its_use() -> None:
    source = "import os\nopt.step()\nimport late\n"
    actions = (InsertBefore(span(source, STEP), (CLIP,)), AddImport("import torch"))
    assert repaired(source, *actions) == "import os\nimport torch\nclip(model)\nopt.step()\nimport late\n"


def test_from_import() -> None:
    source = "from a import b\nfrom torch.nn import utils\n"
    assert repaired(source, AddImport("from torch.nn import utils")) is None
    assert repaired(source, AddImport("from torch.nn import functional")) is not None


def test_no_import_no_fix() -> None:
    assert repaired("x = 1\n", AddImport("x = 2")) is None


UNCOMMENTED = {
    "after code": ("a()  # clipcheck: ignore\n", "a()\n"),
    "alone": ("a()\n    # clipcheck: ignore\nb()\n", "a()\nb()\n"),
    "alone at the end": ("a()\n# clipcheck: ignore", "a()"),
    "after a tab, crlf": ("a()\t# clipcheck: ignore\r\n", "a()\r\n"),
    "before another": ("a()  # clipcheck: ignore  # keep\n", "a()  # keep\n"),
    "alone before another": (
        "if x:\n    # clipcheck: ignore  # keep\n    a()\n",
        "if x:\n    # keep\n    a()\n",
    ),
    "after another": ("a()  # keep  # clipcheck: ignore\n", "a()  # keep\n"),
    "inside a statement": ("a(  # clipcheck: ignore\n  1)\n", "a(\n  1)\n"),
    "after letters": ("é = '😀'  # clipcheck: ignore\n", "é = '😀'\n"),
    "white space behind it": ("a()  # clipcheck: ignore  \n", "a()\n"),
}


@pytest.mark.parametrize(("source", "after"), UNCOMMENTED.values(), ids=UNCOMMENTED.keys())
def test_remove_comment(source: str, after: str) -> None:
    assert repaired(source, RemoveComment(span(source, "# clipcheck: ignore"))) == after


def test_only_comments_are_removed_as_comments() -> None:
    assert repaired("a()\n", RemoveComment(span("a()\n", "a()"))) is None


def test_wrap_an_expression_over_several_rows():
    source = "p = chain(\n    é.parameters(), b.parameters()\n)  # all\n"
    wanted = "p = list(chain(\n    é.parameters(), b.parameters()\n))  # all\n"
    assert repaired(source, Wrap(span(source, source[4 : source.index("  #")]), "list(", ")")) == wanted


UNDER = {
    "several rows": (
        "if a:\n  clip(\n    b,  # b\n\n  )  # c\n  d()\n",
        "if a:\n  if last:\n    clip(\n      b,  # b\n\n    )  # c\n  d()\n",
    ),
    "no line end at the end": ("clip()", "if last:\n  clip()"),
    "the line ends of Windows": ("a()\r\nclip()\r\n", "a()\r\nif last:\r\n  clip()\r\n"),
}


@pytest.mark.parametrize(("source", "after"), UNDER.values(), ids=UNDER.keys())
def test_put_a_statement_under_a_condition(source: str, after: str) -> None:
    assert repaired(source, PutUnder(span(source, "clip("), "if last:", "  ")) == after


@pytest.mark.parametrize("source", ["a(); clip()\n", "if a: clip()\n", "clip(); a()\n"])
def test_no_room_for_a_condition(source: str) -> None:
    assert repaired(source, PutUnder(span(source, "clip()"), "if last:", "  ")) is None


def test_the_same_expression_is_wrapped_once():
    source = "p = f()\n"
    wrap = Wrap(span(source, "f()"), "list(", ")")
    assert repaired(source, wrap, wrap) == "p = list(f())\n"


def test_a_decorated_function_begins_at_its_own_decorator():
    source = "@first\n@ second(1)\ndef f(): pass\ny = a @ b\n"
    function = parse_statements(source).statements[0]
    assert (function.start, function.head) == (0, source.index("def"))
