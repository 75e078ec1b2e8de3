"""What is told how to clip, told otherwise: which argument a fix writes, and with which value."""

from __future__ import annotations

import pytest
from judging import BACKWARD, FILE, Scene, gradients

from clipcheck import tell
from clipcheck.docket import Docket
from clipcheck.findings import RenameArgument, Repair, Replace, SetArgument, SetEntry, Site, Span
from clipcheck.flow.records import Owned, Told
from clipcheck.flow.values import Literal
from clipcheck.knowledge import Clipping

FRESH = gradients(*BACKWARD)
KINDS = (("clip_val", "value"), ("clip_each", "tensor-norm"))


def to_clip(source: str, code: str, clip: Clipping, **changes: object) -> Repair | None:
    scene = Scene(source)
    seen = Told(scene.site("fit"), scene.call("fit"), clip, **changes)  # type: ignore[arg-type]
    return tell.to_clip(code, seen, seen.site, Docket.of(scene.sightings, scene.context()))


# -- by the norm of all ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "source", "argument", "expected"),
    [
        ("CLP301", "fit(clip_val=0.5)", "clip_val", "tell it by `clip_norm`, at 1.0"),
        ("CLP304", "fit(clip_each=0.5)", "clip_each", "tell it by `clip_norm`"),
        ("CLP301", "fit(0.5)", "clip_val", ""),
        ("CLP301", "fit(clip_val=0.5, clip_norm=None)", "clip_val", ""),
    ],
)
def test_another_kind_gives_way_to_the_norm(code, source, argument, expected):
    clip = Clipping(("clip_norm", "clip_val", "clip_each"), kinds=KINDS)
    found = to_clip(source, code, clip, argument=argument, value=Literal(0.5))
    if not expected:
        assert found is None
        return
    assert (found.applicability, found.message) == ("unsafe", f"{expected} (another bound: the run changes)")
    span = Span(1, 0, 1, len(source))
    assert found.actions == (RenameArgument(span, argument, "clip_norm", "1.0" if code == "CLP301" else ""),)
    assert to_clip(source, code, clip, argument=argument, value=Literal(0.5), indirect=True) is None


# -- by the argument ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "position", "span"),
    [
        ("fit(model, 0)", 1, Span(1, 11, 1, 12)),
        ("fit(model, none())", 1, Span(1, 11, 1, 17)),
        ("fit(model, off)", 1, None),  # a name: it is switched off somewhere else
        ("fit(model)", 1, None),
        ("fit(0, model)", 0, Span(1, 4, 1, 5)),
        ("fit(model, 0)", -1, None),
    ],
)
def test_an_argument_without_its_name_is_replaced_where_it_stands(source, position, span):
    found = to_clip(source, "CLP105", Clipping(("clip_val",), position=position), value=Literal(0))
    wanted = span and Repair("unsafe", "set `clip_val` to 1.0", (Replace(span, "1.0"),))
    assert found == wanted


def test_what_the_clipping_needs_besides_is_set_where_it_is_not_given():
    clip = Clipping(("clip_val",), beside=(("of", "list({parameters})"), ("kind", "'norm'")))
    span = Span(1, 0, 1, 15)
    found = to_clip("fit(kind='all')", "CLP104", clip, parameters="net.parameters()")
    assert found == Repair(
        "safe",
        "set `clip_val=1.0` and `of=list(net.parameters())`",
        (SetArgument(span, "clip_val", "1.0"), SetArgument(span, "of", "list(net.parameters())")),
    )


@pytest.mark.parametrize("code", ["CLP101", "CLP104", "CLP105"])
@pytest.mark.parametrize("clip", [Clipping(()), Clipping(("clip_val",))], ids=["no argument", "an argument"])
def test_without_an_argument_nothing_is_written(code, clip):
    assert (to_clip("fit()", code, clip) is not None) is bool(clip.arguments)


# -- by the settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("display", "written"),
    [
        (Site(FILE, Span(3, 0, 3, 9)), True),
        (Site("/project/other.py", Span(3, 0, 3, 9)), False),
        (None, False),
    ],
)
@pytest.mark.parametrize("doubt", ["", "a doubt"])
def test_an_entry_goes_into_the_dict_of_the_same_file(display, written, doubt):
    clip = Clipping(("clip_val",), within=(("config", 0),))
    found = to_clip("fit(config)", "CLP104", clip, display=display, doubt=doubt)
    level = "unsafe" if doubt else "safe"
    action = SetEntry(Span(3, 0, 3, 9), "clip_val", "1.0")
    assert found == (Repair(level, "set `clip_val: 1.0`", (action,)) if written else None)


@pytest.mark.parametrize("engine", ["engine", "another"])
@pytest.mark.parametrize("filename", [FILE, "/project/other.py"])
def test_an_engine_takes_over_the_threshold_of_a_clip_that_cannot(engine, filename):
    scene = Scene("clip_grad_norm_(parameters, 1.0)\nfit(config)")
    clip = scene.clip(FRESH)
    clip.contexts[0].owned = Owned("CLP209", "does nothing", engine=engine)
    display = Site(filename, Span(3, 0, 3, 9))
    of_engine = Told(scene.site("fit"), scene.call("fit"), Clipping(("clip_val",)), display=display)
    scene.sightings.told["engine"] = of_engine
    found = tell.by_its_settings(clip, Docket.of(scene.sightings, scene.context()))
    written = engine == "engine" and filename == FILE
    action = SetEntry(display.span, "clip_val", "1.0")
    assert found == (Repair("unsafe", "set `clip_val: 1.0`", (action,)) if written else None)
