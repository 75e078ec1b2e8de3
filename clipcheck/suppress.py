"""Find the comments that ask for silence, and apply them to verdicts.

    # clipcheck: ignore              every rule, on the statement that the comment stands in
    # clipcheck: ignore[CLP101,CLP3] these rules, by code or prefix
    # clipcheck: ignore-file         every rule, in the whole file; takes codes as well
    # noqa, # noqa: CLP101           honoured as other linters honour them

Only comments count: the same words in a string are text.
"""

from __future__ import annotations

import io
import re
import tokenize
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

from clipcheck.facts import Suppression
from clipcheck.findings import RemoveComment, Repair, Replace, Site, Span, Verdict
from clipcheck.regular import regular

UNUSED = "CLP901"
_OWN = regular(
    r"#\s*clipcheck\s*:\s*(?P<kind>ignore-file|ignore)(?![\w-])\s*(?:\[(?P<codes>[^\]#]*)\])?", re.IGNORECASE
)
_NOQA = regular(
    r"#\s*noqa(?![\w-])(?P<colon>\s*:\s*(?P<codes>[A-Z][A-Z0-9]*(?:[\s,]+[A-Z]+[0-9]+)*))?", re.IGNORECASE
)


def find_suppressions(source: str) -> tuple[Suppression, ...]:
    """Return the suppression comments of a module's text, in order. Never raises: damage ends the search."""
    lowered = source.lower()
    if "noqa" not in lowered and "clipcheck" not in lowered:
        return ()  # in most files: the expressions need not even be compiled
    if _OWN.search(source) is None and _NOQA.search(source) is None:
        return ()  # tokenizing costs more than parsing: few files need it
    lines = io.StringIO(source.removeprefix("\ufeff"), newline=None).readlines()
    found: list[Suppression] = []
    try:
        for token in tokenize.generate_tokens(iter(lines).__next__):
            if token.type == tokenize.COMMENT:
                row, column = token.start
                found.extend(_read_comment(token.string, row, lines[row - 1][:column]))
    except (tokenize.TokenError, SyntaxError):
        pass  # `extract` reports the file; what stands above the damage still counts
    return tuple(found)


def apply(
    verdicts: Iterable[Verdict],
    suppressions: Sequence[Suppression],
    statement_rows: Callable[[Verdict], range],
    *,
    filename: str = "",
) -> tuple[tuple[Verdict, ...], tuple[Verdict, ...]]:
    """Split one file's verdicts: those nobody suppressed, and a CLP901 per clipcheck comment without effect.

    `statement_rows` gives the rows of the statement that a verdict is about; a comment on any of them counts.
    Hand in *every* verdict, before `--select` and `--min-risk`: a comment is not idle because less was asked for.
    """
    kept: list[Verdict] = []
    used: dict[Suppression, set[str]] = {}
    beside = Beside(suppressions)
    for verdict in verdicts:
        hits = beside.acting(verdict.code, statement_rows(verdict))
        for item in hits:
            used.setdefault(item, set()).update(code for code in item.codes if verdict.code.startswith(code))
        if not hits:
            kept.append(verdict)
    unused = [_unused(item, used, Site(filename, item.span)) for item in suppressions if item.kind != "noqa"]
    silent = any(item.kind == "file" and _covers(item, UNUSED) and item in used for item in suppressions)
    return tuple(kept), () if silent else tuple(item for item in unused if item is not None)


def _read_comment(comment: str, row: int, before: str) -> Iterable[Suppression]:
    """Yield the requests in one comment; `before` is what stands left of it in its row."""
    left = len(before.encode("utf-8", "surrogatepass"))
    matches = [*_OWN.finditer(comment), *_NOQA.finditer(comment)]
    for match in sorted(matches, key=lambda match: match.start()):
        kind = "noqa"
        if match.re.pattern == _OWN.pattern:
            kind = "file" if match["kind"].lower() == "ignore-file" else "line"
        codes = tuple(code.upper() for code in re.split(r"[\s,]+", match["codes"] or "") if code)
        if match.re.pattern == _OWN.pattern and match["codes"] is not None and not codes:
            continue  # `ignore[]` asks for nothing
        end = comment.find("#", match.end())
        reach = comment[match.start() : end if end >= 0 else None].rstrip()
        start = left + len(comment[: match.start()].encode("utf-8", "surrogatepass"))
        span = Span(row, start, row, start + len(reach.encode("utf-8", "surrogatepass")))
        yield Suppression(row, span, codes, kind, match[0].rstrip())


def _covers(item: Suppression, code: str) -> bool:
    return not item.codes or any(code.startswith(prefix) for prefix in item.codes)


def acts(item: Suppression, code: str, rows: range) -> bool:
    """Whether a comment suppresses a rule's verdict on the statement in these rows."""
    return _covers(item, code) and (item.kind == "file" or item.row in rows)


class Beside:
    """Comments by their rows: a file may hold thousands."""

    def __init__(self, comments: Iterable[Suppression]) -> None:
        self._wide: list[Suppression] = []
        self._lines: list[Suppression] = []
        for item in comments:
            (self._wide if item.kind == "file" else self._lines).append(item)
        self._lines.sort(key=_row)

    def of(self, rows: range) -> list[Suppression]:
        """The comments in some rows, and those for the whole file."""
        first = bisect_left(self._lines, rows.start, key=_row)
        return [*self._wide, *self._lines[first : bisect_left(self._lines, rows.stop, key=_row)]]

    def acting(self, code: str, rows: range) -> list[Suppression]:
        """The comments that suppress a rule's verdict on the statement in these rows."""
        return [item for item in self.of(rows) if acts(item, code, rows)]


def _row(item: Suppression) -> int:
    return item.row


def _unused(item: Suppression, used: dict[Suppression, set[str]], site: Site) -> Verdict | None:
    """Return the CLP901 of a comment that is idle, wholly or in some of its codes."""
    text = item.text
    if item not in used:
        return Verdict(UNUSED, f"`{text}` suppresses nothing", site, "none", (), _remove(item))
    idle = [code for code in item.codes if code not in used[item] and not UNUSED.startswith(code)]
    if not idle:
        return None
    left = ", ".join(code for code in item.codes if code not in idle)
    span = item.span._replace(end_column=item.span.column + len(text.encode()))
    message = f"`{text}`: {', '.join(idle)} suppress{'es' if len(idle) == 1 else ''} nothing"
    repair = Repair("safe", f"Keep {left} only", (Replace(span, f"{text.split('[', 1)[0]}[{left}]"),))
    return Verdict(UNUSED, message, site, "none", (), repair)


def _remove(item: Suppression) -> Repair:
    return Repair("safe", "Remove the comment", (RemoveComment(item.span),))
