"""The project: which file a module name means, and the facts of each file as they are asked for.

Nothing is imported. A name like `models.rnn` means the file that ends in `models/rnn.py` (or the
package's `__init__.py`) and stands nearest to the file that imports it, which covers packages with and
without `__init__`, `src/` layouts, and scripts that import from their own folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from clipcheck import facts
from clipcheck.facts import Function, ModuleFacts
from clipcheck.findings import Failure
from clipcheck.knowledge import Knowledge
from clipcheck.notebook import is_notebook
from clipcheck.pins import Pins
from clipcheck.settingsfiles import SettingsFiles

MAX_NAMESAKES = 8  # files of one name that are read to see which of them defines what is imported

Reader = Callable[[str], "ModuleFacts | Failure"]


class Project:
    """The files that may be read, by module name; facts are read on demand and kept."""

    def __init__(
        self,
        files: Iterable[str],
        read: Reader,
        knowledge: Knowledge,
        settings_files: SettingsFiles | None = None,
        pins: Pins | None = None,
    ) -> None:
        self.knowledge = knowledge
        self.settings_files = settings_files or SettingsFiles()
        self.pins = pins or Pins()
        self._read = read
        self._files: dict[str, list[str]] = {}  # last segment of the module name -> files
        self._known: dict[str, ModuleFacts | Failure] = {}
        self._resolved: dict[tuple[str, str, int], str | None] = {}
        self._matter: frozenset[str] | None = None
        self._made = frozenset[str]()  # classes that are told how to clip, the project's own included
        self._callers: dict[str, list[tuple[str, frozenset[str]]]] = {}  # by file: functions, what they call
        self._bases: list[tuple[str, frozenset[str]]] = []  # classes, and the last names of their bases
        self._clip_names: dict[str, bool] = {}
        self._imported: set[str] = set()  # packages with events of everyday names that some file imports
        self._decisive = knowledge.decisive
        self._told, self._fits = knowledge.told, knowledge.fits
        for filename in files:
            if is_notebook(filename):
                continue  # no import means a notebook
            self._files.setdefault(segments(filename)[-1], []).append(filename)

    def facts(self, filename: str) -> ModuleFacts | None:
        """The facts of a file, or None where it has none (unreadable, not Python)."""
        known = self._known.get(filename)
        if known is None:
            known = self._known[filename] = self._read(filename)
            self._matter = None
            if isinstance(known, ModuleFacts):
                self._imported |= {name for name in self.knowledge.common if _imports(known.body, name)}
        return known if isinstance(known, ModuleFacts) else None

    def failures(self) -> list[Failure]:
        """The files that were wanted and could not be read or parsed."""
        return [known for known in self._known.values() if isinstance(known, Failure)]

    def loaded(self) -> Iterator[tuple[str, ModuleFacts]]:
        """Every file read so far, in the order of their names."""
        for filename in sorted(self._known):
            known = self._known[filename]
            if isinstance(known, ModuleFacts):
                yield filename, known

    def module(self, importer: str, name: str, level: int = 0) -> str | None:
        """The file that `name` (with `level` leading dots) means when `importer` imports it."""
        key = (os.path.dirname(importer), name, level)
        if key not in self._resolved:
            self._resolved[key] = self._find(importer, name, level)
        return self._resolved[key]

    def elsewhere(self, importer: str, module: str, name: str) -> str | None:
        """The one file of the project called like a module, wherever it stands, that defines a name.

        A program may put folders on its path that nobody sees here (`sys.path`, PYTHONPATH).
        """
        wanted = module.split(".")
        named = dict.fromkeys(self._files.get(wanted[-1], ()))
        files = [file for file in named if file != importer and segments(file)[-len(wanted) :] == wanted]
        if len(files) > MAX_NAMESAKES:
            return None
        defining = [file for file in files if _defines(self.facts(file), name)]
        return defining[0] if len(defining) == 1 else None

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
        candidates = [
            file for file in self._files.get(wanted[-1], ()) if segments(file)[-len(wanted) :] == wanted
        ]
        candidates = [file for file in candidates if file != importer]
        if len(wanted) == 1:  # a bare name: beside the importer, or at the top of some source folder
            candidates = [file for file in candidates if _importable(file, importer)]
        return max(candidates, key=lambda file: (_nearness(file, folder), -len(file)), default=None)

    def matters(self, function: Function) -> bool:
        """Whether calling a function may bring in an event, as far as names can tell."""
        return not self._names_that_matter().isdisjoint(function.calls)

    def _names_that_matter(self) -> frozenset[str]:
        """Event names, and the names of the functions (and classes) that lead to one."""
        if self._matter is None:
            callers: list[tuple[str, frozenset[str]]] = []
            for filename, module in self.loaded():
                if filename not in self._callers:
                    _collect(module.body, "", self._callers.setdefault(filename, []))
                    self._bases += _bases(module.body)
                callers += self._callers[filename]
            clips = {
                call for call in frozenset().union(*(calls for _, calls in callers)) if self._clips(call)
            }
            self._made = _with_subclasses(self._told, self._bases)
            self._matter = _closure(
                callers, set(self.knowledge.event_names()) | self._made | clips | self._everyday()
            )
        return self._matter

    def _everyday(self) -> set[str]:
        """The events with everyday names (`update`) of the frameworks that some file imports."""
        return set[str]().union(*(self.knowledge.common[package] for package in self._imported))

    def _clips(self, name: str) -> bool:
        if name not in self._clip_names:
            self._clip_names[name] = self.knowledge.hinted("clip-call", name)
        return self._clip_names[name]

    def clips(self, function: Function) -> bool:
        """Whether a function calls something that clips by its name."""
        return any(self._clips(name) for name in function.calls)

    def clips_in(self, name: str) -> bool:
        """Whether some function of this name, in a file read so far, calls something that clips by its name."""
        self._names_that_matter()
        functions = (one for found in self._callers.values() for one in found)
        return any(own == name and any(map(self._clips, calls)) for own, calls in functions)

    def decides(self, function: Function) -> bool:
        """Whether a function itself holds a call that may be a step or a clip, or makes a trainer and starts it."""
        if not self._decisive.isdisjoint(function.calls) or self.clips(function):
            return True
        if self._imported and not self._everyday().isdisjoint(function.calls):
            return True
        if self._fits.isdisjoint(function.calls):
            return False
        self._names_that_matter()
        return not self._made.isdisjoint(function.calls)


def _defines(module: ModuleFacts | None, name: str) -> bool:
    """Whether a module has a class or a function of this name."""
    body = module.body if module is not None else ()
    return any(isinstance(one, (facts.Class, facts.Function)) and one.name == name for one in body)


def _closure(callers: list[tuple[str, frozenset[str]]], names: set[str]) -> frozenset[str]:
    """The names that lead to events; one that is defined in many places must mostly lead there."""
    defined: dict[str, int] = {}
    for name, _ in callers:
        defined[name] = defined.get(name, 0) + 1
    while True:
        leading: dict[str, int] = {}
        for name, calls in callers:
            if name not in names and not names.isdisjoint(calls):
                leading[name] = leading.get(name, 0) + 1
        grown = {name for name, count in leading.items() if defined[name] <= 2 or 3 * count >= defined[name]}
        if not grown:
            return frozenset(names - {"forward"})
        names |= grown | {facts.HANDED + name for name in grown}


def _imports(body: tuple[facts.Statement, ...], package: str) -> bool:
    """Whether a module imports a package, or something of it, at its top level."""
    return any(
        (isinstance(one, facts.Import) and not one.level and one.module.partition(".")[0] == package)
        or (isinstance(one, (facts.Try, facts.Branch)) and _imports(one.body, package))
        for one in body
    )


def _collect(
    body: tuple[facts.Statement, ...], owner: str, callers: list[tuple[str, frozenset[str]]]
) -> None:
    """Every function with what it calls; a class stands for its constructor and its `__call__`."""
    for statement in body:
        if isinstance(statement, facts.Function):
            special = statement.name in ("__init__", "__call__", "__post_init__", "__enter__", "__exit__")
            callers.append((owner if owner and special else statement.name, statement.calls))
            _collect(statement.body, "", callers)
        elif isinstance(statement, facts.Class):
            _collect(statement.body, statement.name, callers)
        elif isinstance(statement, (facts.Branch, facts.Try, facts.With)):
            _collect(statement.body, owner, callers)


def _with_subclasses(names: frozenset[str], bases: list[tuple[str, frozenset[str]]]) -> frozenset[str]:
    """Names of classes, and of those that have one of them among their bases, at any depth."""
    found = set(names)
    while grown := {name for name, above in bases if name not in found and not found.isdisjoint(above)}:
        found |= grown
    return frozenset(found)


def _bases(body: tuple[facts.Statement, ...]) -> Iterator[tuple[str, frozenset[str]]]:
    """Every class with the last names of its bases, those inside of functions included."""
    for statement in body:
        if isinstance(statement, facts.Class):
            yield statement.name, frozenset(map(_last_name, statement.bases))
        elif isinstance(statement, (facts.Function, facts.Branch, facts.Try, facts.With)):
            yield from _bases(statement.body)


def _last_name(base: facts.Expression) -> str:
    """`Trainer` of `transformers.Trainer` and of `Trainer[Batch]`."""
    if isinstance(base, facts.Subscript):
        base = base.value
    if isinstance(base, facts.Attribute):
        return base.attr
    return base.id if isinstance(base, facts.Name) else ""


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
