"""Functions that a framework calls for every batch: the body of a loop that nobody in sight writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from clipcheck import facts
from clipcheck.flow.members import Members
from clipcheck.flow.values import Accumulation, Arguments, Frame, FunctionRef, Object, Value, literal
from clipcheck.flow.worlds import Guard, World, Worlds, forget, merge
from clipcheck.knowledge import CallRule

TURNS = 2  # the second meets what the first has left: gradients that were clipped, and not yet used


class Turns(Members):
    """Runs such functions as often as it takes to see what one batch leaves to the next."""

    def in_turns(self, turn: Callable[[], object], functions: Iterable[FunctionRef]) -> None:
        """Run `turn` as the body of a loop; what these functions are handed is another value each time."""
        names = [one.name for function in functions for one in function.definition.parameters]
        for _ in range(TURNS):
            if not self.worlds:
                return
            for name in names:
                self.worlds = forget(self.worlds, name)
            turn()

    def accumulate(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value | None:
        """`with accelerator.accumulate(model):`, where it is known to sum up several batches."""
        if isinstance(owner, Object) and self.sums_up(owner):
            return Accumulation(owner.key, rule.framework)
        return None

    def sums_up(self, made: Object) -> bool:
        """Whether an object of a framework is known to sum up the gradients of several batches for a step."""
        slot = made.rule.accumulation if made.rule is not None else None
        if slot is None:
            return False
        given = made.attributes.get(slot[0]) or Arguments(made.arguments, made.keywords).get(slot)
        count = literal(given)
        return isinstance(count, int) and count > 1

    def summing(self, accumulation: Accumulation, turn: Callable[[], str]) -> str:
        """Run `turn` for the batches of an accumulation: those that no step uses yet, then the last one."""
        self.run_waiting(turn)
        outer, self.summed = self.summed, accumulation
        try:
            return turn()
        finally:
            self.summed = outer

    def run_waiting(self, turn: Callable[[], object]) -> None:
        """Run `turn` without its steps; of the ways through it, those that the program usually takes are kept.

        The others hang on conditions that need not hold for all batches: `if batch % 4 == 0:` may ask for the last.
        """
        for name in self.knowledge.assumed:  # true at the last batch before, and false now
            self.worlds = forget(self.worlds, f".{name}")
        before, loops, returns = self.worlds, self.loops, self.returns
        continues: list[Worlds] = []
        self.loops, self.returns, self.waiting = [*loops, ([], continues)], [], True
        try:
            turn()
        finally:
            self.loops, self.returns, self.waiting = loops, returns, False
        old = frozenset[Guard]().union(*(world.guards for world in before))
        ways = merge([self.worlds, *continues])
        usual = [way for way in ways if all(guard.usual is guard.taken for guard in way.guards - old)]
        # The next batch asks anew: what a test gave while the step waited says nothing of the last one.
        left = [World(way.states, way.guards & old, way.spent) for way in usual]
        self.worlds = merge([tuple(left)]) or before

    def run_in_turns(self, function: FunctionRef) -> None:
        """Follow a function as such a body, as an entry of its own, unless it was followed before."""

        def turn() -> None:
            self.follow(function, Arguments(), None)

        self.run_apart(function, lambda: self.in_turns(turn, (function,)))
