"""Verdicts from records: pure functions, so the records are written by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from clipcheck.verify.session import (
    ClipCall,
    Place,
    Process,
    StepRecord,
    read_process,
    record_payload,
    to_line,
)
from clipcheck.verify.showing.render import to_json, to_text
from clipcheck.verify.verdicts import Verification, judge, judge_site, judge_step

PLACE = Place("/project/train.py", 12)
CLIP = ClipCall(Place("/project/train.py", 11), "norm", 1.0, given=4, with_gradient=4, reached=4)
GOOD = StepRecord(
    place=PLACE,
    optimizer="Adam",
    step=1,
    raw=40.0,
    used=1.0,
    updated=4,
    covered=4,
    uncovered=0,
    threshold=1.0,
    kind="norm",
    clipped_norm=40.0,
    clips_per_step=1,
    parts=1,
    cosine=1.0,
    clips=(CLIP,),
)
BARE = replace(
    GOOD, used=40.0, covered=0, uncovered=4, threshold=None, kind=None, clipped_norm=None, clips_per_step=0,
    parts=0, clips=(),
)  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="plain"),
        pytest.param({"used": 1.0 + 9e-7}, id="fp32 rounding above"),
        pytest.param({"used": 1.0 - 9e-7}, id="fp32 rounding below"),
        pytest.param({"raw": 0.5, "used": 0.5, "clipped_norm": 0.5}, id="below the threshold"),
        pytest.param({"used": 1.004, "dtypes": ("bfloat16",)}, id="bf16"),
        pytest.param({"used": 0.9992, "dtypes": ("float16", "float32")}, id="fp16"),
        pytest.param({"used": 1.0004, "clip_norm_error": 4e-4}, id="torch's own norm was off"),
        pytest.param({"clipped_norm": 80.0, "used": 0.5}, id="joint clip"),
        pytest.param({"raw": 0.0, "used": 0.0, "clipped_norm": 0.0}, id="zero gradient"),
        pytest.param(
            {"raw": 1e-5, "threshold": 1e-6, "clipped_norm": 1e-5, "used": 1e-6 * 10 / 11}, id="epsilon"
        ),
        pytest.param(
            {"threshold": 65536.0, "clip_scale": 65536.0, "scale_in_threshold": True}, id="scaled threshold"
        ),
        pytest.param({"cosine": None}, id="not sampled"),
    ],
)
def test_confirmed(changes: dict[str, Any]) -> None:
    assert judge_step(replace(GOOD, **changes)).word == "confirmed"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"used": 1.0 + 2e-6}, "expected", id="fp32 too big"),
        pytest.param({"used": 1.0 - 3e-6}, "expected", id="fp32 too small"),
        pytest.param({"used": 1.004, "dtypes": ("float16",)}, "expected", id="fp16 too big"),
        pytest.param({"used": 1.02, "dtypes": ("bfloat16",)}, "expected", id="bf16 too big"),
        pytest.param({"used": math.nan}, "expected", id="nan used"),
        pytest.param({"covered": 2, "uncovered": 2}, "covers 2 of 4", id="half"),
        pytest.param({"parts": 4}, "in 4 parts", id="parts"),
        pytest.param({"clips_per_step": 2, "cosine": 0.26}, "twice per step (cosine", id="twice"),
        pytest.param({"clips_per_step": 4}, "4 times per step", id="four times"),
        pytest.param({"clip_scale": 1024.0}, "loss scale 1024", id="scaled"),
        pytest.param({"cosine": 0.9}, "direction changed (cosine 0.9000)", id="direction"),
        pytest.param({"kind": "value", "cosine": 0.6}, "value clipping", id="value"),
        pytest.param({"threshold": -1.0}, "reverses", id="negative"),
        pytest.param({"threshold": 0.0, "used": 0.0}, "leaves nothing", id="zero"),
        pytest.param({"used": 3.0, "modified": "after clip"}, "changed again after the clip", id="changed"),
    ],
)
def test_refuted(changes: dict[str, Any], reason: str) -> None:
    verdict = judge_step(replace(GOOD, **changes))
    assert (verdict.word, reason in verdict.reason) == ("refuted", True), verdict


@pytest.mark.parametrize(
    ("clips", "reason"),
    [
        ((), "nothing clipped"),
        ((replace(CLIP, late=True),), "after the step"),
        ((CLIP,), "before the last backward"),
        ((replace(CLIP, given=0, with_gradient=0, reached=0),), "handed nothing"),
        ((replace(CLIP, with_gradient=0, reached=0),), "found no gradients"),
        ((replace(CLIP, reached=0),), "reaches none"),
    ],
)
def test_unclipped_step_says_what_became_of_the_clip(clips: tuple[ClipCall, ...], reason: str) -> None:
    verdict = judge_step(replace(BARE, clips=clips))
    assert (verdict.word, verdict.bare) == ("refuted", True)
    assert reason in verdict.reason


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(replace(BARE, modified="unclipped"), id="by hand"),
        pytest.param(replace(BARE, hooked=True), id="hooks"),
        pytest.param(replace(GOOD, sharded=True), id="sharded"),
        pytest.param(replace(GOOD, kind="value"), id="value"),
    ],
)
def test_not_measurable(record: StepRecord) -> None:
    assert judge_step(record).word == "not measurable"


def test_max_norm_stands_in_for_the_threshold() -> None:
    assert judge_step(GOOD, max_norm=1.0).word == "confirmed"
    verdict = judge_step(GOOD, max_norm=0.1)
    assert verdict.word == "refuted"
    assert verdict.expected == pytest.approx(0.1)


def test_site_is_refuted_by_its_first_bad_step() -> None:
    second, third = replace(GOOD, step=2, used=2.0), replace(GOOD, step=3, used=3.0)
    site = judge_site(PLACE, [GOOD, second, third])
    assert (site.word, site.shown, site.observed) == ("refuted", second, 3)


def test_site_shows_its_largest_norm_and_the_clipped_share() -> None:
    small = replace(GOOD, step=2, raw=0.5, used=0.5, clipped_norm=0.5)
    site = judge_site(PLACE, [small, GOOD])
    assert (site.word, site.shown, site.clipped_share) == ("confirmed", GOOD, 0.5)


def test_hand_written_clip_that_rests_is_not_refuted() -> None:
    site = judge_site(PLACE, [BARE, replace(BARE, step=2, modified="unclipped")])
    assert site.word == "not measurable"
    worse = judge_site(PLACE, [replace(GOOD, used=5.0), replace(BARE, step=2, modified="unclipped")])
    assert worse.word == "refuted"


def test_steps_that_say_nothing_do_not_confirm() -> None:
    empty = replace(GOOD, updated=0, covered=0)
    nan = replace(GOOD, raw=math.nan, used=math.nan)
    skipped = replace(GOOD, skipped=True)
    assert judge_site(PLACE, [empty, nan, skipped]).word == "not measurable"
    site = judge_site(PLACE, [empty, nan, skipped, GOOD])
    assert (site.word, site.skipped, site.not_finite, site.clipped_share) == ("confirmed", 1, 1, 0.5)


def test_worst_verdict_of_several_processes_wins() -> None:
    good, bad = Process(1, records=(GOOD,)), Process(2, records=(replace(GOOD, used=2.0),))
    assert [site.word for site in judge([good, bad])] == ["refuted"]
    assert [site.word for site in judge([good, good])] == ["confirmed"]


def test_known_site_without_a_record_is_not_reached() -> None:
    sites = judge([Process(1, records=(GOOD,))], known_sites=[PLACE, ("/project/train.py", 99)])
    assert [(site.place.row, site.word) for site in sites] == [(12, "confirmed"), (99, "not reached")]


def test_clip_by_hand_that_never_acted_is_not_accused() -> None:
    bare, clipped_late = Process(1, records=(BARE,)), ClipCall(PLACE, "norm", 1.0, 4, 4, 4, late=True)
    (site,) = judge([bare], by_hand=[PLACE])
    assert (site.word, site.shown) == ("not measurable", BARE)
    assert "by hand" in site.reason
    assert judge([bare], by_hand=[("/project/train.py", 99)])[0].word == "refuted"
    # what the run shows goes before what the scan knows
    late = Process(1, records=(replace(BARE, clips=(clipped_late,)),))
    assert judge([late], by_hand=[PLACE])[0].word == "refuted"
    assert judge([Process(1, records=(GOOD,))], by_hand=[PLACE])[0].word == "confirmed"


@pytest.mark.parametrize(
    ("verification", "code"),
    [
        (Verification(("x",), sites=judge([Process(1, records=(GOOD,))])), 0),
        (Verification(("x",), sites=judge([Process(1, records=(BARE,))])), 1),
        (Verification(("x",), sites=judge([], known_sites=[PLACE])), 1),
        (Verification(("x",), sites=judge([Process(1, records=(replace(GOOD, sharded=True),))])), 1),
        (Verification(("x",), sites=judge([Process(1, records=(GOOD,))]), ended="exit status 1"), 0),
        (Verification(("x",), sites=judge([Process(1, records=(GOOD,))]), problems=("blind",)), 1),
        (Verification(("x",)), 1),
        (Verification(("x",), not_run="x: not found"), 2),
    ],
    ids=["good", "refuted", "not reached", "not measurable", "crash", "failure", "no step", "not run"],
)
def test_exit_code(verification: Verification, code: int) -> None:
    assert verification.exit_code == code
    assert to_json(verification)["exit_code"] == code
    assert to_text(verification, cwd="/project").endswith("\n")


def test_text_names_the_numbers() -> None:
    processes = [Process(1, records=(GOOD, replace(GOOD, step=2, used=2.0)), stopped=True)]
    text = to_text(
        Verification(("python", "train.py"), sites=judge(processes), stopped=True, max_steps=2, steps=2),
        cwd="/project",
    )
    assert text == (
        "clipcheck verify: python train.py\n"
        "\n"
        "step         verdict  updates  raw  used  threshold  clipped  clips/step  covered  cosine\n"
        "train.py:12  refuted        2   40     2          1     100%           1      4/4  1.0000\n"
        "    step 2: used 2 where 1 was expected\n"
        "\n"
        "the run was stopped after 2 optimizer steps (--max-steps)\n"
        "0 confirmed, 1 refuted, 0 not measurable, 0 not reached (2 updates observed)\n"
    )


def test_largest_raw_norm_is_named_beside_the_first_step_that_refutes() -> None:
    records = (replace(BARE, raw=0.1, used=0.1), replace(BARE, step=8, raw=30.0, used=30.0))
    verification = Verification(("x",), sites=judge([Process(1, records=records)]), steps=2)
    text = to_text(verification, cwd="/project")
    assert "step 1: nothing clipped the gradients" in text
    assert "train.py:12: the largest raw norm was 30, at step 8\n" in text
    (site,) = to_json(verification)["sites"]
    assert (site["shown"]["raw"], site["largest_raw"], site["largest_raw_step"]) == (0.1, 30.0, 8)


def test_clip_before_unscaling_acts_on_the_scaled_norm() -> None:
    record = replace(GOOD, raw=0.5, clipped_norm=0.5, used=1.0 / 1024, clip_scale=1024.0)
    site = judge_site(PLACE, [record])
    assert (site.word, site.clipped) == ("refuted", 1)
    right = replace(record, threshold=1024.0, used=0.5, scale_in_threshold=True)
    site = judge_site(PLACE, [right])
    assert (site.word, site.clipped) == ("confirmed", 0)


def test_largest_raw_norm_is_that_of_a_finite_gradient() -> None:
    site = judge_site(PLACE, [replace(GOOD, raw=math.inf), GOOD, replace(GOOD, raw=50.0, clipped_norm=50.0)])
    assert site.largest is not None
    assert site.largest.raw == 50.0
    assert judge_site(PLACE, [replace(GOOD, raw=math.nan)]).largest is None


def test_confirmed_site_says_which_step_its_numbers_are_of() -> None:
    records = [replace(GOOD, raw=2.0, clipped_norm=2.0, evaluation=1), replace(GOOD, evaluation=2)]
    site = judge_site(PLACE, records)
    assert site.reason == (
        "2 updates used min(raw, threshold) over all 4 parameters; "
        "the numbers are those of step 1, evaluation 2 of the closure, with the largest raw norm"
    )
    verification = Verification(("x",), sites=(site,), steps=2)
    assert "(2 updates observed, each evaluation of a closure counted as one)" in to_text(verification)
    assert judge_site(PLACE, [GOOD]).reason == "1 update used min(raw, threshold) over all 4 parameters"


# -- the recording


def test_recording_comes_back_as_it_was() -> None:
    record = replace(
        GOOD, raw=math.inf, used=5e-324, threshold=-math.inf, evaluation=3, clips=(CLIP, CLIP), loss=math.nan
    )
    record = replace(record, loss=-math.inf, seconds=0.5, observing=0.1, not_finite_elements=3)
    lines = [
        to_line("start", {"pid": 7, "rank": 1, "torch": "2.13.0"}),
        to_line("step", record_payload(record)),
        to_line("failure", {"message": "m"}),
        to_line("crash", {"exception": "E: x"}),
        to_line("lines", {"filename": "/project/train.py", "rows": [11, 12]}),
        to_line("lines", {"filename": "/project/train.py", "rows": [12, 13]}),
        to_line("stopped", {}),
    ]
    assert all("Infinity" not in line for line in lines)
    ran = frozenset(Place("/project/train.py", row) for row in (11, 12, 13))
    assert read_process(lines) == Process(
        7, rank=1, torch="2.13.0", records=(record,), failures=("m",), stopped=True, crash="E: x", lines=ran
    )


def test_line_cut_short_by_a_crash_is_left_out() -> None:
    lines = [to_line("start", {"pid": 7}), to_line("step", record_payload(GOOD)), '{"event": "step", "pla']
    process = read_process(lines)
    assert process is not None
    assert (process.records, process.failures) == ((GOOD,), ())


def test_line_that_cannot_be_read_is_counted() -> None:
    process = read_process([to_line("start", {"pid": 7}), '{"event": "step"}\n'])
    assert process is not None
    assert len(process.failures) == 1
