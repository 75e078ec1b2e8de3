"""What Python's own functions give back, as far as training loops use them.

A handler returns None where it has nothing to say; the call is then any library function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from clipcheck import facts
from clipcheck.flow.kinds import is_instance
from clipcheck.flow.paths import text_of
from clipcheck.flow.render import render
from clipcheck.flow.values import (
    Arguments,
    Bound,
    Elements,
    External,
    Frame,
    Items,
    Literal,
    ModuleRef,
    Object,
    Option,
    Parameters,
    Partial,
    Table,
    Unknown,
    Value,
    choices,
    derived,
    literal,
    reread,
    several,
)
from clipcheck.record import replace

if TYPE_CHECKING:
    from clipcheck.flow.calls import Calls

MAX_MODULES = 64  # of a package from which one is chosen
Handler = Callable[["Calls", Frame, Arguments, facts.Call], "Value | None"]


def _iter(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    """`iter`: an iterator of its own over a list, the same one over an iterator."""
    if not given.positional:
        return None
    source = given.positional[0]
    known = isinstance(source, Parameters) and source.iterator
    return source if known else run.lazily(frame, source, call.span)


def _sorted(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    return run.read(given.positional[0]) if given.positional else Items(())


def _collect(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    """`list`, `tuple`: the members, evaluated; a mapping gives its keys."""
    if not given.positional:
        return Items(())
    value = given.positional[0]
    if isinstance(value, Table):
        return Items(tuple(Literal(key) for key, _ in value.entries))
    return run.read(value)


def _filter(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    """`filter(test, parameters)`: all of them where the test only drops frozen ones, else a part."""
    if len(given.positional) != 2:
        return None
    source = given.positional[1]
    if isinstance(source, Parameters) and "requires_grad" not in _text_of(call.arguments[0]):
        kept = Parameters(source.models, True, source.holder, False, source.named, source.gradient)
        return run.lazily(frame, kept, call.span, source)
    return run.lazily(frame, source, call.span, source)


def _text_of(expression: facts.Expression) -> str:
    if isinstance(expression, facts.Lambda):
        body = expression.function.body[0]
        return render(body.value) if isinstance(body, facts.Return) and body.value is not None else ""
    return render(expression)


def _map(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    if len(given.positional) < 2:
        return None
    element = run.element(frame, given.positional[1], call)
    result = run.apply(frame, given.positional[0], None, Arguments((element,)), call)
    if isinstance(result, Parameters):
        return run.lazily(frame, result, call.span, given.positional[1])
    return Elements(result, run.length(given.positional[1]))


def _zip(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    sources = given.positional
    if len(sources) == 1 and isinstance(call.arguments[0], facts.Starred):
        columns = [_columns(run, rows) for rows in choices(sources[0])]
        if None not in columns:
            return several(column for column in columns if column is not None)
    if sources and all(isinstance(source, Items) for source in sources):
        rows = zip(*(source.members for source in sources if isinstance(source, Items)), strict=False)
        return Items(tuple(Items(row) for row in rows))
    return Elements(Items(tuple(run.element(frame, source, call) for source in sources)))


def _columns(run: Calls, pairs: Value) -> Value | None:
    """`zip(*pairs)`: the first members of all pairs, and the second ones."""
    if not isinstance(pairs, Elements) or not isinstance(pairs.member, Items):
        return None
    members = pairs.member.members
    return Items(tuple(run.gathered(member, part=False, count=pairs.count) for member in members))


def _enumerate(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    if not given.positional:
        return None
    source = given.positional[0]
    if isinstance(source, Items):
        return Items(tuple(Items((Literal(i), member)) for i, member in enumerate(source.members)))
    index = Unknown(f"{frame.filename}:{call.row}:index")
    return Elements(Items((index, run.element(frame, source, call))), run.length(source))


def _range(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    bounds = [literal(value) for value in given.positional]
    count: Value | None = None
    if bounds and all(isinstance(bound, int) for bound in bounds):
        try:
            count = Literal(len(range(*bounds)))  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            count = None
    return Elements(Unknown(f"{frame.filename}:{call.row}:index"), count)


def _len(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    """`len`: a number, which holds nothing of what is counted."""
    if not given.positional:
        return None
    return run.length(given.positional[0]) or run.unknown(frame, call)


def _getattr(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    if len(given.positional) < 2:
        return run.unknown(frame, call)
    owner, name = given.positional[0], literal(given.positional[1])
    if not isinstance(name, str):
        chosen = run.attribute(frame, owner, "__dict__", call) if isinstance(owner, ModuleRef) else None
        entries = chosen.entries if isinstance(chosen, Table) else ()
        # `getattr(models, args.model)`: one of what the module defines.
        return several(value for _, value in entries) if entries else run.unknown(frame, call)
    found = run.attribute(frame, owner, name, call)
    plain = isinstance(owner, Object) and owner.cls is None and isinstance(found, Bound)
    return given.positional[2] if plain and len(given.positional) > 2 else found


def _import_module(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    """`import_module("models." + name)`: the module, or one of those in the package where the name is not known."""
    if not given.positional or not call.arguments:
        return None
    name = text_of(given.positional[0])
    if name is not None:
        file = run.project.module(frame.filename, name.lstrip("."))
        return ModuleRef(file) if file is not None else External(name)
    package = _beginning(call.arguments[0])
    if not package.endswith(".") or not package.strip("."):
        return None
    files = run.project.submodules(frame.filename, package)
    return several(map(ModuleRef, files)) if 0 < len(files) <= MAX_MODULES else None


def _beginning(expression: facts.Expression) -> str:
    """The text that a string surely begins with: `"models." + x`, `f"models.{x}"`, `"models.{}".format(x)`."""
    if isinstance(expression, facts.Constant):
        return expression.value if isinstance(expression.value, str) else ""
    if isinstance(expression, facts.Operation) and expression.operator in ("+", "%"):
        return _beginning(expression.operands[0]).partition("%")[0]
    if isinstance(expression, facts.Opaque) and expression.parts:
        return _beginning(expression.parts[0])
    method = expression.function if isinstance(expression, facts.Call) else None
    if isinstance(method, facts.Attribute) and method.attr == "format":
        return _beginning(method.value).partition("{")[0]
    return ""


def _setattr(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    """`setattr(args, "clip", 1.0)`, as far as the name is known."""
    if len(given.positional) == 3 and isinstance(given.positional[1], Literal) and call.arguments:
        target = facts.Attribute(call.arguments[0], str(given.positional[1].value), call.row)
        run.assign(frame, target, given.positional[2])
    return Literal(None)


def _super(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    from clipcheck.flow.calls import super_of

    return super_of(frame)


def _dict(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    entries = [(name, value) for name, value in given.keywords if name]
    spread = [*given.positional, *(value for name, value in given.keywords if name is None)]
    for value in given.positional:
        if isinstance(value, Table):
            entries = [*value.entries, *entries]
    for name, value in given.keywords:
        if name is None and isinstance(value, Table):
            entries.extend(value.entries)
    partial = any(not isinstance(value, Table) or value.partial for value in spread)
    return Table(tuple(entries), partial)


def _next(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    return run.element(frame, given.positional[0], call) if given.positional else None


def _number(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    """`int`, `float`, `str`: the constant converted; `float("inf")` is the one that matters."""
    if not given.positional:
        return None
    value = given.positional[0]
    if isinstance(value, Option) and isinstance(value.default, (Literal, Option)):
        default = _number(run, frame, Arguments((value.default,)), call)
        return derived(value, default)
    if isinstance(value, Literal) and isinstance(value.value, str):
        try:
            return Literal(float(value.value), value.place)
        except ValueError:
            return value
    return replace(value, holds=frozenset()) if isinstance(value, Unknown) and value.holds else value


def _truth(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    value = given.positional[0] if given.positional else Literal(False)
    usual = run.usual_truth(value)
    if usual is None:
        return None
    return derived(value, Literal(usual)) if isinstance(value, Option) else Literal(usual)


def _chain(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    """`itertools.chain`: the members of all, as one sequence."""
    parameters = [value for value in given.positional if isinstance(value, Parameters)]
    if parameters and len(parameters) == len(given.positional):
        models = frozenset().union(*(value.models for value in parameters))
        joined = Parameters(models, any(value.part for value in parameters))
        return run.lazily(frame, joined, call.span, *parameters)
    return Items(tuple(map(reread, given.positional)))


def _chain_from(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    if not given.positional:
        return None
    found = [c for value in given.positional for c in choices(run.element(frame, value, call))]
    return _chain(run, frame, Arguments(tuple(found)), call)


def _partial(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    if not given.positional:
        return None
    return Partial(given.positional[0], Arguments(given.positional[1:], given.keywords))


def _copied(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    """`copy.deepcopy`: a second one of the same make, with parameters of its own."""
    if not given.positional or not isinstance(given.positional[0], Object):
        return given.positional[0] if given.positional else None
    source = given.positional[0]
    key = f"{frame.filename}:{call.span.row}.{call.span.column}:{source.key}"
    made = run.sightings.objects.get(key)
    if made is None:
        made = Object(key, source.site, source.cls, source.external, source.rule)
        made.count = source.count * run.multiplicity
        made.arguments, made.keywords = source.arguments, source.keywords
        run.sightings.objects[key] = made
    made.attributes.update(source.attributes)
    return made


def _nothing(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    return Literal(None)


def _sum(run: Calls, frame: Frame, given: Arguments, call: facts.Call) -> Value | None:
    tensor = run.tensor_of(given.positional)
    return tensor if tensor is not None else None


BUILTINS: dict[str, Handler] = {
    "builtins.list": _collect, "builtins.tuple": _collect, "builtins.set": _collect,
    "builtins.iter": _iter, "builtins.sorted": _sorted, "builtins.reversed": _sorted,
    "builtins.filter": _filter, "builtins.map": _map, "builtins.zip": _zip,
    "builtins.enumerate": _enumerate, "builtins.range": _range, "builtins.len": _len,
    "builtins.isinstance": is_instance,
    "builtins.getattr": _getattr, "builtins.setattr": _setattr, "builtins.bool": _truth, "builtins.super": _super, "builtins.dict": _dict,
    "builtins.next": _next, "builtins.int": _number, "builtins.float": _number,
    "builtins.str": _number, "builtins.print": _nothing, "builtins.sum": _sum,
    "itertools.chain": _chain, "itertools.chain.from_iterable": _chain_from,
    "functools.partial": _partial, "importlib.import_module": _import_module, "copy.deepcopy": _copied, "copy.copy": _copied,
}  # fmt: skip
