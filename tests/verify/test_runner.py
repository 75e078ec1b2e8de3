"""Whole runs: a command, unchanged, in a process of its own with the observer inside."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner

from clipcheck.verify import Verification, verify
from clipcheck.verify.command import verify as command
from clipcheck.verify.showing.render import to_text

HEAD = """\
import torch
from torch.nn.utils import clip_grad_norm_
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
def loss():
    return 100 * net(torch.randn(5, 6)).pow(2).sum()
"""
CLIPPED = """\
for step in range(6):
    optimizer.zero_grad()
    loss().backward()
    clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
print("trained", step + 1)
"""
UNCLIPPED = CLIPPED.replace("    clip_grad_norm_(net.parameters(), 1.0)\n", "")


def run(
    folder: Path, script: str, *arguments: str, command: Sequence[str] = (), max_steps: int | None = 200
) -> Verification:
    """Write train.py, run it under the observer, and give the verification."""
    (folder / "train.py").write_text(HEAD + dedent(script))
    return verify(command or (sys.executable, "train.py", *arguments), cwd=folder, max_steps=max_steps)


def row_of(folder: Path, text: str) -> int:
    lines = (folder / "train.py").read_text().splitlines()
    return next(row for row, line in enumerate(lines, 1) if text in line)


def test_clipped_run_is_confirmed_and_its_output_passes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result = run(
        tmp_path, CLIPPED + "import sys; print('to stderr', sys.argv[1:], file=sys.stderr)", "--lr", "1"
    )
    (site,) = result.sites
    assert (site.word, site.observed, result.exit_code) == ("confirmed", 6, 0), result
    assert (site.place.filename, site.place.row) == (
        os.path.realpath(tmp_path / "train.py"), row_of(tmp_path, "optimizer.step()")
    )  # fmt: skip
    assert capfd.readouterr() == ("trained 6\n", "to stderr ['--lr', '1']\n")
    assert (result.stopped, result.ended, result.problems) == (False, "", ())


def test_module_command_with_a_sitecustomize_of_its_own(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "sitecustomize.py").write_text("import torch\nprint('own sitecustomize', __file__)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "own"))
    result = run(tmp_path, CLIPPED, command=(sys.executable, "-m", "train"))
    assert [site.word for site in result.sites] == ["confirmed"], result
    assert capfd.readouterr().out.startswith(f"own sitecustomize {tmp_path / 'own'}")


def test_lbfgs_closure_clipped_inside(tmp_path: Path) -> None:
    script = """
        optimizer = torch.optim.LBFGS(net.parameters(), lr=0.1, max_iter=3)
        def closure():
            optimizer.zero_grad()
            value = loss()
            value.backward()
            clip_grad_norm_(net.parameters(), 1.0)
            return value
        for _ in range(2):
            optimizer.step(closure)
    """
    result = run(tmp_path, script)
    (site,) = result.sites
    assert (site.word, site.optimizers) == ("confirmed", ("LBFGS",)), result
    assert site.observed > 2


def test_several_processes_are_one_run(tmp_path: Path) -> None:
    script = """
        import sys
        for step in range(3):
            optimizer.zero_grad()
            loss().backward()
            if sys.argv[1] == "0":
                clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
    """
    (tmp_path / "launch.py").write_text(
        "import subprocess, sys\n"
        "for rank in '0', '1':\n"
        "    subprocess.run([sys.executable, 'train.py', rank], check=True)\n"
    )
    result = run(tmp_path, script, command=(sys.executable, "launch.py"))
    (site,) = result.sites
    assert (site.word, result.processes, result.steps) == ("refuted", 2, 6)


def test_torchrun_children_are_watched(tmp_path: Path) -> None:
    launch = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "train.py")
    result = run(tmp_path, CLIPPED, command=launch, max_steps=4)
    assert [site.word for site in result.sites] == ["confirmed"], result
    assert (result.processes, result.steps, result.stopped, result.exit_code) == (2, 8, True, 0)


def test_forked_child_writes_its_own_recording(tmp_path: Path) -> None:
    script = """
        import os
        child = os.fork()
        for step in range(2):
            optimizer.zero_grad()
            loss().backward()
            clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
    """
    (tmp_path / "head.txt").write_text("")
    result = run(tmp_path, "torch.set_num_threads(1)\n" + dedent(script))
    assert (result.processes, result.steps) == (2, 4), result


# -- what must be refuted


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param(UNCLIPPED, "nothing clipped the gradients", id="unclipped"),
        pytest.param(CLIPPED.replace("net.param", "net[0].param"), "covers 2 of 4", id="half"),
    ],
)
def test_wrong_clipping_is_refuted(tmp_path: Path, script: str, reason: str) -> None:
    result = run(tmp_path, script)
    (site,) = result.sites
    assert (site.word, result.exit_code) == ("refuted", 1)
    assert reason in site.reason


# -- runs that end otherwise than well


def test_crash_is_named_and_the_steps_before_it_are_judged(tmp_path: Path) -> None:
    script = CLIPPED.replace("loss().backward()", "loss().backward()\n    assert step < 3, 'too far'")
    result = run(tmp_path, script)
    assert (result.ended, result.crash) == ("exit status 1", "AssertionError: too far")
    (site,) = result.sites
    assert (site.word, site.observed, result.exit_code) == ("confirmed", 3, 0)
    assert "(exit status 1): AssertionError: too far; steps before are judged" in to_text(result)


def test_crash_is_named_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    result = run(tmp_path, "raise ValueError('\\x1b[1mweights\\x1b[0m cannot be read\\n\\t(1) do this')")
    assert result.crash == "ValueError: weights cannot be read…"
    assert result.problems == ("no step was met: the command ended too early",)
    text = to_text(result)
    assert "(exit status 1): ValueError: weights cannot be read…\n0 confirmed" in text
    assert "\x1b[1mweights" in capfd.readouterr().err  # the run's own output is not touched


def test_crash_whose_message_cannot_be_made_keeps_its_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = """
        class Broken(Exception):
            def __str__(self):
                raise KeyError
        raise Broken
    """
    result = run(tmp_path, script)
    assert result.crash == "Broken"
    assert "Error in sys.excepthook" not in capfd.readouterr().err


def test_long_message_is_cut(tmp_path: Path) -> None:
    assert run(tmp_path, "raise ValueError('x' * 999)").crash == f"ValueError: {'x' * 300}…"


def test_killed_run_is_named_by_its_signal(tmp_path: Path) -> None:
    script = CLIPPED + "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    result = run(tmp_path, script)
    assert (result.ended, result.exit_status, result.exit_code) == ("signal SIGKILL", -9, 0)
    assert [site.observed for site in result.sites] == [6]


def test_run_stops_at_the_limit_though_it_swallows_exceptions(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = CLIPPED.replace(
        "    optimizer.step()", "    try:\n        optimizer.step()\n    except Exception:\n        pass"
    )
    result = run(tmp_path, script, max_steps=2)
    assert (result.steps, result.stopped, result.exit_status, result.exit_code) == (2, True, 0, 0)
    assert capfd.readouterr() == ("", "")


def test_run_that_swallows_everything_is_ended_all_the_same(tmp_path: Path) -> None:
    script = """
        while True:
            try:
                optimizer.zero_grad()
                loss().backward()
                clip_grad_norm_(net.parameters(), 1.0)
                optimizer.step()
            except BaseException:
                pass
    """
    result = run(tmp_path, script, max_steps=2)
    assert (result.steps, result.stopped, result.exit_status) == (2, True, 0)


def test_command_over_its_time_is_ended(tmp_path: Path) -> None:
    script = CLIPPED + "open('trained', 'w').close()\nwhile True: pass"
    (tmp_path / "train.py").write_text(HEAD + script)
    result = verify((sys.executable, "train.py"), cwd=tmp_path, timeout=0.0)
    assert result.ended == "ended after 0 seconds, as asked"
    assert result.exit_code == 1


@pytest.mark.parametrize("name", ["no-such-command-anywhere", "./missing/train.sh"])
def test_command_that_cannot_be_run(tmp_path: Path, name: str) -> None:
    result = verify((name, "train.py"), cwd=tmp_path)
    assert (result.not_run, result.exit_code) == (f"{name}: not found", 2)


def test_command_without_permission(tmp_path: Path) -> None:
    (tmp_path / "train.sh").write_text("exit 0\n")
    result = verify((str(tmp_path / "train.sh"),), cwd=tmp_path)
    assert result.exit_code == 2
    assert "Permission denied" in result.not_run


def test_missing_folder_is_not_called_a_missing_command(tmp_path: Path) -> None:
    result = verify((sys.executable, "train.py"), cwd=tmp_path / "gone")
    assert (result.not_run, result.exit_code) == (f"{tmp_path / 'gone'}: not found", 2)


# -- runs in which nothing can be seen


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("-c", "pass"), "no process imported torch"),
        (("-I", "-c", "pass"), "no Python process started with the observer"),
        (("-c", "import torch"), "no optimizer step of torch.optim ran"),
    ],
    ids=["no torch", "isolated", "no step"],
)
def test_run_without_a_step_says_why(tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    result = verify((sys.executable, *arguments), cwd=tmp_path)
    assert result.exit_code == 1
    (problem,) = result.problems
    assert problem.startswith(f"no step was met: {why}")


def test_observer_that_cannot_be_installed_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "torch.py").write_text("__version__ = '0.1'\n")
    (tmp_path / "train.py").write_text("import torch\nprint('ran with', torch.__version__)\n")
    result = verify((sys.executable, "train.py"), cwd=tmp_path)
    assert capfd.readouterr() == ("ran with 0.1\n", "")
    assert result.problems[0].startswith("the observer could not be installed: ")
    assert (result.exit_status, result.exit_code) == (0, 1)


def test_known_site_that_never_ran_is_not_reached(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(HEAD + CLIPPED + "if step < 0:\n    optimizer.step()\n")
    known = row_of(tmp_path, "    optimizer.step()")
    last = len((tmp_path / "train.py").read_text().splitlines())
    sites = [(str(tmp_path / "train.py"), known), (str(tmp_path / "train.py"), last)]
    result = verify((sys.executable, "train.py"), cwd=tmp_path, known_sites=sites)
    assert [(site.place.row, site.word) for site in result.sites] == [
        (known, "confirmed"),
        (last, "not reached"),
    ]
    assert result.exit_code == 1


# -- the command


def test_command_passes_options_on_and_writes_json(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(HEAD + CLIPPED)
    out = tmp_path / "out.json"
    script = str(tmp_path / "train.py")
    arguments = ["--max-steps", "2", "--max-norm", "0.5", "--json", str(out), "--", sys.executable, script]
    result = CliRunner().invoke(command, [*arguments, "--max-steps", "9"])
    assert result.exit_code == 1, result.output
    written = json.loads(out.read_text())
    assert written["command"] == [sys.executable, script, "--max-steps", "9"]
    (site,) = written["sites"]
    assert (site["verdict"], site["threshold"], site["observed"]) == ("refuted", 0.5, 2)
    assert site["expected"] == pytest.approx(0.5)
    assert site["shown"]["used"] == pytest.approx(1.0)
    assert "stopped after 2 optimizer steps" in result.output


def test_json_for_a_missing_folder_is_refused_before_the_run(tmp_path: Path) -> None:
    out = tmp_path / "gone" / "out.json"
    trace = tmp_path / "ran"
    arguments = ["--json", str(out), "--", sys.executable, "-c", f"open({str(trace)!r}, 'w')"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert "does not exist" in result.output
    assert not trace.exists()


def test_json_that_cannot_be_written_does_not_cost_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", refuse)
    arguments = ["--json", str(tmp_path / "out.json"), "--", sys.executable, "-c", "pass"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert "no step was met: no process imported torch" in result.output
    assert "out.json cannot be written: No space left on device" in result.output


def test_help_shows_an_example_and_no_markup() -> None:
    result = CliRunner().invoke(command, ["--help"])
    assert "clipcheck verify -- python train.py --epochs 1\n" in result.output
    assert "\\b" not in result.output


def test_command_that_cannot_be_run_exits_with_2() -> None:
    result = CliRunner().invoke(command, ["--", "no-such-command-anywhere"])
    assert result.exit_code == 2
    assert "could not be run: no-such-command-anywhere: not found" in result.output
