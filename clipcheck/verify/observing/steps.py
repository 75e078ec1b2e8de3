"""Watch optimizer steps: record each with the gradients it uses, and end the run after enough of them."""

from __future__ import annotations

import functools
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..session import Place
from ..stress import Breaking
from .frames import steps_running, user_place
from .measure import Update, measure
from .state import OpenStep, State, parameters_of

if TYPE_CHECKING:
    from torch.optim.optimizer import Optimizer

_PATIENCE = 3  # how often the stop may be swallowed by an `except:` of the user's


class StopRun(SystemExit):
    """Ends the run after the last step to be observed, with exit status 0; `except Exception` lets it by."""

    def __init__(self) -> None:
        super().__init__(0)


class StepWatch:
    """The hooks before and after every `torch.optim` step."""

    def __init__(
        self,
        state: State,
        *,
        max_steps: int | None,
        last_scale: Callable[[Optimizer], float | None],
        give_up: Callable[[], None],
    ) -> None:
        self._state = state
        self._max_steps = max_steps
        self._last_scale = last_scale
        self._give_up = give_up
        self._taken: weakref.WeakKeyDictionary[Optimizer, int] = weakref.WeakKeyDictionary()
        self._stops = 0
        self._breaking, self._broken = Breaking(), False
        # of each optimizer's last update: the clock, and what observing and clipping had taken by then
        self._clocks: weakref.WeakKeyDictionary[Optimizer, tuple[float, float, float]] = (
            weakref.WeakKeyDictionary()
        )

    def before(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Record the step, or wrap its closure so that every evaluation is recorded."""
        state = self._state
        if state.idle or self._over:
            state.steps += state.broken  # the limit holds all the same
            return None
        with state.careful():
            if optimizer not in state.optimizers:  # made before the observer came, or without __init__
                state.optimizers.add(optimizer)
                state.tracks.look(parameters_of(optimizer), "backward", values=False)
            outer = next((step for step in state.inside if step.optimizer is optimizer), None)
            if outer is not None and steps_running(optimizer) > 1:
                outer.depth += 1
                self._record_again(outer)
                return None
            state.inside = [step for step in state.inside if step is not outer]
            state.steps += 1
            self._taken[optimizer] = self._taken.get(optimizer, 0) + 1
            closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
            later = callable(closure) or bool(getattr(optimizer, "_optimizer_step_pre_hooks", None))
            step = OpenStep(optimizer, user_place(), state.steps, deferred=later)
            state.inside.append(step)
            if not later:
                self._record(step)
            elif callable(closure):
                watched = self._watched(closure, step)
                if "closure" in kwargs:
                    return args, {**kwargs, "closure": watched}
                return (args[0], watched, *args[2:]), kwargs
        return None

    def after(self, optimizer: Optimizer, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
        """Close the step, and stop the run if it was the last to be observed."""
        state = self._state
        if self._over:
            self._stop()
        if state.idle:
            if state.broken:
                self._stop_if_enough()
            return
        with state.careful():
            step = next((s for s in state.inside if s.optimizer is optimizer), None)
            if step is not None and step.depth:
                step.depth -= 1
                return
            if step is not None:
                state.inside.remove(step)
                if step.record is not None and step.clips:
                    state.sink.step(replace(step.record, inside=True))
                if step.deferred:  # hooks of its own have run by now; or the closure never did
                    self._record(step)
            state.tracks.after_step(parameters_of(optimizer))
        self._stop_if_enough()

    def count_of(self, optimizer: Optimizer) -> int:
        """Say how many steps this optimizer has taken."""
        return self._taken.get(optimizer, 0)

    def skipped(self, optimizer: Optimizer, place: Place) -> None:
        """Record a step that a loss scaler did not take, because something was not finite."""
        state = self._state
        if self._over:
            self._stop()
        with state.careful():
            state.steps += 1
            self._record(OpenStep(optimizer, place, state.steps, deferred=False), skipped=True)
            state.tracks.after_step(parameters_of(optimizer))
        self._stop_if_enough()

    def _watched(self, closure: Callable[..., Any], step: OpenStep) -> Callable[..., Any]:
        @functools.wraps(closure, updated=())
        def evaluate(*args: Any, **kwargs: Any) -> Any:
            result = closure(*args, **kwargs)
            if not self._state.broken:
                with self._state.careful():
                    step.evaluations += 1
                    step.deferred = False
                    self._record(step)
                    self._state.tracks.after_step(parameters_of(step.optimizer))
            return result

        return evaluate

    def _record(self, step: OpenStep, *, skipped: bool = False) -> None:
        state = self._state
        again = step.record if not step.evaluations else None
        times = self._since_last(step.optimizer) if again is None else again.times
        taken = state.take_events(step.optimizer)
        step.events = taken if again is None else [*step.events, *taken, *step.clips]
        params = parameters_of(step.optimizer)
        found_inf = getattr(step.optimizer, "found_inf", None)
        if isinstance(found_inf, Tensor) and float(found_inf) > 0.0:
            skipped = True  # a fused optimizer is called all the same, and does nothing
        update = Update(
            place=step.place,
            optimizer=type(step.optimizer).__name__,
            step=step.number,
            evaluation=step.evaluations or None,
            params=params,
            seen=state.look(params, values=True),
            events=step.events,
            grad_scale=_grad_scale(step.optimizer),
            loss_scale=self._last_scale(step.optimizer),
            skipped=skipped,
            seconds=times[0],
            observing=times[1],
            clipping=times[2],
            stress=state.scale,
        )
        record = step.record = measure(update)
        state.sink.step(record)
        if state.stress is not None and self._breaking.why(record):
            self._broken = not _has_peers()

    def _record_again(self, step: OpenStep) -> None:
        """Record a step once more, where its own code calls the one that it extends: that one updates."""
        if step.record is not None and not step.evaluations:
            self._record(step)
            step.clips.clear()

    def _since_last(self, optimizer: Optimizer) -> tuple[float | None, float | None, float | None]:
        """Give the seconds since this optimizer's last update, the observer's of them, and those to clip."""
        now = (time.perf_counter(), self._state.observing, self._state.clipping)
        then = self._clocks.get(optimizer)
        self._clocks[optimizer] = now
        return (None, None, None) if then is None else (now[0] - then[0], now[1] - then[1], now[2] - then[2])

    @property
    def _over(self) -> bool:
        return self._stops > 0

    def _stop_if_enough(self) -> None:
        if self._broken or (self._max_steps is not None and self._state.steps >= self._max_steps):
            self._state.sink.stopped()
            self._stop()

    def _stop(self) -> None:
        self._stops += 1
        if self._stops > _PATIENCE:
            self._give_up()
        raise StopRun


def _has_peers() -> bool:
    """Whether other processes train along, and would wait for this one for ever if it stopped alone."""
    distributed: Any = torch.distributed
    return bool(distributed.is_available() and distributed.is_initialized())


def _grad_scale(optimizer: Optimizer) -> float:
    """Give what a fused optimizer will divide its gradients by: they still carry the loss scale."""
    scale = getattr(optimizer, "grad_scale", None)
    return 1.0 if scale is None else float(scale)
