"""JUnit XML, which nearly every CI system shows: a suite for each file, a failure for each finding.

The elements and attributes are those that Jenkins accepts (junit-10.xsd of its xUnit plugin). A test case is named
by its statement and not by its row, so that a system that compares runs knows it again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from xml.etree import ElementTree as ET  # writes only; nothing is parsed

from clipcheck.findings import Failure, Finding, Report
from clipcheck.regular import regular
from clipcheck.report import Layout
from clipcheck.report.places import Places, details, visible, where
from clipcheck.report.text import sight

_NOT_XML = regular("[\ufffe\uffff]")
_LONGEST = 120


def render(report: Report, layout: Layout) -> str:
    """Return the XML, in ASCII with references, so that it is right in any encoding."""
    places = Places(layout)
    cases: dict[str, list[ET.Element]] = defaultdict(list)
    names: Counter[tuple[str, str]] = Counter()
    items = [(one.filename, _error(one, places)) for one in report.failures]
    items += [(one.filename, _failure(one, places)) for one in report.findings]
    for filename, case in items:
        path = _text(places.path(filename))
        name = case.get("name", "")
        names[path, name] += 1
        again = names[path, name]
        case.set("name", name if again == 1 else f"{name} ({again})")
        case.set("classname", path)
        cases[path].append(case)
    if not cases:  # a report without a test is an error to some systems
        passed = ET.Element("testcase", name=_text(sight(report)), classname="clipcheck")
        cases["clipcheck"].append(passed)
    every = [case for own in cases.values() for case in own]
    top = ET.Element("testsuites", {"name": "clipcheck"} | _counts(every))
    for path in sorted(cases):
        suite = ET.SubElement(top, "testsuite", {"name": path} | _counts(cases[path]))
        suite.extend(cases[path])
    ET.indent(top)
    written: bytes = ET.tostring(top, encoding="us-ascii", xml_declaration=True)
    return written.decode("ascii") + "\n"


def _counts(cases: list[ET.Element]) -> dict[str, str]:
    failed = sum(case.find("failure") is not None for case in cases)
    broken = sum(case.find("error") is not None for case in cases)
    return {"tests": str(len(cases)), "failures": str(failed), "errors": str(broken)}


def _failure(finding: Finding, places: Places) -> ET.Element:
    around = f" in {finding.scope}" if finding.scope else ""
    cut = "..." if len(finding.statement) > _LONGEST else ""
    statement = f"{finding.statement[:_LONGEST]}{cut}"
    case = ET.Element("testcase", name=_text(f"{finding.code} {finding.name}{around}: {statement}"))
    failure = ET.SubElement(case, "failure", type=finding.code, message=_text(finding.message))
    first = f"{where(finding, places)}:{finding.start.column}: {finding.message} [{finding.risk} risk]"
    failure.text = "\n".join(_text(line) for line in (first, *details(finding, places)))
    return case


def _error(failure: Failure, places: Places) -> ET.Element:
    case = ET.Element("testcase", name="can be checked")
    error = ET.SubElement(case, "error", type="not-checked", message=_text(failure.message))
    error.text = _text(f"{where(failure, places)}: {failure.message}")
    return case


def _text(text: str) -> str:
    return _NOT_XML.sub(lambda match: f"\\u{ord(match.group()):04x}", visible(text))
