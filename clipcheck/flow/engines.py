"""Engines: an object of a framework that runs the backward and the step, and clips by settings it was made with.

Its step is recorded like a trainer's, at the call that makes the engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from clipcheck import blocks, facts
from clipcheck.findings import Evidence, Site
from clipcheck.flow import paths
from clipcheck.flow.records import Clip, ClipContext, Path, Told
from clipcheck.flow.steps import optimizers_in
from clipcheck.flow.trainers import Trainers
from clipcheck.flow.values import (
    Arguments,
    Frame,
    Items,
    Literal,
    Object,
    Option,
    Parameters,
    Table,
    Tensor,
    Unknown,
    Value,
    choices,
    literal,
    several,
)
from clipcheck.knowledge import CallRule, ClassRule
from clipcheck.project import Project
from clipcheck.protocol import Event, Gradients, Phase
from clipcheck.record import replace

_OPTIMIZER = "(optimizer)"  # where an engine keeps what it steps
_NOT_KNOWN = "`{}` has a value that is not known"
_SETTINGS = "its settings are not in sight, and may hold `{}`"


class Engines(Trainers):
    """What happens where an engine is made, and where it steps."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.clip_calls: dict[str, facts.Call] = {}  # that make objects which clip, by the key of the object

    def possess(self, frame: Frame, key: str, name: str, call: facts.Call, *, sharded: bool) -> None:
        """Remember that a framework has a model."""
        raise NotImplementedError

    def make_engine(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`engine, optimizer, _, _ = initialize(model=..., config=...)`: the engine stands for the model."""
        key = self.origin(frame, call)
        engine = self.sightings.objects.get(key)
        site = Site(frame.filename, call.span)
        if engine is None or engine.external != rule.kind:
            engine = Object(key, site, None, rule.kind, self.knowledge.class_rule(rule.kind))
            self.sightings.objects[key] = engine
        engine.arguments, engine.keywords = given.positional, given.keywords
        model = given.get(rule.slot("model")) or Unknown(f"{key}.module")
        engine.attributes["module"] = model
        self.inside.clear()
        optimizer = self._stepped(key, site, model, rule, given)
        engine.attributes[_OPTIMIZER] = optimizer
        self.made(engine, call)
        self.possess(frame, key, rule.kind, call, sharded=False)
        return Items(
            (
                engine,
                self._wrapped(key, site, optimizer),
                Unknown(f"{key}.loader"),
                Unknown(f"{key}.scheduler"),
            )
        )

    def _stepped(self, key: str, site: Site, model: Value, rule: CallRule, given: Arguments) -> Object:
        """The optimizer of an engine: the one it was given, else one of its own for the parameters it was given."""
        optimizer = given.get(rule.slot("optimizer"))
        for choice in choices(optimizer) if optimizer is not None else ():
            if isinstance(choice, Object) and choice.role == "optimizer":
                return choice
        rules = ClassRule("optimizer", parameters=("params", 0))
        made = self.sightings.objects.setdefault(
            f"{key}.optimizer", Object(f"{key}.optimizer", site, None, "", rules)
        )
        parameters = given.get(rule.slot("parameters"))
        known = parameters if self.parameters_in(parameters) is not None else None
        whole = Parameters(frozenset(one.key for one in choices(model) if isinstance(one, (Object, Unknown))))
        made.arguments = (known or whole,)
        super().made(made)
        return made

    def step_of(
        self, frame: Frame, rule: CallRule, optimizer: Value, given: Arguments, call: facts.Call
    ) -> Value:
        """The step of an optimizer that is told to clip when it is made, of several such, or of any other."""
        known = optimizers_in(optimizer)
        told = [one for one in known if one.key in self.told]
        if not told:
            return super().step_of(frame, rule, optimizer, given, call)
        before = self.worlds
        for one in told:  # each is judged where it is made
            self.worlds = before
            self._told_step(frame, one, self.told[one.key], call)
        if rest := [one for one in known if one.key not in self.told]:
            self.worlds = before
            super().step_of(frame, rule, several(rest), given, call)
        self.alike([one.key for one in (*rest, *reversed(told))])  # the last of them has just stepped
        return Tensor(frozenset(), True)

    def _told_step(self, frame: Frame, optimizer: Object, told: Told, call: facts.Call) -> Value:
        key = optimizer.key
        arguments = Arguments(optimizer.arguments, optimizer.keywords)
        self.worlds = tuple(world.having(key, world.get(key)) for world in self.worlds)
        self.value_told(optimizer, told)
        acts = self._acts(told.value, arguments, told)
        site = self.site()
        for choice in choices(told.value) if told.value is not None else ():
            if isinstance(choice, Object) and acts:
                self._clip_object(choice, key)
                site = choice.site
        self._clip_in_step(key, site, acts, _NOT_KNOWN.format(told.clipping.name))
        blamed = [one for model in sorted(self.blamed) if (one := self.sightings.objects.get(model))]
        self.trainer_step(optimizer, blamed[0] if blamed else Unknown(f"{key}.models"), told)
        told.used(None, (frame.filename, call.name_span.row))
        return Tensor(frozenset(), True)

    def _clip_in_step(self, key: str, site: Site, acts: bool | None, reason: str) -> None:
        """The clip that an optimizer makes in its step: it takes place, or does not, or nobody knows (None)."""

        def at_step(state: Gradients) -> Gradients:
            if acts:
                return state.after(Event.CLIP, site)[0]
            unclipped = acts is None and state.phase is not Phase.CLIPPED
            return replace(state, unsure=state.unsure or reason) if unclipped else state

        self.change(at_step, lambda name: name == key)

    def _clip_object(self, clip: Object, key: str) -> None:
        """A clip that is an object handed to an optimizer acts at the step, and is judged where it is made."""
        made = self.clip_calls.get(clip.key)
        family = clip.rule.family if clip.rule is not None else ""
        if made is None or family not in ("value", "tensor-norm"):
            return
        paths_here = [Path(world.get(key), world.guards, "") for world in self.worlds]
        context = ClipContext(paths_here, None, None, False, True, False, label=self.context_label())
        self.sightings.clips.setdefault(clip.site, Clip(clip.site, made, family)).met(context)

    def made(self, made: Object, call: facts.Call | None = None) -> None:
        super().made(made, call)
        if made.role == "gradient-clip" and call is not None:
            self.clip_calls[made.key] = call

    def _wrapped(self, key: str, site: Site, optimizer: Object) -> Object:
        """The optimizer that comes back with an engine: whether it clips in its step, the engine's settings say."""
        rule = ClassRule("optimizer", parameters=("params", 0), clips=True)
        name = f"{key}.wrapped"
        made = self.sightings.objects.setdefault(name, Object(name, site, None, optimizer.external, rule))
        held = self.updated(optimizer)
        made.arguments = (held,) if held is not None else ()
        super().made(made)
        return made

    def engine_step(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value | None:
        """The engine's own clip, as far as its settings say whether it takes place, and its step."""
        told = self.told.get(owner.key) if isinstance(owner, Object) else None
        if not isinstance(owner, Object) or told is None:
            return None
        if not self.following:
            return Literal(None)
        optimizer = owner.attributes[_OPTIMIZER]
        key = optimizer.key if isinstance(optimizer, Object) else owner.key
        self.worlds = tuple(world.having(key, world.get(key)) for world in self.worlds)
        self._clip_in_step(key, self.site(), *self.clips_by_itself(owner, told))
        self.trainer_step(optimizer, owner.attributes["module"], told)
        told.used(None, (frame.filename, call.name_span.row))
        return Tensor(frozenset(), True)

    # -- the settings of an engine ---------------------------------------------------------------------

    def clips_by_itself(self, engine: Object, told: Told) -> tuple[bool | None, str]:
        """Whether the engine clips in its step, None where that is not known, with the reason for that."""
        name = told.clipping.name
        table = self._settings_of(engine, told)
        if table is None or table.partial or table.get("") is not None:
            return None, _SETTINGS.format(name)
        self._version(engine, told)
        told.value = table.get(name)
        told.display = table.written
        told.notes = _lookalikes(table, name, self.knowledge.hinted)
        if told.value is None:
            if self._mentioned(name, engine.site.filename, table):
                return None, f"`{name}` is spoken of elsewhere in the program, and may be set there"
            return told.default, f"whether `{name}` is on by default hangs on the version, which no file pins"
        if isinstance(told.value, (Literal, Option)):
            place = told.value.place
            told.source = place if told.source is not None else None
        return self._acts(told.value, Arguments(), told), _NOT_KNOWN.format(name)

    def _settings_of(self, engine: Object, told: Told) -> Table | None:
        """The table of settings that an engine was made with, in the program or in a file."""
        given = Arguments(engine.arguments, engine.keywords)
        clipping = told.clipping
        found = next((value for slot in clipping.within if (value := given.get(slot)) is not None), None)
        if (found is None or is_none(found)) and clipping.named_by is not None:
            holder = given.get(clipping.named_by[0])
            attribute = clipping.named_by[1]
            found = holder.attributes.get(attribute) if isinstance(holder, Object) else None
        options = choices(found) if found is not None else ()
        if len(options) != 1:
            return None
        if isinstance(options[0], Table):
            return options[0]
        path = paths.text_of(options[0])
        read = self._file(engine.site.filename, path) if path else None
        if read is None:
            return None
        told.source = (read[0], read[1].row)
        value = self._of_file(*read)
        return value if isinstance(value, Table) else None

    def _version(self, engine: Object, told: Told) -> None:
        """What the default is in the version that the project pins."""
        since = told.clipping.since
        if since is None or told.default is not None:
            return
        told.pin = pin = self.project.pins.version_of(since.package, engine.site.filename)
        if pin is not None and pin.at_most(since.before):
            told.default = not since.on_by_default
        elif pin is not None and pin.at_least(since.version):
            told.default = since.on_by_default

    def _mentioned(self, name: str, filename: str, table: Table) -> bool:
        """Whether a file of the program speaks of a setting by name: it may set it out of sight."""
        files = {filename, self.entry_file, *(frame.filename for frame in self.frames)}
        files |= {table.written.filename} if table.written is not None else set()
        modules = (self.project.facts(file) for file in sorted(filter(None, files)))
        return any(_speaks(module.body, name) for module in modules if module is not None)

    def idle_clip(self, engine: Object, told: Told) -> str:
        """The setting with which a clip by hand does nothing to an engine's gradients, "" where it does not so."""
        if told.clipping.idle is None:
            return ""
        path, pattern = told.clipping.idle
        value: Value | None = self._settings_of(engine, told)
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Table) else None
        constant = literal(value)
        known = isinstance(constant, (int, str)) and not isinstance(constant, bool)
        return f"`{path}` {constant}" if known and re.fullmatch(pattern, str(constant)) else ""


def _speaks(body: facts.Block, name: str) -> bool:
    return any(
        (isinstance(node, facts.Constant) and node.value == name)
        or (isinstance(node, facts.Attribute) and node.attr == name)
        or (isinstance(node, facts.Call) and any(keyword == name for keyword, _ in node.keywords))
        for node in blocks.walk(body)
    )


def is_none(value: Value | None) -> bool:
    """Whether a value is the constant None."""
    return isinstance(value, Literal) and value.value is None


def _lookalikes(table: Table, name: str, hinted: Callable[[str, str], bool]) -> list[Evidence]:
    """The entries that read like the setting and are not it: nobody reads them."""
    return [
        Evidence(*value.place, f"`{key}` is not read: the name is `{name}`")
        for key, value in table.entries
        if key != name
        and hinted("clip-option", key)
        and isinstance(value, (Literal, Option))
        and value.place[0]
    ]
