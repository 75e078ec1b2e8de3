"""What a class computes by hand: recurrences, attention and residual connections in its methods.

All of it is read from the facts of one method at a time, by how values move between local names and
the modules on `self`. Where the movement is not plain, the answer is no.
"""

from __future__ import annotations

from collections.abc import Iterator

from clipcheck import facts
from clipcheck.facts import Expression, Function, Statement
from clipcheck.flow.render import children, last_identifier, names_in
from clipcheck.knowledge import Knowledge
from clipcheck.naming import words
from clipcheck.record import dataclass
from clipcheck.traverse import bound, expressions, inside, names, statements, targets


@dataclass(frozen=True, slots=True)
class Flow:
    """What reaches a value: states carried over, those of them that passed a weight, and whether input did."""

    carried: frozenset[str] = frozenset()
    weighted: frozenset[str] = frozenset()
    fed: bool = False

    def __or__(self, other: Flow) -> Flow:
        return Flow(self.carried | other.carried, self.weighted | other.weighted, self.fed or other.fed)


NOTHING = Flow()


class Reader:
    """Reads the methods of a class with the hints of the knowledge."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        computing = [(name, rule) for name, rule in knowledge.calls.items() if rule.event == "attention"]
        self._scans = frozenset(name.rpartition(".")[2] for name, rule in computing if rule.kind)
        self._attention = frozenset(name.rpartition(".")[2] for name, rule in computing if not rule.kind)

    # -- recurrence ----------------------------------------------------------------------------------

    def recurrence(self, function: Function) -> int | None:
        """The row at which a method computes its state from its state, over and over; None if it does not."""
        if not function.parameters:
            return None
        receiver = function.parameters[0].name
        for statement in statements(function.body, nested=False):
            if isinstance(statement, (facts.For, facts.While)):
                row = self._looped(statement, receiver)
                if row is not None:
                    return row
        return self._returned(function, receiver) if function.name == "forward" else None

    def _looped(self, loop: facts.For | facts.While, receiver: str) -> int | None:
        """`for x in inputs: h = f(x, h)` with the same f at every turn."""
        body = list(statements(loop.body, nested=False))
        states = {name for one in body for name in _assigned(one) if self._hidden(name)}
        if not states:
            return None
        environment = {name: Flow(frozenset({name})) for name in states}
        if isinstance(loop, facts.For):
            environment.update({name: Flow(fed=True) for name in bound(loop.target) if name not in states})
        for one in body:
            if isinstance(one, (facts.For, facts.Augment)):
                environment.update({name: Flow(fed=True) for name in targets(one) if name not in states})
        rows = self._run(loop.body, environment, receiver)
        carried = [
            rows[name] for name in states if name in environment[name].weighted and environment[name].fed
        ]
        return min(carried, default=None)

    def _returned(self, function: Function, receiver: str) -> int | None:
        """`forward(self, input, hidden)` that returns (output, hidden), the latter made from both by weights."""
        given = [parameter.name for parameter in function.parameters[1:]]
        if len(given) < 2 or self._hidden(given[0]):
            return None
        environment = {name: Flow(fed=True) for name in given}
        environment.update({name: Flow(frozenset({name})) for name in given[1:] if self._hidden(name)})
        rows = self._run(function.body, environment, receiver)
        for statement in statements(function.body, nested=False):
            if not isinstance(statement, facts.Return) or not isinstance(statement.value, facts.Collection):
                continue
            for item in statement.value.items[1:]:
                flow = self._flow(item, environment, receiver)
                last = last_identifier(item)
                alike = self._hidden(last) or any(state in last for state in flow.weighted)
                if flow.weighted and flow.fed and alike:
                    return max(
                        (rows[name] for name in names(item) if name in rows), default=statement.span.row
                    )
        return None

    def _run(
        self, body: tuple[Statement, ...], environment: dict[str, Flow], receiver: str
    ) -> dict[str, int]:
        """Run a block's assignments once, in order; the row at which each name was set last."""
        rows: dict[str, int] = {}
        certain = {id(statement) for statement in body}
        for statement in statements(body, nested=False):
            if not isinstance(statement, (facts.Assign, facts.Augment)):
                continue
            flow = self._flow(statement.value, environment, receiver)
            for name in _assigned(statement):
                replaced = isinstance(statement, facts.Assign) and id(statement) in certain
                environment[name] = flow if replaced else flow | environment.get(name, NOTHING)
                rows[name] = statement.span.row
        return rows

    def _flow(self, expression: Expression, environment: dict[str, Flow], receiver: str) -> Flow:
        if isinstance(expression, facts.Name):
            return environment.get(expression.id, NOTHING)
        if isinstance(expression, facts.Call):
            parts: tuple[Expression, ...] = (
                *expression.arguments,
                *(value for _, value in expression.keywords),
            )
            turns = self._turns(expression.function, environment)
            # The number of a layer in a stack is no input of it.
            flow = self._union(parts if turns else (expression.function, *parts), environment, receiver)
            called = last_identifier(expression.function)
            weightless = self._knowledge.hinted("weightless-layer", called)
            module = _on(expression.function, receiver) and not turns and not weightless
            product = self._knowledge.hinted("product", last_identifier(expression.function)) and any(
                _on(node, receiver) for part in parts for node in inside(part)
            )
            return _through(flow) if module or product else flow
        flow = self._union(_parts(expression), environment, receiver)
        if isinstance(expression, facts.Operation) and expression.operator == "@":
            return _through(flow) if any(_on(node, receiver) for node in inside(expression)) else flow
        return flow

    def _union(self, parts: tuple[Expression, ...], environment: dict[str, Flow], receiver: str) -> Flow:
        flow = NOTHING
        for part in parts:
            flow |= self._flow(part, environment, receiver)
        return flow

    def _turns(self, function: Expression, environment: dict[str, Flow]) -> bool:
        """Whether what is called differs from turn to turn: a stack of layers, not a recurrence."""
        return any(environment.get(name, NOTHING).fed for name in names(function))

    def _hidden(self, name: str) -> bool:
        return self._knowledge.hinted("hidden-state", name)

    # -- attention -----------------------------------------------------------------------------------

    def scan(self, function: Function) -> int | None:
        """The row at which a method hands the scan of a state space to a library."""
        if self._scans.isdisjoint(function.calls):
            return None
        for statement in statements(function.body):
            for expression in expressions(statement):
                for node in inside(expression):
                    if isinstance(node, facts.Call) and last_identifier(node.function) in self._scans:
                        return node.row
        return None

    def attention(self, function: Function) -> int | None:
        """The row at which a method computes attention: by its name, or as softmax(q @ k^T)."""
        named = self._attention & function.calls
        scored = any(self._knowledge.hinted("attention-score", call) for call in function.calls)
        if not named and not scored:
            return None
        made: dict[str, list[Expression]] = {}
        for statement in statements(function.body):
            if isinstance(statement, (facts.Assign, facts.Augment)):
                for name in targets(statement):
                    made.setdefault(name, []).append(statement.value)
        for statement in statements(function.body):
            for expression in expressions(statement):
                for node in inside(expression):
                    if not isinstance(node, facts.Call):
                        continue
                    called = last_identifier(node.function)
                    if called in named:
                        return node.row
                    if self._knowledge.hinted("attention-score", called) and self._scores(node, made):
                        return node.row
        return None

    def _scores(self, softmax: facts.Call, made: dict[str, list[Expression]]) -> bool:
        """Whether what a softmax is taken of comes from a product of queries and keys."""
        queue: list[Expression] = [softmax]
        seen: set[str] = set()
        while queue:
            for node in inside(queue.pop()):
                if isinstance(node, facts.Name) and node.id not in seen:
                    seen.add(node.id)
                    queue.extend(made.get(node.id, ()))
                elif self._is_score(node):
                    return True
        return False

    def _is_score(self, node: Expression) -> bool:
        operands: tuple[Expression, ...] = ()
        if isinstance(node, facts.Operation) and node.operator == "@":
            operands = node.operands
        elif isinstance(node, facts.Call):
            called = last_identifier(node.function)
            if self._knowledge.hinted("attention-product", called):
                owner = node.function.value if isinstance(node.function, facts.Attribute) else node.function
                operands = (owner, *node.arguments)
        read = {
            part.id if isinstance(part, facts.Name) else part.attr
            for operand in operands
            for part in inside(operand)
            if isinstance(part, (facts.Name, facts.Attribute))
        }
        asked = [name for name in read if self._knowledge.hinted("attention-operand", name)]
        turned = any(self._knowledge.hinted("transposed", name) for name in read)
        return len(asked) > 1 or (bool(asked) and turned)

    # -- residual connections ------------------------------------------------------------------------

    def residual(self, function: Function) -> bool:
        """Whether a method adds what went into a module to what came out: `x + self.f(x)`, `x += shortcut`."""
        if not function.parameters:
            return False
        receivers = frozenset({function.parameters[0].name, *_parts_of(function)})
        computed = {
            name
            for statement in statements(function.body, nested=False)
            if isinstance(statement, facts.Assign) and _computes(statement.value, receivers)
            for name in targets(statement)
        }
        for statement in statements(function.body, nested=False):
            pairs = [
                node.operands
                for expression in expressions(statement)
                for node in inside(expression)
                if isinstance(node, facts.Operation) and node.operator == "+"
            ]
            if isinstance(statement, facts.Augment) and statement.operator.rstrip("=") == "+":
                pairs.append((statement.target, statement.value))
            if any(_adds(pair, computed, receivers) for pair in pairs):
                return True
        return False

    # -- normalisation -------------------------------------------------------------------------------

    def normalises(self, function: Function) -> bool:
        """Whether a method divides what differs from a mean by its spread: `(x - x.mean()) / x.std()`."""
        hinted = self._knowledge.hinted
        if not all(any(hinted(hint, call) for call in function.calls) for hint in ("mean", "spread")):
            return False
        divided = (
            node.operands[0]
            for statement in statements(function.body)
            for expression in expressions(statement)
            for node in inside(expression)
            if isinstance(node, facts.Operation) and node.operator == "/"
        )
        return any(
            isinstance(node, facts.Operation) and node.operator == "-" and len(node.operands) == 2
            for part in divided
            for node in inside(part)
        )

    def made_norms(self, function: Function) -> Iterator[int]:
        """The rows at which a method makes what is called a normalisation: `norms.get(norm_type)(width)`."""
        hinted = self._knowledge.hinted
        for statement in statements(function.body):
            given = isinstance(statement, facts.Assign) and any(
                hinted("normalisation-name", last_identifier(target)) for target in statement.targets
            )
            for node in (node for expression in expressions(statement) for node in inside(expression)):
                if isinstance(node, facts.Call) and (
                    given
                    or any(
                        hinted("normalisation-name", words(name.lstrip(".")))
                        for name in names_in(node.function)
                    )
                ):
                    yield node.row


def _parts_of(function: Function) -> Iterator[str]:
    """The names that a method gives parts of its object: `for block in self.blocks`, `block = self.blocks[0]`."""
    receiver = function.parameters[0].name
    for statement in statements(function.body, nested=False):
        sources: list[Expression] = []
        if isinstance(statement, facts.For):
            sources += inside(statement.source)  # `enumerate(self.blocks)`
        elif isinstance(statement, facts.Assign):
            sources.append(statement.value)
        if any(_on(source, receiver) for source in sources):
            yield from targets(statement)


def _adds(pair: tuple[Expression, ...], computed: set[str], receivers: frozenset[str]) -> bool:
    """Whether the sum is of a plain name and of something a module computed."""
    if len(pair) != 2:
        return False
    plain = any(isinstance(operand, facts.Name) for operand in pair)
    made = any(
        _computes(operand, receivers) or (isinstance(operand, facts.Name) and operand.id in computed)
        for operand in pair
    )
    constant = any(isinstance(operand, facts.Constant) for operand in pair)
    return plain and made and not constant


def _computes(expression: Expression, receivers: frozenset[str]) -> bool:
    called = (node.function for node in inside(expression) if isinstance(node, facts.Call))
    return any(
        function.id in receivers
        if isinstance(function, facts.Name)
        else any(_on(function, receiver) for receiver in receivers)
        for function in called
    )


def _on(expression: Expression, receiver: str) -> bool:
    """Whether an expression is an attribute of `self`, however deep."""
    if not isinstance(expression, (facts.Attribute, facts.Subscript)):
        return False
    while isinstance(expression, (facts.Attribute, facts.Subscript)):
        expression = expression.value
    return isinstance(expression, facts.Name) and expression.id == receiver


def _through(flow: Flow) -> Flow:
    return Flow(flow.carried, flow.weighted | flow.carried, flow.fed)


def _parts(expression: Expression) -> tuple[Expression, ...]:
    if isinstance(expression, facts.Conditional):
        return (expression.body, expression.orelse)
    return () if isinstance(expression, facts.Call) else tuple(children(expression))


def _assigned(statement: Statement) -> Iterator[str]:
    """The names that a statement gives a value, those given an item among them: `h[i] = …`."""
    yield from targets(statement)
    for target in statement.targets if isinstance(statement, facts.Assign) else ():
        for part in target.items if isinstance(target, facts.Collection) else (target,):
            if isinstance(part, facts.Subscript) and isinstance(part.value, facts.Name):
                yield part.value.id
