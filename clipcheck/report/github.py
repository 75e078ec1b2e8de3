"""Annotations for GitHub: the workflow commands that Actions turns into notes beside the lines of a pull request.

docs.github.com, "Workflow commands for GitHub Actions"; the escapes are those of actions/toolkit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from clipcheck.findings import Failure, Report
from clipcheck.report import Layout
from clipcheck.report.places import Places, details, level, visible, where


def render(report: Report, layout: Layout) -> str:
    """Return one command for each failure and each finding."""
    places = Places(layout)
    lines = [*(_failure(item, places) for item in report.failures), *_findings(report, places)]
    text = "".join(f"{line}\n" for line in lines)
    return text.encode(layout.encoding, "backslashreplace").decode(layout.encoding)


def _findings(report: Report, places: Places) -> Iterator[str]:
    for finding in report.findings:
        first, last = (
            places.row(finding.filename, position.row, finding.cell)
            for position in (finding.start, finding.end)
        )
        properties = {
            "file": places.path(finding.filename),
            "line": str(first),
            "endLine": str(last),
            "title": f"{finding.code} {finding.name}",
        }
        if finding.cell is None and first == last:  # columns of several rows are refused
            properties |= {"col": str(finding.start.column), "endColumn": str(finding.end.column)}
        message = [f"{where(finding, places)}: {visible(finding.message)}", *details(finding, places)]
        yield _command(level(finding.risk), properties, "\n".join(message))


def _failure(failure: Failure, places: Places) -> str:
    properties = {"file": places.path(failure.filename), "title": "clipcheck: not checked"}
    if failure.row is not None:
        properties["line"] = str(places.row(failure.filename, failure.row, failure.cell))
    return _command("error", properties, f"{where(failure, places)}: {visible(failure.message)}")


def _command(name: str, properties: Mapping[str, str], message: str) -> str:
    order = ("file", "line", "endLine", "col", "endColumn", "title")
    given = ",".join(f"{key}={_property(properties[key])}" for key in order if key in properties)
    return f"::{name} {given}::{_data(message)}"


def _data(text: str) -> str:
    """Escape what would end a command, or begin another; a raw line end never gets out."""
    return visible(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
