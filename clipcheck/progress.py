"""A bar on standard error for a scan that takes its time: how far it is, gone when it is done."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Item = TypeVar("Item")
# Called with what is being done, how many of its parts are done, and how many there are.
Tell = Callable[[str, int, int], None]
PATIENCE = 1.0  # seconds that a scan may take before it owes an explanation
_BETWEEN = 0.1  # seconds from one picture to the next


def silent(_step: str, _done: int, _total: int) -> None:
    """Tell nobody."""


def counted(step: str, items: Sequence[Item], tell: Tell) -> Iterator[Item]:
    """Yield the items, and tell of each when its turn has come."""
    return told(step, items, len(items), tell)


def told(step: str, items: Iterable[Item], total: int, tell: Tell) -> Iterator[Item]:
    """As `counted`, where the number of items is known from elsewhere."""
    for done, item in enumerate(items):
        tell(step, done, total)
        yield item


def wanted(*, quiet: bool) -> bool:
    """Whether somebody is looking: at a terminal that can redraw a line, and not in CI."""
    plain = quiet or os.environ.get("NO_COLOR") or os.environ.get("CI") or os.environ.get("TERM") == "dumb"
    return not plain and sys.stderr.isatty()


@contextmanager
def bar(*, quiet: bool, clock: Callable[[], float] = time.monotonic) -> Iterator[Tell]:
    """Give what draws the bar, once `PATIENCE` has run out; nothing is drawn, or imported, before."""
    if not wanted(quiet=quiet):
        yield silent
        return
    drawing = _Bar(clock)
    try:
        yield drawing.tell
    finally:
        drawing.end()


class _Bar:
    """Draws from within the calls of `tell`: a thread of its own would stand in the way of forked processes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due = clock() + PATIENCE
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def tell(self, step: str, done: int, total: int) -> None:
        now = self._clock()
        if now < self._due:
            return
        self._due = now + _BETWEEN
        progress = self._progress or self._begin()
        for name, task in self._tasks.items():
            progress.update(task, visible=name == step)
        if step not in self._tasks:
            self._tasks[step] = progress.add_task(step, total=total)
        progress.update(self._tasks[step], completed=done, total=total)
        progress.refresh()

    def end(self) -> None:
        if self._progress is not None:
            self._progress.stop()

    def _begin(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._progress.start()
        return self._progress
