"""A gate in CI: every format on standard output and in a file, exit statuses, and logs that runners read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET

import aging
import pytest
from commanding import caller

import clipcheck
from clipcheck.config import FORMATS

MACHINES = [name for name in FORMATS if name != "text"]


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    return caller(capsys, "--no-cache")


@pytest.fixture
def train(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(aging.PROGRAM)
    return path


def count(name, text):
    """How many findings a report of a format holds."""
    if name == "junit":
        return len(ET.fromstring(text).findall(".//failure"))
    if name in ("github", "jsonl"):
        return len(text.splitlines())
    log = json.loads(text)
    return len(log["runs"][0]["results"] if name == "sarif" else log)


@pytest.mark.parametrize("name", MACHINES)
def test_nothing_found(name, run, tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    status, out, err = run("--output-format", name, "--statistics")
    assert (status, count(name, out) if out else 0) == (0, 0)
    assert err == "0 steps seen: 0 clipped, 0 low-risk, 0 reported, 0 unknown\n"
    assert run("--output-format", name, "--quiet") == (0, out, "")


@pytest.mark.parametrize("name", MACHINES)
def test_findings_on_standard_output_and_the_rest_beside_it(name, run, train):
    status, out, err = run("--output-format", name, "--statistics")
    assert (status, count(name, out)) == (1, aging.STEPS)
    assert err.startswith("5  CLP101  unclipped-step (5 with a fix)\n5 steps seen")
    assert run("--output-format", name, "--exit-zero")[0] == 0
    assert run("--output-format", name, "--quiet") == (1, out, "")
    assert run("--output-format", name, "--jobs", "2")[1] == out


@pytest.mark.parametrize("name", FORMATS)
def test_an_output_file_holds_what_standard_output_would(name, run, train, tmp_path):
    _, out, _ = run("--output-format", name)
    status, nothing, err = run("--output-format", name, "--output-file", "report.out")
    assert (status, nothing) == (1, "")
    assert "5 steps seen" in err
    assert (tmp_path / "report.out").read_text("utf-8") == out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.out", "train.py"]


@pytest.mark.parametrize("name", MACHINES)
def test_what_cannot_be_checked_ends_with_two(name, run, train, tmp_path):
    (tmp_path / "bad.py").write_text("optimizer.step(\n")
    status, out, err = run("--output-format", name, "--exit-zero")
    assert status == 2
    assert err.startswith("error: bad.py:1:15: cannot be parsed")
    assert ("bad.py" in out) == (name not in ("json", "jsonl"))


def test_a_file_keeps_its_mode_and_a_link_stays_one(run, train, tmp_path):
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "real.json").chmod(0o640)
    (tmp_path / "link.json").symlink_to("real.json")
    run("--output-format", "json", "--output-file", "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert len(json.loads((tmp_path / "real.json").read_text())) == aging.STEPS
    assert (tmp_path / "real.json").stat().st_mode & 0o777 == 0o640
    mask = os.umask(0o027)
    try:
        run("--output-file", "new.txt")
    finally:
        os.umask(mask)
    assert (tmp_path / "new.txt").stat().st_mode & 0o777 == 0o640


def test_a_folder_that_is_missing_is_named_before_the_scan(run, train, tmp_path, monkeypatch):
    monkeypatch.setattr("clipcheck.pipeline.run", lambda *_, **__: pytest.fail("scanned"))
    status, out, err = run("--output-file", "no/report.txt")
    assert (status, out) == (2, "")
    assert (
        err
        == f"error: {tmp_path / 'no/report.txt'}: cannot be written: there is no folder {tmp_path / 'no'}; make it first\n"
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_written_into(run, train, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    assert run("--output-format", "jsonl", "--output-file", "pipe")[0] == 1
    reader.join()
    assert len(got[0].splitlines()) == aging.STEPS
    assert pipe.is_fifo()


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="there is no such device")
def test_standard_output_by_its_name_keeps_what_was_written_before(train, tmp_path):
    command = [sys.executable, "-m", "clipcheck", "--no-cache", "--output-format", "jsonl", "--output-file"]
    done = subprocess.run([*command, "/dev/stdout"], cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, len(done.stdout.splitlines())) == (1, aging.STEPS)
    log = tmp_path / "log"
    with log.open("ab") as stream:
        for _ in range(2):
            subprocess.run([*command, "/dev/stdout"], cwd=tmp_path, stdout=stream, check=False)
    assert log.read_bytes() == done.stdout * 2


def test_a_run_that_is_killed_while_it_writes_leaves_the_old_report(run, train, tmp_path, monkeypatch):
    (tmp_path / "report.json").write_text("old")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    assert run("--output-format", "json", "--output-file", "report.json")[0] == 130
    assert (tmp_path / "report.json").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json", "train.py"]


@pytest.mark.skipif(sys.platform == "win32", reason="such a name cannot be there")
def test_a_runner_of_github_takes_no_command_from_a_file_name_or_a_line(run, tmp_path, monkeypatch):
    (tmp_path / "::stop-commands::x.py").write_text(aging.PROGRAM)
    (tmp_path / "bad.py").write_text("optimizer.step(\n::add-mask::y ##[error]z\n")
    _, plain, _ = run()
    assert plain.startswith("::stop-commands::")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    for arguments in ([], ["--output-format", "github"], ["--show-files"], ["--fix", "--show-fixes"]):
        _, out, err = run(*arguments)
        commands = [line for line in f"{out}\n{err}".splitlines() if line.lstrip().startswith("::")]
        assert all(line.startswith("::error file=") for line in commands), arguments
        assert "##[" not in out + err


def test_the_settings_file_knows_the_options_of_a_gate(run, train, tmp_path):
    (tmp_path / "clipcheck.toml").write_text(
        "baseline = 'b.json'\noutput-format = 'gitlab'\noutput-file = 'quality.json'\n"
    )
    assert run("--write-baseline", "b.json")[0] == 0
    assert json.loads((tmp_path / "quality.json").read_text()) == []
    train.write_text(aging.PROGRAM + aging.ANOTHER)
    assert run()[0] == 1
    assert len(json.loads((tmp_path / "quality.json").read_text())) == 1
    assert clipcheck.check([train], no_cache=True).known == aging.STEPS


def test_standard_input_has_a_baseline_too(train, tmp_path):
    command = [sys.executable, "-m", "clipcheck", "--no-cache"]
    subprocess.run([*command, "--write-baseline", "b.json"], cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run(
        [*command, "-", "--stdin-filename", "train.py", "--baseline", "b.json"],
        cwd=tmp_path,
        input=aging.PROGRAM + aging.ANOTHER,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.count("CLP101") == 1
    assert done.stdout.endswith("5 known from the baseline\n")
