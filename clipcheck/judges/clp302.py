"""CLP302: a threshold that never acts, stops the learning, zeroes or reverses the gradient."""

from __future__ import annotations

import math

from clipcheck import clipcall, results
from clipcheck.docket import Docket
from clipcheck.findings import Evidence, Verdict
from clipcheck.flow.records import Clip, ClipContext, Step
from clipcheck.flow.render import number
from clipcheck.flow.values import Literal, Option, Value, is_infinite, literal
from clipcheck.judges import words

NEVER_ACTS = 1e4
STOPS = 1e-4


def of_trainer(step: Step, docket: Docket) -> Verdict | None:
    """The same of the threshold that a framework is told."""
    told = step.told
    value = literal(told.value) if told is not None else None
    if told is None or isinstance(value, bool) or not isinstance(value, (int, float)) or math.isinf(value):
        return None
    harm = harm_of(value) if value > 0 or told.clipping.zero_acts else ""
    worst = docket.worst(step.contexts)
    if not harm or worst is None:
        return None
    context, assessed = worst
    message = f"{words.quoted(told.call)} has a threshold of {number(value)}, which {harm}; start at 1.0"
    evidence = words.distinct((*_written(told.value), *words.of_trainer(told, context, assessed)))
    return Verdict("CLP302", message, step.site, assessed.risk, evidence)


def judge(clip: Clip, docket: Docket) -> Verdict | None:
    if clip.kind not in ("norm", "tensor-norm", "value") or (
        clip.maker and not results.reaches(clip, docket)
    ):
        return None
    rule = clipcall.call_rule(clip.call, docket.context.knowledge, clip.maker) if clip.maker else None
    for context in clip.contexts:
        if all(path.unusual for path in context.paths) or context.scaled_threshold:
            continue  # guarded by an option, such as `if args.clip > 0`
        value = math.inf if is_infinite(context.threshold) else literal(context.threshold)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        harm = (rule.negative if rule is not None and value < 0 else "") or harm_of(value, clip.kind)
        if harm and not (math.isinf(value) and context.result_used):
            message = (
                f"{words.quoted(clip.call)} has a threshold of {number(value)}, which {harm}; start at 1.0"
            )
            risk, evidence = docket.risk_at(clip)
            return Verdict("CLP302", message, clip.site, risk, words.distinct((*_origin(context), *evidence)))
    return None


def harm_of(threshold: float, kind: str = "norm") -> str:
    """What is wrong with a threshold, or nothing."""
    if math.isnan(threshold):
        return ""
    if threshold < 0:
        # Value clipping clamps to [-t, t]: with t below zero, every element becomes t.
        return "reverses the gradient" if kind != "value" else "gives every element of the gradient one value"
    if threshold == 0:
        return "sets every gradient to zero"
    if threshold >= NEVER_ACTS:
        return "never acts"
    return "stops the learning" if threshold < STOPS else ""


def _origin(context: ClipContext) -> tuple[Evidence, ...]:
    """Where the threshold is written, if elsewhere than in the call."""
    return _written(context.threshold)


def _written(value: Value | None) -> tuple[Evidence, ...]:
    if isinstance(value, Option):
        return (Evidence(*value.place, f"the default of `{value.name}`"),)
    if isinstance(value, Literal) and value.place[0]:
        return (Evidence(*value.place, "the threshold"),)
    return ()
