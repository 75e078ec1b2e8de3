"""What the tests of placing and fixing share: spans by the text they cover, and applying one repair."""

from __future__ import annotations

from clipcheck.findings import Action, Applicability, Finding, Repair, Site, Span, Verdict
from clipcheck.place import place
from clipcheck.sourcefile import Lines
from clipcheck.splice import render

CLIP = "clip(model)"


def span(source: str, needle: str, nth: int = 0) -> Span:
    """Return the span, as `ast` counts, of occurrence `nth` of `needle`."""
    at = -1
    for _ in range(nth + 1):
        at = source.index(needle, at + 1)
    lines = Lines(source)
    rows = [(lines.row(offset), offset) for offset in (at, at + len(needle))]
    ends = [(row, len(source[lines.start(row) : offset].encode())) for row, offset in rows]
    return Span(*ends[0], *ends[1])


def verdict(
    source: str,
    where: Span,
    *actions: Action,
    filename: str = "/p/a.py",
    code: str = "CLP101",
    applicability: Applicability = "safe",
) -> Verdict:
    """Return a verdict at `where` whose repair is `actions`."""
    repair = Repair(applicability, "Clip the gradients", actions) if actions else None
    return Verdict(code, "unclipped", Site(filename, where), "high", repair=repair)


def placed(source: str, where: Span, *actions: Action) -> Finding:
    """Return the one finding that `actions` at `where` give."""
    (finding,) = place(source, [verdict(source, where, *actions)], {"CLP101": "unclipped-step"})
    return finding


def repaired(source: str, *actions: Action) -> str | None:
    """Return `source` with `actions` carried out; None where there is no fix."""
    finding = placed(source, Span(1, 0, 1, 0), *actions)
    if finding.fix is None:
        return None
    text, applied = render(source, [finding], unsafe=False)
    return text if applied else None
