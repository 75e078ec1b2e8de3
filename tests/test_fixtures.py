"""Scan and fix every fixture, and compare with its markers and its `after/`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import fixturelib
import pytest
from fixturelib import Fixture

from clipcheck import notebook

FIXTURES = fixturelib.load()
GUILTY = [fixture for fixture in FIXTURES if fixture.markers]
SILENT = [fixture for fixture in FIXTURES if not fixture.markers]

every = pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.slug)
guilty = pytest.mark.parametrize("fixture", GUILTY, ids=lambda fixture: fixture.slug)


def test_silent_fixtures_outnumber_the_guilty() -> None:
    assert len(SILENT) >= len(GUILTY)


@every
def test_compiles(fixture: Fixture) -> None:
    folders = [folder for folder in (fixture.before, fixture.after) if folder is not None]
    for folder in folders:
        files = fixturelib.tree(folder)
        assert files, f"{folder} holds no Python file"
        for name, data in files.items():
            source = notebook.code_of(data.decode("utf-8"), name) if notebook.is_notebook(name) else data
            compile(source, name, "exec", dont_inherit=True)


@every
def test_after_keeps_files_and_markers(fixture: Fixture) -> None:
    """`after/` is the whole project, and its markers are those of `before/`, rows apart."""
    if fixture.after is None:
        return
    assert fixture.markers, "nothing is reported, so nothing may be fixed"
    before, after = fixturelib.tree(fixture.before), fixturelib.tree(fixture.after)
    assert before.keys() == after.keys()
    assert before != after
    for name in before:
        old = [marker[2:] for marker in fixturelib.markers_of(before[name], name)]
        new = [marker[2:] for marker in fixturelib.markers_of(after[name], name)]
        assert old == new


@every
def test_findings_are_the_markers(fixture: Fixture, tmp_path: Path) -> None:
    root = fixturelib.copy(fixture.before, tmp_path / "project")
    report = fixturelib.scan(root, fixturelib.settings(root, fixture))
    assert report.failures == ()
    missing, surplus = fixturelib.agree(fixture.markers, fixturelib.found(report, root))
    assert (missing, surplus) == ([], [])


@every
def test_fix_gives_after_byte_for_byte(fixture: Fixture, tmp_path: Path) -> None:
    root = fixturelib.copy(fixture.before, tmp_path / "project")
    fixturelib.fix(root, fixturelib.settings(root, fixture))
    assert fixturelib.tree(root) == fixturelib.tree(fixture.after or fixture.before)


@guilty
def test_what_was_fixed_is_gone(fixture: Fixture, tmp_path: Path) -> None:
    """A scan of `after/` finds what was not fixed, and nothing else; fixing it again changes nothing."""
    root = fixturelib.copy(fixture.before, tmp_path / "project")
    wanted = fixturelib.settings(root, fixture)
    before = fixturelib.scan(root, wanted)
    outcome = fixturelib.fix(root, wanted)
    assert outcome.refused == ()
    expected = fixturelib.tally(before.findings, root) - fixturelib.tally(outcome.fixed, root)
    assert fixturelib.tally(outcome.report.findings, root) == expected
    assert fixturelib.tally(fixturelib.scan(root, wanted).findings, root) == expected
    once = fixturelib.tree(root)
    assert fixturelib.fix(root, wanted).written == ()
    assert fixturelib.tree(root) == once


# Runs a script with torch's own kernels: those of oneDNN have no LSTM in bf16 for processors without AVX-512.
WITHOUT_ONEDNN = """
import runpy, sys, torch
torch.backends.mkldnn.enabled = False
del sys.argv[0]
sys.path[0] = ""
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def _runs_bf16_lstm() -> bool:
    import torch

    try:
        with torch.autocast("cpu", torch.bfloat16):
            torch.nn.LSTM(64, 64)(torch.zeros(1, 1, 64))
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("state", ["before", "after"])
def test_char_lstm_runs(state: str, tmp_path: Path) -> None:
    """The README's example trains, as it is and as it is fixed."""
    pytest.importorskip("torch")
    root = fixturelib.copy(fixturelib.FOLDER / "char-lstm" / state, tmp_path / "char-lstm")
    started = [sys.executable] if _runs_bf16_lstm() else [sys.executable, "-c", WITHOUT_ONEDNN]
    for command in (["train.py", "--epochs", "1"], ["finetune.py", "--steps", "3"]):
        done = subprocess.run(
            [*started, *command], cwd=root, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "loss" in done.stdout
    assert (root / "char-lstm.pt").is_file()


@pytest.mark.parametrize(
    "line",
    [
        "x = 1  # expect: CLP1",
        "x = 1  # expect: CLP101 huge",
        "x = 1  # expect:",
        "x = 1  # expect: CLP101 CLP102",
    ],
)
def test_damaged_marker_is_an_error(line: str) -> None:
    with pytest.raises(ValueError, match="not a marker"):
        list(fixturelib.read_markers(line))


def test_markers_are_read() -> None:
    text = "a  # expect: CLP101 high, CLP301\nb\nc  # clipcheck: ignore  # expect: CLP901\n"
    assert list(fixturelib.read_markers(text, "t.py")) == [
        ("t.py", 1, "CLP101", "high"),
        ("t.py", 1, "CLP301", None),
        ("t.py", 3, "CLP901", None),
    ]
