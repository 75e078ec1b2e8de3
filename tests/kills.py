"""Kill `clipcheck --fix` while it works, and look at what that leaves.

    python tests/kills.py [KILLS] [FILES]

kills the command line with SIGKILL at random moments, most of them while it writes, and fixes again after each kill. It
ends with 1 where a file is neither old nor new, or where a temporary file is left beside one.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from clipcheck import fixing, pipeline
from clipcheck.config import Settings

PROGRAM = """\
import torch
from torch import nn

model = nn.LSTM({size}, 16)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for batch in range(3):
    optimizer.zero_grad()
    model(torch.randn(3, 2, {size}))[0].mean().backward()
{step}    optimizer.step()
"""
CLIP = "    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)\n"
COMMAND = (sys.executable, "-m", "clipcheck", "--fix", "--no-cache", "--quiet", ".")


class TornError(AssertionError):
    """A file that is neither old nor new, or one that should not be there."""


class Files:
    """A folder of programs, each as it was or as it is to be."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        (folder / "pyproject.toml").write_text("")
        self.old = {f"train_{n}.py": PROGRAM.format(size=n + 2, step="").encode() for n in range(count)}
        self.new = {f"train_{n}.py": PROGRAM.format(size=n + 2, step=CLIP).encode() for n in range(count)}
        self.restore()

    def restore(self) -> None:
        for name, data in self.old.items():
            (self.folder / name).write_bytes(data)

    def written(self) -> int:
        """How many are new; raises TornError where one is neither."""
        count = 0
        for name, data in self.old.items():
            found = (self.folder / name).read_bytes()
            if found not in (data, self.new[name]):
                raise TornError(f"{name} holds {found!r}")
            count += found != data
        return count

    def strays(self) -> set[str]:
        return set(os.listdir(self.folder)) - {"pyproject.toml", *self.old}

    def settle(self) -> None:
        """Raises TornError where a run that was not killed has left anything undone, or anything else."""
        if self.written() != len(self.old):
            raise TornError("some files were not fixed by the next run")
        if self.strays():
            raise TornError(f"left beside the files: {self.strays()}")


def kill_command(files: Files, moment: float, signum: int = signal.SIGKILL, *, writing: bool = True) -> str:
    """Start the command line, and end it `moment` seconds after its start, or after it has begun to write."""
    began = os.stat(files.folder).st_mtime_ns
    process = subprocess.Popen(COMMAND, cwd=files.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while writing and process.poll() is None and os.stat(files.folder).st_mtime_ns == began:
            time.sleep(0.001)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signum)
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    return said.decode()


def kill_writer(files: Files, planned: fixing.Plan, moment: float) -> None:
    """Write a plan in a forked process, and kill that after `moment` seconds."""
    pid = os.fork()
    if not pid:
        try:
            fixing.write(planned, lambda: planned.report)
        finally:
            os._exit(0)
    time.sleep(moment)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def plan(files: Files) -> fixing.Plan:
    settings = Settings(no_cache=True, project_root=files.folder)
    return fixing.plan([files.folder], settings, pipeline.run)


def spent(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(kills: int = 200, count: int = 100) -> None:
    """Kill the command line `kills` times over `count` files."""
    moments = random.Random(8)
    seen: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        files = Files(Path(folder), count)
        whole = spent(lambda: subprocess.run(COMMAND, cwd=files.folder, check=True, capture_output=True))
        files.settle()
        files.restore()
        planned = plan(files)
        write = spent(lambda: fixing.write(planned, lambda: planned.report))
        for number in range(kills):
            files.restore()
            writing = number % 4 > 0
            kill_command(files, moments.uniform(0, write if writing else whole), writing=writing)
            done = files.written()
            seen["before writing" if not done else "while writing" if done < count else "afterwards"] += 1
            seen["with a temporary file left"] += bool(files.strays())
            subprocess.run(COMMAND, cwd=files.folder, check=True, capture_output=True)
            files.settle()
            print(f"\r{number + 1} of {kills}", end="", file=sys.stderr, flush=True)
    print(f"\n{kills} kills over {count} files: none torn, none lost, no strays after the next run")
    print(*(f"  {what}: {times}" for what, times in sorted(seen.items())), sep="\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
