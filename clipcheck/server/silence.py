"""Where the comment goes that silences one finding."""

from __future__ import annotations

from clipcheck.findings import Edit, Finding
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
    for place, words in (*_added(text, lines, rows, finding, filename), *_new(lines, rows, finding)):
        new = text[:place] + words + text[place:]
        if any(acts(item, finding.code, rows) for item in find_suppressions(_python(new, filename))):
            position = lines.position(place)
            return Edit(words, position, position, finding.cell)
    return None


def _python(text: str, filename: str) -> str:
    return plain(text) if is_notebook(filename) else text


def _added(text: str, lines: Lines, rows: range, finding: Finding, filename: str) -> list[tuple[int, str]]:
    """Return where the code goes in comments that silence other rules in these rows."""
    return [
        (lines.offset(item.row, item.span.column + len(item.text.encode()) - 1), f", {finding.code}")
        for item in find_suppressions(_python(text, filename))
        if item.kind == "line" and item.row in rows and item.text.endswith("]")
    ]


def _new(lines: Lines, rows: range, finding: Finding) -> list[tuple[int, str]]:
    """Return where a comment of its own could go."""
    places = []
    for row in rows:
        end = lines.content_end(row)
        code = lines.text[lines.start(row) : end]
        if not code.endswith("\\"):  # the row goes on: what follows the backslash would be an error
            place = lines.start(row) + len(code.rstrip())
            places.append((place, f"  # clipcheck: ignore[{finding.code}]"))
    return places
