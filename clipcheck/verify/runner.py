"""Run a training command as it is, with the observer in every Python process it starts."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from . import orders, scratch
from .heartbeat import Heartbeat
from .joining import joined
from .observing.bootstrap import DIRECTORY, SEEN
from .orders import Orders
from .session import Process, read_process
from .verdicts import Verification, judge

INJECT = Path(__file__).resolve().parent / "inject"
DEFAULT_MAX_STEPS = 200
_GRACE = 10.0  # seconds to end after being asked to
_BEAT = 1.0  # seconds from one look at the recording to the next


def verify(
    command: Sequence[str],
    *,
    max_steps: int | None = DEFAULT_MAX_STEPS,
    max_norm: float | None = None,
    known_sites: Sequence[tuple[str, int]] = (),
    by_hand: Sequence[tuple[str, int]] = (),
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    asked: Orders | None = None,
    quiet: bool = False,
    heartbeat: bool = False,
) -> Verification:
    """Run `command` and judge its optimizer steps.

    Its output passes through. `known_sites` are lines (file, row from 1) that step by the static scan, `by_hand`
    those at which it knows a clip that a run need not show;
    `env` replaces the environment; after `timeout` seconds the command is ended, and what it did judged.
    `asked` has more to ask of the processes (seed, overlay, stress); `max_steps` goes before its own. With
    `quiet`, what the command prints goes to standard error. With `heartbeat`, a line there says now and then how
    many updates were seen.
    """
    command = tuple(command)
    asked = replace(asked or Orders(), max_steps=max_steps)
    with scratch.folder() as directory:
        environment = child_environment(os.environ if env is None else env, directory, asked)
        try:
            beat = Heartbeat(directory, max_steps).beat if heartbeat else None
            status, interrupted = _run(command, environment, cwd, timeout, beat, quiet=quiet)
        except (OSError, ValueError, IndexError) as error:
            return Verification(command, not_run=_why_not(command, error))
        processes, seen_python = read_directory(directory)
    processes = joined(processes)
    steps = sum(len(process.records) for process in processes)
    return Verification(
        command=command,
        sites=judge(processes, max_norm=max_norm, known_sites=known_sites, by_hand=by_hand),
        problems=_problems(
            processes, seen_python=seen_python, steps=steps, failed=bool(interrupted or status)
        ),
        exit_status=status,
        ended=interrupted or _ended(status),
        crash=next((process.crash for process in processes if process.crash), ""),
        stopped=any(process.stopped for process in processes),
        max_steps=max_steps,
        steps=steps,
        processes=sum(bool(process.records) for process in processes),
        max_norm=max_norm,
        sessions=tuple(processes),
    )


def child_environment(env: Mapping[str, str], directory: str, asked: Orders) -> dict[str, str]:
    """Give the environment in which Python starts the observer, and leave its orders; children inherit it."""
    orders.write(asked, directory)
    path = [str(INJECT), *filter(None, [env.get("PYTHONPATH", "")])]
    result = {**env, "PYTHONPATH": os.pathsep.join(path), DIRECTORY: directory}
    if asked.seed is not None:
        result.setdefault(
            "PYTHONHASHSEED", str(asked.seed % 2**32)
        )  # the order of sets is a matter of luck too
    return result


def read_directory(directory: str | os.PathLike[str]) -> tuple[list[Process], bool]:
    """Read the recordings of all processes, and whether any Python started with the observer's hook."""
    processes = []
    for path in sorted(Path(directory).glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            process = read_process(lines)
        if process is not None:
            processes.append(process)
    processes.sort(key=lambda process: (process.rank is None, process.rank or 0, process.pid))
    return processes, any(Path(directory).glob(f"{SEEN}*"))


def _run(
    command: tuple[str, ...],
    env: dict[str, str],
    cwd: str | os.PathLike[str] | None,
    timeout: float | None,
    beat: Callable[[], None] | None,
    *,
    quiet: bool,
) -> tuple[int, str]:
    """Run to the end; give the exit status, and why it was ended early if it was."""
    stdout = sys.__stderr__ if quiet else None
    with subprocess.Popen(command, env=env, cwd=cwd, stdout=stdout) as child:
        try:
            return _wait(child, timeout, beat), ""
        except subprocess.TimeoutExpired:
            return _end(child), f"ended after {timeout:g} seconds, as asked"
        except KeyboardInterrupt:
            return _end(child, asked=True), "interrupted"  # the terminal has told the child as well
        except BaseException:
            _end(child)
            raise


def _wait(child: subprocess.Popen[bytes], timeout: float | None, beat: Callable[[], None] | None) -> int:
    if beat is None:
        return child.wait(timeout)
    end = math.inf if timeout is None else time.monotonic() + timeout
    while True:
        try:
            return child.wait(max(0.0, min(_BEAT, end - time.monotonic())))
        except subprocess.TimeoutExpired:
            if time.monotonic() >= end:
                raise
            beat()


def _end(child: subprocess.Popen[bytes], *, asked: bool = False) -> int:
    if not asked:
        child.terminate()
    try:
        return child.wait(_GRACE)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        child.kill()
        return child.wait()


def _why_not(command: tuple[str, ...], error: Exception) -> str:
    if not command:
        return "no command was given"
    if isinstance(error, FileNotFoundError):
        missing = error.filename or command[0]
        return f"{missing}: not found"
    if isinstance(error, OSError):
        return f"{command[0]}: {error.strerror or error}"
    return f"{command[0]}: {error}"


def _ended(status: int) -> str:
    if status == 0:
        return ""
    if status > 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"


def _problems(
    processes: Sequence[Process], *, seen_python: bool, steps: int, failed: bool
) -> tuple[str, ...]:
    failures = tuple(dict.fromkeys(failure for process in processes for failure in process.failures))
    if steps:
        return failures
    if not seen_python:
        why = "no Python process started with the observer (python -I, -E and -S leave it out)"
    elif failed:
        why = "the command ended too early"
    elif not processes:
        why = "no process imported torch"
    else:
        why = "no optimizer step of torch.optim ran, or torch.compile had compiled it"
    return (*failures, f"no step was met: {why}")
