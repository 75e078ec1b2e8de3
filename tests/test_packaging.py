"""What is shipped: nothing forgotten, the same from every kind of install."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from clipcheck import __version__, knowledge

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def ours(*patterns: str) -> set[str]:
    found = {path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern)}
    return {name for name in found if "__pycache__" not in name}


def shipped() -> set[str]:
    """Every file that an installed clipcheck needs, by its name in the wheel."""
    code = ours("clipcheck/**/*.py", "clipcheck/py.typed", "clipcheck/verify/showing/page.html")
    rules = ours("rules/*.md", "rules/*.toml", "rules/*.py")
    return code | {f"clipcheck/{name}" for name in rules} | {"clipcheck/rules/parsed.py"}


def test_every_package_is_listed():
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    folders = {Path(name).parent.as_posix().replace("/", ".") for name in ours("clipcheck/**/__init__.py")}
    # `inject` is a folder for PYTHONPATH, shipped as data.
    assert listed == {name for name in folders if not name.endswith(".inject")} | {"clipcheck.rules"}


def test_the_knowledge_is_found_as_a_resource():
    from importlib.resources import files

    assert (files("clipcheck.rules") / "CLP101.md").is_file()


def built() -> ModuleType:
    """The module that the build writes."""
    module = ModuleType("clipcheck.rules.parsed")
    exec(runpy.run_path(str(ROOT / "setup.py"))["parsed"](), vars(module))
    return module


def test_what_the_build_parses_is_what_the_files_say(monkeypatch):
    monkeypatch.setitem(sys.modules, "clipcheck.rules.parsed", None)  # as if it were not there
    from_files = knowledge.load()
    monkeypatch.setitem(sys.modules, "clipcheck.rules.parsed", built())
    monkeypatch.setattr(knowledge, "_parsed", None)
    assert knowledge.load() == from_files


def test_what_was_built_of_other_files_does_not_count(monkeypatch):
    old = built()
    old.DIGEST, old.FILES = "0", []
    monkeypatch.setitem(sys.modules, "clipcheck.rules.parsed", old)
    assert "torch.nn.LSTM" in knowledge.load().classes


@pytest.mark.slow
def test_wheel_and_sdist_hold_everything(tmp_path):
    source = tmp_path / "source"
    skip = shutil.ignore_patterns(".git", ".venv", "*.egg-info", "__pycache__", ".*_cache", "build", "dist")
    shutil.copytree(ROOT, source, ignore=skip)
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        str(tmp_path / "dist"),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    (wheel,) = (tmp_path / "dist").glob("*.whl")
    (sdist,) = (tmp_path / "dist").glob("*.tar.gz")
    assert f"-{__version__}-" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    assert names == shipped()
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    needed = ours("clipcheck/**/*.py", "rules/*") | {"LICENSE", "README.md", "pyproject.toml", "setup.py"}
    assert needed <= packed


def test_the_readme_names_the_two_commands():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert (
        "python -m venv .venv && .venv/bin/pip install . && .venv/bin/clipcheck fixtures/char-lstm/before"
        in readme
    )
    assert ".venv/bin/pip install -e '.[dev]' && .venv/bin/python -m pytest" in readme


def test_the_hooks_run_commands_that_there_are():
    hooks = (ROOT / ".pre-commit-hooks.yaml").read_text("utf-8")
    assert re.findall(r"^- id: (.+)$", hooks, re.MULTILINE) == ["clipcheck", "clipcheck-fix"]
    from clipcheck.checking import check

    options = {option for parameter in check.params for option in parameter.opts}
    for entry in re.findall(r"^  entry: clipcheck check (.+)$", hooks, re.MULTILINE):
        assert set(entry.split()) <= options


def test_the_changelog_has_this_version():
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_readme_shows_what_the_tool_prints(monkeypatch):
    from click.testing import CliRunner

    from clipcheck.cli import clipcheck

    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "100")
    shown = CliRunner().invoke(clipcheck, ["fixtures/char-lstm/before", "--no-cache"])
    assert shown.exit_code == 1
    (sample,) = re.findall(
        r"^```text\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert sample == shown.output


def test_the_module_map_names_every_module_and_no_other():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8").split("\n## The way through\n")[1].split("\n## ")[0]
    rows = [line.split("|")[2] for line in text.splitlines() if line.startswith("|")]
    named = {name for row in rows for name in re.findall(r"`([\w/.]+)`", row)}
    packages = {f"{name.split('/')[1]}/" for name in ours("clipcheck/*/__init__.py")}
    packages |= {f"verify/{name}/" for name in ("observing", "showing", "inject")}
    assert named == {Path(name).name for name in ours("clipcheck/*.py")} - {"__init__.py"} | packages


def test_the_public_names():
    import clipcheck

    assert sorted(clipcheck.__all__) == ["__version__", "check", "fix", "watch"]
    import clipcheck.fixing  # a module must not take the place of the function

    assert callable(clipcheck.check)
    assert callable(clipcheck.fix)
