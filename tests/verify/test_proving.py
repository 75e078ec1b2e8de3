"""`--fix --verify`: tried in the overlay, written only where confirmed, and whole whenever it is cut short."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import clipcheck

LOOP = """\
import sys

import torch

net = torch.nn.LSTM(6, 3)
{optimizer}


def train():
    for _ in range(3):
        optimizer.zero_grad()
        loss = 100 * net(torch.ones(2, 1, 6))[0].pow(2).sum()
        loss.backward()
        optimizer.step()


if sys.argv[0].endswith("{name}.py"):
    train()
"""
PLAIN = "optimizer = torch.optim.SGD(net.parameters(), lr=0.01)"
# A parameter that no scan sees: the clip that the fix writes does not cover it.
PARTLY = (
    PLAIN
    + """
scale = torch.nn.Parameter(torch.ones(()))
optimizer.param_groups[0]["params"].append(scale)
net.register_forward_hook(lambda _net, _inputs, outputs: (outputs[0] * scale, outputs[1]))"""
)
CLIP = "        torch.nn.utils.clip_grad_norm_(net.parameters(), max_norm=1.0)\n"


def project(folder: Path, **files: str) -> dict[str, bytes]:
    """Write a module for each name, with its optimizer, and a script that trains in all of them."""
    for name, optimizer in files.items():
        (folder / f"{name}.py").write_text(LOOP.format(name=name, optimizer=optimizer))
    (folder / "main.py").write_text("".join(f"import {name}\n{name}.train()\n" for name in files))
    (folder / "clipcheck.toml").write_text("")
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def fixed(data: bytes) -> bytes:
    return data.replace(b"        optimizer.step()", CLIP.encode() + b"        optimizer.step()")


def run(folder: Path, command: str, *options: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "clipcheck", "--fix", "--no-cache", "--verify", command, *options, "."]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def python(script: str) -> str:
    return f"{sys.executable} {script}"


def test_every_fix_confirmed_is_written(tmp_path: Path) -> None:
    before = project(tmp_path, one=PLAIN, two=PLAIN)
    result = run(tmp_path, python("main.py"))
    assert result.returncode == 0, result
    after = contents(tmp_path)
    assert after == {**before, "one.py": fixed(before["one.py"]), "two.py": fixed(before["two.py"])}
    row = before["one.py"].split(b"\n").index(b"        optimizer.step()") + 1
    assert f"one.py:{row}: CLP101 confirmed: 3 updates used min(raw, threshold)" in result.stderr
    assert "fixed 2 findings in 2 files" in result.stdout


def test_only_what_is_confirmed_is_written_and_the_rest_is_named(tmp_path: Path) -> None:
    before = project(tmp_path, bad=PARTLY, good=PLAIN, idle=PLAIN)
    (tmp_path / "main.py").write_text("import bad, good\nbad.train()\ngood.train()\nprint('from the run')\n")
    result = run(tmp_path, python("main.py"), "--output-format", "json")
    assert result.returncode == 1, result
    after = contents(tmp_path)
    assert {name for name, data in after.items() if data != before[name]} == {"main.py", "good.py"}
    assert after["good.py"] == fixed(before["good.py"])
    left = json.loads(result.stdout)  # nothing of what the command prints is in it
    assert sorted(Path(one["filename"]).name for one in left) == ["bad.py", "idle.py"]
    assert "bad.py:17: CLP101 not fixed: refuted: the clip covers 4 of 5 parameters updated" in result.stderr
    assert "idle.py:14: CLP101 not fixed: not reached: the step never ran" in result.stderr
    assert "from the run" in result.stderr


def test_two_loops_in_one_file_are_told_apart(tmp_path: Path) -> None:
    project(tmp_path, one=PLAIN)
    text = (tmp_path / "one.py").read_text()
    start, end = text.index("def train"), text.index("if sys.argv")
    text = text[:end] + text[start:end].replace("train", "never") + text[end:]
    (tmp_path / "one.py").write_text(text)
    result = run(tmp_path, python("main.py"))
    assert result.returncode == 1, result
    assert (tmp_path / "one.py").read_text() == text.replace(
        "        optimizer.step()", CLIP + "        optimizer.step()", 1
    )


def test_diff_shows_what_would_be_written_and_writes_nothing(tmp_path: Path) -> None:
    before = project(tmp_path, bad=PARTLY, good=PLAIN)
    result = run(tmp_path, python("main.py"), "--diff")
    assert result.returncode == 1, result
    assert contents(tmp_path) == before
    assert "+++ b/good.py" in result.stdout
    assert "bad.py" not in result.stdout


def test_library_verifies_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = project(tmp_path, one=PLAIN)
    monkeypatch.chdir(tmp_path)
    outcome = clipcheck.fix([tmp_path], verify=python("main.py"), no_cache=True)
    assert [Path(name).name for name in outcome.written] == ["one.py"]
    assert contents(tmp_path)["one.py"] == fixed(before["one.py"])


def test_crash_of_the_fixed_run_is_named(tmp_path: Path) -> None:
    before = project(tmp_path, one=PLAIN)
    (tmp_path / "main.py").write_text("import one\nraise RuntimeError('no data')\n")
    before["main.py"] = (tmp_path / "main.py").read_bytes()
    result = run(tmp_path, python("main.py"))
    assert result.returncode == 1
    assert contents(tmp_path) == before
    why = "the step never ran before the command ended (RuntimeError: no data)"
    assert f"one.py:14: CLP101 not fixed: not reached: {why}" in result.stderr


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("no-such-command-anywhere x", "could not be run: no-such-command-anywhere: not found"),
        ("python 'train.py", "cannot be split into words"),
        (" ", "no command was given"),
    ],
)
def test_command_that_cannot_be_run_writes_nothing(tmp_path: Path, command: str, why: str) -> None:
    before = project(tmp_path, one=PLAIN)
    result = run(tmp_path, command)
    assert (result.returncode, contents(tmp_path)) == (2, before)
    assert why in result.stderr


def test_nothing_to_fix_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "idle.py").write_text("print()\n")
    (tmp_path / "clipcheck.toml").write_text("")
    result = run(tmp_path, "no-such-command-anywhere")
    assert result.returncode == 0, result


def test_verify_alone_is_refused(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "clipcheck", "--verify", "true", "."]
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "--verify goes with --fix" in result.stderr


def test_project_cannot_name_the_command(tmp_path: Path) -> None:
    (tmp_path / "clipcheck.toml").write_text("fix = true\nverify = 'touch ran'\n")
    words = [sys.executable, "-m", "clipcheck", "."]
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, (tmp_path / "ran").exists()) == (2, False)
    assert "only the command line may give it" in result.stderr


# -- cut short

# Writes the recording that the observer would, and spares every one of many runs the import of torch.
RECORDER = """\
import json, os

folder = os.environ["CLIPCHECK_VERIFY_DIR"]
overlay = json.load(open(os.path.join(folder, "orders.json")))["overlay"]
with open(os.path.join(folder, "1-fake.jsonl"), "w") as stream:
    print(json.dumps({"event": "start", "pid": 1}), file=stream)
    for number, (path, text) in enumerate(overlay.items(), 1):
        row = text.split("\\n").index("        optimizer.step()") + 1
        step = {"place": [path, row], "optimizer": "SGD", "step": number, "raw": 2.0, "used": 1.0, "updated": 4,
                "covered": 4, "uncovered": 0, "dtypes": ["float32"], "threshold": 1.0, "kind": "norm",
                "clipped_norm": 2.0, "clips_per_step": 1, "parts": 1, "cosine": 1.0, "clips": []}
        print(json.dumps({"event": "step", **step}), file=stream)
"""


def kill(
    words: Sequence[str], folder: Path, env: dict[str, str], until: Callable[[], bool], more: float
) -> None:
    """Start a command, and end it by SIGKILL some seconds after a moment (it may have ended by then)."""
    with subprocess.Popen(
        words, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as child:
        while child.poll() is None and not until():
            pass
        try:
            child.wait(timeout=more)
        except subprocess.TimeoutExpired:
            child.kill()


@pytest.mark.slow
def test_killed_at_any_moment_files_are_whole_and_nothing_stays(tmp_path: Path) -> None:
    root, temporary = tmp_path / "project", tmp_path / "tmp"
    root.mkdir()
    temporary.mkdir()
    before = project(root, a=PLAIN, b=PLAIN, c=PLAIN)
    (root / "main.py").write_text(RECORDER)
    before["main.py"] = RECORDER.encode()
    after = {**before, **{f"{name}.py": fixed(before[f"{name}.py"]) for name in "abc"}}
    env = {**os.environ, "TMPDIR": str(temporary)}
    words = [sys.executable, "-m", "clipcheck", "--fix", "--no-cache", "--verify", python("main.py"), "."]
    subprocess.run(
        words, cwd=root, env=env, check=True, capture_output=True
    )  # compiles what there is to compile
    began = time.monotonic()
    for name, data in before.items():
        (root / name).write_bytes(data)
    subprocess.run(words, cwd=root, env=env, check=True, capture_output=True)
    whole = time.monotonic() - began
    assert contents(root) == after
    # Writing takes a few of the run's milliseconds: half of the kills fall there, the others anywhere.
    moments: list[tuple[Callable[[], bool], float]] = [
        (lambda: True, whole),
        (lambda: any(root.glob(".clipcheck-*.tmp")), 0.01),
    ]
    chance = random.Random(0)
    seen = set()
    for number in range(50):
        for name, data in before.items():
            (root / name).write_bytes(data)
        until, most = moments[number % 2]
        kill(words, root, env, until, chance.uniform(0.0, most))
        now = {name: data for name, data in contents(root).items() if not name.endswith(".tmp")}
        for name, data in now.items():
            assert data in (before[name], after[name]), name
        seen.add(sum(now[name] != before[name] for name in now))
    assert seen >= {0, 3}
    for name, data in before.items():
        (root / name).write_bytes(data)
    subprocess.run(words, cwd=root, env=env, check=False, capture_output=True)
    assert contents(root) == after
    assert list(temporary.iterdir()) == []


def test_runs_own_coverage_does_not_hide_a_line_that_ran(tmp_path: Path) -> None:
    before = project(tmp_path, one=PLAIN)
    main = "import coverage\ncounter = coverage.Coverage(data_file=None)\ncounter.start()\nimport one\none.train()\n"
    (tmp_path / "main.py").write_text(main)
    result = run(tmp_path, python("main.py"))
    assert result.returncode == 0, result
    assert (tmp_path / "one.py").read_bytes() == fixed(before["one.py"])
