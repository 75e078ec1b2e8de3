"""SARIF 2.1.0 (OASIS), for code scanning: findings with their chain of evidence, their fix, and the page of the rule.

docs.oasis-open.org/sarif/sarif/v2.1.0. Rows of a notebook are those of its file, with which no column agrees; cell and row
in it stand in the message, in `properties` and among the logical locations.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from clipcheck import catalog
from clipcheck.catalog import Rule
from clipcheck.findings import Evidence, Failure, Finding, Position, Report
from clipcheck.regular import regular
from clipcheck.report import Layout
from clipcheck.report.places import Places, level, visible
from clipcheck.sourcefile import Lines
from clipcheck.splice import render as spliced
from clipcheck.version import __version__

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_BASE = "%SRCROOT%"
_KINDS = {"1": "absent-clipping", "2": "misplaced-clipping", "3": "kind-of-clipping", "9": "suppression"}
_LEVELS = {"error": "error", "warning": "warning", "notice": "note"}
_WHAT = regular(r"^## What it does\n+(.+?)(?=\n+## |\Z)", re.MULTILINE | re.DOTALL)
_SHORT, _LONGEST = 80, 1000  # letters: what is no description yet, and what is too long for GitHub
_LINK = regular(r"\[(?=[^\]]*\]\()")


def render(report: Report, layout: Layout) -> str:
    """Return the log of this one run as JSON, in ASCII."""
    places = Places(layout)
    codes = sorted({finding.code for finding in report.findings})
    run = {
        "tool": {
            "driver": {
                "name": "clipcheck",
                "version": __version__,
                "semanticVersion": __version__,
                "rules": [_rule(catalog.rule(code)) for code in codes],
            }
        },
        "invocations": [_invocation(report, places)],
        "originalUriBaseIds": {_BASE: {"uri": _folder_uri(places.root)}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, codes.index(finding.code), places) for finding in report.findings],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


# -- the tool ----------------------------------------------------------------------------------------


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": _message(rule.summary),
        "fullDescription": _message(_described(rule)),
        "help": {"text": rule.text, "markdown": rule.text},  # a page: nobody looks for placeholders in it
        "defaultConfiguration": {"level": "note" if rule.code.startswith("CLP9") else "warning"},
        "properties": {"tags": ["gradient-clipping", _KINDS[rule.code[3]]]},
    }


def _described(rule: Rule) -> str:
    """Return what a rule does: the first words of its page that say it, a list with its first entries."""
    what = _WHAT.search(rule.text)
    told = ""
    for part in what[1].split("\n\n") if what else [rule.summary]:
        told = f"{told} {' '.join(part.split())}".lstrip()
        if len(told) > _SHORT:
            break
    return told if len(told) <= _LONGEST else f"{told[:_LONGEST].rpartition(' ')[0]} ..."


def _invocation(report: Report, places: Places) -> dict[str, Any]:
    told = [_notification(failure, places) for failure in report.failures]
    for label in report.unfinished:
        message = f"{label}: too large to follow to its end; what was not reached is not judged"
        told.append({"level": "warning", "message": _message(message)})
    return {"executionSuccessful": not report.failures, "toolExecutionNotifications": told}


def _notification(failure: Failure, places: Places) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": _artifact(failure.filename, places)}
    if failure.row is not None:
        physical["region"] = _region(failure.filename, failure.row, failure.row, failure.cell, places)
    return {
        "level": "error",
        "descriptor": {"id": "not-checked"},
        "message": _message(f"{failure.message}{_in_cell(failure.cell, failure.row)}"),
        "locations": [{"physicalLocation": physical}],
    }


# -- findings ----------------------------------------------------------------------------------------


def _result(finding: Finding, index: int, places: Places) -> dict[str, Any]:
    location = _location(finding, places)
    steps = [_evidence(item, places) for item in finding.evidence]
    own = {**location, "message": _message(f"{finding.code} {finding.name}")}
    properties: dict[str, Any] = {"risk": finding.risk, **_cell_place(finding)}
    result = {
        "ruleId": finding.code,
        "ruleIndex": index,
        "kind": "fail",
        "level": _LEVELS[level(finding.risk)],
        "message": _message(f"{finding.message}{_in_cell(finding.cell, finding.start.row)}"),
        "locations": [location],
        "partialFingerprints": {"clipcheck/v1": finding.fingerprint},
        "codeFlows": [{"threadFlows": [{"locations": [{"location": step} for step in (*steps, own)]}]}],
        "properties": properties,
    }
    replacements = _replacements(finding, places)
    if finding.fix is not None and replacements:
        changes = {"artifactLocation": _artifact(finding.filename, places), "replacements": replacements}
        result["fixes"] = [{"description": _message(finding.fix.message), "artifactChanges": [changes]}]
        properties["applicability"] = finding.fix.applicability
    return result


def _location(finding: Finding, places: Places) -> dict[str, Any]:
    region: dict[str, Any] = {
        "startLine": finding.start.row,
        "startColumn": finding.start.column,
        "endLine": finding.end.row,
        "endColumn": finding.end.column,
    }
    if finding.cell is not None:
        region = _region(finding.filename, finding.start.row, finding.end.row, finding.cell, places)
    located: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": _artifact(finding.filename, places), "region": region}
    }
    logical = list(_logical(finding))
    if logical:
        located["logicalLocations"] = logical
    return located


def _logical(finding: Finding) -> Iterator[dict[str, str]]:
    if finding.cell is not None:
        yield {"name": f"cell {finding.cell}", "kind": "cell"}
    if finding.scope:
        name = visible(finding.scope)
        yield {"name": name.rpartition(".")[2], "fullyQualifiedName": name}


def _evidence(item: Evidence, places: Places) -> dict[str, Any]:
    region = _region(item.filename, item.row, item.row, item.cell, places)
    return {
        "physicalLocation": {"artifactLocation": _artifact(item.filename, places), "region": region},
        "message": _message(f"{item.message}{_in_cell(item.cell, item.row)}"),
    }


def _region(filename: str, first: int, last: int, cell: int | None, places: Places) -> dict[str, int]:
    """Return whole rows of a file."""
    return {"startLine": places.row(filename, first, cell), "endLine": places.row(filename, last, cell)}


def _in_cell(cell: int | None, row: int | None) -> str:
    if cell is None:
        return ""
    return f" (cell {cell})" if row is None else f" (cell {cell}, row {row})"


def _cell_place(finding: Finding) -> dict[str, Any]:
    if finding.cell is None:
        return {}
    return {
        "cell": finding.cell,
        "location": {"row": finding.start.row, "column": finding.start.column},
        "end_location": {"row": finding.end.row, "column": finding.end.column},
    }


# -- fixes -------------------------------------------------------------------------------------------


def _replacements(finding: Finding, places: Places) -> list[dict[str, Any]]:
    """Return the edits of a finding's fix as places and texts of its file."""
    if finding.fix is None:
        return []
    if finding.cell is not None:
        return _in_notebook(finding, places)
    return [_replacement(edit.start, edit.end, edit.content) for edit in finding.fix.edits]


def _in_notebook(finding: Finding, places: Places) -> list[dict[str, Any]]:
    """Return one replacement from the first to the last character of the notebook's JSON that the fix changes."""
    old = places.text(finding.filename)
    if old is None:
        return []
    new, applied = spliced(old, [finding], unsafe=True)
    if not applied:
        return []
    most = min(len(old), len(new))
    start = next((at for at in range(most) if old[at] != new[at]), most)
    most -= start
    same = next((at for at in range(most) if old[-1 - at] != new[-1 - at]), most)
    lines = Lines(old)
    end = len(old) - same
    return [_replacement(lines.position(start), lines.position(end), new[start : len(new) - same])]


def _replacement(start: Position, end: Position, content: str) -> dict[str, Any]:
    region = {
        "startLine": start.row,
        "startColumn": start.column,
        "endLine": end.row,
        "endColumn": end.column,
    }
    return {"deletedRegion": region, "insertedContent": {"text": content}}


# -- words and places --------------------------------------------------------------------------------


def _message(text: str) -> dict[str, str]:
    return {"text": _escaped(visible(text))}


def _escaped(text: str) -> str:
    """Escape what a message of SARIF would read as a placeholder or as a link (3.11.5, 3.11.6)."""
    return _LINK.sub(r"\\[", text.replace("{", "{{").replace("}", "}}"))


def _artifact(filename: str, places: Places) -> dict[str, str]:
    relative = places.relative(filename)
    if relative is None:
        return {"uri": Path(filename).as_uri()}
    return {"uri": _quoted(relative), "uriBaseId": _BASE}


def _folder_uri(folder: Path) -> str:
    return f"{folder.as_uri().rstrip('/')}/"


def _quoted(path: str) -> str:
    """Return a path as a relative URI: its bytes, those that are no text included."""
    return quote(os.fsencode(path))
