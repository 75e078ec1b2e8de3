"""Hold a fixed notebook against what it was, byte by byte. Knows JSON's letters and nothing of clipcheck's own reader.

    python tests/notebooks.py FOLDER...    fix copies of all notebooks below, and count

A notebook without a finding is given one at the end of its last code cell.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from clipcheck import config, fixing, pipeline

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)
_MADE = (
    "import torch as made_torch",
    "made_model = made_torch.nn.LSTM(4, 8)",
    "made_optimizer = made_torch.optim.Adam(made_model.parameters())",
    "for made_batch in range(9):",
    "    made_optimizer.zero_grad()",
    "    made_model(made_torch.randn(5, 1, 4))[0].sum().backward()",
    "    made_optimizer.step()",
)


class Source(NamedTuple):
    """Where the value of one cell's source stands in the text of a notebook, and what it says."""

    start: int
    end: int
    lines: str | list[str]


def cell_sources(text: str) -> list[Source]:
    """Find the source of every cell (in format 3: its input), with a stack of keys and brackets alone."""
    found: list[Source] = []
    path: list[str] = []  # keys of objects, "*" for arrays
    key, starts, expects_key = "", [], []
    for token in _TOKEN.finditer(text):
        word = token.group()
        if word in "{[":
            starts.append(token.start())
            path.append(key)
            key = "" if word == "{" else "*"
            expects_key.append(word == "{")
        elif word in "}]":
            start, name = starts.pop(), path.pop()
            expects_key.pop()
            key = name
            if _is_source([*path, name]):
                found.append(Source(start, token.end(), json.loads(text[start : token.end()], strict=False)))
        elif word == ",":
            expects_key[-1:] = [text[starts[-1]] == "{"]
        elif word == ":":
            expects_key[-1] = False
        elif expects_key and expects_key[-1]:
            key = json.loads(word)
        elif _is_source([*path, key]) and word.startswith('"'):
            found.append(Source(token.start(), token.end(), json.loads(word, strict=False)))
    return found


def _is_source(path: list[str]) -> bool:
    """Whether keys lead to a cell's source: `cells`, an element, `source`, and the same within `worksheets`."""
    return [name for name in path if name] in (
        ["cells", "*", "source"], ["worksheets", "*", "cells", "*", "source"], ["worksheets", "*", "cells", "*", "input"]
    )  # fmt: skip


def touched(before: str, after: str) -> list[tuple[Source, Source]]:
    """The sources that differ, after making sure that nothing else does."""
    old, new = cell_sources(before), cell_sources(after)
    assert len(old) == len(new)
    assert _outside(before, old) == _outside(after, new)
    pairs = zip(old, new, strict=True)
    changed = [(one, two) for one, two in pairs if before[one.start : one.end] != after[two.start : two.end]]
    for one, two in changed:
        assert type(one.lines) is type(two.lines), "a list stays a list"
        assert "".join(one.lines) != "".join(two.lines), "spelt in another way, and says the same"
    return changed


def _outside(text: str, sources: list[Source]) -> list[str]:
    ends = [0, *(source.end for source in sources)]
    starts = [*(source.start for source in sources), len(text)]
    return [text[end:start] for end, start in zip(ends, starts, strict=True)]


def with_finding(text: str) -> str | None:
    """The notebook with a step that nothing clips at the end of its last code cell; None where it has none."""
    cells = json.loads(text).get("cells")
    sources = cell_sources(text)
    if cells is None or len(cells) != len(sources):
        return None
    for cell, source in reversed([*zip(cells, sources, strict=True)]):
        written = "".join(source.lines)
        if cell["cell_type"] == "code" and written.strip() and not written.lstrip().startswith("%%"):
            lines = [json.dumps(f"\n{line}")[1:-1] for line in _MADE]
            if isinstance(source.lines, str):
                added = "".join(lines) + '"'
            else:
                added = "".join(f', "{line}"' for line in lines) + "]"
            return text[: source.end - 1].rstrip() + added + text[source.end :]
    return None


def fix(path: Path) -> int:
    """Fix a notebook on disk, alone and with the unsafe fixes; return how many findings that mended."""
    given = {"no_cache": True, "jobs": 1, "min_risk": "none", "unsafe_fixes": True}
    settings = config.load(path.parent, None, given)
    return len(fixing.apply([path], settings, pipeline.run).fixed)


def below(*folders: Path) -> Iterator[Path]:
    """The notebooks below folders, each content once."""
    seen = set()
    for folder in folders:
        for path in sorted(folder.rglob("*.ipynb")):
            if path.is_file() and (data := path.read_bytes()) not in seen:
                seen.add(data)
                yield path


def try_one(path: Path, folder: Path) -> str:
    """Fix a copy of a notebook in an empty folder and hold it against the original: what came of it."""
    try:
        text = path.read_bytes().decode()
        json.loads(text)
    except (UnicodeDecodeError, ValueError):
        return "no JSON"
    copy = folder / "copy.ipynb"
    copy.write_bytes(text.encode())
    word = "with findings of its own"
    if not fix(copy):
        word = "with a finding made"
        made = with_finding(text)
        if made is None:
            return "no code"
        text = made
        copy.write_bytes(text.encode())
        if not fix(copy):
            return "no finding, nor a made one"
    after = copy.read_bytes().decode()
    assert touched(text, after), path
    _validate(text, after)
    return word


def _validate(before: str, after: str) -> None:
    """What was valid is still valid."""
    import warnings

    import nbformat

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            nbformat.validate(json.loads(before))
        except Exception:  # not valid to begin with, in one of many ways
            return
        nbformat.validate(json.loads(after))


def main() -> None:
    counts: Counter[str] = Counter()
    for path in below(*map(Path, sys.argv[1:])):
        with tempfile.TemporaryDirectory() as folder:
            try:
                counts[try_one(path, Path(folder))] += 1
            except Exception as error:
                counts["WRONG"] += 1
                print(f"{path}: {type(error).__name__}: {error}", file=sys.stderr)
    for word, count in counts.most_common():
        print(f"{count:6}  {word}")


if __name__ == "__main__":
    main()
