"""Write a comment for each finding that asks clipcheck to leave it alone (`--add-ignores`).

Comments are all that changes: the code is the same before and after, byte for byte, and a scan of the new text
finds nothing that has got a comment, nor a comment without effect.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from clipcheck import splice
from clipcheck.facts import Suppression
from clipcheck.findings import Failure, Finding, Report
from clipcheck.fixing import Plan, Run, outsiders
from clipcheck.notebook import NotebookError, Program, is_notebook, open_program, rewrite
from clipcheck.regular import regular
from clipcheck.sourcefile import Lines, SourceFile, parse, read
from clipcheck.suppress import UNUSED, Beside, acts, find_suppressions
from clipcheck.write import Change

if TYPE_CHECKING:
    from clipcheck.config import Settings

_LIST = regular(r"\[(?P<codes>[^\]]*)\]\Z")


class Cut(NamedTuple):
    """New text at an offset of a program."""

    start: int
    end: int
    content: str


class _Wish(NamedTuple):
    """A statement, by its rows in the program, and the rules that are to leave it alone."""

    rows: range
    codes: tuple[str, ...]


def plan(paths: Sequence[Path], settings: Settings, run: Run) -> Plan:
    """Return the files with comments for all findings under `paths`, nothing written; `fixed` are those silenced.

    A file whose findings cannot all have a comment gets those that it can; what speaks against the others is in `refused`.
    """
    before = run(paths, settings, overlay={})
    by_file: dict[str, list[Finding]] = defaultdict(list)
    for finding in before.findings:
        if finding.code != UNUSED:  # a comment to silence a comment: the fix takes it away
            by_file[finding.filename].append(finding)
    drafts: dict[str, _Draft] = {}
    refused = outsiders(by_file, paths, settings)
    for failure in refused:
        del by_file[failure.filename]
    for name, findings in sorted(by_file.items()):
        try:
            drafts[name] = _Draft.of(read(Path(name)), name, findings)
        except (OSError, SyntaxError, LookupError, UnicodeError, NotebookError) as error:
            refused.append(Failure(name, f"no comment written: {error}"))
    tidied = False
    while True:
        texts = {name: draft.text for name, draft in drafts.items() if draft.text != draft.source.text}
        after = run(paths, settings, overlay=texts)
        if not tidied:
            tidied = True
            neat = {name: _without_idle_codes(draft, after) for name, draft in drafts.items()}
            if neat != drafts:
                drafts = neat
                continue
        wrong = _unexpected(before, after, drafts)
        if not wrong:
            break
        refused += [
            Failure(name, f"no comment written: with it, {codes} is found") for name, codes in wrong.items()
        ]
        drafts = {name: draft for name, draft in drafts.items() if name not in wrong}
    for draft in drafts.values():
        refused += draft.left
    changes = tuple(Change(name, drafts[name].source, text) for name, text in sorted(texts.items()))
    silenced = tuple(one for name in texts for one in drafts[name].silenced)
    return Plan(changes, silenced, tuple(refused), after)


def _without_idle_codes(draft: _Draft, after: Report) -> _Draft:
    """Return a draft whose comments name no rules that were idle in them before they got another one."""
    places = {(one.cell, row) for one in draft.silenced for row in range(one.start.row, one.end.row + 1)}
    name = str(draft.source.path)
    idle = [
        one
        for one in after.findings
        if one.code == UNUSED and one.filename == name and (one.cell, one.start.row) in places
    ]
    return draft._replace(text=splice.render(draft.text, idle, unsafe=False)[0]) if idle else draft


def _unexpected(before: Report, after: Report, drafts: Mapping[str, _Draft]) -> dict[str, str]:
    """Return, by file, the rules that are found where a comment should keep them silent, or that are new."""
    expected = Counter((one.filename, one.code) for one in before.findings)
    expected.subtract((one.filename, one.code) for draft in drafts.values() for one in draft.silenced)
    surplus = Counter((one.filename, one.code) for one in after.findings) - expected
    return {
        name: ", ".join(code for file, code in sorted(surplus) if file == name)
        for name in sorted({name for name, _ in surplus})
    }


class _Draft(NamedTuple):
    """A file with its comments."""

    source: SourceFile
    text: str
    silenced: tuple[Finding, ...]
    left: tuple[Failure, ...]  # findings that no comment can stand beside

    @classmethod
    def of(cls, source: SourceFile, filename: str, findings: Sequence[Finding]) -> _Draft:
        """Raises UnicodeError for a file that could not be written back byte for byte."""
        if source.encode(source.text) != source.data:
            raise UnicodeError(f"the encoding {source.encoding} does not give the same bytes back")
        program = open_program(source.text, filename)
        text, program_text = source.text, program.text
        silenced: list[Finding] = []
        left: list[Failure] = []
        wishes = dict(_wishes(program, findings))
        text, open_ = _commented(text, filename, program_text, list(wishes))[::2]
        for wish, own in wishes.items():
            if wish not in open_:
                silenced += own
                continue
            first = own[0]
            message = (
                f"no comment written for {', '.join(wish.codes)}: none can stand in a line of this statement"
            )
            left.append(Failure(filename, message, first.start.row, first.start.column, cell=first.cell))
        return cls(source, text, tuple(silenced), tuple(left))


def _wishes(program: Program, findings: Sequence[Finding]) -> Iterator[tuple[_Wish, list[Finding]]]:
    """Yield the statements of findings, in the order of the program, with their findings."""
    by_rows: dict[tuple[int, int], list[Finding]] = defaultdict(list)
    for one in findings:
        rows = program.row(one.cell, one.start.row), program.row(one.cell, one.end.row)
        by_rows[rows].append(one)
    for (first, last), own in sorted(by_rows.items()):
        yield _Wish(range(first, last + 1), tuple(sorted({one.code for one in own}))), own


def _commented(
    text: str, filename: str, program_text: str, wishes: Sequence[_Wish]
) -> tuple[str, str, frozenset[_Wish]]:
    """Return a file's text and its program with the comments that grant `wishes`, and those that have no place for one.

    All of them are written at once where that goes well, since a file may hold thousands; else by halves.
    """
    if not wishes:
        return text, program_text, frozenset()
    lines, there = Lines(program_text), find_suppressions(program_text)
    if len(wishes) == 1:
        (wish,) = wishes
        for cut in _cuts(lines, there, wish.rows, wish.codes):
            found = _made(text, filename, program_text, wishes, [cut])
            if found is not None:
                return *found, frozenset()
        return text, program_text, frozenset(wishes)
    if all(one.rows.stop <= other.rows.start for one, other in pairwise(wishes)):
        beside = Beside(there)
        chosen = [next(_cuts(lines, beside.of(one.rows), one.rows, one.codes), None) for one in wishes]
        first = [cut for cut in chosen if cut is not None]
        found = _made(text, filename, program_text, wishes, first) if len(first) == len(wishes) else None
        if found is not None:
            return *found, frozenset()
    half = len(wishes) // 2
    text, program_text, left = _commented(text, filename, program_text, wishes[:half])
    text, program_text, more = _commented(text, filename, program_text, wishes[half:])
    return text, program_text, left | more


def _made(
    text: str, filename: str, program_text: str, wishes: Sequence[_Wish], chosen: Sequence[Cut]
) -> tuple[str, str] | None:
    """Return a file's text and its program with some edits, or None where they do not grant all wishes."""
    parts, at = [], 0
    for cut in chosen:
        parts += [program_text[at : cut.start], cut.content]
        at = cut.end
    new = "".join([*parts, program_text[at:]])
    if not _granted(new, wishes) or not _same_code(program_text, new):
        return None
    try:
        return rewrite(text, filename, chosen) if is_notebook(filename) else new, new
    except NotebookError:  # a row is a magic in truth
        return None


def cuts(text: str, rows: range, codes: Sequence[str]) -> Iterator[Cut]:
    """Yield the edits that may give the statement in `rows` of a program a comment for `codes`, the best first.

    Whether one does is for the caller to see: a row may end inside a string.
    """
    yield from _cuts(Lines(text), find_suppressions(text), rows, codes)


def _cuts(lines: Lines, comments: Iterable[Suppression], rows: range, codes: Sequence[str]) -> Iterator[Cut]:
    there = [item for item in comments if item.row in rows]
    missing = [code for code in codes if not any(acts(item, code, rows) for item in there)]
    for item in there:
        listed = _LIST.search(item.text)
        if item.kind == "line" and listed is not None:
            comma = "," if "," in listed["codes"] and ", " not in listed["codes"] else ", "
            end = lines.offset(item.row, item.span.column + len(item.text.encode())) - 1
            yield Cut(end, end, "".join(f"{comma}{code}" for code in missing))
    words = f"  # clipcheck: ignore[{', '.join(missing)}]"
    for row in rows:
        stretch = lines.text[lines.start(row) : lines.content_end(row)]
        if not stretch.endswith("\\"):  # the row goes on: what follows the backslash would be an error
            end = lines.start(row) + len(stretch.rstrip(" \t\f"))
            yield Cut(end, end, words)


def _granted(text: str, wishes: Iterable[_Wish]) -> bool:
    beside = Beside(find_suppressions(text))
    return all(beside.acting(code, wish.rows) for wish in wishes for code in wish.codes)


def _same_code(old: str, new: str) -> bool:
    try:
        return ast.dump(parse(old)) == ast.dump(parse(new))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
