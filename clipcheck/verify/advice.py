"""Advise a threshold from the norms of a run. A pure function over records: nothing is measured here.

Norms are those that backward left (raw), over all parameters of an update. Start at 1.0; go lower, to
0.5 and then 0.1, if the norm explodes or goes non-finite; go higher if nearly every step is clipped and the
loss stalls. A norm depends on how the loss is reduced (sum or mean) and on the width of the model: a value
that is usual for a family stands beside the advice, and does not decide it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from .verdicts import effective_threshold

if TYPE_CHECKING:
    from .session import StepRecord

START = 1.0
CANDIDATES = (0.1, 0.25, 0.5, 1.0, 5.0)
PERCENTILES = (5, 25, 50, 75, 95, 99)
_SPIKE = 100.0  # times the median norm: an explosion; heavy tails of small batches stay within some tens
_RISE = 10.0  # how much larger the norm of the last quarter is than that of the first, if it runs away
_NEARLY_ALL = 0.9  # of the steps
_PROGRESS = 0.02  # by which the mean loss of the last quarter must be below that of the first
_ENOUGH = 8  # updates, to speak of a trend
# What people use, and where (by the family of the static scan's risk).
USUAL = {
    "recurrent": "0.25 for language models (AWD-LSTM, word_language_model), 1 to 5 for sequence to sequence",
    "transformer": "1.0 (GPT-2, LLaMA, Trainer), 0.1 for detection (DETR), 0.5 for character models",
    "diffusion": "1.0 (Diffusers, KerasHub)",
    "policy": "0.5, 10 for Q-learning (Stable-Baselines3)",
    "convolution": "none, or 10 (YOLOv5)",
}
# Said of a run that clips nothing, and shows nothing that speaks for it.
_WITHOUT = dict.fromkeys(("convolution", "linear", "adversarial"), ("such a model can do without it",))
_IDLE = "no norm was above it: it would act on the day that one explodes"


@dataclass(frozen=True, slots=True)
class Advice:
    """What to set, and what it rests on."""

    threshold: float | None  # to try next; None: no threshold would help, or nothing was seen
    reasons: tuple[str, ...]  # sentences, the decisive one first
    current: float | None = None  # of the code, or asked for
    percentiles: tuple[tuple[int, float], ...] = ()  # of the finite raw norms
    largest: float | None = None
    shares: tuple[tuple[float, float], ...] = ()  # of the updates that a threshold would clip
    clipped_share: float | None = None  # by the current one
    step_seconds: float | None = None  # median, without what observing took
    clip_seconds: float | None = None  # median, of the clip's call
    observing_share: float | None = None  # of the time of all steps
    usual: str = ""  # for this family of models, and by whom


def advise(records: Sequence[StepRecord], *, family: str = "", max_norm: float | None = None) -> Advice:
    """Advise on the updates of one line of code, in their order; `family` is the static scan's.

    `max_norm` is the threshold that the steps were held to, in place of the code's.
    """
    records = [record for record in records if not record.skipped and record.updated]
    raw = sorted(record.raw for record in records if math.isfinite(record.raw))
    current = next((t for r in records if (t := effective_threshold(r, max_norm)) is not None), None)
    threshold, reasons = _decide(records, raw, current, family)
    return Advice(
        threshold,
        tuple(reasons),
        current=current,
        percentiles=tuple((q, _percentile(raw, q)) for q in PERCENTILES) if raw else (),
        largest=raw[-1] if raw else None,
        shares=tuple((candidate, _share(raw, candidate)) for candidate in CANDIDATES) if raw else (),
        clipped_share=_share(raw, current) if raw and current is not None else None,
        usual=USUAL.get(family, ""),
        **_cost(records),
    )


def _decide(
    records: Sequence[StepRecord], raw: Sequence[float], current: float | None, family: str
) -> tuple[float | None, list[str]]:
    if not records:
        return None, ["no update was seen, so there is nothing to advise on"]
    trouble = _not_finite(records)
    if trouble is not None:
        return _for_not_finite(trouble, records, current)
    lower = _lower(current)
    spike = raw[-1] / median(raw) if median(raw) > 0.0 else 1.0
    if len(raw) >= _ENOUGH and spike >= _SPIKE:
        return lower, [f"the largest norm is {spike:.3g} times the median: it explodes now and then"]
    rise = _trend([record.raw for record in records])
    if rise is not None and rise >= _RISE:
        return lower, [f"the norm runs away: {rise:.3g} times as large at the end as at the start"]
    share = _share(raw, START if current is None else current)
    stalls = _stalls(records)
    if current is not None and share >= _NEARLY_ALL and stalls:
        higher = max(_rounded(median(raw)), current)
        clipped = f"{share:.0%} of the steps are clipped at {current:g} and the loss stalls"
        return higher, [clipped, f"{higher:g} clips about half of them"]
    if current is None:
        return START, [*_WITHOUT.get(family, ()), *_to_begin_with(raw, share)]
    if share >= _NEARLY_ALL:
        known = "the loss falls all the same" if stalls is False else "whether the loss stalls is not known"
        return current, [f"nearly every step is clipped ({share:.0%}); {known}"]
    if share == 0.0:
        return current, [_IDLE]
    return current, [f"it clips {share:.0%} of the steps"]


def _to_begin_with(raw: Sequence[float], share: float) -> list[str]:
    """Say what the first value to try would do to a run without any."""
    start = f"{START:g} is the start"
    if share == 0.0:
        return [start, _IDLE]
    reasons = [start, f"it would clip {share:.0%} of the steps"]
    if share >= _NEARLY_ALL:
        higher = _rounded(median(raw))
        reasons.append(
            f"that may slow the learning: if the loss stalls, go up ({higher:g} clips about half of them)"
        )
    return reasons


def _not_finite(records: Sequence[StepRecord]) -> int | None:
    return next((at for at, r in enumerate(records) if not math.isfinite(r.raw) or r.loss_not_finite), None)


def _for_not_finite(
    at: int, records: Sequence[StepRecord], current: float | None
) -> tuple[float | None, list[str]]:
    """Advise on a run whose gradient or loss was not finite, first at the record of that index."""
    record, before = records[at], [r.used for r in records[:at]]
    grew = len(before) > 1 and before[-1] >= _RISE * median(before[:-1]) and before[-1] > 0.0
    if record.loss_not_finite and not grew:
        forward = (
            f"the loss itself was {record.loss} at {record.when}, with no large update before it: it comes from "
            "the forward pass or the data (a logarithm of 0, a division by 0, an overflow of fp16), and clipping "
            "will not cure it"
        )
        return current, [forward]
    lower = _lower(current)
    if record.loss_not_finite:
        return lower, [
            f"the loss was {record.loss} at {record.when}, after the norm had grown to {before[-1]:.4g}"
        ]
    reasons = [f"the gradient norm was not finite at {record.when}, though the loss was"]
    if record.not_finite_elements:
        reasons.append(
            f"{record.not_finite_elements} of its elements were inf or NaN already when it was clipped: a clip "
            "makes such a step worse, not better (skip it, or pass error_if_nonfinite=True); a lower threshold "
            "helps only if large updates led there"
        )
    return lower, reasons


def _lower(current: float | None) -> float:
    """Give the next lower value, between 0.5 and 0.1."""
    return 0.5 if current is None or current > 0.5 else min(0.1, current)


def _cost(records: Sequence[StepRecord]) -> dict[str, Any]:
    timed = [r for r in records if r.seconds is not None and r.observing is not None]
    if not timed:
        return {}
    seconds = [max(0.0, (r.seconds or 0.0) - (r.observing or 0.0)) for r in timed]
    clips = [r.clipping for r in timed if r.clipping is not None and r.clips]
    whole = sum(r.seconds or 0.0 for r in timed)
    return {
        "step_seconds": median(seconds),
        "clip_seconds": median(clips) if clips else None,
        "observing_share": sum(r.observing or 0.0 for r in timed) / whole if whole > 0.0 else None,
    }


def _trend(values: Sequence[float]) -> float | None:
    """Give the ratio of the last quarter's median to the first's; None for too few values."""
    if len(values) < _ENOUGH:
        return None
    quarter = len(values) // 4
    first, last = median(values[:quarter]), median(values[-quarter:])
    return last / first if first > 0.0 else None


def _stalls(records: Sequence[StepRecord]) -> bool | None:
    """Say whether the loss no longer falls; None where losses are not known, or too few."""
    losses = [record.loss for record in records if record.loss is not None]
    if len(losses) < _ENOUGH:
        return None
    quarter = len(losses) // 4
    first, last = fmean(losses[:quarter]), fmean(losses[-quarter:])
    return last > first - _PROGRESS * abs(first)


def _share(raw: Sequence[float], threshold: float) -> float:
    return sum(norm > threshold for norm in raw) / len(raw) if raw else 0.0


def _percentile(ordered: Sequence[float], percent: int) -> float:
    """Give the value below which that share lies, between neighbours in proportion."""
    at = (len(ordered) - 1) * percent / 100
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def _rounded(value: float) -> float:
    """Round to two digits: more would look measured to the point."""
    return float(f"{value:.1e}")


def advice_rows(advice: Advice) -> list[tuple[str, str]]:
    """Give the advice in words: what is told, and the telling; the threshold first."""
    reasons = "; ".join(advice.reasons)
    if advice.threshold is None:
        word = "no advice"
    elif advice.threshold == advice.current:
        word = f"keep {advice.threshold:g}"
    else:
        word = f"try {advice.threshold:g}"
        word += "" if advice.current is None else f" in place of {advice.current:g}"
    rows = [("threshold", f"{word}; {reasons}")]
    if advice.percentiles:
        parts = [f"{percent}% {value:.4g}" for percent, value in advice.percentiles]
        rows.append(("raw norms", f"{', '.join(parts)}, largest {advice.largest:.4g}"))
        parts = [f"{share:.0%} at {threshold:g}" for threshold, share in advice.shares]
        rows.append(("steps that would be clipped", ", ".join(parts)))
    if advice.usual:
        rows.append(("usual for such a model", advice.usual))
    cost = _cost_told(advice)
    return [*rows, *([("cost", cost)] if cost else [])]


def _cost_told(advice: Advice) -> str:
    parts = []
    if advice.clipped_share is not None:
        parts.append(f"{advice.clipped_share:.0%} of the steps are clipped")
    if advice.step_seconds is not None:
        parts.append(f"a step takes {_milliseconds(advice.step_seconds)}")
        if advice.clip_seconds is not None:
            parts.append(f"{_milliseconds(advice.clip_seconds)} of it to clip")
        if advice.observing_share is not None:
            parts.append(f"observing takes {advice.observing_share:.0%} of this run's time on top")
    return ", ".join(parts)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"


def advice_json(advice: Advice) -> dict[str, Any]:
    """Give the advice as plain values."""
    return {
        "threshold": advice.threshold,
        "reasons": list(advice.reasons),
        "current": advice.current,
        "percentiles": {str(percent): value for percent, value in advice.percentiles},
        "largest": advice.largest,
        "shares": {f"{threshold:g}": share for threshold, share in advice.shares},
        "clipped_share": advice.clipped_share,
        "step_seconds": advice.step_seconds,
        "clip_seconds": advice.clip_seconds,
        "observing_share": advice.observing_share,
        "usual": advice.usual or None,
    }
