"""CLP206: a norm clip in a loop over parameters bounds each tensor alone, never the whole."""

from __future__ import annotations

from clipcheck.docket import Docket, one_by_one
from clipcheck.findings import Verdict
from clipcheck.flow.records import Clip
from clipcheck.judges import words


def judge(clip: Clip, docket: Docket) -> Verdict | None:
    if not one_by_one(clip) or clip.site in docket.faults:
        return None
    message = (
        f"{words.quoted(clip.call)} bounds the norm of one parameter at a time, never that of the whole "
        "gradient; clip all parameters in one call"
    )
    return Verdict("CLP206", message, clip.site, *docket.risk_at(clip))
