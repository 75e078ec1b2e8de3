"""Say now and then how far a watched run has come.

In whole lines, not by a bar that is drawn over and over: the command prints to the same terminal, and what it
prints is not to be erased.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

_EVERY = 5.0  # seconds, at least, from one line to the next
_STEP = b'{"event": "step"'  # how a recording's line of an update begins


class Heartbeat:
    """Counts the updates in a recording's folder while the command runs, and tells them on standard error."""

    def __init__(self, directory: str, max_steps: int | None) -> None:
        self._directory = Path(directory)
        self._limit = "" if max_steps is None else f" of {max_steps} at most"
        self._read: dict[Path, int] = {}  # bytes
        self._updates = self._told = 0
        self._last = time.monotonic()

    def beat(self) -> None:
        """Print a line, if it is time for one and there is something new."""
        if time.monotonic() - self._last < _EVERY:
            return
        self._count()
        if self._updates > self._told:
            print(
                f"clipcheck: {self._updates} update{'s' * (self._updates != 1)}{self._limit} observed so far",
                file=sys.stderr,
                flush=True,
            )
            self._told = self._updates
        self._last = time.monotonic()

    def _count(self) -> None:
        for path in self._directory.glob("*.jsonl"):
            with path.open("rb") as stream:
                stream.seek(self._read.get(path, 0))
                whole, end, _ = stream.read().rpartition(b"\n")
            self._read[path] = self._read.get(path, 0) + len(whole) + len(end)
            self._updates += sum(line.startswith(_STEP) for line in whole.split(b"\n"))
