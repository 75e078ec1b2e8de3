"""CLP301: value clipping changes the direction of the gradient."""

from __future__ import annotations

from clipcheck.docket import Docket
from clipcheck.findings import Verdict
from clipcheck.flow.records import Clip
from clipcheck.judges import words


def judge(clip: Clip, docket: Docket) -> Verdict | None:
    if clip.kind != "value" or "clip" in clip.function.lower():
        return None  # a helper for clipping offers it as one way among others: whoever asks for it chose it
    message = (
        f"{words.quoted(clip.call)} cuts every element by itself and so changes the direction of the "
        "gradient; clip its norm"
    )
    return Verdict("CLP301", message, clip.site, *docket.risk_at(clip))
