"""Which version of a package a project asks for."""

from __future__ import annotations

import pytest

from clipcheck.pins import Pin, Pins, pins_in


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("requirements.txt", "torch\ndeepspeed\n", id="no version"),
        pytest.param("requirements.txt", "# deepspeed==0.14.5\n", id="a comment"),
        pytest.param("requirements.txt", "my-deepspeed==0.14.5\ndeepspeed-mii==0.1\n", id="other packages"),
        pytest.param("requirements.txt", "git+https://example.org/deepspeed@v0.14.0\n", id="an address"),
        pytest.param("requirements.txt", "deepspeed!=0.14.5\n", id="one left out"),
        pytest.param("setup.py", 'print("deepspeed 0.14.5")\n', id="prose"),
        pytest.param("uv.lock", '[[package]]\nname = "torch"\nversion = "2.1.0"\n', id="a lock of another"),
    ],
)
def test_no_pin(name, text):
    assert pins_in(name, text, "deepspeed") == []


@pytest.mark.parametrize(
    ("name", "text", "bounds"),
    [
        pytest.param("requirements.txt", "torch\ndeepspeed==0.14.5  # old\n", ((0, 14, 5), (0, 14, 5), False), id="exact"),
        pytest.param("requirements.txt", "deepspeed[sd]==0.14.5; sys_platform\n", ((0, 14, 5), (0, 14, 5), False), id="extras"),
        pytest.param("requirements.txt", "DeepSpeed >= 0.10, < 0.19\n", ((0, 10), (0, 19), True), id="a range"),
        pytest.param("requirements.txt", "deepspeed<=0.19.0\n", (None, (0, 19, 0), False), id="at most"),
        pytest.param("requirements.txt", "deepspeed==0.14.*\n", ((0, 14), (0, 15), True), id="a star"),
        pytest.param("requirements.txt", "deepspeed~=0.14.2\n", ((0, 14, 2), (0, 15), True), id="compatible"),
        pytest.param("pyproject.toml", 'dependencies = ["deepspeed>=0.19.4", "torch"]\n', ((0, 19, 4), None, False), id="pyproject"),
        pytest.param("pyproject.toml", 'deepspeed = "^0.14.1"\n', ((0, 14, 1), (0, 15), True), id="poetry"),
        pytest.param("pyproject.toml", 'deepspeed = "0.14.1"\n', ((0, 14, 1), (0, 14, 1), False), id="poetry, exact"),
        pytest.param("setup.py", 'install_requires=["torch", "deepspeed >= 0.9.2"]\n', ((0, 9, 2), None, False), id="setup.py"),
        pytest.param("environment.yml", "  - deepspeed=0.12.3\n", ((0, 12, 3), (0, 12, 3), False), id="conda"),
        pytest.param("uv.lock", '[[package]]\nname = "deepspeed"\nversion = "0.18.9"\n', ((0, 18, 9), (0, 18, 9), False), id="lock"),
    ],
)  # fmt: skip
def test_pin(name, text, bounds):
    (pin,) = pins_in(name, text, "deepspeed")
    assert (pin.lowest, pin.highest, pin.open) == bounds


def test_the_row_and_the_text_of_a_pin():
    (pin,) = pins_in("requirements.txt", "torch\n\ndeepspeed == 0.14.5\n", "deepspeed")
    assert (pin.row, pin.text) == (3, "deepspeed==0.14.5")


def test_bounds_are_compared_place_by_place():
    pin = Pin("r.txt", 1, "", (0, 9), (0, 19), open=True)
    assert pin.at_most("0.19.0")
    assert not pin.at_most("0.18.10")
    assert pin.at_least("0.9.0")
    assert not pin.at_least("0.10")
    assert not Pin("r.txt", 1, "", (0, 9)).at_most("9")


def test_a_pin_is_before_a_version_where_all_that_it_allows_is():
    assert Pin("r.txt", 1, "", (2, 3), (2, 3, 9)).is_before("2.4")
    assert Pin("r.txt", 1, "", None, (2, 4), open=True).is_before("2.4")
    assert not Pin("r.txt", 1, "", None, (2, 4)).is_before("2.4")
    assert not Pin("r.txt", 1, "", (2, 3)).is_before("2.4")
    assert not Pin("r.txt", 1, "", None, (0, 9)).at_least("0.1")


def test_the_nearest_folder_decides(tmp_path):
    (tmp_path / "requirements.txt").write_text("deepspeed==0.14.5\n", encoding="utf-8")
    (tmp_path / "new" / "requirements").mkdir(parents=True)
    (tmp_path / "new" / "requirements" / "train.txt").write_text("deepspeed==0.19.8\n", encoding="utf-8")
    pins = _pins(tmp_path)
    assert pins.version_of("deepspeed", str(tmp_path / "old" / "train.py")).text == "deepspeed==0.14.5"
    assert (
        pins.version_of("deepspeed", str(tmp_path / "new" / "src" / "train.py")).text == "deepspeed==0.19.8"
    )
    assert pins.version_of("torch", str(tmp_path / "new" / "train.py")) is None


def test_a_lock_is_surer_than_a_range_and_two_that_differ_say_nothing(tmp_path):
    (tmp_path / "pyproject.toml").write_text('dependencies = ["deepspeed>=0.10"]\n', encoding="utf-8")
    (tmp_path / "uv.lock").write_text('name = "deepspeed"\nversion = "0.18.9"\n', encoding="utf-8")
    assert _pins(tmp_path).version_of("deepspeed", str(tmp_path / "train.py")).text == "deepspeed==0.18.9"
    (tmp_path / "requirements.txt").write_text("deepspeed==0.19.8\n", encoding="utf-8")
    assert _pins(tmp_path).version_of("deepspeed", str(tmp_path / "train.py")) is None


def test_nothing_outside_the_project_is_read(tmp_path):
    (tmp_path / "requirements.txt").write_text("deepspeed==0.14.5\n", encoding="utf-8")
    root = tmp_path / "project"
    root.mkdir()
    assert _pins(root).version_of("deepspeed", str(root / "train.py")) is None
    assert Pins().version_of("deepspeed", str(root / "train.py")) is None


def _pins(root):
    def read(name):
        with open(name, encoding="utf-8") as stream:
            return stream.read()

    return Pins(str(root), read)
