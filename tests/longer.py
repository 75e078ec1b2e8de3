"""The longer job: all that takes too long for a test run, one after the other. About an hour on two cores.

    python tests/longer.py FOLDER [--minutes 10]

FOLDER holds other people's code, the standard set of corpora.py, which is fetched where the folder is not there. Their code is scanned
and fixed, as it is and without its clips; clipcheck is fuzzed for some minutes, killed while it writes, and changed by mutmut
(`pip install -e '.[dev,mutation]'`). What each part prints are the figures of CHANGELOG.md. Ends with 1 where a part is not content.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent


def parts(folder: Path, minutes: float) -> Iterator[list[str]]:
    """The command lines of the parts, as arguments of Python."""
    if not folder.exists():
        yield [f"{HERE}/corpora.py", "--make", str(folder)]
    sources = sorted(str(path) for path in folder.iterdir() if path.is_dir())
    yield [f"{HERE}/corpora.py", *sources]
    yield [f"{HERE}/corpora.py", "--strip", *sources]
    yield [f"{HERE}/fuzz.py", "--minutes", str(minutes)]
    yield [f"{HERE}/kills.py"]
    yield [f"{HERE}/mutation/run.py"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=10, help="of fuzzing")
    given = parser.parse_args(arguments)
    outcomes: list[tuple[str, int, float]] = []
    for part in parts(given.folder, given.minutes):
        name = " ".join([Path(part[0]).name, *(word for word in part[1:] if word.startswith("--"))])
        print(f"== {name}", flush=True)
        started = time.monotonic()
        status = subprocess.run([sys.executable, *part], check=False).returncode
        outcomes.append((name, status, time.monotonic() - started))
    print("== all")
    for name, status, seconds in outcomes:
        print(f"{name}: exit status {status}, {seconds / 60:.0f} min")
    return int(any(status for _, status, _ in outcomes))


if __name__ == "__main__":
    sys.exit(main())
