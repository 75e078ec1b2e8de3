"""The abstract run on small programs: what it sees at each step. The silent ones come first."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from clipcheck import config, pipeline
from clipcheck.flow import core
from clipcheck.flow.records import Sightings
from clipcheck.following import parts
from clipcheck.protocol import Phase
from clipcheck.scanning import scan_paths

HEAD = """
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_
"""


def sight(folder: Path, **files: str) -> Sightings:
    """The sightings in a project of these files; each starts with the usual imports."""
    (folder / "clipcheck.toml").touch()
    for name, text in files.items():
        (folder / f"{name}.py").write_text(HEAD + textwrap.dedent(text), encoding="utf-8")
    seen = Sightings()
    for part in parts(scan_paths([folder], config.load(folder))):
        seen.steps |= part.sightings.steps
        seen.clips |= part.sightings.clips
        seen.exhausted += part.sightings.exhausted
    return seen


def codes(sightings: Sightings) -> set[str]:
    """The rules broken on any path to a step or clip, where nothing is in doubt."""
    sites = [*sightings.steps.values(), *sightings.clips.values()]
    paths = [path for site in sites for context in site.contexts for path in context.paths]
    return {path.code for path in paths if not path.gradients.unsure} - {""}


MODEL = """
model = nn.LSTM(4, 8)
optimizer = torch.optim.Adam(model.parameters())
"""
SILENT = {
    "clip before the step": """
        for x in data:
            optimizer.zero_grad()
            model(x)[0].sum().backward()
            clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        """,
    "one guard over both": """
        for i, x in enumerate(data):
            model(x)[0].sum().backward()
            if (i + 1) % 4 == 0:
                clip_grad_norm_(model.parameters(), 1.0)
            print(i)
            if (i + 1) % 4 == 0:
                optimizer.step()
                optimizer.zero_grad()
        """,
    "continue past the step": """
        for x in data:
            optimizer.zero_grad()
            loss = model(x)[0].sum()
            loss.backward()
            if not torch.isfinite(loss):
                continue
            clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        """,
    "finally": """
        for x in data:
            optimizer.zero_grad()
            try:
                model(x)[0].sum().backward()
            finally:
                clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        """,
    "endless loop with a break": """
        while True:
            optimizer.zero_grad()
            model(next(data))[0].sum().backward()
            clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if done():
                break
        """,
    "clip in the closure": """
        def closure():
            optimizer.zero_grad()
            loss = model(x)[0].sum()
            loss.backward()
            clip_grad_norm_(model.parameters(), 1.0)
            return loss
        optimizer.step(closure)
        """,
    "clip through the optimizer's own groups": """
        for x in data:
            optimizer.zero_grad()
            model(x)[0].sum().backward()
            clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
            optimizer.step()
        """,
    "a helper that recurses": """
        def finish(depth):
            if depth:
                return finish(depth - 1)
            clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        for x in data:
            optimizer.zero_grad()
            model(x)[0].sum().backward()
            finish(3)
        """,
    "no backward at all": "optimizer.step()",
}
GUILTY = {
    "nothing clips": (
        """
        for x in data:
            optimizer.zero_grad()
            model(x)[0].sum().backward()
            optimizer.step()
        """,
        {"CLP101"},
    ),
    "the guard changes in between": (
        """
        for x in data:
            sync = ready()
            model(x)[0].sum().backward()
            if sync:
                clip_grad_norm_(model.parameters(), 1.0)
            sync = ready()
            if sync:
                optimizer.step()
                optimizer.zero_grad()
        """,
        {"CLP101", "CLP204"},
    ),
    "clip after the step": (
        """
        for x in data:
            optimizer.zero_grad()
            model(x)[0].sum().backward()
            optimizer.step()
            clip_grad_norm_(model.parameters(), 1.0)
        """,
        {"CLP101", "CLP201"},
    ),
    "clip before the backward": (
        """
        for x in data:
            optimizer.zero_grad()
            clip_grad_norm_(model.parameters(), 1.0)
            model(x)[0].sum().backward()
            optimizer.step()
        """,
        {"CLP101", "CLP202"},
    ),
    "clip on scaled gradients": (
        """
        scaler = torch.amp.GradScaler("cuda")
        for x in data:
            optimizer.zero_grad()
            scaler.scale(model(x)[0].sum()).backward()
            clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
        """,
        {"CLP203"},
    ),
    "clip on every micro-batch": (
        """
        for i, x in enumerate(data):
            model(x)[0].sum().backward()
            clip_grad_norm_(model.parameters(), 1.0)
            if i % 4 == 3:
                optimizer.step()
                optimizer.zero_grad()
        """,
        {"CLP204"},
    ),
}


@pytest.mark.parametrize("program", SILENT.values(), ids=SILENT)
def test_silent(tmp_path: Path, program: str) -> None:
    sightings = sight(tmp_path, train=MODEL + textwrap.dedent(program))
    assert len(sightings.steps) == 1
    assert codes(sightings) == set()


@pytest.mark.parametrize(("program", "expected"), GUILTY.values(), ids=GUILTY)
def test_guilty(tmp_path: Path, program: str, expected: set[str]) -> None:
    assert codes(sight(tmp_path, train=MODEL + textwrap.dedent(program))) == expected


def test_a_gan_keeps_its_two_networks_apart(tmp_path: Path) -> None:
    sightings = sight(
        tmp_path,
        train="""
        g, d = nn.Linear(2, 2), nn.Linear(2, 1)
        opt_g = torch.optim.Adam(g.parameters())
        opt_d = torch.optim.Adam(d.parameters())
        for x in data:
            opt_d.zero_grad()
            d(g(x).detach()).mean().backward()
            clip_grad_norm_(d.parameters(), 1.0)
            opt_d.step()
            opt_g.zero_grad()
            d(g(x)).mean().backward()
            clip_grad_norm_(g.parameters(), 1.0)
            opt_g.step()
        """,
    )
    assert len(sightings.steps) == 2
    assert codes(sightings) == set()


def test_a_clip_of_the_other_network_does_not_count(tmp_path: Path) -> None:
    sightings = sight(
        tmp_path,
        train="""
        a, b = nn.LSTM(2, 2), nn.LSTM(2, 1)
        opt_a = torch.optim.Adam(a.parameters())
        opt_b = torch.optim.Adam(b.parameters())
        for x in data:
            (a(x)[0].mean() + b(x)[0].mean()).backward()
            clip_grad_norm_(a.parameters(), 1.0)
            opt_a.step()
            opt_b.step()
        """,
    )
    bare = {
        step.call.function.value.id  # type: ignore[union-attr]
        for step in sightings.steps.values()
        if any(path.code == "CLP101" for context in step.contexts for path in context.paths)
    }
    assert bare == {"opt_b"}


def test_code_that_is_not_known_makes_unsure_what_it_is_handed(tmp_path: Path) -> None:
    sightings = sight(
        tmp_path,
        train=MODEL
        + """
import mystery
model(x)[0].sum().backward()
mystery.improve(model)
optimizer.step()
""",
    )
    ((step,),) = [sightings.steps.values()]
    assert all(path.gradients.unsure for context in step.contexts for path in context.paths)


def test_a_helper_is_judged_in_each_caller_and_reported_once(tmp_path: Path) -> None:
    sightings = sight(
        tmp_path,
        helper="""
        def update(optimizer):
            optimizer.step()
        """,
        one=MODEL + "from helper import update\nmodel(x)[0].sum().backward()\nupdate(optimizer)\n",
        two=(
            MODEL.replace("LSTM", "GRU")
            + "from helper import update\nmodel(x)[0].sum().backward()\n"
            + "clip_grad_norm_(model.parameters(), 1.0)\nupdate(optimizer)\n"
        ),
    )
    ((step,),) = [sightings.steps.values()]
    phases = {path.gradients.phase for context in step.contexts for path in context.paths}
    assert len(step.contexts) == 2
    assert phases == {Phase.FRESH, Phase.CLIPPED}


@pytest.mark.parametrize(
    "statement",
    ["from zoo import Net", "from zoo.rnn import Net", "import zoo.rnn", "from zoo import *", "import zoo"],
)
def test_a_model_is_found_however_it_is_imported(tmp_path: Path, statement: str) -> None:
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "__init__.py").write_text("from .rnn import Net\n", encoding="utf-8")
    (tmp_path / "zoo" / "rnn.py").write_text(
        HEAD + "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.rnn = nn.LSTM(2, 3)\n",
        encoding="utf-8",
    )
    called = {"import zoo.rnn": "zoo.rnn.Net", "import zoo": "zoo.Net"}.get(statement, "Net")
    sightings = sight(
        tmp_path,
        train=f"{statement}\nmodel = {called}()\nopt = torch.optim.SGD(model.parameters(), 1.0)\n"
        "model(x).sum().backward()\nopt.step()\n",
    )
    ((step,),) = [sightings.steps.values()]
    (model,) = step.contexts[0].models
    assert getattr(model, "name", "") == "Net"
    assert step.contexts[0].names.parameters == "model.parameters()"


def test_modules_that_import_each_other_and_a_class_that_is_its_own_base(tmp_path: Path) -> None:
    sightings = sight(
        tmp_path,
        one="from two import B\nclass A(B): pass\nA().step()\n" + MODEL + "model(x)[0].sum().backward()\n"
        "optimizer.step()\n",
        two="from one import A\nclass B(A): pass\nclass C(C): pass\n",
    )
    assert codes(sightings) == {"CLP101"}


def test_a_program_that_is_too_large_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipcheck.flow.interpreter.ENTRY_FUEL", 5)
    (tmp_path / "clipcheck.toml").touch()
    body = "".join(f"value{i} = {i}\n" for i in range(20))
    (tmp_path / "train.py").write_text(HEAD + body + MODEL + "optimizer.step()\n", encoding="utf-8")
    report = pipeline.run([tmp_path], config.load(tmp_path))
    assert core.ENTRY_FUEL > 5
    assert report.unfinished == (str(tmp_path / "train.py"),)


def test_a_model_is_looked_into_when_all_else_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its constructor makes decides about the risk, so that it has statements of its own to spend."""
    monkeypatch.setattr("clipcheck.flow.interpreter.VALUE_FUEL", 20)
    (tmp_path / "clipcheck.toml").touch()
    text = """
    def number(n):
        m = n + 1
        return m

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = self.made()

        def made(self):
            return nn.LSTM(4, 8)

    def main(data):
        numbers = [number(0), number(1), number(2), number(3), number(4), number(5), number(6), number(7),
                   number(8), number(9), number(10), number(11), number(12), number(13), number(14)]
        model = Net()
        optimizer = torch.optim.Adam(model.parameters())
        model(data).sum().backward()
        optimizer.step()
    """
    (tmp_path / "train.py").write_text(HEAD + textwrap.dedent(text), encoding="utf-8")
    settings = config.load(tmp_path, None, {"no_cache": True, "jobs": 1})
    assert [one.risk for one in pipeline.run([tmp_path], settings).findings] == ["high"]
    monkeypatch.setattr("clipcheck.flow.calls.MODEL_FUEL", 0)
    assert not pipeline.run([tmp_path], settings).findings


def test_a_condition_in_a_short_function_is_known_when_all_else_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`exists(x)` stands in front of many a clip: it has statements of its own to spend."""
    monkeypatch.setattr("clipcheck.flow.interpreter.VALUE_FUEL", 20)
    (tmp_path / "clipcheck.toml").touch()
    text = """
    def number(n):
        m = n + 1
        return m

    def exists(value):
        return value is not None

    def main(data, max_norm=None):
        model = nn.LSTM(4, 8)
        optimizer = torch.optim.Adam(model.parameters())
        numbers = [number(0), number(1), number(2), number(3), number(4), number(5), number(6), number(7),
                   number(8), number(9), number(10), number(11), number(12), number(13), number(14)]
        model(data)[0].sum().backward()
        if exists(max_norm):
            nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
    """
    (tmp_path / "train.py").write_text(HEAD + textwrap.dedent(text), encoding="utf-8")
    settings = config.load(tmp_path, None, {"no_cache": True, "jobs": 1})
    assert [one.code for one in pipeline.run([tmp_path], settings).findings] == ["CLP102"]
    monkeypatch.setattr("clipcheck.flow.calls.SHORT_FUEL", 0)
    assert [one.code for one in pipeline.run([tmp_path], settings).findings] != ["CLP102"]


def test_each_file_is_told_of_once_by_the_program_that_holds_its_events(tmp_path: Path) -> None:
    (tmp_path / "clipcheck.toml").touch()
    files = {
        "engine.py": """
        def train_step(model, optimizer, batch):
            model(batch)[0].sum().backward()
            optimizer.step()
        """,
        "trainer.py": """
        from engine import train_step

        def fit(model, optimizer, data):
            for batch in data:
                train_step(model, optimizer, batch)
        """,
        "main.py": """
        from trainer import fit

        model = nn.LSTM(4, 8)
        optimizer = torch.optim.Adam(model.parameters())
        fit(model, optimizer, data)
        model(data)[0].sum().backward()
        optimizer.step()
        """,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(HEAD + textwrap.dedent(text), encoding="utf-8")
    for jobs in (1, 2):
        settings = config.load(tmp_path, None, {"no_cache": True, "jobs": jobs})
        report = pipeline.run([tmp_path], settings)
        assert [Path(one.filename).name for one in report.findings] == ["engine.py", "main.py"]
        assert (report.sight.steps, report.sight.reported) == (2, 2)
