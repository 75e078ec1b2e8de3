"""The gradient protocol: what each event does to the gradients of one optimizer's parameters.

`TABLE` is the table of the design, cell by cell: `(phase, event) -> (next phase, rule broken)`.
"""

from __future__ import annotations

from enum import Enum

from clipcheck.findings import Site
from clipcheck.record import dataclass, replace


class Phase(Enum):
    """In what state the gradients of a parameter set are."""

    ENTRY = "entry"  # a function starts; nothing seen
    EMPTY = "empty"
    FRESH = "fresh"
    SCALED = "scaled"  # fresh, and still multiplied by the loss scale
    CLIPPED = "clipped"
    SPENT = "spent"  # a step has used them


class Event(Enum):
    """What can happen to gradients."""

    BACKWARD = "backward"
    SCALED_BACKWARD = "backward of a scaled loss"
    UNSCALE = "unscale"
    CLIP = "clip"
    STEP = "step"
    ZERO_GRAD = "zero_grad"


P, E = Phase, Event
TABLE: dict[tuple[Phase, Event], tuple[Phase, str]] = {
    (P.ENTRY, E.BACKWARD): (P.FRESH, ""),
    (P.ENTRY, E.SCALED_BACKWARD): (P.SCALED, ""),
    (P.ENTRY, E.UNSCALE): (P.FRESH, ""),
    (P.ENTRY, E.CLIP): (P.CLIPPED, ""),
    (P.ENTRY, E.STEP): (P.SPENT, "CLP101"),
    (P.ENTRY, E.ZERO_GRAD): (P.EMPTY, ""),
    (P.EMPTY, E.BACKWARD): (P.FRESH, ""),
    (P.EMPTY, E.SCALED_BACKWARD): (P.SCALED, ""),
    (P.EMPTY, E.UNSCALE): (P.EMPTY, ""),
    (P.EMPTY, E.CLIP): (P.EMPTY, "CLP202"),
    (P.EMPTY, E.STEP): (P.EMPTY, ""),
    (P.EMPTY, E.ZERO_GRAD): (P.EMPTY, ""),
    (P.FRESH, E.BACKWARD): (P.FRESH, ""),
    (P.FRESH, E.SCALED_BACKWARD): (P.SCALED, ""),
    (P.FRESH, E.UNSCALE): (P.FRESH, ""),
    (P.FRESH, E.CLIP): (P.CLIPPED, ""),
    (P.FRESH, E.STEP): (P.SPENT, "CLP101"),
    (P.FRESH, E.ZERO_GRAD): (P.EMPTY, ""),
    (P.SCALED, E.BACKWARD): (P.SCALED, ""),
    (P.SCALED, E.SCALED_BACKWARD): (P.SCALED, ""),
    (P.SCALED, E.UNSCALE): (P.FRESH, ""),
    (P.SCALED, E.CLIP): (P.CLIPPED, "CLP203"),
    (P.SCALED, E.STEP): (P.SPENT, "CLP101"),
    (P.SCALED, E.ZERO_GRAD): (P.EMPTY, ""),
    (P.CLIPPED, E.BACKWARD): (P.FRESH, ""),  # clipped early is kept: the next clip is CLP204
    (P.CLIPPED, E.SCALED_BACKWARD): (P.SCALED, ""),
    (P.CLIPPED, E.UNSCALE): (P.CLIPPED, ""),
    (P.CLIPPED, E.CLIP): (P.CLIPPED, ""),
    (P.CLIPPED, E.STEP): (P.SPENT, ""),
    (P.CLIPPED, E.ZERO_GRAD): (P.EMPTY, ""),
    (P.SPENT, E.BACKWARD): (P.FRESH, ""),
    (P.SPENT, E.SCALED_BACKWARD): (P.SCALED, ""),
    (P.SPENT, E.UNSCALE): (P.SPENT, ""),
    (P.SPENT, E.CLIP): (P.SPENT, "CLP201"),
    (P.SPENT, E.STEP): (P.SPENT, ""),
    (P.SPENT, E.ZERO_GRAD): (P.EMPTY, ""),
}


PARTLY = "a clip covers a part of what this optimizer updates"


@dataclass(frozen=True, slots=True)
class Gradients:
    """The gradients of one optimizer's parameters on one path.

    `unsure` names the unresolved code that may have clipped (or stepped) them; `maybe` says that it is
    not known whether the last backward reached them. Neither ever accuses.
    """

    phase: Phase = Phase.ENTRY
    maybe: bool = False
    early: bool = False  # clipped before this accumulation was complete
    unsure: str = ""
    clips: frozenset[Site] = frozenset()  # the clips that act on these gradients
    vain: frozenset[Site] = frozenset()  # the clips that came too early or too late for them
    covered: frozenset[str] | None = None  # models a partial clip covers; None: all of them
    uncovered: frozenset[str] = frozenset()  # what it surely leaves out
    partial: frozenset[Site] = frozenset()  # the clips that acted before this accumulation was complete
    foreign: frozenset[Site] = frozenset()  # the clips, since the last backward, of other models alone
    unused: frozenset[Site] = frozenset()  # clips that gave back another value and left this one as it is
    backward: Site | None = None
    unscaled: Site | None = None  # where the loss scale was taken off
    stepped: Site | None = None

    def after(self, event: Event, site: Site) -> tuple[Gradients, str]:
        """The gradients after an event, and the rule that the event breaks ("" for none)."""
        phase, code = TABLE[self.phase, event]
        if event is Event.CLIP:
            return self._clipped(phase, code, site)
        if event is Event.STEP:
            code = "CLP103" if code == "CLP101" and self.covered is not None else code
            spent = Gradients(phase, vain=frozenset(), stepped=site)
            return (spent if phase is Phase.SPENT else replace(self, vain=frozenset(), unsure="")), code
        if event is Event.ZERO_GRAD:
            return Gradients(phase, vain=self.vain, stepped=None), code
        if event is Event.UNSCALE:
            unscaled = site if self.phase is Phase.SCALED else self.unscaled
            return replace(self, phase=phase, unscaled=unscaled), code
        return self._refreshed(phase, site), code

    def _refreshed(self, phase: Phase, site: Site) -> Gradients:
        early = self.early or self.phase is Phase.CLIPPED
        unsure = self.unsure if self.phase in (Phase.FRESH, Phase.SCALED, Phase.CLIPPED) else ""
        if self.covered is not None:  # what the backward adds, and to which part, is not known
            unsure = unsure or PARTLY
        partial = self.partial | (self.clips if self.phase is Phase.CLIPPED else frozenset())
        return Gradients(phase, early=early, unsure=unsure, vain=self.vain, partial=partial, backward=site)

    def _clipped(self, phase: Phase, code: str, site: Site) -> tuple[Gradients, str]:
        if code in ("CLP201", "CLP202"):
            return replace(self, vain=self.vain | {site}), "" if self.maybe or self.unsure else code
        if self.early and self.phase is not Phase.CLIPPED:
            code = code or "CLP204"
        clips = (self.clips if self.phase is Phase.CLIPPED else frozenset()) | {site}
        return replace(self, phase=phase, clips=clips, maybe=False, covered=None, uncovered=frozenset()), code
