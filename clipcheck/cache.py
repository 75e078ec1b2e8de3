"""Keep the facts of files from one run to the next, by the content of the file.

What goes wrong here (a damaged entry, a full or read-only disk, a cache of another version) costs time
and nothing else: it is a miss. Entries are read by an unpickler that knows the classes of facts and no
other name, so that a file somebody else put there cannot run code.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import time
from pathlib import Path
from typing import Any

from clipcheck import packing
from clipcheck.config import Settings
from clipcheck.facts import ModuleFacts
from clipcheck.regular import regular
from clipcheck.version import __version__

FORMAT = 5  # raise it when the meaning of facts changes without a change of their classes
LIMIT = 256 * 1024 * 1024  # bytes on disk
_SHARD = regular(r"[0-9a-f]{2}\Z")
_ENTRY = regular(r"[0-9a-f]{62}\Z|tmp[a-z0-9_]{8}\Z")
_DAY = 86400.0
_TAG = "CACHEDIR.TAG"  # tells backup programs to pass over the folder; https://bford.info/cachedir/


def content_hash(data: bytes) -> str:
    """Return the name under which the facts of a file with these bytes are kept."""
    return hashlib.sha256(data).hexdigest()


def default_directory() -> Path | None:
    """Return the folder for caches that the platform prescribes; None where there is no home folder."""
    try:
        if sys.platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            given = os.environ.get("XDG_CACHE_HOME", "")
            base = Path(given) if os.path.isabs(given) else Path.home() / ".cache"
    except RuntimeError:
        return None
    return base / "clipcheck"


def open_cache(settings: Settings, knowledge_digest: str) -> FactsCache:
    """Return the cache that the settings ask for; where there is no folder for it, one that holds nothing."""
    return FactsCache(settings.cache_dir or default_directory(), knowledge_digest)


class FactsCache:
    """Facts on disk. May be shared by threads and processes, and may be pickled."""

    def __init__(self, directory: Path | None, knowledge_digest: str = "", limit: int = LIMIT) -> None:
        self.directory = directory
        self.limit = limit
        parts = (
            FORMAT,
            packing.shape(),
            __version__,
            sys.version_info[:3],
            sys.implementation.name,
            knowledge_digest,
        )
        self._salt = repr(parts).encode()

    def get(self, content_hash: str) -> ModuleFacts | None:
        """Return the facts kept for a file with this `content_hash`, or None."""
        found = self.get_value(content_hash)
        return found if isinstance(found, ModuleFacts) else None

    def get_value(self, name: str) -> Any:
        """Return what is kept under a name, or None."""
        if self.directory is None:
            return None
        path = self._path(name)
        try:
            with open(path, "rb") as stream:
                data = stream.read()
                age = time.time() - os.fstat(stream.fileno()).st_mtime
        except OSError:
            return None
        found = _load(data)
        if found is not None and age > _DAY:
            try:
                os.utime(path)  # what is in use is not the oldest
            except OSError:
                pass
        return found

    def put(self, content_hash: str, found: ModuleFacts) -> None:
        """Keep the facts; where the disk does not take them, go on without."""
        self.put_value(content_hash, found)

    def put_value(self, name: str, value: object) -> None:
        """Keep plain values, facts or findings under a name; where the disk does not take them, go on without."""
        if self.directory is None:
            return
        path = self._path(name)
        try:
            payload = packing.pack(value)
            self._prepare(path)
            _replace(path, hashlib.sha256(payload).digest() + payload)
            if path.name.startswith("0") and path.parent.name.startswith(
                "0"
            ):  # one write in 256 pays for the rest
                self.prune()
        except (OSError, pickle.PicklingError, RecursionError):
            self.directory = None

    def prune(self) -> int:
        """Drop the oldest entries until the rest is within the limit; return how many went."""
        entries = []
        for path in self._entries():
            try:
                status = path.stat()
            except OSError:
                continue
            entries.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in entries)
        dropped = 0
        for _, size, path in sorted(entries):
            if total <= self.limit:
                break
            dropped += _remove(path)
            total -= size
        return dropped

    def clear(self) -> int:
        """Remove every entry, and the folder if nothing else is in it; return how many entries went.

        Only what has the form of an entry is touched: `--cache-dir` may name any folder.
        """
        removed = sum(_remove(path) for path in list(self._entries()))
        if self.directory is None or not (self.directory / _TAG).is_file():
            return removed
        for shard in self.directory.iterdir():
            if _SHARD.match(shard.name):
                _remove_folder(shard)
        if {item.name for item in self.directory.iterdir()} == {_TAG}:
            _remove(self.directory / _TAG)
            _remove_folder(self.directory)
        return removed

    def _path(self, content_hash: str) -> Path:
        assert self.directory is not None
        key = hashlib.sha256(self._salt + content_hash.encode()).hexdigest()
        return self.directory / key[:2] / key[2:]

    def _prepare(self, path: Path) -> None:
        assert self.directory is not None
        if path.parent.is_dir():
            return
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        tag = self.directory / _TAG
        if not tag.exists():
            tag.write_text("Signature: 8a477f597d28d172789f06886806bc55\n# Written by clipcheck.\n", "ascii")

    def _entries(self) -> list[Path]:
        if self.directory is None:
            return []
        found: list[Path] = []
        try:
            for shard in self.directory.iterdir():
                if _SHARD.match(shard.name) and shard.is_dir() and not shard.is_symlink():
                    found.extend(item for item in shard.iterdir() if _ENTRY.match(item.name))
        except OSError:
            pass
        return found


def _replace(path: Path, data: bytes) -> None:
    """Write the file whole or not at all: others may be reading it, and may be writing it too."""
    import tempfile  # a run that writes nothing does without

    handle, name = tempfile.mkstemp(prefix="tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        os.replace(name, path)
    except BaseException:
        _remove(Path(name))
        raise


def _remove(path: Path) -> int:
    try:
        path.unlink()
    except OSError:
        return 0
    return 1


def _remove_folder(path: Path) -> None:
    try:
        path.rmdir()
    except OSError:
        pass  # something that is not ours is in it


def _load(data: bytes) -> Any:
    digest, payload = data[:32], data[32:]
    if hashlib.sha256(payload).digest() != digest:
        return None
    try:
        return packing.unpack(payload)
    except Exception:  # a pickle can fail in any way
        return None
