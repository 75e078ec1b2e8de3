"""timm's scaler clips with two arguments: what the fix adds is run."""

from __future__ import annotations

from pathlib import Path

import pytest
import running

# torchvision, which timm imports, may be built for another torch, and then lacks operators that nobody needs here.
PROGRAM = """\
import torch
from torch import nn

torch.library.register_fake = lambda name, **_: lambda function: function
from timm.utils import NativeScaler

torch.manual_seed(0)
model = nn.LSTM(4, 8, batch_first=True)
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
before = [parameter.detach().clone() for parameter in model.parameters()]
scaler = NativeScaler(device="cpu")
loss = 1000 * model(torch.randn(8, 5, 4))[0].pow(2).sum()
scaler(loss, optimizer)
moved = [new.detach() - old for new, old in zip(model.parameters(), before)]
print(torch.cat([change.flatten() for change in moved]).norm().item())
"""


@pytest.mark.slow
def test_the_scaler_clips(tmp_path: Path) -> None:
    running.needs("timm", "torch")
    (tmp_path / "train.py").write_text(PROGRAM, encoding="utf-8")
    assert running.norm(tmp_path) > 100
    assert "scaler(loss, optimizer, clip_grad=1.0, parameters=model.parameters())" in running.fixed(tmp_path)
    assert running.norm(tmp_path) == pytest.approx(1.0, rel=1e-3)
