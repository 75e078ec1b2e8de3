"""`pytest --clipcheck`, in test suites of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch._dynamo  # here already, as the first step would: no process can import it twice

pytest_plugins = ["pytester"]

PRELUDE = """
import pytest
import torch
from torch.nn.utils import clip_grad_norm_

def train(net, *, clip, max_norm=1.0):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        out = net(torch.ones(2, 4, 3))
        (100 * (out[0] if isinstance(out, tuple) else out).sum()).backward()
        if clip:
            clip_grad_norm_(net.parameters(), max_norm)
        optimizer.step()
"""
# What the scan is asked about runs in a process of its own: pytester forgets what an inner run has imported.
SCANNED = """
import pytest
import torch
from torch.nn.utils import clip_grad_norm_

X = torch.ones(2, 4, 3)

def test_recurrent():
    net = torch.nn.LSTM(3, 5, batch_first=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    optimizer.zero_grad()
    net(X)[0].sum().backward()
    optimizer.step()

def test_suppressed():
    net = torch.nn.LSTM(3, 5, batch_first=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    optimizer.zero_grad()
    net(X)[0].sum().backward()
    optimizer.step()  # clipcheck: ignore

def test_clipped():
    net = torch.nn.LSTM(3, 5, batch_first=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    optimizer.zero_grad()
    net(X)[0].sum().backward()
    clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()

def test_shallow():
    net = torch.nn.Linear(3, 5)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    optimizer.zero_grad()
    net(X).sum().backward()
    optimizer.step()

def test_unknown_to_the_scan():
    net = torch.nn.Linear(3, 1)
    optimizer = getattr(torch.optim, "SG" + "D")(net.parameters(), lr=0.1)
    net(X).sum().backward()
    getattr(optimizer, "st" + "ep")()

def test_clip_after_step():
    net = torch.nn.LSTM(3, 5, batch_first=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        net(X)[0].sum().backward()
        optimizer.step()
        clip_grad_norm_(net.parameters(), 1.0)

@pytest.fixture
def trained():
    net = torch.nn.LSTM(3, 5, batch_first=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    optimizer.zero_grad()
    net(X)[0].sum().backward()
    optimizer.step()

def test_fixture(trained):
    pass

@pytest.mark.xfail(strict=True)
def test_expected():
    net = torch.nn.LSTM(3, 5, batch_first=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    optimizer.zero_grad()
    net(X)[0].sum().backward()
    optimizer.step()

def test_own_failure():
    net = torch.nn.LSTM(3, 5, batch_first=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    optimizer.zero_grad()
    net(X)[0].sum().backward()
    optimizer.step()
    assert 1 == 2

def test_no_training():
    pass
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scanned")
    (folder / "pyproject.toml").write_text("[project]\nname = 'suite'\n")
    (folder / "test_scanned.py").write_text(SCANNED)
    return folder


def outcomes(folder: Path, *options: str) -> tuple[dict[str, str], str]:
    """Run the suite and give the outcome of every test, and what was printed."""
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    found = re.findall(r"^(PASSED|FAILED|XFAIL) test_scanned.py::test_(\w+)", done.stdout, re.MULTILINE)
    return {name: outcome for outcome, name in found}, done.stdout + done.stderr


def test_unclipped_steps_at_risk_fail(folder: Path) -> None:
    found, printed = outcomes(folder, "--clipcheck")
    assert found == {
        "suppressed": "PASSED", "clipped": "PASSED", "shallow": "PASSED", "no_training": "PASSED",
        "recurrent": "FAILED", "unknown_to_the_scan": "FAILED", "clip_after_step": "FAILED", "fixture": "FAILED",
        "expected": "XFAIL", "own_failure": "FAILED",
    }, printed  # fmt: skip
    own = re.search(r"_ test_recurrent _+\n(.*?)\n_{5}", printed, re.DOTALL)
    assert own
    row = SCANNED.splitlines().index("    optimizer.step()") + 1
    assert re.match(
        r"clipcheck: unclipped steps at risk\n"
        rf"  .*test_scanned.py:{row}: refuted: nothing clipped the gradients \(raw norm \S+, used \S+\)\n"
        r"    CLP101 .*\(risk: high\)",
        own.group(1),
    ), own.group(1)
    assert "the scan does not know this line as a step" in printed
    assert re.search(r"comes after the step it should guard.*\n +CLP201 ", printed)
    assert "E       assert 1 == 2" in printed
    assert "clipcheck: 11 updates watched in 9 tests, 5 with unclipped steps at risk" in printed


def test_they_warn_if_that_is_asked_for(folder: Path) -> None:
    found, printed = outcomes(folder, "--clipcheck-warn", "-k", "recurrent or shallow")
    assert found == {"recurrent": "PASSED", "shallow": "PASSED"}
    assert "UnclippedWarning: clipcheck: unclipped steps at risk" in printed
    assert "1 warning" in printed


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makefile(".toml", pyproject="[project]\nname = 'suite'\n")
    return pytester


def test_off_by_default(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        PRELUDE + "\n@pytest.mark.clipcheck(max_norm=1.0)\ndef test_marked():\n"
        "    train(torch.nn.LSTM(3, 5, batch_first=True), clip=False)\n"
        "    assert 'clipcheck' not in clip_grad_norm_.__code__.co_filename\n"
    )
    result = suite.runpytest("--strict-markers")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*watched*")


@pytest.mark.parametrize(
    ("mark", "call", "outcome", "said"),
    [
        ("max_norm=1.0", "train(torch.nn.Linear(3, 1), clip=True)", "passed", None),
        ("", "train(torch.nn.Linear(3, 1), clip=True, max_norm=1e9)", "passed", None),
        ("enabled=False", "train(torch.nn.Linear(3, 1), clip=False)", "passed", None),
        ("max_norm=1.0", "train(torch.nn.Linear(3, 1), clip=False)", "failed", "*not confirmed*"),
        ("max_norm=1.0", "train(torch.nn.Linear(3, 1), clip=True, max_norm=1e9)", "failed", "*was expected*"),
        ("", "pass", "failed", "*no optimizer step was seen*"),
    ],
)
def test_marks(suite: pytest.Pytester, mark: str, call: str, outcome: str, said: str | None) -> None:
    suite.makepyfile(PRELUDE + f"\n@pytest.mark.clipcheck({mark})\ndef test_it():\n    {call}\n")
    result = suite.runpytest("--clipcheck", "--strict-markers")
    result.assert_outcomes(**{outcome: 1})
    if said:
        result.stdout.fnmatch_lines([said])


@pytest.mark.parametrize("mark", ["1.0", "max_nrom=1.0"])
def test_wrong_marks_are_refused(suite: pytest.Pytester, mark: str) -> None:
    suite.makepyfile(PRELUDE + f"\n@pytest.mark.clipcheck({mark})\ndef test_it():\n    pass\n")
    result = suite.runpytest("--clipcheck")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "the mark clipcheck takes max_norm and enabled by name" in "\n".join(
        result.errlines + result.outlines
    )


def test_everything_is_put_back(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        PRELUDE + "\ndef test_it():\n    assert 'clipcheck' in clip_grad_norm_.__code__.co_filename\n"
    )
    suite.runpytest("--clipcheck").assert_outcomes(passed=1)
    assert "clipcheck" not in torch.nn.utils.clip_grad_norm_.__code__.co_filename


def test_without_torch(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    suite.makepyfile("def test_it():\n    pass\n")
    monkeypatch.setitem(sys.modules, "torch", None)
    result = suite.runpytest("--clipcheck")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "torch is not installed: pip install 'clipcheck[verify]'" in "\n".join(
        result.errlines + result.outlines
    )


def test_the_module_imports_little() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import clipcheck.pytest_plugin;"
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['clipcheck', 'clipcheck.pytest_plugin', 'clipcheck.version']\n"
