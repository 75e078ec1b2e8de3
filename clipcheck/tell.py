"""The fix for what clips only when told, or was told not to: the argument of its own call, or a key of its settings."""

from __future__ import annotations

from clipcheck import clipcall
from clipcheck.clipcall import Spelling
from clipcheck.docket import Docket, imports, owned
from clipcheck.findings import Action, Applicability, Repair, SetArgument, SetEntry, Site
from clipcheck.flow.records import Clip, Told


def to_clip(code: str, told: Told, site: Site, docket: Docket) -> Repair | None:
    """Give the call its clipping argument, or its settings the key; None where it cannot be written there."""
    if code not in ("CLP104", "CLP105") or told.obstacle or told.indirect:
        return None
    name = told.clipping.arguments[0]
    threshold = clipcall.threshold_for(site, docket)
    known = imports(docket.context, site.filename)
    spelled = clipcall.spelling(told.clipping.spelled, known) if told.clipping.spelled else Spelling("")
    value = told.clipping.value.format(threshold=threshold, spelled=spelled.text)
    action = entry(told, site, value) if told.clipping.within else _argument(told, name, value)
    if action is None:
        return None
    level: Applicability = "unsafe" if doubts(told) else "safe"
    message = f"set `{name}{': ' if told.clipping.within else '='}{value}`"
    return Repair(level, message, (*spelled.imports, action))


def _argument(told: Told, name: str, value: str) -> Action | None:
    if told.value is not None and not any(key == name for key, _ in told.call.keywords):
        return None  # it is switched off somewhere else
    return SetArgument(told.call.span, name, value)


def entry(told: Told, site: Site, value: str) -> Action | None:
    """The key in the dict of settings, where that stands in the file of the finding; no other file is written."""
    if told.display is None or told.display.filename != site.filename:
        return None
    return SetEntry(told.display.span, told.clipping.arguments[0], value)


def by_its_settings(clip: Clip, docket: Docket) -> Repair | None:
    """Have the engine that keeps the gradients clip them, at the threshold of the clip that cannot."""
    found = owned(clip)
    told = docket.sightings.told.get(found.engine) if found is not None else None
    threshold = clipcall.threshold_text(clip, docket)
    if told is None or not threshold:
        return None
    written = clipcall.threshold_for(told.site, docket)
    action = entry(told, clip.site, threshold) if written == threshold else None
    name = told.clipping.arguments[0]
    return Repair("unsafe", f"set `{name}: {threshold}`", (action,)) if action is not None else None


def doubts(told: Told) -> str:
    """Why the argument cannot be written, or not safely; else nothing."""
    if told.indirect:
        return "its arguments come from elsewhere"
    if told.obstacle or told.doubt:
        return told.obstacle or told.doubt
    return "it was switched off on purpose" if told.value is not None else ""
