"""How a fix writes a clip in the style of a file: the name its imports give the function, and the threshold."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, NamedTuple

from clipcheck import blocks, facts
from clipcheck.blocks import Located, enclosing
from clipcheck.docket import Docket
from clipcheck.facts import Block
from clipcheck.findings import AddImport, Site
from clipcheck.flow.records import Clip
from clipcheck.flow.render import argument_at, last_identifier, render
from clipcheck.flow.values import literal
from clipcheck.knowledge import CallRule, Knowledge
from clipcheck.record import dataclass

LEAST, MOST = 1e-4, 1e4  # thresholds outside are CLP302's business and are never copied


@dataclass(frozen=True, slots=True)
class Spelling:
    """A function as a file can say it, and the import that takes."""

    text: str
    imports: tuple[AddImport, ...] = ()


def spelling(qualified: str, bindings: tuple[facts.Import, ...]) -> Spelling:
    """The shortest way to name `qualified` with the imports there are, else with one of its root package.

    A name imported for the function itself comes first, then the root package, then what lies between.
    """
    known = _spellings(bindings)
    if qualified not in known:
        known[qualified] = _spelling(qualified, bindings)
    return known[qualified]


@blocks.kept
def _spellings(_: tuple[facts.Import, ...]) -> dict[str, Spelling]:
    """The names that a file was asked for already."""
    return {}


def _spelling(qualified: str, bindings: tuple[facts.Import, ...]) -> Spelling:
    root = qualified.partition(".")[0]
    known: dict[str, str] = {}
    for binding in bindings:
        target = _target(binding)
        if target == qualified or qualified.startswith(f"{target}."):
            known.setdefault(target, binding.alias)
    last = qualified.rpartition(".")[2]
    for binding in bindings:  # under its own name from elsewhere in the package, as torch re-exports it
        elsewhere = binding.module.startswith(f"{root}.")
        if binding.name == last and elsewhere and binding.level == 0:
            known.setdefault(qualified, binding.alias)
    order = [qualified, root, *sorted(known, key=len, reverse=True)]
    found = next((target for target in order if target in known), None)
    if found is None:
        return Spelling(qualified, (AddImport(f"import {root}"),))
    return Spelling(known[found] + qualified[len(found) :])


def shortest(qualified: str, bindings: Iterable[facts.Import]) -> str | None:
    """The shortest of all ways to name `qualified` with the imports there are; None where there is none."""
    targets = ((_target(binding), binding.alias) for binding in bindings)
    found = [
        alias + qualified[len(target) :]
        for target, alias in targets
        if f"{qualified}.".startswith(f"{target}.")
    ]
    return min(found, key=len, default=None)


def _target(binding: facts.Import) -> str:
    """The qualified name that an import binds."""
    if binding.level or binding.name == "*":
        return ""
    if binding.name is not None:
        return f"{binding.module}.{binding.name}"
    first = binding.module.partition(".")[0]
    return first if binding.alias == first else binding.module


def fixes(bindings: tuple[facts.Import, ...], knowledge: Knowledge) -> dict[str, str]:
    """The templates of fixes for a file: a framework's own where the file imports that one, and not the usual one."""
    roots = _roots(bindings)
    if knowledge.fixes["clip"].partition(".")[0] in roots:
        return knowledge.fixes
    own = next((dialect for package, dialect in knowledge.dialects.items() if package in roots), {})
    return {**knowledge.fixes, **own}


@blocks.kept
def _roots(bindings: tuple[facts.Import, ...]) -> frozenset[str]:
    """The packages that a file imports from."""
    return frozenset(binding.module.partition(".")[0] for binding in bindings if not binding.level)


def call_rule(call: facts.Call, knowledge: Knowledge, maker: str = "") -> CallRule | None:
    """What is known of a clip function, by its last name: of one that changes gradients in place, or of the maker's.

    `maker` is the framework whose gradients are values, as a clip or a step names it.
    """
    name = last_identifier(call.function)
    found = [
        rule
        for qualified, rule in knowledge.calls.items()
        if rule.event == "clip" and qualified.rpartition(".")[2] == name
    ]
    if maker:
        return next((rule for rule in found if rule.framework == maker and rule.slot("gradients")), None)
    return min(found, key=lambda rule: rule.slot("gradients") is not None, default=None)


def clip_rule(clip: Clip, knowledge: Knowledge) -> CallRule | None:
    """What is known of the function of a clip; of one in a chain, how the class of that name is told."""
    if clip.told is None:
        return call_rule(clip.call, knowledge)
    name = last_identifier(clip.call.function)
    for qualified, rule in knowledge.classes.items():
        if rule.transforms is not None and rule.transforms.does == "clip" and _last(qualified) == name:
            slot = rule.transforms.threshold
            return CallRule("clip", rule.transforms.kind, (("threshold", slot),) if slot else ())
    return None


def _last(qualified: str) -> str:
    return qualified.rpartition(".")[2]


def argument(call: facts.Call, rule: CallRule, name: str) -> facts.Expression | None:
    """The argument of a call that the knowledge calls `name`."""
    return argument_at(call, rule.slot(name))


def threshold_for(site: Site, docket: Docket) -> str:
    """The threshold for a new clip at `site`: a sibling clip's, an unread option's, or that of the settings."""
    body = docket.context.body(site.filename)
    here = enclosing(body, site.span)
    known = _siblings(docket.encounters.clips.get(site.filename, ()), docket)
    for together in (True, False):
        near = {text: _nearest(some, site.span.row, here, together) for text, some in known.items()}
        for _, text in sorted((place, text) for text, place in near.items() if place is not None):
            if _reachable(text, together, here, body):
                return text
    return _unread_option(body, here, docket.context.knowledge) or repr(
        float(docket.context.settings.max_norm)
    )


def threshold_text(clip: Clip, docket: Docket) -> str:
    """The threshold of a norm clip that works, as the code says it; "" where it must not be copied."""
    rule = clip_rule(clip, docket.context.knowledge)
    if clip.kind != "norm" or rule is None or clip.site in docket.vain:
        return ""
    if argument(clip.call, rule, "norm-type") is not None:
        return ""
    expression = argument(clip.call, rule, "threshold")
    # Only a value known to be in range: what may be zero or None would do harm without its guard.
    if not clip.contexts or not all(_fit(literal(context.threshold)) for context in clip.contexts):
        return ""
    if any(context.per_parameter or context.scaled_threshold for context in clip.contexts):
        return ""
    if not isinstance(expression, (facts.Constant, facts.Name, facts.Attribute)):
        return ""
    if not isinstance(expression, facts.Constant) and _is_asked_for(expression, clip, docket):
        values = {literal(context.threshold) for context in clip.contexts}
        return repr(values.pop()) if len(values) == 1 else ""
    return render(expression)


def _is_asked_for(expression: facts.Expression, clip: Clip, docket: Docket) -> bool:
    """Whether a clip stands behind a test of its threshold: who says zero wants none, and would have all gradients zero."""
    place = enclosing(docket.context.body(clip.site.filename), clip.site.span)
    around = [block[index] for block, index in place.chain] if place is not None else []
    asked = render(expression)
    return any(
        render(node) == asked
        for one in around
        if isinstance(one, facts.Branch)
        for node in blocks.walk(one.test)
        if isinstance(node, (facts.Name, facts.Attribute))
    )


def _fit(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and LEAST <= value < MOST


class _Sibling(NamedTuple):
    """A clip whose threshold can be copied: its row, its number among those of the file, and where it stands."""

    row: int
    number: int
    place: Located | None

    def together(self, here: Located | None) -> bool:
        return here is not None and self.place is not None and here.function is self.place.function


@blocks.kept
def _siblings(clips: tuple[Clip, ...], docket: Docket) -> dict[str, list[_Sibling]]:
    """The clips of a file whose thresholds can be copied, by these, in the order of their rows."""
    found: dict[str, list[_Sibling]] = {}
    for number, clip in enumerate(clips):
        if text := threshold_text(clip, docket):
            place = enclosing(docket.context.body(clip.site.filename), clip.site.span)
            found.setdefault(text, []).append(_Sibling(clip.site.span.row, number, place))
    for some in found.values():
        some.sort(key=lambda one: one[:2])
    return found


def _nearest(some: list[_Sibling], row: int, here: Located | None, together: bool) -> tuple[int, int] | None:
    """The distance and the number of the nearest clip that stands in the same function (or that does not)."""
    below = bisect_left(some, row, key=lambda one: one.row)
    found: list[tuple[int, int]] = []
    for way in (range(below, len(some)), range(below - 1, -1, -1)):
        for index in way:
            if found and abs(some[index].row - row) > found[-1][0]:
                break
            if some[index].together(here) is together:
                found.append((abs(some[index].row - row), some[index].number))
    return min(found, default=None)


def _reachable(text: str, together: bool, here: Located | None, body: Block) -> bool:
    """Whether the threshold of another clip (of the same function?) can be said here: a literal, or a name that means the same."""
    root = text.partition(".")[0]
    if not root.isidentifier():
        return True
    if here is None:
        return False
    own = _parameters(here.function)
    if together and root in own:
        return True
    local = own | (blocks.bound(here.function.body) if here.function else frozenset())
    return root in blocks.bound(body) and root not in local


def _parameters(function: facts.Function | None) -> frozenset[str]:
    return frozenset(parameter.name for parameter in function.parameters) if function else frozenset()


def _unread_option(body: Block, here: Located | None, knowledge: Knowledge) -> str:
    """An option for the threshold that the file declares and never reads, as the file can read it here."""
    local = (
        _parameters(here.function) | blocks.bound(here.function.body)
        if here and here.function
        else frozenset()
    )
    if _last_options[0] is not body:  # one file is asked about for each of its findings
        _last_options[:] = body, _namespaces(body, knowledge), None
    namespace = next((name for name in _last_options[1] if name not in local), None)
    if namespace is None:
        return ""
    if _last_options[2] is None:
        _last_options[2] = _option(body, knowledge)
    return f"{namespace}.{_last_options[2]}" if _last_options[2] else ""


_last_options: list[Any] = [None, [], None]


def _option(body: Block, knowledge: Knowledge) -> str:
    """The first option meant for a threshold that is declared with one and never read, or nothing."""
    nodes = list(blocks.walk(body))
    read = {node.attr for node in nodes if isinstance(node, facts.Attribute)}
    for node in nodes:
        if isinstance(node, facts.Call) and _event(node, knowledge) == "declare-option":
            name = _destination(node)
            fit = any(
                key == "default" and isinstance(value, facts.Constant) and _fit(value.value)
                for key, value in node.keywords
            )
            if fit and name not in read and knowledge.hinted("clip-option", name):
                return name
    return ""


def _namespaces(body: Block, knowledge: Knowledge) -> list[str]:
    """The module-level names that hold the parsed options."""
    return [
        statement.targets[0].id
        for statement in body
        if isinstance(statement, facts.Assign)
        and len(statement.targets) == 1
        and isinstance(statement.targets[0], facts.Name)
        and isinstance(statement.value, facts.Call)
        and _event(statement.value, knowledge) == "parse-options"
    ]


def _event(call: facts.Call, knowledge: Knowledge) -> str:
    if not isinstance(call.function, facts.Attribute):
        return ""
    rule = knowledge.method("option-parser", call.function.attr)
    return rule.event if rule else ""


def _destination(call: facts.Call) -> str:
    """The attribute that an option is read by: `dest`, or its first long name."""
    for key, value in call.keywords:
        if key == "dest" and isinstance(value, facts.Constant):
            return str(value.value)
    names = [a.value for a in call.arguments if isinstance(a, facts.Constant) and isinstance(a.value, str)]
    long = next((name for name in names if name.startswith("--")), names[0] if names else "")
    return long.lstrip("-").replace("-", "_")
