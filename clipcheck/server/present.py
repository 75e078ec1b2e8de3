"""Findings in the protocol's words: diagnostics with their evidence, and what a rule is about."""

from __future__ import annotations

from collections import defaultdict

from lsprotocol import types

from clipcheck import catalog, naming
from clipcheck.findings import Evidence, Failure, Finding, Position, Risk
from clipcheck.record import dataclass
from clipcheck.report.text import clean
from clipcheck.server.documents import Document, Places, overlaps
from clipcheck.server.scans import Outcome
from clipcheck.suppress import UNUSED

SOURCE = "clipcheck"
_SEVERITY: dict[Risk, types.DiagnosticSeverity] = {
    "high": types.DiagnosticSeverity.Error,
    "medium": types.DiagnosticSeverity.Warning,
    "low": types.DiagnosticSeverity.Information,
    "none": types.DiagnosticSeverity.Hint,
}
_TAGS = {UNUSED: types.DiagnosticTag.Unnecessary, "CLP303": types.DiagnosticTag.Deprecated}


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the editor can do beyond the least that the protocol asks for."""

    related: bool = False  # show places that belong to a diagnostic
    tags: tuple[types.DiagnosticTag, ...] = ()
    versions: bool = False  # take edits with the version of the text that they were made for
    resolve: bool = False  # ask for the edit of an action when it is chosen
    markdown: bool = False
    watch: bool = False  # tell of files that change on disk

    @classmethod
    def of(cls, client: types.ClientCapabilities) -> Abilities:
        texts = client.text_document or types.TextDocumentClientCapabilities()
        shown = texts.publish_diagnostics or types.PublishDiagnosticsClientCapabilities()
        actions = texts.code_action or types.CodeActionClientCapabilities()
        hover = texts.hover or types.HoverClientCapabilities()
        space = client.workspace or types.WorkspaceClientCapabilities()
        edits = space.workspace_edit or types.WorkspaceEditClientCapabilities()
        watched = space.did_change_watched_files
        return cls(
            related=bool(shown.related_information),
            tags=tuple(shown.tag_support.value_set) if shown.tag_support else (),
            versions=bool(edits.document_changes),
            resolve=bool(actions.resolve_support and "edit" in actions.resolve_support.properties),
            markdown=types.MarkupKind.Markdown in (hover.content_format or ()),
            watch=bool(watched and watched.dynamic_registration),
        )


def diagnostics(outcome: Outcome, places: Places, abilities: Abilities) -> dict[str, list[types.Diagnostic]]:
    """Return the diagnostics of each part of a document, by the editor's name for it; empty lists included."""
    found: dict[str, list[types.Diagnostic]] = defaultdict(list)
    parts = outcome.document.parts
    for one in parts.values():
        found[one.uri] = []
    for finding in outcome.findings:
        if (part := parts.get(finding.cell)) is not None:
            found[part.uri].append(_diagnostic(finding, outcome.document, places, abilities))
    for failure in outcome.failures:
        if (part := parts.get(failure.cell)) is not None:
            found[part.uri].append(_failed(failure, outcome.document, places))
    return dict(found)


def extent(finding: Finding, document: Document, places: Places) -> types.Range:
    """Return where a finding stands, in its part of the document."""
    return places.range(document.parts[finding.cell], finding.start, finding.end)


def _diagnostic(
    finding: Finding, document: Document, places: Places, abilities: Abilities
) -> types.Diagnostic:
    tag = _TAGS.get(finding.code)
    about_risk = finding.code.startswith("CLP1")
    risk = f" [{naming.risk_words(finding.risk)}]" if about_risk else ""
    return types.Diagnostic(
        range=extent(finding, document, places),
        message=f"{clean(finding.message)}{risk}",
        severity=severity(finding),
        code=finding.code,
        source=SOURCE,
        tags=[tag] if tag in abilities.tags else None,
        related_information=[_related(item, places) for item in finding.evidence]
        if abilities.related and finding.evidence
        else None,
    )


def severity(finding: Finding) -> types.DiagnosticSeverity:
    """By risk; clipping that is wrong (CLP2, CLP3) is worth a warning whatever is trained."""
    by_risk = _SEVERITY[finding.risk]
    if finding.code.startswith(("CLP2", "CLP3")):
        return min(by_risk, types.DiagnosticSeverity.Warning)
    return by_risk


def _related(item: Evidence, places: Places) -> types.DiagnosticRelatedInformation:
    return types.DiagnosticRelatedInformation(
        places.row(item.filename, item.cell, item.row), clean(item.message)
    )


def _failed(failure: Failure, document: Document, places: Places) -> types.Diagnostic:
    """Say where a text can't be read: until then nothing is known of it, which is not the same as nothing found."""
    start = Position(failure.row or 1, failure.column or 1)
    return types.Diagnostic(
        range=places.range(document.parts[failure.cell], start, start),
        message=clean(failure.message),
        severity=types.DiagnosticSeverity.Warning,
        source=SOURCE,
    )


def hover(
    outcome: Outcome, uri: str, position: types.Position, places: Places, abilities: Abilities
) -> types.Hover | None:
    """Return the pages of the rules whose findings stand at a position of a part."""
    here = types.Range(position, position)
    found: dict[str, types.Range] = {}
    for finding in outcome.findings:
        part = outcome.document.parts.get(finding.cell)
        if part is None or part.uri != uri:
            continue
        where = extent(finding, outcome.document, places)
        if overlaps(where, here):
            found.setdefault(finding.code, where)
    if not found:
        return None
    pages = "\n\n---\n\n".join(catalog.rule(code).text.strip() for code in found)
    kind = types.MarkupKind.Markdown if abilities.markdown else types.MarkupKind.PlainText
    return types.Hover(types.MarkupContent(kind, pages), next(iter(found.values())))
