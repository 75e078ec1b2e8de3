"""A temporary folder that is gone with its owner: at the latest when the next one is made.

A lock beside the folder lives as long as the owner does, whatever ends it; a folder whose lock can be had
belongs to nobody any more.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "clipcheck-verify-"
_LOCK = ".lock"


@contextmanager
def folder() -> Iterator[str]:
    """Give an empty folder, and remove it (and those that killed runs have left) afterwards."""
    sweep()
    handle, path = _locked()
    try:
        os.mkdir(path, 0o700)
        yield path
    finally:
        _remove(path)
        os.close(handle)


def sweep() -> None:
    """Remove the folders whose owners are dead. On Windows, without such locks, they stay."""
    if sys.platform == "win32":
        return
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*{_LOCK}"):
        try:
            handle = os.open(lock, os.O_RDWR)
        except OSError:
            continue  # gone in the meantime, or another user's
        try:
            if _take(handle):
                _remove(str(lock)[: -len(_LOCK)])
        finally:
            os.close(handle)


def _locked() -> tuple[int, str]:
    """Make a lock, hold it, and give it with the name of the folder that goes with it."""
    while True:
        path = os.path.join(tempfile.gettempdir(), f"{PREFIX}{uuid.uuid4().hex}")
        handle = os.open(path + _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        with suppress(OSError):
            # Another run's sweep may have come between the two lines, and taken it for a dead one's.
            if _take(handle) and os.path.samestat(os.fstat(handle), os.stat(path + _LOCK)):
                return handle, path
        os.close(handle)


def _take(handle: int) -> bool:
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove(path: str) -> None:
    """Remove the folder, then its lock: who is killed in between leaves what the next sweep finds."""
    for _ in range(3):  # a process that outlived the run may still be writing
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.lexists(path):
            with suppress(OSError):
                os.unlink(path + _LOCK)
            return
