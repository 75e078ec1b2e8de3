"""What a scan of a whole project told, remembered until anything that it looked at is another thing.

Verdicts of one file hang on others, so none is kept for a file: a report is, under the state of every file of the
project, of every settings file that was looked for, and of clipcheck itself. A file's state is its times of change, its
size and its number in the file system, as build tools and ruff have it. What changed while or just before it was read
may have the same times afterwards, so a report is kept only if the youngest change is some seconds old.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from typing import Any

from clipcheck.cache import FactsCache
from clipcheck.config import Settings
from clipcheck.discover import Discovery
from clipcheck.findings import Report
from clipcheck.library import State, state_of

_SETTLED = 2_000_000_000  # nanoseconds: the coarsest clock of a file system in use counts two seconds


class Memory:
    """Reports by the state of all that they hang on."""

    def __init__(self, cache: FactsCache, discovery: Discovery, settings: Settings) -> None:
        self._cache = cache
        self._began = time.time_ns()
        self._youngest = 0
        digest = hashlib.sha256(repr((settings, _own_state(), os.getcwd())).encode("utf-8", "surrogatepass"))
        for path in discovery.report_on:
            state = state_of(path)
            self._youngest = max(self._youngest, *(state[:2] if state is not None else (self._began,)))
            digest.update(repr((path, state)).encode("utf-8", "surrogatepass"))
        self._key = f"report {digest.hexdigest()}"

    def recall(self) -> Report | None:
        """The report of the last scan, if nothing that it looked at has changed."""
        found = self._cache.get_value(self._key)
        if not isinstance(found, tuple) or len(found) != 2:
            return None
        consulted, report = found
        if not isinstance(report, Report) or not isinstance(consulted, tuple):
            return None
        return report if all(state_of(name) == state for name, state in consulted) else None

    def keep(self, report: Report, consulted: Mapping[str, State | None]) -> None:
        """Remember a report that hangs on further files, in the state in which they were read."""
        times = [time for state in consulted.values() if state is not None for time in state[:2]]
        if max((self._youngest, *times)) < self._began - _SETTLED:
            self._cache.put_value(self._key, (tuple(sorted(consulted.items())), report))


def _own_state() -> Iterable[Any]:
    """The state of clipcheck's own modules: somebody may be working on them."""
    top = os.path.dirname(os.path.abspath(__file__))
    found = []
    for folder in (top, *(entry.path for entry in os.scandir(top) if entry.is_dir())):
        modules = (entry for entry in os.scandir(folder) if entry.name.endswith(".py"))
        found += [(entry.name, entry.stat().st_mtime_ns, entry.stat().st_size) for entry in modules]
    return sorted(found)
