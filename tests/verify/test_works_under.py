"""The verifier under what people train with: each program clipped is confirmed, and not clipped refuted."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import running

from clipcheck.verify import Verification, verify

from .test_sharded import HEAD as TWO_PROCESSES

pytestmark = pytest.mark.slow

# One program, many loops: a line that steps carries the name of its loop.
TORCH = """
import sys, warnings
warnings.simplefilter("ignore")
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_
CLIP = sys.argv[1] == "clip"
torch.set_num_threads(1)

def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))

def loss(net):
    return 50 * ((net(torch.randn(5, 6)) + 1) ** 2).mean()

def clip(net):
    if CLIP:
        clip_grad_norm_(net.parameters(), 0.5)

def amp(fused):
    net = model()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    for _ in range(3):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(net)
        scaler.scale(value).backward()
        scaler.unscale_(optimizer)
        clip(net)
        if fused:
            scaler.step(optimizer)  # amp, fused
        else:
            scaler.step(optimizer)  # amp
        scaler.update()

def accumulation():
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    for number in range(12):
        (loss(net) / 4).backward()
        if number % 4 == 3:
            clip(net)
            optimizer.step()  # accumulation
            optimizer.zero_grad()

def several():
    first, second = model(), model()
    one, other = (torch.optim.SGD(net.parameters(), lr=1e-3) for net in (first, second))
    for _ in range(3):
        one.zero_grad(); other.zero_grad()
        (loss(first) + loss(second)).backward()
        clip(first)
        one.step()  # several, one
        clip(second)
        other.step()  # several, other

def closures():
    net = model()
    for optimizer in (torch.optim.SGD(net.parameters(), lr=1e-3), torch.optim.LBFGS(net.parameters(), max_iter=2)):
        def closure():
            optimizer.zero_grad()
            value = loss(net)
            value.backward()
            clip(net)
            return value
        optimizer.step(closure)  # closures

def flags(name, flag):
    net = model()
    optimizer = getattr(torch.optim, name)(net.parameters(), lr=1e-3, **{flag: True})
    for _ in range(3):
        optimizer.zero_grad()
        loss(net).backward()
        clip(net)
        if flag == "fused":
            optimizer.step()  # fused
        else:
            optimizer.step()  # foreach

def compiled(backend):
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    forward = torch.compile(net, backend=backend)
    for _ in range(3):
        optimizer.zero_grad()
        loss(forward).backward()
        clip(net)
        optimizer.step()  # compiled

def sparse():
    table = nn.Embedding(10, 4, sparse=True)
    optimizer = torch.optim.SparseAdam(table.parameters(), lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        (50 * table(torch.tensor([1, 1, 3]))).pow(2).sum().backward()
        optimizer.step()  # sparse

def mixed():
    # torch's clip refuses sparse gradients: the table goes unclipped, beside a model that does not
    table, net = nn.Embedding(10, 6, sparse=True), model()
    optimizer = torch.optim.SGD([*net.parameters(), *table.parameters()], lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        (50 * net(table(torch.tensor([1, 1, 3]))) ** 2).sum().backward()
        clip(net)
        optimizer.step()  # mixed

amp(False), amp(True), accumulation(), several(), closures(), compiled("eager"), compiled("aot_eager")
for name in ("SGD", "Adam", "AdamW"):
    flags(name, "fused")
    flags(name, "foreach")
sparse(), mixed()
"""
ACCELERATE = """
import sys, torch
from accelerate import Accelerator
accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
torch.manual_seed(0)
net = torch.nn.Linear(6, 3)
optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
data = torch.utils.data.DataLoader(torch.randn(24, 6), batch_size=4)
net, optimizer, data = accelerator.prepare(net, optimizer, data)
for batch in data:
    with accelerator.accumulate(net):
        accelerator.backward(50 * (net(batch) + 1).pow(2).sum())
        if sys.argv[1] == "clip" and accelerator.sync_gradients:
            accelerator.clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()  # step
        optimizer.zero_grad()
"""
LIGHTNING = """
import sys, warnings
warnings.simplefilter("ignore")
import lightning as L, torch

class Net(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(6, 3)
    def training_step(self, batch, _):
        return 50 * (self.net(batch) + 1).pow(2).sum()
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)

torch.manual_seed(0)
data = torch.utils.data.DataLoader(torch.randn(24, 6), batch_size=4)
trainer = L.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
    enable_model_summary=False, accumulate_grad_batches=2, gradient_clip_val=0.5 if sys.argv[1] == "clip" else None)
trainer.fit(Net(), data)  # step
"""
FABRIC = """
import sys, torch
from lightning.fabric import Fabric
fabric = Fabric(accelerator="cpu", devices=1)
torch.manual_seed(0)
net = torch.nn.Linear(6, 3)
net, optimizer = fabric.setup(net, torch.optim.SGD(net.parameters(), lr=1e-3))
for batch in torch.randn(3, 4, 6):
    optimizer.zero_grad()
    fabric.backward(50 * (net(batch) + 1).pow(2).sum())
    if sys.argv[1] == "clip":
        fabric.clip_gradients(net, optimizer, max_norm=0.5)
    optimizer.step()  # step
"""
TRANSFORMERS = """
import sys, torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments
torch.manual_seed(0)
model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=32, n_positions=16))
with torch.no_grad():
    for parameter in model.parameters():
        parameter *= 20
tokens = torch.arange(16)
arguments = TrainingArguments("runs", max_steps=3, max_grad_norm=0.5 if sys.argv[1] == "clip" else 0.0, use_cpu=True,
    report_to="none", save_strategy="no", learning_rate=1e-6, gradient_accumulation_steps=2, per_device_train_batch_size=1)
Trainer(model, arguments, train_dataset=[{"input_ids": tokens, "labels": tokens}] * 8).train()  # step
"""
PARALLEL = """
net = nn.parallel.DistributedDataParallel(net)
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
for step in range(3):
    optimizer.zero_grad()
    with net.no_sync():
        loss(net, step).backward()
    loss(net, step + 10).backward()
    if sys.argv[1] == "clip":
        nn.utils.clip_grad_norm_(net.parameters(), 0.5)
    optimizer.step()  # step
leave()
"""
TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def run(folder: Path, program: str, mode: str, python: tuple[str, ...] = ()) -> Verification:
    """Run a program to its end under the observer."""
    (folder / "train.py").write_text(program, encoding="utf-8")
    command = [sys.executable, *python, "train.py", mode]
    result = verify(command, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=400)
    assert result.exit_status == 0, result
    return result


def by_name(result: Verification, program: str) -> dict[str, str]:
    """Give the verdict on each line that steps, by the comment on it."""
    lines = program.splitlines()
    return {lines[site.place.row - 1].partition("# ")[2]: site.word for site in result.sites}


ALL = (
    "amp",
    "amp, fused",
    "accumulation",
    "several, one",
    "several, other",
    "closures",
    "fused",
    "foreach",
    "compiled",
)


def test_plain_torch_clipped(tmp_path: Path) -> None:
    result = run(tmp_path, TORCH, "clip")
    assert by_name(result, TORCH) == {
        **dict.fromkeys(ALL, "confirmed"), "sparse": "refuted", "mixed": "refuted"
    }, result  # fmt: skip
    reasons = {TORCH.splitlines()[site.place.row - 1].partition("# ")[2]: site for site in result.sites}
    assert reasons["mixed"].reason == "the clip covers 4 of 5 parameters updated"
    assert reasons["sparse"].reason == "nothing clipped the gradients"
    for name in ALL:
        assert reasons[name].threshold == 0.5, name
        shown = reasons[name].shown
        assert shown is not None
        assert shown.raw > 0.5, name
        assert shown.used == pytest.approx(0.5, rel=1e-4), name
    # accumulated over four: one update, clipped once; a closure is evaluated more often than it steps
    assert reasons["accumulation"].observed == 3
    assert reasons["closures"].optimizers == ("LBFGS", "SGD")
    assert reasons["fused"].optimizers == ("Adam", "AdamW", "SGD")


def test_plain_torch_unclipped(tmp_path: Path) -> None:
    result = run(tmp_path, TORCH, "leave")
    assert by_name(result, TORCH) == dict.fromkeys((*ALL, "sparse", "mixed"), "refuted"), result
    for site in result.sites:
        assert site.shown is not None
        assert site.shown.used == site.shown.raw > 0.5


@pytest.mark.parametrize(
    ("packages", "program"),
    [
        (["accelerate"], ACCELERATE),
        (["lightning"], LIGHTNING),
        (["lightning"], FABRIC),
        (["transformers", "accelerate"], TRANSFORMERS),
    ],
    ids=["accelerate", "lightning", "fabric", "transformers"],
)
@pytest.mark.parametrize(("mode", "word"), [("clip", "confirmed"), ("leave", "refuted")])
def test_frameworks(packages: list[str], program: str, mode: str, word: str, tmp_path: Path) -> None:
    running.needs(*packages)
    result = run(tmp_path, program, mode)
    assert by_name(result, program) == {"step": word}, result
    (site,) = result.sites
    assert site.observed == 3
    assert site.shown is not None
    if mode == "clip":
        assert (site.threshold, site.shown.clips_per_step) == (0.5, 1)
        assert site.shown.used == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize(("mode", "word"), [("clip", "confirmed"), ("leave", "refuted")])
def test_distributed_data_parallel(mode: str, word: str, tmp_path: Path) -> None:
    program = TWO_PROCESSES + PARALLEL
    result = run(tmp_path, program, mode, TWO)
    assert by_name(result, program) == {"step": word}, result
    ranks = {process.rank: process for process in result.sessions if process.records}
    assert set(ranks) == {0, 1}
    # the gradients are averaged before they are clipped: both ranks see the same
    assert [r.raw for r in ranks[0].records] == pytest.approx([r.raw for r in ranks[1].records])
    assert not any(record.sharded for record in ranks[0].records)


KERAS = """
import os
os.environ["KERAS_BACKEND"] = "torch"
import keras, numpy
model = keras.Sequential([keras.layers.Dense(3)])
model.compile(keras.optimizers.SGD(0.1), "mse")
model.fit(numpy.ones((8, 4)), numpy.ones((8, 3)), verbose=0)
"""
OPTAX = """
import jax, optax
parameters = {"w": jax.numpy.ones(3)}
transform = optax.sgd(0.1)
state = transform.init(parameters)

@jax.jit
def step(parameters, state):
    gradients = jax.grad(lambda p: (p["w"] ** 2).sum())(parameters)
    updates, state = transform.update(gradients, state)
    return optax.apply_updates(parameters, updates), state

for _ in range(2):
    parameters, state = step(parameters, state)
"""


@pytest.mark.parametrize(
    ("packages", "program", "said"),
    [(["keras", "torch"], KERAS, "keras optimizers"), (["optax", "jax"], OPTAX, "optax")],
    ids=["keras", "optax"],
)
def test_what_is_not_observed_is_named(packages: list[str], program: str, said: str, tmp_path: Path) -> None:
    running.needs(*packages)
    result = run(tmp_path, program, "")
    assert f"steps of {said} were taken: they are not observed" in result.problems
    assert result.exit_code == 1
    assert result.problems[-1].startswith("no step was met")


def test_other_optimizers_beside_torch_are_named(tmp_path: Path) -> None:
    (tmp_path / "optax").mkdir()
    (tmp_path / "optax" / "__init__.py").write_text(
        "def apply_updates(parameters, updates):\n    return parameters\n"
    )
    program = FABRIC.replace("from lightning.fabric import Fabric", "import optax").split("fabric = ")[0] + (
        "net = torch.nn.Linear(6, 3)\noptimizer = torch.optim.SGD(net.parameters(), lr=1e-3)\n"
        "(50 * net(torch.ones(2, 6))).sum().backward()\n"
        "torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)\noptimizer.step()\n"
        "for _ in range(3):\n    optax.apply_updates(1, 2)\n"
    )
    result = run(tmp_path, program, "")
    (site,) = result.sites
    assert site.word == "confirmed"
    assert result.problems == ("steps of optax were taken: they are not observed",)
    assert result.exit_code == 1, "what is not observed is not confirmed"
