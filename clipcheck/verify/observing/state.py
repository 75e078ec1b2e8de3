"""What the watchers inside one process share: the tracks, the clip calls so far, and the way out on errors."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from ..session import Place, StepRecord
from .frames import steps_running
from .tracks import ClipEvent, Sighting, Tracks

if TYPE_CHECKING:
    from torch.optim.optimizer import Optimizer

_is_compiling: Callable[[], bool] = getattr(
    getattr(torch, "compiler", None), "is_compiling", lambda: False
)  # torch 2.0 has none
_ALWAYS_SAMPLED, _SAMPLED_EVERY = 16, 13  # steps; an odd interval meets both of two optimizers in turn


class Sink(Protocol):
    """Where records go."""

    def step(self, record: StepRecord) -> None:
        """Take a record; one of a step and evaluation that it has takes that one's place."""

    def failure(self, message: str) -> None: ...

    def stopped(self) -> None: ...


class Depths(threading.local):
    """How deep this thread is in calls that call each other."""

    clip = 0
    backward = 0


@dataclass(slots=True)
class OpenStep:
    """A step from the moment before it to the one after it."""

    optimizer: Optimizer
    place: Place
    number: int
    deferred: bool  # nothing is recorded yet
    evaluations: int = 0  # of its closure
    record: StepRecord | None = None  # the last one
    events: list[ClipEvent] = field(default_factory=list)  # that it was made from
    clips: list[ClipEvent] = field(default_factory=list)  # by its own code, after that record
    depth: int = 0  # of calls of the same step by itself: `super().step()`


@dataclass(slots=True)
class State:
    """The shared state of one observer."""

    sink: Sink
    tracks: Tracks = field(default_factory=Tracks)
    optimizers: weakref.WeakSet[Optimizer] = field(default_factory=weakref.WeakSet)
    depths: Depths = field(default_factory=Depths)
    stress: float | None = None  # factor, by which backward starts larger after every step
    inside: list[OpenStep] = field(default_factory=list)  # steps whose optimizers are at work
    unclipped: bool = False  # clip functions measure, and change nothing
    steps: int = 0  # taken or skipped, over all optimizers
    scale: float = 1.0  # by which the last backward started larger
    scale_asked: bool = False  # the code has asked a scaler for its scale since the last backward
    broken: bool = False
    observing: float = 0.0  # seconds that the observer has taken so far
    clipping: float = 0.0  # seconds that clip functions have
    _events: deque[tuple[int, ClipEvent]] = field(default_factory=lambda: deque(maxlen=2048))
    _event_count: int = 0
    _used_events: weakref.WeakKeyDictionary[Optimizer, int] = field(default_factory=weakref.WeakKeyDictionary)

    @contextmanager
    def careful(self) -> Iterator[None]:
        """Let no error of the observer reach the user's run: say so once, and watch no more."""
        began = time.perf_counter()
        try:
            with torch.no_grad():
                yield
        except Exception as error:
            self.broken = True
            self.sink.failure(f"the observer failed and stopped watching: {type(error).__name__}: {error}")
        finally:
            self.observing += time.perf_counter() - began

    @property
    def idle(self) -> bool:
        """Whether wrappers must do nothing: after a failure, and while torch.compile traces them."""
        return self.broken or _is_compiling()

    @property
    def sampled(self) -> bool:
        """Whether the coming step is one whose gradients are copied, to compare directions."""
        coming = self.steps + 1
        return coming <= _ALWAYS_SAMPLED or coming % _SAMPLED_EVERY == 0

    def look(self, params: Sequence[Tensor], *, values: bool) -> list[Sighting]:
        """See what changed; inside backward (an optimizer that steps there) backward is the cause."""
        inside = self.depths.backward > 0
        return self.tracks.look(params, "backward" if inside else "code", values=values)

    def known_parameters(self) -> list[Tensor]:
        """Give the parameters of all optimizers that are alive."""
        return [param for optimizer in list(self.optimizers) for param in parameters_of(optimizer)]

    def meet(self, optimizer: Optimizer) -> None:
        """Know an optimizer from now on; clip calls before it was made are none of its."""
        self.optimizers.add(optimizer)
        self._used_events.setdefault(optimizer, self._event_count)

    def add_event(self, event: ClipEvent) -> None:
        """Keep a clip call for the steps to come."""
        self._event_count += 1
        self._events.append((self._event_count, event))

    def give_to_step(self, event: ClipEvent) -> bool:
        """Give a clip to the steps at work whose own code made it, after they were recorded; False if none did."""
        found = False
        for step in self.inside:
            own = {id(param) for param in parameters_of(step.optimizer)}
            recorded = step.record is not None and not step.evaluations
            # one that has failed is at work no more
            if recorded and event.ids & own and steps_running(step.optimizer):
                step.clips.append(event)
                found = True
        return found

    def take_events(self, optimizer: Optimizer) -> list[ClipEvent]:
        """Give the clip calls since this optimizer's last step, once."""
        used = self._used_events.get(optimizer, 0)
        self._used_events[optimizer] = self._event_count
        return [event for number, event in self._events if number > used]


def parameters_of(optimizer: Optimizer) -> list[Tensor]:
    """Give the parameters that an optimizer updates."""
    groups = getattr(optimizer, "param_groups", ())
    return [p for group in groups for p in group["params"] if isinstance(p, Tensor)]
