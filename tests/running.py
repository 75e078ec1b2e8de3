"""Run a training program before and after its fix, and read the norm that its optimizer used."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import fixturelib
import pytest

REQUIRED = "CLIPCHECK_FRAMEWORKS"  # set where all frameworks have to be there: nothing may be skipped


def needs(*packages: str) -> None:
    """Skip a test whose packages are not installed, or fail it where they must be; nothing is imported."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing and os.environ.get(REQUIRED):
        pytest.fail(f"{', '.join(missing)}: not installed, and {REQUIRED} is set")
    if missing:
        pytest.skip(f"{', '.join(missing)}: not installed")


def norm(folder: Path, environment: Mapping[str, str] | None = None, program: str = "train.py") -> float:
    """Run a program, whose last word on standard output is the norm that its optimizer used."""
    return words(folder, environment, program)[-1]


def words(
    folder: Path, environment: Mapping[str, str] | None = None, program: str = "train.py"
) -> list[float]:
    """Run a program, whose last line on standard output is what it measured."""
    done = subprocess.run(
        [sys.executable, program],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return _words(done.stdout.splitlines()[-1])


def _words(line: str) -> list[float]:
    return [float(word) for word in line.split()]


def fixed(folder: Path, *, unsafe: bool = False) -> str:
    """Fix a folder's programs as `--fix` does, and give back what `train.py` says then."""
    fixturelib.fix(folder, fixturelib.settings(folder, unsafe=unsafe))
    return (folder / "train.py").read_text(encoding="utf-8")


def verified(
    folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `clipcheck verify` on a folder's `train.py`."""
    command = [sys.executable, "-m", "clipcheck", "verify", *arguments, "--", sys.executable, "train.py"]
    environment = {**os.environ, **(environment or {})}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


def watched(folder: Path, verdicts: str, environment: Mapping[str, str] | None = None) -> list[float]:
    """Run `train.py` under the verifier, which must come to these verdicts, and give what the program measured.

    `verdicts` begins the line that counts them: "1 confirmed, 0 refuted".
    """
    done = verified(folder, environment=environment)
    report = done.stdout.split("clipcheck verify: ", 1)
    assert len(report) == 2, done.stdout + done.stderr
    assert f"\n{verdicts}" in report[1], done.stdout + done.stderr
    confirmed = ", 0 refuted" in verdicts and ", 0 not measurable, 0 not reached" in report[1]
    assert done.returncode == (0 if confirmed else 1), done.stdout + done.stderr
    return _words(report[0].splitlines()[-1])
