"""Nothing of a scanned project is run: code planted wherever Python might find it leaves no trace."""

from __future__ import annotations

import json
import os
import pickle
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = """\
import torch
from torch import nn
import helper

model = nn.LSTM(8, 16)
model.load_state_dict(torch.load("weights.pt"))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for batch in range(3):
    model(torch.randn(3, 2, 8))[0].mean().backward()
    optimizer.step()
"""
# Modules that Python itself may need before any line of clipcheck's runs; nobody but `python -P` keeps those out.
EARLY = {
    "runpy",
    "pkgutil",
    "typing",
    "importlib",
    "types",
    "warnings",
    "functools",
    "contextlib",
    "collections",
}
OWN = {
    "click",
    "libcst",
    "yaml",
    "pathspec",
    "rich",
    "tomli",
    "pygls",
    "lsprotocol",
    "attrs",
    "cattrs",
    "torch",
}
COMMON = {
    "ast", "json", "tokenize", "dataclasses", "pickle", "hashlib", "tomllib", "difflib", "tempfile", "secrets",
    "multiprocessing", "concurrent", "subprocess", "textwrap", "threading", "asyncio", "logging", "random", "shutil",
}  # fmt: skip
NAMES = OWN | COMMON | {"helper", "conftest", "setup", "sitecustomize", "usercustomize", "clipcheck", "rules"}


@pytest.fixture
def project(tmp_path):
    """A folder that leaves `trace` behind if any of its code is run."""
    folder = tmp_path / "project"
    (folder / "pkg").mkdir(parents=True)
    trace = str(tmp_path / "trace")
    trap = f"with open({trace!r}, 'a') as trace:\n    trace.write(__file__ + chr(10))\n"
    for name in NAMES - {"clipcheck"}:
        (folder / f"{name}.py").write_text(trap)
    (folder / "pkg" / "__init__.py").write_text(trap + "from .loop import *\n")
    (folder / "pkg" / "loop.py").write_text(trap + PROGRAM)
    (folder / "train.py").write_text(PROGRAM)
    (folder / "pyproject.toml").write_text('[build-system]\nrequires = []\nbuild-backend = "setup"\n')
    (folder / "evil.pth").write_text("import setup\n")
    command = f"with open({trace!r}, 'a') as trace: trace.write('pickle')"
    for name in ("weights.pt", "weights.bin", "cache.pkl"):
        (folder / name).write_bytes(pickle.dumps(_Evil(command)))
    (folder / "settings.yaml").write_text(
        f"a: !!python/object/apply:os.system ['{sys.executable} setup.py']\n"
    )
    return folder


class _Evil:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return exec, (self.command,)


def leaves_no_trace(folder):
    trace = folder.parent / "trace"
    return not trace.exists() or trace.read_text()


def script():
    """The command as it is installed."""
    found = shutil.which("clipcheck", path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip("clipcheck is not installed")
    return found


def call(folder, *words, **more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        words, cwd=folder, capture_output=True, text=True, check=False, env={**kept, **more}
    )


def test_the_trap_works(project):
    """What is planted does leave a trace."""
    for name in ("setup", "json", "helper"):
        subprocess.run([sys.executable, f"{name}.py"], cwd=project, check=True)
    pickle.loads((project / "weights.pt").read_bytes())
    assert leaves_no_trace(project) is not True


WORDS = {
    "scan": ["."],
    "scan in processes": [".", "--jobs", "2"],
    "json": [".", "--output-format", "json"],
    "diff": ["--diff", "."],
    "fix": ["--fix", "--unsafe-fixes", "."],
    "explain": ["--explain", "train.py:10"],
    "add ignores": ["--add-ignores", "."],
    "baseline": [".", "--write-baseline", "known.json"],
    "show files": ["--show-files", "."],
    "config": ["config"],
}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_the_command(project, words):
    done = call(project, script(), *words)
    assert done.returncode in (0, 1), done.stderr
    assert leaves_no_trace(project) is True


@pytest.mark.parametrize("words", [["."], ["--fix", "."]], ids=["scan", "fix"])
def test_as_a_module_of_python(project, words):
    """`python -m` puts the current folder first; clipcheck takes it away before it imports anything else."""
    done = call(project, sys.executable, "-m", "clipcheck", *words)
    assert done.returncode in (0, 1), done.stderr
    assert leaves_no_trace(project) is True
    assert not EARLY & NAMES


def test_the_hooks(project):
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert len(hooks) == 2
    for hook in hooks:
        _, *words = shlex.split(hook["entry"])
        done = call(project, script(), *words, "train.py", "setup.py", "pkg/loop.py")
        assert done.returncode == 1, done.stderr
    assert leaves_no_trace(project) is True


def test_verify_runs_the_command_and_nothing_else(project, tmp_path):
    pytest.importorskip("torch")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    program = PROGRAM.replace("import helper\n", "").replace(
        'model.load_state_dict(torch.load("weights.pt"))\n', ""
    )
    run = elsewhere / "run.py"
    run.write_text(
        f"with open({str(tmp_path / 'trace')!r}, 'a') as trace: trace.write('the command')\n{program}"
    )
    done = call(project, script(), "verify", "--", sys.executable, str(run))
    assert done.returncode == 1, done.stderr  # three steps, none of them clipped
    assert "run.py" in done.stdout
    assert leaves_no_trace(project) == "the command"


@pytest.mark.parametrize("start", ["script", "module"])
def test_the_language_server(project, start):
    pytest.importorskip("pygls")
    first = [script()] if start == "script" else [sys.executable, "-m", "clipcheck"]
    uri = (project / "train.py").as_uri()
    item = {"uri": uri, "languageId": "python", "version": 1, "text": PROGRAM}
    messages = [
        {"id": 1, "method": "initialize", "params": {"capabilities": {}, "processId": None, "rootUri": project.as_uri()}},
        {"method": "initialized", "params": {}},
        {"method": "textDocument/didOpen", "params": {"textDocument": item}},
    ]  # fmt: skip
    server = subprocess.Popen([*first, "server"], cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        for message in messages:
            body = json.dumps({"jsonrpc": "2.0", **message}).encode()
            server.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        server.stdin.flush()
        heard = b""
        while b"CLP101" not in heard:
            part = server.stdout.read1()
            assert part, heard
            heard += part
    finally:
        server.kill()
        server.communicate()
    assert leaves_no_trace(project) is True


# -- what a report says of a project is text -------------------------------------------------------------

NASTY = "<script>alert(1)<&\"'>\n::error file=x::pwned\x1b[31m\x9b2J\u202e.py"


@pytest.mark.parametrize("format_", ["text", "json", "jsonl", "sarif", "github", "gitlab", "junit"])
def test_no_report_obeys_a_name(tmp_path, format_):
    (tmp_path / "pyproject.toml").touch()
    text = PROGRAM.replace(
        "    optimizer.step()", "    optimizer.step()  # \x1b[2J <script>x</script> ##[error]pwned"
    )
    (tmp_path / NASTY).write_text(text)
    (tmp_path / f"broken{NASTY}").write_text("optimizer.step() \x1b[2J\n::error::pwned\n")
    words = ("--output-format", format_, "--statistics", ".")
    done = call(tmp_path, script(), *words, GITHUB_ACTIONS="true")
    assert done.returncode == 2
    assert "CLP101" in done.stdout
    for shown in (done.stdout, done.stderr):
        assert not set(map(chr, (*range(9), *range(11, 32), *range(127, 160), 0x202E))) & set(shown)
        rows = [line.strip() for line in shown.splitlines()]
        commands = [row for row in rows if row.startswith("::")]
        assert len(commands) == (2 if format_ == "github" and shown is done.stdout else 0)
        assert not any(row.startswith("::error file=x") for row in rows)
        assert "##[" not in shown or format_ not in ("text", "github")
    if format_ == "junit":
        assert "<script" not in done.stdout
