"""The README from the top: every command that it shows, in its order, from a copy of the repository and in an
empty virtual environment; and what it shows of settings is what clipcheck reads.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from clipcheck import config

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
MARK = "@@@ exit status"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def commands() -> list[tuple[str, int]]:
    """The commands with the exit status that each is said to have; what installs and runs these tests is left out."""
    shown = [line for block in blocks("console") if "-m pytest" not in block for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in shown)
    first, *others = [
        (line[2:].partition("  #")[0].strip(), 1 if "exit status 1" in line else 0) for line in shown
    ]
    assert "It ends with exit status 1" in README
    return [(first[0], 1), *others]


def clone(target: Path) -> None:
    """Copy what is in the repository, as it is now."""
    git = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, capture_output=True, check=False)
    if listed.returncode:  # an unpacked sdist, or CI's copy
        shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(".venv", "__pycache__", "*.egg-info"))
        return
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the commands are a POSIX shell's")
def test_every_command_works_as_shown(tmp_path):
    clone(tmp_path / "clone")
    first = commands()[0][0]
    assert first.startswith("python -m venv .venv && .venv/bin/pip install .")
    # no other torch than that of these tests: any other may be of several gigabytes
    (tmp_path / "constraints.txt").write_text("torch==2.13.0\n")
    script = "".join(
        f"echo '{MARK}' start\n{command.replace('/tmp/', f'{tmp_path}/')}\necho '{MARK}' $?\n"
        for command, _ in commands()
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CLIPCHECK_")}
    environment |= {
        "PIP_CONSTRAINT": str(tmp_path / "constraints.txt"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "PYTHONPATH": "",
        "VIRTUAL_ENV": "",
    }
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path / "clone", env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = done.stdout.split(f"{MARK} start\n")[1:]
    assert len(told) == len(commands()), done.stderr[-2000:]
    outputs = {}
    for (command, expected), text in zip(commands(), told, strict=True):
        output, _, status = text.rpartition(f"{MARK} ")
        assert int(status) == expected, f"{command}\n{output}\n{done.stderr[-2000:]}"
        outputs.setdefault(command, []).append(output)
    before, after = outputs["clipcheck verify -- python train.py"]
    assert "0 confirmed, 1 refuted" in before
    assert "1 confirmed, 0 refuted" in after
    assert (
        "+        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)\n"
        in outputs["clipcheck --diff"][0]
    )
    assert (tmp_path / "char-lstm" / "report.html").is_file()
    (silent,) = outputs["clipcheck --baseline clipcheck-baseline.json"]
    assert "2 known from the baseline" in silent
    assert "2 silenced by comments" in outputs["clipcheck --add-ignores"][0]


def test_settings_that_are_shown_are_read(tmp_path):
    (shown,) = blocks("toml")
    (tmp_path / "pyproject.toml").write_text(shown)
    settings = config.load(tmp_path)
    assert (settings.min_risk, settings.max_norm) == ("low", 0.5)
    assert settings.clip_functions == ("mylib.train.limit_gradients",)
    assert not settings.wants("CLP101", tmp_path / "experiments" / "train.py")


def test_python_that_is_shown_runs(tmp_path, monkeypatch, capsys):
    (shown,) = [block for block in blocks("python") if "clipcheck.check(" in block]
    shutil.copytree(ROOT / "fixtures" / "char-lstm" / "before", tmp_path / "src")
    (tmp_path / "clipcheck-baseline.json").write_text('{"version": 1, "findings": []}')
    monkeypatch.chdir(tmp_path)
    exec(shown, {})
    told = capsys.readouterr().out
    assert "train.py 40 CLP101 high" in told
    assert "2 fixed, 0 left" in told


def test_hooks_that_are_shown_are_there():
    import yaml

    (shown, *_) = [yaml.safe_load(block) for block in blocks("yaml") if "repos:" in block]
    offered = {hook["id"] for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))}
    assert {hook["id"] for hook in shown["repos"][0]["hooks"]} == offered


def test_options_that_are_shown_are_there():
    from clipcheck.asking import cache_group, rule, show_config
    from clipcheck.checking import check
    from clipcheck.cli import clipcheck
    from clipcheck.verify.command import verify

    known = {
        option
        for command in (clipcheck, cache_group, check, rule, show_config, verify)
        for one in command.params
        for option in one.opts
    }
    known |= {"--clipcheck", "--clipcheck-warn"}  # pytest's
    named = set(re.findall(r"`(?:clipcheck |pytest )?(--[a-z][\w-]*)", README))
    assert named <= known


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target
    headings = {
        re.sub(r"[^\w -]", "", line.strip("# ").lower()).replace(" ", "-")
        for line in README.splitlines()
        if line.startswith("#")
    }
    for anchor in re.findall(r"\]\(#([^)]+)\)", README):
        assert anchor in headings, anchor
