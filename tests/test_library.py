"""Which files are looked into, and that facts are the same however they are come by."""

from __future__ import annotations

import os

import pytest

from clipcheck import knowledge, library
from clipcheck.cache import FactsCache
from clipcheck.config import Settings
from clipcheck.facts import ModuleFacts
from clipcheck.library import Library
from clipcheck.project import Project

KNOWN = knowledge.load()
STEP = b"optimizer.step()\n"


@pytest.fixture
def make(tmp_path):
    def made(overlay=None, known=KNOWN, **settings):
        return Library(known, Settings(**{"no_cache": True, "jobs": 1, **settings}), overlay or {})

    return made


def write(folder, **files):
    """Write files by module name and return their paths in order."""
    for name, data in files.items():
        (folder / f"{name}.py").write_bytes(data)
    return [str(folder / f"{name}.py") for name in files]


# -- candidates --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"import torch\nprint('hello')\n",
        b"steps = 3\n",
        b"stepping()\nmy_step()\n",
        b"loss.backward()\n",
        b"eclipse_grad()\n",
    ],
)
def test_files_that_can_hold_no_event(make, tmp_path, data):
    assert make().candidates(write(tmp_path, a=data)) == []


@pytest.mark.parametrize(
    "data",
    [
        b"optimizer.step()\n",
        b"scaler . step(optimizer)\n",
        b"getattr(optimizer, 'step')()\n",
        b"clip_grad_norm_(p, 1.0)\n",
        b"clip_anything(p)\n",
        b"x = 1  # clipcheck: ignore\n",
        b"(((not python, but step\n",
        b"\xff\xfe step\n",
    ],
)
def test_files_that_can(make, tmp_path, data):
    (name,) = write(tmp_path, a=data)
    assert make().candidates([name]) == [name]


def test_a_projects_own_helpers_make_candidates(make, tmp_path):
    (name,) = write(tmp_path, a=b"engine.advance(optimizer)\n")
    assert make().candidates([name]) == []
    own = knowledge.load((), (), ["Engine.advance"])
    assert make(known=own).candidates([name]) == [name]


def test_the_overlay_is_probed_in_place_of_the_file(make, tmp_path):
    one, two = write(tmp_path, one=STEP, two=b"pass\n")
    assert make({one: "pass\n", two: "optimizer.step()\n"}).candidates([one, two]) == [two]


def test_a_file_that_is_gone_is_no_candidate_but_a_failure(make, tmp_path):
    looked = make()
    assert looked.candidates([str(tmp_path / "gone.py")]) == []
    (failure,) = looked.failures
    assert failure.message.startswith("cannot be read: ")
    looked.candidates([str(tmp_path / "gone.py")])
    assert looked.failures == [failure]


# -- reading -----------------------------------------------------------------------------------------


def test_facts_are_read_once(make, tmp_path):
    (name,) = write(tmp_path, a=STEP)
    looked = make()
    assert looked.known(name) is None
    first = looked.read(name)
    write(tmp_path, a=b"other()\n")
    assert looked.read(name) is first is looked.known(name)


def test_a_file_without_facts_is_named_once(make, tmp_path):
    (name,) = write(tmp_path, a=b"(step\n")
    looked = make()
    first = looked.read(name)
    assert looked.read(name) is first
    assert [failure.row for failure in looked.failures] == [1]
    assert looked.known(name) is None


def test_a_file_that_cannot_be_read(make, tmp_path):
    looked = make()
    looked.read(str(tmp_path / "gone.py"))
    (failure,) = looked.failures
    assert failure.message.startswith("cannot be read")


def test_text(make, tmp_path):
    one, two = write(tmp_path, one=b"# coding: latin-1\na = '\xe9'\r\n", two=STEP)
    looked = make({two: "a = 'ü'\n"})
    assert looked.text(one).endswith("a = 'é'\r\n")
    assert looked.text(two) == "a = 'ü'\n"
    assert looked.bytes_of(two) == "a = 'ü'\n".encode()


def test_the_overlay_is_read_in_place_of_the_file(make, tmp_path):
    (name,) = write(tmp_path, a=b"(not python\n")
    looked = make({name: "optimizer.step()\n"})
    found = looked.read(name)
    assert isinstance(found, ModuleFacts)
    assert found.calls == {"step"}
    assert looked.failures == []


# -- the cache ---------------------------------------------------------------------------------------


def test_what_is_in_the_cache_is_not_extracted_again(make, tmp_path, monkeypatch):
    (name,) = write(tmp_path, a=STEP)
    settings = {"no_cache": False, "cache_dir": tmp_path / "cache"}
    first = make(**settings).read(name)

    def never(*_):
        raise AssertionError("extracted again")

    monkeypatch.setattr(library, "extract", never)
    again = make(**settings)
    assert again.read(name) == first
    prefetched = make(**settings)
    prefetched.prefetch([name])
    assert prefetched.known(name) == first


def test_equal_files_share_an_entry(make, tmp_path):
    names = write(tmp_path, a=STEP, b=STEP)
    looked = make(no_cache=False, cache_dir=tmp_path / "cache")
    assert looked.read(names[0]) == looked.read(names[1])
    assert len(list(FactsCache(tmp_path / "cache", "")._entries())) == 1


def test_failures_and_overlays_are_not_kept(make, tmp_path):
    one, two = write(tmp_path, one=b"(step\n", two=STEP)
    looked = make({two: "other.step()\n"}, no_cache=False, cache_dir=tmp_path / "cache")
    looked.read(one)
    looked.read(two)
    assert list(FactsCache(tmp_path / "cache", "")._entries()) == []


def test_without_a_cache_nothing_is_written(make, tmp_path):
    (name,) = write(tmp_path, a=STEP)
    make(no_cache=True, cache_dir=tmp_path / "cache").read(name)
    assert not (tmp_path / "cache").exists()


# -- the pool ----------------------------------------------------------------------------------------


def many(folder):
    good = {
        f"m{number}": b"class A:\n    def f(self, x=%d):\n        optimizer.step()\n" % number
        for number in range(6)
    }
    return write(folder, **good, bad=b"(step\n")


def test_a_pool_gives_the_same_facts(make, tmp_path, monkeypatch):
    names = many(tmp_path)
    alone = make()
    expected = [alone.read(name) for name in names]
    monkeypatch.setattr(library, "POOL_FROM", 2)
    pooled = make(jobs=2, no_cache=False, cache_dir=tmp_path / "cache")
    pooled.prefetch([*names, str(tmp_path / "gone.py")])
    monkeypatch.setattr(library, "extract", None)
    assert [pooled.read(name) for name in names] == expected
    assert {os.path.basename(one.filename) for one in pooled.failures} == {"bad.py", "gone.py"}
    assert len(list(FactsCache(tmp_path / "cache", "")._entries())) == 6


@pytest.mark.parametrize(("jobs", "bound"), [(1, 2), (2, 40)], ids=["one process", "few files"])
def test_a_pool_is_not_started_for_little(make, tmp_path, monkeypatch, jobs, bound):
    def never(*_):
        raise AssertionError("a pool was started")

    monkeypatch.setattr(library, "ProcessPoolExecutor", never)
    monkeypatch.setattr(library, "POOL_FROM", bound)
    make(jobs=jobs).prefetch(many(tmp_path))


def test_what_the_overlay_holds_is_not_prefetched(make, tmp_path):
    (name,) = write(tmp_path, a=STEP)
    looked = make({name: "other()\n"})
    looked.prefetch([name])
    assert looked.known(name) is None


# -- callers -----------------------------------------------------------------------------------------


def callers(make, tmp_path, importing, candidate="engine"):
    names = write(tmp_path, **{candidate: STEP, "main": importing})
    looked = make()
    project = Project(names, looked.read, KNOWN)
    return [os.path.basename(name) for name in looked.callers(project, names[:1], names)]


@pytest.mark.parametrize(
    "importing",
    [
        b"import engines\n",
        b"import torch\n",
        b"# import engine\n",
        b"engine = 3\n",
        b"",
        b"print('from engine')\n",
    ],
)
def test_files_that_import_nothing_that_matters(make, tmp_path, importing):
    assert callers(make, tmp_path, importing) == []


@pytest.mark.parametrize(
    "importing",
    [
        b"import engine\n",
        b"from engine import train\n",
        b"from pkg.engine import train\n",
        b"from . import engine\n",
        b"import os, engine as e\n",
        b"def f():\n    from engine import g\n",
    ],
)
def test_files_that_import_what_does(make, tmp_path, importing):
    assert callers(make, tmp_path, importing) == ["main.py"]


def test_a_file_that_is_a_candidate_itself_is_no_caller(make, tmp_path):
    names = write(tmp_path, engine=STEP, main=b"import engine\n")
    looked = make()
    assert looked.callers(Project(names, looked.read, KNOWN), names, names) == []


def test_nobody_calls_a_package_or_a_program_by_those_names(make, tmp_path):
    assert callers(make, tmp_path, b"import __main__\n", candidate="__main__") == []


def test_a_package_is_called_by_its_folders_name(make, tmp_path):
    (tmp_path / "engine").mkdir()
    (package,) = write(tmp_path / "engine", __init__=STEP)
    (main,) = write(tmp_path, main=b"import engine\n")
    looked = make()
    assert looked.callers(Project([package, main], looked.read, KNOWN), [package], [package, main]) == [main]


def test_what_cannot_be_parsed_has_no_callers(make, tmp_path):
    names = write(tmp_path, engine=b"(step\n", main=b"import engine\n")
    looked = make()
    assert looked.callers(Project(names, looked.read, KNOWN), names[:1], names) == []
