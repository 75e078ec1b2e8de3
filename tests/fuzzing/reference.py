"""What is wrong with a made program, by the gradient protocol alone: all its paths are walked, one by one.

Written from the protocol's table and words in the design, for the small language of `program.py`. It shares no code
with clipcheck, and knows no syntax, no names and no guards: a path here is a concrete one, with every condition decided.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from fuzzing.program import Act, Call, Each, If, Loop, Node, Program, With, nodes

ENTRY, EMPTY, FRESH, SCALED, CLIPPED, SPENT = "entry", "empty", "fresh", "scaled", "clipped", "spent"
MOST_STATES = 40  # at one place: clipcheck's own bound is near that, and past it nothing has to be known
MOST_TURNS = 4  # until a loop brings nothing new: the same
NONE: frozenset[int] = frozenset()


class NotKnownError(Exception):
    """The program asks for something that nobody has to know: the table has no word on it, or it is too large."""


@dataclass(frozen=True)
class Held:
    """The gradients of what one optimizer updates; clips are known by their rows."""

    phase: str = ENTRY
    clips: frozenset[int] = NONE  # that act on these gradients
    partial: frozenset[int] = NONE  # that acted on a part of this accumulation
    vain: frozenset[int] = NONE  # that found nothing to act on, since the last step
    foreign: frozenset[int] = NONE  # of other parameters alone, since the last backward
    covered: frozenset[int] = NONE  # models that clips of a part cover
    backward: int = 0
    unscaled: int = 0
    stepped: int = 0


@dataclass(frozen=True)
class Path:
    """One path up to a place: the gradients of every optimizer, and how the conditions went."""

    held: tuple[Held, ...]
    tests: frozenset[tuple[str, bool]]

    def decided(self, text: str) -> bool | None:
        return dict(self.tests).get(text)


Paths = frozenset[Path]
Context = tuple[int, ...]  # the rows of the calls that lead into a helper


@dataclass(frozen=True)
class Met:
    """One optimizer's gradients as an event meets them."""

    held: Held
    code: str = ""
    accumulates: bool = False  # a test for the last micro-batch decides whether the path gets here like this


@dataclass
class Seen:
    """What all paths together met at each clip and each step."""

    steps: dict[int, dict[tuple[Context, int], set[Met]]] = field(default_factory=lambda: defaultdict(_sets))
    clips: dict[int, dict[Context, set[Met]]] = field(default_factory=lambda: defaultdict(_sets))
    values: set[int] = field(default_factory=set)  # rows of clips by value


def _sets() -> dict[object, set[Met]]:
    return defaultdict(set)


# -- one event -------------------------------------------------------------------------------------------


def after_backward(held: Held, row: int, *, scaled: bool) -> Held:
    if held.covered:
        raise NotKnownError("a backward after a clip of a part")
    partial = held.partial | (held.clips if held.phase == CLIPPED else NONE)
    phase = SCALED if scaled or held.phase == SCALED else FRESH
    return Held(phase, partial=partial, vain=held.vain, backward=row)


def after_clip(held: Held, row: int) -> tuple[Held, str]:
    if held.phase in (EMPTY, SPENT):
        return replace(held, vain=held.vain | {row}), "CLP202" if held.phase == EMPTY else "CLP201"
    clips = (held.clips if held.phase == CLIPPED else NONE) | {row}
    code = "CLP203" if held.phase == SCALED else ""
    return replace(held, phase=CLIPPED, clips=clips, covered=NONE), code


def after_step(held: Held, row: int) -> tuple[Held, str]:
    if held.phase == EMPTY:
        return replace(held, vain=NONE), ""
    if held.phase == SPENT:
        return Held(SPENT, stepped=row), ""
    if held.phase == CLIPPED:
        return Held(SPENT, stepped=row), ""
    return Held(SPENT, stepped=row), "CLP103" if held.covered else "CLP101"


class Walk:
    """Walks all paths of a program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.seen = Seen()
        self.context: Context = ()
        self.breaks: list[set[Path]] = []
        self.continues: list[set[Path]] = []
        self.modulo: set[str] = set()

    def run(self) -> Seen:
        # A script begins at its beginning; what came before a function that nobody calls is not known.
        start = ENTRY if self.program.layout == "function" else EMPTY
        held = tuple(Held(start) for _ in self.program.optimizers)
        self.block(self.program.body, frozenset({Path(held, frozenset())}), range(self.program.models))
        return self.seen

    # -- control flow ----------------------------------------------------------------------------------

    def block(self, body: Iterable[Node] | Iterable[Act], paths: Paths, pair: Iterable[int]) -> Paths:
        """The paths behind a block; `pair` says which model each number in it means."""
        for node in body:
            if not paths:
                return paths
            if len({path.held for path in paths}) > MOST_STATES:
                raise NotKnownError("too many states")
            paths = self.node(node, paths, tuple(pair))
        return paths

    def node(self, node: Node, paths: Paths, pair: tuple[int, ...]) -> Paths:
        if isinstance(node, Act):
            return self.event(node, paths, pair)
        if isinstance(node, If):
            return self.branch(node, paths, pair)
        if isinstance(node, Loop):
            return self.loop(node, paths, pair)
        if isinstance(node, With):
            return self.block(node.body, paths, pair)
        if isinstance(node, Each):
            for number in range(len(self.program.optimizers)):
                paths = self.block(node.body, paths, (pair[number],))
            return paths
        if isinstance(node, Call):
            self.context = (*self.context, node.row)
            paths = self.block(self.program.helpers[node.helper], paths, (pair[node.pair],))
            self.context = self.context[:-1]
            return paths
        if node.how == "break":
            self.breaks[-1] |= paths
        elif node.how == "continue":
            self.continues[-1] |= paths
        return frozenset()

    def branch(self, node: If, paths: Paths, pair: tuple[int, ...]) -> Paths:
        test = node.test
        if test.accumulates:
            self.modulo.add(test.text)
        out: set[Path] = set()
        for outcome, body in ((True, node.body), (False, node.orelse)):
            holds = outcome is not test.negated
            ways = frozenset(
                Path(path.held, path.tests | {(test.text, holds)})
                for path in paths
                if path.decided(test.text) in (None, holds)
            )
            out |= self.block(body, ways, pair)
        return frozenset(out)

    def loop(self, node: Loop, paths: Paths, pair: tuple[int, ...]) -> Paths:
        """Any number of turns, but no less than one of `range(4)`, and of what is gone over to clip in it."""
        drawn = {one.test.text for one in nodes(node.body) if isinstance(one, If) and not one.test.fixed}
        skipping, clipping = paths, _clips(paths)
        out: set[Path] = set()
        clipped: set[int] = set()
        known: set[Path] = set()
        turns = 0
        while not paths <= known:
            if turns == MOST_TURNS:
                raise NotKnownError("a loop that goes on bringing up new states")
            turns += 1
            known |= paths
            self.breaks.append(set())
            self.continues.append(set())
            ended = self.block(node.body, frozenset(_without(path, drawn) for path in paths), pair)
            out |= self.breaks.pop()
            ended |= self.continues.pop()
            clipped |= _clips(ended)
            out |= ended  # behind the loop, the tests of its last turn are still what they were
            paths = frozenset(_without(path, drawn) for path in ended)
        runs = node.form == "range" or (node.form != "while" and not clipped <= clipping)
        return frozenset(out if runs else out | skipping)

    # -- events ----------------------------------------------------------------------------------------

    def event(self, act: Act, paths: Paths, pair: tuple[int, ...]) -> Paths:
        over = frozenset(pair[one] for one in act.over)
        number = 0 if self.program.joint else min(over)
        out = []
        for path in paths:
            held = list(path.held)
            if act.kind == "clip":
                self.clip(act, path, paths, over, held)
            elif act.kind == "step":
                before = held[number]
                held[number], code = after_step(before, act.row)
                met = Met(before, code, self.accumulates(path, paths))
                self.seen.steps[act.row][self.context, number].add(met)
            elif act.kind == "unscale" and held[number].phase in (SCALED, ENTRY):
                unscaled = act.row if held[number].phase == SCALED else held[number].unscaled
                held[number] = replace(held[number], phase=FRESH, unscaled=unscaled)
            elif act.kind == "backward":
                for one, models in enumerate(self.program.optimizers):
                    if over & set(models):
                        held[one] = after_backward(held[one], act.row, scaled=act.scaled)
            elif act.kind == "zero":
                if self.program.joint and act.how == "model":
                    raise NotKnownError("a part is emptied")
                held[number] = Held(EMPTY, vain=held[number].vain)
            out.append(Path(tuple(held), path.tests))
        return frozenset(out)

    def clip(self, act: Act, path: Path, paths: Paths, over: frozenset[int], held: list[Held]) -> None:
        if act.how == "value":
            self.seen.values.add(act.row)
        met = self.seen.clips[act.row][self.context]
        for one, models in enumerate(self.program.optimizers):
            before = held[one]
            if set(models) <= over or (act.how == "groups" and over & set(models)):
                held[one], code = after_clip(before, act.row)
                met.add(Met(before, code))
            elif act.how == "groups":
                continue  # of one optimizer, by its own groups: it says whose it is
            elif not over & set(models):
                held[one] = replace(before, foreign=before.foreign | {act.row})
            elif before.phase in (FRESH, ENTRY):
                covered = before.covered | over
                whole = covered == set(models)
                held[one] = replace(
                    before,
                    phase=CLIPPED if whole else before.phase,
                    clips=before.clips | {act.row},
                    covered=NONE if whole else covered,
                )
            elif before.phase != CLIPPED:
                raise NotKnownError("a part is clipped where there is nothing, or still scaled")

    def accumulates(self, path: Path, paths: Paths) -> bool:
        """Whether a test for the last micro-batch decides that a path comes here with these gradients."""
        alike = [other for other in paths if other.held == path.held]
        return any(
            len(outcomes) == 1 and None not in outcomes
            for text in self.modulo
            if (outcomes := {other.decided(text) for other in alike})
        )


def _without(path: Path, texts: set[str]) -> Path:
    return Path(path.held, frozenset(one for one in path.tests if one[0] not in texts))


# -- the verdict -----------------------------------------------------------------------------------------


def verdict(program: Program) -> list[tuple[int, str]]:
    """The findings that a program deserves, as rows and rules. Raises NotKnownError where nobody has to know."""
    return Judge(program, Walk(program).run()).findings()


class Judge:
    """One cause, one finding: a step is not reported beside the clip that should have been for it."""

    def __init__(self, program: Program, seen: Seen) -> None:
        self.program, self.seen = program, seen
        self.vain: dict[int, str] = {}
        self.speaks: dict[int, tuple[str, set[int]]] = {}  # clips that speak for steps: CLP204, CLP207
        self.micro = {row for loop in _loops(program.body) if loop.form == "micro" for row in _rows(loop)}
        for row in seen.clips:
            self.clip(row)

    def findings(self) -> list[tuple[int, str]]:
        found = [(row, code) for row, code in self.vain.items()]
        found += [(row, code) for row, (code, _) in self.speaks.items()]
        found += [(row, "CLP203") for row in self.seen.clips if self.still_scaled(row)]
        found += [(row, "CLP301") for row in self.seen.values]
        for row, contexts in self.seen.steps.items():
            bare = [context for context in contexts.values() if _bare(context)]
            if any(not self.answered(row, context) for context in bare):
                found.append((row, "CLP101"))
            elif not self.withheld(row) and any(
                met.code == "CLP103" for context in contexts.values() for met in context
            ):
                found.append((row, "CLP103"))
        return sorted(found)

    def clip(self, row: int) -> None:
        met = [one for context in self.seen.clips[row].values() for one in context]
        codes = {one.code for one in met}
        acts_on = [step for step in self.seen.steps if any(row in one.held.clips for one in self.at(step))]
        missed = {
            step
            for step, contexts in self.seen.steps.items()
            for context in contexts.values()
            if (bare := _bare(context)) and all(row in one.held.foreign for one in bare)
        }
        if not acts_on and missed:
            self.speaks[row] = ("CLP207", missed)
            return
        if codes and codes <= {"CLP201", "CLP202"}:
            # Late where it stands behind all of the steps, if there have been any: a loop that runs not once steps nothing.
            late = all(one.held.stepped < row for one in met if one.code == "CLP201")
            self.vain[row] = "CLP201" if "CLP201" in codes and (late or len(codes) == 1) else "CLP202"
        cut = {step for step in self.seen.steps if self.cuts_up(row, step)}
        if cut and not self.still_scaled(row):
            self.speaks[row] = ("CLP204", cut)

    def cuts_up(self, row: int, step: int) -> bool:
        """Whether a clip acts on every micro-batch of what a step uses the sum of."""
        paths = [one for one in self.at(step) if one.held.phase == CLIPPED]
        summed = [one for one in paths if row in one.held.clips & one.held.partial]
        apart = row in self.micro and step not in self.micro
        return any(one.accumulates for one in summed) or (bool(summed) and apart)

    def still_scaled(self, row: int) -> bool:
        contexts = [met for met in self.seen.clips[row].values() if met]
        return any(all(one.code == "CLP203" for one in met) for met in contexts)

    def at(self, step: int) -> list[Met]:
        return [one for context in self.seen.steps[step].values() for one in context]

    def answered(self, step: int, context: set[Met]) -> bool:
        """Whether a finding at a misplaced clip speaks for the bare paths of a context."""
        bare = _bare(context)
        for row, (code, steps) in self.speaks.items():
            if step in steps and (code == "CLP204" or any(row in one.held.foreign for one in bare)):
                return True
        for row, code in self.vain.items():
            late = {
                one.held.stepped
                for met in self.seen.clips[row].values()
                for one in met
                if one.code == "CLP201"
            }
            passed = [row in one.held.vain for one in bare]
            if step in late or all(passed) or (code == "CLP202" and any(passed)):
                return True
        return False

    def withheld(self, step: int) -> bool:
        acting = {row for one in self.at(step) for row in one.held.clips}
        if any(self.still_scaled(row) for row in acting):
            return True
        if any(step in steps for _, steps in self.speaks.values()):
            return True
        contexts = self.seen.steps[step].values()
        return any(_bare(context) and self.answered(step, context) for context in contexts)


def _bare(context: set[Met]) -> list[Met]:
    return [one for one in context if one.code == "CLP101"]


def _clips(paths: Iterable[Path]) -> frozenset[int]:
    """The clips that act on any gradients, on any of some paths."""
    return frozenset(row for path in paths for held in path.held for row in held.clips)


def _loops(body: Iterable[Node]) -> Iterable[Loop]:
    return (node for node in nodes(body) if isinstance(node, Loop))


def _rows(loop: Loop) -> set[int]:
    return {node.row for node in nodes(loop.body) if isinstance(node, Act)}
