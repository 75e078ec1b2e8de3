"""Every wrong way to fix a loop is refuted, and the numbers are those of an observer that is not the verifier's."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from .watching import batches, verdict, watch

utils = torch.nn.utils


@dataclass
class Loop:
    """A training loop with a criterion of its own parameters, and what a hook in it does."""

    net: nn.Module
    criterion: nn.Linear
    other: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler | None = None

    def parameters(self) -> list[Tensor]:
        return [*self.net.parameters(), *self.criterion.parameters()]

    def clip(self, threshold: float = 1.0) -> None:
        utils.clip_grad_norm_(self.parameters(), threshold)


def nothing(_: Loop) -> None:
    pass


@dataclass
class Places:
    """Where in the loop a fix acts; the steps are taken every `micro` batches."""

    before_backward: Callable[[Loop], None] = nothing
    each_batch: Callable[[Loop], None] = nothing
    before_unscale: Callable[[Loop], None] = nothing
    before_step: Callable[[Loop], None] = nothing
    in_closure: Callable[[Loop], None] = nothing
    after_step: Callable[[Loop], None] = nothing
    micro: int = 1
    scaled: bool = False
    closure: bool = False


def make(*, scaled: bool = False) -> Loop:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    criterion, other = nn.Linear(3, 1), nn.Linear(6, 3)
    optimizer = torch.optim.SGD([*net.parameters(), *criterion.parameters()], lr=0.01)
    return Loop(net, criterion, other, optimizer, torch.amp.GradScaler("cpu") if scaled else None)


def train(places: Places) -> None:
    loop = make(scaled=places.scaled)
    optimizer, scaler = loop.optimizer, loop.scaler

    def loss_of(batch: Tensor) -> Tensor:
        out = loop.net(batch)
        return 50 * (out - batch[:, :3]).pow(2).mean() + 5 * loop.criterion(out).pow(2).sum()

    for index, batch in enumerate(batches(8)):

        def closure(batch: Tensor = batch) -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(batch)
            loss.backward()
            places.in_closure(loop)
            return loss

        loop.other.zero_grad()
        (loop.other(batch).sum() * 100).backward()
        if index % places.micro == 0:
            optimizer.zero_grad()
        places.before_backward(loop)
        if not places.closure:
            loss = loss_of(batch)
            (loss if scaler is None else scaler.scale(loss)).backward()
            places.each_batch(loop)
        if (index + 1) % places.micro:
            continue
        places.before_unscale(loop)
        if scaler is not None:
            scaler.unscale_(optimizer)
        places.before_step(loop)
        if scaler is not None:
            scaler.step(optimizer)
            scaler.update()
        else:
            optimizer.step(*([closure] if places.closure else []))
        places.after_step(loop)


RIGHT: dict[str, Places] = {
    "before the step": Places(before_step=Loop.clip),
    "accumulating": Places(before_step=Loop.clip, micro=4),
    "unscaled": Places(before_step=Loop.clip, scaled=True),
    "closure": Places(in_closure=Loop.clip, closure=True),
}


@pytest.mark.parametrize("places", RIGHT.values(), ids=RIGHT)
def test_right_fix_is_confirmed(places: Places) -> None:
    site = verdict(lambda: train(places))
    assert site.word == "confirmed", site
    assert site.clipped > 0


@dataclass
class OneBranch:
    """Clips every other step: the branch of the others has none."""

    calls: int = field(default=0)

    def __call__(self, loop: Loop) -> None:
        self.calls += 1
        if self.calls % 2:
            loop.clip()


@dataclass
class UsedUp:
    """Keeps one iterator over the parameters, as a name above the loop does."""

    iterator: object = None

    def __call__(self, loop: Loop) -> None:
        self.iterator = self.iterator or filter(lambda p: p.requires_grad, loop.parameters())
        utils.clip_grad_norm_(self.iterator, 1.0)


def each_parameter(loop: Loop) -> None:
    for parameter in loop.parameters():
        utils.clip_grad_norm_(parameter, 1.0)


WRONG: dict[str, tuple[Callable[[], Places], str]] = {
    "after the step": (lambda: Places(after_step=Loop.clip), "comes after the step"),
    "before backward": (lambda: Places(before_backward=Loop.clip), "found no gradients"),
    "before unscale": (lambda: Places(before_unscale=Loop.clip, scaled=True), "the loss scale 65536"),
    "outside the closure": (lambda: Places(before_step=Loop.clip, closure=True), ""),
    "per parameter": (lambda: Places(before_step=each_parameter), "in 6 parts"),
    "each micro-batch": (lambda: Places(each_batch=Loop.clip, micro=4), "clipped 4 times per step"),
    "by value": (
        lambda: Places(before_step=lambda loop: utils.clip_grad_value_(loop.parameters(), 0.1)),
        "changed the direction",
    ),
    "half of the parameters": (
        lambda: Places(before_step=lambda loop: utils.clip_grad_norm_(loop.parameters()[::2], 1.0)),
        "covers 3 of 6",
    ),
    "without the criterion": (
        lambda: Places(before_step=lambda loop: utils.clip_grad_norm_(loop.net.parameters(), 1.0)),
        "covers 4 of 6",
    ),
    "another model": (
        lambda: Places(before_step=lambda loop: utils.clip_grad_norm_(loop.other.parameters(), 1.0)),
        "reaches none of the parameters",
    ),
    "one branch only": (lambda: Places(before_step=OneBranch()), "nothing clipped the gradients"),
    "an iterator used up": (lambda: Places(before_step=UsedUp()), "was handed nothing"),
    "nothing": (Places, "nothing clipped the gradients"),
}


@pytest.mark.parametrize(("places", "reason"), WRONG.values(), ids=WRONG)
def test_wrong_fix_is_refuted(places: Callable[[], Places], reason: str) -> None:
    site = verdict(lambda: train(places()))
    assert site.word == "refuted", site
    assert reason in site.reason


def test_threshold_that_never_acts_against_the_one_asked_for() -> None:
    huge = Places(before_step=lambda loop: loop.clip(1e9))
    site = verdict(lambda: train(huge), max_norm=1.0)
    assert site.word == "refuted"
    assert "where 1 was expected" in site.reason
    assert verdict(lambda: train(huge)).word == "confirmed"  # of its own threshold


# -- an observer of its own: SGD with a learning rate of 1 changes parameters by the gradient it used


def flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().double().flatten() for tensor in tensors])


def observed(clip: Callable[[list[nn.Parameter]], object], *, micro: int, dtype: torch.dtype) -> list[tuple]:
    """Train, and give for each step what was accumulated and what changed: norms, cosine, loss."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)
    params = list(net.parameters())
    optimizer = torch.optim.SGD(params, lr=1.0)
    seen = []
    for batch in batches(4):
        optimizer.zero_grad()
        whole = [torch.zeros_like(p, dtype=torch.float64) for p in params]
        loss_seen = 0.0
        for part in range(micro):
            loss = (net(batch.to(dtype)) * (part + 1)).pow(2).sum()
            alone = torch.autograd.grad(loss, params, retain_graph=True)
            whole = [total + one.double() for total, one in zip(whole, alone, strict=True)]
            loss.backward()
            loss_seen += loss.item()
        clip(params)
        before = flat(params)
        optimizer.step()
        raw, used = flat(whole), before - flat(params)
        cosine = float(torch.dot(raw, used) / raw.norm() / used.norm())
        seen.append((float(raw.norm()), float(used.norm()), cosine, loss_seen))
        with torch.no_grad():
            for p in params:
                p.mul_(0.5)  # a learning rate of 1 would run away
    return seen


CLIPS: dict[str, Callable[[list[nn.Parameter]], object]] = {
    "norm": lambda params: utils.clip_grad_norm_(params, 0.7),
    "infinity norm": lambda params: utils.clip_grad_norm_(params, 1e9),
    "value": lambda params: utils.clip_grad_value_(params, 0.3),
    "none": lambda _: None,
    "half": lambda params: utils.clip_grad_norm_(params[:2], 0.5),
    "each": lambda params: [utils.clip_grad_norm_(p, 0.5) for p in params],
}


@pytest.mark.parametrize("micro", [1, 3])
@pytest.mark.parametrize("clip", CLIPS.values(), ids=CLIPS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_numbers_agree_with_another_observer(
    clip: Callable[[list[nn.Parameter]], object], micro: int, dtype: torch.dtype
) -> None:
    own: list[tuple] = []
    records = watch(lambda: own.extend(observed(clip, micro=micro, dtype=dtype)))
    assert len(records) == len(own) == 4
    for record, (raw, used, cosine, loss) in zip(records, own, strict=True):
        assert (record.raw, record.used) == pytest.approx((raw, used), rel=1e-4)
        assert record.cosine == pytest.approx(cosine, abs=1e-4)
        assert record.loss == pytest.approx(loss, rel=1e-4)
        assert math.isfinite(record.raw)
