"""Follow each parameter's gradient from backward to the step: who changed it last, and what it was before.

A gradient is recognised by the identity and the version counter of its tensor. Changes through `.data`
bump no version, so the norm that backward left is kept as well and compared where it matters.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from ..session import ClipKind, Place
from . import norms
from .losses import Behind, Chain, Loss

_SAME = 1e-6  # relative; the same sum over another grouping of tensors may differ by rounding

Cause = Literal["backward", "code"]


@dataclass(slots=True)
class ClipEvent:
    """One call of a clip function, while the run goes on."""

    place: Place
    kind: ClipKind
    threshold: float
    norm_type: float
    given: int
    ids: frozenset[int]  # of the parameters that had a gradient
    late: bool  # all of those were already used by a step
    scale: float  # loss scale on the gradients, 1.0 if none
    scale_asked: bool  # the code asked the scaler for its scale since the last backward
    norm: float  # before the clip, over all of them, without the loss scale
    native_norm: float  # the same with the loss scale: what the clip itself computes
    given_norm: float | None = None  # handed to `clip_grads_with_norm_`, perhaps over more tensors
    reported: float | None = None  # what the clip says the norm was

    @property
    def measures_only(self) -> bool:
        """Whether the threshold is infinite: code that asks for the norm, and clips nothing."""
        return self.threshold == float("inf")


@dataclass(slots=True)
class Track:
    """What is known of one parameter's gradient."""

    param: weakref.ref[Tensor]
    grad_id: int = 0
    version: int = -1
    norm: Tensor | None = None  # as backward left it, to notice changes through `.data`
    raw: Tensor | None = None  # norm at the first clip after the last backward, in true units
    clip: ClipEvent | None = None  # last clip, if no backward came after it
    clips: int = 0  # since the gradient was empty or used
    spent: bool = False  # a step has used it
    modified: bool = False  # by unknown code, since the last clip or the last emptying
    scale: float = 1.0  # loss scale still on the gradient
    clip_scale: float = 1.0  # loss scale on it when it was clipped
    pristine: Tensor | None = None  # the whole accumulated gradient as it would be without clips
    offset: Tensor | None = None  # the same as a difference, once backward adds to the clipped one
    behind: Behind = ()  # losses that it is the gradient of
    not_finite: int | None = None  # elements that were inf or NaN at the first clip after the last backward

    def empty(self) -> None:
        """Forget everything: the gradient is gone or zero."""
        self.grad_id, self.version, self.norm = 0, -1, None
        self.scale = 1.0
        self.restart()

    def restart(self) -> None:
        """Start a new accumulation."""
        self.raw = self.clip = self.pristine = self.offset = None
        self.clips, self.spent, self.modified = 0, False, False
        self.clip_scale = 1.0
        self.behind, self.not_finite = (), None

    def touched(self, scale: float) -> None:
        """A backward has added to the gradient (or made it)."""
        if self.spent:
            self.restart()
        self.clip = self.raw = self.not_finite = None
        self.scale, self.clip_scale = scale, 1.0

    def stamp(self, grad: Tensor) -> None:
        """Remember the gradient as it is now."""
        self.grad_id, self.version = id(grad), grad._version

    @property
    def copied_between_clips(self) -> bool:
        """Whether clips came between backwards, and what they took away is known."""
        return self.offset is not None or (self.pristine is not None and self.clips > 1)

    def without_clips(self, grad: Tensor) -> Tensor:
        """Give the accumulated gradient as it would be, had nothing clipped it."""
        if self.pristine is not None:
            return self.pristine
        if self.offset is not None:
            return norms.local(grad).detach().to(self.offset.dtype) + self.offset
        return norms.local(grad).detach()


@dataclass(slots=True)
class Sighting:
    """A parameter that has a gradient, as `Tracks.look` saw it."""

    param: Tensor
    grad: Tensor
    track: Track
    norm: Tensor | None = None  # 0-dim, on the gradient's device
    value: float | None = None  # of `norm`, where it has been read


def read(seen: Sequence[Sighting]) -> list[float]:
    """Give the norms as numbers, waiting for the device only where they have not been read yet."""
    known = [s.value for s in seen if s.value is not None]
    return known if len(known) == len(seen) else norms.values_of([s.norm for s in seen if s.norm is not None])


@dataclass(slots=True)
class Tracks:
    """The tracks of all parameters that were ever met, by identity."""

    by_id: dict[int, Track] = field(default_factory=dict)

    def of(self, param: Tensor) -> Track:
        """Give the parameter's track, a new one if it was never met."""
        key = id(param)
        track = self.by_id.get(key)
        if track is None or track.param() is not param:
            track = Track(weakref.ref(param, _forget(self.by_id, key)))
            self.by_id[key] = track
        return track

    def look(
        self,
        params: Iterable[Tensor],
        cause: Cause,
        *,
        values: bool,
        loss: Loss | None = None,
    ) -> list[Sighting]:
        """See which gradients changed since the last look, and hold `cause` responsible.

        With `values` the norm of each gradient is taken, and changes through `.data` are noticed. Under
        the cause "backward" what changed is new, with the scale of `loss` on it.
        """
        seen: list[Sighting] = []
        changed: list[Sighting] = []
        for param in _once(params):
            grad = param.grad
            track = self.of(param)
            if grad is None:
                if track.grad_id or track.clips:
                    track.empty()
                continue
            sighting = Sighting(param, grad, track)
            seen.append(sighting)
            if track.grad_id != id(grad) or track.version != grad._version:
                changed.append(sighting)
        measured = seen if values else changed
        for sighting, norm in zip(measured, norms.norms([s.grad for s in measured]), strict=True):
            sighting.norm = norm
        if cause == "backward":
            chain = None if loss is None else Chain(loss)
            for sighting in changed:
                track = sighting.track
                track.touched(1.0 if loss is None else loss.scale)
                track.stamp(sighting.grad)
                track.norm = sighting.norm
                if chain is not None:
                    track.behind = chain.after(track.behind)
        else:
            self._blame_code(measured, {id(s) for s in changed})
        return seen

    def _blame_code(self, measured: Sequence[Sighting], changed: set[int]) -> None:
        """Mark what unknown code has changed; a gradient that it set to zero counts as emptied."""
        now = [s.norm for s in measured if s.norm is not None]
        kept = [s.track.norm for s in measured]
        values = iter(norms.values_of([*now, *(norm for norm in kept if norm is not None)]))  # one wait
        for sighting in measured:
            sighting.value = next(values)
        for sighting, old in zip(measured, kept, strict=True):
            value = sighting.value
            assert value is not None
            expected = next(values) if old is not None else None
            differs = expected is not None and not _same(value, expected)
            if id(sighting) not in changed and not differs:
                continue
            if value == 0.0:
                sighting.track.empty()
                sighting.track.norm = sighting.norm
            else:
                sighting.track.modified = True  # and the norm that backward left is kept
            sighting.track.stamp(sighting.grad)

    def before_backward(self, params: Iterable[Tensor]) -> None:
        """Keep apart what clips took away from what the coming backward will add."""
        for sighting in self.look(params, "code", values=False):
            track = sighting.track
            if track.pristine is not None:
                if not track.spent:
                    track.offset = _minus(track.pristine, norms.local(sighting.grad))
                track.pristine = None

    def before_clip(self, seen: Sequence[Sighting], event: ClipEvent, *, sampled: bool) -> None:
        """Note the clip on every gradient that it is about to change."""
        for sighting in seen:
            track = sighting.track
            if track.spent:
                continue  # too late: the step has been taken
            if sampled and track.pristine is None and not sighting.grad.is_sparse:
                whole = track.without_clips(sighting.grad)
                track.pristine = whole.clone() if track.offset is None else whole
                track.offset = None
            if track.clip is None:
                track.raw = None if sighting.norm is None else sighting.norm / track.scale
                track.clip_scale = track.scale
            track.clip = event
            track.clips += 1
            track.modified = False

    def after_change(self, seen: Sequence[Sighting], *, keep_norm: bool) -> None:
        """Accept what a known function has done to the gradients."""
        for sighting in seen:
            if sighting.param.grad is not None:
                sighting.track.stamp(sighting.param.grad)
                if not keep_norm:
                    sighting.track.norm = None

    def after_unscale(self, seen: Sequence[Sighting], scale: float) -> None:
        """The scaler has divided the gradients by `scale`."""
        for sighting in seen:
            track = sighting.track
            if track.norm is not None:
                track.norm = track.norm / scale
            if track.pristine is not None:
                track.pristine = track.pristine / scale
            if track.offset is not None:
                track.offset = track.offset / scale
            if track.scale == 1.0 and track.clip is not None:  # a scaler that was not seen scaling
                track.raw = None if track.raw is None else track.raw / scale
                track.clip_scale *= scale
            track.scale = 1.0
        self.after_change(seen, keep_norm=True)

    def after_step(self, params: Iterable[Tensor]) -> None:
        """The step has used these gradients: later clips come too late, and copies can go."""
        for param in params:
            track = self.by_id.get(id(param))
            if track is None:
                continue
            track.pristine = track.offset = track.norm = None
            if param.grad is None:
                track.empty()
            else:
                track.spent = True
                track.stamp(param.grad)  # fused and nesterov steps write into the gradient


def _forget(table: dict[int, Track], key: int) -> Callable[[object], None]:
    def callback(reference: object) -> None:
        track = table.get(key)
        if track is not None and track.param is reference:
            del table[key]

    return callback


def _once(params: Iterable[Tensor]) -> list[Tensor]:
    return list({id(param): param for param in params}.values())


def _same(value: float, expected: float) -> bool:
    if math.isnan(value) or math.isnan(expected):
        return math.isnan(value) and math.isnan(expected)
    return value == expected or abs(value - expected) <= _SAME * abs(expected)


def _minus(whole: Tensor, grad: Tensor) -> Tensor:
    """Give the difference, in fp32 where the gradient's own type would lose it."""
    kind = torch.float32 if whole.dtype in (torch.float16, torch.bfloat16) else whole.dtype
    return whole.to(kind) - grad.detach().to(kind)
