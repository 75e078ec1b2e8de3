"""The command `clipcheck server`: speak the language server protocol on standard input and output."""

from __future__ import annotations

import os
import sys

import click

from clipcheck.server.language import Server


@click.command()
def server() -> None:
    """Run the language server on standard input and output: an editor starts it, people do not."""
    if sys.stdin.isatty():
        click.echo(
            "clipcheck server: an editor should be at the other end; Ctrl-D or Ctrl-C ends this", err=True
        )
    # Standard output carries the protocol and nothing else: whatever else is printed goes to standard error.
    protocol = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.stdout = sys.stderr
    Server().start_io(sys.stdin.buffer, protocol)
