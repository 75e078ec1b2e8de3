"""Files with very many findings: the work grows with their length, and not with its square. Calls are counted, seconds are not."""

from __future__ import annotations

import cProfile
import pstats
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from clipcheck import fixing, ignores, knowledge, pipeline
from clipcheck.config import Settings
from clipcheck.report import Layout, renderer

HEAD = "import torch\nfrom torch import nn\nfrom torch.nn.utils import clip_grad_norm_\n\n\n"
MADE = "model = nn.LSTM(4, 8)\n    optimizer = torch.optim.Adam(model.parameters())\n    "
TURN = "optimizer.zero_grad()\n    model(x)[0].sum().backward()\n    optimizer.step()\n    "
LATE = f"{TURN}clip_grad_norm_(model.parameters(), 1.0)\n    "
SCALED = (
    "scaler.scale(model(x)[0].sum()).backward()\n    scaler.step(optimizer)\n    optimizer.zero_grad()\n    "
)


def functions(number: int, turn: str = TURN) -> str:
    return HEAD + "".join(f"def train_{n}(x):\n    {MADE}{turn}\n\n" for n in range(number))


def methods(number: int) -> str:
    body = f"{MADE}{TURN}".replace("\n    ", "\n        ")
    return HEAD + "".join(
        f"class Task{n}:\n    def train(self, x):\n        {body}\n\n" for n in range(number)
    )


def one_function(number: int) -> str:
    return f"{HEAD}def train(x):\n    {MADE}{TURN * number}\n"


def scalers(number: int) -> str:
    made = "".join(f"scaler{n} = torch.amp.GradScaler()\n    " for n in range(number))
    turns = "".join(SCALED.replace("scaler", f"scaler{n}") for n in range(number))
    return f"{HEAD}def train(x):\n    {MADE}{made}{turns}\n"


def stars(number: int) -> str:
    imports = "".join(f"from library{n} import *\n" for n in range(number))
    return imports + one_function(number).replace("model(x)", "measured(model(x))")


SHAPES = {
    "a function each": functions,
    "a late clip each": lambda number: functions(number, LATE),
    "a clip like those above each": lambda number: functions(number, TURN + CLIPPED),
    "a class each": methods,
    "one function": one_function,
    "a scaler each": scalers,
    "a star import each": stars,
}
CLIPPED = TURN.replace(
    "    optimizer.step()", "    clip_grad_norm_(model.parameters(), 0.5)\n    optimizer.step()"
)
SIZE = 16
Named = tuple[str, int, str]  # a function: its file, its line and its name


def calls(folder: Path, text: str, work: str, least: int = SIZE) -> Counter[Named]:
    """How often each function of clipcheck is called while a file is scanned, and then fixed, silenced or reported."""
    (folder / "train.py").write_text(text)
    (folder / "pyproject.toml").touch()
    settings = Settings(no_cache=True, jobs=1, unsafe_fixes=True, min_risk="none", project_root=folder)
    profile = cProfile.Profile()
    if work == "report":
        report = pipeline.run([folder], settings)
        assert len(report.findings) >= least
        with profile:
            for form in ("text", "json", "sarif", "gitlab"):
                renderer(form)(report, Layout())
    else:
        plan = fixing.plan if work == "fix" else ignores.plan
        with profile:
            done = plan([folder], settings, pipeline.run)
            assert len(done.fixed) >= least
            assert not done.refused
            fixing.diff(done)
    ours = str(Path(knowledge.__file__).parent)
    counted = pstats.Stats(profile).stats.items()
    return Counter({one: times for one, (_, times, *_) in counted if one[0].startswith(ours)})


@pytest.fixture(autouse=True)
def known(monkeypatch, tmp_path):
    """What is read, imported or compiled once in a process is not counted."""
    monkeypatch.setattr(knowledge, "_shipped", cache(knowledge._shipped))
    calls(tmp_path, one_function(2), "fix", least=1)


@pytest.mark.parametrize(
    ("shape", "work"),
    [*((shape, "fix") for shape in SHAPES), ("a function each", "silence"), ("a function each", "report")],
)
def test_twice_as_many_findings_take_twice_as_much(tmp_path, shape, work):
    small, middle, large = (calls(tmp_path, SHAPES[shape](SIZE * times), work) for times in (1, 2, 4))
    # What does not depend on the size drops out; the square would make this four times as much.
    grown = {one: (large[one] - middle[one], middle[one] - small[one]) for one in large}
    often = 4 * SIZE * SIZE
    assert not {one: more for one, more in grown.items() if more[0] > often and more[0] > 2.7 * more[1]}
