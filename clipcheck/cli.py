"""The command line: what is asked for, where it goes, and the exit status.

Nothing heavy is imported up here: `clipcheck --version` and a clean scan load neither torch nor rich nor libcst.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from clipcheck import completion, config, output, progress
from clipcheck.config import Settings, UserError
from clipcheck.discover import STDIN, common_folder
from clipcheck.naming import nearest
from clipcheck.version import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from clipcheck.findings import Finding, Report
    from clipcheck.fixing import FixOutcome
    from clipcheck.knowledge import Framework
    from clipcheck.proving import Proof

Command = TypeVar("Command", bound=Callable[..., Any])
CLEAN, FINDINGS, TROUBLE = 0, 1, 2
# Commands in modules of their own, loaded when called: module, attribute, one line of help.
_LAZY = {
    "server": ("clipcheck.server.command", "server", "Run the language server, for editors."),
    "verify": ("clipcheck.verify.command", "verify", "Run a training command and watch its gradients."),
}


class _Group(click.Group):
    """A group whose default command is `check`, and which loads some commands only when they are called."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.resilient_parsing and not args:
            return super().parse_args(ctx, args)  # a shell asks what may come first
        first = args[0] if args else ""
        if first not in self.list_commands(ctx) and first not in ("--version", "--help", "-h"):
            self._doubt(ctx, first)
            args = ["check", *args]
        return super().parse_args(ctx, args)

    def _doubt(self, ctx: click.Context, first: str) -> None:
        """Refuse a first word that looks like a command and is no path."""
        if not first or first.startswith("-") or os.path.lexists(first) or ctx.resilient_parsing:
            return
        if near := nearest(first, self.list_commands(ctx), likeness=0.75):
            raise UserError(f"{first}: no such file or folder; did you mean the command `{near}`?")

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_LAZY})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _LAZY:
            return super().get_command(ctx, cmd_name)
        module, attribute, _ = _LAZY[cmd_name]
        try:
            command: click.Command = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            raise UserError(
                f"`clipcheck {cmd_name}` needs {missing}: install it with `pip install 'clipcheck[{cmd_name}]'`"
            ) from None
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = super().shell_complete(ctx, incomplete)
        known = {item.value for item in found}
        more = completion.first_word(check, ctx, incomplete)
        return found + [item for item in more if item.value not in known]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(ctx):
            known = self.commands.get(name)
            rows.append((name, known.get_short_help_str(60) if known else _LAZY[name][2]))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="A first word that names no command is a path: `clipcheck src` is `clipcheck check src`.",
)
@click.version_option(__version__, prog_name="clipcheck", message="%(prog)s %(version)s")
def clipcheck() -> None:
    """Find optimizer steps on gradients that nothing has clipped, and write the clipping in."""


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


@clipcheck.command()
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
@click.option("--jobs", type=int, metavar="N", help="Processes to read files with.")
@_flag("--no-cache", text="Neither read nor write the cache.")
@click.option("--cache-dir", type=click.Path(path_type=Path), metavar="DIR", help="Where to keep the cache.")
def check(paths: tuple[Path, ...], explain: str | None, config_file: Path | None, **given: Any) -> None:
    """Scan files and folders (default: the current folder) and report what is not clipped."""
    if explain is not None:
        _explain(explain, config_file, given)
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

        with progress.bar(quiet=settings.quiet) as tell:
            checked = gate.check(places, settings, partial(pipeline.run, tell=tell), overlay=overlay)
        report = checked.report
        output.name_silenced(checked.silenced, settings)
        output.name_failures(checked.refused)
        output.name_parted(checked.parted)
    output.write(report, fixed, settings, render, overlay)
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
        output.say(str(path))
    output.name_failures(found.failures)
    sys.exit(TROUBLE if found.failures else CLEAN)


def _explain(place: str, config_file: Path | None, given: dict[str, Any]) -> NoReturn:
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
    settings = config.load(common_folder([path]), config_file, given)
    from clipcheck import pipeline

    told: str = pipeline.explain(path, int(row), settings, **where)
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


@clipcheck.command()
@click.argument("code", required=False, shell_complete=completion.rules)
@click.option("--all", "every", is_flag=True, help="Explain every rule, and list the frameworks.")
@click.option("--frameworks", is_flag=True, help="List what is recognised and fixed of each framework.")
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def rule(code: str | None, every: bool, frameworks: bool, output_format: str) -> None:
    """Explain a rule, by its code or name, or list the frameworks that the rules know."""
    from clipcheck import catalog

    if (code is not None) + every + frameworks != 1:
        raise UserError("name one rule (`clipcheck rule CLP101`), or ask for --all or for --frameworks")
    rules = catalog.rules() if not frameworks else ()
    if code is not None:
        rules = tuple(item for item in rules if code.upper() == item.code or code.lower() == item.name)
        if not rules:
            known = [*catalog.codes(), *(item.name for item in catalog.rules())]
            raise UserError(f"no rule `{code}`{catalog.meant(code, known)}")
    if output_format == "text":
        pages = [item.text.rstrip("\n") + "\n" for item in rules]
        if code is None:
            pages.append(output.frameworks(_frameworks(), heading=every))
        click.echo("\n".join(pages), nl=False)
        return
    import json
    from dataclasses import asdict

    from clipcheck import listing

    if frameworks:
        click.echo(json.dumps(listing.to_json(_frameworks()), indent=2))
        return
    # A list of rules and of nothing else: scripts read it.
    shown = [asdict(item) for item in rules]
    click.echo(json.dumps(shown if every else shown[0], indent=2))


def _frameworks() -> list[Framework]:
    """The frameworks that are known here: a project's own stand in the folders that its settings name."""
    from clipcheck import knowledge, listing

    return listing.frameworks(knowledge.load(config.load(Path(".")).rules))


@clipcheck.command(name="config")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), metavar="FILE", help="Settings to use."
)
def show_config(config_file: Path | None) -> None:
    """Show the settings in force here, and where each comes from."""
    from clipcheck import catalog

    settings = config.load(Path("."), config_file)
    catalog.check_codes(settings)
    output.say(f"# project root: {settings.project_root}")
    for name in config.SETTINGS:
        if name in config.NOT_YET:
            continue
        value = config.describe(settings, name)
        key = name.replace("_", "-")
        output.say(f"# {key} is not set" if value is None else f"{key} = {value}  # {settings.source(name)}")


@clipcheck.group(name="cache")
def cache_group() -> None:
    """Look after the cache of facts."""


@cache_group.command()
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), metavar="FILE", help="Settings to use."
)
@click.option("--cache-dir", type=click.Path(path_type=Path), metavar="DIR", help="The cache to clear.")
def clear(config_file: Path | None, cache_dir: Path | None) -> None:
    """Remove all entries."""
    from clipcheck.cache import FactsCache, default_directory

    settings = config.load(Path("."), config_file, {"cache_dir": cache_dir})
    directory = settings.cache_dir or default_directory()
    removed = FactsCache(directory).clear()
    click.echo(f"removed {removed} entr{'y' if removed == 1 else 'ies'} from {directory}")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with the contract's status: 0, 1 or 2 (130 when interrupted)."""
    try:
        clipcheck.main(
            args=None if arguments is None else list(arguments), prog_name="clipcheck", standalone_mode=False
        )
    except click.exceptions.Exit as error:
        _leave(error.exit_code)
    except click.ClickException as error:
        error.show()
        _leave(TROUBLE)
    except UserError as error:
        output.say(f"error: {error}", err=True)
        _leave(TROUBLE)
    except (click.Abort, KeyboardInterrupt):
        _leave(130)
    except BrokenPipeError:
        # Who read the report has seen enough; Python would complain when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(TROUBLE)
    except Exception:  # a fault of clipcheck's own must not look like "findings" (1)
        import traceback

        traceback.print_exc()
        click.echo("error: this is a fault in clipcheck, not in your code; please report it", err=True)
        _leave(TROUBLE)
    _leave(CLEAN)


def _leave(status: int) -> NoReturn:
    raise SystemExit(status)
