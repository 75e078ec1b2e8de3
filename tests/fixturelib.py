"""Load the fixtures, read their `# expect:` markers, and scan or fix copies of them.

A fixture is a folder `fixtures/<slug>` with a small project in `before/`, what `--fix` makes of it in `after/`
(left out where nothing may be written), and fixture.toml: `why`, and perhaps `min-risk` and `unsafe`.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from clipcheck import config, notebook

if TYPE_CHECKING:
    from clipcheck.findings import Finding, Report
    from clipcheck.fixing import FixOutcome

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "fixtures"
KEYS = {"why", "min-risk", "unsafe"}
_MARKER = re.compile(r"#[ ]?expect:(?P<list>[^#]*)")
_ITEM = re.compile(r"(?P<code>CLP\d{3})(?:[ ](?P<risk>none|low|medium|high))?")


class Marker(NamedTuple):
    """What is expected on one row; `risk` is None where the marker leaves it open."""

    filename: str  # relative to the project, with forward slashes
    row: int
    code: str
    risk: str | None


@dataclass(frozen=True, slots=True)
class Fixture:
    """One training project as people write it, and what clipcheck makes of it."""

    slug: str
    why: str
    min_risk: str | None = None
    unsafe: bool = False

    @property
    def before(self) -> Path:
        """The project as it was found."""
        return FOLDER / self.slug / "before"

    @property
    def after(self) -> Path | None:
        """The project after `--fix`; None where nothing may be written."""
        folder = FOLDER / self.slug / "after"
        return folder if folder.is_dir() else None

    @property
    def markers(self) -> tuple[Marker, ...]:
        """What is to be found in `before`."""
        return tuple(
            marker for name, data in sorted(tree(self.before).items()) for marker in markers_of(data, name)
        )


def load() -> list[Fixture]:
    """Return all fixtures, those that must stay silent first. Raises ValueError for a damaged one."""
    fixtures = [_load(folder) for folder in sorted(FOLDER.iterdir()) if (folder / "fixture.toml").is_file()]
    return sorted(fixtures, key=lambda fixture: bool(fixture.markers))


def read_markers(text: str, filename: str = "") -> Iterator[Marker]:
    """Yield the markers in a file's text. Raises ValueError for one that cannot be read."""
    for row, line in enumerate(text.splitlines(), 1):
        found = _MARKER.search(line)
        if found is None:
            continue
        for item in found["list"].split(","):
            match = _ITEM.fullmatch(item.strip())
            if match is None:
                raise ValueError(f"{filename}:{row}: not a marker: {line.strip()}")
            yield Marker(filename, row, match["code"], match["risk"])


def markers_of(data: bytes, filename: str) -> Iterator[Marker]:
    """Yield the markers in a Python file or, cell by cell, in a notebook: its name is "train.ipynb:cell 3"."""
    text = data.decode("utf-8")
    if not notebook.is_notebook(filename):
        yield from read_markers(text, filename)
        return
    for cell, source in notebook.sources(text).items():
        yield from read_markers(source, f"{filename}:cell {cell}")


def tree(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every Python file and notebook under `folder` by relative name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".py", notebook.SUFFIX)
    }


def copy(folder: Path, target: Path) -> Path:
    """Copy a project to where nothing else belongs to it, and return the copy."""
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("__pycache__", "*.pt"))
    return target


def settings(root: Path, fixture: Fixture | None = None, *, unsafe: bool = False) -> config.Settings:
    """Return the settings a fixture asks for: one process and no cache."""
    overrides: dict[str, object] = {"jobs": 1, "no_cache": True}
    if fixture is not None and fixture.min_risk is not None:
        overrides["min_risk"] = fixture.min_risk
    if unsafe or (fixture is not None and fixture.unsafe):
        overrides["unsafe_fixes"] = True
    return config.load(root, None, overrides)


def scan(root: Path, wanted: config.Settings) -> Report:
    """Scan the project in `root`."""
    from clipcheck import pipeline

    return pipeline.run([root], wanted)


def fix(root: Path, wanted: config.Settings) -> FixOutcome:
    """Fix the project in `root`, on disk."""
    from clipcheck import fixing, pipeline

    return fixing.apply([root], wanted, pipeline.run)


def found(report: Report, root: Path) -> list[Marker]:
    """Return the findings of a report in the form of markers, in their order."""
    return sorted(Marker(_name(one, root), one.start.row, one.code, one.risk) for one in report.findings)


def _name(finding: Finding, root: Path) -> str:
    name = Path(finding.filename).relative_to(root).as_posix()
    return name if finding.cell is None else f"{name}:cell {finding.cell}"


def agree(expected: Iterable[Marker], actual: Iterable[Marker]) -> tuple[list[Marker], list[Marker]]:
    """Return what is missing of the expected, and what was found but not expected; each counts once."""
    missing = list(expected)
    surplus: list[Marker] = []
    for one in actual:
        twin = next(
            (other for other in missing if other[:3] == one[:3] and other.risk in (None, one.risk)), None
        )
        if twin is None:
            surplus.append(one)
        else:
            missing.remove(twin)
    return missing, surplus


def tally(findings: Iterable[Finding], root: Path) -> Counter[tuple[str, str]]:
    """Return how often each rule is found in each file: what stays of findings when rows move."""
    return Counter((Path(one.filename).relative_to(root).as_posix(), one.code) for one in findings)


def _load(folder: Path) -> Fixture:
    table = tomllib.loads((folder / "fixture.toml").read_text(encoding="utf-8"))
    unknown = set(table) - KEYS
    if unknown or not table.get("why"):
        raise ValueError(
            f"{folder.name}/fixture.toml: {f'unknown {sorted(unknown)}' if unknown else 'no `why`'}"
        )
    return Fixture(folder.name, table["why"], table.get("min-risk"), table.get("unsafe", False))
