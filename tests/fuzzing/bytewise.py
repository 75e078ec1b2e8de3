"""Damaged bytes: nothing may crash on them, and `--fix` may leave old bytes or what can be read, and nothing else."""

from __future__ import annotations

import ast
import json
import shutil
import warnings
from pathlib import Path
from random import Random

import fixturelib

from clipcheck import config, fixing, knowledge, pipeline
from clipcheck.sourcefile import decode
from fuzzing.judged import load_knowledge

STRANGE = (
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\x0c", b"\\\n", b"\t", b"'''", b'"""', b"(" * 300, b"[" * 90,
    b"# -*- coding: latin-1 -*-\n", b"# coding: utf-16\n", b"# coding: nothing\n", "\u2028".encode(), "ｘ".encode(),
    b"# clipcheck: ignore[", b"# clipcheck: ignore-file\n", b"# noqa: CLP101,", b"%%bash\n", b"!ls \\", b"?", b"\\u00",
    b"\\ud800", b"1e999", b"-" * 400, b"lambda:" * 60, b"not " * 500, b"if 1:\n", b"else:\n", b" ", b"\n", b"}", b"]",
    b"]]", b"[[", b"!", b"**/", b"[a-", b"[[:alpha:]", b"\\", b"= ", b"{", b"\xc3\x28", b"f'{", b"{x!r:{y}}", b"async ",
    b"await ", b"yield ", b"return ", b"global x\n", b"0" * 5000, b"nan", b"inf", b"&a ", b"*a", b"<<: ", b"!!python/object",
)  # fmt: skip
SETTINGS = b"""\
[tool.clipcheck]
max-norm = 0.5
min-risk = "low"
select = ["CLP1", "CLP2"]
ignore = ["CLP301"]
exclude = ["data/**", "!data/keep.py"]
per-file-ignores = { "tests/**" = ["CLP1"] }
long-sequence = 256
deep = [10, 30]
clip-functions = ["kit.limit"]
step-functions = ["kit.advance"]

[project]
dependencies = ["torch>=2.0", "deepspeed==0.19.4", "accelerate"]
"""
IGNORED = b"# built\n/build/\n*.tmp\n!keep.tmp\n**/cache/**\ndata/[a-c]?.py\n\\#odd\\ \n"
YAML = b"optim:\n  clip: &clip 1.0\n  lr: 1e-3\ntrainer:\n  gradient_clip_val: *clip\n  list: [1, two, {three: 3}]\n"
READER = b"""\
import torch
import yaml
from torch import nn

settings = yaml.safe_load(open("conf.yaml"))
model = nn.LSTM(4, 8)
optimizer = torch.optim.Adam(model.parameters())
for x in range(9):
    optimizer.zero_grad()
    model(torch.randn(5, 1, 4))[0].sum().backward()
    if settings["optim"]["clip"] > 0:
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings["optim"]["clip"])
    optimizer.step()
"""


class DamageError(AssertionError):
    """A fix has left something that cannot be read."""


def damaged(data: bytes, other: bytes, chance: Random) -> bytes:
    """Some bytes flipped, left out, put in, doubled, or taken from somewhere else."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 12))):
        at = chance.randrange(len(out) + 1)
        length = chance.choice((1, 1, 2, 5, 30, 200))
        how = chance.randrange(7)
        if how == 0 and out:
            out[min(at, len(out) - 1)] ^= 1 << chance.randrange(8)
        elif how == 1:
            del out[at : at + length]
        elif how == 2:
            out[at:at] = chance.choice(STRANGE)
        elif how == 3:
            out[at:at] = bytes(chance.randrange(256) for _ in range(min(length, 5)))
        elif how == 4:
            start = chance.randrange(len(other) + 1)
            out[at : at + chance.choice((0, length))] = other[start : start + length]
        elif how == 5:
            out[at:at] = out[at : at + length] * chance.choice((1, 2, 40))
        else:
            end = out.find(b"\n", at)
            out[at:at] = out[end + 1 : end + 1 + length]
    return bytes(out)


class Bytes:
    """A project of one of each kind of file, of which one is damaged."""

    def __init__(self, folder: Path) -> None:
        knowledge.load = load_knowledge
        self.folder = folder
        fixtures = fixturelib.load()
        files = [(name, data) for one in fixtures for name, data in fixturelib.tree(one.before).items()]
        self.sources = [data for name, data in files if name.endswith(".py")]
        self.notebooks = [data for name, data in files if name.endswith(".ipynb")]
        self.whole = {
            "pyproject.toml": SETTINGS,
            ".gitignore": IGNORED,
            "conf.yaml": YAML,
            "train.py": READER,
        }

    def pieces(self, chance: Random) -> tuple[str, bytes]:
        """A file by its name, with damaged bytes."""
        name = chance.choice(
            ("source.py",) * 4 + ("notes.ipynb",) * 3
            + ("pyproject.toml", "clipcheck.toml", ".gitignore", "conf.yaml", "requirements.txt", "base.json")
        )  # fmt: skip
        if name.endswith(".py"):
            data, other = chance.choice(self.sources), chance.choice(self.sources)
        elif name.endswith(".ipynb"):
            data, other = chance.choice(self.notebooks), chance.choice(self.notebooks + self.sources)
        else:
            table = SETTINGS.partition(b"[project]")[0].partition(b"\n")[2]
            data = {
                "pyproject.toml": SETTINGS,
                "clipcheck.toml": table,
                ".gitignore": IGNORED,
                "conf.yaml": YAML,
                "requirements.txt": b"torch>=2\ndeepspeed==0.19.4 # pinned\n-r other.txt\naccelerate~=1.0; python_version>'3'\n",
                "base.json": b'{"clip": {"max_norm": 1.0, "list": [1, null, true]}}',
            }[name]
            other = chance.choice((SETTINGS, IGNORED, YAML))
        return name, damaged(data, other, chance)

    def check(self, name: str, data: bytes) -> None:
        """Scan and fix a project with this file. Raises what a crash would, and DamageError."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        files = {**self.whole, name: data}
        if name == "clipcheck.toml":
            del files["pyproject.toml"]
        if name == "base.json":
            files["conf.yaml"] = data
        for each, content in files.items():
            (self.folder / each).write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the damaged source: `"\\d"` and its like
            try:
                settings = config.load(
                    self.folder, None, {"jobs": 1, "no_cache": True, "unsafe_fixes": True, "min_risk": "none"}
                )
                pipeline.run([self.folder], settings)
                fixing.apply([self.folder], settings, pipeline.run)
            except config.UserError:
                pass  # said in one line, exit 2
            for each, content in files.items():
                after = (self.folder / each).read_bytes()
                if after != content and not _readable(each, after):
                    raise DamageError(f"{each}:\n{content!r}\nbecame\n{after!r}")
            if sorted(one.name for one in self.folder.iterdir()) != sorted(files):
                raise DamageError("something was left behind")


def _readable(name: str, data: bytes) -> bool:
    if not name.endswith((".py", ".ipynb")):
        return False  # nothing else is ever written
    try:
        if name.endswith(".ipynb"):
            json.loads(data, strict=False)  # as it is read: line ends in strings are common
        else:
            ast.parse(decode(data)[0])
    except (SyntaxError, ValueError):
        return False
    return True
