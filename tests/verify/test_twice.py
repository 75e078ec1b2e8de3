"""A command run twice: unclipped and clipped, equal until the first clip; and under growing gradients."""

from __future__ import annotations

import json
import math
import os
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from clipcheck.verify.command import verify as command
from clipcheck.verify.compare import compare, comparison_lines
from clipcheck.verify.rows import RowMap
from clipcheck.verify.session import Place, Process, StepRecord
from clipcheck.verify.stress import HIGHEST, Breaking, scale_at

PLACE = Place("/project/train.py", 12)
RECORD = StepRecord(
    place=PLACE, optimizer="SGD", step=1, raw=2.0, used=2.0, updated=4, covered=0, uncovered=4, loss=3.0
)

# A residual loop whose gradients are small at first, and grow until the clip acts.
GROWING = """\
import sys

import torch

torch.manual_seed(5)
net = torch.nn.LSTM(4, 4)
head = torch.nn.Linear(4, 4)
optimizer = torch.optim.SGD([*net.parameters(), *head.parameters()], lr=0.1)

for step in range(12):
    optimizer.zero_grad()
    x = torch.randn(3, 2, 4) * 1.4**step
    loss = (head(net(x)[0]) - x).pow(2).mean() * 0.05
    loss.backward()
    optimizer.step()
"""


def invoke(
    folder: Path, script: str, *options: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, dict, str]:
    """Run the command on train.py; give its status, its JSON and its text. Nothing on disk may change."""
    (folder / "train.py").write_text(script)
    (folder / "clipcheck.toml").write_text("no-cache = true\n")
    monkeypatch.chdir(folder)
    out = folder / "out.json"
    result = CliRunner().invoke(command, [*options, "--json", str(out), "--", sys.executable, "train.py"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    assert (folder / "train.py").read_text() == script
    assert sorted(os.listdir(folder)) == ["clipcheck.toml", "out.json", "train.py"]
    return result.exit_code, json.loads(out.read_text()), result.output


def test_runs_are_equal_until_the_first_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, told, text = invoke(tmp_path, GROWING, "--compare", monkeypatch=monkeypatch)
    assert status == 0, text
    (site,) = told["sites"]
    assert (site["verdict"], site["row"]) == ("confirmed", 16)  # of the fixed file
    comparison = told["comparison"]
    parted = comparison["parted_at"]
    assert comparison["astray_at"] is None
    assert 1 < parted <= 12
    assert comparison["equal"] == parted - 1
    for step in comparison["steps"]:
        (loss, other_loss), (raw, other_raw), (used, other_used) = step["loss"], step["raw"], step["used"]
        if step["step"] < parted:
            assert (loss, raw, used) == (other_loss, other_raw, other_used)  # bitwise
            assert raw <= 1.0
        if step["step"] == parted:
            assert (loss, raw) == (other_loss, other_raw)
            assert used == raw > 1.0
        assert other_used <= 1.0 + 1e-6
    assert comparison["written"] == [[os.path.realpath(tmp_path / "train.py"), 15, True]]
    assert f"{parted - 1} updates equal before step {parted}, the first that the clip changes" in text
    assert "train.py:15: written by the fix, ran" in text
    (advice,) = told["advice"]
    assert advice["current"] == 1.0
    assert "usual for such a model: 0.25 for language models" in text


def test_nothing_to_fix_compares_with_clipping_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clipped = GROWING.replace(
        "    optimizer.step()",
        "    norm = torch.nn.utils.clip_grad_norm_([*net.parameters(), *head.parameters()], 1.0)\n"
        "    assert norm > 0\n    optimizer.step()",
    )
    status, told, text = invoke(tmp_path, clipped, "--compare", "--seed", "3", monkeypatch=monkeypatch)
    assert status == 0, text
    assert "without its clips | as it is" in text
    steps = told["comparison"]["steps"]
    assert max(step["used"][0] for step in steps) > 1.5
    assert max(step["used"][1] for step in steps) == pytest.approx(1.0)
    assert told["comparison"]["written"] == []


def test_other_chances_are_told_from_clipping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    luck = GROWING.replace("torch.manual_seed(5)", "torch.seed()")
    _, told, text = invoke(tmp_path, luck, "--compare", monkeypatch=monkeypatch)
    assert told["comparison"]["astray_at"] == 1
    assert "by chance that no seed governs" in text


EXPLODING = """\
import torch

net = torch.nn.Sequential(*[torch.nn.Linear(4, 4) for _ in range(60)])
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
x = torch.randn(8, 4)
for step in range(25):
    optimizer.zero_grad()
    loss = (net(x) - x).pow(2).mean()
    loss.backward()
    optimizer.step()
"""


def test_stress_breaks_the_unclipped_run_and_the_clipped_one_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, told, text = invoke(tmp_path, EXPLODING, "--stress", "10", monkeypatch=monkeypatch)
    assert status == 0, text
    stress = told["stress"]
    assert stress["outcome"] == "held", stress
    assert stress["unclipped"]["step"] < 25
    assert stress["clipped"]["broke"] is None
    assert stress["clipped"]["steps"] == 25  # it goes on where the other one has ended
    assert stress["clipped"]["largest_used"] <= 1.0 + 1e-6
    assert stress["clipped"]["scale"] >= stress["unclipped"]["scale"] > 1.0
    assert "under gradients 10 times larger at every step:\n  as it is: broke at step" in text
    assert "  fixed: held for 25 steps" in text
    assert told["advice"] == []  # these norms are of the stress


def test_stress_leaves_the_loss_and_the_first_step_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plain, _ = invoke(tmp_path, EXPLODING, "--seed", "0", monkeypatch=monkeypatch)
    clipped = EXPLODING.replace(
        "    optimizer.step()",
        "    torch.nn.utils.clip_grad_norm_(net.parameters(), 1e-30)\n    optimizer.step()",
    )
    _, told, _ = invoke(tmp_path, clipped, "--stress", "10", monkeypatch=monkeypatch)
    records = told["sessions"][0]["records"]
    first = plain["sessions"][0]["records"][0]
    assert (records[0]["loss"], records[0]["raw"]) == (first["loss"], first["raw"])
    # Nothing is learned under this threshold, so each step is the last one's, ten times as large.
    for last, record in pairwise(records):
        assert record["loss"] == pytest.approx(first["loss"], rel=1e-5)
        assert record["stress"] == pytest.approx(min(HIGHEST, 10 * last["stress"]))
        assert record["raw"] == pytest.approx(first["raw"] * record["stress"], rel=1e-4)


def test_stress_reaches_a_start_that_is_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = """\
import torch
w = torch.nn.Parameter(torch.ones(2))
optimizer = torch.optim.SGD([w], lr=0.0)
for step in range(3):
    optimizer.zero_grad()
    (w * 2).backward(torch.tensor([1.0, 3.0]))
    torch.autograd.backward([w.sum(), w[0]], [None, torch.tensor(1.0)])
    torch.nn.utils.clip_grad_norm_([w], 1e9)
    optimizer.step()
"""
    _, told, _ = invoke(tmp_path, script, "--stress", "2", monkeypatch=monkeypatch)
    norms = [record["raw"] for record in told["sessions"][0]["records"]]
    assert norms == pytest.approx([math.hypot(4, 7) * scale for scale in (1, 2, 4)])


def test_command_that_cannot_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for options in (["--compare"], ["--stress", "2"], ["--compare", "--stress", "2"]):
        result = CliRunner().invoke(command, [*options, "--", "no-such-command-anywhere"])
        assert result.exit_code == 2
        assert result.output.count("no-such-command-anywhere: not found") == 1


# -- pure functions


def run(*records: StepRecord) -> list[Process]:
    return [Process(1, records=records)]


def test_pairs_that_end_early() -> None:
    second = replace(RECORD, step=2)
    comparison = compare(run(RECORD, second), run(RECORD))
    assert (comparison.equal, comparison.astray and comparison.astray.step) == (1, 2)
    assert compare(run(RECORD), run(RECORD)).parted is None
    assert "all 1 updates are equal" in comparison_lines(compare(run(RECORD), run(RECORD)), ("a", "b"))[0]


def test_rounding_is_no_difference_and_nan_is_like_nan() -> None:
    nearly = replace(RECORD, raw=2.0 * (1 + 5e-7), used=2.0 * (1 + 5e-7))
    assert compare(run(RECORD), run(nearly)).equal == 1
    nan = replace(RECORD, raw=math.nan, used=math.nan, loss=math.nan)
    assert compare(run(nan), run(nan)).equal == 1
    further = replace(RECORD, raw=2.0 * (1 + 5e-6))
    assert compare(run(RECORD), run(further)).astray is not None


def test_long_runs_are_shown_from_the_first_difference() -> None:
    old = [replace(RECORD, step=step) for step in range(1, 101)]
    new = [replace(record, used=1.0 if record.step >= 50 else 2.0) for record in old]
    lines = comparison_lines(compare(run(*old), run(*new)), ("a", "b"))
    steps = [int(line.split()[0]) for line in lines[2:]]
    assert steps == [49, 54, 58, 63, 68, 72, 77, 81, 86, 91, 95, 100]


def test_breaking() -> None:
    assert Breaking().why(RECORD) == ""
    assert Breaking().why(replace(RECORD, loss=math.nan)) == "the loss is nan"
    assert Breaking().why(replace(RECORD, raw=math.inf)) == "the gradient norm is inf"
    assert Breaking().why(replace(RECORD, raw=math.inf, skipped=True)) == ""
    breaking = Breaking()
    assert [breaking.why(replace(RECORD, loss=loss)) for loss in (3.0, -290.0, None)] == ["", "", ""]
    assert breaking.why(replace(RECORD, loss=301.0)) == "the loss is 301, 100 times the first"


def test_scale_grows_to_a_limit() -> None:
    assert [scale_at(10.0, steps) for steps in (0, 1, 2)] == pytest.approx([1.0, 10.0, 100.0])
    assert [scale_at(2.0, 10**6), scale_at(1e300, 5)] == pytest.approx([HIGHEST] * 2)


def test_rows_of_a_fixed_file() -> None:
    old = "a\nb\nc\nd\ne"
    rows = RowMap(old, "import x\na\nb\nB\nC\nd\ne")
    assert [rows.original(row) for row in range(1, 8)] == [None, 1, 2, None, None, 4, 5]
    assert rows.fixed(5) == 7
    assert sorted(rows.new_for(range(3, 4))) == [4, 5]
    assert RowMap("a\x0cb\nc", "a\x0cb\nx\nc").original(3) == 2
    same = RowMap(old, old)
    assert (same.changed, same.original(5)) == ([], 5)
