"""Loops of PyTorch are run before and after their fix: the norm that the optimizer uses, measured in two ways.

The verifier watches each program from outside. Apart from that each program measures itself: with SGD and a learning rate of 1
the parameters move by the gradient that was used.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import running

pytestmark = pytest.mark.slow
REFUTED, CONFIRMED = "0 confirmed, 1 refuted", "1 confirmed, 0 refuted"

START = """\
import itertools
import os

import torch
from torch import nn

torch.manual_seed(0)
model = nn.LSTM(4, 8, batch_first=True)
other = nn.GRU(4, 8, batch_first=True)
inputs = torch.randn(8, 6, 4)


def loss_of(network, batch):
    return 1000 * network(batch)[0].pow(2).sum(dim=(1, 2)).mean()


def flat(*networks):
    return torch.cat([parameter.detach().flatten() for network in networks for parameter in network.parameters()])


(gradient,) = [torch.cat([part.flatten() for part in torch.autograd.grad(loss_of(model, inputs), list(model.parameters()))])]
start, other_start = flat(model), flat(other)
"""
END = """
moved = start - flat(model)
print(torch.cosine_similarity(moved, gradient, dim=0).item(), moved.norm().item())
"""

PLAIN = """
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
for batch in [inputs]:
    loss = loss_of(model, batch)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
"""
SCALED = """
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
scaler = SCALER
for batch in [inputs]:
    loss = loss_of(model, batch)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
"""
BRANCHES = """
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
half = os.environ.get("HALF") == "1"
scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
for batch in [inputs]:
    loss = loss_of(model, batch)
    if half:
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    else:
        loss.backward()
        optimizer.step()
    optimizer.zero_grad()
"""
ACCUMULATED = """
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
for number, batch in enumerate(inputs.split(2)):
    loss = loss_of(model, batch) / 4
    loss.backward()
    if (number + 1) % 4 == 0:
        optimizer.step()
        optimizer.zero_grad()
"""
CLOSURE = """
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
for batch in [inputs]:

    def closure():
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        return loss

    optimizer.step(closure)
"""

UNSCALED = """\
    scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
    scaler.step(optimizer)
"""
PROGRAMS = {
    "plain": (
        PLAIN,
        "    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)\n    optimizer.step()\n",
    ),
    "scaler": (SCALED.replace("SCALER", 'torch.amp.GradScaler("cpu", init_scale=256.0)'), UNSCALED),
    "scaler of cpu.amp": (SCALED.replace("SCALER", "torch.cpu.amp.GradScaler(init_scale=256.0)"), UNSCALED),
    # Without a GPU it is off and hands everything through.
    "scaler of cuda.amp": (SCALED.replace("SCALER", "torch.cuda.amp.GradScaler()"), UNSCALED),
    "accumulation": (
        ACCUMULATED,
        "        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)\n        optimizer.step()\n",
    ),
    "closure": (
        CLOSURE,
        "        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)\n        return loss\n",
    ),
}


def write(folder: Path, program: str, end: str = END) -> None:
    """Write a program as `train.py`."""
    running.needs("torch")
    (folder / "train.py").write_text(START + program + end, encoding="utf-8")


@pytest.mark.parametrize(("program", "written"), PROGRAMS.values(), ids=list(PROGRAMS))
def test_the_gradient_used_is_the_whole_one_shortened_to_one(program, written, tmp_path):
    write(tmp_path, program)
    cosine, norm = running.watched(tmp_path, REFUTED)
    assert norm > 100
    assert cosine == pytest.approx(1.0, abs=1e-5)
    assert written in running.fixed(tmp_path)
    cosine, norm = running.words(tmp_path)
    assert norm == pytest.approx(1.0, abs=1e-3)
    assert cosine == pytest.approx(1.0, abs=1e-5)
    assert running.watched(tmp_path, CONFIRMED) == pytest.approx([cosine, norm])


def test_both_branches_of_mixed_precision_are_clipped(tmp_path):
    write(tmp_path, BRANCHES)
    for half in ("0", "1"):
        assert running.norm(tmp_path, {"HALF": half}) > 100
    text = running.fixed(tmp_path)
    assert text.count("clip_grad_norm_(model.parameters(), max_norm=1.0)\n") == 2
    assert text.count("scaler.unscale_(optimizer)\n") == 1
    for half in ("0", "1"):
        assert running.norm(tmp_path, {"HALF": half}) == pytest.approx(1.0, abs=1e-3)


# -- LBFGS -------------------------------------------------------------------------------------------

LBFGS = CLOSURE.replace(
    "torch.optim.SGD(model.parameters(), lr=1.0)", "torch.optim.LBFGS(model.parameters(), max_iter=4)"
)
USED = """
print(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).norm().item())
"""


def test_lbfgs_is_clipped_inside_its_closure_and_only_when_asked(tmp_path):
    """Its line search sees a vector that is not the gradient: unsafe."""
    write(tmp_path, LBFGS, USED)
    before = (tmp_path / "train.py").read_text()
    assert running.watched(tmp_path, REFUTED)[0] > 10
    assert running.fixed(tmp_path) == before
    assert PROGRAMS["closure"][1] in running.fixed(tmp_path, unsafe=True)
    assert running.watched(tmp_path, CONFIRMED)[0] <= 1.0 + 1e-3


# -- several optimizers, several models --------------------------------------------------------------

SEVERAL = """
first = torch.optim.SGD(model.parameters(), lr=1.0)
second = torch.optim.SGD(other.parameters(), lr=1.0)
for batch in [inputs]:
    loss = loss_of(model, batch) + loss_of(other, batch)
    loss.backward()
    first.step()
    second.step()
    first.zero_grad()
    second.zero_grad()
"""
JOINT = """
optimizer = torch.optim.SGD(itertools.chain(model.parameters(), other.parameters()), lr=1.0)
for batch in [inputs]:
    loss = loss_of(model, batch) + loss_of(other, batch)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
"""
BOTH = """
print((start - flat(model)).norm().item(), (other_start - flat(other)).norm().item())
"""


def test_each_of_several_optimizers_has_a_clip_of_its_own(tmp_path):
    write(tmp_path, SEVERAL, BOTH)
    assert min(running.watched(tmp_path, "0 confirmed, 2 refuted")) > 100
    text = running.fixed(tmp_path)
    assert "(model.parameters(), max_norm=1.0)\n    first.step()" in text
    assert "(other.parameters(), max_norm=1.0)\n    second.step()" in text
    assert running.watched(tmp_path, "2 confirmed, 0 refuted") == pytest.approx([1.0, 1.0], abs=1e-3)


def test_one_optimizer_over_two_models_has_one_joint_clip(tmp_path):
    write(tmp_path, JOINT, BOTH)
    assert min(running.watched(tmp_path, REFUTED)) > 100
    assert running.fixed(tmp_path).count("clip_grad_norm_(") == 1
    one, two = running.watched(tmp_path, CONFIRMED)
    assert (one**2 + two**2) ** 0.5 == pytest.approx(1.0, abs=1e-3)
    assert max(one, two) < 0.999
