"""Try fixes under a command before anything is written, and keep those that `verify` confirms, site by site.

The fixed texts run in an overlay, in place of the files. What is written in the end has run as a whole.
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from clipcheck import fixing, pipeline, progress, scripts
from clipcheck import write as writing
from clipcheck.config import Settings, UserError
from clipcheck.findings import Edit, Finding, Report
from clipcheck.fixing import FixOutcome, Plan
from clipcheck.record import dataclass
from clipcheck.scanning import scan_paths
from clipcheck.sourcefile import read
from clipcheck.verify.orders import Orders
from clipcheck.verify.rows import RowMap
from clipcheck.verify.runner import verify
from clipcheck.verify.session import Place
from clipcheck.verify.verdicts import SiteVerdict, Verification, Word

ROUNDS = 5  # runs of the command; without a refuted fix the others may fare otherwise


@dataclass(frozen=True, slots=True)
class Trial:
    """What the command showed of one fix."""

    finding: Finding
    word: Word
    reason: str
    ran: bool | None = None  # whether a line that the fix wrote ran; None: nobody counted


@dataclass(frozen=True, slots=True)
class Proof:
    """What is left to write, each part of it confirmed, and how every fix fared."""

    plan: Plan
    trials: tuple[Trial, ...]
    verification: Verification | None = None  # of the last run; None: there was nothing to try


def apply(paths: Sequence[Path], settings: Settings) -> tuple[FixOutcome, Proof]:
    """Fix what `settings.verify` confirms under `paths`, on disk. Raises UserError if it cannot be run."""
    proof = prove(paths, settings)
    outcome = fixing.write(proof.plan, lambda: pipeline.run(paths, settings))
    return outcome, proof


def prove(paths: Sequence[Path], settings: Settings) -> Proof:
    """Return what `apply` would write, with nothing written. Raises UserError if the command cannot be run."""
    command = _words(settings.verify or "")
    choice = _Choice()
    rejected: list[Trial] = []
    steps: scripts.Steps | None = None
    for _ in range(ROUNDS):
        planned = fixing.plan(paths, settings, choice.scan, choice.wanted)
        if not planned.changes:
            return Proof(planned, tuple(rejected))
        if steps is None:
            writing.sweep({os.path.dirname(os.path.realpath(one.filename)) for one in planned.fixed})
            steps = scripts.steps_by_statement(scan_paths(paths, settings))
        verification = _run(command, planned, quiet=settings.quiet)
        trials = _trials(planned, verification, steps)
        failed = [trial for trial in trials if trial.word != "confirmed"]
        if not failed:
            return Proof(planned, (*trials, *rejected), verification)
        rejected += failed
        choice.reject(trial.finding for trial in failed)
    nothing = fixing.plan(paths, settings, choice.scan, lambda _: False)
    unsettled = [
        Trial(one, "not measurable", f"no {ROUNDS} runs agree on what holds") for one in planned.fixed
    ]
    return Proof(nothing, (*rejected, *unsettled), verification)


def _words(command: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise UserError(f"--verify: `{command}` cannot be split into words: {error}") from None
    if not words:
        raise UserError("--verify: no command was given")
    return words


def _run(command: tuple[str, ...], planned: Plan, *, quiet: bool) -> Verification:
    overlay = {
        os.path.realpath(change.filename): change.source.encode(change.text) for change in planned.changes
    }
    # Standard output is the report's.
    verification = verify(
        command,
        asked=Orders(overlay=overlay, lines=True),
        quiet=True,
        heartbeat=progress.wanted(quiet=quiet),
    )
    if verification.not_run:
        raise UserError(f"--verify: the command could not be run: {verification.not_run}")
    return verification


class _Choice:
    """Which fixes a plan may take: all but those that failed, wherever other fixes have moved them."""

    def __init__(self) -> None:
        self._overlay: Mapping[str, str] = {}
        self._rejected: Counter[tuple[str, str, str, int]] = Counter()

    def scan(self, paths: Sequence[Path], settings: Settings, *, overlay: Mapping[str, str]) -> Report:
        """Scan, and remember what the rows of its findings are rows of."""
        self._overlay = overlay
        return pipeline.run(paths, settings, overlay=overlay)

    def wanted(self, finding: Finding) -> bool:
        return self._key(finding) not in self._rejected

    def reject(self, findings: Iterable[Finding]) -> None:
        self._overlay = {}
        self._rejected.update(self._key(finding) for finding in findings)

    def _key(self, finding: Finding) -> tuple[str, str, str, int]:
        """Name a finding by its line and how many equal ones come before: no fix adds another one."""
        if finding.cell is not None:
            return finding.filename, finding.code, finding.message, finding.cell
        text = self._overlay.get(finding.filename)
        if text is None:
            text = read(Path(finding.filename)).text
        rows = text.split("\n")
        line = rows[finding.start.row - 1] if finding.start.row <= len(rows) else ""
        return finding.filename, finding.code, line, rows[: finding.start.row - 1].count(line)


@dataclass(frozen=True)
class _Changed:
    """A file of the plan, and how its rows stand to those on disk."""

    filename: str
    old: str
    new: str

    @cached_property
    def rows(self) -> RowMap:
        return RowMap(self.old, self.new)

    def written_by(self, edits: Sequence[Edit]) -> set[int]:
        """Give the new rows of a fix's edits, imports left out where there are others."""
        rows = {
            row for edit in edits for row in self.rows.new_for(range(edit.start.row, edit.end.row + 1))
        }  # fmt: skip
        lines = self.new.split("\n")
        code = {row for row in rows if not lines[row - 1].lstrip().startswith(("import ", "from "))}
        return code or rows


def _trials(planned: Plan, verification: Verification, steps: scripts.Steps) -> list[Trial]:
    files = {one.filename: _Changed(one.filename, one.source.text, one.text) for one in planned.changes}
    by_place = {_as_on_disk(site.place, files): site for site in verification.sites}
    return [
        _trial(finding, files[finding.filename], verification, by_place, steps) for finding in planned.fixed
    ]


def _trial(
    finding: Finding,
    changed: _Changed,
    verification: Verification,
    by_place: Mapping[Place, SiteVerdict],
    steps: scripts.Steps,
) -> Trial:
    if finding.fix is None or finding.cell is not None:
        return Trial(finding, "not reached", "a notebook is not run by a command")
    real = os.path.realpath(finding.filename)
    written = {Place(real, row) for row in changed.written_by(finding.fix.edits)}
    own = {
        record.place
        for process in verification.sessions
        for record in process.records
        if any(clip.place in written for clip in record.clips)
    }
    places = _steps_of(finding, steps)
    sites = [site for place, site in by_place.items() if place in places or site.place in own]
    ran = True if own else _ran(written, verification)  # a clip that was seen there has run
    if verification.sessions and any(process.failures for process in verification.sessions):
        return Trial(finding, "not measurable", verification.problems[0], ran)
    if not sites or ran is False:
        what = "the line that the fix writes never ran" if sites else "the step never ran"
        crash = f" before the command ended ({verification.crash or verification.ended})"
        return Trial(finding, "not reached", what + (crash if verification.ended else ""), ran)
    order: tuple[Word, ...] = ("refuted", "not reached", "not measurable", "confirmed")
    worst = min(sites, key=lambda site: order.index(site.word))
    return Trial(finding, worst.word, worst.reason, ran)


def _ran(written: set[Place], verification: Verification) -> bool | None:
    """Say whether one of the lines ran; None where nobody counted those of their files (the run's own tracer)."""
    names = {place.filename for place in written}
    counted = {place for process in verification.sessions for place in process.lines or ()}
    return bool(written & counted) if any(place.filename in names for place in counted) else None


def _steps_of(finding: Finding, steps: scripts.Steps) -> set[Place]:
    """Give the lines that step, as on disk, which a finding is about: its own, and those of its evidence."""
    rows = [(finding.filename, row) for row in range(finding.start.row, finding.end.row + 1)]
    rows += [(one.filename, one.row) for one in finding.evidence]
    return {Place(*line) for key in rows for line in steps.get(key, ())}


def _as_on_disk(place: Place, files: Mapping[str, _Changed]) -> Place:
    for changed in files.values():
        if os.path.realpath(changed.filename) == place.filename:
            return Place(place.filename, changed.rows.original(place.row) or -place.row)
    return place
