"""What judging yields: verdicts in `ast` coordinates, and the findings people read.

A `Verdict` is what a judge says about one statement. `place` gives it exact positions and the
edits of its fix, which makes it a `Finding`: the unit of every report.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from clipcheck.record import dataclass, field

Risk = Literal["none", "low", "medium", "high"]
RISKS: tuple[Risk, ...] = ("none", "low", "medium", "high")
Applicability = Literal["safe", "unsafe"]


class Span(NamedTuple):
    """A stretch of source as `ast` counts it: rows from 1, columns from 0 in UTF-8 bytes."""

    row: int
    column: int
    end_row: int
    end_column: int


class Site(NamedTuple):
    """A statement or expression of the project: where an event happens (in a notebook, in its program)."""

    filename: str
    span: Span


@dataclass(frozen=True, slots=True)
class Evidence:
    """One place a person can open to check a verdict (row from 1, within the cell in notebooks)."""

    filename: str
    row: int
    message: str
    cell: int | None = None  # of a notebook, from 0 over all of its cells


@dataclass(frozen=True, slots=True)
class InsertBefore:
    """Put `statements` on lines of their own before the statement at `anchor`."""

    anchor: Span
    statements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MoveBefore:
    """Move the statement at `source` to just before the statement at `anchor`."""

    source: Span
    anchor: Span
    prelude: tuple[str, ...] = ()  # further statements to put before the moved one
    emptied: Span | None = None  # the statement around it that goes away with it: nothing else is in there


@dataclass(frozen=True, slots=True)
class MoveAfter:
    """Move the statement at `source` to just after the statement at `anchor`."""

    source: Span
    anchor: Span


@dataclass(frozen=True, slots=True)
class Replace:
    """Replace the expression or statement at `span` by `text`."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class SetArgument:
    """Give the call at `call` the keyword argument `name` with this value, in place of one it has."""

    call: Span
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class AddMember:
    """Give the call at `call` one more member in the list that its argument `name` takes, or that argument.

    With `alone`, an argument that is no list is one member, and becomes a list of two. `listed`: it surely is a list.
    """

    call: Span
    name: str
    value: str
    alone: bool = False
    listed: bool = False


@dataclass(frozen=True, slots=True)
class AddFirst:
    """Give the call at `call` a first positional argument, before those it has."""

    call: Span
    text: str


@dataclass(frozen=True, slots=True)
class MoveFirst:
    """Move the positional argument number `index` of the call at `call` to the front of the others."""

    call: Span
    index: int


@dataclass(frozen=True, slots=True)
class RenameArgument:
    """Give the keyword argument `name` of the call at `call` another name, and another value where one is named."""

    call: Span
    name: str
    new: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class SetEntry:
    """Give the dict display at `display` the entry `key` with this value, in place of one it has."""

    display: Span
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Wrap:
    """Put `before` and `after` around the expression at `span`."""

    span: Span
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class PutUnder:
    """Put the statement at `span` into a block of its own under `head` (`if accelerator.sync_gradients:`)."""

    span: Span
    head: str
    unit: str  # what indents it there


@dataclass(frozen=True, slots=True)
class AddImport:
    """Add an import line (`import torch`) after the imports at the top of the file."""

    text: str


@dataclass(frozen=True, slots=True)
class RemoveComment:
    """Remove the comment (from its `#`) at `span`, and the line if nothing else is on it."""

    span: Span


Action = (
    InsertBefore
    | MoveBefore
    | MoveAfter
    | Replace
    | SetArgument
    | AddMember
    | AddFirst
    | MoveFirst
    | RenameArgument
    | SetEntry
    | Wrap
    | PutUnder
    | AddImport
    | RemoveComment
)


@dataclass(frozen=True, slots=True)
class Repair:
    """A fix as a judge asks for it: what to do, where, and how sure it is."""

    applicability: Applicability
    message: str
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge says about the statement at `site`."""

    code: str
    message: str
    site: Site
    risk: Risk
    evidence: tuple[Evidence, ...] = ()
    repair: Repair | None = None


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Row and column from 1; columns count code points; in a notebook, within the cell."""

    row: int
    column: int


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the text from `start` up to (not including) `end` by `content`."""

    content: str
    start: Position
    end: Position
    cell: int | None = None  # of a notebook: an import may go into another cell than the finding's


@dataclass(frozen=True, slots=True)
class Fix:
    """The edits of one fix, in ascending order and without overlap."""

    applicability: Applicability
    message: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to report, in the words of the JSON contract."""

    code: str
    name: str
    message: str
    filename: str  # absolute
    start: Position
    end: Position
    risk: Risk
    evidence: tuple[Evidence, ...] = ()
    fix: Fix | None = None
    cell: int | None = None  # of a notebook, from 0 over all of its cells
    # What the finding is known by when rows have moved: fingerprint.py.
    statement: str = field(default="", compare=False)  # its text on one line
    scope: str = field(default="", compare=False)  # the function or class around it: "Trainer.fit"
    fingerprint: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be read or parsed; `row` and `column` (from 1) where known."""

    filename: str
    message: str
    row: int | None = None
    column: int | None = None
    line: str = ""  # the offending source line, for a caret under it
    cell: int | None = None  # of a notebook, from 0 over all of its cells


@dataclass(frozen=True, slots=True)
class Sight:
    """How many optimizer steps the scan saw, and what became of them (they add up to `steps`)."""

    steps: int = 0
    clipped: int = 0
    low_risk: int = 0
    reported: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a run over some paths."""

    findings: tuple[Finding, ...] = ()
    failures: tuple[Failure, ...] = ()
    sight: Sight = field(default_factory=Sight)
    files: int = 0  # files reported on
    unfinished: tuple[str, ...] = ()  # programs too large to follow to their end: "FILE" or "FILE:FUNCTION"
    silenced: int = 0  # findings that a comment asks to leave alone, which are not among `findings`
    known: int | None = (
        None  # findings that the baseline holds, which are not among `findings`; None: no baseline
    )
    stale: int = 0  # entries of the baseline that the files scanned have no finding for any more
