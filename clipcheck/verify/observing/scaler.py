"""Watch the loss scaler: which gradients carry a scale, when it is divided out, which steps it skips."""

from __future__ import annotations

import functools
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

from ..session import Place
from .frames import user_place
from .patches import Patches
from .state import State, parameters_of


class Skips(Protocol):
    """Who is told of steps that a scaler skipped."""

    def count_of(self, optimizer: Optimizer) -> int: ...

    def skipped(self, optimizer: Optimizer, place: Place) -> None: ...


class ScalerWatch:
    """Wraps GradScaler's methods."""

    def __init__(self, state: State, skips: Skips) -> None:
        self._state = state
        self._skips = skips
        self._scaled: deque[tuple[weakref.ref[Tensor], float]] = deque(maxlen=16)
        self._pending: float | None = None
        self._scales: weakref.WeakKeyDictionary[Optimizer, float] = weakref.WeakKeyDictionary()
        self._get_scale: Callable[[Any], float] = lambda scaler: float(scaler.get_scale())

    def install(self, patches: Patches) -> None:
        """Replace the methods; `patches` puts them back."""
        scaler = getattr(torch.amp, "GradScaler", None) or torch.cuda.amp.GradScaler
        self._get_scale = scaler.get_scale
        patches.replace(scaler, "scale", self._wrap_scale)
        patches.replace(scaler, "get_scale", self._wrap_get_scale)
        patches.replace(scaler, "unscale_", self._wrap_unscale)
        patches.replace(scaler, "step", self._wrap_step)
        if hasattr(scaler, "_check_inf_per_device"):
            patches.replace(scaler, "_check_inf_per_device", self._wrap_inf_check)

    def scale_of(self, tensors: Any) -> float:
        """Give the loss scale on what is being differentiated: 1.0 unless it came from a scaler."""
        roots = [tensors] if isinstance(tensors, Tensor) else list(tensors or ())
        for reference, scale in self._scaled:
            if any(reference() is root for root in roots):
                self._pending = None
                return scale
        # a sum of scaled losses is another tensor: the scale still waits for its backward
        scale, self._pending = self._pending or 1.0, None
        return scale

    def last_scale(self, optimizer: Optimizer) -> float | None:
        """Give the loss scale that this optimizer's scaler had at its last step, if it has one."""
        return self._scales.get(optimizer)

    def _wrap_scale(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def scale(scaler: Any, outputs: Any) -> Any:
            result = original(scaler, outputs)
            if not self._state.idle and scaler.is_enabled():
                with self._state.careful():
                    self._pending = float(self._get_scale(scaler))
                    tensors = result if isinstance(result, (list, tuple)) else [result]
                    for tensor in tensors:
                        if isinstance(tensor, Tensor):
                            self._scaled.append((weakref.ref(tensor), self._pending))
            return result

        return scale

    def _wrap_get_scale(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def get_scale(scaler: Any) -> Any:
            self._state.scale_asked = True
            return original(scaler)

        return get_scale

    def _wrap_unscale(self, original: Callable[..., Any]) -> Callable[..., Any]:
        state = self._state

        @functools.wraps(original)
        def unscale_(scaler: Any, optimizer: Any) -> Any:
            optimizer_ = _torch_optimizer(optimizer)
            if state.idle or optimizer_ is None or not scaler.is_enabled():
                return original(scaler, optimizer)
            with state.careful():
                seen = state.look(parameters_of(optimizer_), values=False)
                factor = float(self._get_scale(scaler))
            result = original(scaler, optimizer)
            if not state.broken:
                with state.careful():
                    self._scales[optimizer_] = factor
                    state.tracks.after_unscale(seen, factor)
            return result

        return unscale_

    def _wrap_inf_check(self, original: Callable[..., Any]) -> Callable[..., Any]:
        state = self._state

        @functools.wraps(original)
        def check(scaler: Any, optimizer: Any) -> Any:
            optimizer_ = _torch_optimizer(optimizer)
            if state.idle or optimizer_ is None:
                return original(scaler, optimizer)
            with state.careful():
                seen = state.look(parameters_of(optimizer_), values=False)
                self._scales[optimizer_] = float(self._get_scale(scaler))
            result = original(scaler, optimizer)  # multiplies every gradient by one
            if not state.broken:
                with state.careful():
                    # no version moves for this in torch 2.13 on the CPU; not promised anywhere
                    state.tracks.after_change(seen, keep_norm=True)
            return result

        return check

    def _wrap_step(self, original: Callable[..., Any]) -> Callable[..., Any]:
        state = self._state

        @functools.wraps(original)
        def step(scaler: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            optimizer_ = _torch_optimizer(optimizer)
            if state.idle or optimizer_ is None or not scaler.is_enabled():
                return original(scaler, optimizer, *args, **kwargs)
            taken = self._skips.count_of(optimizer_)
            result = original(scaler, optimizer, *args, **kwargs)
            if not state.broken and self._skips.count_of(optimizer_) == taken:
                self._skips.skipped(optimizer_, user_place())
            return result

        return step


def _torch_optimizer(optimizer: Any) -> Optimizer | None:
    """Give the optimizer itself, or the one that a wrapper (Accelerate's, a scheduler's) holds."""
    if isinstance(optimizer, Optimizer):
        inner = getattr(optimizer, "optimizer", None)
        return inner if isinstance(inner, Optimizer) else optimizer
    inner = getattr(optimizer, "optimizer", None)
    return inner if isinstance(inner, Optimizer) else None
