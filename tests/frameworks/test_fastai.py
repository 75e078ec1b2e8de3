"""fastai clips by a callback: what the fix adds is run, alone and beside another."""

from __future__ import annotations

from pathlib import Path

import pytest
import running

PROGRAM = """\
import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import SGD
from torch import nn

torch.manual_seed(0)


class Watch(Callback):
    def after_batch(self):
        self.learn.seen = self.iter


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(4, 8, batch_first=True)

    def forward(self, x):
        return self.rnn(x)[0].sum((1, 2))


data = torch.utils.data.TensorDataset(torch.randn(8, 5, 4), torch.full((8,), 1000.0))
loader = torch.utils.data.DataLoader(data, batch_size=8)
model = Net()
before = [parameter.detach().clone() for parameter in model.parameters()]
learner = Learner(DataLoaders(loader, loader), model, loss_func=nn.MSELoss(), opt_func=SGD{cbs})
learner.fit(1, lr=1.0, wd=0.0)
moved = [new.detach() - old for new, old in zip(model.parameters(), before)]
print(torch.cat([change.flatten() for change in moved]).norm().item())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cbs", "written"),
    [
        ("", "cbs=GradientClip(1.0)"),
        (", cbs=[Watch()]", "cbs=[Watch(), GradientClip(1.0)]"),
        (", cbs=Watch()", "cbs=[Watch(), GradientClip(1.0)]"),
    ],
)
def test_the_callback_clips(cbs: str, written: str, tmp_path: Path) -> None:
    running.needs("fastai", "torch")
    (tmp_path / "train.py").write_text(PROGRAM.replace("{cbs}", cbs), encoding="utf-8")
    assert running.norm(tmp_path) > 100
    assert written in running.fixed(tmp_path)
    assert running.norm(tmp_path) == pytest.approx(1.0, rel=1e-3)
