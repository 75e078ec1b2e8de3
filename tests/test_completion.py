"""What Tab offers, by click's own completion."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from clipcheck import cli
from clipcheck.config import FORMATS


def offered(*words: str) -> list[str]:
    """What is offered for the last word; paths show as the type of what the shell is to list."""
    *before, last = words
    shell = ShellComplete(cli.clipcheck, {}, "clipcheck", "_CLIPCHECK_COMPLETE")
    found = shell.get_completions(before, last)
    return [item.value if item.type == "plain" else f"<{item.type}>" for item in found]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["--nothing-like-it"], [], id="unknown-option"),
        pytest.param(["--max-norm", ""], [], id="number"),
        pytest.param(["rule", "zz"], [], id="unknown-rule"),
        pytest.param(["server", "--f"], [], id="option-of-another-command"),
        pytest.param(["r"], ["rule", "<file>"], id="command-or-path"),
        pytest.param(["src"], ["<file>"], id="path"),
        pytest.param(["src", "t"], ["<file>"], id="second-path"),
        pytest.param(["--f"], ["--fix", "--force-exclude"], id="option-without-command"),
        pytest.param(["check", "--f"], ["--fix", "--force-exclude"], id="option"),
        pytest.param(["src", "--f"], ["--fix", "--force-exclude"], id="option-after-a-path"),
        pytest.param(["--fix", "src", "--unsafe"], ["--unsafe-fixes"], id="option-after-an-option"),
        pytest.param(["--ver"], ["--version", "--verify"], id="option-of-both"),
        pytest.param(["--output-format", ""], [*FORMATS], id="formats"),
        pytest.param(["src", "--output-format", "j"], ["json", "jsonl", "junit"], id="format"),
        pytest.param(["--min-risk", ""], ["none", "low", "medium", "high"], id="risks"),
        pytest.param(["--select", "CLP30"], ["CLP301", "CLP302", "CLP303", "CLP304"], id="codes"),
        pytest.param(["--ignore", "clp9"], ["CLP901"], id="code-in-small-letters"),
        pytest.param(["--select", "CLP302,CLP30"],
                     ["CLP302,CLP301", "CLP302,CLP303", "CLP302,CLP304"], id="list-of-codes"),
        pytest.param(["rule", "CLP90"], ["CLP901"], id="rule-by-code"),
        pytest.param(["rule", "unc"], ["unclipped-step"], id="rule-by-name"),
        pytest.param(["rule", "--output-format", ""], ["text", "json"], id="format-of-rule"),
        pytest.param(["cache", ""], ["clear"], id="command-of-a-group"),
        pytest.param(["--config", ""], ["<file>"], id="path-of-an-option"),
    ],
)  # fmt: skip
def test_offered(words, expected):
    assert offered(*words) == expected


def test_commands_come_first():
    assert offered("") == ["cache", "check", "config", "rule", "server", "verify", "<file>"]
    assert {"--fix", "--version", "--help"} <= set(offered("-"))


def asked(folder, **environment):
    """What clipcheck says to a shell that asks by its environment."""
    return subprocess.run(
        [sys.executable, "-m", "clipcheck"],
        env={**os.environ, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(shell, tmp_path):
    done = asked(tmp_path, _CLIPCHECK_COMPLETE=f"{shell}_source")
    assert done.returncode == 0, done.stderr
    assert "_CLIPCHECK_COMPLETE" in done.stdout


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="no bash")
def test_bash_asks_and_is_answered(tmp_path):
    words = {"COMP_WORDS": "clipcheck src --output-format j", "COMP_CWORD": "3"}
    done = asked(tmp_path, _CLIPCHECK_COMPLETE="bash_complete", **words)
    assert done.stdout.split() == ["plain,json", "plain,jsonl", "plain,junit"]
