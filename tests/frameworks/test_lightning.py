"""Programs of Lightning's Trainer are run before and after their fix: the argument that tells it to clip."""

from __future__ import annotations

from pathlib import Path

import pytest
import running

pytestmark = pytest.mark.slow
REFUTED, CONFIRMED = "0 confirmed, 1 refuted", "1 confirmed, 0 refuted"

PROGRAM = """\
import lightning as L
import torch
from torch import nn


class Tagger(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 8, batch_first=True)

    def training_step(self, batch, batch_idx):
        outputs, _ = self.lstm(batch)
        return 1000 * outputs.pow(2).sum(dim=(1, 2)).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


def flat(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


if __name__ == "__main__":
    torch.manual_seed(0)
    tagger = Tagger()
    start = flat(tagger)
    data = torch.randn(8, 6, 4)
    batches = torch.utils.data.DataLoader(data, batch_size=SIZE)
    loss = tagger.training_step(data, 0)
    gradient = torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(tagger.parameters()))])
    quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    trainer = L.Trainer(max_epochs=1, accelerator="cpu", SETTING**quiet)
    trainer.fit(tagger, batches)
    moved = start - flat(tagger)
    print(torch.cosine_similarity(moved, gradient, dim=0).item(), moved.norm().item())
"""


def write(folder: Path, size: int, setting: str = "") -> None:
    """Write the program: so many examples in a batch, and perhaps an argument of the Trainer."""
    running.needs("lightning")
    text = PROGRAM.replace("SIZE", str(size)).replace("SETTING", setting)
    (folder / "train.py").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("size", "setting"),
    [
        pytest.param(8, "", id="one batch"),
        pytest.param(2, "accumulate_grad_batches=4, ", id="four micro-batches"),
    ],
)
def test_the_gradient_used_is_the_whole_one_shortened_to_one(size, setting, tmp_path):
    write(tmp_path, size, setting)
    cosine, norm = running.watched(tmp_path, REFUTED)
    assert norm > 100
    assert cosine == pytest.approx(1.0, abs=1e-5)
    assert "gradient_clip_val=1.0" in running.fixed(tmp_path)
    cosine, norm = running.watched(tmp_path, CONFIRMED)
    assert norm == pytest.approx(1.0, abs=1e-3)
    assert cosine == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("value", ["None", "0.0"])
def test_clipping_that_was_switched_off_is_switched_on_when_asked(value, tmp_path):
    """Somebody wrote it: unsafe. None is the default, written out."""
    write(tmp_path, 8, f"gradient_clip_val={value}, ")
    before = (tmp_path / "train.py").read_text()
    assert running.words(tmp_path)[-1] > 100
    assert running.fixed(tmp_path) == before
    assert "gradient_clip_val=1.0, " in running.fixed(tmp_path, unsafe=True)
    assert running.words(tmp_path)[-1] == pytest.approx(1.0, abs=1e-3)
