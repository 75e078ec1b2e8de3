"""Say why one optimizer step is, or is not, reported: in plain text, from what the run saw of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from clipcheck import naming
from clipcheck.docket import Docket, one_by_one, optimizers, options, stepped_before, still_scaled, unsure
from clipcheck.findings import Evidence, Finding, Site
from clipcheck.flow.records import Clip, Path, Step, StepContext
from clipcheck.flow.values import Object, Unknown, Value, choices
from clipcheck.flow.worlds import Guard
from clipcheck.judges import words
from clipcheck.notebook import is_notebook
from clipcheck.protocol import Gradients, Phase
from clipcheck.record import dataclass
from clipcheck.regular import regular
from clipcheck.repair import doubts

MAX_CONTEXTS = 4  # callers of a step that are told in full
MAX_WAYS = 4  # ways to a step that are told for each of them
_NOTHING = (Phase.EMPTY, Phase.SPENT)
_CALLED = regular(r"(?<= at )(.+):(\d+)(?= was )")  # where a call stands that could not be followed
_UNSAFE = {"CLP102": "everybody who does not set the option gets the new default"}
_NO_FIX = {
    "CLP102": "a default that is not written out in this file is for you to set; the message names the option"
}


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of one file: all that was seen, its findings, and what became of those not reported.

    Rows are those of programs; `locate` gives the cell (None in a Python file) and the row that people know.
    """

    filename: str
    lines: Sequence[str]
    docket: Docket
    findings: Sequence[Finding]  # of the file, suppressed ones and those not asked for included
    silenced: Mapping[Finding, str]  # why a finding is not reported
    locate: Callable[[str, int], tuple[int | None, int]]
    given_up: Sequence[str] = ()  # entry points that were too large to follow

    def at(self, filename: str, row: int) -> str:
        """Return a place as reports show it."""
        cell, row = self.locate(filename, row)
        return f"{_show(filename)}:{f'{row}' if cell is None else f'cell {cell}:{row}'}"

    def place(self, site: Site) -> str:
        """Return the place of a statement."""
        return self.at(site.filename, site.span.row)

    def told(self, evidence: Evidence) -> str:
        """Return a place with what is to be seen there."""
        return f"{self.at(evidence.filename, evidence.row)}: {evidence.message}"


def explain(case: Case, row: int) -> str:
    """Return everything known of the steps and clips on a line, or what else is there."""
    sightings = case.docket.sightings
    steps = [step for site, step in sorted(sightings.steps.items()) if _covers(site, case.filename, row)]
    clips = [clip for site, clip in sorted(sightings.clips.items()) if _covers(site, case.filename, row)]
    parts = [_of_step(case, step) for step in steps]
    if not steps:
        parts = [_of_clip(case, clip) for clip in clips] or [_nothing_here(case, row)]
    if case.given_up:
        parts.append([f"not followed to the end, for their size: {', '.join(map(_show, case.given_up))}"])
    return "\n".join("\n".join(part) + "\n" for part in parts)


def _covers(site: Site, filename: str, row: int) -> bool:
    return site.filename == filename and site.span.row <= row <= site.span.end_row


# -- a step ------------------------------------------------------------------------------------------


def _of_step(case: Case, step: Step) -> list[str]:
    contexts = case.docket.accused(step) or step.contexts
    partly = case.docket.partly(step)
    worst = case.docket.uncovered(partly) if partly else case.docket.worst(contexts)
    out = [f"{case.place(step.site)}: {words.quoted(step.call)}", *_verdict(case, step), "", "updates"]
    out += _indented(
        dict.fromkeys(line for context in step.contexts for line in _updates(case, step, context))
    )
    for context in step.contexts[:MAX_CONTEXTS]:
        out += ["", f"gradients, when {_reached(case, context)}", *_ways(case, context)]
    if len(step.contexts) > MAX_CONTEXTS:
        out += ["", f"and in {len(step.contexts) - MAX_CONTEXTS} more contexts"]
    if worst is not None:
        assessed = worst[1]
        what = "not clipping the rest" if partly else "not clipping"
        out += ["", f"risk of {what}: {assessed.risk}, {assessed.summary}"]
        out += _indented(map(case.told, assessed.evidence))
    out += ["", "not known", *_indented(dict.fromkeys(_unknown(case, step)))]
    return [*out, "", *_fixes(case, step)]


def _verdict(case: Case, step: Step) -> list[str]:
    """The outcome in one line, then the words of the findings behind it."""
    own = [finding for finding in case.findings if _is_on(finding, step.site)]
    out: list[str] = []
    for finding in own:
        why = case.silenced.get(finding)
        state = f"not reported, {why}" if why else "reported"
        out.append(f"verdict: {state}: {finding.code} {finding.name}, {naming.risk_words(finding.risk)}")
        out += _indented([finding.message])
    return out or [f"verdict: {_outcome(case, step)}"]


def _outcome(case: Case, step: Step) -> str:
    docket = case.docket
    if docket.withheld(step):
        clips = ", ".join(f"{case.place(clip.site)} ({code})" for clip, code in _blamed(docket, step))
        return f"withheld: the clip that should guard it is reported instead, at {clips}"
    outcome = docket.outcome(step)
    if outcome == "low_risk":
        worst = docket.worst(docket.accused(step)) or docket.uncovered(docket.partly(step))
        risk = worst[1].risk
        least = docket.context.settings.min_risk
        state = "not clipped" if docket.accused(step) else "clipped in part"
        return f"{state}, and not reported: {naming.risk_words(risk)}, below --min-risk {least}"
    paths = [path for context in step.contexts for path in context.paths]
    if outcome == "unknown" and all(_reached_by_nothing(path.gradients) for path in paths):
        return "not reported: no new gradients reach it, so there is nothing to clip"
    if outcome == "unknown" and all(_clipped_by_hand(docket, path) for path in paths):
        return "clipped by hand, so not reported: what bounds the gradients there is not checked"
    if outcome == "unknown":
        return "unknown: not reported, because something on the way to it could not be followed"
    if outcome == "clipped":
        bare = [path for path in paths if path.code == "CLP101"]
        if not all(map(options, bare)):
            return "clipped or not: that hangs on an option, or another condition, whose default is not known"
        return "clipped as the program usually runs, though not on every way" if bare else "clipped"
    return outcome


def _reached_by_nothing(gradients: Gradients) -> bool:
    """Whether it is known that there are no new gradients."""
    return gradients.phase in _NOTHING and not gradients.unsure


def _clipped_by_hand(docket: Docket, path: Path) -> bool:
    """Whether nothing but code that changes the gradients by itself clips them on this way."""
    clips = [docket.sightings.clips.get(site) for site in path.gradients.clips]
    by_hand = bool(clips) and all(clip is not None and clip.kind == "hand-written" for clip in clips)
    return by_hand and path.gradients.phase is Phase.CLIPPED


def _blamed(docket: Docket, step: Step) -> Iterator[tuple[Clip, str]]:
    """The misplaced clips that answer for a step."""
    paths = [path for context in step.contexts for path in context.paths]
    for site, clip in sorted(docket.sightings.clips.items()):
        code = docket.vain.get(site, "")
        fault = docket.faults.get(site)
        if fault is not None and step.site in fault.steps:
            yield clip, fault.code
        elif one_by_one(clip) and any(site in path.gradients.clips for path in paths):
            yield clip, "CLP206"
        elif still_scaled(clip) and any(site in path.gradients.clips for path in paths):
            yield clip, "CLP203"
        elif code and (step.site in stepped_before(clip) or any(site in p.gradients.vain for p in paths)):
            yield clip, code


def _updates(case: Case, step: Step, context: StepContext) -> Iterator[str]:
    for model in context.models:
        yield from (line for choice in choices(model) for line in _described(case, choice))
    if not context.models:
        yield "parameters that could not be traced to a model"
    elif not context.certain:
        yield "perhaps not all of their parameters, or others as well"
    for made in optimizers(context):
        yield f"through {_made(case, made, 'optimizer')}"
    if not optimizers(context):
        own = step.told is not None and step.told.fitted  # a trainer
        yield (
            "through an optimizer that it makes itself" if own else "through an optimizer that was not found"
        )


def _described(case: Case, model: Value) -> Iterator[str]:
    """A model; of one that something unknown was made of, or is wrapped in it, that one."""
    held = sorted(model.holds) if isinstance(model, Unknown) else []
    known = [made for key in held if (made := case.docket.sightings.objects.get(key)) is not None]
    if isinstance(model, Object):
        yield _made(case, model, "model")
    elif not known:
        yield "a model that was not found"
    yield from (_made(case, made, "model") for made in known)


def _made(case: Case, found: Object, kind: str) -> str:
    return f"{naming.with_article(found.name or kind)} {found.origin} at {case.at(*found.place())}"


def _reached(case: Case, context: StepContext) -> str:
    """The way from where the run started: the entry point, and the calls from there."""
    label, _, _ = context.label.partition("<")
    calls = _calls(context)
    through = (
        f", by the call{'s' if len(calls) > 1 else ''} in line {', '.join(map(str, calls))}" if calls else ""
    )
    if calls and is_notebook(context.entry):  # the first call is its own; the others may be in any file
        cell, row = case.locate(context.entry, calls[0])
        through = f", by the call in line {row} of cell {cell}"
    return f"reached from {_show(label)}{through}"


def _calls(context: StepContext) -> list[int]:
    """The rows of the calls on the way to a step; a function that the run begins with is called in none."""
    rest = context.label.partition("<")[2].partition(">")[0]
    rows = (int(call.partition(".")[0]) for call in rest.split("<") if call)
    return [row for row in rows if row]


def _ways(case: Case, context: StepContext) -> list[str]:
    """What may happen on the way to the step, in its order, and on what condition: that which sets these ways apart."""
    kinds: dict[tuple[str, ...], list[Path]] = {}
    for path in context.paths:
        kinds.setdefault(tuple(_events(case, path.gradients)), []).append(path)
    everywhere = _shared(context.paths)
    out: list[str] = []
    for events, paths in list(kinds.items())[:MAX_WAYS]:
        condition = _condition(paths, everywhere, alone=len(kinds) == 1)
        listed = [f"{number}. {event}" for number, event in enumerate(events, 1)]
        out += [f"  {condition}:", *(f"    {event}" for event in listed)] if condition else _indented(listed)
    if len(kinds) > MAX_WAYS:
        out.append(f"  and {len(kinds) - MAX_WAYS} more ways")
    return out


def _condition(paths: Sequence[Path], everywhere: frozenset[Guard], *, alone: bool) -> str:
    """On what condition these ways are taken: all that they ask for where there are no others, else what sets them apart."""
    guards = everywhere if alone else _shared(paths) - everywhere
    if not guards:
        several = f"on {len(paths)} ways" if len(paths) > 1 else "otherwise"
        return "" if alone else several
    text = f"where {words.condition(guards)}"
    turned = guards & options(paths[0])
    if turned == guards:
        return f"{text} (not the default)"
    return f"{text} (not by default: {words.condition(turned)})" if turned else text


def _shared(paths: Sequence[Path]) -> frozenset[Guard]:
    """The guards that all of these ways have; those of ways that have met have no one condition."""
    shared = frozenset[Guard].intersection(*(path.guards for path in paths)) if paths else frozenset[Guard]()
    return frozenset(guard for guard in shared if not guard.sides)


def _events(case: Case, gradients: Gradients) -> Iterator[str]:
    """What happens to the gradients up to the step, in order."""
    for site in sorted(gradients.vain):
        yield f"a clip at {case.place(site)} that comes too early or too late for these gradients"
    if gradients.backward is not None:
        scaled = gradients.phase is Phase.SCALED or gradients.unscaled is not None
        yield f"backward{' of the scaled loss' if scaled else ''} at {case.place(gradients.backward)}"
    if gradients.unscaled is not None:
        yield f"unscale at {case.place(gradients.unscaled)}"
    for site in sorted(gradients.clips):
        yield f"clip at {case.place(site)}"
    for site in sorted(gradients.foreign):
        yield f"clip at {case.place(site)} of another model"
    if gradients.covered is not None:
        yield "a clip that covers a part of the parameters only"
    if gradients.early:
        yield "backward once more into gradients that were clipped already"
    yield _used(case, gradients)


def _used(case: Case, gradients: Gradients) -> str:
    if gradients.phase is Phase.ENTRY:
        return "the step, on gradients whose backward is not in sight"
    if gradients.phase is Phase.EMPTY:
        known = not gradients.unsure
        return f"the step, with no gradients{': it changes nothing' if known else ' in sight'}"
    if gradients.phase is Phase.SPENT:
        where = f" at {case.place(gradients.stepped)}" if gradients.stepped is not None else ""
        return f"the step, on gradients that a step{where} has used before"
    if gradients.phase is Phase.CLIPPED:
        return "the step, on clipped gradients"
    if gradients.covered is not None:
        return "the step, on gradients that are clipped in part"
    if gradients.phase is Phase.SCALED:
        return "the step, which takes the loss scale off by itself; nothing has clipped"
    return f"the step, on gradients that nothing{' in sight' if gradients.unsure else ''} has clipped"


def _unknown(case: Case, step: Step) -> Iterator[str]:
    """What could not be followed on the way to a step."""
    found = False
    for context in step.contexts:
        for path in context.paths:
            if path.gradients.unsure:
                found = True
                yield _CALLED.sub(lambda call: case.at(call[1], int(call[2])), path.gradients.unsure) + (
                    ": it may clip, or not"
                )
            elif unsure(path.gradients):
                found = True
                yield "whether the last backward or clip reaches these parameters"
        for model in context.models:
            if any(isinstance(choice, Unknown) for choice in choices(model)):
                found = True
                yield "what some of the updated models are"
        if not context.models or not context.certain:
            found = True
            yield "whether these are all of the parameters that the optimizer updates"
    if not found:
        yield "nothing that matters here"


def _fixes(case: Case, step: Step) -> list[str]:
    own = [finding for finding in case.findings if _is_on(finding, step.site)]
    if not own:
        return ["fix: none needed here" if not case.docket.withheld(step) else "fix: see the clip"]
    return [_fix(case, finding, step) for finding in own]


def _fix(case: Case, finding: Finding, step: Step | None) -> str:
    # `doubts` speaks of a clip, or an argument, that is to be written
    bare = step if finding.code in ("CLP101", "CLP104", "CLP105") else None
    if finding.fix is None:
        why = _NO_FIX.get(finding.code) or (doubts(bare, case.docket) if bare else "")
        return f"fix: none; {why or 'it has no place in this statement, or cannot be certain'}"
    option = "--fix" if finding.fix.applicability == "safe" else "--fix --unsafe-fixes"
    why = _UNSAFE.get(finding.code, "")
    if bare and not why and finding.fix.applicability == "unsafe":
        why = doubts(bare, case.docket)
    text = f"fix ({finding.fix.applicability}, written by {option}): {finding.fix.message}"
    return f"{text}; unsafe because {why}" if why else text


# -- a clip, or neither ------------------------------------------------------------------------------


def _of_clip(case: Case, clip: Clip) -> list[str]:
    own = [finding for finding in case.findings if _is_on(finding, clip.site)]
    out = [f"{case.place(clip.site)}: {words.quoted(clip.call)}", f"a clip ({clip.kind}), not a step"]
    for finding in own:
        why = case.silenced.get(finding)
        state = f"not reported, {why}" if why else "reported"
        out.append(f"verdict: {state}: {finding.code} {finding.name}, {naming.risk_words(finding.risk)}")
        out += _indented([finding.message, *map(case.told, finding.evidence)])
        out.append(_fix(case, finding, None))
    if not own:
        out.append("verdict: nothing is wrong with it")
    guarded = [
        step
        for step in case.docket.sightings.steps.values()
        if any(clip.site in path.gradients.clips for c in step.contexts for path in c.paths)
    ]
    out += ["", "clips the gradients of" if guarded else "clips the gradients of no step in sight"]
    return out + _listing(case, guarded)


def _nothing_here(case: Case, row: int) -> list[str]:
    text = case.lines[row - 1].strip() if row <= len(case.lines) else ""
    known = [step for _, step in sorted(case.docket.sightings.steps.items())]
    led = [step for step in known if text and _leads_to(case, row, step)]
    steps = [step for step in known if step.site.filename == case.filename and step not in led]
    if row > len(case.lines):
        said = f"past the end of the file (line {len(case.lines)})"
    else:
        said = f"no optimizer step and no clip: `{text}`" if text else "an empty line"
    if led:
        steps_of_it = (
            "a step that is judged elsewhere" if len(led) == 1 else "steps that are judged elsewhere"
        )
        said = f"leads to {steps_of_it}: `{text}`"
    out = [f"{case.at(case.filename, row)}: {said}", ""]
    if led:
        out += ["this line leads to", *_listing(case, led)]
        return [*out, "", "other optimizer steps in this file", *_listing(case, steps)] if steps else out
    if not steps:
        return [*out, "no optimizer step was seen in this file"]
    return [*out, "optimizer steps in this file", *_listing(case, steps)]


def _leads_to(case: Case, row: int, step: Step) -> bool:
    """Whether a line sets a training going whose step stands elsewhere, or makes the first call on the way to it."""
    told = step.told
    if told is not None and any(_covers(site, case.filename, row) for site in told.fitted):
        return True
    going = case.docket.sightings.set_going
    trained = {key for site, keys in going.items() if _covers(site, case.filename, row) for key in keys}
    for one in step.contexts:
        models = (choice for model in one.models for choice in choices(model))
        if trained and any(isinstance(model, Object) and model.key in trained for model in models):
            return True
        if one.entry == case.filename and row in _calls(one)[:1]:
            return True
    return False


def _listing(case: Case, steps: Iterable[Step]) -> list[str]:
    return _indented(_listed(case, step) for step in steps)


def _listed(case: Case, step: Step) -> str:
    return f"{case.place(step.site)}: {words.quoted(step.call)}, {_verdict(case, step)[0].partition(': ')[2]}"


# -- words -------------------------------------------------------------------------------------------


def _is_on(finding: Finding, site: Site) -> bool:
    """Whether a finding is about a statement."""
    rows = site.span
    here = rows.row <= finding.start.row <= rows.end_row or finding.start.row <= rows.row <= finding.end.row
    return here and finding.filename == site.filename


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _show(filename: str) -> str:
    """A file name as people want to read it: relative to here where that is shorter."""
    relative = os.path.relpath(filename)
    return relative if len(relative) < len(filename) else filename
