"""Turn what the tracks know at the moment of an update into the record of that update."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import norms
from .session import CLIPS_KEPT, ClipCall, ClipKind, Modified, Place, StepRecord
from .tracks import ClipEvent, Sighting

if TYPE_CHECKING:
    from torch import Tensor

_NORM_ERROR = 1e-2  # beyond this a clip's own norm is not imprecise but of something else
_BIG_THRESHOLD = 1e3  # nobody's threshold, unless it was multiplied by a loss scale


@dataclass(frozen=True, slots=True)
class Update:
    """One update that is about to happen, with what was seen of its gradients."""

    place: Place
    optimizer: str
    step: int
    evaluation: int | None
    params: Sequence[Tensor]
    seen: Sequence[Sighting]  # those with a gradient, norms taken
    events: Sequence[ClipEvent]  # clip calls since the last step
    grad_scale: float  # a fused optimizer will still divide by it
    loss_scale: float | None
    skipped: bool


@dataclass(frozen=True, slots=True)
class _Cover:
    """The clip that covers most of the update's parameters, and how it stands to the rest."""

    kind: ClipKind
    threshold: float
    norm_type: float
    norm: float  # before the clip, over everything that it covered, in true units
    norm_error: float
    scale: float  # loss scale while clipping
    scale_in_threshold: bool
    parts: int


def measure(update: Update) -> StepRecord:
    """Give the record of an update; every norm in true units."""
    covered = [s for s in update.seen if s.track.clip is not None]
    cover = _cover(covered)
    norm_type = cover.norm_type if cover else 2.0
    used = _used(update, norm_type)
    raw = [_raw(sighting, value) for sighting, value in zip(update.seen, used, strict=True)]
    bare = [s for s, value in zip(update.seen, used, strict=True) if s.track.clip is None and value != 0.0]
    modified = _modified(covered, bare)
    sharded = any(_is_sharded(s) for s in update.seen)
    whole = _unclipped(update.seen)
    total_raw = norms.total(raw, norm_type)
    if any(s.track.copied_between_clips for s in update.seen):  # clipped between backwards
        parts = norms.values_of(norms.norms(whole, norm_type))
        scales = [s.track.scale for s in update.seen]
        total_raw = norms.total([p / scale for p, scale in zip(parts, scales, strict=True)], norm_type)
    return StepRecord(
        place=update.place,
        optimizer=update.optimizer,
        step=update.step,
        raw=total_raw,
        used=norms.total(used, norm_type),
        updated=len(update.seen),
        covered=len(covered),
        uncovered=len(bare),
        dtypes=tuple(sorted({str(s.grad.dtype).removeprefix("torch.") for s in update.seen})),
        evaluation=update.evaluation,
        threshold=cover.threshold if cover else None,
        kind=cover.kind if cover else None,
        norm_type=norm_type,
        clipped_norm=cover.norm if cover else None,
        clip_norm_error=cover.norm_error if cover else 0.0,
        clips_per_step=max((s.track.clips for s in update.seen), default=0),
        parts=cover.parts if cover else 0,
        cosine=None if sharded else _cosine(update.seen, whole, modified, clipped=bool(covered)),
        modified=modified,
        hooked=any(_has_hooks(s.param) for s in bare),
        sharded=sharded,
        skipped=update.skipped,
        loss_scale=update.loss_scale,
        clip_scale=cover.scale if cover else 1.0,
        scale_in_threshold=bool(cover and cover.scale_in_threshold),
        clips=_calls(update),
    )


def _used(update: Update, norm_type: float) -> list[float]:
    if norm_type == 2.0:
        scalars = [s.norm for s in update.seen if s.norm is not None]
    else:
        scalars = norms.norms([s.grad for s in update.seen], norm_type)
    return [value / update.grad_scale for value in norms.values_of(scalars)]


def _raw(sighting: Sighting, used: float) -> float:
    track = sighting.track
    if track.clip is None and track.modified and track.norm is not None:
        return float(track.norm) / track.scale
    return used if track.clip is None or track.raw is None else float(track.raw)


def _cover(covered: Sequence[Sighting]) -> _Cover | None:
    """Find the clip that covers most; calls that share one total norm count as one clip."""
    groups: dict[object, list[ClipEvent]] = {}
    reach: dict[object, int] = {}
    for sighting in covered:
        event = sighting.track.clip
        if event is None:
            continue
        key: object = id(event) if event.given_norm is None else (event.threshold, event.given_norm)
        reach[key] = reach.get(key, 0) + 1
        members = groups.setdefault(key, [])
        if all(member is not event for member in members):
            members.append(event)
    if not groups:
        return None
    events = groups[max(reach, key=lambda key: reach[key])]
    first = events[0]
    native = norms.total([event.native_norm for event in events], first.norm_type)
    own = first.reported if first.given_norm is None else first.given_norm
    scale = max([event.scale for event in events] + [s.track.clip_scale for s in covered])
    asked = any(event.scale_asked for event in events) or first.threshold >= _BIG_THRESHOLD
    return _Cover(
        kind=first.kind,
        threshold=first.threshold,
        norm_type=first.norm_type,
        norm=norms.total([event.norm for event in events], first.norm_type)
        / (scale if all(event.scale == 1.0 for event in events) else 1.0),
        norm_error=_relative(own, native),
        scale=scale,
        scale_in_threshold=scale > 1.0 and asked and first.threshold / scale >= 0.01,
        parts=len(groups),
    )


def _relative(own: float | None, measured: float) -> float:
    if own is None or measured == 0.0 or not math.isfinite(own) or not math.isfinite(measured):
        return 0.0
    error = abs(own / measured - 1.0)
    return error if error < _NORM_ERROR else 0.0


def _modified(covered: Sequence[Sighting], bare: Sequence[Sighting]) -> Modified:
    if any(s.track.modified for s in bare):
        return "unclipped"
    return "after clip" if any(s.track.modified for s in covered) else "no"


def _unclipped(seen: Sequence[Sighting]) -> list[Tensor]:
    return [s.track.without_clips(s.grad) for s in seen]


def _cosine(
    seen: Sequence[Sighting], whole: Sequence[Tensor], modified: Modified, *, clipped: bool
) -> float | None:
    if modified == "unclipped" or any(s.grad.is_sparse for s in seen):
        return None
    if any(s.track.pristine is not None or s.track.offset is not None for s in seen):
        return norms.cosine([(s.grad, tensor) for s, tensor in zip(seen, whole, strict=True)])
    return None if clipped else 1.0


def _calls(update: Update) -> tuple[ClipCall, ...]:
    own = {id(param) for param in update.params}
    return tuple(
        ClipCall(
            place=event.place,
            kind=event.kind,
            threshold=event.threshold,
            given=event.given,
            with_gradient=len(event.ids),
            reached=len(event.ids & own),
            late=event.late,
        )
        for event in list(update.events)[:CLIPS_KEPT]
    )


def _has_hooks(param: Tensor) -> bool:
    return bool(
        getattr(param, "_backward_hooks", None) or getattr(param, "_post_accumulate_grad_hooks", None)
    )


def _is_sharded(sighting: Sighting) -> bool:
    # FSDP2 holds DTensors; FSDP1 marks what it has flattened
    return norms.local(sighting.grad) is not sighting.grad or getattr(
        sighting.param, "_fsdp_flattened", False
    )
