"""Programs of Hugging Face's Trainer and of TRL's are run: they clip at 1.0 unless somebody switches that off."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import running

pytestmark = pytest.mark.slow
REFUTED, CONFIRMED = "0 confirmed, 1 refuted", "1 confirmed, 0 refuted"

START = """\
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

torch.manual_seed(0)
model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=32, n_positions=128))
with torch.no_grad():
    for parameter in model.parameters():
        parameter *= 20


def flat():
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


start = flat()
quiet = dict(use_cpu=True, report_to="none", save_strategy="no", max_steps=1, disable_tqdm=True)
plain = dict(optim="sgd", learning_rate=1.0, lr_scheduler_type="constant", weight_decay=0.0)
"""
TRAINER = """
tokens = torch.arange(16)
sentences = [{"input_ids": tokens, "labels": tokens}] * 8
arguments = TrainingArguments("runs", SETTING**plain, **quiet)
trainer = Trainer(model, arguments, train_dataset=sentences)
trainer.train()
print((flat() - start).norm().item())
"""
TRL = """
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

words = Tokenizer(models.WordLevel({f"w{number}": number for number in range(32)}, unk_token="w0"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w1", eos_token="w2")
sentences = Dataset.from_list([{"text": " ".join(f"w{number}" for number in range(3, 15))}] * 8)
arguments = SFTConfig("runs", SETTINGbf16=False, **plain, **quiet)
trainer = SFTTrainer(model, args=arguments, train_dataset=sentences, processing_class=tokenizer)
trainer.train()
print((flat() - start).norm().item())
"""


def write(folder: Path, program: str, setting: str) -> None:
    """Write a program, with an argument of its settings."""
    running.needs("transformers", *(["trl"] if program == TRL else []))
    (folder / "train.py").write_text(START + program.replace("SETTING", setting), encoding="utf-8")


@pytest.mark.parametrize("program", [TRAINER, TRL], ids=["transformers", "trl"])
def test_what_was_switched_off_is_switched_on_when_asked(program, tmp_path):
    write(tmp_path, program, "max_grad_norm=0.0, ")
    before = (tmp_path / "train.py").read_text()
    assert running.watched(tmp_path, REFUTED)[0] > 10
    assert running.fixed(tmp_path) == before
    assert "max_grad_norm=1.0, " in running.fixed(tmp_path, unsafe=True)
    assert running.watched(tmp_path, CONFIRMED) == pytest.approx([1.0], abs=1e-3)


def test_none_is_an_error_until_it_is_fixed(tmp_path):
    write(tmp_path, TRAINER, "max_grad_norm=None, ")
    command = [sys.executable, "train.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "TypeError" in done.stderr
    assert "max_grad_norm=1.0, " in running.fixed(tmp_path, unsafe=True)
    assert running.words(tmp_path) == pytest.approx([1.0], abs=1e-3)


def test_it_clips_where_nobody_says_anything(tmp_path):
    write(tmp_path, TRAINER, "")
    before = (tmp_path / "train.py").read_text()
    assert running.fixed(tmp_path, unsafe=True) == before
    assert running.words(tmp_path) == pytest.approx([1.0], abs=1e-3)
