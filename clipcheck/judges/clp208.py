"""CLP208: the plain clip function on parameters that a wrapper has cut into shards."""

from __future__ import annotations

from clipcheck.docket import Docket
from clipcheck.findings import Verdict
from clipcheck.flow.records import Clip
from clipcheck.judges import shared


def judge(clip: Clip, docket: Docket) -> Verdict | None:
    return shared.on_an_owned_clip("CLP208", clip, docket)
