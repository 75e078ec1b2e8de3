"""What the docket says of steps and clips beside the verdicts, and the words that all judges share."""

from __future__ import annotations

from math import inf

import pytest
from judging import ADAM, BACKWARD, FILE, KNOWLEDGE, ON, Risky, Scene, clipping, gradients, stepping

from clipcheck import faults, naming
from clipcheck.config import Settings
from clipcheck.docket import Docket, Fault, JudgeContext, owned
from clipcheck.findings import Evidence, Site, Span
from clipcheck.flow.records import Names, Owned, StepContext, Told
from clipcheck.flow.values import Literal, Unknown
from clipcheck.flow.worlds import Guard
from clipcheck.judges import clp204, clp207, clp210, clp301, clp302, clp304, judge, words
from clipcheck.knowledge import Clipping, Since
from clipcheck.pins import Pin
from clipcheck.record import replace

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


@pytest.mark.parametrize(
    ("code", "marks", "answered"),
    [
        ("CLP204", (), True),
        ("CLP205", (), True),
        ("CLP207", (), False),
        ("CLP207", ("foreign",), True),
        ("CLP207", ("unused",), False),
        ("CLP210", (), False),
        ("CLP210", ("unused",), True),
        ("CLP210", ("foreign",), False),
    ],
)
def test_a_finding_at_a_clip_answers_for_the_step_that_it_was_for(code, marks, answered):
    scene = Scene(LOOP)
    clip = scene.clip(FRESH)
    step = scene.step(gradients(*BACKWARD, **dict.fromkeys(marks, frozenset({clip.site}))))
    for steps in ((step.site,), ()):
        seen = docket(scene).with_faults({}, {clip.site: Fault(code, steps)})
        assert (seen.accused(step) == []) is (answered and bool(steps))


@pytest.mark.parametrize(
    ("owners", "expected"),
    [
        ([], None),
        ([None], None),
        (["CLP208"], "CLP208"),
        (["CLP208", "CLP208"], "CLP208"),
        (["CLP208", None], None),
        (["CLP208", "CLP209"], None),
    ],
)
def test_a_clip_is_the_framework_s_where_it_is_so_in_every_context(owners, expected):
    scene = Scene(LOOP)
    for owner in owners:
        scene.clip(FRESH).contexts[-1].owned = owner and Owned(owner, "clips twice")
    clip = scene.clip(FRESH) if not owners else next(iter(scene.sightings.clips.values()))
    found = owned(clip)
    assert (found and found.code) == expected


@pytest.mark.parametrize(
    ("events", "kind", "marks", "outcome"),
    [
        pytest.param((), "norm", {}, "clipped", id="clipped, whatever came before"),
        pytest.param((), "hand-written", {}, "unknown", id="by what may be no clip"),
        pytest.param(("backward",), "norm", {}, "unknown", id="before what made them"),
        pytest.param((), "norm", {"code": "CLP101"}, "unknown", id="to no avail"),
    ],
)
def test_gradients_of_which_something_is_unsure_are_clipped_where_a_clip_is_sure(
    events, kind, marks, outcome
):
    scene = Scene(LOOP)
    clip = scene.clip(FRESH, kind=kind)
    state = gradients(*BACKWARD, "clip", *events, clips=frozenset({clip.site}), unsure="may be clipped")
    scene.step(replace(stepping(state), **{"code": "", **marks}), label="in one way")
    step = scene.step(CLIPPED, label="in another")
    assert docket(scene).outcome(step) == outcome


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


# -- what verdicts on clips say -----------------------------------------------------------------------


def test_a_clip_of_nothing_names_the_step_that_it_comes_too_early_for():
    scene = Scene(LOOP)
    clip = scene.clip(gradients("zero_grad"))
    (verdict,) = judge(scene.sightings, scene.context())
    assert verdict.message.endswith(
        "has no gradients to clip: zero_grad has emptied them; clip between the backward and the step"
    )
    scene.step(gradients(*BACKWARD, vain=frozenset({clip.site})))
    (verdict,) = judge(scene.sightings, scene.context())
    assert verdict.message.endswith(
        "has no gradients to clip: it comes before the backward; clip between the backward and `optimizer.step()`"
    )
    assert verdict.evidence[0] == Evidence(FILE, 4, "this step uses the gradients unclipped")


def test_a_clip_too_late_says_which_step_has_used_the_gradients():
    scene = Scene(LOOP)
    step = scene.step(FRESH)
    clip = scene.clip(gradients(*BACKWARD, "step", step=step.site))
    said = [one.message for one in judge(scene.sightings, scene.context()) if one.code == "CLP201"]
    assert said == [
        "`clip_grad_norm_(parameters, 1.0)` clips gradients that `optimizer.step()` has used already; clip before it"
    ]
    clip.told = told()
    said = [one.message for one in judge(scene.sightings, scene.context()) if one.code == "CLP201"]
    assert said == [
        (
            "`clip_grad_norm_(parameters, 1.0)` comes after what makes the update in its chain, and clips that, not the "
            "gradient; put it first"
        )
    ]


def test_a_clip_of_partial_sums_says_where_the_sum_is_complete():
    scene = Scene(LOOP)
    clip = scene.clip(FRESH)
    cut = gradients(*BACKWARD, "clip", clips=frozenset({clip.site}), partial=frozenset({clip.site}))
    scene.step(stepping(cut, Guard("train:i % 4 == 0", frozenset({"i"}), taken=True)))
    seen = faults.docket_of(scene.sightings, scene.context())
    assert clp204.judge(clip, seen).message.endswith("clip the complete sum, right before `optimizer.step()`")
    clip.told = told()
    assert clp204.judge(clip, seen).message.endswith("clip the complete sum, inside of what sums them up")


@pytest.mark.parametrize(
    ("code", "kind", "harm"),
    [
        (
            "CLP301",
            "value",
            "cuts every element by itself (`clip_val`) and so changes the direction of the gradient; use `clip_norm`",
        ),
        (
            "CLP304",
            "tensor-norm",
            (
                "bounds the norm of one tensor at a time (`clip_val`), which changes the direction of the whole gradient; use "
                "`clip_norm`"
            ),
        ),
    ],
)
def test_a_framework_that_is_told_to_clip_otherwise(code, kind, harm):
    scene = Scene("fit()")
    step = scene.step(CLIPPED, text="fit")
    clip = Clipping(("clip_norm", "clip_val"), kinds=(("clip_val", kind),))
    step.told = told(clipping=clip, argument="clip_val", value=Literal(1.0))
    found = {one.code: one.message for one in judge(scene.sightings, scene.context())}
    assert found == {code: f"`fit()` {harm}"}
    step.told = told(clipping=clip, argument="clip_norm", value=Literal(1.0))
    assert judge(scene.sightings, scene.context()) == []


def test_by_value_is_said_of_a_clip():
    scene = Scene(LOOP)
    scene.clip(FRESH, kind="value")
    (verdict,) = judge(scene.sightings, scene.context())
    assert verdict.message == (
        "`clip_grad_norm_(parameters, 1.0)` cuts every element by itself and so changes the direction of the gradient; "
        "clip its norm"
    )


@pytest.mark.parametrize(("kind", "code"), [("value", "CLP301"), ("tensor-norm", "CLP304")])
@pytest.mark.parametrize("function", ["clip_by", "ClipBy", "train", ""])
def test_a_helper_for_clipping_offers_every_kind(kind, code, function):
    scene = Scene(LOOP)
    scene.clip(FRESH, kind=kind).function = function
    found = [one.code for one in judge(scene.sightings, scene.context())]
    assert found == ([] if "clip" in function.lower() else [code])


@pytest.mark.parametrize(("kind", "rule"), [("value", clp301), ("tensor-norm", clp304), ("norm", clp302)])
@pytest.mark.parametrize("reached", [True, False])
def test_gradients_that_are_values_are_clipped_where_a_step_uses_them(kind, rule, reached):
    scene = Scene(LOOP)
    clip = scene.clip(FRESH, kind=kind, threshold=0.0)
    clip.maker = "maker"
    scene.step(gradients(*BACKWARD, "clip", clips=frozenset({clip.site} if reached else ())))
    assert (rule.judge(clip, docket(scene)) is not None) is reached


@pytest.mark.parametrize(
    ("value", "zero_acts", "harm"),
    [
        (Literal(0.0), False, ""),
        (Literal(0.0), True, "0.0, which sets every gradient to zero"),
        (Literal(-1.0), False, ""),
        (Literal(-1.0), True, "-1.0, which reverses the gradient"),
        (Literal(1e4), False, "10000.0, which never acts"),
        (Literal(9999.0), False, ""),
        (Literal(1e-4), False, ""),
        (Literal(9e-5), False, "9e-05, which stops the learning"),
        (Literal(True), True, ""),
        (Literal("0"), True, ""),
        (Literal(inf), False, ""),
        (None, True, ""),
    ],
)  # fmt: skip
def test_the_threshold_that_a_framework_is_told(value, zero_acts, harm):
    scene = Scene("fit()")
    step = scene.step(CLIPPED, text="fit")
    assert clp302.of_trainer(step, docket(scene)) is None
    step.told = told(value=value, clipping=Clipping(("clip_val",), zero_acts=zero_acts))
    verdict = clp302.of_trainer(step, docket(scene))
    assert (verdict.message if verdict else "") == (
        harm and f"`fit()` has a threshold of {harm}; start at 1.0"
    )
    if verdict is not None:
        assert Evidence("/project/models.py", 12, "LSTM made here") in verdict.evidence


def test_a_threshold_under_an_option_leaves_that_of_the_other_contexts():
    scene = Scene(LOOP)
    guarded = clipping(FRESH, scene.site("clip_grad"), replace(ON, taken=True))
    clip = scene.clip(guarded, threshold=0.0)
    assert clp302.judge(clip, docket(scene)) is None
    scene.clip(FRESH, threshold=0.0)
    assert clp302.judge(clip, docket(scene)).message.endswith("sets every gradient to zero; start at 1.0")


@pytest.mark.parametrize("kind", ["norm", "tensor-norm", "value"])
@pytest.mark.parametrize("unknown", [None, True, "1e9"])
def test_a_threshold_that_is_no_number_leaves_that_of_the_other_contexts(kind, unknown):
    scene = Scene(LOOP)
    clip = scene.clip(FRESH, kind=kind, threshold=None if unknown is None else Literal(unknown))
    assert clp302.judge(clip, docket(scene)) is None
    scene.clip(FRESH, kind=kind, threshold=0.0)
    assert clp302.judge(clip, docket(scene)).message.endswith("sets every gradient to zero; start at 1.0")


ON_BY_DEFAULT = "`fit()` switches off the clipping that is on by default (`clip_val`)"


@pytest.mark.parametrize(
    ("value", "on", "none", "code", "message"),
    [
        (None, False, "", "CLP104", "`fit()` clips only when told, and is not told to"),
        (Literal(0), False, "", "CLP104", "`fit()` clips only when told, and has its `clip_val` switched off"),
        (None, True, "leaves it", "CLP105", ON_BY_DEFAULT),
        (Literal(0), True, "leaves it", "CLP105", ON_BY_DEFAULT),
        (Literal(None), True, "", "CLP105", ON_BY_DEFAULT),
        (Literal(None), True, "leaves it", "CLP105", f"{ON_BY_DEFAULT}; None leaves it"),
    ],
)  # fmt: skip
def test_a_framework_that_is_not_told_to_clip_or_told_not_to(value, on, none, code, message):
    scene = Scene("fit()")
    step = scene.step(FRESH, text="fit")
    step.told = told(value=value, clipping=Clipping(("clip_val",), on_by_default=on, none=none))
    found = {one.code: one.message for one in judge(scene.sightings, scene.context())}
    assert found == {code: f"{message}; it trains an LSTM"}


@pytest.mark.parametrize(
    ("threshold", "harm"),
    [
        (-1.0, "is refused with an error"),
        (0.0, "sets every gradient to zero"),
        (1e-6, "stops the learning"),
        (0.5, ""),
    ],
)
def test_a_function_may_refuse_what_is_below_zero(threshold, harm):
    scene = Scene("clip_grad_norm(grads, 0)\noptimizer.step()")
    clip = scene.clip(FRESH, threshold=threshold)
    clip.maker = KNOWLEDGE.calls["mlx.optimizers.clip_grad_norm"].framework
    scene.step(gradients(*BACKWARD, "clip", clips=frozenset({clip.site})))
    verdict = clp302.judge(clip, docket(scene))
    assert (verdict.message if verdict else "") == (
        harm and f"`clip_grad_norm(grads, 0)` has a threshold of {threshold!r}, which {harm}; start at 1.0"
    )


def test_a_clip_whose_result_nobody_uses_is_shown_with_the_step_and_where_a_framework_takes_it():
    scene = Scene(LOOP)
    clip = scene.clip(FRESH)
    step = scene.step(FRESH)
    seen = replace(docket(scene), faults={clip.site: Fault("CLP210", (step.site,))})
    assert clp210.judge(clip, seen).evidence[0].row == step.site.span.row
    step.told = told(fitted=[Site(FILE, Span(20, 0, 20, 1)), Site(FILE, Span(30, 0, 30, 1))])
    assert [one.row for one in clp210.judge(clip, seen).evidence[:2]] == [20, 30]


def test_of_two_steps_neither_is_named():
    scene = Scene(LOOP)
    clip = scene.clip(gradients(*BACKWARD, "step", step=scene.site(".step(")))
    for nth in (0, 1):
        scene.step(gradients(*BACKWARD, vain=frozenset({clip.site})), nth=nth)
    steps = tuple(scene.sightings.steps)
    assert [site.span.row for site in steps] == [4, 5]
    for code, rule, words_of_it in (
        ("CLP204", clp204, "clip the complete sum, right before the step"),
        ("CLP207", clp207, "clips another model, which the step does not update; clip `model.parameters()`"),
    ):
        seen = docket(scene).with_faults({}, {clip.site: Fault(code, steps)})
        assert rule.judge(clip, seen).message.endswith(words_of_it)
        assert rule.judge(clip, replace(seen, faults={})) is None


@pytest.mark.parametrize(
    ("parameters", "wanted"),
    [
        (["net.parameters()"], "`optimizer.step()` does not update; clip `net.parameters()`"),
        ([None], "`optimizer.step()` does not update; clip what it updates"),
        (["a.parameters()", "b.parameters()"], "`optimizer.step()` does not update; clip what it updates"),
    ],
)
def test_a_clip_of_another_model_says_what_to_clip(parameters, wanted):
    scene = Scene(LOOP)
    clip = scene.clip(FRESH)
    for label, text in enumerate(parameters):
        scene.step(FRESH, parameters=text, label=str(label))
    seen = replace(docket(scene), faults={clip.site: Fault("CLP207", tuple(scene.sightings.steps))})
    assert clp207.judge(clip, seen).message.endswith(wanted)


def test_scaled_gradients_whose_scaler_has_no_name():
    scene = Scene(LOOP)
    scene.clip(gradients("zero_grad", "scaled_backward"))
    (verdict,) = judge(scene.sightings, scene.context())
    assert verdict.message.endswith("its threshold is too small by that factor; unscale them first")


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
    assert naming.listed(names) == expected


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
