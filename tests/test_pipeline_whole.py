"""The whole way through: what is loaded, what is filtered, and that the result hangs on nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from clipcheck import config, pipeline
from clipcheck.findings import Report

CLEAN = """
import torch
from torch import nn

model = nn.LSTM(4, 8)
optimizer = torch.optim.Adam(model.parameters())
for x in data:
    optimizer.zero_grad()
    model(x)[0].sum().backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
"""
BARE = CLEAN.replace("    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n", "")
PLAIN = BARE.replace("nn.LSTM(4, 8)", "nn.Linear(4, 8)")


def run(folder: Path, **settings: object) -> Report:
    return pipeline.run([folder], config.load(folder, None, settings))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "clipcheck.toml").touch()
    (tmp_path / "train.py").write_text(BARE, encoding="utf-8")
    (tmp_path / "plain.py").write_text(PLAIN, encoding="utf-8")
    return tmp_path


def test_a_clean_project_loads_neither_libcst_nor_rich_nor_torch(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(CLEAN, encoding="utf-8")
    program = (
        "import sys\nfrom clipcheck.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print(sorted({'libcst', 'rich', 'torch', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), "--no-cache"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "1 step seen: 1 clipped" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_low_risk_is_silent_and_counted(project: Path) -> None:
    report = run(project)
    assert [Path(one.filename).name for one in report.findings] == ["train.py"]
    assert (report.sight.steps, report.sight.low_risk, report.sight.reported) == (2, 1, 1)


def test_every_risk_on_request(project: Path) -> None:
    assert {one.risk for one in run(project, min_risk="none").findings} == {"high", "none"}


def test_ignored_rules_are_silent(project: Path) -> None:
    assert run(project, ignore=["CLP1"]).findings == ()
    assert run(project, select=["CLP2"]).findings == ()


def test_the_counts_add_up(project: Path) -> None:
    sight = run(project).sight
    assert sight.steps == sight.clipped + sight.low_risk + sight.reported + sight.unknown


def test_a_trainer_made_of_arguments_alone_is_counted_as_unknown(tmp_path: Path) -> None:
    made = "import lightning\n\ndef main(args):\n    trainer = lightning.Trainer.from_argparse_args(args)\n"
    (tmp_path / "clipcheck.toml").touch()
    (tmp_path / "idle.py").write_text(made, encoding="utf-8")
    assert run(tmp_path).sight.steps == 0
    (tmp_path / "train.py").write_text(made + "    trainer.fit(build(args))\n", encoding="utf-8")
    report = run(tmp_path)
    assert report.findings == ()
    assert (report.sight.steps, report.sight.unknown) == (1, 1)


def test_only_what_was_named_is_reported(project: Path) -> None:
    report = pipeline.run([project / "plain.py"], config.load(project, None, {"min_risk": "none"}))
    assert [Path(one.filename).name for one in report.findings] == ["plain.py"]


def test_an_overlay_stands_in_for_the_file(project: Path) -> None:
    path = project / "train.py"
    report = pipeline.run([project], config.load(project), overlay={str(path): CLEAN})
    assert report.findings == ()
    assert path.read_text(encoding="utf-8") == BARE


def test_the_result_hangs_on_neither_jobs_nor_cache(project: Path, tmp_path: Path) -> None:
    for number in range(45):  # enough for the process pool
        (project / f"more{number}.py").write_text(BARE, encoding="utf-8")
    cache = tmp_path / "cache"
    first = run(project, jobs=1, no_cache=True)
    assert len(first.findings) == 46
    assert run(project, jobs=2, no_cache=True) == first
    assert run(project, jobs=2, cache_dir=cache) == first
    assert any(cache.rglob("*"))
    assert run(project, jobs=1, cache_dir=cache) == first


def test_a_broken_file_is_named_and_the_others_go_on(project: Path) -> None:
    (project / "broken.py").write_text("optimizer.step(\n", encoding="utf-8")
    report = run(project)
    (failure,) = report.failures
    assert Path(failure.filename).name == "broken.py"
    assert failure.row == 1
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in failure.message
    assert len(report.findings) == 1


def test_a_suppressed_step_is_silent_and_an_idle_comment_is_not(project: Path) -> None:
    (project / "train.py").write_text(
        BARE.replace("optimizer.step()", "optimizer.step()  # clipcheck: ignore[CLP101]"), encoding="utf-8"
    )
    assert run(project).findings == ()
    (project / "train.py").write_text(CLEAN + "x = 1  # clipcheck: ignore\n", encoding="utf-8")
    assert [one.code for one in run(project).findings] == ["CLP901"]


def test_findings_that_comments_silence_are_counted(project: Path) -> None:
    assert run(project).silenced == 0
    text = BARE.replace("optimizer.step()", "optimizer.step()  # clipcheck: ignore[CLP101]")
    (project / "train.py").write_text(text, encoding="utf-8")
    report = run(project)
    assert (report.findings, report.silenced) == ((), 1)
    assert run(project, select=["CLP2"]).silenced == 0  # nobody asked for it


def test_a_helper_of_a_library_that_is_imported_by_another_name_may_clip(tmp_path: Path) -> None:
    helper = "from mylib import clip_gradients_by_value as squash\n\ndef tame(model):\n    squash(model.parameters())\n"
    (tmp_path / "clipcheck.toml").touch()
    text = BARE.replace("\nmodel =", f"{helper}\nmodel =").replace(
        "    optimizer.step()", "    tame(model)\n    optimizer.step()"
    )
    (tmp_path / "train.py").write_text(text, encoding="utf-8")
    report = run(tmp_path)
    assert ([one.code for one in report.findings], report.sight.unknown) == ([], 1)
