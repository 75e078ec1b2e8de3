"""What the editor can do about findings: quick fixes, comments that ask for silence, all safe fixes at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from lsprotocol import types

from clipcheck.findings import Edit, Finding
from clipcheck.notebook import is_notebook, sources
from clipcheck.report.text import clean
from clipcheck.server.documents import Document, Places, differences, overlaps
from clipcheck.server.present import SOURCE, Abilities, diagnostics, extent
from clipcheck.server.scans import Outcome
from clipcheck.server.silence import comment
from clipcheck.splice import render
from clipcheck.suppress import UNUSED

FIX_ALL = f"{types.CodeActionKind.SourceFixAll.value}.{SOURCE}"
KINDS = (types.CodeActionKind.QuickFix, FIX_ALL)


def asked_for(kind: str, only: Sequence[str] | None) -> bool:
    """Whether a kind of action is asked for: `source` asks for all below it."""
    return only is None or any(kind == wanted or kind.startswith(f"{wanted}.") for wanted in only)


def quick_fixes(
    outcome: Outcome, uri: str, where: types.Range, places: Places, abilities: Abilities
) -> Iterator[types.CodeAction]:
    """Yield, for each finding that a range of a part touches, its fix and the comment that silences it."""
    document = outcome.document
    for finding in outcome.findings:
        part = document.parts.get(finding.cell)
        if part is None or part.uri != uri or not overlaps(extent(finding, document, places), where):
            continue
        alone = Outcome(document, (finding,))
        shown = diagnostics(alone, places, abilities)[uri]
        if finding.fix is not None and _holds(document, finding):
            safe = finding.fix.applicability == "safe"
            yield types.CodeAction(
                title=f"{finding.code}: {clean(finding.fix.message)}{'' if safe else ' (unsafe)'}",
                kind=types.CodeActionKind.QuickFix,
                diagnostics=shown,
                is_preferred=safe,
                edit=_workspace_edit(document, finding.fix.edits, places, abilities),
            )
        silence = None if finding.code == UNUSED else comment(part.text, finding, document.filename)
        if silence is not None:
            yield types.CodeAction(
                title=f"{finding.code}: ignore this finding",
                kind=types.CodeActionKind.QuickFix,
                diagnostics=shown,
                edit=_workspace_edit(document, [silence], places, abilities),
            )


def _holds(document: Document, finding: Finding) -> bool:
    """Whether the fix leaves a text that can be parsed, with everything else as it was."""
    return bool(render(document.text, [finding], unsafe=True)[1])


def fix_all(uri: str, edit: types.WorkspaceEdit | None) -> types.CodeAction:
    """Return the action that writes all safe fixes of a document: to be resolved, where its edit is not known."""
    return types.CodeAction(
        title="clipcheck: write all safe fixes",
        kind=FIX_ALL,
        edit=edit,
        data=None if edit is not None else {"uri": uri},
    )


def rewritten(
    document: Document, text: str, places: Places, abilities: Abilities
) -> types.WorkspaceEdit | None:
    """Return the edits that give a document this text; None where it has it."""
    old, new = _by_part(document.filename, document.text), _by_part(document.filename, text)
    edits = [
        Edit(content, start, end, cell)
        for cell in document.parts
        for start, end, content in differences(old[cell], new[cell])
    ]
    return _workspace_edit(document, edits, places, abilities) if edits else None


def _by_part(filename: str, text: str) -> dict[int | None, str]:
    if not is_notebook(filename):
        return {None: text}
    return dict(sources(text).items())


def _workspace_edit(
    document: Document, edits: Sequence[Edit], places: Places, abilities: Abilities
) -> types.WorkspaceEdit:
    by_cell: dict[int | None, list[types.TextEdit]] = defaultdict(list)
    for edit in edits:
        where = places.range(document.parts[edit.cell], edit.start, edit.end)
        by_cell[edit.cell].append(types.TextEdit(where, edit.content))
    changed = [(document.parts[cell], own) for cell, own in by_cell.items()]
    if not abilities.versions:
        return types.WorkspaceEdit(changes={part.uri: own for part, own in changed})
    return types.WorkspaceEdit(
        document_changes=[
            types.TextDocumentEdit(types.OptionalVersionedTextDocumentIdentifier(part.uri, part.version), own)
            for part, own in changed
        ]
    )
