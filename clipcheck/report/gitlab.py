"""GitLab's code quality report: a JSON list that a merge request compares with that of its target, by fingerprints.

docs.gitlab.com, "Code Quality", section "Code Quality report format".
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from clipcheck.findings import Failure, Finding, Report
from clipcheck.report import Layout
from clipcheck.report.places import Places, visible, where

_SEVERITY = {"high": "critical", "medium": "major", "low": "minor", "none": "info"}


def render(report: Report, layout: Layout) -> str:
    """Return the findings, and the files that could not be checked, as a JSON list."""
    places = Places(layout)
    items = [*(_failure(item, places) for item in report.failures)]
    items += [_finding(item, places) for item in report.findings]
    return json.dumps(items, indent=2) + "\n"


def _finding(finding: Finding, places: Places) -> dict[str, Any]:
    cell = "" if finding.cell is None else f" (cell {finding.cell}, row {finding.start.row})"
    return {
        "description": visible(f"{finding.code} {finding.name}: {finding.message}{cell}"),
        "check_name": finding.code,
        "fingerprint": finding.fingerprint,
        "severity": _SEVERITY[finding.risk],
        "location": _location(finding.filename, finding.start.row, finding.cell, places),
    }


def _failure(failure: Failure, places: Places) -> dict[str, Any]:
    told = f"{where(failure, places)}: {visible(failure.message)}"
    return {
        "description": f"not checked: {told}",
        "check_name": "not-checked",
        "fingerprint": hashlib.sha256(f"not-checked\0{told}".encode()).hexdigest()[:32],
        "severity": "critical",
        "location": _location(failure.filename, failure.row or 1, failure.cell, places),
    }


def _location(filename: str, row: int, cell: int | None, places: Places) -> dict[str, Any]:
    return {
        "path": visible(places.path(filename)),
        "lines": {"begin": places.row(filename, row, cell)},
    }
