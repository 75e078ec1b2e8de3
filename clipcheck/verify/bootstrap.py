"""Put the observer into a training process as soon as it has imported torch, before its own code goes on.

`inject/sitecustomize.py` calls `start`. Everything here works without torch and costs nothing to a
process that never imports it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import uuid
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType, TracebackType
from typing import Any

from .session import StepRecord, record_payload, to_line

DIRECTORY = "CLIPCHECK_VERIFY_DIR"  # where each process writes its recording
MAX_STEPS = "CLIPCHECK_VERIFY_MAX_STEPS"
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


class _TorchFinder:
    """A meta path finder that lets the others find torch, and adds a call after its import."""

    def __init__(self, sink: LineFile, max_steps: int | None) -> None:
        self._sink = sink
        self._max_steps = max_steps
        self._searching = False

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "torch" or self._searching:
            return None
        self._searching = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._searching = False
        loader: Any = spec.loader if spec is not None else None
        if loader is None or not hasattr(loader, "exec_module"):
            return spec
        original = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            original(module)
            self._install(module)

        try:
            loader.exec_module = exec_module
        except Exception as error:
            self._sink.failure(f"the import of torch cannot be followed: {error!r}")
        return spec

    def _install(self, torch: ModuleType) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        self._sink.start(str(getattr(torch, "__version__", "")))
        try:
            from .observer import Observer

            Observer(self._sink, max_steps=self._max_steps).install()
        except Exception as error:
            self._sink.failure(f"the observer could not be installed: {type(error).__name__}: {error}")
            return
        _report_crashes(self._sink)


def start() -> None:
    """Wait for torch, if the environment asks for it."""
    directory = os.environ.get(DIRECTORY)
    if not directory or not os.path.isdir(directory):
        return
    with open(os.path.join(directory, f"{SEEN}{os.getpid()}"), "w"):
        pass
    limit = os.environ.get(MAX_STEPS, "")
    finder = _TorchFinder(LineFile(directory), int(limit) if limit.isdigit() else None)
    sys.meta_path.insert(0, finder)


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
