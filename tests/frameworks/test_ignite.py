"""Ignite has no clipping of its own: the hook that the fix registers is run, with and without accumulation."""

from __future__ import annotations

from pathlib import Path

import pytest
import running

PROGRAM = """\
import torch
from ignite.engine import Engine, create_supervised_trainer, supervised_training_step
from torch import nn

torch.manual_seed(0)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(4, 8, batch_first=True)

    def forward(self, x):
        return self.rnn(x)[0].sum((1, 2))


model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
before = [parameter.detach().clone() for parameter in model.parameters()]
{trainer}
trainer.run([(torch.randn(8, 5, 4), torch.full((8,), 1000.0))] * {batches}, max_epochs=1)
moved = [new.detach() - old for new, old in zip(model.parameters(), before)]
print(torch.cat([change.flatten() for change in moved]).norm().item())
"""
WHOLE = "trainer = create_supervised_trainer(model, optimizer, nn.MSELoss())"
PARTS = "trainer = create_supervised_trainer(model, optimizer, nn.MSELoss(), gradient_accumulation_steps=2)"
STEP = "trainer = Engine(supervised_training_step(model, optimizer, nn.MSELoss()))"


@pytest.mark.slow
@pytest.mark.parametrize(("trainer", "batches"), [(WHOLE, 1), (PARTS, 2), (STEP, 1)])
def test_the_hook_clips(trainer: str, batches: int, tmp_path: Path) -> None:
    running.needs("ignite", "torch")
    program = PROGRAM.replace("{trainer}", trainer).replace("{batches}", str(batches))
    (tmp_path / "train.py").write_text(program, encoding="utf-8")
    assert running.norm(tmp_path) > 100
    assert "optimizer.register_step_pre_hook(clip_gradients)" in running.fixed(tmp_path)
    assert running.norm(tmp_path) == pytest.approx(1.0, rel=1e-3)
