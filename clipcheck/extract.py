"""One file's bytes to its facts: one parse, and a walk of what stands outside of functions.

Most functions of most files are of no interest, and turning one into facts takes three times as long as parsing it. So
a function is left unread, and parsed once more, alone, when somebody asks for its inside. A pure function of the bytes
all the same: it opens no other file, and its result is cached by content hash.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from clipcheck import facts, packing
from clipcheck.facts import Expression, Function, ModuleFacts, Statement
from clipcheck.findings import Failure, Span
from clipcheck.notebook import NotebookError, open_program
from clipcheck.regular import regular
from clipcheck.sourcefile import Lines, decode, parse, too_large, undecodable, unparsable
from clipcheck.stubs import stubs

_UNPARSED = f"cannot be parsed by Python {sys.version_info.major}.{sys.version_info.minor}: "
_RENAMED = regular(r" as (\w+)")
_WORD_BEFORE = regular(r"\w+\Z")
_HEADROOM = 1000  # calls that a function's tree may be deep
_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
    ast.Pow: "**", ast.MatMult: "@", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^",
    ast.LShift: "<<", ast.RShift: ">>", ast.And: "and", ast.Or: "or", ast.Not: "not",
    ast.USub: "neg", ast.UAdd: "pos", ast.Invert: "~", ast.Eq: "==", ast.NotEq: "!=",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Is: "is", ast.IsNot: "is not",
    ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip


def extract(data: bytes, filename: str, *, whole: bool = True) -> ModuleFacts | Failure:
    """The facts of a file, or the reason it has none (named with row, column and Python version).

    If it need not be read as a `whole`, what is wrong in a function is found when somebody asks for that function.
    """
    try:
        text, _ = decode(data)
    except (SyntaxError, UnicodeError, LookupError) as error:
        return Failure(filename, *undecodable(error, data))
    if not whole and not too_large(text) and (found := _without_functions(text)) is not None:
        return found
    return extract_text(text, filename)


def _without_functions(text: str) -> ModuleFacts | None:
    """The facts of a text without a look into its functions; None where it takes one to tell."""
    found = stubs(text)
    if found is None:
        return None
    source = Text(text)
    walk = _Walk(source, source.renamed, found.ends)
    try:
        body = walk.block(parse(found.text).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return ModuleFacts(body, frozenset(walk.calls), (), source)


def extract_text(text: str, filename: str) -> ModuleFacts | Failure:
    """The facts of decoded source, or of a notebook's JSON; see `extract`."""
    try:
        program = open_program(text, filename)
        if failure := _refused(program.text, filename):
            return failure
        tree = program.tree or parse(program.text)
        source = Text(program.text)
        walk = _Walk(source, source.renamed)
        body = walk.block(tree.body)
    except NotebookError as error:
        return Failure(filename, str(error), error.row, error.column)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return _unparsed(error, filename)
    return ModuleFacts(body, frozenset(walk.calls), program.left_out, source)


def _unparsed(error: Exception, filename: str = "", row: int | None = None) -> Failure:
    """What parser errors say of a file; `row` where the error has none of its own."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        line = (error.text or "").rstrip("\n")
        return Failure(filename, _UNPARSED + error.msg, error.lineno, error.offset, line)
    return Failure(filename, _UNPARSED + unparsable(error), row)


@packing.allow
class Text:
    """The text of a file, from which its functions are read one by one."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tell: Callable[[Failure], None] | None = None  # hears why a function could not be read
        self._unread: set[Span] = set()  # functions that could not be read
        self.filled = 0  # functions parsed so far
        self.kept = -1  # how many of them the cache has; none, nor the file
        self.outline: Any = None  # what `leading` has made of it
        self.trees: dict[Span, ast.FunctionDef | ast.AsyncFunctionDef] = {}  # of functions not asked for yet

    @cached_property
    def lines(self) -> Lines:
        """The rows of the text."""
        return Lines(self.text)

    @cached_property
    def renamed(self) -> dict[str, str]:
        """What stands before each `as name`: `clip_grad_norm_` by `clip`, where it is imported so."""
        found = (
            (match[1], _WORD_BEFORE.search(self.text, max(0, match.start() - 80), match.start()))
            for match in _RENAMED.finditer(self.text)
        )
        return {name: before[0] for name, before in found if before is not None and before[0] != name}

    def segment(self, function: Function) -> str:
        """The rows of a function."""
        return self.text[self.lines.start(function.span.row) : self.lines.end(function.span.end_row)]

    def __reduce__(self) -> tuple[type[Text], tuple[str]]:
        return Text, (self.text,)

    def pack(self, function: Function) -> bytes | None:
        """The inside of a function that was read, for a pickle; of one that could not be, nothing: it is to be told again."""
        if function.span in self._unread:
            return None
        return packing.pack((function.parameters, function.body, function.calls))

    def fill(self, function: Function) -> None:
        """Give a function its inside: as the cache has it, else from its rows, parsed alone."""
        packed = getattr(function, "packed", None)
        if packed is not None:
            facts.read_into(function, *packing.unpack(packed))
            return
        self.filled += 1
        walk = _Walk(renamed=self.renamed)
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(limit + _HEADROOM)  # who asks may be deep in calls of their own
        try:
            node = self.trees.pop(function.span, None) or self._parse(function.span)
            parameters = walk.parameters(node.args)
            body = walk.block(node.body)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            if self.tell is not None:
                self.tell(_unparsed(error, row=function.span.row))
            parameters, body, walk.calls = (), (), set()
            self._unread.add(function.span)
        finally:
            sys.setrecursionlimit(limit)
        facts.read_into(function, parameters, body, frozenset(walk.calls))

    def _parse(self, span: Span) -> ast.FunctionDef | ast.AsyncFunctionDef:
        """The tree of a function, whose rows are those of the file."""
        rows = self.text[self.lines.start(span.row) : self.lines.end(span.end_row)].lstrip("\f")
        if rows[:1] in (" ", "\t"):  # it stands in a class or another block, and so do these rows
            node = parse("\n" * (span.row - 2) + "if 1:\n" + rows).body[0]
            assert isinstance(node, ast.If)
            node = node.body[0]
        else:
            node = parse("\n" * (span.row - 1) + rows).body[0]
        assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        return node


def _refused(text: str, filename: str) -> Failure | None:
    """Why a text is not parsed at all."""
    if reason := too_large(text):
        return Failure(filename, reason)
    at = text.find("\0")
    if at < 0:
        return None
    lines = Lines(text)
    place = lines.position(at)
    line = text[lines.start(place.row) : lines.content_end(place.row)]
    return Failure(filename, f"{_UNPARSED}null byte", place.row, place.column, line)


def _span(node: ast.expr | ast.stmt) -> Span:
    return Span(node.lineno, node.col_offset, node.end_lineno or node.lineno, node.end_col_offset or 0)


def _columns(node: ast.expr) -> tuple[int, int]:
    """Where an expression on one line starts and ends."""
    return (node.col_offset, node.end_col_offset or 0) if node.end_lineno == node.lineno else (-1, -1)


class _Walk:
    """Turns statements and expressions into facts; `calls` gathers what is called on the way.

    With a source, functions are left for it to read, from their trees as long as it keeps these. `ends` says where they
    end if they were left out of the tree.
    """

    def __init__(
        self,
        source: Text | None = None,
        renamed: Mapping[str, str] | None = None,
        ends: Mapping[int, tuple[int, int]] | None = None,
    ) -> None:
        self.calls: set[str] = set()
        self._renamed = renamed or {}
        self._source = source
        self._ends = ends

    # -- statements ----------------------------------------------------------------------------------

    def block(self, statements: list[ast.stmt]) -> tuple[Statement, ...]:
        out: list[Statement] = []
        for node in statements:
            handler = _STATEMENTS.get(type(node))
            if handler is not None:
                handler(self, node, out)
        return tuple(out)

    def evaluate(self, node: ast.Expr, out: list[Statement]) -> None:
        if not isinstance(node.value, ast.Constant):
            out.append(facts.Evaluate(self.expression(node.value), _span(node)))

    def assign(self, node: ast.Assign, out: list[Statement]) -> None:
        targets = tuple(self.expression(target) for target in node.targets)
        out.append(facts.Assign(targets, self.expression(node.value), _span(node)))

    def declare(self, node: ast.AnnAssign, out: list[Statement]) -> None:
        target, annotation = self.expression(node.target), self.annotation(node.annotation)
        assert annotation is not None
        if node.value is None:
            out.append(facts.Declare(target, annotation, _span(node)))
        else:
            value = self.expression(node.value)
            out.append(facts.Assign((target,), value, _span(node), annotation))

    def annotation(self, node: ast.expr | None) -> Expression | None:
        """An annotation; one that is written as a string is read as the expression in it."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                inner = ast.parse(node.value, mode="eval").body
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                return self.expression(node)
            for child in ast.walk(inner):
                ast.copy_location(child, node)
            return self.expression(inner)
        return None if node is None else self.expression(node)

    def augment(self, node: ast.AugAssign, out: list[Statement]) -> None:
        target, value = self.expression(node.target), self.expression(node.value)
        out.append(facts.Augment(target, _OPERATORS[type(node.op)], value, _span(node)))

    def branch(self, node: ast.If, out: list[Statement]) -> None:
        test = self.expression(node.test)
        out.append(facts.Branch(test, self.block(node.body), self.block(node.orelse), _span(node)))

    def loop(self, node: ast.For | ast.AsyncFor, out: list[Statement]) -> None:
        target, source = self.expression(node.target), self.expression(node.iter)
        body, orelse = self.block(node.body), self.block(node.orelse)
        out.append(facts.For(target, source, body, orelse, _span(node)))

    def while_(self, node: ast.While, out: list[Statement]) -> None:
        test = self.expression(node.test)
        out.append(facts.While(test, self.block(node.body), self.block(node.orelse), _span(node)))

    def with_(self, node: ast.With | ast.AsyncWith, out: list[Statement]) -> None:
        items = tuple(
            (self.expression(item.context_expr), self.optional(item.optional_vars)) for item in node.items
        )
        out.append(facts.With(items, self.block(node.body), _span(node)))

    def try_(self, node: ast.Try, out: list[Statement]) -> None:
        handlers = tuple(self.block(handler.body) for handler in node.handlers)
        body, orelse, final = self.block(node.body), self.block(node.orelse), self.block(node.finalbody)
        out.append(facts.Try(body, handlers, orelse, final, _span(node)))

    def match(self, node: ast.Match, out: list[Statement]) -> None:
        last = node.cases[-1]
        exhaustive = isinstance(last.pattern, ast.MatchAs) and not last.pattern.pattern and not last.guard
        cases = tuple(self.block(case.body) for case in node.cases)
        out.append(facts.Match(self.expression(node.subject), cases, exhaustive, _span(node)))

    def return_(self, node: ast.Return, out: list[Statement]) -> None:
        out.append(facts.Return(self.optional(node.value), _span(node)))

    def raise_(self, node: ast.Raise, out: list[Statement]) -> None:
        out.append(facts.Raise(self.optional(node.exc), _span(node)))

    def break_(self, node: ast.Break, out: list[Statement]) -> None:
        out.append(facts.Break(_span(node)))

    def continue_(self, node: ast.Continue, out: list[Statement]) -> None:
        out.append(facts.Continue(_span(node)))

    def scope(self, node: ast.Global | ast.Nonlocal, out: list[Statement]) -> None:
        out.append(facts.Scope(tuple(node.names), _span(node)))

    def delete(self, node: ast.Delete, out: list[Statement]) -> None:
        parts = tuple(self.expression(target) for target in node.targets)
        out.append(facts.Evaluate(facts.Opaque("delete", parts, node.lineno), _span(node)))

    def assert_(self, node: ast.Assert, out: list[Statement]) -> None:
        out.append(
            facts.Evaluate(facts.Opaque("assert", (self.expression(node.test),), node.lineno), _span(node))
        )

    def import_(self, node: ast.Import, out: list[Statement]) -> None:
        for name in node.names:
            alias = name.asname or name.name.partition(".")[0]
            module = name.name
            out.append(facts.Import(alias, module, None, 0, _span(node)))

    def import_from(self, node: ast.ImportFrom, out: list[Statement]) -> None:
        for name in node.names:
            alias = name.asname or name.name
            out.append(facts.Import(alias, node.module or "", name.name, node.level, _span(node)))

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, out: list[Statement]) -> None:
        if self._source is not None:
            decorators = tuple(self.expression(decorator) for decorator in node.decorator_list)
            for decorator in node.decorator_list:  # it is called, with what it decorates
                if isinstance(decorator, (ast.Attribute, ast.Name)):
                    self.calls.add(decorator.attr if isinstance(decorator, ast.Attribute) else decorator.id)
            span = _span(node)
            if self._ends is not None:
                end_row, end_column = self._ends[node.lineno]
                span = span._replace(end_row=end_row, end_column=end_column)
            else:
                self._source.trees[span] = node
            out.append(facts.unread(node.name, decorators, span, self._source))
            return
        outer, self.calls = self.calls, set()
        parameters = self.parameters(node.args)
        body = self.block(node.body)
        inner, self.calls = self.calls, outer
        decorators = tuple(self.expression(decorator) for decorator in node.decorator_list)
        self.calls |= inner
        out.append(Function(node.name, parameters, body, decorators, _span(node), frozenset(inner)))

    def class_(self, node: ast.ClassDef, out: list[Statement]) -> None:
        bases = tuple(self.expression(base) for base in node.bases)
        keywords = tuple((word.arg, self.expression(word.value)) for word in node.keywords)
        decorators = tuple(self.expression(decorator) for decorator in node.decorator_list)
        body = self.block(node.body)
        out.append(facts.Class(node.name, bases, keywords, decorators, body, _span(node)))

    def parameters(self, node: ast.arguments) -> tuple[facts.Parameter, ...]:
        out: list[facts.Parameter] = []
        plain = [*node.posonlyargs, *node.args]
        defaults: list[ast.expr | None] = [None] * (len(plain) - len(node.defaults)) + list(node.defaults)
        for argument, default in zip(plain, defaults, strict=True):
            out.append(self.parameter(argument, "plain", default))
        if node.vararg:
            out.append(self.parameter(node.vararg, "star", None))
        for argument, default in zip(node.kwonlyargs, node.kw_defaults, strict=True):
            out.append(self.parameter(argument, "keyword", default))
        if node.kwarg:
            out.append(self.parameter(node.kwarg, "double-star", None))
        return tuple(out)

    def parameter(self, node: ast.arg, kind: str, default: ast.expr | None) -> facts.Parameter:
        return facts.Parameter(node.arg, kind, self.optional(default), self.annotation(node.annotation))

    # -- expressions ---------------------------------------------------------------------------------

    def optional(self, node: ast.expr | None) -> Expression | None:
        return None if node is None else self.expression(node)

    def many(self, nodes: list[ast.expr]) -> tuple[Expression, ...]:
        return tuple([self.expression(node) for node in nodes])

    def expression(self, node: ast.expr) -> Expression:
        handler = _EXPRESSIONS.get(type(node))
        if handler is not None:
            return handler(self, node)
        parts = tuple(
            self.expression(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)
        )
        return facts.Opaque(type(node).__name__, parts, node.lineno)

    def constant(self, node: ast.Constant) -> Expression:
        value = node.value
        if isinstance(value, str):
            return facts.Constant(value[:200], node.lineno, *_columns(node))
        if isinstance(value, int) and abs(value) > 1 << 62:
            value = float("inf") if value > 0 else float("-inf")  # unbounded integers say nothing here
        if value is None or isinstance(value, (int, float)):
            return facts.Constant(value, node.lineno, *_columns(node))
        return facts.Opaque("Constant", (), node.lineno)

    def name(self, node: ast.Name) -> Expression:
        return facts.Name(node.id, node.lineno)

    def attribute(self, node: ast.Attribute) -> Expression:
        if node.attr == "grad":
            self.calls.add(".grad")  # hand-written clipping calls nothing by name
        return facts.Attribute(self.expression(node.value), node.attr, node.lineno)

    def call(self, node: ast.Call) -> Expression:
        function, name, calls = self.expression(node.func), node.func, self.calls
        name_span = _span(name)
        if isinstance(name, ast.Attribute):
            calls.add(name.attr)
            row, column = name_span.end_row, name_span.end_column
            name_span = Span(row, column - len(name.attr.encode()), row, column)
        elif isinstance(name, ast.Name):
            calls.add(name.id)
            if name.id in self._renamed:  # events are known by the names that libraries give them
                calls.add(self._renamed[name.id])
        for one in node.args:
            if isinstance(one, ast.Name):
                calls.add(facts.HANDED + one.id)
        for word in node.keywords:
            if isinstance(word.value, ast.Name):
                calls.add(facts.HANDED + word.value.id)
        keywords = tuple([(word.arg, self.expression(word.value)) for word in node.keywords])
        return facts.Call(function, self.many(node.args), keywords, _span(node), name_span)

    def starred(self, node: ast.Starred) -> Expression:
        return facts.Starred(self.expression(node.value), node.lineno)

    def collection(self, node: ast.Tuple | ast.List | ast.Set) -> Expression:
        return facts.Collection(self.many(node.elts), node.lineno)

    def mapping(self, node: ast.Dict) -> Expression:
        items = tuple(
            (self.optional(key), self.expression(value))
            for key, value in zip(node.keys, node.values, strict=True)
        )
        return facts.Mapping(items, node.lineno, _span(node))

    def subscript(self, node: ast.Subscript) -> Expression:
        return facts.Subscript(self.expression(node.value), self.expression(node.slice), node.lineno)

    def binary(self, node: ast.BinOp) -> Expression:
        operands = (self.expression(node.left), self.expression(node.right))
        return facts.Operation(_OPERATORS[type(node.op)], operands, node.lineno)

    def unary(self, node: ast.UnaryOp) -> Expression:
        inner = self.expression(node.operand)
        number = inner.value if isinstance(inner, facts.Constant) else None
        if (
            isinstance(node.op, ast.USub)
            and isinstance(number, (int, float))
            and not isinstance(number, bool)
        ):
            return facts.Constant(-number, node.lineno, *_columns(node))
        return facts.Operation(_OPERATORS[type(node.op)], (inner,), node.lineno)

    def boolean(self, node: ast.BoolOp) -> Expression:
        return facts.Operation(_OPERATORS[type(node.op)], self.many(node.values), node.lineno)

    def comparison(self, node: ast.Compare) -> Expression:
        operands = [node.left, *node.comparators]
        parts = [
            facts.Operation(
                _OPERATORS[type(op)], (self.expression(left), self.expression(right)), node.lineno
            )
            for op, left, right in zip(node.ops, operands, operands[1:], strict=False)
        ]
        return parts[0] if len(parts) == 1 else facts.Operation("and", tuple(parts), node.lineno)

    def conditional(self, node: ast.IfExp) -> Expression:
        test, body, orelse = (
            self.expression(node.test),
            self.expression(node.body),
            self.expression(node.orelse),
        )
        return facts.Conditional(test, body, orelse, node.lineno)

    def comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> Expression:
        lazy = isinstance(node, ast.GeneratorExp)
        return facts.Comprehension(
            self.expression(node.elt), self.clauses(node.generators), lazy, _span(node)
        )

    def dict_comprehension(self, node: ast.DictComp) -> Expression:
        pair = facts.Collection((self.expression(node.key), self.expression(node.value)), node.lineno)
        return facts.Comprehension(pair, self.clauses(node.generators), False, _span(node))

    def clauses(self, generators: list[ast.comprehension]) -> tuple[facts.Clause, ...]:
        return tuple(
            facts.Clause(self.expression(g.target), self.expression(g.iter), self.many(g.ifs))
            for g in generators
        )

    def lambda_(self, node: ast.Lambda) -> Expression:
        outer, self.calls = self.calls, set()
        body = facts.Return(self.expression(node.body), _span(node.body))
        parameters = self.parameters(node.args)
        inner, self.calls = self.calls, outer
        self.calls |= inner
        function = Function("<lambda>", parameters, (body,), (), _span(node), frozenset(inner))
        return facts.Lambda(function, node.lineno)

    def named(self, node: ast.NamedExpr) -> Expression:
        parts = (self.expression(node.target), self.expression(node.value))
        return facts.Opaque("NamedExpr", parts, node.lineno)


_STATEMENTS: dict[type[ast.stmt], Callable[[_Walk, Any, list[Statement]], None]] = {
    ast.Expr: _Walk.evaluate, ast.Assign: _Walk.assign, ast.AnnAssign: _Walk.declare,
    ast.AugAssign: _Walk.augment, ast.If: _Walk.branch, ast.For: _Walk.loop, ast.AsyncFor: _Walk.loop,
    ast.While: _Walk.while_, ast.With: _Walk.with_, ast.AsyncWith: _Walk.with_, ast.Try: _Walk.try_,
    ast.Match: _Walk.match, ast.Return: _Walk.return_, ast.Raise: _Walk.raise_,
    ast.Break: _Walk.break_, ast.Continue: _Walk.continue_, ast.Global: _Walk.scope,
    ast.Nonlocal: _Walk.scope, ast.Delete: _Walk.delete, ast.Assert: _Walk.assert_,
    ast.Import: _Walk.import_, ast.ImportFrom: _Walk.import_from, ast.FunctionDef: _Walk.function,
    ast.AsyncFunctionDef: _Walk.function, ast.ClassDef: _Walk.class_,
}  # fmt: skip
if sys.version_info >= (3, 11):
    _STATEMENTS[ast.TryStar] = _Walk.try_

_EXPRESSIONS: dict[type[ast.expr], Callable[[_Walk, Any], Expression]] = {
    ast.Constant: _Walk.constant, ast.Name: _Walk.name, ast.Attribute: _Walk.attribute,
    ast.Call: _Walk.call, ast.Starred: _Walk.starred, ast.Tuple: _Walk.collection,
    ast.List: _Walk.collection, ast.Set: _Walk.collection, ast.Dict: _Walk.mapping,
    ast.Subscript: _Walk.subscript, ast.BinOp: _Walk.binary, ast.UnaryOp: _Walk.unary,
    ast.BoolOp: _Walk.boolean, ast.Compare: _Walk.comparison, ast.IfExp: _Walk.conditional,
    ast.ListComp: _Walk.comprehension, ast.SetComp: _Walk.comprehension,
    ast.GeneratorExp: _Walk.comprehension, ast.DictComp: _Walk.dict_comprehension,
    ast.Lambda: _Walk.lambda_, ast.NamedExpr: _Walk.named,
}  # fmt: skip
