"""Settings: what is quiet first, then what is refused, and by which words."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from clipcheck.config import SETTINGS, ConfigError, Settings, find_root, load


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def test_without_a_file_the_defaults_are_in_force(tmp_path):
    settings = load(tmp_path)
    assert settings == Settings(project_root=tmp_path)
    assert (settings.max_norm, settings.min_risk, settings.long_sequence, settings.deep) == (
        1.0,
        "medium",
        512,
        (20, 50),
    )
    assert {settings.source(name) for name in SETTINGS} == {"default"}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("[project]\nname = 'x'\n", id="no-table"),
        pytest.param("[tool.other]\nclipcheck = 1\n", id="other-table-mentions-us"),
        pytest.param("not toml at all", id="broken-but-not-ours"),
    ],
)
def test_a_pyproject_without_our_table_is_no_configuration(tmp_path, text):
    write(tmp_path / "pyproject.toml", text)
    assert load(tmp_path).config_file is None


def test_settings_survive_a_process_boundary(tmp_path):
    write(tmp_path / "clipcheck.toml", 'select = ["CLP1"]\nper-file-ignores = {"a/**" = ["CLP101"]}\n')
    settings = load(tmp_path)
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert hash(settings)


def test_every_kind_of_value_is_read(tmp_path):
    write(
        tmp_path / "pyproject.toml",
        """
        [tool.clipcheck]
        min-risk = "low"
        max-norm = 5
        select = ["CLP1", "CLP203"]
        exclude = ["old/"]
        deep = [10, 40]
        clip-functions = ["lib.limit"]
        rules = ["knowledge"]
        cache-dir = "../cache"
        show-fixes = true
        per-file-ignores = {"notebooks/**" = ["CLP1"]}
        """,
    )
    settings = load(tmp_path / "src")
    assert settings.min_risk == "low"
    assert settings.max_norm == 5.0
    assert settings.select == ("CLP1", "CLP203")
    assert settings.exclude == ("old/",)
    assert settings.deep == (10, 40)
    assert settings.rules == (tmp_path / "knowledge",)
    assert settings.cache_dir == tmp_path.parent / "cache"
    assert settings.show_fixes is True
    assert settings.per_file_ignores == (("notebooks/**", ("CLP1",)),)
    assert settings.source("min_risk") == str(tmp_path / "pyproject.toml")


def test_the_nearest_file_counts_and_clipcheck_toml_before_pyproject(tmp_path):
    write(tmp_path / "clipcheck.toml", 'min-risk = "none"\n')
    inner = tmp_path / "inner"
    write(inner / "pyproject.toml", '[tool.clipcheck]\nmin-risk = "low"\n')
    assert load(inner / "deep").min_risk == "low"
    write(inner / "clipcheck.toml", 'min-risk = "high"\n')
    assert load(inner).min_risk == "high"
    assert load(tmp_path).min_risk == "none"


def test_the_command_line_beats_the_file_and_none_is_not_given(tmp_path):
    write(tmp_path / "clipcheck.toml", 'min-risk = "low"\nselect = ["CLP1"]\n')
    settings = load(tmp_path, None, {"min_risk": "high", "select": None, "fix": True})
    assert (settings.min_risk, settings.select, settings.fix) == ("high", ("CLP1",), True)
    assert settings.source("min_risk") == "command line"
    assert settings.source("select") == str(tmp_path / "clipcheck.toml")


def test_a_named_file_replaces_the_search(tmp_path):
    write(tmp_path / "project" / "clipcheck.toml", 'min-risk = "low"\n')
    other = write(tmp_path / "elsewhere" / "strict.toml", 'min-risk = "none"\n')
    settings = load(tmp_path / "project", other)
    assert settings.min_risk == "none"
    assert settings.project_root == settings.pattern_base == tmp_path / "project"


def test_extend_reads_the_other_file_first(tmp_path):
    write(tmp_path / "base.toml", 'min-risk = "low"\nmax-norm = 0.5\nextend-exclude = ["a"]\n')
    write(
        tmp_path / "p" / "clipcheck.toml", 'extend = "../base.toml"\nmax-norm = 2\nextend-exclude = ["b"]\n'
    )
    settings = load(tmp_path / "p")
    assert (settings.min_risk, settings.max_norm, settings.extend_exclude) == ("low", 2.0, ("a", "b"))
    assert settings.source("min_risk") == str(tmp_path / "base.toml")
    assert (
        settings.source("extend_exclude") == f"{tmp_path / 'base.toml'}, {tmp_path / 'p' / 'clipcheck.toml'}"
    )


def test_a_circle_of_extend_is_named(tmp_path):
    write(tmp_path / "base.toml", 'extend = "clipcheck.toml"\n')
    write(tmp_path / "clipcheck.toml", 'extend = "base.toml"\n')
    with pytest.raises(ConfigError, match="leads back"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param("min-rsk = 'low'", ["min-rsk", "did you mean `min-risk`"], id="misspelt"),
        pytest.param("min_risk = 'low'", ["min_risk", "`min-risk`"], id="underscore"),
        pytest.param("zzzzzzzz = 1", ["zzzzzzzz", "known settings"], id="nothing-near"),
        pytest.param("project-root = '.'", ["project-root"], id="internal-name"),
        pytest.param("min-risk = 'huge'", ["min-risk", "one of none, low, medium, high"], id="choice"),
        pytest.param("min-risk = 1", ["min-risk", "one of"], id="choice-of-other-type"),
        pytest.param("min-risk = ['low']", ["min-risk", "one of"], id="choice-as-list"),
        pytest.param("max-norm = 0", ["max-norm", "above 0"], id="zero"),
        pytest.param("max-norm = inf", ["max-norm", "above 0"], id="infinite"),
        pytest.param("max-norm = nan", ["max-norm", "above 0"], id="nan"),
        pytest.param("max-norm = true", ["max-norm", "above 0"], id="boolean-number"),
        pytest.param("fix = 'yes'", ["fix", "true or false"], id="boolean"),
        pytest.param("select = 'CLP1'", ["select", "list"], id="list"),
        pytest.param("select = ['E501']", ["select", "CLP101"], id="code"),
        pytest.param("jobs = 0", ["jobs", "from 1 up"], id="jobs"),
        pytest.param("deep = [50, 20]", ["deep", "smaller one first"], id="descending"),
        pytest.param("deep = [1, 2, 3]", ["deep", "two whole numbers"], id="three"),
        pytest.param("per-file-ignores = ['a']", ["per-file-ignores", "table"], id="table"),
        pytest.param("output-format = 'xml'", ["output-format", "sarif"], id="format"),
        pytest.param("extend = 'absent.toml'", ["`extend`", "absent.toml: no such file"], id="absent"),
        pytest.param(
            "[tool.clipcheck]\nfix = true", ["stand here without `[tool.clipcheck]`"], id="pyproject's"
        ),
        pytest.param(
            "per-file-ignores = {a = ['E5']}", ["per-file-ignores", '{ "lab/**" = ["CLP1"] }'], id="row"
        ),
        pytest.param("shard = '0/2'", ["`shard` must be", 'such as "2/8"'], id="shard"),
        pytest.param("a = ", ["not valid TOML"], id="toml"),
    ],
)
def test_what_cannot_be_used_is_named_with_file_and_key(tmp_path, line, words):
    file = write(tmp_path / "clipcheck.toml", line + "\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert str(file) in message


def test_a_wrong_override_names_the_command_line():
    with pytest.raises(ConfigError, match="command line: `max-norm` must be a number above 0"):
        load(Path(), None, {"max_norm": -1.0})
    with pytest.raises(ConfigError, match="did you mean `min_risk`"):
        load(Path(), None, {"min_rsk": "low"})


@pytest.mark.parametrize(
    ("select", "ignore", "wanted", "unwanted"),
    [
        pytest.param((), (), ["CLP101", "CLP901"], [], id="all"),
        pytest.param(("CLP1",), (), ["CLP101"], ["CLP201"], id="select"),
        pytest.param((), ("CLP2",), ["CLP101"], ["CLP201"], id="ignore"),
        pytest.param(("CLP1",), ("CLP104",), ["CLP101"], ["CLP104"], id="longer-ignore"),
        pytest.param(("CLP104",), ("CLP1",), ["CLP104"], ["CLP101", "CLP201"], id="longer-select"),
        pytest.param(("CLP1",), ("CLP1",), [], ["CLP101"], id="tie"),
    ],
)
def test_the_longest_prefix_decides(tmp_path, select, ignore, wanted, unwanted):
    settings = Settings(select=select, ignore=ignore, project_root=tmp_path)
    assert all(settings.wants(code, tmp_path / "a.py") for code in wanted)
    assert not any(settings.wants(code, tmp_path / "a.py") for code in unwanted)


def test_per_file_ignores_count_from_the_configuration(tmp_path):
    write(tmp_path / "clipcheck.toml", 'per-file-ignores = {"lab/**" = ["CLP1"]}\n')
    settings = load(tmp_path)
    assert not settings.wants("CLP101", tmp_path / "lab" / "x" / "a.py")
    assert settings.wants("CLP201", tmp_path / "lab" / "a.py")
    assert settings.wants("CLP101", tmp_path / "src" / "a.py")
    assert settings.wants("CLP101", tmp_path.parent / "lab" / "a.py")


def test_the_root_is_the_nearest_mark(tmp_path):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    assert find_root(inner) == tmp_path
    write(tmp_path / "a" / "pyproject.toml", "")
    assert find_root(inner) == tmp_path / "a"
