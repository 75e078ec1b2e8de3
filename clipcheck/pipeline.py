"""The way through, on one screen: discover, extract, link, run, judge, place.

Nothing of the scanned project is imported or executed. libcst is loaded only where there is something
to report, and what follows programs only where a file can hold an event: most files that a hook is handed hold none.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from clipcheck import catalog, knowledge, suppress
from clipcheck.blocks import Block, blocks_of, enclosing
from clipcheck.config import Settings, UserError
from clipcheck.discover import Discovery, discover
from clipcheck.findings import RISKS, Finding, Report, Sight, Verdict
from clipcheck.library import Library
from clipcheck.notebook import in_cells, within_cells
from clipcheck.progress import Tell, silent
from clipcheck.project import Project
from clipcheck.record import dataclass, replace

if TYPE_CHECKING:
    from clipcheck.flow.records import Sightings, StepContext
    from clipcheck.judges import JudgeContext
    from clipcheck.knowledge import Knowledge
    from clipcheck.risk import Assessment


@dataclass(frozen=True, slots=True)
class Opened:
    """What a run is about, before any program is followed."""

    discovery: Discovery
    known: Knowledge
    library: Library
    candidates: tuple[str, ...]  # the files reported on that can hold an event


@dataclass(frozen=True, slots=True)
class Scan:
    """One run over a project, before anything is placed or filtered for a report."""

    discovery: Discovery
    library: Library
    project: Project
    sightings: Sightings
    context: JudgeContext
    verdicts: tuple[Verdict, ...]


def run(
    paths: Sequence[Path],
    settings: Settings,
    *,
    overlay: Mapping[str, str] | None = None,
    tell: Tell = silent,
) -> Report:
    """Scan the paths and return what there is to report; `overlay` holds text in place of files on disk.

    `tell` hears how far the scan is.
    """
    opened = _open(paths, settings, overlay, tell)
    reported = {str(path) for path in opened.discovery.report_on}
    scanned = _follow(opened, settings, tell) if opened.candidates else None
    report = Report(files=len(reported)) if scanned is None else _report(scanned, reported, settings)
    failures = [failure for failure in opened.library.failures if failure.filename in reported]
    report = replace(report, failures=(*opened.discovery.failures, *failures))
    if settings.baseline is None:
        return report
    from clipcheck import baseline

    def everything(files: Collection[str]) -> list[Finding]:
        return [] if scanned is None else _findings(scanned, _all_verdicts(scanned, files))

    return baseline.without_known(
        report, settings, reported - {failure.filename for failure in failures}, everything
    )


def _report(scanned: Scan, reported: set[str], settings: Settings) -> Report:
    """What there is to report on some files, but for what could not be read."""
    own = [verdict for verdict in scanned.verdicts if verdict.site.filename in reported]
    kept, idle = _suppressed(scanned, own, reported)
    shown = [verdict for verdict in kept if _wanted(verdict, settings)]
    verdicts = [*shown, *(verdict for verdict in idle if _wanted(verdict, settings))]
    return Report(
        findings=tuple(_findings(scanned, verdicts)),
        sight=_sight(scanned, reported),
        files=len(reported),
        unfinished=tuple(
            label
            for label in scanned.sightings.exhausted
            if label.rpartition(":")[0] in reported or label in reported
        ),
        silenced=sum(_wanted(verdict, settings) for verdict in own) - len(shown),
    )


def _all_verdicts(scanned: Scan, files: Collection[str]) -> list[Verdict]:
    """What is to be said of some files at any risk, and of any rule."""
    from clipcheck.judges import judge

    context = replace(scanned.context, settings=replace(scanned.context.settings, min_risk="none"))
    own = [verdict for verdict in judge(scanned.sightings, context) if verdict.site.filename in files]
    kept, idle = _suppressed(scanned, own, files)
    return [*kept, *idle]


def explain(path: Path, row: int, settings: Settings, *, cell: int | None = None) -> str:
    """Say why the step on a line of a file (of a cell, in a notebook) is, or is not, reported.

    Raises UserError for a file not read, and for a cell without code.
    """
    from clipcheck.explain import Case
    from clipcheck.explain import explain as tell
    from clipcheck.faults import docket_of

    scanned = scan([path], settings)
    for failure in (*scanned.discovery.failures, *scanned.library.failures):
        if os.path.realpath(failure.filename) == os.path.realpath(path) and failure.cell in (None, cell):
            raise UserError(f"{path}: {failure.message}")
    if not scanned.discovery.report_on:
        raise UserError(f"{path}: excluded, or not Python")
    filename = str(scanned.discovery.report_on[0])
    own = [verdict for verdict in scanned.verdicts if verdict.site.filename == filename]
    findings = _marked(scanned, own)
    silenced = {finding: why for finding in findings if (why := _silence(scanned, finding, settings))}
    if settings.baseline is not None:
        from clipcheck.baseline import known_among

        asked = [finding for finding in findings if finding not in silenced]
        silenced |= dict.fromkeys(
            known_among(asked, settings), f"known from the baseline {settings.baseline}"
        )
    lines = scanned.library.text(filename).splitlines()
    docket = docket_of(scanned.sightings, scanned.context)

    def locate(name: str, row: int) -> tuple[int | None, int]:
        return scanned.library.program(name).locate(row)

    try:
        row = scanned.library.program(filename).row(cell, row)
    except IndexError as error:
        raise UserError(f"{path}: {error}") from None
    return tell(Case(filename, lines, docket, findings, silenced, locate, scanned.sightings.exhausted), row)


def _silence(scanned: Scan, finding: Finding, settings: Settings) -> str:
    """Why a finding does not show in the report, or nothing."""
    module = scanned.library.known(finding.filename)
    rows = range(finding.start.row, finding.end.row + 1)
    for comment in module.suppressions if module is not None else ():
        if suppress.acts(comment, finding.code, rows):
            cell, row = scanned.library.program(finding.filename).locate(comment.row)
            return f"suppressed by `{comment.text}` in line {row}{'' if cell is None else f' of cell {cell}'}"
    wanted = settings.wants(finding.code, finding.filename)
    return "" if wanted else "left out by select, ignore or per-file-ignores"


def scan(
    paths: Sequence[Path],
    settings: Settings,
    overlay: Mapping[str, str] | None = None,
    tell: Tell = silent,
) -> Scan:
    """Discover, extract, link, run and judge."""
    return _follow(_open(paths, settings, overlay, tell), settings, tell)


def _open(paths: Sequence[Path], settings: Settings, overlay: Mapping[str, str] | None, tell: Tell) -> Opened:
    """Discover, and search the files reported on for what can be an event."""
    discovery = discover(paths, settings)
    known = knowledge.load(settings.rules, settings.clip_functions, settings.step_functions)
    library = Library(known, settings, overlay or {}, tell)
    candidates = library.candidates(str(path) for path in discovery.report_on)
    return Opened(discovery, known, library, tuple(candidates))


def _follow(opened: Opened, settings: Settings, tell: Tell) -> Scan:
    """Extract, link, run and judge."""
    from clipcheck.flow.interpreter import Interpreter
    from clipcheck.judges import JudgeContext, judge
    from clipcheck.pins import Pins
    from clipcheck.risk import Assessor
    from clipcheck.settingsfiles import SettingsFiles

    discovery, known, library = opened.discovery, opened.known, opened.library
    candidates = opened.candidates
    files = [str(path) for path in discovery.project_files()] if candidates else []
    settings_files = SettingsFiles(str(discovery.root), library.settings_text)
    pins = Pins(str(discovery.root), library.settings_text)
    project = Project([*files, *candidates], library.read, known, settings_files, pins)
    library.prefetch(candidates)
    callers = library.callers(project, candidates, files)
    sightings = Interpreter(project).run([*candidates, *callers], tell)
    assessor = Assessor(project, sightings, settings.long_sequence, settings.deep, settings.recurrent_classes)

    def assess(context: StepContext) -> Assessment:
        return assessor.assess(context.models, context.entry, context.loops)

    def body(filename: str) -> Block:
        module = project.facts(filename)
        return module.body if module is not None else ()

    context = JudgeContext(known, settings, assess, body)
    verdicts = judge(sightings, context) if candidates else []
    return Scan(discovery, library, project, sightings, context, tuple(verdicts))


def _wanted(verdict: Verdict, settings: Settings) -> bool:
    """Whether the settings ask for this verdict; only absent clipping depends on the risk."""
    if not settings.wants(verdict.code, verdict.site.filename):
        return False
    return not verdict.code.startswith("CLP1") or RISKS.index(verdict.risk) >= RISKS.index(settings.min_risk)


def _suppressed(
    scanned: Scan, verdicts: Iterable[Verdict], reported: Collection[str]
) -> tuple[list[Verdict], list[Verdict]]:
    """The verdicts that no comment suppresses, and a CLP901 for each comment that suppresses nothing."""
    by_file: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        by_file[verdict.site.filename].append(verdict)
    kept: list[Verdict] = []
    idle: list[Verdict] = []
    for filename in sorted(reported):
        module = scanned.library.known(filename)
        comments = module.suppressions if module is not None else ()
        if not comments:
            kept += by_file.get(filename, [])
            continue
        rows = partial(_rows, module.body if module is not None else ())
        left, unused = suppress.apply(by_file.get(filename, []), comments, rows, filename=filename)
        kept += left
        idle += unused
    return kept, idle


def _rows(body: Block, verdict: Verdict) -> range:
    """The rows of the statement that a verdict is about; of one that holds others, those of the verdict alone."""
    span = verdict.site.span
    around = enclosing(body, span)
    if around is not None and next(blocks_of(around.statement), None) is None:
        span = around.statement.span
    return range(span.row, span.end_row + 1)


def _findings(scanned: Scan, verdicts: Sequence[Verdict]) -> list[Finding]:
    """What the verdicts are in a report: their places counted in cells, where they are in notebooks."""
    return [in_cells(one, scanned.library.program) for one in _marked(scanned, verdicts)]


def _marked(scanned: Scan, verdicts: Sequence[Verdict]) -> list[Finding]:
    """The findings, exactly placed, with what they are known by when rows have moved."""
    if not verdicts:
        return []
    from clipcheck.fingerprint import marked

    base = scanned.context.settings.pattern_base
    told: list[Finding] = []
    for filename, own in groupby(_placed(scanned, verdicts), key=lambda one: one.filename):
        told += marked(list(own), scanned.library.program(filename), base)
    return told


def _placed(scanned: Scan, verdicts: Sequence[Verdict]) -> list[Finding]:
    """The findings, exactly placed, in the order of files and rows."""
    if not verdicts:
        return []
    from clipcheck.place import place

    names = catalog.names()
    findings: list[Finding] = []
    by_file: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        by_file[verdict.site.filename].append(verdict)
    for filename in sorted(by_file):
        program = scanned.library.program(filename)
        own = [replace(one, repair=within_cells(one.repair, program)) for one in by_file[filename]]
        findings += place(program.text, own, names)
    return sorted(findings, key=lambda one: (one.filename, one.start, one.code))


def _sight(scanned: Scan, reported: set[str]) -> Sight:
    """What became of the steps in the files reported on."""
    from clipcheck.judges import sight as count_sight

    own = {site: step for site, step in scanned.sightings.steps.items() if site.filename in reported}
    return count_sight(replace(scanned.sightings, steps=own), scanned.context)
