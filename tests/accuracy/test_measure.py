"""The score counts what it says: tried on labels and findings made for it, and on a checkout of two files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import measure

PLACE = ("me__it", "train.py", None)


def label(line, wanted=True, **more):
    return {
        "repo": "me/it", "path": "train.py", "line": line, "kind": "plain", "clipped": "no", "clip_line": None,
        "risk": "high", "should_report": wanted, "why": "", **more,
    }  # fmt: skip


def found(line, code="CLP101", risk="high", fix="safe", place=PLACE):
    return measure.Found(place, line, line, code, risk, fix)


def test_nothing_found_is_all_missed():
    result = measure.score([label(10)], [])
    assert (result.true, result.missed, result.false) == ([], [0], [])
    assert (result.precision, result.recall) == (0.0, 0.0)


def test_a_place_that_must_be_silent_is_a_false_alarm():
    result = measure.score([label(10, wanted=False)], [found(10)])
    assert (result.true, result.false, result.precision) == ([], [0], 0.0)


def test_a_finding_hits_the_label_on_its_line():
    result = measure.score([label(10), label(11, wanted=False)], [found(10)])
    assert (result.true, result.false, result.recall) == ([0], [], 1.0)


def test_else_the_nearest_within_three_lines():
    labels = [label(10, wanted=False), label(14)]
    assert measure.score(labels, [found(12)]).true == [1], "as near, and wanted"
    assert measure.score(labels, [found(11)]).false == [0]
    assert measure.score(labels, [found(20)]).unjudged != ()


def test_two_steps_side_by_side_need_one_finding():
    assert measure.score([label(10), label(12), label(30)], [found(10)]).true == [0, 1]


def test_a_misplaced_clip_is_reported_at_the_clip():
    labels = [label(20, clipped="misplaced", clip_line=5)]
    assert measure.score(labels, [found(5, code="CLP202")]).true == [0]


def test_unjudged_findings_count_against_the_strict_precision():
    result = measure.score([label(10)], [found(10), found(90)])
    assert (result.precision, result.strict_precision) == (1.0, 0.5)


def test_cells_and_files_are_kept_apart():
    labels = [label(10, cell=1), label(10, path="other.py")]
    result = measure.score(
        labels, [found(10, place=("me__it", "train.py", 2)), found(10, place=("me__it", "x.py", None))]
    )
    assert result.true == []
    assert len(result.unjudged) == 1, "the file without labels says nothing"


def test_rules_about_thresholds_do_not_count():
    assert measure.score([label(10, wanted=False)], [found(10, code="CLP301")]).false == []


@pytest.fixture
def checkout(tmp_path):
    root = tmp_path / "me__it"
    (root / ".git").mkdir(parents=True)
    body = (
        "import torch\nmodel = torch.nn.LSTM(2, 2)\noptimizer = torch.optim.SGD(model.parameters(), lr=1)\n"
        "model(torch.randn(3, 2))[0].sum().backward()\n"
    )
    clip = "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n"
    (root / "train.py").write_text(body + "optimizer.step()\n")
    (root / "clipped.py").write_text(body + clip + "optimizer.step()\n")
    labels = tmp_path / "labels.jsonl"
    rows = [label(5), label(6, wanted=False, path="clipped.py", clipped="yes")]
    labels.write_text("\n".join(map(json.dumps, rows)))
    return labels, tmp_path


def test_a_checkout_is_scored_and_fixed(checkout, capsys):
    labels, folder = checkout
    measure.main([str(labels), str(folder), "--risks", "--fixes"])
    told = capsys.readouterr().out
    assert "true 1  missed 0  false 0  unjudged 0" in told
    assert "precision 1.000  strict 1.000  recall 1.000" in told
    assert "true CLP1 findings 1: 1.00 offer a fix, 1.00 a safe one" in told
    assert "risks equal: 1 of 1 unclipped places" in told
    assert (
        "me__it: 1 fixed in 1 files, 0 refused, 0 unreadable afterwards; a second run writes 0 files" in told
    )
    assert "clip_grad_norm_" not in (folder / "me__it" / "train.py").read_text(), "a copy is fixed"


def test_a_missing_checkout_is_named(checkout):
    labels, folder = checkout
    with pytest.raises(SystemExit, match="me__it"):
        measure.main([str(labels), str(folder / "me__it")])
