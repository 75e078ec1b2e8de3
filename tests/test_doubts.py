"""Why a step has no fix, or none that is safe, in the words that `--explain` shows."""

from __future__ import annotations

import pytest
from judging import BACKWARD, LBFGS, SCALED, Scene, gradients, stepping

from clipcheck import chained, moves, rebind, repair, tell
from clipcheck.docket import Docket
from clipcheck.findings import Span
from clipcheck.flow.records import Told
from clipcheck.flow.values import Literal, Unknown
from clipcheck.flow.worlds import Guard
from clipcheck.knowledge import Clipping
from clipcheck.record import replace

SOURCE = """
    for x in data:
        loss(x).backward()
        optimizer.step()
"""
FRESH = gradients(*BACKWARD)
ADDED = gradients("backward")
NOT_IN_SIGHT = "where its gradients come from is not in sight on every way to it"
TOUCHED = "on some way to the step, code that is not known may have touched the gradients"
TWICE = "its gradients carry the loss scale on some ways only, and unscaling twice is an error"
NAMELESS = "neither the model nor the optimizer has one name at the step that all callers agree on"


def docket(scene: Scene) -> Docket:
    return Docket.of(scene.sightings, scene.context())


@pytest.mark.parametrize(
    ("states", "options", "expected"),
    [
        ([FRESH], {}, ""),
        ([gradients(*SCALED)], {"scaler": "scaler"}, ""),
        ([FRESH], {"parameters": None}, ""),
        ([FRESH], {"parameters": None, "optimizer": None}, NAMELESS),
        ([FRESH], {"has_closure": True}, "its closure offers no single place for the clip"),
        ([FRESH], {"has_closure": True, "closure": Span(2, 4, 2, 22)}, ""),
        ([gradients(*SCALED)], {}, TWICE),
        ([gradients(*SCALED), FRESH], {"scaler": "scaler"}, TWICE),
        ([FRESH], {"certain": False}, "it is not certain which parameters the optimizer updates"),
        (
            [FRESH],
            {"parameters": None, "made": Unknown("optimizer")},
            "it is not certain which parameters the optimizer updates",
        ),
        ([FRESH], {"made": LBFGS}, "its line search would see a vector that is not the gradient"),
        ([gradients()], {}, NOT_IN_SIGHT),
        ([FRESH, gradients(*BACKWARD, backward=None)], {}, NOT_IN_SIGHT),
        ([FRESH, gradients(*BACKWARD, unsure="helper()")], {}, TOUCHED),
        ([FRESH, gradients(*BACKWARD, maybe=True)], {}, TOUCHED),
        ([FRESH, gradients(*BACKWARD, covered=frozenset({"a"}))], {}, TOUCHED),
        ([FRESH, ADDED], {}, ""),
        ([FRESH, gradients(*BACKWARD, "clip")], {}, "other ways to the step clip already, and would clip twice"),
    ],
)  # fmt: skip
def test_the_fix_of_a_step_is_safe_or_it_is_said_why_not(states, options, expected):
    scene = Scene(SOURCE)
    step = scene.step(*states, **options)
    seen = docket(scene)
    assert repair.doubts(step, seen) == expected
    written = repair.of_step("CLP101", step, seen)
    assert (written is not None and written.applicability == "safe") is (not expected)


def told(scene: Scene, clip: Clipping | None = None, **changes: object) -> Told:
    return Told(scene.site("fit"), scene.call("fit"), clip or Clipping(("clip_val",)), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("clip", "changes", "expected"),
    [
        (None, {}, ""),
        (None, {"indirect": True}, "its arguments come from elsewhere"),
        (None, {"indirect": True, "doubt": "a doubt"}, "its arguments come from elsewhere"),
        (None, {"obstacle": "an obstacle", "doubt": "a doubt"}, "an obstacle"),
        (None, {"doubt": "a doubt"}, "a doubt"),
        (None, {"value": Literal(0)}, "it was switched off on purpose"),
        (Clipping(()), {}, "the framework has no place for a clip there"),
        (Clipping((), hook="clip()"), {}, ""),
    ],
)
def test_what_is_told_is_told_safely_or_it_is_said_why_not(clip, changes, expected):
    scene = Scene("fit(clip_val=0)")
    step = scene.step(FRESH, text="fit")
    step.told = told(scene, clip, **changes)
    assert repair.doubts(step, docket(scene)) == tell.doubts(step.told) == expected


def test_an_argument_is_set_safely_unless_there_is_a_doubt():
    scene = Scene("fit(clip_val=0)")
    step = scene.step(FRESH, text="fit")
    step.told = told(scene)
    found = repair.of_step("CLP104", step, docket(scene))
    assert (found.applicability, found.message) == ("safe", "set `clip_val=1.0`")
    for doubt in ({"doubt": "a doubt"}, {"value": Literal(0)}):
        step.told = told(scene, **doubt)
        found = repair.of_step("CLP105", step, docket(scene))
        assert (found.applicability, found.message) == ("unsafe", "set `clip_val=1.0`")
    for reason in ({"obstacle": "an obstacle"}, {"indirect": True}):
        step.told = told(scene, **reason)
        assert repair.of_step("CLP104", step, docket(scene)) is None
    step.told = told(scene)
    assert repair.of_step("CLP302", step, docket(scene)) is None


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("fit()", ""),
        ("fit()\nprint(state.step)", ""),
        ("fit()\nprint(other[0])", ""),
        (
            "fit()\nstate = restore_checkpoint(folder)",
            "the state of the optimizer changes its shape, and old checkpoints of it do not fit",
        ),
        ("fit()\nprint(opt_state[0])", "the state of the optimizer changes its shape, and the code looks into it"),
        (
            "fit()\nprint(opt_state.inner_state)",
            "the state of the optimizer changes its shape, and the code looks into it",
        ),
    ],
)  # fmt: skip
def test_a_link_more_changes_the_shape_of_the_state(source, expected):
    scene = Scene(source)
    step = scene.step(FRESH, text="fit")
    step.told = told(scene, Clipping((), around="chain", first="clip({threshold})"))
    assert chained.doubts(step, docket(scene)) == repair.doubts(step, docket(scene)) == expected


@pytest.mark.parametrize(
    ("states", "names", "certain", "expected"),
    [
        ([FRESH], ["grads"], True, ""),
        ([FRESH], [None], True, "its gradients have no plain name at the step, or one that may stand for something else"),
        ([FRESH], ["grads", "g"], True, "its gradients have no one name at the step that all callers agree on"),
        ([FRESH], ["grads"], False, "it is not certain which parameters these gradients are of"),
        ([FRESH, gradients(*BACKWARD, maybe=True)], ["grads"], True, TOUCHED),
        ([FRESH, gradients(*BACKWARD, "clip")], ["grads"], True, "other ways to the step clip already"),
    ],
)  # fmt: skip
def test_gradients_that_are_handed_over_are_clipped_safely_or_it_is_said_why_not(
    states, names, certain, expected
):
    scene = Scene(SOURCE)
    maker = min(docket(scene).context.knowledge.values)
    for name in names:
        step = scene.step(*states, certain=certain, label=str(name))
        context = step.contexts[-1]
        step.contexts[-1] = replace(context, names=replace(context.names, gradients=name, maker=maker))
    assert rebind.doubts(step, docket(scene)) == expected
    assert repair.doubts(step, docket(scene)) == expected
    step.contexts[-1] = replace(context, names=replace(context.names, gradients="grads", maker="nobody"))
    del step.contexts[:-1]
    assert rebind.doubts(step, docket(scene)) == "no function that clips gradients of this framework is known"


def test_a_condition_around_the_clip_is_somebody_s_own():
    scene = Scene("""
        import torch

        for i, x in enumerate(data):
            loss(x).backward()
            if i % 2:
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    """)
    clip = scene.clip(FRESH)
    clipped = gradients(*BACKWARD, "clip", clips=frozenset({clip.site}))
    ways = [Guard("i % 2", frozenset({"i"}), taken) for taken in (True, False)]
    step = scene.step(stepping(clipped, ways[0]), stepping(FRESH, ways[1]))
    assert repair.doubts(step, docket(scene)) == "somebody wrote the condition that the clip stands under"
    assert repair.of_step("CLP101", step, docket(scene)).applicability == "unsafe"


@pytest.mark.parametrize(
    ("kind", "before", "after", "moves_it"),
    [
        ("norm", "", "", True),
        ("norm", "model = wrap(model)", "", True),
        ("norm", "", "model = wrap(model)", False),
        ("library", "", "", False),
    ],
)
def test_a_clip_leaves_its_condition_only_if_it_means_the_same_there(kind, before, after, moves_it):
    scene = Scene(
        f"{before}\nif i % 2:\n    clip_grad_norm_(model.parameters(), 1.0)\n{after}\noptimizer.step()\n"
    )
    clip = scene.clip(FRESH, kind=kind)
    clipped = gradients(*BACKWARD, "clip", clips=frozenset({clip.site}))
    ways = [Guard("i % 2", frozenset({"i"}), taken) for taken in (True, False)]
    step = scene.step(stepping(clipped, ways[0]), stepping(FRESH, ways[1]))
    seen = docket(scene)
    assert (moves.out_of_its_condition(step, step.contexts, seen) is not None) is moves_it
