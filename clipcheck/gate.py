"""What a scan may do besides reporting: write comments for what is found, or a baseline of it.

The command line and the function `clipcheck.check` both come through here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clipcheck.config import Settings, UserError
from clipcheck.findings import Failure, Finding, Report
from clipcheck.record import dataclass, replace

if TYPE_CHECKING:
    from clipcheck.fixing import FixOutcome, Plan, Run


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check found, and what it wrote."""

    report: Report  # of what remains
    silenced: tuple[Finding, ...] = ()  # findings that have got a comment
    refused: tuple[Failure, ...] = ()  # findings and files that could not have one
    parted: tuple[str, ...] = ()  # files written whose other names (hard links) keep the old text


def agree(settings: Settings) -> None:
    """Refuse what cannot be asked for together. Raises UserError."""
    if settings.add_ignores and (settings.fix or settings.verify is not None):
        raise UserError(
            "--add-ignores does not go with --fix: run --fix first, then --add-ignores for the rest"
        )
    if settings.add_ignores and settings.write_baseline is not None:
        raise UserError("--add-ignores and --write-baseline are two ways to the same end: take one")
    if settings.diff and settings.write_baseline is not None:
        raise UserError("--diff writes nothing, and so does not go with --write-baseline")


def check(
    paths: Sequence[Path], settings: Settings, run: Run, *, overlay: Mapping[str, str] | None = None
) -> Outcome:
    """Scan, write what the settings ask for, and return what remains. Raises UserError.

    `overlay` holds text in place of files on disk.
    """
    agree(settings)
    if settings.add_ignores:
        from clipcheck import fixing, ignores

        written = fixing.write(ignores.plan(paths, settings, run), lambda: run(paths, settings, overlay={}))
        return Outcome(written.report, written.fixed, written.refused, written.parted)
    return Outcome(keep(run(paths, settings, overlay=overlay or {}), settings))


def plan(paths: Sequence[Path], settings: Settings, run: Run) -> Plan:
    """Return what `--fix`, or `--add-ignores`, would write."""
    from clipcheck import fixing, ignores

    agree(settings)
    if settings.add_ignores:
        return ignores.plan(paths, settings, run)
    return fixing.plan(paths, settings, run)


def fixed(outcome: FixOutcome, settings: Settings) -> FixOutcome:
    """Return the outcome of a fix, with what remains written to the baseline that the settings ask for."""
    return replace(outcome, report=keep(outcome.report, settings))


def keep(report: Report, settings: Settings) -> Report:
    """Return the report of what remains once the baseline that the settings ask for is written."""
    if settings.write_baseline is None:
        return report
    from clipcheck import baseline

    return baseline.keep(report, settings)
