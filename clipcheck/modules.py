"""Which file of a project a module name means.

Nothing is imported. A name like `models.rnn` means the file that ends in `models/rnn.py` (or the
package's `__init__.py`) and stands nearest to the file that imports it, which covers packages with and
without `__init__`, `src/` layouts, and scripts that import from their own folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from clipcheck.notebook import is_notebook


class Modules:
    """The files that may be imported, by the last segment of their module names."""

    def __init__(self, files: Iterable[str]) -> None:
        self._files: dict[str, list[str]] = {}
        self._resolved: dict[tuple[str, str, int], str | None] = {}
        for filename in dict.fromkeys(files):
            if not is_notebook(filename):  # no import means a notebook
                self._files.setdefault(module_name(filename), []).append(filename)

    def module(self, importer: str, name: str, level: int = 0) -> str | None:
        """The file that `name` (with `level` leading dots) means when `importer` imports it."""
        key = (os.path.dirname(importer), name, level)
        if key not in self._resolved:
            self._resolved[key] = self._find(importer, name, level)
        return self._resolved[key]

    def named(self, name: str, importer: str = "") -> list[str]:
        """The files called like a module, wherever they stand, but for the one that imports it."""
        wanted = name.split(".")
        files = self._files.get(wanted[-1], ())
        return [file for file in files if file != importer and segments(file)[-len(wanted) :] == wanted]

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
            exact = [*segments(folder + os.sep + "x.py")[:-1], *wanted]
            candidates = self._files.get(exact[-1], []) if exact else []
            return next((file for file in candidates if segments(file) == exact and file != importer), None)
        if not wanted:
            return None
        candidates = self.named(name, importer)
        if len(wanted) == 1:  # a bare name: beside the importer, or at the top of some source folder
            candidates = [file for file in candidates if _importable(file, importer)]
        return max(candidates, key=lambda file: (_nearness(file, folder), -len(file)), default=None)


def module_name(filename: str) -> str:
    """The last segment of a file's module name."""
    return segments(filename)[-1]


def segments(filename: str) -> list[str]:
    """The path of a file as module segments: `/a/b/c.py` and `/a/b/c/__init__.py` both end in `c`."""
    stem = os.path.splitext(filename)[0]
    parts = stem.split(os.sep)
    return parts[:-1] if parts[-1] == "__init__" else parts


def _importable(file: str, importer: str) -> bool:
    """Whether a bare `import name` could mean this file: it stands in a folder on the way up."""
    folder = os.path.dirname(file)
    if os.path.basename(file) == "__init__.py":
        folder = os.path.dirname(folder)
    here = os.path.dirname(importer)
    return here == folder or here.startswith(folder + os.sep) or os.path.basename(folder) in ("src", "lib")


def _nearness(file: str, folder: str) -> int:
    """How many leading folders a file shares with another place."""
    return len(os.path.commonpath([os.path.dirname(file), folder]).split(os.sep))
