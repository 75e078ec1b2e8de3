"""DeepSpeed on one rank without a GPU: what the engine uses by default, when told, and beside a clip by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import running

# The engine's extension for shared memory would be compiled first, for minutes; one rank has nobody to share with.
PROGRAM = """\
import deepspeed
import torch
import torch.distributed as dist

deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
torch.manual_seed(0)
model = torch.nn.LSTM(4, 8, batch_first=True)
before = [parameter.detach().clone() for parameter in model.parameters()]
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
settings = {{
    "train_micro_batch_size_per_gpu": 2,
    "zero_optimization": {{"stage": {stage}}},
    "zero_allow_untested_optimizer": True,
    "zero_force_ds_cpu_optimizer": False,
{more}}}
engine, _, _, _ = deepspeed.initialize(model=model, optimizer=optimizer, config=settings)
outputs, _ = engine(torch.randn(2, 5, 4))
engine.backward(1000 * outputs.pow(2).sum())
{clip}engine.step()
after = [parameter.detach() for parameter in model.parameters()]
print(float(sum(((new - old) ** 2).sum() for new, old in zip(after, before)) ** 0.5))
"""
CLIP = "torch.nn.utils.clip_grad_norm_(engine.parameters(), 1.0)\n"
ENVIRONMENT = {
    "DS_ACCELERATOR": "cpu",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",  # asked for, and not used: the process group is there already
    "RANK": "0",
    "LOCAL_RANK": "0",
    "WORLD_SIZE": "1",
}


def written(folder: Path, stage: int, more: str = "", clip: str = "") -> None:
    (folder / "train.py").write_text(PROGRAM.format(stage=stage, more=more, clip=clip), encoding="utf-8")


@pytest.mark.slow
def test_switched_off_and_fixed(tmp_path: Path) -> None:
    running.needs("deepspeed")
    written(tmp_path, 1, '    "gradient_clipping": 0.0,\n')
    assert running.norm(tmp_path, ENVIRONMENT) > 100
    assert '"gradient_clipping": 1.0,\n' in running.fixed(tmp_path, unsafe=True)
    assert running.norm(tmp_path, ENVIRONMENT) == pytest.approx(1.0, rel=1e-3)


@pytest.mark.slow
def test_a_clip_by_hand_does_nothing_beside_zero(tmp_path: Path) -> None:
    """What the settings leave to it is found and fixed; the idle call stays."""
    running.needs("deepspeed")
    written(tmp_path, 2, '    "gradient_clipping": 0.0,\n', CLIP)
    assert running.norm(tmp_path, ENVIRONMENT) > 100
    assert '"gradient_clipping": 1.0,\n' in running.fixed(tmp_path, unsafe=True)
    assert running.norm(tmp_path, ENVIRONMENT) == pytest.approx(1.0, rel=1e-3)


@pytest.mark.slow
def test_a_clip_by_hand_works_without_zero_and_nothing_is_said(tmp_path: Path) -> None:
    running.needs("deepspeed")
    written(tmp_path, 0, '    "gradient_clipping": 0.0,\n', CLIP)
    text = (tmp_path / "train.py").read_text(encoding="utf-8")
    assert running.norm(tmp_path, ENVIRONMENT) == pytest.approx(1.0, rel=1e-3)
    assert running.fixed(tmp_path, unsafe=True) == text


@pytest.mark.slow
def test_the_default_is_that_of_the_knowledge(tmp_path: Path) -> None:
    """From 0.19.4 on, the engine clips at 1.0 where nothing is said."""
    running.needs("deepspeed")
    from importlib.metadata import version

    from clipcheck.pins import parse

    written(tmp_path, 0)
    used = running.norm(tmp_path, ENVIRONMENT)
    if parse(version("deepspeed").partition("+")[0]) >= parse("0.19.4"):
        assert used == pytest.approx(1.0, rel=1e-3)
    else:
        assert used > 100
