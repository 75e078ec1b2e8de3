"""The command `check`: scan, and report, fix or explain what is found."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from clipcheck import completion, config, output, progress
from clipcheck.config import Settings, UserError
from clipcheck.discover import STDIN, common_folder

if TYPE_CHECKING:
    from clipcheck.findings import Finding, Report
    from clipcheck.fixing import FixOutcome
    from clipcheck.proving import Proof

Command = TypeVar("Command", bound=Callable[..., Any])
CLEAN, FINDINGS, TROUBLE = 0, 1, 2


def _split(_ctx: click.Context, _parameter: click.Parameter, value: Sequence[str]) -> list[str] | None:
    """Take `--select CLP1,CLP203 --select CLP3` as one list; not given at all is None."""
    codes = [code.strip() for item in value for code in item.split(",")]
    return [code for code in codes if code] if value else None


def _flag(*names: str, text: str) -> Callable[[Command], Command]:
    """An option that is on, or not given: then the configuration file decides."""
    return click.option(*names, is_flag=True, flag_value=True, default=None, help=text)


def _codes(name: str, *, text: str) -> Callable[[Command], Command]:
    """An option that takes codes of rules, in one list or in several."""
    return click.option(
        name, multiple=True, callback=_split, metavar="CODES", shell_complete=completion.codes, help=text
    )


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@_flag("--fix", text="Write the safe fixes.")
@_flag("--unsafe-fixes", text="Write (or show) the unsafe fixes as well.")
@_flag("--diff", text="Print what --fix would write as a unified diff; write nothing.")
@_flag("--show-fixes", text="List what was fixed.")
@click.option(
    "--verify",
    metavar="COMMAND",
    help="With --fix: write only what `verify` confirms under COMMAND, which is run.",
)
@click.option("--max-norm", type=float, help="Threshold that fixes insert where the project has none.  [1.0]")
@click.option(
    "--min-risk",
    metavar="none|low|medium|high",
    shell_complete=completion.risks,
    help="Report absent clipping from this risk up.  [medium]",
)
@_codes("--select", text="Rules by code or prefix.")
@_codes("--ignore", text="Rules to leave out.")
@_flag("--exit-zero", text="Exit with 0 even when there are findings.")
@_flag("--exit-non-zero-on-fix", text="Exit with 1 if something was fixed.")
@click.option(
    "--output-format",
    metavar="FORMAT",
    shell_complete=completion.formats,
    help=f"{', '.join(config.FORMATS[:-1])} or {config.FORMATS[-1]}.  [text]",
)
@click.option(
    "--output-file", type=click.Path(path_type=Path), metavar="PATH", help="Write the report there."
)
@_flag("--statistics", text="Count the findings of each rule.")
@_flag("--show-files", text="List the files that would be reported on, and stop.")
@_flag("--quiet", "-q", text="Print findings only.")
@click.option(
    "--explain",
    metavar="FILE:LINE",
    help="Say why the step there is, or is not, reported (in a notebook: FILE:CELL:LINE, cells from 0).",
)
@_flag("--add-ignores", text="Write a comment that silences each finding (with --diff: print the diff).")
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Report what is new alone: leave out what this file holds.",
)
@click.option(
    "--write-baseline",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write what is found to this file, and report it no more.",
)
@click.option("--stdin-filename", metavar="NAME", help="The name of the file on standard input (path `-`).")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), metavar="FILE", help="Settings to use."
)
@_flag("--force-exclude", text="Apply exclusions to files named outright, too.")
@click.option("--shard", metavar="K/N", help="Report on one part of N of the files, as one of N jobs.")
@click.option("--jobs", type=int, metavar="N", help="Processes to read files with.")
@_flag("--no-cache", text="Neither read nor write the cache.")
@click.option("--cache-dir", type=click.Path(path_type=Path), metavar="DIR", help="Where to keep the cache.")
def check(paths: tuple[Path, ...], explain: str | None, config_file: Path | None, **given: Any) -> None:
    """Scan files and folders (default: the current folder) and report what is not clipped."""
    if explain is not None:
        _explain(explain, config_file, given, paths)
    from clipcheck import catalog, gate
    from clipcheck import report as reports

    places = list(paths) or [Path(".")]
    settings = config.load(common_folder(places, given["stdin_filename"]), config_file, given)
    catalog.check_codes(settings)
    if settings.verify is not None and not (settings.fix or settings.diff):
        raise UserError("--verify goes with --fix (or with --diff, to see what that would write)")
    render = reports.renderer(settings.output_format)
    output.check_places(settings)
    overlay = _standard_input(places, settings)
    if settings.show_files:
        _show_files(places, settings)
    gate.agree(settings)
    if settings.diff:
        _diff(places, settings)
    fixed: tuple[Finding, ...] = ()
    if settings.fix:
        outcome = gate.fixed(_fix(places, settings), settings)
        report, fixed = outcome.report, outcome.fixed
        output.hint_at_unsafe(outcome.report, settings)
        output.name_failures(outcome.refused)  # findings of these files remain, which is what counts
        output.name_parted(outcome.parted)
    else:
        from clipcheck import pipeline

        hear = output.as_known(settings)
        with progress.bar(quiet=settings.quiet) as tell:
            checked = gate.check(
                places, settings, partial(pipeline.run, tell=tell, hear=hear), overlay=overlay
            )
        report = checked.report
        output.name_silenced(checked.silenced, settings)
        output.name_failures(checked.refused)
        output.name_parted(checked.parted)
    output.write(report, fixed, settings, render if settings.fix or hear is None else None, overlay)
    sys.exit(_status(report, fixed, settings))


def _fix(places: list[Path], settings: Settings) -> FixOutcome:
    if settings.verify is None:
        from clipcheck import fixing, pipeline

        with progress.bar(quiet=settings.quiet) as tell:
            return fixing.apply(places, settings, partial(pipeline.run, tell=tell))
    from clipcheck import proving

    outcome, proof = proving.apply(places, settings)
    _name_trials(proof, settings)
    return outcome


def _name_trials(proof: Proof, settings: Settings) -> None:
    """Say on standard error how each fix fared under the command: what was left out, and why."""
    for trial in proof.trials:
        if trial.word == "confirmed" and settings.quiet:
            continue
        one = trial.finding
        name = os.path.relpath(one.filename)
        what = "confirmed" if trial.word == "confirmed" else f"not fixed: {trial.word}"
        output.say(f"{name}:{one.start.row}: {one.code} {what}: {trial.reason}", err=True)


def _status(report: Report, fixed: Sequence[Finding], settings: Settings) -> int:
    if report.failures:
        return TROUBLE  # a file nobody has looked at: --exit-zero does not hide it
    found = bool(report.findings) or (bool(fixed) and settings.exit_non_zero_on_fix)
    return FINDINGS if found and not settings.exit_zero else CLEAN


def _standard_input(places: list[Path], settings: Settings) -> dict[str, str]:
    """Return the text on standard input under the name that it is scanned by."""
    if STDIN not in places:
        if settings.source("stdin_filename") == "command line":
            raise UserError("--stdin-filename goes with the path `-`")
        return {}
    if len(places) > 1:
        raise UserError("`-` (standard input) cannot be mixed with other paths")
    if settings.fix or settings.diff or settings.add_ignores or settings.write_baseline is not None:
        raise UserError(
            "--fix, --diff, --add-ignores and --write-baseline need a file; standard input can only be checked"
        )
    from clipcheck.discover import discover
    from clipcheck.sourcefile import decode

    name = discover(places, settings).stdin
    data = sys.stdin.buffer.read()
    try:
        return {str(name): decode(data)[0]}
    except (SyntaxError, LookupError, UnicodeError) as error:
        raise UserError(f"standard input cannot be decoded: {error}") from None


def _show_files(places: list[Path], settings: Settings) -> NoReturn:
    from clipcheck.discover import discover

    found = discover(places, settings)
    for path in found.report_on:
        output.say(path)
    output.name_failures(found.failures)
    sys.exit(TROUBLE if found.failures else CLEAN)


def _explain(
    place: str, config_file: Path | None, given: dict[str, Any], paths: tuple[Path, ...]
) -> NoReturn:
    from clipcheck.notebook import is_notebook

    name, _, row = place.rpartition(":")
    where: dict[str, int] = {}
    file, _, cell = name.rpartition(":")
    if is_notebook(file):
        name, cell = file, cell.removeprefix("cell ")
        where = {"cell": int(cell)} if cell.isdecimal() else {}
    if not name or not row.isdecimal() or int(row) < 1 or (is_notebook(name) and not where):
        raise UserError(
            "--explain takes FILE:LINE, such as train.py:40, and of a notebook "
            f"FILE:CELL:LINE, such as train.ipynb:3:12, not `{place}`"
        )
    path = Path(name)
    if not path.is_file():
        raise UserError(f"{name}: no such file")
    settings = config.load(common_folder([path, *paths]), config_file, given)
    from clipcheck import pipeline

    told: str = pipeline.explain(path, int(row), settings, beside=paths, **where)
    for line in told.splitlines():
        output.say(line)
    sys.exit(CLEAN)


def _diff(places: list[Path], settings: Settings) -> NoReturn:
    from clipcheck import fixing, gate, pipeline

    if settings.verify is None:
        with progress.bar(quiet=settings.quiet) as tell:
            plan = gate.plan(places, settings, partial(pipeline.run, tell=tell))
    else:
        from clipcheck import proving

        proof = proving.prove(places, settings)
        plan = proof.plan
        _name_trials(proof, settings)
    text = fixing.diff(plan)
    output.patch(text)
    output.name_failures((*plan.report.failures, *plan.refused))
    output.name_unfinished(plan.report, settings)
    output.hint_at_unsafe(plan.report, settings)
    if plan.report.failures:
        sys.exit(TROUBLE)
    sys.exit(FINDINGS if text and not settings.exit_zero else CLEAN)
