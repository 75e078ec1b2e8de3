"""Loss scaling: gradients that carry a scale, fused optimizers, and steps that the scaler skips."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from clipcheck.verify.session import StepRecord

from .watching import batches, loss_of, model, verdict, watch

utils = torch.nn.utils
Clip = Callable[[nn.Module, torch.amp.GradScaler, torch.optim.Optimizer], object]
SCALE = 65536.0


def amp(
    clip: Clip, *, fused: bool = False, enabled: bool = True, size: float = 50.0, inf_at: int = -1
) -> None:
    net = model()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001, fused=fused)
    scaler = torch.amp.GradScaler("cpu", enabled=enabled)
    for index, batch in enumerate(batches()):
        optimizer.zero_grad()
        scaler.scale(loss_of(net, batch, math.inf if index == inf_at else size)).backward()
        clip(net, scaler, optimizer)
        scaler.step(optimizer)
        scaler.update()


def right(net: nn.Module, scaler: torch.amp.GradScaler, optimizer: torch.optim.Optimizer) -> None:
    scaler.unscale_(optimizer)
    utils.clip_grad_norm_(net.parameters(), 1.0)


def scaled_threshold(net: nn.Module, scaler: torch.amp.GradScaler, _: torch.optim.Optimizer) -> None:
    utils.clip_grad_norm_(net.parameters(), 1.0 * scaler.get_scale())


def before_unscale(net: nn.Module, _scaler: torch.amp.GradScaler, _: torch.optim.Optimizer) -> None:
    utils.clip_grad_norm_(net.parameters(), 1.0)


def before_explicit_unscale(
    net: nn.Module, scaler: torch.amp.GradScaler, optimizer: torch.optim.Optimizer
) -> None:
    utils.clip_grad_norm_(net.parameters(), 1.0)
    scaler.unscale_(optimizer)


both = pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])


@both
@pytest.mark.parametrize("clip", [right, scaled_threshold])
def test_clip_of_unscaled_gradients_is_confirmed(clip: Clip, fused: bool) -> None:
    site = verdict(lambda: amp(clip, fused=fused))
    assert (site.word, site.observed) == ("confirmed", 4), site
    assert site.threshold == pytest.approx(1.0)
    assert site.shown is not None
    assert site.shown.used == pytest.approx(1.0, rel=1e-6)
    assert site.shown.loss_scale in (SCALE, None if fused else SCALE)


@both
def test_disabled_scaler_passes_through(fused: bool) -> None:
    assert verdict(lambda: amp(right, fused=fused, enabled=False)).word == "confirmed"


def test_raw_norm_is_in_true_units() -> None:
    def records(*, enabled: bool, clip: Clip) -> list[StepRecord]:
        return watch(lambda: amp(clip, enabled=enabled))

    plain = records(enabled=False, clip=right)[0]
    for clip in (right, scaled_threshold, before_unscale):
        assert records(enabled=True, clip=clip)[0].raw == pytest.approx(plain.raw, rel=1e-5)


@both
def test_skipped_step_is_counted_and_not_judged(fused: bool) -> None:
    site = verdict(lambda: amp(right, fused=fused, inf_at=1))
    assert (site.word, site.skipped, site.observed) == ("confirmed", 1, 3), site


@both
@pytest.mark.parametrize("size", [50.0, 1e-3], ids=["big", "small"])
@pytest.mark.parametrize("clip", [before_unscale, before_explicit_unscale])
def test_clip_of_scaled_gradients_is_refuted(clip: Clip, fused: bool, size: float) -> None:
    site = verdict(lambda: amp(clip, fused=fused, size=size))
    assert site.word == "refuted"
    assert "loss scale 65536" in site.reason
    assert site.shown is not None
    assert site.shown.used == pytest.approx(1 / SCALE, rel=1e-4)


@both
def test_unclipped_under_a_scaler_is_refuted(fused: bool) -> None:
    site = verdict(lambda: amp(lambda *_: None, fused=fused))
    assert (site.word, site.reason) == ("refuted", "nothing clipped the gradients")
    assert site.shown is not None
    assert site.shown.used == site.shown.raw < 1e4


def test_hand_written_clip_after_unscale_is_not_measurable() -> None:
    def clip(net: nn.Module, scaler: torch.amp.GradScaler, optimizer: torch.optim.Optimizer) -> None:
        scaler.unscale_(optimizer)
        for parameter in net.parameters():
            if parameter.grad is not None:
                parameter.grad.data.clamp_(-0.1, 0.1)

    site = verdict(lambda: amp(clip))
    assert site.word == "not measurable"
    assert site.shown is not None
    assert site.shown.raw > site.shown.used


def test_joint_clip_where_only_one_optimizer_is_unscaled() -> None:
    def train() -> None:
        left, other = model(0), model(1)
        optimizers = [torch.optim.SGD(net.parameters(), lr=0.01) for net in (left, other)]
        scaler = torch.amp.GradScaler("cpu")
        for batch in batches(2):
            for optimizer in optimizers:
                optimizer.zero_grad()
            scaler.scale(loss_of(left, batch) + loss_of(other, batch)).backward()
            scaler.unscale_(optimizers[0])
            utils.clip_grad_norm_([*left.parameters(), *other.parameters()], 1.0)
            for optimizer in optimizers:
                scaler.step(optimizer)
            scaler.update()

    site = verdict(train)
    assert site.word == "refuted"
    assert "loss scale" in site.reason
    assert site.shown is not None
    assert site.shown.step == 1


def test_sum_of_scaled_losses_still_carries_the_scale() -> None:
    def train() -> None:
        net = model()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        scaler = torch.amp.GradScaler("cpu")
        for batch in batches(2):
            optimizer.zero_grad()
            loss = scaler.scale(loss_of(net, batch)) + scaler.scale(loss_of(net, -batch))
            loss.backward()
            scaler.unscale_(optimizer)
            utils.clip_grad_norm_(net.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()

    assert verdict(train).word == "confirmed"


def test_unscaled_loss_beside_a_scaled_one() -> None:
    def train() -> None:
        left, other = model(0), model(1)
        first, second = (torch.optim.SGD(net.parameters(), lr=0.01) for net in (left, other))
        scaler = torch.amp.GradScaler("cpu")
        for batch in batches(2):
            first.zero_grad()
            second.zero_grad()
            scaled = scaler.scale(loss_of(left, batch))
            scaled.backward()
            loss_of(other, batch).backward()
            scaler.unscale_(first)
            utils.clip_grad_norm_(left.parameters(), 1.0)
            utils.clip_grad_norm_(other.parameters(), 1.0)
            scaler.step(first)
            scaler.update()
            second.step()

    records = watch(train)
    assert [round(record.used, 5) for record in records] == [1.0] * 4
    assert [record.clip_scale for record in records] == [1.0] * 4


@pytest.mark.parametrize(("asked", "word"), [(True, "confirmed"), (False, "refuted")])
def test_small_scale_counts_as_in_the_threshold_only_where_the_code_asked_for_it(
    asked: bool, word: str
) -> None:
    def train() -> None:
        net = model()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        scaler = torch.amp.GradScaler("cpu", init_scale=16.0)
        for batch in batches(2):
            optimizer.zero_grad()
            logged = scaler.scale(loss_of(net, batch))
            assert scaler.get_scale() == 16.0
            logged.backward()
            utils.clip_grad_norm_(net.parameters(), scaler.get_scale() if asked else 1.0)
            scaler.step(optimizer)
            scaler.update()

    assert verdict(train).word == word


def test_sum_of_scaled_losses_with_a_fused_optimizer() -> None:
    def train() -> None:
        net = model()
        optimizer = torch.optim.Adam(net.parameters(), lr=0.001, fused=True)
        scaler = torch.amp.GradScaler("cpu")
        for batch in batches(2):
            optimizer.zero_grad()
            (scaler.scale(loss_of(net, batch)) + scaler.scale(loss_of(net, -batch))).backward()
            utils.clip_grad_norm_(net.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()

    site = verdict(train)
    assert (site.word, "loss scale 65536" in site.reason) == ("refuted", True), site
