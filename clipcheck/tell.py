"""The fix for what clips only when told, or was told not to: the argument of its own call."""

from __future__ import annotations

from clipcheck import blocks, clipcall, facts
from clipcheck.clipcall import Spelling
from clipcheck.docket import Docket, imports
from clipcheck.findings import (
    Action,
    AddImport,
    Applicability,
    RenameArgument,
    Repair,
    Replace,
    SetArgument,
    Site,
    Span,
)
from clipcheck.flow.records import Told


def to_clip(code: str, told: Told, site: Site, docket: Docket) -> Repair | None:
    """Give the call its clipping argument; None where it cannot be written there."""
    if code in ("CLP301", "CLP304"):
        return _by_the_norm(code, told, site, docket)
    if code not in ("CLP104", "CLP105") or told.obstacle or told.indirect:
        return None
    if told.named:
        return _by_an_object(told, site, docket)
    name = told.clipping.arguments[0]
    if told.value is not None and not any(key == name for key, _ in told.call.keywords):
        return None  # it is switched off somewhere else
    threshold = clipcall.threshold_for(site, docket)
    value = told.clipping.value.format(threshold=threshold)
    level: Applicability = "unsafe" if doubts(told) else "safe"
    return Repair(level, f"set `{name}={value}`", (SetArgument(told.call.span, name, value),))


def _by_the_norm(code: str, told: Told, site: Site, docket: Docket) -> Repair | None:
    """Tell the framework to clip the norm of all instead, by the argument for that."""
    name = told.clipping.arguments[0]
    written = [key for key, _ in told.call.keywords]
    if told.indirect or told.argument not in written or name in written:
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
    made = f"{spelled.text}({told.clipping.arguments[0]}={value})"
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


def doubts(told: Told) -> str:
    """Why the argument cannot be written, or not safely; else nothing."""
    if told.indirect:
        return "its arguments come from elsewhere"
    if told.obstacle or told.doubt:
        return told.obstacle or told.doubt
    return "it was switched off on purpose" if told.value is not None else ""
