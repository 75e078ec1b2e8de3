"""The optimizer steps that a training command leads to, by the static scan: what `verify` should meet.

Only the script that the command names counts, with the project files that it imports, directly or not:
a step of another script is no fault of this run. A command that names no file here (a console script, a
shell script, `python -c`) leads to no known step, and then only what the run met is judged.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from clipcheck import config, facts, fixing, pipeline, traverse
from clipcheck.discover import common_folder
from clipcheck.findings import RISKS, Site
from clipcheck.fixing import Plan
from clipcheck.flow.records import Step
from clipcheck.following import Part, parts
from clipcheck.project import Project
from clipcheck.record import dataclass, field
from clipcheck.scanning import Scan, scan_paths

Line = tuple[str, int]  # file and row, from 1
HIDDEN = frozenset({"hand-written", "library"})  # kinds of clips that a run need not show
Steps = dict[Line, set[Line]]  # row of a statement: where it steps, by real path


@dataclass(frozen=True, slots=True)
class Known:
    """What the scan knows of the steps that a command leads to, by file (its real path) and row."""

    lines: tuple[Line, ...] = ()
    families: Mapping[Line, str] = field(default_factory=dict)  # of the models trained there
    by_hand: frozenset[Line] = frozenset()  # clipped by code that a run may not show


def known_steps(command: Sequence[str], folder: Path | None = None) -> Known:
    """Return what is known of the steps that the script of `command` leads to, as run in `folder` (here)."""
    script = script_of(command, folder or Path.cwd())
    if script is None:
        return Known()
    scanned = scan_paths([script], config.load(common_folder([script])))
    files = set(_imported(scanned.project(), os.path.abspath(script)))
    lines: set[Line] = set()
    families: dict[Line, str] = {}
    by_hand: set[Line] = set()
    for part, site, step in _steps(scanned):
        assessed = [part.context.assess(context) for context in step.contexts]
        worst = max(assessed, key=lambda one: RISKS.index(one.risk), default=None)
        hidden = any(clip.kind in HIDDEN for clip in part.sightings.acting(part.sightings.paths(step)))
        for filename, row in _met_at(site, step):
            line = os.path.realpath(filename), row
            if filename in files:
                lines.add(line)
            if worst is not None:
                families[line] = worst.family
            if hidden:
                by_hand.add(line)
    return Known(tuple(sorted(lines)), families, frozenset(by_hand))


def fixes_for(
    command: Sequence[str], folder: Path | None = None, *, unsafe: bool = False, max_norm: float | None = None
) -> Plan:
    """Return what `--fix` would do to the files that the script of `command` leads to, in memory.

    A command that names no script here leads to the whole folder.
    """
    folder = folder or Path.cwd()
    script = script_of(command, folder)
    wishes = {"unsafe_fixes": unsafe or None, "max_norm": max_norm}
    paths = [folder]
    if script is not None:
        scanned = scan_paths([script], config.load(common_folder([script]), None, wishes))
        paths = [Path(name) for name in _imported(scanned.project(), os.path.abspath(script))]
    return fixing.plan(paths, config.load(common_folder(paths), None, wishes), pipeline.run)


def steps_by_statement(scanned: Scan) -> Steps:
    """Return, for each row of a statement that steps (or makes a trainer), the lines at which a run steps."""
    steps: Steps = {}
    for _, site, step in _steps(scanned):
        for filename, row in _met_at(site, step):
            for own in range(site.span.row, site.span.end_row + 1):
                steps.setdefault((site.filename, own), set()).add((os.path.realpath(filename), row))
    return steps


def _steps(scanned: Scan) -> Iterator[tuple[Part, Site, Step]]:
    """Yield every step that the programs have, with its place."""
    for part in parts(scanned):
        for site, step in part.sightings.steps.items():
            yield part, site, step


def _met_at(site: Site, step: Step) -> list[Line]:
    """Return the lines that a running step shows.

    Of a call over several lines that is the row of the called name; a trainer's steps are met where it is set
    going, the innermost line of the user's own.
    """
    return [(site.filename, step.call.name_span.row)] if step.told is None else step.told.rows


def script_of(command: Sequence[str], folder: Path) -> Path | None:
    """Return the Python file that a command runs: the module after `-m`, or the first `.py` that there is.

    `python train.py`, `python -m pkg.train`, `torchrun --nproc-per-node 2 train.py` and
    `python -m torch.distributed.run train.py` all name one.
    """
    for index, word in enumerate(command):
        before = command[index - 1] if index else ""
        names = _module_files(word) if before == "-m" else [word] if word.endswith(".py") else []
        for name in names:
            if (folder / name).is_file():
                return folder / name
    return None


def _module_files(module: str) -> list[str]:
    """Return where `python -m` would find a module below the folder it starts in, or below `src`."""
    stem = module.replace(".", "/")
    return [f"{root}{stem}{end}" for root in ("", "src/") for end in (".py", "/__main__.py")]


def _imported(project: Project, script: str) -> Iterator[str]:
    """Yield the script and the files of its project that it imports, one through the other."""
    seen = {script}
    waiting = [script]
    while waiting:
        filename = waiting.pop()
        yield filename
        new = {target for target in _imports(project, filename) if target not in seen}
        seen |= new
        waiting += sorted(new)


def _imports(project: Project, filename: str) -> Iterator[str]:
    module = project.facts(filename)
    for statement in traverse.statements(module.body if module is not None else ()):
        if not isinstance(statement, facts.Import):
            continue
        if not statement.level and statement.module.partition(".")[0] in project.knowledge.packages:
            continue
        names = [statement.module]
        if statement.name is not None:  # `from package import module`
            names.append(f"{statement.module}.{statement.name}" if statement.module else statement.name)
        for name in names:
            target = project.module(filename, name, statement.level)
            if target is not None:
                yield target
