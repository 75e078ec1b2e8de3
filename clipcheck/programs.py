"""Which files are judged together: those that hold events, and those that call into them.

A file that calls a function of another one knows what the model is, and may clip for it. So who imports a file that
holds events, and mentions what leads to them, is of its program. What a program imports is read when a name asks for
it, and makes no program larger. Programs know nothing of each other: they can be run in any order, and apart.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache

from clipcheck.modules import Modules, module_name, named_for_tests
from clipcheck.record import dataclass
from clipcheck.survey import Import, parsed, words_of

_HOPS = 3  # from a file with events to a caller: packages that re-export a package, callers of callers
_MAX_FAR = 4  # callers of callers of one file with events: a step is judged in a few contexts
_MAX_JOINED = 6  # files with events that one caller brings together: who brings more starts many programs
_OFTEN = frozenset({"train"})  # called on every model: it leads nowhere


@dataclass(frozen=True, slots=True)
class Program:
    """Files that are judged together, in the order of their names."""

    files: tuple[str, ...]  # that hold events
    # That bring them in, or that they bring in and that call back into them; they may have events, and a program, of their own.
    callers: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """All of its files, those with events first."""
        return (*self.files, *self.callers)


@dataclass(slots=True)
class Imports:
    """The import statements of the files of a project, each text once."""

    statements: list[bytes]
    of: dict[str, Sequence[int]]  # by file, the numbers of its statements

    def among(self, wanted: frozenset[bytes]) -> Iterator[tuple[str, list[bytes]]]:
        """The files with a statement that names one of the modules wanted, and those statements."""
        said = [not wanted.isdisjoint(words_of(statement)) for statement in self.statements]
        for filename, numbers in self.of.items():
            if found := [self.statements[number] for number in numbers if said[number]]:
                yield filename, found


def programs(
    holding: Mapping[str, frozenset[str]],
    imports: Imports,
    modules: Modules,
    data_of: Callable[[str], bytes],
    defining: Callable[[str, frozenset[str]], frozenset[str]],
    libraries: frozenset[str] = frozenset(),
    helpers: frozenset[str] = frozenset(),
    quiet: frozenset[str] = frozenset(),
) -> list[Program]:
    """The programs of the files that hold events; `holding` says what each defines that leads to them.

    `defining` says what a file defines that leads to some names of another one: by these its own callers bring it in.
    What is imported from `libraries` is never a file of the project. What is in `helpers` is one of the program of
    what its callers bring in beside it: an optimizer of the project's own steps where the trainer of another file has clipped.
    What is `quiet` holds nothing by itself, and is of the program that imports it: it may make the optimizer.
    """
    files = sorted(holding)
    groups = _Groups(files)
    callers: dict[str, set[str]] = {}
    far: dict[str, set[str]] = {}  # callers of callers
    wanted = {name: names for name in files if (names := holding[name])}
    known = set(wanted)
    beyond: set[str] = set()  # files that call only, and packages that hand these on
    origin = {name: {name} for name in files}  # whose events a file hands on
    for _ in range(_HOPS):
        further: dict[str, frozenset[str]] = {}
        for caller, target, names in _callers(wanted, imports, modules, data_of, libraries):
            is_package = _is_package(caller)
            for source in origin[target] - {caller}:
                if target in beyond:  # with events of its own or not: else a library would be one program
                    far.setdefault(source, set()).add(caller)
                elif caller in groups:
                    groups.join(source, caller)
                elif not is_package or b"def " in data_of(caller):
                    callers.setdefault(source, set()).add(caller)
            if caller not in known:
                own = defining(caller, names) | (names if is_package else frozenset())
                further[caller] = further.get(caller, frozenset()) | own
                origin.setdefault(caller, set()).update(origin[target])
                if target in beyond or not is_package:
                    beyond.add(caller)
        known |= further.keys()
        wanted = further
        if not wanted:
            break
    for source, found in far.items():
        near = callers.setdefault(source, set())
        near.update(sorted(found - near, key=lambda name: (named_for_tests(name), name))[:_MAX_FAR])
    for brought in _brought_together(callers):
        if not helpers.isdisjoint(brought) and not helpers.issuperset(brought):
            for name in brought[1:]:
                groups.join(brought[0], name)
    imported = _Imported(imports, modules, libraries)
    taken: set[str] = set()
    for caller in files if quiet else ():
        mine = (imported.by(caller) & quiet) - taken if caller not in quiet else ()
        for name in sorted(mine):
            groups.join(caller, name)
        taken.update(mine)
    alone = [_program(group, callers) for group in groups.groups()]
    return [_with_what_hands_back(one, holding, imported, data_of) for one in alone]


def _is_package(filename: str) -> bool:
    return os.path.basename(filename) == "__init__.py"


def _program(files: list[str], callers: Mapping[str, set[str]]) -> Program:
    bringing = set[str]().union(*(callers.get(name, ()) for name in files))
    return Program(tuple(files), tuple(sorted(bringing - {*files})))


def _with_what_hands_back(
    program: Program,
    holding: Mapping[str, frozenset[str]],
    imported: _Imported,
    data_of: Callable[[str], bytes],
) -> Program:
    """A program with the files that it imports and that call, on what they are handed, what leads to its events.

    `loop.run(agent)`, which calls `agent.improve()`; a base class whose method calls one that its subclasses define.
    """
    names = frozenset[str]().union(*(holding[name] for name in program.files)) - _OFTEN
    calls = [f".{name}(".encode() for name in sorted(names)]
    known = {*program.all}
    through: list[str] = []
    for filename in program.all:
        for target in sorted(imported.by(filename)):
            if target not in known and target not in holding:
                known.add(target)
                data = data_of(target)
                if any(call in data for call in calls):
                    through.append(target)
    return Program(program.files, (*program.callers, *sorted(through))) if through else program


def _brought_together(callers: Mapping[str, set[str]]) -> list[list[str]]:
    """The files with events that one caller brings in, where these are a few."""
    found: dict[str, list[str]] = {}
    for name, by in sorted(callers.items()):
        for caller in by:
            found.setdefault(caller, []).append(name)
    return [names for _, names in sorted(found.items()) if 1 < len(names) <= _MAX_JOINED]


def _callers(
    wanted: dict[str, frozenset[str]],
    imports: Imports,
    modules: Modules,
    data_of: Callable[[str], bytes],
    libraries: frozenset[str],
) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Each file that imports what leads to events from a wanted file, or the file itself and mentions that."""
    stems = frozenset(map(module_name, wanted))
    parse = cache(lambda statement: _relevant(statement, stems, libraries))
    for caller, statements in imports.among(frozenset(map(os.fsencode, stems))):
        words: set[bytes] | None = None
        for statement in statements:
            for target, imported in _meant(caller, parse(statement), modules, wanted):
                names = wanted[target]
                if imported == "*" and _is_package(caller):
                    named = names  # whoever imports the package has them all, whether it mentions them or not
                elif imported is None or imported == "*":
                    if words is None:
                        words = words_of(data_of(caller))
                    named = frozenset(name for name in names if name.encode() in words)
                else:
                    named = names & {imported}
                if named:
                    yield caller, target, named


def _relevant(
    statement: bytes, stems: frozenset[str], libraries: frozenset[str]
) -> list[tuple[str, int, str | None]]:
    """What a statement may import of some modules: the module, its dots, and the name (None: the module itself)."""
    found: list[tuple[str, int, str | None]] = []
    for one in parsed(statement):
        if not one.level and one.module.partition(".")[0] in libraries:
            continue
        if one.module.rpartition(".")[2] in stems or (one.level and not one.module):
            found += [(one.module, one.level, name) for name in one.names or (None,)]
        found += [
            (f"{one.module}.{name}".lstrip("."), one.level, None) for name in one.names if name in stems
        ]
    return found


def _meant(
    importer: str,
    found: Iterable[tuple[str, int, str | None]],
    modules: Modules,
    wanted: dict[str, frozenset[str]],
) -> Iterator[tuple[str, str | None]]:
    """The wanted files that an import may mean, with the name that is taken from each."""
    for module, level, name in found:
        target = modules.module(importer, module, level)
        targets = [target] if target is not None else []
        # else found by a path that nobody sees here, which may lead into a package as well
        if module and not level and (target is None or (target not in wanted and _is_package(target))):
            found_there = modules.named(module, importer)
            beside = os.path.dirname(target) if target is not None else None
            targets += [one for one in found_there if beside is None or os.path.dirname(one) == beside]
        yield from ((one, name) for one in targets if one in wanted and one != importer)


def importing(
    files: Iterable[str],
    wanted: frozenset[str],
    imports: Imports,
    modules: Modules,
    libraries: frozenset[str],
) -> Iterator[str]:
    """Those of some files that import one of the wanted files of the project."""
    imported = _Imported(imports, modules, libraries)
    return (name for name in files if not wanted.isdisjoint(imported.by(name)))


class _Imported:
    """The files of the project that a file imports, found once."""

    def __init__(self, imports: Imports, modules: Modules, libraries: frozenset[str]) -> None:
        self._imports, self._modules, self._libraries = imports, modules, libraries
        self._parsed: dict[int, tuple[Import, ...]] = {}
        self._found: dict[str, frozenset[str]] = {}

    def by(self, filename: str) -> frozenset[str]:
        if filename not in self._found:
            statements = self._imports.of.get(filename, ())
            found = (target for number in statements for target in self._targets(filename, number))
            self._found[filename] = frozenset(found)
        return self._found[filename]

    def _targets(self, importer: str, number: int) -> Iterator[str]:
        if number not in self._parsed:
            self._parsed[number] = parsed(self._imports.statements[number])
        for one in self._parsed[number]:
            if not one.level and one.module.partition(".")[0] in self._libraries:
                continue
            inner = [f"{one.module}.{name}".lstrip(".") for name in one.names]
            for module in (one.module, *inner):
                target = self._modules.module(importer, module, one.level)
                if target is not None:
                    yield target


class _Groups:
    """Files in groups that grow together."""

    def __init__(self, files: Iterable[str]) -> None:
        self._leader = {name: name for name in files}

    def __contains__(self, name: str) -> bool:
        return name in self._leader

    def _find(self, name: str) -> str:
        leader = self._leader[name]
        while leader != self._leader[leader]:
            self._leader[leader] = leader = self._leader[self._leader[leader]]
        return leader

    def join(self, one: str, other: str) -> None:
        """Make one group of those of two files."""
        first, second = sorted((self._find(one), self._find(other)))
        self._leader[second] = first

    def groups(self) -> list[list[str]]:
        """The groups, and the files of each, in the order of their names."""
        found: dict[str, list[str]] = {}
        for name in sorted(self._leader):
            found.setdefault(self._find(name), []).append(name)
        return sorted(found.values())
