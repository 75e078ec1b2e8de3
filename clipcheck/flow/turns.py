"""Functions that a framework calls for every batch: the body of a loop that nobody in sight writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from clipcheck.flow.members import Members
from clipcheck.flow.values import Arguments, FunctionRef
from clipcheck.flow.worlds import World, forget

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

    def run_in_turns(self, function: FunctionRef) -> None:
        """Follow a function as such a body, as an entry of its own, unless it was followed before."""
        if not self.may_run_apart(function):
            return
        worlds, self.worlds = self.worlds, (World(),)
        try:
            self.in_turns(lambda: self.follow(function, Arguments(), None), (function,))
        finally:
            self.worlds = worlds
