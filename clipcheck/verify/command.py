"""The command `clipcheck verify`: run a training command under the observer and say what it saw."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from .runner import DEFAULT_MAX_STEPS


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
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the verdicts as JSON."
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
def verify(max_steps: int, max_norm: float | None, json_file: Path | None, command: tuple[str, ...]) -> None:
    """Run COMMAND (a training script, unchanged) and watch its gradients.

    For example: clipcheck verify -- python train.py --epochs 1

    This runs the code. The steps that the scan finds in the script that COMMAND names, and in the project
    files that it imports, are expected to run; what else runs is judged as well. `raw` is the gradient norm
    that backward left, `used` the one that the step used.

    Exit status: 0 every step is confirmed to be clipped, 1 one is not (or did not run, or none was met),
    2 the command could not be run, or the JSON not written. A command that crashes is named, and the steps
    before the crash are judged.
    """
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise click.BadParameter(f"the folder of {json_file} does not exist", param_hint="--json")
    from .render import to_json, to_text
    from .runner import verify as run

    verification = run(command, max_steps=max_steps, max_norm=max_norm, known_sites=_known_sites(command))
    click.echo(to_text(verification), nl=False, err=bool(verification.not_run))
    if json_file is not None:
        try:
            json_file.write_text(json.dumps(to_json(verification), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            click.echo(f"error: {json_file} cannot be written: {error.strerror or error}", err=True)
            sys.exit(2)
    sys.exit(verification.exit_code)


def _known_sites(command: tuple[str, ...]) -> list[tuple[str, int]]:
    """The steps that the command should meet; a scan that fails costs only the verdicts on those not met."""
    try:
        from clipcheck.scripts import step_sites

        return step_sites(command)
    except Exception as error:
        click.echo(f"note: only steps that run are judged, since the scan failed: {error}", err=True)
        return []
