"""Score the scan of a folder of checkouts against labelled places.

    python tests/accuracy/measure.py LABELS.jsonl FOLDER [--risks] [--fixes]

FOLDER holds the checkouts, each in a folder named owner__name. A label is one JSON object a line: `repo` (owner/name), `path`,
`line`, `cell` (of a notebook, counted from 0 over all cells), `kind` (what steps there; "not_optimizer" for what only looks like it), `clipped`
("yes", "no", "misplaced", "conditional_default_off" …) with `clip_line`, `risk`, `should_report`, and `why`.

A finding hits the label on its line, else the nearest one at most three lines away (one that should be reported first). Hit labels
that should be reported are true, others are false alarms; a finding in a labelled file that hits no label is unjudged, and counts against
the strict precision. `--risks` scans once more at --min-risk none and compares risks on all unclipped places; `--fixes` applies all
fixes to a copy and checks what they leave.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from argparse import ArgumentParser
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clipcheck import config, fixing, pipeline
from clipcheck.findings import Finding

NEAR = 3  # lines between a finding and the label that it may hit
LONGEST = 10  # lines of a statement that count
UNCLIPPED = ("no", "conditional_default_off")

Label = dict[str, Any]
Place = tuple[str, str, "int | None"]  # repository folder, path in it, cell


@dataclass(frozen=True)
class Found:
    """A finding by its place: what a score needs of it."""

    place: Place
    first: int
    last: int
    code: str
    risk: str
    fix: str  # "safe", "unsafe", or "" for none

    @classmethod
    def of(cls, finding: Finding, repository: str, root: Path) -> Found:
        path = Path(finding.filename).relative_to(root).as_posix()
        last = min(finding.end.row, finding.start.row + LONGEST)
        fix = finding.fix.applicability if finding.fix else ""
        return cls(
            (repository, path, finding.cell), finding.start.row, last, finding.code, finding.risk, str(fix)
        )


@dataclass(frozen=True)
class Score:
    """What became of the labels: each that was hit, with the finding that did."""

    hits: dict[int, Found]
    labels: Sequence[Label]
    unjudged: tuple[Found, ...]

    def _numbers(self, hit: bool, wanted: bool) -> list[int]:
        return [
            n
            for n, one in enumerate(self.labels)
            if (n in self.hits) is hit and one["should_report"] is wanted
        ]

    @property
    def true(self) -> list[int]:
        return self._numbers(True, True)

    @property
    def missed(self) -> list[int]:
        return self._numbers(False, True)

    @property
    def false(self) -> list[int]:
        return self._numbers(True, False)

    @property
    def precision(self) -> float:
        return ratio(len(self.true), len(self.true) + len(self.false))

    @property
    def strict_precision(self) -> float:
        return ratio(len(self.true), len(self.true) + len(self.false) + len(self.unjudged))

    @property
    def recall(self) -> float:
        return ratio(len(self.true), len(self.true) + len(self.missed))


def ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def place_of(label: Label) -> Place:
    return label["repo"].replace("/", "__"), label["path"], label.get("cell")


def lines_of(label: Label) -> list[int]:
    """The lines at which a finding may stand for a label: a misplaced clip is reported at the clip."""
    misplaced = label["clipped"] == "misplaced" and label.get("clip_line")
    return [label["line"], label["clip_line"]] if misplaced else [label["line"]]


def hit_by(finding: Found, labels: Sequence[Label]) -> set[int]:
    """Which of the labels of its file (and cell) a finding hits."""

    def gap(label: Label) -> int:
        return min(max(line - finding.last, finding.first - line, 0) for line in lines_of(label))

    exact = {n for n, one in enumerate(labels) if finding.first in lines_of(one)}
    near = [n for n, one in enumerate(labels) if gap(one) <= NEAR]
    chosen = exact or set(sorted(near, key=lambda n: (gap(labels[n]), not labels[n]["should_report"]))[:1])
    # Two optimizers stepped side by side need one finding only.
    beside = {
        n
        for n in near
        for one in chosen
        if labels[one]["should_report"] and labels[n]["should_report"]
        if abs(labels[n]["line"] - labels[one]["line"]) <= NEAR
    }
    return chosen | beside


def score(labels: Sequence[Label], findings: Iterable[Found]) -> Score:
    """Match findings of the rules about steps (CLP1) and misplaced clips (CLP2) with labels."""
    by_place: dict[Place, list[int]] = defaultdict(list)
    for number, label in enumerate(labels):
        by_place[place_of(label)].append(number)
    files = {place[:2] for place in by_place}
    hits: dict[int, Found] = {}
    unjudged: list[Found] = []
    for finding in findings:
        if finding.place[:2] not in files or not finding.code.startswith(("CLP1", "CLP2")):
            continue
        numbers = by_place.get(finding.place, [])
        chosen = hit_by(finding, [labels[number] for number in numbers])
        if not chosen:
            unjudged.append(finding)
        for one in chosen:
            hits.setdefault(numbers[one], finding)
    return Score(hits, labels, tuple(unjudged))


def scan(folder: Path, repositories: Iterable[str], **changes: Any) -> list[Found]:
    """All findings in the checkouts, each scanned by itself with its own settings."""
    found: list[Found] = []
    for repository in repositories:
        root = (folder / repository).resolve()
        report = pipeline.run([root], replace(config.load(root), **changes))
        found += [Found.of(finding, repository, root) for finding in report.findings]
    return found


def where(label: Label) -> str:
    cell = f"[cell {label['cell']}]" if label.get("cell") is not None else ""
    return f"{label['repo']}/{label['path']}{cell}:{label['line']}"


def show(result: Score) -> None:
    """Print the score, by kind, with every miss, false alarm and unjudged finding."""
    print(
        f"true {len(result.true)}  missed {len(result.missed)}  false {len(result.false)}  unjudged {len(result.unjudged)}"
    )
    print(
        f"precision {result.precision:.3f}  strict {result.strict_precision:.3f}  recall {result.recall:.3f}"
    )
    wanted = Counter(one["kind"] for one in result.labels if one["should_report"])
    got = Counter(result.labels[number]["kind"] for number in result.true)
    print("recall by kind: " + ", ".join(f"{kind} {got[kind]}/{wanted[kind]}" for kind in sorted(wanted)))
    for title, numbers in (("missed", result.missed), ("false alarm", result.false)):
        for number in numbers:
            print(f"{title}: {where(result.labels[number])}: {result.labels[number]['why']}")
    for finding in result.unjudged:
        print(f"unjudged: {'/'.join(finding.place[:2])}:{finding.first} {finding.code}")


def show_fixes(result: Score) -> None:
    """Print how many of the true findings of absent clipping offer a fix, and a safe one."""
    true = {result.hits[number] for number in result.true if result.hits[number].code.startswith("CLP1")}
    fixed, safe = sum(one.fix != "" for one in true), sum(one.fix == "safe" for one in true)
    print(
        f"true CLP1 findings {len(true)}: {ratio(fixed, len(true)):.2f} offer a fix, {ratio(safe, len(true)):.2f} a safe one"
    )


def show_risks(labels: Sequence[Label], found: Iterable[Found]) -> None:
    """Print on how many unclipped places the risk is the label's, of all of them and of those with a finding."""
    by_place: dict[Place, list[Found]] = defaultdict(list)
    for finding in found:
        by_place[finding.place].append(finding)
    table: Counter[tuple[str, str]] = Counter()
    for label in labels:
        if label["kind"] == "not_optimizer" or label["clipped"] not in UNCLIPPED:
            continue
        near = [one for one in by_place[place_of(label)] if abs(one.first - label["line"]) <= 1]
        table[label["risk"], near[0].risk if near else "no finding"] += 1
    equal = sum(count for (said, found_risk), count in table.items() if said == found_risk)
    seen = sum(count for (_, found_risk), count in table.items() if found_risk != "no finding")
    print(
        f"risks equal: {equal} of {sum(table.values())} unclipped places, {seen} of them with a finding ({ratio(equal, seen):.2f})"
    )
    for (said, found_risk), count in sorted(table.items()):
        print(f"  label {said:7} found {found_risk:10} {count}")


def check_fixes(folder: Path, repositories: Iterable[str]) -> None:
    """Fix a copy of each checkout (unsafe fixes too): what is refused, what is left, and what a second run writes."""
    for repository in repositories:
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary).resolve() / repository
            shutil.copytree(folder / repository, root, symlinks=True)
            settings = replace(config.load(root), unsafe_fixes=True)
            outcome = fixing.apply([root], settings, pipeline.run)
            again = fixing.apply([root], settings, pipeline.run)
            print(
                f"{repository}: {len(outcome.fixed)} fixed in {len(outcome.written)} files, {len(outcome.refused)} refused, "
                f"{len(outcome.report.failures)} unreadable afterwards; a second run writes {len(again.written)} files"
            )


def main(arguments: Sequence[str]) -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("labels", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--risks", action="store_true")
    parser.add_argument("--fixes", action="store_true")
    asked = parser.parse_args(arguments)
    labels = [
        json.loads(line) for line in asked.labels.read_text(encoding="utf-8").splitlines() if line.strip()
    ]
    repositories = sorted({place_of(label)[0] for label in labels})
    missing = [name for name in repositories if not (asked.folder / name).is_dir()]
    if missing:
        sys.exit(f"no checkout of {', '.join(missing)} in {asked.folder}")
    result = score(labels, scan(asked.folder, repositories))
    show(result)
    show_fixes(result)
    if asked.risks:
        show_risks(labels, scan(asked.folder, repositories, min_risk="none"))
    if asked.fixes:
        check_fixes(asked.folder, repositories)


if __name__ == "__main__":
    main(sys.argv[1:])
