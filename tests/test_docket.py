"""What the docket says of steps and clips beside the verdicts, and the words that all judges share."""

from __future__ import annotations

import pytest
from judging import ADAM, BACKWARD, FILE, KNOWLEDGE, Risky, Scene, clipping, gradients, stepping

from clipcheck import faults
from clipcheck.config import Settings
from clipcheck.docket import Docket, JudgeContext
from clipcheck.findings import Evidence, Site, Span
from clipcheck.flow.records import Names, StepContext, Told
from clipcheck.flow.values import Literal, Unknown
from clipcheck.flow.worlds import Guard
from clipcheck.judges import judge, words
from clipcheck.knowledge import Clipping, Since
from clipcheck.pins import Pin

LOOP = """
    for x in data:
        loss(x).backward()
        clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        second.step()
"""
FRESH = gradients(*BACKWARD)
CLIPPED = gradients(*BACKWARD, "clip")


def docket(scene: Scene) -> Docket:
    return Docket.of(scene.sightings, scene.context())


# -- the docket --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scaler", "optimizer", "expected"),
    [
        ("scaler", "optimizer", "scaler.unscale_(optimizer)"),
        (None, "optimizer", ""),
        ("scaler", None, ""),
        (None, None, ""),
    ],
)
def test_unscale_call_needs_both_names(scaler, optimizer, expected):
    assert docket(Scene(LOOP)).unscale_call(scaler, optimizer) == expected


def test_of_scaled_gradients_the_call_that_unscales_is_named():
    scene = Scene(LOOP)
    scene.clip(gradients("zero_grad", "scaled_backward"), scaler="scaler", optimizer="optimizer")
    (verdict,) = judge(scene.sightings, scene.context())
    assert verdict.message.endswith("call `scaler.unscale_(optimizer)` first")


@pytest.mark.parametrize(
    ("test", "silent"),
    [
        ("train:step > warmup_steps", True),
        ("train:step > warm_up", True),
        ("train:config['grad_clip']", True),
        ("train:step > 5", False),
    ],
)
def test_a_clip_that_waits_for_a_warm_up_accuses_nobody(test, silent):
    scene = Scene(LOOP)
    ways = [Guard(test, frozenset({"step"}), taken) for taken in (True, False)]
    scene.step(stepping(CLIPPED, ways[0]), stepping(FRESH, ways[1]))
    assert (judge(scene.sightings, scene.context()) == []) is silent


def test_a_clip_too_late_misses_the_steps_before_it_and_one_too_early_those_that_bear_its_mark():
    scene = Scene(LOOP)
    first, second = scene.site(".step("), scene.site(".step(", 1)
    clip = scene.clip(gradients(*BACKWARD, "step", step=second))
    marked = scene.step(gradients(*BACKWARD, vain=frozenset({clip.site})))
    late = scene.step(FRESH, nth=1)
    assert (marked.site, late.site) == (first, second)
    assert docket(scene).vain == {clip.site: "CLP201"}
    assert docket(scene).steps_missed_by(clip) == [late]
    clip.contexts[0].paths.append(clipping(gradients("zero_grad"), clip.site))
    assert docket(scene).vain == {clip.site: "CLP202"}
    assert docket(scene).steps_missed_by(clip) == [marked]


@pytest.mark.parametrize("known", [True, False])
def test_what_a_clip_leaves_out_is_weighed_alone_where_it_is_known(known):
    part = Risky("low", (Evidence(FILE, 1, "made here"),) if known else ())
    whole = Risky("high")
    scene = Scene(LOOP)
    context = StepContext("main", ADAM, (Unknown("net"),), True, [], Names("optimizer", None))
    seen = JudgeContext(KNOWLEDGE, Settings(), lambda one: whole if one.models else part)  # type: ignore[arg-type]
    assert Docket(scene.sightings, seen).uncovered([context]) == (context, part if known else whole)


def test_models_are_weighed_with_the_file_that_the_program_starts_in():
    asked: list[StepContext] = []
    seen = JudgeContext(KNOWLEDGE, Settings(), lambda one: asked.append(one) or Risky("low"))  # type: ignore[arg-type,func-returns-value]
    assert Docket(Scene(LOOP).sightings, seen).of_models((ADAM,), "main.py") == Risky("low")
    (context,) = asked
    assert (context.models, context.entry) == ((ADAM,), "main.py")


# -- faults ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("train:(i + 1) % steps == 0", True),
        ("train:accumulation_done", True),
        ("accumulate:epoch > 2", False),  # the function around it is called so, not the test
        ("train:i + 1", False),
    ],
)
def test_a_test_for_the_last_micro_batch(test, expected):
    assert faults._accumulates(test, docket(Scene(LOOP))) is expected


@pytest.mark.parametrize(
    ("models", "certain", "expected"),
    [
        ((ADAM,), True, True),
        ((ADAM, Unknown("net")), True, False),
        ((), True, False),
        ((ADAM,), False, False),
    ],
)
def test_a_step_is_known_with_all_that_it_updates(models, certain, expected):
    context = StepContext("main", ADAM, models, certain, [], Names("optimizer", None))
    assert faults._is_known(context) is expected


@pytest.mark.parametrize("given", ["[]", "list([])", "tuple([])", "iter([])", "tuple(list(()))"])
def test_an_empty_list_by_any_name_is_empty(given):
    scene = Scene(f"clip({given})")
    (argument,) = scene.call("clip(").arguments
    assert faults._hollow(argument) == "an empty list"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("[p.data for p in ps]", "a list of copies without gradients"),
        ("[p.grad for p in ps]", "a list of gradients, which have none of their own: the clip wants the parameters"),
        ("net.state_dict().values()", "the values of a state_dict, which are copies without gradients"),
        ("sorted([])", ""),
        ("[p.weight for p in ps]", ""),
        ("[q.data for p in ps]", ""),
    ],
)  # fmt: skip
def test_what_holds_no_gradients_is_said(given, expected):
    (argument,) = Scene(f"clip({given})").call("clip(").arguments
    assert faults._hollow(argument) == expected


# -- words -------------------------------------------------------------------------------------------


def told(**changes: object) -> Told:
    scene = Scene("fit()")
    clip = changes.pop("clipping", Clipping(("clip_val",)))
    return Told(scene.site("fit"), scene.call("fit"), clip, **changes)  # type: ignore[arg-type]


def test_a_condition_lists_its_tests_without_the_scope_of_their_names():
    guards = [
        Guard("train:epoch < 5", frozenset(), taken=False),
        Guard("<module>:args.fast", frozenset(), taken=True),
        Guard("flag", frozenset(), taken=True),
        Guard("x[1:2] > 0", frozenset(), taken=True),
    ]
    assert (
        words.condition(guards)
        == "`args.fast` is true and `flag` is true and `epoch < 5` is false and `x[1:2] > 0` is true"
    )


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, ""),
        (Literal(None), ""),
        (Literal(True), ""),
        (Literal(0), ""),
        (Literal(-1.0), ""),
        (Literal("1.0"), ""),
        (Literal(0.5), "norm"),
        (Literal(2), "norm"),
    ],
)  # fmt: skip
def test_a_framework_clips_by_a_threshold_above_zero(value, kind):
    assert words.kind_told(told(value=value, argument="clip_val")) == kind


@pytest.mark.parametrize(
    ("default", "text"),
    [
        (True, "clipping is on by default from 2.0 on"),
        (False, "clipping is off by default up to 1.9"),
    ],
)
def test_a_default_of_a_version_is_said(default, text):
    clip = Clipping(("clip_val",), since=Since("engine", "1.9", "2.0", on_by_default=True))
    pin = Pin("/p/requirements.txt", 3, "engine==1")
    one = told(clipping=clip, default=default, pin=pin)
    (evidence,) = words._settings(one)
    assert evidence == Evidence("/p/requirements.txt", 3, f"engine==1 is asked for: {text}")
    assert words.told(one, docket(Scene(LOOP))) == f" (engine==1 in requirements.txt: {text})"


@pytest.mark.parametrize(
    ("default", "text"),
    [
        (False, "clipping is off by default from 2.0 on"),
        (True, "clipping is on by default up to 1.9"),
    ],
)
def test_a_default_that_was_switched_off_is_said(default, text):
    clip = Clipping(("clip_val",), since=Since("engine", "1.9", "2.0", on_by_default=False))
    assert words._default(told(clipping=clip, default=default)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "the settings that lack `clip_val`"),
        (Literal(0), "the settings that switch `clip_val` off"),
    ],
)
def test_settings_lack_the_argument_or_switch_it_off(value, text):
    one = told(value=value, source=("/p/ds.json", 4), display=Site(FILE, Span(9, 0, 9, 1)))
    assert words._settings(one) == [Evidence("/p/ds.json", 4, text)]
    assert words.told(one, docket(Scene(LOOP))) == "; set `clip_val` to 1.0 in ds.json"


def test_a_dict_of_settings_made_elsewhere_is_shown():
    display = Site(FILE, Span(9, 0, 9, 1))
    assert words._settings(told(display=display)) == [Evidence(FILE, 9, "the settings are made here")]
    here = told()
    here.display = here.site
    assert words._settings(here) == []


def test_what_is_told_is_named_by_its_class_where_the_call_does_not_say_it():
    scene = Scene("fit()")
    step = scene.step(FRESH, text="fit")
    assert words.teller(step) == "`fit()`"
    step.told = told()
    assert words.teller(step) == "`fit()`"
    step.told = told(name="Trainer")
    assert words.teller(step) == "the `Trainer` of `fit()`"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], ""),
        (["an LSTM"], "an LSTM"),
        (["an LSTM", "a GRU"], "an LSTM and a GRU"),
        (["an LSTM", "a GRU", "a Linear"], "an LSTM, a GRU and a Linear"),
    ],
)
def test_names_are_listed(names, expected):
    assert words.listed(names) == expected


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("f(a)", "`f(a)`"),
        (f"f({'a' * 45})", f"`f({'a' * 45})`"),
        (f"f({'a' * 46})", "`f(…)`"),
        (f"f(x={'a' * 46})", "`f(…)`"),
        (f"{'f' * 47}()", f"`{'f' * 47}()`"),
    ],
)
def test_a_long_call_is_quoted_without_its_arguments(call, expected):
    assert words.quoted(Scene(call).call(call[0])) == expected
