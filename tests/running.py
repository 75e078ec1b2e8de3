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
    return float(done.stdout.split()[-1])


def fixed(folder: Path, *, unsafe: bool = False) -> str:
    """Fix a folder's programs as `--fix` does, and give back what `train.py` says then."""
    fixturelib.fix(folder, fixturelib.settings(folder, unsafe=unsafe))
    return (folder / "train.py").read_text(encoding="utf-8")


def verified(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `clipcheck verify` on a folder's `train.py`."""
    command = [sys.executable, "-m", "clipcheck", "verify", *arguments, "--", sys.executable, "train.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
