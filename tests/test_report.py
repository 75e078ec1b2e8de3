"""Reports: the quiet ones first, then the contract's field names and the look of the text."""

from __future__ import annotations

import json
import re
import sys

import pytest

from clipcheck import output
from clipcheck.config import FORMATS
from clipcheck.findings import Edit, Evidence, Failure, Finding, Fix, Position, Report, Sight
from clipcheck.report import Layout, renderer, text

SOURCE = "import torch\nfor batch in data:\n    loss.backward()\n    optimizer.step()\n"
SIGHT = Sight(steps=4, clipped=1, low_risk=1, reported=1, unknown=1)


def finding(filename, **changes):
    values = {
        "code": "CLP101",
        "name": "unclipped-step",
        "message": "`optimizer.step()` uses gradients that nothing has clipped",
        "filename": str(filename),
        "start": Position(4, 5),
        "end": Position(4, 21),
        "risk": "high",
        "evidence": (Evidence(str(filename), 1, "LSTM made here"),),
        "fix": Fix("safe", "Clip the norm", (Edit("    clip()\n", Position(4, 1), Position(4, 1)),)),
    }
    return Finding(**{**values, **changes})


@pytest.fixture
def train(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(SOURCE, "utf-8")
    return path


def shown(report, folder, **layout):
    return renderer("text")(report, Layout(folder=folder, **layout))


def test_nothing_found_is_one_line_that_proves_sight(tmp_path):
    report = Report(sight=Sight(steps=3, clipped=2, low_risk=1))
    assert shown(report, tmp_path) == "3 steps seen: 2 clipped, 1 low-risk, 0 reported, 0 unknown\n"
    assert shown(Report(sight=Sight(1, 1)), tmp_path).startswith("1 step seen: 1 clipped")
    assert shown(report, tmp_path, quiet=True) == ""


def test_nothing_found_is_an_empty_list_in_json():
    assert renderer("json")(Report(), Layout()) == "[]\n"


def test_json_has_the_fields_of_the_contract(train):
    report = Report((finding(train), finding(train, fix=None, evidence=(), cell=2)), (), SIGHT)
    first, second = json.loads(renderer("json")(report, Layout()))
    assert first == {
        "code": "CLP101",
        "name": "unclipped-step",
        "message": "`optimizer.step()` uses gradients that nothing has clipped",
        "filename": str(train),
        "location": {"row": 4, "column": 5},
        "end_location": {"row": 4, "column": 21},
        "cell": None,
        "risk": "high",
        "evidence": [{"filename": str(train), "row": 1, "message": "LSTM made here"}],
        "fix": {
            "applicability": "safe",
            "message": "Clip the norm",
            "edits": [
                {
                    "content": "    clip()\n",
                    "location": {"row": 4, "column": 1},
                    "end_location": {"row": 4, "column": 1},
                }
            ],
        },
        "url": None,
    }
    assert (second["fix"], second["evidence"], second["cell"]) == (None, [], 2)


def test_the_text_report(train):
    report = Report((finding(train),), (), SIGHT)
    assert shown(report, train.parent) == (
        "train.py:4:5: CLP101 unclipped-step [high risk]\n"
        "  `optimizer.step()` uses gradients that nothing has clipped\n"
        "   3 | loss.backward()\n"
        "   4 | optimizer.step()\n"
        "     | ^^^^^^^^^^^^^^^^\n"
        "  = train.py:1: LSTM made here\n"
        "  fix (safe, --fix writes it): Clip the norm\n"
        "\n"
        "1 finding (1 fixable with --fix)\n"
        "4 steps seen: 1 clipped, 1 low-risk, 1 reported, 1 unknown\n"
    )


def test_unsafe_fixes_and_none_are_told_apart(train):
    unsafe = Fix("unsafe", "Set it", ())
    report = Report((finding(train), finding(train, fix=unsafe), finding(train, fix=None)), (), SIGHT)
    told = shown(report, train.parent)
    assert "fix (unsafe, needs --unsafe-fixes): Set it" in told
    assert "3 findings (1 fixable with --fix, 1 more with --fix --unsafe-fixes)" in told
    told = shown(Report((finding(train, fix=unsafe),), (), SIGHT), train.parent)
    assert "1 finding (1 fixable with --fix --unsafe-fixes)" in told


def caret(told):
    """The text above the carets."""
    lines = told.splitlines()
    at = next(index for index, line in enumerate(lines) if set(line.split("| ")[-1].strip()) == {"^"})
    return lines[at - 1], lines[at]


@pytest.mark.parametrize(
    ("source", "start", "end", "marked"),
    [
        pytest.param("\tif x:\n\t\toptimizer.step()\n", (2, 3), (2, 19), "optimizer.step()", id="tabs"),
        pytest.param("a = 'é'; opt.step(); b\n", (1, 10), (1, 20), "opt.step()", id="accents"),
        pytest.param("opt.step(\n    closure,\n)\n", (1, 1), (3, 2), "opt.step(", id="several-rows"),
        pytest.param("opt.step()", (1, 1), (1, 11), "opt.step()", id="no-last-newline"),
        pytest.param("x\r\nopt.step()\r\n", (2, 1), (2, 11), "opt.step()", id="crlf"),
        pytest.param("x = 1;" + " " * 200 + "opt.step()\n", (1, 207), (1, 217), "opt.step()", id="far-right"),
    ],
)
def test_carets_stand_under_the_statement(tmp_path, source, start, end, marked):
    path = tmp_path / "a.py"
    path.write_bytes(source.encode())
    item = finding(path, start=Position(*start), end=Position(*end), evidence=())
    code, carets = caret(shown(Report((item,)), tmp_path, width=80))
    first = carets.index("^")
    assert code[first : len(carets)] == marked
    assert len(code) <= 80


def test_wide_characters_take_two_columns(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("x = '梯度'; opt.step()\n", "utf-8")
    item = finding(path, start=Position(1, 11), end=Position(1, 21))
    code, carets = caret(shown(Report((item,)), tmp_path))
    assert carets.index("^") == code.index("opt") + 2


def test_long_rows_are_cut_at_the_width(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("opt.step(" + "x, " * 100 + ")\n", "utf-8")
    item = finding(
        path, start=Position(1, 1), end=Position(1, 311), message="word " * 60, evidence=(), fix=None
    )
    told = shown(Report((item,)), tmp_path, width=60, quiet=True)
    assert max(map(len, told.splitlines())) <= 60
    assert "..." in told


@pytest.mark.parametrize("content", [None, b"x = 1\n", b"\xff\xfe\x00"], ids=["gone", "shorter", "binary"])
def test_a_file_that_is_no_longer_what_it_was_costs_the_frame_only(tmp_path, content):
    path = tmp_path / "a.py"
    if content is not None:
        path.write_bytes(content)
    told = shown(Report((finding(path),)), tmp_path)
    assert "a.py:4:5: CLP101" in told
    assert "^" not in told


def test_standard_input_is_framed_from_memory(tmp_path):
    path = str(tmp_path / "stdin.py")
    told = shown(Report((finding(path),)), tmp_path, sources={path: SOURCE})
    assert "^^^^" in told


def test_control_sequences_of_the_project_never_reach_the_terminal(tmp_path):
    path = tmp_path / "a\x1b[2Jb.py"
    path.write_text("opt.step()  # \x1b]0;owned\x07 \u202e \x9b31m\n", "utf-8")
    item = finding(path, start=Position(1, 1), end=Position(1, 11), message="\x1b[31mred", name="n")
    report = Report((item,), (Failure(str(path), "bad\x1b", 1, 1, "\x1b[0m"),))
    told = shown(report, tmp_path) + text.failures(report.failures, Layout(folder=tmp_path))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", told)
    assert "\\x1b[2J" in told


def test_colours_only_where_asked_and_the_text_is_the_same(train):
    report = Report((finding(train),), (), SIGHT)
    plain, coloured = shown(report, train.parent), shown(report, train.parent, color=True)
    assert "\x1b[" not in plain
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_an_ascii_stream_gets_escapes(tmp_path):
    path = tmp_path / "ü.py"
    path.write_text("opt.step('é')\n", "utf-8")
    item = finding(path, start=Position(1, 1), end=Position(1, 14), message="naïve")
    told = shown(Report((item,)), tmp_path, encoding="ascii")
    assert told.isascii()
    assert "na\\xefve" in told


@pytest.mark.skipif(sys.platform == "win32", reason="file names are text there")
def test_a_file_name_that_is_no_text(tmp_path):
    name = str(tmp_path / "a\udcff.py")
    report = Report((finding(name),))
    assert "a\\udcff.py" in shown(report, tmp_path)
    assert json.loads(renderer("json")(report, Layout()))[0]["filename"] == name


def test_files_outside_the_folder_keep_their_full_name(train, tmp_path):
    other = tmp_path / "elsewhere"
    assert shown(Report((finding(train),)), other).startswith(str(train))


def test_failures_have_line_and_caret(tmp_path):
    layout = Layout(folder=tmp_path)
    items = (
        Failure(str(tmp_path / "a.py"), "cannot be parsed by Python 3.11: invalid syntax", 2, 7, "\tx = = 1"),
        Failure(str(tmp_path / "b.py"), "cannot be read"),
        Failure(str(tmp_path / "c.py"), "was never closed", 1, 99, "f("),
    )
    assert text.failures(items, layout) == (
        "error: a.py:2:7: cannot be parsed by Python 3.11: invalid syntax\n"
        "  x = = 1\n"
        "       ^\n"
        "error: b.py: cannot be read\n"
        "error: c.py:1:99: was never closed\n"
        "  f(\n"
        "    ^\n"
    )


def test_statistics(train):
    other = finding(train, code="CLP203", name="clip-before-unscale", fix=None)
    report = Report((other, finding(train), finding(train)), (), SIGHT)
    assert (
        text.statistics(report)
        == "2  CLP101  unclipped-step (2 with a fix)\n1  CLP203  clip-before-unscale\n"
    )
    assert text.statistics(report) in shown(report, train.parent, statistics=True)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_of_the_contract_is_there(name):
    assert callable(renderer(name))


@pytest.mark.parametrize(
    ("environment", "colored"),
    [
        pytest.param({}, True, id="terminal"),
        pytest.param({"NO_COLOR": "1"}, False, id="no-color"),
        pytest.param({"NO_COLOR": ""}, True, id="no-color-empty"),  # no-color.org: present and not empty
        pytest.param({"CI": "true"}, False, id="ci"),
        pytest.param({"TERM": "dumb"}, False, id="dumb"),
    ],
)
def test_colours_are_for_people_at_a_terminal(environment, colored, monkeypatch):
    for name in ("NO_COLOR", "CI", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert output._layout(None, "utf-8").color is colored
    monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    assert not output._layout(None, "utf-8").color
