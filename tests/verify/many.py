"""Run training scripts one after the other, each in a process forked from this one, which has imported torch.

`python many.py JOBS`: JOBS is a JSON list of [folder, script]. The observer is installed once, here, and every
fork writes a recording of its own.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import signal
import sys
import time
from pathlib import Path

import torch

_LIMIT = 60.0  # seconds for one script
_LARGE = ("accelerate", "lightning", "transformers.trainer")  # imported here, they are imported once


def run(folder: str, script: str) -> None:
    """Run a script in this process, as Python would; what it prints is thrown away, how it ends is nobody's matter."""
    os.chdir(folder)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    sys.path[0] = os.path.dirname(os.path.join(folder, script))
    sys.argv = [script]
    try:
        runpy.run_path(script, run_name="__main__")
    except BaseException:
        os._exit(1)
    os._exit(0)


def wait(running: dict[int, float]) -> None:
    """Wait until one of the processes has ended, and end those whose time is up."""
    while True:
        for pid, end in list(running.items()):
            if os.waitpid(pid, os.WNOHANG) != (0, 0):
                del running[pid]
                return
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def main() -> None:
    torch.set_num_threads(1)
    for name in _LARGE:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    jobs = json.loads(Path(sys.argv[1]).read_text())
    running: dict[int, float] = {}
    for folder, script in jobs:
        if len(running) == (os.cpu_count() or 1):
            wait(running)
        pid = os.fork()
        if pid == 0:
            run(folder, script)
        running[pid] = time.monotonic() + _LIMIT
    while running:
        wait(running)


main()
