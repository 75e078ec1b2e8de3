"""The list of frameworks: on a terminal, as JSON, and in the README."""

from __future__ import annotations

import json

import frameworks_table
import pytest
from click.testing import CliRunner

from clipcheck import knowledge, listing
from clipcheck.cli import clipcheck
from clipcheck.knowledge import Framework

SHIPPED = listing.frameworks(knowledge.load())
MINE = """\
[framework]
name = "Mine"
checked = "mine 1.0, theirs 2 (run)"
recognised = "its `fit`"
fixed = "`limit=1.0` on `fit`"
tried = "read"
"""


@pytest.fixture
def rule(monkeypatch, tmp_path):
    """`clipcheck rule` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(clipcheck, ["rule", *arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


def test_what_nobody_trains_with_is_not_listed():
    assert {"Python", "Settings"} <= set(knowledge.load().frameworks)
    assert not {"Python", "Settings"} & {one.name for one in SHIPPED}


def test_every_framework_says_what_is_recognised_and_fixed():
    assert len({one.name for one in SHIPPED}) == len(SHIPPED) >= 10
    for one in SHIPPED:
        assert one.recognised and one.fixed and one.versions, one.name
        assert one.tried in {"run", "read"}
        assert "\n" not in one.recognised + one.fixed + one.checked


def test_all_rules_end_with_the_frameworks(rule):
    text = rule("--all")
    assert text.startswith("# CLP101: unclipped-step\n")
    table = text.split("\n# Frameworks\n", 1)[1]
    assert table == "\n" + rule("--frameworks")


def test_the_table_has_a_row_for_each(rule):
    table = rule("--frameworks")
    first = [line.split("  ")[0] for line in table.split("\n\n")]
    assert first[0] == "framework"
    assert first[1:-1] == [one.name for one in SHIPPED]
    assert "accelerate 1.15.0" in table
    assert all(len(line) <= 100 for line in table.splitlines())


def test_the_table_is_plain_text_where_nobody_looks(rule):
    assert "\x1b" not in rule("--frameworks")
    assert "\x1b[1m" in listing.to_text(SHIPPED, color=True)
    rule("--frameworks").encode("ascii")


@pytest.mark.parametrize("width", [20, 80, 100, 200])
def test_the_table_keeps_to_the_width(width):
    lines = listing.to_text(SHIPPED, width).split("\n\n", 1)[1].rpartition("\n\n")[0].splitlines()
    assert max(map(len, lines)) <= max(width, 80)


def test_the_frameworks_in_json(rule):
    told = json.loads(rule("--frameworks", "--output-format", "json"))
    assert [one["name"] for one in told] == [one.name for one in SHIPPED]
    for one in told:
        assert list(one) == ["name", "recognised", "fixed", "checked", "tried"]
        assert all(set(entry) == {"package", "version", "tried"} for entry in one["checked"])


def test_all_rules_in_json_are_rules_alone(rule):
    told = json.loads(rule("--all", "--output-format", "json"))
    assert all(set(one) == {"code", "name", "summary", "fix", "text"} for one in told)


def test_a_framework_of_the_project_is_listed(rule, tmp_path):
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / "mine.toml").write_text(MINE)
    (tmp_path / "clipcheck.toml").write_text('rules = ["known"]\n')
    told = {one["name"]: one for one in json.loads(rule("--frameworks", "--output-format", "json"))}
    assert told["Mine"] == {
        "name": "Mine",
        "recognised": "its `fit`",
        "fixed": "`limit=1.0` on `fit`",
        "checked": [
            {"package": "mine", "version": "1.0", "tried": "read"},
            {"package": "theirs", "version": "2", "tried": "run"},
        ],
        "tried": "read",
    }
    table = rule("--all")
    assert "`limit=1.0` on `fit`" in table
    assert "theirs 2 (run)" in table


@pytest.mark.parametrize(
    "arguments", [["--all", "--frameworks"], ["CLP101", "--frameworks"], ["CLP101", "--all"], []]
)
def test_one_thing_is_asked_for(arguments, capsys):
    from clipcheck.cli import main

    with pytest.raises(SystemExit) as left:
        main(["rule", *arguments])
    assert left.value.code == 2
    assert "or ask for --all or for --frameworks" in capsys.readouterr().err


# -- in the README -----------------------------------------------------------------------------------


def test_the_readme_has_the_table_of_today():
    """Renew it by `python tests/frameworks_table.py`."""
    text = frameworks_table.README.read_text("utf-8")
    assert text == frameworks_table.renewed(text)


def test_another_table_would_be_noticed():
    text = frameworks_table.README.read_text("utf-8")
    for old in ("accelerate 1.15.0", "| PyTorch |"):
        assert frameworks_table.renewed(text.replace(old, "x")) == text


@pytest.mark.parametrize("text", ["", frameworks_table.BEGIN, frameworks_table.END + frameworks_table.BEGIN])
def test_a_text_without_markers_is_refused(text):
    with pytest.raises(SystemExit, match="0 times"):
        frameworks_table.renewed(text)


def test_signs_of_markdown_are_escaped_outside_of_code():
    table = listing.to_markdown([Framework("a|b", "a 1", "x_y `x_y` *", "[z] `a|b`", "run")])
    assert r"| a\|b | x\_y `x_y` \* | \[z\] `a\|b` | a 1 | run |" in table
