"""A little of the fuzzing at every run; `python tests/fuzz.py` goes on for as long as it is told to."""

from __future__ import annotations

from random import Random

import fixturelib
import fuzz
import pytest
from fuzzing import reference
from fuzzing.bytewise import Bytes
from fuzzing.judged import Judged
from fuzzing.making import programs
from fuzzing.mutants import Mutants
from fuzzing.mutating import CHANGES, changed, hints_of
from fuzzing.program import Act, Condition, If, Loop, Program, written
from hypothesis import HealthCheck, given, settings

from clipcheck import knowledge

FIXTURES = fixturelib.load()
STRIDE = 29  # fixtures apart


@pytest.fixture(autouse=True, scope="module")
def _knowledge_stays():
    """What the fuzzing loads once, for its speed, other tests load for themselves."""
    load = knowledge.load
    yield
    knowledge.load = load


@settings(
    max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
@given(programs())
def test_made_programs_are_judged_as_the_protocol_says(tmp_path_factory, program):
    Judged(tmp_path_factory.getbasetemp() / "made").check(program)


@pytest.mark.parametrize("number", range(0, len(FIXTURES), STRIDE), ids=lambda number: FIXTURES[number].slug)
def test_what_keeps_the_meaning_keeps_the_verdict(tmp_path, number):
    mutants = Mutants(tmp_path)
    for name in sorted(CHANGES):
        mutants.check(FIXTURES[number], [name], Random(f"{number}.{name}"))


def test_damaged_bytes_crash_nothing(tmp_path):
    inputs = Bytes(tmp_path / "project")
    for number in range(15):
        inputs.check(*inputs.pieces(Random(f"0.{number}")))


# -- the reference, by programs that a person can judge --------------------------------------------------

ZERO, BACK, CLIP, STEP = (lambda kind=kind: Act(kind, (0,)) for kind in ("zero", "backward", "clip", "step"))
EACH_TURN = "x1 == 3"
LAST = "i1 % 4 == 0"


def loop(*body):
    return [Loop("data", 1, list(body))]


def judged(body, **changes):
    program = Program(**{"models": 1, "joint": False, "layout": "module", "body": body, **changes})
    lines = written(program).splitlines()
    return [(lines[row - 1].strip().partition("(")[0], code) for row, code in reference.verdict(program)]


OPTIMIZER_STEP, CLIP_CALL = "opt_reader.step", "clip_grad_norm_"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(loop(ZERO(), BACK(), CLIP(), STEP()), [], id="clipped"),
        pytest.param(loop(ZERO(), STEP()), [], id="a step on nothing"),
        pytest.param(loop(ZERO(), BACK(), STEP()), [(OPTIMIZER_STEP, "CLP101")], id="bare"),
        pytest.param(loop(ZERO(), BACK(), STEP(), CLIP()), [(CLIP_CALL, "CLP201")], id="too late"),
        pytest.param(loop(ZERO(), CLIP(), BACK(), STEP()), [(CLIP_CALL, "CLP202")], id="too early"),
        pytest.param(
            loop(ZERO(), BACK(), If(Condition(EACH_TURN, fixed=False), [CLIP()]), STEP()),
            [(OPTIMIZER_STEP, "CLP101")],
            id="on one of two ways",
        ),
        pytest.param(
            loop(BACK(), CLIP(), If(Condition(LAST, fixed=False, accumulates=True), [STEP(), ZERO()])),
            [(CLIP_CALL, "CLP204")],
            id="every micro-batch",
        ),
        pytest.param(
            loop(ZERO(), Act("backward", (0,), scaled=True), CLIP(), Act("step", (0,), "scaler")),
            [(CLIP_CALL, "CLP203")],
            id="still scaled",
        ),
    ],
)
def test_the_reference_knows_the_plain_cases(body, expected):
    assert judged(body) == expected


def test_the_reference_knows_another_model():
    body = loop(ZERO(), BACK(), Act("clip", (1,)), STEP())
    assert judged(body, models=2) == [(CLIP_CALL, "CLP207")]


def test_the_reference_knows_a_part():
    body = loop(ZERO(), Act("backward", (0, 1)), CLIP(), STEP())
    assert judged(body, models=2, joint=True) == [(OPTIMIZER_STEP, "CLP103")]


def test_the_reference_shares_no_code_with_what_it_judges():
    text = fixturelib.ROOT.joinpath("tests", "fuzzing", "reference.py").read_text()
    text += fixturelib.ROOT.joinpath("tests", "fuzzing", "program.py").read_text()
    assert "import clipcheck" not in text
    assert "from clipcheck" not in text


# -- the changes, and the job ------------------------------------------------------------------------------

TEXT = """\
import torch
from torch import nn

model = nn.LSTM(4, 8)
optimizer = torch.optim.Adam(model.parameters())
count = 3
for batch in range(count):
    model(batch)[0].sum().backward()
    optimizer.step()  # here


def one(x):
    y = x
    return y


def two(x):
    return x
"""


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_every_change_changes_something_and_keeps_comments(name):
    texts = {changed(TEXT, [name], Random(number), alone=True) for number in range(4)}
    assert texts - {TEXT}
    assert all("step()  # here" in text for text in texts)


def test_hints_are_kept_by_renaming():
    text = changed(TEXT, ["rename"], Random(3), alone=True)
    assert text != TEXT
    new = next(line.partition(" = ")[0] for line in text.splitlines() if "optim.Adam" in line)
    assert hints_of(new) == hints_of("optimizer")


def test_the_job_ends_with_1_where_anything_is_wrong(monkeypatch, capsys):
    assert fuzz.main(["--minutes", "0.02", "--only", "bytes"]) == 0
    monkeypatch.setattr(Bytes, "check", lambda self, name, data: 1 / 0)
    assert fuzz.main(["--minutes", "0.02", "--only", "bytes"]) == 1
    printed = capsys.readouterr().out
    assert "ZeroDivisionError" in printed
    assert "byte inputs: " in printed
