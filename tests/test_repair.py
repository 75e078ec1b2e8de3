from __future__ import annotations

import pytest
from judging import BACKWARD, LBFGS, SCALED, Scene, gradients, stepping

from clipcheck.findings import AddImport, InsertBefore, MoveBefore
from clipcheck.fixing import render
from clipcheck.flow.values import Literal, Option, Unknown
from clipcheck.flow.worlds import Guard
from clipcheck.judges import judge
from clipcheck.place import place

FRESH = gradients(*BACKWARD)
EARLY = Guard("epoch < 5", frozenset({"epoch"}), taken=True)
LATE = Guard("epoch < 5", frozenset({"epoch"}), taken=False)
PLAIN = """
    import torch

    for x in data:
        optimizer.zero_grad()
        model(x).backward()
        optimizer.step()
"""
HELD = '[p for group in optimizer.param_groups for p in group["params"]]'


def repairs(scene, code, **settings):
    return [
        verdict.repair
        for verdict in judge(scene.sightings, scene.context(**settings))
        if verdict.code == code
    ]


def repair(scene, code="CLP101", **settings):
    (found,) = repairs(scene, code, **settings)
    return found


def fixed(scene, code="CLP101", **settings):
    """The source after the fixes of one rule, all of them."""
    verdicts = [one for one in judge(scene.sightings, scene.context(**settings)) if one.code == code]
    findings = place(scene.source, verdicts, {code: code})
    return render(scene.source, findings, unsafe=True)[0]


def clip_line(scene, **settings):
    return next(line.strip() for line in fixed(scene, **settings).split("\n") if "clip_grad_norm_" in line)


# -- no fix ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"parameters": None, "optimizer": None}, id="no name in reach"),
        pytest.param({"has_closure": True}, id="a closure that is not known"),
    ],
)
def test_step_without_fix(options):
    scene = Scene(PLAIN)
    scene.step(FRESH, **options)
    assert repair(scene) is None


@pytest.mark.parametrize(
    ("states", "scaler"),
    [
        pytest.param([gradients(*SCALED)], None, id="scaled, and the scaler has no name"),
        pytest.param([gradients(*SCALED), FRESH], "scaler", id="scaled on some paths"),
        pytest.param(
            [gradients(*SCALED), gradients(*SCALED, "unscale", "clip")], "scaler", id="unscaled on some"
        ),
    ],
)
def test_step_with_a_scale_without_fix(states, scaler):
    scene = Scene(PLAIN)
    scene.step(*states, scaler=scaler)
    assert repair(scene) is None


def test_option_off_that_is_written_nowhere_has_no_fix():
    scene = Scene(PLAIN)
    off = Guard("args.clip", frozenset({"args"}), taken=False, usual=False)
    on = Guard("args.clip", frozenset({"args"}), taken=True, usual=False)
    scene.step(stepping(FRESH, off), stepping(gradients(*BACKWARD, "clip"), on))
    assert repair(scene, "CLP102") is None


def test_threshold_out_of_range_has_no_fix():
    scene = Scene(PLAIN.replace("optimizer.step()", "clip_grad_norm_(model.parameters(), 0.0)"))
    scene.clip(FRESH, threshold=0.0)
    assert repair(scene, "CLP302") is None


# -- CLP101: unsafe ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "options"),
    [
        pytest.param([gradients()], {}, id="entry: where the gradients come from is not known"),
        pytest.param([FRESH], {"certain": False}, id="not certain what is updated"),
        pytest.param([FRESH], {"parameters": None, "made": Unknown("optimizer")}, id="unknown optimizer"),
        pytest.param([FRESH, gradients(*BACKWARD, unsure="helper()")], {}, id="unsure on a path"),
        pytest.param([FRESH, gradients(*BACKWARD, covered=frozenset({"a"}))], {}, id="partly clipped"),
        pytest.param([FRESH], {"made": LBFGS}, id="line search"),
    ],
)
def test_step_unsafe(states, options):
    scene = Scene(PLAIN)
    scene.step(*states, **options)
    assert repair(scene).applicability == "unsafe"


# -- CLP101: safe ------------------------------------------------------------------------------------


def test_step_safe():
    scene = Scene(PLAIN)
    scene.step(FRESH)
    assert repair(scene).applicability == "safe"
    assert fixed(scene) == scene.source.replace(
        "    optimizer.step()",
        "    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)\n    optimizer.step()",
    )


def test_held_parameters_where_the_model_has_no_name():
    scene = Scene(PLAIN)
    scene.step(FRESH, parameters=None)
    assert repair(scene).applicability == "safe"
    assert clip_line(scene, max_norm=0.5) == f"torch.nn.utils.clip_grad_norm_({HELD}, max_norm=0.5)"


def test_held_parameters_where_contexts_disagree():
    scene = Scene(PLAIN)
    scene.step(FRESH, parameters="a.parameters()", label="a")
    scene.step(FRESH, parameters="b.parameters()", label="b")
    assert HELD in clip_line(scene)


def test_unscale_first():
    scene = Scene(PLAIN.replace("optimizer.step()", "scaler.step(optimizer)"))
    scene.step(gradients(*SCALED), scaler="scaler")
    assert repair(scene).applicability == "safe"
    rows = [line.strip() for line in fixed(scene).split("\n")]
    assert rows[-4:-1] == [
        "scaler.unscale_(optimizer)",
        "torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)",
        "scaler.step(optimizer)",
    ]


def test_inside_the_closure():
    scene = Scene("""
        import torch

        def closure():
            loss = model(x)
            loss.backward()
            return loss

        optimizer.step(closure)
    """)
    scene.step(FRESH, closure=scene.statement("return loss").span, has_closure=True)
    assert "\n    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)\n    return" in fixed(
        scene
    )


@pytest.mark.parametrize(
    ("imports", "expected"),
    [
        ("import torch", "torch.nn.utils.clip_grad_norm_("),
        ("import torch.nn as nn\n    import torch", "torch.nn.utils.clip_grad_norm_("),
        ("import torch.optim", "torch.nn.utils.clip_grad_norm_("),
        ("import torch as th", "th.nn.utils.clip_grad_norm_("),
        ("from torch import nn", "nn.utils.clip_grad_norm_("),
        ("import torch.nn as nn", "nn.utils.clip_grad_norm_("),
        ("from torch.nn import utils", "utils.clip_grad_norm_("),
        ("import torch\n    from torch.nn.utils import clip_grad_norm_", "clip_grad_norm_("),
        ("from torch.nn.utils import clip_grad_norm_ as clip", "clip("),
        ("from torch.nn.utils.clip_grad import clip_grad_norm_", "clip_grad_norm_("),
    ],
)
def test_name_by_the_imports(imports, expected):
    scene = Scene(PLAIN.replace("import torch", imports))
    scene.step(FRESH)
    line = next(line.strip() for line in fixed(scene).split("\n") if "max_norm" in line)
    assert line == f"{expected}model.parameters(), max_norm=1.0)"


@pytest.mark.parametrize(
    "imports", ["import os", "from .torch import nn", "from torch import *", "from own import nn"]
)
def test_import_added(imports):
    scene = Scene(PLAIN.replace("import torch", imports))
    scene.step(FRESH)
    assert "import torch\n" in fixed(scene).splitlines(keepends=True)
    assert clip_line(scene).startswith("torch.nn.utils.")


# -- thresholds --------------------------------------------------------------------------------------

TWO = """
    import torch
    LIMIT = 0.5

    def pretrain(model, limit):
        torch.nn.utils.clip_grad_norm_(model.parameters(), {threshold})
        optimizer.step()

    def train(model):
        optimizer.step()
"""


@pytest.mark.parametrize(
    ("threshold", "options", "expected"),
    [
        pytest.param("limit", {}, "1.0", id="a parameter of the other function"),
        pytest.param("0.0", {"threshold": 0.0}, "1.0", id="out of range"),
        pytest.param("LIMIT", {"threshold": Unknown("x")}, "1.0", id="a value that is not known"),
        pytest.param(
            "LIMIT", {"threshold": Option("x", Literal(None), ("", 1))}, "1.0", id="None by default"
        ),
        pytest.param("0.25", {"kind": "value"}, "1.0", id="of values"),
        pytest.param("0.25", {"per_parameter": True}, "1.0", id="per parameter"),
        pytest.param("0.25, 'inf'", {}, "1.0", id="another norm"),
        pytest.param("LIMIT * 2", {}, "1.0", id="a computation"),
        pytest.param("0.25", {"threshold": 0.25}, "0.25", id="a literal"),
        pytest.param("max_norm=5", {"threshold": 5}, "5", id="a literal by keyword"),
        pytest.param("LIMIT", {"threshold": 0.5}, "LIMIT", id="a constant of the module"),
    ],
)
def test_threshold_of_a_sibling(threshold, options, expected):
    scene = Scene(TWO.format(threshold=threshold))
    scene.clip(FRESH, **options)
    scene.step(FRESH, nth=1)
    (action,) = repair(scene).actions
    assert action.statements[-1].endswith(f"max_norm={expected})")


def test_threshold_of_a_late_clip_is_no_sibling():
    scene = Scene(TWO.format(threshold="0.25"))
    scene.clip(gradients(*BACKWARD, "step"))
    scene.step(FRESH, nth=1)
    assert "max_norm=1.0" in repair(scene).actions[0].statements[-1]


OPTION = """
    import argparse, torch
    parser = argparse.ArgumentParser()
    parser.add_argument("--clip", type=float, default={default})
    args = parser.parse_args()
    {more}
    optimizer.step()
"""


@pytest.mark.parametrize(
    ("default", "more", "expected"),
    [
        pytest.param("0.0", "", "1.0", id="off by default"),
        pytest.param("None", "", "1.0", id="none"),
        pytest.param("0.25", "print(args.clip)", "1.0", id="read elsewhere"),
        pytest.param("0.25", "", "args.clip", id="never read"),
    ],
)
def test_threshold_of_an_option(default, more, expected):
    scene = Scene(OPTION.format(default=default, more=more or "pass"))
    scene.step(FRESH)
    assert repair(scene).actions[0].statements[-1].endswith(f"max_norm={expected})")


def test_other_way_that_clips_elsewhere_would_clip_twice():
    scene = Scene(TWO.format(threshold="0.25"))
    clip = scene.clip(FRESH, threshold=0.25)
    clipped = gradients(*BACKWARD, "clip", clips=frozenset({clip.site}))
    scene.step(stepping(FRESH, LATE), stepping(clipped, EARLY), nth=1)
    assert repair(scene).applicability == "unsafe"


def test_another_caller_that_clips_would_clip_twice():
    scene = Scene(TWO.format(threshold="0.25"))
    clip = scene.clip(FRESH, threshold=0.25)
    clipped = gradients(*BACKWARD, "clip", clips=frozenset({clip.site}))
    scene.step(FRESH, nth=1)
    assert repair(scene).applicability == "safe"
    scene.step(clipped, nth=1, label="pretrain")
    assert repair(scene).applicability == "unsafe"


BRANCH = """
for x in data:
    model(x).backward()
    if early:
        {first}clip_grad_norm_(model.parameters(), limit){last}
    {between}
    optimizer.step()
"""


@pytest.mark.parametrize(
    ("parts", "moved", "emptied"),
    [
        pytest.param({}, True, True, id="nothing else in the branch"),
        pytest.param({"last": "\n        log()"}, True, False, id="more in the branch"),
        pytest.param({"last": "\n    else:\n        log()"}, True, False, id="another branch"),
        pytest.param({"between": "limit = 2.0"}, False, False, id="another threshold by then"),
        pytest.param({"first": "norm = "}, False, False, id="the norm is kept"),
    ],
)
def test_clip_of_one_branch_moves_to_where_every_way_passes(parts, moved, emptied):
    scene = Scene(BRANCH.format(**{"first": "", "last": "", "between": "pass", **parts}))
    clip = scene.clip(FRESH, threshold=0.25)
    clipped = gradients(*BACKWARD, "clip", clips=frozenset({clip.site}))
    scene.step(stepping(FRESH, LATE), stepping(clipped, EARLY))
    found = repair(scene)
    (action,) = [one for one in found.actions if not isinstance(one, AddImport)]
    assert found.applicability == "unsafe"
    assert isinstance(action, MoveBefore if moved else InsertBefore)
    assert bool(moved and action.emptied) is emptied


# -- CLP201, CLP202 ----------------------------------------------------------------------------------

AFTER = """
    for x in data:
        model(x).backward()
        optimizer.step()
        {between}
        {clip}
"""
CLIP = "clip_grad_norm_(model.parameters(), limit)  # bound it"


def late(clip=CLIP, between="pass", source=AFTER):
    scene = Scene(source.format(clip=clip, between=between))
    step = scene.step(FRESH)
    scene.clip(gradients(*BACKWARD, "step", step=step.site))
    return scene


@pytest.mark.parametrize(
    "clip",
    [
        pytest.param("print(clip_grad_norm_(model.parameters(), limit))", id="part of an expression"),
        pytest.param("norm = float(clip_grad_norm_(model.parameters(), limit))", id="part of a value"),
    ],
)
def test_late_clip_that_cannot_move(clip):
    scene = late(clip)
    (one,) = scene.sightings.clips.values()
    one.call = one.call.arguments[0]
    assert repair(scene, "CLP201") is None


def test_clip_after_zero_grad_cannot_move():
    scene = Scene(AFTER.format(clip=CLIP, between="pass"))
    scene.clip(gradients("zero_grad"))
    assert repair(scene, "CLP202") is None


def test_late_clip_of_another_function_cannot_move():
    scene = late(
        source="""
    def step():
        {between}
        optimizer.step()

    def clip():
        {clip}
"""
    )
    assert repair(scene, "CLP201") is None


@pytest.mark.parametrize(
    ("clip", "between"),
    [
        pytest.param("norm = clip_grad_norm_(model.parameters(), limit)", "pass", id="its result has a name"),
        pytest.param(CLIP, "limit = 2.0", id="a name is bound between"),
        pytest.param(f"if late:\n            {CLIP}", "pass", id="behind a condition"),
    ],
)
def test_late_clip_unsafe(clip, between):
    assert repair(late(clip, between), "CLP201").applicability == "unsafe"


def test_late_clip_moves_with_its_condition():
    scene = late(f"if late:\n            {CLIP}")
    assert fixed(scene, "CLP201").index("if late") < fixed(scene, "CLP201").index("optimizer.step")


def test_late_clip_safe():
    scene = late()
    assert repair(scene, "CLP201").applicability == "safe"
    rows = [line.strip() for line in fixed(scene, "CLP201").split("\n")]
    assert rows[2:5] == [CLIP, "optimizer.step()", "pass"]


def test_early_clip_moves_and_unscales():
    scene = Scene("""
        clip_grad_norm_(model.parameters(), 1.0)
        scaler.scale(model(x)).backward()
        scaler.step(optimizer)
    """)
    clip = scene.clip(gradients("zero_grad"))
    scene.step(gradients(*SCALED, vain=frozenset({clip.site})), scaler="scaler")
    assert repair(scene, "CLP202").applicability == "safe"
    assert fixed(scene, "CLP202").split("\n")[1:] == [
        "scaler.unscale_(optimizer)",
        "clip_grad_norm_(model.parameters(), 1.0)",
        "scaler.step(optimizer)",
        "",
    ]


# -- CLP203 ------------------------------------------------------------------------------------------


def scaled(source, count=1, **names):
    scene = Scene(source)
    for nth in range(count):
        scene.clip(gradients(*SCALED), nth=nth, **{"scaler": "scaler", "optimizer": "optimizer", **names})
    return scene


UNSCALE = "scaler.unscale_(optimizer)"


def test_unscale_without_names():
    assert repair(scaled("clip_grad_norm_(p, 1.0)", scaler=None), "CLP203") is None


def test_unscale_deeper_down_is_left_alone():
    scene = scaled(f"clip_grad_norm_(p, 1.0)\nif ready:\n    {UNSCALE}")
    assert repair(scene, "CLP203") is None


def test_unscale_is_unsafe_where_the_scale_is_not_always_there():
    scene = scaled("clip_grad_norm_(p, 1.0)\n")
    scene.clip(FRESH)
    assert repair(scene, "CLP203").applicability == "unsafe"


def test_unscale_before_the_clip():
    scene = scaled("clip_grad_norm_(p, 1.0)\n")
    assert repair(scene, "CLP203").applicability == "safe"
    assert fixed(scene, "CLP203") == f"{UNSCALE}\nclip_grad_norm_(p, 1.0)\n"


def test_clip_moves_after_unscale():
    scene = scaled(f"clip_grad_norm_(p, 1.0)\n{UNSCALE}\nscaler.step(optimizer)\n")
    assert fixed(scene, "CLP203") == f"{UNSCALE}\nclip_grad_norm_(p, 1.0)\nscaler.step(optimizer)\n"


def test_unscale_once_for_two_clips():
    scene = scaled("clip_grad_norm_(p, 1.0)\nclip_grad_norm_(q, 1.0)\n", count=2)
    first, second = repairs(scene, "CLP203")
    assert first == second
    assert fixed(scene, "CLP203").count(UNSCALE) == 1


# -- CLP206, CLP301, CLP303 --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("for n, p in named:\n    clip_grad_norm_(p, 1.0)", id="pairs"),
        pytest.param("for p in ps():\n    print(p)\n    clip_grad_norm_(p, 1.0)", id="more in the loop"),
        pytest.param("for p in ps():\n    # mind\n    clip_grad_norm_(p, 1.0)", id="a comment between"),
        pytest.param("for p in ps():\n    clip_grad_norm_(p, limit(p))", id="a threshold of its own"),
    ],
)
def test_loop_that_stays(source):
    scene = Scene(source)
    scene.clip(FRESH, per_parameter=True)
    assert repair(scene, "CLP206") is None


def test_loop_becomes_one_call():
    scene = Scene("for p in model.parameters():\n    clip_grad_norm_(p, 0.5)  # all\nstep()\n")
    scene.clip(FRESH, per_parameter=True)
    assert repair(scene, "CLP206").applicability == "unsafe"
    assert fixed(scene, "CLP206") == "clip_grad_norm_(model.parameters(), 0.5)  # all\nstep()\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("nn.utils.clip_grad_value_(p, clip_value=3.0)", "nn.utils.clip_grad_norm_(p, max_norm=1.0)"),
        ("nn.utils.clip_grad_value_(p, 0.5, foreach=True)", "nn.utils.clip_grad_norm_(p, 1.0, foreach=True)"),
        ("import torch\nclip_grad_value_(p, 0.5)", "import torch\ntorch.nn.utils.clip_grad_norm_(p, 1.0)"),
        ("nn.utils.clip_grad_value_( p, 0.5 )", None),
    ],
)
def test_value_to_norm(before, after):
    scene = Scene(before + "\n")
    scene.clip(FRESH, kind="value")
    found = repair(scene, "CLP301")
    assert found is None if after is None else found.applicability == "unsafe"
    assert fixed(scene, "CLP301") == (after or before) + "\n"


OLD = "from torch.nn.utils import clip_grad_norm{more}\n{use}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(OLD.format(more="", use="x = [clip_grad_norm]\nclip_grad_norm(p, 1)"), None, id="used otherwise"),
        pytest.param("from own import *\nclip_grad_norm(p, 1)", None, id="imported nobody knows how"),
        pytest.param(
            "from torch.nn.utils import (\n    clip_grad_norm,\n)\nclip_grad_norm(p, 1)", None, id="on several rows"
        ),
        pytest.param(
            "import torch.nn.utils as u\nu.clip_grad_norm(p, 1)",
            "import torch.nn.utils as u\nu.clip_grad_norm_(p, 1)",
            id="an attribute",
        ),
        pytest.param(
            OLD.format(more=", rnn as r", use="clip_grad_norm(p, 1)\nif a:\n    clip_grad_norm(q, 1)"),
            OLD.replace("norm", "norm_").format(more=", rnn as r", use="clip_grad_norm_(p, 1)\nif a:\n    clip_grad_norm_(q, 1)"),
            id="with its import",
        ),
        pytest.param(
            OLD.format(more=" as clip_grad", use="clip_grad(p, 1)"),
            OLD.replace("norm", "norm_").format(more=" as clip_grad", use="clip_grad(p, 1)"),
            id="under another name",
        ),
        pytest.param(
            OLD.format(more=", clip_grad_norm_", use="clip_grad_norm(p, 1)"),
            OLD.format(more=", clip_grad_norm_", use="clip_grad_norm_(p, 1)"),
            id="imported already",
        ),
    ],
)  # fmt: skip
def test_old_name(before, after):
    scene = Scene(before + "\n")
    scene.clip(FRESH, text="(p, 1)", replaced_by="clip_grad_norm_")
    found = repair(scene, "CLP303")
    assert found is None if after is None else found.applicability == "safe"
    assert fixed(scene, "CLP303") == (after or before) + "\n"
