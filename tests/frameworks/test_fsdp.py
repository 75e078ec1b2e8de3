"""Two processes without a GPU: the norm of the whole gradient that DDP, FSDP1 and FSDP2 use."""

from __future__ import annotations

from pathlib import Path

import pytest
import running

PROGRAM = """\
import os
import tempfile

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP, fully_shard
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.parallel import DistributedDataParallel as DDP


def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))


def work(rank, place):
    dist.init_process_group("gloo", init_method="file://" + place, rank=rank, world_size=2)
    {wrap}
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(10 + rank))
    (1000 * model(inputs).pow(2).mean()).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    changes = [new.detach() - old for new, old in zip(model.parameters(), before)]
    {total}
    if rank == 0:
        print(float(total) ** 0.5, flush=True)
    dist.barrier()
    os._exit(0)  # taking the group down, gloo's threads of two processes may wait for each other


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(work, args=(os.path.join(folder, "store"),), nprocs=2)
"""
ALONE = "total = sum((change ** 2).sum() for change in changes)"
SUMMED = ALONE + "\n    dist.all_reduce(total)"
WHOLE = "total = sum((change.full_tensor() ** 2).sum() for change in changes)"


def used(folder: Path, wrap: str, total: str) -> float:
    (folder / "train.py").write_text(PROGRAM.format(wrap=wrap, total=total), encoding="utf-8")
    return running.norm(folder)


@pytest.mark.slow
def test_fsdp1_by_the_plain_function_and_by_its_method(tmp_path: Path) -> None:
    """Each rank clips its shard to 1.0, which makes the root of two; the method makes one."""
    running.needs("torch")
    wrap = 'model = FSDP(make(), device_id=torch.device("cpu"))'
    assert used(tmp_path, wrap, SUMMED) == pytest.approx(2**0.5, rel=1e-3)
    assert "    model.clip_grad_norm_(1.0)\n" in running.fixed(tmp_path)
    assert running.norm(tmp_path) == pytest.approx(1.0, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrap", "total"),
    [
        pytest.param('model = make()\n    fully_shard(model, mesh=init_device_mesh("cpu", (2,)))', WHOLE, id="fsdp2"),
        pytest.param("model = DDP(make())", ALONE, id="ddp"),
    ],
)  # fmt: skip
def test_the_plain_function_is_right_and_nothing_is_said(wrap: str, total: str, tmp_path: Path) -> None:
    running.needs("torch")
    assert used(tmp_path, wrap, total) == pytest.approx(1.0, rel=1e-3)
    text = (tmp_path / "train.py").read_text(encoding="utf-8")
    assert running.fixed(tmp_path, unsafe=True) == text
