"""Lines that say how far a run has come: whole ones, now and then, and only if there is something new."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from clipcheck.verify import heartbeat, runner
from clipcheck.verify.heartbeat import Heartbeat
from clipcheck.verify.session import to_line

if TYPE_CHECKING:
    import pytest

STEP = to_line("step", {"raw": 1.0})
PROGRAM = """
import torch
from pathlib import Path
net = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(3):
    optimizer.zero_grad()
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
Path("stepped").touch()
while not Path("told").exists():
    pass
"""


def test_updates_of_all_processes_are_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(heartbeat, "_EVERY", 0.0)
    first, second = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    beats = Heartbeat(str(tmp_path), 200)
    beats.beat()
    assert not capsys.readouterr().err
    first.write_text(to_line("start", {"pid": 1}) + STEP + STEP[:20])  # the last one is being written
    second.write_text(STEP)
    beats.beat()
    assert capsys.readouterr().err == "clipcheck: 2 updates of 200 at most observed so far\n"
    beats.beat()
    assert not capsys.readouterr().err
    with first.open("a") as stream:
        stream.write(STEP[20:])
    beats.beat()
    assert capsys.readouterr().err == "clipcheck: 3 updates of 200 at most observed so far\n"


def test_a_line_comes_while_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command waits for the line, and would not end without it."""
    monkeypatch.setattr(heartbeat, "_EVERY", 0.0)
    monkeypatch.setattr(runner, "_BEAT", 0.05)
    (tmp_path / "train.py").write_text(PROGRAM)
    said: list[str] = []
    beat = Heartbeat.beat

    def watched(self: Heartbeat) -> None:
        beat(self)
        said.append(capsys.readouterr().err)
        if "3 updates" in said[-1]:
            (tmp_path / "told").touch()

    monkeypatch.setattr(Heartbeat, "beat", watched)
    result = runner.verify([sys.executable, "train.py"], cwd=tmp_path, heartbeat=True, timeout=120)
    assert (result.exit_status, result.steps) == (0, 3)
    assert "clipcheck: 3 updates of 200 at most observed so far\n" in "".join(said)
