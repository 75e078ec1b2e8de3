"""The fix for what clips only when told, or was told not to: the argument of its own call."""

from __future__ import annotations

from clipcheck import clipcall
from clipcheck.docket import Docket
from clipcheck.findings import Applicability, Repair, SetArgument, Site
from clipcheck.flow.records import Told


def to_clip(code: str, told: Told, site: Site, docket: Docket) -> Repair | None:
    """Give the call its clipping argument; None where it cannot be written there."""
    if code not in ("CLP104", "CLP105") or told.obstacle or told.indirect or not told.clipping.arguments:
        return None
    name = told.clipping.arguments[0]
    if told.value is not None and not any(key == name for key, _ in told.call.keywords):
        return None  # it is switched off somewhere else
    threshold = clipcall.threshold_for(site, docket)
    value = told.clipping.value.format(threshold=threshold)
    level: Applicability = "unsafe" if doubts(told) else "safe"
    return Repair(level, f"set `{name}={value}`", (SetArgument(told.call.span, name, value),))


def doubts(told: Told) -> str:
    """Why the argument cannot be written, or not safely; else nothing."""
    if told.indirect:
        return "its arguments come from elsewhere"
    if told.obstacle or told.doubt:
        return told.obstacle or told.doubt
    return "it was switched off on purpose" if told.value is not None else ""
