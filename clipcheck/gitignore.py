"""Tell which files of a folder are out: ignored by git, or excluded by the settings."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable
from pathlib import Path

from clipcheck.record import dataclass
from clipcheck.wildmatch import FOLDER, Pattern, read_pattern


@dataclass(frozen=True, slots=True)
class Patterns:
    """Patterns in git's language, counted from the folder `base`; the last that matches decides."""

    base: str
    _any: re.Pattern[bytes]
    _out: tuple[bool, ...]  # by the group of `_any`

    def verdict(self, path: str, is_folder: bool) -> bool | None:
        """Return True if `path` is out, False if a `!pattern` keeps it, None if nothing is said of it.

        What is said of a folder above is not said here: who walks does not enter it.
        """
        above = os.path.join(self.base, "")
        if not path.startswith(above):
            return None
        name = os.fsencode(path[len(above) :].replace(os.sep, "/"))
        found = self._any.match(name + (FOLDER if is_folder else b""))
        return self._out[found.lastindex - 1] if found and found.lastindex else None


def make_patterns(lines: Iterable[bytes], base: str) -> Patterns | None:
    """Return the patterns in these lines, or None where there is none."""
    patterns: list[Pattern] = [found for line in lines if (found := read_pattern(line)) is not None]
    if not patterns:
        return None
    patterns.reverse()  # of alternatives, the first that matches is taken
    either = b"|".join(b"(%s)" % pattern.regex for pattern in patterns)
    return Patterns(base, re.compile(either, re.DOTALL), tuple(pattern.out for pattern in patterns))


def is_out(chain: tuple[Patterns, ...], path: str, is_folder: bool) -> bool:
    """Ask the patterns of the nearest folder first: the first that speaks of the path decides, as in git."""
    for patterns in reversed(chain):
        verdict = patterns.verdict(path, is_folder)
        if verdict is not None:
            return verdict
    return False


def read_patterns(file: str, base: str) -> Patterns | None:
    """Return the patterns of one ignore file, or None where it is absent, empty or unreadable."""
    try:
        if not os.path.isfile(file):
            return None  # a pipe would keep us waiting
        with open(file, "rb") as stream:
            data = stream.read()
    except OSError:
        return None
    return make_patterns(data.removeprefix(codecs.BOM_UTF8).split(b"\n"), base)


def chain_above(folder: str) -> tuple[Patterns, ...]:
    """Return the patterns in force *at* a folder from the folders above it, up to its git repository's root."""
    top = _repository(folder)
    if top is None:
        return ()
    chain: list[Patterns] = []
    exclude = _info_exclude(top)
    found = read_patterns(exclude, top) if exclude is not None else None
    if found is not None:
        chain.append(found)
    steps = Path(folder).relative_to(top).parts
    current = top
    for step in steps:
        found = read_patterns(os.path.join(current, ".gitignore"), current)
        if found is not None:
            chain.append(found)
        current = os.path.join(current, step)
    return tuple(chain)


def _repository(folder: str) -> str | None:
    current = Path(folder)
    for candidate in (current, *current.parents):
        if os.path.lexists(candidate / ".git"):
            return str(candidate)
    return None


def _info_exclude(top: str) -> str | None:
    """Return the path of the repository's own exclude file; a worktree's `.git` is a file that points there."""
    git = Path(top, ".git")
    if os.path.isdir(git):
        return str(git / "info" / "exclude")
    try:
        text = git.read_text("utf-8", "surrogateescape") if os.path.isfile(git) else ""
        if not text.startswith("gitdir:"):
            return None
        target = git.parent / text.removeprefix("gitdir:").strip()
        common = target / "commondir"
        if os.path.isfile(common):
            target = target / common.read_text("utf-8", "surrogateescape").strip()
    except OSError:
        return None
    return str(target / "info" / "exclude")
