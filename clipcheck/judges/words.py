"""The words that verdicts share: how a call is named, and the chain of evidence behind a finding."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from clipcheck.docket import Assessed, Docket, bare, optimizers, stands
from clipcheck.facts import Call
from clipcheck.findings import Evidence, Site
from clipcheck.flow.records import Path, Step, StepContext, Told
from clipcheck.flow.render import render
from clipcheck.flow.values import literal
from clipcheck.flow.worlds import Guard
from clipcheck.regular import regular

_SCOPE = regular(r"[\w.<>]+")
LONG = 48  # characters of a call that a message quotes in full


def quoted(call: Call) -> str:
    """The call as people know it, its arguments left out where they are long."""
    text = render(call)
    if len(text) > LONG or "<" in text:
        text = f"{render(call.function)}({'…' if call.arguments or call.keywords else ''})"
    return f"`{text}`"


def teller(step: Step) -> str:
    """What is told how to clip: the call, and the class that it makes where it does not say that itself."""
    name = step.told.name if step.told is not None else ""
    return f"the `{name}` of {quoted(step.call)}" if name else quoted(step.call)


def model(assessed: Assessed) -> str:
    """What is trained, as the end of a message: "it trains an LSTM"."""
    return f"it trains {assessed.summary}"


def at(site: Site, message: str) -> Evidence:
    return Evidence(site.filename, site.span.row, message)


def of_step(context: StepContext, assessed: Assessed) -> tuple[Evidence, ...]:
    """The chain behind a verdict on a step: the risk first, then what was followed to get there."""
    ways = bare(context.paths)
    chain = [*assessed.evidence, *_optimizers(context, ways or context.paths)]
    backwards = {path.gradients.backward for path in ways}
    chain += [at(site, "its gradients come from this backward") for site in sorted(filter(None, backwards))]
    return distinct(chain)


def of_trainer(told: Told, context: StepContext, assessed: Assessed) -> tuple[Evidence, ...]:
    """The chain behind a verdict on a trainer: the risk first, then the optimizer, and where it is set going."""
    chain = [*assessed.evidence, *_optimizers(context, ()), *_settings(told)]
    chain += [at(site, "the training is set going here") for site in told.fitted if site != told.site]
    if told.settings_row is not None:
        chain.append(
            Evidence(*told.settings_row, f"its settings; `{told.clipping.name}` belongs beside them")
        )
    return distinct(chain)


def told(told: Told, docket: Docket) -> str:
    """What a message adds on a default that hangs on the version, and on settings in a file that no fix writes."""
    name = told.clipping.name
    since, pin = told.clipping.since, told.pin
    text = f" ({pin.text} in {os.path.basename(pin.filename)}: {_default(told)})" if since and pin else ""
    if told.source is not None:
        value = told.clipping.value.format(threshold=repr(float(docket.context.settings.max_norm)))
        text += f"; set `{name}` to {value} in {os.path.basename(told.source[0])}"
    return text


def _default(told: Told) -> str:
    since = told.clipping.since
    assert since is not None
    if told.default is since.on_by_default:
        return f"clipping is {'on' if told.default else 'off'} by default from {since.version} on"
    return f"clipping is {'on' if told.default else 'off'} by default up to {since.before}"


def _settings(told: Told) -> list[Evidence]:
    """The files behind what a framework is told: the version pinned, the settings, and what they hold in vain."""
    chain = []
    if told.pin is not None and told.default is not None:
        chain.append(
            Evidence(told.pin.filename, told.pin.row, f"{told.pin.text} is asked for: {_default(told)}")
        )
    name = told.clipping.name
    if told.source is not None:
        chain.append(
            Evidence(
                *told.source,
                f"the settings that {'switch' if told.value else 'lack'} `{name}`{' off' if told.value else ''}",
            )
        )
    elif told.display is not None and told.display != told.site:
        chain.append(at(told.display, "the settings are made here"))
    return [*chain, *told.notes]


def kind_told(told: Told) -> str:
    """How a framework clips that is told to: by the "norm", the "tensor-norm" or the "value"; "" where it does not."""
    threshold = literal(told.value)
    acts = isinstance(threshold, (int, float)) and not isinstance(threshold, bool) and threshold > 0
    return told.clipping.kind(told.argument) if acts else ""


def _optimizers(context: StepContext, ways: Sequence[Path]) -> list[Evidence]:
    """Where the optimizers were made, without those of which each of some ways says that another one was made."""
    return [
        Evidence(*found.place(), f"{found.name or 'optimizer'} {found.origin} here")
        for found in optimizers(context)
        if not ways or stands(found, ways)
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
