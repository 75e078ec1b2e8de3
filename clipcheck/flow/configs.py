"""Dicts in place of calls: a framework makes the optimizer, and the clip, of what a configuration says."""

from __future__ import annotations

import os

from clipcheck import facts
from clipcheck.findings import Site
from clipcheck.flow.engines import is_none
from clipcheck.flow.records import Told
from clipcheck.flow.render import argument_at
from clipcheck.flow.statements import Statements
from clipcheck.flow.tables import merged
from clipcheck.flow.values import Arguments, Frame, Items, Literal, Object, Table, Unknown, Value, literal
from clipcheck.flow.worlds import ANY, World
from clipcheck.knowledge import Clipping, DictRule
from clipcheck.protocol import Gradients, Phase
from clipcheck.record import replace

DEPTH = 4  # dicts in dicts that describe a model, and files that build upon files


class Configs(Statements):
    """What configuration files and the dicts that a trainer is handed tell a framework."""

    # -- files ---------------------------------------------------------------------------------------

    def configure(self, frame: Frame, module: facts.ModuleFacts) -> None:
        """The steps that a framework makes of a configuration file, at the statements that may tell it to clip."""
        for rule in self.knowledge.dicts:
            for name in rule.names:
                written = _assigned(module.body, name)
                value = frame.locals.get(name)
                if written is not None and isinstance(value, Table):
                    self._configured(frame, rule, written, value)

    def _configured(self, frame: Frame, rule: DictRule, written: facts.Assign, own: Table) -> None:
        bases = self._bases(frame, rule)
        if rule.beside and not isinstance(self._described(frame, rule, rule.beside), Table):
            return
        builds_on = bool(rule.bases) and rule.bases in frame.locals and own.get(rule.anew) is None
        if builds_on:
            if bases is None:
                return  # what it builds upon is not in sight, and may clip
            below = [self._described(base, rule, name) for base in bases for name in rule.names]
            if any(self._judged(base, rule) for base in bases):
                return  # this file only changes what is judged where it is whole
            own = merged([*(_said(one, rule.clipping) for one in below if isinstance(one, Table)), own])
        if not own.entries:
            return
        site = Site(frame.filename, written.span)
        told = _told(site, written.value, f"{_name(written)} = dict", rule.clipping)
        teller = Object(
            f"{frame.filename}:{written.span.row}:{_name(written)}", site, None, _name(written), None
        )
        teller.keywords = own.entries
        around = Object(f"{teller.key}:file", site, None, "", None)
        around.keywords = tuple(frame.locals.items())
        model = self._described(frame, rule, rule.model)
        self._run(frame, told, teller, around, self.made_of(teller.key, site, model, rule.kind))

    def _judged(self, base: Frame, rule: DictRule) -> bool:
        """Whether a file that is built upon says by itself what is trained, and how it is stepped."""
        described = [self._described(base, rule, name) for name in (rule.model, *rule.names)]
        return isinstance(described[0], Table) and any(isinstance(one, Table) for one in described[1:])

    def _run(self, frame: Frame, told: Told, teller: Object, around: Object, model: Value) -> None:
        """One step of a training that nobody sees."""
        worlds, statement = self.worlds, self.statement
        self.worlds = (World(((ANY, Gradients(Phase.EMPTY)),)),)
        self.statement = (told.site.filename, told.site.span)
        self.told[teller.key] = told
        self.refresh(None)
        self.clip_as_told(frame, around, teller, told)
        self.trainer_step(Unknown(f"{teller.key}.optimizer"), model, told)
        self.worlds, self.statement = worlds, statement

    def _bases(self, frame: Frame, rule: DictRule, depth: int = DEPTH) -> list[Frame] | None:
        """The files that a file builds upon, None where one of them is not in sight."""
        value = frame.locals.get(rule.bases) if rule.bases else None
        listed = value.members if isinstance(value, Items) else () if value is None else (value,)
        found: list[Frame] = []
        for one in listed:
            path = one.value if isinstance(one, Literal) and isinstance(one.value, str) else ""
            file = self.project.file(os.path.join(os.path.dirname(frame.filename), path)) if path else None
            base = self.module_frame(file) if file is not None and depth else None
            if base is None:
                return None
            found.append(base)
        return found

    def _described(self, frame: Frame, rule: DictRule, name: str, depth: int = DEPTH) -> Value | None:
        """What a file says by a name, on top of what the files say that it builds upon."""
        own = frame.locals.get(name)
        whole = isinstance(own, Table) and own.get(rule.anew) is not None
        if not depth or whole or (own is not None and not isinstance(own, Table)):
            return own
        bases = self._bases(frame, rule, depth - 1) or []
        below = [self._described(base, rule, name, depth - 1) for base in bases]
        tables = [one for one in below if isinstance(one, Table)]
        return merged([*tables, own] if isinstance(own, Table) else tables) if tables else own

    # -- dicts that are handed over --------------------------------------------------------------------

    def _teller(self, trainer: Object, made: Arguments, held: Value | None) -> Object | None:
        """A dict that tells a trainer how to clip; what is not known tells nothing."""
        found = super()._teller(trainer, made, held)
        rule = trainer.rule
        if found is not trainer or rule is None or rule.settings is None or rule.clipping is None:
            return found
        settings = made.get(rule.settings)
        if rule.clipping.on_by_default:
            return found
        if not isinstance(settings, Table) or settings.partial:
            return None
        call = self.told[trainer.key].call
        told = _told(self.told[trainer.key].site, argument_at(call, rule.settings), "", rule.clipping)
        teller = Object(f"{trainer.key}:{rule.settings[0]}", told.site, None, rule.settings[0], None)
        teller.keywords = settings.entries
        self.told[teller.key] = replace(told, call=_named(told.call, f"{rule.settings[0]}=dict"))
        return teller

    def model_handed(self, trainer: Object, value: Value) -> Value:
        """A model that a dict describes is what its names say."""
        if isinstance(value, Table):
            return self.made_of(f"{trainer.key}.model", trainer.site, value, "type")
        return super().model_handed(trainer, value)

    def made_of(self, key: str, site: Site, value: Value | None, kind: str, depth: int = DEPTH) -> Value:
        """The model that a framework makes of a dict, by the names in it."""
        name = value.get(kind) if isinstance(value, Table) else None
        if not isinstance(value, Table) or not depth or name is None or self._is_frozen(value):
            return Unknown(f"{key}.model")
        named = self.model_handed(Object(key, _place(name, site), None, "", None), name)
        if not isinstance(named, Object) or named.cls is not None:
            return named
        for entry, inner in value.entries:
            if isinstance(inner, Table) and not self.knowledge.hinted("config-aside", entry):
                part = self.made_of(f"{named.key}.{entry}", site, inner, kind, depth - 1)
                if isinstance(part, Object):
                    named.attributes[entry] = part
        return named

    def _is_frozen(self, described: Table) -> bool:
        """Whether a part is not trained, or not all of it."""
        return any(
            self.knowledge.hinted("frozen", key) and not _off(value) for key, value in described.entries
        )


def _off(value: Value) -> bool:
    """Whether a setting counts nothing: None, False, or a number of stages below one."""
    constant = literal(value)
    return not constant or (isinstance(constant, int) and constant < 0)


def _assigned(body: tuple[facts.Statement, ...], name: str) -> facts.Assign | None:
    """The last statement of a file that binds a name."""
    found = [
        statement
        for statement in body
        if isinstance(statement, facts.Assign)
        and any(isinstance(one, facts.Name) and one.id == name for one in statement.targets)
    ]
    return found[-1] if found else None


def _name(written: facts.Assign) -> str:
    target = written.targets[0]
    return target.id if isinstance(target, facts.Name) else ""


def _said(below: Table, clipping: Clipping) -> Table:
    """What a dict that is built upon says, without a clipping of None, which says nothing."""
    entries = (
        (key, value) for key, value in below.entries if key not in clipping.arguments or not is_none(value)
    )
    return Table(tuple(entries), below.partial)


def _told(site: Site, expression: facts.Expression | None, text: str, clipping: Clipping) -> Told:
    """What tells how to clip: `dict(...)` takes the argument of a fix, another expression does not."""
    if isinstance(expression, facts.Call) and expression.function == facts.Name("dict", expression.row):
        return Told(site, _named(expression, text), clipping)
    empty = facts.Call(facts.Name(text, site.span.row), (), (), site.span, site.span)
    return Told(site, empty, clipping, obstacle="it is not written as a call of `dict`")


def _named(call: facts.Call, text: str) -> facts.Call:
    """A call of `dict` with what it is for in place of its name, as messages show it."""
    return replace(call, function=facts.Name(text, call.row)) if text else call


def _place(value: Value, site: Site) -> Site:
    """The row of a name in a file, in place of a statement."""
    if isinstance(value, Literal) and value.place[0]:
        row = value.place[1]
        return Site(value.place[0], site.span._replace(row=row, end_row=row))
    return site
