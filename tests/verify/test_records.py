"""What a record holds beside the norms: the loss, what was not finite, the time."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from .watching import batches, loss_of, model, watch

utils = torch.nn.utils


def train(
    net: nn.Module, spoil: Callable[[int, Tensor], Tensor] = lambda _, loss: loss, *, micro: int = 1
) -> list[float]:
    """Train, clipped at 1, and give the losses that the code itself saw."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    own = []
    for index, batch in enumerate(batches(6)):
        loss = spoil(index, loss_of(net, batch) / micro)
        loss.backward()
        own.append(loss.item())
        with torch.no_grad():
            loss *= 1000  # after the backward it is the code's own
        if (index + 1) % micro == 0:
            utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    return own


@pytest.mark.parametrize("micro", [1, 3])
def test_loss_is_the_sum_of_what_was_differentiated(micro: int) -> None:
    own: list[float] = []
    records = watch(lambda: own.extend(train(model(), micro=micro)))
    expected = [math.fsum(own[at : at + micro]) for at in range(0, 6, micro)]
    assert [record.loss for record in records] == pytest.approx(expected, rel=1e-6)


def test_each_optimizer_has_its_own_loss() -> None:
    own: list[tuple[float, float]] = []

    def adversaries() -> None:
        left, right = model(0), model(1)
        optimizers = [torch.optim.SGD(net.parameters(), lr=0.01) for net in (left, right)]
        for batch in batches(3):
            first, second = loss_of(left, batch), loss_of(right, batch)
            own.append((first.item(), second.item()))
            for optimizer in optimizers:
                optimizer.zero_grad()
            first.backward()
            second.backward()
            for optimizer in optimizers:
                optimizer.step()

    records = watch(adversaries)
    assert [record.loss for record in records] == pytest.approx([loss for pair in own for loss in pair])


def test_loss_of_one_optimizer_over_two_backwards_counts_both() -> None:
    own: list[float] = []

    def both() -> None:
        left, right = model(0), model(1)
        optimizer = torch.optim.SGD([*left.parameters(), *right.parameters()], lr=0.01)
        for batch in batches(3):
            optimizer.zero_grad()
            parts = [loss_of(left, batch), loss_of(right, batch)]
            own.append(sum(part.item() for part in parts))
            for part in parts:
                part.backward()
            optimizer.step()

    assert [record.loss for record in watch(both)] == pytest.approx(own)


def test_loss_is_without_the_loss_scale() -> None:
    own: list[float] = []

    def scaled() -> None:
        net = model()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        scaler = torch.amp.GradScaler("cpu")
        for batch in batches(3):
            optimizer.zero_grad()
            loss = loss_of(net, batch)
            own.append(loss.item())
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()

    assert [record.loss for record in watch(scaled)] == pytest.approx(own)


def test_loss_of_a_closure_is_that_of_each_evaluation() -> None:
    own: list[float] = []

    def search() -> None:
        net = model()
        optimizer = torch.optim.LBFGS(net.parameters(), max_iter=3)
        batch = next(batches())

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(net, batch)
            own.append(loss.item())
            loss.backward()
            return loss

        optimizer.step(closure)

    assert [record.loss for record in watch(search)] == pytest.approx(own)


def test_gradient_without_a_scalar_loss_has_none() -> None:
    def train() -> None:
        net = model()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        out = net(next(batches()))
        out.backward(torch.ones_like(out))
        optimizer.step()

    (record,) = watch(train)
    assert (record.loss, record.loss_not_finite) == (None, False)


def test_many_micro_batches_are_summed_and_not_kept() -> None:
    def train() -> None:
        weight = nn.Parameter(torch.ones(1))
        optimizer = torch.optim.SGD([weight], lr=0.01)
        for _ in range(600):
            (weight * 2.0).sum().backward()
        optimizer.step()

    (record,) = watch(train)
    assert record.loss == pytest.approx(1200.0)


def test_loss_that_is_nan_is_told_from_a_gradient_that_explodes() -> None:
    records = watch(lambda: train(model(), lambda index, loss: loss * (math.nan if index == 2 else 1.0)))
    assert [record.loss_not_finite for record in records[:3]] == [False, False, True]
    assert math.isnan(records[2].raw)


@pytest.mark.parametrize("clipped", [True, False], ids=["clipped", "bare"])
def test_not_finite_elements_are_those_that_backward_left(clipped: bool) -> None:
    """The clip itself makes every element NaN or zero, so the count is taken before it."""

    def root() -> None:
        first, second = nn.Parameter(torch.tensor([0.0, 1.0, 0.0])), nn.Parameter(torch.ones(5))
        optimizer = torch.optim.SGD([first, second], lr=0.01)
        (first.sqrt().sum() + second.sum()).backward()  # the loss is 6, the gradient of sqrt at 0 infinite
        if clipped:
            utils.clip_grad_norm_([first, second], 1.0)
        optimizer.step()

    (record,) = watch(root)
    assert (record.raw, record.not_finite_tensors, record.not_finite_elements) == (math.inf, 1, 2)
    assert (record.loss, record.loss_not_finite) == (6.0, False)


def test_time_of_a_step_holds_the_share_of_observing() -> None:
    records = watch(lambda: train(model()))
    assert (records[0].seconds, records[0].observing) == (None, None)
    for record in records[1:]:
        assert record.seconds is not None
        assert record.observing is not None
        assert 0.0 < record.observing < record.seconds
