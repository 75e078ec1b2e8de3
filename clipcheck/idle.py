"""Parts of a model that may not be trained: frozen, or only ever called where no gradients are recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from clipcheck import blocks, facts
from clipcheck.facts import Block
from clipcheck.findings import Span

Hinted = Callable[[str, str], bool]


def may_be_idle(bodies: Iterable[Block], made: Iterable[Span], names: frozenset[str], hinted: Hinted) -> bool:
    """Whether the files around a training loop leave room for doubt that a part is trained.

    `made` are the calls that make the part, `names` the attributes that are known to hold it.
    """
    files = list(bodies)
    nodes = [node for body in files for node in blocks.walk(body)]
    if any(hinted("frozen", name) for name in map(_identifier, nodes)):
        return True
    spans = frozenset(made)
    called = names | {
        _identifier(target)
        for node in nodes
        if isinstance(node, facts.Assign) and isinstance(node.value, facts.Call) and node.value.span in spans
        for target in node.targets
    }
    quiet = [silent for body in files for name, silent in _calls(body, hinted) if name in called]
    return bool(quiet) and all(quiet)


def _identifier(node: object) -> str:
    if isinstance(node, facts.Attribute):
        return node.attr
    return node.id if isinstance(node, facts.Name) else ""


def _calls(node: object, hinted: Hinted, *, silent: bool = False) -> Iterator[tuple[str, bool]]:
    """The last name of everything called in a piece of a program, and whether gradients are off there."""
    if isinstance(node, tuple):
        for part in node:
            yield from _calls(part, hinted, silent=silent)
    elif isinstance(node, facts.With):
        heads = [inner for context, _ in node.items for inner in blocks.walk(context)]
        off = silent or any(hinted("no-gradient", _identifier(head)) for head in heads)
        yield from _calls(node.body, hinted, silent=off)
    elif isinstance(node, facts.Function):
        marks = [inner for decorator in node.decorators for inner in blocks.walk(decorator)]
        off = silent or any(hinted("no-gradient", _identifier(mark)) for mark in marks)
        yield from _calls(node.body, hinted, silent=off)
    elif isinstance(node, (facts.Branch, facts.For, facts.While, facts.Try, facts.Match, facts.Class)):
        inside = node.body if isinstance(node, facts.Class) else facts.blocks_of(node)
        yield from _calls(inside, hinted, silent=silent)
    else:
        for inner in blocks.walk(node):
            if isinstance(inner, facts.Call):
                yield _identifier(inner.function), silent
