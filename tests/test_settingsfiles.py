from __future__ import annotations

import pytest

from clipcheck.settingsfiles import MAX_BYTES, Setting, SettingsFiles, parse


def plain(setting):
    """A setting as Python would load it, what is not known as `...`."""
    if setting.entries is not None:
        return {name: plain(value) for name, value in setting.entries}
    if setting.items is not None:
        return [plain(value) for value in setting.items]
    return setting.value if setting.known else ...


def at(setting, *keys):
    for key in keys:
        setting = setting.get(key)
    return setting


DEEP = "a: " + "[" * 60 + "]" * 60
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in ("ab", "bc", "cd", "de", "ef")
)


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        pytest.param("", ".yaml", id="empty"),
        pytest.param("a: [1\n", ".yaml", id="open bracket"),
        pytest.param("a: b: c\n", ".yaml", id="two colons"),
        pytest.param("a: 1\n---\nb: 2\n", ".yaml", id="two documents"),
        pytest.param("a: *b\n", ".yaml", id="an anchor that is not there"),
        pytest.param("a: &a [*a]\n", ".yaml", id="a list inside itself"),
        pytest.param("a: \x00\n", ".yaml", id="a control character"),
        pytest.param(DEEP, ".yaml", id="too deep"),
        pytest.param(LAUGHS, ".yaml", id="anchors that grow"),
        pytest.param("a: " + "1" * MAX_BYTES, ".yaml", id="too large"),
        pytest.param('{"a": 1', ".json", id="JSON without an end"),
        pytest.param('{"a": hello}', ".json", id="JSON with a bare word"),
        pytest.param("a = \n", ".toml", id="TOML without a value"),
    ],
)
def test_what_cannot_be_read_is_none(text, suffix):
    assert parse(text, suffix) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-1", -1),
        ("0.5", 0.5),
        ("1e-3", 1e-3),
        ("1.0e+3", 1000.0),
        ("null", None),
        ("~", None),
        ("", None),
        ("true", True),
        ("off", False),
        ("'1'", "1"),
        ('"1e-3"', "1e-3"),
        ("norm", "norm"),
        ("[1, 2.5]", [1, 2.5]),
        ("{b: 1}", {"b": 1}),
        ("2026-01-01", ...),
        ("!!python/object/apply:os.system [ls]", ["ls"]),
        ("!!python/name:os.system", ...),
        ("!custom 1", ...),
    ],
)
def test_values_of_yaml(text, value):
    assert plain(parse(f"a: {text}\n", ".yaml")) == {"a": value}


def test_rows_of_yaml():
    found = parse("# settings\ntrain:\n  lr: 0.1\n\n  clip: 1.0\nsteps: 5\n", ".yaml")
    assert (at(found, "train", "clip").row, at(found, "steps").row) == (5, 6)


def test_merge_keys_keep_the_row_of_what_they_bring():
    found = parse("base: &b\n  clip: 1.0\n  lr: 1\ntrain:\n  <<: *b\n  lr: 2\n", ".yml")
    assert plain(found)["train"] == {"clip": 1.0, "lr": 2}
    assert at(found, "train", "clip").row == 2


def test_json_with_tabs_and_small_numbers():
    found = parse(
        '{\n\t"train": {\n\t\t"clip": 1e-2, "on": true, "name": "a\\/b", "none": null\n\t}\n}\n', ".json"
    )
    assert plain(found) == {"train": {"clip": 0.01, "on": True, "name": "a/b", "none": None}}
    assert at(found, "train", "clip").row == 3


def test_rows_of_toml():
    found = parse('lr = 1\n\n[train]\n"clip" = 1.0\nwhen = 2026-01-01\n[train.more]\nx = [1]\n', ".toml")
    assert plain(found) == {"lr": 1, "train": {"clip": 1.0, "when": ..., "more": {"x": [1]}}}
    assert (at(found, "train", "clip").row, at(found, "train", "more").row) == (4, 6)


# -- where files are looked for ------------------------------------------------------------------------------


def files(*names, root="/p"):
    read = []

    def text(name):
        read.append(name)
        return f"at: {name}\n" if name in names else None

    return SettingsFiles(root, text), read


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("c.yaml", "/p/src/c.yaml"),
        ("conf/c.yaml", "/p/conf/c.yaml"),
        ("./conf/../conf/c.yaml", "/p/conf/c.yaml"),
        ("../conf/c.yaml", "/p/conf/c.yaml"),
        ("/p/conf/c.yaml", "/p/conf/c.yaml"),
        ("../../outside.yaml", None),
        ("/outside.yaml", None),
        ("/p2/c.yaml", None),
        ("missing.yaml", None),
        ("c.txt", None),
        ("c\0.yaml", None),
        ("", None),
    ],
)
def test_a_path_is_looked_for_up_to_the_root(path, found):
    known, read = files("/p/src/c.yaml", "/p/conf/c.yaml", "/outside.yaml", "/p2/c.yaml")
    result = known.of("/p/src/train.py", path)
    assert (result[0] if result else None) == found
    assert all(name.startswith("/p/") for name in read)


def test_the_nearest_file_is_meant_and_read_once():
    known, read = files("/p/a/c.yaml", "/p/c.yaml")
    for _ in range(2):
        assert known.of("/p/a/b/train.py", "c.yaml")[0] == "/p/a/c.yaml"
    assert read == ["/p/a/b/c.yaml", "/p/a/c.yaml"]


def test_without_a_project_nothing_is_read():
    assert SettingsFiles().of("/p/train.py", "c.yaml") is None
    known, read = files("/p/c.yaml")
    assert known.of("/elsewhere/train.py", "c.yaml") is None
    assert read == []


def test_a_setting_has_no_entries_of_its_own():
    assert Setting(1, 2.0).get("clip") is None
