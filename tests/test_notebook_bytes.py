"""`--fix` changes the source of the cell it touches and no other byte: in a hundred made notebooks, and in real ones."""

from __future__ import annotations

import json
import os
import random
import re
from pathlib import Path

import nbformat
import pytest
from notebooks import below, cell_sources, fix, touched, try_one

FOLDER = "CLIPCHECK_NOTEBOOKS"  # real notebooks, which are copied and never written
HEAD = "import torch\nfrom torch import nn  # 😀 ü \u2028 </script> \\n \\u00e9\n"
MODEL = 'model = nn.LSTM(4, 8)\noptimizer = torch.optim.Adam(model.parameters())\nprint("a\\tb/c")\n'
LOOP = (
    "for batch in range(9):\n    optimizer.zero_grad()\n    model(torch.randn(5, 1, 4))[0].sum().backward()\n"
)
STEP = "    optimizer.step()  # Schritt für Schritt 😀"
CLIP = "    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)\n"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==\n"
AXES = {
    "indent": [None, 1, 2, 4, "\t"],
    "escapes": ["none", "ascii", "upper", "slash"],
    "newline": ["\n", "\r\n"],
    "final": ["", "\n", "\n\n"],
    "order": ["sorted", "given", "reversed"],
    "version": [(3, 0), (4, 4), (4, 5)],
    "source": ["list", "text", "list-of-halves"],
    "above": [
        "",
        "%matplotlib inline\n",
        "!pip install x > 'log'\n",
        "?torch\n",
        "%%time\n",
        "%%capture out\n",
    ],
    "below": ["", "\n", "\n\n# after 😀", "\n%timeit -n 1 model", "\nfiles = !ls"],
    "rows": ["\n", "\r\n"],  # the ends of the rows of the cell
    "outputs": [False, True],
}


def axes(number: int) -> dict[str, object]:
    """One choice on each axis: by chance, but each of an axis's values in turn."""
    chance = random.Random(number)
    return {
        name: values[(number + chance.randrange(2) * chance.randrange(len(values))) % len(values)]
        for name, values in AXES.items()
    }


def lines(source: str, how: str) -> str | list[str]:
    if how == "text":
        return source
    if how == "list":
        return (
            source.splitlines(keepends=True)
            if "\u2028" not in source
            else re.findall(r"[^\n]*\n|[^\n]+", source)
        )
    return [
        source[start : start + 7] for start in range(0, len(source), 7)
    ]  # nbformat joins whatever there is


def loop(chosen: dict[str, object], clip: str = "") -> str:
    return f"{chosen['above']}{LOOP}{clip}{STEP}{chosen['below']}".replace("\n", chosen["rows"])


def cells(chosen: dict[str, object]) -> list[tuple[str, str]]:
    """The cells of every made notebook: what they are, and their sources."""
    return [
        ("markdown", "# Title 😀\n\n![x](attachment:pixel.png) `optimizer.step()`"),
        ("code", "%%bash\necho 'optimizer.step()' \\\n  \"/tmp\""),
        ("code", HEAD + MODEL),
        ("raw", ""),
        ("code", loop(chosen)),
        ("code", ""),
        ("code", "model?\n"),
    ]


def notebook(chosen: dict[str, object]) -> dict[str, object]:
    version, minor = chosen["version"]
    made = []
    for number, (kind, source) in enumerate(cells(chosen)):
        cell: dict[str, object] = {"metadata": {"ü": [1.0, 1e-5, {}], "tags": []}, "cell_type": kind}
        if (version, minor) == (4, 5):
            cell["id"] = f"cell-{number}"
        if kind == "code":
            cell["outputs"] = outputs(version) if chosen["outputs"] else []
            cell["execution_count" if version == 4 else "prompt_number"] = number
        if kind == "code" and version == 3:
            cell |= {"language": "python", "collapsed": False}
        if kind == "markdown" and version == 4 and chosen["outputs"]:
            cell["attachments"] = {"pixel.png": {"image/png": PIXEL}}
        cell["input" if kind == "code" and version == 3 else "source"] = lines(source, chosen["source"])
        made.append(cell)
    holder = {"cells": made} if version == 4 else {"worksheets": [{"cells": made, "metadata": {}}]}
    metadata = {"language_info": {"name": "python", "version": "3.11"}} if version == 4 else {"name": "x"}
    return {"metadata": metadata, **holder, "nbformat": version, "nbformat_minor": minor}


def outputs(version: int) -> list[dict[str, object]]:
    text = '  optimizer.step()\x1b[0m "source": ["x"]\n'
    if version == 3:
        return [{"output_type": "stream", "stream": "stdout", "text": [text]}]
    return [
        {"output_type": "stream", "name": "stdout", "text": [text]},
        {"output_type": "display_data", "metadata": {}, "data": {"image/png": PIXEL, "application/json": {"source": "x"}}},
        {"output_type": "error", "ename": "E", "evalue": "", "traceback": ["\x1b[0;31mE\x1b[0m", "ü 😀"]},
    ]  # fmt: skip


def written(data: object, chosen: dict[str, object]) -> str:
    """The text of the file: laid out and spelt in one of the ways that programs have."""
    if chosen["order"] == "reversed":
        data = backwards(data)
    escapes = chosen["escapes"]
    text = json.dumps(
        data,
        indent=chosen["indent"],
        ensure_ascii=escapes in ("ascii", "upper"),
        sort_keys=chosen["order"] == "sorted",
        separators=(",", ":") if chosen["indent"] is None and chosen["outputs"] else None,
    )
    if escapes == "upper":
        text = re.sub(r"(?<!\\)((?:\\\\)*)\\u([0-9a-f]{4})", lambda m: f"{m[1]}\\u{m[2].upper()}", text)
    if escapes == "slash":
        text = text.replace("/", "\\/")
    return text.replace("\n", chosen["newline"]) + chosen["final"].replace("\n", chosen["newline"])


def backwards(data: object) -> object:
    if isinstance(data, dict):
        return {key: backwards(value) for key, value in reversed(data.items())}
    return [backwards(item) for item in data] if isinstance(data, list) else data


@pytest.mark.parametrize("number", range(120))
def test_no_other_byte_changes(tmp_path, number):
    chosen = axes(number)
    text = written(notebook(chosen), chosen)
    check_valid(text)
    path = tmp_path / "n.ipynb"
    path.write_bytes(text.encode())
    assert fix(path) == 1
    after = path.read_bytes().decode()
    ((old, new),) = touched(text, after)
    assert "".join(old.lines) == loop(chosen)
    assert "".join(new.lines) == loop(chosen, CLIP)
    check_valid(after)
    assert fix(path) == 0
    assert path.read_bytes().decode() == after


def test_every_way_to_write_one_is_tried():
    for name, values in AXES.items():
        assert {str(axes(number)[name]) for number in range(120)} == {str(value) for value in values}


def check_valid(text: str) -> None:
    nbformat.validate(nbformat.reads(text, as_version=nbformat.NO_CONVERT))


def test_the_measure_itself_sees_a_change():
    text = written(notebook(axes(0)), axes(0))
    assert [len(cell_sources(written(notebook(axes(number)), axes(number)))) for number in range(9)] == [
        7
    ] * 9
    assert touched(text, text) == []
    for wrong in (text + " ", text.replace('"tags"', '"tag"', 1), text.replace("1.0", "1.00", 1)):
        with pytest.raises(AssertionError):
            touched(text, wrong)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get(FOLDER), reason=f"{FOLDER} names no folder of notebooks")
def test_no_other_byte_changes_in_real_ones(tmp_path):
    outcomes = [try_one(path, tmp_path) for path in below(Path(os.environ[FOLDER]))]
    assert any(word.startswith("with") for word in outcomes), outcomes
