"""The hooks, run by the real pre-commit on repositories made here. Installing them takes a package registry."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]
HEAD = "import torch\nfrom torch import nn\n"
MODEL = "model = nn.LSTM(4, 8)\n"
LOOP = """\
optimizer = torch.optim.Adam(model.parameters())
for batch in range(9):
    optimizer.zero_grad()
    model(torch.randn(5, 1, 4))[0].sum().backward()
    optimizer.step()
"""
CLIP = "    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)\n"
BAD = HEAD + MODEL + LOOP
GOOD = BAD.replace("    optimizer.step()", CLIP + "    optimizer.step()")


def run(folder: Path, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command, with nothing of the outer repository's or of the user's git."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PRE_COMMIT"))}
    git = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(
        command,
        cwd=folder,
        env={**kept, **git, **more},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def must(folder: Path, *command: str, **more: str) -> str:
    done = run(folder, *command, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def repository(folder: Path) -> None:
    must(folder, "git", "init", "--quiet", "--initial-branch=main")
    for key, value in {"user.name": "n", "user.email": "e@example.org", "core.autocrlf": "false"}.items():
        must(folder, "git", "config", key, value)


@pytest.fixture(scope="module")
def hooks(tmp_path_factory):
    """A repository with this project as it is now, and the home of pre-commit, where it is installed once."""
    folder = tmp_path_factory.mktemp("hooks") / "clipcheck"
    skip = shutil.ignore_patterns(
        ".git", ".venv", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis", "build", "dist"
    )
    shutil.copytree(ROOT, folder, ignore=skip)
    repository(folder)
    must(folder, "git", "add", "--all")
    must(folder, "git", "commit", "--quiet", "--no-verify", "--message", "as it is")
    return folder, tmp_path_factory.mktemp("home")


class Repository:
    """A repository whose commits run the hooks."""

    def __init__(self, folder: Path, hooks: Path, home: Path, *names: str) -> None:
        self.folder = folder
        self.home = {"PRE_COMMIT_HOME": str(home)}
        revision = must(hooks, "git", "rev-parse", "HEAD").strip()
        settings = [{"id": name, "language_version": sys.executable} for name in names]
        config = {"repos": [{"repo": str(hooks), "rev": revision, "hooks": settings}]}
        repository(folder)
        self.write(".pre-commit-config.yaml", json.dumps(config))  # JSON is YAML
        must(folder, sys.executable, "-m", "pre_commit", "install", **self.home)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8", newline="")
        must(self.folder, "git", "add", name)

    def read(self, name: str) -> str:
        return (self.folder / name).read_bytes().decode()

    def commit(self, **more: str) -> tuple[bool, str]:
        """Commit what is staged: whether that was let through, and what the hooks said."""
        before = self.commits()
        done = run(self.folder, "git", "commit", "--message", "m", **self.home, **more)
        passed = done.returncode == 0
        assert self.commits() == before + passed
        return passed, done.stdout + done.stderr

    def commits(self) -> int:
        found = run(self.folder, "git", "rev-list", "--count", "HEAD")
        return int(found.stdout) if found.returncode == 0 else 0


@pytest.fixture
def make(hooks, tmp_path):
    def begin(*names: str) -> Repository:
        return Repository(tmp_path, *hooks, *names)

    return begin


def test_what_is_clean_or_left_out_is_let_through(make):
    made = make("clipcheck", "clipcheck-fix")
    made.write("pyproject.toml", '[tool.clipcheck]\nextend-exclude = ["legacy"]\n')
    made.write("legacy/old.py", BAD)
    made.write("build/lib/copy.py", BAD)
    made.write("train.py", GOOD)
    made.write("notes.md", BAD)
    passed, said = made.commit()
    assert passed, said
    assert made.read("legacy/old.py") == made.read("build/lib/copy.py") == BAD
    made.write(
        "legacy/old.py", BAD + "\n"
    )  # nothing but excluded files: the current folder is not scanned instead
    made.write("legacy/other.py", BAD)
    passed, said = made.commit()
    assert passed, said


def test_a_bad_commit_is_refused_then_mended_then_let_through(make):
    made = make("clipcheck-fix", "clipcheck")
    made.write("train.py", BAD)
    made.write("other.py", "x = 1\n")
    passed, said = made.commit(SKIP="clipcheck-fix")
    assert not passed
    assert "train.py:8:5: CLP101 unclipped-step [high risk]" in said
    assert made.read("train.py") == BAD, "the reporting hook writes nothing"
    passed, said = made.commit()
    assert not passed, "a hook that writes fails once, so that the change is looked at"
    assert "files were modified by this hook" in said
    assert made.read("train.py") == GOOD
    must(made.folder, "git", "add", "train.py")
    passed, said = made.commit()
    assert passed, said


def test_the_model_may_stand_in_a_file_that_is_not_staged(make):
    made = make("clipcheck")
    made.write("models/net.py", HEAD + MODEL)
    made.write("models/__init__.py", "from models.net import model\n")
    passed, said = made.commit()
    assert passed, said
    made.write("train.py", HEAD + "from models import model\n" + LOOP)
    passed, said = made.commit()
    assert not passed
    assert "train.py:8:5: CLP101 unclipped-step [high risk]" in said
    assert f"{os.path.join('models', 'net.py')}:3: LSTM made here" in said


def test_notebooks_and_scripts_without_a_suffix_are_handed_over(make):
    made = make("clipcheck")
    cells = [{"cell_type": "code", "metadata": {}, "outputs": [], "source": BAD, "execution_count": None}]
    made.write("n.ipynb", json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}))
    made.write("train", "#!/usr/bin/env python3\n" + BAD)
    must(made.folder, "git", "update-index", "--chmod=+x", "train")
    (made.folder / "train").chmod(0o755)
    passed, said = made.commit()
    assert not passed
    assert "n.ipynb:cell 0:8:5: CLP101" in said
    assert "train:9:5: CLP101" in said
