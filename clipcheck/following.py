"""One program: linked, followed along its ways, and judged. All that a scan without events does not need is here."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from clipcheck.facts import Block
from clipcheck.findings import Finding, Verdict
from clipcheck.flow.interpreter import Interpreter
from clipcheck.flow.records import Sightings, StepContext
from clipcheck.judges import JudgeContext, judge
from clipcheck.judges import sight as count_sight
from clipcheck.outcome import Outcome, everything_asked, findings_of
from clipcheck.programs import Program
from clipcheck.project import Project
from clipcheck.record import dataclass, replace
from clipcheck.risk import Assessment, Assessor
from clipcheck.scanning import Scan


@dataclass(frozen=True, slots=True)
class Part:
    """One program, followed and judged, before anything is placed or filtered for a report."""

    program: Program
    project: Project
    sightings: Sightings
    context: JudgeContext
    verdicts: tuple[Verdict, ...]


def follow(scanned: Scan, program: Program) -> Part:
    """Run a program abstractly, and judge what was seen."""
    project, settings = scanned.project(), scanned.settings
    sightings = Interpreter(project).run(program.all)
    assessor = Assessor(project, sightings, settings.long_sequence, settings.deep, settings.recurrent_classes)

    def assess(context: StepContext) -> Assessment:
        return assessor.assess(context.models, context.entry, context.loops, context.reached, context.frozen)

    def body(filename: str) -> Block:
        module = project.facts(filename)
        return module.body if module is not None else ()

    context = JudgeContext(project.knowledge, settings, assess, body)
    return Part(program, project, sightings, context, tuple(judge(sightings, context)))


def parts(scanned: Scan) -> Iterator[Part]:
    """Follow and judge the programs of a scan, one after the other."""
    return (follow(scanned, program) for program in scanned.programs)


def nothing(scanned: Scan) -> Part:
    """A program of no file."""
    return follow(scanned, Program((), ()))


def outcome(scanned: Scan, program: Program, files: Collection[str]) -> Outcome:
    """What a program has to tell of some files; what it saw in those of other programs is for these to tell."""
    part = follow(scanned, program)

    def is_told(filename: str) -> bool:
        return filename in files and scanned.owners.get(filename, program) is program

    verdicts = [verdict for verdict in part.verdicts if is_told(verdict.site.filename)]
    own = {name for name in program.all if is_told(name)} | {one.site.filename for one in verdicts}
    findings, silenced = findings_of(scanned.library, scanned.settings, verdicts, own)
    steps = {site: step for site, step in part.sightings.steps.items() if is_told(site.filename)}
    scanned.library.flush()
    return Outcome(
        findings,
        silenced,
        count_sight(replace(part.sightings, steps=steps), part.context),
        tuple(label for label in part.sightings.exhausted if {label, label.rpartition(":")[0]} & own),
        scanned.failures(files),
        tuple(scanned.library.consulted.items()),
        _everything(scanned, part, own),
    )


def _everything(scanned: Scan, part: Part, files: Collection[str]) -> tuple[Finding, ...]:
    """What is to be said of some files at any risk, and of any rule: what a baseline is held against."""
    if scanned.settings.baseline is None:
        return ()
    settings = everything_asked(scanned.settings)
    verdicts = judge(part.sightings, replace(part.context, settings=settings))
    asked = (one for one in verdicts if one.site.filename in files)
    return findings_of(scanned.library, settings, asked, files)[0]
