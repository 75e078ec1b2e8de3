"""The fix for what clips only when told, or was told not to: the argument of its own call, or what goes before it."""

from __future__ import annotations

from clipcheck import attach, clipcall, facts
from clipcheck.docket import Docket
from clipcheck.findings import Action, Applicability, Repair, Replace, SetArgument, Site, Span
from clipcheck.flow.records import Told


def to_clip(code: str, told: Told, site: Site, docket: Docket) -> Repair | None:
    """Have the call clip; None where that cannot be written there."""
    if code not in ("CLP101", "CLP104", "CLP105") or told.obstacle or told.indirect:
        return None
    threshold = clipcall.threshold_for(site, docket)
    clipping = told.clipping
    if clipping.member is not None or clipping.hook:
        level: Applicability = "unsafe" if told.doubt else "safe"
        compose = attach.among_the_arguments if clipping.member is not None else attach.before_the_call
        return compose(told, site, threshold, level, docket)
    if not clipping.arguments:
        return None
    name = clipping.arguments[0]
    value = clipping.value.format(threshold=threshold)
    if told.value is not None and not any(key == name for key, _ in told.call.keywords):
        place = _without_its_name(told)
        if place is None:
            return None  # it is switched off somewhere else
        return Repair("unsafe", f"set `{name}` to {value}", (Replace(place, value),))
    written = [(name, value), *_beside(told)]
    actions: tuple[Action, ...] = tuple(SetArgument(told.call.span, *one) for one in written)
    message = f"set {' and '.join(f'`{key}={text}`' for key, text in written)}"
    return Repair("unsafe" if doubts(told) else "safe", message, actions)


def _without_its_name(told: Told) -> Span | None:
    """Where the clipping argument stands among the positional ones of the call, if it does."""
    position, given = told.clipping.position, told.call.arguments
    found = given[position] if 0 <= position < len(given) else None
    if isinstance(found, facts.Call):
        return found.span
    if isinstance(found, facts.Constant) and found.column >= 0:
        return Span(found.row, found.column, found.row, found.end)
    return None


def _beside(told: Told) -> list[tuple[str, str]]:
    """The further arguments that the clipping needs, and that the call does not have."""
    given = {key for key, _ in told.call.keywords}
    return [
        (key, text.format(parameters=told.parameters))
        for key, text in told.clipping.beside
        if key not in given
    ]


def doubts(told: Told) -> str:
    """Why the argument cannot be written, or not safely; else nothing."""
    if told.indirect:
        return "its arguments come from elsewhere"
    if told.obstacle or told.doubt:
        return told.obstacle or told.doubt
    if not told.clipping.arguments and not told.clipping.hook:
        return "the framework has no place for a clip there"
    on_purpose = told.value is not None and told.clipping.member is None
    return "it was switched off on purpose" if on_purpose else ""
