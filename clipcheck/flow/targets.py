"""Objects that are asked for by a name.

A settings file describes one by the class under one key of a mapping, and its arguments under the others.
"""

from __future__ import annotations

from clipcheck import facts
from clipcheck.flow import paths
from clipcheck.flow.options import Options
from clipcheck.flow.values import Arguments, External, Frame, Items, ModuleRef, Partial, Table, Value, literal
from clipcheck.knowledge import CallRule
from clipcheck.record import replace

MAX_NESTED = 6  # objects described inside of objects


class Targets(Options):
    """Makes what a configuration describes."""

    def from_settings(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value | None:
        """`hydra.utils.instantiate(cfg.trainer, logger=logger)`: a call of what `_target_` names."""
        described = self.table_of(given.get(rule.slot("settings")))
        if described is None or rule.slot("target") is None:
            return None
        name = (rule.slot("settings") or ("", 0))[0]
        extra = tuple((key, value) for key, value in given.keywords if key != name)
        return self._made_of(frame, rule, described, extra, call, 0)

    def _made_of(
        self,
        frame: Frame,
        rule: CallRule,
        described: Table,
        extra: tuple[tuple[str | None, Value], ...],
        call: facts.Call,
        depth: int,
    ) -> Value | None:
        key, _ = rule.slot("target") or ("", 0)
        dotted = paths.text_of(described.get(key))
        function = self._named(frame, dotted) if dotted is not None else None
        if function is None:
            return None
        entries: list[tuple[str, Value]] = []
        for number, (name, value) in enumerate(described.entries):
            if not name.startswith("_") and all(name != given for given, _ in extra):
                entries.append((name, self._inside(frame, rule, value, call, depth, number)))
        arguments = Arguments((), ((None, Table(tuple(entries), described.partial)), *extra))
        marker, _ = rule.slot("partial") or ("", 0)
        if literal(described.get(marker)) is True:
            return Partial(function, arguments)
        return self.apply(frame, function, None, arguments, call)

    def _inside(
        self, frame: Frame, rule: CallRule, value: Value, call: facts.Call, depth: int, number: int
    ) -> Value:
        """An entry, with what is described in it made as well."""
        if depth > MAX_NESTED:
            return value
        # What one call makes is told apart by where it stands: each gets a column of its own.
        column = call.span.column + number + 1
        place = replace(call, span=call.span._replace(column=column, end_column=column))
        if isinstance(value, Items):
            return Items(
                tuple(
                    self._inside(frame, rule, one, place, depth + 1, n) for n, one in enumerate(value.members)
                )
            )
        if isinstance(value, Table):
            made = self._made_of(frame, rule, value, (), place, depth + 1)
            return made if made is not None else value
        return value

    def make_by_name(
        self, frame: Frame, rule: CallRule, owner: Value | None, given: Arguments, call: facts.Call
    ) -> Value:
        """`timm.create_model("vit_tiny_patch16_224")`: what the maker of that name makes, if it is one that is known."""
        asked = paths.text_of(given.get(rule.slot("target"))) or ""
        name = f"{rule.kind}.{_model_of(asked)}"
        if self.knowledge.class_rule(name) is None:
            return self.library_result(frame, rule.kind, given, call)
        return self.apply(frame, External(name), None, given, call)

    def _named(self, frame: Frame, dotted: str) -> Value | None:
        """What a dotted name means: something of the project, else of a library."""
        parts = dotted.split(".")
        if parts[0] in self.knowledge.packages or len(parts) < 2:
            return External(dotted)
        for cut in range(len(parts) - 1, 0, -1):
            filename = self.project.module(frame.filename, ".".join(parts[:cut]))
            if filename is None:
                continue
            found: Value | None = ModuleRef(filename)
            for name in parts[cut:]:
                found = self.module_member(found.filename, name) if isinstance(found, ModuleRef) else None
            return found
        return External(dotted)


def _model_of(asked: str) -> str:
    """The name of a model without where it is from and which weights it gets: `hf-hub:timm/resnet50.a1_in1k`."""
    return asked.rpartition("/")[2].rpartition(":")[2].partition(".")[0]
