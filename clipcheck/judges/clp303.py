"""CLP303: a clip function under a name that is on its way out."""

from __future__ import annotations

from clipcheck.docket import Docket
from clipcheck.findings import Verdict
from clipcheck.flow.records import Clip
from clipcheck.flow.render import render
from clipcheck.judges import words


def judge(clip: Clip, docket: Docket) -> Verdict | None:
    if not clip.replaced_by:
        return None
    message = f"`{render(clip.call.function)}` is deprecated and to be removed; use `{clip.replaced_by}`"
    risk, evidence = docket.risk_at(clip)
    return Verdict("CLP303", message, clip.site, risk, words.distinct(evidence))
