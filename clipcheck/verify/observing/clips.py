"""Watch torch's clip functions: what they are handed, what it measured before, and by whom they are called."""

from __future__ import annotations

import functools
import sys
import time
import types
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..session import ClipKind
from ..totals import total
from . import norms
from .frames import user_place
from .patches import Patches
from .shards import shares, value_of
from .state import State
from .tracks import ClipEvent, Sighting, read

# function of torch.nn.utils: kind of clip, its arguments by position
_FUNCTIONS: dict[str, tuple[ClipKind, tuple[str, ...]]] = {
    "clip_grad_norm_": ("norm", ("parameters", "max_norm", "norm_type")),
    "clip_grad_norm": ("norm", ("parameters", "max_norm", "norm_type")),
    "clip_grads_with_norm_": ("norm", ("parameters", "max_norm", "total_norm")),
    "clip_grad_value_": ("value", ("parameters", "clip_value")),
}


class ClipWatch:
    """Wraps the clip functions under every name that a loaded module has for them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._sharded: Any = None  # FSDP1's class, once it is watched

    def install(self, patches: Patches) -> None:
        """Replace the functions; `patches` puts them back."""
        wrapped = {}
        for name, (kind, positions) in _FUNCTIONS.items():
            original = getattr(torch.nn.utils, name, None)
            if original is not None:
                wrapped[id(original)] = self._wrap(original, kind, positions)
        patches.replace_everywhere(wrapped)

    def _wrap(
        self, original: Callable[..., Any], kind: ClipKind, positions: tuple[str, ...]
    ) -> Callable[..., Any]:
        state = self._state

        @functools.wraps(original)
        def clip(*args: Any, **kwargs: Any) -> Any:
            if state.idle or state.depths.clip:
                return original(*args, **kwargs)
            args, kwargs, tensors = _materialised(args, kwargs)
            if state.unclipped:
                asked = dict(zip(positions, args, strict=False)) | kwargs
                return _measured(tensors, asked.get("norm_type", 2.0)) if "norm_type" in positions else None
            given = {**dict(zip(positions, args, strict=False)), **kwargs}
            return self._watched(lambda: original(*args, **kwargs), tensors, kind, given, positions[1])

        return clip

    def install_sharded(self, patches: Patches) -> None:
        """Watch FSDP1's own clip method as well, once the program has loaded FSDP1."""
        module = sys.modules.get("torch.distributed.fsdp.fully_sharded_data_parallel")
        wrapper = getattr(module, "FullyShardedDataParallel", None)
        if wrapper is None or self._sharded is wrapper:
            return
        self._sharded = wrapper
        patches.replace(wrapper, "clip_grad_norm_", self._wrap_method)

    def _wrap_method(self, original: Callable[..., Any]) -> Callable[..., Any]:
        state = self._state

        @functools.wraps(original)
        def clip_grad_norm_(module: Any, *args: Any, **kwargs: Any) -> Any:
            if state.idle or state.depths.clip:
                return original(module, *args, **kwargs)
            given = {**dict(zip(("max_norm", "norm_type"), args, strict=False)), **kwargs}
            tensors = list(module.parameters())
            if state.unclipped:
                return _measured(tensors, given.get("norm_type", 2.0))
            return self._watched(
                lambda: original(module, *args, **kwargs), tensors, "norm", given, "max_norm"
            )

        return clip_grad_norm_

    def _watched(
        self,
        call: Callable[[], Any],
        tensors: Sequence[Tensor],
        kind: ClipKind,
        given: dict[str, Any],
        threshold_name: str,
    ) -> Any:
        state = self._state
        before: tuple[ClipEvent, list[Sighting]] | None = None
        threshold = _number(given.get(threshold_name))
        if threshold is not None:
            with state.careful():
                before = self._before(tensors, kind, threshold, given)
        state.depths.clip += 1
        began = time.perf_counter()
        try:
            result = call()
        finally:
            state.depths.clip -= 1
            state.clipping += time.perf_counter() - began
        if before is not None and not state.broken:
            with state.careful():
                self._after(*before, result)
        return result

    def _before(
        self, tensors: Sequence[Tensor], kind: ClipKind, threshold: float, given: dict[str, Any]
    ) -> tuple[ClipEvent, list[Sighting]]:
        state = self._state
        norm_type = float(given.get("norm_type", 2.0))
        seen = state.look(tensors, values=True)
        if norm_type != 2.0:
            for sighting, norm in zip(seen, norms.norms([s.grad for s in seen], norm_type), strict=True):
                sighting.norm, sighting.value = norm, None
        values = read(seen)
        scales = [s.track.scale for s in seen]
        factors, _ = shares(seen, norm_type)
        parts = [v / scale * f for v, scale, f in zip(values, scales, factors, strict=True)]
        event = ClipEvent(
            place=user_place(),
            kind=kind,
            threshold=threshold,
            norm_type=norm_type,
            given=len(tensors),
            ids=frozenset(id(s.param) for s in seen),
            late=bool(seen) and all(s.track.spent for s in seen),
            scale=max(scales, default=1.0),
            scale_asked=state.scale_asked,
            norm=total(parts, norm_type),
            native_norm=total(values, norm_type),
            given_norm=value_of(given.get("total_norm")),
        )
        for sighting, value in zip(seen, values, strict=True):
            if sighting.track.clip is None:
                sighting.track.not_finite = norms.not_finite(sighting.grad, value)
        if not event.measures_only:
            state.tracks.before_clip(seen, event, sampled=state.sampled)
        return event, seen

    def _after(self, event: ClipEvent, seen: list[Sighting], result: Any) -> None:
        self._state.tracks.after_change(seen, keep_norm=event.measures_only)
        if event.measures_only:
            return
        if isinstance(result, Tensor) and result.numel() == 1:
            event.reported = value_of(result)
        if not self._state.give_to_step(event):
            self._state.add_event(event)


def _measured(tensors: Sequence[Tensor], norm_type: Any) -> Tensor:
    """Give what a clip returns, the norm of all gradients, and leave them as they are."""
    gradients = [tensor.grad for tensor in tensors if tensor.grad is not None]
    with torch.no_grad():
        values = norms.values_of(norms.norms(gradients, float(norm_type)))
    return torch.tensor(total(values, float(norm_type)))


def _number(threshold: Any) -> float | None:
    """Give a threshold's value; None where it has none: torch refuses it as well, and says why."""
    try:
        return float(threshold.detach() if isinstance(threshold, Tensor) else threshold)
    except (TypeError, ValueError, RuntimeError):
        return None


def _materialised(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], list[Tensor]]:
    """Read what is handed to a clip once, and give the clip arguments that behave as the originals would.

    An iterator is used up by this, as the clip would have done; the clip gets another of its kind (torch
    warns about an empty one only if it is a generator).
    """
    handed = args[0] if args else kwargs.get("parameters")
    if isinstance(handed, Tensor):
        return args, kwargs, [handed]
    try:
        items = list(handed)  # type: ignore[arg-type]  # what is not iterable is torch's to refuse
    except TypeError:
        if hasattr(handed, "__next__"):
            raise  # it began, and failed in the user's own code
        return args, kwargs, []
    if hasattr(handed, "__next__"):
        again: Any = (i for i in items) if isinstance(handed, types.GeneratorType) else iter(items)
        args, kwargs = ((again, *args[1:]), kwargs) if args else (args, {**kwargs, "parameters": again})
    return args, kwargs, [item for item in items if isinstance(item, Tensor)]
