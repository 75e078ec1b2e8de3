"""Whose gradients they are: what a framework has taken over, and what a clip does to it in spite of that."""

from __future__ import annotations

import re
from types import NoneType

from clipcheck import blocks, facts
from clipcheck.findings import Evidence, Site
from clipcheck.flow.engines import Engines, is_none
from clipcheck.flow.inplace import changes_gradients
from clipcheck.flow.members import complete
from clipcheck.flow.records import Conflict, Owned, Running, Told
from clipcheck.flow.render import last_identifier, render
from clipcheck.flow.steps import SHARDED
from clipcheck.flow.trainers import text_of
from clipcheck.flow.values import (
    Arguments,
    External,
    Frame,
    FunctionRef,
    Object,
    Parameters,
    Unknown,
    Value,
    choices,
    literal,
)
from clipcheck.flow.worlds import Guard
from clipcheck.knowledge import CallRule
from clipcheck.project import Project
from clipcheck.protocol import Phase
from clipcheck.record import dataclass


@dataclass(frozen=True, slots=True)
class Possession:
    """A model that a framework has taken over: where, and on which paths."""

    site: Site
    name: str
    guards: frozenset[Guard]
    sharded: bool
    scope: tuple[str, str]  # the file and function
    assigned: str = ""  # how the statement names what it gives back, and what it hands over
    handed: str = ""


class Owners(Engines):
    """Tells which clips are not the program's to make."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.possessions: dict[str, Possession] = {}  # by the key of the model, or of its engine

    # -- whose gradients are somebody else's -------------------------------------------------------------

    def made_into_shards(self, frame: Frame, name: str, given: Arguments, call: facts.Call) -> None:
        """`FSDP(model)`: the parameters are shards from here on, unless its arguments say that they stay whole."""
        model = given.get(("module", 0))
        unsharded = self.knowledge.unsharded.get(name)
        strategy = given.get(unsharded[0]) if unsharded is not None else None
        text = "" if strategy is None or is_none(strategy) else text_of(strategy)
        known = isinstance(strategy, (External, NoneType)) or is_none(strategy)
        hidden = any(key is None for key, _ in given.keywords)
        whole = unsharded is not None and re.search(unsharded[1], text) is not None
        if isinstance(model, (Object, Unknown)) and known and not hidden and not whole:
            self.possess(frame, model.key, name, call, sharded=True)
        elif isinstance(model, (Object, Unknown)):
            self.possessions.pop(model.key, None)

    def possess(self, frame: Frame, key: str, name: str, call: facts.Call, *, sharded: bool) -> None:
        """Remember that a framework has a model, where that is certain on every path with the guards of here."""
        if (
            self.alternatives
            or not self.worlds
            or not isinstance(call.function, (facts.Name, facts.Attribute))
        ):
            return
        guards = frozenset.intersection(*(world.guards for world in self.worlds))
        needed = frozenset(guard for guard in guards if guard.usual is not guard.taken)
        module = self.project.facts(frame.filename)
        here = blocks.locate(module.body, self.statement[1]) if module is not None else None
        statement = here.statement if here is not None else None
        assigned = statement.targets[0] if isinstance(statement, facts.Assign) else None
        handed = call.arguments[0] if call.arguments else next((value for _, value in call.keywords), None)
        self.possessions[key] = Possession(
            Site(frame.filename, call.span),
            name.rpartition(".")[2],
            needed,
            sharded,
            (frame.filename, frame.label),
            render(assigned) if assigned is not None else "",
            render(handed) if handed is not None else "",
        )

    def owned(
        self,
        frame: Frame,
        rule: CallRule,
        cover: Parameters | None,
        threshold: Value | None,
        call: facts.Call,
    ) -> Owned | None:
        """Why a plain clip of these parameters, or one by a trainer's helper, is not the program's to make."""
        if self.trainer is not None and (found := self._against_the_trainer(self.trainer, threshold, call)):
            return found
        plain = self.knowledge.calls.get(self._called(frame, call)) is rule
        if cover is None or not plain or not cover.models:
            return None
        shards = [one for key in cover.models if (one := self._possession(key)) is not None and one.sharded]
        if rule.kind == "norm" and not cover.part and len(shards) == len(cover.models):
            return self._sharded(frame, cover, shards, call)
        return self._in_an_engine(frame, cover)

    def _called(self, frame: Frame, call: facts.Call) -> str:
        function = self.evaluate_quietly(frame, call.function)
        return function.name if isinstance(function, External) else ""

    def _possession(self, key: str) -> Possession | None:
        """The possession of a model that holds on every path that leads here."""
        found = self.possessions.get(key)
        everywhere = found is not None and all(found.guards <= world.guards for world in self.worlds)
        return found if everywhere else None

    def _sharded(self, frame: Frame, cover: Parameters, found: list[Possession], call: facts.Call) -> Owned:
        first = call.arguments[0] if call.arguments else None
        own = None
        if len(found) == 1 and isinstance(first, facts.Call) and isinstance(first.function, facts.Attribute):
            own = render(first.function.value)
            here = found[0].scope == (frame.filename, frame.label)
            raw = here and own == found[0].handed != found[0].assigned
            named = self.name_for(frame, *cover.models) is not None
            own = own if named and not raw and not own.endswith(".module") else None
        harm = (
            f"sees on each rank a shard of what {found[0].name} has cut up, so every rank clips by a norm of its own; "
            f"the method of {found[0].name} sums it over the ranks"
        )
        evidence = tuple(Evidence(*_row(one.site), f"cut into shards here, by {one.name}") for one in found)
        return Owned("CLP208", harm, evidence, own, SHARDED)

    def _in_an_engine(self, frame: Frame, cover: Parameters) -> Owned | None:
        """The engine that holds what is clipped, where its settings leave nothing there to clip."""
        for key, told in self.told.items():
            engine = self.sightings.objects.get(key)
            found = self._possession(key) if engine is not None and told.clipping.idle else None
            if engine is None or found is None or not all(self.contains(key, one) for one in cover.models):
                continue
            reason = self.idle_clip(engine, told)
            acts, _ = self.clips_by_itself(engine, told)
            if reason and not acts:
                argument = told.clipping.name
                harm = (
                    f"clips nothing: with {reason} the engine keeps the gradients to itself; set `{argument}`"
                )
                evidence = (Evidence(*_row(engine.site), "the engine that owns them is made here"),)
                return Owned("CLP209", harm, evidence, engine=key)
        return None

    # -- trainers ----------------------------------------------------------------------------------------

    def _against_the_trainer(
        self, trainer: Running, threshold: Value | None, call: facts.Call
    ) -> Owned | None:
        """What is wrong with a clip in a method of a model for the trainer that runs it."""
        limits = trainer.told.clipping.limits
        site = Evidence(*_row(trainer.told.site), "the trainer is made here")
        if trainer.manual and self.engine_clips("") is False:
            harm = (
                "clips gradients that still carry the loss scale, which is taken off inside the step with this "
                f"`{limits['scaled-by']}`; clip in `{limits['scaled-hook']}`"
            )
            return Owned("CLP209", harm, (site,))
        given, own = literal(threshold), literal(trainer.value)
        numbers = all(isinstance(one, (int, float)) for one in (given, own))
        helper = last_identifier(call.function) == limits.get("helper")
        if helper and numbers and given != own and not trainer.manual:
            name = trainer.told.clipping.name
            harm = f"asks for {given!r} where the trainer's `{name}` is {own!r}: it {limits['differs']}"
            return Owned("CLP209", harm, (site,))
        return None

    def engine_clips(self, framework: str) -> bool | None:
        """Whether the method of a model clips what its step uses; None where the trainer's settings are not known."""
        if self.trainer is None:
            return None if "scaled" in self.knowledge.engines.get(framework, {}) else True
        limits = self.trainer.told.clipping.limits
        if "scaled" not in limits:
            return True
        keywords = self.trainer.made.keywords
        value = Arguments((), keywords).get((limits["scaled-by"], -1))
        if value is None:
            return None if any(name is None and not complete(one) for name, one in keywords) else True
        constants = [literal(one) for one in choices(value)]
        if any(isinstance(one, Value) for one in constants):
            return None
        return not any(re.fullmatch(limits["scaled"], str(one)) for one in constants)

    def refused_by_manual(self, trainer: Object, told: Told, model: Object) -> None:
        """A trainer that is told to clip, for a model that runs the step by itself."""
        limits = told.clipping.limits
        arguments = Arguments(trainer.arguments, trainer.keywords)
        if (
            told.value is None
            or "manual" not in limits
            or self._acts(told.value, arguments, told) is not True
        ):
            return
        name = told.clipping.name
        harm = (
            f"is told to clip by `{name}`, but {model.name} runs backward and step by itself: it "
            f"{limits['manual']}"
        )
        owned = Owned("CLP209", harm, (Evidence(*model.place(), f"{model.name} made here"),))
        conflict = Conflict(told.site, told.call, owned, models=(model,), entry=self.entry_file)
        if any(key == name for key, _ in told.call.keywords):
            conflict.argument, conflict.value = name, "None"
        self.sightings.conflicts.setdefault(told.site, conflict)

    def ignored_by_the_model(self, model: Object, method: FunctionRef) -> None:
        """A trainer that is told to clip, for a model that takes the clipping over and does not clip."""
        running = self.trainer
        if running is None or running.value is None:
            return
        told, trainer = running.told, running.made
        acts = self._acts(running.value, Arguments(trainer.arguments, trainer.keywords), told)
        states = [state for world in self.worlds for _, state in world.states]
        touched = any(state.phase is not Phase.FRESH or state.unsure for state in states)
        calls = method.definition.calls
        passed_on = {method.definition.name, told.clipping.limits.get("helper")} & calls
        if acts is not True or touched or passed_on or changes_gradients(method.definition):
            return
        if self.project.clips(method.definition) or told.site in self.sightings.conflicts:
            return
        name = told.clipping.name
        harm = (
            f"is told to clip by `{name}`, which nobody reads: `{method.definition.name}` of {model.name} takes "
            "the clipping over and clips nothing"
        )
        place = (method.filename, method.definition.row)
        owned = Owned("CLP209", harm, (Evidence(*place, "the method that takes it over"),))
        self.sightings.conflicts[told.site] = Conflict(
            told.site, told.call, owned, models=(model,), entry=self.entry_file
        )


def _row(site: Site) -> tuple[str, int]:
    return site.filename, site.span.row
