"""Put words where they belong: reports on standard output or in a file, trouble on standard error."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from clipcheck.config import Settings, UserError
from clipcheck.findings import Failure, Finding, Report
from clipcheck.regular import regular
from clipcheck.report import Layout, Renderer, text

if TYPE_CHECKING:
    from typing import TextIO

    from clipcheck.knowledge import Framework

Hear = Callable[[Sequence[Finding]], None]
# What a runner of GitHub Actions acts on, at the start of a line and (in the old form) anywhere in it.
_COMMAND = regular(r"(?m)^(?P<lead>[ \t]*)::|##\[")


def say(line: str, *, err: bool = False) -> None:
    """Print a line that may hold text of the scanned project: controls made visible, no letter a failure."""
    encoding = _encoding(sys.stderr if err else sys.stdout) or "utf-8"
    click.echo(for_log(text.clean(line)).encode(encoding, "backslashreplace").decode(encoding), err=err)


def for_log(shown: str) -> str:
    """Return text that a runner of GitHub Actions takes for text: a file may be named like one of its commands."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return shown
    return _COMMAND.sub(lambda found: r"#\#[" if found["lead"] is None else rf"{found['lead']}\::", shown)


def hint_at_unsafe(report: Report, settings: Settings) -> None:
    """Say on standard error how many more fixes --unsafe-fixes would write."""
    waiting = sum(one.fix is not None and one.fix.applicability == "unsafe" for one in report.findings)
    if waiting and not settings.unsafe_fixes and not settings.quiet:
        click.echo(f"{waiting} more fix{'es' * (waiting != 1)} with --unsafe-fixes", err=True)


def name_unfinished(report: Report, settings: Settings) -> None:
    """Name the programs that were too large to follow to their end, on standard error."""
    layout = _layout(settings, _encoding(sys.stderr))
    for label in () if settings.quiet else report.unfinished:
        say(
            f"{text.display(label, layout)}: too large to follow to its end; what was not reached is not judged",
            err=True,
        )


def name_failures(failures: Sequence[Failure]) -> None:
    """Print on standard error what could not be read, parsed or written, with line and caret where known."""
    shown = text.failures(failures, _layout(None, _encoding(sys.stderr)))
    click.echo(for_log(shown), err=True, nl=False)


def name_parted(filenames: Sequence[str]) -> None:
    """Name on standard error the files written whose other names (hard links) keep the old text."""
    layout = _layout(None, _encoding(sys.stderr))
    for filename in filenames:
        shown = text.display(filename, layout)
        say(f"{shown}: written; its other names (hard links) keep the text from before", err=True)


def patch(shown: str) -> None:
    """Print a diff: for people with controls made visible, and byte for byte for what applies it."""
    if sys.stdout is None:
        return
    if sys.stdout.isatty():
        for line in shown.removesuffix("\n").split("\n") if shown else ():
            say(line.removesuffix("\r"))
        return
    raw = os.environ.get("GITHUB_ACTIONS") != "true" or stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    click.echo((shown if raw else for_log(shown)).encode("utf-8", "surrogateescape"), nl=False)


def name_silenced(silenced: Sequence[Finding], settings: Settings) -> None:
    """Say on standard error how many findings have got a comment that silences them."""
    if silenced and not settings.quiet:
        files = len({finding.filename for finding in silenced})
        many = len(silenced)
        say(f"silenced {many} finding{'s' * (many != 1)} in {files} file{'s' * (files != 1)}", err=True)


def name_stale(report: Report, settings: Settings) -> None:
    """Say on standard error how many findings of the baseline are there no more."""
    if report.stale and not settings.quiet:
        gone = (
            "1 finding of the baseline is"
            if report.stale == 1
            else f"{report.stale} findings of the baseline are"
        )
        say(
            f"{gone} gone; `--write-baseline {settings.baseline}` leaves out what is not found any more",
            err=True,
        )


def frameworks(listed: Sequence[Framework], *, heading: bool) -> str:
    """Return the list of frameworks as standard output can show it, under a heading where pages stand before it."""
    from clipcheck import listing

    layout = _layout(None, _encoding(sys.stdout))
    table = listing.to_text(listed, layout.width, color=layout.color)
    shown = ("# Frameworks\n\n" if heading else "") + table
    return shown.encode(layout.encoding, "backslashreplace").decode(layout.encoding)


def write(
    report: Report,
    fixed: Sequence[Finding],
    settings: Settings,
    render: Renderer | None,
    sources: Mapping[str, str] | None = None,
) -> None:
    """Write the report, what was fixed, and what failed. Raises UserError where the file cannot be written.

    `sources` has the text of files that are not on disk. Without `render` the findings are written already.
    """
    to_file = settings.output_file is not None
    layout = _layout(settings, "utf-8" if to_file else _encoding(sys.stdout), sources)
    if render is not None:
        _deliver(render(report, layout), settings)
    name_failures(report.failures)
    name_unfinished(report, settings)
    name_stale(report, settings)
    # On standard output these words would break a format that a machine reads.
    aside = settings.output_format != "text" or to_file
    if settings.show_fixes:
        click.echo(for_log(text.fixes(fixed, layout)), err=aside, nl=False)
    if settings.statistics and settings.output_format != "text":
        click.echo(text.statistics(report), err=True, nl=False)
    if settings.quiet:
        return
    if fixed:
        files = len({finding.filename for finding in fixed})
        told = f"fixed {len(fixed)} finding{'s' * (len(fixed) != 1)} in {files} file{'s' * (files != 1)}"
        click.echo(told, err=aside)
    if aside:
        click.echo(text.sight(report), err=True)


def as_known(settings: Settings) -> Hear | None:
    """What writes findings as soon as they are known: where each stands on a line of its own, and all are wanted."""
    held = settings.baseline is not None or settings.write_baseline is not None or settings.add_ignores
    if settings.output_format != "jsonl" or settings.output_file is not None or held:
        return None
    from clipcheck.report import renderer

    render, layout = renderer("jsonl"), _layout(settings, _encoding(sys.stdout))

    def hear(findings: Sequence[Finding]) -> None:
        if findings:
            _deliver(render(Report(findings=tuple(findings)), layout), settings)
            if sys.stdout is not None:
                sys.stdout.flush()

    return hear


def check_places(settings: Settings) -> None:
    """Refuse a file to write that cannot be, before a scan is spent on it. Raises UserError."""
    for file in (settings.output_file, settings.write_baseline):
        if file is not None and not file.parent.is_dir():
            raise UserError(f"{file}: cannot be written: there is no folder {file.parent}; make it first")
        if file is not None and file.is_dir():
            raise UserError(f"{file}: cannot be written: it is a folder; name a file")


def _deliver(rendered: str, settings: Settings) -> None:
    if settings.output_file is not None:
        from clipcheck.write import put_file

        put_file(settings.output_file, rendered.encode("utf-8", "backslashreplace"))
    elif settings.output_format == "text":
        click.echo(for_log(rendered), nl=False)
    else:
        click.echo(rendered, nl=False)


def _encoding(stream: TextIO | None) -> str | None:
    """The encoding of a standard stream, which is None where it was closed before the start."""
    return stream.encoding if stream is not None else None


def _layout(
    settings: Settings | None, encoding: str | None, sources: Mapping[str, str] | None = None
) -> Layout:
    """Return how a report is to look on standard output, or in the file that the settings name."""
    terminal = (
        sys.stdout is not None and sys.stdout.isatty() and (settings is None or settings.output_file is None)
    )
    width = 100
    if terminal:
        import shutil

        width = max(40, shutil.get_terminal_size().columns)
    return Layout(
        width=width,
        color=terminal
        and not any(os.environ.get(name) for name in ("NO_COLOR", "CI"))
        and os.environ.get("TERM") != "dumb",
        encoding=encoding or "utf-8",
        quiet=settings is not None and settings.quiet,
        statistics=settings is not None and settings.statistics,
        sources=sources or {},
    )
