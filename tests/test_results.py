"""What the result of a clip is bound to, and whether it is read: `clipcheck.results`."""

from __future__ import annotations

import pytest
from judging import FILE, Scene

from clipcheck import blocks, results
from clipcheck.docket import Docket
from clipcheck.facts import Call
from clipcheck.findings import Site
from clipcheck.flow.records import Clip
from clipcheck.flow.render import render

CALL = "clip_grad_norm_(grads, 1.0)"


def name(source: str) -> str | None:
    scene = Scene(source)
    statement = scene.statement("clip_grad")
    (call,) = (node for node in blocks.walk(statement) if isinstance(node, Call) and render(node) == CALL)
    clip = Clip(Site(FILE, statement.span), call, "norm")
    return results.name_of(clip, Docket(scene.sightings, scene.context()))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param(CALL, "", id="bound to nothing"),
        pytest.param(f"clipped = {CALL}", "clipped", id="never read"),
        pytest.param(f"clipped, norm = {CALL}", "clipped", id="the first of two"),
        pytest.param(f"clipped = {CALL}[0]", "clipped", id="a part of it"),
        pytest.param(f"clipped = [{CALL} for g in grads]", "clipped", id="a list of it"),
        pytest.param(f"clipped = {CALL}\ndef f():\n    return 1", "clipped", id="another function"),
        pytest.param(f"def f(grads):\n    new = {CALL}\n    return 1\nnew = 1", "new", id="of one function"),
    ],
)
def test_a_result_that_nobody_reads_has_this_name(source, expected):
    assert name(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(f"clipped = {CALL}\nprint(clipped)", id="read"),
        pytest.param(f"_ = {CALL}", id="bound to what nobody wants"),
        pytest.param(f"_, norm = {CALL}", id="called for the norm"),
        pytest.param(f"a = b = {CALL}", id="two names"),
        pytest.param(f"self.clipped = {CALL}", id="an attribute"),
        pytest.param(f"clipped = use({CALL})", id="an argument"),
        pytest.param(f"def f():\n    return {CALL}", id="returned"),
        pytest.param(f"() = {CALL}", id="no target"),
    ],
)
def test_any_other_is_used(source):
    assert name(source) is None
