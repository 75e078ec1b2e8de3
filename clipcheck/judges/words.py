"""The words that verdicts share: how a call is named, and the chain of evidence behind a finding."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from clipcheck.docket import Assessed, bare, optimizers
from clipcheck.facts import Call
from clipcheck.findings import Evidence, Site
from clipcheck.flow.records import StepContext, Told
from clipcheck.flow.render import render
from clipcheck.flow.values import literal
from clipcheck.flow.worlds import Guard

_SCOPE = re.compile(r"[\w.<>]+")
LONG = 48  # characters of a call that a message quotes in full


def quoted(call: Call) -> str:
    """The call as people know it, its arguments left out where they are long."""
    text = render(call)
    if len(text) > LONG or "<" in text:
        text = f"{render(call.function)}({'…' if call.arguments or call.keywords else ''})"
    return f"`{text}`"


def model(assessed: Assessed) -> str:
    """What is trained, as the end of a message: "it trains an LSTM"."""
    return f"it trains {assessed.summary}"


def listed(names: Sequence[str]) -> str:
    """Some names as a list in a sentence: "an LSTM, a GRU and a Linear"."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def at(site: Site, message: str) -> Evidence:
    return Evidence(site.filename, site.span.row, message)


def of_step(context: StepContext, assessed: Assessed) -> tuple[Evidence, ...]:
    """The chain behind a verdict on a step: the risk first, then what was followed to get there."""
    chain = [*assessed.evidence, *_optimizers(context)]
    backwards = {path.gradients.backward for path in bare(context.paths)}
    chain += [at(site, "its gradients come from this backward") for site in sorted(filter(None, backwards))]
    return distinct(chain)


def of_trainer(told: Told, context: StepContext, assessed: Assessed) -> tuple[Evidence, ...]:
    """The chain behind a verdict on a trainer: the risk first, then the optimizer, and where it is set going."""
    chain = [*assessed.evidence, *_optimizers(context)]
    chain += [at(site, "the training is set going here") for site in told.fitted if site != told.site]
    return distinct(chain)


def kind_told(told: Told) -> str:
    """How a framework clips that is told to: by the "norm", the "tensor-norm" or the "value"; "" where it does not."""
    threshold = literal(told.value)
    acts = isinstance(threshold, (int, float)) and not isinstance(threshold, bool) and threshold > 0
    return told.clipping.kind(told.argument) if acts else ""


def _optimizers(context: StepContext) -> list[Evidence]:
    return [
        Evidence(*found.place(), f"{found.name or 'optimizer'} {found.origin} here")
        for found in optimizers(context)
    ]


def distinct(chain: Iterable[Evidence]) -> tuple[Evidence, ...]:
    return tuple(dict.fromkeys(chain))


def condition(guards: Iterable[Guard]) -> str:
    """The guards as a condition: "`epoch < 5` is false and `args.fast` is true"."""
    ordered = sorted(guards, key=lambda guard: (guard.key, guard.taken))
    return " and ".join(f"`{_test(guard)}` is {'true' if guard.taken else 'false'}" for guard in ordered)


def _test(guard: Guard) -> str:
    """The test as written: the key begins with the scope that its names belong to."""
    scope, colon, test = guard.key.partition(":")
    return test if colon and _SCOPE.fullmatch(scope) else guard.key
