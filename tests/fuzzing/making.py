"""Makes training programs out of the protocol's events: a hypothesis strategy.

What is made stays within what has to be known. One condition at most is asked for twice at a time (ways with equal
gradients are one to clipcheck, and keep the guards that they share), and every model has an optimizer.
"""

from __future__ import annotations

from hypothesis import strategies as st

from fuzzing.program import Act, Call, Condition, Each, If, Jump, Loop, Node, Program, With

ONCE = ("len({x}) > {n}", "{x} == {n}", "{n} in {x}", "{x}.size() < {n}")
USUAL = ("zero", "backward", "unscale", "clip", "step", "update")


class _Maker:
    """Draws one program; everything that needs a name of its own gets a number."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.models = draw(st.sampled_from((1, 1, 2)))
        self.joint = self.models == 2 and draw(st.integers(0, 3)) == 0
        self.scaler = draw(st.integers(0, 2)) == 0
        self.flags: list[str] = []
        self.number = 0
        # The condition that may be asked for again: one of the whole run, or one of each turn.
        self.again = draw(st.sampled_from(("none", "flag", "modulo")))
        self.helpers: list[list[Act]] = []

    def program(self) -> Program:
        count = self.draw(st.sampled_from((0, 0, 0, 1, 2))) if not self.joint else 0
        self.helpers = [self.acts(1, least=1, most=5, joint=False) for _ in range(count)]
        layout = self.draw(st.sampled_from(("module", "function", "called")))
        body = [*self.block(0, None, most=2), self.loop(0)] if self.one_in(5, wanted=False) else []
        body = body or [*self.block(0, None, most=1, least=0), *self.block(0, None, most=6)]
        return Program(self.models, self.joint, layout, body, self.helpers, tuple(self.flags))

    def one_in(self, times: int, *, wanted: bool = True) -> bool:
        return (self.draw(st.integers(0, times - 1)) == 0) is wanted

    # -- events ----------------------------------------------------------------------------------------

    def acts(self, models: int, *, least: int, most: int, joint: bool) -> list[Act]:
        """Events in the usual order, with some left out, doubled or moved; or in any order."""
        if self.one_in(4):
            kinds = self.draw(st.lists(st.sampled_from(USUAL), min_size=least, max_size=most))
            over = [self.over(models) for _ in kinds]
        else:
            kinds = list(USUAL)
            whom = self.over(models)
            for _ in range(self.draw(st.integers(0, 3))):
                where = self.draw(st.integers(0, len(kinds) - 1))
                if self.draw(st.booleans()) and len(kinds) > least:
                    kinds.pop(where)
                else:
                    kinds.insert(self.draw(st.integers(0, len(kinds))), kinds[where])
            if self.one_in(6) and "clip" in kinds:
                kinds.insert(kinds.index("clip") + 1, "backward")
            over = [self.over(models) if self.one_in(6) else whom for _ in kinds]
        made = [self.act(kind, whom, joint=joint) for kind, whom in zip(kinds, over, strict=True)]
        return [one for one in made if one is not None]

    def over(self, models: int) -> tuple[int, ...]:
        return self.draw(st.sampled_from([(one,) for one in range(models)] + [tuple(range(models))]))

    def act(self, kind: str, over: tuple[int, ...], *, joint: bool) -> Act | None:
        first = (0,) if joint else over[:1]
        if kind in ("unscale", "update") and not self.scaler:
            return None
        if kind == "backward":
            whole = (0, 1) if joint else over
            how = self.draw(st.sampled_from(("", "one-line")))
            return Act(kind, whole, how, scaled=self.scaler and not self.one_in(8))
        if kind == "clip":
            how = self.draw(st.sampled_from(("", "", "", "groups", "value")))
            if how == "groups" and (len(over) > 1 or joint):
                over = first
            return Act(kind, over, how)
        if kind == "step":
            return Act(kind, first, "scaler" if self.scaler and not self.one_in(8) else "")
        how = "model" if kind == "zero" and not joint and self.draw(st.booleans()) else ""
        return Act(kind, first, how)  # type: ignore[arg-type]

    # -- control flow ----------------------------------------------------------------------------------

    def block(self, depth: int, loop: Loop | None, *, most: int, least: int = 1) -> list[Node]:
        out: list[Node] = []
        for _ in range(self.draw(st.integers(least, most))):
            out += self.nodes(depth, loop)
        return out

    def nodes(self, depth: int, loop: Loop | None) -> list[Node]:
        kinds = ["acts"] * 5 + ["with"]
        if depth < 3:
            kinds += ["if", "if", "again"]
        if depth < 2:
            kinds += ["loop"] * (2 if depth == 0 else 1)
        if self.helpers:
            kinds += ["call"] * 2
        if not self.joint:
            kinds += ["each"]
        kind = self.draw(st.sampled_from(kinds))
        if kind == "with":
            return [With(self.block(depth + 1, loop, most=1))]
        if kind == "loop":
            return [self.loop(depth)]
        if kind == "call":
            helper = self.draw(st.integers(0, len(self.helpers) - 1))
            return [Call(helper, self.draw(st.integers(0, self.models - 1)))]
        if kind == "each":
            return [Each(self.acts(1, least=1, most=3, joint=False))]
        if kind == "if":
            return [self.branch(depth, loop)]
        if kind == "again" and (test := self.test_again(loop)) is not None:
            return [If(test, self.inside(depth, loop), self.inside(depth, loop) if self.one_in(4) else [])]
        return list(self.acts(self.models, least=1, most=4, joint=self.joint))

    def inside(self, depth: int, loop: Loop | None) -> list[Node]:
        return self.block(depth + 1, loop, most=2)

    def branch(self, depth: int, loop: Loop | None) -> If:
        """A condition that is asked for once."""
        self.number += 1
        if loop is None or loop.form == "range":
            text = f"flag_{self.number}" if loop is None else f"i{loop.number} == {self.number}"
            if loop is None:
                self.flags.append(text)
        else:
            x = {"data": f"x{loop.number}", "micro": f"micro_batch_{loop.number}", "while": f"i{loop.number}"}
            forms = ONCE if loop.form != "while" else ("{x} == {n}",)
            text = self.draw(st.sampled_from(forms)).format(x=x[loop.form], n=self.number)
        # A word for accumulation makes a test one for the last micro-batch, as `%` does.
        accumulates = loop is not None and loop.form == "micro"
        test = Condition(text, loop is None, self.draw(st.booleans()), accumulates)
        if loop is not None and self.one_in(4):
            return If(test, [Jump(self.draw(st.sampled_from(("continue", "break"))))])
        if self.one_in(12):
            return If(test, [Jump("return" if loop is None and depth == 0 else "pass")])  # type: ignore[arg-type]
        return If(test, self.inside(depth, loop), self.inside(depth, loop) if self.one_in(3) else [])

    def test_again(self, loop: Loop | None) -> Condition | None:
        negated = self.draw(st.integers(0, 3)) == 0
        if self.again == "flag":
            if "chosen" not in self.flags:
                self.flags.append("chosen")
            return Condition("chosen", fixed=True, negated=negated)
        if self.again == "modulo" and loop is not None and loop.form == "data":
            return Condition(f"i{loop.number} % 4 == 0", fixed=False, negated=negated, accumulates=True)
        return None

    def loop(self, depth: int) -> Loop:
        self.number += 1
        form = self.draw(st.sampled_from(("data", "data", "range", "while", "micro")))
        loop = Loop(form, self.number, [])
        loop.body = self.block(depth + 1, loop, most=4)
        return loop


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Training programs of a few events."""
    return _Maker(draw).program()
