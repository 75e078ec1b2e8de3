"""Where the comment goes that silences one finding."""

from __future__ import annotations

from clipcheck.findings import Edit, Finding
from clipcheck.ignores import cuts
from clipcheck.magics import plain
from clipcheck.notebook import is_notebook
from clipcheck.sourcefile import Lines
from clipcheck.suppress import acts, find_suppressions


def comment(text: str, finding: Finding, filename: str) -> Edit | None:
    """Return the edit of `text` (a file's or a cell's) after which a comment silences `finding`.

    A comment of clipcheck's that is there takes the code; else a new one goes to the end of the first row of the
    statement that can have one. None where no row can: inside a string, before a line goes on.
    """
    lines = Lines(text)
    rows = range(finding.start.row, finding.end.row + 1)
    python = _python(text, filename)  # of the same rows, which may differ in length
    for cut in cuts(python, rows, [finding.code]):
        place = Lines(python).position(cut.start)
        at = lines.offset_of(place)
        new = text[:at] + cut.content + text[at:]
        if any(acts(item, finding.code, rows) for item in find_suppressions(_python(new, filename))):
            return Edit(cut.content, place, place, finding.cell)
    return None


def _python(text: str, filename: str) -> str:
    return plain(text) if is_notebook(filename) else text
