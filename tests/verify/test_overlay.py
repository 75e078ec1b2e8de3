"""Other text in place of files: it runs wherever the file would, and nothing on disk changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

import pytest

from clipcheck.verify import scratch, verify
from clipcheck.verify.orders import Orders
from clipcheck.verify.runner import child_environment
from clipcheck.verify.session import Place
from clipcheck.verify.verdicts import Verification

LOOP = """\
import torch
net = torch.nn.Linear(6, 3)
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
def main():
    for _ in range(3):
        optimizer.zero_grad()
        (100 * net(torch.ones(2, 6)).pow(2)).sum().backward()
        optimizer.step()
if __name__ == "__main__":
    main()
"""
CLIPPED = LOOP.replace(
    "        optimizer.step()",
    "        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)\n        optimizer.step()",
)


def plain(folder: Path, text: str, other: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run train.py as `text` on disk and `other` in the overlay, without torch."""
    (folder / "train.py").write_text(dedent(text))
    recording = folder / "recording"
    recording.mkdir(exist_ok=True)
    asked = Orders(overlay={os.path.realpath(folder / "train.py"): dedent(other).encode()})
    environment = child_environment(os.environ, str(recording), asked)
    command = [sys.executable, *(arguments or ("train.py",))]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_script_runs_in_its_own_place(tmp_path: Path) -> None:
    other = """
        import os, sys, inspect
        class Net: pass
        print(__file__, __name__, __spec__, sys.argv, sys.path[0], Net.__module__)
        print(open("data.txt").read(), sys.flags.dev_mode, sorted(n for n in globals() if "clip" in n))
        print(inspect.getsource(Net))
        """
    (tmp_path / "data.txt").write_text("data")
    (tmp_path / "same.py").write_text(dedent(other))
    command = [sys.executable, "-X", "dev", "same.py", "--lr", "1"]
    same = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    result = plain(tmp_path, "raise SystemExit('on disk')", other, "-X", "dev", "train.py", "--lr", "1")
    assert result.stdout == same.stdout.replace("same.py", "train.py"), result.stderr
    assert result.stdout.endswith("class Net: pass\n\n")


def test_traceback_shows_the_lines_that_ran(tmp_path: Path) -> None:
    result = plain(tmp_path, "pass\nprint('on disk')", "pass\ndef f():\n    1 / 0  # in memory\nf()")
    assert result.returncode == 1
    path = tmp_path / "train.py"
    assert result.stderr.startswith(
        f'Traceback (most recent call last):\n  File "{path}", line 4, in <module>\n'
    )
    assert "    1 / 0  # in memory\n" in result.stderr
    assert "overlay" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("-m", "train"),
        ("-c", "import train"),
        ("-c", "import runpy; runpy.run_path('train.py')"),
        ("-m", "cProfile", "train.py"),
        ("-u", "-W", "ignore", "train.py"),
    ],
    ids=["module", "import", "run_path", "profiler", "flags"],
)
def test_every_way_to_run_it(tmp_path: Path, arguments: Sequence[str]) -> None:
    result = plain(tmp_path, "print('on disk')", "print('in memory')", *arguments)
    assert result.stdout.startswith("in memory\n"), result.stderr
    assert "on disk" not in result.stdout


def test_bytecode_on_disk_is_neither_used_nor_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    (tmp_path / "train.py").write_text("print('on disk')")
    command = [sys.executable, "-c", "import train"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    before = {path: path.read_bytes() for path in (tmp_path / "__pycache__").iterdir()}
    assert (
        plain(tmp_path, "print('on disk')", "print('in memory')", "-c", "import train").stdout
        == "in memory\n"
    )
    after = {path: path.read_bytes() for path in (tmp_path / "__pycache__").iterdir()}
    assert after == before
    assert subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout == b"on disk\n"


def test_processes_that_the_script_starts(tmp_path: Path) -> None:
    other = """
        import multiprocessing
        def child(queue):
            queue.put("in memory")
        if __name__ == "__main__":
            context = multiprocessing.get_context("spawn")
            queue = context.Queue()
            process = context.Process(target=child, args=(queue,))
            process.start()
            print(queue.get(timeout=60))
            process.join()
        """
    result = plain(tmp_path, "raise SystemExit('on disk')", other)
    assert result.stdout == "in memory\n", result.stderr


def test_encoding_of_the_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_bytes(b"# coding: latin-1\nprint('on disk')\n")
    (tmp_path / "recording").mkdir()
    other = "# coding: latin-1\nimport sys\nprint(ascii('\xe9'))\n".encode("latin-1")
    asked = Orders(overlay={os.path.realpath(tmp_path / "train.py"): other})
    environment = child_environment(os.environ, str(tmp_path / "recording"), asked)
    for command in (["train.py"], ["-c", "import runpy; runpy.run_path('train.py')"], ["-m", "train"]):
        result = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stdout == "'\\xe9'\n"


# -- with the observer


def run(
    folder: Path, command: Sequence[str], *, lines: bool = False, seed: int | None = None
) -> Verification:
    """Run a command with train.py unclipped on disk and clipped in the overlay."""
    (folder / "train.py").write_text(LOOP)
    overlay = {os.path.realpath(folder / "train.py"): CLIPPED.encode()}
    result = verify(command, cwd=folder, asked=Orders(overlay=overlay, lines=lines, seed=seed))
    assert (folder / "train.py").read_text() == LOOP
    return result


TEST = "import train\ndef test_training():\n    train.main()\n"
COMMANDS: dict[str, tuple[str, ...]] = {
    "script": (sys.executable, "train.py"),
    "module": (sys.executable, "-m", "train"),
    "torchrun": (
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "train.py"
    ),
    "pytest": (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"),
    "accelerate": (
        sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1", "train.py"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_training_in_the_overlay_is_observed(name: str, tmp_path: Path) -> None:
    if name == "accelerate":
        pytest.importorskip("accelerate")
    (tmp_path / "test_it.py").write_text(TEST)
    result = run(tmp_path, COMMANDS[name])
    (site,) = result.sites
    assert (site.word, site.place) == (
        "confirmed", Place(os.path.realpath(tmp_path / "train.py"), CLIPPED.splitlines().index("        optimizer.step()") + 1),
    ), result  # fmt: skip
    assert result.processes == (2 if name == "torchrun" else 1)


def test_test_file_itself_is_served_to_pytest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    text = LOOP.replace("def main():", "def test_main():").replace("    main()\n", "    pass\n")
    path = tmp_path / "test_train.py"
    path.write_text(text)
    other = text.replace(
        "        optimizer.step()",
        "        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0); optimizer.step()",
    )
    asked = Orders(overlay={os.path.realpath(path): other.encode()})
    result = verify((sys.executable, "-m", "pytest", "-q"), cwd=tmp_path, asked=asked)
    assert [site.word for site in result.sites] == ["confirmed"], result
    result = verify(
        (sys.executable, "-m", "pytest", "-q"), cwd=tmp_path
    )  # no bytecode of the other text stays
    assert [site.word for site in result.sites] == ["refuted"], result


def test_lines_that_ran_are_told(tmp_path: Path) -> None:
    (process,) = run(tmp_path, COMMANDS["script"], lines=True).sessions
    assert process.lines is not None
    name = os.path.realpath(tmp_path / "train.py")
    rows = {place.row for place in process.lines if place.filename == name}
    assert rows == set(range(1, len(CLIPPED.splitlines()) + 1))
    assert {place.filename for place in process.lines} == {name}


def test_lines_are_told_by_a_run_that_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(LOOP)
    overlay = {os.path.realpath(tmp_path / "train.py"): CLIPPED.encode()}
    result = verify(COMMANDS["script"], cwd=tmp_path, max_steps=1, asked=Orders(overlay=overlay, lines=True))
    lines = result.sessions[0].lines
    assert lines is not None
    assert result.stopped
    assert CLIPPED.splitlines().index("        optimizer.step()") + 1 in {place.row for place in lines}


def test_same_seed_gives_the_same_run(tmp_path: Path) -> None:
    script = LOOP.replace("torch.ones(2, 6)", "torch.randn(2, 6) * numpy.random.rand() * random.random()")
    (tmp_path / "train.py").write_text(
        "import numpy\nimport random\nprint(random.random(), list({'a', 'b', 'c'}))\n" + script
    )
    losses = [
        [record.loss for record in verify(COMMANDS["script"], cwd=tmp_path, asked=Orders(seed=seed)).sessions[0].records]
        for seed in (1, 1, 2)
    ]  # fmt: skip
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


# -- the folder of a run


def test_folder_of_a_dead_run_is_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    script = "from clipcheck.verify import scratch; import os, signal\nwith scratch.folder() as f: open(f + '/x', 'w'); os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False)
    assert len(list(tmp_path.glob("clipcheck-verify-*"))) == 2
    with scratch.folder() as own:
        assert {str(path) for path in tmp_path.iterdir()} == {own, f"{own}.lock"}
        scratch.sweep()  # by another run: this one is alive
        assert Path(own).is_dir()
    assert list(tmp_path.iterdir()) == []


def test_folder_that_somebody_removed_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch.folder() as own:
        shutil.rmtree(own)
    assert list(tmp_path.iterdir()) == []
