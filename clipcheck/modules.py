"""Which file of a project a module name means.

Nothing is imported. A name like `models.rnn` means the file that ends in `models/rnn.py` (or the
package's `__init__.py`) and stands nearest to the file that imports it, which covers packages with and
without `__init__`, `src/` layouts, and scripts that import from their own folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from clipcheck.notebook import is_notebook

_SOURCES = ("src", "lib")


class Modules:
    """The files that may be imported, by the last segment of their module names."""

    def __init__(self, files: Iterable[str]) -> None:
        self._files: dict[str, list[str]] = {}
        self._all: set[str] = set()
        self._resolved: dict[tuple[str, str, int], str | None] = {}
        self._namesakes: dict[str, _Namesakes] = {}
        for filename in dict.fromkeys(files):
            if not is_notebook(filename):  # no import means a notebook
                self._files.setdefault(module_name(filename), []).append(filename)
                self._all.add(filename)

    def module(self, importer: str, name: str, level: int = 0) -> str | None:
        """The file that `name` (with `level` leading dots) means when `importer` imports it."""
        key = (os.path.dirname(importer), name, level)
        if key not in self._resolved:
            self._resolved[key] = self._find(importer, name, level)
        return self._resolved[key]

    def named(self, name: str, importer: str = "") -> list[str]:
        """The files called like a module, wherever they stand, but for the one that imports it."""
        return [file for file in self._called(name).files if file != importer]

    def _called(self, name: str) -> _Namesakes:
        if name not in self._namesakes:
            wanted = name.split(".")
            files = self._files.get(wanted[-1], ())
            found = [file for file in files if segments(file)[-len(wanted) :] == wanted]
            self._namesakes[name] = _Namesakes(found)
        return self._namesakes[name]

    def submodules(self, importer: str, package: str) -> list[str]:
        """The files right in a package (`models.`): what a module is chosen from by a name that is not known."""
        wanted = package.strip(".").split(".")
        files = [
            file
            for named in self._files.values()
            for file in named
            if segments(file)[-len(wanted) - 1 : -1] == wanted and file != importer
        ]
        folder = os.path.dirname(importer)
        nearest = max((_nearness(file, folder) for file in files), default=0)
        return sorted(file for file in files if _nearness(file, folder) == nearest)

    def file(self, path: str) -> str | None:
        """A file of the project by its path, None where there is none."""
        wanted = os.path.normpath(path)
        return wanted if wanted in self._files.get(segments(wanted)[-1], ()) else None

    def _find(self, importer: str, name: str, level: int) -> str | None:
        folder = os.path.dirname(importer)
        wanted = name.split(".") if name else []
        if level:
            for _ in range(level - 1):
                folder = os.path.dirname(folder)
            stem = os.path.join(folder, *wanted)
            exact = (os.path.join(stem, "__init__.py"), stem + ".py", stem + ".pyw")
            return next((file for file in exact if file in self._all and file != importer), None)
        if not wanted:
            return None
        # a bare name: beside the importer, or at the top of some source folder
        return self._called(name).nearest(importer, bare=len(wanted) == 1)


class _Namesakes:
    """The files called like one module, by the folders above them: a repository may hold thousands of `utils`."""

    def __init__(self, files: list[str]) -> None:
        self.files = files
        self._below: dict[
            bool, dict[str, list[str]]
        ] = {}  # by folder, the two with the shortest paths below it
        self._in: dict[str, list[str]] = {}  # by the folder that a bare name is found in
        for file in files:
            self._in.setdefault(_holder(file), []).append(file)

    def nearest(self, importer: str, *, bare: bool) -> str | None:
        """The one that an import means: that shares most folders with who imports it; of those the shortest path."""
        folder = os.path.dirname(importer)
        found = self._shortest(importer, folder, sourced=bare)
        if bare:
            found += [
                file for above in _above(folder) for file in self._in.get(above, ()) if file != importer
            ]
        return max(found, key=lambda file: (_nearness(file, folder), -len(file)), default=None)

    def _shortest(self, importer: str, folder: str, *, sourced: bool) -> list[str]:
        """Of the nearest, one with the shortest path; with `sourced` only what is at the top of a source folder."""
        below = self._below.get(sourced)
        if below is None:
            below = self._below[sourced] = {}
            for file in self.files:
                if not sourced or os.path.basename(_holder(file)) in _SOURCES:
                    for above in _above(os.path.dirname(file)):
                        kept = below.setdefault(above, [])
                        kept.append(file)
                        kept.sort(key=len)
                        del kept[2:]
        kept_below = (below.get(above, ()) for above in _above(folder))
        return [file for kept in kept_below for file in kept if file != importer][:1]


def module_name(filename: str) -> str:
    """The last segment of a file's module name."""
    return segments(filename)[-1]


def named_for_tests(filename: str) -> bool:
    """Whether a file is one of tests by its own name: what has others to choose from leaves these for last."""
    return "test" in os.path.basename(filename)


def segments(filename: str) -> list[str]:
    """The path of a file as module segments: `/a/b/c.py` and `/a/b/c/__init__.py` both end in `c`."""
    stem = filename[:-3] if filename.endswith(".py") else os.path.splitext(filename)[0]
    parts = stem.split(os.sep)
    return parts[:-1] if parts[-1] == "__init__" else parts


def _holder(file: str) -> str:
    """The folder in which a bare `import name` finds a file."""
    folder = os.path.dirname(file)
    return os.path.dirname(folder) if os.path.basename(file) == "__init__.py" else folder


def _above(folder: str) -> Iterator[str]:
    """A folder and those above it, nearest first."""
    yield folder
    while (parent := os.path.dirname(folder)) != folder:
        yield parent
        folder = parent


def _nearness(file: str, folder: str) -> int:
    """How many leading folders a file shares with another place."""
    return len(os.path.commonpath([os.path.dirname(file), folder]).split(os.sep))
