"""`--explain FILE:LINE`: what is said of a step, of a clip, and of a line that is neither."""

from __future__ import annotations

import os
from pathlib import Path
from textwrap import dedent

import pytest

import clipcheck
from clipcheck import config, pipeline
from clipcheck.config import UserError

HEAD = """\
    import torch
    from torch import nn

    model = {model}
    optimizer = torch.optim.Adam(model.parameters())
    for batch in range(9):
        optimizer.zero_grad()
        model(batch)[0].sum().backward()
"""
LSTM = "nn.LSTM(8, 16)"
CLIP = "nn.utils.clip_grad_norm_(model.parameters(), 1.0)"


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Explains the line of a script (train.py) that holds a text."""
    monkeypatch.chdir(tmp_path)

    def explain(source: str, text: str = ".step(", row: int | None = None, **settings: object) -> str:
        source = dedent(source)
        path = tmp_path / "train.py"
        path.write_text(source, "utf-8")
        if row is None:
            row = next(number for number, line in enumerate(source.splitlines(), 1) if text in line)
        loaded = config.load(tmp_path, None, {"no_cache": True, "jobs": 1, **settings})
        return pipeline.explain(path, row, loaded)

    return explain


def loop(*lines: str, model: str = LSTM) -> str:
    return HEAD.format(model=model) + "".join(f"        {line}\n" for line in lines)


# -- not reported ------------------------------------------------------------------------------------


def test_a_clipped_step(told):
    text = told(loop(CLIP, "optimizer.step()"))
    assert "verdict: clipped\n" in text
    assert "an LSTM made at train.py:4" in text
    assert "through an Adam made at train.py:5" in text
    order = ["1. backward at train.py:8", "2. clip at train.py:9", "3. the step, on clipped gradients"]
    assert [line.strip() for line in text.splitlines() if line.strip()[:1].isdigit()] == order
    assert "risk of not clipping: high, an LSTM\n  train.py:4: LSTM made here" in text
    assert "fix: none needed here" in text


def test_a_trainer_and_a_model_that_something_was_made_of(told):
    text = told(
        """\
        from somewhere import wrapped
        from transformers import AutoModel, Trainer, TrainingArguments

        model = wrapped(AutoModel.from_pretrained("x"))
        trainer = Trainer(model, TrainingArguments("out"))
        trainer.train()
        """,
        "TrainingArguments(",
    )
    assert "updates\n  an AutoModel made at train.py:4\n  through an optimizer that it makes itself\n" in text


def test_a_clip_behind_an_option_without_a_default(told):
    source = loop('if settings["clip_grad"]:', f"    {CLIP}", "optimizer.step()")
    text = told("from somewhere import settings\n" + dedent(source))
    assert "verdict: clipped or not: that hangs on an option" in text


def test_a_step_below_the_risk_asked_for(told):
    text = told(loop("optimizer.step()", model="nn.Linear(8, 8)"))
    assert "verdict: not clipped, and not reported: no risk, below --min-risk medium" in text


def test_a_suppressed_step(told):
    text = told(loop("optimizer.step()  # clipcheck: ignore[CLP101]"))
    assert (
        "not reported, suppressed by `# clipcheck: ignore[CLP101]` in line 9: CLP101 unclipped-step" in text
    )


def test_a_step_whose_rule_is_not_selected(told):
    text = told(loop("optimizer.step()"), ignore=["CLP1"])
    assert "not reported, left out by select, ignore or per-file-ignores: CLP101" in text


def test_a_step_that_a_misplaced_clip_answers_for(told):
    text = told(loop("optimizer.step()", CLIP))
    assert (
        "verdict: withheld: the clip that should guard it is reported instead, at train.py:10 (CLP201)"
        in text
    )
    assert "fix: see the clip" in text


def test_a_step_behind_a_clip_per_parameter(told):
    text = told(
        loop("for p in model.parameters():", "    nn.utils.clip_grad_norm_(p, 1.0)", "optimizer.step()")
    )
    assert "at train.py:10 (CLP206)" in text


def test_a_step_after_code_that_may_clip(told):
    text = told("import elsewhere\n" + dedent(loop("elsewhere.prepare(model)", "optimizer.step()")))
    assert "verdict: unknown: not reported, because something on the way to it could not be followed" in text
    assert "not known\n" in text
    assert "was handed the model or the optimizer: it may clip, or not" in text


def test_a_step_behind_a_clip_by_hand(told):
    text = told(loop("for p in model.parameters():", "    p.grad.clamp_(-1, 1)", "optimizer.step()"))
    assert (
        "verdict: clipped by hand, so not reported: what bounds the gradients there is not checked\n" in text
    )
    assert "2. clip at train.py:10\n" in text


def test_a_step_whose_rest_is_of_no_risk(told):
    source = """\
        import torch
        from torch import nn

        reader, head = nn.LSTM(8, 16), nn.Linear(16, 2)
        optimizer = torch.optim.Adam([*reader.parameters(), *head.parameters()])
        for batch in range(9):
            optimizer.zero_grad()
            head(reader(batch)[0]).sum().backward()
            nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
            optimizer.step()
    """
    text = told(source)
    assert "verdict: clipped in part, and not reported: no risk, below --min-risk medium\n" in text
    assert "risk of not clipping the rest: none, a shallow MLP\n" in text


def test_a_step_without_gradients(told):
    text = told(loop("optimizer.zero_grad()", "optimizer.step()"))
    assert "verdict: not reported: no new gradients reach it, so there is nothing to clip" in text
    assert "1. the step, with no gradients: it changes nothing" in text


# -- reported ----------------------------------------------------------------------------------------


def test_an_unclipped_step(told):
    text = told(loop("optimizer.step()"))
    assert "verdict: reported: CLP101 unclipped-step, high risk\n  `optimizer.step()` uses gradients" in text
    assert "2. the step, on gradients that nothing has clipped" in text
    assert "nothing that matters here" in text
    assert "fix (safe, written by --fix): clip the gradient norm at 1.0" in text


def test_the_guards_of_each_way(told):
    text = told(loop("if batch < 5:", f"    {CLIP}", "optimizer.step()"))
    assert "  where `batch < 5` is true:\n    1. backward" in text
    assert "  where `batch < 5` is false:\n    1. backward" in text


def test_ways_are_told_by_what_sets_them_apart(told):
    text = told(
        loop(
            "if verbose:",
            "    say()",
            "if not dry:",
            "    if batch < 5:",
            f"        {CLIP}",
            "    optimizer.step()",
        )
    )
    assert "  where `batch < 5` is true:\n    1. backward" in text
    assert "  where `batch < 5` is false:\n    1. backward" in text
    assert "dry" not in text.partition("gradients, when")[2].partition("risk of")[0]


def test_a_single_kind_of_way_is_told_with_all_that_it_asks_for(told):
    text = told(loop("if dry:", "    continue", CLIP, "optimizer.step()"))
    assert text.count("1. backward") == 1
    assert "  where `dry` is false:\n    1. backward" in text


def test_ways_with_nothing_in_common_are_counted(told):
    text = told(loop("if batch < 5:", f"    {CLIP}", "elif batch > 9:", f"    {CLIP}", "optimizer.step()"))
    assert text.count("the step, on clipped gradients") == 2  # by one clip, or by the other


def test_an_option_that_is_off(told):
    source = """\
    import argparse
    parser = argparse.ArgumentParser()
    parser.add_argument("--clip", type=float, default=0.0)
    args = parser.parse_args()
    """
    text = told(dedent(source) + dedent(loop("if args.clip > 0:", f"    {CLIP}", "optimizer.step()")))
    assert "where `args.clip > 0` is true (not the default):" in text
    assert "CLP102" in text
    assert (
        "written by --fix --unsafe-fixes): set the default of `clip` to 1.0; unsafe because everybody" in text
    )


def test_the_loss_scale(told):
    scaled = loop("scaler.unscale_(optimizer)", CLIP, "scaler.step(optimizer)").replace(
        "model(batch)[0].sum().backward()", "scaler.scale(model(batch)[0].sum()).backward()"
    )
    text = told(scaled.replace("    for batch", "    scaler = torch.amp.GradScaler()\n    for batch"))
    assert "1. backward of the scaled loss at train.py:9" in text
    assert "2. unscale at train.py:10" in text
    bare = scaled.replace("        scaler.unscale_(optimizer)\n", "").replace(f"        {CLIP}\n", "")
    text = told(bare.replace("    for batch", "    scaler = torch.amp.GradScaler()\n    for batch"))
    assert "2. the step, which takes the loss scale off by itself; nothing has clipped" in text


def test_an_unsafe_fix_says_why(told):
    source = loop("optimizer.step(closure)").replace("Adam(", "LBFGS(")
    source = source.replace("        model(batch)[0].sum().backward()\n", "").replace(
        "    for batch",
        "    def closure():\n        model(1)[0].sum().backward()\n        return 1\n    for batch",
    )
    text = told(source)
    assert "written by --fix --unsafe-fixes" in text
    assert "unsafe because its line search would see a vector that is not the gradient" in text


def test_every_caller_of_a_helper(told):
    source = """\
    import torch
    from torch import nn

    def update(optimizer, loss):
        loss.backward()
        optimizer.step()

    text = nn.LSTM(8, 8)
    first = torch.optim.SGD(text.parameters(), lr=1.0)
    images = nn.Linear(8, 8)
    second = torch.optim.SGD(images.parameters(), lr=1.0)
    for batch in range(9):
        update(first, text(batch)[0].sum())
        update(second, images(batch).sum())
    """
    text = told(source)
    assert "gradients, when reached from train.py, by the call in line 13" in text
    assert "gradients, when reached from train.py, by the call in line 14" in text
    assert "a Linear made at train.py:10" in text


def test_two_steps_on_one_line(told):
    text = told(loop("optimizer.step(); optimizer.step()"))
    assert text.count("train.py:9: `optimizer.step()`") == 2


# -- not a step --------------------------------------------------------------------------------------


def test_a_clip(told):
    text = told(loop(CLIP, "optimizer.step()"), "clip_grad")
    assert "a clip (norm), not a step\nverdict: nothing is wrong with it" in text
    assert "clips the gradients of\n  train.py:10: `optimizer.step()`, clipped" in text


def test_a_clip_in_the_wrong_place(told):
    text = told(loop("optimizer.step()", CLIP), "clip_grad")
    assert "verdict: reported: CLP201 clip-after-step" in text
    assert "fix (safe, written by --fix)" in text


def test_another_line_names_the_steps_of_the_file(told):
    text = told(loop("optimizer.step()"), "zero_grad")
    assert text.startswith("train.py:7: no optimizer step and no clip: `optimizer.zero_grad()`\n")
    assert "optimizer steps in this file\n  train.py:9: `optimizer.step()`, reported: CLP101" in text


TRAINER = """
    import torch
    from torch import nn

    class Trainer:
        def __init__(self):
            self.model = nn.LSTM(8, 8)
            self.optimizer = torch.optim.Adam(self.model.parameters())

        def update(self, loss):
            loss.backward()
            self.optimizer.step()

        def train(self):
            self.update(
                self.model(0)[0])
"""


def test_a_line_that_leads_to_a_step_elsewhere(told):
    source = f"{TRAINER}\n    trainer = Trainer()\n    trainer.train()\n"
    text = told(source, "trainer.train()")
    assert text.startswith("train.py:19: leads to a step that is judged elsewhere: `trainer.train()`\n")
    assert "this line leads to\n  train.py:12: `self.optimizer.step()`, reported: CLP101" in text
    assert "other optimizer steps" not in text
    assert "no optimizer step and no clip: `trainer = Trainer()`" in told(source, "trainer = Trainer()")
    assert "no optimizer step and no clip: `class Trainer:`" in told(source, "class Trainer")
    text = told(
        source + "    other = torch.optim.SGD(trainer.model.parameters())\n    other.step()\n", ".train()"
    )
    assert "\n\nother optimizer steps in this file\n  train.py:21: `other.step()`" in text


def test_a_line_that_sets_a_training_going(told):
    source = """
        import keras

        model = keras.Sequential([keras.layers.LSTM(8), keras.layers.Dense(1)])
        model.compile("adam", "mse")
        model.fit([], [])
    """
    text = told(source, "model.fit")
    assert "leads to a step that is judged elsewhere: `model.fit([], [])`" in text
    assert "this line leads to\n  train.py:5: `model.compile('adam', 'mse')`" in text


def test_a_function_that_the_run_begins_with_is_called_in_no_line(told):
    text = told(f"{TRAINER}\n    def run(trainer: Trainer):\n        trainer.update(0)\n")
    assert "in line 0" not in text
    assert "gradients, when reached from train.py:" in text


def test_an_empty_line_and_one_past_the_end(told):
    assert told("x = 1\n\n", row=2).startswith("train.py:2: an empty line\n")
    assert (
        told("x = 1\n", row=7)
        == "train.py:7: past the end of the file (line 1)\n\nno optimizer step was seen in this file\n"
    )


def test_a_file_that_cannot_be_parsed(told):
    with pytest.raises(UserError, match="cannot be parsed by Python"):
        told("optimizer.step(\n", row=1)


def test_an_excluded_file(told):
    with pytest.raises(UserError, match="excluded"):
        told(loop("optimizer.step()"), extend_exclude=["train.py"], force_exclude=True)


def test_no_absolute_names(told, tmp_path):
    assert str(tmp_path) + os.sep not in told(loop("optimizer.step()"))


# -- a clip of a part, of partial sums, of another model -----------------------------------------------

PARTS = "nn.Sequential(nn.LSTM(8, 16), {head})"


def test_a_step_that_is_clipped_in_part(told):
    part = "nn.utils.clip_grad_norm_(model[0].parameters(), 1.0)"
    text = told(loop(part, "optimizer.step()", model=PARTS.format(head="nn.GRU(16, 8)")))
    assert "verdict: reported: CLP103 partly-clipped-step, high risk" in text
    assert "the step, on gradients that are clipped in part" in text
    assert "fix (unsafe, written by --fix --unsafe-fixes): clip `model.parameters()`" in text
    assert "unsafe because" not in text


def test_a_step_whose_uncovered_part_is_below_the_risk_asked_for(told):
    part = "nn.utils.clip_grad_norm_(model[0].parameters(), 1.0)"
    text = told(loop(part, "optimizer.step()", model=PARTS.format(head="nn.Linear(16, 8)")))
    assert "not reported: no risk, below --min-risk medium" in text


def test_a_step_behind_a_clip_of_every_micro_batch(told):
    text = told(
        """\
        import torch
        from torch import nn
        model = nn.LSTM(8, 16)
        optimizer = torch.optim.Adam(model.parameters())
        for i, batch in enumerate(data):
            model(batch)[0].sum().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            if i % 4 == 3:
                optimizer.step()
                optimizer.zero_grad()
        """
    )
    assert "withheld: the clip that should guard it is reported instead, at train.py:7 (CLP204)" in text


def test_a_step_behind_a_clip_of_another_model(told):
    program = loop("nn.utils.clip_grad_norm_(other.parameters(), 1.0)", "optimizer.step()")
    text = told(program.replace("    for batch", "    other = nn.GRU(8, 16)\n    for batch", 1))
    assert "reported instead, at train.py:10 (CLP207)" in text
    assert "clip at train.py:10 of another model" in text


# -- an optimizer that nobody knows ------------------------------------------------------------------

HANDED = """\
    import jax
    from elsewhere import Adam, other

    def loss(params, x):
        return (params["w"] @ x).sum()

    params = {{"w": start}}
    gradient = {function}
    optimizer = Adam(0.1)
    for x in data:
        value, grads = gradient(params, x)
        params = optimizer.step(params, grads)
"""


def test_a_strange_optimizer_that_is_handed_its_gradients(told):
    text = told(HANDED.format(function="jax.value_and_grad(loss)"))
    assert "verdict: unknown" in text
    assert "1. backward at train.py:11\n  2. the step, on gradients that nothing in sight has clipped" in text
    assert "the optimizer, which is handed its gradients, is not known: it may clip, or not" in text


def test_a_strange_optimizer_that_is_handed_what_nobody_knows(told):
    text = told(HANDED.format(function="other(loss)"))
    assert "verdict: unknown" in text
    assert "1. the step, with no gradients in sight" in text
    assert "what the optimizer does with all it is handed is not known: it may clip, or not" in text


def test_a_model_that_is_handed_an_optimizer_that_nobody_knows(told):
    text = told(
        """\
        import keras
        from elsewhere import make

        model = keras.Sequential([keras.layers.LSTM(8)])
        model.compile(loss="mse", optimizer=make())
        """,
        "compile",
    )
    assert "verdict: unknown" in text
    assert "the optimizer that it is handed is not known: it may clip, or not" in text


def test_paths_beside_it_are_of_its_program(tmp_path, monkeypatch):
    """Without the mark of a project, what stands deep below is read only where it is named."""
    texts = {
        "main.py": "import torch\nfrom lib.loop import train\nfrom lib.nets.very.deep.net import Net\n"
        "net = Net()\ntrain(net, torch.optim.Adam(net.parameters()))\n",
        "lib/loop.py": "def train(net, optimizer):\n    for x in range(9):\n        net(x).sum().backward()\n        optimizer.step()\n",
        "lib/nets/very/deep/net.py": "from torch import nn\n\nNet = lambda: nn.LSTM(8, 8)\n",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    settings = config.load(tmp_path, None, {"no_cache": True})
    alone = pipeline.explain(Path("lib/loop.py"), 4, settings)
    beside = pipeline.explain(Path("lib/loop.py"), 4, settings, beside=[Path()])
    assert "verdict: not clipped, and not reported" in alone
    assert "verdict: reported: CLP101 unclipped-step, high risk" in beside


@pytest.mark.parametrize(("test", "made"), [("==", []), ("!=", ["Adam made here"])])
def test_the_optimizer_of_another_way_is_no_evidence(tmp_path, test, made):
    source = f"""
        import torch
        from mine import args
        from torch import nn

        model = nn.LSTM(8, 8)
        if args.optimizer == "adam":
            optimizer = torch.optim.Adam(model.parameters())
        else:
            optimizer = torch.optim.SGD(model.parameters())
        for x in []:
            model(x)[0].sum().backward()
            if args.optimizer {test} "adam":
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    """
    (tmp_path / "train.py").write_text(dedent(source), "utf-8")
    (finding,) = clipcheck.check([tmp_path], no_cache=True).findings
    told = [one.message for one in finding.evidence if one.message.endswith(" made here")]
    assert told == ["LSTM made here", *made]
