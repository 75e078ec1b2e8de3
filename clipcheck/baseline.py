"""Keep what is known already, so that only what is new is reported.

A baseline is a JSON file for people to read and for version control to merge: one line for each statement, with the
number of its findings, sorted. It holds no rows, so moved code stays known.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from clipcheck.config import Settings, UserError, find_root
from clipcheck.findings import Finding, Report
from clipcheck.fingerprint import Identity, identity, one_line, relative, tight
from clipcheck.record import replace
from clipcheck.regular import regular
from clipcheck.write import put_file

_FORMAT = 1
_TEXTS = ("path", "code", "scope", "statement")
_KEYS = {*_TEXTS, "count"}
# What would deceive the eye (controls, signs that turn the direction of text), and what UTF-8 has no bytes for.
_HIDDEN = regular("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def without_known(
    report: Report,
    settings: Settings,
    scanned: Iterable[str],
    everything: Callable[[frozenset[str]], Iterable[Finding]],
) -> Report:
    """Return `report` without the findings that the baseline of the settings holds; without one, as it is.

    `scanned` are the files that were read. `everything` gives all findings in some of them, those that the settings
    do not ask for included: an entry is not gone because less was asked for. Raises UserError for a file that is no baseline.
    """
    if settings.baseline is None or settings.write_baseline is not None:
        return report  # what is written anew is written whole
    base = _base(settings.baseline, settings)
    entries = read(settings.baseline)
    new, left = _split(report.findings, entries, base)
    known = len(report.findings) - len(new)
    stale = _gone(entries, left, {relative(name, base): name for name in scanned}, base, everything)
    return replace(report, findings=tuple(new), known=known, stale=stale)


def known_among(findings: Iterable[Finding], settings: Settings) -> list[Finding]:
    """Return which of some findings the baseline of the settings holds. Raises UserError for a file that is none."""
    if settings.baseline is None:
        return []
    findings = list(findings)
    new, _ = _split(findings, read(settings.baseline), _base(settings.baseline, settings))
    return [finding for finding in findings if finding not in new]


def _split(
    findings: Iterable[Finding], entries: Counter[Identity], base: Path
) -> tuple[list[Finding], Counter[Identity]]:
    """Return the findings that are not among `entries`, and what is left of those; of equal ones the first are known."""
    left = entries.copy()
    new: list[Finding] = []
    for finding in findings:
        key = identity(finding, base)
        if left[key] > 0:
            left[key] -= 1
        else:
            new.append(finding)
    return new, +left


def _gone(
    entries: Counter[Identity],
    left: Counter[Identity],
    scanned: Mapping[str, str],
    base: Path,
    everything: Callable[[frozenset[str]], Iterable[Finding]],
) -> int:
    """Return how many findings of the baseline are there no more, as far as this run can tell."""
    files = frozenset(scanned[key.path] for key in left if key.path in scanned)
    there = Counter(identity(finding, base) for finding in everything(files)) if files else Counter()
    gone = 0
    for key, count in left.items():
        if key.path in scanned:
            gone += max(0, entries[key] - there[key])
        elif not os.path.lexists(base / key.path):
            gone += count
    return gone


def keep(report: Report, settings: Settings) -> Report:
    """Write the baseline that the settings ask for, and return the report with its findings as known.

    Raises UserError where the file cannot be written.
    """
    if settings.write_baseline is None:
        return report
    text = render(report.findings, _base(settings.write_baseline, settings))
    put_file(settings.write_baseline, text.encode("utf-8"))
    return replace(report, findings=(), known=len(report.findings))


def _base(file: Path, settings: Settings) -> Path:
    """Return the folder that paths in a baseline count from: the project's, or one around it that keeps the file.

    A hook may be handed files of one part of a repository, which is a project of its own; the baseline of the whole stays right.
    """
    folder = file.parent
    if settings.pattern_base.is_relative_to(folder) and find_root(folder) == folder:
        return folder
    return settings.pattern_base


def render(findings: Iterable[Finding], base: Path) -> str:
    """Return the baseline of some findings, paths from the folder `base`."""
    counts: Counter[tuple[str, ...]] = Counter()
    for finding in findings:
        key = identity(finding, base)
        counts[key.path, key.code, key.scope, finding.statement] += 1
    lines = [
        json.dumps({**dict(zip(_TEXTS, key, strict=True)), "count": count}, ensure_ascii=False)
        for key, count in sorted(counts.items())
    ]
    listed = "".join(f"\n    {line}," for line in lines)
    listed = f"{listed[:-1]}\n  " if lines else ""
    text = f'{{\n  "version": {_FORMAT},\n  "findings": [{listed}]\n}}\n'
    return _HIDDEN.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def read(file: Path) -> Counter[Identity]:
    """Return how many findings a baseline holds of each kind. Raises UserError for a file that is none."""
    again = f"`clipcheck --write-baseline {file}` writes it anew"
    try:
        found = json.loads(file.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"{file}: no such baseline; `clipcheck --write-baseline {file}` makes it") from None
    except OSError as error:
        raise UserError(f"{file}: the baseline cannot be read: {error.strerror or error}") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise UserError(f"{file}: not a baseline: {error.msg} in {place}; {again}") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{file}: not a baseline: {error}; {again}") from None
    if not isinstance(found, dict) or not isinstance(found.get("findings"), list):
        raise UserError(f"{file}: not a baseline: it has no list of findings; {again}")
    if found.get("version") != _FORMAT:
        raise UserError(
            f"{file}: a baseline of version {found.get('version')!r}, and this clipcheck reads {_FORMAT}; {again}"
        )
    entries: Counter[Identity] = Counter()
    for number, item in enumerate(found["findings"], 1):
        if not _is_entry(item):
            raise UserError(f"{file}: not a baseline: finding {number} in it is damaged; {again}")
        key = Identity(item["path"], item["code"], item["scope"], tight(one_line(item["statement"])))
        entries[key] += item["count"]
    return entries


def _is_entry(item: Any) -> bool:
    if not isinstance(item, dict) or item.keys() != _KEYS:
        return False
    count = item["count"]
    return (
        all(isinstance(item[key], str) for key in _TEXTS)
        and isinstance(count, int)
        and not isinstance(count, bool)
        and count > 0
    )
