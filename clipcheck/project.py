"""The facts of a program's files as they are asked for, and which of its functions lead to events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from clipcheck import facts
from clipcheck.extract import Text
from clipcheck.facts import Function, ModuleFacts
from clipcheck.findings import Failure
from clipcheck.knowledge import Knowledge
from clipcheck.leading import Closure, Outline, imported, outline_of, reads, with_subclasses
from clipcheck.modules import Modules
from clipcheck.pins import Pins
from clipcheck.settingsfiles import SettingsFiles

MAX_NAMESAKES = 8  # files of one name that are read to see which of them defines what is imported

Reader = Callable[[str], "ModuleFacts | Failure"]


class Project:
    """The files that may be read, by module name; facts are read on demand and kept."""

    def __init__(
        self,
        files: Iterable[str] | Modules,
        read: Reader,
        knowledge: Knowledge,
        settings_files: SettingsFiles | None = None,
        pins: Pins | None = None,
    ) -> None:
        self.knowledge = knowledge
        self.modules = files if isinstance(files, Modules) else Modules(files)
        self.settings_files = settings_files or SettingsFiles()
        self.pins = pins or Pins()
        self.module, self.submodules, self.file = (
            self.modules.module,
            self.modules.submodules,
            self.modules.file,
        )
        self._read = read
        self._known: dict[str, ModuleFacts | Failure] = {}
        self._outlines: dict[str, Outline] = {}
        self._fresh: list[str] = []  # files read since anybody asked what leads to events
        self._closure = Closure()
        self._bases: list[tuple[str, frozenset[str]]] = []
        self._events = knowledge.event_names()
        self._made = frozenset[str]()  # classes that are told how to clip, the project's own included
        self._imported: set[str] = set()  # packages with events of everyday names that some file imports
        self._decisive = knowledge.decisive
        self._told, self._fits = knowledge.told, knowledge.fits

    def facts(self, filename: str) -> ModuleFacts | None:
        """The facts of a file, or None where it has none (unreadable, not Python)."""
        known = self._known.get(filename)
        if known is None:
            known = self._known[filename] = self._read(filename)
            if isinstance(known, ModuleFacts):
                self._fresh.append(filename)
                self._outlines[filename] = outline_of(known)
                self._imported |= self.knowledge.common.keys() & imported(known.body)
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

    def elsewhere(self, importer: str, module: str, name: str) -> str | None:
        """The one file of the project called like a module, wherever it stands, that defines a name.

        A program may put folders on its path that nobody sees here (`sys.path`, PYTHONPATH).
        """
        files = self.modules.named(module, importer)
        if len(files) > MAX_NAMESAKES:
            return None
        defining = [file for file in files if _defines(self.facts(file), name)]
        return defining[0] if len(defining) == 1 else None

    def matters(self, function: Function) -> bool:
        """Whether calling a function may bring in an event, as far as names can tell."""
        return reads(function, self._names_that_matter())

    def _names_that_matter(self) -> frozenset[str]:
        """Event names, and the names of the functions (and classes) that lead to one."""
        if self._fresh:
            outlines = [self._outlines[filename] for filename in sorted(self._fresh)]
            self._fresh = []
            clips = {name for outline in outlines for name in outline.hinted(self.knowledge, "clip-call")}
            self._bases += [one for outline in outlines for one in outline.bases]
            self._made = with_subclasses(self._told, self._bases)
            self._closure.grow(outlines, {*self._events, *self._made, *clips, *self._everyday()})
        return self._closure.names

    def runs_into_events(self, filename: str) -> bool:
        """Whether what a file does when it is run may bring in an event, or is a configuration that does."""
        module = self.facts(filename)
        if module is None:
            return False
        source = module.source
        keys = (key for rule in self.knowledge.dicts for key in rule.names)
        return not self._names_that_matter().isdisjoint(module.calls) or (
            isinstance(source, Text) and any(key in source.text for key in keys)
        )

    def has_functions_that_matter(self, filename: str) -> bool:
        """Whether some function of a file may bring in an event."""
        names = self._names_that_matter()
        outline = self._outlines.get(filename) if self.facts(filename) is not None else None
        return outline is not None and any(reads(one.function, names) for one in outline.functions)

    def extends(self, filename: str, name: str) -> bool:
        """Whether a file that was read makes a class upon one of this name."""
        outline = self._outlines.get(filename)
        return outline is not None and any(name in above for _, above in outline.bases)

    def _everyday(self) -> set[str]:
        """The events with everyday names (`update`) of the frameworks that some file imports."""
        return set[str]().union(*(self.knowledge.common[package] for package in self._imported))

    def _clips(self, name: str) -> bool:
        return self.knowledge.hinted("clip-call", name)

    def clips(self, function: Function) -> bool:
        """Whether a function calls something that clips by its name."""
        return any(self._clips(name) for name in function.calls)

    def clips_in(self, name: str) -> bool:
        """Whether some function of this name, in a file read so far, calls something that clips by its name."""
        named = (
            one.function
            for outline in self._outlines.values()
            for one in outline.functions
            if one.label == name
        )
        return any(self.clips(function) for function in named)

    def decides(self, function: Function) -> bool:
        """Whether a function itself holds a call that may be a step or a clip, or makes a trainer and starts it."""
        if not self._decisive.isdisjoint(function.calls) or self.clips(function):
            return True
        if self._imported and not self._everyday().isdisjoint(function.calls):
            return True
        if self._fits.isdisjoint(function.calls):
            return False
        self._names_that_matter()
        # `Trainer.from_argparse_args(args)` calls no class by its name
        return not (self._made | self.knowledge.constructors).isdisjoint(function.calls)


def _defines(module: ModuleFacts | None, name: str) -> bool:
    """Whether a module has a class or a function of this name."""
    body = module.body if module is not None else ()
    return any(isinstance(one, (facts.Class, facts.Function)) and one.name == name for one in body)
