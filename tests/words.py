"""Everything that a scan says of some fixtures, as text: what tests/test_words.py holds against tests/words/.

python tests/words.py [SLUG...]     # write it anew, of these fixtures as well; then read what has changed
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import fixturelib

if TYPE_CHECKING:
    from clipcheck.findings import Finding, Report

FOLDER = Path(__file__).resolve().parent / "words"


def slugs() -> list[str]:
    """The fixtures whose words are kept."""
    return sorted(path.stem for path in FOLDER.glob("*.txt"))


def fixtures() -> list[fixturelib.Fixture]:
    known = {one.slug: one for one in fixturelib.load()}
    return [known[slug] for slug in slugs()]


def said(report: Report, root: Path) -> str:
    """Each finding with its place, its reasons and its fix, and how many steps were seen."""
    sight = report.sight
    rows = [row for finding in report.findings for row in _finding(finding, root)]
    rows.append(
        f"{sight.steps} steps: {sight.clipped} clipped, {sight.low_risk} low risk, {sight.reported} reported, "
        f"{sight.unknown} unknown"
    )
    return "".join(f"{row.rstrip()}\n" for row in rows)


def _finding(finding: Finding, root: Path) -> Iterator[str]:
    start, end = finding.start, finding.end
    place = f"{start.row}:{start.column}-{end.row}:{end.column}"
    cell = "" if finding.cell is None else f" cell {finding.cell}"
    yield f"{_relative(finding.filename, root)}{cell} {place} {finding.code} {finding.risk}"
    yield f"  {finding.message}"
    for one in finding.evidence:
        yield f"  because {_relative(one.filename, root)}:{one.row} {one.message}"
    if finding.fix is not None:
        yield f"  {finding.fix.applicability}: {finding.fix.message}"
        for edit in finding.fix.edits:
            yield f"    {edit.start.row}:{edit.start.column}-{edit.end.row}:{edit.end.column} {edit.content!r}"


def _relative(name: str, root: Path) -> str:
    return Path(name).relative_to(root).as_posix()


def main(more: Sequence[str]) -> None:
    for slug in more:
        (FOLDER / f"{slug}.txt").touch()
    for fixture in fixtures():
        with tempfile.TemporaryDirectory() as folder:
            root = fixturelib.copy(fixture.before, Path(folder).resolve() / "project")
            text = said(fixturelib.scan(root, fixturelib.settings(root, fixture)), root)
        (FOLDER / f"{fixture.slug}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
