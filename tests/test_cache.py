"""The cache: every kind of damage is a miss and nothing else."""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
from pathlib import Path

import pytest

from clipcheck import cache, packing
from clipcheck.cache import FactsCache, content_hash, default_directory, open_cache
from clipcheck.config import Settings
from clipcheck.extract import extract
from clipcheck.facts import ModuleFacts

SOURCE = b"""
import torch
for batch in data:
    loss.backward()
    optimizer.step(lambda: {1: [x for x in y]})  # clipcheck: ignore[CLP101]
"""


@pytest.fixture
def facts():
    found = extract(SOURCE, "train.py")
    assert isinstance(found, ModuleFacts)
    return found


@pytest.fixture
def store(tmp_path):
    return FactsCache(tmp_path / "cache", "digest")


def entry(store: FactsCache) -> Path:
    (path,) = store._entries()
    return path


def test_nothing_is_kept_without_a_folder(facts):
    store = FactsCache(None, "digest")
    store.put("00", facts)
    assert store.get("00") is None
    assert (store.clear(), store.prune()) == (0, 0)


def test_asking_writes_nothing(store):
    assert store.get(content_hash(SOURCE)) is None
    assert not store.directory.exists()


def test_what_was_put_comes_back(store, facts):
    store.put(content_hash(SOURCE), facts)
    assert store.get(content_hash(SOURCE)) == facts
    assert store.get(content_hash(SOURCE + b"#")) is None
    assert pickle.loads(pickle.dumps(store)).get(content_hash(SOURCE)) == facts


def test_other_knowledge_is_another_cache(store, facts):
    store.put("ab", facts)
    assert FactsCache(store.directory, "other").get("ab") is None


@pytest.mark.parametrize("name", ["__version__", "FORMAT", "shape"])
def test_another_version_is_another_cache(store, facts, monkeypatch, name):
    store.put("ab", facts)
    module, value = (packing, lambda: ()) if name == "shape" else (cache, "other")
    monkeypatch.setattr(module, name, value)
    assert FactsCache(store.directory, "digest").get("ab") is None


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: data[:40], id="cut"),
        pytest.param(lambda data: data[:-1], id="one-byte-short"),
        pytest.param(lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:], id="one-bit"),
        pytest.param(lambda data: b"\0" * 5000, id="zeros"),
    ],
)
def test_a_damaged_entry_is_a_miss_and_is_written_again(store, facts, damage):
    store.put("ab", facts)
    path = entry(store)
    path.write_bytes(damage(path.read_bytes()))
    assert store.get("ab") is None
    store.put("ab", facts)
    assert store.get("ab") == facts


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("owned",))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(Evil(), id="call"),
        pytest.param(Path("x"), id="other-class"),
        pytest.param({"plain": "dict"}, id="not-facts"),
        pytest.param(open, id="builtin"),
    ],
)
def test_an_entry_cannot_name_anything_but_facts(store, facts, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store.put("ab", facts)
    payload = pickle.dumps(value)
    entry(store).write_bytes(hashlib.sha256(payload).digest() + payload)
    assert store.get("ab") is None
    assert not (tmp_path / "owned").exists()


def test_a_disk_that_takes_nothing_is_no_cache(tmp_path, facts, monkeypatch):
    (tmp_path / "file").write_text("")
    store = FactsCache(tmp_path / "file" / "cache", "digest")
    store.put("ab", facts)
    assert store.get("ab") is None

    full = FactsCache(tmp_path / "full", "digest")
    monkeypatch.setattr(
        os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    full.put("ab", facts)
    assert full.directory is None
    assert not list((tmp_path / "full").rglob("tmp*"))


def test_the_oldest_go_first(store, facts):
    for index, key in enumerate(["a1", "a2", "a3", "a4"]):
        store.put(key, facts)
        os.utime(store._path(key), (1000 + index, 1000 + index))
    store.limit = 2 * store._path("a1").stat().st_size
    assert store.prune() == 2
    assert [store.get(key) is not None for key in ["a1", "a2", "a3", "a4"]] == [False, False, True, True]


def test_what_is_in_use_becomes_young(store, facts):
    store.put("ab", facts)
    os.utime(store._path("ab"), (1000, 1000))
    store.get("ab")
    assert store._path("ab").stat().st_mtime > 1000


def test_clearing_takes_entries_and_nothing_else(store, facts):
    store.put("ab", facts)
    store.put("cd", facts)
    keep = store.directory / "thesis.tex"
    keep.write_text("")
    (store.directory / "ab").mkdir(exist_ok=True)
    other = store.directory / "ab" / "notes"
    other.write_text("")
    assert store.clear() == 2
    assert keep.exists()
    assert other.exists()
    keep.unlink()
    other.unlink()
    assert store.clear() == 0
    assert not store.directory.exists()


def test_the_folder_is_the_platforms(monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "home", classmethod(lambda cls: tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/invalid")
    assert default_directory() == tmp_path / ".cache" / "clipcheck"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert default_directory() == tmp_path / "x" / "clipcheck"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert default_directory() == tmp_path / "Library" / "Caches" / "clipcheck"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert default_directory() == tmp_path / "local" / "clipcheck"


def test_without_a_home_there_is_no_cache(monkeypatch):
    def home(cls):
        raise RuntimeError("no home")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", classmethod(home))
    monkeypatch.setattr(sys, "platform", "linux")
    assert default_directory() is None


def test_the_settings_decide(tmp_path):
    assert open_cache(Settings(cache_dir=tmp_path), "d").directory == tmp_path
