"""MMEngine's wrapper clips when told: what the fix tells it is run, by a call and by a dict."""

from __future__ import annotations

from pathlib import Path

import pytest
import running

WRAPPER = """\
import torch
from mmengine.optim import OptimWrapper
from torch import nn

torch.manual_seed(0)
model = nn.LSTM(4, 8, batch_first=True)
before = [parameter.detach().clone() for parameter in model.parameters()]
wrapper = OptimWrapper(optimizer=torch.optim.SGD(model.parameters(), lr=1.0))
loss = 1000 * model(torch.randn(8, 5, 4))[0].pow(2).sum()
wrapper.update_params(loss)
moved = [new.detach() - old for new, old in zip(model.parameters(), before)]
print(torch.cat([change.flatten() for change in moved]).norm().item())
"""

# torchvision may be built for another torch, and the runner only asks for its version.
RUNNER = """\
import sys
import tempfile

import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

sys.modules["torchvision"] = None
torch.manual_seed(0)


class Net(BaseModel):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(4, 8, batch_first=True)

    def forward(self, x, mode="loss"):
        return {"loss": 1000 * self.rnn(x)[0].pow(2).sum()}


model = Net()
before = [parameter.detach().clone() for parameter in model.parameters()]
loader = torch.utils.data.DataLoader([torch.randn(5, 4) for _ in range(8)], batch_size=8, collate_fn=lambda rows: {"x": torch.stack(rows)})
runner = Runner(
    model=model,
    work_dir=tempfile.mkdtemp(),
    train_dataloader=loader,
    optim_wrapper=dict(optimizer=dict(type="SGD", lr=1.0)),
    train_cfg=dict(by_epoch=True, max_epochs=1),
    default_hooks=dict(checkpoint=None),
)
runner.train()
moved = [new.detach() - old for new, old in zip(model.parameters(), before)]
print(torch.cat([change.flatten() for change in moved]).norm().item())
"""


@pytest.mark.slow
@pytest.mark.parametrize("program", [WRAPPER, RUNNER], ids=["wrapper", "runner"])
def test_the_wrapper_clips(program: str, tmp_path: Path) -> None:
    running.needs("mmengine", "torch")
    (tmp_path / "train.py").write_text(program, encoding="utf-8")
    assert running.norm(tmp_path) > 100
    assert "clip_grad=dict(max_norm=1.0)" in running.fixed(tmp_path)
    assert running.norm(tmp_path) == pytest.approx(1.0, rel=1e-3)
