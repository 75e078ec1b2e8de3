"""Watch gradients inside a training process: clip functions, backward, loss scalers, optimizer steps.

The observer records and judges nothing. It never breaks the run: an error of its own is reported once
to the sink, and from then on everything it wraps passes straight through. What it patches is put back by
`uninstall`.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from ..stress import scale_at, start_of
from .clips import ClipWatch
from .losses import loss_of
from .patches import Patches
from .scaler import ScalerWatch
from .state import Sink, State, parameters_of
from .steps import StepWatch, StopRun

__all__ = ["Observer", "Sink", "StopRun"]


def leave() -> None:
    """End the process at once, with exit status 0: the user's code keeps swallowing the stop."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


class Observer:
    """Records every optimizer step of this process to `sink`, up to `max_steps` of them (None: all).

    Two orders change the run, for comparison: `stress` makes gradients larger by this factor after every
    step, `unclipped` keeps the clip functions from clipping.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        max_steps: int | None = None,
        give_up: Callable[[], None] = leave,
        stress: float | None = None,
        unclipped: bool = False,
    ) -> None:
        self._state = State(sink, stress=stress, unclipped=unclipped)
        self._patches = Patches()
        self._handles: list[Any] = []
        self._clips = ClipWatch(self._state)
        self._steps = StepWatch(
            self._state,
            max_steps=max_steps,
            last_scale=lambda optimizer: self._scaler.last_scale(optimizer),  # noqa: PLW0108 - made below
            give_up=give_up,
        )
        self._scaler = ScalerWatch(self._state, self._steps)

    def install(self) -> None:
        """Wrap what the observer watches. On an error nothing stays wrapped, and the error is raised."""
        try:
            self._handles.append(register_optimizer_step_pre_hook(self._steps.before))
            self._handles.append(register_optimizer_step_post_hook(self._steps.after))
            self._patches.replace(Optimizer, "__init__", self._wrap_optimizer_init)
            self._patches.replace(torch.autograd, "backward", self._wrap_backward)
            self._clips.install(self._patches)
            self._clips.install_sharded(self._patches)
            self._scaler.install(self._patches)
        except BaseException:
            self.uninstall()
            raise

    def adopt(self, optimizers: Iterable[Any]) -> None:
        """Know optimizers that were made before `install`; the gradients they have count as backward's."""
        for optimizer in optimizers:
            with self._state.careful():
                self._state.meet(optimizer)
                self._state.tracks.look(parameters_of(optimizer), "backward", values=False)

    def uninstall(self) -> None:
        """Put back everything that `install` replaced."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._patches.restore()
        self._state.tracks.by_id.clear()

    def __enter__(self) -> Observer:  # noqa: PYI034 - typing.Self is newer than Python 3.10
        self.install()
        return self

    def __exit__(self, *_: object) -> None:
        self.uninstall()

    def _wrap_optimizer_init(self, original: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(original)
        def init(optimizer: Optimizer, *args: Any, **kwargs: Any) -> None:
            original(optimizer, *args, **kwargs)
            self._state.meet(optimizer)
            self._clips.install_sharded(self._patches)

        return init

    def _wrap_backward(self, original: Callable[..., None]) -> Callable[..., None]:
        state = self._state

        @functools.wraps(original)
        def backward(*args: Any, **kwargs: Any) -> None:
            if state.idle or state.depths.backward:
                original(*args, **kwargs)
                return
            with state.careful():
                state.tracks.before_backward(state.known_parameters())
            roots = args[0] if args else kwargs.get("tensors")
            if state.stress is not None:
                state.scale = scale_at(state.stress, state.steps)
                args = start_of(args, kwargs, state.scale)
            state.depths.backward += 1
            try:
                original(*args, **kwargs)
            finally:
                state.depths.backward -= 1
            if not state.broken:
                with state.careful():
                    loss = loss_of(roots, self._scaler.scale_of(roots))
                    state.tracks.look(state.known_parameters(), "backward", values=False, loss=loss)
                    state.scale_asked = False

        return backward
