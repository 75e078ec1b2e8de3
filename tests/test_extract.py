"""One file's bytes to its facts: every kind of statement and expression, and every way to fail."""

from __future__ import annotations

import pickle
import sys

import pytest

from clipcheck import facts as f
from clipcheck.extract import Text, extract, extract_text
from clipcheck.findings import Failure, Span
from clipcheck.flow.render import children, is_reference, last_identifier, names_in, render

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def module(text: str) -> f.ModuleFacts:
    found = extract_text(text, "train.py")
    assert isinstance(found, f.ModuleFacts)
    return found


def one(text: str) -> f.Statement:
    (statement,) = module(text).body
    return statement


def value(text: str) -> f.Expression:
    statement = one(f"_ = {text}\n")
    assert isinstance(statement, f.Assign)
    return statement.value


A, B, C = (f.Name(letter, 1) for letter in "abc")


# -- nothing to say ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# only a comment\n", '"""Docstring."""\n', "...\n", "1\n", "pass\n"]
)
def test_nothing(text):
    assert module(text) == f.ModuleFacts((), frozenset())


def test_an_old_escape_does_not_warn():
    assert value("'\\d'") == f.Constant("\\d", 1)


# -- expressions -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", f.Constant(1, 1)),
        ("1.5", f.Constant(1.5, 1)),
        ("-1.5", f.Constant(-1.5, 1)),
        ("None", f.Constant(None, 1)),
        ("True", f.Constant(True, 1)),
        ("'x' 'y'", f.Constant("xy", 1)),
        ("'" + "x" * 300 + "'", f.Constant("x" * 200, 1)),
        (str(1 << 70), f.Constant(float("inf"), 1)),
        ("b'x'", f.Opaque("Constant", (), 1)),
        ("1j", f.Opaque("Constant", (), 1)),
        ("...", f.Opaque("Constant", (), 1)),
        ("a", A),
        ("a.b", f.Attribute(A, "b", 1)),
        ("a[b]", f.Subscript(A, B, 1)),
        ("a[b:c]", f.Subscript(A, f.Opaque("Slice", (B, C), 1), 1)),
        ("(a, b)", f.Collection((A, B), 1)),
        ("[a, *b]", f.Collection((A, f.Starred(B, 1)), 1)),
        ("{a, b}", f.Collection((A, B), 1)),
        ("{a: b, **c}", f.Mapping(((A, B), (None, C)), 1)),
        ("a + b", f.Operation("+", (A, B), 1)),
        ("a // b", f.Operation("//", (A, B), 1)),
        ("a @ b", f.Operation("@", (A, B), 1)),
        ("not a", f.Operation("not", (A,), 1)),
        ("-a", f.Operation("neg", (A,), 1)),
        ("-True", f.Operation("neg", (f.Constant(True, 1),), 1)),
        ("a and b and c", f.Operation("and", (A, B, C), 1)),
        ("a is not b", f.Operation("is not", (A, B), 1)),
        ("a not in b", f.Operation("not in", (A, B), 1)),
        (
            "a < b <= c",
            f.Operation("and", (f.Operation("<", (A, B), 1), f.Operation("<=", (B, C), 1)), 1),
        ),
        ("a if b else c", f.Conditional(B, A, C, 1)),
        ("[a for b in c]", f.Comprehension(A, (f.Clause(B, C, ()),), False, Span(1, 4, 1, 18))),
        ("(a for b in c if a)", f.Comprehension(A, (f.Clause(B, C, (A,)),), True, Span(1, 4, 1, 23))),
        ("{a for b in c}", f.Comprehension(A, (f.Clause(B, C, ()),), False, Span(1, 4, 1, 18))),
        ("{a: b for c in a}", f.Comprehension(f.Collection((A, B), 1), (f.Clause(C, A, ()),), False, Span(1, 4, 1, 21))),
        ("(a := b)", f.Opaque("NamedExpr", (A, B), 1)),
        ("f'{a}{b!r}'", f.Opaque("JoinedStr", (f.Opaque("FormattedValue", (A,), 1), f.Opaque("FormattedValue", (B,), 1)), 1)),
    ],
)  # fmt: skip
def test_expression(text, expected):
    assert value(text) == expected


def test_a_call():
    found = value("nn.utils.clip(a, *b, norm=1, **c)")
    assert isinstance(found, f.Call)
    assert found.arguments == (A, f.Starred(B, 1))
    assert found.keywords == (("norm", f.Constant(1, 1)), (None, C))
    assert (found.span, found.row) == (Span(1, 4, 1, 37), 1)
    assert found.name_span == Span(1, 13, 1, 17)


def test_columns_count_bytes():
    found = value("'é' + über.clipé(1)")
    assert isinstance(found, f.Operation)
    call = found.operands[1]
    assert isinstance(call, f.Call)
    assert call.span.column == len("_ = 'é' + ".encode())
    assert call.name_span.end_column - call.name_span.column == len("clipé".encode())


def test_a_lambda():
    found = value("lambda x, y=1: step(x)")
    assert isinstance(found, f.Lambda)
    assert found.function.name == "<lambda>"
    assert [parameter.name for parameter in found.function.parameters] == ["x", "y"]
    assert isinstance(found.function.body[0], f.Return)
    assert found.function.calls == {"step", f.HANDED + "x"}


@pytest.mark.parametrize(
    "text", ["async def g():\n    await a\n", "def g():\n    yield a\n", "def g():\n    yield from a\n"]
)
def test_waiting_and_yielding(text):
    function = one(text)
    assert isinstance(function, f.Function)
    (statement,) = function.body
    assert isinstance(statement, f.Evaluate)
    assert isinstance(statement.value, f.Opaque)
    assert statement.value.parts == (f.Name("a", 2),)


# -- statements --------------------------------------------------------------------------------------

S = Span(1, 0, 1, 1)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a()", f.Evaluate),
        ("a = b = c", f.Assign),
        ("a: b = c", f.Assign),
        ("a: b", f.Declare),
        ("a += b", f.Augment),
        ("if a: b()\nelse: c()", f.Branch),
        ("for a in b: pass\nelse: c()", f.For),
        ("async def x():\n  async for a in b: pass", f.Function),
        ("while a: break", f.While),
        ("with a as b, c: a()", f.With),
        ("try: a()\nexcept b: c()\nelse: a()\nfinally: b()", f.Try),
        ("match a:\n  case 1: b()", f.Match),
        ("raise a from b", f.Raise),
        ("global a, b", f.Scope),
        ("import a", f.Import),
        ("from a import b", f.Import),
        ("def a(): pass", f.Function),
        ("class a(b): pass", f.Class),
        ("del a", f.Evaluate),
        ("assert a, b", f.Evaluate),
    ],
)
def test_statement(text, kind):
    statement = one(text)
    assert type(statement) is kind
    assert statement.span.row == 1
    assert statement.span.end_row == text.count("\n") + 1


@pytest.mark.skipif(sys.version_info < (3, 11), reason="except* is newer")
def test_except_star():
    statement = one("try: a()\nexcept* b: c()\n")
    assert isinstance(statement, f.Try)
    assert len(statement.handlers) == 1


def test_assignments():
    plain, noted, declared, grown = module("a = b = c\na: b = c\na: b\na @= b\n").body
    assert isinstance(plain, f.Assign)
    assert (plain.targets, plain.annotation) == ((A, B), None)
    assert isinstance(noted, f.Assign)
    assert noted.annotation == f.Name("b", 2)
    assert isinstance(declared, f.Declare)
    assert isinstance(grown, f.Augment)
    assert grown.operator == "@"


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ("'torch.optim.Adam'", "torch.optim.Adam"),
        ("Adam", "Adam"),
        ("'not an expression('", "'not an expression('"),
        ("'\\0'", "'\\x00'"),
    ],
)
def test_annotations_written_as_strings(annotation, expected):
    function = one(f"def a(b: {annotation}): pass\n")
    assert isinstance(function, f.Function)
    noted = function.parameters[0].annotation
    assert noted is not None
    assert render(noted) == expected


def test_blocks_keep_their_shape():
    statement = one(
        "try:\n    a()\nexcept b:\n    c()\nexcept:\n    pass\nelse:\n    d()\nfinally:\n    e()\n    g()\n"
    )
    assert isinstance(statement, f.Try)
    shape = [
        len(statement.body),
        [len(h) for h in statement.handlers],
        len(statement.orelse),
        len(statement.final),
    ]
    assert shape == [1, [1, 0], 1, 2]


@pytest.mark.parametrize(
    ("cases", "exhaustive"),
    [("case 1: a()", False), ("case _: a()", True), ("case b: a()", True), ("case b if c: a()", False),
     ("case [b] as c: a()", False)],
)  # fmt: skip
def test_match(cases, exhaustive):
    statement = one(f"match a:\n  case 0: b()\n  {cases}\n")
    assert isinstance(statement, f.Match)
    assert statement.exhaustive is exhaustive
    assert len(statement.cases) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import a", ("a", "a", None, 0)),
        ("import a.b", ("a", "a.b", None, 0)),
        ("import a.b as c", ("c", "a.b", None, 0)),
        ("from a import b as c", ("c", "a", "b", 0)),
        ("from . import b", ("b", "", "b", 1)),
        ("from ..a import b", ("b", "a", "b", 2)),
        ("from a import *", ("*", "a", "*", 0)),
    ],
)
def test_imports(text, expected):
    statement = one(text)
    assert isinstance(statement, f.Import)
    assert (statement.alias, statement.module, statement.name, statement.level) == expected


def test_one_import_statement_of_several_names():
    assert [i.alias for i in module("import a, b\nfrom c import d, e\n").body] == ["a", "b", "d", "e"]  # type: ignore[union-attr]


def test_parameters():
    function = one("@wrap(1)\ndef a(b, /, c: int, d=1, *e, g, h=2, **i): pass\n")
    assert isinstance(function, f.Function)
    assert [(p.name, p.kind, p.default is not None) for p in function.parameters] == [
        ("b", "plain", False), ("c", "plain", False), ("d", "plain", True), ("e", "star", False),
        ("g", "keyword", False), ("h", "keyword", True), ("i", "double-star", False),
    ]  # fmt: skip
    assert len(function.decorators) == 1
    assert (function.row, function.span.row) == (2, 2)


def test_classes():
    cls = one("@frozen\nclass A(B, nn.Module, metaclass=M):\n    x: int = 1\n    def f(self): pass\n")
    assert isinstance(cls, f.Class)
    assert [render(base) for base in cls.bases] == ["B", "nn.Module"]
    assert [name for name, _ in cls.keywords] == ["metaclass"]
    assert [type(part) for part in cls.body] == [f.Assign, f.Function]
    assert len(cls.decorators) == 1


def test_what_is_called():
    found = module("def a():\n    def b():\n        c.d()\n    e(lambda: g())\nh()\n")
    (outer, _) = found.body
    assert isinstance(outer, f.Function)
    assert not f.is_read(outer)
    assert outer.calls == {"d", "e", "g"}
    assert f.is_read(outer)
    assert found.calls == {"h"}
    inner = outer.body[0]
    assert isinstance(inner, f.Function)
    assert inner.calls == {"d"}


def test_gradients_touched_by_hand_are_noted():
    assert ".grad" in module("p.grad = None\n").calls


def test_what_a_decorator_calls_is_not_called_by_the_function():
    found = module("@step()\ndef a(): pass\n")
    (function,) = found.body
    assert isinstance(function, f.Function)
    assert function.calls == frozenset()
    assert found.calls == {"step"}


def test_a_function_is_read_with_its_rows_and_columns():
    text = "class A:\n\n    @b\n    async def f(self, x: int = 1):\n        return [\n            x]\n\n\nif c:\n\tdef g(): h()\n"
    whole, cut = module(text), module(text.replace("\n", "\r\n"))
    for found in (whole, cut):
        (cls, branch) = found.body
        (method,), (inner,) = cls.body, branch.body
        assert [one.row for one in (method, method.body[0].value)] == [4, 5]
        assert (inner.row, inner.body[0].value.name_span) == (10, f.Span(10, 10, 10, 11))
    assert whole.body == cut.body


def test_a_function_that_cannot_be_read_is_told_and_empty(monkeypatch):
    found, heard = module("def f():\n    return x\n"), []
    found.source.tell = heard.append
    found.source.trees.clear()

    def parse(_):
        raise MemoryError

    monkeypatch.setattr("clipcheck.extract.parse", parse)
    (function,) = found.body
    assert function.body == ()
    (failure,) = heard
    assert failure.message.startswith("cannot be parsed by Python 3.")
    assert failure.message.endswith(": nested too deep")
    assert (failure.row, failure.column) == (1, None)


@pytest.mark.parametrize(("before", "row"), [("", 2), ("class A:\n    x = 1\n", 4)])
def test_a_function_that_cannot_be_parsed_is_told_with_its_place(before, row):
    indent = "    " if before else ""
    text = f"{before}{indent}def f():\n{indent}    print 'x'\n"
    source, heard = Text(text), []
    source.tell = heard.append
    span = f.Span(row - 1, len(indent), row, len(indent) + 13)
    assert f.unread("f", (), span, source).body == ()
    (failure,) = heard
    assert (failure.row, failure.column, failure.line) == (row, len(indent) + 5, f"{indent}    print 'x'")


def test_a_form_feed_may_stand_before_a_function():
    found = module("x = 1\n\fdef f():\n    return y\nclass A:\n\f    def g(self): z()\n")
    kept = [function.body for function in (found.body[1], found.body[2].body[0])]
    again = module("x = 1\n\fdef f():\n    return y\nclass A:\n\f    def g(self): z()\n")
    again.source.trees.clear()
    again.source.tell = lambda *_: pytest.fail("it can be read")
    alone = [function.body for function in (again.body[1], again.body[2].body[0])]
    assert (
        [render(body[0].value) for body in alone] == [render(body[0].value) for body in kept] == ["y", "z()"]
    )


def test_facts_survive_a_pickle():
    found = module(
        "class A:\n    def f(self, x=1):\n        return [y for y in x if y]\nfor a in b:\n    c += 1\n"
    )
    assert pickle.loads(pickle.dumps(found)) == found
    assert hash(pickle.loads(pickle.dumps(found))) == hash(found)


def test_it_is_a_function_of_the_bytes():
    assert extract(b"a()\n", "one.py") == extract(b"a()\n", "two.py")


# -- failures ----------------------------------------------------------------------------------------


def failure(data: bytes) -> Failure:
    found = extract(data, "train.py")
    assert isinstance(found, Failure)
    assert found.filename == "train.py"
    return found


@pytest.mark.parametrize(
    ("data", "row", "column", "line"),
    [
        (b"a = 1\nb = = 2\n", 2, 5, "b = = 2"),
        (b"def f(:\n", 1, 7, "def f(:"),
        (b"for x in y:\nprint(x)\n", 2, 1, "print(x)"),
        (b"print 'hello'\n", 1, 1, "print 'hello'"),
        (b"x = '\xc3\xa9' + + = 1\n", 1, 13, "x = 'é' + + = 1"),
    ],
    ids=["operator", "parameters", "indent", "python 2", "not ascii"],
)
def test_syntax_errors(data, row, column, line):
    found = failure(data)
    assert found.message.startswith(f"cannot be parsed by Python {VERSION}: ")
    assert (found.row, found.line) == (row, line)
    assert found.column is not None
    assert found.column == column or sys.version_info < (3, 11)


def test_null_bytes():
    found = failure(b"a = 1\n\0\n")
    assert found.message.startswith(f"cannot be parsed by Python {VERSION}: ")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"a = '\xff'\n", id="not utf-8"),
        pytest.param(b"# coding: no-such-thing\n", id="no such codec"),
        pytest.param(b"# coding: utf-16\na = 1\n", id="not for source"),
        pytest.param(b"\xef\xbb\xbf# coding: latin-1\n", id="contradiction"),
        pytest.param("a = 1\n".encode("utf-16"), id="utf-16"),
    ],
)
def test_bytes_that_cannot_be_decoded(data):
    assert failure(data).message.startswith("cannot be decoded: ")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"# coding: latin-1\na = '\xe9'\n", "é"),
        (b"\xef\xbb\xbfa = 'e'\n", "e"),
        (b"a = 'e'\r\n", "e"),
    ],
    ids=["latin-1", "byte order mark", "crlf"],
)
def test_bytes_that_can(data, expected):
    found = extract(data, "train.py")
    assert isinstance(found, f.ModuleFacts)
    (statement,) = found.body
    assert isinstance(statement, f.Assign)
    assert isinstance(statement.value, f.Constant)
    assert statement.value.value == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a = " + "(" * 3000 + ")" * 3000, id="parentheses"),
        pytest.param("a = " + "-" * 20000 + "b", id="minus signs"),
        pytest.param("a = b" + ".c" * 20000, id="attributes"),
        pytest.param("a = " + " + ".join(["b"] * 20000), id="sums"),
        pytest.param("".join(" " * i + "if a:\n" for i in range(200)) + " " * 200 + "b()", id="blocks"),
    ],
)
def test_too_deep_is_a_failure_and_no_crash(text):
    found = extract_text(text + "\n", "train.py")
    assert isinstance(found, Failure)
    assert found.message.startswith(f"cannot be parsed by Python {VERSION}: ")
    assert len(found.message) > len(f"cannot be parsed by Python {VERSION}: ")


# -- back to text ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("a.b[0].c", "a.b[0].c"),
        ("f(a, *b, c=1, **d)", "f(a, *b, c=1, **d)"),
        ("a + b", "a + b"),
        ("not a", "(not a)"),
        ("(i + 1) % 4", "(i + 1) % 4"),
        ("i + 1 % 4", "i + 1 % 4"),
        ("a * b + c", "a * b + c"),
        ("a - (b - c)", "a - (b - c)"),
        ("a - b - c", "a - b - c"),
        ("a ** b ** c", "a ** b ** c"),
        ("(a ** b) ** c", "(a ** b) ** c"),
        ("(a or b) and c", "(a or b) and c"),
        ("a or b and c", "a or b and c"),
        ("(a == b) == c", "(a == b) == c"),
        ("(a + b).c", "(a + b).c"),
        ("(a or b)[0]", "(a or b)[0]"),
        ("[a, b]", "(a, b)"),
        ("a[b:c]", "a[<Slice b c>]"),
        ("{1: 2}", "<Mapping 1>"),
    ],
)
def test_render(text, rendered):
    assert render(value(text)) == rendered


@pytest.mark.parametrize(
    ("text", "plain"),
    [("a", True), ("a.b", True), ("a[0].b", True), ("a[i]", True), ("a[f()]", False), ("a()", False)],
)
def test_is_reference(text, plain):
    assert is_reference(value(text)) is plain


@pytest.mark.parametrize(
    ("text", "name"), [("self.opts[0]", "opts"), ("a", "a"), ("a.make()", "make"), ("1", ""), ("f()[0]", "f")]
)
def test_last_identifier(text, name):
    assert last_identifier(value(text)) == name


def test_names_in():
    text = "f(a.b, *c, k=d)[e] + (g if h else i) + {j: l} + [m for n in o if p] + (lambda: q) + f'{r}'"
    names = {"f", "a", ".b", "c", "d", "e", "g", "h", "i", "j", "l", "m", "o", "p", "r"}
    assert names_in(value(text)) == names


def test_a_constant_has_no_children():
    assert children(f.Constant(1, 1)) == ()
