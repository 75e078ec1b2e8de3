"""CLP303: a clip function under a name that is on its way out."""

from __future__ import annotations

from clipcheck import blocks, facts
from clipcheck.docket import Docket
from clipcheck.findings import Verdict
from clipcheck.flow.records import Clip
from clipcheck.flow.render import render
from clipcheck.judges import words


def _is_written_out(clip: Clip, docket: Docket) -> bool:
    """Whether a call names the function by an import: a name that the program gives it may stand for either of the two."""
    body = docket.context.body(clip.site.filename)
    root = render(clip.call.function).partition(".")[0]
    aliases = {one.alias for one in blocks.walk(body) if isinstance(one, facts.Import)}
    return not aliases.isdisjoint((root, "*"))


def judge(clip: Clip, docket: Docket) -> Verdict | None:
    if not clip.replaced_by or not _is_written_out(clip, docket):
        return None
    message = f"`{render(clip.call.function)}` is deprecated and to be removed; use `{clip.replaced_by}`"
    risk, evidence = docket.risk_at(clip)
    return Verdict("CLP303", message, clip.site, risk, words.distinct(evidence))
