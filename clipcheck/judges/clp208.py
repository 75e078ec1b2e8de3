"""CLP208: the plain clip function on parameters that a wrapper has cut into shards."""

from __future__ import annotations

from clipcheck.docket import Docket, owned
from clipcheck.findings import Verdict
from clipcheck.flow.records import Clip
from clipcheck.judges import words


def judge(clip: Clip, docket: Docket) -> Verdict | None:
    found = owned(clip)
    if found is None or found.code != "CLP208" or clip.site in docket.faults:
        return None
    message = f"{words.quoted(clip.call)} {found.harm}"
    risk, evidence = docket.risk_at(clip)
    return Verdict("CLP208", message, clip.site, risk, words.distinct((*found.evidence, *evidence)))
