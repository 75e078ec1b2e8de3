"""How long the sequences are: the numbers that a file gives to names which read like a sequence length."""

from __future__ import annotations

from collections.abc import Iterator

from clipcheck import facts
from clipcheck.facts import Expression
from clipcheck.findings import Evidence
from clipcheck.flow.render import last_identifier
from clipcheck.knowledge import Knowledge
from clipcheck.naming import words
from clipcheck.project import Project
from clipcheck.traverse import expressions, inside, statements, targets

SHORTEST = 32  # below, what is called so is a window or a chunk: `context_size=2` of a decoder
SHORTEST_DATA = 2  # that data are cut to
LONGEST = 10_000_000  # a "length" beyond this says that there is no limit

Length = tuple[int, Evidence]


def length_at(value: object, filename: str, row: int, least: int = SHORTEST) -> Length | None:
    """A number as a sequence length with its evidence, if it can be one."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < LONGEST:
        return None
    return value, Evidence(filename, row, f"sequence length {value} set here")


MAX_OF_ONE_FILE = 4  # different lengths


class Lengths:
    """How long the sequences are that each file, or the settings it imports, speaks of; looked up once per file.

    `reached` is the row that the file has come to at its own level where it trains: what stands below, in a later
    cell of a notebook say, is of another model. 0: not known.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._known: dict[tuple[str, int], Length | None] = {}
        self._trained: dict[tuple[str, int], Length | None] = {}

    def trained(self, filename: str, reached: int = 0) -> Length | None:
        """The longest sequence that a file cuts its data to: what a model is trained on, whatever it may take."""
        key = (filename, reached)
        if key not in self._trained:
            found = list(self._scan(filename, reached).data())
            self._trained[key] = longest(without_catalogues(found))
        return self._trained[key]

    def of(self, filename: str, reached: int = 0) -> Length | None:
        """The one length that a file sets; the shortest of several, none of which is known to be that of the data."""
        key = (filename, reached)
        if key not in self._known:
            found = list(self._scan(filename, reached).all())
            for file in self._settings(filename):
                found += self._scan(file, 0).all()
            self._known[key] = shortest(without_catalogues(found))
        return self._known[key]

    def _scan(self, filename: str, reached: int) -> _Scan:
        module = self._project.facts(filename)
        body = _until(module.body, reached) if module is not None else ()
        return _Scan(self._project.knowledge, filename, body)

    def _settings(self, filename: str) -> Iterator[str]:
        """The files that this one imports for what they set: `import config`, `from options import block_size`."""
        module, knowledge = self._project.facts(filename), self._project.knowledge
        for one in statements(module.body if module is not None else ()):
            if not isinstance(one, facts.Import):
                continue
            last = one.module.rpartition(".")[2]
            if knowledge.hinted("settings-module", last) or knowledge.hinted(
                "sequence-length", one.name or ""
            ):
                target = self._project.module(filename, one.module, one.level)
            elif one.name is not None and knowledge.hinted("settings-module", one.name):
                target = self._project.module(filename, f"{one.module}.{one.name}".lstrip("."), one.level)
            else:
                target = None
            if target is not None:
                yield target


def without_catalogues(found: list[Length]) -> list[Length]:
    """The lengths that one program sets: a file of many is a table of models, and says nothing of this one."""
    by_file: dict[str, set[int]] = {}
    for length, place in found:
        by_file.setdefault(place.filename, set()).add(length)
    return [one for one in found if len(by_file[one[1].filename]) <= MAX_OF_ONE_FILE]


def _until(body: tuple[facts.Statement, ...], row: int) -> tuple[facts.Statement, ...]:
    """The statements of a module that have been run when the one in a row is, if that is no definition."""
    at = next((one for one in body if one.span.row <= row <= one.span.end_row), None)
    if at is None or isinstance(at, (facts.Function, facts.Class)):
        return body
    return tuple(one for one in body if one.span.row <= row)


def shortest(found: list[Length]) -> Length | None:
    """The smallest of some lengths, the first of equals."""
    return min(found, key=lambda length: length[0], default=None)


def longest(found: list[Length]) -> Length | None:
    """The largest of some lengths, the first of equals."""
    return max(found, key=lambda length: length[0], default=None)


class _Scan:
    """The bindings of numbers, in statements of one file, to names that the knowledge calls sequence lengths."""

    def __init__(self, knowledge: Knowledge, filename: str, body: tuple[facts.Statement, ...]) -> None:
        self._hinted = knowledge.hinted
        self._filename = filename
        self._body = body
        self._set = dict[str, Length]()  # by name: the number that the file gives it last
        self._tables = frozenset[str]()  # names that tables of positions are made as long as

    # -- lengths of data ---------------------------------------------------------------------------------

    def data(self) -> Iterator[Length]:
        """The lengths that data are made with: `make_loader(text, max_length=256)`, `"train_context_length": 256`."""
        self._set = {
            name: length for name, length in self._bindings() if self._hinted("sequence-length", name)
        }
        cut: dict[
            tuple[str, str], Length
        ] = {}  # the same call of a later cell takes the place of an earlier one
        for statement in statements(self._body):
            if isinstance(statement, facts.Assign):
                for target in statement.targets:
                    yield from self._named_for_training(_name_of(target), statement.value, statement.span.row)
            elif isinstance(statement, (facts.Function, facts.Class)):
                cut.update(self._read_by(statement))
            for node in (node for expression in expressions(statement) for node in inside(expression)):
                if isinstance(node, facts.Call):
                    cut.update(self._cut_by(node))
                elif isinstance(node, facts.Mapping):
                    for key, value in node.items:
                        yield from self._named_for_training(_text(key), value, node.row)
        yield from cut.values()

    def _named_for_training(self, name: str, value: Expression, row: int) -> Iterator[Length]:
        if self._hinted("trained-length", name):
            yield from self._bound(name, value, row)

    def _cut_by(self, call: facts.Call) -> Iterator[tuple[tuple[str, str], Length]]:
        """The lengths that a call is handed which makes or cuts data, by what they are handed as."""
        called = words(last_identifier(call.function))
        if not self._makes_data(called):
            return
        for name, value in call.keywords:
            if self._hinted("sequence-length", name or ""):
                length = length_at(number(value), self._filename, value.row, SHORTEST_DATA)
                length = self._set.get(_name_of(value)) if length is None else length
                if length is not None:
                    yield (called, name or ""), length
        for position, value in enumerate(call.arguments):
            if (length := self._set.get(_name_of(value))) is not None:
                yield (called, str(position)), length

    def _read_by(self, made: facts.Function | facts.Class) -> Iterator[tuple[tuple[str, str], Length]]:
        """The lengths of the file that a function or class reads which makes data: `block_size` in `get_batch`."""
        if not self._makes_data(words(made.name)):
            return
        inner = list(statements(made.body))
        functions = [made, *inner]
        own = {name for one in inner for name in targets(one)}
        own |= {one.name for part in functions if isinstance(part, facts.Function) for one in part.parameters}
        for statement in inner:
            for node in (node for expression in expressions(statement) for node in inside(expression)):
                if isinstance(node, facts.Name) and node.id not in own and node.id in self._set:
                    yield (made.name, node.id), self._set[node.id]

    def _makes_data(self, called: str) -> bool:
        return self._hinted("data-call", called) and not self._hinted("generation-call", called)

    def _bindings(self) -> Iterator[tuple[str, Length]]:
        """The names that statements, dicts and options give a number, in order."""
        for statement in statements(self._body):
            pairs: list[tuple[str, Expression, int]] = []
            if isinstance(statement, facts.Assign):
                pairs += [(_name_of(one), statement.value, statement.span.row) for one in statement.targets]
            for node in (node for expression in expressions(statement) for node in inside(expression)):
                if isinstance(node, facts.Mapping):
                    pairs += [(_text(key), value, node.row) for key, value in node.items]
                elif isinstance(node, facts.Call):
                    pairs += self._options(node)
            for name, value, row in pairs:
                length = length_at(number(value), self._filename, row, SHORTEST_DATA)
                if length is not None:
                    yield name, length

    def _options(self, call: facts.Call) -> list[tuple[str, Expression, int]]:
        """An option or a setting with its default: `add_argument("--block-size", default=1024)`,
        `DEFINE_integer("max_seq_length", 128)`, `config.get("max_length", 512)`; none of how to generate.
        """
        given = dict(call.keywords)
        if self._hinted("generation-help", _text(given.get("help"))):
            return []
        found = []
        for position, argument in enumerate(call.arguments):
            name = _text(argument).lstrip("-").replace("-", "_")
            values = (*call.arguments[position + 1 : position + 2], given.get("default"))
            found += [(name, value, value.row) for value in values if value is not None and name]
        return found

    # -- lengths of the file -----------------------------------------------------------------------------

    def all(self) -> Iterator[Length]:
        """The lengths set in the file; tables of positions and calls that generate text are left out."""
        self._tables = frozenset(self._lengths_of_tables())
        assigned = [one for one in self._body if isinstance(one, facts.Assign)]
        last = {last_identifier(target): one for one in assigned for target in one.targets}
        # What a later cell gives a new value has that.
        kept = [
            one
            for one in self._body
            if not isinstance(one, facts.Assign)
            or any(last[last_identifier(target)] is one for target in one.targets)
        ]
        yield from self._block(tuple(kept))

    def _lengths_of_tables(self) -> Iterator[str]:
        for statement in statements(self._body):
            for node in (node for expression in expressions(statement) for node in inside(expression)):
                if isinstance(node, facts.Call):
                    called = words(last_identifier(node.function))
                    if self._hinted("position-class", called) or self._hinted("table-class", called):
                        for value in (*node.arguments, *(value for _, value in node.keywords)):
                            yield _name_of(value)

    def _block(self, body: tuple[facts.Statement, ...]) -> Iterator[Length]:
        for statement in statements(body, nested=False):
            if isinstance(statement, facts.Class):
                if not self._hinted("position-class", words(statement.name)):
                    yield from self._block(statement.body)
                continue
            if isinstance(statement, facts.Function):
                if not self._hinted("generation-call", statement.name):
                    for parameter in statement.parameters:
                        yield from self._bound(parameter.name, parameter.default, statement.row)
                    yield from self._block(statement.body)
                continue
            if isinstance(statement, facts.Assign):
                for target in statement.targets:
                    yield from self._bound(last_identifier(target), statement.value, statement.span.row)
            for expression in expressions(statement):
                yield from self._within(expression)

    def _within(self, expression: Expression) -> Iterator[Length]:
        for node in inside(expression):
            if isinstance(node, facts.Call):
                yield from self._call(node)
            elif isinstance(node, facts.Mapping):
                for key, value in node.items:
                    yield from self._bound(_text(key), value, value.row)

    def _call(self, call: facts.Call) -> Iterator[Length]:
        called = words(last_identifier(call.function))
        if self._hinted("generation-call", called) or self._hinted("position-class", called):
            return
        for name, value in call.keywords:
            yield from self._bound(name or "", value, value.row)
        for option, value, row in self._options(call):
            yield from self._bound(option, value, row)

    def _bound(self, name: str, value: Expression | None, row: int) -> Iterator[Length]:
        if not name or value is None or not self._hinted("sequence-length", name):
            return
        table = name in self._tables and self._hinted("sequence-capacity", name)
        if table or self._hinted("position-count", name):
            return
        length = length_at(number(value), self._filename, row)
        if length is not None:
            yield length


def _text(expression: Expression | None) -> str:
    """The string that an expression is, "" if it is none."""
    known = isinstance(expression, facts.Constant) and isinstance(expression.value, str)
    return str(expression.value) if known and isinstance(expression, facts.Constant) else ""


def _name_of(target: Expression) -> str:
    """What an assignment names, or an argument reads: `train_length = …`, `config["train_length"] = …`."""
    if isinstance(target, facts.Subscript):
        return _text(target.index)
    return "" if isinstance(target, facts.Call) else last_identifier(target)


def number(expression: Expression) -> int | None:
    """The whole number that an expression of constants is: `1024`, `4 * 256`, `2 ** 10`."""
    if isinstance(expression, facts.Constant):
        value = expression.value
        if isinstance(value, str) and value.isdecimal():  # `add_argument(..., default="256")`
            return int(value)
        return value if isinstance(value, int) and not isinstance(value, bool) else None
    if isinstance(expression, facts.Call):  # `field(default=1024)`, `Field(1024)`
        given = dict(expression.keywords).get("default")
        return number(given) if given is not None else None
    if not isinstance(expression, facts.Operation) or len(expression.operands) != 2:
        return None
    left, right = (number(operand) for operand in expression.operands)
    if left is None or right is None or abs(left) > LONGEST or abs(right) > LONGEST:
        return None
    if expression.operator == "**":
        return left**right if 0 <= right < 32 and abs(left) < 1000 else None
    return {"*": left * right, "+": left + right, "-": left - right}.get(expression.operator)
