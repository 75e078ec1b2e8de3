"""Baselines: only what is new is reported, whatever happened to the rows; damage is named."""

from __future__ import annotations

import json
import os

import aging
import pytest
from commanding import caller
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import clipcheck
from clipcheck import baseline
from clipcheck.config import UserError


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return caller(capsys, "--no-cache")


@pytest.fixture
def train(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(aging.PROGRAM)
    return path


def entries(path):
    return json.loads(path.read_text("utf-8"))["findings"]


def test_nothing_found_is_an_empty_list(run, tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    status, out, err = run("--write-baseline", "b.json")
    assert (status, err) == (0, "")
    assert (tmp_path / "b.json").read_text() == '{\n  "version": 1,\n  "findings": []\n}\n'
    assert run("--baseline", "b.json")[:2] == (0, out)
    assert out == "0 steps seen: 0 clipped, 0 low-risk, 0 reported, 0 unknown; 0 known from the baseline\n"


def test_what_is_known_is_not_reported_and_what_is_new_is(run, train, tmp_path):
    status, out, err = run("--write-baseline", "b.json")
    assert (status, err) == (0, "")
    last = "5 steps seen: 0 clipped, 0 low-risk, 5 reported, 0 unknown; 5 known from the baseline\n"
    assert out == last
    assert run("--baseline", "b.json") == (0, last, "")
    train.write_text(aging.PROGRAM + aging.ANOTHER)
    status, out, err = run("--baseline", "b.json")
    assert (status, err) == (1, "")
    assert out.count("CLP101") == 1
    assert "train.py:41:9: CLP101" in out
    assert out.endswith("6 reported, 0 unknown; 5 known from the baseline\n")
    assert run("--baseline", "b.json", "--exit-zero")[0] == 0
    status, out, err = run("--baseline", "b.json", "--output-format", "jsonl")
    assert (len(out.splitlines()), "5 known from the baseline" in err) == (1, True)
    assert run("--baseline", "b.json", "--quiet")[1].count("known") == 0


def test_the_file_is_sorted_and_people_can_read_it(run, train, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.py").write_text(aging.PROGRAM)
    run("--write-baseline", "b.json")
    text = (tmp_path / "b.json").read_text("utf-8")
    assert text.startswith(
        '{\n  "version": 1,\n  "findings": [\n'
        '    {"path": "a/b.py", "code": "CLP101", "scope": "", "statement": "optimizer.step()", "count": 1},\n'
    )
    found = entries(tmp_path / "b.json")
    assert found == sorted(found, key=lambda item: tuple(map(str, item.values())))
    assert [item["count"] for item in found if item["scope"] == "train"] == [2, 2]
    run("--write-baseline", "again.json", "--jobs", "2")
    assert (tmp_path / "again.json").read_text("utf-8") == text


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ages=st.lists(st.sampled_from(aging.AGES[1:6]), unique=True, min_size=1))
def test_a_baseline_survives_the_aging_of_the_file(ages, tmp_path):
    path, known = tmp_path / "train.py", tmp_path / "b.json"
    path.write_text(aging.PROGRAM)
    clipcheck.check([path], write_baseline=known, no_cache=True)
    text = aging.PROGRAM
    for age in sorted(ages, key=aging.AGES.index):
        text = age(text)
    path.write_bytes(aging.blank_lines(text).encode())
    report = clipcheck.check([path], baseline=known, no_cache=True)
    assert (report.findings, report.known, report.stale) == ((), aging.STEPS, 0)


def test_one_more_of_equal_statements_is_new(run, train, tmp_path):
    run("--write-baseline", "b.json")
    loop = "    for batch in batches:\n        loss_of(batch).backward()\n        optimizer.step()\n"
    train.write_text(aging.PROGRAM.replace(loop, loop * 2, 1))
    report = clipcheck.check([tmp_path], baseline="b.json", no_cache=True)
    assert (len(report.findings), report.known) == (1, 5)


def test_a_fix_leaves_alone_what_is_known(run, train):
    run("--write-baseline", "b.json")
    assert run("--fix", "--baseline", "b.json")[0] == 0
    assert train.read_text() == aging.PROGRAM
    train.write_text(aging.PROGRAM + aging.ANOTHER)
    status, out, _ = run("--fix", "--baseline", "b.json")
    assert status == 0
    assert "fixed 1 finding in 1 file" in out
    assert train.read_text().startswith(aging.PROGRAM)
    assert "clip_grad_norm_" in train.read_text()
    assert run("--diff", "--baseline", "b.json") == (0, "", "")


def test_explain_says_that_it_is_known(run, train, tmp_path):
    run("--write-baseline", "b.json")
    status, out, _ = run("--explain", "train.py:15", "--baseline", "b.json")
    assert status == 0
    assert f"verdict: not reported, known from the baseline {tmp_path / 'b.json'}: CLP101" in out
    train.write_text(aging.PROGRAM + aging.ANOTHER)
    assert "verdict: reported: CLP101" in run("--explain", "train.py:41", "--baseline", "b.json")[1]


def test_what_a_fix_leaves_is_written(run, train, tmp_path):
    (tmp_path / "own.py").write_text(
        aging.PROGRAM.replace("SGD(model.parameters(), lr=0.1)", "LBFGS(model.parameters())")
    )
    status, out, _ = run("--fix", "--write-baseline", "b.json")
    assert status == 0
    assert "fixed 5 findings" in out
    assert {item["path"] for item in entries(tmp_path / "b.json")} == {"own.py"}


def test_what_is_gone_is_counted_on_standard_error(run, train, tmp_path):
    run("--write-baseline", "b.json")
    train.write_text(aging.PROGRAM.replace("optimizer.step(None)", "optimizer.step()  # clipcheck: ignore"))
    status, _, err = run("--baseline", "b.json")
    assert status == 0
    told = f"`--write-baseline {tmp_path / 'b.json'}` leaves out what is not found any more\n"
    assert err == f"1 finding of the baseline is gone; {told}"
    assert run("--baseline", "b.json", "--quiet")[2] == ""
    train.unlink()
    (tmp_path / "a.py").write_text("x = 1\n")
    assert run("--baseline", "b.json")[2] == f"5 findings of the baseline are gone; {told}"


def test_less_asked_for_makes_nothing_stale(run, train, tmp_path):
    (tmp_path / "other.py").write_text("x = 1\n")
    (tmp_path / "plain.py").write_text(aging.PROGRAM.replace("nn.LSTM(8, 16)", "nn.Linear(8, 16)"))
    run("--write-baseline", "b.json", "--min-risk", "none")
    assert len(entries(tmp_path / "b.json")) == 8
    for arguments in (["--select", "CLP2"], ["--min-risk", "high"], ["other.py"], ["--ignore", "CLP101"]):
        status, _, err = run("--baseline", "b.json", *arguments)
        assert (status, err) == (0, ""), arguments


def test_a_file_that_cannot_be_parsed_makes_nothing_stale(run, train):
    run("--write-baseline", "b.json")
    train.write_text("optimizer.step(\n")
    status, _, err = run("--baseline", "b.json")
    assert status == 2
    assert "gone" not in err


def test_both_options_write_all_that_is_found(run, train, tmp_path):
    run("--write-baseline", "b.json")
    train.write_text(aging.PROGRAM + aging.ANOTHER)
    status, out, _ = run("--baseline", "b.json", "--write-baseline", "b.json")
    assert status == 0
    assert out.endswith("; 6 known from the baseline\n")
    assert sum(item["count"] for item in entries(tmp_path / "b.json")) == 6


def test_a_baseline_in_the_settings_counts_from_their_folder(run, tmp_path, monkeypatch):
    """A hook that is handed files of one part of a repository finds what the whole was baselined with."""
    (tmp_path / "clipcheck.toml").write_text("baseline = 'ci/b.json'\n")
    (tmp_path / "ci").mkdir()
    part = tmp_path / "part"
    part.mkdir()
    (part / "pyproject.toml").write_text("")
    (part / "train.py").write_text(aging.PROGRAM)
    assert run("--write-baseline", "ci/b.json")[0] == 0
    assert {item["path"] for item in entries(tmp_path / "ci" / "b.json")} == {"part/train.py"}
    assert run(part / "train.py")[0] == 0
    monkeypatch.chdir(part)
    assert clipcheck.check(["train.py"], no_cache=True).known == aging.STEPS


def test_a_baseline_at_the_top_serves_the_parts_without_settings(run, tmp_path):
    (tmp_path / ".git").mkdir()
    part = tmp_path / "part"
    part.mkdir()
    (part / "pyproject.toml").write_text("")
    (part / "train.py").write_text(aging.PROGRAM)
    run("--write-baseline", "b.json")
    assert run("--baseline", "b.json", "part")[0] == 0


def test_notebooks_have_one_too(run, tmp_path):
    cells = [{"cell_type": "code", "source": source} for source in aging.PROGRAM.split("\n\n\n")]
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": {}}))
    assert run()[0] == 1
    run("--write-baseline", "b.json")
    assert {item["path"] for item in entries(tmp_path / "b.json")} == {"n.ipynb"}
    cells.insert(0, {"cell_type": "code", "source": "x = 1"})
    path.write_text(json.dumps({"cells": cells, "metadata": {}}))
    assert run("--baseline", "b.json")[0] == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(None, "no such baseline", id="missing"),
        pytest.param("", "not a baseline: Expecting value in line 1, column 1", id="empty"),
        pytest.param("{\n<<<<<<< HEAD\n}", "in line 2, column 1", id="conflict"),
        pytest.param("[]", "no list of findings", id="list"),
        pytest.param('{"version": 1}', "no list of findings", id="no-findings"),
        pytest.param('{"version": 9, "findings": []}', "version 9, and this clipcheck reads 1", id="version"),
        pytest.param('{"version": 1, "findings": [{"path": "a"}]}', "finding 1 in it is damaged", id="entry"),
        pytest.param(
            '{"version": 1, "findings": [{"path": "a", "code": "C", "scope": "", "statement": "s", "count": 0}]}',
            "finding 1 in it is damaged",
            id="count",
        ),
        pytest.param("\xff", "not a baseline", id="bytes"),
        pytest.param("[" * 100_000, "not a baseline", id="deep"),
    ],
)
def test_damage_is_named_and_what_to_do(run, train, tmp_path, text, words):
    path = tmp_path / "b.json"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    status, out, err = run("--baseline", "b.json")
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {path}: ")
    assert words in err
    assert f"`clipcheck --write-baseline {path}`" in err
    with pytest.raises(UserError, match="baseline"):
        clipcheck.check([train], baseline=path, no_cache=True)


def test_a_folder_that_is_not_there(run, train, tmp_path):
    status, out, err = run("--write-baseline", "no/b.json")
    assert (status, out) == (2, "")
    assert f"there is no folder {tmp_path / 'no'}" in err
    assert "cannot be read" in run("--baseline", tmp_path)[2]


@pytest.mark.skipif(os.name == "nt", reason="such a name cannot be there")
def test_names_and_words_of_any_kind_stay_in_their_line(tmp_path, train):
    odd = tmp_path / "a\udcff\u202e\nb.py"
    odd.write_text(aging.PROGRAM.replace("step(None)", "step(None if '\u202e\x7f\u2028é' else None)"))
    known = tmp_path / "b.json"
    clipcheck.check([tmp_path], write_baseline=known, no_cache=True)
    text = known.read_text("utf-8")
    assert all(letter.isprintable() for letter in text.replace("\n", ""))
    assert "é" in text
    assert len(text.splitlines()) == len(entries(known)) + 5
    report = clipcheck.check([tmp_path], baseline=known, no_cache=True)
    assert (report.findings, report.known) == ((), 10)


def test_the_statement_may_be_formatted_by_hand(tmp_path):
    path = tmp_path / "b.json"
    item = {"path": "a.py", "code": "CLP101", "scope": "f", "statement": "opt . step( )", "count": 2}
    path.write_text(
        json.dumps({"version": 1, "findings": [item, {**item, "statement": "opt.step()", "count": 1}]})
    )
    assert baseline.read(path) == {("a.py", "CLP101", "f", "opt.step()"): 3}


def test_a_run_that_is_killed_leaves_the_old_file(tmp_path, train, monkeypatch):
    known = tmp_path / "b.json"
    known.write_text("old")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        clipcheck.check([train], write_baseline=known, no_cache=True)
    assert known.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.json", "train.py"]
