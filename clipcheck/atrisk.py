"""Whether a step that ran unclipped is one to worry about: what the static scan says of its line.

The scan reads the file of the step, with the project around it, under the project's own settings:
`min-risk`, suppressions and per-file ignores count as they do everywhere.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Literal

from clipcheck import config, pipeline
from clipcheck.findings import Finding
from clipcheck.following import parts
from clipcheck.scanning import scan_paths

Word = Literal["reported", "not reported", "not scanned"]


def risk_at(filename: str, row: int) -> tuple[Word, Finding | None]:
    """Say what the scan has on the step at this line (row from 1), with the finding if it is reported.

    A line that the scan does not know as a step, or a file that it leaves out or cannot read, is "not
    scanned".
    """
    findings, steps = _scanned(os.path.realpath(filename))
    for finding in findings:
        if _is_about(finding, filename, row):
            return "reported", finding
    return ("not reported" if row in steps else "not scanned"), None


@lru_cache(maxsize=256)
def _scanned(filename: str) -> tuple[tuple[Finding, ...], frozenset[int]]:
    """Give the findings of a file and the rows of its steps; nothing where it cannot be scanned."""
    path = Path(filename)
    if not path.is_file():
        return (), frozenset()
    try:
        settings = config.load(path.parent)
        report = pipeline.run([path], settings)
        steps = [
            item for part in parts(scan_paths([path], settings)) for item in part.sightings.steps.items()
        ]
    except (
        Exception
    ):  # bad settings, or a fault of the scan's own: the step stays one that nobody vouches for
        return (), frozenset()
    if report.failures or not report.files:
        return (), frozenset()
    rows: set[int] = set()
    for site, step in steps:
        if step.told is not None:  # a trainer steps where it is set going
            rows |= {row for name, row in step.told.rows if os.path.realpath(name) == filename}
        elif os.path.realpath(site.filename) == filename:
            rows |= {step.call.name_span.row, *range(site.span.row, site.span.end_row + 1)}
    return report.findings, frozenset(rows)


def _is_about(finding: Finding, filename: str, row: int) -> bool:
    """Whether a finding accuses the step there: at its line, or at a clip that should guard it."""
    if finding.code.startswith("CLP9"):
        return False
    if finding.start.row <= row <= finding.end.row:
        return True
    return any(
        one.row == row and os.path.realpath(one.filename) == os.path.realpath(filename)
        for one in finding.evidence
    )
