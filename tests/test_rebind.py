"""Gradients that are values: a clip of each gives way to one of all, and a step is handed the clipped ones."""

from __future__ import annotations

import pytest
from judging import BACKWARD, KNOWLEDGE, Scene, gradients

from clipcheck import rebind
from clipcheck.docket import Docket
from clipcheck.findings import Replace
from clipcheck.flow.records import Names
from clipcheck.record import replace

FRESH = gradients(*BACKWARD)
MAKER = KNOWLEDGE.calls["tensorflow.clip_by_norm"].framework


def docket(scene: Scene) -> Docket:
    return Docket.of(scene.sightings, scene.context())


def to_the_global_norm(row: str, kind: str = "tensor-norm") -> tuple[str, str] | None:
    """The message of the fix, and the row that it writes."""
    scene = Scene(f"import tensorflow as tf\n{row}\n")
    clip = scene.clip(FRESH, text="clip_by", kind=kind, threshold=0.5)
    calls = [
        node for node in _calls(scene.statement("clip_by")) if rebind.render(node).startswith("tf.clip_by")
    ]
    clip.call, clip.maker = calls[0], MAKER
    found = rebind.to_the_global_norm(clip, docket(scene))
    if found is None:
        return None
    (action,) = found.actions
    assert isinstance(action, Replace)
    assert (action.span, found.applicability) == (clip.site.span, "unsafe")
    return found.message, action.text


def _calls(statement):
    from clipcheck import blocks, facts

    return [node for node in blocks.walk(statement) if isinstance(node, facts.Call)]


@pytest.mark.parametrize(
    ("row", "threshold"),
    [
        ("grads = [tf.clip_by_norm(g, 0.5) for g in grads]", "0.5"),
        ("grads = [tf.clip_by_norm(g, LIMIT) for g in grads]", "LIMIT"),
        ("grads = [tf.clip_by_norm(g, args.clip) for g in grads]", "args.clip"),
        ("grads = [tf.clip_by_norm(g, 2 * x) for g in grads]", "1.0"),
        ("grads = [None if g is None else tf.clip_by_norm(g, 0.5) for g in grads]", "0.5"),
        ("grads = [tf.clip_by_norm(g, 0.5) if g is not None else g for g in grads]", "0.5"),
    ],
)
def test_a_list_of_clipped_gradients_becomes_one_clip_of_all(row, threshold):
    message, text = to_the_global_norm(row)
    assert message == f"clip the global norm at {threshold} instead (another bound: the run changes)"
    assert text == f"grads, _ = tf.clip_by_global_norm(grads, {threshold})"


def test_the_bound_of_values_is_no_bound_of_norms():
    _, text = to_the_global_norm("new = [tf.clip_by_norm(g, 0.5) for g in grads]", kind="value")
    assert text == "new, _ = tf.clip_by_global_norm(grads, 1.0)"


@pytest.mark.parametrize(
    "row",
    [
        "grads = [tf.clip_by_norm(g, 0.5) for gs in all for g in gs]",
        "grads = [tf.clip_by_norm(g, 0.5) for g, v in pairs]",
        "grads = [tf.clip_by_norm(g, 0.5) for g in read()]",
        "grads = [tf.clip_by_norm(g, 0.5) if g is not None else v for g in grads]",
        "grads = [(tf.clip_by_norm(g, 0.5), g) for g in grads]",
        "grads = a = [tf.clip_by_norm(g, 0.5) for g in grads]",
        "self.grads = [tf.clip_by_norm(g, 0.5) for g in grads]",
        "grads = [tf.clip_by_norm(g,\n    0.5) for g in grads]",
    ],
)
def test_what_is_no_plain_list_of_them_stays(row):
    assert to_the_global_norm(row) is None


@pytest.mark.parametrize(
    ("row", "bracketed"),
    [
        ("a = clip_grad(a)", False),
        ("a, b = clip_grad(a)", False),
        ("(a, b) = clip_grad(a)", True),
        ("[a, b] = clip_grad(a)", True),
        ("a, b = clip_grad(\n    a)", True),
    ],
)
def test_names_in_brackets_do_not_begin_their_statement(row, bracketed):
    found = Scene(row).statement("clip_grad")
    assert rebind._in_brackets(found, found.span) is bracketed


def test_gradients_of_several_names_are_clipped_by_none():
    scene = Scene("optimizer.step()")
    for name in ("a", "b"):
        step = scene.step(FRESH, label=name)
        names = Names(None, None, gradients=name, maker=MAKER)
        step.contexts[-1] = replace(step.contexts[-1], names=names)
    assert rebind.clip_first(step, docket(scene)) is None
    del step.contexts[1:]
    found = rebind.clip_first(step, docket(scene))
    assert (found.applicability, found.message) == (
        "safe",
        "clip the gradient norm at 1.0 before `optimizer.step`",
    )
