"""What a scan is about: the files, what may be found in them, and the programs that are to be followed."""

from __future__ import annotations

import gc
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from clipcheck import knowledge
from clipcheck.config import Settings
from clipcheck.discover import Discovery, discover
from clipcheck.findings import Failure
from clipcheck.library import Library
from clipcheck.modules import Modules
from clipcheck.outcome import Outcome, everything_asked, findings_of
from clipcheck.pins import Pins
from clipcheck.programs import Program
from clipcheck.progress import Tell, silent
from clipcheck.project import Project
from clipcheck.record import dataclass, field, replace
from clipcheck.settingsfiles import SettingsFiles

_YOUNG = 100_000  # objects made since Python has looked for cycles; of a small scan it is not worth it


@dataclass(frozen=True, slots=True)
class Scan:
    """What a run is about: the files, and the programs among them that are to be followed."""

    discovery: Discovery
    settings: Settings
    library: Library
    modules: Modules
    settings_files: SettingsFiles
    pins: Pins
    programs: tuple[Program, ...] = ()
    owners: Mapping[str, Program] = field(default_factory=dict)

    def project(self) -> Project:
        """A project of these files, of which nothing is read yet."""
        return Project(
            self.modules, self.library.read, self.library.known_names, self.settings_files, self.pins
        )

    def shard(self) -> tuple[Scan, frozenset[str]]:
        """The scan of the part that the settings ask for, and its files: every file is in one of the parts.

        A program is followed by one of them, with all its files; all programs were found by each.
        """
        files = self.discovery.report_on
        if self.settings.shard is None:
            return self, frozenset(files)
        number, of = self.settings.shard
        mine = self.programs[number - 1 :: of]
        rest = [name for name in files if name not in self.owners]
        own = {name for name in files if self.owners.get(name) in mine}
        return replace(self, programs=mine), frozenset(own | set(rest[number - 1 :: of]))

    def discovery_failures(self) -> tuple[Failure, ...]:
        """What could not be listed: for the first part to tell."""
        shard = self.settings.shard
        return self.discovery.failures if shard is None or shard[0] == 1 else ()

    def outside(self, files: Collection[str]) -> Outcome:
        """What there is to tell of the files that belong to no program: comments that silence nothing, and failures."""
        rest = {name for name in self.library.hopes if name in files and name not in self.owners}
        for name in rest:
            self.library.read(name)
        findings, _ = findings_of(self.library, self.settings, (), rest)
        everything, _ = findings_of(self.library, everything_asked(self.settings), (), rest)
        return Outcome(findings, failures=self.failures(files), everything=everything)

    def failures(self, files: Collection[str]) -> tuple[Failure, ...]:
        """What could not be read among some files."""
        return tuple(failure for failure in self.library.failures if failure.filename in files)


def scan_paths(paths: Sequence[Path], settings: Settings) -> Scan:
    """As `scan`, of the files that the paths stand for."""
    return scan(discover(paths, settings), settings)


def scan(
    discovery: Discovery,
    settings: Settings,
    overlay: Mapping[str, str] | None = None,
    tell: Tell = silent,
) -> Scan:
    """Look through the bytes of the files, and find the programs that hold events."""
    known = knowledge.load(settings.rules, settings.clip_functions, settings.step_functions)
    library = Library(known, settings, overlay or {}, tell)
    candidates = library.candidates(discovery.report_on)
    files = discovery.project_files() if candidates else ()
    root = str(discovery.root)
    scanned = Scan(
        discovery,
        settings,
        library,
        Modules([*files, *candidates]),
        SettingsFiles(root, library.settings_text),
        Pins(root, library.settings_text),
    )
    found = tuple(library.programs(scanned.modules, files))
    sweep()  # each process that follows programs would carry it along
    owners = {name: one for one in found for name in one.callers}
    owners |= {name: one for one in found for name in one.files}
    return replace(scanned, programs=found, owners=owners)


def sweep() -> None:
    """Let go of what reading files or following programs has left, where it holds itself and is much; older objects are not gone over."""
    if gc.get_count()[0] > _YOUNG:
        gc.collect(0)
