"""Plan the fixes of a project in memory: fix, scan again, and keep what holds.

A file's fixes are kept only if its text parses (libcst has to see the same statements as `ast`), the findings that were
fixed are gone, no other ones have come, and fixing it again changes nothing. `write` puts the outcome on disk, `diff` shows it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from clipcheck.findings import Failure, Finding, Report
from clipcheck.notebook import open_program
from clipcheck.record import dataclass
from clipcheck.sourcefile import SourceFile, read
from clipcheck.splice import fixable, render
from clipcheck.write import Change, leads_out, other_names, replace_file, unified_diff

if TYPE_CHECKING:
    from clipcheck.config import Settings

__all__ = ["PASSES", "FixOutcome", "Plan", "Run", "apply", "diff", "plan", "render", "write"]

PASSES = 5  # fixes that wait for each other need a pass each; more than this is going in circles


class Run(Protocol):
    """Scan `paths`; files named in `overlay` (absolute name -> text) are taken from there, not from disk."""

    def __call__(
        self, paths: Sequence[Path], settings: Settings, *, overlay: Mapping[str, str]
    ) -> Report: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What fixing would do: new texts, the findings that go, what remains, and files left alone."""

    changes: tuple[Change, ...]
    fixed: tuple[Finding, ...]
    refused: tuple[Failure, ...]
    report: Report  # of what remains once `changes` are written

    @property
    def overlay(self) -> dict[str, str]:
        """The new texts by absolute filename, to scan or run without writing."""
        return {change.filename: change.text for change in self.changes}


@dataclass(frozen=True, slots=True)
class FixOutcome:
    """What fixing did."""

    fixed: tuple[Finding, ...]
    written: tuple[str, ...]
    refused: tuple[Failure, ...]
    report: Report  # of what remains
    parted: tuple[str, ...] = ()  # files written whose other names (hard links) keep the old text


@dataclass(frozen=True, slots=True)
class _Draft:
    """The state after the passes over some files."""

    texts: Mapping[str, str]  # of the files that changed
    fixed: list[Finding]
    report: Report
    unsettled: frozenset[str]  # files that would change again


def apply(
    paths: Sequence[Path], settings: Settings, run: Run, wanted: Callable[[Finding], bool] | None = None
) -> FixOutcome:
    """Fix what can be fixed under `paths`, on disk."""
    return write(plan(paths, settings, run, wanted), lambda: run(paths, settings, overlay={}))


def plan(
    paths: Sequence[Path],
    settings: Settings,
    run: Run,
    wanted: Callable[[Finding], bool] | None = None,
    texts: Mapping[str, str] | None = None,
) -> Plan:
    """Return what fixing `paths` would do, with nothing written.

    `wanted` narrows the findings whose fixes are taken (all that `settings` allow by default). `texts` are read in
    place of the files of these names: what an editor has open.
    """
    unsaved = texts or {}

    def scan(overlay: Mapping[str, str]) -> Report:
        return run(paths, settings, overlay={**unsaved, **overlay})

    def eligible(finding: Finding) -> bool:
        return fixable(finding, settings.unsafe_fixes) and (wanted is None or wanted(finding))

    before = scan({})
    wished = {one.filename for one in before.findings if eligible(one)}
    outside = [] if texts is not None else outsiders(wished, paths, settings)
    sources, refused = _sources(wished - {failure.filename for failure in outside}, unsaved)
    refused += outside
    while True:
        draft = _draft(scan, before, sources, eligible)
        objections = _objections(scan, before, draft, sources)
        if not objections:
            break
        # Without these files the others may fare otherwise: begin again, with fewer files each time.
        refused += objections
        barred = {failure.filename for failure in objections}
        sources = {name: source for name, source in sources.items() if name not in barred}
    changes = tuple(Change(name, sources[name], text) for name, text in sorted(draft.texts.items()))
    return Plan(changes, tuple(draft.fixed), tuple(refused), draft.report)


def write(planned: Plan, scan_again: Callable[[], Report]) -> FixOutcome:
    """Write the texts of `planned`, file by file; what cannot be written is named, and the rest goes on.

    `scan_again` gives the report of what is on disk, where that differs from the plan.
    """
    written: list[str] = []
    refused: list[Failure] = []
    parted: list[str] = []
    done: dict[str, bytes] = {}
    for change in planned.changes:
        others = other_names(change.filename)
        failure = replace_file(change, done)
        if failure is None:
            written.append(change.filename)
            parted += [change.filename] if others else []
        else:
            refused.append(failure)
    fixed = tuple(finding for finding in planned.fixed if finding.filename in written)
    report = scan_again() if refused else planned.report
    return FixOutcome(fixed, tuple(written), planned.refused + tuple(refused), report, tuple(parted))


def outsiders(filenames: Iterable[str], paths: Sequence[Path], settings: Settings) -> list[Failure]:
    """Return which files are not to be written, since they are links out of the project and of what was asked for.

    A link in somebody's repository may point anywhere, and a scan of the repository must not write there.
    """
    tops = [settings.project_root, *(path for path in paths if path.is_dir() or not path.is_symlink())]
    return [
        Failure(
            name, f"not written: it is a link to {target}, outside of the project; name that file instead"
        )
        for name in sorted(filenames)
        if (target := leads_out(name, tops))
    ]


def diff(planned: Plan, root: Path | None = None) -> str:
    """Return what `write` would change as a unified diff, paths relative to `root` (the current directory).

    Write it out with `.encode("utf-8", "surrogateescape")`: see `unified_diff`.
    """
    return unified_diff(planned.changes, root)


def _sources(filenames: set[str], unsaved: Mapping[str, str]) -> tuple[dict[str, SourceFile], list[Failure]]:
    """Read the files to fix; those that could not be written back byte for byte are refused."""
    sources: dict[str, SourceFile] = {}
    refused: list[Failure] = []
    for name in sorted(filenames):
        try:
            source = _unsaved(name, unsaved[name]) if name in unsaved else read(Path(name))
            if source.encode(source.text) != source.data:
                raise UnicodeError(f"the encoding {source.encoding} does not give the same bytes back")
        except (OSError, SyntaxError, LookupError, UnicodeError) as error:
            refused.append(Failure(name, f"not fixed: {error}"))
        else:
            sources[name] = source
    return sources, refused


def _unsaved(name: str, text: str) -> SourceFile:
    return SourceFile(Path(name), text.encode(), text, "utf-8")


def _draft(
    scan: Callable[[Mapping[str, str]], Report],
    before: Report,
    sources: Mapping[str, SourceFile],
    eligible: Callable[[Finding], bool],
) -> _Draft:
    """Fix `sources` pass by pass until nothing more changes, or for as long as passes last."""
    texts: dict[str, str] = {}
    fixed: list[Finding] = []
    report = before
    for remaining in range(PASSES, -1, -1):
        rendered = dict(_pass(report, sources, texts, eligible))
        if not rendered or not remaining:
            break
        for name, (text, applied) in rendered.items():
            texts[name] = text
            fixed.extend(_originals(applied, before, fixed))
        report = scan({name: text for name, text in texts.items() if text != sources[name].text})
    changed = {name: text for name, text in texts.items() if text != sources[name].text}
    return _Draft(changed, fixed, report, frozenset(rendered))


def _pass(
    report: Report,
    sources: Mapping[str, SourceFile],
    texts: Mapping[str, str],
    eligible: Callable[[Finding], bool],
) -> Iterator[tuple[str, tuple[str, list[Finding]]]]:
    """Yield the new text of each file that fixes of `report` change, with the findings they fix."""
    by_file: dict[str, list[Finding]] = defaultdict(list)
    for finding in report.findings:
        if finding.filename in sources and eligible(finding):
            by_file[finding.filename].append(finding)
    for name, findings in by_file.items():
        # `eligible` has had its say about unsafe fixes.
        text, applied = render(texts.get(name, sources[name].text), findings, unsafe=True)
        if applied:
            yield name, (text, applied)


def _originals(applied: Sequence[Finding], before: Report, fixed: Sequence[Finding]) -> Iterator[Finding]:
    """Yield the findings of the first scan that `applied` are, wherever earlier passes moved them.

    What only came with a fix and went with the next is nothing that people saw: it has no original.
    """
    done = set(fixed)
    waiting: dict[tuple[str, str, str], dict[Finding, None]] = defaultdict(dict)  # in their order
    for finding in before.findings:
        if finding not in done:
            waiting[_words(finding)][finding] = None
    for finding in applied:
        alike = waiting[_words(finding)]
        twin = finding if finding in alike else next(iter(alike), None)
        if twin is not None:
            del alike[twin]
            yield twin


def _words(finding: Finding) -> tuple[str, str, str]:
    return (*_key(finding), finding.message)


def _key(finding: Finding) -> tuple[str, str]:
    """Return what stays of a finding when rows move."""
    return finding.filename, finding.code


def _objections(
    scan: Callable[[Mapping[str, str]], Report],
    before: Report,
    draft: _Draft,
    sources: Mapping[str, SourceFile],
) -> list[Failure]:
    """Return, by file, why the fixes of `draft` must not be written."""
    reasons = dict.fromkeys(sorted(draft.unsettled), f"its fixes do not settle after {PASSES} passes")
    known = {(failure.filename, failure.cell) for failure in before.failures}
    broken = {
        failure.filename: failure.message
        for failure in draft.report.failures
        if (failure.filename, failure.cell) not in known  # a cell that nobody can parse stays as it is
    }
    for name, text in draft.texts.items():
        if name in broken:
            reasons.setdefault(name, f"the fixed file cannot be read: {broken[name]}")
        try:
            sources[name].encode(text)
        except UnicodeError as error:
            reasons.setdefault(name, f"the fix cannot be written in the encoding of the file: {error}")
        if name not in reasons and (disagreement := _disagreement(name, text)):
            reasons[name] = disagreement
    surplus = _surplus(before, draft.fixed, draft.report)
    for name, code in sorted(surplus):
        if name in draft.texts:
            reasons.setdefault(name, f"after fixing, {code} is still found, or new")
    if not reasons and surplus:
        # Another file's findings are new: find out whose change brings them.
        alone = [
            name
            for name, text in draft.texts.items()
            if _surplus(before, [one for one in draft.fixed if one.filename == name], scan({name: text}))
        ]
        codes = ", ".join(sorted({f"{code} in {name}" for name, code in surplus}))
        reasons = dict.fromkeys(alone or draft.texts, f"fixing it brings {codes}")
    return [Failure(name, f"not fixed: {reason}") for name, reason in reasons.items()]


def _disagreement(name: str, text: str) -> str | None:
    """Return what another parser has against a fixed text."""
    from clipcheck.agreement import disagreement  # with libcst, which a run that writes nothing does without

    return disagreement(open_program(text, name).text)


def _surplus(before: Report, fixed: Sequence[Finding], after: Report) -> set[tuple[str, str]]:
    """Return file and code of the findings that `after` has more of than `before` without `fixed`."""
    expected = Counter(map(_key, before.findings))
    expected.subtract(map(_key, fixed))
    return set(Counter(map(_key, after.findings)) - expected)
