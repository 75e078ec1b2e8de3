"""Programs followed in several processes, each with what the first one has found, told in the order of their files."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from clipcheck.progress import Tell, told
from clipcheck.scanning import sweep

if TYPE_CHECKING:
    from clipcheck.outcome import Outcome
    from clipcheck.scanning import Scan

_POOL_FROM = 1_000_000  # bytes of source to follow before other processes pay for themselves
_AT_A_TIME = 400_000  # bytes of source that a process follows before it makes room for another
_shared: tuple[Scan, Collection[str], list[list[int]]] | None = None  # what a forked process starts with


def each(scanned: Scan, files: Collection[str], tell: Tell) -> Iterator[Outcome]:
    """Give the outcome of each program, in order."""
    if not scanned.programs:
        return
    from clipcheck.following import outcome

    batches = list(_batches(scanned))
    jobs = min(scanned.settings.jobs or os.cpu_count() or 1, len(batches))
    size = sum(_size(name) for program in scanned.programs for name in program.files)
    if jobs < 2 or size < _POOL_FROM or not _forks():
        for program in told("following programs", scanned.programs, len(scanned.programs), tell):
            yield outcome(scanned, program, files)
            sweep()
        return
    import multiprocessing  # it loads as much as a small scan does

    global _shared
    _shared = scanned, files, batches
    try:
        with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=1) as pool:
            done = pool.imap(_follow, range(len(batches)))
            for outcomes in told("following programs", done, len(batches), tell):
                yield from outcomes
    finally:
        _shared = None


def _forks() -> bool:
    return hasattr(os, "fork") and sys.platform != "win32"


def _size(filename: str) -> int:
    try:
        return os.path.getsize(filename)
    except OSError:
        return 0  # its text is on standard input, or in an editor


def _batches(scanned: Scan) -> Iterator[list[int]]:
    """The numbers of the programs, as many together as are worth a process."""
    batch: list[int] = []
    size = 0
    for number, program in enumerate(scanned.programs):
        batch.append(number)
        size += sum(map(_size, program.all))
        if size >= _AT_A_TIME:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _follow(number: int) -> list[Outcome]:
    """Follow the programs of one batch, in a forked process."""
    assert _shared is not None
    gc.disable()
    scanned, files, batches = _shared
    from clipcheck.following import outcome

    found: list[Outcome] = []
    for program in batches[number]:
        found.append(outcome(scanned, scanned.programs[program], files))
        sweep()
    return found
