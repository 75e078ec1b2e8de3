"""Put the observer into a training process as soon as it has imported torch, before its own code goes on.

`inject/sitecustomize.py` calls `start`. Everything here works without torch and costs nothing to a
process that never imports it.
"""

from __future__ import annotations

import atexit
import os
import random
import re
import sys
import uuid
from collections.abc import Callable, Iterable
from types import ModuleType, TracebackType
from typing import Any

from .. import orders
from ..session import StepRecord, record_payload, to_line
from . import others
from .imports import AfterImport, Callback

DIRECTORY = "CLIPCHECK_VERIFY_DIR"  # where each process finds its orders and writes its recording
SEEN = "python-"  # an empty file of this prefix and the process id: Python has started here
_MESSAGE = 300  # characters of an exception's message that a report has room for
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # torch prints parts of its messages in bold


class LineFile:
    """A sink that appends each record at once, so that a crash keeps what came before it."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._pid = -1
        self._descriptor = -1
        self._stopped = False
        self.last_words: Callable[[], None] = lambda: None  # before the run is stopped, perhaps at once

    def start(self, torch_version: str) -> None:
        """Say which process this is."""
        rank = os.environ.get("RANK", "")
        self.write(
            "start",
            pid=os.getpid(),
            rank=int(rank) if rank.isdigit() else None,
            torch=torch_version,
            python=sys.version.split()[0],
        )

    def step(self, record: StepRecord) -> None:
        self.write("step", **record_payload(record))

    def failure(self, message: str) -> None:
        self.write("failure", message=message)

    def stopped(self) -> None:
        if not self._stopped:
            self.write("stopped")
            self.last_words()
        self._stopped = True

    def write(self, event: str, **payload: Any) -> None:
        """Append one line; a forked child gets a file of its own. An error here is not the run's."""
        try:
            if self._pid != os.getpid():
                forked = self._pid != -1
                self._pid = os.getpid()
                path = os.path.join(self._directory, f"{self._pid}-{uuid.uuid4().hex}.jsonl")
                self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                if forked:
                    self.start("")
            os.write(self._descriptor, to_line(event, payload).encode())
        except OSError:
            pass  # the folder is gone: whoever wanted the recording no longer does


def start() -> None:
    """Prepare this process as the recording's orders ask, and wait for torch."""
    directory = os.environ.get(DIRECTORY)
    if not directory or not os.path.isdir(directory):
        return
    with open(os.path.join(directory, f"{SEEN}{os.getpid()}"), "w"):
        pass
    asked = orders.read(directory)
    sink = LineFile(directory)
    waiting = {**others.waiting(sink.failure), "torch": lambda torch: _watch(torch, sink, asked)}
    if asked.seed is not None:
        waiting |= _seeded(asked.seed, waiting["torch"])
    if asked.overlay:
        from . import overlay

        overlay.Overlay(asked.overlay).install()
        waiting["_pytest.assertion.rewrite"] = overlay.serve_pytest
        if asked.lines:
            _count_lines(sink, asked.overlay)
    sys.meta_path.insert(0, AfterImport(waiting, sink.failure))


def _watch(torch: ModuleType, sink: LineFile, asked: orders.Orders) -> None:
    sink.start(str(getattr(torch, "__version__", "")))
    try:
        from .observer import Observer

        Observer(sink, max_steps=asked.max_steps, stress=asked.stress, unclipped=asked.unclipped).install()
    except Exception as error:
        sink.failure(f"the observer could not be installed: {type(error).__name__}: {error}")
        return
    _report_crashes(sink)


def _seeded(seed: int, watch: Callback) -> dict[str, Callback]:
    """Seed `random` now, numpy and torch as soon as they are imported."""
    random.seed(seed)

    def seed_numpy(numpy: ModuleType) -> None:
        numpy.random.seed(seed % 2**32)

    def seed_torch(torch: ModuleType) -> None:
        torch.manual_seed(seed)
        watch(torch)

    return {"numpy": seed_numpy, "torch": seed_torch}


def _count_lines(sink: LineFile, filenames: Iterable[str]) -> None:
    """Let coverage.py note which lines of some files run; without it, or under another tracer, nobody does."""
    if sys.gettrace() is not None:
        return
    try:
        import coverage
    except ImportError:
        return
    counter = coverage.Coverage(data_file=None, include=list(filenames), config_file=False, messages=False)
    counter.start()

    def tell() -> None:
        data = counter.get_data()  # what has run so far; the counting goes on
        for filename in data.measured_files():
            sink.write("lines", filename=os.path.realpath(filename), rows=sorted(data.lines(filename) or ()))

    sink.last_words = tell
    atexit.register(tell)
    atexit.register(counter.stop)  # comes before it: the last one registered is the first to be called


def _report_crashes(sink: LineFile) -> None:
    previous = sys.excepthook

    def excepthook(kind: type[BaseException], value: BaseException, traceback: TracebackType | None) -> None:
        sink.write("crash", exception=_in_one_line(kind, value))
        previous(kind, value, traceback)

    sys.excepthook = excepthook


def _in_one_line(kind: type[BaseException], value: BaseException) -> str:
    """Name an exception by the first line of its message, in plain characters; torch's run over many."""
    try:
        message = str(value).strip()
    except Exception:
        message = ""  # the user's own __str__ fails: the traceback must be printed all the same
    first, _, rest = _ANSI.sub("", message).partition("\n")
    short = first.strip()[:_MESSAGE]
    more = "…" if rest or len(first.strip()) > _MESSAGE else ""
    return f"{kind.__name__}: {short}{more}" if short else kind.__name__
