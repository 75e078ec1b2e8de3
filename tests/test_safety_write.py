"""What a fix writes, and what it must not touch: on disk, by the command line."""

from __future__ import annotations

import ast
import errno
import os
import resource
import subprocess
import sys

import pytest
from commanding import caller

from clipcheck import output, write

HEAD = "import torch\nfrom torch import nn\n\nmodel = nn.LSTM(8, 16)\n"
BODY = """\
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for batch in range(3):
    optimizer.zero_grad()
    model(torch.randn(3, 2, 8))[0].mean().backward()
    optimizer.step()
"""
PROGRAM = HEAD + BODY
CLIP = "    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)\n"
FIXED = PROGRAM.replace("    optimizer.step()", CLIP + "    optimizer.step()")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners, links and limits of Unix")


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "pyproject.toml").touch()
    return caller(capsys, "--no-cache")


@pytest.fixture
def folder(run, tmp_path):
    return tmp_path / "project"


def train(folder, name="train.py", text=PROGRAM):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# -- what is left alone, while the others go on ----------------------------------------------------------


def test_a_link_out_of_the_project_is_reported_and_not_written(run, folder, tmp_path):
    outside = train(tmp_path, "outside.py")
    (folder / "link.py").symlink_to(outside)
    other = train(folder)
    for words in (["--fix"], ["--fix", "link.py", "train.py"], ["--add-ignores"], ["--diff"]):
        status, out, err = run(*words)
        assert status == (words != ["--diff"])  # a diff has nothing to write here
        assert f"link.py: not written: it is a link to {outside}, outside of the project" in err
        assert outside.read_text() == PROGRAM
        assert out == "" or words != ["--diff"]
    assert other.read_text() == FIXED
    assert "CLP101" in run("link.py")[1]


def test_a_link_within_the_project_and_a_folder_given_by_a_link_are_written(run, folder, tmp_path):
    (folder / "real").mkdir()
    inside = train(folder / "real", "elsewhere.txt")
    (folder / "link.py").symlink_to(inside)
    (tmp_path / "shared").mkdir()
    shared = train(tmp_path / "shared")
    (folder / "given").symlink_to(tmp_path / "shared")
    assert run("--fix", ".", "given")[0] == 0
    assert inside.read_text() == shared.read_text() == FIXED
    assert (folder / "link.py").is_symlink()


@pytest.mark.parametrize("setting", ["output-file", "write-baseline"])
def test_a_project_cannot_name_a_file_outside_to_write(run, folder, tmp_path, setting):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (folder / "inner").symlink_to(tmp_path)
    train(folder)
    for where in (str(victim), "../victim", "inner/victim"):
        (folder / "clipcheck.toml").write_text(f'{setting} = "{where}"\n')
        status, _, err = run()
        assert status == 2
        assert f"`{setting}` leads out of the project" in err
        assert f"--{setting} on the command line" in err
        assert victim.read_text() == "mine"
    (folder / "clipcheck.toml").write_text(f'{setting} = "report"\n')
    run()
    assert (folder / "report").exists()
    run(f"--{setting}", victim)  # the user's own word
    assert victim.read_text() != "mine"


def test_a_read_only_file_is_left_alone_whoever_asks(run, folder):
    kept, other = train(folder, "kept.py"), train(folder)
    kept.chmod(0o444)
    status, _, err = run("--fix")
    assert status == 1
    assert "kept.py: not written: the file is read-only" in err
    assert (kept.read_text(), other.read_text()) == (PROGRAM, FIXED)
    assert run("--fix")[0] == 1


def test_a_full_disk_takes_what_it_can(folder):
    large, small = train(folder, "large.py", PROGRAM + "# \n" * 5000), train(folder)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = subprocess.run(
        [sys.executable, "-m", "clipcheck", "--fix", "--no-cache", "."],
        cwd=folder, preexec_fn=limit, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "large.py: not written: [Errno 27]" in done.stderr
    assert large.read_text() == PROGRAM + "# \n" * 5000
    assert small.read_text() == FIXED
    assert sorted(os.listdir(folder)) == ["large.py", "pyproject.toml", "train.py"]


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_file_too_deep_to_be_compared_is_left_alone(run, folder):
    deep = train(
        folder, "deep.py", PROGRAM + "def usage():\n    return " + " + ".join(["'a'"] * 1_100) + "\n"
    )
    text, other = deep.read_bytes(), train(folder)
    status, _, err = run("--fix")
    assert (status, "Traceback" in err) == (1, False)
    assert (deep.read_bytes(), other.read_text()) == (text, FIXED)


def test_a_folder_that_may_not_be_written_to(run, folder, monkeypatch):
    """Only somebody other than the superuser meets these; the mode of the file alone says that it may be written."""
    train(folder).chmod(0o666)
    monkeypatch.setattr(write, "sweep", lambda folders: None)
    os.seteuid(65534)
    try:
        done = write.replace_file(
            write.Change(str(folder / "train.py"), write.SourceFile(folder, PROGRAM.encode(), PROGRAM, "utf-8"), FIXED), {}
        )  # fmt: skip
    finally:
        os.seteuid(0)
    assert done is not None
    assert "not written: " in done.message
    assert (folder / "train.py").read_text() == PROGRAM


# -- what stays of a file that is written ----------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser gives files away")
def test_owner_and_mode_are_kept(run, folder):
    path = train(folder)
    os.chown(path, 1234, 4321)
    path.chmod(0o2751)
    assert run("--fix")[0] == 0
    status = path.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (1234, 4321, 0o2751)


@pytest.mark.parametrize("option", ["--fix", "--add-ignores"])
def test_other_names_of_a_file_are_told_of(run, folder, tmp_path, option):
    path = train(folder)
    os.link(path, tmp_path / "other.py")
    _, _, err = run(option)
    assert "train.py: written; its other names (hard links) keep the text from before" in err
    assert (tmp_path / "other.py").read_text() == PROGRAM
    assert path.read_text() != PROGRAM
    train(folder, "alone.py")
    assert "hard links" not in run(option)[2]


def test_without_locks_a_file_is_written_all_the_same(run, folder, monkeypatch):
    """Some network file systems have none."""

    def missing(_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(write, "_lock", missing)
    path = train(folder)
    (folder / ".clipcheck-x.tmp").touch()
    assert run("--fix")[0] == 0
    assert path.read_text() == FIXED
    assert (folder / ".clipcheck-x.tmp").exists(), "it may be held, for all that is known"


KINDS = {
    "as it is": PROGRAM.encode(),
    "crlf": PROGRAM.replace("\n", "\r\n").encode(),
    "mixed line ends": PROGRAM.replace("\n", "\r\n", 3).replace(")\n    opt", ")\r    opt").encode(),
    "no last newline": PROGRAM.rstrip("\n").encode(),
    "a lone carriage return at the end": PROGRAM.rstrip("\n").encode() + b"\r",
    "tabs": PROGRAM.replace("    ", "\t").encode(),
    "form feeds": PROGRAM.replace("\noptimizer =", "\n\x0c\noptimizer =").replace("    opt", "\x0c    opt").encode(),
    "byte order mark": b"\xef\xbb\xbf" + PROGRAM.encode(),
    "mark and coding line": b"\xef\xbb\xbf# coding: utf-8\n" + PROGRAM.encode(),
    "latin-1": b"# -*- coding: latin-1 -*-\n# \xe9\xff\n" + PROGRAM.encode() + b"# \xe9",
    "coding on the second row": b"#!/usr/bin/python\n# vim: set fileencoding=koi8-r :\ns = '\xc1\xc2'\n" + PROGRAM.encode(),
    "white space at the ends": PROGRAM.replace("0.1)\n", "0.1) \t\n").encode() + b"\n \n\t\n\n",
    "beyond the plane": ("# 😀\u2028\x85\n" + PROGRAM).encode(),
}  # fmt: skip


@pytest.mark.parametrize("before", KINDS.values(), ids=KINDS)
def test_bytes_outside_the_edit_and_the_tree_outside_the_edit(run, folder, before):
    path = train(folder, text=before)
    status, _, err = run("--fix")
    assert (status, err) == (0, "")
    after = path.read_bytes()
    assert ast.dump(ast.parse(_without_clip(after))) == ast.dump(ast.parse(before))
    assert _without_clip(after) == before
    assert run("--fix")[0] == 0
    assert path.read_bytes() == after


def _without_clip(data):
    """What is left when the inserted line goes, and nothing else."""
    start = data.index(b"torch.nn.utils.clip_grad_norm_(")
    end = data.index(b"optimizer.step()", start)
    assert data[start:end].strip().endswith(b"max_norm=1.0)")
    return data[:start] + data[end:]


# -- a diff ----------------------------------------------------------------------------------------------

ODD = "new\nline \x1b[31m\"quote'\\\t.py"


def test_a_diff_of_a_file_with_an_odd_name_can_be_applied(run, folder):
    path = train(folder, ODD)
    done = subprocess.run(
        [sys.executable, "-m", "clipcheck", "--diff", "--no-cache", "."],
        cwd=folder, capture_output=True, check=False,
    )  # fmt: skip
    assert b"\x1b" not in done.stdout
    subprocess.run(["git", "apply"], cwd=folder, input=done.stdout, check=True)
    assert path.read_text() == FIXED


def test_a_diff_for_people_shows_controls(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    output.patch("")
    output.patch("+print('\x1b[31m\x9b')\r\n c = 1\n")
    assert capsys.readouterr().out == "+print('\\x1b[31m\\x9b')\n c = 1\n"


def test_a_diff_in_the_log_of_a_runner_gives_no_commands(folder):
    text = PROGRAM.replace(
        "    optimizer.step()", '    """\n    ::error file=x::pwned\n    """\n    optimizer.step()'
    )
    train(folder, text=text)
    done = subprocess.run(
        [sys.executable, "-m", "clipcheck", "--diff", "--no-cache", "."],
        cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "GITHUB_ACTIONS": "true"},
    )  # fmt: skip
    assert "pwned" in done.stdout
    assert not any(line.lstrip().startswith("::") for line in done.stdout.splitlines())
