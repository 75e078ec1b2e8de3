"""The texts and facts of files: read once, probed by bytes, cached by content, extracted in parallel."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence

from clipcheck.cache import content_hash, open_cache
from clipcheck.config import Settings
from clipcheck.extract import extract, extract_text
from clipcheck.facts import ModuleFacts
from clipcheck.findings import Failure
from clipcheck.knowledge import Knowledge
from clipcheck.notebook import NotebookError, Program, code_of, is_notebook, open_program
from clipcheck.progress import Tell, counted, silent, told
from clipcheck.project import Project
from clipcheck.regular import regular
from clipcheck.settingsfiles import MAX_BYTES
from clipcheck.sourcefile import decode, searchable

_HOPS = 3  # packages that re-export a package that re-exports a file
POOL_FROM = 40  # files to extract before a process pool pays for itself
_COMMENT = b"clipcheck:"
_IMPORT = regular(rb"(?m)^[ \t]*(?:from|import)\b[^\n]*")
_IMPORT_IN_JSON = regular(rb"(?m)(?:^|\")[ \t]*(?:from|import)\b[^\n]*")


class Library:
    """Reads files for a run: bytes for the probes, facts for the analysis, text for placing findings."""

    def __init__(
        self, known: Knowledge, settings: Settings, overlay: Mapping[str, str], tell: Tell = silent
    ) -> None:
        self.failures: list[Failure] = []
        self._tell = tell
        self._import_lines: dict[str, bytes] = {}
        self._settings = settings
        self._overlay = overlay
        self._facts: dict[str, ModuleFacts | Failure] = {}
        self._programs: dict[str, Program] = {}
        self._cache = open_cache(settings, known.digest)
        names = sorted(known.probes)
        self._probe = re.compile(b"|".join([rb"\bclip_", _COMMENT, *(rf"\b{n}\b".encode() for n in names)]))

    # -- reading -------------------------------------------------------------------------------------

    def bytes_of(self, filename: str) -> bytes | None:
        """The bytes of a file, or None (and a failure) where it cannot be read."""
        if filename in self._overlay:
            return self._overlay[filename].encode("utf-8", "surrogatepass")
        try:
            with open(filename, "rb") as stream:
                return stream.read()
        except OSError as error:
            self._fail(Failure(filename, f"cannot be read: {error.strerror or error}"))
            return None

    def program(self, filename: str) -> Program:
        """The program of a file that has facts: what its rows are, and the cells they belong to."""
        if filename not in self._programs:
            self._programs[filename] = open_program(self._text(filename), filename)
        return self._programs[filename]

    def settings_text(self, filename: str) -> str | None:
        """The text of a settings file; None where there is none, or none of a reasonable size: no failure."""
        if filename in self._overlay:
            return self._overlay[filename]
        try:
            if not os.path.isfile(filename) or os.path.getsize(filename) > MAX_BYTES:
                return None
            with open(filename, encoding="utf-8") as stream:
                return stream.read()
        except (OSError, ValueError):
            return None

    def text(self, filename: str) -> str:
        """The Python text of a file that has facts."""
        return self.program(filename).text

    def _text(self, filename: str) -> str:
        if filename in self._overlay:
            return self._overlay[filename]
        return decode(self.bytes_of(filename) or b"")[0]

    def read(self, filename: str) -> ModuleFacts | Failure:
        """The facts of a file, from this run, from the cache, or extracted now."""
        known = self._facts.get(filename)
        if known is None:
            known = self._extract(filename)
            self._keep(filename, known)
        return known

    def known(self, filename: str) -> ModuleFacts | None:
        """The facts of a file if this run has read it."""
        found = self._facts.get(filename)
        return found if isinstance(found, ModuleFacts) else None

    def _extract(self, filename: str) -> ModuleFacts | Failure:
        if filename in self._overlay:
            return extract_text(self._overlay[filename], filename)
        data = self.bytes_of(filename)
        if data is None:
            return Failure(filename, "cannot be read")
        key = _key(filename, data)
        cached = self._cache.get(key)
        if cached is not None:
            return cached
        found = extract(data, filename)
        if isinstance(found, ModuleFacts):
            self._cache.put(key, found)
        return found

    def _keep(self, filename: str, found: ModuleFacts | Failure) -> None:
        self._facts[filename] = found
        if isinstance(found, Failure):
            self._fail(found)
            return
        for cell in found.left_out:
            self._fail(Failure(filename, cell.message, cell.row, cell.column, cell.line, cell.cell))

    def _fail(self, failure: Failure) -> None:
        """Note a failure, once for each file or cell."""
        if all((known.filename, known.cell) != (failure.filename, failure.cell) for known in self.failures):
            self.failures.append(failure)

    # -- which files matter --------------------------------------------------------------------------

    def candidates(self, filenames: Iterable[str]) -> list[str]:
        """The files that can hold an event, by a byte search."""
        searched = counted("searching files", list(filenames), self._tell)
        return [name for name in searched if self._may_hold_event(name)]

    def _may_hold_event(self, filename: str) -> bool:
        data = self.bytes_of(filename)
        if not data or not is_notebook(filename):
            return bool(data and self._probe.search(searchable(data)))
        if not self._probe.search(_unescaped(data)):
            return False
        try:  # what stands in its texts and outputs is no event
            return bool(
                self._probe.search(code_of(self._text(filename), filename).encode("utf-8", "replace"))
            )
        except (NotebookError, SyntaxError, UnicodeError, LookupError):
            return True  # reading it says what is wrong

    def prefetch(self, filenames: Sequence[str]) -> None:
        """Extract many files at once, in a process pool; what is in the cache is not extracted again."""
        jobs = self._settings.jobs or os.cpu_count() or 1
        waiting: list[tuple[str, bytes]] = []
        for filename in filenames:
            data = None if filename in self._overlay else self.bytes_of(filename)
            if data is None:
                continue
            cached = self._cache.get(_key(filename, data))
            if cached is not None:
                self._keep(filename, cached)
            else:
                waiting.append((filename, data))
        if jobs < 2 or len(waiting) < POOL_FROM:
            return
        from concurrent.futures import ProcessPoolExecutor  # it loads a third of what a small scan does

        with ProcessPoolExecutor(jobs) as pool:
            names, contents = zip(*waiting, strict=True)
            read = pool.map(extract, contents, names, chunksize=8)
            for filename, data, found in zip(
                names, contents, told("reading files", read, len(names), self._tell), strict=True
            ):
                self._keep(filename, found)
                if isinstance(found, ModuleFacts):
                    self._cache.put(_key(filename, data), found)

    def callers(self, project: Project, candidates: Sequence[str], files: Sequence[str]) -> list[str]:
        """Files without an event of their own that import one that matters: they know the model.

        A package that re-exports such a file is followed to those who import the package.
        """
        modules = [name for name in candidates if not is_notebook(name)]
        wanted = {_module_name(name) for name in modules if project.facts(name) is not None}
        known, out = set(candidates), list[str]()
        for _ in range(_HOPS):
            found = self._importers(wanted - {"__init__", "__main__", ""}, known, files)
            out += found
            known.update(found)
            wanted = {_module_name(name) for name in found if os.path.basename(name) == "__init__.py"}
            if not wanted:
                break
        return out

    def _imports_of(self, filename: str) -> bytes:
        """The import lines of a file, read once however many hops ask."""
        if filename not in self._import_lines:
            data = self.bytes_of(filename) or b""
            found = (
                _IMPORT_IN_JSON.findall(_unescaped(data)) if is_notebook(filename) else _IMPORT.findall(data)
            )
            self._import_lines[filename] = b"\n".join(found)
        return self._import_lines[filename]

    def _importers(self, wanted: set[str], known: set[str], files: Sequence[str]) -> list[str]:
        """The files, besides those known, with a line that imports one of these modules."""
        if not wanted:
            return []
        words = b"|".join(re.escape(name).encode("utf-8", "surrogatepass") for name in sorted(wanted))
        imports = re.compile(rb"\b(?:" + words + rb")\b")
        out = []
        for filename in files:
            if filename in known:
                continue
            if imports.search(self._imports_of(filename)):
                out.append(filename)
        return out


def _key(filename: str, data: bytes) -> str:
    """The name of a file's facts in the cache; the same bytes mean another thing in a notebook."""
    return content_hash(b"notebook\0" + data if is_notebook(filename) else data)


def _unescaped(data: bytes) -> bytes:
    """A notebook's bytes with rows where its JSON has escaped line ends, to be searched like source."""
    return data.replace(b"\\n", b"\n").replace(b"\\t", b"\t")


def _module_name(filename: str) -> str:
    stem = os.path.splitext(os.path.basename(filename))[0]
    return os.path.basename(os.path.dirname(filename)) if stem == "__init__" else stem
