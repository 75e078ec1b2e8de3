"""Control flow: which gradients meet a step along every path. The silent ones come first."""

from __future__ import annotations

import pytest
from flowing import sightings, trained

from clipcheck.flow import interpreter
from clipcheck.protocol import Phase

BACK = "model(x)[0].sum().backward()"
CLIP = "clip_grad_norm_(model.parameters(), 1.0)"
FLAGS = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--clip", type=float, default={default})
parser.add_argument("--fast", action="store_true")
args = parser.parse_args()
"""

SILENT = {
    "one guard over clip and step": f"""
        for i, x in enumerate(data):
            {BACK}
            sync = i % 4 == 0
            if sync:
                {CLIP}
            if sync:
                optimizer.step()
                optimizer.zero_grad()
        """,
    "a loop over the parts that it clips": f"""
        for x in data:
            optimizer.zero_grad()
            {BACK}
            for number, part in enumerate(parts_of(model)):
                torch.nn.utils.clip_grad_norm_(part.parameters(), bounds[number])
            optimizer.step()
        """,
    "a loop over the names of what it clips": f"""
        for x in data:
            optimizer.zero_grad()
            {BACK}
            for name in names:
                clip_gradients(parts[name])
            optimizer.step()
        """,
    "two loops over the same, of which one clips": f"""
        for x in data:
            optimizer.zero_grad()
            {BACK}
            for _ in workers.values():
                {CLIP}
            for _ in workers.values():
                optimizer.step()
        """,
    "a guard and its opposite": f"""
        for x in data:
            optimizer.zero_grad()
            {BACK}
            if mode is not None:
                {CLIP}
            if not mode is None:
                optimizer.step()
        """,
    "either branch clips": f"""
        for x in data:
            optimizer.zero_grad()
            {BACK}
            if strict:
                clip_grad_norm_(model.parameters(), 0.1)
            else:
                {CLIP}
            optimizer.step()
        """,
    "one test inside of another, twice": f"""
        for x in data:
            optimizer.zero_grad()
            {BACK}
            if strict:
                if not mode.fast:
                    {CLIP}
            if strict:
                if not mode.fast:
                    optimizer.step()
        """,
    "another name is assigned in between": f"""
        for x in data:
            optimizer.zero_grad()
            {BACK}
            if sync:
                {CLIP}
            count = 3
            if sync:
                optimizer.step()
        """,
    "accumulation, one clip": f"""
        for i, x in enumerate(data):
            {BACK}
            if i % 4 == 3:
                {CLIP}
                optimizer.step()
                optimizer.zero_grad()
        """,
    "accumulation in an inner loop": f"""
        for batch in data:
            optimizer.zero_grad()
            for x in batch:
                {BACK}
            {CLIP}
            optimizer.step()
        """,
    "continue before the backward": f"""
        for x in data:
            if x is None:
                continue
            optimizer.zero_grad()
            {BACK}
            {CLIP}
            optimizer.step()
        """,
    "return where it is not clipped": f"""
        def train(x):
            optimizer.zero_grad()
            {BACK}
            if not ready:
                return
            {CLIP}
            optimizer.step()
        train(x)
        """,
    "raise where it is not clipped": f"""
        for x in data:
            optimizer.zero_grad()
            {BACK}
            if broken:
                raise ValueError("NaN")
            {CLIP}
            optimizer.step()
        """,
    "clip in else of try": f"""
        for x in data:
            optimizer.zero_grad()
            try:
                {BACK}
            except RuntimeError:
                continue
            else:
                {CLIP}
            optimizer.step()
        """,
    "clip in finally": f"""
        for x in data:
            optimizer.zero_grad()
            try:
                {BACK}
            finally:
                {CLIP}
            optimizer.step()
        """,
    "an except that leaves": f"""
        for x in data:
            optimizer.zero_grad()
            try:
                {BACK}
                {CLIP}
            except RuntimeError:
                raise
            optimizer.step()
        """,
    "while True with break": f"""
        while True:
            optimizer.zero_grad()
            {BACK}
            {CLIP}
            optimizer.step()
            if done:
                break
        """,
    "step behind an endless loop": f"""
        while True:
            {BACK}
            if done:
                {CLIP}
                break
        optimizer.step()
        """,
    "while with a condition": f"""
        while step < 10:
            optimizer.zero_grad()
            {BACK}
            {CLIP}
            optimizer.step()
            step += 1
        """,
    "with": f"""
        for x in data:
            optimizer.zero_grad()
            with torch.autocast("cuda"), open("log") as log:
                {BACK}
                {CLIP}
            optimizer.step()
        """,
    "clip in the else of for": f"""
        optimizer.zero_grad()
        for x in data:
            {BACK}
        else:
            {CLIP}
        optimizer.step()
        """,
    "exhaustive match": f"""
        for x in data:
            optimizer.zero_grad()
            {BACK}
            match kind:
                case "a":
                    clip_grad_norm_(model.parameters(), 2.0)
                case _:
                    {CLIP}
            optimizer.step()
        """,
    "a loop that never runs": f"""
        for x in []:
            pass
        for _ in range(0):
            pass
        {BACK}
        {CLIP}
        optimizer.step()
        """,
    "a clip in a loop that runs": f"""
        {BACK}
        for _ in range(2):
            {CLIP}
        optimizer.step()
        """,
    "script guard": f"""
        def main():
            optimizer.zero_grad()
            {BACK}
            {CLIP}
            optimizer.step()
        if __name__ == "__main__":
            main()
        """,
    "walrus": f"""
        while (x := next(data)) is not None:
            optimizer.zero_grad()
            {BACK}
            {CLIP}
            optimizer.step()
        """,
    "a norm measured is no clip in vain": f"""
        for x in data:
            optimizer.zero_grad()
            {BACK}
            {CLIP}
            optimizer.step()
            norm = clip_grad_norm_(model.parameters(), float("inf"))
        """,
    "clipping by hand": f"""
        for x in data:
            optimizer.zero_grad()
            {BACK}
            for p in model.parameters():
                if p.grad is not None:
                    p.grad.clamp_(-1, 1)
            optimizer.step()
        """,
    "scaled by hand": f"""
        for x in data:
            optimizer.zero_grad()
            {BACK}
            norm = sum(p.grad.norm() ** 2 for p in model.parameters()) ** 0.5
            for p in model.parameters():
                p.grad *= min(1.0, 1.0 / norm)
            optimizer.step()
        """,
    "unscaled, then clipped": f"""
        scaler = torch.amp.GradScaler("cuda")
        for x in data:
            optimizer.zero_grad()
            scaler.scale(model(x)[0].sum()).backward()
            scaler.unscale_(optimizer)
            {CLIP}
            scaler.step(optimizer)
            scaler.update()
        """,
    "a scaler that is switched off": f"""
        scaler = torch.amp.GradScaler("cuda", enabled=False)
        for x in data:
            optimizer.zero_grad()
            scaler.scale(model(x)[0].sum()).backward()
            {CLIP}
            scaler.step(optimizer)
        """,
    "two loops over different things, of which one clips": f"""
        for x in data:
            optimizer.zero_grad()
            {BACK}
            for _ in others:
                {CLIP}
            for _ in workers:
                optimizer.step()
    """,
    "a clip in a loop over data": f"""
        optimizer.zero_grad()
        {BACK}
        for x in data:
            {CLIP}
        optimizer.step()
    """,
}
GUILTY = {
    "the guard is assigned in between": (
        f"""
        for x in data:
            optimizer.zero_grad()
            {BACK}
            if sync:
                {CLIP}
            sync = other()
            if sync:
                optimizer.step()
        """,
        {"CLP101"},
    ),
    "the guard's attribute is assigned in between": (
        f"""
        for x in data:
            optimizer.zero_grad()
            {BACK}
            if state.sync:
                {CLIP}
            state.sync = other()
            if state.sync:
                optimizer.step()
        """,
        {"CLP101"},
    ),
    "the guard is counted up in between": (
        f"""
        for x in data:
            optimizer.zero_grad()
            {BACK}
            if count % 4 == 0:
                {CLIP}
            count += 1
            if count % 4 == 0:
                optimizer.step()
        """,
        {"CLP101"},
    ),
    "one branch clips": (
        f"""
        for x in data:
            optimizer.zero_grad()
            {BACK}
            if epoch < 5:
                {CLIP}
            optimizer.step()
        """,
        {"CLP101"},
    ),
    "continue past the clip of an accumulation": (
        f"""
        for i, x in enumerate(data):
            {BACK}
            {CLIP}
            if i % 4:
                continue
            optimizer.step()
            optimizer.zero_grad()
        """,
        {"CLP204"},
    ),
    "an except that goes on": (
        f"""
        for x in data:
            optimizer.zero_grad()
            {BACK}
            try:
                {CLIP}
            except RuntimeError:
                pass
            optimizer.step()
        """,
        {"CLP101"},
    ),
    "break before the clip": (
        f"""
        while True:
            {BACK}
            if done:
                break
            {CLIP}
            optimizer.zero_grad()
        optimizer.step()
        """,
        {"CLP101"},
    ),
    "a match that may match nothing": (
        f"""
        for x in data:
            optimizer.zero_grad()
            {BACK}
            match kind:
                case "a":
                    {CLIP}
            optimizer.step()
        """,
        {"CLP101"},
    ),
    "a clip in a loop over what is clipped, which is empty": (
        f"""
        parts = []
        for x in data:
            optimizer.zero_grad()
            {BACK}
            for part in parts:
                torch.nn.utils.clip_grad_norm_(part.parameters(), 1.0)
            optimizer.step()
        """,
        {"CLP101"},
    ),
    "late in every round": (
        f"""
        for x in data:
            {BACK}
            optimizer.step()
            {CLIP}
            optimizer.zero_grad()
        """,
        {"CLP101", "CLP201"},
    ),
    "clip after zero_grad": (
        f"""
        for x in data:
            {BACK}
            optimizer.zero_grad()
            {CLIP}
            {BACK}
            optimizer.step()
        """,
        {"CLP101", "CLP202"},
    ),
    "clip of what is still scaled": (
        f"""
        scaler = torch.amp.GradScaler("cuda")
        for x in data:
            optimizer.zero_grad()
            scaler.scale(model(x)[0].sum()).backward()
            {CLIP}
            scaler.unscale_(optimizer)
            scaler.step(optimizer)
        """,
        {"CLP203"},
    ),
    "scaled and bare": (
        """
        scaler = torch.amp.GradScaler("cuda")
        for x in data:
            optimizer.zero_grad()
            scaler.scale(model(x)[0].sum()).backward()
            scaler.step(optimizer)
        """,
        {"CLP101"},
    ),
    "gradients averaged over workers": (
        f"""
        for x in data:
            optimizer.zero_grad()
            {BACK}
            for p in model.parameters():
                p.grad /= world_size
            optimizer.step()
        """,
        {"CLP101"},
    ),
}


@pytest.mark.parametrize("program", SILENT.values(), ids=SILENT)
def test_silent(program):
    seen = trained(program)
    assert len(seen.steps()) == 1
    assert seen.codes() == set()


@pytest.mark.parametrize(("program", "expected"), GUILTY.values(), ids=GUILTY)
def test_guilty(program, expected):
    assert trained(program).codes() == expected


# -- where the run is known to be wrong --------------------------------------------------------------


@pytest.mark.parametrize("test", ["ready and sync", "ready and not busy", "count % 4 == 0 and sync"])
def test_equal_guards_of_several_conditions_correlate(test):
    seen = trained(
        f"""
        for x in data:
            {BACK}
            if {test}:
                {CLIP}
            if {test}:
                optimizer.step()
                optimizer.zero_grad()
        """
    )
    assert seen.codes() == set()


@pytest.mark.parametrize("head", ["for x in data", "while more()"])
def test_a_break_skips_the_else_of_a_loop(head):
    seen = trained(
        f"""
        optimizer.zero_grad()
        {head}:
            {BACK}
            if bad:
                break
        else:
            {CLIP}
        optimizer.step()
        """
    )
    assert "CLP101" in seen.codes()


# -- options: the unusual paths ----------------------------------------------------------------------


def optional(test: str, default: str = "0.0"):
    return trained(
        FLAGS.format(default=default)
        + f"optimizer.zero_grad()\n{BACK}\nif {test}:\n    {CLIP}\noptimizer.step()\n"
    )


def bare_and_clipped(seen):
    """Whether the path without a clip, and the one with it, is off the defaults."""
    by_code = {path.code: path.unusual for path in seen.paths()}
    return by_code["CLP101"], by_code[""]


@pytest.mark.parametrize("test", ["args.clip", "args.clip > 0", "args.clip != 0", "0 < args.clip"])
def test_an_option_that_is_off_makes_the_clip_unusual(test):
    assert bare_and_clipped(optional(test)) == (False, True)


@pytest.mark.parametrize("test", ["args.clip", "args.clip > 0", "args.clip is not None"])
def test_an_option_that_is_on_makes_the_bare_step_unusual(test):
    assert bare_and_clipped(optional(test, default="1.0")) == (True, False)


def test_an_option_with_none_as_its_default():
    assert bare_and_clipped(optional("args.clip is not None", default="None")) == (False, True)


@pytest.mark.parametrize(("test", "bare"), [("not args.fast", True), ("args.fast", False)])
def test_a_flag(test, bare):
    assert bare_and_clipped(optional(test)) == (bare, not bare)


def test_an_option_copied_to_a_name_is_still_one():
    seen = trained(
        FLAGS.format(default="0.0")
        + f"limit = args.clip\noptimizer.zero_grad()\n{BACK}\nif limit > 0:\n    {CLIP}\noptimizer.step()\n"
    )
    assert bare_and_clipped(seen) == (False, True)


def test_a_test_that_knows_nothing_of_options_is_not_unusual():
    assert bare_and_clipped(optional("somewhere()")) == (False, False)


# -- what the paths carry ----------------------------------------------------------------------------


def test_a_path_knows_its_backward_and_its_clips():
    seen = trained(f"optimizer.zero_grad()\n{BACK}\n{CLIP}\noptimizer.step()\n")
    (path,) = seen.paths()
    assert path.gradients.phase is Phase.CLIPPED
    assert path.gradients.backward is not None
    assert [site.span.row - path.gradients.backward.span.row for site in path.gradients.clips] == [1]


def test_a_path_knows_its_guard():
    seen = trained(f"optimizer.zero_grad()\n{BACK}\nif epoch < 5:\n    {CLIP}\noptimizer.step()\n")
    guards = {(path.code, guard.key, guard.taken) for path in seen.paths() for guard in path.guards}
    assert guards == {("CLP101", "<module>:epoch < 5", False), ("", "<module>:epoch < 5", True)}


def test_a_clip_in_vain_is_known_at_the_step():
    seen = trained(f"optimizer.zero_grad()\n{CLIP}\n{BACK}\noptimizer.step()\n")
    (clip,) = seen.clips()
    assert {path.gradients.vain for path in seen.paths()} == {frozenset({clip.site})}


# -- bounds ------------------------------------------------------------------------------------------


def test_deep_nesting_gives_no_crash():
    nested = "".join(f"{'  ' * depth}if flag{depth}:\n" for depth in range(60)) + "  " * 60 + CLIP
    seen = trained(f"optimizer.zero_grad()\n{BACK}\n{nested}\noptimizer.step()\n")
    assert len(seen.steps()) == 1
    assert "CLP101" in seen.codes()


def test_a_chain_of_calls_deeper_than_is_followed_gives_no_crash():
    chain = "".join(f"def f{i}():\n    f{i + 1}()\n" for i in range(40))
    seen = trained(f"{chain}def f40():\n    optimizer.step()\n{BACK}\nf0()\n")
    assert len(seen.steps()) == 1


def test_many_independent_guards_are_bounded():
    guards = "".join(f"if flag{i}:\n    {BACK}\n    value{i} = 1\n" for i in range(12))
    seen = trained(f"{guards}optimizer.step()\n")
    assert len(seen.paths()) <= 64


def test_a_program_too_large_is_named_and_no_other(monkeypatch):
    monkeypatch.setattr(interpreter, "ENTRY_FUEL", 60)
    large = "\n".join(f"value{i} = {i}" for i in range(100))
    small = f"model = nn.LSTM(2, 2)\nopt = torch.optim.SGD(model.parameters(), 1.0)\n{BACK}\nopt.step()\n"
    seen = sightings(large=f"{large}\n{small}", small=small)
    assert seen.sightings.exhausted == ["/p/large.py"]
    assert [site.filename for site in seen.sightings.steps] == ["/p/small.py"]


def test_a_loop_whose_states_never_settle_ends():
    seen = trained(
        """
        for kind in data:
            if kind == "a":
                model(x)[0].sum().backward()
            elif kind == "b":
                clip_grad_norm_(model.parameters(), 1.0)
            elif kind == "c":
                optimizer.zero_grad()
            else:
                optimizer.step()
        """
    )
    assert len(seen.steps()) == 1
    assert {Phase.FRESH, Phase.CLIPPED, Phase.EMPTY} <= seen.phases()
