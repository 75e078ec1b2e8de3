"""Loops of Accelerate are run before and after their fix: its own clip, once for each complete gradient."""

from __future__ import annotations

from pathlib import Path

import pytest
import running

pytestmark = pytest.mark.slow
REFUTED, CONFIRMED = "0 confirmed, 1 refuted", "1 confirmed, 0 refuted"

START = """\
import torch
from accelerate import Accelerator
from torch import nn

torch.manual_seed(0)
inputs = torch.randn(8, 6, 4)
model = nn.LSTM(4, 8, batch_first=True)


def flat():
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def loss_of(batch):
    return 1000 * model(batch)[0].pow(2).sum(dim=(1, 2)).mean()


(gradient,) = [torch.cat([part.flatten() for part in torch.autograd.grad(loss_of(inputs), list(model.parameters()))])]
start = flat()
"""
END = """
moved = start - flat()
print(torch.cosine_similarity(moved, gradient, dim=0).item(), moved.norm().item())
"""
PLAIN = """
accelerator = Accelerator(cpu=True)
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
model, optimizer = accelerator.prepare(model, optimizer)
for batch in [inputs]:
    loss = loss_of(batch)
    accelerator.backward(loss)
    optimizer.step()
    optimizer.zero_grad()
"""
# Four micro-batches; Accelerate divides the loss and lets `step` act at the last of them.
ACCUMULATED = """
accelerator = Accelerator(cpu=True, gradient_accumulation_steps=4)
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
model, optimizer = accelerator.prepare(model, optimizer)
for batch in inputs.split(2):
    with accelerator.accumulate(model):
        loss = loss_of(batch)
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
"""
GUARDED = """\
        accelerator.backward(loss)
        if accelerator.sync_gradients:
            accelerator.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
"""
# What the guard prevents: the partial sum of every micro-batch is clipped.
UNGUARDED = ACCUMULATED.replace(
    "        optimizer.step()",
    "        accelerator.clip_grad_norm_(model.parameters(), max_norm=1.0)\n        optimizer.step()",
)
# Half precision needs a GPU, but for the scaler, which acts anywhere: it is put in by hand, and the model stays as it is.
SCALED = """
accelerator = Accelerator(cpu=True, mixed_precision="fp16")
accelerator.scaler, accelerator.native_amp = torch.amp.GradScaler("cpu", init_scale=1024.0), True
optimizer = accelerator.prepare(torch.optim.SGD(model.parameters(), lr=1.0))
for batch in [inputs]:
    loss = loss_of(batch)
    accelerator.backward(loss)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
"""


def write(folder: Path, program: str) -> None:
    """Write a program as `train.py`."""
    running.needs("accelerate")
    (folder / "train.py").write_text(START + program + END, encoding="utf-8")


@pytest.mark.parametrize(
    ("program", "written"),
    [
        pytest.param(
            PLAIN,
            "    accelerator.clip_grad_norm_(model.parameters(), max_norm=1.0)\n    optimizer.step()\n",
            id="plain",
        ),
        pytest.param(ACCUMULATED, GUARDED, id="four micro-batches"),
    ],
)
def test_the_gradient_used_is_the_whole_one_shortened_to_one(program, written, tmp_path):
    write(tmp_path, program)
    cosine, norm = running.watched(tmp_path, REFUTED)
    assert norm > 100
    assert cosine == pytest.approx(1.0, abs=1e-5)
    assert written in running.fixed(tmp_path)
    cosine, norm = running.watched(tmp_path, CONFIRMED)
    assert norm == pytest.approx(1.0, abs=1e-3)
    assert cosine == pytest.approx(1.0, abs=1e-5)


def test_a_clip_of_every_micro_batch_has_the_norm_and_not_the_direction(tmp_path):
    """Why the guard is written: no norm tells these two apart."""
    write(tmp_path, UNGUARDED)
    cosine, norm = running.watched(tmp_path, REFUTED)
    assert norm <= 1.0 + 1e-3
    assert cosine < 0.999


def test_a_clip_of_every_micro_batch_is_made_to_wait_for_the_last(tmp_path):
    write(tmp_path, UNGUARDED)
    assert GUARDED in running.fixed(tmp_path, unsafe=True)
    cosine, norm = running.watched(tmp_path, CONFIRMED)
    assert norm == pytest.approx(1.0, abs=1e-3)
    assert cosine == pytest.approx(1.0, abs=1e-5)


def test_a_plain_clip_in_half_precision_meets_the_loss_scale(tmp_path):
    write(tmp_path, SCALED)
    _, norm = running.watched(tmp_path, REFUTED)
    assert norm == pytest.approx(1 / 1024, rel=1e-3)
    assert "    accelerator.clip_grad_norm_(model.parameters(), max_norm=1.0)\n" in running.fixed(tmp_path)
    cosine, norm = running.watched(tmp_path, CONFIRMED)
    assert norm == pytest.approx(1.0, abs=1e-3)
    assert cosine == pytest.approx(1.0, abs=1e-5)
