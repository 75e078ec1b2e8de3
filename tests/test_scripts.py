"""Which steps `clipcheck verify` expects to meet: those of the script that the command names, and no others."""

from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner

from clipcheck.config import find_root
from clipcheck.scripts import Known, known_steps, script_of
from clipcheck.verify.command import verify

TRAIN = """\
import torch
from pkg import helper
from pkg.tools import {names}

model = torch.nn.LSTM(8, 8)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for batch in range(2):
    optimizer.zero_grad()
    model(torch.randn(3, 1, 8))[0].sum().backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    (
        optimizer
        .step()
    )
"""
STEP = "def {name}(optimizer, loss):\n    loss.backward()\n    optimizer.step()\n"
CALLED = TRAIN.format(names="update") + "update(optimizer, model(torch.randn(3, 1, 8))[0].sum())\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "pkg").mkdir()
    files = {
        "pyproject.toml": "",
        "train.py": CALLED,
        "other.py": TRAIN.format(names="update"),
        "pkg/__init__.py": "",
        "pkg/helper.py": "from . import deep\n",
        "pkg/deep.py": STEP.format(name="unused"),
        "pkg/tools.py": STEP.format(name="update"),
        "pkg/stranger.py": STEP.format(name="update"),
        "pkg/__main__.py": "from pkg import stranger\n" + TRAIN.format(names="update"),
        "model.py": "import torch\nmodel = torch.nn.LSTM(8, 8)\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def found(project, *command):
    root = str(project.resolve())
    return [(name.removeprefix(root)[1:], row) for name, row in known_steps(command).lines]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param((), id="nothing"),
        pytest.param(("python", "-c", "import train"), id="code"),
        pytest.param(("bash", "train.sh"), id="shell"),
        pytest.param(("python", "missing.py"), id="no-such-file"),
        pytest.param(("python", "-m", "missing"), id="no-such-module"),
        pytest.param(("train", "--model", "train"), id="console-script"),
    ],
)
def test_commands_that_name_no_script(project, command):
    assert script_of(command, project) is None
    assert known_steps(command) == Known()


def test_a_script_without_a_step(project):
    assert found(project, "python", "model.py") == []


@pytest.mark.parametrize(
    ("command", "script"),
    [
        (("python", "train.py", "--config", "other.py"), "train.py"),
        (("python", "-u", "./train.py"), "train.py"),
        (("python", "-m", "train"), "train.py"),
        (("python", "-m", "pkg.tools"), "pkg/tools.py"),
        (("python", "-m", "pkg"), "pkg/__main__.py"),
        (("python", "-m", "torch.distributed.run", "train.py"), "train.py"),
        (("torchrun", "--nproc-per-node", "2", "train.py"), "train.py"),
    ],
)
def test_commands_that_name_a_script(project, command, script):
    assert script_of(command, project) == project / script


def test_steps_of_the_script_and_of_what_it_imports_and_no_others(project):
    assert found(project, "python", "train.py") == [("pkg/tools.py", 3), ("train.py", 13)]


def test_steps_in_a_folder_without_a_project_mark(project):
    (project / "pyproject.toml").unlink()
    assert find_root(project) is None, "a temporary folder inside a project cannot show this"
    assert found(project, "python", "train.py") == [("pkg/tools.py", 3), ("train.py", 13)]


def test_the_command_reports_a_known_step_that_did_not_run(project):
    pytest.importorskip("torch")
    (project / "train.py").write_text(CALLED.replace("\nupdate(", "\nif len([]):\n    update("), "utf-8")
    result = CliRunner().invoke(verify, ["--", sys.executable, "train.py"])
    assert result.exit_code == 1
    assert "not reached" in result.output
    assert result.output.count("confirmed") >= 1


def test_a_scan_that_fails_does_not_fail_the_run(project):
    pytest.importorskip("torch")
    (project / "other.py").write_text(TRAIN.format(names="update"), "utf-8")
    (project / "pyproject.toml").write_text("[tool.clipcheck]\nnonsense = 1\n", "utf-8")
    result = CliRunner().invoke(verify, ["--", sys.executable, "other.py"])
    assert result.exit_code == 0, result.output
    assert "note: only steps that run are judged, since the scan failed" in result.output


def test_clips_by_hand_and_what_is_trained_are_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(
        "import torch\n"
        "model = torch.nn.LSTM(8, 8)\n"
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
        "def step(x, clamp):\n"
        "    optimizer.zero_grad()\n"
        "    model(x)[0].sum().backward()\n"
        "for x in data:\n"
        "    step(x, True)\n"
        "    for p in model.parameters():\n"
        "        p.grad.data.clamp_(-1, 1)\n"
        "    optimizer.step()\n"
        "for x in data:\n"
        "    step(x, False)\n"
        "    optimizer.step()\n"
    )
    name = str((tmp_path / "train.py").resolve())
    known = known_steps(("python", "train.py"))
    assert known.lines == ((name, 11), (name, 14))
    assert known.by_hand == {(name, 11)}
    assert known.families == {(name, 11): "recurrent", (name, 14): "recurrent"}
