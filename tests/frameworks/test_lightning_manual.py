"""Manual optimization in Lightning: what the fix writes is run, and so is what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import running

PROGRAM = """\
import lightning as L
import torch
from torch import nn


class Speaker(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.lstm = nn.LSTM(4, 8, batch_first=True)

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        outputs, _ = self.lstm(batch)
        self.manual_backward(1000 * outputs.pow(2).sum())
        optimizer.step()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


if __name__ == "__main__":
    torch.manual_seed(0)
    data = torch.utils.data.DataLoader(torch.randn(2, 5, 4), batch_size=2)
    quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    model = Speaker()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    trainer = L.Trainer(max_steps=1, accelerator="cpu", **quiet)
    trainer.fit(model, data)
    after = [parameter.detach() for parameter in model.parameters()]
    print(float(sum(((new - old) ** 2).sum() for new, old in zip(after, before)) ** 0.5))
"""


@pytest.mark.slow
def test_the_fixed_module_uses_a_norm_of_one(tmp_path: Path) -> None:
    running.needs("lightning")
    (tmp_path / "train.py").write_text(PROGRAM, encoding="utf-8")
    assert running.norm(tmp_path) > 100
    assert "        self.clip_gradients(optimizer, gradient_clip_val=1.0, " in running.fixed(tmp_path)
    assert running.norm(tmp_path) == pytest.approx(1.0, rel=1e-3)


@pytest.mark.slow
def test_a_trainer_that_is_told_to_clip_is_refused_until_it_is_fixed(tmp_path: Path) -> None:
    running.needs("lightning")
    told = PROGRAM.replace("max_steps=1,", "max_steps=1, gradient_clip_val=1.0,")
    (tmp_path / "train.py").write_text(told, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode != 0
    assert "not supported for manual optimization" in done.stderr
    assert "gradient_clip_val=None" in running.fixed(tmp_path, unsafe=True)
    assert running.norm(tmp_path) == pytest.approx(1.0, rel=1e-3)


@pytest.mark.slow
def test_another_threshold_than_the_trainers_is_refused(tmp_path: Path) -> None:
    running.needs("lightning")
    hook = (
        "    def on_before_optimizer_step(self, optimizer):\n"
        '        self.clip_gradients(optimizer, gradient_clip_val=0.5, gradient_clip_algorithm="norm")\n\n'
    )
    program = PROGRAM.replace("        self.automatic_optimization = False\n", "")
    program = program.replace("    def configure_optimizers", hook + "    def configure_optimizers")
    start, end = program.index("        optimizer = self.optimizers()"), program.index(hook)
    step = "        outputs, _ = self.lstm(batch)\n        return 1000 * outputs.pow(2).sum()\n\n"
    program = program[:start] + step + program[end:]
    program = program.replace("max_steps=1,", "max_steps=1, gradient_clip_val=1.0,")
    (tmp_path / "train.py").write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode != 0
    assert "MisconfigurationException" in done.stderr
