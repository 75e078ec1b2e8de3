"""Expressions: what each is worth, and which models a tensor depends on."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from clipcheck import facts
from clipcheck.facts import Expression
from clipcheck.findings import Site
from clipcheck.flow.names import Names
from clipcheck.flow.paths import joined_text
from clipcheck.flow.render import guard_of, names_in, render
from clipcheck.flow.strings import filled
from clipcheck.flow.values import (
    MAX_ALTERNATIVES,
    Arguments,
    Bound,
    Elements,
    External,
    Frame,
    FunctionRef,
    Gradient,
    Items,
    Literal,
    ModuleRef,
    Object,
    Option,
    Parameters,
    Several,
    Table,
    Tensor,
    Unknown,
    Value,
    Written,
    choices,
    derived,
    gradients_in,
    literal,
    members,
    one_table,
    reread,
    several,
)
from clipcheck.flow.worlds import Guard
from clipcheck.record import replace

_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
    "//": operator.floordiv, "%": operator.mod,
}  # fmt: skip
_COMPARISON: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "==": operator.eq, "!=": operator.ne, "is": operator.eq, "is not": operator.ne,
}  # fmt: skip
_SEQUENCES = (Items, Elements, Parameters)


class Expressions(Names):
    """Evaluation of expressions other than calls."""

    def evaluate(self, frame: Frame, expression: Expression) -> Value:
        """What an expression is worth in a frame; calls inside it take effect."""
        handler = _HANDLERS.get(type(expression))
        return handler(self, frame, expression) if handler else self.unknown(frame, expression)

    def constant(self, frame: Frame, expression: facts.Constant) -> Value:
        return Literal(expression.value, (frame.filename, expression.row), expression)

    def name(self, frame: Frame, expression: facts.Name) -> Value:
        return self.by_name(self.lookup(frame, expression.id, expression))

    def get_attribute(self, frame: Frame, expression: facts.Attribute) -> Value:
        dotted = self._dotted_module(frame, expression)
        if dotted is not None:
            return dotted
        owner = self.evaluate(frame, expression.value)
        return self.by_name(self.attribute(frame, owner, expression.attr, expression))

    def _dotted_module(self, frame: Frame, expression: facts.Attribute) -> Value | None:
        """`a.b` after `import a.b`, where both are modules of the project."""
        if not self.dotted or not isinstance(expression.value, facts.Name):
            return None
        found = frame.find(expression.value.id) or frame.globals
        submodule = found.locals.get(f". {expression.value.id}.{expression.attr}")
        return submodule if isinstance(submodule, ModuleRef) else None

    def call(self, frame: Frame, expression: facts.Call) -> Value:
        owner: Value | None = None
        if isinstance(expression.function, facts.Attribute):
            function: Value | None = self._dotted_module(frame, expression.function)
            if function is None:
                owner = self.evaluate(frame, expression.function.value)
                if isinstance(owner, Literal) and owner.value is None:  # by now it is something else
                    owner = self.unknown(frame, expression, render(expression.function.value))
                function = self.attribute(frame, owner, expression.function.attr, expression.function)
        else:
            function = self.evaluate(frame, expression.function)
        arguments: list[Value] = []
        for argument in expression.arguments:
            value = self.evaluate(frame, argument)
            if isinstance(argument, facts.Starred):
                arguments.extend(value.members if isinstance(value, Items) else [value])
            else:
                arguments.append(value)
        keywords = tuple(
            (name, self.evaluate(frame, value) if name else one_table(self.evaluate(frame, value)))
            for name, value in expression.keywords
        )
        return self.apply(frame, function, owner, Arguments(tuple(arguments), keywords), expression)

    def starred(self, frame: Frame, expression: facts.Starred) -> Value:
        return self.read(self.evaluate(frame, expression.value))

    def collection(self, frame: Frame, expression: facts.Collection) -> Value:
        out: list[Value] = []
        for item in expression.items:
            value = self.evaluate(frame, item)
            if isinstance(item, facts.Starred) and isinstance(value, Items):
                out.extend(value.members)
            else:
                out.append(value)
        return Items(tuple(out[:64]))

    def mapping(self, frame: Frame, expression: facts.Mapping) -> Value:
        entries: list[tuple[str, Value]] = []
        partial = False
        for key, item in expression.items:
            value = self.evaluate(frame, item)
            name = self.evaluate(frame, key) if key is not None else None
            if isinstance(name, Literal):
                entries.append((str(name.value), value))
            elif key is None and isinstance(value, Table):
                entries.extend(value.entries)
                partial = partial or value.partial
            else:
                partial = True
        return Table(tuple(entries), partial, Site(frame.filename, expression.span))

    def subscript(self, frame: Frame, expression: facts.Subscript) -> Value:
        owner = self.evaluate(frame, expression.value)
        index = self.evaluate(frame, expression.index)
        return self.member_at(frame, owner, index, expression)

    def operation(self, frame: Frame, expression: facts.Operation) -> Value:
        values = [self.evaluate(frame, operand) for operand in expression.operands]
        symbol = expression.operator
        if symbol in ("and", "or"):
            return self._boolean(symbol, values)
        if symbol == "not":
            truth = self.truth(values[0])
            if truth is None and isinstance(values[0], Option):
                usual = self.usual_truth(values[0])
                return derived(values[0], None if usual is None else Literal(not usual))
            return Literal(not truth) if truth is not None else self.unknown(frame, expression)
        if symbol in _COMPARISON:
            return self._compared(frame, expression, symbol, values)
        gradient = self.of_gradients(expression, values)
        if gradient is not None:
            return gradient
        concatenated = _concatenated(values) if symbol == "+" else None
        if concatenated is not None:
            return concatenated
        if symbol == "*" and any(isinstance(value, Items) for value in values):
            return next(value for value in values if isinstance(value, Items))
        tensor = self.tensor_of(values)
        if tensor is not None:
            return tensor
        numbers = [literal(value) for value in values]
        if symbol in _ARITHMETIC and len(numbers) == 2 and all(isinstance(n, (int, float)) for n in numbers):
            try:
                result = _ARITHMETIC[symbol](*numbers)
            except (ZeroDivisionError, OverflowError):
                return self.unknown(frame, expression)
            options = [value for value in values if isinstance(value, Option)]
            folded = Literal(result, (frame.filename, expression.row))
            return derived(options[0], folded) if options else folded
        joined = joined_text(symbol, numbers)
        if joined is not None:
            return Literal(joined, (frame.filename, expression.row))
        if symbol == "%" and isinstance(numbers[0], str):
            text = filled(numbers[0], values[1])
            return (
                self.unknown(frame, expression)
                if text is None
                else Literal(text, (frame.filename, expression.row))
            )
        return Unknown(f"{frame.filename}:{expression.row}:{symbol}", frozenset().union(*map(_holds, values)))

    def _boolean(self, symbol: str, values: list[Value]) -> Value:
        """`a and b` / `a or b`: the operand that decides, or one of them; an option decides by its default."""
        for number, value in enumerate(values[:-1]):
            truth = self.truth(value)
            if truth is None and isinstance(value, Option) and (usual := self.usual_truth(value)) is not None:
                rest = value if usual is (symbol == "or") else self._boolean(symbol, values[number + 1 :])
                if isinstance(rest, (Literal, Option)):
                    return derived(value, rest) if rest is not value else value
            if truth is None:
                return several(values)
            if truth is (symbol == "or"):
                return value
        return values[-1]

    def _compared(self, frame: Frame, expression: facts.Operation, symbol: str, values: list[Value]) -> Value:
        if symbol == "!=" and render(expression.operands[0]) == render(expression.operands[1]):
            self.noticed_check(frame, expression.operands[:1], expression.row)  # NaN alone is not itself
        left, right = (literal(value) for value in values)
        options = [value for value in values if isinstance(value, Option)]
        if not isinstance(left, Value) and not isinstance(right, Value):
            try:
                result: Value = Literal(bool(_COMPARISON[symbol](left, right)))
            except TypeError:
                return self.unknown(frame, expression)
            return derived(options[0], result) if options else result
        definite = (Object, FunctionRef, Items, Elements, Table, Parameters, Gradient)
        nothing = [v for v in (left, right) if v is None]
        if symbol in ("is", "is not") and nothing and any(isinstance(v, definite) for v in (left, right)):
            return Literal(symbol == "is not")
        return self.unknown(frame, expression)

    def truth(self, value: Value) -> bool | None:
        """Whether a value is true; None where that depends (on an option, too)."""
        if isinstance(value, Literal):
            return bool(value.value)
        if isinstance(value, (Object, FunctionRef, Gradient)):
            return True
        if isinstance(
            value, External
        ):  # a module, or part of a library that is known; else it may be a setting
            package, dot, _ = value.name.partition(".")
            return True if not dot or package in self.knowledge.packages else None
        if isinstance(value, Items):
            return bool(value.members)
        if isinstance(value, Several):
            verdicts = {self.truth(choice) for choice in value.choices}
            return verdicts.pop() if len(verdicts) == 1 else None
        return None

    def usual_truth(self, value: Value) -> bool | None:
        """Which way a test goes with every option at its default."""
        if isinstance(value, Option):
            return self.usual_truth(value.default) if value.default is not None else None
        return self.truth(value)

    def conditional(self, frame: Frame, expression: facts.Conditional) -> Value:
        asked = self.evaluate(frame, expression.test)
        test = self.truth(asked)
        if test is not None:
            return self.evaluate(frame, expression.body if test else expression.orelse)
        self.alternatives += 1
        body = self._where(frame, expression, asked, expression.body)
        orelse = self._where(frame, expression, asked, expression.orelse)
        self.alternatives -= 1
        if all(isinstance(value, (Literal, Option)) for value in (body, orelse)) and isinstance(
            asked, Option
        ):
            usual = self.usual_truth(asked)
            if usual is not None:
                return derived(asked, body if usual else orelse)
        return several([body, orelse])

    def _where(self, frame: Frame, whole: facts.Conditional, asked: Value, part: Expression) -> Value:
        """One side of a conditional expression, evaluated under its guard."""
        key, positive = guard_of(whole.test)
        taken = (part is whole.body) is positive
        usual = self.usual_truth(asked)
        usual = usual if usual is None or positive else not usual
        settings = self.settings_in(frame, whole.test, asked) if usual is not None else ()
        guard = Guard(f"{frame.label}:{key}", names_in(whole.test), taken, usual, settings)
        self.conditions.append(guard)
        value = self.evaluate(frame, part)
        self.conditions.pop()
        return value

    def noticed_check(self, frame: Frame, asked: Sequence[Expression], row: int) -> None:
        raise NotImplementedError

    def settings_in(self, frame: Frame, expression: Expression, value: Value) -> tuple[Written, ...]:
        raise NotImplementedError

    def comprehension(self, frame: Frame, expression: facts.Comprehension) -> Value:
        inner = Frame(frame.filename, frame.label, frame, frame.globals)
        inner.receiver, inner.owner = frame.receiver, frame.owner
        part = False
        count: Value | None = Literal(1)
        times = self.multiplicity
        sources: list[Value] = []
        for clause in expression.clauses:
            source = self.evaluate(inner, clause.source)
            sources.append(source)
            known = self.length(source)
            count = known if isinstance(count, Literal) and count.value == 1 else None
            number = literal(known)
            self.multiplicity *= number if isinstance(number, int) and 0 < number < 1000 else 1
            self.assign(inner, clause.target, self.element(frame, source, clause.source))
            part = part or any(not _keeps_trainable(condition) for condition in clause.conditions)
            for condition in clause.conditions:
                self.evaluate(inner, condition)
        member = self.evaluate(inner, expression.element)
        self.multiplicity = times
        if not expression.lazy:
            self.use_up(sources[0])
        result = self.gathered(member, part=part, count=count)
        return self.lazily(frame, result, expression.span, *sources) if expression.lazy else result

    def gathered(self, member: Value, *, part: bool, count: Value | None) -> Value:
        """A sequence of values that all look like `member`."""
        if (
            isinstance(member, Items)
            and len(member.members) == 2
            and isinstance(member.members[1], Parameters)
            and not any(gradients_in(member.members[0]))
        ):
            pair = member.members[1]  # `{name: p for name, p in model.named_parameters()}`
            return Parameters(pair.models, pair.part or part, pair.holder, False, True, pair.gradient)
        if isinstance(member, Gradient):
            return replace(member, single=False)
        if isinstance(member, Parameters):
            return Parameters(
                member.models, member.part or part, member.holder, False, member.named, member.gradient
            )
        return Elements(member, count)

    def length(self, value: Value) -> Value | None:
        """How many members a sequence has, where that is known."""
        if isinstance(value, Items):
            return Literal(len(value.members))
        return value.count if isinstance(value, Elements) else None

    def element(self, frame: Frame, source: Value, expression: Expression) -> Value:
        """What iterating over a value yields."""
        out: list[Value] = []
        for choice in choices(source):
            if isinstance(choice, Parameters):
                single = Parameters(choice.models, choice.part, choice.holder, True, False, choice.gradient)
                out.append(Items((Unknown("name"), single)) if choice.named else single)
            elif isinstance(choice, Gradient):
                out.append(replace(choice, single=True))
            elif isinstance(choice, Tensor):  # `for output in model(x)`
                out.append(choice)
            elif isinstance(choice, Items):
                out.extend(choice.members)
            elif isinstance(choice, Elements):
                out.append(choice.member)
            elif isinstance(choice, Object):
                held = [value for name, value in choice.attributes.items() if name.startswith("#")]
                out.extend(held or [Unknown(f"{choice.key}[]")])
            elif isinstance(choice, Unknown):
                out.append(Unknown(f"{choice.key}[]", choice.holds))
        return several(map(reread, out)) if out else self.unknown(frame, expression)

    def of_gradients(self, expression: facts.Operation, values: list[Value]) -> Value | None:
        """What arithmetic on gradients that are values gives; None where there is none among the operands."""
        raise NotImplementedError

    def lambda_(self, frame: Frame, expression: facts.Lambda) -> Value:
        return FunctionRef(frame.filename, expression.function, frame, frame.owner, None)

    def opaque(self, frame: Frame, expression: facts.Opaque) -> Value:
        if expression.kind == "NamedExpr":
            value = self.evaluate(frame, expression.parts[1])
            self.assign(frame, expression.parts[0], value)
            return value
        values = [self.evaluate(frame, part) for part in expression.parts]
        if expression.kind == "JoinedStr":  # f"configs/{name}.yaml"
            texts = [literal(value) for value in values]
            if all(isinstance(text, (str, int)) for text in texts):
                return Literal("".join(map(str, texts)), (frame.filename, expression.row))
        if expression.kind == "FormattedValue" and len(values) == 1:
            return values[0]
        if expression.kind in ("Await", "YieldFrom", "Yield") and values:
            return values[0]
        return self.unknown(frame, expression)

    def tensor_of(self, values: Iterable[Value]) -> Tensor | None:
        """The tensor that an operation on these values gives, if any of them is one."""
        models: frozenset[str] = frozenset()
        found, complete, scaled = False, True, False
        for given in values:
            for value in given.choices if isinstance(given, Several) else (given,):
                if isinstance(value, Tensor):
                    models, found = models | value.models, True
                    complete, scaled = complete and value.complete, scaled or value.scaled
                elif isinstance(value, (Items, Elements, Table)):
                    inner = self.tensor_of(members(value))
                    if inner is not None:
                        models, found, complete = models | inner.models, True, complete and inner.complete
                elif isinstance(value, Unknown):
                    models, complete = models | value.holds, False
                elif isinstance(value, Bound):
                    complete = False
        return Tensor(models, complete, scaled) if found else None


def _concatenated(operands: list[Value]) -> Value | None:
    """What `+` makes of sequences, for each of their alternatives; None where an operand is no sequence.

    Sequences whose members are not known one by one are one member; so are the alternatives of an operand where there are
    too many to be told apart.
    """
    whole: list[tuple[Value, ...]] = [()]
    for operand in operands:
        found = [choice for choice in choices(operand) if isinstance(choice, (*_SEQUENCES, Unknown))]
        if all(isinstance(choice, Unknown) for choice in found):
            return None
        listed = [choice.members for choice in found if isinstance(choice, Items)]
        loose = [choice for choice in found if not isinstance(choice, Items)]
        parts = [*listed, (several(loose),)] if loose else listed
        if len(whole) * len(parts) > MAX_ALTERNATIVES:
            parts = [(several(found),)]
        whole = [before + part for before in whole for part in parts]
    return several(map(Items, whole))


def _holds(value: Value) -> frozenset[str]:
    if isinstance(value, Unknown):
        return value.holds
    return value.models if isinstance(value, Tensor) else frozenset()


def _keeps_trainable(condition: Expression) -> bool:
    """A condition that only drops parameters without gradients: `p.requires_grad`, `p.grad is not None`."""
    if isinstance(condition, facts.Attribute):
        return condition.attr in ("requires_grad", "grad")
    if isinstance(condition, facts.Operation):
        return all(isinstance(o, facts.Constant) or _keeps_trainable(o) for o in condition.operands)
    return False


_HANDLERS: dict[type, Callable[[Any, Frame, Any], Value]] = {
    facts.Constant: Expressions.constant, facts.Name: Expressions.name,
    facts.Attribute: Expressions.get_attribute, facts.Call: Expressions.call,
    facts.Starred: Expressions.starred, facts.Collection: Expressions.collection,
    facts.Mapping: Expressions.mapping, facts.Subscript: Expressions.subscript,
    facts.Operation: Expressions.operation, facts.Conditional: Expressions.conditional,
    facts.Comprehension: Expressions.comprehension, facts.Lambda: Expressions.lambda_,
    facts.Opaque: Expressions.opaque,
}  # fmt: skip
