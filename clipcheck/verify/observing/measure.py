"""Turn what the tracks know at the moment of an update into the record of that update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..session import CLIPS_KEPT, ClipCall, ClipKind, Modified, Place, StepRecord
from ..totals import relative_error, total
from . import losses, norms
from .shards import is_sharded, shares
from .tracks import ClipEvent, Sighting

if TYPE_CHECKING:
    from torch import Tensor

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
    seconds: float | None = None  # since this optimizer's update before
    observing: float | None = None
    clipping: float | None = None
    stress: float = 1.0


@dataclass(frozen=True, slots=True)
class _Reading:
    """The numbers brought to the host for one update, in true units; per parameter that has a gradient."""

    used: list[float]
    raw: list[float]
    loss: float | None


@dataclass(frozen=True, slots=True)
class _Cover:
    """The clip that covers most of the update's parameters, and how it stands to the rest."""

    kind: ClipKind
    threshold: float
    norm_type: float
    norm: float  # before the clip, over everything that it covered, in true units
    norm_error: float
    reported: float | None  # by the clip itself
    scale: float  # loss scale while clipping
    scale_in_threshold: bool
    parts: int


def measure(update: Update) -> StepRecord:
    """Give the record of an update; every norm in true units."""
    covered = [s for s in update.seen if s.track.clip is not None]
    cover = _cover(covered)
    norm_type = cover.norm_type if cover else 2.0
    reading = _read(update, norm_type)
    used, raw = reading.used, reading.raw
    bad = [_not_finite(s, value) for s, value in zip(update.seen, used, strict=True)]
    bare = [s for s, value in zip(update.seen, used, strict=True) if s.track.clip is None and value != 0.0]
    modified = _modified(covered, bare)
    factors, world = shares(update.seen, norm_type)
    sharded = any(is_sharded(s.param, s.grad) for s in update.seen)
    whole = _unclipped(update.seen)
    total_raw = _whole(raw, factors, norm_type)
    if any(s.track.copied_between_clips for s in update.seen):  # clipped between backwards
        parts = norms.values_of(norms.norms(whole, norm_type))
        scales = [s.track.scale for s in update.seen]
        total_raw = _whole([p / scale for p, scale in zip(parts, scales, strict=True)], factors, norm_type)
    return StepRecord(
        place=update.place,
        optimizer=update.optimizer,
        step=update.step,
        raw=total_raw,
        used=_whole(used, factors, norm_type),
        updated=len(update.seen),
        covered=len(covered),
        uncovered=len(bare),
        dtypes=tuple(sorted({str(s.grad.dtype).removeprefix("torch.") for s in update.seen})),
        evaluation=update.evaluation,
        threshold=cover.threshold if cover else None,
        kind=cover.kind if cover else None,
        norm_type=norm_type,
        clipped_norm=cover.norm if cover else None,
        clip_norm_error=cover.norm_error if cover and not sharded else 0.0,
        clips_per_step=max((s.track.clips for s in update.seen), default=0),
        parts=cover.parts if cover else 0,
        cosine=None if sharded else _cosine(update.seen, whole, modified, clipped=bool(covered)),
        modified=modified,
        hooked=any(_has_hooks(s.param) for s in bare),
        sharded=sharded,
        world=world,
        clip_reported=cover.reported if cover and sharded else None,
        skipped=update.skipped,
        loss_scale=update.loss_scale,
        clip_scale=cover.scale if cover else 1.0,
        scale_in_threshold=bool(cover and cover.scale_in_threshold),
        clips=_calls(update),
        loss=reading.loss,
        not_finite_tensors=sum(count > 0 for count in bad),
        not_finite_elements=sum(bad),
        seconds=update.seconds,
        observing=update.observing,
        clipping=update.clipping,
        stress=update.stress,
    )


def _read(update: Update, norm_type: float) -> _Reading:
    """Read what was used, what backward had left and the loss, waiting for the device once."""
    known = [s.value for s in update.seen if s.value is not None]
    scalars: list[Tensor] = []
    if norm_type != 2.0:
        known, scalars = [], norms.norms([s.grad for s in update.seen], norm_type)
    elif len(known) < len(update.seen):
        known, scalars = [], [s.norm for s in update.seen if s.norm is not None]
    kept = [_raw(sighting) for sighting in update.seen]
    behind = losses.behind_all(update.seen)
    parts = [loss.value for loss in behind if loss.value is not None]
    values = iter(norms.values_of([*scalars, *(norm for norm in kept if norm is not None), *parts]))
    used = [value / update.grad_scale for value in known or [next(values) for _ in scalars]]
    raw = [value if norm is None else next(values) for value, norm in zip(used, kept, strict=True)]
    return _Reading(used, raw, losses.total(behind, values))


def _whole(parts: Sequence[float], factors: Sequence[float], norm_type: float) -> float:
    """Give the norm over all parameters (of sharded ones, this process's share of it)."""
    return total([part * factor for part, factor in zip(parts, factors, strict=True)], norm_type)


def _raw(sighting: Sighting) -> Tensor | None:
    """Give the norm that backward left, in true units; None where it is the one that is used."""
    track = sighting.track
    if track.clip is None:
        return track.norm / track.scale if track.modified and track.norm is not None else None
    return track.raw


def _not_finite(sighting: Sighting, used: float) -> int:
    """Count the elements that backward left as inf or NaN (a clip spreads them to all others)."""
    track = sighting.track
    if track.clip is None or track.not_finite is None:
        return norms.not_finite(sighting.grad, used)
    return track.not_finite


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
    native = total([event.native_norm for event in events], first.norm_type)
    own = first.reported if first.given_norm is None else first.given_norm
    scale = max([event.scale for event in events] + [s.track.clip_scale for s in covered])
    asked = any(event.scale_asked for event in events) or first.threshold >= _BIG_THRESHOLD
    return _Cover(
        kind=first.kind,
        threshold=first.threshold,
        norm_type=first.norm_type,
        norm=total([event.norm for event in events], first.norm_type)
        / (scale if all(event.scale == 1.0 for event in events) else 1.0),
        norm_error=relative_error(own, native),
        reported=own,
        scale=scale,
        scale_in_threshold=scale > 1.0 and asked and first.threshold / scale >= 0.01,
        parts=len(groups),
    )


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
