from __future__ import annotations

from math import inf

import pytest
from judging import BACKWARD, OFF, ON, SCALED, Scene, clipping, gradients, stepping

from clipcheck.flow.values import Literal, Option, Unknown
from clipcheck.flow.worlds import Guard
from clipcheck.judges import CODES, Docket, judge, sight

LOOP = """
    import torch

    for x in data:
        optimizer.zero_grad()
        model(x).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        torch.nn.utils.clip_grad_value_(model.parameters(), 1.0)
"""
FRESH = gradients(*BACKWARD)
CLIPPED = gradients(*BACKWARD, "clip")
SPENT = gradients(*BACKWARD, "step")
EARLY = Guard("train:epoch < 5", frozenset({"epoch"}), taken=True)
LATE = Guard("train:epoch < 5", frozenset({"epoch"}), taken=False)
FAST = Guard("args.fast", frozenset({"args"}), taken=True, usual=False)
SLOW = Guard("args.fast", frozenset({"args"}), taken=False, usual=False)

NO = Guard("<module>:config['grad_clip'] > 0", frozenset({"config"}), taken=False)
YES = Guard("<module>:config['grad_clip'] > 0", frozenset({"config"}), taken=True)


def codes(scene, risk="high", **settings):
    return [verdict.code for verdict in judge(scene.sightings, scene.context(risk, **settings))]


def outcome(scene, risk="high"):
    counts = sight(scene.sightings, scene.context(risk))
    assert counts.clipped + counts.low_risk + counts.reported + counts.unknown == counts.steps
    return next(name for name in ("clipped", "low_risk", "reported", "unknown") if getattr(counts, name))


# -- steps: what stays silent ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        pytest.param([CLIPPED], "clipped", id="clipped"),
        pytest.param([gradients(*BACKWARD, unsure="helper()")], "unknown", id="unsure"),
        pytest.param([gradients(*BACKWARD, maybe=True)], "unknown", id="maybe refreshed"),
        pytest.param([gradients("zero_grad")], "unknown", id="no backward seen"),
        pytest.param([SPENT], "unknown", id="spent"),
        pytest.param(
            [stepping(CLIPPED, SLOW), stepping(FRESH, FAST)], "clipped", id="bare only with an option"
        ),
        pytest.param(
            [stepping(CLIPPED, FAST), stepping(FRESH, FAST, ON)],
            "clipped",
            id="bare only with a further option",
        ),
        pytest.param([CLIPPED, gradients(*BACKWARD, unsure="helper()")], "clipped", id="clipped or unsure"),
        pytest.param([stepping(FRESH, NO), stepping(CLIPPED, YES)], "clipped", id="an option nobody knows"),
    ],
)
def test_step_silent(paths, expected):
    scene = Scene(LOOP)
    scene.step(*paths)
    assert codes(scene) == []
    assert outcome(scene) == expected


@pytest.mark.parametrize("risk", ["none", "low"])
def test_step_below_the_risk_asked_for(risk):
    scene = Scene(LOOP)
    scene.step(FRESH)
    assert codes(scene, risk) == []
    assert outcome(scene, risk) == "low_risk"
    assert codes(scene, risk, min_risk=risk) == ["CLP101"]


def test_test_around_a_clip_of_a_library():
    scene = Scene(LOOP)
    clip = scene.clip(FRESH, kind="library")
    clipped = gradients(*BACKWARD, "clip", clips=frozenset({clip.site}))
    scene.step(stepping(FRESH, LATE), stepping(clipped, EARLY))
    assert codes(scene) == []


def test_option_off_below_the_risk_asked_for():
    scene = Scene(LOOP)
    scene.step(stepping(FRESH, OFF), stepping(CLIPPED, ON))
    assert codes(scene, "low") == []


# -- steps: what is reported -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        pytest.param([FRESH], "CLP101", id="fresh"),
        pytest.param([gradients()], "CLP101", id="entry"),
        pytest.param([gradients(*SCALED)], "CLP101", id="scaled"),
        pytest.param([stepping(FRESH, LATE), stepping(CLIPPED, EARLY)], "CLP101", id="a branch without"),
        pytest.param([stepping(FRESH, FAST)], "CLP101", id="no usual path"),
        pytest.param(
            [stepping(FRESH, FAST), stepping(CLIPPED, ON)], "CLP101", id="bare and clipped, both unusual"
        ),
        pytest.param([stepping(FRESH, OFF), stepping(CLIPPED, ON)], "CLP102", id="option off"),
        pytest.param(
            [stepping(FRESH, FAST, OFF), stepping(CLIPPED, FAST, ON)],
            "CLP102",
            id="option off behind another",
        ),
    ],
)
def test_step_reported(paths, expected):
    scene = Scene(LOOP)
    scene.step(*paths)
    assert codes(scene) == [expected]
    assert outcome(scene) == "reported"


def test_step_message_and_evidence():
    scene = Scene(LOOP)
    scene.step(stepping(FRESH, LATE), stepping(CLIPPED, EARLY))
    (verdict,) = judge(scene.sightings, scene.context())
    assert verdict.message == (
        "`optimizer.step()` uses gradients that nothing has clipped where `epoch < 5` is false; "
        "it trains an LSTM"
    )
    assert [one.message for one in verdict.evidence] == [
        "LSTM made here",
        "Adam made here",
        "its gradients come from this backward",
        "clipped here, but not on every way to the step",
    ]


def test_option_off_names_the_option_and_its_default():
    scene = Scene(LOOP)
    behind = clipping(FRESH, scene.site("clip_grad_norm_"), ON)
    clip = scene.clip(behind, threshold=Option("clip", Literal(0.0), ("/project/options.py", 7)))
    scene.step(stepping(FRESH, OFF), stepping(gradients(*BACKWARD, "clip", clips=frozenset({clip.site})), ON))
    (verdict,) = judge(scene.sightings, scene.context())
    assert "nothing has clipped where `args.clip > 0` is false, which is the default" in verdict.message
    assert ("/project/options.py", 7) in {(one.filename, one.row) for one in verdict.evidence}


def test_bare_in_one_context_whatever_the_options():
    scene = Scene(LOOP)
    scene.step(stepping(FRESH, OFF), stepping(CLIPPED, ON), label="a")
    scene.step(FRESH, label="b")
    assert codes(scene) == ["CLP101"]


# -- one cause, one finding --------------------------------------------------------------------------


def test_late_clip_speaks_for_its_step():
    scene = Scene(LOOP)
    step = scene.step(FRESH)
    scene.clip(gradients(*BACKWARD, "step", step=step.site))
    (verdict,) = judge(scene.sightings, scene.context())
    assert (verdict.code, verdict.risk) == ("CLP201", "high")
    assert verdict.evidence[0].row == step.site.span.row
    assert outcome(scene) == "reported"


def test_early_clip_speaks_for_its_step():
    scene = Scene(LOOP)
    clip = scene.clip(gradients("zero_grad"))
    scene.step(FRESH, gradients(*BACKWARD, vain=frozenset({clip.site})))
    assert codes(scene) == ["CLP202"]


def test_late_clip_does_not_speak_for_the_step_of_a_later_loop():
    scene = Scene(LOOP)
    clip = scene.clip(gradients(*BACKWARD, "step"))
    scene.step(FRESH, gradients(*BACKWARD, vain=frozenset({clip.site})))
    assert codes(scene) == ["CLP201", "CLP101"]


def test_clip_one_by_one_speaks_for_its_step():
    scene = Scene(LOOP)
    clip = scene.clip(FRESH, per_parameter=True)
    scene.step(FRESH, gradients(*BACKWARD, "clip", clips=frozenset({clip.site})))
    assert codes(scene) == ["CLP206"]


@pytest.mark.parametrize(
    ("state", "options"),
    [
        pytest.param(gradients(*SCALED), {}, id="scaled"),
        pytest.param(FRESH, {"per_parameter": True}, id="one by one"),
    ],
)
def test_step_behind_a_clip_reported_for_what_it_does_counts_as_reported(state, options):
    scene = Scene(LOOP)
    clip = scene.clip(state, **options)
    scene.step(gradients(*BACKWARD, "clip", clips=frozenset({clip.site})))
    assert len(codes(scene)) == 1
    assert outcome(scene) == "reported"


def test_clip_of_scaled_gradients_does_not_speak_for_a_way_past_it():
    scene = Scene(LOOP)
    clip = scene.clip(gradients(*SCALED))
    clipped = gradients(*BACKWARD, "clip", clips=frozenset({clip.site}))
    scene.step(stepping(gradients(*SCALED), LATE), stepping(clipped, EARLY))
    assert codes(scene) == ["CLP203", "CLP101"]


@pytest.mark.parametrize("options", [{}, {"per_parameter": True}], ids=["scaled", "one by one"])
def test_clip_reported_for_what_it_does_does_not_speak_for_other_callers(options):
    scene = Scene(LOOP)
    clip = scene.clip(gradients(*SCALED), **options)
    scene.step(gradients(*BACKWARD, "clip", clips=frozenset({clip.site})), label="one")
    scene.step(FRESH, label="two")
    assert codes(scene)[-1] == "CLP101"


def test_clip_that_works_elsewhere_does_not_speak_for_a_step():
    scene = Scene(LOOP)
    clip = scene.clip(gradients("zero_grad"), FRESH)
    scene.step(gradients(*BACKWARD, vain=frozenset({clip.site})))
    assert codes(scene) == ["CLP101"]


# -- clips: what stays silent ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "options"),
    [
        pytest.param([FRESH], {}, id="in place"),
        pytest.param([gradients()], {}, id="entry"),
        pytest.param([SPENT, FRESH], {}, id="late on one path only"),
        pytest.param([SPENT], {"kind": "hand-written"}, id="by hand, late"),
        pytest.param([SPENT], {"kind": "measure"}, id="a measurement, late"),
        pytest.param([gradients("zero_grad", unsure="helper()")], {}, id="unsure"),
        pytest.param([gradients("zero_grad", maybe=True)], {}, id="maybe refreshed"),
        pytest.param([gradients(*SCALED)], {"scaled_threshold": True}, id="threshold times the scale"),
        pytest.param([gradients(*SCALED), FRESH], {}, id="scaled on one path only"),
        pytest.param([gradients(*SCALED, unsure="helper()")], {}, id="maybe unscaled"),
        pytest.param([gradients(*SCALED, "unscale")], {}, id="unscaled"),
        pytest.param([FRESH], {"threshold": None}, id="no threshold known"),
        pytest.param([FRESH], {"threshold": Unknown("config")}, id="unknown threshold"),
        pytest.param([FRESH], {"threshold": Literal(None)}, id="None"),
        pytest.param([FRESH], {"threshold": Literal(True)}, id="a flag"),
        pytest.param([FRESH], {"threshold": 400}, id="large but used"),
        pytest.param([FRESH], {"threshold": 1e-4}, id="small but used"),
        pytest.param([FRESH], {"threshold": inf, "result_used": True}, id="measured"),
        pytest.param(
            [FRESH], {"kind": "value", "per_parameter": True}, id="values, one by one: CLP301 alone"
        ),
        pytest.param([FRESH], {"kind": "hand-written", "threshold": 0.0}, id="by hand"),
    ],
)
def test_clip_silent(states, options):
    scene = Scene(LOOP)
    scene.clip(*states, **options)
    assert [code for code in codes(scene) if code != "CLP301"] == []


@pytest.mark.parametrize(
    ("function", "expected"),
    [("clip_gradients", []), ("_doClip", []), ("", ["CLP301"]), ("train", ["CLP301"])],
)
def test_value_clipping_in_a_helper_for_clipping_stays_silent(function, expected):
    scene = Scene(LOOP)
    scene.clip(FRESH, kind="value").function = function
    assert codes(scene) == expected


def test_guarded_scale_and_guarded_zero_stay_silent():
    scene = Scene(LOOP)
    site = scene.site("clip_grad_norm_")
    scene.clip(clipping(gradients(*SCALED), site, FAST), clipping(FRESH, site, SLOW))
    scene.clip(clipping(FRESH, site, ON), threshold=Option("clip", Literal(0.0), ("options.py", 1)))
    assert codes(scene) == []


# -- clips: what is reported -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "options", "expected"),
    [
        pytest.param([SPENT], {}, "CLP201", id="late"),
        pytest.param([gradients("zero_grad")], {}, "CLP202", id="empty"),
        pytest.param([SPENT, gradients("zero_grad")], {}, "CLP201", id="late, or nothing came before"),
        pytest.param([gradients(*SCALED)], {}, "CLP203", id="scaled"),
        pytest.param([FRESH], {"per_parameter": True}, "CLP206", id="one by one"),
        pytest.param([FRESH], {"kind": "value"}, "CLP301", id="value"),
        pytest.param([FRESH], {"threshold": 0}, "CLP302", id="zero"),
        pytest.param([FRESH], {"threshold": -1.0}, "CLP302", id="negative"),
        pytest.param([FRESH], {"threshold": 1e4}, "CLP302", id="huge"),
        pytest.param([FRESH], {"threshold": inf}, "CLP302", id="infinite"),
        pytest.param([FRESH], {"threshold": 1e-6}, "CLP302", id="tiny"),
        pytest.param(
            [FRESH], {"threshold": Option("clip", Literal(1e-6), ("o.py", 1))}, "CLP302", id="option"
        ),
        pytest.param([FRESH], {"replaced_by": "clip_grad_norm_"}, "CLP303", id="old name"),
    ],
)
def test_clip_reported(states, options, expected):
    scene = Scene(LOOP)
    scene.clip(*states, **options)
    (verdict,) = judge(scene.sightings, scene.context())
    assert (verdict.code, verdict.risk) == (expected, "low")


@pytest.mark.parametrize(
    ("threshold", "said"),
    [(1e9, "1e9"), (123456789.0, "123456789.0"), (1e4, "10000.0"), (0, "0"), (1e-6, "1e-06")],
)
def test_a_threshold_is_said_as_people_write_it(threshold, said):
    scene = Scene(LOOP)
    scene.clip(FRESH, threshold=threshold)
    (verdict,) = judge(scene.sightings, scene.context())
    assert f" a threshold of {said}, which " in verdict.message


def test_rules_on_one_clip_may_coexist():
    scene = Scene(LOOP)
    scene.clip(SPENT, kind="value", threshold=0)
    assert codes(scene) == ["CLP201", "CLP301", "CLP302"]


def test_every_rule_has_a_judge():
    assert sorted(CODES) == [
        "CLP101", "CLP102", "CLP103", "CLP104", "CLP105", "CLP201", "CLP202", "CLP203", "CLP204", "CLP205", "CLP206",
        "CLP207", "CLP208", "CLP209", "CLP210", "CLP301", "CLP302", "CLP303", "CLP304",
    ]  # fmt: skip


def test_docket_knows_the_vain_clips():
    scene = Scene(LOOP)
    clip = scene.clip(SPENT)
    assert Docket.of(scene.sightings, scene.context()).vain == {clip.site: "CLP201"}
