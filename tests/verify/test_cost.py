"""What observing costs: how often the host waits for a device, and what stays in memory."""

from __future__ import annotations

import gc
import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

import clipcheck
from clipcheck.verify.observing import observer, steps
from clipcheck.verify.observing.observer import Observer

from .watching import Memory

MOST = 4  # reads per step: at the clip (norms, what it says the norm was), at the step (all else, in one)


@contextmanager
def host_reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Count `.item()`, `.tolist()`, `float()`, `int()` and `bool()` of tensors, whoever calls them."""
    reads: Counter[str] = Counter()
    with monkeypatch.context() as patch:
        for name in ("item", "tolist", "__float__", "__int__", "__bool__", "numpy", "cpu"):
            original = getattr(Tensor, name)

            def counted(
                tensor: Tensor, *args: object, _name: str = name, _original=original, **kwargs: object
            ):  # type: ignore[no-untyped-def]
                reads[_name] += 1
                return _original(tensor, *args, **kwargs)

            patch.setattr(Tensor, name, counted)
        yield reads


def trainer(layers: int, *, clip: bool) -> Callable[[], None]:
    torch.manual_seed(0)
    net = nn.Sequential(*[nn.Linear(8, 8) for _ in range(layers)])
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-6)
    batch = torch.randn(4, 8)

    def step() -> None:
        optimizer.zero_grad()
        (100 * net(batch)).pow(2).sum().backward()
        if clip:
            clip_grad_norm_(net.parameters(), 1e-3)
        optimizer.step()

    return step


def reads_of(layers: int, monkeypatch: pytest.MonkeyPatch, *, clip: bool, count: int = 20) -> int:
    """Give the reads of one step, past those whose directions are compared."""
    step = trainer(layers, clip=clip)
    memory = Memory()
    with Observer(memory):
        for _ in range(count):
            step()
        with host_reads(monkeypatch) as reads:
            step()
    assert not memory.failures
    return sum(reads.values())


@pytest.mark.parametrize("clip", [True, False])
def test_reads_per_step_are_few_however_many_parameters(clip: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = (reads_of(layers, monkeypatch, clip=clip) for layers in (2, 40))
    assert few == many <= (MOST if clip else MOST - 2)


def test_reads_of_a_bare_step_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted above is the observer's."""
    step = trainer(3, clip=True)
    step()
    with host_reads(monkeypatch) as reads:
        step()
    assert not reads


def test_accumulation_reads_nothing_before_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Linear(8, 8)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-6)
    batch = torch.randn(4, 8)
    with clipcheck.watch():
        net(batch).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        with host_reads(monkeypatch) as reads:
            for _ in range(8):
                net(batch).sum().backward()
        assert not reads


def test_memory_does_not_grow_with_the_steps() -> None:
    """Besides the records: those of a program are written out, and this sink throws them away."""

    class Nothing(Memory):
        def step(self, record: object) -> None:
            pass

    def tensors() -> tuple[int, int]:
        gc.collect()
        alive = [one for one in gc.get_objects() if type(one) in (Tensor, nn.Parameter)]
        return len(alive), sum(one.numel() for one in alive)

    step = trainer(3, clip=True)
    watching = Observer(Nothing())
    sizes = []
    with watching:
        for count in (40, 40, 200):
            for _ in range(count):
                step()
            state = watching._state
            sizes.append(
                (tensors(), len(state.tracks.by_id), len(state.take_events(next(iter(state.optimizers)))))
            )
    assert sizes[0] == sizes[1] == sizes[2]


def test_models_that_are_gone_leave_nothing() -> None:
    with Observer(Memory()) as watching:
        for _ in range(5):
            trainer(2, clip=True)()
        gc.collect()
        assert len(watching._state.tracks.by_id) == 0
        assert len(watching._state.optimizers) == 0


def test_anomaly_detection_stays_off() -> None:
    step = trainer(2, clip=True)
    with clipcheck.watch():
        step()
        assert not torch.is_anomaly_enabled()
    for module in (observer, steps):
        assert "anomaly" not in inspect.getsource(module).replace("detect_anomaly never", "")
