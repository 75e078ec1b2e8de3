"""The fix for what clips only when told, or was told not to: the argument of its own call, or what goes before it."""

from __future__ import annotations

from clipcheck import attach, blocks, clipcall, facts
from clipcheck.clipcall import Spelling
from clipcheck.docket import Docket, imports, owned
from clipcheck.findings import (
    Action,
    AddImport,
    Applicability,
    RenameArgument,
    Repair,
    Replace,
    SetArgument,
    SetEntry,
    Site,
    Span,
)
from clipcheck.flow.records import Clip, Told


def to_clip(code: str, told: Told, site: Site, docket: Docket) -> Repair | None:
    """Have the call clip; None where that cannot be written there."""
    if code in ("CLP301", "CLP304"):
        return _by_the_norm(code, told, site, docket)
    if code not in ("CLP101", "CLP104", "CLP105") or told.obstacle or told.indirect:
        return None
    if told.named:
        return _by_an_object(told, site, docket)
    threshold = clipcall.threshold_for(site, docket)
    clipping = told.clipping
    if clipping.member is not None or clipping.hook:
        level: Applicability = "unsafe" if told.doubt else "safe"
        compose = attach.among_the_arguments if clipping.member is not None else attach.before_the_call
        return compose(told, site, threshold, level, docket)
    if not clipping.arguments:
        return None
    name = clipping.name
    spelled = _spelled(clipping.spelled, site, docket)
    value = clipping.value.format(threshold=threshold, spelled=spelled.text)
    if clipping.within:
        written_entry = entry(told, site, value)
        level = "unsafe" if doubts(told) else "safe"
        return Repair(level, f"set `{name}: {value}`", (written_entry,)) if written_entry else None
    if told.value is not None and not any(key == name for key, _ in told.call.keywords):
        place = _without_its_name(told)
        if place is None:
            return None  # it is switched off somewhere else
        return Repair("unsafe", f"set `{name}` to {value}", (Replace(place, value),))
    written = [(name, value), *_beside(told)]
    actions: tuple[Action, ...] = tuple(SetArgument(told.call.span, *one) for one in written)
    message = f"set {' and '.join(f'`{key}={text}`' for key, text in written)}"
    return Repair("unsafe" if doubts(told) else "safe", message, (*spelled.imports, *actions))


def _spelled(qualified: str, site: Site, docket: Docket) -> Spelling:
    """How the file of a finding says what a value calls; nothing where it calls nothing."""
    return clipcall.spelling(qualified, imports(docket.context, site.filename)) if qualified else Spelling("")


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


def _by_the_norm(code: str, told: Told, site: Site, docket: Docket) -> Repair | None:
    """Tell the framework to clip the norm of all instead, by the argument for that."""
    name = told.clipping.name
    written = [key for key, _ in told.call.keywords]
    if told.indirect or told.obstacle or told.argument not in written or name in written:
        return None
    threshold = clipcall.threshold_for(site, docket)
    value = told.clipping.value.format(threshold=threshold) if code == "CLP301" else ""
    message = f"tell it by `{name}`{f', at {value}' if value else ''} (another bound: the run changes)"
    return Repair("unsafe", message, (RenameArgument(told.call.span, told.argument, name, value),))


def _by_an_object(told: Told, site: Site, docket: Docket) -> Repair | None:
    """Hand over an object that clips, in place of its name or of the one that goes without saying."""
    spelled = class_spelling(told.named, site.filename, docket)
    if spelled is None:
        return None
    threshold = clipcall.threshold_for(site, docket)
    value = told.clipping.value.format(threshold=threshold)
    made = f"{spelled.text}({told.clipping.name}={value})"
    text = told.text
    action: Action = SetArgument(told.call.span, told.handed, made)
    if text is not None:
        if text.column < 0:
            return None
        action = Replace(Span(text.row, text.column, text.row, text.end), made)
    return Repair("safe", f"hand over `{made}`", (*spelled.imports, action))


def class_spelling(qualified: str, filename: str, docket: Docket) -> Spelling | None:
    """How a file names a class that several packages have: by the one that it imports; None if that is not clear."""
    bindings = imports(docket.context, filename)
    taken = blocks.bound(docket.context.body(filename))
    names = [name for name, _ in docket.context.knowledge.other_names(qualified)]
    known = [text for name in names if (text := clipcall.shortest(name, bindings)) is not None]
    if known:
        return Spelling(min(known, key=len))
    for package in _imported_first(qualified, bindings, docket):
        name = next(
            name for name, alias in docket.context.knowledge.other_names(qualified) if alias == package
        )
        head, _, last = package.rpartition(".")
        if last in taken:
            continue
        text = f"from {head} import {last}" if head else f"import {last}"
        return Spelling(name[len(package) - len(last) :], (AddImport(text),))
    return None


def _imported_first(qualified: str, bindings: tuple[facts.Import, ...], docket: Docket) -> list[str]:
    """The packages that have a class, those that the file imports anything of before the others."""
    packages = [alias for _, alias in docket.context.knowledge.other_names(qualified)]
    modules = [f"{one.module}.{one.name}" if one.name else one.module for one in bindings if not one.level]

    def distance(package: str) -> tuple[int, int]:
        near = [module for module in modules if f"{module}.".startswith(f"{package}.")]
        root = [module for module in modules if module.partition(".")[0] == package.partition(".")[0]]
        return (0 if near else 1 if root else 2), packages.index(package)

    return sorted(packages, key=distance)


def entry(told: Told, site: Site, value: str) -> Action | None:
    """The key in the dict of settings, where that stands in the file of the finding; no other file is written."""
    if told.display is None or told.display.filename != site.filename:
        return None
    return SetEntry(told.display.span, told.clipping.name, value)


def by_its_settings(clip: Clip, docket: Docket) -> Repair | None:
    """Have the engine that keeps the gradients clip them, at the threshold of the clip that cannot."""
    found = owned(clip)
    told = docket.sightings.told.get(found.engine) if found is not None else None
    threshold = clipcall.threshold_text(clip, docket)
    if told is None or not threshold:
        return None
    written = clipcall.threshold_for(told.site, docket)
    action = entry(told, clip.site, threshold) if written == threshold else None
    name = told.clipping.name
    return Repair("unsafe", f"set `{name}: {threshold}`", (action,)) if action is not None else None


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
