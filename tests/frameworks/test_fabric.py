"""Loops of Lightning Fabric are run before and after their fix: Fabric's own clip before the step."""

from __future__ import annotations

import pytest
import running

pytestmark = pytest.mark.slow

PROGRAM = """\
import torch
from lightning.fabric import Fabric
from torch import nn

torch.manual_seed(0)
fabric = Fabric(accelerator="cpu", devices=1)
model = nn.LSTM(4, 8, batch_first=True)
start = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
model, optimizer = fabric.setup(model, optimizer)
for batch in [torch.randn(8, 6, 4)]:
    outputs, _ = model(batch)
    loss = 1000 * outputs.pow(2).sum()
    fabric.backward(loss)
    optimizer.step()
    optimizer.zero_grad()
moved = torch.cat([parameter.detach().flatten() for parameter in model.parameters()]) - start
print(moved.norm().item())
"""


def test_the_fixed_loop_uses_a_norm_of_one(tmp_path):
    running.needs("lightning")
    (tmp_path / "train.py").write_text(PROGRAM, encoding="utf-8")
    assert running.watched(tmp_path, "0 confirmed, 1 refuted")[0] > 100
    written = "    fabric.clip_gradients(model, optimizer, max_norm=1.0)\n    optimizer.step()\n"
    assert written in running.fixed(tmp_path)
    assert running.watched(tmp_path, "1 confirmed, 0 refuted") == pytest.approx([1.0], abs=1e-3)
