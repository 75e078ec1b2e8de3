"""Clips of a part (CLP103), of partial sums (CLP204), of nothing (CLP205), of another model (CLP207)."""

from __future__ import annotations

import pytest
from weighing import NET, codes, turn, verdicts

STEP = "optimizer.step()"
CLIP = "clip_grad_norm_(model.parameters(), 1.0)"


def clip(what: str) -> str:
    return f"clip_grad_norm_({what}, 1.0)"


# -- CLP103 ------------------------------------------------------------------------------------------

WHOLE = {
    "the model": (CLIP,),
    "its parts, one by one": (clip("model.encoder.parameters()"), clip("model.decoder.parameters()")),
    "its parts, in one list": (clip("[*model.encoder.parameters(), *model.decoder.parameters()]"),),
    "a part, then the model": (clip("model.encoder.parameters()"), CLIP),
    "what the optimizer holds": (clip('optimizer.param_groups[0]["params"]'),),
    "a part by an unknown helper": ("clip_gradients(model.encoder)",),
    "a part by hand": ("for p in model.encoder.parameters(): p.grad.clamp_(-1, 1)",),
}


@pytest.mark.parametrize("lines", WHOLE.values(), ids=WHOLE)
def test_a_clip_of_all_is_no_clip_of_a_part(lines):
    assert codes(turn(*lines, STEP), NET) == []


OPEN = {
    "an unknown part": NET.replace("self.drop = nn.Dropout(0.1)", "self.more = build()").replace(
        "        self.decoder = nn.GRU(8, 4)\n", ""
    ),
    "a frozen part": NET + "for p in model.decoder.parameters():\n    p.requires_grad = False\n",
    "a part frozen by a helper": NET + "freeze(model.decoder)\n",
    "only what is trained": NET.replace(
        "Adam(model.parameters())", "Adam(p for p in model.parameters() if p.requires_grad)"
    ),
    "a base class of a library": NET.replace("nn.Module", "somelib.Base").replace(
        "        self.decoder = nn.GRU(8, 4)\n", ""
    ),
    "no other part": NET.replace("        self.decoder = nn.GRU(8, 4)\n", ""),
    "a part that is not registered": NET.replace("nn.GRU(8, 4)", "[nn.GRU(8, 4)]"),
    "one of two models": NET.replace("Adam(model", "Adam((model if small else nn.GRU(4, 4))"),
}


@pytest.mark.parametrize("setup", OPEN.values(), ids=OPEN)
def test_what_may_not_be_left_out_is_silent(setup):
    assert codes(turn(clip("model.encoder.parameters()"), STEP), setup) == []


def test_a_part_that_is_only_called_without_gradients_is_silent():
    quiet = turn("with torch.no_grad(): aim = teacher(x)", clip("model.parameters()"), STEP)
    setup = "model = nn.LSTM(4, 8)\nteacher = nn.GRU(4, 8)\n"
    setup += "optimizer = torch.optim.Adam([*model.parameters(), *teacher.parameters()])\n"
    assert codes(quiet, setup) == []
    assert codes(quiet.replace("with torch.no_grad(): aim", "aim"), setup) == ["CLP103"]


def test_a_part_of_the_parameters_by_a_condition_is_silent():
    some = "[p for n, p in model.named_parameters() if 'encoder' in n]"
    assert codes(turn(clip(some), STEP), NET) == []


LEFT_OUT = {
    "a part": (NET, clip("model.encoder.parameters()"), "a GRU"),
    "a second model": (
        NET.replace("Adam(model.parameters())", "Adam([*model.parameters(), *other.parameters()])").replace(
            "model = Net()", "model, other = Net(), nn.LSTM(4, 4)"
        ),
        CLIP,
        "an LSTM",
    ),
    "a parameter of its own": (
        NET.replace("nn.Dropout(0.1)", "nn.Parameter(torch.zeros(4))"),
        "clip_grad_norm_([*model.encoder.parameters(), *model.decoder.parameters()], 1.0)",
        "a Parameter",
    ),
    "a group given later": (
        NET + "late = nn.LSTM(4, 4)\noptimizer.add_param_group({'params': late.parameters()})\n",
        CLIP,
        "an LSTM",
    ),
}


@pytest.mark.parametrize(("setup", "line", "what"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_a_part_left_out_is_one_finding_at_the_step(setup, line, what):
    (verdict,) = verdicts(turn(line, STEP), setup)
    assert verdict.code == "CLP103"
    assert f"also updates {what}, which the clip before it does not cover" in verdict.message
    assert any("only in part" in one.message for one in verdict.evidence)
    assert any("not covered" in one.message for one in verdict.evidence)


def test_the_condition_of_a_clip_of_a_part_is_told():
    line = f"if big: {clip('model.encoder.parameters()')}\n    else: {CLIP}"
    (verdict,) = verdicts(turn(line, STEP), NET)
    assert "does not cover where `big` is true" in verdict.message


def test_a_backward_after_a_clip_of_a_part_leaves_doubt():
    line = clip("model.encoder.parameters()")
    assert codes(turn(line, "model(x).mean().backward()", STEP), NET) == []


def test_a_clip_of_a_part_is_no_excuse_where_there_is_none_at_all():
    line = f"if big: {clip('model.encoder.parameters()')}"
    assert codes(turn(line, STEP), NET) == ["CLP101"]


def test_a_clip_of_a_part_has_its_risk():
    assert not verdicts(turn(clip("model.encoder.parameters()"), STEP), NET, risk="low")


# -- CLP204 ------------------------------------------------------------------------------------------

EACH = "for i, x in enumerate(data):\n    model(x)[0].sum().backward()\n"
CLEAR = "        optimizer.step()\n        optimizer.zero_grad()\n"
ONCE = {
    "inside the guard": EACH + f"    if i % 4 == 3:\n        {CLIP}\n{CLEAR}",
    "a step each turn": EACH + f"    {CLIP}\n    {STEP}\n    optimizer.zero_grad()\n",
    "two losses": EACH
    + f"    model(x)[0].mean().backward()\n    {CLIP}\n    {STEP}\n    optimizer.zero_grad()\n",
    "a guard of another kind": EACH + f"    {CLIP}\n    if ready(x):\n{CLEAR}",
    "a flag that stays": EACH
    + f"    {CLIP}\n    if i % 4 == 3 or always:\n        pass\n    {STEP}\n    optimizer.zero_grad()\n",
    "cleared each turn": EACH
    + f"    {CLIP}\n    if i % 4 == 3:\n        {STEP}\n    optimizer.zero_grad()\n",
    "left over": EACH + f"    if i % 4 == 3:\n        {CLIP}\n{CLEAR}{CLIP}\n{STEP}\n",
    "a step of its own in the inner loop": (
        f"for batch in data:\n    for x in batch:\n        optimizer.zero_grad()\n"
        f"        model(x)[0].sum().backward()\n        {CLIP}\n        {STEP}\n"
    ),
    "an unknown helper in between": EACH
    + f"    helper(optimizer)\n    {CLIP}\n    helper(model)\n    if i % 4 == 3:\n{CLEAR}",
    "value clipping by name only": EACH + f"    clip_gradients(model)\n    if i % 4 == 3:\n{CLEAR}",
}


@pytest.mark.parametrize("program", ONCE.values(), ids=ONCE)
def test_a_clip_of_the_whole_sum_is_silent(program):
    assert "CLP204" not in codes(program)


PARTIAL = {
    "under a modulo": EACH + f"    {CLIP}\n    if (i + 1) % 4 == 0:\n{CLEAR}",
    "continued": EACH
    + f"    {CLIP}\n    if (i + 1) % 4:\n        continue\n    {STEP}\n    optimizer.zero_grad()\n",
    "under a word": (EACH + f"    {CLIP}\n    if sync_gradients:\n{CLEAR}").replace(
        "i, x", "sync_gradients, x"
    ),
    "in a loop of micro-batches": (
        f"for batch in data:\n    optimizer.zero_grad()\n    for x in batch.chunk(accumulation_steps):\n"
        f"        model(x)[0].sum().backward()\n        {CLIP}\n    {STEP}\n"
    ),
}


@pytest.mark.parametrize("program", PARTIAL.values(), ids=PARTIAL)
def test_a_clip_of_every_micro_batch_is_one_finding_at_the_clip(program):
    (verdict,) = verdicts(program)
    assert verdict.code == "CLP204"
    assert "right before `optimizer.step()`" in verdict.message


# -- CLP205 ------------------------------------------------------------------------------------------

ANEW = {
    "made for each clip": ("", "model.parameters()"),
    "a list": ("params = list(model.parameters())\nother = torch.optim.SGD(params)\n", "params"),
    "a list of what is trained": (
        "params = [p for p in model.parameters() if p.requires_grad]\nother = torch.optim.SGD(params)\n",
        "params",
    ),
    "a function": (
        "def params():\n    return model.parameters()\nother = torch.optim.SGD(params())\n",
        "params()",
    ),
    "a lambda": ("params = lambda: model.parameters()\nother = torch.optim.SGD(params())\n", "params()"),
    "the groups": (
        "groups = [{'params': model.parameters()}]\nother = torch.optim.SGD(groups)\n",
        "groups[0]['params']",
    ),
    "one of two, and nobody knows which": (
        "params = model.parameters()\nif rich: params = list(params)\nother = torch.optim.SGD(params)\n",
        "params",
    ),
    "handed to code that is not known": ("params = model.parameters()\nhelper(params)\n", "list(params)"),
    "a module's method of its own": (
        "class Own(nn.LSTM):\n    def parameters(self): return self.kept\nparams = Own(4, 8).parameters()\n",
        "params",
    ),
    "names of the parameters kept elsewhere": (
        "table = dict(model.named_parameters())\nother = torch.optim.SGD(table.values())\n",
        "table.values()",
    ),
}


@pytest.mark.parametrize(("before", "what"), ANEW.values(), ids=ANEW)
def test_what_can_be_read_again_is_silent(before, what):
    assert codes(turn(clip(what), STEP, before=before)) == []


def test_an_iterator_made_in_each_turn_is_silent():
    assert codes(turn("params = model.parameters()", clip("params"), STEP)) == []


def test_an_iterator_that_is_read_once_is_silent():
    program = f"params = model.parameters()\nmodel(x)[0].sum().backward()\n{clip('params')}\n{STEP}\n"
    assert codes(program) == []


USED_UP = {
    "by an optimizer": "params = model.parameters()\nother = torch.optim.SGD(params)\n",
    "by an optimizer's group": "params = model.parameters()\nother = torch.optim.SGD([{'params': params}])\n",
    "by a list": "params = model.parameters()\nkept = list(params)\n",
    "by a loop": "params = model.parameters()\nfor p in params:\n    print(p)\n",
    "by a comprehension": "params = model.parameters()\nkept = [p for p in params]\n",
    "through a filter": (
        "params = model.parameters()\nother = torch.optim.SGD(filter(lambda p: p.requires_grad, params))\n"
    ),
    "a filter": (
        "params = filter(lambda p: p.requires_grad, model.parameters())\nother = torch.optim.SGD(params)\n"
    ),
    "a map": "params = map(lambda p: p, model.parameters())\nother = torch.optim.SGD(params)\n",
    "a generator expression": "params = (p for p in model.parameters())\nother = torch.optim.SGD(params)\n",
    "a chain": (
        "from itertools import chain\nparams = chain(model.parameters())\nother = torch.optim.SGD(params)\n"
    ),
    "an iterator over a list": "params = iter(list(model.parameters()))\nother = torch.optim.SGD(params)\n",
    "from a function": (
        "def make():\n    return model.parameters()\nparams = make()\nother = torch.optim.SGD(params)\n"
    ),
    "by the clip itself": "params = model.parameters()\n",
}


@pytest.mark.parametrize("before", USED_UP.values(), ids=USED_UP)
def test_an_iterator_that_was_used_up_is_one_finding_at_the_clip(before):
    (verdict,) = verdicts(turn(clip("params"), STEP, before=before))
    assert verdict.code == "CLP205"
    assert "used up" in verdict.message
    assert verdict.repair is not None
    assert verdict.repair.applicability == "safe"


HELD = {
    "parameters in a new list": "[p for p in model.parameters()]",
    "their list": "list(model.parameters())",
    "one of their gradients' owners": "[q for q in model.parameters() if q.grad is not None]",
    "a state dict that keeps its variables": "model.state_dict(keep_vars=True).values()",
    "what a helper makes of them": "[fast(p) for p in model.parameters()]",
    "fields of other things": "[layer.data for layer in layers(model)] + list(model.parameters())",
}


@pytest.mark.parametrize("what", HELD.values(), ids=HELD)
def test_what_may_hold_gradients_is_silent(what):
    assert codes(turn(clip(what), STEP)) == []


EMPTY = {
    "gradients": "[p.grad for p in model.parameters()]",
    "data": "[p.data for p in model.parameters()]",
    "clones": "[p.clone() for p in model.parameters()]",
    "detached": "[p.detach() for n, p in model.named_parameters()]",
    "detached clones": "[p.detach().clone() for p in model.parameters()]",
    "a state dict": "model.state_dict().values()",
    "its list": "list(model.state_dict().values())",
    "an empty list": "[]",
}


@pytest.mark.parametrize("what", EMPTY.values(), ids=EMPTY)
def test_what_holds_no_gradients_is_one_finding_without_a_fix(what):
    (verdict,) = verdicts(turn(clip(what), STEP))
    assert (verdict.code, verdict.repair) == ("CLP205", None)


def test_a_list_of_gradients_with_a_name_of_its_own():
    lines = ("grads = [p.grad for p in model.parameters()]", clip("grads"), STEP)
    assert codes(turn(*lines)) == ["CLP205"]


@pytest.mark.parametrize(
    "call",
    [
        "clip_grad_norm_([], 1.0)",
        "nn.utils.clip_grad_norm_([], 1.0)",
        "nn.utils.clip_grad_norm_(max_norm=1.0, parameters=[])",
    ],
)
def test_an_empty_list_holds_no_gradients_by_whatever_name_the_function_goes(call):
    assert "CLP205" in codes(turn(call, STEP))


def test_a_list_that_is_filled_before_the_clip_is_silent():
    lines = ("params = []", "params.extend(model.parameters())", clip("params"), STEP)
    assert codes(turn(*lines)) == []


# -- CLP207 ------------------------------------------------------------------------------------------

PAIR = """\
class Speaker(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(4, 8)
class Listener(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(8, 4)
speaker, model = Speaker(), Listener()
optimizer = torch.optim.Adam(model.parameters())
speaking = torch.optim.Adam(speaker.parameters())
"""
OTHER = clip("speaker.parameters()")
OWN = {
    "each its own": turn(CLIP, STEP, OTHER, "speaking.step()"),
    "both before both": turn(OTHER, CLIP, STEP, "speaking.step()"),
    "one over both": turn(clip("[*model.parameters(), *speaker.parameters()]"), STEP),
    "by an unknown helper": turn("clip_gradients(speaker)", STEP),
}


@pytest.mark.parametrize("program", OWN.values(), ids=OWN)
def test_a_clip_of_ones_own_model_is_silent(program):
    assert "CLP207" not in codes(program, PAIR)


def test_a_clip_for_a_later_step_is_silent_about_the_model():
    both = turn(OTHER, STEP, "speaking.step()").replace("model(x)", "(model(x) + speaker(x))")
    assert codes(both, PAIR) == ["CLP101"]


MAYBE = {
    "a model that holds it": (
        "class Pair(nn.Module):\n    def __init__(self, one):\n        super().__init__()\n        self.one = one\n"
        "other = Pair(model)\n"
    ),
    "a model that was handed it": (
        "class Pair(nn.Module):\n    def __init__(self, one):\n        super().__init__()\n        keep(self, one)\n"
        "other = Pair(model)\n"
    ),
    "a copy": "import copy\nother = copy.deepcopy(model)\n",
    "an older state of it": "other = Listener()\nother.load_state_dict(model.state_dict())\n",
    "something unknown": "other = build()\n",
    "a part of it": "other = model.rnn\n",
}


@pytest.mark.parametrize("setup", MAYBE.values(), ids=MAYBE)
def test_a_clip_of_what_may_be_the_model_is_silent(setup):
    assert "CLP207" not in codes(turn(clip("other.parameters()"), STEP), PAIR + setup)


def test_a_clip_beside_the_step_of_an_unknown_optimizer_is_silent():
    program = turn(OTHER, STEP, "unknown_optimizer.step()")
    assert "CLP207" not in codes(program, PAIR.replace("speaking =", "unused ="))


def test_a_clip_may_be_for_the_step_of_an_unknown_optimizer_anywhere_in_the_file():
    later = "def later(optimizer):\n    optimizer.step()\n"
    assert "CLP207" not in codes(turn(OTHER, STEP, after=later), PAIR)
    assert "CLP207" in codes(turn(OTHER, STEP), PAIR)


def test_a_clip_of_another_model_is_one_finding_at_the_clip():
    (verdict,) = verdicts(turn(OTHER, STEP), PAIR)
    assert verdict.code == "CLP207"
    assert verdict.message.endswith(
        "clips a Speaker, which `optimizer.step()` does not update; clip `model.parameters()`"
    )
    assert any("unclipped" in one.message for one in verdict.evidence)
    assert verdict.repair is None
