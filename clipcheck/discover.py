"""Find the files to report on, and the files of their project to read.

Folders are walked with `os.scandir`; nothing is opened but ignore files and the first bytes of files
that have no suffix, which are Python where a `#!` line says so.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from clipcheck import notebook
from clipcheck.config import Settings, UserError, find_root
from clipcheck.findings import Failure
from clipcheck.gitignore import Patterns, chain_above, is_out, make_patterns, read_patterns
from clipcheck.record import dataclass, field

STDIN = Path("-")
SUFFIXES = (".py", ".pyw", notebook.SUFFIX)
_NEAR = 2  # folders down that the program of a lone file is looked for
_MAX_NEAR = 2000  # files, at most
_MAGIC = frozenset("*?[!/\\")


class PathError(UserError):
    """A path on the command line that does not exist, or that is no file and no folder."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a run is about. Paths are absolute, sorted, without duplicates, and keep their symbolic links."""

    root: Path
    report_on: tuple[str, ...]
    failures: tuple[Failure, ...] = ()
    stdin: Path | None = None  # the one of `report_on` whose text is on standard input
    _walked: tuple[Path, ...] = ()
    _settings: Settings = field(default_factory=Settings)

    @property
    def is_whole(self) -> bool:
        """Whether the files reported on are all that is read of the project."""
        return self.root in self._walked

    def project_files(self) -> tuple[str, ...]:
        """Walk the project and return every file of it that may be read, those reported on included.

        Where nothing marks a project, the folders given are the project, and what stands beside and a little
        below each file given, or the package it is in: `model.py` belongs to `train.py`. So does what stands in the
        current folder, where the file is below that. Below / and a home folder nothing is looked for.
        """
        if self.is_whole:
            return self.report_on
        if find_root(self.root) != self.root:
            walk = _Walk(self._settings)
            given, here = [Path(path) for path in self.report_on], Path.cwd()
            around = {_beside(path) for path in given}
            if any(here in path.parents for path in given):
                around.add(here)
            for folder in sorted(around):
                if not any(top in (folder, *folder.parents) for top in self._walked):
                    walk.folder(folder, depth=0 if _holds_everything(folder) else _NEAR, most=_MAX_NEAR)
            return _in_order({*self.report_on, *walk.files})
        walk = _Walk(self._settings)
        walk.folder(self.root)
        return _in_order({*self.report_on, *walk.files})


def common_folder(paths: Sequence[Path], stdin_filename: str | None = None) -> Path:
    """Return the deepest folder that holds every path: where the search for the project's root starts.

    Standard input is where its name says; an editor hands over a file of any project, from any folder.
    """
    folders = []
    for path in paths or (Path("."),):
        absolute = os.path.abspath((stdin_filename or "stdin.py") if path == STDIN else path)
        folders.append(absolute if os.path.isdir(absolute) else os.path.dirname(absolute))
    try:
        return Path(os.path.commonpath(folders))
    except ValueError:  # two drives of Windows
        return Path(folders[0])


def discover(paths: Sequence[Path], settings: Settings) -> Discovery:
    """Return the files that `paths` (default: the current folder) stand for. Raises PathError.

    A file named outright is reported on even where the settings or git exclude it, unless `force_exclude`.
    """
    start = common_folder(paths, settings.stdin_filename)
    walk = _Walk(settings)
    stdin: Path | None = None
    walked: list[Path] = []
    for path in paths or (Path("."),):
        absolute = Path(os.path.abspath(path))
        if path == STDIN:
            stdin = Path(os.path.abspath(settings.stdin_filename or "stdin.py"))
            if not (settings.force_exclude and walk.excluded(stdin)):
                walk.files.add(str(stdin))
            continue
        kind, trouble = _kind(path, absolute)
        if settings.force_exclude and walk.excluded(absolute):
            continue
        if trouble:
            walk.failures.append(Failure(str(absolute), trouble))
        elif stat.S_ISDIR(kind):
            walked.append(absolute)
            walk.folder(absolute)
        else:
            walk.files.add(str(absolute))
    return Discovery(
        root=find_root(start) or start,
        report_on=_in_order(walk.files),
        failures=tuple(walk.failures),
        stdin=stdin,
        _walked=tuple(walked),
        _settings=settings,
    )


def _in_order(files: Iterable[str]) -> tuple[str, ...]:
    """Paths as `Path` sorts them, folder by folder, without making one of each."""
    return tuple(sorted(files, key=lambda path: path.split(os.sep)))


def _beside(file: Path) -> Path:
    """The folder that a file is in, or that the package it is in stands in: who imports that stands there."""
    folder = file.parent
    while folder != folder.parent and (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def _holds_everything(folder: Path) -> bool:
    """Whether a folder is the root of the file system, or somebody's home, with far more below than a program."""
    return folder == folder.parent or folder == Path(os.path.expanduser("~"))


def _kind(path: Path, absolute: Path) -> tuple[int, str]:
    """What a path leads to, and why that cannot be read; others are read all the same. Raises PathError for nothing."""
    try:
        mode = os.stat(absolute).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise PathError(f"{path}: no such file or folder") from None
    except ValueError as error:
        raise PathError(f"{path}: {error}") from None
    except OSError as error:
        return 0, f"cannot be read: {error.strerror or error}"
    regular = stat.S_ISDIR(mode) or stat.S_ISREG(mode)
    return mode, "" if regular else "neither a regular file nor a folder"


class _Walk:
    """Collects the Python files and notebooks below folders, past what git and the settings leave out."""

    def __init__(self, settings: Settings) -> None:
        self.files: set[str] = set()
        self.failures: list[Failure] = []
        patterns = (*settings.exclude, *settings.extend_exclude)
        # A bare name, as nearly all are, is looked up; the rest are matched.
        self._names = frozenset(pattern for pattern in patterns if not _MAGIC.intersection(pattern))
        lines = [os.fsencode(item) for item in patterns if item not in self._names]
        found = make_patterns(lines, str(settings.pattern_base))
        self._excluded = (found,) if found is not None else ()
        self._links: list[str] = []

    def folder(self, top: Path, *, depth: int | None = None, most: int | None = None) -> None:
        """Add the Python files below `top`, which is walked even if something above leaves it out.

        `depth` folders down (0: those in `top` only), nearest first, and no further once there are `most`.
        """
        above = tuple(item for item in chain_above(str(top)) if not item.verdict(str(top), True))
        waiting = deque([(str(top), above, 0)])
        while waiting and (most is None or len(self.files) < most):
            folder, chain, down = waiting.popleft()
            try:
                with os.scandir(folder) as entries:
                    listed = list(entries)
            except OSError as error:
                self.failures.append(Failure(folder, f"folder cannot be listed: {error.strerror or error}"))
                continue
            names = {entry.name for entry in listed}
            if folder != str(top) and ("pyvenv.cfg" in names or "conda-meta" in names):
                continue
            if ".gitignore" in names:
                own = read_patterns(os.path.join(folder, ".gitignore"), folder)
                chain = (*chain, own) if own is not None else chain
            inner = [entry.path for entry in listed if self._enters(entry, chain)]
            if depth is None or down < depth:
                waiting.extend((path, chain, down + 1) for path in inner)
        self._add_links()

    def excluded(self, path: Path) -> bool:
        """Tell whether a path named outright is left out by its name, a folder above it, or git."""
        root = find_root(path.parent) or path.parent
        steps = [item for item in (path, *path.parents) if item != root and item.is_relative_to(root)]
        chain = chain_above(str(path.parent))
        own = read_patterns(str(path.parent / ".gitignore"), str(path.parent))
        chain = (*chain, own) if own is not None else chain
        for step in steps:
            is_folder = step != path or step.is_dir()
            if step.name in self._names or is_out((*chain, *self._excluded), str(step), is_folder):
                return True
            if is_folder and (step / "pyvenv.cfg").exists():
                return True
        return False

    def _enters(self, entry: os.DirEntry[str], chain: tuple[Patterns, ...]) -> bool:
        """Tell whether to walk into the entry; where it is a Python file, keep it."""
        try:
            if entry.name in self._names:
                return False
            if entry.is_dir(follow_symlinks=False):
                return not self._out(entry.path, chain, is_folder=True)
            if not _may_be_python(entry.name) or not entry.is_file():
                return False  # links to folders are not followed: no loop, no file under two names
            if self._out(entry.path, chain, is_folder=False):
                return False
            if "." not in entry.name and not _has_shebang(entry.path):
                return False
            if entry.is_symlink():
                self._links.append(entry.path)
            else:
                self.files.add(entry.path)
        except OSError as error:
            self.failures.append(Failure(entry.path, f"cannot be read: {error.strerror or error}"))
        return False

    def _out(self, path: str, chain: tuple[Patterns, ...], *, is_folder: bool) -> bool:
        if self._excluded and is_out(self._excluded, path, is_folder):
            return True
        return bool(chain) and is_out(chain, path, is_folder)

    def _add_links(self) -> None:
        """Keep a link to a file only if that file is not in the walk under its own name."""
        real = {os.path.realpath(path) for path in self.files} if self._links else set()
        for link in sorted(self._links):
            target = os.path.realpath(link)
            if target not in real:
                real.add(target)
                self.files.add(link)
        self._links.clear()


def _may_be_python(name: str) -> bool:
    return name.endswith(SUFFIXES) or "." not in name


def _has_shebang(path: str) -> bool:
    with open(path, "rb") as stream:
        start = stream.read(128)
    return start.startswith(b"#!") and b"python" in start.split(b"\n", 1)[0]
