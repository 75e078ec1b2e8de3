"""Which version of a package a project asks for, by its requirements, its project file, or its lock file.

A default that changed with a version can only be judged by the version in use. Nothing is installed or asked for:
what the files do not say is not known.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator

from clipcheck.record import dataclass, replace
from clipcheck.regular import regular

Version = tuple[int, ...]

_PLAIN = regular(
    r"(requirements|constraints)[\w.\-]*\.(txt|in)|pyproject\.toml|setup\.(cfg|py)|Pipfile|tox\.ini"
)
_CONDA = regular(r"(environment|conda|env)[\w.\-]*\.ya?ml")
_LOCK = regular(r"(uv|poetry|pdm)\.lock")
_CLAUSE = regular(r"(===?|>=|<=|!=|~=|[<>=^~])\s*v?(\d+(?:\.\d+)*)(\.\*)?")
_LOCKED = r'(?m)^name = "%s"\r?\nversion = "(\d+(?:\.\d+)*)'
MAX_FILES = 40  # in one folder


@dataclass(frozen=True, slots=True)
class Pin:
    """What a file says of a package's version: `lowest` is allowed, `highest` as well unless it is `open`."""

    filename: str
    row: int
    text: str  # as it is written: "deepspeed==0.14.5"
    lowest: Version | None = None
    highest: Version | None = None
    open: bool = False  # what comes before `highest` is allowed, and it is not

    def at_most(self, version: str) -> bool:
        """Whether every version that the pin allows is this one or an older one."""
        return self.highest is not None and _padded(self.highest) <= _padded(parse(version))

    def is_before(self, version: str) -> bool:
        """Whether every version that the pin allows is older than this one."""
        if self.highest is None:
            return False
        highest, asked = _padded(self.highest), _padded(parse(version))
        return highest < asked or (self.open and highest == asked)

    def at_least(self, version: str) -> bool:
        """Whether every version that the pin allows is this one or a newer one."""
        return self.lowest is not None and _padded(self.lowest) >= _padded(parse(version))


class Pins:
    """Finds what a project pins; each folder is listed once, and none outside `root`."""

    def __init__(self, root: str = "", read: Callable[[str], str | None] | None = None) -> None:
        self._root = root
        self._read = read or (lambda _: None)
        self._listed: dict[str, tuple[str, ...]] = {}

    def version_of(self, package: str, user: str) -> Pin | None:
        """The pin that holds for a file of the project: that of the nearest folder above it which names the package.

        None where no file names it with a version, or where two in one folder differ.
        """
        folder = os.path.dirname(user)
        while self._root and (folder == self._root or folder.startswith(self._root.rstrip(os.sep) + os.sep)):
            found = [
                pin for name in self._files(folder) for pin in pins_in(name, self._read(name) or "", package)
            ]
            bounds = {(pin.lowest, pin.highest, pin.open) for pin in found}
            if bounds:
                exact = [pin for pin in found if pin.lowest is not None and pin.lowest == pin.highest]
                return found[0] if len(bounds) == 1 else exact[0] if len(set(_bounds(exact))) == 1 else None
            if folder == os.path.dirname(folder):
                break
            folder = os.path.dirname(folder)
        return None

    def _files(self, folder: str) -> tuple[str, ...]:
        if folder not in self._listed:
            try:
                names = sorted(os.listdir(folder))
            except OSError:
                names = []
            if "requirements" in names:
                try:
                    names += [f"requirements/{name}" for name in sorted(os.listdir(f"{folder}/requirements"))]
                except OSError:
                    pass  # a file of that name
            fit = [name for name in names if _reads(name)]
            self._listed[folder] = tuple(os.path.join(folder, name) for name in fit[:MAX_FILES])
        return self._listed[folder]


def _reads(name: str) -> bool:
    plain = name.startswith("requirements/") and name.endswith((".txt", ".in"))
    return plain or any(form.fullmatch(name) for form in (_PLAIN, _CONDA, _LOCK))


def _bounds(pins: list[Pin]) -> Iterator[tuple[Version | None, Version | None, bool]]:
    return ((pin.lowest, pin.highest, pin.open) for pin in pins)


def pins_in(filename: str, text: str, package: str) -> list[Pin]:
    """Every version of a package that the text of one file asks for."""
    if package.lower() not in text.lower():
        return []
    if _LOCK.fullmatch(os.path.basename(filename)):
        found = re.search(_LOCKED % re.escape(package), text)
        if found is None:
            return []
        version = parse(found[1])
        row = text.count("\n", 0, found.start(1)) + 1
        return [Pin(filename, row, f"{package}=={found[1]}", version, version)]
    # `deepspeed[extra]==0.14.5`, `"deepspeed>=0.10,<0.19"`, `deepspeed = "^0.14"`
    named = re.compile(
        rf"(?i)(?<![\w.\-/=]){re.escape(package)}(?:\[[^\]]*\])?[\"']?(?P<poetry>\s*=\s*[\"'](?=[\d^~<>=!]))?"
        rf"\s*\(?(?P<clauses>(?:(?:[<>=!~^]+\s*v?)?\d[\w.*]*|[<>=!~^]+\s*v?\d[\w.*]*)(?:\s*,\s*[<>=!~^]+\s*v?\d[\w.*]*)*)"
    )
    out = []
    for number, line in enumerate(text.splitlines(), 1):
        code = line.partition("#")[0]
        for match in named.finditer(code):
            clauses = match["clauses"]
            if clauses[0].isdigit():
                if not match["poetry"]:
                    continue
                clauses = f"=={clauses}"
            pin = _pin(filename, number, package, clauses)
            if pin is not None:
                out.append(pin)
    return out


def _pin(filename: str, row: int, package: str, clauses: str) -> Pin | None:
    pin = Pin(filename, row, package + clauses.replace(" ", ""))
    for sign, digits, star in _CLAUSE.findall(clauses):
        version = parse(digits)
        if sign == "!=":
            continue
        if sign in ("==", "===", "=") and not star:
            pin = replace(pin, lowest=version, highest=version, open=False)
        elif sign in (">=", ">"):
            pin = replace(pin, lowest=version)
        elif sign == "<=":
            pin = replace(pin, highest=version, open=False)
        elif sign == "<":
            pin = replace(pin, highest=version, open=True)
        else:  # `==0.14.*`, `~=0.14.2`, `^0.14`, `~0.14`: from here up to the next of some place
            pin = replace(pin, lowest=version, highest=_next(sign, version, bool(star)), open=True)
    return pin if pin.lowest is not None or pin.highest is not None else None


def _next(sign: str, version: Version, star: bool) -> Version:
    """The first version that a clause with an implied end leaves out."""
    if star:
        kept = version
    elif sign == "^":
        kept = version[: next((place + 1 for place, part in enumerate(version) if part), len(version))]
    elif sign == "~":
        kept = version[:2]
    else:
        kept = version[:-1] or version
    return (*kept[:-1], kept[-1] + 1)


def parse(text: str) -> Version:
    """`0.19.4` as numbers that compare."""
    return tuple(int(part) for part in text.split("."))


def _padded(version: Version) -> Version:
    return (*version, *(0,) * (6 - len(version)))
