"""The cache under whole runs: two at once, a disk that is full, and every entry damaged give the report of a run without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """\
import torch
from torch import nn

model = nn.LSTM(8, 16)
optimizer = torch.optim.SGD(model.parameters(), lr={rate})
for batch in batches:
    model(batch)[0].mean().backward()
    optimizer.step()
"""
FILES = 12


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").touch()
    for number in range(FILES):
        (folder / f"train{number}.py").write_text(PROGRAM.format(rate=number), encoding="utf-8")
    return folder


def start(folder: Path, *options: str, limit: str = "") -> subprocess.Popen[str]:
    """A run of the command; `limit` is what the shell's `ulimit` is told first."""
    command = [sys.executable, "-m", "clipcheck", "--output-format", "json", *options, "."]
    shell = ["sh", "-c", f'ulimit {limit} && exec "$@"', "sh"] if limit else []
    return subprocess.Popen(
        [*shell, *command], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def said(running: subprocess.Popen[str]) -> str:
    out, err = running.communicate()
    assert running.returncode == 1, err
    assert err.count("\n") == 1, err  # the steps seen, and no complaint
    assert out.count('"CLP101"') == FILES
    return out


def entries(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file() and len(path.name) == 62]


def test_two_runs_at_once(project: Path, tmp_path: Path) -> None:
    alone = said(start(project, "--no-cache"))
    cache = str(tmp_path / "cache")
    together = [start(project, "--cache-dir", cache) for _ in range(2)]
    assert [said(one) for one in together] == [alone, alone]
    assert said(start(project, "--cache-dir", cache)) == alone
    assert not list((tmp_path / "cache").rglob("tmp*"))


@pytest.mark.skipif(sys.platform == "win32", reason="no ulimit")
def test_a_disk_that_is_full(project: Path, tmp_path: Path) -> None:
    alone = said(start(project, "--no-cache"))
    cache = tmp_path / "cache"
    # No file may grow beyond 512 bytes: entries begin to be written, and cannot be.
    assert said(start(project, "--cache-dir", str(cache), limit="-f 1")) == alone
    assert not entries(cache)
    assert not list(cache.rglob("tmp*"))
    assert said(start(project, "--cache-dir", str(cache))) == alone
    assert entries(cache)


@pytest.mark.parametrize("left", [0, 40, -1])
def test_every_entry_damaged(project: Path, tmp_path: Path, left: int) -> None:
    cache = tmp_path / "cache"
    alone = said(start(project, "--cache-dir", str(cache)))
    whole = entries(cache)
    assert len(whole) >= FILES
    for path in whole:
        path.write_bytes(path.read_bytes()[:left])
    assert said(start(project, "--cache-dir", str(cache))) == alone
