"""The command `clipcheck verify`: run a training command under the observer and say what it saw."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipcheck import progress

from .extras import Extras, advised, extras_json, extras_lines, run_twice
from .runner import DEFAULT_MAX_STEPS
from .twice import Fixed, Runs

if TYPE_CHECKING:
    from clipcheck.scripts import Known

    from .verdicts import Verification

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    options_metavar="[OPTIONS] --",
)
@click.option(
    "--max-steps",
    type=click.IntRange(min=1),
    default=DEFAULT_MAX_STEPS,
    show_default=True,
    help="Stop the run after so many optimizer steps.",
)
@click.option(
    "--max-norm",
    type=click.FloatRange(min=0.0, min_open=True),
    help="The threshold to hold the steps to, in place of the one the code gives.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="Seed random, numpy and torch before the command's own code.  [0 with --compare and --stress]",
)
@click.option(
    "--compare", is_flag=True, help="Run the files as they are, and as --fix would make them, and compare."
)
@click.option(
    "--stress",
    type=click.FloatRange(min=1.0, min_open=True),
    metavar="FACTOR",
    help="Make gradients FACTOR times larger at every step, without clipping and with it, to see what breaks.",
)
@click.option("--unsafe-fixes", is_flag=True, help="Take the unsafe fixes as well, in what is compared.")
@click.option(
    "--json", "json_file", type=_FILE, help="Write the verdicts, and all that was recorded, as JSON."
)
@click.option("--report", type=_FILE, help="Write a page (HTML, one file) with the verdicts and plots.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
def verify(
    max_steps: int,
    max_norm: float | None,
    seed: int | None,
    compare: bool,
    stress: float | None,
    unsafe_fixes: bool,
    json_file: Path | None,
    report: Path | None,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND (a training script, unchanged) and watch its gradients.

    For example: clipcheck verify -- python train.py --epochs 1

    This runs the code, and leaves your files alone but for what COMMAND itself writes: fixed files (--compare,
    --stress) run from memory. The steps that the scan finds in the script that COMMAND names, and in the
    project files that it imports, are expected to run; what else runs is judged as well. `raw` is the gradient
    norm that backward left, `used` the one that the step used.

    Exit status: 0 every step is confirmed to be clipped, 1 one is not (or did not run, or none was met),
    2 the command could not be run, or a file not written. A command that crashes is named, and the steps
    before the crash are judged.
    """
    _check_targets(json_file, report)
    extras = Extras()
    known = _known(command)
    twice = compare or stress is not None
    runs = Runs(
        command,
        max_steps=max_steps,
        max_norm=max_norm,
        seed=seed or 0 if twice else seed,
        known_sites=known.lines,
        by_hand=tuple(known.by_hand),
        heartbeat=progress.wanted(quiet=False),
    )
    if twice:
        verification, extras = run_twice(
            runs, _fixed(command, unsafe_fixes, max_norm), stress, compare=compare
        )
    else:
        verification = runs.once()
    moved = extras.fixed.moved(list(known.families))
    extras = advised(extras, verification, dict(zip(moved, known.families.values(), strict=True)))
    _show(verification)
    click.echo(
        "".join(f"{line}\n" for line in extras_lines(extras)), nl=False, err=bool(verification.not_run)
    )
    targets = ((json_file, lambda it: _json(it, extras)), (report, lambda it: _page(it, extras)))
    written = [path is None or _write(path, make, verification) for path, make in targets]
    sys.exit(verification.exit_code if all(written) else 2)


def _check_targets(json_file: Path | None, report: Path | None) -> None:
    """Refuse what would fail after the run, before it."""
    for option, path in (("--json", json_file), ("--report", report)):
        if path is not None and not path.absolute().parent.is_dir():
            raise click.BadParameter(f"the folder of {path} does not exist", param_hint=option)
    if report is not None:
        absent = [name for name in ("jinja2", "matplotlib") if find_spec(name) is None]
        if absent:
            raise click.UsageError(f"--report needs {absent[0]}: pip install 'clipcheck[report]'")


def _show(verification: Verification) -> None:
    """Show it to whom standard output belongs: people at a terminal, or a program."""
    from .showing.render import to_text

    if sys.stdout.isatty() and not os.environ.get("CI") and not verification.not_run:
        from rich.console import Console

        from .showing.terminal import show

        show(verification, Console())
    else:
        click.echo(to_text(verification), nl=False, err=bool(verification.not_run))


def _json(verification: Verification, extras: Extras) -> str:
    from .showing.render import to_json

    return json.dumps({**to_json(verification), **extras_json(extras)}, indent=2) + "\n"


def _page(verification: Verification, extras: Extras) -> str:
    from clipcheck.version import __version__

    from .showing.page import to_html

    return to_html(
        verification,
        version=__version__,
        names=extras.fixed.names,
        comparison=extras.comparison,
        stress=extras.stress,
        advice=dict(extras.advice),
    )


def _write(path: Path, make: Callable[[Verification], str], verification: Verification) -> bool:
    try:
        path.write_text(make(verification), encoding="utf-8")
    except OSError as error:
        click.echo(f"error: {path} cannot be written: {error.strerror or error}", err=True)
        return False
    return True


def _fixed(command: tuple[str, ...], unsafe: bool, max_norm: float | None) -> Fixed:
    """What `--fix` would make of the files that the command leads to."""
    from clipcheck.config import UserError
    from clipcheck.scripts import fixes_for

    try:
        planned = fixes_for(command, unsafe=unsafe, max_norm=max_norm)
    except (UserError, OSError) as error:
        raise click.ClickException(f"the fixes cannot be made: {error}") from error
    return Fixed(
        {
            os.path.realpath(change.filename): (
                change.source.text, change.text, change.source.encode(change.text)
            )
            for change in planned.changes
        }
    )  # fmt: skip


def _known(command: tuple[str, ...]) -> Known:
    """What the scan knows of the steps; one that fails costs only the verdicts on those that are not met."""
    from clipcheck.scripts import Known, known_steps

    try:
        return known_steps(command)
    except Exception as error:
        click.echo(f"note: only steps that run are judged, since the scan failed: {error}", err=True)
        return Known()
