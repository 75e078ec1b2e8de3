"""What the abstract run saw at each step and each clip: the material that the judges work on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from clipcheck.facts import Call, Constant, Expression
from clipcheck.findings import Evidence, Site, Span
from clipcheck.flow.values import Object, Option, Value
from clipcheck.flow.worlds import Guard
from clipcheck.knowledge import Clipping
from clipcheck.pins import Pin
from clipcheck.protocol import Gradients
from clipcheck.record import dataclass, field

MAX_PATHS = 64  # ways and contexts kept of one step or clip


@dataclass(frozen=True, slots=True)
class Path:
    """One way a step or clip was reached: the gradients there, and the guards on the way."""

    gradients: Gradients
    guards: frozenset[Guard]
    code: str  # the rule the event breaks on this path, "" for none

    @property
    def unusual(self) -> bool:
        return any(guard.unusual for guard in self.guards)


@dataclass(frozen=True, slots=True)
class Names:
    """How the code around a step could name what its fix needs (None where it cannot)."""

    optimizer: str | None
    parameters: str | None  # the parameters of all that the optimizer updates, as an expression
    scaler: str | None = None
    engine: str | None = None  # the object whose own method has to clip
    framework: str = ""  # of that object; "": the plain function clips
    gradients: str | None = None  # the gradients that the step is handed, where they are a value with a name
    maker: str = ""  # the framework that made those; "": gradients are attributes of the parameters


@dataclass(slots=True)
class StepContext:
    """One calling context of a step."""

    label: str  # the function or script that the run started from
    optimizer: Value
    models: tuple[Value, ...]  # what the optimizer updates, as far as it is known
    certain: bool  # whether `models` is all of it
    paths: list[Path]
    names: Names
    closure: Span | None = None  # the statement of the closure before which a clip belongs
    has_closure: bool = False
    entry: str = ""  # the file of that function or script
    loops: tuple[Evidence, ...] = ()  # recurrences and NaN checks met on the way
    reached: int = 0  # the row that `entry` has come to at its own level, if it is run as a script
    frozen: frozenset[str] = (
        frozenset()
    )  # the keys of models, and of parts of them, that are surely frozen here


@dataclass(slots=True)
class Told:
    """A call that tells a framework how to clip: the step behind it is the framework's own."""

    site: Site  # the statement of the call
    call: Call
    clipping: Clipping
    indirect: bool = False  # the arguments come from elsewhere (`Trainer.from_argparse_args(...)`)
    obstacle: str = ""  # why the argument cannot be written here
    doubt: str = ""  # why it is not certain that it can be
    name: str = ""  # the class of what the call makes, where the call does not say it
    settings_row: tuple[str, int] | None = (
        None  # the settings file that `**` hands over, and a row of its entries
    )
    value: Value | None = None  # of the clipping argument, where it has one
    optimizer: Expression | None = None  # what the call names as the optimizer
    parameters: str = ""  # an expression for what that updates
    argument: str = ""  # the name of that argument
    named: str = ""  # the class that a string in the call, or nothing there, stands for
    handed: str = ""  # the argument that takes an object of that class
    text: Constant | None = None  # the string
    fitted: list[Site] = field(default_factory=list)  # where the training is set going
    rows: list[tuple[str, int]] = field(default_factory=list)  # the same, by file and row of the called name
    inner: Told | None = None  # the call that has to be told in its place: what this one wraps
    default: bool | None = (
        None  # whether it clips where nothing is said; None: that hangs on a version not known
    )
    pin: Pin | None = None  # the version that decides so
    display: Site | None = None  # the dict of settings that would carry the argument
    source: tuple[str, int] | None = None  # the settings file that would, and the row to look at
    notes: list[Evidence] = field(
        default_factory=list
    )  # entries that look like the argument, and are not read

    def used(self, fitted: Site | None, row: tuple[str, int] | None = None) -> None:
        """Remember where a training is set going that is told by this call, by statement and by called name."""
        if fitted is not None and fitted not in self.fitted:
            self.fitted.append(fitted)
        if row is not None and row not in self.rows:
            self.rows.append(row)

    def __post_init__(self) -> None:
        if self.clipping.since is None:
            self.default = self.clipping.on_by_default


@dataclass(frozen=True, slots=True)
class Running:
    """The trainer whose run is being followed, and the value that it clips by."""

    made: Object
    told: Told
    value: Value | None
    manual: bool | None  # the model runs the step by itself


@dataclass(slots=True)
class Step:
    """An optimizer step: one statement, judged in all its contexts; `told` where a framework makes it."""

    site: Site
    call: Call
    contexts: list[StepContext] = field(default_factory=list)
    told: Told | None = None

    def met(self, context: StepContext) -> None:
        """Add what one calling context saw of the step to what was seen in that context before."""
        known = _kept(self.contexts, context)
        known.paths = list(dict.fromkeys([*known.paths, *context.paths]))[:MAX_PATHS]
        known.loops = tuple(dict.fromkeys([*known.loops, *context.loops]))
        known.frozen &= context.frozen


@dataclass(frozen=True, slots=True)
class Owned:
    """Why clipping is a framework's affair here, and what a call or an argument does in spite of that."""

    code: str  # the rule that says so
    harm: str  # what it does, as the rest of a sentence
    evidence: tuple[Evidence, ...] = ()
    own: str | None = None  # how the code around names the object whose own method clips
    kind: str = ""  # the framework of that method
    engine: str = ""  # the key of an engine whose settings would clip


@dataclass(slots=True)
class Conflict:
    """A call whose arguments a framework refuses or ignores, for what the program does elsewhere."""

    site: Site
    call: Call
    owned: Owned
    argument: str = ""  # what a fix sets, and to what
    value: str = ""
    models: tuple[Value, ...] = ()
    entry: str = ""


@dataclass(frozen=True, slots=True)
class Summed:
    """Where the sum is complete that a framework accumulates, as the code can say it ("" where it cannot)."""

    condition: str = ""
    method: str = ""


@dataclass(slots=True)
class ClipContext:
    """One calling context of a clip."""

    paths: list[Path]
    threshold: Value | None
    parameters: Value | None
    scaled_threshold: bool  # the threshold is a product with the loss scale
    result_used: bool
    per_parameter: bool
    optimizer: str | None = None  # how the code names an optimizer the clip is for
    scaler: str | None = None
    label: str = ""  # as of a step's context
    iterator: str = ""  # the key of the iterator that was handed in, if it was one
    owned: Owned | None = None  # why the clip is not the program's to make
    summed: Summed | None = None  # a framework accumulates, and this clips the sum before it is complete
    engine: str | None = None  # how the code names the framework's object that ran the backward
    framework: str = ""  # of that object


@dataclass(slots=True)
class Clip:
    """A clipping call: one statement, judged in all its contexts."""

    site: Site
    call: Call
    kind: str  # norm, value, hand-written, library …
    replaced_by: str = ""
    function: str = ""  # the name of the function it stands in
    maker: str = ""  # as of a step's names: the framework whose gradients are values
    contexts: list[ClipContext] = field(default_factory=list)
    told: Told | None = None  # the chain that it is a link of

    def met(self, context: ClipContext) -> None:
        """Add what one calling context saw of the clip to what was seen in that context before."""
        known = _kept(self.contexts, context)
        known.paths = list(dict.fromkeys([*known.paths, *context.paths]))[:MAX_PATHS]
        known.owned = known.owned and context.owned
        known.summed = known.summed or context.summed


_Context = TypeVar("_Context", StepContext, ClipContext)


def _kept(contexts: list[_Context], context: _Context) -> _Context:
    """The context of this label that is kept: the one there is, else the new one while there is room for it."""
    known = next((one for one in contexts if one.label == context.label), None)
    if known is None and len(contexts) < MAX_PATHS:
        contexts.append(context)
    return known or context


@dataclass(slots=True)
class Sightings:
    """All steps and clips of a run, by site, with what the run learned beside them."""

    steps: dict[Site, Step] = field(default_factory=dict)
    clips: dict[Site, Clip] = field(default_factory=dict)
    # by the statement that sets a training going: the keys of the models whose steps were told about before
    asked: set[str] = field(default_factory=set)  # models that compute something, by their keys
    set_going: dict[Site, set[str]] = field(default_factory=dict)
    recurrences: dict[str, list[Evidence]] = field(default_factory=dict)  # by model key
    not_finite: dict[str, list[Evidence]] = field(default_factory=dict)  # by file and function
    delegated: set[Site] = field(default_factory=set)  # calls of a project's own `step`, seen into
    exhausted: list[str] = field(default_factory=list)  # entries given up for their size
    objects: dict[str, Object] = field(default_factory=dict)
    options: dict[tuple[str, int], Option] = field(
        default_factory=dict
    )  # named like one for clipping, by place
    conflicts: dict[Site, Conflict] = field(default_factory=dict)
    told: dict[str, Told] = field(default_factory=dict)  # what is told how to clip, by the key of the object
    iterators: dict[str, Site] = field(default_factory=dict)  # over parameters, by key: where each is made
    readers: dict[str, Site] = field(default_factory=dict)  # by the same key: who used it up first
    # By key: what all ways to the freezing of a model, or of a part of one, have in common, and where it is.
    frozen: dict[str, tuple[frozenset[Guard], Evidence]] = field(default_factory=dict)
    thawed: set[str] = field(default_factory=set)  # what is trained at some time, or may be
    headed: set[str] = field(default_factory=set)  # frozen, but for a head that is not in sight

    def paths(self, step: Step) -> Iterable[Path]:
        return (path for context in step.contexts for path in context.paths)

    def acting(self, paths: Iterable[Path]) -> list[Clip]:
        """The clips that act on the gradients of a step, on some of the ways to it."""
        sites = {site for path in paths for site in path.gradients.clips}
        return [self.clips[site] for site in sorted(sites) if site in self.clips]
