"""The command line: which command is asked for, and the exit status.

A command is imported when it is called, and so are its options.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

import click

from clipcheck.version import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

TROUBLE = 2  # usage, or files that could not be read
# The commands: module, attribute, and the line of help, for which --help need not import them.
_COMMANDS = {
    "cache": ("clipcheck.asking", "cache_group", "Look after the cache of facts."),
    "check": (
        "clipcheck.checking",
        "check",
        "Scan files and folders (default: the current folder) and report what is not clipped.",
    ),
    "config": (
        "clipcheck.asking",
        "show_config",
        "Show the settings in force here, and where each comes from.",
    ),
    "rule": (
        "clipcheck.asking",
        "rule",
        "Explain a rule, by its code or name, or list the frameworks that the rules know.",
    ),
    "server": ("clipcheck.server.command", "server", "Run the language server, for editors."),
    "verify": ("clipcheck.verify.command", "verify", "Run a training command and watch its gradients."),
}


class _Group(click.Group):
    """A group whose default command is `check`, and which loads a command when it is called."""

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
        from clipcheck.config import UserError
        from clipcheck.naming import nearest

        if near := nearest(first, self.list_commands(ctx), likeness=0.75):
            raise UserError(f"{first}: no such file or folder; did you mean the command `{near}`?")

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, attribute, _ = _COMMANDS[cmd_name]
        try:
            command: click.Command = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            from clipcheck.config import UserError

            missing = (error.name or "").partition(".")[0]
            raise UserError(
                f"`clipcheck {cmd_name}` needs {missing}: install it with `pip install 'clipcheck[{cmd_name}]'`"
            ) from None
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from clipcheck import completion
        from clipcheck.checking import check

        found = super().shell_complete(ctx, incomplete)
        known = {item.value for item in found}
        more = completion.first_word(check, ctx, incomplete)
        return found + [item for item in more if item.value not in known]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, _COMMANDS[name][2]) for name in self.list_commands(ctx)]
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
    except (click.Abort, KeyboardInterrupt):
        _leave(130)
    except BrokenPipeError:
        # Who read the report has seen enough; Python would complain when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(TROUBLE)
    except Exception as error:  # a fault of clipcheck's own must not look like "findings" (1)
        _tell(error)
        _leave(TROUBLE)
    _leave(0)


def _tell(error: Exception) -> None:
    """Say what the user can put right, or show a fault whole."""
    from clipcheck import output
    from clipcheck.config import UserError

    if isinstance(error, UserError):
        output.say(f"error: {error}", err=True)
        return
    import traceback

    traceback.print_exception(error)
    click.echo("error: this is a fault in clipcheck, not in your code; please report it", err=True)


def _leave(status: int) -> NoReturn:
    raise SystemExit(status)
