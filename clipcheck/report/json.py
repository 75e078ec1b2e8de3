"""The JSON report: a list of findings in the field names that ruff's JSON made common."""

from __future__ import annotations

import json
from typing import Any

from clipcheck.findings import Evidence, Finding, Fix, Position, Report
from clipcheck.report import Layout


def render(report: Report, _layout: Layout) -> str:
    """Return the findings as a JSON list."""
    return json.dumps([as_dict(finding) for finding in report.findings], indent=2) + "\n"


def as_dict(finding: Finding) -> dict[str, Any]:
    """Return one finding as the contract's JSON object."""
    return {
        "code": finding.code,
        "name": finding.name,
        "message": finding.message,
        "filename": finding.filename,
        "location": _position(finding.start),
        "end_location": _position(finding.end),
        "cell": finding.cell,
        "risk": finding.risk,
        "evidence": [_evidence(item) for item in finding.evidence],
        "fix": None if finding.fix is None else _fix(finding.fix, finding.cell),
        "url": None,
    }


def _position(position: Position) -> dict[str, int]:
    return {"row": position.row, "column": position.column}


def _evidence(item: Evidence) -> dict[str, Any]:
    where = "" if item.cell is None else f" (cell {item.cell})"  # the contract has no field for it
    return {"filename": item.filename, "row": item.row, "message": f"{item.message}{where}"}


def _fix(fix: Fix, cell: int | None) -> dict[str, Any]:
    """Return a fix; places of edits count in the finding's cell, so one that needs other cells has none here."""
    edits = fix.edits if all(edit.cell == cell for edit in fix.edits) else ()
    return {
        "applicability": fix.applicability,
        "message": fix.message,
        "edits": [
            {
                "content": edit.content,
                "location": _position(edit.start),
                "end_location": _position(edit.end),
            }
            for edit in edits
        ],
    }
