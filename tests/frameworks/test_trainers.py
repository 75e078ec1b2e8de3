"""What a fix writes for a framework is run: the norm that the optimizer uses is what the fix says."""

from __future__ import annotations

from pathlib import Path

import pytest
import running

LIGHTNING = """\
import lightning as L
import torch
from torch import nn


class Tagger(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 8, batch_first=True)

    def training_step(self, batch, batch_idx):
        outputs, _ = self.lstm(batch)
        return 1000 * outputs.pow(2).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-6)


if __name__ == "__main__":
    torch.manual_seed(0)
    data = torch.utils.data.DataLoader(torch.randn(4, 5, 4), batch_size=2)
    quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    trainer = L.Trainer(max_epochs=1, accelerator="cpu", **quiet)
    trainer.fit(Tagger(), data)
"""

TRANSFORMERS = """\
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

torch.manual_seed(0)
model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=32, n_positions=16))
with torch.no_grad():
    for parameter in model.parameters():
        parameter *= 20
tokens = torch.arange(16)
sentences = [{"input_ids": tokens, "labels": tokens}] * 8
quiet = dict(use_cpu=True, report_to="none", save_strategy="no", optim="sgd", learning_rate=1e-6)
arguments = TrainingArguments("runs", max_steps=2, max_grad_norm=0.0, **quiet)
trainer = Trainer(model, arguments, train_dataset=sentences)
trainer.train()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("framework", "program"), [("lightning", LIGHTNING), ("transformers", TRANSFORMERS)])
def test_the_fixed_program_uses_a_norm_of_one(framework: str, program: str, tmp_path: Path) -> None:
    """The verifier refutes the program as it was, and confirms it as it is fixed, at the line that trains."""
    running.needs(framework)
    (tmp_path / "train.py").write_text(program, encoding="utf-8")
    before = running.verified(tmp_path)
    assert before.returncode == 1, before.stdout + before.stderr
    assert "1 refuted" in before.stdout
    running.fixed(tmp_path, unsafe=True)
    after = running.verified(tmp_path)
    assert after.returncode == 0, after.stdout + after.stderr
    assert "1 confirmed, 0 refuted" in after.stdout
    assert "0 not reached" in after.stdout


KERAS = """\
import keras
import numpy as np

keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((5, 4)), keras.layers.LSTM(8), keras.layers.Dense(1)])
model.compile(optimizer=keras.optimizers.SGD(1.0), loss="mse")
before = [np.array(variable) for variable in model.trainable_variables]
model.train_on_batch(np.ones((2, 5, 4)), np.full((2, 1), 1000.0))
after = [np.array(variable) for variable in model.trainable_variables]
print(sum(((new - old) ** 2).sum() for new, old in zip(after, before)) ** 0.5)
"""


@pytest.mark.slow
def test_the_fixed_keras_program_moves_by_a_norm_of_one(tmp_path: Path) -> None:
    """SGD with a learning rate of 1.0 moves the variables by the gradient that it used."""
    running.needs("keras", "torch")
    (tmp_path / "train.py").write_text(KERAS, encoding="utf-8")
    backend = {"KERAS_BACKEND": "torch"}
    assert running.norm(tmp_path, backend) > 100
    assert "SGD(1.0, global_clipnorm=1.0)" in running.fixed(tmp_path)
    assert running.norm(tmp_path, backend) == pytest.approx(1.0, rel=1e-5)
