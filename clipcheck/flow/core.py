"""The state of an abstract run, and the hooks between its parts.

The interpreter is built in layers, each a class on top of the one before: names and values (`names`),
expressions, calls, events, statements. This bottom layer holds what they share.
"""

from __future__ import annotations

import zlib

from clipcheck import facts
from clipcheck.facts import Expression, Statement
from clipcheck.findings import Evidence, Site, Span
from clipcheck.flow.records import Running, Sightings, Told
from clipcheck.flow.values import Accumulation, Arguments, Frame, FunctionRef, Object, Option, Unknown, Value
from clipcheck.flow.worlds import Guard, Worlds, merge
from clipcheck.knowledge import Knowledge
from clipcheck.project import Project

MAX_DEPTH = 14  # calls inside calls
VALUE_DEPTH = 7  # the same, for calls followed only for what they return
ENTRY_FUEL = 12_000  # statements followed from one entry point
VALUE_FUEL = 3_000  # statements followed for their values alone, from one entry point
MODEL_FUEL = 3_000  # further ones, for the constructors of models alone
SHORT_FUEL = 1_000  # the same for functions of one statement, which conditions are often made of: `exists(x)`
LOADING_FUEL = 100  # statements of functions followed for their values while one module is read
PATHS_A_PRICE = 8  # paths that a statement is followed on for the price of one more
LONGEST_KEY = 200
_DEFINITIONS = (facts.Function, facts.Class)


class OutOfFuel(Exception):
    """An entry point leads to more statements than are followed."""


class Core:
    """What every layer of the interpreter shares."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.knowledge: Knowledge = project.knowledge
        self.sightings = Sightings()
        self.worlds: Worlds = ()
        self.fuel = 0
        self.stack: list[FunctionRef] = []
        self.following = True  # whether events count; False while only a value is wanted
        self.statement: tuple[str, Span] = ("", Span(0, 0, 0, 0))
        self.entry_label = ""
        self.entry_file = ""
        self.modules: dict[str, Frame] = {}
        self.star_imports = 0  # run so far
        self.dotted = False  # whether some module was imported as `a.b` that is one of the project
        self.visited: set[int] = set()  # functions followed with their events (by id of their facts)
        self.notes: list[Evidence] = []  # recurrences and NaN checks met since the entry
        self.multiplicity = 1  # how often the loops around this place run, where that is known
        self.loop_depth = 0
        self.turning = frozenset[str]()  # the names that the innermost loop gives another value at each turn
        self.unrolled = frozenset[str]()  # those of them whose value is known in this turn
        self.sharded: set[str] = set()  # models that only their wrapper can clip rightly
        self.by_hand: set[str] = set()  # optimizers whose gradients the code changes by itself
        self.clipping_engine = ""  # a framework in play that may clip without being asked
        self.zeroed: set[str] = set()  # unknown objects whose zero_grad was called
        self.lineage: dict[int, list[Value]] = {}  # of classes, by the id of their facts
        self.loading = 0  # modules being read
        # The framework's object that ran the backward (clipping is its own affair), by its key and its framework;
        # both empty where nothing is known of it.
        self.engine: tuple[str, str] | None = None
        self.blamed: frozenset[str] = frozenset()  # the models that the last loss came from
        self.discarded: facts.Expression | None = None  # the expression whose value nobody uses
        self.value_fuel = VALUE_FUEL
        self.constructing = 0  # constructors of models around this place
        self.loading_fuel = LOADING_FUEL
        self.prepared: set[str] = set()  # optimizers whose step waits for the last batch of an accumulation
        self.waiting = False  # whether a batch is run that is not the last one
        self.summed: Accumulation | None = None  # the accumulation whose last batch is run
        self.known_values: dict[object, Value] = {}
        self.known_effects: dict[object, tuple[Value, Worlds]] = {}  # of functions followed with their events
        self.inside: dict[tuple[str, str], bool] = {}  # which model lies in which; void when the heap changes
        # Tests as guards have them, by the id of their facts, which are held here so that no other gets that id.
        self.tests: dict[int, tuple[Expression, str, bool, frozenset[str], bool]] = {}
        self.outside: dict[str, facts.Block] = {}  # what modules do outside of their functions, by file
        # As they are asked, whether that is a part of the clip, and whether it passes over gradients that there are.
        self.branches: dict[int, tuple[Statement, Expression, tuple[Statement, ...], bool, bool]] = {}
        # Parameters with a default that some call gives, by their function.
        self.overridden: set[tuple[int, str]] = set()
        self.frames: list[Frame] = []  # of the functions on the stack
        self.alternatives = 0  # how many choices lie between here and the statement, one of which is taken
        self.told: dict[str, Told] = self.sightings.told  # what is told how to clip, by the key of the object
        self.own: dict[str, list[Value]] = {}  # the optimizers that a model's own method makes, by its key
        self.given_back: dict[str, Value | None] = {}  # what that method returns
        self.trainer: Running | None = None  # whose run is being followed
        self.chain: list[str] = []  # where the calls on the stack were made
        self.conditions: list[Guard] = []  # of the conditional expressions around the one that is evaluated
        self.flags: dict[str, Option] = {}  # of the command line, by name
        self.stored: dict[tuple[str, str], Value] = {}  # configurations by their group and name
        self.returns: list[tuple[Value, Worlds]] = []
        self.raised: list[Worlds] = []
        self.loops: list[tuple[list[Worlds], list[Worlds]]] = []  # (breaks, continues) of each open loop

    # -- places --------------------------------------------------------------------------------------

    def site(self) -> Site:
        """The statement that is being run."""
        return Site(self.statement[0], self.statement[1])

    def place(self, frame: Frame, row: int) -> tuple[str, int]:
        return frame.filename, row

    def origin(self, frame: Frame, call: facts.Call) -> str:
        """The key of what a call makes: where it stands, and whose it is.

        In a method that is the instance and the way from its outermost method to here, however that was
        called; in a function it is where its last two callers stand.
        """
        way: list[str] = []
        receiver = None
        for number in range(len(self.stack) - 1, -1, -1):
            own = self.stack[number].receiver
            if receiver is None and len(way) == 2:
                break
            if receiver is None and isinstance(own, Object):
                receiver = own
            outside = not number or self.stack[number - 1].receiver is not receiver
            if receiver is not None and outside:
                way.append(receiver.key)
                break
            way.append(self.chain[number])
        suffix = "<".join(way)
        if len(suffix) > LONGEST_KEY:
            suffix = f"{suffix[:LONGEST_KEY]}#{zlib.crc32(suffix.encode()):x}"
        return f"{frame.filename}:{call.span.row}.{call.span.column}:{suffix}"

    def alike(self, keys: list[str]) -> None:
        """One variable holds one of these optimizers: what has happened to the first has happened to each."""
        for key in keys[1:] if self.following else ():
            self.worlds = merge([tuple(world.having(key, world.get(keys[0])) for world in self.worlds)])

    def unknown(self, frame: Frame, expression: Expression, text: str = "") -> Unknown:
        """A value for an expression that nothing explains; equal places give equal unknowns."""
        return Unknown(f"{frame.filename}:{expression.row}:{text or type(expression).__name__}")

    def spend(self) -> None:
        """Pay for a statement: on many paths it costs more."""
        if not self.following:
            self.value_fuel -= 1
            if self.loading and self.stack:
                self.loading_fuel -= 1
            return
        self.fuel -= 1 + len(self.worlds) // PATHS_A_PRICE
        if self.fuel < 0:
            raise OutOfFuel

    def here(self) -> facts.Block:
        """The body of the function that is run, or what a module does outside of its functions, which are not read for it."""
        if self.stack:
            return self.stack[-1].definition.body
        filename = self.statement[0]
        if filename not in self.outside:
            module = self.project.facts(filename)
            body = module.body if module is not None else ()
            self.outside[filename] = tuple(one for one in body if not isinstance(one, _DEFINITIONS))
        return self.outside[filename]

    # -- what the layers above provide ---------------------------------------------------------------

    def evaluate(self, frame: Frame, expression: Expression) -> Value:
        raise NotImplementedError

    def attribute(self, frame: Frame, owner: Value, name: str, expression: Expression) -> Value:
        raise NotImplementedError

    def apply(
        self, frame: Frame, function: Value, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        raise NotImplementedError

    def run_block(self, frame: Frame, body: tuple[Statement, ...]) -> str:
        raise NotImplementedError

    def assign(self, frame: Frame, target: Expression, value: Value) -> None:
        raise NotImplementedError

    def module_frame(self, filename: str) -> Frame | None:
        raise NotImplementedError
