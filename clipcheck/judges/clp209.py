"""CLP209: clipping by hand where the framework owns it: an error, a silent no-op, or an argument that is ignored."""

from __future__ import annotations

from clipcheck.docket import Docket
from clipcheck.findings import Verdict
from clipcheck.flow.records import Clip, Conflict
from clipcheck.judges import shared, words


def judge(clip: Clip, docket: Docket) -> Verdict | None:
    return shared.on_an_owned_clip("CLP209", clip, docket)


def of_conflict(conflict: Conflict, docket: Docket) -> Verdict | None:
    """A call whose argument a framework refuses or ignores."""
    found = conflict.owned
    message = f"{words.quoted(conflict.call)} {found.harm}"
    assessed = docket.of_models(conflict.models, conflict.entry)
    chain = words.distinct((*found.evidence, *assessed.evidence))
    return Verdict("CLP209", message, conflict.site, assessed.risk, chain)
