"""Train tiny models under the observer, in this process, and judge what it recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from clipcheck.verify.observing.observer import Observer
from clipcheck.verify.session import Process, StepRecord
from clipcheck.verify.verdicts import SiteVerdict, judge


@dataclass
class Memory:
    """A sink that keeps everything."""

    _by_number: dict[tuple[int, int | None], StepRecord] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    stops: int = 0

    @property
    def records(self) -> list[StepRecord]:
        return list(self._by_number.values())

    def step(self, record: StepRecord) -> None:
        self._by_number[record.step, record.evaluation] = record

    def failure(self, message: str) -> None:
        self.failures.append(message)

    def stopped(self) -> None:
        self.stops += 1


def watch(train: Callable[[], None]) -> list[StepRecord]:
    """Run `train` under a fresh observer and give its records."""
    memory = Memory()
    with Observer(memory):
        train()
    assert not memory.failures, memory.failures
    return memory.records


def verdict(train: Callable[[], None], max_norm: float | None = None) -> SiteVerdict:
    """Give the verdict on the one line that steps in `train`."""
    records = watch(train)
    (site,) = judge([Process(1, records=tuple(records))], max_norm=max_norm)
    return site


def model(seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Give a small network of four tensors."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)


def batches(count: int = 4, dtype: torch.dtype = torch.float32) -> Iterator[Tensor]:
    """Give inputs, the same ones every time."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        yield torch.randn(5, 6, generator=generator).to(dtype)


def loss_of(net: nn.Module, batch: Tensor, size: float = 50.0) -> Tensor:
    """Give a loss whose gradient norm is well above 1 (for a small `size`, below)."""
    out = net(batch)
    return size * ((out - batch[:, :3]) ** 2).mean()
