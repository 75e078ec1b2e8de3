"""Whatever a file holds, it is read or named, in bounded time, and the others are handled."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from commanding import caller

from clipcheck import agreement, config, sourcefile
from clipcheck.config import ConfigError
from clipcheck.extract import extract
from clipcheck.facts import ModuleFacts

PROGRAM = """\
import torch
from torch import nn

model = nn.LSTM(8, 16)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for batch in range(3):
    optimizer.zero_grad()
    model(torch.randn(3, 2, 8))[0].mean().backward()
    optimizer.step()
"""
PATIENCE = 120  # seconds after which something hangs

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes, links and names of Unix")


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").touch()
    return caller(capsys, "--no-cache")


def command(folder, *words, **more):
    """Run in a process of its own, whose death is noticed."""
    return subprocess.run(
        [sys.executable, "-m", "clipcheck", "--no-cache", "--quiet", *words],
        cwd=folder, capture_output=True, text=True, errors="surrogateescape", check=False, timeout=PATIENCE, **more,
    )  # fmt: skip


# -- what is read ----------------------------------------------------------------------------------------

READ = {
    "parentheses": "x = " + "(" * 190 + "1" + ")" * 190,
    "brackets": "x = " + "[" * 190 + "1" + "]" * 190,
    "blocks": "".join(" " * n + "if a:\n" for n in range(95)) + " " * 95 + "b()",
    "functions": "".join(" " * n + f"def f{n}():\n" for n in range(95)) + " " * 95 + "b()",
    "a chain of and": "x = " + " and ".join(["a"] * 100_000),
    "a chain of comparisons": "x = " + " < ".join(["a"] * 10_000),
    "a dotted module": "from " + ".".join(["a"] * 30_000) + " import b",
    "strings side by side": "x = (" + "'a'\n" * 20_000 + ")",
    "decorators": "@a\n" * 5_000 + "def f(): pass",
    "targets": "a = " * 5_000 + "1",
    "one long row": "x = [" + "1," * 100_000 + "]",
    "an annotation": f"x: '{'-' * 10_000}1'",
    "an annotation with a null": "x: 'a\\0b'",
    "a class of itself": "class A(A): pass\nA().step()",
    "classes in a circle": "class A(B): pass\nclass B(A): pass\nA().step(); B.step()",
    "a name of itself": "a = a\na = a.b\na.step()",
    "a function of itself": "def f(x): return f(x)\nf(optimizer).step()",
    "imports itself": "from odd import *\nimport odd\nodd.odd.odd.step()",
}


@pytest.mark.parametrize("text", READ.values(), ids=READ)
def test_odd_and_readable(tmp_path, text):
    """None of these takes the process with it, and the finding is there."""
    (tmp_path / "odd.py").write_text(f"{PROGRAM}{text}\n")
    done = command(tmp_path, "odd.py")
    assert done.returncode == 1, done.stderr
    assert "odd.py:9:5: CLP101" in done.stdout
    assert done.stderr == ""


def test_imports_and_stars_in_a_circle(run, tmp_path):
    for name, other in ("ab", "bc", "ca"):
        (tmp_path / f"{name}.py").write_text(f"from {other} import *\nimport {other}\n{PROGRAM}")
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text(
        "from . import *\nfrom .. import *\nfrom .pkg import *\n" + PROGRAM
    )
    status, out, err = run()
    assert (status, err) == (1, "")
    assert out.count("CLP101") == 4


def test_links_in_a_circle_pipes_and_devices_are_passed_over(tmp_path):
    (tmp_path / "train.py").write_text(PROGRAM)
    (tmp_path / "empty.py").touch()
    (tmp_path / "here").symlink_to(".")
    (tmp_path / "gone.py").symlink_to("nowhere.py")
    (tmp_path / "zero.py").symlink_to("/dev/zero")
    for name in (
        "pipe.py",
        "pipe",
        "pipe.ipynb",
        ".gitignore",
        ".git",
        "clipcheck.toml",
        "pyproject.toml",
        "x.yaml",
    ):
        os.mkfifo(tmp_path / name)
    done = command(tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.count("CLP101") == 1
    for name in ("pipe.py", "zero.py"):
        done = command(tmp_path, name, "train.py")
        assert done.returncode == 2
        assert f"{name}: neither a regular file nor a folder" in done.stderr
        assert done.stdout.count("CLP101") == 1  # what else was named


def test_a_name_that_is_not_utf_8(tmp_path):
    with open(os.fsencode(tmp_path) + b"/\xff\xfe.py", "w", encoding="utf-8") as stream:
        stream.write(PROGRAM)
    for words in ([], ["--output-format", "json"], ["--output-format", "sarif"], ["--diff"], ["--fix"]):
        done = command(tmp_path, *words)
        assert done.returncode == (words != ["--fix"]), done.stderr
    with open(os.fsencode(tmp_path) + b"/\xff\xfe.py", encoding="utf-8") as stream:
        assert "clip_grad_norm_" in stream.read()


# -- what is named ---------------------------------------------------------------------------------------

DEEP = {
    "minus signs": "x = " + "-" * 10_000 + "1",
    "not": "x = " + "not " * 10_000 + "1",
    "calls": "x = a" + "()" * 4_000,
    "attributes": "x = a" + ".b" * 10_000,
    "sums": "x = " + "+".join(["a"] * 10_000),
    "powers": "x = " + "a ** " * 10_000 + "2",
    "lambdas": "x = " + "lambda: " * 5_000 + "1",
    "conditions": "x = " + "1 if a else " * 10_000 + "2",
    "elif": "if a: pass\n" + "elif b: pass\n" * 10_000,
    "brackets": "x = " + "[" * 10_000 + "]" * 10_000,
    "subscripts": "x = " + "a[" * 10_000 + "]" * 10_000,
}
NAMED = {
    "syntax": (PROGRAM + "def f(:\n", "odd.py:10:7: cannot be parsed by Python ", "  def f(:\n        ^\n"),
    "python 2": (PROGRAM + "print 'a'\n", "odd.py:10:1: cannot be parsed by Python ", "  print 'a'\n  ^\n"),
    "null byte": (PROGRAM + "a\0b\n", "odd.py:10:2: cannot be parsed by Python ", "  a\\x00b\n   ^\n"),
    "latin-1": (PROGRAM.encode() + b"# \xe9t\xe9\n", "odd.py:10:3: cannot be decoded: ", "  # \\xe9t\\xe9\n    ^\n"),
    "latin-1 after a mark": (
        b"\xef\xbb\xbf" + PROGRAM.encode() + b"# \xe9\n", "odd.py:10:3: cannot be decoded: ", "  # \\xe9\n    ^\n",
    ),
    "utf-16": (PROGRAM.encode("utf-16"), "odd.py: cannot be decoded: UTF-16", ""),
    "unknown coding": ("# coding: klingon\n" + PROGRAM, "odd.py: cannot be decoded: unknown encoding: klingon", ""),
    "no coding of text": ("# coding: rot13\n" + PROGRAM, "odd.py: cannot be decoded: ", ""),
    "too large": (PROGRAM + "x = [\n" + "  (1, 2.0, 'abc'),\n" * 550_000 + "]\n", "odd.py: too large to read: 10,", ""),
    **{name: (f"{PROGRAM}{text}\n", "odd.py", "") for name, text in DEEP.items()},
}  # fmt: skip


@pytest.mark.parametrize(("data", "words", "below"), NAMED.values(), ids=NAMED)
def test_named_and_the_others_are_handled(tmp_path, data, words, below):
    odd, good = tmp_path / "odd.py", tmp_path / "good.py"
    odd.write_bytes(data if isinstance(data, bytes) else data.encode())
    before = odd.read_bytes()
    good.write_text(PROGRAM)
    for option in ("--exit-zero", "--fix"):
        done = command(tmp_path, option)
        assert done.returncode == 2
        assert f"error: {words}" in done.stderr
        assert below in done.stderr
        assert "Traceback" not in done.stderr
        assert ("CLP101" in done.stdout) == (option == "--exit-zero")
    assert odd.read_bytes() == before
    assert "clip_grad_norm_" in good.read_text()


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_what_is_too_deep_says_so(text):
    found = extract(text.encode(), "odd.py")
    assert not isinstance(found, ModuleFacts)
    assert "nested" in found.message


NOTEBOOKS = {
    "cut off": ('{"cells": [{"cell_type": "code", "source": "optimizer.step()"', "n.ipynb:1:"),
    "a list": ('["optimizer.step()"]', "n.ipynb:1:1: cannot be read as a notebook"),
    "nested": ('{"metadata": ' + "[" * 100_000 + '"step"', "cannot be read as a notebook: nested too deep"),
    "no cells": ('{"nbformat": 4, "x": "step"}', "cannot be read as a notebook"),
    "too large": (
        json.dumps({"cells": [{"cell_type": "code", "source": PROGRAM + "x = 1\n" * 400_000}]}), "too large to read: 2,",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "words"), NOTEBOOKS.values(), ids=NOTEBOOKS)
def test_notebooks_that_are_none(run, tmp_path, text, words):
    (tmp_path / "n.ipynb").write_text(text)
    (tmp_path / "good.py").write_text(PROGRAM)
    status, out, err = run()
    assert status == 2
    assert words in err
    assert out.count("CLP101") == 1


@pytest.mark.parametrize("version", [2, 3])
def test_notebooks_of_old_formats(run, tmp_path, version):
    cell = {
        "cell_type": "code",
        "language": "python",
        "input": PROGRAM.splitlines(keepends=True),
        "outputs": [],
    }
    text = json.dumps({"nbformat": version, "metadata": {}, "worksheets": [{"cells": [cell]}]})
    (tmp_path / "n.ipynb").write_text(text)
    assert "n.ipynb:cell 0:9:5: CLP101" in run()[1]
    assert run("--fix")[0] == 0


def test_without_permission(tmp_path):
    for name in ("locked.py", "good.py"):
        (tmp_path / name).write_text(PROGRAM)
    (tmp_path / "shut").mkdir()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "broken.py").write_text("optimizer.step(\n")
    os.chmod(tmp_path / "locked.py", 0)
    os.chmod(tmp_path / "shut", 0)
    # The superuser may read everything: without these two rights, permissions count for them as well.
    without = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    command = [*without, sys.executable, "-m", "clipcheck", "--no-cache"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "locked.py: cannot be read: Permission denied" in done.stderr
    assert "shut: folder cannot be listed: Permission denied" in done.stderr
    assert done.stdout.count("CLP101") == 1


# -- bounds ----------------------------------------------------------------------------------------------

WIDE = {
    "and": "x = " + " and ".join(["a"] * 100_000) + "\n",
    "and within and": "x = " + "(" * 90 + "a" + " and a" * 200 + ") or a".join([" or a" * 200] * 91) + "\n",
    "modules": "from " + ".".join(["a"] * 10_000) + " import b\n",
    "a module": "import " + ".".join(["a"] * 10_000) + "\n",
    "many chains": ("x = a" + "()" * 290 + "\n") * 600,
    "size": "x = 1\n" * 200_000,
}


@pytest.mark.parametrize("kind", WIDE)
def test_what_never_reaches_libcst(monkeypatch, kind):
    """It would end the process there, or take minutes."""
    monkeypatch.setattr(agreement.cst, "parse_module", lambda _: pytest.fail("it has been reached"))
    why = {"many chains": "too much that is nested deep", "size": "larger than 1,000,000 characters"}
    assert agreement.disagreement(WIDE[kind]) == (
        f"libcst cannot follow it: {why.get(kind, 'nested deeper than 300')}"
    )


def test_a_program_just_below_the_bounds_is_placed():
    text = "x = " + " and ".join(["a"] * 250) + "\nfrom " + ".".join(["a"] * 250) + " import b\n"
    assert agreement.disagreement(text) is None


def test_a_large_file_is_reported_on_and_not_written(run, tmp_path, monkeypatch):
    monkeypatch.setattr(agreement, "SIZE", 1_000)
    (tmp_path / "train.py").write_text(text := PROGRAM + "x = 1\n" * 1_000)
    status, out, _ = run()
    assert status == 1
    assert "train.py:9:5: CLP101" in out
    status, _, err = run("--fix")
    assert status == 1
    assert "train.py: not fixed: libcst cannot follow it: larger than 1,000 characters" in err
    assert (tmp_path / "train.py").read_text() == text


def test_the_place_of_a_byte():
    data = b"a\r\nb\rc\n\xc3\xa9 \xff"
    with pytest.raises(UnicodeDecodeError) as caught:
        sourcefile.decode(b"\n\n" + data)
    assert sourcefile.undecodable(caught.value, b"\n\n" + data)[1:] == (6, 3, "é \\xff")


# -- settings that mean harm -----------------------------------------------------------------------------

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(12)
)
SETTINGS = {
    "a bomb of aliases": BOMB,
    "an alias of itself": "a: &a [*a]\n",
    "a merge of itself": "a: &a\n  <<: *a\n  b: 1\n",
    "nested": "a: " + "[" * 20_000 + "\n",
    "nested blocks": "".join(" " * n + "a:\n" for n in range(2_000)),
    "large": "a: 1\n" * 400_000,
    "an object": "a: !!python/object/apply:os.system [exit]\n",
    "nonsense": "\0\1\2",
}


@pytest.mark.parametrize("text", SETTINGS.values(), ids=SETTINGS)
def test_settings_of_a_project(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    (tmp_path / "config.json").write_text(text if text.startswith("\0") else "[" * 50_000)
    (tmp_path / "config.toml").write_text("a = " + "[" * 50_000 + "\n")
    (tmp_path / "requirements.txt").write_text("torch" + ">=" * 50_000 + "\n")
    loads = "import yaml, json, tomllib\nc = yaml.safe_load(open('config.yaml'))\nj = json.load(open('config.json'))\n"
    loads += "t = tomllib.load(open('config.toml', 'rb'))\n"
    program = PROGRAM.replace("lr=0.1", "lr=c['a']").replace("range(3)", "range(j['a'] + t['a'])")
    (tmp_path / "train.py").write_text(loads + program)
    done = command(tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "CLP101" in done.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("a = " + "[" * 50_000, "nested too deep", id="nested"),
        pytest.param("a = " + "{a=" * 5_000, "nested too deep|not valid TOML", id="nested tables"),
        pytest.param("# \n" * 2_000_000, "no configuration is", id="large"),
        pytest.param("a = 1\na = 2\n", "not valid TOML", id="twice"),
        pytest.param("\xff", "unknown setting|not valid TOML", id="nonsense"),
    ],
)
def test_settings_of_our_own(tmp_path, text, words):
    (tmp_path / "clipcheck.toml").write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=words):
        config.load(tmp_path)


def test_settings_that_extend_each_other_without_end(tmp_path):
    for number in range(2_000):
        (tmp_path / f"c{number}.toml").write_text(f'extend = "c{number + 1}.toml"\n')
    (tmp_path / "clipcheck.toml").write_text('extend = "c0.toml"\n')
    with pytest.raises(ConfigError, match="more than 20 times"):
        config.load(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("*a" * 30 + "b\n", id="stars"),
        pytest.param("**/" * 30 + "a/b\n", id="double stars"),
        pytest.param("**/a/" * 20 + "b\n", id="folders"),
        pytest.param("".join(f"/x{n}/*.txt\n" for n in range(20_000)), id="many"),
        pytest.param("[" * 5_000 + "\n", id="brackets"),
    ],
)
def test_an_ignore_file(tmp_path, text):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text(text)
    deep = tmp_path / ("a" * 200) / "/".join("a" * 100)
    deep.mkdir(parents=True)
    (deep / f"{'a' * 200}.py").write_text(PROGRAM)
    done = command(tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
