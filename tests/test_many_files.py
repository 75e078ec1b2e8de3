"""Work grows with the files that are scanned, and no faster: counted in calls, not in seconds."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clipcheck import config, pipeline
from clipcheck.modules import Modules

MODEL = """\
from torch import nn


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 8)

    def forward(self, x):
        return self.lstm(x)[0]
"""
STEPS = """\
def update(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
TRAIN = """\
import torch

from model import Tagger
from utils.steps import update

model = Tagger()
optimizer = torch.optim.Adam(model.parameters())
for batch in batches:
    update(optimizer, model(batch).sum())
"""
FILES = {"model.py": MODEL, "train.py": TRAIN, "utils/__init__.py": "", "utils/steps.py": STEPS}


@pytest.fixture
def copies(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a repository of so many copies of one program, all with the same names."""

    def make(number: int) -> Path:
        folder = tmp_path / str(number)
        for name, text in FILES.items():
            path = folder / "part0" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for part in range(1, number):
            shutil.copytree(folder / "part0", folder / f"part{part}")
        (folder / "pyproject.toml").touch()
        return folder

    return make


def calls(work: Callable[[], object]) -> int:
    """How many calls of Python functions some work takes."""
    count = 0

    def hear(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(hear)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_a_repository_of_twice_the_programs_takes_twice_the_work(copies: Callable[[int], Path]) -> None:
    def scan(number: int) -> int:
        folder = copies(number)
        settings = config.load(folder, None, {"no_cache": True, "jobs": 1})
        found: list[pipeline.Report] = []
        taken = calls(lambda: found.append(pipeline.run([folder], settings)))
        assert len(found[0].findings) == number
        return taken

    scan(2)  # what is imported and compiled once
    few, many = scan(10), scan(40)
    assert many < 4.2 * few


def names(folders: int) -> Iterator[str]:
    for number in range(folders):
        yield f"/project/part{number}/train.py"
        yield f"/project/part{number}/utils/steps.py"


def test_an_import_is_resolved_among_any_number_of_namesakes() -> None:
    def resolve(folders: int) -> int:
        modules = Modules(names(folders))

        def work() -> None:
            for number in range(folders):
                here = f"/project/part{number}"
                assert modules.module(f"{here}/train.py", "utils.steps") == f"{here}/utils/steps.py"

        return calls(work)

    assert resolve(2000) < 4.2 * resolve(500)
