"""What one program has to tell: its findings, exactly placed, what comments silence, and what became of its steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from pathlib import Path

from clipcheck import catalog, suppress
from clipcheck.blocks import enclosing
from clipcheck.config import Settings
from clipcheck.facts import Block, blocks_of
from clipcheck.findings import RISKS, Failure, Finding, Sight, Verdict
from clipcheck.library import Library, State
from clipcheck.notebook import in_cells, within_cells
from clipcheck.record import dataclass, replace


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is reported of some files; plain values, which may come from another process."""

    findings: tuple[Finding, ...] = ()
    silenced: int = 0  # findings that a comment asks to leave alone
    sight: Sight = Sight()
    unfinished: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    consulted: tuple[tuple[str, State | None], ...] = ()  # settings files that were looked for
    everything: tuple[Finding, ...] = ()  # at any risk, of any rule: only where there is a baseline


def findings_of(
    library: Library, settings: Settings, verdicts: Iterable[Verdict], files: Collection[str]
) -> tuple[tuple[Finding, ...], int]:
    """The findings of some files that the settings ask for and no comment suppresses, and how many one does."""
    verdicts = list(verdicts)
    kept, idle = _suppressed(library, verdicts, files)
    shown = [verdict for verdict in kept if wanted(verdict, settings)]
    told = [*shown, *(verdict for verdict in idle if wanted(verdict, settings))]
    silenced = sum(wanted(verdict, settings) for verdict in verdicts) - len(shown)
    findings = [in_cells(one, library.program) for one in marked(library, told, settings.pattern_base)]
    return tuple(findings), silenced


def everything_asked(settings: Settings) -> Settings:
    """The settings with nothing left out: what a baseline is held against."""
    return replace(settings, min_risk="none", select=(), ignore=(), per_file_ignores=())


def wanted(verdict: Verdict, settings: Settings) -> bool:
    """Whether the settings ask for this verdict; only absent clipping depends on the risk."""
    if not settings.wants(verdict.code, verdict.site.filename):
        return False
    return not verdict.code.startswith("CLP1") or RISKS.index(verdict.risk) >= RISKS.index(settings.min_risk)


def _suppressed(
    library: Library, verdicts: Iterable[Verdict], files: Collection[str]
) -> tuple[list[Verdict], list[Verdict]]:
    """The verdicts that no comment suppresses, and a CLP901 for each comment that suppresses nothing."""
    by_file: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        by_file[verdict.site.filename].append(verdict)
    kept: list[Verdict] = []
    idle: list[Verdict] = []
    for filename in sorted(files):
        own = by_file.get(filename, [])
        comments = library.suppressions(filename, idle=not own)
        if not comments:
            kept += own
            continue
        rows = partial(_rows, library.body(filename))
        left, unused = suppress.apply(own, comments, rows, filename=filename)
        kept += left
        idle += unused
    return kept, idle


def _rows(body: Block, verdict: Verdict) -> range:
    """The rows of the statement that a verdict is about; of one that holds others, those of the verdict alone."""
    span = verdict.site.span
    around = enclosing(body, span)
    if around is not None and not blocks_of(around.statement):
        span = around.statement.span
    return range(span.row, span.end_row + 1)


def marked(library: Library, verdicts: Sequence[Verdict], base: Path) -> list[Finding]:
    """The findings, exactly placed, with what they are known by when rows have moved (paths from `base`)."""
    if not verdicts:
        return []
    from clipcheck.fingerprint import marked as mark
    from clipcheck.place import place

    names = catalog.names()
    told: list[Finding] = []
    by_file: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        by_file[verdict.site.filename].append(verdict)
    for filename in sorted(by_file):
        program = library.program(filename)
        own = [replace(one, repair=within_cells(one.repair, program)) for one in by_file[filename]]
        placed = place(program.text, own, names)
        told += mark(sorted(placed, key=lambda one: (one.start, one.code)), program, base)
    return told
