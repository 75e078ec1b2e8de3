"""PaddlePaddle: SGD with a learning rate of 1.0 moves the parameters by the gradient that it used."""

from __future__ import annotations

from pathlib import Path

import pytest
import running

PROGRAM = """\
import paddle
from paddle import nn

paddle.seed(0)
model = nn.LSTM(4, 8)
before = [parameter.clone() for parameter in model.parameters()]
optimizer = paddle.optimizer.SGD(1.0, parameters=model.parameters())
outputs, _ = model(paddle.randn([2, 5, 4]))
loss = 1000 * outputs.pow(2).sum()
loss.backward()
optimizer.step()
optimizer.clear_grad()
print(float(sum(((new - old) ** 2).sum() for new, old in zip(model.parameters(), before)) ** 0.5))
"""


@pytest.mark.slow
def test_the_fixed_optimizer_uses_a_norm_of_one(tmp_path: Path) -> None:
    running.needs("paddle")
    (tmp_path / "train.py").write_text(PROGRAM, encoding="utf-8")
    assert running.norm(tmp_path) > 100
    assert "grad_clip=paddle.nn.ClipGradByGlobalNorm(1.0))" in running.fixed(tmp_path)
    assert running.norm(tmp_path) == pytest.approx(1.0, rel=1e-3)
