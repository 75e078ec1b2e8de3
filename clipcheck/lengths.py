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
from clipcheck.traverse import expressions, inside, statements

SHORTEST = 32  # below, what is called so is a window or a chunk: `context_size=2` of a decoder
LONGEST = 10_000_000  # a "length" beyond this says that there is no limit

Length = tuple[int, Evidence]


def length_at(value: object, filename: str, row: int) -> Length | None:
    """A number as a sequence length with its evidence, if it can be one."""
    if isinstance(value, bool) or not isinstance(value, int) or not SHORTEST <= value < LONGEST:
        return None
    return value, Evidence(filename, row, f"sequence length {value} set here")


MAX_OF_ONE_FILE = 4  # different lengths


class Lengths:
    """The longest sequence that each file sets, or the settings it imports do; looked up once per file."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._known: dict[str, Length | None] = {}
        self._scanned: dict[str, Length | None] = {}
        self._trained: dict[str, Length | None] = {}

    def trained(self, filename: str) -> Length | None:
        """The longest sequence that a file cuts its data to: what a model is trained on, whatever it may take."""
        if filename not in self._trained:
            module = self._project.facts(filename)
            scan = _Scan(self._project.knowledge, filename)
            found = list(scan.data(module.body)) if module is not None else []
            self._trained[filename] = longest(without_catalogues(found))
        return self._trained[filename]

    def of(self, filename: str) -> Length | None:
        if filename not in self._known:
            found = [self._own(file) for file in (filename, *self._settings(filename))]
            self._known[filename] = longest([length for length in found if length is not None])
        return self._known[filename]

    def _own(self, filename: str) -> Length | None:
        if filename not in self._scanned:
            module = self._project.facts(filename)
            found = (
                [] if module is None else list(_Scan(self._project.knowledge, filename).block(module.body))
            )
            self._scanned[filename] = longest(without_catalogues(found))
        return self._scanned[filename]

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


def longest(found: list[Length]) -> Length | None:
    """The largest of some lengths, the first of equals."""
    return max(found, key=lambda length: length[0], default=None)


class _Scan:
    """One file's bindings of numbers to names that the knowledge calls sequence lengths."""

    def __init__(self, knowledge: Knowledge, filename: str) -> None:
        self._knowledge = knowledge
        self._filename = filename

    def block(self, body: tuple[facts.Statement, ...]) -> Iterator[Length]:
        """The lengths set in a block; tables of positions and calls that generate text are left out."""
        for statement in statements(body, nested=False):
            if isinstance(statement, facts.Class):
                if not self._knowledge.hinted("position-class", words(statement.name)):
                    yield from self.block(statement.body)
                continue
            if isinstance(statement, facts.Function):
                if not self._knowledge.hinted("generation-call", statement.name):
                    for parameter in statement.parameters:
                        yield from self._bound(parameter.name, parameter.default, statement.row)
                    yield from self.block(statement.body)
                continue
            if isinstance(statement, facts.Assign):
                for target in statement.targets:
                    yield from self._bound(last_identifier(target), statement.value, statement.span.row)
            for expression in expressions(statement):
                yield from self._within(expression)

    def data(self, body: tuple[facts.Statement, ...]) -> Iterator[Length]:
        """The lengths that data are made with: `make_loader(text, max_length=256)`, `"train_context_length": 256`."""
        for statement in statements(body):
            if isinstance(statement, facts.Assign):
                for target in statement.targets:
                    yield from self._trained(_name_of(target), statement.value, statement.span.row)
            for node in (node for expression in expressions(statement) for node in inside(expression)):
                if isinstance(node, facts.Call):
                    yield from self._of_data(node)
                elif isinstance(node, facts.Mapping):
                    for key, value in node.items:
                        yield from self._trained(_text(key), value, node.row)

    def _of_data(self, call: facts.Call) -> Iterator[Length]:
        called = words(last_identifier(call.function))
        hinted = self._knowledge.hinted
        if hinted("data-call", called) and not hinted("generation-call", called):
            for name, value in call.keywords:
                yield from self._bound(name or "", value, value.row)

    def _trained(self, name: str, value: Expression, row: int) -> Iterator[Length]:
        if self._knowledge.hinted("trained-length", name):
            yield from self._bound(name, value, row)

    def _within(self, expression: Expression) -> Iterator[Length]:
        for node in inside(expression):
            if isinstance(node, facts.Call):
                yield from self._call(node)
            elif isinstance(node, facts.Mapping):
                for key, value in node.items:
                    if isinstance(key, facts.Constant) and isinstance(key.value, str):
                        yield from self._bound(key.value, value, key.row)

    def _call(self, call: facts.Call) -> Iterator[Length]:
        called = words(last_identifier(call.function))
        if self._knowledge.hinted("generation-call", called) or self._knowledge.hinted(
            "position-class", called
        ):
            return
        for name, value in call.keywords:
            yield from self._bound(name or "", value, value.row)
        # An option or a setting with its default: `add_argument("--block-size", default=1024)`,
        # `DEFINE_integer("max_seq_length", 128)`, `config.get("max_length", 512)`.
        for position, argument in enumerate(call.arguments):
            if isinstance(argument, facts.Constant) and isinstance(argument.value, str):
                name = argument.value.lstrip("-").replace("-", "_")
                default = dict(call.keywords).get("default")
                following = call.arguments[position + 1 : position + 2]
                for value in (*following, *((default,) if default is not None else ())):
                    yield from self._bound(name, value, value.row)

    def _bound(self, name: str, value: Expression | None, row: int) -> Iterator[Length]:
        if name and value is not None and self._knowledge.hinted("sequence-length", name):
            length = length_at(number(value), self._filename, row)
            if length is not None:
                yield length


def _text(expression: Expression | None) -> str:
    """The string that an expression is, "" if it is none."""
    known = isinstance(expression, facts.Constant) and isinstance(expression.value, str)
    return str(expression.value) if known and isinstance(expression, facts.Constant) else ""


def _name_of(target: Expression) -> str:
    """What an assignment names: `train_length = …`, `config["train_length"] = …`."""
    return _text(target.index) if isinstance(target, facts.Subscript) else last_identifier(target)


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
