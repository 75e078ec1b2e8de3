"""The texts and facts of files: read once, probed by bytes, cached by content, extracted in parallel."""

from __future__ import annotations

import os
from array import array
from collections import deque
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from clipcheck import notebook
from clipcheck.config import Settings
from clipcheck.extract import Text, extract, extract_text
from clipcheck.facts import Block, ModuleFacts, Suppression
from clipcheck.findings import Failure
from clipcheck.knowledge import Knowledge
from clipcheck.leading import Reported, defining, outline_of
from clipcheck.modules import Modules
from clipcheck.notebook import NotebookError, code_of, is_notebook, open_program
from clipcheck.programs import Imports, Program, importing, programs
from clipcheck.progress import Tell, counted, silent
from clipcheck.record import replace
from clipcheck.settingsfiles import MAX_BYTES
from clipcheck.sourcefile import decode, searchable
from clipcheck.suppress import find_suppressions
from clipcheck.survey import COMMENT, Hope, Survey, statements

if TYPE_CHECKING:
    from clipcheck.cache import FactsCache

_KEPT = 2_000_000  # characters of source whose facts are kept while nobody uses them
_KEPT_TREES = 300_000  # ... and the trees of their functions, which take fifty times as much


State = tuple[int, int, int, int]


def state_of(path: str) -> State | None:
    """When a file or a folder was changed (nanoseconds, as written and as the system says), its size and number."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


class Library:
    """Reads files for a run: bytes for the probes, facts for the analysis, text for placing findings."""

    def __init__(
        self, known: Knowledge, settings: Settings, overlay: Mapping[str, str], tell: Tell = silent
    ) -> None:
        self.failures: list[Failure] = []
        self.known_names = known
        self.hopes: dict[str, Hope] = {}  # of the files that may hold something
        self.consulted: dict[
            str, State | None
        ] = {}  # files and folders that were looked for, beside those of Python
        self._tell = tell
        self._survey = Survey(known)
        self._imports = Imports([], {})
        self._hopeless: list[str] = []  # files that train something, if that is a framework's
        self._statements: dict[bytes, int] = {}
        self._settings = settings
        self._overlay = overlay
        self._facts: dict[str, ModuleFacts | Failure] = {}
        self._characters = 0
        self._trees: deque[Text] = deque()  # whose functions need not be parsed anew
        self._in_trees = 0  # characters of these
        self._is_small = True  # whether all trees so far were few enough to be kept
        self._keys: dict[str, str] = {}  # of the files that were read from disk, their names in the cache
        self._programs: dict[str, notebook.Program] = {}
        self._cache = _cache_of(settings, known.digest)

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

    def program(self, filename: str) -> notebook.Program:
        """The program of a file that has facts: what its rows are, and the cells they belong to."""
        if filename not in self._programs:
            self._programs[filename] = open_program(self._text(filename), filename)
        return self._programs[filename]

    def settings_text(self, filename: str) -> str | None:
        """The text of a settings file; None where there is none, or none of a reasonable size: no failure."""
        if filename in self._overlay:
            return self._overlay[filename]
        for looked_at in (filename, os.path.dirname(filename)):  # what is not there may come
            self.consulted.setdefault(looked_at, state_of(looked_at))
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

    def body(self, filename: str) -> Block:
        """The statements of a file, none where it has no facts."""
        found = self.read(filename)
        return found.body if isinstance(found, ModuleFacts) else ()

    def suppressions(self, filename: str, *, idle: bool = False) -> tuple[Suppression, ...]:
        """The comments in a file that ask for silence; with `idle`, only if one of them speaks to clipcheck alone."""
        if filename not in self.hopes or (idle and not self._speaks_to_us(filename)):
            return ()
        return find_suppressions(self.text(filename)) if isinstance(self.read(filename), ModuleFacts) else ()

    def _speaks_to_us(self, filename: str) -> bool:
        return COMMENT in (self.bytes_of(filename) or b"")

    def _forget_some(self, found: ModuleFacts | Failure) -> None:
        """Let go of the facts that were read first, once there are many; who uses them has them."""
        if isinstance(found, ModuleFacts) and isinstance(found.source, Text):
            self._characters += len(found.source.text)
            if found.source.trees:
                self._keep_trees(found.source)
        while self._characters > _KEPT and len(self._facts) > 1:
            name = next(iter(self._facts))
            oldest = self._facts.pop(name)
            self._flush(name, oldest)
            if isinstance(oldest, ModuleFacts) and isinstance(oldest.source, Text):
                self._characters -= len(oldest.source.text)
                oldest.source.outline = None  # they hold each other

    def _keep_trees(self, source: Text) -> None:
        """Keep the trees of a file's functions: those of all files of a small project, else of the last few."""
        self._trees.append(source)
        self._in_trees += len(source.text)
        self._is_small = self._is_small and self._in_trees <= _KEPT_TREES
        while self._in_trees > (_KEPT_TREES if self._is_small else _KEPT_TREES // 5):
            first = self._trees.popleft()
            first.trees.clear()
            self._in_trees -= len(first.text)

    def _extract(self, filename: str) -> ModuleFacts | Failure:
        if filename in self._overlay:
            return extract_text(self._overlay[filename], filename)
        data = self.bytes_of(filename)
        if data is None:
            return Failure(filename, "cannot be read")
        whole = filename in self.hopes or is_notebook(filename)
        return self._cached(filename, data, whole=whole) or extract(data, filename, whole=whole)

    def _cached(self, filename: str, data: bytes, *, whole: bool) -> ModuleFacts | None:
        """What the cache has of a file, under a key that is remembered."""
        if self._cache is None:
            return None
        key = self._keys[filename] = _key(filename, data, whole=whole)
        cached = self._cache.get(key)
        if cached is not None and isinstance(cached.source, Text):
            cached.source.kept = 0
        return cached

    def flush(self) -> None:
        """Keep in the cache what was read since: files, and functions of files that are in there already."""
        if self._cache is None or self._cache.directory is None:
            return
        for filename, found in self._facts.items():
            self._flush(filename, found)

    def _flush(self, filename: str, found: ModuleFacts | Failure) -> None:
        key = self._keys.get(filename)
        source = found.source if isinstance(found, ModuleFacts) else None
        if self._cache is None or key is None or not isinstance(source, Text) or source.filled == source.kept:
            return
        assert isinstance(found, ModuleFacts)
        self._cache.put(key, found)
        source.kept = source.filled

    def _keep(self, filename: str, found: ModuleFacts | Failure) -> None:
        self._facts[filename] = found
        self._forget_some(found)
        if isinstance(found, Failure):
            self._fail(found)
            return
        if isinstance(found.source, Text):
            found.source.tell = partial(self._damaged, filename)
        for cell in found.left_out:
            self._fail(Failure(filename, cell.message, cell.row, cell.column, cell.line, cell.cell))

    def _damaged(self, filename: str, failure: Failure) -> None:
        """Note that a function could not be read in a file that could."""
        self._fail(replace(failure, filename=filename))

    def _fail(self, failure: Failure) -> None:
        """Note a failure, once for each file or cell."""
        if all((known.filename, known.cell) != (failure.filename, failure.cell) for known in self.failures):
            self.failures.append(failure)

    # -- which files matter --------------------------------------------------------------------------

    def candidates(self, filenames: Iterable[str]) -> list[str]:
        """The files that can hold an event, or a comment to clipcheck, by a byte search."""
        for filename in counted("searching files", list(filenames), self._tell):
            self._look(filename, judge=True)
        return list(self.hopes)

    def _look(self, filename: str, *, judge: bool) -> None:
        """Note what a file imports, and with `judge` what may be found in it."""
        data = self.bytes_of(filename)
        if data is None:
            return
        searched = _unescaped(data) if is_notebook(filename) else searchable(data)
        imports = list(statements(searched))
        numbers = [self._statements.setdefault(one, len(self._statements)) for one in imports]
        self._imports.of[filename] = array("I", numbers)
        hope = Hope.NONE
        if judge and is_notebook(filename):
            hope = self._hope_of_notebook(filename) if self._survey.glimpse(data) else Hope.NONE
        elif judge:
            hope = self._survey.look(searched, imports)
            if hope is not Hope.SURE and self._survey.trains(searched):
                self._hopeless.append(filename)
        if hope is not Hope.NONE:
            self.hopes[filename] = hope

    def _hope_of_notebook(self, filename: str) -> Hope:
        """What may be found in a notebook's code; what stands in its texts and outputs is no event."""
        try:
            data = code_of(self._text(filename), filename).encode("utf-8", "replace")
        except (NotebookError, SyntaxError, UnicodeError, LookupError):
            return Hope.SURE  # reading it says what is wrong
        return self._survey.look(data, list(statements(data)))

    def programs(self, modules: Modules, files: Iterable[str]) -> list[Program]:
        """The programs of the files that were found to hold events; `files` are those of their project."""
        for filename in counted("searching the project", list(files), self._tell):
            if filename not in self._imports.of:
                self._look(filename, judge=False)
        self._imports.statements = list(self._statements)
        libraries = frozenset(self.known_names.packages)
        self._look_again(modules, libraries)
        reported = Reported(self.known_names)
        holding: dict[str, frozenset[str]] = {}
        quiet: set[str] = set()
        for name, hope in self.hopes.items():
            found = self.read(name)
            if isinstance(found, ModuleFacts):
                outline = outline_of(found)
                if hope is Hope.SURE or reported.holds(outline):
                    holding[name] = reported.leading(outline)
                if hope is Hope.SURE and reported.makes(outline) and not reported.holds(outline):
                    quiet.add(name)
        helpers = frozenset(name for name in holding if not self._survey.goes_back(self._searched(name)))
        return programs(
            holding,
            self._imports,
            modules,
            self._searched,
            self._defining,
            libraries,
            helpers,
            frozenset(quiet),
        )

    def _look_again(self, modules: Modules, libraries: frozenset[str]) -> None:
        """Find hope in files that train what another one makes: the framework is imported there alone."""
        sure = frozenset(name for name, hope in self.hopes.items() if hope is Hope.SURE)
        for name in importing(self._hopeless, sure, self._imports, modules, libraries) if sure else ():
            self.hopes[name] = Hope.SURE

    def _defining(self, filename: str, names: frozenset[str]) -> frozenset[str]:
        """What a file defines that leads to some names of another one."""
        found = self.read(filename)
        return defining(outline_of(found), names) if isinstance(found, ModuleFacts) else frozenset()

    def _searched(self, filename: str) -> bytes:
        data = self.bytes_of(filename) or b""
        return _unescaped(data) if is_notebook(filename) else searchable(data)


def _cache_of(settings: Settings, digest: str) -> FactsCache | None:
    if settings.no_cache:
        return None
    from clipcheck.cache import open_cache  # with what reads and writes it: a lone run does without

    return open_cache(settings, digest)


def _key(filename: str, data: bytes, *, whole: bool) -> str:
    """The name of a file's facts in the cache; the same bytes mean another thing in a notebook."""
    from clipcheck.cache import content_hash

    kind = b"notebook\0" if is_notebook(filename) else b"" if whole else b"not whole\0"
    return content_hash(kind + data)


def _unescaped(data: bytes) -> bytes:
    """A notebook's bytes with rows where its JSON has escaped line ends, to be searched like source."""
    return data.replace(b"\\n", b"\n").replace(b"\\t", b"\t").replace(b'"', b" ")
