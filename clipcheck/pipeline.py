"""The way through, on one screen: discover, survey, and for each program extract, link, run, judge, place.

Nothing of the scanned project is imported or executed. libcst is loaded only where a fix is
about to be written.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from clipcheck import knowledge, suppress, workers
from clipcheck.config import Settings, UserError
from clipcheck.discover import Discovery, discover
from clipcheck.findings import Finding, Report, Sight
from clipcheck.outcome import Outcome, marked
from clipcheck.progress import Tell, silent
from clipcheck.record import field_names
from clipcheck.scanning import Scan, scan

if TYPE_CHECKING:
    from clipcheck.memory import Memory


def run(
    paths: Sequence[Path],
    settings: Settings,
    *,
    overlay: Mapping[str, str] | None = None,
    tell: Tell = silent,
    hear: Callable[[Sequence[Finding]], None] | None = None,
) -> Report:
    """Scan the paths and return what there is to report; `overlay` holds text in place of files on disk.

    `tell` hears how far the scan is, and `hear` the findings of each program when they are known, those of one
    file together.
    """
    with gc_at_rest():
        discovery = discover(paths, settings)
        plain = not overlay and settings.baseline is None and discovery.is_whole
        memory = _memory_of(discovery, settings) if plain and not settings.no_cache else None
        if memory is not None and (remembered := memory.recall()) is not None:
            if hear is not None:
                hear(remembered.findings)
            return remembered
        scanned, files = scan(discovery, settings, overlay, tell).shard()
        outcomes: list[Outcome] = []
        for outcome in chain((scanned.outside(files),), workers.each(scanned, files, tell)):
            outcomes.append(outcome)
            if hear is not None:
                hear(outcome.findings)
        scanned.library.flush()
        report = _merged(scanned, outcomes, files)
        if memory is not None:
            memory.keep(report, {name: state for one in outcomes for name, state in one.consulted})
    if settings.baseline is None:
        return report
    from clipcheck import baseline

    everything = [finding for outcome in outcomes for finding in outcome.everything]
    read = files - {failure.filename for failure in report.failures}
    return baseline.without_known(
        report, settings, read, lambda some: [one for one in everything if one.filename in some]
    )


def _memory_of(discovery: Discovery, settings: Settings) -> Memory | None:
    """What is remembered of such scans, where there is a cache to remember it."""
    from clipcheck.cache import open_cache  # both with what reads and writes it: a lone run does without
    from clipcheck.memory import Memory

    cache = open_cache(settings, knowledge.digest_of(settings.rules))
    return Memory(cache, discovery, settings) if cache.directory is not None else None


def _merged(scanned: Scan, outcomes: Sequence[Outcome], files: Collection[str]) -> Report:
    """One report of what all programs have to tell."""
    failures = {(one.filename, one.cell): one for outcome in outcomes for one in outcome.failures}
    sights = [outcome.sight for outcome in outcomes]
    return Report(
        tuple(sorted({one for outcome in outcomes for one in outcome.findings}, key=_place)),
        (*scanned.discovery_failures(), *(failures[key] for key in sorted(failures, key=repr))),
        Sight(*(sum(getattr(sight, name) for sight in sights) for name in _SIGHT)),
        len(files),
        tuple(sorted(label for outcome in outcomes for label in outcome.unfinished)),
        silenced=sum(outcome.silenced for outcome in outcomes),
    )


def explain(
    path: Path, row: int, settings: Settings, *, cell: int | None = None, beside: Sequence[Path] = ()
) -> str:
    """Say why the step on a line of a file (of a cell, in a notebook) is, or is not, reported.

    Where nothing marks a project, what a scan of `beside` reads is its program. Raises UserError for a file not read, and for a cell without code.
    """
    from clipcheck.explain import Case
    from clipcheck.explain import explain as tell
    from clipcheck.faults import docket_of
    from clipcheck.following import nothing, parts

    scanned = scan(discover([path, *beside], settings), settings)
    followed = list(parts(scanned))
    for failure in (*scanned.discovery.failures, *scanned.library.failures):
        if os.path.realpath(failure.filename) == os.path.realpath(path) and failure.cell in (None, cell):
            raise UserError(f"{path}: {failure.message}")
    filename = os.path.abspath(path)
    if filename not in scanned.discovery.report_on:
        raise UserError(f"{path}: excluded, or not Python")
    part = next((one for one in followed if filename in one.program.all), nothing(scanned))
    own = [verdict for verdict in part.verdicts if verdict.site.filename == filename]
    findings = marked(scanned.library, own, settings.pattern_base)
    silenced = {finding: why for finding in findings if (why := _silence(scanned, finding, settings))}
    if settings.baseline is not None:
        from clipcheck.baseline import known_among

        asked = [finding for finding in findings if finding not in silenced]
        silenced |= dict.fromkeys(
            known_among(asked, settings), f"known from the baseline {settings.baseline}"
        )
    lines = scanned.library.text(filename).splitlines()
    docket = docket_of(part.sightings, part.context)

    def locate(name: str, row: int) -> tuple[int | None, int]:
        return scanned.library.program(name).locate(row)

    try:
        row = scanned.library.program(filename).row(cell, row)
    except IndexError as error:
        raise UserError(f"{path}: {error}") from None
    return tell(Case(filename, lines, docket, findings, silenced, locate, part.sightings.exhausted), row)


def _silence(scanned: Scan, finding: Finding, settings: Settings) -> str:
    """Why a finding does not show in the report, or nothing."""
    rows = range(finding.start.row, finding.end.row + 1)
    for comment in scanned.library.suppressions(finding.filename):
        if suppress.acts(comment, finding.code, rows):
            cell, row = scanned.library.program(finding.filename).locate(comment.row)
            return f"suppressed by `{comment.text}` in line {row}{'' if cell is None else f' of cell {cell}'}"
    wanted = settings.wants(finding.code, finding.filename)
    return "" if wanted else "left out by select, ignore or per-file-ignores"


_SIGHT = field_names(Sight)


def _place(finding: Finding) -> tuple[object, ...]:
    cell = -1 if finding.cell is None else finding.cell
    return finding.filename, cell, finding.start, finding.code, finding.message


@contextmanager
def gc_at_rest() -> Iterator[None]:
    """Keep Python from looking for cycles while millions of small objects are made that are none."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
