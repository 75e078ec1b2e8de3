"""libcst has to read a fixed text as `ast` does before it is written."""

from __future__ import annotations

import ast

import pytest

from clipcheck import agreement
from clipcheck.agreement import _further, disagreement

ALIKE = {
    "lines": "a\nb; c\nd;\n",
    "suites": "if a: x; y\nelif b:\n    c\nelif d: e\nelse: f\n",
    "an if behind an else": "if a:\n    b\nelse:\n    if c:\n        d\n",
    "try": "try: g\nexcept A: h\nexcept B:\n    pass\nelse: i\nfinally: j\n",
    "match": "match a:\n    case 1: k\n    case _:\n        l; m\n",
    "loops": "for x in y: z\nelse: w\nwhile x:\n    y\nelse:\n    z\n",
    "heads that go on": 'if a and \\\n        b: \\\n    c\nif a:  # not: \\\n    b\nif a == "#": \\\n    b\nif a:\n    # b: \\\n    c\n',
    "statements that go on": "a; \\\n  b\nc  # d; \\\ne\nf(\n); g\n",
    "decorated": "@a\n@b(\n)\nclass C: x = 1; y = 2\n",
    "an async function": "async def f():\n    async with a: b\n    async for c in d: e\n",
    "other line ends": "if a: b\r\nc; d\rif e:\r    f\r",
    "a form feed": "if a:\n\f    b; c\n",
    "nothing": "",
}


@pytest.mark.parametrize("text", ALIKE.values(), ids=ALIKE.keys())
def test_both_see_the_same(text: str) -> None:
    assert disagreement(text) is None


NOT_FOR_LIBCST = {
    "a long elif chain": "if a:\n    b\n" + "elif a:\n    b\n" * 900,
    "a chain of signs": "x = " + "-" * 900 + "1\n",
    "not Python": "x = (\n",
    "a null character": "x = '\0'\n",
}


@pytest.mark.parametrize("text", NOT_FOR_LIBCST.values(), ids=NOT_FOR_LIBCST.keys())
def test_what_libcst_cannot_follow_is_not_written(text: str) -> None:
    assert str(disagreement(text)).startswith("libcst cannot follow it: ")


def test_the_depth_that_is_just_taken() -> None:
    deepest = agreement.DEPTH - 4  # module, statement, the last name and its context
    assert disagreement("x = a" + "()" * deepest + "\n") is None
    assert disagreement("x = a" + "()" * (deepest + 1) + "\n") == (
        "libcst cannot follow it: nested deeper than 300"
    )


def test_another_structure_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        agreement.cst, "parse_module", lambda _, parse=agreement.cst.parse_module: parse("a; b\n")
    )
    assert disagreement("a\nb\n") == "libcst and ast see different statements"


@pytest.mark.parametrize(
    ("text", "further"),
    [
        ("a and b", 0),
        ("a and b and c", 1),
        ("a or b or c or d", 2),
        ("import a, b.c.d", 2),
        ("from a.b import c", 1),
        ("from . import c", 0),
        ("a + b + c", 0),
    ],
)
def test_how_much_deeper_libcst_nests(text, further):
    (node,) = ast.parse(text).body
    assert _further(node.value if isinstance(node, ast.Expr) else node) == further
