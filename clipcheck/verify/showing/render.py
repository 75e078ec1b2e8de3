"""Show a verification to people (text) and to programs (plain values for JSON)."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict, fields
from typing import Any

from ..session import Process, record_payload
from ..verdicts import SiteVerdict, Verification

HEADINGS = (
    "step",
    "verdict",
    "updates",
    "raw",
    "used",
    "threshold",
    "clipped",
    "clips/step",
    "covered",
    "cosine",
)
LEFT = {"step", "verdict"}


def to_text(verification: Verification, *, cwd: str | None = None) -> str:
    """Give the whole report as text, with the numbers of the step that shows each verdict."""
    if verification.not_run:
        return f"clipcheck verify: the command could not be run: {verification.not_run}\n"
    cwd = os.getcwd() if cwd is None else cwd
    lines = [f"clipcheck verify: {shlex.join(verification.command)}", ""]
    if verification.sites:
        heading, *rows = _table([row_of(site, cwd) for site in verification.sites])
        lines.append(heading)
        for site, row in zip(verification.sites, rows, strict=True):
            lines += [row, f"    {reason_of(site, cwd)}"]
        lines.append("")
    for site in verification.sites:
        lines += notes_of(site, cwd)
    lines += endings_of(verification)
    lines.append(totals_of(verification))
    return "\n".join(lines) + "\n"


def totals_of(verification: Verification) -> str:
    """Give the last line: how many sites have which verdict, and how much was seen."""
    counts = dict.fromkeys(("confirmed", "refuted", "not measurable", "not reached"), 0)
    for site in verification.sites:
        counts[site.word] += 1
    return ", ".join(f"{count} {word}" for word, count in counts.items()) + extent_of(verification)


def to_json(verification: Verification) -> dict[str, Any]:
    """Give the verification as plain values; non-finite numbers become the strings inf, -inf and nan.

    `sessions` hold every record, so that a report can be drawn from the file later.
    """
    return {
        "command": list(verification.command),
        "exit_code": verification.exit_code,
        "not_run": verification.not_run or None,
        "exit_status": verification.exit_status,
        "ended": verification.ended or None,
        "crash": verification.crash or None,
        "stopped": verification.stopped,
        "max_steps": verification.max_steps,
        "steps": verification.steps,
        "processes": verification.processes,
        "problems": list(verification.problems),
        "max_norm": verification.max_norm,
        "sites": [_site_json(site) for site in verification.sites],
        "sessions": [_process_json(process) for process in verification.sessions],
    }


def _site_json(site: SiteVerdict) -> dict[str, Any]:
    shown = site.shown
    return {
        "filename": site.place.filename,
        "row": site.place.row,
        "verdict": site.word,
        "reason": site.reason,
        "optimizers": list(site.optimizers),
        "observed": site.observed,
        "skipped": site.skipped,
        "not_finite": site.not_finite,
        "threshold": _plain(site.threshold),
        "clipped": site.clipped,
        "clipped_share": site.clipped_share,
        "expected": _plain(site.expected),
        "largest_raw": None if site.largest is None else site.largest.raw,
        "largest_raw_step": None if site.largest is None else site.largest.step,
        "shown": None if shown is None else _plain({**asdict(shown), "place": shown.place._asdict()}),
    }


def _process_json(process: Process) -> dict[str, Any]:
    plain = {f.name: getattr(process, f.name) for f in fields(process) if f.name not in ("lines", "records")}
    records = [_plain(record_payload(record)) for record in process.records]
    lines = None if process.lines is None else sorted(process.lines)
    return {
        **{key: _plain(value) for key, value in plain.items()},
        "lines": _plain(lines),
        "records": records,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0.0 else str(value)
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(member) for member in value]
    return value


def row_of(site: SiteVerdict, cwd: str) -> tuple[str, ...]:
    """Give the cells of a site's row, under HEADINGS."""
    shown = site.shown
    where = f"{short(site.place.filename, cwd)}:{site.place.row}"
    if shown is None:
        return (where, site.word, *["-"] * (len(HEADINGS) - 2))
    share = site.clipped_share
    return (
        where,
        site.word,
        str(site.observed),
        f"{shown.raw:.6g}",
        f"{shown.used:.6g}",
        "none" if site.threshold is None else f"{site.threshold:g}",
        "-" if share is None else f"{share:.0%}",
        str(shown.clips_per_step),
        f"{shown.covered}/{shown.updated}",
        "-" if shown.cosine is None else f"{shown.cosine:.4f}",
    )


def reason_of(site: SiteVerdict, cwd: str) -> str:
    """Say why a site has its verdict, and by which step."""
    reason = site.reason.replace(os.path.join(os.path.realpath(cwd), ""), "")
    if site.word != "refuted" or site.shown is None:
        return reason
    return f"{site.shown.when}: {reason}"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    table = [HEADINGS, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(HEADINGS))]
    return [
        "  ".join(
            cell.ljust(width) if name in LEFT else cell.rjust(width)
            for cell, width, name in zip(row, widths, HEADINGS, strict=True)
        ).rstrip()
        for row in table
    ]


def notes_of(site: SiteVerdict, cwd: str) -> list[str]:
    """Give what else is worth knowing of a site, a sentence each."""
    where = f"{short(site.place.filename, cwd)}:{site.place.row}"
    notes = []
    if site.skipped:
        notes.append(f"{where}: the loss scaler skipped {_count(site.skipped, 'step')}")
    if site.not_finite:
        notes.append(f"{where}: the gradient was not finite at {_count(site.not_finite, 'step')}")
    if site.word == "confirmed" and site.clipped == 0:
        notes.append(f"{where}: no raw norm was above the threshold, so the clip never acted")
    shown, largest = site.shown, site.largest
    if shown is not None and largest is not None and largest.raw > shown.raw:
        notes.append(f"{where}: the largest raw norm was {largest.raw:.6g}, at {largest.when}")
    if shown is not None and shown.norm_type != 2.0:
        notes.append(f"{where}: norms are of type {shown.norm_type:g}, as the clip's")
    return notes


def endings_of(verification: Verification) -> list[str]:
    """Say what kept the observer from seeing, and how the run ended where that was not well."""
    lines = list(verification.problems)
    if verification.stopped:
        lines.append(f"the run was stopped after {verification.max_steps} optimizer steps (--max-steps)")
    if verification.ended:
        what = f": {verification.crash}" if verification.crash else ""
        before = "; steps before are judged" if verification.steps else ""
        lines.append(f"the command did not end well ({verification.ended}){what}{before}")
    return lines


def extent_of(verification: Verification) -> str:
    """Say how much was seen, in brackets."""
    extent = f" ({_count(verification.steps, 'update')} observed"
    if verification.processes > 1:
        extent += f" in {verification.processes} processes"
    if any(site.shown is not None and site.shown.evaluation is not None for site in verification.sites):
        extent += ", each evaluation of a closure counted as one"
    return extent + ")"


def short(filename: str, cwd: str) -> str:
    """Give a path as people write it, where it is below `cwd`."""
    if filename.startswith("<"):
        return filename
    relative = os.path.relpath(filename, os.path.realpath(cwd))
    return filename if relative.startswith("..") else relative


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
