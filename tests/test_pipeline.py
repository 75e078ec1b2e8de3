"""The whole run over small projects: what is reported, what is left out, and that nothing depends on how."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clipcheck import config, library, pipeline, workers
from clipcheck.config import UserError
from clipcheck.findings import Failure

HEAD = "import torch\nfrom torch import nn\n"
LOOP = """
def train(data):
    model = {model}
    optimizer = torch.optim.Adam(model.parameters())
    for x in data:
        optimizer.zero_grad()
        model(x)[0].sum().backward()
        {clip}
        optimizer.step(){comment}
"""
CLIP = "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)"
RISKS = {
    "high": "nn.LSTM(4, 8)",
    "medium": "nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2), 2)",
    "low": "nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))",
    "none": "nn.Linear(4, 8)",
}


def loop(model: str = RISKS["high"], clip: str = "pass", comment: str = "") -> str:
    return HEAD + LOOP.format(model=model, clip=clip, comment=comment)


BARE, CLIPPED = loop(), loop(clip=CLIP)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "clipcheck.toml").write_text("")
    return tmp_path


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")


def run(folder: Path, *paths: Path, overlay=None, **settings):
    wanted = config.load(folder, None, {"jobs": 1, "no_cache": True, **settings})
    return pipeline.run(list(paths) or [folder], wanted, overlay=overlay)


def found(report) -> list[tuple[str, str]]:
    return [(os.path.basename(one.filename), one.code) for one in report.findings]


def adds_up(report) -> bool:
    seen = report.sight
    return bool(seen.steps == seen.clipped + seen.low_risk + seen.reported + seen.unknown)


# -- nothing to report -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["", "print('hello')\n", CLIPPED, "scheduler.step()\n", "(not python\n"],
    ids=["empty", "no training", "clipped", "a scheduler", "not python, and no event"],
)
def test_silent(project, text):
    write(project, train=text)
    report = run(project)
    assert (report.findings, report.failures, report.unfinished) == ((), (), ())
    assert report.files == 1
    assert adds_up(report)


def test_an_empty_folder(project):
    report = run(project)
    assert (report.findings, report.files, report.sight.steps) == ((), 0, 0)


# -- one finding -------------------------------------------------------------------------------------


def test_a_finding_is_placed(project):
    write(project, train=BARE)
    report = run(project)
    (one,) = report.findings
    assert (one.code, one.name, one.risk) == ("CLP101", "unclipped-step", "high")
    assert one.filename == str(project / "train.py")
    rows = BARE.split("\n")
    assert rows[one.start.row - 1][one.start.column - 1 : one.end.column - 1] == "optimizer.step()"
    assert one.evidence
    assert one.fix is not None


def test_findings_come_in_the_order_of_files_and_rows(project):
    write(project, b=BARE, a=BARE + BARE.replace("train", "again"))
    assert found(run(project)) == [("a.py", "CLP101"), ("a.py", "CLP101"), ("b.py", "CLP101")]
    rows = [one.start.row for one in run(project).findings[:2]]
    assert rows == sorted(rows)


# -- min-risk ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("least", list(RISKS))
@pytest.mark.parametrize("risk", list(RISKS))
def test_min_risk(project, risk, least):
    write(project, train=loop(RISKS[risk]))
    report = run(project, min_risk=least)
    order = ["none", "low", "medium", "high"]
    shown = order.index(risk) >= order.index(least)
    assert [one.risk for one in report.findings] == ([risk] if shown else [])
    assert (report.sight.reported, report.sight.low_risk) == ((1, 0) if shown else (0, 1))


def test_wrong_clipping_is_wrong_whatever_is_trained(project):
    write(project, train=loop(RISKS["none"]).replace("optimizer.step()", f"optimizer.step()\n        {CLIP}"))
    assert found(run(project, min_risk="high")) == [("train.py", "CLP201")]


# -- select and ignore -------------------------------------------------------------------------------

WITH_VALUE = loop(clip="torch.nn.utils.clip_grad_value_(model.parameters(), 1.0)")


@pytest.mark.parametrize(
    ("settings", "codes"),
    [
        ({}, {"CLP101", "CLP301"}),
        ({"select": ("CLP1",)}, {"CLP101"}),
        ({"select": ("CLP301",)}, {"CLP301"}),
        ({"ignore": ("CLP1",)}, {"CLP301"}),
        ({"ignore": ("CLP",)}, set()),
        ({"select": ("CLP3",), "ignore": ("CLP301",)}, set()),
        ({"ignore": ("CLP3",), "select": ("CLP301",)}, {"CLP301"}),
        ({"per_file_ignores": {"value.py": ["CLP301"]}}, {"CLP101"}),
        ({"per_file_ignores": {"other.py": ["CLP301"]}}, {"CLP101", "CLP301"}),
    ],
)
def test_select_and_ignore(project, settings, codes):
    write(project, bare=BARE, value=WITH_VALUE)
    report = run(project, **settings)
    assert {one.code for one in report.findings} == codes
    assert adds_up(report)


# -- suppressions ------------------------------------------------------------------------------------

OPTAX = """\
import equinox as eqx
import optax

model = eqx.nn.GRUCell(3, 4, key=0)
def kept(*a): return a[0]
opt = kept(
    optax.adam(1e-3),
)
state = opt.init(model)
grads = eqx.filter_grad(lambda m: m(1).sum())(model)
updates, state = opt.update(grads, state)
model = eqx.apply_updates(model, updates)
"""


@pytest.mark.parametrize("row", ["opt = kept(", "    optax.adam(1e-3),", ")"])
def test_a_comment_counts_on_every_row_of_a_statement_that_holds_the_call(project, row):
    write(project, a=OPTAX)
    assert found(run(project)) == [("a.py", "CLP104")]
    write(project, a=OPTAX.replace(f"\n{row}\n", f"\n{row}  # clipcheck: ignore\n"))
    assert found(run(project)) == []


@pytest.mark.parametrize(
    "comment",
    ["  # clipcheck: ignore", "  # clipcheck: ignore[CLP101]", "  # clipcheck: ignore[CLP1]", "  # noqa: CLP101",
     "  # clipcheck: ignore-file"],
)  # fmt: skip
def test_a_comment_suppresses(project, comment):
    write(project, train=loop(comment=comment))
    report = run(project)
    assert report.findings == ()
    assert report.sight.steps == 1


@pytest.mark.parametrize(
    ("comment", "clip", "codes"),
    [
        pytest.param("  # clipcheck: ignore", CLIP, ["CLP901"], id="nothing to suppress"),
        pytest.param("  # clipcheck: ignore[CLP301]", "pass", ["CLP101", "CLP901"], id="another rule"),
        pytest.param("  # noqa: CLP301", "pass", ["CLP101"], id="noqa is not clipcheck's own"),
    ],
)
def test_a_comment_that_suppresses_nothing(project, comment, clip, codes):
    write(project, train=loop(comment=comment, clip=clip))
    assert sorted(one.code for one in run(project).findings) == codes


def test_a_comment_is_not_idle_because_less_is_asked_for(project):
    write(project, train=loop(comment="  # clipcheck: ignore[CLP101]"))
    assert run(project, select=("CLP3", "CLP9")).findings == ()
    assert run(project, min_risk="high").findings == ()


def test_idle_comments_can_be_left_out(project):
    write(project, train=loop(comment="  # clipcheck: ignore", clip=CLIP))
    assert run(project, ignore=("CLP901",)).findings == ()


def test_an_idle_comment_in_a_file_without_events(project):
    write(project, other="x = 1  # clipcheck: ignore\n")
    assert found(run(project)) == [("other.py", "CLP901")]


# -- sight -------------------------------------------------------------------------------------------


def test_the_steps_seen_add_up(project):
    unknown = loop(clip="import mystery; mystery.improve(model)")
    write(project, bare=BARE, clipped=CLIPPED, small=loop(RISKS["none"]), unknown=unknown)
    seen = run(project).sight
    assert (seen.steps, seen.clipped, seen.low_risk, seen.reported, seen.unknown) == (4, 1, 1, 1, 1)


@pytest.mark.parametrize(
    ("first", "then", "outcome"),
    [
        ("mystery.improve(model)", "pass", "unknown"),
        ("mystery.improve(model)", "mystery.improve_more(model)", "unknown"),
        ("[p.grad.mul_(0.5) for p in model.parameters()]", "pass", "unknown"),
        ("mystery.improve(model)", CLIP, "clipped"),
        ("[p.grad.mul_(0.5) for p in model.parameters()]", CLIP, "clipped"),
        (CLIP, "mystery.improve(model)", "clipped"),
    ],
)
def test_what_was_not_known_before_a_clip_is_of_no_account_behind_it(project, first, then, outcome):
    write(project, train=loop(clip=f"import mystery\n        {first}\n        {then}"))
    report = run(project)
    assert found(report) == []
    assert (report.sight.steps, getattr(report.sight, outcome)) == (1, 1)


# -- paths and projects ------------------------------------------------------------------------------

MODELS = (
    HEAD
    + "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.rnn = nn.LSTM(2, 2)\n"
)


def test_only_the_given_paths_are_reported_on(project):
    write(project, a=BARE, b=BARE)
    report = run(project, project / "a.py")
    assert found(report) == [("a.py", "CLP101")]
    assert (report.files, report.sight.steps) == (1, 1)


def test_the_rest_of_the_project_is_read(project):
    write(project, models=MODELS, train="from models import Net\n" + loop("Net()"))
    (one,) = run(project, project / "train.py").findings
    assert one.risk == "high"
    assert {os.path.basename(place.filename) for place in one.evidence} >= {"models.py"}


def test_a_helper_is_judged_in_its_callers_context(project):
    write(
        project,
        helper="def update(optimizer):\n    optimizer.step()\n",
        main=f"from helper import update\n{BARE.replace('optimizer.step()', 'update(optimizer)').replace('pass', CLIP)}",
    )
    report = run(project, project / "helper.py")
    assert report.findings == ()
    assert report.sight.clipped == 1


def test_failures_elsewhere_are_not_reported(project):
    write(project, train="import broken\n" + BARE, broken="(optimizer.step\n")
    assert run(project, project / "train.py").failures == ()
    assert [os.path.basename(one.filename) for one in run(project).failures] == ["broken.py"]


# -- what cannot be read -----------------------------------------------------------------------------


def test_a_file_that_cannot_be_parsed_is_named_and_the_others_handled(project):
    write(project, bad="optimizer.step(\n", train=BARE)
    report = run(project)
    assert found(report) == [("train.py", "CLP101")]
    (failure,) = report.failures
    assert (os.path.basename(failure.filename), failure.row) == ("bad.py", 1)


def test_a_file_that_cannot_be_read_is_named(project, monkeypatch):
    write(project, train=BARE, locked=BARE)
    real = library.Library.bytes_of

    def locked(self, filename):
        if not filename.endswith("locked.py"):
            return real(self, filename)
        self._fail(Failure(filename, "cannot be read: Permission denied"))
        return None

    monkeypatch.setattr(library.Library, "bytes_of", locked)
    report = run(project)
    assert found(report) == [("train.py", "CLP101")]
    assert [one.message for one in report.failures] == ["cannot be read: Permission denied"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_file_without_permission(project):
    write(project, train=BARE)
    (project / "train.py").chmod(0)
    (failure,) = run(project).failures
    assert failure.message.startswith("cannot be read")


def test_a_link_to_nothing(project):
    (project / "train.py").symlink_to(project / "gone.py")
    report = run(project, project)
    assert report.findings == ()


# -- overlay -----------------------------------------------------------------------------------------


def test_the_overlay_stands_in_for_the_disk(project):
    write(project, a=BARE, b=CLIPPED)
    report = run(project, overlay={str(project / "a.py"): CLIPPED, str(project / "b.py"): BARE})
    assert found(report) == [("b.py", "CLP101")]
    assert (project / "a.py").read_text() == BARE


def test_an_overlay_that_cannot_be_parsed(project):
    write(project, train=BARE)
    report = run(project, overlay={str(project / "train.py"): "optimizer.step(\n"})
    assert [one.row for one in report.failures] == [1]


# -- however it is run -------------------------------------------------------------------------------


@pytest.fixture
def many(project):
    for number in range(6):
        write(
            project,
            **{f"bare{number}": loop(comment=f"  # {number}"), f"clipped{number}": CLIPPED + f"# {number}\n"},
        )
    write(project, models=MODELS, train="from models import Net\n" + loop("Net()"), bad="optimizer.step(\n")
    return project


def test_the_same_with_one_process_and_two(many, monkeypatch):
    expected = run(many, jobs=1)
    monkeypatch.setattr(workers, "_POOL_FROM", 1)
    monkeypatch.setattr(workers, "_AT_A_TIME", 1)
    assert run(many, jobs=2) == expected
    assert len(expected.findings) == 7


def test_the_same_with_and_without_a_cache(many):
    expected = run(many)
    kept = {"no_cache": False, "cache_dir": many.parent / "cache"}
    assert run(many, **kept) == expected
    assert any((many.parent / "cache").rglob("*"))
    assert run(many, **kept) == expected


def test_a_change_elsewhere_is_seen_through_the_cache(project):
    write(project, models=MODELS, train="from models import Net\n" + loop("Net()"))
    kept = {"no_cache": False, "cache_dir": project.parent / "cache"}
    assert [one.risk for one in run(project, **kept).findings] == ["high"]
    write(project, models=MODELS.replace("nn.LSTM(2, 2)", "nn.Linear(2, 2)"))
    assert run(project, **kept).findings == ()


def test_twice_the_same(many):
    assert run(many) == run(many)


# -- explain -----------------------------------------------------------------------------------------


def test_explain_refuses_a_file_that_cannot_be_parsed(project):
    write(project, train="optimizer.step(\n")
    with pytest.raises(UserError, match="cannot be parsed"):
        pipeline.explain(project / "train.py", 1, config.load(project, None, {"no_cache": True}))


def test_explain_refuses_a_file_that_is_excluded(project):
    write(project, train=BARE)
    wanted = config.load(project, None, {"no_cache": True, "exclude": ("train.py",), "force_exclude": True})
    with pytest.raises(UserError, match="excluded, or not Python"):
        pipeline.explain(project / "train.py", 1, wanted)


def test_explain_names_the_comment_that_silences(project):
    write(project, train=loop(comment="  # clipcheck: ignore"))
    row = BARE.split("optimizer.step()")[0].count("\n") + 1
    told = pipeline.explain(project / "train.py", row, config.load(project, None, {"no_cache": True}))
    assert "suppressed by `# clipcheck: ignore`" in told


def test_explain_names_the_settings_that_silence(project):
    write(project, train=BARE)
    row = BARE.split("optimizer.step()")[0].count("\n") + 1
    wanted = config.load(project, None, {"no_cache": True, "ignore": ("CLP101",)})
    assert "left out by select, ignore" in pipeline.explain(project / "train.py", row, wanted)


# -- what a clean run costs --------------------------------------------------------------------------

PROBE = """
import json, sys
from pathlib import Path
from clipcheck import config, pipeline
folder = Path(sys.argv[1])
report = pipeline.run([folder], config.load(folder, None, {"jobs": 1, "no_cache": True}))
heavy = sorted({name.partition(".")[0] for name in sys.modules} & {"libcst", "rich", "torch", "numpy"})
print(json.dumps([len(report.findings), heavy]))
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [(CLIPPED, [0, []]), (loop(RISKS["none"]), [0, []]), (BARE, [1, []])],
    ids=["clipped", "low risk", "something to report"],
)
def test_what_is_imported(project, text, expected):
    write(project, train=text)
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(project)], capture_output=True, text=True, check=True, cwd=project
    )
    assert json.loads(done.stdout) == expected


# -- parts, and what is known early --------------------------------------------------------------------


@pytest.mark.parametrize("of", [1, 2, 3, 40])
def test_the_parts_are_the_whole_without_overlap(many, of):
    whole = run(many)
    parts = [run(many, shard=f"{number}/{of}") for number in range(1, of + 1)]
    assert sorted((one for part in parts for one in part.findings), key=repr) == sorted(
        whole.findings, key=repr
    )
    assert sorted((one for part in parts for one in part.failures), key=repr) == sorted(
        whole.failures, key=repr
    )
    for name in ("steps", "clipped", "low_risk", "reported", "unknown"):
        assert sum(getattr(part.sight, name) for part in parts) == getattr(whole.sight, name)
    assert sum(part.files for part in parts) == whole.files


def test_findings_are_heard_by_the_file_before_the_end(many):
    heard = []
    settings = config.load(many, None, {"no_cache": True, "jobs": 1})
    report = pipeline.run(
        [many], settings, hear=lambda findings: heard.append([one.filename for one in findings])
    )
    files = [name for names in heard for name in dict.fromkeys(names)]
    assert len(files) == len(set(files)) == 7
    assert sum(map(len, heard)) == len(report.findings)


# -- what is remembered --------------------------------------------------------------------------------


@pytest.fixture
def aged(many, monkeypatch, tmp_path_factory):
    """The project, unchanged for a minute, with a cache; and a count of the files parsed in a run."""
    moment = time.time_ns
    monkeypatch.setattr("clipcheck.memory.time.time_ns", lambda: moment() + 60 * 10**9)
    parsed = []
    real = library.extract
    monkeypatch.setattr(
        library, "extract", lambda data, name, **how: parsed.append(name) or real(data, name, **how)
    )
    kept = {"no_cache": False, "cache_dir": tmp_path_factory.mktemp("cache")}

    def again(**settings):
        parsed.clear()
        report = run(many, **kept, **settings)
        return report, [os.path.basename(name) for name in parsed]

    return again


def test_a_warm_scan_parses_no_file_and_follows_nothing(aged, monkeypatch):
    first, parsed = aged()
    assert len(parsed) == 15
    monkeypatch.setattr(pipeline, "scan", None)
    assert aged() == (first, [])


def test_one_edited_file_is_read_again_and_no_other(many, aged):
    aged()
    write(many, bare3=loop(comment="  # edited"))
    report, parsed = aged()
    assert parsed == ["bad.py", "bare3.py"]  # what cannot be parsed is not kept
    assert len(report.findings) == 7


def test_a_touched_file_is_not_parsed_again(many, aged):
    first, _ = aged()
    os.utime(many / "bare3.py", ns=(1, 1))
    assert aged() == (first, ["bad.py"])


@pytest.mark.parametrize("changed", [{"select": ("CLP2",)}, {"max_norm": 2.0}])
def test_other_settings_are_another_report(aged, changed):
    first, _ = aged()
    assert aged(**changed)[0] != first
    assert aged()[0] == first


def test_a_new_file_and_one_that_is_gone_are_seen(many, aged):
    first, _ = aged()
    write(many, new=loop())
    assert len(aged()[0].findings) == len(first.findings) + 1
    os.unlink(many / "new.py")
    assert aged()[0] == first


def test_a_settings_file_that_comes_or_changes_is_seen(project, monkeypatch, tmp_path_factory):
    moment = time.time_ns
    monkeypatch.setattr("clipcheck.memory.time.time_ns", lambda: moment() + 60 * 10**9)
    kept = {"no_cache": False, "cache_dir": tmp_path_factory.mktemp("cache")}
    guarded = "import yaml\ncfg = yaml.safe_load(open('conf.yaml'))\n" + CLIPPED.replace(
        CLIP, f"if cfg['clip'] > 0:\n            {CLIP}"
    )
    write(project, train=guarded)
    seen = []
    for text in (None, "clip: 1.0\n", "clip: 0.0\n", "clip: 1.0\n"):
        if text is not None:
            (project / "conf.yaml").write_text(text)
        seen.append([one.code for one in run(project, **kept).findings])
        assert run(project, **kept).findings == run(project).findings
    assert seen[1] == seen[3] != seen[2]


def test_a_file_changed_while_it_is_read_is_not_remembered(many, tmp_path_factory):
    kept = {"no_cache": False, "cache_dir": tmp_path_factory.mktemp("cache")}
    first = run(many, **kept)
    write(many, bare0=CLIPPED)  # within the tick of a clock, as far as a file system may tell
    assert len(run(many, **kept).findings) == len(first.findings) - 1
