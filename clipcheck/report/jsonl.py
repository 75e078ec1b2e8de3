"""JSON lines: the objects of the JSON report, one on each line, for programs that read line by line."""

from __future__ import annotations

import json

from clipcheck.findings import Report
from clipcheck.report import Layout
from clipcheck.report.json import as_dict


def render(report: Report, _layout: Layout) -> str:
    """Return one line of JSON for each finding; nothing where there is none."""
    return "".join(json.dumps(as_dict(finding)) + "\n" for finding in report.findings)
