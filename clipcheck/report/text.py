"""The report for people: each finding with its code, its evidence and its fix, and a last line that proves sight."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from clipcheck import naming
from clipcheck.findings import Failure, Finding, Fix, Report
from clipcheck.notebook import NotebookError, is_notebook, sources
from clipcheck.report import Layout

Segments = list[tuple[str, str]]  # text and its style; an empty style is plain
Texts = dict[str, Mapping[int | None, list[str]]]  # the rows of files, of notebooks by cell
_ROWS = 4  # a longer statement is cut
_RISK_STYLE = {"high": "bold red", "medium": "bold yellow", "low": "cyan", "none": "dim"}
# Characters that a terminal acts on instead of showing: controls, and those that turn the direction of text.
_UNSAFE = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code != 0x09} | {
    code: f"\\u{code:04x}"
    for code in (
        0x061C,
        0x200E,
        0x200F,
        0x2028,
        0x2029,
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
        0xFEFF,
    )
}


def render(report: Report, layout: Layout) -> str:
    """Return the report as text, with terminal colours where the layout has them."""
    parts = [_line(line, layout) for line in _lines(report, layout)]
    return "".join(parts)


def sight(report: Report) -> str:
    """Return the line that says how many steps were seen and what became of them."""
    seen = report.sight
    steps = f"{seen.steps} step{'' if seen.steps == 1 else 's'} seen"
    aside = f"; {report.silenced} silenced by comments" if report.silenced else ""
    aside += "" if report.known is None else f"; {report.known} known from the baseline"
    return (
        f"{steps}: {seen.clipped} clipped, {seen.low_risk} low-risk, "
        f"{seen.reported} reported, {seen.unknown} unknown{aside}"
    )


def statistics(report: Report) -> str:
    """Return how often each rule was found, most frequent first."""
    counts = Counter((finding.code, finding.name) for finding in report.findings)
    fixable = Counter(finding.code for finding in report.findings if finding.fix is not None)
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    width = len(str(max(counts.values(), default=0)))
    return "".join(
        f"{count:>{width}}  {code}  {name}{f' ({fixable[code]} with a fix)' if fixable[code] else ''}\n"
        for (code, name), count in rows
    )


def failures(items: Sequence[Failure], layout: Layout) -> str:
    """Return files that could not be read or parsed, each with its line and a caret where known."""
    shown = []
    for item in items:
        row = item.row and place_of(item.cell, item.row)
        place = ":".join(str(part) for part in (display(item.filename, layout), row, item.column) if part)
        shown.append(clean(f"error: {place}: {item.message}"))
        if item.line:
            # A column past the line's end (a missing bracket) still gets its caret.
            column = min((item.column or 1) - 1, len(item.line))
            prefix, rest = clean(item.line[:column]).expandtabs(4), clean(item.line[column:]).expandtabs(4)
            lead = len(prefix) - len(prefix.lstrip())
            start = max(lead, len(prefix) - layout.width + 24)
            mark = "..." if start > lead else ""
            shown.append("  " + mark + (prefix + rest)[start : start + layout.width - 8])
            shown.append("  " + " " * (len(mark) + _cells(prefix[start:])) + "^")
    return "".join(_plain(line, layout) + "\n" for line in shown)


def fixes(fixed: Sequence[Finding], layout: Layout) -> str:
    """Return the list of what was fixed (`--show-fixes`)."""
    lines = [
        clean(
            f"fixed {display(item.filename, layout)}:{place_of(item.cell, item.start.row)}: "
            f"{item.code} {item.name}: {_fix_text(item)}"
        )
        for item in fixed
    ]
    return "".join(_plain(line, layout) + "\n" for line in lines)


def display(filename: str, layout: Layout) -> str:
    """Return a file's name as seen from the current folder, if it is below it."""
    try:
        relative = os.path.relpath(filename, layout.folder)
    except ValueError:  # another drive
        return filename
    return filename if relative.startswith("..") else relative


def place_of(cell: int | None, row: int) -> str:
    """Return a row as it is shown behind a file's name: in a notebook with its cell, counted from 0 as in JSON."""
    return f"{row}" if cell is None else f"cell {cell}:{row}"


def clean(text: str) -> str:
    """Make control characters of the scanned project's text visible, so that no terminal obeys them."""
    return text.translate(_UNSAFE)


def _fix_text(finding: Finding) -> str:
    return finding.fix.message if finding.fix is not None else ""


def _lines(report: Report, layout: Layout) -> Iterator[Segments]:
    texts: Texts = {}
    for finding in report.findings:
        yield from _finding(finding, layout, texts)
        yield []
    if layout.statistics and report.findings:
        yield from ([(line, "")] for line in statistics(report).splitlines())
        yield []
    if layout.quiet:
        return
    if report.findings:
        yield [(_total(report), "bold")]
    yield [(sight(report), "")]


def _total(report: Report) -> str:
    count = len(report.findings)
    safe = sum(item.fix is not None and item.fix.applicability == "safe" for item in report.findings)
    unsafe = sum(item.fix is not None and item.fix.applicability == "unsafe" for item in report.findings)
    ways = []
    if safe:
        ways.append(f"{safe} fixable with --fix")
    if unsafe:
        ways.append(f"{unsafe} {'more' if safe else 'fixable'} with --fix --unsafe-fixes")
    return f"{count} finding{'' if count == 1 else 's'}" + (f" ({', '.join(ways)})" if ways else "")


def _finding(finding: Finding, layout: Layout, texts: Texts) -> Iterator[Segments]:
    place = f"{clean(display(finding.filename, layout))}:{place_of(finding.cell, finding.start.row)}:{finding.start.column}"
    yield [
        (place, "bold"),
        (": ", ""),
        (finding.code, "bold red"),
        (f" {finding.name} ", ""),
        (f"[{naming.risk_words(finding.risk)}]", _RISK_STYLE[finding.risk]),
    ]
    yield from ([("  " + line, "")] for line in _wrap(clean(finding.message), layout.width - 2))
    if finding.filename not in texts:
        texts[finding.filename] = _sources(finding.filename, layout)
    rows = texts[finding.filename].get(finding.cell)
    if rows is not None:
        yield from _frame(finding, rows, layout)
    for item in finding.evidence:
        where = f"{clean(display(item.filename, layout))}:{place_of(item.cell, item.row)}"
        yield [("  = ", "blue"), (where, "bold"), (f": {clean(item.message)}", "")]
    if finding.fix is not None:
        yield [("  fix", "bold green"), (f" {_how(finding.fix)}: {clean(finding.fix.message)}", "")]


def _how(fix: Fix) -> str:
    return "(safe, --fix writes it)" if fix.applicability == "safe" else "(unsafe, needs --unsafe-fixes)"


def _sources(filename: str, layout: Layout) -> Mapping[int | None, list[str]]:
    """Return the rows of a file (under None), or of the cells of a notebook; nothing where it cannot be read."""
    text = layout.text(filename)
    if text is None:
        return {}
    texts: Mapping[int, str] | Mapping[None, str]
    try:
        texts = sources(text) if is_notebook(filename) else {None: text}
    except NotebookError:
        return {}
    return {cell: rows.replace("\r\n", "\n").replace("\r", "\n").split("\n") for cell, rows in texts.items()}


def _frame(finding: Finding, rows: list[str], layout: Layout) -> Iterator[Segments]:
    """Yield the finding's rows, the row above, and a caret line under the first."""
    first, last = finding.start.row, min(finding.end.row, finding.start.row + _ROWS - 1)
    if first > len(rows):
        return  # the file has changed since it was scanned
    margin = len(str(last)) + 1
    room = max(20, layout.width - margin - 5)
    above = first - 1 if first > 1 and rows[first - 2].strip() else first
    shown = {row: rows[row - 1] for row in range(above, min(last, len(rows)) + 1)}
    indent = min(
        (len(_flat(text)) - len(_flat(text).lstrip()) for text in shown.values() if text.strip()), default=0
    )
    start = _flat(rows[first - 1][: finding.start.column - 1])
    end_column = finding.end.column - 1 if finding.end.row == first else None
    stretch = _flat(rows[first - 1][:end_column])
    # Where the statement begins beyond the width, the whole frame moves to the right with it.
    skip = indent if _cells(start[indent:]) + 12 < room else max(0, len(start) - 12)
    for row, text in shown.items():
        yield [(f"  {row:>{margin}} | ", "blue"), (_fit(_flat(text)[skip:], room), "")]
        if row == first:
            before = _cells(start[skip:])
            length = max(1, min(_cells(stretch.rstrip()[skip:]), room) - before)
            yield [(f"  {'':>{margin}} | ", "blue"), (" " * before + "^" * length, "bold red")]
    if finding.end.row > last:
        yield [(f"  {'':>{margin}} | ", "blue"), ("...", "dim")]


def _flat(text: str) -> str:
    return clean(text).expandtabs(4)


def _cells(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _fit(text: str, width: int) -> str:
    """Cut a row at the width of the terminal; wide characters count twice."""
    if _cells(text) <= width:
        return text.rstrip()
    if text.isascii():
        return text[: width - 3] + "..."
    from rich.cells import set_cell_size

    return set_cell_size(text, width - 3).rstrip() + "..."


def _wrap(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, max(20, width), break_long_words=False, break_on_hyphens=False) or [""]


def _line(segments: Segments, layout: Layout) -> str:
    if not layout.color or not any(style for _, style in segments):
        return _plain("".join(text for text, _ in segments), layout) + "\n"
    from rich.style import Style

    return "".join(Style.parse(style).render(_plain(text, layout)) for text, style in segments) + "\n"


def _plain(text: str, layout: Layout) -> str:
    """Write what the stream's encoding cannot show as escapes: a report never fails for a letter."""
    return text.encode(layout.encoding, "backslashreplace").decode(layout.encoding)
