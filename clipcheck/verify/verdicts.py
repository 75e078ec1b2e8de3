"""Judge a recorded session: was every step taken on min(raw, threshold), over all its parameters?

Pure functions from records to verdicts; nothing is measured, read or printed here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from .session import Place, Process, StepRecord

Word = Literal["confirmed", "refuted", "not measurable", "not reached"]

_TOLERANCE = {"float16": 1e-3, "bfloat16": 1e-2}  # relative; the rest as fp32
_DEFAULT_TOLERANCE = 1e-6
_NOTHING = "nothing clipped the gradients"
_BY_HAND = "the scan sees a clip by hand, which leaves no trace where it does not act"
_DIRECTION = 1e-3  # how far a cosine may be from 1
_CLIP_EPSILON = 1e-6  # torch multiplies by threshold / (norm + 1e-6)


@dataclass(frozen=True, slots=True)
class StepVerdict:
    """What one record shows. `word` None: the record can't be judged, and says nothing about the site."""

    word: Literal["confirmed", "refuted", "not measurable"] | None
    reason: str = ""
    bare: bool = False  # refuted because nothing clipped it
    expected: float | None = None  # the norm that the update should have used


@dataclass(frozen=True, slots=True)
class SiteVerdict:
    """The verdict on one line that steps, over all processes."""

    place: Place
    word: Word
    reason: str
    optimizers: tuple[str, ...] = ()
    observed: int = 0  # updates (evaluations of a closure, each) that were judged
    skipped: int = 0  # by a loss scaler
    not_finite: int = 0  # raw gradients with inf or NaN: not judged by their norm
    threshold: float | None = None
    clipped: int = 0  # updates whose raw norm was above the threshold
    shown: StepRecord | None = None  # the first record that refutes; else the one with the largest raw norm
    expected: float | None = None  # for `shown`
    largest: StepRecord | None = None  # the record with the largest finite raw norm

    @property
    def clipped_share(self) -> float | None:
        """The share of the judged updates that the threshold acted on."""
        judged = self.observed - self.not_finite
        return self.clipped / judged if judged > 0 and self.threshold is not None else None


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of running a command under the observer."""

    command: tuple[str, ...]
    sites: tuple[SiteVerdict, ...] = ()
    problems: tuple[str, ...] = ()  # what kept the observer from seeing, in sentences
    not_run: str = ""  # why the command could not be run
    exit_status: int | None = None  # of the command; negative: ended by that signal
    ended: str = ""  # how it ended, where that was not well: "exit status 1", "signal SIGSEGV"
    crash: str = ""  # its uncaught exception
    stopped: bool = False  # by the step limit
    max_steps: int | None = None
    steps: int = 0  # observed, over all processes
    processes: int = 0
    max_norm: float | None = None  # the threshold asked for, in place of the code's
    sessions: tuple[Process, ...] = ()  # the recordings that this was judged from

    @property
    def exit_code(self) -> int:
        """0 all confirmed, 1 something was not (or nothing was met), 2 the command could not be run.

        How the command itself ended does not count: a crash after confirmed steps is named, and no more.
        """
        if self.not_run:
            return 2
        confirmed = bool(self.sites) and all(site.word == "confirmed" for site in self.sites)
        return 0 if confirmed and not self.problems else 1


def judge_step(record: StepRecord, max_norm: float | None = None) -> StepVerdict:
    """Judge one update. `max_norm` stands in for the threshold that the code gave."""
    if record.skipped:
        return StepVerdict(None, "the loss scaler skipped the step")
    if record.updated == 0:
        return StepVerdict(None, "no parameter had a gradient")
    if record.sharded and not record.joined:
        return StepVerdict(
            "not measurable", "each process holds a part of the gradients, and they don't add up to a whole"
        )
    if record.covered == 0:
        return _judge_bare(record)
    fault = _fault_of_structure(record)
    if fault:
        return StepVerdict("refuted", fault)
    threshold = effective_threshold(record, max_norm)
    if threshold is None or threshold <= 0.0:
        what = "reverses the gradient" if threshold else "leaves nothing of the gradient"
        return StepVerdict("refuted", f"the threshold {_number(record.threshold)} {what}")
    if record.kind == "value":
        return _judge_value(record)
    if not math.isfinite(record.raw):
        return StepVerdict(None, "the gradient was not finite")
    return _judge_norm(record, threshold)


def effective_threshold(record: StepRecord, max_norm: float | None = None) -> float | None:
    """Give the threshold in true units: the code's own, without the loss scale it was multiplied by."""
    if max_norm is not None:
        return max_norm
    if record.threshold is None:
        return None
    return record.threshold / record.clip_scale if record.scale_in_threshold else record.threshold


def tolerance(record: StepRecord) -> float:
    """Give the relative tolerance for norms of such gradients.

    torch's own norm of a big fp32 tensor is off by up to 4e-3 on the CPU; by how much it was is known,
    and does not count against the code.
    """
    base = max(
        (_TOLERANCE.get(name, _DEFAULT_TOLERANCE) for name in record.dtypes), default=_DEFAULT_TOLERANCE
    )
    return base + record.clip_norm_error


def _judge_bare(record: StepRecord) -> StepVerdict:
    if record.modified != "no":
        return StepVerdict(
            "not measurable", "code that verify does not know changed the gradients between backward and step"
        )
    if record.inside:
        return StepVerdict(
            "not measurable",
            "the optimizer clips inside its own step, where raw and used can't be told apart",
        )
    if record.hooked:
        return StepVerdict(
            "not measurable", "gradient hooks act inside backward, where raw and used can't be told apart"
        )
    empty = next((c for c in record.clips if c.with_gradient == 0), None)
    late = next((c for c in record.clips if c.late and c.reached), None)
    early = next((c for c in record.clips if c.reached and not c.late), None)
    other = next((c for c in record.clips if c.with_gradient and not c.reached), None)
    if late is not None:
        reason = f"the clip at {late.place} comes after the step it should guard"
    elif early is not None:
        reason = f"the clip at {early.place} comes before the last backward"
    elif empty is not None:
        handed = "was handed nothing" if empty.given == 0 else "found no gradients"
        reason = f"the clip at {empty.place} {handed}"
    elif other is not None:
        reason = f"the clip at {other.place} reaches none of the parameters updated here"
    else:
        reason = _NOTHING
    return StepVerdict("refuted", reason, bare=True)


def _fault_of_structure(record: StepRecord) -> str:
    """Say what is wrong with the clip, whatever the norms are; empty if nothing."""
    if record.parts > 1:
        return f"clipped in {record.parts} parts, each alone, never as one"
    if record.uncovered > 0:
        return f"the clip covers {record.covered} of {record.covered + record.uncovered} parameters updated"
    if record.clips_per_step > 1:
        times = "twice" if record.clips_per_step == 2 else f"{record.clips_per_step} times"
        turned = "" if record.cosine is None else f" (cosine to the accumulated gradient {record.cosine:.4f})"
        return f"clipped {times} per step{turned}"
    if record.clip_scale != 1.0 and not record.scale_in_threshold:
        return f"clipped while the gradients carried the loss scale {_number(record.clip_scale)}"
    return ""


def _judge_value(record: StepRecord) -> StepVerdict:
    if record.cosine is not None and record.cosine < 1.0 - _DIRECTION:
        return StepVerdict(
            "refuted", f"value clipping changed the direction of the gradient (cosine {record.cosine:.4f})"
        )
    return StepVerdict("not measurable", "clipped by value: no bound on the norm to compare with")


def _judge_norm(record: StepRecord, threshold: float) -> StepVerdict:
    # a joint clip with another optimizer's parameters scales these by its own, larger norm
    base = max(record.clipped_norm or record.raw, record.raw)
    most = record.raw * min(1.0, threshold / base) if base > 0.0 else 0.0
    least = record.raw * min(1.0, threshold / (base + _CLIP_EPSILON)) if base > 0.0 else 0.0
    margin = tolerance(record)
    if not least * (1.0 - margin) <= record.used <= most * (1.0 + margin):
        after = ", changed again after the clip" if record.modified == "after clip" else ""
        reason = f"used {_number(record.used)} where {_number(most)} was expected{after}"
        return StepVerdict("refuted", reason, expected=most)
    if record.cosine is not None and record.cosine < 1.0 - max(_DIRECTION, margin):
        reason = f"the direction changed (cosine {record.cosine:.4f})"
        return StepVerdict("refuted", reason, expected=most)
    return StepVerdict("confirmed", expected=most)


def judge_site(
    place: Place, records: Sequence[StepRecord], max_norm: float | None = None, *, by_hand: bool = False
) -> SiteVerdict:
    """Judge all that was recorded at one line; `by_hand`: the scan knows a clip there that need not show."""
    judged = [(record, judge_step(record, max_norm)) for record in records]
    refuted = [(r, v) for r, v in judged if v.word == "refuted"]
    hidden = [(r, v) for r, v in judged if v.word == "not measurable"]
    confirmed = [(r, v) for r, v in judged if v.word == "confirmed"]
    word: Word
    if hidden and all(verdict.bare for _, verdict in refuted):
        # a hand-written clip that did not act at some step leaves no trace there
        word, (shown, verdict) = "not measurable", hidden[0]
    elif by_hand and refuted and all(verdict.reason == _NOTHING for _, verdict in refuted):
        word, shown, verdict = "not measurable", refuted[0][0], StepVerdict("not measurable", _BY_HAND)
    elif refuted:
        word, (shown, verdict) = "refuted", refuted[0]
        if verdict.bare:  # a clip after the step is seen only at the next one
            bare = [v for _, v in refuted if v.bare]
            verdict = next((v for v in bare if v.reason != _NOTHING), verdict)
    elif confirmed:
        word = "confirmed"
        shown, verdict = max(confirmed, key=lambda pair: pair[0].raw)
    elif judged:
        word, (shown, verdict) = "not measurable", judged[0]
    else:
        return SiteVerdict(place, "not reached", "the step never ran")
    thresholds = [t for t in (effective_threshold(r, max_norm) for r, v in judged if v.word) if t is not None]
    finite = [r for r, v in judged if v.word and math.isfinite(r.raw)]
    return SiteVerdict(
        place=place,
        word=word,
        reason=verdict.reason or _praise(shown, verdict, len(confirmed)),
        optimizers=tuple(sorted({record.optimizer for record in records})),
        observed=sum(not record.skipped for record in records),
        skipped=sum(record.skipped for record in records),
        not_finite=sum(not record.skipped and not math.isfinite(record.raw) for record in records),
        threshold=thresholds[0] if thresholds else None,
        clipped=sum(acted(record, max_norm) for record in finite),
        shown=shown,
        expected=verdict.expected,
        largest=max(finite, key=lambda record: record.raw, default=None),
    )


def judge(
    processes: Iterable[Process],
    *,
    max_norm: float | None = None,
    known_sites: Iterable[tuple[str, int]] = (),
    by_hand: Iterable[tuple[str, int]] = (),
) -> tuple[SiteVerdict, ...]:
    """Judge every line that stepped in any process, and every known one that did not; in file order.

    At the lines `by_hand` the scan knows a clip that is written by hand, or that a library makes.
    """
    by_place: dict[Place, list[StepRecord]] = {}
    for filename, row in known_sites:
        by_place[Place(os.path.realpath(filename), row)] = []
    for process in processes:
        for record in process.records:
            by_place.setdefault(record.place, []).append(record)
    hidden = {Place(os.path.realpath(filename), row) for filename, row in by_hand}
    return tuple(
        judge_site(place, by_place[place], max_norm, by_hand=place in hidden) for place in sorted(by_place)
    )


def acted(record: StepRecord, max_norm: float | None = None) -> bool:
    """Say whether the raw norm of an update was above the threshold."""
    threshold = effective_threshold(record, max_norm)
    norm = max(record.clipped_norm or 0.0, record.raw)
    if max_norm is None and not record.scale_in_threshold:
        norm *= record.clip_scale  # a clip before unscaling compares the scaled norm, and so acts at once
    return threshold is not None and norm > threshold


def _praise(record: StepRecord, verdict: StepVerdict, count: int) -> str:
    if verdict.word != "confirmed":
        return ""
    if count == 1:
        return f"1 update used min(raw, threshold) over all {record.updated} parameters"
    largest = f"the numbers are those of {record.when}, with the largest raw norm"
    return f"{count} updates used min(raw, threshold) over all {record.updated} parameters; {largest}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"
