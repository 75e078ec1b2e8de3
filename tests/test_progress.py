"""The bar of a long scan: when there is none first."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from clipcheck import progress

BAD = """\
import torch
model = torch.nn.LSTM(4, 8)
optimizer = torch.optim.Adam(model.parameters())
for batch in range(9):
    optimizer.zero_grad()
    model(torch.randn(5, 1, 4))[0].sum().backward()
    optimizer.step()
"""
PROGRAM = """\
import sys
from clipcheck import cli, progress
progress.PATIENCE = float(sys.argv.pop(1))
try:
    cli.main()
finally:
    print("rich.progress" in sys.modules, "libcst" in sys.modules)
"""
pty = pytest.importorskip("pty", reason="no terminals to be had")


@pytest.fixture
def scan(tmp_path):
    """Runs clipcheck with a terminal for standard error; gives what came on it, and on standard output."""

    def run(patience: float, *arguments: str, text: str = BAD, **environment: str) -> tuple[str, str]:
        (tmp_path / "train.py").write_text(text)
        kept = {key: value for key, value in os.environ.items() if key not in ("CI", "NO_COLOR", "TERM")}
        ours, theirs = pty.openpty()
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(patience), *arguments],
            cwd=tmp_path,
            env={**kept, "TERM": "xterm", "XDG_CACHE_HOME": str(tmp_path / "cache"), **environment},
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
            check=False,
        )
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:  # the other end is closed
            pass
        os.close(ours)
        return shown.decode(), done.stdout

    return run


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        pytest.param((), {"CI": "true"}, id="ci"),
        pytest.param((), {"NO_COLOR": "1"}, id="no-color"),
        pytest.param((), {"TERM": "dumb"}, id="dumb"),
        pytest.param(("--quiet",), {}, id="quiet"),
    ],
)
def test_no_bar_where_nobody_asked_for_one(scan, arguments, environment):
    shown, out = scan(0, *arguments, **environment)
    assert shown == ""
    assert "CLP101" in out


def test_no_bar_for_a_quick_scan_and_nothing_loaded_for_it(scan):
    shown, out = scan(1e9, text="x = 1\n")
    assert (shown, out.splitlines()[-1]) == ("", "False False")


def test_no_bar_without_a_terminal(tmp_path):
    (tmp_path / "train.py").write_text(BAD)
    command = [sys.executable, "-c", PROGRAM, "0", "--no-cache"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize("arguments", [(), ("--diff",), ("--fix",), ("--output-format", "json")])
def test_a_bar_on_standard_error_that_goes_away(scan, arguments):
    shown, out = scan(0, *arguments)
    assert "searching files" in shown
    assert "0/1" in shown
    assert "\x1b[2K" in shown, "the line is cleared in the end"
    assert "\x1b" not in out
    assert out.splitlines()[-1].startswith("True")


def test_pictures_are_apart_and_each_step_has_its_own():
    now = [0.0]
    bar = progress._Bar(lambda: now[0])
    drawn = []

    class Drawing:
        def add_task(self, step, total):
            return step

        def update(self, task, **changed):
            if "completed" in changed:
                drawn.append((now[0], task, changed["completed"], changed["total"]))

        def refresh(self):
            pass

        def stop(self):
            drawn.append("end")

    def begin():
        bar._progress = Drawing()
        return bar._progress

    bar._begin = begin
    for moment, step, done in [(0.5, "a", 1), (1.0, "a", 2), (1.05, "a", 3), (1.25, "b", 0)]:
        now[0] = moment
        bar.tell(step, done, 9)
    bar.end()
    assert drawn == [(1.0, "a", 2, 9), (1.25, "b", 0, 9), "end"]


def test_items_are_told_of_when_their_turn_comes():
    heard = []
    items = list(progress.counted("s", "ab", lambda *told: heard.append(told)))
    assert items == ["a", "b"]
    assert heard == [("s", 0, 2), ("s", 1, 2)]
