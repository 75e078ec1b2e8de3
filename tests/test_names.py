"""Every name that the knowledge relies on is there in the framework that is installed, and so is every argument.

Each framework is looked at in a process of its own: some cannot be imported beside each other.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import pytest
import running

from clipcheck import knowledge

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROBE = ROOT / "tests" / "naming_probe.py"
FILES = {path.stem: path for path in sorted((ROOT / "rules").glob("*.toml"))}
DATA = {name: tomllib.loads(path.read_text("utf-8")) for name, path in FILES.items()}
TRAINED = [name for name, data in DATA.items() if data["framework"].get("listed", True)]
# Read by Keras, which otherwise takes whichever backend it was told to use on this machine.
ENVIRONMENT = {"KERAS_BACKEND": "torch", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}

frameworks = pytest.mark.parametrize("name", TRAINED)


def versions(name: str) -> tuple[tuple[str, str, str], ...]:
    """The packages that a knowledge file was checked with, by their plain names, and how each was tried."""
    about = knowledge.Framework(**DATA[name]["framework"])
    return tuple((package.partition("[")[0], version, how) for package, version, how in about.versions)


def installed(package: str) -> str | None:
    """The version of a package that is installed, if it is."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def required() -> bool:
    """Whether nothing may be missing, as in CI."""
    return bool(os.environ.get(running.REQUIRED))


@cache
def probed(path: Path) -> dict[str, Any]:
    """What the probe says of a knowledge file."""
    done = subprocess.run(
        [sys.executable, str(PROBE), str(path)],
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@frameworks
def test_the_installed_version_is_the_one_that_was_checked(name):
    for package, version, tried in versions(name):
        found = installed(package)
        if found is None and tried == "run" and required():
            pytest.fail(f"{package} is not installed")
        if found is None:
            continue
        same = found.partition("+")[0] == version
        if not same and required():
            pytest.fail(f"{package} {found} is installed, {version} was checked: look, then change `checked`")
        if not same:
            pytest.skip(f"{package} {found} is installed, {version} was checked")


@pytest.mark.slow
@frameworks
def test_every_name_is_there(name):
    if not any(installed(package) for package, *_ in versions(name)):
        assert not (required() and DATA[name]["framework"]["tried"] == "run"), "not installed"
        pytest.skip(f"none of {', '.join(package for package, *_ in versions(name))} is installed")
    told = probed(FILES[name])
    assert told["problems"] == []
    assert told["looked_up"] > 0


def test_what_stands_in_a_file_is_what_is_shipped():
    shipped = {item.name for item in resources.files("clipcheck.rules").iterdir()}
    assert {path.name for path in FILES.values()} <= shipped


def packages() -> dict[str, str]:
    """What the extra `frameworks` installs, by package, each with its version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"]
    pinned = (
        re.match(r"([\w.-]+)(?:\[\w+\])?==([\w.]+)", line) for line in (*extras["frameworks"], *extras["dev"])
    )
    return {found[1]: found[2] for found in pinned if found}


@frameworks
def test_what_is_run_is_installed_in_the_version_that_is_checked(name):
    checked = {package: version for package, version, tried in versions(name) if tried == "run"}
    assert {one: version for one, version in packages().items() if one in checked} == checked


# -- the probe itself --------------------------------------------------------------------------------

MODULE = """
class Trainer:
    def __init__(self, model, *, limit=None): ...
    def fit(self, data): ...
class Bare(Trainer):
    def __init__(self, **options): ...
class Fitter:
    def __init__(self, model, settings=None): ...
class Step:
    def run(self, optimizer, closure=None): ...
def clip(tensors, most=1.0, *, kind="norm"): ...
def clips(tensors, **options): ...
ConvA = ConvB = Trainer
"""
KNOWN = """
[framework]
name = "Invented"
checked = "invented 1"
listed = false
"""


def problems(folder: Path, text: str) -> list[str]:
    """What the probe says of a knowledge file about an invented module."""
    (folder / "invented").mkdir()
    (folder / "invented" / "__init__.py").write_text(MODULE)
    (folder / "invented" / "below.py").write_text(MODULE)
    known = folder / "invented.toml"
    known.write_text(KNOWN + text)
    knowledge.load([folder])  # the file has the form of one
    done = subprocess.run(
        [sys.executable, str(PROBE), str(known)],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout)["problems"])


CLASS = '[[class]]\nrole = "module"\n'
CALL = '[[call]]\nevent = "clip"\n'
METHOD = CLASS + 'names = ["invented.Step"]\n[[method]]\nof = "module"\nevent = "step"\n'


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(CLASS + 'names = ["invented.Trainer", "invented.below.Trainer", "invented.Conv*"]', id="classes"),
        pytest.param(CLASS + 'names = ["invented.*.Tra[a-z]*"]', id="pattern in the middle"),
        pytest.param(CLASS + 'names = ["invented.Gone"]\nformer = ["invented.Gone"]', id="former class"),
        pytest.param(CLASS + 'names = ["not_installed_at_all.Trainer"]', id="other package"),
        pytest.param(CLASS + 'names = ["invented.Trainer"]\nmodel = ["model", 0]\nclipping = { arguments = ["limit"], default = "off" }', id="argument"),
        pytest.param(CLASS + 'names = ["invented.Bare"]\nclipping = { arguments = ["limit"], default = "off" }', id="argument of a base"),
        pytest.param(CLASS + 'names = ["invented.Trainer"]\nclipping = { arguments = ["limit", "most"], former = ["most"], default = "off" }', id="former argument"),
        pytest.param(CLASS + 'names = ["invented.Fitter"]\nsettings = ["settings", -1]\nclipping = { arguments = ["limit"], default = "off" }', id="argument of its settings"),
        pytest.param(CLASS + 'names = ["invented.Trainer"]\nhooks = { step = ["fit", "old"], former = ["old"] }', id="hooks"),
        pytest.param(CALL + 'names = ["invented.clip"]\nparameters = ["tensors", 0]\nthreshold = ["most", 1]', id="slots"),
        pytest.param(CALL + 'names = ["invented.clip"]\nthreshold = ["kind", 99]', id="keyword only"),
        pytest.param(CALL + 'names = ["invented.clips"]\nthreshold = ["most", 1]', id="handed on"),
        pytest.param(METHOD + 'names = ["run"]\nclosure = ["closure", 1]', id="method"),
        pytest.param(METHOD.replace("invented.Step", "invented.Ste*") + 'names = ["run"]', id="method of a pattern"),
        pytest.param('[[method]]\nof = "optimizer"\nevent = "step"\nnames = ["walk"]', id="method of a role from elsewhere"),
        pytest.param(CLASS + 'names = ["invented.clips"]\nclipping = { arguments = ["limit"], default = "off" }', id="argument handed on"),
        pytest.param(METHOD + 'names = ["run", "walk"]\nformer = ["walk"]', id="former method"),
    ],
)  # fmt: skip
def test_no_problem(tmp_path, text):
    if "settings" in text:
        text = text.replace('settings = ["closure", -1]', 'settings = ["settings", -1]').replace(
            "Step", "Bare"
        )
    assert problems(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(CLASS + 'names = ["invented.Gone"]', "invented.Gone: there is no such name", id="class"),
        pytest.param(CLASS + 'names = ["invented.Norm*"]', "invented.Norm*: there is no such name", id="pattern"),
        pytest.param(CLASS + 'names = ["invented.*.Norm*"]', "invented.*.Norm*: there is no such name", id="pattern in the middle"),
        pytest.param(CLASS + 'names = ["invented.Trainer"]\nmodel = ["net", 0]', "invented.Trainer: `net` (model) is none of its parameters", id="slot of a class"),
        pytest.param(CLASS + 'names = ["invented.Trainer"]\nclipping = { arguments = ["most"], default = "off" }', "invented.Trainer: it has no argument `most`", id="argument"),
        pytest.param(CLASS + 'names = ["invented.Trainer"]\nhooks = { step = ["steps"] }', "invented.Trainer: no name here has the hook `steps`", id="hook"),
        pytest.param(CALL + 'names = ["invented.clip"]\nthreshold = ["least", 1]', "invented.clip: `least` (threshold) is none of its parameters", id="keyword"),
        pytest.param(CALL + 'names = ["invented.clip"]\nthreshold = ["most", 2]', "invented.clip: `most` (threshold) is at 1, not at 2", id="position"),
        pytest.param(CALL + 'names = ["invented.clip"]\nreplaced-by = "clip_"', "invented.clip_: there is no such name", id="replaced by"),
        pytest.param(METHOD + 'names = ["walk"]', "walk: no class of the role module has such a method", id="method"),
        pytest.param(METHOD + 'names = ["run"]\noptimizer = ["optimizer", 1]', "Step.run: `optimizer` (optimizer) is at 0, not at 1", id="slot of a method"),
        pytest.param('[checks]\nnot-finite = ["invented.isnan"]', "invented.isnan: there is no such name", id="check"),
    ],
)  # fmt: skip
def test_problem(tmp_path, text, problem):
    (told,) = problems(tmp_path, text)
    assert told.startswith(problem)


def test_former_names_are_names_of_the_entry(tmp_path):
    with pytest.raises(knowledge.KnowledgeError, match=r"invented\.toml: .*former names 'invented\.Old'"):
        problems(tmp_path, CLASS + 'names = ["invented.Trainer"]\nformer = ["invented.Old"]')
