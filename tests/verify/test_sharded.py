"""Gradients in parts: two processes under torchrun, each with its share, added up when the run is over."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest
import torch

from clipcheck.verify import Verification, verify
from clipcheck.verify.joining import joined
from clipcheck.verify.session import Process
from clipcheck.verify.verdicts import judge

from .recorded import record

HEAD = """
import os, sys, warnings
warnings.simplefilter("ignore")
import torch, torch.distributed as dist
from torch import nn
dist.init_process_group("gloo")
rank = dist.get_rank()
torch.set_num_threads(1)
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
def leave():  # taking the group down, gloo's threads of two processes may wait for each other
    dist.barrier()
    os._exit(0)
def loss(model, step):
    generator = torch.Generator().manual_seed(10 * step + rank)
    return 50 * (model(torch.randn(5, 6, generator=generator)) ** 2).mean()
def say(step, gradients):
    # the norm of the whole gradient by its own reckoning: gathered, and not by clipcheck
    if rank == 0:
        print("NORM", step, float(torch.cat([g.reshape(-1) for g in gradients]).double().norm()), flush=True)
"""
FSDP2 = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
fully_shard(net, mesh=init_device_mesh("cpu", (2,)))
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
for step in range(3):
    optimizer.zero_grad()
    loss(net, step).backward()
    say(step, [p.grad.full_tensor() for p in net.parameters()])
    CLIP
    optimizer.step()
leave()
"""
FSDP1 = """
from torch.distributed.fsdp import FullyShardedDataParallel, ShardingStrategy
net = FullyShardedDataParallel(net, use_orig_params=ORIGINAL, device_id=torch.device("cpu"))
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
for step in range(3):
    optimizer.zero_grad()
    loss(net, step).backward()
    parts = [None, None]
    dist.all_gather_object(parts, [p.grad for p in net.parameters() if p.grad is not None])
    say(step, [g for part in parts for g in part])
    CLIP
    optimizer.step()
leave()
"""
PLAIN = "torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)"


def run(
    folder: Path, script: str, capfd: pytest.CaptureFixture[str], **words: str
) -> tuple[Verification, list[float]]:
    """Run the script in two processes; give the verification and the norms by the script's own reckoning."""
    for word, text in words.items():
        script = script.replace(word, text)
    (folder / "train.py").write_text(HEAD + dedent(script))
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "train.py",
    ]
    result = verify(command, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300)
    printed = capfd.readouterr()
    assert result.exit_status == 0, printed.out + printed.err
    return result, [float(norm) for norm in re.findall(r"NORM \d (\S+)", printed.out)]


def agrees(result: Verification, norms: list[float]) -> None:
    """Every rank reports the norm of the whole gradient."""
    assert [process.rank for process in result.sessions if process.records] == [0, 1]
    for process in result.sessions:
        if process.records:
            assert [r.raw for r in process.records] == pytest.approx(norms, rel=1e-5)
            assert all(r.sharded and r.joined and r.world == 2 for r in process.records)


@pytest.mark.slow
def test_fsdp2_clipped_is_confirmed_with_the_norm_of_the_whole(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result, norms = run(tmp_path, FSDP2, capfd, CLIP=PLAIN)
    (site,) = result.sites
    assert (site.word, site.observed) == ("confirmed", 6), result
    agrees(result, norms)


@pytest.mark.slow
def test_fsdp2_unclipped_is_refuted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    result, norms = run(tmp_path, FSDP2, capfd, CLIP="pass")
    (site,) = result.sites
    assert (site.word, site.reason) == ("refuted", "nothing clipped the gradients")
    agrees(result, norms)


@pytest.mark.slow
def test_fsdp2_clipped_by_local_norms_is_refuted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    clip = (
        "torch.nn.utils.clip_grads_with_norm_([p for p in net.parameters()], 1.0, "
        "torch.nn.utils.get_total_norm([p.grad.to_local() for p in net.parameters()]))"
    )
    result, norms = run(tmp_path, FSDP2, capfd, CLIP=clip)
    (site,) = result.sites
    assert site.word == "refuted", result
    assert site.shown is not None
    assert site.shown.used == pytest.approx(2**0.5, rel=1e-3)
    agrees(result, norms)


@pytest.mark.slow
@pytest.mark.parametrize("original", ["True", "False"])
def test_fsdp1_clipped_by_its_own_method_is_confirmed(
    original: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result, norms = run(tmp_path, FSDP1, capfd, CLIP="net.clip_grad_norm_(1.0)", ORIGINAL=original)
    (site,) = result.sites
    assert site.word == "confirmed", result
    agrees(result, norms)


@pytest.mark.slow
@pytest.mark.parametrize("original", ["True", "False"])
def test_fsdp1_clipped_by_the_plain_function_is_refuted(
    original: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result, norms = run(tmp_path, FSDP1, capfd, CLIP=PLAIN, ORIGINAL=original)
    (site,) = result.sites
    assert site.word == "refuted", result
    assert site.shown is not None
    assert site.shown.used == pytest.approx(2**0.5, rel=1e-3)
    agrees(result, norms)


def shared(rank: int, *, count: int = 2, world: int = 2, **more: object) -> Process:
    """Give a rank with shares 3 (rank 0) and 4 (rank 1) of a norm of 5, clipped to 1."""
    part = (3.0, 4.0)[rank]
    records = [
        replace(record(step, part), used=part / 5, clipped_norm=part, sharded=True, world=world, **more)  # type: ignore[arg-type]
        for step in range(1, count + 1)
    ]
    return Process(rank + 1, rank=rank, records=tuple(records))


def test_shares_add_up() -> None:
    processes = joined([shared(0), shared(1)])
    for process in processes:
        assert [(r.raw, r.used, r.clipped_norm, r.joined) for r in process.records] == [
            (5.0, pytest.approx(1.0), 5.0, True)
        ] * 2
    (site,) = judge(processes)
    assert (site.word, site.observed) == ("confirmed", 4)


def test_a_clip_by_shares_is_refuted() -> None:
    processes = [shared(rank) for rank in (0, 1)]
    local = [
        replace(p, records=tuple(replace(r, used=1.0) for r in p.records)) for p in processes
    ]  # each clipped its own share to 1
    (site,) = judge(joined(local))
    assert site.word == "refuted"
    assert "used 1.41421 where 1 was expected" in site.reason


def test_the_largest_counts_for_the_largest_element() -> None:
    processes = joined([shared(0, norm_type=float("inf")), shared(1, norm_type=float("inf"))])
    assert processes[0].records[0].raw == 4.0


def test_a_clips_own_norm_may_be_as_imprecise_as_it_says() -> None:
    processes = joined([shared(0, clip_reported=5.001), shared(1, clip_reported=5.001)])
    assert processes[0].records[0].clip_norm_error == pytest.approx(2e-4)


@pytest.mark.parametrize(
    "processes",
    [
        pytest.param([shared(0)], id="a rank is missing"),
        pytest.param([shared(0), shared(1), replace(shared(1), pid=9)], id="a rank is there twice"),
        pytest.param([shared(0, world=4), shared(1, world=4)], id="two of four"),
        pytest.param([shared(0, world=0), shared(1, world=0)], id="layout not known"),
        pytest.param([replace(shared(0), rank=None), replace(shared(1), rank=None)], id="no ranks"),
    ],
)
def test_shares_that_add_up_to_nothing_are_not_judged(processes: list[Process]) -> None:
    (site,) = judge(joined(processes))
    assert site.word == "not measurable"
    assert "don't add up to a whole" in site.reason


def test_steps_that_one_rank_did_not_come_to_are_not_judged() -> None:
    processes = joined([shared(0, count=3), shared(1, count=2)])
    assert [r.joined for r in processes[0].records] == [True, True, False]
    assert [r.joined for r in processes[1].records] == [True, True]


def test_whole_gradients_stay_as_they_are() -> None:
    process = Process(1, rank=0, records=(record(1, 5.0),))
    assert joined([process]) == [process]


def test_replicated_beside_sharded_counts_once() -> None:
    from clipcheck.verify.observing.shards import shares
    from clipcheck.verify.observing.tracks import Sighting, Track

    param = torch.nn.Parameter(torch.ones(3))
    track = Track(param=lambda: param)  # type: ignore[arg-type]
    plain = Sighting(param, torch.ones(3), track)
    assert shares([plain], 2.0) == ([1.0], 1)
    flat = torch.nn.Parameter(torch.ones(3))
    flat._fsdp_flattened = True  # type: ignore[attr-defined]
    # a flattened parameter whose handle is nowhere: nothing can be said
    assert shares([plain, Sighting(flat, torch.ones(3), track)], 2.0) == ([1.0, 1.0], 0)
