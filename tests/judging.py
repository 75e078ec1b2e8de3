"""Sightings built by hand over real source: what the tests of judges and repairs start from."""

from __future__ import annotations

from dataclasses import dataclass, field
from textwrap import dedent

from clipcheck import blocks, facts, knowledge
from clipcheck.config import Settings
from clipcheck.docket import JudgeContext
from clipcheck.extract import extract_text
from clipcheck.findings import Evidence, Risk, Site, Span
from clipcheck.flow.records import Clip, ClipContext, Names, Path, Sightings, Step, StepContext
from clipcheck.flow.values import Literal, Object, Unknown, Value
from clipcheck.flow.worlds import Guard
from clipcheck.knowledge import ClassRule
from clipcheck.protocol import Event, Gradients, Phase
from clipcheck.record import replace

FILE = "/project/train.py"
KNOWLEDGE = knowledge.load()
ADAM = Object("adam", Site(FILE, Span(1, 0, 1, 1)), None, "torch.optim.Adam", ClassRule("optimizer"))
LBFGS = Object(
    "lbfgs", Site(FILE, Span(1, 0, 1, 1)), None, "torch.optim.LBFGS", ClassRule("optimizer", line_search=True)
)
OFF = Guard("args.clip > 0", frozenset({"args"}), taken=False, usual=False)
ON = Guard("args.clip > 0", frozenset({"args"}), taken=True, usual=False)


@dataclass(frozen=True)
class Risky:
    risk: Risk = "high"
    evidence: tuple[Evidence, ...] = (Evidence("/project/models.py", 12, "LSTM made here"),)
    summary: str = "an LSTM"
    raised: bool = False


def gradients(*events: str, step: Site | None = None, **changes: object) -> Gradients:
    """The gradients after some events, all at one made-up place (a step at `step`)."""
    state = Gradients()
    for name in events:
        site = step if name == "step" and step else Site(FILE, Span(1, 0, 1, 1))
        state, _ = state.after(Event[name.upper()], site)
    return replace(state, **changes)  # type: ignore[arg-type]


BACKWARD = ("zero_grad", "backward")
SCALED = ("zero_grad", "scaled_backward")


@dataclass
class Scene:
    """One file and what a run saw in it; statements are named by a piece of their text."""

    source: str
    sightings: Sightings = field(default_factory=Sightings)

    def __post_init__(self) -> None:
        self.source = dedent(self.source).lstrip("\n")
        found = extract_text(self.source, FILE)
        assert isinstance(found, facts.ModuleFacts)
        self.body = found.body

    def statement(self, text: str, nth: int = 0) -> facts.Statement:
        rows = [row for row, line in enumerate(self.source.split("\n"), 1) if text in line]
        nodes = [
            n for n in blocks.walk(self.body) if isinstance(n, facts.Evaluate | facts.Assign | facts.Return)
        ]
        return next(node for node in nodes if node.span.row == rows[nth])

    def site(self, text: str, nth: int = 0) -> Site:
        return Site(FILE, self.statement(text, nth).span)

    def call(self, text: str, nth: int = 0) -> facts.Call:
        calls = [n for n in blocks.walk(self.statement(text, nth)) if isinstance(n, facts.Call)]
        return max(calls, key=lambda call: call.span.end_column - call.span.column)

    def step(
        self,
        *paths: Path | Gradients,
        text: str = ".step(",
        nth: int = 0,
        parameters: str | None = "model.parameters()",
        optimizer: str | None = "optimizer",
        scaler: str | None = None,
        certain: bool = True,
        made: Value = ADAM,
        closure: Span | None = None,
        has_closure: bool = False,
        label: str = "main",
    ) -> Step:
        site = self.site(text, nth)
        step = self.sightings.steps.setdefault(site, Step(site, self.call(text, nth)))
        seen = [path if isinstance(path, Path) else stepping(path) for path in paths]
        names = Names(optimizer, parameters, scaler)
        step.contexts.append(StepContext(label, made, (), certain, seen, names, closure, has_closure))
        return step

    def clip(
        self,
        *states: Path | Gradients,
        text: str = "clip_grad",
        nth: int = 0,
        kind: str = "norm",
        threshold: Value | float | None = 1.0,
        replaced_by: str = "",
        scaled_threshold: bool = False,
        result_used: bool = False,
        per_parameter: bool = False,
        optimizer: str | None = None,
        scaler: str | None = None,
    ) -> Clip:
        site = self.site(text, nth)
        clip = self.sightings.clips.setdefault(site, Clip(site, self.call(text, nth), kind, replaced_by))
        paths = [state if isinstance(state, Path) else clipping(state, site) for state in states]
        value = threshold if isinstance(threshold, Value) or threshold is None else Literal(threshold)
        clip.contexts.append(
            ClipContext(paths, value, None, scaled_threshold, result_used, per_parameter, optimizer, scaler)
        )
        return clip

    def context(self, risk: Risk = "high", **settings: object) -> JudgeContext:
        return JudgeContext(
            KNOWLEDGE,
            Settings(**settings),
            lambda _: Risky(risk),
            lambda _: self.body,  # type: ignore[arg-type]
        )


def stepping(state: Gradients, *guards: Guard) -> Path:
    """A path on which a step meets these gradients."""
    return Path(state, frozenset(guards), state.after(Event.STEP, Site(FILE, Span(1, 0, 1, 1)))[1])


def clipping(state: Gradients, site: Site, *guards: Guard) -> Path:
    """A path on which the clip at `site` meets these gradients."""
    return Path(state, frozenset(guards), state.after(Event.CLIP, site)[1])


__all__ = ["ADAM", "BACKWARD", "FILE", "LBFGS", "OFF", "ON", "SCALED", "Phase", "Scene", "Unknown"]
