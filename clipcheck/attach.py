"""Fixes that give a framework an object that clips, or a hook that does, in the spelling of the file."""

from __future__ import annotations

from clipcheck import blocks, clipcall
from clipcheck.clipcall import Spelling
from clipcheck.docket import Docket
from clipcheck.facts import Block
from clipcheck.findings import AddImport, AddMember, Applicability, InsertBefore, Repair, Site
from clipcheck.flow.records import Told
from clipcheck.flow.render import is_reference, render
from clipcheck.flow.values import Items
from clipcheck.knowledge import Member


def among_the_arguments(
    told: Told, site: Site, threshold: str, level: Applicability, docket: Docket
) -> Repair | None:
    """Put an object that clips among what an argument takes; None where its name means something else."""
    member, name = told.clipping.member, told.clipping.name
    spelled = _spelled(member, docket.context.body(site.filename)) if member is not None else None
    if member is None or spelled is None:
        return None
    text = member.value.format(member=spelled.text, threshold=threshold)
    action = AddMember(told.call.span, name, text, member.alone, isinstance(told.value, Items))
    return Repair(level, f"add `{text}` to `{name}`", (*spelled.imports, action))


def _spelled(member: Member, body: Block) -> Spelling | None:
    """The name of a class as a file can say it: imported by itself, with a star, or with its module."""
    module, _, last = member.name.rpartition(".")
    package = module.partition(".")[0]
    known = [binding for binding in blocks.imports(body) if not binding.level]
    for binding in known:
        if binding.name == last and binding.module.partition(".")[0] == package:
            return Spelling(binding.alias)
    if any(binding.name == "*" and binding.module in (module, *member.starred) for binding in known):
        return Spelling(last) if last not in blocks.bound(body) else None
    for binding in known:
        target = binding.module if binding.name is None else f"{binding.module}.{binding.name}"
        if target == module and binding.name != "*":
            dotted = binding.name is None and binding.alias == package
            return Spelling(f"{module if dotted else binding.alias}.{last}")
    if last in blocks.bound(body):
        return None
    return Spelling(last, (AddImport(f"from {module} import {last}"),))


def before_the_call(
    told: Told, site: Site, threshold: str, level: Applicability, docket: Docket
) -> Repair | None:
    """Put a hook that clips before the call that hands an optimizer to a framework without clipping of its own."""
    if told.optimizer is None or not is_reference(told.optimizer):
        return None
    body = docket.context.body(site.filename)
    clip = clipcall.spelling(docket.context.knowledge.fixes["clip"], blocks.imports(body))
    text = told.clipping.hook.format(clip=clip.text, optimizer=render(told.optimizer), threshold=threshold)
    if any(f"def {name}(" in text for name in _names(body, site)):
        return None
    message = f"clip the gradient norm at {threshold} in a hook of the optimizer"
    return Repair(level, message, (*clip.imports, InsertBefore(site.span, (text.removesuffix("\n"),))))


def _names(body: Block, site: Site) -> frozenset[str]:
    """The names that a module binds, and the function around a place."""
    here = blocks.locate(body, site.span)
    function = here.function if here is not None else None
    return blocks.bound(body) | (blocks.bound(function.body) if function is not None else frozenset())
