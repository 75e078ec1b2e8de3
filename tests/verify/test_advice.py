"""Advice on the threshold: a pure function over records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from clipcheck.verify.advice import Advice, advice_json, advice_rows, advise
from clipcheck.verify.session import ClipCall, Place, StepRecord

PLACE = Place("/project/train.py", 12)
CLIP = ClipCall(PLACE, "norm", 1.0, 4, 4, 4)


def records(
    norms: Sequence[float], threshold: float | None = None, losses: Sequence[float] | None = None
) -> list[StepRecord]:
    """Give updates with these raw norms, clipped at `threshold` if there is one; the loss falls by default."""
    return [
        StepRecord(
            place=PLACE,
            optimizer="Adam",
            step=step,
            raw=norm,
            used=norm if threshold is None else min(norm, threshold),
            updated=4,
            covered=0 if threshold is None else 4,
            uncovered=0,
            threshold=threshold,
            kind=None if threshold is None else "norm",
            loss=10.0 / step if losses is None else losses[step - 1],
        )
        for step, norm in enumerate(norms, 1)
    ]


def test_numbers_of_the_norms() -> None:
    advice = advise(records([float(n) / 10 for n in range(1, 101)]))
    percentiles = dict(advice.percentiles)
    assert (percentiles[50], percentiles[95]) == pytest.approx((5.05, 9.505))
    assert advice.largest == 10.0
    assert advice.shares == ((0.1, 0.99), (0.25, 0.98), (0.5, 0.95), (1.0, 0.9), (5.0, 0.5))
    assert (advice.current, advice.clipped_share) == (None, None)


def test_start_is_one() -> None:
    advice = advise(records([0.5, 0.8, 1.2, 0.9] * 3))
    assert advice.threshold == 1.0
    assert advice.reasons == ("1 is the start", "it would clip 25% of the steps")


def test_start_that_would_clip_every_step() -> None:
    advice = advise(records([30.0, 40.0, 52.3, 60.0, 41.1] * 4))
    assert advice.threshold == 1.0
    assert advice.reasons[1:] == (
        "it would clip 100% of the steps",
        "that may slow the learning: if the loss stalls, go up (41 clips about half of them)",
    )


def test_network_that_can_do_without() -> None:
    (first, *_) = advise(records([0.5] * 8), family="convolution").reasons
    assert first.startswith("such a model can do without")
    # where it has exploded, that is no comfort
    assert "explodes" in advise(records([*[1.0] * 20, 500.0]), family="convolution").reasons[0]
    assert "can do without" not in " ".join(advise(records([0.5] * 8, 1.0), family="convolution").reasons)


def test_what_works_is_kept() -> None:
    advice = advise(records([0.5, 0.8, 1.2, 0.9] * 3, threshold=0.25))
    assert (advice.threshold, advice.current, advice.clipped_share) == (0.25, 0.25, 1.0)
    assert "the loss falls all the same" in advice.reasons[0]
    rare = advise(records([0.5] * 10, threshold=5.0))
    assert (rare.threshold, rare.clipped_share) == (5.0, 0.0)
    assert "no norm was above it" in rare.reasons[0]


@pytest.mark.parametrize(
    ("threshold", "lower"), [(None, 0.5), (5.0, 0.5), (1.0, 0.5), (0.5, 0.1), (0.25, 0.1), (0.05, 0.05)]
)
def test_lower_if_the_norm_explodes(threshold: float | None, lower: float) -> None:
    spike = advise(records([*[1.0] * 20, 500.0], threshold))
    assert (spike.threshold, "explodes" in spike.reasons[0]) == (lower, True)
    rise = advise(records([1.3**n for n in range(16)], threshold))
    assert (rise.threshold, "runs away" in rise.reasons[0]) == (lower, True)


def test_higher_if_nearly_all_is_clipped_and_the_loss_stalls() -> None:
    stalled = advise(records([30.0, 40.0, 52.3, 60.0, 41.1] * 4, 1.0, [2.0, 2.1] * 10))
    assert stalled.threshold == 41.0
    assert stalled.reasons == (
        "100% of the steps are clipped at 1 and the loss stalls",
        "41 clips about half of them",
    )
    falling = advise(records([30.0] * 20, 1.0))
    assert falling.threshold == 1.0
    unknown = advise([replace(record, loss=None) for record in records([30.0] * 20, 1.0)])
    assert unknown.threshold == 1.0
    assert "whether the loss stalls is not known" in unknown.reasons[0]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_nan_of_the_forward_pass_is_not_cured_by_clipping(loss: float) -> None:
    seen = records([1.0] * 10, 1.0, [2.0] * 6 + [loss] * 4)
    seen = [replace(record, raw=math.nan, used=math.nan) if record.step > 6 else record for record in seen]
    advice = advise(seen)
    assert advice.threshold == 1.0
    assert f"the loss itself was {loss} at step 7" in advice.reasons[0]
    assert "clipping will not cure it" in advice.reasons[0]


def test_nan_of_the_very_first_loss() -> None:
    advice = advise([replace(records([math.nan])[0], loss=math.nan)])
    assert (advice.threshold, advice.percentiles, advice.largest) == (None, (), None)
    assert "clipping will not cure it" in advice.reasons[0]
    assert advice_rows(advice)[0][1].startswith("no advice; the loss itself was nan at step 1")


def test_nan_after_the_updates_had_grown_is_an_explosion() -> None:
    norms = [1.0, 1.0, 2.0, 1.0, 5.0, 4000.0, math.nan]
    advice = advise(records(norms, losses=[1.0] * 6 + [math.nan]))
    assert advice.threshold == 0.5
    assert advice.reasons == ("the loss was nan at step 7, after the norm had grown to 4000",)


def test_gradient_that_is_not_finite_under_a_finite_loss() -> None:
    overflow = advise(records([1.0] * 9 + [math.inf], 1.0))
    assert overflow.threshold == 0.5
    assert overflow.reasons == ("the gradient norm was not finite at step 10, though the loss was",)
    seen = records([1.0] * 9 + [math.inf], 1.0)
    seen[-1] = replace(seen[-1], not_finite_elements=3)
    assert "3 of its elements were inf or NaN already" in advise(seen).reasons[1]


def test_skipped_and_empty_steps_say_nothing() -> None:
    seen = [replace(records([math.inf])[0], skipped=True), replace(records([0.0])[0], updated=0)]
    assert advise(seen).reasons == ("no update was seen, so there is nothing to advise on",)
    assert advise([*seen, *records([0.5] * 3)]).threshold == 1.0


def test_zero_gradients_are_no_explosion() -> None:
    assert advise(records([0.0] * 20)).threshold == 1.0


def test_family_and_cost_stand_beside_it() -> None:
    seen = [
        replace(record, seconds=0.012, observing=0.002, clipping=0.001, clips=(CLIP,))
        for record in records([2.0] * 4, 1.0)
    ]
    advice = advise(seen, family="recurrent")
    assert (advice.step_seconds, advice.clip_seconds) == pytest.approx((0.01, 0.001))
    assert advice.observing_share == pytest.approx(1 / 6)
    rows = dict(advice_rows(advice))
    assert rows["usual for such a model"].startswith("0.25 for language models (AWD-LSTM,")
    assert rows["cost"] == (
        "100% of the steps are clipped, a step takes 10 ms, 1 ms of it to clip, "
        "observing takes 17% of this run's time on top"
    )
    assert advise(seen, family="linear").usual == ""


def test_max_norm_stands_in_for_the_threshold() -> None:
    advice = advise(records([2.0] * 4, 10.0), max_norm=1.0)
    assert (advice.current, advice.clipped_share) == (1.0, 1.0)


def test_json_is_plain() -> None:
    told = advice_json(advise(records([0.5, 2.0], 1.0)))
    assert (told["threshold"], told["shares"]["1"], told["usual"]) == (1.0, 0.5, None)
    assert advice_json(Advice(None, ()))["percentiles"] == {}
