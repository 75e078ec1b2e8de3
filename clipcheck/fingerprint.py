"""Know a finding again when its file has changed around it.

A finding is known by its rule, its file, the function it stands in and the text of its statement: not by its
row. Rows may move, code may be indented anew or wrapped, other findings may come and go.
"""

from __future__ import annotations

import ast
import hashlib
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from clipcheck.findings import Finding
from clipcheck.notebook import Program
from clipcheck.record import dataclass, field, replace
from clipcheck.regular import regular
from clipcheck.sourcefile import Lines
from clipcheck.statements import Tree, parse_statements

_STRING_OR_COMMENT = regular(
    r"""(?s)(?P<string>'''(?:\\.|[^\\])*?'''|\"""(?:\\.|[^\\])*?\"""|'(?:\\.|[^\\'\n\r])*'|"(?:\\.|[^\\"\n\r])*")|#[^\n\r]*"""
)
_CONTINUED = regular(r"\\(?:\r\n|\n|\r)")
_SPACE = regular(r"\s+")
_AT_BRACKETS = regular(r"(?<=[(\[{.]) | (?=[)\]}.,])")
# Where formatters put white space, or take it away.
_LOOSE = regular(r"(?<=\W) | (?=\W)")
_TRAILING_COMMA = regular(r",(?=[)\]}])")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Identity(NamedTuple):
    """What stays of a finding: equal ones are told apart by their number alone."""

    path: str  # from the project, with "/"
    code: str
    scope: str  # "Trainer.fit"; empty at the top of the module
    statement: str  # tight: see `tight`


def identity(finding: Finding, base: Path) -> Identity:
    """Return what a finding is known by, its path counted from the folder `base`."""
    return Identity(relative(finding.filename, base), finding.code, finding.scope, tight(finding.statement))


def relative(filename: str, base: Path) -> str:
    """Return a file's path from `base` with "/", or its whole path where it is not below."""
    path = Path(filename)
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()


def one_line(text: str) -> str:
    """Return the text of a statement on one line, without its comments (of a comment: itself)."""
    if not text.startswith("#"):
        text = _STRING_OR_COMMENT.sub(lambda match: match["string"] or " ", _CONTINUED.sub(" ", text))
    return _AT_BRACKETS.sub("", _SPACE.sub(" ", text).strip())


def tight(statement: str) -> str:
    """Return what one statement has in common with itself after a formatter."""
    return _TRAILING_COMMA.sub("", _LOOSE.sub("", statement))


def marked(findings: Sequence[Finding], program: Program, base: Path) -> list[Finding]:
    """Return the findings of one program with their statements, scopes and fingerprints, in their order.

    Places are those of the program, not yet of its cells.
    """
    if not findings:
        return []
    source = _Source.of(parse_statements(program.text))
    told: list[Finding] = []
    seen: Counter[tuple[Identity, int]] = Counter()
    for finding in findings:
        start, end = source.reach(finding)
        statement = one_line(source.lines.text[start:end])
        scope = source.scope(start)
        known = replace(finding, statement=statement, scope=scope)
        key = identity(known, base)
        among = source.number(start, end, scope)
        twin = seen[key, among]
        seen[key, among] += 1
        told.append(replace(known, fingerprint=_digest(key, among, twin)))
    return told


def _digest(key: Identity, among: int, twin: int) -> str:
    words = "\0".join((*key, str(among), str(twin)))
    return hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class _Source:
    """The functions and classes of a program, and its simple statements by the one that they stand in."""

    lines: Lines
    definitions: tuple[tuple[int, int, str], ...]  # start, end and qualified name, outer ones first
    statements: Mapping[str, Sequence[tuple[int, int]]]
    _numbers: dict[str, dict[tuple[int, int], int]] = field(default_factory=dict)  # of the scopes asked about

    @classmethod
    def of(cls, tree: Tree) -> _Source:
        definitions: list[tuple[int, int, str]] = []
        statements: dict[str, list[tuple[int, int]]] = defaultdict(list)
        scopes: dict[int, str] = {}  # in which a statement's blocks stand
        for one in tree.statements:
            owner = one.block.owner
            scope = scopes[id(owner)] if owner is not None else ""
            if isinstance(one.node, _DEFINITIONS):
                scope = f"{scope}.{one.node.name}".lstrip(".")
                definitions.append((one.head, one.end, scope))
            elif not hasattr(one.node, "body"):
                statements[scope].append((one.start, one.end))
            scopes[id(one)] = scope
        return cls(tree.lines, tuple(sorted(definitions)), statements)

    def reach(self, finding: Finding) -> tuple[int, int]:
        """Return the offsets at which a finding starts and ends."""
        try:
            return self.lines.offset_of(finding.start), self.lines.offset_of(finding.end)
        except IndexError:  # never from `ast` on this text; still no reason to lose the finding
            return 0, 0

    def scope(self, offset: int) -> str:
        """Return the qualified name of the innermost function or class around a place."""
        above = bisect_right(self.definitions, offset, key=lambda definition: definition[0])
        around = (name for _, end, name in reversed(self.definitions[:above]) if offset < end)
        return next(around, "")

    def number(self, start: int, end: int, scope: str) -> int:
        """Return how many equal statements stand above in the same scope, reported or not."""
        if scope not in self._numbers:
            seen: Counter[str] = Counter()
            numbers: dict[tuple[int, int], int] = {}
            for place in sorted(self.statements.get(scope, ())):
                text = tight(one_line(self.lines.text[slice(*place)]))
                numbers[place] = seen[text]
                seen[text] += 1
            self._numbers[scope] = numbers
        # An expression in the head of a loop, or a comment, is none of them.
        return self._numbers[scope].get((start, end), 0)
