"""Watch the optimizer steps of this process, in a notebook or a test, and judge them.

One observer serves every watch of the process: watches may be nested, and may begin and end in any
thread and order. When the last one ends, all that the observer replaced is put back. Threads that train at
the same time share it, and a watch sees the steps of all of them.
"""

from __future__ import annotations

import gc
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from .missing import needed
from .session import Place, Process, StepRecord
from .verdicts import SiteVerdict, Verification, Word, judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from .advice import Advice
    from .observing.observer import Observer


class Watch:
    """Records the steps taken while it is open: `with clipcheck.watch() as run: ...`.

    After it, and inside it too, `verdict` says whether they were clipped, `sites` the same for each line
    that stepped, and `steps` has the numbers of every update. `max_norm` is the threshold to hold the
    steps to, in place of the one that the code gives. Without `keep` nothing is recorded: such a watch keeps
    the observer in place for others, which then begin faster. A watch is opened once.
    """

    def __init__(self, max_norm: float | None = None, *, keep: bool = True) -> None:
        if max_norm is not None and not max_norm > 0.0:
            raise ValueError(f"max_norm is a norm above 0, not {max_norm}")
        self._max_norm = max_norm
        self._keep = keep
        self._memory: _Memory | None = None

    def __enter__(self) -> Watch:  # noqa: PYI034 - typing.Self is newer than Python 3.10
        if self._memory is not None:
            raise RuntimeError("a watch is opened once: make another")
        self._memory = _Memory(keep=self._keep)
        try:
            with needed("torch", extra="verify"):
                _SHARED.attach(self._memory)
        except BaseException:
            self._memory = None
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._memory is not None:
            _SHARED.detach(self._memory)

    @property
    def steps(self) -> tuple[StepRecord, ...]:
        """Every update so far (of a closure, every evaluation), counted from 1."""
        return tuple(self._memory.records.values()) if self._memory else ()

    @property
    def failures(self) -> tuple[str, ...]:
        """What kept the observer from seeing; nothing, if all is well."""
        return tuple(self._memory.failures) if self._memory else ()

    @property
    def sites(self) -> tuple[SiteVerdict, ...]:
        """The verdict on each line that stepped."""
        return judge([self._process()], max_norm=self._max_norm)

    @property
    def verdict(self) -> Word:
        """The verdict on all of it: the worst of the lines'; `not reached` if nothing stepped."""
        words = {site.word for site in self.sites}
        if "refuted" in words:
            return "refuted"
        if "not measurable" in words or (words and self.failures):
            return "not measurable"
        return "confirmed" if words else "not reached"

    @property
    def advice(self) -> dict[Place, Advice]:
        """What threshold to try, for each line that stepped, from the norms seen so far."""
        from .advice import advise

        by_place: dict[Place, list[StepRecord]] = {}
        for record in self.steps:
            by_place.setdefault(record.place, []).append(record)
        return {place: advise(some, max_norm=self._max_norm) for place, some in by_place.items()}

    @property
    def verification(self) -> Verification:
        """All of it as `clipcheck verify` has it, for its reports (`page.to_html`, `render.to_json`)."""
        process = self._process()
        return Verification(
            command=(),
            sites=self.sites,
            problems=self.failures,
            steps=len(process.records),
            processes=int(bool(process.records)),
            max_norm=self._max_norm,
            sessions=(process,),
        )

    def __str__(self) -> str:
        from .showing.render import to_text

        return to_text(self.verification)

    def _process(self) -> Process:
        return Process(os.getpid(), records=self.steps, failures=self.failures)


class _Memory:
    """A sink that keeps the records in this process."""

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self.records: dict[tuple[int, int | None], StepRecord] = {}
        self.failures: list[str] = []
        self._before = -1  # steps that the observer had seen before this sink came

    def step(self, record: StepRecord) -> None:
        if not self._keep:
            return
        if self._before < 0:
            self._before = record.step - 1
        record = replace(record, step=record.step - self._before)
        self.records[record.step, record.evaluation] = record

    def failure(self, message: str) -> None:
        self.failures.append(message)

    def stopped(self) -> None:
        """Nothing stops a watched run."""


class _Sink(Protocol):
    def step(self, record: StepRecord) -> None: ...

    def failure(self, message: str) -> None: ...


class _Shared:
    """The one observer of this process, and who listens to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sinks: tuple[_Sink, ...] = ()  # replaced, never changed: threads may be reading it
        self._observer: Observer | None = None

    def attach(self, sink: _Sink) -> None:
        """Let `sink` have the records from now on; the first one starts the observer."""
        with self._lock:
            if self._observer is None:
                from .observing.observer import Observer

                observer = Observer(self)
                observer.install()
                self._observer = observer
                observer.adopt(_live_optimizers())
            self._sinks = (*self._sinks, sink)

    def detach(self, sink: _Sink) -> None:
        """Give `sink` no more records; after the last one the observer is taken out."""
        with self._lock:
            self._sinks = tuple(one for one in self._sinks if one is not sink)
            if not self._sinks and self._observer is not None:
                observer, self._observer = self._observer, None
                observer.uninstall()

    def step(self, record: StepRecord) -> None:
        self._tell(lambda sink: sink.step(record))

    def failure(self, message: str) -> None:
        self._tell(lambda sink: sink.failure(message))

    def stopped(self) -> None:
        """There is no limit of steps here."""

    def _tell(self, say: Callable[[_Sink], None]) -> None:
        for sink in self._sinks:
            say(sink)


def _live_optimizers() -> list[object]:
    """Give the torch optimizers that exist already; `type`, since `isinstance` may run a proxy's code."""
    from torch.optim.optimizer import Optimizer

    return [one for one in gc.get_objects() if issubclass(type(one), Optimizer)]


_SHARED = _Shared()
