"""Statements: control flow over sets of worlds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clipcheck import blocks, facts
from clipcheck.facts import Expression, Statement
from clipcheck.findings import Site
from clipcheck.flow.bounds import asks_for_a_bound, is_bound
from clipcheck.flow.freezing import Freezing
from clipcheck.flow.inplace import GRADIENTS
from clipcheck.flow.names import is_one_model
from clipcheck.flow.render import guard_of, last_identifier, names_in, render
from clipcheck.flow.values import (
    Accumulation,
    ClassRef,
    Elements,
    Frame,
    FunctionRef,
    Gradient,
    Items,
    Literal,
    Object,
    Option,
    Parameters,
    Table,
    Tensor,
    Unknown,
    Value,
    choices,
    gradients_in,
    kept_pair,
    literal,
    several,
)
from clipcheck.flow.worlds import ANY, Guard, Worlds, forget, guarded, merge, split, usual_outcome
from clipcheck.record import replace

MAX_ROUNDS = 5  # of a loop, until its worlds are stable
MAX_UNROLLED = 6  # members of a known sequence that a loop is run for one by one


class Statements(Freezing):
    """Runs statements. A block ends by falling through (""), by a jump in a loop, or by leaving."""

    def run_block(self, frame: Frame, body: tuple[Statement, ...]) -> str:
        for statement in body:
            if not self.worlds:
                return "leave"
            self.spend()
            handler = _HANDLERS.get(type(statement))
            if handler is None:
                continue
            self.statement = (frame.filename, statement.span)
            ended = handler(self, frame, statement)
            if ended:
                return str(ended)
        return ""

    # -- simple statements ---------------------------------------------------------------------------

    def run_evaluate(self, frame: Frame, statement: facts.Evaluate) -> str:
        self.discarded = statement.value
        self.evaluate(frame, statement.value)
        return ""

    def run_assign(self, frame: Frame, statement: facts.Assign) -> str:
        value = self.evaluate(frame, statement.value)
        if statement.annotation is not None and isinstance(value, Unknown):
            value = self._annotated(frame, statement.annotation, value)
        if isinstance(value, Option):
            value = self._as_given(value)
        for target in statement.targets:
            if self.assigns_gradient(frame, target, statement.value):
                continue
            if self.loop_depth:
                self.notice_recurrence(frame, target, statement.value, value)
            self.assign(frame, target, value)
        return ""

    def _as_given(self, option: Option) -> Option:
        """An option where a test of it has failed for its default: it is what the user says (`if args.clip is not None:`)."""
        written = option.written
        if written is None or option.default is None:
            return option
        asked = [
            any(guard.unusual and written in guard.settings for guard in world.guards)
            for world in self.worlds
        ]
        return replace(option, default=None) if asked and all(asked) else option

    def _annotated(self, frame: Frame, annotation: Expression, value: Unknown) -> Value:
        for choice in choices(self.evaluate(frame, annotation)):
            made = self._of_class(choice, value.key, self.site())
            if made is not None:
                return made
        return value

    def run_declare(self, frame: Frame, statement: facts.Declare) -> str:
        return ""

    def run_augment(self, frame: Frame, statement: facts.Augment) -> str:
        before = self.evaluate(frame, statement.target)
        added = self.evaluate(frame, statement.value)
        if isinstance(before, Parameters) and before.gradient:
            self.changed_gradient(before, statement.operator, statement.value)
            return ""
        operation = facts.Operation(
            statement.operator, (statement.target, statement.value), statement.span.row
        )
        changed = self.of_gradients(operation, [before, added])
        if changed is not None:
            self.assign(frame, statement.target, changed)
            return ""
        result: Value
        if isinstance(before, Items) and isinstance(added, Items):
            fresh = tuple(value for value in added.members if value not in before.members)
            result = Items((before.members + fresh)[:64])
        elif isinstance(before, Parameters) and isinstance(added, Parameters):
            result = Items((before, added))
        else:
            result = self.tensor_of((before, added)) or self.unknown(frame, statement.target)
        self.assign(frame, statement.target, result)
        return ""

    def run_return(self, frame: Frame, statement: facts.Return) -> str:
        value = self.evaluate(frame, statement.value) if statement.value is not None else Literal(None)
        self.returns.append((value, self.worlds))
        self.worlds = ()
        return "leave"

    def run_raise(self, frame: Frame, statement: facts.Raise) -> str:
        if self.raised:
            self.raised[-1] = merge([self.raised[-1], self.worlds])
        self.worlds = ()
        return "leave"

    def run_break(self, frame: Frame, statement: facts.Break) -> str:
        if self.loops:
            self.loops[-1][0].append(self.worlds)
        self.worlds = ()
        return "jump"

    def run_continue(self, frame: Frame, statement: facts.Continue) -> str:
        if self.loops:
            self.loops[-1][1].append(self.worlds)
        self.worlds = ()
        return "jump"

    def run_scope(self, frame: Frame, statement: facts.Scope) -> str:
        frame.shared.update(statement.names)
        return ""

    # -- definitions and imports ---------------------------------------------------------------------

    def run_definition(self, frame: Frame, definition: facts.Function) -> str:
        function = FunctionRef(frame.filename, definition, frame, frame.owner)
        frame.locals[definition.name] = function
        if definition.decorators and self.following:
            decorators = [self.evaluate(frame, decorator) for decorator in definition.decorators]
            frame.locals[definition.name] = self.decorated(function, decorators)
        frame.nested.append(function)
        return ""

    def run_class(self, frame: Frame, definition: facts.Class) -> str:
        inner = Frame(frame.filename, definition.name, frame, frame.globals)
        cls = ClassRef(frame.filename, definition, inner)
        shadowed = frame.locals.get(definition.name)
        if shadowed is not None:
            inner.shadowed = shadowed
        frame.locals[definition.name] = cls
        statement, following = self.statement, self.following
        self.following = False
        worlds = self.worlds
        for part in definition.body:
            self.statement = (frame.filename, part.span)
            if isinstance(part, facts.Function):
                inner.locals[part.name] = FunctionRef(frame.filename, part, frame, cls)
            else:
                self.run_block(inner, (part,))
        self.statement, self.following, self.worlds = statement, following, worlds
        return ""

    def run_import(self, frame: Frame, statement: facts.Import) -> str:
        self.bind_import(frame, statement)
        return ""

    def bind_import(self, frame: Frame, statement: facts.Import) -> None:
        raise NotImplementedError

    # -- assignment ----------------------------------------------------------------------------------

    def assign(self, frame: Frame, target: Expression, value: Value) -> None:
        """Bind a value to a name, an attribute, an entry, or a tuple of such."""
        if isinstance(target, facts.Name):
            self._bind(frame, target.id, value)
        elif isinstance(target, facts.Collection):
            self._unpack(frame, target, value)
        elif isinstance(target, facts.Starred):
            self.assign(frame, target.value, value if isinstance(value, Items) else Elements(value))
        elif isinstance(target, facts.Attribute):
            self._assign_attribute(frame, target, value)
        elif isinstance(target, facts.Subscript):
            self._assign_entry(frame, target, value)

    def _bind(self, frame: Frame, name: str, value: Value) -> None:
        self.worlds = forget(self.worlds, name)
        scope = frame
        if name in frame.shared:
            scope = (frame.parent.find(name) if frame.parent is not None else None) or frame.globals
        scope.locals[name] = value

    def _unpack(self, frame: Frame, target: facts.Collection, value: Value) -> None:
        members = {id(one): _dealt(target.items, one) for one in choices(value) if isinstance(one, Items)}
        for number, item in enumerate(target.items):
            parts: list[Value] = []
            for choice in choices(value):
                dealt = members.get(id(choice))
                if dealt is not None:
                    parts.append(dealt[number])
                elif isinstance(choice, Object) and (method := self.method_at(choice, number)):
                    parts.append(method)
                elif number == 0 and is_one_model(choice):
                    parts.append(choice)
                elif isinstance(choice, (Gradient, Tensor, Object)):
                    parts.append(
                        choice if not isinstance(choice, Object) else Unknown(f"{choice.key}[{number}]")
                    )
                elif isinstance(choice, Elements):
                    parts.append(choice.member)
                elif isinstance(choice, Parameters):
                    parts.append(replace(choice, part=True, iterator=""))
                elif isinstance(choice, Unknown):
                    parts.append(Unknown(f"{choice.key}[{number}]", choice.holds))
                else:
                    parts.append(self.unknown(frame, item, render(item)))
            self.assign(frame, item, several(parts))

    def _assign_attribute(self, frame: Frame, target: facts.Attribute, value: Value) -> None:
        self.worlds = forget(self.worlds, "." + target.attr)
        for owner in choices(self.evaluate(frame, target.value)):
            if isinstance(owner, Object):
                known = owner.attributes.get(target.attr)
                replaceable = known is None or isinstance(known, (Literal, Unknown))
                if known is None or replaceable or self._derived(value, known):
                    owner.attributes[target.attr] = value
                else:
                    owner.attributes[target.attr] = several((known, value))
                self.inside.clear()
            elif isinstance(owner, Table):
                self.assign(frame, target.value, owner.having(target.attr, value))
            elif target.attr in GRADIENTS and self.following and not isinstance(value, Literal):
                self.replaced_by_hand(self.parameters_in(owner))
            elif target.attr == "data" and isinstance(owner, Parameters):
                self.overwrite(owner, value)

    def _derived(self, value: Value, known: Value | None) -> bool:
        """Whether a new value contains the old one, as after `self.model = DDP(self.model)`."""
        return known is not None and known in choices(value)

    def _assign_entry(self, frame: Frame, target: facts.Subscript, value: Value) -> None:
        owner = self.evaluate(frame, target.value)
        index = self.evaluate(frame, target.index)
        tables = [choice for choice in choices(owner) if isinstance(choice, Table)]
        if isinstance(owner, Parameters) and owner.gradient:
            self.overwrite(owner, value)
        elif tables:  # where a dict has grown on one of two paths, the fuller one goes on
            table = max(tables, key=lambda one: len(one.entries))
            key = str(index.value) if isinstance(index, Literal) else ""
            self.assign(frame, _entry_of(target.value), table.having(key, value))
        elif isinstance(owner, Object) and isinstance(index, Literal):
            owner.attributes[str(index.value)] = value
        elif any(gradients_in(owner)) or any(gradients_in(value)):
            self.assign(frame, target.value, self.with_entry(owner, value))
        elif (pair := kept_pair(owner)) is not None and isinstance(literal(index), str):
            kept = Items((several((pair[0], index)), several((pair[1], value))))
            self.assign(frame, _entry_of(target.value), Elements(kept))

    # -- control flow --------------------------------------------------------------------------------

    def test(self, frame: Frame, expression: Expression) -> tuple[Worlds, Worlds]:
        """The worlds in which a condition holds, and those in which it does not."""
        if isinstance(expression, facts.Operation) and expression.operator == "not":
            true, false = self.test(frame, expression.operands[0])
            return false, true
        if isinstance(expression, facts.Operation) and expression.operator in ("and", "or"):
            return self._test_once(frame, expression)
        if isinstance(expression, facts.Attribute) and expression.attr in self.knowledge.assumed:
            return ((), self.worlds) if self.waiting else (self.worlds, ())
        if _asks_for_gradient(expression):  # parameters without a gradient need no clipping
            return self.worlds, ()
        value = self.evaluate(frame, expression)
        truth = self.truth(value)
        if isinstance(value, Option) and self._making():  # the model that the program usually trains
            truth = self.usual_truth(value)
            if truth is not None:
                return (self.worlds, ()) if truth else ((), self.worlds)
        if truth is not None and self._settled(frame, expression, value):
            return (self.worlds, ()) if truth else ((), self.worlds)
        key, positive, names, asks = self._written(frame, expression)
        usual = self.usual_truth(value)
        if usual is not None and not positive:
            usual = not usual
        settings = self.settings_in(frame, expression, value) if usual is not None else ()
        true, false = split(self.worlds, f"{frame.label}:{key}", names, usual, settings, asks=asks)
        return (true, false) if positive else (false, true)

    def _written(self, frame: Frame, expression: Expression) -> tuple[str, bool, frozenset[str], bool]:
        """A test as the key of a guard, its sense, the names in it, and whether it asks for what keeps a clip waiting.

        All of it is found once, however often the test is met.
        """
        known = self.tests.get(id(expression))
        if known is None:
            key, sense = guard_of(expression)
            asks = self.knowledge.waits(f"{frame.label}:{key}")  # the name of a function says it as well
            asks = asks or (
                self._clips_here(frame) and asks_for_a_bound(expression, self.here(), self.knowledge.hinted)
            )
            known = self.tests[id(expression)] = (expression, key, sense, names_in(expression), asks)
        return known[1:]

    def _clips_here(self, frame: Frame) -> bool:
        """Whether what is run calls anything that reads like a clip, or changes a tensor in place."""
        module = None if self.stack else self.project.facts(frame.filename)
        calls = self.stack[-1].definition.calls if self.stack else module.calls if module else frozenset()
        clips = self.knowledge.among("clip-call", calls)
        return bool(clips) or any(name.endswith("_") and not name.startswith("_") for name in calls)

    def _settled(self, frame: Frame, expression: Expression, value: Value) -> bool:
        """Whether a condition goes one way only: a constant that has a name is a setting, not a fact."""
        names = self._written(frame, expression)[2]
        if not names or "__name__" in names:
            return True
        if not isinstance(value, Literal):
            return True
        if self._given(names):
            return True
        asked: Expression | None = None
        if isinstance(expression, facts.Operation) and expression.operator in ("is", "is not"):
            asked = expression.operands[0]
        elif isinstance(expression, facts.Call) and last_identifier(expression.function) == "isinstance":
            asked = next(iter(expression.arguments), None)
        operand = self.evaluate(frame, asked) if asked is not None else None
        return isinstance(operand, (Object, FunctionRef, Items, Table, Elements, Parameters, Gradient))

    def _given(self, names: frozenset[str]) -> bool:
        """Whether a model is being made and these are what its maker was given: `LSTM if kind == "lstm"`."""
        return self._making() and names <= {one.name for one in self.stack[-1].definition.parameters}

    def _making(self) -> bool:
        """Whether a function is run for what it makes, and not for what it does to gradients."""
        return bool(self.stack) and (not self.following or self.stack[-1].definition.name == "__init__")

    def _test_once(self, frame: Frame, expression: facts.Operation) -> tuple[Worlds, Worlds]:
        """A compound condition: its parts are tested, and its outcome is kept as a guard of its own."""
        text, _, names, asks = self._written(frame, expression)
        key = f"{frame.label}:{text}"
        known = {world: world.decided(key) for world in self.worlds}
        open_ = tuple(world for world in self.worlds if known[world] is None)
        self.worlds = open_
        true, false = self._test_all(frame, expression) if open_ else ((), ())
        usual, settings = usual_outcome(open_, true, false)
        asked = asks and usual is None
        held = tuple(world for world, outcome in known.items() if outcome is True)
        failed = tuple(world for world, outcome in known.items() if outcome is False)
        return (
            merge([held, guarded(true, Guard(key, names, True, usual, settings, open=asked))]),
            merge([failed, guarded(false, Guard(key, names, False, usual, settings, open=asked))]),
        )

    def _test_all(self, frame: Frame, expression: facts.Operation) -> tuple[Worlds, Worlds]:
        conjunction = expression.operator == "and"
        decided: list[Worlds] = []
        for operand in expression.operands:
            if not self.worlds:
                break
            true, false = self.test(frame, operand)
            decided.append(false if conjunction else true)
            self.worlds = true if conjunction else false
        rest, ended = self.worlds, merge(decided)
        return (rest, ended) if conjunction else (ended, rest)

    def run_branch(self, frame: Frame, statement: facts.Branch) -> str:
        self.statement = (frame.filename, statement.span)
        if id(statement) not in self.branches:
            asked, body = _asked_at_once(statement)
            bound = not statement.orelse and is_bound(asked, body, self.here(), self.knowledge.hinted)
            self.branches[id(statement)] = (statement, asked, body, bound, _passes_over(asked, body))
        _, asked, body, bound, passes = self.branches[id(statement)]
        if passes:
            return self.run_block(frame, statement.orelse)
        if bound and self.usual_truth(self.evaluate(frame, asked)) is None:
            return self.run_block(frame, body)  # a norm within its bound is clipped as it is
        if (
            frame.defaulted
            and (taken := self._by_default(frame, asked, (statement.orelse, body))) is not None
        ):
            return self.run_block(frame, taken)
        true, false = self.test(frame, asked)
        return self._fork(frame, [(true, body), (false, statement.orelse)])

    def _by_default(
        self, frame: Frame, test: Expression, sides: tuple[facts.Block, facts.Block]
    ) -> facts.Block | None:
        """The side that a call takes which leaves to its default what other calls give: `if train: … optimizer.step()`.

        Where the other side takes no step, the default is a setting that somebody may change.
        """
        names = self._written(frame, test)[2]
        truth = self.truth(self.evaluate(frame, test)) if names and names <= frame.defaulted else None
        if truth is None:
            return None
        steps = self.knowledge.methods_of("step")
        met = (
            last_identifier(node) for node in blocks.walk(sides[not truth]) if isinstance(node, facts.Call)
        )
        return sides[truth] if not steps.isdisjoint(met) else None

    def _fork(self, frame: Frame, branches: list[tuple[Worlds, tuple[Statement, ...]]]) -> str:
        """Run alternatives from their own worlds, and join the worlds and the names behind them."""
        before = frame.locals
        kept: list[dict[str, Value]] = []
        after: list[Worlds] = []
        ends: set[str] = set()
        for worlds, body in branches:
            if not worlds:
                continue
            self.worlds, frame.locals = worlds, dict(before)
            ended = self.run_block(frame, body)
            ends.add(ended)
            after.append(self.worlds)
            if ended != "leave":
                kept.append(frame.locals)
        self.worlds = merge(after)
        frame.locals = _joined(kept) if kept else before
        if self.worlds:
            return ""
        return "jump" if "jump" in ends else "leave"

    def run_match(self, frame: Frame, statement: facts.Match) -> str:
        self.evaluate(frame, statement.subject)
        branches = [(self.worlds, body) for body in statement.cases]
        if not statement.exhaustive:
            branches.append((self.worlds, ()))
        self.alternatives += 1
        ended = self._fork(frame, branches)
        self.alternatives -= 1
        return ended

    def run_for(self, frame: Frame, statement: facts.For) -> str:
        source = self.evaluate(frame, statement.source)
        count = literal(self.length(source))
        if isinstance(source, Parameters) or self.sightings.frozen:
            self.notice_freezing(frame, statement, source)
        times = self.multiplicity
        if not self.following or _collects(statement.body):  # a training loop makes no model deeper
            self.multiplicity *= count if isinstance(count, int) and 0 < count < 1000 else 1
        if isinstance(source, Items) and 0 < len(source.members) <= MAX_UNROLLED:
            broken = self._unrolled(frame, statement, source)
        else:
            element = self.element(frame, source, statement.source)

            def enter() -> Worlds:
                self.assign(frame, statement.target, element)
                return self.worlds

            groups = last_identifier(statement.source) == "param_groups"
            known = count > 0 if isinstance(count, int) else None
            runs = groups or _never_empty(source) or known
            broken = self._loop(frame, statement, enter, runs=runs)
            if not broken:
                self.use_up(source)
        self.multiplicity = times
        return self._ended(frame, statement.orelse, broken)

    def _unrolled(self, frame: Frame, statement: facts.For, source: Items) -> list[Worlds]:
        """A loop over a list whose members are known: once for each; the ways out of it by `break`."""
        done: list[Worlds] = []
        turning, self.turning = self.turning, names_in(statement.target)
        unrolled, self.unrolled = self.unrolled, self.turning
        self.loop_depth += 1
        for member in source.members:
            breaks: list[Worlds] = []
            continues: list[Worlds] = []
            self.loops.append((breaks, continues))
            self.assign(frame, statement.target, member)
            self.run_block(frame, statement.body)
            self.loops.pop()
            done.extend(breaks)
            self.worlds = merge([self.worlds, *continues])
        self.loop_depth -= 1
        self.turning, self.unrolled = turning, unrolled
        return done

    def run_while(self, frame: Frame, statement: facts.While) -> str:
        exits: list[Worlds] = []

        def enter() -> Worlds:
            true, false = self.test(frame, statement.test)
            exits.append(false)
            return true

        broken = self._loop(frame, statement, enter, exits)
        return self._ended(frame, statement.orelse, broken)

    def _loop(
        self,
        frame: Frame,
        statement: facts.For | facts.While,
        enter: Callable[[], Worlds],
        exits: list[Worlds] | None = None,
        runs: bool | None = None,
    ) -> list[Worlds]:
        """Run a loop's body until its worlds are stable; the ways out of it by `break` are returned.

        `runs`: whether it has a turn, where that is known. Of a `for` loop that clips it is taken to be so.
        """
        out: list[Worlds] = [] if exits is not None or runs else [self.worlds]
        broken: list[Worlds] = []
        seen: set[Any] = set()
        before, entered = dict(frame.locals), self.worlds
        turning, self.turning = self.turning, _turning(statement)
        unrolled, self.unrolled = self.unrolled, frozenset()
        self.loop_depth += 1
        for _ in range(MAX_ROUNDS if self.following else 1):
            breaks: list[Worlds] = []
            continues: list[Worlds] = []
            self.statement = (frame.filename, statement.span)
            self.worlds = enter()
            if not self.worlds:
                break
            self.loops.append((breaks, continues))
            self.run_block(frame, statement.body)
            self.loops.pop()
            frame.locals = _joined([before, frame.locals])
            self.worlds = merge([self.worlds, *continues])
            broken.extend(breaks)
            if exits is None:
                out.append(self.worlds)
            states = frozenset(self.worlds)
            if not self.worlds or states in seen:
                break
            seen.add(states)
        if exits is not None and self.worlds:
            self.statement = (frame.filename, statement.span)
            enter()
        self.loop_depth -= 1
        self.turning, self.unrolled = turning, unrolled
        if exits is None and runs is None and not _clips_in(entered) >= _clips_in(sum(out[1:], ())):
            del out[0]  # nobody writes a loop over nothing to clip in it
        self.worlds = merge([*out, *(exits or [])])
        return broken

    def _ended(self, frame: Frame, orelse: tuple[Statement, ...], broken: list[Worlds]) -> str:
        """Behind a loop: its `else` runs unless it was broken off, then all ways meet."""
        if orelse and self.worlds:
            self.run_block(frame, orelse)
        self.worlds = merge([self.worlds, *broken])
        return "" if self.worlds else "leave"

    def run_with(self, frame: Frame, statement: facts.With) -> str:
        accumulation: Accumulation | None = None
        for context, target in statement.items:
            value = self.evaluate(frame, context)
            if target is not None:
                self.assign(frame, target, value)
            if value.__class__ is Accumulation:
                accumulation = value
        if accumulation is None or not self.following:
            return self.run_block(frame, statement.body)
        return self.summing(accumulation, lambda: self.run_block(frame, statement.body))

    def run_try(self, frame: Frame, statement: facts.Try) -> str:
        before, names = self.worlds, dict(frame.locals)
        self.raised.append(before)
        ended = self.run_block(frame, statement.body)
        failed = merge([self.raised.pop(), self.worlds])
        if not ended and statement.orelse:
            ended = self.run_block(frame, statement.orelse)
        after = [self.worlds]
        kept = [frame.locals] if ended != "leave" else []
        for handler in statement.handlers:
            self.worlds, frame.locals = failed, _joined([names, frame.locals])
            if self.run_block(frame, handler) != "leave":
                kept.append(frame.locals)
            after.append(self.worlds)
        self.worlds = merge(after)
        frame.locals = _joined(kept) if kept else frame.locals
        if statement.final and self.worlds:
            return self.run_block(frame, statement.final)
        return "" if self.worlds else (ended or "leave")


def _turning(loop: facts.For | facts.While) -> frozenset[str]:
    """The names that another turn of a loop gives another value."""
    return names_in(loop.target) if isinstance(loop, facts.For) else frozenset()


def _clips_in(worlds: Worlds) -> frozenset[Site]:
    """The clips that act on any gradients, on any path; on those of optimizers not met where none was."""
    met = any(key != ANY for world in worlds for key, _ in world.states)
    states = [state for world in worlds for key, state in world.states if key != ANY or not met]
    return frozenset(site for state in states for site in state.clips)


def _never_empty(source: Value) -> bool:
    """Parameters, their gradients, pairs with them, and an optimizer's groups of them: there is always one."""
    if any(gradients_in(source)):
        return True
    if isinstance(source, Elements) and isinstance(source.member, Items):
        return any(isinstance(one, Parameters) for one in source.member.members)
    if isinstance(source, Elements) and isinstance(source.member, Table):
        return source.member.get("params") is not None
    return isinstance(source, Parameters)


def _asks_for_gradient(expression: Expression) -> bool:
    """`p.grad is not None`."""
    if not isinstance(expression, facts.Operation) or expression.operator != "is not":
        return False
    left, right = expression.operands
    nothing = isinstance(right, facts.Constant) and right.value is None
    return nothing and isinstance(left, facts.Attribute) and left.attr in GRADIENTS


def _passes_over(asked: Expression, body: tuple[Statement, ...]) -> bool:
    """`if p.grad is not None: return`: what comes then gives parameters their first gradient."""
    leaves = len(body) == 1 and (
        isinstance(body[0], (facts.Break, facts.Continue))
        or (isinstance(body[0], facts.Return) and body[0].value is None)
    )
    return leaves and any(map(_asks_for_gradient, _conjuncts(asked)))


def _asked_at_once(statement: facts.Branch) -> tuple[Expression, tuple[Statement, ...]]:
    """`if a:` around nothing but `if b:` asks for `a and b`, and goes with another that does.

    Apart, the two ways on which it does not hold would meet, and forget what they know.
    """
    asked, body, orelse = statement.test, statement.body, statement.orelse
    while not orelse and len(body) == 1 and isinstance(inner := body[0], facts.Branch) and not inner.orelse:
        if not _is_plain(inner.test):  # what is called there happens at a row of its own
            break
        parts = (*_conjuncts(asked), *_conjuncts(inner.test))
        asked, body = facts.Operation("and", parts, statement.span.row), inner.body
    return asked, body


def _conjuncts(test: Expression) -> tuple[Expression, ...]:
    whole = isinstance(test, facts.Operation) and test.operator == "and"
    return test.operands if whole and isinstance(test, facts.Operation) else (test,)


def _is_plain(test: Expression) -> bool:
    """Whether a test asks for names, attributes and constants alone."""
    if isinstance(test, facts.Operation):
        return all(map(_is_plain, test.operands))
    if isinstance(test, facts.Attribute):
        return _is_plain(test.value)
    return isinstance(test, (facts.Name, facts.Constant))


def _dealt(targets: tuple[Expression, ...], value: Items) -> tuple[Value, ...] | None:
    """The members for each of some targets, of which one may take several (`model, *rest`); None if they do not fit."""
    starred = [number for number, target in enumerate(targets) if isinstance(target, facts.Starred)]
    more = len(value.members) - len(targets)
    if not starred:
        return value.members if not more else None
    if more < -1 or len(starred) > 1:
        return None
    start, end = starred[0], starred[0] + more + 1
    return (*value.members[:start], Items(value.members[start:end]), *value.members[end:])


def _entry_of(owner: Expression) -> Expression:
    """Where the dict behind `groups.setdefault(key, {})` is kept: `groups[key]`."""
    call = owner if isinstance(owner, facts.Call) and owner.arguments else None
    if call is not None and isinstance(call.function, facts.Attribute) and call.function.attr == "setdefault":
        return facts.Subscript(call.function.value, call.arguments[0], call.row)
    return owner


def _collects(body: tuple[Statement, ...]) -> bool:
    """Whether a loop puts what it makes into a list."""
    return any(
        isinstance(statement, facts.Augment)
        or (
            isinstance(statement, facts.Evaluate)
            and isinstance(statement.value, facts.Call)
            and isinstance(statement.value.function, facts.Attribute)
            and statement.value.function.attr in ("append", "extend", "insert", "add_module")
        )
        for statement in body
    )


def _joined(scopes: list[dict[str, Value]]) -> dict[str, Value]:
    """The names behind several paths: where the values differ, one of them."""
    out = dict(scopes[0])
    for scope in scopes[1:]:
        for name, value in scope.items():
            if name not in out:
                out[name] = value
            elif out[name] is not value and out[name] != value:
                out[name] = several((out[name], value))
    return out


_HANDLERS: dict[type, Callable[[Any, Frame, Any], str]] = {
    facts.Evaluate: Statements.run_evaluate, facts.Assign: Statements.run_assign,
    facts.Declare: Statements.run_declare, facts.Augment: Statements.run_augment,
    facts.Branch: Statements.run_branch, facts.For: Statements.run_for, facts.While: Statements.run_while,
    facts.With: Statements.run_with, facts.Try: Statements.run_try, facts.Match: Statements.run_match,
    facts.Return: Statements.run_return, facts.Raise: Statements.run_raise,
    facts.Break: Statements.run_break, facts.Continue: Statements.run_continue,
    facts.Scope: Statements.run_scope, facts.Import: Statements.run_import,
    facts.Function: Statements.run_definition, facts.Class: Statements.run_class,
}  # fmt: skip
