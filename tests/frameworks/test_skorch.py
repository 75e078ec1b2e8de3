"""skorch clips by a callback: what the fix adds is run."""

from __future__ import annotations

from pathlib import Path

import pytest
import running

PROGRAM = """\
import torch
from skorch import NeuralNetRegressor
from torch import nn

torch.manual_seed(0)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(4, 8, batch_first=True)

    def forward(self, x):
        return self.rnn(x)[0].sum((1, 2))


made = dict(criterion=nn.MSELoss, optimizer=torch.optim.SGD, lr=1.0, max_epochs=1, batch_size=-1, train_split=None, verbose=0)
net = NeuralNetRegressor(Net, **made)
net.initialize()
before = [parameter.detach().clone() for parameter in net.module_.parameters()]
net.partial_fit(torch.randn(8, 5, 4), torch.full((8,), 1000.0))
moved = [new.detach() - old for new, old in zip(net.module_.parameters(), before)]
print(torch.cat([change.flatten() for change in moved]).norm().item())
"""


@pytest.mark.slow
def test_the_callback_clips(tmp_path: Path) -> None:
    running.needs("skorch", "torch")
    (tmp_path / "train.py").write_text(PROGRAM, encoding="utf-8")
    assert running.norm(tmp_path) > 100
    assert "callbacks=[GradientNormClipping(gradient_clip_value=1.0)]" in running.fixed(tmp_path)
    assert running.norm(tmp_path) == pytest.approx(1.0, rel=1e-3)


@pytest.mark.slow
def test_without_a_value_the_callback_does_nothing(tmp_path: Path) -> None:
    """Attached is not clipping: the fix sets the value."""
    running.needs("skorch", "torch")
    attached = PROGRAM.replace("(Net, **made)", "(Net, callbacks=[GradientNormClipping()], **made)").replace(
        "from torch import nn", "from skorch.callbacks import GradientNormClipping\nfrom torch import nn", 1
    )
    (tmp_path / "train.py").write_text(attached, encoding="utf-8")
    assert running.norm(tmp_path) > 100
    assert "GradientNormClipping(gradient_clip_value=1.0)" in running.fixed(tmp_path)
    assert running.norm(tmp_path) == pytest.approx(1.0, rel=1e-3)
