"""Tell which files of a folder are out: ignored by git, or excluded by the settings."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec


@dataclass(frozen=True, slots=True)
class Patterns:
    """Patterns in git's language, counted from the folder `base`."""

    base: str
    spec: GitIgnoreSpec

    def verdict(self, path: str, is_folder: bool) -> bool | None:
        """Return True if `path` is out, False if a `!pattern` keeps it, None if nothing is said of it."""
        relative = os.path.relpath(path, self.base).replace(os.sep, "/")
        return self.spec.check_file(relative + "/" if is_folder else relative).include


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
        with open(file, "rb") as stream:
            lines = stream.read().decode("utf-8-sig", "surrogateescape").splitlines()
    except OSError:
        return None
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    if not lines:
        return None
    good = []
    for line in lines:
        try:
            GitIgnoreSpec.from_lines([line])
        except ValueError:
            continue  # git, too, passes over a pattern that it cannot read
        good.append(line)
    return Patterns(base, GitIgnoreSpec.from_lines(good)) if good else None


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
    if git.is_dir():
        return str(git / "info" / "exclude")
    try:
        text = git.read_text("utf-8", "surrogateescape")
        if not text.startswith("gitdir:"):
            return None
        target = git.parent / text.removeprefix("gitdir:").strip()
        common = target / "commondir"
        if common.is_file():
            target = target / common.read_text("utf-8", "surrogateescape").strip()
    except OSError:
        return None
    return str(target / "info" / "exclude")
