"""What the judges and the repairs share: the sightings of a run, how to weigh them, and who answers for what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, Protocol

from clipcheck import blocks, facts
from clipcheck.config import Settings
from clipcheck.encounters import Encounters
from clipcheck.facts import Block
from clipcheck.findings import RISKS, Evidence, Risk, Site
from clipcheck.flow.records import Clip, ClipContext, Names, Owned, Path, Sightings, Step, StepContext
from clipcheck.flow.values import Object, Unknown, Value, choices
from clipcheck.flow.worlds import Guard
from clipcheck.idle import may_be_idle
from clipcheck.knowledge import Knowledge
from clipcheck.protocol import Gradients, Phase
from clipcheck.record import dataclass, field, replace

Outcome = Literal["clipped", "low_risk", "reported", "unknown"]
VAIN = frozenset({"CLP201", "CLP202"})
# A norm that is only measured is no clip; one written by hand, or known by its name alone, may be anything.
NEVER_ACCUSED = frozenset({"measure", "hand-written", "library"})
_PERHAPS = frozenset({"measure", "hand-written"})  # clips that may be none


class Assessed(Protocol):
    """How risky it is to leave one step unclipped; `summary` names what is trained ("an LSTM")."""

    @property
    def risk(self) -> Risk: ...
    @property
    def evidence(self) -> tuple[Evidence, ...]: ...
    @property
    def family(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def raised(self) -> bool: ...  # by what is looked for in the loss, and not by what is trained


@dataclass(frozen=True, slots=True)
class Fault:
    """A clip that is reported for whose gradients it acts on, or when (CLP204, CLP205, CLP207, CLP210)."""

    code: str
    steps: tuple[Site, ...]  # those that the finding at the clip speaks for
    reason: str = ""


def _no_body(_: str) -> Block:
    return ()


@dataclass(frozen=True, slots=True)
class JudgeContext:
    """What judging needs beside the sightings; `body` gives the module-level statements of a file."""

    knowledge: Knowledge
    settings: Settings
    assess: Callable[[StepContext], Assessed]
    body: Callable[[str], Block] = _no_body


@dataclass(frozen=True, slots=True)
class Docket:
    """The sightings of one run, with the clips in vain found beforehand: they decide about steps as well."""

    sightings: Sightings
    context: JudgeContext
    vain: dict[Site, str] = field(default_factory=dict)  # clips reported as CLP201 or CLP202
    faults: dict[Site, Fault] = field(default_factory=dict)  # clips reported as CLP204, 205, 207 or 210
    encounters: Encounters = field(default_factory=Encounters)
    late: dict[Site, list[Site]] = field(
        default_factory=dict
    )  # by step: the clips in vain that came after it
    spoken: dict[Site, list[Site]] = field(
        default_factory=dict
    )  # by step: the clips whose faults speak for it

    @classmethod
    def of(cls, sightings: Sightings, context: JudgeContext) -> Docket:
        vain = {site: code for site, clip in sightings.clips.items() if (code := vain_code(clip))}
        late: dict[Site, list[Site]] = {}
        for site in vain:
            for step in stepped_before(sightings.clips[site]):
                late.setdefault(step, []).append(site)
        return cls(sightings, context, vain, encounters=Encounters.of(sightings), late=late)

    def with_faults(self, vain: dict[Site, str], faults: dict[Site, Fault]) -> Docket:
        """The docket with all that was found beforehand."""
        spoken: dict[Site, list[Site]] = {}
        for site, fault in faults.items():
            for step in dict.fromkeys(fault.steps):
                spoken.setdefault(step, []).append(site)
        return replace(self, vain=vain, faults=faults, spoken=spoken)

    # -- steps ---------------------------------------------------------------------------------------

    def accused(self, step: Step) -> list[StepContext]:
        """The contexts in which a step as the program usually runs is bare and no clip answers for it."""
        contexts = step.contexts
        if step.told is not None:
            # Its gradients are handed over in one place or another: those that are passed as a rule count.
            contexts = [c for c in contexts if not all(path.unusual for path in c.paths)] or contexts
        return [c for c in contexts if self.accusing(c) and not self._answered(step, c)]

    def accusing(self, context: StepContext) -> list[Path]:
        """The paths that accuse a step: bare as the program usually runs, and not by a switch nobody knows."""
        return [path for path in bare(usual(context.paths)) if not self._undecided(path, context)]

    def partly(self, step: Step) -> list[StepContext]:
        """The contexts in which a step surely updates more than the clip before it covers (CLP103)."""
        if self.accused(step) or self.withheld(step):
            return []
        contexts = [context for context in step.contexts if in_part(context)]
        return [] if any(self._may_be_idle(step, context) for context in contexts) else contexts

    def _may_be_idle(self, step: Step, context: StepContext) -> bool:
        """Whether what is left out may not be trained at all, by the files around the step and the model."""
        left = left_out(context)
        made = [self.sightings.objects[key] for key in left]
        files = {step.site.filename, context.entry, *(one.site.filename for one in made)}
        files |= {one.cls.filename for one in made if one.cls is not None}
        held = [item for one in self.sightings.objects.values() for item in one.attributes.items()]
        names = frozenset(name for name, value in held if isinstance(value, Object) and value.key in left)
        bodies = [self.context.body(file) for file in sorted(files)]
        return may_be_idle(bodies, [one.site.span for one in made], names, self.context.knowledge.hinted)

    def _undecided(self, path: Path, context: StepContext) -> bool:
        """Whether only a switch that nobody knows keeps this path from a clip.

        That is a clip option without a known default, a clip that waits for the end of a warm-up, or any test
        around a clip by a library that is not known: it may well skip the step itself where the test fails
        (`accelerator.sync_gradients`).
        """
        clipped = [other for other in context.paths if acted_on(other.gradients)]
        sites = {site for other in clipped for site in other.gradients.clips}
        clips = [clip for site in sites if (clip := self.sightings.clips.get(site))]
        foreign = bool(clips) and all(clip.kind == "library" for clip in clips)

        def undecided(guards: frozenset[Guard]) -> bool:
            return any(self._waits(parting(guards, [other]), foreign) for other in clipped)

        if undecided(path.guards):
            return True
        met = [guard.sides for guard in path.guards if guard.sides]
        return any(all(map(undecided, sides)) for sides in met)

    def _waits(self, apart: frozenset[Guard], foreign: bool) -> bool:
        """Whether what stands between a path and a clip is open, and no switch that is off by default."""
        if any(guard.usual is not None and guard.usual is guard.taken for guard in apart):
            return False
        waits = self.context.knowledge.waits
        return any(guard.usual is None and (foreign or guard.open or waits(guard.key)) for guard in apart)

    def withheld(self, step: Step) -> bool:
        """Whether a finding at a misplaced clip speaks for this step."""
        clips = self.sightings.acting(self.sightings.paths(step))
        if any(one_by_one(clip) or still_scaled(clip) or owned(clip) for clip in clips):
            return True
        if self.spoken.get(step.site):
            return True
        return any(bare(c.paths) and self._answered(step, c) for c in step.contexts)

    def _answered(self, step: Step, context: StepContext) -> bool:
        # A clip of scaled gradients (CLP203) answers for the ways through it alone, which are not bare.
        if any(one_by_one(clip) for clip in self.sightings.acting(context.paths)):
            return True  # the loop over the parameters may run zero times: that is no second finding
        seen = [path.gradients for path in bare(context.paths)]
        for site in self.spoken.get(step.site, ()):
            code, met = self.faults[site].code, True
            if code == "CLP207":  # in other contexts the step may have nothing to do with the clip
                met = any(site in gradients.foreign for gradients in seen)
            elif code == "CLP210":
                met = any(site in gradients.unused for gradients in seen)
            if met:
                return True
        if any(site in self.vain for site in self.late.get(step.site, ())):
            return True
        missed = [gradients.vain for gradients in seen]
        if not self.vain or not missed:
            return bool(self.vain)
        if not self.vain.keys().isdisjoint(frozenset.intersection(*missed)):
            return True
        # Gradients clipped too late in one turn stay marked until the step of the next, which may be
        # another step: only a clip that came too early says for sure which step it was for.
        return any(self.vain.get(site) == "CLP202" for sites in missed for site in sites)

    def worst(self, contexts: Iterable[StepContext]) -> tuple[StepContext, Assessed] | None:
        """The context with the highest risk, and its assessment."""
        assessed = [(context, self.context.assess(context)) for context in contexts]
        return max(assessed, key=lambda pair: (RISKS.index(pair[1].risk), not pair[1].raised), default=None)

    def uncovered(self, contexts: Iterable[StepContext]) -> tuple[StepContext, Assessed]:
        """The context with the highest risk of what no clip covers; that of the whole where it is not known."""
        assessed = []
        for context in contexts:
            models = tuple(self.sightings.objects[key] for key in sorted(left_out(context)))
            rest = self.context.assess(replace(context, models=models))
            assessed.append((context, rest if rest.evidence else self.context.assess(context)))
        return max(assessed, key=lambda pair: RISKS.index(pair[1].risk))

    def matters(self, risk: Risk) -> bool:
        """Whether absent clipping at this risk is reported."""
        return RISKS.index(risk) >= RISKS.index(self.context.settings.min_risk)

    def outcome(self, step: Step) -> Outcome:
        """What became of a step, for the last line of a report."""
        worst = self.worst(self.accused(step))
        if self.withheld(step) or (worst is not None and self.matters(worst[1].risk)):
            return "reported"
        if worst is not None:
            return "low_risk"
        if contexts := self.partly(step):
            return "reported" if self.matters(self.uncovered(contexts)[1].risk) else "low_risk"
        if any(all(map(self._open, context.paths)) for context in step.contexts):
            return "unknown"
        clipped = any(path.gradients.phase is Phase.CLIPPED for path in self.sightings.paths(step))
        return "clipped" if clipped else "unknown"

    def _open(self, path: Path) -> bool:
        """Whether it is not known if a step's gradients are clipped: what they were before a clip says nothing."""
        if not unsure(path.gradients):
            return False
        clips = [self.sightings.clips.get(site) for site in path.gradients.clips]
        sure = any(clip is not None and clip.kind not in _PERHAPS for clip in clips)
        return path.gradients.phase is not Phase.CLIPPED or path.code != "" or not sure

    # -- clips ---------------------------------------------------------------------------------------

    def steps_missed_by(self, clip: Clip) -> list[Step]:
        """The steps that a clip in vain should have guarded."""
        late = stepped_before(clip)
        found = [
            step
            for step in self.encounters.of_clip(clip.site)
            if any(clip.site in p.gradients.vain for c in step.contexts for p in bare(c.paths))
        ]
        exact = [self.sightings.steps[site] for site in late if site in self.sightings.steps]
        return exact if exact and self.vain.get(clip.site) == "CLP201" else found or exact

    def contexts_of(self, clip: Clip) -> Iterator[StepContext]:
        """The contexts of the steps that a clip guards or misses."""
        late = stepped_before(clip)
        missed = [self.sightings.steps[site] for site in late if site in self.sightings.steps]
        for step in self.encounters.sorted((*self.encounters.of_clip(clip.site), *missed)):
            for context in step.contexts:
                met = any(clip.site in p.gradients.clips | p.gradients.vain for p in context.paths)
                if met or step.site in late:
                    yield context

    def of_models(self, models: tuple[Value, ...], entry: str) -> Assessed:
        """The assessment of some models, apart from any step."""
        names = Names(None, None)
        return self.context.assess(StepContext("", Unknown(""), models, True, [], names, entry=entry))

    def risk_at(self, clip: Clip) -> tuple[Risk, tuple[Evidence, ...]]:
        """The risk of what a clip is for, low where that is not known, and the evidence of it."""
        worst = self.worst(self.contexts_of(clip))
        return (worst[1].risk, tuple(worst[1].evidence)) if worst else ("low", ())

    def unscale_call(self, scaler: str | None, optimizer: str | None) -> str:
        """The call that takes the loss scale off the gradients, or "" where it cannot be written."""
        template = self.context.knowledge.fixes.get("unscale-call", "")
        return template.format(scaler=scaler, optimizer=optimizer) if scaler and optimizer else ""


def vain_code(clip: Clip) -> str:
    """CLP201 or CLP202 for a clip that never has anything to act on, in any context and on any path."""
    if clip.kind in NEVER_ACCUSED or any(unsure(p.gradients) for c in clip.contexts for p in c.paths):
        return ""
    codes = {path.code for context in clip.contexts for path in context.paths}
    if not codes or not codes <= VAIN:
        return ""
    here = (clip.site.filename, clip.site.span.row)
    late = all((site.filename, site.span.row) < here for site in stepped_before(clip))
    return "CLP201" if "CLP201" in codes and (late or len(codes) == 1) else "CLP202"


def stepped_before(clip: Clip) -> list[Site]:
    """The steps that a clip comes too late for, in their order."""
    found = {p.gradients.stepped for c in clip.contexts for p in c.paths if p.code == "CLP201"}
    return sorted(site for site in found if site is not None)


def one_by_one(clip: Clip) -> bool:
    """Whether a clip bounds the norm of one parameter at a time (CLP206)."""
    return clip.kind == "norm" and any(context.per_parameter for context in clip.contexts)


def owned(clip: Clip) -> Owned | None:
    """Why a clip is not the program's to make, where that is so in every context (CLP208, CLP209)."""
    found = [context.owned for context in clip.contexts]
    known = [one for one in found if one is not None]
    return known[0] if known and len(known) == len(found) and len({one.code for one in known}) == 1 else None


def still_scaled(clip: Clip) -> ClipContext | None:
    """The first context in which a clip, as the program usually runs, always meets scaled gradients (CLP203)."""
    if clip.kind in NEVER_ACCUSED:
        return None
    return next((context for context in clip.contexts if _scaled(context)), None)


def _scaled(context: ClipContext) -> bool:
    if context.scaled_threshold or not context.paths:
        return False
    return all(breaks_the_scale(path) for path in usual(context.paths))


def breaks_the_scale(path: Path) -> bool:
    """Whether a clip meets, on this path, gradients that surely carry the loss scale."""
    scaled = path.code == "CLP203" and path.gradients.phase is Phase.SCALED
    return scaled and not unsure(path.gradients)


def parting(guards: frozenset[Guard], clipped: Iterable[Path]) -> frozenset[Guard]:
    """The guards of a bare path that keep it from the clip that others pass."""
    other = {(guard.key, guard.taken) for one in clipped for guard in one.guards}
    return frozenset(guard for guard in guards if (guard.key, not guard.taken) in other)


def unsure(gradients: Gradients) -> bool:
    """Whether the state of these gradients is a guess, which never accuses."""
    return bool(gradients.unsure) or gradients.maybe


def bare(paths: Iterable[Path]) -> list[Path]:
    """The paths on which a step surely uses gradients that nothing has clipped."""
    return [path for path in paths if path.code == "CLP101" and not unsure(path.gradients)]


def in_part(context: StepContext) -> list[Path]:
    """The paths on which a step surely uses gradients that were clipped in part, as the program usually runs."""
    return [path for path in usual(context.paths) if path.code == "CLP103" and not unsure(path.gradients)]


def left_out(context: StepContext) -> frozenset[str]:
    """The keys of what no clip covers on those paths."""
    return frozenset().union(*(path.gradients.uncovered for path in in_part(context)))


def acted_on(gradients: Gradients) -> bool:
    """Whether a clip has acted on these gradients, if only on a part of them."""
    return gradients.phase is Phase.CLIPPED or gradients.covered is not None


def usual(paths: list[Path]) -> list[Path]:
    """The paths taken with every option at its default; where there are none, those nearest to it.

    A path gives way only to one that needs a part of the same options, never to one that needs others.
    """
    needs = [options(path) for path in paths]
    return [path for path, need in zip(paths, needs, strict=True) if not any(one < need for one in needs)]


def options(path: Path) -> frozenset[Guard]:
    """The guards on a path that need an option away from its default."""
    return frozenset(g for g in path.guards if g.usual is not None and g.usual is not g.taken)


def optimizers(context: StepContext) -> list[Object]:
    """The optimizers that a step may be of, as far as they are known."""
    return [choice for choice in choices(context.optimizer) if isinstance(choice, Object)]


def stands(made: Object, ways: Iterable[Path]) -> bool:
    """Whether an object may have been made on one of some ways, or each of them says that another one was."""
    return any(all((guard.key, not guard.taken) not in made.under for guard in way.guards) for way in ways)


def imports(context: JudgeContext, filename: str) -> tuple[facts.Import, ...]:
    """The imports at the top level of a file."""
    return blocks.imports(context.body(filename))
